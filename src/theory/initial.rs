//! The initial network of infinite width: f_0 and its input gradient together, sampled from their joint Gaussian law.
//!
//! By K9 f_0 and ∇f_0 tend to a centred Gaussian process; its covariances are derivatives of the covariance Σ of f_0.
//! With p = s(x)², q = s(z)², c = 1 + ⟨x,z⟩/d, D = pq − c², h = (1−γ)²/2π and Φ the derivative dual:
//! - E f_0(x) f_0(z) = Σ(x, z);
//! - E ∇f_0(x) f_0(z) = Φ z/d + h √D x/(pd);
//! - E ∇f_0(x) ∇f_0(z)ᵀ = Φ I/d + (h/d²√D)(z xᵀ + x zᵀ − (c/q) z zᵀ − (c/p) x xᵀ), and (1+γ²)/2 I/d at x = z.
//!
//! The covariance of N gradients in d dimensions has (dN)² entries, too many to factorise or to store. A sample is
//! C^½ξ for white ξ; the square root is applied by Lanczos' method, which needs products with C only, and these are three
//! matrix products of 2dN² operations each. Every sample has the exact law up to the stated relative error of C^½ξ.

use nalgebra::{DMatrix, SymmetricEigen};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{Kernel, cross_gram, gram};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply, multiply_parallel, norm_squared, view, view_mut};
use crate::problem::{Points, Slope};
use crate::random::Streams;

/// Relative error of C^½ξ, estimated from successive approximations, at which Lanczos' method stops. On images and Gaussian
/// clouds the true error is two to six times the estimate: half a percent of a sample's length.
pub const SAMPLE_TOLERANCE: f64 = 1e-3;
/// Most steps; a covariance that needs more is refused rather than sampled badly.
const STEPS_MAX: usize = 400;
/// Gradients worked on at once, by one thread.
const BLOCK: usize = 64;
/// Bytes of Lanczos vectors that are kept; beyond, they are made a second time instead.
pub const KEPT_BYTES: usize = 1_000_000_000;
/// Angles below this count as 0: the terms with √D are then of the size of the angle, and formed with an error of ε/θ.
const NEARLY_PARALLEL: f64 = 1e-8;
/// The approximation is compared with the one of this many steps before.
const COMPARE: usize = 5;

/// The joint law of f_0 at `values` and ∇f_0 at `gradients`.
pub struct InitialProcess<'a> {
    gradients: Option<GradientPart<'a>>,
    /// Σ at the value points.
    values: DMatrix<f64>,
}

/// Matrices between the N gradient points, and from them to the M value points.
struct GradientPart<'a> {
    at: &'a Points,
    value_points: &'a Points,
    /// Φ/d, N × N.
    duals: DMatrix<f64>,
    /// h/(d²√D), N × N, 0 for equal points.
    sweep: DMatrix<f64>,
    /// c·(the same).
    sweep_c: DMatrix<f64>,
    /// p at each point.
    squares: Vec<f64>,
    /// Φ/d, M × N.
    cross: DMatrix<f64>,
    /// h√D/(pd), M × N.
    cross_own: DMatrix<f64>,
}

/// A sample: f_0 at the value points, ∇f_0 at the gradient points (d × N).
#[derive(Debug, Clone, PartialEq)]
pub struct InitialSample {
    /// f_0.
    pub values: Vec<f64>,
    /// ∇f_0, one column per point; empty if no gradient points were given.
    pub gradients: DMatrix<f64>,
}

impl<'a> InitialProcess<'a> {
    /// The law at M value points and at N gradient points (or none). Memory: 8(3N² + 2NM + M²) bytes.
    ///
    /// # Errors
    /// Points of different dimensions.
    pub fn new(slope: Slope, values: &'a Points, gradients: Option<&'a Points>) -> Result<Self> {
        if let Some(at) = gradients {
            at.same_dimension("value points", values)?;
        }
        let gradients = gradients.map(|at| GradientPart::new(slope, at, values));
        Ok(InitialProcess { gradients, values: gram(Kernel::ValueDual, slope, values) })
    }

