//! Trained input gradients, and the inputs of the second network made from them, against `proofs/perturbation.md` and
//! `perturbation-training.md`: P3 to P6, P10, G3 to G5, G12.
//!
//! A bound on an expectation is refuted when the whole of Student's one-sided interval lies above it. The bounds are proved
//! with absolute values of terms that cancel, so each must also be refuted by the same data when it is too small by a fault.

mod common;
#[path = "common/expectation.rs"]
mod expectation;
#[path = "common/skewed.rs"]
mod skewed;
#[path = "common/sliding.rs"]
mod sliding;
#[path = "gradients/whole_runs.rs"]
mod whole_runs;

use common::say;
use expectation::{check_mean, lower_end};
use nalgebra::DMatrix;
use perturbation_learning::experiment::network_law;
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::flow::{Block, Observer};
use perturbation_learning::network::{
    GradientFlow, Initialisation, Neurons, Readout, Weights, adversarial_perturbations,
};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{mean, student_quantile, variance};
use perturbation_learning::theory::bound::{
    FirstNetwork, Geometry, NetworkLaw, PerturbationRule, ReadoutLaw, SlidingDerivative,
    averaged_gradient_fluctuation_bound, cosine_deficit_bound, expected_limit_deviation_bound,
    gradient_fluctuation_bound, gradient_fluctuation_limit, gradient_mean_bound, kernel_change_bound,
    normalisation_remainder_bound, second_network_fluctuation_limit, signed_gram_matrix, velocity_range,
};
use perturbation_learning::theory::{Pair, Predictor, limit_training_set, perturbed_points};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 2410_23677;
const FLOW: SlidingDerivative = SlidingDerivative::OfFlow;

/// Skewness allowed for, above what is found: what one pair of neurons carries over a boundary 3.1, squared deviations of networks over their
/// limits 1.6.
const OF_TERMS: f64 = 4.0;
const OF_RATIOS: f64 = 2.0;

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

//= test P3@030f5369
//= power P3@030f5369
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

//= test P3@030f5369
//= power P3@030f5369
/// P3 at a point that is repeated, with φ'(0) = 1 for its sliding neurons. Fault: K_nn/N for the force |S_n| of all copies. With
/// the flow's own derivative the bound without that term holds.
#[test]
fn the_convention_at_sliding_neurons_costs_the_force_of_all_copies_of_a_point() {
    let (width, networks, time, own) = (250_000, 24, 10.0, 10);
    let law = law(width, Initialisation::Antisymmetric, Readout::Rademacher);
    let error = alpha("gradients: moments") / 100.0;
    for (gamma, others) in [(0.0, 9), (0.1, 2)] {
        let (train, slope) = (sliding::repeated_point(own, others), Slope::new(gamma).unwrap());
        let geometry = Geometry::new(&train, slope, train.points()).unwrap();
        let limit = Predictor::identity(&train, slope, 1.0).unwrap().gradient(train.points()).unwrap()[(0, 0)];
        let flow = GradientFlow::new(&train, slope, time).unwrap().with_gradients().keep_weights().prepare();
        let all: Vec<[Vec<f64>; 2]> = (0..networks)
            .map(|index| {
                let streams = Streams::new(SEED, &format!("convention/{gamma}/network {index}"));
                let readout = Readout::Rademacher;
                let neurons = Neurons::draw(1, width, Initialisation::Antisymmetric, readout, streams).unwrap();
                sliding::both_gradients(&flow, slope, &neurons)
            })
            .collect();
        let bound = |kind| gradient_mean_bound(&geometry, law, time, Some(&[1.0]), kind).unwrap()[0];
        let (of_flow, one) = (bound(FLOW), bound(SlidingDerivative::One));
        let single = of_flow + (one - of_flow) / own as f64;
        for (kind, right, fault) in [(0, of_flow, None), (1, one, Some(single))] {
            let deviations: Vec<f64> = all.iter().map(|both| both[kind][0] / time - limit).collect();
            let sign = mean(&deviations).signum();
            let low = lower_end(&deviations.iter().map(|d| sign * d).collect::<Vec<_>>(), error / 2.0);
            say(format_args!(
                "P3, γ = {gamma}, kind {kind}: |mean| {:.4}, above {low:.4}, bound {right:.4}, with K_nn/N {single:.4}",
                mean(&deviations).abs()
            ));
            assert!(low <= right, "P3, γ = {gamma}, kind {kind} (seed {SEED})");
            assert!(fault.is_none_or(|fault| low > fault), "P3, γ = {gamma}: K_nn/N passes (seed {SEED})");
        }
    }
}

