//! `bitcraps game`: the network made fit for a game.

use bitcraps_monitor::Game as Plan;
use bitcraps_node::admin::{Request, Response};
use bitcraps_types::PeerId;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::status::as_json;

/// Arguments of `bitcraps game`.
#[derive(Debug, clap::Args)]
pub(crate) struct Game {
    #[command(subcommand)]
    verb: GameVerb,
}

#[derive(Debug, clap::Subcommand)]
enum GameVerb {
    /// Link with the host of a game and others that are far, and tell which relays must stay
    Host {
        /// The peer that hosts it: its id or the start of it
        peer: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Game {
    pub(crate) fn wants_json(&self) -> bool {
        let GameVerb::Host { json, .. } = &self.verb;
        *json
    }
}

pub(crate) fn run(game: &Game, context: &Context) -> Result<Exit, Failure> {
    let GameVerb::Host { peer, json } = &game.verb;
    let response = context.ask(&Request::Game { host: peer.clone() })?;
    let Response::Game(plan) = &response else { return Err(Failure::OtherAnswer) };
    let text = if *json { as_json(response)? } else { as_text(plan) };
    crate::console::print(&text).map_err(Failure::Output)?;
    Ok(Exit::Healthy)
}

fn as_text(plan: &Plan) -> String {
    let pairs = |pairs: &[(PeerId, PeerId)]| match pairs {
        [] => "none".to_owned(),
        pairs => {
            let named = pairs.iter().map(|(a, b)| format!("{} - {}", a.short(), b.short()));
            named.collect::<Vec<_>>().join(", ")
        }
    };
    let relays: Vec<String> = plan.critical_relays.iter().map(PeerId::short).collect();
    let relays = if relays.is_empty() { "none".to_owned() } else { relays.join(", ") };
    format!(
        "links with the host that could be made: {}\nshortcuts: {}\nrelays that must stay: {relays}\n\
         links that this node makes now: {}\n",
        pairs(&plan.star),
        pairs(&plan.shortcuts),
        plan.asked
    )
}
