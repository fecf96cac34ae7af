//! Answers requests from what the node knows.

use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions, TriedLink};
use bitcraps_types::{AckLevel, Timestamp, TrafficClass};
use tokio::time::timeout;

use super::live::LiveConfig;
use super::name::resolve;
use super::protocol::{Ack, Refusal, RefusalKind, Request, Response};
use super::report::{
    ChangeReport, ConfigReport, EntryReport, LinksReport, OutcomeReport, PeersReport, ReloadReport,
    SendReport, StatusReport, TargetsReport, TriedReport,
};
use super::{ping, status};
use crate::config::Change;
use crate::{BootClock, Node};

/// Longest that a request waits for what it asked for. A message that has no outcome by then goes
/// on, but nobody is told.
pub const MAX_WAIT: Duration = Duration::from_secs(600);

/// Answers for one node.
pub(super) struct Responder {
    node: Arc<Node>,
    live: Arc<LiveConfig>,
    started: Timestamp,
}

impl Responder {
    pub(super) fn new(node: Arc<Node>, live: Arc<LiveConfig>) -> Self {
        Self { node, live, started: BootClock.now() }
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        self.answer_or_refuse(request).await.unwrap_or_else(Response::Refused)
    }

    async fn answer_or_refuse(&self, request: Request) -> Result<Response, Refusal> {
        let node = &*self.node;
        Ok(match request {
            Request::Status => Response::Status(self.status()),
            Request::Peers => Response::Peers(PeersReport { peers: status::peers(&node.peers()) }),
            Request::Links { peer } => {
                let only = peer.map(|name| resolve(node, &name)).transpose()?;
                Response::Links(LinksReport { links: status::links(node, only) })
            }
            Request::Why { peer } => Response::Why(status::why(node, resolve(node, &peer)?)),
            Request::Send { peer, class, payload, ack, deadline_ms, wait } => {
                let deadline = deadline_ms.map(Duration::from_millis);
                self.send(&peer, class, payload, ack, deadline, wait).await?
            }
            Request::Ping { peer, count } => {
                let peer = resolve(node, &peer)?;
                if !(1..=ping::MAX_PINGS).contains(&count) {
                    return Err(Refusal {
                        kind: RefusalKind::BadRequest,
                        message: format!(
                            "a ping sends 1 to {} messages, not {count}",
                            ping::MAX_PINGS
                        ),
                        candidates: Vec::new(),
                    });
                }
                Response::Ping(ping::ping(node, peer, count).await)
            }
            Request::Reload => self.reload().await?,
            Request::Config => Response::Config(self.config()),
            Request::Targets => Response::Targets(TargetsReport { targets: status::targets(node) }),
        })
    }

    fn status(&self) -> StatusReport {
        let peers = status::peers(&self.node.peers());
        let (health, findings) = status::health(&peers);
        let transports = self.node.get_transport_stats();
        StatusReport {
            node: self.node.id(),
            name: self.live.current().node().name.clone(),
            epoch: self.node.epoch().0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: status::millis(BootClock.now().since(self.started)),
            config_file: self.file(),
            health,
            findings,
            peers,
            transports: transports.into_iter().map(|(kind, m)| (kind, m.into())).collect(),
            counters: status::counters(&self.node.counters()),
        }
    }

    fn file(&self) -> Option<String> {
        self.live.file().map(|file| file.display().to_string())
    }

    async fn send(
        &self,
        name: &str,
        class: TrafficClass,
        payload: String,
        ack: Ack,
        deadline: Option<Duration>,
        wait: bool,
    ) -> Result<Response, Refusal> {
        let peer = resolve(&self.node, name)?;
        let mut options = SendOptions::new(class).ack(ack.into());
        if let Some(deadline) = deadline {
            options = options.deadline(deadline);
        }
        let bytes = payload.len();
        let receipt = self.node.send(peer, payload, options).map_err(|error| Refusal {
            kind: RefusalKind::NotSent,
            message: error.to_string(),
            candidates: Vec::new(),
        })?;
        let outcome = if wait { timeout(MAX_WAIT, receipt).await.ok() } else { None };
        let outcome = outcome.map_or(OutcomeReport::Unsettled, OutcomeReport::from);
        Ok(Response::Send(SendReport { peer, class, bytes, ack, outcome }))
    }

    async fn reload(&self) -> Result<Response, Refusal> {
        let changes = self.live.reload().await.map_err(|error| Refusal {
            kind: RefusalKind::BadConfig,
            message: error.to_string(),
            candidates: Vec::new(),
        })?;
        let changes = changes.into_iter().map(ChangeReport::from).collect();
        Ok(Response::Reload(ReloadReport { file: self.file(), changes }))
    }

    fn config(&self) -> ConfigReport {
        let entries = self.live.current().entries().map(EntryReport::from).collect();
        ConfigReport { file: self.file(), entries }
    }
}

impl From<Change> for ChangeReport {
    fn from(change: Change) -> Self {
        let Change { key, old, new, needs_restart } = change;
        Self { key: key.to_owned(), old, new, needs_restart }
    }
}

impl From<crate::config::Entry<'_>> for EntryReport {
    fn from(entry: crate::config::Entry<'_>) -> Self {
        Self { key: entry.key.to_owned(), value: entry.value, origin: entry.origin.to_string() }
    }
}

impl From<Ack> for AckLevel {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Accepted => Self::Accepted,
            Ack::Peer => Self::PeerAcked,
            Ack::Applied => Self::Applied,
        }
    }
}

impl From<AckLevel> for Ack {
    fn from(level: AckLevel) -> Self {
        match level {
            AckLevel::Accepted => Self::Accepted,
            AckLevel::PeerAcked => Self::Peer,
            AckLevel::Applied => Self::Applied,
        }
    }
}

impl From<TriedLink> for TriedReport {
    fn from(link: TriedLink) -> Self {
        Self { link: link.link.0, transport: link.transport }
    }
}

impl From<Outcome> for OutcomeReport {
    fn from(outcome: Outcome) -> Self {
        let all = |tried: Vec<TriedLink>| tried.into_iter().map(TriedReport::from).collect();
        match outcome {
            Outcome::Delivered { level, link, attempts, latency } => Self::Delivered {
                level: level.into(),
                link: link.into(),
                attempts,
                latency_us: status::micros(latency),
            },
            Outcome::Sent { link } => Self::Sent { link: link.into() },
            Outcome::Expired { tried } => Self::Expired { tried: all(tried) },
            Outcome::Rejected { why } => Self::Rejected { why: why.to_string() },
            Outcome::Unknown { tried } => Self::Unknown { tried: all(tried) },
        }
    }
}
