use crate::topology::Topology;

/// Two ways round a link that is gone, or the peer that both would need.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detour {
    /// There are two ways that share no peer but the ends.
    Two,
    /// Everything from the near end goes through `through`: these slots, `through` not among them.
    NearSide {
        /// What is cut off.
        side: Vec<u32>,
        /// Through whom.
        through: u32,
    },
    /// The same at the far end.
    FarSide {
        /// What is cut off.
        side: Vec<u32>,
        /// Through whom.
        through: u32,
    },
}

/// Searches of a neighbourhood, in memory that is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Detours {
    marks: Vec<Mark>,
    round: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Searches that came here, by round.
    visited: [u32; 2],
    before: [u32; 2],
    /// Place on the first way, and the round of that.
    place: (u32, u32),
}

/// One of the two searches for a second way.
struct Side {
    queue: Vec<u32>,
    head: usize,
    /// The farthest place on the first way that was reached.
    reached: usize,
}

impl Detours {
    pub(super) fn grow(&mut self, slots: usize) {
        if self.marks.len() < slots {
            self.marks.resize(slots, Mark::default());
        }
    }

    /// A shortest way from `a` to `b` over links that `passes` lets through, both ends included;
    /// `None` when there is none. From both ends at once.
    pub(super) fn way(
        &mut self,
        topology: &Topology,
        a: u32,
        b: u32,
        passes: impl Fn(u32) -> bool,
    ) -> Option<Vec<u32>> {
        self.round += 1;
        let round = self.round;
        let mut queues = [vec![a], vec![b]];
        let mut heads = [0, 0];
        self.marks[a as usize].visited[0] = round;
        self.marks[b as usize].visited[1] = round;
        loop {
            for side in [0, 1] {
                let slot = *queues[side].get(heads[side])?;
                heads[side] += 1;
                for (other, edge) in topology.row(slot).entries() {
                    if !passes(edge) {
                        continue;
                    }
                    let mark = &mut self.marks[other as usize];
                    if mark.visited[side] == round {
                        continue;
                    }
                    mark.visited[side] = round;
                    mark.before[side] = slot;
                    if mark.visited[1 - side] == round {
                        return Some(self.joined(a, b, other));
                    }
                    queues[side].push(other);
                }
            }
        }
    }

    fn joined(&self, a: u32, b: u32, middle: u32) -> Vec<u32> {
        let mut way = vec![middle];
        let mut at = middle;
        while at != a {
            at = self.marks[at as usize].before[0];
            way.push(at);
        }
        way.reverse();
        at = middle;
        while at != b {
            at = self.marks[at as usize].before[1];
            way.push(at);
        }
        way
    }

    /// Looks for a second way beside `way` that shares no peer with it but the ends (Suurballe
    /// 1974), from both ends in turn: the answer costs what the smaller side of it has.
    pub(super) fn second(
        &mut self,
        topology: &Topology,
        way: &[u32],
        passes: impl Fn(u32) -> bool,
    ) -> Detour {
        self.round += 1;
        let round = self.round;
        for (place, slot) in way.iter().enumerate() {
            self.marks[*slot as usize].place = (place as u32, round);
        }
        let last = way.len() - 1;
        let mut sides =
            [way[0], way[last]].map(|end| Side { queue: vec![end], head: 0, reached: 0 });
        self.marks[way[0] as usize].visited[0] = round;
        self.marks[way[last] as usize].visited[1] = round;
        loop {
            for (at, side) in sides.iter_mut().enumerate() {
                let Some(&slot) = side.queue.get(side.head) else {
                    let cut = side.reached.max(1);
                    let through = way[if at == 0 { cut } else { last - cut }];
                    let side = std::mem::take(&mut side.queue);
                    return if at == 0 {
                        Detour::NearSide { side, through }
                    } else {
                        Detour::FarSide { side, through }
                    };
                };
                side.head += 1;
                if self.expand(topology, way, (slot, at), side, &passes) {
                    return Detour::Two;
                }
            }
        }
    }

    /// Goes on from a slot; whether the other end was reached.
    fn expand(
        &mut self,
        topology: &Topology,
        way: &[u32],
        (slot, at): (u32, usize),
        side: &mut Side,
        passes: &impl Fn(u32) -> bool,
    ) -> bool {
        let round = self.round;
        let last = way.len() - 1;
        // Places counted from the end at which this search began.
        let place = |mark: &Mark| {
            let place = mark.place.0 as usize;
            (mark.place.1 == round).then(|| if at == 0 { place } else { last - place })
        };
        let own = place(&self.marks[slot as usize]);
        for (other, edge) in topology.row(slot).entries() {
            if !passes(edge) {
                continue;
            }
            let mark = &mut self.marks[other as usize];
            match place(mark) {
                None if mark.visited[at] != round => {
                    mark.visited[at] = round;
                    side.queue.push(other);
                }
                // The link of the first way is taken.
                Some(there) if own.is_some_and(|own| there == own + 1) => {}
                Some(there) if there > side.reached => {
                    if there == last {
                        return true;
                    }
                    // Who came upon the first way may go back along it, and leave it anywhere.
                    let opened = side.reached.max(1)..there;
                    for opened in opened {
                        side.queue.push(way[if at == 0 { opened } else { last - opened }]);
                    }
                    side.reached = there;
                }
                None | Some(_) => {}
            }
        }
        false
    }
}
