//! Crates around a generated module: firmware to start from, and a program that shows what the module computes on this
//! computer and on emulated cores.
//!
//! [`skeleton`] writes a crate that a firmware can grow from; [`check`] builds and runs one that reads a file of inputs and
//! writes a file of outputs. Both take the library from the checkout that this program was built in, or else the published
//! version.

pub mod check;
pub mod skeleton;

use bareconv_boards::Board;
use std::path::{Component, Path, PathBuf};

pub use bareconv_boards as boards;

/// The crates that firmware for Arm's Cortex-M takes, and their versions.
const START: &str = "cortex-m-rt = \"0.7.7\"";
const SEMIHOSTING: &str = "0.1.25";

/// Where a crate takes `bareconv` from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Library {
    /// A folder: absolute, or relative to the crate.
    Folder(PathBuf),
    /// The published version that goes with this one.
    Published,
}

impl Library {
    /// For a crate in the folder `home`: the checkout that this program was built in, if there is one.
    #[must_use]
    pub fn for_crate(home: &Path) -> Self {
        match bareconv_boards::checkout() {
            Some(checkout) => Self::Folder(from(home, &checkout)),
            None => Self::Published,
        }
    }

    /// What a manifest says in `[dependencies]`.
    #[must_use]
    pub fn dependency(&self) -> String {
        match self {
            Self::Folder(folder) => format!("bareconv = {{ path = {:?} }}", folder.to_string_lossy()),
            Self::Published => format!("bareconv = \"{}\"", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// The way to `checkout` from `home`: relative if it is inside, so that both may move.
fn from(home: &Path, checkout: &Path) -> PathBuf {
    match home.strip_prefix(checkout) {
        Ok(inside) if inside.components().all(|part| matches!(part, Component::Normal(_))) => {
            inside.components().map(|_| "..").collect()
        }
        _ => checkout.to_path_buf(),
    }
}

/// The boards that firmware can be written for.
#[must_use]
pub fn boards() -> &'static [&'static Board] {
    &bareconv_boards::CORTEX_M
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_inside_the_checkout_names_it_relatively() {
        assert_eq!(from(Path::new("/a/b/c/d"), Path::new("/a/b")), Path::new("../.."));
        assert_eq!(from(Path::new("/a/x/c"), Path::new("/a/b")), Path::new("/a/b"));
        let inside = Library::Folder(PathBuf::from("../.."));
        assert_eq!(inside.dependency(), "bareconv = { path = \"../..\" }");
        assert!(Library::Published.dependency().starts_with("bareconv = \"0."));
    }
}
