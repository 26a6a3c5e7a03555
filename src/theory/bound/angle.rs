//! Directions and angles under a change of the input: D5 and D6.

use crate::error::{Error, Result};
use crate::problem::{finite_nonnegative, finite_positive};

//= D6@aa7af61c
/// Bound D6 on ‖a/‖a‖ − b/‖b‖‖: "in an inner-product space, for non-zero a, b, it is at most 2‖a − b‖/(‖a‖ + ‖b‖)".
///
/// Inputs: ‖a − b‖, ‖a‖, ‖b‖. Tightness: attained, for instance by b = −a and in the limit b → a perpendicular to a.
///
/// # Errors
/// A norm that is not positive and finite; a distance that is negative or not finite.
pub fn unit_vector_change_bound(distance: f64, norm: f64, other_norm: f64) -> Result<f64> {
    let distance = finite_nonnegative("distance", distance)?;
    // Halves first, so that the sum of two large norms does not overflow.
    Ok(distance / (0.5 * finite_positive("norm", norm)? + 0.5 * finite_positive("other norm", other_norm)?))
}

//= D6@aa7af61c
/// Bound D6, second part, on the angle: "if ‖a − b‖ ≤ e < ‖a‖, then the angle between a and b is at most arcsin(e/‖a‖)".
/// The distance of the unit vectors is then at most 2 sin(½ of it).
///
/// Tightness: attained, by the foot of the perpendicular from a to the line of b.
///
/// # Errors
/// A norm that is not positive and finite; a distance that is negative, or at least the norm.
pub fn direction_angle_bound(distance: f64, norm: f64) -> Result<f64> {
    let norm = finite_positive("norm", norm)?;
    let distance = finite_nonnegative("distance", distance)?;
    if distance >= norm {
        let expected = "less than the norm, or the direction is not bounded";
        return Err(Error::Scalar { name: "distance", value: distance, expected });
    }
    Ok((distance / norm).asin())
}

//= D5@64d6b4f8
/// Bound D5 on the angle α between A(r) and A(r'), A(x) = (x/√d, 1): "with e = ‖r − r'‖/√d, s_* = max(1, (s+s'−e)/2),
/// α ≤ min(e/s_*, 2 arctan(e/2), 2 arcsin(e/(s+s'))), and |θ(r,z) − θ(r',z)| ≤ α for every z".
///
/// Inputs: `distance` ‖r − r'‖, `input_dim` d, `s` and `s_prime` the norms ‖A(r)‖, ‖A(r')‖ ≥ 1. Tightness: the constant
/// is the best, α/e → 1/s for r' → r perpendicular to r (observed/bound 1.000, checks/duals.py). Near π, where e ≈ s + s',
/// the arcsine magnifies the rounding of its argument to √ε.
///
/// # Errors
/// A distance that is negative or not finite; d = 0; a norm below 1 or not finite; a distance above s + s', which the
/// triangle inequality excludes (with a margin of rounding).
pub fn angle_change_bound(distance: f64, input_dim: usize, s: f64, s_prime: f64) -> Result<f64> {
    let distance = finite_nonnegative("distance", distance)?;
    if input_dim == 0 {
        return Err(Error::Scalar { name: "input dimension", value: 0.0, expected: "at least 1" });
    }
    for (name, value) in [("s", s), ("s'", s_prime)] {
        if !(value.is_finite() && value >= 1.0) {
            return Err(Error::Scalar { name, value, expected: "a finite number, at least 1" });
        }
    }
    let e = distance / (input_dim as f64).sqrt();
    let share = e / (s + s_prime);
    if share > 1.0 + 8.0 * f64::EPSILON {
        return Err(Error::Scalar { name: "distance", value: distance, expected: "at most √d(s + s')" });
    }
    let shortest = (0.5 * (s + s_prime - e)).max(1.0);
    Ok((e / shortest).min(2.0 * (0.5 * e).atan()).min(2.0 * share.min(1.0).asin()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::norm_squared;
    use crate::random::Streams;
    use crate::theory::Pair;
    use rand_distr::{Distribution, StandardNormal};

    //= test D5@64d6b4f8
    //= test D6@aa7af61c
    //= power D5@64d6b4f8
    //= power D6@aa7af61c
    #[test]
    fn no_random_pair_exceeds_the_bounds_and_both_are_attained() {
        let mut rng = Streams::new(1, "bound/angle").stream(0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let [mut worst_angle, mut worst_unit, mut worst_direction] = [0.0_f64; 3];
        for trial in 0..20_000_usize {
            let d = 1 + trial % 4;
            let (scale, step) = (10_f64.powf(normal()), 10_f64.powf(normal() - 1.0));
            let r: Vec<f64> = (0..d).map(|_| scale * normal()).collect();
            let moved: Vec<f64> = r.iter().map(|r| r + step * normal()).collect();
            let difference: Vec<f64> = r.iter().zip(&moved).map(|(a, b)| a - b).collect();
            let distance = norm_squared(&difference).sqrt();
            let s = |x: &[f64]| (1.0 + norm_squared(x) / d as f64).sqrt();
            let bound = angle_change_bound(distance, d, s(&r), s(&moved)).unwrap();
            worst_angle = worst_angle.max(Pair::new(&r, &moved).angle() / bound);
            let (a, b) = (norm_squared(&r).sqrt(), norm_squared(&moved).sqrt());
            let unit: Vec<f64> = r.iter().zip(&moved).map(|(x, y)| x / a - y / b).collect();
            // The distance of the unit vectors errs by about d ε, which must not be compared with a tiny bound.
            let excess = norm_squared(&unit).sqrt() - 16.0 * f64::EPSILON;
            worst_unit = worst_unit.max(excess / unit_vector_change_bound(distance, a, b).unwrap());
            if let Ok(bound) = direction_angle_bound(distance, a) {
                worst_direction = worst_direction.max(2.0 * (0.5 * excess).asin() / bound);
            }
        }
        // Rounding: the angle is accurate to 10⁻¹⁴ (see Pair), differences of neighbouring numbers are exact, and the
        // bound and the unit vectors' distance (its excess above) take a few ε: far below 10⁻⁹.
        assert!(worst_angle <= 1.0 + 1e-9 && worst_unit <= 1.0 + 1e-9, "{worst_angle} {worst_unit}");
        assert!(worst_direction <= 1.0 + 1e-9, "{worst_direction}");
        // Bounds that are smaller by a thousandth would be exceeded.
        assert!(worst_angle > 0.999 && worst_unit > 0.999 && worst_direction > 0.999, "{worst_direction}");
    }

    //= test D6@aa7af61c
    #[test]
    fn the_foot_of_the_perpendicular_attains_the_angle() {
        // a = (2, 0), b = (2 − 1/2, √3/2): b is the foot of the perpendicular on a ray at 30°, at distance 1.
        assert!((direction_angle_bound(1.0, 2.0).unwrap() - std::f64::consts::FRAC_PI_6).abs() < 1e-15);
        assert!(direction_angle_bound(2.0, 2.0).is_err() && direction_angle_bound(f64::NAN, 2.0).is_err());
    }

    #[test]
    fn bad_input_is_named() {
        assert!(unit_vector_change_bound(1.0, 0.0, 1.0).is_err());
        assert!(unit_vector_change_bound(-1.0, 1.0, 1.0).is_err());
        assert!(angle_change_bound(1.0, 0, 1.0, 1.0).is_err());
        assert!(angle_change_bound(1.0, 3, 0.5, 1.0).is_err());
        assert!(angle_change_bound(10.0, 1, 1.0, 1.0).is_err());
    }
}
