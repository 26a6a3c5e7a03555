//! A pair of points: the angle of its augmented inputs, the duals of the activation, the tangent kernels.
//!
//! With A = (x/√d, 1), B = (z/√d, 1): p = ‖x‖²/d, q = ‖z‖²/d, c = ⟨x,z⟩/d, so that ⟨A,B⟩ = 1 + c and
//! D = ‖A‖²‖B‖² − ⟨A,B⟩² = ‖x−z‖²/d + (pq − c²) = (s s' sin θ)². The angle is θ = atan2(√D, 1 + c), and the supplement
//! π − θ = atan2(√D, −(1 + c)): neither is formed by a subtraction that cancels.

use std::f64::consts::PI;

use super::arctangent::first_quadrant;
use crate::linalg::{dot, norm_squared};
use crate::problem::Slope;

/// The angle between two augmented inputs, kept as θ and π − θ: neither is the difference of larger numbers.
///
/// Accuracy: absolute error at most 13γ_{2d+12} (R3). Relative error of the angle of nearly parallel inputs: a few ε
/// times 1 + ‖x‖/√d, which is attained where the difference is nearly along x (3·10⁻⁹ at ‖x‖ = 10⁸√d); elsewhere
/// relative errors of angle and supplement below 10⁻¹⁴ for norms from 10⁻⁸ to 10⁸ times √d, also for inputs that
/// differ in the last digits only (measured against 50-digit arithmetic in `tests/theory.rs`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// 1 + ⟨x,z⟩/d = s s' cos θ.
    pub(super) cosine_part: f64,
    /// √D = s s' sin θ.
    pub(super) sine_part: f64,
    /// ⟨x,z⟩ + 1.
    augmented_product: f64,
    angle: f64,
    supplement: f64,
}

impl Pair {
    //= D4@4f89269b
    /// The pair (x, z), evaluated coordinate by coordinate: O(d), and no cancellation however close x and z are.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn new(x: &[f64], z: &[f64]) -> Self {
        assert_eq!(x.len(), z.len(), "points of one space");
        let d = x.len() as f64;
        let inner = dot(x, z);
        let difference: Vec<f64> = x.iter().zip(z).map(|(x, z)| z - x).collect();
        let sine_squared = norm_squared(&difference) / d + gram_determinant(x, z, inner) / (d * d);
        Self::from_parts(1.0 + inner / d, sine_squared.sqrt(), inner + 1.0)
    }

    fn from_parts(cosine_part: f64, sine_part: f64, augmented_product: f64) -> Self {
        let acute = first_quadrant(sine_part, cosine_part.abs());
        let (angle, supplement) = if cosine_part >= 0.0 { (acute, PI - acute) } else { (PI - acute, acute) };
        Pair { cosine_part, sine_part, augmented_product, angle, supplement }
    }

    /// θ ∈ [0, π]; exactly 0 for equal points.
    #[must_use]
    pub fn angle(&self) -> f64 {
        self.angle
    }

    /// π − θ.
    #[must_use]
    pub fn supplement(&self) -> f64 {
        self.supplement
    }

    /// ρ = cos θ.
    #[must_use]
    pub fn rho(&self) -> f64 {
        self.cosine_part / self.cosine_part.hypot(self.sine_part)
    }

    /// ⟨x,z⟩ + 1: K in the notation of the proofs.
    #[must_use]
    pub fn augmented_product(&self) -> f64 {
        self.augmented_product
    }

    //= D1@97175bee
    //= D2@843b7da3
    /// Derivative dual Φ = E φ'(u)φ'(v) = ((1+γ²)(π−θ) + 2γθ)/(2π) ∈ [γ, (1+γ²)/2].
    ///
    /// Both terms are non-negative and the supplement is a number of its own: relative error a few ε.
    #[must_use]
    pub fn derivative_dual(&self, slope: Slope) -> f64 {
        let g = slope.value();
        ((1.0 + g * g) * self.supplement + 2.0 * g * self.angle) / (2.0 * PI)
    }

    //= D3@f2096504
    //= K6@504f2fee
    /// Value dual Σ = E φ(u)φ(v) = γ(1+c) + (1−γ)² s s'(sin θ + (π−θ) cos θ)/(2π): the covariance of the output at
    /// initialisation. For γ = 0 with full relative accuracy; for γ > 0 the first term may cancel the second, and the
    /// error is a few ε of s s'.
    #[must_use]
    pub fn value_dual(&self, slope: Slope) -> f64 {
        let g = slope.value();
        g * self.cosine_part + (1.0 - g) * (1.0 - g) * self.arc_part() / (2.0 * PI)
    }

    /// s s'(sin θ + (π−θ) cos θ) = √D + (π−θ)(1+c) ≥ 0.
    fn arc_part(&self) -> f64 {
        let psi = self.supplement;
        if self.cosine_part >= 0.0 || psi > SERIES_LIMIT {
            return self.sine_part + psi * self.cosine_part;
        }
        // √D = |1+c| tan ψ: the difference tan ψ − ψ is summed as a series, it would cancel.
        self.cosine_part.abs() * tangent_excess(psi)
    }

    //= K2@94516c8d
    /// Tangent kernel of hidden-layer training Θ = Φ·(⟨x,z⟩ + 1).
    #[must_use]
    pub fn ntk(&self, slope: Slope) -> f64 {
        self.derivative_dual(slope) * self.augmented_product
    }

    //= K3@d7254348
    /// Tangent kernel with both layers trained, Θ + Σ, for the readout in NTK parameterisation (a_i = v_i/√m, v trained;
    /// that is, a readout learning rate of 1/m times the hidden one). In the parameterisation of the paper with equal
    /// learning rates the readout would contribute m·Σ instead.
    #[must_use]
    pub fn ntk_both_layers(&self, slope: Slope) -> f64 {
        self.ntk(slope) + self.value_dual(slope)
    }
}

