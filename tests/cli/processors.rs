//! Numbers agree across processors: what commands print and write, beside what one processor computed before.
//!
//! The reference, `tests/fixtures/processors.json`, was computed on a processor with AVX2 and FMA. Dense products choose
//! their blocking, and whether they fuse a multiplication with its addition, by the instructions at hand, and so does the
//! C library for its exponential and logarithm, so elsewhere last bits may differ. What follows from that is bounded
//! below, kind by kind; `docs/speed.md` ("The same numbers everywhere?") says where the figures come from. Whatever
//! is decided or counted in double precision (verdicts, shares, accuracies, agreements, certified points) must be equal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use perturbation_learning::data::{Synthetic, synthetic, write_point_columns};
use perturbation_learning::problem::Slope;
use perturbation_learning::theory::{Predictor, bound::closed_form_error_bound};
use serde_json::{Value, json};

use crate::place::{Place, text};

/// Set to a program with its options (`qemu-x86_64 -cpu Nehalem`) under which the commands run: another processor.
const EMULATOR: &str = "PERTLEARN_EMULATOR";
/// Set to 1 to write the reference again, after a change of the numbers that was meant.
const WRITE: &str = "PERTLEARN_WRITE_REFERENCE";

/// N and M of the files that commands read, and N of the sets that they draw.
const COUNT: usize = 60;
const DIM: usize = 20;

// Differences that are allowed, relative to the largest number of the same array, or to the number itself if it stands
// alone. Where none is proved that is of use, they are ten times the largest between a processor with AVX2 and FMA and
// one without in 68 commands of older versions, many on larger sets: docs/speed.md lists those maxima, and beside them
// what the commands below differ by.

/// Kernels, limits and the flow: ten times 1.3e-15. Proved is more (R3 to R5, twice their slacks; for limits a test below
/// compares).
const CLOSED: f64 = 1.3e-14;
/// `learn` in double precision with flows, and hunts through the same pipeline: ten times 6.8e-15, which `learn` showed on
/// larger sets.
const PIPELINE: f64 = 6.8e-14;
/// The bounds that `certify` prints are small differences of numbers of order one: ten times 2.3e-12.
const CERTIFIED: f64 = 2.3e-11;
/// `verify` fits rates to deviations, which magnifies rounding: ten times 8.0e-14.
const VERIFIED: f64 = 8.0e-13;
/// Single precision: gradients jump where a neuron's boundary lies on a training point, so g learns from other data. What
/// was observed with the identity loss at N = 1000 (2.2e-3), rounded down: sets are smaller here.
const SINGLE: f64 = 2e-3;

/// What may differ, and by how much.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// For numbers, relatively.
    numbers: f64,
    /// For shares, accuracies and agreements, absolutely.
    shares: f64,
}

impl Rule {
    fn of(numbers: f64) -> Self {
        Rule { numbers, shares: 0.0 }
    }

    /// No bound is proved for descent, whose dynamics may magnify rounding: steps·N·ε, as in `tests/descent.rs`.
    fn descent(steps: usize) -> Self {
        Rule::of((steps * COUNT) as f64 * f64::EPSILON)
    }

    /// A share may move by two points.
    fn single() -> Self {
        Rule { numbers: SINGLE, shares: 2.0 / COUNT as f64 }
    }

    /// The allowance for a number under this key, as a multiple of `scale` or absolutely.
    fn allowance(&self, key: &str, scale: f64) -> f64 {
        match key {
            _ if is_share(key) => self.shares,
            "error_f" | "error_g" => CERTIFIED * scale,
            _ => self.numbers * scale,
        }
    }
}

/// Counts divided by counts, which rounding only moves if it moves a sign.
fn is_share(key: &str) -> bool {
    ["accuracy", "agreement", "share", "mismatch", "sign_errors"].iter().any(|word| key.contains(word))
}

