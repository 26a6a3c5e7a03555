//! Statistical tests of the theorem, each with a false-alarm probability from the budget in `stats::budget`.
//!
//! Equalities pin constants where theory gives them. A mean of R independent values is compared with its expectation by
//! Student's interval. Squares are skewed, which makes the far tail more than ten times as likely even for R = 20,000, so the
//! interval is taken at a level that allows for the values' skewness (`skewed::student_level`).
//! Every random number comes from a stream named after the test; a failure prints the seed.

mod common;
#[path = "statistics/levels.rs"]
mod levels;
#[path = "common/skewed.rs"]
mod skewed;

use common::say;
use nalgebra::DMatrix;
use perturbation_learning::network::{
    GradientFlow, Initialisation, Neurons, PreparedFlow, Readout, initial_gradients, outputs_streamed,
};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{fit_two_powers, mean, mean_interval};
use perturbation_learning::theory::{Pair, Predictor, kernel_variance};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 2410_23677;

/// Skewness allowed for, above what is found (in 20,000 values each): F̂₀, a mean of 64 neurons, .7; squares of it with
/// Gaussian readouts 5.5, with ±1/√m 3.1; f₀² of eight neurons 5.2 (in theory 5.35); ‖∇f₀‖² 2.9.
const OF_MEANS: f64 = 0.9;
const OF_SQUARES: f64 = 6.0;
/// Squared deviations of networks, means over points: 3.8 (300 values).
const OF_DEVIATIONS: f64 = 4.0;
/// The coefficient of the boundary term, linear in the gradient: −.5 ± .3 (60 values).
const OF_COEFFICIENTS: f64 = 1.0;

fn gaussian_points(purpose: &str, count: usize, dim: usize) -> Points {
    let mut rng = Streams::new(SEED, purpose).stream(0);
    let values = (0..count * dim).map(|_| StandardNormal.sample(&mut rng)).collect();
    Points::from_rows("x", count, dim, values).unwrap()
}

fn gaussian_set(purpose: &str, count: usize, dim: usize) -> TrainingSet {
    let mut rng = Streams::new(SEED, purpose).stream(1);
    let labels = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    TrainingSet::new(gaussian_points(purpose, count, dim), labels).unwrap()
}

fn network(test: &str, index: usize, dim: usize, width: usize, init: Initialisation, readout: Readout) -> Neurons {
    let streams = Streams::new(SEED, &format!("{test}/width {width}/network {index}"));
    Neurons::draw(dim, width, init, readout, streams).unwrap()
}

/// Asserts that the mean of independent values is `expected`, at the given error probability for values of this skewness;
/// returns the interval.
fn assert_mean(what: &str, values: &[f64], skewness: f64, expected: f64, error: f64) -> (f64, f64) {
    let (low, high) = mean_interval(values, skewed::student_level(values.len(), skewness, error));
    say(format_args!(
        "{what}: mean {:.4} in [{low:.4}, {high:.4}], theory {expected:.4} (error probability {error:.0e})",
        mean(values)
    ));
    assert!(low <= expected && expected <= high, "{what}: [{low}, {high}] misses {expected} (seed {SEED})");
    (low, high)
}

/// F̂_0 is a mean of independent neurons: its mean is F and its variance Var X/m exactly, at every width.
fn kernel_moments(init: Initialisation, budget: &str) {
    let (train, test) = (gaussian_set("kernel moments/train", 12, 4), gaussian_points("kernel moments/test", 3, 4));
    let share = alpha(budget) / (2.0 * 2.0 * 3.0 * 2.0);
    for (readout, fourth_moment) in [(Readout::Gaussian, 3.0), (Readout::Rademacher, 1.0)] {
        for gamma in [0.0, 0.5] {
            let slope = Slope::new(gamma).unwrap();
            let limit = Predictor::identity(&train, slope, 1.0).unwrap().values(&test).unwrap();
            let variance = kernel_variance(&train, slope, &test, fourth_moment).unwrap();
            // As many independent neurons for both: the mean of a few would have too heavy a tail.
            let width = if init == Initialisation::Standard { 64 } else { 128 };
            let independent = 64.0;
            let flow = GradientFlow::new(&train, slope, 0.0).unwrap().with_test(&test).unwrap().watch_test().prepare();
            let networks = 26_000;
            let rates: Vec<Vec<f64>> = (0..networks)
                .map(|index| {
                    let name = format!("{budget}/{readout:?}/{gamma}");
                    flow.run(&network(&name, index, 4, width, init, readout)).unwrap().initial_rate_test
                })
                .collect();
            for j in 0..3 {
                let what = format!("{init:?} {readout:?} γ={gamma} point {j}");
                let values: Vec<f64> = rates.iter().map(|r| r[j]).collect();
                assert_mean(&format!("{what}: F̂₀"), &values, OF_MEANS, limit[j], share);
                let squares: Vec<f64> =
                    values.iter().map(|v| (v - limit[j]).powi(2) * independent / variance[j]).collect();
                let ratio = format!("{what}: m(F̂₀ − F)²/Var X");
                let (low, high) = assert_mean(&ratio, &squares, OF_SQUARES, 1.0, share);
                // Sharp enough to reject a constant that is wrong by a tenth.
                assert!(low > 0.9 && high < 1.1, "{what}: the interval [{low}, {high}] is too wide to mean anything");
            }
        }
    }
}

