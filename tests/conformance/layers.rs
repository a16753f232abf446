//! Layers that are constants, as in firmware. Constant evaluation packs their filters and chooses their routines, so
//! they may run other code than the cases whose shape is known at run time only.

use super::convolution::{specified_int8, specified_int16};
use super::depthwise;
use super::{Cases, Generator, Session};
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2d, Conv2dShape, DepthwiseConv2d, DepthwiseConv2dShape, DoubleRounding, F32Filters, Int4,
    Int4Filters, Int8Filters, Int16Filters, Int16x8, LocallyConnected2d, Quantization, ReducedRounding, SingleRounding,
    Tensor, TransposedConv2d, TransposedConv2dShape, nibbles, pack, reference,
};

/// Inputs that each layer is run with.
const INPUTS: usize = if cfg!(miri) { 1 } else { 6 };

/// Weights from -127 to 127.
const fn weights<const N: usize>(seed: u64) -> [i8; N] {
    let mut generator = Generator(seed);
    let mut weights = [0; N];
    let mut i = 0;
    while i < N {
        weights[i] = (generator.within(0, 254) as i32 - 127) as i8;
        i += 1;
    }
    weights
}

/// Real numbers in `low..high`.
const fn reals<const N: usize>(seed: u64, low: f32, high: f32) -> [f32; N] {
    let mut generator = Generator(seed);
    let mut values = [0.0; N];
    let mut i = 0;
    while i < N {
        values[i] = generator.real(low, high);
        i += 1;
    }
    values
}

const fn biases<const N: usize>(seed: u64) -> [i32; N] {
    let mut generator = Generator(seed);
    let mut biases = [0; N];
    let mut i = 0;
    while i < N {
        biases[i] = generator.within(0, 40_000) as i32 - 20_000;
        i += 1;
    }
    biases
}

/// Quantizations of input and output, chosen so that most outputs are neither -128 nor 127.
const fn quantizations(shape: &Conv2dShape, seed: u64) -> [Quantization; 2] {
    let mut generator = Generator(seed);
    // Products of such values have a standard deviation of about 74 * 74; their sum grows with the root of its length.
    let deviation = 0.02 * 0.005 * (74 * 74 * (shape.filter_len().isqrt() + 1)) as f32;
    let zero_points = [generator.within(0, 255) as u8 as i8, generator.within(0, 80) as i8 - 40];
    [Quantization::new(0.02, zero_points[0]), Quantization::new(deviation / 50.0, zero_points[1])]
}

/// Runs a layer whose output overwrites its input, and, unless `$words` are none, row by row.
macro_rules! in_little_memory {
    ($cases:ident, $number:literal, $shape:ident, $layer:ident, $input:ident, $expected:ident, $scratch:ident, $words:block) => {{
        const WORDS: usize = $words;
        let mut shared = [0; $shape.overlapping_len()];
        let first = shared.len() - $input.as_slice().len();
        shared[first..].copy_from_slice($input.as_slice());
        $cases.measure(|| {
            $layer.run_overlapping(&mut shared, &mut $scratch);
        });
        $cases.compare(&($number, "overlapping", $shape), &shared[..$expected.as_slice().len()], $expected.as_slice());
        if WORDS > 0 {
            let mut memory = [0x7f80_80ff; WORDS];
            let mut stream = $layer.stream(&mut memory);
            let mut output = Output::filled(99);
            let mut rows = output.view_mut().rows();
            $cases.measure(|| {
                for line in $input.view().rows() {
                    stream.push(line, |row| {
                        rows.next().expect("no more rows").as_mut_slice().copy_from_slice(row.as_slice());
                    });
                }
            });
            assert!(rows.next().is_none(), "a row is missing");
            drop(rows);
            $cases.compare(&($number, "by rows", $shape), output.as_slice(), $expected.as_slice());
        }
    }};
}

