use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use bitcraps_dashboard::{EncodeError, ListenError};
use bitcraps_node::admin::{AdminError, RefusalKind, SCHEMA, StartAdminError};
use bitcraps_node::{ConfigError, IdentityError, StartNodeError};
use bitcraps_sim::scenario::{CourseError, ScenarioError};
use bitcraps_topology::read::ReadError;

use crate::console;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Healthy,
    /// Something is not as it should be, or is not known.
    Warning,
    /// It does not work, or was not done.
    Critical,
    /// The command makes no sense.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Healthy => 0,
            Exit::Warning => 1,
            Exit::Critical => 2,
            // EX_USAGE of sysexits.h.
            Exit::Usage => 64,
        })
    }
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log filter of the configuration.
    #[error(
        "log.filter = {filter:?}: {why}; write a level such as \"info\", or target=level pairs"
    )]
    Filter { filter: String, why: String },
    /// The log cannot be set up.
    #[error("cannot start the log: {0}")]
    Log(String),
    /// The node.
    #[error(transparent)]
    Start(#[from] StartNodeError),
    /// A relay.
    #[cfg(feature = "internet")]
    #[error(transparent)]
    Relay(#[from] bitcraps_node::transport_inet::RelayServerError),
    /// Its admin socket.
    #[error(transparent)]
    StartAdmin(#[from] StartAdminError),
    /// Its place over HTTP.
    #[error(transparent)]
    Dashboard(#[from] ListenError),
    /// Its metrics.
    #[error(transparent)]
    Metrics(#[from] EncodeError),
    /// Talking to a running one.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The node answered something else.
    #[error("the node answered another question; use the `bitcraps` of its version")]
    OtherAnswer,
    /// A key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file that is there already.
    #[error("{} exists and is not overwritten; move it away, or name another file", .0.display())]
    Exists(PathBuf),
    /// A file that cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    Write { path: PathBuf, why: io::Error },
    /// A network that cannot be read.
    #[error("{}: {why}", path.display())]
    Network { path: PathBuf, why: ReadError },
    /// A scenario that cannot be opened.
    #[error("cannot read {}: {why}", path.display())]
    Read { path: PathBuf, why: io::Error },
    /// A scenario with a mistake.
    #[error("{}:{why}", path.display())]
    Scenario { path: PathBuf, why: Box<ScenarioError> },
    /// A scenario in which there is too much.
    #[error("{}: {why}", path.display())]
    Course { path: PathBuf, why: CourseError },
    /// Standard input that cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// There is no place for a file.
    #[error(
        "no place is known for the configuration: neither XDG_CONFIG_HOME nor HOME is set; name a file"
    )]
    NoHome,
    /// Standard output that is gone.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// The process cannot have its tasks or signals.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Admin(AdminError::Refused(refusal)) => match refusal.kind {
                RefusalKind::BadRequest
                | RefusalKind::BadPeer
                | RefusalKind::UnknownPeer
                | RefusalKind::AmbiguousPeer
                | RefusalKind::BadCode => Exit::Usage,
                RefusalKind::Busy
                | RefusalKind::NotSent
                | RefusalKind::NoSuchAlert
                | RefusalKind::NotWatched
                | RefusalKind::NotDecided
                | RefusalKind::NotInvited
                | RefusalKind::NotReached
                | RefusalKind::InvitationExpired
                | RefusalKind::InvitationUsedUp
                | RefusalKind::InvitationUnknown
                | RefusalKind::InvitationWrong
                | RefusalKind::InvitationRefused
                | RefusalKind::BadConfig => Exit::Critical,
            },
            // Whoever closed the pipe has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Healthy,
            #[cfg(feature = "internet")]
            Self::Relay(_) => Exit::Critical,
            Self::Config(_)
            | Self::Filter { .. }
            | Self::Log(_)
            | Self::Start(_)
            | Self::StartAdmin(_)
            | Self::Dashboard(_)
            | Self::Metrics(_)
            | Self::Admin(_)
            | Self::OtherAnswer
            | Self::Identity(_)
            | Self::Exists(_)
            | Self::Write { .. }
            | Self::Network { .. }
            | Self::Read { .. }
            | Self::Scenario { .. }
            | Self::Course { .. }
            | Self::Input(_)
            | Self::NoHome
            | Self::Output(_)
            | Self::Runtime(_) => Exit::Critical,
        }
    }

    /// The name of its kind, for scripts.
    fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) | Self::Filter { .. } | Self::NoHome => "config",
            #[cfg(feature = "internet")]
            Self::Relay(_) => "start",
            Self::Log(_)
            | Self::Start(_)
            | Self::StartAdmin(_)
            | Self::Dashboard(_)
            | Self::Runtime(_) => "start",
            Self::Metrics(_) => "metrics",
            Self::Admin(AdminError::NoNode(_)) => "no_node",
            Self::Admin(_) | Self::OtherAnswer => "admin",
            Self::Identity(_) => "key",
            Self::Exists(_)
            | Self::Write { .. }
            | Self::Network { .. }
            | Self::Read { .. }
            | Self::Input(_)
            | Self::Output(_) => "file",
            Self::Scenario { .. } | Self::Course { .. } => "scenario",
        }
    }

    /// Tells it on standard error, and on standard output as well when JSON is expected there.
    pub(crate) fn report(&self, json: bool) -> Exit {
        let exit = self.exit();
        if exit == Exit::Healthy {
            return exit;
        }
        let message = self.to_string();
        console::complain(&format!("bitcraps: {}", message.trim_end()));
        if json {
            let mut error = serde_json::json!({ "kind": self.kind(), "message": message });
            if let Self::Admin(AdminError::Refused(refusal)) = self {
                error = serde_json::json!(refusal);
            }
            let error = serde_json::json!({ "schema": SCHEMA, "error": error });
            // There is nobody left to tell when this fails.
            drop(console::print(&format!("{error}\n")));
        }
        exit
    }
}
