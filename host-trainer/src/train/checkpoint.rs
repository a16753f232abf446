//! Everything that a training needs to go on, in one safetensors file.
//!
//! All tensors are flat and `f32`: `parameters`; `optimizer.NAME`; `state.NAME`, the network's state besides its
//! parameters; `best.parameters` and `best.state.NAME`. The metadata `training` is JSON: what the training is,
//! where it stands and its epochs so far.

use super::Recipe;
use super::trainer::{Epoch, Evaluation};
use crate::data::Images;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where a training stands, between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Images done in the present epoch.
    pub images: usize,
    /// Steps done in all.
    pub step: usize,
    /// Sum of the losses in the present epoch.
    pub loss: f64,
    /// Images classified right in the present epoch.
    pub correct: usize,
    /// How long it took so far, in seconds.
    #[serde(default)]
    pub seconds: f64,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("cannot read the checkpoint {file}: {source}; check the path, or train from the start")]
    Read {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is no checkpoint.
    #[error("{file} is not a whole checkpoint of this version: {problem}; train from the start")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It belongs to another training.
    #[error(
        "{file} belongs to another training: {what} is {checkpoint} there and {here} here; make them the same, or train \
         from the start"
    )]
    Other {
        /// The file.
        file: PathBuf,
        /// What differs.
        what: String,
        /// In the checkpoint.
        checkpoint: String,
        /// In the training that should go on.
        here: String,
    },
    /// It cannot be made.
    #[error("cannot make the checkpoint {file}: {problem}")]
    Write {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl CheckpointError {
    pub(super) fn damaged(file: &Path, problem: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), problem: problem.to_string() }
    }
}

/// The metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    identity: Value,
    position: Position,
    history: Vec<Epoch>,
    best: Option<(usize, Evaluation)>,
}

/// A checkpoint that was read.
#[derive(Debug)]
pub(super) struct Checkpoint {
    tensors: HashMap<String, Vec<f32>>,
    pub position: Position,
    pub history: Vec<Epoch>,
    pub best: Option<(usize, Evaluation)>,
}

/// What a checkpoint says about its training.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointSummary {
    /// How the network is trained.
    pub recipe: Recipe,
    /// The seed of its random numbers.
    pub seed: u64,
    /// Number, shape and hash of the training images.
    pub training_images: String,
    /// The same of those held out, if there are any.
    pub validation_images: Option<String>,
    /// Steps done.
    pub steps: usize,
    /// Images done in the epoch that has begun.
    pub images: usize,
    /// How long it took so far, in seconds.
    pub seconds: f64,
    /// The epochs done.
    pub history: Vec<Epoch>,
    /// The best epoch on the images held out, from 0, and what it achieved.
    pub best: Option<(usize, Evaluation)>,
    /// The tensors, by name, and how many numbers each has.
    pub tensors: Vec<(String, usize)>,
}

impl CheckpointSummary {
    /// Reads it from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no whole checkpoint.
    pub fn read(file: &Path) -> Result<Self, CheckpointError> {
        let (Training { identity, position, history, best }, tensors) = parse(file)?;
        let missing = |name: &str| CheckpointError::damaged(file, format!("it does not say its {name}"));
        let text = |name: &str| identity[name].as_str().map(str::to_owned);
        let mut tensors: Vec<_> = tensors.into_iter().map(|(name, values)| (name, values.len())).collect();
        tensors.sort();
        Ok(Self {
            recipe: serde_json::from_value(identity["recipe"].clone()).map_err(|_| missing("recipe"))?,
            seed: identity["seed"].as_u64().ok_or_else(|| missing("seed"))?,
            training_images: text("training images").ok_or_else(|| missing("training images"))?,
            validation_images: text("validation images"),
            steps: position.step,
            images: position.images,
            seconds: position.seconds,
            history,
            best,
            tensors,
        })
    }
}

/// The metadata and the tensors of a file.
fn parse(file: &Path) -> Result<(Training, HashMap<String, Vec<f32>>), CheckpointError> {
    let bytes = std::fs::read(file).map_err(|source| CheckpointError::Read { file: file.to_owned(), source })?;
    let damaged = |problem: String| CheckpointError::damaged(file, problem);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get("training"));
    let text = text.ok_or_else(|| damaged("it has no metadata named `training`".to_owned()))?;
    let training: Training = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let content = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut tensors = HashMap::new();
    for (name, tensor) in content.tensors() {
        if tensor.dtype() != Dtype::F32 {
            return Err(damaged(format!("{name} is {:?}, not F32", tensor.dtype())));
        }
        let values = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        tensors.insert(name, values);
    }
    Ok((training, tensors))
}