//= test P4@e42a1f71
//= test P5@651ac7f7
//= test P6@c86cc248
//= power P4@e42a1f71
//= power P5@651ac7f7
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

//= test G4@9c188ee0
//= power G4@9c188ee0
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

/// Where φ' is looked at.
#[derive(Clone, Copy)]
enum Site {
    Train(usize),
    Test(usize),
}

/// (Δφ')²‖w_0‖², and (Δφ')²⟨w_0, e⟩² for each direction e, of neurons in their order.
struct Carried<'a> {
    site: Site,
    directions: &'a [Vec<f64>],
    slope: Slope,
    values: Vec<Vec<f64>>,
}

impl Observer for Carried<'_> {
    fn block(&mut self, block: &Block<'_>) {
        for k in 0..block.size() {
            let change = match self.site {
                Site::Train(n) => {
                    block.derivative_train(k, n) - self.slope.derivative(block.preactivation_train(k, n).0)
                }
                Site::Test(j) => {
                    let (start, end) = block.preactivation_test(k, j);
                    self.slope.derivative(end) - self.slope.derivative(start)
                }
            };
            let w = |e: &[f64]| &block.initial_hidden(k)[..e.len()];
            let along = |e: &Vec<f64>| (change * dot(w(e), e)).powi(2);
            let w = w(&self.directions[0]);
            let squares = std::iter::once(change * change * dot(w, w)).chain(self.directions.iter().map(along));
            self.values.push(squares.collect());
        }
    }

    fn merge(&mut self, mut later: Self) {
        self.values.append(&mut later.values);
    }
}

/// Pairs of neurons with readouts ±`readout` whose pre-activation at z is uniform in ±`reach`: the same for both.
fn pairs_at_boundary(purpose: &str, z: &[f64], count: usize, readout: f64, reach: f64) -> Neurons {
    let (d, mut rng) = (z.len() as f64, Streams::new(SEED, purpose).stream(0));
    let variance = 1.0 + z.iter().map(|z| z * z).sum::<f64>() / d;
    let mut hidden = Vec::new();
    for _ in 0..count {
        let normal: Vec<f64> = (0..=z.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
        let (w, b) = (&normal[..z.len()], normal[z.len()]);
        let u = w.iter().zip(z).map(|(w, z)| w * z).sum::<f64>() / d.sqrt() + b;
        let wanted = reach * (2.0 * rng.random::<f64>() - 1.0);
        // w̃ less its part along (z, 1), plus what makes u as wanted.
        let shift = (wanted - u) / variance;
        let mut neuron: Vec<f64> = w.iter().zip(z).map(|(w, z)| w / d.sqrt() + shift * z / d).collect();
        neuron.push(b + shift);
        hidden.extend(neuron.iter().chain(&neuron));
    }
    let readout = (0..2 * count).map(|i| if i % 2 == 0 { readout } else { -readout }).collect();
    Neurons::given(Weights::from_augmented(z.len(), hidden, readout).unwrap())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What trained pairs that start near the boundary of one point tell of its Σ (P10) in ± readouts: terms of tr Σ and, for each direction e,
/// of ⟨e, Σe⟩, a pair each.
struct AtBoundary<'a> {
    train: &'a TrainingSet,
    /// Points that are none of training.
    test: &'a Points,
    slope: Slope,
    time: f64,
    pairs: usize,
}

impl AtBoundary<'_> {
    /// With readouts of ±10⁻⁶ neurons are those of a network of width 10¹².
    const READOUT: f64 = 1e-6;

    /// `streams` names the randomness. Each list has a term per pair.
    fn terms(&self, site: Site, directions: &[Vec<f64>], purpose: &str) -> Vec<Vec<f64>> {
        let z = match site {
            Site::Train(n) => self.train.points().point(n),
            Site::Test(j) => self.test.point(j),
        };
        let at = Points::from_rows("z", 1, z.len(), z.to_vec()).unwrap();
        let gram = signed_gram_matrix(self.train, &at).unwrap();
        let range = velocity_range(gram.column(0).as_slice(), self.slope);
        let fastest = range.1.max(-range.0);
        let neurons = pairs_at_boundary(purpose, z, self.pairs, Self::READOUT, Self::READOUT * self.time * fastest);
        let flow =
            GradientFlow::new(self.train, self.slope, self.time).unwrap().with_test(self.test).unwrap().watch_test();
        let observer = || Carried { site, directions, slope: self.slope, values: vec![] };
        let (_, carried) = flow.run_observed(&neurons, &observer).unwrap();
        // Half of the density at the boundary times the length of where they start, both sides.
        let variance = 1.0 + dot(z, z) / z.len() as f64;
        let scale = 0.5 * 2.0 * fastest / (2.0 * std::f64::consts::PI * variance).sqrt();
        let term = |list: usize| move |pair: &[Vec<f64>]| scale * (pair[0][list] + pair[1][list]);
        (0..=directions.len()).map(|list| carried.values.chunks_exact(2).map(term(list)).collect()).collect()
    }
}

