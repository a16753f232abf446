//! Weights as integers: a scale for each output channel.

use super::linear::Taps;
use super::options::RangeChoice;
use crate::graph::Rounding;

/// The share of the greatest magnitude from which the search for the least squared error begins.
const LEAST_SHARE: f64 = 0.2;
/// Scales that the search tries before it refines the best.
const TRIALS: usize = 160;

/// How weights become integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightRule {
    /// How each range is chosen.
    pub choice: RangeChoice,
    /// The greatest integer; the least is its negative.
    pub most: i8,
    /// Whether scales are powers of two.
    pub power_of_two: bool,
}

impl WeightRule {
    /// The integer nearest to a weight, halves away from zero.
    pub(super) fn round(&self, weight: f32, scale: f32) -> i8 {
        let most = f64::from(self.most);
        (f64::from(weight) / f64::from(scale)).round().clamp(-most, most) as i8
    }

    /// Rounds a channel's weights, as real numbers.
    pub(super) fn round_all(&self, weights: &mut [f32]) {
        let Some(scale) = self.scale(weights) else { return };
        for weight in weights {
            *weight = f32::from(self.round(*weight, scale)) * scale;
        }
    }

    /// The sum of squared errors of weights with this scale.
    fn error(&self, weights: &[f32], scale: f64) -> f64 {
        let most = f64::from(self.most);
        let squares = weights.iter().map(|&weight| {
            let weight = f64::from(weight);
            (weight - (weight / scale).round().clamp(-most, most) * scale).powi(2)
        });
        squares.sum()
    }

    /// The scale of a channel's weights; `None` if they are all zero, for then any will do.
    pub(super) fn scale(&self, weights: &[f32]) -> Option<f32> {
        let greatest = weights.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
        // A scale must be a normal number, and so must its products with others.
        let greatest = Some(f64::from(greatest)).filter(|&greatest| greatest > 1e-30)?;
        let most = f64::from(self.most);
        let scale = match self.choice {
            RangeChoice::MinMax => greatest / most,
            RangeChoice::Percentile(percent) => {
                let mut magnitudes: Vec<f64> = weights.iter().map(|&weight| f64::from(weight).abs()).collect();
                magnitudes.sort_by(f64::total_cmp);
                let place = (percent / 100.0 * magnitudes.len() as f64).ceil() as usize;
                let end = magnitudes[place.clamp(1, magnitudes.len()) - 1];
                // Most weights may be zero.
                if end > 1e-30 { end / most } else { greatest / most }
            }
            RangeChoice::LeastSquares => self.least_squares(weights, greatest),
        };
        if !self.power_of_two {
            return Some(scale as f32);
        }
        let above = scale.log2().ceil();
        let [coarse, fine] =
            [above, above - 1.0].map(|exponent| (exponent.exp2(), self.error(weights, exponent.exp2())));
        Some(if fine.1 < coarse.1 { fine.0 } else { coarse.0 } as f32)
    }

    /// A search over scales, and from the best one steps to the scale that is best for its integers, as long as it helps.
    fn least_squares(&self, weights: &[f32], greatest: f64) -> f64 {
        let most = f64::from(self.most);
        let shares = (0..=TRIALS).map(|trial| LEAST_SHARE + (1.0 - LEAST_SHARE) * trial as f64 / TRIALS as f64);
        let trials = shares.map(|share| share * greatest / most).map(|scale| (self.error(weights, scale), scale));
        let (mut least, mut best) = trials.fold((f64::INFINITY, greatest / most), |a, b| if b.0 < a.0 { b } else { a });
        for _ in 0..20 {
            let (mut products, mut squares) = (0.0, 0.0);
            for &weight in weights {
                let q = (f64::from(weight) / best).round().clamp(-most, most);
                products += f64::from(weight) * q;
                squares += q * q;
            }
            let scale = products / squares;
            let error = if scale > 0.0 { self.error(weights, scale) } else { f64::INFINITY };
            if error >= least {
                break;
            }
            (least, best) = (error, scale);
        }
        best
    }
}

/// What a layer's accumulators must keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The scale of the input.
    pub input: f32,
    /// The scale of the output.
    pub output: f32,
    /// Steps that an input may be off its zero point.
    pub steps: i64,
    /// How sums are rounded.
    pub rounding: Rounding,
}

impl Bounds {
    /// Whether packing takes a channel of this scale, bias and sum of magnitudes: no accumulator leaves its bits.
    pub(super) fn hold(&self, scale: f32, bias: i64, magnitude: i64) -> bool {
        let multiplier = f64::from(self.input) * f64::from(scale) / f64::from(self.output);
        let most = match self.rounding {
            // The rounding shifts to the left first for multipliers of 1 and more.
            Rounding::TensorFlowLiteMicro => {
                i64::from(i32::MAX) >> (multiplier.log2().floor().clamp(-1.0, 60.0) as i64 + 1)
            }
            Rounding::Single => i64::from(i32::MAX),
            // The bias holds the zero point and the rounding, up to 129 * 2^23.
            Rounding::PowerOfTwo => i64::from(i32::MAX) - (129 << 23),
        };
        let shift_fits = self.rounding != Rounding::PowerOfTwo || multiplier >= 2f64.powi(-23);
        shift_fits && bias.abs() + self.steps * magnitude <= most
    }

    /// The bias as an integer; it may be too large.
    fn bias(&self, bias: f64, scale: f32) -> i64 {
        (bias / (f64::from(self.input) * f64::from(scale))).round() as i64
    }

