//! What the trained network becomes.

use super::error::Problem;
use crate::quantize::Options;
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
    /// All else. In TOML, its fields are those of the table.
    #[serde(default)]
    pub options: Options,
}

/// The fields of the table that are not the options'.
pub(super) const OWN_FIELDS: [&str; 2] = ["method", "calibration_images"];

fn calibration_images() -> usize {
    512
}

impl Default for Quantization {
    fn default() -> Self {
        Self { method: Method::default(), calibration_images: calibration_images(), options: Options::default() }
    }
}

impl Quantization {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.calibration_images == 0 {
            let remedy = "it must be at least 1; 512 are usual";
            return Err(Problem::new(&["calibration_images"], "`calibration_images` is 0", remedy));
        }
        Ok(())
    }
}

/// When a network is quantized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// After training, by what activations occur.
    #[default]
    PostTraining,
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
