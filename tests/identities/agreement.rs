//! Signs of f and g: A1, A4, A5.

use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    FlowOutcome, GradientFlow, Initialisation, Neurons, Readout, adversarial_perturbations,
};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::theory::bound::{NetworkLaw, ReadoutLaw, certificate_given_f};
use perturbation_learning::theory::{Pair, Predictor, limit_training_set, perturbed_points};

use crate::common::say;
use crate::{SEED, gaussian_points, gaussian_set};

fn draw(name: &str, width: usize, init: Initialisation) -> Neurons {
    Neurons::draw(2, width, init, Readout::Rademacher, Streams::new(SEED, &format!("{name}/width {width}"))).unwrap()
}

fn trained(train: &TrainingSet, test: &Points, time: f64, neurons: &Neurons) -> FlowOutcome {
    let flow = GradientFlow::new(train, Slope::RELU, time).unwrap().with_test(test).unwrap();
    flow.with_gradients().run(neurons).unwrap()
}

//= test A1@c6921efa
//= power A1@c6921efa
/// A1: at a certified point every value of g within the error has the sign of f, also the one that is closest to 0. Fault:
/// the same at points whose error is not smaller than the limit.
#[test]
fn errors_below_the_limit_keep_the_sign_and_larger_ones_do_not() {
    let (set, test) = (gaussian_set("signs/train", 10, 2), gaussian_points("signs/test", 300, 2));
    let first = Predictor::identity(&gaussian_set("signs/other", 10, 2), Slope::RELU, 1.0).unwrap();
    let first = first.values(&test).unwrap();
    let law = NetworkLaw::antisymmetric(2_000, ReadoutLaw::Rademacher).unwrap();
    let found = certificate_given_f(&set, Slope::RELU, &test, &first, law, 0.3, 0.01).unwrap();
    let (mut kept, mut lost) = (0, 0);
    for (i, f) in first.iter().enumerate() {
        let (limit, error) = (found.limit[i], found.error[i]);
        let closest = limit - error * limit.signum();
        let alike = limit * f > 0.0;
        assert_eq!(found.certified[i], alike && closest * f > 0.0, "point {i}");
        kept += usize::from(found.certified[i]);
        lost += usize::from(alike && closest * f <= 0.0);
    }
    assert!(kept > 50 && lost > 5, "{kept} certified, {lost} where the limit's sign alone would not do");
}

//= test A4@b63db7f1
//= power A4@b63db7f1
//= test G1@081005ba
/// A4: agreement tends to that of F and G. Fault: that it tends to 1.
#[test]
fn wide_networks_agree_where_their_limits_agree_and_differ_where_these_differ() {
    let (train, test) = (gaussian_set("agreement/train", 6, 2), gaussian_points("agreement/test", 200, 2));
    // Unbalanced targets: their offset (G7) turns the sign of G at many points.
    let targets = vec![1.0, 1.0, 1.0, 1.0, 1.0, -1.0];
    let (time, epsilon, scenario) = (0.3, 1.0, Scenario::PerturbationOnly);
    let limit = Predictor::identity(&train, Slope::RELU, time).unwrap();
    let perturbed = limit_training_set(&limit, train.points(), &targets, epsilon, scenario, None).unwrap();
    let second = Predictor::identity(&perturbed, Slope::RELU, time).unwrap();
    let (f_limit, g_limit) = (limit.values(&test).unwrap(), second.values(&test).unwrap());
    // Points where neither limit is near 0.
    let size = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt();
    let (f_size, g_size) = (size(&f_limit), size(&g_limit));
    let clear: Vec<usize> =
        (0..200).filter(|&z| f_limit[z].abs() > 0.1 * f_size && g_limit[z].abs() > 0.1 * g_size).collect();
    let differing = clear.iter().filter(|&&z| f_limit[z] * g_limit[z] < 0.0).count();
    let mut mistakes = Vec::new();
    for width in [1 << 5, 1 << 16] {
        let f = trained(&train, &test, time, &draw("agreement/f", width, Initialisation::Antisymmetric));
        let gradients = f.gradients.as_ref().unwrap();
        let loss = StandardLoss::Identity;
        let moves = adversarial_perturbations(gradients, &f.train_values, &targets, &loss, epsilon).unwrap();
        let inputs = TrainingSet::new(perturbed_points(train.points(), &moves, scenario).unwrap(), targets.clone());
        let g = trained(&inputs.unwrap(), &test, time, &draw("agreement/g", width, Initialisation::Antisymmetric));
        let wrong = |z: &&usize| (f.test_values[**z] * g.test_values[**z] > 0.0) != (f_limit[**z] * g_limit[**z] > 0.0);
        mistakes.push(clear.iter().filter(wrong).count());
    }
    say(format_args!(
        "agreement: F and G differ in sign at {differing} of {} points; f and g otherwise at {} (m = 32), {} (m = 2¹⁶)",
        clear.len(),
        mistakes[0],
        mistakes[1]
    ));
    assert!(clear.len() > 150 && differing > 10, "{differing} of {}: nothing to tell the limit from 1", clear.len());
    assert!(mistakes[0] > 0, "a narrow network should not be at its limit: this test could not fail");
    assert_eq!(mistakes[1], 0, "of {} points (seed {SEED})", clear.len());
}