    /// The scale of a channel without weights: the bias is in steps of 1/256 of the output's.
    fn empty(&self) -> f32 {
        self.output / self.input / 256.0
    }
}

/// The integers of a linear layer.
#[derive(Clone, Debug)]
pub(super) struct IntegerWeights {
    /// In canonical order.
    pub weights: Vec<i8>,
    /// One for each output channel.
    pub scales: Vec<f32>,
    /// One for each output channel.
    pub bias: Vec<i32>,
}

/// Rounds the weights of a layer and its biases. A scale is doubled as long as an accumulator could leave its bits.
pub(super) fn round(taps: &Taps, weights: &[f32], bias: &[f32], rule: &WeightRule, bounds: &Bounds) -> IntegerWeights {
    let mut result = IntegerWeights {
        weights: vec![0; weights.len()],
        scales: Vec::with_capacity(taps.outputs()),
        bias: Vec::with_capacity(taps.outputs()),
    };
    for (output, &bias) in bias.iter().enumerate() {
        let channel: Vec<f32> = taps.channel(output).map(|place| weights[place]).collect();
        let mut scale = rule.scale(&channel).unwrap_or_else(|| bounds.empty());
        let (mut integers, mut integer_bias) = (Vec::new(), 0);
        for _ in 0..64 {
            integers = channel.iter().map(|&weight| rule.round(weight, scale)).collect();
            integer_bias = bounds.bias(f64::from(bias), scale);
            if bounds.hold(scale, integer_bias, integers.iter().map(|&q: &i8| i64::from(q).abs()).sum()) {
                break;
            }
            scale *= 2.0;
        }
        taps.channel(output).zip(integers).for_each(|(place, q)| result.weights[place] = q);
        result.scales.push(scale);
        // What still does not fit, packing refuses, with the layer's name.
        result.bias.push(integer_bias.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn rule(choice: RangeChoice, most: i8) -> WeightRule {
        WeightRule { choice, most, power_of_two: false }
    }

    fn channel(seed: u64, count: usize) -> Vec<f32> {
        let mut random = Random::new(seed, 1);
        (0..count).map(|_| (0..6).map(|_| random.between(-0.2, 0.2)).product::<f32>() * 900.0).collect()
    }

    #[test]
    fn the_greatest_weight_is_the_greatest_integer() {
        let weights = channel(1, 50);
        let greatest = weights.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
        for most in [127, 7] {
            let rule = rule(RangeChoice::MinMax, most);
            let scale = rule.scale(&weights).unwrap();
            assert!((scale * f32::from(most) - greatest).abs() <= greatest * 1e-6);
            assert_eq!(weights.iter().map(|&weight| rule.round(weight, scale).abs()).max(), Some(most));
            for &weight in &weights {
                let steps = f64::from(weight) / f64::from(scale);
                assert!((f64::from(rule.round(weight, scale)) - steps).abs() <= 0.5 + 1e-5, "{steps}");
            }
        }
        assert_eq!(rule(RangeChoice::MinMax, 7).scale(&[0.0; 3]), None);
    }

    #[test]
    fn percentiles_leave_out_the_largest() {
        let weights: Vec<f32> = (1..=100).map(|i| if i % 2 == 0 { i as f32 } else { -i as f32 }).collect();
        for (percent, end) in [(100.0, 100.0), (95.0, 95.0), (90.5, 91.0)] {
            let scale = rule(RangeChoice::Percentile(percent), 127).scale(&weights).unwrap();
            assert!((scale * 127.0 - end).abs() < 1e-4, "{percent}: {scale}");
        }
        // Nearly all are zero.
        let mut sparse = vec![0.0; 100];
        sparse[17] = -2.0;
        assert_eq!(rule(RangeChoice::Percentile(90.0), 127).scale(&sparse), Some(2.0 / 127.0));
    }

    #[test]
    fn the_squared_error_is_that_of_brute_force() {
        for (seed, most) in [(1, 7), (2, 7), (3, 127), (4, 7), (5, 127)] {
            let weights = channel(seed, 60);
            let rule = rule(RangeChoice::LeastSquares, most);
            let chosen = rule.error(&weights, f64::from(rule.scale(&weights).unwrap()));
            let greatest = weights.iter().fold(0.0_f64, |most, &weight| most.max(f64::from(weight).abs()));
            let scales = (1..=40_000).map(|i| greatest * f64::from(i) / 40_000.0 / f64::from(most));
            let least = scales.map(|scale| rule.error(&weights, scale)).fold(f64::INFINITY, f64::min);
            assert!(chosen <= 1.02 * least, "{most}: {chosen} where {least} is possible");
        }
    }

    #[test]
    fn powers_of_two_are_the_better_neighbour() {
        let weights = channel(7, 40);
        for choice in [RangeChoice::MinMax, RangeChoice::LeastSquares] {
            for most in [7, 127] {
                let rule = WeightRule { choice, most, power_of_two: true };
                let scale = rule.scale(&weights).unwrap();
                assert_eq!(scale.log2().fract(), 0.0);
                let free = WeightRule { power_of_two: false, ..rule }.scale(&weights).unwrap();
                let exponent = f64::from(free).log2();
                let neighbours = [exponent.floor().exp2(), exponent.ceil().exp2()];
                let least =
                    neighbours.map(|scale| rule.error(&weights, scale)).into_iter().fold(f64::INFINITY, f64::min);
                assert_eq!(rule.error(&weights, f64::from(scale)), least);
            }
        }
    }
}
