//! Cases drawn from a generator, run on a backend and compared with the reference: `no_std`, so that the same cases run
//! on a PC and on every emulated core, whose digests must be equal.
//!
//! Each file has a family of operators. A family is a function `run_on::<B>(session)` that calls
//! [`Session::operator`] for every operator and type it has; the closure draws cases from the generator, runs the
//! backend inside [`Cases::measure`], and hands both results to [`Cases::compare`]. The files are a module of the
//! host's tests and of the example `conformance`.

#![allow(dead_code)]

pub mod activations;
pub mod convolution;
pub mod depthwise;
pub mod joining;
pub mod layers;
pub mod locally_connected;
pub mod normalization;
pub mod overlapping;
pub mod pooling;
pub mod transposed;

use bareconv::kernels::Backend;
use bytemuck::Pod;
use core::fmt::{Arguments, Debug};

/// Runs the cases of every family on a backend.
pub fn run_on<B: Backend>(session: &mut Session<'_>) {
    convolution::run_on::<B>(session);
    depthwise::run_on::<B>(session);
    transposed::run_on::<B>(session);
    locally_connected::run_on::<B>(session);
    pooling::run_on::<B>(session);
    normalization::run_on::<B>(session);
    activations::run_on::<B>(session);
    joining::run_on::<B>(session);
    overlapping::run_on::<B>(session);
}

/// Runs the layers that are constants, on the backend that layers run on.
pub fn run_layers(session: &mut Session<'_>) {
    layers::run(session);
}

/// `cases`, or a few under Miri, which is some thousand times slower.
pub const fn number_of_cases(cases: u32) -> u32 {
    if cfg!(miri) { 1 } else { cases }
}

/// The most values that a case may have: `values`, or fewer under Miri.
pub const fn most(values: usize) -> usize {
    if cfg!(miri) { values / 8 } else { values }
}

/// The seed of the cases that every core runs.
pub const SEED: u64 = 0x6261_7265_636f_6e76;

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Generator(pub u64);

impl Generator {
    /// 64 random bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub const fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() >> 32) as usize % (high - low + 1)
    }

    /// A number in `low..high`.
    pub const fn real(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    /// Fills a slice: from all of -128 (or -127) to 127, or only with the ends, or with one of them.
    pub fn int8(&mut self, values: &mut [i8], low: i8) {
        let style = self.within(0, 5);
        for value in values {
            *value = match style {
                0 => low,
                1 => [low, 127][self.within(0, 1)],
                _ => (low as i32 + self.within(0, (127 - low as i32) as usize) as i32) as i8,
            };
        }
    }

    /// Fills a slice: from all of int16, or only with its ends, or with one of them.
    pub fn int16(&mut self, values: &mut [i16]) {
        let style = self.within(0, 5);
        for value in values {
            *value = match style {
                0 => i16::MIN,
                1 => [i16::MIN, i16::MAX][self.within(0, 1)],
                _ => self.next() as i16,
            };
        }
    }

    /// Fills a slice with numbers between -4 and 4, zeros of both signs, and now and then any bits at all.
    pub fn float(&mut self, values: &mut [f32]) {
        for value in values {
            *value = match self.within(0, 30) {
                0 => -0.0,
                1 => f32::from_bits(self.next() as u32),
                _ => self.real(-4.0, 4.0),
            };
        }
    }
}

/// Words of memory that a case may use.
const WORDS: usize = 72_000;

/// Memory for a case: its input, both outputs, packed filters, scratch.
#[repr(C, align(16))]
pub struct Memory([u32; WORDS]);

impl Memory {
    /// Zeros.
    pub const fn new() -> Self {
        Self([0; WORDS])
    }

    /// All of it, to be taken piece by piece; what it holds is left from the case before.
    pub fn space(&mut self) -> Space<'_> {
        Space(&mut self.0)
    }
}

/// Memory that is not taken yet.
pub struct Space<'a>(&'a mut [u32]);

