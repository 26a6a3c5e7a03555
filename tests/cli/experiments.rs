//! `learn` and `verify` on every kind of data; threads, seeds, standard output and help.

use perturbation_learning::data::{Synthetic, synthetic};
use perturbation_learning::problem::{Scenario, Slope};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::theory::{Predictor, limit_training_set};
use serde_json::Value;

use crate::place::{Place, idx_images, idx_labels, text};

const LEARN_KEYS: [&str; 8] = [
    "accuracy_clean",
    "accuracy_perturbed",
    "agreement",
    "agreement_limit",
    "cosine_weighted_sum",
    "cosine_limit_gradient",
    "deviation_f",
    "deviation_g",
];

/// The contract's keys are there, shares lie in [0, 1], cosines in [−1, 1], deviations are not negative.
fn check_outcome(json: &Value, words: &str) {
    for key in LEARN_KEYS {
        let value = json[key].as_f64().unwrap_or_else(|| panic!("{words}: no {key}"));
        let limit = if key.starts_with("deviation") { f64::INFINITY } else { 1.0 + 1e-12 };
        let least = if key == "cosine_limit_gradient" { -limit } else { 0.0 };
        assert!((least..=limit).contains(&value), "{words}: {key} = {value}");
    }
}

const FLOW: &str = "--flow --time 1 --time-perturbed 2";
const DESCENT: &str = "--descent --learning-rate 0.1 --learning-rate-perturbed 0.2 --steps 6 --steps-perturbed 4";

#[test]
fn learn_takes_every_kind_of_data() {
    let place = Place::with_data();
    std::fs::create_dir(place.path("images")).unwrap();
    let pixels: Vec<u8> = (0..24 * 4_u8).map(|i| i.wrapping_mul(37)).collect();
    let labels: Vec<u8> = (0..24).map(|n| [3, 5, 8][n % 3]).collect();
    std::fs::write(place.path("images/train-images-idx3-ubyte"), idx_images(24, 2, &pixels)).unwrap();
    std::fs::write(place.path("images/train-labels-idx1-ubyte"), idx_labels(&labels)).unwrap();
    // (data, N, d, whether test labels are known)
    let sources = [
        ("--data mnist", 1600, 784, true),
        ("--data fashion", 1000, 784, true),
        ("--data gauss --input-dim 4 --train-count 30 --test-count 9", 30, 4, true),
        ("--data shifted-gauss --input-dim 4 --train-count 31", 31, 4, true),
        ("--data images --classes 8 3", 12, 4, true),
        ("--data images --classes 8 3 --pixel-mean 0.25", 12, 4, true),
        ("--train x.npy --labels y.npy --test z.npy", 12, 3, false),
        ("--train x.npy --labels y.npy --test z.npy --test-labels yz.npy", 12, 3, true),
    ];
    for (data, train_count, input_dim, tested) in sources {
        let words = format!("learn {data} --scenario b --epsilon 0.5 --width 64 {FLOW}");
        let json = place.json(&words);
        check_outcome(&json, &words);
        assert_eq!(json["train_count"].as_u64(), Some(train_count), "{words}");
        assert_eq!(json["input_dim"].as_u64(), Some(input_dim), "{words}");
        assert_eq!(json["accuracy_clean_test"].is_f64(), tested, "{words}");
        assert_eq!((json["time"].as_f64(), json["time_perturbed"].as_f64()), (Some(1.0), Some(2.0)));
    }
}

#[test]
fn learn_takes_every_option() {
    let place = Place::with_data();
    let methods = [
        FLOW.to_string(),
        DESCENT.into(),
        format!("{DESCENT} --momentum 0.9 --plateau --loss logistic --precision f32"),
        format!("{DESCENT} --loss squared"),
        format!("{DESCENT} --loss exponential"),
    ];
    let others = [
        "--scenario a",
        "--scenario b",
        "--scenario a --init antisymmetric --readout rademacher",
        "--scenario b --slope 0.3",
    ];
    let mut outcomes = Vec::new();
    for method in methods {
        for other in others {
            let words =
                format!("learn --train x.npy --labels y.npy --test z.npy {other} --epsilon 0.5 --width 32 {method}");
            let json = place.json(&words);
            check_outcome(&json, &words);
            outcomes.push((words, json["deviation_g"].as_f64()));
        }
    }
    // Every option does something.
    for (index, (words, value)) in outcomes.iter().enumerate() {
        assert!(outcomes[..index].iter().all(|other| other.1 != *value), "{words}: as with other options");
    }
}

