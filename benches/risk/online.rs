//! Whether the monitor's forecasts of a split are right: `eval forecast`.
//!
//! The monitor watches one crowd after the other, learns how long links last and how its forecasts
//! come true, and is judged on the crowds that follow. Its rivals see the same moments: each is mapped
//! to probabilities by the isotonic function that suits it on the crowds to learn from.

use std::path::Path;
use std::time::Duration;

use bitcraps_monitor::{Calibration, Contacts};
use bitcraps_topology::{
    Cuts, EdgeInfo, Material, NodeType, PartitionRisk, RiskOptions, Topology, walkthrough_risk,
};
use bitcraps_types::{Kbps, PeerId, Ratio, Timestamp, TransportType};
use fastrand::Rng;

use super::moment::{MATERIAL, distance, outside_of_largest};
use super::motion::{Crowd, Motion, Place};
use super::score::{self, Isotonic, Outcome};
use super::walks;
use crate::{Arguments, Failure, Report, Row};

const PEERS: usize = 40;
const SECONDS: usize = 500;
/// Seconds ahead.
const HORIZON: usize = 10;
/// Seconds between two looks.
const TICK: usize = 5;
/// Repetitions of the bootstrap over crowds.
const RESAMPLES: usize = 400;

/// The monitor and its rivals, in the order in which they are told.
const RIVALS: [&str; 4] =
    ["persistence of the bottleneck", "linear trend of it", "cut vertices", "the seed's formula"];

/// What was said of one crowd, by the monitor first and then by each rival.
type Judged = [Vec<Outcome>; 1 + RIVALS.len()];

/// Judges the monitor's forecasts on simulated crowds, and on those made of the walks in a directory
/// when one is named.
///
/// # Errors
/// [`Failure`] when walks cannot be read.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let simulated = |motion: Motion| move |rng: &mut Rng| motion.crowd(PEERS, SECONDS, rng);
    if arguments.wants("slow crowd") {
        judge(("slow crowd", 200.0, true), &simulated(Motion::GaussMarkov), arguments, report)?;
    }
    if arguments.wants("groups") {
        judge(("groups", 250.0, false), &simulated(Motion::Group), arguments, report)?;
    }
    if let Some(directory) = &arguments.walks
        && arguments.wants("walks")
    {
        let people = walks::read(Path::new(directory))?;
        let crowd = |rng: &mut Rng| walks::crowd(&people, PEERS, SECONDS, rng);
        judge(("walks", 50.0, false), &crowd, arguments, report)?;
    }
    Ok(())
}

fn peer(number: usize) -> PeerId {
    let mut id = [0; 32];
    // Keys are as good as random, and the risk's random numbers are drawn from them.
    Rng::with_seed(number as u64).fill(&mut id);
    PeerId::from_bytes(id)
}

/// What a link has in hand: how far its ends are from being out of range.
fn margin(a: Place, b: Place, range: f64) -> f64 {
    1.0 - distance(a, b) / range
}

fn network(places: &[Place], range: f64, now: Timestamp) -> Result<Topology, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::Broken(format!("a network: {e}"));
    let mut topology = Topology::new(1);
    for number in 0..places.len() {
        let node = topology.add_node(peer(number), NodeType::Regular, now);
        node.map_err(|e| failed(&e))?;
    }
    for (a, near) in places.iter().enumerate() {
        for (b, far) in places.iter().enumerate().skip(a + 1) {
            let margin = margin(*near, *far, range);
            if margin >= 0.0 {
                let link = EdgeInfo::of_units(
                    TransportType::Bluetooth,
                    Duration::from_millis(20),
                    Kbps::at_least_one(300),
                    Ratio::clamped(margin),
                    now,
                );
                topology.add_edge(&peer(a), &peer(b), link).map_err(|e| failed(&e))?;
            }
        }
    }
    Ok(topology)
}

