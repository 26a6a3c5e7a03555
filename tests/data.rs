//! Data: what is embedded, what users bring, and what is refused.

use std::io::Write;
use std::path::{Path, PathBuf};

use nalgebra::DMatrix;
use perturbation_learning::data::embedded::verify_checksum;
use perturbation_learning::data::idx::{parse_images, parse_labels};
use perturbation_learning::data::{
    ClassPair, DataSet, Synthetic, classes_to_signs, fashion, labels_like, load_idx_directory, mnist, read_labels,
    read_points, read_vector, synthetic, write_matrix, write_point_columns, write_vector,
};
use perturbation_learning::problem::Points;
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn message<T: std::fmt::Debug>(result: perturbation_learning::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn embedded_sets_have_the_documented_sizes_classes_and_pixels() {
    let digits = mnist().unwrap();
    assert_eq!((digits.train.count(), digits.test.count(), digits.train.input_dim()), (1600, 518, 784));
    assert_eq!(digits.train.labels().iter().sum::<f64>(), 0.0);
    assert_eq!(digits.test_labels.as_ref().unwrap().iter().filter(|y| **y > 0.0).count(), 327);
    let clothes = fashion().unwrap();
    assert_eq!((clothes.train.count(), clothes.test.count(), clothes.train.input_dim()), (1000, 500, 784));
    assert_eq!(clothes.train.labels().iter().sum::<f64>(), 0.0);
    for (set, mean) in [(&digits, 0.1307), (&clothes, 0.2860)] {
        let all = set.train.points().as_columns();
        assert_eq!(all.min(), -mean, "black pixels");
        assert_eq!(all.max(), 1.0 - mean, "white pixels");
    }
    // A one is mostly black, a boot is not: the classes are not swapped with anything.
    assert!(digits.train.points().point(0).iter().filter(|v| **v > 0.3).count() < 100);
}

#[test]
fn a_shortened_set_has_the_first_training_points_of_each_class_and_every_test_point() {
    let set = fashion().unwrap();
    let first_of = |sign: f64, count: usize| {
        let all = (0..set.train.count()).filter(|n| set.train.labels()[*n] == sign);
        all.take(count).collect::<Vec<usize>>()
    };
    for (per_class, kept) in [(0, 1), (1, 1), (7, 7), (499, 499), (500, 500), (501, 500)] {
        let short = set.shortened(per_class);
        let mut expected = [first_of(1.0, kept), first_of(-1.0, kept)].concat();
        expected.sort_unstable();
        let labels: Vec<f64> = expected.iter().map(|n| set.train.labels()[*n]).collect();
        assert_eq!(short.train.points(), &set.train.points().select(&expected), "{per_class}");
        assert_eq!(short.train.labels(), labels, "{per_class}");
        assert_eq!((&short.test, &short.test_labels, &short.name), (&set.test, &set.test_labels, &set.name));
    }
    // Classes of different sizes: each is cut by itself.
    let odd = synthetic(Synthetic::Gauss, 2, 9, 1, 3).unwrap();
    let positive = |set: &DataSet| set.train.labels().iter().filter(|y| **y > 0.0).count();
    let (ones, others) = (positive(&odd), 9 - positive(&odd));
    assert_ne!(ones, others);
    let short = odd.shortened(ones.min(others) + 1);
    assert_eq!((short.train.count(), positive(&short)), (2 * ones.min(others) + 1, ones.min(ones.min(others) + 1)));
}

#[test]
fn a_damaged_file_does_not_pass_its_checksum() {
    let text = message(verify_checksum(Path::new("x.gz"), b"abc", "00"));
    assert!(text.starts_with("x.gz: SHA-256 ba7816bf") && text.ends_with("expected 00"), "{text}");
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_images(count: u32, side: u32, bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    for dim in [count, side, side] {
        file.extend(dim.to_be_bytes());
    }
    file.extend(bytes);
    file
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels.len() as u32).to_be_bytes());
    file.extend(labels);
    file
}

