//! Ranges of activations, from the values that occur.

use super::options::{Integers, RangeChoice};
use crate::graph::Element;
use bareconv::Quantization;

/// Bins of a histogram: a step of int8 is at least eight of them, whatever the range.
const BINS: usize = 2048;
/// Steps of each end of the range in the search for the least squared error, first of both together, then of one.
const COARSE: usize = 32;
const FINE: usize = 64;

/// Least and greatest of the finite numbers among `values`, together with `range`.
#[must_use]
pub(super) fn widen([low, high]: [f32; 2], values: &[f32]) -> [f32; 2] {
    values
        .iter()
        .filter(|value| value.is_finite())
        .fold([low, high], |[low, high], &value| [low.min(value), high.max(value)])
}

/// How often values of each size occur.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    low: f64,
    high: f64,
    bins: Vec<u64>,
    /// Zeros, which every quantization holds exactly.
    zeros: u64,
}

impl Histogram {
    /// An empty one for values of this range, widened to hold 0.
    pub(super) fn new([low, high]: [f32; 2]) -> Self {
        // A range of which nothing was seen is infinite the wrong way.
        let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
        Self { low, high, bins: vec![0; BINS], zeros: 0 }
    }

    /// Counts values; those that are not finite are left out.
    pub(super) fn observe(&mut self, values: &[f32]) {
        let per_bin = BINS as f64 / (self.high - self.low).max(f64::MIN_POSITIVE);
        for &value in values.iter().filter(|value| value.is_finite()) {
            if value == 0.0 {
                self.zeros += 1;
            } else {
                let bin = (f64::from(value) - self.low) * per_bin;
                self.bins[(bin as usize).min(BINS - 1)] += 1;
            }
        }
    }

    /// The same with another's counts; both have one range.
    pub(super) fn merge(mut self, other: &Self) -> Self {
        self.zeros += other.zeros;
        self.bins.iter_mut().zip(&other.bins).for_each(|(bin, other)| *bin += other);
        self
    }

    fn width(&self) -> f64 {
        (self.high - self.low) / BINS as f64
    }

    /// The value in the middle of a bin.
    fn middle(&self, bin: usize) -> f64 {
        self.low + (bin as f64 + 0.5) * self.width()
    }

    /// The end of the bin where a share of all values, counted from the least, is reached.
    fn quantile(&self, share: f64) -> f64 {
        let total = self.zeros + self.bins.iter().sum::<u64>();
        let wanted = share * total as f64;
        let mut below = 0;
        for (bin, &count) in self.bins.iter().enumerate() {
            let end = self.low + (bin as f64 + 1.0) * self.width();
            below += count;
            // The zeros lie where the bin of 0 ends.
            if end >= 0.0 && end - self.width() < 0.0 || (bin == 0 && self.low == 0.0) {
                below += self.zeros;
            }
            if below as f64 >= wanted {
                return end;
            }
        }
        self.high
    }

    /// The element of the integers whose range is chosen so.
    pub(super) fn choose(&self, choice: RangeChoice, integers: Integers, power_of_two: bool) -> Element {
        let [low, high] = match choice {
            RangeChoice::MinMax => [self.low, self.high],
            RangeChoice::Percentile(percent) => {
                let share = percent / 100.0;
                [self.quantile(1.0 - share) - self.width(), self.quantile(share)]
                    .map(|end| end.clamp(self.low, self.high))
            }
            RangeChoice::LeastSquares => self.least_squares(integers),
        };
        let [low, high] = [low.min(0.0), high.max(0.0)];
        if low == high {
            // Nothing but zeros: any scale serves, and this one is no extreme that multipliers could not take.
            let scale = 1.0 / 128.0;
            return match integers {
                Integers::Int8 => Element::Int8(Quantization::new(scale, 0)),
                Integers::Int16 => Element::Int16(scale),
            };
        }
        if power_of_two {
            // Whether a step more or a bit more of range is worth more, the errors decide.
            let exact = match integers {
                Integers::Int8 => (high - low) / 255.0,
                Integers::Int16 => high.max(-low) / 32767.0,
            };
            let above = exact.max(2f64.powi(-60)).log2().ceil();
            let candidates = [above, above - 1.0].map(|exponent| self.of_scale(exponent.exp2(), [low, high], integers));
            let [coarse, fine] = candidates.map(|element| (element, self.error(element)));
            if fine.1 < coarse.1 { fine.0 } else { coarse.0 }
        } else {
            of_range([low, high], integers)
        }
    }

    /// Integers of this scale for this range. Where the range is shorter than 255 steps it begins at the least integer; where
    /// it is longer, as much is left out at both ends, unless one of them is 0.
    fn of_scale(&self, scale: f64, [low, high]: [f64; 2], integers: Integers) -> Element {
        match integers {
            Integers::Int16 => Element::Int16(scale as f32),
            Integers::Int8 => {
                let zero_point = if low == 0.0 || high - low <= 255.0 * scale {
                    -128.0 - low / scale
                } else if high == 0.0 {
                    127.0
                } else {
                    -0.5 - (low + high) / 2.0 / scale
                };
                Element::Int8(Quantization::new(scale as f32, zero_point.round().clamp(-128.0, 127.0) as i8))
            }
        }
    }

