//! Finds, or installs, what it takes to build firmware and to run it.
//!
//! A firmware target's `core` library comes from one of two places:
//!
//! 1. rustup, where it has the target or can add it;
//! 2. Debian's Rust for the web (`rustc-web` and friends), which is recent and comes with the sources of `core`; the
//!    library is then built along (`-Z build-std`). This serves machines whose only way out is a package mirror.
//!
//! Every run looks again with cheap tests for files; nothing is remembered between runs.

use crate::shell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt};

/// Debian's compiler, cargo, the sources of `core`, and a linker.
const DEBIAN_RUST: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
const DEBIAN_RUST_FILES: [&str; 4] =
    ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "/usr/bin/ld.lld"];
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);
const RUSTUP_ONLY_LIMIT: Duration = Duration::from_secs(300);
const APT_LIMIT: Duration = Duration::from_secs(900);

/// How firmware is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The target triple, for example `thumbv7em-none-eabihf`.
    pub target: String,
    /// Where its `core` comes from.
    pub source: Source,
}

/// Where a target's `core` library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rustup toolchain that is in use.
    Rustup,
    /// Debian's `rustc-web`, building `core` from source.
    Debian,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Rustup => "rustup's library",
            Source::Debian => "Debian's rustc-web, core built from source",
        };
        write!(f, "{} ({source})", self.target)
    }
}

/// Why something is missing, and the command that brings it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// There is no Rust compiler in `PATH`.
    #[error("no Rust compiler answers to `rustc`; install Rust from https://rustup.rs")]
    NoRust,
    /// rustup could not fetch the target, and there is no second way.
    #[error(
        "the Rust library for {target} is missing and rustup could not fetch it ({reason}); with a network connection run: rustup target add {target}"
    )]
    Rustup {
        /// The target triple.
        target: String,
        /// What rustup said.
        reason: String,
    },
    /// Neither rustup nor apt is there.
    #[error(
        "the Rust library for {target} is missing; install rustup from https://rustup.rs and run: rustup target add {target}"
    )]
    NoInstaller {
        /// The target triple.
        target: String,
    },
    /// apt would do, but only for root.
    #[error("{what} is missing, and installing it needs root; run: sudo apt-get install {packages}")]
    NeedsRoot {
        /// What is missing.
        what: String,
        /// The packages that hold it.
        packages: String,
    },
    /// apt failed.
    #[error("{what} is missing, and apt-get could not install it ({reason}); run: {command}")]
    Apt {
        /// What is missing.
        what: String,
        /// What apt-get said.
        reason: String,
        /// The command to try by hand.
        command: String,
    },
    /// The target's library is missing, and nobody asked for it to be installed.
    #[error("the Rust library for {target} is missing; {remedy}")]
    NoTarget {
        /// The target triple.
        target: String,
        /// What to do on this system.
        remedy: String,
    },
    /// QEMU or Node.js has to be installed by hand.
    #[error("{program} is missing; {remedy}")]
    NoEmulator {
        /// The emulator's name.
        program: String,
        /// What to do on this system.
        remedy: String,
    },
}

/// What the decisions ask of the computer; the tests answer from memory.
pub trait System {
    /// Whether there is a file or a folder of this name.
    fn exists(&self, path: &Path) -> bool;
    /// Whether `PATH` holds this program.
    fn in_path(&self, program: &str) -> bool;
    /// What a quick command prints, or `None` where it fails.
    fn ask(&self, command: &[&str]) -> Option<String>;
    /// Whether [`install`](Self::install) may be called.
    fn may_install(&self) -> bool {
        true
    }
    /// Runs a slow command for at most `limit`; the error is its last line.
    fn install(&mut self, what: &str, command: &[String], limit: Duration) -> Result<(), String>;
}

