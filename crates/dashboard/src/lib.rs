//! A node as its operators see it, over HTTP: `/metrics` for Prometheus.
//!
//! This crate decides nothing and changes nothing about a node; it shows what the node's own reports
//! say. It listens on addresses of this machine alone, and asks nobody who they are.

mod latencies;
mod metrics;
mod server;

pub use metrics::{CoordinationMetrics, EncodeError};
pub use server::{ListenError, Server};