#[test]
fn malformed_idx_files_are_refused_by_name_position_and_value() {
    let path = Path::new("images");
    let good = idx_images(2, 2, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(parse_images(path, &good).unwrap(), parse_images(path, &gz(&good)).unwrap());
    let cases: [(Vec<u8>, &str); 7] = [
        (good[..10].to_vec(), "images: 10 bytes; expected an IDX header of 16 bytes"),
        (
            good[..20].to_vec(),
            "images: truncated: 4 bytes of data after the header; its dimensions [2, 2, 2] need 8 bytes",
        ),
        (
            [&good[..], &[9]].concat(),
            "images: trailing bytes: 9 bytes of data after the header; its dimensions [2, 2, 2] need 8 bytes",
        ),
        (idx_labels(&[0; 20]), "images: magic number 0x00000801 at byte 0; expected 0x00000803 (unsigned byte images)"),
        ([&[0, 0, 0x0d, 3], &good[4..]].concat(), "images: magic number 0x00000d03 at byte 0"),
        (idx_images(u32::MAX, u32::MAX, &[]), "need more than memory holds"),
        (idx_images(0, 28, &[]), "images: holds nothing"),
    ];
    for (bytes, expected) in cases {
        let text = message(parse_images(path, &bytes));
        assert!(text.contains(expected), "{text} lacks {expected}");
    }
    let packed = gz(&good);
    let mut broken = packed.clone();
    broken[15] ^= 0xff;
    assert!(message(parse_images(path, &broken)).contains("bad gzip data"));
    assert!(message(parse_images(path, &packed[..packed.len() - 9])).contains("bad gzip data"));
    assert!(message(parse_labels(path, &good)).contains("expected 0x00000801"));
}

#[test]
fn idx_directories_yield_any_two_classes() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    let labels: Vec<u8> = (0..30).map(|n| n % 3 + 4).collect();
    let pixels: Vec<u8> = (0..30 * 4).map(|n| n as u8).collect();
    put("train-images-idx3-ubyte.gz", &gz(&idx_images(30, 2, &pixels)));
    put("train-labels.idx1-ubyte", &idx_labels(&labels));
    let classes = ClassPair { positive: 6, negative: 4 };
    let set = load_idx_directory(directory.path(), classes, Some(0.0)).unwrap();
    // Ten of each class; the last quarter (two) of each is held out.
    assert_eq!((set.train.count(), set.test.count()), (16, 4));
    assert_eq!(set.train.labels()[..4], [-1.0, 1.0, -1.0, 1.0]);
    assert_eq!(set.train.points().point(1)[0], 8.0 / 255.0);
    assert_eq!(set.test_labels.unwrap(), [-1.0, 1.0, -1.0, 1.0]);
    let automatic = load_idx_directory(directory.path(), classes, None).unwrap();
    let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / (255.0 * 120.0);
    assert_eq!(automatic.train.points().point(0)[0], 0.0 - mean);

    put("t10k-images-idx3-ubyte", &idx_images(3, 2, &[0; 12]));
    assert!(message(load_idx_directory(directory.path(), classes, None)).contains("no file t10k…labels"));
    put("t10k-labels-idx1-ubyte", &idx_labels(&[4, 6]));
    assert!(
        message(load_idx_directory(directory.path(), classes, None)).contains("2 labels; expected 3, one per image")
    );
    put("t10k-labels-idx1-ubyte", &idx_labels(&[4, 6, 6]));
    assert_eq!(load_idx_directory(directory.path(), classes, None).unwrap().test.count(), 3);
    let missing = ClassPair { positive: 9, negative: 4 };
    let text = message(load_idx_directory(directory.path(), missing, None));
    assert!(text.contains("no image has label 9; the labels present are [4, 5, 6]"), "{text}");
    put("train-images.idx3-ubyte", &idx_images(30, 2, &pixels));
    assert!(message(load_idx_directory(directory.path(), classes, None)).contains("several files"));
    let empty = tempfile::tempdir().unwrap();
    assert!(message(load_idx_directory(empty.path(), classes, None)).contains("no train-images"));
    assert!(message(load_idx_directory(Path::new("/nowhere"), classes, None)).starts_with("/nowhere: "));
}

