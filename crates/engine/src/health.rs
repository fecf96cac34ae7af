//! The health of the network as this node sees it: when it is looked at, and what the node adds to
//! what the network tells.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::{Core, Standing};
use bitcraps_monitor::{
    Betting, Facts, HealthReport, LostPeer, Monitor, MonitorConfig, Shape, Tally,
};
use bitcraps_topology::{LinkWeight, Snapshot, Topology, UNREACHED, hop_distances};
use bitcraps_types::{PeerId, Ratio, Timestamp, TransportType};

use crate::Engine;
use crate::network::Network;
use crate::tunnels::RELAY_RATE;

/// Least time between two looks that links which come and go may cause: a storm of them is looked at
/// ten times a second, and costs no more.
const LOOK: Duration = Duration::from_millis(100);

/// The network's health, and what is remembered to judge it.
#[derive(Debug)]
pub struct Health {
    monitor: Monitor,
    /// Admitted peers that had a link. No more than the core knows.
    met: BTreeSet<PeerId>,
    /// Transports that had a link.
    used: [bool; TransportType::COUNT],
    /// When the shape of the network was last looked at.
    looked: Timestamp,
}

impl Health {
    /// What is measured, and what is wrong.
    pub const fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// To silence and acknowledge alerts, to add to them, and to take up their changes.
    pub const fn monitor_mut(&mut self) -> &mut Monitor {
        &mut self.monitor
    }
}

impl Engine {
    /// Judges the health of the network from now on; nothing is judged before [`Self::publish`]. Called
    /// again, it changes the thresholds.
    pub fn watch_health(&mut self, config: MonitorConfig, now: Timestamp) {
        match &mut self.health {
            Some(health) => health.monitor.configure(config),
            None => {
                self.health = Some(Health {
                    monitor: Monitor::new(config, now),
                    met: BTreeSet::new(),
                    used: [false; TransportType::COUNT],
                    looked: now,
                });
            }
        }
    }

    /// The health of the network; `None` before [`Self::watch_health`].
    pub const fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// The same, to change what is told of it.
    pub const fn health_mut(&mut self) -> Option<&mut Health> {
        self.health.as_mut()
    }

    /// Everything that is to be said of the network's health; `None` before there is any.
    /// Recommendations are reckoned anew, see
    /// [`recommend_topology_changes`](bitcraps_monitor::recommend_topology_changes).
    pub fn health_report(&self, now: Timestamp) -> Option<HealthReport> {
        let (health, network) = self.health.as_ref().zip(self.network.as_ref())?;
        Some(health.monitor.report(&linked_peers(network, self.core.config().local), now))
    }

    /// Whether a table may bet: the risk of a split of the whole network is low enough. Open before
    /// there is anything to judge.
    pub fn betting(&self) -> Betting {
        self.health.as_ref().map_or(Betting::Open, |health| health.monitor.betting())
    }

    pub(crate) fn health_deadline(&self) -> Option<Timestamp> {
        let (health, network) = self.health.as_ref().zip(self.network.as_ref())?;
        let due = health.monitor.next_deadline();
        Some(if network.is_reshaped() { due.min(health.looked + LOOK) } else { due })
    }

    /// Looks at the network when that is due, or when it has come apart or together.
    pub(crate) fn judge_health(&mut self, now: Timestamp) {
        let Some(mut health) = self.health.take() else { return };
        if let Some(network) = &mut self.network {
            health.monitor.on_timer(now);
            let mut due = health.monitor.is_due(now);
            if due || (network.is_reshaped() && now >= health.looked + LOOK) {
                health.looked = now;
                network.seen_shape();
                let view = linked_peers(network, self.core.config().local);
                let snapshot = view.snapshot();
                due |= health.monitor.is_news(Shape::of(&snapshot));
                if due {
                    let relayed = self.tunnels.as_ref().map(|tunnels| tunnels.counters.bytes);
                    let facts = health.facts(&self.core, network, &view, &snapshot, relayed, now);
                    health.monitor.look(&view, facts, now);
                }
                if let Some(healing) = self.healing.as_mut().filter(|_| due) {
                    healing.look(&health.monitor, network, &view, now);
                }
            }
        }
        self.health = Some(health);
    }
}