/// The least margin on the way of the maximum spanning tree (Kruskal 1956): when that link breaks, the
/// network does.
fn bottleneck(places: &[Place], range: f64) -> f64 {
    let mut links: Vec<(f64, usize, usize)> = Vec::new();
    for (a, near) in places.iter().enumerate() {
        let others = places.iter().enumerate().skip(a + 1);
        links.extend(others.map(|(b, far)| (margin(*near, *far, range), a, b)));
    }
    links.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut group: Vec<usize> = (0..places.len()).collect();
    let mut least = 1.0;
    let mut left = places.len();
    for (margin, a, b) in links {
        let (from, to) = (group[a], group[b]);
        if from != to {
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            least = margin;
            left -= 1;
            // Fewer are outside than a split takes.
            if left <= MATERIAL as usize {
                break;
            }
        }
    }
    least
}

/// Watches a crowd, second by second from `start` on.
fn watch(
    crowd: &Crowd,
    range: f64,
    start: Timestamp,
    (contacts, calibration): (&mut Contacts, &mut Calibration),
    samples: u32,
) -> Result<Judged, Failure> {
    let mut judged = Judged::default();
    let options =
        RiskOptions { material: Material::Peers(MATERIAL), samples, ..RiskOptions::default() };
    let is_split = |second: usize| outside_of_largest(&crowd.seconds[second], range) >= MATERIAL;
    let horizon = Duration::from_secs(HORIZON as u64);
    let mut before = None;
    for second in 0..crowd.seconds.len() - HORIZON {
        let now = start + Duration::from_secs(second as u64);
        calibration.observe(is_split(second), now);
        if second % TICK != 0 {
            continue;
        }
        let places = &crowd.seconds[second];
        let topology = network(places, range, now)?;
        contacts.observe(topology.links().map(|(a, b, link)| (a, b, link.reliability())), now);
        let least = bottleneck(places, range);
        let trend = before.map_or(0.0, |before| (least - before) / TICK as f64);
        before = Some(least);
        if is_split(second) {
            continue;
        }
        let event = (second + 1..=second + HORIZON).any(is_split);
        let snapshot = topology.snapshot();
        let lives = contacts.lives(&topology, &snapshot, horizon);
        let model = PartitionRisk::of(&snapshot, &lives, &options).p_split.value;
        let graph = snapshot.graph();
        let points = Cuts::of(graph).articulation_points().len();
        let told = [
            calibration.of(model),
            1.0 - least,
            1.0 - least - trend * HORIZON as f64,
            points as f64,
            walkthrough_risk(graph.peers(), graph.links(), points),
        ];
        calibration.forecast(model, horizon, now);
        for (judged, told) in judged.iter_mut().zip(told) {
            judged.push((told, event));
        }
    }
    Ok(judged)
}

