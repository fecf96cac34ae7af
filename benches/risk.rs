//! Whether forecasts of a split are right: `eval risk`.
//!
//! Crowds of 40 peers move; every five seconds in which no material part is outside the largest
//! component, each forecast says how probable it is that four peers or more will be outside at some
//! second of the next five. Whatever a forecast needs to be fitted (the survival of links by length
//! and radial speed, the detours of the oracle, an isotonic map of probabilities) is fitted on other
//! crowds of the same run; nothing fitted is kept.

mod forecast;
mod moment;
pub(crate) mod motion;
pub mod online;
mod oracle;
mod score;
mod walks;

use std::path::Path;

use bitcraps_topology::{Cuts, Snapshot, walkthrough_risk};
use fastrand::Rng;

use crate::{Arguments, Failure, Report, Row};
use forecast::SurvivalTable;
use moment::Moment;
use motion::{Crowd, Motion};
use oracle::Oracle;
use score::{Isotonic, Outcome};

const PEERS: usize = 40;
const SECONDS: usize = 500;

/// What is asked of the forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// AUC, Brier skill and calibration error.
    Scores,
    /// Nine tenths of the oracle's skill.
    OfOracle,
}

/// Makes a crowd to fit on, or, told `true`, one to judge by.
type Maker<'a> = dyn Fn(bool, &mut Rng) -> Crowd + 'a;

/// A way to make crowds, and how far their peers hear.
struct Scene<'a> {
    name: &'static str,
    /// In metres.
    range: f64,
    target: Target,
    crowd: Box<Maker<'a>>,
}

/// Judges the forecasts on simulated crowds, and on those made of the walks in a directory when one
/// is named.
///
/// # Errors
/// [`Failure`] when walks cannot be read.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let directory = arguments.walks.as_deref();
    let people = directory.map(|path| walks::read(Path::new(path))).transpose()?;
    let simulated = |name, motion: Motion, range, target| Scene {
        name,
        range,
        target,
        crowd: Box::new(move |_, rng: &mut Rng| motion.crowd(PEERS, SECONDS, rng)),
    };
    let mut scenes = vec![
        simulated("random waypoint", Motion::RandomWaypoint, 200.0, Target::Scores),
        simulated("Gauss-Markov", Motion::GaussMarkov, 200.0, Target::OfOracle),
        simulated("group mobility", Motion::Group, 250.0, Target::OfOracle),
    ];
    if let Some(people) = &people {
        let (fit, judge) = people.split_at(people.len() / 2);
        scenes.push(Scene {
            name: "walks",
            range: 50.0,
            target: Target::OfOracle,
            crowd: Box::new(move |judged, rng| {
                walks::crowd(if judged { judge } else { fit }, PEERS, SECONDS, rng)
            }),
        });
    }
    for scene in scenes.iter().filter(|scene| arguments.wants(scene.name)) {
        judge(scene, arguments, report)?;
    }
    Ok(())
}

/// Each forecast of many moments, and what happened.
#[derive(Debug, Default)]
struct Outcomes {
    split: Vec<Outcome>,
    oracle: Vec<Outcome>,
    articulation: Vec<Outcome>,
    walkthrough: Vec<Outcome>,
}

impl Outcomes {
    fn of(
        crowds: &[Crowd],
        scene: &Scene<'_>,
        (table, oracle): (&SurvivalTable, &Oracle),
        samples: u32,
        rng: &mut Rng,
    ) -> Result<Self, Failure> {
        let mut all = Self::default();
        let moments = crowds.iter().flat_map(|crowd| Moment::all(crowd, scene.range));
        for moment in moments.filter(|moment| !moment.is_split()) {
            let event = moment.will_split();
            let graph = moment.graph().map_err(|e| Failure::broken(scene.name, e))?;
            let snapshot = Snapshot::of(&graph);
            let points = Cuts::of(&graph).articulation_points().len();
            let walkthrough = walkthrough_risk(graph.peers(), graph.links(), points);
            all.split.push((table.forecast(&moment, &snapshot, samples), event));
            all.oracle.push((oracle.forecast(&moment, samples / 4, rng), event));
            all.articulation.push((points as f64 / graph.peers() as f64, event));
            all.walkthrough.push((walkthrough, event));
        }
        Ok(all)
    }
}

fn judge(scene: &Scene<'_>, arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let crowds = arguments.size(100, 20);
    let samples = arguments.size(1_024, 256);
    report.progress(&format!("{}: {crowds} crowds to fit on, as many to judge by", scene.name));
    let mut rng = Rng::with_seed(arguments.seed);
    let fit: Vec<Crowd> = (0..crowds).map(|_| (scene.crowd)(false, &mut rng)).collect();
    let unseen: Vec<Crowd> = (0..crowds).map(|_| (scene.crowd)(true, &mut rng)).collect();
    let moments = fit.iter().flat_map(|crowd| Moment::all(crowd, scene.range));
    let moments: Vec<Moment<'_>> = moments.collect();
    let fitted = (&SurvivalTable::fitted(&moments), &Oracle::fitted(&moments));
    let fit = Outcomes::of(&fit, scene, fitted, samples, &mut rng)?;
    let unseen = Outcomes::of(&unseen, scene, fitted, samples, &mut rng)?;

    let row = |what: &str, value, unit| Row::new(format!("{}, {what}", scene.name), value, unit);
    let climate = frequency(&fit.split);
    report.push(row("forecasts judged", unseen.split.len() as f64, ""));
    report.push(row("frequency of a split, to fit on", climate, ""));
    report.push(row("frequency of a split, to judge by", frequency(&unseen.split), ""));
    let climatology: Vec<Outcome> = unseen.split.iter().map(|o| (climate, o.1)).collect();
    report.push(row("climatology, Brier", score::brier(&climatology), ""));
    let skill = |fit: &[Outcome], unseen: &[Outcome]| {
        let map = Isotonic::fitted(fit);
        let mapped: Vec<Outcome> = unseen.iter().map(|o| (map.of(o.0), o.1)).collect();
        (score::brier_skill(&mapped, climate), score::calibration_error(&mapped))
    };
    let (oracle, _) = skill(&fit.oracle, &unseen.oracle);
    for (name, fit, unseen) in [
        ("oracle that sees all places", &fit.oracle, &unseen.oracle),
        ("articulation points' share", &fit.articulation, &unseen.articulation),
        ("walkthrough_risk", &fit.walkthrough, &unseen.walkthrough),
    ] {
        report.push(row(&format!("{name}, AUC"), score::area_under_curve(unseen), ""));
        report.push(row(&format!("{name}, Brier skill"), skill(fit, unseen).0, ""));
    }
    let (mapped, error) = skill(&fit.split, &unseen.split);
    let strict = scene.target == Target::Scores;
    let auc = row("p_split, AUC", score::area_under_curve(&unseen.split), "");
    report.push(if strict { auc.at_least(0.95) } else { auc });
    let raw = score::brier_skill(&unseen.split, climate);
    report.push(row("p_split, Brier skill as forecast", raw, ""));
    let brier = row("p_split, Brier skill", mapped, "").beside("oracle", oracle);
    report.push(if strict { brier.at_least(0.4) } else { brier.ratio_at_least(0.9) });
    let calibration =
        row("p_split, calibration error as forecast", score::calibration_error(&unseen.split), "");
    report.push(calibration);
    let calibration = row("p_split, calibration error", error, "");
    report.push(if strict { calibration.at_most(0.02) } else { calibration });
    Ok(())
}

fn frequency(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().filter(|outcome| outcome.1).count() as f64 / outcomes.len().max(1) as f64
}
