use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use bitcraps_coordinator::{FailoverPolicy, Held, Kept, Order, OutboxId, SendOptions, StreamId};
use bitcraps_sim::Records;
use bitcraps_types::{AckLevel, MessageId, Microjoules, PeerId, Timestamp, TrafficClass};
use bytes::Bytes;
use fastrand::Rng;

use super::*;

const MOST: usize = 64 << 20;

fn identity() -> Identity {
    Identity::from_seed(&[7; 32])
}

fn open(path: &Path, epoch: u64) -> (Store, Option<Damage>) {
    Store::open(path, &identity(), Epoch(epoch), MOST).unwrap()
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn kept(rng: &mut Rng) -> Kept {
    let mut options = SendOptions::new(TrafficClass::Critical)
        .ack([AckLevel::PeerAcked, AckLevel::Applied][rng.usize(..2)])
        .deadline(Duration::from_millis(rng.u64(..1_000_000)))
        .max_copies(rng.u8(..));
    options.order = [Order::Unordered, Order::PerKey(rng.u64(..))][rng.usize(..2)];
    options.conflate = rng.bool().then(|| rng.u64(..));
    options.energy_cap = rng.bool().then(|| Microjoules(rng.u64(..)));
    let policies = [
        FailoverPolicy::FastestFirst,
        FailoverPolicy::MostReliable,
        FailoverPolicy::EnergyEfficient,
        FailoverPolicy::LoadBalanced,
    ];
    Kept {
        id: OutboxId {
            destination: peer(rng.u8(..3)),
            epoch: Epoch(rng.u64(..3)),
            sequence: rng.u64(..20),
        },
        since: Epoch(rng.u64(..5)),
        options,
        policy: policies[rng.usize(..4)],
        remaining: Duration::from_secs(rng.u64(..1_000_000)),
        payload: payload(rng),
    }
}

fn payload(rng: &mut Rng) -> Bytes {
    let len = [0, 1, 200, 5_000][rng.usize(..4)];
    (0..len).map(|_| rng.u8(..)).collect()
}

fn message(rng: &mut Rng) -> MessageId {
    MessageId {
        source: peer(rng.u8(..3)),
        epoch: Epoch(rng.u64(..3)),
        class: TrafficClass::ALL[rng.usize(..4)],
        sequence: rng.u64(..20),
    }
}

fn stream(rng: &mut Rng) -> StreamId {
    let MessageId { source, epoch, class, .. } = message(rng);
    StreamId { source, epoch, class }
}

fn change(rng: &mut Rng) -> Write {
    match rng.u8(..12) {
        0 | 1 => Write::Keep(kept(rng)),
        2 => Write::Settle(kept(rng).id),
        3 | 4 => {
            let ack = [AckLevel::PeerAcked, AckLevel::Applied][rng.usize(..2)];
            let (id, offered) = (message(rng), rng.bool());
            Write::Hold(Held { id, ack, offered, payload: payload(rng) })
        }
        5 => Write::Offer(message(rng)),
        6 => Write::Release(message(rng)),
        7 => {
            let end = rng.u64(..1 << 40);
            Write::Stream(StreamRecord {
                stream: stream(rng),
                cumulative: rng.u64(..=end),
                end,
                first: rng.u64(..),
                words: (0..rng.usize(..=257)).map(|_| rng.u64(..)).collect(),
                verdicts: (0..rng.u64(..9)).map(|n| (n, rng.bool())).collect(),
            })
        }
        8 => Write::DropStream(stream(rng)),
        9 => Write::Source(SourceRecord {
            source: peer(rng.u8(..3)),
            begins: Epoch(rng.u64(..)),
            forgotten: Epoch(rng.u64(..)),
            heard: Epoch(rng.u64(..)),
        }),
        10 => Write::DropSource(peer(rng.u8(..3))),
        _ => Write::Begins(Epoch(rng.u64(1..100))),
    }
}

/// What is recalled, without the time that is left: that passes, and has a test of its own.
fn timeless(mut recalled: Recalled) -> Recalled {
    recalled.outbox.iter_mut().for_each(|kept| kept.remaining = Duration::ZERO);
    recalled
}

#[test]
fn holds_what_the_model_holds_over_every_restart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.redb");
    for seed in 0..8 {
        drop(fs::remove_file(&path));
        let mut rng = Rng::with_seed(seed);
        let mut model = Records::new(Epoch(1));
        for epoch in 1..8 {
            let (store, damage) = open(&path, epoch);
            assert_eq!(damage, None);
            let found = store.begin(Epoch(epoch)).unwrap();
            let expected = model.recalled(MOST, Timestamp::ZERO);
            let (found, expected) = (timeless(found), timeless(expected));
            assert!(found == expected, "seed {seed}, epoch {epoch}");
            for _ in 0..rng.usize(..6) {
                let batch: Batch = (0..rng.usize(..20)).map(|_| change(&mut rng)).collect();
                store.write(&batch).unwrap();
                model.apply(&batch, Timestamp::ZERO);
            }
        }
    }
}

