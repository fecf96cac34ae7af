//! Networks of link-state databases in virtual time: `eval linkstate`. How fast everybody sees a
//! change and at what cost, what is left of the dead, what a partition leaves behind, what a liar
//! achieves. Deaths and flips are told to the neighbours at once: to notice them is the business of
//! whoever measures the links, which is measured with whole engines. Messages across relays are
//! measured between whole nodes over loopback sockets.

mod engines;

use std::collections::BTreeSet;
use std::time::Duration;

use bitcraps_linkstate::forger::{Forger, body, quality};
use bitcraps_linkstate::net::{LinkName, Net, PROBE, facts};
use bitcraps_linkstate::{LinkFacts, MIN_ROOM};
use bitcraps_types::{PeerId, TransportType};

use crate::{Arguments, Failure, Report, Row};

const HOP: Duration = Duration::from_millis(10);
const BLUETOOTH_HOP: Duration = Duration::from_millis(50);
const MINUTE: Duration = Duration::from_secs(60);
/// Resolution of times in networks that are too large to be looked at after each event.
const LOOK: Duration = Duration::from_millis(50);
const LOSS: f64 = 0.05;
/// Inventions that confirm each other.
const INVENTED: usize = 1_000;
/// Databases that take this many of them at most.
const UNVERIFIED: usize = 200;

/// Adds the rows of one subject.
type Group = fn(&Arguments, &mut Report);
/// Adds rows, or tells why there are none.
type Crowd = fn(&Arguments, &mut Report) -> Result<(), Failure>;

/// Adds every row that is wanted.
///
/// # Errors
/// [`Failure::Broken`] when a scenario cannot be run.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let groups: [(&str, Group); 8] = [
        ("flip", flips),
        ("churn", churn),
        ("area", area),
        ("death", deaths),
        ("stale", stale),
        ("merge", merges),
        ("liar", liar),
        ("silence", engines::silence),
    ];
    for (name, group) in groups {
        if arguments.wants(name) {
            report.progress(name);
            group(arguments, report);
        }
    }
    if arguments.wants("hops") {
        report.progress("hops");
        crate::peers::across_relays(arguments, report)?;
    }
    // Minutes, and gigabytes: not for a first look, unless they are asked for by name.
    let crowds: [(&str, Crowd); 2] =
        [("1,000 engines", engines::thousand), ("10,000 engines", engines::ten_thousand)];
    for (name, crowd) in crowds {
        if arguments.wants(name) && (!arguments.quick || arguments.names_a_group()) {
            report.progress(name);
            crowd(arguments, report)?;
        }
    }
    Ok(())
}

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64())
}

fn settled(seed: u64, nodes: usize) -> Net {
    let mut net = Net::geometric(seed, nodes, 8.0, HOP);
    net.run(MINUTE);
    net
}

/// Runs until `done`, looked at every [`LOOK`].
fn time_until(net: &mut Net, limit: Duration, done: impl Fn(&Net) -> bool) -> Option<Duration> {
    let start = net.now;
    while !done(net) {
        if net.now.since(start) >= limit {
            return None;
        }
        net.run(LOOK);
    }
    Some(net.now.since(start))
}

fn flips(arguments: &Arguments, report: &mut Report) {
    let mut net = settled(arguments.seed, 100);
    net.loss = LOSS;
    let bound = 3 * net.diameter() as u32 * HOP;
    let mut times = Vec::new();
    for (a, b) in net.spare_links(arguments.size(100, 20)) {
        for up in [false, true] {
            match up {
                true => net.link(a, b, HOP),
                false => net.unlink(a, b),
            }
            let truth = net.truth();
            times.push(seconds(net.time_until(MINUTE, |net| net.all_see(&truth))) * 1e3);
            net.run(11 * PROBE);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).saturating_sub(1)];
    let name = "a link flips among 100 nodes, 5 % loss: all see it";
    report.push(Row::new(format!("{name}, p50"), at(50), "ms"));
    report.push(Row::new(format!("{name}, p99"), at(99), "ms").at_most(bound.as_millis() as f64));
}

/// Each node gains or loses a link every ten seconds; bytes a second and node.
fn rate_under_churn(net: &mut Net, time: u64) -> f64 {
    let nodes = net.nodes.len();
    let spare = net.spare_links(nodes * 2 / 5);
    let mut up: Vec<_> = spare;
    let mut down = Vec::new();
    let before = net.sent();
    for _ in 0..time {
        for _ in 0..nodes / 20 {
            let lose = down.is_empty() || !up.is_empty() && net.rng.bool();
            let from = if lose { &mut up } else { &mut down };
            let (a, b) = from.swap_remove(net.rng.usize(..from.len()));
            if lose {
                net.unlink(a, b);
                down.push((a, b));
            } else {
                net.link(a, b, HOP);
                up.push((a, b));
            }
        }
        net.run(PROBE);
    }
    (net.sent() - before) as f64 / time as f64 / nodes as f64
}

