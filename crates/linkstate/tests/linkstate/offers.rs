//! Links that are not there and could be.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_linkstate::Privacy;
use bitcraps_linkstate::net::{Net, PROBE};
use bitcraps_types::{PeerId, TransportType};

const HOP: Duration = Duration::from_millis(10);
const OVER: TransportType = TransportType::Bluetooth;

type Offer = (PeerId, PeerId, TransportType);

/// A chain of five.
fn chain(privacy: Privacy) -> Net {
    let mut net = Net::new(7);
    for node in 0..5 {
        net.add(|config| {
            if node == 0 {
                config.privacy = privacy;
            }
        });
    }
    for node in 0..4 {
        net.link(node, node + 1, HOP);
    }
    net.run(20 * PROBE);
    net
}

fn offer(net: &mut Net, from: usize, to: &[usize]) {
    let peers: BTreeSet<_> = to.iter().map(|to| (net.nodes[*to].id, OVER)).collect();
    let now = net.now;
    net.nodes[from].db.set_offers(peers, now);
    net.drain(from);
    net.run(20 * PROBE);
}

fn offers(net: &Net, node: usize) -> BTreeSet<Offer> {
    net.nodes[node].db.offers().collect()
}

#[test]
fn everybody_learns_of_an_offer_and_nobody_takes_it_for_a_link() {
    let mut net = chain(Privacy::Neighbours);
    let links = net.truth();
    offer(&mut net, 0, &[4, 3]);
    let [zero, three, four] = [0, 3, 4].map(|node| net.nodes[node].id);
    let both = BTreeSet::from([(zero, three, OVER), (zero, four, OVER)]);
    for node in 0..5 {
        assert_eq!(offers(&net, node), both, "node {node}");
        assert!(net.nodes[node].flagged.is_empty(), "node {node}");
    }
    assert!(net.all_see(&links) && net.is_equal());
    net.check();
    offer(&mut net, 0, &[4]);
    let one = BTreeSet::from([(zero, four, OVER)]);
    assert!((0..5).all(|node| offers(&net, node) == one), "one that is taken back is gone");
    offer(&mut net, 0, &[1]);
    let near = BTreeSet::from([(zero, net.nodes[1].id, OVER)]);
    assert!(
        (0..5).all(|node| offers(&net, node) == near),
        "a neighbour may be offered another transport"
    );
    assert!(net.all_see(&links));
}

#[test]
fn a_pseudonym_names_nobody() {
    let mut net = chain(Privacy::Pseudonym);
    offer(&mut net, 0, &[3, 4]);
    assert!((0..5).all(|node| offers(&net, node).is_empty()));
}

#[test]
fn a_link_that_comes_is_told_at_once_however_often_offers_changed() {
    let mut net = chain(Privacy::Neighbours);
    for node in [0, 4] {
        for turn in 0..20 {
            let far = net.nodes[2 + turn % 2].id;
            let now = net.now;
            net.nodes[node].db.set_offers(BTreeSet::from([(far, OVER)]), now);
            net.drain(node);
            net.run(PROBE / 4);
        }
    }
    // The one that comes after it is still in reserve; then the ends have to wait.
    for (a, b) in [(0, 4), (0, 2)] {
        net.link(a, b, HOP);
        net.run(PROBE / 2);
        let truth = net.truth();
        assert!(net.all_see(&truth), "{a} - {b}");
    }
    net.check();
}
