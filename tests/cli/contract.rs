//! What every command promises: its options, its files, its JSON keys, and the library's numbers.

use nalgebra::DMatrix;
use perturbation_learning::experiment::hunt::{Effort, Hunt, Stop, registry};
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Precision, Readout, input_gradients, outputs, outputs_streamed,
};
use perturbation_learning::problem::{Horizon, Slope};
use perturbation_learning::random::Streams;
use perturbation_learning::theory::{Kernel, Predictor, cross_gram, gram};

use crate::place::{Place, data};

const LOSSES: [(&str, StandardLoss); 4] = [
    ("identity", StandardLoss::Identity),
    ("squared", StandardLoss::Squared),
    ("logistic", StandardLoss::Logistic),
    ("exponential", StandardLoss::Exponential),
];

#[test]
fn kernel_writes_the_librarys_matrices() {
    let (place, data) = (Place::with_data(), data());
    let kinds = [
        ("ntk", Kernel::Ntk),
        ("ntk-both-layers", Kernel::NtkBothLayers),
        ("derivative-dual", Kernel::DerivativeDual),
        ("value-dual", Kernel::ValueDual),
    ];
    let (x, z) = (data.train.points(), &data.test);
    for (name, kernel) in kinds {
        for slope in [0.0, 0.3] {
            let gamma = Slope::new(slope).unwrap();
            let json = place.json(&format!("kernel --x x.npy --slope {slope} --kind {name} --out k.npy"));
            assert_eq!((json["rows"].as_u64(), json["columns"].as_u64()), (Some(12), Some(12)));
            assert_eq!((json["kind"].as_str(), json["slope"].as_f64()), (Some(name), Some(slope)));
            assert_eq!(place.matrix("k.npy").as_columns().transpose(), gram(kernel, gamma, x));
            // CSV numbers are written so that they read back exactly.
            place.succeed(&format!("kernel --x x.npy --z z.npy --slope {slope} --kind {name} --out k.csv"));
            assert_eq!(place.matrix("k.csv").as_columns().transpose(), cross_gram(kernel, gamma, x, z));
        }
    }
    place.succeed("kernel --x x.npy --out default.npy");
    assert_eq!(place.matrix("default.npy").as_columns().transpose(), gram(Kernel::Ntk, Slope::RELU, x));
}

#[test]
fn predict_writes_the_librarys_values_for_every_loss() {
    let (place, data) = (Place::with_data(), data());
    let gamma = Slope::new(0.2).unwrap();
    let mut cases: Vec<_> = LOSSES.map(|(name, loss)| (name, loss, "1.5", Horizon::Finite(1.5))).into();
    cases.push(("squared", StandardLoss::Squared, "inf", Horizon::Infinite));
    for (name, loss, time, horizon) in cases {
        let json = place.json(&format!(
            "predict --train x.npy --labels y.npy --test z.npy --slope 0.2 --loss {name} --time {time} --out f.npy"
        ));
        let expected = Predictor::train(&data.train, gamma, horizon, loss, None).unwrap().values(&data.test).unwrap();
        assert_eq!(place.values("f.npy"), expected, "{name} {time}");
        assert_eq!(json["loss"].as_str(), Some(name));
        assert_eq!(json["time"].as_f64(), (time != "inf").then_some(1.5));
    }
}

#[test]
fn labels_of_any_two_values_mean_the_same_as_plus_minus_one() {
    let (place, data) = (Place::with_data(), data());
    let classes: Vec<f64> = data.train.labels().iter().map(|y| if *y > 0.0 { 7.0 } else { 3.0 }).collect();
    place.vector("classes.npy", &classes);
    place.succeed("predict --train x.npy --labels y.npy --test z.npy --time 1 --out a.npy");
    place.succeed("predict --train x.npy --labels classes.npy --test z.npy --time 1 --out b.npy");
    assert_eq!(place.bytes("a.npy"), place.bytes("b.npy"));
}

