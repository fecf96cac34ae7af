//! Every setting of `[coordination.transport]` changes what a node does: each test reads two texts
//! that differ in one key and sees two courses.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Driver, Outcome, SendOptions, Tier, TriedLink, tokio_clock};
use bitcraps_engine::{DialerConfig, Engine};
use bitcraps_node::{Config, Environment};
use bitcraps_sim::{Fate, Fault, LinkModel, NodeId, SendId, SimLink, Simulation, Way};
use bitcraps_transport_api::mock::MockNetwork;
use bitcraps_types::{
    AckLevel, EnergyProfile, Epoch, Kbps, Packet, PeerId, TrafficClass, TransportType,
};
use bitcraps_wire::{Body, Frame};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A whole configuration of which `table` says `line`, and nothing else.
fn configured(table: &str, line: &str) -> Config {
    let environment = [("HOME", "/nowhere")].into_iter().collect::<Environment>();
    let text = format!("[coordination.transport{table}]\n{line}\n");
    Config::parse(&text, Path::new("obedience.toml"), &environment).unwrap()
}

/// Two nodes of one configuration.
fn nodes(config: &Config) -> (Simulation, NodeId, NodeId) {
    let mut sim = Simulation::new(1);
    let mut node = || {
        sim.add_node_with(|setup| {
            setup.config = config.coordination(setup.config.local, setup.config.epoch);
        })
    };
    let (a, b) = (node(), node());
    (sim, a, b)
}

/// One copy only, so that what is seen is the choice of a link.
fn single(class: TrafficClass) -> SendOptions {
    SendOptions::new(class).max_copies(1)
}

fn perfect(transport: TransportType, latency: Duration) -> LinkModel {
    LinkModel::perfect(transport).latency(latency)
}

fn outcome(sim: &Simulation, id: SendId) -> Outcome {
    sim.message(id).outcome.clone().unwrap().1
}

/// The family of the link that carried a message.
fn transport(sim: &Simulation, id: SendId) -> TransportType {
    match outcome(sim, id) {
        Outcome::Delivered { link, level: AckLevel::PeerAcked, .. } => link.transport,
        other => panic!("not delivered: {other:?}"),
    }
}

#[test]
fn auto_failover_enabled_lets_a_message_leave_a_black_hole() {
    let course = |line| {
        let (mut sim, a, b) = nodes(&configured("", line));
        let used = sim.add_link(a, b, perfect(TransportType::WiFiDirect, MS));
        sim.add_link(a, b, perfect(TransportType::Bluetooth, 20 * MS));
        sim.run_for(2 * SECOND);
        let options = single(TrafficClass::Critical).deadline(5 * SECOND);
        let before = sim.send(a, b, 100, options, None);
        sim.run_for(SECOND);
        assert_eq!(transport(&sim, before), TransportType::WiFiDirect);
        sim.fault(used, Way::Both, Fault::BlackHole(true));
        let message = sim.send(a, b, 100, options, None);
        assert!(sim.run_until_idle(10 * SECOND));
        sim.check_settled().unwrap();
        let link = sim.link_id(used, a).unwrap();
        (outcome(&sim, message), TriedLink { link, transport: TransportType::WiFiDirect })
    };
    let (moved, _) = course("auto_failover_enabled = true");
    match moved {
        Outcome::Delivered { link, attempts: 2, .. } => {
            assert_eq!(link.transport, TransportType::Bluetooth);
        }
        other => panic!("{other:?}"),
    }
    let (stayed, used) = course("auto_failover_enabled = false");
    assert_eq!(stayed, Outcome::Unknown { tried: vec![used] });
}

#[test]
fn energy_aware_mode_weighs_joules_instead_of_bytes() {
    let course = |line| {
        let (mut sim, a, b) = nodes(&configured("", line));
        // A small packet: Bluetooth by the rule of size, the radio on mains power by energy.
        sim.add_link(a, b, perfect(TransportType::WiFiDirect, MS).energy(EnergyProfile::MAINS));
        let bluetooth = perfect(TransportType::Bluetooth, MS);
        sim.add_link(a, b, bluetooth.energy(EnergyProfile::BLUETOOTH_LE));
        sim.run_for(2 * SECOND);
        let message = sim.send(a, b, 64, single(TrafficClass::Background), None);
        assert!(sim.run_until_idle(SECOND));
        transport(&sim, message)
    };
    assert_eq!(course("energy_aware_mode = true"), TransportType::WiFiDirect);
    assert_eq!(course("energy_aware_mode = false"), TransportType::Bluetooth);
}

#[test]
fn max_packet_size_bounds_frames() {
    const LEN: usize = 10_000;
    let course = |line| {
        let (mut sim, a, b) = nodes(&configured(".wifi_direct", line));
        let link = sim.add_link(a, b, perfect(TransportType::WiFiDirect, MS).max_frame(65_536));
        sim.run_for(2 * SECOND);
        sim.record(link, a);
        let message = sim.send(a, b, LEN, single(TrafficClass::Critical), None);
        assert!(sim.run_until_idle(SECOND));
        assert_eq!(transport(&sim, message), TransportType::WiFiDirect);
        let frames = sim.recorded(link, a).iter().map(|recorded| recorded.frame.clone());
        let bears_data =
            |f: &bytes::Bytes| matches!(Frame::decode(f.clone()).unwrap().body, Body::Data(_));
        let lens: Vec<usize> = frames.filter(bears_data).map(|f| f.len()).collect();
        (lens.len(), lens.into_iter().max().unwrap())
    };
    let payload = 512 - Frame::DATA_OVERHEAD;
    assert_eq!(course("max_packet_size = 512"), (LEN.div_ceil(payload), 512));
    assert_eq!(course("max_packet_size = 65536"), (1, LEN + Frame::DATA_OVERHEAD));
}

