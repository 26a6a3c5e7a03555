//! Unusable input: exit status 2, a message that names what, where and what was expected, and no file left behind.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use nalgebra::DMatrix;
use npyz::WriterBuilder;
use perturbation_learning::data::{write_matrix, write_point_columns};

use crate::place::{Place, idx_images, idx_labels, text};

pub const USER: &str = "--train x.npy --labels y.npy --test z.npy";
pub const CERTIFY: &str = "--scenario a --epsilon 1 --time 1 --time-perturbed 1 --failure-probability 0.1 --samples 10";
pub const FLOW: &str = "--flow --time 1 --time-perturbed 1";

/// Runs the words; expects status 2, the parts in the message, and the same files as before.
pub fn refuse(place: &Place, words: &str, parts: &[&str]) {
    let before = files(place);
    let output = place.run(words);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}\n{message}");
    assert!(!message.contains("panicked") && message.starts_with("error: "), "{words}\n{message}");
    assert!(!message.contains(".pertlearn-"), "{words}: a temporary name\n{message}");
    for part in parts {
        assert!(message.contains(part), "{words}\n{message}lacks '{part}'");
    }
    assert_eq!(text(&output.stdout), "", "{words}");
    assert_eq!(files(place), before, "{words}: files changed");
}

/// Every file and directory in the place, with the sizes of the files.
fn files(place: &Place) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    let mut left = vec![place.path(".")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let directory = entry.file_type().unwrap().is_dir();
            let size = if directory { 0 } else { entry.metadata().unwrap().len() };
            found.insert((entry.path().display().to_string(), size));
            if directory {
                left.push(entry.path());
            }
        }
    }
    found
}

/// Writes doubles that the library itself refuses to write.
fn raw(place: &Place, name: &str, shape: &[u64], values: &[f64]) {
    let file = std::fs::File::create(place.path(name)).unwrap();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
}

/// The commands that read training points, labels and test points, for the three file names.
fn readers(train: &str, labels: &str, test: &str) -> [String; 5] {
    let user = format!("--train {train} --labels {labels} --test {test}");
    [
        format!("predict {user} --time 1 --out new.npy"),
        format!("train {user} --width 8 --flow --time 1 --out new.npy --weights-out new"),
        format!("train {user} --width 8 --descent --learning-rate 1 --steps 2 --out new.npy --json new.json"),
        format!("learn {user} --scenario a --epsilon 1 --width 8 {FLOW} --json new.json"),
        format!("certify {user} {CERTIFY} --width 8 --out new.csv --json new.json"),
    ]
}

fn refuse_everywhere(place: &Place, (train, labels, test): (&str, &str, &str), parts: &[&str]) {
    for words in readers(train, labels, test) {
        refuse(place, &words, parts);
    }
}

#[test]
fn arrays_that_do_not_fit_each_other() {
    let place = Place::with_data();
    place.vector("five.npy", &[1.0, -1.0, 1.0, -1.0, 1.0]);
    refuse_everywhere(&place, ("x.npy", "five.npy", "z.npy"), &["five.npy: labels has shape 5; expected 12"]);
    write_matrix(&place.path("wide.npy"), &DMatrix::zeros(4, 5)).unwrap();
    let expected = "wide.npy: test points has shape 4 × 5; expected points with 3 coordinates";
    refuse_everywhere(&place, ("x.npy", "y.npy", "wide.npy"), &[expected]);
    refuse_everywhere(&place, ("x.npy", "x.npy", "z.npy"), &["x.npy: shape [12, 3]; expected a vector"]);
    refuse_everywhere(&place, ("y.npy", "y.npy", "z.npy"), &["y.npy: shape [12]", "expected two dimensions"]);
    let expected = "wide.npy: z has shape 4 × 5; expected points with 3 coordinates";
    refuse(&place, "kernel --x x.npy --z wide.npy --out new.npy", &[expected]);
    let learn = format!("learn {USER} --scenario a --epsilon 1 --width 8 {FLOW}");
    refuse(&place, &format!("{learn} --test-labels five.npy"), &["five.npy: 5 labels; expected 7"]);
    place.vector("other.npy", &[1.0, -1.0, 1.0, -1.0, 1.0, 2.0, 1.0]);
    refuse(
        &place,
        &format!("{learn} --test-labels other.npy"),
        &["other.npy: test labels: row 5 has label 2", "-1 or 1"],
    );
}

