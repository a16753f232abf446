//! The files of a run.

use super::{Earlier, Error, Prepared, evaluate, integer};
use crate::generate::{self, Module};
use crate::graph::optimize::{self, optimize};
use crate::graph::{FILE_ENDING, Graph};
use crate::output::{OutputError, OutputFolder};
use crate::plan;
use crate::quantize::Quantized;
use crate::report::{self, RunRecord};
use crate::run::Interpreter;
use crate::spec::Description;
use std::path::{Path, PathBuf};

/// The numbers of a run, for machines.
pub const RESULTS: &str = "results.json";
/// The report, for people.
pub const REPORT: &str = "report.html";
/// The description.
pub const DESCRIPTION: &str = "description.toml";
/// Test images as the last form's inputs, one after another, for other machines to repeat the test.
pub const INPUTS: &str = "test-inputs.bin";
/// Its outputs for [`INPUTS`].
pub const OUTPUTS: &str = "test-outputs.bin";
/// Folder of the report's pictures, each as a file.
pub const PICTURES: &str = "pictures";

/// The network in its module's folder.
pub const SOURCE: &str = "source.graph";

/// What the seeds of quantization-aware training begin with: above all that a description may have.
const AWARE: u64 = 1 << 32;

/// Test images in [`INPUTS`], at most.
const INPUT_COUNT: usize = 1000;

/// Where the files of a description are.
#[derive(Clone, Debug)]
pub struct Files {
    out: PathBuf,
    module: String,
}

impl Files {
    /// In this folder.
    #[must_use]
    pub fn new(description: &Description, out: &Path) -> Self {
        Self { out: out.to_owned(), module: description.module_name() }
    }

    /// The name of the checkpoint of a seed: of training in `f32`, or of quantization-aware training after it.
    #[must_use]
    pub fn checkpoint(seed: u64, quantization_aware: bool) -> String {
        let phase = if quantization_aware { "-aware" } else { "" };
        format!("checkpoint-seed{seed}{phase}.safetensors")
    }

    /// Looks after the checkpoints that an earlier run left: afterwards there are none but those to go on from.
    pub(super) fn clear_checkpoints(&self, seeds: &[u64], earlier: Earlier) -> Result<(), Error> {
        let all = seeds.iter().flat_map(|&seed| [false, true].map(|aware| Self::checkpoint(seed, aware)));
        let there: Vec<PathBuf> = all.map(|name| self.out.join(name)).filter(|path| path.exists()).collect();
        // A run that came to its end wrote its results after its checkpoints.
        let written = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let results = written(&self.out.join(RESULTS));
        match (earlier, there.iter().find(|path| written(path) > results)) {
            (Earlier::Resume, _) if there.is_empty() => return Err(Error::NoCheckpoint(self.out.clone())),
            (Earlier::Resume, _) => return Ok(()),
            (Earlier::Protect, Some(path)) => return Err(Error::Stopped(path.clone())),
            _ => {}
        }
        for path in there {
            std::fs::remove_file(&path).map_err(|source| OutputError { path, source })?;
        }
        Ok(())
    }

    /// The seed of a training's random numbers: quantization-aware training has other shuffles and changes of images than
    /// the training in `f32` before it.
    pub(super) fn stream(seed: u64, quantization_aware: bool) -> u64 {
        if quantization_aware { seed.wrapping_add(AWARE) } else { seed }
    }

    /// The description's seed of a training whose random numbers have the seed `stream`, and whether it is
    /// quantization-aware.
    #[must_use]
    pub fn seed(stream: u64) -> (u64, bool) {
        stream.checked_sub(AWARE).map_or((stream, false), |seed| (seed, true))
    }

    /// The graph of a form (`f32`, `int8`) of the network.
    #[must_use]
    pub fn graph(&self, form: &str) -> PathBuf {
        self.out.join(self.graph_name(form))
    }

    fn graph_name(&self, form: &str) -> String {
        format!("{}-{form}{FILE_ENDING}", self.module)
    }

    /// The folder of the module.
    #[must_use]
    pub fn module(&self) -> PathBuf {
        self.out.join(&self.module)
    }

