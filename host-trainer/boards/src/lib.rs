//! Cores that firmware for `bareconv` runs on: what builds it, where its memory is, and what emulates them.
//!
//! A [`Board`] is a core and the machine it sits in. [`Toolchain`] finds, or installs, what builds for it; QEMU runs the
//! programs, and [`Board::emulate`] waits for them.

pub mod shell;
pub mod toolchain;

use crate::shell::display;
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
pub use toolchain::Toolchain;

/// A core, the machine it sits in, and what runs that.
#[derive(Debug)]
pub struct Board {
    /// The core's name.
    pub core: &'static str,
    /// Its name in tables and on the command line.
    pub short: &'static str,
    /// The backend that layers must run on there.
    pub backend: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// Flags of the compiler that say more about the core than the triple does.
    pub flags: &'static [&'static str],
    /// The backend is not chosen unless it is forced.
    pub forced: bool,
    /// The name of [`linker_script`](Self::linker_script): a file of the folder `memory`.
    pub memory: &'static str,
    /// The program that runs firmware: of QEMU, or `node`.
    pub emulator: &'static str,
    /// QEMU's arguments for the machine.
    pub machine: &'static [&'static str],
}

/// A Cortex-M0: the BBC micro:bit's, with more memory than it has.
pub const CORTEX_M0: Board = Board {
    core: "Cortex-M0",
    short: "m0",
    backend: "armv6m",
    target: "thumbv6m-none-eabi",
    flags: &[],
    forced: false,
    memory: "microbit",
    emulator: "qemu-system-arm",
    machine: &["-M", "microbit", "-global", "nrf51-soc.flash-size=4194304", "-global", "nrf51-soc.sram-size=4194304"],
};

/// Arm's MPS2 board with a Cortex-M3.
pub const CORTEX_M3: Board = Board {
    core: "Cortex-M3",
    short: "m3",
    backend: "armv7m",
    target: "thumbv7m-none-eabi",
    memory: "mps2",
    machine: &["-M", "mps2-an385"],
    ..CORTEX_M0
};

/// Arm's MPS2 board with a Cortex-M4.
pub const CORTEX_M4: Board = Board {
    core: "Cortex-M4",
    short: "m4",
    backend: "armv7em",
    target: "thumbv7em-none-eabihf",
    machine: &["-M", "mps2-an386"],
    ..CORTEX_M3
};

/// Arm's MPS2 board with a Cortex-M7.
pub const CORTEX_M7: Board = Board { core: "Cortex-M7", short: "m7", machine: &["-M", "mps2-an500"], ..CORTEX_M4 };

/// Arm's MPS2 board with a Cortex-M33 that has the DSP extension.
pub const CORTEX_M33: Board = Board {
    core: "Cortex-M33",
    short: "m33",
    target: "thumbv8m.main-none-eabihf",
    flags: &["-C", "target-cpu=cortex-m33"],
    memory: "mps2-an505",
    machine: &["-M", "mps2-an505"],
    ..CORTEX_M4
};

/// Arm's MPS3 board with a Cortex-M55.
pub const CORTEX_M55: Board = Board {
    core: "Cortex-M55",
    short: "m55",
    backend: "helium",
    flags: &[],
    forced: true,
    memory: "mps3-an547",
    machine: &["-M", "mps3-an547"],
    ..CORTEX_M33
};

/// A 32-bit RISC-V core without floating point.
pub const RV32: Board = Board {
    core: "RV32IMAC",
    short: "rv32",
    backend: "riscv",
    target: "riscv32imac-unknown-none-elf",
    flags: &[],
    forced: false,
    memory: "virt-riscv",
    emulator: "qemu-system-riscv32",
    machine: &["-M", "virt", "-bios", "none"],
};

/// A 64-bit RISC-V core with vectors.
pub const RV64: Board = Board {
    core: "RV64GCV",
    short: "rv64",
    backend: "rvv",
    forced: true,
    target: "riscv64gc-unknown-none-elf",
    emulator: "qemu-system-riscv64",
    machine: &["-M", "virt", "-cpu", "rv64,v=true,vlen=128,vext_spec=v1.0", "-bios", "none"],
    ..RV32
};

/// A 64-bit Arm core with the dot product extension.
pub const AARCH64: Board = Board {
    core: "AArch64",
    short: "a64",
    backend: "neon-dotprod",
    target: "aarch64-unknown-none",
    flags: &["-C", "target-feature=+dotprod"],
    forced: false,
    memory: "virt-aarch64",
    emulator: "qemu-system-aarch64",
    // Without a network card it needs no firmware of one, which is a package of its own.
    machine: &["-M", "virt", "-cpu", "max", "-nic", "none"],
};

/// The boards with a core of Arm's Cortex-M family.
pub const CORTEX_M: [&Board; 6] = [&CORTEX_M0, &CORTEX_M3, &CORTEX_M4, &CORTEX_M7, &CORTEX_M33, &CORTEX_M55];

/// The folder of the checkout that this crate was built in, if it is still there: not for a published version.
#[must_use]
pub fn checkout() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let library = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    library.contains("name = \"bareconv\"").then(|| folder.to_path_buf())
}

