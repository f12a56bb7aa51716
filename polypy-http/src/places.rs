//! How many connections there may be: in all, of one peer, and of streams.
//!
//! A connection holds a [`Place`] for as long as it lives. One that becomes a
//! stream trades its place for one of the streams', so that readers who stay
//! for hours take nothing from those who ask and go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::HttpConfig;
use crate::peer::PeerGroup;

/// Why a connection got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All are taken.
    Full,
    /// The peer has as many as one may have.
    Peer,
}

impl Refused {
    /// What the client is told.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Full => "too many connections",
            Self::Peer => "too many connections from your address",
        }
    }
}

/// The caps and what is taken of them.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_of_peer: usize,
    most_streams: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    ordinary: usize,
    streams: usize,
    /// Peers that hold a place of either kind.
    peers: HashMap<PeerGroup, usize>,
}

impl Places {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            most: config.max_connections,
            most_of_peer: config.max_connections_per_peer,
            most_streams: config.max_streams,
            taken: Mutex::default(),
        }
    }

    /// A place for a connection of this peer.
    pub(crate) fn take(self: &Arc<Self>, peer: PeerGroup) -> Result<Place, Refused> {
        let mut taken = self.taken.lock();
        if taken.ordinary >= self.most {
            return Err(Refused::Full);
        }
        let of_peer = taken.peers.entry(peer).or_insert(0);
        if *of_peer >= self.most_of_peer {
            return Err(Refused::Peer);
        }
        *of_peer += 1;
        taken.ordinary += 1;
        drop(taken);
        Ok(Place {
            places: Arc::clone(self),
            peer,
            kind: Mutex::new(Kind::Ordinary),
        })
    }

    /// (ordinary, streams) taken now.
    pub(crate) fn taken(&self) -> (usize, usize) {
        let taken = self.taken.lock();
        (taken.ordinary, taken.streams)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Stream,
}

/// One connection's place, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    peer: PeerGroup,
    kind: Mutex<Kind>,
}

impl Place {
    /// Trades the place for a stream's; false if none is left.
    pub(crate) fn become_stream(&self) -> bool {
        let mut kind = self.kind.lock();
        if *kind == Kind::Stream {
            return true;
        }
        let mut taken = self.places.taken.lock();
        if taken.streams >= self.places.most_streams {
            return false;
        }
        taken.streams += 1;
        taken.ordinary -= 1;
        *kind = Kind::Stream;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        match *self.kind.get_mut() {
            Kind::Ordinary => taken.ordinary -= 1,
            Kind::Stream => taken.streams -= 1,
        }
        if let Entry::Occupied(mut held) = taken.peers.entry(self.peer) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    fn places() -> Arc<Places> {
        Arc::new(Places::new(&HttpConfig {
            max_connections: 3,
            max_connections_per_peer: 2,
            max_streams: 1,
            ..HttpConfig::default()
        }))
    }

    fn peer(last: u8) -> PeerGroup {
        Peer::new(([192, 0, 2, last], 1).into()).group()
    }

    #[test]
    fn the_whole_and_each_peer_are_bounded() {
        let places = places();
        let first = places.take(peer(1)).unwrap();
        let second = places.take(peer(1)).unwrap();
        assert_eq!(places.take(peer(1)).unwrap_err(), Refused::Peer);
        let third = places.take(peer(2)).unwrap();
        assert_eq!(places.take(peer(2)).unwrap_err(), Refused::Full);
        drop(first);
        let fourth = places.take(peer(1)).unwrap();
        drop((second, third, fourth));
        assert_eq!(places.taken(), (0, 0));
        assert!(places.taken.lock().peers.is_empty());
    }

    #[test]
    fn a_stream_leaves_its_ordinary_place_to_others() {
        let places = places();
        let held: Vec<_> = [1, 2, 3]
            .map(|last| places.take(peer(last)).unwrap())
            .into();
        assert!(held[0].become_stream());
        assert!(held[0].become_stream(), "it is one already");
        assert!(!held[1].become_stream());
        assert_eq!(places.taken(), (2, 1));
        let more = places.take(peer(4)).unwrap();
        assert_eq!(places.taken(), (3, 1));
        drop(more);
        drop(held);
        assert_eq!(places.taken(), (0, 0));
    }
}
