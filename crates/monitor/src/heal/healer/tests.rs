use std::collections::BTreeSet;

use bitcraps_topology::{
    Components, Cuts, EdgeInfo, Graph, NodeType, Topology, weakness, with_links,
};
use proptest::prelude::*;

use super::*;
use crate::{HealingMode, HealingPolicy, Offer, plan_of};

const BLUETOOTH: TransportType = TransportType::Bluetooth;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn peer(number: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[28..].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn link(transport: TransportType) -> EdgeInfo {
    let rate = bitcraps_types::Kbps::at_least_one(1_000);
    let latency = Duration::from_millis(5);
    EdgeInfo::of_units(transport, latency, rate, bitcraps_types::Ratio::ONE, Timestamp::ZERO)
}

/// A network over Bluetooth.
fn network(peers: u32, links: impl IntoIterator<Item = (u32, u32)>) -> Topology {
    let mut topology = Topology::new(3);
    for number in 0..peers {
        topology.add_node(peer(number), NodeType::Regular, Timestamp::ZERO).unwrap();
    }
    for (a, b) in links {
        topology.add_edge(&peer(a), &peer(b), link(BLUETOOTH)).unwrap();
    }
    topology
}

fn offer((from, to): (u32, u32)) -> Offer {
    Offer { from: peer(from), to: peer(to), transport: BLUETOOTH }
}

fn view(topology: &Topology, pairs: &[(u32, u32)]) -> View {
    View::of(topology, |_, _| true, pairs.iter().copied().map(offer))
}

fn health(peers: u32, partition_risk: f64) -> HealthMetrics {
    let clustering_coefficient = 1.0;
    HealthMetrics {
        peers: peers.into(),
        partition_risk,
        clustering_coefficient,
        ..HealthMetrics::default()
    }
}

fn names(plan: &Plan) -> Vec<(PeerId, PeerId)> {
    plan.links.iter().map(|link| (link.a, link.b)).collect()
}

/// Two groups of three, joined by peer 6.
const BARBELL: [(u32, u32); 8] = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 6), (3, 6)];

fn risk(view: &View) -> Plan {
    plan_of(HealthIssue::HighPartitionRisk, view, &HealingConfig::default(), 64)
}

#[test]
fn a_barbell_gets_the_one_link_that_its_relay_can_be_lost_with() {
    let topology = network(7, BARBELL);
    let plan = risk(&view(&topology, &[(6, 0), (1, 4), (4, 1), (6, 5)]));
    assert_eq!(names(&plan), [(peer(1), peer(4))]);
    let planned = plan.links[0];
    assert_eq!((planned.owner, planned.transport), (peer(1), BLUETOOTH));
    assert_eq!((planned.before, planned.promised), (3.0, 0.0));
    let one_sided = risk(&view(&topology, &[(4, 1)]));
    assert_eq!(one_sided.links[0].owner, peer(4), "who offers, acts");
    assert_eq!(risk(&view(&topology, &[])).links, []);
}

#[test]
fn what_one_end_offers_alone_is_taken_where_what_both_offer_is_not_enough() {
    let topology = network(7, BARBELL);
    let liar = [(0, 3), (0, 4), (0, 5)];
    let honest = [(2, 5), (5, 2)];
    let plan = risk(&view(&topology, &liar));
    assert_eq!(names(&plan), [(peer(0), peer(4))]);
    let plan = risk(&view(&topology, &[&liar[..], &honest].concat()));
    // It leaves two that are not withstood: the ends of it are the only ways out of their groups.
    assert_eq!(names(&plan)[0], (peer(2), peer(5)));
    let honest = [(1, 4), (4, 1)];
    let plan = risk(&view(&topology, &[&liar[..], &honest].concat()));
    assert_eq!(names(&plan), [(peer(1), peer(4))]);
}