    /// The range whose squared error is least: a search over both ends together, then of each in turn, finer each time.
    fn least_squares(&self, integers: Integers) -> [f64; 2] {
        let error = |range: [f64; 2]| self.error(of_range(range, integers));
        let ends = [self.low, self.high];
        let mut best = (error(ends), ends);
        let attempt = |best: &mut (f64, [f64; 2]), range: [f64; 2]| {
            let error = error(range);
            if error < best.0 {
                *best = (error, range);
            }
        };
        for low in 0..=COARSE {
            for high in 0..=COARSE {
                let shares = [low, high].map(|trial| trial as f64 / COARSE as f64);
                attempt(&mut best, [ends[0] * shares[0], ends[1] * shares[1]]);
            }
        }
        for turn in 0..6 {
            let reach = 2.0 / COARSE as f64 / f64::from(1 << turn);
            for end in [0, 1] {
                let centre = best.1;
                for trial in 0..=FINE {
                    let mut range = centre;
                    range[end] += ends[end] * reach * (2.0 * trial as f64 / FINE as f64 - 1.0);
                    range[end] = range[end].clamp(ends[0], ends[1]);
                    attempt(&mut best, range);
                }
            }
        }
        best.1
    }

    /// The sum of squared errors of all values.
    fn error(&self, element: Element) -> f64 {
        let (scale, low, high) = match element {
            Element::Int8(Quantization { scale, zero_point }) => {
                let zero = f64::from(zero_point);
                (f64::from(scale), -128.0 - zero, 127.0 - zero)
            }
            Element::Int16(scale) => (f64::from(scale), -32768.0, 32767.0),
            Element::F32 => return 0.0,
        };
        let inverse = 1.0 / scale;
        // Where a step is not many bins, rounding errors are spread evenly over it: a twelfth of its square.
        let fine = scale < 4.0 * self.width();
        let errors = self.bins.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, &count)| {
            let value = self.middle(bin);
            let steps = value * inverse;
            let rounded = steps.round_ties_even().clamp(low, high);
            let inside = fine && (low..=high).contains(&steps);
            let squared = if inside { scale * scale / 12.0 } else { (value - rounded * scale).powi(2) };
            count as f64 * squared
        });
        errors.sum()
    }
}

