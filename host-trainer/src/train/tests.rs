//! The training loop, with a small network of digits and with a model made for the tests.

use super::*;
use crate::data::{Augmentation, DataSet, Images};
use crate::nn::{Conv2d, DepthwiseConv2d, Engine, Initialization, Layer, Mode, Network, Pool2d};
use crate::output::OutputFolder;
use crate::quantize::{self, FakeQuantization, Pruned, Pruning, PruningScope};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A small network and a few of the embedded digits.
fn small() -> (Network, Images) {
    let network = Network::new(
        [28, 28, 1],
        &[
            Layer::Conv2d(Conv2d::new(3, [5, 5]).stride(2).padding(2)),
            Layer::Relu,
            Layer::MaxPool2d(Pool2d::new([2, 2])),
            Layer::FakeQuantize,
            Layer::dense(10),
            Layer::FakeQuantize,
        ],
    )
    .unwrap();
    (network, DataSet::embedded().train.select(&(0..600).collect::<Vec<_>>()))
}

fn recipe() -> Recipe {
    Recipe {
        epochs: 3,
        // Neither a multiple of the lanes nor a divisor of the number of images.
        batch: 200,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        schedule: Schedule::Cosine { peak: 0.1, last: 0.0, warm_up: 0.1 },
        weight_decay: 1e-4,
        label_smoothing: 0.05,
        clip_norm: None,
        clip_value: None,
        average: Average::Exponential { decay: 0.9 },
        augmentation: Augmentation {
            rotation: 10.0,
            scaling: 0.1,
            shear: 0.1,
            shift: 2.0,
            noise: 0.05,
            mixup: 0.2,
            ..Augmentation::NONE
        },
        early_stopping: None,
    }
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn train(threads: usize, seed: u64, quantization: bool) -> (Vec<u32>, Vec<f64>) {
    let (network, images) = small();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let start = network.initialize(Initialization::He, seed);
        let scaling = InputScaling::unit(1);
        let quantization = quantization.then(|| {
            let mut inputs = Vec::new();
            scaling.load(&images, &(0..images.len()).collect::<Vec<_>>(), &mut inputs);
            FakeQuantization::new(&network, &start, &inputs, 0.9, &quantize::Options::default())
        });
        let data = TrainingData { train: &images, validation: None, test: None, scaling: &scaling };
        let model = Sequential::new(&network, quantization);
        let mut trainer = Trainer::new(model, data, start, recipe(), seed).unwrap();
        assert_eq!(trainer.run(&never(), &mut |_| {}).unwrap(), Ending::Complete);
        let losses = trainer.history().iter().map(|epoch| epoch.loss).collect();
        (bits(&trainer.finish().parameters), losses)
    })
}

#[test]
fn same_bits_for_every_number_of_threads() {
    for quantization in [false, true] {
        let (expected, losses) = train(1, 5, quantization);
        assert!(losses.is_sorted_by(|a, b| a > b), "it learns: {losses:?}");
        for threads in [2, 3, 8] {
            let (got, got_losses) = train(threads, 5, quantization);
            assert!(got == expected, "{threads} threads");
            assert_eq!(got_losses, losses);
        }
        assert_ne!(train(1, 6, quantization).0, expected, "the seed counts");
    }
}

