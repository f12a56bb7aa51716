//! What sockets say, to each of those who keep it.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    Answer, Asked, AssetInfo, AssetKey, BookOrigin, FeedId, FrameSink, Opened, Owner, SocketSink,
};

/// One sink for all of these. With none there is none, and sockets pay nothing; one alone is
/// spoken to without a detour.
pub(super) fn fan_out(mut sinks: Vec<Arc<dyn FrameSink>>) -> Option<Arc<dyn FrameSink>> {
    match sinks.len() {
        0 | 1 => sinks.pop(),
        _ => Some(Arc::new(FanOut(sinks))),
    }
}

struct FanOut(Vec<Arc<dyn FrameSink>>);

impl FrameSink for FanOut {
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
        let handles = self.0.iter().map(|sink| sink.opened(opened));
        Box::new(Handles(handles.collect()))
    }

    fn answered(&self, answer: &Answer<'_>) {
        self.0.iter().for_each(|sink| sink.answered(answer));
    }
}

struct Handles(Vec<Box<dyn SocketSink>>);

impl SocketSink for Handles {
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        for handle in &mut self.0 {
            handle.received(bytes, ends, is_text, at);
        }
    }

    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], at: Instant) {
        for handle in &mut self.0 {
            handle.sent(text, asked, tokens, at);
        }
    }

    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, at: Instant) {
        for handle in &mut self.0 {
            handle.first_books(tokens, origin, at);
        }
    }

    fn delivers(&mut self, feed: FeedId, at: Instant) {
        for handle in &mut self.0 {
            handle.delivers(feed, at);
        }
    }

    fn closed(&mut self, reason: &str, owner: Owner, at: Instant) {
        for handle in &mut self.0 {
            handle.closed(reason, owner, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use polypy_core::{Purpose, SocketId};

    use super::*;

    /// Notes what it is told.
    #[derive(Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Notes {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().push(what.into());
        }
    }

    impl FrameSink for Notes {
        fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
            self.note(format!("opened {}", opened.socket));
            Box::new(Self(Arc::clone(&self.0)))
        }

        fn answered(&self, answer: &Answer<'_>) {
            self.note(answer.path);
        }
    }

    impl SocketSink for Notes {
        fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, _at: Instant) {
            let text = String::from_utf8_lossy(bytes);
            self.note(format!("received {text} {ends:?} {is_text}"));
        }

        fn sent(&mut self, text: &str, asked: Asked, _: &[Arc<AssetInfo>], _at: Instant) {
            self.note(format!("sent {text} {}", asked.name()));
        }

        fn first_books(&mut self, _tokens: &[AssetKey], origin: BookOrigin, _at: Instant) {
            self.note(format!("first books {}", origin.name()));
        }

        fn delivers(&mut self, feed: FeedId, _at: Instant) {
            self.note(format!("delivers {}", feed.0));
        }

        fn closed(&mut self, reason: &str, _owner: Owner, _at: Instant) {
            self.note(format!("closed {reason}"));
        }
    }

    #[test]
    fn each_hears_all_of_it_and_with_none_there_is_none() {
        assert!(fan_out(Vec::new()).is_none());
        let all: Vec<_> = (0..2).map(|_| Arc::new(Notes::default())).collect();
        let sinks = all.iter().cloned();
        let sinks: Vec<_> = sinks.map(|notes| notes as Arc<dyn FrameSink>).collect();
        let alone = fan_out(vec![Arc::clone(&sinks[0])]).unwrap();
        assert!(Arc::ptr_eq(&alone, &sinks[0]));

        let both = fan_out(sinks).unwrap();
        let at = Instant::now();
        let mut socket = both.opened(&Opened {
            socket: SocketId(7),
            connection: "conn-1",
            is_replacement: false,
            at,
        });
        socket.sent("{}", Asked::Subscribe, &[], at);
        socket.delivers(FeedId(3), at);
        socket.received(b"[][]", &[2, 4], true, at);
        socket.first_books(&[], BookOrigin::Rest, at);
        socket.closed("dropped", Owner::Network, at);
        both.answered(&Answer {
            path: "/books",
            request: "[]",
            status: 200,
            body: b"[]",
            purpose: Purpose::Audit,
            requested: at,
            received: at,
        });
        let told = [
            "opened 7",
            "sent {} subscribe",
            "delivers 3",
            "received [][] [2, 4] true",
            "first books rest",
            "closed dropped",
            "/books",
        ];
        for notes in all {
            assert_eq!(*notes.0.lock(), told);
        }
    }
}
