use bitcraps_node::admin::{KeptReport, Request, Response};

use crate::console::age;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::status::as_json;
use crate::watch::Watch;

/// Arguments of `bitcraps outbox`.
#[derive(Debug, clap::Args)]
pub(crate) struct Outbox {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(outbox: &Outbox, context: &Context) -> Result<Exit, Failure> {
    outbox.watch.show(|| {
        let response = context.ask(&Request::Outbox)?;
        let Response::Outbox(report) = &response else { return Err(Failure::OtherAnswer) };
        let text = if outbox.json { as_json(response)? } else { as_text(&report.messages) };
        Ok((text, Exit::Healthy))
    })
}

fn as_text(messages: &[KeptReport]) -> String {
    if messages.is_empty() {
        return "the outbox is empty\n".to_owned();
    }
    let mut grid = Grid::new(["PEER", "MESSAGE", "BYTES", "EXPIRES", "STATE"]);
    for message in messages {
        let from = if message.recalled { ", from before the restart" } else { "" };
        let state = match message.attempts {
            None => "waits".to_owned(),
            Some(1) => "1 transmission".to_owned(),
            Some(attempts) => format!("{attempts} transmissions"),
        };
        grid.row([
            message.peer.short(),
            format!("{}:{}", message.epoch, message.sequence),
            message.bytes.to_string(),
            format!("in {}", age(message.remaining_ms)),
            state + from,
        ]);
    }
    grid.to_string()
}