/// A command, the files that it writes, and what may differ.
fn commands() -> Vec<(String, &'static [&'static str], Rule)> {
    let drawn = format!("--data shifted-gauss --input-dim {DIM} --train-count {COUNT} --test-count {COUNT}");
    let learn = |rest: &str| format!("learn {drawn} --epsilon 0.1 {rest}");
    let descent = "--descent --learning-rate 1 --learning-rate-perturbed 0.5 --momentum 0.9 --plateau \
                   --steps 100 --steps-perturbed 100";
    let given = "--train x.npy --labels y.npy --test z.npy";
    let predict = |loss: &str| format!("predict {given} --time 2 --loss {loss} --out f.npy");
    let train = |rest: &str| format!("train {given} {rest} --out f.npy --gradient-out r.npy --weights-out w");
    let certify = format!(
        "certify {drawn} --scenario a --epsilon 2 --time 2 --time-perturbed 0.3 --failure-probability 0.1 --balanced \
         --test-points 20"
    );
    let trained: &[&str] = &["f.npy", "r.npy", "w/hidden.npy", "w/bias.npy"];
    vec![
        ("kernel --x x.npy --z z.npy --slope 0.2 --out k.npy".into(), &["k.npy"], Rule::of(CLOSED)),
        (predict("identity"), &["f.npy"], Rule::of(CLOSED)),
        (predict("squared"), &["f.npy"], Rule::of(CLOSED)),
        (predict("logistic"), &["f.npy"], Rule::of(CLOSED)),
        (train("--width 100 --flow --time 2"), trained, Rule::of(CLOSED)),
        (
            train("--width 40 --descent --learning-rate 1 --momentum 0.9 --plateau --steps 150"),
            trained,
            Rule::descent(150),
        ),
        // From 64 neurons on sums are looked up.
        (train("--width 90 --descent --learning-rate 0.5 --steps 60 --loss logistic"), trained, Rule::descent(60)),
        (learn("--scenario b --width 90 --flow --time 1 --time-perturbed 2"), &[], Rule::of(PIPELINE)),
        (learn(&format!("--scenario a --width 40 {descent}")), &[], Rule::descent(200)),
        (learn(&format!("--scenario b --width 40 {descent} --loss logistic")), &[], Rule::descent(200)),
        (learn(&format!("--scenario b --width 40 {descent} --precision f32")), &[], Rule::single()),
        // Widths at which some points are certified and some are not, a tenth and 90 %.
        (format!("{certify} --width 65536 --samples 4000"), &[], Rule::of(CLOSED)),
        (format!("{certify} --width 262144 --method closed-form"), &[], Rule::of(CLOSED)),
        // How far certified networks g move: a hunt through limits, bounds and flows, whose path must be the same.
        ("falsify --bound A2 --evaluations 64".into(), &[], Rule::of(PIPELINE)),
        (
            "verify --quick --data shifted-gauss --input-dim 10 --train-count 60 --widths 64,256,512 --networks 4"
                .into(),
            &[],
            Rule::of(VERIFIED),
        ),
        // Other than default values of the options above.
        (
            learn(
                "--scenario a --slope 0.3 --init antisymmetric --readout rademacher --width 90 --flow --time 0.4 \
                 --time-perturbed 2 --expect",
            ),
            &[],
            Rule::of(PIPELINE),
        ),
        (
            certify.replace("--scenario a", "--scenario b").replace("--balanced", "--slope 0.3 --share 0.3")
                + " --samples 2000",
            &[],
            Rule::of(CLOSED),
        ),
        (
            "verify --quick --data gauss --input-dim 10 --train-count 60 --widths 64,128,256 --networks 4 --slope 0.3 \
             --readout rademacher"
                .into(),
            &[],
            Rule::of(VERIFIED),
        ),
    ]
}

/// What a command prints as JSON, without times and prose, and a part of the numbers in the files that it writes.
fn document(emulator: &[String], words: &str, files: &[&str]) -> Value {
    let place = Place::empty();
    let data = synthetic(Synthetic::ShiftedGauss, DIM, COUNT, COUNT, 5).unwrap();
    write_point_columns(&place.path("x.npy"), data.train.points().as_columns()).unwrap();
    place.vector("y.npy", data.train.labels());
    write_point_columns(&place.path("z.npy"), data.test.as_columns()).unwrap();

    let program = [emulator, &[env!("CARGO_BIN_EXE_pertlearn").to_string()]].concat();
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).args(words.split_whitespace()).args(["--json", "-"]).current_dir(place.path("."));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words}\n{}", text(&output.stderr));
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    prune(&mut document);
    for file in files {
        document[*file] = summary(&read(&place, file));
    }
    document
}

