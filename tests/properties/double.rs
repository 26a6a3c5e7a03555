//! Double-double arithmetic: pairs of numbers whose sum carries 106 bits, by error-free transformations (Knuth,
//! Dekker).

use std::ops::{Add, Mul, Neg, Sub};

/// hi + lo with |lo| ≤ ½ ulp(hi). Sums and products err by a few 2⁻¹⁰⁴ relative to the sum of the magnitudes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Double {
    hi: f64,
    lo: f64,
}

/// a + b without error.
fn two_sum(a: f64, b: f64) -> Double {
    let hi = a + b;
    let part = hi - a;
    Double { hi, lo: (a - (hi - part)) + (b - part) }
}

/// a·b without error, unless it underflows.
pub fn product(a: f64, b: f64) -> Double {
    let hi = a * b;
    Double { hi, lo: a.mul_add(b, -hi) }
}

impl Double {
    pub fn value(self) -> f64 {
        self.hi + self.lo
    }
}

impl From<f64> for Double {
    fn from(value: f64) -> Self {
        Double { hi: value, lo: 0.0 }
    }
}

impl Add for Double {
    type Output = Double;
    fn add(self, other: Double) -> Double {
        let high = two_sum(self.hi, other.hi);
        let low = two_sum(self.lo, other.lo);
        let first = two_sum(high.hi, high.lo + low.hi);
        two_sum(first.hi, first.lo + low.lo)
    }
}

impl Neg for Double {
    type Output = Double;
    fn neg(self) -> Double {
        Double { hi: -self.hi, lo: -self.lo }
    }
}

impl Sub for Double {
    type Output = Double;
    fn sub(self, other: Double) -> Double {
        self + (-other)
    }
}

impl Mul for Double {
    type Output = Double;
    fn mul(self, other: Double) -> Double {
        let high = product(self.hi, other.hi);
        two_sum(high.hi, high.lo + (self.hi * other.lo + self.lo * other.hi))
    }
}

impl std::iter::Sum for Double {
    fn sum<I: Iterator<Item = Double>>(terms: I) -> Double {
        terms.fold(Double::default(), |sum, term| sum + term)
    }
}

/// ⟨x, z⟩ + 1.
pub fn augmented_product(x: &[f64], z: &[f64]) -> Double {
    x.iter().zip(z).map(|(x, z)| product(*x, *z)).sum::<Double>() + 1.0.into()
}

/// The angle of two augmented inputs, θ and π − θ, to 16 units of rounding: both arguments of the arctangent are formed
/// without cancellation, by Lagrange's identity for the sine.
pub fn angle(x: &[f64], z: &[f64]) -> (f64, f64) {
    let d = x.len() as f64;
    let cosine = (augmented_product(x, z) + (d - 1.0).into()).value() / d;
    let square = |difference: Double| difference * difference;
    let apart: Double = x.iter().zip(z).map(|(x, z)| square(Double::from(*x) - (*z).into())).sum();
    let pairs = (0..x.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let area: Double = pairs.map(|(i, j)| square(product(x[i], z[j]) - product(x[j], z[i]))).sum();
    let sine = ((apart * d.into() + area).value()).sqrt() / d;
    (sine.atan2(cosine), sine.atan2(-cosine))
}

#[test]
fn double_numbers_carry_what_single_ones_lose() {
    let third = 1.0 / 3.0;
    let sum = Double::from(1.0) + product(third, 1e-20) - 1.0.into();
    assert!((sum.value() / (third * 1e-20) - 1.0).abs() < 1e-10);
    // (2²⁷ + 1)² = 2⁵⁴ + 2²⁸ + 1 needs 55 bits.
    let square = product(134_217_729.0, 134_217_729.0) - 18_014_398_509_481_984.0.into();
    assert_eq!(square.value(), 268_435_457.0);
    // A = (0, 1), B = (1, 1) in one dimension: 45°.
    assert!((angle(&[0.0], &[1.0]).0 - std::f64::consts::FRAC_PI_4).abs() < 1e-16);
}
