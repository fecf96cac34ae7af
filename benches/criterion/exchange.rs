//! A message and its acknowledgement through both machines: queue, window, codec and timers.

use bitcraps_benches::Coupling;
use bitcraps_types::{TrafficClass, TransportType};
use criterion::{BenchmarkId, Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("exchange");
    for batch in [1_usize, 32] {
        let kinds = [TransportType::WiFiDirect];
        let Ok(coupling) = Coupling::new(&kinds, TrafficClass::Realtime, 100, 1) else { continue };
        let mut coupling = coupling.unrecorded();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::from_parameter(batch), &batch, |b, batch| {
            b.iter(|| coupling.exchange(*batch));
        });
        let [sent, delivered, received] = coupling.counts();
        assert_eq!((delivered, received), (sent, sent), "every message is confirmed");
    }
    group.finish();
    criterion.final_summary();
}
