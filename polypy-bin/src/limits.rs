//! What the process may use of the system, and who gets how much of it.
//!
//! Descriptors are shared out at the start: HTTP keeps its places, a reserve is
//! left for files and listeners, and the venue's sockets may have all the rest. So
//! neither a flood of clients nor a catalogue that needs hundreds of sockets takes
//! from the other. What does not fit is said once, with the remedy, and what can
//! follow follows: places for clients shrink to a quarter at the least.
//!
//! Memory is only compared: nothing can be taken back from the system.

use std::path::{Path, PathBuf};

use polypy_core::catalogue::ShardOf;

use crate::config::{Config, conversion};

/// The venue's active markets when all are followed.
const WHOLE_VENUE: usize = 50_000;
const TOKENS_A_MARKET: usize = 2;
/// Requests over REST at once: crawls, look-ups, audits, single books.
const REST_SOCKETS: usize = 32;
/// Standard streams, the runtime's own, listeners, files, name look-ups.
const RESERVE: usize = 64;
/// Of what is left after the reserve HTTP keeps this part, however much the venue needs.
const LEAST_HTTP: usize = 4;

/// Bytes that the program has before its first market.
const BASE_MEMORY: usize = 40 << 20;
/// Bytes a token, with its book, its share of a market and of a socket
/// (`docs/performance.md`, "Where memory goes").
const TOKEN_MEMORY: usize = 5 << 10;
/// Bytes a market takes that is listed, followed or not
/// (`docs/performance.md`, "The catalogue").
const LISTED_MEMORY: usize = 1 << 10;
/// Bytes a connection of a client has beside the system's send buffer: its task,
/// its timer, what was read of its request.
const CLIENT_MEMORY: usize = 16 << 10;

/// What the system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct System {
    /// Descriptors; `None` when there is no limit.
    pub descriptors: Option<usize>,
    /// Bytes of memory; `None` when that could not be learned.
    pub memory: Option<u64>,
}

impl System {
    /// Raises the soft limit of descriptors to the hard one and reads the rest.
    pub fn raise() -> Self {
        Self {
            descriptors: raise_descriptors(),
            memory: memory(),
        }
    }
}

/// Who may use how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    system: System,
    /// Sockets to the venue that the configuration will need.
    pub venue_needed: usize,
    /// Sockets to the venue that there may be; `None` without a limit.
    pub venue: Option<usize>,
    /// Places for HTTP connections.
    pub http_connections: usize,
    /// Places for streams beside them.
    pub http_streams: usize,
    /// Places for probes and refusals beside both.
    pub http_reserved: usize,
    http_wanted: usize,
    /// Descriptors of this process that a socket to the venue takes.
    ends: usize,
    /// Bytes that all of it comes to.
    pub memory_needed: u64,
}

impl Shares {
    /// Shares out what the system allows. With `demo` the exchange is in this
    /// process and holds the other end of each of the venue's sockets.
    pub fn of(config: &Config, system: System, demo: bool) -> Self {
        let listed = if demo {
            config.sim.markets
        } else {
            WHOLE_VENUE
        };
        // Of any other choice nobody knows how many markets it has before they are listed.
        let most = match config.markets.max_markets {
            0 => listed,
            most => most.min(listed),
        };
        let parts = config.markets.shard.map_or(1, ShardOf::parts);
        let markets = most.div_ceil(usize::from(parts));
        let tokens = markets * TOKENS_A_MARKET;
        let sockets = tokens.div_ceil(config.pool.target) * config.pool.replicas;
        let ends = if demo { 2 } else { 1 };
        let venue_needed = sockets + config.recycler.concurrency + REST_SOCKETS;
        let http = &config.http;
        let (mut connections, mut streams, mut reserved) = if http.enabled {
            (
                http.max_connections,
                http.max_streams,
                http.reserved_connections,
            )
        } else {
            (0, 0, 0)
        };
        let http_wanted = connections + streams + reserved;
        let mut venue = None;
        if let Some(limit) = system.descriptors {
            let shared = limit.saturating_sub(RESERVE);
            let left = shared.saturating_sub(venue_needed * ends);
            let http = http_wanted.min(left.max(shared / LEAST_HTTP));
            if http < http_wanted {
                reserved = reserved.min((http / LEAST_HTTP).max(1));
                // The rest in proportion to what was asked for.
                let rest = http.saturating_sub(reserved);
                let wanted = (connections + streams).max(1);
                connections = (rest * connections / wanted).max(1);
                streams = rest.saturating_sub(connections).max(1);
            }
            venue = Some(shared.saturating_sub(connections + streams + reserved) / ends);
        }
        let clients = (connections + streams) * (2 * http.send_buffer.0 + CLIENT_MEMORY);
        // What waits for several clients of the streams is in the ring, once.
        let own = streams * conversion::own_buffer();
        let answers = if http.enabled {
            http.answer_memory.0 + config.stream.ring.0 + own
        } else {
            0
        };
        let books = tokens * TOKEN_MEMORY * ends;
        let flight = conversion::flight_memory(config);
        let memory = BASE_MEMORY + listed * LISTED_MEMORY + books + clients + answers + flight;
        Self {
            system,
            venue_needed,
            venue,
            http_connections: connections,
            http_streams: streams,
            http_reserved: reserved,
            http_wanted,
            ends,
            memory_needed: u64::try_from(memory).unwrap_or(u64::MAX),
        }
    }