#[test]
fn certificates_that_cannot_be_given() {
    let place = Place::with_data();
    let certify = format!("certify {USER} {CERTIFY} --out new.csv");
    refuse(&place, &format!("{certify} --width 7"), &["width is 7; expected an even number"]);
    refuse(&place, &format!("{certify} --width 0"), &["width is 0; expected an even number"]);
    refuse(&place, &format!("{certify} --width 8 --samples 0").replace(" --samples 10", ""), &["samples is 0"]);
    refuse(
        &place,
        &format!("{certify} --width 8 --test-points 8"),
        &["--test-points 8: expected a number from 1 to 7"],
    );
    refuse(&place, &format!("{certify} --width 8 --json new.csv"), &["new.csv: named for two results"]);
    let sampled = format!("{certify} --width 8 --method closed-form");
    refuse(&place, &sampled, &["--samples: --method closed-form draws no sample"]);
    refuse(&place, &format!("{certify} --width 8").replace("new.csv", "no/new.csv"), &["no/new.csv: ", "No such file"]);
    for (option, value) in [("--share", "0"), ("--share", "1.5"), ("--width", "-2")] {
        refuse(&place, &format!("{certify} {option} {value}"), &[value, option]);
    }
    for (old, new) in [
        ("--failure-probability 0.1", "--failure-probability 1"),
        ("--time 1", "--time 0"),
        ("--epsilon 1", "--epsilon nan"),
    ] {
        refuse(&place, &format!("{certify} --width 8").replacen(old, new, 1), &["expected"]);
    }
    refuse(&place, &certify, &["--width", "--share"]);
}

/// The whole message, once: a file, what is wrong in it, what was expected.
#[test]
fn messages_say_everything_once() {
    let place = Place::with_data();
    raw(&place, "nan.npy", &[1, 2], &[0.0, f64::NAN]);
    let message = |words: &str| text(&place.run(words).stderr);
    assert_eq!(
        message("kernel --x nan.npy --out new.npy"),
        "error: nan.npy: points: row 0, column 1 is NaN; expected a finite number\n"
    );
    assert_eq!(message("kernel --x absent.npy --out new.npy").matches("No such file").count(), 1);
    assert_eq!(message("kernel --x x.npy --out no/new.npy").matches("No such file").count(), 1);
    assert_eq!(message(&format!("predict {USER} --loss logistic --time 1e300 --out far.npy")), "");
}

#[test]
fn hunts_that_cannot_be() {
    let place = Place::empty();
    refuse(&place, "falsify --bound W99 --budget 1", &["bound is 'W99'; expected one of D5, D6, G3, "]);
    refuse(&place, "falsify --bound w5 --budget 1", &["bound is 'w5'"]);
    refuse(&place, "falsify", &["--bound <ID>"]);
    refuse(&place, "falsify --bound W5 --budget 0", &["--budget", "expected a finite number above 0"]);
    refuse(&place, "falsify --bound W5 --budget -1", &["--budget", "expected a finite number above 0"]);
    refuse(&place, "falsify --bound W5 --evaluations few", &["--evaluations", "expected a whole number"]);
    refuse(&place, "falsify --bound W5 --evaluations 64 --budget 1", &["cannot be used with"]);
    refuse(&place, "falsify --bound W5 --list", &["cannot be used with"]);
    refuse(&place, "falsify --bound W5 --evaluations 64 --json no/new.json", &["no/new.json"]);
    refuse(&place, "tightness --quick --out no/new.csv", &["no/new.csv"]);
    refuse(&place, "tightness --quick --evaluations -1", &["--evaluations", "expected a whole number"]);
}

#[test]
fn given_weights_that_do_not_fit() {
    let place = Place::with_data();
    place.succeed(&format!("train {USER} --width 4 --flow --time 0 --out f.npy --weights-out w"));
    let train = format!("train {USER} --flow --time 1 --out new.npy");
    let given = |hidden: &str, bias: &str, readout: &str| {
        format!("{train} --hidden {hidden} --bias {bias} --readout-weights {readout}")
    };
    write_matrix(&place.path("wide.npy"), &DMatrix::zeros(4, 5)).unwrap();
    place.vector("three.npy", &[1.0; 3]);
    let (hidden, bias, readout) = ("w/hidden.npy", "w/bias.npy", "w/readout.npy");
    refuse(&place, &given("wide.npy", bias, readout), &["wide.npy", "4 × 5; expected m × 3"]);
    refuse(&place, &given(hidden, "three.npy", readout), &["bias has shape 3; expected 4", "three.npy"]);
    refuse(&place, &given(hidden, bias, "three.npy"), &["readout weights has shape 3; expected 4", "three.npy"]);
    for extra in ["--width 4", "--init antisymmetric", "--readout rademacher"] {
        refuse(&place, &format!("{} {extra}", given(hidden, bias, readout)), &["--hidden", "cannot be used with"]);
    }
    refuse(&place, &format!("{train} --hidden {hidden}"), &["--bias", "--readout-weights"]);
}

#[test]
fn labels_that_are_not_two_classes() {
    let place = Place::with_data();
    let mut three = place.values("y.npy");
    three[4] = 0.0;
    place.vector("three.npy", &three);
    place.vector("one.npy", &[7.0; 12]);
    place.vector("single_label.npy", &[1.0]);
    write_matrix(&place.path("single.npy"), &DMatrix::zeros(1, 3)).unwrap();
    let expected = "three.npy: labels has 3 distinct labels (-1, 0, 1); expected exactly two classes";
    refuse_everywhere(&place, ("x.npy", "three.npy", "z.npy"), &[expected]);
    let expected = "one.npy: labels has 1 distinct labels (7); expected exactly two classes";
    refuse_everywhere(&place, ("x.npy", "one.npy", "z.npy"), &[expected]);
    let expected = "single_label.npy: labels has shape 1; expected at least two";
    refuse_everywhere(&place, ("single.npy", "single_label.npy", "z.npy"), &[expected]);
}

