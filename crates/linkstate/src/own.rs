use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::{Timestamp, TransportType};
use bitcraps_wire::{
    Alias, LinkClaim, MAX_PAGES, MAX_RECORD_LINKS, MAX_RECORD_SEQUENCE, Quality, Record, Version,
};

use crate::bucket::Bucket;
use crate::identity::Publisher;

/// Changes of quality and of what is offered that are published at once, and how long until one more
/// is. A link that goes is published at once always: it had to be published to be there.
const CHANGES: u32 = 4;
/// As many more, for links that came: whatever changes before, nobody waits for the one that holds the
/// network together.
const RESERVED: u32 = 2;
pub(crate) const CHANGE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the next ones wait after some were published, so that those of a node that starts come
/// together.
const SPACING: Duration = Duration::from_millis(200);
/// How long the very first ones wait: a node that starts meets several neighbours at once.
const BEGINNING: Duration = Duration::from_millis(50);
/// How many times as long a latency, or as high a rate, has to be to be worth a record: more than
/// jitter makes of them. A step of a latency is 19 %, one of a rate two and a half times.
const OTHER_LATENCY: f64 = 1.6;
const OTHER_RATE: f64 = 6.0;
/// Least difference in the share of what arrives, likewise. A frame that is lost now and then is no
/// news: with a thousand nodes there is always one somewhere.
const OTHER_SHARE: f64 = 0.15;

/// The links of a node.
pub(crate) type Links = BTreeMap<(Alias, TransportType), Quality>;

#[derive(Debug, Default)]
struct OwnPage {
    /// What the latest full record says, and its number.
    base: Links,
    base_sequence: u32,
    /// What is published.
    claims: Links,
    published: Option<Timestamp>,
    /// Something else is about under this node's key, and has to be replaced.
    contested: bool,
}

/// What this node says of its own links.
pub(crate) struct Own {
    pages: Vec<OwnPage>,
    next_sequence: u32,
    changes: Bucket,
    /// Before this, nothing new is published.
    spaced: Timestamp,
    /// What has to be in the bucket for the news that waits.
    waits: Option<Duration>,
    refresh: Duration,
}

impl Own {
    pub(crate) fn new(refresh: Duration) -> Self {
        let pages = (0..MAX_PAGES).map(|_| OwnPage::default()).collect();
        Self {
            pages,
            next_sequence: 1,
            changes: Bucket::new(CHANGE_INTERVAL * (CHANGES + RESERVED)),
            spaced: Timestamp::ZERO,
            waits: None,
            refresh,
        }
    }

    /// Somebody else published a page under this node's key: numbers above `sequence` from now on,
    /// and replaces it.
    pub(crate) fn contest(&mut self, page: u8, sequence: u32) {
        self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
        if let Some(page) = self.pages.get_mut(usize::from(page)) {
            page.contested = true;
            self.waits = self.waits.or(Some(CHANGE_INTERVAL * (1 + RESERVED)));
        }
    }

    /// What has to be in the bucket for what is worth telling and not published, if anything is.
    fn news(&self, links: &Links) -> Option<Duration> {
        let told =
            |key: &(Alias, TransportType)| self.pages.iter().find_map(|page| page.claims.get(key));
        let came = |(key, quality): (&(Alias, TransportType), &Quality)| {
            !quality.is_offer() && told(key).is_none_or(|told| told.is_offer())
        };
        let differs = |(key, quality): (&(Alias, TransportType), &Quality)| {
            told(key).is_none_or(|told| is_news(*told, *quality))
        };
        if links.iter().any(came) {
            return Some(CHANGE_INTERVAL);
        }
        let contested = self.pages.iter().any(|page| page.contested);
        let worth = contested || links.iter().any(differs);
        worth.then_some(CHANGE_INTERVAL * (1 + RESERVED))
    }

    /// When [`Self::publish`] has something to say, if the links stay as they are.
    pub(crate) fn next_due(&self, publisher: &Publisher) -> Option<Timestamp> {
        let refresh =
            (0..self.pages.len()).filter_map(|page| self.refresh_at(page, publisher.alias));
        let news = self.waits.map(|room| self.changes.ready_at(room).max(self.spaced));
        refresh.chain(news).min()
    }

