//! What the network was in earlier lives of the node, in a file of its own: it is worth less than
//! messages, and neither waits for the other.

use std::ops::Bound::{Excluded, Included};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcraps_coordinator::Driver;
use bitcraps_engine::Engine;
use bitcraps_engine::monitor::{Grain, History, Measure, Range, Step};
use bitcraps_types::{Epoch, Timestamp};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::Mutex as TurnMutex;

use super::{Damage, StoreError, file};
use crate::BootClock;
use crate::clock::WallClock;

/// Steps by grain and number.
const STEPS: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("steps");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
/// Also of the order and number of measures.
const FORMAT: u64 = 1;
/// Memory that the database may use for its pages, in bytes: as much as is in it.
const CACHE: usize = 1 << 20;
/// Time between two writes. What a crash costs; an hour of it wears a disk as sixty messages do.
const EVERY: Duration = Duration::from_secs(60);
/// Bytes of a measure in a step: its number, three values and a count.
const RANGE: usize = 1 + 3 * 4 + 4;
const LOST: &str = "what the network was before is not known any more";

/// The file of a node's past, open.
#[derive(Debug)]
pub struct Chronicle {
    path: PathBuf,
    database: Database,
}

/// What is known of the file of the past, whether it works or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChronicleHealth {
    /// Its file.
    pub path: Option<PathBuf>,
    /// Why nothing is kept any more.
    pub failure: Option<String>,
    /// What it took the place of.
    pub damage: Option<Damage>,
}

impl Chronicle {
    /// Opens the file at `path`, or makes a new one, of mode 0600, where there is none. A damaged one
    /// is set aside under a name that `epoch` ends, a new one takes its place, and the damage is told.
    ///
    /// # Errors
    /// [`StoreError`]; nothing that was there is lost.
    pub fn open(path: &Path, epoch: Epoch) -> Result<(Self, Option<Damage>), StoreError> {
        match Self::open_existing(path) {
            Ok(Some(chronicle)) => Ok((chronicle, None)),
            Ok(None) => Ok((Self::create(path)?, None)),
            Err(StoreError::Damaged { what, .. }) => {
                let damage = file::set_aside(path, epoch, what, LOST)?;
                Ok((Self::create(path)?, Some(damage)))
            }
            Err(other) => Err(other),
        }
    }

    fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(file) = file::open(path)? else {
            return Ok(None);
        };
        let database = file::database(path, file, CACHE)?;
        let chronicle = Self { path: path.to_owned(), database };
        match chronicle.format()? {
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::Format { path: path.to_owned(), found }),
            None => return Err(StoreError::damaged(path, "it has no format mark")),
        }
        chronicle.steps()?;
        Ok(Some(chronicle))
    }

    fn create(path: &Path) -> Result<Self, StoreError> {
        let new = file::beside(path, ".new");
        let database = file::database(&new, file::create(&new)?, CACHE)?;
        let begin = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(STEPS)?;
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(transaction.commit()?)
        };
        begin().map_err(|e| StoreError::of(&new, e))?;
        file::put(&new, path)?;
        Ok(Self { path: path.to_owned(), database })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn format(&self) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let meta = self.database.begin_read()?.open_table(META)?;
            Ok(meta.get(FORMAT_KEY)?.map(|value| value.value()))
        };
        read().map_err(|e| StoreError::of(&self.path, e))
    }

    /// Everything in it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a row makes no sense, and what reading fails with.
    pub fn steps(&self) -> Result<Vec<Step>, StoreError> {
        let read = || -> Result<Option<Vec<Step>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(STEPS)?;
            let mut steps = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                let (grain, number) = key.value();
                let Some(grain) = Grain::ALL.get(usize::from(grain)) else { return Ok(None) };
                let Some(ranges) = ranges(value.value()) else { return Ok(None) };
                steps.push(Step { grain: *grain, number, ranges });
            }
            Ok(Some(steps))
        };
        let steps = read().map_err(|e| StoreError::of(&self.path, e))?;
        steps.ok_or_else(|| StoreError::damaged(&self.path, "a row makes no sense"))
    }

    /// Makes steps durable, in place of those of the same numbers, and forgets what is too old beside
    /// them. One transaction, one flush; blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError`]; what was durable before still is.
    pub fn write(&self, steps: &[Step]) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(STEPS)?;
                for step in steps {
                    let key = (step.grain as u8, step.number);
                    table.insert(key, bytes(&step.ranges).as_slice())?;
                }
                for grain in Grain::ALL {
                    let of_grain = steps.iter().filter(|step| step.grain == grain);
                    let Some(last) = of_grain.map(|step| step.number).max() else { continue };
                    let first = last.saturating_sub(grain.steps() as u64 - 1);
                    let grain = grain as u8;
                    table.retain_in((grain, 0)..(grain, first), |_, _| false)?;
                    // Of a time that a clock gone wrong had for the future.
                    let ahead = (Excluded((grain, last)), Included((grain, u64::MAX)));
                    table.retain_in(ahead, |_, _| false)?;
                }
            }
            Ok(transaction.commit()?)
        };
        run().map_err(|e| StoreError::of(&self.path, e))
    }
}

