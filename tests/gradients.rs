//! Trained input gradients, and the inputs of the second network made from them, against `proofs/perturbation.md` and
//! `perturbation-training.md`: P3 to P6, G3 to G5.
//!
//! A bound on an expectation is refuted when the whole of Student's one-sided interval lies above it. The bounds are proved
//! with absolute values of terms that cancel, so each must also be refuted by the same data when it is too small by a fault.

mod common;
#[path = "common/expectation.rs"]
mod expectation;

use common::say;
use expectation::{check_mean, lower_end};
use nalgebra::DMatrix;
use perturbation_learning::experiment::network_law;
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{GradientFlow, Initialisation, Neurons, Readout, adversarial_perturbations};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::mean;
use perturbation_learning::theory::bound::{
    FirstNetwork, Geometry, NetworkLaw, SlidingDerivative, averaged_gradient_fluctuation_bound, cosine_deficit_bound,
    expected_limit_deviation_bound, gradient_fluctuation_bound, gradient_mean_bound, kernel_change_bound,
    normalisation_remainder_bound,
};
use perturbation_learning::theory::{Pair, Predictor, limit_training_set, perturbed_points};
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 2410_23677;
const FLOW: SlidingDerivative = SlidingDerivative::OfFlow;

fn normal(purpose: &str, count: usize) -> Vec<f64> {
    let mut rng = Streams::new(SEED, purpose).stream(0);
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

fn set(purpose: &str, count: usize, dim: usize) -> TrainingSet {
    let points = Points::from_rows("x", count, dim, normal(purpose, count * dim)).unwrap();
    TrainingSet::new(points, random_signs(&Streams::new(SEED, &format!("{purpose}/labels")), count)).unwrap()
}

fn law(width: usize, init: Initialisation, readout: Readout) -> NetworkLaw {
    network_law(width, init, readout).unwrap()
}

/// D_T = (∇f_T − ∇f_0)/T at the training points of independent networks.
fn gradients(name: &str, train: &TrainingSet, slope: Slope, time: f64, law: &Networks) -> Vec<DMatrix<f64>> {
    let flow = GradientFlow::new(train, slope, time).unwrap().with_gradients().prepare();
    (0..law.count)
        .map(|index| {
            let streams = Streams::new(SEED, &format!("{name}/network {index}"));
            let neurons = Neurons::draw(train.input_dim(), law.width, law.init, law.readout, streams).unwrap();
            let outcome = flow.run(&neurons).unwrap();
            (outcome.gradients.unwrap() - outcome.initial_gradients.unwrap()) / time
        })
        .collect()
}

struct Networks {
    count: u64,
    width: usize,
    init: Initialisation,
    readout: Readout,
}

/// Squared deviations from the mean, scaled to be unbiased.
fn centred_squares(values: &[f64]) -> Vec<f64> {
    let (centre, n) = (mean(values), values.len() as f64);
    values.iter().map(|v| (v - centre).powi(2) * n / (n - 1.0)).collect()
}

fn mean_matrix(all: &[DMatrix<f64>]) -> DMatrix<f64> {
    all.iter().fold(DMatrix::zeros(all[0].nrows(), all[0].ncols()), |sum, d| sum + d) / all.len() as f64
}

//= test P3@f93468ce
//= power P3@f93468ce
/// P3: along the boundary term, so that a limit without it is refuted by the same data.
#[test]
fn the_mean_gradient_is_that_of_the_limit_with_its_boundary_term() {
    let (train, slope, time) = (set("mean gradient", 12, 4), Slope::new(0.1).unwrap(), 0.1);
    let geometry = Geometry::new(&train, slope, train.points()).unwrap();
    let limit = Predictor::identity(&train, slope, 1.0).unwrap();
    let (whole, boundary) = (limit.gradient(train.points()).unwrap(), limit.boundary_term(train.points()).unwrap());
    let largest = (0..12).max_by(|a, b| boundary.column(*a).norm().total_cmp(&boundary.column(*b).norm())).unwrap();
    let error = alpha("gradients: moments") / 100.0;
    for (init, readout) in
        [(Initialisation::Antisymmetric, Readout::Rademacher), (Initialisation::Standard, Readout::Gaussian)]
    {
        let networks = Networks { count: 250, width: 8192, init, readout };
        let all = gradients(&format!("mean gradient/{init:?}"), &train, slope, time, &networks);
        for n in 0..12 {
            let direction = boundary.column(n) / boundary.column(n).norm();
            let bound = gradient_mean_bound(
                &geometry,
                law(networks.width, init, readout),
                time,
                Some(direction.as_slice()),
                FLOW,
            )
            .unwrap()[n];
            let deviations: Vec<f64> = all.iter().map(|d| (d.column(n) - whole.column(n)).dot(&direction)).collect();
            let sign = mean(&deviations).signum();
            let low = lower_end(&deviations.iter().map(|d| sign * d).collect::<Vec<_>>(), error / 2.0);
            let without: Vec<f64> = deviations.iter().map(|d| d + boundary.column(n).norm()).collect();
            let refuted = lower_end(&without, error);
            say(format_args!(
                "P3, {init:?} {readout:?}, point {n}: |mean| {:.4}, above {low:.4}, bound {bound:.4}; without the boundary term above {refuted:.4}",
                mean(&deviations).abs()
            ));
            assert!(low <= bound, "P3, {init:?}, point {n} (seed {SEED})");
            // Fault: the boundary term dropped.
            assert!(
                n != largest || refuted > bound,
                "P3, {init:?}: a limit without boundary term passes (seed {SEED})"
            );
        }
    }
}

//= test P4@e42a1f71
//= test P5@1c4cc85d
//= test P6@c86cc248
//= power P4@e42a1f71
//= power P5@1c4cc85d
//= power P6@c86cc248
/// P4, P5, P6 on the same networks. Fault: m^{3/2} for √m, by the law of a network of width m³.
#[test]
fn gradients_fluctuate_within_the_bounds_on_their_second_moments() {
    let (count, dim, time, width) = (20, 5, 0.5, 1024);
    let (train, slope) = (set("fluctuation", count, dim), Slope::new(0.1).unwrap());
    let geometry = Geometry::new(&train, slope, train.points()).unwrap();
    let limit = Predictor::identity(&train, slope, 1.0).unwrap().gradient(train.points()).unwrap();
    let directions = DMatrix::from_vec(dim, count, normal("fluctuation/directions", dim * count));
    let axis: Vec<f64> = (0..dim).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect();
    let error = alpha("gradients: moments") / 100.0;
    for (init, readout) in
        [(Initialisation::Antisymmetric, Readout::Rademacher), (Initialisation::Standard, Readout::Gaussian)]
    {
        let networks = Networks { count: 1000, width, init, readout };
        let all = gradients(&format!("fluctuation/{init:?}"), &train, slope, time, &networks);
        let centre = mean_matrix(&all);
        let (right, wide) = (law(width, init, readout), law(width.pow(3), init, readout));
        let unbiased = all.len() as f64 / (all.len() as f64 - 1.0);
        for n in 0..3 {
            let what = |id: &str| format!("{id}, {init:?} {readout:?}, point {n}");
            let bound = |law, direction| gradient_fluctuation_bound(&geometry, law, time, direction).unwrap()[n];
            let squares: Vec<f64> =
                all.iter().map(|d| unbiased * (d.column(n) - centre.column(n)).norm_squared()).collect();
            check_mean(&what("P4"), &squares, bound(right, None), bound(wide, None), error);
            let along: Vec<f64> = all.iter().map(|d| d[(0, n)]).collect();
            let (one, fault) = (bound(right, Some(axis.as_slice())), bound(wide, Some(axis.as_slice())));
            check_mean(&what("P4 in one direction"), &centred_squares(&along), one, fault, error);
            if init == Initialisation::Antisymmetric {
                let deficits: Vec<f64> = all
                    .iter()
                    .map(|d| 1.0 - d.column(n).dot(&limit.column(n)) / (d.column(n).norm() * limit.column(n).norm()))
                    .collect();
                let bound = |law| cosine_deficit_bound(&geometry, law, time, FLOW).unwrap()[n];
                check_mean(&what("P5"), &deficits, bound(right), bound(wide), error);
            }
        }
        let averages: Vec<f64> = all.iter().map(|d| d.dot(&directions) / count as f64).collect();
        let bound = |law| averaged_gradient_fluctuation_bound(&geometry, law, time, &directions).unwrap();
        let what = format!("P6, {init:?} {readout:?}");
        check_mean(&what, &centred_squares(&averages), bound(right), bound(wide), error);
    }
}

//= test G5@72082d2e
//= power G5@72082d2e
/// G5, scenarios a and b. Fault: m² for √m: the law of a network of width m⁴.
#[test]
fn the_limit_of_the_second_network_moves_no_further_than_its_inputs_allow() {
    let (count, dim, time, width, epsilon) = (20, 5, 0.5, 1024, 0.5);
    let (train, slope) = (set("inputs", count, dim), Slope::new(0.1).unwrap());
    let test = Points::from_rows("z", 3, dim, normal("inputs/test", 3 * dim)).unwrap();
    let targets = random_signs(&Streams::new(SEED, "inputs/targets"), count);
    let limit = Predictor::identity(&train, slope, 1.0).unwrap();
    let networks = Networks { count: 300, width, init: Initialisation::Antisymmetric, readout: Readout::Rademacher };
    let all = gradients("inputs", &train, slope, time, &networks);
    let error = alpha("gradients: inputs of the second network") / 6.0;
    for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
        let value = |set: &TrainingSet| Predictor::identity(set, slope, 1.0).unwrap().values(&test).unwrap();
        let expected = value(&limit_training_set(&limit, train.points(), &targets, epsilon, scenario, None).unwrap());
        let deviations: Vec<Vec<f64>> = all
            .iter()
            .map(|d| {
                // The identity loss cancels from the perturbation, and with it f's values.
                let moves = adversarial_perturbations(d, &vec![0.0; count], &targets, &StandardLoss::Identity, epsilon)
                    .unwrap();
                let moved = perturbed_points(train.points(), &moves, scenario).unwrap();
                let found = value(&TrainingSet::new(moved, targets.clone()).unwrap());
                found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect()
            })
            .collect();
        let bound = |width| {
            let law = law(width, Initialisation::Antisymmetric, Readout::Rademacher);
            let f =
                FirstNetwork { train: &train, slope, law, time, targets: &targets, epsilon, scenario, sliding: FLOW };
            expected_limit_deviation_bound(&f, &test).unwrap()
        };
        let (right, wide) = (bound(width), bound(width.pow(4)));
        for z in 0..3 {
            let values: Vec<f64> = deviations.iter().map(|d| d[z]).collect();
            check_mean(&format!("G5, {scenario:?}, point {z}"), &values, right[z], wide[z], error);
        }
    }
}

