use super::*;
use bitcraps_types::{EnergyProfile, Kbps, LinkCapabilities, Medium, PeerId, Ratio};

use crate::config::Config;
use crate::damping::Damping;
use crate::link::{Link, LinkUp};

const NOW: Timestamp = Timestamp::from_millis(100_000);

/// A good link of no latency and endless goodput.
fn link(id: u64) -> Candidate {
    Candidate {
        link: LinkId(id),
        transport: TransportType::WiFiDirect,
        tier: [Tier::Good; SizeBucket::COUNT],
        latency_us: [0; SizeBucket::COUNT],
        undelivered_ppm: [0; SizeBucket::COUNT],
        picos_per_byte: 0,
        backlog_bytes: 0,
        unacked_bytes: 0,
        load_bytes: 0.0,
        load_at: NOW,
        energy: EnergyProfile::MAINS.marginal_energy(),
        active_at: None,
        max_payload: 65_000,
    }
}

fn slow(id: u64, latency_us: u32) -> Candidate {
    Candidate { latency_us: [latency_us; SizeBucket::COUNT], ..link(id) }
}

fn lossy(id: u64, undelivered_ppm: u32) -> Candidate {
    Candidate { undelivered_ppm: [undelivered_ppm; SizeBucket::COUNT], ..link(id) }
}

/// Costs `microjoules` a frame.
fn costly(id: u64, microjoules: u64) -> Candidate {
    let energy = EnergyProfile { per_frame: Microjoules(microjoules), ..EnergyProfile::MAINS };
    Candidate { energy: energy.marginal_energy(), ..link(id) }
}

fn trusted(id: u64, tier: Tier) -> Candidate {
    Candidate { tier: [tier; SizeBucket::COUNT], ..link(id) }
}

fn packet(policy: FailoverPolicy, bytes: usize) -> Packet {
    Packet { policy, bytes, energy_aware: true, incumbent: None, held: false, ceiling_us: u32::MAX }
}

fn held_by(incumbent: u64, policy: FailoverPolicy) -> Packet {
    Packet { incumbent: Some(LinkId(incumbent)), ..packet(policy, 100) }
}

fn order(candidates: &[Candidate], packet: &Packet) -> Vec<u64> {
    rank(candidates, packet, NOW).iter().map(|i| candidates[i].link.0).collect()
}

/// Which of two comes first, whichever stands first in the slice; `None` when that decides.
fn first_of(a: Candidate, b: Candidate, packet: &Packet) -> Option<u64> {
    let (one, other) = (order(&[a, b], packet)[0], order(&[b, a], packet)[0]);
    (one == other).then_some(one)
}

#[test]
fn a_challenger_displaces_the_link_in_use_from_its_margin_on() {
    use FailoverPolicy::{EnergyEfficient, FastestFirst, MostReliable};
    let (used, new) = (1, 2);
    let rows = [
        (FastestFirst, slow(used, 14_999), slow(new, 10_000), Some(used), "4.999 ms"),
        (FastestFirst, slow(used, 15_000), slow(new, 10_000), None, "5.000 ms"),
        (FastestFirst, slow(used, 15_001), slow(new, 10_000), Some(new), "5.001 ms"),
        (MostReliable, lossy(used, 24_095), lossy(new, 0), None, "20,000 ppm and less than a step"),
        (MostReliable, lossy(used, 24_096), lossy(new, 0), Some(new), "20,000 ppm and a step"),
        (MostReliable, lossy(used, 20_000), lossy(new, 0), None, "20,000 ppm"),
        (MostReliable, slow(used, 4_999), slow(new, 0), None, "equally reliable, 4.999 ms"),
        (MostReliable, slow(used, 5_001), slow(new, 0), Some(new), "equally reliable, 5.001 ms"),
        (EnergyEfficient, costly(used, 1_000), costly(new, 801), Some(used), "less than 1/5"),
        (EnergyEfficient, costly(used, 1_000), costly(new, 800), None, "1/5"),
        (EnergyEfficient, costly(used, 1_000), costly(new, 799), Some(new), "more than 1/5"),
    ];
    for (policy, one, other, expected, what) in rows {
        assert_eq!(first_of(one, other, &held_by(used, policy)), expected, "{policy}: {what}");
        let unheld = packet(policy, 100);
        assert_eq!(first_of(one, other, &unheld), Some(new), "{policy}: {what}, nothing in use");
    }
}

