use bitcraps_topology::TopologyReport;
use bitcraps_types::{TrafficClass, TransportType};
use serde::{Deserialize, Serialize};

use crate::load::Basis;
use crate::{Facts, Measure};

/// The network at one time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct HealthMetrics {
    /// Peers that are seen.
    pub peers: u64,
    /// Linked pairs.
    pub links: u64,
    /// Diameter of the largest part, in hops.
    pub network_diameter: u32,
    /// Average local clustering coefficient of the peers with two neighbours or more, 0 to 1.
    pub clustering_coefficient: f64,
    /// Probability of a material split within the horizon, 0 to 1; 1 when there is one now.
    pub partition_risk: f64,
    /// Parts of the network.
    pub components: u64,
    /// Peers whose loss splits the network: the seed's bridge nodes.
    pub articulation_points: u64,
    /// Links whose loss splits the network.
    pub bridges: u64,
    /// Neighbours of a peer, on average.
    pub average_degree: f64,
    /// Load of the most loaded articulation point, 0 to 1; `None` when there is none.
    pub bridge_load: Option<f64>,
    /// Where that number is from.
    pub bridge_load_basis: Option<Basis>,
    /// Share of frames that links deliver, averaged over pairs; `None` without links.
    pub link_reliability: Option<f64>,
    /// Latency of links in seconds, averaged over pairs.
    pub link_latency_seconds: Option<f64>,
    /// Share of this node's messages since the tick before that were confirmed, by class, in the order of
    /// [`TrafficClass::ALL`]; `None` where none was settled.
    pub delivery: [Option<f64>; TrafficClass::COUNT],
    /// Share of this node's transmissions since the tick before that were confirmed, by transport, in the
    /// order of [`TransportType::ALL`].
    pub transport_success: [Option<f64>; TransportType::COUNT],
    /// Share of frames that this node's own links deliver, averaged over links; `None` without links.
    pub own_reliability: Option<f64>,
}

impl HealthMetrics {
    /// Of a report, with what this node measured since `before`.
    pub(crate) fn of(report: &TopologyReport, facts: &Facts, before: Option<&Facts>) -> Self {
        let measures = &report.measures;
        let peers = measures.peers as u64;
        let links = measures.links as u64;
        Self {
            peers,
            links,
            network_diameter: measures.diameter,
            clustering_coefficient: measures.average_clustering_deg2,
            partition_risk: report.risk.p_split.value,
            components: measures.components as u64,
            articulation_points: measures.articulation_points as u64,
            bridges: measures.bridges as u64,
            average_degree: if peers == 0 { 0.0 } else { 2.0 * links as f64 / peers as f64 },
            bridge_load: None,
            bridge_load_basis: None,
            link_reliability: facts.link_reliability,
            link_latency_seconds: facts.link_latency.map(|latency| latency.as_secs_f64()),
            delivery: std::array::from_fn(|class| {
                facts.delivery[class].share_since(before.map(|before| before.delivery[class]))
            }),
            transport_success: std::array::from_fn(|kind| {
                facts.transports[kind].share_since(before.map(|before| before.transports[kind]))
            }),
            own_reliability: facts.own_reliability,
        }
    }

    /// One number of it; `None` when there was nothing to measure.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Peers => Some(self.peers as f64),
            Measure::Links => Some(self.links as f64),
            Measure::Components => Some(self.components as f64),
            Measure::Diameter => Some(f64::from(self.network_diameter)),
            Measure::Clustering => Some(self.clustering_coefficient),
            Measure::PartitionRisk => Some(self.partition_risk),
            Measure::ArticulationPoints => Some(self.articulation_points as f64),
            Measure::Bridges => Some(self.bridges as f64),
            Measure::AverageDegree => Some(self.average_degree),
            Measure::BridgeLoad => self.bridge_load,
            Measure::LinkReliability => self.link_reliability,
            Measure::LinkLatency => self.link_latency_seconds,
            Measure::DeliveryRealtime => self.delivery[TrafficClass::Realtime.index()],
            Measure::DeliveryCritical => self.delivery[TrafficClass::Critical.index()],
            Measure::DeliveryBackground => self.delivery[TrafficClass::Background.index()],
            Measure::DeliveryBulk => self.delivery[TrafficClass::Bulk.index()],
            Measure::SuccessBluetooth => self.transport_success[TransportType::Bluetooth.index()],
            Measure::SuccessWifi => self.transport_success[TransportType::WiFiDirect.index()],
            Measure::SuccessInternet => self.transport_success[TransportType::Internet.index()],
            Measure::OwnReliability => self.own_reliability,
        }
    }
}
