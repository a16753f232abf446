//! The command line: parses, shows progress, prints results. The work is done by the library.

mod cli;

use clap::{Parser, Subcommand};
use host_trainer::lenet::{self, Event, Outcome, Phase};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

/// Trains convolutional networks on a PC for bareconv.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains the network of a description (TOML), quantizes it and writes a Rust module and a report.
    Train(cli::train::Options),
    /// Prints every field of a description (Markdown).
    Schema,
    /// Quantizes a trained network, or another tool's in float32, after training.
    Quantize(cli::quantize::Options),
    /// Says what a network makes of the test images, in f32 and in integers: accuracy and confusion matrix.
    Evaluate(cli::evaluate::Options),
    /// Writes a trained network as a Rust module.
    Export(cli::export::Options),
    /// Trains LeNet-5 on handwritten digits, quantizes it to int8 and writes the results.
    Lenet {
        /// Folder with the four IDX files of MNIST, plain or gzip [default: an embedded subset of
        /// 8,000 + 2,000 digits]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Folder for the results
        #[arg(long, value_name = "DIR", default_value = "out/lenet")]
        out: PathBuf,
        /// Seed of all random numbers; the same seed gives the same bits
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Epochs in f32 [default: by the number of images]; a quarter as many follow with
        /// quantization
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        epochs: Option<u32>,
        /// Number of threads [default: all cores]; the results do not depend on it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// A few epochs only, to try it out
        #[arg(long)]
        quick: bool,
    },
    /// Draws the picture of test digits anew, with what another machine answered.
    Digits {
        /// Folder of a run of `host-trainer lenet`
        #[arg(long, value_name = "DIR", default_value = "out/lenet")]
        out: PathBuf,
        /// The machine's outputs for inputs.i8, a file in that folder
        #[arg(long, value_name = "FILE", default_value = "outputs.i8")]
        outputs: String,
        /// What the picture calls the machine
        #[arg(long, value_name = "NAME", default_value = "int8 network on the PC")]
        who: String,
    },
    /// Writes a network of another tool as a Rust module: constant arrays and a function that runs them.
    Import(cli::import::Options),
    /// Shows a network: operators, shapes, multiply-accumulates, memory; or what is not supported and why; or where a
    /// training stands, by its checkpoint.
    Inspect(cli::inspect::Options),
    /// Compares an imported network's outputs, every byte: on this computer and on emulated cores.
    Verify(cli::verify::Options),
    /// Writes a crate that runs an imported network on a board.
    NewFirmware(cli::new_firmware::Options),
}

fn main() -> ExitCode {
    // Whoever reads, `head` say, may stop before the end.
    sigpipe::reset();
    let result: Result<(), cli::Failure> = match Arguments::parse().command {
        Command::Train(options) => {
            return cli::train::run(&options).unwrap_or_else(|error| {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            });
        }
        Command::Schema => {
            print!("{}", host_trainer::spec::SCHEMA);
            Ok(())
        }
        Command::Quantize(options) => cli::quantize::run(&options),
        Command::Evaluate(options) => cli::evaluate::run(&options),
        Command::Export(options) => cli::export::run(&options),
        Command::Lenet { data, out, seed, epochs, threads, quick } => train(&lenet::Options {
            data,
            out,
            seed,
            epochs: epochs.map(|epochs| epochs as usize),
            threads: threads.map(usize::from),
            quick,
        })
        .map_err(Into::into),
        Command::Digits { out, outputs, who } => lenet::draw_digits(&out, &outputs, &who)
            .map(|(wrong, all)| {
                println!("{who}: {wrong} of {all} digits wrong; picture: {}", out.join(lenet::DIGITS_FILE).display());
            })
            .map_err(Into::into),
        Command::Import(options) => cli::import::run(&options),
        Command::Inspect(options) => cli::inspect::run(&options),
        Command::Verify(options) => cli::verify::run(&options),
        Command::NewFirmware(options) => cli::new_firmware::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(options: &lenet::Options) -> Result<(), lenet::Error> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{prefix}: {msg}\n[{wide_bar}] {percent:>3} %, {eta} left")
            .expect("the template is constant")
            .progress_chars("=> "),
    );
    let result = lenet::run(options, &mut progress(&bar));
    bar.finish_and_clear();
    print(options, &result?);
    Ok(())
}

/// Shows events on `bar`, and one line per epoch above it.
fn progress(bar: &ProgressBar) -> impl FnMut(Event<'_>) + Send {
    let bar = bar.clone();
    let (mut images, mut float, mut quantized, mut number) = (0, 0, 0, 0);
    move |event| match event {
        Event::Start { data, float_epochs, quantization_epochs } => {
            images = data.train.len();
            (float, quantized) = (float_epochs, quantization_epochs);
            bar.set_length(((float + quantized) * images) as u64);
            let count = data.test.len();
            say(&bar, &format!("{}: {images} training and {count} test images", data.name));
        }
        Event::Step { phase, epoch, progress } => {
            let (name, before, count) = match phase {
                Phase::Float => ("f32 ", 0, float),
                Phase::QuantizationAware => ("int8", float, quantized),
            };
            bar.set_prefix(format!("{name} epoch {}/{count}", epoch + 1));
            bar.set_position(((before + epoch) * images + progress.images) as u64);
            bar.set_message(format!(
                "loss {:.4}  accuracy {:.2} %  {:.0} images/s",
                progress.loss,
                100.0 * progress.accuracy,
                progress.images_per_second
            ));
        }
        Event::Epoch(report) => {
            number += 1;
            let name = match report.phase {
                Phase::Float => "f32 ",
                Phase::QuantizationAware => "int8",
            };
            let line = format!(
                "{name} epoch {number:>3}: training loss {:.4}, accuracy {:>5.2} %; test accuracy {:>5.2} %; {:>6.0} images/s",
                report.train_loss,
                100.0 * report.train_accuracy,
                100.0 * report.test_accuracy,
                report.images_per_second
            );
            say(&bar, &line);
        }
    }
}

/// Prints above the bar; without a terminal there is no bar, and a log file gets the line.
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        println!("{line}");
    } else {
        bar.println(line);
    }
}

fn print(options: &lenet::Options, outcome: &Outcome) {
    let report = &outcome.report;
    println!();
    println!("LeNet-5, {} parameters, test accuracy on {} images:", report.parameters, report.test_images);
    println!("  f32                            {:.2} %", 100.0 * report.float_accuracy);
    println!("  int8, rounded after training   {:.2} %", 100.0 * report.rounded_accuracy);
    println!("  int8, quantization-aware       {:.2} %", 100.0 * report.int8_accuracy);
    println!("  int8 outputs, the same bytes on {}", report.verified_on.join(", "));
    println!(
        "trained in {:.1} s + {:.1} s; results in {}:",
        report.float_seconds,
        report.quantization_seconds,
        options.out.display()
    );
    for file in &outcome.files {
        println!("  {file}");
    }
}
