//! Gradient descent, outputs and gradients against plain implementations.

use nalgebra::DMatrix;
use perturbation_learning::data::{Synthetic, synthetic};
use perturbation_learning::error::Error;
use perturbation_learning::loss::{Loss, StandardLoss};
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Plateau, Precision, Readout, Trained, Weights, empirical_ntk,
    initial_gradients, input_gradients, outputs, outputs_and_input_gradients_in, outputs_streamed,
};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

mod common;

fn gaussian_set(seed: u64, count: usize, dim: usize) -> TrainingSet {
    let mut rng = Streams::new(seed, "descent test data").stream(0);
    let values = (0..count * dim).map(|_| StandardNormal.sample(&mut rng)).collect();
    let labels = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap()
}

fn draw(dim: usize, width: usize) -> Neurons {
    let streams = Streams::new(2, "descent test neurons");
    Neurons::draw(dim, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap()
}

/// The identity loss in disguise: forces the general route.
struct Disguised;

impl Loss for Disguised {
    fn value(&self, margin: f64) -> f64 {
        -margin
    }
    fn force(&self, _: f64) -> f64 {
        1.0
    }
    fn force_max(&self) -> Option<f64> {
        Some(1.0)
    }
    fn name(&self) -> &str {
        "disguised"
    }
}

struct Recipe {
    slope: f64,
    rate: f64,
    steps: usize,
    momentum: f64,
    plateau: bool,
}

/// Descent exactly as written in the reference experiments: one weight at a time, no library.
fn plain(recipe: &Recipe, weights: &Weights, train: &TrainingSet, loss: &dyn Loss) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let stride = train.input_dim() + 1;
    let mut w = weights.hidden().to_vec();
    let mut v = vec![0.0; w.len()];
    let (mut rule, mut rate) = (Plateau::default(), recipe.rate);
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..recipe.steps {
        let mut gradient = vec![0.0; w.len()];
        let mut total = 0.0;
        for (x, y) in train.points().iter().zip(train.labels()) {
            let x: Vec<f64> = x.iter().copied().chain([1.0]).collect();
            let u: Vec<f64> = w.chunks(stride).map(|w| w.iter().zip(&x).map(|(w, x)| w * x).sum()).collect();
            let phi = |u: f64| if u >= 0.0 { u } else { recipe.slope * u };
            let f: f64 = u.iter().zip(weights.readout()).map(|(u, a)| a * phi(*u)).sum();
            total += loss.value(y * f) / train.count() as f64;
            for (i, (u, a)) in u.iter().zip(weights.readout()).enumerate() {
                let derivative = if *u >= 0.0 { 1.0 } else { recipe.slope };
                let factor = -loss.force(y * f) * y * a * derivative / train.count() as f64;
                for (g, x) in gradient[i * stride..].iter_mut().zip(&x) {
                    *g += factor * x;
                }
            }
        }
        losses.push(total);
        rates.push(rate);
        for ((w, v), g) in w.iter_mut().zip(&mut v).zip(&gradient) {
            *v = recipe.momentum * *v + g;
            *w -= rate * *v;
        }
        if recipe.plateau {
            rate = rule.step(total, rate);
        }
    }
    (w, losses, rates)
}

fn run(recipe: &Recipe, precision: Precision, neurons: &Neurons, train: &TrainingSet, loss: &dyn Loss) -> Trained {
    let descent = Descent::new(recipe.rate, recipe.steps).unwrap().with_momentum(recipe.momentum).unwrap();
    let descent = descent.with_plateau(recipe.plateau).with_precision(precision);
    descent.train(neurons, Slope::new(recipe.slope).unwrap(), train, loss).unwrap()
}

/// Largest difference of two weight vectors relative to the largest weight; not a number if any of them is none.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = |m: f64, v: f64| if m.is_nan() || v <= m { m } else { v };
    let scale = a.iter().map(|v| v.abs()).fold(0.0, largest);
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, largest) / scale
}

#[test]
fn what_is_no_number_is_at_no_distance() {
    assert_eq!(distance(&[1.0, -2.0], &[1.5, -2.0]), 0.25);
    for place in 0..3 {
        let mut bad = [1.0, 2.0, 3.0];
        bad[place] = f64::NAN;
        assert!(distance(&[1.0, 2.0, 3.0], &bad).is_nan() && distance(&bad, &[1.0, 2.0, 3.0]).is_nan());
    }
}