/// The finest integers for a range that holds 0.
pub(super) fn of_range([low, high]: [f64; 2], integers: Integers) -> Element {
    match integers {
        Integers::Int8 => Element::Int8(Quantization::from_range(low as f32, high as f32)),
        Integers::Int16 => {
            let scale = (high.max(-low) / 32767.0).max(f64::from(f32::MIN_POSITIVE)) as f32;
            Element::Int16(scale)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Values with long tails, some of them zero.
    fn values(seed: u64, count: usize, positive: bool) -> Vec<f32> {
        let mut random = Random::new(seed, 0);
        (0..count)
            .map(|_| {
                let sum: f32 = (0..4).map(|_| random.between(-1.0, 1.0)).sum();
                let value = sum * sum * sum;
                if positive { value.max(0.0) } else { value }
            })
            .collect()
    }

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::new(widen([f32::INFINITY, f32::NEG_INFINITY], values));
        histogram.observe(values);
        histogram
    }

    /// The sum of squared errors, value by value.
    fn exact_error(values: &[f32], element: Element) -> f64 {
        let Element::Int8(quantization) = element else { panic!("int8") };
        let squares = values.iter().map(|&value| {
            let steps = (f64::from(value) / f64::from(quantization.scale)).round() + f64::from(quantization.zero_point);
            let q = steps.clamp(-128.0, 127.0) - f64::from(quantization.zero_point);
            (f64::from(value) - q * f64::from(quantization.scale)).powi(2)
        });
        squares.sum()
    }

    #[test]
    fn least_and_greatest() {
        let range = widen([f32::INFINITY, f32::NEG_INFINITY], &[0.5, f32::NAN, 3.0, f32::INFINITY, -1.0]);
        assert_eq!(range, [-1.0, 3.0]);
        let element = Histogram::new(range).choose(RangeChoice::MinMax, Integers::Int8, false);
        assert_eq!(element, Element::Int8(Quantization::new(4.0 / 255.0, -64)));
        let element = Histogram::new(range).choose(RangeChoice::MinMax, Integers::Int16, false);
        assert_eq!(element, Element::Int16(3.0 / 32767.0));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        for positive in [false, true] {
            let mut all = values(3, 20_000, positive);
            let histogram = histogram(&all);
            all.sort_by(f32::total_cmp);
            for percent in [90.0, 99.0, 99.9, 100.0] {
                let place = |share: f64| f64::from(all[((share * all.len() as f64).ceil() as usize).max(1) - 1]);
                for share in [percent / 100.0, 1.0 - percent / 100.0] {
                    let (have, want) = (histogram.quantile(share), place(share));
                    assert!((have - want).abs() <= histogram.width() * 1.001, "{percent}: {have} and {want}");
                }
                let element = histogram.choose(RangeChoice::Percentile(percent), Integers::Int8, false);
                let Element::Int8(quantization) = element else { panic!("int8") };
                let ends = [-128, 127].map(|q| f64::from(quantization.dequantize(q)));
                let inside = |end: f64, share: f64| {
                    (end - place(share)).abs() <= 2.0 * histogram.width() + f64::from(quantization.scale)
                };
                assert!(inside(ends[1], percent / 100.0), "{percent}: {ends:?}");
                assert!(positive || inside(ends[0], 1.0 - percent / 100.0), "{percent}: {ends:?}");
                assert!(!positive || quantization.zero_point == -128);
            }
        }
    }

    #[test]
    fn the_squared_error_is_that_of_brute_force() {
        for (seed, positive) in [(1, false), (2, true), (3, false)] {
            let all = values(seed, 20_000, positive);
            let histogram = histogram(&all);
            let chosen = exact_error(&all, histogram.choose(RangeChoice::LeastSquares, Integers::Int8, false));
            let [low, high] = [histogram.low, histogram.high];
            let shares = || (0..=30).map(|i| 1.0 - 0.02 * f64::from(i));
            let ranges = shares().flat_map(|a| shares().map(move |b| [low * a, high * b]));
            let errors = ranges.map(|range| exact_error(&all, of_range(range, Integers::Int8)));
            let least = errors.fold(f64::INFINITY, f64::min);
            assert!(chosen <= 1.005 * least, "{chosen} where {least} is possible");
        }
    }

    #[test]
    fn an_outlier_among_many_is_clamped() {
        // The range to the outlier costs 100,000 * (2.2 / 255)^2 / 12 = 0.62; without it, 0.51 and its own 0.2^2.
        let mut random = Random::new(4, 0);
        let mut all: Vec<f32> = (0..100_000).map(|_| random.between(-1.0, 1.0)).collect();
        all.push(1.2);
        let chosen = histogram(&all).choose(RangeChoice::LeastSquares, Integers::Int8, false);
        let Element::Int8(quantization) = chosen else { panic!("int8") };
        let [low, high] = [-128, 127].map(|q| quantization.dequantize(q));
        assert!((-1.01..-0.98).contains(&low) && (0.98..1.05).contains(&high), "{low}..{high}");
    }

    #[test]
    fn powers_of_two_are_the_better_neighbour() {
        for (seed, positive) in [(5, false), (6, true)] {
            let all = values(seed, 3000, positive);
            for choice in [RangeChoice::MinMax, RangeChoice::LeastSquares, RangeChoice::Percentile(99.9)] {
                let histogram = histogram(&all);
                let Element::Int8(q) = histogram.choose(choice, Integers::Int8, true) else { panic!("int8") };
                assert_eq!(q.scale.log2().fract(), 0.0);
                assert!(!positive || q.zero_point == -128);
                let Element::Int8(free) = histogram.choose(choice, Integers::Int8, false) else { panic!("int8") };
                assert!((0.5..=2.0).contains(&(q.scale / free.scale)), "{q:?} for {free:?}");
                let have = exact_error(&all, Element::Int8(q));
                for factor in [0.5, 2.0] {
                    // Every zero point of the neighbours.
                    let scale = q.scale * factor;
                    if !(0.5..=2.0).contains(&(scale / free.scale)) {
                        continue;
                    }
                    let others =
                        (-128..=127).map(|zero| exact_error(&all, Element::Int8(Quantization::new(scale, zero))));
                    let least = others.fold(f64::INFINITY, f64::min);
                    assert!(have <= 1.35 * least, "{choice:?}: {have} where {scale} has {least}");
                }
            }
        }
    }

    #[test]
    fn int16_covers_its_range() {
        let all = values(9, 3000, false);
        let [low, high] = widen([0.0; 2], &all);
        for choice in [RangeChoice::MinMax, RangeChoice::LeastSquares] {
            let Element::Int16(scale) = histogram(&all).choose(choice, Integers::Int16, false) else { panic!("int16") };
            let end = scale * 32767.0;
            // Steps so fine are not worth clamping for: nothing but the last bin is.
            assert!(end >= high.max(-low) * 0.99 && end <= high.max(-low) * 1.0001, "{end}, {low}..{high}");
        }
    }

    #[test]
    fn nothing_observed_is_a_range_of_nothing() {
        let empty = Histogram::new([f32::INFINITY, f32::NEG_INFINITY]);
        for choice in [RangeChoice::MinMax, RangeChoice::LeastSquares, RangeChoice::Percentile(99.0)] {
            for power_of_two in [false, true] {
                let Element::Int8(q) = empty.choose(choice, Integers::Int8, power_of_two) else { panic!("int8") };
                assert!(q.scale > 0.0 && q.scale.is_finite());
            }
        }
    }
}
