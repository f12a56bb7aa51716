//! gzip, for clients that ask for it: `Accept-Encoding` by its weights (RFC 9110
//! section 12.5.3), the compression itself, and what is done so with an answer.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

use crate::budget::{Memory, counted};
use crate::call::Call;
use crate::negotiate::weight;
use crate::refusal::busy;
use crate::reply::Reply;

pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

pub(crate) const BY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Below this the head of an answer outweighs what compression saves.
pub(crate) const WORTH_COMPRESSING: usize = 1024;
/// A list of markets shrinks to a tenth at this level and, at the highest, in
/// four times the time, to little less.
const LEVEL: Compression = Compression::new(4);

/// Compresses a computed answer for a client that prefers it so, and counts its
/// memory; an answer that is kept has done both, and one that was ready on the event
/// loop is for a client that does not.
pub(crate) fn finished(mut reply: Reply, call: &Call, memory: &Memory) -> Reply {
    if reply.headers.get(VARY) == Some(&BY_ENCODING) {
        return reply;
    }
    let Some(bytes) = reply.body.as_bytes() else {
        return reply;
    };
    let mut bytes = bytes.clone();
    let packed = if bytes.len() >= WORTH_COMPRESSING && wants_gzip(&call.headers) {
        gzip(&bytes)
    } else {
        None
    };
    // Beside what else it varies by.
    reply.headers.append(VARY, BY_ENCODING);
    if let Some(packed) = packed {
        reply = reply.with_header(CONTENT_ENCODING, GZIP);
        bytes = packed;
    }
    // What was taken for the answer before it was made is enough for a smaller one.
    let share = reply.share.take();
    match share.or_else(|| memory.take(bytes.len())) {
        Some(share) => {
            reply.body = counted(bytes, share).into();
            reply
        }
        None => busy(&call.request_id, "too many large answers are being sent"),
    }
}

/// Whether a client prefers gzip to the plain bytes. An encoding that it gives
/// the weight 0 is not sent; without a word about encodings it gets plain bytes.
pub(crate) fn wants_gzip(headers: &HeaderMap) -> bool {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    for item in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = weight(parts) else {
            continue;
        };
        let place = if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            &mut gzip
        } else if name.eq_ignore_ascii_case("identity") {
            &mut identity
        } else if name == "*" {
            &mut any
        } else {
            continue;
        };
        *place = Some(weight);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // Plain bytes are acceptable unless they are excluded by name or by "*".
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The bytes compressed; `None` if the compressor fails, which writing to memory
/// does not.
pub(crate) fn gzip(bytes: &[u8]) -> Option<Bytes> {
    pack(bytes, LEVEL)
}

/// The same at a level of the caller's.
pub(crate) fn pack(bytes: &[u8], level: Compression) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), level);
    encoder.write_all(bytes).ok()?;
    let mut packed = encoder.finish().ok()?;
    // What is held is counted by its capacity.
    packed.shrink_to_fit();
    Some(packed.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn weights_decide() {
        for (value, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0.001", true),
            ("identity, gzip;q=0.5", false),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("identity;q=0, gzip;q=0.1", true),
            ("*", true),
            ("*;q=0", false),
            ("*;q=0, gzip", true),
            ("gzip;q=0, *", false),
            ("br", false),
            ("", false),
            ("gzip;q=1.1", false),
            ("gzip;q=x", false),
            ("gzip;q=-1", false),
            ("gzip ; q=0.3 ; x=1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(wants_gzip(&headers), expected, "{value}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let plain = b"[\"Will it rain?\",\"Will it snow?\"]".repeat(400);
        let packed = gzip(&plain).unwrap();
        assert!(packed.len() * 10 < plain.len(), "{}", packed.len());
        let mut back = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
        decoder.read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
    }
}
