//! Bluetooth: small frames, slow links, a budget of a kilobyte a second.

use std::time::Duration;

use bitcraps_linkstate::MIN_ROOM;
use bitcraps_types::TransportType;

use bitcraps_linkstate::net::{Net, PROBE, facts};

const HOP: Duration = Duration::from_millis(50);
const BLUETOOTH: TransportType = TransportType::Bluetooth;

fn link(net: &mut Net, a: usize, b: usize, latency: Duration) {
    let facts = bitcraps_linkstate::LinkFacts { room: MIN_ROOM, ..facts(latency) };
    net.link_over(a, b, BLUETOOTH, facts);
}

fn grid(seed: u64, side: usize) -> Net {
    let mut net = Net::new(seed);
    for _ in 0..side * side {
        net.add(|config| config.refresh = Duration::from_secs(3_600));
    }
    for node in 0..side * side {
        if node % side + 1 < side {
            link(&mut net, node, node + 1, HOP);
        }
        if node + side < side * side {
            link(&mut net, node, node + side, HOP);
        }
    }
    net
}

#[test]
fn a_bluetooth_mesh_stays_within_its_budget_and_knows_a_death_in_ten_seconds() {
    let mut net = grid(1, 6);
    net.loss = 0.02;
    let truth = net.truth();
    let mut before = net.nodes.iter().map(|node| node.sent).collect::<Vec<_>>();
    let mut worst = 0.0_f64;
    let mut equal_after = None;
    for second in 1..=180 {
        net.run(PROBE);
        for (node, before) in net.nodes.iter().zip(&mut before) {
            let links =
                net.neighbours(net.nodes.iter().position(|n| n.id == node.id).unwrap()).len();
            worst = worst.max((node.sent - *before) as f64 / links as f64);
            *before = node.sent;
        }
        if net.is_equal() && net.all_see(&truth) && equal_after.is_none() {
            equal_after = Some(second);
        }
    }
    eprintln!(
        "36 nodes over Bluetooth: equal after {equal_after:?} s, at most {worst:.0} B/s a link"
    );
    assert!(equal_after.is_some());
    // A bucket of one second: two kilobytes in the worst second, one on average.
    assert!(worst <= 2_000.0, "{worst}");
    assert!(net.largest <= MIN_ROOM, "{}", net.largest);
    let dead = 14;
    let id = net.nodes[dead].id;
    net.kill(dead);
    let unseen =
        |net: &Net| net.alive().all(|n| n.view.keys().all(|(a, b, _)| *a != id && *b != id));
    let took = net.time_until(Duration::from_secs(60), unseen).unwrap();
    eprintln!("a death is known after {took:?}");
    assert!(took <= Duration::from_secs(10), "{took:?}");
    net.check();
}

#[test]
fn changes_of_quality_wait_the_longer_the_farther_they_are() {
    let mut net = Net::new(2);
    for _ in 0..12 {
        net.add(|config| config.refresh = Duration::from_secs(3_600));
    }
    for node in 0..11 {
        link(&mut net, node, node + 1, HOP);
    }
    net.run(Duration::from_secs(120));
    assert!(net.is_equal());
    let key = {
        let (a, b) = (net.nodes[0].id, net.nodes[1].id);
        (a.min(b), a.max(b), BLUETOOTH)
    };
    let before = net.nodes[11].view[&key].quality;
    link(&mut net, 0, 1, 4 * HOP);
    let start = net.now;
    let mut seen = Vec::new();
    for node in 2..12 {
        let limit = start + Duration::from_secs(60);
        assert!(net.run_until(limit, |net| net.nodes[node].view[&key].quality != before), "{node}");
        seen.push(net.now.since(start));
    }
    eprintln!("a change of quality is seen after {seen:?}");
    assert!(seen[0] < Duration::from_secs(1), "two hops away: {:?}", seen[0]);
    assert!(seen[9] > Duration::from_secs(8), "eleven hops away: {:?}", seen[9]);
    net.run(Duration::from_secs(60));
    assert!(net.is_equal(), "in the end all have it");
    // A link that goes waits for nobody.
    net.unlink_over(0, 1, BLUETOOTH);
    let gone = |net: &Net| !net.nodes[11].view.contains_key(&key);
    let took = net.time_until(Duration::from_secs(20), gone).unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