#[test]
fn trust_comes_before_every_policy() {
    let tiers = [Tier::Good, Tier::BelowThreshold, Tier::OneWay, Tier::Suspect, Tier::Down];
    for policy in FailoverPolicy::ALL {
        for (i, tier) in tiers.into_iter().enumerate() {
            // The more trusted one is as bad as it can be in everything else.
            for worse in &tiers[i + 1..] {
                let good = Candidate {
                    latency_us: [u32::MAX; SizeBucket::COUNT],
                    undelivered_ppm: [1_000_000; SizeBucket::COUNT],
                    picos_per_byte: u32::MAX,
                    backlog_bytes: u32::MAX,
                    unacked_bytes: u32::MAX,
                    energy: EnergyProfile::CELLULAR.marginal_energy(),
                    ..trusted(1, tier)
                };
                let packet = held_by(2, policy);
                assert_eq!(first_of(good, trusted(2, *worse), &packet), Some(1), "{tier} {worse}");
            }
        }
    }
}

#[test]
fn what_each_policy_compares() {
    use FailoverPolicy::{EnergyEfficient, FastestFirst, LoadBalanced, MostReliable};
    let backlog = |bytes| Candidate { backlog_bytes: bytes, picos_per_byte: 1_000_000, ..link(1) };
    let rows = [
        (FastestFirst, slow(1, 10), slow(2, 11), 1, "latency"),
        (FastestFirst, backlog(901), slow(2, 1_000), 2, "latency and transfer: 1,001 µs"),
        (FastestFirst, backlog(899), slow(2, 1_000), 1, "latency and transfer: 999 µs"),
        (MostReliable, slow(1, 50_000), lossy(2, 4_096), 1, "a step of reliability before time"),
        (MostReliable, slow(1, 50_000), lossy(2, 4_095), 2, "within a step, time"),
        (EnergyEfficient, costly(1, 5), costly(2, 6), 1, "energy"),
        (
            LoadBalanced,
            Candidate { unacked_bytes: 1, picos_per_byte: 1_000, ..link(1) },
            Candidate { load_bytes: 2.0, picos_per_byte: 1_000, ..link(2) },
            1,
            "load and what is not acknowledged",
        ),
    ];
    for (policy, one, other, expected, what) in rows {
        assert_eq!(first_of(one, other, &packet(policy, 100)), Some(expected), "{policy}: {what}");
    }
}

#[test]
fn a_link_slower_than_the_class_can_bear_is_as_good_as_suspect() {
    let ceilings = [
        (TrafficClass::Realtime, 150_000),
        (TrafficClass::Critical, 2_000_000),
        (TrafficClass::Background, 10_000_000),
        (TrafficClass::Bulk, 10_000_000),
    ];
    for (class, ceiling) in ceilings {
        let ceiling_us = latency_ceiling(class).as_micros() as u32;
        assert_eq!(ceiling_us, ceiling, "{class}");
        let packet = Packet { ceiling_us, ..packet(FailoverPolicy::MostReliable, 100) };
        let rival = Candidate { latency_us: [1; 4], ..trusted(2, Tier::OneWay) };
        assert_eq!(first_of(slow(1, ceiling), rival, &packet), Some(1), "{class}");
        assert_eq!(first_of(slow(1, ceiling + 1), rival, &packet), Some(2), "{class}");
        assert_eq!(score(&slow(1, ceiling + 1), &packet, NOW).tier, Tier::Suspect);
        let down = Candidate { latency_us: [u32::MAX; 4], ..trusted(1, Tier::Down) };
        assert_eq!(score(&down, &packet, NOW).tier, Tier::Down, "never better for being slow");
    }
}

