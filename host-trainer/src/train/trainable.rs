//! What the training loop asks of a network.

use std::ops::Range;

/// Images ready for a network, with what it should say about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Number of images.
    pub count: usize,
    /// `[image][row][column][channel]`.
    pub inputs: Vec<f32>,
    /// `[image][class]`: probabilities. More than one class of an image has some where images were mixed.
    pub targets: Vec<f32>,
    /// A number for the random decisions of this step, such as dropout: another one for every step of a training, the
    /// same when the training is repeated.
    pub stream: u64,
}

/// Sums over images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Of the losses.
    pub loss: f64,
    /// Of the images whose greatest output (the first of equal ones) is their likeliest class.
    pub correct: usize,
}

/// Takes the gradient of a range of parameters and these parameters, and changes them. It is called once for each
/// range of a cover of all parameters, in any order, when nobody needs the old parameters of the range any more.
pub type Update<'a> = crate::nn::Update<'a, f32>;

/// A network that can be trained. The same calls give the same bits, whatever the number of threads.
pub trait Trainable {
    /// What the network is; another text for another architecture. A checkpoint belongs to one.
    fn description(&self) -> String;

    /// Height, width and channels of an input.
    fn input(&self) -> [usize; 3];

    /// Number of outputs, which are logits.
    fn classes(&self) -> usize;

    /// Number of parameters.
    fn parameters(&self) -> usize;

    /// The parameters that weight decay pulls to 0, as sorted ranges: weights, but neither biases nor factors of channels,
    /// such as those of batch normalization.
    fn decayed(&self) -> Vec<Range<usize>>;

    /// Is told when an epoch (counted from 0) of `epochs` begins, or goes on. Returns which parameters live from now on, if it
    /// cuts any off: the others are 0 and stay so, in averages, too. For the same epoch it returns the same.
    fn begin_epoch(&mut self, epoch: usize, epochs: usize, parameters: &[f32]) -> Option<Vec<bool>> {
        let _ = (epoch, epochs, parameters);
        None
    }

    /// Whether the network as it is now could be a training's result. An epoch that ends before is never the best one.
    fn is_complete(&self) -> bool {
        true
    }

    /// Forward and backward pass. The loss is [`super::softmax_cross_entropy`] with label smoothing, its mean over the
    /// batch what the gradient belongs to.
    fn step(&mut self, batch: &Batch, smoothing: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals;

    /// The logits `[image][class]` of `count` inputs, as the finished network computes them.
    fn infer(&mut self, parameters: &[f32], inputs: &[f32], count: usize, logits: &mut [f32]);

    /// Moves the statistics that belong to `parameters`, such as those of batch normalization, as a step with this batch
    /// would, and changes nothing else. Averaged parameters need it: nothing was ever computed with them. `false` if it
    /// has no such statistics.
    fn adapt(&mut self, parameters: &[f32], batch: &Batch) -> bool {
        let _ = (parameters, batch);
        false
    }

    /// What it has learnt besides parameters, such as the running statistics of batch normalization or the ranges of
    /// activations, by name.
    fn state(&self) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }

    /// Takes back what [`Self::state`] gave, in the same order. `false` if it is not of this network.
    fn restore(&mut self, state: &[(String, Vec<f32>)]) -> bool {
        state.is_empty()
    }
}