#[test]
fn entries_that_are_not_finite_and_empty_arrays() {
    let place = Place::with_data();
    for (name, value, shown) in
        [("nan.npy", f64::NAN, "NaN"), ("inf.npy", f64::INFINITY, "inf"), ("minus.npy", f64::NEG_INFINITY, "-inf")]
    {
        let mut values = vec![0.5; 36];
        values[7] = value;
        raw(&place, name, &[12, 3], &values);
        let expected = format!("{name}: points: row 2, column 1 is {shown}; expected a finite number");
        refuse_everywhere(&place, (name, "y.npy", "z.npy"), &[&expected]);
        refuse_everywhere(&place, ("x.npy", "y.npy", name), &[&expected]);
        refuse(&place, &format!("kernel --x {name} --out new.npy"), &[&expected]);
        let labels = format!("labels-{name}");
        raw(&place, &labels, &[12], &values[..12]);
        let expected = format!("{labels}: vector: row 7, column 0 is {shown}; expected a finite number");
        refuse_everywhere(&place, ("x.npy", &labels, "z.npy"), &[&expected]);
    }
    raw(&place, "empty.npy", &[0, 3], &[]);
    raw(&place, "flat.npy", &[12, 0], &[]);
    raw(&place, "none.npy", &[0], &[]);
    for name in ["empty.npy", "flat.npy"] {
        let expected = format!("{name}: points is empty; expected at least one point");
        refuse_everywhere(&place, (name, "y.npy", "z.npy"), &[&expected]);
        refuse_everywhere(&place, ("x.npy", "y.npy", name), &[&expected]);
        refuse(&place, &format!("kernel --x {name} --out new.npy"), &[&expected]);
    }
    refuse_everywhere(&place, ("x.npy", "none.npy", "z.npy"), &["none.npy: vector is empty; expected at least one"]);
}

#[test]
fn numbers_outside_their_domain() {
    let place = Place::with_data();
    let predict = format!("predict {USER} --out new.npy");
    let train = format!("train {USER} --out new.npy");
    let learn = format!("learn {USER} --json new.json");
    for (slope, shown) in [("-0.1", "-0.1"), ("1", "1"), ("nan", "NaN"), ("inf", "inf")] {
        let expected = format!("slope is {shown}; expected a number in [0, 1)");
        refuse(&place, &format!("kernel --x x.npy --out new.npy --slope {slope}"), &["--slope", &expected]);
        refuse(&place, &format!("{predict} --time 1 --slope {slope}"), &["--slope", &expected]);
        refuse(&place, &format!("{train} --width 8 --flow --time 1 --slope {slope}"), &["--slope", &expected]);
        let words = format!("{learn} --scenario a --epsilon 1 --width 8 {FLOW} --slope {slope}");
        refuse(&place, &words, &["--slope", &expected]);
        refuse(&place, &format!("verify --out new --slope {slope}"), &["--slope", &expected]);
    }
    for time in ["-1", "nan"] {
        let expected = "expected a finite number, at least 0";
        refuse(&place, &format!("{predict} --time {time}"), &["--time", expected]);
        refuse(&place, &format!("{train} --width 8 --flow --time {time}"), &["--time", time, expected]);
        let words = format!("{learn} --scenario a --epsilon 1 --width 8 --flow --time 1 --time-perturbed {time}");
        refuse(&place, &words, &["--time-perturbed", time, expected]);
    }
    for loss in ["identity", "logistic", "exponential"] {
        let expected = format!("the {loss} loss has no finite limit at infinite time; give a finite time");
        refuse(&place, &format!("{predict} --loss {loss} --time inf"), &[&expected]);
    }
    refuse(&place, &format!("{train} --width 8 --flow --time inf"), &["'inf'", "expected a finite number"]);
    for epsilon in ["0", "-1", "nan", "inf"] {
        let words = format!("{learn} --scenario a --epsilon {epsilon} --width 8 {FLOW}");
        refuse(&place, &words, &["--epsilon", epsilon, "expected a finite number above 0"]);
    }
    for (options, part) in [
        ("--learning-rate 0 --steps 1", "--learning-rate"),
        ("--learning-rate nan --steps 1", "--learning-rate"),
        ("--learning-rate 1 --steps -1", "--steps"),
        ("--learning-rate 1 --steps 1e30", "--steps"),
        ("--learning-rate 1 --steps 18446744073709551615", "--steps"),
        ("--learning-rate 1 --steps 1 --momentum 1", "momentum is 1; expected a number in [0, 1)"),
        ("--learning-rate 1 --steps 1 --momentum -0.1", "momentum is -0.1; expected a number in [0, 1)"),
    ] {
        refuse(&place, &format!("{train} --width 8 --descent {options}"), &[part, "expected"]);
    }
}