/// How many samples of each neuron change side at each step under the identity loss: one weight at a time, no library.
fn sign_changes(recipe: &Recipe, weights: &Weights, train: &TrainingSet) -> Vec<Vec<usize>> {
    let stride = train.input_dim() + 1;
    let points: Vec<Vec<f64>> = train.points().iter().map(|x| x.iter().copied().chain([1.0]).collect()).collect();
    let neuron = |(w, a): (&[f64], &f64)| -> Vec<usize> {
        let (mut w, mut v) = (w.to_vec(), vec![0.0; stride]);
        let sides = |w: &[f64]| -> Vec<bool> {
            points.iter().map(|x| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() >= 0.0).collect()
        };
        let mut above = sides(&w);
        let step = |_| {
            let mut force = vec![0.0; stride];
            for ((x, y), above) in points.iter().zip(train.labels()).zip(&above) {
                let factor = a * y * (if *above { 1.0 } else { recipe.slope }) / points.len() as f64;
                force.iter_mut().zip(x).for_each(|(f, x)| *f += factor * x);
            }
            for ((w, v), f) in w.iter_mut().zip(&mut v).zip(&force) {
                *v = recipe.momentum * *v + f;
                *w += recipe.rate * *v;
            }
            let before = std::mem::replace(&mut above, sides(&w));
            before.iter().zip(&above).filter(|(before, now)| before != now).count()
        };
        (0..recipe.steps).map(step).collect()
    };
    weights.hidden().chunks(stride).zip(weights.readout()).map(neuron).collect()
}

fn recipes() -> Vec<Recipe> {
    let mut all = Vec::new();
    for slope in [0.0, 0.3] {
        for (momentum, rate, steps) in [(0.0, 0.5, 60), (0.9, 0.2, 80)] {
            for plateau in [false, true] {
                all.push(Recipe { slope, rate, steps, momentum, plateau });
            }
        }
    }
    all
}

//= test N2@064d315e
/// Every route agrees with the plain one. Both round: per step a weight moves by η times a sum of N terms, each rounded
/// a few times, and errors add over the steps, so steps·N·ε relative to the largest weight is a bound up to the factor by
/// which the dynamics amplifies (below 10 here: at most a few sign changes per neuron).
#[test]
fn all_routes_agree_with_the_plain_implementation() {
    // For coupled losses: by products with the inputs, and (N < 2d) by the Gram matrix.
    for (train, neurons) in [(gaussian_set(1, 25, 4), draw(4, 18)), (gaussian_set(1, 12, 20), draw(20, 18))] {
        all_recipes_agree(&train, &neurons);
    }
}

fn all_recipes_agree(train: &TrainingSet, neurons: &Neurons) {
    for recipe in recipes() {
        for loss in [&StandardLoss::Identity as &dyn Loss, &Disguised, &StandardLoss::Logistic, &StandardLoss::Squared]
        {
            let (weights, losses, rates) = plain(&recipe, &neurons.weights(), train, loss);
            for (precision, epsilon) in [(Precision::F64, f64::EPSILON), (Precision::F32, f64::from(f32::EPSILON))] {
                let found = run(&recipe, precision, neurons, train, loss);
                let bound = 10.0 * (recipe.steps * train.count()) as f64 * epsilon;
                let error = distance(&weights, found.weights.hidden());
                let what = format!("{} {precision:?} γ={} β={}", loss.name(), recipe.slope, recipe.momentum);
                assert!(error <= bound, "{what}: {error:e} > {bound:e}");
                assert!(distance(&losses, &found.losses) <= bound, "{what}: losses");
                assert_eq!(rates, found.learning_rates, "{what}");
                assert_eq!(neurons.weights().readout(), found.weights.readout(), "the readout is frozen");
            }
        }
    }
}

/// The plateau rule does fire here. (For the identity loss: the next test.)
#[test]
fn plateau_reductions_are_followed_exactly_by_the_general_route() {
    // Every point occurs with both labels: the loss settles at log 2 and stands still.
    let points = gaussian_set(3, 10, 3).points().as_columns().as_slice().repeat(2);
    let labels = (0..20).map(|n| if n < 10 { 1.0 } else { -1.0 }).collect();
    let train = TrainingSet::new(Points::from_rows("x", 20, 3, points).unwrap(), labels).unwrap();
    let neurons = draw(3, 10);
    let recipe = Recipe { slope: 0.1, rate: 2.0, steps: 120, momentum: 0.5, plateau: true };
    let (weights, losses, rates) = plain(&recipe, &neurons.weights(), &train, &StandardLoss::Logistic);
    assert!(rates.iter().any(|r| *r < 1.0), "the rule never fired: {rates:?}");
    let found = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Logistic);
    assert_eq!(rates, found.learning_rates);
    assert!(distance(&losses, &found.losses) < 1e-9 && distance(&weights, found.weights.hidden()) < 1e-9);
}

