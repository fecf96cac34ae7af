use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;

/// The directory of the workspace: where the manifest of this program lies, one up.
pub(crate) fn workspace_root() -> Result<PathBuf, Failure> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = manifest.as_deref().and_then(Path::parent);
    root.map(Path::to_owned).ok_or_else(|| {
        Failure::Checked("CARGO_MANIFEST_DIR is not set; start this as `cargo xtask`".to_owned())
    })
}

/// `cargo` with these arguments, in the directory of the workspace.
pub(crate) fn cargo<S: AsRef<str>>(arguments: &[S]) -> Result<Command, Failure> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::as_ref));
    command.current_dir(workspace_root()?);
    // What cargo tells this program about its own package is not about those it builds.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Runs to the end; a failure names the command.
pub(crate) fn run(mut command: Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Checked(format!("`{}`: {status}", shown(&command)))),
        Err(error) => Err(not_started(&command, &error)),
    }
}

/// Whether the command can be started and succeeds; what it prints is thrown away.
pub(crate) fn succeeds(mut command: Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs to the end and returns what it prints.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let output = command.stderr(Stdio::inherit()).output();
    match output {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(Failure::Checked(format!("`{}`: {}", shown(&command), output.status))),
        Err(error) => Err(not_started(&command, &error)),
    }
}

/// Becomes the command, so that signals and the exit code are its own. Returns only on failure.
pub(crate) fn become_it(mut command: Command) -> Failure {
    let error = command.exec();
    not_started(&command, &error)
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::Checked(format!("cannot start `{}`: {error}", shown(command)))
}

/// The command as one would type it, with the program's bare name.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
