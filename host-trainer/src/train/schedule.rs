//! The learning rate over the steps of training.

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the position in training, from 0 to 1: step `i` of `n` is at `(i + 1/2) / n`.
///
/// Each begins with a linear rise from 0 over the share `warm_up` of the steps, 0 for none (P. Goyal et al., *Accurate,
/// Large Minibatch SGD*, 2017). Below, `x` is the position in what follows the rise, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate to the end.
    Constant {
        /// The learning rate.
        peak: f32,
        /// Share of the steps that the rise takes.
        #[serde(default)]
        warm_up: f32,
    },
    /// `peak * factor^k` after `k` of the places `at`.
    Step {
        /// The greatest learning rate.
        peak: f32,
        /// Share of the steps that the rise takes.
        #[serde(default)]
        warm_up: f32,
        /// Positions in training (of all steps, the rise included) at which the rate falls, in ascending order.
        at: Vec<f32>,
        /// What the rate is multiplied by there.
        #[serde(default = "tenth")]
        factor: f32,
    },
    /// Half a cosine down: `peak * (last + (1 - last) * (1 + cos(pi * x)) / 2)` (I. Loshchilov and F. Hutter, *SGDR*,
    /// 2017).
    Cosine {
        /// The greatest learning rate.
        peak: f32,
        /// Share of the steps that the rise takes.
        #[serde(default)]
        warm_up: f32,
        /// The learning rate at the end, as a share of `peak`.
        #[serde(default)]
        last: f32,
    },
    /// Half a cosine up from `peak * first`, in the place of the linear rise, then half a cosine down to `peak * last`
    /// (L. Smith and N. Topin, *Super-Convergence*, 2018, with cosines as in PyTorch). The momentum stays as it is.
    OneCycle {
        /// The greatest learning rate.
        peak: f32,
        /// Share of the steps that the rise takes.
        #[serde(default = "three_tenths")]
        warm_up: f32,
        /// The learning rate at the start, as a share of `peak`.
        #[serde(default = "twenty_fifth")]
        first: f32,
        /// The learning rate at the end, as a share of `peak`.
        #[serde(default = "last_of_one_cycle")]
        last: f32,
    },
}

fn tenth() -> f32 {
    0.1
}
fn three_tenths() -> f32 {
    0.3
}
fn twenty_fifth() -> f32 {
    0.04
}
fn last_of_one_cycle() -> f32 {
    4e-6
}

impl Schedule {
    /// The learning rate of step `step` of `steps`, counted from 0. Beyond the last step it stays as it is at the end.
    #[must_use]
    pub fn rate(&self, step: usize, steps: usize) -> f32 {
        let position = ((step as f32 + 0.5) / steps.max(1) as f32).min(1.0);
        let warm_up = self.warm_up();
        if position < warm_up {
            let risen = position / warm_up;
            return match *self {
                Self::OneCycle { peak, first, .. } => peak * (1.0 + (first - 1.0) * falling(risen)),
                Self::Constant { peak, .. } | Self::Step { peak, .. } | Self::Cosine { peak, .. } => peak * risen,
            };
        }
        let x = ((position - warm_up) / (1.0 - warm_up)).min(1.0);
        match self {
            Self::Constant { peak, .. } => *peak,
            Self::Step { peak, at, factor, .. } => {
                at.iter().filter(|place| position >= **place).fold(*peak, |rate, _| rate * factor)
            }
            Self::Cosine { peak, last, .. } | Self::OneCycle { peak, last, .. } => {
                peak * (last + (1.0 - last) * falling(x))
            }
        }
    }

    fn warm_up(&self) -> f32 {
        match *self {
            Self::Constant { warm_up, .. }
            | Self::Step { warm_up, .. }
            | Self::Cosine { warm_up, .. }
            | Self::OneCycle { warm_up, .. } => warm_up,
        }
    }

    /// The same schedule with another greatest learning rate.
    #[must_use]
    pub fn with_peak(mut self, rate: f32) -> Self {
        match &mut self {
            Self::Constant { peak, .. }
            | Self::Step { peak, .. }
            | Self::Cosine { peak, .. }
            | Self::OneCycle { peak, .. } => *peak = rate,
        }
        self
    }

    /// What is wrong with its numbers, and the remedy.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let positive = |name, value: f32| {
            (!(value > 0.0 && value.is_finite())).then(|| (name, format!("is {value}; it must be above 0")))
        };
        let share = |name, value: f32| {
            (!(0.0..=1.0).contains(&value)).then(|| (name, format!("is {value}; it is a share from 0 to 1")))
        };
        let warm_up = self.warm_up();
        let common = (!(0.0..1.0).contains(&warm_up))
            .then(|| ("warm_up", format!("is {warm_up}; it is a share of the steps, at least 0 and below 1")));
        let own = match self {
            Self::Constant { peak, .. } => positive("peak", *peak),
            Self::Step { peak, at, factor, .. } => positive("peak", *peak)
                .or_else(|| positive("factor", *factor))
                .or_else(|| at.iter().find_map(|&place| share("at", place)))
                .or_else(|| (!at.is_sorted()).then(|| ("at", format!("is {at:?}; sort it in ascending order")))),
            Self::Cosine { peak, last, .. } => positive("peak", *peak).or_else(|| share("last", *last)),
            Self::OneCycle { peak, first, last, .. } => {
                positive("peak", *peak).or_else(|| share("first", *first)).or_else(|| share("last", *last))
            }
        };
        common.or(own)
    }
}