/// An adversarial case for the identity loss with γ > 0 and contradicting labels: oscillating neurons make the loss
/// rise and the optimistic schedule wrong, so it must be corrected. The general route has no schedule to correct.
#[test]
fn the_optimistic_schedule_corrects_itself() {
    // One point with label −1 and positive readouts: u falls through 0 and is pushed on; a second with +1 pulls back.
    let points = Points::from_rows("x", 2, 1, vec![1.0, 1.2]).unwrap();
    let train = TrainingSet::new(points, vec![1.0, -1.0]).unwrap();
    let mut reduced = 0;
    for seed in 0..40 {
        let streams = Streams::new(seed, "schedule");
        let neurons = Neurons::draw(1, 3, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let recipe = Recipe { slope: 0.0, rate: 30.0, steps: 100, momentum: 0.9, plateau: true };
        let (_, losses, rates) = plain(&recipe, &neurons.weights(), &train, &StandardLoss::Identity);
        let general = run(&recipe, Precision::F64, &neurons, &train, &Disguised);
        assert_eq!(rates, general.learning_rates, "seed {seed}");
        let found = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Identity);
        assert_eq!(rates, found.learning_rates, "seed {seed}");
        // The rates are what the rule makes of the very losses that are reported, whatever was run before.
        let (mut rule, mut rate) = (Plateau::default(), recipe.rate);
        for (step, loss) in found.losses.iter().enumerate() {
            assert_eq!(found.learning_rates[step], rate, "seed {seed}, step {step}");
            rate = rule.step(*loss, rate);
        }
        reduced += usize::from(rates[99] < recipe.rate);
        assert!(losses.iter().zip(&found.losses).all(|(a, b)| (a - b).abs() <= 1e-8 * (1.0 + a.abs())), "seed {seed}");
    }
    assert!(reduced > 0, "no schedule was ever corrected");
}

/// Sign changes in thousands: incremental forces must not drift from dense ones.
#[test]
fn many_sign_changes_do_not_let_the_fast_route_drift() {
    let train = gaussian_set(5, 60, 10);
    let neurons = draw(10, 8);
    let recipe = Recipe { slope: 0.0, rate: 1.0, steps: 2000, momentum: 0.9, plateau: false };
    let changes: usize = sign_changes(&recipe, &neurons.weights(), &train).iter().flatten().sum();
    assert!(changes > 10_000, "{changes}");
    let fast = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Identity);
    let dense = run(&recipe, Precision::F64, &neurons, &train, &Disguised);
    let error = distance(dense.weights.hidden(), fast.weights.hidden());
    assert!(error <= (recipe.steps * train.count()) as f64 * f64::EPSILON, "{error:e}");
    common::say(format!("{changes} sign changes: {error:.1e} of the largest weight from dense products"));
}

/// How far f of the reference experiments' first setting (d = 100, m = 100, N = 1000) is from dense products in double precision, in both
/// precisions, as it is trained on.
#[test]
fn the_reference_setting_stays_with_dense_products_for_a_thousand_steps() {
    let train = synthetic(Synthetic::ShiftedGauss, 100, 1000, 1, 1).unwrap().train;
    let neurons = draw(100, 100);
    for steps in [10, 100, 1000] {
        let recipe = Recipe { slope: 0.0, rate: 1.0, steps, momentum: 0.9, plateau: true };
        let dense = run(&recipe, Precision::F64, &neurons, &train, &Disguised);
        let errors =
            [(Precision::F64, f64::EPSILON), (Precision::F32, f64::from(f32::EPSILON))].map(|(precision, epsilon)| {
                let fast = run(&recipe, precision, &neurons, &train, &StandardLoss::Identity);
                let error = distance(dense.weights.hidden(), fast.weights.hidden());
                assert!(error <= (steps * train.count()) as f64 * epsilon, "{steps} steps, {precision:?}: {error:e}");
                error
            });
        common::say(format!(
            "after {steps} steps {:.1e} of the largest weight from dense products in double precision, {:.1e} in single",
            errors[0], errors[1]
        ));
    }
}

/// Data of the two kinds that the fast route treats most differently: points for which a few signs change at a time, and
/// tiny points, for which a neuron changes all its signs at once when its bias does.
fn regimes() -> Vec<(&'static str, TrainingSet)> {
    let set = gaussian_set(11, 150, 6);
    let tiny = set.points().as_columns() * 1e-3;
    let tiny = Points::from_columns("tiny", tiny).unwrap();
    let wide = gaussian_set(12, 90, 130);
    // Every point three times, with labels that contradict each other.
    let thrice = set.points().select(&(0..150).map(|n| n % 50).collect::<Vec<_>>());
    vec![
        ("tiny", TrainingSet::new(tiny, set.labels().to_vec()).unwrap()),
        ("thrice", TrainingSet::new(thrice, set.labels().to_vec()).unwrap()),
        ("narrow", set),
        ("wide", wide),
        ("sliding", gaussian_set(18, 1500, 400)),
    ]
}

