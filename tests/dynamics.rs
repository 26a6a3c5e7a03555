//! Flips of random neurons (M4), and networks trained with losses that couple their neurons (L1–L4), against their
//! bounds.
//!
//! What holds with probability 1 − δ is rejected by an exact binomial tail; what holds for every network is checked on
//! every one. All networks are trained by plain descent and compared with the kernel recursion of the same steps.

mod common;

use common::say;
use perturbation_learning::experiment::network_law;
use perturbation_learning::loss::{Loss, StandardLoss};
use perturbation_learning::network::flow::{Block, Observer};
use perturbation_learning::network::{Descent, GradientFlow, Initialisation, Neurons, Readout, Weights};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{binomial_upper_tail, quantile, rejection_count};
use perturbation_learning::theory::bound::{
    LipschitzLoss, LossBound, ReadoutMoments, flip_probability_bound, kernel_drift_bound, lipschitz_loss_bound,
    mean_square_drift_bound, signed_gram_matrix, squared_loss_bound, velocity_range,
};
use perturbation_learning::theory::{Kernel, cross_gram};
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 2410_23677;

fn gaussian_points(purpose: &str, count: usize, dim: usize) -> Points {
    let mut rng = Streams::new(SEED, purpose).stream(0);
    let values = (0..count * dim).map(|_| StandardNormal.sample(&mut rng)).collect();
    Points::from_rows("x", count, dim, values).unwrap()
}

fn gaussian_set(purpose: &str, count: usize, dim: usize) -> TrainingSet {
    let labels = random_signs(&Streams::new(SEED, &format!("{purpose}/labels")), count);
    TrainingSet::new(gaussian_points(purpose, count, dim), labels).unwrap()
}

/// How many neurons changed sign at each training point.
struct FlipCount(Vec<u64>);

impl Observer for FlipCount {
    fn block(&mut self, block: &Block<'_>) {
        for (n, count) in self.0.iter_mut().enumerate() {
            *count += (0..block.size()).filter(|&k| block.first_flip_train(k, n).is_finite()).count() as u64;
        }
    }

    fn merge(&mut self, later: Self) {
        self.0.iter_mut().zip(later.0).for_each(|(count, more)| *count += more);
    }
}

//= test M4@0faeb377
//= power M4@0faeb377
/// M4: the neurons of one wide network are independent, all with |a| = m^{−1/2}. Faults: a bound a fifth smaller where
/// one sample drives itself (it is nearly attained there), and the kernel without +1.
#[test]
fn no_more_neurons_flip_than_their_windows_allow() {
    const WIDTH: usize = 40_000;
    let one = TrainingSet::new(Points::from_rows("x", 1, 1, vec![0.5]).unwrap(), vec![1.0]).unwrap();
    let cases = [
        ("one sample, γ = .9", one.clone(), 0.9, 30.0),
        ("one sample, γ = 0", one, 0.0, 30.0),
        ("twelve samples", gaussian_set("flips/train", 12, 4), 0.0, 10.0),
    ];
    let error = alpha("flip probability") / 14.0;
    for (name, train, slope, time) in cases {
        let slope = Slope::new(slope).unwrap();
        let streams = Streams::new(SEED, &format!("flips/{name}"));
        let neurons =
            Neurons::draw(train.input_dim(), WIDTH, Initialisation::Standard, Readout::Rademacher, streams).unwrap();
        let count = train.count();
        let flow = GradientFlow::new(&train, slope, time).unwrap();
        let (_, flips) = flow.run_observed(&neurons, &|| FlipCount(vec![0; count])).unwrap();
        let gram = signed_gram_matrix(&train, train.points()).unwrap();
        let mut worst = 0.0_f64;
        for (n, x) in train.points().iter().enumerate() {
            let variance = 1.0 + x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
            let density = 1.0 / (2.0 * std::f64::consts::PI * variance).sqrt();
            let bound = |column: &[f64]| {
                let (low, high) = velocity_range(column, slope);
                let window = high.max(0.0) + (-low).max(0.0);
                flip_probability_bound(window, density, 1.0 / (WIDTH as f64).sqrt(), time).unwrap()
            };
            let rejects = |p: f64| binomial_upper_tail(WIDTH as u64, p, flips.0[n]) <= error;
            let p = bound(gram.column(n).as_slice());
            worst = worst.max(flips.0[n] as f64 / WIDTH as f64 / p);
            assert!(!rejects(p), "{name}, sample {n}: {} of {WIDTH} flip, bound {p} (seed {SEED})", flips.0[n]);
            if count == 1 {
                let without_bias: Vec<f64> = gram.column(n).iter().map(|c| c - 1.0).collect();
                assert!(rejects(bound(&without_bias)), "{name}: windows without the bias pass");
            }
            if slope.value() == 0.9 {
                assert!(rejects(0.8 * p), "{name}: a window a fifth shorter passes");
            }
        }
        say(format_args!("M4, {name}: observed/bound at most {worst:.3}"));
    }
}

