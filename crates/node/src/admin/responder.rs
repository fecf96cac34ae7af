//! Answers requests from what the node knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Outcome, SendOptions, Standing, TriedLink};
use bitcraps_engine::AdmissionMode;
use bitcraps_types::{AckLevel, Timestamp, TrafficClass};
use bitcraps_wire::JoinVerdict;
use tokio::time::timeout;

use super::live::LiveConfig;
use super::metrics::MetricsReport;
use super::name::{resolve, resolve_decided};
use super::protocol::{Ack, Refusal, RefusalKind, Request, Response};
use super::report::{
    ChangeReport, ConfigReport, EntryReport, LinksReport, OutcomeReport, PeersReport, ReloadReport,
    SendReport, StatusReport, TargetsReport, TriedReport,
};
use super::standing::{InviteReport, ListeningReport, StandingReport};
use super::{health, network, ping, status, store};
use crate::config::Change;
use crate::{BootClock, InviteError, Invited, JoinError, Node};

/// Longest that a request waits for what it asked for. A message that has no outcome by then goes
/// on, but nobody is told.
pub const MAX_WAIT: Duration = Duration::from_secs(600);

/// What is decided about a peer.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Admit,
    Block,
    Forget,
}

fn refusal_of(error: &JoinError) -> RefusalKind {
    match error {
        JoinError::Code(_) | JoinError::Own => RefusalKind::BadCode,
        JoinError::Blocked(_) | JoinError::Full(_) | JoinError::HalfDone { .. } => {
            RefusalKind::NotDecided
        }
        JoinError::NotReached { .. } => RefusalKind::NotReached,
        JoinError::Refused { verdict, .. } => match verdict {
            JoinVerdict::Expired => RefusalKind::InvitationExpired,
            JoinVerdict::UsedUp => RefusalKind::InvitationUsedUp,
            JoinVerdict::Unknown => RefusalKind::InvitationUnknown,
            JoinVerdict::Wrong => RefusalKind::InvitationWrong,
            JoinVerdict::Closed | JoinVerdict::Unavailable | JoinVerdict::Admitted => {
                RefusalKind::InvitationRefused
            }
        },
    }
}

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
            Request::Status => Response::Status(self.status().await),
            Request::Peers => Response::Peers(PeersReport { peers: status::peers(node).await }),
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
            Request::Invite { life_ms, uses } => self.invite(life_ms, uses).await?,
            Request::Join { code, wait_ms } => {
                self.join(&code, Duration::from_millis(wait_ms).min(MAX_WAIT)).await?
            }
            Request::Admit { peer } => self.decide(&peer, Choice::Admit).await?,
            Request::Block { peer } => self.decide(&peer, Choice::Block).await?,
            Request::Forget { peer } => self.decide(&peer, Choice::Forget).await?,
            Request::Topology => Response::Topology(network::topology(node)),
            Request::Path { peer } => Response::Path(network::path(node, resolve(node, &peer)?)),
            Request::Health => Response::Health(health::report(node)?),
            Request::History { grain } => Response::History(health::history(node, grain)?),
            Request::Heal { apply } => Response::Healing(health::healing(node, apply)?),
            Request::Game { host } => Response::Game(health::game(node, &host)?),
            Request::Alerts => Response::Alerts(health::alerts(node)?),
            Request::Silence { kind, peer, author, comment, life_ms } => {
                let about = peer.map(|peer| resolve(node, &peer)).transpose()?;
                let life = Duration::from_millis(life_ms);
                Response::Alerts(health::silence(node, &kind, about, &author, &comment, life)?)
            }
            Request::Unsilence { id } => Response::Alerts(health::unsilence(node, id)?),
            Request::Acknowledge { alert, author } => {
                Response::Alerts(health::acknowledge(node, &alert, &author)?)
            }
            Request::Metrics => Response::Metrics(Box::new(MetricsReport::of(node))),
            Request::Outbox => Response::Outbox(store::outbox(node)),
            Request::Reload => self.reload().await?,
            Request::Config => Response::Config(self.config()),
            Request::Targets => Response::Targets(TargetsReport { targets: status::targets(node) }),
        })
    }

    async fn status(&self) -> StatusReport {
        let peers = status::peers(&self.node).await;
        let (mut health, mut findings) = health(&peers);
        let kept = self.node.store_health();
        if let Some((of_store, finding)) = store::finding(&kept) {
            health = health.max(of_store);
            findings.push(finding);
        }
        if let Some((of_past, finding)) = health::finding(&self.node) {
            health = health.max(of_past);
            findings.push(finding);
        }
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
            listening: status::listening(&self.node),
            admission: match self.node.with(|engine, _| engine.admission().mode) {
                AdmissionMode::Open => "open",
                AdmissionMode::AllowList => "allow_list",
                AdmissionMode::Invitation => "invitation",
            }
            .to_owned(),
            peers,
            transports: transports.into_iter().map(|(kind, m)| (kind, m.into())).collect(),
            counters: status::counters(&self.node.counters()),
            store: store::report(&kept),
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

    async fn invite(&self, life_ms: u64, uses: u32) -> Result<Response, Refusal> {
        let invited = self.node.invite(Duration::from_millis(life_ms), uses).await;
        let Invited { code, addresses } = invited.map_err(|error| Refusal {
            kind: match error {
                InviteError::Life(_) | InviteError::Uses(_) => RefusalKind::BadRequest,
                InviteError::Closed
                | InviteError::Full(_)
                | InviteError::File(_)
                | InviteError::Randomness(_) => RefusalKind::NotInvited,
            },
            message: error.to_string(),
            candidates: Vec::new(),
        })?;
        let addresses = addresses.into_iter().map(ListeningReport::from).collect();
        Ok(Response::Invite(InviteReport { code, life_ms, uses, addresses }))
    }

    async fn join(&self, code: &str, patience: Duration) -> Result<Response, Refusal> {
        let before: BTreeMap<_, _> =
            self.node.peers().into_iter().map(|p| (p.peer, p.standing)).collect();
        let joined = self.node.join(code, patience).await;
        let peer = joined.map_err(|error| Refusal {
            kind: refusal_of(&error),
            message: error.to_string(),
            candidates: Vec::new(),
        })?;
        let was = before.get(&peer).copied().unwrap_or(Standing::Stranger);
        let standing = self.node.standing(peer).into();
        Ok(Response::Standing(StandingReport { peer, was: was.into(), standing }))
    }

    async fn decide(&self, name: &str, choice: Choice) -> Result<Response, Refusal> {
        let node = &self.node;
        let peer = resolve_decided(node, name).await?;
        let was = node.standing(peer);
        let decided = match choice {
            Choice::Admit => node.admit(peer).await,
            Choice::Block => node.block(peer).await,
            Choice::Forget => node.forget(peer).await.map(|_| ()),
        };
        decided.map_err(|error| Refusal {
            kind: RefusalKind::NotDecided,
            message: error.to_string(),
            candidates: Vec::new(),
        })?;
        let standing = node.standing(peer);
        Ok(Response::Standing(StandingReport { peer, was: was.into(), standing: standing.into() }))
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
