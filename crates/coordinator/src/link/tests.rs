use super::*;
use bitcraps_types::{EnergyProfile, Kbps, Medium, Ratio};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

fn link_of(kbps: u32, max_frame: usize) -> Link {
    let facts = LinkUp {
        link: LinkId(1),
        peer: PeerId::from_bytes([9; 32]),
        transport: TransportType::WiFiDirect,
        capabilities: LinkCapabilities {
            max_frame,
            nominal_rate: Kbps::new(kbps).unwrap(),
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Emulated,
        },
    };
    let config = TransportConfig {
        max_packet_size: max_frame,
        connection_timeout: ms(5_000),
        reliability_threshold: Ratio::ZERO,
    };
    let mut link = Link::new(facts, config, true, 1, 1, Damping::default(), NOW);
    link.ready = true;
    link
}

fn link() -> Link {
    link_of(100_000, 65_536)
}

/// A frame of this size was answered after `rtt`.
fn answer(link: &mut Link, bytes: usize, rtt: Duration, now: Timestamp) -> Option<Change> {
    let seq = link.flights.push(bytes, None, true, now - rtt);
    let ack = HopAck { link_tag: 0, largest: seq, bitmap: 0, dwell_us: 0 };
    let mut acked = Vec::new();
    assert!(link.flights.acknowledge(&ack, now, |flight| acked.push(flight)));
    link.answered(acked[0], false, now)
}

fn good(link: &mut Link, now: Timestamp) -> Option<Change> {
    answer(link, 64, ms(5), now)
}

#[test]
fn it_takes_five_answers_and_a_second_without_failures_to_be_trusted_again() {
    let small = SizeBucket::Small;
    for (answers, after, recovers) in [(5, 1_000, true), (4, 1_000, false), (5, 999, false)] {
        let mut link = link();
        assert_eq!(link.expired(small, NOW - ms(500)), None);
        assert_eq!(link.expired(small, NOW), Some(Change::Suspect));
        for _ in 1..answers {
            assert_eq!(good(&mut link, NOW + ms(after)), None);
        }
        let last = good(&mut link, NOW + ms(after));
        assert_eq!(last, recovers.then_some(Change::Recovered), "{answers} after {after} ms");
        assert_eq!(link.tier(small) == Tier::Good, recovers);
    }
}

#[test]
fn two_losses_in_a_row_start_the_hold_and_the_count_anew_and_one_does_not() {
    let small = SizeBucket::Small;
    for (losses, hold, trusted_at) in [(1, 1_000, 2_000), (2, 2_000, 3_011)] {
        let mut link = link();
        link.suspect(small, NOW);
        (0..4).for_each(|_| assert_eq!(good(&mut link, NOW + ms(900)), None));
        for loss in 0..losses {
            assert_eq!(link.expired(small, NOW + ms(1_001 + loss * 10)), None);
        }
        let answers = (0..10).filter_map(|_| good(&mut link, NOW + ms(2_000))).count();
        assert_eq!(answers, usize::from(trusted_at == 2_000), "{losses}");
        assert_eq!(link.damping.hold(), ms(hold), "a relapse after good answers is a second fall");
        if trusted_at > 2_000 {
            assert_eq!(good(&mut link, NOW + ms(trusted_at - 1)), None);
            assert_eq!(good(&mut link, NOW + ms(trusted_at)), Some(Change::Recovered));
        }
    }
}