/// The fast route against dense products in every regime: few and many sign changes, long stretches without any, sign changes
/// confined to few samples, all at once; with and without momentum, γ > 0, reductions of the rate.
#[test]
fn the_fast_route_agrees_with_dense_products_in_every_regime() {
    let (mut compared, mut worst, mut reduced) = (0, 0.0_f64, 0);
    for (name, train) in regimes() {
        for (slope, momentum, rate, width) in
            [(0.0, 0.9, 1.0, 11), (0.0, 0.0, 5.0, 1), (0.4, 0.9, 0.01, 20), (0.0, 0.5, 60.0, 11)]
        {
            let recipe = Recipe { slope, rate, steps: 150, momentum, plateau: true };
            let neurons = draw(train.input_dim(), width);
            let fast = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Identity);
            let dense = run(&recipe, Precision::F64, &neurons, &train, &Disguised);
            let what = format!("{name} γ={slope} β={momentum} η={rate}");
            let bound = (recipe.steps * train.count()) as f64 * f64::EPSILON;
            let error = distance(dense.weights.hidden(), fast.weights.hidden());
            assert!(error <= bound, "{what}: {error:e} > {bound:e}");
            assert!(distance(&dense.losses, &fast.losses) <= bound, "{what}: losses");
            assert_eq!(dense.learning_rates, fast.learning_rates, "{what}");
            (compared, worst) = (compared + 1, worst.max(error));
            reduced += usize::from(fast.learning_rates[149] < rate);
        }
    }
    assert!(reduced > 0, "no rate was ever reduced");
    common::say(format!(
        "{compared} descents by sign changes agree with dense products to {worst:.1e} of the largest weight"
    ));
}

/// What the regimes are named for, at the first of the recipes above and its eleven neurons.
#[test]
fn every_regime_is_what_it_is_called() {
    for (name, train) in regimes() {
        let count = train.count();
        let recipe = Recipe { slope: 0.0, rate: 1.0, steps: 150, momentum: 0.9, plateau: false };
        let found = sign_changes(&recipe, &draw(train.input_dim(), 11).weights(), &train);
        let (steps, changes): (usize, usize) = (found.iter().map(Vec::len).sum(), found.iter().flatten().sum());
        let frequent = changes > 3 * steps;
        let most = found.iter().flatten().max().copied().unwrap();
        let quiet = found.iter().flat_map(|own| own.split(|changes| *changes > 0)).map(<[usize]>::len).max().unwrap();
        let late = found.iter().all(|own| own[64..].iter().any(|changes| *changes > 0));
        let is_so = match name {
            "tiny" => most == count && quiet >= 128,
            "thrice" | "narrow" => most < count / 4 && quiet >= 24 && late && !frequent,
            // Every few steps, also once a neuron may follow the samples near its boundary only.
            _ => most < count / 3 && quiet <= 3 && late && frequent,
        };
        assert!(is_so, "{name}: {changes} in {steps}, at most {most} at once, {quiet} steps without any");
    }
}

/// So many samples that the Gram matrix is read in blocks of columns, tile by tile by all threads; and points that span a
/// small space, in whose coordinates both descents work. Compared with the plain implementation.
#[test]
fn blocks_of_columns_and_small_spaces_agree_with_the_plain_implementation() {
    let small = {
        let (inner, outer) = (gaussian_set(15, 280, 7), gaussian_set(16, 7, 300));
        let points = outer.points().as_columns() * inner.points().as_columns() * 0.3;
        TrainingSet::new(Points::from_columns("small space", points).unwrap(), inner.labels().to_vec()).unwrap()
    };
    let recipe = Recipe { slope: 0.1, rate: 0.3, steps: 60, momentum: 0.9, plateau: false };
    // So many dimensions that products soon have cost half of a Gram matrix.
    for (name, train) in [("many", gaussian_set(17, 1500, 400)), ("small space", small)] {
        let neurons = draw(train.input_dim(), 16);
        for loss in [StandardLoss::Identity, StandardLoss::Logistic] {
            let (weights, losses, _) = plain(&recipe, &neurons.weights(), &train, &loss);
            for (precision, epsilon) in [(Precision::F64, f64::EPSILON), (Precision::F32, f64::from(f32::EPSILON))] {
                let found = run(&recipe, precision, &neurons, &train, &loss);
                let bound = (recipe.steps * train.count()) as f64 * epsilon;
                let (error, what) =
                    (distance(&weights, found.weights.hidden()), format!("{name} {loss:?} {precision:?}"));
                assert!(error <= bound, "{what}: {error:e} > {bound:e}");
                assert!(distance(&losses, &found.losses) <= bound, "{what}: losses");
            }
        }
    }
}

/// In double precision more is booked of these 300 neurons than the caches keep, and at this rate up to thirteen thousand samples change side in
/// a step: threads share them. Compared with the plain implementation.
#[test]
fn sign_changes_that_threads_share_agree_with_the_plain_implementation() {
    let (train, neurons) = (gaussian_set(17, 1500, 3), draw(3, 300));
    let recipe = Recipe { slope: 0.1, rate: 30.0, steps: 40, momentum: 0.9, plateau: false };
    let (weights, losses, _) = plain(&recipe, &neurons.weights(), &train, &StandardLoss::Identity);
    let found = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Identity);
    let bound = (recipe.steps * train.count()) as f64 * f64::EPSILON;
    let error = distance(&weights, found.weights.hidden());
    assert!(error <= bound, "{error:e} > {bound:e}");
    assert!(distance(&losses, &found.losses) <= bound, "losses");
}

