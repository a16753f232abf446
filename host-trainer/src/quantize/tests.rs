mod aware;
mod graphs;
mod locally_connected;
mod post_training;

use super::*;
use crate::data::DataSet;
use crate::data::Images;
use crate::lenet;
use crate::nn::{Conv2d, Initialization, Network, Pool2d};
use crate::random::Random;
use crate::train::{
    Average, InputScaling, Optimizer, Recipe, Schedule, Sequential, Trainer, TrainingData, for_each_output,
};
use std::sync::atomic::AtomicBool;

#[test]
fn grids_hold_zero_and_the_range() {
    let mut random = Random::new(1, 0);
    for _ in 0..1000 {
        let (a, b) = (random.between(-9.0, 9.0), random.between(-9.0, 9.0));
        let (low, high) = (a.min(b), a.max(b));
        let grid = Quantization::from_range(low, high);
        assert_eq!(grid.dequantize(grid.zero_point), 0.0);
        // Nudging the zero point moves the ends by at most half a step.
        let half = 0.501 * grid.scale;
        assert!((grid.dequantize(-128) - low.min(0.0)).abs() <= half, "{low} {high}");
        assert!((grid.dequantize(127) - high.max(0.0)).abs() <= half, "{low} {high}");
    }
    assert_eq!(Quantization::from_range(0.0, 4.0).zero_point, -128);
    assert_eq!(Quantization::from_range(-4.0, 0.0).zero_point, 127);
    assert!(Quantization::from_range(0.0, 0.0).scale > 0.0);
}

#[test]
fn weights_round_to_the_nearest_step() {
    let filter: Vec<f32> = (0..400).map(|i| (i as f32 - 130.0) * 0.013).collect();
    let scale = weight_scale(&filter);
    let greatest = filter.iter().fold(0.0_f64, |m, &w| m.max(f64::from(w).abs()));
    assert!((f64::from(scale) * 127.0 - greatest).abs() < 1e-6);
    for &weight in &filter {
        let exact = f64::from(weight) / f64::from(scale);
        let q = f64::from(quantize_weight(weight, scale));
        assert!(q.fract() == 0.0 && q.abs() <= 127.0);
        assert!((q - exact).abs() <= 0.5 + 1e-5, "{exact} became {q}");
    }
    assert_eq!(weight_scale(&[0.0; 4]), 1.0);
}

#[test]
fn pixels_are_exact() {
    for pixel in 0..=255 {
        let q = pixels_to_int8(&[pixel])[0];
        assert_eq!(PIXEL.dequantize(q), f32::from(pixel) * (1.0 / 255.0));
    }
}

/// A layer small enough to do by hand.
#[test]
fn reference_of_a_convolution_by_hand() {
    let layer = QuantizedLayer {
        name: "conv1".to_owned(),
        kind: QuantizedKind::Conv2d { filter: [2, 2], stride: [1, 1], padding: [1, 0], max_pool: Some([1, 2]) },
        input_shape: [1, 3, 1],
        output_shape: [2, 1, 2],
        weights: vec![1, 2, 3, 4, -1, 0, 0, 5],
        weight_scales: vec![0.5, 0.25],
        bias: vec![1, -2],
        relu: true,
        input: Quantization { scale: 1.0, zero_point: -1 },
        output: Quantization { scale: 2.0, zero_point: -128 },
    };
    let network = QuantizedNetwork { name: "hand".to_owned(), layers: vec![layer] };
    // Minus the zero point: 10, 20, -30; a row of zeros above and below.
    // Channel 0, top: 1+3*10+4*20 = 111, 1+3*20-4*30 = -59; times 0.25: 27.75 -> 28, -15.
    //            bottom: 1+10+2*20 = 51, 1+20-2*30 = -39; 12.75 -> 13.
    // Channel 1, top: -2+5*20 = 98, -2-5*30 = -152; times 0.125: 12.25 -> 12.
    //            bottom: -2-10 = -12, -2-20 = -22; -1.5 -> -2 (away from zero), below -128: clamped.
    assert_eq!(network.evaluate_reference(&[9, 19, -31]), [28 - 128, 12 - 128, 13 - 128, -128].map(|q: i32| q as i8));
}

#[test]
fn sequences_without_an_integer_form_are_refused() {
    let pool = |window, stride| Layer::MaxPool2d(Pool2d { window, stride, padding: [0; 4] });
    let dense = || Layer::dense(4);
    for (layers, name) in [
        (vec![Layer::Relu, dense()], "relu1"),
        (vec![dense(), pool([1, 1], [1, 1])], "max_pool1"),
        (vec![pool([2, 2], [2, 2]), dense()], "max_pool1"),
        (vec![Layer::Conv2d(Conv2d::new(1, [1, 1])), pool([3, 3], [2, 2])], "max_pool1"),
    ] {
        let layers = insert_fake_quantization(&layers);
        let network = Network::new([5, 5, 1], &layers).unwrap();
        let parameters = network.initialize(Initialization::He, 1);
        let ranges = vec![[0.0, 1.0]; network.grids()];
        let ranges = FakeQuantization { ranges, decay: 0.9, frozen: false, options: Options::default() };
        let error = QuantizedNetwork::new("x", &network, &parameters, &ranges, PIXEL).unwrap_err();
        assert!(matches!(&error, ModelError::Layers { layer, .. } if layer == name), "{error}");
    }
}

