use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bitcraps_engine::monitor::{Facts, Monitor, MonitorConfig};
use bitcraps_topology::Topology;
use fastrand::Rng;

use super::*;

fn step(rng: &mut Rng, grain: Grain, number: u64) -> Step {
    let ranges = std::array::from_fn(|_| {
        let value = |rng: &mut Rng| rng.f32() * 100.0 - 50.0;
        let ticks = rng.u32(1..);
        rng.bool().then(|| Range { mean: value(rng), min: value(rng), max: value(rng), ticks })
    });
    Step { grain, number, ranges }
}

fn open(path: &Path) -> Chronicle {
    let (chronicle, damage) = Chronicle::open(path, Epoch(3)).unwrap();
    assert_eq!(damage, None);
    chronicle
}

#[test]
fn holds_what_was_written_last_and_no_more_than_a_history_does() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("history.redb");
    let mut rng = Rng::with_seed(1);
    let first: Vec<Step> = (0..800).map(|n| step(&mut rng, Grain::FiveSeconds, n)).collect();
    open(&path).write(&first).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    // 720 of a grain, the last ones.
    assert_eq!(open(&path).steps().unwrap(), first[80..]);
    let again = step(&mut rng, Grain::FiveSeconds, 799);
    let hour = step(&mut rng, Grain::Hour, 0);
    open(&path).write(&[again.clone(), hour.clone()]).unwrap();
    let expected: Vec<Step> =
        first[80..799].iter().cloned().chain([again.clone(), hour.clone()]).collect();
    assert_eq!(open(&path).steps().unwrap(), expected);
    // The clock on the wall was put back: what lies ahead is not there any more.
    let earlier = step(&mut rng, Grain::FiveSeconds, 90);
    open(&path).write(std::slice::from_ref(&earlier)).unwrap();
    let expected: Vec<Step> = first[80..90].iter().cloned().chain([earlier, hour]).collect();
    assert_eq!(open(&path).steps().unwrap(), expected);
    open(&path).write(&[]).unwrap();
    assert_eq!(open(&path).steps().unwrap(), expected);
    let last = step(&mut rng, Grain::Hour, u64::MAX);
    open(&path).write(std::slice::from_ref(&last)).unwrap();
    let hours = open(&path).steps().unwrap().into_iter().filter(|step| step.grain == Grain::Hour);
    assert_eq!(hours.collect::<Vec<_>>(), [last]);
}

#[test]
fn a_damaged_file_is_set_aside_and_told_whatever_is_wrong_with_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("history.redb");
    let good = {
        open(&path).write(&[step(&mut Rng::with_seed(2), Grain::Minute, 5)]).unwrap();
        fs::read(&path).unwrap()
    };
    let row = |grain: u8, value: &[u8]| {
        fs::write(&path, &good).unwrap();
        let chronicle = open(&path);
        let transaction = chronicle.database.begin_write().unwrap();
        transaction.open_table(STEPS).unwrap().insert((grain, 1), value).unwrap();
        transaction.commit().unwrap();
        drop(chronicle);
        fs::read(&path).unwrap()
    };
    let mut beyond = [0; RANGE];
    beyond[0] = Measure::COUNT as u8;
    let cases = [
        Vec::new(),
        b"no database".to_vec(),
        good[..good.len() / 2].to_vec(),
        row(3, &[]),
        row(0, &[0; RANGE - 1]),
        row(0, &beyond),
    ];
    for (number, bytes) in cases.into_iter().enumerate() {
        let epoch = Epoch(number as u64);
        fs::write(&path, &bytes).unwrap();
        let (chronicle, damage) = Chronicle::open(&path, epoch).unwrap();
        let damage = damage.unwrap_or_else(|| panic!("case {number} is no damage"));
        assert_eq!(chronicle.steps().unwrap(), [], "case {number}");
        assert!(damage.kept.exists(), "case {number}");
        let told = damage.to_string();
        assert!(told.ends_with("what the network was before is not known any more"), "{told}");
    }
    // One of another version is left where it is.
    fs::write(&path, &good).unwrap();
    {
        let chronicle = open(&path);
        let transaction = chronicle.database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(FORMAT_KEY, 9).unwrap();
        transaction.commit().unwrap();
    }
    let refused = Chronicle::open(&path, Epoch(1)).map(drop);
    assert_eq!(refused, Err(StoreError::Format { path: path.clone(), found: 9 }));
}

#[test]
fn any_bytes_are_read_or_refused() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..2_000 {
        let whole = step(&mut rng, Grain::Hour, 0).ranges;
        let mut encoded = bytes(&whole);
        assert_eq!(ranges(&encoded), Some(whole));
        encoded.truncate(rng.usize(..=encoded.len()));
        assert_eq!(ranges(&encoded).is_some(), encoded.len().is_multiple_of(RANGE));
    }
}

#[test]
fn the_origin_is_where_both_clocks_agree() {
    let at = Timestamp::ZERO + Duration::from_secs(30);
    assert_eq!(origin(Duration::from_secs(100), at), Duration::from_secs(70));
    // Nobody has set the clock on the wall.
    assert_eq!(origin(Duration::from_secs(10), at), Duration::ZERO);
    let mut monitor = Monitor::new(MonitorConfig::default(), at);
    let history = History::recalled(Duration::from_secs(70), Vec::new(), at);
    monitor.recall(history);
    monitor.look(&Topology::new(1), Facts::default(), at);
    let kept = monitor.history().series(Measure::Peers, Grain::FiveSeconds);
    assert_eq!(kept.map(|(begins, _)| begins).collect::<Vec<_>>(), [100]);
}