    /// Whether the venue's sockets and the places that were asked for all fit.
    pub fn fits(&self) -> bool {
        let venue = self.venue.is_none_or(|venue| venue >= self.venue_needed);
        venue && self.http_places() >= self.http_wanted
    }

    fn http_places(&self) -> usize {
        self.http_connections + self.http_streams + self.http_reserved
    }

    /// What is left for everything else.
    fn reserve(&self) -> usize {
        let given = self.venue.unwrap_or_default() * self.ends + self.http_places();
        let limit = self.system.descriptors.unwrap_or(given + RESERVE);
        limit.saturating_sub(given)
    }

    /// Says who gets how much, in one line, and what to do if it is not enough.
    pub fn log(&self) {
        const MIB: u64 = 1 << 20;
        let places = self.http_places();
        if self.fits() {
            tracing::info!(
                descriptors = self.system.descriptors,
                venue_sockets = self.venue_needed,
                http_places = places,
                reserve = RESERVE,
                memory_mib = self.system.memory.map(|bytes| bytes / MIB),
                memory_needed_mib = self.memory_needed / MIB,
                "what the system allows, and what it is for"
            );
        } else {
            tracing::warn!(
                descriptors = self.system.descriptors,
                needed = self.venue_needed * self.ends + self.http_wanted + RESERVE,
                venue_sockets = self.venue,
                venue_sockets_needed = self.venue_needed,
                http_places = places,
                http_places_wanted = self.http_wanted,
                reserve = self.reserve(),
                "too few descriptors: raise the limit of open files (ulimit -n, LimitNOFILE=, \
                 --ulimit nofile=), or lower markets.max_markets, http.max_connections or \
                 http.max_streams"
            );
        }
        if let Some(memory) = self.system.memory
            && memory < self.memory_needed
        {
            tracing::warn!(
                memory_mib = memory / MIB,
                needed_mib = self.memory_needed / MIB,
                "memory may run out when every client reads slowly: give the process more, or \
                 lower markets.max_markets, http.answer_memory, http.max_connections, \
                 http.max_streams, stream.ring or flight_recorder.memory"
            );
        }
    }
}

#[cfg(unix)]
fn raise_descriptors() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        // macOS has a lower one of its own.
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let current = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(current).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise_descriptors() -> Option<usize> {
    None
}

/// The least of the machine's memory and the limits of the groups that the
/// process is in.
fn memory() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| machine_memory(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min()
}