/// The first groups of neurons find out that the Gram matrix pays; those that start later, of which the last has two neurons, have it from the
/// first step on.
#[test]
fn more_groups_than_find_out_about_the_gram_matrix_agree_with_the_plain_implementation() {
    let (train, neurons) = (gaussian_set(31, 150, 60), draw(60, 1090));
    let recipe = Recipe { slope: 0.3, rate: 1.0, steps: 20, momentum: 0.9, plateau: true };
    let (expected, losses, _) = plain(&recipe, &neurons.weights(), &train, &StandardLoss::Identity);
    for (precision, epsilon) in [(Precision::F64, f64::EPSILON), (Precision::F32, f64::from(f32::EPSILON))] {
        let found = run(&recipe, precision, &neurons, &train, &StandardLoss::Identity);
        let bound = 20.0 * 150.0 * epsilon;
        let (weights, loss) = (distance(&expected, found.weights.hidden()), distance(&losses, &found.losses));
        println!("{precision:?}: weights {weights:e}, losses {loss:e} of {bound:e}");
        assert!(weights <= bound && loss <= bound, "{precision:?} {weights:e} {loss:e}");
    }
}

/// Preactivations that are exactly zero count as above (φ'(0) = 1), whatever the sign of the zero.
#[test]
fn zero_preactivations_count_as_above_on_every_route() {
    let points = Points::from_rows("x", 3, 2, vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
    let train = TrainingSet::new(points, vec![1.0, -1.0, 1.0]).unwrap();
    let hidden = DMatrix::from_column_slice(2, 3, &[0.0, 0.0, -0.0, -0.0, 0.0, -1.0]);
    let weights = Weights::new(&hidden, &[0.0, -0.0, 0.0], vec![1.0, -0.5, 0.25]).unwrap();
    let recipe = Recipe { slope: 0.25, rate: 0.5, steps: 12, momentum: 0.5, plateau: false };
    let (hidden, losses, _) = plain(&recipe, &weights, &train, &StandardLoss::Identity);
    for loss in [&StandardLoss::Identity as &dyn Loss, &Disguised] {
        let found = run(&recipe, Precision::F64, &Neurons::given(weights.clone()), &train, loss);
        assert!(distance(&hidden, found.weights.hidden()) < 1e-13, "{}", loss.name());
        assert!(distance(&losses, &found.losses) < 1e-13, "{}", loss.name());
    }
}

/// Neurons shared out instead of samples, the reverse, and few samples at both widths: all routes of the coupled descent.
#[test]
fn narrow_and_wide_coupled_descents_agree_with_the_plain_one() {
    let recipe = Recipe { slope: 0.1, rate: 0.3, steps: 8, momentum: 0.9, plateau: false };
    // From 64 neurons on sums are looked up.
    for (dim, width) in [(3, 3), (3, 100), (3, 520), (60, 5), (60, 520)] {
        let train = gaussian_set(13, 20, dim);
        let neurons = draw(dim, width);
        let (weights, losses, _) = plain(&recipe, &neurons.weights(), &train, &StandardLoss::Logistic);
        let found = run(&recipe, Precision::F64, &neurons, &train, &StandardLoss::Logistic);
        assert!(distance(&weights, found.weights.hidden()) < 1e-13 && distance(&losses, &found.losses) < 1e-13);
    }
}

//= test K5@5687c941
/// Two neurons, two points, three steps, by hand. d = 1, x = (1, −1), y = (1, −1), γ = ½, a = (1, −1), η = 1, β = ½,
/// w̃₁ = (1, 0), w̃₂ = (0, −1). u₁ = (1, −1), u₂ = (−1, −1).
/// Force on w̃ = (a/2) Σ y φ' x̃: neuron 1: ½[1·(1,1) − ½·(−1,1)] = (¾, ¼); neuron 2: −½[½(1,1) − ½(−1,1)] = (−½, 0).
/// Step 1: v = force: w̃₁ = (1¾, ¼), w̃₂ = (−½, −1). No sign changes: u₁ = (2, −1½), u₂ = (−1½, −½). Forces stay.
/// Step 2: v₁ = 1.5·(¾, ¼), v₂ = 1.5·(−½, 0): w̃₁ = (2⅞, ⅝), w̃₂ = (−1¼, −1): u₂ = (−2¼, ¼): point 2 changes side.
/// Neuron 2's force is now −½[½(1,1) − (−1,1)] = (−¾, ¼).
/// Step 3: v₁ = 1.75·(¾, ¼), v₂ = ½·(−¾, 0) + (−¾, ¼): w̃₁ = (4 3/16, 1 1/16), w̃₂ = (−2⅜, −¾).
#[test]
fn three_steps_by_hand() {
    let train = TrainingSet::new(Points::from_rows("x", 2, 1, vec![1.0, -1.0]).unwrap(), vec![1.0, -1.0]).unwrap();
    let weights = Weights::new(&DMatrix::from_row_slice(1, 2, &[1.0, 0.0]), &[0.0, -1.0], vec![1.0, -1.0]).unwrap();
    let recipe = Recipe { slope: 0.5, rate: 1.0, steps: 3, momentum: 0.5, plateau: false };
    for loss in [&StandardLoss::Identity as &dyn Loss, &Disguised] {
        let found = run(&recipe, Precision::F64, &Neurons::given(weights.clone()), &train, loss);
        assert_eq!(found.weights.hidden(), [4.1875, 1.0625, -2.375, -0.75], "{}", loss.name());
        // Step 1: f(x₁) = 1 + ½, f(x₂) = −½ + ½: loss −(1.5 − 0)/2.
        assert_eq!(found.losses[0], -0.75);
        assert_eq!(found.flow_time, 1.0 + 1.5 + 1.75);
    }
}

/// f is exactly linear between kinks, so a difference over a step shorter than the way to the nearest kink is exact up
/// to the rounding of f, 2(d+1+m)ε Σ|a||w̃||x̃| over the step.
#[test]
fn input_gradients_are_exact_finite_differences() {
    let points = gaussian_set(7, 10, 3);
    let weights = draw(3, 40).weights();
    let slope = Slope::new(0.2).unwrap();
    let gradient = input_gradients(&weights, slope, points.points()).unwrap();
    for (n, x) in points.points().iter().enumerate() {
        let kink = weights.hidden().chunks(4).map(|w| {
            let u = w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3];
            u.abs() / w[..3].iter().fold(0.0_f64, |m, v| m.max(v.abs()))
        });
        let step = 0.5 * kink.fold(1.0, f64::min);
        for row in 0..3 {
            let mut moved = [x.to_vec(), x.to_vec()];
            moved[0][row] += step;
            moved[1][row] -= step;
            let values = outputs(&weights, slope, &Points::from_rows("x", 2, 3, moved.concat()).unwrap()).unwrap();
            let difference = (values[0] - values[1]) / (moved[0][row] - moved[1][row]);
            let scale: f64 = weights
                .hidden()
                .chunks(4)
                .zip(weights.readout())
                .map(|(w, a)| a.abs() * w.iter().map(|v| v.abs()).sum::<f64>())
                .sum();
            let bound = 2.0 * 44.0 * f64::EPSILON * scale * 4.0 / step;
            assert!((difference - gradient[(row, n)]).abs() <= bound, "{n},{row}: {difference} {}", gradient[(row, n)]);
        }
    }
}

