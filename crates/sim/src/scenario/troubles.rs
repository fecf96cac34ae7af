use std::collections::BTreeSet;

use bitcraps_types::Timestamp;

use super::course::Course;
use super::tale::Happening;
use super::{Target, TroubleKind};
use crate::{Death, Return};

impl Course<'_> {
    /// Begins and ends what is due.
    pub(super) fn trouble(&mut self) {
        let now = self.sim.now().since(Timestamp::ZERO);
        let due = |(at, ..): &&(std::time::Duration, bool, usize)| *at <= now;
        while let Some((_, begins, number)) = self.agenda.last().filter(due).copied() {
            self.agenda.pop();
            if begins { self.begin(number) } else { self.end(number) }
        }
    }

    fn begin(&mut self, number: usize) {
        let trouble = &self.scenario.troubles[number];
        if let Target::Nodes(nodes) = &trouble.target {
            let mut nodes = nodes.clone();
            if let Some(some) = trouble.some {
                self.rng.shuffle(&mut nodes);
                nodes.truncate(some);
            }
            self.drawn.insert(number, nodes.into_iter().collect());
        }
        self.active.insert(number);
        self.tell_trouble(number, true);
        match trouble.kind {
            TroubleKind::Kill { told } => {
                let death = if told { Death::Told } else { Death::Silent };
                for node in self.drawn_of(number) {
                    self.relayed += self.relayed_by(node);
                    self.sim.kill(self.nodes[node], death);
                    for at in self.joints_of[node].clone() {
                        self.joints[at].carries = false;
                    }
                }
            }
            TroubleKind::Suspend => {
                let until = trouble.until.unwrap_or(trouble.at);
                for node in self.drawn_of(number) {
                    self.sim.suspend(self.nodes[node], until - trouble.at);
                }
            }
            TroubleKind::Silence
            | TroubleKind::Cut
            | TroubleKind::Loss(_)
            | TroubleKind::Latency(_) => self.refresh_concerned(number),
        }
    }

    fn end(&mut self, number: usize) {
        self.tell_trouble(number, false);
        self.active.remove(&number);
        match self.scenario.troubles[number].kind {
            TroubleKind::Kill { .. } => {
                for node in self.drawn_of(number) {
                    if self.is_killed(node) {
                        continue;
                    }
                    self.sim.restart(self.nodes[node], Return::NoLinks);
                    self.equip(node);
                    for at in self.joints_of[node].clone() {
                        self.refresh(at);
                    }
                }
            }
            TroubleKind::Suspend => {}
            TroubleKind::Silence
            | TroubleKind::Cut
            | TroubleKind::Loss(_)
            | TroubleKind::Latency(_) => self.refresh_concerned(number),
        }
        self.drawn.remove(&number);
    }

    /// Whether a fault of this moment keeps a node dead.
    fn is_killed(&self, node: usize) -> bool {
        self.active.iter().any(|number| {
            let kills = matches!(self.scenario.troubles[*number].kind, TroubleKind::Kill { .. });
            kills && self.drawn.get(number).is_some_and(|nodes| nodes.contains(&node))
        })
    }

    /// Frames that a node has carried for others since it was started last.
    pub(super) fn relayed_by(&self, node: usize) -> u64 {
        let engine = self.sim.engine(self.nodes[node]);
        engine.and_then(|engine| engine.relay_counters()).map_or(0, |counters| counters.relayed)
    }

    fn refresh_concerned(&mut self, number: usize) {
        for at in 0..self.joints.len() {
            if self.concerns(number, at) {
                self.refresh(at);
            }
        }
    }

    fn drawn_of(&self, number: usize) -> BTreeSet<usize> {
        self.drawn.get(&number).cloned().unwrap_or_default()
    }

    /// Whether a fault is about a link.
    pub(super) fn concerns(&self, number: usize, at: usize) -> bool {
        let joint = &self.joints[at];
        let [a, b] = joint.ends;
        match &self.scenario.troubles[number].target {
            Target::Nodes(_) => self
                .drawn
                .get(&number)
                .is_some_and(|nodes| joint.ends.iter().any(|n| nodes.contains(n))),
            Target::Link(name) => joint.name.as_ref() == Some(name),
            Target::Radio(radio) => joint.radio == *radio,
            // Both are in the order of their numbers.
            Target::Between(these, those) => {
                let has = |nodes: &[usize], node: usize| nodes.binary_search(&node).is_ok();
                has(these, a) && has(those, b) || has(these, b) && has(those, a)
            }
        }
    }

    fn tell_trouble(&mut self, number: usize, begins: bool) {
        if self.traced {
            let at = self.sim.now().since(Timestamp::ZERO).as_secs_f64();
            let kind = self.scenario.troubles[number].kind.name();
            let nodes = self.drawn_of(number);
            let nodes = nodes.into_iter().map(|node| self.scenario.name_of(node)).collect();
            self.tale.push(if begins {
                Happening::FaultBegins { at, kind, nodes }
            } else {
                Happening::FaultEnds { at, kind, nodes }
            });
        }
    }
}
