//! Exact gradient flow against slow, obviously right routes.

use nalgebra::{DMatrix, DVector};
use perturbation_learning::network::flow::{Block, Observer, PairSampling, Truncation};
use perturbation_learning::network::{FlowOutcome, GradientFlow, Initialisation, Neurons, Readout, Weights};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

fn gaussian_set(seed: u64, count: usize, dim: usize, scale: f64) -> TrainingSet {
    let mut rng = Streams::new(seed, "flow test data").stream(0);
    let values = (0..count * dim).map(|_| scale * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect();
    let labels = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap()
}

fn draw(seed: u64, dim: usize, width: usize) -> Neurons {
    let streams = Streams::new(seed, "flow test neurons");
    Neurons::draw(dim, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap()
}

/// Descent with identity loss in the weights, one neuron at a time: the slow route. Returns w̃ at the end.
fn descend(train: &TrainingSet, slope: Slope, w: &[f64], a: f64, time: f64, steps: usize) -> Vec<f64> {
    let n = train.count() as f64;
    let mut w = w.to_vec();
    let d = train.input_dim();
    for _ in 0..steps {
        let mut force = vec![0.0; d + 1];
        for (x, y) in train.points().iter().zip(train.labels()) {
            let u = x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>() + w[d];
            let factor = a * y * slope.derivative(u) / n;
            for (force, x) in force.iter_mut().zip(x.iter().chain(&[1.0])) {
                *force += factor * x;
            }
        }
        for (w, force) in w.iter_mut().zip(&force) {
            *w += time / steps as f64 * force;
        }
    }
    w
}

fn weights_after_flow(train: &TrainingSet, slope: Slope, weights: &Weights, time: f64) -> Weights {
    let flow = GradientFlow::new(train, slope, time).unwrap().keep_weights();
    flow.run(&Neurons::given(weights.clone())).unwrap().weights.unwrap()
}

/// The neurons whose flow is unique.
struct Decided(Vec<usize>);

impl Observer for Decided {
    fn block(&mut self, block: &Block<'_>) {
        self.0.extend((0..block.size()).filter(|&k| !block.undecided(k)).map(|k| block.first() + k));
    }
    fn merge(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }
}

//= test M1@25975a58
//= test N2@064d315e
/// The flow of a piecewise linear energy: descent with step η stays within C·η of it, so halving the step must halve
/// the error. No tolerance is picked: the ratio of successive errors is what is tested, in the mean over neurons.
#[test]
fn descent_with_shrinking_steps_converges_to_the_exact_flow_at_first_order() {
    for (dim, count, time, slope) in [(3, 8, 3.0, 0.0), (2, 5, 40.0, 0.0), (4, 10, 20.0, 0.3), (2, 12, 300.0, 0.1)] {
        let train = gaussian_set(5, count, dim, 1.0);
        let slope = Slope::new(slope).unwrap();
        let weights = draw(6, dim, 40).weights();
        let exact = weights_after_flow(&train, slope, &weights, time);
        // Neurons whose flow is not unique (they rest on a repelling kink) have no limit of descent to be compared with.
        let flow = GradientFlow::new(&train, slope, time).unwrap();
        let (_, decided) = flow.run_observed(&Neurons::given(weights.clone()), &|| Decided(Vec::new())).unwrap();
        assert!(decided.0.len() >= 35, "only {} of 40 neurons have a unique flow", decided.0.len());
        let error = |steps: usize| -> f64 {
            let per_neuron = decided.0.iter().map(|i| {
                let row = i * (dim + 1)..(i + 1) * (dim + 1);
                let w = descend(&train, slope, &weights.hidden()[row.clone()], weights.readout()[*i], time, steps);
                w.iter().zip(&exact.hidden()[row]).map(|(p, q)| (p - q).powi(2)).sum::<f64>().sqrt()
            });
            per_neuron.sum()
        };
        let errors: Vec<f64> = [2000, 8000, 32000].iter().map(|&steps| error(steps)).collect();
        let order = (errors[0] / errors[2]).log2() / 4.0;
        assert!((0.8..1.2).contains(&order), "order {order} from errors {errors:?} at d={dim} N={count} T={time}");
    }
}

/// Records ∫φ' indirectly: checks for every neuron that its final state solves u(T) = u(0) + a K(β∘∫φ').
struct SelfConsistency {
    worst: f64,
}

impl Observer for SelfConsistency {
    fn block(&mut self, block: &Block<'_>) {
        self.worst = self.worst.max(block.integral_equation_residual());
    }
    fn merge(&mut self, later: Self) {
        self.worst = self.worst.max(later.worst);
    }
}

fn run_checked(train: &TrainingSet, slope: Slope, time: f64, neurons: &Neurons) -> (FlowOutcome, f64) {
    let flow = GradientFlow::new(train, slope, time).unwrap().with_gradients();
    let (outcome, seen) = flow.run_observed(neurons, &|| SelfConsistency { worst: 0.0 }).unwrap();
    (outcome, seen.worst)
}

fn any_training_set() -> impl Strategy<Value = TrainingSet> {
    let coordinate = prop_oneof![
        4 => -2.0..2.0_f64,
        2 => Just(0.0),
        1 => Just(1.0),
        1 => -1e6..1e6_f64,
        1 => -1e-6..1e-6_f64,
    ];
    (1..4_usize, 1..9_usize).prop_flat_map(move |(dim, count)| {
        let rows = prop::collection::vec(prop::collection::vec(coordinate.clone(), dim), count);
        // How each row after the first is made: fresh, a copy of the first, or a multiple of it.
        let recipe = prop::collection::vec((0..6_u8, prop::bool::ANY), count);
        (rows, recipe).prop_map(move |(mut rows, recipe)| {
            for n in 1..count {
                let first = rows[0].clone();
                match recipe[n].0 {
                    0 => rows[n] = first,
                    1 => rows[n] = first.iter().map(|v| -2.0 * v).collect(),
                    2 => rows[n] = first.iter().map(|v| v * (1.0 + 1e-9)).collect(),
                    _ => {}
                }
            }
            let labels = recipe.iter().map(|r| if r.1 { 1.0 } else { -1.0 }).collect();
            TrainingSet::new(Points::from_rows("x", count, dim, rows.concat()).unwrap(), labels).unwrap()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(20), ..ProptestConfig::default() })]

    //= test N2@064d315e
    //= test M1@25975a58
    /// Arbitrary data, duplicates, zeros, huge norms, long times: the flow ends, and every neuron's final state solves
    /// its own integral equation u(T) = u(0) + a K(β ∘ ∫φ') up to the rounding of the sums on its right-hand side.
    #[test]
    fn flow_terminates_and_solves_its_integral_equation(
        train in any_training_set(), slope in prop_oneof![Just(0.0), 0.0..0.99_f64], log_time in -3.0..4.0_f64, seed in 0..1000_u64,
    ) {
        let slope = Slope::new(slope).unwrap();
        let (outcome, residual) = run_checked(&train, slope, 10_f64.powf(log_time), &draw(seed, train.input_dim(), 24));
        // In units of ε × (sum of magnitudes): d+1+N products, and the events' updates, each err by at most one unit.
        prop_assert!(residual <= 64.0 + 4.0 * outcome.events as f64, "residual {residual} ε after {} events", outcome.events);
    }

    //= test M1@25975a58
    /// Energy E(w) = −(a/N) Σ y φ(u) falls along the flow at the rate ‖ẇ‖², so ‖w(T)−w(0)‖² ≤ T·(E(0) − E(T)).
    #[test]
    fn flow_obeys_the_energy_inequality(
        train in any_training_set(), slope in 0.0..0.99_f64, log_time in -2.0..3.0_f64, seed in 0..1000_u64,
    ) {
        let slope = Slope::new(slope).unwrap();
        let time = 10_f64.powf(log_time);
        let before = draw(seed, train.input_dim(), 8).weights();
        let after = weights_after_flow(&train, slope, &before, time);
        let stride = train.input_dim() + 1;
        for i in 0..8 {
            let (w0, w1) = (&before.hidden()[i * stride..][..stride], &after.hidden()[i * stride..][..stride]);
            let energy = |w: &[f64]| -> (f64, f64) {
                let terms = train.points().iter().zip(train.labels()).map(|(x, y)| {
                    let products = x.iter().chain(&[1.0]).zip(w).map(|(x, w)| x * w);
                    let magnitude: f64 = products.clone().map(f64::abs).sum();
                    let scale = before.readout()[i] / train.count() as f64;
                    (-scale * y * slope.activation(products.sum()), scale.abs() * magnitude)
                });
                terms.fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1))
            };
            let (start, end) = (energy(w0), energy(w1));
            let moved: f64 = w0.iter().zip(w1).map(|(p, q)| (p - q).powi(2)).sum();
            let rounding = 64.0 * f64::EPSILON * (time * (start.1 + end.1) + moved);
            prop_assert!(moved <= time * (start.0 - end.0) + rounding, "neuron {i}: {moved} > {} ", time * (start.0 - end.0));
        }
    }
}

/// Slides at long times: with γ = 0 whole groups of samples end at u = 0.
#[test]
fn long_flows_with_relu_slide_and_end() {
    for (dim, count) in [(2, 6), (5, 40), (10, 60), (20, 15)] {
        let train = gaussian_set(11, count, dim, 1.0);
        let (outcome, residual) = run_checked(&train, Slope::RELU, 3000.0, &draw(3, dim, 200));
        assert!(outcome.sliding > 0, "d={dim} N={count}: nothing slides");
        assert!(residual <= 64.0 + 4.0 * outcome.events as f64);
    }
}

//= test M2@1a1e7858
/// Two samples, one neuron, by hand: x̃₁ = (1, 1), x̃₂ = (−1, 1) are orthogonal, so the preactivations decouple:
/// u̇₁ = a y₁ φ'(u₁)·2/2. With a y₁ = −1, u₁(0) = 1 and γ = ½: u₁ falls at rate 1 until t = 1 and would fall on at rate ½;
/// no sliding, as the velocity keeps its sign. u₂ with a y₂ = +1, u₂(0) = −1 rises at rate ½ until t = 2, then at rate 1.
#[test]
fn two_orthogonal_samples_by_hand() {
    let train = TrainingSet::new(Points::from_rows("x", 2, 1, vec![1.0, -1.0]).unwrap(), vec![-1.0, 1.0]).unwrap();
    // w + b = 1, −w + b = −1.
    let weights = Weights::new(&DMatrix::from_element(1, 1, 1.0), &[0.0], vec![1.0]).unwrap();
    let after = weights_after_flow(&train, Slope::new(0.5).unwrap(), &weights, 3.0);
    // u₁(3) = −½·2 = −1, u₂(3) = 1: w = (u₁ − u₂)/2 = −1, b = 0.
    assert_eq!(after.hidden(), [-1.0, 0.0]);
}

//= test M2@1a1e7858
/// One sample pushed down by itself and up by another: it slides. x̃₁ = (0,1), x̃₂ = (1,1), y = (−1, +1), a = 1, γ = 0:
/// with u₁, u₂ > 0 the forces cancel in the bias: u̇₁ = ½(−1+1) = 0. Starting with u₂ > 0 > u₁: u̇₁ = ½ > 0, arrives at 0
/// and stays there with λ₁·1 = 1 from the balance u̇₁ = ½(−λ₁ + 1) = 0, u̇₂ = ½(−λ₁ + 2) = ½.
#[test]
fn a_sliding_sample_by_hand() {
    let train = TrainingSet::new(Points::from_rows("x", 2, 1, vec![0.0, 1.0]).unwrap(), vec![-1.0, 1.0]).unwrap();
    // u₁ = b = −1/4, u₂ = w + b = 1.
    let weights = Weights::new(&DMatrix::from_element(1, 1, 1.25), &[-0.25], vec![1.0]).unwrap();
    let after = weights_after_flow(&train, Slope::RELU, &weights, 1.5);
    // u₁ reaches 0 at t = ½ while u̇₂ = 1: u₂(½) = 1.5, then ½ per unit: u₂(1.5) = 2.
    assert_eq!(after.hidden(), [2.0, 0.0]);
}

//= test M2@1a1e7858
/// χ = γ = 0: a lone sample x̃ = (0,1), y = −1, pushes the neuron down at rate 1. Below the boundary its velocity is 0, so it rests there.
#[test]
fn a_neuron_rests_on_a_boundary_beyond_which_nothing_moves_it_by_hand() {
    let train = TrainingSet::new(Points::from_rows("x", 1, 1, vec![0.0]).unwrap(), vec![-1.0]).unwrap();
    let weights = Weights::new(&DMatrix::from_element(1, 1, 1.25), &[0.25], vec![1.0]).unwrap();
    let after = weights_after_flow(&train, Slope::RELU, &weights, 3.0);
    assert_eq!(after.hidden(), [1.25, 0.0]);
}

#[test]
fn outputs_and_gradients_match_the_trained_weights() {
    let train = gaussian_set(8, 12, 3, 1.0);
    let test = gaussian_set(9, 7, 3, 1.0);
    let slope = Slope::new(0.2).unwrap();
    let neurons = draw(4, 3, 700);
    /// φ'(u) of each neuron at each training point at the end.
    struct Derivatives(Vec<Vec<f64>>);
    impl Observer for Derivatives {
        fn block(&mut self, block: &Block<'_>) {
            self.0.extend((0..block.size()).map(|k| (0..12).map(|n| block.derivative_train(k, n)).collect::<Vec<_>>()));
        }
        fn merge(&mut self, mut later: Self) {
            self.0.append(&mut later.0);
        }
    }
    let flow = GradientFlow::new(&train, slope, 3.0).unwrap().with_test(test.points()).unwrap();
    let flow = flow.with_gradients().keep_weights();
    let (outcome, derivatives) = flow.run_observed(&neurons, &|| Derivatives(Vec::new())).unwrap();
    // Where a neuron slides its derivative does not follow from the sign of u, which rounding decides.
    let slides = |derivative: f64| derivative > slope.value() && derivative < 1.0;
    let sliding = derivatives.0.iter().flatten().filter(|derivative| slides(**derivative)).count();
    assert!(sliding > 0 && sliding as u64 == outcome.sliding, "{sliding} {}", outcome.sliding);
    let evaluate = |weights: &Weights, x: &[f64], derivative: &dyn Fn(usize, f64) -> f64| -> (f64, DVector<f64>) {
        let mut gradient = DVector::zeros(3);
        let mut value = 0.0;
        for (i, (w, a)) in weights.hidden().chunks(4).zip(weights.readout()).enumerate() {
            let u = w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3];
            value += a * slope.activation(u);
            gradient += DVector::from_column_slice(&w[..3]) * (a * derivative(i, u));
        }
        (value, gradient)
    };
    let by_sign = |_: usize, u: f64| slope.derivative(u);
    let (before, after) = (neurons.weights(), outcome.weights.as_ref().unwrap());
    // 700 neurons with Σ|a||u| ≲ 30: sums of that many terms err by less than 700·30·ε.
    let close = |p: f64, q: f64| (p - q).abs() < 700.0 * 30.0 * f64::EPSILON;
    for (j, z) in test.points().iter().enumerate() {
        assert!(close(outcome.initial_test_values[j], evaluate(&before, z, &by_sign).0));
        assert!(close(outcome.test_values[j], evaluate(after, z, &by_sign).0));
    }
    for (n, x) in train.points().iter().enumerate() {
        assert!(close(outcome.initial_train_values[n], evaluate(&before, x, &by_sign).0));
        let (value, gradient) = evaluate(after, x, &|i, u| {
            let derivative = derivatives.0[i][n];
            assert!(
                slides(derivative) || derivative == slope.derivative(u),
                "neuron {i}, point {n}: {derivative} at {u}"
            );
            derivative
        });
        assert!(close(outcome.train_values[n], value));
        for row in 0..3 {
            let (found, initial) = (outcome.gradients.as_ref().unwrap(), outcome.initial_gradients.as_ref().unwrap());
            assert!(close(initial[(row, n)], evaluate(&before, x, &by_sign).1[row]));
            assert!(close(found[(row, n)], gradient[row]));
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let train = gaussian_set(1, 30, 4, 1.0);
    let test = gaussian_set(2, 11, 4, 1.0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let flow = GradientFlow::new(&train, Slope::RELU, 2.0).unwrap().with_test(test.points()).unwrap();
        let outcome = pool.install(|| flow.watch_test().with_gradients().run(&draw(7, 4, 3001)).unwrap());
        let mut bits: Vec<u64> = outcome.test_values.iter().map(|v| v.to_bits()).collect();
        bits.extend(outcome.gradients.unwrap().iter().map(|v| v.to_bits()));
        bits.extend(outcome.flip_debt_test.iter().chain(&outcome.initial_rate_test).map(|v| v.to_bits()));
        bits
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}

//= test N1@de793693
/// Antisymmetric pairs share their start; the same weights given one by one must yield the same network.
#[test]
fn antisymmetric_pairs_are_the_same_drawn_or_given() {
    // Blocks of 256 neurons and a smaller one.
    let train = gaussian_set(12, 70, 4, 1.0);
    let test = gaussian_set(13, 900, 4, 1.0);
    let streams = Streams::new(3, "pairs");
    let neurons = Neurons::draw(4, 1002, Initialisation::Antisymmetric, Readout::Gaussian, streams).unwrap();
    let flow = GradientFlow::new(&train, Slope::RELU, 3.0).unwrap().with_test(test.points()).unwrap();
    let flow = flow.watch_test().with_gradients().keep_weights();
    let (drawn, given) = (flow.run(&neurons).unwrap(), flow.run(&Neurons::given(neurons.weights())).unwrap());
    // Products of other shapes round differently: at most 1002 terms of size below 1.
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1002.0 * f64::EPSILON);
    assert!(close(&drawn.test_values, &given.test_values) && close(&drawn.train_values, &given.train_values));
    assert!(close(drawn.gradients.unwrap().as_slice(), given.gradients.unwrap().as_slice()));
    assert!(close(drawn.weights.unwrap().hidden(), given.weights.unwrap().hidden()));
    assert!(close(&drawn.initial_rate_test, &given.initial_rate_test));
    assert!(
        close(&drawn.flip_debt_test, &given.flip_debt_test) && close(&drawn.flip_debt_train, &given.flip_debt_train)
    );
    assert_eq!((drawn.events, drawn.sliding), (given.events, given.sliding));
    assert!(drawn.initial_test_values.iter().all(|f| f.abs() < 1e-13));
    assert_eq!(drawn.initial_gradients.unwrap().norm(), 0.0);
}

/// First flips at test points and training points against a dense sampling of the path.
#[test]
fn first_flip_times_match_a_dense_scan() {
    struct Flips(Vec<(usize, Vec<f64>, Vec<f64>)>);
    impl Observer for Flips {
        fn block(&mut self, block: &Block<'_>) {
            for k in 0..block.size() {
                let train = (0..6).map(|n| block.first_flip_train(k, n)).collect();
                let test = (0..4).map(|j| block.first_flip_test(k, j)).collect();
                self.0.push((block.first() + k, train, test));
            }
        }
        fn merge(&mut self, mut later: Self) {
            self.0.append(&mut later.0);
        }
    }
    let (train, test) = (gaussian_set(3, 6, 2, 1.0), gaussian_set(4, 4, 2, 1.0));
    let slope = Slope::new(0.1).unwrap();
    let (time, scans) = (2.0, 200);
    let neurons = draw(5, 2, 30);
    let flow = GradientFlow::new(&train, slope, time).unwrap().with_test(test.points()).unwrap().watch_test();
    let (_, flips) = flow.run_observed(&neurons, &|| Flips(Vec::new())).unwrap();
    assert!(flips.0.iter().flat_map(|f| &f.2).filter(|t| t.is_finite()).count() > 3, "too few flips to test anything");
    let signs = |weights: &Weights, i: usize, points: &Points| -> Vec<bool> {
        let w = &weights.hidden()[3 * i..3 * i + 3];
        points.iter().map(|x| w[0] * x[0] + w[1] * x[1] + w[2] >= 0.0).collect()
    };
    let path: Vec<Weights> = (0..=scans)
        .map(|s| weights_after_flow(&train, slope, &neurons.weights(), time * s as f64 / scans as f64))
        .collect();
    for (i, on_train, on_test) in &flips.0 {
        for (points, times) in [(train.points(), on_train), (test.points(), on_test)] {
            let start = signs(&path[0], *i, points);
            for (j, &first) in times.iter().enumerate() {
                let seen = (0..=scans).find(|&s| signs(&path[s], *i, points)[j] != start[j]);
                let seen_time = seen.map_or(f64::INFINITY, |s| time * s as f64 / scans as f64);
                // The scan sees a flip at the first grid time after it (a sliding sample may never be seen on the other side).
                assert!(first <= seen_time, "neuron {i} point {j}: {first} after {seen_time}");
                if points == test.points() && seen.is_some() {
                    assert!(
                        seen_time - first <= time / scans as f64 + 1e-12,
                        "neuron {i} point {j}: {first}, {seen_time}"
                    );
                }
            }
        }
    }
}

/// A network is the mean of its pairs: with as many sampled pairs as the network has, sample means are the network.
#[test]
fn moments_of_sampled_pairs_are_those_of_the_network_that_they_form() {
    let mut rng = Streams::new(7, "sampled pairs").stream(0);
    let mut points = |count: usize| {
        let values = (0..count * 3).map(|_| StandardNormal.sample(&mut rng)).collect();
        Points::from_rows("x", count, 3, values).unwrap()
    };
    let (mut train, test) = (points(9), points(4));
    // A duplicate, and one whose labels cancel.
    train = train.select(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1]);
    let set = TrainingSet::new(train, vec![1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0]).unwrap();
    for (gamma, readout, time) in [(0.0, Readout::Rademacher, 0.7), (0.3, Readout::Gaussian, 4.0)] {
        let slope = Slope::new(gamma).unwrap();
        let streams = || Streams::new(7, "sampled pairs/neurons");
        let centres = DMatrix::from_fn(3, 11, |row, n| (1.3 * (row + 3 * n) as f64).cos());
        let sampling = PairSampling::new(&set, slope, time, &test, &centres).unwrap();
        let pairs = 150;
        let found = sampling.run(2 * pairs, pairs, readout, Truncation::NONE, streams()).unwrap();
        let neurons = Neurons::draw(3, 2 * pairs, Initialisation::Antisymmetric, readout, streams()).unwrap();
        let flow =
            GradientFlow::new(&set, slope, time).unwrap().with_test(&test).unwrap().watch_test().with_gradients();
        let network = flow.run(&neurons).unwrap();
        let gradients = network.gradients.unwrap() / time;
        assert_eq!((found.count, found.outside), (pairs, 0));
        // Sums of 300 terms of size up to √m: a few hundred ε times a few tens.
        let close = |a: f64, b: f64, what: &str| assert!((a - b).abs() < 1e-11 * (1.0 + b.abs()), "{what}: {a} {b}");
        for z in 0..test.count() {
            let drift = network.test_values[z] - time * network.initial_rate_test[z];
            close(found.drift.mean[z], drift, "drift");
            for n in 0..set.count() {
                let along = gradients.column(n).dot(&nalgebra::DVectorView::from_slice(test.point(z), 3));
                close(found.along_test.mean[(z, n)], along, "along a test point");
            }
        }
        for n in 0..set.count() {
            let (gradient, centre) = (gradients.column(n), centres.column(n).normalize());
            let point = nalgebra::DVectorView::from_slice(set.points().point(n), 3);
            close(found.along_point.mean[n], gradient.dot(&point), "along its point");
            close(found.along_centre.mean[n], gradient.dot(&centre), "along its centre");
        }
        // Mean squares and the vectors' halves against single pairs, which are networks of two neurons.
        let weights = neurons.weights();
        let mut square = DMatrix::<f64>::zeros(test.count(), set.count());
        let mut across = vec![0.0; set.count()];
        let mut halves = [DMatrix::<f64>::zeros(3, set.count()), DMatrix::zeros(3, set.count())];
        for pair in 0..pairs {
            let hidden = weights.hidden()[8 * pair..][..8].to_vec();
            let given = Weights::from_augmented(3, hidden, weights.readout()[2 * pair..][..2].to_vec()).unwrap();
            // χ = (n_c/T)·Σ over the pair of aφ'w, and the gradient of the pair alone is that sum.
            let flow = GradientFlow::new(&set, slope, time).unwrap().with_gradients();
            let outcome = flow.run(&Neurons::given(given)).unwrap();
            let chi = outcome.gradients.unwrap() * (pairs as f64 / time);
            for n in 0..set.count() {
                let (chi, centre) = (chi.column(n), centres.column(n).normalize());
                for z in 0..test.count() {
                    let along = chi.dot(&nalgebra::DVectorView::from_slice(test.point(z), 3));
                    square[(z, n)] += along * along / pairs as f64;
                }
                let off = chi - centre.scale(chi.dot(&centre));
                across[n] += off.norm_squared() / pairs as f64;
                let mut half = halves[usize::from(pair >= pairs / 2)].column_mut(n);
                half += off / (pairs / 2) as f64;
            }
        }
        for n in 0..set.count() {
            close(found.across_centre.mean[n], across[n], "across its centre");
            close(found.halves.0[n], halves[0].column(n).dot(&halves[1].column(n)), "halves");
            close(found.halves.1[n], halves[0].column(n).norm(), "first half");
            for z in 0..test.count() {
                close(found.along_test.square[(z, n)], square[(z, n)], "square along a test point");
            }
        }
        let tight = Truncation { projection: 1.0, norm_squared: 1.0, readout: 2.0 };
        assert!(sampling.run(2 * pairs, pairs, readout, tight, streams()).unwrap().outside > 0);
    }
}
