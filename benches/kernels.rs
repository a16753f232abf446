//! How much faster than plain Rust each of this machine's backends computes a layer: `cargo bench --features std`.
//!
//! The layers are those of LeNet-5 and of the four networks of MLPerf Tiny. A layer runs on all backends in turn, many
//! times, and each backend's fastest time counts, so that whatever else the machine does disturbs all alike. The
//! weights are noise; the work does not depend on them.

use bareconv::arch::{Visitor, visit_all};
use bareconv::kernels::Backend;
use bareconv::{
    Activation, Clamp, Conv2dShape, DepthwiseConv2dShape, F32Filters, Int8Filters, Quantization, SingleRounding,
    dynamic::{conv2d, depthwise},
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A layer by its shape.
#[derive(Clone, Copy)]
enum Layer {
    Conv2d(Conv2dShape),
    Depthwise(DepthwiseConv2dShape),
}

impl Layer {
    /// A depthwise convolution with a filter of three by three for each channel.
    const fn three_by_three(input: [usize; 3], stride: usize) -> Self {
        Self::Depthwise(DepthwiseConv2dShape::new(input, 1, [3, 3]).stride(stride).padding(1))
    }

    fn macs(&self) -> usize {
        match self {
            Self::Conv2d(shape) => shape.macs(),
            Self::Depthwise(shape) => shape.macs(),
        }
    }

    fn input_len(&self) -> usize {
        match self {
            Self::Conv2d(shape) => shape.input.iter().product(),
            Self::Depthwise(shape) => shape.input.iter().product(),
        }
    }

    fn output_len(&self) -> usize {
        match self {
            Self::Conv2d(shape) => shape.output().iter().product(),
            Self::Depthwise(shape) => shape.output().iter().product(),
        }
    }

    /// Filters, and weights of each.
    fn filters(&self) -> [usize; 2] {
        match self {
            Self::Conv2d(shape) => [shape.filters, shape.filter_len()],
            Self::Depthwise(shape) => [shape.channels(), shape.filter_len()],
        }
    }
}

const LAYERS: &[(&str, Layer)] = &[
    ("LeNet-5 conv1", Layer::Conv2d(Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2))),
    ("LeNet-5 conv2", Layer::Conv2d(Conv2dShape::new([14, 14, 6], 16, [5, 5]).max_pool(2))),
    ("LeNet-5 dense3", Layer::Conv2d(Conv2dShape::dense(400, 120))),
    ("LeNet-5 dense4", Layer::Conv2d(Conv2dShape::dense(120, 84))),
    ("LeNet-5 dense5", Layer::Conv2d(Conv2dShape::dense(84, 10))),
    ("ResNet-8 first, 32x32x3 3x3 16", Layer::Conv2d(Conv2dShape::new([32, 32, 3], 16, [3, 3]).padding(1))),
    ("ResNet-8 32x32x16 3x3 16", Layer::Conv2d(Conv2dShape::new([32, 32, 16], 16, [3, 3]).padding(1))),
    ("ResNet-8 16x16x32 3x3 32", Layer::Conv2d(Conv2dShape::new([16, 16, 32], 32, [3, 3]).padding(1))),
    ("ResNet-8 8x8x64 3x3 64", Layer::Conv2d(Conv2dShape::new([8, 8, 64], 64, [3, 3]).padding(1))),
    ("MobileNet 48x48x8 1x1 16", Layer::Conv2d(Conv2dShape::new([48, 48, 8], 16, [1, 1]))),
    ("MobileNet 12x12x64 1x1 64", Layer::Conv2d(Conv2dShape::new([12, 12, 64], 64, [1, 1]))),
    ("MobileNet 3x3x256 1x1 256", Layer::Conv2d(Conv2dShape::new([3, 3, 256], 256, [1, 1]))),
    ("DS-CNN 25x5x64 1x1 64", Layer::Conv2d(Conv2dShape::new([25, 5, 64], 64, [1, 1]))),
    ("MobileNet 48x48x8 3x3 depthwise", Layer::three_by_three([48, 48, 8], 1)),
    ("MobileNet 48x48x16 3x3 /2 depthwise", Layer::three_by_three([48, 48, 16], 2)),
    ("MobileNet 12x12x64 3x3 depthwise", Layer::three_by_three([12, 12, 64], 1)),
    ("MobileNet 6x6x128 3x3 depthwise", Layer::three_by_three([6, 6, 128], 1)),
    ("MobileNet 3x3x256 3x3 depthwise", Layer::three_by_three([3, 3, 256], 1)),
    ("DS-CNN 25x5x64 3x3 depthwise", Layer::three_by_three([25, 5, 64], 1)),
    ("autoencoder dense 640 128", Layer::Conv2d(Conv2dShape::dense(640, 128))),
];

/// Times that every backend gets its turn.
const ROUNDS: usize = 40;
/// How long a turn is at least.
const TURN: Duration = Duration::from_micros(500);

/// Small numbers without a pattern.
fn noise(len: usize) -> impl Iterator<Item = i8> {
    let mut state = 1u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 26) as i8 - 32
    })
    .take(len)
}

/// A layer ready to run on a backend, and its fastest time in seconds.
struct Contender {
    backend: &'static str,
    run: Box<dyn FnMut()>,
    repeat: u32,
    best: f64,
}

impl Contender {
    fn new(backend: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { backend, run: Box::new(run), repeat: 1, best: f64::INFINITY }
    }