/// Finds or installs what builds firmware for `target`.
pub fn firmware(system: &mut dyn System, target: &str) -> Result<Toolchain, Error> {
    let sysroot = system.ask(&["rustc", "--print", "sysroot"]).ok_or(Error::NoRust)?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
    let found = |source| Ok(Toolchain { target: target.to_owned(), source });
    if system.exists(&library) {
        return found(Source::Rustup);
    }
    if has_debian_rust(system) {
        return found(Source::Debian);
    }
    let apt = system.in_path("apt-get");
    if !system.may_install() {
        let rustup = system.in_path("rustup").then(|| format!("run: rustup target add {target}"));
        let debian = apt.then(|| format!("run: sudo apt-get install {}", DEBIAN_RUST.join(" ")));
        let remedy = [rustup, debian].into_iter().flatten().collect::<Vec<_>>().join("; or, without rustup, ");
        if remedy.is_empty() {
            return Err(Error::NoInstaller { target: target.to_owned() });
        }
        return Err(Error::NoTarget { target: target.to_owned(), remedy });
    }
    let mut reason = None;
    if system.in_path("rustup") {
        // Where there is a second way, a dead network must not cost much time.
        let limit = if apt { RUSTUP_LIMIT } else { RUSTUP_ONLY_LIMIT };
        let command = ["rustup", "target", "add", target].map(str::to_owned);
        match system.install(&format!("installing the Rust library for {target} with rustup"), &command, limit) {
            Ok(()) if system.exists(&library) => return found(Source::Rustup),
            Ok(()) => reason = Some(format!("it did not appear in {}", library.display())),
            Err(said) => reason = Some(said),
        }
    }
    if apt {
        install_with_apt(system, &format!("the Rust library for {target}"), &DEBIAN_RUST)?;
        if has_debian_rust(system) {
            return found(Source::Debian);
        }
    }
    match reason {
        Some(reason) => Err(Error::Rustup { target: target.to_owned(), reason }),
        None => Err(Error::NoInstaller { target: target.to_owned() }),
    }
}

/// Finds or installs what runs firmware: a program of QEMU, for example `qemu-system-arm`, or `node` for WebAssembly.
pub fn emulator(system: &mut dyn System, program: &str) -> Result<(), Error> {
    if system.in_path(program) {
        return Ok(());
    }
    // The name of the core's family in QEMU's program, and Debian's, Fedora's and Arch's packages.
    let core = program.trim_start_matches("qemu-system-");
    let (debian, fedora, arch) = match core {
        "node" => ("nodejs", "nodejs".to_owned(), "nodejs".to_owned()),
        "arm" | "aarch64" => ("qemu-system-arm", format!("{program}-core"), program.to_owned()),
        "riscv32" | "riscv64" => ("qemu-system-misc", "qemu-system-riscv-core".into(), "qemu-system-riscv".into()),
        _ => ("qemu-system-misc", format!("{program}-core"), program.to_owned()),
    };
    let apt = system.in_path("apt-get");
    if apt && system.may_install() {
        install_with_apt(system, program, &[debian])?;
        if system.in_path(program) {
            return Ok(());
        }
    }
    let node = program == "node";
    let remedy = if apt && !system.may_install() {
        format!("run: sudo apt-get install {debian}")
    } else if system.in_path("brew") {
        format!("run: brew install {}", if node { "node" } else { "qemu" })
    } else if system.in_path("dnf") {
        format!("run: sudo dnf install {fedora}")
    } else if system.in_path("pacman") {
        format!("run: sudo pacman -S {arch}")
    } else if node {
        "install Node.js from https://nodejs.org so that PATH finds it".to_owned()
    } else {
        "install QEMU from https://www.qemu.org so that PATH finds it".to_owned()
    };
    Err(Error::NoEmulator { program: program.to_owned(), remedy })
}

fn has_debian_rust(system: &dyn System) -> bool {
    DEBIAN_RUST_FILES.iter().all(|file| system.exists(Path::new(file)))
}