#[test]
fn connection_timeout_seconds_ends_a_link_that_never_greets() {
    let nanosecond = Duration::from_nanos(1);
    for seconds in [3, 7] {
        let line = format!("connection_timeout_seconds = {seconds}");
        let (mut sim, a, b) = nodes(&configured(".wifi_direct", &line));
        let model = perfect(TransportType::WiFiDirect, MS);
        let link: SimLink = sim.add_link_down(a, b, [model; 2]);
        sim.fault(link, Way::Both, Fault::BlackHole(true));
        sim.bring_up(link);
        sim.run_for(seconds * SECOND - nanosecond);
        assert!(sim.link_id(link, a).is_some(), "given up before {seconds} s");
        sim.run_for(nanosecond);
        assert_eq!(sim.link_id(link, a), None, "kept after {seconds} s");
    }
}

#[test]
fn reliability_threshold_ranks_a_lossy_link_behind() {
    let course = |line| {
        let (mut sim, a, b) = nodes(&configured(".wifi_direct", line));
        let lossy = sim.add_link(a, b, perfect(TransportType::WiFiDirect, MS));
        sim.add_link(a, b, perfect(TransportType::Bluetooth, 20 * MS));
        let mut seen = 0;
        sim.rule(lossy, Way::From(a), move |frame| {
            seen += u32::from(frame.bears_data());
            // Never two in a row, which would make it suspect.
            let lost = frame.bears_data() && seen.is_multiple_of(8);
            if lost { Fate::Drop } else { Fate::Pass }
        });
        sim.run_for(2 * SECOND);
        let options = single(TrafficClass::Realtime).deadline(SECOND);
        for _ in 0..200 {
            sim.send(a, b, 100, options, None);
            sim.run_for(50 * MS);
        }
        sim.clear_rules(lossy, Way::Both);
        let last = sim.send(a, b, 100, options, None);
        assert!(sim.run_until_idle(SECOND));
        let id = sim.link_id(lossy, a).unwrap();
        let peers = sim.core(a).unwrap().peers(sim.clock(a));
        let status = peers[0].links.iter().find(|l| l.facts.link == id).unwrap();
        (status.tier, transport(&sim, last))
    };
    let strict = course("reliability_threshold = 0.95");
    assert_eq!(strict, (Tier::BelowThreshold, TransportType::Bluetooth));
    let lenient = course("reliability_threshold = 0.5");
    assert_eq!(lenient, (Tier::Good, TransportType::WiFiDirect));
}

/// The transport that the first packet without a wish takes: Wi-Fi is the fastest, Bluetooth the
/// most reliable, and the internet costs no energy and carries most.
async fn first_choice(config: &Config) -> TransportType {
    let (near_id, far_id) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
    let driver = |peer| {
        let engine = Engine::new(config.coordination(peer, Epoch(1)), DialerConfig::default());
        Driver::start(engine, tokio_clock())
    };
    let (near, far) = (driver(near_id), driver(far_id));
    let _inbox = far.inbox();
    let rate = |kbps| Kbps::new(kbps).unwrap();
    for (transport, millis, reliability, kbps, energy) in [
        (TransportType::Bluetooth, 30, 1.0, 300, EnergyProfile::BLUETOOTH_LE),
        (TransportType::WiFiDirect, 1, 0.9, 10_000, EnergyProfile::WIFI),
        (TransportType::Internet, 20, 0.9, 100_000, EnergyProfile::MAINS),
    ] {
        let network = MockNetwork::new(transport, near_id, far_id)
            .with_latency(Duration::from_millis(millis))
            .with_reliability(reliability)
            .with_rate(rate(kbps))
            .with_energy(energy);
        let (one, other, _) = network.pair();
        near.register_transport(Arc::new(one)).await.unwrap();
        far.register_transport(Arc::new(other)).await.unwrap();
    }
    let mut notices = near.notices();
    while near.get_available_transports(far_id).len() < TransportType::COUNT {
        notices.recv().await.unwrap();
    }
    near.send_packet(far_id, &Packet::new("roll")).await.unwrap();
    // A second copy may be confirmed before the first.
    near.decisions(far_id)[0].transport().unwrap()
}

#[tokio::test(start_paused = true)]
async fn default_policy_chooses_for_packets_without_a_wish() {
    for (policy, transport) in [
        ("FastestFirst", TransportType::WiFiDirect),
        ("MostReliable", TransportType::Bluetooth),
        ("EnergyEfficient", TransportType::Internet),
        ("LoadBalanced", TransportType::Internet),
    ] {
        let config = configured("", &format!("default_policy = {policy:?}"));
        assert_eq!(first_choice(&config).await, transport, "{policy}");
    }
}
