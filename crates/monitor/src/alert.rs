//! What an alert is about, and how it is told.

mod board;
mod silence;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bitcraps_types::{PeerId, TransportType};
use serde::{Deserialize, Serialize};

use crate::Measure;

pub use board::{Alerts, Change, PastAlert, Transition};
pub use silence::{Matcher, Silence, SilenceError, Silences};

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlertKind {
    /// A material split is probable.
    PartitionRisk,
    /// The network is split, materially.
    NetworkPartitioned,
    /// A peer that holds parts together carries more than it should.
    ArticulationPointOverload,
    /// Messages have far to go.
    HighDiameter,
    /// Neighbours of a peer are not neighbours of each other: few ways round a loss.
    LowClustering,
    /// A measure is not what it usually is.
    AnomalyDetected,
    /// A transport has no link that anybody answers on, and had one.
    TransportDown,
    /// An admitted peer cannot be reached.
    PeerLost,
    /// A peer says of links what cannot be true.
    LinkStatePoisoning,
    /// Two devices use one key.
    IdentityConflict,
    /// The network was not looked at when it should have been.
    DataAbsent,
}

impl AlertKind {
    /// How many there are.
    pub const COUNT: usize = 11;
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PartitionRisk,
        Self::NetworkPartitioned,
        Self::ArticulationPointOverload,
        Self::HighDiameter,
        Self::LowClustering,
        Self::AnomalyDetected,
        Self::TransportDown,
        Self::PeerLost,
        Self::LinkStatePoisoning,
        Self::IdentityConflict,
        Self::DataAbsent,
    ];

    /// The name that its label `alertname` has.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PartitionRisk => "PartitionRisk",
            Self::NetworkPartitioned => "NetworkPartitioned",
            Self::ArticulationPointOverload => "ArticulationPointOverload",
            Self::HighDiameter => "HighDiameter",
            Self::LowClustering => "LowClustering",
            Self::AnomalyDetected => "AnomalyDetected",
            Self::TransportDown => "TransportDown",
            Self::PeerLost => "PeerLost",
            Self::LinkStatePoisoning => "LinkStatePoisoning",
            Self::IdentityConflict => "IdentityConflict",
            Self::DataAbsent => "DataAbsent",
        }
    }

    /// The kind of a name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NetworkPartitioned | Self::IdentityConflict | Self::PartitionRisk => {
                Severity::Critical
            }
            Self::ArticulationPointOverload
            | Self::TransportDown
            | Self::PeerLost
            | Self::LinkStatePoisoning
            | Self::DataAbsent => Severity::Warning,
            Self::HighDiameter | Self::LowClustering | Self::AnomalyDetected => Severity::Info,
        }
    }

    /// The rule that holds unless another is given.
    pub const fn rule(self) -> Rule {
        let (hold, keep_firing) = match self {
            Self::NetworkPartitioned => (0, 10),
            Self::PartitionRisk | Self::ArticulationPointOverload => (10, 30),
            Self::HighDiameter => (15, 30),
            Self::LowClustering => (60, 60),
            Self::AnomalyDetected => (0, 60),
            Self::TransportDown => (5, 10),
            Self::PeerLost => (3, 10),
            Self::LinkStatePoisoning => (0, 300),
            Self::IdentityConflict => (0, 60),
            Self::DataAbsent => (0, 0),
        };
        Rule { hold: Duration::from_secs(hold), keep_firing: Duration::from_secs(keep_firing) }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How bad an alert is; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something does not work as it should.
    Warning,
    /// Messages are lost, or about to be.
    Critical,
}

impl Severity {
    /// Lower-case name, as in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When an alert fires, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How long the condition has to hold before it fires.
    pub hold: Duration,
    /// How long the condition has to be gone before it is resolved.
    pub keep_firing: Duration,
}

/// Whom or what an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The network as a whole.
    Network,
    /// A peer.
    Peer(PeerId),
    /// A transport.
    Transport(TransportType),
    /// A number.
    Measure(Measure),
}

/// The identity of an alert: what is told twice under one key is one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    /// What is wrong.
    pub kind: AlertKind,
    /// With what.
    pub subject: Subject,
}

impl AlertKey {
    /// Of the network as a whole.
    pub const fn of_network(kind: AlertKind) -> Self {
        Self { kind, subject: Subject::Network }
    }

