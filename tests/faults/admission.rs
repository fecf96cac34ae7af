//! Who is let in: strangers in any number, two devices with one key, claims that collide, and ends
//! of which only one can dial.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bitcraps_coordinator::{Command, LinkUp, Machine, Notice, Outcome, RejectReason, Standing};
use bitcraps_engine::{AdmissionConfig, AdmissionMode, Engine, STRANGER_LINKS};
use bitcraps_node::transport_wifi::{Identity as LinkIdentity, WifiConfig, WifiTransport};
use bitcraps_node::{EpochError, EpochFile, Identity, Node, StartNodeError};
use bitcraps_sim::{Death, Fault, LinkModel, NodeId, Return, SendId, Simulation, Way};
use bitcraps_transport_api::StartError;
use bitcraps_types::{
    Address, DownReason, EnergyProfile, Epoch, HintSource, LinkCapabilities, LinkId, Medium,
    PeerId, Ratio, Timestamp, TrafficClass, TransportType,
};
use bitcraps_wire::{Body, Join, Probe};
use bytes::Bytes;

use super::scene::{
    MS, SECOND, confirmed, each_seed, fragment, frame, intruder, settle, single, transit,
};

fn wifi() -> LinkModel {
    LinkModel::perfect(TransportType::WiFiDirect)
}

/// `b` admits `a` and, by the mode, others; both are linked.
fn friends(seed: u64, mode: AdmissionMode, peers: usize) -> (Simulation, NodeId, NodeId) {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node();
    let friend = sim.peer_id(a);
    let b = sim.add_node_with(|setup| {
        let allow = [friend].into();
        setup.admission = AdmissionConfig { mode, allow, ..AdmissionConfig::default() };
        setup.config.peers = peers;
    });
    sim.add_link(a, b, wifi());
    sim.run_for(2 * SECOND);
    (sim, a, b)
}

/// Messages of all classes from `a` to `b`, one each 10 ms for 10 s.
fn traffic(sim: &mut Simulation, a: NodeId, b: NodeId) -> Vec<SendId> {
    let from = sim.now();
    let class = |i: usize| TrafficClass::ALL[i % TrafficClass::COUNT];
    (0..1_000)
        .map(|i| sim.send_at(from + 10 * MS * i as u32, a, b, 100, single(class(i)), None))
        .collect()
}

fn transits(sim: &Simulation, sent: &[SendId]) -> Vec<Duration> {
    sent.iter().map(|id| transit(sim, *id).unwrap()).collect()
}

/// Link ids far above those of the simulation.
const NEWCOMERS: u64 = 1 << 40;

