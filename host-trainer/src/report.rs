//! What happened in a run, for people: one HTML page without anything outside of it, and the same pictures as SVG files.
//!
//! A [`RunRecord`] is plain data that anything can fill, and is written as JSON for machines. [`html`] makes the page:
//! numbers, curves, confusion matrix, the worst mistakes, histograms of weights and activations, and the description that
//! the run came from. It reads in light and dark, on a phone and on paper, and runs no script.

mod chart;
mod histogram;
mod matrix;
mod mistakes;
mod page;
mod svg;
#[cfg(test)]
mod tests;

pub use histogram::Histogram;
pub use matrix::Confusion;
pub use page::html;

use serde::{Deserialize, Serialize};

/// Everything that a report shows of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The network's name.
    pub name: String,
    /// Where the images come from.
    pub data: String,
    /// The classes' names.
    pub classes: Vec<String>,
    /// Images trained on.
    pub training_images: usize,
    /// Images held out of the training images, to choose by.
    pub validation_images: usize,
    /// Images tested with.
    pub test_images: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// How long training took, in seconds, that before an interruption included; of several seeds the one that is kept.
    pub seconds: f64,
    /// Numbers worth a line each: name and value, for people.
    pub facts: Vec<(String, String)>,
    /// The layers in order.
    pub layers: Vec<LayerRecord>,
    /// The epochs in order.
    pub epochs: Vec<EpochRecord>,
    /// What each form of the network makes of the test images: `f32` first, then those of integers.
    pub results: Vec<ResultRecord>,
    /// Test images that the last form takes for something else, worst first.
    pub mistakes: Vec<Mistake>,
    /// Histograms of the weights, layer by layer.
    pub weights: Vec<Histogram>,
    /// Histograms of activations over some training images.
    pub activations: Vec<Histogram>,
    /// The description in TOML, if there is one.
    pub description: String,
}

/// A layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Height, width and channels of its output.
    pub output: [usize; 3],
    /// How many numbers it learns.
    pub parameters: usize,
    /// Its multiply-accumulates.
    pub macs: usize,
}

/// An epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Whether weights and activations were rounded (quantization-aware training).
    pub quantization_aware: bool,
    /// The learning rate at its end.
    pub learning_rate: f64,
    /// Mean loss of the (changed) training images during the epoch.
    pub training_loss: f64,
    /// Share of them classified right.
    pub training_accuracy: f64,
    /// Mean cross-entropy of the images held out, or of the test images if there are none.
    pub test_loss: f64,
    /// Share of them classified right.
    pub test_accuracy: f64,
    /// Speed of training.
    pub images_per_second: f64,
}

/// What a form of the network makes of the test images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Its name: `f32`, `int8`.
    pub name: String,
    /// Share of test images classified right.
    pub accuracy: f64,
    /// What was taken for what.
    pub confusion: Confusion,
}

/// A test image that is taken for something else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its number among the test images, from 0.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// The class that the network finds.
    pub predicted: usize,
    /// The network's share for the class that it finds, by softmax.
    pub confidence: f64,
    /// Height, width and channels of the picture.
    pub shape: [usize; 3],
    /// The picture: bytes, row by row, pixel by pixel.
    #[serde(skip)]
    pub pixels: Vec<u8>,
}

impl RunRecord {
    /// What the images are that are evaluated after each epoch.
    fn held_out(&self) -> &'static str {
        if self.validation_images > 0 { "held out" } else { "test" }
    }
}

/// The pictures of a record, as files: name and SVG text.
#[must_use]
pub fn pictures(record: &RunRecord) -> Vec<(&'static str, String)> {
    let mut pictures = vec![
        ("loss.svg", svg::file(&chart::loss(&record.epochs, record.held_out()))),
        ("accuracy.svg", svg::file(&chart::error(&record.epochs, record.held_out()))),
        ("weights.svg", svg::file(&histogram::sheet(&record.weights))),
        ("activations.svg", svg::file(&histogram::sheet(&record.activations))),
        ("mistakes.svg", svg::file(&mistakes::sheet(&record.mistakes, &record.classes))),
    ];
    if let Some(result) = record.results.last() {
        pictures.push(("confusion.svg", svg::file(&matrix::picture(&result.confusion, &record.classes))));
    }
    pictures
}