#[test]
fn learn_prints_a_table_and_writes_the_json_file() {
    let place = Place::with_data();
    let words = format!("learn --data gauss --input-dim 4 --train-count 9 --scenario a --epsilon 1 --width 8 {FLOW}");
    let table = place.succeed(&format!("{words} --json out.json"));
    assert!(table.contains("agreement of f and g"), "{table}");
    let json: Value = serde_json::from_slice(&place.bytes("out.json")).unwrap();
    check_outcome(&json, &words);
}

#[test]
fn learn_says_what_theory_expects_of_its_width() {
    let place = Place::with_data();
    let words = format!("learn --data gauss --input-dim 4 --train-count 9 --scenario a --epsilon 1 {FLOW}");
    let expected = |width: usize| -> Vec<f64> {
        let json = place.json(&format!("{words} --init antisymmetric --width {width} --expect"));
        ["expected_deviation_f", "expected_deviation_g"].map(|key| json[key].as_f64().unwrap()).into()
    };
    let (narrow, wide) = (expected(100), expected(10_000));
    // f like m^(−1/2), g between that and m^(−1/4).
    assert!((narrow[0] / wide[0] - 10.0).abs() < 1e-9, "{narrow:?} {wide:?}");
    assert!(narrow[1] / wide[1] < 10.0 && narrow[1] / wide[1] > 10_f64.sqrt(), "{narrow:?} {wide:?}");
    let table = place.succeed(&format!("{words} --init antisymmetric --width 100 --expect --json out.json"));
    assert!(table.contains("expected at this width"), "{table}");
    assert!(place.json(&format!("{words} --width 100"))["expected_deviation_g"].is_null());
    let refused = text(&place.run(&format!("{words} --width 100 --expect")).stderr);
    assert!(refused.contains("does not cover standard initialisation; expected the antisymmetric one"), "{refused}");
}

/// After no time the function has not moved, but the direction in which it is about to is known. By time 10⁻⁹ gradients of order 1 have
/// moved by numbers of order 10⁻⁹.
#[test]
fn at_time_zero_cosines_are_those_of_the_first_moment() {
    let place = Place::empty();
    let words = "learn --data gauss --input-dim 4 --train-count 9 --scenario a --epsilon 1 --width 64 --time-perturbed 1 --flow";
    let cosines = |time: &str| {
        let json = place.json(&format!("{words} --time {time}"));
        ["cosine_limit_gradient", "cosine_weighted_sum"].map(|key| json[key].as_f64().unwrap())
    };
    let (none, little) = (cosines("0"), cosines("1e-9"));
    assert!(none.iter().zip(little).all(|(a, b)| *a != 0.0 && (a - b).abs() < 1e-6), "{none:?} {little:?}");
    let zero = place.json(&words.replace(
        "--time-perturbed 1 --flow",
        "--descent --learning-rate 1 --learning-rate-perturbed 1 --steps 0 --steps-perturbed 0",
    ));
    assert!(zero["time"].as_f64().unwrap().is_sign_positive() && zero["time_perturbed"] == 0.0);
}

#[test]
fn files_do_not_depend_on_the_number_of_threads_but_on_the_seed() {
    let place = Place::with_data();
    let data = "--train x.npy --labels y.npy --test z.npy";
    let commands = [
        format!("train {data} --width 3000 --flow --time 1"),
        format!("train {data} --width 3000 --descent --learning-rate 0.1 --steps 5 --loss squared"),
        format!("train {data} --width 3000 --descent --learning-rate 0.1 --steps 5"),
    ];
    for words in commands {
        place.succeed(&format!("{words} --threads 1 --seed 3 --out one.npy"));
        place.succeed(&format!("{words} --threads 3 --seed 3 --out three.npy"));
        place.succeed(&format!("{words} --seed 4 --out other.npy"));
        assert_eq!(place.bytes("one.npy"), place.bytes("three.npy"), "{words}");
        assert_ne!(place.bytes("one.npy"), place.bytes("other.npy"), "{words}");
    }
    // Closed forms draw nothing.
    for words in ["kernel --x x.npy --z z.npy", &format!("predict {data} --loss logistic --time 2")] {
        place.succeed(&format!("{words} --threads 1 --out one.npy"));
        place.succeed(&format!("{words} --threads 3 --out three.npy"));
        assert_eq!(place.bytes("one.npy"), place.bytes("three.npy"), "{words}");
        let refused = text(&place.run(&format!("{words} --seed 4 --out other.npy")).stderr);
        assert!(refused.contains("unexpected argument '--seed'"), "{refused}");
    }
    let learn = format!("learn {data} --scenario a --epsilon 1 --width 3000 {FLOW}");
    let json = |options: &str| without_run(place.json(&format!("{learn} {options}")));
    assert_eq!(json("--threads 1 --seed 3"), json("--threads 3 --seed 3"));
    assert_ne!(json("--threads 1 --seed 3"), json("--threads 1 --seed 4"));
}

