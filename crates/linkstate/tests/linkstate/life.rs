//! Nodes that die and return, networks that part and meet, records that grow old.

use std::time::Duration;

use bitcraps_linkstate::Command;
use bitcraps_types::Epoch;

use bitcraps_linkstate::net::{Net, PROBE};

const HOP: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);

fn settled(seed: u64, nodes: usize) -> Net {
    let mut net = Net::geometric(seed, nodes, 7.0, HOP);
    net.run(MINUTE);
    assert!(net.is_equal() && net.all_see(&net.truth()));
    net
}

/// Eight by eight nodes; nothing but one row of links joins the two halves.
fn grid() -> (Net, Vec<(usize, usize)>) {
    let mut net = Net::new(9);
    for _ in 0..64 {
        net.add(|config| config.refresh = 60 * MINUTE);
    }
    let mut between = Vec::new();
    for node in 0..64 {
        if node % 8 < 7 {
            net.link(node, node + 1, HOP);
        }
        if node < 56 {
            net.link(node, node + 8, HOP);
        }
        if node % 8 == 3 {
            between.push((node, node + 1));
        }
    }
    net.run(MINUTE);
    assert!(net.is_equal() && net.all_see(&net.truth()));
    (net, between)
}

#[test]
fn two_halves_are_equal_two_probe_intervals_after_they_meet() {
    for seed in 0..8 {
        let (mut net, between) = grid();
        net.rng = fastrand::Rng::with_seed(seed);
        net.loss = 0.05;
        for (a, b) in &between {
            net.unlink(*a, *b);
        }
        net.run(MINUTE);
        // The halves change apart from each other.
        for (a, b) in net.spare_links(10) {
            net.unlink(a, b);
            net.run(3 * PROBE);
        }
        assert!(!net.is_equal());
        let (a, b) = between[seed as usize % between.len()];
        net.link(a, b, HOP);
        let took = net.time_until(30 * PROBE, Net::is_equal).unwrap();
        eprintln!("equal {took:?} after the merge");
        assert!(took <= 2 * PROBE, "seed {seed}: {took:?}");
        net.run(20 * PROBE);
        assert!(net.all_see(&net.truth()));
        net.check();
    }
}

#[test]
fn a_dead_node_is_known_everywhere_at_once_and_a_restarted_one_is_itself() {
    let mut net = settled(20, 60);
    net.loss = 0.05;
    let dead = (0..60).max_by_key(|node| net.neighbours(*node).len()).unwrap();
    let links: Vec<_> = net.neighbours(dead).into_iter().collect();
    net.kill(dead);
    let id = net.nodes[dead].id;
    let unseen =
        |net: &Net| net.alive().all(|n| n.view.keys().all(|(a, b, _)| *a != id && *b != id));
    let took = net.time_until(10 * PROBE, unseen).unwrap();
    eprintln!("a dead node with {} links is known everywhere after {took:?}", links.len());
    assert!(took <= Duration::from_secs(1), "{took:?}");
    net.run(MINUTE);
    net.restart(dead);
    for other in links {
        net.link(dead, other, HOP);
    }
    let truth = net.truth();
    let took = net.time_until(MINUTE, |net| net.is_equal() && net.all_see(&truth)).unwrap();
    assert!(took <= 3 * PROBE, "{took:?}");
    assert_eq!(net.nodes[dead].db.origins(), 60);
    net.check();
}

#[test]
fn no_origin_is_left_after_three_refreshes_and_none_goes_earlier() {
    let mut net = Net::new(5);
    for _ in 0..12 {
        net.add(|config| config.refresh = Duration::from_secs(20));
    }
    for node in 0..12 {
        net.link(node, (node + 1) % 12, HOP);
        net.link(node, (node + 3) % 12, HOP);
    }
    net.run(2 * MINUTE);
    assert!(net.all_see(&net.truth()), "what lives is made again");
    assert!(net.alive().all(|node| node.db.origins() == 12 && node.db.metrics().expired == 0));
    net.kill(4);
    // Its last record may be 20 s old; the origin is held for 60 s from that on.
    net.run(Duration::from_secs(35));
    assert!(net.alive().all(|node| node.db.origins() == 12), "not yet");
    // And five for the search, two for rounding at each hop.
    net.run(Duration::from_secs(25 + 5 + 2));
    assert!(net.alive().all(|node| node.db.origins() == 11 && node.peers.len() == 11));
    net.run(3 * MINUTE);
    assert!(net.alive().all(|node| node.db.origins() == 11), "it does not come back");
    net.check();
}

#[test]
fn a_node_that_finds_itself_in_a_higher_epoch_says_so() {
    let mut net = settled(30, 10);
    net.kill(3);
    net.run(PROBE);
    // Restored from a backup: an epoch that is over.
    let before = net.nodes[0].db.pages();
    net.restart_in(3, Epoch(0));
    let other = 4;
    net.link(3, other, HOP);
    net.run(5 * PROBE);
    let raise = Command::RaiseEpoch { above: Epoch(1) };
    assert!(net.nodes[3].others.contains(&raise), "{:?}", net.nodes[3].others);
    assert_eq!(net.nodes[0].db.pages(), before, "nobody takes what it says of itself");
}

#[test]
fn a_second_device_with_the_key_is_noticed() {
    let mut net = settled(31, 10);
    // The same seed and epoch, at another place.
    net.kill(3);
    net.run(PROBE);
    net.restart_in(3, Epoch(1));
    let other = 8;
    net.link(3, other, HOP);
    net.run(20 * PROBE);
    assert!(net.nodes[3].others.contains(&Command::KeyElsewhere), "{:?}", net.nodes[3].others);
    assert!(net.is_equal(), "and what it says now replaces what was said");
    assert!(net.all_see(&net.truth()));
}

#[test]
fn pedestrian_churn_costs_about_two_kilobytes_a_second() {
    let mut net = settled(40, 100);
    net.loss = 0.05;
    let before = net.sent();
    let seconds = 120;
    let mut gone = Vec::new();
    for _ in 0..seconds {
        // Each node gains or loses a link about every ten seconds.
        for _ in 0..5 {
            if gone.len() < 40 && (gone.is_empty() || net.rng.bool()) {
                let Some(&(a, b)) = net.spare_links(1).first() else { continue };
                net.unlink(a, b);
                gone.push((a, b));
            } else {
                let back = net.rng.usize(..gone.len());
                let (a, b) = gone.swap_remove(back);
                net.link(a, b, HOP);
            }
        }
        net.run(PROBE);
    }
    let rate = (net.sent() - before) as f64 / seconds as f64 / 100.0;
    eprintln!("churn of ten ends a second in a hundred nodes: {rate:.0} B/s a node");
    assert!(rate <= 2_300.0, "{rate} B/s");
    net.run(MINUTE);
    assert!(net.all_see(&net.truth()));
    net.check();
}
