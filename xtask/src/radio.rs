//! `test-radio`: Bluetooth and Wi-Fi Direct on a real kernel, a real bluetoothd and a real
//! wpa_supplicant, without hardware.

mod told;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::command::{cargo, output, run as run_command, succeeds, workspace_root};
use told::{Printed, Told, line};

/// What the guest needs and a machine need not have installed. Unpacked below target/, never installed.
const PACKAGES: [&str; 9] = [
    "qemu-system-x86",
    "qemu-system-data",
    "seabios",
    "bluez",
    "bluez-test-tools",
    "wpasupplicant",
    "kmod",
    "cpio",
    "busybox-static",
];

/// What it may also take from the machine, where that has it installed.
const PROGRAMS: [&str; 2] = ["dbus", "iproute2"];

/// Kernels, the best first: where Debian has a newer one beside its own, that is taken. Its 6.1.192 breaks
/// now and then when an adapter is switched off while bluetoothd has a connection (`hci_chan_del`, list
/// corruption), and is what an older Debian has otherwise.
const KERNELS: [&str; 2] = ["linux-image-6.12-amd64", "linux-image-amd64"];

/// Modules that reach the host's root.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "virtio_rng"];

/// The whole run; the guest's own bound is shorter.
const SECONDS: &str = "600";

/// What the guest is booted for.
#[derive(Debug, Clone, Copy)]
enum Play {
    Everything,
    /// Nodes with both radios, and the relay between a Bluetooth node and a Wi-Fi node.
    Demo,
}

impl Play {
    /// The command that it is, for messages.
    const fn command(self) -> &'static str {
        match self {
            Self::Everything => "test-radio",
            Self::Demo => "demo --radios",
        }
    }

    /// The guest's word for it.
    const fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Demo => "demo",
        }
    }
}

/// Runs the tests that need radios in a guest that has two of each kind.
///
/// # Errors
/// [`Failure::Impossible`] where the guest cannot be made, which is no pass; [`Failure::Checked`]
/// when a test failed in it.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    play(Play::Everything, arguments)
}

/// Shows nodes of this program on real stacks in the guest.
///
/// # Errors
/// As [`run`].
pub(crate) fn demo(arguments: &[String]) -> Result<(), Failure> {
    play(Play::Demo, arguments)
}

fn play(play: Play, arguments: &[String]) -> Result<(), Failure> {
    let name = play.command();
    let json = match arguments {
        [] => false,
        [word] if word == "--json" => true,
        _ => return Err(Failure::Usage(format!("{name} takes --json or nothing more"))),
    };
    let root = workspace_root()?;
    let cache = root.join("target/radio");
    let tools = tools(&cache)?;
    let programs = programs()?;
    let initrd = initrd(&root, &cache, &tools)?;
    let told = boot(&root, &tools, &initrd, &programs, (play, json))?;
    if json {
        let printed = serde_json::to_string(&Printed { schema: 1, rows: told.rows() });
        println!("{}", printed.map_err(|error| Failure::Checked(error.to_string()))?);
    } else {
        println!("\nBluetooth LE and Wi-Fi Direct over emulated radios, in a guest without KVM:");
        for row in told.rows() {
            println!("  {}", line(&row));
        }
    }
    if let Some(line) = told.broken {
        return Err(Failure::Checked(format!("{name}: the guest's own kernel broke: {line}")));
    }
    match told.end.as_deref() {
        Some("0") => Ok(()),
        Some(why) => Err(Failure::Checked(format!("{name}: the guest ended with {why}"))),
        None => Err(Failure::Checked(format!(
            "{name}: the guest did not come to its end within {SECONDS} s"
        ))),
    }
}

fn impossible(what: &str) -> Failure {
    Failure::Impossible(format!("no guest with radios, nothing was checked: {what}"))
}

fn broken(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Checked(format!("{}: {error}", path.display()))
}

