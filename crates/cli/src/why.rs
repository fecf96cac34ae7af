use bitcraps_node::admin::{ContenderReport, DecisionReport, InputReport, LinkReport, WhyReport};

use crate::console::{age, latency};
use crate::grid::Grid;

/// Decisions shown to people; `--json` has all.
const SHOWN: usize = 4;

/// Why packets to a peer went where they went.
pub(crate) fn as_text(report: &WhyReport) -> String {
    let mut text = format!("peer {}\n", report.peer);
    if report.links.is_empty() {
        text.push_str("\nno link is up: messages wait for one until their deadline\n");
    } else {
        text += &format!("\nA small message would go now\n{}", preferences(report));
        text += &format!("\nWhat is known of its links\n{}", inputs(&report.links));
    }
    if report.decisions.is_empty() {
        text.push_str("\nNo message was sent to it yet.\n");
    }
    for decision in report.decisions.iter().take(SHOWN) {
        text.push('\n');
        text.push_str(&decided(decision));
    }
    if let Some(more @ 1..) = report.decisions.len().checked_sub(SHOWN) {
        text += &format!("\n{more} earlier: --json\n");
    }
    text
}

fn preferences(report: &WhyReport) -> Grid {
    let mut grid = Grid::new(["CLASS", "BY POLICY", "OVER, BEST FIRST"]);
    for preference in &report.preferences {
        let order: Vec<String> = preference.order.iter().map(|link| format!("#{link}")).collect();
        grid.row([preference.class.to_string(), preference.policy.clone(), order.join(", ")]);
    }
    grid
}

fn inputs(links: &[LinkReport]) -> Grid {
    let mut grid =
        Grid::new(["LINK", "TRANSPORT", "MEDIUM", "STATE", "INPUT", "VALUE", "MEASUREMENTS"]);
    for link in links {
        let summary = &link.summary;
        let state = if summary.ready { summary.tier.to_string() } else { "greeting".to_owned() };
        let mut head = [
            format!("#{}", summary.link),
            summary.transport.to_string(),
            summary.medium.to_string(),
            state,
        ];
        for input in &link.inputs {
            let [number, transport, medium, state] = std::mem::take(&mut head);
            grid.row([
                number,
                transport,
                medium,
                state,
                input.name.clone(),
                value(input),
                input.samples.to_string(),
            ]);
        }
    }
    grid
}

fn value(input: &InputReport) -> String {
    match input.value {
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.3}"),
        None => "no data".to_owned(),
    }
}

fn decided(decision: &DecisionReport) -> String {
    let mut text = format!(
        "{} ago: {} message of {} bytes, transmission {}, by {}{}{}\n",
        age(decision.ago_ms),
        decision.class,
        decision.bytes,
        decision.attempt,
        decision.policy,
        if decision.energy_aware { "" } else { ", energy not weighed" },
        if decision.incumbent.is_some() { ", the link in use favoured" } else { "" }
    );
    let mut grid = Grid::new([
        "",
        "LINK",
        "TRANSPORT",
        "TRUST",
        "COST",
        "",
        "LATENCY",
        "UNDELIVERED",
        "GOODPUT",
        "UNACKED",
        "ENERGY",
        "RADIO",
    ]);
    for contender in &decision.contenders {
        grid.row(contended(contender, decision));
    }
    text += &grid.to_string();
    text
}

fn contended(contender: &ContenderReport, decision: &DecisionReport) -> [String; 12] {
    let mark = match (contender.chosen, decision.incumbent == Some(contender.link)) {
        (true, true) => "took it, as before",
        (true, false) => "took it",
        (false, true) => "took the one before",
        (false, false) => "",
    };
    [
        mark.to_owned(),
        format!("#{}", contender.link),
        contender.transport.to_string(),
        contender.tier.to_string(),
        contender.cost.to_string(),
        contender.cost_unit.clone(),
        latency(u64::from(contender.latency_us)),
        format!("{:.1} %", f64::from(contender.undelivered_ppm) / 1e4),
        rate(contender.goodput_kbps),
        format!("{} B", contender.unacked_bytes),
        format!("{:.2} mJ", contender.energy_uj as f64 / 1e3),
        contender
            .radio_idle_ms
            .map_or_else(|| "never on".to_owned(), |ms| format!("idle {}", age(ms))),
    ]
}

fn rate(kbps: u64) -> String {
    match kbps {
        0..10_000 => format!("{kbps} kbit/s"),
        10_000..10_000_000 => format!("{} Mbit/s", kbps / 1_000),
        _ => format!("{} Gbit/s", kbps / 1_000_000),
    }
}
