//! Sums over neurons: outputs, gradients, kernel means and flip statistics.

use nalgebra::DMatrix;

use super::block::Block;
use super::sites::{Sites, augment};
use super::sums::CompensatedSums;
use super::{GradientFlow, Observer};
use crate::error::{Error, Result};
use crate::linalg::{Store, multiply, view, view_mut};
use crate::network::lookup::{self, Lookup, Sums};
use crate::network::neurons::{Neurons, Weights};
use crate::network::vectors::Vectors;
use crate::problem::Points;

/// What a flow yields. N training points, M test points (0 if none were given).
#[derive(Debug, Clone)]
pub struct FlowOutcome {
    /// f_0 at the training points, zero for antisymmetric pairs; N.
    pub initial_train_values: Vec<f64>,
    /// f_T at the training points; N.
    pub train_values: Vec<f64>,
    /// f_0 at the test points, zero for antisymmetric pairs; M.
    pub initial_test_values: Vec<f64>,
    /// f_T at the test points; M.
    pub test_values: Vec<f64>,
    /// ∇f_0 at the training points, d × N, if asked for.
    pub initial_gradients: Option<DMatrix<f64>>,
    /// ∇f_T at the training points, d × N, if asked for.
    pub gradients: Option<DMatrix<f64>>,
    /// F̂_0(x_n) = Σ_i a_i² φ'(u_i(x_n)) (1/N) Σ_k y_k φ'(u_i(x_k)) K_k(x_n) at initialisation: ∂_t f at t = 0; N.
    pub initial_rate_train: Vec<f64>,
    /// The same at the test points, if they are watched.
    pub initial_rate_test: Vec<f64>,
    /// Σ_i a_i² (T − τ_i(x_n))₊ with the actual first flip times τ_i; N.
    pub flip_debt_train: Vec<f64>,
    /// The same at the test points, if they are watched.
    pub flip_debt_test: Vec<f64>,
    /// The mean over training points and neurons of "the sign of u_i(x_n) changed at least once".
    pub flip_share: f64,
    /// Events (sign changes and arrivals on a sliding set) in all neurons.
    pub events: u64,
    /// Pairs of neuron and sample that were sliding at time T.
    pub sliding: u64,
    /// Neurons that came to rest on a repelling kink, where the flow is not unique: their path is the one of smallest
    /// velocity. Zero unless neurons slide for long.
    pub undecided: u64,
    /// The trained weights, if asked for.
    pub weights: Option<Weights>,
}

/// Running sums over the neurons of one lane.
pub(super) struct Totals {
    /// f_0 and f_T at the sites up to `train`, then at the test points.
    initial: CompensatedSums,
    trained: CompensatedSums,
    /// Σ a²φ'(u)(u̇/a) and Σ a²(T − τ)₊ at all sites.
    rate: CompensatedSums,
    debt: CompensatedSums,
    flips: Vec<u64>,
    /// The gradients at the training sites, below each what would be the derivative by the bias.
    initial_gradient: Vec<f64>,
    gradient: Vec<f64>,
    weights: (Vec<f64>, Vec<f64>),
    events: u64,
    sliding: u64,
    undecided: u64,
}

/// Per-thread storage for a block's sums.
pub(super) struct Scratch {
    /// a β_n ∫φ'_n per active site and neuron.
    impulse: Vec<f64>,
    /// a φ'_n per training site and neuron, or φ'_n − 1 where sums are looked up.
    weighted: Vec<f64>,
    /// Preactivations per test point and neuron.
    at_test: Vec<f64>,
}

impl Scratch {
    pub fn new(sites: &Sites, test: Option<&TestPoints>, block: usize) -> Self {
        Scratch {
            impulse: vec![0.0; sites.active * block],
            weighted: vec![0.0; sites.train * block],
            at_test: vec![0.0; test.map_or(0, |t| t.count) * block],
        }
    }

    /// a β_n ∫φ'_n dt: how far each sample has pushed each neuron.
    fn fill_impulses(&mut self, block: &Block<'_>) {
        let active = block.sites.active;
        for (k, &a) in block.readout[..block.size].iter().enumerate() {
            let impulse = self.impulse[active * k..][..active].iter_mut();
            for ((impulse, integral), weight) in
                impulse.zip(&block.integral[active * k..][..active]).zip(&block.sites.weights)
            {
                *impulse = a * weight * integral;
            }
        }
    }