#[test]
fn widths_and_counts_outside_their_domain() {
    let place = Place::with_data();
    for (options, part) in [
        ("--width 0", "width is 0; expected"),
        ("--width 7 --init antisymmetric", "width is 7; expected"),
        ("--width -4", "--width"),
        ("--width 18446744073709551615", "expected a whole number"),
    ] {
        refuse(&place, &format!("train {USER} {options} --flow --time 1 --out new.npy"), &[part]);
        refuse(&place, &format!("learn {USER} --scenario a --epsilon 1 {options} {FLOW} --json new.json"), &[part]);
    }
    for (options, part) in [
        ("--input-dim 0", "input dimension is 0; expected at least 1"),
        ("--train-count 1", "number of training points is 1; expected at least 2"),
        ("--test-count 0", "number of test points is 0; expected at least 1"),
        ("--train-count 18446744073709551615", "expected a whole number"),
        ("--train-count 1000000000000 --input-dim 1000000000000", "fits into memory"),
        ("--classes 1 2", "--classes and --pixel-mean are for a directory"),
    ] {
        refuse(&place, &format!("learn --data gauss --scenario a --epsilon 1 --width 8 {options} {FLOW}"), &[part]);
    }
    // A number per neuron and point, or per pair of points: more than any processor of today can address.
    raw(&place, "many.npy", &[200, 1], &[0.5; 200]);
    raw(&place, "labels.npy", &[200], &(0..200).map(|n| f64::from(n % 2)).collect::<Vec<_>>());
    raw(&place, "one.npy", &[1, 1], &[0.5]);
    let part = "preactivations: 1000000000000 × 200 numbers of 8 bytes; expected a size that fits into memory";
    let wide = "--width 1000000000000 --descent --loss logistic";
    let words = format!("train --train many.npy --labels labels.npy --test one.npy {wide}");
    refuse(&place, &format!("{words} --learning-rate 1 --steps 1 --out new.npy"), &[part]);
    let steps = "--learning-rate 1 --learning-rate-perturbed 1 --steps 1 --steps-perturbed 1 --precision f32";
    let words = format!("learn --data gauss --train-count 1000 --input-dim 2 --scenario a --epsilon 1 {wide} {steps}");
    refuse(&place, &words, &["preactivations: 1000000000000 × 1000 numbers of 4 bytes"]);
    let words = "learn --data gauss --train-count 5000000 --input-dim 1 --scenario a --epsilon 1 --width 8";
    refuse(&place, &format!("{words} {FLOW}"), &["Gram matrix of the flow: 5000000 × 5000000 numbers of 8 bytes"]);
    // What is not used is not passed over in silence.
    for (data, option) in [("mnist", "input-dim"), ("fashion", "train-count"), ("mnist", "test-count")] {
        let part = format!("--data {data}: --{option} is for synthetic data, gauss or shifted-gauss");
        let words = format!("--data {data} --{option} 5 --scenario a --epsilon 1 --width 8");
        refuse(&place, &format!("learn {words} {FLOW}"), &[&part]);
        let times = "--time 1 --time-perturbed 1 --failure-probability 0.1";
        refuse(&place, &format!("certify {words} {times}"), &[&part]);
    }
    for (options, part) in [
        ("--widths 16,64", "2 widths; expected at least three"),
        ("--widths 16,64,64", "width is 64; expected widths in ascending order"),
        ("--widths 0,16,64", "width is 0; expected a positive even number"),
        ("--widths 15,16,64", "width is 15; expected a positive even number"),
        ("--widths 4,16,64", "width is 4; expected at least 32: the claims are about wide networks"),
        ("--networks 3", "networks is 3; expected at least 4"),
        ("--data nothing", "--data nothing: expected mnist, fashion"),
        ("--input-dim 5", "--data mnist --data fashion: --input-dim is for synthetic data"),
        ("--data mnist --train-count 5", "--data mnist: --train-count is for synthetic data"),
        ("--threads 0", "--threads"),
        ("--seed -1", "--seed"),
    ] {
        refuse(&place, &format!("verify --out new {options}"), &[part]);
        refuse(&place, &format!("--out new {options}"), &[part]);
    }
}

