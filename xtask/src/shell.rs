//! Where things are, and what runs on this computer.

use anyhow::{Context, Result};
pub use bareconv_boards::shell::{Progress, output, run, run_bounded, without_outer_cargo, write_whole};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The folder that cargo builds the workspace in.
pub fn target_dir() -> Result<PathBuf> {
    // This program is TARGET/PROFILE/xtask.
    let exe = env::current_exe().context("cannot tell where this program is")?;
    exe.ancestors().nth(2).map(Path::to_path_buf).context("this program is not in a build folder of cargo")
}

/// The cargo that started this program, to build what runs on this computer.
pub fn host_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// A command for a program built for this computer.
pub fn host_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command
}
