//! Magnitude pruning.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How a network's smallest weights are set to 0 while it trains, and kept there: magnitude pruning (S. Han et al.,
/// *Learning both Weights and Connections for Efficient Neural Networks*, 2015), on the gradual schedule of M. Zhu and S.
/// Gupta, *To Prune, or Not to Prune*, 2017 (<https://arxiv.org/abs/1710.01878>).
///
/// A pruned network is as large and as fast as before: the library's layers are dense. What it gains is that its file is
/// compressed well, and often a milder quantization.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Pruning {
    /// The share of weights that are 0 in the end; at least 0, below 1.
    pub sparsity: f64,
    /// Among which weights the smallest are looked for.
    #[serde(default)]
    pub scope: PruningScope,
    /// The share of training after which pruning begins.
    #[serde(default)]
    pub begin: f64,
    /// The share of training after which all is pruned; the rest of it makes up for the loss.
    #[serde(default = "three_quarters")]
    pub end: f64,
}

fn three_quarters() -> f64 {
    0.75
}

/// Among which weights the smallest are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruningScope {
    /// Among all: large layers lose more than small ones.
    #[default]
    Global,
    /// Each layer loses the same share.
    Layer,
}

impl Pruning {
    /// The share of weights that are 0 at a share of training: `sparsity * (1 - (1 - t)^3)`, where `t` goes from 0 at
    /// `begin` to 1 at `end`.
    #[must_use]
    pub fn sparsity_at(&self, progress: f64) -> f64 {
        if progress < self.begin {
            return 0.0;
        }
        let span = self.end - self.begin;
        let t = if span > 0.0 { ((progress - self.begin) / span).min(1.0) } else { 1.0 };
        self.sparsity * (1.0 - (1.0 - t).powi(3))
    }

    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// In words for people.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.sparsity) {
            return Err(format!(
                "a sparsity of {} is no share of weights: it is at least 0 and below 1",
                self.sparsity
            ));
        }
        if !(0.0 <= self.begin && self.begin <= self.end && self.end <= 1.0) {
            return Err(format!(
                "pruning from {} to {} of training: both are shares from 0 to 1, in this order",
                self.begin, self.end
            ));
        }
        Ok(())
    }
}

/// Which parameters are kept; the others are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    kept: Vec<bool>,
    /// The weights that may be pruned, layer by layer.
    layers: Vec<Range<usize>>,
}

impl Mask {
    /// A mask of `parameters` parameters that keeps all. `layers` are the places of the weights that may be pruned.
    #[must_use]
    pub fn new(parameters: usize, layers: &[Range<usize>]) -> Self {
        Self { kept: vec![true; parameters], layers: layers.to_vec() }
    }

    /// Prunes the smallest weights until this share is 0, rounded to whole weights; of equal ones the first. What is pruned
    /// stays pruned.
    pub fn prune(&mut self, parameters: &[f32], scope: PruningScope, sparsity: f64) {
        let groups: Vec<Vec<Range<usize>>> = match scope {
            PruningScope::Global => vec![self.layers.clone()],
            PruningScope::Layer => self.layers.iter().map(|layer| vec![layer.clone()]).collect(),
        };
        for group in groups {
            let mut places: Vec<usize> = group.into_iter().flatten().collect();
            let count = ((sparsity * places.len() as f64).round() as usize).min(places.len());
            if count == 0 {
                continue;
            }
            let kept = &self.kept;
            let magnitude = |&place: &usize| if kept[place] { parameters[place].abs() } else { -1.0 };
            places.select_nth_unstable_by(count - 1, |a, b| magnitude(a).total_cmp(&magnitude(b)).then(a.cmp(b)));
            for &place in &places[..count] {
                self.kept[place] = false;
            }
        }
    }

    /// Sets the parameters from `start` on that are not kept to 0.
    pub fn apply(&self, start: usize, parameters: &mut [f32]) {
        for (parameter, &kept) in parameters.iter_mut().zip(&self.kept[start..]) {
            if !kept {
                *parameter = 0.0;
            }
        }
    }

    /// The share of the weights that are pruned.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        let places = || self.layers.iter().cloned().flatten();
        places().filter(|&place| !self.kept[place]).count() as f64 / places().count().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_begins_and_ends_where_it_says() {
        let pruning = Pruning { sparsity: 0.8, scope: PruningScope::Global, begin: 0.25, end: 0.75 };
        for (progress, sparsity) in [(0.0, 0.0), (0.25, 0.0), (0.5, 0.7), (0.75, 0.8), (1.0, 0.8)] {
            assert!((pruning.sparsity_at(progress) - sparsity).abs() < 1e-12, "{progress}");
        }
        assert_eq!(Pruning { begin: 0.5, end: 0.5, ..pruning }.sparsity_at(0.5), 0.8);
        assert!(pruning.check().is_ok());
        assert!(Pruning { sparsity: 1.0, ..pruning }.check().is_err());
        assert!(Pruning { begin: 0.8, ..pruning }.check().unwrap_err().contains("0.8 to 0.75"));
    }

    #[test]
    fn the_smallest_weights_go_and_do_not_come_back() {
        // Biases at 3 and 8 are no weights.
        let layers = [0..3, 4..8];
        let parameters = [0.1, -5.0, 3.0, 0.0, -0.2, 7.0, -0.3, 6.0, 0.0];
        let pruned = |mask: &Mask| {
            let mut result = [1.0; 9];
            mask.apply(0, &mut result);
            result.map(|value| value == 0.0)
        };
        let mut global = Mask::new(9, &layers);
        global.prune(&parameters, PruningScope::Global, 3.0 / 7.0);
        assert_eq!(pruned(&global), [true, false, false, false, true, false, true, false, false]);
        assert!((global.sparsity() - 3.0 / 7.0).abs() < 1e-12);
        let mut each = Mask::new(9, &layers);
        each.prune(&parameters, PruningScope::Layer, 0.5);
        // Of three weights 1.5 are two.
        assert_eq!(pruned(&each), [true, false, true, false, true, false, true, false, false]);
        // The pruned ones have grown, and stay pruned; the smallest of the others follows.
        let mut later = parameters;
        (later[0], later[4], later[6], later[5]) = (9.0, 9.0, 9.0, 0.01);
        global.prune(&later, PruningScope::Global, 4.0 / 7.0);
        assert_eq!(pruned(&global), [true, false, false, false, true, true, true, false, false]);
        let mut part = [1.0; 3];
        global.apply(4, &mut part);
        assert_eq!(part, [0.0, 0.0, 0.0]);
    }
}
