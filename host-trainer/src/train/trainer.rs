//! The training loop.

use super::checkpoint::{Checkpoint, CheckpointError, Position};
use super::optimizer::norm;
use super::{
    Average, Batch, InputScaling, OptimizerState, Pipeline, Recipe, RecipeError, Step, Totals, Trainable,
    softmax_cross_entropy,
};
use crate::data::Images;
use crate::output::{OutputError, OutputFolder};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The images of a training.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// What the network learns from.
    pub train: &'a Images,
    /// What chooses the best epoch, if anything: no part of [`Self::train`].
    pub validation: Option<&'a Images>,
    /// What is evaluated after each epoch and reported, but decides nothing.
    pub test: Option<&'a Images>,
    /// How pixels become inputs.
    pub scaling: &'a InputScaling,
}

/// What a network makes of labelled images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
    /// Share of images classified right.
    pub accuracy: f64,
}

impl Evaluation {
    /// More images right, or as many and less loss.
    #[must_use]
    pub fn better_than(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy || (self.accuracy == other.accuracy && self.loss < other.loss)
    }
}

/// What one epoch achieved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Its number, from 0.
    pub epoch: usize,
    /// Mean loss on the (augmented) training images, during the epoch.
    pub loss: f64,
    /// Share of (augmented) training images classified right, during the epoch.
    pub accuracy: f64,
    /// The learning rate of its last step.
    pub rate: f32,
    /// The result after this epoch on the validation images, if there are any.
    pub validation: Option<Evaluation>,
    /// The result after this epoch on the test images, if any were given. Nothing depends on it.
    pub test: Option<Evaluation>,
    /// Speed of training.
    pub images_per_second: f64,
}

/// Where an epoch stands, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Images done in this epoch.
    pub images: usize,
    /// Mean loss so far in this epoch.
    pub loss: f64,
    /// Share classified right so far in this epoch.
    pub accuracy: f64,
    /// Speed so far in this epoch, since training began or went on.
    pub images_per_second: f64,
}

/// News from a training.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step is done.
    Step(Progress),
    /// An epoch is done and evaluated.
    Epoch(&'a Epoch),
    /// A checkpoint is written.
    Checkpoint(&'a Path),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Complete,
    /// The validation images got no better for long enough.
    Early,
    /// It was asked to stop. The checkpoint, if there is one, holds everything to go on.
    Stopped,
}

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The images.
    #[error("{0}")]
    Data(String),
    /// The loss became infinite or no number.
    #[error(
        "training diverged in epoch {epoch} after {images} images (the loss is {loss}): lower the learning rate, give it \
         a longer warm-up or clip the gradient, and check the images and labels"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// Images done in it.
        images: usize,
        /// The loss of the step, or of the validation images.
        loss: f64,
    },
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The folder of the checkpoint.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// The best epoch so far on the validation images.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Best {
    pub evaluation: Evaluation,
    pub epoch: usize,
    pub parameters: Vec<f32>,
    pub state: Vec<(String, Vec<f32>)>,
}

/// A network in training.
///
/// All random decisions follow from the seed, the epoch and the number of an image or step: there is no other random
/// state. Batches are made on all threads while the network trains on the batch before. Sums have a fixed order; nothing
/// depends on the number of threads.
#[derive(Debug)]
pub struct Trainer<'a, M> {
    model: M,
    data: TrainingData<'a>,
    recipe: Recipe,
    seed: u64,
    parameters: Vec<f32>,
    optimizer: OptimizerState,
    /// Gradients of all parameters, kept only to clip by their norm.
    whole_gradient: Vec<f32>,
    position: Position,
    history: Vec<Epoch>,
    best: Option<Best>,
    checkpoint: Option<(OutputFolder, String)>,
    /// What a checkpoint must have in common with this training.
    identity: OnceCell<serde_json::Value>,
}

