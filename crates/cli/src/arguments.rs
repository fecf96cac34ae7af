use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[cfg(feature = "internet")]
use crate::demo;
use crate::{
    alerts, analyze, configuration, doctor, game, heal, health, invite, keygen, links, manual,
    metrics, outbox, peers, ping, recommend, run, send, sim, status, topology,
};

/// What every command returns, for the end of its help.
const EXIT_CODES: &str = "Exit codes: 0 healthy or done, 1 warning, 2 critical or failed, 64 wrong \
                          usage.\nThe configuration file is that of --config, else of \
                          $BITCRAPS_CONFIG, else bitcraps/bitcraps.toml in $XDG_CONFIG_HOME or \
                          ~/.config; without one, the defaults hold.";

/// Messages to peers over every link at once, each confirmed.
#[derive(Debug, Parser)]
#[command(name = "bitcraps", version, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Admin socket of the node to ask, instead of the one that the configuration names
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a node until it is interrupted; SIGHUP reloads its configuration
    Run(run::Run),
    /// See nodes talk over encrypted loopback sockets, lose links and lose no message
    #[cfg(feature = "internet")]
    Demo(demo::DemoArgs),
    /// A node of the demo in a process of its own
    #[cfg(feature = "internet")]
    #[command(name = demo::apart::VERB, hide = true)]
    DemoSeat,
    /// Say what stands between the configuration and a node that works with it on this machine
    ///
    /// Looks at the key, the disk, interfaces, ports and the Bluetooth adapter; sends and changes nothing.
    /// Exits with 0 when a node will work, 1 when it will not work as it should, 2 when it will not start
    /// or go without something that the configuration asks for.
    Doctor(doctor::Doctor),
    /// Show the running node; the exit code is its health
    ///
    /// Exits with 0 when every known peer is reachable over trusted links, 1 when a peer is out of
    /// reach, a link is suspect or no peer is known yet, 2 when no peer is reachable or no node
    /// runs.
    Status(status::Status),
    /// List the peers of the running node, or decide what one of them may do
    Peers(peers::Peers),
    /// Make an invitation: a code by which another node is admitted, and admits this one
    Invite(invite::Invite),
    /// Join the node that an invitation is of
    ///
    /// Dials the node, proves the invitation, and admits it here once it has admitted this node. Both
    /// decisions outlive restarts. Exits with 2 when the node was not reached or refused.
    Join(invite::Join),
    /// Show the whole network as the running node sees it: who is linked with whom
    Topology(topology::Topology),
    /// Show the ways to a peer through the network, with the latency of each hop
    ///
    /// Exits with 2 when no way leads there.
    Path(topology::Path),
    /// Show the health of the network, what is to be expected, and what to do about it
    ///
    /// Exits with 0 when it is healthy, 1 when something does not work as it should, 2 when messages are
    /// lost or about to be.
    Health(health::Health),
    /// Show which links the network needs so that no loss splits it, and make this node's own
    Heal(heal::Heal),
    /// Prepare the network for a game
    Game(game::Game),
    /// List what is wrong with the network, or say who does not want to be told
    ///
    /// The list exits as `health` does.
    Alerts(alerts::Alerts),
    /// Show which links to add to the network, and what each is worth
    ///
    /// Exits as `health` does.
    Recommend(recommend::Recommend),
    /// Print what the running node counts and measures, as Prometheus reads it
    Metrics(metrics::Metrics),
    /// List the critical messages that are kept until they are settled
    Outbox(outbox::Outbox),
    /// List the links of the running node, or explain which it chooses for a peer
    Links(links::Links),
    /// Send a message and wait for its outcome
    ///
    /// Exits with 0 when what --ack asks for is confirmed, 1 when a copy left and no answer came, 2
    /// when it is certainly not delivered.
    Send(send::Send),
    /// Try each stage of a delivery to a peer, and name the one that fails
    ///
    /// Exits with 0 when every message was confirmed, 1 when some were, 2 when none was.
    Ping(ping::Ping),
    /// Analyse a network in a file: how it hangs together, what would split it, what to add
    Analyze(analyze::Analyze),
    /// Run a scenario out of a file: nodes in virtual time, their faults, and what is expected
    ///
    /// The nodes run the code that `run` runs; links, movement and applications are simulated. Exits
    /// with 0 when every expectation is met, and with 2 when one is not.
    Sim(sim::Sim),
    /// Relay between nodes that cannot reach each other, until interrupted
    ///
    /// For people who have a server: nodes that name its URL in internet.relays can be reached
    /// through it. It carries what is encrypted between the nodes and can read none of it.
    #[cfg(feature = "internet")]
    Relay(crate::relay::Relay),
    /// Write, check and show configurations
    Config(configuration::Configuration),
    /// Make the key of a new node and print its peer id
    Keygen(keygen::Keygen),
    /// Print the version
    Version(manual::Version),
    /// Print a completion script for a shell
    Completions(manual::Completions),
    /// Print the manual page, or write the pages of every command
    Man(manual::Manual),
}

impl Verb {
    /// Whether errors are to be told as JSON, too.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Doctor(doctor) => doctor.json,
            Self::Status(status) => status.json,
            Self::Peers(peers) => peers.wants_json(),
            Self::Invite(invite) => invite.json,
            Self::Join(join) => join.json,
            Self::Health(health) => health.json,
            Self::Heal(heal) => heal.json,
            Self::Game(game) => game.wants_json(),
            Self::Alerts(alerts) => alerts.json,
            Self::Recommend(recommend) => recommend.json,
            Self::Metrics(metrics) => metrics.json,
            Self::Outbox(outbox) => outbox.json,
            Self::Topology(topology) => topology.wants_json(),
            Self::Path(path) => path.json,
            Self::Links(links) => links.json,
            Self::Send(send) => send.json,
            Self::Ping(ping) => ping.json,
            Self::Analyze(analyze) => analyze.json,
            Self::Sim(sim) => sim.json,
            #[cfg(feature = "internet")]
            Self::Relay(relay) => relay.json,
            Self::Config(configuration) => configuration.verb.wants_json(),
            Self::Keygen(keygen) => keygen.json,
            Self::Version(version) => version.json,
            Self::Run(_) | Self::Completions(_) | Self::Man(_) => false,
            #[cfg(feature = "internet")]
            Self::Demo(_) | Self::DemoSeat => false,
        }
    }
}

/// Reads a time: a number of seconds, or a number with one of the units ms, s, m, h.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}; one of ms, s, m, h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{digits:?} is no number"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        for (text, millis) in
            [("10", 10_000), ("0.5", 500), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("3d"), Err("unknown unit \"d\"; one of ms, s, m, h".to_owned()));
        assert_eq!(duration("ms"), Err("\"\" is no number".to_owned()));
        assert!(duration("-1").is_err());
        assert!(duration("1e300").is_err());
        assert!(duration("nan").is_err());
    }
}