fn churn(arguments: &Arguments, report: &mut Report) {
    let mut net = settled(arguments.seed + 1, 100);
    net.loss = LOSS;
    let before = net.sent();
    net.run(20 * PROBE);
    let idle = (net.sent() - before) as f64 / 20.0 / 100.0;
    report.push(Row::new("100 nodes at rest, a node sends", idle, "B/s"));
    let rate = rate_under_churn(&mut net, arguments.size(120, 30));
    report.push(
        Row::new("100 nodes, a link of each comes or goes in 10 s, a node sends", rate, "B/s")
            .at_most(2_000.0),
    );
}

fn area(arguments: &Arguments, report: &mut Report) {
    let nodes = arguments.size(1_000, 300);
    let mut net = Net::geometric(arguments.seed + 2, nodes, 8.0, HOP);
    let truth = net.truth();
    let took = time_until(&mut net, 3 * MINUTE, |net| net.is_equal() && net.all_see(&truth));
    let name = format!("{nodes} nodes that know nobody, LAN links");
    report.push(Row::new(format!("{name}: all see all"), seconds(took), "s").at_most(180.0));
    let rate = rate_under_churn(&mut net, arguments.size(10, 5)) / 1e3;
    report.push(
        Row::new(
            format!("{nodes} nodes, a link of each comes or goes in 10 s"),
            rate,
            "kB/s a node",
        )
        .at_most(20.0),
    );
    let nodes = arguments.size(1_024, 36);
    let mut net = bluetooth(arguments.seed + 3, nodes);
    let links = net.links.len() as f64;
    let truth = net.truth();
    let took = time_until(&mut net, 10 * MINUTE, |net| net.is_equal() && net.all_see(&truth));
    let name = format!("{nodes} nodes that know nobody, Bluetooth");
    let rate = net.sent() as f64 / took.map_or(600.0, |took| took.as_secs_f64()) / links / 2.0;
    report.push(Row::new(format!("{name}: all see all"), seconds(took), "s"));
    report.push(
        Row::new(format!("{name}: meanwhile"), rate, "B/s a link's direction").at_most(2_000.0),
    );
}

/// A grid of Bluetooth links of the smallest frames.
fn bluetooth(seed: u64, nodes: usize) -> Net {
    let mut net = Net::new(seed);
    net.loss = 0.02;
    let side = nodes.isqrt();
    for _ in 0..side * side {
        net.add(|config| config.refresh = Duration::from_secs(3_600));
    }
    let facts = LinkFacts { room: MIN_ROOM, ..facts(BLUETOOTH_HOP) };
    for node in 0..side * side {
        if node % side + 1 < side {
            net.link_over(node, node + 1, TransportType::Bluetooth, facts);
        }
        if node + side < side * side {
            net.link_over(node, node + side, TransportType::Bluetooth, facts);
        }
    }
    net
}

fn deaths(arguments: &Arguments, report: &mut Report) {
    let lan = settled(arguments.seed + 4, 100);
    let mut radio = bluetooth(arguments.seed + 5, 36);
    radio.run(3 * MINUTE);
    for (mut net, what, loss, most) in [(lan, "LAN", LOSS, 3.0), (radio, "Bluetooth", 0.02, 10.0)] {
        net.loss = loss;
        let mut worst: f64 = 0.0;
        for _ in 0..arguments.size(10, 3) {
            let dead = net.rng.usize(..net.nodes.len());
            // Whoever is parted from a neighbour of the dead does not hear of it.
            if !net.nodes[dead].alive || !hang_together_without(&net, dead) {
                continue;
            }
            let id = net.nodes[dead].id;
            net.kill(dead);
            let unseen = |net: &Net| {
                net.alive().all(|n| n.view.keys().all(|(a, b, _)| *a != id && *b != id))
            };
            worst = worst.max(seconds(net.time_until(MINUTE, unseen)));
            net.run(10 * PROBE);
        }
        let name = format!("a node dies, {what}: no link of it is seen, worst");
        report.push(Row::new(name, worst, "s").at_most(most));
    }
}

/// Whether those who live reach each other without a node.
fn hang_together_without(net: &Net, without: usize) -> bool {
    let lives = |node: &usize| net.nodes[*node].alive && *node != without;
    let all = (0..net.nodes.len()).filter(lives).count();
    let mut open: Vec<usize> = (0..net.nodes.len()).find(lives).into_iter().collect();
    let mut reached: BTreeSet<usize> = open.iter().copied().collect();
    while let Some(node) = open.pop() {
        open.extend(net.neighbours(node).into_iter().filter(lives).filter(|n| reached.insert(*n)));
    }
    reached.len() == all
}

