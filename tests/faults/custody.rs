//! What the destination's application does with what its node acknowledged.

use bitcraps_coordinator::{Outcome, Progress, RejectReason, SendOptions};
use bitcraps_sim::{App, Fortune, LinkModel, NodeId, SendId, Simulation, Verdict};
use bitcraps_types::{AckLevel, TrafficClass, TransportType};

use super::scene::{MS, SECOND, confirmed, each_seed, settle};

/// A bet to a peer whose application gives `verdict`, and how it stands half a second later.
fn bet(seed: u64, verdict: Verdict, ack: AckLevel) -> (Simulation, NodeId, SendId) {
    let mut sim = Simulation::new(seed);
    let a = sim.add_node();
    let b = sim.add_node_with(|setup| setup.app = App::default().verdict(verdict));
    sim.add_link(a, b, LinkModel::perfect(TransportType::WiFiDirect));
    sim.run_for(SECOND);
    let options = SendOptions::new(TrafficClass::Critical).ack(ack).deadline(10 * SECOND);
    let id = sim.send(a, b, 100, options, None);
    sim.run_for(SECOND / 2);
    assert_eq!(sim.app(b).delivered().len(), 1, "in its inbox");
    (sim, a, id)
}

fn progress(sim: &Simulation, a: NodeId, id: SendId) -> Option<Progress> {
    let Fortune::Taken(ticket) = sim.message(id).fortune else { panic!("not taken") };
    sim.core(a).unwrap().progress(ticket)
}

#[test]
fn fault_27_a_peer_that_acks_and_sits_on_the_data_has_not_applied_it() {
    each_seed(|seed| {
        // Nobody who asked for the application's word is told less.
        let (mut sim, a, id) = bet(seed, Verdict::Silent, AckLevel::Applied);
        assert!(matches!(progress(&sim, a, id), Some(Progress::PeerAcked { .. })));
        assert_eq!(sim.message(id).outcome, None);
        settle(&mut sim);
        let (at, outcome) = sim.message(id).outcome.clone().unwrap();
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(at.since(sim.message(id).at), 10 * SECOND);
        // Who asked for custody has it after a round trip.
        let (mut sim, _, id) = bet(seed, Verdict::Silent, AckLevel::PeerAcked);
        let level = |sim: &Simulation, id| match sim.message(id).outcome {
            Some((_, Outcome::Delivered { level, .. })) => Some(level),
            _ => None,
        };
        assert_eq!(level(&sim, id), Some(AckLevel::PeerAcked));
        assert!(confirmed(&sim, id).1 < 3 * MS);
        settle(&mut sim);
        // The application's word comes when it comes.
        let late = Verdict::AppliesAfter(5 * SECOND);
        let (mut sim, a, id) = bet(seed, late, AckLevel::Applied);
        assert!(matches!(progress(&sim, a, id), Some(Progress::PeerAcked { .. })));
        settle(&mut sim);
        assert_eq!(level(&sim, id), Some(AckLevel::Applied));
        assert!((5 * SECOND..5 * SECOND + 3 * MS).contains(&confirmed(&sim, id).1));
        let (mut sim, _, id) = bet(seed, Verdict::Refuses, AckLevel::Applied);
        settle(&mut sim);
        let why = RejectReason::Refused;
        assert_eq!(sim.message(id).outcome.as_ref().unwrap().1, Outcome::Rejected { why });
    });
}
