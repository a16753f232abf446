//! The cores that firmware runs on, what it takes to build for them, and how to run a program there.

use crate::shell;
use crate::toolchain::{self, Toolchain};
use anyhow::{Context, Result, bail, ensure};
use defmt_decoder::{DecodeError, Table};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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
    /// The linker script: a file of `examples/machine/memory`.
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
    machine: &["-M", "virt", "-cpu", "max"],
};

/// WebAssembly without extensions.
pub const WASM: Board = Board {
    core: "WebAssembly",
    short: "wasm",
    backend: "portable",
    target: "wasm32-unknown-unknown",
    flags: &[],
    forced: false,
    memory: "",
    emulator: "node",
    machine: &[],
};

/// WebAssembly with vectors of 128 bits.
pub const WASM_SIMD: Board = Board {
    core: "WebAssembly, SIMD",
    short: "wasm128",
    backend: "simd128",
    flags: &["-C", "target-feature=+simd128"],
    ..WASM
};

/// The cores that the conformance cases run on.
pub const ALL: [&Board; 11] = [
    &CORTEX_M0,
    &CORTEX_M3,
    &CORTEX_M4,
    &CORTEX_M7,
    &CORTEX_M33,
    &CORTEX_M55,
    &RV32,
    &RV64,
    &AARCH64,
    &WASM,
    &WASM_SIMD,
];

impl Board {
    /// Finds or installs the toolchain and the emulator.
    pub fn set_up(&self) -> Result<Toolchain> {
        let toolchain = toolchain::firmware(&mut toolchain::Computer, self.target)?;
        toolchain::emulator(&mut toolchain::Computer, self.emulator)?;
        Ok(toolchain)
    }

    /// Whether a plugin of the emulator counts instructions.
    pub fn counts(&self) -> bool {
        self.emulator != "node"
    }

    /// A cargo command for this core, with the crate `machine` prepared for it.
    pub fn cargo(&self, toolchain: &Toolchain, backend: Option<&str>) -> Command {
        let choice =
            backend.or(self.forced.then_some(self.backend)).map(|backend| format!("bareconv_backend=\"{backend}\""));
        let mut flags = self.flags.to_vec();
        flags.extend(choice.iter().flat_map(|choice| ["--cfg", choice]));
        let mut cargo = toolchain.cargo_with("build", &flags);
        cargo.env("BARECONV_MACHINE", self.memory);
        cargo
    }

    /// Builds the program `bin` of the example `example`, on `backend` or on the one that the target has.
    pub fn build(&self, toolchain: &Toolchain, example: &str, bin: &str, backend: Option<&str>) -> Result<PathBuf> {
        self.build_features(toolchain, [example, bin], "", backend)
    }

    /// As [`build`](Self::build), with features of the example.
    pub fn build_features(
        &self,
        toolchain: &Toolchain,
        [example, bin]: [&str; 2],
        features: &str,
        backend: Option<&str>,
    ) -> Result<PathBuf> {
        // A folder for each core and backend whose flags differ, or the second program would replace the first.
        let mut folder = "firmware".to_owned();
        if !self.flags.is_empty() || self.forced {
            folder = format!("{folder}-{}", self.short);
        }
        let mut folder = backend.map_or(folder.clone(), |backend| format!("{folder}-{backend}"));
        if !features.is_empty() {
            folder = format!("{folder}-{features}");
        }
        let mut cargo = self.cargo(toolchain, backend);
        cargo.args(["--bin", bin, "--features", features]);
        self.build_with(example, bin, cargo, &folder)
    }

    /// Builds an example with a given command, in `folder` of the target folder.
    pub fn build_with(&self, example: &str, bin: &str, mut cargo: Command, folder: &str) -> Result<PathBuf> {
        let target_dir = shell::target_dir()?.join(folder);
        cargo.args(["--release", "--quiet", "--target-dir"]).arg(&target_dir);
        cargo.current_dir(shell::workspace().join("examples").join(example));
        shell::run(&mut cargo).with_context(|| format!("the firmware `{bin}` does not build for {}", self.core))?;
        let suffix = if self.emulator == "node" { ".wasm" } else { "" };
        let program = target_dir.join(self.target).join("release").join(format!("{bin}{suffix}"));
        ensure!(program.is_file(), "cargo built no {}", program.display());
        Ok(program)
    }

    /// The command that starts a program.
    fn command(&self, program: &Program<'_>) -> Result<Command> {
        if self.emulator == "node" {
            let mut node = Command::new(self.emulator);
            node.arg(shell::workspace().join("examples/machine/run-wasm.mjs")).arg(program.elf);
            return Ok(node);
        }
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

    /// Runs a program in the emulator, in the folder `folder`, which the program's file names are relative to.
    /// `arguments` may not contain blanks. `tick` is called every few milliseconds.
    pub fn run(&self, program: &Program<'_>, tick: impl FnMut()) -> Result<Outcome> {
        let table = if self.emulator == "node" {
            None
        } else {
            let elf_bytes = fs::read(program.elf).with_context(|| format!("cannot read {}", program.elf.display()))?;
            Table::parse(&elf_bytes)
                .with_context(|| format!("the defmt table of {} does not fit this decoder", program.elf.display()))?
        };
        let mut command = self.command(program)?;
        command.current_dir(program.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.emulator))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let status = shell::wait(&mut child, program.limit, tick)?;
        let bytes = stdout.recv().unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr.recv().unwrap_or_default()).trim().to_owned();
        let lines = match &table {
            Some(table) => decode(table, &bytes)?,
            None => String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect(),
        };
        let Some(status) = status else {
            bail!(
                "{} did not finish within {} s in {}; its log: {lines:?}",
                program.elf.display(),
                program.limit.as_secs(),
                self.emulator
            );
        };
        Ok(Outcome { status, lines, stderr })
    }
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

/// What a program did.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its log, decoded.
    pub lines: Vec<String>,
    /// What QEMU itself said.
    pub stderr: String,
}

impl Outcome {
    /// Fails, with the log, unless the program succeeded.
    pub fn success(self) -> Result<Self> {
        if !self.status.success() {
            let said = self.lines.iter().chain(Some(&self.stderr).filter(|s| !s.is_empty()));
            bail!(
                "the firmware ended with {}; it logged:\n  {}",
                self.status,
                said.map(String::as_str).collect::<Vec<_>>().join("\n  ")
            );
        }
        Ok(self)
    }

    /// The value of the field `name=value` in the log.
    pub fn field<T: FromStr>(&self, name: &str) -> Result<T> {
        self.lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .filter_map(|word| word.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse().ok())
            .with_context(|| format!("the firmware's log has no field `{name}`: {:?}", self.lines))
    }
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

fn decode(table: &Table, bytes: &[u8]) -> Result<Vec<String>> {
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let level = frame.level().map_or("", |level| level.as_str());
                lines.push(format!("{level:5} {}", frame.display_message()));
            }
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => bail!("the firmware's log is damaged after {lines:?}"),
        }
    }
}
