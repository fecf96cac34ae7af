//! A delivery taken apart: which of its stages fails, and what is known of that stage.

use std::time::Duration;

use bitcraps_coordinator::{Notice, Outcome, RejectReason, SendOptions, Standing};
use bitcraps_engine::TargetStatus;
use bitcraps_transport_api::ConnectError;
use bitcraps_types::{ConnectTarget, LinkId, PeerId, TrafficClass};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::network::{self, HopReport, WayReport};
use super::report::{PingReport, ReplyReport, Stage, StageReport};
use super::status::{micros, source_name};
use crate::{BootClock, Node};

/// Messages that one ping sends, one after the other: below [`MAX_WAIT`](super::MAX_WAIT) even when
/// none is answered.
pub const MAX_PINGS: u32 = 100;
/// How long a message of a ping waits for its confirmation: twice the latency above which a link is
/// of no use to a critical message.
const DEADLINE: Duration = Duration::from_secs(4);
/// Addresses dialled for one ping.
const MAX_DIALS: usize = 8;
/// Longest wait for the dials of a ping, should the configured connection timeout be longer.
const DIALLING: Duration = Duration::from_secs(60);
/// How long both nodes may take to greet each other on a link that is up.
const GREETING: Duration = Duration::from_secs(3);

/// How long two ends may take to agree on keys across relays.
const AGREEMENT: Duration = Duration::from_secs(10);

/// Sends `count` empty messages to `peer`, after whatever it takes to reach it.
///
/// A message without a payload asks nothing of an application; whoever takes messages may pass over
/// it.
pub(super) async fn ping(node: &Node, peer: PeerId, count: u32) -> PingReport {
    let mut course = Course { node, peer, stages: Vec::new() };
    let reached = course.is_admitted_here() && course.reach().await;
    let (sent, replies) = if reached { course.send(count).await } else { (0, Vec::new()) };
    let Course { stages, .. } = course;
    let failed = stages.iter().find(|stage| !stage.passed).map(|stage| stage.stage);
    PingReport { peer, stages, failed, sent, replies }
}

struct Course<'a> {
    node: &'a Node,
    peer: PeerId,
    stages: Vec<StageReport>,
}

/// A link of the peer, as far as a ping cares.
struct Found {
    link: LinkId,
    ready: bool,
    last_answer: Duration,
}

