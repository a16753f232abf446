#![doc = include_str!("spec/schema.md")]

mod error;
mod layer;
mod network;
mod target;
#[cfg(test)]
mod tests;
mod training;

pub use error::{Problem, SpecError, Step};
pub use layer::{IMAGES, Layer, Operator, Padding, Pair, Part};
pub use network::{InputScale, Network};
pub use target::{AwareTraining, Method, Quantization, Target};
pub use training::Training;

use crate::data::DataSource;
use crate::nn::Shape;
use crate::{import, nn};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// All of a network: what `network.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The network's name, for people; the file's name without its ending if absent.
    #[serde(default)]
    pub name: String,
    /// Where the images come from. Paths in it are relative to the file of the description.
    pub data: DataSource,
    /// The layers.
    pub network: Network,
    /// How to train.
    pub training: Training,
    /// How to quantize; `f32` only if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Where the results go.
    #[serde(default)]
    pub target: Target,
}

impl Description {
    /// Reads a description in TOML, and checks what can be checked without the images;
    /// [`build`](Self::build) checks the rest. `file` is named in messages.
    ///
    /// # Errors
    /// When it is not TOML, or a field is unknown, missing, of a wrong type or out of its range.
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, SpecError> {
        let syntax = |error: &toml::de::Error| {
            SpecError::new(
                file,
                text,
                error.span().unwrap_or(0..0),
                error.message().to_owned(),
                remedy(error.message()),
            )
        };
        let original = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let mut document = original.clone();
        name_variants(document.get_mut()).map_err(|(span, problem, remedy)| {
            SpecError::new(file, text, span, problem.to_owned(), remedy.to_owned())
        })?;
        let mut description = Self::deserialize(toml::Deserializer::from(document)).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let span = unknown_field(original.get_ref(), &span, error.message()).unwrap_or(span);
            SpecError::new(file, text, span, error.message().replace('\n', " "), remedy(error.message()))
        })?;
        if description.name.is_empty() {
            description.name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        if let Some(quantization) = &description.quantization {
            let problem = |problem: Problem| Self::at(text, file, problem.within(["quantization".into()]));
            quantization.check().map_err(problem)?;
        }
        Ok(description)
    }

    /// A problem of a description that was read from `text`, with its line.
    #[must_use]
    pub fn at(text: &str, file: &Path, problem: Problem) -> SpecError {
        let span = DeTable::parse(text).map_or(0..0, |document| error::locate(&document, &problem.path));
        SpecError::new(file, text, span, problem.problem, problem.remedy)
    }

    /// The description as TOML; [`from_toml`](Self::from_toml) reads it back.
    ///
    /// # Errors
    /// When a path in it is not Unicode.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let mut value = toml::Table::try_from(self)?;
        unname_variants(&mut value);
        toml::to_string(&value)
    }

    /// Checks everything that depends on the images, and puts the layers together for images of a shape (height, width,
    /// channels) and a number of classes.
    ///
    /// # Errors
    /// The first thing that is wrong, and its remedy.
    pub fn build(&self, images: Shape, classes: usize) -> Result<nn::Network, Problem> {
        let network = || {
            let network = self.network.build(images)?;
            self.network.check_classes(&network, classes)?;
            Ok(network)
        };
        let network = network().map_err(|problem: Problem| problem.within(["network".into()]))?;
        self.training.check(images).map_err(|problem| problem.within(["training".into()]))?;
        Ok(network)
    }

    /// The name of the module: that of the target, or made from the description's.
    #[must_use]
    pub fn module_name(&self) -> String {
        self.target.module.clone().unwrap_or_else(|| import::module_name(Path::new(&self.name)))
    }
}

/// Where and why a table cannot be read.
type Unnamed = (Range<usize>, &'static str, &'static str);

