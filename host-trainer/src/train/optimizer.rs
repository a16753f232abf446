//! Optimizers: rules that move parameters against their gradient.
//!
//! Parameters are one flat slice. A rule keeps its state (moments) in slices of the same length and works on any range
//! of them, so that a gradient need not exist whole: a model hands over the gradient of a range as soon as it is
//! final, and may reuse its memory. Every parameter must be updated exactly once in a step. The arithmetic is element by
//! element and in `f32` without fused multiply-adds: no result depends on how a step is cut into ranges or on the
//! machine.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The rule. `g` is the gradient, `p` the parameter, `t` the number of the step from 1, `r` its learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum: `g' = g + weight_decay * p`, `v = momentum * v + g'`, `p -= r * v`;
    /// with Nesterov's momentum `p -= r * (g' + momentum * v)` (I. Sutskever et al., *On the importance of
    /// initialization and momentum in deep learning*, 2013, in PyTorch's form).
    Sgd {
        /// Share of the last step that is repeated: 0.9 is usual, 0 is plain gradient descent.
        #[serde(default)]
        momentum: f32,
        /// Nesterov's momentum: the gradient after the step that momentum alone would do.
        #[serde(default)]
        nesterov: bool,
    },
    /// `m = b1 * m + (1 - b1) * g'`, `v = b2 * v + (1 - b2) * g'^2`,
    /// `p -= r * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)` with `g' = g + weight_decay * p` (D. Kingma and
    /// J. Ba, *Adam*, 2015).
    Adam(Moments),
    /// As Adam with `g' = g`; weights shrink apart from it, `p -= r * weight_decay * p`, before the step (I. Loshchilov
    /// and F. Hutter, *Decoupled Weight Decay Regularization*, 2019).
    #[serde(rename = "adamw")]
    AdamW(Moments),
}

/// The constants of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moments {
    /// `b1`: what the mean of gradients keeps of itself at each step.
    pub beta1: f32,
    /// `b2`: what the mean of squared gradients keeps of itself at each step.
    pub beta2: f32,
    /// Keeps the divisor from 0.
    pub epsilon: f32,
}

impl Default for Moments {
    /// The constants of the paper: 0.9, 0.999 and 1e-8.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Optimizer {
    /// How many slices of state it keeps.
    #[must_use]
    pub fn slices(&self) -> usize {
        match self {
            Self::Sgd { momentum, .. } => usize::from(*momentum != 0.0),
            Self::Adam(_) | Self::AdamW(_) => 2,
        }
    }

    /// What is wrong with its numbers, and the remedy.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let share = |name, value: f32| {
            (!(0.0..1.0).contains(&value)).then(|| (name, format!("is {value}; it must be at least 0 and below 1")))
        };
        match *self {
            Self::Sgd { momentum, nesterov } => share("momentum", momentum).or_else(|| {
                (nesterov && momentum == 0.0)
                    .then(|| ("nesterov", "needs a momentum above 0, such as 0.9; set one or leave it out".to_owned()))
            }),
            Self::Adam(moments) | Self::AdamW(moments) => {
                share("beta1", moments.beta1).or_else(|| share("beta2", moments.beta2)).or_else(|| {
                    let good = moments.epsilon > 0.0 && moments.epsilon.is_finite();
                    (!good).then(|| ("epsilon", format!("is {}; it must be above 0, such as 1e-8", moments.epsilon)))
                })
            }
        }
    }
}

/// Number of parameters that one task updates.
const TASK: usize = 4096;

/// The numbers of one step, the same for all parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub rate: f32,
    /// Pulls decayed parameters to 0.
    pub weight_decay: f32,
    /// Every gradient is multiplied by this first: clipping by norm.
    pub gradient_scale: f32,
    /// Then its elements are limited to this magnitude, if to any.
    pub clip_value: Option<f32>,
    /// What the averaged parameters keep of themselves; `None` leaves them alone.
    pub average_keep: Option<f32>,
}

/// The state of an optimizer for all parameters, with their average and pruning mask.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    rule: Optimizer,
    /// The number of steps begun.
    steps: u64,
    step: Step,
    /// `1 / (1 - b1^t)` and `1 / sqrt(1 - b2^t)` of Adam.
    correction: [f32; 2],
    /// Velocity, or first and second moments.
    moments: [Vec<f32>; 2],
    /// Averaged parameters, if they are kept.
    average: Vec<f32>,
    /// The parameters that decay, as sorted ranges that do not touch.
    decayed: Vec<Range<usize>>,
    /// Which parameters live; empty if all do.
    mask: Vec<bool>,
}

