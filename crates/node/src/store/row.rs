//! Rows as bytes. Numbers are big-endian, so that the order of keys is that of what they name.
//! Reading takes any bytes and gives `None` for those that writing cannot have made.

use std::time::Duration;

use bitcraps_coordinator::{
    FailoverPolicy, Held, Kept, Order, OutboxId, SendOptions, SourceRecord, StreamId, StreamRecord,
};
use bitcraps_types::{AckLevel, Epoch, MessageId, Microjoules, PeerId, TrafficClass};
use bytes::{Buf, BufMut, Bytes};

use super::seal::Sealer;

const OUTBOX_KEY: usize = PeerId::LEN + 8 + 8;
const INBOX_KEY: usize = PeerId::LEN + 8 + 1 + 8;
const STREAM_KEY: usize = PeerId::LEN + 8 + 1;
/// What a sealed row is bound to beside its key.
const OUTBOX: &[u8] = b"outbox";
const INBOX: &[u8] = b"inbox";
/// Words of a stream: the duplicate window, and one that its ends share.
const MAX_WORDS: usize = 257;
/// Answers of a stream: those that are remembered, and as many on their way.
const MAX_VERDICTS: usize = 8_192;
/// Policies, by their number in a row.
const POLICIES: [FailoverPolicy; 4] = [
    FailoverPolicy::FastestFirst,
    FailoverPolicy::MostReliable,
    FailoverPolicy::EnergyEfficient,
    FailoverPolicy::LoadBalanced,
];

pub(super) fn outbox_key(id: &OutboxId) -> [u8; OUTBOX_KEY] {
    let mut key = [0; OUTBOX_KEY];
    let mut out = key.as_mut_slice();
    out.put_slice(id.destination.as_bytes());
    out.put_u64(id.epoch.0);
    out.put_u64(id.sequence);
    key
}

pub(super) fn inbox_key(id: &MessageId) -> [u8; INBOX_KEY] {
    let mut key = [0; INBOX_KEY];
    let mut out = key.as_mut_slice();
    out.put_slice(id.source.as_bytes());
    out.put_u64(id.epoch.0);
    out.put_u8(id.class as u8);
    out.put_u64(id.sequence);
    key
}

pub(super) fn stream_key(id: &StreamId) -> [u8; STREAM_KEY] {
    let mut key = [0; STREAM_KEY];
    let mut out = key.as_mut_slice();
    out.put_slice(id.source.as_bytes());
    out.put_u64(id.epoch.0);
    out.put_u8(id.class as u8);
    key
}

fn peer(key: &mut &[u8]) -> Option<PeerId> {
    let (id, rest) = key.split_first_chunk::<{ PeerId::LEN }>()?;
    *key = rest;
    Some(PeerId::from_bytes(*id))
}

fn number(from: &mut &[u8]) -> Option<u64> {
    from.try_get_u64().ok()
}

fn byte(from: &mut &[u8]) -> Option<u8> {
    from.try_get_u8().ok()
}

fn class(from: &mut &[u8]) -> Option<TrafficClass> {
    TrafficClass::from_wire(byte(from)?)
}

fn put_optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.put_u8(u8::from(value.is_some()));
    out.put_u64(value.unwrap_or_default());
}

fn optional(from: &mut &[u8]) -> Option<Option<u64>> {
    match (byte(from)?, number(from)?) {
        (0, 0) => Some(None),
        (1, value) => Some(Some(value)),
        _ => None,
    }
}

