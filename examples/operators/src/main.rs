//! One of every layer, in the types it has: a firmware to measure each one's stack, and to see that none can panic.
//!
//! With the feature `print` it prints a line for each: `operator=... stack_bytes=...`. Without, it has no other code than
//! the layers', so that nothing in it may refer to a panic.

#![no_std]
#![cfg_attr(any(target_os = "none", target_family = "wasm"), no_main)]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

use bareconv::quant::{DoubleRounding, PowerOfTwo};
use bareconv::*;
use core::hint::black_box;

machine::main!(run);

/// The most stack that `work` uses at a time.
#[cfg(target_arch = "arm")]
fn peak(work: &mut dyn FnMut()) -> usize {
    machine::stack_peak(work)
}

/// Other cores only run it.
#[cfg(not(target_arch = "arm"))]
fn peak(work: &mut dyn FnMut()) -> usize {
    work();
    0
}

/// Reports an operator.
fn report(name: &str, stack_bytes: usize) {
    #[cfg(feature = "print")]
    machine::println!("operator={name} stack_bytes={stack_bytes}");
    black_box((name, stack_bytes));
}

const Q: Quantization = Quantization::new(0.125, 3);

const fn int8(filters: &'static [i8], bias: &'static [i32], scales: &'static [f32]) -> Int8Filters<'static> {
    Int8Filters { filters, bias, scales, input: Q, output: Q, activation: Activation::Relu }
}

const fn shorts(filters: &'static [i8], bias: &'static [i32], scales: &'static [f32]) -> Int16Filters<'static> {
    Int16Filters { filters, bias, scales, input: 0.001, output: 0.001, activation: Activation::Relu }
}

const fn real(filters: &'static [f32], bias: &'static [f32]) -> F32Filters<'static> {
    F32Filters { filters, bias, activation: Activation::Relu }
}

/// Runs `$run` on an input and an output of these types, and on scratch memory.
macro_rules! measure {
    ($name:literal: $input:ty => $output:ty, $scratch:expr; |$x:ident, $y:ident, $memory:ident| $run:expr) => {{
        #[inline(never)]
        fn operator() {
            let (mut input, mut output) = (<$input>::default(), <$output>::default());
            let mut memory = [0u32; $scratch];
            black_box(&mut input);
            let bytes = peak(&mut || {
                #[allow(unused_variables)]
                let ($x, $y, $memory) = (&mut input, &mut output, &mut memory);
                $run
            });
            black_box((&input, &output));
            report($name, bytes);
        }
        operator();
    }};
}

type I8<const H: usize, const W: usize, const C: usize> = Tensor<i8, H, W, C>;
type I16<const H: usize, const W: usize, const C: usize> = Tensor<i16, H, W, C>;
type F32<const H: usize, const W: usize, const C: usize> = Tensor<f32, H, W, C>;

/// A convolution of each rounding and type.
fn convolutions() {
    const SHAPE: Conv2dShape = Conv2dShape::new([8, 8, 4], 8, [3, 3]).padding(1);
    const SCALES: [f32; 8] = [0.125; 8];
    const NUMBERS: Int8Filters<'static> = int8(&[1; 8 * 36], &[0; 8], &SCALES);
    macro_rules! rounding {
        ($name:literal, $rounding:ty) => {{
            static LAYER: Conv2d<I8<8, 8, 4>, I8<8, 8, 8>, { SHAPE.packed_words::<$rounding>() }, $rounding> =
                Conv2d::int8(SHAPE, NUMBERS);
            measure!($name: I8<8, 8, 4> => I8<8, 8, 8>, SHAPE.scratch_words::<$rounding>();
                |x, y, memory| LAYER.run(x.view(), y.view_mut(), memory));
        }};
    }
    rounding!("conv2d-int8-single", SingleRounding);
    rounding!("conv2d-int8-double", DoubleRounding);
    rounding!("conv2d-int8-power-of-two", PowerOfTwo);

    const FIRST: Conv2dShape = Conv2dShape::new([12, 12, 1], 6, [5, 5]).padding(2).max_pool(2);
    static POOLED: Conv2d<I8<12, 12, 1>, I8<6, 6, 6>, { FIRST.packed_words::<SingleRounding>() }> =
        Conv2d::int8(FIRST, int8(&[1; 6 * 25], &[0; 6], &[0.125; 6]));
    measure!("conv2d-int8-pooled": I8<12, 12, 1> => I8<6, 6, 6>, FIRST.scratch_words::<SingleRounding>();
        |x, y, memory| POOLED.run(x.view(), y.view_mut(), memory));

    const GROUPED: Conv2dShape = Conv2dShape { groups: 2, ..SHAPE };
    static GROUPS: Conv2d<I8<8, 8, 4>, I8<8, 8, 8>, { GROUPED.packed_words::<SingleRounding>() }> =
        Conv2d::int8(GROUPED, int8(&[1; 8 * 18], &[0; 8], &SCALES));
    measure!("conv2d-int8-groups": I8<8, 8, 4> => I8<8, 8, 8>, GROUPED.scratch_words::<SingleRounding>();
        |x, y, memory| GROUPS.run(x.view(), y.view_mut(), memory));

    const LONG: Conv2dShape = Conv2dShape::new([4, 4, 80], 4, [3, 3]);
    static PARTS: Conv2d<I8<4, 4, 80>, I8<2, 2, 4>, { LONG.packed_words::<SingleRounding>() }> =
        Conv2d::int8(LONG, int8(&[127; 4 * 720], &[0; 4], &[0.125; 4]));
    measure!("conv2d-int8-long": I8<4, 4, 80> => I8<2, 2, 4>, LONG.scratch_words::<SingleRounding>();
        |x, y, memory| PARTS.run(x.view(), y.view_mut(), memory));

    const POINT: Conv2dShape = Conv2dShape::new([8, 8, 8], 8, [1, 1]);
    static POINTWISE: Conv2d<I8<8, 8, 8>, I8<8, 8, 8>, { POINT.packed_words::<SingleRounding>() }> =
        Conv2d::int8(POINT, int8(&[1; 64], &[0; 8], &SCALES));
    measure!("pointwise-int8": I8<8, 8, 8> => I8<8, 8, 8>, POINT.scratch_words::<SingleRounding>();
        |x, y, memory| POINTWISE.run(x.view(), y.view_mut(), memory));

    const DENSE: Conv2dShape = Conv2dShape::dense(64, 10);
    static FULLY: Dense<I8<1, 1, 64>, I8<1, 1, 10>, { DENSE.packed_words::<SingleRounding>() }> =
        Dense::int8(DENSE, int8(&[1; 640], &[0; 10], &[0.125; 10]));
    measure!("dense-int8": I8<1, 1, 64> => I8<1, 1, 10>, DENSE.scratch_words::<SingleRounding>();
        |x, y, memory| FULLY.run(x.view(), y.view_mut(), memory));
    static FULLY_F32: Dense<F32<1, 1, 64>, F32<1, 1, 10>, { DENSE.packed_words::<Clamp>() }, Clamp> =
        Dense::float(DENSE, real(&[0.5; 640], &[0.0; 10]));
    measure!("dense-f32": F32<1, 1, 64> => F32<1, 1, 10>, DENSE.scratch_words::<Clamp>();
        |x, y, memory| FULLY_F32.run(x.view(), y.view_mut(), memory));

    static FLOAT: Conv2d<F32<8, 8, 4>, F32<8, 8, 8>, { SHAPE.packed_words::<Clamp>() }, Clamp> =
        Conv2d::float(SHAPE, real(&[0.5; 8 * 36], &[0.0; 8]));
    measure!("conv2d-f32": F32<8, 8, 4> => F32<8, 8, 8>, SHAPE.scratch_words::<Clamp>();
        |x, y, memory| FLOAT.run(x.view(), y.view_mut(), memory));

    const SHORTS: Int16Filters<'static> = shorts(&[1; 8 * 36], &[0; 8], &SCALES);
    macro_rules! int16 {
        ($name:literal, $rounding:ty) => {{
            static LAYER: Conv2d<
                I16<8, 8, 4>,
                I16<8, 8, 8>,
                { SHAPE.packed_words::<Int16x8<$rounding>>() },
                Int16x8<$rounding>,
            > = Conv2d::int16(SHAPE, SHORTS);
            measure!($name: I16<8, 8, 4> => I16<8, 8, 8>, SHAPE.scratch_words::<Int16x8<$rounding>>();
                |x, y, memory| LAYER.run(x.view(), y.view_mut(), memory));
        }};
    }
    int16!("conv2d-int16-single", SingleRounding);
    int16!("conv2d-int16-reduced", ReducedRounding);
    int16!("conv2d-int16-double", DoubleRounding);
    static SUMS_OF_64_BITS: Conv2d<I16<8, 8, 4>, I16<8, 8, 8>, { SHAPE.packed_words::<Int16x8Wide>() }, Int16x8Wide> =
        Conv2d::int16_wide(SHAPE, SHORTS);
    measure!("conv2d-int16-wide": I16<8, 8, 4> => I16<8, 8, 8>, SHAPE.scratch_words::<Int16x8Wide>();
        |x, y, memory| SUMS_OF_64_BITS.run(x.view(), y.view_mut(), memory));

    const NIBBLES: Int4Filters<'static> = Int4Filters {
        filters: &[0x11; 4 * 36],
        bias: &[0; 8],
        scales: &SCALES,
        input: Q,
        output: Q,
        activation: Activation::Relu,
    };
    static INT4: Conv2d<
        I8<8, 8, 4>,
        I8<8, 8, 8>,
        { SHAPE.packed_words::<Int4<SingleRounding>>() },
        Int4<SingleRounding>,
    > = Conv2d::int4(SHAPE, NIBBLES);
    measure!("conv2d-int4": I8<8, 8, 4> => I8<8, 8, 8>, SHAPE.scratch_words::<Int4<SingleRounding>>();
        |x, y, memory| INT4.run(x.view(), y.view_mut(), memory));

    const ENLARGED: TransposedConv2dShape = TransposedConv2dShape::new([4, 4, 4], 4, [2, 2]).stride(2);
    static TRANSPOSED: TransposedConv2d<
        I8<4, 4, 4>,
        I8<8, 8, 4>,
        { ENLARGED.phases() },
        { ENLARGED.packed_words::<SingleRounding>() },
    > = TransposedConv2d::int8(ENLARGED, int8(&[1; 64], &[0; 4], &[0.125; 4]));
    measure!("transposed-int8": I8<4, 4, 4> => I8<8, 8, 4>, ENLARGED.scratch_words::<SingleRounding>();
        |x, y, memory| TRANSPOSED.run(x.view(), y.view_mut(), memory));
    static TRANSPOSED16: TransposedConv2d<
        I16<4, 4, 4>,
        I16<8, 8, 4>,
        { ENLARGED.phases() },
        { ENLARGED.packed_words::<Int16x8<SingleRounding>>() },
        Int16x8<SingleRounding>,
    > = TransposedConv2d::int16(ENLARGED, shorts(&[1; 64], &[0; 4], &[0.125; 4]));
    measure!("transposed-int16": I16<4, 4, 4> => I16<8, 8, 4>,
        ENLARGED.scratch_words::<Int16x8<SingleRounding>>();
        |x, y, memory| TRANSPOSED16.run(x.view(), y.view_mut(), memory));
    static TRANSPOSED_F32: TransposedConv2d<
        F32<4, 4, 4>,
        F32<8, 8, 4>,
        { ENLARGED.phases() },
        { ENLARGED.packed_words::<Clamp>() },
        Clamp,
    > = TransposedConv2d::float(ENLARGED, real(&[0.5; 64], &[0.0; 4]));
    measure!("transposed-f32": F32<4, 4, 4> => F32<8, 8, 4>, ENLARGED.scratch_words::<Clamp>();
        |x, y, memory| TRANSPOSED_F32.run(x.view(), y.view_mut(), memory));

    const LOCAL: Conv2dShape = Conv2dShape::new([5, 5, 2], 4, [3, 3]).stride(2);
    static LOCALLY: LocallyConnected2d<
        I8<5, 5, 2>,
        I8<2, 2, 4>,
        { LOCAL.locally_connected_words::<SingleRounding>() },
    > = LocallyConnected2d::int8(LOCAL, int8(&[1; 16 * 18], &[0; 16], &[0.125; 16]));
    measure!("locally-connected-int8": I8<5, 5, 2> => I8<2, 2, 4>,
        LOCAL.locally_connected_scratch_words::<SingleRounding>();
        |x, y, memory| LOCALLY.run(x.view(), y.view_mut(), memory));
    static LOCALLY16: LocallyConnected2d<
        I16<5, 5, 2>,
        I16<2, 2, 4>,
        { LOCAL.locally_connected_words::<Int16x8<SingleRounding>>() },
        Int16x8<SingleRounding>,
    > = LocallyConnected2d::int16(LOCAL, shorts(&[1; 16 * 18], &[0; 16], &[0.125; 16]));
    measure!("locally-connected-int16": I16<5, 5, 2> => I16<2, 2, 4>,
        LOCAL.locally_connected_scratch_words::<Int16x8<SingleRounding>>();
        |x, y, memory| LOCALLY16.run(x.view(), y.view_mut(), memory));
    static LOCALLY_F32: LocallyConnected2d<
        F32<5, 5, 2>,
        F32<2, 2, 4>,
        { LOCAL.locally_connected_words::<Clamp>() },
        Clamp,
    > = LocallyConnected2d::float(LOCAL, real(&[0.5; 16 * 18], &[0.0; 16]));
    measure!("locally-connected-f32": F32<5, 5, 2> => F32<2, 2, 4>,
        LOCAL.locally_connected_scratch_words::<Clamp>();
        |x, y, memory| LOCALLY_F32.run(x.view(), y.view_mut(), memory));

    const DEPTHWISE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([8, 8, 8], 1, [3, 3]).padding(1);
    static DEEP: DepthwiseConv2d<I8<8, 8, 8>, I8<8, 8, 8>, { DEPTHWISE.packed_words::<SingleRounding>() }> =
        DepthwiseConv2d::int8(DEPTHWISE, int8(&[1; 72], &[0; 8], &SCALES));
    measure!("depthwise-int8": I8<8, 8, 8> => I8<8, 8, 8>, DEPTHWISE.scratch_words::<SingleRounding>();
        |x, y, memory| DEEP.run(x.view(), y.view_mut(), memory));
    static DEEP_DOUBLE: DepthwiseConv2d<
        I8<8, 8, 8>,
        I8<8, 8, 8>,
        { DEPTHWISE.packed_words::<DoubleRounding>() },
        DoubleRounding,
    > = DepthwiseConv2d::int8(DEPTHWISE, int8(&[1; 72], &[0; 8], &SCALES));
    measure!("depthwise-int8-double": I8<8, 8, 8> => I8<8, 8, 8>, DEPTHWISE.scratch_words::<DoubleRounding>();
        |x, y, memory| DEEP_DOUBLE.run(x.view(), y.view_mut(), memory));
    static DEEP16: DepthwiseConv2d<
        I16<8, 8, 8>,
        I16<8, 8, 8>,
        { DEPTHWISE.packed_words::<Int16x8<SingleRounding>>() },
        Int16x8<SingleRounding>,
    > = DepthwiseConv2d::int16(DEPTHWISE, shorts(&[1; 72], &[0; 8], &SCALES));
    measure!("depthwise-int16": I16<8, 8, 8> => I16<8, 8, 8>,
        DEPTHWISE.scratch_words::<Int16x8<SingleRounding>>();
        |x, y, memory| DEEP16.run(x.view(), y.view_mut(), memory));
    static DEEP_FLOAT: DepthwiseConv2d<F32<8, 8, 8>, F32<8, 8, 8>, { DEPTHWISE.packed_words::<Clamp>() }, Clamp> =
        DepthwiseConv2d::float(DEPTHWISE, real(&[0.5; 72], &[0.0; 8]));
    measure!("depthwise-f32": F32<8, 8, 8> => F32<8, 8, 8>, DEPTHWISE.scratch_words::<Clamp>();
        |x, y, memory| DEEP_FLOAT.run(x.view(), y.view_mut(), memory));
}

