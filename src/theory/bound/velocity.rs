//! Bounds from the velocities that neurons really have where they cross: W13, W14.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::drift::{changes, kink_bound, per_test_point};
use super::geometry::signed_gram;
use super::{Geometry, NetworkLaw};
use crate::error::Result;
use crate::problem::{Points, finite_nonnegative, finite_positive};

/// The root mean squares of V°, the velocity that a neuron has at the boundary of a point because of the other samples.
///
/// Cost: one arcsine for every point and pair of samples, ½(N + M)N² of them, which is why they are prepared apart from
/// [`Geometry`], once for all widths and times.
#[derive(Debug)]
pub struct BoundaryVelocities<'a> {
    geometry: &'a Geometry,
    train: Vec<f64>,
    test: Vec<f64>,
}

impl<'a> BoundaryVelocities<'a> {
    /// Prepares the velocities at all points of a geometry.
    #[must_use]
    pub fn new(geometry: &'a Geometry) -> Self {
        let n = geometry.train.len();
        let signed = |points: &Points| signed_gram(&geometry.points, &geometry.weights, 1.0, points.as_columns());
        let cosines = geometry.angles.map(f64::cos);
        let roots = |signed: DMatrix<f64>, angles: &DMatrix<f64>, own: &(dyn Fn(usize) -> Option<usize> + Sync)| {
            let columns = signed.as_slice().par_chunks_exact(n).zip(angles.as_slice().par_chunks_exact(n));
            columns
                .enumerate()
                .map(|(x, (c, angles))| boundary_velocity(geometry, &cosines, c, angles, own(x)))
                .collect()
        };
        BoundaryVelocities {
            geometry,
            train: roots(signed(&geometry.points), &geometry.angles, &Some),
            test: roots(signed(&geometry.test_points), &geometry.test_angles, &|z| geometry.twin[z]),
        }
    }
}

/// (E V°²)^{1/2} = (Σ_{lk} C_l C_k Φ(θ⊥_lk))^{1/2} over the samples other than the point itself.
fn boundary_velocity(geometry: &Geometry, mutual: &DMatrix<f64>, c: &[f64], angles: &[f64], own: Option<usize>) -> f64 {
    let g = geometry.slope.value();
    let (cosines, sines): (Vec<f64>, Vec<f64>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
    // A sample at angle 0 that is not the point itself has the point's boundary up to rounding; its u⊥ has either sign.
    let others: Vec<usize> = (0..c.len()).filter(|l| Some(*l) != own && c[*l] != 0.0).collect();
    let mut square = 0.0;
    for (position, &l) in others.iter().enumerate() {
        let column = &mutual.as_slice()[l * c.len()..][..c.len()];
        let pairs: f64 = others[..position]
            .iter()
            .map(|&k| {
                let extreme = if c[l] * c[k] > 0.0 { 1.0 } else { -1.0 };
                let scale = sines[l] * sines[k];
                // The cosines err by some ε. Towards the value that makes the bound larger, and to the end of the range for
                // samples so nearly parallel to the point that nothing else is known.
                let cosine = (column[k] - cosines[l] * cosines[k] + 8.0 * f64::EPSILON * extreme) / scale;
                // E sgn u_l⊥ sgn u_k⊥.
                let correlated = 2.0 / std::f64::consts::PI * cosine.clamp(-1.0, 1.0).asin();
                c[k] * if correlated.is_nan() || scale < 64.0 * f64::EPSILON { extreme } else { correlated }
            })
            .sum();
        square += c[l] * (2.0 * pairs + c[l]);
    }
    let total: f64 = others.iter().map(|l| c[*l]).sum();
    let (mean, half) = (0.5 * (1.0 + g), 0.5 * (1.0 - g));
    (mean * mean * total * total + half * half * square).max(0.0).sqrt()
}

impl BoundaryVelocities<'_> {
    /// min(λ, rms V° + self + D*) of W13 per training and per test point; D* for windows of q·time.
    fn windows(&self, reach: f64) -> (Vec<f64>, Vec<f64>) {
        let (geometry, n) = (self.geometry, self.geometry.train.len());
        let rates = geometry.reach();
        let column = |matrix: &DMatrix<f64>, j: usize| -> Vec<f64> { matrix.as_slice()[j * n..][..n].to_vec() };
        let window = |mut sizes: Vec<f64>, rates: Vec<f64>, own: Option<usize>| {
            let force = own.map_or(0.0, |n| 0.5 * (3.0 - geometry.slope.value()) * geometry.own[n]);
            own.into_iter().for_each(|n| sizes[n] = 0.0);
            force + changes(geometry, &sizes, &rates, 2.0 * reach)
        };
        let train = (0..n).into_par_iter().map(|j| {
            let effect = window(column(&geometry.sizes, j), column(&rates.train, j), Some(j));
            geometry.train[j].window().min(self.train[j] + effect)
        });
        let test = (0..geometry.test.len()).into_par_iter().map(|z| {
            let effect = window(column(&geometry.test_sizes, z), column(&rates.test, z), geometry.twin[z]);
            geometry.test[z].window().min(self.test[z] + effect)
        });
        (train.collect(), test.collect())
    }
}

//= W13@c362c486
/// Flip probability from actual velocities, W13: "given q = |a|, for any point x: P(sign change at x by T) ≤ p(x) q T
/// min(λ(x), (E V°²)^{1/2} + D*_x)", with the sample's own force added at a training point. Per test point.
///
/// Inputs: prepared velocities, |a|, flow time T; a test point that equals a training point is treated as one. Tightness:
/// observed/bound .2–.8 on small data, where M4 has .05–.31 (`tests/width.rs`, checks/flips.py).
///
/// # Errors
/// |a| ≤ 0 or time < 0, infinite or NaN.
pub fn flip_probability_bound_with_velocities(
    velocities: &BoundaryVelocities<'_>,
    readout_abs: f64,
    time: f64,
) -> Result<Vec<f64>> {
    let reach = finite_positive("absolute readout", readout_abs)? * finite_nonnegative("time", time)?;
    let (_, windows) = velocities.windows(reach);
    Ok(velocities.geometry.test.iter().zip(windows).map(|(z, window)| z.density * reach * window).collect())
}

//= W14@db741523
/// Mean drift from actual velocities, W14: a bound on |E[R(z) | |a| = q]| per test point, with W13's windows for λ of W5.
///
/// Inputs: prepared velocities, the network's law (for its width), |α| = √m|a|, flow time T. W7 is smaller where few
/// other samples change meanwhile; W14 is for data on which the tilt of W7 (|cot θ_jz|) is large. Both may be used.
///
/// # Errors
/// |α| ≤ 0 or time < 0, infinite or NaN.
pub fn mean_drift_bound_with_velocities(
    velocities: &BoundaryVelocities<'_>,
    law: NetworkLaw,
    readout_unit: f64,
    time: f64,
) -> Result<Vec<f64>> {
    let unit = finite_positive("unscaled readout", readout_unit)?;
    let time = finite_nonnegative("time", time)?;
    let geometry = velocities.geometry;
    let q = unit / (law.width() as f64).sqrt();
    let (windows, _) = velocities.windows(q * time);
    let scale = unit * unit * (1.0 - geometry.slope.value()) * q * time * time / 4.0;
    Ok(per_test_point(geometry, |index, z, sizes, _| {
        let swept: f64 = geometry.train.iter().zip(sizes).zip(&windows).map(|((x, c), w)| c * x.density * w).sum();
        scale * (swept + z.density * z.squares().min(kink_bound(geometry, index, sizes, q * time)))
    }))
}
