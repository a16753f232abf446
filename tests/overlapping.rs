//! The distances between input and output that share memory are safe, and no longer than they must be: by a model of the
//! memory in which every value is either the input's or overwritten. That the bodies keep to them on every backend is for
//! `conformance`.

use bareconv::arch::Portable;
use bareconv::dynamic::{self, depthwise};
use bareconv::kernels::elementwise;
use bareconv::{
    Activation, Arena, Clamp, Conv2d, Conv2dShape, DepthwiseConv2dShape, F32Filters, Pool2dShape, ShapeError, Tensor,
};
use std::ops::Range;

/// Memory whose values are numbered by the input, until they are overwritten.
struct Model {
    memory: Vec<Option<usize>>,
    lead: usize,
}

impl Model {
    fn new(lead: usize, input: usize, output: usize) -> Self {
        let memory = (0..output.max(lead + input)).map(|at| at.checked_sub(lead).filter(|&at| at < input)).collect();
        Self { memory, lead }
    }

    /// Whether these values of the input can still be read.
    fn intact(&self, mut values: Range<usize>) -> bool {
        values.all(|at| self.memory[self.lead + at] == Some(at))
    }

    fn overwrite(&mut self, values: Range<usize>) {
        self.memory[values].fill(None);
    }
}

/// The input rows that the filter reaches over for an output row of a convolution, those between its taps included.
fn rows(shape: &Conv2dShape, y: usize) -> impl Iterator<Item = usize> {
    let shape = *shape;
    let places =
        (0..shape.pool[0]).flat_map(move |p| (0..=(shape.filter[0] - 1) * shape.dilation[0]).map(move |i| (p, i)));
    places.filter_map(move |(p, i)| {
        let row = (y * shape.pool[0] + p) * shape.stride[0] + i;
        row.checked_sub(shape.padding[0]).filter(|&row| row < shape.input[0])
    })
}

/// Whether a convolution can be computed: every row is read once, as late as the filter reaches over it, and an output row is written when all it sees are read.
fn convolves(shape: &Conv2dShape, lead: usize) -> bool {
    let ([h, w, c], [out_h, out_w, out_c]) = (shape.input, shape.output());
    let mut model = Model::new(lead, h * w * c, out_h * out_w * out_c);
    let mut next = 0;
    for y in 0..out_h {
        let seen = rows(shape, y).min().zip(rows(shape, y).max());
        if let Some((first, last)) = seen {
            for row in next.max(first)..=last {
                if !model.intact(row * w * c..(row + 1) * w * c) {
                    return false;
                }
            }
            next = next.max(last + 1);
        }
        model.overwrite(y * out_w * out_c..(y + 1) * out_w * out_c);
    }
    true
}

/// The same of a depthwise convolution without multiplier, one channel after the other.
fn convolves_by_channel(shape: &DepthwiseConv2dShape, lead: usize) -> bool {
    let ([h, w, c], [out_h, out_w, _]) = (shape.input, shape.output());
    let plane = Conv2dShape {
        stride: shape.stride,
        dilation: shape.dilation,
        padding: shape.padding,
        ..Conv2dShape::new([h, w, 1], 1, shape.filter)
    };
    let mut model = Model::new(lead, h * w * c, out_h * out_w * c);
    for channel in 0..c {
        let mut next = 0;
        for y in 0..out_h {
            if let Some((first, last)) = rows(&plane, y).min().zip(rows(&plane, y).max()) {
                for at in next.max(first) * w..(last + 1) * w {
                    if !model.intact(at * c + channel..at * c + channel + 1) {
                        return false;
                    }
                }
                next = next.max(last + 1);
            }
            for at in y * out_w..(y + 1) * out_w {
                model.overwrite(at * c + channel..at * c + channel + 1);
            }
        }
    }
    true
}

/// Whether a pooling can be computed: a pixel is written while its window may still be read.
fn pools(shape: &Pool2dShape, lead: usize) -> bool {
    let ([h, w, c], [out_h, out_w, _]) = (shape.input, shape.output());
    let mut model = Model::new(lead, h * w * c, out_h * out_w * c);
    for at in 0..out_h * out_w {
        model.overwrite(at * c..(at + 1) * c);
        for i in 0..shape.window[0] {
            for j in 0..shape.window[1] {
                let y = (at / out_w * shape.stride[0] + i).checked_sub(shape.padding[0]).filter(|&y| y < h);
                let x = (at % out_w * shape.stride[1] + j).checked_sub(shape.padding[1]).filter(|&x| x < w);
                if let Some((y, x)) = y.zip(x)
                    && !model.intact((y * w + x) * c..(y * w + x + 1) * c)
                {
                    return false;
                }
            }
        }
    }
    true
}

