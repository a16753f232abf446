use super::*;
use crate::graph::Numbers;
use crate::run::Interpreter;

fn numbers(seed: u64, length: usize) -> Vec<f32> {
    noise(seed, length).iter().map(|&x| x as f32).collect()
}

/// Normalization behind filters of each pixel, with padding and a stride.
fn locally_connected() -> Network {
    let layers = [
        Layer::LocallyConnected2d(Conv2d::new(5, [2, 2]).stride(2).padding(1).without_bias()),
        Layer::batch_norm(),
        Layer::Relu,
        Layer::LocallyConnected2d(Conv2d::new(2, [3, 3])),
    ];
    Network::new([4, 5, 3], &layers).unwrap()
}

/// Another layer, too, takes what dropout lets through in inference, as it is.
fn dropout_before_an_activation() -> Network {
    let mut net = NetworkBuilder::new([4, 5, 2]);
    let x = net.input();
    let first = net.add(Conv2d::new(3, [3, 3]), &[x]).unwrap();
    let dropped = net.add(Layer::Dropout { rate: 0.5 }, &[first]).unwrap();
    let positive = net.add(Layer::Relu, &[dropped]).unwrap();
    let sum = net.add(Layer::Add, &[positive, first]).unwrap();
    net.finish(sum).unwrap()
}

/// Graphs, run by `bareconv`, compute what the engine does in inference; so do networks whose normalization is folded.
#[test]
fn graphs_and_folded_networks_compute_the_same() {
    let more = [
        ("locally connected, normalized", locally_connected()),
        ("dropout before an activation", dropout_before_an_activation()),
    ];
    for (number, (name, network)) in networks().into_iter().chain(more).enumerate() {
        let seed = 10 * number as u64;
        let parameters = numbers(seed, network.parameters());
        let state: Vec<f32> = numbers(seed + 1, network.state()).iter().map(|x| x.abs() + 0.1).collect();
        let pixels = numbers(seed + 2, size(network.input_shape()));
        let mut engine = Engine::<f32>::new(&network, 1, Mode::Inference);
        engine.load(&pixels);
        engine.forward(&parameters, &state);
        let greatest = engine.output().iter().fold(1.0f32, |max, y| max.max(y.abs()));
        let agrees = |got: &[f32], what: &str| {
            assert_eq!(got.len(), engine.output().len(), "{name}, {what}");
            for (got, expected) in got.iter().zip(engine.output()) {
                assert!((got - expected).abs() < 3e-5 * greatest, "{name}, {what}: {got} instead of {expected}");
            }
        };
        let folded = network.fold_batch_norm(&parameters, &state).unwrap();
        let mut other = Engine::<f32>::new(&folded.network, 1, Mode::Inference);
        other.load(&pixels);
        other.forward(&folded.parameters, &folded.state);
        agrees(other.output(), "folded");
        let graph = network.to_graph(&parameters, &state, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let outputs = Interpreter::new(&graph).unwrap().run(&[Numbers::F32(pixels)]).unwrap();
        let [Numbers::F32(output)] = &outputs[..] else { panic!("{name}: {outputs:?}") };
        agrees(output, "graph");
    }
    // Nothing is left of the normalization behind convolutions.
    let residual = residual(0.25);
    let state = residual.initial_state();
    let folded = residual.fold_batch_norm(&residual.initialize(Initialization::He, 1), &state).unwrap();
    assert!(folded.network.nodes().iter().all(|node| !matches!(node.layer, Layer::BatchNorm { .. })));
}
