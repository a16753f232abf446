use super::*;
use bareconv::reference;
use bareconv::{BlurPool2dShape, LocalResponse, Region, SliceShape, UpsampleShape};

/// The output of each node for one image in `f32`, by `bareconv`'s specification.
fn by_reference(network: &Network, parameters: &[f32], state: &[f32], image: &[f32]) -> Vec<f32> {
    let all = [f32::NEG_INFINITY, f32::INFINITY];
    let mut values = vec![image.to_vec()];
    for node in network.nodes() {
        let x: Vec<&[f32]> = node.inputs.iter().map(|input| &values[input.0][..]).collect();
        let weights = &parameters[node.weights.clone()];
        let bias = |outputs| match &parameters[node.bias.clone()] {
            [] => vec![0.0; outputs],
            bias => bias.to_vec(),
        };
        let mut y = vec![f32::NAN; size(node.output)];
        let output = &mut y[..];
        match &node.layer {
            Layer::Conv2d(conv) => {
                reference::conv2d_f32(&conv.shape(node.input), x[0], weights, &bias(conv.filters), all, output);
            }
            Layer::DepthwiseConv2d(conv) => {
                let bias = bias(node.output[2]);
                reference::depthwise_conv2d_f32(&conv.shape(node.input), x[0], weights, &bias, all, output);
            }
            Layer::TransposedConv2d(conv) => {
                reference::transposed_conv2d_f32(
                    &conv.shape(node.input),
                    x[0],
                    weights,
                    &bias(conv.filters),
                    all,
                    output,
                );
            }
            Layer::LocallyConnected2d(conv) => {
                let bias = bias(size(node.output));
                reference::locally_connected2d_f32(&conv.shape(node.input), x[0], weights, &bias, all, output);
            }
            Layer::Dense { outputs, .. } => {
                let shape = bareconv::Conv2dShape::dense(x[0].len(), *outputs);
                reference::conv2d_f32(&shape, x[0], weights, &bias(*outputs), all, output);
            }
            Layer::MaxPool2d(pool) => reference::max_pool2d(&pool.shape(node.input), x[0], output),
            Layer::AveragePool2d { pool, including_padding } => {
                reference::average_pool2d_f32(&pool.shape(node.input), *including_padding, x[0], output);
            }
            Layer::GlobalAveragePool => {
                let [height, width, _] = node.input;
                let pool = Pool2d::new([height, width]).shape(node.input);
                reference::average_pool2d_f32(&pool, false, x[0], output);
            }
            Layer::SpatialPyramidPool { levels, average: false } => {
                reference::spatial_pyramid_max(levels, node.input, x[0], output);
            }
            Layer::SpatialPyramidPool { levels, average: true } => {
                reference::spatial_pyramid_average_f32(levels, node.input, x[0], output);
            }
            &Layer::BlurPool2d { max, taps, stride, padding } => {
                let shape = BlurPool2dShape { input: node.input, max, taps, stride, padding };
                reference::blur_pool2d_f32(&shape, x[0], output);
            }
            &Layer::BatchNorm { epsilon, .. } => {
                let (mean, variance) = state[node.state.clone()].split_at(node.input[2]);
                let beta = &bias(0)[..];
                let norm = bareconv::BatchNormParameters { gamma: weights, beta, mean, variance, epsilon };
                norm.check(node.input[2]).unwrap();
                let channels = 0..node.input[2];
                let scales: Vec<f32> = channels.clone().map(|c| norm.scale(c) as f32).collect();
                let shifts: Vec<f32> = channels.map(|c| norm.shift(c) as f32).collect();
                reference::batch_norm_f32(&scales, &shifts, x[0], output);
            }
            &Layer::LocalResponse { size, alpha, beta, k } => {
                let norm = LocalResponse::new(size, alpha, beta, k);
                reference::local_response_f32(&norm, node.input[2], x[0], output);
            }
            Layer::Dropout { .. } | Layer::Reshape { .. } | Layer::Flatten | Layer::FakeQuantize => {
                output.copy_from_slice(x[0]);
            }
            Layer::Relu => map(x[0], output, |x| x.max(0.0)),
            Layer::Relu6 => map(x[0], output, |x| x.clamp(0.0, 6.0)),
            &Layer::LeakyRelu { slope } => map(x[0], output, |x| if x > 0.0 { x } else { slope * x }),
            Layer::PRelu => {
                for (i, (y, &x)) in output.iter_mut().zip(x[0]).enumerate() {
                    *y = if x > 0.0 { x } else { weights[i % node.input[2]] * x };
                }
            }
            Layer::HardSwish => reference::hard_swish_f32(x[0], output),
            Layer::HardSigmoid => reference::hard_sigmoid_f32(1.0 / 6.0, 0.5, x[0], output),
            Layer::Sigmoid => map(x[0], output, |x| 1.0 / (1.0 + (-x).exp())),
            Layer::Tanh => map(x[0], output, f32::tanh),
            Layer::Softmax => {
                let pixels = output.chunks_mut(node.input[2]).zip(x[0].chunks(node.input[2]));
                for (y, x) in pixels {
                    let sum: f32 = x.iter().map(|x| x.exp()).sum();
                    map(x, y, |x| x.exp() / sum);
                }
            }
            Layer::Add | Layer::Subtract | Layer::Multiply => {
                for (i, y) in output.iter_mut().enumerate() {
                    let (a, b) = (x[0][i], x[1][i % x[1].len()]);
                    *y = match node.layer {
                        Layer::Add => a + b,
                        Layer::Subtract => a - b,
                        _ => a * b,
                    };
                }
            }
            &Layer::Upsample { size, coordinates } => {
                reference::upsample(&UpsampleShape::new(node.input, size, coordinates).unwrap(), x[0], output);
            }
            Layer::Pad { before, .. } => {
                reference::pad(&Region::new(node.input, *before, node.output).unwrap(), 0.0, x[0], output);
            }
            &Layer::Slice { begin, end, stride } => {
                reference::slice(&SliceShape::new(node.input, begin, end, stride).unwrap(), x[0], output);
            }
            &Layer::Concatenate { axis } => {
                let outer: usize = node.output[..axis].iter().product();
                let mut place = 0;
                for i in 0..outer {
                    for x in &x {
                        let run = x.len() / outer;
                        output[place..][..run].copy_from_slice(&x[i * run..][..run]);
                        place += run;
                    }
                }
            }
        }
        values.push(y);
    }
    values.swap_remove(network.output().0)
}

fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

#[test]
fn inference_is_the_specification() {
    for (number, (name, network)) in networks().into_iter().enumerate() {
        let seed = 10 * number as u64;
        let numbers = |seed, length| noise(seed, length).iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let parameters = numbers(seed, network.parameters());
        let state: Vec<f32> = numbers(seed + 1, network.state()).iter().map(|x| x.abs() + 0.1).collect();
        let (images, length) = (21, size(network.input_shape()));
        let pixels = numbers(seed + 2, images * length);
        let mut outputs = Vec::new();
        for mode in [Mode::Inference, Mode::Training] {
            let mut engine = Engine::<f32>::new(&network, images, mode);
            // Twice: the second pass must not see the first one's values.
            engine.load(&numbers(seed + 3, images * length));
            engine.forward(&parameters, &state);
            engine.load(&pixels);
            engine.forward(&parameters, &state);
            for (image, got) in pixels.chunks_exact(length).zip(engine.output().chunks_exact(network.outputs())) {
                let expected = by_reference(&network, &parameters, &state, image);
                let greatest = expected.iter().fold(1.0f32, |max, y| max.max(y.abs()));
                for (got, expected) in got.iter().zip(expected) {
                    assert!((got - expected).abs() < 2e-5 * greatest, "{name}: {got} instead of {expected}");
                }
            }
            outputs.push(engine.output().to_vec());
        }
        assert_eq!(outputs[0], outputs[1], "{name}: both modes");
    }
}