/// Half a cosine from 1 at 0 to 0 at 1.
fn falling(x: f32) -> f32 {
    // libm's, not the system's: the same bits everywhere.
    0.5 + 0.5 * libm::cosf(std::f32::consts::PI * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a formula in `f64` of the position in training.
    fn check(schedule: &Schedule, formula: impl Fn(f64) -> f64) {
        for steps in [1, 10, 1000] {
            for step in 0..steps {
                let expected = formula((step as f64 + 0.5) / steps as f64);
                let got = f64::from(schedule.rate(step, steps));
                assert!((got - expected).abs() < 1e-6, "{schedule:?} step {step} of {steps}: {got} {expected}");
            }
        }
    }

    #[test]
    fn formulas() {
        use std::f64::consts::PI;
        check(&Schedule::Constant { peak: 0.5, warm_up: 0.0 }, |_| 0.5);
        check(&Schedule::Constant { peak: 0.5, warm_up: 0.25 }, |x| 0.5 * (x / 0.25).min(1.0));
        check(&Schedule::Step { peak: 0.8, warm_up: 0.0, at: vec![0.3, 0.62], factor: 0.5 }, |x| match x {
            _ if x < 0.3 => 0.8,
            _ if x < 0.62 => 0.4,
            _ => 0.2,
        });
        check(&Schedule::Cosine { peak: 0.5, warm_up: 0.2, last: 0.1 }, |x| {
            if x < 0.2 {
                return 0.5 * x / 0.2;
            }
            0.05 + 0.45 * (PI * (x - 0.2) / 0.8 / 2.0).cos().powi(2)
        });
        check(&Schedule::OneCycle { peak: 0.5, warm_up: 0.3, first: 0.04, last: 0.0 }, |x| {
            if x < 0.3 {
                return 0.02 + 0.48 * (PI * x / 0.6).sin().powi(2);
            }
            0.5 * (PI * (x - 0.3) / 1.4).cos().powi(2)
        });
    }

    #[test]
    fn rises_then_falls() {
        let schedule = Schedule::Cosine { peak: 0.5, last: 0.1, warm_up: 0.2 };
        let rates: Vec<f32> = (0..1000).map(|step| schedule.rate(step, 1000)).collect();
        assert!(rates[0] < 0.002);
        assert!(rates[..200].is_sorted());
        assert!(rates[200..].is_sorted_by(|a, b| a >= b));
        assert!((rates[200] - 0.5).abs() < 1e-3);
        assert!((rates[600] - 0.275).abs() < 1e-3, "half way down");
        assert!((rates[999] - 0.05).abs() < 1e-3);
        assert_eq!(schedule.rate(5000, 1000), schedule.rate(1000, 1000), "training that goes on keeps the last rate");
    }

    #[test]
    fn reads_from_toml_and_names_what_is_wrong() {
        let read = |text: &str| toml::from_str::<Schedule>(text);
        let schedule = read("kind = 'one_cycle'\npeak = 0.1").unwrap();
        assert_eq!(schedule, Schedule::OneCycle { peak: 0.1, warm_up: 0.3, first: 0.04, last: 4e-6 });
        let step = read("kind = 'step'\npeak = 0.1\nat = [0.5, 0.75]").unwrap();
        assert_eq!(step, Schedule::Step { peak: 0.1, warm_up: 0.0, at: vec![0.5, 0.75], factor: 0.1 });
        assert!(read("kind = 'cosine'\npeak = 0.1\nwarmup = 0.2").unwrap_err().to_string().contains("warmup"));
        assert!(read("kind = 'cosin'\npeak = 0.1").unwrap_err().to_string().contains("cosine"));
        for (bad, field) in [
            (Schedule::Constant { peak: 0.0, warm_up: 0.0 }, "peak"),
            (Schedule::Constant { peak: f32::NAN, warm_up: 0.0 }, "peak"),
            (Schedule::Constant { peak: 1.0, warm_up: 1.0 }, "warm_up"),
            (Schedule::Cosine { peak: 1.0, warm_up: 0.0, last: 1.1 }, "last"),
            (Schedule::Step { peak: 1.0, warm_up: 0.0, at: vec![0.7, 0.5], factor: 0.1 }, "at"),
            (Schedule::Step { peak: 1.0, warm_up: 0.0, at: vec![7.0], factor: 0.1 }, "at"),
            (Schedule::OneCycle { peak: 1.0, warm_up: 0.3, first: -1.0, last: 0.0 }, "first"),
        ] {
            assert_eq!(bad.problem().map(|(name, _)| name), Some(field), "{bad:?}");
        }
        assert_eq!(step.problem(), None);
    }
}