#[test]
fn arrays_written_by_numpy_are_read_in_every_type_and_order() {
    for name in ["f32.npy", "f64_fortran.npy", "i64_big_endian.npy", "u8.npy", "one.npz", "two.npz:x"] {
        let points = read_points(&fixture(name)).unwrap();
        assert_eq!((points.count(), points.input_dim()), (2, 3), "{name}");
        assert_eq!(points.as_columns().as_slice(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{name}");
    }
    assert_eq!(read_labels(&fixture("i16_labels.npy")).unwrap(), [-1.0, 7.0, -1.0]);
    assert_eq!(read_labels(&fixture("bool.npy")).unwrap(), [1.0, 0.0]);
    assert_eq!(read_labels(&fixture("two.npz:y")).unwrap(), [0.0, 1.0]);
}

#[test]
fn unusable_arrays_are_refused() {
    let cases = [
        ("complex.npy", "dtype"),
        ("one_dimension.npy", "shape [6] (one point? reshape it to 1×d); expected two dimensions"),
        ("two.npz", "holds 2 arrays (x, y); choose one: FILE.npz:NAME"),
        ("two.npz:z", "no array 'z'; it holds x, y"),
        ("make.py", "extension 'py'; expected .npy, .npz, .npz:NAME or .csv"),
        ("absent.npy", "No such file"),
    ];
    for (name, expected) in cases {
        let text = message(read_points(&fixture(name)));
        assert!(text.contains(expected) && text.contains(name.split(':').next().unwrap()), "{text} lacks {expected}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.npy");
    let whole = std::fs::read(fixture("f32.npy")).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    assert!(message(read_points(&path)).contains("21 bytes of data; shape [2, 3] of 4-byte numbers needs 24"));
    std::fs::write(&path, b"hello").unwrap();
    assert!(message(read_points(&path)).contains("not a readable NPY file"));
    write_matrix(&path, &DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 3.0, 4.0])).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let third = bytes.len() - 16;
    bytes[third..third + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(message(read_points(&path)).contains("row 1, column 0 is NaN"));
    // Nor are such results written.
    let nan = DMatrix::from_row_slice(2, 2, &[1.0, 2.0, f64::NAN, 4.0]);
    assert!(message(write_matrix(&path, &nan)).contains("result: row 1, column 0 is NaN; expected a finite number"));
    assert!(message(read_vector(&fixture("u8.npy"))).contains("expected a vector"));
}

#[test]
fn csv_files_are_read_with_and_without_header() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.csv");
    let with = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_points(&path)
    };
    assert_eq!(with("a,b\n1,2\n3, 4e-1\n").unwrap().as_columns().as_slice(), [1.0, 2.0, 3.0, 0.4]);
    assert_eq!(with("1,2\n3,4").unwrap().count(), 2);
    let cases = [
        ("1,2\n3\n", "line 2 has 1 fields; expected 2"),
        ("1,2\n3,x\n", "line 2, column 2: 'x' is not a number"),
        ("1,2\n3,\n", "line 2, column 2: '' is not a number"),
        ("a,b\n", "holds no numbers"),
        ("1,inf\n", "line 1, column 2: 'inf' is not a finite number in double precision"),
        ("a,b\n1,2\n1e400,0\n", "line 3, column 1: '1e400' is not a finite number"),
    ];
    for (text, expected) in cases {
        let found = message(with(text));
        assert!(found.contains(expected) && found.contains("x.csv"), "{found} lacks {expected}");
    }
}

#[test]
fn results_are_written_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let columns = DMatrix::from_column_slice(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for name in ["points.npy", "points.csv"] {
        let path = directory.path().join(name);
        write_point_columns(&path, &columns).unwrap();
        assert_eq!(read_points(&path).unwrap().as_columns(), &columns);
        write_matrix(&path, &columns.transpose()).unwrap();
        assert_eq!(read_points(&path).unwrap().as_columns(), &columns);
        write_vector(&path, &[1.5, -0.1]).unwrap();
        assert_eq!(read_vector(&path).unwrap(), [1.5, -0.1]);
    }
    let before = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(write_vector(&directory.path().join("x.txt"), &[1.0]).is_err());
    assert!(write_vector(&directory.path().join("no/such/x.npy"), &[1.0]).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), before, "nothing left behind");
}