impl Health {
    /// What this node knows beside the network.
    fn facts(
        &mut self,
        core: &Core,
        network: &Network,
        view: &Topology,
        snapshot: &Snapshot,
        relayed: Option<u64>,
        now: Timestamp,
    ) -> Facts {
        let local = core.config().local;
        let position = |peer: &PeerId| snapshot.position(view.slot_of(peer)?);
        let hops = position(&local).map(|from| hop_distances(snapshot.graph(), from));
        let reached = |peer: &PeerId| {
            let place = position(peer).and_then(|at| hops.as_ref()?.get(at as usize));
            place.is_some_and(|hops| *hops != UNREACHED)
        };
        let mut facts = Facts { me: Some(local), ..Facts::default() };
        let mut works = [false; TransportType::COUNT];
        let mut rate_kbps = 0;
        let mut met = BTreeSet::new();
        for peer in core.peer_ids() {
            if core.standing(peer) != Some(Standing::Admitted) {
                continue;
            }
            if core.is_contested(peer, now) {
                facts.conflicts.push(peer);
            }
            let mut linked = false;
            for link in core.measures(peer, now).filter(|link| link.silence.is_none()) {
                linked = true;
                works[link.transport.index()] = true;
                rate_kbps = rate_kbps.max(link.goodput.get());
            }
            let known = self.met.contains(&peer);
            if linked || known {
                met.insert(peer);
            }
            if known && !linked && !reached(&peer) {
                // Linked with somebody, who cannot be reached either: a part that has split off.
                let split_off = position(&peer).is_some_and(|at| snapshot.graph().degree(at) > 0);
                facts.lost.push(LostPeer { peer, split_off });
            }
        }
        self.met = met;
        for transport in TransportType::ALL {
            let at = transport.index();
            let metrics = core.transport_metrics(transport);
            let all = metrics.success_count + metrics.failure_count;
            facts.transports[at] = Tally { good: metrics.success_count, all };
            self.used[at] |= works[at];
            if self.used[at] && !works[at] {
                facts.transports_down.push(transport);
            }
        }
        for (tally, metrics) in facts.delivery.iter_mut().zip(core.class_metrics()) {
            *tally = Tally { good: metrics.delivered, all: metrics.settled };
        }
        let flags =
            |peer: PeerId| network.flags(&peer).map(move |flag| (peer, flag.text().to_owned()));
        facts.poisoned = network.peers().flat_map(flags).collect();
        (facts.link_reliability, facts.link_latency) = means(&view.weights(snapshot));
        let capacity = (f64::from(rate_kbps) * 125.0).min(RELAY_RATE);
        facts.relayed = relayed.map(|bytes| (bytes, capacity));
        facts
    }
}

fn means(weights: &[LinkWeight]) -> (Option<f64>, Option<Duration>) {
    let count = weights.len() as u32;
    if count == 0 {
        return (None, None);
    }
    let reliability = weights.iter().map(|weight| Ratio::get(weight.reliability)).sum::<f64>();
    let latency: Duration = weights.iter().map(|weight| weight.latency).sum();
    (Some(reliability / f64::from(count)), Some(latency / count))
}

/// The peers that are linked, and this node. One without links has left, or is out of everybody's
/// reach: that peer is lost, the network is not split.
pub(crate) fn linked_peers(network: &Network, local: PeerId) -> Cow<'_, Topology> {
    let topology = network.topology();
    let snapshot: Snapshot = topology.snapshot();
    let alone: Vec<PeerId> = (0..snapshot.peers() as u32)
        .filter(|position| snapshot.graph().degree(*position) == 0)
        .filter_map(|position| topology.peer(snapshot.slot(position)?))
        .filter(|peer| *peer != local)
        .collect();
    if alone.is_empty() {
        return Cow::Borrowed(topology);
    }
    let mut linked = topology.clone();
    // Each was found in it a line ago.
    alone.iter().for_each(|peer| drop(linked.remove_node(peer)));
    Cow::Owned(linked)
}
