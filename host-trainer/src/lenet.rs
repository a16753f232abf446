//! The whole way for LeNet-5: data, training, quantization-aware training, files.

use crate::data::{Augmentation, DataError, DataSet, Images};
use crate::generate::{self, GenerateError};
use crate::graph::optimize::{self, optimize};
use crate::graph::{Graph, GraphError, Numbers, Rounding};
use crate::nn::{Conv2d, Initialization, Layer, Network, Pool2d, ShapeError, ToGraphError};
use crate::output::{OutputError, OutputFolder};
use crate::quantize::{self, AwareError, AwareNetwork, FakeQuantization, PIXEL};
use crate::train::{
    self, Average, InputScaling, Optimizer, Progress, Recipe, Schedule, Sequential, TrainError, Trained, Trainer,
    TrainingData, evaluate,
};
use crate::verify::{self, Outputs};
use crate::visualize::{self, Curve, DrawError, Prediction};
use crate::workflow::evaluate::input;
use crate::workflow::files::SOURCE;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use std::{fs, io};

/// Height, width and channels of the input.
pub const INPUT: [usize; 3] = [28, 28, 1];
/// Number of classes.
pub const CLASSES: usize = 10;

/// The exported network: the folder of a Rust module, and of the graph that it was made of.
pub const MODULE: &str = "lenet";
/// The network in `f32`.
pub const FLOAT_FILE: &str = "lenet-f32.graph";
/// The network in int8.
pub const INT8_FILE: &str = "lenet-int8.graph";
/// The test images as the int8 network's inputs, one after another, for other machines to repeat the test.
pub const INPUTS_FILE: &str = "inputs.i8";
/// A byte for each test image: its class.
pub const LABELS_FILE: &str = "labels.u8";
/// The int8 network's outputs for [`INPUTS_FILE`].
pub const OUTPUTS_FILE: &str = "outputs.i8";
/// The picture of test digits.
pub const DIGITS_FILE: &str = "digits.png";

/// LeNet-5 as it is trained today (after Y. LeCun et al., *Gradient-Based Learning Applied to
/// Document Recognition*, 1998): ReLU and max pooling instead of sigmoids and averages. Its outputs are
/// logits.
pub const LAYERS: [Layer; 11] = [
    conv(6, 2),
    Layer::Relu,
    POOL,
    conv(16, 0),
    Layer::Relu,
    POOL,
    Layer::dense(120),
    Layer::Relu,
    Layer::dense(84),
    Layer::Relu,
    Layer::dense(CLASSES),
];

const POOL: Layer = Layer::MaxPool2d(Pool2d::new([2, 2]));

/// Training images that show the ranges of activations before quantization-aware training.
const OBSERVED: usize = 2048;
/// Those by which layers are compared with their `f32` forms.
const CALIBRATED: usize = 128;

const fn conv(filters: usize, padding: usize) -> Layer {
    Layer::Conv2d(Conv2d::new(filters, [5, 5]).padding(padding))
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder with the four IDX files of MNIST (or of data in its form); the embedded subset of
    /// MNIST if absent.
    pub data: Option<PathBuf>,
    /// Where the results go.
    pub out: PathBuf,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Epochs of training in `f32`; if absent, as many as the number of images asks for. A quarter
    /// as many follow with quantization.
    pub epochs: Option<usize>,
    /// Number of threads; all cores if absent. The results do not depend on it.
    pub threads: Option<usize>,
    /// Few epochs, to try out the way rather than to train well.
    pub quick: bool,
}

/// The two phases of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In `f32`.
    Float,
    /// Quantization-aware.
    QuantizationAware,
}

/// One epoch in the report.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EpochReport {
    /// The phase it belongs to.
    pub phase: Phase,
    /// Mean training loss, with label smoothing and augmentation.
    pub train_loss: f64,
    /// Share of augmented training images classified right.
    pub train_accuracy: f64,
    /// Cross-entropy on the test images.
    pub test_loss: f64,
    /// Share of test images classified right. Shown, never used to choose anything.
    pub test_accuracy: f64,
    /// Speed of training.
    pub images_per_second: f64,
}

/// The numbers of a run, written as `training.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the network.
    pub network: &'static str,
    /// Where the images come from.
    pub data: String,
    /// Number of training images.
    pub train_images: usize,
    /// Number of test images.
    pub test_images: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of weights and biases.
    pub parameters: usize,
    /// Test accuracy of the `f32` network before quantization-aware training.
    pub float_accuracy: f64,
    /// Test accuracy of the `f32` network rounded to int8 without further training.
    pub rounded_accuracy: f64,
    /// Test accuracy of the int8 network after quantization-aware training: that of `bareconv`'s own outputs.
    pub int8_accuracy: f64,
    /// What computed the int8 outputs of all test images, with the same bytes each.
    pub verified_on: Vec<&'static str>,
    /// Duration of training in `f32`.
    pub float_seconds: f64,
    /// Duration of quantization-aware training.
    pub quantization_seconds: f64,
    /// All epochs in order.
    pub epochs: Vec<EpochReport>,
}

