//! What neighbours say of records: taken, refused, asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};
use bitcraps_wire::{Alias, Carried, Introduction, Listing, Version};

use super::{ACK_AFTER, LinkDatabase, MAX_ORIGINS};
use crate::graph::FAR;
use crate::identity::signed;
use crate::neighbour::PageKey;
use crate::table::{CHANGE_INTERVAL, Origin, Standing};
use crate::{Change, Command, Flag, alias_of};

impl LinkDatabase {
    pub(super) fn on_have(&mut self, from: &PeerId, version: &Version, now: Timestamp) {
        let key = (version.alias, version.page);
        let standing = self.table.standing(version);
        let is_own = version.alias == self.publisher.alias;
        let asked = match standing {
            Standing::Same | Standing::Older => now,
            Standing::Newer | Standing::Stranger => self.may_ask_at(from, &key, now),
        };
        let Some(neighbour) = self.neighbours.get_mut(from) else { return };
        match standing {
            Standing::Same => neighbour.has(key),
            Standing::Older => neighbour.push(key, now, false, false),
            // An own record that is not here was made by another incarnation or device.
            Standing::Newer => neighbour.want(key, is_own, asked),
            Standing::Stranger => neighbour.want(key, true, asked),
        }
    }

    /// When a neighbour may be asked for a page: whoever was asked for it before has time to answer.
    fn may_ask_at(&self, from: &PeerId, key: &PageKey, now: Timestamp) -> Timestamp {
        let others = self.neighbours.values().filter(|other| other.peer != *from);
        others.filter_map(|other| other.asked_until(key)).max().unwrap_or(now)
    }

    /// What both lack of a range is sent and asked for.
    pub(super) fn on_listing(&mut self, from: &PeerId, listing: &Listing, now: Timestamp) {
        let key = |version: &Version| (version.alias, version.page);
        let theirs: BTreeMap<_, _> = listing.versions.iter().map(|v| (key(v), v)).collect();
        let knows = |alias| theirs.range((alias, 0)..=(alias, u8::MAX)).next().is_some();
        let lacking = self.table.versions(listing.first..=listing.last);
        let lacking = lacking.filter(|version| !theirs.contains_key(&key(version)));
        let lacking: Vec<_> = lacking.map(|v| (key(&v), !knows(v.alias))).collect();
        let Some(neighbour) = self.neighbours.get_mut(from) else { return };
        for (key, introduce) in lacking {
            neighbour.fill(key, introduce, true, now);
        }
        for version in &listing.versions {
            let asked = self.may_ask_at(from, &key(version), now);
            let Some(neighbour) = self.neighbours.get_mut(from) else { return };
            match self.table.standing(version) {
                Standing::Same => neighbour.has(key(version)),
                Standing::Older => {
                    let here = self.table.get(version.alias);
                    let other_epoch = here.is_some_and(|origin| origin.bits() != version.epoch);
                    let page = here.and_then(|origin| origin.pages.get(&version.page));
                    let base = page.map_or(u32::MAX, |page| page.full.version.sequence);
                    let full = other_epoch || version.sequence < base;
                    neighbour.fill(key(version), other_epoch, full, now);
                }
                Standing::Newer => {
                    let other =
                        self.table.get(version.alias).is_some_and(|o| o.bits() != version.epoch);
                    neighbour.want(key(version), other, asked);
                }
                Standing::Stranger => neighbour.want(key(version), true, asked),
            }
        }
    }

    pub(super) fn on_record(&mut self, from: &PeerId, carried: Carried, now: Timestamp) {
        let Carried { age, introduction, record } = carried;
        let version = record.version;
        let (alias, key) = (version.alias, (version.alias, version.page));
        let Some(neighbour) = self.neighbours.get_mut(from) else { return };
        if introduction.is_some_and(|named| alias_of(&named.key) != alias) {
            self.forged(from, now);
            return;
        }
        let known = self.table.get(alias).map(|origin| origin.introduction);
        let origin = match (introduction, known) {
            (Some(named), Some(known)) if named.epoch < known.epoch => {
                self.metrics.outdated += 1;
                neighbour.push(key, now, true, true);
                return;
            }
            (Some(named), _) => named,
            (None, Some(known)) if Version::epoch_bits(known.epoch) == version.epoch => known,
            (None, _) => {
                let older = self.table.standing(&version) == Standing::Older;
                if older {
                    neighbour.push(key, now, true, true);
                } else {
                    neighbour.want(key, true, now);
                }
                return;
            }
        };
        let newer_epoch = known.is_none_or(|known| known.epoch < origin.epoch);
        if !newer_epoch {
            match self.table.standing(&version) {
                // Two of one number are made by two devices with one key: one of them is kept by all,
                // and the device that made the other hears of it.
                Standing::Same if self.table.signature(key) != Some(&record.signature) => {
                    let loses = self.table.signature(key) > Some(&record.signature);
                    if loses && alias != self.publisher.alias {
                        self.metrics.outdated += 1;
                        neighbour.push(key, now, true, true);
                        return;
                    }
                }
                Standing::Same => {
                    self.metrics.duplicates += 1;
                    neighbour.has(key);
                    neighbour.tell(key, now + ACK_AFTER);
                    self.grow_older(key, age, now);
                    return;
                }
                Standing::Older => {
                    self.metrics.outdated += 1;
                    neighbour.push(key, now, false, false);
                    return;
                }
                Standing::Newer | Standing::Stranger => {}
            }
        }
        if alias == self.publisher.alias {
            self.on_own(from, record, &origin, now);
            return;
        }
        let born = now - Duration::from_secs(u64::from(age));
        if now.since(born) > self.config.refresh * 3 || age == u16::MAX {
            self.metrics.outdated += 1;
            return;
        }
        if record.is_delta() {
            let base = version.sequence - u32::from(record.base);
            let page = self.table.get(alias).and_then(|origin| origin.pages.get(&version.page));
            let fits = !newer_epoch && page.is_some_and(|page| page.full.version.sequence == base);
            if !fits {
                neighbour.want(key, newer_epoch, now);
                return;
            }
        }
        if !neighbour.is_trusted(now) {
            self.metrics.forged += 1;
            return;
        }
        let changes = self.table.get_mut(alias).map(|origin| &mut origin.changes);
        if changes.is_some_and(|changes| changes.ready_at(CHANGE_INTERVAL) > now) {
            self.metrics.limited += 1;
            return;
        }
        let Some(record) = signed(record, &origin, self.shared.as_ref()) else {
            self.forged(from, now);
            return;
        };
        if known.is_none() && !self.make_room(&origin.key) {
            self.metrics.refused += 1;
            neighbour_got(self, from, key);
            return;
        }
        if newer_epoch {
            self.introduce(alias, origin);
        }
        if let Some(origin) = self.table.get_mut(alias) {
            origin.changes.take(CHANGE_INTERVAL, now);
        }
        self.metrics.accepted += 1;
        neighbour_got(self, from, key);
        if let Some((claims, changed)) = self.store(record, Some(from), born, now) {
            self.check(alias, &claims, &changed, now);
        }
    }

