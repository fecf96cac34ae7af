//! Exact diameters by webgraph-algo's ExactSumSweep, a rival of `bench topology --peers`.
//!
//! `exact_sum_sweep FILE`: reads links, two numbers a line. Then, for each line on standard input,
//! prints one JSON object with the microseconds of processor time of one run, all threads together,
//! and the diameter. Exits 1 with a message when the file or a stream is wrong.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};

use dsi_progress_logger::no_logging;
use rustix::time::{ClockId, clock_gettime};
use webgraph::graphs::csr_graph::CsrGraph;
use webgraph::graphs::vec_graph::VecGraph;
use webgraph_algo::distances::exact_sum_sweep::{Diameter, Level as _};

/// Work is repeated until a round takes about this long, in us.
const ROUND_US: f64 = 5_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a file of links")?;
    let mut arcs = Vec::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let line = line?;
        let mut numbers = line.split_whitespace().map(str::parse::<usize>);
        let (Some(a), Some(b)) = (numbers.next(), numbers.next()) else { continue };
        let (a, b) = (a?, b?);
        arcs.extend([(a, b), (b, a)]);
    }
    let graph = CsrGraph::from_seq_graph(&VecGraph::from_arcs(arcs));
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line?;
        let (first, diameter) = timed(|| Diameter::run_symm(&graph, true, no_logging![]).diameter);
        let more = ((ROUND_US / first) as u32).min(10_000);
        let us = if more == 0 {
            first
        } else {
            let again = || {
                for _ in 0..more {
                    std::hint::black_box(Diameter::run_symm(&graph, true, no_logging![]));
                }
            };
            timed(again).0 / f64::from(more)
        };
        let round = format!(
            r#"{{"us": {{"diameter": {{"webgraph-algo": {us}}}}}, "diameters": [{diameter}]}}"#
        );
        writeln!(out, "{round}")?;
        out.flush()?;
    }
    Ok(())
}

/// Microseconds of processor time, and the result.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let at = clock_gettime(ClockId::ProcessCPUTime);
        at.tv_sec as f64 * 1e6 + at.tv_nsec as f64 / 1e3
    };
    let start = now();
    let done = work();
    ((now() - start).max(1e-3), done)
}
