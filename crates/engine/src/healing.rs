//! Healing as this node takes part in it: what it tells of links that it could make, when it plans, and
//! what is done of the plans.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::{CloseReason, Command, Standing};
use bitcraps_linkstate::MAX_OFFERS;
use bitcraps_monitor::{
    Deed, Game, Healer, HealingConfig, HealingMode, Monitor, Offer, View, game_of, lasts,
};
use bitcraps_topology::{Topology, hop_distances};
use bitcraps_types::{PeerId, Timestamp, TransportType};

use crate::Engine;
use crate::health::linked_peers;
use crate::network::Network;

/// How often is looked for peers that could be linked.
const OFFERS_LOOK: Duration = Duration::from_secs(1);
/// Least time between two changes of what is told of them, so that news of them does not hold up that of
/// links.
const OFFERS_EVERY: Duration = Duration::from_secs(5);
/// Least time between two looks at one network, whatever is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A node's part in healing.
#[derive(Debug)]
pub struct Healing {
    healer: Healer,
    /// When is looked for peers that could be linked.
    offers_at: Timestamp,
    /// When what is told of them may change.
    tell_at: Timestamp,
    looked: Timestamp,
    /// Peers that could be linked, as told to others if this node acts on its plans.
    offered: BTreeSet<(PeerId, TransportType)>,
}

impl Healing {
    /// Its plans, and what has come of them.
    pub const fn healer(&self) -> &Healer {
        &self.healer
    }

    /// Plans for the network as it is seen now.
    pub(crate) fn look(
        &mut self,
        monitor: &Monitor,
        network: &Network,
        topology: &Topology,
        now: Timestamp,
    ) {
        let Some(health) = monitor.health() else { return };
        let reactive = self.healer.config().mode == HealingMode::Reactive;
        let lasts = |a: &PeerId, b: &PeerId| reactive || lasts(monitor.contacts(), a, b);
        self.looked = now;
        let me = network.me();
        let own = self.offered.iter().map(|(to, transport)| Offer {
            from: me,
            to: *to,
            transport: *transport,
        });
        let own = own.filter(|_| !self.healer.config().acts);
        let others = network.offers().filter(|offer| !self.healer.distrusts(&offer.from, now));
        let view = View::of(topology, lasts, others.chain(own));
        self.healer.look(&view, health, now);
    }
}

impl Engine {
    /// Takes part in healing the network from now on, as far as its health is watched; called again,
    /// it heals otherwise.
    pub fn heal(&mut self, config: HealingConfig, now: Timestamp) {
        match &mut self.healing {
            Some(healing) => {
                if healing.healer.config().acts != config.acts {
                    // What is told of offers changes with it.
                    (healing.offered, healing.offers_at) = (BTreeSet::new(), now);
                    healing.tell_at = now;
                    if let Some(network) = &mut self.network {
                        network.offer(BTreeSet::new(), &mut self.core, now);
                    }
                }
                healing.healer.configure(config);
            }
            None => {
                self.healing = Some(Healing {
                    healer: Healer::new(self.core.config().local, config),
                    offers_at: now,
                    tell_at: now,
                    looked: now,
                    offered: BTreeSet::new(),
                });
            }
        }
    }

    /// This node's part in healing; `None` before [`Self::heal`].
    pub const fn healing(&self) -> Option<&Healing> {
        self.healing.as_ref()
    }

    /// Makes the links of the last plans that are this node's to make without waiting any longer.
    pub fn apply_healing(&mut self, now: Timestamp) {
        if let Some(healing) = &mut self.healing {
            healing.healer.apply(now);
        }
        self.do_deeds(now);
    }

    /// Plans the network for a game, and makes the links of it that this node can make; healing does
    /// not let go of them. `None` when the host is not in the network.
    pub fn optimize_for_gaming(&mut self, host: &PeerId, now: Timestamp) -> Option<Game> {
        let network = self.network.as_ref()?;
        let me = self.core.config().local;
        let mut prospects = self.dialer.prospects(now);
        prospects.retain(|(peer, _)| self.may_relay(*peer, now));
        // A node that does not heal offers nothing to others, and may be asked all the same.
        let offer =
            |(to, transport): &(PeerId, _)| Offer { from: me, to: *to, transport: *transport };
        let offers = network.offers().chain(prospects.iter().map(offer));
        let topology = linked_peers(network.topology().clone(), me);
        let mut game = game_of(&View::of(&topology, |_, _| true, offers), host)?;
        let wanted: Vec<(PeerId, PeerId)> =
            game.star.iter().chain(&game.shortcuts).copied().collect();
        let most = self.healing.as_ref().map(|healing| healing.healer.config().max_neighbours);
        let mut room = most.unwrap_or(HealingConfig::default().max_neighbours);
        for (_, _, link) in topology.links().filter(|(a, b, _)| *a == me || *b == me) {
            let room = &mut room[link.transport().index()];
            *room = room.saturating_sub(1);
        }
        for (peer, transport) in prospects {
            let room = &mut room[transport.index()];
            if *room > 0 && wanted.contains(&(me.min(peer), me.max(peer))) {
                *room -= 1;
                self.dialer.ask(peer, transport, now);
                game.asked += 1;
            }
        }
        Some(game)
    }

