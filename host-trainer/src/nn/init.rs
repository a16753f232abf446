//! Initial weights.

use super::{Layer, Network};
use crate::random::Random;

/// How the weights of a network start; biases start at 0. All are uniform on `[-b, b]`, which has
/// the variance `b^2 / 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
            let fan_in = node.fan_in() as f64;
            // Every weight of a filter is used for the outputs of one position.
            let fan_out = match node.layer {
                Layer::Conv2d { filters, filter, .. } => (filters * filter[0] * filter[1]) as f64,
                _ => node.output[2] as f64,
            };
            let variance = match initialization {
                Initialization::He => 2.0 / fan_in,
                Initialization::Xavier => 1.0 / fan_in,
                Initialization::Glorot => 2.0 / (fan_in + fan_out),
            };
            let bound = (3.0 * variance).sqrt() as f32;
            for weight in &mut parameters[node.weights.clone()] {
                *weight = random.between(-bound, bound);
            }
        }
        parameters
    }
}
