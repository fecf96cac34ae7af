//! Scenarios out of files: what is read, what is refused, what is judged.

mod course;
mod healed;
mod mistakes;
mod shipped;