#[test]
fn what_is_known_of_a_size_counts_for_frames_of_that_size() {
    let tier = [Tier::Good, Tier::BelowThreshold, Tier::OneWay, Tier::Suspect];
    let overhead = Frame::DATA_OVERHEAD;
    let rows = [
        (256, Tier::Good),
        (257, Tier::BelowThreshold),
        (1_280, Tier::BelowThreshold),
        (1_281, Tier::OneWay),
        (8_192, Tier::OneWay),
        (8_193, Tier::Suspect),
    ];
    for (frame, expected) in rows {
        for policy in FailoverPolicy::ALL {
            let score =
                score(&Candidate { tier, ..link(1) }, &packet(policy, frame - overhead), NOW);
            assert_eq!(score.tier, expected, "{policy}: frame of {frame} bytes");
        }
    }
    let small = Candidate { tier, max_payload: 200, ..link(1) };
    let large = packet(FailoverPolicy::FastestFirst, 1 << 20);
    assert_eq!(score(&small, &large, NOW).tier, Tier::Good, "its fragments are small");
    assert_eq!(score(&link(1), &packet(FailoverPolicy::FastestFirst, 0), NOW).tier, Tier::Good);
}

#[test]
fn energy_depends_on_what_the_radio_is_doing() {
    let ago = |ms| Some(NOW - Duration::from_millis(ms));
    let radio = |id, energy: EnergyProfile, active_at| {
        let energy = energy.marginal_energy();
        Candidate { energy, active_at, ..link(id) }
    };
    let ble = Candidate { max_payload: 193, ..radio(1, EnergyProfile::BLUETOOTH_LE, None) };
    let wifi = |active_at| radio(2, EnergyProfile::WIFI, active_at);
    let lte = |active_at| radio(2, EnergyProfile::CELLULAR, active_at);
    let rows = [
        (64, lte(None), 1, "asleep for ever"),
        (64, lte(ago(0)), 1, "64 bytes: 157 µJ against 1,224"),
        (10_000, wifi(ago(0)), 2, "10 kB awake: 8,550 µJ against 9,000 and 52 frames"),
        (10_000, wifi(None), 1, "10 kB asleep: 46,672 µJ"),
        (10_000, wifi(ago(47)), 2, "tail of 47 ms: 14,143 µJ against 14,200"),
        (10_000, wifi(ago(48)), 1, "tail of 48 ms: 14,262 µJ"),
        (10_000, wifi(ago(238)), 1, "asleep after 238 ms"),
    ];
    for (bytes, other, expected, what) in rows {
        let packet = packet(FailoverPolicy::EnergyEfficient, bytes);
        assert_eq!(first_of(ble, other, &packet), Some(expected), "{what}");
    }
    let asleep = score(&wifi(None), &packet(FailoverPolicy::EnergyEfficient, 10_000), NOW);
    let awake = score(&wifi(ago(237)), &packet(FailoverPolicy::EnergyEfficient, 10_000), NOW);
    assert_eq!((asleep.cost, awake.cost), (9_800 + 28_322 + 8_550, 28_203 + 8_550));
}

#[test]
fn without_energy_the_rule_of_the_seed_holds() {
    let kind = |id, transport| Candidate { transport, ..link(id) };
    let links = [
        kind(1, TransportType::Internet),
        kind(2, TransportType::WiFiDirect),
        kind(3, TransportType::Bluetooth),
    ];
    for (bytes, expected) in [(0, 3), (999, 3), (1_000, 2), (1 << 20, 2)] {
        let seed = packet(FailoverPolicy::EnergyEfficient, bytes);
        let seed = Packet { energy_aware: false, ..seed };
        assert_eq!(order(&links, &seed)[0], expected, "{bytes} bytes");
    }
}

/// Hands `count` packets of 1,000 bytes to whichever link is ranked first; how many each got.
fn shares(links: &mut [Candidate], count: usize) -> Vec<usize> {
    let mut got = vec![0; links.len()];
    for _ in 0..count {
        let best = rank(links, &packet(FailoverPolicy::LoadBalanced, 1_000), NOW).first().unwrap();
        got[best] += 1;
        links[best].load_bytes += 1_000.0;
    }
    got
}

#[test]
fn load_is_shared_by_capacity() {
    let of_rate = |id, mbps: u32| Candidate { picos_per_byte: 8_000_000 / mbps, ..link(id) };
    let mut pair = [of_rate(1, 100), of_rate(2, 1)];
    let got = shares(&mut pair, 1_010);
    assert!(got[0].abs_diff(1_000) <= 1, "100 to 1: {got:?}");
    assert_eq!(shares(&mut [of_rate(1, 10), of_rate(2, 10)], 1_000), [500, 500]);
    assert_eq!(shares(&mut [of_rate(1, 10), of_rate(2, 10), of_rate(3, 10)], 999), [333; 3]);
}