//= test K2@94516c8d
//= test W1@23ae4143
#[test]
fn kernel_fluctuates_with_the_predicted_variance_under_standard_initialisation() {
    kernel_moments(Initialisation::Standard, "kernel mean and variance, standard");
}

//= test K2@94516c8d
//= test W1@23ae4143
#[test]
fn kernel_fluctuates_with_twice_that_variance_under_antisymmetric_initialisation() {
    kernel_moments(Initialisation::Antisymmetric, "kernel mean and variance, antisymmetric");
}

//= test N1@de793693
//= test K6@504f2fee
/// Under standard initialisation E f_0² = Σ(z, z) and E ‖∇f_0‖² = (1+γ²)/2 at every width: they do not shrink.
#[test]
fn outputs_and_gradients_at_initialisation_do_not_shrink_with_width() {
    let points = gaussian_points("initial moments", 2, 6);
    for gamma in [0.0, 0.4] {
        let slope = Slope::new(gamma).unwrap();
        for width in [8, 128] {
            let networks: Vec<Neurons> = (0..20_000)
                .map(|i| {
                    let name = format!("initial moments/{gamma}");
                    network(&name, i, 6, width, Initialisation::Standard, Readout::Gaussian)
                })
                .collect();
            for (j, z) in points.iter().enumerate() {
                let one = points.select(&[j]);
                let expected = Pair::new(z, z).value_dual(slope);
                let outputs: Vec<f64> =
                    networks.iter().map(|n| outputs_streamed(n, slope, &one).unwrap()[0].powi(2) / expected).collect();
                let what = format!("γ={gamma} m={width} point {j}");
                let share = alpha("output variance at initialisation") / 8.0;
                assert_mean(&format!("{what}: f₀²/Σ"), &outputs, OF_SQUARES, 1.0, share);
                let norm = 0.5 * (1.0 + gamma * gamma);
                let gradients: Vec<f64> =
                    networks.iter().map(|n| initial_gradients(n, slope, &one).unwrap().norm_squared() / norm).collect();
                let share = alpha("gradient norm at initialisation") / 8.0;
                assert_mean(&format!("{what}: ‖∇f₀‖²/½(1+γ²)"), &gradients, OF_SQUARES, 1.0, share);
            }
        }
    }
}

/// Per width: one value per network of (f_T − T·F)², ‖∇f_T − T·∇F‖² and 1 − cos, each a mean over the points.
#[derive(Default)]
struct Deviations {
    function: Vec<(f64, Vec<f64>)>,
    gradient: Vec<(f64, Vec<f64>)>,
    direction: Vec<(f64, Vec<f64>)>,
}

