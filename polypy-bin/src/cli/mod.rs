//! The command line, as typed. What it means is decided by the configuration.
//!
//! Flags for keys come from the table of keys, so a key cannot lack its flag;
//! their values stay text here, to be judged with the other layers' values and
//! reported together with them.

mod flags;
mod markets;
#[cfg(feature = "archive")]
mod recordings;
#[cfg(all(feature = "archive", feature = "sim"))]
mod replay;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
#[cfg(feature = "archive")]
use polypy::config::Source;
use polypy::exit::Exit;

use crate::ask;
use flags::AllKeys;
#[cfg(feature = "sim")]
use flags::SimKeys;
pub(crate) use markets::{Events, Markets, flag};
#[cfg(all(feature = "archive", feature = "sim"))]
pub(crate) use recordings::Span;
#[cfg(feature = "archive")]
use recordings::{
    CAT_EXAMPLES, COMPACT_EXAMPLES, IMPORT_EXAMPLES, INFO_EXAMPLES, REPAIR_EXAMPLES,
    VERIFY_EXAMPLES,
};
#[cfg(feature = "archive")]
pub(crate) use recordings::{Cat, Compact, Import, Info, Repair, Verify};
#[cfg(all(feature = "archive", feature = "sim"))]
use replay::REPLAY_EXAMPLES;
#[cfg(all(feature = "archive", feature = "sim"))]
pub(crate) use replay::Replay;

/// Columns of a help; what is longer is broken.
const MOST_COLUMNS: usize = 100;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "polypy",
    version,
    about = "The Polymarket market-data server: every book, and how right it is",
    after_help = AFTER_HELP,
    after_long_help = after_long_help(),
    arg_required_else_help = true,
    max_term_width = MOST_COLUMNS
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Follow the venue and keep every book
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// The same, and record what the venue says to a folder
    #[cfg(feature = "archive")]
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Record),
    /// Run the embedded exchange alone: Gamma, CLOB and market channel on one port
    #[cfg(feature = "sim")]
    #[command(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// Ask a running server how it is, and end with 0 if it is well, with 1 if not
    #[command(after_help = HEALTH_EXAMPLES)]
    Health(Health),
    /// Follow a running server's stream: every change of books, trades, states and markets
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(Tail),
    /// Show the book of a token of a running server, and keep it up to date with --watch
    #[command(after_help = BOOK_EXAMPLES)]
    Book(Book),
    /// Find markets of a running server by their words, with their best prices
    #[command(after_help = MARKETS_EXAMPLES)]
    Markets(Box<Markets>),
    /// Find events of a running server by their words, or show one by its slug with all its markets
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(Box<Events>),
    /// Show the newest trades of a token, or of a market by its slug
    #[command(after_help = TRADES_EXAMPLES)]
    Trades(Trades),
    /// Watch a running server: totals, markets or connections, the ladder of a market
    #[cfg(feature = "tui")]
    #[command(after_help = TOP_EXAMPLES)]
    Top(Top),
    /// Show what is in a recording: files, times, sockets, bytes, and what is missing
    #[cfg(feature = "archive")]
    #[command(after_help = INFO_EXAMPLES)]
    Info(Info),
    /// Print the entries of a recording, a JSON object a line
    #[cfg(feature = "archive")]
    #[command(after_help = CAT_EXAMPLES)]
    Cat(Cat),
    /// Hold a recording against the venue's hashes, its best prices and itself
    #[cfg(feature = "archive")]
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Make a recording of frames that were kept as lines of JSON
    #[cfg(feature = "archive")]
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Import),
    /// End what a kill has cut of a recording, and leave out what is damaged
    #[cfg(feature = "archive")]
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair(Repair),
    /// Compress the files of a recording again, for keeping
    #[cfg(feature = "archive")]
    #[command(after_help = COMPACT_EXAMPLES)]
    Compact(Compact),
    /// Serve a recording as the venue served it, to any client
    #[cfg(all(feature = "archive", feature = "sim"))]
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Check the configuration and name every mistake
    #[command(after_help = CHECK_EXAMPLES)]
    CheckConfig(CheckConfig),
    /// Write man pages and completions to a folder, for those who make packages
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Use the embedded exchange instead of the venue, and turn the HTTP server on
    #[cfg_attr(feature = "sim", arg(long))]
    #[cfg_attr(not(feature = "sim"), arg(skip))]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) keys: AllKeys,
}