    fn value_count(&self) -> usize {
        self.values.nrows()
    }

    fn len(&self) -> usize {
        self.value_count() + self.gradients.as_ref().map_or(0, |part| part.at.as_columns().len())
    }

    //= K9@ecf9330b
    /// C·(values, gradients) for the joint covariance C of K9; vectors hold f_0 first, then ∇f_0 point after point.
    ///
    /// # Panics
    /// If the vector has another length than M + dN.
    #[must_use]
    pub fn covariance_product(&self, vector: &[f64]) -> Vec<f64> {
        assert_eq!(vector.len(), self.len(), "a vector of all values and gradients");
        let m = self.value_count();
        let mut result = vec![0.0; vector.len()];
        let (w, v) = vector.split_at(m);
        let (values, gradients) = result.split_at_mut(m);
        multiply_parallel(values, Store::Replace, 1.0, view(self.values.as_slice(), m, m), view(w, m, 1));
        if let Some(part) = &self.gradients {
            part.add_product(w, v, values, gradients);
        }
        result
    }

    //= K9@ecf9330b
    /// Sample number `index` of the streams, of the law K9.
    ///
    /// # Errors
    /// More than 400 Lanczos steps for a relative error of [`SAMPLE_TOLERANCE`].
    pub fn sample(&self, streams: &Streams, index: u64) -> Result<InitialSample> {
        let mut rng = streams.stream(index);
        let white: Vec<f64> = (0..self.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
        let root = self.root_product(&white)?;
        let (values, gradients) = root.split_at(self.value_count());
        let gradients = match &self.gradients {
            Some(part) => DMatrix::from_column_slice(part.at.input_dim(), part.at.count(), gradients),
            None => DMatrix::zeros(0, 0),
        };
        Ok(InitialSample { values: values.to_vec(), gradients })
    }

    /// C^½ξ by Lanczos' method: with ξ = ‖ξ‖q_1, C Q ≈ Q H and H tridiagonal, C^½ξ ≈ ‖ξ‖ Q H^½ e_1.
    fn root_product(&self, white: &[f64]) -> Result<Vec<f64>> {
        let norm = norm_squared(white).sqrt();
        let mut lanczos = Lanczos::new(self, white, norm);
        let mut kept = Some(vec![lanczos.current.clone()]);
        let mut earlier: Vec<Vec<f64>> = Vec::new();
        for step in 1..=STEPS_MAX.min(white.len()) {
            let exhausted = lanczos.advance();
            let now = root_coefficients(&lanczos.diagonal, &lanczos.off_diagonal[..step - 1]);
            // The q are orthonormal, so distances of coefficients are distances of vectors.
            let moved = step.checked_sub(COMPARE + 1).map(|old| distance(&now, &earlier[old]));
            if exhausted || step == white.len() || moved.is_some_and(|m| m <= SAMPLE_TOLERANCE * length(&now)) {
                return Ok(self.assemble(white, norm, &now, kept));
            }
            earlier.push(now);
            kept = kept.filter(|kept| (kept.len() + 1) * white.len() * 8 <= KEPT_BYTES);
            if let Some(kept) = &mut kept {
                kept.push(lanczos.current.clone());
            }
        }
        let reason = format!("no convergence to {SAMPLE_TOLERANCE} within {STEPS_MAX} steps");
        Err(Error::Numerical { routine: "sampling of the initial process", reason })
    }

    /// ‖ξ‖ Σ_k coefficient_k q_k with the vectors kept, or made anew.
    fn assemble(&self, white: &[f64], norm: f64, coefficients: &[f64], kept: Option<Vec<Vec<f64>>>) -> Vec<f64> {
        let mut result = vec![0.0; white.len()];
        let mut add = |coefficient: f64, q: &[f64]| {
            result.iter_mut().zip(q).for_each(|(r, q)| *r += norm * coefficient * q);
        };
        if let Some(kept) = kept {
            coefficients.iter().zip(&kept).for_each(|(coefficient, q)| add(*coefficient, q));
            return result;
        }
        let mut lanczos = Lanczos::new(self, white, norm);
        for (step, coefficient) in coefficients.iter().enumerate() {
            add(*coefficient, &lanczos.current);
            if step + 1 < coefficients.len() {
                lanczos.advance();
            }
        }
        result
    }
}

/// The three-term recurrence.
struct Lanczos<'p, 'a> {
    process: &'p InitialProcess<'a>,
    previous: Vec<f64>,
    current: Vec<f64>,
    diagonal: Vec<f64>,
    off_diagonal: Vec<f64>,
}

impl<'p, 'a> Lanczos<'p, 'a> {
    fn new(process: &'p InitialProcess<'a>, start: &[f64], norm: f64) -> Self {
        let current = start.iter().map(|v| v / norm).collect();
        let previous = vec![0.0; start.len()];
        Lanczos { process, previous, current, diagonal: Vec::new(), off_diagonal: Vec::new() }
    }

