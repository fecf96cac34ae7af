use bitcraps_types::{DownReason, Ratio, Timestamp};

use super::course::Course;
use super::error::CourseError;
use super::motion::near;
use super::tale::Happening;
use super::{MAX_LINKS, MAX_PAIRS, TroubleKind};
use crate::{Fault, SimLink, Way};

/// A link of the scenario, over all its incarnations.
pub(super) struct Joint {
    pub(super) link: SimLink,
    pub(super) ends: [usize; 2],
    pub(super) radio: usize,
    pub(super) name: Option<String>,
    pub(super) reach: Reach,
    /// Whether it carries what it is given.
    pub(super) carries: bool,
    /// Whether its ends make it themselves, when the network needs it.
    pub(super) spare: bool,
}

/// Whether the ends of a link are near enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    In,
    /// They are not, and their adapters notice it then.
    Lost(Timestamp),
    Out,
}

impl Course<'_> {
    pub(super) fn lay(&mut self, ends: [usize; 2], radio: usize, name: Option<String>) -> usize {
        let model = self.scenario.radios[radio].model;
        let [a, b] = ends.map(|node| self.nodes[node]);
        let link = self.sim.add_link_down(a, b, [model; 2]);
        let number = self.joints.len();
        let reach = Reach::In;
        self.joints.push(Joint { link, ends, radio, name, reach, carries: false, spare: false });
        for node in ends {
            self.joints_of[node].push(number);
        }
        number
    }

    /// Links come and go with the places of their ends.
    pub(super) fn search(&mut self) -> Result<(), CourseError> {
        let scenario = self.scenario;
        let now = self.sim.now();
        let seconds = now.since(Timestamp::ZERO).as_secs_f64();
        for (number, radio) in scenario.radios.iter().enumerate() {
            let Some(range) = radio.range else { continue };
            let alive: Vec<usize> = (0..self.nodes.len())
                .filter(|node| scenario.group_of(*node).radios.contains(&number))
                .filter(|node| self.is_alive(*node))
                .collect();
            let pairs = near(&self.motion.places, &alive, range, MAX_PAIRS);
            let pairs = pairs.ok_or_else(|| {
                let radio = radio.name.clone();
                CourseError::Crowded { radio, seconds, most: MAX_PAIRS }
            })?;
            let mut held = vec![0_usize; self.nodes.len()];
            let mut reached = vec![false; self.joints.len()];
            for (a, b) in &pairs {
                if let Some(joint) = self.found.get(&(*a, *b, number)) {
                    reached[*joint] = true;
                }
            }
            for (at, is_near) in reached.into_iter().enumerate() {
                let joint = &self.joints[at];
                if joint.radio != number || !self.found.contains_key(&joint.key()) {
                    continue;
                }
                let (ends, reach) = (joint.ends, joint.reach);
                match reach {
                    Reach::Lost(_) if is_near => self.reaches(at, Reach::In),
                    Reach::Lost(until) if until <= now => self.reaches(at, Reach::Out),
                    Reach::In if !is_near && ends.iter().all(|n| self.is_alive(*n)) => {
                        self.reaches(at, Reach::Lost(now + radio.silent));
                    }
                    Reach::In | Reach::Lost(_) | Reach::Out => {}
                }
                // Who died holds no place of a living one.
                if self.joints[at].reach != Reach::Out && ends.iter().all(|n| self.is_alive(*n)) {
                    let [a, b] = ends;
                    held[a] += 1;
                    held[b] += 1;
                }
            }
            for (a, b) in pairs {
                let known = self.found.get(&(a, b, number)).copied();
                let is_out = known.is_none_or(|at| self.joints[at].reach == Reach::Out);
                if !is_out || held[a] >= radio.most || held[b] >= radio.most {
                    continue;
                }
                held[a] += 1;
                held[b] += 1;
                match known {
                    Some(at) => self.reaches(at, Reach::In),
                    None if self.joints.len() >= MAX_LINKS => {
                        return Err(CourseError::TooManyLinks { seconds, most: MAX_LINKS });
                    }
                    None => {
                        let at = self.lay([a, b], number, None);
                        self.found.insert((a, b, number), at);
                        self.refresh(at);
                    }
                }
            }
        }
        self.mend();
        Ok(())
    }

    fn reaches(&mut self, at: usize, reach: Reach) {
        self.joints[at].reach = reach;
        self.refresh(at);
    }

    /// What an end closed of its own accord comes up again when its radio looks.
    fn mend(&mut self) {
        for at in 0..self.joints.len() {
            let joint = &self.joints[at];
            let ends = joint.ends.map(|node| self.nodes[node]);
            let is_held = ends.iter().all(|node| self.sim.link_id(joint.link, *node).is_some());
            if joint.carries && !is_held {
                self.refresh(at);
            }
        }
    }

    /// Makes a link what the places of its ends and the faults of the moment say.
    pub(super) fn refresh(&mut self, at: usize) {
        let joint = &self.joints[at];
        let (link, reach) = (joint.link, joint.reach);
        let ends = joint.ends.map(|node| self.nodes[node]);
        let (mut silent, mut gone) = (reach != Reach::In, reach == Reach::Out);
        let (mut loss, mut latency) = (None::<f64>, None);
        for number in &self.active {
            if !self.concerns(*number, at) {
                continue;
            }
            match self.scenario.troubles[*number].kind {
                TroubleKind::Silence => silent = true,
                TroubleKind::Cut => gone = true,
                TroubleKind::Loss(share) => loss = Some(loss.unwrap_or(0.0).max(share)),
                TroubleKind::Latency(time) => latency = latency.max(Some(time)),
                TroubleKind::Kill { .. } | TroubleKind::Suspend => {}
            }
        }
        let held = ends.map(|node| self.sim.link_id(link, node).is_some());
        let carried = self.joints[at].carries;
        if gone {
            if held != [false; 2] {
                self.sim.take_down(link, DownReason::Failed("out of reach".to_owned()));
                self.tell_link(at, |at, a, b, radio| Happening::LinkDown { at, a, b, radio });
            }
            self.joints[at].carries = false;
            return;
        }
        self.sim.heal(link);
        if let Some(share) = loss {
            self.sim.fault(link, Way::Both, Fault::Loss(Ratio::clamped(share)));
        }
        if let Some(latency) = latency {
            self.sim.fault(link, Way::Both, Fault::Latency(latency));
        }
        if silent {
            self.sim.fault(link, Way::Both, Fault::BlackHole(true));
            self.joints[at].carries = false;
            if carried {
                self.tell_link(at, |at, a, b, radio| Happening::LinkSilent { at, a, b, radio });
            }
            return;
        }
        if self.joints[at].spare {
            return;
        }
        let both = self.joints[at].ends.iter().all(|node| self.is_alive(*node));
        if both && held != [true; 2] {
            if held != [false; 2] {
                self.sim.take_down(link, DownReason::Replaced);
            }
            self.sim.bring_up(link);
        }
        self.joints[at].carries = both;
        if both && !carried {
            self.tell_link(at, |at, a, b, radio| Happening::LinkUp { at, a, b, radio });
        }
    }

    pub(super) fn tell_link(
        &mut self,
        at: usize,
        happening: impl FnOnce(f64, String, String, String) -> Happening,
    ) {
        if self.traced {
            let joint = &self.joints[at];
            let [a, b] = joint.ends.map(|node| self.scenario.name_of(node));
            let radio = self.scenario.radios[joint.radio].name.clone();
            let now = self.sim.now().since(Timestamp::ZERO).as_secs_f64();
            self.tale.push(happening(now, a, b, radio));
        }
    }
}

impl Joint {
    pub(super) fn key(&self) -> (usize, usize, usize) {
        let [a, b] = self.ends;
        (a.min(b), a.max(b), self.radio)
    }
}
