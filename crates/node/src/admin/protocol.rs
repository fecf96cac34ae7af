//! What is said over the admin socket: one JSON object a line, each with the schema's number.

use bitcraps_engine::monitor::{Game, Grain, HealingReport, HealthReport};
use bitcraps_types::{PeerId, TrafficClass};
use serde::{Deserialize, Serialize};

use super::health::{AlertsReport, HistoryReport};
use super::metrics::MetricsReport;
use super::network::{NetworkReport, PathReport};
use super::report::{
    ConfigReport, LinksReport, PeersReport, PingReport, ReloadReport, SendReport, StatusReport,
    TargetsReport, WhyReport,
};
use super::standing::{InviteReport, StandingReport};
use super::store::OutboxReport;

/// Number of this schema. It changes when a field changes its meaning or goes; fields that are new
/// do not change it.
pub const SCHEMA: u32 = 1;

/// Something said, with the number of its schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// [`SCHEMA`] of whoever said it.
    pub schema: u32,
    /// What was said.
    #[serde(flatten)]
    pub content: T,
}

impl<T> Envelope<T> {
    /// Puts `content` under this schema.
    pub const fn new(content: T) -> Self {
        Self { schema: SCHEMA, content }
    }
}

/// What is asked. Peers are named by their id or by a start of it that fits no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// The node and its health.
    Status,
    /// Every known peer.
    Peers,
    /// Every link, or those to one peer.
    Links {
        /// The peer.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Why packets to a peer went where they went.
    Why {
        /// The peer.
        peer: String,
    },
    /// Sends a message.
    Send {
        /// To whom.
        peer: String,
        /// What it is worth.
        class: TrafficClass,
        /// Its text.
        payload: String,
        /// What counts as delivered.
        #[serde(default)]
        ack: Ack,
        /// How long it is worth anything, in milliseconds; the class's own when absent.
        #[serde(default)]
        deadline_ms: Option<u64>,
        /// Whether to answer with its outcome, rather than when it is taken.
        #[serde(default)]
        wait: bool,
    },
    /// Goes through the stages of a delivery and tells which fails.
    Ping {
        /// The peer.
        peer: String,
        /// Empty messages to send, 1 to [`MAX_PINGS`](super::MAX_PINGS).
        count: u32,
    },
    /// Makes an invitation.
    Invite {
        /// How long it is good for, in milliseconds.
        life_ms: u64,
        /// How many peers it admits.
        uses: u32,
    },
    /// Joins whoever made an invitation.
    Join {
        /// The invitation's code.
        code: String,
        /// How long to wait for the inviter, in milliseconds; at most
        /// [`MAX_WAIT`](super::MAX_WAIT).
        wait_ms: u64,
    },
    /// Admits a peer.
    Admit {
        /// The peer.
        peer: String,
    },
    /// Blocks a peer.
    Block {
        /// The peer.
        peer: String,
    },
    /// Takes back what was decided about a peer.
    Forget {
        /// The peer.
        peer: String,
    },
    /// The whole network as the node sees it.
    Topology,
    /// The ways to a peer.
    Path {
        /// The peer, known or only seen in the network.
        peer: String,
    },
    /// The health of the network, and what to do about it.
    Health,
    /// The links that the network needs, and those that this node has made.
    Heal {
        /// Whether this node makes those that are its own to make now.
        #[serde(default)]
        apply: bool,
    },
    /// Prepares the network for a game.
    Game {
        /// The peer that hosts it, or the node itself.
        host: String,
    },
    /// What is wrong with the network, and who wants not to be told.
    Alerts,
    /// What the network was.
    History {
        /// In which steps.
        grain: Grain,
    },
    /// Nobody is to be told of some alerts for a while.
    Silence {
        /// Their kind, such as `PartitionRisk`.
        kind: String,
        /// Only those about this peer.
        #[serde(default)]
        peer: Option<String>,
        /// Who asks.
        author: String,
        /// Why.
        #[serde(default)]
        comment: String,
        /// How long, in milliseconds.
        life_ms: u64,
    },
    /// Ends a silence.
    Unsilence {
        /// Its number.
        id: u32,
    },
    /// Notes who has seen an alert that fires.
    Acknowledge {
        /// Its name, as `alerts` tells it.
        alert: String,
        /// Who.
        author: String,
    },
    /// Everything that the node counts and measures.
    Metrics,
    /// Messages that are kept until they are settled.
    Outbox,
    /// Reads the configuration again.
    Reload,
    /// The configuration in force.
    Config,
    /// Where peers may be reached, and how dialling them went.
    Targets,
}

/// What counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// A link took it.
    Accepted,
    /// The peer's node has it.
    #[default]
    Peer,
    /// The peer's application took it.
    Applied,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(StatusReport),
    /// To [`Request::Peers`].
    Peers(PeersReport),
    /// To [`Request::Links`].
    Links(LinksReport),
    /// To [`Request::Why`].
    Why(WhyReport),
    /// To [`Request::Send`].
    Send(SendReport),
    /// To [`Request::Ping`].
    Ping(PingReport),
    /// To [`Request::Invite`].
    Invite(InviteReport),
    /// To [`Request::Join`], [`Request::Admit`], [`Request::Block`] and [`Request::Forget`].
    Standing(StandingReport),
    /// To [`Request::Topology`].
    Topology(NetworkReport),
    /// To [`Request::Path`].
    Path(PathReport),
    /// To [`Request::Health`].
    Health(HealthReport),
    /// To [`Request::History`].
    History(HistoryReport),
    /// To [`Request::Heal`].
    Healing(HealingReport),
    /// To [`Request::Game`].
    Game(Game),
    /// To [`Request::Alerts`], [`Request::Silence`], [`Request::Unsilence`] and
    /// [`Request::Acknowledge`].
    Alerts(AlertsReport),
    /// To [`Request::Metrics`].
    Metrics(Box<MetricsReport>),
    /// To [`Request::Outbox`].
    Outbox(OutboxReport),
    /// To [`Request::Reload`].
    Reload(ReloadReport),
    /// To [`Request::Config`].
    Config(ConfigReport),
    /// To [`Request::Targets`].
    Targets(TargetsReport),
    /// To anything that is not done.
    Refused(Refusal),
}

/// Why a request was not done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub kind: RefusalKind,
    /// What, where and what to do.
    pub message: String,
    /// Peers that the name may have meant, when it meant several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<PeerId>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// No request, or one of another schema.
    BadRequest,
    /// As many clients as are served at once are there.
    Busy,
    /// The text is no name of a peer.
    BadPeer,
    /// No known peer has this name.
    UnknownPeer,
    /// Several known peers have this name.
    AmbiguousPeer,
    /// The message was not taken.
    NotSent,
    /// No silence was made or ended, or no alert of that name fires.
    NoSuchAlert,
    /// The node does not watch the health of the network.
    NotWatched,
    /// A decision about a peer cannot be made or kept.
    NotDecided,
    /// No invitation was made.
    NotInvited,
    /// The text is no invitation.
    BadCode,
    /// The inviter did not answer.
    NotReached,
    /// The invitation has expired.
    InvitationExpired,
    /// The invitation is used up.
    InvitationUsedUp,
    /// The inviter knows no such invitation.
    InvitationUnknown,
    /// The invitation's secret is wrong.
    InvitationWrong,
    /// The inviter takes no invitations, or cannot store that it took one.
    InvitationRefused,
    /// The new configuration is wrong; the old one stays in force.
    BadConfig,
}