#[test]
fn train_by_flow_writes_the_librarys_values_gradients_and_weights() {
    let (place, data) = (Place::with_data(), data());
    let gamma = Slope::new(0.1).unwrap();
    let settings = [
        ("--init standard --readout gaussian", Initialisation::Standard, Readout::Gaussian),
        ("--init antisymmetric --readout rademacher", Initialisation::Antisymmetric, Readout::Rademacher),
    ];
    for (options, initialisation, readout) in settings {
        let json = place.json(&format!(
            "train --train x.npy --labels y.npy --test z.npy --width 50 {options} --slope 0.1 --flow --time 2 --seed 5 \
             --out f.npy --initial-out f0.npy --gradient-out g.npy --weights-out w"
        ));
        let neurons = Neurons::draw(3, 50, initialisation, readout, Streams::new(5, "f/neurons")).unwrap();
        let flow = GradientFlow::new(&data.train, gamma, 2.0).unwrap().with_test(&data.test).unwrap();
        let outcome = flow.with_gradients().keep_weights().run(&neurons).unwrap();
        assert_eq!(place.values("f.npy"), outcome.test_values);
        assert_eq!(place.values("f0.npy"), outcome.initial_test_values);
        assert_eq!(place.matrix("g.npy").as_columns(), outcome.gradients.as_ref().unwrap());
        let weights = outcome.weights.unwrap();
        let hidden = DMatrix::from_fn(3, 50, |j, i| weights.hidden()[4 * i + j]);
        let bias: Vec<f64> = (0..50).map(|i| weights.hidden()[4 * i + 3]).collect();
        assert_eq!(place.matrix("w/hidden.npy").as_columns(), &hidden);
        assert_eq!(place.values("w/bias.npy"), bias);
        assert_eq!(place.values("w/readout.npy"), weights.readout());
        assert_eq!((json["method"].as_str(), json["width"].as_u64()), (Some("flow"), Some(50)));
        assert_eq!(json["events"].as_u64(), Some(outcome.events));
    }
}

#[test]
fn train_by_descent_writes_the_librarys_values_for_every_loss_and_option() {
    let (place, data) = (Place::with_data(), data());
    let neurons =
        Neurons::draw(3, 40, Initialisation::Standard, Readout::Gaussian, Streams::new(0, "f/neurons")).unwrap();
    let plain = Descent::new(0.2, 30).unwrap();
    let variants = [
        ("", plain),
        ("--momentum 0.9", plain.with_momentum(0.9).unwrap()),
        ("--momentum 0.9 --plateau", plain.with_momentum(0.9).unwrap().with_plateau(true)),
        ("--precision f32", plain.with_precision(Precision::F32)),
    ];
    for (name, loss) in LOSSES {
        for (options, descent) in variants {
            let json = place.json(&format!(
                "train --train x.npy --labels y.npy --test z.npy --width 40 --loss {name} --descent --learning-rate 0.2 \
                 --steps 30 {options} --out f.npy --initial-out f0.npy --gradient-out g.npy"
            ));
            let trained = descent.train(&neurons, Slope::RELU, &data.train, &loss).unwrap();
            let at = |points| outputs(&trained.weights, Slope::RELU, points).unwrap();
            assert_eq!(place.values("f.npy"), at(&data.test), "{name} {options}");
            assert_eq!(place.values("f0.npy"), outputs_streamed(&neurons, Slope::RELU, &data.test).unwrap());
            let gradients = input_gradients(&trained.weights, Slope::RELU, data.train.points()).unwrap();
            assert_eq!(place.matrix("g.npy").as_columns(), &gradients, "{name} {options}");
            assert_eq!(json["method"].as_str(), Some("descent"));
            assert_eq!(json["time"].as_f64(), Some(trained.flow_time));
            assert_eq!(json["last_loss"].as_f64(), trained.losses.last().copied());
        }
    }
}