impl OptimizerState {
    /// The state before the first step. `decayed` are the ranges that weight decay pulls to 0: weights, but neither
    /// biases nor the parameters of batch normalization, whose size means something else. With `average` an average of
    /// the parameters is kept; it starts as `parameters`.
    ///
    /// # Panics
    /// When the ranges are not sorted, overlap or leave the parameters.
    #[must_use]
    pub fn new(rule: Optimizer, parameters: &[f32], decayed: &[Range<usize>], average: bool) -> Self {
        assert!(
            decayed.iter().map(|range| range.end).max().unwrap_or(0) <= parameters.len()
                && decayed.windows(2).all(|pair| pair[0].end <= pair[1].start),
            "ranges are sorted and apart"
        );
        let slices = rule.slices();
        let slice = |index| if index < slices { vec![0.0; parameters.len()] } else { Vec::new() };
        Self {
            rule,
            steps: 0,
            step: Step { rate: 0.0, weight_decay: 0.0, gradient_scale: 1.0, clip_value: None, average_keep: None },
            correction: [1.0; 2],
            moments: [slice(0), slice(1)],
            average: if average { parameters.to_vec() } else { Vec::new() },
            decayed: decayed.iter().filter(|range| !range.is_empty()).cloned().collect(),
            mask: Vec::new(),
        }
    }

    /// Keeps the parameters at 0 where `mask` is false (and their moments): what pruning cut stays cut. An empty mask
    /// frees all.
    ///
    /// # Panics
    /// When the mask is neither empty nor as long as the parameters.
    pub fn set_mask(&mut self, mask: Vec<bool>, parameters: &mut [f32]) {
        assert!(mask.is_empty() || mask.len() == parameters.len(), "a mask has an element for each parameter");
        self.mask = mask;
        let average = self.average.iter_mut();
        parameters.iter_mut().zip(&self.mask).filter(|(_, lives)| !**lives).for_each(|(value, _)| *value = 0.0);
        average.zip(&self.mask).filter(|(_, lives)| !**lives).for_each(|(value, _)| *value = 0.0);
    }

    /// The pruning mask, empty if there is none.
    #[must_use]
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// The averaged parameters, if they are kept.
    #[must_use]
    pub fn average(&self) -> Option<&[f32]> {
        (!self.average.is_empty()).then_some(&self.average[..])
    }

    /// The number of steps begun.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Begins a step; then every parameter is updated once.
    pub fn begin(&mut self, step: Step) {
        self.steps += 1;
        self.step = step;
        if let Optimizer::Adam(Moments { beta1, beta2, .. }) | Optimizer::AdamW(Moments { beta1, beta2, .. }) =
            self.rule
        {
            let left = |beta: f32| 1.0 - libm::pow(f64::from(beta), self.steps as f64);
            self.correction = [(1.0 / left(beta1)) as f32, (1.0 / libm::sqrt(left(beta2))) as f32];
        }
    }

    /// Updates the parameters of `range`, given alone, by their gradient, on all threads.
    ///
    /// # Panics
    /// When the slices are not as long as the range, or it leaves the parameters.
    pub fn update(&mut self, range: Range<usize>, gradient: &[f32], parameters: &mut [f32]) {
        assert!(gradient.len() == range.len() && parameters.len() == range.len(), "slices are of the range's length");
        let mut start = range.start;
        let (mut gradient, mut parameters) = (gradient, parameters);
        while start < range.end {
            // The range that begins here and wholly decays or wholly does not.
            let next = self.decayed.partition_point(|decayed| decayed.end <= start);
            let (end, decays) = match self.decayed.get(next) {
                Some(decayed) if decayed.start <= start => (decayed.end, true),
                Some(decayed) => (decayed.start, false),
                None => (range.end, false),
            };
            let length = end.min(range.end) - start;
            let (here, later) = std::mem::take(&mut parameters).split_at_mut(length);
            self.update_alike(start, &gradient[..length], here, decays);
            (gradient, parameters) = (&gradient[length..], later);
            start += length;
        }
    }

