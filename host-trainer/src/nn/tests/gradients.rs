use super::*;

/// Everything that a pass needs, for a loss that is a fixed random weighting of all outputs of all images.
struct Case {
    network: Network,
    pixels: Vec<f64>,
    weighting: Vec<f64>,
    parameters: Vec<f64>,
}

const SEED: u64 = 77;

impl Case {
    fn new(network: Network, images: usize, seed: u64) -> Self {
        // Values of some size, so that those with bounds meet them.
        let mut parameters: Vec<f64> = noise(seed, network.parameters()).iter().map(|p| 2.0 * p).collect();
        for node in network.nodes() {
            if matches!(node.layer, Layer::BatchNorm { .. }) {
                parameters[node.weights.clone()].iter_mut().for_each(|gamma| *gamma = gamma.abs() + 0.5);
            }
        }
        Self {
            pixels: noise(seed + 1, images * size(network.input_shape())),
            weighting: noise(seed + 2, images * network.outputs()),
            network,
            parameters,
        }
    }

    fn forward(&self, engine: &mut Engine<f64>, parameters: &[f64]) {
        let mut state = vec![0.5; self.network.state()];
        engine.load(&self.pixels);
        engine.forward_training(parameters, &mut state, SEED);
        assert_eq!(engine.output().len(), self.weighting.len());
    }

    fn gradient(&self, engine: &mut Engine<f64>) -> Vec<f64> {
        self.forward(engine, &self.parameters);
        let mut gradient = vec![f64::NAN; self.parameters.len()];
        let mut parameters = self.parameters.clone();
        engine.backward(&self.weighting, &mut parameters, &mut |range, part, parameters| {
            assert!(gradient[range.clone()].iter().all(|value| value.is_nan()), "given once");
            assert_eq!(parameters.len(), part.len());
            gradient[range].copy_from_slice(part);
            // A backward pass does not read what was updated.
            parameters.fill(1e9);
        });
        gradient
    }
}

#[test]
fn gradients_are_finite_differences() {
    for (number, (name, network)) in networks().into_iter().chain(long_rows()).enumerate() {
        // One chunk and a part of another.
        let case = Case::new(network, 19, 10 * number as u64);
        let mut engine = Engine::new(&case.network, 40, Mode::Training);
        let gradient = case.gradient(&mut engine);
        assert!(gradient.iter().any(|value| value.abs() > 1e-3), "{name}: there is something to see");
        // So small that hardly ever two values change places.
        let (step, count) = (1e-7, gradient.len());
        let mut moved = case.parameters.clone();
        // Every parameter of small networks, some of large ones.
        for index in (0..count).step_by(1.max(count / 150)) {
            moved[index] = case.parameters[index] + step;
            case.forward(&mut engine, &moved);
            let above = engine.output().to_vec();
            moved[index] = case.parameters[index] - step;
            case.forward(&mut engine, &moved);
            moved[index] = case.parameters[index];
            // Outputs first, then their sum: that of ten thousands would drown the difference of two of them.
            let change = above.iter().zip(engine.output()).zip(&case.weighting).map(|((a, b), w)| (a - b) * w);
            let (got, expected) = (gradient[index], change.sum::<f64>() / (2.0 * step));
            assert!(
                (got - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name}, parameter {index}: {got}, finite difference {expected}"
            );
        }
    }
}

/// What was computed before, for more images, leaves no trace.
#[test]
fn batches_of_any_size_and_order_give_the_same() {
    for (number, (name, network)) in networks().into_iter().chain(long_rows()).enumerate() {
        let small = Case::new(network, 5, 10 * number as u64);
        let large = Case::new(small.network.clone(), 33, 10 * number as u64);
        let mut fresh = Engine::new(&small.network, 5, Mode::Training);
        let expected = small.gradient(&mut fresh);
        let mut used = Engine::new(&small.network, 33, Mode::Training);
        large.gradient(&mut used);
        let got = small.gradient(&mut used);
        assert_eq!(fresh.output(), used.output(), "{name}");
        assert_eq!(expected, got, "{name}");
    }
}

#[test]
fn fake_quantization_rounds_to_the_grid_and_passes_gradients_inside_it() {
    let mut net = NetworkBuilder::new([1, 1, 1]);
    let x = net.input();
    let x = net.add(Layer::Dense { outputs: 5, bias: false }, &[x]).unwrap();
    let x = net.add(Layer::FakeQuantize, &[x]).unwrap();
    let network = net.finish(x).unwrap();
    let mut engine = Engine::<f64>::new(&network, 1, Mode::Training);
    let mut values = [-3.0, -0.26, 0.24, 1.2, 100.0];
    engine.load(&[1.0]);
    engine.forward_training(&values, &mut [], 0);
    assert_eq!(engine.observed(), [[-3.0, 100.0]], "unused lanes do not count");
    assert_eq!(engine.output()[1], -0.26, "no grid yet");
    // Values from 0.5 * (-128 + 126) = -1 to 0.5 * (127 + 126) = 126.5.
    engine.set_grids(&[Some(bareconv::Quantization { scale: 0.5, zero_point: -126 })]);
    engine.forward_training(&values, &mut [], 0);
    assert_eq!(engine.output(), [-1.0, -0.5, 0.0, 1.0, 100.0]);
    let mut passed = vec![];
    engine.backward(&[2.0; 5], &mut values, &mut |_, gradient, _| passed.extend_from_slice(gradient));
    assert_eq!(passed, [0.0, 2.0, 2.0, 2.0, 2.0]);
}

#[test]
fn vectors_give_the_gradients_of_f64() {
    for (number, (name, network)) in networks().into_iter().chain(long_rows()).enumerate() {
        let case = Case::new(network, 19, 10 * number as u64 + 5);
        let exact = case.gradient(&mut Engine::new(&case.network, 40, Mode::Training));
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        let mut parameters = narrow(&case.parameters);
        let mut engine = Engine::<f32>::new(&case.network, 40, Mode::Training);
        engine.load(&narrow(&case.pixels));
        engine.forward_training(&parameters, &mut vec![0.5; case.network.state()], SEED);
        let mut gradient = vec![f32::NAN; parameters.len()];
        engine.backward(&narrow(&case.weighting), &mut parameters, &mut |range, part, _| {
            gradient[range].copy_from_slice(part);
        });
        let greatest = exact.iter().fold(0.0f64, |greatest, value| greatest.max(value.abs()));
        for (index, (value, exact)) in gradient.iter().zip(&exact).enumerate() {
            let distance = (f64::from(*value) - exact).abs();
            assert!(distance < 1e-4 * greatest, "{name}, parameter {index}: {value} for {exact}, of {greatest}");
        }
    }
}
