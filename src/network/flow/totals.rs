//! Sums over neurons: outputs, gradients, kernel means and flip statistics.

use nalgebra::DMatrix;

use super::block::Block;
use super::sites::{Sites, augment};
use super::{GradientFlow, Observer};
use crate::error::{Error, Result};
use crate::linalg::{Store, multiply, view, view_mut};
use crate::network::dense::add_activations;
use crate::network::neurons::{Neurons, Weights};
use crate::problem::Points;

/// What a flow yields. N training points, M test points (0 if none were given).
#[derive(Debug, Clone)]
pub struct FlowOutcome {
    /// f_0 at the training points; N.
    pub initial_train_values: Vec<f64>,
    /// f_T at the training points; N.
    pub train_values: Vec<f64>,
    /// f_0 at the test points; M.
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

/// A vector of sums with Neumaier's compensation: the error does not grow with the number of blocks.
#[derive(Clone)]
struct Sums {
    value: Vec<f64>,
    correction: Vec<f64>,
}

impl Sums {
    fn new(len: usize) -> Self {
        Sums { value: vec![0.0; len], correction: vec![0.0; len] }
    }

    fn add(&mut self, index: usize, term: f64) {
        let sum = self.value[index] + term;
        let larger_first = if self.value[index].abs() >= term.abs() {
            (self.value[index] - sum) + term
        } else {
            (term - sum) + self.value[index]
        };
        self.correction[index] += larger_first;
        self.value[index] = sum;
    }

    fn merge(&mut self, later: &Sums) {
        for index in 0..self.value.len() {
            self.add(index, later.value[index]);
            self.correction[index] += later.correction[index];
        }
    }

    fn finish(&self) -> Vec<f64> {
        self.value.iter().zip(&self.correction).map(|(v, c)| v + c).collect()
    }
}

/// Running sums over the neurons of one lane.
pub(super) struct Totals {
    /// f_0 and f_T at the sites up to `train`, then at the test points.
    initial: Sums,
    trained: Sums,
    /// Σ a²φ'(u)(u̇/a) and Σ a²(T − τ)₊ at all sites.
    rate: Sums,
    debt: Sums,
    flips: Vec<u64>,
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
    /// a φ'_n per training site and neuron.
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

    fn fill_weighted(&mut self, block: &Block<'_>, derivative: impl Fn(&Block<'_>, usize, usize) -> f64) {
        let train = block.sites.train;
        for (k, &a) in block.readout[..block.size].iter().enumerate() {
            for (site, weighted) in self.weighted[train * k..][..train].iter_mut().enumerate() {
                *weighted = a * derivative(block, k, site);
            }
        }
    }
}

/// Augmented test points and their products with the active sites (test × active).
pub(super) struct TestPoints {
    count: usize,
    augmented: Vec<f64>,
    gram: Vec<f64>,
}

impl TestPoints {
    pub fn new(points: &Points, sites: &Sites) -> Self {
        let augmented = augment(points);
        let count = points.count();
        let mut gram = vec![0.0; count * sites.active];
        if sites.active > 0 {
            let driving = view(&sites.augmented[..sites.stride * sites.active], sites.stride, sites.active);
            let test = view(&augmented, sites.stride, count);
            crate::linalg::multiply_parallel(&mut gram, Store::Replace, 1.0, test.transpose(), driving);
        }
        TestPoints { count, augmented, gram }
    }
}

impl Totals {
    pub fn new(flow: &GradientFlow<'_>, sites: &Sites, multiplicity: usize) -> Self {
        let test_count = flow.test.map_or(0, Points::count);
        let gradient = if flow.gradients { (sites.stride - 1) * sites.train } else { 0 };
        Totals {
            initial: Sums::new(sites.train + test_count),
            trained: Sums::new(sites.train + test_count),
            rate: Sums::new(sites.count),
            debt: Sums::new(sites.count),
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
        if let Some(test) = test {
            self.add_test_values(test, block, scratch);
        }
        if flow.gradients || flow.keep_weights {
            self.add_weights_and_gradients(flow, block, scratch);
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
                self.initial.add(site, initial);
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
        let start = view_mut(&mut at_test[..count * distinct], count, distinct);
        multiply(start, Store::Replace, 1.0, augmented.transpose(), hidden);
        for k in (0..size).rev() {
            // From the end, so that no shared column is overwritten before it is copied.
            let shared = count * (k / block.multiplicity);
            at_test.copy_within(shared..shared + count, count * k);
        }
        accumulate_outputs(&mut self.initial, train, block, at_test);
        if active > 0 {
            let gram = view(&test.gram, count, active);
            let impulse = view(&scratch.impulse[..active * size], active, size);
            multiply(view_mut(at_test, count, size), Store::Add, 1.0, gram, impulse);
        }
        accumulate_outputs(&mut self.trained, train, block, at_test);
    }

    fn add_weights_and_gradients(&mut self, flow: &GradientFlow<'_>, block: &mut Block<'_>, scratch: &mut Scratch) {
        let Sites { stride, active, train, count, .. } = *block.sites;
        let (size, slope) = (block.size, block.slope);
        if flow.gradients && block.multiplicity == 1 {
            // For antisymmetric pairs ∇f_0 ≡ 0 exactly.
            scratch.fill_weighted(block, |block, k, site| slope.derivative(block.initial_at(k, site)));
            add_gradient(&mut self.initial_gradient, &block.hidden, &scratch.weighted, stride, train, size);
        }
        if active > 0 {
            let driving = view(&block.sites.augmented[..stride * active], stride, active);
            let impulse = view(&scratch.impulse[..active * size], active, size);
            multiply(view_mut(&mut block.hidden[..stride * size], stride, size), Store::Add, 1.0, driving, impulse);
        }
        if flow.gradients {
            scratch.fill_weighted(block, |block, k, site| {
                if site < active {
                    block.derivative[active * k + site]
                } else {
                    slope.derivative(block.preactivation[count * k + site])
                }
            });
            add_gradient(&mut self.gradient, &block.hidden, &scratch.weighted, stride, train, size);
        }
        if flow.keep_weights {
            self.weights.0.extend_from_slice(&block.hidden[..stride * size]);
            self.weights.1.extend_from_slice(&block.readout[..size]);
        }
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
            flow.gradients
                .then(|| DMatrix::from_fn(d, sites.of_train.len(), |row, n| sums[d * sites.of_train[n] + row]))
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
fn accumulate_outputs(sums: &mut Sums, offset: usize, block: &Block<'_>, at_test: &[f64]) {
    let count = at_test.len() / block.size;
    let mut partial = vec![0.0; count];
    add_activations(at_test, &block.readout, block.slope.value(), &mut partial);
    for (j, term) in partial.into_iter().enumerate() {
        sums.add(offset + j, term);
    }
}

/// gradient (d × sites) += W (d × neurons) · weighted (sites × neurons)ᵀ.
fn add_gradient(gradient: &mut [f64], hidden: &[f64], weighted: &[f64], stride: usize, train: usize, size: usize) {
    let weights = view(&hidden[..stride * size], stride, size).subrows(0, stride - 1);
    let weighted = view(&weighted[..train * size], train, size).transpose();
    multiply(view_mut(gradient, stride - 1, train), Store::Add, 1.0, weights, weighted);
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