#[test]
fn a_load_fades_by_half_in_its_half_life() {
    let half_life = Duration::from_nanos(1 << LOAD_HALF_LIFE_BITS);
    assert_eq!(decayed(8_000.0, NOW, NOW), 8_000.0);
    assert_eq!(decayed(8_000.0, NOW, NOW + half_life), 4_000.0);
    assert_eq!(decayed(8_000.0, NOW, NOW + half_life / 2), 6_000.0);
    assert_eq!(decayed(8_000.0, NOW, NOW + half_life * 3), 1_000.0);
    assert_eq!(decayed(8_000.0, NOW, Timestamp::MAX), 0.0);
    assert_eq!(decayed(8_000.0, NOW, NOW - half_life), 8_000.0, "never more than it was");
}

#[test]
fn ties_keep_the_order_of_the_slice_and_no_more_than_eight_are_looked_at() {
    for policy in FailoverPolicy::ALL {
        let packet = packet(policy, 100);
        assert_eq!(rank(&[], &packet, NOW), Ranking::EMPTY);
        for count in 1..=8 {
            let links: Vec<Candidate> = (0..count).map(|i| link(90 - i)).collect();
            let expected: Vec<u64> = (0..count).map(|i| 90 - i).collect();
            assert_eq!(order(&links, &packet), expected, "{policy}");
        }
        let mut nine: Vec<Candidate> = (1..=9).map(|i| trusted(i, Tier::Down)).collect();
        nine[8].tier = [Tier::Good; SizeBucket::COUNT];
        assert_eq!(order(&nine, &packet), (1..=8).collect::<Vec<u64>>(), "{policy}: the ninth");
        nine[7].tier = [Tier::Good; SizeBucket::COUNT];
        assert_eq!(order(&nine, &packet)[0], 8, "{policy}: the eighth");
    }
}

#[test]
fn ranking_sorts_by_score() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        let links: Vec<Candidate> = (0..rng.u64(1..=8))
            .map(|i| Candidate { tier: [Tier::Good; 4], ..slow(i, rng.u32(0..5)) })
            .collect();
        let packet = packet(FailoverPolicy::FastestFirst, rng.usize(0..10_000));
        let mut expected: Vec<u64> = (0..links.len() as u64).collect();
        expected.sort_by_key(|i| links[*i as usize].latency_us[0]);
        assert_eq!(order(&links, &packet), expected);
    }
}

/// Any link: some values are drawn from a few, so that there are ties.
fn any_link(id: u64, rng: &mut fastrand::Rng) -> Candidate {
    let tiers = [Tier::Good, Tier::BelowThreshold, Tier::OneWay, Tier::Suspect, Tier::Down];
    let profiles = [EnergyProfile::MAINS, EnergyProfile::WIFI, EnergyProfile::CELLULAR];
    let extreme = |rng: &mut fastrand::Rng| *rng.choice(&[0, 1, u32::MAX]).unwrap();
    Candidate {
        link: LinkId(id),
        latency_us: std::array::from_fn(|_| rng.u32(0..3) * 4_000),
        undelivered_ppm: std::array::from_fn(|_| rng.u32(0..3) * 5_000),
        picos_per_byte: if rng.u8(..) == 0 { extreme(rng) } else { rng.u32(1..3) * 100_000 },
        backlog_bytes: if rng.u8(..) == 0 { extreme(rng) } else { rng.u32(0..3) * 1_000 },
        max_payload: rng.u32(0..10_000),
        unacked_bytes: if rng.u8(..) == 0 { extreme(rng) } else { rng.u32(0..3) * 1_000 },
        tier: std::array::from_fn(|_| if rng.bool() { Tier::Good } else { tiers[rng.usize(0..5)] }),
        transport: TransportType::ALL[rng.usize(0..3)],
        load_bytes: rng.u32(0..3) as f32 * 1_000.0,
        load_at: NOW - Duration::from_millis(rng.u64(0..2_000)),
        energy: profiles[rng.usize(0..3)].marginal_energy(),
        active_at: rng.bool().then(|| NOW - Duration::from_millis(rng.u64(0..500))),
    }
}