/// A document without the record of the run, which holds times and arguments.
fn without_run(mut document: Value) -> Value {
    assert!(document.as_object_mut().unwrap().remove("run").is_some());
    document
}

const TINY: &str = "--data shifted-gauss --input-dim 10 --train-count 40 --widths 32,64,256 --networks 4";

#[test]
fn verify_is_the_default_and_writes_its_document() {
    let place = Place::empty();
    let table = place.succeed(&format!("verify {TINY} --threads 1 --out named"));
    assert!(table.contains("verdict") && table.contains("held"), "{table}");
    place.succeed(&format!("{TINY} --threads 3 --out default"));
    let read = |name: &str| serde_json::from_slice::<Value>(&place.bytes(name)).unwrap();
    let (named, default) = (read("named/verify.json"), read("default/verify.json"));
    assert_eq!(named["none_rejected"], true);
    let verdicts = named["data_sets"].as_array().unwrap().iter().flat_map(|set| set["claims"].as_array().unwrap());
    assert_eq!(named["all_held"], verdicts.map(|claim| &claim["verdict"]).all(|verdict| verdict == "held"));
    assert_eq!(named["settings"]["widths"], serde_json::json!([32, 64, 256]));
    assert_eq!(without_run(named), without_run(default));
    assert_eq!(std::fs::read_dir(place.path("named")).unwrap().count(), 1, "nothing but verify.json");
}

#[test]
fn verify_takes_several_data_sets_and_every_option() {
    let place = Place::empty();
    let json = place.json(&format!("{TINY} --data gauss --slope 0.2 --readout rademacher --seed 7 --quick --out o"));
    let names: Vec<_> = json["data_sets"].as_array().unwrap().iter().map(|d| d["data"].as_str().unwrap()).collect();
    assert_eq!(names, ["shifted-gauss", "gauss"]);
    // Claims on both share one error probability.
    let claims = json["data_sets"].as_array().unwrap().iter().flat_map(|data| data["claims"].as_array().unwrap());
    let spent: f64 = claims.map(|claim| claim["error_probability"].as_f64().unwrap()).sum();
    let whole = json["false_alarm_probability"].as_f64().unwrap();
    assert!(spent <= whole * (1.0 + 1e-12) && spent > 0.99 * whole, "{spent} {whole}");
    assert_eq!((json["settings"]["slope"].as_f64(), json["settings"]["quick"].as_bool()), (Some(0.2), Some(true)));
    assert_eq!(json["settings"]["readout"], "rademacher");
    assert_eq!(json["run"]["seed"], 7);
    let written: Value = serde_json::from_slice(&place.bytes("o/verify.json")).unwrap();
    assert_eq!(written, json);
}

/// What the arrays say is what the document says.
#[test]
fn learn_writes_the_arrays_behind_its_figures() {
    let place = Place::with_data();
    for method in [FLOW, DESCENT] {
        let words = format!(
            "learn --data gauss --input-dim 4 --train-count 9 --test-count 7 --scenario b --epsilon 0.25 --width 64 {method}"
        );
        let json = place.json(&format!("{words} --arrays-out arrays"));
        let vector = |name: &str| place.values(&format!("arrays/{name}.npy"));
        let targets = vector("targets");
        assert!(targets.len() == 9 && targets.iter().all(|target| target.abs() == 1.0));
        assert_eq!(json["target_sum"].as_f64(), Some(targets.iter().sum()));
        let perturbations = place.matrix("arrays/perturbations.npy");
        assert_eq!((perturbations.count(), perturbations.input_dim()), (9, 4));
        let lengths = perturbations.iter().map(|r| r.iter().map(|x| x * x).sum::<f64>().sqrt());
        assert!(lengths.into_iter().all(|length| (length - 0.25).abs() < 1e-15));
        let mut signs = Vec::new();
        for network in ["f", "g"] {
            let [before, after, limit] = ["_initial", "", "_limit"].map(|part| vector(&format!("{network}{part}")));
            let square: f64 = after.iter().zip(&limit).map(|(value, limit)| (value - limit).powi(2)).sum();
            let deviation = json[format!("deviation_{network}")].as_f64().unwrap();
            assert!(((square / 7.0).sqrt() - deviation).abs() < 1e-14, "{words}: {deviation}");
            let square: f64 = before.iter().map(|value| value * value).sum();
            let initial = json[format!("initial_{network}_scale")].as_f64().unwrap();
            assert!(((square / 7.0).sqrt() - initial).abs() < 1e-14, "{words}: {initial}");
            signs.push((after.into_iter().map(|v| v >= 0.0), limit.into_iter().map(|v| v >= 0.0)));
        }
        let [(f, f_limit), (g, g_limit)] = <[_; 2]>::try_from(signs).ok().unwrap();
        let equal = |count: usize| Some(count as f64 / 7.0);
        assert_eq!(json["agreement"].as_f64(), equal(f.zip(g).filter(|(f, g)| f == g).count()));
        assert_eq!(json["agreement_limit"].as_f64(), equal(f_limit.zip(g_limit).filter(|(f, g)| f == g).count()));
        assert_eq!(json["flip_share_f"].is_f64(), method == FLOW);
    }
}

