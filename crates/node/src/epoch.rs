use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bitcraps_types::Epoch;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::directory::{self, MODE_PRIVATE, beside};

/// Longest epoch file: the 20 digits of `u64::MAX` and a line end.
pub(crate) const MAX_EPOCH_FILE: u64 = 21;

/// The counter of a node's incarnations, on disk beside its key, and the lock that lets one process
/// at a time be that node.
///
/// Peers tell a restarted node from its former self by the epoch alone, so it only ever grows, and
/// it is on disk before it is used: a value is written to a temporary file, synced, renamed over
/// the old one, and the directory synced, before it is returned. A crash at any point leaves the
/// old value or the new one, and neither is handed out twice.
///
/// The lock is advisory (`flock`) on a file of its own beside the counter, `<path>.lock`. It is held
/// until this value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct EpochFile {
    path: PathBuf,
    /// Dropping it releases the lock.
    _lock: File,
}

impl EpochFile {
    /// Takes the lock; the counter is neither read nor written yet. A missing directory is created
    /// with mode 0700.
    ///
    /// # Errors
    /// [`EpochError::Locked`] when another process holds the lock, [`EpochError::Write`] when the
    /// lock file cannot be made.
    pub fn open(path: &Path) -> Result<Self, EpochError> {
        let lock_path = beside(path, ".lock");
        let failed = |e: &io::Error| EpochError::write(&lock_path, e);
        directory::create_private(directory::of(path)).map_err(|e| failed(&e))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE_PRIVATE)
            .open(&lock_path)
            .map_err(|e| failed(&e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(EpochError::Locked(lock_path)),
            Err(errno) => Err(failed(&errno.into())),
        }
    }

    /// Makes the next epoch durable and returns it: 1 when there is no file yet, otherwise one more
    /// than the file holds. To be called once in each life of a node, before its first frame.
    ///
    /// # Errors
    /// Any [`EpochError`]; the file then holds what it held, or already the next epoch, and the node
    /// must not start.
    pub fn advance(&mut self) -> Result<Epoch, EpochError> {
        let current = self.read()?;
        self.store(self.next(current)?)
    }

    /// Makes sure that this node's epoch is above `seen`, which somebody presented as ours (this
    /// node was restored from a backup, or its key is used twice), and returns it: the stored epoch
    /// when that is above `seen`, otherwise one more than `seen`, stored.
    ///
    /// # Errors
    /// As for [`Self::advance`].
    pub fn raise_above(&mut self, seen: Epoch) -> Result<Epoch, EpochError> {
        let current = self.read()?;
        if current > seen {
            return Ok(current);
        }
        self.store(self.next(seen)?)
    }

    /// Where the counter is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn next(&self, epoch: Epoch) -> Result<Epoch, EpochError> {
        let next = epoch.0.checked_add(1).map(Epoch);
        next.ok_or_else(|| EpochError::Exhausted(self.path.clone()))
    }

    fn read(&self) -> Result<Epoch, EpochError> {
        let failed = |e: &io::Error| EpochError::Read {
            path: self.path.clone(),
            kind: e.kind(),
            reason: e.to_string(),
        };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Epoch(0)),
            Err(e) => return Err(failed(&e)),
        };
        let mut bytes = Vec::with_capacity(MAX_EPOCH_FILE as usize + 1);
        file.take(MAX_EPOCH_FILE + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        let corrupt = || EpochError::Corrupt {
            path: self.path.clone(),
            content: String::from_utf8_lossy(&bytes).into_owned(),
        };
        epoch_in(&bytes).ok_or_else(corrupt)
    }

    fn store(&self, epoch: Epoch) -> Result<Epoch, EpochError> {
        match directory::replace(&self.path, epoch_file(epoch).as_bytes()) {
            Ok(()) => Ok(epoch),
            Err(e) => Err(EpochError::write(&self.path, &e)),
        }
    }
}

/// The epoch that an epoch file with these bytes holds: digits, and at most one line end.
pub(crate) fn epoch_in(bytes: &[u8]) -> Option<Epoch> {
    // Of a longer file only the start was read: the number in it may have another end.
    if bytes.len() as u64 > MAX_EPOCH_FILE {
        return None;
    }
    let text = str::from_utf8(bytes).ok()?;
    let digits = text.strip_suffix('\n').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().map(Epoch).ok()
}

/// What an epoch file holds.
pub(crate) fn epoch_file(epoch: Epoch) -> String {
    format!("{}\n", epoch.0)
}

/// Why a node has no epoch and must not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// Another process is this node.
    #[error(
        "{} is locked: another process runs with this identity; stop it, or set another node.data_dir",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file holds no number, or one above the largest.
    #[error(
        "epoch file {} holds {content:?}, which is no epoch; write a number above every epoch this node \
         ever had, or move the file and the key away to get a new identity",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The start of what it holds.
        content: String,
    },
    /// The file cannot be read.
    #[error("cannot read epoch file {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// The file or its lock cannot be written.
    #[error(
        "cannot write epoch file {}: {reason}; a node cannot start without it, set node.data_dir to a \
         directory you can write",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        reason: String,
    },
    /// No epoch is left; 2^64 starts do not happen, so somebody wrote the number.
    #[error(
        "epoch file {} cannot go above {}; move it and the key away to get a new identity",
        .0.display(),
        u64::MAX
    )]
    Exhausted(PathBuf),
}

