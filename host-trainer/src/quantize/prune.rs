//! Magnitude pruning.

use crate::train::{Batch, Totals, Trainable, Update};
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

    /// What is wrong with its numbers, and the remedy.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let Self { sparsity, begin, end, .. } = *self;
        if !(0.0..1.0).contains(&sparsity) {
            return Some(("sparsity", format!("is {sparsity}; a share of the weights is at least 0 and below 1")));
        }
        if !(0.0..=1.0).contains(&begin) {
            return Some(("begin", format!("is {begin}; a share of training is at least 0 and at most 1")));
        }
        (!(begin..=1.0).contains(&end))
            .then(|| ("end", format!("is {end}; it must be at least `begin`, which is {begin}, and at most 1")))
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

    /// Which parameters are kept.
    #[must_use]
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// The share of the weights that are pruned.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        let places = || self.layers.iter().cloned().flatten();
        places().filter(|&place| !self.kept[place]).count() as f64 / places().count().max(1) as f64
    }
}

/// A network that is pruned while it trains: before each epoch its smallest weights are set to 0, as many as the schedule
/// says for the epoch's end, and the trainer keeps them there. No epoch before all are pruned is a training's best one.
#[derive(Debug)]
pub struct Pruned<T> {
    model: T,
    pruning: Pruning,
    mask: Mask,
    /// Whether the present epoch prunes the last weights, or comes after that one.
    complete: bool,
}

impl<T: Trainable> Pruned<T> {
    /// Prunes `model`, all weights that weight decay pulls to 0.
    #[must_use]
    pub fn new(model: T, pruning: Pruning) -> Self {
        let mask = Mask::new(model.parameters(), &model.decayed());
        Self { model, pruning, mask, complete: false }
    }

    /// Which parameters are kept so far.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The network itself.
    #[must_use]
    pub fn model(&self) -> &T {
        &self.model
    }

    /// The network itself, which is no longer pruned.
    #[must_use]
    pub fn into_model(self) -> T {
        self.model
    }
}

/// The name of the mask among what a network has learnt.
const MASK: &str = "pruning_mask";

impl<T: Trainable> Trainable for Pruned<T> {
    fn description(&self) -> String {
        format!("{}, pruned: {:?}", self.model.description(), self.pruning)
    }

    fn input(&self) -> [usize; 3] {
        self.model.input()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }

    fn parameters(&self) -> usize {
        self.model.parameters()
    }

    fn decayed(&self) -> Vec<Range<usize>> {
        self.model.decayed()
    }

    fn begin_epoch(&mut self, epoch: usize, epochs: usize, parameters: &[f32]) -> Option<Vec<bool>> {
        let cut = self.model.begin_epoch(epoch, epochs, parameters);
        debug_assert!(cut.is_none(), "one mask at a time");
        let progress = (epoch + 1) as f64 / epochs.max(1) as f64;
        self.mask.prune(parameters, self.pruning.scope, self.pruning.sparsity_at(progress));
        self.complete = progress >= self.pruning.end;
        Some(self.mask.kept.clone())
    }

    fn is_complete(&self) -> bool {
        self.complete && self.model.is_complete()
    }

