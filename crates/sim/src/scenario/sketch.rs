use std::f64::consts::TAU;

use super::air::Reach;
use super::tale::Step;

/// The network at a moment, to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Names of the radios.
    pub radios: Vec<String>,
    /// Every node.
    pub spots: Vec<Spot>,
    /// Every link that is there.
    pub strands: Vec<Strand>,
    /// Width and height of what is drawn on, in the unit of places.
    pub size: [f64; 2],
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Number of its group.
    pub group: usize,
    /// Where it is; on a circle with its group, when it is nowhere.
    pub place: [f64; 2],
    /// Whether it runs.
    pub alive: bool,
}

/// A link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strand {
    /// Its ends, as positions in [`Sketch::spots`].
    pub ends: [usize; 2],
    /// Number of its radio.
    pub radio: usize,
    /// Whether it carries what it is given; its ends believe so.
    pub carries: bool,
    /// Whether its ends made it because the network needed it.
    pub spare: bool,
}

impl Step<'_> {
    /// The network as it is. O(nodes + links).
    pub fn sketch(&self) -> Sketch {
        let (course, scenario) = (self.course, self.course.scenario);
        let names = scenario.groups.iter().map(|group| group.name.clone());
        let are_somewhere = scenario.groups.iter().any(|group| !group.radios.is_empty());
        let size = if are_somewhere { scenario.area } else { [100.0, 100.0] };
        let mut spots = Vec::with_capacity(course.nodes.len());
        for (number, group) in scenario.groups.iter().enumerate() {
            for member in 0..group.count {
                let node = group.first + member;
                let place = match group.radios.is_empty() {
                    false => course.motion.places[node],
                    true => seat((number, scenario.groups.len()), (member, group.count), size),
                };
                spots.push(Spot { group: number, place, alive: course.is_alive(node) });
            }
        }
        let ends_live = |ends: [usize; 2]| ends.iter().all(|node| course.is_alive(*node));
        let there = course.joints.iter().filter(|joint| {
            let silent = !joint.spare && joint.reach != Reach::Out && ends_live(joint.ends);
            joint.carries || silent
        });
        let strands = there.map(|joint| Strand {
            ends: joint.ends,
            radio: joint.radio,
            carries: joint.carries,
            spare: joint.spare,
        });
        Sketch {
            groups: names.collect(),
            radios: scenario.radios.iter().map(|radio| radio.name.clone()).collect(),
            strands: strands.collect(),
            spots,
            size,
        }
    }
}

/// A place for a member of a group of which nobody says where it is: groups on a circle, their members
/// on circles of their own.
fn seat(
    (group, groups): (usize, usize),
    (member, members): (usize, usize),
    [width, height]: [f64; 2],
) -> [f64; 2] {
    let on = |centre: [f64; 2], radius: f64, turn: f64| {
        let (sin, cos) = (turn * TAU).sin_cos();
        [centre[0] - radius * cos, centre[1] - radius * sin]
    };
    let share = |at: usize, of: usize| at as f64 / of.max(1) as f64;
    let least = width.min(height);
    let middle = [width / 2.0, height / 2.0];
    let centre = if groups == 1 { middle } else { on(middle, least * 0.3, share(group, groups)) };
    let room = if groups == 1 { 0.42 } else { (0.9 / groups as f64).min(0.17) };
    if members == 1 { centre } else { on(centre, least * room, share(member, members)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_nowhere_sits_inside_and_apart() {
        for groups in 1..12 {
            let mut seats = Vec::new();
            for group in 0..groups {
                seats.extend((0..7).map(|at| seat((group, groups), (at, 7), [200.0, 100.0])));
            }
            for (at, [x, y]) in seats.iter().enumerate() {
                assert!((0.0..=200.0).contains(x) && (0.0..=100.0).contains(y), "{x}, {y}");
                for [a, b] in &seats[..at] {
                    assert!((x - a).hypot(y - b) > 0.5, "{groups} groups");
                }
            }
        }
    }
}
