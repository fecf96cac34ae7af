use std::time::Duration;

use bitcraps_topology::{Disjoint, LinkIndex, LinkWeight, Snapshot, Topology, disjoint_paths};
use bitcraps_types::PeerId;

/// What a relay takes for a message, whatever the links.
const HOP: Duration = Duration::from_micros(200);
/// A less reliable link is reckoned as if it were this reliable: it costs a thousand times its latency.
const LEAST: f64 = 0.001;

/// The network as it is searched for ways, and what its links cost. It is made when a way is asked for,
/// and follows its links, also when they go and come again, until there is one that it does not have.
#[derive(Debug)]
pub(crate) struct Chart {
    snapshot: Snapshot,
    index: LinkIndex,
    /// By link number.
    costs: Vec<Option<u64>>,
}

impl Chart {
    /// O(n + m log d).
    pub(crate) fn of(topology: &Topology) -> Self {
        let snapshot = topology.snapshot();
        let index = LinkIndex::new(snapshot.graph());
        let costs = topology.weights(&snapshot).iter().map(expected_us).collect();
        Self { snapshot, index, costs }
    }

    /// What is known of the links between two has changed; whether they have a place here. O(log d).
    pub(crate) fn update(&mut self, topology: &Topology, a: &PeerId, b: &PeerId) -> bool {
        let Some((a, b)) = topology.slot_of(a).zip(topology.slot_of(b)) else { return false };
        let ends = self.snapshot.position(a).zip(self.snapshot.position(b));
        let number = ends.and_then(|(a, b)| self.index.find(self.snapshot.graph(), a, b));
        let Some(cost) = number.and_then(|number| self.costs.get_mut(number as usize)) else {
            return false;
        };
        *cost = expected_us(&topology.weight_between(a, b));
        true
    }

    /// Up to `count` ways that share no other peer, the fastest first, both ends included, of those
    /// that begin with somebody for whom `may_begin` holds and lead `round` some. O(count (n + m) log n).
    pub(crate) fn ways(
        &self,
        topology: &Topology,
        (from, to): (&PeerId, &PeerId),
        count: usize,
        may_begin: impl Fn(&PeerId) -> bool,
        round: &[PeerId],
    ) -> Vec<Vec<PeerId>> {
        let position = |peer: &PeerId| self.snapshot.position(topology.slot_of(peer)?);
        let Some((from, to)) = position(from).zip(position(to)) else { return Vec::new() };
        let graph = self.snapshot.graph();
        let named = |position: &u32| topology.peer(self.snapshot.slot(*position)?);
        let barred =
            graph.row(from).iter().filter(|hop| named(hop).is_some_and(|p| !may_begin(&p)));
        let first = barred.map(|hop| (from, *hop));
        let round = round.iter().filter_map(position);
        let round = round.flat_map(|at| graph.row(at).iter().map(move |hop| (at, *hop)));
        let barred = first.chain(round).filter_map(|(a, b)| self.index.find(graph, a, b));
        let barred: Vec<u32> = barred.collect();
        let numbered = (graph, &self.index);
        let find = |costs: &[_]| disjoint_paths(numbered, costs, from, to, count, Disjoint::Peers);
        let ways = if barred.is_empty() {
            find(&self.costs)
        } else {
            let mut costs = self.costs.clone();
            barred.into_iter().for_each(|number| costs[number as usize] = None);
            find(&costs)
        };
        ways.into_iter().map(|way| way.peers.iter().filter_map(named).collect()).collect()
    }
}

/// Time until a message is expected to have passed the link, with its retransmissions, in
/// microseconds; `None` when it never is.
fn expected_us(link: &LinkWeight) -> Option<u64> {
    let reliability = link.reliability.get();
    (reliability > 0.0)
        .then(|| ((link.latency + HOP).as_micros() as f64 / reliability.max(LEAST)) as u64)
}

#[cfg(test)]
mod tests {
    use bitcraps_topology::EdgeInfo;
    use bitcraps_types::{Timestamp, TransportType};

    use super::*;