fn install_with_apt(system: &mut dyn System, what: &str, packages: &[&str]) -> Result<(), Error> {
    let root = system.ask(&["id", "-u"]).is_some_and(|id| id.trim() == "0");
    let prefix: &[&str] = if root {
        &[]
    } else if system.in_path("sudo") && system.ask(&["sudo", "-n", "true"]).is_some() {
        &["sudo", "-n"]
    } else {
        return Err(Error::NeedsRoot { what: what.to_owned(), packages: packages.join(" ") });
    };
    let command = |arguments: &[&str]| -> Vec<String> {
        prefix.iter().chain(&["apt-get"]).chain(arguments).map(|&word| word.to_owned()).collect()
    };
    let install = command(&[&["install", "-y", "--no-install-recommends"], packages].concat());
    let doing = format!("installing {} with apt-get", packages.join(" "));
    if system.install(&doing, &install, APT_LIMIT).is_ok() {
        return Ok(());
    }
    // A fresh machine has no package lists.
    let _ = system.install("updating apt's package lists", &command(&["update"]), APT_LIMIT);
    system.install(&doing, &install, APT_LIMIT).map_err(|reason| Error::Apt {
        what: what.to_owned(),
        reason,
        command: format!("sudo apt-get update && sudo apt-get install {}", packages.join(" ")),
    })
}

/// This computer, as it is: what is missing is an error that names the command that brings it.
pub struct Untouched;

impl System for Untouched {
    fn exists(&self, path: &Path) -> bool {
        Computer.exists(path)
    }

    fn in_path(&self, program: &str) -> bool {
        Computer.in_path(program)
    }

    fn ask(&self, command: &[&str]) -> Option<String> {
        Computer.ask(command)
    }

    fn may_install(&self) -> bool {
        false
    }

    fn install(&mut self, what: &str, _command: &[String], _limit: Duration) -> Result<(), String> {
        Err(format!("{what} is not wanted"))
    }
}

/// This computer, with leave to install what is missing.
pub struct Computer;

impl System for Computer {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn in_path(&self, program: &str) -> bool {
        shell::in_path(program)
    }

    fn ask(&self, command: &[&str]) -> Option<String> {
        shell::output(Command::new(command[0]).args(&command[1..])).ok()
    }

    fn install(&mut self, what: &str, command: &[String], limit: Duration) -> Result<(), String> {
        let mut command_line = Command::new(&command[0]);
        command_line.args(&command[1..]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        // The reason of a failure is its last line, not a frame of a backtrace.
        command_line.env_remove("RUST_BACKTRACE");
        shell::run_bounded(what, &mut command_line, limit)
    }
}

impl Toolchain {
    /// A cargo command that builds for the target, for example with `"build"`.
    pub fn cargo(&self, subcommand: &str) -> Command {
        self.cargo_with(subcommand, &[])
    }

    /// As [`cargo`](Self::cargo), with further flags for the compiler.
    pub fn cargo_with(&self, subcommand: &str, flags: &[String]) -> Command {
        let mut command = match self.source {
            Source::Rustup => {
                // RUSTUP_TOOLCHAIN stays: the target was looked for in that toolchain.
                let chosen = env::var_os("RUSTUP_TOOLCHAIN");
                let mut command = Command::new("cargo");
                shell::without_outer_cargo(&mut command);
                if let Some(toolchain) = chosen {
                    command.env("RUSTUP_TOOLCHAIN", toolchain);
                }
                command.arg(subcommand);
                command
            }
            Source::Debian => {
                let mut command = Command::new("/usr/bin/cargo");
                shell::without_outer_cargo(&mut command);
                let others = env::var_os("PATH").unwrap_or_default();
                let path = std::iter::once(PathBuf::from("/usr/bin")).chain(env::split_paths(&others));
                if let Ok(path) = env::join_paths(path) {
                    command.env("PATH", path);
                }
                // -Z build-std is unstable; the project's own code stays within stable Rust.
                command.env("RUSTC_BOOTSTRAP", "1").arg(subcommand).args(["-Z", "build-std=core"]);
                let variable = self.target.to_uppercase().replace(['-', '.'], "_");
                let linker = if self.target.starts_with("wasm") { "wasm-ld" } else { "ld.lld" };
                command.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
                command
            }
        };
        command.args(["--target", &self.target]);
        let flags = without_own_paths().into_iter().chain(flags.iter().cloned());
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\x1f"));
        command
    }
}

/// Compiler flags that shorten paths. They stand in the messages of panics, so that otherwise a program's size would
/// depend on where it was built.
fn without_own_paths() -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let registry = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo"))).map(|home| home.join("registry/src"));
    let remap = |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    [crate::checkout().map(|path| (path, "bareconv")), registry.map(|path| (path, "registry"))]
        .into_iter()
        .flatten()
        .map(remap)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const TARGET: &str = "thumbv7em-none-eabihf";
    const LIBRARY: &str = "/rust/lib/rustlib/thumbv7em-none-eabihf/lib";

