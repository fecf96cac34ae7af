use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcraps_types::{PeerId, Timestamp};

use crate::gate::{Betting, Gate, GateConfig};

/// Time ahead for which the players of a table are to stay together: a bet is settled by then.
pub(crate) const TABLE_HORIZON: Duration = Duration::from_secs(10);
/// Tables watched at once at most: each costs a reckoning of its risk on every look.
const MAX_TABLES: usize = 64;
/// Players of a table at most.
const MAX_PLAYERS: usize = 256;

/// Tells one watched table from others; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(u64);

/// Why a table is not watched. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchTableError {
    /// Too many are.
    #[error("{MAX_TABLES} tables are watched already; end one of them")]
    TooManyTables,
    /// It is too large.
    #[error(
        "a table of {0} players is not watched, at most {MAX_PLAYERS}; watch the network's risk instead"
    )]
    TooManyPlayers(usize),
}

#[derive(Debug, Clone)]
struct Table {
    players: Vec<PeerId>,
    gate: Gate,
}

/// The tables of a node, each with its betting gate.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    next: u64,
    tables: BTreeMap<TableId, Table>,
}

impl Tables {
    /// Watches a table from now on. It takes bets until a look says otherwise.
    ///
    /// # Errors
    /// [`WatchTableError`].
    pub fn watch(
        &mut self,
        players: BTreeSet<PeerId>,
        config: GateConfig,
    ) -> Result<TableId, WatchTableError> {
        if self.tables.len() >= MAX_TABLES {
            return Err(WatchTableError::TooManyTables);
        }
        if players.len() > MAX_PLAYERS {
            return Err(WatchTableError::TooManyPlayers(players.len()));
        }
        let table = TableId(self.next);
        self.next += 1;
        let players = players.into_iter().collect();
        self.tables.insert(table, Table { players, gate: Gate::new(config) });
        Ok(table)
    }

    /// Other thresholds from now on, for those watched already as well.
    pub(crate) fn configure(&mut self, config: GateConfig) {
        self.tables.values_mut().for_each(|table| table.gate.configure(config));
    }

    /// Watches it no more.
    pub fn end(&mut self, table: TableId) {
        self.tables.remove(&table);
    }

    /// Whether a table takes bets; `None` when it is not watched.
    pub fn betting(&self, table: TableId) -> Option<Betting> {
        self.tables.get(&table).map(|table| table.gate.betting())
    }

    pub(crate) fn players(&self) -> Vec<(TableId, Vec<PeerId>)> {
        self.tables.iter().map(|(id, table)| (*id, table.players.clone())).collect()
    }

    /// Takes up the risks of tables; one that is over by now is left out.
    pub(crate) fn update(&mut self, risks: &[(TableId, f64)], now: Timestamp) {
        for (id, risk) in risks {
            if let Some(table) = self.tables.get_mut(id) {
                table.gate.update(*risk, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn players(count: u16) -> BTreeSet<PeerId> {
        let peer = |number: u16| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            PeerId::from_bytes(id)
        };
        (0..count).map(peer).collect()
    }

    #[test]
    fn tables_are_bounded_in_number_and_size_and_never_mixed_up() {
        let mut tables = Tables::default();
        let config = GateConfig::default();
        let large = tables.watch(players(257), config);
        assert_eq!(large, Err(WatchTableError::TooManyPlayers(257)));
        let all: Vec<TableId> =
            (0..64).map(|_| tables.watch(players(256), config).unwrap()).collect();
        assert_eq!(tables.watch(players(2), config), Err(WatchTableError::TooManyTables));
        tables.update(&[(all[0], 0.9)], Timestamp::ZERO);
        assert_eq!(tables.betting(all[0]), Some(Betting::Paused));
        assert_eq!(tables.betting(all[1]), Some(Betting::Open));
        tables.end(all[0]);
        // What was found of a table that is over concerns no other.
        let next = tables.watch(players(2), config).unwrap();
        tables.update(&[(all[0], 0.9)], Timestamp::ZERO);
        assert_eq!((tables.betting(all[0]), tables.betting(next)), (None, Some(Betting::Open)));
    }
}
