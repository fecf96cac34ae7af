//! The `bitcraps` command: runs a node, and asks a running one.
//!
//! Everything that is known about a node comes over its admin socket; nothing is decided here.

mod alerts;
mod analyze;
mod arguments;
mod configuration;
mod console;
mod context;
#[cfg(feature = "internet")]
mod demo;
mod doctor;
mod failure;
mod game;
mod grid;
mod heal;
mod health;
mod invite;
mod keygen;
mod links;
mod log;
mod manual;
mod message;
mod metrics;
mod outbox;
mod peers;
mod ping;
mod progress;
mod recommend;
#[cfg(feature = "internet")]
mod relay;
mod run;
mod send;
mod sim;
mod status;
mod topology;
mod watch;
mod why;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};
use context::Context;
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Healthy };
            // Help that cannot be written is of no use to whoever closed the pipe.
            drop(error.print());
            return exit.into();
        }
    };
    let Arguments { config, socket, verb } = arguments;
    #[cfg(feature = "internet")]
    if let Verb::Demo(demo) = verb {
        return match log::start_from_environment().and_then(|()| runtime()) {
            Ok(runtime) => runtime.block_on(demo::run(demo)),
            Err(failure) => failure.report(false).into(),
        };
    }
    #[cfg(feature = "internet")]
    if matches!(verb, Verb::DemoSeat) {
        return match log::start_from_environment().and_then(|()| runtime()) {
            Ok(runtime) => runtime.block_on(demo::apart::program::run()),
            Err(failure) => failure.report(false).into(),
        };
    }
    let json = verb.wants_json();
    match perform(verb, &Context { config, socket }) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(json).into(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(Failure::Runtime)
}

fn perform(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(run) => runtime()?.block_on(run::run(&run, context)),
        Verb::Doctor(doctor) => runtime()?.block_on(doctor::run(&doctor, context)),
        Verb::Status(status) => status::run(&status, context),
        Verb::Peers(peers) => peers::run(&peers, context),
        Verb::Invite(invite) => invite::invite(&invite, context),
        Verb::Join(join) => invite::join(&join, context),
        Verb::Health(health) => health::run(&health, context),
        Verb::Heal(heal) => heal::run(&heal, context),
        Verb::Game(game) => game::run(&game, context),
        Verb::Alerts(alerts) => alerts::run(&alerts, context),
        Verb::Recommend(recommend) => recommend::run(&recommend, context),
        Verb::Metrics(metrics) => metrics::run(&metrics, context),
        Verb::Outbox(outbox) => outbox::run(&outbox, context),
        Verb::Links(links) => links::run(&links, context),
        Verb::Topology(topology) => topology::run(&topology, context),
        Verb::Path(path) => topology::path(&path, context),
        Verb::Send(send) => send::run(&send, context),
        Verb::Ping(ping) => ping::run(&ping, context),
        Verb::Analyze(analyze) => analyze::run(&analyze),
        Verb::Sim(sim) => sim::run(&sim),
        #[cfg(feature = "internet")]
        Verb::Relay(relay) => runtime()?.block_on(relay::run(relay)),
        Verb::Config(config) => configuration::run(&config.verb, context),
        Verb::Keygen(keygen) => keygen::run(&keygen, context),
        Verb::Version(version) => manual::version(&version),
        Verb::Completions(completions) => manual::completions(&completions),
        Verb::Man(man) => manual::man(&man),
        // They have their own exit codes, and were served before.
        #[cfg(feature = "internet")]
        Verb::Demo(_) | Verb::DemoSeat => Ok(Exit::Healthy),
    }
}
