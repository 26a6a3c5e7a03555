//! `paper` and `merge`: storing, resuming after `kill -9`, sharding.

use perturbation_learning::data::{ClassPair, load_idx_directory};
use perturbation_learning::experiment::paper::parameters::data_digest;

use crate::place::{Place, idx_images, idx_labels, text};

/// A sweep of a second: 2 seeds of the panel of g's steps, 20 runs.
const TINY: &str = "paper shifted-gauss-b --panel steps-g --seeds 2 --without-theory";

/// Lines of a file, sorted.
fn sorted(place: &Place, name: &str) -> Vec<String> {
    let mut lines: Vec<String> = text(&place.bytes(name)).lines().map(Into::into).collect();
    lines.sort();
    lines
}

#[test]
fn a_sweep_writes_runs_tables_and_figures_and_resumes_to_the_same_file() {
    let place = Place::empty();
    let words = format!("{TINY} --out o");
    let table = place.succeed(&words);
    assert!(table.contains("20 runs, 0 of them finished; memory at most"), "{table}");
    let names = ["runs.jsonl", "runs.csv", "paper.json", "shifted-gauss-b.svg", "shifted-gauss-b.png"];
    for name in names.into_iter().chain(["shifted-gauss-b.csv"]) {
        assert!(place.path(&format!("o/{name}")).exists(), "{name}");
    }
    let whole = sorted(&place, "o/runs.jsonl");
    assert_eq!(whole.len(), 21);
    let refused = place.run(&words);
    assert!(text(&refused.stderr).contains("exists already; continue it with --resume"));
    let other = place.run(&format!("{TINY} --seed 1 --out o --resume"));
    assert!(text(&other.stderr).contains("was made with --seed 0; this call has --seed 1"), "{}", text(&other.stderr));

    // Damage in the last line is redone, damage elsewhere named.
    let bytes = place.bytes("o/runs.jsonl");
    std::fs::write(place.path("o/runs.jsonl"), &bytes[..bytes.len() - 40]).unwrap();
    let table = place.succeed(&format!("{words} --resume --only-grid"));
    assert!(table.contains("damaged end cut off") && table.contains("20 runs, 19 of them finished"), "{table}");
    assert_eq!(sorted(&place, "o/runs.jsonl"), whole);
    let damaged = text(&place.bytes("o/runs.jsonl")).replacen("\"seed\":1", "\"seed\":2", 1);
    std::fs::write(place.path("o/runs.jsonl"), damaged).unwrap();
    let refused = text(&place.run(&format!("{words} --resume")).stderr);
    assert!(refused.contains("is damaged: its content has checksum"), "{refused}");

    // Two shards, merged, are the same file.
    for shard in ["1/2", "2/2"] {
        place.succeed(&format!("{TINY} --out s --shard {shard} --threads 1"));
    }
    place.succeed("merge s/runs-2-of-2.jsonl s/runs-1-of-2.jsonl --out merged.jsonl");
    assert_eq!(sorted(&place, "merged.jsonl"), whole);
    let missing = text(&place.run("merge s/runs-1-of-2.jsonl --out m2.jsonl").stderr);
    assert!(missing.contains("runs are missing from this sweep: ") && missing.contains("shard 2/2"), "{missing}");
}

#[cfg(unix)]
#[test]
fn a_killed_sweep_loses_at_most_the_runs_in_flight() {
    let place = Place::empty();
    let words = format!("{TINY} --only-grid --threads 1");
    place.succeed(&format!("{words} --out whole"));
    let mut child =
        place.command(&format!("{words} --out killed")).stdout(std::process::Stdio::null()).spawn().unwrap();
    let lines =
        || std::fs::read(place.path("killed/runs.jsonl")).map_or(0, |b| b.iter().filter(|c| **c == b'\n').count());
    while lines() < 4 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // SIGKILL, in the middle of something.
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lines();
    assert!((4..21).contains(&before), "{before}");
    let table = place.succeed(&format!("{words} --out killed --resume"));
    assert!(table.contains(&format!("20 runs, {} of them finished", before - 1)), "{table}");
    assert_eq!(sorted(&place, "killed/runs.jsonl"), sorted(&place, "whole/runs.jsonl"));
}

