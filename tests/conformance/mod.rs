//! Convolutions drawn from a generator, run on a backend and compared with the reference: `no_std`, so that the same
//! cases run on a PC and on every emulated core, whose digests must be equal.

#[allow(dead_code)]
pub mod layers;
#[allow(dead_code)]
pub mod operators;

use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{
    Activation, Clamp, Conv2dShape, DoubleRounding, F32Filters, Int8Filters, Quantization, SingleRounding, dynamic,
    pack, reference,
};
use core::fmt;

/// The seed of the cases that every core runs.
pub const SEED: u64 = 0x6261_7265_636f_6e76;

/// Int8 convolutions that every core runs, each with both roundings.
pub const INT8_CASES: u32 = 1000;
/// Convolutions in single precision that every core runs.
pub const FLOAT_CASES: u32 = 400;
/// Cases of every other operator that every core runs, of either type.
pub const OPERATOR_CASES: u32 = 300;

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Generator(pub u64);

impl Generator {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    const fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() >> 32) as usize % (high - low + 1)
    }

    /// A number in `low..high`.
    const fn real(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    /// A shape that obeys the rules and fits the buffers.
    fn shape(&mut self) -> Conv2dShape {
        loop {
            let (h, w, c) = match self.within(0, 5) {
                0 => (self.within(1, 3), self.within(1, 3), self.within(11, 40)),
                1 => (1, 1, self.within(1, 700)),
                2 => (1, 1, self.within(1000, 1100)),
                _ => (self.within(1, 14), self.within(1, 14), self.within(1, 10)),
            };
            let filters = if self.within(0, 3) == 0 { self.within(9, 34) } else { self.within(1, 8) };
            let mut axis = || {
                [
                    self.within(1, 5),
                    self.within(1, 3),
                    self.within(1, 3),
                    self.within(0, 4),
                    self.within(0, 4),
                    self.within(1, 3),
                ]
            };
            let (y, x) = (axis(), axis());
            let shape = Conv2dShape {
                input: [h, w, c],
                filters,
                filter: [y[0], x[0]],
                stride: [y[1], x[1]],
                dilation: [y[2], x[2]],
                padding: [y[3], x[3], y[4], x[4]],
                pool: [y[5], x[5]],
            };
            if shape.check().is_ok()
                && h * w * c <= VALUES
                && filters * shape.filter_len() <= WEIGHTS
                && shape.output().iter().product::<usize>() <= VALUES
            {
                return shape;
            }
        }
    }

    /// Fills a slice: from all of -128 (or -127) to 127, or only with the ends, or with one of them.
    fn int8(&mut self, values: &mut [i8], low: i8) {
        let style = self.within(0, 5);
        for value in values {
            *value = match style {
                0 => low,
                1 => [low, 127][self.within(0, 1)],
                _ => (low as i32 + self.within(0, (127 - low as i32) as usize) as i32) as i8,
            };
        }
    }

    fn float(&mut self, values: &mut [f32]) {
        for value in values {
            *value = match self.within(0, 30) {
                0 => -0.0,
                1 => f32::from_bits(self.next() as u32),
                _ => self.real(-4.0, 4.0),
            };
        }
    }
}

const VALUES: usize = 2048;
const WEIGHTS: usize = 8192;
/// Backends may round a few long filters up to a block of 32 channels.
const PACKED: usize = 36_000;
const CHANNELS: usize = 40;

/// Memory for a case of either type.
pub struct Buffers {
    input: [f32; VALUES],
    filters: [f32; WEIGHTS],
    packed: [u32; PACKED],
    scratch: [u32; 16384],
    output: [f32; VALUES],
    expected: [f32; VALUES],
}