#[test]
fn deadlines_run_on_while_nobody_runs_and_no_clock_gives_time_back() {
    let sealer = Sealer::new(&identity()).unwrap();
    let mut rng = Rng::with_seed(1);
    let kept = Kept { remaining: Duration::from_secs(60), ..kept(&mut rng) };
    let key = row::outbox_key(&kept.id);
    let wall = Duration::from_secs(1_000_000);
    let row = row::seal_kept(&sealer, &key, &kept, wall);
    let left = |at: Duration| row::kept(&sealer, &key, &row, at).unwrap().remaining.as_secs();
    assert_eq!(left(wall), 60);
    assert_eq!(left(wall + Duration::from_secs(59)), 1);
    assert_eq!(left(wall + Duration::from_secs(61)), 0);
    assert_eq!(left(wall - Duration::from_secs(3_600)), 60);
}

#[test]
fn a_payload_is_not_readable_in_the_file_and_the_file_is_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data/store.redb");
    let secret = b"ten on the hard eight, and nobody else may know";
    let mut rng = Rng::with_seed(1);
    let payload = Bytes::from_static(secret);
    {
        let (store, _) = open(&path, 1);
        store.begin(Epoch(1)).unwrap();
        let kept = Kept { payload: payload.clone(), ..kept(&mut rng) };
        let id = message(&mut rng);
        let held = Held { id, ack: AckLevel::PeerAcked, offered: false, payload };
        store.write(&vec![Write::Keep(kept), Write::Hold(held)]).unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(8).any(|window| window == &secret[..8]));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    // One that was made readable is made private again.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (store, damage) = open(&path, 2);
    assert_eq!(damage, None);
    assert_eq!(store.begin(Epoch(2)).unwrap().outbox.len(), 1);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_row_is_bound_to_its_place_and_its_key() {
    let (sealer, other) = (Sealer::new(&identity()).unwrap(), Identity::from_seed(&[8; 32]));
    let mut rng = Rng::with_seed(2);
    let kept = kept(&mut rng);
    let key = row::outbox_key(&kept.id);
    let row = row::seal_kept(&sealer, &key, &kept, Duration::ZERO);
    assert!(row::kept(&sealer, &key, &row, Duration::ZERO).is_some());
    let again = row::seal_kept(&sealer, &key, &kept, Duration::ZERO);
    assert_ne!(row, again, "no nonce is used twice");
    let moved = row::outbox_key(&OutboxId { sequence: kept.id.sequence + 1, ..kept.id });
    assert_eq!(row::kept(&sealer, &moved, &row, Duration::ZERO), None);
    assert_eq!(row::held(&sealer, &key, &row, false), None);
    let other = Sealer::new(&other).unwrap();
    assert_eq!(row::kept(&other, &key, &row, Duration::ZERO), None);
    for at in 0..row.len() {
        let mut flipped = row.clone();
        flipped[at] ^= 1;
        assert_eq!(row::kept(&sealer, &key, &flipped, Duration::ZERO), None, "byte {at}");
        assert_eq!(row::kept(&sealer, &key, &row[..at], Duration::ZERO), None, "{at} bytes");
    }
}

/// No bytes make a reader of plain rows panic, and what it reads it would write.
#[test]
fn plain_rows_are_read_back_or_refused() {
    let mut rng = Rng::with_seed(3);
    let mut read = [0; 2];
    for _ in 0..20_000 {
        let Write::Stream(record) = (loop {
            let write = change(&mut rng);
            if matches!(write, Write::Stream(_)) {
                break write;
            }
        }) else {
            continue;
        };
        let key = row::stream_key(&record.stream);
        let mut value = row::stream_value(&record);
        assert_eq!(row::stream(&key, &value), Some(record));
        match rng.u8(..3) {
            0 => value.truncate(rng.usize(..=value.len())),
            1 => value.push(rng.u8(..)),
            _ => {
                let at = rng.usize(..value.len());
                value[at] = rng.u8(..);
            }
        }
        match row::stream(&key, &value) {
            Some(record) => {
                assert_eq!(row::stream_value(&record), value);
                read[0] += 1;
            }
            None => read[1] += 1,
        }
    }
    assert!(read.iter().all(|count| *count > 1_000), "{read:?}");
}

/// A store with something of everything in it: its bytes, and what it holds after its last batch and
/// after the one before.
fn filled(path: &Path) -> (Vec<u8>, [Recalled; 2]) {
    let (store, _) = open(path, 1);
    store.begin(Epoch(1)).unwrap();
    let mut rng = Rng::with_seed(4);
    let mut held = Vec::new();
    for _ in 0..40 {
        let batch = (0..20).map(|_| change(&mut rng)).filter(|w| !matches!(w, Write::Begins(_)));
        store.write(&batch.collect()).unwrap();
        held.push(timeless(store.recalled(Epoch(1)).unwrap()));
    }
    drop(store);
    let (last, before) = (held.pop().unwrap(), held.pop().unwrap());
    (fs::read(path).unwrap(), [last, before])
}