#[test]
fn who_does_not_make_what_it_offered_is_not_planned_with_for_a_while() {
    let topology = network(7, BARBELL);
    let view = view(&topology, &[(1, 4), (4, 1)]);
    let mut other = Healer::new(peer(4), HealingConfig::default());
    let look = |other: &mut Healer, millis| {
        other.look(&view, &health(7, 0.71), at(millis));
        other.distrusts(&peer(1), at(millis))
    };
    assert!(!look(&mut other, 0));
    // Both settle, and fifteen seconds for the link.
    assert_eq!(other.next_deadline(), Some(at(16_000)));
    assert!(!look(&mut other, 15_999));
    assert!(look(&mut other, 16_000));
    let until = |other: &Healer, millis| {
        other.distrusts(&peer(1), at(millis - 1)) && !other.distrusts(&peer(1), at(millis))
    };
    assert!(until(&other, 616_000));
    assert!(!look(&mut other, 616_000), "it may try again");
    assert!(!look(&mut other, 631_999) && look(&mut other, 632_000));
    assert!(until(&other, 1_832_000), "twice as long");
    const LATER: u64 = 100_000_000;
    assert!(!look(&mut other, LATER), "one that has behaved is forgotten");
    assert!(!look(&mut other, LATER + 15_999) && look(&mut other, LATER + 16_000));
    assert!(until(&other, LATER + 616_000), "as the first time");

    // Those who are planned with only part of the time owe nothing.
    let mut other = Healer::new(peer(4), HealingConfig::default());
    for (millis, risk) in [(0, 0.71), (8_000, 0.5), (8_001, 0.71), (16_000, 0.71)] {
        other.look(&view, &health(7, risk), at(millis));
    }
    assert!(!other.distrusts(&peer(1), at(16_000)));
}

#[test]
fn a_transport_that_holds_many_links_is_preferred_and_one_that_is_full_left_alone() {
    let topology = network(7, BARBELL);
    let wifi = Offer { transport: TransportType::WiFiDirect, ..offer((4, 1)) };
    let both = View::of(&topology, |_, _| true, [offer((1, 4)), wifi]);
    let plan = risk(&both);
    assert_eq!((plan.links[0].transport, plan.links[0].owner), (wifi.transport, peer(4)));
    for (most, expected) in [(2, 0), (3, 1)] {
        let config = HealingConfig { max_neighbours: [most, 0, 0], ..HealingConfig::default() };
        let plan = plan_of(HealthIssue::HighPartitionRisk, &view(&topology, &[(1, 4)]), &config, 9);
        assert_eq!(plan.links.len(), expected, "{most}");
    }
}

#[test]
fn a_link_is_asked_for_once_and_only_after_its_plan_has_settled() {
    let topology = network(7, BARBELL);
    let view = view(&topology, &[(1, 4)]);
    let of = |number| Healer::new(peer(number), HealingConfig::default());
    let (mut owner, mut other) = (of(1), of(4));
    for (millis, risk, asked) in [
        (0, 0.71, false),
        (499, 0.71, false),
        (500, 0.7, false),
        (501, 0.71, false),
        (1_000, 0.71, false),
        (1_001, 0.71, true),
        (1_002, 0.71, false),
    ] {
        for healer in [&mut owner, &mut other] {
            healer.look(&view, &health(7, risk), at(millis));
        }
        let deed = owner.poll_deed();
        let expected = asked.then_some(Deed::Link { peer: peer(4), transport: BLUETOOTH });
        assert_eq!(deed, expected, "after {millis} ms");
        assert_eq!(other.poll_deed(), None);
    }
    let mut told = of(1);
    told.look(&view, &health(7, 0.71), at(0));
    told.apply(at(0));
    assert!(told.poll_deed().is_some(), "one that is told to does not wait");
    let idle = HealingConfig { acts: false, ..HealingConfig::default() };
    let mut idle = Healer::new(peer(1), idle);
    for millis in [0, 500, 60_000] {
        idle.look(&view, &health(7, 0.71), at(millis));
        assert_eq!((idle.poll_deed(), idle.next_deadline()), (None, None), "after {millis} ms");
    }
    assert_eq!(idle.plans().len(), 1, "it knows what it could do");
    idle.apply(at(60_000));
    assert_eq!(idle.poll_deed(), Some(Deed::Link { peer: peer(4), transport: BLUETOOTH }));
}

