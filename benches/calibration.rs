use std::hint::black_box;

use crate::clock::thread_each;
use crate::sample::interleaved;
use crate::{Arguments, Failure, Report, Row};

/// What a dependent 64-bit multiplication and rotation take on a core at about 3.5 GHz, in ns: 4
/// cycles.
const MULTIPLY_NS: f64 = 1.15;
/// What a dependent load takes there from the first-level cache, in ns: 4 to 5 cycles.
const NEAR_LOAD_NS: f64 = 1.3;
/// What a dependent load takes there from main memory, with ordinary pages, in ns.
const FAR_LOAD_NS: f64 = 100.0;

const STEPS: usize = 2_000_000;
const FAR_STEPS: usize = 500_000;

/// A random cycle through `len` cells, so that no prefetcher can guess the next.
fn cycle(len: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let mut next = vec![0; len];
    for (at, cell) in order.iter().enumerate() {
        next[*cell as usize] = order[(at + 1) % len];
    }
    next
}

fn chase(next: &[u32], steps: usize) -> f64 {
    thread_each(steps, || {
        let mut at = 0;
        for _ in 0..steps {
            at = next[at as usize];
        }
        black_box(at);
    })
}

fn multiply() -> f64 {
    thread_each(STEPS, || {
        let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..STEPS {
            x = x.wrapping_mul(0xd130_2b97_6f4a_7c15).rotate_left(17);
        }
        black_box(x);
    })
}

/// Kernels whose cost is known, as rows, so that a slow machine is seen as one: the ratio says how
/// much slower this one is now than an ordinary one.
pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let near = cycle(4 << 10, arguments.seed);
    let far = cycle(64 << 20 >> 2, arguments.seed);
    let (mut multiply, mut near, mut far) =
        (|| Ok(multiply()), || Ok(chase(&near, STEPS)), || Ok(chase(&far, FAR_STEPS)));
    let [multiply, near, far] = interleaved(5, [&mut multiply, &mut near, &mut far])?;
    let ordinary = "an ordinary core at 3.5 GHz";
    let rows = [
        ("calibration: dependent multiply and rotate", multiply, MULTIPLY_NS),
        ("calibration: dependent load, 16 KiB", near, NEAR_LOAD_NS),
        ("calibration: dependent load, 64 MiB", far, FAR_LOAD_NS),
    ];
    for (name, value, known) in rows {
        report.push(Row::new(name, value, "ns").beside(ordinary, known));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chase_visits_every_cell() {
        let next = cycle(1_000, 3);
        let (mut at, mut steps) = (0, 0);
        loop {
            at = next[at as usize];
            steps += 1;
            if at == 0 {
                break;
            }
        }
        assert_eq!(steps, 1_000);
    }
}
