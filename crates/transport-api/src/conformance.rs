//! Holds any transport against the [contract](crate) for implementors.
//!
//! A transport brings a [`Fixture`]; [`run_all`] plays every case on fresh ends and names those
//! that failed. Each case starts, closes and shuts down what it uses, judges by what the sinks were
//! told, and waits for events, never for time: every wait has a bound, and passing it is a
//! [`Violation`].
//!
//! ```ignore
//! #[tokio::test]
//! async fn the_contract_holds() {
//!     conformance::run_all(&MyFixture).await.unwrap();
//! }
//! ```

mod dial;
mod end;
mod flow;
mod recorder;
mod scene;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bitcraps_types::{PeerId, Ratio};

pub use dial::{
    a_bad_address_is_refused, a_dead_address_ends_in_bounded_time, a_link_comes_up_at_both_ends,
    a_second_link_leaves_the_first, a_wrong_peer_is_refused, dials_at_once_do_not_mix,
    dials_need_a_start, failed_dials_disturb_no_link, it_starts_once,
};
pub use end::{
    a_close_is_told_once_at_both_ends, a_shutdown_is_told_and_final, a_shutdown_needs_no_start,
};
pub use flow::{
    a_full_link_gives_back_and_recovers, an_empty_frame_disturbs_nothing,
    an_oversized_frame_comes_back, frames_arrive_unchanged, many_frames_keep_their_boundaries,
    many_senders_share_a_link, written_reaches_the_count,
};
pub use recorder::Recorder;

use crate::{Address, ConnectTarget, Transport};

/// Two fresh transports that can reach each other. Not started.
pub struct Ends {
    /// The end that dials.
    pub near: Arc<dyn Transport>,
    /// The end that is dialled.
    pub far: Arc<dyn Transport>,
    /// Who is at the near end.
    pub near_peer: PeerId,
    /// Who is at the far end.
    pub far_peer: PeerId,
    /// What the near end dials to reach the far end; asked once the far end is started.
    pub target: Box<dyn Fn() -> ConnectTarget + Send + Sync>,
    /// A well-formed address where nobody answers.
    pub dead: Option<Address>,
    /// An address that makes no sense to the transport.
    pub bad: Option<Address>,
    /// Stops (`true`) and resumes what drains the links of the near end. Without it the suite
    /// reaches a full link by sending faster than it drains.
    pub stall: Option<Box<dyn Fn(bool) + Send + Sync>>,
}

/// Makes what the suite plays with.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Fresh ends, independent of any made before. No link may come up without a dial.
    async fn ends(&self) -> Ends;

    /// The part of many frames that arrives at least; below 1 only where the carrier itself loses
    /// frames.
    fn least_delivery(&self) -> Ratio {
        Ratio::ONE
    }

    /// Frames that fill any of its queues several times: a carrier of some hundred kilobytes a second needs
    /// a minute for as many as there are by default.
    fn many_frames(&self) -> usize {
        4_000
    }

    /// Whether two ends share one link at most: a dial while it is up gives the same link.
    fn one_link_per_peer(&self) -> bool {
        false
    }

    /// Whether the target names a place where peers are asked for by their keys: whoever is not
    /// there does not answer, instead of showing another key.
    fn asks_by_key(&self) -> bool {
        false
    }
}

/// What a transport did against the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

/// What a case promises to return.
pub type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), Violation>> + 'a>>;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// What holds when the case passes.
    pub name: &'static str,
    /// Plays it.
    pub run: fn(&dyn Fixture) -> Verdict<'_>,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: |fixture| Box::pin($name(fixture)) }),*]
    };
}

/// Every case.
pub const CASES: &[Case] = cases![
    it_starts_once,
    dials_need_a_start,
    a_link_comes_up_at_both_ends,
    a_wrong_peer_is_refused,
    a_bad_address_is_refused,
    a_dead_address_ends_in_bounded_time,
    a_second_link_leaves_the_first,
    dials_at_once_do_not_mix,
    failed_dials_disturb_no_link,
    frames_arrive_unchanged,
    an_oversized_frame_comes_back,
    an_empty_frame_disturbs_nothing,
    many_frames_keep_their_boundaries,
    many_senders_share_a_link,
    written_reaches_the_count,
    a_full_link_gives_back_and_recovers,
    a_close_is_told_once_at_both_ends,
    a_shutdown_is_told_and_final,
    a_shutdown_needs_no_start,
];

/// The cases that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures(pub Vec<(&'static str, Violation)>);

impl std::error::Error for Failures {}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} cases failed", self.0.len(), CASES.len())?;
        for (name, violation) in &self.0 {
            writeln!(f, "  {name}: {violation}")?;
        }
        Ok(())
    }
}

/// Plays every case, one after the other.
///
/// # Errors
/// [`Failures`] with every case that failed; the others were played all the same.
pub async fn run_all(fixture: &dyn Fixture) -> Result<(), Failures> {
    let mut failures = Vec::new();
    for case in CASES {
        if let Err(violation) = (case.run)(fixture).await {
            failures.push((case.name, violation));
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failures(failures)),
    }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    match holds {
        true => Ok(()),
        false => Err(Violation(what())),
    }
}
