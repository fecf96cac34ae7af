use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bitcraps_types::{Epoch, Timestamp, TransportType};
use bitcraps_wire::{Alias, Introduction, LinkClaim, MAX_RECORD_LINKS, Quality, Record, Version};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::bucket::Bucket;
use crate::sorted::Sorted;

/// Changes of one origin that are taken at once, and how long until one more is. An honest origin
/// makes six at once and one in ten seconds, and as many again when links go.
const CHANGES: u32 = 24;
pub(crate) const CHANGE_INTERVAL: Duration = Duration::from_secs(4);

/// What names a link of an origin: its other end, and what carries it.
pub(crate) type ClaimKey = (Alias, TransportType);

/// What an origin says of its links.
pub(crate) type Claims = Sorted<ClaimKey, Quality, MAX_RECORD_LINKS>;

fn claim_key(link: &LinkClaim) -> ClaimKey {
    (link.neighbour, link.quality.transport())
}

/// A part of an origin's links, in its latest state.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) full: Arc<Record>,
    /// What has changed since.
    pub(crate) delta: Option<Arc<Record>>,
    /// When the origin made the latest of both, at the latest.
    pub(crate) born: Timestamp,
}

impl Page {
    pub(crate) fn sequence(&self) -> u32 {
        self.delta.as_ref().unwrap_or(&self.full).version.sequence
    }

    /// What it says, links that went left out.
    fn claims(&self) -> impl Iterator<Item = (ClaimKey, Quality)> {
        let delta = self.delta.as_ref().map_or(&[][..], |delta| &delta.links);
        // Links of records are ascending.
        let changed = move |claimed: &LinkClaim| {
            delta.binary_search_by_key(&claim_key(claimed), claim_key).is_ok()
        };
        let left = self.full.links.iter().filter(move |link| !changed(link));
        let came = delta.iter().filter(|link| !link.quality.is_gone());
        left.chain(came).map(|link| (claim_key(link), link.quality))
    }

    /// What it says of one link.
    fn claim(&self, key: &ClaimKey) -> Option<Quality> {
        let find = |record: &Arc<Record>| {
            let at = record.links.binary_search_by_key(key, claim_key).ok()?;
            Some(record.links[at].quality)
        };
        let changed = self.delta.as_ref().and_then(find);
        changed.or_else(|| find(&self.full)).filter(|quality| !quality.is_gone())
    }
}

/// One origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) introduction: Introduction,
    pub(crate) pages: Sorted<u8, Page, 1>,
    /// A session with it was completed.
    pub(crate) verified: bool,
    pub(crate) changes: Bucket,
    pub(crate) flags: u8,
}

impl Origin {
    pub(crate) fn new(introduction: Introduction, verified: bool) -> Self {
        let changes = Bucket::new(CHANGE_INTERVAL * CHANGES);
        Self { introduction, pages: Sorted::default(), verified, changes, flags: 0 }
    }

    /// What it says of its links. They are in its records, which may be shared with other databases,
    /// and nowhere else.
    pub(crate) fn claims(&self) -> Claims {
        let said = self.pages.values().flat_map(Page::claims);
        said.filter(|(_, quality)| !quality.is_offer()).collect()
    }

    /// What it says of one link. Of pages that name the same one the last counts.
    pub(crate) fn claim(&self, key: &ClaimKey) -> Option<Quality> {
        let mut pages = self.pages.values().rev();
        pages.find_map(|page| page.claim(key).filter(|quality| !quality.is_offer()))
    }

    /// Links that it could make and has not.
    pub(crate) fn offers(&self) -> BTreeSet<ClaimKey> {
        let said = self.pages.values().flat_map(Page::claims);
        said.filter(|(_, quality)| quality.is_offer()).map(|(key, _)| key).collect()
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

/// A page in short: ranges are compared and listed without a look at its origin.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u128,
    sequence: u32,
    /// [`Version::epoch_bits`] of the origin.
    epoch: u8,
}

/// The records of every origin.
#[derive(Debug)]
pub(crate) struct Table {
    origins: HashMap<Alias, Box<Origin>, FixedState>,
    /// Every page: what is walked through is walked through in this order.
    index: BTreeMap<(Alias, u8), Entry>,
    sum: u128,
    root: u64,
    /// No page is older.
    oldest: Timestamp,
}

impl Table {
    /// Without origins. `hash` keys the hash of aliases.
    pub(crate) fn new(hash: u64) -> Self {
        let origins = HashMap::with_hasher(FixedState::with_seed(hash));
        Self { origins, index: BTreeMap::new(), sum: 0, root: 0, oldest: Timestamp::MAX }
    }

    pub(crate) fn len(&self) -> usize {
        self.origins.len()
    }

