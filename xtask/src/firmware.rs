//! Builds firmware, runs it in QEMU, decodes its log, and measures its size.

use crate::shell;
use crate::toolchain::{self, Toolchain};
use anyhow::{Context, Result, bail, ensure};
use defmt_decoder::{DecodeError, Table};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A machine that firmware runs on, and what emulates it.
#[derive(Debug)]
pub struct Board {
    /// The folder of the LeNet firmware under `examples/`, which is the crate's and the program's name as well.
    pub name: &'static str,
    /// The core's name.
    pub core: &'static str,
    /// The backend that layers must run on there.
    pub backend: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// The QEMU program.
    pub emulator: &'static str,
    /// QEMU's name of the machine; `examples/conformance/memory` says what memory it has.
    pub machine: &'static str,
}

/// Arm's MPS2 board with a Cortex-M4.
pub const CORTEX_M4: Board = Board {
    name: "qemu-mps2-an386",
    core: "Cortex-M4",
    backend: "armv7em",
    target: "thumbv7em-none-eabihf",
    emulator: "qemu-system-arm",
    machine: "mps2-an386",
};

/// The boards whose core runs the conformance cases.
pub const CONFORMANCE: [&Board; 1] = [&CORTEX_M4];

impl Board {
    /// Finds or installs the toolchain and the emulator.
    pub fn set_up(&self) -> Result<Toolchain> {
        let toolchain = toolchain::firmware(&mut toolchain::Computer, self.target)?;
        toolchain::qemu(&mut toolchain::Computer, self.emulator)?;
        Ok(toolchain)
    }

    /// Builds the firmware with the exported network `model`, or with the one kept among the examples.
    pub fn build(&self, toolchain: &Toolchain, model: Option<&Path>) -> Result<PathBuf> {
        let mut cargo = toolchain.cargo("build");
        cargo.env("DEFMT_LOG", "info").env_remove("BARECONV_MODEL");
        if let Some(model) = model {
            cargo.env("BARECONV_MODEL", model);
        }
        self.build_example(self.name, cargo, "firmware")
    }

    /// Builds the conformance cases, on `backend` or on the one that the target has.
    pub fn build_conformance(&self, toolchain: &Toolchain, backend: Option<&str>) -> Result<PathBuf> {
        let choice = backend.map(|backend| format!("bareconv_backend=\"{backend}\""));
        let flags = choice.as_deref().map_or(vec![], |choice| vec!["--cfg", choice]);
        let mut cargo = toolchain.cargo_with("build", &flags);
        cargo.env("BARECONV_MACHINE", self.machine);
        // A folder for each backend, or the second program would replace the first.
        self.build_example("conformance", cargo, &backend.map_or("firmware".into(), |b| format!("firmware-{b}")))
    }

    /// Builds the example `name` in `folder` of the target folder.
    fn build_example(&self, name: &str, mut cargo: Command, folder: &str) -> Result<PathBuf> {
        let target_dir = shell::target_dir()?.join(folder);
        cargo.args(["--release", "--quiet", "--target-dir"]).arg(&target_dir);
        cargo.current_dir(shell::workspace().join("examples").join(name));
        shell::run(&mut cargo).with_context(|| format!("the firmware `{name}` does not build"))?;
        let elf = target_dir.join(self.target).join("release").join(name);
        ensure!(elf.is_file(), "cargo built no {}", elf.display());
        Ok(elf)
    }

    /// Runs a program in the emulator, in the folder `folder`, which the program's file names are relative to.
    /// `arguments` may not contain blanks. `tick` is called every few milliseconds.
    pub fn run(&self, program: &Program<'_>, tick: impl FnMut()) -> Result<Outcome> {
        let elf_bytes = fs::read(program.elf).with_context(|| format!("cannot read {}", program.elf.display()))?;
        let table = Table::parse(&elf_bytes)
            .with_context(|| format!("the defmt table of {} does not fit this decoder", program.elf.display()))?;

        let mut semihosting = "enable=on,target=native,chardev=log".to_owned();
        if !program.arguments.is_empty() {
            // The first one stands for the program's name.
            for argument in [&["firmware"], program.arguments].concat() {
                ensure!(!argument.contains([' ', '\t', ',']), "firmware argument `{argument}` has blanks or commas");
                semihosting.push_str(&format!(",arg={argument}"));
            }
        }
        let mut qemu = Command::new(self.emulator);
        qemu.args(["-M", self.machine, "-display", "none", "-monitor", "none", "-serial", "none"])
            .args(["-chardev", "stdio,id=log", "-semihosting-config", &semihosting])
            .arg("-kernel")
            .arg(program.elf)
            .current_dir(program.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(plugin) = &program.plugin {
            qemu.args(["-plugin", plugin]);
        }
        let mut child = qemu.spawn().with_context(|| format!("cannot start {}", self.emulator))?;
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

/// The bytes a program occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Everything loaded into flash, initial values of variables included, sample pictures excluded.
    pub flash: u64,
    /// The embedded sample pictures, which only serve the demonstration.
    pub samples: u64,
    /// Variables, zeroed or not.
    pub ram_static: u64,
}

/// Measures a program file.
pub fn sizes(elf: &Path) -> Result<Sizes> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", elf.display()))?;
    let loaded: u64 = file.segments().map(|segment| segment.file_range().1).sum();
    let samples = file.symbols().filter(|s| s.name() == Ok("SAMPLE_DIGITS")).map(|s| s.size()).sum();
    let variables = file.sections().filter(|s| matches!(s.name(), Ok(".data" | ".bss" | ".uninit")));
    Ok(Sizes { flash: loaded - samples, samples, ram_static: variables.map(|s| s.size()).sum() })
}

/// How many bytes a growing file has.
pub fn length(path: &Path) -> u64 {
    File::open(path).and_then(|f| f.metadata()).map_or(0, |m| m.len())
}
