//! Crowds that move, over Bluetooth: links break when their ends are out of range, and what is made
//! is all there is. Healing that foresees against healing that waits, and against two rivals with as
//! many links to make.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_monitor::{
    Contacts, Deed, FORESIGHT, Healer, HealingConfig, HealingMode, HealthMetrics, View, lasts,
    plans_of,
};
use bitcraps_topology::{Components, Graph};
use bitcraps_types::{PeerId, Ratio, Timestamp};
use fastrand::Rng;

use super::mesh::{Mesh, Pair, number, offers, pair, peer, topology};
use crate::risk::motion::{Crowd, Motion, Place};
use crate::{Arguments, Failure, Report, Row};

const PEERS: u32 = 40;
const SECONDS: usize = 500;
/// Neighbours at most.
const CAP: usize = 7;
/// Links of each peer at the start: to the nearest, if they have room.
const FIRST: usize = 3;
/// A pair farther apart than this share of the range is not worth linking.
const WORTH: f64 = 0.9;
/// Error of a margin that is measured badly.
const BLUR: f64 = 0.02;
/// Neighbours that the rivals want.
const WANTED: usize = 4;

/// Who makes links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Healing(HealingMode),
    /// With a forecast that is always right: the crowd's own future.
    Oracle,
    /// A random peer in range takes the place of a neighbour that is gone (HyParView, Leitao et al.
    /// 2007).
    Random,
    /// The nearest does.
    Nearest,
}

/// Seconds that a healer takes which waits for a split: to see it, to settle, and to make the link.
const REACTION: usize = 3;

/// How far links reach, and how well their margins are measured.
#[derive(Debug, Clone, Copy)]
struct Radio {
    range: f64,
    /// Deviation of a margin from what it is, as it is measured each second.
    blur: f64,
}

impl Radio {
    /// What a link of this length seems to have in hand: what is left of the range, and an error that is
    /// nearly normal (a sum of four).
    fn margin(self, metres: f64, rng: &mut Rng) -> Ratio {
        let spread = (1.0_f64 / 3.0).sqrt();
        let error: f64 = (0..4).map(|_| rng.f64() - 0.5).sum::<f64>() / spread;
        Ratio::clamped(1.0 - metres / self.range + self.blur * error)
    }
}

/// What a crowd went through.
#[derive(Debug, Clone, Copy, Default)]
struct Toll {
    /// Seconds in parts between which a pair was feasible.
    parted: usize,
    /// Of these, those in which it had been for [`REACTION`]: nobody can link who have just met.
    avoidable: usize,
    /// Seconds in parts.
    apart: usize,
    added: usize,
}

pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    for (name, motion, range) in [
        ("random waypoint", Motion::RandomWaypoint, 250.0),
        ("Gauss-Markov", Motion::GaussMarkov, 250.0),
        ("group mobility", Motion::Group, 300.0),
    ] {
        report.progress(&format!("crowds: {name}"));
        let mut rng = Rng::with_seed(arguments.seed);
        let mut tolls = [Toll::default(); 6];
        for number in 0..arguments.size(12, 3) {
            let crowd = motion.crowd(PEERS as usize, SECONDS, &mut rng);
            let seed = arguments.seed ^ number << 8;
            let play = |strategy, budget: Option<usize>| {
                played(
                    &crowd,
                    Radio { range, blur: 0.0 },
                    strategy,
                    budget,
                    &mut Rng::with_seed(seed),
                )
            };
            let reactive = play(Strategy::Healing(HealingMode::Reactive), None)?;
            let forecast = play(Strategy::Healing(HealingMode::Forecast), None)?;
            let rng = &mut Rng::with_seed(seed);
            let strategy = Strategy::Healing(HealingMode::Forecast);
            let blurred = played(&crowd, Radio { range, blur: BLUR }, strategy, None, rng)?;
            let budget = Some(forecast.added);
            let all = [
                reactive,
                forecast,
                play(Strategy::Random, budget)?,
                play(Strategy::Nearest, budget)?,
                play(Strategy::Oracle, None)?,
                blurred,
            ];
            for (sum, toll) in tolls.iter_mut().zip(all) {
                sum.parted += toll.parted;
                sum.avoidable += toll.avoidable;
                sum.apart += toll.apart;
                sum.added += toll.added;
            }
        }
        let [reactive, forecast, random, nearest, oracle, blurred] = tolls;
        let row = |what: &str, value: usize| Row::new(format!("{name}: {what}"), value as f64, "s");
        report.push(
            row(
                "seconds in parts that a pair could join which had been in range for 3 s, with forecasts",
                forecast.avoidable,
            )
            .beside("reactive", reactive.avoidable as f64)
            .ratio_at_most(0.5),
        );
        report.push(
            row("the same, and that one could join that had just met", forecast.parted)
                .beside("reactive", reactive.parted as f64)
                .ratio_at_most(0.5),
        );
        report.push(
            Row::new(format!("{name}: links made, with forecasts"), forecast.added as f64, "links")
                .beside("reactive", reactive.added as f64)
                .ratio_at_most(1.3),
        );
        for (who, toll) in [
            ("margins measured with an error of 2 % of the range", blurred),
            ("a healer that knows the future of every link", oracle),
        ] {
            report.push(
                row(&format!("the first, {who}"), toll.avoidable)
                    .beside("reactive", reactive.avoidable as f64),
            );
            report.push(
                Row::new(format!("{name}: links made, {who}"), toll.added as f64, "links")
                    .beside("reactive", reactive.added as f64),
            );
        }
        let share = 100.0 * reactive.parted as f64 / reactive.apart.max(1) as f64;
        report.push(Row::new(
            format!("{name}: share of the seconds in parts in which a pair is feasible, reactive"),
            share,
            "%",
        ));
        for (rival, toll) in
            [("random repair (HyParView)", random), ("nearest-neighbour repair", nearest)]
        {
            let text = format!("{rival}, {} of {} links", toll.added, forecast.added);
            report.push(
                row(
                    "seconds in parts that could be joined, same budget, spent evenly",
                    forecast.parted,
                )
                .beside(text, toll.parted as f64)
                .judged("fewer".to_owned(), forecast.parted < toll.parted),
            );
        }
    }
    Ok(())
}

fn distance(a: Place, b: Place) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

struct State {
    links: BTreeSet<Pair>,
    degrees: Vec<usize>,
}

impl State {
    fn add(&mut self, (a, b): Pair) -> bool {
        let room = self.degrees[a as usize].max(self.degrees[b as usize]) < CAP;
        let added = room && self.links.insert((a, b));
        if added {
            self.degrees[a as usize] += 1;
            self.degrees[b as usize] += 1;
        }
        added
    }

    fn remove(&mut self, link: Pair) {
        if self.links.remove(&link) {
            self.degrees[link.0 as usize] -= 1;
            self.degrees[link.1 as usize] -= 1;
        }
    }
}