#[test]
fn array_files_that_are_damaged_missing_or_of_another_kind() {
    let place = Place::with_data();
    let whole = place.bytes("x.npy");
    std::fs::write(place.path("short.npy"), &whole[..whole.len() - 5]).unwrap();
    std::fs::write(place.path("header.npy"), &whole[..20]).unwrap();
    std::fs::write(place.path("hello.npy"), "hello").unwrap();
    std::fs::write(place.path("hello.npz"), "hello").unwrap();
    std::fs::write(place.path("x.txt"), "1 2 3").unwrap();
    std::fs::write(place.path("word.csv"), "1,2,3\n4,five,6\n").unwrap();
    std::fs::write(place.path("ragged.csv"), "1,2,3\n4,5\n").unwrap();
    let complex = whole.iter().map(|b| *b as char).collect::<String>().replacen("<f8", "<c8", 1);
    std::fs::write(place.path("complex.npy"), complex.chars().map(|c| c as u8).collect::<Vec<_>>()).unwrap();
    for (name, part) in [
        ("complex.npy", "dtype '<c8'; expected float32, float64, bool or an integer type"),
        ("short.npy", "283 bytes of data; shape [12, 3] of 8-byte numbers needs 288"),
        ("header.npy", "20 bytes; expected a header of 128 bytes"),
        ("hello.npy", "not a readable NPY file"),
        ("hello.npz", "not a readable NPZ"),
        ("x.txt", "extension 'txt'; expected .npy, .npz"),
        ("word.csv", "line 2, column 2: 'five' is not a number"),
        ("ragged.csv", "line 2 has 2 fields; expected 3"),
        ("absent.npy", "No such file"),
    ] {
        refuse_everywhere(&place, (name, "y.npy", "z.npy"), &[name, part]);
        refuse_everywhere(&place, ("x.npy", "y.npy", name), &[name, part]);
        refuse(&place, &format!("kernel --x {name} --out new.npy"), &[name, part]);
        refuse(&place, &format!("kernel --x x.npy --z {name} --out new.npy"), &[name, part]);
    }
}

/// Cut at any byte an array file is refused; with a bit of any byte flipped it is read or refused. Nothing panics.
#[test]
fn damaged_bytes_never_panic() {
    let place = Place::with_data();
    let whole = place.bytes("y.npy");
    let path = place.path("damaged.npy");
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(perturbation_learning::data::read_vector(&path).is_err(), "{cut}");
    }
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, &flipped).unwrap();
        let _ = perturbation_learning::data::read_vector(&path);
    }
}

#[test]
fn image_directories_that_are_damaged() {
    let place = Place::empty();
    let images = idx_images(16, 2, &[9; 64]);
    let labels = idx_labels(&[1, 2].repeat(8));
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&images).unwrap();
    let packed = packer.finish().unwrap();
    let mut wrong_magic = images.clone();
    wrong_magic[2] = 9;
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let no_images = idx_images(0, 2, &[]);
    let cases: [(&[u8], &[u8], &str); 8] = [
        (&wrong_magic, &labels, "magic number 0x00000903 at byte 0; expected 0x00000803"),
        (&labels, &labels, "magic number 0x00000801 at byte 0; expected 0x00000803"),
        (&images[..40], &labels, "truncated: 24 bytes of data after the header; its dimensions [16, 2, 2] need 64"),
        (&images[..9], &labels, "9 bytes; expected an IDX header of 16 bytes"),
        (&packed[..packed.len() - 9], &labels, "bad gzip data"),
        (&damaged, &labels, "bad gzip data"),
        (&no_images, &labels, "holds nothing"),
        (&images, &labels[..12], "truncated: 4 bytes of data after the header; its dimensions [16] need 16"),
    ];
    for (number, (images, labels, part)) in cases.into_iter().enumerate() {
        let name = format!("images{number}");
        std::fs::create_dir(place.path(&name)).unwrap();
        std::fs::write(place.path(&format!("{name}/train-images-idx3-ubyte.gz")), images).unwrap();
        std::fs::write(place.path(&format!("{name}/train-labels-idx1-ubyte")), labels).unwrap();
        let words = format!("learn --data {name} --classes 1 2 --scenario a --epsilon 1 --width 8 {FLOW}");
        refuse(&place, &words, &[&name, "-ubyte", part]);
        refuse(&place, &format!("verify --data {name} --classes 1 2 --out new"), &[&name, "-ubyte", part]);
    }
    std::fs::create_dir(place.path("good")).unwrap();
    std::fs::write(place.path("good/train-images-idx3-ubyte.gz"), &packed).unwrap();
    refuse(
        &place,
        &format!("learn --data good --classes 1 2 --scenario a --epsilon 1 --width 8 {FLOW}"),
        &["good: no file"],
    );
    std::fs::write(place.path("good/train-labels-idx1-ubyte"), &labels).unwrap();
    for (options, part) in [
        ("--classes 1 3", "no image has label 3; the labels present are [1, 2]"),
        ("--classes 1 1", "second class is 1; expected a label that differs from the first"),
        ("--classes 1 256", "256 is not in 0..=255"),
        ("--classes 1 -2", "-2 is not in 0..=255"),
        ("", "--data good: name the two classes"),
        ("--classes 1 2 --pixel-mean nan", "--pixel-mean"),
    ] {
        refuse(&place, &format!("learn --data good {options} --scenario a --epsilon 1 --width 8 {FLOW}"), &[part]);
    }
}

