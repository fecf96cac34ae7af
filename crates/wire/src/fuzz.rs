//! What must hold for every input of a decoder, whoever wrote it. Each function panics when it does
//! not; the bounded tests of this crate and the fuzz targets call the same ones.

use bytes::Bytes;

use crate::{DecodeError, Frame, Invitation, LinkState, SignedBeacon};

/// A frame is refused, or encodes to exactly the bytes it was decoded from.
///
/// # Errors
/// Why it was refused.
pub fn frame(data: &[u8]) -> Result<Frame, DecodeError> {
    let decoded = Frame::decode(Bytes::copy_from_slice(data));
    if let Ok(frame) = &decoded {
        assert_eq!(frame.encode(), data, "{frame:?}");
        assert_eq!(frame.encoded_len(), data.len(), "{frame:?}");
    }
    explained(decoded, data.len())
}

/// A beacon is refused, or encodes to exactly the bytes it was decoded from, which end in what the
/// signature covers and the signature.
///
/// # Errors
/// Why it was refused.
pub fn beacon(data: &[u8]) -> Result<SignedBeacon, DecodeError> {
    let decoded = SignedBeacon::decode(Bytes::copy_from_slice(data));
    if let Ok(signed) = &decoded {
        assert_eq!(signed.encode(), data, "{signed:?}");
        let parts = [signed.beacon.signed_bytes().as_ref(), &signed.signature].concat();
        assert_eq!(parts, data, "{signed:?}");
    }
    explained(decoded, data.len())
}

/// An invitation is refused, or encodes to exactly the bytes it was decoded from.
///
/// # Errors
/// Why it was refused.
pub fn invitation(data: &[u8]) -> Result<Invitation, DecodeError> {
    let decoded = Invitation::decode(Bytes::copy_from_slice(data));
    if let Ok(invitation) = &decoded {
        assert_eq!(invitation.encode(), data, "{invitation:?}");
    }
    explained(decoded, data.len())
}

/// A link-state body is refused, or encodes to exactly the bytes it was decoded from.
///
/// # Errors
/// Why it was refused.
pub fn link_state(data: &[u8]) -> Result<LinkState, DecodeError> {
    let decoded = LinkState::decode(Bytes::copy_from_slice(data));
    if let Ok(state) = &decoded {
        assert_eq!(state.encode(), data, "{state:?}");
        assert_eq!(state.encoded_len(), data.len(), "{state:?}");
    }
    explained(decoded, data.len())
}

/// The values that an error carries are true of the input.
fn explained<T>(decoded: Result<T, DecodeError>, len: usize) -> Result<T, DecodeError> {
    if let Err(error) = &decoded {
        let right = match *error {
            DecodeError::Truncated { needed, left } => left < needed && left <= len,
            DecodeError::TooMany { value, bound, .. } => value > bound,
            DecodeError::Range { offset, len: part, total } => {
                let end = u64::from(offset) + part as u64;
                part <= len && (end > u64::from(total) || (part == 0 && total > 0))
            }
            DecodeError::Trailing(left) => left > 0 && left < len,
            DecodeError::Version(_)
            | DecodeError::Flags(_)
            | DecodeError::Kind(_)
            | DecodeError::Class(_)
            | DecodeError::Ack(_)
            | DecodeError::Verdict(_)
            | DecodeError::Inconsistent(_)
            | DecodeError::Magic => true,
        };
        assert!(right, "{error} of {len} bytes");
    }
    decoded
}
