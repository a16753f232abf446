use super::*;
use serde_json::Value as Json;

/// What is compared with: `tests/golden/layers.py` made it.
const GOLDEN: &str = include_str!("../../../tests/golden/layers.json");

/// The script's numbers: multiples of 2^-22 on [-1, 1), which `f32` holds.
fn numbers(seed: u64, length: usize) -> impl Iterator<Item = f64> {
    let mut state = seed;
    (0..length).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 41) as f64 / f64::from(1 << 22) - 1.0
    })
}

/// Residual networks besides [`residual`]: two blocks of ResNet-8, and one of MobileNet v2 with a gate.
fn residuals() -> [(&'static str, Network); 2] {
    let conv = Conv2d::new;
    let mut net = NetworkBuilder::new([8, 8, 3]);
    let x = net.input();
    let x = normalized(&mut net, conv(4, [3, 3]).padding(1), x, true);
    let y = normalized(&mut net, conv(4, [3, 3]).padding(1), x, true);
    let y = normalized(&mut net, conv(4, [3, 3]).padding(1), y, false);
    let x = net.add(Layer::Add, &[x, y]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let y = normalized(&mut net, conv(8, [3, 3]).padding(1).stride(2), x, true);
    let y = normalized(&mut net, conv(8, [3, 3]).padding(1), y, false);
    let x = net.add(conv(8, [1, 1]).stride(2), &[x]).unwrap();
    let x = net.add(Layer::Add, &[x, y]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let x = net.add(Layer::GlobalAveragePool, &[x]).unwrap();
    let x = net.add(Layer::dense(5), &[x]).unwrap();
    let basic = net.finish(x).unwrap();

    let mut net = NetworkBuilder::new([6, 5, 4]);
    let x = net.input();
    let mut y = x;
    for layer in [conv(8, [1, 1]).without_bias().into(), DepthwiseConv2d::new([3, 3]).padding(1).into()] {
        let layer: Layer = layer;
        y = net.add(layer, &[y]).unwrap();
        y = net.add(Layer::batch_norm(), &[y]).unwrap();
        y = net.add(Layer::HardSwish, &[y]).unwrap();
    }
    let mut gate = net.add(Layer::GlobalAveragePool, &[y]).unwrap();
    for layer in [Layer::dense(3), Layer::Relu, Layer::dense(8), Layer::HardSigmoid] {
        gate = net.add(layer, &[gate]).unwrap();
    }
    let y = net.add(Layer::Multiply, &[y, gate]).unwrap();
    let y = net.add(conv(4, [1, 1]).without_bias(), &[y]).unwrap();
    let y = net.add(Layer::batch_norm(), &[y]).unwrap();
    let x = net.add(Layer::Add, &[x, y]).unwrap();
    let x = net.add(Layer::GlobalAveragePool, &[x]).unwrap();
    let x = net.add(Layer::dense(5), &[x]).unwrap();
    [("basic blocks", basic), ("inverted residual", net.finish(x).unwrap())]
}

/// A convolution, batch normalization, and ReLU if `active`.
fn normalized(net: &mut NetworkBuilder, layer: Conv2d, x: Value, active: bool) -> Value {
    let x = net.add(layer, &[x]).unwrap();
    let x = net.add(Layer::batch_norm(), &[x]).unwrap();
    if active { net.add(Layer::Relu, &[x]).unwrap() } else { x }
}

/// The network behind a dense layer whose weights `[value][image]` are the images, for inputs that name an image: 1 at its
/// place, 0 elsewhere. The gradient of these weights is that of the images.
fn behind_images(network: &Network, images: usize) -> Network {
    let shape = network.input_shape();
    let mut net = NetworkBuilder::new([1, 1, images]);
    let x = net.input();
    let x = net.add_named("images", Layer::Dense { outputs: size(shape), bias: false }, &[x]).unwrap();
    let x = net.add_named("shape", Layer::Reshape { shape }, &[x]).unwrap();
    let mut values = vec![x];
    for node in network.nodes() {
        let inputs: Vec<Value> = node.inputs.iter().map(|input| values[input.0]).collect();
        values.push(net.add_named(&node.name, node.layer.clone(), &inputs).unwrap());
    }
    net.finish(values[network.output().0]).unwrap()
}

/// `found` agrees with what the file has of a tensor: each difference is below `tolerance` times the tensor's greatest value,
/// and that of the sums, of `count` values that all may differ, below so much times the root of their number.
fn compare(what: &str, found: &[f64], golden: &Json, tolerance: f64) {
    let count = found.len();
    assert_eq!(golden["count"].as_u64(), Some(count as u64), "{what}");
    let values: Vec<f64> = golden["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let limit = tolerance * found.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    assert!(limit > 0.0 && limit.is_finite(), "{what}: there is something to see");
    for (place, expected) in values.iter().enumerate() {
        let index = place * count / values.len();
        let found = found[index];
        assert!((found - expected).abs() < limit, "{what}, value {index} of {count}: {found}, PyTorch {expected}");
    }
    let (sum, expected) =
        (found.iter().zip(numbers(9, count)).map(|(a, b)| a * b).sum::<f64>(), golden["sum"].as_f64().unwrap());
    let limit = limit * (count as f64).sqrt();
    assert!((sum - expected).abs() < limit, "{what}, the sum of {count} values: {sum}, PyTorch {expected}");
}

/// Everything of a pass by the engine in `T`.
fn check<T: Real>(name: &str, network: &Network, golden: &Json, images: usize, tolerance: f64) {
    let seed = golden["seed"].as_u64().unwrap();
    let length = size(network.input_shape());
    let whole = behind_images(network, images);
    let pixels: Vec<f64> = numbers(seed + 1, images * length).map(|x| 2.0 * x).collect();
    let transposed = (0..length * images).map(|i| pixels[i % images * length + i / images]);
    let own = numbers(seed + 2, network.parameters()).map(|x| 2.0 * x);
    let mut parameters: Vec<T> = transposed.chain(own).map(T::from_f64).collect();
    let mut state: Vec<T> = whole.initial_state().into_iter().map(|x| T::from_f64(f64::from(x))).collect();
    let mut engine = Engine::<T>::new(&whole, images, Mode::Training);
    engine.load_with(images, |image, values| values[image] = T::from_f64(1.0));
    engine.forward_training(&parameters, &mut state, 0);
    let weighting: Vec<T> = numbers(seed + 3, images * network.outputs()).map(T::from_f64).collect();
    let mut gradient = vec![T::from_f64(f64::NAN); parameters.len()];
    engine.backward(&weighting, &mut parameters, &mut |range, part, _| gradient[range].copy_from_slice(part));

    let reals = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
    compare(&format!("{name}, outputs"), &reals(engine.output()), &golden["outputs"], tolerance);
    let (inputs, own) = gradient.split_at(length * images);
    let inputs: Vec<T> = (0..length * images).map(|i| inputs[i % length * images + i / length]).collect();
    compare(&format!("{name}, gradient of the inputs"), &reals(&inputs), &golden["inputs"], tolerance);
    compare(&format!("{name}, gradient of the parameters"), &reals(own), &golden["parameters"], tolerance);
    if network.state() > 0 {
        compare(&format!("{name}, moving averages"), &reals(&state), &golden["state"], tolerance);
    }
}

/// PyTorch's outputs and gradients in `f64`. In `f64` both sides differ by the order of sums of at most some thousand
/// products, 2^-53 each: far below the twelfth digit, with which the file ends. In `f32` the same sums differ by up to a
/// thousand times 2^-24 of the greatest, 6e-5, if all errors agree; they are random, and their root is 2e-6. Layer upon layer,
/// normalization by small deviations adds to that.
#[test]
fn pytorch_agrees() {
    let golden: Json = serde_json::from_str(GOLDEN).unwrap();
    let images = golden["images"].as_u64().unwrap() as usize;
    let cases = golden["cases"].as_object().unwrap();
    // With dropout there would be another mask to draw for the script; one network with it is enough.
    let networks = networks().into_iter().filter(|(name, _)| *name != "residual");
    let networks: Vec<_> = networks.chain(residuals()).chain([("residual", residual(0.0))]).collect();
    for (name, network) in &networks {
        let golden = cases.get(*name).unwrap_or_else(|| panic!("layers.py has no network `{name}`"));
        check::<f64>(name, network, golden, images, 1e-11);
        check::<f32>(name, network, golden, images, 2e-5);
    }
    assert_eq!(networks.len(), cases.len(), "every network of layers.py is compared");
}