    /// Σ_k a_k φ'_k(x_s) w̃_k at each training site s is added, stride × sites, φ'_k(x_s) by neuron and site.
    fn add_gradient(&mut self, gradient: &mut [f64], block: &Block<'_>, derivative: impl Fn(usize, usize) -> f64) {
        let (&Sites { stride, train, .. }, size) = (block.sites, block.size);
        let (hidden, readout) = (&block.hidden[..stride * size], &block.readout[..size]);
        let slope = block.slope.value();
        let looked_up = lookup::pays(train);
        // Of neurons that slide at a site φ' is neither 1 nor γ.
        let mut between = Vec::new();
        for (k, &a) in readout.iter().enumerate() {
            for (site, weighted) in self.weighted[train * k..][..train].iter_mut().enumerate() {
                let derivative = derivative(k, site);
                *weighted = if looked_up { derivative - 1.0 } else { a * derivative };
                if derivative > slope && derivative < 1.0 {
                    between.push((k, site, a * (derivative - slope)));
                }
            }
        }
        let weighted = &self.weighted[..train * size];
        if !looked_up {
            let weighted = view(weighted, train, size).transpose();
            return multiply(view_mut(gradient, stride, train), Store::Add, 1.0, view(hidden, stride, size), weighted);
        }
        let (sides, scales) = (&f64::sides_across(weighted, train), &vec![1.0; train]);
        f64::add_sums(&Sums { columns: hidden, stride, factors: readout, slope, sides, scales }, gradient);
        for (k, site, more) in between {
            let sums = gradient[stride * site..][..stride].iter_mut();
            sums.zip(&hidden[stride * k..]).for_each(|(sum, w)| *sum += more * w);
        }
    }
}

/// Augmented test points and, where trained values are formed from it, their products with the active sites (test × active).
pub(super) struct TestPoints {
    count: usize,
    augmented: Vec<f64>,
    gram: Option<Vec<f64>>,
}

impl TestPoints {
    /// For so many neurons ([`PreparedFlow`](super::PreparedFlow)), whose trained weights are `formed` in any case or not.
    pub fn new(points: &Points, sites: &Sites, neurons: f64, formed: bool) -> Self {
        let (augmented, count) = (augment(points), points.count());
        let gram = gram_pays(sites, count, neurons, formed).then(|| {
            let mut gram = vec![0.0; count * sites.active];
            let driving = view(&sites.augmented[..sites.stride * sites.active], sites.stride, sites.active);
            let test = view(&augmented, sites.stride, count);
            crate::linalg::multiply_parallel(&mut gram, Store::Replace, 1.0, test.transpose(), driving);
            gram
        });
        TestPoints { count, augmented, gram }
    }
}

/// Whether trained values take fewer operations from what the samples add to the initial ones than from the trained weights.
fn gram_pays(sites: &Sites, test_count: usize, neurons: f64, formed: bool) -> bool {
    let [stride, active, test] = [sites.stride, sites.active, test_count].map(|v| v as f64);
    let forming = if formed { 0.0 } else { stride * active };
    test * active * (1.0 + stride / neurons) < stride * test + forming
}

impl Totals {
    pub fn new(flow: &GradientFlow<'_>, sites: &Sites, multiplicity: usize) -> Self {
        let test_count = flow.test.map_or(0, Points::count);
        let gradient = if flow.gradients { sites.stride * sites.train } else { 0 };
        Totals {
            initial: CompensatedSums::new(sites.train + test_count),
            trained: CompensatedSums::new(sites.train + test_count),
            rate: CompensatedSums::new(sites.count),
            debt: CompensatedSums::new(sites.count),
            flips: vec![0; sites.train],
            // For antisymmetric pairs ∇f_0 ≡ 0: no sum, and no memory for it.
            initial_gradient: vec![0.0; if multiplicity == 1 { gradient } else { 0 }],
            gradient: vec![0.0; gradient],
            weights: (Vec::new(), Vec::new()),
            events: 0,
            sliding: 0,
            undecided: 0,
        }
    }

