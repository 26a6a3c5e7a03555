//! Sample moments of what single pairs of neurons contribute to a trained network and its input gradients.
//!
//! An antisymmetric network of width m is a mean over n_c = m/2 independent pairs: f_T(z) = (1/n_c) Σ Y(z) and
//! ∇f_T(x_n)/T = (1/n_c) Σ χ_n. A sample of pairs of the same law therefore tells what a network of *any* number of pairs
//! does, at a cost that does not grow with m. With a = α/√m and B̄^± the time means of (1/N) Σ_k y_k φ'(u_k) x̃_k along the
//! flows of the two neurons,
//!
//! χ_n = (α²/2)(φ'₊ B̄⁺ + φ'₋ B̄⁻) + (√m α/2T)(φ'₊ − φ'₋) w_0,   φ'_± = φ'(u_±(x_n; T)).
//!
//! Cost per pair: the two flows, and about (9d + 9M + 3d)·N multiply-adds of matrix products for M directions.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::block::Block;
use super::sites::{Sites, augment};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply, norm_squared, view, view_mut};
use crate::network::neurons::{Initialisation, Neurons, Readout};
use crate::problem::{Points, Slope, TrainingSet, finite_positive};
use crate::random::Streams;

/// Sums are formed in this many lanes; even, so that the first half of the lanes holds half of the pairs.
const LANES: usize = 8;

/// Pairs of neurons at a time.
const PAIRS: usize = 64;

/// Pairs outside of these limits count as zero in all sums, so that what is summed is bounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    /// r: |⟨e, w_0⟩| ≤ r‖e‖/√d for every direction e that is looked at.
    pub projection: f64,
    /// ‖w_0‖² ≤ this.
    pub norm_squared: f64,
    /// |α| ≤ this.
    pub readout: f64,
}

impl Truncation {
    /// No limits.
    pub const NONE: Truncation =
        Truncation { projection: f64::INFINITY, norm_squared: f64::INFINITY, readout: f64::INFINITY };
}

/// Mean and mean square of a bounded function of a pair, for many functions at once.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Sample means.
    pub mean: DMatrix<f64>,
    /// Sample means of the squares.
    pub square: DMatrix<f64>,
}

/// What a sample of pairs says; D = mean of χ.
#[derive(Debug, Clone)]
pub struct PairMoments {
    /// The number of pairs drawn.
    pub count: usize,
    /// How many of them lay outside of the [`Truncation`] and count as zero.
    pub outside: usize,
    /// The drift R(z) = Y(z) − T·X(z) of a pair, X = α² φ'(u_z) V(z) at time 0: 1 × M.
    pub drift: Moments,
    /// ⟨z, χ_n⟩ for every test point z and training point n: M × N.
    pub along_test: Moments,
    /// ⟨x_n, χ_n⟩: 1 × N.
    pub along_point: Moments,
    /// ⟨q_n, χ_n⟩ with the unit vectors q_n given: 1 × N.
    pub along_centre: Moments,
    /// ‖P_n χ_n‖² with P_n the projection across q_n: 1 × N.
    pub across_centre: Moments,
    /// Mean of ‖P_n χ_n‖² with the part of w_0 left out: 1 × N.
    pub across_centre_driven: Moments,
    /// ⟨P_n χ̄_n, P_n χ̄'_n⟩ with the means over the two halves of the sample, and ‖P_n χ̄_n‖ of the first half; N each.
    pub halves: (Vec<f64>, Vec<f64>),
}

/// A sample of antisymmetric pairs to train.
pub struct PairSampling<'a> {
    train: &'a TrainingSet,
    slope: Slope,
    time: f64,
    test: &'a Points,
    centres: DMatrix<f64>,
    sites: Sites,
    test_augmented: Vec<f64>,
}

