//! What the machine does, held against its contract in virtual time.

mod pair;

mod contest;
mod copies;
mod custody;
mod deadlines;
mod failover;
mod forgetting;
mod fragments;
mod greeting;
mod happy;
mod hostile;
mod links;
mod model;
mod queues;
mod relaying;
mod standing;