#[test]
fn a_link_that_flapped_and_loses_one_frame_in_a_hundred_is_trusted_when_its_hold_is_over() {
    let small = SizeBucket::Small;
    let mut link = link();
    // Falls, each soon after the one before: the longest hold.
    for fall in 0..5 {
        link.suspect(small, NOW + ms(fall * 1_000));
        for _ in 0..2 {
            good(&mut link, NOW + ms(fall * 1_000 + 100));
        }
        for n in 0..2 {
            link.expired(small, NOW + ms(fall * 1_000 + 200 + n * 10));
        }
    }
    let fallen = NOW + ms(4_210);
    let hold = link.damping.hold();
    assert_eq!(hold, ms(32_000));
    let mut recovered = None;
    for probe in 1..=400 {
        let now = fallen + ms(probe * 100);
        let change = match probe % 100 {
            50 => link.expired(small, now),
            _ => good(&mut link, now),
        };
        if change == Some(Change::Recovered) {
            recovered = recovered.or(Some(now));
        }
    }
    assert_eq!(recovered, Some(fallen + hold));
}

#[test]
fn two_losses_in_a_row_among_many_answers_are_forgiven_after_five_and_a_third_is_not() {
    let small = SizeBucket::Small;
    for (answers, losses, trusted_after, hold) in
        [(50, 2, 0, 1_000), (49, 2, 1_000, 1_000), (50, 3, 1_000, 1_000), (50, 4, 1_000, 1_000)]
    {
        let mut link = link();
        (0..answers).for_each(|_| assert_eq!(good(&mut link, NOW), None));
        let changes = (0..losses).filter_map(|n| link.expired(small, NOW + ms(10 * n)));
        assert_eq!(changes.collect::<Vec<_>>(), [Change::Suspect], "{answers}, {losses}");
        assert_eq!(link.tier(small), Tier::Suspect);
        assert_eq!(link.damping.hold(), ms(hold));
        let lost = NOW + ms(10 * (losses - 1));
        let at = |after: u64| lost + ms(after);
        for _ in 0..4 {
            assert_eq!(good(&mut link, at(0)), None);
        }
        if trusted_after > 0 {
            assert_eq!(good(&mut link, at(trusted_after - 1)), None, "{answers}, {losses}");
        }
        assert_eq!(good(&mut link, at(trusted_after)), Some(Change::Recovered));
        // What was told of as chance is not remembered: the next fall is judged by itself.
        link.suspect(small, at(20_000));
        (0..5).for_each(|_| assert_eq!(good(&mut link, at(20_999)), None));
    }
}

#[test]
fn what_comes_after_a_pardon_is_one_fall_whatever_tells_of_it() {
    type Tells = fn(&mut Link, Timestamp) -> Option<Change>;
    fn lose_two(link: &mut Link, size: SizeBucket, at: Timestamp) -> Option<Change> {
        assert_eq!(link.expired(size, at), None);
        link.expired(size, at + ms(10))
    }
    let tells: [(&str, Tells); 4] = [
        ("another size", |link, at| lose_two(link, SizeBucket::Large, at)),
        ("the driver", |link, at| link.suspect(SizeBucket::Small, at)),
        ("a third loss", |link, at| link.expired(SizeBucket::Small, at)),
        ("losses after answers", |link, at| {
            (0..4).for_each(|_| assert_eq!(good(link, at), None));
            lose_two(link, SizeBucket::Small, at)
        }),
    ];
    for (what, tell) in tells {
        let mut link = link();
        for fall in 0..3 {
            let at = NOW + ms(fall * 4_500);
            (0..50).for_each(|_| assert_eq!(good(&mut link, at), None, "{what}"));
            assert_eq!(lose_two(&mut link, SizeBucket::Small, at), Some(Change::Suspect), "{what}");
            let told = tell(&mut link, at + ms(100));
            assert_eq!(told, (fall == 2).then_some(Change::Flapping), "{what}, told once");
            assert_eq!(link.damping.hold(), ms(1_000 << fall), "{what}");
            link.suspect(SizeBucket::Medium, at + ms(120));
            assert_eq!(link.damping.hold(), ms(1_000 << fall), "{what}: it has fallen already");
            // Each size that is in doubt is answered until it is trusted.
            let back = at + ms(4_400);
            let answers = [10_000, 5_000, 64].map(|bytes| [bytes; 5]).into_iter().flatten();
            let last = answers.filter_map(|bytes| answer(&mut link, bytes, ms(5), back)).last();
            assert_eq!(last, Some(Change::Recovered), "{what}");
        }
    }
}