/// Brings a document into the form of [`Description`]: what a layer does is an enum there, `{ kind = "relu", name = "a" }`
/// is `{ name = "a", operator = { relu = {} } }` to serde, whose own way to read the former forgets the lines; and the
/// recipe and the options of quantization are tables of their own.
fn name_variants(document: &mut DeTable<'_>) -> Result<(), Unnamed> {
    for (table, own, rest) in PARTS {
        if let Some(table) = document.get_mut(table) {
            let span = table.span();
            if let DeValue::Table(table) = table.get_mut() {
                let mut outer = DeTable::new();
                for &field in own {
                    if let Some((key, value)) = table.remove_entry(field) {
                        outer.insert(key, value);
                    }
                }
                let inner = Spanned::new(span.clone(), DeValue::Table(std::mem::take(table)));
                outer.insert(Spanned::new(span, rest.into()), inner);
                *table = outer;
            }
        }
    }
    let layers = document.get_mut("network").and_then(|network| match network.get_mut() {
        DeValue::Table(network) => network.get_mut("layers"),
        _ => None,
    });
    if let Some(layers) = layers
        && let DeValue::Array(layers) = layers.get_mut()
    {
        for layer in layers.iter_mut() {
            let span = layer.span();
            let DeValue::Table(table) = layer.get_mut() else { continue };
            let mut outer = DeTable::new();
            for field in ["name", "from"] {
                if let Some((key, value)) = table.remove_entry(field) {
                    outer.insert(key, value);
                }
            }
            let mut operator = Spanned::new(span.clone(), DeValue::Table(std::mem::take(table)));
            name_variant(&mut operator)?;
            outer.insert(Spanned::new(span, "operator".into()), operator);
            *table = outer;
        }
    }
    Ok(())
}

/// Tables of a document that are two here: the fields of the outer one, and the name of the inner one, which has all else.
const PARTS: [(&str, &[&str], &str); 2] =
    [("training", training::OWN_FIELDS, "recipe"), ("quantization", target::OWN_FIELDS, "options")];

fn name_variant(value: &mut Spanned<DeValue<'_>>) -> Result<(), Unnamed> {
    let span = value.span();
    let DeValue::Table(table) = value.get_mut() else { return Ok(()) };
    let Some(kind) = table.remove("kind") else {
        return Err((span, "it does not say what it is", "add its `kind`, such as kind = \"relu\""));
    };
    let kind_span = kind.span();
    let DeValue::String(kind) = kind.into_inner() else {
        return Err((kind_span, "`kind` is a name", "write it in quotes"));
    };
    let inner = std::mem::take(table);
    table.insert(Spanned::new(kind_span, kind), Spanned::new(span, DeValue::Table(inner)));
    Ok(())
}

/// The opposite of [`name_variants`].
fn unname_variants(document: &mut toml::Table) {
    for (table, _, rest) in PARTS {
        if let Some(toml::Value::Table(table)) = document.get_mut(table)
            && let Some(toml::Value::Table(inner)) = table.remove(rest)
        {
            table.extend(inner);
        }
    }
    if let Some(toml::Value::Table(network)) = document.get_mut("network")
        && let Some(toml::Value::Array(layers)) = network.get_mut("layers")
    {
        for layer in layers {
            if let toml::Value::Table(layer) = layer
                && let Some(toml::Value::Table(operator)) = layer.remove("operator")
                && let Some((kind, toml::Value::Table(fields))) = operator.into_iter().next()
            {
                layer.insert("kind".to_owned(), kind.into());
                layer.extend(fields);
            }
        }
    }
}

/// The place of a field that nothing knows, where only the place of its table is known.
fn unknown_field(document: &DeTable<'_>, span: &Range<usize>, message: &str) -> Option<Range<usize>> {
    let field = message.strip_prefix("unknown field `")?.split('`').next()?;
    let inside = |inner: &Range<usize>| span.start <= inner.start && inner.end <= span.end;
    document.iter().find_map(|(name, value)| {
        let table = value.get_ref().as_table()?;
        // The span of a table with a header is that of its header alone.
        let here = value.span() == *span || inside(&value.span()) || name.span() == *span;
        let key = table.iter().find(|(key, _)| here && key.get_ref() == field).map(|(key, _)| key.span());
        key.or_else(|| unknown_field(table, span, message))
    })
}

/// What to do about a message of serde's.
fn remedy(message: &str) -> String {
    let remedy = if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        "the documentation of host_trainer::spec has every field"
    } else if message.starts_with("missing field") {
        "add it; the documentation of host_trainer::spec has every field"
    } else {
        ""
    };
    remedy.to_owned()
}
