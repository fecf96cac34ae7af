use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bitcraps_node::admin::{EntryReport, Request, Response, SCHEMA};
use bitcraps_node::config::Origin;
use bitcraps_node::{Config, ConfigError, Environment};

use crate::console::{self, counted, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::grid::Grid;
use crate::log;
use crate::status::as_json;

/// Largest configuration read from standard input, as from a file.
const MAX_INPUT: u64 = 1 << 20;
/// The line of the template that `config init --interface` replaces.
const INTERFACES: &str = "#interfaces = []";

/// Arguments of `bitcraps config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Configuration {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

/// What is to be done with a configuration.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Write a file with every key in it, documented
    Init(Init),
    /// Check a file, and say what is wrong with it
    Check(Check),
    /// Show the values in force
    Show(Show),
    /// Print the JSON schema of the file
    Schema,
    /// Have the running node read its file again
    Reload(Reload),
}

/// Arguments of `bitcraps config init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// File to write, - for standard output; default: where `bitcraps run` looks for it
    file: Option<PathBuf>,
    /// Interface to choose, by name or address; may be repeated
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
}

/// Arguments of `bitcraps config check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// File to check, - for standard input; default: the one that `bitcraps run` would read
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `bitcraps config show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Show defaults, too
    #[arg(long)]
    effective: bool,
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
    /// Ask the running node, instead of reading the file
    #[arg(long)]
    running: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `bitcraps config reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ConfigVerb {
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Check(check) => check.json,
            Self::Show(show) => show.json,
            Self::Reload(reload) => reload.json,
            Self::Init(_) | Self::Schema => false,
        }
    }
}

pub(crate) fn run(verb: &ConfigVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        ConfigVerb::Init(args) => init(args, context)?,
        ConfigVerb::Check(args) => check(args, context)?,
        ConfigVerb::Show(args) => show(args, context)?,
        ConfigVerb::Schema => {
            let schema =
                serde_json::to_string_pretty(&Config::schema()).map_err(io::Error::from)?;
            console::print(&(schema + "\n"))?;
        }
        ConfigVerb::Reload(args) => reload(args, context)?,
    }
    Ok(Exit::Healthy)
}

fn init(init: &Init, context: &Context) -> Result<(), Failure> {
    let mut text = Config::template().to_owned();
    if !init.interface.is_empty() {
        text = text.replace(INTERFACES, &format!("interfaces = {:?}", init.interface));
        // Nothing is written that `run` would refuse.
        Config::parse(&text, Path::new("--interface"), &Environment::of_process())?;
    }
    let path = match &init.file {
        Some(path) if path.as_os_str() == "-" => return Ok(console::print(&text)?),
        Some(path) => path.clone(),
        None => context.source().place().ok_or(Failure::NoHome)?.to_owned(),
    };
    let failed = |why: io::Error| match why.kind() {
        io::ErrorKind::AlreadyExists => Failure::Exists(path.clone()),
        _ => Failure::Write { path: path.clone(), why },
    };
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(directory)
            .map_err(|why| Failure::Write { path: directory.to_owned(), why })?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    console::complain(&format!("wrote {}", path.display()));
    if init.interface.is_empty() {
        console::complain("choose the interfaces in its [lan] before `bitcraps run`");
    }
    Ok(())
}

fn check(check: &Check, context: &Context) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let (config, name) = match &check.file {
        Some(path) if path.as_os_str() == "-" => {
            let name = Path::new("standard input");
            let mut text = String::new();
            io::stdin()
                .lock()
                .take(MAX_INPUT + 1)
                .read_to_string(&mut text)
                .map_err(Failure::Input)?;
            if text.len() as u64 > MAX_INPUT {
                let path = name.to_owned();
                return Err(ConfigError::TooLarge { path, limit: MAX_INPUT }.into());
            }
            (Config::parse(&text, name, &environment)?, name.display().to_string())
        }
        Some(path) => (Config::load(Some(path), &environment)?, path.display().to_string()),
        None => {
            let (config, source) = context.load()?;
            (config, source.to_string())
        }
    };
    log::filter(&config)?;
    let written = config.entries().filter(|entry| *entry.origin != Origin::Default).count();
    if check.json {
        let answer = serde_json::json!({ "schema": SCHEMA, "config": name, "keys_set": written });
        return Ok(console::print(&format!("{answer}\n"))?);
    }
    let keys = counted(written as u64, "key is", "keys are");
    console::print(&format!("{name}: good, {keys} set\n"))?;
    if config.lan().enabled && config.lan().interfaces.is_empty() {
        console::complain("no interface is chosen in [lan]; `bitcraps run` will ask for one");
    }
    Ok(())
}

fn show(show: &Show, context: &Context) -> Result<(), Failure> {
    let (source, file, entries) = if show.running {
        match context.ask(&Request::Config)? {
            Response::Config(report) => {
                let source = report.file.clone();
                let source = source.unwrap_or_else(|| "built-in defaults".to_owned());
                (format!("{source}, in the running node"), report.file, report.entries)
            }
            _ => return Err(Failure::OtherAnswer),
        }
    } else {
        let (config, source) = context.load()?;
        let file = source.file().map(|file| file.display().to_string());
        (source.to_string(), file, config.entries().map(EntryReport::from).collect())
    };
    let default = Origin::Default.to_string();
    let wanted = |entry: &&EntryReport| show.effective || entry.origin != default;
    if show.json {
        let entries: Vec<_> = entries.iter().filter(wanted).collect();
        let answer = serde_json::json!({ "schema": SCHEMA, "file": file, "entries": entries });
        return Ok(console::print(&format!("{answer}\n"))?);
    }
    let mut grid = Grid::bare();
    for entry in entries.iter().filter(wanted) {
        let value = format!("{} = {}", entry.key, visible(&entry.value));
        let origin = if show.origin { format!("# {}", entry.origin) } else { String::new() };
        grid.row([value, origin]);
    }
    Ok(console::print(&format!("# {source}\n{grid}"))?)
}

fn reload(reload: &Reload, context: &Context) -> Result<(), Failure> {
    let response = context.ask(&Request::Reload)?;
    let Response::Reload(report) = &response else { return Err(Failure::OtherAnswer) };
    let mut text = match &report.file {
        Some(file) => format!("reloaded {file}: "),
        None => "there is no file; the environment was read again: ".to_owned(),
    };
    text += &counted(report.changes.len() as u64, "change", "changes");
    text.push('\n');
    for change in &report.changes {
        let restart = if change.needs_restart { " (needs a restart)" } else { "" };
        text += &format!("  {}: {} -> {}{restart}\n", change.key, change.old, change.new);
    }
    Ok(console::print(&if reload.json { as_json(response)? } else { text })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_the_line_that_init_replaces() {
        assert_eq!(Config::template().matches(INTERFACES).count(), 1);
    }
}