impl Checkpoint {
    /// Reads a checkpoint of the training `identity`.
    pub fn read(file: &Path, identity: &Value) -> Result<Self, CheckpointError> {
        let (Training { identity: there, position, history, best }, tensors) = parse(file)?;
        if let Some((what, checkpoint, here)) = difference("", &there, identity) {
            return Err(CheckpointError::Other { file: file.to_owned(), what, checkpoint, here });
        }
        Ok(Self { tensors, position, history, best })
    }

    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(Vec::as_slice)
    }
}

/// The first difference of two identities: where, and both sides.
fn difference(place: &str, there: &Value, here: &Value) -> Option<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (there, here) {
        let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
        return names
            .filter_map(|name| {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                difference(&place, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null))
            })
            .next();
    }
    let text = |value: &Value| match value {
        Value::Null => "absent".to_owned(),
        // Numbers in f32 have more digits in f64.
        Value::Number(number) => match number.as_f64() {
            Some(real) if f64::from(real as f32) == real => (real as f32).to_string(),
            _ => number.to_string(),
        },
        value => value.to_string(),
    };
    (there != here).then(|| {
        let [there, here] = [there, here].map(text);
        // Networks are described at length: only the part that differs.
        let same = there.chars().zip(here.chars()).take_while(|(a, b)| a == b).count();
        let part = |text: &str| {
            const SHOWN: usize = 60;
            let skip = if text.chars().count() > SHOWN { same.saturating_sub(SHOWN / 3) } else { 0 };
            let shown: String = text.chars().skip(skip).take(SHOWN).collect();
            let dots = |more: bool| if more { "..." } else { "" };
            format!("{}{shown}{}", dots(skip > 0), dots(text.chars().count() > skip + SHOWN))
        };
        (place.to_owned(), part(&there), part(&here))
    })
}

/// The bytes of a checkpoint.
pub(super) fn to_bytes(
    file: &Path,
    identity: &Value,
    position: Position,
    history: &[Epoch],
    best: Option<(usize, Evaluation)>,
    tensors: &[(String, &[f32])],
) -> Result<Vec<u8>, CheckpointError> {
    let failed = |problem: String| CheckpointError::Write { file: file.to_owned(), problem };
    let training = Training { identity: identity.clone(), position, history: history.to_vec(), best };
    let text = serde_json::to_string(&training).map_err(|error| failed(error.to_string()))?;
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, values), bytes)| Ok((name, TensorView::new(Dtype::F32, vec![values.len()], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| failed(error.to_string()))?;
    safetensors::serialize(views, Some(HashMap::from([("training".to_owned(), text)])))
        .map_err(|error| failed(error.to_string()))
}

/// What tells parameters from others: their SHA-256.
pub(super) fn digest_of_parameters(parameters: &[f32]) -> String {
    let mut hash = Sha256::new();
    for parameter in parameters {
        hash.update(parameter.to_le_bytes());
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What tells images from others: their shape and SHA-256.
pub(super) fn digest(images: &Images) -> String {
    let mut hash = Sha256::new();
    hash.update(&images.pixels);
    hash.update(&images.labels);
    format!("{} of {:?}, SHA-256 {}", images.len(), images.shape(), hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let a = serde_json::json!({"seed": 1, "recipe": {"batch": 64, "schedule": {"peak": 0.5}}});
        let mut b = a.clone();
        assert_eq!(difference("", &a, &b), None);
        b["recipe"]["schedule"]["peak"] = serde_json::json!(0.25);
        let expected = ("recipe.schedule.peak".to_owned(), "0.5".to_owned(), "0.25".to_owned());
        assert_eq!(difference("", &a, &b), Some(expected));
        b = serde_json::json!({"seed": 1, "recipe": a["recipe"], "more": [1]});
        assert_eq!(difference("", &a, &b), Some(("more".to_owned(), "absent".to_owned(), "[1]".to_owned())));
    }
}
