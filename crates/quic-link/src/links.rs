use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcraps_transport_api::Link as _;
use bitcraps_types::{LinkId, PeerId};
use tokio::sync::Notify;

use crate::connection::CloseCode;
use crate::link::QuicLink;
use crate::precedence::{Claim, Tag, newcomer_wins};
use crate::queue::Ending;

/// Most links of one node over this transport: a full hall of players, at some hundred KiB each.
pub const MAX_LINKS: usize = 512;

/// Most links to one peer: every pair of a few interfaces at either end.
pub const MAX_LINKS_PER_PEER: usize = 16;

/// What makes two connections rivals: of those with equal keys one stays.
pub trait PathKey: Copy + Ord + Send + Sync + 'static {
    /// The other end.
    fn peer(&self) -> PeerId;
}

/// One link for each peer, whatever it runs over.
impl PathKey for PeerId {
    fn peer(&self) -> PeerId {
        *self
    }
}

/// What became of a connection that wanted to be a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is a link now.
    Up,
    /// This link over the same path stays.
    Yield(LinkId),
    /// This node holds as many links as it may.
    NoRoom,
    /// The transport has ended.
    ShutDown,
}

impl Admission {
    /// What a connection that was not admitted is closed with.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Up => None,
            Self::Yield(_) => Some(CloseCode::Replaced),
            Self::NoRoom => Some(CloseCode::NoRoom),
            Self::ShutDown => Some(CloseCode::ShutDown),
        }
    }
}

#[derive(Clone)]
struct Standing {
    link: Arc<QuicLink>,
    claim: Claim,
}

struct Table<K> {
    links: BTreeMap<K, Standing>,
    dialling: BTreeSet<K>,
    shut: bool,
}

/// The links that are up, one for each path.
pub(crate) struct Links<K> {
    own: PeerId,
    table: Mutex<Table<K>>,
    changed: Notify,
}

impl<K: Ord> Links<K> {
    pub(crate) fn new(own: PeerId) -> Self {
        let table = Table { links: BTreeMap::new(), dialling: BTreeSet::new(), shut: false };
        Self { own, table: Mutex::new(table), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PathKey> Links<K> {
    /// Enters `link`, or says why not. A rival that it replaces is told to end.
    pub(crate) fn admit(
        &self,
        key: K,
        link: &Arc<QuicLink>,
        claim: Claim,
        replaces: Option<Tag>,
    ) -> Admission {
        let mut table = self.lock();
        if table.shut {
            return Admission::ShutDown;
        }
        if let Some(standing) = table.links.get(&key) {
            let quiet = standing.link.is_quiet() || standing.link.queue.is_ending();
            let smaller = self.own < key.peer();
            if !newcomer_wins(&standing.claim, quiet, &claim, replaces, smaller) {
                return Admission::Yield(standing.link.id());
            }
            standing.link.queue.end(Ending::Replaced);
        } else {
            let of_peer = table.links.keys().filter(|k| k.peer() == key.peer()).count();
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
    pub(crate) fn remove(&self, key: K, id: LinkId) {
        let mut table = self.lock();
        if table.links.get(&key).is_some_and(|s| s.link.id() == id) {
            table.links.remove(&key);
        }
        drop(table);
        self.changed.notify_waiters();
    }

    /// How many links `which` is true of.
    pub(crate) fn count(&self, which: impl Fn(&K) -> bool) -> usize {
        self.lock().links.keys().filter(|key| which(key)).count()
    }

    /// Admits nothing any more.
    pub(crate) fn shut(&self) {
        self.lock().shut = true;
        self.changed.notify_waiters();
    }

    /// Waits until the path is free to dial, at once in most cases, or until there is a link. One
    /// that is about to end counts as neither.
    pub(crate) async fn begin_dial(&self, key: K) -> Path<'_, K> {
        loop {
            let changed = self.changed.notified();
            {
                let mut table = self.lock();
                let standing = table.links.get(&key);
                let ending = standing.is_some_and(|s| s.link.queue.is_ending());
                if let Some(standing) = standing.filter(|s| !ending && !s.link.is_quiet()) {
                    return Path::Taken(standing.link.id());
                }
                let replaces = standing.map(|s| s.claim.tag);
                if !ending && table.dialling.insert(key) {
                    let links = self;
                    return Path::Free(Dial { links, key, replaces });
                }
            }
            changed.await;
        }
    }

    /// Waits for the link over this path to come up.
    pub(crate) async fn link_over(&self, key: K) -> LinkId {
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
pub enum Path<'a, K: Ord> {
    /// Nothing stands there, or only a link that has gone quiet.
    Free(Dial<'a, K>),
    /// This link.
    Taken(LinkId),
}

/// The right to dial a path; one dial at a time.
pub struct Dial<'a, K: Ord> {
    links: &'a Links<K>,
    pub(crate) key: K,
    /// The quiet link that stands there.
    pub(crate) replaces: Option<Tag>,
}

impl<K: Ord> Drop for Dial<'_, K> {
    fn drop(&mut self) {
        self.links.lock().dialling.remove(&self.key);
        self.links.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
