use bitcraps_engine::monitor::{HealingConfig, HealingPolicy, HealthIssue, MonitorConfig};
use bitcraps_types::{HintSource, Ratio};

use super::Heals;
use super::course::Course;
use super::tale::Happening;

/// Links in one plan at most, as a node has it without a configuration.
const MOST: usize = 64;

impl Course<'_> {
    /// Tells a node that has just started whom it could link with, and what it is to do about its
    /// network.
    pub(super) fn equip(&mut self, node: usize) {
        let heals = self.scenario.group_of(node).heals;
        let mut rules = HealingConfig::default();
        let mut watch = MonitorConfig::default();
        // Nothing but the risk is healed, so that a file says all that steers it.
        rules.policies.iter_mut().for_each(|policy| policy.links = 0);
        let risk = &mut rules.policies[HealthIssue::HighPartitionRisk.index()];
        match heals {
            Heals::Never => return,
            Heals::Above(threshold) => {
                *risk = HealingPolicy { threshold, links: MOST };
                watch.partition_risk_alert_threshold = Ratio::clamped(threshold);
            }
            // Its offers are told as those of others; it finds nothing that it would have to do.
            Heals::Lies => {}
        }
        self.sim.with_engine(self.nodes[node], |engine, now| {
            engine.watch_health(watch, now);
            engine.heal(rules, now);
        });
        for at in self.joints_of[node].clone() {
            if self.joints[at].spare {
                // The other end knows of it by itself, if it heals too; or it would link at once.
                self.sim.discover(self.joints[at].link, self.nodes[node], HintSource::Beacon);
            }
        }
    }

    /// Sees which spare links were made, and which were let go.
    pub(super) fn look_at_spares(&mut self) {
        for at in 0..self.joints.len() {
            let joint = &self.joints[at];
            if !joint.spare {
                continue;
            }
            let (link, was) = (joint.link, joint.carries);
            let ends = joint.ends.map(|node| self.nodes[node]);
            let is = ends.iter().all(|end| self.sim.link_id(link, *end).is_some());
            self.joints[at].carries = is;
            if is && !was {
                self.tell_link(at, |at, a, b, radio| Happening::LinkUp { at, a, b, radio });
            } else if was && !is {
                self.tell_link(at, |at, a, b, radio| Happening::LinkDown { at, a, b, radio });
            }
        }
    }
}