impl<'a> PairSampling<'a> {
    /// Pairs trained on `train` for `time` > 0, looked at along `test` (M points), along the training points, and along
    /// and across `centres` (d × N, one direction per training point; normalised here).
    ///
    /// # Errors
    /// time ≤ 0, infinite or NaN; shapes that do not fit; a centre that is zero or not finite; labels that all cancel.
    pub fn new(
        train: &'a TrainingSet,
        slope: Slope,
        time: f64,
        test: &'a Points,
        centres: &DMatrix<f64>,
    ) -> Result<Self> {
        let time = finite_positive("time", time)?;
        train.points().same_dimension("test points", test)?;
        if centres.shape() != train.points().as_columns().shape() {
            return Err(Error::Shape {
                name: "centres".into(),
                found: format!("{} × {}", centres.ncols(), centres.nrows()),
                expected: format!("{} × {}, one per training point", train.count(), train.input_dim()),
            });
        }
        let mut centres = centres.clone();
        for (index, mut centre) in centres.column_iter_mut().enumerate() {
            let norm = centre.norm();
            if !(norm.is_finite() && norm > 0.0) {
                return Err(Error::ZeroGradient { network: "limit function", index, norm, count: 1 });
            }
            centre /= norm;
        }
        let sites = Sites::new(train, None);
        if sites.active == 0 {
            let reason = "the labels of equal points cancel everywhere: nothing is learned".into();
            return Err(Error::Numerical { routine: "sampling of neurons", reason });
        }
        Ok(PairSampling { train, slope, time, test, centres, sites, test_augmented: augment(test) })
    }

    /// Draws and trains `count` pairs (rounded up to an even number) with the readouts of a network of `width` neurons.
    ///
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// count or width = 0; a flow that does not end; sums that are not finite.
    pub fn run(
        &self,
        width: usize,
        count: usize,
        readout: Readout,
        truncation: Truncation,
        streams: Streams,
    ) -> Result<PairMoments> {
        let count = count.next_multiple_of(2);
        let neurons =
            Neurons::draw(self.train.input_dim(), 2 * count, Initialisation::Antisymmetric, readout, streams)?;
        let neurons = neurons.sampled_from_width(width)?;
        let lane = |lane: usize| -> Result<Sums> {
            let mut block = Block::new(&self.sites, self.slope, self.time, 2 * PAIRS);
            let mut work = Work::new(self);
            let mut sums = Sums::new(self);
            // Each half of the pairs is divided among half of the lanes.
            let half = count / 2;
            let share = |lane: usize| lane / (LANES / 2) * half + half * (lane % (LANES / 2)) / (LANES / 2);
            let end =
                if lane % (LANES / 2) == LANES / 2 - 1 { (lane / (LANES / 2) + 1) * half } else { share(lane + 1) };
            let mut first = share(lane);
            while first < end {
                let pairs = PAIRS.min(end - first);
                block.run(&neurons, 2 * first, 2 * pairs)?;
                work.load(self, &block, width, &truncation);
                sums.add(self, &work);
                first += pairs;
            }
            Ok(sums)
        };
        let lanes: Vec<Result<Sums>> = (0..LANES).into_par_iter().map(lane).collect();
        let (mut first, mut second) = (Sums::new(self), Sums::new(self));
        for (lane, sums) in lanes.into_iter().enumerate() {
            if lane < LANES / 2 { &mut first } else { &mut second }.merge(&sums?);
        }
        first.finish(&second, count)
    }
}

/// The scalars and vectors of a block of pairs. Columns 0 .. J belong to the first neurons of the pairs, J .. 2J to the
/// second ones, 2J .. 3J to w_0.
struct Work {
    pairs: usize,
    outside: usize,
    /// Pushes β∘∫φ'/T of active sites, active × 2J; β∘φ'(0), active × J.
    pushes: Vec<f64>,
    starts: Vec<f64>,
    /// B̄⁺, B̄⁻ and w̃_0 with their biases, stride × 3J; the velocity at time 0, stride × J.
    vectors: Vec<f64>,
    velocities: Vec<f64>,
    /// Products of `vectors` with directions: test points (M × 3J), centres (N × 3J), training points (N × 3J).
    at_test: Vec<f64>,
    at_centres: Vec<f64>,
    at_points: Vec<f64>,
    /// Products of the velocities with test points, M × J.
    rates: Vec<f64>,
    /// χ_n = Σ of three coefficients times `vectors`: N × 3J; and their products, N × 6J.
    coefficients: Vec<f64>,
    products: Vec<f64>,
    /// Products of `at_test` columns, M × 6J.
    squares: Vec<f64>,
    /// Inner products of B̄⁺, B̄⁻, w_0 per pair: ++, −−, 00, +−, +0, −0.
    inner: Vec<[f64; 6]>,
    /// R per test point and pair, M × J.
    drifts: Vec<f64>,
}