/// Times reach the limits and what is expected of a width: T·F grows like T, g's error from its inputs in the square like 1/T (G12), and its
/// scenario, slope and readouts matter.
#[test]
fn times_reach_the_limits_and_the_expected_deviations() {
    let place = Place::empty();
    let json = |time: f64, rest: &str| {
        place.json(&format!(
            "learn --data gauss --input-dim 4 --train-count 9 --epsilon 1 --width 1024 --init antisymmetric --flow \
             --time {time} --expect {rest}"
        ))
    };
    let number = |json: &Value, key: &str| json[key].as_f64().unwrap();
    let [one, four, sixteen] = [1.0, 4.0, 16.0].map(|t| json(1.0 / t, "--scenario a --time-perturbed 2"));
    for (other, factor) in [(&four, 4.0), (&sixteen, 16.0)] {
        for key in ["limit_f_scale", "expected_deviation_f"] {
            let ratio = number(&one, key) / number(other, key);
            assert!((ratio - factor).abs() < 1e-12 * factor, "{key}: {ratio}");
        }
        // The limit direction depends on no time.
        let ratio = number(&one, "limit_g_scale") / number(other, "limit_g_scale");
        assert!((ratio - 1.0).abs() < 1e-12, "{ratio}");
    }
    let square = |json: &Value| number(json, "expected_deviation_g").powi(2);
    let ratio = (square(&sixteen) - square(&four)) / (square(&four) - square(&one));
    assert!((ratio - 4.0).abs() < 1e-9, "{ratio}");
    let longer = json(1.0, "--scenario a --time-perturbed 4");
    for key in ["limit_g_scale", "expected_deviation_g"] {
        let ratio = number(&longer, key) / number(&one, key);
        assert!((ratio - 2.0).abs() < 1e-12, "{key}: {ratio}");
    }
    let others = ["--scenario b", "--scenario a --slope 0.5", "--scenario a --readout rademacher"]
        .map(|other| square(&json(1.0, &format!("{other} --time-perturbed 2"))));
    let all = [&others[..], &[square(&one)]].concat();
    for (index, value) in all.iter().enumerate() {
        assert!(all[..index].iter().all(|other| (other - value).abs() > 1e-3 * value), "{all:?}");
    }
}

const CERTIFY: &str = "certify --data shifted-gauss --input-dim 100 --train-count 100 --test-count 12 --scenario a --epsilon 2 \
                       --time 2 --time-perturbed 0.3 --failure-probability 0.1 --samples 5000 --balanced";

/// The lines of the CSV file are what the JSON document says, for any number of threads, and the numbers decide.
#[test]
fn certify_writes_what_it_certifies() {
    let place = Place::empty();
    let json = place.json(&format!("{CERTIFY} --width 16384 --threads 1 --out one.csv"));
    let table = place.succeed(&format!("{CERTIFY} --width 16384 --threads 3 --out three.csv"));
    assert!(table.contains("sgn f = sgn g at all certified points"), "{table}");
    assert_eq!(place.bytes("one.csv"), place.bytes("three.csv"));
    let csv = text(&place.bytes("one.csv"));
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("index,limit_f,limit_g,error_f,error_g,certified"));
    let mut certified = 0;
    for (index, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |field: usize| fields[field].parse::<f64>().unwrap();
        assert_eq!(fields[0], index.to_string());
        let holds =
            number(3) < 2.0 * number(1).abs() && number(4) < 0.3 * number(2).abs() && number(1) * number(2) > 0.0;
        assert_eq!(fields[5], holds.to_string(), "{line}");
        assert_eq!(json["error_g"][index].as_f64(), Some(number(4)));
        certified += usize::from(holds);
    }
    assert_eq!(json["certified_share"].as_f64(), Some(certified as f64 / 12.0));
    assert!(certified > 0 && json["certified_width"].is_null() && json["target_sum"] == 0.0, "{json}");
}