/// What is read is never written over, by whatever name it goes, and tables are text.
#[test]
fn inputs_are_not_written_over() {
    let place = Place::with_data();
    let learn = format!("learn {USER} --scenario a --epsilon 1 --width 8 {FLOW}");
    let certify = format!("certify {USER} {CERTIFY} --width 8");
    place.vector("hidden.npy", &[1.0]);
    for (words, input) in [
        ("kernel --x x.npy --out x.npy".to_string(), "x.npy"),
        ("kernel --x x.npy --z z.npy --out ./z.npy".into(), "./z.npy"),
        (format!("predict {USER} --time 1 --out y.npy"), "y.npy"),
        (format!("train {USER} --width 8 --flow --time 1 --out z.npy"), "z.npy"),
        (format!("train {USER} --width 8 --flow --time 1 --out new.npy --json x.npy"), "x.npy"),
        (
            format!(
                "train {USER} --flow --time 1 --hidden hidden.npy --bias bias.npy --readout-weights readout.npy --out new.npy --weights-out ."
            ),
            "./hidden.npy",
        ),
        (format!("{certify} --out table.csv").replace("--test z.npy", "--test table.csv"), "table.csv"),
        (format!("{learn} --json x.npy"), "x.npy"),
        (format!("{learn} --test-labels yz.npy --json yz.npy"), "yz.npy"),
        (format!("{certify} --json z.npy"), "z.npy"),
    ] {
        refuse(&place, &words, &[&format!("{input}: read and to be written")]);
    }
    refuse(
        &place,
        &format!("{certify} --out new.npy"),
        &["new.npy: a table is written as text; expected a path that ends in .csv"],
    );
    refuse(&place, "tightness --quick --out new", &["new: a table is written as text"]);
    std::fs::write(place.path("runs-1-of-1.jsonl"), "").unwrap();
    refuse(&place, "merge runs-1-of-1.jsonl --out runs-1-of-1.jsonl", &["runs-1-of-1.jsonl: read and to be written"]);
}

#[test]
fn what_leaves_nothing_to_learn_or_to_draw() {
    let place = Place::with_data();
    place.vector("both.npy", &[1.0, -1.0, 1.0, -1.0]);
    write_matrix(&place.path("twice.npy"), &DMatrix::from_fn(4, 3, |n, j| (n / 2 + j) as f64)).unwrap();
    for method in [FLOW, "--descent --learning-rate 0.1 --learning-rate-perturbed 0.1 --steps 2 --steps-perturbed 2"] {
        let words = format!(
            "learn --train twice.npy --labels both.npy --test z.npy --scenario a --epsilon 1 --width 8 {method}"
        );
        refuse(&place, &words, &["the labels of equal points cancel everywhere: nothing is learned"]);
    }
    refuse(&place, "paper offset --panel steps-g --out new", &["panels that --panel names is empty"]);
    let train = format!("train {USER} --width 8 --descent --learning-rate 0.1 --steps 1000000000000 --out new.npy");
    refuse(&place, &train, &["history of the descent"]);
}

/// Where results cannot go is found before anything is read or computed: the training points named here do not exist.
#[test]
fn places_where_results_cannot_go() {
    let place = Place::with_data();
    std::fs::create_dir(place.path("folder.npy")).unwrap();
    let absent = "--train absent.npy --labels absent.npy --test absent.npy";
    let places = [
        ("new.txt", "new.txt: output extension 'txt'; expected .npy or .csv"),
        ("new", "new: output extension ''; expected .npy or .csv"),
        ("no/new.npy", "no/new.npy: cannot write in no"),
        ("y.npy/new.npy", "y.npy/new.npy: cannot write in y.npy"),
        ("folder.npy", "folder.npy: is a directory; expected the name of a file"),
    ];
    let train = format!("train {absent} --width 8 --flow --time 1");
    let learn = format!("learn {absent} --scenario a --epsilon 1 --width 8 {FLOW}");
    for (name, part) in places {
        refuse(&place, &format!("kernel --x absent.npy --out {name}"), &[part]);
        refuse(&place, &format!("predict {absent} --time 1 --out {name}"), &[part]);
        refuse(&place, &format!("{train} --out {name}"), &[part]);
        refuse(&place, &format!("{train} --out new.npy --initial-out {name}"), &[part]);
        refuse(&place, &format!("{train} --out new.npy --gradient-out {name}"), &[part]);
    }
    for (name, part) in &places[2..] {
        refuse(&place, &format!("kernel --x absent.npy --out new.npy --json {name}"), &[part]);
        refuse(&place, &format!("predict {absent} --time 1 --out new.npy --json {name}"), &[part]);
        refuse(&place, &format!("{train} --out new.npy --json {name}"), &[part]);
        refuse(&place, &format!("{learn} --json {name}"), &[part]);
        refuse(&place, &format!("verify --data absent --out new --json {name}"), &[part]);
    }
    for directory in ["y.npy", "y.npy/below"] {
        let part = format!("{directory}: y.npy is a file; expected a directory");
        refuse(&place, &format!("{train} --out new.npy --weights-out {directory}"), &[&part]);
        refuse(&place, &format!("verify --data absent --out {directory}"), &[&part]);
    }
    for again in ["--initial-out new.npy", "--gradient-out new.npy", "--json new.npy"] {
        let part = "new.npy: named for two results; expected a file for each";
        refuse(&place, &format!("{train} --out new.npy {again}"), &[part]);
    }
}