fn bytes(ranges: &[Option<Range>; Measure::COUNT]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, range) in ranges.iter().enumerate() {
        let Some(Range { mean, min, max, ticks }) = range else { continue };
        bytes.push(number as u8);
        [mean, min, max].iter().for_each(|value| bytes.extend(value.to_be_bytes()));
        bytes.extend(ticks.to_be_bytes());
    }
    bytes
}

fn ranges(bytes: &[u8]) -> Option<[Option<Range>; Measure::COUNT]> {
    let mut ranges = [None; Measure::COUNT];
    let (rows, []) = bytes.as_chunks::<RANGE>() else { return None };
    for [number, row @ ..] in rows {
        let ([mean, min, max, ticks], []) = row.as_chunks::<4>() else { return None };
        let [mean, min, max] = [mean, min, max].map(|value| f32::from_be_bytes(*value));
        let range = Range { mean, min, max, ticks: u32::from_be_bytes(*ticks) };
        *ranges.get_mut(usize::from(*number))? = Some(range);
    }
    Some(ranges)
}

/// What is being recorded.
#[derive(Debug)]
struct Recording {
    chronicle: Arc<Chronicle>,
    /// The step of each grain that was written last: it may have gone on since.
    written: [u64; Grain::ALL.len()],
}

/// Keeps the past of a node in its file, every minute and at the end.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Held while a batch is written, so that one is written at a time.
    recording: TurnMutex<Option<Recording>>,
    health: Mutex<ChronicleHealth>,
}

impl Recorder {
    /// Gives what was kept to `driver`. A file that does not work is told as such, and the node goes
    /// on without.
    pub(crate) fn start(
        opened: Result<(Chronicle, Option<Damage>), StoreError>,
        driver: &Driver<Engine>,
    ) -> Self {
        let recorder = Self::default();
        match opened.and_then(|(chronicle, damage)| Ok((chronicle.steps()?, chronicle, damage))) {
            Ok((steps, chronicle, damage)) => {
                if let Some(damage) = &damage {
                    tracing::error!("{damage}");
                }
                let origin = origin(WallClock.now(), BootClock.now());
                driver.with(|engine, now| {
                    if let Some(health) = engine.health_mut() {
                        health.monitor_mut().recall(History::recalled(origin, steps, now));
                    }
                });
                recorder.tell(|health| {
                    (health.path, health.damage) = (Some(chronicle.path.clone()), damage);
                });
                let chronicle = Arc::new(chronicle);
                let written = [0; Grain::ALL.len()];
                let recording = TurnMutex::new(Some(Recording { chronicle, written }));
                Self { recording, ..recorder }
            }
            Err(error) => {
                recorder.fail(&error);
                recorder
            }
        }
    }

    /// What is known of the file.
    pub(crate) fn health(&self) -> ChronicleHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, what: impl FnOnce(&mut ChronicleHealth)) {
        what(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn fail(&self, error: &StoreError) {
        tracing::error!("{error}; the network's past is not kept any more");
        self.tell(|health| health.failure = Some(error.to_string()));
    }

    /// Writes what has changed. The first failure is the last thing that is written.
    pub(crate) async fn write(&self, driver: &Driver<Engine>) {
        let mut turn = self.recording.lock().await;
        let Some(recording) = &mut *turn else { return };
        let changed = driver.with(|engine, _| {
            let history = engine.health().map(|health| health.monitor().history());
            history.map(|history| history.steps_from(recording.written))
        });
        let steps = changed.unwrap_or_default();
        for step in &steps {
            let written = &mut recording.written[step.grain as usize];
            *written = step.number.max(*written);
        }
        let chronicle = Arc::clone(&recording.chronicle);
        let why = match tokio::task::spawn_blocking(move || chronicle.write(&steps)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) if error.is_panic() => {
                StoreError::damaged(recording.chronicle.path(), "its library gave up on it")
            }
            // A runtime that ends meanwhile takes the wait with it.
            Err(_) => return,
        };
        self.fail(&why);
        *turn = None;
    }

    /// Writes what has changed, and closes the file: another life of the node may open it.
    pub(crate) async fn finish(&self, driver: &Driver<Engine>) {
        self.write(driver).await;
        *self.recording.lock().await = None;
    }

    /// Writes every minute, until dropped.
    pub(crate) async fn keep(self: Arc<Self>, driver: Driver<Engine>) {
        let mut minutes = tokio::time::interval(EVERY);
        minutes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first comes at once, and there is nothing yet.
        minutes.tick().await;
        loop {
            minutes.tick().await;
            self.write(&driver).await;
        }
    }
}

/// Time from 1970 to the zero of the clock that reads `now` when the one on the wall reads `wall`.
fn origin(wall: Duration, now: Timestamp) -> Duration {
    wall.saturating_sub(now.since(Timestamp::ZERO))
}

#[cfg(test)]
mod tests;