impl<'a, M: Trainable> Trainer<'a, M> {
    /// Trains the network of `model` from `parameters` on.
    ///
    /// # Errors
    /// When a number of the recipe is out of range, or the images are not the network's.
    ///
    /// # Panics
    /// When the number of parameters is not the model's.
    pub fn new(
        model: M,
        data: TrainingData<'a>,
        parameters: Vec<f32>,
        recipe: Recipe,
        seed: u64,
    ) -> Result<Self, TrainError> {
        assert_eq!(parameters.len(), model.parameters());
        recipe.check(model.input(), data.validation.is_some())?;
        for (part, images) in [("training", Some(data.train)), ("validation", data.validation), ("test", data.test)] {
            let Some(images) = images else { continue };
            if images.is_empty() {
                return Err(TrainError::Data(format!("there are no {part} images; training needs at least one")));
            }
            if images.shape() != model.input() {
                let (found, expected) = (images.shape(), model.input());
                return Err(TrainError::Data(format!(
                    "the {part} images are {found:?} (height, width, channels), the network takes {expected:?}; convert \
                     the images or change the network's input"
                )));
            }
            if let Some(label) = images.labels.iter().find(|&&label| usize::from(label) >= model.classes()) {
                return Err(TrainError::Data(format!(
                    "a {part} image has the label {label}, the network knows the classes 0 to {}; give it more outputs",
                    model.classes() - 1
                )));
            }
        }
        let average = recipe.average != Average::None;
        let optimizer = OptimizerState::new(recipe.optimizer, &parameters, &model.decayed(), average);
        let whole_gradient = if recipe.clip_norm.is_some() { vec![0.0; parameters.len()] } else { Vec::new() };
        Ok(Self {
            model,
            data,
            recipe,
            seed,
            parameters,
            optimizer,
            whole_gradient,
            position: Position::default(),
            history: Vec::new(),
            best: None,
            checkpoint: None,
            identity: OnceCell::new(),
        })
    }

    /// Writes everything that is needed to go on into the file `name` of `folder` at the end of each epoch and when
    /// training is asked to stop. The file is whole at all times.
    pub fn keep_checkpoint(&mut self, folder: OutputFolder, name: &str) {
        self.checkpoint = Some((folder, name.to_owned()));
        // As long as the parameters are the first ones.
        self.identity();
    }

    /// Goes on from a checkpoint, to the same result as training that was never interrupted, bit for bit.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another training: another network, recipe, seed, or
    /// other images.
    pub fn resume(&mut self, file: &Path) -> Result<(), TrainError> {
        let checkpoint = Checkpoint::read(file, self.identity())?;
        let wrong = |name: &str| CheckpointError::damaged(file, format!("{name} is missing or of another length"));
        let parameters = checkpoint.tensor("parameters").filter(|values| values.len() == self.parameters.len());
        self.parameters = parameters.ok_or_else(|| wrong("parameters"))?.to_vec();
        let position = checkpoint.position;
        self.optimizer
            .restore(position.step as u64, |name| checkpoint.tensor(&format!("optimizer.{name}")))
            .map_err(wrong)?;
        let states: Vec<String> = self.model.state().into_iter().map(|(name, _)| name).collect();
        let group = |prefix: &str| {
            let state = |name: &String| Some((name.clone(), checkpoint.tensor(&format!("{prefix}{name}"))?.to_vec()));
            states.iter().map(state).collect::<Option<Vec<_>>>()
        };
        if !group("state.").is_some_and(|state| self.model.restore(&state)) {
            return Err(wrong("the state of the network").into());
        }
        self.best = match checkpoint.best {
            None => None,
            Some((epoch, evaluation)) => Some(Best {
                evaluation,
                epoch,
                parameters: checkpoint
                    .tensor("best.parameters")
                    .filter(|values| values.len() == self.parameters.len())
                    .ok_or_else(|| wrong("best.parameters"))?
                    .to_vec(),
                state: group("best.state.").ok_or_else(|| wrong("the best state of the network"))?,
            }),
        };
        self.position = position;
        self.history = checkpoint.history;
        Ok(())
    }

    /// What a checkpoint must have in common with this training.
    fn identity(&self) -> &serde_json::Value {
        let data = |images: Option<&Images>| images.map(super::checkpoint::digest);
        self.identity.get_or_init(|| {
            serde_json::json!({
                "network": self.model.description(),
                "parameters": self.parameters.len(),
                "weights before training": super::checkpoint::digest_of_parameters(&self.parameters),
                "seed": self.seed,
                "recipe": self.recipe,
                "training images": data(Some(self.data.train)),
                "validation images": data(self.data.validation),
                "offset of the inputs": self.data.scaling.offset,
                "factor of the inputs": self.data.scaling.factor,
            })
        })
    }