/// Layers whose output overwrites their input, and that run row by row.
fn in_little_memory() {
    const SHAPE: Conv2dShape = Conv2dShape::new([8, 8, 4], 4, [3, 3]).padding(1);
    static CONV: Conv2d<I8<8, 8, 4>, I8<8, 8, 4>, { SHAPE.packed_words::<SingleRounding>() }> =
        Conv2d::int8(SHAPE, int8(&[1; 4 * 36], &[0; 4], &[0.125; 4]));
    const DEPTHWISE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([8, 8, 4], 1, [3, 3]).padding(1);
    static DEEP: DepthwiseConv2d<I8<8, 8, 4>, I8<8, 8, 4>, { DEPTHWISE.packed_words::<SingleRounding>() }> =
        DepthwiseConv2d::int8(DEPTHWISE, int8(&[1; 36], &[0; 4], &[0.125; 4]));
    const POOLED: Pool2dShape = Pool2dShape::new([8, 8, 4], [2, 2]);
    static MAX: MaxPool2d<I8<8, 8, 4>, I8<4, 4, 4>> = MaxPool2d::new(POOLED);
    static AVERAGE: AveragePool2d<I8<8, 8, 4>, I8<4, 4, 4>> = AveragePool2d::int8(POOLED);

    measure!("conv2d-overlapping-int8": I8<8, 8, 4> => I8<8, 8, 4>, SHAPE.scratch_words::<SingleRounding>();
        |x, y, memory| { CONV.run_overlapping(x.as_mut_slice(), memory); });
    measure!("depthwise-overlapping-int8": I8<8, 8, 4> => I8<8, 8, 4>, DEPTHWISE.scratch_words::<SingleRounding>();
        |x, y, memory| { DEEP.run_overlapping(x.as_mut_slice(), memory); });
    measure!("max-pool-overlapping-int8": I8<1, 1, { POOLED.overlapping_len() }> => I8<4, 4, 4>, 0;
        |x, y, memory| { MAX.run_overlapping(x.as_mut_slice()); });

    macro_rules! streamed {
        ($name:literal, $layer:ident: $output:ty, $words:expr) => {
            measure!($name: I8<8, 8, 4> => $output, $words; |x, y, memory| {
                let mut stream = $layer.stream(memory);
                let mut rows = y.view_mut().rows();
                for line in x.view().rows() {
                    stream.push(line, |row| {
                        if let Some(mut to) = rows.next() {
                            to.as_mut_slice().copy_from_slice(row.as_slice());
                        }
                    });
                }
            });
        };
    }
    streamed!("conv2d-stream-int8", CONV: I8<8, 8, 4>, SHAPE.stream_words::<SingleRounding>());
    streamed!("depthwise-stream-int8", DEEP: I8<8, 8, 4>, DEPTHWISE.stream_words::<SingleRounding>());
    streamed!("max-pool-stream-int8", MAX: I8<4, 4, 4>, POOLED.stream_words::<i8>());
    streamed!("average-pool-stream-int8", AVERAGE: I8<4, 4, 4>, POOLED.stream_words::<i8>());
}

