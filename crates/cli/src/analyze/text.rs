use std::path::Path;
use std::time::Duration;

use bitcraps_topology::read::Network;
use bitcraps_topology::{Slot, TopologyReport};

use crate::console::{counted, visible};
use crate::grid::Grid;

/// Rows of each ranking that people are shown; `--json` has more.
const SHOWN: usize = 8;
/// Above this probability of a material split an operator should act.
const HIGH: f64 = 0.5;

/// The report for people.
pub(super) fn of(
    path: &Path,
    network: &Network,
    report: &TopologyReport,
    horizon: Duration,
) -> String {
    let name = |slot: Slot| {
        let name = network.names.get(slot.0 as usize).map_or("", String::as_str);
        visible(name).into_owned()
    };
    let measures = &report.measures;
    let mut text = format!(
        "{} ({}): {}, {}\n",
        path.display(),
        network.format,
        counted(measures.peers as u64, "peer", "peers"),
        counted(measures.links as u64, "link", "links"),
    );
    for (count, one, many) in [
        (
            network.offline,
            "peer that is offline left out with its links",
            "peers that are offline left out with their links",
        ),
        (
            network.self_links,
            "link of a peer with itself left out",
            "links of peers with themselves left out",
        ),
        (network.repeated, "link told twice", "links told twice"),
    ] {
        if count > 0 {
            text += &format!("{}\n", counted(count as u64, one, many));
        }
    }
    text += &format!("\n{}\n{}", connected(report), shape(report));
    text += &format!("\nSingle points of failure\n{}", points(report, &name));
    text += &format!("\nRisk within {} s\n{}", horizon.as_secs_f64(), risk(report));
    text += &format!("\nLinks worth adding\n{}", suggestions(report, &name));
    text
}

fn connected(report: &TopologyReport) -> String {
    let (measures, sizes) = (&report.measures, &report.component_sizes);
    let outside = measures.peers as u64 - u64::from(measures.largest_component);
    match measures.components {
        0 => "There is nobody.".to_owned(),
        1 => "Everybody reaches everybody.".to_owned(),
        count => {
            let alone = sizes.iter().filter(|size| **size == 1).count() as u64;
            let shown: Vec<String> = sizes.iter().take(SHOWN).map(u32::to_string).collect();
            let more = if sizes.len() > SHOWN { ", ..." } else { "" };
            format!(
                "SPLIT into {count} components of {}{more} peers; {} outside of the largest, {} alone.",
                shown.join(", "),
                counted(outside, "peer", "peers"),
                counted(alone, "peer", "peers"),
            )
        }
    }
}

fn shape(report: &TopologyReport) -> Grid {
    let measures = &report.measures;
    let mut grid = Grid::bare();
    let degrees = &report.degree_histogram;
    let most = degrees.len().saturating_sub(1);
    let mean =
        if measures.peers == 0 { 0.0 } else { 2.0 * measures.links as f64 / measures.peers as f64 };
    for (what, value) in [
        ("diameter", format!("{} hops, in the largest component", measures.diameter)),
        ("neighbours", format!("{mean:.1} in the mean, {most} at most")),
        (
            "clustering",
            format!(
                "{:.3} over all, {:.3} over peers with two neighbours, transitivity {:.3}",
                measures.average_clustering,
                measures.average_clustering_deg2,
                measures.transitivity
            ),
        ),
    ] {
        grid.row([what.to_owned(), value]);
    }
    grid
}

fn points(report: &TopologyReport, name: &impl Fn(Slot) -> String) -> String {
    let measures = &report.measures;
    if measures.articulation_points == 0 && measures.bridges == 0 {
        return "none: no one peer's and no one link's loss splits anything\n".to_owned();
    }
    let mut text = format!(
        "{} and {} whose loss alone cuts somebody off\n",
        counted(measures.articulation_points as u64, "peer", "peers"),
        counted(measures.bridges as u64, "link", "links"),
    );
    let mut grid = Grid::new(["LOSS OF", "", "CUTS OFF", "PAIRS LOST"]);
    for critical in report.articulation_points.iter().take(SHOWN) {
        let off = counted(critical.peers_cut_off, "peer", "peers");
        grid.row(["peer".to_owned(), name(critical.what), off, critical.pairs_lost.to_string()]);
    }
    for critical in report.bridges.iter().take(SHOWN) {
        let (a, b) = critical.what;
        let off = counted(critical.peers_cut_off, "peer", "peers");
        let ends = format!("{} - {}", name(a), name(b));
        grid.row(["link".to_owned(), ends, off, critical.pairs_lost.to_string()]);
    }
    text += &grid.to_string();
    let told =
        measures.articulation_points.saturating_sub(SHOWN) + measures.bridges.saturating_sub(SHOWN);
    if told > 0 {
        text += &format!("and {told} that cost less: --json\n");
    }
    text
}

fn risk(report: &TopologyReport) -> Grid {
    let risk = &report.risk;
    let percent = |value: f64| format!("{:.1} %", 100.0 * value);
    let error = |error: f64| match error {
        0.0 => "exact".to_owned(),
        error => format!("+- {:.1} %", 100.0 * error),
    };
    let mut grid = Grid::bare();
    let material = match risk.split_now {
        Some(split) if split.material => "it is split now".to_owned(),
        Some(_) | None => format!(
            "that {} or more fall off{}",
            counted(risk.material, "peer", "peers"),
            if risk.p_split.value > HIGH { ": HIGH" } else { "" }
        ),
    };
    for (what, estimate, note) in [
        ("material split", risk.p_split, material),
        (
            "any split",
            risk.p_any,
            "that anybody falls off; near 100 % in large networks".to_owned(),
        ),
        (
            "pairs lost",
            risk.pairs_lost,
            "expected share of those that reach each other now".to_owned(),
        ),
    ] {
        let value = percent(estimate.value);
        grid.row([what.to_owned(), value, error(estimate.standard_error), note]);
    }
    grid
}

fn suggestions(report: &TopologyReport, name: &impl Fn(Slot) -> String) -> String {
    if report.suggested.is_empty() {
        return "none: no single link makes single failures cost less\n".to_owned();
    }
    let mut grid = Grid::new(["LINK", "PAIRS THAT SINGLE FAILURES COST LESS"]);
    for link in &report.suggested {
        let ends = format!("{} - {}", name(link.a), name(link.b));
        grid.row([ends, link.effect.to_string()]);
    }
    grid.to_string()
}
