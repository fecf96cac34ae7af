//! A thousand who do the same thing at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcraps_coordinator::FailoverPolicy;
use bitcraps_sim::{Fate, LinkModel, NodeId, Passing, SendId, SimLink, Simulation, Way};
use bitcraps_types::{Kbps, Timestamp, TrafficClass};

use super::scene::{MS, SECOND, settle, single};

/// Stations around one node.
const STATIONS: usize = 1_000;
/// What an access point carries: about three times what the stations say and are told.
const AIR: Kbps = Kbps::at_least_one(30_000);
/// Its queue; what does not fit is lost.
const QUEUE: Duration = Duration::from_millis(250);
/// Bytes that a frame takes on the air beside its own.
const PREAMBLE: usize = 60;

/// One access point: what any of its stations sends or is sent goes out one after the other.
#[derive(Debug, Default)]
struct AccessPoint {
    dead: bool,
    busy_until: Timestamp,
    /// When it carried a message or a part of one.
    carried: Vec<Timestamp>,
}

impl AccessPoint {
    fn carry(&mut self, passing: &Passing<'_>) -> Fate {
        let start = self.busy_until.max(passing.at);
        if self.dead || start.since(passing.at) > QUEUE {
            return Fate::Drop;
        }
        if passing.bears_data() {
            self.carried.push(passing.at);
        }
        self.busy_until = start + AIR.air_time(passing.frame.len() + PREAMBLE);
        Fate::Delay(self.busy_until.since(passing.at))
    }
}

/// A thousand stations, each linked with one node through two access points, and the traffic
/// between them: all are told something at once five times in two seconds, and each says something
/// once a second, in its own time.
struct Crowd {
    sim: Simulation,
    hub: NodeId,
    stations: Vec<NodeId>,
    home: Arc<Mutex<AccessPoint>>,
    spare: Arc<Mutex<AccessPoint>>,
    /// Whether a link goes through the access point that everybody prefers.
    at_home: BTreeMap<SimLink, bool>,
}

impl Crowd {
    fn new(seed: u64, spare_latency: Duration) -> Self {
        let mut sim = Simulation::new(seed);
        let stations: Vec<_> = (0..STATIONS).map(|_| sim.add_node()).collect();
        // Friends: so many strangers would not be let in at once.
        let allow = stations.iter().map(|station| sim.peer_id(*station)).collect();
        let hub = sim.add_node_with(|setup| setup.admission.allow = allow);
        let (home, spare) = <(Arc<Mutex<AccessPoint>>, Arc<Mutex<AccessPoint>>)>::default();
        let mut places = BTreeMap::new();
        for station in &stations {
            for (at_home, latency) in [(true, 2 * MS), (false, spare_latency)] {
                let link = sim.add_link(hub, *station, LinkModel::wifi().latency(latency));
                let point = Arc::clone(if at_home { &home } else { &spare });
                sim.rule(link, Way::Both, move |passing| point.lock().unwrap().carry(passing));
                places.insert(link, at_home);
            }
        }
        sim.run_for(10 * SECOND);
        Self { sim, hub, stations, home, spare, at_home: places }
    }

    /// What is said and told for so many seconds from now on.
    fn talk(&mut self, seconds: u32) -> Vec<SendId> {
        let Self { sim, hub, stations, .. } = self;
        let (from, options) = (sim.now(), single(TrafficClass::Critical));
        let policy = Some(FailoverPolicy::FastestFirst);
        let mut sent = Vec::new();
        for round in 0..seconds * 5 / 2 {
            let at = from + 400 * MS * round;
            for station in &*stations {
                sent.push(sim.send_at(at, *hub, *station, 100, options, policy));
            }
        }
        for second in 0..seconds {
            for (seat, station) in stations.iter().enumerate() {
                let at = from + SECOND * second + MS * seat as u32;
                sent.push(sim.send_at(at, *station, *hub, 100, options, policy));
            }
        }
        sent
    }

    fn at(&mut self, at: Timestamp, dead: bool) {
        let home = Arc::clone(&self.home);
        self.sim.at(at, move |_| home.lock().unwrap().dead = dead);
    }

