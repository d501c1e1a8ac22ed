//! Graphs that look at pictures, against labels, recorded scores and a recorded picture.

use engine::backend::Session;
use engine::data::{ElementType, IdxSet, Tensor};
use serde_json::Value;

use super::pictures::{Order, brightness, cropped, fitted, picture, planes, stretched};
use super::{Bench, Checked, Row, count, distance, has_suffix, ranked, run, share, top};

/// The digits of the test set, one by one because the graph's batch is fixed.
pub fn mnist(bench: &Bench) -> Checked {
    let graph = MNIST;
    let digits = digits(bench)?;
    let share = share(&digits_right(bench.open(graph)?.as_mut(), &digits)?);
    let holds = digits.len() == 10_000 && (share - 0.9891).abs() < 2.5e-4;
    Ok(vec![Row::new(graph, "accuracy on mnist-test", (share, "0.9891 ± 0.0002"), holds)])
}

pub const MNIST: &str = "mnist-cnn/mnist.onnx";

/// Inputs of [`MNIST`] and what they show.
pub fn digits(bench: &Bench) -> Result<Vec<(Tensor, usize)>, String> {
    let [images, labels] = ["images-idx3", "labels-idx1"]
        .map(|part| bench.path(&format!("mnist-test/t10k-{part}-ubyte.gz")));
    let set = IdxSet::read(&images, Some(&labels)).map_err(|error| error.to_string())?;
    let digit = |(place, &label): (usize, &u8)| {
        let values: Vec<f32> = set.item(place).bytes.into_iter().map(f32::from).collect();
        (Tensor::of_f32(vec![1, 1, 28, 28], &values), usize::from(label))
    };
    Ok(set.labels.iter().flatten().enumerate().map(digit).collect())
}

/// Which digits are right.
pub fn digits_right(
    session: &mut dyn Session,
    digits: &[(Tensor, usize)],
) -> Result<Vec<bool>, String> {
    let right = |(input, label): &(Tensor, usize)| {
        let scores = run(session, &[("Input3", input.clone())])?;
        Ok(top(&scores[0].to_f64()) == *label)
    };
    digits.iter().map(right).collect()
}

const CIFAR: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// All pictures in one batch. Decoders of JPEG round differently, so a few may fall otherwise.
pub fn resnet(bench: &Bench) -> Checked {
    let graph = RESNET;
    let (input, labels) = cifar(bench)?;
    let share = share(&cifar_right(bench.open(graph)?.as_mut(), &input, &labels)?);
    let holds = labels.len() == 1000 && (share - 0.751).abs() < 3.5e-3;
    let compared = "accuracy on cifar10-test-a";
    Ok(vec![Row::new(graph, compared, (share, "0.751 ± 0.003"), holds)])
}

pub const RESNET: &str = "resnet8-cifar10/resnet8_cifar10.onnx";

/// The input of [`RESNET`] for all pictures, and what they show.
pub fn cifar(bench: &Bench) -> Result<(Tensor, Vec<usize>), String> {
    let (mut all, mut labels) = (Vec::new(), Vec::new());
    for (label, class) in CIFAR.iter().enumerate() {
        let folder = format!("cifar10-test-a/{class}");
        for name in bench.find_files(&folder, |file| has_suffix(file, "jpg")) {
            all.push(picture(bench, &name)?);
            labels.push(label);
        }
    }
    Ok((planes(&all, Order::Rgb, ElementType::F32, |value| value), labels))
}

/// Which pictures are right.
pub fn cifar_right(
    session: &mut dyn Session,
    input: &Tensor,
    labels: &[usize],
) -> Result<Vec<bool>, String> {
    let logits = run(session, &[("input", input.clone())])?[0].to_f64();
    let rows = logits.chunks_exact(10).zip(labels);
    Ok(rows.map(|(row, label)| top(row) == *label).collect())
}

