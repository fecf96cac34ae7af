use std::io::{self, IsTerminal};

use bitcraps_node::Config;
use bitcraps_node::config::LogFormat;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::failure::Failure;

/// What is logged, to be changed while it runs.
pub(crate) type Filter = reload::Handle<EnvFilter, Registry>;

/// The filter that a configuration asks for.
///
/// # Errors
/// [`Failure::Filter`] when it makes no sense.
pub(crate) fn filter(config: &Config) -> Result<EnvFilter, Failure> {
    let filter = &config.log().filter;
    EnvFilter::try_new(filter)
        .map_err(|e| Failure::Filter { filter: filter.clone(), why: e.to_string() })
}

/// Logs to standard error as configured.
pub(crate) fn start(config: &Config) -> Result<Filter, Failure> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let output = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let output = match config.log().format {
        LogFormat::Text => output.with_target(false).boxed(),
        LogFormat::Json => output.json().boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(output);
    subscriber.try_init().map_err(|e| Failure::Log(e.to_string()))?;
    Ok(handle)
}

/// What the demo logs by itself. iroh calls it an error when a relay dies, and in the demo it does.
#[cfg(feature = "internet")]
const QUIET: &str = "error,iroh=off";

/// Logs to standard error what `RUST_LOG` asks for; errors when it is not set.
#[cfg(feature = "internet")]
pub(crate) fn start_from_environment() -> Result<(), Failure> {
    let output = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let subscriber = tracing_subscriber::registry().with(filter).with(output);
    subscriber.try_init().map_err(|e| Failure::Log(e.to_string()))
}