/// Numbers in order, that together run through all combinations of so many digits.
fn combinations<const N: usize>(sizes: [usize; N]) -> impl Iterator<Item = [usize; N]> {
    (0..sizes.iter().product()).map(move |mut number: usize| {
        sizes.map(|size| {
            let digit = number % size;
            number /= size;
            digit
        })
    })
}

#[test]
fn convolutions_overlap_as_far_as_they_can() {
    let (mut checked, mut apart) = (0, 0);
    for [h, w, i, s, d, p, top, bottom, across, filters] in combinations([9, 3, 4, 4, 2, 3, 3, 3, 3, 3]) {
        let shape = Conv2dShape {
            input: [h + 1, w + 1, 2],
            filters: filters + 1,
            filter: [i + 1, 2],
            stride: [s + 1, across % 2 + 1],
            dilation: [d + 1, 1],
            padding: [top, across / 2, bottom, 1],
            pool: [p + 1, 1],
            groups: 1,
        };
        if shape.check().is_err() {
            continue;
        }
        let lead = shape.overlap();
        assert!(convolves(&shape, lead), "{shape:?}");
        assert!(lead == 0 || !convolves(&shape, lead - 1), "{shape:?}: less than {lead} would do");
        checked += 1;
        apart += u32::from(lead > 0);
    }
    assert!(checked > 10_000 && apart > 1000, "{apart} of {checked}");
}

#[test]
fn depthwise_convolutions_overlap_as_far_as_they_can() {
    let (mut checked, mut apart) = (0, 0);
    for [h, w, i, s, d, top, bottom, across] in combinations([9, 4, 4, 4, 2, 3, 3, 3]) {
        let shape = DepthwiseConv2dShape {
            stride: [s + 1, across % 2 + 1],
            dilation: [d + 1, 1],
            padding: [top, 3, bottom, across],
            ..DepthwiseConv2dShape::new([h + 1, w + 1, 2], 1, [i + 1, 4])
        };
        if shape.check().is_err() {
            continue;
        }
        let lead = shape.overlap();
        assert!(lead.is_multiple_of(2) && convolves_by_channel(&shape, lead), "{shape:?}");
        assert!(lead == 0 || !convolves_by_channel(&shape, lead - 2), "{shape:?}: less than {lead} would do");
        checked += 1;
        apart += u32::from(lead > 0);
    }
    assert!(checked > 2000 && apart > 100, "{apart} of {checked}");
}

#[test]
fn poolings_overlap_as_far_as_they_can() {
    let mut checked = 0;
    for [h, w, i, j, s, t, top, left, bottom, right] in combinations([7, 7, 3, 3, 4, 4, 3, 3, 2, 2]) {
        let shape = Pool2dShape {
            input: [h + 1, w + 1, 2],
            window: [i + 1, j + 1],
            stride: [s + 1, t + 1],
            padding: [top, left, bottom, right],
        };
        if shape.check().is_err() {
            continue;
        }
        let lead = shape.overlap();
        assert!(pools(&shape, lead), "{shape:?}");
        assert!(!pools(&shape, lead - 1), "{shape:?}: less than {lead} would do");
        checked += 1;
    }
    assert!(checked > 10_000, "{checked}");
}

#[test]
fn layers_of_known_networks_run_in_place() {
    let conv = |input, filters, stride| Conv2dShape::new(input, filters, [3, 3]).padding(1).stride(stride);
    let depthwise = |input, stride| DepthwiseConv2dShape::new(input, 1, [3, 3]).padding(1).stride(stride);
    // ResNet-8, DS-CNN, MobileNetV1 0.25.
    assert_eq!(conv([32, 32, 16], 16, 1).overlap(), 0);
    assert_eq!(conv([32, 32, 16], 32, 2).overlap(), 0);
    assert_eq!(depthwise([25, 5, 64], 1).overlap(), 0);
    assert_eq!(depthwise([48, 48, 16], 2).overlap(), 0);
    assert_eq!(Conv2dShape::new([25, 5, 64], 64, [1, 1]).overlap(), 0);
    // The output is all the memory.
    let widening = Conv2dShape::new([48, 48, 8], 16, [1, 1]);
    assert_eq!((widening.overlapping_len(), widening.output().iter().product::<usize>()), (36_864, 36_864));
    // Groups, and filters that share a channel, read their input again.
    assert_eq!(Conv2dShape::new([4, 4, 4], 2, [1, 1]).groups(2).overlapping_len(), 4 * 4 * (4 + 2));
    assert_eq!(DepthwiseConv2dShape::new([4, 4, 4], 2, [1, 1]).overlapping_len(), 4 * 4 * (4 + 8));
}

