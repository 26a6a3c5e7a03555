//! What rounding does to the numbers that the bounds are compared with: R1–R6 of `proofs/rounding.md`.
//!
//! γ_k = ku/(1 − ku), u = 2⁻⁵³; every error below is a count of roundings times the magnitude of what was rounded.
//! They hold for sums in any order, with or without fused multiply-add.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::linalg::norm_squared;
use crate::problem::{Points, Slope, TrainingSet};
use crate::theory::{Kernel, cross_gram};

/// u, the largest relative error of one rounding to nearest.
pub const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// γ_k = ku/(1 − ku), the relative error of k roundings; ∞ from ku = ½ on, where nothing is proved.
#[must_use]
pub fn rounding_factor(roundings: f64) -> f64 {
    let ku = roundings * UNIT_ROUNDOFF;
    if ku < 0.5 { ku / (1.0 - ku) } else { f64::INFINITY }
}

//= R1@171716b3
/// Dot products R1: "any order of summation: |fl(xᵀy) − xᵀy| ≤ γ_n |x|ᵀ|y|".
///
/// Inputs: `length` n and |x|ᵀ|y|. Underflow adds 2⁻¹⁰⁷⁴ per product. Tightness: observed/bound .90 for a few terms,
/// .05 for 4000 in sixteen running sums and data made for it (`tests/properties.rs`).
#[must_use]
pub fn dot_error_bound(length: usize, absolute_dot: f64) -> f64 {
    rounding_factor(length as f64) * absolute_dot + length as f64 * f64::from_bits(1)
}

/// κ*(z) = (1/N) Σ_k (‖x_k‖‖z‖ + 1), the size of the numbers that a velocity at z is summed from; at least 1.
///
/// # Panics
/// If `z` has another dimension.
#[must_use]
pub fn velocity_magnitude(train: &Points, z: &[f64]) -> f64 {
    assert_eq!(train.input_dim(), z.len(), "points of one space");
    let norms: f64 = train.iter().map(|x| norm_squared(x).sqrt()).sum();
    norms / train.count() as f64 * norm_squared(z).sqrt() + 1.0
}

//= R2@f9726a5a
/// Velocities R2: "a velocity computed as Σ_k Ĉ_k(z) φ_k and then updated U times errs by at most
/// (γ_{d+N+8} + U γ_{d+9}) κ*(z)".
///
/// Inputs: d, N, U, κ*(z) from [`velocity_magnitude`]. Tightness: observed/bound at most .20 (`tests/properties.rs`).
#[must_use]
pub fn velocity_error_bound(input_dim: usize, train_count: usize, updates: u64, magnitude: f64) -> f64 {
    velocity_roundings(input_dim, train_count, updates) * magnitude
}

fn velocity_roundings(input_dim: usize, train_count: usize, updates: u64) -> f64 {
    rounding_factor((input_dim + train_count + 8) as f64) + updates as f64 * rounding_factor((input_dim + 9) as f64)
}

//= R3@6caf78f1
/// Angles R3: "θ and π − θ of `Pair`, and those behind `gram` and `cross_gram`, have absolute error at most 13
/// γ_{2d+12}".
///
/// Input: d. The error of the arctangent is taken as 4 ε, as tested. Tightness: observed/bound at most .13
/// (`tests/properties.rs`): the constant is that of the fast route just before it hands nearly parallel pairs to the
/// exact one.
#[must_use]
pub fn angle_error_bound(input_dim: usize) -> f64 {
    13.0 * rounding_factor((2 * input_dim + 12) as f64)
}

//= R3@6caf78f1
/// R3 for nearly parallel inputs: "where ⟨x,z⟩ ≥ 0 and the lengths differ by a factor of at most 2, `Pair` keeps θ to a
/// relative error of at most γ_{5d+35}(1 + ‖l‖/√d), l the longer point".
///
/// Tightness: observed/bound at most .04, at every norm (`tests/properties.rs`).
#[must_use]
pub fn parallel_angle_error_bound(input_dim: usize, longer_norm: f64) -> f64 {
    rounding_factor((5 * input_dim + 35) as f64) * (1.0 + longer_norm / (input_dim as f64).sqrt())
}

/// R3 for Φ: (1−γ)²/(2π) times [`angle_error_bound`], plus γ_9 Φ.
#[must_use]
pub fn derivative_dual_error_bound(input_dim: usize, slope: Slope, dual: f64) -> f64 {
    (1.0 - slope.value()).powi(2) / (2.0 * PI) * angle_error_bound(input_dim) + rounding_factor(9.0) * dual
}

