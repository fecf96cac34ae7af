use std::thread;
use std::time::Duration;

use bitcraps_node::admin::AdminError;

use crate::arguments::duration;
use crate::console;
use crate::failure::{Exit, Failure};

/// Shortest time between two pictures: a person sees no more, and the node has other work.
const SHORTEST: Duration = Duration::from_millis(100);
/// Clears the screen and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Arguments of verbs that can go on showing.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Show again and again, this often in seconds [default: 2]
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "2", value_parser = interval)]
    watch: Option<Duration>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST {
        return Err(format!("at least {} ms", SHORTEST.as_millis()));
    }
    Ok(interval)
}

impl Watch {
    /// Shows what `draw` makes: once, or until the process is interrupted. While watching, a node
    /// that is away is waited for.
    pub(crate) fn show(
        &self,
        mut draw: impl FnMut() -> Result<(String, Exit), Failure>,
    ) -> Result<Exit, Failure> {
        let Some(interval) = self.watch else {
            let (text, exit) = draw()?;
            console::print(&text)?;
            return Ok(exit);
        };
        let clear = if console::is_watched() { CLEAR } else { "" };
        loop {
            match draw() {
                Ok((text, _)) => console::print(&format!("{clear}{text}"))?,
                Err(Failure::Admin(
                    error @ (AdminError::NoNode(_)
                    | AdminError::Closed(_)
                    | AdminError::TimedOut { .. }),
                )) => console::complain(&format!("bitcraps: {error}")),
                Err(failure) => return Err(failure),
            }
            thread::sleep(interval);
        }
    }
}
