//! How to train, as numbers that can be written into a file.

use super::{Average, Optimizer, Schedule};
use crate::data::{Augmentation, AugmentationError};
use serde::{Deserialize, Serialize};

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step. The last step of an epoch may have fewer.
    pub batch: usize,
    /// How gradients move parameters.
    pub optimizer: Optimizer,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Pulls weights (neither biases nor the parameters of batch normalization) to 0.
    #[serde(default)]
    pub weight_decay: f32,
    /// Share of the target that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f32,
    /// The greatest Euclidean norm of the gradient of all parameters together: a longer one is scaled down to it (R.
    /// Pascanu et al., *On the difficulty of training recurrent neural networks*, 2013). It is known only when all
    /// gradients are: they are then kept, which takes the memory of the parameters once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// The greatest magnitude of an element of the gradient, after `clip_norm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f32>,
    /// Which average of the parameters is the result.
    #[serde(default)]
    pub average: Average,
    /// Random changes of the images.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Ends training when the validation images get no better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
}

/// When to end before the last epoch. (L. Prechelt, *Early Stopping, but when?*, 1998.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Training ends after this number of epochs in a row without a new best on the validation images.
    pub patience: usize,
}

/// A number of a recipe is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// A number of the training itself.
    #[error("`{field}` {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A number of the augmentation.
    #[error(transparent)]
    Augmentation(#[from] AugmentationError),
}

impl Recipe {
    /// Checks all numbers, for images of `shape` (height, width, channels). `validation` says whether there are
    /// validation images.
    ///
    /// # Errors
    /// Names the first number that is out of range, and the remedy.
    pub fn check(&self, shape: [usize; 3], validation: bool) -> Result<(), RecipeError> {
        let count = |field, value: usize| (value == 0).then(|| (field, "is 0; it must be at least 1".to_owned()));
        let limit = |field, value: Option<f32>| {
            value
                .filter(|value| !(*value > 0.0 && value.is_finite()))
                .map(|value| (field, format!("is {value}; it must be above 0 and finite (leave it out for no limit)")))
        };
        let problem = count("epochs", self.epochs)
            .or_else(|| count("batch", self.batch))
            .or_else(|| self.optimizer.problem())
            .or_else(|| self.schedule.problem())
            .or_else(|| {
                let good = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
                (!good).then(|| ("weight_decay", format!("is {}; it must not be below 0", self.weight_decay)))
            })
            .or_else(|| {
                let value = self.label_smoothing;
                let good = (0.0..1.0).contains(&value);
                (!good).then(|| ("label_smoothing", format!("is {value}; it must be at least 0 and below 1")))
            })
            .or_else(|| limit("clip_norm", self.clip_norm))
            .or_else(|| limit("clip_value", self.clip_value))
            .or_else(|| self.average.problem())
            .or_else(|| self.early_stopping.and_then(|early| count("patience", early.patience)))
            .or_else(|| {
                (self.early_stopping.is_some() && !validation).then(|| {
                    ("early_stopping", "needs validation images; split off a share of the training images".to_owned())
                })
            });
        if let Some((field, problem)) = problem {
            return Err(RecipeError::Field { field, problem });
        }
        Ok(self.augmentation.check(shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        epochs = 3
        batch = 16
        optimizer = { kind = 'sgd', momentum = 0.9, nesterov = true }
        schedule = { kind = 'cosine', peak = 0.1, warm_up = 0.05 }
    ";

    #[test]
    fn reads_from_toml_and_back() {
        let recipe: Recipe = toml::from_str(TEXT).unwrap();
        assert_eq!(recipe.average, Average::None);
        assert_eq!(recipe.check([28, 28, 1], false), Ok(()));
        let again: Recipe = toml::from_str(&toml::to_string(&recipe).unwrap()).unwrap();
        assert_eq!(again, recipe);
        let full = format!(
            "{TEXT}
            weight_decay = 1e-4
            label_smoothing = 0.1
            clip_norm = 5.0
            clip_value = 0.5
            average = {{ kind = 'exponential', decay = 0.99 }}
            early_stopping = {{ patience = 4 }}
            [augmentation]
            rotation = 10.0"
        );
        let recipe: Recipe = toml::from_str(&full).unwrap();
        assert_eq!(recipe.check([28, 28, 1], true), Ok(()));
        let again: Recipe = toml::from_str(&toml::to_string(&recipe).unwrap()).unwrap();
        assert_eq!(again, recipe);
        let adam = TEXT.replace("'sgd', momentum = 0.9, nesterov = true", "'adamw', beta2 = 0.99");
        let recipe: Recipe = toml::from_str(&adam).unwrap();
        assert!(matches!(recipe.optimizer, Optimizer::AdamW(moments) if moments.beta1 == 0.9 && moments.beta2 == 0.99));
        for (from, to, part) in [
            ("batch = 16", "batch = 16\nmomentum = 1", "momentum"),
            ("nesterov", "nesterof", "nesterof"),
            ("batch = 16", "", "batch"),
            ("batch = 16", "batch = -1", "-1"),
        ] {
            let message = toml::from_str::<Recipe>(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn errors_name_the_number_and_the_remedy() {
        let good: Recipe = toml::from_str(TEXT).unwrap();
        let message = |change: &dyn Fn(&mut Recipe)| {
            let mut recipe = good.clone();
            change(&mut recipe);
            recipe.check([28, 28, 1], false).unwrap_err().to_string()
        };
        type Case<'a> = (&'a dyn Fn(&mut Recipe), &'a [&'a str]);
        let cases: [Case; 9] = [
            (&|r| r.epochs = 0, &["`epochs`", "at least 1"]),
            (&|r| r.batch = 0, &["`batch`", "at least 1"]),
            (&|r| r.optimizer = Optimizer::Sgd { momentum: 1.0, nesterov: false }, &["`momentum`", "below 1"]),
            (&|r| r.optimizer = Optimizer::Sgd { momentum: 0.0, nesterov: true }, &["`nesterov`", "momentum"]),
            (&|r| r.weight_decay = f32::NAN, &["`weight_decay`", "NaN"]),
            (&|r| r.label_smoothing = 1.0, &["`label_smoothing`", "below 1"]),
            (&|r| r.clip_norm = Some(0.0), &["`clip_norm`", "leave it out"]),
            (&|r| r.early_stopping = Some(EarlyStopping { patience: 3 }), &["`early_stopping`", "validation"]),
            (&|r| r.augmentation.rotation = 400.0, &["rotation", "400"]),
        ];
        for (change, parts) in cases {
            let message = message(change);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}