const DIM: usize = 3;
const COUNT: usize = 8;
const WIDTH: usize = 2000;
const STEPS: usize = 10;
const NETWORKS: u64 = 150;
const FAILURE: f64 = 0.05;
const SLOPE: f64 = 0.3;

/// A coupled loss with its data.
struct Setting {
    train: TrainingSet,
    /// The training points, then two test points.
    all: Points,
    loss: StandardLoss,
    time: f64,
}

impl Setting {
    fn new(loss: StandardLoss, time: f64) -> Self {
        let train = gaussian_set("losses/train", COUNT, DIM);
        let test = gaussian_points("losses/test", 2, DIM);
        let rows: Vec<f64> = train.points().iter().chain(test.iter()).flatten().copied().collect();
        Setting { all: Points::from_rows("x", COUNT + 2, DIM, rows).unwrap(), train, loss, time }
    }

    fn rate(&self) -> f64 {
        self.time / STEPS as f64
    }

    /// K_n(z).
    fn products(&self, n: usize, z: usize) -> f64 {
        self.train.points().point(n).iter().zip(self.all.point(z)).map(|(x, z)| x * z).sum::<f64>() + 1.0
    }
}

/// What is wrong with the kernel recursion that networks are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    /// Θ without +1.
    NoBias,
    /// γ² for γ.
    SlopeSquared,
    /// Another loss: forces of 1.
    IdentityForce,
    /// A step is left out.
    OneStepLess,
}

/// k after all steps, at all points, from f_0.
fn kernel_recursion(setting: &Setting, initial: &[f64], fault: Fault) -> Vec<f64> {
    let slope = Slope::new(if fault == Fault::SlopeSquared { SLOPE * SLOPE } else { SLOPE }).unwrap();
    let mut kernel = cross_gram(Kernel::Ntk, slope, setting.train.points(), &setting.all);
    if fault == Fault::NoBias {
        kernel -= cross_gram(Kernel::DerivativeDual, slope, setting.train.points(), &setting.all);
    }
    let labels = setting.train.labels();
    let mut values = initial.to_vec();
    for _ in 0..STEPS - usize::from(fault == Fault::OneStepLess) {
        let force = |(y, k): (&f64, &f64)| {
            let force = if fault == Fault::IdentityForce { 1.0 } else { setting.loss.force(y * k) };
            setting.rate() * y * force / COUNT as f64
        };
        let pushes: Vec<f64> = labels.iter().zip(&values).map(force).collect();
        for (value, column) in values.iter_mut().zip(kernel.column_iter()) {
            *value += column.iter().zip(&pushes).map(|(theta, push)| theta * push).sum::<f64>();
        }
    }
    values
}

/// One trained network: outputs at all points before and after, and the drifts of its kernel over the run.
struct Run {
    initial: Vec<f64>,
    trained: Vec<f64>,
    /// Largest over the steps of (1/N) Σ |K_n||Φ̂ − Φ|, and of ((1/N) Σ K_n²(Φ̂ − Φ)²)^{1/2}; per point.
    drift: Vec<f64>,
    square_drift: Vec<f64>,
    /// Largest root mean square of 1 − y f over the steps.
    residual: f64,
    readouts: ReadoutMoments,
}

/// u of all neurons at all points, neuron after neuron.
fn preactivations(weights: &Weights, points: &Points) -> Vec<f64> {
    let rows = weights.hidden().chunks(DIM + 1);
    let at = |w: &[f64], x: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + w[DIM];
    rows.flat_map(|w| points.iter().map(move |x| at(w, x))).collect()
}

