//! The whole node as one pure machine: the delivery [`Core`](bitcraps_coordinator::Core), the
//! [`dialer`](Dialer) that keeps links to every known peer, admission, which says what each peer may do, and the [`Network`] as
//! every node tells of it.
//!
//! It takes events and `now` and returns commands. It contains no I/O, no clock, no task and no
//! lock; production and the simulator run the same bytes of it.

mod admission;
mod chart;
mod dialer;
mod engine;
mod healing;
mod health;
mod hierarchy;
mod invitation;
mod joining;
mod loops;
mod network;
mod relaying;
mod revision;
mod tunnels;
mod way;

pub use admission::{
    AdmissionConfig, AdmissionMode, Decision, MAX_DECISIONS, STRANGER_LINKS, TooManyDecisions,
};
pub use bitcraps_linkstate::{Config as LinkStateConfig, Flag};
pub use bitcraps_monitor as monitor;
pub use dialer::{Dialer, DialerConfig, TargetStatus};
pub use engine::Engine;
pub use healing::Healing;
pub use health::{Health, HealthBrief, Judgement, Look};
pub use hierarchy::Level;
pub use invitation::{
    Grant, InvitationName, MAX_INVITATIONS, MAX_USES, Redemption, TooManyInvitations,
};
pub use joining::TooManyJoins;
pub use network::Network;
pub use tunnels::RelayCounters;
