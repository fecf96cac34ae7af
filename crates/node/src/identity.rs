use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bitcraps_types::PeerId;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::directory;

/// Largest key file that is read, in bytes: 64 digits and room for a few comment lines.
pub(crate) const MAX_KEY_FILE: u64 = 4096;
pub(crate) const SEED_DIGITS: usize = 64;
const MODE_PRIVATE: u32 = 0o600;
const MODE_OF_OTHERS: u32 = 0o077;

/// Who a node is: an Ed25519 key whose public half is its [`PeerId`].
///
/// The secret is wiped from memory when the value is dropped, and `Debug` shows the public half
/// only. On disk it is a text file of mode 0600 with the 32-byte seed as 64 hexadecimal digits on
/// one line; lines that start with `#` are comments.
pub struct Identity {
    signing_key: SigningKey,
}

impl Identity {
    /// The identity of a seed, for keys that live elsewhere than in a file.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing_key: SigningKey::from_bytes(seed) }
    }

    /// A new identity from the operating system's randomness, not stored anywhere.
    ///
    /// # Errors
    /// [`IdentityError::Randomness`] when the system has none to give.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())
            .map_err(|e| IdentityError::Randomness(e.to_string()))?;
        Ok(Self::from_seed(&seed))
    }

    /// Generates an identity and stores it in a new file of mode 0600, made durable with its
    /// directory before this returns. A missing directory is created with mode 0700.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when there is a file already: it is never overwritten.
    /// [`IdentityError::Write`] when the file cannot be written; nothing is left behind.
    pub fn create(path: &Path) -> Result<Self, IdentityError> {
        let identity = Self::generate()?;
        let parent = directory::of(path);
        directory::create_private(parent).map_err(|e| IdentityError::write(path, &e))?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(MODE_PRIVATE).open(path).map_err(
                |e| match e.kind() {
                    io::ErrorKind::AlreadyExists => IdentityError::Exists(path.to_owned()),
                    _ => IdentityError::write(path, &e),
                },
            )?;
        let written = file
            .write_all(identity.key_file().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| directory::sync(parent));
        if let Err(error) = written {
            // A file without its key would stop the next start. When even this fails, that start
            // reports what it finds.
            drop(fs::remove_file(path));
            return Err(IdentityError::write(path, &error));
        }
        Ok(identity)
    }

    /// Reads the identity stored at `path`.
    ///
    /// # Errors
    /// [`IdentityError::Missing`] when there is no such file, [`IdentityError::Exposed`] when its
    /// group or others may access it, [`IdentityError::Content`] when it holds anything but a key,
    /// [`IdentityError::Read`] for the rest.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => IdentityError::Missing(path.to_owned()),
            _ => IdentityError::read(path, &e),
        };
        // Asked before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(IdentityError::Content {
                path: path.to_owned(),
                problem: KeyProblem::NoFile,
            });
        }
        let file = File::open(path).map_err(failed)?;
        // Asked of the open file, so that the file checked is the file read.
        let metadata = file.metadata().map_err(|e| IdentityError::read(path, &e))?;
        let mode = metadata.mode() & 0o7777;
        if mode & MODE_OF_OTHERS != 0 {
            let path = path.to_owned();
            return Err(IdentityError::Exposed { path, mode });
        }
        // Sized beforehand: a string that grew would leave unwiped copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE as usize + 1));
        file.take(MAX_KEY_FILE + 1)
            .read_to_string(&mut text)
            .map_err(|e| IdentityError::read(path, &e))?;
        let seed = seed_in(&text)
            .map_err(|problem| IdentityError::Content { path: path.to_owned(), problem })?;
        Ok(Self::from_seed(&seed))
    }

    /// [`Self::load`], or [`Self::create`] when there is no file yet.
    ///
    /// # Errors
    /// Those of both.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match Self::load(path) {
            Err(IdentityError::Missing(_)) => Self::create(path),
            other => other,
        }
    }

    /// The public half.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.signing_key.verifying_key().to_bytes())
    }

    /// The key that signs for this identity.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    pub(crate) fn key_file(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE as usize));
        text.push_str("# Secret key of peer ");
        text.push_str(&self.peer_id().to_string());
        text.push_str("\n# Whoever reads it can speak for this peer.\n");
        for byte in self.signing_key.as_bytes() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text.push('\n');
        text
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish()
    }
}

/// The seed that the text of a key file holds.
pub(crate) fn seed_in(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyProblem> {
    if text.len() as u64 > MAX_KEY_FILE {
        return Err(KeyProblem::TooLong);
    }
    let mut keys =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = keys.next().ok_or(KeyProblem::Empty)?;
    if keys.next().is_some() {
        return Err(KeyProblem::SeveralLines);
    }
    if key.len() != SEED_DIGITS {
        return Err(KeyProblem::Length(key.len()));
    }
    let mut seed = Zeroizing::new([0; 32]);
    for (at, digit) in key.bytes().enumerate() {
        let value = char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(KeyProblem::Digit(at))?;
        seed[at / 2] = (seed[at / 2] << 4) | value;
    }
    Ok(seed)
}

/// Why there is no identity. Nothing was changed on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No key file; make one with `keygen`, or let `run` make it.
    #[error("no key file {}; create one with `bitcraps keygen`", .0.display())]
    Missing(PathBuf),
    /// A key file is there already and stays as it is.
    #[error("key file {} exists and is not overwritten; move it away to get a new identity", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may read or change the key.
    #[error(
        "key file {} has mode {mode:04o}, so others than its owner can reach it; run `chmod 600 {}` \
         (and make a new key if others use this machine)",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error(
        "key file {} {problem}; restore it from a backup, or move it away to get a new identity",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: KeyProblem,
    },
    /// The file cannot be read.
    #[error("cannot read key file {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write key file {}: {reason}; set node.data_dir to a directory you can write", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness for a key: {0}")]
    Randomness(String),
}

