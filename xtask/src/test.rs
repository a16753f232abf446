//! `cargo xtask test`: every test there is.

use crate::firmware::{CORTEX_M4, Program};
use crate::{cycles, lenet, shell};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const INPUT_BYTES: usize = 28 * 28;

/// Runs all steps, also after one that failed, and prints what became of each. `false` if one failed.
pub fn run() -> Result<bool> {
    let mut steps = Steps::default();
    let target_dir = shell::target_dir()?;
    let host = |arguments: &[&str]| {
        let mut cargo = shell::host_cargo();
        cargo.args(arguments).arg("--target-dir").arg(&target_dir);
        cargo
    };
    let toolchain = steps.step("set-up", || CORTEX_M4.set_up());

    // These commands have a profile of their own, as nothing in them is worth optimizing.
    steps.command("tests of the workspace", &mut host(&["test", "--workspace", "--exclude", "xtask", "--quiet"]));
    steps.command("tests of xtask", &mut host(&["test", "--package", "xtask", "--profile", "xtask", "--quiet"]));
    // The workspace's tests run with the features its crates ask for; these are the others.
    steps.command("bareconv without features", &mut host(&["test", "--package", "bareconv", "--quiet"]));
    for features in ["std", "defmt", "std,defmt"] {
        let mut check = host(&["check", "--package", "bareconv", "--quiet", "--features", features]);
        steps.command(&format!("bareconv with {features}"), &mut check);
    }
    let mut portable = host(&["test", "--package", "bareconv", "--quiet", "--features", "std"]);
    portable.env("RUSTFLAGS", "--cfg bareconv_backend=\"portable\"");
    steps.command("bareconv, portable backend", &mut portable);

    let Some(toolchain) = toolchain else {
        steps.fail("firmware tests", "there is no toolchain for the firmware");
        return Ok(steps.report());
    };
    for features in ["", "defmt"] {
        let mut cargo = toolchain.cargo("build");
        cargo.args(["--release", "--quiet", "--package", "bareconv", "--features", features]);
        cargo.arg("--target-dir").arg(target_dir.join("firmware")).current_dir(shell::workspace());
        let name = if features.is_empty() { "no features" } else { features };
        steps.command(&format!("bareconv for {} with {name}", CORTEX_M4.target), &mut cargo);
    }
    if let Some(elf) = steps.step("firmware builds", || CORTEX_M4.build(&toolchain, None)) {
        steps.step("firmware classifies its digits", || classify(&elf));
        steps.step("firmware == PC, every byte", || verify(&elf));
        steps.step("firmware refuses a cut file", || refuse_cut_inputs(&elf));
        steps.step("profiler counts an inference", || {
            let (profile, outcome) = cycles::profile(&CORTEX_M4, &elf, &["profile"])?;
            let stack: u64 = outcome.field("stack_bytes")?;
            // No instruction takes less than a cycle, and no Cortex-M4 instruction more than 17.
            ensure!((profile.instructions..17 * profile.instructions).contains(&profile.cycles), "{profile:?}");
            ensure!((8..65_536).contains(&stack), "a stack of {stack} bytes");
            Ok(())
        });
    }
    Ok(steps.report())
}

fn program<'a>(elf: &'a Path, arguments: &'a [&'a str], folder: &'a Path) -> Program<'a> {
    Program { elf, arguments, folder, plugin: None, limit: Duration::from_secs(300) }
}

fn classify(elf: &Path) -> Result<()> {
    let outcome = CORTEX_M4.run(&program(elf, &[], Path::new(".")), || ())?.success()?;
    let (count, wrong): (u32, u32) = (outcome.field("count")?, outcome.field("wrong")?);
    ensure!(count == 10 && wrong == 0, "{wrong} of {count} sample digits came out wrong");
    Ok(())
}

/// A folder for the files of one test.
fn test_folder(name: &str) -> Result<PathBuf> {
    let folder = shell::target_dir()?.join("xtask-test").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Runs real digits, noise and extreme pictures through the same network on the PC and in the emulator.
fn verify(elf: &Path) -> Result<()> {
    let folder = test_folder("verify")?;
    let samples = shell::workspace().join("examples/lenet/digits.u8");
    let samples = fs::read(&samples).with_context(|| format!("cannot read {}", samples.display()))?;
    let mut inputs: Vec<u8> =
        samples.chunks(1 + INPUT_BYTES).flat_map(|digit| digit[1..].iter().map(|pixel| pixel ^ 0x80)).collect();
    inputs.extend([[0x80; INPUT_BYTES], [0x7F; INPUT_BYTES], [0; INPUT_BYTES]].as_flattened());
    // Marsaglia's xorshift32; any noise will do.
    let mut state = 2_463_534_242_u32;
    inputs.extend((0..200 * INPUT_BYTES).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    }));
    let images = inputs.len() / INPUT_BYTES;
    fs::write(folder.join("inputs.i8"), &inputs)?;

    let mut cargo = shell::host_cargo();
    cargo.args(["run", "--release", "--quiet", "--target-dir"]).arg(shell::target_dir()?);
    cargo.arg("--manifest-path").arg(shell::workspace().join("examples/host/Cargo.toml"));
    cargo.args(["--", "inputs.i8", "host.i8"]).current_dir(&folder);
    shell::output(&mut cargo)?;
    lenet::run_pictures(&CORTEX_M4, elf, &folder, "inputs.i8", "firmware.i8", images)?;

    let (host, firmware) = (fs::read(folder.join("host.i8"))?, fs::read(folder.join("firmware.i8"))?);
    let verification = lenet::compare(&host, &firmware, images)?;
    ensure!(verification.differing_bytes == 0, "{verification:?}");
    ensure!(host.chunks(10).any(|output| output != &host[..10]), "the network gives one answer to every picture");
    Ok(())
}

/// A file that is not a whole number of pictures is an error, not a shorter answer.
fn refuse_cut_inputs(elf: &Path) -> Result<()> {
    let folder = test_folder("cut")?;
    fs::write(folder.join("inputs.i8"), vec![0; 2 * INPUT_BYTES - 1])?;
    let outcome = CORTEX_M4.run(&program(elf, &["verify", "inputs.i8", "outputs.i8"], &folder), || ())?;
    ensure!(!outcome.status.success(), "it ended well: {:?}", outcome.lines);
    ensure!(outcome.lines.iter().any(|line| line.contains("CutInputs")), "it did not say why: {:?}", outcome.lines);
    Ok(())
}

/// What became of the steps.
#[derive(Default)]
struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    fn step<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        eprintln!("== {name}");
        let start = Instant::now();
        let result = step();
        self.done.push((name.to_owned(), start.elapsed(), result.is_ok()));
        result.inspect_err(|error| eprintln!("{name}: {error:#}")).ok()
    }

    fn command(&mut self, name: &str, command: &mut Command) {
        self.step(name, || shell::run(command));
    }

    fn fail(&mut self, name: &str, reason: &str) {
        self.step(name, || -> Result<()> { anyhow::bail!("{reason}") });
    }

    /// One line for each step and one for all.
    fn report(&self) -> bool {
        println!();
        for (name, time, passed) in &self.done {
            println!("{:>7.1} s  {}  {name}", time.as_secs_f64(), if *passed { "ok    " } else { "FAILED" });
        }
        let failed = self.done.iter().filter(|step| !step.2).count();
        println!("{} passed, {failed} failed", self.done.len() - failed);
        failed == 0
    }
}