impl Buffers {
    pub const fn new() -> Self {
        Self {
            input: [0.0; VALUES],
            filters: [0.0; WEIGHTS],
            packed: [0; PACKED],
            scratch: [0; 16384],
            output: [0.0; VALUES],
            expected: [0.0; VALUES],
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<F = (u32, Conv2dShape)> {
    /// FNV-1a over all output bytes.
    pub digest: u64,
    /// Results that were compared with the reference.
    pub results: u32,
    /// Those that differ from it.
    pub differing: u32,
    /// The number of the first case with one, and its shape.
    pub first: Option<F>,
}

impl<F> Outcome<F> {
    fn new() -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, results: 0, differing: 0, first: None }
    }

    fn add(&mut self, case: F, output: &[u8], equal: bool) {
        for &byte in output {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.results += 1;
        if !equal {
            self.differing += 1;
            self.first.get_or_insert(case);
        }
    }
}

/// A line of the report: what came of one kind of operator on one backend.
pub struct Report<'a> {
    kind: &'static str,
    backend: &'static str,
    results: u32,
    /// Results that differ from the reference.
    pub differing: u32,
    digest: u64,
    first: Option<&'a dyn fmt::Debug>,
}

impl<'a> Report<'a> {
    fn new<F: fmt::Debug>(kind: &'static str, backend: &'static str, outcome: &'a Outcome<F>) -> Self {
        let Outcome { digest, results, differing, ref first } = *outcome;
        Self { kind, backend, results, differing, digest, first: first.as_ref().map(|first| first as _) }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, backend, results, differing, digest, first } = self;
        write!(f, "kind={kind} backend={backend} results={results} differing={differing} digest={digest:016x}")?;
        first.map_or(Ok(()), |first| write!(f, " first: {first:?}"))
    }
}

/// Memory for all kinds of cases.
#[allow(dead_code)]
pub struct Memory {
    convolutions: Buffers,
    operators: operators::Memory,
}

#[allow(dead_code)]
impl Memory {
    /// Zeros.
    pub const fn new() -> Self {
        Self { convolutions: Buffers::new(), operators: operators::Memory::new() }
    }
}

