//! What the trained network becomes.

use super::error::Problem;
use crate::quantize::Options;
use crate::train::{Recipe, Schedule};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The `[quantization]` table. A network without it stays in `f32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// After training, or in training.
    #[serde(default)]
    pub method: Method,
    /// How many training images show the ranges of activations.
    #[serde(default = "calibration_images")]
    pub calibration_images: usize,
    /// How quantization-aware training goes, for that method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aware: Option<AwareTraining>,
    /// All else. In TOML, its fields are those of the table.
    #[serde(default)]
    pub options: Options,
}

/// The fields of the table that are not the options'.
pub(super) const OWN_FIELDS: &[&str] = &["method", "calibration_images", "aware"];

fn calibration_images() -> usize {
    512
}

impl Default for Quantization {
    fn default() -> Self {
        let (method, calibration_images) = (Method::default(), calibration_images());
        Self { method, calibration_images, aware: None, options: Options::default() }
    }
}

impl Quantization {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.calibration_images == 0 {
            let remedy = "it must be at least 1; 512 are usual";
            return Err(Problem::new(&["calibration_images"], "`calibration_images` is 0", remedy));
        }
        match (self.method, &self.aware) {
            (Method::PostTraining, None) => Ok(()),
            (Method::PostTraining, Some(_)) => {
                let remedy = "add method = \"aware\" to [quantization], or remove the table";
                Err(Problem::new(&["aware"], "nothing is trained with quantization by this method", remedy))
            }
            (Method::Aware, Some(aware)) => aware.check().map_err(|problem| problem.within(["aware".into()])),
            (Method::Aware, None) => Err(Problem::new(
                &["method"],
                "the table [quantization.aware] is missing: it says for how long, and how fast",
                "add it, with epochs = 5 and schedule = { kind = \"cosine\", peak = 0.005 }: a tenth of the rate in f32",
            )),
        }
    }

    /// How a network is trained with quantization, if it is, where `recipe` is how it was trained in `f32`.
    #[must_use]
    pub fn aware_recipe(&self, recipe: &Recipe) -> Option<Recipe> {
        let AwareTraining { epochs, schedule, .. } = self.aware.clone().filter(|_| self.method == Method::Aware)?;
        Some(Recipe { epochs, schedule, ..recipe.clone() })
    }
}

/// Training that goes on with weights and activations rounded, after that in `f32`: all that is not said here is as there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwareTraining {
    /// Passes over the training images.
    pub epochs: usize,
    /// Learning rate over these steps.
    pub schedule: Schedule,
    /// What the range of an activation keeps of itself at each step; the rest adapts to the batch.
    #[serde(default = "range_decay")]
    pub range_decay: f32,
}

fn range_decay() -> f32 {
    0.99
}

impl AwareTraining {
    fn check(&self) -> Result<(), Problem> {
        if self.epochs == 0 {
            let remedy = "it must be at least 1; a tenth to a quarter of those in f32 are usual";
            return Err(Problem::new(&["epochs"], "`epochs` is 0", remedy));
        }
        if !(0.0..1.0).contains(&self.range_decay) {
            let remedy = "it must be at least 0 and below 1; 0.99 is usual";
            return Err(Problem::new(&["range_decay"], format!("`range_decay` is {}", self.range_decay), remedy));
        }
        match self.schedule.problem() {
            None => Ok(()),
            Some((field, text)) => {
                // It ends with the remedy.
                let (problem, remedy) = text.split_once("; ").unwrap_or((&text, ""));
                Err(Problem::new(&["schedule", field], format!("`{field}` {problem}"), remedy))
            }
        }
    }
}

/// When a network is quantized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// After training, by what activations occur.
    #[default]
    PostTraining,
    /// After training that goes on with weights and activations rounded: [`AwareTraining`].
    Aware,
}

/// The `[target]` table: where the results go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of the Rust module, which is a folder of that name; the description's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Folder for all results, relative to where the command runs; `out/` and the description's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// Layers run row by row, one after the other, where that takes less RAM; it takes more time.
    #[serde(default)]
    pub rows: bool,
}
