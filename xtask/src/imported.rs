//! What users of imported networks do, with the small networks among the tests of `host-trainer`.

use crate::{lenet, shell};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Networks of every type of activations, of operators with and without weights.
const NETWORKS: [&str; 5] =
    ["conv_2d_int8", "depthwise_conv_2d_int8", "fully_connected_int16", "conv_2d_float32", "softmax_int8"];

fn models() -> PathBuf {
    shell::workspace().join("host-trainer/tests/models")
}

fn trainer(arguments: &[&str]) -> Result<Command> {
    let mut command = shell::host_command(&lenet::build_trainer()?);
    command.args(arguments).current_dir(shell::target_dir()?.join("xtask-test"));
    Ok(command)
}

/// Imports networks and compares their modules with TensorFlow Lite Micro, compiled for this computer and for the Cortex-M4.
pub fn verify() -> Result<()> {
    fs::create_dir_all(shell::target_dir()?.join("xtask-test"))?;
    for name in NETWORKS {
        let file = |suffix: &str| models().join(format!("{name}.{suffix}"));
        shell::output(trainer(&["import"])?.arg(file("tflite")).arg("--out").arg(name))?;
        let mut verify = trainer(&["verify", name, "--json", "--cores", "m4", "--target-dir", "verify"])?;
        verify.arg("--inputs").arg(file("in")).arg("--expected").arg(file("out"));
        let results: serde_json::Value = serde_json::from_str(&shell::output(&mut verify)?)?;
        let results = results.as_array().context("no list of results")?;
        let places: Vec<_> = results.iter().filter_map(|result| result["where"].as_str()).collect();
        let ran = |part: &str| places.iter().any(|place| place.starts_with(part));
        ensure!(ran("module on this computer") && ran("module on Cortex-M4"), "{name} ran only on {places:?}");
        // `verify` fails where a byte differs; what it compares must be something.
        ensure!(results.iter().all(|result| result["output_bytes"].as_u64() > Some(0)), "{name}: nothing is compared");
    }
    refuse_other_outputs()
}

/// Outputs that are not the network's are found.
fn refuse_other_outputs() -> Result<()> {
    let name = NETWORKS[0];
    let folder = shell::target_dir()?.join("xtask-test");
    let mut outputs = fs::read(models().join(format!("{name}.out")))?;
    let last = outputs.last_mut().context("a network without outputs")?;
    *last ^= 1;
    fs::write(folder.join("wrong.out"), outputs)?;
    let mut verify =
        trainer(&["verify", name, "--cores", "none", "--target-dir", "verify", "--expected", "wrong.out"])?;
    let output = verify.arg("--inputs").arg(models().join(format!("{name}.in"))).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("differ from wrong.out"), "it did not find a wrong byte: {said}");
    Ok(())
}

/// The example whose build script imports a network.
pub fn build_script() -> Result<()> {
    let mut cargo = shell::host_cargo();
    cargo.args(["run", "--quiet", "--target-dir"]).arg(shell::target_dir()?.join("imported"));
    cargo.arg("--manifest-path").arg(shell::workspace().join("examples/imported/Cargo.toml"));
    let said = shell::output(&mut cargo)?;
    ensure!(said.contains("those of TensorFlow Lite Micro"), "the example said: {said}");
    Ok(())
}

/// Writes a new firmware for each board, and runs it.
pub fn new_firmware() -> Result<()> {
    let model = models().join(format!("{}.tflite", NETWORKS[0]));
    let build = shell::target_dir()?.join("xtask-test").join("new-firmware.build");
    for board in ["microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547"] {
        let folder = shell::target_dir()?.join("xtask-test").join("new-firmware").join(board);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let mut command = trainer(&["new-firmware", "--board", board, "--run", "--out"])?;
        // Beside the crates, which are written anew each time: what is built of others is kept.
        command.arg(&folder).arg(&model).env("CARGO_TARGET_DIR", &build);
        let said = shell::output(&mut command)?;
        ensure!(said.lines().any(|line| line == "the PC's outputs"), "{board} did not say that it is right:\n{said}");
    }
    Ok(())
}
