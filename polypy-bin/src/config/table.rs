//! The one table of keys.
//!
//! Each row makes a field of [`Config`], a line of `--help`, an environment
//! variable, a place in the TOML file and a row of `docs/configuration.md`:
//!
//! ```text
//! /// What it does.
//! section: Type { /// What it does.
//!     field: Type = "default", in "low" ..= "high", env "NAME", flag "name"; }
//! ```
//!
//! `in`, `env` and `flag` are optional. A variable is called
//! `POLYPY_SECTION__FIELD`, and by its `env` as well; a flag `--section-field`. The words of a row are
//! what a person reads, so they give the reason for the default.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use polypy_core::ConditionId;
use polypy_core::catalogue::{Bound, Cents, Glob, Label, Phrase, SeatOrder, ShardOf};

use super::file_mode::FileMode;
pub use super::key::{Key, Section};
use super::markets::{List, Name};
use super::origins::Origins;
use super::proxy::{NoProxy, ProxyUrl};
use super::value::{
    ByteSize, HostNames, HttpUrl, LogFilter, LogFormat, Setting, WorkerCount, WsUrl,
};

/// The key called `section.field`.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

macro_rules! maybe {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! parsed {
    ($kind:ty, $text:ident) => {
        <$kind as Setting>::parse($text)
    };
    ($kind:ty, $text:ident, $low:literal, $high:literal) => {
        <$kind as Setting>::parse_within($text, $low, $high)
    };
}

macro_rules! table {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Section:ident {$(
            $(#[doc = $doc:literal])+
            $field:ident: $kind:ty = $default:literal
            $(, in $low:literal ..= $high:literal)?
            $(, env $env:literal)?
            $(, flag $flag:literal)?;
        )+}
    )+) => {
        /// Everything that can be configured, checked key by key.
        ///
        /// `Config::default()` is the configuration of an empty file.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config {$(
            $(#[doc = $section_doc])+
            pub $section: $Section,
        )+}

        $(
            $(#[doc = $section_doc])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {$(
                $(#[doc = $doc])+
                pub $field: $kind,
            )+}

            impl Default for $Section {
                fn default() -> Self {
                    Self {$(
                        $field: <$kind as Setting>::parse($default)
                            .expect("the table's defaults are valid: a test reads each of them"),
                    )+}
                }
            }
        )+

        /// The sections, in the order in which people read them.
        pub static SECTIONS: &[Section] = &[$(
            Section { name: stringify!($section), doc: &[$($section_doc),+] },
        )+];

        /// The keys, section by section.
        pub static KEYS: &[Key] = &[$($(
            Key {
                name: concat!(stringify!($section), ".", stringify!($field)),
                section: stringify!($section),
                field: stringify!($field),
                default: $default,
                shape: <$kind as Setting>::SHAPE,
                bare: <$kind as Setting>::BARE,
                list: <$kind as Setting>::LIST,
                range: maybe!($(($low, $high))?),
                doc: &[$($doc),+],
                env: maybe!($($env)?),
                flag: maybe!($($flag)?),
                set: |config, text| {
                    config.$section.$field = parsed!($kind, text $(, $low, $high)?)?;
                    Ok(())
                },
                show: |config| config.$section.$field.show(),
            },
        )+)+];
    };
}

