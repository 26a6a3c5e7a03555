//! The initial network of infinite width, f_0 and ∇f_0 together, sampled exactly.
//!
//! f_0 at the test points and ∇f_0 at the training points are jointly Gaussian in the limit, with covariances (ReLU,
//! p = s(x)², q = s(x')², c = 1 + ⟨x,x'⟩/d, D = pq − c², Φ = (π−θ)/(2π))
//! - E f_0(z) f_0(z') = Σ(z, z');
//! - E ∇f_0(x) f_0(z) = ∂_x Σ = Φ z/d + √D x/(2πpd);
//! - E ∇f_0(x) ∇f_0(x')ᵀ = ∂_x ∂_x' Σ = Φ I/d + (x'xᵀ + xx'ᵀ − (c/q) x'x'ᵀ − (c/p) xxᵀ)/(2πd²√D), and I/(2d) at x = x'.
//!
//! Sampling is by Cholesky factorisation of the whole matrix, (M + dN) × (M + dN).

use std::f64::consts::PI;

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use perturbation_learning::problem::Points;
use perturbation_learning::random::Streams;
use perturbation_learning::theory::{Kernel, gram};
use rand_distr::{Distribution, StandardNormal};

use super::study::SLOPE;

/// The joint law of f_0 at test points and ∇f_0 at training points.
pub struct InitialProcess {
    root: Cholesky<f64, Dyn>,
    test: usize,
    shape: (usize, usize),
}

/// (p, q, c, √D, Φ) of a pair.
fn parts(x: &[f64], z: &[f64]) -> (f64, f64, f64, f64, f64) {
    let d = x.len() as f64;
    let product = |a: &[f64], b: &[f64]| 1.0 + a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / d;
    let (p, q, c) = (product(x, x), product(z, z), product(x, z));
    let sine = (p * q - c * c).max(0.0).sqrt();
    (p, q, c, sine, (PI - sine.atan2(c)) / (2.0 * PI))
}

impl InitialProcess {
    /// For the given points, no two training points equal.
    pub fn new(train: &Points, test: &Points) -> Self {
        let (d, n, m) = (train.input_dim(), train.count(), test.count());
        let mut covariance = DMatrix::zeros(m + d * n, m + d * n);
        covariance.view_mut((0, 0), (m, m)).copy_from(&gram(Kernel::ValueDual, SLOPE, test));
        let scale = 1.0 / d as f64;
        for (k, x) in train.iter().enumerate() {
            let row = m + d * k;
            for (j, z) in test.iter().enumerate() {
                let (p, _, _, sine, dual) = parts(x, z);
                for i in 0..d {
                    covariance[(row + i, j)] = scale * (dual * z[i] + sine / (2.0 * PI * p) * x[i]);
                }
            }
            for (l, y) in train.iter().enumerate().take(k + 1) {
                let (p, q, c, sine, dual) = parts(x, y);
                for i in 0..d {
                    for j in 0..d {
                        let sweep = y[i] * x[j] + x[i] * y[j] - c / q * y[i] * y[j] - c / p * x[i] * x[j];
                        let unit = if i == j { scale } else { 0.0 };
                        covariance[(row + i, m + d * l + j)] =
                            if k == l { 0.5 * unit } else { dual * unit + scale * scale * sweep / (2.0 * PI * sine) };
                    }
                }
            }
        }
        // Only the lower triangle is read. The matrix is a covariance: positive definite unless points coincide.
        let root = Cholesky::new(covariance).expect("a covariance of distinct points");
        InitialProcess { root, test: m, shape: (d, n) }
    }

    /// Sample number `index`: f_0 at the test points and ∇f_0 at the training points (d × N).
    pub fn sample(&self, streams: &Streams, index: usize) -> (Vec<f64>, DMatrix<f64>) {
        let mut rng = streams.stream(index as u64);
        let white = DVector::from_fn(self.test + self.shape.0 * self.shape.1, |_, _| StandardNormal.sample(&mut rng));
        let sample: DVector<f64> = self.root.l_dirty().lower_triangle() * white;
        let (values, gradients) = sample.as_slice().split_at(self.test);
        (values.to_vec(), DMatrix::from_column_slice(self.shape.0, self.shape.1, gradients))
    }
}
