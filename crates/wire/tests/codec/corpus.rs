//! A bounded walk of the fuzz targets: the same inputs every time, made from valid ones.

use std::collections::BTreeSet;

use bitcraps_wire::{Body, DecodeError, Part, fuzz};
use fastrand::Rng;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::strategies;

/// Valid inputs to start from.
const SEEDS: usize = 120;
/// Inputs tried of each decoder; less than a second.
const INPUTS: usize = 500_000;
/// Bytes that sit at an edge of something.
const EDGES: [u8; 10] = [0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFE, 0xFF];

fn seeds<S: Strategy>(strategy: &S, encode: impl Fn(S::Value) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut seed = || strategy.new_tree(&mut runner).expect("no strategy here rejects").current();
    (0..SEEDS).map(|_| encode(seed())).collect()
}

/// A valid input with up to four changes.
fn mutated(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..rng.usize(0..=4) {
        // The head decides what is decoded; half of all changes go there.
        let reach = if rng.bool() { bytes.len() } else { bytes.len().min(64) };
        let at = rng.usize(..=reach);
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            2 => bytes.extend((0..rng.usize(..9)).map(|_| rng.u8(..))),
            3 => {
                let other = rng.choice(seeds).map_or(&[][..], Vec::as_slice);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            _ if at == bytes.len() => {}
            4 => drop(bytes.remove(at)),
            5 => bytes[at] ^= 1 << rng.u8(..8),
            6 => bytes[at] = rng.u8(..),
            _ => bytes[at] = EDGES[rng.usize(..EDGES.len())],
        }
    }
    bytes
}

fn kind(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated { .. } => "truncated",
        DecodeError::Version(_) => "version",
        DecodeError::Flags(_) => "flags",
        DecodeError::Kind(_) => "kind",
        DecodeError::Class(_) => "class",
        DecodeError::Ack(_) => "ack",
        DecodeError::Verdict(_) => "verdict",
        DecodeError::TooMany { what, .. } => what,
        DecodeError::Range { .. } => "range",
        DecodeError::Inconsistent(why) => why,
        DecodeError::Trailing(_) => "trailing",
        DecodeError::Magic => "magic",
    }
}

#[test]
fn mutated_frames_reach_every_decoder_and_every_refusal() {
    let seeds = seeds(&strategies::frame(), |frame| frame.encode().to_vec());
    let mut rng = Rng::with_seed(1);
    let mut seen = BTreeSet::new();
    for _ in 0..INPUTS {
        seen.insert(match fuzz::frame(&mutated(&mut rng, &seeds)) {
            Err(error) => kind(&error),
            Ok(frame) => match frame.body {
                Body::Empty => "=empty",
                Body::Data(_) => "=data",
                Body::EndAck(_) => "=end ack",
                Body::Probe(_) => "=probe",
                Body::ProbeReply(_) => "=probe reply",
                Body::Hello(_) => "=hello",
                Body::Join(_) => "=join",
                Body::JoinReply(_) => "=join reply",
                Body::LinkState(_) => "=link state",
                Body::Relayed(_) => "=relayed",
            },
        });
    }
    let all = [
        "=data",
        "=empty",
        "=end ack",
        "=hello",
        "=join",
        "=join reply",
        "=link state",
        "=probe",
        "=probe reply",
        "=relayed",
        "a hello without echo carries one",
        "a probe is smaller than its reply",
        "a relayed frame has no route",
        "ack",
        "ack bitmap",
        "ack partials",
        "ack results",
        "acked streams",
        "an end ack names a class twice",
        "an end ack names at least one stream",
        "bytes of link state",
        "class",
        "flags",
        "kind",
        "link tag 0 means no link",
        "lowest live sequence lies below zero",
        "message length",
        "padding of a probe is not zero",
        "range",
        "received ranges",
        "received ranges are not ascending and apart",
        "relays of a frame",
        "trailing",
        "truncated",
        "verdict",
        "version",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn mutated_beacons_reach_every_refusal() {
    let seeds = seeds(&strategies::signed_beacon(), |signed| signed.encode().to_vec());
    let mut rng = Rng::with_seed(2);
    let mut seen = BTreeSet::new();
    for _ in 0..INPUTS {
        let read = fuzz::beacon(&mutated(&mut rng, &seeds));
        seen.insert(read.map_or_else(|error| kind(&error), |_| "=beacon"));
    }
    let all = [
        "=beacon",
        "address family is neither 4 nor 6",
        "beacon addresses",
        "magic",
        "trailing",
        "truncated",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn mutated_invitations_reach_every_refusal() {
    let seeds = seeds(&strategies::invitation(), |invitation| invitation.encode().to_vec());
    let mut rng = Rng::with_seed(3);
    let mut seen = BTreeSet::new();
    for _ in 0..INPUTS {
        let read = fuzz::invitation(&mutated(&mut rng, &seeds));
        seen.insert(read.map_or_else(|error| kind(&error), |_| "=invitation"));
    }
    let all = [
        "=invitation",
        "address family is neither 4 nor 6",
        "an internet address is not printable",
        "invitation addresses",
        "trailing",
        "truncated",
        "version",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

/// Every refusal but four that a mutation hits too seldom; `bounds` has those.
#[test]
fn mutated_link_state_reaches_every_part_and_nearly_every_refusal() {
    let seeds = seeds(&strategies::link_state(), |state| state.encode().to_vec());
    let mut rng = Rng::with_seed(4);
    let mut seen = BTreeSet::new();
    for _ in 0..INPUTS {
        match fuzz::link_state(&mutated(&mut rng, &seeds)) {
            Err(error) => drop(seen.insert(kind(&error))),
            Ok(state) => seen.extend(state.parts.iter().map(|part| match part {
                Part::Presence(_) => "=presence",
                Part::Digest(_) => "=digest",
                Part::Record(_) => "=record",
                Part::Have(_) => "=have",
                Part::Want(_) => "=want",
                Part::Summary(_) => "=summary",
                Part::Listing(_) => "=listing",
            })),
        }
    }
    let all = [
        "=digest",
        "=have",
        "=listing",
        "=presence",
        "=record",
        "=summary",
        "=want",
        "a link has a transport that does not exist",
        "a link that is gone has a quality",
        "a listing ends before it begins",
        "a record is neither full nor a delta",
        "a record is of another epoch",
        "a summary has no range",
        "a version has a flag",
        "a version lies outside of its listing",
        "flags",
        "kind",
        "links of a record",
        "links of a record are not ascending",
        "page of a record",
        "ranges of a summary",
        "ranges of a summary are not ascending",
        "truncated",
        "versions of a listing",
        "versions of a listing are not ascending",
        "wanted page",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
