//! Makes a module of a network's file; again, when the file changes.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    host_trainer::import::build("../../host-trainer/tests/models/conv_2d_int8.tflite")?;
    Ok(())
}
