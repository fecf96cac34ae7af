use std::process::Command;

use crate::Failure;
use crate::command::{cargo, run as run_command, shown, succeeds};

/// Makes loopback usable in the new namespace, where it starts down, and becomes the command.
const WITH_LOOPBACK: &str = "ip link set lo up && exec \"$@\"";

/// What must succeed in the new namespace, and what is the matter when it does not.
const NEEDED: [(&str, &str); 2] = [
    (
        "true",
        "no network namespace can be made here: it takes `unshare` (util-linux), `ip` (iproute2), \
         and root or user namespaces",
    ),
    (
        "nft list ruleset",
        "no router can be made here: it takes `nft` (nftables), and a kernel with nf_tables",
    ),
];

/// Tests that take programs which the others do without: a module of tests, the programs, and what is
/// said when the machine lacks one.
struct Guest {
    module: &'static str,
    programs: &'static [&'static str],
    lacking: &'static str,
}

const PROMETHEUS: Guest = Guest {
    module: "prometheus::",
    programs: &["promtool", "prometheus"],
    lacking: "the tests `prometheus::` take `promtool` and `prometheus` (apt-get install prometheus)",
};

const DBUS: Guest = Guest {
    module: "dbus::",
    programs: &["dbus-daemon"],
    lacking: "the tests `dbus::` take `dbus-daemon` (apt-get install dbus-daemon)",
};

/// Tests that need Bluetooth adapters; `test-radio` runs them.
const RADIO: &str = "radio::";

/// Runs the tests that need a network of their own (`#[ignore]`d elsewhere) in a network namespace
/// made for them, in which nothing but loopback exists; then those that need Prometheus or a D-Bus daemon.
///
/// # Errors
/// [`Failure::Impossible`] where no namespace or no router can be made, or a program is lacking; and the
/// failure of the tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    // What one lacks keeps none of the others from being run.
    let found = [routers(arguments), prometheus(arguments), dbus(arguments)];
    let mut failed = found.into_iter().filter_map(Result::err);
    let Some(first) = failed.next() else { return Ok(()) };
    for other in failed {
        let (Failure::Usage(why) | Failure::Checked(why) | Failure::Impossible(why)) = other;
        eprintln!("xtask: {why}");
    }
    Err(first)
}

/// The tests that need a network of their own, and no program that others do without.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn routers(arguments: &[String]) -> Result<(), Failure> {
    let [one, other] = [PROMETHEUS.module, DBUS.module];
    let nextest = ["--filterset", &format!("not test(/^({one}|{other}|{RADIO})/)")];
    let plain = ["--skip", one, "--skip", other, "--skip", RADIO];
    ignored(&nextest, &plain, arguments)
}

/// The tests in which Prometheus and its tools look at a node.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn prometheus(arguments: &[String]) -> Result<(), Failure> {
    with(&PROMETHEUS, arguments)
}

/// The tests in which a bus of their own carries what daemons would say.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn dbus(arguments: &[String]) -> Result<(), Failure> {
    with(&DBUS, arguments)
}

fn with(guest: &Guest, arguments: &[String]) -> Result<(), Failure> {
    for program in guest.programs {
        let mut probe = Command::new(program);
        probe.arg("--version");
        if !succeeds(probe) {
            return Err(Failure::Impossible(guest.lacking.to_owned()));
        }
    }
    let nextest = ["--filterset", &format!("test(/^{}/)", guest.module)];
    ignored(&nextest, &[guest.module], arguments)
}

/// Runs the tests that are `#[ignore]`d elsewhere and chosen by `nextest`'s arguments, or by `plain`
/// ones where there is no nextest, in a namespace.
fn ignored(nextest: &[&str], plain: &[&str], arguments: &[String]) -> Result<(), Failure> {
    for (command, problem) in NEEDED {
        let mut probe = namespace();
        probe.args(["sh", "-c", WITH_LOOPBACK, "sh"]).args(command.split(' '));
        if !succeeds(probe) {
            return Err(Failure::Impossible(problem.to_owned()));
        }
    }
    // Built outside, so that nothing is fetched where there is no network.
    run_command(cargo(&["test", "--workspace", "--no-run", "--quiet"])?)?;
    let mut tests = if succeeds(cargo(&["nextest", "--version"])?) {
        let mut tests = cargo(&["nextest", "run", "--workspace", "--run-ignored", "only"])?;
        tests.args(nextest);
        if !arguments.is_empty() {
            // What is looked for may be in another of the groups.
            tests.arg("--no-tests=pass");
        }
        tests
    } else {
        let mut tests =
            cargo(&["test", "--workspace", "--tests", "--", "--ignored", "--test-threads=1"])?;
        tests.args(plain);
        tests
    };
    tests.args(arguments);
    let mut inside = namespace();
    inside.args(["sh", "-c", WITH_LOOPBACK, "sh"]);
    inside.arg(tests.get_program()).args(tests.get_args());
    if let Some(directory) = tests.get_current_dir() {
        inside.current_dir(directory);
    }
    for (name, value) in tests.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    println!("xtask: {}", shown(&inside));
    run_command(inside)
}

/// A command line that runs what follows as root of a network of its own.
fn namespace() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--map-root-user"]);
    unshare
}