#[cfg(feature = "archive")]
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The folder, which is created if it is not there
    #[arg(
        value_name = "DIR",
        conflicts_with = "record.dir",
        value_parser = folder
    )]
    dir: String,
    #[command(flatten)]
    run: Run,
}

/// A folder's name; an empty one would be no recording.
#[cfg(feature = "archive")]
fn folder(typed: &str) -> Result<String, &'static str> {
    if typed.is_empty() {
        Err("it is empty: name a folder, as in `polypy record recordings`, or `.` for this one")
    } else {
        Ok(typed.to_owned())
    }
}

#[cfg(feature = "archive")]
impl Record {
    /// As `run --record DIR`.
    pub(crate) fn into_run(self) -> Run {
        let Self { dir, mut run } = self;
        let flag = "DIR".to_owned();
        if let Some(key) = polypy::config::key("record.dir") {
            run.keys.0.set(key, dir, Source::Flag { flag });
        }
        run
    }
}

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
pub(crate) struct Sim {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) keys: SimKeys,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Where to ask, also unix:FILE; without a path, /health [default: the address and port of the configuration]
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// File with the token to show [default: that of the configuration, without --url and with http.open_probes = false]
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// File with the certificate of who vouches for the server's own, in PEM form
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print the whole answer
    #[arg(long)]
    pub(crate) json: bool,
    /// How long to wait for it
    #[arg(long, default_value = "2s", value_parser = ask::duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) file: File,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Token ids, markets by condition id or slug, events as event:SLUG [default: everything]
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// What to follow: book, top, trade, state, market, stats, health [default: book,trade,state,market]
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
    pub(crate) channels: Vec<String>,
    /// Only the latest state of each token, at most this often
    #[arg(long, value_name = "DURATION", value_parser = ask::duration)]
    pub(crate) interval: Option<Duration>,
    /// Levels a side: 1, 5, 10, 20, 50 or 100 [default: all]
    #[arg(long, value_name = "LEVELS")]
    pub(crate) depth: Option<u32>,
    /// Print the messages as they come, one JSON object a line: docs/stream.md
    #[arg(long)]
    pub(crate) json: bool,
    /// End after so many messages
    #[arg(long, value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Book {
    /// The token's id, or its first ten digits and more, as `polypy markets` shows them
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// Show it again whenever it changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Levels a side at most
    #[arg(long, value_name = "LEVELS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) depth: u16,
    /// Print the answer of /orderbook; with --watch an object a line, whenever what it shows changes
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Trades {
    /// A token's id or its first ten digits and more, or a market's slug or condition id
    #[arg(value_name = "TOKEN|MARKET")]
    pub(crate) of: String,
    /// Trades at most, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// Print the trades as the server has them, one JSON object a line: docs/http-api.md
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[cfg(feature = "tui")]
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Words of question, event or slug: only markets that have them [default: all that are followed]
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Begin with the connections to the venue
    #[arg(long, conflicts_with = "query")]
    pub(crate) connections: bool,
    /// Order: volume_day, change, spread, volume, liquidity, end, listed or relevance; of connections
    /// trouble, name, messages, bytes, silence, tokens or reconnects [default: volume_day, relevance
    /// with words; trouble]
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<String>,
    /// Between two looks at the table; totals and ladders come by themselves
    #[arg(short, long, value_name = "DURATION", default_value = "2s", value_parser = ask::duration)]
    pub(crate) delay: Duration,
    /// Print it once as plain text, and end; so does an output that is no terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print it once as a JSON object: health, sample, and markets or connections
    #[arg(long)]
    pub(crate) json: bool,
    /// Rows of what is printed once, at most [default: 20]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: Option<u16>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Which server is asked.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where to ask: http://HOST:PORT, ws://HOST:PORT, https or wss, or unix:FILE [default: the address and port of the configuration]
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// File with the token to show [default: that of the configuration, without --url]
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// File with the certificate of who vouches for the server's own, in PEM form
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) file: File,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// Print every value in force with its origin, as TOML
    #[arg(long)]
    pub(crate) print: bool,
    /// Check what `run --demo` would use
    #[cfg_attr(feature = "sim", arg(long))]
    #[cfg_attr(not(feature = "sim"), arg(skip))]
    pub(crate) demo: bool,
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) keys: AllKeys,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The folder, which gets `man` and `completions`
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The day that man pages bear, as 2026-11-30
    #[arg(long, default_value = "undated")]
    pub(crate) date: String,
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// TOML file to read [default: ./polypy.toml, then polypy/polypy.toml in the user's and the
    /// system's configuration folder] [env: POLYPY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  polypy run --demo                    books of an embedded exchange, served on port 8080
  polypy run --enable-http             the real venue
  polypy record recordings             the same, and what it says goes to a folder
  polypy markets bitcoin               markets of a running server, with their best prices
  polypy events election               events, and the markets of one
  polypy trades MARKET                 the newest trades
  polypy tail --channels trade         every trade that a running server sees
  polypy check-config --print          every value in force, and where it was written