    pub fn add(
        &mut self,
        flow: &GradientFlow<'_>,
        test: Option<&TestPoints>,
        block: &mut Block<'_>,
        scratch: &mut Scratch,
    ) {
        self.events += block.events;
        self.sliding += block.sliding;
        self.undecided += block.undecided.iter().filter(|&&u| u).count() as u64;
        self.add_sites(block);
        scratch.fill_impulses(block);
        if flow.gradients && block.multiplicity == 1 {
            // For antisymmetric pairs ∇f_0 ≡ 0 exactly.
            let derivative = |k, site| block.slope.derivative(block.initial_at(k, site));
            scratch.add_gradient(&mut self.initial_gradient, block, derivative);
        }
        if flow.forms_weights() || test.is_some_and(|test| test.gram.is_none()) {
            move_weights(block, scratch);
        }
        if let Some(test) = test {
            self.add_test_values(test, block, scratch);
        }
        if flow.gradients {
            let Sites { active, count, .. } = *block.sites;
            scratch.add_gradient(&mut self.gradient, block, |k, site| {
                if site < active {
                    block.derivative[active * k + site]
                } else {
                    block.slope.derivative(block.preactivation[count * k + site])
                }
            });
        }
        if flow.keep_weights {
            self.weights.0.extend_from_slice(&block.hidden[..block.sites.stride * block.size]);
            self.weights.1.extend_from_slice(&block.readout[..block.size]);
        }
    }

    fn add_sites(&mut self, block: &Block<'_>) {
        let Sites { train, count, .. } = *block.sites;
        let mut partial = vec![[0.0; 4]; count];
        for (k, &a) in block.readout[..block.size].iter().enumerate() {
            let column = count * k..count * (k + 1);
            let shared = count * (k / block.multiplicity)..count * (k / block.multiplicity + 1);
            let lines = block.initial[shared.clone()].iter().zip(&block.preactivation[column.clone()]);
            let lines = lines.zip(&block.initial_velocity[shared]).zip(&block.first_flip[column]);
            for (partial, (((u, u_end), velocity), first)) in partial.iter_mut().zip(lines) {
                partial[0] += a * block.slope.activation(*u);
                partial[1] += a * block.slope.activation(*u_end);
                partial[2] += a * a * block.slope.derivative(*u) * velocity;
                partial[3] += a * a * (block.time - first).max(0.0);
            }
            for (flips, first) in self.flips.iter_mut().zip(&block.first_flip[count * k..]) {
                *flips += u64::from(*first < block.time);
            }
        }
        for (site, [initial, trained, rate, debt]) in partial.into_iter().enumerate() {
            if site < train {
                if block.multiplicity == 1 {
                    self.initial.add(site, initial);
                }
                self.trained.add(site, trained);
            }
            self.rate.add(site, rate);
            self.debt.add(site, debt);
        }
    }

    fn add_test_values(&mut self, test: &TestPoints, block: &Block<'_>, scratch: &mut Scratch) {
        let Sites { stride, active, train, .. } = *block.sites;
        let (count, size, distinct) = (test.count, block.size, block.distinct());
        let augmented = view(&test.augmented, stride, count);
        let hidden = view(&block.initial_hidden[..stride * distinct], stride, distinct);
        let at_test = &mut scratch.at_test[..count * size];
        // For antisymmetric pairs f_0 ≡ 0 exactly.
        let starts = block.multiplicity == 1;
        if starts || test.gram.is_some() {
            let start = view_mut(&mut at_test[..count * distinct], count, distinct);
            multiply(start, Store::Replace, 1.0, augmented.transpose(), hidden);
        }
        if starts {
            accumulate_outputs(&mut self.initial, train, block, at_test);
        }
        if let Some(gram) = &test.gram {
            if !starts {
                // From the end, so that no shared column is overwritten before it is copied.
                for k in (0..size).rev() {
                    let shared = count * (k / block.multiplicity);
                    at_test.copy_within(shared..shared + count, count * k);
                }
            }
            let impulse = view(&scratch.impulse[..active * size], active, size);
            multiply(view_mut(at_test, count, size), Store::Add, 1.0, view(gram, count, active), impulse);
        } else {
            let trained = view(&block.hidden[..stride * size], stride, size);
            multiply(view_mut(at_test, count, size), Store::Replace, 1.0, augmented.transpose(), trained);
        }
        accumulate_outputs(&mut self.trained, train, block, &scratch.at_test[..count * size]);
    }

