use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcraps_types::LinkId;
use bytes::Bytes;
use tokio::sync::Notify;

use super::Violation;
use crate::{DownReason, Link, Sink, TransportEvent};

/// How long an event may take: far above what any transport needs on a busy machine, thousands of
/// frames over a slow radio included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Link ids are never given out twice in a process, whatever asks for them.
static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// A sink that remembers everything, and notices what no sink may be told.
#[derive(Default)]
pub struct Recorder {
    log: Mutex<Log>,
    changed: Notify,
}

/// What a sink was told.
#[derive(Default)]
pub(super) struct Log {
    pub(super) ups: Vec<Arc<dyn Link>>,
    pub(super) downs: BTreeMap<LinkId, DownReason>,
    frames: BTreeMap<LinkId, Vec<Bytes>>,
    written: BTreeMap<LinkId, u64>,
    issued: Vec<LinkId>,
    sealed: bool,
    fault: Option<String>,
}

impl Log {
    /// The link of this id, if it came up.
    pub(super) fn up(&self, id: LinkId) -> Option<&Arc<dyn Link>> {
        self.ups.iter().find(|link| link.id() == id)
    }

    /// Frames that arrived on a link, in the order of arrival.
    pub(super) fn frames(&self, id: LinkId) -> &[Bytes] {
        self.frames.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The last total told of a link.
    pub(super) fn written(&self, id: LinkId) -> u64 {
        self.written.get(&id).copied().unwrap_or(0)
    }

    fn fault(&mut self, what: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(what);
    }

    fn told(&mut self, what: &str, id: LinkId) {
        if self.sealed {
            self.fault(|| format!("{what} of link {id} was told after shutdown had returned"));
        }
        if self.up(id).is_none() {
            self.fault(|| format!("{what} of link {id} was told, which is not up"));
        }
        if self.downs.contains_key(&id) {
            self.fault(|| format!("{what} of link {id} was told after its LinkDown"));
        }
    }
}

impl Recorder {
    /// The `nth` link that comes up, from 0.
    ///
    /// # Errors
    /// [`Violation`] when it does not come, or when something was told that may not be.
    pub async fn link(&self, nth: usize) -> Result<Arc<dyn Link>, Violation> {
        self.wait("LinkUp", |log| log.ups.get(nth).cloned()).await
    }

    /// What arrived on `link`, in the order of arrival, once it is `count` frames or more.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub async fn arrivals(&self, link: LinkId, count: usize) -> Result<Vec<Bytes>, Violation> {
        let what = format!("arrival of {count} frames");
        let enough = |log: &Log| {
            let frames = log.frames(link);
            (frames.len() >= count).then(|| frames.to_vec())
        };
        self.wait(&what, enough).await
    }

    /// How many frames arrived on `link` by now.
    pub fn arrived(&self, link: LinkId) -> usize {
        self.log().frames(link).len()
    }

    /// Waits until `link` is down, and tells why.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub async fn downed(&self, link: LinkId) -> Result<DownReason, Violation> {
        let what = format!("LinkDown of link {link}");
        self.wait(&what, |log| log.downs.get(&link).cloned()).await
    }

    /// Waits until exactly `count` links stand, and tells which.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub async fn standing(&self, count: usize) -> Result<Vec<Arc<dyn Link>>, Violation> {
        let stands = |log: &Log| {
            let up = log.ups.iter().filter(|link| !log.downs.contains_key(&link.id()));
            let up: Vec<_> = up.cloned().collect();
            (up.len() == count).then_some(up)
        };
        self.wait(&format!("{count} links that stand"), stands).await
    }

    /// Why `link` went down, if it did by now.
    pub fn down(&self, link: LinkId) -> Option<DownReason> {
        self.log().downs.get(&link).cloned()
    }

    /// The total that was told of `link` last; 0 before.
    pub fn total_written(&self, link: LinkId) -> u64 {
        self.log().written(link)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing may be told any more.
    pub(super) fn seal(&self) {
        self.log().sealed = true;
    }

    /// The first thing that no sink may be told.
    ///
    /// # Errors
    /// [`Violation`] if there was one.
    pub(super) fn check(&self) -> Result<(), Violation> {
        self.log().fault.clone().map_or(Ok(()), |what| Err(Violation(what)))
    }

    /// Waits until `seen` finds something in the log.
    ///
    /// # Errors
    /// [`Violation`] when it does not come, or when something was told that may not be.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        mut seen: impl FnMut(&Log) -> Option<T>,
    ) -> Result<T, Violation> {
        let look = async {
            loop {
                let changed = self.changed.notified();
                self.check()?;
                if let Some(found) = seen(&self.log()) {
                    return Ok(found);
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| {
            let log = self.log();
            let frames: usize = log.frames.values().map(Vec::len).sum();
            Err(Violation(format!(
                "{what}: not within {PATIENCE:?}; {} links came up, {} went down, {frames} frames \
                 arrived, written {:?}",
                log.ups.len(),
                log.downs.len(),
                log.written
            )))
        })
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log());
        self.changed.notify_waiters();
    }
}

impl Sink for Recorder {
    fn next_link_id(&self) -> LinkId {
        let id = LinkId(NEXT_LINK.fetch_add(1, Ordering::Relaxed));
        self.log().issued.push(id);
        id
    }

    fn event(&self, event: TransportEvent) {
        self.change(|log| match event {
            TransportEvent::Discovered(hint) => {
                if log.sealed {
                    log.fault(|| format!("{hint:?} was told after shutdown had returned"));
                }
            }
            TransportEvent::LinkUp(link) => {
                let id = link.id();
                if log.sealed {
                    log.fault(|| format!("LinkUp of {id} was told after shutdown had returned"));
                }
                if log.up(id).is_some() {
                    log.fault(|| format!("LinkUp of {id} was told twice"));
                }
                if !log.issued.contains(&id) {
                    log.fault(|| format!("link id {id} does not come from this sink"));
                }
                log.ups.push(link);
            }
            TransportEvent::LinkDown { link, reason } => {
                log.told("LinkDown", link);
                log.downs.insert(link, reason);
            }
        });
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        self.change(|log| {
            log.told("a frame", link);
            if frames.is_empty() {
                log.fault(|| format!("a call without frames was made for link {link}"));
            }
            log.frames.entry(link).or_default().append(frames);
        });
    }

    fn written(&self, link: LinkId, total: u64) {
        self.change(|log| {
            log.told("written", link);
            let before = log.written.insert(link, total).unwrap_or(0);
            if total < before {
                log.fault(|| format!("written of link {link} fell from {before} to {total}"));
            }
        });
    }
}