    /// An origin, or a new incarnation of one.
    fn introduce(&mut self, alias: Alias, introduction: Introduction) {
        let before = self.table.get(alias).map(|origin| origin.flags);
        let verified = self.verified.contains(&introduction.key);
        if before.is_some() {
            self.forget(alias);
        }
        let mut origin = Origin::new(introduction, verified);
        origin.flags = before.unwrap_or(0);
        self.unverified += usize::from(!verified);
        self.table.insert(alias, origin);
        self.commands.push_back(Command::Changed(Change::Peer(introduction.key)));
    }

    /// Somebody else's word on the age of a record can make it older, never younger.
    fn grow_older(&mut self, key: (Alias, u8), age: u16, now: Timestamp) {
        let born = now - Duration::from_secs(u64::from(age));
        let page = self.table.get(key.0).and_then(|origin| origin.pages.get(&key.1));
        // A second is lost to rounding at each hop; more than that is news.
        if page.is_some_and(|page| born + Duration::from_secs(2) < page.born) {
            self.table.grow_older(key, born);
        }
    }

    fn forged(&mut self, from: &PeerId, now: Timestamp) {
        self.metrics.forged += 1;
        let alias = self.neighbours.get_mut(from).and_then(|neighbour| {
            neighbour.takes_forgery(now);
            neighbour.alias()
        });
        if let Some(alias) = alias {
            self.flag(alias, Flag::Forgery);
        }
    }

    /// A record under this node's own key that it did not make, or not in this life.
    fn on_own(
        &mut self,
        from: &PeerId,
        record: bitcraps_wire::Record,
        origin: &Introduction,
        now: Timestamp,
    ) {
        let is_own = origin.key == self.publisher.introduction.key;
        let signed = is_own.then(|| signed(record, origin, self.shared.as_ref())).flatten();
        let Some(record) = signed else {
            self.forged(from, now);
            return;
        };
        if origin.epoch > self.config.epoch {
            self.commands.push_back(Command::RaiseEpoch { above: origin.epoch });
            return;
        }
        if origin.epoch == self.config.epoch {
            self.commands.push_back(Command::KeyElsewhere);
            self.own.contest(record.version.page, record.version.sequence);
            self.publish(now);
        }
        let key = (record.version.alias, record.version.page);
        if let Some(neighbour) = self.neighbours.get_mut(from) {
            neighbour.got(key);
            neighbour.push(key, now, true, true);
        }
    }

    /// Room for one more origin. One with a completed session always finds it, in the place of one
    /// without; among those without, one that cannot be reached makes way.
    fn make_room(&mut self, key: &PeerId) -> bool {
        let verified = self.verified.contains(key);
        let full = self.table.len() >= MAX_ORIGINS;
        if !full && (verified || self.unverified < self.config.max_unverified) {
            return true;
        }
        let own = self.publisher.alias;
        let candidates = self.table.iter().filter(|(alias, o)| !o.verified && *alias != own);
        let hops = |alias| self.graph.distance(&self.hops, alias);
        let farthest = candidates.max_by_key(|(alias, _)| (hops(*alias), *alias));
        let farthest = farthest.map(|(alias, _)| alias);
        match farthest.filter(|alias| verified || hops(*alias) == FAR) {
            Some(alias) => {
                self.forget(alias);
                true
            }
            None => false,
        }
    }
}

fn neighbour_got(database: &mut LinkDatabase, from: &PeerId, key: (Alias, u8)) {
    let is_here = database.table.get(key.0).is_some();
    for (peer, neighbour) in &mut database.neighbours {
        // Wanted of one, it may have come from another.
        if peer == from || is_here {
            neighbour.got(key);
        }
    }
}
