//! Instruments on networks at initialisation and after descent: means and variances against closed forms.

use perturbation_learning::network::Initialisation;
use perturbation_learning::problem::Points;
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::theory::bound::{Geometry, mean_drift_bound};
use rayon::prelude::*;

use crate::evidence::Evidence;
use crate::instrument::Instrument;
use crate::lab::{DIM, Lab, Law, PAIRED, PAIRED_GAUSSIAN, Recipe, STANDARD, STANDARD_GAUSSIAN, by_point, streams};
use crate::program::Program;
use crate::theory::Theory;

/// F̂₀ at every test point of independent networks, for two laws of different kinds.
///
/// The mean of F̂₀ is F and its variance Var X/m, exactly at every width (K2, W1).
pub struct InitialKernel {
    pub lab: Lab,
    pub name: &'static str,
    pub networks: usize,
    /// Independent neurons or pairs: so many that the tail of the mean of squares is near enough to normal.
    pub copies: usize,
    pub moments: Moments,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Moments {
    First,
    Second,
}

const LAWS: [Law; 2] = [STANDARD, PAIRED_GAUSSIAN];

/// Skewness allowed for with these laws, above what is found: F̂₀ of 16 neurons .4, of 16 pairs with Gaussian readouts 1.4.
const OF_MEANS: [f64; 2] = [1.0, 2.0];
/// Squares of it, of 32: 3.3, 6.5.
const OF_SQUARES: [f64; 2] = [4.0, 8.0];
/// f₀² of 32 neurons: 3.2.
const OF_STARTS: f64 = 4.0;

impl InitialKernel {
    fn width(&self, law: Law) -> usize {
        if law.is_paired() { 2 * self.copies } else { self.copies }
    }
}

impl Instrument for InitialKernel {
    type Sample = Vec<Vec<Vec<f64>>>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn sample(&self, program: &dyn Program) -> Self::Sample {
        let rates = |law: Law| {
            let one = |index| {
                let drawn = program.draw(DIM, self.width(law), law, streams(&format!("kernel/{law:?}"), index));
                program.rate(&drawn, &self.lab.train, self.lab.slope, &self.lab.test)
            };
            by_point(&(0..self.networks).into_par_iter().map(one).collect::<Vec<_>>())
        };
        LAWS.map(rates).into()
    }

    fn judge(&self, theory: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        let Lab { train, test, slope } = &self.lab;
        let limit = theory.limit(train, *slope, test);
        let error = alpha(self.name) / (LAWS.len() * test.count()) as f64;
        let judge_law = |(index, (law, points)): (usize, (&Law, &Vec<Vec<f64>>))| -> Vec<Evidence> {
            let variance = theory.variance(train, *slope, test, *law);
            let judge_point = |(j, values): (usize, &Vec<f64>)| match self.moments {
                Moments::First => Evidence::mean_of_skewed(values, OF_MEANS[index], limit[j], error),
                Moments::Second => {
                    let scale = self.width(*law) as f64 / variance[j];
                    let squares: Vec<f64> = values.iter().map(|v| scale * (v - limit[j]).powi(2)).collect();
                    Evidence::mean_of_skewed(&squares, OF_SQUARES[index], 1.0, error)
                }
            };
            points.iter().enumerate().map(judge_point).collect()
        };
        LAWS.iter().zip(sample).enumerate().flat_map(judge_law).collect()
    }
}

/// f₀² at the test points against Σ(z, z) (K6): under standard initialisation, and exactly 0 for pairs.
pub struct Start {
    pub lab: Lab,
    pub networks: usize,
}

impl Instrument for Start {
    type Sample = Vec<Vec<Vec<f64>>>;

    fn name(&self) -> &'static str {
        "power: output at initialisation"
    }

    fn sample(&self, program: &dyn Program) -> Self::Sample {
        let squares = |law: Law| {
            let one = |index| {
                let drawn = program.draw(DIM, 32, law, streams(&format!("start/{law:?}"), index));
                let values = program.outputs(&drawn, self.lab.slope, &self.lab.test);
                values.into_iter().map(|f| f * f).collect()
            };
            by_point(&(0..self.networks).into_par_iter().map(one).collect::<Vec<_>>())
        };
        [STANDARD, PAIRED].map(squares).into()
    }

    fn judge(&self, theory: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        let error = alpha(self.name()) / (2 * self.lab.test.count()) as f64;
        let inits = [Initialisation::Standard, Initialisation::Antisymmetric];
        let judge_law = |(init, points): (Initialisation, &Vec<Vec<f64>>)| -> Vec<Evidence> {
            let expected = theory.start(self.lab.slope, &self.lab.test, init);
            let judge = |(values, start): (&Vec<f64>, f64)| Evidence::mean_of_skewed(values, OF_STARTS, start, error);
            points.iter().zip(expected).map(judge).collect()
        };
        inits.into_iter().zip(sample).flat_map(judge_law).collect()
    }
}