table! {
    /// The HTTP server that answers `/health`, probes, `/stats`, `/metrics`, `/markets` and
    /// `/orderbook/{asset_id}`.
    http: HttpSection {
        /// Whether the server runs.
        enabled: bool = "false", env "ENABLE_HTTP", flag "enable-http";
        /// Address to listen on. The default suits containers; 127.0.0.1 keeps it to this machine;
        /// `::` takes IPv6 and, where the system maps it, IPv4 as well. The demo's is 127.0.0.1.
        host: IpAddr = "0.0.0.0";
        /// Whether it listens on TCP. Sockets that systemd hands over (LISTEN_FDS) take the place of
        /// that address and port.
        tcp: bool = "true";
        /// Path of a Unix socket to listen on as well; none when empty. A file that nobody listens at
        /// is replaced.
        unix_socket: Option<PathBuf> = "";
        /// Who may connect to it, as chmod takes it.
        unix_socket_mode: FileMode = "600";
        /// Port to listen on; 0 lets the system choose one, which the log then names.
        port: u16 = "8080", env "HTTP_PORT", flag "http-port";
        /// Connections held at once; past it probes alone are answered, and others told 503. Half of
        /// the 1,024 files a process may usually open.
        max_connections: usize = "512", in "1" ..= "100000";
        /// The same for one client: an IPv4 address, or an IPv6 /64. A proxy in front counts as one.
        max_connections_per_peer: usize = "128", in "1" ..= "100000";
        /// Streams and WebSockets held at once, beside those; further ones are told 503.
        max_streams: usize = "1024", in "1" ..= "100000";
        /// Places beyond those, for probes and for refusals, each held for a moment.
        reserved_connections: usize = "64", in "1" ..= "10000";
        /// Names to answer to, separated by commas, beside addresses, names without a dot and names
        /// under domains that nobody can own; *.example.org stands for all below it, * for any name.
        /// A page in a browser whose name was pointed at this server is refused so.
        allowed_hosts: HostNames = "";
        /// File with the server's certificate in PEM form, those that vouch for it behind it; TCP
        /// is plain when empty. SIGHUP reads it and the key again.
        tls_cert: Option<PathBuf> = "";
        /// File with the certificate's private key, in PEM form and without a password.
        tls_key: Option<PathBuf> = "";
        /// File with a token that requests must bring as `Authorization: Bearer`, or a browser by
        /// /login; everyone is answered when empty. SIGHUP reads it again.
        token_file: Option<PathBuf> = "";
        /// Whether /health, /livez, /readyz and /startupz are answered without the token.
        open_probes: bool = "true";
        /// Whether / answers browsers with the page that shows health, markets and books. It is
        /// open to everyone; what it shows needs the token.
        page: bool = "true";
        /// Origins whose pages may read the answers in a browser, separated by commas, such as
        /// `https://app.example.org`; * for every page.
        cors_origins: Origins = "";
        /// From a request's first byte to the end of its head.
        header_read_timeout: Duration = "10s", in "100ms" ..= "5m";
        /// How long an answered connection may stay without a new request. Longer than the minute
        /// at which slow scrapers ask.
        idle_timeout: Duration = "75s", in "1s" ..= "1h";
        /// The window in which the rate of a slow client is measured.
        write_timeout: Duration = "30s", in "100ms" ..= "10m";
        /// Bytes a second that a client takes of its answer at least; slower ones are reset after the
        /// window. A fifth of what a modem takes.
        min_send_rate: ByteSize = "4KiB", in "1B" ..= "1GiB";
        /// Memory that rendered answers may hold, with those that slow clients still read. Two lists
        /// of 50,000 markets and room for everything else.
        answer_memory: ByteSize = "96MiB", in "1MiB" ..= "16GiB";
        /// Bytes that the system may hold for each client that does not read; it takes twice this in
        /// memory. Enough for a megabyte a second over an ocean.
        send_buffer: ByteSize = "64KiB", in "4KiB" ..= "16MiB";
        /// How long an answer may be computed before the client is told 503.
        answer_timeout: Duration = "5s", in "100ms" ..= "1m";
        /// Share of the books that must be live for `/readyz` to say yes. A lost connection takes
        /// some of them away for a second.
        ready_live_share: f64 = "0.9", in "0.0" ..= "1.0";
        /// How long requests are still served after the program was told to end, with `/readyz` saying
        /// no from the first moment: the time that load balancers need to notice. Added to
        /// shutdown.deadline.
        drain_delay: Duration = "0ms", in "0ms" ..= "10m";
        /// What requests in flight get to finish when the server stops.
        drain_deadline: Duration = "3s", in "0ms" ..= "5m";
        /// Longest request head; past it the answer is 431.
        max_header_bytes: ByteSize = "32KiB", in "8KiB" ..= "1MiB";
    }

    /// The administration listener, at which a few things are changed while the program runs: the
    /// log's level, a connection, a book. It is off while both of its places are empty.
    admin: AdminSection {
        /// Path of a Unix socket to listen on, for the program's own user alone (600); none when empty.
        unix_socket: Option<PathBuf> = "";
        /// Address and port to listen on, such as 127.0.0.1:9001; none when empty. It needs
        /// admin.token_file, and speaks TLS where http.tls_cert is set.
        listen: Option<SocketAddr> = "";
        /// File with a token that every request must bring as `Authorization: Bearer`; another one than
        /// that of http.token_file. SIGHUP reads it again.
        token_file: Option<PathBuf> = "";
    }

    /// What `/metrics` has beside what it always has.
    metrics: MetricsSection {
        /// Whether each connection has series of its own: eight or nine for each of what may be
        /// hundreds.
        per_connection: bool = "false";
        /// Whether the metrics of the original program are there too, under its names.
        legacy: bool = "false";
    }

    /// What the program says of itself, on standard error.
    log: LogSection {
        /// off, error, warn, info, debug or trace; or directives by module, such as
        /// info,polypy_net=debug.
        level: LogFilter = "info", env "LOG_LEVEL", flag "log-level";
        /// Text for people or a JSON object a line; auto chooses text on a terminal.
        format: LogFormat = "auto";
    }

    /// Where the venue is. `--demo` replaces all three by the embedded exchange.
    venue: VenueSection {
        /// The catalogue of markets.
        gamma_url: HttpUrl = "https://gamma-api.polymarket.com";
        /// Whole books by request.
        clob_url: HttpUrl = "https://clob.polymarket.com";
        /// The market channel.
        ws_url: WsUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/market";
        /// Proxy to reach it by, with HTTP's CONNECT: `http://HOST:PORT`, and `USER:PASSWORD@` before
        /// the host if it asks for them; straight when empty. For https and wss.
        proxy: ProxyUrl = "", env "HTTPS_PROXY";
        /// Hosts that are reached without it, separated by commas: a name stands for all below it as
        /// well.
        no_proxy: NoProxy = "", env "NO_PROXY";
        /// File with certificates in PEM form that are trusted beside those in the binary, such as that
        /// of a proxy that looks into TLS.
        ca_file: Option<PathBuf> = "";
        /// For one answer of Gamma or the CLOB. They take a second; slow lines exist.
        request_deadline: Duration = "20s", in "100ms" ..= "10m";
    }

    /// Which markets are followed: all of them while nothing is set here. Values of one key are
    /// alternatives, and each key that is set must hold; what an exclude_ key names is left out
    /// whatever else holds. An array or a text with commas has several values.
    markets: MarketsSection {
        /// Slugs or labels of tags, such as crypto or Middle East. A market whose tags the venue has
        /// not stated has none of them.
        tags: List<Label> = "";
        /// Categories. The venue states them rarely: prefer tags.
        categories: List<Label> = "";
        /// Slugs of events, with * for any text.
        events: List<Glob> = "";
        /// Slugs of markets, with * for any text, such as btc-updown-*.
        slugs: List<Glob> = "";
        /// Words of the question, the event's title or the slug: all words of a phrase begin a word
        /// there. Capitals and accents make no difference.
        text: List<Phrase> = "";
        /// Condition ids.
        ids: List<ConditionId> = "";
        /// Left out: slugs or labels of tags.
        exclude_tags: List<Label> = "";
        /// Left out: categories.
        exclude_categories: List<Label> = "";
        /// Left out: slugs of events, with * for any text.
        exclude_events: List<Glob> = "";
        /// Left out: slugs of markets, with * for any text.
        exclude_slugs: List<Glob> = "";
        /// Left out: words of the question, the event's title or the slug.
        exclude_text: List<Phrase> = "";
        /// Left out: condition ids.
        exclude_ids: List<ConditionId> = "";
        /// Followed besides, unless they are left out: condition ids, whole slugs of markets or of
        /// events. No other key but shard leaves them out, and max_markets does not count them.
        also: List<Name> = "";
        /// Dollars that were traded at least. A market that is followed goes when it falls below half,
        /// here and in the next two.
        min_volume: Option<Cents> = "";
        /// Dollars that were traded within a day at least.
        min_volume_day: Option<Cents> = "";
        /// Dollars that the orders in its books are worth at least.
        min_liquidity: Option<Cents> = "";
        /// When a market ends at the earliest: a date (its first moment, UTC), a moment (RFC 3339),
        /// or how long from now, such as 7d or 12h. What is followed stays when time moves on.
        ends_after: Option<Bound> = "";
        /// When it ends at the latest, written in the same way.
        ends_before: Option<Bound> = "";
        /// Whether only markets of negative-risk events are meant, or none of them.
        neg_risk: Option<bool> = "any";
        /// Most markets to follow, the first by order; 0 follows all, some 50,000 if no other key
        /// is set.
        max_markets: usize = "0";
        /// Which come first where max_markets is set: volume_day, volume, liquidity, end (those
        /// that end first) or listed (those that were listed first).
        order: SeatOrder = "volume_day";
        /// Which part of the markets this process follows, of several that divide them: 0/4 to 3/4.
        /// All of them need the same other keys.
        shard: Option<ShardOf> = "", flag "shard";
        /// File in which the keys are kept that are set while the program runs, at the administration
        /// listener; none when empty, and they are gone with the program. Its folder must be there
        /// and be writable. It is read at the start.
        overlay_file: Option<PathBuf> = "";
    }

    /// How markets are discovered, and for how long they are kept.
    lifecycle: LifecycleSection {
        /// Between two crawls of the catalogue. New markets are announced on the market channel
        /// meanwhile.
        discovery_interval: Duration = "60s", in "1s" ..= "24h";
        /// How long a settled market stays readable.
        forget_after: Duration = "1h", in "0ms" ..= "720h";
    }

    /// How subscriptions are spread over connections.
    pool: PoolSection {
        /// Tokens per connection. At 200 a lost connection costs little, and opening books never
        /// fail to come, as they do past 500.
        target: usize = "200", in "2" ..= "5000";
        /// Most tokens on one connection, reached when the other token of a market has to join the
        /// first.
        cap: usize = "500", in "2" ..= "5000";
        /// Connections that carry each token. With two, which fail independently, a book stays live
        /// while either brings it; the venue then sends everything twice.
        replicas: usize = "1", in "1" ..= "2";
        /// Least time between two connection attempts of the whole pool; bursts are answered with
        /// 429.
        pace: Duration = "100ms", in "0ms" ..= "1m";
        /// How long two small connections have had all their books before they are made one.
        merge_after: Duration = "10m", in "100ms" ..= "24h";
        /// Whether settled tokens are unsubscribed at once. If not, they stay until their connection is
        /// recycled.
        unsubscribe_settled: bool = "true";
        /// Tokens per subscribe frame. Past 750 the venue sends no opening books.
        chunk: usize = "100", in "2" ..= "500";
        /// Name look-up, TCP, TLS and upgrade together.
        handshake_deadline: Duration = "15s", in "100ms" ..= "5m";
        /// Between keep-alive messages, as the venue documents. A silent socket dies at about 125 s.
        ping_interval: Duration = "10s", in "100ms" ..= "100s";
        /// Without an answer and without data for this long a connection is dead.
        pong_deadline: Duration = "30s", in "100ms" ..= "10m";
        /// Shortest silence of a connection's tokens that is worth asking for a sign of life.
        silence_min: Duration = "45s", in "100ms" ..= "24h";
        /// Longest silence without asking, for connections of quiet markets.
        silence_max: Duration = "5m", in "100ms" ..= "24h";
        /// How long to wait for that sign. It may queue behind a backlog of up to 11 s.
        probe_deadline: Duration = "15s", in "100ms" ..= "5m";
        /// First delay before connecting again, doubling, with full jitter.
        backoff: Duration = "250ms", in "1ms" ..= "1m";
        /// Longest such delay.
        backoff_cap: Duration = "30s", in "1ms" ..= "1h";
        /// A connection that lived this long and had data starts its delays over.
        stable_after: Duration = "30s", in "100ms" ..= "1h";
        /// A token without a book this long after it was asked for is asked for again. Opening
        /// books take up to 0.5 s.
        first_book_deadline: Duration = "8s", in "100ms" ..= "10m";
        /// Largest message accepted. An opening of 600 tokens exceeds 1 MiB.
        max_message: ByteSize = "16MiB", in "64KiB" ..= "1GiB";
        /// Books asked for again a second, over all connections, so that no fault becomes a storm.
        resyncs_per_second: u32 = "200", in "1" ..= "100000";
    }

    /// The threads that keep the books.
    workers: WorkersSection {
        /// Threads; auto takes one fewer than there are cores, one to four.
        count: WorkerCount = "auto";
        /// Events that one worker's queue holds. Past it events are dropped, and their books are
        /// stale until fetched again.
        queue_events: usize = "65536", in "64" ..= "16777216";
        /// Events up to which what one read of a socket brought is applied at once, on the socket's
        /// own thread, if the worker has nothing to do; more is queued, and from half a queue on
        /// the socket's thread helps the worker. 0 leaves everything to the worker.
        direct_events: usize = "256", in "0" ..= "65536";
        /// Trades kept of each token, the newest, some 70 bytes each. By them a trade that a
        /// second connection brings again is told from a new one: with 0 none is kept, and
        /// none is streamed.
        trades_kept: usize = "50", in "0" ..= "1000";
    }

    /// How books are checked, and when one is no longer shown as live.
    integrity: IntegritySection {
        /// Whether the venue's hash of each book is recomputed after every change.
        hash_check: bool = "true";
        /// Share of a core that each worker may spend on hashes. Half a core pays for some 150,000
        /// checks a second; past it checks are left out, each book still being checked once a
        /// second.
        hash_cpu_percent: u32 = "50", in "0" ..= "100";
        /// Searches a second and worker for a trade price that the hash already knows and the feed
        /// has not announced. One takes about 0.2 ms.
        hash_searches_per_second: u32 = "100", in "0" ..= "1000000";
        /// Hashes in a row that may fail before a book is wrong. One is enough: each has failed
        /// twice by then, at once and against the next change.
        hash_failures: NonZeroU32 = "1", in "1" ..= "1000";
        /// How long a book may be in doubt, and shown as stale, before it is fetched again. Usually
        /// the next change settles it; the parts of a batch arrive within a tenth of this.
        doubt_patience: Duration = "1s", in "10ms" ..= "1m";
        /// How long the feed may be behind a book fetched over REST before it counts as silent.
        /// The longest seen was 1.1 s.
        audit_patience: Duration = "2s", in "10ms" ..= "1m";
        /// How long a book may stay crossed or locked without a hash that proves it right.
        crossed_patience: Duration = "1s", in "10ms" ..= "1m";
    }

    /// When a connection is replaced, without a gap, by a fresh one.
    recycler: RecyclerSection {
        /// Share of settled tokens at which a connection is replaced.
        pollution: f64 = "0.3", in "0.01" ..= "1.0";
        /// Age at which it is replaced, a little later for some than for others.
        age: Duration = "24h", in "1s" ..= "8760h";
        /// How long a connection is unhealthy before it is replaced: its own reconnecting comes first.
        unhealthy_for: Duration = "90s", in "1s" ..= "24h";
        /// Between two looks at all connections.
        check_interval: Duration = "60s", in "100ms" ..= "24h";
        /// Replacements under way at once; each doubles its connection's traffic.
        concurrency: usize = "2", in "1" ..= "64";
        /// Longest a replacement may take to have every book; the old connection stays otherwise.
        deadline: Duration = "30s", in "100ms" ..= "10m";
    }

    /// The slow comparison of every book with the venue's answer over REST, which finds tokens
    /// that fell silent.
    audit: AuditSection {
        /// Whether it runs.
        enabled: bool = "true";
        /// The time over which every book is compared once. 93,000 tokens in five minutes are
        /// three requests a second, of the fifty that the venue allows.
        period: Duration = "5m", in "1s" ..= "24h";
        /// Tokens in one request.
        chunk: usize = "100", in "1" ..= "500";
    }

    /// Streams of changes.
    stream: StreamSection {
        /// What may wait for one client. A client that lets more wait finds a gap, and then
        /// snapshots.
        buffer: ByteSize = "4MiB", in "64KiB" ..= "1GiB";
        /// What is kept of the latest messages, all clients together, for those that come back.
        ring: ByteSize = "64MiB", in "1MiB" ..= "16GiB";
        /// For how long they are kept. A book that nobody wants any more stays followed for so
        /// long.
        ring_age: Duration = "60s", in "1s" ..= "1h";
        /// Between two heartbeats of a client's stream.
        heartbeat: Duration = "5s", in "1s" ..= "1m";
    }

    /// Recording what the venue says, frame by frame, to a folder: docs/recording.md.
    record: RecordSection {
        /// The folder, which is created if it is not there; nothing is recorded when empty.
        dir: Option<PathBuf> = "", flag "record";
        /// A file ends once it has so many bytes.
        rotate_size: ByteSize = "512MiB", in "1MiB" ..= "1024GiB";
        /// Or once it is so old. A file that is lost, or is to be copied, is as much as this.
        rotate_after: Duration = "10m", in "10s" ..= "24h";
        /// Bytes that are compressed together. More makes files smaller; a kill loses what waits.
        chunk: ByteSize = "8MiB", in "64KiB" ..= "32MiB";
        /// Or those of so much time.
        chunk_after: Duration = "2s", in "100ms" ..= "1m";
        /// How hard they are compressed: the level of zstd. The default suits most: each further one
        /// takes much longer for a few hundredths. `polypy compact` makes finished files smaller.
        zstd_level: u32 = "1", in "1" ..= "19";
        /// Between two syncs: a power cut loses this much beside what a kill does.
        sync: Duration = "1s", in "100ms" ..= "1m";
        /// Bytes that may wait for the writer. When they do, frames are dropped, and a gap says so:
        /// the feed waits for no disk.
        queue: ByteSize = "64MiB", in "1MiB" ..= "4GiB";
        /// Files whose last entry is older are removed; none when zero.
        keep_for: Duration = "0ms", in "0ms" ..= "87600h";
        /// The oldest files are removed while all take more than this; none when zero.
        keep_bytes: ByteSize = "0B", in "0B" ..= "1048576GiB";
        /// Bytes of the disk that are left to others: with less the recorder stops until there is
        /// more.
        disk_reserve: ByteSize = "1GiB", in "0B" ..= "1048576GiB";
    }

    /// The flight recorder: the last of what sockets say is kept in memory, and written to a file
    /// when a check finds a book wrong or a worker dies: docs/recording.md.
    flight_recorder: FlightRecorderSection {
        /// Bytes of frames that are kept, as many again of copies of books, and a quarter of it for
        /// answers that books are compared with; 0 turns the flight recorder off.
        memory: ByteSize = "16MiB", in "0B" ..= "16GiB";
        /// Folder of the files, which is created with the first. When empty: `incidents` in record.dir,
        /// where that is set; else in the folder that systemd names ($STATE_DIRECTORY); else in `polypy`
        /// below $XDG_STATE_HOME or ~/.local/state; without any of these where the program was started.
        dir: Option<PathBuf> = "";
        /// Files within an hour. Further incidents are counted.
        per_hour: usize = "4", in "1" ..= "3600";
        /// Files that are kept; the oldest are removed.
        keep: usize = "16", in "1" ..= "100000";
    }

    /// How the program ends.
    shutdown: ShutdownSection {
        /// For everything together; what has not ended then is aborted and named. Set it below the
        /// time after which a supervisor kills.
        deadline: Duration = "10s", in "100ms" ..= "1h";
    }

    /// The embedded exchange of `polypy run --demo` and `polypy sim`.
    sim: SimSection {
        /// Where it listens; port 0 lets the system choose.
        listen: SocketAddr = "127.0.0.1:0";
        /// Decides every market and every event: the same seed is the same venue.
        seed: u64 = "1";
        /// Markets, with two tokens each.
        markets: usize = "500", in "1" ..= "100000";
        /// Order events and trades a second over all markets.
        rate: f64 = "2000.0", in "0.0" ..= "10000000.0";
        /// Markets announced a minute.
        new_markets_per_minute: f64 = "6.0", in "0.0" ..= "10000000.0";
        /// Markets settled a minute.
        resolve_per_minute: f64 = "2.0", in "0.0" ..= "10000000.0";
        /// A recording of frames (JSON lines) to play instead of the seeded flow; none when empty.
        playback: Option<PathBuf> = "";
        /// 1 plays as recorded, 10 ten times faster, 0 as fast as possible.
        playback_speed: f64 = "1.0", in "0.0" ..= "10000000.0", flag "sim-speed";
        /// A script of faults (TOML) to run from the start of the exchange; none when empty.
        script: Option<PathBuf> = "", flag "script";
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