/// What a run made.
#[derive(Debug)]
pub struct Outcome {
    /// The numbers.
    pub report: Report,
    /// The images used.
    pub data: DataSet,
    /// The network in `f32`, before quantization-aware training.
    pub float: Graph,
    /// The int8 network.
    pub quantized: Graph,
    /// All test images as its inputs, one after another.
    pub inputs: Vec<u8>,
    /// Its outputs for them.
    pub outputs: Vec<u8>,
    /// Names of the files in the output folder.
    pub files: Vec<String>,
}

/// News while it works.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Training is about to begin.
    Start {
        /// The images.
        data: &'a DataSet,
        /// Epochs of training in `f32`.
        float_epochs: usize,
        /// Epochs of quantization-aware training.
        quantization_epochs: usize,
    },
    /// A step is done.
    Step {
        /// The phase.
        phase: Phase,
        /// The epoch within the phase, counted from 0.
        epoch: usize,
        /// State of the epoch.
        progress: Progress,
    },
    /// An epoch is done and tested.
    Epoch(&'a EpochReport),
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The output folder.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The architecture.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A layer that cannot be exported.
    #[error(transparent)]
    ToGraph(#[from] ToGraphError),
    /// Quantization.
    #[error(transparent)]
    Aware(#[from] AwareError),
    /// A rule of graphs, or of the library.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Export.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Pictures.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// Threads.
    #[error("cannot start threads: {0}; try --threads 1")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The report or a network.
    #[error("cannot write the results as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Two backends give different bytes.
    #[error(
        "`{one}` and `{other}` give different outputs: {bytes} bytes in all. This is a defect of bareconv; please \
         report it with the seed and the data"
    )]
    Differing {
        /// One of them.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// Number of differing bytes.
        bytes: usize,
    },
    /// Results of a run cannot be read back.
    #[error("cannot read {path}: {source}; run `host-trainer lenet` with the same --out first")]
    Results {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Results of a run do not fit together.
    #[error("{path} has {have} bytes, not {want}; run `host-trainer lenet` with the same --out again")]
    ResultsLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        have: usize,
        /// What it should be.
        want: usize,
    },
    /// Training needs images.
    #[error("{data}: there are no {part} images; training needs both kinds")]
    NoImages {
        /// The data set.
        data: String,
        /// "training" or "test".
        part: &'static str,
    },
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Loads data, trains, quantizes, and writes the results.
///
/// # Errors
/// When the data cannot be used or the output folder cannot be written, before training starts.
pub fn run(options: &Options, events: &mut (dyn FnMut(Event<'_>) + Send)) -> Result<Outcome, Error> {
    let data = match &options.data {
        Some(folder) => DataSet::load(folder)?,
        None => DataSet::embedded(),
    };
    data.require(INPUT, CLASSES)?;
    let folder = OutputFolder::open(&options.out)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build()?;
    let mut outcome = pool.install(|| train(options, data, events))?;
    let Outcome { report, data, float, quantized, inputs, outputs, .. } = &outcome;
    let predictions = predictions(outputs, &data.test.labels);
    let digits = visualize::contact_sheet(&data.test, &predictions, "int8 network on the PC")?;
    let mut files = vec![
        ("training.json".to_owned(), serde_json::to_vec_pretty(report)?),
        (FLOAT_FILE.to_owned(), float.to_file()?),
        (INT8_FILE.to_owned(), quantized.to_file()?),
        (INPUTS_FILE.to_owned(), inputs.clone()),
        (LABELS_FILE.to_owned(), data.test.labels.clone()),
        (OUTPUTS_FILE.to_owned(), outputs.clone()),
        ("training.png".to_owned(), visualize::training(&curves(report))?),
        (DIGITS_FILE.to_owned(), digits),
    ];
    files.extend(module(quantized, report)?.into_iter().map(|(name, text)| (format!("{MODULE}/{name}"), text)));
    folder.write(&files)?;
    outcome.files = files.into_iter().map(|(name, _)| name).collect();
    Ok(outcome)
}

/// The files of the Rust module.
fn module(quantized: &Graph, report: &Report) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let mut graph = quantized.clone();
    optimize(&mut graph, &optimize::Options::default())?;
    let description = format!(
        "{:.2} % of {} test images right in int8, after training on {}.\n\n\
         Input: grey levels less 128, so that -128 is background and 127 is ink. Output: a logit for each digit.",
        100.0 * report.int8_accuracy,
        report.test_images,
        report.train_images,
    );
    let (title, description) = (Some(report.network.to_owned()), Some(description));
    let options = generate::Options { title, description, ..generate::Options::default() };
    let mut files = generate::module(&graph, &options)?.files();
    // By it the module can be verified.
    files.push((SOURCE, quantized.to_file()?));
    Ok(files)
}

/// Draws [`DIGITS_FILE`] anew, from the outputs in the file `outputs` of the folder `out`, by whatever computed them.
/// `who` is what the picture calls it. Returns how many digits are wrong, of how many.
///
/// # Errors
/// When a file of the run is missing or does not fit the others, or the picture cannot be written.
pub fn draw_digits(out: &Path, outputs: &str, who: &str) -> Result<(usize, usize), Error> {
    let read = |name: &str| {
        let path = out.join(name);
        fs::read(&path).map_err(|source| Error::Results { path, source })
    };
    let labels = read(LABELS_FILE)?;
    let read_all = |name: &str, each: usize| {
        let (bytes, want) = (read(name)?, labels.len() * each);
        if bytes.len() == want {
            Ok(bytes)
        } else {
            Err(Error::ResultsLength { path: out.join(name), have: bytes.len(), want })
        }
    };
    // An int8 input is a pixel less 128.
    let pixels = read_all(INPUTS_FILE, INPUT[0] * INPUT[1])?.iter().map(|byte| byte ^ 0x80).collect();
    let predictions = predictions(&read_all(outputs, CLASSES)?, &labels);
    let images = Images { size: [INPUT[0], INPUT[1]], channels: 1, pixels, labels };
    let picture = visualize::contact_sheet(&images, &predictions, who)?;
    OutputFolder::open(out)?.write(&[(DIGITS_FILE, picture)])?;
    Ok((predictions.iter().filter(|prediction| !prediction.right()).count(), predictions.len()))
}

/// The recipe for training in `f32` on `images` images.
fn recipe(images: usize, options: &Options) -> Recipe {
    // About as many steps for few images as time allows; large sets need fewer passes.
    let epochs = match (options.epochs, options.quick) {
        (Some(epochs), _) => epochs.max(1),
        (None, true) => 2,
        (None, false) => (1_500_000 / images.max(1)).clamp(30, 90),
    };
    Recipe {
        epochs,
        batch: 64,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        schedule: Schedule::Cosine { peak: 0.05, last: 0.0, warm_up: 0.05 },
        weight_decay: 1e-4,
        label_smoothing: 0.05,
        clip_norm: None,
        clip_value: None,
        average: Average::Exponential { decay: 0.999 },
        augmentation: Augmentation { rotation: 12.0, scaling: 0.12, shear: 0.15, shift: 2.0, ..Augmentation::NONE },
        early_stopping: None,
    }
}

/// Both phases of training, without touching any file.
///
/// # Errors
/// When there are no images or training diverges.
pub fn train(options: &Options, data: DataSet, events: &mut (dyn FnMut(Event<'_>) + Send)) -> Result<Outcome, Error> {
    for (part, images) in [("training", &data.train), ("test", &data.test)] {
        if images.is_empty() {
            return Err(Error::NoImages { data: data.name.clone(), part });
        }
    }
    let network = Network::new(INPUT, &LAYERS)?;
    let float_recipe = recipe(data.train.len(), options);
    let quantization_recipe = Recipe {
        epochs: float_recipe.epochs.div_ceil(4),
        schedule: float_recipe.schedule.clone().with_peak(0.01),
        ..float_recipe.clone()
    };
    events(Event::Start {
        data: &data,
        float_epochs: float_recipe.epochs,
        quantization_epochs: quantization_recipe.epochs,
    });

    let mut epochs = Vec::new();
    let scaling = InputScaling::unit(1);
    let images = TrainingData { train: &data.train, validation: None, test: Some(&data.test), scaling: &scaling };
    let mut run = |phase, network, parameters, recipe, seed, ranges| -> Result<Trained<Sequential>, Error> {
        let mut trainer = Trainer::new(Sequential::new(network, ranges), images, parameters, recipe, seed)?;
        trainer.run(&AtomicBool::new(false), &mut |event| match event {
            train::Event::Step(progress) => events(Event::Step { phase, epoch: progress.epoch, progress }),
            train::Event::Epoch(epoch) => {
                let test = epoch.test.expect("test images are there");
                let report = EpochReport {
                    phase,
                    train_loss: epoch.loss,
                    train_accuracy: epoch.accuracy,
                    test_loss: test.loss,
                    test_accuracy: test.accuracy,
                    images_per_second: epoch.images_per_second,
                };
                events(Event::Epoch(&report));
                epochs.push(report);
            }
            train::Event::Checkpoint(_) => {}
        })?;
        Ok(trainer.finish())
    };

    let start = Instant::now();
    let initial = network.initialize(Initialization::He, options.seed);
    let trained = run(Phase::Float, &network, initial, float_recipe, options.seed, None)?;
    let parameters = trained.parameters;
    let float_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let aware = AwareNetwork::new(&network, &parameters, &network.initial_state())?;
    let rules = quantization();
    let (mut seen, size) = (Vec::new(), network.input_shape().iter().product());
    scaling.load(&data.train, &(0..data.train.len().min(OBSERVED)).collect::<Vec<_>>(), &mut seen);
    let ranges = aware.observe(&seen, 0.99, &rules);
    let some: Vec<Vec<Numbers>> =
        seen.chunks(size).take(CALIBRATED).map(|image| vec![Numbers::F32(image.to_vec())]).collect();
    let quantize = |parameters: &[f32], ranges: &FakeQuantization| -> Result<Graph, Error> {
        let graph = aware.quantize(parameters, ranges, MODULE, &some, &rules)?.graph;
        // Not the whole path: the same data gives the same file.
        let data = Path::new(&data.name).file_name().unwrap_or_default().display();
        Ok(Graph { source: format!("LeNet-5, trained on {data} (seed {})", options.seed), ..graph })
    };
    let rounded = quantize(&aware.parameters, &ranges)?;
    // Other shuffles and changes than before.
    let seed = options.seed.wrapping_add(1 << 32);
    let initial = aware.parameters.clone();
    let trained = run(Phase::QuantizationAware, &aware.network, initial, quantization_recipe, seed, Some(ranges))?;
    let quantized = match trained.model.quantization() {
        Some(ranges) => quantize(&trained.parameters, ranges)?,
        None => unreachable!("this network was trained with ranges"),
    };
    let quantization_seconds = start.elapsed().as_secs_f64();

    let images = (0..data.test.len()).map(|index| input(&quantized, &scaling, data.test.image(index)));
    let inputs: Vec<u8> = images.flat_map(|image| image.to_bytes()).collect();
    let verified = verify::on_every_backend(&quantized, &inputs)?;
    let verified_on = verified.iter().map(|outputs| outputs.by).collect();
    let outputs = agreed(verified)?;
    let rounded = agreed(verify::on_every_backend(&rounded, &inputs)?)?;
    let labels = &data.test.labels;

    Ok(Outcome {
        report: Report {
            network: "LeNet-5",
            data: data.name.clone(),
            train_images: data.train.len(),
            test_images: data.test.len(),
            seed: options.seed,
            parameters: network.parameters(),
            float_accuracy: evaluate(&mut Sequential::new(&network, None), &parameters, &data.test, &scaling).accuracy,
            rounded_accuracy: accuracy(&predictions(&rounded, labels)),
            int8_accuracy: accuracy(&predictions(&outputs, labels)),
            verified_on,
            float_seconds,
            quantization_seconds,
            epochs,
        },
        float: network.to_graph(&parameters, &[], MODULE)?,
        data,
        quantized,
        inputs,
        outputs,
        files: Vec::new(),
    })
}

/// How it is quantized: pixels stay as they are, and sums round once.
fn quantization() -> quantize::Options {
    quantize::Options { input: Some(PIXEL), rounding: Rounding::Single, ..quantize::Options::default() }
}

/// The outputs, if all are the same.
fn agreed(outputs: Vec<Outputs>) -> Result<Vec<u8>, Error> {
    let mut outputs = outputs.into_iter();
    let first = outputs.next().expect("naive arithmetic is always there");
    for other in outputs {
        let bytes = verify::differing_bytes(&first.bytes, &other.bytes);
        if bytes > 0 {
            return Err(Error::Differing { one: first.by, other: other.by, bytes });
        }
    }
    Ok(first.bytes)
}

/// What int8 outputs say about the images with these labels.
fn predictions(outputs: &[u8], labels: &[u8]) -> Vec<Prediction> {
    let outputs: Vec<i8> = outputs.iter().map(|byte| byte.cast_signed()).collect();
    outputs.chunks(CLASSES).zip(labels).map(|(output, &label)| Prediction::new(output, label)).collect()
}

fn accuracy(predictions: &[Prediction]) -> f64 {
    predictions.iter().filter(|prediction| prediction.right()).count() as f64 / predictions.len() as f64
}

fn curves(report: &Report) -> Vec<Curve> {
    report
        .epochs
        .iter()
        .map(|epoch| Curve {
            quantization_aware: epoch.phase == Phase::QuantizationAware,
            train_loss: epoch.train_loss,
            test_loss: epoch.test_loss,
            train_error: 1.0 - epoch.train_accuracy,
            test_error: 1.0 - epoch.test_accuracy,
        })
        .collect()
}