    fn step(&mut self, batch: &Batch, smoothing: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals {
        self.model.step(batch, smoothing, parameters, update)
    }

    fn infer(&mut self, parameters: &[f32], inputs: &[f32], count: usize, logits: &mut [f32]) {
        self.model.infer(parameters, inputs, count, logits);
    }

    fn adapt(&mut self, parameters: &[f32], batch: &Batch) -> bool {
        self.model.adapt(parameters, batch)
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        let mut state = self.model.state();
        let mask = self.mask.kept.iter().map(|&kept| f32::from(u8::from(kept))).collect();
        state.push((MASK.to_owned(), mask));
        state
    }

    fn restore(&mut self, state: &[(String, Vec<f32>)]) -> bool {
        let Some(((name, mask), rest)) = state.split_last() else { return false };
        if name != MASK || mask.len() != self.mask.kept.len() || !self.model.restore(rest) {
            return false;
        }
        self.mask.kept = mask.iter().map(|&kept| kept != 0.0).collect();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augmentation, Images};
    use crate::train::{Average, InputScaling, Optimizer, Recipe, Schedule, Trainer, TrainingData};
    use std::sync::atomic::AtomicBool;

    /// A model whose gradient pulls every parameter up by the same.
    struct Rising;

    impl Trainable for Rising {
        fn description(&self) -> String {
            "rising".to_owned()
        }

        fn input(&self) -> [usize; 3] {
            [1, 1, 1]
        }

        fn classes(&self) -> usize {
            4
        }

        fn parameters(&self) -> usize {
            4
        }

        fn decayed(&self) -> Vec<Range<usize>> {
            vec![0..1, 1..3]
        }

        fn step(&mut self, _: &Batch, _: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals {
            // In two parts, as networks call it.
            let (first, second) = parameters.split_at_mut(2);
            update(0..2, &[-1.0; 2], first);
            update(2..4, &[-1.0; 2], second);
            Totals::default()
        }

        fn infer(&mut self, parameters: &[f32], _: &[f32], _: usize, logits: &mut [f32]) {
            logits.copy_from_slice(parameters);
        }
    }

    #[test]
    fn epochs_prune_what_the_schedule_says() {
        let pruning = Pruning { sparsity: 2.0 / 3.0, scope: PruningScope::Global, begin: 0.0, end: 1.0 };
        let mut model = Pruned::new(Rising, pruning);
        // After half of training 7/8 of the sparsity: 1.75 of 3 weights, rounded. The last parameter is a bias.
        let lives = model.begin_epoch(0, 2, &[0.5, -0.1, 3.0, 0.01]);
        assert_eq!(lives.as_deref(), Some(&[false, false, true, true][..]));
        assert!(!model.is_complete(), "an eighth of the sparsity is still to come");
        assert!((model.mask().sparsity() - 2.0 / 3.0).abs() < 1e-12);
        // An epoch that goes on prunes nothing more, whatever the weights are now.
        assert_eq!(model.begin_epoch(0, 2, &[0.0, 0.0, 0.0, 0.0]), lives);

        let mut other = Pruned::new(Rising, pruning);
        assert!(other.restore(&model.state()));
        assert_eq!(other.mask(), model.mask());
        other.begin_epoch(1, 2, &[0.0, 0.0, 7.0, 1.0]);
        assert!(other.is_complete());
        assert!(!other.restore(&[]));
    }

    /// The gradients of what is cut off have no part in the norm by which all are clipped.
    #[test]
    fn clipping_by_norm_leaves_pruned_weights_out() {
        let image = Images { size: [1, 1], channels: 1, pixels: vec![0], labels: vec![0] };
        let scaling = InputScaling::unit(1);
        let data = TrainingData { train: &image, validation: None, test: None, scaling: &scaling };
        let recipe = Recipe {
            epochs: 1,
            batch: 1,
            optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
            schedule: Schedule::Constant { peak: 1.0, warm_up: 0.0 },
            weight_decay: 0.0,
            label_smoothing: 0.0,
            clip_norm: Some(std::f32::consts::SQRT_2 / 2.0),
            clip_value: None,
            average: Average::None,
            augmentation: Augmentation::NONE,
            early_stopping: None,
        };
        let pruning = Pruning { sparsity: 2.0 / 3.0, scope: PruningScope::Global, begin: 0.0, end: 0.0 };
        let start = vec![0.5, -0.1, 3.0, 0.01];
        let mut trainer = Trainer::new(Pruned::new(Rising, pruning), data, start, recipe, 1).unwrap();
        trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
        // Two live: their gradients have the norm sqrt(2), and half of it is left.
        for (have, want) in trainer.parameters().iter().zip([0.0, 0.0, 3.5, 0.51]) {
            assert!((have - want).abs() < 1e-6, "{have} {want}");
        }
    }

    #[test]
    fn the_schedule_begins_and_ends_where_it_says() {
        let pruning = Pruning { sparsity: 0.8, scope: PruningScope::Global, begin: 0.25, end: 0.75 };
        for (progress, sparsity) in [(0.0, 0.0), (0.25, 0.0), (0.5, 0.7), (0.75, 0.8), (1.0, 0.8)] {
            assert!((pruning.sparsity_at(progress) - sparsity).abs() < 1e-12, "{progress}");
        }
        assert_eq!(Pruning { begin: 0.5, end: 0.5, ..pruning }.sparsity_at(0.5), 0.8);
        assert_eq!(pruning.problem(), None);
        for (wrong, field, says) in [
            (Pruning { sparsity: 1.0, ..pruning }, "sparsity", "below 1"),
            (Pruning { begin: f64::NAN, ..pruning }, "begin", "at most 1"),
            (Pruning { begin: 0.8, ..pruning }, "end", "`begin`, which is 0.8"),
        ] {
            let (found, problem) = wrong.problem().unwrap();
            assert!(found == field && problem.contains(says), "{found} {problem}");
        }
    }

    #[test]
    fn the_smallest_weights_go_and_do_not_come_back() {
        // Biases at 3 and 8 are no weights.
        let layers = [0..3, 4..8];
        let parameters = [0.1, -5.0, 3.0, 0.0, -0.2, 7.0, -0.3, 6.0, 0.0];
        let pruned = |mask: &Mask| -> Vec<bool> { mask.kept().iter().map(|kept| !kept).collect() };
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
    }
}