fn run(setting: &Setting, init: Initialisation, readout: Readout, name: &str, index: u64) -> Run {
    let streams = Streams::new(SEED, &format!("{name}/{init:?}/{readout:?}/network {index}"));
    let slope = Slope::new(SLOPE).unwrap();
    let mut weights = Neurons::draw(DIM, WIDTH, init, readout, streams).unwrap().weights();
    let descent = Descent::new(setting.rate(), 1).unwrap();
    let duals = cross_gram(Kernel::DerivativeDual, slope, setting.train.points(), &setting.all);
    let points = COUNT + 2;
    let outputs = |u: &[f64], a: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0; points];
        for (u, a) in u.chunks(points).zip(a) {
            sums.iter_mut().zip(u).for_each(|(sum, u)| *sum += a * slope.activation(*u));
        }
        sums
    };
    let mut before = preactivations(&weights, &setting.all);
    let initial = outputs(&before, weights.readout());
    let mut run = Run {
        trained: initial.clone(),
        initial,
        drift: vec![0.0; points],
        square_drift: vec![0.0; points],
        residual: 0.0,
        readouts: ReadoutMoments::new(weights.readout(), init == Initialisation::Antisymmetric).unwrap(),
    };
    for _ in 0..STEPS {
        let gaps = run.trained.iter().zip(setting.train.labels()).map(|(f, y)| (1.0 - y * f).powi(2));
        run.residual = run.residual.max((gaps.sum::<f64>() / COUNT as f64).sqrt());
        weights = descent.train(&Neurons::given(weights), slope, &setting.train, &setting.loss).unwrap().weights;
        let after = preactivations(&weights, &setting.all);
        // Φ̂ of the step: φ' at its start for the sample, the divided difference of φ over the step for the point.
        let mut empirical = vec![0.0; COUNT * points];
        for ((u, moved), a) in before.chunks(points).zip(after.chunks(points)).zip(weights.readout()) {
            for (z, (u_z, v_z)) in u.iter().zip(moved).enumerate() {
                let secant = if u_z == v_z {
                    slope.derivative(*u_z)
                } else {
                    (slope.activation(*v_z) - slope.activation(*u_z)) / (v_z - u_z)
                };
                for n in 0..COUNT {
                    empirical[COUNT * z + n] += a * a * slope.derivative(u[n]) * secant;
                }
            }
        }
        for z in 0..points {
            let deviation = |n: usize| setting.products(n, z) * (empirical[COUNT * z + n] - duals[(n, z)]);
            let (absolute, square) = (0..COUNT).map(deviation).fold((0.0, 0.0), |s, v| (s.0 + v.abs(), s.1 + v * v));
            run.drift[z] = run.drift[z].max(absolute / COUNT as f64);
            run.square_drift[z] = run.square_drift[z].max((square / COUNT as f64).sqrt());
        }
        run.trained = outputs(&after, weights.readout());
        before = after;
    }
    run
}

/// Sizes of the kernel: Θ_* and, per point, (1/N) Σ|Θ| and ((1/N) Σ Θ²)^{1/2}.
fn kernel_sizes(setting: &Setting) -> (f64, Vec<f64>, Vec<f64>) {
    let kernel = cross_gram(Kernel::Ntk, Slope::new(SLOPE).unwrap(), setting.train.points(), &setting.all);
    let mean: Vec<f64> = kernel.column_iter().map(|c| c.abs().sum() / COUNT as f64).collect();
    let square: Vec<f64> = kernel.column_iter().map(|c| c.norm() / (COUNT as f64).sqrt()).collect();
    (mean[..COUNT].iter().fold(0.0, |most: f64, v| most.max(*v)), mean, square)
}

fn mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

/// The bound at each test point, from drifts per point.
fn bounds(setting: &Setting, drift: &[f64], residual: f64) -> Vec<LossBound> {
    let (largest, mean, square) = kernel_sizes(setting);
    let on_train = &drift[..COUNT];
    let bound = |z: usize| match setting.loss {
        StandardLoss::Squared => squared_loss_bound(residual, mean_square(on_train), drift[z], square[z], setting.time),
        _ => {
            let worst = on_train.iter().fold(0.0_f64, |most, v| most.max(*v));
            lipschitz_loss_bound(LipschitzLoss::LOGISTIC, worst, drift[z], largest, mean[z], setting.time)
        }
    };
    (COUNT..COUNT + 2).map(|z| bound(z).unwrap()).collect()
}

