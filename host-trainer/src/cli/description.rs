//! Descriptions of networks on the command line.

use super::Failure;
use host_trainer::spec::Description;
use host_trainer::workflow::Error;
use std::path::{Path, PathBuf};

/// A description and where it is from.
pub struct Described {
    /// What it says.
    pub description: Description,
    /// Its text.
    pub text: String,
    /// Where it is.
    pub file: PathBuf,
}

impl Described {
    /// Reads a description in TOML.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}; name the network's description", file.display()))?;
        let description = Description::from_toml(&text, file)?;
        Ok(Self { description, text, file: file.to_owned() })
    }

    /// The folder that its paths start at.
    pub fn base(&self) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).to_owned()
    }

    /// The folder for results.
    pub fn out(&self, option: Option<&Path>) -> PathBuf {
        let default = || Path::new("out").join(self.description.module_name());
        option.map(Path::to_owned).or_else(|| self.description.target.out.clone()).unwrap_or_else(default)
    }

    /// Checks that the networks in a folder of results, which were trained with another description, are still this one's.
    pub fn same_network(&self, trained: &Description, out: &Path) -> Result<(), Failure> {
        let own = &self.description;
        let part = if own.network != trained.network {
            "[network]"
        } else if own.data != trained.data {
            "[data]"
        } else if own.training.validation_share != trained.training.validation_share {
            "the validation_share of [training]"
        } else {
            return Ok(());
        };
        Err(format!(
            "{}: {part} is not as it was when the network in {} was trained; train again, or name the folder of other \
             results with --out",
            self.file.display(),
            out.display()
        )
        .into())
    }

    /// An error for people: with the line, if it is about the description.
    pub fn explain(&self, error: Error) -> Failure {
        match error {
            Error::Problem(problem) => Description::at(&self.text, &self.file, problem).into(),
            error => error.into(),
        }
    }
}

/// Runs `work` with so many threads, or as many as there are cores.
pub fn in_threads<T: Send>(threads: Option<u16>, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, usize::from)).build();
    let pool = pool.map_err(|error| format!("cannot start threads: {error}; try --threads 1"))?;
    Ok(pool.install(work))
}