/// A link that somebody new brings up, and whose other end says nothing.
fn newcomer(n: u64) -> LinkUp {
    let mut key = [0xee; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    LinkUp {
        link: LinkId(NEWCOMERS + n),
        peer: PeerId::from_bytes(key),
        transport: TransportType::WiFiDirect,
        capabilities: LinkCapabilities {
            max_frame: 65_536,
            nominal_rate: wifi().rate,
            energy: EnergyProfile::MAINS,
            metered: false,
            prior_reliability: Ratio::ONE,
            medium: Medium::Emulated,
        },
    }
}

/// The link comes up, and whatever is closed because of it goes down.
fn let_in(engine: &mut Engine, link: LinkUp, now: Timestamp) {
    engine.link_up(link, Address::new("somewhere"), now);
    while let Some(command) = engine.poll_command() {
        match command {
            Command::Close { link, .. } => {
                engine.link_down(link, &DownReason::ClosedHere, now);
            }
            // Nobody hears the greeting; and nobody but this test hears what is told of strangers.
            Command::Transmit { link, .. } => assert!(link.0 >= NEWCOMERS),
            Command::Notice(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fault_17_of_two_devices_with_one_key_the_newer_is_shut_out_with_one_alert() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let key = sim.peer_id(b);
        let link = sim.add_link(a, b, wifi());
        sim.run_for(2 * SECOND);
        let sent = traffic(&mut sim, a, b);
        sim.run_for(SECOND);
        // Somebody has copied the key, and starts a device with it again and again.
        let thief = sim.add_node_with(|setup| {
            setup.config.local = key;
            setup.config.epoch = Epoch(7);
        });
        let stolen = sim.add_link(a, thief, wifi());
        for _ in 0..5 {
            sim.run_for(SECOND);
            assert_eq!(sim.link_id(stolen, a), None, "it is closed");
            assert_eq!(sim.core(a).unwrap().epoch_of(key), Some(Epoch(1)));
            sim.bring_up(stolen);
        }
        sim.run_for(SECOND);
        assert!(!sim.engine(a).unwrap().may_relay(key, sim.clock(a)), "somebody else may be it");
        settle(&mut sim);
        assert!(sent.iter().all(|id| sim.message(*id).is_delivered()), "and nobody noticed");
        assert!(sim.app(thief).delivered().is_empty());
        let told = Notice::KeyConflict { peer: key, epoch: Epoch(1), shut_out: Epoch(7) };
        let alerts = |sim: &Simulation| {
            let notices = sim.notices(a).iter().map(|(_, notice)| notice);
            notices.filter(|n| matches!(n, Notice::KeyConflict { .. })).cloned().collect::<Vec<_>>()
        };
        assert_eq!(alerts(&sim), [told]);
        // A restart is none: the device that was there comes back in its next epoch.
        sim.kill(b, Death::Silent);
        sim.restart(b, Return::SameLinks);
        sim.run_for(3 * SECOND);
        assert_eq!(sim.core(a).unwrap().epoch_of(key), Some(Epoch(2)));
        assert_eq!(alerts(&sim).len(), 1);
        assert!(sim.link_id(link, a).is_some(), "and keeps its link");
    });
}

#[test]
fn fault_18_new_identities_in_any_number_take_a_bounded_place_and_disturb_nobody() {
    const KNOWN: usize = 500;
    const NEW: u64 = 1_000_000;
    let modes = [AdmissionMode::Open, AdmissionMode::AllowList, AdmissionMode::Invitation];
    for (seed, mode) in (1..).zip(modes) {
        let (mut sim, a, b) = friends(seed, mode, KNOWN);
        let sent = traffic(&mut sim, a, b);
        settle(&mut sim);
        let usual = transits(&sim, &sent);

        let (mut sim, a, b) = friends(seed, mode, KNOWN);
        let friend = sim.peer_id(a);
        let sent = traffic(&mut sim, a, b);
        let from = sim.now();
        let most = match mode {
            AdmissionMode::Open => 256,
            AdmissionMode::AllowList | AdmissionMode::Invitation => STRANGER_LINKS,
        };
        for step in 0..100 {
            sim.run_until(from + 100 * MS * step);
            let first = u64::from(step) * NEW / 100;
            for n in first..first + NEW / 100 {
                sim.with_engine(b, |engine, now| let_in(engine, newcomer(n), now));
            }
            let core = sim.core(b).unwrap();
            let peers = core.peers(sim.clock(b));
            assert!(peers.len() <= KNOWN, "{} peers", peers.len());
            let links: usize = peers.iter().map(|peer| peer.links.len()).sum();
            assert!(links <= most + 1, "{links} links");
            assert_eq!(core.standing(friend), Some(Standing::Admitted));
        }
        settle(&mut sim);
        // A probe that leaves just before a message delays it, with strangers as without.
        let probe = wifi().rate.air_time(64);
        for (took, usual) in transits(&sim, &sent).iter().zip(&usual) {
            assert!(took.abs_diff(*usual) <= probe, "{took:?} instead of {usual:?}");
        }
    }
}

#[test]
fn fault_29_strangers_take_no_more_memory_than_their_budget() {
    /// What a stranger with a link may cost: its place, its link, what waits for it.
    const EACH: i64 = 32 << 10;
    each_seed(|seed| {
        let (mut sim, a, b) = friends(seed, AdmissionMode::Invitation, 1_000);
        let mut held = 0;
        let part = Bytes::from(vec![7; 10_000]);
        for n in 0..2_000 {
            // One each 50 ms, each with claims of large messages, proofs and probes.
            sim.run_for(50 * MS);
            let info = measure(|| {
                sim.with_engine(b, |engine, now| {
                    let stranger = newcomer(n);
                    let_in(engine, stranger, now);
                    let hello = bitcraps_wire::Hello {
                        epoch: Epoch(1),
                        memory: Epoch(1),
                        instance: n,
                        link_tag: 1,
                        challenge: n,
                        echo: None,
                    };
                    let mut frames = vec![frame(0, Body::Hello(hello)).encode()];
                    for i in 0..100 {
                        let data = fragment(i, 16 << 20, 5_000_000, part.clone());
                        frames.push(frame(i as u32, Body::Data(data)).encode());
                        let probe = Probe { nonce: i, padding: 64 };
                        frames.push(frame(1_000 + i as u32, Body::Probe(probe)).encode());
                        let join = Join { invitation: [i as u8; 8], proof: [n as u8; 32] };
                        frames.push(frame(0, Body::Join(join)).encode());
                    }
                    engine.core_mut().frames_received(stranger.link, &mut frames, now);
                });
            });
            held += info.bytes_current;
        }
        // What the simulation writes down of it is not counted as the node's: notices.
        let notices = (sim.notices(b).len() * 128) as i64;
        // The stranger's places: those with a link, and those that are remembered for ten minutes.
        let strangers = sim.core(b).unwrap().peers(sim.clock(b)).len() as i64;
        assert!(strangers <= 1_000);
        let budget = strangers * EACH + notices;
        assert!(held <= budget, "{held} bytes held, {budget} allowed");
        let counters = sim.core(b).unwrap().counters();
        assert!(counters.not_admitted > 0 && counters.stranger_frames > 0, "{counters:?}");
        assert!(sim.app(b).delivered().is_empty());
        let bet = sim.send(a, b, 100, single(TrafficClass::Critical), None);
        settle(&mut sim);
        assert!(sim.message(bet).is_delivered());
    });
}

#[test]
fn a_stranger_is_told_that_it_is_not_admitted() {
    each_seed(|seed| {
        let (mut sim, _, b) = friends(seed, AdmissionMode::AllowList, 1_000);
        let (c, link) = intruder(&mut sim, b, wifi().loss(0.2));
        sim.run_for(SECOND);
        for class in TrafficClass::ALL {
            let sent = sim.send(c, b, 5_000, single(class).deadline(10 * SECOND), None);
            assert!(sim.run_until_idle(20 * SECOND));
            let why = RejectReason::NotAdmitted;
            let outcome = &sim.message(sent).outcome.as_ref().unwrap().1;
            assert_eq!(*outcome, Outcome::Rejected { why });
        }
        assert!(sim.link_id(link, b).is_some(), "it stays linked, greeted and probed");
        settle(&mut sim);
        assert!(sim.app(b).delivered().is_empty());
    });
}

#[test]
fn fault_50_where_only_the_larger_key_can_dial_it_does_after_its_grace() {
    each_seed(|seed| {
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let (small, large) = if sim.peer_id(a) < sim.peer_id(b) { (a, b) } else { (b, a) };
        let link = sim.add_link_down(small, large, [wifi(), wifi()]);
        // The smaller key, which is to dial first, knows no address of the larger.
        sim.discover(link, large, HintSource::Beacon);
        sim.run_for(3 * SECOND - MS);
        assert_eq!(sim.link_id(link, large), None, "the other end has its chance");
        sim.run_for(10 * MS);
        assert!(sim.link_id(link, large).is_some() && sim.link_id(link, small).is_some());
        sim.run_for(SECOND);
        let bet = sim.send(small, large, 100, single(TrafficClass::Critical), None);
        settle(&mut sim);
        assert_eq!(confirmed(&sim, bet).0, 1);
        // And again when it is lost.
        sim.take_down(link, DownReason::TimedOut);
        sim.discover(link, large, HintSource::Beacon);
        sim.run_for(4 * SECOND);
        assert!(sim.link_id(link, small).is_some());
        // One that cannot pass frames does not hold it up for ever either.
        sim.fault(link, Way::Both, Fault::BlackHole(true));
        sim.run_for(SECOND);
    });
}

fn lan(seed: u8, listen: &str) -> Arc<WifiTransport> {
    let identity = Identity::from_seed(&[seed; 32]);
    let key = LinkIdentity::from(identity.signing_key().clone());
    Arc::new(WifiTransport::new(WifiConfig::new(vec![listen.parse().unwrap()]), key).unwrap())
}

#[tokio::test]
async fn fault_48_two_claims_on_one_port_or_one_directory_are_told_by_type() {
    let first = lan(1, "127.0.0.1:0");
    let node = Node::builder(&Identity::from_seed(&[1; 32]), Epoch(1));
    let node = node.transport(Arc::clone(&first) as _).start().await.unwrap();
    let taken = first.local_addresses()[0].to_string();
    let second = Node::builder(&Identity::from_seed(&[2; 32]), Epoch(1));
    match second.transport(lan(2, &taken)).start().await.err().unwrap() {
        StartNodeError::Transport(error) => match error.why {
            StartError::InUse { what, .. } => assert_eq!(what, taken),
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
    node.shutdown().await;

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("epoch");
    let holder = EpochFile::open(&path).unwrap();
    let locked = EpochError::Locked(home.path().join("epoch.lock"));
    assert_eq!(EpochFile::open(&path).unwrap_err(), locked);
    drop(holder);
    assert!(EpochFile::open(&path).is_ok());
}
