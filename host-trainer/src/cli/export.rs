//! `host-trainer export`.

use super::Failure;
use super::description::Described;
use host_trainer::graph::Element;
use host_trainer::workflow::{Files, files, integer};
use serde_json::json;
use std::path::PathBuf;

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// The description of a network that was trained: a TOML file
    description: PathBuf,
    /// Folder of the results [default: as `train` has it]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder for the module [default: in that of the results]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Which form of the network [default: what the description says]
    #[arg(long, value_name = "FORM", value_parser = ["f32", "int8", "int16", "int4"])]
    form: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Writes a trained network as a Rust module.
pub fn run(options: &Options) -> Result<(), Failure> {
    let described = Described::read(&options.description)?;
    let description = &described.description;
    let out = described.out(options.out.as_deref());
    let results = Files::new(description, &out);
    described.same_network(&results.description()?, &out)?;
    let wanted = description.quantization.as_ref().map_or("f32", |quantization| integer::form(&quantization.options));
    let form = options.form.as_deref().unwrap_or(wanted);
    let graph = results.read(form)?;
    let folder = options.to.clone().unwrap_or_else(|| results.module());
    files::export(&graph, description, &folder)?;
    let element = graph.value(graph.inputs[0]).element;
    if options.json {
        let name = description.module_name();
        println!("{}", json!({ "module": name, "folder": folder, "form": form, "input": element.rust() }));
        return Ok(());
    }
    println!("{}: {form} network, module in {}", graph.name, folder.display());
    if let Element::Int8(_) = element {
        println!("its input: the levels of the picture less 128, as i8");
    }
    Ok(())
}