#[test]
fn a_hold_that_is_under_way_is_not_begun_anew_by_chance() {
    let small = SizeBucket::Small;
    for (answers, losses, trusted) in [(50, 2, true), (49, 2, false), (50, 3, false)] {
        let mut link = link();
        link.suspect(small, NOW);
        (0..answers).for_each(|_| assert_eq!(good(&mut link, NOW + ms(500)), None));
        for loss in 0..losses {
            assert_eq!(link.expired(small, NOW + ms(900 + 10 * loss)), None);
        }
        let recovered = (0..6).filter_map(|_| good(&mut link, NOW + ms(1_000))).count();
        assert_eq!(recovered, usize::from(trusted), "{answers}, {losses}");
        assert_eq!(link.damping.hold(), ms(if trusted { 1_000 } else { 2_000 }));
    }
}

#[test]
fn a_busy_link_that_loses_two_in_a_hundred_is_trusted_nearly_always() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut link = link();
    let (mut trusted, frames) = (0, 250 * 600);
    for frame in 1..=frames {
        let now = NOW + ms(4 * frame);
        if rng.f64() < 0.02 {
            link.expired(SizeBucket::Small, now);
        } else {
            good(&mut link, now);
        }
        trusted += u64::from(link.tier(SizeBucket::Small) == Tier::Good);
    }
    assert!(100 * trusted >= 99 * frames, "{trusted} of {frames}");
    assert_eq!(link.damping.hold(), ms(1_000));
}

#[test]
fn each_size_answers_for_itself() {
    let mut link = link();
    link.suspect(SizeBucket::Large, NOW);
    assert_eq!(link.tier(SizeBucket::Medium), Tier::Good);
    assert_eq!(link.tier(SizeBucket::Large), Tier::Suspect);
    (0..20).for_each(|_| assert_eq!(good(&mut link, NOW + ms(5_000)), None));
    assert_eq!(link.tier(SizeBucket::Large), Tier::Suspect, "small answers say nothing of large");
    for i in 0..5 {
        let change = answer(&mut link, 10_000, ms(5), NOW + ms(5_000));
        assert_eq!(change, (i == 4).then_some(Change::Recovered));
    }
    link.suspect(SizeBucket::Packet, NOW);
    let tiers = SizeBucket::ALL.map(|b| link.tier(b));
    let suspect = [Tier::Good, Tier::Suspect, Tier::Suspect, Tier::Suspect];
    assert_eq!(tiers, suspect, "what fails at one size is not tried at a larger one");
}

#[test]
fn two_expiries_in_a_row_are_suspect_and_an_answer_between_them_is_not() {
    let small = SizeBucket::Small;
    let mut link = link();
    assert_eq!(link.expired(small, NOW), None);
    good(&mut link, NOW + ms(10));
    assert_eq!(link.expired(small, NOW + ms(20)), None);
    assert_eq!(link.expired(SizeBucket::Packet, NOW + ms(30)), None, "another size");
    assert_eq!(link.expired(small, NOW + ms(40)), Some(Change::Suspect));
    assert_eq!(link.expired(small, NOW + ms(50)), None, "told once");
}

#[test]
fn frames_that_are_late_together_are_one_event() {
    let small = SizeBucket::Small;
    for (apart, suspect) in [(us(1_999), None), (us(2_000), Some(Change::Suspect))] {
        let mut link = link();
        assert_eq!(link.expired(small, NOW), None);
        assert_eq!(link.expired(small, NOW + apart), suspect, "{apart:?}");
    }
}