/// The steps of a whole training, done by hand in `f64` from the gradients of whole batches.
#[test]
fn steps_follow_the_formulas() {
    for (nesterov, clip_norm, clip_value) in [
        (false, None, None),
        (true, None, None),
        (true, Some(0.1), None),
        (true, None, Some(0.01)),
        (true, Some(0.1), Some(0.01)),
    ] {
        let (network, images) = small();
        let images = images.select(&(0..20).collect::<Vec<_>>());
        let recipe = Recipe {
            epochs: 4,
            batch: 20,
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov },
            augmentation: Augmentation::NONE,
            average: Average::Exponential { decay: 0.15 },
            clip_norm,
            clip_value,
            ..recipe()
        };
        let start = network.initialize(Initialization::Glorot, 3);
        let scaling = InputScaling::unit(1);
        let data = TrainingData { train: &images, validation: None, test: None, scaling: &scaling };
        let model = Sequential::new(&network, None);
        let mut trainer = Trainer::new(model, data, start.clone(), recipe.clone(), 3).unwrap();
        trainer.run(&never(), &mut |_| {}).unwrap();
        let mut p: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let mut average = p.clone();
        let mut velocity = vec![0.0; p.len()];
        let mut decay = vec![0.0; p.len()];
        let mut clipped = 0;
        for node in network.nodes() {
            decay[node.weights.clone()].fill(f64::from(recipe.weight_decay));
        }
        for step in 0..4 {
            let mut engine = Engine::<f64>::new(&network, 20, Mode::Training);
            engine.load_with(20, |member, values| {
                for (value, &pixel) in values.iter_mut().zip(images.image(member)) {
                    *value = f64::from(pixel) / 255.0;
                }
            });
            engine.forward_training(&p, &mut [], 0);
            let mut error = vec![0.0; engine.output().len()];
            let members = engine.output().chunks(10).zip(error.chunks_mut(10));
            for ((output, error), &label) in members.zip(&images.labels) {
                let mut target = [0.0; 10];
                target[usize::from(label)] = 1.0;
                softmax_cross_entropy(|class| output[class], &target, 0.05, 0.05, |class, value| error[class] = value);
            }
            let mut gradient = vec![0.0; p.len()];
            engine.backward(&error, &mut p, &mut |range, part, _| gradient[range].copy_from_slice(part));
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let scale = clip_norm.map_or(1.0, |limit| (f64::from(limit) / norm).min(1.0));
            clipped += usize::from(scale < 1.0);
            let rate = f64::from(recipe.schedule.rate(step, 4));
            for i in 0..p.len() {
                let limit = clip_value.map_or(f64::INFINITY, f64::from);
                let clipped_value = (scale * gradient[i]).clamp(-limit, limit);
                clipped += usize::from(clipped_value != scale * gradient[i]);
                let g = clipped_value + decay[i] * p[i];
                velocity[i] = 0.9 * velocity[i] + g;
                p[i] -= rate * if nesterov { g + 0.9 * velocity[i] } else { velocity[i] };
                average[i] = 0.15 * average[i] + 0.85 * p[i];
            }
        }
        assert!((clip_norm.is_none() && clip_value.is_none()) || clipped > 0, "the limit limits something");
        for (got, expected) in trainer.finish().parameters.iter().zip(&average) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}

#[test]
fn evaluation_counts_every_image_once() {
    let (network, images) = small();
    let images = images.select(&(0..299).collect::<Vec<_>>());
    // Bias alone decides: always class 4.
    let mut parameters = vec![0.0; network.parameters()];
    parameters[network.nodes()[4].bias.start + 4] = 3.0;
    let evaluation = evaluate(&mut Sequential::new(&network, None), &parameters, &images, &InputScaling::unit(1));
    let fours = images.labels.iter().filter(|&&label| label == 4).count() as f64;
    assert!((evaluation.accuracy - fours / 299.0).abs() < 1e-12);
    let log_sum = (9.0 + 3.0_f64.exp()).ln();
    let expected = log_sum - 3.0 * fours / 299.0;
    assert!((evaluation.loss - expected).abs() < 1e-9);
}

/// A linear classifier that hands over its gradient in small pieces, last ones first, and has a state: the last random
/// stream it was given, and moving averages of its outputs.
#[derive(Clone, Debug)]
struct Linear {
    inputs: usize,
    classes: usize,
    stream: f32,
    mean: Vec<f32>,
    /// Training steps after which the loss is no number.
    diverges_after: usize,
}

