use std::io;
use std::path::{Path, PathBuf};

/// Why a store does not work. What it made durable before is still there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("store {} does not work: {reason}; make room and see to its permissions, then restart", path.display())]
    Io {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// What is in it makes no sense.
    #[error("store {} is damaged: {what}", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another version of this program made it.
    #[error("store {} has format {found}, this program knows another; use the `bitcraps` that made it, or move it away", path.display())]
    Format {
        /// Its file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Another process has it open.
    #[error("store {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness for the store's seals: {0}")]
    Randomness(String),
}

impl StoreError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), reason: error.to_string() }
    }

    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_owned() }
    }

    /// What the database said, by what can be done about it.
    pub(super) fn of(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse(path.to_owned()),
            // Contents that are not those of a database.
            redb::Error::Io(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData
                        | io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                Self::damaged(path, &e.to_string())
            }
            redb::Error::Io(e) => Self::io(path, &e),
            redb::Error::PreviousIo => {
                Self::Io { path: path.to_owned(), reason: "an earlier write failed".to_owned() }
            }
            other => Self::damaged(path, &other.to_string()),
        }
    }
}

/// A damaged store was set aside, and a new one took its place. What only it held is not known to
/// this node any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "store {} was damaged ({what}) and is set aside as {}; {lost}",
    path.display(),
    kept.display()
)]
pub struct Damage {
    /// Where it was, and a new one is.
    pub path: PathBuf,
    /// Where it is.
    pub kept: PathBuf,
    /// What was found.
    pub what: String,
    /// What is not known to the node any more, for people.
    pub lost: &'static str,
}
