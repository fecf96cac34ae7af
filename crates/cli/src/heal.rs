//! `bitcraps heal`: which links the network needs, and what has come of those that the node made.

use bitcraps_monitor::{HealingReport, HealthIssue, Outcome};
use bitcraps_node::admin::{Request, Response};

use crate::console::age;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;

/// Arguments of `bitcraps heal`.
#[derive(Debug, clap::Args)]
pub(crate) struct Heal {
    /// Show the plan and change nothing; the default
    #[arg(long, conflicts_with = "apply")]
    plan: bool,
    /// Make the links of the plan that are this node's own, without waiting any longer
    #[arg(long)]
    apply: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(heal: &Heal, context: &Context) -> Result<Exit, Failure> {
    let response = context.ask(&Request::Heal { apply: heal.apply && !heal.plan })?;
    let Response::Healing(report) = &response else { return Err(Failure::OtherAnswer) };
    let text = if heal.json { as_json(response)? } else { as_text(report) };
    crate::console::print(&text).map_err(Failure::Output)?;
    Ok(Exit::Healthy)
}

/// What the measure of an issue counts; less is better.
const fn measure(issue: HealthIssue) -> &'static str {
    match issue {
        HealthIssue::HighPartitionRisk => "pieces that losses of single peers would break off",
        HealthIssue::HighDiameter => "hops between the peers that are farthest apart",
        HealthIssue::LowClustering => "share of neighbours that are no neighbours of each other",
        HealthIssue::BridgeNodeOverload => "share of pairs that depend on one peer",
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn as_text(report: &HealingReport) -> String {
    let mut text = String::new();
    if report.plans.is_empty() {
        text.push_str("the network needs no link that could be made\n");
    }
    let mut own = 0;
    for plan in &report.plans {
        let before = plan.links.first().map_or(0.0, |link| link.before);
        let what = measure(plan.issue);
        text.push_str(&format!("against {}; {what}: {}\n", plan.issue, number(before)));
        let mut grid = Grid::new(["LINK", "OVER", "MADE BY", "LEAVES"]);
        for link in &plan.links {
            let is_own = link.owner == report.me;
            own += usize::from(is_own);
            let owner = if is_own { "this node".to_owned() } else { link.owner.short() };
            grid.row([
                format!("{} - {}", link.a.short(), link.b.short()),
                link.transport.to_string(),
                owner,
                number(link.promised),
            ]);
        }
        text.push_str(&grid.to_string());
    }
    if own > 0 {
        text.push_str("`bitcraps heal --apply` makes those of this node now\n");
    }
    if !report.repairs.is_empty() || !report.past.is_empty() {
        text.push_str("links of this node's making:\n");
        let mut grid = Grid::new(["WITH", "OVER", "AGAINST", "STATE", "ASKED FOR"]);
        for repair in report.repairs.iter().chain(&report.past) {
            let state = match repair.outcome {
                Outcome::Pending => "being made",
                Outcome::Linked => "up",
                Outcome::Failed => "not made",
                Outcome::Lost => "broken",
                Outcome::Dropped => "let go",
            };
            grid.row([
                repair.peer.short(),
                repair.transport.to_string(),
                repair.issue.to_string(),
                state.to_owned(),
                format!("{} ago", age(repair.ago_ms)),
            ]);
        }
        text.push_str(&grid.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use bitcraps_monitor::{Plan, PlanEpoch, PlannedLink, RepairId, RepairReport};
    use bitcraps_types::{PeerId, TransportType};

    use super::*;

    #[test]
    fn a_plan_says_what_is_wrong_who_makes_which_link_and_what_it_leaves() {
        let [near, far, other] = [1, 2, 3].map(|byte| PeerId::from_bytes([byte; 32]));
        let link = |owner, before, promised| PlannedLink {
            a: near,
            b: far,
            transport: TransportType::Bluetooth,
            owner,
            before,
            promised,
        };
        let links = vec![link(near, 4.0, 1.5), link(other, 1.5, 0.0)];
        let plan = Plan { epoch: PlanEpoch(7), issue: HealthIssue::HighPartitionRisk, links };
        let repair = RepairReport {
            id: RepairId(1),
            issue: HealthIssue::HighDiameter,
            peer: far,
            transport: TransportType::WiFiDirect,
            outcome: Outcome::Linked,
            ago_ms: 2_000,
            took_ms: Some(12),
            before: 9.0,
            promised: 5.0,
            measured: Some(5.0),
        };
        let mut report =
            HealingReport { me: near, plans: vec![plan], repairs: vec![repair], past: vec![] };
        let expected = "\
against high partition risk; pieces that losses of single peers would break off: 4
LINK                     OVER       MADE BY     LEAVES
0101010101 - 0202020202  bluetooth  this node   1.5
0101010101 - 0202020202  bluetooth  0303030303  0
`bitcraps heal --apply` makes those of this node now
links of this node's making:
WITH        OVER  AGAINST        STATE  ASKED FOR
0202020202  wifi  high diameter  up     2.0 s ago
";
        assert_eq!(as_text(&report), expected);
        report.plans.clear();
        report.repairs.clear();
        assert_eq!(as_text(&report), "the network needs no link that could be made\n");
    }
}