#[test]
fn certify_finds_a_width_at_which_the_share_is_reached() {
    let place = Place::empty();
    let json = place.json(&format!("{CERTIFY} --share 0.3"));
    let width = json["certified_width"].as_u64().expect("a width is found");
    assert_eq!(json["width"].as_u64(), Some(width));
    assert!(json["certified_share_of_agreeing"].as_f64().unwrap() >= 0.3, "{json}");
    // Where only one width is looked at, δ need not be shared by twenty: every error is smaller.
    let fixed = place.json(&format!("{CERTIFY} --width {width}"));
    for key in ["error_f", "error_g"] {
        let [searched, fixed] = [&json, &fixed]
            .map(|json| json[key].as_array().unwrap().iter().map(|error| error.as_f64().unwrap()).collect::<Vec<_>>());
        assert!(
            searched.len() == 12 && searched.iter().zip(&fixed).all(|(s, f)| s > f),
            "{key}: {searched:?} {fixed:?}"
        );
    }
    // A width a quarter below misses it, even with δ to itself.
    let narrower = 2 * (3 * width / 8);
    let alone = CERTIFY.replace("--failure-probability 0.1", "--failure-probability 0.005");
    let missed = place.json(&format!("{alone} --width {narrower}"));
    assert!(missed["certified_share_of_agreeing"].as_f64().unwrap() < 0.3, "{width} {missed}");
}