    pub fn merge(&mut self, later: Totals) {
        self.initial.merge(&later.initial);
        self.trained.merge(&later.trained);
        self.rate.merge(&later.rate);
        self.debt.merge(&later.debt);
        for (flips, more) in self.flips.iter_mut().zip(&later.flips) {
            *flips += more;
        }
        for (mine, theirs) in
            [(&mut self.initial_gradient, &later.initial_gradient), (&mut self.gradient, &later.gradient)]
        {
            for (sum, term) in mine.iter_mut().zip(theirs) {
                *sum += term;
            }
        }
        self.weights.0.extend(later.weights.0);
        self.weights.1.extend(later.weights.1);
        self.events += later.events;
        self.sliding += later.sliding;
        self.undecided += later.undecided;
    }

    pub fn finish(self, flow: &GradientFlow<'_>, neurons: &Neurons, sites: &Sites) -> Result<FlowOutcome> {
        let (initial, trained) = (self.initial.finish(), self.trained.finish());
        let (rate, debt) = (self.rate.finish(), self.debt.finish());
        let on_train = |values: &[f64]| sites.of_train.iter().map(|&site| values[site]).collect::<Vec<_>>();
        let on_test = |values: &[f64]| values[sites.train..].to_vec();
        let gradient = |sums: &[f64]| {
            let d = sites.stride - 1;
            if flow.gradients && sums.is_empty() {
                return Some(DMatrix::zeros(d, sites.of_train.len()));
            }
            flow.gradients.then(|| {
                DMatrix::from_fn(d, sites.of_train.len(), |row, n| sums[sites.stride * sites.of_train[n] + row])
            })
        };
        let flips: u64 = sites.of_train.iter().map(|&site| self.flips[site]).sum();
        let outcome = FlowOutcome {
            initial_train_values: on_train(&initial),
            train_values: on_train(&trained),
            initial_test_values: on_test(&initial),
            test_values: on_test(&trained),
            initial_gradients: gradient(&self.initial_gradient),
            gradients: gradient(&self.gradient),
            initial_rate_train: on_train(&rate),
            initial_rate_test: on_test(&rate),
            flip_debt_train: on_train(&debt),
            flip_debt_test: on_test(&debt),
            flip_share: flips as f64 / (sites.of_train.len() as f64 * neurons.width() as f64),
            events: self.events,
            sliding: self.sliding,
            undecided: self.undecided,
            weights: flow
                .keep_weights
                .then(|| Weights::from_augmented(sites.stride - 1, self.weights.0, self.weights.1))
                .transpose()?,
        };
        let everything = outcome.train_values.iter().chain(&outcome.test_values);
        match everything.chain(outcome.gradients.iter().flatten()).find(|v| !v.is_finite()) {
            None => Ok(outcome),
            Some(value) => Err(Error::Numerical {
                routine: "exact gradient flow",
                reason: format!("an output is {value}: the data or the time are too large for double precision"),
            }),
        }
    }
}

/// Adds Σ_k a_k φ(u_k) over the block's neurons at each test point.
fn accumulate_outputs(sums: &mut CompensatedSums, offset: usize, block: &Block<'_>, at_test: &[f64]) {
    let count = at_test.len() / block.size;
    let mut partial = vec![0.0; count];
    f64::add_outputs(at_test, &block.readout, block.slope.value(), &mut partial);
    for (j, term) in partial.into_iter().enumerate() {
        sums.add(offset + j, term);
    }
}

