//! The codec from outside: what it writes it reads, and whatever it reads does no harm.

mod allocation;
mod bounds;
mod corpus;
mod damage;
mod layout;
mod round_trip;
mod strategies;
