//! Layers against naive loops and finite differences, in `f64`.

use super::*;
use crate::random::Random;

/// Uniform numbers on [-1, 1).
fn noise(seed: u64, length: usize) -> Vec<f64> {
    let mut random = Random::new(seed, 0);
    (0..length).map(|_| f64::from(random.between(-1.0, 1.0))).collect()
}

fn conv(filters: usize, filter: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Layer {
    Layer::Conv2d { filters, filter, stride, padding }
}

fn pool(window: [usize; 2], stride: [usize; 2]) -> Layer {
    Layer::MaxPool2d { window, stride }
}

/// The output for one image by the definitions of the operators.
fn naive(network: &Network, parameters: &[f64], image: &[f64]) -> Vec<f64> {
    let mut x = image.to_vec();
    for node in network.nodes() {
        let [h, w, c] = node.input;
        let [oh, ow, oc] = node.output;
        let weights = &parameters[node.weights.clone()];
        let bias = &parameters[node.bias.clone()];
        let mut y = vec![0.0; oh * ow * oc];
        for (oy, ox, o) in (0..oh).flat_map(|oy| (0..ow).flat_map(move |ox| (0..oc).map(move |o| (oy, ox, o)))) {
            let value = &mut y[(oy * ow + ox) * oc + o];
            match node.layer {
                Layer::Conv2d { filter, stride, padding, .. } => {
                    *value = bias[o];
                    for ky in 0..filter[0] {
                        for kx in 0..filter[1] {
                            let iy = (oy * stride[0] + ky) as isize - padding[0] as isize;
                            let ix = (ox * stride[1] + kx) as isize - padding[1] as isize;
                            if iy < 0 || ix < 0 || iy >= h as isize || ix >= w as isize {
                                continue;
                            }
                            for i in 0..c {
                                *value += x[(iy as usize * w + ix as usize) * c + i]
                                    * weights[((o * filter[0] + ky) * filter[1] + kx) * c + i];
                            }
                        }
                    }
                }
                Layer::MaxPool2d { window, stride } => {
                    *value = f64::NEG_INFINITY;
                    for ky in 0..window[0] {
                        for kx in 0..window[1] {
                            let index = ((oy * stride[0] + ky) * w + ox * stride[1] + kx) * c + o;
                            *value = value.max(x[index]);
                        }
                    }
                }
                Layer::Relu => *value = x[(oy * ow + ox) * oc + o].max(0.0),
                Layer::Dense { .. } => {
                    *value = bias[o];
                    for (i, x) in x.iter().enumerate() {
                        *value += x * weights[o * h * w * c + i];
                    }
                }
                Layer::FakeQuantize => unreachable!("not in these networks"),
            }
        }
        x = y;
    }
    x
}

/// Networks of awkward sizes that between them use every block size of the kernels.
fn networks() -> Vec<Network> {
    let network = |input, layers: &[Layer]| Network::new(input, layers).unwrap();
    vec![
        network(
            [9, 8, 1],
            &[
                conv(6, [5, 5], [1, 1], [2, 2]),
                Layer::Relu,
                pool([2, 2], [2, 2]),
                conv(16, [3, 3], [1, 1], [0, 0]),
                Layer::Relu,
                pool([2, 1], [1, 1]),
                Layer::Dense { outputs: 11 },
                Layer::Relu,
                Layer::Dense { outputs: 10 },
            ],
        ),
        network(
            [7, 10, 3],
            &[
                conv(5, [3, 2], [2, 3], [1, 0]),
                conv(3, [2, 3], [1, 2], [2, 1]),
                Layer::Relu,
                pool([3, 2], [2, 1]),
                conv(2, [1, 1], [1, 1], [1, 2]),
            ],
        ),
        network([1, 1, 37], &[Layer::Dense { outputs: 29 }]),
        network([4, 4, 2], &[Layer::Relu, Layer::Dense { outputs: 7 }, Layer::Dense { outputs: 3 }]),
    ]
}

fn fill(workspace: &mut Workspace<f64>, images: &[f64]) {
    let input = workspace.input();
    let size = input.len();
    for (i, lanes) in input.iter_mut().enumerate() {
        for (image, value) in lanes.0.iter_mut().enumerate() {
            *value = images[image * size + i];
        }
    }
}

#[test]
fn forward_is_the_definition() {
    for (seed, network) in networks().iter().enumerate() {
        let parameters = noise(seed as u64, network.parameters());
        let size = network.input_shape().iter().product::<usize>();
        let images = noise(100 + seed as u64, size * LANES);
        let mut workspace = Workspace::new(network);
        // Twice: the second pass must not see the first one's values.
        fill(&mut workspace, &noise(200, size * LANES));
        network.forward(&parameters, &mut workspace);
        fill(&mut workspace, &images);
        network.forward(&parameters, &mut workspace);
        for (image, pixels) in images.chunks_exact(size).enumerate() {
            let expected = naive(network, &parameters, pixels);
            assert_eq!(expected.len(), network.outputs());
            for (lanes, expected) in workspace.output().iter().zip(expected) {
                assert!((lanes.0[image] - expected).abs() < 1e-12);
            }
        }
    }
}

/// The loss of these tests: a fixed random weighting of all outputs of all images.
fn loss(network: &Network, parameters: &[f64], images: &[f64], weighting: &[f64]) -> f64 {
    let size = network.input_shape().iter().product::<usize>();
    images
        .chunks_exact(size)
        .zip(weighting.chunks_exact(network.outputs()))
        .map(|(image, weighting)| {
            let output = naive(network, parameters, image);
            output.iter().zip(weighting).map(|(y, w)| y * w).sum::<f64>()
        })
        .sum()
}

#[test]
fn gradients_are_finite_differences() {
    for (seed, network) in networks().iter().enumerate() {
        let parameters = noise(seed as u64, network.parameters());
        let size = network.input_shape().iter().product::<usize>();
        let images = noise(100 + seed as u64, size * LANES);
        let weighting = noise(300 + seed as u64, network.outputs() * LANES);
        let mut workspace = Workspace::new(network);
        fill(&mut workspace, &images);
        network.forward(&parameters, &mut workspace);
        let (_, gradient) = workspace.output_gradient();
        for (o, lanes) in gradient.iter_mut().enumerate() {
            for (image, value) in lanes.0.iter_mut().enumerate() {
                *value = weighting[image * network.outputs() + o];
            }
        }
        network.backward(&parameters, &mut workspace);
        let step = 1e-6;
        let mut moved = parameters.clone();
        // Every parameter of small networks, every seventh of large ones.
        let stride = if network.parameters() > 700 { 7 } else { 1 };
        for index in (0..network.parameters()).step_by(stride) {
            moved[index] = parameters[index] + step;
            let above = loss(network, &moved, &images, &weighting);
            moved[index] = parameters[index] - step;
            let below = loss(network, &moved, &images, &weighting);
            moved[index] = parameters[index];
            let expected = (above - below) / (2.0 * step);
            let got = workspace.gradient[index];
            assert!(
                (got - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                "network {seed}, parameter {index}: {got}, finite difference {expected}"
            );
        }
        // A second pass adds to the gradient.
        let once = workspace.gradient.clone();
        let (_, gradient) = workspace.output_gradient();
        for (o, lanes) in gradient.iter_mut().enumerate() {
            for (image, value) in lanes.0.iter_mut().enumerate() {
                *value = weighting[image * network.outputs() + o];
            }
        }
        network.backward(&parameters, &mut workspace);
        for (twice, once) in workspace.gradient.iter().zip(once) {
            assert!((twice - 2.0 * once).abs() < 1e-9 * (1.0 + once.abs()));
        }
    }
}

#[test]
fn fake_quantization_rounds_to_the_grid_and_passes_gradients_inside_it() {
    let network = Network::new([1, 1, 5], &[Layer::FakeQuantize]).unwrap();
    let mut workspace = Workspace::<f64>::new(&network);
    let values = [-3.0, -0.26, 0.24, 1.2, 100.0];
    for (lanes, value) in workspace.input().iter_mut().zip(values) {
        *lanes = Lanes::splat(value);
    }
    network.forward(&[], &mut workspace);
    assert_eq!(workspace.observed, [[-3.0, 100.0]]);
    assert_eq!(workspace.output()[1].0[0], -0.26, "no grid yet");
    // Values from 0.5 * (-128 + 126) = -1 to 0.5 * (127 + 126) = 126.5.
    workspace.set_grids(&[Some(Quantization { scale: 0.5, zero_point: -126 })]);
    network.forward(&[], &mut workspace);
    let rounded: Vec<f64> = workspace.output().iter().map(|lanes| lanes.0[7]).collect();
    assert_eq!(rounded, [-1.0, -0.5, 0.0, 1.0, 100.0]);
    workspace.output_gradient().1.fill(Lanes::splat(2.0));
    network.backward(&[], &mut workspace);
    let passed: Vec<f64> = workspace.dy[..5].iter().map(|lanes| lanes.0[3]).collect();
    assert_eq!(passed, [0.0, 2.0, 2.0, 2.0, 2.0]);
}

#[test]
fn initial_weights_have_the_variance_of_their_rule() {
    let network = Network::new([8, 8, 20], &[conv(40, [5, 5], [1, 1], [0, 0]), Layer::Dense { outputs: 50 }]).unwrap();
    for (rule, expected) in [
        (Initialization::He, [2.0 / 500.0, 2.0 / 640.0]),
        (Initialization::Xavier, [1.0 / 500.0, 1.0 / 640.0]),
        (Initialization::Glorot, [2.0 / 1500.0, 2.0 / 690.0]),
    ] {
        let parameters = network.initialize(rule, 1);
        for (node, expected) in network.nodes().iter().zip(expected) {
            let weights = &parameters[node.weights.clone()];
            let sum: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
            let variance = sum / weights.len() as f64;
            assert!((variance / expected - 1.0).abs() < 0.03, "{rule:?} {}", node.name);
            assert!(parameters[node.bias.clone()].iter().all(|&b| b == 0.0));
        }
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    for (layer, reason) in [
        (conv(1, [6, 1], [1, 1], [0, 0]), "larger than the padded input"),
        (conv(0, [1, 1], [1, 1], [0, 0]), "at least one output"),
        (pool([2, 2], [0, 1]), "at least 1"),
    ] {
        let error = Network::new([5, 5, 1], &[Layer::Relu, layer]).unwrap_err();
        assert_eq!((error.index, error.layer), (1, layer));
        assert!(error.to_string().contains(reason), "{error}");
    }
}
