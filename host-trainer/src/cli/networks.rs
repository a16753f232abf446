//! Networks and the images for them on the command line: those of a description that was trained, or a file's with a
//! folder of images.

use super::description::Described;
use super::{Failure, read};
use clap::ValueEnum;
use host_trainer::data::{DataSet, DataSource, Images};
use host_trainer::graph::{Element, Graph};
use host_trainer::quantize;
use host_trainer::spec::Quantization;
use host_trainer::train::InputScaling;
use host_trainer::workflow::{Files, Prepared, integer};
use std::path::{Path, PathBuf};

/// Which network, and which images.
#[derive(clap::Args)]
pub struct Source {
    /// The description of a network that was trained (.toml), or a network's file
    network: PathBuf,
    /// Folder of the results, for a description [default: as `train` has it]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of images, for a network's file: IDX, CIFAR records, NumPy arrays, or a folder of pictures for each class
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What a level `p` of a pixel is to the network, for a network's file [default: unit; of int8, what makes its input p - 128]
    #[arg(long, value_enum)]
    levels: Option<Levels>,
}

/// What levels of 0 to 255 are to a network.
#[derive(Clone, Copy, ValueEnum)]
enum Levels {
    /// p / 255
    Unit,
    /// p / 127.5 - 1
    Signed,
    /// p
    Raw,
}

impl Levels {
    fn scaling(self) -> InputScaling {
        let (offset, factor) = match self {
            Self::Unit => (0.0, quantize::PIXEL.scale),
            Self::Signed => (127.5, 1.0 / 127.5),
            Self::Raw => (0.0, 1.0),
        };
        InputScaling { offset: vec![offset], factor: vec![factor] }
    }
}

/// Networks, each with the name of its form, and their images.
pub struct Networks {
    /// `f32` first.
    pub graphs: Vec<(String, Graph)>,
    /// The images.
    pub set: DataSet,
    /// What is trained with, or calibrated.
    pub training: Images,
    /// How levels become inputs.
    pub scaling: InputScaling,
    /// The description, if there is one, and the folder of its results.
    pub described: Option<(Described, PathBuf)>,
}

impl Source {
    /// Reads the networks and the images.
    pub fn open(&self) -> Result<Networks, Failure> {
        if self.network.extension().is_some_and(|extension| extension == "toml") {
            if self.data.is_some() || self.levels.is_some() {
                return Err("--data and --levels are for a network's file; a description says it itself".into());
            }
            let described = Described::read(&self.network)?;
            let out = described.out(self.out.as_deref());
            let files = Files::new(&described.description, &out);
            // What it was trained with says what levels are to it.
            let trained = files.description()?;
            described.same_network(&trained, &out)?;
            let data = Prepared::load(&trained, &described.base()).map_err(|error| described.explain(error))?;
            let mut graphs = vec![("f32".to_owned(), files.read("f32")?)];
            for form in integer::FORMS {
                if files.graph(form).exists() {
                    graphs.push((form.to_owned(), files.read(form)?));
                }
            }
            let Prepared { set, train, exported, .. } = data;
            return Ok(Networks { graphs, set, training: train, scaling: exported, described: Some((described, out)) });
        }
        if self.out.is_some() {
            return Err("--out is for a description".into());
        }
        let graph = read(&self.network)?;
        let Some(folder) = &self.data else {
            return Err("name the folder of the images: --data DIR".into());
        };
        let set = DataSource::detect(folder)?.load(Path::new(""))?;
        let (name, usual) = match graph.value(graph.inputs[0]).element {
            Element::F32 => ("f32", Levels::Unit.scaling()),
            Element::Int8(quantization) => {
                let offset = f32::from(quantization.zero_point) + 128.0;
                ("int8", InputScaling { offset: vec![offset], factor: vec![quantization.scale] })
            }
            Element::Int16(_) => ("int16", Levels::Unit.scaling()),
        };
        let (name, scaling) = (name.to_owned(), self.levels.map_or(usual, Levels::scaling));
        let training = set.train.clone();
        Ok(Networks { graphs: vec![(name, graph)], set, training, scaling, described: None })
    }
}

impl Networks {
    /// How the description wants it quantized.
    pub fn quantization(&self) -> Quantization {
        self.described
            .as_ref()
            .and_then(|(described, _)| described.description.quantization.clone())
            .unwrap_or_default()
    }
}
