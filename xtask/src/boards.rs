//! The cores that the examples' programs run on: building them, running them and reading what they log.

use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use bareconv_boards::toolchain::Computer;
pub use bareconv_boards::{
    AARCH64, Board, CORTEX_M0, CORTEX_M3, CORTEX_M4, CORTEX_M7, CORTEX_M33, CORTEX_M55, Finished, Program, RV32, RV64,
    Toolchain,
};
use defmt_decoder::{DecodeError, Table};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::str::FromStr;

/// What runs WebAssembly.
const NODE: &str = "node";

/// WebAssembly without extensions.
pub const WASM: Board = Board {
    core: "WebAssembly",
    short: "wasm",
    backend: "portable",
    target: "wasm32-unknown-unknown",
    flags: &[],
    forced: false,
    memory: "",
    emulator: NODE,
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

/// What the examples need of a core.
pub trait Examples {
    /// Finds or installs the toolchain and the emulator.
    fn set_up(&self) -> Result<Toolchain>;

    /// Whether a plugin of the emulator counts instructions.
    fn counts(&self) -> bool;

    /// A cargo command for this core, with the crate `machine` prepared for it.
    fn cargo(&self, toolchain: &Toolchain, backend: Option<&str>) -> Command;

    /// Builds the program `bin` of the example `example`, on `backend` or on the one that the target has.
    fn build(&self, toolchain: &Toolchain, example: &str, bin: &str, backend: Option<&str>) -> Result<PathBuf> {
        self.build_features(toolchain, [example, bin], "", backend)
    }

    /// As [`build`](Self::build), with features of the example.
    fn build_features(
        &self,
        toolchain: &Toolchain,
        example_and_bin: [&str; 2],
        features: &str,
        backend: Option<&str>,
    ) -> Result<PathBuf>;

    /// Builds an example with a given command, in `folder` of the target folder.
    fn build_with(&self, example: &str, bin: &str, cargo: Command, folder: &str) -> Result<PathBuf>;

    /// Runs a program in the emulator, in the folder `folder`, which the program's file names are relative to.
    /// `arguments` may not contain blanks. `tick` is called every few milliseconds.
    fn run(&self, program: &Program<'_>, tick: impl FnMut()) -> Result<Outcome>;
}

impl Examples for Board {
    fn set_up(&self) -> Result<Toolchain> {
        Ok(self.set_up_by(&mut Computer)?)
    }

    fn counts(&self) -> bool {
        self.emulator != NODE
    }

    fn cargo(&self, toolchain: &Toolchain, backend: Option<&str>) -> Command {
        let mut cargo = toolchain.cargo_with("build", &self.rustflags(backend));
        cargo.env("BARECONV_MACHINE", self.memory);
        cargo
    }

    fn build_features(
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

    fn build_with(&self, example: &str, bin: &str, mut cargo: Command, folder: &str) -> Result<PathBuf> {
        let target_dir = shell::target_dir()?.join(folder);
        cargo.args(["--release", "--quiet", "--target-dir"]).arg(&target_dir);
        cargo.current_dir(shell::workspace().join("examples").join(example));
        shell::run(&mut cargo).with_context(|| format!("the firmware `{bin}` does not build for {}", self.core))?;
        let suffix = if self.emulator == NODE { ".wasm" } else { "" };
        let program = target_dir.join(self.target).join("release").join(format!("{bin}{suffix}"));
        ensure!(program.is_file(), "cargo built no {}", program.display());
        Ok(program)
    }

    fn run(&self, program: &Program<'_>, tick: impl FnMut()) -> Result<Outcome> {
        if self.emulator == NODE {
            let mut node = Command::new(NODE);
            node.arg(shell::workspace().join("examples/machine/run-wasm.mjs")).arg(program.elf);
            let Finished { status, stdout, stderr } = bareconv_boards::finish(node, program, tick)?;
            let lines = String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect();
            return Ok(Outcome { status, lines, stderr });
        }
        let elf_bytes = fs::read(program.elf).with_context(|| format!("cannot read {}", program.elf.display()))?;
        let table = Table::parse(&elf_bytes)
            .with_context(|| format!("the defmt table of {} does not fit this decoder", program.elf.display()))?;
        let Finished { status, stdout, stderr } = self.emulate(program, tick)?;
        let lines = match &table {
            Some(table) => decode(table, &stdout)?,
            None => String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect(),
        };
        Ok(Outcome { status, lines, stderr })
    }
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
