//! Files that a command names: results keep clear of what is read and of each other, and stay if nobody can listen.

use std::path::Path;

use crate::bad_input::{CERTIFY, FLOW, USER, refuse};
use crate::place::Place;
#[cfg(unix)]
use crate::place::{idx_images, idx_labels};

const TINY_SWEEP: &str = "paper shifted-gauss-b --panel default --seeds 1 --without-theory --only-grid";
const TINY_VERIFY: &str = "verify --data shifted-gauss --input-dim 10 --train-count 40 --widths 32,64,256 --networks 4";

/// A directory with IDX files: sixteen images for training, and four to test.
#[cfg(unix)]
fn images(place: &Place, name: &str) {
    std::fs::create_dir_all(place.path(name)).unwrap();
    let write = |file: &str, bytes: Vec<u8>| std::fs::write(place.path(&format!("{name}/{file}")), bytes).unwrap();
    let pixels: Vec<u8> = (0..64_u8).map(|i| i.wrapping_mul(37)).collect();
    write("train-images-idx3-ubyte", idx_images(16, 2, &pixels));
    // Files are recognised as packed by their content, so any may bear this name.
    write("train-labels-idx1-ubyte.gz", idx_labels(&[1, 2].repeat(8)));
    write("t10k-images-idx3-ubyte", idx_images(4, 2, &pixels[16..32]));
    write("t10k-labels-idx1-ubyte", idx_labels(&[2, 1, 1, 2]));
}

#[cfg(unix)]
fn link(place: &Place, target: &str, name: &str) {
    std::os::unix::fs::symlink(target, place.path(name)).unwrap();
}

#[test]
fn an_archive_is_read_whichever_member_is_named() {
    let place = Place::empty();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/two.npz");
    std::fs::copy(fixture, place.path("data.npz")).unwrap();
    let data = "--train data.npz:x --labels data.npz:y --test data.npz:x";
    for words in [
        "kernel --x data.npz:x --out new.npy".to_string(),
        format!("predict {data} --time 1 --out new.npy"),
        format!("train {data} --width 8 --flow --time 1 --out new.npy"),
        format!("learn {data} --scenario a --epsilon 1 --width 8 {FLOW}"),
        format!("certify {data} {CERTIFY} --width 8"),
    ] {
        for name in ["data.npz", "./data.npz"] {
            refuse(&place, &format!("{words} --json {name}"), &[&format!("{name}: read and to be written")]);
        }
    }
    place.succeed(&format!("predict {data} --time 1 --out f.npy"));
}

#[cfg(unix)]
#[test]
fn the_files_of_an_image_directory_are_read() {
    let place = Place::empty();
    images(&place, "sets/mnist");
    link(&place, "sets/mnist", "linked");
    link(&place, "sets/mnist/t10k-labels-idx1-ubyte", "link.json");
    link(&place, "sets/mnist/train-images-idx3-ubyte", "link.csv");
    let data = "--data sets/mnist --classes 1 2";
    let verify = "verify --data gauss --data sets/mnist --classes 1 2 --out new";
    for words in [
        format!("learn {data} --scenario a --epsilon 1 --width 8 {FLOW}"),
        format!("certify {data} {CERTIFY} --width 8"),
        verify.into(),
        "paper mnist-a --panel default --seeds 1 --data-dir sets --out new".into(),
    ] {
        for name in [
            "sets/mnist/train-labels-idx1-ubyte.gz",
            "sets/mnist/train-images-idx3-ubyte",
            "./sets/mnist/../mnist/t10k-images-idx3-ubyte",
            "linked/t10k-labels-idx1-ubyte",
            "link.json",
        ] {
            refuse(&place, &format!("{words} --json {name}"), &[&format!("{name}: read and to be written")]);
        }
    }
    let words = format!("certify {data} {CERTIFY} --width 8 --out link.csv");
    refuse(&place, &words, &["link.csv: read and to be written"]);
    std::fs::create_dir(place.path("new")).unwrap();
    link(&place, "../sets/mnist/train-images-idx3-ubyte", "new/verify.json");
    refuse(&place, verify, &["new/verify.json: read and to be written"]);
}

#[test]
fn a_store_of_runs_is_not_written_over() {
    let place = Place::empty();
    std::fs::create_dir(place.path("o")).unwrap();
    let words = format!("{TINY_SWEEP} --out o");
    refuse(&place, &format!("{words} --json o/runs.jsonl"), &["o/runs.jsonl: named for two results"]);
    place.succeed(&words);
    let runs = place.bytes("o/runs.jsonl");
    for name in ["o/runs.jsonl", "./o/../o/runs.jsonl"] {
        refuse(&place, &format!("{words} --resume --json {name}"), &[&format!("{name}: named for two results")]);
    }
    for shard in ["1/2", "2/2"] {
        place.succeed(&format!("{words} --shard {shard}"));
    }
    // Other parts of the same sweep, which this call does not open.
    let other = "o/runs-2-of-2.jsonl";
    for words in [format!("{words} --resume"), format!("{words} --resume --shard 1/2")] {
        refuse(&place, &format!("{words} --json {other}"), &[&format!("{other}: read and to be written")]);
    }
    assert_eq!(place.bytes("o/runs.jsonl"), runs);
    // Wall times lie beside the runs.
    let merge = "merge o/runs-1-of-2.jsonl o/runs-2-of-2.jsonl";
    refuse(&place, &format!("{merge} --out o/runs-1-of-2.times.jsonl"), &["runs-1-of-2.times.jsonl: read and to be"]);
    refuse(&place, &format!("{merge} --out o/runs-1-of-2.csv"), &["runs-1-of-2.times.jsonl: read and to be written"]);
    place.succeed(&format!("{merge} --out o/merged.jsonl"));
}