/// f_T − f₀ after descent with momentum against T·F: the mean of the difference is at most W5's bound on the mean drift.
///
/// W5 is stated for the flow. It holds for descent: the gradient of step k has moved a pre-activation by at most |a| t_k v by
/// then, t_k = Σ_{j<k} w_j at most, where w_j is the flow time that gradient j carries in the end; the drift's sweeping
/// part is a sum Σ w_k (window at t_k) ≤ ∫ (window at t) dt, and its kink part depends on the whole way only.
pub struct Trained {
    pub lab: Lab,
    pub networks: usize,
    pub recipe: Recipe,
}

const TRAINED_WIDTH: usize = 128;

impl Instrument for Trained {
    type Sample = Vec<Vec<f64>>;

    fn name(&self) -> &'static str {
        "power: change by training"
    }

    fn sample(&self, program: &dyn Program) -> Self::Sample {
        let Lab { train, test, slope } = &self.lab;
        let one = |index| -> Vec<f64> {
            let drawn = program.draw(DIM, TRAINED_WIDTH, STANDARD_GAUSSIAN, streams("trained", index));
            let trained = program.descend(&drawn, train, *slope, self.recipe);
            let (before, after) = (program.outputs(&drawn, *slope, test), program.outputs(&trained, *slope, test));
            after.iter().zip(before).map(|(f, start)| f - start).collect()
        };
        by_point(&(0..self.networks).into_par_iter().map(one).collect::<Vec<_>>())
    }

    fn judge(&self, theory: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        let Lab { train, test, slope } = &self.lab;
        let (limit, time) = (theory.limit(train, *slope, test), theory.flow_time(self.recipe));
        let law = STANDARD_GAUSSIAN.of_width(TRAINED_WIDTH);
        let drift = mean_drift_bound(&Geometry::new(train, *slope, test).unwrap(), law, time).unwrap();
        let error = alpha(self.name()) / test.count() as f64;
        let points = sample.iter().zip(limit).zip(drift);
        points.map(|((values, f), drift)| Evidence::mean(values, time * f, drift, error)).collect()
    }
}

/// The squared loss's formula against its own differential equation, ∂_t f = (1/N) Θ(·,X)(y − f): exact, K4.
///
/// Runge–Kutta of order four with h‖Θ‖/N < 0.02 errs by less than 10⁻¹⁰ of the residual; 10⁻⁸ is allowed.
pub struct SquaredLoss {
    pub lab: Lab,
}

impl Instrument for SquaredLoss {
    type Sample = ();

    fn name(&self) -> &'static str {
        "squared loss against its equation"
    }

    fn sample(&self, _: &dyn Program) {}

    fn judge(&self, theory: &dyn Theory, (): &()) -> Vec<Evidence> {
        let Lab { train, test, slope } = &self.lab;
        let (n, time, steps) = (train.count(), 2.0, 4000);
        let start: Vec<f64> = (0..n).map(|k| 0.3 * (1.7 * k as f64).sin()).collect();
        let everywhere = [train.points(), test].map(|points: &Points| points.as_columns().as_slice()).concat();
        let everywhere = Points::from_rows("x", n + test.count(), DIM, everywhere).unwrap();
        let kernel: Vec<Vec<f64>> = everywhere
            .iter()
            .map(|z| {
                let with = |x: &[f64]| perturbation_learning::theory::Pair::new(x, z).ntk(*slope) / n as f64;
                train.points().iter().map(with).collect()
            })
            .collect();
        let velocity = |f: &[f64]| -> Vec<f64> {
            let residual: Vec<f64> = train.labels().iter().zip(f).map(|(y, f)| y - f).collect();
            kernel.iter().map(|row| row.iter().zip(&residual).map(|(k, r)| k * r).sum()).collect()
        };
        let moved = |f: &[f64], v: &[f64], h: f64| -> Vec<f64> { f.iter().zip(v).map(|(f, v)| f + h * v).collect() };
        let mut f = start.clone();
        f.resize(n + test.count(), 0.0);
        let h = time / f64::from(steps);
        for _ in 0..steps {
            let first = velocity(&f);
            let second = velocity(&moved(&f, &first, 0.5 * h));
            let third = velocity(&moved(&f, &second, 0.5 * h));
            let fourth = velocity(&moved(&f, &third, h));
            for j in 0..f.len() {
                f[j] += h / 6.0 * (first[j] + 2.0 * second[j] + 2.0 * third[j] + fourth[j]);
            }
        }
        let formula = theory.squared(train, *slope, time, &start, test);
        formula.iter().zip(&f[n..]).map(|(a, b)| Evidence::Exact { excess: (a - b).abs() / 1e-8 }).collect()
    }
}