//= R4@ddf1edc0
/// Closed-form sums R4: "|F̂ − F| ≤ (1 + γ_{N+1}) (1/N) Σ ε_n + γ_{N+1} (1/N) Σ |Θ(x_n, z)|, ε_n the error of Θ by R3":
/// the error of the limit's change per unit of time at each test point.
///
/// Tightness: observed/bound at most .18 (`tests/properties.rs`).
///
/// # Errors
/// Test points of another dimension.
pub fn closed_form_error_bound(train: &TrainingSet, slope: Slope, test: &Points) -> Result<Vec<f64>> {
    train.points().same_dimension("test points", test)?;
    let (n, d) = (train.count(), train.input_dim());
    let duals = cross_gram(Kernel::DerivativeDual, slope, train.points(), test);
    let sum = rounding_factor((n + 1) as f64);
    let norms: Vec<f64> = train.points().iter().map(|x| norm_squared(x).sqrt()).collect();
    let columns = duals.as_slice().chunks_exact(n).zip(test.iter());
    Ok(columns
        .map(|(duals, z)| {
            let length = norm_squared(z).sqrt();
            let errors = duals.iter().zip(&norms).map(|(dual, norm)| {
                // |K| ≤ ‖x‖‖z‖ + 1; its error, the dual's, their product's rounding.
                let product = norm * length + 1.0;
                let dual_error = derivative_dual_error_bound(d, slope, *dual);
                let error = product * (dual_error + rounding_factor((d + 3) as f64) * (dual + dual_error));
                (1.0 + sum) * error + sum * product * (dual + dual_error)
            });
            errors.sum::<f64>() / n as f64
        })
        .collect())
}

//= R4@ddf1edc0
/// The variance R4: "Var X as [`kernel_variance`](crate::theory::kernel_variance) computes it has absolute error at
/// most 2(μ₄+1) κ*(z)² (γ_{2N+2d+30} + 13/(2π) γ_{2d+12} + γ_9)".
///
/// Inputs: d, N, κ*(z) from [`velocity_magnitude`], μ₄ = E ω² (3 Gaussian, 1 Rademacher). Tightness: observed/bound at
/// most .015 (`tests/properties.rs`).
#[must_use]
pub fn variance_error_bound(input_dim: usize, train_count: usize, magnitude: f64, fourth_moment: f64) -> f64 {
    let sums = rounding_factor((2 * train_count + 2 * input_dim + 30) as f64);
    let duals = angle_error_bound(input_dim) / (2.0 * PI) + rounding_factor(9.0);
    2.0 * (fourth_moment + 1.0) * magnitude * magnitude * (sums + duals)
}

/// How far rounding may have moved a neuron's flow from its starting numbers at one point (R5).
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Slack {
    /// By how much |u(x;0)| is lowered in the flip conditions of M5.
    pub preactivation: f64,
    /// By how much ςV(x;0) + E^ς is raised.
    pub velocity: f64,
}

/// How a trained network was computed: what the number of roundings depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowArithmetic {
    /// d.
    pub input_dim: usize,
    /// N.
    pub train_count: usize,
    /// m.
    pub width: usize,
    /// P: how often the neuron's lines are moved (events and the final move; steps of a descent).
    pub moves: u64,
    /// U: how often a sample's derivative changes; for [`FlowArithmetic::descent`] what R5 (c) puts in its place.
    pub updates: u64,
}

impl FlowArithmetic {
    /// Plain descent in double precision: at most 11 N changes are added to its velocities before they are formed anew,
    /// and the sums of learning rates have one rounding per step.
    #[must_use]
    pub fn descent(input_dim: usize, train_count: usize, width: usize, steps: usize) -> Self {
        let (moves, updates) = (steps as u64, (steps + 11 * train_count) as u64);
        FlowArithmetic { input_dim, train_count, width, moves, updates }
    }
}

/// One neuron at one point, for R5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowScale {
    /// a.
    pub readout: f64,
    /// ‖w̃(0)‖.
    pub weight_norm: f64,
    /// ‖(x, 1)‖.
    pub point_norm: f64,
    /// κ*(x) from [`velocity_magnitude`].
    pub velocity: f64,
    /// T.
    pub time: f64,
}

/// The slack of R5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowSlack {
    /// For the flip conditions of M5 at this point.
    pub start: Slack,
    /// The neuron's share of what M6, its coarse form and K1 may be exceeded by at this point.
    pub output: f64,
}

