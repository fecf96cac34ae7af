//! Databases from outside: networks of them in virtual time.

#![expect(clippy::unwrap_used, reason = "the lint knows test functions only, not what they call")]
#![expect(clippy::print_stderr, reason = "the figures measured are worth seeing")]

mod hostile;
mod life;
mod mesh;
mod narrow;
mod offers;
mod pair;
mod privacy;
