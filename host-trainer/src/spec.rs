#![doc = include_str!("spec/schema.md")]

/// The documentation of all fields, as this module has it: `host-trainer schema` prints it.
pub const SCHEMA: &str = include_str!("spec/schema.md");

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
use crate::graph::Rounding;
use crate::nn::Shape;
use crate::train::InputScaling;
use crate::workflow::files::PICTURES;
use crate::{generate, nn};
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
            SpecError::new(file, text, error.span().unwrap_or(0..0), error.message().to_owned(), String::new())
        };
        let original = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let mut document = original.clone();
        name_variants(document.get_mut()).map_err(|(span, problem, remedy)| {
            SpecError::new(file, text, span, problem.to_owned(), remedy.to_owned())
        })?;
        let mut description = Self::deserialize(toml::Deserializer::from(document)).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let span = unknown_field(original.get_ref(), &span, error.message()).unwrap_or(span);
            let (problem, remedy) = error::explain(error.message(), fields_beside(original.get_ref(), &span));
            SpecError::new(file, text, span, problem, remedy)
        })?;
        if description.name.is_empty() {
            description.name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        if let Some(quantization) = &description.quantization {
            let problem = |problem: Problem| Self::at(text, file, problem.within(["quantization".into()]));
            quantization.check().map_err(problem)?;
        }
        description.check_module().map_err(|problem| Self::at(text, file, problem))?;
        Ok(description)
    }

    /// The module's name is also that of its folder, in the folder of the results.
    fn check_module(&self) -> Result<(), Problem> {
        const NAMED: &str = "name the Rust module: [target] with module = \"my_network\"";
        let module = self.module_name();
        if module.is_empty() && self.target.module.is_none() {
            let problem = format!("the name `{}` has neither letters of a to z nor digits", self.name);
            return Err(Problem::new(&["name"], problem, NAMED));
        }
        let identifier = generate::identifier(&module);
        if module.is_empty() || module != identifier {
            let remedy = match &identifier[..] {
                "" => "letters of a to z, digits and _ are, a letter first".to_owned(),
                _ => format!("`{identifier}` is one"),
            };
            return Err(Problem::new(&["target", "module"], format!("`{module}` is no name of a Rust module"), remedy));
        }
        if module == PICTURES {
            let problem = format!("`{module}` is the folder of the report's pictures");
            let path: &[&str] = if self.target.module.is_some() { &["target", "module"] } else { &["name"] };
            return Err(Problem::new(path, problem, NAMED));
        }
        Ok(())
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

    /// How levels become inputs of the network that is exported, where `scaling` made those of the one that was trained.
    #[must_use]
    pub fn exported_scaling(&self, scaling: &InputScaling) -> InputScaling {
        let rounding = self.quantization.as_ref().map(|quantization| quantization.options.rounding);
        self.network.input.exported_scaling(scaling, rounding == Some(Rounding::PowerOfTwo))
    }

    /// What is exported of a network that was trained with inputs of `scaling`: the network, and its parameters, for inputs by
    /// [`exported_scaling`](Self::exported_scaling).
    #[must_use]
    pub fn exported(
        &self,
        scaling: &InputScaling,
        network: &nn::Network,
        parameters: &[f32],
    ) -> (nn::Network, Vec<f32>) {
        network::rescaled(network, parameters, scaling, &self.exported_scaling(scaling))
    }

    /// The name of the module: that of the target, or the description's as a Rust identifier.
    #[must_use]
    pub fn module_name(&self) -> String {
        self.target.module.clone().unwrap_or_else(|| generate::identifier(&self.name))
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
    let field = error::unknown_field(message)?;
    let inside = |inner: &Range<usize>| span.start <= inner.start && inner.end <= span.end;
    document.iter().find_map(|(name, value)| {
        let table = value.get_ref().as_table()?;
        // The span of a table with a header is that of its header alone.
        let here = value.span() == *span || inside(&value.span()) || name.span() == *span;
        let key = table.iter().find(|(key, _)| here && key.get_ref() == field).map(|(key, _)| key.span());
        key.or_else(|| unknown_field(table, span, message))
    })
}

/// The fields that the table with a key at this place has besides those that serde knows of, as [`name_variants`] took them
/// out.
fn fields_beside(document: &DeTable<'_>, span: &Range<usize>) -> &'static [&'static str] {
    let has = |table: &DeValue<'_>| {
        table.as_table().is_some_and(|table| table.keys().any(|key| key.span().start == span.start))
    };
    for (table, own, _) in PARTS {
        if document.get(table).is_some_and(|table| has(table.get_ref())) {
            return own;
        }
    }
    let layers = document.get("network").and_then(|network| network.get_ref().as_table()?.get("layers"));
    let layers = layers.and_then(|layers| layers.get_ref().as_array());
    let in_layer = layers.is_some_and(|layers| layers.iter().any(|layer| has(layer.get_ref())));
    if in_layer { &["kind", "name", "from"] } else { &[] }
}
