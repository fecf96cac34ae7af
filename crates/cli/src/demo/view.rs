use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use bitcraps_node::Node;
use bitcraps_node::coordinator::{Tier, is_relayed};

use super::ledger::Ledger;
use super::pulse::Pulse;
use super::script::Act;
use super::table::Table;

/// Acts kept on the screen.
const SHOWN: usize = 8;
/// Width of the progress bar in characters.
const BAR: usize = 40;

/// What a person watches while the demo runs: on a terminal a picture that is drawn over and over,
/// elsewhere a line for each event.
pub(super) struct View {
    live: bool,
    quiet: bool,
    drawn: usize,
    recent: VecDeque<String>,
    seconds: u64,
}

impl View {
    pub(super) fn new(quiet: bool, seconds: u64) -> Self {
        let live = !quiet && std::io::stdout().is_terminal();
        Self { live, quiet, drawn: 0, recent: VecDeque::new(), seconds }
    }

    /// Something happened at `elapsed`.
    pub(super) fn act(&mut self, act: &Act, elapsed: Duration) {
        let line = format!("{:>5.1} s  {}", elapsed.as_secs_f64(), act.text);
        if self.live {
            if self.recent.len() == SHOWN {
                self.recent.pop_front();
            }
            self.recent.push_back(line);
        } else if !self.quiet {
            print(&format!("{line}\n"));
        }
    }

    /// Says something outside the picture.
    pub(super) fn say(&mut self, text: &str) {
        if !self.quiet {
            print(&format!("{text}\n"));
        }
    }

    /// Draws the picture anew.
    pub(super) fn draw(
        &mut self,
        table: &Table,
        ledger: &Ledger,
        pulse: &Pulse,
        elapsed: Duration,
    ) {
        if !self.live {
            return;
        }
        let mut lines = vec![
            "each group is a peer: two LAN links and Bluetooth (emulated), or internet; \
             = good, - below its threshold, ? suspect, x down, ~ across hops"
                .to_owned(),
            format!(
                "{:<6} {:<12} {:>5}  {:<40} {:>9}",
                "node", "id", "epoch", "links", "failovers"
            ),
        ];
        for index in 0..table.len() {
            lines.push(row(table, index));
        }
        let (sent, delivered) = ledger.progress();
        let share = (elapsed.as_secs_f64() / self.seconds.max(1) as f64).min(1.0);
        let done = (share * BAR as f64) as usize;
        lines.push(format!(
            "[{}{}] {:>4.1} of {} s   {sent} sent, {delivered} delivered",
            "#".repeat(done),
            ".".repeat(BAR - done),
            elapsed.as_secs_f64(),
            self.seconds,
        ));
        lines.extend(pulse.lines());
        lines.extend(self.recent.iter().cloned());
        let mut picture = String::new();
        if self.drawn > 0 {
            // Back to the first line of the last picture; what it had below this one goes.
            picture.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for line in &lines {
            picture.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.drawn = lines.len();
        print(&picture);
    }
}

fn row(table: &Table, index: usize) -> String {
    let id = table.id(index).short();
    let Some(seat) = table.seat(index) else {
        return format!("{index:<6} {id:<12} {:>5}  {:<40} {:>9}", "-", "(killed)", "-");
    };
    let (marks, failovers) = match table.node(index) {
        Some((node, _)) => (marks(&node), node.counters().failovers),
        None => {
            let figures = table.figures(index).unwrap_or_default();
            (figures.marks, figures.failovers)
        }
    };
    format!("{index:<6} {id:<12} {:>5}  {:<40} {failovers:>9}", seat.epoch, marks.join(" "))
}

/// The links of a node, a group for each peer.
pub(super) fn marks(node: &Node) -> Vec<String> {
    let peers = node.peers();
    peers
        .iter()
        .map(|peer| {
            let mut links: Vec<_> = peer.links.iter().filter(|l| l.ready).collect();
            links.sort_by_key(|l| std::cmp::Reverse(l.facts.transport));
            links
                .iter()
                .map(|l| {
                    if is_relayed(l.facts.link) && l.tier == Tier::Good {
                        '~'
                    } else {
                        mark(l.tier)
                    }
                })
                .collect::<String>()
        })
        .collect()
}

/// One link in one character: up, doubted, gone.
fn mark(tier: Tier) -> char {
    match tier {
        Tier::Good => '=',
        Tier::BelowThreshold => '-',
        Tier::OneWay => '>',
        Tier::Suspect => '?',
        Tier::Down => 'x',
    }
}

pub(super) fn print(text: &str) {
    // A closed pipe ends the watching, not the demo.
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}