#[test]
fn three_small_probes_lost_are_down_and_large_ones_never() {
    let mut link = link();
    let mut now = NOW;
    let mut lost = |link: &mut Link, bucket| {
        now += ms(100);
        link.probe_lost(bucket, now)
    };
    assert_eq!(lost(&mut link, SizeBucket::Small), None);
    assert_eq!(lost(&mut link, SizeBucket::Small), Some(Change::Suspect));
    assert_eq!(lost(&mut link, SizeBucket::Small), Some(Change::Down));
    assert_eq!(link.tier(SizeBucket::Small), Tier::Down);
    assert_eq!(lost(&mut link, SizeBucket::Small), None, "told once");
    let mut other = link_of(100_000, 65_536);
    (0..10).for_each(|_| assert_ne!(lost(&mut other, SizeBucket::Large), Some(Change::Down)));
    assert_eq!(lost(&mut other, SizeBucket::Small), None, "the large ones do not count");
}

#[test]
fn a_link_that_was_down_serves_as_a_last_resort_before_it_is_trusted() {
    let small = SizeBucket::Small;
    let mut link = link();
    // Its share of the time over which many return: all of it.
    link.greeting.challenge = u64::MAX;
    for (i, change) in [None, Some(Change::Suspect), Some(Change::Down)].into_iter().enumerate() {
        assert_eq!(link.probe_lost(small, NOW + ms(100 * (i as u64 + 1))), change);
    }
    assert_eq!(link.tier(small), Tier::Down);
    let (failed, hold) = (NOW + ms(300), link.damping.hold());
    (0..4).for_each(|_| assert_eq!(good(&mut link, failed + hold), None));
    assert_eq!(link.tier(small), Tier::Down, "four answers");
    assert_eq!(good(&mut link, failed + hold), None);
    assert_eq!(link.tier(small), Tier::Suspect);
    assert_eq!(good(&mut link, failed + hold + STAGGER - ms(1)), None);
    assert_eq!(good(&mut link, failed + hold + STAGGER), Some(Change::Recovered));
    assert_eq!(link.tier(small), Tier::Good);
}

#[test]
fn what_an_outage_lost_is_not_held_against_a_link_that_is_back() {
    let small = SizeBucket::Small;
    for down in [true, false] {
        let mut link = link();
        link.config.reliability_threshold = Ratio::clamped(0.95);
        (0..60).for_each(|_| assert_eq!(good(&mut link, NOW), None));
        let failures = 6;
        for at in 1..=failures {
            let at = NOW + ms(100 * at);
            if down {
                link.probe_lost(small, at)
            } else {
                link.expired(small, at)
            };
        }
        assert_eq!(link.tier(small) == Tier::Down, down);
        let hold = link.damping.hold() + STAGGER;
        let back = NOW + ms(100 * failures) + hold;
        let recovered = (0..5).filter_map(|_| good(&mut link, back)).last();
        assert_eq!(recovered, Some(Change::Recovered));
        // Enough of them to be judged.
        (0..64).for_each(|_| assert_eq!(good(&mut link, back), None));
        let expected = if down { Tier::Good } else { Tier::BelowThreshold };
        assert_eq!(link.tier(small), expected, "losses without an outage count");
    }
}