/// Unpacks what is needed from the machine's own package archive, once.
fn tools(cache: &Path) -> Result<PathBuf, Failure> {
    let root = cache.join("root");
    let complete = cache.join("complete");
    let wish = [&PACKAGES[..], &PROGRAMS, &KERNELS].concat().join(" ");
    if fs::read_to_string(&complete).is_ok_and(|done| done == wish) {
        return Ok(root);
    }
    let mut probe = Command::new("apt-get");
    probe.arg("--version");
    if !succeeds(probe) || std::env::consts::ARCH != "x86_64" {
        return Err(impossible("it takes a Debian machine (apt-get, dpkg) of x86_64"));
    }
    let debs = cache.join("debs");
    for old in [&root, &debs] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(|e| broken(old, &e))?;
        }
    }
    fs::create_dir_all(&debs).map_err(|e| broken(&debs, &e))?;
    let mut names: BTreeSet<String> = PACKAGES.iter().map(|name| (*name).to_owned()).collect();
    let simulated = ["install", "-s", "--no-install-recommends"];
    names.extend(wanted("apt-get", &[&simulated[..], &PACKAGES, &PROGRAMS].concat(), "Inst ")?);
    names.insert(kernel()?);
    let mut download = Command::new("apt-get");
    download.args(["download", "-q"]).args(&names).current_dir(&debs);
    run_command(download).map_err(|_| impossible("the packages cannot be downloaded"))?;
    for entry in fs::read_dir(&debs).map_err(|e| broken(&debs, &e))? {
        let deb = entry.map_err(|e| broken(&debs, &e))?.path();
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(&deb).arg(&root);
        run_command(unpack)?;
    }
    let version = kernel_version(&root)?;
    let mut index = kmod(&root, cache, "depmod")?;
    run_command({
        index.arg("-b").arg(&root).arg(version);
        index
    })?;
    fs::write(&complete, wish).map_err(|e| broken(&complete, &e))?;
    Ok(root)
}

/// The package of the best kernel that the archive has.
fn kernel() -> Result<String, Failure> {
    for name in KERNELS {
        let found = wanted("apt-cache", &["depends", name], "Depends: linux-image");
        if let Some(rest) = found.unwrap_or_default().first() {
            return Ok(format!("linux-image{rest}"));
        }
    }
    Err(impossible(&format!("the package archive has none of {}", KERNELS.join(", "))))
}

/// The words after `mark` in what a command prints.
fn wanted(program: &str, arguments: &[&str], mark: &str) -> Result<Vec<String>, Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    let text = output(command).map_err(|_| impossible("the package archive cannot be asked"))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let rest = text.lines().filter_map(|line| line.split_once(mark).map(|(_, rest)| rest));
    Ok(rest.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect())
}

fn libraries(tools: &Path) -> String {
    let of = |part: &str| tools.join(part).display().to_string();
    format!("{}:{}", of("usr/lib/x86_64-linux-gnu"), of("lib/x86_64-linux-gnu"))
}

fn kernel_version(tools: &Path) -> Result<String, Failure> {
    let modules = tools.join("lib/modules");
    let mut found = fs::read_dir(&modules).map_err(|e| broken(&modules, &e))?;
    let first = found.next().and_then(Result::ok);
    let name = first.map(|entry| entry.file_name().to_string_lossy().into_owned());
    name.ok_or_else(|| impossible("the kernel's package has no modules"))
}

/// One of kmod's programs, which looks at the name it is called by.
fn kmod(tools: &Path, cache: &Path, name: &str) -> Result<Command, Failure> {
    let link = cache.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(tools.join("bin/kmod"), &link).map_err(|e| broken(&link, &e))?;
    }
    let mut command = Command::new(link);
    command.env("LD_LIBRARY_PATH", libraries(tools));
    Ok(command)
}

/// The programs of tests that the guest runs, by the names of their targets.
const TESTS: [&str; 3] = ["bluez", "direct", "cli"];

/// What the guest runs, as built for release.
struct Programs {
    bluetooth: PathBuf,
    wifi: PathBuf,
    cli: PathBuf,
    /// The program itself, which the tests of `cli` run.
    bitcraps: PathBuf,
}

/// Builds the programs of tests and the program, with the features of the whole workspace so that nothing is
/// compiled twice, and tells where they are.
fn programs() -> Result<Programs, Failure> {
    let words = ["test", "--release", "--no-run", "--message-format=json", "--workspace"];
    let features = "bitcraps-transport-ble/adapters,bitcraps-transport-wifi/radios";
    let chosen = TESTS.iter().flat_map(|name| ["--test", name]);
    let words: Vec<_> = words.into_iter().chain(["--features", features]).chain(chosen).collect();
    let messages = output(cargo(&words)?)?;
    let built = String::from_utf8_lossy(&messages);
    let messages: Vec<serde_json::Value> =
        built.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let program = |kind: &str, name: &str| {
        let is_it = |message: &&serde_json::Value| {
            message["target"]["kind"][0] == kind && message["target"]["name"] == name
        };
        let executable = messages.iter().filter(is_it).find_map(|m| m["executable"].as_str());
        let missing = || Failure::Checked(format!("cargo built no {kind} {name}"));
        executable.map(PathBuf::from).ok_or_else(missing)
    };
    let [bluetooth, wifi, cli] = TESTS.map(|name| program("test", name));
    let bitcraps = program("bin", "bitcraps")?;
    Ok(Programs { bluetooth: bluetooth?, wifi: wifi?, cli: cli?, bitcraps })
}

