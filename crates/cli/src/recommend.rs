//! `bitcraps recommend`: what to change about the network, with the pairs to link.

use bitcraps_monitor::{OverallStatus, Recommendation};
use bitcraps_node::admin::{Request, Response};
use serde::Serialize;

use crate::console::visible;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::health::exit;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps recommend`.
#[derive(Debug, clap::Args)]
pub(crate) struct Recommend {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// What is told as JSON.
#[derive(Serialize)]
struct Told<'a> {
    overall_status: OverallStatus,
    recommendations: &'a [Recommendation],
}

pub(crate) fn run(recommend: &Recommend, context: &Context) -> Result<Exit, Failure> {
    recommend.watch.show(|| {
        let response = context.ask(&Request::Health)?;
        let Response::Health(report) = response else { return Err(Failure::OtherAnswer) };
        let (overall_status, exit) = (report.overall_status, exit(report.overall_status));
        let recommendations = report.recommendations.as_slice();
        let text = if recommend.json {
            as_json(Told { overall_status, recommendations })?
        } else {
            as_text(recommendations)
        };
        Ok((text, exit))
    })
}

fn as_text(recommendations: &[Recommendation]) -> String {
    if recommendations.is_empty() {
        return "nothing is to be changed\n".to_owned();
    }
    let mut grid = Grid::new(["MEASURE", "NOW", "THEN", ""]);
    for Recommendation { measure, before, after, text, .. } in recommendations {
        let number = |value: f64| {
            let whole = format!("{value:.2}");
            whole.strip_suffix(".00").map_or_else(|| whole.clone(), str::to_owned)
        };
        let after = after.map_or_else(|| "?".to_owned(), number);
        grid.row([measure.to_string(), number(*before), after, visible(text).into_owned()]);
    }
    grid.to_string()
}

#[cfg(test)]
mod tests {
    use bitcraps_monitor::{Measure, TopologyChange};

    use super::*;

    #[test]
    fn a_recommendation_is_a_row_with_its_effect() {
        assert_eq!(as_text(&[]), "nothing is to be changed\n");
        let recommendation = |before, after| Recommendation {
            change: TopologyChange::AddRedundantConnections(Vec::new()),
            measure: Measure::ArticulationPoints,
            before,
            after,
            text: "link a - b".to_owned(),
        };
        let text = as_text(&[recommendation(2.0, Some(0.25)), recommendation(1.5, None)]);
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["articulation_points", "2", "0.25", "link", "a", "-", "b"]);
        assert_eq!(rows[2][..3], ["articulation_points", "1.50", "?"]);
    }
}