fn played(
    crowd: &Crowd,
    radio: Radio,
    strategy: Strategy,
    budget: Option<usize>,
    rng: &mut Rng,
) -> Result<Toll, Failure> {
    let range = radio.range;
    let mut toll = Toll::default();
    let near = |places: &[Place], share: f64| -> Vec<(f64, Pair)> {
        let mut near: Vec<(f64, Pair)> = (0..PEERS)
            .flat_map(|a| (a + 1..PEERS).map(move |b| (a, b)))
            .map(|(a, b)| (distance(places[a as usize], places[b as usize]), (a, b)))
            .filter(|(metres, _)| *metres <= range * share)
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near
    };
    let mut state = State { links: BTreeSet::new(), degrees: vec![0; PEERS as usize] };
    for (_, (a, b)) in near(&crowd.seconds[0], WORTH) {
        if state.degrees[a as usize].max(state.degrees[b as usize]) < FIRST {
            state.add((a, b));
        }
    }
    let mode = match strategy {
        Strategy::Healing(mode) => mode,
        Strategy::Oracle => HealingMode::Forecast,
        Strategy::Random | Strategy::Nearest => HealingMode::Reactive,
    };
    let mut policies = HealingConfig::default().policies;
    policies[1..].iter_mut().for_each(|policy| policy.links = 0);
    let config = HealingConfig {
        mode,
        policies,
        max_neighbours: [CAP as u32; 3],
        settle: Duration::from_secs(1),
        ..HealingConfig::default()
    };
    let mut healers: Vec<Healer> = (0..PEERS).map(|me| Healer::new(peer(me), config)).collect();
    let mut contacts = Contacts::default();
    // Made in one second, up in the next.
    let mut dialling: Vec<Pair> = Vec::new();
    // Since when pairs are in range.
    let mut met: BTreeMap<Pair, usize> = BTreeMap::new();
    for (second, places) in crowd.seconds.iter().enumerate() {
        let now = Timestamp::from_millis(1_000 + second as u64 * 1_000);
        let far = |(a, b): &Pair| distance(places[*a as usize], places[*b as usize]);
        for pair in dialling.drain(..).filter(|pair| far(pair) <= range) {
            toll.added += usize::from(state.add(pair));
        }
        let gone: Vec<Pair> =
            state.links.iter().filter(|pair| far(pair) > range).copied().collect();
        gone.into_iter().for_each(|pair| state.remove(pair));
        let links: Vec<Pair> = state.links.iter().copied().collect();
        let graph =
            Graph::from_links(PEERS as usize, &links).map_err(|e| Failure::broken("a crowd", e))?;
        let in_range = near(places, WORTH);
        met = in_range
            .iter()
            .map(|(_, pair)| (*pair, met.get(pair).copied().unwrap_or(second)))
            .collect();
        let open: Vec<(f64, Pair)> = in_range
            .into_iter()
            .filter(|(_, (a, b))| {
                !state.links.contains(&(*a, *b))
                    && state.degrees[*a as usize].max(state.degrees[*b as usize]) < CAP
            })
            .collect();
        if Components::of_graph(&graph).count() > 1 {
            toll.apart += 1;
            toll.parted += usize::from(crosses(&graph, &open));
            let known = |(_, pair): &&(f64, Pair)| second >= met[pair] + REACTION;
            let known: Vec<(f64, Pair)> = open.iter().filter(known).copied().collect();
            toll.avoidable += usize::from(crosses(&graph, &known));
        }
        let allowed = budget.map_or(usize::MAX, |all| {
            (all * (second + 1)).div_ceil(SECONDS).saturating_sub(toll.added)
        });
        match strategy {
            Strategy::Healing(_) | Strategy::Oracle => {
                let margins = links.iter().map(|link| (*link, radio.margin(far(link), rng)));
                let network = topology(PEERS, margins, now)?;
                contacts
                    .observe(network.links().map(|(a, b, link)| (a, b, link.reliability())), now);
                let pairs: Vec<Pair> = open.iter().map(|(_, pair)| *pair).collect();
                let future = &crowd.seconds[second..];
                let future = &future[..future.len().min(FORESIGHT.as_secs() as usize + 1)];
                let stays = |a: &PeerId, b: &PeerId| match strategy {
                    Strategy::Healing(HealingMode::Forecast) => lasts(&contacts, a, b),
                    Strategy::Oracle => {
                        let ends = (number(a) as usize, number(b) as usize);
                        future.iter().all(|at| distance(at[ends.0], at[ends.1]) <= range)
                    }
                    Strategy::Healing(HealingMode::Reactive)
                    | Strategy::Random
                    | Strategy::Nearest => true,
                };
                let view = View::of(&network, stays, offers(&pairs));
                let health = HealthMetrics { peers: PEERS.into(), ..HealthMetrics::default() };
                let plans = plans_of(&view, &health, &config);
                for (me, healer) in healers.iter_mut().enumerate() {
                    healer.take(plans.clone(), &view, Mesh::diameter(&view), now);
                    while let Some(deed) = healer.poll_deed() {
                        match deed {
                            Deed::Link { peer, .. } => {
                                dialling.push(pair(me as u32, number(&peer)))
                            }
                            Deed::Release { .. } => {}
                            Deed::Unlink { peer, .. } => {
                                state.remove(pair(me as u32, number(&peer)))
                            }
                        }
                    }
                }
            }
            Strategy::Random | Strategy::Nearest => {
                let mut open = open;
                if strategy == Strategy::Random {
                    rng.shuffle(&mut open);
                }
                let poor = |state: &State, (a, b): &Pair| {
                    state.degrees[*a as usize].min(state.degrees[*b as usize]) < WANTED
                };
                let chosen: Vec<Pair> = open
                    .into_iter()
                    .map(|(_, pair)| pair)
                    .filter(|pair| poor(&state, pair))
                    .take(allowed)
                    .collect();
                dialling.extend(chosen);
            }
        }
    }
    Ok(toll)
}

/// Whether a feasible pair is in two parts.
fn crosses(graph: &Graph, open: &[(f64, Pair)]) -> bool {
    open.iter().any(|(_, (a, b))| {
        bitcraps_topology::hop_distances(graph, *a)[*b as usize] == bitcraps_topology::UNREACHED
    })
}