/// w̃(T) = w̃(0) + Σ_n a β_n ∫φ'_n x̃_n.
fn move_weights(block: &mut Block<'_>, scratch: &Scratch) {
    let (&Sites { stride, active, .. }, size) = (block.sites, block.size);
    if active > 0 {
        let driving = view(&block.sites.augmented[..stride * active], stride, active);
        let impulse = view(&scratch.impulse[..active * size], active, size);
        multiply(view_mut(&mut block.hidden[..stride * size], stride, size), Store::Add, 1.0, driving, impulse);
    }
}

/// Two observers at once.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn block(&mut self, block: &Block<'_>) {
        self.0.block(block);
        self.1.block(block);
    }

    fn merge(&mut self, later: Self) {
        self.0.merge(later.0);
        self.1.merge(later.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::flow::PreparedFlow;
    use crate::network::{Initialisation, Readout};
    use crate::problem::{Slope, TrainingSet};
    use crate::random::Streams;

    fn wave(count: usize, d: usize, pace: f64) -> Points {
        let values = (0..count * d).map(|i| (pace * (i * i) as f64).sin()).collect();
        Points::from_rows("x", count, d, values).unwrap()
    }

    #[test]
    fn trained_values_are_the_same_by_the_gram_matrix_and_by_the_weights() {
        let (train_count, d, width, time) = (12, 40, 70, 2.0);
        let labels = (0..train_count).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let train = TrainingSet::new(wave(train_count, d, 0.37), labels).unwrap();
        let test = wave(9, d, 0.11);
        for initialisation in [Initialisation::Standard, Initialisation::Antisymmetric] {
            let streams = Streams::new(3, "routes");
            let neurons = Neurons::draw(d, width, initialisation, Readout::Gaussian, streams).unwrap();
            let flow = GradientFlow::new(&train, Slope::RELU, time).unwrap().with_test(&test).unwrap();
            let sites = || Sites::new(&train, None);
            let run = |neurons_in_all: f64, gram: bool| {
                let points = TestPoints::new(&test, &sites(), neurons_in_all, false);
                assert_eq!(points.gram.is_some(), gram);
                PreparedFlow { flow: flow.clone(), sites: sites(), test: Some(points) }.run(&neurons).unwrap()
            };
            let (by_gram, by_weights) = (run(1e6, true), run(1.0, false));
            assert!(by_gram.events > 0 && by_gram.initial_test_values == by_weights.initial_test_values);
            let silent = by_gram.initial_test_values.iter().all(|f| *f == 0.0);
            assert_eq!(silent, initialisation == Initialisation::Antisymmetric);
            let weights = neurons.weights();
            let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
            let norm = |x: &[f64]| (square(x) + 1.0).sqrt();
            let pushed: f64 = train.points().iter().map(norm).sum::<f64>() / train_count as f64 * time;
            for (j, z) in test.iter().enumerate() {
                // The impulses are the same. By either route at most d + N + 3 roundings of M (R5), then the sum over neurons;
                // a rounding is half of ε.
                let of_neuron = |(w, a): (&[f64], &f64)| a.abs() * norm(z) * (square(w).sqrt() + a.abs() * pushed);
                let size: f64 = weights.hidden().chunks(d + 1).zip(weights.readout()).map(of_neuron).sum();
                let bound = (d + train_count + 3 + width + 2) as f64 * f64::EPSILON * size;
                let (one, other) = (by_gram.test_values[j], by_weights.test_values[j]);
                assert!((one - other).abs() <= bound && one != by_gram.initial_test_values[j], "{j}: {one} {other}");
            }
        }
    }

    /// φ'(u) at time 0 and at time T by neuron and training point.
    #[derive(Default)]
    struct Derivatives(Vec<[Vec<f64>; 2]>);

    impl Observer for Derivatives {
        fn block(&mut self, block: &Block<'_>) {
            let count = block.sites.of_train.len();
            for k in 0..block.size() {
                let start = (0..count).map(|n| block.slope.derivative(block.preactivation_train(k, n).0)).collect();
                self.0.push([start, (0..count).map(|n| block.derivative_train(k, n)).collect()]);
            }
        }

        fn merge(&mut self, later: Self) {
            self.0.extend(later.0);
        }
    }

    /// So many points that sums are looked up, and fewer; few neurons that slide at the end, where φ' is neither 1 nor γ, and many that do not;
    /// two points in one place, and one that has both labels.
    #[test]
    fn gradients_are_sums_of_derivatives_times_weights() {
        for (count, d) in [(12, 1), (90, 1), (150, 4)] {
            let mut values = wave(count, d, 0.37).as_columns().as_slice().to_vec();
            values.copy_within(0..d, d);
            values.copy_within(2 * d..3 * d, 3 * d);
            // One sample outweighs all others, so that neurons slide along it.
            values[5 * d..6 * d].iter_mut().for_each(|x| *x += 30.0);
            let mut labels: Vec<f64> = (0..count).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
            (labels[1], labels[2], labels[3]) = (labels[0], 1.0, -1.0);
            let train = TrainingSet::new(Points::from_rows("x", count, d, values).unwrap(), labels).unwrap();
            let (slope, width) = (Slope::new(0.05).unwrap(), 300);
            let streams = Streams::new(5, "sums");
            let neurons = Neurons::draw(d, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
            let flow = GradientFlow::new(&train, slope, 60.0).unwrap().with_gradients().keep_weights();
            let (outcome, Derivatives(derivatives)) = flow.run_observed(&neurons, &Derivatives::default).unwrap();
            let between = derivatives.iter().flat_map(|[_, end]| end).filter(|v| **v > 0.05 && **v < 1.0).count();
            assert!(between > 0 && between as u64 <= 2 * outcome.sliding, "{count}: {between} {}", outcome.sliding);
            let (start, end) = (neurons.weights(), outcome.weights.as_ref().unwrap());
            let found = [outcome.initial_gradients.as_ref().unwrap(), outcome.gradients.as_ref().unwrap()];
            for (time, (weights, found)) in [&start, end].into_iter().zip(found).enumerate() {
                for (n, row) in (0..count).flat_map(|n| (0..d).map(move |row| (n, row))) {
                    let terms = weights.hidden().chunks(d + 1).zip(weights.readout()).zip(&derivatives);
                    let terms = terms.map(|((w, a), derivatives)| a * derivatives[time][n] * w[row]);
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + f64::abs(term)));
                    let bound = (width + 4) as f64 * f64::EPSILON * size;
                    assert!((sum - found[(row, n)]).abs() <= bound, "{count} {time} {n} {row}: {sum}");
                }
            }
        }
    }

    #[test]
    fn nothing_moves_where_all_labels_cancel() {
        let points = Points::from_rows("x", 2, 3, vec![1.0, 2.0, 0.5, 1.0, 2.0, 0.5]).unwrap();
        let train = TrainingSet::new(points, vec![1.0, -1.0]).unwrap();
        let test = wave(4, 3, 0.3);
        let streams = Streams::new(5, "cancelled");
        let neurons = Neurons::draw(3, 80, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let flow = GradientFlow::new(&train, Slope::RELU, 2.0).unwrap().with_test(&test).unwrap();
        for flow in [flow.clone(), flow.with_gradients()] {
            let outcome = flow.run(&neurons).unwrap();
            assert_eq!((&outcome.test_values, outcome.events), (&outcome.initial_test_values, 0));
            assert!(outcome.test_values.iter().all(|f| *f != 0.0));
        }
    }

    #[test]
    fn the_route_to_trained_values_takes_the_fewest_operations() {
        let labels = |count: usize| (0..count).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let sites = |count, d| Sites::new(&TrainingSet::new(wave(count, d, 0.37), labels(count)).unwrap(), None);
        let (many, few) = (sites(50, 5), sites(10, 60));
        assert!(!gram_pays(&many, 100, f64::INFINITY, true) && !gram_pays(&many, 100, f64::INFINITY, false));
        assert!(gram_pays(&few, 100, f64::INFINITY, true) && gram_pays(&few, 100, f64::INFINITY, false));
        // One neuron would pay for the whole matrix.
        assert!(!gram_pays(&few, 100, 1.0, true) && !gram_pays(&few, 100, 1.0, false));
        // A single test point: forming the weights costs as much as the matrix.
        assert!(gram_pays(&many, 1, f64::INFINITY, false) && !gram_pays(&many, 1, f64::INFINITY, true));
    }
}