    fn write_checkpoint(&self, events: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let Some((folder, name)) = &self.checkpoint else { return Ok(()) };
        let state = self.model.state();
        let mut tensors: Vec<(String, &[f32])> = vec![("parameters".to_owned(), &self.parameters)];
        tensors.extend(self.optimizer.slices().into_iter().map(|(name, slice)| (format!("optimizer.{name}"), slice)));
        tensors.extend(state.iter().map(|(name, values)| (format!("state.{name}"), &values[..])));
        if let Some(best) = &self.best {
            tensors.push(("best.parameters".to_owned(), &best.parameters));
            tensors.extend(best.state.iter().map(|(name, values)| (format!("best.state.{name}"), &values[..])));
        }
        let best = self.best.as_ref().map(|best| (best.epoch, best.evaluation));
        let path = folder.path().join(name);
        let bytes = super::checkpoint::to_bytes(&path, self.identity(), self.position, &self.history, best, &tensors)?;
        folder.write(&[(name, bytes)])?;
        events(Event::Checkpoint(&path));
        Ok(())
    }

    /// Trains to the end, or until `stop` is true: then the step at hand is finished and a checkpoint written. May be
    /// called again to go on.
    ///
    /// # Errors
    /// When training diverges or a checkpoint cannot be written.
    pub fn run(&mut self, stop: &AtomicBool, events: &mut dyn FnMut(Event<'_>)) -> Result<Ending, TrainError> {
        loop {
            if let Some(ending) = self.ending() {
                return Ok(ending);
            }
            if !self.epoch(stop, events)? {
                self.write_checkpoint(events)?;
                return Ok(Ending::Stopped);
            }
            self.write_checkpoint(events)?;
        }
    }

    /// How it ended, if it did.
    fn ending(&self) -> Option<Ending> {
        if let (Some(early), Some(best)) = (self.recipe.early_stopping, &self.best)
            && self.position.images == 0
            && self.position.epoch > best.epoch + early.patience
        {
            return Some(Ending::Early);
        }
        (self.position.epoch >= self.recipe.epochs).then_some(Ending::Complete)
    }

    /// Finishes the present epoch; `false` if it was asked to stop before.
    fn epoch(&mut self, stop: &AtomicBool, events: &mut dyn FnMut(Event<'_>)) -> Result<bool, TrainError> {
        let start = Instant::now();
        let count = self.data.train.len();
        let (epoch, first) = (self.position.epoch, self.position.images);
        if let Some(lives) = self.model.begin_epoch(epoch, self.recipe.epochs, &self.parameters) {
            self.optimizer.set_mask(lives, &mut self.parameters);
        }
        let recipe = self.recipe.clone();
        let pipeline = pipeline(self.data, &recipe, self.model.classes(), self.seed);
        let order = pipeline.order(epoch);
        let members = |first: usize| &order[first.min(count)..(first + recipe.batch).min(count)];
        let [mut batch, mut next] = [Batch::default(), Batch::default()];
        pipeline.fill(epoch, first, members(first), &mut batch);
        let mut rate = 0.0;
        while self.position.images < count {
            if stop.load(Ordering::Relaxed) {
                self.position.seconds += start.elapsed().as_secs_f64();
                return Ok(false);
            }
            let done = self.position.images + batch.count;
            let ((totals, used), ()) = join(
                || self.step(&batch),
                || {
                    if done < count {
                        pipeline.fill(epoch, done, members(done), &mut next);
                    }
                },
            );
            rate = used;
            if !totals.loss.is_finite() {
                let loss = totals.loss / batch.count as f64;
                return Err(TrainError::Diverged { epoch: epoch + 1, images: done, loss });
            }
            self.position.images = done;
            self.position.loss += totals.loss;
            self.position.correct += totals.correct;
            events(Event::Step(Progress {
                epoch,
                images: done,
                loss: self.position.loss / done as f64,
                accuracy: self.position.correct as f64 / done as f64,
                images_per_second: (done - first) as f64 / start.elapsed().as_secs_f64(),
            }));
            std::mem::swap(&mut batch, &mut next);
        }
        let images_per_second = (count - first) as f64 / start.elapsed().as_secs_f64();
        let present = self.adapt(epoch);
        let [validation, test] =
            [self.data.validation, self.data.test].map(|images| images.map(|images| self.evaluate_present(images)));
        if let Some(evaluation) = validation {
            if !evaluation.loss.is_finite() {
                return Err(TrainError::Diverged { epoch: epoch + 1, images: count, loss: evaluation.loss });
            }
            let better = self.best.as_ref().is_none_or(|best| evaluation.better_than(&best.evaluation));
            if better && self.model.is_complete() {
                let parameters = self.present().to_vec();
                self.best = Some(Best { evaluation, epoch, parameters, state: self.model.state() });
            }
        }
        if let Some(present) = present {
            assert!(self.model.restore(&present), "the state is this model's own");
        }
        let report = Epoch {
            epoch,
            loss: self.position.loss / count as f64,
            accuracy: self.position.correct as f64 / count as f64,
            rate,
            validation,
            test,
            images_per_second,
        };
        self.history.push(report);
        let Position { step, seconds, .. } = self.position;
        let seconds = seconds + start.elapsed().as_secs_f64();
        self.position = Position { epoch: epoch + 1, step, seconds, ..Position::default() };
        events(Event::Epoch(&report));
        Ok(true)
    }

    /// One step. Returns its sums and its learning rate.
    fn step(&mut self, batch: &Batch) -> (Totals, f32) {
        let Self { model, data, recipe, parameters, optimizer, whole_gradient, position, .. } = self;
        let epoch_steps = data.train.len().div_ceil(recipe.batch);
        let steps = epoch_steps * recipe.epochs;
        let rate = recipe.schedule.rate(position.step, steps);
        position.step += 1;
        let mut step = Step {
            rate,
            weight_decay: recipe.weight_decay,
            gradient_scale: 1.0,
            clip_value: recipe.clip_value,
            average_keep: recipe.average.keep(position.step, steps, epoch_steps),
        };
        let totals = match recipe.clip_norm {
            None => {
                optimizer.begin(step);
                model.step(batch, recipe.label_smoothing, parameters, &mut |range, gradient, parameters| {
                    optimizer.update(range, gradient, parameters);
                })
            }
            Some(limit) => {
                let totals = model.step(batch, recipe.label_smoothing, parameters, &mut |range, gradient, _| {
                    whole_gradient[range].copy_from_slice(gradient);
                });
                // What is cut off moves nowhere, and takes no part in the norm.
                for (gradient, _) in whole_gradient.iter_mut().zip(optimizer.mask()).filter(|(_, lives)| !**lives) {
                    *gradient = 0.0;
                }
                step.gradient_scale = (f64::from(limit) / norm(whole_gradient)).min(1.0) as f32;
                optimizer.begin(step);
                optimizer.update(0..parameters.len(), whole_gradient, parameters);
                totals
            }
        };
        (totals, rate)
    }

    /// The parameters that would be the result now: the average if one is kept.
    fn present(&self) -> &[f32] {
        self.optimizer.average().unwrap_or(&self.parameters)
    }

    /// Brings the model's statistics to those of the averaged parameters, if the average is stochastic: by one more pass
    /// over the training images of the epoch before. Returns the state before, if it changed.
    ///
    /// Moving averages of parameters stay so near to the parameters that they need no such pass.
    fn adapt(&mut self, epoch: usize) -> Option<Vec<(String, Vec<f32>)>> {
        let Self { model, data, recipe, seed, parameters, optimizer, .. } = self;
        let average = optimizer.average()?;
        if !matches!(recipe.average, Average::Stochastic { .. }) || average == *parameters {
            return None;
        }
        let present = model.state();
        let pipeline = pipeline(*data, recipe, model.classes(), *seed);
        let (order, mut batch) = (pipeline.order(epoch), Batch::default());
        for (index, members) in order.chunks(recipe.batch).enumerate() {
            pipeline.fill(epoch, index * recipe.batch, members, &mut batch);
            if !model.adapt(average, &batch) {
                return None;
            }
        }
        Some(present)
    }

    fn evaluate_present(&mut self, images: &Images) -> Evaluation {
        let parameters = self.optimizer.average().unwrap_or(&self.parameters);
        evaluate(&mut self.model, parameters, images, self.data.scaling)
    }

    /// The parameters of the last step, without any average.
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All epochs so far.
    #[must_use]
    pub fn history(&self) -> &[Epoch] {
        &self.history
    }

    /// The best epoch (from 0) on the validation images, if there are any, and what it achieved.
    #[must_use]
    pub fn best(&self) -> Option<(usize, Evaluation)> {
        self.best.as_ref().map(|best| (best.epoch, best.evaluation))
    }

    /// The network.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The result: the parameters of the best epoch on the validation images if there are any, else those after the
    /// last step; averaged, if the recipe says so. The model has the state that belongs to them.
    #[must_use]
    pub fn finish(mut self) -> Trained<M> {
        let best = self.best();
        if let (None, Some(last)) = (best, self.history.last()) {
            self.adapt(last.epoch);
        }
        let parameters = match self.best {
            Some(best) => {
                assert!(self.model.restore(&best.state), "the state is this model's own");
                best.parameters
            }
            None => match self.optimizer.average() {
                Some(average) => average.to_vec(),
                None => self.parameters,
            },
        };
        Trained { parameters, model: self.model, history: self.history, best, seconds: self.position.seconds }
    }
}

/// The batches of a training.
fn pipeline<'a>(data: TrainingData<'a>, recipe: &'a Recipe, classes: usize, seed: u64) -> Pipeline<'a> {
    Pipeline::new(data.train, classes, data.scaling, &recipe.augmentation, seed)
}

/// What training made.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The parameters.
    pub parameters: Vec<f32>,
    /// The network, with the state that belongs to the parameters.
    pub model: M,
    /// All epochs.
    pub history: Vec<Epoch>,
    /// The epoch (from 0) that the parameters are of, chosen by the validation images, if there were any.
    pub best: Option<(usize, Evaluation)>,
    /// How long all epochs took, in seconds, those before an interruption too.
    pub seconds: f64,
}

/// Runs both, side by side if there is more than one thread. `first` stays on this thread and need not be `Send`.
fn join<A>(first: impl FnOnce() -> A, second: impl FnOnce() + Send) -> (A, ()) {
    let mut result = None;
    rayon::in_place_scope(|scope| {
        scope.spawn(|_| second());
        result = Some(first());
    });
    (result.expect("the scope ran it"), ())
}

/// Number of images that go through a network together.
const EVALUATED: usize = 256;

/// Hands `each` the number of every image and its logits, in order.
pub fn for_each_output<M: Trainable>(
    model: &mut M,
    parameters: &[f32],
    images: &Images,
    scaling: &InputScaling,
    mut each: impl FnMut(usize, &[f32]),
) {
    let numbers: Vec<usize> = (0..images.len()).collect();
    let classes = model.classes();
    let (mut inputs, mut logits) = (Vec::new(), vec![0.0; EVALUATED * classes]);
    for members in numbers.chunks(EVALUATED) {
        scaling.load(images, members, &mut inputs);
        let logits = &mut logits[..members.len() * classes];
        model.infer(parameters, &inputs, members.len(), logits);
        for (&number, logits) in members.iter().zip(logits.chunks(classes)) {
            each(number, logits);
        }
    }
}

/// Loss and accuracy of a network on `images`.
///
/// # Panics
/// When images or labels are not the network's.
pub fn evaluate<M: Trainable>(
    model: &mut M,
    parameters: &[f32],
    images: &Images,
    scaling: &InputScaling,
) -> Evaluation {
    let mut sums = Totals::default();
    let mut target = vec![0.0; model.classes()];
    for_each_output(model, parameters, images, scaling, |number, logits| {
        let label = usize::from(images.labels[number]);
        target[label] = 1.0;
        let totals = softmax_cross_entropy(|class| f64::from(logits[class]), &target, 0.0, 1.0, |_, _| {});
        target[label] = 0.0;
        sums.loss += totals.loss;
        sums.correct += totals.correct;
    });
    let count = images.len() as f64;
    Evaluation { loss: sums.loss / count, accuracy: sums.correct as f64 / count }
}
