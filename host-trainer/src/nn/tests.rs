//! Layers against `bareconv`'s reference, and gradients against finite differences in `f64` and against PyTorch's.

use super::*;
use crate::random::Random;
use bareconv::Coordinates;

mod forward;
mod gradients;
mod graphs;
mod initial;
mod normalize;
mod pytorch;
mod threads;

/// Uniform numbers on [-1, 1).
pub(super) fn noise(seed: u64, length: usize) -> Vec<f64> {
    let mut random = Random::new(seed, 0);
    (0..length).map(|_| f64::from(random.between(-1.0, 1.0))).collect()
}

fn size(shape: Shape) -> usize {
    shape.iter().product()
}

/// A network of one layer over an input of this shape.
fn single(input: Shape, layer: impl Into<Layer>) -> Network {
    Network::new(input, &[layer.into()]).unwrap()
}

/// One layer of two inputs: the first a trained multiple of the network's input, the second a convolution of it, reduced
/// to a pixel if `pixel`.
fn joined(input: Shape, layer: Layer, pixel: bool) -> Network {
    let mut net = NetworkBuilder::new(input);
    let x = net.input();
    let first = net.add(DepthwiseConv2d::new([1, 1]), &[x]).unwrap();
    let mut second = net.add(Conv2d::new(input[2], [3, 3]).padding(1), &[x]).unwrap();
    if pixel {
        second = net.add(Layer::GlobalAveragePool, &[second]).unwrap();
    }
    let joined = net.add(layer, &[first, second]).unwrap();
    net.finish(joined).unwrap()
}

/// Layers without parameters are preceded by a trained one, so that their error is seen.
fn behind(input: Shape, layer: impl Into<Layer>) -> Network {
    let filters = input[2];
    let conv = Layer::Conv2d(Conv2d::new(filters, [1, 1]));
    Network::new(input, &[conv, layer.into()]).unwrap()
}

