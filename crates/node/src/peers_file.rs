use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bitcraps_engine::{Decision, MAX_DECISIONS, MAX_INVITATIONS, MAX_USES};
use bitcraps_types::PeerId;
use bitcraps_wire::{MAX_INTERNET_ADDRESS, MAX_INVITATION_ADDRESSES, SECRET};
use serde::{Deserialize, Serialize};

use crate::directory;

/// Largest file that is read, in bytes: every decision with its addresses, and every invitation
/// with its uses.
const MAX_FILE: u64 = 32 << 20;
/// The version of the file's shape that this program writes and reads.
const VERSION: u32 = 1;
const HEAD: &str = "# Decisions about peers, written by bitcraps: `bitcraps peers admit`, `block` and \
                    `forget`,\n# `bitcraps invite` and `bitcraps join`. Edit it only while no node runs.\n\n";

/// What is known of a peer beyond a run of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KnownPeer {
    pub(crate) decision: Option<Decision>,
    /// Where it listens on its LAN, at most [`MAX_INVITATION_ADDRESSES`].
    pub(crate) lan: Vec<SocketAddr>,
    /// Where it is reached over the internet.
    pub(crate) internet: Option<String>,
}

/// An invitation beyond a run of the node.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KnownInvitation {
    pub(crate) secret: [u8; SECRET],
    /// By the wall clock, in seconds since 1970.
    pub(crate) expires: u64,
    pub(crate) uses: u32,
    pub(crate) used_by: BTreeSet<PeerId>,
}

/// What the file holds.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Book {
    pub(crate) peers: BTreeMap<PeerId, KnownPeer>,
    pub(crate) invitations: Vec<KnownInvitation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBook {
    version: u32,
    #[serde(default)]
    peers: Vec<RawPeer>,
    #[serde(default)]
    invitations: Vec<RawInvitation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    id: PeerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<RawStanding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lan: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internet: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawStanding {
    Admitted,
    Blocked,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInvitation {
    secret: String,
    expires: u64,
    uses: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<PeerId>,
}

/// The 16 bytes of a secret that 32 hexadecimal digits stand for.
fn secret_in(text: &str) -> Option<[u8; SECRET]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect();
    (digits.len() == 2 * SECRET).then_some(())?;
    bytes.try_into().ok()
}

impl Book {
    /// Reads the text of a file; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let raw: RawBook = toml::from_str(text).map_err(|e| e.to_string())?;
        if raw.version != VERSION {
            return Err(format!("it has version {}, this program reads {VERSION}", raw.version));
        }
        let most = |what, count: usize, most: usize| {
            let fits = count <= most;
            if fits { Ok(()) } else { Err(format!("it has {count} {what}, at most {most} fit")) }
        };
        most("peers", raw.peers.len(), MAX_DECISIONS)?;
        most("invitations", raw.invitations.len(), MAX_INVITATIONS)?;
        let mut book = Self::default();
        for RawPeer { id, standing, lan, internet } in raw.peers {
            most("addresses of one peer", lan.len(), MAX_INVITATION_ADDRESSES)?;
            let text = internet.as_deref().unwrap_or("-");
            most("bytes of one internet address", text.len(), MAX_INTERNET_ADDRESS)?;
            if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) || text.is_empty() {
                return Err(format!("{text:?} is no internet address"));
            }
            let decision = standing.map(|standing| match standing {
                RawStanding::Admitted => Decision::Admitted,
                RawStanding::Blocked => Decision::Blocked,
            });
            if book.peers.insert(id, KnownPeer { decision, lan, internet }).is_some() {
                return Err(format!("peer {id} is there twice"));
            }
        }
        for RawInvitation { secret, expires, uses, used_by } in raw.invitations {
            // It is not shown: it may be a good one with a slip in it.
            let secret = secret_in(&secret)
                .ok_or("an invitation's secret is not of 32 hexadecimal digits")?;
            if !(1..=MAX_USES).contains(&uses) {
                return Err(format!("an invitation admits {uses} peers, 1 to {MAX_USES} may be"));
            }
            most("uses of one invitation", used_by.len(), uses as usize)?;
            let used_by = used_by.into_iter().collect();
            book.invitations.push(KnownInvitation { secret, expires, uses, used_by });
        }
        Ok(book)
    }

    /// The text of a file that [`Self::parse`] reads back.
    pub(crate) fn text(&self) -> String {
        let peer = |(id, known): (&PeerId, &KnownPeer)| RawPeer {
            id: *id,
            standing: known.decision.map(|decision| match decision {
                Decision::Admitted => RawStanding::Admitted,
                Decision::Blocked => RawStanding::Blocked,
            }),
            lan: known.lan.clone(),
            internet: known.internet.clone(),
        };
        let invitation = |known: &KnownInvitation| RawInvitation {
            secret: known.secret.iter().map(|byte| format!("{byte:02x}")).collect(),
            expires: known.expires,
            uses: known.uses,
            used_by: known.used_by.iter().copied().collect(),
        };
        let raw = RawBook {
            version: VERSION,
            peers: self.peers.iter().map(peer).collect(),
            invitations: self.invitations.iter().map(invitation).collect(),
        };
        // Text, numbers below 2^63 and lists of them: nothing that TOML has no words for.
        HEAD.to_owned() + &toml::to_string(&raw).unwrap_or_default()
    }
}

