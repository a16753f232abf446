//! Quantization-aware training of networks with batch normalization, branches, depthwise convolutions, locally connected
//! layers, and layers that move values.

use crate::data::{Augmentation, DataSet, Images};
use crate::graph::{Element, Numbers, Operator, Rounding, Weights};
use crate::lenet;
use crate::nn::{Conv2d, DepthwiseConv2d, Engine, Initialization, Layer, Mode, Network, NetworkBuilder, Pool2d};
use crate::quantize::{
    AwareError, AwareNetwork, Options, PIXEL, Pruned, Pruning, PruningScope, WeightBits, first_greatest, to_element,
    to_reals,
};
use crate::random::Random;
use crate::run::Interpreter;
use crate::train::{Average, InputScaling, Optimizer, Recipe, Schedule, Sequential, Trainable, Trainer, TrainingData};
use crate::verify;
use bareconv::{Activation, Coordinates};
use std::sync::atomic::AtomicBool;

/// A residual network for digits.
fn network() -> Network {
    let mut net = NetworkBuilder::new([28, 28, 1]);
    let x = net.input();
    let x = net.add(Conv2d::new(8, [5, 5]).stride(2).padding(2).without_bias(), &[x]).unwrap();
    let x = net.add(Layer::batch_norm(), &[x]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let x = net.add(Layer::MaxPool2d(Pool2d::new([2, 2])), &[x]).unwrap();
    let y = net.add(DepthwiseConv2d::new([3, 3]).padding(1).without_bias(), &[x]).unwrap();
    let y = net.add(Layer::batch_norm(), &[y]).unwrap();
    let y = net.add(Layer::LeakyRelu { slope: 0.1 }, &[y]).unwrap();
    let local = Conv2d::new(8, [1, 2]).without_bias();
    let y = net.add(Layer::LocallyConnected2d(Conv2d { padding: [0, 1, 0, 0], ..local }), &[y]).unwrap();
    let y = net.add(Layer::batch_norm(), &[y]).unwrap();
    let sum = net.add(Layer::Add, &[x, y]).unwrap();
    let sum = net.add(Layer::Relu, &[sum]).unwrap();
    let both = net.add(Layer::Concatenate { axis: 2 }, &[sum, x]).unwrap();
    let both = net.add(Layer::Dropout { rate: 0.1 }, &[both]).unwrap();
    let scores = net.add(Layer::dense(10), &[both]).unwrap();
    net.finish(scores).unwrap()
}

/// A network for digits with a residual connection without weights, a branch that is resized, and differences, one of them to
/// the mean.
fn arranged() -> Network {
    let mut net = NetworkBuilder::new([28, 28, 1]);
    let x = net.input();
    let x = net.add(Conv2d::new(8, [5, 5]).stride(2).padding(2).without_bias(), &[x]).unwrap();
    let x = net.add(Layer::batch_norm(), &[x]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let x = net.add(Layer::MaxPool2d(Pool2d::new([2, 2])), &[x]).unwrap();
    let slice = Layer::Slice { begin: [0; 3], end: [isize::MAX; 3], stride: [2, 2, 1] };
    let short = net.add(slice, &[x]).unwrap();
    let short = net.add(Layer::Pad { before: [0; 3], after: [0, 0, 8] }, &[short]).unwrap();
    let y = net.add(Conv2d::new(16, [3, 3]).stride(2).padding(1).without_bias(), &[x]).unwrap();
    let y = net.add(Layer::batch_norm(), &[y]).unwrap();
    let y = net.add(Layer::Subtract, &[y, short]).unwrap();
    let y = net.add(Layer::Relu, &[y]).unwrap();
    let y = net.add(Layer::Upsample { size: [8, 8], coordinates: Coordinates::Asymmetric }, &[y]).unwrap();
    let z = net.add(Conv2d::new(4, [3, 3]).padding(1), &[x]).unwrap();
    let z = net.add(Layer::Pad { before: [1, 0, 0], after: [0, 1, 0] }, &[z]).unwrap();
    let both = net.add(Layer::Concatenate { axis: 2 }, &[y, z]).unwrap();
    let mean = net.add(Layer::GlobalAveragePool, &[both]).unwrap();
    let both = net.add(Layer::Subtract, &[both, mean]).unwrap();
    let scores = net.add(Layer::dense(10), &[both]).unwrap();
    net.finish(scores).unwrap()
}

fn digits(count: usize) -> Images {
    let mut images = DataSet::embedded().train;
    images.labels.truncate(count);
    images.pixels.truncate(count * 784);
    images
}

fn reals(images: &Images) -> Vec<f32> {
    images.pixels.iter().map(|&pixel| f32::from(pixel) * PIXEL.scale).collect()
}

fn recipe(epochs: usize, peak: f32) -> Recipe {
    Recipe {
        epochs,
        batch: 64,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        schedule: Schedule::Cosine { peak, last: 0.0, warm_up: 0.1 },
        weight_decay: 0.0,
        label_smoothing: 0.0,
        clip_norm: None,
        clip_value: None,
        average: Average::None,
        augmentation: Augmentation::NONE,
        early_stopping: None,
    }
}

#[test]
fn before_it_rounds_the_network_computes_the_same() {
    for network in [network(), arranged()] {
        computes_the_same(&network);
    }
}

fn computes_the_same(network: &Network) {
    let mut random = Random::new(5, 0);
    let parameters: Vec<f32> =
        network.initialize(Initialization::He, 1).iter().map(|p| p + random.between(-0.05, 0.05)).collect();
    let state: Vec<f32> = network.initial_state().iter().map(|s| s + random.between(-0.2, 0.2)).collect();
    let aware = AwareNetwork::new(network, &parameters, &state).unwrap();
    assert!(
        aware.network.nodes().iter().all(|node| !matches!(node.layer, Layer::BatchNorm { .. } | Layer::Dropout { .. }))
    );
    let images = reals(&digits(20));
    let outputs = |network: &Network, parameters: &[f32], state: &[f32]| {
        let mut engine = Engine::<f32>::new(network, 20, Mode::Inference);
        engine.load(&images);
        engine.forward(parameters, state);
        engine.output().to_vec()
    };
    let (before, after) = (outputs(network, &parameters, &state), outputs(&aware.network, &aware.parameters, &[]));
    let greatest = before.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    for (a, b) in before.iter().zip(&after) {
        assert!((a - b).abs() < 1e-4 * greatest, "{a} became {b}");
    }
}

#[test]
fn batch_normalization_that_cannot_be_folded_is_refused() {
    let network = Network::new([4, 4, 1], &[Layer::batch_norm(), Layer::dense(2)]).unwrap();
    let error = AwareNetwork::new(&network, &network.initialize(Initialization::He, 1), &network.initial_state());
    assert_eq!(error.unwrap_err(), AwareError::BatchNorm("batch_norm1".to_owned()));
}

#[test]
fn the_integer_network_is_the_one_that_was_trained() {
    for network in [network(), arranged()] {
        is_the_one_that_was_trained(&network);
    }
}

fn is_the_one_that_was_trained(network: &Network) {
    let images = digits(800);
    let scaling = InputScaling::unit(1);
    let data = || TrainingData { train: &images, validation: None, test: None, scaling: &scaling };
    let start = network.initialize(Initialization::He, 1);
    let mut trainer = Trainer::new(Sequential::new(network, None), data(), start, recipe(3, 0.05), 1).unwrap();
    trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let float = trainer.finish();
    let aware = AwareNetwork::new(network, &float.parameters, float.model.averages()).unwrap();

    let inputs = reals(&images);
    let samples: Vec<Vec<Numbers>> = inputs.chunks(784).map(|image| vec![Numbers::F32(image.to_vec())]).collect();
    for (weights, rounding) in [
        (WeightBits::Int8, Rounding::Single),
        (WeightBits::Int4, Rounding::TensorFlowLiteMicro),
        (WeightBits::Int8, Rounding::PowerOfTwo),
    ] {
        let input = if rounding == Rounding::PowerOfTwo { None } else { Some(PIXEL) };
        let options = Options { input, weights, rounding, ..Options::default() };
        let ranges = aware.observe(&inputs, 0.95, &options);
        let pruning = Pruning { sparsity: 0.5, scope: PruningScope::Global, begin: 0.0, end: 0.5 };
        let model = Pruned::new(Sequential::new(&aware.network, Some(ranges)), pruning);
        let mut trainer = Trainer::new(model, data(), aware.parameters.clone(), recipe(2, 0.01), 1).unwrap();
        trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
        let mut trained = trainer.finish();
        let mut logits = vec![0.0; images.len() * 10];
        trained.model.infer(&trained.parameters, &inputs, images.len(), &mut logits);

        let ranges = trained.model.model().quantization().unwrap();
        let result = aware.quantize(&trained.parameters, ranges, "digits", &samples[..50], &options).unwrap();
        // Pruned weights are zeros of the integers, too; others may have become some.
        assert!(result.report.sparsity() >= 0.499, "{}", result.report.sparsity());
        let graph = &result.graph;
        let (from, to) = (graph.value(graph.inputs[0]).element, graph.value(graph.outputs[0]).element);
        let step = f64::from(to.quantization().unwrap().scale);
        let interpreter = Interpreter::new(graph).unwrap();
        let (mut sum, mut same, mut right) = (0.0, 0, 0);
        let greatest = |scores: &[f32]| (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        for ((sample, logits), &label) in samples.iter().zip(logits.chunks(10)).zip(&images.labels) {
            let scores = to_reals(to, &interpreter.run(&[to_element(from, &sample[0])]).unwrap()[0]);
            sum += scores.iter().zip(logits).map(|(a, b)| f64::from(a - b).abs()).sum::<f64>();
            same += usize::from(greatest(&scores) == greatest(logits));
            right += usize::from(greatest(&scores) == usize::from(label));
        }
        // Sums in another order cross a border of rounding now and then, and later layers pass that on.
        let mean = sum / (samples.len() * 10) as f64 / step;
        assert!(mean < 1.0, "{weights:?} {rounding:?}: {mean} steps");
        assert!(same >= samples.len() * 97 / 100, "{weights:?} {rounding:?}: {same} classes are the same");
        assert!(right >= samples.len() * 7 / 10, "{weights:?} {rounding:?}: {right} are right; chance is a tenth");
    }
}

/// Each tensor is rounded once, behind all maxima over it, whatever is in between.
#[test]
fn what_is_pooled_is_rounded_once() {
    let pool = || Layer::MaxPool2d(Pool2d::new([2, 2]));
    for (between, shapes) in [
        (vec![], vec![[2, 2, 3], [1, 1, 2]]),
        (vec![Layer::Dropout { rate: 0.5 }], vec![[2, 2, 3], [1, 1, 2]]),
        (vec![Layer::LeakyRelu { slope: 0.1 }], vec![[8, 8, 3], [2, 2, 3], [1, 1, 2]]),
    ] {
        let mut layers = vec![Conv2d::new(3, [1, 1]).into()];
        layers.extend(between);
        layers.extend([pool(), pool(), Layer::dense(2)]);
        let network = Network::new([8, 8, 1], &layers).unwrap();
        let aware = AwareNetwork::new(&network, &network.initialize(Initialization::He, 1), &[]).unwrap();
        let rounded = aware.network.nodes().iter().filter(|node| matches!(node.layer, Layer::FakeQuantize));
        assert_eq!(rounded.map(|node| node.input).collect::<Vec<_>>(), shapes, "{layers:?}");
    }
}

/// Dropout keeps no activation from the layer before it, nor hides who else takes that.
#[test]
fn dropout_is_as_if_it_were_not_there() {
    for taken_twice in [false, true] {
        let mut net = NetworkBuilder::new([4, 4, 1]);
        let x = net.input();
        let first = net.add_named("first", Conv2d::new(3, [3, 3]), &[x]).unwrap();
        let dropped = net.add(Layer::Dropout { rate: 0.5 }, &[first]).unwrap();
        let mut y = net.add(Layer::Relu, &[dropped]).unwrap();
        if taken_twice {
            y = net.add(Layer::Add, &[y, first]).unwrap();
        }
        let output = net.add(Layer::dense(2), &[y]).unwrap();
        let network = net.finish(output).unwrap();
        let aware = AwareNetwork::new(&network, &network.initialize(Initialization::He, 1), &[]).unwrap();
        let samples: Vec<Vec<Numbers>> = (0..9)
            .map(|i| vec![Numbers::F32((0..16).map(|j| ((i * 7 + j * 5) % 11) as f32 - 5.0).collect())])
            .collect();
        let inputs: Vec<f32> = samples.iter().flatten().flat_map(|numbers| to_reals(Element::F32, numbers)).collect();
        let options = Options::default();
        let ranges = aware.observe(&inputs, 0.9, &options);
        let result = aware.quantize(&aware.parameters, &ranges, "net", &samples, &options).unwrap();
        let alone = result.graph.nodes.iter().any(|node| node.name == "relu1");
        assert_eq!(alone, taken_twice, "part of the convolution, where nothing else takes that");
    }
}

/// What is concatenated is rounded behind that, whatever moved it before; what something else takes, too, before.
#[test]
fn what_is_moved_to_a_concatenation_is_rounded_once() {
    let pool = Layer::MaxPool2d(Pool2d::new([2, 2]));
    let slice = Layer::Slice { begin: [0; 3], end: [4, 4, isize::MAX], stride: [1; 3] };
    let upsample = Layer::Upsample { size: [4, 4], coordinates: Coordinates::HalfPixel };
    let pad = Layer::Pad { before: [2, 0, 0], after: [0, 2, 0] };
    for between in [vec![pool.clone(), upsample], vec![slice], vec![pool.clone(), pool, pad]] {
        for branch in [false, true] {
            let mut net = NetworkBuilder::new([8, 8, 1]);
            let x = net.input();
            let start = net.add(Conv2d::new(3, [1, 1]), &[x]).unwrap();
            let start = net.add(Layer::Relu, &[start]).unwrap();
            let mut y = start;
            for layer in &between {
                y = net.add(layer.clone(), &[y]).unwrap();
            }
            let z = net.add(Conv2d::new(2, [1, 1]).stride(2), &[if branch { start } else { x }]).unwrap();
            let both = net.add(Layer::Concatenate { axis: 2 }, &[y, z]).unwrap();
            let output = net.add(Layer::dense(2), &[both]).unwrap();
            let network = net.finish(output).unwrap();
            let aware = AwareNetwork::new(&network, &network.initialize(Initialization::He, 1), &[]).unwrap();
            let rounded = aware.network.nodes().iter().filter(|node| matches!(node.layer, Layer::FakeQuantize));
            let mut expected = vec![[4, 4, 5], [1, 1, 2]];
            if branch {
                expected.insert(0, [8, 8, 3]);
            }
            assert_eq!(rounded.map(|node| node.input).collect::<Vec<_>>(), expected, "{between:?}, {branch}");
        }
    }
}

/// LeNet-5: each layer of integers is what training saw, and so are its answers.
#[test]
fn lenet_in_integers_is_the_one_that_was_trained() {
    let images = digits(1000);
    let scaling = InputScaling::unit(1);
    let network = Network::new(lenet::INPUT, &lenet::LAYERS).unwrap();
    let start = network.initialize(Initialization::He, 1);
    let aware = AwareNetwork::new(&network, &start, &[]).unwrap();
    // Behind the poolings, where the integer network has tensors.
    let rounded = aware.network.nodes().iter().filter(|node| matches!(node.layer, Layer::FakeQuantize));
    let shapes: Vec<_> = rounded.map(|node| node.input).collect();
    assert_eq!(shapes, [[14, 14, 6], [5, 5, 16], [1, 1, 120], [1, 1, 84], [1, 1, 10]]);
    let options = Options { input: Some(PIXEL), rounding: Rounding::Single, ..Options::default() };
    let inputs = reals(&images);
    let ranges = aware.observe(&inputs, 0.9, &options);
    let data = TrainingData { train: &images, validation: None, test: None, scaling: &scaling };
    let model = Sequential::new(&aware.network, Some(ranges));
    let mut trainer = Trainer::new(model, data, start, recipe(2, 0.03), 1).unwrap();
    trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let mut trained = trainer.finish();
    let mut logits = vec![0.0; images.len() * 10];
    trained.model.infer(&trained.parameters, &inputs, images.len(), &mut logits);

    let samples = [vec![Numbers::F32(inputs[..784].to_vec())]];
    let ranges = trained.model.quantization().unwrap();
    let graph = aware.quantize(&trained.parameters, ranges, "lenet", &samples, &options).unwrap().graph;
    assert_eq!(graph.value(graph.inputs[0]).element, Element::Int8(PIXEL));
    let mut parameters = 0;
    for node in &graph.nodes {
        let (Operator::Conv2d { weights, activation, .. } | Operator::Dense { weights, activation, .. }) =
            &node.operator
        else {
            continue;
        };
        let Weights::Int8 { weights, bias, .. } = weights else { panic!("{}", node.name) };
        parameters += weights.len() + bias.len();
        // After a ReLU the range begins at 0.
        let zero_point = graph.value(node.output).element.quantization().unwrap().zero_point;
        assert_eq!(*activation == Activation::Relu, zero_point == -128, "{}", node.name);
    }
    assert_eq!(parameters, 61_706);

    let pixels: Vec<u8> = images.pixels.iter().map(|pixel| pixel ^ 0x80).collect();
    let bytes = verify::naive(&graph, &pixels).unwrap();
    let step = graph.value(graph.outputs[0]).element.quantization().unwrap();
    let (mut equal, mut same_class) = (0, 0);
    for (number, (float, bytes)) in logits.chunks(10).zip(bytes.chunks(10)).enumerate() {
        let scores: Vec<f32> = bytes.iter().map(|byte| step.dequantize(byte.cast_signed())).collect();
        for (&float, &score) in float.iter().zip(&scores) {
            // The bias's rounding and f32 sums move a value over the border between two steps now
            // and then, and later layers pass that on.
            let steps = (float - score).abs() / step.scale;
            assert!(steps < 3.5, "image {number}: {float} and {score}");
            equal += usize::from(steps < 0.5);
        }
        same_class += usize::from(first_greatest(float) == first_greatest(&scores));
    }
    assert!(equal as f64 > 0.97 * logits.len() as f64, "{equal} of {}", logits.len());
    assert!(same_class as f64 > 0.99 * images.len() as f64, "{same_class}");
}
