//! Links that come and go.

use std::time::Duration;

use bitcraps_coordinator::{LinkChange, Notice};
use bitcraps_sim::{LinkModel, SimLink};
use bitcraps_types::{Timestamp, TrafficClass, TransportType};
use bitcraps_wire::Body;

use super::scene::{MS, Pair, SECOND, each_seed, single};

/// Half a period of 10 Hz.
const HALF: Duration = Duration::from_millis(50);

/// Runs for `duration` in steps of a millisecond; when `a` changed its mind about a link.
fn switches(pair: &mut Pair, duration: Duration) -> Vec<Timestamp> {
    let seen = |pair: &Pair| pair.sim.core(pair.a).unwrap().counters().switches;
    let mut known = seen(pair);
    let mut found = Vec::new();
    let end = pair.sim.now() + duration;
    while pair.sim.now() < end {
        pair.sim.run_for(MS);
        found.extend((known..seen(pair)).map(|_| pair.sim.now()));
        known = seen(pair);
    }
    found
}

/// A return to a link may have to be followed by leaving it at once, so two switches in a row say
/// nothing; three within two seconds are more than one a second.
fn assert_damped(switches: &[Timestamp]) {
    let close = switches.windows(3).find(|three| three[2].since(three[0]) < 2 * SECOND);
    assert_eq!(close, None, "all of them: {switches:?}");
}

fn flapping_reports(pair: &Pair, link: SimLink) -> usize {
    let told = pair.changes(link);
    told.iter().filter(|(_, change)| *change == LinkChange::Flapping).count()
}

#[test]
fn fault_01_flapping_link_switches_at_most_once_a_second_and_loses_nothing() {
    for class in [TrafficClass::Realtime, TrafficClass::Critical] {
        for silent in [true, false] {
            each_seed(|seed| {
                let mut pair = Pair::new(seed, LinkModel::wifi(), LinkModel::bluetooth_le());
                pair.sim.flap(pair.used, [HALF; 2], 300, silent);
                let sent = pair.stream(3_000, 10 * MS, 100, single(class));
                let switches = switches(&mut pair, 30 * SECOND);
                assert_damped(&switches);
                assert!(switches.len() <= 30, "{} switches in 30 s", switches.len());
                assert!(!switches.is_empty(), "traffic never left the flapping link");
                pair.settle();
                if class == TrafficClass::Critical {
                    assert!(sent.iter().all(|id| pair.sim.message(*id).is_delivered()));
                }
            });
        }
    }
}

#[test]
fn fault_02_a_flap_in_step_with_the_probes_is_seen() {
    /// The standby probe interval of a radio on mains power.
    const PERIOD: Duration = Duration::from_millis(250);
    each_seed(|seed| {
        let model = LinkModel::perfect(TransportType::WiFiDirect);
        let mut pair = Pair::new(seed, model, model.latency(3 * MS));
        let (a, standby) = (pair.a, pair.standby);
        pair.sim.record(standby, a);
        pair.sim.run_for(2 * PERIOD);
        let frames = pair.sim.recorded(standby, a).iter();
        let is_probe = |frame: &bytes::Bytes| {
            let frame = bitcraps_wire::Frame::decode(frame.clone());
            frame.is_ok_and(|frame| matches!(frame.body, Body::Probe(_)))
        };
        let last = frames.rev().find(|r| is_probe(&r.frame)).unwrap().at;
        // Down from a quarter of the period after each probe to three quarters: every probe that
        // keeps time finds the link up.
        let mut begin = last + PERIOD / 4;
        while begin < pair.sim.now() {
            begin += PERIOD;
        }
        pair.sim.run_until(begin);
        pair.sim.flap(standby, [PERIOD / 2; 2], 60, true);
        pair.sim.run_for(15 * SECOND);
        let seen = pair.changes(standby).first().map(|(at, _)| at.since(begin));
        assert!(seen.is_some_and(|after| after < 15 * SECOND), "{seen:?}");
        pair.settle();
    });
}

#[test]
fn fault_53_two_healthy_links_for_ten_minutes_stay_as_they_are() {
    each_seed(|seed| {
        let healthy = |model: LinkModel| model.loss(0.0);
        let wifi = healthy(LinkModel::wifi());
        let mut pair = Pair::new(seed, wifi, healthy(LinkModel::bluetooth_le()));
        for class in TrafficClass::ALL {
            pair.stream(6_000, 100 * MS, 100, single(class));
        }
        pair.sim.run_for(600 * SECOND);
        pair.settle();
        let ends = [pair.a, pair.b];
        for node in ends {
            assert_eq!(pair.sim.core(node).unwrap().counters().switches, 0);
            let notices = pair.sim.notices(node).iter().map(|(_, notice)| notice);
            let ready = notices.clone().filter(|n| matches!(n, Notice::LinkReady { .. })).count();
            assert_eq!(ready, 2, "each link comes up once");
            let disturbed = notices
                .clone()
                .find(|n| matches!(n, Notice::LinkGone { .. } | Notice::LinkChanged { .. }));
            assert_eq!(disturbed, None);
        }
        assert!(pair.sim.messages().iter().all(bitcraps_sim::Message::is_delivered));
    });
}

#[test]
fn fault_60_a_second_flap_episode_is_damped_and_reported_again() {
    // An adapter tells of each flap, or nobody does and the falls have to be found out.
    for (down, up, times, silent) in [(HALF, HALF, 100, false), (SECOND, 7 * SECOND, 6, true)] {
        each_seed(|seed| {
            let model = LinkModel::perfect(TransportType::WiFiDirect);
            let bluetooth = LinkModel::perfect(TransportType::Bluetooth).latency(20 * MS);
            let mut pair = Pair::new(seed, model, bluetooth);
            let episode = (down + up) * times;
            for reports in 1..=2 {
                let options = single(TrafficClass::Critical);
                let messages = episode.as_millis() as u32 / 10;
                pair.sim.flap(pair.used, [down, up], times, silent);
                pair.stream(messages, 10 * MS, 100, options);
                assert_damped(&switches(&mut pair, episode));
                assert_eq!(flapping_reports(&pair, pair.used), reports, "silent: {silent}");
                // Long enough for the history to be forgotten.
                pair.sim.run_for(120 * SECOND);
            }
            pair.settle();
            assert!(pair.sim.messages().iter().all(bitcraps_sim::Message::is_delivered));
        });
    }
}