#[test]
fn memory_that_is_too_short_is_refused() {
    let shape = Conv2dShape::new([2, 1, 2], 4, [2, 1]);
    let numbers = F32Filters { filters: &[1.0; 16], bias: &[0.0; 4], activation: Activation::Identity };
    let mut packed = vec![0; dynamic::conv2d::packed_words::<Portable, Clamp>(&shape)];
    dynamic::conv2d::pack_float::<Portable>(&shape, &numbers, &mut packed).unwrap();
    let mut scratch = vec![0; dynamic::conv2d::scratch_words::<Portable, Clamp>(&shape)];
    let bounds = [f32::NEG_INFINITY, f32::INFINITY];
    let mut run = |len, words: usize| {
        let scratch = &mut scratch[..words];
        dynamic::conv2d::run_overlapping::<Portable, _, Clamp>(
            &shape,
            &packed,
            0.0,
            &bounds,
            &mut vec![0.0; len],
            scratch,
        )
    };
    let words = dynamic::conv2d::scratch_words::<Portable, Clamp>(&shape);
    assert_eq!(run(shape.overlapping_len(), words), Ok(()));
    assert_eq!(run(shape.overlapping_len() - 1, words), Err(ShapeError::Overlap));
    assert_eq!(run(shape.overlapping_len(), words - 1), Err(ShapeError::Scratch));

    let shape = DepthwiseConv2dShape::new([2, 1, 2], 1, [2, 1]);
    let numbers = F32Filters { filters: &[1.0; 4], bias: &[0.0; 2], activation: Activation::Identity };
    let mut packed = vec![0; depthwise::packed_words::<Portable, Clamp>(&shape)];
    depthwise::pack_float::<Portable>(&shape, &numbers, &mut packed).unwrap();
    let mut scratch = vec![0; depthwise::scratch_words::<Portable, Clamp>(&shape)];
    let mut run = |len| {
        let memory = &mut vec![0.0; len];
        depthwise::run_overlapping::<Portable, _, Clamp>(&shape, &packed, 0.0, &bounds, memory, &mut scratch)
    };
    // Half a pixel apart, the second channel would overwrite the first.
    assert_eq!([4, 3, 5, 6].map(&mut run), [Ok(()), Err(ShapeError::Overlap), Err(ShapeError::Overlap), Ok(())]);

    let shape = Pool2dShape::new([2, 2, 1], [2, 2]);
    let mut run = |len| elementwise::max_pool2d_overlapping::<Portable, i8>(&shape, &mut vec![0; len]);
    assert_eq!([5, 4, 6].map(&mut run), [Ok(()), Err(ShapeError::Overlap), Ok(())]);
}

#[test]
fn layers_run_in_slots_of_an_arena() {
    const SHAPE: Conv2dShape = Conv2dShape::new([3, 2, 1], 2, [1, 2]);
    static LAYER: Conv2d<Tensor<f32, 3, 2, 1>, Tensor<f32, 3, 1, 2>, { SHAPE.packed_words::<Clamp>() }, Clamp> =
        Conv2d::float(SHAPE, F32Filters::new(&[[[[1.0], [1.0]]], [[[1.0], [-1.0]]]], &[0.0; 2], Activation::Identity));
    const BYTES: usize = 4 * SHAPE.overlapping_len();
    let mut arena = Arena::<{ BYTES + 4 * SHAPE.scratch_words::<Clamp>() }>::new();
    let end = BYTES + 4 * SHAPE.scratch_words::<Clamp>();
    let [mut shared, mut scratch] = arena.slots([0..BYTES, BYTES..end]);
    shared.values::<f32>().copy_from_slice(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0]);
    let output = LAYER.run_overlapping(shared.values(), scratch.words());
    assert_eq!(output.as_view().as_slice(), [3.0, -1.0, 8.0, -2.0, 21.0, -5.0]);
    assert_eq!(shared.view::<f32, 3, 1, 2>().as_slice()[4..], [21.0, -5.0]);
}