/// Points of which the second half lies where no neuron is active, so many that sums are looked up: nothing is left of them, to the last bit.
#[test]
fn outputs_and_gradients_where_all_neurons_have_died_are_exactly_zero() {
    let (dim, width, count) = (3, 300, 150);
    let hidden = (0..width).flat_map(|i| [1.0 + (i as f64).sin().abs(), 0.5, 2.0, 0.0]).collect();
    let readout = (0..width).map(|i| (1.7 * i as f64).cos()).collect();
    let weights = Weights::from_augmented(dim, hidden, readout).unwrap();
    let alive = |n: usize| if n < count / 2 { 1.0 } else { -1.0 };
    let values = (0..count).flat_map(|n| [0.3, 1.0 + 0.01 * n as f64, 0.2].map(|x| alive(n) * x)).collect();
    let points = Points::from_rows("x", count, dim, values).unwrap();
    for precision in [Precision::F32, Precision::F64] {
        let (f, gradients) = outputs_and_input_gradients_in(precision, &weights, Slope::RELU, &points).unwrap();
        for (n, gradient) in gradients.column_iter().enumerate() {
            let zero = f[n] == 0.0 && gradient.iter().all(|g| *g == 0.0);
            assert_eq!(zero, n >= count / 2, "{precision:?} {n}");
        }
    }
}

