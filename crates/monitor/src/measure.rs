use std::fmt;

use bitcraps_types::{TrafficClass, TransportType};
use serde::{Deserialize, Serialize};

/// A number that is looked at on each tick, and kept over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Peers that are seen.
    Peers,
    /// Linked pairs.
    Links,
    /// Parts of the network.
    Components,
    /// Diameter of the largest part, in hops.
    Diameter,
    /// Clustering coefficient, 0 to 1.
    Clustering,
    /// Probability of a material split within the horizon, 0 to 1.
    PartitionRisk,
    /// Peers whose loss splits the network.
    ArticulationPoints,
    /// Links whose loss splits the network.
    Bridges,
    /// Neighbours of a peer, on average.
    AverageDegree,
    /// Load of the most loaded articulation point, 0 to 1.
    BridgeLoad,
    /// Share of frames that links deliver, averaged over pairs.
    LinkReliability,
    /// Latency of links in seconds, averaged over pairs.
    LinkLatency,
    /// Share of this node's dice rolls and the like that were confirmed.
    DeliveryRealtime,
    /// Share of its bets and the like.
    DeliveryCritical,
    /// Share of its chat and the like.
    DeliveryBackground,
    /// Share of its state and the like.
    DeliveryBulk,
    /// Share of this node's transmissions over Bluetooth that were confirmed.
    SuccessBluetooth,
    /// Over the local network.
    SuccessWifi,
    /// Over the internet.
    SuccessInternet,
    /// Share of frames that this node's own links deliver, as it measures them itself, averaged over
    /// links: a loss of what it sends shows here at once, and thinned by nothing.
    OwnReliability,
}

impl Measure {
    /// How many there are.
    pub const COUNT: usize = 20;
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Peers,
        Self::Links,
        Self::Components,
        Self::Diameter,
        Self::Clustering,
        Self::PartitionRisk,
        Self::ArticulationPoints,
        Self::Bridges,
        Self::AverageDegree,
        Self::BridgeLoad,
        Self::LinkReliability,
        Self::LinkLatency,
        Self::DeliveryRealtime,
        Self::DeliveryCritical,
        Self::DeliveryBackground,
        Self::DeliveryBulk,
        Self::SuccessBluetooth,
        Self::SuccessWifi,
        Self::SuccessInternet,
        Self::OwnReliability,
    ];

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What was delivered of a class.
    pub const fn delivery(class: TrafficClass) -> Self {
        match class {
            TrafficClass::Realtime => Self::DeliveryRealtime,
            TrafficClass::Critical => Self::DeliveryCritical,
            TrafficClass::Background => Self::DeliveryBackground,
            TrafficClass::Bulk => Self::DeliveryBulk,
        }
    }

    /// What was confirmed over a transport.
    pub const fn success(transport: TransportType) -> Self {
        match transport {
            TransportType::Bluetooth => Self::SuccessBluetooth,
            TransportType::WiFiDirect => Self::SuccessWifi,
            TransportType::Internet => Self::SuccessInternet,
        }
    }

    /// Whether it is a whole number that grows and shrinks by one.
    pub const fn is_count(self) -> bool {
        match self {
            Self::Peers
            | Self::Links
            | Self::Components
            | Self::Diameter
            | Self::ArticulationPoints
            | Self::Bridges => true,
            Self::Clustering
            | Self::PartitionRisk
            | Self::AverageDegree
            | Self::BridgeLoad
            | Self::LinkReliability
            | Self::LinkLatency
            | Self::DeliveryRealtime
            | Self::DeliveryCritical
            | Self::DeliveryBackground
            | Self::DeliveryBulk
            | Self::SuccessBluetooth
            | Self::SuccessWifi
            | Self::SuccessInternet
            | Self::OwnReliability => false,
        }
    }

    /// Deviations below this mean nothing to people: one of what is counted, a few percent of a share,
    /// two milliseconds.
    pub const fn resolution(self) -> f64 {
        match self {
            Self::Peers
            | Self::Links
            | Self::Components
            | Self::Diameter
            | Self::ArticulationPoints
            | Self::Bridges => 1.0,
            Self::AverageDegree => 0.5,
            Self::Clustering | Self::PartitionRisk | Self::BridgeLoad => 0.05,
            Self::LinkReliability | Self::OwnReliability => 0.02,
            Self::LinkLatency => 0.002,
            Self::DeliveryRealtime
            | Self::DeliveryCritical
            | Self::DeliveryBackground
            | Self::DeliveryBulk
            | Self::SuccessBluetooth
            | Self::SuccessWifi
            | Self::SuccessInternet => 0.05,
        }
    }

    /// Lower-case name, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Links => "links",
            Self::Components => "components",
            Self::Diameter => "diameter",
            Self::Clustering => "clustering",
            Self::PartitionRisk => "partition_risk",
            Self::ArticulationPoints => "articulation_points",
            Self::Bridges => "bridges",
            Self::AverageDegree => "average_degree",
            Self::BridgeLoad => "bridge_load",
            Self::LinkReliability => "link_reliability",
            Self::LinkLatency => "link_latency",
            Self::DeliveryRealtime => "delivery_realtime",
            Self::DeliveryCritical => "delivery_critical",
            Self::DeliveryBackground => "delivery_background",
            Self::DeliveryBulk => "delivery_bulk",
            Self::SuccessBluetooth => "success_bluetooth",
            Self::SuccessWifi => "success_wifi",
            Self::SuccessInternet => "success_internet",
            Self::OwnReliability => "own_reliability",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_at_its_number_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        for (number, measure) in Measure::ALL.iter().enumerate() {
            assert_eq!(measure.index(), number, "{measure}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Measure::COUNT);
    }
}
