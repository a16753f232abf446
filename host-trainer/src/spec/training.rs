//! How to train, as a description says it.

use super::error::{Problem, Step};
use crate::quantize::Pruning;
use crate::train::{Recipe, RecipeError};
use serde::{Deserialize, Serialize};

/// The `[training]` table: the recipe, and what is around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Seeds of all random numbers of training: first weights, order and changes of images, dropout. A network is trained
    /// from each, and the one that is best on the images held out is kept.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// Share of the training images of each class that is held out to choose by: the epoch to stop at, the best of several
    /// networks. The test images never choose anything.
    #[serde(default)]
    pub validation_share: f64,
    /// Weights that are set to 0, and stay so, while the network trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Pruning>,
    /// All else. In TOML, its fields are those of the table.
    pub recipe: Recipe,
}

/// The fields of the table that are not the recipe's.
pub(super) const OWN_FIELDS: &[&str] = &["seeds", "validation_share", "pruning"];

fn seeds() -> Vec<u64> {
    vec![1]
}

impl Training {
    /// Training by a recipe, from the seed 1, with all training images.
    #[must_use]
    pub fn new(recipe: Recipe) -> Self {
        Self { seeds: seeds(), validation_share: 0.0, pruning: None, recipe }
    }

    /// Checks every range, for images of `shape` (height, width, channels).
    ///
    /// # Errors
    /// The first number that is out of its range.
    pub fn check(&self, shape: [usize; 3]) -> Result<(), Problem> {
        let share = self.validation_share;
        if !(0.0..1.0).contains(&share) {
            let remedy = "it must be at least 0 and below 1; 0.1 holds a tenth of the training images out";
            return Err(Problem::new(&["validation_share"], format!("`validation_share` is {share}"), remedy));
        }
        if self.seeds.is_empty() {
            return Err(Problem::new(&["seeds"], "there is no seed", "name at least one: seeds = [1]"));
        }
        if let Some(place) = self.seeds.iter().position(|&seed| seed > u64::from(u32::MAX)) {
            let problem = format!("the seed {} is too large", self.seeds[place]);
            return Err(Problem::new(&["seeds"], problem, "it must be at most 4294967295"));
        }
        if self.seeds.len() > 1 && share == 0.0 {
            return Err(Problem::new(
                &["seeds"],
                "several networks are compared by images held out, and there are none",
                "add validation_share = 0.1: a tenth of the training images, never test images",
            ));
        }
        if let Some((field, problem)) = self.pruning.as_ref().and_then(Pruning::problem) {
            let (problem, remedy) = problem.split_once("; ").unwrap_or((&problem, ""));
            return Err(Problem::new(&["pruning", field], format!("`{field}` {problem}"), remedy));
        }
        self.recipe.check(shape, share > 0.0).map_err(|error| {
            let (path, text) = match &error {
                RecipeError::Field { field, .. } => (vec![Step::from(*field)], error.to_string()),
                RecipeError::Augmentation(problem) => (
                    std::iter::once("augmentation").chain(problem.field.split('.')).map(Step::from).collect(),
                    error.to_string(),
                ),
            };
            // The recipe's own errors end with the remedy.
            let (problem, remedy) = text.split_once("; ").unwrap_or((&text, ""));
            Problem { path, problem: problem.to_owned(), remedy: remedy.to_owned() }
        })
    }
}