    /// Updates parameters from `start` on that all decay or all do not.
    fn update_alike(&mut self, start: usize, gradient: &[f32], parameters: &mut [f32], decays: bool) {
        let length = gradient.len();
        let part = |slice: &[f32]| if slice.is_empty() { 0..0 } else { start..start + length };
        let [first, second] = &mut self.moments;
        let (first_range, second_range, average_range) = (part(first), part(second), part(&self.average));
        let mask = if self.mask.is_empty() { &[][..] } else { &self.mask[start..start + length] };
        let kernel = Kernel { rule: self.rule, step: self.step, correction: self.correction, decays };
        let tasks = length.div_ceil(TASK);
        let first = pieces(&mut first[first_range], tasks);
        let second = pieces(&mut second[second_range], tasks);
        let average = pieces(&mut self.average[average_range], tasks);
        parameters
            .par_chunks_mut(TASK)
            .zip(gradient.par_chunks(TASK))
            .zip(first)
            .zip(second)
            .zip(average)
            .enumerate()
            .for_each(|(index, ((((parameters, gradient), first), second), average))| {
                kernel.move_parameters(parameters, gradient, first, second);
                if !mask.is_empty() {
                    for (i, _) in
                        mask[index * TASK..][..parameters.len()].iter().enumerate().filter(|(_, live)| !**live)
                    {
                        parameters[i] = 0.0;
                        for state in [&mut *first, &mut *second] {
                            if let Some(state) = state.get_mut(i) {
                                *state = 0.0;
                            }
                        }
                    }
                }
                if let Some(keep) = kernel.step.average_keep {
                    for (a, p) in average.iter_mut().zip(&*parameters) {
                        *a = keep * *a + (1.0 - keep) * *p;
                    }
                }
            });
    }

    /// The slices to keep in a checkpoint, by name.
    #[must_use]
    pub fn slices(&self) -> Vec<(&'static str, &[f32])> {
        let [first, second] = &self.moments;
        [("first_moment", &first[..]), ("second_moment", second), ("average", &self.average)]
            .into_iter()
            .filter(|(_, slice)| !slice.is_empty())
            .collect()
    }