impl Trainable for Linear {
    fn description(&self) -> String {
        format!("linear {} {}", self.inputs, self.classes)
    }
    fn input(&self) -> [usize; 3] {
        [28, 28, 1]
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn parameters(&self) -> usize {
        self.inputs * self.classes
    }
    fn decayed(&self) -> Vec<Range<usize>> {
        std::iter::once(0..self.parameters()).collect()
    }
    fn step(&mut self, batch: &Batch, smoothing: f32, parameters: &mut [f32], update: &mut Update<'_>) -> Totals {
        self.adapt(parameters, batch);
        let mut logits = vec![0.0; batch.count * self.classes];
        self.infer(parameters, &batch.inputs, batch.count, &mut logits);
        let mut gradient = vec![0.0; parameters.len()];
        let mut totals = Totals::default();
        for ((input, target), logits) in
            batch.inputs.chunks(self.inputs).zip(batch.targets.chunks(self.classes)).zip(logits.chunks(self.classes))
        {
            let scale = 1.0 / batch.count as f64;
            let result = softmax_cross_entropy(
                |class| f64::from(logits[class]),
                target,
                smoothing,
                scale,
                |class, value| {
                    let gradient = &mut gradient[class * self.inputs..][..self.inputs];
                    gradient.iter_mut().zip(input).for_each(|(sum, x)| *sum += value as f32 * x);
                },
            );
            totals.loss += result.loss;
            totals.correct += result.correct;
        }
        for start in (0..parameters.len()).step_by(1000).rev() {
            let range = start..(start + 1000).min(parameters.len());
            update(range.clone(), &gradient[range.clone()], &mut parameters[range]);
        }
        self.stream = (batch.stream % 8191) as f32;
        self.diverges_after -= 1;
        if self.diverges_after == 0 {
            totals.loss = f64::NAN;
        }
        totals
    }
    fn infer(&mut self, parameters: &[f32], inputs: &[f32], _count: usize, logits: &mut [f32]) {
        for (input, logits) in inputs.chunks(self.inputs).zip(logits.chunks_mut(self.classes)) {
            for (logit, weights) in logits.iter_mut().zip(parameters.chunks(self.inputs)) {
                *logit = input.iter().zip(weights).map(|(x, w)| x * w).sum();
            }
        }
    }
    fn adapt(&mut self, parameters: &[f32], batch: &Batch) -> bool {
        let mut logits = vec![0.0; batch.count * self.classes];
        self.infer(parameters, &batch.inputs, batch.count, &mut logits);
        for (class, mean) in self.mean.iter_mut().enumerate() {
            let sum: f32 = logits.iter().skip(class).step_by(self.classes).sum();
            *mean = 0.5 * *mean + 0.5 * sum / batch.count as f32;
        }
        true
    }
    // Not in the order of the alphabet.
    fn state(&self) -> Vec<(String, Vec<f32>)> {
        vec![("stream".to_owned(), vec![self.stream]), ("mean".to_owned(), self.mean.clone())]
    }
    fn restore(&mut self, state: &[(String, Vec<f32>)]) -> bool {
        let [(stream, streams), (mean, means)] = state else { return false };
        if stream != "stream" || mean != "mean" || streams.len() != 1 || means.len() != self.classes {
            return false;
        }
        (self.stream, self.mean) = (streams[0], means.clone());
        true
    }
}

impl Linear {
    fn new() -> Self {
        Self { inputs: 784, classes: 10, stream: 0.0, mean: vec![0.0; 10], diverges_after: usize::MAX }
    }
}

/// Digits to learn from, to choose by and to test with.
fn digits() -> [Images; 3] {
    let digits = DataSet::embedded().train;
    [0..250, 250..400, 400..500].map(|range| digits.select(&range.collect::<Vec<_>>()))
}

/// Everything that a training leaves: its files' bytes, and the numbers of its epochs without their speed.
fn left(trainer: &Trainer<Linear>, folder: &Path) -> (Vec<u32>, Vec<String>, Vec<u8>) {
    let epochs = trainer.history().iter().map(|epoch| format!("{:?}", Epoch { images_per_second: 0.0, ..*epoch }));
    // The speed of the epochs is in the file: compare its tensors.
    let bytes = std::fs::read(folder.join("checkpoint.safetensors")).unwrap();
    let (header, _) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    (bits(trainer.parameters()), epochs.collect(), bytes[header + 8..].to_vec())
}

#[test]
fn interrupted_trainings_end_the_same() {
    let [train, validation, test] = digits();
    let scaling = InputScaling { offset: vec![33.0], factor: vec![1.0 / 79.0] };
    let data = TrainingData { train: &train, validation: Some(&validation), test: Some(&test), scaling: &scaling };
    for optimizer in [
        Optimizer::Sgd { momentum: 0.9, nesterov: true },
        Optimizer::Adam(Moments::default()),
        Optimizer::AdamW(Moments::default()),
    ] {
        for average in [Average::None, Average::Exponential { decay: 0.95 }, Average::Stochastic { start: 0.4 }] {
            let recipe = Recipe {
                epochs: 4,
                batch: 64,
                optimizer,
                average,
                schedule: Schedule::OneCycle { peak: 0.01, warm_up: 0.3, first: 0.1, last: 0.0 },
                clip_norm: Some(1.0),
                ..recipe()
            };
            let new = |folder: &Path| {
                let mut trainer = Trainer::new(Linear::new(), data, vec![0.0; 7840], recipe.clone(), 7).unwrap();
                trainer.keep_checkpoint(OutputFolder::open(folder).unwrap(), "checkpoint.safetensors");
                trainer
            };
            let whole = tempfile::tempdir().unwrap();
            let mut trainer = new(whole.path());
            assert_eq!(trainer.run(&never(), &mut |_| {}).unwrap(), Ending::Complete);
            let expected = left(&trainer, whole.path());
            let result = trainer.finish();

            // Four steps an epoch: stopped within the first epoch, at the end of one, and in the last.
            let parts = tempfile::tempdir().unwrap();
            let file = parts.path().join("checkpoint.safetensors");
            for (index, stop_after) in [2, 2, 5, 6].into_iter().enumerate() {
                let mut trainer = new(parts.path());
                if index > 0 {
                    trainer.resume(&file).unwrap();
                }
                let stop = never();
                let mut steps = 0;
                let ending = trainer.run(&stop, &mut |event| {
                    if matches!(event, Event::Step(_)) {
                        steps += 1;
                        stop.store(steps == stop_after, Ordering::Relaxed);
                    }
                });
                assert_eq!((ending.unwrap(), steps), (Ending::Stopped, stop_after));
            }
            let stopped = CheckpointSummary::read(&file).unwrap().seconds;
            assert!(stopped > 0.0);
            let mut trainer = new(parts.path());
            trainer.resume(&file).unwrap();
            assert_eq!(trainer.run(&never(), &mut |_| {}).unwrap(), Ending::Complete);
            assert!(left(&trainer, parts.path()) == expected, "{optimizer:?} {average:?}");
            let resumed = trainer.finish();
            assert!(resumed.seconds > stopped, "the time before counts, too");
            assert_eq!(bits(&resumed.parameters), bits(&result.parameters));
            assert_eq!(resumed.model.state(), result.model.state());
            assert_eq!(resumed.best, result.best);

            // A finished training goes on to its end at once.
            let mut trainer = new(parts.path());
            trainer.resume(&file).unwrap();
            assert_eq!(trainer.run(&never(), &mut |_| panic!("nothing is left to do")).unwrap(), Ending::Complete);
            assert_eq!(bits(&trainer.finish().parameters), bits(&result.parameters));
        }
    }
}

#[test]
fn pruned_parameters_stay_cut_after_every_step_and_when_training_goes_on() {
    let [train, validation, _] = digits();
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &train, validation: Some(&validation), test: None, scaling: &scaling };
    let pruning = Pruning { sparsity: 0.5, scope: PruningScope::Global, begin: 0.0, end: 0.5 };
    let cut = |parameters: &[f32], kept: &[bool]| parameters.iter().zip(kept).all(|(&p, &kept)| kept || p == 0.0);
    for clip_norm in [None, Some(0.05)] {
        for average in [Average::None, Average::Exponential { decay: 0.95 }, Average::Stochastic { start: 0.4 }] {
            let start: Vec<f32> = (0..7840).map(|i| ((i * 37 % 101) as f32 - 50.0) / 1000.0).collect();
            let folder = tempfile::tempdir().unwrap();
            let new = || {
                let recipe = Recipe { batch: 50, clip_norm, average, ..recipe() };
                let model = Pruned::new(Linear::new(), pruning);
                let mut trainer = Trainer::new(model, data, start.clone(), recipe, 7).unwrap();
                trainer.keep_checkpoint(OutputFolder::open(folder.path()).unwrap(), "checkpoint.safetensors");
                trainer
            };
            let mut whole = new();
            whole.run(&never(), &mut |_| {}).unwrap();
            let whole = whole.finish();
            assert!((whole.model.mask().sparsity() - 0.5).abs() < 1e-3, "{}", whole.model.mask().sparsity());
            assert!(cut(&whole.parameters, whole.model.mask().kept()));

            let mut trainer = new();
            let stop = never();
            let middle = |event: Event<'_>| matches!(event, Event::Step(Progress { epoch: 1, images: 100, .. }));
            trainer.run(&stop, &mut |event| stop.store(middle(event), Ordering::Relaxed)).unwrap();
            assert!(trainer.model().mask().sparsity() > 0.3);
            assert!(cut(trainer.parameters(), trainer.model().mask().kept()), "{clip_norm:?} {average:?}");
            let mut trainer = new();
            trainer.resume(&folder.path().join("checkpoint.safetensors")).unwrap();
            trainer.run(&never(), &mut |_| {}).unwrap();
            assert!(cut(trainer.parameters(), trainer.model().mask().kept()));
            assert_eq!(bits(&trainer.finish().parameters), bits(&whole.parameters), "{clip_norm:?} {average:?}");
        }
    }
}