/// The six products of three numbers, cross terms doubled, so that Σ over them is the square of the sum.
fn six(a: f64, b: f64, c: f64) -> [f64; 6] {
    [a * a, b * b, c * c, a * b, a * c, b * c]
}

impl Work {
    fn new(sampling: &PairSampling<'_>) -> Self {
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

    fn load(&mut self, sampling: &PairSampling<'_>, block: &Block<'_>, width: usize, truncation: &Truncation) {
        self.pairs = block.size / 2;
        self.load_vectors(sampling, block);
        self.load_inner(sampling.sites.stride);
        let inside: Vec<bool> =
            (0..self.pairs).map(|j| self.is_inside(sampling, block, width, truncation, j)).collect();
        self.outside = inside.iter().filter(|inside| !**inside).count();
        self.load_drifts(sampling, block, width, &inside);
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
    fn load_drifts(&mut self, sampling: &PairSampling<'_>, block: &Block<'_>, width: usize, inside: &[bool]) {
        let stride = sampling.sites.stride;
        let (m, pairs, time, slope) = (sampling.test.count(), self.pairs, sampling.time, sampling.slope);
        for (j, inside) in inside.iter().enumerate() {
            let a = block.readout[2 * j];
            let bias = |part: usize| self.vectors[stride * (part * pairs + j) + stride - 1];
            let biases = [bias(0), bias(1), bias(2)];
            for z in 0..m {
                let at = [0, 1, 2].map(|part| m * (part * pairs + j) + z);
                let [up, down, u] = at.map(|at| self.at_test[at]);
                let change = slope.activation(u + a * time * up) - slope.activation(u - a * time * down);
                let rate = width as f64 * a * a * slope.derivative(u) * self.rates[m * j + z];
                let drift = 0.5 * width as f64 * a * change - time * rate;
                self.drifts[m * j + z] = if *inside { drift } else { 0.0 };
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

/// Running sums of one lane.
struct Sums {
    outside: usize,
    drift: [Vec<f64>; 2],
    along_test: [Vec<f64>; 2],
    along_point: [Vec<f64>; 2],
    along_centre: [Vec<f64>; 2],
    across: [Vec<f64>; 2],
    across_driven: [Vec<f64>; 2],
    /// Σ χ_n, d × N.
    vectors: Vec<f64>,
    centres: DMatrix<f64>,
}

impl Sums {
    fn new(sampling: &PairSampling<'_>) -> Self {
        let (n, m, d) = (sampling.train.count(), sampling.test.count(), sampling.train.input_dim());
        let two = |len: usize| [vec![0.0; len], vec![0.0; len]];
        Sums {
            outside: 0,
            drift: two(m),
            along_test: two(m * n),
            along_point: two(n),
            along_centre: two(n),
            across: two(n),
            across_driven: two(n),
            vectors: vec![0.0; d * n],
            centres: sampling.centres.clone(),
        }
    }

    fn add(&mut self, sampling: &PairSampling<'_>, work: &Work) {
        let stride = sampling.sites.stride;
        let (n, m, d, pairs) = (sampling.train.count(), sampling.test.count(), stride - 1, work.pairs);
        self.outside += work.outside;
        for drifts in work.drifts[..m * pairs].chunks_exact(m) {
            add_moments(&mut self.drift, drifts.iter().copied());
        }
        let coefficients = view(&work.coefficients[..n * 3 * pairs], n, 3 * pairs).transpose();
        let at_test = view(&work.at_test[..m * 3 * pairs], m, 3 * pairs);
        multiply(view_mut(&mut self.along_test[0], m, n), Store::Add, 1.0, at_test, coefficients);
        let products = view(&work.products[..n * 6 * pairs], n, 6 * pairs).transpose();
        let squares = view(&work.squares[..m * 6 * pairs], m, 6 * pairs);
        multiply(view_mut(&mut self.along_test[1], m, n), Store::Add, 1.0, squares, products);
        let vectors = view(&work.vectors[..stride * 3 * pairs], stride, 3 * pairs).subrows(0, d);
        multiply(view_mut(&mut self.vectors, d, n), Store::Add, 1.0, vectors, coefficients);
        for j in 0..pairs {
            let part = |values: &'_ [f64], part: usize| -> std::ops::Range<usize> {
                debug_assert!(values.len() >= n * 3 * pairs);
                n * (part * pairs + j)..n * (part * pairs + j) + n
            };
            let [p, q, w] = [0, 1, 2].map(|k| &work.coefficients[part(&work.coefficients, k)]);
            let combine = |values: &[f64]| -> Vec<f64> {
                let [vp, vq, vw] = [0, 1, 2].map(|k| &values[part(values, k)]);
                (0..n).map(|k| p[k] * vp[k] + q[k] * vq[k] + w[k] * vw[k]).collect()
            };
            add_moments(&mut self.along_point, combine(&work.at_points).into_iter());
            let along = combine(&work.at_centres);
            let [pp, qq, ww, pq, pw, qw] = work.inner[j];
            let across = (0..n).map(|k| {
                let [a, b, c] = [p[k], q[k], w[k]];
                let whole = a * a * pp + b * b * qq + c * c * ww + 2.0 * (a * b * pq + a * c * pw + b * c * qw);
                (whole - along[k] * along[k]).max(0.0)
            });
            add_moments(&mut self.across, across);
            let [cp, cq] = [0, 1].map(|k| &work.at_centres[part(&work.at_centres, k)]);
            let driven = (0..n).map(|k| {
                let (a, b) = (p[k], q[k]);
                let own = a * cp[k] + b * cq[k];
                (a * a * pp + b * b * qq + 2.0 * a * b * pq - own * own).max(0.0)
            });
            add_moments(&mut self.across_driven, driven);
            add_moments(&mut self.along_centre, along.iter().copied());
        }
    }

    fn merge(&mut self, later: &Sums) {
        self.outside += later.outside;
        let add = |mine: &mut Vec<f64>, theirs: &[f64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        let pairs = [
            (&mut self.drift, &later.drift),
            (&mut self.along_test, &later.along_test),
            (&mut self.along_point, &later.along_point),
            (&mut self.along_centre, &later.along_centre),
            (&mut self.across, &later.across),
            (&mut self.across_driven, &later.across_driven),
        ];
        for (mine, theirs) in pairs {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| add(mine, theirs));
        }
        add(&mut self.vectors, &later.vectors);
    }

    /// Means over both halves of the sample; self is the first.
    fn finish(mut self, second: &Sums, count: usize) -> Result<PairMoments> {
        let (d, n) = self.centres.shape();
        let across = |vectors: &[f64]| -> Vec<f64> {
            let mut vectors: Vec<f64> = vectors.iter().map(|v| v / (count / 2) as f64).collect();
            for (vector, centre) in vectors.chunks_exact_mut(d).zip(self.centres.as_slice().chunks_exact(d)) {
                let along = dot(vector, centre);
                vector.iter_mut().zip(centre).for_each(|(v, c)| *v -= along * c);
            }
            vectors
        };
        let (mine, theirs) = (across(&self.vectors), across(&second.vectors));
        let columns = mine.chunks_exact(d).zip(theirs.chunks_exact(d));
        let halves = (
            columns.map(|(a, b)| dot(a, b)).collect(),
            mine.chunks_exact(d).map(|a| norm_squared(a).sqrt()).collect::<Vec<f64>>(),
        );
        self.merge(second);
        let moments = |sums: [Vec<f64>; 2], rows: usize| {
            let [mean, square] = sums.map(|sums| {
                let columns = sums.len() / rows;
                DMatrix::from_vec(rows, columns, sums) / count as f64
            });
            Moments { mean, square }
        };
        let m = self.along_test[0].len() / n;
        let result = PairMoments {
            count,
            outside: self.outside,
            drift: moments(self.drift, 1),
            along_test: moments(self.along_test, m),
            along_point: moments(self.along_point, 1),
            along_centre: moments(self.along_centre, 1),
            across_centre: moments(self.across, 1),
            across_centre_driven: moments(self.across_driven, 1),
            halves,
        };
        let finite = |moments: &Moments| moments.square.iter().all(|v| v.is_finite());
        if [&result.drift, &result.along_test, &result.across_centre].into_iter().all(finite) {
            return Ok(result);
        }
        let reason = "a moment is not finite: the data or the time are too large for double precision".into();
        Err(Error::Numerical { routine: "sampling of neurons", reason })
    }
}

/// Adds values and their squares.
fn add_moments(sums: &mut [Vec<f64>; 2], values: impl Iterator<Item = f64>) {
    let [mean, square] = sums;
    for ((mean, square), value) in mean.iter_mut().zip(square).zip(values) {
        *mean += value;
        *square += value * value;
    }
}