//= test P10@d6bbf9f9
//= power P10@d6bbf9f9
/// P10's expectation E[Q w_⊥ w_⊥ᵀ]: neurons that start near the boundary of one point are all that it counts, so only such are trained.
/// Their readouts are those of a network of width 10¹²: what the limit leaves out is of relative size 10⁻⁶, and nothing is allowed for
/// it. (The factors before the expectation are tested on whole networks, with G12 below.) Judged is the difference of two independent means, of trained pairs and of the function's own draws
/// (60,000 and 400,000 terms), at the level for skewed values as if both had 60,000. Faults: the sample's own force S forgotten; a constant a tenth too large.
#[test]
fn the_fluctuation_of_gradients_has_the_constant_of_its_limit() {
    let (count, dim, time, pairs) = (6, 4, 0.7, 60_000);
    let train = set("fluctuation limit", count, dim);
    let test = Points::from_rows("z", 2, dim, normal("fluctuation limit/test", 2 * dim)).unwrap();
    let both: Vec<f64> = train.points().iter().chain(test.iter()).flatten().copied().collect();
    let both = Points::from_rows("x and z", count + 2, dim, both).unwrap();
    let error = alpha("gradients: limit of the fluctuation") / (2 * 2 * (count + 2)) as f64;
    let level = skewed::student_level(pairs, OF_TERMS, error);
    let quantile = student_quantile(pairs as f64 - 1.0, 0.5 * level);
    let (mut forgotten, mut too_large) = (0, 0);
    for slope in [0.0, 0.2].map(|slope| Slope::new(slope).unwrap()) {
        let limit_of = |set: &TrainingSet, purpose: &str| {
            let streams = Streams::new(SEED, &format!("fluctuation limit/{purpose}"));
            gradient_fluctuation_limit(set, slope, &both, ReadoutLaw::Rademacher, 400_000, &streams).unwrap().points
        };
        let limits = limit_of(&train, "draws");
        let directions = Predictor::identity(&train, slope, 1.0).unwrap().gradient(&both).unwrap();
        for (z, limit) in limits.iter().enumerate() {
            let site = if z < count { Site::Train(z) } else { Site::Test(z - count) };
            let purpose = format!("fluctuation limit/slope {}/{z}", slope.value());
            let direction: Vec<f64> = directions.column(z).normalize().iter().copied().collect();
            let pairs = AtBoundary { train: &train, test: &test, slope, time, pairs };
            let [totals, along] = pairs.terms(site, &[direction], &purpose).try_into().unwrap();
            let across: Vec<f64> = totals.iter().zip(along).map(|(total, along)| total - along).collect();
            for (part, (value, own)) in
                [(limit.total, limit.total_error), (limit.across, limit.across_error)].into_iter().enumerate()
            {
                let of_pairs = [&totals, &across][part];
                let standard = (variance(of_pairs) / of_pairs.len() as f64 + own * own).sqrt();
                let off = |value: f64| (mean(of_pairs) - value).abs() / standard;
                say(format_args!(
                    "P10, slope {}, point {z}, part {part}: pairs {:.5}, limit {value:.5} ± {own:.5}, off by {:.2} standard errors",
                    slope.value(),
                    mean(of_pairs),
                    off(value)
                ));
                assert!(off(value) <= quantile, "P10, slope {}, point {z} (seed {SEED})", slope.value());
                too_large += usize::from(off(1.1 * value) > quantile);
                if z < count && part == 0 {
                    // Without the point among the training points; N stays what it is.
                    let others: Vec<usize> = (0..count).filter(|n| *n != z).collect();
                    let labels = others.iter().map(|n| train.labels()[*n]).collect();
                    let rest = TrainingSet::new(train.points().select(&others), labels).unwrap();
                    let kept = (count - 1) as f64 / count as f64;
                    let without = limit_of(&rest, "draws without")[z].total * kept;
                    forgotten += usize::from(off(without) > quantile);
                }
            }
        }
    }
    say(format_args!(
        "P10: own force forgotten refuted at {forgotten} of 12 points, a tenth more at {too_large} of 32"
    ));
    assert!(forgotten >= 8 && too_large == 32, "{forgotten} {too_large} (seed {SEED})");
}