#[test]
fn a_repair_is_measured_and_one_that_fails_is_left_alone_for_a_while() {
    let before = network(7, BARBELL);
    let after = network(7, BARBELL.into_iter().chain([(1, 4)]));
    let mut healer = Healer::new(peer(1), HealingConfig::default());
    let candidates = [(1, 4)];
    healer.look(&view(&before, &candidates), &health(7, 1.0), at(0));
    assert_eq!(healer.next_deadline(), Some(at(500)));
    healer.look(&view(&before, &candidates), &health(7, 1.0), at(500));
    assert!(matches!(healer.poll_deed(), Some(Deed::Link { .. })));
    assert_eq!(healer.next_deadline(), Some(at(500) + PATIENCE));
    healer.look(&view(&before, &candidates), &health(7, 1.0), at(500) + PATIENCE);
    assert_eq!(healer.poll_deed(), Some(Deed::Release { peer: peer(4), transport: BLUETOOTH }));
    let failed = at(500) + PATIENCE;
    assert!(healer.shuns(&peer(4), failed) && !healer.shuns(&peer(4), failed + BACKOFF));
    healer.look(
        &view(&before, &candidates),
        &health(7, 1.0),
        failed + BACKOFF - Duration::from_millis(1),
    );
    assert_eq!(healer.poll_deed(), None);
    healer.look(&view(&before, &candidates), &health(7, 1.0), failed + BACKOFF);
    assert!(matches!(healer.poll_deed(), Some(Deed::Link { .. })));
    healer.look(&view(&after, &[]), &health(7, 0.0), failed + BACKOFF + Duration::from_millis(40));
    let repair = *healer.repairs().next().unwrap();
    assert_eq!((repair.outcome, repair.took), (Outcome::Linked, Some(Duration::from_millis(40))));
    assert_eq!((repair.link.promised, repair.measured), (0.0, Some(0.0)));
    assert_eq!(healer.past().next().unwrap().outcome, Outcome::Failed);
    // It was up: what failed before counts no more.
    let lost = failed + BACKOFF * 2;
    healer.look(&view(&before, &candidates), &health(7, 1.0), lost);
    assert_eq!(healer.past().next().unwrap().outcome, Outcome::Lost);
    assert!(matches!(healer.poll_deed(), Some(Deed::Release { .. })));
    let again = lost + Duration::from_millis(500);
    healer.look(&view(&before, &candidates), &health(7, 1.0), again);
    assert!(matches!(healer.poll_deed(), Some(Deed::Link { .. })));
    healer.failed(&peer(4), TransportType::Internet, again);
    assert_eq!(healer.repairs().count(), 1, "another transport was not asked for");
    healer.failed(&peer(4), BLUETOOTH, again);
    assert_eq!(healer.repairs().count(), 0);
    let shunned = again + BACKOFF - Duration::from_millis(1);
    assert!(healer.shuns(&peer(4), shunned) && !healer.shuns(&peer(4), again + BACKOFF));
}

#[test]
fn a_link_that_is_needed_no_more_is_kept_for_a_while_and_longer_the_next_time() {
    let before = network(7, BARBELL);
    let after = network(7, BARBELL.into_iter().chain([(1, 4)]));
    let better = network(7, BARBELL.into_iter().chain([(1, 4), (0, 5)]));
    let mut healer = Healer::new(peer(1), HealingConfig::default());
    let mut now = at(0);
    let mut lasted = Vec::new();
    for _ in 0..2 {
        for _ in 0..2 {
            now += Duration::from_millis(500);
            healer.look(&view(&before, &[(1, 4)]), &health(7, 1.0), now);
        }
        assert!(matches!(healer.poll_deed(), Some(Deed::Link { .. })));
        for _ in 0..1_000 {
            now += Duration::from_secs(5);
            healer.look(&view(&after, &[]), &health(7, 0.0), now);
        }
        assert_eq!(healer.poll_deed(), None, "without it the relay is alone again");
        let since = now;
        while healer.poll_deed().is_none() {
            now += Duration::from_secs(5);
            healer.look(&view(&better, &[]), &health(7, 0.0), now);
        }
        lasted.push(now.since(since).as_secs());
    }
    assert!((563..=945).contains(&lasted[0]), "{lasted:?}");
    assert!((1_163..=1_845).contains(&lasted[1]), "{lasted:?}");
}