/// Θ from its definition: the inner products of ∂f/∂w̃, one derivative at a time.
#[test]
fn the_empirical_ntk_is_the_gram_matrix_of_the_weight_gradients() {
    let set = gaussian_set(14, 70, 3);
    let (points, slope) = (set.points(), Slope::new(0.3).unwrap());
    for width in [1, 2500] {
        let weights = draw(3, width).weights();
        let kernel = empirical_ntk(&weights, slope, points).unwrap();
        let gradient = |x: &[f64]| -> Vec<f64> {
            let x: Vec<f64> = x.iter().copied().chain([1.0]).collect();
            let neurons = weights.hidden().chunks(4).zip(weights.readout());
            let factors = neurons.map(|(w, a)| {
                let u: f64 = w.iter().zip(&x).map(|(w, x)| w * x).sum();
                if u >= 0.0 { *a } else { 0.3 * a }
            });
            factors.flat_map(|factor| x.iter().map(move |x| factor * x).collect::<Vec<_>>()).collect()
        };
        let gradients: Vec<Vec<f64>> = points.iter().map(gradient).collect();
        let squares: f64 = weights.readout().iter().map(|a| a * a).sum();
        for (n, left) in gradients.iter().enumerate() {
            for (k, right) in gradients.iter().enumerate() {
                let exact: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
                let sizes = points.point(n).iter().zip(points.point(k)).map(|(a, b)| (a * b).abs()).sum::<f64>() + 1.0;
                let bound = 2.0 * (4 * width + 7) as f64 * f64::EPSILON * sizes * squares;
                assert!((kernel[(n, k)] - exact).abs() <= bound, "m={width} ({n}, {k})");
            }
        }
    }
    assert!(matches!(empirical_ntk(&draw(2, 4).weights(), slope, points), Err(Error::Shape { .. })));
}

#[test]
fn streamed_and_stored_networks_agree_bit_for_bit() {
    let points = gaussian_set(8, 6, 3);
    let neurons = draw(3, 5000);
    let weights = neurons.weights();
    let p = points.points();
    assert_eq!(outputs(&weights, Slope::RELU, p).unwrap(), outputs_streamed(&neurons, Slope::RELU, p).unwrap());
    assert_eq!(
        input_gradients(&weights, Slope::RELU, p).unwrap(),
        initial_gradients(&neurons, Slope::RELU, p).unwrap()
    );
    let flow = GradientFlow::new(&points, Slope::RELU, 0.0).unwrap().with_gradients().run(&neurons).unwrap();
    let direct = outputs(&weights, Slope::RELU, p).unwrap();
    assert!(flow.train_values.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 5000.0 * f64::EPSILON));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let train = gaussian_set(9, 30, 5);
    let neurons = draw(5, 150);
    // So many neurons that threads share the sign changes of a step.
    let (large, many) = (gaussian_set(10, 1500, 3), draw(3, 300));
    // Fewer samples than dimensions: the coupled descent goes by the Gram matrix.
    let (short, high) = (gaussian_set(11, 40, 90), draw(90, 30));
    // Points in a space of three dimensions, found by all threads.
    let flat = gaussian_set(18, 3, 300).points().as_columns()
        * large.points().select(&(0..280).collect::<Vec<_>>()).as_columns();
    let flat = TrainingSet::new(Points::from_columns("flat", flat).unwrap(), large.labels()[..280].to_vec()).unwrap();
    let wide = draw(300, 9);
    // Neurons that slide, and follow few samples; and more of them, for which threads share the tiles of the Gram matrix.
    let (noise, sliding, few) = (gaussian_set(18, 1500, 400), draw(400, 9), draw(400, 16));
    // Blocks of steps by the tangent kernel.
    let (medium, several) = (gaussian_set(19, 200, 60), draw(60, 100));
    let run_with = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let recipe = Recipe { slope: 0.0, rate: 0.5, steps: 30, momentum: 0.9, plateau: true };
            let mut bits = Vec::new();
            for precision in [Precision::F32, Precision::F64] {
                let by_kernel = Recipe { steps: 120, ..recipe };
                let found = run(&by_kernel, precision, &several, &medium, &StandardLoss::Logistic);
                bits.extend(found.weights.hidden().iter().chain(&found.losses).map(|v| v.to_bits()));
                for loss in [StandardLoss::Identity, StandardLoss::Logistic] {
                    let found = run(&recipe, precision, &neurons, &train, &loss);
                    bits.extend(found.weights.hidden().iter().chain(&found.losses).map(|v| v.to_bits()));
                    let gradient = input_gradients(&found.weights, Slope::RELU, train.points()).unwrap();
                    bits.extend(gradient.iter().map(|v| v.to_bits()));
                }
            }
            let recipe = Recipe { slope: 0.0, rate: 1.0, steps: 40, momentum: 0.9, plateau: false };
            for (neurons, train, rate, steps) in [(&few, &noise, 0.3, 60), (&many, &large, 30.0, 40)] {
                let recipe = Recipe { rate, steps, ..recipe };
                let found = run(&recipe, Precision::F64, neurons, train, &StandardLoss::Identity);
                bits.extend(found.weights.hidden().iter().chain(&found.losses).map(|v| v.to_bits()));
            }
            let recipe = Recipe { steps: 130, ..recipe };
            // After the first block entries come from the Gram matrix in double precision; in single it stays in a cache, and its
            // columns are added.
            for precision in [Precision::F32, Precision::F64] {
                let found = run(&recipe, precision, &sliding, &noise, &StandardLoss::Identity);
                bits.extend(found.weights.hidden().iter().chain(&found.losses).map(|v| v.to_bits()));
            }
            let recipe = Recipe { steps: 40, ..recipe };
            for (neurons, train, loss) in [
                (&high, &short, StandardLoss::Logistic),
                (&wide, &flat, StandardLoss::Identity),
                (&wide, &flat, StandardLoss::Logistic),
            ] {
                let found = run(&recipe, Precision::F64, neurons, train, &loss);
                bits.extend(found.weights.hidden().iter().chain(&found.losses).map(|v| v.to_bits()));
            }
            let kernel = empirical_ntk(&neurons.weights(), Slope::RELU, train.points()).unwrap();
            bits.extend(kernel.iter().map(|v| v.to_bits()));
            bits
        })
    };
    let one = run_with(1);
    assert_eq!(one, run_with(2));
    assert_eq!(one, run_with(7));
}