/// Observed/bound for the training points together and each test point.
fn ratios(setting: &Setting, run: &Run, fault: Fault, bounds: &[LossBound]) -> Vec<f64> {
    let kernel = kernel_recursion(setting, &run.initial, fault);
    let errors: Vec<f64> = run.trained.iter().zip(&kernel).map(|(f, k)| (f - k).abs()).collect();
    let on_train = match setting.loss {
        StandardLoss::Squared => mean_square(&errors[..COUNT]),
        _ => errors[..COUNT].iter().fold(0.0_f64, |most, v| most.max(*v)),
    };
    let at_test = errors[COUNT..].iter().zip(bounds).map(|(error, bound)| error / bound.at_test);
    std::iter::once(on_train / bounds[0].on_train).chain(at_test).collect()
}

/// Every network obeys L2 or L3 with the drift of its own run; a wrong kernel recursion does not.
fn holds_for_every_network(name: &str, setting: &Setting, faults: &[Fault]) {
    let mut seen = Vec::new();
    let mut caught = vec![false; faults.len()];
    for init in [Initialisation::Standard, Initialisation::Antisymmetric] {
        for readout in [Readout::Gaussian, Readout::Rademacher] {
            for index in 0..10 {
                let run = run(setting, init, readout, name, index);
                let drift = if setting.loss == StandardLoss::Squared { &run.square_drift } else { &run.drift };
                let bounds = bounds(setting, drift, run.residual);
                for (caught, fault) in caught.iter_mut().zip(faults) {
                    *caught |= ratios(setting, &run, *fault, &bounds).iter().any(|ratio| *ratio > 1.0);
                }
                seen.extend(ratios(setting, &run, Fault::Nothing, &bounds));
            }
        }
    }
    let largest = quantile(&seen, 1.0);
    say(format_args!(
        "{name}: {} comparisons, observed/bound median {:.3}, largest {largest:.3}",
        seen.len(),
        quantile(&seen, 0.5)
    ));
    assert!(largest <= 1.0, "{name}: {largest} (seed {SEED})");
    for (caught, fault) in caught.iter().zip(faults) {
        assert!(caught, "{name}: networks obey the bound for a kernel with the fault {fault:?}");
    }
}

//= test L2@7e48bf7b
//= power L2@7e48bf7b
#[test]
fn logistic_networks_stay_near_their_kernel_flow_and_leave_a_wrong_one() {
    let faults = [Fault::NoBias, Fault::SlopeSquared, Fault::IdentityForce, Fault::OneStepLess];
    holds_for_every_network("L2 logistic", &Setting::new(StandardLoss::Logistic, 1.0), &faults);
}

//= test L3@64fc0fd9
//= power L3@64fc0fd9
#[test]
fn squared_loss_networks_stay_near_their_kernel_flow_and_leave_a_wrong_one() {
    let setting = Setting::new(StandardLoss::Squared, 0.5);
    // Steps for which I − ηΘ/N contracts.
    assert!(setting.rate() * kernel_sizes(&setting).0 <= 2.0);
    holds_for_every_network("L3 squared", &setting, &[Fault::NoBias, Fault::IdentityForce, Fault::OneStepLess]);
}

/// Readouts ±1/√m of a network that is wider by a factor.
fn wider(init: Initialisation, factor: usize) -> ReadoutMoments {
    ReadoutMoments::rademacher(network_law(factor * WIDTH, init, Readout::Rademacher).unwrap())
}

/// A claim about a network, with the bound for its readouts, and a wrong one.
struct Claim<'a> {
    name: String,
    observed: &'a dyn Fn(&Run) -> f64,
    bound: &'a dyn Fn(ReadoutMoments) -> f64,
    /// The fault: the bound of a network so many times wider, with readouts ±1/√m.
    factor: usize,
    init: Initialisation,
}

