//! `host-trainer train`.

use super::Failure;
use super::description::{Described, in_threads};
use host_trainer::train::{Epoch, Event as TrainEvent};
use host_trainer::workflow::{self, Earlier, Event, Options as Places, Outcome};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// The network's description: a TOML file
    description: PathBuf,
    /// Folder for the results [default: that of the description, or out/ and its name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on from the checkpoint of a run that was stopped; the result is that of a run that was not
    #[arg(long)]
    resume: bool,
    /// Begin again where a run was stopped, and lose its checkpoint
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    /// Number of threads [default: all cores]; the results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print a line of JSON for each epoch and for the results, and no bar
    #[arg(long)]
    json: bool,
}

/// What the process ends with when it was stopped: as a shell has it for SIGINT.
const STOPPED: u8 = 130;

/// Trains the network of a description.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let described = Described::read(&options.description)?;
    let out = described.out(options.out.as_deref());
    let stop = Arc::new(AtomicBool::new(false));
    let (handler, json) = (Arc::clone(&stop), options.json);
    ctrlc::set_handler(move || {
        // Whoever asks twice does not want to wait for a checkpoint.
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(STOPPED));
        }
        if !json {
            eprintln!("\nstopping after this step; press Ctrl-C again to stop without a checkpoint");
        }
    })?;
    let earlier = match (options.resume, options.restart) {
        (true, _) => Earlier::Resume,
        (_, true) => Earlier::Replace,
        _ => Earlier::Protect,
    };
    let places = Places { base: described.base(), out: out.clone(), earlier };
    let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let mut progress = Progress::new(&described, &bar, options.json);
    let outcome = in_threads(options.threads, || {
        workflow::train(&described.description, &described.text, &places, &stop, &mut |event| progress.show(event))
    })?;
    bar.finish_and_clear();
    match outcome.map_err(|error| described.explain(error))? {
        None => {
            if options.json {
                println!("{}", serde_json::json!({ "stopped": true, "out": out }));
            } else {
                let out = options.out.as_ref().map_or(String::new(), |out| format!(" --out {}", out.display()));
                let description = options.description.display();
                println!("stopped; go on with `host-trainer train {description}{out} --resume`");
            }
            Ok(ExitCode::from(STOPPED))
        }
        Some(outcome) => {
            if options.json {
                println!(
                    "{}",
                    serde_json::json!({ "out": out, "files": outcome.files, "results": outcome.record.results })
                );
            } else {
                print(&outcome, &out, described.description.module_name());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("templates are constant").progress_chars("=> ")
}

/// Shows events on a bar, and one line for each epoch above it.
struct Progress<'a> {
    bar: &'a ProgressBar,
    json: bool,
    epochs: usize,
    seeds: usize,
    images: usize,
    seed: u64,
    quantization_aware: bool,
}

impl<'a> Progress<'a> {
    fn new(described: &Described, bar: &'a ProgressBar, json: bool) -> Self {
        let training = &described.description.training;
        Self { bar, json, epochs: 0, seeds: training.seeds.len(), images: 0, seed: 0, quantization_aware: false }
    }

    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Phase(phase) => {
                // Nobody knows how long it takes.
                self.bar.set_style(style("{prefix} ..."));
                self.bar.set_prefix(phase);
            }
            Event::Start { data, seed, parameters, epochs, quantization_aware } => {
                (self.images, self.seed) = (data.train.len(), seed);
                (self.epochs, self.quantization_aware) = (epochs, quantization_aware);
                self.bar.reset();
                self.bar.set_style(style("{prefix}: {msg}\n[{wide_bar}] {percent:>3} %, {eta} left"));
                self.bar.set_length((self.epochs * self.images) as u64);
                let held =
                    data.validation.as_ref().map_or(String::new(), |images| format!(", {} held out", images.len()));
                if quantization_aware {
                    self.say(&format!("seed {seed} goes on with rounded weights and activations, {epochs} epochs"));
                    return;
                }
                self.say(&format!(
                    "{}: {} training images{held}, {} test images; {parameters} parameters, seed {seed}",
                    data.set.name,
                    self.images,
                    data.set.test.len()
                ));
            }
            Event::Train(TrainEvent::Step(progress)) => {
                let seed = if self.seeds > 1 { format!("seed {}, ", self.seed) } else { String::new() };
                let rounded = if self.quantization_aware { "rounded, " } else { "" };
                self.bar.set_prefix(format!("{seed}{rounded}epoch {}/{}", progress.epoch + 1, self.epochs));
                self.bar.set_position((progress.epoch * self.images + progress.images) as u64);
                self.bar.set_message(format!(
                    "loss {:.4}  accuracy {:.2} %  {:.0} images/s",
                    progress.loss,
                    100.0 * progress.accuracy,
                    progress.images_per_second
                ));
            }
            Event::Train(TrainEvent::Epoch(epoch)) => self.epoch(epoch),
            Event::Train(TrainEvent::Checkpoint(_)) => {}
        }
    }

    fn epoch(&self, epoch: &Epoch) {
        if self.json {
            let aware = self.quantization_aware;
            println!("{}", serde_json::json!({ "seed": self.seed, "quantization_aware": aware, "epoch": epoch }));
            return;
        }
        let held = [("held out", epoch.validation), ("test", epoch.test)]
            .into_iter()
            .filter_map(|(name, evaluation)| Some(format!("  {name} {:>5.2} %", 100.0 * evaluation?.accuracy)));
        self.say(&format!(
            "epoch {:>3}  loss {:.4}  accuracy {:>5.2} %{}  {:>6.0} images/s",
            epoch.epoch + 1,
            epoch.loss,
            100.0 * epoch.accuracy,
            held.collect::<String>(),
            epoch.images_per_second
        ));
    }

    /// Prints above the bar; without a terminal there is no bar, and a log file gets the line.
    fn say(&self, line: &str) {
        if self.json {
            return;
        }
        if self.bar.is_hidden() {
            println!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

fn print(outcome: &Outcome, out: &std::path::Path, module: String) {
    let record = &outcome.record;
    println!();
    println!("{}, accuracy on {} test images:", record.name, record.test_images);
    for result in &record.results {
        println!("  {:6} {:.2} %", result.name, 100.0 * result.accuracy);
    }
    for (name, value) in &record.facts {
        println!("  {name}: {value}");
    }
    println!("report: {}", out.join(workflow::files::REPORT).display());
    println!("module: {}, in firmware `mod {module};`", out.join(&module).display());
}
