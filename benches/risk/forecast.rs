//! The forecast under judgement: what links know of themselves, and sampling.

use bitcraps_topology::{LinkLife, Material, PartitionRisk, RiskOptions, Snapshot};
use bitcraps_types::Ratio;

use super::moment::{HORIZON, MATERIAL, Moment, distance};
use super::motion::Place;

/// Cells of the distance to which a link is heading, per range.
const HEADINGS: f64 = 80.0;
/// Cells of that distance in all: those beyond are one.
const ALL_HEADINGS: usize = 120;
/// Cells of the radial speed.
const SPEEDS: usize = 9;

/// How often links live through the horizon, by their length and how fast it changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SurvivalTable {
    /// Radial speeds between the cells, in metres a second, ascending.
    speeds: Vec<f64>,
    /// Links seen and links alive at the end, by heading and speed.
    cells: Vec<(u32, u32)>,
}

/// Length in metres, and how fast it grows in metres a second.
fn radial(moment: &Moment<'_>, (a, b): (usize, usize)) -> (f64, f64) {
    let length = |places: &[Place]| distance(places[a], places[b]);
    let now = length(moment.places());
    (now, now - length(moment.places_before()))
}

impl SurvivalTable {
    /// From all links of many moments.
    pub(super) fn fitted(moments: &[Moment<'_>]) -> Self {
        let links = || moments.iter().flat_map(|m| m.linked().map(move |pair| (m, pair)));
        let mut all: Vec<f64> = links().map(|(m, pair)| radial(m, pair).1).collect();
        all.sort_unstable_by(f64::total_cmp);
        let part = |cell: usize| all.get(cell * all.len() / SPEEDS).copied().unwrap_or_default();
        let speeds = (1..SPEEDS).map(part).collect();
        let mut table = Self { speeds, cells: vec![(0, 0); ALL_HEADINGS * SPEEDS] };
        for (moment, pair) in links() {
            let alive =
                |places: &Vec<Place>| distance(places[pair.0], places[pair.1]) <= moment.range();
            let cell = table.cell(moment, pair);
            table.cells[cell].0 += 1;
            table.cells[cell].1 += u32::from(moment.future().iter().all(alive));
        }
        table
    }

    fn cell(&self, moment: &Moment<'_>, pair: (usize, usize)) -> usize {
        let (length, speed) = radial(moment, pair);
        let heading = (length + speed * HORIZON as f64).max(0.0) / moment.range() * HEADINGS;
        let heading = (heading as usize).min(ALL_HEADINGS - 1);
        heading * SPEEDS + self.speeds.partition_point(|edge| *edge <= speed)
    }

    /// Probability that a link lives through the horizon; a half of what was never seen.
    fn survival(&self, moment: &Moment<'_>, pair: (usize, usize)) -> Ratio {
        let (seen, alive) = self.cells[self.cell(moment, pair)];
        Ratio::clamped((f64::from(alive) + 0.5) / (f64::from(seen) + 1.0))
    }

    /// The probability of a material split, from the links of the moment alone.
    pub(super) fn forecast(&self, moment: &Moment<'_>, snapshot: &Snapshot, samples: u32) -> f64 {
        let slot = |position| snapshot.slot(position).map_or(0, |slot| slot.0 as usize);
        let life = |(a, b)| {
            let (a, b) = (slot(a).min(slot(b)), slot(a).max(slot(b)));
            LinkLife { key: (a * 64 + b) as u64, survival: self.survival(moment, (a, b)) }
        };
        let lives: Vec<LinkLife> = snapshot.graph().link_list().map(life).collect();
        let options =
            RiskOptions { material: Material::Peers(MATERIAL), samples, ..RiskOptions::default() };
        PartitionRisk::of(snapshot, &lives, &options).p_split.value
    }
}
