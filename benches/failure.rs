use std::io;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// What was to be measured did not happen; the text says what did.
    #[error("{0}")]
    Broken(String),
    /// A socket, a thread or standard output failed.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        why: io::Error,
    },
}

impl Failure {
    /// [`Self::Broken`] with anything that can be told.
    pub fn broken(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Broken(format!("{what}: {why}"))
    }

    /// For `map_err` on I/O.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Io { what, why }
    }
}
