//! `cargo xtask test`: every test there is.

use crate::boards::{self, CORTEX_M4, Examples, Program};
use crate::conformance::{self, Host, Report};
use crate::cycles;
use crate::firmware;
use crate::image::Image;
use crate::imported;
use crate::measure;
use crate::simd::Kind;
use crate::{lenet, shell};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INPUT_BYTES: usize = 28 * 28;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Write the conformance results here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave Miri out; it needs a nightly toolchain of rustup's.
    #[arg(long)]
    without_miri: bool,
}

/// Runs all steps, also after one that failed, and prints what became of each. `false` if one failed.
pub fn run(options: &Options) -> Result<bool> {
    let mut steps = Steps::default();
    let target_dir = shell::target_dir()?;
    let host = |arguments: &[&str]| {
        let mut cargo = shell::host_cargo();
        cargo.args(arguments).arg("--target-dir").arg(&target_dir);
        cargo
    };
    let toolchain = steps.step("set-up", || CORTEX_M4.set_up());

    // These commands have a profile of their own, as nothing in them is worth optimizing.
    steps.command(
        "tests of the workspace",
        &mut host(&[
            "test",
            "--workspace",
            "--exclude",
            "xtask",
            "--features",
            "bareconv/micromath",
            "--quiet",
            "--no-fail-fast",
        ]),
    );
    steps.command("tests of xtask", &mut host(&["test", "--package", "xtask", "--profile", "xtask", "--quiet"]));
    // The workspace's tests run with the features its crates ask for; these are the others.
    for features in ["", "std", "defmt", "std,defmt,micromath"] {
        let mut check = host(&["check", "--package", "bareconv", "--quiet", "--features", features]);
        let name = if features.is_empty() { "no features" } else { features };
        steps.command(&format!("bareconv with {name}"), &mut check);
    }
    steps.step("a backend the target lacks does not compile", refuse_backend);
    let mut reports = Vec::new();
    let pc = steps.step("conformance on the PC", || Host::Detected.run());
    reports.extend(pc.clone());
    for (host, name) in [(Host::WithoutStd, "without std"), (Host::Portable, "portable backend")] {
        reports.extend(steps.step(&format!("conformance on the PC, {name}"), || {
            let report = host.run()?;
            report.check_same_bits(pc.as_ref().context("there are no results to compare with")?)?;
            Ok(report)
        }));
    }

    if options.without_miri {
        eprintln!("== Miri is left out, as asked for");
    } else {
        steps.step("Miri: the portable kernels have no undefined behaviour", miri);
    }
    let Some(toolchain) = toolchain else {
        steps.fail("firmware tests", "there is no toolchain for the firmware");
        return Ok(steps.report(&reports));
    };
    let mut tables = String::new();
    for board in measure::NO_PANIC {
        let name = format!("no layer can panic on {}", board.core);
        steps.step(&name, || measure::no_panic(board));
    }
    let growths: Vec<_> = measure::GROWTH
        .into_iter()
        .filter_map(|board| {
            steps.step(&format!("code of another convolution on {}", board.core), || measure::growth(board))
        })
        .collect();
    if let Some(stacks) = steps.step("stack of every layer", measure::stacks) {
        tables.push_str(&measure::stack_table(&stacks));
        tables.push('\n');
    }
    tables.push_str(&measure::growth_table(&growths));
    for features in ["", "defmt"] {
        let mut cargo = toolchain.cargo("build");
        cargo.args(["--release", "--quiet", "--package", "bareconv", "--features", features]);
        cargo.arg("--target-dir").arg(target_dir.join("firmware")).current_dir(shell::workspace());
        let name = if features.is_empty() { "no features" } else { features };
        steps.command(&format!("bareconv for {} with {name}", CORTEX_M4.target), &mut cargo);
    }
    if let Some(elf) = steps.step("firmware builds", || firmware::build(&toolchain, None)) {
        steps.step("firmware classifies its digits", || classify(&elf));
        steps.step("firmware == PC, every byte", || verify(&elf));
        steps.step("firmware refuses a cut file", || refuse_cut_inputs(&elf));
        steps.step("inference has no panics", || no_panics(&elf));
        steps.step("profiler counts an inference, by SIMD", || profile(&elf));
    }
    steps.step("imported networks on the PC and the Cortex-M4 == TensorFlow Lite Micro", imported::verify);
    steps.step("a build script imports a network", imported::build_script);
    steps.step("new firmware of six boards builds and gives the PC's outputs", imported::new_firmware);
    for board in boards::ALL {
        for forced in [None, Some("portable")] {
            // The cores left out have the code of a Cortex-M4, or no other backend.
            if forced.is_some() && !["m4", "m55", "rv64", "a64", "wasm128"].contains(&board.short) {
                continue;
            }
            let backend = forced.unwrap_or(board.backend);
            let name = format!("conformance on {}, {backend} == PC", board.core);
            reports.extend(steps.step(&name, || {
                let pc = pc.as_ref().context("there are no results of the PC to compare with")?;
                conformance::on_core(board, forced, pc)
            }));
        }
    }
    println!("\n{tables}");
    if let Some(path) = &options.json {
        shell::write_whole(path, conformance::to_json(&reports).as_bytes())?;
    }
    Ok(steps.report(&reports))
}

