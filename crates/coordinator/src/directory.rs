use bitcraps_types::PeerId;
use dashmap::DashMap;

use crate::PeerHandle;

/// Handles of peers by id, found without the machine's lock. Returns copies, never guards, so that
/// no guard can be held over an await.
#[derive(Debug, Default)]
pub(crate) struct Directory(DashMap<PeerId, PeerHandle, foldhash::fast::RandomState>);

impl Directory {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<PeerHandle> {
        self.0.get(peer).map(|handle| *handle)
    }

    pub(crate) fn remove(&self, peer: &PeerId) {
        self.0.remove(peer);
    }

    pub(crate) fn insert(&self, peer: PeerId, handle: PeerHandle) {
        self.0.insert(peer, handle);
    }
}
