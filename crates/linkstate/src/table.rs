use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::{Epoch, Timestamp, TransportType};
use bitcraps_wire::{Alias, Introduction, LinkClaim, Quality, Record, Version};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::bucket::Bucket;
use crate::sorted::Sorted;

/// Changes of one origin that are taken at once, and how long until one more is. An honest origin
/// makes six at once and one in ten seconds, and as many again when links go.
const CHANGES: u32 = 24;
pub(crate) const CHANGE_INTERVAL: Duration = Duration::from_secs(4);

/// What an origin says of its links.
pub(crate) type Claims = Sorted<(Alias, TransportType), Quality>;

/// A part of an origin's links, in its latest state.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) full: Arc<Record>,
    /// What has changed since.
    pub(crate) delta: Option<Arc<Record>>,
    /// When the origin made the latest of both, at the latest.
    pub(crate) born: Timestamp,
    hash: u128,
}

impl Page {
    pub(crate) fn sequence(&self) -> u32 {
        self.delta.as_ref().unwrap_or(&self.full).version.sequence
    }

    /// What it says, links that went left out.
    pub(crate) fn claims(&self) -> impl Iterator<Item = ((Alias, TransportType), Quality)> {
        let key = |link: &LinkClaim| (link.neighbour, link.quality.transport());
        let delta = self.delta.as_ref().map_or(&[][..], |delta| &delta.links);
        // Links of records are ascending.
        let changed =
            move |claimed: &LinkClaim| delta.binary_search_by_key(&key(claimed), key).is_ok();
        let left = self.full.links.iter().filter(move |link| !changed(link));
        let came = delta.iter().filter(|link| !link.quality.is_gone());
        left.chain(came).map(move |link| (key(link), link.quality))
    }
}

/// One origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) introduction: Introduction,
    pub(crate) pages: Sorted<u8, Page>,
    pub(crate) claims: Claims,
    /// Links that it could make and has not.
    pub(crate) offers: BTreeSet<(Alias, TransportType)>,
    /// A session with it was completed.
    pub(crate) verified: bool,
    pub(crate) changes: Bucket,
    pub(crate) flags: u8,
}

impl Origin {
    pub(crate) fn new(introduction: Introduction, verified: bool) -> Self {
        let changes = Bucket::new(CHANGE_INTERVAL * CHANGES);
        let (pages, claims, offers) = (Sorted::default(), Claims::default(), BTreeSet::new());
        Self { introduction, pages, claims, offers, verified, changes, flags: 0 }
    }

    pub(crate) fn bits(&self) -> u8 {
        Version::epoch_bits(self.introduction.epoch)
    }

    pub(crate) fn version(&self, alias: Alias, page: u8) -> Option<Version> {
        let sequence = self.pages.get(&page)?.sequence();
        Some(Version { alias, epoch: self.bits(), page, sequence })
    }
}

/// How what somebody names compares with what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known of the origin.
    Stranger,
    /// It is newer.
    Newer,
    /// It is here.
    Same,
    /// Something newer is here.
    Older,
}

fn hash(alias: Alias, epoch: Epoch, page: u8, sequence: u32) -> u128 {
    let hash = Sha256::new()
        .chain_update(alias.0.to_be_bytes())
        .chain_update(epoch.0.to_be_bytes())
        .chain_update([page])
        .chain_update(sequence.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    u128::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 16]))
}

/// What stands for a set of pages: the sum of their hashes and their number, hashed again so that
/// nobody finds two sets of the same sum.
fn fold(sum: u128, count: usize) -> u64 {
    let hash =
        Sha256::new().chain_update(sum.to_be_bytes()).chain_update((count as u64).to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8]))
}

/// The records of every origin.
#[derive(Debug)]
pub(crate) struct Table {
    origins: HashMap<Alias, Box<Origin>, FixedState>,
    /// Every alias: what is walked through is walked through in this order.
    order: BTreeSet<Alias>,
    sum: u128,
    pages: usize,
    root: u64,
}

