use super::detour::{Detour, Detours};
use crate::lowlink::Lowlink;
use crate::topology::Topology;
use crate::{Graph, Snapshot};

/// How a change of one link was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Upkeep {
    /// A certificate showed that nothing else changes.
    #[default]
    Certified,
    /// What changed was found by a search of the neighbourhood.
    Repaired,
    /// A measure was computed anew.
    Recomputed,
}

/// The block of each link: which links no single peer's loss can part. Blocks merge when a link
/// joins them (Westbrook and Tarjan 1992), and are parted locally.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    /// Block of each edge, to be looked up in `parents`.
    of_edge: Vec<u32>,
    /// Union-find over blocks; a root is its own parent.
    parents: Vec<u32>,
    /// Links of each block that is a root.
    links: Vec<u32>,
    /// How many blocks meet at each slot.
    meeting: Vec<u32>,
    blocks: usize,
    bridges: usize,
    points: usize,
    detours: Detours,
    /// Blocks at a slot, while they are counted.
    around: Vec<u32>,
}

impl Blocks {
    pub(super) fn of(topology: &Topology, snapshot: &Snapshot) -> Self {
        let slots = topology.slot_bound();
        let mut blocks = Self {
            of_edge: vec![0; topology.edge_bound()],
            meeting: vec![0; slots],
            ..Self::default()
        };
        blocks.detours.grow(slots);
        let lowlink = Lowlink::new(snapshot.graph());
        let mut places = vec![0_u32; snapshot.peers()];
        for (place, position) in lowlink.order.iter().enumerate() {
            places[*position as usize] = place as u32;
        }
        let mut of_place = vec![0_u32; snapshot.peers()];
        for place in 0..of_place.len() {
            if lowlink.begins_block(place) {
                of_place[place] = blocks.fresh();
            } else if let Some(parent) = lowlink.parent(place) {
                of_place[place] = of_place[parent];
            }
        }
        for (a, b) in snapshot.graph().link_list() {
            let below = places[a as usize].max(places[b as usize]);
            let block = of_place[below as usize];
            let slots = snapshot.slot(a).zip(snapshot.slot(b));
            let edge = slots.and_then(|(a, b)| topology.row(a.0).edge(b.0));
            if let Some(edge) = edge {
                blocks.of_edge[edge as usize] = block;
                blocks.links[block as usize] += 1;
            }
        }
        blocks.bridges = blocks.links.iter().filter(|links| **links == 1).count();
        (0..slots as u32).for_each(|slot| blocks.recount(topology, slot));
        blocks
    }

    pub(super) fn count(&self) -> usize {
        self.blocks
    }

