//! The training loop: any [`Trainable`], by a [`Recipe`].
//!
//! * [`Recipe`]: [`Optimizer`], [`Schedule`], [`Average`], augmentation, when to end;
//! * [`Pipeline`]: batches of augmented images, made on all threads while the network trains;
//! * [`Trainer`]: steps, evaluation, the best epoch, checkpoints, and going on from one;
//! * [`best_of`]: several seeds, the best kept;
//! * [`Sequential`]: the model for a [`crate::nn::Network`].
//!
//! Results do not depend on the number of threads, nor on whether a training was interrupted.

mod average;
mod checkpoint;

mod loss;
mod optimizer;
mod pipeline;
mod recipe;
mod restarts;
mod schedule;
mod sequential;
#[cfg(test)]
mod tests;
mod trainable;
mod trainer;

pub use average::Average;
pub use checkpoint::{CheckpointError, CheckpointSummary};
pub use loss::softmax_cross_entropy;
pub use optimizer::{Moments, Optimizer, OptimizerState, Step, norm};
pub use pipeline::{InputScaling, Pipeline};
pub use recipe::{EarlyStopping, Recipe, RecipeError};
pub use restarts::best_of;
pub use schedule::Schedule;
pub use sequential::Sequential;
pub use trainable::{Batch, Totals, Trainable, Update};
pub use trainer::{
    Ending, Epoch, Evaluation, Event, Progress, TrainError, Trained, Trainer, TrainingData, evaluate, for_each_output,
};
