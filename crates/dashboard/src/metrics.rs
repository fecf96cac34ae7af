use bitcraps_monitor::{AlertKind, Betting, HealthMetrics};
use bitcraps_node::admin::MetricsReport;
use bitcraps_types::PeerId;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::latencies::Latencies;

/// What every name begins with.
const PREFIX: &str = "coordination";

/// Why metrics are not shown. A name or a label that breaks the rules of Prometheus: a mistake in this
/// crate, not in what was measured.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be shown: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

/// A node's metrics, in a registry of their own: several nodes may live in one process. Every series
/// has the label `node`.
#[derive(Debug)]
pub struct CoordinationMetrics {
    registry: Registry,
    network_diameter: Gauge,
    clustering_coefficient: Gauge,
    partition_risk: Gauge,
    /// Articulation points.
    bridge_node_count: Gauge,
    /// Links whose loss splits the network.
    critical_links: Gauge,
    peers: Gauge,
    linked_pairs: Gauge,
    components: Gauge,
    look_age: Gauge,
    betting_open: IntGauge,
    alerts_firing: IntGaugeVec,
    /// Attempts and how they ended, from which the rate follows.
    transport_success_rate: IntCounterVec,
    transport_latency: Latencies,
    transport_bytes: IntCounterVec,
    failover_events: IntCounterVec,
    packet_routing_time: Latencies,
    /// Frames and messages that were refused, dropped or repeated.
    coordination_errors: IntCounterVec,
    messages_delivered: IntCounterVec,
    messages_settled: IntCounterVec,
    relayed_bytes: IntCounter,
}

/// Registers things, one after the other.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn put<C: Collector + Clone + 'static>(
        &self,
        made: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.put(Gauge::new(name, help))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.put(IntCounterVec::new(Opts::new(name, help), labels))
    }
}

/// Counters of reports grow only; one that was shown is never taken back.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