fn judge(
    (name, range, strict): (&str, f64, bool),
    crowd: &dyn Fn(&mut Rng) -> Crowd,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failure> {
    let crowds = arguments.size(120, 12);
    let samples = arguments.size(1_024, 256);
    report.progress(&format!("{name}: {crowds} crowds to learn from, as many to judge by"));
    let mut rng = Rng::with_seed(arguments.seed);
    let (mut contacts, mut calibration) = (Contacts::default(), Calibration::default());
    let mut all: Vec<Judged> = Vec::new();
    for number in 0..2 * crowds {
        // An hour lies between two crowds: no link of the one is a link of the other.
        let start = Timestamp::from_millis(number as u64 * 3_600_000);
        contacts.observe(std::iter::empty(), start);
        let state = (&mut contacts, &mut calibration);
        all.push(watch(&crowd(&mut rng), range, start, state, samples)?);
    }
    let (fit, unseen) = all.split_at(crowds);
    let join = |crowds: &[&Judged], who: usize| -> Vec<Outcome> {
        crowds.iter().flat_map(|judged| judged[who].iter().copied()).collect()
    };
    let fit: Vec<&Judged> = fit.iter().collect();
    let every: Vec<&Judged> = unseen.iter().collect();
    let learned = join(&fit, 0);
    let share = |outcomes: &[Outcome]| {
        outcomes.iter().filter(|outcome| outcome.1).count() as f64 / outcomes.len().max(1) as f64
    };
    let climate = share(&learned);
    let maps: Vec<Isotonic> =
        (1..=RIVALS.len()).map(|who| Isotonic::fitted(&join(&fit, who))).collect();
    let mapped = |crowds: &[&Judged], who: usize| -> Vec<Outcome> {
        let outcomes = join(crowds, who);
        match who.checked_sub(1).and_then(|rival| maps.get(rival)) {
            Some(map) => outcomes.into_iter().map(|o| (map.of(o.0), o.1)).collect(),
            None => outcomes,
        }
    };
    let row = |what: &str, value| Row::new(format!("{name}, {what}"), value, "");
    let own = mapped(&every, 0);
    let count = row("forecasts judged", own.len() as f64);
    report.push(if strict && !arguments.quick { count.at_least(10_000.0) } else { count });
    report.push(row("frequency of a split", share(&own)));
    let mut best = f64::MIN;
    for (who, rival) in RIVALS.iter().enumerate() {
        let auc = score::area_under_curve(&join(&every, who + 1));
        let skill = score::brier_skill(&mapped(&every, who + 1), climate);
        report.push(row(&format!("{rival}, AUC"), auc));
        report.push(row(&format!("{rival}, Brier skill"), skill));
        best = best.max(skill);
    }
    let mut resampled: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..RESAMPLES {
        let drawn: Vec<&Judged> =
            (0..every.len()).filter_map(|_| rng.choice(&every)).copied().collect();
        let drawn = mapped(&drawn, 0);
        resampled[0].push(score::area_under_curve(&drawn));
        resampled[1].push(score::brier_skill(&drawn, climate));
    }
    let auc = score::area_under_curve(&own);
    let skill = score::brier_skill(&own, climate);
    let [aucs, skills] = &mut resampled;
    let auc = row("monitor, AUC", auc);
    report.push(if strict { auc.at_least(0.85) } else { auc });
    let quantile = crate::sample::quantile;
    report.push(row("monitor, AUC, 2.5 % quantile over crowds", quantile(aucs, 0.025)));
    report.push(row("monitor, AUC, 97.5 % quantile", quantile(aucs, 0.975)));
    let brier = row("monitor, Brier skill", skill).beside("best rival", best);
    let brier = brier.judged("no worse than any rival".to_owned(), skill >= best);
    report.push(if strict { brier.at_least(0.2) } else { brier });
    report.push(row("monitor, Brier skill, 2.5 % quantile over crowds", quantile(skills, 0.025)));
    report.push(row("monitor, Brier skill, 97.5 % quantile", quantile(skills, 0.975)));
    report.push(row("monitor, calibration error", score::calibration_error(&own)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_holds_more_than_a_few_peers() {
        // Ten in a row, each gap a metre wider than the one before it; the last one is 9 m.
        let place = |number: u32| (f64::from(number * (number + 1) / 2), 0.0);
        let row: Vec<Place> = (0..10).map(place).collect();
        // With the three widest gaps open, three peers are outside: no split yet. The next is 6 m.
        assert_eq!(bottleneck(&row, 10.0), 1.0 - 6.0 / 10.0);
    }

    #[test]
    fn a_network_links_whom_range_allows_with_what_is_left_of_it() {
        let places = [(0.0, 0.0), (5.0, 0.0), (30.0, 0.0)];
        let topology = network(&places, 20.0, Timestamp::ZERO).unwrap();
        let links: Vec<f64> =
            topology.links().map(|(_, _, link)| link.reliability().get()).collect();
        assert_eq!(links, [0.75]);
    }
}