    /// One step; true if the space that C spans from the start is exhausted.
    fn advance(&mut self) -> bool {
        let mut next = self.process.covariance_product(&self.current);
        let alpha = dot(&next, &self.current);
        let beta = self.off_diagonal.last().copied().unwrap_or(0.0);
        for ((n, q), old) in next.iter_mut().zip(&self.current).zip(&self.previous) {
            *n -= alpha * q + beta * old;
        }
        let beta = norm_squared(&next).sqrt();
        self.diagonal.push(alpha);
        if beta <= 1e-14 * alpha.abs() {
            return true;
        }
        next.iter_mut().for_each(|n| *n /= beta);
        self.off_diagonal.push(beta);
        self.previous = std::mem::replace(&mut self.current, next);
        false
    }
}

/// H^½ e_1 of a symmetric tridiagonal matrix; rounding may leave eigenvalues slightly below 0, which count as 0.
fn root_coefficients(diagonal: &[f64], off_diagonal: &[f64]) -> Vec<f64> {
    let n = diagonal.len();
    let matrix = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => off_diagonal[i.min(j)],
        _ => 0.0,
    });
    let eigen = SymmetricEigen::new(matrix);
    (0..n)
        .map(|i| {
            let terms = (0..n).map(|k| {
                eigen.eigenvectors[(i, k)] * eigen.eigenvalues[k].max(0.0).sqrt() * eigen.eigenvectors[(0, k)]
            });
            terms.sum()
        })
        .collect()
}

fn length(a: &[f64]) -> f64 {
    norm_squared(a).sqrt()
}

/// Distance of two vectors, the shorter one continued by zeros.
fn distance(long: &[f64], short: &[f64]) -> f64 {
    let rest = &long[short.len()..];
    let near: f64 = long.iter().zip(short).map(|(a, b)| (a - b) * (a - b)).sum();
    (near + norm_squared(rest)).sqrt()
}

