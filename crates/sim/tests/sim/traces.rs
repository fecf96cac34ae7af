use std::path::PathBuf;
use std::time::Duration;

use bitcraps_coordinator::{Notice, SendOptions};
use bitcraps_sim::{LinkModel, LinkTrace, NodeId, Outage, SimLink, Simulation, Way};
use bitcraps_types::{Kbps, Timestamp, TrafficClass, TransportType};

const MILLI: Duration = Duration::from_millis(1);

fn trace(rows: &str) -> LinkTrace {
    LinkTrace::parse(&format!("t_ms,up,latency_ms,loss,kbps\n{rows}")).unwrap()
}

fn one_link(seed: u64) -> (Simulation, NodeId, NodeId, SimLink) {
    let mut sim = Simulation::new(seed);
    let (a, b) = (sim.add_node(), sim.add_node());
    let link = sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    (sim, a, b, link)
}

#[test]
fn a_trace_steers_latency_and_rate_and_repeats() {
    let (mut sim, a, _, link) = one_link(1);
    sim.run_for(100 * MILLI);
    let trace = trace("0,1,5,0,800\n1000,1,9,0.25,80\n");
    sim.replay(link, Way::From(a), trace, 500 * MILLI, Outage::Silent);
    for (wait, latency, kbps, loss) in
        [(0, 5, 800, 0.0), (499, 5, 800, 0.0), (1, 9, 80, 0.25), (1_000, 5, 800, 0.0)]
    {
        sim.run_for(MILLI * wait);
        let model = sim.model(link, a).unwrap();
        assert_eq!(model.latency, MILLI * latency);
        assert_eq!((model.rate, model.loss.get()), (Kbps::at_least_one(kbps), loss));
    }
}

#[test]
fn a_row_without_capacity_stops_what_is_leaving() {
    let size = bitcraps_wire::Frame::DATA_OVERHEAD + 62;
    // Half of the frame leaves in the first row, nothing in the second, the rest in the third.
    let half = size as u64 * 8 / 2;
    let rows = format!("0,1,1,0,1\n{half},1,1,0,0\n{},1,1,0,1\n", half + 7);
    let (mut sim, a, b, link) = one_link(2);
    sim.run_until(Timestamp::from_millis(1_000));
    sim.record(link, a);
    sim.replay(link, Way::From(a), trace(&rows), Duration::ZERO, Outage::Silent);
    sim.send(a, b, 62, SendOptions::new(TrafficClass::Critical), None);
    sim.run_for(Duration::from_secs(3));
    let left = sim.recorded(link, a)[0].at.since(Timestamp::from_millis(1_000));
    assert_eq!(left, MILLI * (2 * half as u32 + 7));
}

#[test]
fn a_gap_is_silent_or_told_after_a_while() {
    let rows = "0,1,1,0,1000\n1000,0,1,0,0\n3000,1,1,0,1000\n9000,1,1,0,1000\n";
    for (outage, told) in [
        (Outage::Silent, None),
        (Outage::Told { after: 400 * MILLI }, Some(1_400)),
        (Outage::Told { after: 2_500 * MILLI }, None),
    ] {
        let (mut sim, a, b, link) = one_link(3);
        sim.replay(link, Way::Both, trace(rows), Duration::ZERO, outage);
        let options = SendOptions::new(TrafficClass::Critical);
        let in_gap = sim.send_at(Timestamp::from_millis(1_200), a, b, 100, options, None);
        sim.run_until(Timestamp::from_millis(2_900));
        assert!(!sim.message(in_gap).is_settled(), "{outage:?}");
        let gone = sim.notices(a).iter().find(|(_, n)| matches!(n, Notice::LinkGone { .. }));
        assert_eq!(gone.map(|(at, _)| *at), told.map(Timestamp::from_millis), "{outage:?}");
        sim.run_until(Timestamp::from_millis(8_000));
        assert!(sim.message(in_gap).is_delivered(), "{outage:?}");
        sim.check_settled().unwrap();
    }
}

/// Where measured traces are, if anywhere.
fn measured() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("BITCRAPS_DATA").map_or(beside, PathBuf::from);
    let folder = root.join("links/open");
    folder.is_dir().then_some(folder)
}

#[test]
#[expect(clippy::print_stdout, reason = "a skip is visible")]
fn messages_cross_measured_links() {
    let Some(folder) = measured() else {
        println!("skipped: no links/open beneath BITCRAPS_DATA");
        return;
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let kinds = ["ble", "wifi", "inet"].map(|prefix| {
        let of_kind = |path: &&PathBuf| {
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix))
        };
        files.iter().filter(of_kind).map(|path| LinkTrace::read(path).unwrap()).collect::<Vec<_>>()
    });
    assert!(kinds.iter().all(|traces| !traces.is_empty()));
    let (mut sent, mut delivered) = (0, 0);
    for round in 0..6 {
        let mut sim = Simulation::new(round as u64);
        let (a, b) = (sim.add_node(), sim.add_node());
        let models = [LinkModel::bluetooth_le(), LinkModel::wifi(), LinkModel::internet()];
        for ((model, traces), seconds) in models.into_iter().zip(&kinds).zip([4, 1, 3]) {
            let link = sim.add_link(a, b, model);
            let after = Duration::from_secs(seconds);
            let trace = traces[round * 7 % traces.len()].clone();
            sim.replay(link, Way::Both, trace, Duration::ZERO, Outage::Told { after });
        }
        for i in 0..400 {
            let at = Timestamp::from_millis(1_000 + 100 * i);
            let class = TrafficClass::ALL[i as usize % 4];
            sim.send_at(at, a, b, 200, SendOptions::new(class), None);
        }
        sim.run_until(Timestamp::from_millis(400_000));
        sim.check_settled().unwrap();
        let kept = |m: &&bitcraps_sim::Message| m.options.class == TrafficClass::Critical;
        sent += sim.messages().iter().filter(kept).count();
        delivered += sim.messages().iter().filter(kept).filter(|m| m.is_delivered()).count();
    }
    assert_eq!(delivered, sent);
}