    pub(crate) fn pages(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn get(&self, alias: Alias) -> Option<&Origin> {
        self.origins.get(&alias).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, alias: Alias) -> Option<&mut Origin> {
        self.origins.get_mut(&alias).map(Box::as_mut)
    }

    /// The origins with pages, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Alias, &Origin)> {
        let mut before = None;
        let first = move |alias: &Alias| before.replace(*alias) != Some(*alias);
        let aliases = self.index.keys().map(|(alias, _)| *alias).filter(first);
        aliases.filter_map(|alias| Some((alias, self.get(alias)?)))
    }

    pub(crate) fn insert(&mut self, alias: Alias, origin: Origin) {
        self.remove(alias);
        self.origins.insert(alias, Box::new(origin));
    }

    pub(crate) fn remove(&mut self, alias: Alias) -> Option<Origin> {
        self.remove_pages(alias);
        Some(*self.origins.remove(&alias)?)
    }

    /// Leaves nothing of an origin but its name.
    pub(crate) fn remove_pages(&mut self, alias: Alias) {
        let Some(origin) = self.origins.get_mut(&alias) else { return };
        for (number, _) in std::mem::take(&mut origin.pages).iter() {
            self.without((alias, *number));
        }
    }

    pub(crate) fn remove_page(&mut self, alias: Alias, number: u8) {
        let page = self.origins.get_mut(&alias).and_then(|origin| origin.pages.remove(&number));
        if page.is_some() {
            self.without((alias, number));
        }
    }

    /// Pages of others than `own` that were made before a time. O(1) when there can be none.
    pub(crate) fn made_before(&mut self, own: Alias, time: Timestamp) -> Vec<(Alias, u8)> {
        if self.oldest >= time {
            return Vec::new();
        }
        let mut oldest = Timestamp::MAX;
        let mut old = Vec::new();
        for (alias, number) in self.index.keys() {
            let origin = self.origins.get(alias).filter(|_| *alias != own);
            let Some(page) = origin.and_then(|origin| origin.pages.get(number)) else { continue };
            if page.born < time {
                old.push((*alias, *number));
            } else {
                oldest = oldest.min(page.born);
            }
        }
        self.oldest = oldest;
        old
    }

    /// A page is older than it seemed.
    pub(crate) fn grow_older(&mut self, (alias, number): (Alias, u8), born: Timestamp) {
        let origin = self.origins.get_mut(&alias);
        if let Some(page) = origin.and_then(|origin| origin.pages.get_mut(&number)) {
            page.born = page.born.min(born);
            self.oldest = self.oldest.min(born);
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
            Page { full: full.clone(), delta: Some(record), born }
        } else {
            Page { full: record, delta: None, born }
        };
        let entry = Entry { hash, sequence, epoch: origin.bits() };
        origin.pages.insert(page, after);
        if let Some(before) = self.index.insert((alias, page), entry) {
            self.sum = self.sum.wrapping_sub(before.hash);
        }
        self.sum = self.sum.wrapping_add(hash);
        self.root = fold(self.sum, self.index.len());
        self.oldest = self.oldest.min(born);
        Some(())
    }

    /// What the latest record of a page is signed with.
    pub(crate) fn signature(&self, (alias, page): (Alias, u8)) -> Option<&[u8; 64]> {
        let page = self.get(alias)?.pages.get(&page)?;
        Some(&page.delta.as_ref().unwrap_or(&page.full).signature)
    }

    fn range(&self, range: RangeInclusive<Alias>) -> impl Iterator<Item = (&(Alias, u8), &Entry)> {
        self.index.range((*range.start(), 0)..=(*range.end(), u8::MAX))
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

    fn without(&mut self, key: (Alias, u8)) {
        if let Some(before) = self.index.remove(&key) {
            self.sum = self.sum.wrapping_sub(before.hash);
            self.root = fold(self.sum, self.index.len());
        }
    }

    /// What stands for the pages of a range. O(pages in it).
    pub(crate) fn fingerprint(&self, range: RangeInclusive<Alias>) -> u64 {
        let add =
            |(sum, count): (u128, usize), entry: &Entry| (sum.wrapping_add(entry.hash), count + 1);
        let (sum, count) = self.range(range).map(|(_, entry)| entry).fold((0, 0), add);
        fold(sum, count)
    }

    /// The pages of a range, ascending.
    pub(crate) fn versions(
        &self,
        range: RangeInclusive<Alias>,
    ) -> impl Iterator<Item = Version> + '_ {
        self.range(range).map(|((alias, page), entry)| Version {
            alias: *alias,
            epoch: entry.epoch,
            page: *page,
            sequence: entry.sequence,
        })
    }
}