    /// Reads a graph that a run wrote.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn read(&self, form: &str) -> Result<Graph, Error> {
        let file = self.graph(form);
        let bytes = std::fs::read(&file).map_err(|source| Error::Missing { file: file.clone(), source })?;
        Graph::from_file(&bytes).map_err(|source| Error::File { file, source })
    }

    /// Reads the description that the networks in the folder were trained with.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn description(&self) -> Result<Description, Error> {
        let file = self.out.join(DESCRIPTION);
        let text = std::fs::read_to_string(&file).map_err(|source| Error::Missing { file: file.clone(), source })?;
        Ok(Description::from_toml(&text, &file)?)
    }

    /// Writes everything. Returns the names of the files.
    pub(super) fn write(
        &self,
        folder: &OutputFolder,
        description: &Description,
        text: &str,
        float: &Graph,
        quantized: Option<&Quantized>,
        record: &RunRecord,
        data: &Prepared,
    ) -> Result<Vec<String>, Error> {
        let float_file = float.to_file()?;
        let last = quantized.map_or(float, |quantized| &quantized.graph);
        let mut files: Vec<(String, Vec<u8>)> = vec![
            (DESCRIPTION.to_owned(), text.as_bytes().to_vec()),
            (self.graph_name("f32"), float_file.clone()),
            (RESULTS.to_owned(), serde_json::to_vec_pretty(record)?),
            (REPORT.to_owned(), report::html(record).into_bytes()),
        ];
        let settings = description.quantization.clone().unwrap_or_default();
        let form = quantized.map(|_| integer::form(&settings.options));
        if let (Some(form), Some(quantized)) = (form, quantized) {
            files.push((self.graph_name(form), quantized.graph.to_file()?));
        }
        let first: Vec<usize> = (0..data.set.test.len().min(INPUT_COUNT)).collect();
        let images = data.set.test.select(&first);
        let inputs =
            (0..images.len()).map(|index| evaluate::input(last, &data.exported, images.image(index)).to_bytes());
        files.push((INPUTS.to_owned(), inputs.flatten().collect()));
        let outputs = evaluate::outputs(&Interpreter::new(last)?, last, &images, &data.exported)?;
        files.push((OUTPUTS.to_owned(), outputs.iter().flat_map(crate::graph::Numbers::to_bytes).collect()));

        let pictures = report::pictures(record).into_iter();
        files.extend(pictures.map(|(name, text)| (format!("{PICTURES}/{name}"), text.into_bytes())));
        let (_, module) = module_files(last, description)?;
        files.extend(module.into_iter().map(|(name, content)| (format!("{}/{name}", self.module), content)));
        let same = std::fs::read(self.graph("f32")).is_ok_and(|before| before == float_file);
        // All or nothing.
        folder.write(&files)?;
        // Other integers are of the network before, if that was another one.
        for other in integer::FORMS.into_iter().filter(|&other| Some(other) != form && !same) {
            let path = self.graph(other);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(OutputError { path, source }.into());
                }
                _ => {}
            }
        }
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }
}

/// Writes a graph as a Rust module into a folder.
///
/// # Errors
/// When an operator has no layer, or a file cannot be written.
pub fn export(graph: &Graph, description: &Description, folder: &Path) -> Result<Module, Error> {
    let (module, files) = module_files(graph, description)?;
    OutputFolder::open(folder)?.write(&files)?;
    Ok(module)
}

/// Files by their names.
type Named = Vec<(&'static str, Vec<u8>)>;

/// A graph as a Rust module, and the files of its folder.
fn module_files(graph: &Graph, description: &Description) -> Result<(Module, Named), Error> {
    let plan = plan::Options { stream: description.target.rows, ..plan::Options::default() };
    let mut optimized = graph.clone();
    optimize(&mut optimized, &optimize::Options::default())?;
    let module = generate::module(&optimized, &generate::Options { plan, ..generate::Options::default() })?;
    let mut files = module.files();
    // By it the module can be verified.
    files.push((SOURCE, graph.to_file()?));
    Ok((module, files))
}