    pub(super) fn bridges(&self) -> usize {
        self.bridges
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// Whether the link is the only way between its ends.
    pub(super) fn is_bridge(&mut self, edge: u32) -> bool {
        let block = self.block(edge);
        self.links[block as usize] == 1
    }

    /// Whether the loss of the peer would split its component.
    pub(super) fn is_point(&self, slot: u32) -> bool {
        self.meeting[slot as usize] > 1
    }

    /// Room for slots up to this one.
    pub(super) fn add(&mut self, slot: u32) {
        let slots = slot as usize + 1;
        if self.meeting.len() < slots {
            self.meeting.resize(slots, 0);
        }
        self.detours.grow(slots);
    }

    /// Whether names of blocks have been used up to twice the links, so that it is time to begin
    /// again with few.
    pub(super) fn is_worn(&self, links: usize) -> bool {
        /// Fewer names than this are not worth it.
        const FEW: usize = 1 << 16;
        self.parents.len() > FEW.max(4 * links)
    }

    fn fresh(&mut self) -> u32 {
        let block = self.parents.len() as u32;
        self.parents.push(block);
        self.links.push(0);
        self.blocks += 1;
        block
    }

    fn root(&mut self, mut block: u32) -> u32 {
        loop {
            let parent = self.parents[block as usize];
            if parent == block {
                return block;
            }
            let above = self.parents[parent as usize];
            self.parents[block as usize] = above;
            block = above;
        }
    }

    fn block(&mut self, edge: u32) -> u32 {
        let block = self.of_edge[edge as usize];
        self.root(block)
    }

    /// Counts the blocks that meet at a slot.
    fn recount(&mut self, topology: &Topology, slot: u32) {
        let mut around = std::mem::take(&mut self.around);
        around.clear();
        for (_, edge) in topology.row(slot).entries() {
            let block = self.block(edge);
            // Few peers have links of more than a handful of blocks, and runs are common.
            if around.last() != Some(&block) {
                around.push(block);
            }
        }
        around.sort_unstable();
        around.dedup();
        let count = around.len() as u32;
        self.around = around;
        let before = std::mem::replace(&mut self.meeting[slot as usize], count);
        self.points += usize::from(count > 1);
        self.points -= usize::from(before > 1);
    }

    /// A pair was linked. `apart` says whether no way led from one to the other before, and
    /// `shared` is one of their common neighbours.
    pub(super) fn linked(
        &mut self,
        topology: &Topology,
        (a, b): (u32, u32),
        apart: bool,
        shared: Option<u32>,
    ) -> Upkeep {
        let Some(edge) = topology.row(a).edge(b) else { return Upkeep::Certified };
        if edge as usize >= self.of_edge.len() {
            self.of_edge.resize(edge as usize + 1, 0);
        }
        if apart {
            let block = self.fresh();
            self.of_edge[edge as usize] = block;
            self.links[block as usize] = 1;
            self.bridges += 1;
            self.recount(topology, a);
            self.recount(topology, b);
            return Upkeep::Certified;
        }
        let way = match shared {
            Some(middle) => Some(vec![a, middle, b]),
            None => self.detours.way(topology, a, b, |other| other != edge),
        };
        let Some(way) = way else { return Upkeep::Certified };
        let steps = way.windows(2).filter_map(|pair| topology.row(pair[0]).edge(pair[1]));
        let steps: Vec<u32> = steps.collect();
        let mut kept = self.block(steps[0]);
        let mut merged = false;
        for step in &steps[1..] {
            let mut other = self.block(*step);
            if other == kept {
                continue;
            }
            for block in [kept, other] {
                self.bridges -= usize::from(self.links[block as usize] == 1);
            }
            // The smaller hangs below the larger.
            if self.links[kept as usize] < self.links[other as usize] {
                std::mem::swap(&mut kept, &mut other);
            }
            self.parents[other as usize] = kept;
            self.links[kept as usize] += self.links[other as usize];
            // No bridge, however few links it has until the new one is counted.
            self.blocks -= 1;
            merged = true;
        }
        self.of_edge[edge as usize] = kept;
        self.links[kept as usize] += 1;
        if merged {
            way.iter().for_each(|slot| self.recount(topology, *slot));
            Upkeep::Repaired
        } else if shared.is_some() {
            Upkeep::Certified
        } else {
            Upkeep::Repaired
        }
    }

    /// A pair was unlinked that `edge` had linked. `shared` are up to two of their common
    /// neighbours. Whether they cannot reach each other any more, and how it was found.
    pub(super) fn unlinked(
        &mut self,
        topology: &Topology,
        (a, b, edge): (u32, u32, u32),
        shared: &[u32],
    ) -> (bool, Upkeep) {
        let block = self.block(edge);
        self.links[block as usize] -= 1;
        if self.links[block as usize] == 0 {
            self.bridges -= 1;
            self.blocks -= 1;
            self.recount(topology, a);
            self.recount(topology, b);
            return (true, Upkeep::Certified);
        }
        if shared.len() >= 2 {
            return (false, Upkeep::Certified);
        }
        self.part(topology, block, a, b, shared.first().copied());
        (false, Upkeep::Repaired)
    }

    /// Finds what a block falls into when the link between two of its slots goes.
    fn part(&mut self, topology: &Topology, block: u32, a: u32, b: u32, shared: Option<u32>) {
        let mut detours = std::mem::take(&mut self.detours);
        let way = match shared {
            Some(middle) => Some(vec![a, middle, b]),
            None => detours.way(topology, a, b, |other| self.is_in(other, block)),
        };
        // A block has two ways between any two of its slots, one of which may have been the link.
        let mut way = way.unwrap_or_default();
        while way.len() > 2 {
            match detours.second(topology, &way, |edge| self.is_in(edge, block)) {
                Detour::Two => break,
                Detour::NearSide { side, through } => {
                    self.cut_off(topology, block, &side, through);
                    let from = way.iter().position(|slot| *slot == through).unwrap_or(0);
                    way.drain(..from);
                }
                Detour::FarSide { side, through } => {
                    self.cut_off(topology, block, &side, through);
                    let to = way.iter().position(|slot| *slot == through).unwrap_or(0);
                    way.truncate(to + 1);
                }
            }
            // The rest hangs together with a link between its two ends; when that link is there,
            // the rest is whole.
            let ends = way.first().zip(way.last());
            let direct = ends.and_then(|(a, b)| topology.row(*a).edge(*b));
            if direct.is_some_and(|edge| self.is_in(edge, block)) {
                break;
            }
        }
        self.detours = detours;
        self.bridges += usize::from(self.links[block as usize] == 1);
    }

    /// Whether a link belongs to a block that is a root; without shortening the way to it.
    fn is_in(&self, edge: u32, block: u32) -> bool {
        let mut at = self.of_edge[edge as usize];
        while self.parents[at as usize] != at {
            at = self.parents[at as usize];
        }
        at == block
    }

    /// Gives the links of `side`, which only `through` joins with the rest of the block, blocks of
    /// their own.
    fn cut_off(&mut self, topology: &Topology, block: u32, side: &[u32], through: u32) {
        let mut slots: Vec<u32> = side.to_vec();
        slots.push(through);
        slots.sort_unstable();
        slots.dedup();
        let mut links = Vec::new();
        let mut edges = Vec::new();
        let name = |slot: u32| slots.binary_search(&slot).ok().map(|at| at as u32);
        for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != through) {
            for (other, edge) in topology.row(*slot).entries() {
                let Some(other) = name(other).filter(|_| self.is_in(edge, block)) else { continue };
                // Each link once: from the lower end, and from those of `through` at its other end.
                if (at as u32) < other || slots[other as usize] == through {
                    links.push((at as u32, other));
                    edges.push(edge);
                }
            }
        }
        let Ok(graph) = Graph::from_links(slots.len(), &links) else { return };
        let lowlink = Lowlink::new(&graph);
        let mut places = vec![0_u32; slots.len()];
        for (place, peer) in lowlink.order.iter().enumerate() {
            places[*peer as usize] = place as u32;
        }
        let mut of_place = vec![0_u32; slots.len()];
        let first = self.parents.len();
        for place in 0..of_place.len() {
            if lowlink.begins_block(place) {
                of_place[place] = self.fresh();
            } else if let Some(parent) = lowlink.parent(place) {
                of_place[place] = of_place[parent];
            }
        }
        for ((a, b), edge) in links.iter().zip(edges) {
            let below = places[*a as usize].max(places[*b as usize]);
            let new = of_place[below as usize];
            self.of_edge[edge as usize] = new;
            self.links[new as usize] += 1;
            self.links[block as usize] -= 1;
        }
        self.bridges += self.links[first..].iter().filter(|links| **links == 1).count();
        slots.iter().for_each(|slot| self.recount(topology, *slot));
    }
}
