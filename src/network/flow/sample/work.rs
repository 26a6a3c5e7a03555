//! What a block of pairs contributes, before it is summed.

use super::super::block::Block;
use super::super::sites::Sites;
use super::{PAIRS, PairSampling, Truncation};
use crate::linalg::{Store, dot, multiply, norm_squared, view, view_mut};

/// The scalars and vectors of a block of pairs. Columns 0 .. J belong to the first neurons of the pairs, J .. 2J to the
/// second ones, 2J .. 3J to w_0.
pub(super) struct Work {
    pub(super) pairs: usize,
    pub(super) outside: usize,
    /// Pushes β∘∫φ'/T of active sites, active × 2J; β∘φ'(0), active × J.
    pushes: Vec<f64>,
    starts: Vec<f64>,
    /// B̄⁺, B̄⁻ and w̃_0 with their biases, stride × 3J; the velocity at time 0, stride × J.
    pub(super) vectors: Vec<f64>,
    velocities: Vec<f64>,
    /// Products of `vectors` with directions: test points (M × 3J), centres (N × 3J), training points (N × 3J).
    pub(super) at_test: Vec<f64>,
    pub(super) at_centres: Vec<f64>,
    pub(super) at_points: Vec<f64>,
    /// Products of the velocities with test points, M × J.
    rates: Vec<f64>,
    /// χ_n = Σ of three coefficients times `vectors`: N × 3J; and their products, N × 6J.
    pub(super) coefficients: Vec<f64>,
    pub(super) products: Vec<f64>,
    /// Products of `at_test` columns, M × 6J.
    pub(super) squares: Vec<f64>,
    /// Inner products of B̄⁺, B̄⁻, w_0 per pair: ++, −−, 00, +−, +0, −0.
    pub(super) inner: Vec<[f64; 6]>,
    /// R per test point and pair, M × J.
    pub(super) drifts: Vec<f64>,
}

/// The six products of three numbers, cross terms doubled, so that Σ over them is the square of the sum.
fn six(a: f64, b: f64, c: f64) -> [f64; 6] {
    [a * a, b * b, c * c, a * b, a * c, b * c]
}

impl Work {
    pub(super) fn new(sampling: &PairSampling<'_>) -> Self {
        let Sites { stride, active, .. } = sampling.sites;
        let (n, m) = (sampling.train.count(), sampling.test.count());
        let zeros = |rows: usize, columns: usize| vec![0.0; rows * columns * PAIRS];
        Work {
            pairs: 0,
            outside: 0,
            pushes: zeros(active, 2),
            starts: zeros(active, 1),
            vectors: zeros(stride, 3),
            velocities: zeros(stride, 1),
            at_test: zeros(m, 3),
            at_centres: zeros(n, 3),
            at_points: zeros(n, 3),
            rates: zeros(m, 1),
            coefficients: zeros(n, 3),
            products: zeros(n, 6),
            squares: zeros(m, 6),
            inner: Vec::with_capacity(PAIRS),
            drifts: zeros(m, 1),
        }
    }

    pub(super) fn load(
        &mut self,
        sampling: &PairSampling<'_>,
        block: &Block<'_>,
        width: usize,
        truncation: &Truncation,
    ) {
        self.pairs = block.size / 2;
        self.load_vectors(sampling, block);
        self.load_inner(sampling.sites.stride);
        let inside: Vec<bool> =
            (0..self.pairs).map(|j| self.is_inside(sampling, block, width, truncation, j)).collect();
        self.outside = inside.iter().filter(|inside| !**inside).count();
        self.load_drifts(sampling, block, width);
        self.load_coefficients(sampling, block, width, &inside);
        let (m, pairs) = (sampling.test.count(), self.pairs);
        for j in 0..pairs {
            for z in 0..m {
                let at = |part: usize| self.at_test[m * (part * pairs + j) + z];
                for (part, value) in six(at(0), at(1), at(2)).into_iter().enumerate() {
                    self.squares[m * (part * pairs + j) + z] = if part < 3 { value } else { 2.0 * value };
                }
            }
        }
    }

    /// The vectors, and their products with all directions.
    fn load_vectors(&mut self, sampling: &PairSampling<'_>, block: &Block<'_>) {
        let sites = &sampling.sites;
        let Sites { stride, active, count, .. } = *sites;
        let (pairs, d) = (self.pairs, stride - 1);
        for j in 0..pairs {
            for (sign, column) in [(0, j), (1, pairs + j)] {
                let integral = &block.integral[active * (2 * j + sign)..][..active];
                let pushes = self.pushes[active * column..][..active].iter_mut();
                for ((push, integral), weight) in pushes.zip(integral).zip(&sites.weights) {
                    *push = weight * integral / sampling.time;
                }
            }
            let starts = self.starts[active * j..][..active].iter_mut();
            for ((start, u), weight) in starts.zip(&block.initial[count * j..]).zip(&sites.weights) {
                *start = weight * sampling.slope.derivative(*u);
            }
            self.vectors[stride * (2 * pairs + j)..][..stride]
                .copy_from_slice(&block.initial_hidden[stride * j..][..stride]);
        }
        let driving = view(&sites.augmented[..stride * active], stride, active);
        let moved = view_mut(&mut self.vectors[..stride * 2 * pairs], stride, 2 * pairs);
        multiply(moved, Store::Replace, 1.0, driving, view(&self.pushes[..active * 2 * pairs], active, 2 * pairs));
        let velocities = view_mut(&mut self.velocities[..stride * pairs], stride, pairs);
        multiply(velocities, Store::Replace, 1.0, driving, view(&self.starts[..active * pairs], active, pairs));

        let (n, m) = (sampling.train.count(), sampling.test.count());
        let test = view(&sampling.test_augmented, stride, m).transpose();
        let vectors = view(&self.vectors[..stride * 3 * pairs], stride, 3 * pairs);
        multiply(view_mut(&mut self.at_test[..m * 3 * pairs], m, 3 * pairs), Store::Replace, 1.0, test, vectors);
        let velocities = view(&self.velocities[..stride * pairs], stride, pairs);
        multiply(view_mut(&mut self.rates[..m * pairs], m, pairs), Store::Replace, 1.0, test, velocities);
        let inputs = vectors.subrows(0, d);
        let centres = view(sampling.centres.as_slice(), d, n).transpose();
        multiply(view_mut(&mut self.at_centres[..n * 3 * pairs], n, 3 * pairs), Store::Replace, 1.0, centres, inputs);
        let points = view(sampling.train.points().as_columns().as_slice(), d, n).transpose();
        multiply(view_mut(&mut self.at_points[..n * 3 * pairs], n, 3 * pairs), Store::Replace, 1.0, points, inputs);
    }