impl IdentityError {
    fn read(path: &Path, error: &io::Error) -> Self {
        Self::Read { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }

    fn write(path: &Path, error: &io::Error) -> Self {
        Self::Write { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}

/// Why the text of a key file is no key. Never carries digits of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Only comments and blank lines.
    #[error("holds no key")]
    Empty,
    /// More than one line that is no comment.
    #[error("holds more than one key")]
    SeveralLines,
    /// The key has another length, in bytes.
    #[error("holds a key of {0} characters where 64 hexadecimal digits belong")]
    Length(usize),
    /// The character at this position, from 0, is no hexadecimal digit.
    #[error("holds a key whose character {0} is no hexadecimal digit")]
    Digit(usize),
    /// It is a directory, a pipe or a device.
    #[error("is no regular file")]
    NoFile,
    /// More bytes than any key file has.
    #[error("is larger than {MAX_KEY_FILE} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    const SEED_TEXT: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    /// RFC 8032, test 1.
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_created_key_is_private_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/er/key");
        let created = Identity::create(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let loaded = Identity::load(&path).unwrap();
        assert_eq!(loaded.peer_id(), created.peer_id());
        assert_eq!(loaded.signing_key(), created.signing_key());
        assert_eq!(Identity::load_or_create(&path).unwrap().peer_id(), created.peer_id());
        assert_eq!(Identity::create(&path).unwrap_err(), IdentityError::Exists(path.clone()));
        assert_eq!(Identity::load(&path).unwrap().peer_id(), created.peer_id());
    }

    #[test]
    fn two_created_keys_differ() {
        let home = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(&home.path().join("a")).unwrap();
        let second = Identity::load_or_create(&home.path().join("b")).unwrap();
        assert_ne!(first.peer_id(), second.peer_id());
    }

    #[test]
    fn the_peer_id_is_the_public_key_of_the_seed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let text = format!("# a comment\n\n  {SEED_TEXT}  \n");
        write(&path, &text, 0o600);
        let identity = Identity::load(&path).unwrap();
        assert_eq!(identity.peer_id().to_string(), PUBLIC);
        assert_eq!(Identity::from_seed(&SEED).peer_id(), identity.peer_id());
        assert_eq!(format!("{identity:?}"), "Identity(PeerId(d75a980182))");
        assert!(identity.key_file().ends_with(&format!("\n{SEED_TEXT}\n")));
    }

    #[test]
    fn a_key_that_others_can_reach_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777] {
            write(&path, SEED_TEXT, mode);
            let expected = IdentityError::Exposed { path: path.clone(), mode };
            assert_eq!(Identity::load(&path).unwrap_err(), expected, "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            write(&path, SEED_TEXT, mode);
            assert_eq!(Identity::load(&path).unwrap().peer_id().to_string(), PUBLIC);
        }
        let exposed = IdentityError::Exposed { path: PathBuf::from("/d/key"), mode: 0o644 };
        assert_eq!(
            exposed.to_string(),
            "key file /d/key has mode 0644, so others than its owner can reach it; run `chmod 600 \
             /d/key` (and make a new key if others use this machine)"
        );
    }

    #[test]
    fn a_file_without_a_key_says_what_it_holds() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let padded = |length: usize| format!("#{}\n{SEED_TEXT}", "x".repeat(length - 66));
        for (text, problem) in [
            (String::new(), KeyProblem::Empty),
            ("# only this\n\n".to_owned(), KeyProblem::Empty),
            (SEED_TEXT[1..].to_owned(), KeyProblem::Length(63)),
            (format!("{SEED_TEXT}0"), KeyProblem::Length(65)),
            (format!("{}g", &SEED_TEXT[1..]), KeyProblem::Digit(63)),
            (format!("ü{}", &SEED_TEXT[2..]), KeyProblem::Digit(0)),
            (format!("{SEED_TEXT}\n{SEED_TEXT}"), KeyProblem::SeveralLines),
            (padded(4097), KeyProblem::TooLong),
        ] {
            write(&path, &text, 0o600);
            let expected = IdentityError::Content { path: path.clone(), problem };
            assert_eq!(Identity::load(&path).unwrap_err(), expected, "{text:?}");
        }
        write(&path, &padded(4096), 0o600);
        assert_eq!(Identity::load(&path).unwrap().peer_id().to_string(), PUBLIC);
    }

    #[test]
    fn missing_and_unwritable_places_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        assert_eq!(Identity::load(&path).unwrap_err(), IdentityError::Missing(path.clone()));
        // A directory below a file cannot be made, whoever asks.
        fs::write(&path, "").unwrap();
        match Identity::create(&path.join("key")).unwrap_err() {
            IdentityError::Write { path: named, kind, .. } => {
                assert_eq!((named, kind), (path.join("key"), io::ErrorKind::NotADirectory))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            Identity::load(home.path()).unwrap_err(),
            IdentityError::Content { path: home.path().to_owned(), problem: KeyProblem::NoFile }
        );
    }
}
