use std::time::Duration;

use super::flow::{Flow, Waiting};
use super::pair::{PATIENCE, Pair};
use super::scene::Mapping::{Dependent, Independent};
use super::scene::Site;
use crate::process::now;

/// Messages that show that a way works: in 8 lanes at 40 ms more than a second of it, which is how
/// long a path may be silent.
const PLENTY: u32 = 400;

/// Longest time without a confirmation after a change of a router: a path is given up after a second
/// of silence, and a message is sent again within another; the rest is for a busy machine.
const RESUMPTION: Duration = Duration::from_secs(8);

/// Longest time to a direct way where one is possible: handshakes, a round of reports to the relay,
/// and a busy machine.
const UPGRADE: Duration = Duration::from_secs(20);

#[expect(clippy::print_stdout, reason = "figures of a run are told with its outcome")]
fn told(what: &str, took: Duration) {
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
}

/// A pair that has just found the direct way.
fn direct_pair() -> Pair {
    let pair = Pair::new([Independent; 2]);
    pair.until_direct();
    pair
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn two_sites_meet_through_the_relay_and_go_on_directly() {
    let mut pair = Pair::new([Independent; 2]);
    let started = now();
    let course = Flow::during(&pair, |flow| {
        flow.settles(1);
        told("first message confirmed, after start", now() - started);
        pair.until_direct();
        let direct = now() - started;
        told("direct, after start", direct);
        assert!(direct < UPGRADE, "direct after {direct:?}");
        flow.settles(PLENTY);
    });
    told("longest time without a confirmation", course.gap());
    course.delivered_once(&mut pair);
}

/// The steps of README.md, "Two people on two networks".
#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn two_strangers_meet_by_an_invitation_that_leads_through_the_relay() {
    let mut pair = Pair::strangers([Independent; 2]);
    let invited = pair.near.ask(&["invite"]).exits(0);
    let invited = invited.complains("https://203.0.113.1");
    let joined = pair.far.ask(&["join", invited.out.trim()]).exits(0);
    assert_eq!(joined.out, format!("joined peer {}; it is admitted here\n", pair.near.id));
    pair.until_direct();
    let outside = pair.scene.sites[0].outside();
    let links = pair.far.ask(&["links"]).exits(0);
    links.prints(&format!(" - {outside}:"));
    pair.far.ask(&["send", &pair.near.id[..6], "hello"]).exits(0).prints("(internet)");
    pair.near.out.until("hello");
    pair.near.ask(&["send", &pair.far.id[..6], "welcome"]).exits(0).prints("(internet)");
    pair.far.out.until("welcome");
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn where_no_hole_can_be_punched_the_relay_carries_on() {
    for mappings in [[Dependent; 2], [Independent, Dependent]] {
        let mut pair = Pair::new(mappings);
        let course = Flow::during(&pair, |flow| {
            flow.settles(PLENTY);
            pair.until_relayed();
        });
        told("relayed: longest time without a confirmation", course.gap());
        course.delivered_once(&mut pair);
    }
}

/// A router's change while messages flow directly.
fn rebound(change: impl Fn(&Site)) {
    let mut pair = direct_pair();
    let course = Flow::during(&pair, |flow| {
        flow.settles(PLENTY);
        let changed = now();
        change(&pair.scene.sites[0]);
        pair.until_direct();
        told("direct again, after the change", now() - changed);
        flow.settles(PLENTY);
    });
    told("resumed, through the relay, after", course.gap());
    assert!(course.gap() < RESUMPTION, "{:?} without a confirmation", course.gap());
    course.delivered_once(&mut pair);
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_router_that_takes_other_ports_loses_no_message() {
    rebound(Site::reboot);
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_router_that_gets_another_address_loses_no_message() {
    rebound(Site::renumber);
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn a_direct_way_outlives_the_relay() {
    let mut pair = direct_pair();
    pair.kill_relay();
    let course = Flow::during(&pair, |flow| {
        flow.settles(PLENTY);
        pair.until_direct();
    });
    told("without a relay: longest time without a confirmation", course.gap());
    course.delivered_once(&mut pair);
}

/// Messages are sent while the relay is away, and it returns when `is_enough`.
fn away(is_enough: impl Fn(&Pair)) {
    let mut pair = Pair::new([Dependent; 2]);
    pair.until_relayed();
    pair.kill_relay();
    pair.near.until_reaches(0);
    pair.far.until_reaches(0);
    let waiting = Waiting::new(&pair, 8);
    is_enough(&pair);
    let returned = now();
    pair.start_relay();
    let course = waiting.settled();
    told("all that waited confirmed, after the relay's return", now() - returned);
    course.delivered_once(&mut pair);
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn messages_wait_for_a_relay_that_returns_soon() {
    away(|_| ());
}

#[test]
#[ignore = "needs a network of its own: cargo xtask test-net"]
fn messages_wait_for_a_relay_that_was_given_up() {
    away(|pair| {
        for node in [&pair.near, &pair.far] {
            node.ask_within(PATIENCE, &["peers", "--addresses", "--json"], |targets| {
                let target = &targets["targets"][0];
                target["linked"] == false && target["failures"].as_u64() >= Some(2)
            });
        }
    });
}
