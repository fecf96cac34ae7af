//! The ranking decision, by policy and by number of links.

use std::hint::black_box;

use bitcraps_benches::Coupling;
use bitcraps_coordinator::FailoverPolicy;
use bitcraps_types::{TrafficClass, TransportType};
use criterion::{BenchmarkId, Criterion};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("ranking");
    for links in [1, 3, 6] {
        let kinds: Vec<TransportType> =
            TransportType::ALL.into_iter().cycle().take(links).collect();
        let coupling =
            Coupling::new(&kinds, TrafficClass::Bulk, 100, 1).and_then(|mut coupling| {
                (0..100).try_for_each(|_| coupling.exchange(8))?;
                Ok(coupling)
            });
        let Ok(coupling) = coupling else { continue };
        let (core, handle, now) = coupling.near();
        for policy in FailoverPolicy::ALL {
            group.bench_with_input(BenchmarkId::new(policy.name(), links), &policy, |b, policy| {
                b.iter(|| {
                    core.decide(handle, policy.class(), *policy, black_box(100), black_box(now))
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
