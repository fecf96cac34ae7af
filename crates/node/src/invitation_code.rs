use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use bitcraps_wire::{DecodeError, Invitation};

/// What every code begins with, so that people and programs know it for what it is.
const PREFIX: &str = "bitcraps";
/// Longest code that is looked at, in characters: every field at its bound, and some.
const MAX_CODE: usize = 1_023;

/// Why a text is no invitation. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It is longer than any code.
    #[error("the code has {0} characters, and none has more than {MAX_CODE}; copy it alone")]
    TooLong(usize),
    /// It was damaged on the way.
    #[error("the code is damaged: {0}; copy it whole, or ask for it again")]
    Damaged(String),
    /// It is a code of something else.
    #[error("the code begins with {0:?}, an invitation's with \"{PREFIX}1\"")]
    Foreign(String),
    /// It is whole, and makes no sense to this program.
    #[error("the code is not understood: {0}; it may be made by another version of bitcraps")]
    NotUnderstood(DecodeError),
}

/// An invitation as people pass it on: bech32m (BIP 350), whose checksum tells what was mistyped.
/// Upper case, as a QR code wants it, means the same.
pub(crate) struct Code<'a>(pub(crate) &'a Invitation);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(PREFIX).map_err(|_| fmt::Error)?;
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, prefix, &self.0.encode())
            .map_err(|_| fmt::Error)
    }
}

/// Reads a code; space around it is passed over. O(length).
///
/// # Errors
/// [`CodeError`].
pub(crate) fn invitation_in(text: &str) -> Result<Invitation, CodeError> {
    let text = text.trim();
    if text.len() > MAX_CODE {
        return Err(CodeError::TooLong(text.chars().count()));
    }
    let checked = CheckedHrpstring::new::<Bech32m>(text)
        .map_err(|error| CodeError::Damaged(error.to_string()))?;
    let prefix = checked.hrp();
    if prefix.to_lowercase() != PREFIX {
        return Err(CodeError::Foreign(prefix.to_string()));
    }
    let bytes: Vec<u8> = checked.byte_iter().collect();
    Invitation::decode(bytes.into()).map_err(CodeError::NotUnderstood)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_types::PeerId;

    fn invitation() -> Invitation {
        Invitation {
            inviter: PeerId::from_bytes([0xd7; 32]),
            secret: [0x5e; 16],
            lan: vec!["192.0.2.7:47800".parse().unwrap()],
            internet: Some("198.51.100.4:7 https://relay.example/".to_owned()),
        }
    }

    #[test]
    fn a_code_is_read_back_however_it_is_written() {
        let invitation = invitation();
        let code = Code(&invitation).to_string();
        assert!(code.starts_with("bitcraps1"), "{code}");
        assert_eq!(code.len(), 167);
        for text in [code.clone(), code.to_uppercase(), format!("  {code}\n")] {
            assert_eq!(invitation_in(&text), Ok(invitation.clone()), "{text}");
        }
        let least = Invitation { lan: Vec::new(), internet: None, ..invitation };
        assert_eq!(Code(&least).to_string().len(), 97);
        let most = Invitation {
            lan: vec!["[2001:db8::1]:47800".parse().unwrap(); 4],
            internet: Some("x".repeat(255)),
            ..least
        };
        assert_eq!(invitation_in(&Code(&most).to_string()), Ok(most));
    }

    #[test]
    fn a_slip_of_the_pen_is_told_and_never_taken() {
        let code = Code(&invitation()).to_string();
        for at in 0..code.len() {
            let mut changed = code.clone().into_bytes();
            changed[at] = if changed[at] == b'q' { b'p' } else { b'q' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(invitation_in(&changed).is_err(), "{changed}");
            assert!(invitation_in(&code[..at]).is_err());
        }
        let swapped = format!("{}{}", &code[..20], code[20..].chars().rev().collect::<String>());
        assert!(matches!(invitation_in(&swapped), Err(CodeError::Damaged(_))));
        let long = "q".repeat(MAX_CODE + 1);
        assert_eq!(invitation_in(&long), Err(CodeError::TooLong(MAX_CODE + 1)));
        assert!(matches!(invitation_in(&long[1..]), Err(CodeError::Damaged(_))));
        let foreign = bech32::encode::<Bech32m>(Hrp::parse("bc").unwrap(), &[1, 2]).unwrap();
        assert_eq!(invitation_in(&foreign), Err(CodeError::Foreign("bc".to_owned())));
        let prefix = Hrp::parse(PREFIX).unwrap();
        let newer = bech32::encode::<Bech32m>(prefix, &[2, 2]).unwrap();
        let newer = invitation_in(&newer);
        assert_eq!(newer, Err(CodeError::NotUnderstood(DecodeError::Version(2))));
    }
}
