use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bitcraps_transport_api::{DownReason, Hint, Link, Sink, TransportEvent};
use bitcraps_types::LinkId;
use bytes::Bytes;
use tokio::sync::Notify;

/// Far above what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// Everything a transport told, in order.
#[derive(Default)]
pub(crate) struct Told {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) ups: Vec<Arc<dyn Link>>,
    pub(crate) downs: Vec<(LinkId, DownReason)>,
    pub(crate) hints: Vec<Hint>,
    pub(crate) frames: BTreeMap<LinkId, Vec<Bytes>>,
    pub(crate) written: BTreeMap<LinkId, Vec<u64>>,
}

impl Log {
    /// Links that are up now.
    pub(crate) fn standing(&self) -> Vec<LinkId> {
        let down = |id: &LinkId| self.downs.iter().any(|(down, _)| down == id);
        self.ups.iter().map(|link| link.id()).filter(|id| !down(id)).collect()
    }
}

impl Told {
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(crate) fn ups(&self) -> Vec<Arc<dyn Link>> {
        self.log().ups.clone()
    }

    pub(crate) async fn wait<T>(&self, what: &str, mut seen: impl FnMut(&Log) -> Option<T>) -> T {
        let look = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = seen(&self.log()) {
                    return found;
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
    }

    pub(crate) async fn up(&self, id: LinkId) -> Arc<dyn Link> {
        let seen = |log: &Log| log.ups.iter().find(|link| link.id() == id).cloned();
        self.wait("LinkUp", seen).await
    }

    pub(crate) async fn nth_up(&self, nth: usize) -> Arc<dyn Link> {
        self.wait("LinkUp", |log| log.ups.get(nth).cloned()).await
    }

    pub(crate) async fn down(&self, id: LinkId) -> DownReason {
        let seen = |log: &Log| {
            let mut reasons = log.downs.iter().filter(|(down, _)| *down == id);
            reasons.next().map(|(_, reason)| reason.clone())
        };
        self.wait("LinkDown", seen).await
    }

    pub(crate) async fn arrived(&self, link: LinkId, count: usize) -> Vec<Bytes> {
        let seen = |log: &Log| {
            let frames = log.frames.get(&link)?;
            (frames.len() >= count).then(|| frames.clone())
        };
        self.wait("arrival", seen).await
    }

    pub(crate) async fn written(&self, link: LinkId, total: u64) -> Vec<u64> {
        let seen = |log: &Log| {
            let told = log.written.get(&link)?;
            (told.last() >= Some(&total)).then(|| told.clone())
        };
        self.wait("written", seen).await
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log());
        self.changed.notify_waiters();
    }
}

impl Sink for Told {
    fn next_link_id(&self) -> LinkId {
        LinkId(NEXT_LINK.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: TransportEvent) {
        self.change(|log| match event {
            TransportEvent::Discovered(hint) => log.hints.push(hint),
            TransportEvent::LinkUp(link) => log.ups.push(link),
            TransportEvent::LinkDown { link, reason } => log.downs.push((link, reason)),
        });
    }

    fn frames(&self, link: LinkId, frames: &mut Vec<Bytes>) {
        self.change(|log| log.frames.entry(link).or_default().append(frames));
    }

    fn written(&self, link: LinkId, total: u64) {
        self.change(|log| log.written.entry(link).or_default().push(total));
    }
}
