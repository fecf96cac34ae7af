use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use bitcraps_node::admin::{self, Request, Response};
use bitcraps_node::{Config, Environment};

use crate::failure::Failure;

/// Variable that names the configuration file.
const CONFIG_VARIABLE: &str = "BITCRAPS_CONFIG";
/// Place of the configuration file below the user's configuration directory.
const CONFIG_FILE: &str = "bitcraps/bitcraps.toml";

/// What the command line says for every verb.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
}

/// Which configuration file was chosen, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--config`.
    Argument(PathBuf),
    /// The environment variable.
    Variable(PathBuf),
    /// The user's own.
    Own(PathBuf),
    /// There is none; the place where one would be found, if there is such a place.
    Defaults(Option<PathBuf>),
}

impl Source {
    /// The file to read.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Argument(path) | Self::Variable(path) | Self::Own(path) => Some(path),
            Self::Defaults(_) => None,
        }
    }

    /// The file that `config init` writes.
    pub(crate) fn place(&self) -> Option<&Path> {
        match self {
            Self::Argument(path) | Self::Variable(path) | Self::Own(path) => Some(path),
            Self::Defaults(place) => place.as_deref(),
        }
    }

    fn choose(
        argument: Option<&Path>,
        variable: impl Fn(&str) -> Option<PathBuf>,
        exists: impl Fn(&Path) -> bool,
    ) -> Self {
        if let Some(path) = argument {
            return Self::Argument(path.to_owned());
        }
        if let Some(path) = variable(CONFIG_VARIABLE) {
            return Self::Variable(path);
        }
        // As the XDG base directory specification has it, a relative path is ignored.
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let home = || Some(absolute("HOME")?.join(".config"));
        let Some(directory) = absolute("XDG_CONFIG_HOME").or_else(home) else {
            return Self::Defaults(None);
        };
        let own = directory.join(CONFIG_FILE);
        if exists(&own) { Self::Own(own) } else { Self::Defaults(Some(own)) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(path) => write!(f, "{} (by --config)", path.display()),
            Self::Variable(path) => write!(f, "{} (by ${CONFIG_VARIABLE})", path.display()),
            Self::Own(path) => path.display().fmt(f),
            Self::Defaults(Some(place)) => {
                write!(f, "built-in defaults; there is no {}", place.display())
            }
            Self::Defaults(None) => f.write_str("built-in defaults"),
        }
    }
}

impl Context {
    /// Which configuration file holds.
    pub(crate) fn source(&self) -> Source {
        let variable = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Source::choose(self.config.as_deref(), variable, Path::exists)
    }

    /// The configuration, and which file it is.
    pub(crate) fn load(&self) -> Result<(Config, Source), Failure> {
        let source = self.source();
        let config = Config::load(source.file(), &Environment::of_process())?;
        Ok((config, source))
    }

    /// Where the node is asked.
    pub(crate) fn admin_socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => Ok(self.load()?.0.admin().socket.clone()),
        }
    }

    /// Asks the running node.
    pub(crate) fn ask(&self, request: &Request) -> Result<Response, Failure> {
        Ok(admin::request(&self.admin_socket()?, request)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(argument: Option<&str>, variables: &[(&str, &str)], existing: &[&str]) -> Source {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| PathBuf::from(value))
        };
        let exists = |path: &Path| existing.iter().any(|e| Path::new(e) == path);
        Source::choose(argument.map(Path::new), variable, exists)
    }

    #[test]
    fn the_nearest_file_wins() {
        let all = [("BITCRAPS_CONFIG", "/v"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        let both = ["/x/bitcraps/bitcraps.toml", "/h/.config/bitcraps/bitcraps.toml"];
        assert_eq!(choose(Some("a"), &all, &both), Source::Argument("a".into()));
        assert_eq!(choose(None, &all, &both), Source::Variable("/v".into()));
        assert_eq!(choose(None, &all[1..], &both), Source::Own(both[0].into()));
        assert_eq!(choose(None, &all[2..], &both), Source::Own(both[1].into()));
        assert_eq!(choose(None, &all[1..], &both[1..]), Source::Defaults(Some(both[0].into())));
        assert_eq!(choose(None, &[], &[]), Source::Defaults(None));
        let relative = [("XDG_CONFIG_HOME", "x"), ("HOME", "/h")];
        assert_eq!(choose(None, &relative, &both), Source::Own(both[1].into()));
    }
}