    fn load_inner(&mut self, stride: usize) {
        let (pairs, d) = (self.pairs, stride - 1);
        self.inner.clear();
        for j in 0..pairs {
            let vector = |part: usize| &self.vectors[stride * (part * pairs + j)..][..d];
            let (p, q, w) = (vector(0), vector(1), vector(2));
            self.inner.push([norm_squared(p), norm_squared(q), norm_squared(w), dot(p, q), dot(p, w), dot(q, w)]);
        }
    }

    /// Whether pair j lies within the truncation.
    fn is_inside(
        &self,
        sampling: &PairSampling<'_>,
        block: &Block<'_>,
        width: usize,
        truncation: &Truncation,
        j: usize,
    ) -> bool {
        if *truncation == Truncation::NONE {
            return true;
        }
        let Sites { stride, .. } = sampling.sites;
        let (n, m, pairs, d) = (sampling.train.count(), sampling.test.count(), self.pairs, (stride - 1) as f64);
        let unit = truncation.projection / d.sqrt();
        let bias = self.vectors[stride * (2 * pairs + j) + stride - 1];
        let at_test = &self.at_test[m * (2 * pairs + j)..][..m];
        let at_centres = &self.at_centres[n * (2 * pairs + j)..][..n];
        let at_points = &self.at_points[n * (2 * pairs + j)..][..n];
        self.inner[j][2] <= truncation.norm_squared
            && block.readout[2 * j].abs() * (width as f64).sqrt() <= truncation.readout
            && at_centres.iter().all(|w| w.abs() <= unit)
            && at_points.iter().zip(&sampling.sites.of_train).all(|(w, site)| {
                // ‖x̃‖² − 1 = ‖x‖².
                w.abs() <= unit * (sampling.sites.norms[*site].powi(2) - 1.0).max(0.0).sqrt()
            })
            && at_test.iter().zip(sampling.test.iter()).all(|(w, z)| (w - bias).abs() <= unit * norm_squared(z).sqrt())
    }

    /// R = Y − T·X; afterwards the products with test points lose their biases.
    fn load_drifts(&mut self, sampling: &PairSampling<'_>, block: &Block<'_>, width: usize) {
        let stride = sampling.sites.stride;
        let (m, pairs, time, slope) = (sampling.test.count(), self.pairs, sampling.time, sampling.slope);
        for j in 0..pairs {
            let a = block.readout[2 * j];
            let bias = |part: usize| self.vectors[stride * (part * pairs + j) + stride - 1];
            let biases = [bias(0), bias(1), bias(2)];
            for z in 0..m {
                let at = [0, 1, 2].map(|part| m * (part * pairs + j) + z);
                let [up, down, u] = at.map(|at| self.at_test[at]);
                let change = slope.activation(u + a * time * up) - slope.activation(u - a * time * down);
                let rate = width as f64 * a * a * slope.derivative(u) * self.rates[m * j + z];
                let drift = 0.5 * width as f64 * a * change - time * rate;
                self.drifts[m * j + z] = drift;
                for (at, bias) in at.into_iter().zip(biases) {
                    self.at_test[at] -= bias;
                }
            }
        }
    }

    fn load_coefficients(&mut self, sampling: &PairSampling<'_>, block: &Block<'_>, width: usize, inside: &[bool]) {
        let (n, pairs, m) = (sampling.train.count(), self.pairs, width as f64);
        for (j, inside) in inside.iter().enumerate() {
            let a = block.readout[2 * j];
            let (driven, kept) = if *inside { (0.5 * m * a * a, 0.5 * m * a / sampling.time) } else { (0.0, 0.0) };
            for k in 0..n {
                let (up, down) = (block.derivative_train(2 * j, k), block.derivative_train(2 * j + 1, k));
                let (p, q, w) = (driven * up, driven * down, kept * (up - down));
                for (part, value) in [p, q, w].into_iter().enumerate() {
                    self.coefficients[n * (part * pairs + j) + k] = value;
                }
                for (part, value) in six(p, q, w).into_iter().enumerate() {
                    self.products[n * (part * pairs + j) + k] = value;
                }
            }
        }
    }
}