/// Supplements below this use the series of tan ψ − ψ; above, the difference loses at most a factor 50.
pub(super) const SERIES_LIMIT: f64 = 0.25;

/// tan ψ − ψ for 0 ≤ ψ ≤ 1/4: ten terms of its Taylor series; the rest is below 10⁻¹⁷ of the sum.
fn tangent_excess(psi: f64) -> f64 {
    const TERMS: [f64; 10] = [
        1.0 / 3.0,
        2.0 / 15.0,
        17.0 / 315.0,
        62.0 / 2835.0,
        1382.0 / 155_925.0,
        21_844.0 / 6_081_075.0,
        929_569.0 / 638_512_875.0,
        6_404_582.0 / 10_854_718_875.0,
        443_861_162.0 / 1_856_156_927_625.0,
        18_888_466_084.0 / 194_896_477_400_625.0,
    ];
    let s = psi * psi;
    psi * s * TERMS.iter().rev().fold(0.0, |sum, term| sum * s + term)
}

/// ‖x‖²‖z‖² − ⟨x,z⟩² without cancellation: the longer point squared times the squared distance of the other from its line.
fn gram_determinant(x: &[f64], z: &[f64], inner: f64) -> f64 {
    let (norm_x, norm_z) = (norm_squared(x), norm_squared(z));
    let (long, short, norm) = if norm_x >= norm_z { (x, z, norm_x) } else { (z, x, norm_z) };
    if norm == 0.0 {
        return 0.0;
    }
    // The distance from the line is the same for short and for short ∓ long. The difference has no rounding for nearly
    // (anti)parallel points of equal length; for a much shorter point it would only add rounding.
    let (norm_short, sign) = (norm_x.min(norm_z), if inner >= 0.0 { 1.0 } else { -1.0 });
    let shift = if 4.0 * norm_short > norm { sign } else { 0.0 };
    let mut e: Vec<f64> = short.iter().zip(long).map(|(s, l)| s - shift * l).collect();
    let along = dot(&e, long) / norm;
    e.iter_mut().zip(long).for_each(|(e, l)| *e -= along * l);
    norm * norm_squared(&e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_points_have_angle_zero_and_known_kernels() {
        let x = [3.0, -1.0, 0.5];
        let pair = Pair::new(&x, &x);
        assert_eq!(pair.angle(), 0.0);
        assert_eq!(pair.derivative_dual(Slope::RELU), 0.5);
        // Σ(x,x) = s²/2 for the ReLU: s² = 1 + 10.25/3.
        assert!((pair.value_dual(Slope::RELU) - 0.5 * (1.0 + 10.25 / 3.0)).abs() < 4.0 * f64::EPSILON);
    }

    #[test]
    fn tangent_excess_joins_the_direct_form() {
        let psi = SERIES_LIMIT;
        // The direct form errs by about ε·tan ψ ≈ 50 ε of the result.
        assert!((tangent_excess(psi) / (psi.tan() - psi) - 1.0).abs() < 100.0 * f64::EPSILON);
    }
}