/// Zero times a force that overflows is no number, also where no sample is.
fn forces_that_overflow(place: &Place) {
    place.succeed(&format!("train {USER} --width 8 --flow --time 0 --out f.npy --weights-out w"));
    let points = place.matrix("x.npy");
    let mut far = points.as_columns().clone();
    far[(1, 4)] = 1e39;
    write_point_columns(&place.path("far.npy"), &far).unwrap();
    write_point_columns(&place.path("long.npy"), &(points.as_columns() * 50.0)).unwrap();
    for (name, readout) in [("large.npy", 1e39), ("largest.npy", 1e308)] {
        let mut values = place.values("w/readout.npy");
        values[2] = readout;
        place.vector(name, &values);
    }
    let descent = "--descent --learning-rate .1 --steps 9 --out new.npy";
    let given = "--hidden w/hidden.npy --bias w/bias.npy --readout-weights";
    for words in [
        format!("train {USER} --width 8 --precision f32").replace("x.npy", "far.npy"),
        format!("train {USER} {given} large.npy --precision f32"),
        format!("train {USER} {given} largest.npy").replace("x.npy", "long.npy"),
    ] {
        refuse(place, &format!("{words} {descent}"), &["diverged at step"]);
    }
}

#[test]
fn results_that_are_undefined_or_overflow() {
    let place = Place::with_data();
    // Untrained, the pairs of an antisymmetric network cancel: f and its gradient vanish everywhere.
    let start = "--init antisymmetric --flow --time 0 --time-perturbed 1";
    let words = format!("learn {USER} --scenario a --epsilon 1 --width 8 {start} --json new.json");
    refuse(&place, &words, &["gradient", "training point 0 is zero", "12 such point(s)"]);
    let descent =
        "--init antisymmetric --descent --learning-rate 1 --steps 0 --learning-rate-perturbed 1 --steps-perturbed 1";
    let words = format!("learn {USER} --scenario b --epsilon 1 --width 8 {descent} --json new.json");
    refuse(&place, &words, &["gradient", "training point 0 is zero", "12 such point(s)"]);

    let train = format!("train {USER} --width 8 --descent --out new.npy --initial-out new0.npy --weights-out new");
    for loss in ["squared", "exponential"] {
        refuse(&place, &format!("{train} --loss {loss} --learning-rate 1e200 --steps 9"), &["diverged at step"]);
    }
    refuse(&place, &format!("{train} --learning-rate 1e308 --steps 1000"), &["diverged at step"]);
    for loss in ["identity", "logistic"] {
        let words = format!("{train} --loss {loss} --learning-rate 1e300 --steps 1 --precision f32");
        refuse(&place, &words, &["diverged at step"]);
    }
    refuse(
        &place,
        &format!("{train} --loss logistic --learning-rate 1e308 --steps 2"),
        &["time", "diverged at step 2"],
    );
    forces_that_overflow(&place);
    write_matrix(&place.path("huge.npy"), &(DMatrix::from_element(2, 3, 1e69))).unwrap();
    let far = format!("predict {USER} --time 1e308 --out new.npy").replace("z.npy", "huge.npy");
    refuse(&place, &far, &["new.npy: result: row 0, column 0 is", "expected a finite number"]);
    let far = format!("train {USER} --width 8 --flow --time 1e308 --out new.npy").replace("z.npy", "huge.npy");
    refuse(&place, &far, &["exact gradient flow failed: an output is", "too large for double precision"]);
    let huge = format!("learn {USER} --width 8 --scenario b --epsilon 1e200 --json new.json {FLOW}");
    refuse(&place, &huge, &["norm", "expected at most"]);
}

/// Also where keys of one struct stand among those of another, and in lists.
#[test]
fn numbers_that_json_cannot_hold_are_named() {
    let place = Place::with_data();
    let words = format!("learn {USER} --scenario a --epsilon 1 --width 8 --flow --time 1 --time-perturbed 1e160");
    let expected = "deviation_g is inf; expected a finite number";
    assert_eq!(text(&place.run(&format!("{words} --json -")).stderr), format!("error: standard output: {expected}\n"));
    let output = place.run(&format!("{words} --json new.json"));
    assert_eq!(text(&output.stderr), format!("error: new.json: {expected}\n"));
    assert!(!place.path("new.json").exists());
    let closed = CERTIFY.replace("--time 1 --time-perturbed 1", "--time 1e160 --time-perturbed 1");
    let closed = closed.replace("--samples 10", "--method closed-form --width 8 --json new.json");
    // No certificate rests on a bound that left the range of numbers.
    let message = text(&place.run(&format!("certify {USER} {closed}")).stderr);
    assert!(message.starts_with("error: error of f: row 0, column 0 is inf; expected a finite number"), "{message}");
}