/// Removes what differs from run to run, and texts that say no number.
fn prune(document: &mut Value) {
    match document {
        Value::Object(map) => {
            map.retain(|key, _| !["run", "seconds", "description", "statement", "about"].contains(&key.as_str()));
            map.values_mut().for_each(prune);
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

/// The numbers of a file: a matrix point after point, or a vector.
fn read(place: &Place, file: &str) -> Vec<f64> {
    let is_matrix = ["k.npy", "r.npy", "w/hidden.npy"].contains(&file);
    let numbers = if is_matrix { place.matrix(file).as_columns().as_slice().to_vec() } else { place.values(file) };
    // JSON would turn them into null.
    assert!(numbers.iter().all(|number| number.is_finite()), "{file}");
    numbers
}

/// Enough to notice a difference and little enough to keep: every number contributes to the mean square.
fn summary(numbers: &[f64]) -> Value {
    let square: f64 = numbers.iter().map(|x| x * x).sum();
    let some: Vec<f64> = numbers.iter().copied().step_by(numbers.len().div_ceil(30)).collect();
    json!({ "count": numbers.len(), "root_mean_square": (square / numbers.len() as f64).sqrt(), "some": some })
}

/// Two documents of one command side by side.
struct Comparison<'a> {
    command: &'a str,
    rule: Rule,
    complaints: Vec<String>,
    /// The difference that comes nearest to what is allowed: it, the allowance (both relative), and where it is.
    largest: (f64, f64, String),
}

impl<'a> Comparison<'a> {
    fn new(command: &'a str, rule: Rule, kept: &Value, found: &Value) -> Self {
        let largest = (0.0, rule.numbers, "nowhere".into());
        let mut comparison = Comparison { command, rule, complaints: Vec::new(), largest };
        comparison.values("", "", kept, found, 0.0);
        comparison
    }

    fn complain(&mut self, path: &str, kept: impl std::fmt::Display, found: impl std::fmt::Display) {
        self.complaints.push(format!("{}\n    {path}: expected {kept}, found {found}", self.command));
    }

    /// `key` is the last name on the path, `scale` the largest number of the array that the values stand in, or 0.
    fn values(&mut self, path: &str, key: &str, kept: &Value, found: &Value, scale: f64) {
        match (kept, found) {
            (Value::Object(a), Value::Object(b)) => {
                for (key, value) in a {
                    let path = format!("{path}/{key}");
                    match b.get(key) {
                        Some(other) => self.values(&path, key, value, other, 0.0),
                        None => self.complain(&path, value, "nothing"),
                    }
                }
                for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    self.complain(&format!("{path}/{key}"), "nothing", value);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let scale = a.iter().filter_map(Value::as_f64).fold(0.0, |largest, x| x.abs().max(largest));
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{path}/{index}"), key, a, b, scale);
                }
            }
            (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                self.numbers(path, key, (a, b), scale.max(a.abs()));
            }
            // Integers, verdicts, names, what is absent.
            _ if kept != found => self.complain(path, kept, found),
            _ => {}
        }
    }

    fn numbers(&mut self, path: &str, key: &str, (kept, found): (f64, f64), scale: f64) {
        let (difference, allowed) = ((kept - found).abs(), self.rule.allowance(key, scale));
        // So that a difference that is no number fails.
        let fits = difference <= allowed;
        if !fits {
            self.complain(path, format!("{kept} ± {allowed:.1e}"), format!("{found} ({difference:.1e} off)"));
        }
        if difference * self.largest.1 > self.largest.0 * allowed {
            self.largest = (difference / scale, allowed / scale, path.into());
        }
    }
}

/// The committed documents.
fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/processors.json")
}

