//! The health of the network as this node sees it: when it is looked at, and what the node adds to
//! what the network tells.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_coordinator::{Command, Core, Notice, Standing};
use bitcraps_monitor::{
    Betting, Facts, Findings, HealthReport, LostPeer, Monitor, MonitorConfig, Tally,
};
use bitcraps_topology::{LinkWeight, Snapshot, Topology, UNREACHED, hop_distances};
use bitcraps_types::{PeerId, Ratio, Timestamp, TransportType};

use crate::Engine;
use crate::network::{Network, is_silent};
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
    /// Somebody else judges looks.
    deferred: bool,
    /// A look is due, or begun and not ended.
    under_way: bool,
    begun: bool,
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
                    deferred: false,
                    under_way: false,
                    begun: false,
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
        self.health_brief(now).map(HealthBrief::complete)
    }

    /// The same, but for what costs: that may be reckoned elsewhere.
    pub fn health_brief(&self, now: Timestamp) -> Option<HealthBrief> {
        let (health, network) = self.health.as_ref().zip(self.network.as_ref())?;
        let topology = network.topology().clone();
        let local = self.core.config().local;
        let config = *health.monitor.config();
        Some(HealthBrief { report: health.monitor.brief(now), topology, local, config })
    }

    /// Whether a table may bet: the risk of a split of the whole network is low enough. Open before
    /// there is anything to judge.
    pub fn betting(&self) -> Betting {
        self.health.as_ref().map_or(Betting::Open, |health| health.monitor.betting())
    }

    /// Leaves looks to whoever takes [`Notice::LookDue`] for it from now on, instead of taking them
    /// inline: [`Self::begin_look`], [`Look::judge`], [`Self::end_look`]. A look at a large network
    /// takes tens of milliseconds, in which the machine can do other things.
    pub fn defer_looks(&mut self) {
        if let Some(health) = &mut self.health {
            health.deferred = true;
        }
    }

    pub(crate) fn health_deadline(&self) -> Option<Timestamp> {
        let (health, network) = self.health.as_ref().zip(self.network.as_ref())?;
        if health.under_way {
            return Some(health.monitor.overdue_at());
        }
        let due = health.monitor.next_deadline();
        Some(if network.is_reshaped() { due.min(health.looked + LOOK) } else { due })
    }

    /// Looks at the network when that is due, or when links came or went.
    pub(crate) fn judge_health(&mut self, now: Timestamp) {
        let Some((health, network)) = self.health.as_mut().zip(self.network.as_ref()) else {
            return;
        };
        health.monitor.on_timer(now);
        let due = health.monitor.is_due(now);
        if health.under_way || !(due || (network.is_reshaped() && now >= health.looked + LOOK)) {
            return;
        }
        health.under_way = true;
        if health.deferred {
            self.commands.push_back(Command::Notice(Notice::LookDue));
        } else if let Some(look) = self.begin_look(now) {
            self.end_look(look.judge(), now);
        }
    }

    /// The look that is due, with all that it takes to judge it; `None` when none is.
    pub fn begin_look(&mut self, now: Timestamp) -> Option<Look> {
        let (health, network) = self.health.as_mut().zip(self.network.as_mut())?;
        if !health.under_way || health.begun {
            return None;
        }
        (health.begun, health.looked) = (true, now);
        network.seen_shape();
        let relayed = self.tunnels.as_ref().map(|tunnels| tunnels.counters.bytes);
        let (facts, missing) = health.facts(&self.core, network, relayed, now);
        let due = health.monitor.is_due(now);
        let topology = network.topology().clone();
        let local = self.core.config().local;
        Some(Look { look: health.monitor.begin(due, now), topology, local, facts, missing })
    }

    /// Takes up what a look has found.
    pub fn end_look(&mut self, judgement: Judgement, now: Timestamp) {
        let Some(health) = &mut self.health else { return };
        let Judgement { findings, topology, facts } = judgement;
        let found = health.monitor.conclude(findings, &topology, facts);
        (health.under_way, health.begun) = (false, false);
        if let (Some(_), Some(healing), Some(network)) = (found, &mut self.healing, &self.network) {
            healing.look(&health.monitor, network, &topology, now);
        }
    }
}