impl<'a> GradientPart<'a> {
    fn new(slope: Slope, at: &'a Points, value_points: &'a Points) -> Self {
        let (d, n) = (at.input_dim() as f64, at.count());
        let step = 1.0 - slope.value();
        let h = step * step / (2.0 * std::f64::consts::PI);
        let square = |x: &[f64]| 1.0 + norm_squared(x) / d;
        let squares: Vec<f64> = at.iter().map(square).collect();
        let value_squares: Vec<f64> = value_points.iter().map(square).collect();
        // √D = s s' sin θ, with θ from Φ = ((1+γ²)π − (1−γ)²θ)/2π.
        let full = (1.0 + slope.value() * slope.value()) * std::f64::consts::PI;
        let root = |phi: f64, p: f64, q: f64| {
            let angle = (full - 2.0 * std::f64::consts::PI * phi) / (step * step);
            if angle < NEARLY_PARALLEL { 0.0 } else { angle.sin() * (p * q).sqrt() }
        };
        let mut duals = cross_gram(Kernel::DerivativeDual, slope, at, at);
        let mut inner = vec![0.0; n * n];
        let columns = view(at.as_columns().as_slice(), at.input_dim(), n);
        multiply_parallel(&mut inner, Store::Replace, 1.0 / d, columns.transpose(), columns);
        let mut sweep = DMatrix::zeros(n, n);
        let mut sweep_c = DMatrix::zeros(n, n);
        for l in 0..n {
            for k in (0..n).filter(|k| *k != l) {
                let root = root(duals[(k, l)], squares[k], squares[l]);
                sweep[(k, l)] = if root > 0.0 { h / (d * d * root) } else { 0.0 };
                sweep_c[(k, l)] = (1.0 + inner[l * n + k]) * sweep[(k, l)];
            }
        }
        let mut cross = cross_gram(Kernel::DerivativeDual, slope, value_points, at);
        let cross_own = DMatrix::from_fn(value_points.count(), n, |j, k| {
            h * root(cross[(j, k)], squares[k], value_squares[j]) / (squares[k] * d)
        });
        duals.iter_mut().chain(cross.iter_mut()).for_each(|phi| *phi /= d);
        GradientPart { at, value_points, duals, sweep, sweep_c, squares, cross, cross_own }
    }

    /// Adds the parts of the covariance product that gradients give and take, some gradients at a time.
    fn add_product(&self, w: &[f64], v: &[f64], values: &mut [f64], gradients: &mut [f64]) {
        let d = self.at.input_dim();
        let own: Vec<f64> = self.at.iter().zip(v.chunks_exact(d)).map(|(x, v)| dot(x, v)).collect();
        let blocks = gradients.par_chunks_mut(d * BLOCK).enumerate();
        let parts: Vec<Vec<f64>> = blocks.map(|(index, out)| self.add_block(w, v, &own, index * BLOCK, out)).collect();
        for part in parts {
            values.iter_mut().zip(&part).for_each(|(sum, v)| *sum += v);
        }
    }

