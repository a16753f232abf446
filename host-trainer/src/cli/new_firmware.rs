//! `host-trainer new-firmware`.

use super::Failure;
use super::module::Imported;
use host_trainer::firmware::boards::shell;
use host_trainer::firmware::boards::toolchain::{self, Source, Untouched};
use host_trainer::firmware::boards::{Board, Toolchain};
use host_trainer::firmware::skeleton::{self, Skeleton};
use host_trainer::firmware::{Library, boards};
use host_trainer::output::OutputFolder;
use host_trainer::plan;
use host_trainer::run::Interpreter;
use std::path::{PathBuf, absolute};

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// A module's folder that `host-trainer import` or `train` wrote, the description of a trained network, or a network's file
    module: PathBuf,
    /// The board: mps2-an386 (Cortex-M4), mps2-an385 (M3), mps2-an500 (M7), mps2-an505 (M33), mps3-an547 (M55) or
    /// microbit (M0); QEMU has them all
    #[arg(long, value_name = "NAME", default_value = "mps2-an386")]
    board: String,
    /// Folder of the new crate [default: the module's and the board's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Build it and run it in QEMU at once
    #[arg(long)]
    run: bool,
}

/// Writes a crate that runs a network on a board.
pub fn run(options: &Options) -> Result<(), Failure> {
    let board = find(&options.board)?;
    let imported = Imported::open(&options.module, plan::Options::default())?;
    let inputs = skeleton::sample_inputs(&imported.module);
    let expected = Interpreter::new(&imported.graph)?.run(&inputs)?;
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}-{}", imported.name, board.name())));
    if out.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        return Err(format!("{} exists and is not empty: choose another folder with --out", out.display()).into());
    }
    let home = absolute(&out)?;
    let package = home.file_name().unwrap_or_default().to_string_lossy();
    let package = package.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-', "-");
    // A crate's name begins with a letter.
    let package =
        if package.starts_with(|c: char| c.is_ascii_alphabetic()) { package } else { format!("firmware-{package}") };
    let library = Library::for_crate(&home);
    let files = skeleton::files(&Skeleton {
        package: &package,
        name: &imported.name,
        module: &imported.module,
        files: &imported.files,
        board,
        library: &library,
        expected: &expected,
    });
    let named: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    OutputFolder::open(&out)?.write(&named)?;
    println!("{}, for {} ({}):", out.display(), board.name(), board.core);
    for (name, text) in &files {
        println!("  {name} ({} bytes)", text.len());
    }
    match toolchain::firmware(&mut Untouched, board.target) {
        Ok(toolchain) => {
            println!("to build it and run it in QEMU:\n  cd {} && {}", out.display(), run_command(&toolchain));
            if options.run {
                toolchain::emulator(&mut Untouched, board.emulator)?;
                println!();
                let mut cargo = toolchain.cargo("run");
                // The crate's own configuration has the core's flags.
                cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").args(["--release", "--quiet"]).current_dir(&home);
                shell::run(&mut cargo)?;
            }
            Ok(())
        }
        Err(error) if options.run => Err(error.into()),
        Err(error) => {
            println!("to build it and run it in QEMU:\n  cd {} && cargo run --release", out.display());
            println!("but on this computer {error}");
            Ok(())
        }
    }
}

/// What starts the firmware with this toolchain, typed by hand.
fn run_command(toolchain: &Toolchain) -> String {
    match toolchain.source {
        Source::Rustup => "cargo run --release".to_owned(),
        Source::Debian => {
            let variable = toolchain.target.to_uppercase().replace(['-', '.'], "_");
            format!(
                "PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1 CARGO_TARGET_{variable}_LINKER=ld.lld \\\n    \
                 cargo run --release -Z build-std=core"
            )
        }
    }
}

fn find(name: &str) -> Result<&'static Board, Failure> {
    boards().iter().find(|board| board.name() == name).copied().ok_or_else(|| {
        let names: Vec<_> = boards().iter().map(|board| board.name()).collect();
        format!("--board {name}: there are {}", names.join(", ")).into()
    })
}
