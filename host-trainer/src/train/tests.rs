use super::*;
use crate::data::DataSet;
use crate::nn::{Conv2d, Initialization, Layer, Pool2d};

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
    let mut images = DataSet::embedded().train;
    images.labels.truncate(600);
    images.pixels.truncate(600 * 784);
    (network, images)
}

fn recipe() -> Recipe {
    Recipe {
        epochs: 3,
        // Neither a multiple of the lanes nor a divisor of the number of images.
        batch: 200,
        schedule: Schedule { peak: 0.1, last: 0.0, warm_up: 0.1 },
        momentum: 0.9,
        nesterov: true,
        weight_decay: 1e-4,
        label_smoothing: 0.05,
        augmentation: Augmentation { rotation: 10.0, scaling: 0.1, shear: 0.1, shift: 2.0 },
        average_decay: 0.9,
    }
}

fn train(threads: usize, seed: u64, quantization: bool) -> (Vec<f32>, Vec<f64>) {
    let (network, images) = small();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let start = network.initialize(Initialization::He, seed);
        let quantization = quantization.then(|| FakeQuantization::calibrate(&network, &start, &images, 0.9));
        let mut trainer = Trainer::new(&network, &images, start, recipe(), seed, quantization);
        let losses = (0..3).map(|_| trainer.epoch(|_| {}).loss).collect();
        (trainer.result().to_vec(), losses)
    })
}

#[test]
fn same_bits_for_every_number_of_threads() {
    for quantization in [false, true] {
        let (expected, losses) = train(1, 5, quantization);
        assert!(losses.is_sorted_by(|a, b| a > b), "it learns: {losses:?}");
        for threads in [2, 3, 8] {
            let (got, got_losses) = train(threads, 5, quantization);
            assert!(got.iter().map(|x| x.to_bits()).eq(expected.iter().map(|x| x.to_bits())), "{threads} threads");
            assert_eq!(got_losses, losses);
        }
        assert_ne!(train(1, 6, quantization).0, expected, "the seed counts");
    }
}

/// The optimizer's steps, done by hand in `f64` from the gradients of whole batches.
#[test]
fn steps_follow_the_formulas() {
    for nesterov in [false, true] {
        let (network, mut images) = small();
        images.labels.truncate(20);
        images.pixels.truncate(20 * 784);
        let recipe = Recipe {
            epochs: 4,
            batch: 20,
            nesterov,
            augmentation: Augmentation::NONE,
            average_decay: 0.15,
            ..recipe()
        };
        let start = network.initialize(Initialization::Glorot, 3);
        let mut trainer = Trainer::new(&network, &images, start.clone(), recipe.clone(), 3, None);
        let mut p: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let mut average = p.clone();
        let mut velocity = vec![0.0; p.len()];
        let mut decay = vec![0.0; p.len()];
        for node in network.nodes() {
            decay[node.weights.clone()].fill(f64::from(recipe.weight_decay));
        }
        for step in 0..4 {
            trainer.epoch(|_| {});
            let mut engine = Engine::<f64>::new(&network, 20, Mode::Training);
            engine.load_with(20, |member, values| {
                for (value, &pixel) in values.iter_mut().zip(images.image(member)) {
                    *value = f64::from(pixel) / 255.0;
                }
            });
            engine.forward_training(&p, &mut [], 0);
            // The derivative of the mean cross-entropy with smoothed labels.
            let mut error = engine.output().to_vec();
            for (error, &label) in error.chunks_exact_mut(10).zip(&images.labels) {
                let sum: f64 = error.iter().map(|logit| logit.exp()).sum();
                for (class, error) in error.iter_mut().enumerate() {
                    let target = if class == usize::from(label) { 0.955 } else { 0.005 };
                    *error = (error.exp() / sum - target) / 20.0;
                }
            }
            let mut gradient = vec![0.0; p.len()];
            engine.backward(&error, &mut p, &mut |range, part, _| gradient[range].copy_from_slice(part));
            let rate = f64::from(recipe.schedule.rate(step, 4));
            for i in 0..p.len() {
                let g = gradient[i] + decay[i] * p[i];
                velocity[i] = 0.9 * velocity[i] + g;
                p[i] -= rate * if nesterov { g + 0.9 * velocity[i] } else { velocity[i] };
                average[i] = 0.15 * average[i] + 0.85 * p[i];
            }
        }
        for (got, expected) in trainer.result().iter().zip(&average) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}

#[test]
fn evaluation_counts_every_image_once() {
    let (network, mut images) = small();
    images.labels.truncate(299);
    images.pixels.truncate(299 * 784);
    // Bias alone decides: always class 4.
    let mut parameters = vec![0.0; network.parameters()];
    parameters[network.nodes()[4].bias.start + 4] = 3.0;
    let evaluation = evaluate(&network, &parameters, &[], &[None, None], &images);
    let fours = images.labels.iter().filter(|&&label| label == 4).count() as f64;
    assert!((evaluation.accuracy - fours / 299.0).abs() < 1e-12);
    let log_sum = (9.0 + 3.0_f64.exp()).ln();
    let expected = log_sum - 3.0 * fours / 299.0;
    assert!((evaluation.loss - expected).abs() < 1e-9);
}
