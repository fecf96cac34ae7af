//! The file under the database: private, and every flush of it counted.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcraps_types::Epoch;
use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::{Damage, StoreError};
use crate::directory;

const MODE_PRIVATE: u32 = 0o600;

/// Opens the file at `path`; `None` when there is none.
pub(super) fn open(path: &Path) -> Result<Option<CountedFile>, StoreError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io(path, &e)),
    };
    let metadata = file.metadata().map_err(|e| StoreError::io(path, &e))?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(StoreError::damaged(path, "it is empty or no regular file"));
    }
    // Made by hand, or copied: what is in it is for its owner alone.
    if metadata.mode() & 0o7777 != MODE_PRIVATE {
        let private = std::fs::Permissions::from_mode(MODE_PRIVATE);
        file.set_permissions(private).map_err(|e| StoreError::io(path, &e))?;
    }
    CountedFile::new(path, file).map(Some)
}

/// Makes an empty file at `path`, in place of one that a crash left behind.
pub(super) fn create(path: &Path) -> Result<CountedFile, StoreError> {
    directory::create_private(directory::of(path)).map_err(|e| StoreError::io(path, &e))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(MODE_PRIVATE);
    let file = options.open(path).map_err(|e| StoreError::io(path, &e))?;
    CountedFile::new(path, file)
}

/// A path with more at its end.
pub(super) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// Gives the file `new` the name `path`, durably.
pub(super) fn put(new: &Path, path: &Path) -> Result<(), StoreError> {
    let moved = std::fs::rename(new, path).and_then(|()| directory::sync(directory::of(path)));
    moved.map_err(|e| StoreError::io(path, &e))
}

/// Moves a damaged file away, to a name that `epoch` ends.
pub(super) fn set_aside(
    path: &Path,
    epoch: Epoch,
    what: String,
    lost: &'static str,
) -> Result<Damage, StoreError> {
    let kept = beside(path, &format!(".damaged-{}", epoch.0));
    put(path, &kept)?;
    Ok(Damage { path: path.to_owned(), kept, what, lost })
}

/// A database over `file` that uses `cache` bytes of memory for its pages. A damaged one may make its
/// library panic, which is damage as well.
pub(super) fn database(
    path: &Path,
    file: CountedFile,
    cache: usize,
) -> Result<Database, StoreError> {
    let opening = std::thread::spawn(move || {
        let mut builder = Database::builder();
        builder.set_cache_size(cache).set_check_integrity_on_open(true);
        builder.create_with_backend(file)
    });
    let opened = opening.join().map_err(|_| StoreError::damaged(path, "it cannot be read"))?;
    opened.map_err(|e| StoreError::of(path, e.into()))
}

/// A file that counts its flushes.
#[derive(Debug)]
pub(super) struct CountedFile {
    file: FileBackend,
    syncs: Arc<AtomicU64>,
}

impl CountedFile {
    fn new(path: &Path, file: File) -> Result<Self, StoreError> {
        let file = FileBackend::new(file).map_err(|e| StoreError::of(path, e.into()))?;
        Ok(Self { file, syncs: Arc::default() })
    }

    pub(super) fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.syncs)
    }
}

impl StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
