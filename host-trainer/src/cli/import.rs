//! `host-trainer import`.

use super::module::source_name;
use super::{Failure, default_folder, read};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use host_trainer::generate::{self, macs};
use host_trainer::graph::optimize::{self, Pass, optimize};
use host_trainer::output::OutputFolder;
use host_trainer::plan;
use std::fs;
use std::path::PathBuf;

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// The network: a TensorFlow Lite or ONNX file
    model: PathBuf,
    /// Folder for the module [default: the file's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Layers run row by row, one after the other, where that takes less RAM; it takes more time
    #[arg(long)]
    rows: bool,
    /// No convolution or pooling overwrites its input
    #[arg(long)]
    no_overlap: bool,
    /// Leave out passes over the graph; each of them keeps every bit
    #[arg(long, value_name = "PASS", value_delimiter = ',', value_parser = passes())]
    without: Vec<Pass>,
}

/// The names of passes.
fn passes() -> impl TypedValueParser<Value = Pass> {
    PossibleValuesParser::new(Pass::ALL.map(Pass::name)).try_map(|name| name.parse::<Pass>())
}

/// Writes a network as a Rust module.
pub fn run(options: &Options) -> Result<(), Failure> {
    let mut graph = read(&options.model)?;
    let operators = graph.nodes.len();
    let report = optimize(&mut graph, &optimize::Options::without(&options.without))?;
    let out = options.out.clone().unwrap_or_else(|| default_folder(&options.model));
    let plan = plan::Options { overlap: !options.no_overlap, stream: options.rows, ..plan::Options::default() };
    let module = generate::module(&graph, &generate::Options { plan, ..generate::Options::default() })?;
    let source = source_name(&options.model);
    let mut files = module.files();
    // What `verify` and `new-firmware` compare with.
    files.push((&source, fs::read(&options.model)?));
    OutputFolder::open(&out)?.write(&files)?;
    let total: usize = graph.nodes.iter().filter_map(macs).sum();
    println!("{}: {operators} operators, {total} multiply-accumulates", graph.name);
    println!("  passes: {report}; {} layers are left", graph.nodes.len());
    for (name, content) in &files {
        println!("  {} ({} bytes)", out.join(name).display(), content.len());
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    println!("in firmware: `mod {name};`, then `{name}::MODEL.infer(&input, &mut arena)`");
    Ok(())
}