impl Board {
    /// QEMU's name of the machine, such as `mps2-an386`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.machine.get(1).copied().unwrap_or_default()
    }

    /// Where the machine's memory is, for the linker: of Cortex-M what `cortex-m-rt` includes as `memory.x`.
    #[must_use]
    pub fn linker_script(&self) -> &'static str {
        match self.memory {
            "microbit" => include_str!("../memory/microbit.x"),
            "mps2" => include_str!("../memory/mps2.x"),
            "mps2-an505" => include_str!("../memory/mps2-an505.x"),
            "mps3-an547" => include_str!("../memory/mps3-an547.x"),
            "virt-riscv" => include_str!("../memory/virt-riscv.x"),
            "virt-aarch64" => include_str!("../memory/virt-aarch64.x"),
            _ => "",
        }
    }

    /// Finds the toolchain and the emulator, or installs them if `installer` may.
    ///
    /// # Errors
    /// Where something is missing: what, and the command that brings it.
    pub fn set_up_by(&self, installer: &mut dyn toolchain::System) -> Result<Toolchain, toolchain::Error> {
        let toolchain = toolchain::firmware(installer, self.target)?;
        toolchain::emulator(installer, self.emulator)?;
        Ok(toolchain)
    }

    /// The compiler's flags that say more about the core than the target does, and that force a backend: the one given, or
    /// the core's where nothing else chooses it.
    #[must_use]
    pub fn rustflags(&self, backend: Option<&str>) -> Vec<String> {
        let mut flags: Vec<String> = self.flags.iter().map(|&flag| flag.to_owned()).collect();
        if let Some(backend) = backend.or(self.forced.then_some(self.backend)) {
            flags.extend(["--cfg".to_owned(), format!("bareconv_backend=\"{backend}\"")]);
        }
        flags
    }

    /// The command that starts a program in QEMU.
    ///
    /// # Errors
    /// Where an argument has blanks or commas, which semihosting cannot pass on.
    pub fn command(&self, program: &Program<'_>) -> Result<Command> {
        let mut semihosting = "enable=on,target=native,chardev=log".to_owned();
        if !program.arguments.is_empty() {
            // The first one stands for the program's name.
            for argument in [&["firmware"], program.arguments].concat() {
                ensure!(!argument.contains([' ', '\t', ',']), "firmware argument `{argument}` has blanks or commas");
                semihosting.push_str(&format!(",arg={argument}"));
            }
        }
        let mut qemu = Command::new(self.emulator);
        qemu.args(self.machine)
            .args(["-display", "none", "-monitor", "none", "-serial", "none"])
            .args(["-chardev", "stdio,id=log", "-semihosting-config", &semihosting])
            .arg("-kernel")
            .arg(program.elf);
        if let Some(plugin) = &program.plugin {
            qemu.args(["-plugin", plugin]);
        }
        Ok(qemu)
    }

    /// Runs a program in QEMU, in the folder `folder`, which the program's file names are relative to. `arguments` may not
    /// contain blanks. `tick` is called every few milliseconds.
    ///
    /// # Errors
    /// Where it cannot be started, or does not end in time.
    pub fn emulate(&self, program: &Program<'_>, tick: impl FnMut()) -> Result<Finished> {
        finish(self.command(program)?, program, tick)
    }
}

/// Runs the command that starts `program`, and waits for its end.
///
/// # Errors
/// Where it cannot be started, or does not end in time.
pub fn finish(mut command: Command, program: &Program<'_>, tick: impl FnMut()) -> Result<Finished> {
    command.current_dir(program.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", display(&command)))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = shell::wait(&mut child, program.limit, tick)?;
    let stdout = stdout.recv().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.recv().unwrap_or_default()).trim().to_owned();
    let status = status.with_context(|| {
        format!(
            "{} did not finish within {} s in {}; it printed: {}",
            program.elf.display(),
            program.limit.as_secs(),
            command.get_program().display(),
            String::from_utf8_lossy(&stdout).escape_debug(),
        )
    })?;
    Ok(Finished { status, stdout, stderr })
}

/// What to run in an emulator.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program.
    pub elf: &'a Path,
    /// Its semihosting arguments.
    pub arguments: &'a [&'a str],
    /// The folder that its file names are relative to.
    pub folder: &'a Path,
    /// QEMU's `-plugin` argument.
    pub plugin: Option<String>,
    /// It is ended after this time.
    pub limit: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What QEMU itself said.
    pub stderr: String,
}

/// Reads a pipe to its end on a thread, so that the writer never blocks.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_have_names_and_memory() {
        for board in CORTEX_M {
            assert!(board.linker_script().contains("FLASH"), "{}", board.core);
            assert!(board.machine.contains(&board.name()), "{}", board.core);
        }
        assert_eq!(CORTEX_M4.name(), "mps2-an386");
        assert_eq!(CORTEX_M55.rustflags(None), ["--cfg", "bareconv_backend=\"helium\""]);
        assert_eq!(CORTEX_M4.rustflags(None), [""; 0]);
    }

    #[test]
    fn this_is_a_checkout() {
        assert!(checkout().is_some_and(|folder| folder.join("host-trainer/boards/src/lib.rs").is_file()));
    }
}