/// Ten steps are five steps, the weights written and read again, and five more: files carry every bit.
#[test]
fn descent_continues_from_written_weights() {
    let place = Place::with_data();
    let data = "train --train x.npy --labels y.npy --test z.npy --loss logistic --descent --learning-rate 0.3";
    place.succeed(&format!("{data} --width 20 --steps 10 --out whole.npy --weights-out whole"));
    place.succeed(&format!("{data} --width 20 --steps 5 --out half.npy --weights-out half"));
    let given = "--hidden half/hidden.npy --bias half/bias.npy --readout-weights half/readout.npy";
    place.succeed(&format!("{data} {given} --steps 5 --out rest.npy --weights-out rest --initial-out start.npy"));
    assert_eq!(place.bytes("start.npy"), place.bytes("half.npy"));
    assert_ne!(place.bytes("whole.npy"), place.bytes("half.npy"));
    for (whole, rest) in [
        ("whole.npy", "rest.npy"),
        ("whole/hidden.npy", "rest/hidden.npy"),
        ("whole/bias.npy", "rest/bias.npy"),
        ("whole/readout.npy", "rest/readout.npy"),
    ] {
        assert_eq!(place.bytes(whole), place.bytes(rest), "{whole}");
    }
}

#[test]
fn flow_runs_from_given_weights() {
    let place = Place::with_data();
    let data = "train --train x.npy --labels y.npy --test z.npy --flow";
    place.succeed(&format!("{data} --width 20 --time 0 --out f0.npy --weights-out w"));
    let given = "--hidden w/hidden.npy --bias w/bias.npy --readout-weights w/readout.npy";
    place.succeed(&format!("{data} {given} --time 1.5 --out given.npy"));
    place.succeed(&format!("{data} --width 20 --time 1.5 --out drawn.npy"));
    assert_eq!(place.bytes("given.npy"), place.bytes("drawn.npy"));
    assert_ne!(place.bytes("given.npy"), place.bytes("f0.npy"));
}

#[test]
fn falsify_repeats_the_librarys_hunt_and_says_that_a_true_bound_stands() {
    let place = Place::empty();
    let words = "falsify --bound G6 --evaluations 100 --seed 3";
    let json = place.json(words);
    let hunt = Hunt { seed: 3, stop: Stop::Evaluations(100), effort: Effort::default() };
    let outcome = hunt.run(&registry::find("G6").unwrap()).unwrap();
    let best = outcome.best.unwrap();
    assert_eq!((json["id"].as_str(), json["violated"].as_bool()), (Some("G6"), Some(false)));
    assert_eq!((json["best"]["ratio"].as_f64(), json["evaluations"].as_u64()), (Some(best.ratio), Some(100)));
    let point = json["best"]["case"]["test"][0].as_array().unwrap();
    let point: Vec<f64> = point.iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(point, best.case.test.point(0));
    // Another number of threads, and a budget in seconds, which ends with the first round.
    assert_eq!(place.json(&format!("{words} --threads 1"))["best"], json["best"]);
    let text = place.succeed("falsify --bound D6 --budget 1e-9");
    assert!(text.contains("256 evaluations (0 failed)") && text.ends_with("not violated\n"), "{text}");
}

#[test]
fn every_statement_of_the_registry_is_listed() {
    let place = Place::empty();
    let (text, json) = (place.succeed("falsify --list"), place.json("falsify --list"));
    let ids: Vec<&str> = registry::entries().iter().map(registry::Entry::id).collect();
    let words = |line: &str| line.split_whitespace().next().map(str::to_owned);
    assert_eq!(text.lines().filter_map(words).collect::<Vec<_>>(), ids);
    assert_eq!(json.as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
}

#[test]
fn tightness_writes_a_row_for_every_statement() {
    let place = Place::empty();
    let json = place.json("tightness --quick --out t.csv");
    let rows = json["rows"].as_array().unwrap();
    for entry in registry::entries() {
        assert!(rows.iter().any(|row| row["statement"] == entry.id()), "{}", entry.id());
    }
    let csv = String::from_utf8(place.bytes("t.csv")).unwrap();
    assert!(csv.starts_with("statement,setting,observed_over_bound,source\n"), "{csv}");
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert!(rows.iter().all(|row| row["observed_over_bound"].as_f64().unwrap() <= 1.0 + 1e-9), "{csv}");
}