#[test]
fn ranking_is_the_order_of_the_scores_that_are_shown() {
    let mut rng = fastrand::Rng::with_seed(11);
    for case in 0..20_000 {
        let count = if rng.bool() { 3 } else { rng.usize(1..=LINKS_PER_PEER) };
        let links: Vec<Candidate> = (0..count).map(|i| any_link(i as u64, &mut rng)).collect();
        for policy in FailoverPolicy::ALL {
            let packet = Packet {
                policy,
                bytes: rng.usize(0..20_000),
                energy_aware: rng.u8(..) > 0,
                incumbent: rng.bool().then(|| LinkId(rng.u64(0..4))),
                held: rng.bool(),
                ceiling_us: *rng.choice(&[4_000, u32::MAX]).unwrap(),
            };
            let mut expected: Vec<usize> = (0..count).collect();
            expected.sort_by_key(|i| score(&links[*i], &packet, NOW));
            let ranked: Vec<usize> = rank(&links, &packet, NOW).iter().collect();
            assert_eq!(ranked, expected, "case {case}: {packet:?} {links:?}");
        }
    }
}

/// A ready link whose transport asks for `threshold`.
fn real(threshold: f64) -> Link {
    let facts = LinkUp {
        link: LinkId(1),
        peer: PeerId::from_bytes([9; 32]),
        transport: TransportType::WiFiDirect,
        capabilities: LinkCapabilities {
            max_frame: 1_500,
            nominal_rate: Kbps::new(100_000).unwrap(),
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Emulated,
        },
    };
    let mut config =
        *Config::new(facts.peer, bitcraps_types::Epoch(1), 0).transport(TransportType::WiFiDirect);
    config.reliability_threshold = Ratio::clamped(threshold);
    let mut link = Link::new(facts, config, true, 1, 1, Damping::default(), NOW);
    link.ready = true;
    link
}

#[test]
fn the_reliability_threshold_divides_links_by_their_evidence() {
    let small = SizeBucket::Small;
    let mut link = real(0.0);
    // Every fourth frame is lost, never two in a row, so nothing but the threshold speaks.
    let feed = |link: &mut Link, count: usize| {
        for i in 0..count {
            if i % 4 == 3 {
                assert_eq!(link.expired(small, NOW), None);
            } else {
                let seq = link.flights.push(100, None, true, NOW);
                let ack =
                    bitcraps_wire::HopAck { link_tag: 0, largest: seq, bitmap: 0, dwell_us: 0 };
                let mut acked = Vec::new();
                assert!(link.flights.acknowledge(&ack, NOW, |flight| acked.push(flight)));
                link.answered(acked[0], false, NOW);
            }
        }
    };
    feed(&mut link, 63);
    let set = |link: &mut Link, threshold: f64| {
        let config = *Config::new(PeerId::from_bytes([9; 32]), bitcraps_types::Epoch(1), 0)
            .transport(TransportType::WiFiDirect);
        let reliability_threshold = Ratio::clamped(threshold);
        link.reconfigure(crate::TransportConfig { reliability_threshold, ..config }, true);
        link.candidate().tier[0]
    };
    assert_eq!(set(&mut link, 1.0), Tier::Good, "63 samples judge nothing");
    feed(&mut link, 1);
    let bound = f64::from(link.buckets[0].delivery.lower_bound());
    assert!((0.6..0.75).contains(&bound), "{bound}");
    assert_eq!(set(&mut link, 1.0), Tier::BelowThreshold);
    assert_eq!(set(&mut link, bound), Tier::Good, "at the threshold");
    assert_eq!(set(&mut link, bound + 1e-9), Tier::BelowThreshold, "just under it");
    let undelivered = link.candidate().undelivered_ppm[0];
    assert!(undelivered.abs_diff(((1.0 - bound) * 1e6) as u32) <= 1, "{undelivered}");
}

#[test]
fn names_are_read_back() {
    for policy in FailoverPolicy::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
        assert_eq!(FailoverPolicy::of_class(policy.class()), policy);
    }
    let wrong = "fastest".parse::<FailoverPolicy>();
    assert_eq!(wrong, Err(ParsePolicyError("fastest".to_owned())));
}
