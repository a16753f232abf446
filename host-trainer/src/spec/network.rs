//! The layers of a description put together.

use super::error::{Problem, Step};
use super::layer::{IMAGES, Layer, Operator, Padding};
use crate::data::Images;
use crate::nn::{self, Initialization, NetworkBuilder, Shape, ShapeError, Value};
use crate::train::InputScaling;
use bareconv::SliceShape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `[network]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// How weights begin.
    #[serde(default)]
    pub initialization: Initialization,
    /// How grey levels become the network's input.
    #[serde(default)]
    pub input: InputScale,
    /// The layers. The output of the last one are the logits of the classes.
    pub layers: Vec<Layer>,
}

/// What a level `p` of 0 to 255 of a pixel is to the network. The quantized network takes the int8 input `p - 128` in every
/// case. Rounding by powers of two wants a scale that is one: the exported network's input is then `(p - offset)` times the
/// nearest, and its first layer, or one before it, makes up for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputScale {
    /// `p / 255`: from 0 to 1.
    #[default]
    Unit,
    /// `(p - mean) / deviation` over all channels and pixels of the training images, the mean to the nearest whole level.
    Standard,
    /// `(p - mean) / deviation` with the mean and the deviation of each channel. Integers have one scale for all channels:
    /// the exported network normalizes by itself, in its first layer or in one before it
    /// ([`behind_normalization`](nn::Network::behind_normalization)).
    StandardPerChannel,
}

impl InputScale {
    /// The scaling for these training images.
    #[must_use]
    pub fn scaling(self, training: &Images) -> InputScaling {
        match self {
            Self::Unit => InputScaling::unit(1),
            Self::Standard => {
                let normalization = training.normalization();
                // All channels together: the mean of the means, and the mean square less its square.
                let count = normalization.mean.len().max(1) as f64;
                let channels = || normalization.mean.iter().zip(&normalization.deviation);
                let mean = channels().map(|(&mean, _)| f64::from(mean)).sum::<f64>() / count;
                let square = |value: f32| f64::from(value) * f64::from(value);
                let squares =
                    channels().map(|(&mean, &deviation)| square(mean) + square(deviation)).sum::<f64>() / count;
                let deviation = libm::sqrt((squares - mean * mean).max(0.0)).max(1.0);
                InputScaling { offset: vec![libm::round(mean) as f32], factor: vec![(1.0 / deviation) as f32] }
            }
            Self::StandardPerChannel => (&training.normalization()).into(),
        }
    }

    /// How levels become inputs of the network that is exported, where `scaling` made those of the one that was trained: with
    /// one offset, a whole level, and one factor for all channels, which is a power of two if the rounding asks for it.
    #[must_use]
    pub fn exported_scaling(self, scaling: &InputScaling, power_of_two: bool) -> InputScaling {
        let one_scale = match self {
            Self::Unit | Self::Standard => {
                InputScaling { offset: scaling.offset[..1].to_vec(), factor: scaling.factor[..1].to_vec() }
            }
            Self::StandardPerChannel => InputScaling::unit(1),
        };
        if power_of_two {
            let exponent = libm::round(libm::log2(f64::from(one_scale.factor[0])));
            return InputScaling { factor: vec![libm::exp2(exponent) as f32], ..one_scale };
        }
        one_scale
    }
}

/// The network, and its parameters, that computes of inputs by `exported` (of one offset and factor for all channels) what
/// `network` computes of inputs by `trained`.
pub(super) fn rescaled(
    network: &nn::Network,
    parameters: &[f32],
    trained: &InputScaling,
    exported: &InputScaling,
) -> (nn::Network, Vec<f32>) {
    if trained == exported {
        return (network.clone(), parameters.to_vec());
    }
    let (offset, factor) = (exported.offset[0], exported.factor[0]);
    let channels = network.input_shape()[2];
    let of_channels = || trained.offset.iter().zip(&trained.factor).cycle().take(channels);
    let scales: Vec<f32> = of_channels().map(|(_, of)| of / factor).collect();
    let shifts: Vec<f32> = of_channels().map(|(from, of)| (offset - from) * of).collect();
    network.behind_normalization(parameters, &scales, &shifts)
}

impl Network {
    /// The architecture for images of a shape (height, width, channels).
    ///
    /// # Errors
    /// The first layer that does not fit, with its input's shape and what would fit.
    pub fn build(&self, images: Shape) -> Result<nn::Network, Problem> {
        let mut builder = NetworkBuilder::new(images);
        // By the layers' names.
        let mut values = BTreeMap::from([(IMAGES.to_owned(), builder.input())]);
        let mut last = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let here = |problem: Problem| problem.within(["layers".into(), Step::Index(index)]);
            check_name(layer).map_err(here)?;
            check_fields(&layer.operator).map_err(here)?;
            let before = last.unwrap_or(builder.input());
            let inputs = inputs(layer, before, &values).map_err(here)?;
            let shapes: Vec<Shape> = inputs.iter().map(|&input| builder.shape(input)).collect();
            let kind = layer.operator.to_layer(shapes[0]);
            let value = match &layer.name {
                Some(name) => builder.add_named(name, kind, &inputs),
                None => builder.add(kind, &inputs),
            };
            let value = value.map_err(|error| here(explain(&layer.operator, &error)))?;
            let name = builder.name(value).to_owned();
            values.insert(name, value);
            last = Some(value);
        }
        let Some(last) = last else {
            return Err(Problem::new(&["layers"], "there is no layer", "name at least one, such as a dense layer"));
        };
        // Everything computed is used: a name that was forgotten is found.
        builder.finish(last).map_err(|ShapeError { index, name, .. }| {
            Problem::new(
                &[],
                format!("nothing uses the output of layer {} `{name}`", index + 1),
                format!("join it to a later layer, {{ kind = \"add\", from = \"{name}\" }}; or remove it"),
            )
            .within(["layers".into(), Step::Index(index)])
        })
    }

    /// Checks that the last layer's output is a number for each class.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_classes(&self, network: &nn::Network, classes: usize) -> Result<(), Problem> {
        let output = network.output_shape();
        if output == [1, 1, classes] {
            return Ok(());
        }
        Err(Problem::new(
            &[],
            format!("the last layer gives {}, and the images have {classes} classes", text(output)),
            format!("a network ends with a number for each class: {{ kind = \"dense\", outputs = {classes} }}"),
        )
        .within(["layers".into(), Step::Index(self.layers.len() - 1)]))
    }
}

/// A shape for people.
fn text([height, width, channels]: Shape) -> String {
    format!("{height}x{width}x{channels}")
}

fn check_name(layer: &Layer) -> Result<(), Problem> {
    let Some(name) = &layer.name else { return Ok(()) };
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    {
        return Err(Problem::new(
            &["name"],
            format!("`{name}` is no name of a layer"),
            "names are lower-case letters, digits and _, a letter first: the layer's arrays in Rust are called after it",
        ));
    }
    if name == IMAGES {
        return Err(Problem::new(&["name"], format!("`{name}` is the network's input"), "give the layer another name"));
    }
    Ok(())
}

/// Checks fields that depend on each other.
fn check_fields(operator: &Operator) -> Result<(), Problem> {
    let problem = |path: &[&str], problem: &str, remedy: &str| Err(Problem::new(path, problem, remedy));
    match operator {
        Operator::Upsample { factor: None, size: None, .. } => problem(
            &[],
            "it does not say how large its output is",
            "factor = 2 doubles height and width, and size = [height, width] names them",
        ),
        Operator::Upsample { factor: Some(_), size: Some(_), .. } => {
            problem(&["size"], "`factor` says how large the output is, too", "leave one of them out")
        }
        Operator::Pad { padding: Padding::Same, .. } => problem(
            &["padding"],
            "\"same\" goes by a filter, and pad has none",
            "padding = 1 is a pixel on each side, and padding = [top, left, bottom, right] names the sides",
        ),
        Operator::Pad { padding, channels: [0, 0] } if padding.is_none() => problem(
            &[],
            "it adds nothing",
            "padding = 1 adds a pixel on each side, and channels = [0, 8] eight channels behind the others",
        ),
        _ => Ok(()),
    }
}

fn inputs(layer: &Layer, before: Value, values: &BTreeMap<String, Value>) -> Result<Vec<Value>, Problem> {
    let mut inputs = Vec::new();
    for (place, name) in layer.from.iter().enumerate() {
        let Some(&value) = values.get(name) else {
            let mut problem = Problem::new(
                &["from"],
                format!("no layer before this one has the name `{name}`"),
                format!("the names are {}", values.keys().cloned().collect::<Vec<_>>().join(", ")),
            );
            problem.path.push(place.into());
            return Err(problem);
        };
        inputs.push(value);
    }
    let joins = matches!(
        layer.operator,
        Operator::Add {} | Operator::Subtract {} | Operator::Multiply {} | Operator::Concatenate {}
    );
    match (joins, inputs.len()) {
        (false, 0) => Ok(vec![before]),
        // The other input is the layer before: what a residual connection usually wants.
        (true, 1) => Ok(vec![before, inputs[0]]),
        (true, 0) => {
            let remedy = "name the other input, from = \"one\", or all of them, from = [\"one\", \"other\"]";
            Err(Problem::new(&[], "it does not say what it joins", remedy))
        }
        (false, 1) | (true, 2) => Ok(inputs),
        (true, _) if matches!(layer.operator, Operator::Concatenate {}) => Ok(inputs),
        (_, count) => Err(Problem::new(
            &["from"],
            format!("{} takes {}, not {count}", layer.operator.name(), if joins { "two inputs" } else { "one input" }),
            "name as many layers as it takes",
        )),
    }
}

/// What a layer that does not fit means in a description, and what would fit.
fn explain(operator: &Operator, error: &ShapeError) -> Problem {
    let ShapeError { index, name, layer, inputs, reason } = error;
    let layer: &nn::Layer = layer;
    let problem = format!(
        "layer {} `{name}` ({}) does not fit its input of {}: {reason}",
        index + 1,
        operator.name(),
        inputs.iter().map(|&shape| text(shape)).collect::<Vec<_>>().join(" and ")
    );
    let input = inputs[0];
    let [height, width, channels] = input;
    let most = |[top, left, bottom, right]: [usize; 4]| {
        format!("at most {}x{} fits", height + top + bottom, width + left + right)
    };
    // The broken rule, by the library's own check of the geometry.
    let (rule, padding, filters) = match layer {
        nn::Layer::Conv2d(conv) | nn::Layer::LocallyConnected2d(conv) => {
            (conv.shape(input).check().err(), conv.padding, conv.filters)
        }
        nn::Layer::DepthwiseConv2d(conv) => (conv.shape(input).check().err(), conv.padding, channels),
        nn::Layer::MaxPool2d(pool) | nn::Layer::AveragePool2d { pool, .. } => {
            (pool.shape(input).check().err(), pool.padding, channels)
        }
        _ => (None, [0; 4], channels),
    };
    let (field, remedy) = match (rule, layer) {
        (Some(bareconv::ShapeError::FilterTooLarge), _) => {
            ("filter", format!("{}; or add padding = \"same\"", most(padding)))
        }
        (Some(bareconv::ShapeError::WindowTooLarge), _) => ("window", most(padding)),
        (Some(bareconv::ShapeError::PaddingTooLarge), _) => {
            ("padding", "padding = \"same\" is never too large".to_owned())
        }
        (Some(bareconv::ShapeError::Groups), _) => {
            let fits = |groups: &usize| channels.is_multiple_of(*groups) && filters.is_multiple_of(*groups);
            let list: Vec<String> = (1..=channels).filter(fits).take(12).map(|groups| groups.to_string()).collect();
            ("groups", format!("for these channels and filters, groups is one of {}", list.join(", ")))
        }
        (_, nn::Layer::Add | nn::Layer::Subtract | nn::Layer::Multiply) => {
            ("from", "a convolution with filter = 1 changes the channels, its stride height and width".to_owned())
        }
        (_, nn::Layer::Concatenate { .. }) => {
            ("from", "pooling, or the stride of a convolution, changes height and width".to_owned())
        }
        (_, nn::Layer::Upsample { .. }) => {
            let field = if matches!(operator, Operator::Upsample { size: Some(_), .. }) { "size" } else { "factor" };
            (field, "the output's height and width are 1 to 65536".to_owned())
        }
        (_, nn::Layer::Pad { .. }) => {
            ("", "a tensor has at most 65536 rows, columns and channels, and 2^30 values".to_owned())
        }
        (_, &nn::Layer::Slice { begin, end, stride }) => {
            // The first axis that has no such part.
            let fits = |axis: &usize| {
                let ([mut first, mut last, mut step], at) = ([[0; 3], [isize::MAX; 3], [1; 3]], *axis);
                (first[at], last[at], step[at]) = (begin[at], end[at], stride[at]);
                SliceShape::new(input, first, last, step).is_ok()
            };
            let axis = (0..3).find(|axis| !fits(axis)).unwrap_or(0);
            let field = ["rows", "columns", "channels"][axis];
            let remedy = format!(
                "{field} = [begin, end] are those from `begin` to before `end`, within 0 to {}; a stride is not 0",
                input[axis]
            );
            (field, remedy)
        }
        (_, nn::Layer::SpatialPyramidPool { .. }) => ("levels", format!("a level is at most {}", height.min(width))),
        (_, nn::Layer::Dropout { .. }) => ("rate", "0.2 to 0.5 are usual".to_owned()),
        (_, nn::Layer::BatchNorm { .. }) => ("", "momentum = 0.1 and epsilon = 0.001 are usual".to_owned()),
        _ if reason.contains("another layer") => ("name", "give each layer a name of its own".to_owned()),
        _ => ("", "choose other numbers; all sizes, strides and counts are at least 1".to_owned()),
    };
    let field = if reason.contains("another layer") { "name" } else { field };
    let path: &[&str] = if field.is_empty() { &[] } else { &[field] };
    Problem::new(path, problem, remedy)
}