/// Declares an int8 layer and runs it.
macro_rules! int8_layer {
    ($generator:ident, $cases:ident, $number:literal: $rounding:ident, $activation:ident, $shape:expr) => {
        int8_layer!($generator, $cases, $number: $rounding, $activation, $shape, weights($number))
    };
    ($generator:ident, $cases:ident, $number:literal: $rounding:ident, $activation:ident, $shape:expr, $filters:expr) => {{
        const SHAPE: Conv2dShape = $shape;
        const OUTPUT: [usize; 3] = SHAPE.output();
        const FILTERS: [i8; SHAPE.filters * SHAPE.filter_len()] = $filters;
        const BIAS: [i32; SHAPE.filters] = biases($number + 100);
        const SCALES: [f32; SHAPE.filters] = reals($number + 200, 0.002, 0.008);
        const QUANTIZATIONS: [Quantization; 2] = quantizations(&SHAPE, $number + 300);
        const NUMBERS: Int8Filters<'static> = Int8Filters {
            filters: &FILTERS,
            bias: &BIAS,
            scales: &SCALES,
            input: QUANTIZATIONS[0],
            output: QUANTIZATIONS[1],
            activation: Activation::$activation,
        };
        type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: Conv2d<Input, Output, { SHAPE.packed_words::<$rounding>() }, $rounding> =
            Conv2d::int8(SHAPE, NUMBERS);
        for _ in 0..INPUTS {
            let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
            $generator.int8(input.as_mut_slice(), -128);
            let mut scratch = [0x7f80_80ff; SHAPE.scratch_words::<$rounding>()];
            $cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
            specified_int8::<$rounding>(&SHAPE, &NUMBERS, input.as_slice(), expected.as_mut_slice());
            $cases.compare(&($number, SHAPE), output.as_slice(), expected.as_slice());
            in_little_memory!($cases, $number, SHAPE, LAYER, input, expected, scratch, { if SHAPE.groups == 1 { SHAPE.stream_words::<$rounding>() } else { 0 } });
        }
    }};
}

/// Declares a layer of int4 weights and runs it.
macro_rules! int4_layer {
    ($generator:ident, $cases:ident, $number:literal: $rounding:ident, $shape:expr) => {{
        type Rounded = Int4<$rounding>;
        const SHAPE: Conv2dShape = $shape;
        const OUTPUT: [usize; 3] = SHAPE.output();
        const LEN: usize = SHAPE.filters * SHAPE.filter_len();
        const FILTERS: [i8; LEN] = {
            let mut values = weights($number);
            let mut i = 0;
            while i < LEN {
                values[i] >>= 4;
                i += 1;
            }
            values
        };
        const BIAS: [i32; SHAPE.filters] = biases($number + 100);
        const SCALES: [f32; SHAPE.filters] = reals($number + 200, 0.032, 0.128);
        const QUANTIZATIONS: [Quantization; 2] = quantizations(&SHAPE, $number + 300);
        const NUMBERS: Int8Filters<'static> = Int8Filters {
            filters: &FILTERS,
            bias: &BIAS,
            scales: &SCALES,
            input: QUANTIZATIONS[0],
            output: QUANTIZATIONS[1],
            activation: Activation::Relu,
        };
        type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: Conv2d<Input, Output, { SHAPE.packed_words::<Rounded>() }, Rounded> = Conv2d::int4(
            SHAPE,
            Int4Filters::new(
                &nibbles::<LEN, { LEN.div_ceil(2) }>(&FILTERS),
                &BIAS,
                &SCALES,
                QUANTIZATIONS[0],
                QUANTIZATIONS[1],
                Activation::Relu,
            ),
        );
        for _ in 0..INPUTS {
            let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
            $generator.int8(input.as_mut_slice(), -128);
            let mut scratch = [0x7f80_80ff; SHAPE.scratch_words::<Rounded>()];
            $cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
            specified_int8::<$rounding>(&SHAPE, &NUMBERS, input.as_slice(), expected.as_mut_slice());
            $cases.compare(&($number, SHAPE), output.as_slice(), expected.as_slice());
            in_little_memory!($cases, $number, SHAPE, LAYER, input, expected, scratch, {
                if SHAPE.groups == 1 { SHAPE.stream_words::<Rounded>() } else { 0 }
            });
        }
    }};
}

