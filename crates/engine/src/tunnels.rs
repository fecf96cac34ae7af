//! Links that lead through relays: a pair of ends that share no link agree on keys, and hand each
//! other sealed frames along ways that the network knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bitcraps_coordinator::relayed_link;
use bitcraps_session::{Config, Identity, Sessions, Suite};
use bitcraps_types::{Epoch, LinkId, PeerId, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::loops::Loops;
use crate::network::Network;

/// Ways to one peer that are used at once: a message that is sent twice goes both.
pub(crate) const WAYS: usize = 2;
/// Peers that are reached through relays at once: their ways are probed all the time.
const MAX_ENDS: usize = 256;
/// Peers for whom messages wait without a way.
const MAX_WAITING: usize = 1_024;
/// How long a way stays open that no message used.
pub(crate) const IDLE: Duration = Duration::from_secs(120);
/// What others may have relayed in a second, in bytes, and what they may have saved up: a share of
/// what a local network carries, and a burst of what a way holds.
pub(crate) const RELAY_RATE: f64 = 4e6;
const RELAY_BURST: f64 = 1e6;

/// Ways of others that are remembered, of either kind: more than pass a relay at once. They name whatever
/// destination they like, so that all are forgotten when there are more.
const MAX_WAYS: usize = 4_096;

/// What was done for others, and what was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayCounters {
    /// Frames handed on.
    pub relayed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that had been relayed before, or travelled too far.
    pub looped: u64,
    /// Frames whose time was over.
    pub late: u64,
    /// Frames for which the next hop had no room, or that exceeded what others may have relayed.
    pub no_room: u64,
    /// Frames that no way leads on.
    pub no_way: u64,
    /// Frames of or for peers that are not admitted.
    pub not_admitted: u64,
    /// Frames for this node that could not be opened.
    pub unopened: u64,
}

/// A link that leads through relays.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    pub(crate) peer: PeerId,
    /// Its place among the ways to the peer.
    pub(crate) number: usize,
    /// From this node to the peer, both included.
    pub(crate) way: Vec<PeerId>,
    /// Frames handed on since it came up.
    pub(crate) written: u64,
}

/// A peer that is reached through relays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) links: [Option<LinkId>; WAYS],
    pub(crate) used: Timestamp,
}

pub(crate) struct Tunnels {
    pub(crate) sessions: Sessions,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) links: BTreeMap<LinkId, Tunnel>,
    pub(crate) ends: BTreeMap<PeerId, End>,
    pub(crate) waiting: BTreeSet<PeerId>,
    /// Ways that others asked for, while the network stays as it is.
    own_ways: BTreeMap<PeerId, Vec<PeerId>>,
    /// First hops of the same whoever answers.
    straight: BTreeMap<PeerId, Option<PeerId>>,
    /// First hops of others, round those a frame comes from.
    detours: BTreeMap<([PeerId; 2], PeerId), Option<PeerId>>,
    pub(crate) loops: Loops,
    pub(crate) counters: RelayCounters,
    /// Handshakes sent: each takes another way than the one before.
    pub(crate) handshakes: usize,
    next_link: u64,
    saved: f64,
    saved_at: Timestamp,
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnels").field("links", &self.links).finish_non_exhaustive()
    }
}

impl Tunnels {
    /// Without any. `seed` is that of the node's key, `chance` is secret and new at each start.
    pub(crate) fn new(seed: &[u8; 32], chance: [u8; 32], epoch: Epoch, now: Timestamp) -> Self {
        let config = Config { epoch, suite: Suite::Classic };
        Self {
            sessions: Sessions::new(Identity::from_seed(seed), config),
            rng: ChaCha20Rng::from_seed(chance),
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
            waiting: BTreeSet::new(),
            own_ways: BTreeMap::new(),
            straight: BTreeMap::new(),
            detours: BTreeMap::new(),
            loops: Loops::default(),
            counters: RelayCounters::default(),
            handshakes: 0,
            next_link: 0,
            saved: RELAY_BURST,
            saved_at: now,
        }
    }

    pub(crate) fn fresh_link(&mut self) -> LinkId {
        self.next_link += 1;
        relayed_link(self.next_link)
    }

    /// A message waits for a peer to whom no way leads now.
    pub(crate) fn wait_for(&mut self, peer: PeerId) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.insert(peer);
        }
    }

    /// Whether there is room for one more peer, in the place of the one that was idle for longest if
    /// need be; that one is told.
    pub(crate) fn room(&mut self, peer: PeerId, now: Timestamp) -> Result<Option<PeerId>, ()> {
        if self.ends.len() < MAX_ENDS || self.ends.contains_key(&peer) {
            return Ok(None);
        }
        let idlest = self.ends.iter().min_by_key(|(peer, end)| (end.used, **peer));
        let idle = idlest.filter(|(_, end)| now.since(end.used) >= IDLE);
        idle.map(|(peer, _)| Some(*peer)).ok_or(())
    }

    /// The network, or what answers, is not what it was: ways that others asked for are looked for anew.
    pub(crate) fn forget_hops(&mut self) {
        self.own_ways.clear();
        self.straight.clear();
        self.detours.clear();
    }

    /// The next hop of this node's own way to a peer that leads round those a frame comes `from`: one
    /// that `answers` if such a way begins with one. What a neighbour sends by here because its own link
    /// onward is suspect must not go back to it, at once or later, when the link from here onward is
    /// suspect as well: nobody would carry it, while both links deliver most of what they are given.
    /// O(length of the way) but for the first time.
    pub(crate) fn next_hop(
        &mut self,
        network: &Network,
        from: [PeerId; 2],
        to: &PeerId,
        answers: impl Fn(&PeerId) -> bool,
    ) -> Option<PeerId> {
        let first = |round: &[PeerId]| {
            let answering = network.way_round(to, round, &answers);
            if answering.is_empty() { network.way_round(to, round, |_| true) } else { answering }
        };
        if self.own_ways.len() >= MAX_WAYS {
            self.own_ways.clear();
            self.straight.clear();
        }
        let own = self.own_ways.entry(*to).or_insert_with(|| first(&[]));
        if !from.iter().any(|peer| own.contains(peer)) {
            return own.get(1).copied();
        }
        if self.detours.len() >= MAX_WAYS {
            self.detours.clear();
        }
        let hop = || first(&from).get(1).copied();
        *self.detours.entry((from, *to)).or_insert_with(hop)
    }

    /// The next hop of this node's own way to a peer, whether it answers or not: where several relays in a
    /// row each doubt their link onward, every way round leads back here. O(log n) but for the first time.
    pub(crate) fn straight_hop(&mut self, network: &Network, to: &PeerId) -> Option<PeerId> {
        let hop = || network.way_round(to, &[], |_| true).get(1).copied();
        *self.straight.entry(*to).or_insert_with(hop)
    }

    /// Whether others may have that many bytes more relayed.
    pub(crate) fn may_relay(&mut self, bytes: usize, now: Timestamp) -> bool {
        let earned = now.since(self.saved_at).as_secs_f64() * RELAY_RATE;
        (self.saved, self.saved_at) = ((self.saved + earned).min(RELAY_BURST), now);
        let may = self.saved >= bytes as f64;
        if may {
            self.saved -= bytes as f64;
        }
        may
    }
}