#[test]
fn probes_come_every_tenth_of_a_second_and_back_off_after_the_sixth() {
    let mut link = link();
    let mut waits = Vec::new();
    for _ in 0..12 {
        link.probe_lost(SizeBucket::Small, NOW);
        waits.push(link.buckets[0].probe_interval().as_millis());
    }
    let expected = [100, 100, 100, 100, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
    assert_eq!(waits, expected);
    // However many were lost: a link that is gone for hours costs no more than one for a minute.
    for _ in 0..1_000 {
        link.probe_lost(SizeBucket::Small, NOW);
        assert_eq!(link.buckets[0].probe_interval(), PROBE_DOWN_MAX);
    }
    good(&mut link, NOW);
    assert_eq!(link.buckets[0].probe_interval(), PROBE_FAST);
}

#[test]
fn timeouts_are_floored_cold_or_borrowed() {
    let mut link = link();
    let timeout = |link: &Link, bucket| link.timeout(bucket);
    assert_eq!(timeout(&link, SizeBucket::Small), ms(200), "cold");
    assert_eq!(timeout(&link, SizeBucket::Large), ms(200));
    for _ in 0..30 {
        answer(&mut link, 1_000, ms(4), NOW);
    }
    assert_eq!(timeout(&link, SizeBucket::Packet), ms(10), "the floor");
    assert_eq!(timeout(&link, SizeBucket::Small), ms(10), "a smaller frame takes no longer");
    let passing = |link: &Link, bytes: f32| {
        Duration::from_nanos((link.goodput.nanos_per_byte() * bytes) as u64) * 2
    };
    let medium = ms(10) + passing(&link, 8_192.0);
    let large = ms(10) + passing(&link, 65_536.0);
    assert_eq!(timeout(&link, SizeBucket::Medium), medium);
    assert_eq!(timeout(&link, SizeBucket::Large), large);
    assert!(large > medium && medium > ms(10));
    for _ in 0..60 {
        answer(&mut link, 5_000, ms(40), NOW);
    }
    let measured = timeout(&link, SizeBucket::Medium);
    assert!((ms(40)..ms(41)).contains(&measured), "{measured:?}");
    assert_eq!(timeout(&link, SizeBucket::Packet), ms(10), "each size has its own");
}

#[test]
fn hedges_need_eight_measurements_and_come_at_the_95th_percentile() {
    let mut link = link();
    for _ in 0..7 {
        answer(&mut link, 64, ms(40), NOW);
    }
    assert_eq!(link.hedge_delay(SizeBucket::Small), None);
    answer(&mut link, 64, ms(40), NOW);
    let delay = link.hedge_delay(SizeBucket::Small).unwrap();
    // The variation began at 20 ms and shrank by a quarter with each of seven answers.
    assert!(delay > ms(45) && delay < ms(46), "{delay:?}");
    let mut fast = link_of(100_000, 65_536);
    (0..60).for_each(|_| {
        answer(&mut fast, 64, us(100), NOW);
    });
    assert_eq!(fast.hedge_delay(SizeBucket::Small), Some(us(2_500)), "a quarter of the floor");
}

#[test]
fn a_bluetooth_timeout_has_a_floor_of_its_own() {
    let mut link = link();
    link.facts.transport = TransportType::Bluetooth;
    assert_eq!(link.timeout(SizeBucket::Small), ms(400));
    (0..30).for_each(|_| {
        good(&mut link, NOW);
    });
    assert_eq!(link.timeout(SizeBucket::Small), ms(60));
    link.facts.transport = TransportType::Internet;
    assert_eq!(link.timeout(SizeBucket::Small), ms(10));
}

/// Hands over `count` frames of `bytes`; how many fitted.
fn fill(link: &mut Link, bytes: usize, count: usize, ahead: bool) -> usize {
    let room = |link: &Link| if ahead { link.has_room_ahead() } else { link.has_room(NOW) };
    (0..count).take_while(|_| room(link).then(|| link.handed(bytes, None, NOW)).is_some()).count()
}

#[test]
fn a_driver_gets_what_drains_within_two_milliseconds() {
    // 25,000 bytes in 2 ms.
    let mut link = link();
    assert_eq!(fill(&mut link, 1_000, 1_000, false), 25);
    // And two frames of the largest size more for what cannot wait.
    assert_eq!(fill(&mut link, 1_000, 1_000, true), 2 * 65_536 / 1_000 + 1);
    let mut slow = link_of(300, 1_024);
    assert_eq!(fill(&mut slow, 1_024, 10, false), 1, "one frame always");
    assert_eq!(fill(&mut slow, 1_024, 10, true), 2);
}

#[test]
fn while_realtime_traffic_is_about_the_driver_gets_one_frame_of_what_can_wait() {
    let mut link = link();
    link.urgent(NOW);
    assert_eq!(fill(&mut link, 1_000, 1_000, false), 1);
    assert_eq!(fill(&mut link, 1_000, 1_000, true), 24 + 2 * 65_536 / 1_000 + 1);
    link.written(1_000, true, NOW, |_, _| {});
    let end = NOW + URGENT;
    link.handed(1_000, None, NOW);
    assert!(!link.has_room(end - ms(1)) && link.has_room(end));
    let mut fitted = 0;
    while link.has_room(end) {
        link.handed(1_000, None, end);
        fitted += 1;
    }
    assert_eq!(fitted, 24, "no growth was learned from the single frames");
}

#[test]
fn the_limit_grows_while_the_driver_keeps_up_and_shrinks_when_it_does_not() {
    let mut link = link();
    let mut total = 0;
    let mut round = |link: &mut Link, took: Duration, more: bool| {
        let fitted = fill(link, 1_000, 2_000, false);
        total += fitted as u64;
        link.written(total, more, NOW + took, |_, _| {});
        fitted
    };
    let at_first = round(&mut link, ms(1), false);
    assert_eq!(round(&mut link, ms(1), true), at_first, "nothing waited, nothing grew");
    let grown: Vec<usize> = (0..8).map(|_| round(&mut link, ms(1), true)).collect();
    assert_eq!(grown, [66, 132, 263, 525, 1_049, 1_049, 1_049, 1_049], "up to a mebibyte");
    assert_eq!(round(&mut link, ms(3), true), 1_049, "in between it stays");
    assert_eq!(round(&mut link, ms(4), true), 1_049);
    let shrunk: Vec<usize> = (0..8).map(|_| round(&mut link, ms(5), true)).collect();
    assert_eq!(shrunk, [1_049, 525, 263, 132, 66, 33, 25, 25], "down to the nominal rate");
}

#[test]
fn a_driver_that_was_full_gets_no_more_frames_than_it_held() {
    let mut link = link();
    for _ in 0..8 {
        link.handed(100, None, NOW);
    }
    link.queue_full();
    assert!(!link.has_room(NOW) && !link.has_room_ahead());
    link.written(7, true, NOW, |_, _| {});
    assert_eq!(fill(&mut link, 100, 100, true), 7, "eight at once");
    link.written(15, true, NOW, |_, _| {});
    let more = fill(&mut link, 100, 100, false);
    assert!((9..=11).contains(&more), "a little more when it drained: {more}");
}

#[test]
fn only_a_frame_not_taken_is_given_back() {
    let mut link = link();
    let first = link.flights.push(100, None, true, NOW);
    link.handed(100, Some(first), NOW);
    let second = link.flights.push(200, None, true, NOW);
    link.handed(200, Some(second), NOW);
    link.not_taken(Some(first));
    assert_eq!((link.backlog(), link.flights.unacked_bytes), ((1, 200), 200));
    assert_eq!((link.counters.frames, link.counters.bytes), (1, 200));
    link.not_taken(Some(first));
    assert_eq!(link.backlog(), (1, 200), "once");
}

#[test]
fn a_successor_of_a_link_that_fell_lately_starts_out_of_favour() {
    let mut damping = Damping::default();
    damping.fall(NOW);
    let start = |at: Timestamp| {
        let old = link();
        let mut new = Link::new(old.facts, old.config, true, 1, 1, damping, at);
        new.ready = true;
        new
    };
    let mut soon = start(NOW + ms(999));
    assert_eq!(soon.tier(SizeBucket::Small), Tier::Suspect);
    assert_eq!(start(NOW + ms(1_000)).tier(SizeBucket::Small), Tier::Good);
    (0..5).for_each(|_| assert_eq!(good(&mut soon, NOW + ms(1_998)), None));
    assert_eq!(good(&mut soon, NOW + ms(1_999)), Some(Change::Recovered));
}

#[test]
fn a_short_life_is_a_flap_and_a_long_one_is_not() {
    let (damping, flapping) = link().into_damping(NOW + ms(9_999));
    assert!(damping.holds(NOW + ms(9_999)) && !flapping);
    let (damping, _) = link().into_damping(NOW + ms(10_000));
    assert!(!damping.holds(NOW + ms(10_000)));
}

#[test]
fn a_smaller_frame_size_drops_doubts_about_sizes_it_cannot_carry() {
    let mut link = link();
    link.suspect(SizeBucket::Large, NOW);
    link.fit(8_193);
    assert_eq!(link.tier(SizeBucket::Large), Tier::Suspect);
    link.fit(8_192);
    assert!(!link.is_suspect());
    link.suspect(SizeBucket::Small, NOW);
    link.fit(256);
    assert!(link.is_suspect(), "smaller ones stay");
}

#[test]
fn the_probe_looks_at_the_smallest_size_in_doubt_and_at_life_in_between() {
    let mut link = link();
    good(&mut link, NOW);
    assert_eq!(link.probe_bucket(NOW), SizeBucket::Small);
    link.suspect(SizeBucket::Large, NOW);
    link.suspect(SizeBucket::Medium, NOW);
    assert_eq!(link.probe_bucket(NOW + ms(249)), SizeBucket::Medium);
    assert_eq!(link.probe_bucket(NOW + ms(250)), SizeBucket::Small, "silent for too long");
}

#[test]
fn acks_travel_alone_after_one_arrived_and_ever_later_after_each_loss() {
    let mut link = link();
    assert!(!link.carries_acks());
    for losses in 0..4 {
        let needed = 1 << losses;
        for seen in 0..needed {
            assert!(!link.carries_acks(), "{losses} losses, {seen} of {needed}");
            link.ack_arrived(false);
        }
        assert!(link.carries_acks());
        link.ack_lost();
    }
    (0..16).for_each(|_| link.ack_arrived(false));
    link.ack_arrived(true);
    link.ack_lost();
    link.ack_arrived(false);
    assert!(!link.carries_acks());
    link.ack_arrived(false);
    assert!(link.carries_acks(), "one that arrived alone cleared the account");
}

#[test]
fn acks_over_another_link_make_it_one_way_after_two_timeouts() {
    let mut link = link();
    (0..30).for_each(|_| {
        good(&mut link, NOW);
    });
    let detour = |link: &mut Link, now: Timestamp| {
        let seq = link.flights.push(64, None, true, now - ms(5));
        let ack = HopAck { link_tag: 7, largest: seq, bitmap: 0, dwell_us: 0 };
        let mut acked = Vec::new();
        link.flights.acknowledge(&ack, now, |flight| acked.push(flight));
        link.answered(acked[0], true, now);
        link.tier(SizeBucket::Small)
    };
    assert_eq!(detour(&mut link, NOW), Tier::Good);
    assert_eq!(detour(&mut link, NOW + ms(19)), Tier::Good);
    assert_eq!(detour(&mut link, NOW + ms(20)), Tier::OneWay);
    link.direct_ack();
    assert_eq!(link.tier(SizeBucket::Small), Tier::Good);
    assert_eq!(detour(&mut link, NOW + ms(30)), Tier::Good, "counted anew");
}

#[test]
fn the_probe_after_a_lost_one_comes_soon() {
    let mut link = link();
    let waits = |link: &mut Link, now| {
        link.schedule_probe(0.0, now);
        link.next_probe(now).unwrap().since(now)
    };
    let standby = link.standby_interval();
    assert!(standby > PROBE_FAST);
    assert_eq!(waits(&mut link, NOW), standby);
    assert_eq!(link.probe_lost(SizeBucket::Small, NOW), None);
    assert_eq!(waits(&mut link, NOW), PROBE_FAST);
    good(&mut link, NOW);
    assert_eq!(waits(&mut link, NOW), standby);
}