/// Pooling of every type.
fn pooling() {
    const SHAPE: Pool2dShape = Pool2dShape::new([8, 8, 6], [3, 3]).stride(2).padding(1);
    const MAX: MaxPool2d<I8<8, 8, 6>, I8<4, 4, 6>> = MaxPool2d::new(SHAPE);
    measure!("max-pool-int8": I8<8, 8, 6> => I8<4, 4, 6>, 0; |x, y, memory| MAX.run(x.view(), y.view_mut()));
    const MAX16: MaxPool2d<I16<8, 8, 6>, I16<4, 4, 6>> = MaxPool2d::new(SHAPE);
    measure!("max-pool-int16": I16<8, 8, 6> => I16<4, 4, 6>, 0; |x, y, memory| MAX16.run(x.view(), y.view_mut()));
    const MAX_F32: MaxPool2d<F32<8, 8, 6>, F32<4, 4, 6>> = MaxPool2d::new(SHAPE);
    measure!("max-pool-f32": F32<8, 8, 6> => F32<4, 4, 6>, 0; |x, y, memory| MAX_F32.run(x.view(), y.view_mut()));
    const AVERAGE: AveragePool2d<I8<8, 8, 6>, I8<4, 4, 6>> = AveragePool2d::int8(SHAPE);
    measure!("average-pool-int8": I8<8, 8, 6> => I8<4, 4, 6>, 0; |x, y, memory| AVERAGE.run(x.view(), y.view_mut()));
    const AVERAGE16: AveragePool2d<I16<8, 8, 6>, I16<4, 4, 6>> = AveragePool2d::int16(SHAPE);
    measure!("average-pool-int16": I16<8, 8, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| AVERAGE16.run(x.view(), y.view_mut()));
    const AVERAGE_F32: AveragePool2d<F32<8, 8, 6>, F32<4, 4, 6>> = AveragePool2d::float(SHAPE);
    measure!("average-pool-f32": F32<8, 8, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| AVERAGE_F32.run(x.view(), y.view_mut()));

    measure!("global-max-pool-int8": I8<8, 8, 6> => I8<1, 1, 6>, 0;
        |x, y, memory| GlobalMaxPool2d.run(x.view(), y.view_mut()));
    measure!("global-average-pool-int8": I8<8, 8, 6> => I8<1, 1, 6>, 0;
        |x, y, memory| GlobalAveragePool2d.run(x.view(), y.view_mut()));
    measure!("global-max-pool-int16": I16<8, 8, 6> => I16<1, 1, 6>, 0;
        |x, y, memory| GlobalMaxPool2d.run(x.view(), y.view_mut()));
    measure!("global-average-pool-int16": I16<8, 8, 6> => I16<1, 1, 6>, 0;
        |x, y, memory| GlobalAveragePool2d.run(x.view(), y.view_mut()));
    measure!("global-max-pool-f32": F32<8, 8, 6> => F32<1, 1, 6>, 0;
        |x, y, memory| GlobalMaxPool2d.run(x.view(), y.view_mut()));
    measure!("global-average-pool-f32": F32<8, 8, 6> => F32<1, 1, 6>, 0;
        |x, y, memory| GlobalAveragePool2d.run(x.view(), y.view_mut()));
    const MEAN: Mean2d<I8<8, 8, 6>, I8<1, 1, 6>> = Mean2d::<I8<8, 8, 6>, I8<1, 1, 6>>::int8(Q, Q);
    measure!("mean-int8": I8<8, 8, 6> => I8<1, 1, 6>, 0; |x, y, memory| MEAN.run(x.view(), y.view_mut()));
    const MEAN16: Mean2d<I16<8, 8, 6>, I16<1, 1, 6>> = Mean2d::<I16<8, 8, 6>, I16<1, 1, 6>>::int16(0.001, 0.001);
    measure!("mean-int16": I16<8, 8, 6> => I16<1, 1, 6>, 0; |x, y, memory| MEAN16.run(x.view(), y.view_mut()));
    const PYRAMID: SpatialPyramidPool<1, 2, 4> = SpatialPyramidPool;
    measure!("spatial-pyramid-max-int8": I8<8, 8, 2> => I8<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.max(x.view(), y.view_mut()));
    measure!("spatial-pyramid-average-int8": I8<8, 8, 2> => I8<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.average(x.view(), y.view_mut()));
    measure!("spatial-pyramid-max-int16": I16<8, 8, 2> => I16<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.max(x.view(), y.view_mut()));
    measure!("spatial-pyramid-average-int16": I16<8, 8, 2> => I16<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.average(x.view(), y.view_mut()));
    measure!("spatial-pyramid-max-f32": F32<8, 8, 2> => F32<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.max(x.view(), y.view_mut()));
    measure!("spatial-pyramid-average-f32": F32<8, 8, 2> => F32<1, 1, 42>, 0;
        |x, y, memory| PYRAMID.average(x.view(), y.view_mut()));
    const BLURRED: BlurPool2dShape = BlurPool2dShape::new([8, 8, 6], 3, 2);
    const BLUR: BlurPool2d<I8<8, 8, 6>, I8<4, 4, 6>> = BlurPool2d::<I8<8, 8, 6>, I8<4, 4, 6>>::int8(BLURRED, 0);
    measure!("blur-pool-int8": I8<8, 8, 6> => I8<4, 4, 6>, 0; |x, y, memory| BLUR.run(x.view(), y.view_mut()));
    const BLUR16: BlurPool2d<I16<8, 8, 6>, I16<4, 4, 6>> = BlurPool2d::<I16<8, 8, 6>, I16<4, 4, 6>>::int16(BLURRED);
    measure!("blur-pool-int16": I16<8, 8, 6> => I16<4, 4, 6>, 0; |x, y, memory| BLUR16.run(x.view(), y.view_mut()));
    const BLUR_F32: BlurPool2d<F32<8, 8, 6>, F32<4, 4, 6>> = BlurPool2d::<F32<8, 8, 6>, F32<4, 4, 6>>::float(BLURRED);
    measure!("blur-pool-f32": F32<8, 8, 6> => F32<4, 4, 6>, 0; |x, y, memory| BLUR_F32.run(x.view(), y.view_mut()));
}

