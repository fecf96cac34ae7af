//! The configuration of a running node, and its reload.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Change;
use crate::{Config, ConfigError, Environment, Node};

/// Why a new configuration is not in force. The old one stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process cannot follow it.
    #[error("{0}")]
    Unfit(String),
    /// Reading it ended early.
    #[error("reading the configuration ended early: {0}")]
    Interrupted(String),
}

/// Follows the part of a configuration that the process itself obeys, such as its log; called with
/// every new configuration before it is put in force, and refuses it with a reason.
pub type Follow = Box<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

/// The configuration of a running node: where it comes from, and what is in force.
pub struct LiveConfig {
    node: Arc<Node>,
    file: Option<PathBuf>,
    environment: Environment,
    current: Mutex<Arc<Config>>,
    follow: Follow,
}

impl LiveConfig {
    /// The configuration `current` of `node`, read from `file` (absent for the defaults) under
    /// `environment`.
    pub fn new(
        node: Arc<Node>,
        file: Option<PathBuf>,
        environment: Environment,
        current: Config,
        follow: Follow,
    ) -> Self {
        let current = Mutex::new(Arc::new(current));
        Self { node, file, environment, current, follow }
    }

    /// The file it comes from; absent for the defaults.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is in force, with what waits for a restart.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again and puts its live part in force. Returns what changed.
    ///
    /// # Errors
    /// [`ReloadError`]; the old configuration stays in force.
    pub async fn reload(self: &Arc<Self>) -> Result<Vec<Change>, ReloadError> {
        // Reading may wait for a disk, or for the writer of a pipe.
        let this = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            Config::load(this.file.as_deref(), &this.environment)
        });
        let new = reading.await.map_err(|e| ReloadError::Interrupted(e.to_string()))??;
        // Held over all of it: of two reloads at once, the second compares with the first.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.follow)(&new).map_err(ReloadError::Unfit)?;
        let changes = self.node.reload(&current, &new);
        *current = Arc::new(new);
        Ok(changes)
    }
}

impl std::fmt::Debug for LiveConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveConfig").field("file", &self.file).finish_non_exhaustive()
    }
}