//= test G12@e77acec1
//= power G12@e77acec1
/// κ of G12 without its formulas: the derivative of G with respect to each gradient of f by differences through perturbation and
/// predictor (central ones: relative error of order 10⁻⁸), and how these gradients scatter from trained pairs as in the test of P10.
/// Judged as there. Faults: derivatives not projected, a tenth more, and perturbations that scatter as if all along one direction (√(tr Σ)‖H_n‖).
#[test]
fn the_second_limit_scatters_by_what_trained_gradients_carry_into_it() {
    let (count, dim, time, epsilon, pairs) = (6, 4, 0.7, 0.5, 60_000);
    let train = set("fluctuation limit", count, dim);
    let slope = Slope::new(0.2).unwrap();
    let test = Points::from_rows("z", 2, dim, normal("fluctuation limit/test", 2 * dim)).unwrap();
    let targets = random_signs(&Streams::new(SEED, "second limit from pairs/targets"), count);
    let limit = Predictor::identity(&train, slope, 1.0).unwrap().gradient(train.points()).unwrap();
    let second = |d: &DMatrix<f64>, scenario| {
        let moves = adversarial_perturbations(d, &vec![0.0; count], &targets, &StandardLoss::Identity, epsilon);
        let moved = perturbed_points(train.points(), &moves.unwrap(), scenario).unwrap();
        TrainingSet::new(moved, targets.clone()).unwrap()
    };
    let scenarios = [Scenario::PerturbationOnly, Scenario::OnImage];
    let error = alpha("gradients: second limit from pairs") / (2 * test.count()) as f64;
    let level = skewed::student_level(pairs, OF_TERMS, error);
    let quantile = student_quantile(pairs as f64 - 1.0, 0.5 * level);
    // For each scenario and test point, and each training point: H_n, and as it would be without the projection.
    let mut pulls: Vec<Vec<Vec<f64>>> = vec![vec![]; count];
    for scenario in scenarios {
        let values =
            |d: &DMatrix<f64>| Predictor::identity(&second(d, scenario), slope, 1.0).unwrap().values(&test).unwrap();
        for z in 0..test.count() {
            let at = Points::from_rows("z", 1, dim, test.point(z).to_vec()).unwrap();
            let kernel = Predictor::new(at, vec![1.0], slope).unwrap();
            let full = kernel.gradient(second(&limit, scenario).points()).unwrap();
            for (n, pulls) in pulls.iter_mut().enumerate() {
                let norm = limit.column(n).norm();
                let derivative = |j: usize| {
                    let step = 1e-4 * norm;
                    let moved = |by: f64| {
                        let mut d = limit.clone();
                        d[(j, n)] += by;
                        values(&d)[z]
                    };
                    (moved(step) - moved(-step)) / (2.0 * step)
                };
                pulls.push((0..dim).map(derivative).collect());
                pulls.push(full.column(n).iter().map(|h| epsilon * h / (count as f64 * norm)).collect());
            }
        }
    }
    let at_boundary = AtBoundary { train: &train, test: &test, slope, time, pairs };
    let carried: Vec<Vec<Vec<f64>>> = (0..count)
        .map(|n| at_boundary.terms(Site::Train(n), &pulls[n], &format!("second limit from pairs/{n}")))
        .collect();
    for (part, scenario) in scenarios.into_iter().enumerate() {
        let rule = PerturbationRule { targets: &targets, epsilon, scenario };
        let streams = Streams::new(SEED, "second limit from pairs/draws");
        let law =
            second_network_fluctuation_limit(&train, slope, rule, &test, ReadoutLaw::Rademacher, 400_000, &streams);
        for (z, law) in law.unwrap().into_iter().enumerate() {
            let list = 1 + 2 * (part * test.count() + z);
            let sum = |list: usize| carried.iter().map(|lists| mean(&lists[list])).sum::<f64>();
            let spread: f64 = carried.iter().map(|lists| variance(&lists[list]) / pairs as f64).sum();
            let standard = (spread + law.error * law.error).sqrt();
            let off = |value: f64| (value - law.value).abs() / standard;
            let isotropic: f64 = carried
                .iter()
                .zip(&pulls)
                .map(|(lists, pulls)| mean(&lists[0]) * dot(&pulls[list - 1], &pulls[list - 1]))
                .sum();
            say(format_args!(
                "G12, {scenario:?}, point {z}: pairs {:.4e}, κ = {:.4e} ± {:.1e}, off by {:.2} standard errors; not projected {:.2}, one direction {:.2}",
                sum(list),
                law.value,
                law.error,
                off(sum(list)),
                off(sum(list + 1)),
                off(isotropic)
            ));
            assert!(off(sum(list)) <= quantile, "G12, {scenario:?}, point {z} (seed {SEED})");
            assert!(off(1.1 * sum(list)) > quantile, "G12, {scenario:?}, point {z}: a tenth more passes (seed {SEED})");
            assert!(off(sum(list + 1)) > quantile, "G12, {scenario:?}, point {z}: no projection passes (seed {SEED})");
            assert!(off(isotropic) > quantile, "G12, {scenario:?}, point {z}: one direction passes (seed {SEED})");
        }
    }
}