/// Scenario and slope reach the certificate: its limits are those of the library with the same targets.
#[test]
fn certify_uses_its_scenario_and_slope() {
    let place = Place::empty();
    let numbers = |json: &Value, key: &str| -> Vec<f64> {
        json[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let data = synthetic(Synthetic::ShiftedGauss, 100, 100, 12, 0).unwrap();
    let targets = random_signs(&Streams::new(0, "targets"), 100);
    let mut errors = Vec::new();
    for (scenario, of_library) in [("a", Scenario::PerturbationOnly), ("b", Scenario::OnImage)] {
        for slope in [0.0, 0.3] {
            let words = CERTIFY.replace("--scenario a", &format!("--scenario {scenario}")).replace("--balanced", "");
            let words = words.replace("--samples 5000", "--samples 500");
            let found = place.json(&format!("{words} --slope {slope} --width 1048576"));
            let f = Predictor::identity(&data.train, Slope::new(slope).unwrap(), 1.0).unwrap();
            let set = limit_training_set(&f, data.train.points(), &targets, 2.0, of_library, None).unwrap();
            let g = Predictor::identity(&set, Slope::new(slope).unwrap(), 1.0).unwrap();
            for (key, limit) in [("limit_f", &f), ("limit_g", &g)] {
                let (found, expected) = (numbers(&found, key), limit.values(&data.test).unwrap());
                let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12 * (1.0 + b.abs()));
                assert!(near, "{words} {key}: {found:?} {expected:?}");
            }
            errors.push((numbers(&found, "error_f"), numbers(&found, "error_g")));
        }
    }
    // Errors of g know both, errors of f the slope.
    for (index, (f, g)) in errors.iter().enumerate() {
        assert!(errors[..index].iter().all(|other| other.1 != *g));
        assert_eq!(errors[..index].iter().any(|other| other.0 == *f), index >= 2);
    }
}

#[test]
fn the_closed_form_certifies_without_a_sample() {
    let place = Place::empty();
    let closed = CERTIFY.replace("--samples 5000", "--method closed-form");
    let json = |more: &str| place.json(&format!("{closed} --width 16777216 {more}"));
    let (found, other) = (json(""), json("--threads 2"));
    assert!(found["samples"].is_null() && found["method"] == "closed-form", "{found}");
    assert_eq!((&found["error_f"], &found["error_g"]), (&other["error_f"], &other["error_g"]));
    let share = found["certified_share_of_agreeing"].as_f64().unwrap();
    assert!(share > 0.0 && place.json(&format!("{closed} --width 4096"))["certified_share"] == 0.0);
    // The same limits as with a sample; wider errors.
    let sampled = place.json(&format!("{CERTIFY} --width 16384"));
    assert_eq!(found["limit_f"], sampled["limit_f"]);
}

#[test]
fn help_names_every_option_of_the_contract() {
    let place = Place::empty();
    let train = "--train --labels --test --slope --loss --time --out";
    let descent = "--flow --descent --learning-rate --steps --momentum --plateau --init --readout --width";
    let commands = [
        ("kernel", "--x --z --slope --kind --out ntk-both-layers derivative-dual value-dual".to_string()),
        ("predict", format!("{train} inf identity squared logistic exponential")),
        (
            "train",
            format!(
                "{train} {descent} --hidden --bias --readout-weights --weights-out --initial-out --gradient-out \
                 antisymmetric rademacher"
            ),
        ),
        (
            "learn",
            format!(
                "--arrays-out --data --input-dim --train-count --train --labels --test --test-labels --scenario --epsilon {descent} \
                 --time --time-perturbed --learning-rate-perturbed --steps-perturbed --loss --slope"
            ),
        ),
        (
            "certify",
            "--data --train --labels --test --scenario --epsilon --time --time-perturbed --width --share \
             --failure-probability --balanced --method --samples --test-points --slope --out sampled closed-form"
                .into(),
        ),
        ("verify", "--data --widths --networks --quick --out".into()),
        (
            "paper",
            "--panel --seeds --scale --only-grid --out --resume --shard --data-dir --precision --without-theory small full \
             shifted-gauss-a shifted-gauss-b gauss-a gauss-b mnist-a mnist-b fashion-a fashion-b cosine maps width offset"
                .into(),
        ),
    ];
    for (command, options) in commands {
        let help = place.succeed(&format!("{command} --help"));
        let mentions = |word| help.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|found| found == word);
        for word in options.split_whitespace().chain(["--threads", "--json"]) {
            assert!(mentions(word), "{command} --help does not mention {word}");
        }
        // Closed forms draw nothing.
        assert_eq!(mentions("--seed"), !["kernel", "predict"].contains(&command), "{command}");
    }
    let overview = place.succeed("--help");
    assert!(overview.contains("Without a command, `verify` runs"), "{overview}");
    assert!(place.succeed("--version").starts_with("pertlearn "));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for words in [&format!("{TINY} --out o"), &format!("{TINY} --out o --json -"), "verify --help"] {
        let place = Place::empty();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(words).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{words}");
        assert_eq!(place.path("o/verify.json").exists(), !words.contains("help"), "{words}");
    }
}

/// What is no plain file is written to, not replaced: a device or pipe stays what it is, and a link a link.
#[cfg(unix)]
#[test]
fn links_and_pipes_are_written_through() {
    let place = Place::with_data();
    let stdout = place.succeed("kernel --x x.npy --out k.npy --json /dev/stdout");
    assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{stdout}");
    std::fs::write(place.path("target.npy"), "old").unwrap();
    std::os::unix::fs::symlink("target.npy", place.path("link.npy")).unwrap();
    place.succeed("kernel --x x.npy --out link.npy");
    assert!(place.path("link.npy").is_symlink());
    assert_eq!(place.bytes("target.npy"), place.bytes("k.npy"));
}

/// A disk that is full is an error, on standard output too, where it costs no file.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let place = Place::with_data();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for words in ["kernel --x x.npy --out k.npy --json -", &format!("{TINY} --out o")] {
        let output = place.command(words).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(text(&output.stderr).contains("No space left"), "{}", text(&output.stderr));
    }
    assert!(place.path("k.npy").exists());
}

/// δ is printed as it was given: 1 − δ may round to 1, which nothing is certified with.
#[test]
fn certify_does_not_promise_certainty_and_says_what_both_aims_do() {
    let place = Place::empty();
    for delta in ["1e-300", "0.001"] {
        let words = CERTIFY.replace("0.1", delta);
        let table = place.succeed(&format!("{words} --width 16"));
        let expected = format!("with probability at least 1 − {delta}, sgn f = sgn g");
        assert!(table.contains(&expected), "{table}");
    }
    let json = place.json(&format!("{CERTIFY} --width 1048576 --share 0.3"));
    assert_eq!(json["width"], 1_048_576);
    assert!(json["certified_width"].as_u64().unwrap() < 1_048_576);
    let help = place.succeed("certify --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("With --width and --share together the certificate is that of --width"), "{help}");
}