    /// A computer in memory.
    #[derive(Default)]
    struct Fake {
        files: HashSet<String>,
        programs: Vec<&'static str>,
        root: bool,
        sudo_without_password: bool,
        rustup_works: bool,
        apt_has_lists: bool,
        apt_works: bool,
        untouched: bool,
        log: Vec<String>,
        limits: Vec<Duration>,
    }

    impl System for Fake {
        fn exists(&self, path: &Path) -> bool {
            self.files.contains(&path.display().to_string())
        }

        fn in_path(&self, program: &str) -> bool {
            self.programs.contains(&program)
        }

        fn ask(&self, command: &[&str]) -> Option<String> {
            match command {
                ["rustc", ..] => self.in_path("rustc").then(|| "/rust\n".to_owned()),
                ["id", "-u"] => Some(if self.root { "0\n" } else { "1000\n" }.to_owned()),
                ["sudo", "-n", "true"] => self.sudo_without_password.then(String::new),
                _ => panic!("unexpected question {command:?}"),
            }
        }

        fn may_install(&self) -> bool {
            !self.untouched
        }

        fn install(&mut self, _what: &str, command: &[String], limit: Duration) -> Result<(), String> {
            assert!(!self.untouched);
            let line = command.join(" ");
            self.log.push(line.clone());
            self.limits.push(limit);
            let line = line.trim_start_matches("sudo -n ");
            if line.starts_with("rustup") {
                if !self.rustup_works {
                    return Err("could not download file".to_owned());
                }
                self.files.insert(LIBRARY.to_owned());
            } else if line == "apt-get update" {
                self.apt_has_lists = true;
            } else if self.apt_has_lists && self.apt_works {
                if line.contains("rustc-web") {
                    self.files.extend(DEBIAN_RUST_FILES.map(str::to_owned));
                } else {
                    self.programs.push(if line.ends_with("nodejs") { "node" } else { "qemu-system-arm" });
                }
            } else {
                return Err("E: Unable to locate package".to_owned());
            }
            Ok(())
        }
    }