    #[test]
    fn a_chart_follows_what_is_measured_of_links() {
        let mut rng = fastrand::Rng::with_seed(1);
        let peer = |number: u8| PeerId::from_bytes([number; 32]);
        let mut note = |topology: &mut Topology, a: u8, b: u8, transport| {
            let (latency, reliability) = (f64::from(rng.u16(1..500)), rng.f64());
            let now = Timestamp::from_millis(1);
            let link = EdgeInfo::new(transport, latency, 1_000.0, reliability, now).unwrap();
            topology.note_edge(&peer(a), &peer(b), link, now).unwrap()
        };
        let mut topology = Topology::new(1);
        let pairs: Vec<(u8, u8)> =
            (0..20).flat_map(|a| (a + 1..20).step_by(3).map(move |b| (a, b))).collect();
        for (a, b) in &pairs {
            note(&mut topology, *a, *b, TransportType::WiFiDirect);
            note(&mut topology, *a, *b, TransportType::Bluetooth);
        }
        let mut chart = Chart::of(&topology);
        for (number, (a, b)) in pairs.iter().enumerate() {
            let before = chart.costs.clone();
            let (a, b) = if number % 2 == 0 { (*a, *b) } else { (*b, *a) };
            assert!(!note(&mut topology, a, b, TransportType::WiFiDirect));
            assert!(chart.update(&topology, &peer(a), &peer(b)));
            assert_eq!(chart.costs, Chart::of(&topology).costs);
            assert_ne!(
                chart.costs, before,
                "the fastest of the two has changed, or how often it fails"
            );
        }
        assert!(!chart.update(&topology, &peer(0), &peer(99)), "nobody knows 99");
        assert!(!chart.update(&topology, &peer(0), &peer(2)), "they have never been linked");
        assert_eq!(chart.costs, Chart::of(&topology).costs);
    }

    #[test]
    fn a_link_that_has_gone_is_on_no_way_until_it_comes_again() {
        let peer = |number: u8| PeerId::from_bytes([number; 32]);
        let now = Timestamp::from_millis(1);
        let link = |ms| EdgeInfo::new(TransportType::WiFiDirect, ms, 1.0, 1.0, now).unwrap();
        let mut topology = Topology::new(1);
        for (a, b, latency) in [(0, 1, 1.0), (1, 3, 1.0), (0, 2, 9.0), (2, 3, 9.0)] {
            topology.note_edge(&peer(a), &peer(b), link(latency), now).unwrap();
        }
        let mut chart = Chart::of(&topology);
        let way = |chart: &Chart, topology: &Topology| {
            chart.ways(topology, (&peer(0), &peer(3)), 1, |_| true, &[])
        };
        assert_eq!(way(&chart, &topology), [[0, 1, 3].map(peer)]);
        topology.remove_edge(&peer(1), &peer(3), TransportType::WiFiDirect).unwrap();
        assert!(chart.update(&topology, &peer(1), &peer(3)));
        assert_eq!(way(&chart, &topology), [[0, 2, 3].map(peer)]);
        topology.note_edge(&peer(1), &peer(3), link(1.0), now).unwrap();
        assert!(chart.update(&topology, &peer(3), &peer(1)));
        assert_eq!(way(&chart, &topology), [[0, 1, 3].map(peer)]);
    }

    #[test]
    fn ways_begin_where_they_may() {
        let peer = |number: u8| PeerId::from_bytes([number; 32]);
        let mut topology = Topology::new(1);
        for (a, b, latency) in [(0, 1, 1.0), (1, 3, 1.0), (0, 2, 9.0), (2, 3, 9.0)] {
            let now = Timestamp::from_millis(1);
            let link = EdgeInfo::new(TransportType::WiFiDirect, latency, 1.0, 1.0, now).unwrap();
            topology.note_edge(&peer(a), &peer(b), link, now).unwrap();
        }
        let chart = Chart::of(&topology);
        let ends = (&peer(0), &peer(3));
        let ways =
            |count, bars: u8| chart.ways(&topology, ends, count, |hop| *hop != peer(bars), &[]);
        let by = |hop: u8| vec![peer(0), peer(hop), peer(3)];
        assert_eq!(ways(1, 9), [by(1)]);
        assert_eq!(ways(2, 9), [by(1), by(2)]);
        assert_eq!(ways(2, 1), [by(2)]);
        assert_eq!(chart.ways(&topology, ends, 2, |_| false, &[]), Vec::<Vec<PeerId>>::new());
        let round = |some: &[PeerId]| chart.ways(&topology, ends, 2, |_| true, some);
        assert_eq!(round(&[peer(1)]), [by(2)]);
        assert_eq!(round(&[peer(9), peer(2)]), [by(1)]);
        assert_eq!(round(&[peer(1), peer(2)]), Vec::<Vec<PeerId>>::new());
    }
}