/// By hand: four values of one channel, in batches of two images.
#[test]
fn moving_averages_follow_the_batches() {
    let network = single([1, 2, 1], Layer::BatchNorm { momentum: 0.25, epsilon: 1.0 });
    let mut engine = Engine::<f64>::new(&network, 2, Mode::Training);
    let mut state = vec![2.0, 4.0];
    engine.load(&[1.0, 3.0, 5.0, 7.0]);
    engine.forward_training(&[2.0, 10.0], &mut state, 0);
    // Mean 4, squared distances 9 + 1 + 1 + 9 = 20: variance 5, unbiased 20 / 3.
    let scale = 2.0 / 6.0_f64.sqrt();
    for (got, x) in engine.output().iter().zip([1.0, 3.0, 5.0, 7.0]) {
        assert!((got - ((x - 4.0) * scale + 10.0)).abs() < 1e-12);
    }
    assert!((state[0] - 2.5).abs() < 1e-12 && (state[1] - (3.0 + 20.0 / 12.0)).abs() < 1e-12, "{state:?}");
}

/// A last batch of one image, where maps are single pixels: it has no variance, and the averages stay as they are.
#[test]
fn moving_averages_take_no_batch_of_one_value() {
    let network = single([1, 1, 2], Layer::BatchNorm { momentum: 0.25, epsilon: 1.0 });
    let mut engine = Engine::<f64>::new(&network, 2, Mode::Training);
    let mut state = vec![2.0, 3.0, 4.0, 5.0];
    engine.load(&[7.0, -9.0]);
    engine.forward_training(&[2.0, 2.0, 10.0, 20.0], &mut state, 0);
    assert_eq!(engine.output(), [10.0, 20.0]);
    assert_eq!(state, [2.0, 3.0, 4.0, 5.0]);
}

/// A batch whose mean is large beside its deviation: nothing cancels.
#[test]
fn statistics_are_exact_far_from_zero() {
    let network = single([4, 5, 1], Layer::BatchNorm { momentum: 1.0, epsilon: 1e-5 });
    let mut engine = Engine::<f32>::new(&network, 37, Mode::Training);
    let pixels: Vec<f32> = noise(8, 37 * 20).iter().map(|&x| 4096.0 + x as f32).collect();
    let mut state = network.initial_state();
    engine.load(&pixels);
    engine.forward_training(&[1.0, 0.0], &mut state, 0);
    let count = pixels.len() as f64;
    let mean = pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = pixels.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (count - 1.0);
    assert!((f64::from(state[0]) - mean).abs() < 3e-4, "{} {mean}", state[0]);
    assert!((f64::from(state[1]) / variance - 1.0).abs() < 1e-5, "{} {variance}", state[1]);
}

#[test]
fn dropout_keeps_its_share_and_the_mean() {
    let network = single([40, 50, 3], Layer::Dropout { rate: 0.3 });
    let mut engine = Engine::<f64>::new(&network, 20, Mode::Training);
    engine.load(&vec![0.7; 20 * 6000]);
    let mut drawn = Vec::new();
    for seed in [1, 1, 2] {
        engine.forward_training(&[], &mut [], seed);
        drawn.push(engine.output().to_vec());
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
    let kept = drawn[0].iter().filter(|&&y| y != 0.0).count() as f64;
    assert!(drawn[0].iter().all(|&y| y == 0.0 || (y - 1.0).abs() < 1e-7));
    // Standard error: 0.0013.
    assert!((kept / 120_000.0 - 0.7).abs() < 0.006, "{kept}");
    engine.forward(&[], &[]);
    assert!(engine.output().iter().all(|&y| y == 0.7));
}
