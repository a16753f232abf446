//! The whole way of a network by its description: images, training, quantization, the Rust module, and what came of it.
//!
//! [`train()`] does all of it. [`quantize`](integer::quantize), [`evaluate`](evaluate::evaluate) and
//! [`export`](files::export) are its later steps by themselves.
//!
//! ```
//! use host_trainer::spec::Description;
//! use host_trainer::workflow::{self, Earlier, Options};
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! # let folder = tempfile::tempdir()?;
//! # let digits = host_trainer::data::DataSet::embedded().test;
//! # for index in 0..40 {
//! #     let path = folder.path().join(format!("digits/{}/{index}.png", digits.labels[index]));
//! #     std::fs::create_dir_all(path.parent().unwrap())?;
//! #     image::GrayImage::from_raw(28, 28, digits.image(index).to_vec()).unwrap().save(path)?;
//! # }
//! # let folder = folder.path();
//! let text = r#"
//!     [data]
//!     format = "pictures"
//!     path = "digits"         # digits/0/*.png to digits/9/*.png
//!     channels = 1
//!
//!     [network]
//!     layers = [
//!         { kind = "conv2d", filters = 4, filter = 3, stride = 2, padding = "same" },
//!         { kind = "relu" },
//!         { kind = "dense", outputs = 10 },
//!     ]
//!
//!     [training]
//!     epochs = 1
//!     batch = 16
//!     optimizer = { kind = "sgd", momentum = 0.9 }
//!     schedule = { kind = "constant", peak = 0.01 }
//!
//!     [quantization]
//! "#;
//! let file = folder.join("digits.toml");
//! let description = Description::from_toml(text, &file)?;
//! let options = Options { base: folder.to_owned(), out: folder.join("out"), earlier: Earlier::Protect };
//! let outcome = workflow::train(&description, text, &options, &AtomicBool::new(false), &mut |_| {})?;
//! let outcome = outcome.expect("nobody stopped it");
//! assert_eq!(outcome.record.results.len(), 2); // f32 and int8
//! assert!(folder.join("out/digits/mod.rs").exists()); // the module for firmware
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod data;
pub mod evaluate;
pub mod files;
pub mod integer;
mod record;
mod training;

pub use data::Prepared;
pub use files::Files;

use crate::data::DataError;
use crate::generate::GenerateError;
use crate::graph::{FileError, Graph, GraphError};
use crate::nn::ToGraphError;
use crate::output::{OutputError, OutputFolder};
use crate::quantize::{AwareError, AwareNetwork, QuantizeError, Quantized};
use crate::report::RunRecord;
use crate::spec::{Description, Method, Problem, SpecError};
use crate::train::{self, TrainError, Trained};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use training::Course;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that paths of the description start at: that of its file.
    pub base: PathBuf,
    /// Folder for the results.
    pub out: PathBuf,
    /// What becomes of checkpoints that an earlier run left in that folder.
    pub earlier: Earlier,
}

/// What becomes of the checkpoints of an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Earlier {
    /// Those of a run that came to its end are replaced; others are an error.
    #[default]
    Protect,
    /// Training goes on from them; that there are none is an error.
    Resume,
    /// They are replaced.
    Replace,
}