//= test A5@1ae712df
/// A5: under standard initialisation what training adds tends to T·F, but f_0 and ∇f_0 stay, and so g's start.
#[test]
fn width_removes_the_fluctuation_of_training_but_not_the_initial_function() {
    let (train, test, time) = (gaussian_set("standard/train", 6, 2), gaussian_points("standard/test", 40, 2), 0.3);
    let limit = Predictor::identity(&train, Slope::RELU, time).unwrap();
    let (values, direction) = (limit.values(&test).unwrap(), limit.gradient(train.points()).unwrap());
    let sigma: Vec<f64> = test.iter().map(|z| Pair::new(z, z).value_dual(Slope::RELU)).collect();
    let networks = 100;
    let figures = [1_usize << 6, 1 << 12].map(|width| {
        let mut sums = [0.0; 4];
        for index in 0..networks {
            let f = trained(&train, &test, time, &draw(&format!("standard/{index}"), width, Initialisation::Standard));
            for z in 0..40 {
                let start = f.initial_test_values[z];
                sums[0] += (f.test_values[z] - start - values[z]).powi(2) / 40.0;
                sums[1] += start * start / sigma[z] / 40.0;
            }
            let (start, end) = (f.initial_gradients.unwrap(), f.gradients.unwrap());
            let cosine = |n: usize, expected: nalgebra::DVector<f64>| {
                1.0 - end.column(n).dot(&expected) / (end.column(n).norm() * expected.norm())
            };
            for n in 0..6 {
                sums[2] += cosine(n, start.column(n) + direction.column(n)) / 6.0;
                sums[3] += cosine(n, direction.column(n).into_owned()) / 6.0;
            }
        }
        sums.map(|sum| sum / f64::from(networks))
    });
    let [narrow, wide] = figures;
    say(format_args!(
        "standard start, m = 64 and 4096: mean (f_T − f_0 − TF)² {:.1e}, {:.1e}; f_0²/Σ {:.2}, {:.2}; 1 − cos to \
         ∇f_0 + T∇F {:.1e}, {:.1e}, to ∇F {:.2}, {:.2}",
        narrow[0], wide[0], narrow[1], wide[1], narrow[2], wide[2], narrow[3], wide[3]
    ));
    // 64 times as wide: the squared fluctuation falls by 64, the deficit of the cosine by 8. 100 networks leave a fifth.
    assert!((40.0..100.0).contains(&(narrow[0] / wide[0])), "{figures:?}");
    assert!((4.0..16.0).contains(&(narrow[2] / wide[2])), "{figures:?}");
    // What does not depend on the width.
    assert!((0.6..1.6).contains(&(wide[1] / narrow[1])) && (0.7..1.4).contains(&wide[1]), "{figures:?}");
    assert!((0.7..1.4).contains(&(wide[3] / narrow[3])) && wide[3] > 0.3, "{figures:?}");
}