//= R5@3412c14a
/// Rounding of a computed flow R5: "with M = ‖w̃‖‖x̃‖ + |a|κ*T and h = γ_{d+N+8} + U γ_{d+9}, M5 holds for the computed
/// path if |u(x;0)| is lowered by γ_{2d+3P+50} M and ςV + E^ς raised by 4hκ*, and M6, its coarse form and K1 hold for
/// the computed outputs up to Σ_i |a_i| (8h_i + 6γ_{m+4}) M_i".
///
/// It counts the roundings of the flow as this crate computes it and those of the bounds. Tightness: observed/slack at
/// most .013 for M6, where no neuron flips and the bound is an equality, .018 for K1 (`tests/properties.rs`).
#[must_use]
pub fn flow_rounding_slack(arithmetic: FlowArithmetic, scale: FlowScale) -> FlowSlack {
    let FlowArithmetic { input_dim, train_count, width, moves, updates } = arithmetic;
    let q = scale.readout.abs();
    let magnitude = scale.weight_norm * scale.point_norm + q * scale.velocity * scale.time;
    let h = velocity_roundings(input_dim, train_count, updates);
    let path = rounding_factor(2.0 * input_dim as f64 + 3.0 * moves as f64 + 50.0);
    FlowSlack {
        start: Slack { preactivation: path * magnitude, velocity: 4.0 * h * scale.velocity },
        output: q * (8.0 * h + 6.0 * rounding_factor((width + 4) as f64)) * magnitude,
    }
}

/// A computed number and a bound of its rounding error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Computed {
    /// The number.
    pub value: f64,
    /// How far the exact number may lie from it.
    pub error: f64,
}

//= R6@de993200
/// Testing without a tolerance R6: "if |L| ≤ B is a theorem, |L̂ − L| ≤ s_L and |B̂ − B| ≤ s_B, then |L̂| ≤ B̂ + s_L +
/// s_B".
///
/// Whether the computed L̂ and B̂ refute the theorem, or the program. A NaN on either side refutes.
///
/// # Errors
/// An error that is negative or NaN.
pub fn refutes(observed: Computed, bound: Computed) -> Result<bool> {
    for (name, error) in [("error of the observed value", observed.error), ("error of the bound", bound.error)] {
        if error.is_nan() || error < 0.0 {
            return Err(Error::Scalar { name, value: error, expected: "a number, at least 0" });
        }
    }
    let holds = observed.value.abs() <= bound.value + observed.error + bound.error;
    Ok(!holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_count_roundings() {
        assert_eq!(rounding_factor(0.0), 0.0);
        assert!(rounding_factor(1.0) > UNIT_ROUNDOFF && rounding_factor(1.0) < UNIT_ROUNDOFF * (1.0 + 1e-15));
        assert_eq!(rounding_factor(1e16), f64::INFINITY);
        // Three products of size 1: 3u, and three underflows.
        assert!((dot_error_bound(3, 1.0) / (3.0 * UNIT_ROUNDOFF) - 1.0).abs() < 1e-15);
        assert_eq!(dot_error_bound(3, 0.0), 3.0 * f64::from_bits(1));
    }

    #[test]
    fn slacks_by_hand() {
        let arithmetic = FlowArithmetic { input_dim: 1, train_count: 1, width: 2, moves: 2, updates: 1 };
        let scale = FlowScale { readout: -0.5, weight_norm: 2.0, point_norm: 3.0, velocity: 4.0, time: 1.0 };
        let slack = flow_rounding_slack(arithmetic, scale);
        // M = 6 + 2 = 8, h = γ_10 + γ_10 = 20u, path = γ_58, output = ½(160u + 36u)·8; γ_k = ku(1 + 10⁻¹⁴).
        let close = |found: f64, units: f64| (found / (units * UNIT_ROUNDOFF) - 1.0).abs() < 1e-13;
        assert!(close(slack.start.preactivation, 58.0 * 8.0), "{slack:?}");
        assert!(close(slack.start.velocity, 4.0 * 20.0 * 4.0), "{slack:?}");
        assert!(close(slack.output, 0.5 * (160.0 + 36.0) * 8.0), "{slack:?}");
    }

    #[test]
    fn refutation_respects_both_errors() {
        let number = |value, error| Computed { value, error };
        assert!(!refutes(number(-1.5, 0.25), number(1.0, 0.25)).unwrap());
        assert!(refutes(number(-1.6, 0.25), number(1.0, 0.25)).unwrap());
        assert!(refutes(number(f64::NAN, 0.0), number(1.0, 0.0)).unwrap());
        assert!(refutes(number(0.0, -1.0), number(1.0, 0.0)).is_err());
    }
}