    fn fake(programs: &[&'static str]) -> Fake {
        Fake { programs: programs.to_vec(), ..Fake::default() }
    }

    fn source(system: &mut Fake) -> Source {
        firmware(system, TARGET).unwrap().source
    }

    #[test]
    fn an_installed_rustup_target_is_used_as_it_is() {
        let mut system = fake(&["rustc", "rustup", "apt-get"]);
        system.files.insert(LIBRARY.to_owned());
        system.files.extend(DEBIAN_RUST_FILES.map(str::to_owned));
        assert_eq!(source(&mut system), Source::Rustup);
        assert!(system.log.is_empty());
    }

    #[test]
    fn rustup_adds_a_missing_target_once() {
        let mut system = Fake { rustup_works: true, ..fake(&["rustc", "rustup", "apt-get"]) };
        assert_eq!(source(&mut system), Source::Rustup);
        assert_eq!(source(&mut system), Source::Rustup);
        assert_eq!(system.log, ["rustup target add thumbv7em-none-eabihf"]);
    }

    #[test]
    fn debian_serves_where_rustup_cannot_and_rustup_is_not_asked_again() {
        let mut system =
            Fake { root: true, apt_works: true, apt_has_lists: true, ..fake(&["rustc", "rustup", "apt-get"]) };
        assert_eq!(source(&mut system), Source::Debian);
        assert!(system.limits[0] <= Duration::from_secs(30), "a dead network costs little time");
        let install = "apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld";
        assert_eq!(system.log, ["rustup target add thumbv7em-none-eabihf", install]);
        assert_eq!(source(&mut system), Source::Debian);
        assert_eq!(system.log.len(), 2);
    }

    #[test]
    fn apt_runs_under_sudo_and_updates_its_lists_when_it_must() {
        let mut system = Fake { sudo_without_password: true, apt_works: true, ..fake(&["rustc", "apt-get", "sudo"]) };
        assert_eq!(source(&mut system), Source::Debian);
        let install = "sudo -n apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld";
        assert_eq!(system.log, [install, "sudo -n apt-get update", install]);
    }

    #[test]
    fn without_root_the_command_is_named_and_nothing_runs() {
        let mut system = fake(&["rustc", "apt-get", "sudo"]);
        let error = firmware(&mut system, TARGET).unwrap_err();
        assert!(matches!(error, Error::NeedsRoot { .. }));
        assert!(error.to_string().ends_with("run: sudo apt-get install rustc-web cargo-web rust-web-src lld"));
        assert!(system.log.is_empty());
    }

    #[test]
    fn without_apt_a_failed_rustup_is_reported() {
        let mut system = fake(&["rustc", "rustup"]);
        let error = firmware(&mut system, TARGET).unwrap_err().to_string();
        assert!(error.contains("could not download file") && error.contains("rustup target add thumbv7em"), "{error}");
    }

    #[test]
    fn without_any_installer_the_way_out_is_named() {
        let error = firmware(&mut fake(&["rustc"]), TARGET).unwrap_err();
        assert!(matches!(error, Error::NoInstaller { .. }));
        assert_eq!(firmware(&mut fake(&[]), TARGET), Err(Error::NoRust));
    }

    #[test]
    fn a_failing_apt_is_reported_with_its_reason() {
        let mut system = Fake { root: true, ..fake(&["rustc", "apt-get"]) };
        let error = firmware(&mut system, TARGET).unwrap_err().to_string();
        assert!(error.contains("E: Unable to locate package"), "{error}");
    }

    #[test]
    fn an_emulator_is_installed_once_or_its_command_named() {
        let mut system = Fake { root: true, apt_works: true, apt_has_lists: true, ..fake(&["apt-get"]) };
        assert_eq!(emulator(&mut system, "qemu-system-arm"), Ok(()));
        assert_eq!(emulator(&mut system, "qemu-system-arm"), Ok(()));
        assert_eq!(system.log.len(), 1);
        assert_eq!(emulator(&mut system, "node"), Ok(()));
        assert!(system.log[1].ends_with(" nodejs"), "{:?}", system.log);
        for (manager, program, command) in [
            ("brew", "qemu-system-riscv32", "brew install qemu"),
            ("brew", "node", "brew install node"),
            ("dnf", "qemu-system-arm", "sudo dnf install qemu-system-arm-core"),
            ("dnf", "qemu-system-riscv64", "sudo dnf install qemu-system-riscv-core"),
            ("pacman", "qemu-system-aarch64", "sudo pacman -S qemu-system-aarch64"),
            ("pacman", "node", "sudo pacman -S nodejs"),
        ] {
            let error = emulator(&mut fake(&[manager]), program).unwrap_err().to_string();
            assert!(error.ends_with(command), "{error}");
        }
    }

    #[test]
    fn an_untouched_computer_gets_commands_to_run() {
        let mut system = Fake { root: true, untouched: true, ..fake(&["rustc", "rustup", "apt-get"]) };
        let error = firmware(&mut system, TARGET).unwrap_err().to_string();
        assert!(error.contains("rustup target add thumbv7em-none-eabihf"), "{error}");
        assert!(error.ends_with("sudo apt-get install rustc-web cargo-web rust-web-src lld"), "{error}");
        let error = emulator(&mut system, "qemu-system-arm").unwrap_err().to_string();
        assert_eq!(error, "qemu-system-arm is missing; run: sudo apt-get install qemu-system-arm");
        let error = firmware(&mut Fake { untouched: true, ..fake(&["rustc"]) }, TARGET).unwrap_err();
        assert!(matches!(error, Error::NoInstaller { .. }));
    }
}
