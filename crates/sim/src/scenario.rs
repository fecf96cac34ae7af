//! A scenario out of a file: nodes, how they move, what their radios carry, what breaks, what they
//! send, and what is expected of it all.

mod air;
mod course;
mod error;
mod figures;
mod healing;
mod motion;
mod radio;
mod read;
mod section;
mod sketch;
mod tale;
mod traffic;
mod troubles;
mod verdict;

use std::time::Duration;

use bitcraps_types::TrafficClass;

use crate::LinkModel;

pub use error::{CourseError, Mistake, ScenarioError};
pub use figures::{ClassFigures, Figures};
pub use sketch::{Sketch, Spot, Strand};
pub use tale::{Happening, Step};
pub use verdict::{Finding, Verdict};

/// Most bytes of a scenario's text.
pub const MAX_TEXT: usize = 1 << 20;
/// Most nodes: what is kept for each is a few kilobytes before it knows anybody.
pub const MAX_NODES: usize = 20_000;
/// Most messages over the whole course; each is kept until its end.
pub const MAX_MESSAGES: u64 = 5_000_000;
/// Most links that are named, and most faults with their repetitions.
pub const MAX_LISTED: usize = 200_000;
/// Most pairs of nodes that may be in reach of each other over one radio at a time: 24 bytes each.
pub const MAX_PAIRS: usize = 2_000_000;
/// Most links over the whole course, those included that are no longer there: about a kilobyte each.
pub const MAX_LINKS: usize = 1_000_000;

/// A checked scenario: [`Self::read`] makes it, [`Self::run`] runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// From which all chance comes. May be changed before it runs.
    pub seed: u64,
    length: Duration,
    /// Time before traffic, in which everybody meets.
    warm_up: Duration,
    /// Time at the end in which nothing is sent, broken or moved.
    settle: Duration,
    /// Sides of the area that nodes with places are in, in metres.
    area: [f64; 2],
    groups: Vec<Group>,
    radios: Vec<Radio>,
    links: Vec<Laid>,
    troubles: Vec<Trouble>,
    streams: Vec<Stream>,
    expectations: Vec<Expectation>,
}

/// Nodes of one kind.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    name: String,
    count: usize,
    /// Number of its first node.
    first: usize,
    /// Numbers of the radios by which its nodes find each other.
    radios: Vec<usize>,
    /// Whether they publish their links, see the network and relay.
    view: bool,
    /// Where they begin; anywhere when there is none.
    at: Option<[f64; 2]>,
    /// How far from there, in metres.
    spread: f64,
    /// Least and most metres a second on the way to the next place; they stay when there is none.
    speed: Option<[f64; 2]>,
    pause: Duration,
    heals: Heals,
}

/// What nodes do about the links that their network needs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Heals {
    /// They do not look.
    Never,
    /// They make them, when the risk of a split is above this.
    Above(f64),
    /// They say that they could, and do not.
    Lies,
}

/// A kind of radio.
#[derive(Debug, Clone, PartialEq)]
struct Radio {
    name: String,
    model: LinkModel,
    /// How far it reaches, in metres. Without it, only links that are named use it.
    range: Option<f64>,
    /// Links that a node holds over it.
    most: usize,
    /// How long its adapter takes to notice that the other is out of reach.
    silent: Duration,
}

/// A link that is there from the beginning.
#[derive(Debug, Clone, PartialEq)]
struct Laid {
    name: Option<String>,
    ends: [usize; 2],
    radio: usize,
    /// Whether the ends know of each other, and link when the network needs it.
    spare: bool,
}

/// What something happens to.
#[derive(Debug, Clone, PartialEq)]
enum Target {
    Nodes(Vec<usize>),
    Link(String),
    Radio(usize),
    /// Every link from one of the first to one of the second.
    Between(Vec<usize>, Vec<usize>),
}

/// Something that goes wrong for a time.
#[derive(Debug, Clone, PartialEq)]
struct Trouble {
    at: Duration,
    /// When it is over; never when there is none.
    until: Option<Duration>,
    target: Target,
    /// How many of the nodes, drawn by chance; all when there is none.
    some: Option<usize>,
    kind: TroubleKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TroubleKind {
    Kill { told: bool },
    Suspend,
    Silence,
    Cut,
    Loss(f64),
    Latency(Duration),
}

impl TroubleKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Suspend => "suspend",
            Self::Silence => "silence",
            Self::Cut => "cut",
            Self::Loss(_) => "loss",
            Self::Latency(_) => "latency",
        }
    }
}

/// Messages of one kind.
#[derive(Debug, Clone, PartialEq)]
struct Stream {
    from: Vec<usize>,
    to: Vec<usize>,
    class: TrafficClass,
    every: Duration,
    bytes: usize,
    deadline: Option<Duration>,
    copies: Option<u8>,
    begin: Duration,
    end: Duration,
    /// Whether each source keeps the destination that it drew first.
    fixed: bool,
}

/// What a figure has to be.
#[derive(Debug, Clone, PartialEq)]
struct Expectation {
    what: What,
    class: Option<TrafficClass>,
    least: Option<f64>,
    most: Option<f64>,
    line: usize,
}

/// A figure of which something may be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Sent,
    Delivered,
    DeliveredShare,
    Undelivered,
    Refused,
    P50,
    P99,
    LongestGap,
    WrongViews,
    Relayed,
    Rate,
    Healed,
}

impl What {
    /// With their names.
    const ALL: [(&str, Self); 12] = [
        ("sent", Self::Sent),
        ("delivered", Self::Delivered),
        ("delivered_share", Self::DeliveredShare),
        ("undelivered", Self::Undelivered),
        ("refused", Self::Refused),
        ("p50_ms", Self::P50),
        ("p99_ms", Self::P99),
        ("longest_gap_ms", Self::LongestGap),
        ("wrong_views", Self::WrongViews),
        ("relayed", Self::Relayed),
        ("bytes_per_node_second", Self::Rate),
        ("healed", Self::Healed),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, what)| *what == self).map_or("", |(name, _)| name)
    }

    /// Whether it is a figure of messages, which may be those of a class alone.
    const fn is_of_messages(self) -> bool {
        match self {
            Self::Sent
            | Self::Delivered
            | Self::DeliveredShare
            | Self::Undelivered
            | Self::Refused
            | Self::P50
            | Self::P99
            | Self::LongestGap => true,
            Self::WrongViews | Self::Relayed | Self::Rate | Self::Healed => false,
        }
    }
}

impl Scenario {
    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// How long it runs, in virtual time.
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// What a node is called: its group's name, with its number from 1 when there are several.
    fn name_of(&self, node: usize) -> String {
        let group = self.group_of(node);
        match group.count {
            1 => group.name.clone(),
            _ => format!("{}-{}", group.name, node - group.first + 1),
        }
    }

    fn group_of(&self, node: usize) -> &Group {
        let after = self.groups.partition_point(|group| group.first <= node);
        &self.groups[after.saturating_sub(1)]
    }
}