/// Wherever the file is damaged, the store either is as it was or is set aside whole; what takes
/// its place is empty and says since when it remembers. Damage to the mark of the newest batch alone
/// cannot be told from a crash before that batch was durable.
#[test]
fn a_damaged_store_is_set_aside_and_never_written_over() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.redb");
    let (bytes, [whole, before]) = filled(&path);
    assert!(!whole.outbox.is_empty() && !whole.inbox.is_empty() && !whole.streams.is_empty());
    let mut rng = Rng::with_seed(5);
    let (mut intact, mut undone, mut aside) = (0, 0, 0);
    for case in 0..300 {
        let mut damaged = bytes.clone();
        match case % 3 {
            0 => damaged.truncate(rng.usize(..bytes.len())),
            1 => {
                let at = rng.usize(..bytes.len());
                let end = (at + rng.usize(1..5_000)).min(bytes.len());
                damaged[at..end].iter_mut().for_each(|byte| *byte = rng.u8(..));
            }
            _ => {
                let at = rng.usize(..bytes.len());
                damaged[at] ^= 1 << rng.u8(..8);
            }
        }
        fs::write(&path, &damaged).unwrap();
        let (store, damage) = open(&path, 2);
        let found = store.begin(Epoch(2)).unwrap();
        match damage {
            None => {
                let found = timeless(found);
                assert!(found == whole || found == before, "case {case}");
                intact += u32::from(found == whole);
                undone += u32::from(found == before);
            }
            Some(damage) => {
                aside += 1;
                assert_eq!(found, Recalled::nothing(Epoch(2), MOST), "case {case}");
                assert_eq!(damage.kept, home.path().join("store.redb.damaged-2"));
                // Repairing it may have touched it; it is still there.
                assert_eq!(fs::metadata(&damage.kept).unwrap().mode() & 0o7777, 0o600);
                fs::remove_file(&damage.kept).unwrap();
            }
        }
        drop(store);
    }
    assert!(aside > 100 && intact > 20 && undone < 15, "{intact} {undone} {aside}");
}

#[test]
fn an_empty_file_and_another_key_are_damage_and_another_format_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.redb");
    fs::write(&path, "").unwrap();
    let (store, damage) = open(&path, 3);
    assert_eq!(damage.unwrap().what, "it is empty or no regular file");
    drop(store);
    let other = Identity::from_seed(&[9; 32]);
    let (store, damage) = Store::open(&path, &other, Epoch(4), MOST).unwrap();
    assert_eq!(damage.unwrap().what, "it belongs to another key");
    store
        .transact(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT_KEY, 2_u64.to_be_bytes().as_slice())?;
            Ok(())
        })
        .unwrap();
    drop(store);
    let refused = Store::open(&path, &other, Epoch(5), MOST).unwrap_err();
    assert_eq!(refused, StoreError::Format { path: path.clone(), found: 2 });
    assert!(path.exists());
}

#[test]
fn an_incarnation_without_the_store_ends_what_is_remembered() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.redb");
    let source = peer(1);
    let (begins, heard) = (Epoch(1), Epoch(1));
    let record = SourceRecord { source, begins, forgotten: Epoch(0), heard };
    {
        let (store, _) = open(&path, 1);
        store.begin(Epoch(1)).unwrap();
        store.write(&vec![Write::Source(record)]).unwrap();
    }
    {
        let (store, _) = open(&path, 2);
        let recalled = store.begin(Epoch(2)).unwrap();
        assert_eq!((recalled.begins, recalled.sources), (Epoch(1), vec![record]));
    }
    let (store, _) = open(&path, 4);
    assert_eq!(store.last_epoch().unwrap(), Epoch(2));
    let recalled = store.begin(Epoch(4)).unwrap();
    let forgetful = SourceRecord { begins: Epoch(4), ..record };
    assert_eq!((recalled.begins, recalled.sources), (Epoch(4), vec![forgetful]));
}

#[test]
fn two_processes_cannot_have_one_store() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.redb");
    let (store, _) = open(&path, 1);
    let refused = Store::open(&path, &identity(), Epoch(2), MOST).unwrap_err();
    assert_eq!(refused, StoreError::InUse(path.clone()));
    drop(store);
    assert_eq!(open(&path, 2).1, None);
}

/// Each batch is one flush, however much is in it, and more only when the file has to grow.
#[test]
fn a_batch_is_one_flush() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(&home.path().join("store.redb"), 1);
    store.begin(Epoch(1)).unwrap();
    let syncs = || store.syncs().load(std::sync::atomic::Ordering::Relaxed);
    let mut rng = Rng::with_seed(6);
    for len in [1, 10, 500] {
        let batch: Batch = (0..len).map(|_| Write::Keep(kept(&mut rng))).collect();
        let flushes = [(); 6].map(|()| {
            let before = syncs();
            store.write(&batch).unwrap();
            syncs() - before
        });
        assert_eq!(flushes[5], 1, "{len} changes");
    }
}