/// Why decisions about peers are not known, or not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The file makes no sense. It stays as it is.
    #[error(
        "{} does not hold decisions about peers: {problem}; correct it, restore it from a backup, or \
         move it away to forget them all",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file cannot be written. What it held it still holds.
    #[error("cannot write {}: {reason}; nothing has changed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
}

/// Decisions about peers on disk: TOML of mode 0600, replaced as a whole. The lock of the epoch file
/// beside it keeps other processes away.
#[derive(Debug, Clone)]
pub(crate) struct PeersFile(PathBuf);

impl PeersFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads it; one that is not there is empty.
    pub(crate) fn load(&self) -> Result<Book, PeersFileError> {
        let failed = |e: io::Error| PeersFileError::Read {
            path: self.0.clone(),
            kind: e.kind(),
            reason: e.to_string(),
        };
        let damaged = |problem| PeersFileError::Damaged { path: self.0.clone(), problem };
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(e) => return Err(failed(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(damaged(format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| damaged("it is no text".to_owned()))?;
        Book::parse(&text).map_err(damaged)
    }

    /// Puts `book` in its place, durably.
    pub(crate) fn store(&self, book: &Book) -> Result<(), PeersFileError> {
        directory::replace(&self.0, book.text().as_bytes()).map_err(|e| PeersFileError::Write {
            path: self.0.clone(),
            kind: e.kind(),
            reason: e.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn book() -> Book {
        let friend = KnownPeer {
            decision: Some(Decision::Admitted),
            lan: vec!["192.0.2.7:47800".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()],
            internet: Some("198.51.100.4:7 https://relay.example/".to_owned()),
        };
        let foe = KnownPeer { decision: Some(Decision::Blocked), ..KnownPeer::default() };
        let invitation = KnownInvitation {
            secret: [0xa5; SECRET],
            expires: 1_763_837_654,
            uses: 2,
            used_by: [peer(1)].into(),
        };
        Book { peers: [(peer(1), friend), (peer(2), foe)].into(), invitations: vec![invitation] }
    }

    #[test]
    fn a_book_is_private_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("peers.toml");
        let file = PeersFile::new(&path);
        assert!(file.load().unwrap() == Book::default(), "there is none yet");
        file.store(&book()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(file.load().unwrap() == book());
        file.store(&Book::default()).unwrap();
        assert!(file.load().unwrap() == Book::default());
        assert!(!home.path().join("peers.toml.new").exists());
    }

    #[test]
    fn what_is_no_book_is_told_and_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("peers.toml");
        let file = PeersFile::new(&path);
        let good = book().text();
        let id = peer(1).to_string();
        for (text, problem) in [
            (String::new(), "missing field `version`"),
            (good.replace("version = 1", "version = 2"), "it has version 2, this program reads 1"),
            (good.replace("admitted", "friendly"), "unknown variant `friendly`"),
            (good.replace("lan =", "wan ="), "unknown field `wan`"),
            (good.replace(&id, "ab"), "a peer id has 64 hexadecimal digits"),
            (good.replace(&peer(2).to_string(), &id), "is there twice"),
            (good.replace("a5a5", "a5"), "an invitation's secret is not of 32 hexadecimal digits"),
            (good.replace("a5a5a5a5", "a5a5a5ag"), "is not of 32 hexadecimal digits"),
            (good.replace("uses = 2", "uses = 0"), "admits 0 peers, 1 to 1000 may be"),
            (good.replace("uses = 2", "uses = 1001"), "admits 1001 peers"),
            (good.replace("198.51", "198\\u0007"), "is no internet address"),
            (good.replace("198.51", &"1".repeat(300)), "bytes of one internet address"),
        ] {
            fs::write(&path, &text).unwrap();
            match file.load().err().unwrap() {
                PeersFileError::Damaged { path: named, problem: told } => {
                    assert_eq!(named, path);
                    assert!(told.contains(problem), "{told}: {problem}");
                    assert!(!told.contains("a5a5"), "no secret is told: {told}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(file.load().err(), Some(PeersFileError::Damaged { .. })));
    }

    #[test]
    fn a_book_that_cannot_be_written_leaves_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("peers.toml");
        let file = PeersFile::new(&path);
        file.store(&book()).unwrap();
        fs::create_dir(home.path().join("peers.toml.new")).unwrap();
        match file.store(&Book::default()).unwrap_err() {
            PeersFileError::Write { path: named, kind, .. } => {
                assert_eq!((named, kind), (path, io::ErrorKind::IsADirectory));
            }
            other => panic!("{other:?}"),
        }
        assert!(file.load().unwrap() == book());
    }

    #[test]
    fn every_book_is_bounded() {
        let many = |count: usize| {
            let mut book = Book::default();
            for n in 0..count {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&n.to_be_bytes());
                book.peers.insert(PeerId::from_bytes(id), KnownPeer::default());
            }
            Book::parse(&book.text()).map(|_| ())
        };
        assert_eq!(many(MAX_DECISIONS), Ok(()));
        assert_eq!(
            many(MAX_DECISIONS + 1),
            Err("it has 16385 peers, at most 16384 fit".to_owned())
        );
        let mut book = book();
        book.invitations = vec![book.invitations[0].clone(); MAX_INVITATIONS];
        assert!(Book::parse(&book.text()).is_ok());
        book.invitations.push(book.invitations[0].clone());
        let many = Book::parse(&book.text()).err();
        assert_eq!(many, Some("it has 65 invitations, at most 64 fit".to_owned()));
    }
}