#[test]
fn edge_cases_and_bad_arguments() {
    let one = TrainingSet::new(Points::from_rows("x", 1, 1, vec![0.0]).unwrap(), vec![1.0]).unwrap();
    let recipe = Recipe { slope: 0.0, rate: 0.1, steps: 5, momentum: 0.0, plateau: false };
    assert_eq!(run(&recipe, Precision::F64, &draw(1, 1), &one, &StandardLoss::Identity).losses.len(), 5);
    let none = Recipe { steps: 0, ..recipe };
    let found = run(&none, Precision::F64, &draw(1, 3), &one, &StandardLoss::Identity);
    assert_eq!(found.weights, draw(1, 3).weights());
    assert_eq!(found.flow_time, 0.0);

    assert!(Descent::new(0.0, 1).is_err() && Descent::new(f64::NAN, 1).is_err());
    assert!(Descent::new(1.0, 1).unwrap().with_momentum(1.0).is_err());
    let descent = Descent::new(1.0, 1).unwrap();
    let wrong = descent.train(&draw(2, 4), Slope::RELU, &one, &StandardLoss::Identity);
    assert!(matches!(wrong, Err(Error::Shape { .. })));
    let train = gaussian_set(4, 10, 3);
    let diverging = Descent::new(1e200, 20).unwrap().train(&draw(3, 8), Slope::RELU, &train, &StandardLoss::Squared);
    assert!(matches!(diverging, Err(Error::Diverged { .. })), "{diverging:?}");
    let overflow = Descent::new(1e308, 20).unwrap().train(&draw(3, 8), Slope::RELU, &train, &StandardLoss::Identity);
    assert!(matches!(overflow, Err(Error::Diverged { .. })), "{overflow:?}");
}

/// What overflows is said to diverge, in whichever array it shows first.
#[test]
fn overflow_is_divergence() {
    let train = gaussian_set(4, 12, 3);
    let diverges = |rate: f64, steps: usize, precision: Precision, width: usize, loss: &dyn Loss| {
        let descent = Descent::new(rate, steps).unwrap().with_precision(precision);
        let found = descent.train(&draw(3, width), Slope::RELU, &train, loss);
        let what = format!("{} {precision:?} {rate} {steps} {width}", loss.name());
        assert!(matches!(found, Err(Error::Diverged { step, .. }) if step <= steps), "{what}: {found:?}");
    };
    // The last step's weights, which no loss sees: by samples and by neurons.
    for loss in [&StandardLoss::Logistic as &dyn Loss, &Disguised, &StandardLoss::Identity] {
        diverges(1e300, 1, Precision::F32, 8, loss);
        diverges(1e300, 1, Precision::F32, 600, loss);
    }
    // The time of two steps, with forces that vanish.
    diverges(1e308, 2, Precision::F64, 8, &StandardLoss::Logistic);
}

/// A long stretch whose coefficients overflow, though nothing that it moves does, is taken in shorter ones.
#[test]
fn stretches_that_would_overflow_are_taken_step_by_step() {
    let train = gaussian_set(4, 12, 3);
    let weights = draw(3, 8).weights();
    let readout = weights.readout().iter().map(|a| 1e-3 * a).collect();
    // No sample drives the first neuron: infinity times a force of zero is no number.
    let hidden = [&[0.0, 0.0, 0.0, -1.0], &weights.hidden()[4..]].concat();
    let weights = Weights::from_augmented(3, hidden, readout).unwrap();
    let recipe = Recipe { slope: 0.0, rate: 1e37, steps: 200, momentum: 0.0, plateau: false };
    let (hidden, _, _) = plain(&recipe, &weights, &train, &StandardLoss::Identity);
    let found = run(&recipe, Precision::F32, &Neurons::given(weights), &train, &StandardLoss::Identity);
    assert!(distance(&hidden, found.weights.hidden()) < (recipe.steps * 12) as f64 * f64::from(f32::EPSILON));
}
