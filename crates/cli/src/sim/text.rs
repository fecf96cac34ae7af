use bitcraps_sim::scenario::{ClassFigures, Finding, Verdict};

use crate::console::visible;
use crate::grid::Grid;

/// Violations that people are shown; `--json` has all.
const SHOWN: usize = 20;

/// The verdict for people.
pub(super) fn of(verdict: &Verdict, memory: Option<u64>) -> String {
    let figures = &verdict.figures;
    let mut text = format!(
        "{}\n{} nodes, {} alive at the end; {} links, {} up at the end; {} s of virtual time, seed {}\n\n",
        visible(&figures.name),
        figures.nodes,
        figures.alive,
        figures.links,
        figures.links_up,
        figures.seconds,
        figures.seed,
    );
    let mut grid = Grid::new([
        "CLASS",
        "SENT",
        "DELIVERED",
        "EXPIRED",
        "UNKNOWN",
        "REJECTED",
        "OPEN",
        "REFUSED",
        "P50 MS",
        "P99 MS",
        "LONGEST GAP MS",
    ]);
    for (class, of_class) in &figures.classes {
        grid.row(row(class, of_class));
    }
    if figures.classes.len() > 1 {
        grid.row(row("all", &figures.all));
    }
    text += &grid.to_string();
    text += &format!(
        "\nviews       {} of {} nodes see another network than there is around them\n",
        figures.wrong_views, figures.alive,
    );
    text += &format!("relayed     {} frames for others\n", figures.relayed);
    text += &format!(
        "links       {} frames, {:.0} B/s a node\n",
        figures.frames, figures.bytes_per_node_second
    );
    if let Some(memory) = memory {
        text += &format!("memory      {} MiB at most\n", memory >> 20);
    }
    text += &format!("trace       {} of {} events\n", figures.trace_hash, figures.events);
    if !verdict.findings.is_empty() {
        text += "\n";
        let mut grid = Grid::new(["EXPECTED", "", "CAME", "LINE", ""]);
        for finding in &verdict.findings {
            grid.row(expected(finding));
        }
        text += &grid.to_string();
    }
    if !verdict.violations.is_empty() {
        text += "\nWhat must never happen:\n";
        for violation in verdict.violations.iter().take(SHOWN) {
            text += &format!("- {violation}\n");
        }
    }
    let broken = verdict.findings.iter().filter(|finding| !finding.met).count();
    text += &match (verdict.passed, broken) {
        (true, _) => "\nverdict     pass\n".to_owned(),
        (false, 0) => format!("\nverdict     fail: {} violations\n", verdict.violations.len()),
        (false, _) => format!(
            "\nverdict     fail: {broken} of {} expectations not met\n",
            verdict.findings.len()
        ),
    };
    text
}

fn row(class: &str, figures: &ClassFigures) -> [String; 11] {
    [
        class.to_owned(),
        figures.sent.to_string(),
        figures.delivered.to_string(),
        figures.expired.to_string(),
        figures.unknown.to_string(),
        figures.rejected.to_string(),
        figures.open.to_string(),
        figures.refused.to_string(),
        number(figures.p50_ms),
        number(figures.p99_ms),
        number(figures.longest_gap_ms),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{}", (value * 100.0).round() / 100.0))
}

fn expected(finding: &Finding) -> [String; 5] {
    let name = match finding.class {
        None => finding.what.to_owned(),
        Some(class) => format!("{} of {class}", finding.what),
    };
    let bound = match (finding.at_least, finding.at_most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => String::new(),
    };
    let came = finding.value.map_or_else(
        || "nothing to measure".to_owned(),
        |value| format!("{}", (value * 1e4).round() / 1e4),
    );
    let met = if finding.met { "met" } else { "NOT MET" };
    [name, bound, came, finding.line.to_string(), met.to_owned()]
}
