//! What can be wrong with a description: each message names the line, the problem and the remedy.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One step on the way from the whole description to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of a table.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A rule that a description breaks, wherever the description comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The way to the value: `network`, `layers`, 3, `filter`.
    pub path: Vec<Step>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(path: &[&str], problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let path = path.iter().map(|&key| key.into()).collect();
        Self { path, problem: problem.into(), remedy: remedy.into() }
    }

    /// The same problem of a value that lies within `outer`.
    pub(super) fn within(mut self, outer: impl IntoIterator<Item = Step>) -> Self {
        self.path = outer.into_iter().chain(self.path).collect();
        self
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, step) in self.path.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        let colon = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// A message of serde's in the words of the schema, and what to do about it. `beside` are the fields that the table of an
/// unknown field has besides those that serde knows of.
pub(super) fn explain(message: &str, beside: &[&str]) -> (String, String) {
    const SCHEMA: &str = "`host-trainer schema` prints every field";
    let listed = |fields: &mut dyn Iterator<Item = &str>| {
        fields.filter(|field| !field.is_empty()).map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
    };
    let mut problem = message.replace('\n', " ");
    if let Some((field, known)) = unexpected_key(message) {
        let known = listed(&mut known.split(", "));
        problem = format!("unknown field `{field}`, expected one of {known}").trim_end().to_owned();
    }
    if problem.starts_with("unknown field `") && !beside.is_empty() {
        let comma = if problem.ends_with('`') { ", " } else { " " };
        problem = format!("{problem}{comma}{}", listed(&mut beside.iter().copied()));
    }
    // Rust's types mean nothing to who writes TOML; those that have names end with theirs.
    for (rust, words, named) in [
        (" as i128", "", false),
        ("expected usize", "expected a whole number", false),
        ("expected isize", "expected a whole number", false),
        ("expected u16", "expected a whole number", false),
        ("expected u32", "expected a whole number", false),
        ("expected u64", "expected a whole number", false),
        ("expected f32", "expected a number", false),
        ("expected f64", "expected a number", false),
        ("expected struct ", "expected a table", true),
        ("expected internally tagged enum ", "expected a table", true),
        ("expected newtype variant", "expected a table with its number", false),
    ] {
        if let Some((before, after)) = problem.split_once(rust) {
            let after = if named { after.trim_start_matches(char::is_alphanumeric) } else { after };
            problem = format!("{before}{words}{after}");
        }
    }
    let remedy = if message.starts_with("missing field") { format!("add it; {SCHEMA}") } else { SCHEMA.to_owned() };
    (problem, remedy)
}

/// The first unknown field of a message as it is for layers, and the known ones.
fn unexpected_key(message: &str) -> Option<(&str, &str)> {
    let (fields, known) = message.strip_prefix("unexpected keys in table: ")?.split_once(", available keys: ")?;
    Some((fields.split(", ").next()?, known))
}

/// The unknown field that a message is about.
pub(super) fn unknown_field(message: &str) -> Option<&str> {
    let plain = || message.strip_prefix("unknown field `")?.split('`').next();
    unexpected_key(message).map(|(field, _)| field).or_else(plain)
}

/// A description in TOML that cannot be used. Its text shows the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The file, for people.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do about it; empty if the problem says it.
    pub remedy: String,
    /// The line's text.
    text: String,
    /// How many characters are meant.
    length: usize,
}

impl SpecError {
    pub(super) fn new(file: &Path, text: &str, span: Range<usize>, problem: String, remedy: String) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
        let first = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let last = text[first..].find('\n').map_or(text.len(), |newline| first + newline);
        Self {
            file: file.to_owned(),
            line: text[..first].matches('\n').count() + 1,
            column: text[first..start].chars().count() + 1,
            problem,
            remedy,
            text: text[first..last].trim_end().to_owned(),
            length: text[start..end.min(last).max(start)].trim_end().chars().count().max(1),
        }
    }
}

impl Display for SpecError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, problem, remedy, text, length } = self;
        writeln!(f, "{}:{line}:{column}: {problem}", file.display())?;
        // Long lines are cut around what is meant.
        let skip = if *column > 80 { column - 40 } else { 0 };
        let shown: String = text.chars().skip(skip).take(100).collect();
        let marks = "^".repeat((*length).min(shown.chars().count().saturating_sub(column - 1 - skip)).max(1));
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "{margin} |")?;
        writeln!(f, "{line} | {shown}")?;
        write!(f, "{margin} | {}{marks}", " ".repeat(column - 1 - skip))?;
        if !remedy.is_empty() {
            f.write_char('\n')?;
            write!(f, "{margin} = {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

/// Where a value is in a text; where it is not there itself, the table that would hold it. A field may also be deeper in
/// its table than the path says.
pub(super) fn locate(document: &Spanned<DeTable<'_>>, path: &[Step]) -> Range<usize> {
    let mut span = 0..0;
    let mut table = Some(document.get_ref());
    let mut array: Option<&DeArray<'_>> = None;
    for step in path {
        let next = match step {
            Step::Key(key) => table.and_then(|table| find(table, key)),
            Step::Index(index) => array.and_then(|array| array.get(*index)).map(|value| (value.span(), value)),
        };
        let Some((name, value)) = next else { break };
        (table, array) = (value.get_ref().as_table(), value.get_ref().as_array());
        // A table or list is meant by its name.
        span = if table.is_some() || array.is_some() { name } else { value.span() };
    }
    span
}

/// A field of a table, or else of a table in it.
fn find<'a, 'd>(table: &'a DeTable<'d>, key: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'d>>)> {
    let here = table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, value)| (name.span(), value));
    here.or_else(|| table.values().filter_map(|value| value.get_ref().as_table()).find_map(|table| find(table, key)))
}