#[test]
fn labels_need_exactly_two_classes() {
    assert_eq!(classes_to_signs("y", &[3.0, 7.0, 3.0]).unwrap(), [-1.0, 1.0, -1.0]);
    assert_eq!(
        message(classes_to_signs("y", &[1.0, 1.0])),
        "y has 1 distinct labels (1); expected exactly two classes"
    );
    assert!(message(classes_to_signs("y", &[0.0, 1.0, 2.0])).contains("3 distinct labels (0, 1, 2)"));
    assert!(message(classes_to_signs("y", &[0.0])).contains("expected at least two"));
    assert!(message(classes_to_signs("y", &[0.0, f64::NAN])).contains("row 1, column 0 is NaN"));
    assert_eq!(labels_like("t", &[3.0, 7.0], &[7.0, 3.0, 7.0]).unwrap(), [1.0, -1.0, 1.0]);
    assert!(message(labels_like("t", &[3.0, 7.0], &[5.0])).contains("row 0 has label 5; expected 3 or 7"));
}

/// What pandas writes for an array without names of columns, and other separators.
#[test]
fn headers_of_column_numbers_and_other_separators_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.csv");
    let read = |content: &str| {
        std::fs::write(&path, content).unwrap();
        perturbation_learning::data::read_points(&path).map_err(|error| error.to_string())
    };
    let refused = read("0,1,2\n0.5,1,2\n").unwrap_err();
    assert!(refused.contains("line 1 is 0,1,…,2, a header of column numbers"), "{refused}");
    for points in ["0.0,1,2\n0.5,1,2\n", "0,1\n0.5,1\n", "0.5,1,2\n0,1,2\n", "a,b,c\n0,1,2\n"] {
        assert!(read(points).is_ok(), "{points}");
    }
    for separator in [";", "\t", " "] {
        let refused = read(&format!("1{separator}2\n3{separator}4\n")).unwrap_err();
        assert!(refused.ends_with("(fields are separated by commas)"), "{refused}");
    }
}

#[test]
fn synthetic_sets_are_prefix_stable_and_distributed_as_stated() {
    for kind in [Synthetic::Gauss, Synthetic::ShiftedGauss] {
        let (small, large) = (synthetic(kind, 20, 100, 5, 4).unwrap(), synthetic(kind, 20, 4000, 9, 4).unwrap());
        assert_eq!(small.train.points().as_columns(), &large.train.points().as_columns().columns(0, 100).clone_owned());
        assert_ne!(small.train.points().point(0), small.test.point(0), "test points are fresh");
        // Mean of y·x over 4000·20 numbers: 0.3 or 0, standard error 0.0035; six of them.
        let signed = large.train.points().iter().zip(large.train.labels()).map(|(x, y)| y * x.iter().sum::<f64>());
        let mean = signed.sum::<f64>() / 80_000.0;
        let expected = if kind == Synthetic::ShiftedGauss { 0.3 } else { 0.0 };
        assert!((mean - expected).abs() < 6.0 * 0.0036, "{}: {mean}", kind.name());
    }
    assert!(synthetic(Synthetic::Gauss, 0, 10, 5, 0).is_err() && synthetic(Synthetic::Gauss, 3, 1, 5, 0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// What is written is read back bit for bit, in both formats.
    #[test]
    fn arrays_survive_a_round_trip(rows in 1..6_usize, cols in 1..6_usize, bits in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL, 36)) {
        let values: Vec<f64> = bits[..rows * cols].iter().map(|v| if v.abs() > 1e60 { 1.0 / v } else { *v }).collect();
        let points = Points::from_rows("x", rows, cols, values).unwrap();
        let directory = tempfile::tempdir().unwrap();
        for name in ["x.npy", "x.csv"] {
            let path = directory.path().join(name);
            write_point_columns(&path, points.as_columns()).unwrap();
            prop_assert_eq!(read_points(&path).unwrap(), points.clone());
        }
    }
}