fn check(claim: &Claim<'_>, runs: &[Run]) {
    let limit = rejection_count(NETWORKS, FAILURE, alpha("coupled losses") / 56.0).unwrap();
    let ratios = |factor: usize| -> Vec<f64> {
        let readouts = |run: &Run| if factor == 1 { run.readouts } else { wider(claim.init, factor) };
        runs.iter().map(|run| (claim.observed)(run) / (claim.bound)(readouts(run))).collect()
    };
    let beyond = |ratios: &[f64]| ratios.iter().filter(|ratio| **ratio > 1.0).count() as u64;
    let right = ratios(1);
    let (count, faulty) = (beyond(&right), beyond(&ratios(claim.factor)));
    let name = &claim.name;
    say(format_args!(
        "{name}: {count} of {NETWORKS} exceed it (too small: {faulty}; reject at {limit}), quantile/bound {:.3}",
        quantile(&right, 1.0 - FAILURE)
    ));
    assert!(count < limit, "{name}: {count} of {NETWORKS} networks exceed the bound (seed {SEED})");
    assert!(faulty >= limit, "{name}: a bound that is too small passes, {faulty} (seed {SEED})");
}

/// Checks a drift bound at three points, and with L2 or L3 at both test points, all training points included.
fn check_drifts(
    name: &str,
    setting: &Setting,
    init: Initialisation,
    runs: &[Run],
    residual: f64,
    drift: &dyn Fn(ReadoutMoments, f64) -> Vec<f64>,
) {
    for z in [0, COUNT, COUNT + 1] {
        let squared = setting.loss == StandardLoss::Squared;
        let observed = |run: &Run| if squared { run.square_drift[z] } else { run.drift[z] };
        let bound = |readouts| drift(readouts, FAILURE)[z];
        check(
            &Claim { name: format!("{name}, point {z}"), observed: &observed, bound: &bound, factor: 1000, init },
            runs,
        );
    }
    for z in 0..2 {
        let kernel = |run: &Run| kernel_recursion(setting, &run.initial, Fault::Nothing)[COUNT + z];
        let observed = |run: &Run| (run.trained[COUNT + z] - kernel(run)).abs();
        let share = FAILURE / (COUNT + 1) as f64;
        let bound = |readouts| bounds(setting, &drift(readouts, share), residual)[z].at_test;
        let name = format!("{name}, output at test point {z}");
        check(&Claim { name, observed: &observed, bound: &bound, factor: 1_000_000, init }, runs);
    }
}

//= test L1@77eb02f0
//= power L1@77eb02f0
/// L1, and L1 with L2. Faults: the drift of networks 10³ times as wide, the output of networks 10⁶ times as wide.
#[test]
fn kernels_of_logistic_networks_drift_no_more_often_than_allowed() {
    let setting = Setting::new(StandardLoss::Logistic, 1.0);
    let slope = Slope::new(SLOPE).unwrap();
    for init in [Initialisation::Standard, Initialisation::Antisymmetric] {
        for readout in [Readout::Gaussian, Readout::Rademacher] {
            let name = format!("L1 {init:?} {readout:?}");
            let runs: Vec<Run> = (0..NETWORKS).map(|index| run(&setting, init, readout, "L1", index)).collect();
            let drift = |readouts, failure| {
                kernel_drift_bound(&setting.train, slope, &setting.all, readouts, setting.time, 1.0, failure).unwrap()
            };
            check_drifts(&name, &setting, init, &runs, 0.0, &drift);
        }
    }
}

//= test L4@60fab482
//= power L4@60fab482
/// L4, and L4 with L3, for antisymmetric networks (G_0 = 1). Faults as for L1.
#[test]
fn kernels_of_squared_loss_networks_drift_no_more_often_than_allowed() {
    let setting = Setting::new(StandardLoss::Squared, 0.3);
    let (slope, init) = (Slope::new(SLOPE).unwrap(), Initialisation::Antisymmetric);
    let residual = 1.5;
    for readout in [Readout::Gaussian, Readout::Rademacher] {
        let runs: Vec<Run> = (0..NETWORKS).map(|index| run(&setting, init, readout, "L4", index)).collect();
        let drift = |readouts, failure| {
            mean_square_drift_bound(&setting.train, slope, &setting.all, readouts, setting.time, residual, failure)
                .unwrap()
        };
        // What makes G = 1.5 a bound of the residual for descent (L3): G_0 e^{Δ̄₂T} ≤ G.
        let growth = |run: &Run| {
            let drifts = drift(run.readouts, FAILURE / (COUNT + 1) as f64);
            (mean_square(&drifts[..COUNT]) * setting.time).exp()
        };
        assert!(runs.iter().all(|run| growth(run) <= residual && run.residual <= residual));
        check_drifts(&format!("L4 {readout:?}"), &setting, init, &runs, residual, &drift);
    }
}
