use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use bitcraps_types::{Epoch, Timestamp};

use super::air::Joint;
use super::error::CourseError;
use super::motion::Motion;
use super::tale::{Happening, Step};
use super::traffic::{Due, first};
use super::verdict::Verdict;
use super::{Heals, Scenario};
use crate::{NodeId, Simulation};

/// How often faults are due, messages scheduled and steps told.
const STEP: Duration = Duration::from_millis(100);
/// Steps between two looks of radios at who is near.
const SEARCH: u32 = 5;

/// A scenario that is running.
pub(super) struct Course<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) sim: Simulation,
    pub(super) nodes: Vec<NodeId>,
    pub(super) motion: Motion,
    pub(super) joints: Vec<Joint>,
    pub(super) joints_of: Vec<Vec<usize>>,
    /// Links that radios found, by their ends, the lower first, and their radio.
    pub(super) found: BTreeMap<(usize, usize, usize), usize>,
    /// What begins (true) or ends, the latest first.
    pub(super) agenda: Vec<(Duration, bool, usize)>,
    /// Faults of this moment, and the nodes that were drawn for them.
    pub(super) active: BTreeSet<usize>,
    pub(super) drawn: BTreeMap<usize, BTreeSet<usize>>,
    pub(super) due: BinaryHeap<Due>,
    /// To whom each source of a stream sends.
    pub(super) partners: BTreeMap<(usize, usize), usize>,
    /// Stream and source of each message.
    pub(super) streams: Vec<(usize, usize)>,
    /// Messages without an outcome, when there is a trace.
    pub(super) open: Vec<usize>,
    /// Frames that were carried for others by nodes as they were before they died.
    pub(super) relayed: u64,
    pub(super) rng: fastrand::Rng,
    pub(super) traced: bool,
    pub(super) tale: Vec<Happening>,
}

impl Scenario {
    /// Runs it. `watch` is told every step of 100 ms of virtual time, and what happened in it when
    /// `traced`. The same scenario and seed give the same verdict, to the last bit.
    ///
    /// # Errors
    /// [`CourseError`] when there is no room for what it comes to.
    pub fn run(
        &self,
        traced: bool,
        mut watch: impl FnMut(&Step<'_>),
    ) -> Result<Verdict, CourseError> {
        let mut course = Course::new(self, traced);
        let (mut at, mut steps) = (Duration::ZERO, 0_u32);
        while at < self.length {
            let next = (at + STEP).min(self.length);
            let settles = at + self.settle >= self.length;
            if !settles {
                course.motion.step(self, next - at);
            }
            course.trouble();
            course.look_at_spares();
            if steps == 0 {
                course.lay_named();
            }
            if steps.is_multiple_of(SEARCH) {
                course.search()?;
            }
            course.send(next);
            course.sim.run_until(Timestamp::ZERO + next);
            if traced {
                course.tell_messages();
            }
            watch(&Step { at: next, happenings: &course.tale, course: &course });
            course.tale.clear();
            (at, steps) = (next, steps.wrapping_add(1));
        }
        Ok(Verdict::of(&course))
    }
}

impl<'a> Course<'a> {
    fn new(scenario: &'a Scenario, traced: bool) -> Self {
        let mut sim = Simulation::new(scenario.seed);
        let mut nodes = Vec::with_capacity(scenario.nodes());
        for group in &scenario.groups {
            for _ in 0..group.count {
                nodes.push(sim.add_node_with(|setup| {
                    let config = bitcraps_linkstate::Config::new(Epoch(1));
                    setup.network = group.view.then_some(config);
                    setup.dialer.dial_discovered = group.heals == Heals::Never;
                }));
            }
        }
        let mut rng = fastrand::Rng::with_seed(sim.seed_of(21, 0));
        let motion = Motion::new(scenario, sim.seed_of(20, 0));
        let mut agenda = Vec::new();
        for (number, trouble) in scenario.troubles.iter().enumerate() {
            agenda.push((trouble.at, true, number));
            agenda.extend(trouble.until.map(|until| (until, false, number)));
        }
        // Of what happens at one moment, ends come first.
        agenda.sort_unstable_by(|a, b| b.cmp(a));
        let due = first(scenario, &mut rng).into();
        let joints_of = vec![Vec::new(); nodes.len()];
        Self {
            scenario,
            sim,
            nodes,
            motion,
            joints: Vec::new(),
            joints_of,
            found: BTreeMap::new(),
            agenda,
            active: BTreeSet::new(),
            drawn: BTreeMap::new(),
            due,
            partners: BTreeMap::new(),
            streams: Vec::new(),
            open: Vec::new(),
            relayed: 0,
            rng,
            traced,
            tale: Vec::new(),
        }
    }

    pub(super) fn is_alive(&self, node: usize) -> bool {
        self.sim.engine(self.nodes[node]).is_some()
    }

    fn lay_named(&mut self) {
        for link in &self.scenario.links {
            let at = self.lay(link.ends, link.radio, link.name.clone());
            self.joints[at].spare = link.spare;
            self.refresh(at);
        }
        for node in 0..self.nodes.len() {
            self.equip(node);
        }
    }
}
