//! `bitcraps metrics`: what the node counts and measures, without HTTP.

use bitcraps_dashboard::CoordinationMetrics;
use bitcraps_node::admin::{Request, Response};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps metrics`.
#[derive(Debug, clap::Args)]
pub(crate) struct Metrics {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(metrics: &Metrics, context: &Context) -> Result<Exit, Failure> {
    metrics.watch.show(|| {
        let response = context.ask(&Request::Metrics)?;
        let Response::Metrics(report) = &response else { return Err(Failure::OtherAnswer) };
        if metrics.json {
            return Ok((as_json(response)?, Exit::Healthy));
        }
        let shown = CoordinationMetrics::new(report.node)?;
        shown.update(report);
        Ok((shown.encode()?, Exit::Healthy))
    })
}