fn machine_memory(meminfo: &str) -> Option<u64> {
    let rest = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Where the limits of the process's groups stand: of each group and of those
/// above it, as a container shows them and as its host does.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for above in Path::new(group.trim_start_matches('/')).ancestors() {
            files.push(Path::new(root).join(above).join(file));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.http.enabled = true;
        config
    }

    fn system(descriptors: usize) -> System {
        System {
            descriptors: Some(descriptors),
            memory: None,
        }
    }

    #[test]
    fn what_is_left_belongs_to_the_venue() {
        let shares = Shares::of(&config(), system(20_000), false);
        assert!(shares.fits());
        assert_eq!(shares.venue_needed, 500 + 2 + 32);
        assert_eq!((shares.http_connections, shares.http_streams), (512, 1_024));
        assert_eq!(shares.venue, Some(20_000 - 64 - 512 - 1_024 - 64));
        let without = Shares::of(&config(), System::default(), false);
        assert_eq!((without.venue, without.fits()), (None, true));
        let off = Shares::of(&Config::default(), system(1_024), false);
        assert_eq!((off.http_connections, off.venue), (0, Some(960)));
    }

    #[test]
    fn what_is_not_followed_needs_memory_and_no_socket() {
        let shares = |change: &dyn Fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            Shares::of(&config, system(20_000), false)
        };
        let all = shares(&|_| {});
        let few = shares(&|config| config.markets.max_markets = 100);
        assert_eq!(few.venue_needed, 1 + 2 + 32);
        let saved = (WHOLE_VENUE - 100) * TOKENS_A_MARKET * TOKEN_MEMORY;
        assert_eq!(all.memory_needed - few.memory_needed, saved as u64);
        let listed =
            few.memory_needed - shares(&|config| config.markets.max_markets = 1).memory_needed;
        assert_eq!(listed, (99 * TOKENS_A_MARKET * TOKEN_MEMORY) as u64);
        // A choice that may be anything may be everything.
        let tagged = shares(&|config| config.markets.min_volume = "5".parse().ok());
        assert_eq!(tagged.venue_needed, all.venue_needed);
        // Those who divide the venue divide its connections.
        let part = shares(&|config| config.markets.shard = "0/4".parse().ok());
        assert_eq!(part.venue_needed, 125 + 2 + 32);
        assert!(part.memory_needed > (BASE_MEMORY + WHOLE_VENUE * LISTED_MEMORY) as u64);
    }

    #[test]
    fn http_follows_and_keeps_a_quarter() {
        // The venue's 534 and the reserve leave room for some of HTTP's 1,600.
        let some = Shares::of(&config(), system(1_024), false);
        assert!(!some.fits());
        assert_eq!(some.http_places(), 426);
        assert_eq!((some.http_connections, some.http_streams), (120, 242));
        assert_eq!(some.venue, Some(534));

        let few = Shares::of(&config(), system(256), false);
        assert!(!few.fits());
        assert_eq!((few.http_connections, few.http_streams), (12, 24));
        assert_eq!(few.http_reserved, 12);
        assert_eq!(few.venue, Some(144));

        // Never more than there is, and never nothing.
        for descriptors in [0, 1, 64, 70, 100] {
            let shares = Shares::of(&config(), system(descriptors), false);
            let places = [shares.http_connections, shares.http_streams];
            assert!(!places.contains(&0) && shares.http_reserved > 0);
            assert!(!shares.fits());
            // What is said adds up to what there is.
            let http = shares.http_places();
            let given = shares.venue.unwrap() + http + shares.reserve();
            assert_eq!(given, descriptors.max(http), "{shares:?}");
        }
    }

    #[test]
    fn memory_grows_with_the_places_and_what_waits_for_them() {
        let needed = |change: &dyn Fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            Shares::of(&config, System::default(), false).memory_needed
        };
        let before = needed(&|_| {});
        // A stream has its socket, its task, and messages of its own.
        let one_more = needed(&|config| config.http.max_streams += 1) - before;
        assert_eq!(one_more, (2 * 64 + 16 + 256) << 10);
        let one_more = needed(&|config| config.http.max_connections += 1) - before;
        assert_eq!(one_more, (2 * 64 + 16) << 10);
        let ring = needed(&|config| config.stream.ring.0 += 1 << 20) - before;
        assert_eq!(ring, 1 << 20);
        let flight = needed(&|config| config.flight_recorder.dir = Some("a".into())) - before;
        assert_eq!(flight, 48 << 20, "frames, books, answers");
        let off = needed(&|config| config.http.enabled = false);
        assert_eq!(
            off,
            needed(&|config| {
                config.http.enabled = false;
                config.http.max_streams += 1;
            })
        );
    }

    #[test]
    fn in_the_demo_both_ends_count() {
        let mut config = config();
        config.sim.markets = 30_000;
        let shares = Shares::of(&config, system(1_300), true);
        assert_eq!(shares.venue_needed, 300 + 34);
        assert_eq!(shares.http_places(), 568);
        assert_eq!(shares.venue, Some(334));
    }

    #[test]
    fn groups_are_looked_up_to_the_root() {
        let groups = "12:memory,hugetlb:/docker/abc\n3:cpuset:/x\n0::/system.slice/p.service\n";
        let files: Vec<_> = limit_files(groups)
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/system.slice/p.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(machine_memory("MemTotal:       2 kB\n"), Some(2_048));
    }
}
