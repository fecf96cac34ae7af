use std::ops::RangeInclusive;

use bitcraps_wire::{Alias, Listing, MAX_LISTING, MAX_SUMMARY, Part, Summary, Version};

use crate::table::Table;

/// Every alias.
pub(crate) const EVERYTHING: RangeInclusive<Alias> = Alias(0)..=Alias(u64::MAX);

/// What to say of a range in which two databases differ: a listing if there is little in it,
/// fingerprints of its parts otherwise. O(origins in it).
pub(crate) fn opening(table: &Table, range: RangeInclusive<Alias>) -> Part {
    let (first, last) = (*range.start(), *range.end());
    let versions: Vec<Version> = table.versions(range).collect();
    if versions.len() <= MAX_LISTING {
        return Part::Listing(Listing { first, last, versions });
    }
    let share = versions.len().div_ceil(MAX_SUMMARY);
    let count = versions.len().div_ceil(share);
    let mut ranges = Vec::with_capacity(count);
    let mut start = first;
    for (number, part) in versions.chunks(share).enumerate() {
        // A range ends with an origin, never inside of one, and the last one where the whole does.
        let end = part.last().filter(|_| number + 1 < count).map_or(last, |version| version.alias);
        if start <= end {
            ranges.push((end, table.fingerprint(start..=end)));
            let Some(next) = end.0.checked_add(1) else { break };
            start = Alias(next);
        }
    }
    Part::Summary(Summary { first, ranges })
}

/// What to answer to a summary.
pub(crate) fn answers(table: &Table, summary: &Summary) -> Vec<Part> {
    let mut answers = Vec::new();
    let mut start = summary.first;
    for (last, fingerprint) in &summary.ranges {
        if table.fingerprint(start..=*last) != *fingerprint {
            answers.push(opening(table, start..=*last));
        }
        start = Alias(last.0.saturating_add(1));
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitcraps_types::{Epoch, PeerId, Timestamp};
    use bitcraps_wire::{Introduction, Record};

    use super::*;
    use crate::table::Origin;

    /// Origins spread over all aliases, each with one page; `newer` has changed it.
    fn table(origins: u64, newer: Option<u64>) -> Table {
        let mut table = Table::new(7);
        for number in 0..origins {
            let alias = Alias(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let introduction = Introduction { key: PeerId::from_bytes([1; 32]), epoch: Epoch(1) };
            table.insert(alias, Origin::new(introduction, true));
            let sequence = 1 + u32::from(newer == Some(number));
            let version = Version { alias, epoch: 1, page: 0, sequence };
            let record = Record { version, base: 0, links: Vec::new(), signature: [0; 64] };
            table.put(Arc::new(record), Timestamp::ZERO).unwrap();
        }
        table
    }

    #[test]
    fn little_is_listed_and_much_is_summed_up() {
        let most = MAX_LISTING as u64;
        let listed = opening(&table(most, None), EVERYTHING);
        assert!(matches!(&listed, Part::Listing(all) if all.versions.len() == MAX_LISTING));
        let summed = opening(&table(most + 1, None), EVERYTHING);
        assert!(matches!(&summed, Part::Summary(all) if all.ranges.len() == MAX_SUMMARY));
    }

    #[test]
    fn one_difference_among_thousands_is_found_in_a_few_hundred_bytes() {
        for origins in [1_000, 1_001, 4_000, 16_000] {
            for changed in [0, origins / 2, origins - 1] {
                let tables = [table(origins, None), table(origins, Some(changed))];
                let mut said = opening(&tables[0], EVERYTHING);
                let (mut bytes, mut turn) = (said.encoded_len(), 0);
                while let Part::Summary(summary) = &said {
                    turn += 1;
                    let mut answers = answers(&tables[turn % 2], summary);
                    assert_eq!(answers.len(), 1, "one range of several differs");
                    said = answers.remove(0);
                    bytes += said.encoded_len();
                }
                let Part::Listing(listing) = said else { panic!("{said:?}") };
                let differs = |version: &&Version| {
                    let other = tables[(turn + 1) % 2].get(version.alias);
                    other.and_then(|origin| origin.version(version.alias, 0)) != Some(**version)
                };
                let found: Vec<_> = listing.versions.iter().filter(differs).collect();
                let alias = Alias(changed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                assert_eq!(found.iter().map(|v| v.alias).collect::<Vec<_>>(), [alias]);
                assert!(bytes <= 900, "{origins} origins: {bytes} bytes in {turn} turns");
            }
        }
    }
}