fn deviations(train: &TrainingSet, test: &Points, slope: Slope, time: f64) -> Deviations {
    let limit = Predictor::identity(train, slope, time).unwrap();
    let (values, gradients) = (limit.values(test).unwrap(), limit.gradient(train.points()).unwrap());
    let flow: PreparedFlow<'_> =
        GradientFlow::new(train, slope, time).unwrap().with_test(test).unwrap().with_gradients().prepare();
    let mut all = Deviations::default();
    for exponent in [7, 9, 11, 13, 15] {
        let width = 1 << exponent;
        let mut groups = [Vec::new(), Vec::new(), Vec::new()];
        for index in 0..300 {
            let neurons =
                network("rates", index, train.input_dim(), width, Initialisation::Antisymmetric, Readout::Gaussian);
            let outcome = flow.run(&neurons).unwrap();
            let squares = outcome.test_values.iter().zip(&values).map(|(f, limit)| (f - limit).powi(2));
            let found = outcome.gradients.unwrap();
            let cosine = |n: usize| {
                let (a, b): (_, _) = (found.column(n), gradients.column(n));
                1.0 - a.dot(&b) / (a.norm() * b.norm())
            };
            groups[0].push(squares.sum::<f64>() / values.len() as f64);
            groups[1].push((&found - &gradients).norm_squared());
            groups[2].push((0..train.count()).map(cosine).sum::<f64>() / train.count() as f64);
        }
        let [function, gradient, direction] = groups.map(|values| (width as f64, values));
        all.function.push(function);
        all.gradient.push(gradient);
        all.direction.push(direction);
    }
    all
}

/// Squared function deviations fall like A m^(−1) + B m^(−3/2), squared gradient deviations like A m^(−1/2) + B m^(−1)
/// (the sign changes of independent neurons, then the fluctuation of the kernel), 1 − cos like the latter. The two powers
/// are theory's; A and B are fitted; the lack of fit is tested, and that A is positive. Powers that are wrong by a
/// quarter in m^(−1/2), m^(−1/4) are rejected by the same data.
#[test]
fn deviations_fall_at_the_predicted_rates() {
    let (train, test) = (gaussian_set("rates/train", 20, 3), gaussian_points("rates/test", 40, 3));
    let all = deviations(&train, &test, Slope::RELU, 3.0);
    for (name, groups, leading) in [
        ("function rate", &all.function, -1.0),
        ("gradient rate", &all.gradient, -0.5),
        ("direction rate", &all.direction, -0.5),
    ] {
        let fit = fit_two_powers(groups, leading, leading - 0.5).expect("positive variances");
        say(format_args!(
            "{name}: {:.3} m^({leading}) + {:.3} m^({}), lack of fit {:.1} (p = {:.2}), leading term {:.0} standard errors from 0",
            fit.leading,
            fit.next,
            leading - 0.5,
            fit.lack_of_fit,
            fit.p_value,
            fit.leading / fit.leading_error
        ));
        // Half of the error for the worst of the groups' residuals, as `holds` divides it; Bonferroni over the groups.
        let count = groups.len() as f64;
        let level = 2.0 * count * skewed::student_level(groups[0].1.len(), OF_DEVIATIONS, 0.5 * alpha(name) / count);
        assert!(fit.holds(level), "{name}: {fit:?} (seed {SEED})");
        for wrong in [leading - 0.5, leading + 0.5] {
            let refused = fit_two_powers(groups, wrong, wrong - 0.5).expect("positive variances");
            assert!(!refused.holds(level), "{name}: the power {wrong} is not rejected: {refused:?}");
        }
    }
}

//= test P1@e5c64ecb
/// The limit of (∇f_T − ∇f_0)/T is v + b, not the weighted sum v alone: regress what is left over v on the boundary
/// term b. The coefficient is 1 with the boundary term in the theory, and 0 is excluded.
#[test]
fn the_boundary_term_is_there() {
    let train = gaussian_set("boundary", 20, 3);
    let time = 0.3;
    let limit = Predictor::identity(&train, Slope::RELU, 1.0).unwrap();
    let (v, b): (DMatrix<f64>, DMatrix<f64>) =
        (limit.weighted_sum(train.points()).unwrap(), limit.boundary_term(train.points()).unwrap());
    let flow = GradientFlow::new(&train, Slope::RELU, time).unwrap().with_gradients().prepare();
    let coefficients: Vec<f64> = (0..60)
        .map(|index| {
            let neurons = network("boundary", index, 3, 1 << 16, Initialisation::Antisymmetric, Readout::Gaussian);
            let gradient = flow.run(&neurons).unwrap().gradients.unwrap() / time;
            (gradient - &v).dot(&b) / b.norm_squared()
        })
        .collect();
    let (what, error) = ("coefficient of the boundary term", alpha("boundary term"));
    let (low, _) = assert_mean(what, &coefficients, OF_COEFFICIENTS, 1.0, error);
    assert!(low > 0.5, "the interval [{low}, …] is too wide to exclude a missing boundary term");
}