    pub(crate) fn healing_deadline(&self) -> Option<Timestamp> {
        let healing = self.healing.as_ref().filter(|_| self.network.is_some())?;
        let look = healing.healer.next_deadline().map(|at| at.max(healing.looked + LOOK));
        Some(look.map_or(healing.offers_at, |at| at.min(healing.offers_at)))
    }

    /// Tells of links that could be made, and looks again at what was waited for.
    pub(crate) fn tend_network(&mut self, now: Timestamp) {
        let Some(mut healing) = self.healing.take() else { return };
        if healing.offers_at <= now
            && let Some(network) = &mut self.network
        {
            healing.offers_at = now + OFFERS_LOOK;
            let mut offers = self.dialer.prospects(now);
            offers.retain(|(peer, _)| {
                let admitted = self.admission.standing(*peer) == Standing::Admitted;
                let named = network.knows(peer) && !healing.healer.shuns(peer, now);
                admitted && named && !self.core.is_contested(*peer, now)
            });
            let offers = farthest(offers, network);
            if healing.offered != offers && healing.tell_at <= now {
                healing.tell_at = now + OFFERS_EVERY;
                healing.offered.clone_from(&offers);
                let told = if healing.healer.config().acts { offers } else { BTreeSet::new() };
                network.offer(told, &mut self.core, now);
            }
        }
        let waited = healing.healer.next_deadline().is_some_and(|at| at <= now);
        if waited
            && now >= healing.looked + LOOK
            && let Some((health, network)) = self.health.as_ref().zip(self.network.as_ref())
        {
            let view = linked_peers(network.topology().clone(), self.core.config().local);
            healing.look(health.monitor(), network, &view, now);
        }
        self.healing = Some(healing);
        self.do_deeds(now);
    }

    /// The last dial to a peer over a transport failed, and no link is up.
    pub(crate) fn not_linked(&mut self, peer: &PeerId, transport: TransportType, now: Timestamp) {
        if let Some(healing) = &mut self.healing {
            healing.healer.failed(peer, transport, now);
            if healing.healer.shuns(peer, now) {
                // Others are to plan round it soon.
                (healing.offers_at, healing.tell_at) = (healing.offers_at.min(now + LOOK), now);
            }
        }
        self.do_deeds(now);
    }

    fn do_deeds(&mut self, now: Timestamp) {
        let Some(healing) = &mut self.healing else { return };
        while let Some(deed) = healing.healer.poll_deed() {
            match deed {
                Deed::Link { peer, transport } => self.dialer.ask(peer, transport, now),
                Deed::Release { peer, transport } => drop(self.dialer.let_go(peer, transport)),
                Deed::Unlink { peer, transport } => {
                    for link in self.dialer.let_go(peer, transport) {
                        self.commands.push_back(Command::Close { link, why: CloseReason::Healed });
                    }
                }
            }
        }
    }
}

/// Those that are farthest away in the network, as many as are told.
fn farthest(
    offers: BTreeSet<(PeerId, TransportType)>,
    network: &Network,
) -> BTreeSet<(PeerId, TransportType)> {
    if offers.len() <= MAX_OFFERS {
        return offers;
    }
    let topology = network.topology();
    let snapshot = topology.snapshot();
    let position = |peer: &PeerId| snapshot.position(topology.slot_of(peer)?);
    let hops = position(&network.me()).map(|me| hop_distances(snapshot.graph(), me));
    let far = |(peer, _): &(PeerId, TransportType)| {
        let at = position(peer)? as usize;
        hops.as_ref()?.get(at).copied()
    };
    let mut ranked: Vec<_> =
        offers.into_iter().map(|offer| (Reverse(far(&offer)), offer)).collect();
    ranked.sort();
    ranked.into_iter().take(MAX_OFFERS).map(|(_, offer)| offer).collect()
}