/// Runs the cases of every kind of operator on a backend.
#[allow(dead_code)]
pub fn run_on<B: Backend>(memory: &mut Memory, report: &mut dyn FnMut(Report<'_>)) {
    let Memory { convolutions, operators } = memory;
    let mut generator = Generator(SEED);
    let outcome = int8::<B>(&mut generator, INT8_CASES, convolutions);
    report(Report::new("int8-convolution", B::NAME, &outcome));
    let outcome = float::<B>(&mut generator, FLOAT_CASES, convolutions);
    report(Report::new("f32-convolution", B::NAME, &outcome));
    let outcome = operators::int8::<B>(&mut generator, OPERATOR_CASES, operators);
    report(Report::new("int8-operators", B::NAME, &outcome));
    let outcome = operators::float::<B>(&mut generator, OPERATOR_CASES, operators);
    report(Report::new("f32-operators", B::NAME, &outcome));
}

/// Runs the constant layers on the backend that layers run on.
#[allow(dead_code)]
pub fn run_layers(report: &mut dyn FnMut(Report<'_>)) {
    let native = bareconv::arch::native();
    report(Report::new("int8-layers", native, &layers::int8(&mut Generator(SEED))));
    report(Report::new("f32-layers", native, &layers::float(&mut Generator(SEED))));
}

/// Runs `cases` int8 convolutions, with both roundings.
pub fn int8<B: Backend>(generator: &mut Generator, cases: u32, memory: &mut Buffers) -> Outcome {
    let mut outcome = Outcome::new();
    for case in 0..cases {
        let shape = generator.shape();
        let (mut bias, mut scales) = ([0; CHANNELS], [0.0; CHANNELS]);
        for (bias, scale) in bias.iter_mut().zip(&mut scales).take(shape.filters) {
            *bias = generator.within(0, 40_000) as i32 - 20_000;
            *scale = generator.real(0.0001, 0.02);
        }
        let numbers = [shape.input.iter().product(), shape.filters * shape.filter_len()];
        let input: &mut [i8] = &mut bytemuck::cast_slice_mut(&mut memory.input)[..numbers[0]];
        let filters: &mut [i8] = &mut bytemuck::cast_slice_mut(&mut memory.filters)[..numbers[1]];
        generator.int8(input, -128);
        generator.int8(filters, -127);
        let numbers = Int8Filters {
            filters,
            bias: &bias[..shape.filters],
            scales: &scales[..shape.filters],
            input: Quantization::new(0.02, generator.next() as i8),
            output: Quantization::new(generator.real(0.0005, 2.0), generator.next() as i8),
            activation: [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)],
        };
        let len = shape.output().iter().product();
        let output: &mut [i8] = &mut bytemuck::cast_slice_mut(&mut memory.output)[..len];
        let expected: &mut [i8] = &mut bytemuck::cast_slice_mut(&mut memory.expected)[..len];
        let scratch = (&mut memory.packed[..], &mut memory.scratch[..]);
        let equal = int8_case::<B, SingleRounding>(&shape, &numbers, input, [output, expected], scratch);
        outcome.add((case, shape), bytemuck::cast_slice(output), equal);
        let scratch = (&mut memory.packed[..], &mut memory.scratch[..]);
        let equal = int8_case::<B, DoubleRounding>(&shape, &numbers, input, [output, expected], scratch);
        outcome.add((case, shape), bytemuck::cast_slice(output), equal);
    }
    outcome
}

/// The output that the reference specifies.
fn specified_int8<R: Rounding>(shape: &Conv2dShape, numbers: &Int8Filters<'_>, input: &[i8], output: &mut [i8]) {
    let common: CommonRequantization = pack::common_requantization(numbers, R::MODE);
    let mut parameters = [0; 2 * CHANNELS];
    for (o, words) in parameters.chunks_exact_mut(R::WORDS).enumerate().take(shape.filters) {
        pack::requantization_parameters(numbers, R::MODE, &common, o, words);
    }
    let zero_point = numbers.input.zero_point;
    reference::conv2d_i8::<R>(shape, input, zero_point, numbers.filters, numbers.bias, &parameters, &common, output);
}

/// Whether the backend gives the reference's bits.
fn int8_case<B: Backend, R: Rounding>(
    shape: &Conv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    [output, expected]: [&mut [i8]; 2],
    (packed, scratch): (&mut [u32], &mut [u32]),
) -> bool {
    specified_int8::<R>(shape, numbers, input, expected);
    let zero_point = numbers.input.zero_point;
    let packed = &mut packed[..dynamic::packed_words::<B, R>(shape)];
    let common = dynamic::pack_int8::<B, R>(shape, numbers, packed).expect("the case obeys the rules");
    // Whatever the scratch memory held before must not matter.
    scratch.fill(0x7f80_80ff);
    output.fill(99);
    dynamic::run::<B, R>(shape, packed, zero_point, &common, input, output, scratch).expect("the case obeys the rules");
    output == expected
}

/// Whether two results have the same bits; all their NaNs become one, as its sign and payload are not specified.
fn same_bits(output: &mut [f32], expected: &mut [f32]) -> bool {
    for value in output.iter_mut().chain(&mut *expected).filter(|value| value.is_nan()) {
        *value = f32::from_bits(0x7fc0_0000);
    }
    output.iter().zip(&*expected).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Runs `cases` convolutions in single precision.
pub fn float<B: Backend>(generator: &mut Generator, cases: u32, memory: &mut Buffers) -> Outcome {
    let mut outcome = Outcome::new();
    for case in 0..cases {
        let shape = generator.shape();
        let mut bias = [0.0; CHANNELS];
        generator.float(&mut bias[..shape.filters]);
        let input = &mut memory.input[..shape.input.iter().product()];
        let filters = &mut memory.filters[..shape.filters * shape.filter_len()];
        generator.float(input);
        generator.float(filters);
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][generator.within(0, 2)];
        let numbers = F32Filters { filters, bias: &bias[..shape.filters], activation };
        let len = shape.output().iter().product();
        let (output, expected) = (&mut memory.output[..len], &mut memory.expected[..len]);
        reference::conv2d_f32(&shape, input, filters, &bias, activation.bounds(), expected);
        let packed = &mut memory.packed[..dynamic::packed_words::<B, Clamp>(&shape)];
        dynamic::pack_float::<B>(&shape, &numbers, packed).expect("the case obeys the rules");
        memory.scratch.fill(0xffff_ffff);
        dynamic::run::<B, Clamp>(&shape, packed, 0.0, &activation.bounds(), input, output, &mut memory.scratch)
            .expect("the case obeys the rules");
        let equal = same_bits(output, expected);
        outcome.add((case, shape), bytemuck::cast_slice(output), equal);
    }
    outcome
}
