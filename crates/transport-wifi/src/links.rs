use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_transport_api::Link as _;
use bitcraps_types::{LinkId, PeerId};
use tokio::sync::Notify;

use crate::link::WifiLink;
use crate::precedence::{Claim, Tag, newcomer_wins};
use crate::queue::Ending;

/// Most links of one node over this transport: a full hall of players, at some hundred KiB each.
pub const MAX_LINKS: usize = 512;

/// Most links to one peer: every pair of a few interfaces at either end.
pub const MAX_LINKS_PER_PEER: usize = 16;

/// What makes two connections rivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathKey {
    pub(crate) peer: PeerId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// What became of a connection that wanted to be a link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Up,
    /// This link over the same path stays.
    Yield(LinkId),
    NoRoom,
    ShutDown,
}

#[derive(Clone)]
struct Standing {
    link: Arc<WifiLink>,
    claim: Claim,
}

#[derive(Default)]
struct Table {
    links: BTreeMap<PathKey, Standing>,
    dialling: BTreeSet<PathKey>,
    shut: bool,
}

/// The links that are up, one for each path.
pub(crate) struct Links {
    own: PeerId,
    table: Mutex<Table>,
    changed: Notify,
}

impl Links {
    pub(crate) fn new(own: PeerId) -> Self {
        Self { own, table: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters `link`, or says why not. A rival that it replaces is told to end.
    pub(crate) fn admit(
        &self,
        key: PathKey,
        link: &Arc<WifiLink>,
        claim: Claim,
        replaces: Option<Tag>,
    ) -> Admission {
        let mut table = self.lock();
        if table.shut {
            return Admission::ShutDown;
        }
        if let Some(standing) = table.links.get(&key) {
            let quiet = standing.link.is_quiet();
            let smaller = self.own < key.peer;
            if !newcomer_wins(&standing.claim, quiet, &claim, replaces, smaller) {
                return Admission::Yield(standing.link.id());
            }
            standing.link.queue.end(Ending::Replaced);
        } else {
            let of_peer = table.links.keys().filter(|k| k.peer == key.peer).count();
            if table.links.len() >= MAX_LINKS || of_peer >= MAX_LINKS_PER_PEER {
                return Admission::NoRoom;
            }
        }
        let link = link.clone();
        table.links.insert(key, Standing { link, claim });
        drop(table);
        self.changed.notify_waiters();
        Admission::Up
    }

    /// Forgets the link `id`; not its successor over the same path.
    pub(crate) fn remove(&self, key: PathKey, id: LinkId) {
        let mut table = self.lock();
        if table.links.get(&key).is_some_and(|s| s.link.id() == id) {
            table.links.remove(&key);
        }
        drop(table);
        self.changed.notify_waiters();
    }

    /// Admits nothing any more.
    pub(crate) fn shut(&self) {
        self.lock().shut = true;
        self.changed.notify_waiters();
    }

    /// Waits until the path is free to dial, at once in most cases, or until there is a link.
    pub(crate) async fn begin_dial(&self, key: PathKey) -> Path<'_> {
        loop {
            let changed = self.changed.notified();
            {
                let mut table = self.lock();
                let standing = table.links.get(&key);
                if let Some(standing) = standing.filter(|s| !s.link.is_quiet()) {
                    return Path::Taken(standing.link.id());
                }
                let replaces = standing.map(|s| s.claim.tag);
                if table.dialling.insert(key) {
                    let links = self;
                    return Path::Free(Dial { links, key, replaces });
                }
            }
            changed.await;
        }
    }

    /// Waits for the link over this path to come up.
    pub(crate) async fn link_over(&self, key: PathKey) -> LinkId {
        loop {
            let changed = self.changed.notified();
            if let Some(standing) = self.lock().links.get(&key) {
                return standing.link.id();
            }
            changed.await;
        }
    }
}

/// Whether a path can be dialled.
pub(crate) enum Path<'a> {
    Free(Dial<'a>),
    Taken(LinkId),
}

/// The right to dial a path; one dial at a time.
pub(crate) struct Dial<'a> {
    links: &'a Links,
    key: PathKey,
    /// The quiet link that stands there.
    pub(crate) replaces: Option<Tag>,
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.links.lock().dialling.remove(&self.key);
        self.links.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
