//! Training by a description, in `f32` and with quantization.

use super::{Earlier, Error, Event, Files, Options, Prepared, integer};
use crate::graph::{Graph, Numbers};
use crate::nn::Network;
use crate::output::OutputFolder;
use crate::quantize::{AwareNetwork, Pruned, Quantized};
use crate::spec::{Description, Quantization};
use crate::train::{
    Ending, Epoch, Evaluation, InputScaling, Recipe, Sequential, TrainError, Trainable, Trained, Trainer, TrainingData,
    best_of,
};
use std::sync::atomic::AtomicBool;

/// What all trainings of a description have in common.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub description: &'a Description,
    pub data: &'a Prepared,
    pub options: &'a Options,
    pub stop: &'a AtomicBool,
}

/// Where a training begins, and how it goes.
struct Start<'a> {
    parameters: Vec<f32>,
    recipe: Recipe,
    scaling: &'a InputScaling,
    seed: u64,
    quantization_aware: bool,
}

/// What quantization-aware training made.
pub(super) struct Aware {
    pub quantized: Quantized,
    pub history: Vec<Epoch>,
    pub best: Option<(usize, Evaluation)>,
    pub seconds: f64,
}

impl Course<'_> {
    /// Trains in `f32`, from every seed, and keeps the best. `None` if it was stopped.
    pub fn float<'n>(
        self,
        network: &'n Network,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<(u64, Trained<Sequential<'n>>)>, TrainError> {
        let mut from_seed = |seed: u64| {
            let start = Start {
                parameters: network.initialize(self.description.network.initialization, seed),
                recipe: self.description.training.recipe.clone(),
                scaling: &self.data.scaling,
                seed,
                quantization_aware: false,
            };
            self.train(Sequential::new(network, None), start, events)
        };
        // A single network needs no images held out to be the best.
        match self.description.training.seeds[..] {
            [seed] => Ok(from_seed(seed)?.map(|trained| (seed, trained))),
            ref seeds => best_of(seeds, from_seed),
        }
    }

    /// Trains a network that was trained in `f32` from `seed` on, now with quantization; `float` is its graph. `None` if it
    /// was stopped.
    pub fn aware(
        self,
        network: AwareNetwork,
        float: &Graph,
        quantization: &Quantization,
        recipe: Recipe,
        seed: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Aware>, Error> {
        let scaling = &self.data.exported;
        let calibration = integer::calibration(float, quantization, &self.data.train, scaling);
        let inputs: Vec<f32> = calibration
            .iter()
            .flatten()
            .flat_map(|numbers| match numbers {
                Numbers::F32(numbers) => &numbers[..],
                _ => unreachable!("the graph is in f32"),
            })
            .copied()
            .collect();
        let decay = quantization.aware.as_ref().map_or(0.0, |aware| aware.range_decay);
        let options = integer::options(quantization, scaling);
        let ranges = network.observe(&inputs, decay, &options);
        drop(inputs);
        let start = Start { parameters: network.parameters.clone(), recipe, scaling, seed, quantization_aware: true };
        let model = Sequential::new(&network.network, Some(ranges));
        let Some(Trained { parameters, model, history, best, seconds }) = self.train(model, start, events)? else {
            return Ok(None);
        };
        let ranges = model.quantization().expect("it was trained with ranges");
        let name = &self.description.name;
        let quantized = network.quantize(&parameters, ranges, name, &calibration, &options)?;
        Ok(Some(Aware { quantized, history, best, seconds }))
    }

    /// One training, with pruning if the description has some.
    fn train<'n>(
        self,
        model: Sequential<'n>,
        start: Start<'_>,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Trained<Sequential<'n>>>, TrainError> {
        let Some(mut pruning) = self.description.training.pruning else { return self.run(model, start, events) };
        if start.quantization_aware {
            // It begins with a network that is pruned, and keeps it so.
            (pruning.begin, pruning.end) = (0.0, 0.0);
        }
        let trained = self.run(Pruned::new(model, pruning), start, events)?;
        Ok(trained.map(|Trained { parameters, model, history, best, seconds }| Trained {
            parameters,
            model: model.into_model(),
            history,
            best,
            seconds,
        }))
    }

    /// One training, from its checkpoint on if there is one and it should.
    fn run<M: Trainable>(
        self,
        model: M,
        start: Start<'_>,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Trained<M>>, TrainError> {
        let Self { data, options, stop, .. } = self;
        let Start { parameters, recipe, scaling, seed, quantization_aware } = start;
        let (count, epochs) = (parameters.len(), recipe.epochs);
        events(Event::Start { data, seed, parameters: count, epochs, quantization_aware });
        let images = TrainingData {
            train: &data.train,
            validation: data.validation.as_ref(),
            test: Some(&data.set.test),
            scaling,
        };
        let checkpoint = Files::checkpoint(seed, quantization_aware);
        let stream = Files::stream(seed, quantization_aware);
        let mut trainer = Trainer::new(model, images, parameters, recipe, stream)?;
        trainer.keep_checkpoint(OutputFolder::open(&options.out)?, &checkpoint);
        let path = options.out.join(&checkpoint);
        if options.earlier == Earlier::Resume && path.exists() {
            trainer.resume(&path)?;
        }
        match trainer.run(stop, &mut |event| events(Event::Train(event)))? {
            Ending::Stopped => Ok(None),
            Ending::Complete | Ending::Early => Ok(Some(trainer.finish())),
        }
    }
}