/// By whatever names they go, two results do not lie in one place.
#[cfg(unix)]
#[test]
fn every_result_has_a_place_of_its_own() {
    let place = Place::with_data();
    for directory in ["w", "o"] {
        std::fs::create_dir(place.path(directory)).unwrap();
    }
    for name in ["old.npy", "old.csv", "w/bias.npy"] {
        std::fs::write(place.path(name), "old").unwrap();
    }
    for (target, name) in
        [("old.npy", "one.npy"), ("old.npy", "two.npy"), ("old.csv", "one.json"), ("w", "v"), ("w/bias.npy", "b.json")]
    {
        link(&place, target, name);
    }
    let train = format!("train {USER} --width 8 --flow --time 1");
    let certify = format!("certify {USER} {CERTIFY} --width 8");
    let sweep = "paper shifted-gauss-b --panel default --seeds 1 --without-theory --out o";
    for (words, name) in [
        (format!("{train} --out g1.npy --initial-out ./g1.npy"), "./g1.npy"),
        (format!("{train} --out one.npy --initial-out two.npy"), "two.npy"),
        (format!("{train} --out one.npy --gradient-out old.npy"), "old.npy"),
        (format!("{train} --out w/hidden.npy --weights-out w"), "w/hidden.npy"),
        (format!("{train} --out w/readout.npy --weights-out ./v"), "w/readout.npy"),
        (format!("{train} --out g.npy --weights-out w --json w/bias.npy"), "w/bias.npy"),
        (format!("{train} --out g.npy --weights-out v --json w/bias.npy"), "w/bias.npy"),
        (format!("{train} --out g.npy --weights-out w --json b.json"), "b.json"),
        (format!("{train} --out g2.csv --json ./g2.csv"), "./g2.csv"),
        ("kernel --x x.npy --out k.csv --json o/../k.csv".into(), "o/../k.csv"),
        (format!("predict {USER} --time 1 --out f.csv --json ./f.csv"), "./f.csv"),
        (format!("{certify} --out c9.csv --json ./c9.csv"), "./c9.csv"),
        (format!("{certify} --out old.csv --json one.json"), "one.json"),
        ("tightness --quick --out t.csv --json ./t.csv".into(), "./t.csv"),
        (format!("{TINY_VERIFY} --out o --json o/verify.json"), "o/verify.json"),
        (format!("{sweep} --json o/runs.jsonl"), "o/runs.jsonl"),
        (format!("{sweep} --json ./o/runs.times.jsonl"), "./o/runs.times.jsonl"),
        (format!("{sweep} --json o/runs.csv"), "o/runs.csv"),
        (format!("{sweep} --json o/paper.json"), "o/paper.json"),
        (format!("{sweep} --json o/shifted-gauss-b.csv"), "o/shifted-gauss-b.csv"),
        (format!("{sweep} --json o/shifted-gauss-b.png"), "o/shifted-gauss-b.png"),
        (format!("{sweep} --json o/shifted-gauss-b.svg"), "o/shifted-gauss-b.svg"),
        (format!("{sweep} --shard 1/2 --json o/runs-1-of-2.jsonl"), "o/runs-1-of-2.jsonl"),
        (format!("{sweep} --shard 1/2 --json o/runs-1-of-2.times.jsonl"), "o/runs-1-of-2.times.jsonl"),
        ("paper maps --out o --json o/maps.csv".into(), "o/maps.csv"),
    ] {
        refuse(&place, &words, &[&format!("{name}: named for two results; expected a file for each")]);
    }
    // Neighbours do not disturb, nor does what swallows everything.
    place.succeed(&format!("{train} --out w/f.npy --initial-out w/f0.npy --weights-out w --json w/train.json"));
    std::os::unix::fs::symlink("/dev/null", place.path("null.csv")).unwrap();
    place.succeed(&format!("{certify} --out null.csv --json /dev/null"));
    place.succeed(&format!("{TINY_SWEEP} --out o --json o/other.json"));
}

/// Standard output that takes nothing is an error, but loses no file.
#[cfg(target_os = "linux")]
#[test]
fn files_are_written_though_standard_output_fails() {
    let place = Place::with_data();
    let learn = format!("learn {USER} --scenario a --epsilon 1 --width 8 {FLOW}");
    let certify = format!("certify {USER} {CERTIFY} --width 8");
    for (words, names) in [
        (format!("{TINY_VERIFY} --out v --json v.json"), ["v/verify.json", "v.json"]),
        (format!("{learn} --json l.json"), ["l.json"; 2]),
        ("falsify --bound G6 --evaluations 64 --json f.json".into(), ["f.json"; 2]),
        ("falsify --list --json list.json".into(), ["list.json"; 2]),
        ("tightness --quick --evaluations 0 --out t.csv --json t.json".into(), ["t.csv", "t.json"]),
        (format!("{certify} --out c.csv --json c.json"), ["c.csv", "c.json"]),
        (format!("{certify} --out d.csv --json -"), ["d.csv"; 2]),
        (format!("{TINY_SWEEP} --out p --json p.json"), ["p/runs.csv", "p.json"]),
        ("kernel --x x.npy --out k.npy --json -".into(), ["k.npy"; 2]),
        (format!("train {USER} --width 8 --flow --time 1 --out g.npy --json -"), ["g.npy"; 2]),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(&words).stdout(full).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}\n{message}");
        assert!(message.contains("standard output: No space left"), "{words}\n{message}");
        for name in names {
            assert!(!place.bytes(name).is_empty(), "{words}: {name}");
        }
    }
}
