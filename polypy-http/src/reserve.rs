//! The reserved places: who has none of the ordinary ones is heard here.
//!
//! Each is held for a moment: for one request, its answer, and the close. When
//! all are taken, one gives way to the next that comes: of the peer that holds most of
//! them the one that has waited longest without having asked. A flood so drives
//! out itself, and a probe, which asks as it connects, is answered between two
//! of its members.
//!
//! Owned by the accepting task alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::activity::{Activity, Phase};
use crate::peer::PeerGroup;

/// A connection in a reserved place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReservedId(u64);

/// What a connection's task knows of its reserved place.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    activity: Arc<Activity>,
    evicted: Arc<Notify>,
}

impl Notice {
    /// To be kept by the connection, so that it is seen who has asked.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Resolves when the place is needed by another.
    pub(crate) async fn given(self) {
        self.evicted.notified().await;
    }
}

#[derive(Debug)]
struct Held {
    id: ReservedId,
    peer: PeerGroup,
    notice: Notice,
    /// Told to give way, and not gone yet.
    leaving: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reserve {
    most: usize,
    /// The oldest first.
    held: VecDeque<Held>,
    next: u64,
}

impl Reserve {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            held: VecDeque::new(),
            next: 0,
        }
    }

    /// Whether one more may come now. Those told to give way are gone in a moment;
    /// until then a newcomer waits.
    pub(crate) fn has_room(&self) -> bool {
        self.held.len() < self.most
    }

    /// Asks one to give way, unless one is leaving already.
    pub(crate) fn make_room(&mut self) {
        if self.has_room() || self.held.iter().any(|held| held.leaving) {
            return;
        }
        let mut of_peer: HashMap<PeerGroup, usize> = HashMap::new();
        for held in &self.held {
            *of_peer.entry(held.peer).or_insert(0) += 1;
        }
        // An answer is made and written within microseconds: it is waited for.
        let evictable = self
            .held
            .iter_mut()
            .filter(|held| held.notice.activity.phase() != Phase::Answering);
        let rank = |held: &Held| {
            let crowd = of_peer.get(&held.peer).copied().unwrap_or(0);
            (std::cmp::Reverse(crowd), held.id.0)
        };
        if let Some(held) = evictable.min_by_key(|held| rank(held)) {
            held.leaving = true;
            held.notice.evicted.notify_one();
        }
    }

    /// Takes a connection in.
    pub(crate) fn enter(&mut self, peer: PeerGroup) -> (ReservedId, Notice) {
        let id = ReservedId(self.next);
        self.next += 1;
        let notice = Notice {
            activity: Arc::default(),
            evicted: Arc::default(),
        };
        self.held.push_back(Held {
            id,
            peer,
            notice: notice.clone(),
            leaving: false,
        });
        (id, notice)
    }

    /// A connection has ended.
    pub(crate) fn left(&mut self, id: ReservedId) {
        self.held.retain(|held| held.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    fn peer(last: u8) -> PeerGroup {
        Peer::new(([192, 0, 2, last], 1).into()).group()
    }

    fn leaving(reserve: &Reserve) -> Vec<u64> {
        let leaving = reserve.held.iter().filter(|held| held.leaving);
        leaving.map(|held| held.id.0).collect()
    }

    #[test]
    fn the_oldest_of_the_largest_crowd_gives_way() {
        let mut reserve = Reserve::new(4);
        let (probe, _) = reserve.enter(peer(1));
        let crowd: Vec<_> = (0..3).map(|_| reserve.enter(peer(2))).collect();
        assert!(!reserve.has_room());
        reserve.make_room();
        assert_eq!(leaving(&reserve), [1]);
        // One is enough until it is gone.
        reserve.make_room();
        assert_eq!(leaving(&reserve), [1]);
        reserve.left(crowd[0].0);
        assert!(reserve.has_room());
        reserve.left(probe);
        assert_eq!(reserve.held.len(), 2);
    }

    #[test]
    fn who_is_being_answered_stays() {
        let mut reserve = Reserve::new(2);
        let (_, first) = reserve.enter(peer(1));
        let (_, second) = reserve.enter(peer(1));
        first.activity().begin_answering();
        reserve.make_room();
        assert_eq!(leaving(&reserve), [1]);
        second.activity().begin_answering();
        reserve.held[1].leaving = false;
        reserve.make_room();
        assert_eq!(leaving(&reserve), Vec::<u64>::new());
        // What lingers after its answer does not.
        first.activity().answered();
        first.activity().flushed();
        reserve.make_room();
        assert_eq!(leaving(&reserve), [0]);
    }
}