/// Declares a layer of int16 activations and runs it.
macro_rules! int16_layer {
    ($generator:ident, $cases:ident, $number:literal: $rounding:ident, $activation:ident, $shape:expr) => {{
        type Rounded = Int16x8<$rounding>;
        const SHAPE: Conv2dShape = $shape;
        const OUTPUT: [usize; 3] = SHAPE.output();
        const FILTERS: [i8; SHAPE.filters * SHAPE.filter_len()] = weights($number);
        const BIAS: [i32; SHAPE.filters] = biases($number + 100);
        const SCALES: [f32; SHAPE.filters] = reals($number + 200, 0.002, 0.008);
        // As the deviations of int8, with inputs of 19,000 and outputs of 12,000.
        const OUTPUT_SCALE: f32 = 0.0005 * 0.005 * (74 * 19 * (SHAPE.filter_len().isqrt() + 1)) as f32 / 12.0;
        const NUMBERS: Int16Filters<'static> = Int16Filters {
            filters: &FILTERS,
            bias: &BIAS,
            scales: &SCALES,
            input: 0.0005,
            output: OUTPUT_SCALE,
            activation: Activation::$activation,
        };
        type Input = Tensor<i16, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i16, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: Conv2d<Input, Output, { SHAPE.packed_words::<Rounded>() }, Rounded> =
            Conv2d::int16(SHAPE, NUMBERS);
        for _ in 0..INPUTS {
            let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
            for value in input.as_mut_slice() {
                *value = $generator.next() as i16;
            }
            let mut scratch = [0x7f80_80ff; SHAPE.scratch_words::<Rounded>()];
            $cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
            specified_int16::<$rounding>(&SHAPE, &NUMBERS, input.as_slice(), expected.as_mut_slice());
            $cases.compare(&($number, SHAPE), output.as_slice(), expected.as_slice());
        }
    }};
}

/// Declares a layer in single precision and runs it.
macro_rules! float_layer {
    ($generator:ident, $cases:ident, $number:literal: $activation:ident, $shape:expr) => {{
        const SHAPE: Conv2dShape = $shape;
        const OUTPUT: [usize; 3] = SHAPE.output();
        const FILTERS: [f32; SHAPE.filters * SHAPE.filter_len()] = reals($number, -4.0, 4.0);
        const BIAS: [f32; SHAPE.filters] = reals($number + 100, -4.0, 4.0);
        const NUMBERS: F32Filters<'static> =
            F32Filters { filters: &FILTERS, bias: &BIAS, activation: Activation::$activation };
        type Input = Tensor<f32, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<f32, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: Conv2d<Input, Output, { SHAPE.packed_words::<Clamp>() }, Clamp> = Conv2d::float(SHAPE, NUMBERS);
        for _ in 0..INPUTS {
            let (mut input, mut output) = (Input::filled(0.0), Output::filled(99.0));
            let mut expected = Output::filled(-99.0);
            $generator.float(input.as_mut_slice());
            let mut scratch = [0xffff_ffff; SHAPE.scratch_words::<Clamp>()];
            $cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
            let bounds = NUMBERS.activation.bounds();
            reference::conv2d_f32(&SHAPE, input.as_slice(), &FILTERS, &BIAS, bounds, expected.as_mut_slice());
            $cases.compare(&($number, SHAPE), output.as_slice(), expected.as_slice());
        }
    }};
}

/// Runs the family, on the backend that layers run on.
pub fn run(session: &mut Session<'_>) {
    let native = bareconv::arch::native();
    session.operator(["conv2d-layer", "int8", native], |cases, generator, _| int8(cases, generator));
    session.operator(["conv2d-layer", "int4", native], |cases, generator, _| int4(cases, generator));
    session.operator(["conv2d-layer", "int16", native], |cases, generator, _| int16(cases, generator));
    session.operator(["conv2d-layer", "f32", native], |cases, generator, _| float(cases, generator));
    session.operator(["depthwise-layer", "int8", native], |cases, generator, _| depthwise(cases, generator));
    session.operator(["transposed-layer", "int8", native], |cases, generator, _| transposed(cases, generator));
    session.operator(["locally-layer", "int8", native], |cases, generator, _| locally_connected(cases, generator));
}

