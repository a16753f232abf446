//! Initial weights.
//!
//! An output is a sum of `n_in` products of weights and inputs. Where these are independent and weights have mean 0, its
//! variance is `n_in * Var(w) * E(x^2)`. With `Var(w) = 1 / n_in` a layer keeps the mean square of what it is given, so
//! that signals neither vanish nor explode through many layers: Xavier. Backwards the sum has `n_out` products, which asks
//! for `1 / n_out`; Glorot takes the harmonic mean of both, `2 / (n_in + n_out)`. A ReLU halves the mean square of a
//! signal that is symmetric about 0, which He's `2 / n_in` makes good.

use super::{Layer, Network};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// How the weights of a network start; biases and summands start at 0, the factors of batch normalization at 1, the
/// slopes of PReLU at 0.25. All weights are uniform on `[-b, b]`, which has the variance `b^2 / 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initialization {
    /// Variance `2 / n_in`, made for ReLU (K. He et al., *Delving Deep into Rectifiers*, 2015).
    #[default]
    He,
    /// Variance `1 / n_in`, as Caffe and others call "Xavier".
    Xavier,
    /// Variance `2 / (n_in + n_out)` (X. Glorot and Y. Bengio, *Understanding the difficulty of
    /// training deep feedforward neural networks*, 2010).
    Glorot,
}

impl Network {
    /// Fresh parameters, the same for the same seed on every machine.
    #[must_use]
    pub fn initialize(&self, initialization: Initialization, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed, 0);
        let mut parameters = vec![0.0; self.parameters()];
        for node in self.nodes() {
            let weights = &mut parameters[node.weights.clone()];
            match node.layer {
                Layer::BatchNorm { .. } => weights.fill(1.0),
                Layer::PRelu => weights.fill(0.25),
                _ => {
                    let (fan_in, fan_out) = (node.fan_in() as f64, node.fan_out() as f64);
                    let variance = match initialization {
                        Initialization::He => 2.0 / fan_in,
                        Initialization::Xavier => 1.0 / fan_in,
                        Initialization::Glorot => 2.0 / (fan_in + fan_out),
                    };
                    let bound = (3.0 * variance).sqrt() as f32;
                    for weight in weights {
                        *weight = random.between(-bound, bound);
                    }
                }
            }
        }
        parameters
    }

    /// Fresh moving averages: means of 0, variances of 1.
    #[must_use]
    pub fn initial_state(&self) -> Vec<f32> {
        let mut state = vec![0.0; self.state()];
        for node in self.nodes() {
            let range = node.state.clone();
            state[range.start + range.len() / 2..range.end].fill(1.0);
        }
        state
    }
}