    fn turn(&mut self) -> Duration {
        let start = Instant::now();
        for _ in 0..self.repeat {
            (self.run)();
        }
        let time = start.elapsed();
        self.best = self.best.min(time.as_secs_f64() / f64::from(self.repeat));
        time
    }
}

fn int8<B: Backend>(layer: Layer) -> Contender {
    type Rounding = SingleRounding;
    let [channels, len] = layer.filters();
    let filters: Vec<i8> = noise(channels * len).collect();
    let (bias, scales) = (vec![0; channels], vec![0.01; channels]);
    let q = Quantization::new(0.1, -128);
    let activation = Activation::Relu;
    let numbers = Int8Filters { filters: &filters, bias: &bias, scales: &scales, input: q, output: q, activation };
    let input: Vec<i8> = noise(layer.input_len()).collect();
    let mut output = vec![0; layer.output_len()];
    match layer {
        Layer::Conv2d(shape) => {
            let mut packed = vec![0; conv2d::packed_words::<B, Rounding>(&shape)];
            let common = conv2d::pack_int8::<B, Rounding>(&shape, &numbers, &mut packed).expect("the shape is valid");
            let mut scratch = vec![0; conv2d::scratch_words::<B, Rounding>(&shape)];
            Contender::new(B::NAME, move || {
                let input = black_box(&input);
                conv2d::run::<B, Rounding>(&shape, &packed, -128, &common, input, &mut output, &mut scratch)
                    .expect("the lengths are the shape's");
                black_box(&mut output);
            })
        }
        Layer::Depthwise(shape) => {
            let mut packed = vec![0; depthwise::packed_words::<B, Rounding>(&shape)];
            let common =
                depthwise::pack_int8::<B, Rounding>(&shape, &numbers, &mut packed).expect("the shape is valid");
            let mut scratch = vec![0; depthwise::scratch_words::<B, Rounding>(&shape)];
            Contender::new(B::NAME, move || {
                let input = black_box(&input);
                depthwise::run::<B, Rounding>(&shape, &packed, -128, &common, input, &mut output, &mut scratch)
                    .expect("the lengths are the shape's");
                black_box(&mut output);
            })
        }
    }
}

fn float<B: Backend>(layer: Layer) -> Contender {
    let [channels, len] = layer.filters();
    let filters: Vec<f32> = noise(channels * len).map(f32::from).collect();
    let bias = vec![0.0; channels];
    let numbers = F32Filters { filters: &filters, bias: &bias, activation: Activation::Relu };
    let input: Vec<f32> = noise(layer.input_len()).map(f32::from).collect();
    let mut output = vec![0.0; layer.output_len()];
    let bounds = Activation::Relu.bounds();
    match layer {
        Layer::Conv2d(shape) => {
            let mut packed = vec![0; conv2d::packed_words::<B, Clamp>(&shape)];
            conv2d::pack_float::<B>(&shape, &numbers, &mut packed).expect("the shape is valid");
            let mut scratch = vec![0; conv2d::scratch_words::<B, Clamp>(&shape)];
            Contender::new(B::NAME, move || {
                let input = black_box(&input);
                conv2d::run::<B, Clamp>(&shape, &packed, 0.0, &bounds, input, &mut output, &mut scratch)
                    .expect("the lengths are the shape's");
                black_box(&mut output);
            })
        }
        Layer::Depthwise(shape) => {
            let mut packed = vec![0; depthwise::packed_words::<B, Clamp>(&shape)];
            depthwise::pack_float::<B>(&shape, &numbers, &mut packed).expect("the shape is valid");
            let mut scratch = vec![0; depthwise::scratch_words::<B, Clamp>(&shape)];
            Contender::new(B::NAME, move || {
                let input = black_box(&input);
                depthwise::run::<B, Clamp>(&shape, &packed, 0.0, &bounds, input, &mut output, &mut scratch)
                    .expect("the lengths are the shape's");
                black_box(&mut output);
            })
        }
    }
}

/// A layer on every backend of this machine.
struct Race {
    layer: Layer,
    is_float: bool,
    contenders: Vec<Contender>,
}

impl Visitor for Race {
    fn visit<B: Backend>(&mut self) {
        self.contenders.push(if self.is_float { float::<B>(self.layer) } else { int8::<B>(self.layer) });
    }
}

fn main() {
    println!("layers run on `{}` here; speed-ups are over `portable` in this very build", bareconv::arch::native());
    for (is_float, kind) in [(false, "int8"), (true, "f32")] {
        println!("\n{kind}");
        for (number, &(name, layer)) in LAYERS.iter().enumerate() {
            let mut race = Race { layer, is_float, contenders: Vec::new() };
            visit_all(&mut race);
            let contenders = &mut race.contenders;
            if number == 0 {
                print!("{:36}{:>9}", "layer", "kMAC");
                contenders.iter().for_each(|contender| print!("{:>21}", contender.backend));
                println!();
            }
            for contender in contenders.iter_mut() {
                while contender.turn() < TURN {
                    contender.repeat *= 2;
                }
            }
            for _ in 0..ROUNDS {
                contenders.iter_mut().for_each(|contender| _ = contender.turn());
            }
            print!("{name:36}{:>9.0}", layer.macs() as f64 / 1e3);
            let portable = contenders[0].best;
            for Contender { best, .. } in contenders {
                print!("{:>11.2} us{:>6.2}x", *best * 1e6, portable / *best);
            }
            println!();
        }
    }
}
