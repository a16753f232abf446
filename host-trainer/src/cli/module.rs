//! A generated module and the network that it was made from.

use super::description::Described;
use super::{Failure, read};
use host_trainer::generate::{self, Module};
use host_trainer::graph::Graph;
use host_trainer::graph::optimize::{self, optimize};
use host_trainer::workflow::Files;
use host_trainer::{import, plan};
use std::fs;
use std::path::{Path, PathBuf};

/// What the network's file is called in a module's folder, but for its ending.
const SOURCE: &str = "source";

/// The name of a copy of a network's file in a module's folder.
pub fn source_name(model: &Path) -> String {
    let extension = model.extension().unwrap_or_default().to_string_lossy();
    format!("{SOURCE}.{extension}")
}

/// A module, its text and its network.
pub struct Imported {
    /// The module's name.
    pub name: String,
    /// The network as its file has it.
    pub graph: Graph,
    /// What is known of the module besides its text.
    pub module: Module,
    /// Its files, as they are in the folder.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Imported {
    /// From a module's folder, from the description of a network that was trained, whose module is meant, or from a network's
    /// file, which is imported for the purpose.
    pub fn open(path: &Path, plan: plan::Options) -> Result<Self, Failure> {
        let path = &folder_of(path)?;
        let options = generate::Options { plan, ..generate::Options::default() };
        let name = import::module_name(path);
        if path.is_file() {
            let graph = read(path)?;
            let module = generate::module(&optimized(&graph)?, &options)?;
            let files = module.files().into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
            return Ok(Self { name, graph, module, files });
        }
        if !path.is_dir() {
            return Err(format!(
                "there is no {}: name a network's file, or a module's folder that `host-trainer import` or `train` wrote",
                path.display()
            )
            .into());
        }
        let source = source_in(path)?;
        let mut graph = read(&source)?;
        // The copy's own name says nothing.
        graph.name.clone_from(&name);
        let module = generate::module(&optimized(&graph)?, &options)?;
        let mut files = Vec::new();
        for (file, _) in module.files() {
            let path = path.join(file);
            let text = fs::read(&path).map_err(|error| {
                format!("cannot read {}: {error}; import the network again: host-trainer import", path.display())
            })?;
            files.push((file.to_owned(), text));
        }
        Ok(Self { name, graph, module, files })
    }
}

/// The network that modules are made from: all passes keep every bit.
fn optimized(graph: &Graph) -> Result<Graph, Failure> {
    let mut graph = graph.clone();
    optimize(&mut graph, &optimize::Options::default())?;
    Ok(graph)
}

/// The module's folder, if this is the description of a network that was trained.
pub fn folder_of(path: &Path) -> Result<PathBuf, Failure> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Ok(path.to_owned());
    }
    let described = Described::read(path)?;
    let out = described.out(None);
    let results = Files::new(&described.description, &out);
    described.same_network(&results.description()?, &out)?;
    Ok(results.module())
}

/// The network's file in a module's folder.
fn source_in(folder: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let is_source = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == SOURCE);
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_source).ok_or_else(|| {
        format!(
            "{} holds no copy of the network ({SOURCE}.graph or .tflite): name a module's folder that `host-trainer import` \
             or `train` wrote, or the network's file",
            folder.display()
        )
        .into()
    })
}
