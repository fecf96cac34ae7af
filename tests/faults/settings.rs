//! Settings that are obeyed: in each of these, changing one line of the configuration changes what
//! a node does.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_coordinator::{Inbox, Notice, Outcome, SendOptions};
use bitcraps_node::{BootClock, Config, Environment, Node};
use bitcraps_sim::{Fault, LinkModel, Simulation, Way};
use bitcraps_transport_api::mock::{MockHandle, MockNetwork, MockTransport};
use bitcraps_types::{EnergyProfile, Epoch, Packet, PeerId, Ratio, TrafficClass, TransportType};
use tempfile::TempDir;

use super::scene::{MS, Pair, SECOND, carrier, each_seed, settle, single};

/// The shipped configuration with `line` instead of the line that sets the same key in `section`.
fn configured(section: &str, line: &str, data: &Path) -> Config {
    let template = Config::template();
    let key = line.split('=').next().unwrap();
    let mut text = String::new();
    let (mut inside, mut replaced) = (false, false);
    for old in template.lines() {
        if old.starts_with('[') {
            inside = old == format!("[{section}]");
        }
        let same = inside && old.starts_with(key);
        replaced |= same;
        text.push_str(if same { line } else { old });
        text.push('\n');
        match old {
            "[node]" => writeln!(text, "data_dir = {data:?}").unwrap(),
            "[lan]" => writeln!(text, "enabled = false").unwrap(),
            _ => {}
        }
    }
    assert!(replaced, "{key} is not in [{section}]");
    Config::parse(&text, Path::new("bitcraps.toml"), &Environment::default()).unwrap()
}

/// Two nodes with the same settings, one in its test's eyes and one that answers it.
struct Two {
    near: Node,
    far: Node,
    _inbox: Inbox,
    _data: [TempDir; 2],
}