/// LeNet-5 after a little quantization-aware training, on a few digits.
fn trained() -> (Network, Vec<f32>, FakeQuantization, QuantizedNetwork, Images) {
    let mut images = DataSet::embedded().train;
    images.labels.truncate(1000);
    images.pixels.truncate(1000 * 784);
    let network = Network::new(lenet::INPUT, &insert_fake_quantization(&lenet::LAYERS)).unwrap();
    let start = network.initialize(Initialization::He, 1);
    let ranges = FakeQuantization::calibrate(&network, &start, &images, 0.9);
    let recipe = Recipe {
        epochs: 2,
        batch: 64,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        schedule: Schedule::Cosine { peak: 0.03, last: 0.0, warm_up: 0.1 },
        weight_decay: 0.0,
        label_smoothing: 0.0,
        clip_norm: None,
        clip_value: None,
        average: Average::None,
        augmentation: crate::data::Augmentation::NONE,
        early_stopping: None,
    };
    let scaling = InputScaling::unit(1);
    let data = TrainingData { train: &images, validation: None, test: None, scaling: &scaling };
    let mut trainer = Trainer::new(Sequential::new(&network, Some(ranges)), data, start, recipe, 1).unwrap();
    trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let trained = trainer.finish();
    let ranges = trained.model.quantization().unwrap().clone();
    let parameters = trained.parameters;
    let quantized = QuantizedNetwork::new("lenet5", &network, &parameters, &ranges, PIXEL).unwrap();
    (network, parameters, ranges, quantized, images)
}

#[test]
fn integer_network_is_the_fake_quantized_one() {
    let (network, parameters, ranges, quantized, images) = trained();
    assert_eq!(quantized.layers.len(), 5);
    assert_eq!(quantized.parameters(), 61_706);
    for pair in quantized.layers.windows(2) {
        assert_eq!(pair[0].output_shape.iter().product::<usize>(), pair[1].input_shape.iter().product::<usize>());
        assert_eq!(pair[0].output, pair[1].input);
        assert!(pair[0].relu && pair[0].output.zero_point == -128);
    }
    assert_eq!(quantized.layers[1].output_shape, [5, 5, 16]);

    let mut outputs = vec![Vec::new(); images.len()];
    let mut model = Sequential::new(&network, Some(ranges));
    for_each_output(&mut model, &parameters, &images, &InputScaling::unit(1), |number, output| {
        outputs[number] = output.to_vec();
    });
    let grid = quantized.layers[4].output;
    let (mut equal, mut total, mut same_class) = (0, 0, 0);
    for (number, float) in outputs.iter().enumerate() {
        let integer = quantized.evaluate_reference(&pixels_to_int8(images.image(number)));
        for (&float, &q) in float.iter().zip(&integer) {
            // The bias's rounding and f32 sums move a value over the border between two steps now
            // and then, and later layers pass that on.
            let steps = (float - grid.dequantize(q)).abs() / grid.scale;
            assert!(steps < 3.5, "image {number}: {float} and {}", grid.dequantize(q));
            equal += usize::from(steps < 0.5);
            total += 1;
        }
        same_class += usize::from(first_greatest(float) == first_greatest(&integer));
    }
    assert!(equal as f64 > 0.97 * total as f64, "{equal} of {total}");
    assert!(same_class as f64 > 0.99 * images.len() as f64, "{same_class}");
}

#[test]
fn files_round_trip_and_damage_is_found() {
    let (_, _, _, quantized, _) = trained();
    let bytes = quantized.to_bytes().unwrap();
    assert_eq!(QuantizedNetwork::from_bytes(&bytes).unwrap(), quantized);
    assert_eq!(quantized.to_bytes().unwrap(), bytes, "the same network, the same file");
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(QuantizedNetwork::from_bytes(&bytes[..cut]).is_err(), "cut to {cut}");
    }
    let mut wrong = quantized;
    wrong.layers[2].bias.pop();
    wrong.layers[2].weight_scales.pop();
    wrong.layers[2].weights.truncate(119 * 400);
    let error = QuantizedNetwork::from_bytes(&wrong.to_bytes().unwrap()).unwrap_err();
    assert!(error.to_string().contains("dense1"), "{error}");
}