/// Both widths against the recorded scores of one picture, and on all photographs.
pub fn squeezenet(bench: &Bench) -> Checked {
    let csv = bench.text("squeezenet-imagenet/Squeezenet_fp16_fish_input_CPU.csv")?;
    let score = |line: &str| line.split_once(',').and_then(|(_, value)| value.trim().parse().ok());
    let expected: Vec<f64> = csv.lines().skip(1).filter_map(score).collect();
    let twins = [
        ("squeezenet-imagenet/SqueezeNet_fp16.onnx", ElementType::F16),
        (SQUEEZENET, ElementType::F32),
    ];
    let mut rows = Vec::new();
    for (graph, dtype) in twins {
        let mut session = bench.open(graph)?;
        let fish = photo(bench, "fish.png", dtype)?;
        let differs = distance(&run(session.as_mut(), &[("data_0", fish)])?[0].to_f64(), &expected);
        let found = format!("differ by {differs:.1e}");
        rows.push(Row::new(
            graph,
            "recorded scores of fish.png",
            (found, "≤ 1e-3"),
            differs <= 1e-3,
        ));
        let photos = photos(bench, dtype)?;
        let [first, five] = [1, 5].map(|among| {
            let right = photos_right(session.as_mut(), &photos, among)?;
            Ok::<_, String>(count(&right))
        });
        let (first, five) = (first?, five?);
        let holds = photos.len() == 15 && first.abs_diff(11) <= 1 && five.abs_diff(14) <= 1;
        let found = format!("{first} and {five} of {}", photos.len());
        let compared = "top 1 and top 5 on imagenet-mini";
        rows.push(Row::new(graph, compared, (found, "11 and 14 of 15, ± 1"), holds));
    }
    Ok(rows)
}

pub const SQUEEZENET: &str = "squeezenet-imagenet/SqueezeNet_fp32_upcast.onnx";

/// The input of SqueezeNet for a picture.
fn photo(bench: &Bench, name: &str, dtype: ElementType) -> Result<Tensor, String> {
    let small = cropped(&picture(bench, &format!("imagenet-mini/{name}"))?, 224);
    Ok(planes(&[small], Order::Bgr, dtype, |value| value))
}

/// Inputs for all photographs, and the classes that count as right.
pub fn photos(bench: &Bench, dtype: ElementType) -> Result<Vec<(Tensor, Vec<Value>)>, String> {
    let labels = bench.text("imagenet-mini/labels.jsonl")?;
    let read = |line: &str| {
        let label: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let accepted = label["accept"].as_array().cloned().unwrap_or_default();
        Ok((photo(bench, label["file"].as_str().unwrap_or_default(), dtype)?, accepted))
    };
    labels.lines().map(read).collect()
}

/// Which photographs are right among so many best classes.
pub fn photos_right(
    session: &mut dyn Session,
    photos: &[(Tensor, Vec<Value>)],
    among: usize,
) -> Result<Vec<bool>, String> {
    let right = |(input, accepted): &(Tensor, Vec<Value>)| {
        let order = ranked(&run(session, &[("data_0", input.clone())])?[0].to_f64());
        Ok(order.iter().take(among).any(|class| accepted.contains(&Value::from(*class))))
    };
    photos.iter().map(right).collect()
}

/// Brightness goes in and comes out three times as wide. The recorded picture was prepared and
/// composed by other code: the square in the middle of the picture without its transparency.
pub fn super_resolution(bench: &Bench) -> Checked {
    let graph = "super-resolution/pytorch_super_resolution.onnx";
    let small = cropped(&picture(bench, "super-resolution/test_superresolution.png")?, 224);
    let values: Vec<f32> = brightness(&small).iter().map(|y| (y.round() / 255.0) as f32).collect();
    let input = Tensor::of_f32(vec![1, 1, 224, 224], &values);
    let outputs = run(bench.open(graph)?.as_mut(), &[("input", input)])?;
    let expected =
        brightness(&picture(bench, "super-resolution/test_superresolution.expected.opset18.png")?);
    let found: Vec<f64> =
        outputs[0].to_f64().iter().map(|y| (y * 255.0).round().clamp(0.0, 255.0)).collect();
    let largest = distance(&found, &expected);
    let squares = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum::<f64>();
    let psnr = 10.0 * (255.0_f64.powi(2) * expected.len() as f64 / squares).log10();
    let holds = found.len() == expected.len() && psnr >= 50.0;
    let found = format!("{psnr:.1} dB, at most {largest:.1} of 255");
    Ok(vec![Row::new(graph, "brightness of the recorded picture", (found, "≥ 50 dB"), holds)])
}