`polypy run --help` lists every key. Documentation: docs/configuration.md, docs/http-api.md, of
which the package has all in /usr/share/doc/polypy, and a release in polypy-VERSION-doc.tar.gz";

const RUN_EXAMPLES: &str = "\
Examples:
  polypy run --demo
  polypy run --demo --script faults.toml
  polypy run --enable-http --http-port 9090 --markets-max-markets 500
  ENABLE_HTTP=true HTTP_PORT=9090 LOG_LEVEL=debug polypy run
  polypy run --config polypy.toml --log-format json

Every key can also be set in the file and in the environment; flags outrank both.
SIGINT (Ctrl-C) or SIGTERM drains and ends; a second one ends at once. SIGHUP reads the
configuration again and follows what [markets] says now, and the files of token and certificate;
with a terminal it ends like SIGTERM, and under nohup it does nothing.";

#[cfg(feature = "archive")]
const RECORD_EXAMPLES: &str = "\
Examples:
  polypy record recordings --demo
  polypy record /var/lib/polypy/recordings --markets-tags politics
  polypy record recordings --record-keep-for 720h --record-keep-bytes 200GiB

It is `polypy run --record DIR`: books are kept and served as ever, and what sockets bring is
written as it came, with the time of arrival. Another run to the same folder goes on in new files,
and repairs what a kill has left. See docs/recording.md.";

#[cfg(feature = "sim")]
const SIM_EXAMPLES: &str = "\
Examples:
  polypy sim --listen 127.0.0.1:9000 --markets 2000 --rate 5000
  polypy sim --playback frames.jsonl --speed 10
  polypy sim --script faults.toml      faults by name, each at its time: docs/sim.md

Point a server to it with --venue-gamma-url, --venue-clob-url and --venue-ws-url as printed.
The control interface under /sim/ is described in docs/sim.md.";

const HEALTH_EXAMPLES: &str = "\
Examples:
  polypy health
  polypy health --url http://localhost:8080/livez
  polypy health --json

One line on standard output, for the health check of a container whose image has no curl.";

const TAIL_EXAMPLES: &str = "\
Examples:
  polypy tail will-it-rain-in-lisbon-on-friday
  polypy tail --channels trade
  polypy tail --channels top --interval 1s event:weather-in-lisbon
  polypy tail --json --count 1000 > messages.ndjson
  polypy tail --url wss://books.example:8443 --ca-file ca.pem --token-file token

It comes back by itself when the connection is lost, and says what is missing then. Ends with
Ctrl-C, or when its reader has seen enough.";