//= test P10@d6bbf9f9
//= power P10@d6bbf9f9
//= test G12@e77acec1
//= power G12@e77acec1
/// P10 and G12 on whole networks, scenarios a and b: the limit of g given the perturbations of trained networks f. The statement is a limit, which is
/// approached like m^{−1/2} (means 1.14 ± 0.03 at m = 2¹⁶ and 1.04 ± 0.03 at 2¹⁹ with T = 0.5, 1000 networks each). So networks of widths m and 16m
/// are combined such that this power cancels (D_T − d has third and fourth moments of order 1/m); what is left, 1/m, is small against
/// the standard error, and nothing is allowed for it. Judged is the mean of (√m T/κ)(G_r̂ − G)² over the test points, one number per network, by Student's interval at the level for skewed values; and likewise the mean of
/// T√m‖D_T − d‖²/tr Σ over the training points, with its factors ½, μ₃ and p. Faults: half the variance (one sign of the readout), and the rate
/// m^(−1/2) of function values, with the constant that fits at the smaller width; for P10 also readouts ±1/√m (μ₃ = 1).
#[test]
fn perturbations_of_a_finite_network_scatter_the_second_limit_as_predicted() {
    let (count, dim, time, epsilon) = (12, 5, 2.0, 0.5);
    let (train, slope) = (set("second limit", count, dim), Slope::new(0.1).unwrap());
    let test = Points::from_rows("z", 8, dim, normal("second limit/test", 8 * dim)).unwrap();
    let targets = random_signs(&Streams::new(SEED, "second limit/targets"), count);
    let limit = Predictor::identity(&train, slope, 1.0).unwrap();
    let trained = [1 << 12, 1 << 16].map(|width| {
        let networks = Networks { count: 400, width, init: Initialisation::Antisymmetric, readout: Readout::Gaussian };
        (width as f64, gradients(&format!("second limit/{width}"), &train, slope, time, &networks))
    });
    let error = alpha("gradients: limit of the second network") / 3.0;
    let count_of_networks = trained[0].1.len();
    let level = skewed::student_level(count_of_networks, OF_RATIOS, error);
    let quantile = student_quantile(count_of_networks as f64 - 1.0, 0.5 * level);
    // The mean for m → ∞ and half its interval from ratios per network, if the wide networks' were `times` as large.
    let interval = |[narrow, wide]: [&[f64]; 2], times: f64| {
        let error = |ratios: &[f64]| variance(ratios) / ratios.len() as f64;
        (
            (4.0 * times * mean(wide) - mean(narrow)) / 3.0,
            quantile * (16.0 * times * times * error(wide) + error(narrow)).sqrt() / 3.0,
        )
    };
    let passes = |(found, half): (f64, f64), expected: f64| (found - expected).abs() <= half;

    let streams = Streams::new(SEED, "second limit/draws");
    let own =
        gradient_fluctuation_limit(&train, slope, train.points(), ReadoutLaw::Gaussian, 100_000, &streams).unwrap();
    let centres = limit.gradient(train.points()).unwrap();
    let distances = trained.each_ref().map(|(width, all)| {
        let ratio = |d: &DMatrix<f64>| {
            let points = (d - &centres)
                .column_iter()
                .zip(&own.points)
                .map(|(d, own)| d.norm_squared() / own.total)
                .collect::<Vec<f64>>();
            mean(&points) * time * width.sqrt()
        };
        all.iter().map(ratio).collect::<Vec<f64>>()
    });
    let distances = distances.each_ref().map(|ratios| &ratios[..]);
    let (found, half) = interval(distances, 1.0);
    say(format_args!(
        "P10: mean ratio {:.3}, {:.3}, in the limit {found:.3} ± {half:.3}",
        mean(distances[0]),
        mean(distances[1])
    ));
    let rademacher = (2.0 / std::f64::consts::PI).sqrt().recip() / 2.0;
    assert!(passes((found, half), 1.0), "P10 (seed {SEED})");
    assert!(!passes((found, half), 0.5), "P10: half the variance passes (seed {SEED})");
    assert!(!passes((found, half), rademacher), "P10: the law of other readouts passes (seed {SEED})");
    assert!(!passes(interval(distances, 4.0), 1.0), "P10: the rate of function values passes (seed {SEED})");

    for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
        let rule = PerturbationRule { targets: &targets, epsilon, scenario };
        let streams = Streams::new(SEED, "second limit/draws");
        let law = second_network_fluctuation_limit(&train, slope, rule, &test, ReadoutLaw::Gaussian, 100_000, &streams);
        let law = law.unwrap();
        assert!(law.iter().all(|variance| variance.error < 0.01 * variance.value));
        let value = |set: &TrainingSet| Predictor::identity(set, slope, 1.0).unwrap().values(&test).unwrap();
        let expected = value(&limit_training_set(&limit, train.points(), &targets, epsilon, scenario, None).unwrap());
        // The mean over the test points of squares over their limits.
        let ratio = |width: f64, d: &DMatrix<f64>| {
            // The identity loss cancels from the perturbation, and with it f's values.
            let moves = adversarial_perturbations(d, &vec![0.0; count], &targets, &StandardLoss::Identity, epsilon);
            let moved = perturbed_points(train.points(), &moves.unwrap(), scenario).unwrap();
            let found = value(&TrainingSet::new(moved, targets.clone()).unwrap());
            let squares = found.iter().zip(&expected).map(|(g, limit)| (g - limit).powi(2));
            let ratios = squares.zip(&law).map(|(square, law)| square * time * width.sqrt() / law.value);
            mean(&ratios.collect::<Vec<f64>>())
        };
        let ratios = trained.each_ref().map(|(width, all)| all.iter().map(|d| ratio(*width, d)).collect::<Vec<f64>>());
        let ratios = ratios.each_ref().map(|ratios| &ratios[..]);
        let (found, half) = interval(ratios, 1.0);
        say(format_args!(
            "G12, {scenario:?}: mean ratio {:.3}, {:.3}, in the limit {found:.3} ± {half:.3}",
            mean(ratios[0]),
            mean(ratios[1])
        ));
        assert!(passes((found, half), 1.0), "G12, {scenario:?} (seed {SEED})");
        assert!(!passes((found, half), 0.5), "G12, {scenario:?}: half the variance passes (seed {SEED})");
        assert!(
            !passes(interval(ratios, 4.0), 1.0),
            "G12, {scenario:?}: the rate of function values passes (seed {SEED})"
        );
    }
}