    /// Its labels, as Prometheus and Alertmanager know them.
    pub fn labels(&self) -> BTreeMap<&'static str, String> {
        let mut labels = BTreeMap::from([
            ("alertname", self.kind.name().to_owned()),
            ("severity", self.kind.severity().name().to_owned()),
        ]);
        let more = match self.subject {
            Subject::Network => None,
            Subject::Peer(peer) => Some(("peer", peer.to_string())),
            Subject::Transport(transport) => Some(("transport", transport.to_string())),
            Subject::Measure(measure) => Some(("measure", measure.to_string())),
        };
        labels.extend(more);
        labels
    }

    /// A short name for people, from the labels alone: the same on every node and in every run.
    /// FNV-1a (Fowler, Noll and Vo 1991), folded to 32 bits.
    pub fn fingerprint(&self) -> u32 {
        let labels = self.labels();
        let bytes = labels.iter().flat_map(|(name, value)| {
            name.bytes().chain([0xfe]).chain(value.bytes().collect::<Vec<_>>()).chain([0xff])
        });
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash ^ (hash >> 32)) as u32
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Network => write!(f, "{}", self.kind),
            Subject::Peer(peer) => write!(f, "{} peer={}", self.kind, peer.short()),
            Subject::Transport(transport) => write!(f, "{} transport={transport}", self.kind),
            Subject::Measure(measure) => write!(f, "{} measure={measure}", self.kind),
        }
    }
}

/// Where a number stands against the two thresholds of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Beyond the one that fires.
    Breach,
    /// Between them: what fires goes on, what does not is not begun.
    Between,
    /// On the good side of the one that clears.
    Clear,
}

impl Level {
    /// Of a number that is bad above `fire` and good at or below `clear`.
    pub fn above(value: f64, fire: f64, clear: f64) -> Self {
        if value > fire {
            Self::Breach
        } else if value > clear {
            Self::Between
        } else {
            Self::Clear
        }
    }

    /// Of a number that is bad below `fire` and good at or above `clear`.
    pub fn below(value: f64, fire: f64, clear: f64) -> Self {
        Self::above(-value, -fire, -clear)
    }
}

/// One look at one condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Which alert it is about.
    pub key: AlertKey,
    /// Where it stands.
    pub level: Level,
    /// The number behind it.
    pub value: f64,
    /// What is the case, for people: names what, where, and the threshold.
    pub what: String,
    /// Whether it is about a part of the network that has split off, whose loss is told already.
    pub split_off: bool,
}

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its condition holds, not yet for long enough.
    Pending,
    /// It holds.
    Firing,
    /// It does not hold any more.
    Resolved,
}

/// Why nobody is told of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Muted {
    /// Somebody asked for silence: the number of the silence.
    Silenced(u32),
    /// Another alert says it already.
    Inhibited(AlertKind),
}

/// An alert as seen from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertStatus {
    /// Its identity.
    #[serde(flatten)]
    pub key: AlertKey,
    /// A short name of the identity, in hexadecimal.
    pub name: String,
    /// How bad.
    pub severity: Severity,
    /// Where it is in its life.
    pub state: AlertState,
    /// How long it has been in that state, in milliseconds.
    pub for_ms: u64,
    /// The number behind it when it was last looked at.
    pub value: f64,
    /// What is the case, for people.
    pub what: String,
    /// How often it fired in the last hour; more than once: it flaps.
    pub fired: u32,
    /// Why nobody is told.
    pub muted: Option<Muted>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_exact_at_both_thresholds() {
        for (value, expected) in [
            (0.71, Level::Breach),
            (0.7, Level::Between),
            (0.57, Level::Between),
            (0.56, Level::Clear),
        ] {
            assert_eq!(Level::above(value, 0.7, 0.56), expected, "{value}");
        }
        for (value, expected) in [
            (0.29, Level::Breach),
            (0.3, Level::Between),
            (0.32, Level::Between),
            (0.33, Level::Clear),
        ] {
            assert_eq!(Level::below(value, 0.3, 0.33), expected, "{value}");
        }
    }

    #[test]
    fn kinds_have_numbers_and_names_of_their_own() {
        for (number, kind) in AlertKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(AlertKind::of_name(&kind.name().to_lowercase()), Some(kind));
        }
        assert_eq!(AlertKind::of_name("Partition"), None);
    }

    #[test]
    fn labels_are_what_alertmanager_takes() {
        let peer = PeerId::from_bytes([7; 32]);
        let key = AlertKey { kind: AlertKind::PeerLost, subject: Subject::Peer(peer) };
        let labels: Vec<_> = key.labels().into_iter().collect();
        assert_eq!(
            labels,
            [
                ("alertname", "PeerLost".to_owned()),
                ("peer", peer.to_string()),
                ("severity", "warning".to_owned())
            ]
        );
        let other = AlertKey { subject: Subject::Network, ..key };
        assert_ne!(key.fingerprint(), other.fingerprint());
    }
}
