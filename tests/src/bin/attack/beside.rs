//! What goes on beside an attack: probes, and well-behaved clients of both doors that
//! follow everything.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use polypy_core::{AssetId, Level};
use polypy_sim::digest;
use polypy_tests::follower::{Door, Follower, States};
use serde_json::Value;

use crate::Outcome;
use crate::client::{Probes, get};
use crate::server::{Server, Setting};

/// For clients to follow, and to be gone.
const SOON: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// Books that are read of the server and held against those of its clients.
const COMPARED: usize = 40;
/// What the process may grow by for what attackers leave behind.
const LEFT_BEHIND: u64 = 64 << 20;

/// A server under attack, and who is well-behaved beside it.
pub(crate) struct Beside {
    pub(crate) server: Server,
    probes: Probes,
    followers: [Follower; 2],
    before: u64,
}

impl Beside {
    /// Starts a server with these flags, and follows all of it.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let mut server = Server::start(&Setting {
            markets: 100,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Setting::default()
        })
        .await;
        let followers =
            [Door::Events, Door::Socket].map(|door| Follower::start(server.address, door));
        for follower in &followers {
            until(async || follower.changes() > 100).await;
        }
        let before = server.memory().map_or(0, |(now, _)| now);
        Self {
            probes: Probes::start(server.address),
            server,
            followers,
            before,
        }
    }

    /// Most bytes of memory that the attack has cost so far.
    pub(crate) fn cost(&mut self) -> u64 {
        let (_, peak) = self.server.memory().unwrap_or_default();
        peak.saturating_sub(self.before)
    }

    /// The attack is over, and `held` if the server did what it should with the attackers
    /// themselves. Whether all else was as it should be, too.
    pub(crate) async fn end(self, held: bool, said: impl Into<String>) -> Outcome {
        let Self {
            mut server,
            probes,
            followers,
            before,
        } = self;
        let mut wrong = BTreeSet::new();
        let are_gone = until(async || {
            let stats = get(server.address, "/stats").await.json();
            let clients = &stats["stream"]["clients"];
            (clients["sse"].as_u64(), clients["websocket"].as_u64()) == (Some(1), Some(1))
        });
        if !are_gone.await {
            wrong.insert("clients that left are still counted".to_owned());
        }
        let stats = get(server.address, "/stats").await.json();
        for (part, name) in [
            ("http", "handler_panics"),
            ("stream", "restarts"),
            ("stream", "mismatches"),
            ("stream", "overfull_lanes"),
            ("router", "messages_dropped"),
        ] {
            if stats[part][name] != 0 {
                wrong.insert(format!("{part}.{name} is {}", stats[part][name]));
            }
        }
        let now = server.memory().map_or(u64::MAX, |(now, _)| now);
        let grown = now.saturating_sub(before);
        if grown > LEFT_BEHIND {
            wrong.insert(format!("{} MiB are not given back", grown >> 20));
        }
        let books = books(server.address, &followers[0]).await;
        let (changes, compared) = compare(followers, &books, &mut wrong).await;
        let (probed, figures) = probes.end().await;
        let wrong: Vec<_> = wrong.into_iter().collect();
        let beside = if wrong.is_empty() {
            format!("beside it {changes} changes exact, {compared} books equal")
        } else {
            wrong.join(", ")
        };
        Outcome::of(
            held && wrong.is_empty() && probed.quickly,
            format!("{}; {beside}; {figures}", said.into()),
        )
    }
}

/// Ends the followers, and holds what they had against books of the server. How many
/// changes they took in, and how many books were compared.
async fn compare(
    followers: [Follower; 2],
    books: &States,
    wrong: &mut BTreeSet<String>,
) -> (u64, usize) {
    // What was read is on its way to them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut changes, mut compared) = (0, 0);
    for follower in followers {
        let record = follower.end().await;
        changes += record.changes;
        for broken in &record.broken {
            wrong.insert(format!("a client was told what cannot be: {broken}"));
        }
        for (reason, owner) in record.gaps.keys() {
            wrong.insert(format!("a client was told of a gap ({reason}, {owner})"));
        }
        for lost in &record.lost {
            wrong.insert(format!("a client lost its connection: {lost}"));
        }
        for (place, levels) in books {
            match record.states.get(place) {
                Some(theirs) if theirs == levels => compared += 1,
                Some(_) => drop(wrong.insert("a client has another book".to_owned())),
                None => {}
            }
        }
    }
    if compared < COMPARED {
        wrong.insert(format!("{compared} books alone were compared"));
    }
    (changes, compared)
}

/// Waits for something; whether it came.
async fn until(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.is_ok()
}

/// Books as the server's reads have them.
async fn books(address: SocketAddr, follower: &Follower) -> States {
    let mut states = States::new();
    let followed = follower.books().await;
    let ids: Vec<AssetId> = followed
        .iter()
        .map(|(id, _)| id.clone())
        .take(COMPARED)
        .collect();
    for id in ids {
        let body = get(address, &format!("/v1/books/{id}")).await.json();
        let (Some(epoch), Some(sequence)) = (body["epoch"].as_u64(), body["sequence"].as_u64())
        else {
            continue;
        };
        let levels = digest(side(&body["bids"]), side(&body["asks"]));
        states.insert((id, epoch, sequence), levels);
    }
    states
}

fn side(levels: &Value) -> Vec<Level> {
    let levels = levels.as_array().map_or(&[][..], Vec::as_slice);
    let level = |level: &Value| {
        let text = |at: usize| level.get(at).and_then(Value::as_str);
        Some(Level::new(text(0)?.parse().ok()?, text(1)?.parse().ok()?))
    };
    levels.iter().filter_map(level).collect()
}