fn put_time(out: &mut Vec<u8>, time: Duration) {
    out.put_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

fn time(from: &mut &[u8]) -> Option<Duration> {
    number(from).map(Duration::from_nanos)
}

/// A message of the outbox, with the time on the wall at which it is worth nothing any more.
pub(super) fn seal_kept(sealer: &Sealer, key: &[u8], kept: &Kept, wall: Duration) -> Vec<u8> {
    let SendOptions { class: _, deadline, ack, order, conflate, max_copies, energy_cap } =
        kept.options;
    let mut out = Vec::with_capacity(96 + kept.payload.len());
    out.put_u64(kept.since.0);
    put_time(&mut out, wall + kept.remaining);
    put_time(&mut out, kept.remaining);
    put_time(&mut out, deadline);
    out.put_u8(ack as u8);
    put_optional(
        &mut out,
        match order {
            Order::Unordered => None,
            Order::PerKey(key) => Some(key),
        },
    );
    put_optional(&mut out, conflate);
    out.put_u8(max_copies);
    put_optional(&mut out, energy_cap.map(|cap| cap.0));
    let policy = POLICIES.iter().position(|policy| *policy == kept.policy).unwrap_or_default();
    out.put_u8(policy as u8);
    out.put_slice(&kept.payload);
    sealer.seal(&[OUTBOX, key], out)
}

/// The message of a row at `wall`. A clock that was set back gives no more time than was left.
pub(super) fn kept(sealer: &Sealer, mut key: &[u8], value: &[u8], wall: Duration) -> Option<Kept> {
    let plain = sealer.open(&[OUTBOX, key], value)?;
    let mut from = plain.as_slice();
    let id = OutboxId {
        destination: peer(&mut key)?,
        epoch: Epoch(number(&mut key)?),
        sequence: number(&mut key)?,
    };
    let since = Epoch(number(&mut from)?);
    let due = time(&mut from)?;
    let left = time(&mut from)?;
    let options = SendOptions {
        class: TrafficClass::Critical,
        deadline: time(&mut from)?,
        ack: AckLevel::from_wire(byte(&mut from)?)?,
        order: optional(&mut from)?.map_or(Order::Unordered, Order::PerKey),
        conflate: optional(&mut from)?,
        max_copies: byte(&mut from)?,
        energy_cap: optional(&mut from)?.map(Microjoules),
    };
    let policy = *POLICIES.get(usize::from(byte(&mut from)?))?;
    let remaining = due.saturating_sub(wall).min(left);
    let payload = Bytes::copy_from_slice(from);
    key.is_empty().then_some(Kept { id, since, options, policy, remaining, payload })
}

/// A message in custody: whether it was offered at once, and the rest sealed.
pub(super) fn seal_held(sealer: &Sealer, key: &[u8], held: &Held) -> Vec<u8> {
    let mut plain = Vec::with_capacity(17 + held.payload.len());
    plain.put_u8(held.ack as u8);
    plain.put_slice(&held.payload);
    let sealed = sealer.seal(&[INBOX, key], plain);
    [&[u8::from(held.offered)], sealed.as_slice()].concat()
}

/// The message of a row; `offered` when it was later.
pub(super) fn held(
    sealer: &Sealer,
    mut key: &[u8],
    mut value: &[u8],
    offered: bool,
) -> Option<Held> {
    let at_once = match byte(&mut value)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let plain = sealer.open(&[INBOX, key], value)?;
    let mut from = plain.as_slice();
    let id = MessageId {
        source: peer(&mut key)?,
        epoch: Epoch(number(&mut key)?),
        class: class(&mut key)?,
        sequence: number(&mut key)?,
    };
    let ack = AckLevel::from_wire(byte(&mut from)?)?;
    let payload = Bytes::copy_from_slice(from);
    key.is_empty().then_some(Held { id, ack, offered: offered || at_once, payload })
}

pub(super) fn stream_value(record: &StreamRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + 8 * record.words.len() + 9 * record.verdicts.len());
    out.put_u64(record.cumulative);
    out.put_u64(record.end);
    out.put_u64(record.first);
    out.put_u16(u16::try_from(record.words.len()).unwrap_or(u16::MAX));
    record.words.iter().for_each(|word| out.put_u64(*word));
    for (sequence, applied) in &record.verdicts {
        out.put_u64(*sequence);
        out.put_u8(u8::from(*applied));
    }
    out
}

pub(super) fn stream(mut key: &[u8], mut value: &[u8]) -> Option<StreamRecord> {
    let stream = StreamId {
        source: peer(&mut key)?,
        epoch: Epoch(number(&mut key)?),
        class: class(&mut key)?,
    };
    let (cumulative, end) = (number(&mut value)?, number(&mut value)?);
    let first = number(&mut value)?;
    let count = usize::from(value.try_get_u16().ok()?);
    if count > MAX_WORDS || value.len() < 8 * count || cumulative > end || !key.is_empty() {
        return None;
    }
    let words = (0..count).map(|_| number(&mut value)).collect::<Option<_>>()?;
    if !value.len().is_multiple_of(9) || value.len() / 9 > MAX_VERDICTS {
        return None;
    }
    let mut verdicts = Vec::with_capacity(value.len() / 9);
    while !value.is_empty() {
        let sequence = number(&mut value)?;
        let applied = match byte(&mut value)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        verdicts.push((sequence, applied));
    }
    Some(StreamRecord { stream, cumulative, end, first, words, verdicts })
}

pub(super) fn source_value(record: &SourceRecord) -> [u8; 24] {
    let mut value = [0; 24];
    let mut out = value.as_mut_slice();
    out.put_u64(record.begins.0);
    out.put_u64(record.forgotten.0);
    out.put_u64(record.heard.0);
    value
}

pub(super) fn source(mut key: &[u8], mut value: &[u8]) -> Option<SourceRecord> {
    let record = SourceRecord {
        source: peer(&mut key)?,
        begins: Epoch(number(&mut value)?),
        forgotten: Epoch(number(&mut value)?),
        heard: Epoch(number(&mut value)?),
    };
    (key.is_empty() && value.is_empty()).then_some(record)
}