/// A command a line, so that a change shows where it is.
fn write(documents: &BTreeMap<String, Value>) {
    let lines: Vec<String> =
        documents.iter().map(|(words, document)| format!("{}: {document}", json!(words))).collect();
    std::fs::write(reference(), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}

#[test]
fn numbers_agree_across_processors_within_what_is_stated() {
    let emulator: Vec<String> =
        std::env::var(EMULATOR).unwrap_or_default().split_whitespace().map(Into::into).collect();
    let mut documents = BTreeMap::new();
    for (words, files, _) in commands() {
        documents.insert(words.clone(), document(&emulator, &words, files));
    }
    if std::env::var(WRITE).is_ok_and(|value| value == "1") {
        assert!(emulator.is_empty(), "the reference is this processor's own");
        write(&documents);
    }
    let advice = format!("run `{WRITE}=1 cargo test --test cli processors` and look at the difference");
    let kept =
        std::fs::read_to_string(reference()).unwrap_or_else(|e| panic!("{}: {e}; {advice}", reference().display()));
    let kept: BTreeMap<String, Value> = serde_json::from_str(&kept).unwrap();
    assert!(kept.keys().eq(documents.keys()), "the reference is of other commands; {advice}");
    let mut complaints = Vec::new();
    for (words, _, rule) in commands() {
        let comparison = Comparison::new(&words, rule, &kept[&words], &documents[&words]);
        // Shown by `-- --nocapture`.
        let (difference, allowed, place) = &comparison.largest;
        println!("{difference:8.1e} of {allowed:.1e} at {place}: {words}");
        complaints.extend(comparison.complaints);
    }
    assert!(complaints.is_empty(), "{}\n{advice}, if it is meant", complaints.join("\n"));
}

/// A comparison that lets everything pass would look the same from outside.
#[test]
fn the_comparison_names_the_command_and_the_place_of_every_difference() {
    let kept = json!({
        "verdict": "held", "width": 64, "agreement": 0.5, "estimate": 0.75, "expected": null, "all_held": true,
        "cells": [{ "deviation": 2.0 }], "error_f": [4.0, 1e-9], "small": [1.0, 1e-9],
    });
    let rule = Rule::of(1e-10);
    let complaints = |rule: Rule, pointer: &str, value: Value| {
        let mut found = kept.clone();
        *found.pointer_mut(pointer).unwrap() = value;
        Comparison::new("learn --x", rule, &kept, &found).complaints
    };
    let refused = [
        ("/verdict", json!("rejected")),
        ("/all_held", json!(false)),
        ("/width", json!(65)),
        ("/width", json!(64.0)),
        ("/agreement", json!(0.5 + 1e-15)),
        ("/estimate", json!(0.75 * (1.0 + 2e-10))),
        ("/estimate", json!(f64::NAN)),
        ("/estimate", json!("0.75")),
        ("/expected", json!(0.75)),
        ("/cells/0/deviation", json!(2.0 * (1.0 - 2e-10))),
        ("/cells", json!([])),
        ("/error_f/1", json!(1e-9 + 2.0 * 4.0 * CERTIFIED)),
        ("/small/1", json!(1e-9 + 2e-10)),
        ("/small", json!([1.0])),
    ];
    for (path, value) in refused {
        let found = complaints(rule, path, value.clone());
        assert_eq!(found.len(), 1, "{path} {value}: {found:?}");
        assert!(found[0].starts_with("learn --x\n") && found[0].contains(&format!(" {path}: ")), "{found:?}");
    }
    let passed = [
        ("/estimate", json!(0.75 * (1.0 + 0.5e-10))),
        ("/error_f/1", json!(1e-9 + 0.5 * 4.0 * CERTIFIED)),
        ("/small/1", json!(1e-9 + 0.5e-10)),
    ];
    for (path, value) in passed {
        assert_eq!(complaints(rule, path, value), Vec::<String>::new());
    }
    // Two points of a share, and no third, in single precision.
    let share = |points: f64| complaints(Rule::single(), "/agreement", json!(0.5 - points / COUNT as f64)).len();
    assert_eq!((share(1.9), share(3.0)), (0, 1));
    // A key that is gone, and one that is new.
    let mut other = kept.clone();
    other.as_object_mut().unwrap().remove("estimate");
    for (a, b) in [(&kept, &other), (&other, &kept)] {
        let found = Comparison::new("learn --x", rule, a, b).complaints;
        assert!(found.len() == 1 && found[0].contains("/estimate: expected ") && found[0].contains("nothing"));
    }
}

/// So a difference that the tolerance lets pass is one that rounding may make (R4; each processor may be off by the bound).
#[test]
fn the_tolerance_of_closed_forms_is_below_what_is_proved() {
    let data = synthetic(Synthetic::ShiftedGauss, DIM, COUNT, COUNT, 5).unwrap();
    let limit = Predictor::identity(&data.train, Slope::RELU, 1.0).unwrap().values(&data.test).unwrap();
    let proved = closed_form_error_bound(&data.train, Slope::RELU, &data.test).unwrap();
    let largest = |numbers: &[f64]| numbers.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let (allowed, proved) = (CLOSED * largest(&limit), 2.0 * largest(&proved));
    assert!(allowed <= proved, "{allowed:e} {proved:e}");
}
