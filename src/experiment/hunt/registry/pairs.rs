//! Statements on pairs of vectors: D5, D6, G3, G4. The pair is the first training point and the test point; G3's third
//! point is the second training point.

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::Draw;
use crate::experiment::hunt::measure::Observed;
use crate::linalg::{larger, norm_squared};
use crate::theory::Pair;
use crate::theory::bound::rounding::rounding_factor;
use crate::theory::bound::{
    angle_change_bound, direction_angle_bound, kernel_change_bound, normalisation_remainder_bound,
    unit_vector_change_bound,
};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new("D5", Kind::Certain, "the angle between augmented inputs r and r'", angle_changes, angle_bounds),
        Entry::new(
            "D6",
            Kind::Certain,
            "the distance of a/‖a‖ and b/‖b‖, and the angle of a and b",
            unit_changes,
            unit_bounds,
        ),
        Entry::new("G3", Kind::Certain, "the kernel's change |Θ(r,z) − Θ(r',z)|", kernel_changes, kernel_bounds),
        Entry::new("G4", Kind::Certain, "a unit vector's change beyond the first order", remainders, remainder_bounds),
    ]
}

/// r, r' and the points against which their angles are compared.
fn pair(case: &Case) -> (&[f64], &[f64]) {
    (case.train.points().point(0), case.test.point(0))
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// (distance, s, s').
fn sizes(case: &Case) -> (f64, f64, f64) {
    let (r, moved) = pair(case);
    let s = |x: &[f64]| (1.0 + norm_squared(x) / x.len() as f64).sqrt();
    (distance(r, moved), s(r), s(moved))
}

/// θ(r, r'), and |θ(r, z) − θ(r', z)| for the other training points z: all are at most α.
fn angle_changes(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let (r, moved) = pair(case);
    let direct = Pair::new(r, moved).angle();
    let through = |z| (Pair::new(r, z).angle() - Pair::new(moved, z).angle()).abs();
    let value = case.train.points().iter().map(through).fold(direct, larger);
    let d = case.train.input_dim();
    let (length, s, s_prime) = sizes(case);
    // The bound's inputs have d + 6 roundings; its arcsine is steep where the pair is nearly opposite. Angles: 10⁻¹⁴
    // relative each (tests/theory.rs), here of three numbers up to π.
    let share = length / (d as f64).sqrt() / (s + s_prime);
    let steep =
        2.0 * ((share * (1.0 + rounding_factor((2 * d + 16) as f64))).min(1.0).asin() - (share.min(1.0)).asin());
    let rest = rounding_factor((8 * d + 64) as f64) * (direct + share) + if value > direct { 6e-14 } else { 0.0 };
    Ok(vec![Observed::Certain { value, rounding: steep + rest }])
}

fn angle_bounds(case: &Case) -> Result<Vec<f64>> {
    let (length, s, s_prime) = sizes(case);
    Ok(vec![angle_change_bound(length, case.train.input_dim(), s, s_prime)?])
}

/// ‖a/‖a‖ − b/‖b‖‖, and the angle of a and b where ‖a − b‖ < ‖a‖.
fn unit_changes(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let (a, b) = pair(case);
    let (norm_a, norm_b) = (norm_squared(a).sqrt(), norm_squared(b).sqrt());
    let combine = |sign: f64| -> Vec<f64> { a.iter().zip(b).map(|(x, y)| x / norm_a + sign * y / norm_b).collect() };
    let (difference, sum) = (norm_squared(&combine(-1.0)).sqrt(), norm_squared(&combine(1.0)).sqrt());
    // Components of unit vectors have d + 5 roundings, ‖·‖ ≤ 1 each; so have the bounds, of size up to 2 where they bind.
    let rounding = 8.0 * rounding_factor((a.len() + 8) as f64);
    let angle = 2.0 * difference.atan2(sum);
    let (e, limit) = (distance(a, b), norm_a);
    let steep = if e < limit {
        ((e / limit) * (1.0 + rounding_factor((2 * a.len() + 16) as f64))).min(1.0).asin() - (e / limit).asin()
    } else {
        0.0
    };
    Ok(vec![
        Observed::Certain { value: difference, rounding },
        Observed::Certain { value: angle, rounding: 2.0 * rounding + steep },
    ])
}

fn unit_bounds(case: &Case) -> Result<Vec<f64>> {
    let (a, b) = pair(case);
    let (norm_a, norm_b) = (norm_squared(a).sqrt(), norm_squared(b).sqrt());
    if norm_a == 0.0 || norm_b == 0.0 {
        return Ok(Vec::new());
    }
    let length = distance(a, b);
    let angle = if length < norm_a { direction_angle_bound(length, norm_a)? } else { f64::INFINITY };
    Ok(vec![unit_vector_change_bound(length, norm_a, norm_b)?, angle])
}

/// |Θ(r,z) − Θ(r',z)| for the last training point z.
fn kernel_changes(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let ((r, moved), z) = (pair(case), case.train.points().point(case.train.count() - 1));
    let value = (Pair::new(r, z).ntk(case.slope) - Pair::new(moved, z).ntk(case.slope)).abs();
    // Both kernels and the bound's two terms, which are of their size: products of d + 2 roundings, angles of 10⁻¹⁴ relative.
    let longest = norm_squared(r).max(norm_squared(moved)).sqrt() * norm_squared(z).sqrt() + 1.0;
    let rounding = (rounding_factor((8 * r.len() + 64) as f64) + 8e-14) * 4.0 * longest;
    Ok(vec![Observed::Certain { value, rounding }])
}

fn kernel_bounds(case: &Case) -> Result<Vec<f64>> {
    let ((r, moved), z) = (pair(case), case.train.points().point(case.train.count() - 1));
    Ok(vec![kernel_change_bound(r, moved, z, case.slope)?])
}

/// ‖D/‖D‖ − d/‖d‖ − Pδ/‖d‖‖ for d the training point, D = d + δ the test point.
fn remainders(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let (d, moved) = pair(case);
    let (norm, norm_moved) = (norm_squared(d).sqrt(), norm_squared(moved).sqrt());
    let q: Vec<f64> = d.iter().map(|x| x / norm).collect();
    let delta: Vec<f64> = d.iter().zip(moved).map(|(a, b)| (b - a) / norm).collect();
    let along: f64 = q.iter().zip(&delta).map(|(q, x)| q * x).sum();
    let rest = q.iter().zip(&delta).zip(moved).map(|((q, x), b)| (b / norm_moved - q - (x - along * q)).powi(2));
    // Unit vectors and δ/‖d‖, each with d + 8 roundings.
    let rounding = 8.0 * rounding_factor((d.len() + 16) as f64) * (1.0 + norm_squared(&delta).sqrt());
    Ok(vec![Observed::Certain { value: rest.sum::<f64>().sqrt(), rounding }])
}

fn remainder_bounds(case: &Case) -> Result<Vec<f64>> {
    let (d, moved) = pair(case);
    let norm = norm_squared(d).sqrt();
    if norm == 0.0 || norm_squared(moved) == 0.0 {
        return Ok(Vec::new());
    }
    Ok(vec![normalisation_remainder_bound(distance(d, moved), norm)?])
}