impl Table {
    /// Without origins. `hash` keys the hash of aliases.
    pub(crate) fn new(hash: u64) -> Self {
        let origins = HashMap::with_hasher(FixedState::with_seed(hash));
        Self { origins, order: BTreeSet::new(), sum: 0, pages: 0, root: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.origins.len()
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    pub(crate) fn get(&self, alias: Alias) -> Option<&Origin> {
        self.origins.get(&alias).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, alias: Alias) -> Option<&mut Origin> {
        self.origins.get_mut(&alias).map(Box::as_mut)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Alias, &Origin)> {
        self.range(Alias(0)..=Alias(u64::MAX))
    }

    pub(crate) fn insert(&mut self, alias: Alias, origin: Origin) {
        self.remove(alias);
        self.order.insert(alias);
        self.origins.insert(alias, Box::new(origin));
    }

    pub(crate) fn remove(&mut self, alias: Alias) -> Option<Origin> {
        let origin = *self.origins.remove(&alias)?;
        self.order.remove(&alias);
        origin.pages.values().for_each(|page| self.without(page));
        Some(origin)
    }

    pub(crate) fn remove_page(&mut self, alias: Alias, number: u8) {
        let page = self.origins.get_mut(&alias).and_then(|origin| origin.pages.remove(&number));
        if let Some(page) = page {
            self.without(&page);
        }
    }

    /// Puts a record in the place of what its page was. `None` when it changes a full record that is
    /// not here.
    pub(crate) fn put(&mut self, record: Arc<Record>, born: Timestamp) -> Option<()> {
        let Version { alias, page, sequence, .. } = record.version;
        let origin = self.origins.get_mut(&alias)?;
        let hash = hash(alias, origin.introduction.epoch, page, sequence);
        let after = if record.is_delta() {
            let base = sequence - u32::from(record.base);
            let full = &origin.pages.get(&page).filter(|p| p.full.version.sequence == base)?.full;
            Page { full: full.clone(), delta: Some(record), born, hash }
        } else {
            Page { full: record, delta: None, born, hash }
        };
        if let Some(before) = origin.pages.insert(page, after) {
            self.without(&before);
        }
        self.sum = self.sum.wrapping_add(hash);
        self.pages += 1;
        self.root = fold(self.sum, self.pages);
        Some(())
    }

    /// What the latest record of a page is signed with.
    pub(crate) fn signature(&self, (alias, page): (Alias, u8)) -> Option<&[u8; 64]> {
        let page = self.get(alias)?.pages.get(&page)?;
        Some(&page.delta.as_ref().unwrap_or(&page.full).signature)
    }

    fn range(&self, range: RangeInclusive<Alias>) -> impl Iterator<Item = (Alias, &Origin)> {
        self.order.range(range).filter_map(|alias| Some((*alias, self.get(*alias)?)))
    }

    /// How a version compares with what is here.
    pub(crate) fn standing(&self, version: &Version) -> Standing {
        let Some(origin) = self.origins.get(&version.alias) else { return Standing::Stranger };
        // Epochs are compared by their low bits, in serial arithmetic: nobody restarts 64 times
        // without being heard of.
        match version.epoch.wrapping_sub(origin.bits()) & 0x7F {
            0 => {}
            1..=63 => return Standing::Newer,
            _ => return Standing::Older,
        }
        let here = origin.pages.get(&version.page).map(Page::sequence);
        match here {
            Some(here) if here == version.sequence => Standing::Same,
            Some(here) if here > version.sequence => Standing::Older,
            _ => Standing::Newer,
        }
    }

    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    fn without(&mut self, page: &Page) {
        self.sum = self.sum.wrapping_sub(page.hash);
        self.pages -= 1;
        self.root = fold(self.sum, self.pages);
    }

    /// What stands for the pages of a range. O(origins in it).
    pub(crate) fn fingerprint(&self, range: RangeInclusive<Alias>) -> u64 {
        let (mut sum, mut count) = (0_u128, 0);
        for page in self.range(range).flat_map(|(_, origin)| origin.pages.values()) {
            sum = sum.wrapping_add(page.hash);
            count += 1;
        }
        fold(sum, count)
    }

    /// The pages of a range, ascending.
    pub(crate) fn versions(
        &self,
        range: RangeInclusive<Alias>,
    ) -> impl Iterator<Item = Version> + '_ {
        self.range(range).flat_map(|(alias, origin)| {
            origin.pages.keys().filter_map(move |page| origin.version(alias, *page))
        })
    }
}
