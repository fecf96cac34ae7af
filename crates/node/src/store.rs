//! What a node keeps over restarts, in one file: its outbox, what it holds for its application, and
//! what it took from whom.
//!
//! A batch is one transaction and one flush: durable whole, or not there. A new store is made under
//! another name and renamed when it is complete, so that a file without its marks is a damaged one.
//! A damaged file is set aside, never written over. Payloads are sealed ([`seal`]).

mod chronicle;
mod error;
mod file;
mod row;
mod seal;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bitcraps_coordinator::{Batch, Recalled, SourceRecord, StreamRecord, Write};
use bitcraps_types::Epoch;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

pub(crate) use chronicle::Recorder;
pub use chronicle::{Chronicle, ChronicleHealth};
pub use error::{Damage, StoreError};
use file::CountedFile;
use seal::Sealer;
pub(crate) use shelf::Shelf;
pub use shelf::StoreHealth;
use writer::Writer;

use crate::Identity;
use crate::clock::WallClock;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const OUTBOX: Rows = TableDefinition::new("outbox");
const INBOX: Rows = TableDefinition::new("inbox");
/// Messages of the inbox that were offered after they came.
const OFFERS: Rows = TableDefinition::new("offers");
const STREAMS: Rows = TableDefinition::new("streams");
const SOURCES: Rows = TableDefinition::new("sources");

const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";
const PEER_KEY: &str = "peer";
/// The incarnation since which sources without a record are remembered.
const BEGINS_KEY: &str = "begins";
/// The incarnation that had the store last.
const LAST_KEY: &str = "last";

/// Memory that the database may use for its pages, in bytes: what is hot is small, because rows
/// leave as soon as their message is settled.
const CACHE: usize = 16 << 20;

/// The store of one node, open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
    sealer: Sealer,
    most_bytes: usize,
    syncs: Arc<AtomicU64>,
    wall: WallClock,
}

impl Store {
    /// Opens the store of `identity` at `path`, or makes a new one, of mode 0600, where there is
    /// none; it is to hold `most_bytes` of messages. When what is there is damaged, it is set aside
    /// under a name that `epoch` ends, a new one takes its place, and the damage is told.
    ///
    /// # Errors
    /// [`StoreError`]; nothing that was there is lost.
    pub fn open(
        path: &Path,
        identity: &Identity,
        epoch: Epoch,
        most_bytes: usize,
    ) -> Result<(Self, Option<Damage>), StoreError> {
        match Self::open_existing(path, identity, most_bytes) {
            Ok(Some(store)) => Ok((store, None)),
            Ok(None) => Ok((Self::create(path, identity, epoch, most_bytes)?, None)),
            Err(StoreError::Damaged { what, .. }) => {
                let lost = "messages that only it held are lost to this node";
                let damage = file::set_aside(path, epoch, what, lost)?;
                Ok((Self::create(path, identity, epoch, most_bytes)?, Some(damage)))
            }
            Err(other) => Err(other),
        }
    }

    fn open_existing(
        path: &Path,
        identity: &Identity,
        most_bytes: usize,
    ) -> Result<Option<Self>, StoreError> {
        let Some(file) = file::open(path)? else {
            return Ok(None);
        };
        let store = Self::over(path, file, identity, most_bytes)?;
        store.check(identity)?;
        // Everything in it can be read, or it is set aside before anything relies on it.
        store.recalled(Epoch::default())?;
        Ok(Some(store))
    }

    fn over(
        path: &Path,
        file: CountedFile,
        identity: &Identity,
        most_bytes: usize,
    ) -> Result<Self, StoreError> {
        let syncs = file.syncs();
        let database = file::database(path, file, CACHE)?;
        let sealer = Sealer::new(identity)?;
        let path = path.to_owned();
        Ok(Self { path, database, sealer, most_bytes, syncs, wall: WallClock })
    }

    fn create(
        path: &Path,
        identity: &Identity,
        epoch: Epoch,
        most_bytes: usize,
    ) -> Result<Self, StoreError> {
        let new = file::beside(path, ".new");
        let file = file::create(&new)?;
        let mut store = Self::over(&new, file, identity, most_bytes)?;
        store.transact(|transaction| {
            for table in [OUTBOX, INBOX, OFFERS, STREAMS, SOURCES] {
                transaction.open_table(table)?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
            meta.insert(PEER_KEY, identity.peer_id().as_bytes().as_slice())?;
            meta.insert(BEGINS_KEY, epoch.0.to_be_bytes().as_slice())?;
            Ok(())
        })?;
        file::put(&new, path)?;
        store.path = path.to_owned();
        Ok(store)
    }

    fn check(&self, identity: &Identity) -> Result<(), StoreError> {
        match self.mark(FORMAT_KEY)? {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(StoreError::Format { path: self.path.clone(), found: other });
            }
            None => return Err(self.damaged("it has no format mark")),
        }
        let owner = self.read(|meta| Ok(meta.get(PEER_KEY)?.map(|v| v.value().to_vec())))?;
        if owner.as_deref() != Some(identity.peer_id().as_bytes().as_slice()) {
            return Err(self.damaged("it belongs to another key"));
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often it flushed its disk, counted from when it was opened.
    pub fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.syncs)
    }