#[test]
fn checkpoints_of_other_trainings_and_damaged_ones_are_refused() {
    let [train, validation, _] = digits();
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &train, validation: Some(&validation), test: None, scaling: &scaling };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint.safetensors");
    let mut trainer = Trainer::new(Linear::new(), data, vec![0.0; 7840], recipe(), 7).unwrap();
    trainer.keep_checkpoint(OutputFolder::open(folder.path()).unwrap(), "checkpoint.safetensors");
    let mut paths = Vec::new();
    trainer
        .run(&never(), &mut |event| {
            if let Event::Checkpoint(path) = event {
                paths.push(path.to_owned());
            }
        })
        .unwrap();
    assert_eq!(paths, [&file; 3].map(Clone::clone));
    let message = |model: Linear, data, recipe, seed| {
        let start = vec![0.0; 784 * model.classes];
        let mut trainer = Trainer::new(model, data, start, recipe, seed).unwrap();
        trainer.resume(&file).unwrap_err().to_string()
    };
    let other = Recipe { batch: 32, ..recipe() };
    let twice = InputScaling { offset: vec![0.0], factor: vec![2.0] };
    let swapped = TrainingData { train: &validation, validation: Some(&train), ..data };
    for (message, parts) in [
        (message(Linear::new(), data, other, 7), ["recipe.batch is 200 there and 32 here", "train from the start"]),
        (message(Linear::new(), data, recipe(), 8), ["seed is 7 there and 8 here", "checkpoint.safetensors"]),
        (
            message(Linear { classes: 11, ..Linear::new() }, data, recipe(), 7),
            ["network is \"linear 784 10\" there", "11"],
        ),
        (message(Linear::new(), swapped, recipe(), 7), ["training images is \"250 of", "\"150 of"]),
        (
            message(Linear::new(), TrainingData { scaling: &twice, ..data }, recipe(), 7),
            ["factor of the inputs", "[2.0]"],
        ),
    ] {
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let bytes = std::fs::read(&file).unwrap();
    for cut in [0, 7, 9, 500, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..cut]).unwrap();
        let message = message(Linear::new(), data, recipe(), 7);
        assert!(message.contains("not a whole checkpoint"), "cut to {cut}: {message}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(message(Linear::new(), data, recipe(), 7).contains("cannot read the checkpoint"));
}