impl Course<'_> {
    fn stage(&mut self, stage: Stage, passed: bool, known: Vec<String>) -> bool {
        self.stages.push(StageReport { stage, passed, known });
        passed
    }

    fn links(&self) -> Vec<Found> {
        let peers = self.node.peers();
        let status = peers.iter().find(|status| status.peer == self.peer);
        let links = status.map_or(&[][..], |status| &status.links);
        let found = links.iter().map(|link| Found {
            link: link.facts.link,
            ready: link.ready,
            last_answer: link.last_answer,
        });
        found.collect()
    }

    /// Whether this node would exchange messages with the peer at all.
    fn is_admitted_here(&mut self) -> bool {
        let standing = self.node.standing(self.peer);
        let known = match standing {
            Standing::Admitted => return true,
            Standing::Stranger => "is not admitted by this node; `bitcraps peers admit` admits it",
            Standing::Blocked => "is blocked by this node; `bitcraps peers admit` admits it",
        };
        let known = vec![format!("peer {} {known}", self.peer.short())];
        self.stage(Stage::Admission, false, known)
    }

    /// The peer's node refuses messages: its admission failed after all.
    fn refused_there(&mut self) {
        let admission = self.stages.iter_mut().find(|stage| stage.stage == Stage::Admission);
        if let Some(stage) = admission {
            stage.passed = false;
            stage.known.push(
                "the peer's node has not admitted this node; ask its owner for an invitation, or to \
                 admit this node's key"
                    .to_owned(),
            );
        }
    }

    /// Address, handshake and admission.
    async fn reach(&mut self) -> bool {
        let mut notices = self.node.notices();
        let targets = self.targets();
        let ways = if self.links().is_empty() { self.open_ways() } else { Vec::new() };
        if !self.address(&targets, &ways) {
            return false;
        }
        let through = !ways.is_empty() && self.paths().is_empty();
        let reached = match through {
            true => self.relayed_handshake(&mut notices).await,
            false => self.handshake(&targets).await,
        };
        reached && self.admission(&mut notices).await
    }

    /// Has ways through relays opened, when there are any; what they are.
    fn open_ways(&self) -> Vec<String> {
        let ways = network::path(self.node, self.peer).ways;
        let through = ways.iter().filter(|way| way.hops.len() > 1);
        let told: Vec<String> = through.map(told_way).collect();
        if !told.is_empty() {
            self.node.with(|engine, now| engine.reach(self.peer, now));
        }
        told
    }

    async fn relayed_handshake(&mut self, notices: &mut broadcast::Receiver<Notice>) -> bool {
        let up = async {
            while self.links().is_empty() {
                if let Err(broadcast::error::RecvError::Closed) = notices.recv().await {
                    return;
                }
            }
        };
        let up = timeout(AGREEMENT, up).await.is_ok();
        let known = match up {
            true => "both ends have agreed on keys across the relays".to_owned(),
            false => format!("no answer came across the relays within {} s", AGREEMENT.as_secs()),
        };
        self.stage(Stage::Handshake, up, vec![known])
    }

    fn targets(&self) -> Vec<TargetStatus> {
        let all = self.node.with(|engine, now| engine.targets(now));
        all.into_iter().filter(|status| status.hint.target.peer == self.peer).collect()
    }

    fn paths(&self) -> Vec<String> {
        let links = self.node.links();
        let own = links.iter().filter(|link| link.peer() == self.peer);
        own.map(|l| format!("{} {} ({})", l.id(), l.path(), l.transport())).collect()
    }

    fn address(&mut self, targets: &[TargetStatus], ways: &[String]) -> bool {
        let mut known: Vec<String> = targets
            .iter()
            .map(|status| {
                let target = &status.hint.target;
                let source = source_name(status.hint.source);
                format!("{} {} ({source})", target.transport, target.address)
            })
            .collect();
        known.extend_from_slice(ways);
        let linked = !self.links().is_empty();
        if known.is_empty() {
            known.push(if linked {
                "none known, but the peer dialled this node".to_owned()
            } else {
                "no address is known: no beacon or mDNS answer was heard from it, and [[peers]] \
                 does not name it; check that it runs, with the same lan.discovery_port on a \
                 network that both are on, or write its address into [[peers]]"
                    .to_owned()
            });
        }
        self.stage(Stage::Address, linked || !targets.is_empty() || !ways.is_empty(), known)
    }

    async fn handshake(&mut self, targets: &[TargetStatus]) -> bool {
        let paths = self.paths();
        if !paths.is_empty() {
            return self.stage(Stage::Handshake, true, paths);
        }
        let mut known = Vec::new();
        // A link may be told as up only after its dial has returned.
        let mut up = false;
        match timeout(DIALLING, self.dial(targets)).await {
            Ok(results) => {
                for (target, result) in results {
                    up |= result.is_ok();
                    known.push(match result {
                        Ok(link) => format!("{link} came up to {}", target.address),
                        Err(error) => error.to_string(),
                    });
                }
            }
            Err(_) => known.push(format!("no link within {} s", DIALLING.as_secs())),
        }
        let up = up || !self.links().is_empty();
        if !up {
            let failures: u32 = targets.iter().map(|status| status.failures).sum();
            known.push(format!("{failures} earlier dials in a row failed"));
        }
        self.stage(Stage::Handshake, up, known)
    }

    /// Dials every target at once; each dial is bounded by its transport's connection timeout.
    async fn dial(
        &self,
        targets: &[TargetStatus],
    ) -> Vec<(ConnectTarget, Result<LinkId, ConnectError>)> {
        let mut dials = JoinSet::new();
        for status in targets.iter().take(MAX_DIALS) {
            let (driver, target) = ((**self.node).clone(), status.hint.target.clone());
            dials.spawn(async move {
                let result = driver.connect(target.clone()).await;
                (target, result)
            });
        }
        let mut results = dials.join_all().await;
        results.sort_by(|(a, _), (b, _)| a.cmp(b));
        results
    }

    async fn admission(&mut self, notices: &mut broadcast::Receiver<Notice>) -> bool {
        let ready = async {
            // Looked at anew with every notice: a slow listener loses notices, not the state.
            while !self.links().iter().any(|link| link.ready) {
                if let Err(broadcast::error::RecvError::Closed) = notices.recv().await {
                    return;
                }
            }
        };
        let in_time = timeout(GREETING, ready).await.is_ok();
        let peers = self.node.peers();
        let status = peers.iter().find(|status| status.peer == self.peer);
        let epoch = status.and_then(|status| status.epoch);
        let known = match (in_time, epoch) {
            (true, Some(epoch)) => format!("the peer is in its epoch {}", epoch.0),
            (true, None) => "the link carries data".to_owned(),
            (false, _) => format!(
                "the peer's key is proved, but its node sent no greeting within {} s; it may run \
                 another version, or refuse more links or peers",
                GREETING.as_secs()
            ),
        };
        self.stage(Stage::Admission, in_time, vec![known])
    }

    /// Hop and end acknowledgement.
    async fn send(&mut self, count: u32) -> (u32, Vec<ReplyReport>) {
        let options = SendOptions::new(TrafficClass::Realtime).deadline(DEADLINE).max_copies(1);
        let mut replies = Vec::new();
        let mut refusals = Vec::new();
        let mut answered = false;
        for number in 1..=count {
            let sent_at = BootClock.now();
            let receipt = match self.node.send(self.peer, bytes::Bytes::new(), options) {
                Ok(receipt) => receipt,
                Err(error) => {
                    refusals.push(error.to_string());
                    break;
                }
            };
            match receipt.await {
                Outcome::Delivered { link, attempts, latency, .. } => {
                    let latency_us = micros(latency);
                    replies.push(ReplyReport { number, link: link.into(), attempts, latency_us });
                }
                Outcome::Sent { link } => refusals.push(format!("left by link {}", link.link)),
                Outcome::Expired { tried } => refusals.push(told("expired", &tried)),
                Outcome::Unknown { tried } => refusals.push(told("no answer", &tried)),
                Outcome::Rejected { why: RejectReason::NotAdmitted } => {
                    self.refused_there();
                    return (number, replies);
                }
                Outcome::Rejected { why } => refusals.push(format!("rejected: {why}")),
            }
            let since = BootClock.now().since(sent_at);
            answered |= self.links().iter().any(|link| link.last_answer < since);
        }
        let sent = count.min((replies.len() + refusals.len()) as u32);
        refusals.dedup();
        let confirmed = !replies.is_empty();
        if answered || confirmed {
            let known = self.round_trips();
            self.stage(Stage::HopAck, true, known);
            let known = if confirmed {
                vec![format!("{} of {sent} messages confirmed", replies.len())]
            } else {
                refusals.push(
                    "the peer's node answers on the link and does not confirm messages; its \
                     application may not take any, or its inbox is full"
                        .to_owned(),
                );
                refusals
            };
            self.stage(Stage::EndAck, confirmed, known);
        } else {
            let silent = self.links().into_iter().map(|found| {
                let age = found.last_answer.as_secs_f64();
                format!("link {} gave its last answer {age:.1} s ago", found.link)
            });
            refusals.extend(silent);
            self.stage(Stage::HopAck, false, refusals);
        }
        (sent, replies)
    }

    fn round_trips(&self) -> Vec<String> {
        let peers = self.node.peers();
        let links = peers.iter().filter(|status| status.peer == self.peer).flat_map(|s| &s.links);
        links
            .map(|link| {
                let (id, transport) = (link.facts.link, link.facts.transport);
                match link.smoothed_rtt {
                    Some(rtt) => {
                        let ms = rtt.as_secs_f64() * 1e3;
                        format!("link {id} ({transport}) answers in {ms:.2} ms, {}", link.tier)
                    }
                    None => format!("link {id} ({transport}) has no measurement"),
                }
            })
            .collect()
    }
}

/// A way, with the time that each of its hops takes as its ends measure it.
fn told_way(way: &WayReport) -> String {
    let hop = |hop: &HopReport| {
        format!("{} {:.2} ms ({})", hop.to.short(), hop.latency_us as f64 / 1e3, hop.transport)
    };
    let hops: Vec<String> = way.hops.iter().map(hop).collect();
    format!("through relays: {}", hops.join(" -> "))
}

fn told(what: &str, tried: &[bitcraps_coordinator::TriedLink]) -> String {
    if tried.is_empty() {
        return format!("{what}: no link took it");
    }
    let links: Vec<String> =
        tried.iter().map(|tried| format!("{} ({})", tried.link, tried.transport)).collect();
    format!("{what} over {}", links.join(", "))
}
