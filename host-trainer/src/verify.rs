//! Verification: the int8 network on every backend of the library, every output byte compared.

use crate::export::{ExportError, shape};
use crate::quantize::QuantizedNetwork;
use bareconv::arch::{Visitor, visit_all};
use bareconv::kernels::Backend;
use bareconv::quant::{CommonRequantization, Rounding};
use bareconv::{Activation, Conv2dShape, Int8Filters, SingleRounding, dynamic::conv2d, pack, reference};
use rayon::prelude::*;

/// Images that a thread takes at a time.
const CHUNK: usize = 64;

/// A network's outputs, and what computed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// `"reference"`, or the backend's name.
    pub by: &'static str,
    /// The outputs of all images, one after another.
    pub values: Vec<i8>,
}

/// The outputs for all `inputs`, which follow one another, by the reference and on every backend that this machine has.
/// The reference comes first.
///
/// # Errors
/// Where a layer breaks one of the library's rules.
pub fn on_every_backend(network: &QuantizedNetwork, inputs: &[i8]) -> Result<Vec<Outputs>, ExportError> {
    struct Run<'a> {
        network: &'a QuantizedNetwork,
        inputs: &'a [i8],
        outputs: Result<Vec<Outputs>, ExportError>,
    }
    impl Visitor for Run<'_> {
        fn visit<B: Backend>(&mut self) {
            if let Ok(outputs) = &mut self.outputs {
                match on::<B>(self.network, self.inputs) {
                    Ok(more) => outputs.push(more),
                    Err(error) => self.outputs = Err(error),
                }
            }
        }
    }
    // The backends first: packing checks the rules that the reference takes for granted.
    let mut run = Run { network, inputs, outputs: Ok(Vec::new()) };
    visit_all(&mut run);
    let mut all = run.outputs?;
    all.insert(0, by_reference(network, inputs)?);
    Ok(all)
}

/// How many bytes differ between two outputs, of the same length or not.
#[must_use]
pub fn differing_bytes(a: &[i8], b: &[i8]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

/// A layer in the library's terms.
struct Layer<'a> {
    shape: Conv2dShape,
    numbers: Int8Filters<'a>,
}

fn layers(network: &QuantizedNetwork) -> Result<Vec<Layer<'_>>, ExportError> {
    network
        .layers
        .iter()
        .map(|quantized| {
            let numbers = Int8Filters {
                filters: &quantized.weights,
                bias: &quantized.bias,
                scales: &quantized.weight_scales,
                input: quantized.input,
                output: quantized.output,
                activation: if quantized.relu { Activation::Relu } else { Activation::Identity },
            };
            Ok(Layer { shape: shape(quantized)?, numbers })
        })
        .collect()
}

/// The outputs by the library's reference.
///
/// # Errors
/// Where a layer breaks one of the library's rules.
fn by_reference(network: &QuantizedNetwork, inputs: &[i8]) -> Result<Outputs, ExportError> {
    let layers = layers(network)?;
    let requantization: Vec<(CommonRequantization, Vec<u32>)> = layers
        .iter()
        .map(|layer| {
            let mode = SingleRounding::MODE;
            let common = pack::common_requantization(&layer.numbers, mode);
            let mut parameters = vec![0; layer.shape.filters];
            for (o, word) in parameters.iter_mut().enumerate() {
                let word = std::slice::from_mut(word);
                pack::requantization_parameters(&layer.numbers, mode, &common, o, word);
            }
            (common, parameters)
        })
        .collect();
    let infer = |input: &[i8]| {
        layers.iter().zip(&requantization).fold(input.to_vec(), |values, (layer, (common, parameters))| {
            let Layer { shape, numbers } = layer;
            let mut output = vec![0; shape.output().iter().product()];
            let zero_point = numbers.input.zero_point;
            reference::conv2d_i8::<SingleRounding>(
                shape,
                &values,
                zero_point,
                numbers.filters,
                numbers.bias,
                parameters,
                common,
                &mut output,
            );
            output
        })
    };
    let len = network.layers.first().map_or(1, |layer| layer.input_shape.iter().product());
    let values = inputs.par_chunks(len).flat_map_iter(infer).collect();
    Ok(Outputs { by: "reference", values })
}

/// A layer packed for a backend.
struct Packed {
    shape: Conv2dShape,
    zero_point: i8,
    common: CommonRequantization,
    words: Vec<u32>,
}

/// The outputs for all `inputs` on backend `B`.
///
/// # Errors
/// Where a layer breaks one of the library's rules.
///
/// # Panics
/// Where this machine lacks the backend.
pub fn on<B: Backend>(network: &QuantizedNetwork, inputs: &[i8]) -> Result<Outputs, ExportError> {
    let rule = |name: &str, rule: bareconv::ShapeError| ExportError::Layer {
        layer: name.to_owned(),
        reason: rule.to_string(),
    };
    let packed = layers(network)?
        .iter()
        .zip(&network.layers)
        .map(|(Layer { shape, numbers }, named)| {
            let mut words = vec![0; conv2d::packed_words::<B, SingleRounding>(shape)];
            let common = conv2d::pack_int8::<B, SingleRounding>(shape, numbers, &mut words)
                .map_err(|error| rule(&named.name, error))?;
            Ok(Packed { shape: *shape, zero_point: numbers.input.zero_point, common, words })
        })
        .collect::<Result<Vec<_>, ExportError>>()?;
    let scratch =
        packed.iter().map(|layer| conv2d::scratch_words::<B, SingleRounding>(&layer.shape)).max().unwrap_or_default();
    let len = network.layers.first().map_or(1, |layer| layer.input_shape.iter().product());
    let parts = inputs
        .par_chunks(CHUNK * len)
        .map(|inputs| {
            let mut scratch = vec![0; scratch];
            let mut outputs = Vec::new();
            for input in inputs.chunks(len) {
                let mut values = input.to_vec();
                for (Packed { shape, zero_point, common, words }, named) in packed.iter().zip(&network.layers) {
                    let mut output = vec![0; shape.output().iter().product()];
                    conv2d::run::<B, SingleRounding>(
                        shape,
                        words,
                        *zero_point,
                        common,
                        &values,
                        &mut output,
                        &mut scratch,
                    )
                    .map_err(|error| rule(&named.name, error))?;
                    values = output;
                }
                outputs.extend(values);
            }
            Ok(outputs)
        })
        .collect::<Result<Vec<_>, ExportError>>()?;
    Ok(Outputs { by: B::NAME, values: parts.concat() })
}