    /// Between three quarters and the whole of the interval, so that the network does not do it at
    /// once.
    fn refresh_at(&self, page: usize, alias: Alias) -> Option<Timestamp> {
        let part = self.refresh / 1_024;
        let spread = (alias.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u32;
        Some(self.pages[page].published? + part * (768 + spread))
    }

    /// The records that make `links` known.
    pub(crate) fn publish(
        &mut self,
        links: &Links,
        publisher: &Publisher,
        now: Timestamp,
    ) -> Vec<Record> {
        let mut changed = BTreeSet::new();
        for (number, page) in self.pages.iter_mut().enumerate() {
            let before = page.claims.len();
            page.claims.retain(|key, _| links.contains_key(key));
            if page.claims.len() != before {
                changed.insert(number);
            }
        }
        if self.spaced == Timestamp::ZERO && !links.is_empty() {
            self.spaced = now + BEGINNING;
        }
        let news = self.news(links).filter(|_| self.spaced <= now);
        if news.is_some_and(|room| self.changes.ready_at(room) <= now) {
            self.changes.take(CHANGE_INTERVAL, now);
            self.spaced = now + SPACING;
            for (number, page) in self.pages.iter_mut().enumerate() {
                if std::mem::take(&mut page.contested) {
                    page.base_sequence = 0;
                    changed.insert(number);
                }
            }
            for (key, quality) in links {
                let holds = |page: &OwnPage| page.claims.contains_key(key);
                let room = |page: &OwnPage| page.claims.len() < MAX_RECORD_LINKS;
                let at = self.pages.iter().position(holds);
                let Some(at) = at.or_else(|| self.pages.iter().position(room)) else { continue };
                let told = self.pages[at].claims.insert(*key, *quality);
                if told.is_none_or(|told| told != *quality) {
                    changed.insert(at);
                }
            }
        }
        for number in 0..self.pages.len() {
            if self.refresh_at(number, publisher.alias).is_some_and(|at| at <= now) {
                let page = &mut self.pages[number];
                page.base_sequence = 0;
                if page.claims.is_empty() && !changed.contains(&number) {
                    // Nothing to say any more: what says so is forgotten in time.
                    page.published = None;
                } else {
                    changed.insert(number);
                }
            }
        }
        self.waits = self.news(links);
        changed.into_iter().map(|number| self.record(number, publisher, now)).collect()
    }

    fn record(&mut self, number: usize, publisher: &Publisher, now: Timestamp) -> Record {
        let sequence = self.next_sequence.min(MAX_RECORD_SEQUENCE);
        self.next_sequence = sequence.saturating_add(1);
        let page = &mut self.pages[number];
        page.published = Some(now);
        let claim =
            |(key, quality): (&(Alias, _), &_)| LinkClaim { neighbour: key.0, quality: *quality };
        let mut changes: Vec<LinkClaim> = page
            .claims
            .iter()
            .filter(|(key, now)| page.base.get(key) != Some(now))
            .map(claim)
            .collect();
        let gone = page
            .base
            .keys()
            .filter(|key| !page.claims.contains_key(key))
            .map(|key| LinkClaim { neighbour: key.0, quality: Quality::gone(key.1) });
        changes.extend(gone);
        changes.sort_by_key(|link| (link.neighbour, link.quality.transport()));
        let base =
            u8::try_from(sequence - page.base_sequence).ok().filter(|_| page.base_sequence > 0);
        let (base, links) = match base {
            Some(base) if changes.len() < page.claims.len() => (base, changes),
            _ => {
                page.base = page.claims.clone();
                page.base_sequence = sequence;
                (0, page.claims.iter().map(claim).collect())
            }
        };
        let version = Version {
            alias: publisher.alias,
            epoch: Version::epoch_bits(publisher.introduction.epoch),
            page: number as u8,
            sequence,
        };
        let mut record = Record { version, base, links, signature: [0; 64] };
        publisher.sign(&mut record);
        record
    }
}

/// Whether what a link is like now is worth a record, when something else was told.
fn is_news(told: Quality, now: Quality) -> bool {
    let state = |quality: Quality| (quality.is_gone(), quality.is_offer());
    let times = |before: f64, after: f64| before.max(after) / before.min(after);
    let (before, after) = (told.reliability().get(), now.reliability().get());
    state(told) != state(now)
        || times(told.latency().as_secs_f64(), now.latency().as_secs_f64()) >= OTHER_LATENCY
        || times(f64::from(told.rate().get()), f64::from(now.rate().get())) >= OTHER_RATE
        || (before - after).abs() >= OTHER_SHARE
}

#[cfg(test)]
mod tests {
    use bitcraps_types::{Kbps, Ratio, TransportType};

    use super::*;

    #[test]
    fn a_frame_lost_now_and_then_is_no_news_and_a_latency_or_a_rate_that_is_another_is() {
        let quality = |ms: u64, reliability: f64, kbps: u32| {
            let latency = Duration::from_millis(ms);
            let (reliability, rate) = (Ratio::clamped(reliability), Kbps::at_least_one(kbps));
            Quality::new(TransportType::WiFiDirect, latency, reliability, rate)
        };
        let told = quality(10, 0.999, 50_000);
        for (now, is_worth_it) in [
            (told, false),
            (quality(10, 0.98, 50_000), false),
            (quality(10, 0.9, 50_000), false),
            (quality(10, 0.8, 50_000), true),
            (quality(14, 0.999, 50_000), false),
            (quality(17, 0.999, 50_000), true),
            (quality(10, 0.999, 20_000), false),
            (quality(10, 0.999, 5_000), true),
            (Quality::gone(TransportType::WiFiDirect), true),
            (Quality::offer(TransportType::WiFiDirect), true),
        ] {
            assert_eq!(is_news(told, now), is_worth_it, "{now:?}");
            assert_eq!(is_news(now, told), is_worth_it, "{now:?}, the other way round");
        }
    }
}