impl Two {
    /// Starts both with `line` in `section`, and a mock network for each of `networks`.
    async fn start(
        section: &str,
        line: &str,
        networks: impl Fn(PeerId, PeerId) -> Vec<MockNetwork>,
    ) -> (Self, Vec<MockHandle>) {
        let data = [(); 2].map(|()| TempDir::new().unwrap());
        let config = |of: &TempDir| configured(section, line, of.path());
        // Keys are made by the first start; mocks have to know them before.
        let [near, far] = [&data[0], &data[1]].map(|dir| {
            let key = config(dir).node().key_file();
            bitcraps_node::Identity::load_or_create(&key).unwrap().peer_id()
        });
        let (mut here, mut there, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for network in networks(near, far) {
            let (a, b, handle) = network.pair();
            here.push(a);
            there.push(b);
            handles.push(handle);
        }
        let node = |dir: &TempDir, transports: Vec<MockTransport>| {
            let builder = Node::configured(&config(dir)).unwrap();
            let with = |builder: bitcraps_node::NodeBuilder, transport| {
                builder.transport(Arc::new(transport))
            };
            transports.into_iter().fold(builder, with)
        };
        let far = node(&data[1], there).start().await.unwrap();
        let near = node(&data[0], here).start().await.unwrap();
        let inbox = far.inbox();
        (Self { near, far, _inbox: inbox, _data: data }, handles)
    }

    /// Waits until this many links carry data.
    async fn ready(&self, links: usize) {
        let mut notices = self.near.notices();
        let ready = || {
            let peers = self.near.peers();
            peers.iter().flat_map(|peer| &peer.links).filter(|link| link.ready).count()
        };
        while ready() < links {
            notices.recv().await.unwrap();
        }
    }

    /// The link that the latest message took first; a copy over another may have been faster.
    fn first_choice(&self) -> Option<TransportType> {
        let decisions = self.near.decisions(self.far.id());
        decisions.iter().rev().find(|decision| decision.attempt == 1)?.transport()
    }

    async fn send(&self, len: usize, options: SendOptions) -> Outcome {
        self.near.send(self.far.id(), vec![7; len], options).unwrap().await
    }
}

const TRANSPORT: &str = "coordination.transport";

/// A fast link by Wi-Fi, a slow one by Bluetooth.
fn fast_and_slow(near: PeerId, far: PeerId) -> Vec<MockNetwork> {
    vec![
        MockNetwork::new(TransportType::WiFiDirect, near, far).with_latency(MS),
        MockNetwork::new(TransportType::Bluetooth, near, far).with_latency(20 * MS),
    ]
}

fn carried_by(outcome: &Outcome) -> TransportType {
    match outcome {
        Outcome::Delivered { link, .. } => link.transport,
        other => panic!("not delivered: {other:?}"),
    }
}

#[tokio::test]
async fn auto_failover_enabled_decides_whether_a_message_leaves_a_dead_link() {
    for (enabled, arrives) in [(true, true), (false, false)] {
        let line = format!("auto_failover_enabled = {enabled}");
        let (two, handles) = Two::start(TRANSPORT, &line, fast_and_slow).await;
        two.ready(2).await;
        let options = single(TrafficClass::Realtime).deadline(SECOND);
        assert_eq!(carried_by(&two.send(100, options).await), TransportType::WiFiDirect);
        handles[0].set_black_hole(true);
        let outcome = two.send(100, options).await;
        if arrives {
            assert_eq!(carried_by(&outcome), TransportType::Bluetooth);
        } else {
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn energy_aware_mode_decides_whether_joules_or_sizes_choose() {
    let networks = |near, far| {
        let energies = [EnergyProfile::MAINS, EnergyProfile::BLUETOOTH_LE];
        let with = |(network, energy): (MockNetwork, _)| network.with_energy(energy);
        fast_and_slow(near, far).into_iter().zip(energies).map(with).collect()
    };
    // A small packet costs nothing on mains power; by its size alone it is Bluetooth's.
    let wanted = [(true, TransportType::WiFiDirect), (false, TransportType::Bluetooth)];
    for (aware, transport) in wanted {
        let line = format!("energy_aware_mode = {aware}");
        let (two, _handles) = Two::start(TRANSPORT, &line, networks).await;
        two.ready(2).await;
        let outcome = two.send(100, single(TrafficClass::Background)).await;
        assert_eq!(carried_by(&outcome), transport, "{line}");
    }
}

#[tokio::test]
async fn max_packet_size_bounds_every_frame() {
    const LEN: usize = 100_000;
    for max in [256, 1_024] {
        let line = format!("max_packet_size = {max}");
        let networks = |near, far| vec![MockNetwork::new(TransportType::WiFiDirect, near, far)];
        let section = "coordination.transport.wifi_direct";
        let (two, handles) = Two::start(section, &line, networks).await;
        two.ready(1).await;
        let before = (handles[0].frames_taken(), handles[0].bytes_taken());
        carried_by(&two.send(LEN, single(TrafficClass::Bulk)).await);
        let frames = handles[0].frames_taken() - before.0;
        let bytes = handles[0].bytes_taken() - before.1;
        let least = LEN.div_ceil(max - bitcraps_wire::Frame::DATA_OVERHEAD) as u64;
        assert!((least..least + 20).contains(&frames), "{frames} frames of {max}, {least} wanted");
        assert!(bytes <= frames * max as u64);
    }
}

#[tokio::test]
async fn connection_timeout_seconds_ends_a_link_that_says_nothing() {
    let mut waited = Vec::new();
    for seconds in [1, 2] {
        let line = format!("connection_timeout_seconds = {seconds}");
        let networks = |near, far| {
            vec![MockNetwork::new(TransportType::WiFiDirect, near, far).link_on_start(false)]
        };
        let section = "coordination.transport.wifi_direct";
        let (two, handles) = Two::start(section, &line, networks).await;
        let mut notices = two.near.notices();
        handles[0].set_black_hole(true);
        let began = BootClock.now();
        handles[0].come_up();
        while !matches!(notices.recv().await.unwrap(), Notice::LinkGone { .. }) {}
        waited.push(BootClock.now().since(began));
    }
    let second = Duration::from_secs(1);
    assert!(waited[0] >= second && waited[1] >= 2 * second, "{waited:?}");
    assert!(waited[0] < 2 * second, "{waited:?}");
}

#[tokio::test]
async fn default_policy_chooses_the_link_of_what_names_no_policy() {
    // The slow one is said to be reliable, the fast one is not.
    let networks = |near, far| {
        let reliabilities = [0.6, 0.99];
        let with = |(network, r): (MockNetwork, f64)| network.with_reliability(r);
        fast_and_slow(near, far).into_iter().zip(reliabilities).map(with).collect()
    };
    let wanted =
        [("FastestFirst", TransportType::WiFiDirect), ("MostReliable", TransportType::Bluetooth)];
    for (policy, transport) in wanted {
        let line = format!("default_policy = {policy:?}");
        let (two, _handles) = Two::start(TRANSPORT, &line, networks).await;
        two.ready(2).await;
        two.near.send_packet(two.far.id(), &Packet::new("roll")).await.unwrap();
        assert_eq!(two.first_choice(), Some(transport), "{policy}");
    }
}

#[tokio::test]
async fn a_reload_puts_the_new_settings_in_force() {
    let line = "default_policy = \"FastestFirst\"";
    let networks = |near, far| {
        let reliabilities = [0.6, 0.99];
        let with = |(network, r): (MockNetwork, f64)| network.with_reliability(r);
        fast_and_slow(near, far).into_iter().zip(reliabilities).map(with).collect()
    };
    let (two, _handles) = Two::start(TRANSPORT, line, networks).await;
    two.ready(2).await;
    let to = two.far.id();
    two.near.send_packet(to, &Packet::new("roll")).await.unwrap();
    assert_eq!(two.first_choice(), Some(TransportType::WiFiDirect));
    let data = two._data[0].path();
    let old = configured(TRANSPORT, line, data);
    let new = configured(TRANSPORT, "default_policy = \"MostReliable\"", data);
    let changes = two.near.reload(&old, &new);
    assert_eq!(changes.len(), 1);
    assert!(!changes[0].needs_restart);
    two.near.send_packet(to, &Packet::new("roll")).await.unwrap();
    assert_eq!(two.first_choice(), Some(TransportType::Bluetooth));
}

/// Chance is the simulator's, so that the share of losses is exact; the settings still come from a
/// file.
#[test]
fn reliability_threshold_decides_whether_a_fast_lossy_link_ranks_first() {
    let data = TempDir::new().unwrap();
    let section = "coordination.transport.wifi_direct";
    for (threshold, by_wifi) in [(0.5, true), (0.95, false)] {
        let config =
            configured(section, &format!("reliability_threshold = {threshold}"), data.path());
        each_seed(|seed| {
            let mut sim = Simulation::new(seed);
            let [a, b] = [(); 2].map(|()| {
                sim.add_node_with(|setup| {
                    setup.config = config.coordination(setup.config.local, Epoch(1));
                })
            });
            let wifi = LinkModel::perfect(TransportType::WiFiDirect);
            let used = sim.add_link(a, b, wifi);
            sim.fault(used, Way::From(a), Fault::Loss(Ratio::clamped(0.04)));
            let internet = LinkModel::perfect(TransportType::Internet).latency(20 * MS);
            let standby = sim.add_link(a, b, internet);
            let mut pair = Pair { sim, a, b, used, standby };
            pair.sim.run_for(2 * SECOND);
            // Enough to judge by.
            pair.stream(300, 20 * MS, 100, single(TrafficClass::Realtime));
            pair.sim.run_for(10 * SECOND);
            let sent = pair.stream(100, 20 * MS, 100, single(TrafficClass::Realtime));
            settle(&mut pair.sim);
            let wifi = sent.iter().filter(|id| carrier(&pair.sim, **id) == Some(pair.used)).count();
            if by_wifi {
                assert!(wifi > 60, "{wifi} of 100 by the lossy link at a threshold of {threshold}");
            } else {
                assert!(wifi < 10, "{wifi} of 100 by the lossy link at a threshold of {threshold}");
            }
        });
    }
}
