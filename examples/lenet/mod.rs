//! LeNet-5
//!
//! 98.85 % of 2000 test images right in int8, after training on 8000.
//!
//! Input: grey levels less 128, so that -128 is background and 127 is ink. Output: a logit for each digit.
//! Made from LeNet-5, trained on embedded subset of MNIST (seed 1) by host-trainer 0.1.0.
//!
//! | layer  | operator                                              | input       | output      | MACs   |
//! | ------ | ----------------------------------------------------- | ----------- | ----------- | ------ |
//! | conv1  | convolution 5 x 5, padding 2, ReLU, max pooling 2 x 2 | 28 x 28 x 1 | 14 x 14 x 6 | 117600 |
//! | conv2  | convolution 5 x 5, ReLU, max pooling 2 x 2            | 14 x 14 x 6 | 5 x 5 x 16  | 240000 |
//! | dense1 | dense, ReLU                                           | 5 x 5 x 16  | 1 x 1 x 120 | 48000  |
//! | dense2 | dense, ReLU                                           | 1 x 1 x 120 | 1 x 1 x 84  | 10080  |
//! | dense3 | dense                                                 | 1 x 1 x 84  | 1 x 1 x 10  | 840    |

// The canonical arrays exist only in constant evaluation; flash holds the packed layers. Not every program asks
// for every constant.
#![allow(clippy::approx_constant, clippy::excessive_precision, clippy::large_const_arrays,
    clippy::unreadable_literal, dead_code, long_running_const_eval)]
#![cfg_attr(rustfmt, rustfmt_skip)]

mod weights;

use bareconv::{
    Activation, Arena, Conv2d, Conv2dShape, Dense, Int8Filters, Quantization, SingleRounding, Tensor, largest,
};

/// The network's name.
pub const NAME: &str = "LeNet-5";

/// The type of the network's input.
pub type Input = Tensor<i8, 28, 28, 1>;

/// Quantization of the input: real = scale * (q - zero point).
pub const INPUT: Quantization = Quantization::new(0.003921569, -128);

/// The type of the network's output.
pub type Output = Tensor<i8, 1, 1, 10>;

/// Quantization of the output: real = scale * (q - zero point).
pub const OUTPUT: Quantization = Quantization::new(0.033263072, -62);

/// Multiply-accumulates of an inference.
pub const MACS: usize =
    CONV1_SHAPE.macs()
    + CONV2_SHAPE.macs()
    + DENSE1_SHAPE.macs()
    + DENSE2_SHAPE.macs()
    + DENSE3_SHAPE.macs();

/// Bytes of flash for weights, biases, requantization parameters and tables, packed for this core. Code comes on
/// top.
pub const FLASH_BYTES: usize =
    CONV1.packed_bytes()
    + CONV2.packed_bytes()
    + DENSE1.packed_bytes()
    + DENSE2.packed_bytes()
    + DENSE3.packed_bytes();

/// Bytes of RAM for activations and scratch: the largest of all steps'. The network's own input and output are
/// the caller's.
pub const RAM_BYTES: usize = largest(&[
    1176 + 4 * CONV1_SHAPE.scratch_words::<SingleRounding>(), // conv1
    1176 + 4 * CONV2_SHAPE.scratch_words::<SingleRounding>(), // conv2
    400 + 4 * DENSE1_SHAPE.scratch_words::<SingleRounding>(), // dense1
    120 + 4 * DENSE2_SHAPE.scratch_words::<SingleRounding>(), // dense2
    84 + 4 * DENSE3_SHAPE.scratch_words::<SingleRounding>(), // dense3
]);

/// The network, without state.
#[derive(Clone, Copy, Debug)]
pub struct Network;

/// The network.
pub static MODEL: Network = Network;

impl Network {
    /// Runs the network.
    pub fn infer(
        &self,
        input: &Input,
        arena: &mut Arena<RAM_BYTES>,
    ) -> Output {
        let mut output = Tensor::filled(0);

        let [mut conv1, mut scratch] = arena.slots([0..1176, 1176..RAM_BYTES]);
        CONV1.run(input.view(), conv1.view_mut(), scratch.words());

        let [mut conv2, mut scratch] = arena.slots([0..1176, 1176..RAM_BYTES]);
        CONV2.run_overlapping(conv2.values(), scratch.words());

        let [mut dense1, mut scratch] = arena.slots([0..400, 400..RAM_BYTES]);
        DENSE1.run_overlapping(dense1.values(), scratch.words());

        let [mut dense2, mut scratch] = arena.slots([0..120, 120..RAM_BYTES]);
        DENSE2.run_overlapping(dense2.values(), scratch.words());

        let [dense2, mut scratch] = arena.slots([0..84, 84..RAM_BYTES]);
        DENSE3.run(dense2.view(), output.view_mut(), scratch.words());

        output
    }
}