/// What an int8 layer needs to know of its channels, for the reference.
fn parameters<R: Rounding, const N: usize>(numbers: &Int8Filters<'_>) -> (CommonRequantization, [u32; N]) {
    let common = pack::common_requantization(numbers, R::MODE);
    let mut parameters = [0; N];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate() {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    (common, parameters)
}

fn transposed(cases: &mut Cases<'_>, generator: &mut Generator) {
    const SHAPE: TransposedConv2dShape = TransposedConv2dShape {
        padding: [1, 0, 0, 2],
        output_padding: [0, 1],
        ..TransposedConv2dShape::new([4, 5, 3], 5, [3, 4]).stride(2)
    };
    const OUTPUT: [usize; 3] = SHAPE.output();
    const NUMBERS: Int8Filters<'static> = Int8Filters {
        filters: &weights::<{ SHAPE.filters * SHAPE.filter_len() }>(71),
        bias: &biases::<{ SHAPE.filters }>(72),
        scales: &reals::<{ SHAPE.filters }>(73, 0.002, 0.008),
        input: Quantization::new(0.02, -5),
        output: Quantization::new(0.05, 3),
        activation: Activation::Identity,
    };
    type R = DoubleRounding;
    type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
    type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
    static LAYER: TransposedConv2d<Input, Output, { SHAPE.phases() }, { SHAPE.packed_words::<R>() }, R> =
        TransposedConv2d::int8(SHAPE, NUMBERS);
    let (common, parameters) = parameters::<R, { 2 * SHAPE.filters }>(&NUMBERS);
    for _ in 0..INPUTS {
        let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
        generator.int8(input.as_mut_slice(), -128);
        let mut scratch = [0x7f80_80ff; SHAPE.scratch_words::<R>()];
        cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
        let (Int8Filters { filters, bias, .. }, out) = (NUMBERS, expected.as_mut_slice());
        reference::transposed_conv2d_i8::<R>(&SHAPE, input.as_slice(), -5, filters, bias, &parameters, &common, out);
        cases.compare(&SHAPE, output.as_slice(), expected.as_slice());
    }
}

fn locally_connected(cases: &mut Cases<'_>, generator: &mut Generator) {
    const SHAPE: Conv2dShape = Conv2dShape::new([5, 4, 3], 3, [3, 2]).stride(2).padding(1);
    const OUTPUT: [usize; 3] = SHAPE.output();
    const LEN: usize = OUTPUT[0] * OUTPUT[1] * OUTPUT[2];
    const NUMBERS: Int8Filters<'static> = Int8Filters {
        filters: &weights::<{ LEN * SHAPE.filter_len() }>(81),
        bias: &biases::<LEN>(82),
        scales: &reals::<LEN>(83, 0.002, 0.008),
        input: Quantization::new(0.02, -5),
        output: Quantization::new(0.05, 3),
        activation: Activation::Relu,
    };
    type R = SingleRounding;
    type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
    type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
    static LAYER: LocallyConnected2d<Input, Output, { SHAPE.locally_connected_words::<R>() }, R> =
        LocallyConnected2d::int8(SHAPE, NUMBERS);
    let (common, parameters) = parameters::<R, LEN>(&NUMBERS);
    for _ in 0..INPUTS {
        let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
        generator.int8(input.as_mut_slice(), -128);
        let mut scratch = [0x7f80_80ff; SHAPE.locally_connected_scratch_words::<R>()];
        cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
        let (Int8Filters { filters, bias, .. }, out) = (NUMBERS, expected.as_mut_slice());
        reference::locally_connected2d_i8::<R>(&SHAPE, input.as_slice(), -5, filters, bias, &parameters, &common, out);
        cases.compare(&SHAPE, output.as_slice(), expected.as_slice());
    }
}