#[test]
fn what_breaks_by_itself_is_let_go_and_no_more_is_asked_for_at_once_than_may_be() {
    let star: Vec<(u32, u32)> = (1..24).map(|leaf| (0, leaf)).collect();
    let topology = network(24, star);
    let offers: Vec<(u32, u32)> = (2..24).map(|leaf| (1, leaf)).collect();
    let config = HealingConfig { max_neighbours: [64, 0, 0], ..HealingConfig::default() };
    let mut healer = Healer::new(peer(1), config);
    for millis in [0, 500, 1_000] {
        healer.look(&view(&topology, &offers), &health(24, 1.0), at(millis));
    }
    assert_eq!(healer.plans()[0].links.len(), 22);
    assert_eq!(healer.repairs().count(), MAX_PENDING);
    for failed in 2..24 {
        healer.failed(&peer(failed), BLUETOOTH, at(1_000));
    }
    assert_eq!(healer.repairs().count(), 0);
    assert_eq!(std::iter::from_fn(|| healer.poll_deed()).count(), 2 * MAX_PENDING);
    // Sixteen a minute, whatever happens to them.
    let mut asked = MAX_PENDING;
    for round in 0..20 {
        let now = at(2_000 + round * 500);
        healer.look(&view(&topology, &offers), &health(24, 1.0), now);
        asked += healer.repairs().count();
        (2..24).for_each(|other| healer.failed(&peer(other), BLUETOOTH, now));
    }
    assert_eq!(asked, MAX_IN_WINDOW);
}

#[test]
fn each_issue_gets_links_that_lessen_it() {
    let path: Vec<(u32, u32)> = (0..11).map(|peer| (peer, peer + 1)).collect();
    let star: Vec<(u32, u32)> = (1..8).map(|leaf| (0, leaf)).collect();
    for (issue, peers, links) in [
        (HealthIssue::HighPartitionRisk, 12, &path),
        (HealthIssue::HighDiameter, 12, &path),
        (HealthIssue::LowClustering, 12, &path),
        (HealthIssue::BridgeNodeOverload, 8, &star),
    ] {
        let topology = network(peers, links.clone());
        let absent: Vec<_> = (0..peers)
            .flat_map(|a| (a + 1..peers).map(move |b| (a, b)))
            .filter(|pair| !links.contains(pair))
            .collect();
        let plan = plan_of(issue, &view(&topology, &absent), &HealingConfig::default(), 2);
        assert!(!plan.links.is_empty() && plan.links.len() <= 2, "{issue}: {plan:?}");
        assert!(plan.links.iter().all(|link| link.promised < link.before), "{issue}: {plan:?}");
        assert_eq!(plan_of(issue, &view(&topology, &[]), &HealingConfig::default(), 2).links, []);
    }
}

#[test]
fn issues_hold_on_their_side_of_a_threshold_and_for_networks_with_a_shape() {
    let config = HealingConfig::default();
    let topology = network(7, BARBELL);
    let lasting = view(&topology, &[]);
    let of = |issue, health: &HealthMetrics| config.wanted(issue, &lasting, health) > 0;
    for (issue, holds, not) in [
        (HealthIssue::HighPartitionRisk, health(7, 0.71), health(7, 0.7)),
        (
            HealthIssue::HighDiameter,
            HealthMetrics { network_diameter: 9, ..health(7, 0.0) },
            HealthMetrics { network_diameter: 8, ..health(7, 0.0) },
        ),
        (
            HealthIssue::LowClustering,
            HealthMetrics { clustering_coefficient: 0.29, ..health(4, 0.0) },
            HealthMetrics { clustering_coefficient: 0.29, ..health(3, 0.0) },
        ),
        (
            HealthIssue::BridgeNodeOverload,
            HealthMetrics { bridge_load: Some(0.81), ..health(4, 0.0) },
            HealthMetrics { bridge_load: Some(0.8), ..health(4, 0.0) },
        ),
    ] {
        assert!(of(issue, &holds) && !of(issue, &not), "{issue}");
    }
    // A link that will be gone parts the network before it is: a link for each part beyond one.
    let ending = View::of(&topology, |a, b| (*a.min(b), *a.max(b)) != (peer(2), peer(6)), []);
    let issue = HealthIssue::HighPartitionRisk;
    assert_eq!((ending.parts(), config.wanted(issue, &ending, &health(7, 0.0))), (2, 1));
    let mut policies = config.policies;
    policies[0] = HealingPolicy { links: 0, ..policies[0] };
    assert_eq!(HealingConfig { policies, ..config }.wanted(issue, &ending, &health(7, 1.0)), 0);
    let reactive = HealingConfig { mode: HealingMode::Reactive, ..config };
    assert_eq!(reactive.wanted(issue, &lasting, &health(7, 1.0)), 0);
}