#[test]
fn messages_name_what_was_given() {
    let place = Place::with_data();
    std::fs::create_dir(place.path("images")).unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(place.path(&format!("images/{name}")), bytes).unwrap();
    write("train-images-idx3-ubyte", idx_images(4, 2, &[9; 16]));
    write("train-labels-idx1-ubyte", idx_labels(&[1, 2, 1, 2]));
    write("t10k-images-idx3-ubyte", idx_images(2, 3, &[9; 18]));
    write("t10k-labels-idx1-ubyte", idx_labels(&[1, 2]));
    let words = format!("learn --data images --classes 1 2 --scenario a --epsilon 1 --width 8 {FLOW}");
    refuse(
        &place,
        &words,
        &["images/t10k-images-idx3-ubyte: 9 pixels per image; expected 4, as in images/train-images"],
    );

    write_matrix(&place.path("huge.npy"), &DMatrix::from_element(4, 3, 1e90)).unwrap();
    place.vector("four.npy", &[1.0; 4]);
    let train = format!("train {USER} --flow --time 1 --out new.npy --bias four.npy --readout-weights four.npy");
    refuse(&place, &format!("{train} --hidden huge.npy"), &["huge.npy: hidden weights: row 0 has Euclidean norm"]);
    raw(&place, "nan.npy", &[4, 3], &[f64::NAN; 12]);
    refuse(&place, &format!("{train} --hidden nan.npy"), &["nan.npy: hidden weights: row 0, column 0 is NaN"]);

    for (field, line) in [("1e400", 3), ("-inf", 3), ("nan", 3)] {
        std::fs::write(place.path("far.csv"), format!("a,b,c\n1,2,3\n4,{field},6\n")).unwrap();
        let part = format!("far.csv: line {line}, column 2: '{field}' is not a finite number in double precision");
        refuse(&place, "kernel --x far.csv --out new.npy", &[&part]);
    }

    write_matrix(&place.path("single.npy"), &DMatrix::zeros(1, 3)).unwrap();
    place.vector("label.npy", &[1.0]);
    refuse_everywhere(
        &place,
        ("single.npy", "label.npy", "z.npy"),
        &["label.npy: labels has shape 1; expected at least two, one of each class"],
    );
}

/// An option that would do nothing is refused, not passed over in silence.
#[test]
fn options_without_effect() {
    let place = Place::with_data();
    let learn = format!("--scenario a --epsilon 1 --width 8 {FLOW}");
    let certify = format!("{CERTIFY} --width 8");
    for option in ["--classes 1 2", "--input-dim 3", "--pixel-mean 0.1", "--train-count 12", "--test-count 7"] {
        let parts = [option.split(' ').next().unwrap(), "cannot be used with"];
        refuse(&place, &format!("learn {USER} {learn} {option}"), &parts);
        refuse(&place, &format!("certify {USER} {certify} {option}"), &parts);
        refuse(&place, &format!("learn {option} {learn}"), &["--data"]);
    }
    for data in ["gauss", "mnist"] {
        let words = format!("learn --data {data} --test-labels yz.npy {learn}");
        refuse(&place, &words, &["--test-labels", "cannot be used with"]);
    }
    place.succeed(&format!("train {USER} --width 4 --flow --time 0 --out f.npy --weights-out w"));
    let given = "--hidden w/hidden.npy --bias w/bias.npy --readout-weights w/readout.npy";
    let words = format!("train {USER} {given} --flow --time 1 --out new.npy --seed 6");
    refuse(&place, &words, &["--hidden", "--seed", "cannot be used with"]);
    // Nothing random, no seed.
    let json = place.json(&format!("train {USER} {given} --flow --time 1 --out f.npy"));
    assert!(json["run"]["seed"].is_null(), "{json}");
    for (words, part) in [
        ("shifted-gauss-a offset --panel targets", "shifted-gauss-a: --panel names none of its panels"),
        ("offset shifted-gauss-a --panel dim --panel slope", "offset: --panel names none of its panels"),
        ("shifted-gauss-a --panel dim --panel targets", "--panel targets: none of the figures has it"),
        ("all --panel targets --panel certified --panel balanced --panel dim --shard 3/2", "expected I/K"),
    ] {
        refuse(&place, &format!("paper {words} --without-theory --out new"), &[part]);
    }
}

/// Thousands of threads take longer to start than most runs.
#[test]
fn threads_are_counted_sensibly() {
    let place = Place::with_data();
    for count in ["0", "-1", "1025", "5000", "99999999999999999999999", "two"] {
        for words in ["kernel --x x.npy --out new.npy".into(), format!("certify {USER} {CERTIFY} --width 8")] {
            let words = format!("{words} --threads {count}");
            refuse(&place, &words, &["--threads", count, "expected a whole number from 1 to 1024"]);
        }
    }
    place.succeed("kernel --x x.npy --out k.npy --threads 3");
}