    /// The incarnation that had it last; no later one may have a lower number.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn last_epoch(&self) -> Result<Epoch, StoreError> {
        Ok(Epoch(self.mark(LAST_KEY)?.unwrap_or_default()))
    }

    /// The incarnation `epoch` has it from now on; gives what it holds.
    ///
    /// When the incarnation before ran without it, what it took is not known, and nothing is
    /// remembered of before.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or written. [`StoreError::Damaged`] when what it holds
    /// makes no sense.
    pub fn begin(&self, epoch: Epoch) -> Result<Recalled, StoreError> {
        let last = self.last_epoch()?;
        let begins = Epoch(self.mark(BEGINS_KEY)?.unwrap_or(epoch.0));
        let gap = last != Epoch::default() && epoch.0 != last.0.saturating_add(1);
        let begins = if gap { epoch } else { begins };
        self.transact(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(LAST_KEY, epoch.0.to_be_bytes().as_slice())?;
            meta.insert(BEGINS_KEY, begins.0.to_be_bytes().as_slice())?;
            Ok(())
        })?;
        let recalled = self.recalled(begins)?;
        Ok(if gap { forgetful(recalled) } else { recalled })
    }

    fn recalled(&self, begins: Epoch) -> Result<Recalled, StoreError> {
        let wall = self.wall.now();
        let sealer = &self.sealer;
        let offers = self.rows(OFFERS, |key, _| Some(key.to_vec()))?;
        let held = |key: &[u8], value: &[u8]| {
            let offered = offers.binary_search_by(|offer| offer.as_slice().cmp(key)).is_ok();
            row::held(sealer, key, value, offered)
        };
        Ok(Recalled {
            begins,
            most_bytes: self.most_bytes,
            outbox: self.rows(OUTBOX, |key, value| row::kept(sealer, key, value, wall))?,
            inbox: self.rows(INBOX, held)?,
            streams: self.rows(STREAMS, row::stream)?,
            sources: self.rows(SOURCES, row::source)?,
        })
    }

    /// Makes a batch durable: one transaction, one flush. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError`]; whether the batch is durable is then not known, and nothing more can be
    /// written.
    pub fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let wall = self.wall.now();
        self.transact(|transaction| apply(transaction, batch, &self.sealer, wall))
    }

    fn transact(
        &self,
        act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            act(&transaction)?;
            Ok(transaction.commit()?)
        };
        run().map_err(|e| StoreError::of(&self.path, e))
    }

    fn read<T>(
        &self,
        act: impl FnOnce(redb::ReadOnlyTable<&str, &[u8]>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let run = || act(self.database.begin_read()?.open_table(META)?);
        run().map_err(|e| StoreError::of(&self.path, e))
    }

    fn mark(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let bytes = self.read(|meta| Ok(meta.get(key)?.map(|value| value.value().to_vec())))?;
        let number = bytes.map(|bytes| bytes.try_into().map(u64::from_be_bytes));
        number.transpose().map_err(|_| self.damaged("a mark is no number"))
    }

    /// Every row of a table, in the order of keys.
    fn rows<T>(
        &self,
        table: Rows,
        read: impl Fn(&[u8], &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run = || -> Result<Option<Vec<T>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(table)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                match read(key.value(), value.value()) {
                    Some(row) => rows.push(row),
                    None => return Ok(None),
                }
            }
            Ok(Some(rows))
        };
        let rows = run().map_err(|e| StoreError::of(&self.path, e))?;
        rows.ok_or_else(|| self.damaged("a row makes no sense"))
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.path, what)
    }
}

/// What is recalled when an incarnation ran without the store: messages, but not who sent what.
fn forgetful(recalled: Recalled) -> Recalled {
    let begins = recalled.begins;
    let again = |record: SourceRecord| SourceRecord { begins, ..record };
    let sources = recalled.sources.into_iter().map(again).collect();
    Recalled { sources, ..recalled }
}

fn apply(
    transaction: &WriteTransaction,
    batch: &Batch,
    sealer: &Sealer,
    wall: std::time::Duration,
) -> Result<(), redb::Error> {
    let mut outbox = transaction.open_table(OUTBOX)?;
    let mut inbox = transaction.open_table(INBOX)?;
    let mut offers = transaction.open_table(OFFERS)?;
    let mut streams = transaction.open_table(STREAMS)?;
    let mut sources = transaction.open_table(SOURCES)?;
    let put = |table: &mut Table<'_, &'static [u8], &'static [u8]>, key: &[u8], value: &[u8]| {
        table.insert(key, value).map(drop)
    };
    for write in batch {
        match write {
            Write::Keep(kept) => {
                let key = row::outbox_key(&kept.id);
                let value = row::seal_kept(sealer, &key, kept, wall);
                put(&mut outbox, &key, &value)?;
            }
            Write::Settle(id) => drop(outbox.remove(row::outbox_key(id).as_slice())?),
            Write::Hold(held) => {
                let key = row::inbox_key(&held.id);
                let value = row::seal_held(sealer, &key, held);
                put(&mut inbox, &key, &value)?;
                offers.remove(key.as_slice())?;
            }
            Write::Offer(id) => {
                let key = row::inbox_key(id);
                if inbox.get(key.as_slice())?.is_some() {
                    put(&mut offers, &key, &[])?;
                }
            }
            Write::Release(id) => {
                let key = row::inbox_key(id);
                inbox.remove(key.as_slice())?;
                offers.remove(key.as_slice())?;
            }
            Write::Stream(record) => {
                let StreamRecord { stream, .. } = record;
                put(&mut streams, &row::stream_key(stream), &row::stream_value(record))?;
            }
            Write::DropStream(id) => drop(streams.remove(row::stream_key(id).as_slice())?),
            Write::Source(record) => {
                put(&mut sources, record.source.as_bytes(), &row::source_value(record))?;
            }
            Write::DropSource(source) => drop(sources.remove(source.as_bytes().as_slice())?),
            Write::Begins(epoch) => {
                let mut meta = transaction.open_table(META)?;
                meta.insert(BEGINS_KEY, epoch.0.to_be_bytes().as_slice())?;
            }
        }
    }
    Ok(())
}
