use std::fs;
use std::path::PathBuf;

use bitcraps_node::admin::SCHEMA;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::console;
use crate::failure::{Exit, Failure};

/// Arguments of `bitcraps version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bitcraps completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Arguments of `bitcraps man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// Directory to write the pages of every command to, made when missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn version(version: &Version) -> Result<Exit, Failure> {
    let number = env!("CARGO_PKG_VERSION");
    console::print(&if version.json {
        format!("{}\n", serde_json::json!({ "schema": SCHEMA, "version": number }))
    } else {
        format!("bitcraps {number}\n")
    })?;
    Ok(Exit::Healthy)
}

pub(crate) fn completions(completions: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "bitcraps", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Healthy)
}

pub(crate) fn man(manual: &Manual) -> Result<Exit, Failure> {
    let command = Arguments::command();
    match &manual.out {
        Some(directory) => {
            fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory))
                .map_err(|why| Failure::Write { path: directory.clone(), why })?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            console::print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(Exit::Healthy)
}