/// News while it works.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Training from a seed is about to begin, or to go on.
    Start {
        /// The images.
        data: &'a Prepared,
        /// The seed.
        seed: u64,
        /// Parameters of the network.
        parameters: usize,
        /// Epochs that it takes at most.
        epochs: usize,
        /// Whether it goes on with weights and activations rounded.
        quantization_aware: bool,
    },
    /// News of the training.
    Train(train::Event<'a>),
    /// Something else begins, in words.
    Phase(&'static str),
}

/// What a run made.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened.
    pub record: RunRecord,
    /// The network in `f32`.
    pub float: Graph,
    /// The network in integers, if it was quantized.
    pub quantized: Option<Quantized>,
    /// Names of the files in the output folder.
    pub files: Vec<String>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description does not fit the images.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The description that networks were trained with.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The output folder.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A layer cannot be quantized or exported.
    #[error(transparent)]
    ToGraph(#[from] ToGraphError),
    /// Quantization.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Quantization-aware training.
    #[error(transparent)]
    Aware(#[from] AwareError),
    /// A rule of graphs.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Export.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A file of results.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// A file of results is not there.
    #[error("cannot read {file}: {source}; run `host-trainer train` first, or `quantize` for other integers")]
    Missing {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// There is nothing to go on from.
    #[error(
        "there is no checkpoint of this description's seeds in {0}; leave --resume out, or name the folder with --out"
    )]
    NoCheckpoint(PathBuf),
    /// A training that was stopped, or failed, would be lost.
    #[error("{0} holds a training that did not come to its end; go on with --resume, or begin again with --restart")]
    Stopped(PathBuf),
    /// The report.
    #[error("cannot write the results as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Images that a network does not take.
    #[error("{0}")]
    Images(String),
    /// Two backends give different bytes.
    #[error(
        "`{one}` and `{other}` give different outputs for {count} test images. This is a defect of bareconv; please \
         report it with the description and the data"
    )]
    Differing {
        /// One of them.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// How many outputs differ.
        count: usize,
    },
}

/// Trains, quantizes, exports and evaluates the network of a description whose text in TOML is `text`, and writes the
/// results. `None` if `stop` became true: the checkpoint then holds everything to go on, to the same result.
///
/// # Errors
/// When something cannot be used, before training starts; when training diverges, or a file cannot be written.
pub fn train(
    description: &Description,
    text: &str,
    options: &Options,
    stop: &AtomicBool,
    events: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Outcome>, Error> {
    events(Event::Phase("loading images"));
    let data = Prepared::load(description, &options.base)?;
    let network = description.build(data.set.train.shape(), data.set.classes.len())?;
    // What cannot be exported or quantized is found before training, not after it.
    let initial = network.initialize(description.network.initialization, 1);
    let (exported, initial) = description.exported(&data.scaling, &network, &initial);
    let float = exported.to_graph(&initial, &network.initial_state(), &description.name)?;
    if let Some(quantization) = &description.quantization {
        integer::check(&float, quantization, &data.exported)?;
        if quantization.method == Method::Aware {
            AwareNetwork::new(&exported, &initial, &network.initial_state())?;
        }
    }
    let files = Files::new(description, &options.out);
    files.clear_checkpoints(&description.training.seeds, options.earlier)?;
    let folder = OutputFolder::open(&options.out)?;

    let course = Course { description, data: &data, options, stop };
    let Some((seed, trained)) = course.float(&network, events)? else { return Ok(None) };
    let Trained { parameters, model, history, best, mut seconds } = trained;
    let (network, parameters) = description.exported(&data.scaling, &network, &parameters);
    let float = network.to_graph(&parameters, model.averages(), &description.name)?;
    let mut epochs = record::epochs(&history, false);
    let mut kept = best.map(|best| ("epoch that was kept", best)).into_iter().collect::<Vec<_>>();
    let quantized = match &description.quantization {
        None => None,
        Some(quantization) => Some(match quantization.aware_recipe(&description.training.recipe) {
            None => {
                events(Event::Phase("quantizing"));
                integer::quantize(&float, quantization, &data.train, &data.exported)?
            }
            Some(recipe) => {
                let aware = AwareNetwork::new(&network, &parameters, model.averages())?;
                let Some(aware) = course.aware(aware, &float, quantization, recipe, seed, events)? else {
                    return Ok(None);
                };
                epochs.extend(record::epochs(&aware.history, true));
                seconds += aware.seconds;
                kept.extend(aware.best.map(|best| ("epoch with quantization that was kept", best)));
                aware.quantized
            }
        }),
    };
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    events(Event::Phase("evaluating"));
    let mut record = record::record(description, text, &data, &network, &float, quantized.as_ref())?;
    (record.seed, record.seconds, record.epochs) = (seed, seconds, epochs);
    for (name, (epoch, evaluation)) in kept {
        let value = format!("{} ({:.2} % of the images held out)", epoch + 1, 100.0 * evaluation.accuracy);
        record.facts.push((name.to_owned(), value));
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    events(Event::Phase("writing"));
    let files = files.write(&folder, description, text, &float, quantized.as_ref(), &record, &data)?;
    Ok(Some(Outcome { record, float, quantized, files }))
}
