//! The theory, twice: the library's, and a slow one by pairs of points into which a fault can be put.

use std::f64::consts::PI;

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use perturbation_learning::network::Initialisation;
use perturbation_learning::problem::{Horizon, Points, Slope, TrainingSet};
use perturbation_learning::theory::{Kernel, Pair, Predictor, kernel_variance};

use crate::fault::Fault;
use crate::lab::{Law, Recipe};

/// What a theory states, and a program is judged by.
pub trait Theory: Sync {
    /// F at the test points: change of f per unit of time.
    fn limit(&self, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64>;
    /// width·Var F̂₀ at the test points.
    fn variance(&self, train: &TrainingSet, slope: Slope, test: &Points, law: Law) -> Vec<f64>;
    /// E f₀² at the test points.
    fn start(&self, slope: Slope, test: &Points, init: Initialisation) -> Vec<f64>;
    /// ∇F at the training points.
    fn gradient(&self, train: &TrainingSet, slope: Slope) -> DMatrix<f64>;
    /// Change of f at the test points under the squared loss, from given values at the training points.
    fn squared(&self, train: &TrainingSet, slope: Slope, time: f64, start: &[f64], test: &Points) -> Vec<f64>;
    /// The flow time that a descent amounts to.
    fn flow_time(&self, recipe: Recipe) -> f64;
}

/// The library's theory.
pub struct Library;

impl Theory for Library {
    fn limit(&self, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64> {
        Predictor::identity(train, slope, 1.0).unwrap().values(test).unwrap()
    }

    fn variance(&self, train: &TrainingSet, slope: Slope, test: &Points, law: Law) -> Vec<f64> {
        let fourth_moment = if law.readout == perturbation_learning::network::Readout::Gaussian { 3.0 } else { 1.0 };
        let pairs = if law.is_paired() { 2.0 } else { 1.0 };
        let variance = kernel_variance(train, slope, test, fourth_moment).unwrap();
        variance.into_iter().map(|v| pairs * v).collect()
    }

    fn start(&self, slope: Slope, test: &Points, init: Initialisation) -> Vec<f64> {
        let random = if init == Initialisation::Standard { 1.0 } else { 0.0 };
        test.iter().map(|z| random * Kernel::ValueDual.of(slope, &Pair::new(z, z))).collect()
    }

    fn gradient(&self, train: &TrainingSet, slope: Slope) -> DMatrix<f64> {
        Predictor::identity(train, slope, 1.0).unwrap().gradient(train.points()).unwrap()
    }

    fn squared(&self, train: &TrainingSet, slope: Slope, time: f64, start: &[f64], test: &Points) -> Vec<f64> {
        let horizon = Horizon::new(time).unwrap();
        Predictor::squared(train, slope, horizon, Some(start)).unwrap().values(test).unwrap()
    }

    fn flow_time(&self, Recipe { rate, steps, momentum }: Recipe) -> f64 {
        // The sum over steps of K5, summed there.
        rate / (1.0 - momentum) * (steps as f64 - momentum * (1.0 - momentum.powi(steps as i32)) / (1.0 - momentum))
    }
}

/// The slow theory, with or without a fault.
pub struct Naive(pub Option<Fault>);

impl Naive {
    fn has(&self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// (x/√d, 1).
    fn augmented(&self, x: &[f64]) -> Vec<f64> {
        let scale = if self.has(Fault::FanInForgotten) { 1.0 } else { (x.len() as f64).sqrt() };
        let no_bias = self.has(Fault::BiasDroppedFromDual) || self.has(Fault::BiasDroppedFromBoth);
        x.iter().map(|v| v / scale).chain([if no_bias { 0.0 } else { 1.0 }]).collect()
    }

    fn norm(&self, x: &[f64]) -> f64 {
        self.augmented(x).iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    /// The angle of two augmented inputs by the half-angle formula D4.
    pub fn angle(&self, x: &[f64], z: &[f64]) -> f64 {
        let (a, b) = (self.augmented(x), self.augmented(z));
        let (norm_a, norm_b) = (self.norm(x), self.norm(z));
        let length = |sign: f64| {
            let parts = a.iter().zip(&b).map(|(a, b)| (a / norm_a + sign * b / norm_b).powi(2));
            parts.sum::<f64>().sqrt()
        };
        let angle = 2.0 * length(-1.0).atan2(length(1.0));
        if self.has(Fault::AngleForSupplement) { PI - angle } else { angle }
    }

    /// Φ as a function of the angle, D1.
    fn dual(&self, slope: Slope, angle: f64) -> f64 {
        let g = slope.value();
        let square = if self.has(Fault::SlopeUnsquared) { g } else { g * g };
        ((1.0 + square) * (PI - angle) + 2.0 * g * angle) / (2.0 * PI)
    }

    /// ⟨x,z⟩ + 1.
    fn product(&self, x: &[f64], z: &[f64]) -> f64 {
        let no_bias = self.has(Fault::BiasDroppedFromKernel) || self.has(Fault::BiasDroppedFromBoth);
        inner(x, z) + if no_bias { 0.0 } else { 1.0 }
    }

    /// Σ, D3.
    fn value_dual(&self, slope: Slope, x: &[f64], z: &[f64]) -> f64 {
        let (g, angle) = (slope.value(), self.angle(x, z));
        let scale = if self.has(Fault::ScaleDroppedFromStart) { 1.0 } else { self.norm(x) * self.norm(z) };
        scale * (g * angle.cos() + (1.0 - g).powi(2) * (angle.sin() + (PI - angle) * angle.cos()) / (2.0 * PI))
    }

    fn kernel(&self, slope: Slope, x: &[f64], z: &[f64]) -> f64 {
        let both = if self.has(Fault::BothLayersForOne) { self.value_dual(slope, x, z) } else { 0.0 };
        self.dual(slope, self.angle(x, z)) * self.product(x, z) + both
    }

    /// y_k (⟨x_k,z⟩ + 1)/N.
    pub fn signed_gram(&self, train: &TrainingSet, z: &[f64]) -> Vec<f64> {
        let scale = if self.has(Fault::SumForMean) { 1.0 } else { train.count() as f64 };
        let sign = if self.has(Fault::LabelsFlippedInTheory) { -1.0 } else { 1.0 };
        let points = train.points().iter().zip(train.labels());
        points.map(|(x, y)| sign * y * self.product(x, z) / scale).collect()
    }

    /// E φ'(u_z)² φ'(u_n)φ'(u_k), D7.
    fn orthants(&self, slope: Slope, z: &[f64], x: &[f64], other: &[f64]) -> f64 {
        let g = slope.value();
        let (with_x, with_other, both) = (self.angle(z, x), self.angle(z, other), self.angle(x, other));
        let pair = |angle: f64| 0.5 - angle / (2.0 * PI);
        let three = 0.5 - (with_x + with_other + both) / (4.0 * PI);
        let positive = g * g / 2.0 + g * (1.0 - g) * (pair(with_x) + pair(with_other)) + (1.0 - g).powi(2) * three;
        g * g * self.dual(slope, both) + (1.0 - g * g) * positive
    }

    /// Var B at one point, W1: the variance of a neuron's rate for readouts ±1.
    pub fn neuron_variance(&self, train: &TrainingSet, slope: Slope, z: &[f64], fourth_moment: f64) -> f64 {
        let weights = self.signed_gram(train, z);
        let mut second_moment = 0.0;
        for (x, c) in train.points().iter().zip(&weights) {
            for (other, e) in train.points().iter().zip(&weights) {
                second_moment += c * e * self.orthants(slope, z, x, other);
            }
        }
        let mean: f64 = train.points().iter().zip(&weights).map(|(x, c)| c * self.dual(slope, self.angle(x, z))).sum();
        let square = if self.has(Fault::SecondMomentForVariance) { 0.0 } else { mean * mean };
        fourth_moment * second_moment - square
    }
}

impl Theory for Naive {
    fn limit(&self, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64> {
        if self.has(Fault::StandardisedTwice) {
            let (train, test) = standardised(train, test);
            return Naive(None).limit(&train, slope, &test);
        }
        let n = if self.has(Fault::SumForMean) { 1.0 } else { train.count() as f64 };
        let sign = if self.has(Fault::LabelsFlippedInTheory) { -1.0 } else { 1.0 };
        let value = |z: &[f64]| {
            let points = train.points().iter().zip(train.labels());
            points.map(|(x, y)| sign * y * self.kernel(slope, x, z)).sum::<f64>() / n
        };
        test.iter().map(value).collect()
    }

    fn variance(&self, train: &TrainingSet, slope: Slope, test: &Points, law: Law) -> Vec<f64> {
        let gaussian = law.readout == perturbation_learning::network::Readout::Gaussian;
        let fourth_moment = if gaussian && !self.has(Fault::FourthMomentOne) { 3.0 } else { 1.0 };
        let pairs = if law.is_paired() && !self.has(Fault::PairsAsIndependent) { 2.0 } else { 1.0 };
        let factor = match self.0 {
            Some(Fault::VarianceTenPercentLow) => 0.9,
            Some(Fault::VarianceTenPercentHigh) => 1.1,
            _ => 1.0,
        };
        test.iter().map(|z| factor * pairs * self.neuron_variance(train, slope, z, fourth_moment)).collect()
    }

    fn start(&self, slope: Slope, test: &Points, init: Initialisation) -> Vec<f64> {
        let random = init == Initialisation::Standard && !self.has(Fault::StartForgotten);
        test.iter().map(|z| if random { self.value_dual(slope, z, z) } else { 0.0 }).collect()
    }

    fn gradient(&self, train: &TrainingSet, slope: Slope) -> DMatrix<f64> {
        let (g, d, n) = (slope.value(), train.input_dim() as f64, train.count() as f64);
        let boundary = match self.0 {
            Some(Fault::BoundaryDropped) => 0.0,
            Some(Fault::BoundaryReversed) => -1.0,
            _ => 1.0,
        };
        let mut gradient = DMatrix::zeros(train.input_dim(), train.count());
        for (j, x) in train.points().iter().enumerate() {
            for (k, (other, y)) in train.points().iter().zip(train.labels()).enumerate() {
                let angle = self.angle(x, other);
                let weight = match self.0 {
                    Some(Fault::TangentKernelInDirection) => self.kernel(slope, x, other),
                    _ => self.dual(slope, angle),
                };
                // D8; the summand of the point itself is 0.
                let scale = if j == k { 0.0 } else { boundary * (1.0 - g).powi(2) / (2.0 * PI * d * angle.sin()) };
                let (s, s_other, rho) = (self.norm(x), self.norm(other), angle.cos());
                for row in 0..train.input_dim() {
                    let dual_change = scale * (other[row] / (s * s_other) - rho * x[row] / (s * s));
                    gradient[(row, j)] += y / n * (weight * other[row] + self.product(other, x) * dual_change);
                }
            }
        }
        gradient
    }

    fn squared(&self, train: &TrainingSet, slope: Slope, time: f64, start: &[f64], test: &Points) -> Vec<f64> {
        let count = train.count();
        let points = train.points();
        let kernel = DMatrix::from_fn(count, count, |n, k| self.kernel(slope, points.point(n), points.point(k)));
        let forgets = self.has(Fault::SquaredForgetsStart);
        let residual = train.labels().iter().zip(start).map(|(y, f)| if forgets { *y } else { y - f });
        let residual = DVector::from_iterator(count, residual);
        let n = if self.has(Fault::SquaredLacksCount) { 1.0 } else { count as f64 };
        let eigen = SymmetricEigen::new(kernel);
        let response = eigen.eigenvalues.map(|lambda| (1.0 - (-time * lambda / n).exp()) / lambda);
        let coefficients = &eigen.eigenvectors * (eigen.eigenvectors.transpose() * residual).component_mul(&response);
        let value = |z: &[f64]| points.iter().zip(&coefficients).map(|(x, c)| c * self.kernel(slope, x, z)).sum();
        test.iter().map(value).collect()
    }

    fn flow_time(&self, recipe: Recipe) -> f64 {
        let (rate, steps, beta) = (recipe.rate, recipe.steps, recipe.momentum);
        match self.0 {
            Some(Fault::MomentumIgnored) => return rate * steps as f64,
            Some(Fault::MomentumAlwaysSteady) => return rate * steps as f64 / (1.0 - beta),
            _ => {}
        }
        let steps = if self.has(Fault::TimeOffByOneStep) { steps + 1 } else { steps };
        let (mut velocity, mut time) = (0.0, 0.0);
        for _ in 0..steps {
            velocity = beta * velocity + 1.0;
            time += rate * velocity;
        }
        time
    }
}

pub fn inner(x: &[f64], z: &[f64]) -> f64 {
    x.iter().zip(z).map(|(x, z)| x * z).sum()
}

/// Every coordinate less the training points' mean, divided by their standard deviation.
fn standardised(train: &TrainingSet, test: &Points) -> (TrainingSet, Points) {
    let (rows, count) = train.points().as_columns().shape();
    let moments: Vec<(f64, f64)> = (0..rows)
        .map(|row| {
            let values: Vec<f64> = (0..count).map(|n| train.points().point(n)[row]).collect();
            let mean = values.iter().sum::<f64>() / count as f64;
            (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64).sqrt())
        })
        .collect();
    let apply = |points: &Points| {
        let moved =
            DMatrix::from_fn(rows, points.count(), |row, n| (points.point(n)[row] - moments[row].0) / moments[row].1);
        Points::from_columns("standardised", moved).unwrap()
    };
    (TrainingSet::new(apply(train.points()), train.labels().to_vec()).unwrap(), apply(test))
}
