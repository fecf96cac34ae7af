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
