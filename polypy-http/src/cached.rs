//! A body that is made once and sent to many clients.

use std::sync::OnceLock;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

use crate::budget::{Memory, Share, counted};
use crate::encoding::{BY_ENCODING, GZIP, WORTH_COMPRESSING, gzip, wants_gzip};
use crate::reply::Reply;

/// Bytes that are shared by all who are sent them, and their compressed form, which is made
/// when it is first asked for. Both count in [`Memory`] until the last client has them.
#[derive(Debug)]
pub struct CachedBody {
    plain: Bytes,
    /// `None` when there was no room for it.
    packed: OnceLock<Option<Bytes>>,
    memory: Memory,
}

impl CachedBody {
    /// Keeps these bytes, within a share that was taken for them.
    pub fn new(mut plain: Vec<u8>, share: Share, memory: &Memory) -> Self {
        // What is held is counted by its capacity.
        plain.shrink_to_fit();
        Self {
            plain: counted(plain, share),
            packed: OnceLock::new(),
            memory: memory.clone(),
        }
    }

    /// Its bytes as they were made.
    pub fn bytes(&self) -> &Bytes {
        &self.plain
    }

    /// Bytes held, in both forms.
    pub fn held(&self) -> usize {
        let packed = self.packed.get().and_then(Option::as_ref);
        self.plain.len() + packed.map_or(0, Bytes::len)
    }

    /// Whether an answer to a request with these headers takes nothing but a look.
    pub fn is_ready(&self, headers: &HeaderMap) -> bool {
        !self.is_to_be_packed(headers) || self.packed.get().is_some()
    }

    /// The answer to a request with these headers. May compress: blocks for that long.
    pub fn reply(&self, content_type: HeaderValue, headers: &HeaderMap) -> Reply {
        let packed = if self.is_to_be_packed(headers) {
            self.packed.get_or_init(|| {
                let packed = gzip(&self.plain)?;
                let share = self.memory.take(packed.len())?;
                Some(counted(packed, share))
            })
        } else {
            &None
        };
        let body = packed.as_ref().unwrap_or(&self.plain).clone();
        let reply = Reply::bytes(StatusCode::OK, content_type, body).with_header(VARY, BY_ENCODING);
        if packed.is_some() {
            return reply.with_header(CONTENT_ENCODING, GZIP);
        }
        reply
    }

    fn is_to_be_packed(&self, headers: &HeaderMap) -> bool {
        self.plain.len() >= WORTH_COMPRESSING && wants_gzip(headers)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::ACCEPT_ENCODING;

    use super::*;

    const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

    #[test]
    fn both_forms_are_made_once_and_count_until_the_last_client_has_them() {
        let memory = Memory::new(1 << 20);
        let share = memory.take(10_000).unwrap();
        let body = CachedBody::new(vec![b'a'; 10_000], share, &memory);
        let (plain, mut packed) = (HeaderMap::new(), HeaderMap::new());
        packed.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(body.is_ready(&plain) && !body.is_ready(&packed));
        assert_eq!(body.held(), 10_000);
        let first = body.reply(TEXT, &packed);
        assert_eq!(first.headers.get(CONTENT_ENCODING), Some(&GZIP));
        assert_eq!(first.headers.get(VARY), Some(&BY_ENCODING));
        assert!(body.is_ready(&packed));
        let again = body.reply(TEXT, &packed);
        let pointer = |reply: &Reply| reply.body.as_bytes().map(|bytes| bytes.as_ptr());
        assert_eq!(pointer(&first), pointer(&again));
        let other = body.reply(TEXT, &plain);
        assert_eq!(other.body.len(), Some(10_000));
        assert!(other.headers.get(CONTENT_ENCODING).is_none());
        drop((first, again, body));
        assert_eq!(memory.taken(), 10 << 10);
        drop(other);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn without_room_for_the_compressed_form_the_plain_one_is_sent() {
        let memory = Memory::new(10 << 10);
        let share = memory.take(10 << 10).unwrap();
        let body = CachedBody::new(vec![b'a'; 10 << 10], share, &memory);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let reply = body.reply(TEXT, &headers);
        assert_eq!(reply.body.len(), Some(10 << 10));
        assert!(reply.headers.get(CONTENT_ENCODING).is_none());
    }
}