/// Peers, links among them, and pairs that could be.
type Case = (u32, BTreeSet<(u32, u32)>, Vec<(u32, u32)>);

fn networks() -> impl Strategy<Value = Case> {
    (3_u32..24).prop_flat_map(|peers| {
        let pair = (0..peers, 0..peers)
            .prop_filter_map("no pair", |(a, b)| (a != b).then_some((a.min(b), a.max(b))));
        let links = prop::collection::btree_set(pair.clone(), 0..40);
        let ordered = pair.prop_flat_map(|(a, b)| prop_oneof![Just((a, b)), Just((b, a))]);
        (Just(peers), links, prop::collection::vec(ordered, 0..60))
    })
}

fn degrees(graph: &Graph) -> Vec<u32> {
    (0..graph.peers() as u32).map(|peer| graph.degree(peer)).collect()
}

proptest! {
    // Each case is two hours of up to 24 nodes.
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_degree_goes_above_the_limit((peers, links, offers) in networks(), most in 1_u32..8) {
        let topology = network(peers, links);
        let view = view(&topology, &offers);
        let config = HealingConfig { max_neighbours: [most, 0, 0], ..HealingConfig::default() };
        for issue in HealthIssue::ALL {
            let plan = plan_of(issue, &view, &config, 64);
            let pairs: Vec<(u32, u32)> = plan.links.iter().map(|link| {
                (view.position(&link.a).unwrap(), view.position(&link.b).unwrap())
            }).collect();
            let after = degrees(&with_links(view.present(), &pairs));
            for (after, before) in after.into_iter().zip(degrees(view.present())) {
                prop_assert!(after <= most.max(before), "{issue}");
            }
            prop_assert!(plan.links.iter().all(|link| link.promised <= link.before));
        }
    }

    #[test]
    fn nodes_that_know_the_same_plan_the_same((peers, links, mut offers) in networks()) {
        let here = network(peers, links.clone());
        let mut there = Topology::new(99);
        for number in (0..peers).rev() {
            there.add_node(peer(number), NodeType::Relay, at(5)).unwrap();
        }
        for (a, b) in links.iter().rev() {
            there.add_edge(&peer(*b), &peer(*a), link(BLUETOOTH)).unwrap();
        }
        let first = view(&here, &offers);
        offers.reverse();
        let second = view(&there, &offers);
        prop_assert_eq!(&first, &second);
        let plans = |view: &View| HealthIssue::ALL.map(|issue| plan_of(issue, view, &HealingConfig::default(), 8));
        prop_assert_eq!(plans(&first), plans(&second));
    }

    /// Every node heals by itself for two hours: nothing is made twice, and the network ends up as strong
    /// as the candidates allow.
    #[test]
    fn a_network_comes_to_rest(case in networks()) {
        let (peers, links, offers) = &case;
        let rest = two_hours(&case);
        let once: BTreeSet<_> = rest.made.iter().collect();
        prop_assert_eq!(once.len(), rest.made.len(), "made by two, or again after it was dropped");
        let all = links.iter().copied().chain(offers.iter().map(|(a, b)| (*a.min(b), *a.max(b))));
        let best = weakness(view(&network(*peers, all.collect::<BTreeSet<_>>()), &[]).present());
        let end = network(*peers, rest.linked);
        prop_assert_eq!(weakness(view(&end, &[]).present()), best, "{:?} dropped", rest.dropped);
    }
}

/// What healing did in two hours.
struct Rest {
    linked: BTreeSet<(u32, u32)>,
    made: Vec<(u32, u32)>,
    dropped: Vec<(u32, u32)>,
}