fn int8(cases: &mut Cases<'_>, generator: &mut Generator) {
    // One channel and an odd filter, with pooling: the first layer of many networks.
    int8_layer!(generator, cases, 2: DoubleRounding, Identity,
        Conv2dShape::new([12, 11, 1], 3, [3, 3]).padding(1).max_pool(2));
    // Miri sees a layer of each kind.
    if cfg!(miri) {
        return;
    }
    int8_layer!(generator, cases, 1: SingleRounding, Relu,
        Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2));
    int8_layer!(generator, cases, 3: SingleRounding, Identity, Conv2dShape::new([9, 9, 1], 5, [7, 7]).max_pool(2));
    // Several channels.
    int8_layer!(generator, cases, 4: SingleRounding, Relu, Conv2dShape::new([14, 14, 6], 16, [5, 5]).max_pool(2));
    int8_layer!(generator, cases, 5: DoubleRounding, Relu6, Conv2dShape::new([7, 8, 3], 7, [2, 4]));
    int8_layer!(generator, cases, 6: SingleRounding, Relu, Conv2dShape::new([6, 6, 8], 9, [1, 1]));
    int8_layer!(generator, cases, 7: SingleRounding, Identity, Conv2dShape::new([5, 6, 16], 32, [3, 3]).padding(1));
    // Strides, padding, dilation, larger windows.
    int8_layer!(generator, cases, 8: SingleRounding, Identity,
        Conv2dShape::new([9, 9, 3], 4, [3, 3]).stride(2).padding(1));
    int8_layer!(generator, cases, 9: DoubleRounding, Relu,
        Conv2dShape { stride: [2, 3], padding: [2, 0, 1, 2], ..Conv2dShape::new([10, 9, 1], 2, [3, 5]) });
    int8_layer!(generator, cases, 10: SingleRounding, Relu, Conv2dShape::new([11, 11, 4], 5, [3, 3]).dilation(2));
    int8_layer!(generator, cases, 11: DoubleRounding, Identity,
        Conv2dShape::new([9, 8, 1], 3, [3, 2]).dilation(2).padding(2));
    int8_layer!(generator, cases, 12: SingleRounding, Relu6,
        Conv2dShape { pool: [3, 2], ..Conv2dShape::new([10, 10, 2], 6, [4, 4]).padding(3) });
    // Filter rows of more than 508 taps, which SIMD backends split.
    int8_layer!(generator, cases, 13: SingleRounding, Identity, Conv2dShape::new([4, 5, 180], 3, [3, 3]));
    // Dense layers around the same bound.
    int8_layer!(generator, cases, 14: SingleRounding, Relu, Conv2dShape::dense(400, 40));
    int8_layer!(generator, cases, 15: SingleRounding, Identity, Conv2dShape::dense(84, 10));
    int8_layer!(generator, cases, 16: SingleRounding, Identity, Conv2dShape::dense(507, 8));
    int8_layer!(generator, cases, 17: DoubleRounding, Relu, Conv2dShape::dense(508, 8));
    int8_layer!(generator, cases, 18: SingleRounding, Identity, Conv2dShape::dense(509, 9));
    int8_layer!(generator, cases, 19: DoubleRounding, Identity, Conv2dShape::dense(1100, 5));
    int8_layer!(generator, cases, 20: SingleRounding, Relu, Conv2dShape::dense(3, 2));
    int8_layer!(generator, cases, 21: DoubleRounding, Identity, Conv2dShape::dense(1, 1));
    // Many taps whose weights are small enough for one sum, then the heaviest that are, and the lightest that are not.
    int8_layer!(generator, cases, 22: SingleRounding, Relu, Conv2dShape::new([4, 4, 64], 9, [3, 3]).padding(1));
    int8_layer!(generator, cases, 23: SingleRounding, Identity, Conv2dShape::dense(516, 10), [127; _]);
    int8_layer!(generator, cases, 24: SingleRounding, Identity, Conv2dShape::dense(516, 10), [-127; _]);
    int8_layer!(generator, cases, 25: SingleRounding, Identity, Conv2dShape::dense(517, 10), [-127; _]);
    int8_layer!(generator, cases, 26: DoubleRounding, Relu, Conv2dShape::new([1, 5, 258], 6, [1, 2]), [127; _]);
    // Groups, and pointwise convolutions over merged rows.
    int8_layer!(generator, cases, 27: SingleRounding, Relu, Conv2dShape::new([6, 5, 6], 10, [3, 3]).groups(2).padding(1));
    int8_layer!(generator, cases, 28: DoubleRounding, Identity, Conv2dShape::new([4, 3, 4], 8, [2, 2]).groups(4));
    int8_layer!(generator, cases, 29: SingleRounding, Identity, Conv2dShape::new([7, 3, 24], 17, [1, 1]));
    int8_layer!(generator, cases, 30: SingleRounding, Relu, Conv2dShape::new([5, 6, 12], 9, [1, 1]).groups(3));
}

