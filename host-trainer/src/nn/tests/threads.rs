use super::*;

/// Outputs, moving averages and gradient of a pass in `f32`, to the bit.
fn bits(network: &Network, threads: usize) -> Vec<u32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut parameters = network.initialize(Initialization::He, 5);
        let mut state = network.initial_state();
        let mut engine = Engine::<f32>::new(network, 50, Mode::Training);
        let mut random = Random::new(9, 0);
        engine.load(&(0..50 * size(network.input_shape())).map(|_| random.between(-1.0, 1.0)).collect::<Vec<_>>());
        engine.forward_training(&parameters, &mut state, 3);
        let error: Vec<f32> = engine.output().iter().map(|y| y * 0.5 - 0.1).collect();
        let mut all = engine.output().to_vec();
        let mut gradient = vec![0.0; parameters.len()];
        engine.backward(&error, &mut parameters, &mut |range, part, _| gradient[range].copy_from_slice(part));
        all.extend(gradient.into_iter().chain(state));
        all.into_iter().map(f32::to_bits).collect()
    })
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    for (name, network) in networks().into_iter().chain(long_rows()) {
        let expected = bits(&network, 1);
        for threads in [2, 3, 7] {
            assert!(bits(&network, threads) == expected, "{name}, {threads} threads");
        }
    }
}
