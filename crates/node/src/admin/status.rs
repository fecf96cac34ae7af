//! What a running node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{
    Counters, Decision, FailoverPolicy, LinkStatus, PeerStatus, SizeBucket, Tier, TransportMetrics,
};
use bitcraps_engine::{Engine, TargetStatus};
use bitcraps_transport_api::{Link, LinkPath};
use bitcraps_types::{HintSource, LinkId, PeerId, Timestamp, TrafficClass};
use bitcraps_wire::Frame;
use serde::{Deserialize, Serialize};

use super::report::{
    ContenderReport, DecisionReport, InputReport, LatencyReport, LinkReport, LinkSummary,
    PeerReport, PreferenceReport, TargetReport, TrafficReport, Trust, WhyReport,
};
use super::standing::{ListeningReport, Standing};
use crate::Node;

/// Size that `why` reckons with when it says where a message would go: a small one.
const SMALL: usize = 64;

/// Whether a node does its work; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every known peer is reachable, and no link is suspect.
    Healthy,
    /// A link is not trusted, a peer is out of reach, or no peer is known yet.
    Warning,
    /// Peers are known and none is reachable: every link to every one is down or not there.
    Critical,
}

/// Judges what is known of the peers, and says what is not as it should be.
pub fn health(peers: &[PeerReport]) -> (Health, Vec<String>) {
    if peers.is_empty() {
        return (Health::Warning, vec!["no peer is known yet".to_owned()]);
    }
    let mut findings = Vec::new();
    for peer in peers {
        if let Some(epoch) = peer.shut_out {
            findings.push(format!(
                "two devices use the key of peer {}; the one in its epoch {epoch} is shut out",
                peer.peer.short()
            ));
        }
    }
    // Of others nothing is expected.
    let peers: Vec<_> = peers.iter().filter(|p| p.standing == Standing::Admitted).collect();
    if peers.is_empty() {
        findings.push("no peer is admitted yet".to_owned());
        return (Health::Warning, findings);
    }
    for peer in &peers {
        if !peer.reachable {
            findings.push(format!("peer {} is not reachable", peer.peer.short()));
        }
        for link in peer.links.iter().filter(|link| link.ready) {
            match link.tier {
                Trust::Good | Trust::BelowThreshold => {}
                Trust::OneWay | Trust::Suspect | Trust::Down => findings.push(format!(
                    "link #{} ({}) to {} is {}",
                    link.link,
                    link.transport,
                    peer.peer.short(),
                    link.tier
                )),
            }
        }
    }
    let health = match (findings.is_empty(), peers.iter().any(|peer| peer.reachable)) {
        (true, _) => Health::Healthy,
        (false, true) => Health::Warning,
        (false, false) => Health::Critical,
    };
    (health, findings)
}

impl From<Tier> for Trust {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Good => Self::Good,
            Tier::BelowThreshold => Self::BelowThreshold,
            Tier::OneWay => Self::OneWay,
            Tier::Suspect => Self::Suspect,
            Tier::Down => Self::Down,
        }
    }
}