/// The guest's first file system.
fn initrd(root: &Path, cache: &Path, tools: &Path) -> Result<PathBuf, Failure> {
    let tree = cache.join("initrd");
    for part in ["bin", "proc", "sys", "dev", "new", "modules"] {
        let part = tree.join(part);
        fs::create_dir_all(&part).map_err(|e| broken(&part, &e))?;
    }
    let copy = |from: &Path, to: &str| {
        fs::copy(from, tree.join(to)).map(drop).map_err(|e| broken(from, &e))
    };
    copy(&tools.join("bin/busybox"), "bin/busybox")?;
    copy(&root.join("xtask/radio/init.sh"), "init")?;
    run_command({
        let mut mode = Command::new("chmod");
        mode.arg("+x").arg(tree.join("init"));
        mode
    })?;
    let version = kernel_version(tools)?;
    let mut order: Vec<String> = Vec::new();
    for module in MODULES {
        let mut depends = kmod(tools, cache, "modprobe")?;
        depends.arg("-d").arg(tools).args(["-S", &version, "-D", module]);
        let text = output(depends)?;
        for path in String::from_utf8_lossy(&text).lines().filter_map(|l| l.strip_prefix("insmod "))
        {
            let path = Path::new(path.trim());
            let name =
                path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !order.contains(&name) {
                copy(path, &format!("modules/{name}"))?;
                order.push(name);
            }
        }
    }
    let list = tree.join("order");
    fs::write(&list, order.join("\n") + "\n").map_err(|e| broken(&list, &e))?;
    let image = cache.join("initrd.cpio");
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | \"$1\" -o -H newc --quiet >\"$2\"", "sh"]);
    pack.arg(tools.join("bin/cpio")).arg(&image).current_dir(&tree);
    run_command(pack)?;
    Ok(image)
}

/// Boots the guest and listens until it ends. Progress goes to standard error when `quiet`.
fn boot(
    root: &Path,
    tools: &Path,
    initrd: &Path,
    programs: &Programs,
    (play, quiet): (Play, bool),
) -> Result<Told, Failure> {
    let version = kernel_version(tools)?;
    let words = format!(
        "console=ttyS0 panic=-1 oops=panic quiet loglevel=3 mitigations=off guest={} tools={} \
         bluetooth={} wifi={} cli={} bitcraps={} packaging={} play={}",
        root.join("xtask/radio/guest.sh").display(),
        tools.display(),
        programs.bluetooth.display(),
        programs.wifi.display(),
        programs.cli.display(),
        programs.bitcraps.display(),
        root.join("packaging").display(),
        play.word(),
    );
    let mut guest = Command::new("timeout");
    guest.arg(SECONDS).arg(tools.join("usr/bin/qemu-system-x86_64"));
    for firmware in ["usr/share/seabios", "usr/share/qemu"] {
        guest.arg("-L").arg(tools.join(firmware));
    }
    guest.args(["-accel", "tcg,thread=multi", "-M", "pc", "-m", "1024", "-smp", "2"]);
    guest.args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-net", "none"]);
    guest.args(["-serial", "stdio"]);
    guest.arg("-kernel").arg(tools.join("boot").join(format!("vmlinuz-{version}")));
    guest.arg("-initrd").arg(initrd).arg("-append").arg(words);
    guest.arg("-fsdev");
    guest.arg("local,id=r,path=/,security_model=none,multidevs=remap,readonly=on");
    guest.args(["-device", "virtio-9p-pci,fsdev=r,mount_tag=root", "-device", "virtio-rng-pci"]);
    guest.env("LD_LIBRARY_PATH", libraries(tools));
    guest.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running =
        guest.spawn().map_err(|error| impossible(&format!("qemu does not start: {error}")))?;
    let mut told = Told::default();
    if let Some(console) = running.stdout.take() {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            told.line(line);
            if quiet {
                eprintln!("{line}");
            } else {
                println!("{line}");
            }
        }
    }
    running.wait().map_err(|error| Failure::Checked(format!("qemu: {error}")))?;
    Ok(told)
}