//= test G3@b2fcbd5b
//= power G3@b2fcbd5b
/// G3 by random search: never exceeded, and nearly attained. Fault: a tenth less.
#[test]
fn kernels_change_no_more_than_their_inputs_allow() {
    let mut rng = Streams::new(SEED, "kernel change").stream(0);
    let mut sample = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut worst = 0.0_f64;
    for trial in 0..100_000_usize {
        let (d, slope) = (1 + trial % 3, Slope::new([0.0, 0.3, 0.9][trial % 3]).unwrap());
        let (scale, step) = (10_f64.powf(sample()), 10_f64.powf(2.0 * sample() - 2.0));
        let r: Vec<f64> = (0..d).map(|_| scale * sample()).collect();
        let moved: Vec<f64> = r.iter().map(|r| r + step * sample()).collect();
        let size = 10_f64.powf(sample());
        let z: Vec<f64> = (0..d).map(|_| size * sample()).collect();
        let (before, after) = (Pair::new(&r, &z).ntk(slope), Pair::new(&moved, &z).ntk(slope));
        // Rounding of the two kernels: a few ε each (the duals), and (d + 2)ε of the terms of the products.
        let lengths = |x: &[f64]| x.iter().zip(&z).map(|(x, z)| (x * z).abs()).sum::<f64>() + 1.0;
        let rounding = 16.0 * f64::EPSILON * (lengths(&r) + lengths(&moved));
        let bound = kernel_change_bound(&r, &moved, &z, slope).unwrap();
        worst = worst.max(((before - after).abs() - rounding) / bound);
    }
    say(format_args!("G3: largest change/bound {worst:.4}"));
    assert!(worst <= 1.0, "{worst}");
    assert!(worst > 0.9, "a bound that is a tenth smaller passes: {worst}");
}

//= test G4@7bd9ac4e
//= power G4@7bd9ac4e
/// G4 by random search. Fault: a factor 2 forgotten.
#[test]
fn normalising_a_moved_vector_is_linear_up_to_the_square_of_the_move() {
    let mut rng = Streams::new(SEED, "normalisation").stream(0);
    let mut sample = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut worst = 0.0_f64;
    for _ in 0..100_000 {
        // The plane of d = (1, 0) and δ is all there is; near δ = −d the remainder is largest.
        let spread = 10_f64.powf(sample() - 1.0);
        let (along, across) = (-1.0 + spread * sample(), spread * sample());
        let (x, y) = (1.0 + along, across);
        let length = x.hypot(y);
        let remainder = (x / length - 1.0).hypot(y / length - across);
        let bound = normalisation_remainder_bound(along.hypot(across), 1.0).unwrap();
        // The remainder is a sum of numbers of size 1 + |δ|.
        worst = worst.max((remainder - 8.0 * f64::EPSILON * (1.0 + across.abs())) / bound);
    }
    say(format_args!("G4: largest remainder/bound {worst:.4}"));
    assert!(worst <= 1.0, "{worst}");
    assert!(worst > 0.5, "a bound without its factor 2 passes: {worst}");
}
