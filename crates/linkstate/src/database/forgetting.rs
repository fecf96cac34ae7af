//! What is forgotten: the old, and what makes way for others.

use bitcraps_types::Timestamp;
use bitcraps_wire::Alias;

use super::{GRACE, LinkDatabase};
use crate::table::Origin;
use crate::{Change, Command};

impl LinkDatabase {
    /// Forgets origins that were not heard of for three refreshes, and neighbours that left.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        let age = self.config.refresh * 3;
        for (alias, page) in self.table.made_before(self.publisher.alias, now - age) {
            let claims = |of: &Self| of.table.get(alias).map(Origin::claims).unwrap_or_default();
            let before = claims(self);
            self.table.remove_page(alias, page);
            self.claims_changed(alias, &before, &claims(self));
            if self.table.get(alias).is_some_and(|origin| origin.pages.is_empty()) {
                self.forget(alias);
                self.metrics.expired += 1;
            }
        }
        let over = self.neighbours.values().filter(|n| !n.is_up() && n.is_over(GRACE, now));
        for (peer, alias) in over.map(|n| (n.peer, n.alias())).collect::<Vec<_>>() {
            self.neighbours.remove(&peer);
            if let Some(alias) = alias {
                self.by_alias.remove(&alias);
                self.show_again(alias);
            }
        }
    }

    pub(super) fn forget(&mut self, alias: Alias) {
        let Some(claims) = self.table.get(alias).map(Origin::claims) else { return };
        self.table.remove_pages(alias);
        for (neighbour, transport) in claims.keys().copied() {
            self.pair_changed(alias, neighbour, transport);
        }
        if let Some(origin) = self.table.remove(alias) {
            self.unverified -= usize::from(!origin.verified);
            self.commands.push_back(Command::Changed(Change::PeerGone(origin.introduction.key)));
        }
    }
}