impl CoordinationMetrics {
    /// Of a node; nothing measured yet.
    ///
    /// # Errors
    /// [`EncodeError`]: never, for the names and labels that are here.
    pub fn new(node: PeerId) -> Result<Self, EncodeError> {
        let labels = [("node".to_owned(), node.to_string())].into_iter().collect();
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), Some(labels))?;
        let of = Registrar(&registry);
        let latencies = |name, help, label| of.put(Latencies::new(name, help, label));
        Ok(Self {
            network_diameter: of
                .gauge("network_diameter_hops", "Diameter of the largest part of the network.")?,
            clustering_coefficient: of.gauge(
                "clustering_coefficient_ratio",
                "Average local clustering coefficient of peers with two neighbours or more.",
            )?,
            partition_risk: of.gauge(
                "partition_risk_ratio",
                "Probability that the network splits materially within the horizon.",
            )?,
            bridge_node_count: of.gauge("bridge_nodes", "Peers whose loss splits the network.")?,
            critical_links: of.gauge("bridge_links", "Links whose loss splits the network.")?,
            peers: of.gauge("network_peers", "Peers that are seen, this one included.")?,
            linked_pairs: of.gauge("network_linked_pairs", "Pairs of peers that are linked.")?,
            components: of.gauge("network_parts", "Parts between which no link leads.")?,
            look_age: of.gauge(
                "network_look_age_seconds",
                "Time since the network was looked at, from which the values above are.",
            )?,
            betting_open: of.put(IntGauge::new(
                "betting_open",
                "1 while the risk of a split is low enough to bet, 0 while bets pause.",
            ))?,
            alerts_firing: of.put(IntGaugeVec::new(
                Opts::new("alerts_firing", "Alerts that fire, muted ones included."),
                &["alertname", "severity"],
            ))?,
            transport_success_rate: of.counters(
                "transport_transmissions_total",
                "Transmissions of messages, by how they ended.",
                &["transport", "result"],
            )?,
            transport_latency: latencies(
                "transport_latency_seconds",
                "From send to acknowledgement by the destination, up to 10 % too long.",
                Some("transport"),
            )?,
            transport_bytes: of.counters(
                "transport_sent_bytes_total",
                "Bytes of frames handed over, everything included.",
                &["transport"],
            )?,
            failover_events: of.counters(
                "failover_events_total",
                "Messages that moved away from a transport to another link.",
                &["transport"],
            )?,
            packet_routing_time: latencies(
                "packet_routing_time_seconds",
                "From send to the first transmission, up to 10 % too long.",
                None,
            )?,
            coordination_errors: of.counters(
                "errors_total",
                "Frames and messages that were refused or dropped, by reason.",
                &["reason"],
            )?,
            messages_delivered: of.counters(
                "messages_delivered_total",
                "Messages that their destination acknowledged.",
                &["class"],
            )?,
            messages_settled: of.counters(
                "messages_settled_total",
                "Messages that came to an end: delivered, expired, or of unknown fate.",
                &["class"],
            )?,
            relayed_bytes: of
                .put(IntCounter::new("relayed_bytes_total", "Bytes handed on for other nodes."))?,
            registry,
        })
    }

    /// Takes up what the node says of itself.
    pub fn update(&self, report: &MetricsReport) {
        self.update_network(report.network.as_ref());
        self.look_age.set(report.looked_ms.map_or(f64::NAN, |ms| ms as f64 / 1e3));
        self.betting_open.set(i64::from(report.betting == Betting::Open));
        for kind in AlertKind::ALL {
            let firing = report.alerts_firing.get(kind.name()).copied().unwrap_or_default();
            let gauge =
                self.alerts_firing.with_label_values(&[kind.name(), kind.severity().name()]);
            gauge.set(i64::try_from(firing).unwrap_or(i64::MAX));
        }
        for (transport, traffic) in &report.transports {
            let name = transport.to_string();
            for (result, count) in [("success", traffic.successes), ("failure", traffic.failures)] {
                raise(&self.transport_success_rate.with_label_values(&[&name, result]), count);
            }
            raise(&self.transport_bytes.with_label_values(&[&name]), traffic.bytes);
            raise(&self.failover_events.with_label_values(&[&name]), traffic.failovers);
        }
        for (transport, steps) in &report.transport_latency_us {
            self.transport_latency.set(&transport.to_string(), steps);
        }
        self.packet_routing_time.set("", &report.packet_routing_us);
        for (reason, count) in &report.counters {
            if !USUAL.contains(&reason.as_str()) {
                raise(&self.coordination_errors.with_label_values(&[reason]), *count);
            }
        }
        for (class, messages) in &report.messages {
            let name = class.to_string();
            raise(&self.messages_delivered.with_label_values(&[&name]), messages.delivered);
            raise(&self.messages_settled.with_label_values(&[&name]), messages.settled);
        }
        raise(&self.relayed_bytes, report.relayed_bytes);
    }

    /// Not a number before the first look: nothing is known then.
    fn update_network(&self, network: Option<&HealthMetrics>) {
        let show = |gauge: &Gauge, value: fn(&HealthMetrics) -> f64| {
            gauge.set(network.map_or(f64::NAN, value));
        };
        show(&self.network_diameter, |network| f64::from(network.network_diameter));
        show(&self.clustering_coefficient, |network| network.clustering_coefficient);
        show(&self.partition_risk, |network| network.partition_risk);
        show(&self.bridge_node_count, |network| network.articulation_points as f64);
        show(&self.critical_links, |network| network.bridges as f64);
        show(&self.peers, |network| network.peers as f64);
        show(&self.linked_pairs, |network| network.links as f64);
        show(&self.components, |network| network.components as f64);
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// [`EncodeError`]: never, for the names and labels that are here.
    pub fn encode(&self) -> Result<String, EncodeError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// What a node counts and is no error.
const USUAL: [&str; 4] = ["delivered", "failovers", "hedges", "switches"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bitcraps_node::admin::MessagesReport;
    use bitcraps_types::{TrafficClass, TransportType};

    use super::*;

    fn report() -> MetricsReport {
        MetricsReport {
            node: PeerId::from_bytes([7; 32]),
            network: Some(HealthMetrics {
                peers: 5,
                network_diameter: 3,
                articulation_points: 2,
                partition_risk: 0.25,
                ..HealthMetrics::default()
            }),
            looked_ms: Some(1_500),
            betting: Betting::Paused,
            alerts_firing: BTreeMap::from([("PeerLost".to_owned(), 2)]),
            messages: BTreeMap::from([(
                TrafficClass::Critical,
                MessagesReport { delivered: 8, settled: 9 },
            )]),
            transports: BTreeMap::new(),
            transport_latency_us: BTreeMap::from([(TransportType::WiFiDirect, vec![(900, 4)])]),
            packet_routing_us: vec![(1, 9)],
            relayed_bytes: 77,
            counters: BTreeMap::from([("late".to_owned(), 3), ("delivered".to_owned(), 5)]),
        }
    }

    #[track_caller]
    fn assert_shows(text: &str, name: &str, labels: &str, value: &str) {
        let node = "07".repeat(32);
        let line = format!("coordination_{name}{{{}}} {value}", labels.replace("NODE", &node));
        assert!(text.lines().any(|shown| shown == line), "no {line:?} in\n{text}");
    }

    #[test]
    fn what_the_node_says_is_shown_under_names_in_base_units() {
        let metrics = CoordinationMetrics::new(PeerId::from_bytes([7; 32])).unwrap();
        metrics.update(&report());
        let text = metrics.encode().unwrap();
        let node = "node=\"NODE\"";
        assert_shows(&text, "network_diameter_hops", node, "3");
        assert_shows(&text, "bridge_nodes", node, "2");
        assert_shows(&text, "partition_risk_ratio", node, "0.25");
        assert_shows(&text, "network_look_age_seconds", node, "1.5");
        assert_shows(&text, "betting_open", node, "0");
        let lost = "alertname=\"PeerLost\",severity=\"warning\",node=\"NODE\"";
        assert_shows(&text, "alerts_firing", lost, "2");
        assert_shows(&text, "messages_settled_total", "class=\"critical\",node=\"NODE\"", "9");
        assert_shows(&text, "errors_total", "reason=\"late\",node=\"NODE\"", "3");
        assert!(!text.contains("reason=\"delivered\""), "{text}");
        let bucket = "transport=\"wifi\",node=\"NODE\",le=\"0.001\"";
        assert_shows(&text, "transport_latency_seconds_bucket", bucket, "4");
        assert_shows(&text, "packet_routing_time_seconds_count", node, "9");
    }

    #[test]
    fn nothing_is_known_of_the_network_before_the_first_look() {
        let metrics = CoordinationMetrics::new(PeerId::from_bytes([7; 32])).unwrap();
        metrics.update(&MetricsReport { network: None, ..report() });
        let text = metrics.encode().unwrap();
        for name in ["network_peers", "partition_risk_ratio", "network_parts"] {
            assert_shows(&text, name, "node=\"NODE\"", "NaN");
        }
    }

    #[test]
    fn counters_follow_the_node_and_are_never_taken_back() {
        let metrics = CoordinationMetrics::new(PeerId::from_bytes([7; 32])).unwrap();
        for (relayed, shown) in [(77, "77"), (77, "77"), (100, "100"), (5, "100")] {
            metrics.update(&MetricsReport { relayed_bytes: relayed, ..report() });
            let text = metrics.encode().unwrap();
            assert_shows(&text, "relayed_bytes_total", "node=\"NODE\"", shown);
        }
    }

    #[test]
    fn nodes_of_one_process_have_registries_of_their_own() {
        let [one, other] =
            [1, 2].map(|byte| CoordinationMetrics::new(PeerId::from_bytes([byte; 32])).unwrap());
        one.update(&report());
        assert!(one.encode().unwrap().contains(&"01".repeat(32)));
        assert!(!other.encode().unwrap().contains(&"01".repeat(32)));
    }
}
