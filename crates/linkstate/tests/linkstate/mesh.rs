//! A mesh of a hundred nodes: how fast and at what cost it learns of changes.

use std::time::Duration;

use bitcraps_linkstate::net::{Net, PROBE};

const HOP: Duration = Duration::from_millis(10);

fn mesh(seed: u64, nodes: usize) -> Net {
    let mut net = Net::geometric(seed, nodes, 8.0, HOP);
    let truth = net.truth();
    let took = net.time_until(Duration::from_secs(90), |net| net.is_equal() && net.all_see(&truth));
    assert!(took.is_some(), "a mesh at rest becomes equal");
    net.run(Duration::from_secs(30));
    net.check();
    net
}

#[test]
fn a_mesh_of_a_hundred_learns_every_link() {
    let mut net = mesh(1, 100);
    assert!(net.is_equal() && net.all_see(&net.truth()));
    assert!(net.alive().all(|node| node.db.origins() == 100));
    let before = net.sent();
    net.run(20 * PROBE);
    let rate = (net.sent() - before) as f64 / 20.0 / 100.0;
    eprintln!("at rest: {rate:.0} B/s a node");
    assert!(rate < 1_000.0, "{rate} B/s");
}

#[test]
fn a_link_that_flips_costs_a_tree_and_not_a_flood() {
    let mut net = mesh(2, 100);
    let links = net.spare_links(10);
    let idle = {
        let before = net.sent();
        net.run(20 * PROBE);
        (net.sent() - before) / 20
    };
    let mut cost = 0;
    let flips = links.len();
    for (a, b) in links {
        let before = net.sent();
        net.unlink(a, b);
        let truth = net.truth();
        let took = net.time_until(2 * PROBE, |net| net.is_equal() && net.all_see(&truth));
        assert!(took.is_some(), "after two probe intervals");
        net.run(2 * PROBE - took.unwrap());
        cost += net.sent() - before - 2 * idle;
        net.run(10 * PROBE);
        net.link(a, b, HOP);
        net.run(30 * PROBE);
        assert!(net.all_see(&net.truth()));
    }
    // Both ends publish a delta of one link.
    let change = cost / flips as u64 / 2;
    let flood = 2 * net.links.len() as u64 * (92 + 20);
    eprintln!("one change: {change} B in the whole network, flooding {flood} B");
    assert!(change * 2 < flood, "{change} B against {flood} B");
}

/// A percentile of what was measured.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).saturating_sub(1)]
}

#[test]
fn views_are_equal_within_three_diameters_of_hops_with_losses() {
    let mut net = mesh(3, 100);
    net.loss = 0.05;
    let bound = 3 * net.diameter() as u32 * HOP;
    let mut times = Vec::new();
    for (a, b) in net.spare_links(20) {
        for up in [false, true] {
            match up {
                true => net.link(a, b, HOP),
                false => net.unlink(a, b),
            }
            let truth = net.truth();
            let took = net.time_until(10 * PROBE, |net| net.all_see(&truth));
            times.push(took.expect("ten seconds are enough for anything"));
            net.run(11 * PROBE);
        }
    }
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    eprintln!("after a flip: p50 {p50:?}, p99 {p99:?}, bound {bound:?}");
    assert!(p99 <= bound, "{p99:?} above {bound:?}");
}
