//! Developer commands: `cargo xtask --help`.

mod boards;
mod conformance;
mod counts;
mod cycles;
mod firmware;
mod image;
mod imported;
mod lenet;
mod measure;
mod mlperf;
mod shell;
mod simd;
mod test;
mod thumb;
mod train_speed;
mod wasm;

use anyhow::Result;
use bareconv_boards::toolchain;
use boards::{CORTEX_M4, Examples, Program};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Developer commands of bareconv.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install everything needed to build firmware and run it in QEMU.
    Setup,
    /// Train LeNet-5, quantize and export it, and verify PC and firmware bit for bit.
    Lenet(lenet::Options),
    /// Build the example firmware, run it in QEMU and show its log.
    Run {
        /// The folder of a network's module instead of the one kept among the examples.
        #[arg(long)]
        model: Option<PathBuf>,
    },
    /// Count instructions and Cortex-M4 cycles between `roi_start` and `roi_stop` of a firmware.
    Profile {
        /// The program; it must end itself by a semihosting exit.
        elf: PathBuf,
        /// Semihosting arguments of the program.
        #[arg(default_value = "profile")]
        arguments: Vec<String>,
        /// How many functions to list.
        #[arg(long, default_value_t = 12)]
        top: usize,
        /// List every executed instruction of the functions whose name contains this.
        #[arg(long, value_name = "SYMBOL")]
        hot: Option<String>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Run the conformance cases on emulated cores and compare them with this computer's.
    Conformance(conformance::Options),
    /// Measure speed.
    #[command(subcommand)]
    Bench(Bench),
    /// Import MLPerf Tiny's int8 networks, run them on emulated cores and compare all output bytes.
    Mlperf(mlperf::Options),
    /// Check that no layer can panic, and show the stack and the code that layers take.
    Layers,
    /// Run every test there is.
    Test(test::Options),
}

#[derive(Subcommand)]
enum Bench {
    /// Count the instructions of well-known networks' layers, by SIMD and by plain Rust.
    Kernels(measure::BenchOptions),
    /// Train LeNet-5, ResNet-8 and AlexNet, in turn with PyTorch: images per second and memory.
    Train(train_speed::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a task; `false` if it ended well but its result is bad, which it has told already.
fn run(task: Task) -> Result<bool> {
    match task {
        Task::Setup => {
            let start = Instant::now();
            for board in boards::ALL {
                println!("{:18} {}, {}", board.core, board.set_up()?, board.emulator);
            }
            println!("ready ({:.1} s)", start.elapsed().as_secs_f64());
            Ok(true)
        }
        Task::Lenet(options) => lenet::run(&options),
        Task::Run { model } => {
            let toolchain = CORTEX_M4.set_up()?;
            let model = model.map(std::path::absolute).transpose()?;
            let elf = firmware::build(&toolchain, model.as_deref())?;
            let folder = &shell::target_dir()?;
            let program = Program { elf: &elf, arguments: &[], folder, plugin: None, limit: Duration::from_secs(60) };
            let outcome = CORTEX_M4.run(&program, || ())?;
            for line in &outcome.lines {
                println!("{line}");
            }
            if !outcome.stderr.is_empty() {
                eprintln!("{}", outcome.stderr);
            }
            Ok(outcome.status.success())
        }
        Task::Profile { elf, arguments, top, hot, json } => {
            toolchain::emulator(&mut toolchain::Computer, CORTEX_M4.emulator)?;
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let (profile, _) = cycles::profile(&CORTEX_M4, &elf, &arguments)?;
            if json {
                println!(
                    "{}",
                    serde_json::json!({ "instructions": profile.instructions, "m4_cycles": profile.cycles })
                );
            } else {
                print!("{}", profile.table(top, terminal_width()));
            }
            if let Some(part) = hot {
                print!("{}", profile.hot(&part));
            }
            Ok(true)
        }
        Task::Conformance(options) => conformance::run(&options),
        Task::Mlperf(options) => mlperf::run(&options),
        Task::Layers => measure::layers(),
        Task::Bench(Bench::Kernels(options)) => measure::bench(&options),
        Task::Bench(Bench::Train(options)) => train_speed::run(&options).map(|()| true),
        Task::Test(options) => test::run(&options),
    }
}

/// The width of the terminal as the shell tells it, or 80.
fn terminal_width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(80)
}