/// Writes the training and test files of an image set of 2 × 2 pixels.
fn write_set(place: &Place, directory: &str, labels: &[u8], test_labels: &[u8]) {
    std::fs::create_dir_all(place.path(directory)).unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(place.path(&format!("{directory}/{name}")), bytes).unwrap();
    for (split, labels, shift) in [("train", labels, 0), ("t10k", test_labels, 16)] {
        let pixels: Vec<u8> = (shift..shift + 4 * labels.len()).map(|i| (37 * i % 251) as u8).collect();
        write(&format!("{split}-images-idx3-ubyte"), idx_images(labels.len() as u32, 2, &pixels));
        write(&format!("{split}-labels-idx1-ubyte"), idx_labels(labels));
    }
}

/// The rows of a table of runs: (input_dim, train_count, data, data_digest).
fn sets_of_runs(place: &Place, name: &str) -> Vec<[String; 4]> {
    let table = text(&place.bytes(name));
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let column = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let columns = ["input_dim", "train_count", "data", "data_digest"].map(column);
    lines.map(|row| columns.map(|at| row[at].to_string())).collect()
}

/// The classes of the paper, less the mean pixel of each complete set: 0.1307 for MNIST, 0.2860 for Fashion-MNIST.
#[test]
fn full_image_sets_are_read_from_a_directory() {
    let place = Place::empty();
    // The third label of each belongs to neither class.
    write_set(&place, "sets/mnist", &[1, 2, 7, 1, 2, 1, 1, 2], &[2, 1, 1, 2]);
    write_set(&place, "sets/fashion", &[9, 0, 1, 9, 9, 0, 0], &[0, 9, 9]);
    let sets = [("mnist", (1, 2), 0.1307, "7"), ("fashion", (0, 9), 0.2860, "6")];
    for (name, (positive, negative), mean, count) in sets {
        let words = "--panel default --seeds 1 --scale full --only-grid --data-dir sets";
        assert!(place.succeed(&format!("paper {name}-a {words} --out {name}")).contains("4 runs, 0 of them finished"));
        let classes = ClassPair { positive, negative };
        let set = load_idx_directory(&place.path(&format!("sets/{name}")), classes, Some(mean)).unwrap();
        let row = ["4".into(), count.into(), name.to_string(), data_digest(&set)];
        assert_eq!(sets_of_runs(&place, &format!("{name}/runs.csv")), vec![row; 4]);
    }
}

#[test]
fn the_small_scale_has_the_first_200_training_images_of_each_class() {
    let place = Place::empty();
    let labels: Vec<u8> = (0..470).map(|n| if n % 3 == 0 { 1 } else { 2 }).chain([1; 60]).collect();
    write_set(&place, "sets/mnist", &labels, &[2, 1, 1, 2]);
    let classes = ClassPair { positive: 1, negative: 2 };
    let set = load_idx_directory(&place.path("sets/mnist"), classes, Some(0.1307)).unwrap();
    for (scale, expected) in [("small", &set.shortened(200)), ("full", &set)] {
        let words = format!("paper mnist-b --panel default --seeds 1 --scale {scale} --only-grid --without-theory");
        place.succeed(&format!("{words} --data-dir sets --out {scale}"));
        let count = if scale == "small" { "400" } else { "530" };
        let row = ["4".into(), count.into(), "mnist".to_string(), data_digest(expected)];
        let found = sets_of_runs(&place, &format!("{scale}/runs.csv"));
        assert!(!found.is_empty() && found.iter().all(|run| *run == row), "{found:?} {row:?}");
    }
}

#[test]
fn unusable_requests_are_refused_before_anything_is_run() {
    let place = Place::empty();
    let cases = [
        ("paper mnist-a --panel count", "panels that --panel names is empty"),
        ("paper maps --shard 1/2", "maps: --shard"),
        ("paper gauss-a --shard 3/2", "expected I/K"),
        ("paper gauss-a --seeds 0", "0 is not in 1..="),
        ("paper mnist-a --data-dir nowhere", "nowhere/mnist is no directory"),
        ("merge nothing.jsonl", "nothing.jsonl"),
    ];
    for (words, expected) in cases {
        let output = place.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(text(&output.stderr).contains(expected), "{words}: {}", text(&output.stderr));
    }
}