// conv1: convolution 5 x 5, padding 2, ReLU, max pooling 2 x 2

const CONV1_QUANTIZATION: Quantization = Quantization::new(0.014445393, -128);

const CONV1_SHAPE: Conv2dShape = Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2);

static CONV1: Conv2d<
    Tensor<i8, 28, 28, 1>,
    Tensor<i8, 14, 14, 6>,
    { CONV1_SHAPE.packed_words::<SingleRounding>() },
> = Conv2d::int8(
    CONV1_SHAPE,
    Int8Filters::new(
        &weights::CONV1_WEIGHTS,
        &weights::CONV1_BIAS,
        &weights::CONV1_SCALES,
        INPUT,
        CONV1_QUANTIZATION,
        Activation::Relu,
    ),
);

// conv2: convolution 5 x 5, ReLU, max pooling 2 x 2

const CONV2_QUANTIZATION: Quantization = Quantization::new(0.029504346, -128);

const CONV2_SHAPE: Conv2dShape = Conv2dShape::new([14, 14, 6], 16, [5, 5]).max_pool(2);

static CONV2: Conv2d<
    Tensor<i8, 14, 14, 6>,
    Tensor<i8, 5, 5, 16>,
    { CONV2_SHAPE.packed_words::<SingleRounding>() },
> = Conv2d::int8(
    CONV2_SHAPE,
    Int8Filters::new(
        &weights::CONV2_WEIGHTS,
        &weights::CONV2_BIAS,
        &weights::CONV2_SCALES,
        CONV1_QUANTIZATION,
        CONV2_QUANTIZATION,
        Activation::Relu,
    ),
);

// dense1: dense, ReLU

const DENSE1_QUANTIZATION: Quantization = Quantization::new(0.03584406, -128);

const DENSE1_SHAPE: Conv2dShape = Conv2dShape::dense(400, 120);

static DENSE1: Dense<
    Tensor<i8, 5, 5, 16>,
    Tensor<i8, 1, 1, 120>,
    { DENSE1_SHAPE.packed_words::<SingleRounding>() },
> = Dense::int8(
    DENSE1_SHAPE,
    Int8Filters::dense(
        &weights::DENSE1_WEIGHTS,
        &weights::DENSE1_BIAS,
        &weights::DENSE1_SCALES,
        CONV2_QUANTIZATION,
        DENSE1_QUANTIZATION,
        Activation::Relu,
    ),
);

// dense2: dense, ReLU

const DENSE2_QUANTIZATION: Quantization = Quantization::new(0.026368951, -128);

const DENSE2_SHAPE: Conv2dShape = Conv2dShape::dense(120, 84);

static DENSE2: Dense<
    Tensor<i8, 1, 1, 120>,
    Tensor<i8, 1, 1, 84>,
    { DENSE2_SHAPE.packed_words::<SingleRounding>() },
> = Dense::int8(
    DENSE2_SHAPE,
    Int8Filters::dense(
        &weights::DENSE2_WEIGHTS,
        &weights::DENSE2_BIAS,
        &weights::DENSE2_SCALES,
        DENSE1_QUANTIZATION,
        DENSE2_QUANTIZATION,
        Activation::Relu,
    ),
);

// dense3: dense

const DENSE3_QUANTIZATION: Quantization = Quantization::new(0.033263072, -62);

const DENSE3_SHAPE: Conv2dShape = Conv2dShape::dense(84, 10);

static DENSE3: Dense<
    Tensor<i8, 1, 1, 84>,
    Tensor<i8, 1, 1, 10>,
    { DENSE3_SHAPE.packed_words::<SingleRounding>() },
> = Dense::int8(
    DENSE3_SHAPE,
    Int8Filters::dense(
        &weights::DENSE3_WEIGHTS,
        &weights::DENSE3_BIAS,
        &weights::DENSE3_SCALES,
        DENSE2_QUANTIZATION,
        DENSE3_QUANTIZATION,
        Activation::Identity,
    ),
);
