use std::path::PathBuf;

use bitcraps_node::Identity;
use bitcraps_node::admin::SCHEMA;

use crate::console;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Arguments of `bitcraps keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// File to write; default: where `bitcraps run` looks for it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(keygen: &Keygen, context: &Context) -> Result<Exit, Failure> {
    let path = match &keygen.out {
        Some(path) => path.clone(),
        None => context.load()?.0.node().key_file(),
    };
    let peer = Identity::create(&path)?.peer_id();
    if keygen.json {
        let made = serde_json::json!({ "schema": SCHEMA, "peer": peer, "file": path });
        console::print(&format!("{made}\n"))?;
    } else {
        console::complain(&format!("key in {}, readable by you alone; peer id:", path.display()));
        console::print(&format!("{peer}\n"))?;
    }
    Ok(Exit::Healthy)
}
