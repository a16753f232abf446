//! Trains a network on noise for some seconds and prints, as JSON, images per second and the peak of the process's memory.
//! `train_speed.py` does the same in PyTorch.
//!
//! ```text
//! train_speed lenet|resnet8|alexnet BATCH SECONDS
//! ```

use host_trainer::lenet;
use host_trainer::nn::{
    Conv2d, Engine, Initialization, Layer, Mode, Network, NetworkBuilder, Pool2d, ShapeError, Value,
};
use host_trainer::random::Random;
use host_trainer::train::softmax_cross_entropy;
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// MLPerf Tiny's ResNet-8 for CIFAR-10.
fn resnet8() -> Result<Network, ShapeError> {
    let mut net = NetworkBuilder::new([32, 32, 3]);
    let conv = |net: &mut NetworkBuilder, x: Value, filters: usize, size: usize, stride: usize| {
        // As TensorFlow's padding "same" on inputs of even size.
        let padding = if size == 1 || stride == 2 { [0, 0, size / 2, size / 2] } else { [1; 4] };
        let conv = Conv2d { stride: [stride; 2], padding, ..Conv2d::new(filters, [size, size]) }.without_bias();
        let x = net.add(conv, &[x])?;
        net.add(Layer::batch_norm(), &[x])
    };
    let x = net.input();
    let x = conv(&mut net, x, 16, 3, 1)?;
    let mut x = net.add(Layer::Relu, &[x])?;
    for (filters, stride) in [(16, 1), (32, 2), (64, 2)] {
        let y = conv(&mut net, x, filters, 3, stride)?;
        let y = net.add(Layer::Relu, &[y])?;
        let y = conv(&mut net, y, filters, 3, 1)?;
        if stride != 1 {
            x = net.add(Conv2d::new(filters, [1, 1]).stride(stride), &[x])?;
        }
        let sum = net.add(Layer::Add, &[y, x])?;
        x = net.add(Layer::Relu, &[sum])?;
    }
    let x = net.add(Layer::GlobalAveragePool, &[x])?;
    let x = net.add(Layer::dense(10), &[x])?;
    net.finish(x)
}

/// AlexNet in one column (A. Krizhevsky, *One weird trick for parallelizing convolutional neural networks*, 2014), as
/// `torchvision` has it: no local response normalization.
fn alexnet() -> Result<Network, ShapeError> {
    let conv = |filters, size, stride, padding| {
        [Conv2d::new(filters, [size, size]).stride(stride).padding(padding).into(), Layer::Relu]
    };
    let pool = || [Layer::MaxPool2d(Pool2d::new([3, 3]).stride(2))];
    let dense = |outputs| [Layer::Dropout { rate: 0.5 }, Layer::dense(outputs), Layer::Relu];
    let layers = [
        &conv(64, 11, 4, 2)[..],
        &pool(),
        &conv(192, 5, 1, 2),
        &pool(),
        &conv(384, 3, 1, 1),
        &conv(256, 3, 1, 1),
        &conv(256, 3, 1, 1),
        &pool(),
        &dense(4096),
        &dense(4096),
        &[Layer::dense(1000)],
    ];
    Network::new([224, 224, 3], &layers.concat())
}

/// The peak of this process's memory, as the kernel counts it.
fn peak_bytes() -> Result<usize, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse().ok());
    kilobytes.map(|kilobytes: usize| 1024 * kilobytes).ok_or("no VmHWM in /proc/self/status".to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, batch, seconds] = &arguments[..] else {
        return Err("usage: train_speed lenet|resnet8|alexnet BATCH SECONDS".into());
    };
    let network = match &name[..] {
        "lenet" => Network::new(lenet::INPUT, &lenet::LAYERS)?,
        "resnet8" => resnet8()?,
        "alexnet" => alexnet()?,
        _ => return Err(format!("no network `{name}`: lenet, resnet8 or alexnet").into()),
    };
    let (batch, seconds) = (batch.parse::<usize>()?, seconds.parse::<f64>()?);
    let mut parameters = network.initialize(Initialization::He, 1);
    let mut velocity = vec![0.0f32; parameters.len()];
    let mut state = network.initial_state();
    let mut engine = Engine::<f32>::new(&network, batch, Mode::Training);
    let classes = network.outputs();
    let mut error = vec![0.0f32; batch * classes];
    let size: usize = network.input_shape().iter().product();
    let mut random = Random::new(2, 0);
    // Images are made and not read from memory, of which large ones would take much: a few hundred, over and over.
    let pixels: Vec<f32> = (0..size + 997).map(|_| random.between(-1.0, 1.0)).collect();
    let mut step = |seed: u64| {
        engine.load_with(batch, |image, values| values.copy_from_slice(&pixels[image * 15 % 997..][..size]));
        engine.forward_training(&parameters, &mut state, seed);
        let rows = engine.output().chunks(classes).zip(error.chunks_mut(classes));
        for (image, (output, error)) in rows.enumerate() {
            let mut target = vec![0.0; classes];
            target[image % classes] = 1.0;
            let logits = |class: usize| f64::from(output[class]);
            softmax_cross_entropy(logits, &target, 0.0, 1.0 / batch as f64, |class, value| error[class] = value as f32);
        }
        engine.backward(&error, &mut parameters, &mut |range, gradient, parameters| {
            let parts = parameters.par_chunks_mut(8192).zip(velocity[range].par_chunks_mut(8192));
            parts.zip(gradient.par_chunks(8192)).for_each(|((parameters, velocity), gradient)| {
                for ((p, v), g) in parameters.iter_mut().zip(velocity).zip(gradient) {
                    *v = 0.9 * *v + g;
                    *p -= 1e-4 * *v;
                }
            });
        });
    };
    // The first steps touch memory for the first time.
    (0..2).for_each(&mut step);
    let (start, mut steps) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        step(steps);
        steps += 1;
    }
    let speed = steps as f64 * batch as f64 / start.elapsed().as_secs_f64();
    println!("{{\"images_per_second\":{speed:.1},\"peak_bytes\":{}}}", peak_bytes()?);
    Ok(())
}