impl<'a> Space<'a> {
    /// Takes `len` values, aligned to a word.
    ///
    /// # Panics
    /// Where no room is left: cases must be drawn smaller.
    pub fn take<T: Pod>(&mut self, len: usize) -> &'a mut [T] {
        let words = (len * size_of::<T>()).div_ceil(4);
        let (taken, rest) = core::mem::take(&mut self.0).split_at_mut(words);
        self.0 = rest;
        &mut bytemuck::cast_slice_mut(taken)[..len]
    }

    /// The same memory, to be taken and given back.
    pub fn lend(&mut self) -> Space<'_> {
        Space(self.0)
    }
}

/// What the program that runs the cases supplies.
pub trait Console {
    /// Prints a line.
    fn print(&mut self, line: Arguments<'_>);
    /// From here on instructions count.
    fn start(&mut self) {}
    /// From here on they do not.
    fn stop(&mut self) {}
    /// What has been counted since the last mark belongs to the operator whose line follows.
    fn mark(&mut self) {}
}

/// A run of cases.
pub struct Session<'a> {
    console: &'a mut dyn Console,
    memory: &'a mut Memory,
    /// Results that differ from the reference.
    pub differing: u32,
}

impl<'a> Session<'a> {
    /// A run that reports to `console`.
    pub fn new(console: &'a mut dyn Console, memory: &'a mut Memory) -> Self {
        Self { console, memory, differing: 0 }
    }

    /// Runs the cases of one operator in one type (`int8`, `int16`, `int4`, `f32`) on a backend, and prints a line.
    ///
    /// The generator's seed is the operator's own, so that no other operator's cases change with it.
    pub fn operator(
        &mut self,
        [operator, element, backend]: [&'static str; 3],
        run: impl FnOnce(&mut Cases<'_>, &mut Generator, &mut Memory),
    ) {
        let mut cases = Cases {
            names: [operator, element, backend],
            console: self.console,
            digest: FNV_OFFSET,
            results: 0,
            differing: 0,
        };
        let seed = fnv(fnv(SEED, operator.as_bytes()), element.as_bytes());
        run(&mut cases, &mut Generator(seed), self.memory);
        let Cases { digest, results, differing, .. } = cases;
        self.differing += differing;
        self.console.mark();
        self.console.print(format_args!(
            "operator={operator} type={element} backend={backend} results={results} differing={differing} \
             digest={digest:016x}"
        ));
    }
}

/// The cases of one operator.
pub struct Cases<'a> {
    names: [&'static str; 3],
    console: &'a mut dyn Console,
    digest: u64,
    results: u32,
    differing: u32,
}

impl Cases<'_> {
    /// Does what is measured: the backend's work alone.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.console.start();
        let result = work();
        self.console.stop();
        result
    }

    /// Compares a result with the reference's. The first difference is printed: the case and the element.
    ///
    /// All NaNs are the same, as their sign and payload are not specified.
    pub fn compare<T: Value>(&mut self, case: &dyn Debug, output: &[T], expected: &[T]) {
        for &value in output {
            self.digest = fnv(self.digest, &value.bits().to_le_bytes()[..size_of::<T>()]);
        }
        self.results += 1;
        let different = |(a, b): (&T, &T)| a.bits() != b.bits();
        if output.len() == expected.len() && !output.iter().zip(expected).any(different) {
            return;
        }
        self.differing += 1;
        if self.differing == 1 {
            let element = output.iter().zip(expected).position(different).unwrap_or(output.len().min(expected.len()));
            let [operator, types, backend] = self.names;
            self.console.print(format_args!(
                "difference operator={operator} type={types} backend={backend} result={} element={element} \
                 output={:?} expected={:?} case={case:?}",
                self.results,
                output.get(element),
                expected.get(element),
            ));
        }
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued from `hash`.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A type of results.
pub trait Value: Pod + Debug {
    /// Its bits, the same for every NaN.
    fn bits(self) -> u32;
}

impl Value for i8 {
    fn bits(self) -> u32 {
        self as u8 as u32
    }
}

impl Value for i16 {
    fn bits(self) -> u32 {
        self as u16 as u32
    }
}

impl Value for f32 {
    fn bits(self) -> u32 {
        if self.is_nan() { 0x7fc0_0000 } else { self.to_bits() }
    }
}
