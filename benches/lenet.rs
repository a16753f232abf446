//! The layers of LeNet-5 on this machine, on each backend: `cargo bench --features std`.
//!
//! The weights are noise; the work does not depend on them. Compare figures of one run only.

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use bareconv::quant::CommonRequantization;
use bareconv::{Activation, Clamp, Conv2dShape, F32Filters, Int8Filters, Quantization, SingleRounding, dynamic};
use divan::{Bencher, black_box, counter::ItemsCount};

#[cfg(target_arch = "x86_64")]
use bareconv::arch::Avx2;
/// Elsewhere the bench measures the portable backend twice.
#[cfg(not(target_arch = "x86_64"))]
type Avx2 = Portable;

fn main() {
    println!("items are multiply-accumulates; the layers run on `{}` here", bareconv::arch::native());
    divan::main();
}

const LAYERS: [(&str, Conv2dShape); 5] = [
    ("conv1", Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2)),
    ("conv2", Conv2dShape::new([14, 14, 6], 16, [5, 5]).max_pool(2)),
    ("dense3", Conv2dShape::dense(400, 120)),
    ("dense4", Conv2dShape::dense(120, 84)),
    ("dense5", Conv2dShape::dense(84, 10)),
];

fn shape(name: &str) -> Conv2dShape {
    LAYERS.iter().find(|layer| layer.0 == name).expect("a layer's name").1
}

/// Small numbers without a pattern.
fn noise(len: usize) -> impl Iterator<Item = i8> {
    let mut state = 1u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 26) as i8 - 32
    })
    .take(len)
}

#[divan::bench(types = [Portable, Avx2], args = ["conv1", "conv2", "dense3", "dense4", "dense5"])]
fn int8<B: Backend>(bencher: Bencher<'_, '_>, layer: &str) {
    let shape = shape(layer);
    let filters: Vec<i8> = noise(shape.filters * shape.filter_len()).collect();
    let (bias, scales) = (vec![0; shape.filters], vec![0.01; shape.filters]);
    let q = Quantization::new(0.1, -128);
    let activation = Activation::Relu;
    let numbers = Int8Filters { filters: &filters, bias: &bias, scales: &scales, input: q, output: q, activation };
    let mut packed = vec![0; dynamic::packed_words::<B, SingleRounding>(&shape)];
    let common: CommonRequantization =
        dynamic::pack_int8::<B, SingleRounding>(&shape, &numbers, &mut packed).expect("the shape is valid");
    let mut scratch = vec![0; dynamic::scratch_words::<B, SingleRounding>(&shape)];
    let input: Vec<i8> = noise(shape.input.iter().product()).collect();
    let mut output = vec![0; shape.output().iter().product()];
    bencher.counter(ItemsCount::new(shape.macs())).bench_local(|| {
        dynamic::run::<B, SingleRounding>(&shape, &packed, -128, &common, black_box(&input), &mut output, &mut scratch)
            .expect("the lengths are the shape's");
        black_box(&output);
    });
}

#[divan::bench(types = [Portable, Avx2], args = ["conv1", "conv2", "dense3", "dense4", "dense5"])]
fn float<B: Backend>(bencher: Bencher<'_, '_>, layer: &str) {
    let shape = shape(layer);
    let filters: Vec<f32> = noise(shape.filters * shape.filter_len()).map(f32::from).collect();
    let bias = vec![0.0; shape.filters];
    let numbers = F32Filters { filters: &filters, bias: &bias, activation: Activation::Relu };
    let mut packed = vec![0; dynamic::packed_words::<B, Clamp>(&shape)];
    dynamic::pack_float::<B>(&shape, &numbers, &mut packed).expect("the shape is valid");
    let mut scratch = vec![0; dynamic::scratch_words::<B, Clamp>(&shape)];
    let input: Vec<f32> = noise(shape.input.iter().product()).map(f32::from).collect();
    let mut output = vec![0.0; shape.output().iter().product()];
    bencher.counter(ItemsCount::new(shape.macs())).bench_local(|| {
        let bounds = Activation::Relu.bounds();
        dynamic::run::<B, Clamp>(&shape, &packed, 0.0, &bounds, black_box(&input), &mut output, &mut scratch)
            .expect("the lengths are the shape's");
        black_box(&output);
    });
}
