use super::*;

/// A network behind its normalization computes of inputs what it computed of normalized ones.
#[test]
fn networks_normalize_by_themselves() {
    let group = ("groups, no padding", single([5, 6, 6], Conv2d::new(9, [3, 2]).groups(3).without_bias()));
    let local = Conv2d { padding: [1, 0, 2, 1], ..Conv2d::new(4, [3, 2]).stride(2).without_bias() };
    let local = ("filters of each pixel", single([5, 6, 3], Layer::LocallyConnected2d(local)));
    let mut folded = Vec::new();
    for (number, (name, network)) in networks().into_iter().chain([group, local]).enumerate() {
        let seed = 10 * number as u64;
        let channels = network.input_shape()[2];
        let numbers = |seed, length| noise(seed, length).iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let parameters = numbers(seed, network.parameters());
        let scales: Vec<f32> = numbers(seed + 1, channels).iter().map(|x| 3.0 + x).collect();
        let shifts = numbers(seed + 2, channels);
        let pixels = noise(seed + 3, 3 * size(network.input_shape()));
        let state: Vec<f64> = noise(seed + 4, network.state()).iter().map(|x| x.abs() + 0.1).collect();
        let outputs = |network: &Network, parameters: &[f32], pixels: &[f64]| {
            let mut engine = Engine::<f64>::new(network, 3, Mode::Inference);
            engine.load(pixels);
            engine.forward(&parameters.iter().map(|&p| f64::from(p)).collect::<Vec<_>>(), &state);
            engine.output().to_vec()
        };
        let normalized: Vec<f64> = pixels
            .iter()
            .enumerate()
            .map(|(i, x)| f64::from(scales[i % channels]) * x + f64::from(shifts[i % channels]))
            .collect();
        let expected = outputs(&network, &parameters, &normalized);
        let (behind, own) = network.behind_normalization(&parameters, &scales, &shifts);
        let got = outputs(&behind, &own, &pixels);
        // Products and sums of parameters are rounded to `f32`.
        let limit = 1e-6 * expected.iter().fold(1.0, |most: f64, y| most.max(y.abs()));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < limit, "{name}: {got} instead of {expected}");
        }
        if behind.nodes().len() == network.nodes().len() {
            folded.push(name);
        }
    }
    // The others pad the input, take it more than once, or begin with something else; `behind` is 1 x 1.
    for name in ["dense", "17 filters", "groups, no padding", "filters of each pixel"] {
        assert!(folded.contains(&name), "{name}");
    }
    for name in ["convolution", "sum", "residual", "batch normalization of the input", "dropout"] {
        let padded = ["convolution", "sum", "residual", "batch normalization of the input"].contains(&name);
        assert_eq!(folded.contains(&name), !padded, "{name}");
    }
}
