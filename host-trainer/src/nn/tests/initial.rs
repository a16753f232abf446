use super::*;

#[test]
fn initial_weights_have_the_variance_of_their_rule() {
    let network = Network::new(
        [8, 8, 20],
        &[
            Conv2d::new(40, [5, 5]).into(),
            Conv2d::new(120, [3, 3]).groups(4).padding(1).into(),
            DepthwiseConv2d { multiplier: 2, ..DepthwiseConv2d::new([4, 4]) }.into(),
            TransposedConv2d::new(30, [4, 4]).stride(2).into(),
            Layer::batch_norm(),
            Layer::PRelu,
            Layer::dense(50),
        ],
    )
    .unwrap();
    // n_in and n_out of each layer with filters.
    let fans = [(500.0, 1000.0), (90.0, 270.0), (16.0, 32.0), (960.0, 480.0), (480.0, 50.0)];
    for rule in [Initialization::He, Initialization::Xavier, Initialization::Glorot] {
        let parameters = network.initialize(rule, 1);
        let filters = network.nodes().iter().filter(|node| node.layer.has_filters());
        for (node, (n_in, n_out)) in filters.zip(fans) {
            let expected: f64 = match rule {
                Initialization::He => 2.0 / n_in,
                Initialization::Xavier => 1.0 / n_in,
                Initialization::Glorot => 2.0 / (n_in + n_out),
            };
            let weights: Vec<f64> = parameters[node.weights.clone()].iter().map(|&w| f64::from(w)).collect();
            let (count, mean) = (weights.len() as f64, weights.iter().sum::<f64>() / weights.len() as f64);
            let variance = weights.iter().map(|w| w * w).sum::<f64>() / count;
            // The standard error of the variance of a uniform distribution is sqrt(0.8 / count) of it.
            assert!((variance / expected - 1.0).abs() < 4.0 * (0.8 / count).sqrt(), "{rule:?} {}", node.name);
            assert!(mean.abs() < 4.0 * (expected / count).sqrt(), "{rule:?} {}", node.name);
            assert!(parameters[node.bias.clone()].iter().all(|&b| b == 0.0));
        }
        let [norm, slopes] = [&network.nodes()[4], &network.nodes()[5]];
        assert!(parameters[norm.weights.clone()].iter().all(|&gamma| gamma == 1.0));
        assert!(parameters[slopes.weights.clone()].iter().all(|&slope| slope == 0.25));
    }
    assert_eq!(network.initial_state(), [[0.0; 30], [1.0; 30]].concat());
}

/// The argument for the rules, in a network of twenty layers: He's keeps the mean square of what passes ReLUs, Xavier's
/// that of what passes none.
#[test]
fn signals_neither_vanish_nor_explode() {
    for (rule, relu) in [(Initialization::He, true), (Initialization::Xavier, false)] {
        let mut layers = Vec::new();
        for _ in 0..20 {
            layers.push(Layer::dense(256));
            if relu {
                layers.push(Layer::Relu);
            }
        }
        let network = Network::new([1, 1, 256], &layers).unwrap();
        let parameters: Vec<f64> = network.initialize(rule, 3).iter().map(|&p| f64::from(p)).collect();
        let mut engine = Engine::new(&network, 64, Mode::Inference);
        let input = noise(4, 64 * 256);
        engine.load(&input);
        engine.forward(&parameters, &[]);
        let mean_square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        let gain = mean_square(engine.output()) / mean_square(&input);
        // Twenty factors of 1, each with an error of about sqrt(2 / 256) or twice that: within a factor of four.
        assert!((0.25..4.0).contains(&gain), "{rule:?}: {gain}");
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let pool = |window, stride| Layer::MaxPool2d(Pool2d { window, stride, padding: [0; 4] });
    for (layer, reason) in [
        (Conv2d::new(1, [6, 1]).into(), "must fit into the padded input"),
        (Conv2d::new(0, [1, 1]).into(), "at least 1"),
        (Conv2d::new(4, [1, 1]).groups(3).into(), "groups must divide"),
        (pool([2, 2], [0, 1]), "at least 1"),
        (pool([6, 2], [1, 1]), "pooling window"),
        (Layer::Add, "two inputs"),
        (Layer::Subtract, "two inputs"),
        (Layer::Upsample { size: [0, 1], coordinates: Coordinates::Asymmetric }, "at least 1"),
        (Layer::Upsample { size: [usize::MAX, 1], coordinates: Coordinates::Asymmetric }, "2^16 in a dimension"),
        (Layer::Pad { before: [usize::MAX, 0, 0], after: [1; 3] }, "2^16 in a dimension"),
        (Layer::Slice { begin: [0, 5, 0], end: [5, 9, 1], stride: [1; 3] }, "at least one value"),
        (Layer::Reshape { shape: [1, 1, 24] }, "as many values"),
        (Layer::SpatialPyramidPool { levels: vec![6], average: true }, "pyramid"),
        (Layer::Dropout { rate: 1.0 }, "below 1"),
    ] {
        let error = Network::new([5, 5, 1], &[Layer::Relu, layer.clone()]).unwrap_err();
        assert_eq!((error.index, &*error.layer), (1, &layer));
        assert!(error.to_string().contains(reason), "{error}");
    }
    let mut net = NetworkBuilder::new([2, 2, 1]);
    let x = net.input();
    let y = net.add(Layer::Relu, &[x]).unwrap();
    net.add(Layer::Tanh, &[x]).unwrap();
    assert!(net.add_named("relu1", Layer::Relu, &[y]).unwrap_err().reason.contains("name"));
    let error = net.finish(y).unwrap_err();
    assert_eq!((error.name.as_str(), error.reason.as_str()), ("tanh1", "nothing takes its output"));
}