fn int4(cases: &mut Cases<'_>, generator: &mut Generator) {
    int4_layer!(generator, cases, 61: SingleRounding, Conv2dShape::new([9, 8, 1], 5, [3, 3]).padding(1).max_pool(2));
    if cfg!(miri) {
        return;
    }
    int4_layer!(generator, cases, 62: DoubleRounding, Conv2dShape::new([5, 7, 64], 6, [3, 3]).padding(1));
    int4_layer!(generator, cases, 63: SingleRounding, Conv2dShape::new([6, 6, 9], 9, [1, 1]).groups(3));
    int4_layer!(generator, cases, 64: SingleRounding, Conv2dShape::dense(515, 9));
}

/// Declares an int8 depthwise layer and runs it.
macro_rules! depthwise_layer {
    ($cases:ident, $generator:ident, $number:literal: $rounding:ident, $activation:ident, $zero:literal, $shape:expr) => {{
        const SHAPE: DepthwiseConv2dShape = $shape;
        const OUTPUT: [usize; 3] = SHAPE.output();
        const CHANNELS: usize = SHAPE.channels();
        const FILTERS: [i8; CHANNELS * SHAPE.filter_len()] = weights($number);
        const BIAS: [i32; CHANNELS] = biases($number + 100);
        const SCALES: [f32; CHANNELS] = reals($number + 200, 0.002, 0.008);
        const NUMBERS: Int8Filters<'static> = Int8Filters {
            filters: &FILTERS,
            bias: &BIAS,
            scales: &SCALES,
            input: Quantization::new(0.02, -5),
            output: Quantization::new(0.05, $zero),
            activation: Activation::$activation,
        };
        type Input = Tensor<i8, { SHAPE.input[0] }, { SHAPE.input[1] }, { SHAPE.input[2] }>;
        type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: DepthwiseConv2d<Input, Output, { SHAPE.packed_words::<$rounding>() }, $rounding> =
            DepthwiseConv2d::int8(SHAPE, NUMBERS);
        for _ in 0..INPUTS {
            let (mut input, mut output, mut expected) = (Input::filled(0), Output::filled(99), Output::filled(-99));
            $generator.int8(input.as_mut_slice(), -128);
            let mut scratch = [0x7f80_80ff; SHAPE.scratch_words::<$rounding>()];
            $cases.measure(|| LAYER.run(input.view(), output.view_mut(), &mut scratch));
            depthwise::specified_int8::<$rounding>(&SHAPE, &NUMBERS, input.as_slice(), expected.as_mut_slice());
            $cases.compare(&($number, SHAPE), output.as_slice(), expected.as_slice());
            in_little_memory!($cases, $number, SHAPE, LAYER, input, expected, scratch, {
                SHAPE.stream_words::<$rounding>()
            });
        }
    }};
}

