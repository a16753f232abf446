//! What the example firmwares share: logging, the semihosting command line, verification, and measuring.
//!
//! It is a crate of its own so that it can be optimized for size while the network is optimized for speed.

#![no_std]

use bareconv::Tensor;
use core::ffi::CStr;
use core::hint::black_box;
use core::mem::MaybeUninit;
use defmt_semihosting as _;
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::process;
use semihosting::sys::arm_compat::sys_get_cmdline_uninit;

/// A grey picture, 28 x 28: its values are those of the pixels minus 128.
pub type Input = Tensor<i8, 28, 28, 1>;
/// One score for each digit.
pub type Output = Tensor<i8, 1, 1, 10>;

const INPUT_BYTES: usize = size_of::<Input>();

/// Pictures of the digits 0 to 9: for each its class, then 28 x 28 grey values (0 is background, 255 is ink).
///
/// The name is kept so that tools can tell these bytes from the program's own size.
#[unsafe(no_mangle)]
static SAMPLE_DIGITS: [[u8; 1 + INPUT_BYTES]; 10] = {
    let bytes = *include_bytes!("../../lenet/digits.u8");
    // SAFETY: both types are the same number of bytes without padding, and every byte pattern is a value.
    unsafe { core::mem::transmute::<[u8; 10 * (1 + INPUT_BYTES)], _>(bytes) }
};

/// A network and what it needs.
pub struct Network<'a> {
    /// The network's name.
    pub name: &'a str,
    /// Bytes of RAM for activations and scratch.
    pub arena_bytes: usize,
    /// Bytes of flash for weights and biases.
    pub weight_bytes: usize,
    /// Multiply-accumulate operations of one inference.
    pub macs: usize,
    /// One inference.
    pub infer: &'a mut dyn FnMut(&Input) -> Output,
}

#[derive(Clone, Copy, defmt::Format)]
enum Failure {
    CommandLine,
    OpenInputs,
    ReadInputs,
    CutInputs,
    CreateOutputs,
    WriteOutputs,
}

/// Does what the semihosting command line says, and ends the program:
///
/// * nothing: classifies the embedded sample digits; the exit status is the number of wrong classes;
/// * `verify INPUTS OUTPUTS`: reads int8 pictures from the file INPUTS, writes the network's output bytes to OUTPUTS;
/// * `profile`: one inference between the markers `roi_start` and `roi_stop`, and its stack use.
pub fn run(mut network: Network<'_>) -> ! {
    defmt::info!(
        "model name={=str} arena_bytes={=usize} weight_bytes={=usize} macs={=usize}",
        network.name,
        network.arena_bytes,
        network.weight_bytes,
        network.macs
    );
    let status = command(&mut network).unwrap_or_else(|failure| {
        defmt::error!("failed: {}", failure);
        2
    });
    process::exit(status)
}

/// Does what the command line says and returns the exit status.
fn command(network: &mut Network<'_>) -> Result<i32, Failure> {
    let mut line = [0; 256];
    let mut words = CommandLine::read(&mut line)?;
    // The first word is the program's name.
    words.next();
    match (words.next().map(CStr::to_bytes), words.next(), words.next()) {
        (None, ..) => Ok(classify_samples(network)),
        (Some(b"profile"), None, _) => {
            profile(network);
            Ok(0)
        }
        (Some(b"verify"), Some(inputs), Some(outputs)) => verify(inputs, outputs, network),
        _ => Err(Failure::CommandLine),
    }
}

/// The words of the command line, each with a zero behind it, as file names have to have.
struct CommandLine<'a>(&'a [u8]);

impl<'a> CommandLine<'a> {
    fn read(line: &'a mut [u8; 256]) -> Result<Self, Failure> {
        let mut raw = [MaybeUninit::uninit(); 255];
        let raw = sys_get_cmdline_uninit(&mut raw).map_err(|_| Failure::CommandLine)?;
        for (byte, raw) in line.iter_mut().zip(raw) {
            *byte = if *raw == b' ' { 0 } else { *raw };
        }
        Ok(Self(line))
    }
}

impl<'a> Iterator for CommandLine<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let word = CStr::from_bytes_until_nul(self.0).ok().filter(|word| !word.is_empty())?;
        self.0 = self.0.get(word.count_bytes() + 1..)?;
        Some(word)
    }
}

/// Classifies the sample digits; returns how many came out wrong.
fn classify_samples(network: &mut Network<'_>) -> i32 {
    let mut wrong = 0;
    for [expected, pixels @ ..] in &SAMPLE_DIGITS {
        let output = (network.infer)(&quantize(pixels));
        let class = argmax(output.as_slice());
        defmt::info!("digit expected={=u8} predicted={=usize}", *expected, class);
        wrong += i32::from(class != usize::from(*expected));
    }
    defmt::info!("samples count={=usize} wrong={=i32}", SAMPLE_DIGITS.len(), wrong);
    wrong
}

/// Runs every picture of the file `inputs` through the network and writes the output bytes to the file `outputs`.
fn verify(inputs: &CStr, outputs: &CStr, network: &mut Network<'_>) -> Result<i32, Failure> {
    let mut inputs = File::open(inputs).map_err(|_| Failure::OpenInputs)?;
    let mut outputs = File::create(outputs).map_err(|_| Failure::CreateOutputs)?;
    let mut input = Input::filled(0);
    let mut count = 0;
    while fill(&mut inputs, bytemuck::must_cast_slice_mut(input.as_mut_slice()))? {
        let output = (network.infer)(&input);
        outputs.write_all(bytemuck::must_cast_slice(output.as_slice())).map_err(|_| Failure::WriteOutputs)?;
        count += 1;
    }
    defmt::info!("verify images={=usize}", count);
    Ok(0)
}

/// Fills `picture` from the file. `false` where the file ended before it, an error where it ended inside it.
fn fill(file: &mut File, picture: &mut [u8]) -> Result<bool, Failure> {
    let mut filled = 0;
    while let Some(rest) = picture.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(Failure::CutInputs),
            Ok(n) => filled += n,
            Err(_) => return Err(Failure::ReadInputs),
        }
    }
    Ok(true)
}

/// One inference between the markers, then one that is watched for its use of the stack.
fn profile(network: &mut Network<'_>) {
    let [_, pixels @ ..] = &SAMPLE_DIGITS[3];
    let input = quantize(pixels);
    machine::roi_start();
    let output = (network.infer)(black_box(&input));
    machine::roi_stop();
    black_box(&output);
    let stack_bytes = machine::stack_peak(&mut || {
        black_box((network.infer)(black_box(&input)));
    });
    defmt::info!("profile stack_bytes={=usize}", stack_bytes);
}

/// The network's input: zero point -128, scale 1/255.
fn quantize(pixels: &[u8; INPUT_BYTES]) -> Input {
    let mut input = Input::filled(0);
    for (value, pixel) in input.as_mut_slice().iter_mut().zip(pixels) {
        *value = (pixel ^ 0x80).cast_signed();
    }
    input
}

/// The index of the largest value, the first of equals.
fn argmax(values: &[i8]) -> usize {
    let mut best = (0, i8::MIN);
    for (i, &value) in values.iter().enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

/// Says where it happened, not what: formatting messages would cost more flash than the kernels.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    process::exit(101)
}