    /// The product at the gradients from `first` on; returns what these add to the values.
    fn add_block(&self, w: &[f64], v: &[f64], own: &[f64], first: usize, gradients: &mut [f64]) -> Vec<f64> {
        let ((d, n), m) = (self.at.as_columns().shape(), w.len());
        let size = gradients.len() / d;
        let x = view(self.at.as_columns().as_slice(), d, n);
        let z = view(self.value_points.as_columns().as_slice(), d, m);
        let v = view(v, d, n);
        let mut multiples = vec![0.0; size];
        // Column k: ⟨v_l, x_k⟩, turned into the weights of the x_l in the gradient at x_k.
        let mut mix = vec![0.0; n * size];
        multiply(view_mut(&mut mix, n, size), Store::Replace, 1.0, v.transpose(), x.subcols(first, size));
        for (offset, column) in mix.chunks_exact_mut(n).enumerate() {
            let k = first + offset;
            let (sweep, sweep_c) = (self.sweep.column(k), self.sweep_c.column(k));
            for (l, entry) in column.iter_mut().enumerate() {
                // x zᵀ and −(c/p) x xᵀ with x = x_k, z = x_l.
                multiples[offset] += sweep[l] * own[l] - sweep_c[l] / self.squares[k] * *entry;
                // z xᵀ and −(c/q) z zᵀ.
                *entry = sweep[l] * *entry - sweep_c[l] / self.squares[l] * own[l];
            }
        }
        let target = |gradients: &mut [f64], store, lhs, rhs| {
            multiply(view_mut(gradients, d, size), store, 1.0, lhs, rhs);
        };
        target(gradients, Store::Replace, v, view(self.duals.as_slice(), n, n).subcols(first, size));
        target(gradients, Store::Add, x, view(&mix, n, size));

        // E ∇f_0 f_0 in both directions.
        let mut values = vec![0.0; m];
        let mut cross = vec![0.0; m * size];
        multiply(view_mut(&mut cross, m, size), Store::Replace, 1.0, z.transpose(), v.subcols(first, size));
        for (offset, column) in cross.chunks_exact_mut(m).enumerate() {
            let k = first + offset;
            for (j, entry) in column.iter_mut().enumerate() {
                multiples[offset] += w[j] * self.cross_own[(j, k)];
                values[j] += self.cross[(j, k)] * *entry + self.cross_own[(j, k)] * own[k];
                *entry = w[j] * self.cross[(j, k)];
            }
        }
        target(gradients, Store::Add, z, view(&cross, m, size));
        for ((gradient, x), multiple) in gradients.chunks_exact_mut(d).zip(self.at.iter().skip(first)).zip(&multiples) {
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g += multiple * x);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Pair;

    fn points(count: usize, phase: f64) -> Points {
        let values = (0..count * 3).map(|i| 1.3 * (phase + 1.7 * i as f64).sin()).collect();
        Points::from_rows("x", count, 3, values).unwrap()
    }

    /// The covariance as a dense matrix, column by column.
    fn dense(process: &InitialProcess) -> DMatrix<f64> {
        let n = process.len();
        let columns: Vec<f64> = (0..n)
            .flat_map(|i| {
                let mut unit = vec![0.0; n];
                unit[i] = 1.0;
                process.covariance_product(&unit)
            })
            .collect();
        DMatrix::from_vec(n, n, columns)
    }

    fn value(slope: Slope, x: &[f64], z: &[f64]) -> f64 {
        Pair::new(x, z).value_dual(slope)
    }

    fn moved(x: &[f64], axis: usize, step: f64) -> Vec<f64> {
        let mut x = x.to_vec();
        x[axis] += step;
        x
    }

    //= test K9@ecf9330b
    #[test]
    fn covariances_of_gradients_are_derivatives_of_the_covariance() {
        let (at, test) = (points(4, 0.3), points(3, 2.0));
        for slope in [Slope::RELU, Slope::new(0.3).unwrap()] {
            let process = InitialProcess::new(slope, &test, Some(&at)).unwrap();
            let covariance = dense(&process);
            assert!((&covariance - covariance.transpose()).amax() < 1e-14);
            let h = 1e-4;
            for (k, x) in at.iter().enumerate() {
                for i in 0..3 {
                    let row = 3 + 3 * k + i;
                    for (j, z) in test.iter().enumerate() {
                        let slope_x = |s: f64| value(slope, &moved(x, i, s), z);
                        let derivative = (slope_x(h) - slope_x(-h)) / (2.0 * h);
                        // Central differences: h²/6 of a third derivative of size 1, and ε/h of rounding: 10⁻⁸.
                        assert!((covariance[(row, j)] - derivative).abs() < 1e-8, "{k} {i} {j}");
                    }
                    for (l, z) in at.iter().enumerate().filter(|(l, _)| *l != k) {
                        for j in 0..3 {
                            let mixed = |s: f64, t: f64| value(slope, &moved(x, i, s), &moved(z, j, t));
                            let second = (mixed(h, h) - mixed(h, -h) - mixed(-h, h) + mixed(-h, -h)) / (4.0 * h * h);
                            // The rounding is ε/h² here: 10⁻⁷.
                            assert!((covariance[(row, 3 + 3 * l + j)] - second).abs() < 1e-6, "{k} {i} {l} {j}");
                        }
                    }
                    for j in 0..3 {
                        let own = if i == j { (1.0 + slope.value().powi(2)) / 6.0 } else { 0.0 };
                        assert!((covariance[(row, 3 + 3 * k + j)] - own).abs() < 1e-15);
                    }
                }
            }
        }
    }

    #[test]
    fn many_points_have_the_covariance_of_the_few_among_them() {
        // More than a block: points 62 … 69 alone, and among 70.
        let (many, test) = (points(70, 0.7), points(3, 2.0));
        let few = many.select(&(62..70).collect::<Vec<_>>());
        let slope = Slope::new(0.2).unwrap();
        let among = InitialProcess::new(slope, &test, Some(&many)).unwrap();
        let alone = InitialProcess::new(slope, &test, Some(&few)).unwrap();
        let vector: Vec<f64> = (0..alone.len()).map(|i| (0.3 + 1.1 * i as f64).sin()).collect();
        let mut embedded = vec![0.0; among.len()];
        embedded[..3].copy_from_slice(&vector[..3]);
        embedded[3 + 3 * 62..].copy_from_slice(&vector[3..]);
        let (whole, part) = (among.covariance_product(&embedded), alone.covariance_product(&vector));
        let pairs = whole[..3].iter().chain(&whole[3 + 3 * 62..]).zip(&part);
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-13);
    }