/// Batch and local response normalization.
fn normalization() {
    const NORM: BatchNormParameters<'static> =
        BatchNormParameters { gamma: &[1.0; 6], beta: &[0.5; 6], mean: &[2.0; 6], variance: &[4.0; 6], epsilon: 0.001 };
    const BATCH: BatchNormInt8<6> = BatchNormInt8::new(NORM, Q, Q);
    measure!("batch-norm-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| BATCH.run(x.view(), y.view_mut()));
    const BATCH_F32: BatchNormF32<6> = BatchNormF32::new(NORM);
    measure!("batch-norm-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| BATCH_F32.run(x.view(), y.view_mut()));
    const LOCAL: LocalResponseNormInt8 = LocalResponseNormInt8::new(LocalResponse::ALEXNET, Q, Q);
    measure!("local-response-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| LOCAL.run(x.view(), y.view_mut()));
    const LOCAL_F32: LocalResponseNormF32 = LocalResponseNormF32::new(LocalResponse::ALEXNET);
    measure!("local-response-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| LOCAL_F32.run(x.view(), y.view_mut()));
    const ANY_POWER: LocalResponseNormF32 = LocalResponseNormF32::new(LocalResponse::new(3, 0.1, 0.6, 1.0));
    measure!("local-response-f32-powf": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| ANY_POWER.run(x.view(), y.view_mut()));
}

/// Activations of every type.
fn activations() {
    measure!("relu-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| Relu::int8(3).run(x.view(), y.view_mut()));
    measure!("relu-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| Relu::float().run(x.view(), y.view_mut()));
    measure!("relu-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| Relu::int16().run(x.view(), y.view_mut()));
    measure!("relu6-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| Relu6::int8(Q).run(x.view(), y.view_mut()));
    measure!("relu6-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| Relu6::int16(0.001).run(x.view(), y.view_mut()));
    measure!("relu6-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| Relu6::float().run(x.view(), y.view_mut()));
    static LEAKY: Int8Table = Int8Table::leaky_relu(0.1, Q, Q);
    measure!("leaky-relu-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| LEAKY.run(x.view(), y.view_mut()));
    measure!("leaky-relu-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| LeakyReluF32::default().run(x.view(), y.view_mut()));
    const SOFTMAX: SoftmaxInt8 = SoftmaxInt8::new(0.125, 1.0);
    measure!("softmax-int8": I8<1, 1, 10> => I8<1, 1, 10>, 0; |x, y, memory| SOFTMAX.run(x.view(), y.view_mut()));
    measure!("softmax-f32": F32<1, 1, 10> => F32<1, 1, 10>, 0; |x, y, memory| SoftmaxF32.run(x.view(), y.view_mut()));
    static SIGMOID: Int8Table = Int8Table::sigmoid(Q);
    measure!("table-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| SIGMOID.run(x.view(), y.view_mut()));
    const PRELU: PReluInt8<6> = PReluInt8::new([64; 6], Quantization::new(1.0 / 128.0, 0), Q, Q);
    measure!("prelu-int8": I8<4, 4, 6> => I8<4, 4, 6>, 0; |x, y, memory| PRELU.run(x.view(), y.view_mut()));
    const PRELU16: PReluInt16<6> = PReluInt16::new([64; 6], Quantization::new(1.0 / 128.0, 0), 0.001, 0.001);
    measure!("prelu-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| PRELU16.run(x.view(), y.view_mut()));
    const PRELU_F32: PReluF32<6> = PReluF32::new([0.25; 6]);
    measure!("prelu-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| PRELU_F32.run(x.view(), y.view_mut()));
    const LEAKY16: LeakyReluInt16 = LeakyReluInt16::new(0.1, 0.001, 0.001);
    measure!("leaky-relu-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| LEAKY16.run(x.view(), y.view_mut()));
    const SIGMOID16: SigmoidInt16 = SigmoidInt16::new(0.001);
    measure!("sigmoid-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| SIGMOID16.run(x.view(), y.view_mut()));
    const TANH16: TanhInt16 = TanhInt16::new(0.001);
    measure!("tanh-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| TANH16.run(x.view(), y.view_mut()));
    const SOFTMAX16: SoftmaxInt16 = SoftmaxInt16::new(0.001, 1.0);
    measure!("softmax-int16": I16<1, 1, 10> => I16<1, 1, 10>, 0; |x, y, memory| SOFTMAX16.run(x.view(), y.view_mut()));
    measure!("hard-swish-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| HardSwishF32.run(x.view(), y.view_mut()));
    measure!("hard-sigmoid-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| HardSigmoidF32::default().run(x.view(), y.view_mut()));
    measure!("sigmoid-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| SigmoidF32.run(x.view(), y.view_mut()));
    measure!("tanh-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| TanhF32.run(x.view(), y.view_mut()));
    measure!("top-k-int8": I8<1, 1, 10> => I8<1, 1, 1>, 0; |x, y, memory| {
        black_box(top_k::<3, _, 10>(x.view()));
    });
    measure!("argmax-int8": I8<1, 1, 10> => I8<1, 1, 1>, 0; |x, y, memory| {
        black_box(argmax(x.view()));
    });
}

/// What joins tensors.
fn joining() {
    type Features = I8<4, 4, 6>;
    const ADD: Add<Features> = Add::int8([Q, Q], Q, Activation::Relu);
    measure!("add-int8": Features => Features, 0; |x, y, memory| ADD.run_in_place(y.view_mut(), x.view()));
    const ADD_DOUBLE: Add<Features, Features, DoubleRounding> = Add::int8([Q, Q], Q, Activation::Relu);
    measure!("add-int8-double": Features => Features, 0; |x, y, memory| ADD_DOUBLE.run_in_place(y.view_mut(), x.view()));
    const ADD_F32: Add<F32<4, 4, 6>> = Add::float(Activation::Relu);
    measure!("add-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0; |x, y, memory| ADD_F32.run_in_place(y.view_mut(), x.view()));
    const ADD16: Add<I16<4, 4, 6>> = Add::int16([0.001; 2], 0.001, Activation::Relu);
    measure!("add-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0; |x, y, memory| ADD16.run_in_place(y.view_mut(), x.view()));
    const LESS: Subtract<Features> = Subtract::int8([Q, Q], Q, Activation::Identity);
    measure!("subtract-int8": Features => Features, 0; |x, y, memory| LESS.run_in_place(y.view_mut(), x.view()));
    const LESS16: Subtract<I16<4, 4, 6>> = Subtract::int16([0.001; 2], 0.001, Activation::Identity);
    measure!("subtract-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| LESS16.run_in_place(y.view_mut(), x.view()));
    const LESS_F32: Subtract<F32<4, 4, 6>> = Subtract::float(Activation::Identity);
    measure!("subtract-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| LESS_F32.run_in_place(y.view_mut(), x.view()));
    const MULTIPLY: Multiply<Features, I8<1, 1, 6>> = Multiply::int8([Q, Q], Q, Activation::Identity);
    measure!("multiply-int8": I8<1, 1, 6> => Features, 0; |x, y, memory| MULTIPLY.run_in_place(y.view_mut(), x.view()));
    const MULTIPLY16: Multiply<I16<4, 4, 6>> = Multiply::int16([0.001; 2], 0.001, Activation::Identity);
    measure!("multiply-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| MULTIPLY16.run_in_place(y.view_mut(), x.view()));
    const MULTIPLY_F32: Multiply<F32<4, 4, 6>> = Multiply::float(Activation::Identity);
    measure!("multiply-f32": F32<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| MULTIPLY_F32.run_in_place(y.view_mut(), x.view()));
    const JOIN: Concatenate<(Features, Features), I8<4, 4, 12>> = Concatenate::new(Axis::Channels);
    measure!("concatenate-int8": Features => I8<4, 4, 12>, 0;
        |x, y, memory| JOIN.run((x.view(), x.view()), y.view_mut()));
    const PAD: Pad<Features, I8<6, 6, 6>> = Pad::new([1, 1, 0], [1, 1, 0], 3);
    measure!("pad-int8": Features => I8<6, 6, 6>, 0; |x, y, memory| PAD.run(x.view(), y.view_mut()));
    const UPSAMPLE: Upsample<Features, I8<8, 8, 6>> = Upsample::nearest();
    measure!("upsample-int8": Features => I8<8, 8, 6>, 0; |x, y, memory| UPSAMPLE.run(x.view(), y.view_mut()));
    const NARROW: Upsample<Features, I8<3, 9, 6>> = Upsample::nearest_with(Coordinates::AlignCorners);
    measure!("resize-int8": Features => I8<3, 9, 6>, 0; |x, y, memory| NARROW.run(x.view(), y.view_mut()));
    const SPLIT: Slice<Features, I8<4, 4, 3>> = Slice::at([0, 0, 3]);
    measure!("split-int8": Features => I8<4, 4, 3>, 0; |x, y, memory| SPLIT.run(x.view(), y.view_mut()));
    const FLIP: Slice<Features, I8<2, 4, 3>> = Slice::new([0, -1, 0], [4, isize::MIN, 6], [2, -1, 2]);
    measure!("slice-int8": Features => I8<2, 4, 3>, 0; |x, y, memory| FLIP.run(x.view(), y.view_mut()));
    const REST: SubtractFrom<Features, I8<1, 1, 6>> = SubtractFrom::int8([Q, Q], Q, Activation::Identity);
    measure!("subtract-from-int8": I8<1, 1, 6> => Features, 0; |x, y, memory| REST.run_in_place(y.view_mut(), x.view()));
    const QUANTIZE: Quantize<i8> = Quantize::int8(Q);
    measure!("quantize-int8": F32<4, 4, 6> => Features, 0; |x, y, memory| QUANTIZE.run(x.view(), y.view_mut()));
    const QUANTIZE16: Quantize<i16> = Quantize::int16(0.001);
    measure!("quantize-int16": F32<4, 4, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| QUANTIZE16.run(x.view(), y.view_mut()));
    const DEQUANTIZE: Dequantize<i8> = Dequantize::int8(Q);
    measure!("dequantize-int8": Features => F32<4, 4, 6>, 0; |x, y, memory| DEQUANTIZE.run(x.view(), y.view_mut()));
    const DEQUANTIZE16: Dequantize<i16> = Dequantize::int16(0.001);
    measure!("dequantize-int16": I16<4, 4, 6> => F32<4, 4, 6>, 0;
        |x, y, memory| DEQUANTIZE16.run(x.view(), y.view_mut()));
    const REQUANTIZE: Requantize<i8, i8> = Requantize::<i8, i8>::int8(Q, Quantization::new(0.25, -5));
    measure!("requantize-int8": Features => Features, 0; |x, y, memory| REQUANTIZE.run(x.view(), y.view_mut()));
    const WIDER: Requantize<i8, i16> = Requantize::<i8, i16>::int8_to_int16(Q, 0.001);
    measure!("requantize-int8-to-int16": Features => I16<4, 4, 6>, 0;
        |x, y, memory| WIDER.run(x.view(), y.view_mut()));
    const NARROWER: Requantize<i16, i8> = Requantize::<i16, i8>::int16_to_int8(0.001, Q);
    measure!("requantize-int16-to-int8": I16<4, 4, 6> => Features, 0;
        |x, y, memory| NARROWER.run(x.view(), y.view_mut()));
    const OTHER_SCALE: Requantize<i16, i16> = Requantize::<i16, i16>::int16(0.001, 0.002);
    measure!("requantize-int16": I16<4, 4, 6> => I16<4, 4, 6>, 0;
        |x, y, memory| OTHER_SCALE.run(x.view(), y.view_mut()));
}

fn run() -> i32 {
    convolutions();
    in_little_memory();
    pooling();
    normalization();
    activations();
    joining();
    0
}