#[test]
fn the_best_epoch_by_validation_is_the_result() {
    let [train, validation, test] = digits();
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &train, validation: Some(&validation), test: Some(&test), scaling: &scaling };
    // A rate so high that epochs differ much.
    let recipe = Recipe {
        epochs: 40,
        batch: 50,
        optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
        schedule: Schedule::Constant { peak: 1.0, warm_up: 0.0 },
        average: Average::None,
        augmentation: Augmentation::NONE,
        early_stopping: Some(EarlyStopping { patience: 3 }),
        ..recipe()
    };
    let mut trainer = Trainer::new(Linear::new(), data, vec![0.0; 7840], recipe, 1).unwrap();
    assert_eq!(trainer.run(&never(), &mut |_| {}).unwrap(), Ending::Early);
    let epochs: Vec<Epoch> = trainer.history().to_vec();
    let better = |a: &Epoch, b: &Epoch| a.validation.unwrap().better_than(&b.validation.unwrap());
    let mut best = 0;
    for (index, epoch) in epochs.iter().enumerate() {
        if better(epoch, &epochs[best]) {
            best = index;
        }
    }
    assert_eq!(epochs.len(), best + 4, "three epochs after the best");
    assert_eq!(trainer.best(), Some((best, epochs[best].validation.unwrap())));
    let trained = trainer.finish();
    assert_eq!(trained.best.map(|(epoch, _)| epoch), Some(best));
    let mut model = trained.model;
    assert_eq!(evaluate(&mut model, &trained.parameters, &validation, &scaling), epochs[best].validation.unwrap());
    assert_eq!(evaluate(&mut model, &trained.parameters, &test, &scaling), epochs[best].test.unwrap());
}

