use bitcraps_types::Ratio;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Format, Network, ReadError};
use crate::Graph;

/// What was read so far.
#[derive(Debug)]
pub(super) struct Gathering {
    names: Vec<String>,
    numbers: HashMap<String, u32, FixedState>,
    links: Vec<(u32, u32, Option<Ratio>)>,
    /// Whether names are the numbers from 0, so that no table of them is needed.
    numbered: bool,
    self_links: usize,
    pub(super) offline: usize,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self {
            names: Vec::new(),
            numbers: HashMap::with_hasher(FixedState::default()),
            links: Vec::new(),
            numbered: false,
            self_links: 0,
            offline: 0,
        }
    }

    /// With the peers 0 to `count`.
    pub(super) fn numbered(count: u32) -> Self {
        Self { names: (0..count).map(|n| n.to_string()).collect(), numbered: true, ..Self::new() }
    }

    pub(super) fn is_numbered(&self) -> bool {
        self.numbered
    }

    pub(super) fn peers(&self) -> usize {
        self.names.len()
    }

    /// The number of a peer, which is added when it is new.
    pub(super) fn peer(&mut self, id: &str) -> u32 {
        if self.numbered
            && let Ok(number) = id.parse::<u32>()
            && (number as usize) < self.names.len()
        {
            return number;
        }
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(id.to_owned());
        self.numbers.insert(id.to_owned(), number);
        number
    }

    /// What people call a peer.
    pub(super) fn call(&mut self, peer: u32, name: &str) {
        if !name.is_empty() {
            self.names[peer as usize] = name.to_owned();
        }
    }

    pub(super) fn link(&mut self, a: u32, b: u32, reliability: Option<Ratio>) {
        if a == b {
            self.self_links += 1;
        } else {
            self.links.push((a.min(b), a.max(b), reliability));
        }
    }

    pub(super) fn network(mut self, format: Format) -> Result<Network, ReadError> {
        drop(std::mem::take(&mut self.numbers));
        let told = self.links.len();
        let key = |link: &(u32, u32, Option<Ratio>)| (link.0, link.1);
        self.links.sort_unstable_by_key(key);
        self.links.dedup_by(|next, kept| {
            let same = key(next) == key(kept);
            if same {
                // The least that is told; what is not told says nothing.
                let both = [kept.2, next.2].into_iter().flatten();
                kept.2 = both.min_by(|a, b| a.get().total_cmp(&b.get()));
            }
            same
        });
        let pairs: Vec<(u32, u32)> = self.links.iter().map(key).collect();
        let graph = Graph::from_links(self.names.len(), &pairs)?;
        Ok(Network {
            format,
            names: self.names,
            graph,
            reliabilities: self.links.iter().map(|link| link.2).collect(),
            offline: self.offline,
            self_links: self.self_links,
            repeated: told - pairs.len(),
        })
    }
}
