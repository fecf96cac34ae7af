//! Nodes at two sites behind routers that translate addresses, in networks made for each test.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test that calls it")]

mod flow;
mod mapping;
mod meeting;
mod namespace;
mod pair;
mod scene;