#[test]
fn divergence_is_an_error_that_says_where() {
    let [train, ..] = digits();
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &train, validation: None, test: None, scaling: &scaling };
    // 250 images in batches of 100: the fifth step is the second of the second epoch.
    let recipe = Recipe { batch: 100, ..recipe() };
    let model = Linear { diverges_after: 5, ..Linear::new() };
    let mut trainer = Trainer::new(model, data, vec![0.0; 7840], recipe, 1).unwrap();
    let error = trainer.run(&never(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 2, images: 200, .. }), "{error:?}");
    assert!(error.to_string().contains("lower the learning rate"), "{error}");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let [train, ..] = digits();
    let scaling = InputScaling::unit(1);
    let refuse = |train: &Images, test: &Images, part: &str| {
        let data = TrainingData { train, validation: None, test: Some(test), scaling: &scaling };
        let error = Trainer::new(Linear::new(), data, vec![0.0; 7840], recipe(), 1).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let narrow = Images { size: [28, 14], labels: vec![0; 500], ..train.clone() };
    let strange = Images { labels: vec![12; 250], ..train.clone() };
    refuse(&train.select(&[]), &train, "no training images");
    refuse(&train, &train.select(&[]), "no test images");
    refuse(&narrow, &train, "[28, 14, 1]");
    refuse(&train, &strange, "label 12");
}

/// Weight decay and pruning are for filters: neither for biases nor for a factor of each channel, as a normalization of the
/// input is.
#[test]
fn factors_of_channels_do_not_decay() {
    let layers =
        [DepthwiseConv2d::new([1, 1]).into(), Conv2d::new(4, [3, 3]).into(), Layer::batch_norm(), Layer::dense(2)];
    let network = Network::new([5, 5, 3], &layers).unwrap();
    let [scale, filters, norm, dense] = [0, 1, 2, 3].map(|index| network.nodes()[index].weights.clone());
    assert_eq!((scale.len(), norm.len()), (3, 4));
    assert_eq!(Sequential::new(&network, None).decayed(), [filters, dense]);
}

#[test]
fn statistics_are_those_of_the_averaged_parameters() {
    let [train, ..] = digits();
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &train, validation: None, test: None, scaling: &scaling };
    let recipe = |average| Recipe { batch: 25, average, ..recipe() };
    let run = |average| {
        let mut trainer = Trainer::new(Linear::new(), data, vec![0.0; 7840], recipe(average), 3).unwrap();
        trainer.run(&never(), &mut |_| {}).unwrap();
        (trainer.parameters().to_vec(), trainer.model().clone(), trainer.finish())
    };
    let stochastic = Average::Stochastic { start: 0.1 };
    let (last, mut model, averaged) = run(stochastic);
    let (same_last, same_model, plain) = run(Average::None);
    assert_eq!(bits(&last), bits(&same_last), "averages change nothing in the steps themselves");
    assert_eq!(bits(&model.mean), bits(&same_model.mean));
    assert_eq!(bits(&plain.model.mean), bits(&model.mean), "no average, no other statistics");
    // One more pass over the images of the last epoch, with the averaged parameters.
    let augmentation = recipe(stochastic).augmentation;
    let pipeline = Pipeline::new(&train, 10, &scaling, &augmentation, 3);
    let mut batch = Batch::default();
    for (index, members) in pipeline.order(2).chunks(25).enumerate() {
        pipeline.fill(2, 25 * index, members, &mut batch);
        model.adapt(&averaged.parameters, &batch);
    }
    assert_ne!(bits(&averaged.model.mean), bits(&plain.model.mean));
    assert_eq!(bits(&averaged.model.mean), bits(&model.mean));
    // The same where the model is one that is pruned: of nothing here.
    let nothing = Pruning { sparsity: 0.0, scope: PruningScope::Global, begin: 0.0, end: 0.0 };
    let pruned = Pruned::new(Linear::new(), nothing);
    let mut trainer = Trainer::new(pruned, data, vec![0.0; 7840], recipe(stochastic), 3).unwrap();
    trainer.run(&never(), &mut |_| {}).unwrap();
    assert_eq!(bits(&trainer.finish().model.into_model().mean), bits(&model.mean));
}
