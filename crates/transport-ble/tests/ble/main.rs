//! The transport over radios that exist in this process only.

mod air;
mod conformance;
mod hostile;
mod meeting;