/// All look at once and none sees before the next look what others did: every five seconds at first,
/// later seldom, so that what is due at several nodes is due in one look.
fn two_hours((peers, links, offers): &Case) -> Rest {
    let config = HealingConfig { max_neighbours: [64, 0, 0], ..HealingConfig::default() };
    let mut healers: Vec<Healer> = (0..*peers).map(|me| Healer::new(peer(me), config)).collect();
    let mut rest = Rest { linked: links.clone(), made: Vec::new(), dropped: Vec::new() };
    for step in (0..1_440_u64).filter(|step| *step <= 40 || step % 20 == 0) {
        let open: Vec<_> = offers
            .iter()
            .copied()
            .filter(|(a, b)| !rest.linked.contains(&(*a.min(b), *a.max(b))))
            .collect();
        let view = view(&network(*peers, rest.linked.clone()), &open);
        let weak = weakness(view.present());
        let health = health(*peers, if weak > 0 { 1.0 } else { 0.0 });
        for (me, healer) in healers.iter_mut().enumerate() {
            healer.look(&view, &health, at(step * 5_000));
            while let Some(deed) = healer.poll_deed() {
                let (Deed::Link { peer: other, .. }
                | Deed::Release { peer: other, .. }
                | Deed::Unlink { peer: other, .. }) = deed;
                let other = (0..*peers).find(|number| peer(*number) == other).unwrap();
                let pair = (other.min(me as u32), other.max(me as u32));
                match deed {
                    Deed::Link { .. } => {
                        rest.linked.insert(pair);
                        rest.made.push(pair);
                    }
                    Deed::Release { .. } => {}
                    Deed::Unlink { .. } => {
                        rest.linked.remove(&pair);
                        rest.dropped.push(pair);
                    }
                }
            }
        }
    }
    rest
}

/// Nine links join what three parts and four lone peers were, each as planned; then any of two that two
/// peers made can go, and not both. They were due in one look.
#[test]
fn of_two_links_that_stand_in_for_each_other_one_goes_though_both_are_due_at_once() {
    let offers = vec![
        (0, 9),
        (3, 9),
        (7, 2),
        (9, 4),
        (1, 6),
        (9, 0),
        (5, 0),
        (2, 3),
        (9, 3),
        (3, 8),
        (7, 0),
        (4, 5),
    ];
    let rest = two_hours(&(10, BTreeSet::from([(1, 4), (6, 8), (6, 9)]), offers));
    assert_eq!((rest.made.len(), rest.dropped), (9, vec![(0, 9)]));
    assert!(rest.linked.contains(&(3, 9)));
}

/// Every labelled network of five peers, with every pair feasible that is not linked: the plan leaves
/// no single point of failure, and no smaller set of links does.
#[test]
fn small_networks_get_the_fewest_links() {
    let pairs: Vec<(u32, u32)> = (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b))).collect();
    for mask in 0..1_u32 << pairs.len() {
        let of = |mask: u32| -> Vec<(u32, u32)> {
            pairs
                .iter()
                .enumerate()
                .filter(|(at, _)| mask >> at & 1 == 1)
                .map(|(_, p)| *p)
                .collect()
        };
        let (links, absent) = (of(mask), of(!mask));
        let topology = network(5, links);
        let view = view(&topology, &absent);
        let plan = risk(&view);
        let strong = |graph: &Graph| {
            Components::of_graph(graph).count() == 1
                && Cuts::of(graph).articulation_points().is_empty()
        };
        let position = |peer: &PeerId| view.position(peer).unwrap();
        let planned: Vec<_> =
            plan.links.iter().map(|link| (position(&link.a), position(&link.b))).collect();
        assert!(strong(&with_links(view.present(), &planned)), "{mask:b}");
        let fewest = (0..1_u32 << absent.len())
            .filter(|set| {
                let chosen: Vec<_> = absent
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| set >> at & 1 == 1)
                    .map(|(_, p)| *p)
                    .collect();
                strong(&with_links(view.present(), &chosen))
            })
            .map(u32::count_ones)
            .min();
        assert_eq!(Some(planned.len() as u32), fewest, "{mask:b}: {planned:?}");
    }
}