/// A look that has begun; see [`Engine::begin_look`].
#[derive(Debug)]
pub struct Look {
    look: bitcraps_monitor::Look,
    topology: Topology,
    local: PeerId,
    facts: Facts,
    /// Admitted peers that were linked with this node, and are not.
    missing: Vec<PeerId>,
}

/// What a look has found; see [`Engine::end_look`].
#[derive(Debug)]
pub struct Judgement {
    findings: Findings,
    topology: Topology,
    facts: Facts,
}

/// What is to be said of the network's health, but for what costs.
#[derive(Debug)]
pub struct HealthBrief {
    report: HealthReport,
    topology: Topology,
    local: PeerId,
    config: MonitorConfig,
}

impl HealthBrief {
    /// With the recommendations.
    pub fn complete(self) -> HealthReport {
        self.report.complete(&linked_peers(self.topology, self.local), &self.config)
    }
}

impl Look {
    /// Judges the network: tens of milliseconds for one of 10,000 peers.
    pub fn judge(self) -> Judgement {
        let Self { look, topology, local, mut facts, missing } = self;
        let topology = linked_peers(topology, local);
        let snapshot = topology.snapshot();
        let position = |peer: &PeerId| snapshot.position(topology.slot_of(peer)?);
        let hops = position(&local)
            .filter(|_| !missing.is_empty())
            .map(|from| hop_distances(snapshot.graph(), from));
        for peer in missing {
            let at = position(&peer);
            let place = at.and_then(|at| hops.as_ref()?.get(at as usize));
            if place.is_none_or(|hops| *hops == UNREACHED) {
                // Linked with somebody, who cannot be reached either: a part that has split off.
                let split_off = at.is_some_and(|at| snapshot.graph().degree(at) > 0);
                facts.lost.push(LostPeer { peer, split_off });
            }
        }
        (facts.link_reliability, facts.link_latency) = means(&topology.weights(&snapshot));
        Judgement { findings: look.judge(&topology, &snapshot), topology, facts }
    }
}

impl Health {
    /// What this node knows beside the network, and the admitted peers that were linked with it, and
    /// are not.
    fn facts(
        &mut self,
        core: &Core,
        network: &Network,
        relayed: Option<u64>,
        now: Timestamp,
    ) -> (Facts, Vec<PeerId>) {
        let mut missing = Vec::new();
        let mut facts = Facts { me: Some(core.config().local), ..Facts::default() };
        let mut works = [false; TransportType::COUNT];
        let mut rate_kbps = 0;
        let mut met = BTreeSet::new();
        let (mut delivered, mut links) = (0.0, 0_u32);
        for peer in core.peer_ids() {
            if core.standing(peer) != Some(Standing::Admitted) {
                continue;
            }
            if core.is_contested(peer, now) {
                facts.conflicts.push(peer);
            }
            let mut linked = false;
            // One that flaps passes for dead while it answers: it works.
            for link in core.measures(peer, now).filter(|link| !is_silent(link)) {
                linked = true;
                works[link.transport.index()] = true;
                if link.silence.is_some() {
                    continue;
                }
                delivered += link.delivery.get();
                links += 1;
                rate_kbps = rate_kbps.max(link.goodput.get());
            }
            let known = self.met.contains(&peer);
            if linked || known {
                met.insert(peer);
            }
            if known && !linked {
                missing.push(peer);
            }
        }
        self.met = met;
        facts.own_reliability = (links > 0).then(|| delivered / f64::from(links));
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
        let capacity = (f64::from(rate_kbps) * 125.0).min(RELAY_RATE);
        facts.relayed = relayed.map(|bytes| (bytes, capacity));
        (facts, missing)
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
pub(crate) fn linked_peers(mut topology: Topology, local: PeerId) -> Topology {
    let snapshot: Snapshot = topology.snapshot();
    let alone: Vec<PeerId> = (0..snapshot.peers() as u32)
        .filter(|position| snapshot.graph().degree(*position) == 0)
        .filter_map(|position| topology.peer(snapshot.slot(position)?))
        .filter(|peer| *peer != local)
        .collect();
    // Each was found in it a line ago.
    alone.iter().for_each(|peer| drop(topology.remove_node(peer)));
    topology
}