const BOOK_EXAMPLES: &str = "\
Examples:
  polypy book 7132104567925221259462638553270691275033272857194253228963137931245558399256
  polypy book --watch --depth 5 TOKEN
  polypy book --json TOKEN | jq .state

Ends with 0 if there is a book, be it one that is not to be trusted: the first line says.";

const EVENTS_EXAMPLES: &str = "\
Examples:
  polypy events
  polypy events election --sort end
  polypy events weather-in-lisbon
  polypy events --tags crypto --limit 10
  polypy events --json weather-in-lisbon | jq '.markets[].question'

A row for each event: how many of its markets are followed, when the last of them ends, dollars
traded within a day, and the slug that shows it alone. Of one event: its markets as `polypy markets`
shows them, and what the best prices of their first outcomes add up to.";

const TRADES_EXAMPLES: &str = "\
Examples:
  polypy trades will-it-rain-in-lisbon-on-friday
  polypy trades 7132104567 --limit 5
  polypy trades --json TOKEN | jq -r .price
  polypy tail --channels trade TOKEN        as they come

The newest first: when, by the venue; which outcome was bought or sold; at what price, how many. As
many as the server keeps (workers.trades_kept), since it follows the market.";

const MARKETS_EXAMPLES: &str = "\
Examples:
  polypy markets bitcoin
  polypy markets bitcoin --ends-after 0d --ends-before 7d --sort spread
  polypy markets --tags politics --min-volume-day 10000 --limit 10
  polypy markets --json --limit 100000 > markets.ndjson
  polypy markets --slugs 'btc-updown-*' --all --status any
  polypy markets --state stale              markets of which a book is not to be trusted now
  polypy markets --dry-run --config polypy.toml
  polypy markets --dry-run --markets-tags crypto --markets-min-volume-day 10000
  polypy markets --dry-run --json --config polypy.toml | jq .followed

A row for each token: its best bid and ask, or how far its book is instead of prices that are not
to be traded on; the beginning of its id, which `polypy book` takes; when the market ends; dollars
traded within a day. Ends with 0 if the server answered, be it that nothing matches.";

#[cfg(feature = "tui")]
const TOP_EXAMPLES: &str = "\
Examples:
  polypy top
  polypy top --url http://localhost:8080 bitcoin
  polypy top --connections --sort silence
  polypy top --once --limit 10 | mail -s books operator
  polypy top --json | jq '.sample.books_live'

Keys: Tab markets or connections, s the next order, / search, Enter the ladder of a market, o its
other outcome, Ctrl-L draw again, Ctrl-Z to the shell, ? all of them, q quit. 80 columns and 24
lines or more; sixteen colours, none with NO_COLOR.";

const CHECK_EXAMPLES: &str = "\
Examples:
  polypy check-config
  polypy check-config --print --config polypy.toml > effective.toml";

/// Adds the command that an unknown one was meant to be, where it is too short
/// for clap's own measure.
pub(crate) fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(typed)) => typed.clone(),
        Some(_) | None => return error,
    };
    if error.get(ContextKind::SuggestedSubcommand).is_none() {
        let command = Cli::command();
        let names = command.get_subcommands().map(clap::Command::get_name);
        if let Some(meant) = polypy::config::nearest(&typed, names) {
            let meant = ContextValue::Strings(vec![meant.to_owned()]);
            error.insert(ContextKind::SuggestedSubcommand, meant);
        }
    }
    error
}

fn after_long_help() -> String {
    let mut text = format!("{AFTER_HELP}\n\nExit codes:\n");
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("  {:<4} {meaning}\n", exit.code()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_line_of_a_help_is_broken_in_its_midst() {
        let command = Cli::command();
        let mut long = Vec::new();
        for command in command.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let lines = help.lines().filter(|line| line.len() > MOST_COLUMNS);
            long.extend(lines.map(|line| format!("{}: {line}", command.get_name())));
        }
        assert_eq!(long, Vec::<String>::new());
    }
}