/// Runs tests of the portable kernels under Miri, which finds undefined behaviour that no result shows.
fn miri() -> Result<()> {
    let nightly = shell::output(Command::new("rustup").args(["run", "nightly", "cargo", "miri", "--version"]));
    if nightly.is_err() {
        let limit = Duration::from_secs(300);
        let mut install = Command::new("rustup");
        install
            .args(["toolchain", "install", "nightly", "--profile", "minimal"])
            .args(["-c", "miri", "-c", "rust-src"]);
        shell::run_bounded("installing Miri with rustup", &mut install, limit).map_err(|reason| {
            anyhow::anyhow!(
                "Miri needs rustup's nightly toolchain ({reason}); run: rustup toolchain install nightly -c miri -c \
                 rust-src, or leave it out with: cargo xtask test --without-miri"
            )
        })?;
    }
    let mut cargo = Command::new("rustup");
    shell::without_outer_cargo(&mut cargo);
    cargo.args(["run", "nightly", "cargo", "miri", "test", "--quiet", "--package", "bareconv", "--test", "miri"]);
    cargo.arg("--target-dir").arg(shell::target_dir()?.join("miri")).current_dir(shell::workspace());
    cargo.env("RUSTFLAGS", "--cfg bareconv_backend=\"portable\"");
    shell::run(&mut cargo)
}

/// The backend of another core is a compile error that says what it needs.
fn refuse_backend() -> Result<()> {
    let mut cargo = shell::host_cargo();
    cargo.args(["rustc", "--package", "bareconv", "--lib", "--quiet", "--profile", "xtask", "--target-dir"]);
    cargo.arg(shell::target_dir()?).args(["--", "--cfg", "bareconv_backend=\"armv7em\""]);
    let output = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "a PC compiled the backend of an Arm core");
    let expected = "bareconv_backend=\"armv7em\" needs a target with the DSP extension";
    ensure!(said.replace('\\', "").contains(expected), "the compiler did not say `{expected}`, but:\n{said}");
    Ok(())
}

/// No function of the library, nor the network inlined into `main`, calls what ends in a panic.
fn no_panics(elf: &Path) -> Result<()> {
    let callers = Image::read(elf)?.functions_that_panic();
    // What logs and writes files may panic; without any caller the search would have found nothing at all.
    ensure!(!callers.is_empty(), "not a single call of a panic was recognized in {}", elf.display());
    let ours: Vec<_> = callers.iter().filter(|name| !name.starts_with("core::") && is_inference(name)).collect();
    ensure!(ours.is_empty(), "these functions can panic: {ours:?}");
    Ok(())
}

fn is_inference(function: &str) -> bool {
    ["bareconv::", "qemu_mps2_an386::", "main"].iter().any(|part| function.contains(part))
}

/// Counts an inference; every product of it must have come from SMLAD, which multiplies two pairs.
fn profile(elf: &Path) -> Result<()> {
    let (profile, outcome) = cycles::profile(&CORTEX_M4, elf, &["profile"])?;
    let stack: u64 = outcome.field("stack_bytes")?;
    // No instruction takes less than a cycle, and no Cortex-M4 instruction more than 17.
    ensure!((profile.instructions..17 * profile.instructions).contains(&profile.cycles), "{profile:?}");
    ensure!((8..65_536).contains(&stack), "a stack of {stack} bytes");
    let macs: u64 = outcome.field("macs")?;
    let simd = profile.simd.of(Kind::Smlad);
    ensure!(2 * simd >= macs, "{macs} multiply-accumulates, but SMLAD ran only {simd} times");
    Ok(())
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

    /// The results of the conformance cases, one line for each step and one for all.
    fn report(&self, conformance: &[Report]) -> bool {
        println!("\n{}", conformance::table(conformance));
        for (name, time, passed) in &self.done {
            println!("{:>7.1} s  {}  {name}", time.as_secs_f64(), if *passed { "ok    " } else { "FAILED" });
        }
        let failed = self.done.iter().filter(|step| !step.2).count();
        println!("{} passed, {failed} failed", self.done.len() - failed);
        failed == 0
    }
}