    /// ‖found − C^½ξ‖/‖found‖ of [`InitialProcess::root_product`] against a dense square root.
    fn root_error(process: &InitialProcess, white: &[f64]) -> f64 {
        let eigen = SymmetricEigen::new(dense(process));
        assert!(eigen.eigenvalues.min() > -1e-13, "a covariance");
        let root = &eigen.eigenvectors
            * DMatrix::from_diagonal(&eigen.eigenvalues.map(|v| v.max(0.0).sqrt()))
            * eigen.eigenvectors.transpose();
        let exact = &root * DMatrix::from_column_slice(white.len(), 1, white);
        let found = process.root_product(white).unwrap();
        distance(&found, exact.as_slice()) / length(&found)
    }

    #[test]
    fn the_square_root_agrees_with_the_dense_one() {
        // Of 23 numbers, where the method ends with nearly all steps that there are, and of 180, where it stops far before.
        for (slope, gradients, values) in [(0.0, 6, 5), (0.0, 40, 60), (0.3, 40, 60)] {
            let (at, test) = (points(gradients, 0.1), points(values, 1.1));
            let process = InitialProcess::new(Slope::new(slope).unwrap(), &test, Some(&at)).unwrap();
            let white: Vec<f64> = (0..process.len()).map(|i| (0.9 + 2.3 * (i * i) as f64).cos()).collect();
            let error = root_error(&process, &white);
            // What SAMPLE_TOLERANCE says of a sample: half a percent of its length. Here it is 0.4 %; with three times the tolerance 1 %.
            assert!(error <= 5e-3, "{error} at γ = {slope} for {gradients} gradients and {values} values");
        }
        // Vectors made anew are those kept, bit by bit.
        let (at, test) = (points(6, 0.1), points(5, 1.1));
        let process = InitialProcess::new(Slope::RELU, &test, Some(&at)).unwrap();
        let white: Vec<f64> = (0..process.len()).map(|i| (0.9 + 2.3 * i as f64).cos()).collect();
        let coefficients: Vec<f64> = (0..8).map(|k| 1.0 / f64::from(k + 1)).collect();
        let mut lanczos = Lanczos::new(&process, &white, length(&white));
        let kept = (0..8)
            .map(|_| {
                let q = lanczos.current.clone();
                lanczos.advance();
                q
            })
            .collect();
        let norm = length(&white);
        let anew = process.assemble(&white, norm, &coefficients, None);
        assert_eq!(process.assemble(&white, norm, &coefficients, Some(kept)), anew);
    }

    #[test]
    fn values_alone_and_repeated_points_are_sampled_too() {
        let twice = Points::from_rows("x", 2, 3, [points(1, 0.4).point(0), points(1, 0.4).point(0)].concat()).unwrap();
        let process = InitialProcess::new(Slope::RELU, &twice, None).unwrap();
        let sample = process.sample(&Streams::new(0, "test"), 0).unwrap();
        assert!((sample.values[0] - sample.values[1]).abs() < 1e-6 && sample.values[0] != 0.0);
        assert!(sample.gradients.is_empty());
        let both = InitialProcess::new(Slope::RELU, &twice, Some(&twice)).unwrap();
        assert!(both.sample(&Streams::new(0, "test"), 1).unwrap().gradients.iter().all(|v| v.is_finite()));
        let other = Points::from_rows("z", 1, 2, vec![0.0, 1.0]).unwrap();
        assert!(InitialProcess::new(Slope::RELU, &other, Some(&twice)).is_err());
    }
}