/// A residual network of all that is in ResNets, with this rate of dropout.
fn residual(rate: f32) -> Network {
    let mut net = NetworkBuilder::new([8, 7, 3]);
    let x = net.input();
    let x = net.add(Conv2d::new(5, [3, 3]).padding(1).without_bias(), &[x]).unwrap();
    let x = net.add(Layer::batch_norm(), &[x]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let y = net.add(Conv2d::new(6, [3, 3]).padding(1).stride(2), &[x]).unwrap();
    let y = net.add(Layer::batch_norm(), &[y]).unwrap();
    let y = net.add(Layer::Relu6, &[y]).unwrap();
    let y = net.add(Conv2d::new(6, [3, 3]).padding(1), &[y]).unwrap();
    let short = net.add(Conv2d::new(6, [1, 1]).stride(2), &[x]).unwrap();
    let x = net.add(Layer::Add, &[short, y]).unwrap();
    let x = net.add(Layer::Relu, &[x]).unwrap();
    let x = net.add(Layer::Add, &[x, x]).unwrap();
    let gate = net.add(Layer::GlobalAveragePool, &[x]).unwrap();
    let gate = net.add(Layer::Sigmoid, &[gate]).unwrap();
    let x = net.add(Layer::Multiply, &[x, gate]).unwrap();
    let x = net.add(Layer::Concatenate { axis: 2 }, &[x, short, x]).unwrap();
    let x = net.add(Layer::Dropout { rate }, &[x]).unwrap();
    let x = net.add(Layer::dense(4), &[x]).unwrap();
    net.finish(x).unwrap()
}

/// Convolutions with rows so long that weight gradients take them in bands.
fn long_rows() -> [(&'static str, Network); 2] {
    let conv = Conv2d::new;
    [
        ("long rows", single([5, 140, 1], conv(9, [3, 3]).padding(1))),
        (
            "long rows of many channels",
            single([4, 130, 9], Conv2d { stride: [2, 1], padding: [1; 4], ..conv(9, [2, 2]) }),
        ),
    ]
}

/// Networks of awkward shapes that between them have every layer, and a name.
fn networks() -> Vec<(&'static str, Network)> {
    let conv = Conv2d::new;
    let pool = Pool2d::new;
    vec![
        ("convolution", single([6, 7, 3], conv(9, [3, 3]).padding(1))),
        ("large filter, one channel", single([9, 8, 1], conv(6, [5, 5]).padding(2))),
        ("17 filters", single([5, 6, 5], conv(17, [3, 2]))),
        ("stride", single([9, 11, 2], Conv2d { stride: [2, 3], padding: [1, 2, 0, 1], ..conv(3, [3, 4]) })),
        ("stride above filter", single([7, 8, 3], conv(4, [1, 2]).stride(3))),
        ("dilation", single([9, 8, 3], Conv2d { dilation: [2, 3], padding: [3, 1, 2, 3], ..conv(5, [3, 2]) })),
        ("dilation and stride", single([10, 9, 2], conv(3, [3, 3]).stride(2).dilation(2).padding(2))),
        ("groups", single([5, 6, 6], conv(9, [3, 3]).groups(3).padding(1).without_bias())),
        ("1 x 1", single([4, 3, 20], conv(10, [1, 1]))),
        (
            "two convolutions",
            Network::new([7, 7, 4], &[conv(6, [3, 3]).stride(2).padding(1).into(), conv(5, [2, 2]).into()]).unwrap(),
        ),
        (
            "convolutions with dilation and groups",
            Network::new(
                [9, 8, 4],
                &[
                    conv(6, [3, 3]).dilation(2).padding(2).into(),
                    Conv2d { stride: [2, 1], padding: [0, 1, 1, 0], ..conv(4, [2, 3]) }.groups(2).into(),
                ],
            )
            .unwrap(),
        ),
        ("depthwise", behind([6, 7, 5], DepthwiseConv2d::new([3, 3]).padding(1))),
        (
            "depthwise, multiplier",
            behind(
                [7, 9, 3],
                DepthwiseConv2d {
                    multiplier: 3,
                    dilation: [2, 1],
                    padding: [1, 0, 2, 1],
                    ..DepthwiseConv2d::new([2, 3]).stride(2)
                },
            ),
        ),
        ("transposed", behind([4, 5, 3], TransposedConv2d::new(6, [3, 3]).stride(2).padding(1).output_padding(1))),
        (
            "transposed, odd",
            behind(
                [3, 4, 2],
                TransposedConv2d { stride: [1, 3], padding: [1, 0, 0, 1], ..TransposedConv2d::new(3, [2, 4]) }
                    .without_bias(),
            ),
        ),
        (
            "locally connected",
            behind(
                [5, 6, 3],
                Layer::LocallyConnected2d(Conv2d { stride: [2, 1], padding: [1, 0, 0, 1], ..conv(3, [3, 2]) }),
            ),
        ),
        ("dense", single([1, 1, 37], Layer::dense(29))),
        ("dense of a map", behind([4, 3, 5], Layer::Dense { outputs: 3, bias: false })),
        ("maximum", behind([6, 8, 5], Layer::MaxPool2d(pool([2, 2])))),
        (
            "overlapping maxima",
            behind([7, 8, 3], Layer::MaxPool2d(Pool2d { stride: [2, 1], padding: [1, 0, 1, 2], ..pool([3, 3]) })),
        ),
        ("average", behind([6, 7, 5], Layer::AveragePool2d { pool: pool([2, 3]), including_padding: false })),
        (
            "average, padding left out",
            behind(
                [5, 6, 2],
                Layer::AveragePool2d {
                    pool: Pool2d { padding: [1, 2, 0, 1], ..pool([3, 3]).stride(2) },
                    including_padding: false,
                },
            ),
        ),
        (
            "average, padding counted",
            behind(
                [5, 6, 2],
                Layer::AveragePool2d {
                    pool: Pool2d { padding: [1, 2, 0, 1], ..pool([3, 3]).stride(2) },
                    including_padding: true,
                },
            ),
        ),
        ("global average", behind([5, 6, 7], Layer::GlobalAveragePool)),
        ("pyramid of maxima", behind([5, 7, 3], Layer::SpatialPyramidPool { levels: vec![1, 2, 3], average: false })),
        ("pyramid of averages", behind([5, 7, 3], Layer::SpatialPyramidPool { levels: vec![1, 3], average: true })),
        (
            "blurred maxima",
            behind(
                [7, 8, 3],
                Layer::BlurPool2d { max: 2, taps: 3, stride: 2, padding: bareconv::BlurPadding::Reflect },
            ),
        ),
        (
            "blur",
            behind([6, 7, 2], Layer::BlurPool2d { max: 1, taps: 4, stride: 2, padding: bareconv::BlurPadding::Zero }),
        ),
        ("batch normalization", behind([3, 5, 4], Layer::batch_norm())),
        ("batch normalization of the input", single([3, 2, 3], Layer::BatchNorm { momentum: 0.3, epsilon: 0.01 })),
        ("batch normalization of pixels", behind([1, 1, 6], Layer::batch_norm())),
        ("local response", behind([3, 4, 9], Layer::LocalResponse { size: 5, alpha: 0.3, beta: 0.75, k: 2.0 })),
        (
            "local response, any power",
            behind([2, 2, 4], Layer::LocalResponse { size: 3, alpha: 0.5, beta: 0.6, k: 1.0 }),
        ),
        ("dropout", behind([5, 5, 3], Layer::Dropout { rate: 0.4 })),
        ("relu", behind([5, 5, 3], Layer::Relu)),
        ("relu6", behind([5, 5, 3], Layer::Relu6)),
        ("leaky relu", behind([5, 5, 3], Layer::LeakyRelu { slope: 0.1 })),
        ("leaky relu, negative slope", behind([5, 5, 3], Layer::LeakyRelu { slope: -0.5 })),
        ("prelu", behind([5, 5, 3], Layer::PRelu)),
        ("hard swish", behind([5, 5, 3], Layer::HardSwish)),
        ("hard sigmoid", behind([5, 5, 3], Layer::HardSigmoid)),
        ("sigmoid", behind([5, 5, 3], Layer::Sigmoid)),
        ("tanh", behind([5, 5, 3], Layer::Tanh)),
        ("softmax", behind([3, 2, 7], Layer::Softmax)),
        (
            "relu before pooling",
            Network::new([7, 8, 3], &[conv(5, [3, 3]).into(), Layer::Relu, Layer::MaxPool2d(pool([3, 3]).stride(2))])
                .unwrap(),
        ),
        ("sum", joined([4, 5, 3], Layer::Add, false)),
        ("sum with a pixel", joined([4, 5, 3], Layer::Add, true)),
        ("difference", joined([4, 5, 3], Layer::Subtract, false)),
        ("difference with a pixel", joined([4, 5, 3], Layer::Subtract, true)),
        ("product", joined([4, 5, 3], Layer::Multiply, false)),
        ("product with a pixel", joined([4, 5, 3], Layer::Multiply, true)),
        ("one below the other", joined([4, 5, 3], Layer::Concatenate { axis: 0 }, false)),
        ("side by side", joined([4, 5, 3], Layer::Concatenate { axis: 1 }, false)),
        ("channels", joined([4, 5, 3], Layer::Concatenate { axis: 2 }, false)),
        ("upsampling", behind([3, 4, 5], Layer::Upsample { size: [6, 12], coordinates: Coordinates::Asymmetric })),
        (
            "resizing by centres",
            behind([3, 5, 3], Layer::Upsample { size: [5, 3], coordinates: Coordinates::HalfPixel }),
        ),
        (
            "resizing by corners",
            behind([4, 5, 2], Layer::Upsample { size: [9, 8], coordinates: Coordinates::AlignCorners }),
        ),
        ("padding", behind([4, 5, 3], Layer::Pad { before: [1, 0, 2], after: [2, 3, 1] })),
        (
            "slice",
            behind(
                [6, 7, 5],
                Layer::Slice { begin: [1, -1, 0], end: [isize::MAX, isize::MIN, -1], stride: [2, -2, 1] },
            ),
        ),
        (
            "reshape",
            Network::new(
                [4, 6, 2],
                &[conv(2, [1, 1]).into(), Layer::Reshape { shape: [2, 12, 2] }, conv(3, [2, 2]).into()],
            )
            .unwrap(),
        ),
        (
            "flatten",
            Network::new([2, 3, 2], &[conv(2, [1, 1]).into(), Layer::Flatten, conv(3, [1, 1]).into()]).unwrap(),
        ),
        ("residual", residual(0.25)),
    ]
}