/// A portrait has one face; every field picture has a plant.
pub fn detectors(bench: &Bench) -> Checked {
    let graph = "ultraface-rfb320/Ultraface.version-RFB-320.onnx";
    let portrait = stretched(&picture(bench, "ultraface-rfb320/grace_hopper.jpg")?, 320, 240);
    let input = planes(&[portrait], Order::Rgb, ElementType::F32, |v| (v - 127.0) / 128.0);
    let outputs = run(bench.open(graph)?.as_mut(), &[("input", input)])?;
    let (scores, boxes) = (outputs[0].to_f64(), outputs[1].to_f64());
    let scored: Vec<f64> = scores.chunks_exact(2).map(|pair| pair[1]).collect();
    let corners: Vec<&[f64]> = boxes.chunks_exact(4).collect();
    let faces = distinct(&scored, &corners, 0.7);
    let best = scored[top(&scored)];
    let found = format!("{faces}, {best:.6}");
    let holds = faces == 1 && best > 0.999;
    let mut rows = vec![Row::new(graph, "faces and best score", (found, "1, > 0.999"), holds)];

    let graph = "yolox-nano-weeds/yolox_nano.onnx";
    let mut session = bench.open(graph)?;
    let names = bench.find_files("yolox-nano-weeds/images", |file| has_suffix(file, "jpg"));
    let mut weakest = f64::INFINITY;
    for name in &names {
        let field = fitted(&picture(bench, name)?, 416, 114);
        let input = planes(&[field], Order::Bgr, ElementType::F32, |value| value);
        let found = run(session.as_mut(), &[("images", input)])?[0].to_f64();
        // Of each box: middle, size, whether anything is there, and the three weeds.
        let best = |row: &[f64]| row[4] * row[5].max(row[6]).max(row[7]);
        weakest = weakest.min(found.chunks_exact(8).map(best).fold(0.0, f64::max));
    }
    let holds = names.len() == 8 && (0.85..=1.0).contains(&weakest);
    let compared = "best score of the weakest of 8 pictures";
    rows.push(Row::new(graph, compared, (format!("{weakest:.3}"), "none given; > 0.85"), holds));
    Ok(rows)
}

/// Number of boxes above a score that are left when each suppresses those that overlap it by more
/// than half (greedy non-maximum suppression).
fn distinct(scores: &[f64], boxes: &[&[f64]], above: f64) -> usize {
    let mut kept: Vec<&[f64]> = Vec::new();
    for i in ranked(scores).into_iter().take_while(|&i| scores[i] > above) {
        if kept.iter().all(|other| overlap(other, boxes[i]) <= 0.5) {
            kept.push(boxes[i]);
        }
    }
    kept.len()
}

/// Intersection over union of two boxes (left, top, right, bottom).
fn overlap(a: &[f64], b: &[f64]) -> f64 {
    let area = |c: &[f64]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let common = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    area(&common) / (area(a) + area(b) - area(&common))
}

/// Its withdrawn operators are still known to the runtime, so it runs.
pub fn style(bench: &Bench) -> Checked {
    let graph = "style-candy/candy.onnx";
    let photo = stretched(&picture(bench, "imagenet-mini/fish.png")?, 720, 720);
    let input = planes(&[photo], Order::Rgb, ElementType::F32, |value| value);
    let outputs = run(bench.open(graph)?.as_mut(), &[("inputImage", input)])?;
    let painted = outputs[0].to_f64();
    let (low, high) = painted
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let holds = outputs[0].shape == [1, 3, 720, 720]
        && painted.iter().all(|value| value.is_finite())
        && low > -255.0
        && high < 510.0
        && high - low > 128.0;
    let found = format!("{:?}, {low:.0} to {high:.0}", outputs[0].shape);
    let expected = "none given; [1, 3, 720, 720], about 0 to 255";
    Ok(vec![Row::new(graph, "runs; shape and range", (found, expected), holds)])
}