fn stale(arguments: &Arguments, report: &mut Report) {
    let mut net = Net::new(arguments.seed + 6);
    let refresh = Duration::from_secs(20);
    for _ in 0..30 {
        net.add(|config| config.refresh = refresh);
    }
    for node in 0..30 {
        net.link(node, (node + 1) % 30, HOP);
        net.link(node, (node + 4) % 30, HOP);
    }
    net.run(MINUTE);
    net.loss = LOSS;
    let dead: Vec<usize> = vec![3, 11, 20];
    for node in &dead {
        net.kill(*node);
    }
    // Three refreshes, the search for what is old, and a second of rounding for each hop.
    net.run(refresh * 3 + Duration::from_secs(5 + 6));
    let left = 30 - dead.len();
    let stale = net.alive().map(|node| node.db.origins().abs_diff(left)).sum::<usize>();
    report.push(
        Row::new("origins that died and are known after 3 refreshes", stale as f64, "")
            .at_most(0.0),
    );
}

fn merges(arguments: &Arguments, report: &mut Report) {
    let (mut differences, mut worst, runs) = (0, 0.0_f64, arguments.size(20, 5));
    for run in 0..runs {
        let mut net = Net::new(arguments.seed * 1_000 + run as u64);
        for _ in 0..64 {
            net.add(|config| config.refresh = Duration::from_secs(3_600));
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
        net.loss = LOSS;
        for (a, b) in &between {
            net.unlink(*a, *b);
        }
        net.run(MINUTE);
        for (a, b) in net.spare_links(10) {
            net.unlink(a, b);
            net.run(3 * PROBE);
        }
        let (a, b) = between[net.rng.usize(..between.len())];
        net.link(a, b, HOP);
        let took = net.time_until(2 * PROBE, Net::is_equal);
        differences += usize::from(took.is_none());
        let took = took.or_else(|| net.time_until(MINUTE, Net::is_equal).map(|t| t + 2 * PROBE));
        worst = worst.max(seconds(took));
    }
    let name = format!("two halves of 64 meet, 5 % loss, {runs} times");
    report.push(
        Row::new(format!("{name}: differences after two probe intervals"), differences as f64, "")
            .at_most(0.0),
    );
    report.push(Row::new(format!("{name}: equal, worst"), worst, "s"));
}

fn liar(arguments: &Arguments, report: &mut Report) {
    let mut net = Net::new(arguments.seed + 7);
    for _ in 0..12 {
        net.add(|config| config.max_unverified = UNVERIFIED);
    }
    for node in 0..12 {
        net.link(node, (node + 1) % 12, HOP);
    }
    let honest: Vec<PeerId> = net.nodes.iter().take(11).map(|node| node.id).collect();
    for node in 0..11 {
        for peer in &honest {
            net.nodes[node].db.on_session(peer);
        }
    }
    net.run(10 * PROBE);
    let verified = |net: &Net| -> Vec<BTreeSet<LinkName>> {
        let of = |node: usize| {
            let links = net.nodes[node].view.iter().filter(|(_, link)| link.verified);
            links.map(|(name, _)| *name).collect()
        };
        (0..11).map(of).collect()
    };
    let before = verified(&net);
    let invented: Vec<Forger> = (0..INVENTED).map(|n| Forger::new(5_000 + n, 1)).collect();
    for (number, one) in invented.iter().enumerate() {
        let near =
            |step: usize| (invented[(number + step) % INVENTED].id(), quality(Duration::ZERO));
        let mut links: Vec<_> = [1, 2, INVENTED - 2, INVENTED - 1].into_iter().map(near).collect();
        links.extend(honest.iter().take(4).map(|id| (*id, quality(Duration::ZERO))));
        let part = one.carried(one.record(1, 0, &links));
        for to in [0, 10] {
            net.inject(11, to, body(vec![part.clone()]));
        }
        net.run(Duration::from_millis(20));
    }
    net.run(30 * PROBE);
    let origins = net.nodes.iter().take(11).map(|node| node.db.origins()).max().unwrap_or(0);
    let changed = verified(&net).iter().zip(&before).filter(|(now, then)| now != then).count();
    let name = format!("{INVENTED} invented identities");
    report.push(
        Row::new(
            format!("{name}: origins held, bound of {UNVERIFIED} without a session"),
            origins as f64,
            "",
        )
        .at_most((UNVERIFIED + 12) as f64),
    );
    report.push(
        Row::new(format!("{name}: verified views that changed"), changed as f64, "").at_most(0.0),
    );
}
