//! What must hold for everything this crate reads, whoever wrote it. Each function panics when it
//! does not; the bounded tests below and the fuzz targets call the same ones.

use std::path::Path;

use bitcraps_types::Epoch;
use bitcraps_wire::Invitation;

use crate::admin::{Envelope, MAX_REQUEST, Refusal, RefusalKind, Request};
use crate::config::{Config, ConfigError, Environment};
use crate::epoch::{MAX_EPOCH_FILE, epoch_file, epoch_in};
use crate::identity::{Identity, KeyProblem, MAX_KEY_FILE, SEED_DIGITS, seed_in};
use crate::invitation_code::{Code, CodeError, invitation_in};
use crate::peers_file::Book;

/// An admin request is refused, or written and read again it is the same. A refusal is no longer
/// than a few times the request.
///
/// # Errors
/// Why it was refused.
pub fn request(line: &[u8]) -> Result<Request, Refusal> {
    let read = Request::parse(line);
    match &read {
        Ok(request) => {
            assert!(line.len() <= MAX_REQUEST, "{} bytes", line.len());
            let written = serde_json::to_vec(&Envelope::new(request)).unwrap_or_default();
            assert_eq!(Request::parse(&written).as_ref(), Ok(request));
        }
        Err(refusal) => {
            assert_eq!(refusal.kind, RefusalKind::BadRequest);
            assert!(refusal.candidates.is_empty(), "{refusal:?}");
            // What is cited is escaped, which takes at most eight times its bytes.
            let most = 512 + 8 * line.len();
            assert!(refusal.message.len() <= most, "{}", refusal.message.len());
        }
    }
    read
}

/// A configuration is refused, or its effective text gives it again.
///
/// # Errors
/// Why it was refused.
pub fn config(data: &[u8]) -> Result<Config, ConfigError> {
    let text = String::from_utf8_lossy(data);
    let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
    let name = Path::new("fuzz.toml");
    let read = Config::parse(&text, name, &environment);
    match &read {
        Ok(config) => {
            let effective = config.effective_toml();
            match Config::parse(&effective, name, &environment) {
                Ok(again) => {
                    assert_eq!(Config::diff(config, &again), [], "{effective}");
                    assert_eq!(again.effective_toml(), effective);
                }
                Err(error) => panic!("{error} in\n{effective}"),
            }
        }
        Err(ConfigError::Syntax { at, .. } | ConfigError::UnknownKey { at, .. }) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&at.line), "{at} of {lines} lines");
            let line = text.split('\n').nth(at.line - 1).unwrap_or_default();
            assert!((1..=line.chars().count() + 1).contains(&at.column), "{at} of {line:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "{error:?}"),
    }
    read
}

/// A key file is refused for what it truly holds, or its key written and read again is the same.
///
/// # Errors
/// Why it was refused.
pub fn key_file(data: &[u8]) -> Result<Identity, KeyProblem> {
    let text = String::from_utf8_lossy(data);
    let read = seed_in(&text).map(|seed| Identity::from_seed(&seed));
    match &read {
        Ok(identity) => {
            let again = seed_in(&identity.key_file());
            assert_eq!(again.as_deref(), Ok(identity.signing_key().as_bytes()));
        }
        Err(problem) => {
            let right = match *problem {
                KeyProblem::Length(length) => length != SEED_DIGITS && length <= text.len(),
                KeyProblem::Digit(at) => at < SEED_DIGITS,
                KeyProblem::TooLong => text.len() as u64 > MAX_KEY_FILE,
                KeyProblem::Empty | KeyProblem::SeveralLines => true,
                KeyProblem::NoFile => false,
            };
            assert!(right, "{problem}");
        }
    }
    read
}

/// An epoch file holds no epoch, or one that written and read again is the same.
pub fn epoch(data: &[u8]) -> Option<Epoch> {
    let read = epoch_in(data);
    if let Some(epoch) = read {
        assert!(data.len() as u64 <= MAX_EPOCH_FILE, "{} bytes", data.len());
        let written = epoch_file(epoch);
        assert_eq!(epoch_in(written.as_bytes()), read);
        // Nothing but zeros before it is left out.
        let zeros = data.iter().take_while(|digit| **digit == b'0').count();
        let digits = written.trim_end().trim_start_matches('0');
        assert_eq!(data[zeros..].trim_ascii_end(), digits.as_bytes());
    }
    read
}

/// The text of an invitation's code is refused, or its code written and read again is the same.
///
/// # Errors
/// Why it was refused.
pub fn invitation_code(data: &[u8]) -> Result<Invitation, CodeError> {
    let text = String::from_utf8_lossy(data);
    let read = invitation_in(&text);
    match &read {
        Ok(invitation) => {
            let code = Code(invitation).to_string();
            assert_eq!(code, text.trim().to_lowercase());
            assert_eq!(invitation_in(&code).as_ref(), Ok(invitation));
        }
        Err(error) => assert!(error.to_string().len() < 512 + 8 * data.len(), "{error}"),
    }
    read
}

/// Decisions about peers are refused, or written and read again they are the same.
///
/// # Errors
/// What is wrong with them.
pub fn peers_file(data: &[u8]) -> Result<(), String> {
    let book = Book::parse(&String::from_utf8_lossy(data))?;
    let again = Book::parse(&book.text());
    assert!(again.as_ref() == Ok(&book), "{:?}", again.err());
    Ok(())
}

#[cfg(test)]
mod tests;
