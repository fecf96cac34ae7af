//! What must hold for every input of a decoder, whoever sent it. Each function panics when it does
//! not; the bounded tests below and the fuzz targets call the same ones.

use bytes::{Bytes, BytesMut};

use crate::frame::{FramingError, PREFIX, put_prefix, split, split_datagram};
use crate::greeting::{HELLO, Hello};

/// Most bytes of a frame here: small, so that short inputs reach beyond it.
const MAX: usize = 300;

/// A stream gives the same frames wherever it is cut, asks for no more than one frame, and is
/// exactly what its frames and the rest encode to. The first byte says how it is cut.
///
/// # Errors
/// How the framing is broken.
pub fn stream(data: &[u8]) -> Result<Vec<Bytes>, &'static str> {
    let Some((step, data)) = data.split_first() else { return Ok(Vec::new()) };
    let mut whole = BytesMut::from(data);
    let mut frames = Vec::new();
    let read = split(&mut whole, MAX, &mut frames);
    assert_eq!([framed(&frames).as_ref(), &whole].concat(), data, "{frames:?}");
    match read {
        Ok(missing) => {
            assert!(missing <= PREFIX + MAX, "{missing} bytes asked for");
            assert_eq!(missing == 0, whole.is_empty(), "{missing} bytes asked for");
        }
        Err(error) => explained(error, &whole),
    }
    let mut buffer = BytesMut::new();
    let mut pieces = Vec::new();
    let mut last = Ok(0);
    for piece in data.chunks(usize::from(*step).max(1)) {
        buffer.extend_from_slice(piece);
        last = split(&mut buffer, MAX, &mut pieces);
        if last.is_err() {
            break;
        }
    }
    assert_eq!((last, pieces), (read, frames.clone()));
    read.map_or_else(|error| Err(kind(error)), |_| Ok(frames))
}

/// A datagram is refused, or exactly what its frames encode to.
///
/// # Errors
/// How the framing is broken.
pub fn datagram(data: &[u8]) -> Result<Vec<Bytes>, &'static str> {
    let mut frames = Vec::new();
    let read = split_datagram(Bytes::copy_from_slice(data), MAX, &mut frames);
    let whole = framed(&frames);
    let rest = data.strip_prefix(whole.as_ref());
    let Some(rest) = rest else { panic!("{frames:?} were not sent") };
    match read {
        Ok(()) => assert_eq!(rest, [], "{frames:?}"),
        Err(error) => explained(error, rest),
    }
    read.map_or_else(|error| Err(kind(error)), |()| Ok(frames))
}

/// A greeting is refused, or encodes to exactly the bytes it was decoded from. Whether it was one;
/// bytes behind it are not part of it.
pub fn greeting(data: &[u8]) -> bool {
    let Some(bytes) = data.first_chunk::<HELLO>() else { return false };
    let hello = Hello::decode(*bytes);
    if let Some(hello) = hello {
        assert_eq!(hello.encode(), *bytes, "{hello:?}");
    }
    hello.is_some()
}

fn framed(frames: &[Bytes]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        assert!(frame.len() <= MAX, "a frame of {} bytes", frame.len());
        put_prefix(&mut out, frame.len());
        out.extend_from_slice(frame);
    }
    out
}

/// The values that an error carries are true of what follows the last whole frame.
fn explained(error: FramingError, rest: &[u8]) {
    let announced = rest.first_chunk().map(|prefix| u32::from_be_bytes(*prefix) as usize);
    let right = match error {
        FramingError::TooLong { length, max } => {
            max == MAX && length > MAX && announced == Some(length)
        }
        FramingError::CutShort { missing } => {
            missing > 0 && missing + rest.len() == PREFIX + announced.unwrap_or(0)
        }
    };
    assert!(right, "{error} before {rest:?}");
}

fn kind(error: FramingError) -> &'static str {
    match error {
        FramingError::TooLong { .. } => "too long",
        FramingError::CutShort { .. } => "cut short",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;

    use super::*;

    /// Inputs tried of each decoder; less than a second.
    const INPUTS: usize = 40_000;
    /// Bytes that sit at an edge of something.
    const EDGES: [u8; 8] = [0, 1, 2, 4, 44, 45, 0x7F, 0xFF];

    /// Frames of many lengths, packed.
    fn packed(rng: &mut Rng) -> Vec<u8> {
        let lengths = [0, 1, 3, 4, 5, 20, MAX - 1, MAX, MAX + 1];
        let mut out = BytesMut::new();
        for _ in 0..rng.usize(..5) {
            // The last one is too long, and seldom taken.
            let length = lengths[rng.usize(..lengths.len()).min(rng.usize(..lengths.len()))];
            put_prefix(&mut out, length);
            out.extend((0..length).map(|_| rng.u8(..)));
        }
        out.to_vec()
    }

    /// Up to four changes.
    fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
        for _ in 0..rng.usize(0..=4) {
            // Half of all changes go to the first prefixes.
            let reach = if rng.bool() { bytes.len() } else { bytes.len().min(24) };
            let at = rng.usize(..=reach);
            match rng.u8(..7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, rng.u8(..)),
                2 => bytes.extend((0..rng.usize(..9)).map(|_| rng.u8(..))),
                _ if at == bytes.len() => {}
                3 => drop(bytes.remove(at)),
                4 => bytes[at] ^= 1 << rng.u8(..8),
                5 => bytes[at] = rng.u8(..),
                _ => bytes[at] = EDGES[rng.usize(..EDGES.len())],
            }
        }
    }

    fn name(read: &Result<Vec<Bytes>, &'static str>) -> &'static str {
        match read {
            Ok(frames) if frames.is_empty() => "=none",
            Ok(_) => "=frames",
            Err(kind) => kind,
        }
    }

    #[test]
    fn mutated_streams_and_datagrams_reach_every_refusal() {
        let mut rng = Rng::with_seed(1);
        let (mut streams, mut datagrams) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..INPUTS {
            let mut bytes = packed(&mut rng);
            mutate(&mut rng, &mut bytes);
            datagrams.insert(name(&datagram(&bytes)));
            bytes.insert(0, rng.u8(..));
            streams.insert(name(&stream(&bytes)));
        }
        // The rest of a stream may still come; that of a datagram does not.
        assert_eq!(streams.into_iter().collect::<Vec<_>>(), ["=frames", "=none", "too long"]);
        let all = ["=frames", "=none", "cut short", "too long"];
        assert_eq!(datagrams.into_iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn mutated_greetings_are_read_or_refused() {
        let mut rng = Rng::with_seed(2);
        let mut seen = [0; 2];
        for _ in 0..INPUTS {
            let replaces = rng.bool().then(|| rng.u64(..).to_be_bytes());
            let hello = Hello { incarnation: rng.u64(..).to_be_bytes(), replaces };
            let mut bytes = hello.encode().to_vec();
            assert!(greeting(&bytes), "{hello:?}");
            mutate(&mut rng, &mut bytes);
            seen[usize::from(greeting(&bytes))] += 1;
        }
        assert!(seen.iter().all(|count| *count > INPUTS / 10), "{seen:?}");
    }
}
