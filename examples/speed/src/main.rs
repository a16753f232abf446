//! Layers of well-known networks and the whole of LeNet-5, each run once between the profiler's markers.

#![no_std]
#![cfg_attr(any(target_os = "none", target_family = "wasm"), no_main)]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

use bareconv::{
    Activation, Arena, Conv2d, Conv2dShape, DepthwiseConv2d, DepthwiseConv2dShape, Int8Filters, Quantization,
    SingleRounding, Tensor,
};
use core::hint::black_box;

#[path = "../../lenet/mod.rs"]
mod lenet;

machine::main!(run);

/// Weights from -127 to 127 without a pattern.
const fn weights<const N: usize>() -> [i8; N] {
    let (mut weights, mut state, mut i) = ([0; N], 1u32, 0);
    while i < N {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        weights[i] = ((state >> 24) as u8 as i32 - 128).unsigned_abs() as i8;
        if weights[i] < 0 {
            weights[i] = 127;
        }
        if state & 1 << 20 != 0 {
            weights[i] = -weights[i];
        }
        i += 1;
    }
    weights
}

/// The quantization of every tensor here.
const Q: Quantization = Quantization::new(0.02, 3);

/// The numbers of an int8 layer.
const fn int8<'a>(filters: &'a [i8], bias: &'a [i32], scales: &'a [f32]) -> Int8Filters<'a> {
    Int8Filters { filters, bias, scales, input: Q, output: Q, activation: Activation::Relu }
}

/// Shows layers to `visit` one by one: name, and what runs it once.
type Visit<'a> = &'a mut dyn FnMut(&'static str, &mut dyn FnMut());

/// A layer: its tensors lie in the caller's frame, and the function that runs it is a function in the program.
macro_rules! layer {
    ($visit:ident, $name:literal, $from:ty => $to:ty, $words:expr, |$input:ident, $output:ident, $scratch:ident| $run:expr) => {{
        #[inline(never)]
        fn run($input: &$from, $output: &mut $to, $scratch: &mut [u32]) {
            $run
        }
        #[inline(never)]
        fn show(visit: Visit<'_>) {
            let input = <$from>::filled(1 as _);
            let mut output = <$to>::filled(0 as _);
            let mut scratch = [0; $words];
            visit($name, &mut || run(black_box(&input), &mut output, &mut scratch));
            black_box(&output);
        }
        show($visit);
    }};
}

/// A convolution or dense layer of this shape.
macro_rules! conv2d {
    ($visit:ident, $name:literal, $shape:expr) => {{
        const SHAPE: Conv2dShape = $shape;
        const OUT: [usize; 3] = SHAPE.output();
        const WEIGHTS: usize = SHAPE.filters * SHAPE.filter_len();
        const WORDS: usize = SHAPE.packed_words::<SingleRounding>();
        type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i8, { OUT[0] }, { OUT[1] }, { OUT[2] }>;
        static LAYER: Conv2d<Input, Output, WORDS> =
            Conv2d::int8(SHAPE, int8(&weights::<WEIGHTS>(), &[100; SHAPE.filters], &[0.01; SHAPE.filters]));
        layer!($visit, $name, Input => Output, SHAPE.scratch_words::<SingleRounding>(),
            |input, output, scratch| LAYER.run(input.view(), output.view_mut(), scratch));
        machine::println!("macs={}", SHAPE.macs());
    }};
}

/// A depthwise convolution of this shape.
macro_rules! depthwise {
    ($visit:ident, $name:literal, $shape:expr) => {{
        const SHAPE: DepthwiseConv2dShape = $shape;
        const OUT: [usize; 3] = SHAPE.output();
        const TAPS: usize = SHAPE.filter[0] * SHAPE.filter[1];
        const WORDS: usize = SHAPE.packed_words::<SingleRounding>();
        type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i8, { OUT[0] }, { OUT[1] }, { OUT[2] }>;
        static LAYER: DepthwiseConv2d<Input, Output, WORDS> =
            DepthwiseConv2d::int8(SHAPE, int8(&weights::<{ TAPS * OUT[2] }>(), &[100; OUT[2]], &[0.01; OUT[2]]));
        layer!($visit, $name, Input => Output, SHAPE.scratch_words::<SingleRounding>(),
            |input, output, scratch| LAYER.run(input.view(), output.view_mut(), scratch));
        machine::println!("macs={}", TAPS * OUT[0] * OUT[1] * OUT[2]);
    }};
}

fn all(visit: Visit<'_>) {
    conv2d!(visit, "LeNet-5 28x28x1 5x5 6, pooled", Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2));
    conv2d!(visit, "LeNet-5 14x14x6 5x5 16, pooled", Conv2dShape::new([14, 14, 6], 16, [5, 5]).max_pool(2));
    conv2d!(visit, "LeNet-5 dense 400 120", Conv2dShape::dense(400, 120));
    conv2d!(visit, "LeNet-5 dense 120 84", Conv2dShape::dense(120, 84));
    conv2d!(visit, "ResNet-8 32x32x3 3x3 16", Conv2dShape::new([32, 32, 3], 16, [3, 3]).padding(1));
    conv2d!(visit, "ResNet-8 32x32x16 3x3 16", Conv2dShape::new([32, 32, 16], 16, [3, 3]).padding(1));
    conv2d!(visit, "ResNet-8 16x16x32 3x3 32", Conv2dShape::new([16, 16, 32], 32, [3, 3]).padding(1));
    conv2d!(visit, "ResNet-8 8x8x64 3x3 64", Conv2dShape::new([8, 8, 64], 64, [3, 3]).padding(1));
    conv2d!(visit, "DS-CNN 25x5x64 1x1 64", Conv2dShape::new([25, 5, 64], 64, [1, 1]));
    depthwise!(visit, "DS-CNN 25x5x64 3x3 depthwise", DepthwiseConv2dShape::new([25, 5, 64], 1, [3, 3]).padding(1));
    conv2d!(visit, "MobileNet 48x48x8 1x1 16", Conv2dShape::new([48, 48, 8], 16, [1, 1]));
    conv2d!(visit, "MobileNet 12x12x64 1x1 64", Conv2dShape::new([12, 12, 64], 64, [1, 1]));
    conv2d!(visit, "MobileNet 3x3x256 1x1 256", Conv2dShape::new([3, 3, 256], 256, [1, 1]));
    depthwise!(visit, "MobileNet 48x48x8 3x3 depthwise", DepthwiseConv2dShape::new([48, 48, 8], 1, [3, 3]).padding(1));
    depthwise!(visit, "MobileNet 3x3x256 3x3 depthwise", DepthwiseConv2dShape::new([3, 3, 256], 1, [3, 3]).padding(1));
    conv2d!(visit, "autoencoder dense 640 128", Conv2dShape::dense(640, 128));
    conv2d!(visit, "autoencoder dense 128 128", Conv2dShape::dense(128, 128));
    let mut arena = Arena::<{ lenet::RAM_BYTES }>::new();
    let image = Tensor::filled(-7);
    visit("LeNet-5, whole", &mut || _ = black_box(lenet::MODEL.infer(black_box(&image), &mut arena)));
    machine::println!("macs={}", lenet::MACS);
}

fn run() -> i32 {
    machine::println!("native={}", bareconv::arch::native());
    all(&mut |name, run| {
        machine::roi_start();
        run();
        machine::roi_stop();
        machine::roi_mark();
        machine::println!("layer={name}");
    });
    0
}