impl EpochError {
    fn write(path: &Path, error: &io::Error) -> Self {
        Self::Write { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn stored(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn every_start_gets_the_next_epoch() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/epoch");
        for expected in 1..=3 {
            let epoch = EpochFile::open(&path).unwrap().advance().unwrap();
            assert_eq!(epoch, Epoch(expected));
            assert_eq!(stored(&path), format!("{expected}\n"));
        }
        let mut file = EpochFile::open(&path).unwrap();
        assert_eq!(file.advance(), Ok(Epoch(4)));
        assert_eq!(file.advance(), Ok(Epoch(5)));
    }

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        let first = EpochFile::open(&path).unwrap();
        let locked = EpochError::Locked(home.path().join("epoch.lock"));
        assert_eq!(EpochFile::open(&path).unwrap_err(), locked);
        drop(first);
        assert_eq!(
            EpochFile::open(&path).unwrap().advance().unwrap(),
            Epoch(1),
            "the refused one must not have counted"
        );
        assert_eq!(
            EpochError::Locked(PathBuf::from("/d/epoch.lock")).to_string(),
            "/d/epoch.lock is locked: another process runs with this identity; stop it, or set \
             another node.data_dir"
        );
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_epoch() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        fs::write(&path, "41\n").unwrap();
        for torn in ["", "4", "4200000000000000000000000000\n"] {
            fs::write(home.path().join("epoch.new"), torn).unwrap();
            let before: u64 = stored(&path).trim().parse().unwrap();
            let epoch = EpochFile::open(&path).unwrap().advance().unwrap();
            assert_eq!(epoch, Epoch(before + 1), "{torn:?}");
            assert!(!home.path().join("epoch.new").exists());
        }
        assert_eq!(stored(&path), "44\n");
    }

    #[test]
    fn what_is_no_epoch_stops_the_node_and_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        for content in ["", "\n", "x", "-1", "+1", " 1", "1\n\n", "18446744073709551616"] {
            fs::write(&path, content).unwrap();
            let expected = EpochError::Corrupt { path: path.clone(), content: content.to_owned() };
            let mut file = EpochFile::open(&path).unwrap();
            assert_eq!(file.advance(), Err(expected.clone()), "{content:?}");
            assert_eq!(file.raise_above(Epoch(9)), Err(expected), "{content:?}");
            assert_eq!(stored(&path), content);
        }
        let cut = format!("{}1", "0".repeat(21));
        fs::write(&path, format!("{cut}2")).unwrap();
        let expected = EpochError::Corrupt { path: path.clone(), content: cut };
        assert_eq!(EpochFile::open(&path).unwrap().advance(), Err(expected));
        fs::write(&path, [0xff, b'1']).unwrap();
        let error = EpochFile::open(&path).unwrap().advance().unwrap_err();
        assert!(matches!(error, EpochError::Corrupt { .. }), "{error:?}");
    }

    #[test]
    fn the_last_epoch_is_used_and_not_passed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        fs::write(&path, "18446744073709551614").unwrap();
        let mut file = EpochFile::open(&path).unwrap();
        assert_eq!(file.advance(), Ok(Epoch(u64::MAX)));
        let exhausted = Err(EpochError::Exhausted(path.clone()));
        assert_eq!(file.advance(), exhausted);
        assert_eq!(file.raise_above(Epoch(u64::MAX)), exhausted);
        assert_eq!(stored(&path), "18446744073709551615\n");
    }

    #[test]
    fn a_seen_epoch_is_passed_by_one_and_only_when_it_must() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("epoch");
        let mut file = EpochFile::open(&path).unwrap();
        assert_eq!(file.advance(), Ok(Epoch(1)));
        assert_eq!(file.raise_above(Epoch(0)), Ok(Epoch(1)));
        assert_eq!(stored(&path), "1\n");
        assert_eq!(file.raise_above(Epoch(1)), Ok(Epoch(2)));
        assert_eq!(file.raise_above(Epoch(70)), Ok(Epoch(71)));
        assert_eq!(stored(&path), "71\n");
        assert_eq!(file.advance(), Ok(Epoch(72)));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let plain = home.path().join("plain");
        fs::write(&plain, "").unwrap();
        match EpochFile::open(&plain.join("epoch")).unwrap_err() {
            EpochError::Write { path, kind, .. } => {
                assert_eq!((path, kind), (plain.join("epoch.lock"), io::ErrorKind::NotADirectory))
            }
            other => panic!("{other:?}"),
        }

        // A directory in the place of the temporary file stops a writer of any rank, as a
        // read-only directory stops all but root.
        let path = home.path().join("epoch");
        fs::write(&path, "6\n").unwrap();
        fs::create_dir(home.path().join("epoch.new")).unwrap();
        match EpochFile::open(&path).unwrap().advance().unwrap_err() {
            EpochError::Write { path: named, kind, .. } => {
                assert_eq!((named, kind), (path.clone(), io::ErrorKind::IsADirectory))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(stored(&path), "6\n");
    }
}
