//! Running other programs, and telling the user what takes time.

use anyhow::{Context, Result, bail};
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Variables that an outer cargo or rustup sets for the programs it starts, and that would make an inner cargo of
/// another toolchain use the wrong compiler.
const OUTER_CARGO: [&str; 16] = [
    "CARGO",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// Removes what an outer cargo set; the toolchain is then chosen anew.
pub fn without_outer_cargo(command: &mut Command) -> &mut Command {
    OUTER_CARGO.iter().fold(command, |command, name| command.env_remove(name))
}

/// Whether `program` is found in `PATH`.
pub fn in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The command as a user would type it.
pub fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command that shares the terminal, and fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = display(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command quietly and returns what it printed; what it said is in the error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = display(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        bail!("`{shown}` failed ({}):\n{}", output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for `child` at most `limit`; ends it and returns `None` when that has passed. Calls `tick` meanwhile.
pub fn wait(child: &mut Child, limit: Duration, mut tick: impl FnMut()) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        tick();
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command quietly for at most `limit`, showing `what` it does and for how long.
pub fn run_bounded(what: &str, command: &mut Command, limit: Duration) -> Result<(), String> {
    let progress = Progress::new(what);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start `{}`: {e}", display(command)))?;
    // Read aside, so that a child that says much does not block.
    let mut stderr = child.stderr.take();
    let said = thread::spawn(move || {
        let mut said = String::new();
        if let Some(stderr) = &mut stderr {
            let _ = stderr.read_to_string(&mut said);
        }
        said
    });
    let status = wait(&mut child, limit, || progress.show("")).map_err(|e| e.to_string())?;
    match status {
        None => {
            progress.finish("no answer");
            Err(format!("it did not finish within {} s", limit.as_secs()))
        }
        Some(status) if status.success() => {
            progress.finish("done");
            Ok(())
        }
        Some(_) => {
            progress.finish("failed");
            let said = said.join().unwrap_or_default();
            Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed").trim().to_owned())
        }
    }
}

/// One line that says what is being done and for how long; it is rewritten in place on a terminal.
pub struct Progress {
    what: String,
    start: Instant,
    terminal: bool,
}

impl Progress {
    /// Announces `what`.
    pub fn new(what: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        if !terminal {
            eprintln!("{what} ...");
        }
        Self { what: what.to_owned(), start: Instant::now(), terminal }
    }

    /// Rewrites the line, where there is a terminal.
    pub fn show(&self, detail: &str) {
        if self.terminal {
            eprint!("\r\x1b[K{} ... {:.0} s {detail}", self.what, self.start.elapsed().as_secs_f64());
            let _ = std::io::stderr().flush();
        }
    }

    /// Says how it ended.
    pub fn finish(self, how: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{}: {how} ({:.1} s)", self.what, self.start.elapsed().as_secs_f64());
    }
}

/// Writes a file aside and renames it, so that `path` is always whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    fs::write(&aside, bytes)
        .and_then(|()| fs::rename(&aside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended() {
        let start = Instant::now();
        let error = run_bounded("sleeping", Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(error.contains("did not finish"), "{error}");
    }

    #[test]
    fn a_failed_command_says_its_last_line() {
        let script = "echo first >&2; echo 'no such thing' >&2; echo >&2; exit 3";
        let limit = Duration::from_secs(60);
        let error = run_bounded("failing", Command::new("sh").args(["-c", script]), limit).unwrap_err();
        assert_eq!(error, "no such thing");
        assert_eq!(run_bounded("succeeding", &mut Command::new("true"), limit), Ok(()));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = env::temp_dir().join(format!("xtask-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left aside");
        fs::remove_dir_all(&folder).unwrap();
        assert!(write_whole(&path, b"three").unwrap_err().to_string().contains("cannot write"));
    }
}