fn depthwise(cases: &mut Cases<'_>, generator: &mut Generator) {
    // Rows of every length that a backend has code of its own for, and of others; outputs that saturate at both ends.
    depthwise_layer!(cases, generator, 51: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([3, 1, 8], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 52: DoubleRounding, Relu, -128, DepthwiseConv2dShape::new([4, 2, 5], 1, [3, 3]).padding(1));
    if cfg!(miri) {
        return;
    }
    depthwise_layer!(cases, generator, 53: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([3, 3, 18], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 54: DoubleRounding, Identity, 3, DepthwiseConv2dShape::new([4, 4, 3], 2, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 55: SingleRounding, Relu6, -20, DepthwiseConv2dShape::new([7, 5, 17], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 56: SingleRounding, Identity, 0, DepthwiseConv2dShape::new([6, 6, 8], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 57: DoubleRounding, Relu, -128, DepthwiseConv2dShape::new([5, 7, 4], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 58: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([3, 8, 4], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 59: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([3, 9, 4], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 60: SingleRounding, Identity, 9, DepthwiseConv2dShape::new([4, 10, 4], 1, [3, 3]).padding(1));
    depthwise_layer!(cases, generator, 61: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([4, 12, 4], 1, [3, 3]).padding(1));
    // Stride 2 with the padding of TensorFlow's SAME, and with symmetric padding; several bands.
    depthwise_layer!(cases, generator, 62: SingleRounding, Relu, -128,
        DepthwiseConv2dShape { padding: [0, 0, 1, 1], ..DepthwiseConv2dShape::new([6, 6, 8], 1, [3, 3]).stride(2) });
    depthwise_layer!(cases, generator, 63: DoubleRounding, Relu, -128, DepthwiseConv2dShape::new([9, 11, 4], 1, [3, 3]).stride(2).padding(1));
    depthwise_layer!(cases, generator, 64: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([3, 25, 4], 1, [3, 3]).stride(2).padding(1));
    depthwise_layer!(cases, generator, 65: SingleRounding, Relu, -128, DepthwiseConv2dShape::new([20, 33, 4], 1, [3, 3]).padding(1));
    // Dilated, other sizes.
    depthwise_layer!(cases, generator, 66: SingleRounding, Relu, -128,
        DepthwiseConv2dShape { dilation: [2, 1], padding: [2, 1, 2, 1], ..DepthwiseConv2dShape::new([7, 5, 4], 1, [3, 3]) });
    depthwise_layer!(cases, generator, 67: SingleRounding, Identity, 1, DepthwiseConv2dShape::new([8, 8, 6], 1, [3, 3]).dilation(2).padding(2));
    depthwise_layer!(cases, generator, 68: DoubleRounding, Identity, -7, DepthwiseConv2dShape::new([9, 8, 4], 1, [5, 5]).padding(2));
    depthwise_layer!(cases, generator, 69: SingleRounding, Identity, 0, DepthwiseConv2dShape::new([10, 6, 1], 8, [4, 2]).stride(2));
}

fn int16(cases: &mut Cases<'_>, generator: &mut Generator) {
    int16_layer!(generator, cases, 41: ReducedRounding, Relu, Conv2dShape::new([9, 8, 1], 5, [3, 3]).padding(1).max_pool(2));
    if cfg!(miri) {
        return;
    }
    int16_layer!(generator, cases, 42: DoubleRounding, Identity, Conv2dShape::new([7, 8, 3], 7, [2, 4]));
    int16_layer!(generator, cases, 43: SingleRounding, Relu, Conv2dShape::new([6, 6, 8], 9, [1, 1]));
    int16_layer!(generator, cases, 44: ReducedRounding, Relu6, Conv2dShape::new([5, 6, 16], 32, [3, 3]).stride(2));
    int16_layer!(generator, cases, 45: ReducedRounding, Identity, Conv2dShape::dense(510, 9));
    int16_layer!(generator, cases, 46: SingleRounding, Identity, Conv2dShape::dense(33, 20));
}

fn float(cases: &mut Cases<'_>, generator: &mut Generator) {
    float_layer!(generator, cases, 32: Identity, Conv2dShape::new([7, 7, 3], 5, [3, 3]).stride(2).padding(1));
    if cfg!(miri) {
        return;
    }
    float_layer!(generator, cases, 31: Relu, Conv2dShape::new([12, 12, 1], 6, [5, 5]).padding(2).max_pool(2));
    float_layer!(generator, cases, 33: Relu6, Conv2dShape::new([9, 9, 2], 9, [3, 3]).dilation(2));
    float_layer!(generator, cases, 34: Identity, Conv2dShape::dense(70, 11));
    float_layer!(generator, cases, 35: Relu, Conv2dShape::dense(600, 4));
}