impl From<TransportMetrics> for TrafficReport {
    fn from(metrics: TransportMetrics) -> Self {
        Self {
            requests: metrics.request_count,
            successes: metrics.success_count,
            failures: metrics.failure_count,
            failovers: metrics.failover_count,
            frames: metrics.frames,
            bytes: metrics.bytes,
            latency_us: metrics.latency.map(|latency| LatencyReport {
                p50: micros(latency.p50),
                p90: micros(latency.p90),
                p99: micros(latency.p99),
                max: micros(latency.max),
            }),
        }
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let Counters {
        delivered,
        duplicates,
        too_old,
        late,
        no_custody,
        not_admitted,
        stranger_frames,
        undecodable,
        stale_epoch,
        unexpected,
        foreign,
        forged_acks,
        late_acks,
        stray_probes,
        bad_fragments,
        evicted,
        failovers,
        hedges,
        budget_waits,
        switches,
    } = *counters;
    let named = [
        ("delivered", delivered),
        ("duplicates", duplicates),
        ("too_old", too_old),
        ("late", late),
        ("no_custody", no_custody),
        ("not_admitted", not_admitted),
        ("stranger_frames", stranger_frames),
        ("undecodable", undecodable),
        ("stale_epoch", stale_epoch),
        ("unexpected", unexpected),
        ("foreign", foreign),
        ("forged_acks", forged_acks),
        ("late_acks", late_acks),
        ("stray_probes", stray_probes),
        ("bad_fragments", bad_fragments),
        ("evicted", evicted),
        ("failovers", failovers),
        ("hedges", hedges),
        ("budget_waits", budget_waits),
        ("switches", switches),
    ];
    named.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn summary(link: &LinkStatus) -> LinkSummary {
    LinkSummary {
        link: link.facts.link.0,
        transport: link.facts.transport,
        medium: link.facts.capabilities.medium,
        ready: link.ready,
        tier: link.tier.into(),
        rtt_us: link.smoothed_rtt.map(micros),
    }
}

/// Every known peer, by id.
pub(super) async fn peers(node: &Node) -> Vec<PeerReport> {
    let report = |status: &PeerStatus| PeerReport {
        peer: status.peer,
        epoch: status.epoch.map(|epoch| epoch.0),
        reachable: status.links.iter().any(|link| link.ready && link.tier < Tier::Down)
            || node.with(|engine, _| leads_to(engine, &status.peer)),
        links: status.links.iter().map(summary).collect(),
        unsettled: TrafficClass::ALL.map(|c| (c, status.unsettled[c.index()])).into(),
        standing: status.standing.into(),
        may_relay: node.with(|engine, now| engine.may_relay(status.peer, now)),
        shut_out: status.shut_out.map(|epoch| epoch.0),
    };
    let mut peers: Vec<_> = node.peers().iter().map(report).collect();
    let known: BTreeSet<PeerId> = peers.iter().map(|peer| peer.peer).collect();
    // The blocked are remembered, whether or not they were ever seen.
    let decided = node.decided().await.into_iter().map(|(peer, _)| peer);
    peers.extend(decided.filter(|peer| !known.contains(peer)).map(|peer| PeerReport {
        peer,
        epoch: None,
        reachable: false,
        links: Vec::new(),
        unsettled: BTreeMap::new(),
        standing: node.standing(peer).into(),
        may_relay: false,
        shut_out: None,
    }));
    peers.sort_unstable_by_key(|peer| peer.peer);
    peers
}

/// Whether the network has a way to a peer.
fn leads_to(engine: &Engine, peer: &PeerId) -> bool {
    engine.network().is_some_and(|network| !network.ways(peer, 1).is_empty())
}

/// Where peers may dial the node.
pub(super) fn listening(node: &Node) -> Vec<ListeningReport> {
    node.listening().into_iter().map(ListeningReport::from).collect()
}

/// Links of every peer, or of `only`; by peer, then by number.
pub(super) fn links(node: &Node, only: Option<PeerId>) -> Vec<LinkReport> {
    let paths: BTreeMap<LinkId, LinkPath> =
        node.links().iter().map(|link: &Arc<dyn Link>| (link.id(), link.path())).collect();
    let statuses = node.peers();
    let wanted = statuses.iter().filter(|status| only.is_none_or(|peer| peer == status.peer));
    let mut links: Vec<_> = wanted
        .flat_map(|status| status.links.iter().map(move |link| (status, link)))
        .map(|(peer, link)| link_report(peer, link, paths.get(&link.facts.link)))
        .collect();
    links.sort_unstable_by_key(|link| (link.peer, link.summary.link));
    links
}

fn link_report(peer: &PeerStatus, link: &LinkStatus, path: Option<&LinkPath>) -> LinkReport {
    let capabilities = &link.facts.capabilities;
    LinkReport {
        peer: peer.peer,
        standing: peer.standing.into(),
        summary: summary(link),
        local: path.map(|path| path.local.clone()),
        remote: path.map(|path| path.remote.clone()),
        relay: path.and_then(|path| path.relay.clone()),
        up_for_ms: millis(link.up_for),
        last_answer_ms: millis(link.last_answer),
        timeout_us: micros(link.timeout),
        delivery: link.delivery.get(),
        backlog_bytes: link.backlog_bytes,
        max_frame: capabilities.max_frame,
        nominal_kbps: capabilities.nominal_rate.get(),
        metered: capabilities.metered,
        inputs: link
            .inputs
            .iter()
            .map(|input| InputReport {
                name: input.name.to_owned(),
                value: input.value,
                samples: input.samples,
            })
            .collect(),
        traffic: link.metrics.into(),
    }
}

/// Why packets to `peer` went where they went, and where they would go now.
pub(super) fn why(node: &Node, peer: PeerId) -> WhyReport {
    let (now, preferences) = node.with(|engine, now| {
        use bitcraps_coordinator::Machine;
        let core = engine.core();
        let preference = |handle, class| {
            let policy = FailoverPolicy::of_class(class);
            let order = core.decide(handle, class, policy, SMALL, now);
            let candidates = core.candidates(handle);
            PreferenceReport {
                class,
                policy: policy.name().to_owned(),
                bytes: SMALL,
                order: order.iter().filter_map(|i| candidates.get(i)).map(|c| c.link.0).collect(),
            }
        };
        let all = core.peer(peer).map(|handle| TrafficClass::ALL.map(|c| preference(handle, c)));
        (now, all.map_or_else(Vec::new, Vec::from))
    });
    let decisions = node.decisions(peer);
    WhyReport {
        peer,
        preferences,
        decisions: decisions.iter().rev().map(|decision| explain(decision, now)).collect(),
        links: links(node, Some(peer)),
    }
}

fn explain(decision: &Decision, now: Timestamp) -> DecisionReport {
    let packet = &decision.packet;
    let contenders = decision.contenders().into_iter().map(|contender| {
        let candidate = contender.candidate;
        let frame = packet.bytes.min(candidate.max_payload as usize) + Frame::DATA_OVERHEAD;
        let bucket = SizeBucket::of(frame);
        ContenderReport {
            link: candidate.link.0,
            transport: candidate.transport,
            chosen: candidate.link == decision.chosen,
            tier: contender.score.tier.into(),
            cost: contender.score.cost,
            cost_unit: cost_unit(packet.policy, packet.energy_aware).to_owned(),
            size_bucket: bucket_name(bucket).to_owned(),
            latency_us: candidate.latency_us[bucket.index()],
            undelivered_ppm: candidate.undelivered_ppm[bucket.index()],
            goodput_kbps: 8_000_000_000 / u64::from(candidate.picos_per_byte.max(1)),
            backlog_bytes: candidate.backlog_bytes,
            unacked_bytes: candidate.unacked_bytes,
            load_bytes: candidate.load_bytes as u64,
            energy_uj: candidate.marginal_energy(packet.bytes, decision.at).0,
            radio_idle_ms: candidate.active_at.map(|at| millis(decision.at.since(at))),
        }
    });
    DecisionReport {
        ago_ms: millis(now.since(decision.at)),
        class: decision.class,
        attempt: decision.attempt,
        policy: packet.policy.name().to_owned(),
        bytes: packet.bytes,
        energy_aware: packet.energy_aware,
        incumbent: packet.incumbent.map(|link| link.0),
        ceiling_us: packet.ceiling_us,
        chosen: decision.chosen.0,
        contenders: contenders.collect(),
    }
}

fn bucket_name(bucket: SizeBucket) -> &'static str {
    match bucket {
        SizeBucket::Small => "small",
        SizeBucket::Packet => "packet",
        SizeBucket::Medium => "medium",
        SizeBucket::Large => "large",
    }
}

/// What a score's cost counts; the packing is that of `policy::score`.
fn cost_unit(policy: FailoverPolicy, energy_aware: bool) -> &'static str {
    match policy {
        FailoverPolicy::FastestFirst => "us",
        FailoverPolicy::MostReliable => "undelivered/256 then us",
        FailoverPolicy::EnergyEfficient if energy_aware => "uJ",
        FailoverPolicy::EnergyEfficient => "0 when preferred for the size",
        FailoverPolicy::LoadBalanced => "ns of work ahead",
    }
}

/// Where peers may be reached, by peer.
pub(super) fn targets(node: &Node) -> Vec<TargetReport> {
    let targets = node.with(|engine, now| engine.targets(now));
    targets.iter().map(target).collect()
}

pub(super) fn target(status: &TargetStatus) -> TargetReport {
    let target = &status.hint.target;
    TargetReport {
        peer: target.peer,
        transport: target.transport,
        address: target.address.to_string(),
        source: source_name(status.hint.source).to_owned(),
        linked: status.linked,
        failures: status.failures,
        next_dial_ms: status.next_dial.map(millis),
    }
}

pub(super) fn source_name(source: HintSource) -> &'static str {
    match source {
        HintSource::Static => "static",
        HintSource::Beacon => "beacon",
        HintSource::Mdns => "mdns",
        HintSource::Advertisement => "advertisement",
    }
}