    /// Goes on from the slices of a checkpoint after `steps` steps.
    ///
    /// # Errors
    /// The name of the slice that is missing or of another length.
    pub fn restore<'a>(
        &mut self,
        steps: u64,
        mut slice: impl FnMut(&str) -> Option<&'a [f32]>,
    ) -> Result<(), &'static str> {
        let [first, second] = &mut self.moments;
        for (name, target) in [("first_moment", first), ("second_moment", second), ("average", &mut self.average)] {
            if target.is_empty() {
                continue;
            }
            match slice(name) {
                Some(source) if source.len() == target.len() => target.copy_from_slice(source),
                _ => return Err(name),
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// The tasks' pieces of a slice, or empty ones if there is no such slice.
fn pieces(slice: &mut [f32], tasks: usize) -> impl IndexedParallelIterator<Item = &mut [f32]> {
    let pieces: Vec<&mut [f32]> =
        if slice.is_empty() { (0..tasks).map(|_| &mut [][..]).collect() } else { slice.chunks_mut(TASK).collect() };
    pieces.into_par_iter()
}

/// A rule with all numbers of a step.
#[derive(Clone, Copy)]
struct Kernel {
    rule: Optimizer,
    step: Step,
    correction: [f32; 2],
    decays: bool,
}

impl Kernel {
    fn move_parameters(&self, parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let Step { rate, gradient_scale, clip_value, .. } = self.step;
        let decay = if self.decays { self.step.weight_decay } else { 0.0 };
        let limit = clip_value.unwrap_or(f32::INFINITY);
        let clipped = |g: f32| {
            let g = g * gradient_scale;
            // Not `clamp`: what is no number stays none, and is noticed.
            if g > limit {
                limit
            } else if g < -limit {
                -limit
            } else {
                g
            }
        };
        match self.rule {
            Optimizer::Sgd { momentum, nesterov } if !first.is_empty() => {
                for ((p, v), &g) in parameters.iter_mut().zip(first).zip(gradient) {
                    let g = clipped(g) + decay * *p;
                    *v = momentum * *v + g;
                    *p -= rate * if nesterov { g + momentum * *v } else { *v };
                }
            }
            Optimizer::Sgd { .. } => {
                for (p, &g) in parameters.iter_mut().zip(gradient) {
                    *p -= rate * (clipped(g) + decay * *p);
                }
            }
            Optimizer::Adam(Moments { beta1, beta2, epsilon })
            | Optimizer::AdamW(Moments { beta1, beta2, epsilon }) => {
                let decoupled = matches!(self.rule, Optimizer::AdamW(_));
                let (coupled, shrink) = if decoupled { (0.0, 1.0 - rate * decay) } else { (decay, 1.0) };
                let [first_correction, second_correction] = self.correction;
                let rate = rate * first_correction;
                for (((p, m), v), &g) in parameters.iter_mut().zip(first).zip(second).zip(gradient) {
                    let g = clipped(g) + coupled * *p;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *p = shrink * *p - rate * *m / (v.sqrt() * second_correction + epsilon);
                }
            }
        }
    }
}

/// The Euclidean norm, with a sum in `f64` of fixed order: the same for every number of threads.
#[must_use]
pub fn norm(gradient: &[f32]) -> f64 {
    let sums: Vec<f64> =
        gradient.par_chunks(TASK).map(|part| part.iter().map(|&g| f64::from(g) * f64::from(g)).sum()).collect();
    libm::sqrt(sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn step(rate: f32) -> Step {
        Step { rate, weight_decay: 0.0, gradient_scale: 1.0, clip_value: None, average_keep: None }
    }

    const RULES: [Optimizer; 5] = [
        Optimizer::Sgd { momentum: 0.0, nesterov: false },
        Optimizer::Sgd { momentum: 0.9, nesterov: false },
        Optimizer::Sgd { momentum: 0.9, nesterov: true },
        Optimizer::Adam(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
        Optimizer::AdamW(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
    ];

    /// PyTorch's parameters after each of six steps: `tests/golden/optimizers.py` made them.
    #[test]
    fn pytorch_agrees() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/optimizers.json")).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let rule: Optimizer = serde_json::from_value(case["rule"].clone()).unwrap();
            let number = |name: &str| case[name].as_f64().unwrap() as f32;
            let mut p: Vec<f32> = numbers(&golden["start"]).iter().map(|&x| x as f32).collect();
            let count = p.len();
            let mut state = OptimizerState::new(rule, &p, std::slice::from_ref(&(0..count)), false);
            for (gradient, expected) in
                golden["gradients"].as_array().unwrap().iter().zip(case["parameters"].as_array().unwrap())
            {
                let mut gradient: Vec<f32> = numbers(gradient).iter().map(|&x| x as f32).collect();
                let gradient_scale = case.get("clip_norm").map_or(1.0, |limit| {
                    let norm = norm(&gradient);
                    (limit.as_f64().unwrap() / norm).min(1.0) as f32
                });
                let clip_value = case.get("clip_value").map(|limit| limit.as_f64().unwrap() as f32);
                state.begin(Step {
                    weight_decay: number("weight_decay"),
                    gradient_scale,
                    clip_value,
                    ..step(number("rate"))
                });
                state.update(0..count, &gradient, &mut p);
                gradient.clear();
                for (got, expected) in p.iter().zip(numbers(expected)) {
                    assert!(
                        (f64::from(*got) - expected).abs() < 2e-6 * expected.abs().max(0.1),
                        "{rule:?}: {got} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn first_steps_in_closed_form() {
        // Adam's first step is `rate * sign(g)` whatever the size of the gradient; AdamW's shrinks the weight besides.
        for (rule, start) in [(RULES[3], 2.0), (RULES[4], 2.0 * (1.0 - 0.01 * 0.1))] {
            for gradient in [1e-3_f32, -40.0] {
                let mut p = [2.0];
                let mut state = OptimizerState::new(rule, &p, std::slice::from_ref(&(0..1)), false);
                let weight_decay = if rule == RULES[4] { 0.1 } else { 0.0 };
                state.begin(Step { weight_decay, ..step(0.01) });
                state.update(0..1, &[gradient], &mut p);
                let expected = start - 0.01 * gradient.signum();
                assert!((p[0] - expected).abs() < 1e-6, "{rule:?}: {} {expected}", p[0]);
            }
        }
        // A constant gradient: the velocity is a geometric sum, `(1 - 0.9^t) / 0.1`.
        let mut p = [0.0];
        let mut state = OptimizerState::new(RULES[1], &p, &[], false);
        for _ in 0..20 {
            state.begin(step(0.1));
            state.update(0..1, &[1.0], &mut p);
        }
        let travelled: f64 = (1..=20).map(|t| 0.1 * (1.0 - 0.9_f64.powi(t)) / 0.1).sum();
        assert!((f64::from(p[0]) + travelled).abs() < 1e-4, "{} {travelled}", p[0]);
    }

    #[test]
    fn ranges_and_threads_change_nothing() {
        const COUNT: usize = 3 * TASK + 77;
        let mut random = Random::new(1, 0);
        let mut draw = |width: f32| (0..COUNT).map(|_| random.between(-width, width)).collect::<Vec<f32>>();
        let (start, gradients) = (draw(1.0), [draw(0.1), draw(0.1), draw(0.1)]);
        let mask: Vec<bool> = (0..COUNT).map(|i| i % 5 != 2).collect();
        // Between the cuts of the ranges below.
        let decayed = [10..500, 500..600, 5000..COUNT - 3];
        let run = |rule, cuts: &[usize], threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut p = start.clone();
                let mut state = OptimizerState::new(rule, &p, &decayed, true);
                state.set_mask(mask.clone(), &mut p);
                for gradient in &gradients {
                    state.begin(Step {
                        weight_decay: 0.3,
                        clip_value: Some(0.09),
                        average_keep: Some(0.7),
                        ..step(0.05)
                    });
                    // From the back: the order of the ranges is free.
                    for pair in cuts.windows(2).rev() {
                        state.update(pair[0]..pair[1], &gradient[pair[0]..pair[1]], &mut p[pair[0]..pair[1]]);
                    }
                }
                (p, state.average().unwrap().to_vec(), state.slices().concat_values())
            })
        };
        for rule in RULES {
            let expected = run(rule, &[0, COUNT], 1);
            assert_eq!(run(rule, &[0, 1, 499, 4097, 5001, 9999, COUNT], 3), expected);
            assert!(expected.0.iter().zip(&mask).all(|(&p, &lives)| lives || p == 0.0), "what is cut stays cut");
            assert!(expected.0.iter().zip(&start).zip(&mask).all(|((p, s), &lives)| !lives || p != s));
            assert!(expected.1.iter().zip(&mask).all(|(&a, &lives)| lives || a == 0.0));
        }
    }

    trait ConcatValues {
        fn concat_values(&self) -> Vec<f32>;
    }
    impl ConcatValues for Vec<(&'static str, &[f32])> {
        fn concat_values(&self) -> Vec<f32> {
            self.iter().flat_map(|(_, slice)| slice.iter().copied()).collect()
        }
    }

    #[test]
    fn only_decayed_ranges_shrink() {
        for rule in RULES {
            let mut p = [1.0; 6];
            let mut state = OptimizerState::new(rule, &p, &[1..3, 4..5], false);
            state.begin(Step { weight_decay: 0.5, ..step(0.1) });
            state.update(0..6, &[0.0; 6], &mut p);
            for (index, value) in p.iter().enumerate() {
                assert_eq!(*value < 1.0, [1, 2, 4].contains(&index), "{rule:?} {p:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_hidden_by_clipping() {
        for rule in RULES {
            let mut p = [1.0];
            let mut state = OptimizerState::new(rule, &p, &[], false);
            state.begin(Step { clip_value: Some(1.0), ..step(0.1) });
            state.update(0..1, &[f32::NAN], &mut p);
            assert!(p[0].is_nan());
        }
    }

    #[test]
    fn norms() {
        let ones = vec![0.5_f32; 5 * TASK + 1];
        assert!((norm(&ones) - 0.5 * (ones.len() as f64).sqrt()).abs() < 1e-9);
        assert_eq!(norm(&[3e30, -4e30]), 5e30_f32 as f64 * (norm(&[3e30, 4e30]) / 5e30_f32 as f64));
        assert!((norm(&[3e30, -4e30]) / 5e30 - 1.0).abs() < 1e-6, "no overflow");
    }
}