    /// How long a message took to be confirmed.
    fn took(&self, id: SendId) -> Duration {
        let message = self.sim.message(id);
        assert!(message.is_delivered(), "{:?}", message.outcome);
        let (settled, _) = message.outcome.as_ref().unwrap();
        settled.since(message.at)
    }

    /// When what a station was told came through another access point than what it was told before.
    fn moves(&self, station: usize) -> Vec<Timestamp> {
        let mut place = true;
        let mut moves = Vec::new();
        for record in self.sim.app(self.stations[station]).delivered() {
            let link = self.sim.link_of(record.delivery.link).unwrap();
            if std::mem::replace(&mut place, self.at_home[&link]) != place {
                moves.push(record.at);
            }
        }
        moves
    }
}

/// Most moves in any time of that length.
fn most_within(moves: &[Timestamp], window: Duration) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (last, at) in moves.iter().enumerate() {
        while at.since(moves[first]) >= window {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[test]
fn fault_35_a_thousand_move_at_once_when_an_access_point_dies_and_none_is_buried() {
    let mut crowd = Crowd::new(1, 8 * MS);
    let start = crowd.sim.now();
    let sent = crowd.talk(12);
    // Nobody tells of it; a moment later everybody is told something.
    let death = start + 4 * SECOND - MS;
    crowd.at(death, true);
    settle(&mut crowd.sim);
    // All are told something three times in the even seconds.
    let told = |second: u32| if second.is_multiple_of(2) { 4_000 } else { 3_000 };
    let worst = |second: u32| {
        let from = start + SECOND * second;
        let then = |id: &&SendId| (from..from + SECOND).contains(&crowd.sim.message(**id).at);
        let took: Vec<Duration> = sent.iter().filter(then).map(|id| crowd.took(*id)).collect();
        assert_eq!(took.len(), told(second));
        took.into_iter().max().unwrap()
    };
    let carried = |second: u32| {
        let from = start + SECOND * second;
        let spare = crowd.spare.lock().unwrap();
        spare.carried.iter().filter(|at| (from..from + SECOND).contains(*at)).count()
    };
    for second in 4..12 {
        let (carried, told) = (carried(second), told(second));
        assert!(carried <= told * 6 / 5, "{carried} copies of {told} messages in second {second}");
        if second >= 8 {
            let worst = worst(second);
            assert!(worst < SECOND / 2, "{worst:?} in second {second}");
            assert!(carried <= told * 101 / 100, "{carried} copies of {told} messages");
        }
    }
    let moved = (0..STATIONS).filter(|station| !crowd.moves(*station).is_empty()).count();
    assert_eq!(moved, STATIONS);
}

#[test]
fn fault_36_a_thousand_return_one_after_the_other() {
    let mut crowd = Crowd::new(1, 60 * MS);
    let start = crowd.sim.now();
    let sent = crowd.talk(24);
    crowd.at(start + 4 * SECOND - MS, true);
    let back = start + 8 * SECOND;
    crowd.at(back, false);
    settle(&mut crowd.sim);
    let moves: Vec<_> = (0..STATIONS).map(|station| crowd.moves(station)).collect();
    assert!(moves.iter().all(|moves| moves.len() <= 6), "nobody goes to and fro");
    let after = |moves: &Vec<Timestamp>| moves.iter().copied().find(|at| *at >= back);
    let mut returns: Vec<Timestamp> = moves.iter().filter_map(after).collect();
    returns.sort_unstable();
    assert!(returns.len() > STATIONS * 9 / 10, "{} return", returns.len());
    let later = |moves: &&Vec<Timestamp>| moves.iter().filter(|at| **at >= back).count() > 1;
    let again = moves.iter().filter(later).count();
    assert!(again <= STATIONS / 20, "{again} leave again, though nothing is wrong any more");
    // Nine hundred come back in a second when each waits for its probes alone.
    let most = most_within(&returns, SECOND);
    assert!(most < STATIONS / 2, "{most} return within a second");
    let later = sent.iter().filter(|id| crowd.sim.message(**id).at >= back);
    let worst = later.map(|id| crowd.took(*id)).max();
    assert!(worst.unwrap() < SECOND, "{worst:?}");
}
