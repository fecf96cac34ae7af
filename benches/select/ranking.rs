//! The ranking decision inside `send`, with the peer's handle at hand.

use std::hint::black_box;

use bitcraps_coordinator::FailoverPolicy;
use bitcraps_types::TransportType;

use crate::clock::thread_each;
use crate::sample::median;
use crate::{Arguments, Coupling, Failure, Report, Row};

const BYTES: usize = 100;
const MOST_NS: f64 = 20.0;

/// Measures the decision among three links, each policy, every class's links measured and loaded.
pub(super) fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let class = bitcraps_types::TrafficClass::Bulk;
    let mut coupling = Coupling::new(&TransportType::ALL, class, BYTES, arguments.seed)?;
    for _ in 0..200 {
        coupling.exchange(8)?;
    }
    let (core, handle, now) = coupling.near();
    let links = core.candidates(handle).len();
    if links != 3 {
        return Err(Failure::Broken(format!("{links} links where there should be 3")));
    }
    let steps = arguments.size(2_000_000, 200_000);
    let decide = |policy: FailoverPolicy, steps: usize| {
        for _ in 0..steps {
            let (policy, at) = (black_box(policy), black_box(now));
            black_box(core.decide(handle, policy.class(), policy, black_box(BYTES), at));
        }
    };
    let mut taken = FailoverPolicy::ALL.map(|_| Vec::new());
    for _ in 0..7 {
        for (policy, taken) in FailoverPolicy::ALL.into_iter().zip(&mut taken) {
            taken.push(thread_each(steps, || decide(policy, steps)));
        }
    }
    let each = taken.each_mut().map(|taken| median(taken));
    for (policy, ns) in FailoverPolicy::ALL.into_iter().zip(each) {
        let name = format!("ranking decision, 3 links, pinned handle, {policy}");
        report.push(Row::new(name, ns, "ns").at_most(MOST_NS));
    }
    let worst = each.into_iter().fold(0.0, f64::max);
    let name = "ranking decision, 3 links, pinned handle, worst policy";
    report.push(Row::new(name, worst, "ns").at_most(MOST_NS));

    let counted = allocation_counter::measure(|| {
        FailoverPolicy::ALL.into_iter().for_each(|policy| decide(policy, 1_000));
    });
    let name = "allocations in 4,000 ranking decisions";
    report.push(Row::new(name, counted.count_total as f64, "allocations").at_most(0.0));
    Ok(())
}
