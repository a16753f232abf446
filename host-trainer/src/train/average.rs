//! Averages of the parameters over the steps: often better than the parameters of the last one.

use serde::{Deserialize, Serialize};

/// Which average of the parameters is the result of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Average {
    /// The parameters of the last step.
    #[default]
    None,
    /// An exponential moving average, `a = d * a + (1 - d) * p` after every step, with
    /// `d = min(decay, (1 + t) / (10 + t))` after step `t`, counted from 1: early averages must not remember the start
    /// (B. Polyak and A. Juditsky, *Acceleration of stochastic approximation by averaging*, 1992).
    Exponential {
        /// What the average keeps of itself at each step, such as 0.999.
        decay: f32,
    },
    /// Stochastic weight averaging: the mean of the parameters at the ends of the last epochs (P. Izmailov et al.,
    /// *Averaging Weights Leads to Wider Optima and Better Generalization*, 2018). Before the first of them the result
    /// is the parameters themselves. It wants a learning rate that stays high in these epochs.
    Stochastic {
        /// The position in training, from 0 to 1, from which on the ends of epochs count.
        start: f32,
    },
}

impl Average {
    /// What the average keeps of itself after step `step` (counted from 1) of `steps`, of which `epoch_steps` make an
    /// epoch; `None` leaves it as it is.
    #[must_use]
    pub fn keep(&self, step: usize, steps: usize, epoch_steps: usize) -> Option<f32> {
        match *self {
            Self::None => None,
            Self::Exponential { decay } => Some(decay.min((1.0 + step as f32) / (10.0 + step as f32))),
            Self::Stochastic { start } => {
                let begins = f64::from(start) * steps as f64;
                if (step as f64) < begins {
                    return Some(0.0);
                }
                let epoch_steps = epoch_steps.max(1);
                if !step.is_multiple_of(epoch_steps) {
                    // Until an epoch has counted, the average is the present parameters.
                    let counted = counted(step, begins, epoch_steps);
                    return (counted == 0).then_some(0.0);
                }
                let counted = counted(step, begins, epoch_steps);
                Some(1.0 - 1.0 / counted as f32)
            }
        }
    }

    /// What is wrong with its numbers, and the remedy.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        match *self {
            Self::None => None,
            Self::Exponential { decay } => (!(0.0..1.0).contains(&decay))
                .then(|| ("decay", format!("is {decay}; it must be at least 0 and below 1, such as 0.999"))),
            Self::Stochastic { start } => (!(0.0..=1.0).contains(&start))
                .then(|| ("start", format!("is {start}; it is a position in training from 0 to 1, such as 0.75"))),
        }
    }
}

/// How many ends of epochs there are from `begins` to `step`.
fn counted(step: usize, begins: f64, epoch_steps: usize) -> usize {
    let before = libm::ceil(begins / epoch_steps as f64).max(1.0) as usize;
    (step / epoch_steps + 1).saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the averages to a sequence of parameters.
    fn run(average: Average, parameters: &[f64], epoch_steps: usize) -> Vec<f64> {
        let mut value = -1.0;
        let mut values = Vec::new();
        for (index, p) in parameters.iter().enumerate() {
            if let Some(keep) = average.keep(index + 1, parameters.len(), epoch_steps) {
                value = f64::from(keep) * value + (1.0 - f64::from(keep)) * p;
            }
            values.push(value);
        }
        values
    }

    #[test]
    fn stochastic_averages_are_means_of_ends_of_epochs() {
        let parameters: Vec<f64> = (0..12).map(|i| f64::from(i * i)).collect();
        // Epochs of three steps; the second half counts: the ends after steps 6, 9 and 12.
        let got = run(Average::Stochastic { start: 0.5 }, &parameters, 3);
        for (step, value) in got.iter().enumerate() {
            let expected = match step {
                0..=5 => parameters[step],
                6 | 7 => 25.0,
                8..=10 => (25.0 + 64.0) / 2.0,
                _ => (25.0 + 64.0 + 121.0) / 3.0,
            };
            assert!((value - expected).abs() < 1e-4, "step {step}: {value} {expected}");
        }
        // From the start: all ends.
        let got = run(Average::Stochastic { start: 0.0 }, &parameters, 3);
        assert!((got[11] - (4.0 + 25.0 + 64.0 + 121.0) / 4.0).abs() < 1e-4);
        assert_eq!(got[1], parameters[1]);
        // A start within an epoch: its end is the first that counts.
        let got = run(Average::Stochastic { start: 0.4 }, &parameters, 3);
        assert_eq!(got[4], parameters[4]);
        assert!((got[11] - (25.0 + 64.0 + 121.0) / 3.0).abs() < 1e-4);
    }

    #[test]
    fn exponential_averages_forget_the_start() {
        let decay: f64 = 0.99;
        let values = run(Average::Exponential { decay: decay as f32 }, &[1.0; 400], 7);
        assert!(values.is_sorted());
        assert!((values[399] - 1.0).abs() < 1e-6, "the start of -1 is gone: {}", values[399]);
        // Late steps follow the formula.
        let mut parameters = vec![0.0; 3000];
        parameters[2990..].fill(1.0);
        let values = run(Average::Exponential { decay: decay as f32 }, &parameters, 7);
        assert!((values[2999] - (1.0 - decay.powi(10))).abs() < 1e-4);
        assert_eq!(Average::None.keep(3, 9, 3), None);
    }
}
