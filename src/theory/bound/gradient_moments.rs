//! The trained input gradient D_T = (∇f_T − ∇f_0)/T against its limit v + b: P3 to P6.
//!
//! All are evaluated at the test points of a [`Geometry`]; a test point that equals a training point is treated as one, so
//! the gradients that perturbations are made from are bounded by a geometry whose test points are the training points.

use nalgebra::DMatrix;
use statrs::function::erf::erf;

use super::drift::{per_test_point, quadratic_forms};
use super::geometry::{Geometry, Site, signed_gram, velocity_range};
use super::{NetworkLaw, ReadoutLaw, SlidingDerivative};
use crate::error::{Error, Result};
use crate::linalg::{dot, norm_squared};
use crate::problem::{Points, Slope, finite_nonnegative, finite_positive};
use crate::theory::{Kernel, Predictor, cross_gram};

//= P3@030f5369
/// Mean of the trained gradient, P3: a bound on |⟨e, E D_T(x) − (v + b)(x)⟩| per test point, of order m^{−1/2}.
///
/// Inputs: prepared data, the network's law (only width and readout enter), flow time T, `direction` e of length d;
/// without one, a bound on ‖E D_T − (v + b)‖, which is P3's with ‖x_k‖, ‖x‖ and 1 in place of |⟨x_k,e⟩|, |⟨x,e⟩| and ‖e‖.
/// v + b is [`Predictor::gradient`] for T = 1. Under [`SlidingDerivative::One`] a training point has an additional deviation
/// of up to ½(1−γ)² p |S_n| ‖e‖/√d, S_n = K_nn/N times the sum of the labels at x_n (1 in size for distinct points), which
/// does not vanish with the width.
///
/// Tightness: the mean of trained gradients lies within sampling error of v + b (`tests/gradients.rs`); the bound adds the
/// absolute values of terms of either sign.
///
/// # Errors
/// A direction of another length than d, or not finite; time < 0, infinite or NaN.
pub fn gradient_mean_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    direction: Option<&[f64]>,
    sliding: SlidingDerivative,
) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    check_direction(geometry, direction)?;
    let aligned = |points: &Points| -> Vec<f64> {
        points.iter().map(|x| direction.map_or_else(|| norm_squared(x).sqrt(), |e| dot(x, e).abs())).collect()
    };
    let (along_train, along_test) = (aligned(&geometry.points), aligned(&geometry.test_points));
    let length = direction.map_or(1.0, |e| norm_squared(e).sqrt());
    let range = gradient_range(geometry);
    let swept = mean_sweep(geometry, along_train.iter().zip(&geometry.weights).map(|(along, w)| along * w.abs()));
    let terms = mean_terms(geometry, law, time, sliding);
    let bound = |(z, terms): (usize, MeanTerms)| {
        let site = &geometry.test[z];
        let windows = terms.scale * (site.density * site.window() * range * length + swept);
        windows + terms.along_point * along_test[z] + terms.anywhere * length
    };
    Ok(terms.into_iter().enumerate().map(bound).collect())
}

/// ½ Σ_k |w_k⟨x_k,e⟩| p_k λ_k, w_k = y_k/N.
pub(super) fn mean_sweep(geometry: &Geometry, weighted: impl Iterator<Item = f64>) -> f64 {
    0.5 * geometry.train.iter().zip(weighted).map(|(x, along)| along * x.density * x.window()).sum::<f64>()
}

/// What P3 needs of a point besides the direction: the bound is scale·(pλβ_V‖e‖ + sweep) + `along_point`·|⟨x,e⟩| +
/// anywhere·‖e‖.
pub(super) struct MeanTerms {
    pub scale: f64,
    pub along_point: f64,
    pub anywhere: f64,
}

pub(super) fn mean_terms(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    sliding: SlidingDerivative,
) -> Vec<MeanTerms> {
    let ([mu3, mu4, ..], m) = (law.readout().moments(), law.width() as f64);
    let (step, d) = (1.0 - geometry.slope.value(), geometry.points.input_dim() as f64);
    let scale = mu3 * time * step / m.sqrt();
    let spreads = spreads(geometry, law, time);
    let sites = geometry.test.iter().zip(&geometry.twin).zip(spreads);
    sites
        .map(|((z, twin), spread)| {
            let (p, square) = (z.density, z.std * z.std);
            let constant = crossing_constant(twin.map_or(0.0, |n| geometry.own[n]));
            let cubic = mu4 * time * time * step * p * z.fastest().powi(3) / (6.0 * m * square);
            let convention = match (sliding, twin) {
                (SlidingDerivative::One, Some(n)) => 0.5 * step * step * p * geometry.own[*n],
                _ => 0.0,
            };
            let anywhere = (constant * step * p * spread + cubic + convention) / d.sqrt();
            MeanTerms { scale, along_point: scale * p * z.squares() / (2.0 * d * square), anywhere }
        })
        .collect()
}

/// What multiplies D̂ in P3 and P7, for the force |S_n| of a point on itself: neurons slide only where it has one.
pub(super) fn crossing_constant(own: f64) -> f64 {
    if own > 0.0 { 1.5 } else { 1.0 }
}

/// ½[erf(μ₃ξ/√2) + 1 − e^{−μ₄ξ²/2}], ξ = `slab`/`std`: what a sample whose pre-activation moves by up to `slab` across its
/// boundary takes away (P3), its standard deviation given the point's being `std`.
pub(super) fn crossing_share(slab: f64, std: f64, readout: ReadoutLaw) -> f64 {
    // 0/0 where nothing moves and points nearly coincide; an angle of 0 counts in full.
    if slab <= 0.0 {
        return 0.0;
    }
    let ([mu3, mu4, ..], ratio) = (readout.moments(), slab / std);
    0.5 * (erf(mu3 * ratio * std::f64::consts::FRAC_1_SQRT_2) - (-0.5 * mu4 * ratio * ratio).exp_m1())
}

/// D̂ of P3 per test point.
fn spreads(geometry: &Geometry, law: NetworkLaw, time: f64) -> Vec<f64> {
    let (step, reach) = (1.0 - geometry.slope.value(), time / (law.width() as f64).sqrt());
    per_test_point(geometry, |index, z, sizes, angles| {
        let others = geometry.train.iter().zip(sizes).zip(angles).enumerate();
        let sum: f64 = others
            .filter(|(l, _)| Some(*l) != geometry.twin[index])
            .map(|(_, ((x, c), angle))| {
                let slab = reach * (x.fastest() + x.std * angle.cos().abs() / z.std * z.fastest());
                c * crossing_share(slab, x.std * angle.sin(), law.readout())
            })
            .sum();
        step * sum
    })
}

/// β_V of P3: the largest length of (1/N) Σ_k y_k φ_k x_k for φ in [γ,1]^N is at most this.
pub(super) fn gradient_range(geometry: &Geometry) -> f64 {
    let product = signed_gram(&geometry.points, &geometry.weights, 0.0, geometry.points.as_columns());
    let columns = product.as_slice().chunks_exact(geometry.points.count()).zip(&geometry.weights);
    columns.map(|(column, w)| w.abs() * largest_velocity(column, geometry)).sum::<f64>().sqrt()
}

/// The larger absolute value of the two ends of M3's range.
fn largest_velocity(signed_gram: &[f64], geometry: &Geometry) -> f64 {
    let (low, high) = velocity_range(signed_gram, geometry.slope);
    low.abs().max(high.abs())
}

/// β̂_e of P4: the largest |Σ_k y_k⟨x_k,e⟩φ_k/N|.
fn directional_range(geometry: &Geometry, direction: &[f64]) -> f64 {
    let kernel: Vec<f64> = geometry.points.iter().zip(&geometry.weights).map(|(x, w)| w * dot(x, direction)).collect();
    largest_velocity(&kernel, geometry)
}

//= P4@e42a1f71
/// Fluctuation of the trained gradient, P4: "E‖D_T − E D_T‖² ≤ σ_D(x)²", of order m^{−1/2}; in a direction e,
/// "E⟨e, D_T − E D_T⟩² ≤ σ_D(x;e)²", smaller by 1/d. Returns the bound on the second moment (not its root) per test point.
///
/// Inputs: as [`gradient_mean_bound`]; time > 0. Tightness: observed/bound .05–.2 (`tests/gradients.rs`); the order is exact,
/// the constant counts the neurons that could flip where their velocities lie at the end of their range.
///
/// # Errors
/// As [`gradient_mean_bound`]; time = 0.
pub fn gradient_fluctuation_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    direction: Option<&[f64]>,
) -> Result<Vec<f64>> {
    let time = finite_positive("time", time)?;
    check_direction(geometry, direction)?;
    let [mu3, mu4, ..] = law.readout().moments();
    let (range, share) = match direction {
        None => (gradient_range(geometry), 1.0),
        Some(e) => (directional_range(geometry, e), norm_squared(e) / geometry.points.input_dim() as f64),
    };
    let moving = range * (mu4 / law.copies() as f64).sqrt();
    let step = 1.0 - geometry.slope.value();
    let flipped = |z: &Site| mu3 * share * z.density * reach(z, law) / (time * (law.width() as f64).sqrt());
    Ok(geometry.test.iter().map(|z| (moving + step * flipped(z).sqrt()).powi(2)).collect())
}

/// λ, or v̄ for antisymmetric pairs, of which at most one neuron or both flip from one side (P4).
fn reach(z: &Site, law: NetworkLaw) -> f64 {
    if law.starts_at_zero() { z.fastest() } else { z.window() }
}

//= P5@651ac7f7
/// Cosine, P5: "`Antisymmetric`: E[1 − cos(∇f_T(x), d_x)] ≤ 2η(x)²/‖d_x‖² = O(m^{−1/2})", d = v + b, η² the sum of P4's bound
/// and the square of P3's, per test point. By Markov's inequality the mean of n deficits exceeds the mean of their bounds
/// over δ with probability at most δ.
///
/// Inputs: as [`gradient_mean_bound`]; time > 0; an antisymmetric law. Infinite where v + b = 0. Tightness: that of P4.
///
/// # Errors
/// As [`gradient_mean_bound`]; time = 0; `Standard` initialisation, under which the cosine does not tend to 1.
pub fn cosine_deficit_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    sliding: SlidingDerivative,
) -> Result<Vec<f64>> {
    let deviations = gradient_deviations(geometry, law, time, sliding)?;
    let limit = limit_gradient(geometry)?;
    let norms = limit.column_iter().map(|d| d.norm_squared());
    let bound = |(eta, norm): (&f64, f64)| if norm > 0.0 { 2.0 * eta / norm } else { f64::INFINITY };
    Ok(deviations.iter().zip(norms).map(bound).collect())
}

/// η² of P5 per test point.
pub(super) fn gradient_deviations(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    sliding: SlidingDerivative,
) -> Result<Vec<f64>> {
    antisymmetric(law)?;
    let fluctuation = gradient_fluctuation_bound(geometry, law, time, None)?;
    let mean = gradient_mean_bound(geometry, law, time, None, sliding)?;
    Ok(fluctuation.into_iter().zip(mean).map(|(variance, mean)| variance + mean * mean).collect())
}

/// v + b at the test points: d × count.
pub(super) fn limit_gradient(geometry: &Geometry) -> Result<DMatrix<f64>> {
    Predictor::new(geometry.points.clone(), geometry.weights.clone(), geometry.slope)?.gradient(&geometry.test_points)
}

fn antisymmetric(law: NetworkLaw) -> Result<()> {
    if law.starts_at_zero() {
        return Ok(());
    }
    let expected = "half the width: antisymmetric pairs, whose gradient is 0 at initialisation";
    Err(Error::Scalar { name: "number of independent blocks", value: law.copies() as f64, expected })
}

//= P6@c86cc248
/// Averages over points, P6: for fixed vectors e_n, a bound on E Λ², Λ = (1/N) Σ_n ⟨e_n, D_T(x_n) − E D_T(x_n)⟩, over the test
/// points x_n of the geometry. Of order m^{−1/2}/N + m^{−1} for points with spread-out boundaries.
///
/// Inputs: prepared data, the network's law, flow time T > 0, `directions` e_n as the columns of a d × N matrix. Cost: the
/// angles and a product of N × N pairs. Tightness: observed/bound .03–.1 (`tests/gradients.rs`).
///
/// # Errors
/// Another number of directions than test points, or of another length than d; time ≤ 0, infinite or NaN.
pub fn averaged_gradient_fluctuation_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    directions: &DMatrix<f64>,
) -> Result<f64> {
    let time = finite_positive("time", time)?;
    if directions.shape() != geometry.test_points.as_columns().shape() {
        return Err(Error::Shape {
            name: "directions".into(),
            found: format!("{} × {}", directions.ncols(), directions.nrows()),
            expected: format!("{} × {}, one per test point", geometry.test.len(), geometry.points.input_dim()),
        });
    }
    let columns = || directions.as_slice().chunks_exact(directions.nrows());
    let ranges = columns().map(|e| directional_range(geometry, e)).sum();
    let norms: Vec<f64> = columns().map(|e| norm_squared(e).sqrt()).collect();
    Ok(Overlaps::new(geometry, law, time).second_moment(ranges, &norms))
}

/// The pairs of points of P6, for many sets of directions.
pub(super) struct Overlaps {
    pairs: DMatrix<f64>,
    moving: f64,
}

impl Overlaps {
    pub fn new(geometry: &Geometry, law: NetworkLaw, time: f64) -> Self {
        let ([mu3, mu4, ..], m) = (law.readout().moments(), law.width() as f64);
        let test = &geometry.test_points;
        let both = cross_gram(Kernel::DerivativeDual, Slope::RELU, test, test);
        let rates: Vec<f64> = geometry.test.iter().map(|z| z.density * z.fastest()).collect();
        let copies = law.copies() as f64;
        let (single, double) = (2.0 * mu3 / (time * m.sqrt()), 4.0 * mu4 / m);
        let step = 1.0 - geometry.slope.value();
        let scale = step * step / geometry.points.input_dim() as f64 * copies / m;
        let pairs = DMatrix::from_fn(rates.len(), rates.len(), |n, k| {
            let angle = std::f64::consts::PI * (1.0 - 2.0 * both[(n, k)]).max(0.0);
            let product = rates[n] * rates[k];
            // Division by sin 0 leaves the first member.
            scale * (single * product.sqrt()).min(double * product / angle.sin())
        });
        Overlaps { pairs, moving: (mu4 / copies).sqrt() }
    }

    /// The bound on E Λ² from Σ_n β̂_{e_n} and the ‖e_n‖.
    pub fn second_moment(&self, ranges: f64, norms: &[f64]) -> f64 {
        let column = DMatrix::from_column_slice(norms.len(), 1, norms);
        let flipping = quadratic_forms(&self.pairs, &column)[0];
        ((self.moving * ranges + flipping.sqrt()) / norms.len() as f64).powi(2)
    }
}

fn check_direction(geometry: &Geometry, direction: Option<&[f64]>) -> Result<()> {
    let d = geometry.points.input_dim();
    let Some(e) = direction else { return Ok(()) };
    if e.len() != d {
        let expected = format!("{d} coordinates, as the points");
        return Err(Error::Shape { name: "direction".into(), found: e.len().to_string(), expected });
    }
    match e.iter().position(|e| !e.is_finite()) {
        Some(column) => Err(Error::NotFinite { name: "direction".into(), row: 0, column, value: e[column] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::direction::mean_normal;
    use super::*;

    /// 2 E[1{0 ≤ U ≤ ξ} Z₊] for standard normal U, Z of correlation ρ: what one sample can do to the mean of P3.
    fn one_sided(ratio: f64, rho: f64) -> f64 {
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let other = (1.0 - rho * rho).sqrt();
        let positive_part = |u: f64| {
            let mean = rho * u;
            let above = 0.5 * (1.0 + erf(mean / other * std::f64::consts::FRAC_1_SQRT_2));
            mean * above + other * density(mean / other)
        };
        let steps = 2000;
        let value = |i: usize| {
            let u = ratio * i as f64 / f64::from(steps);
            positive_part(u) * density(u) * if i == 0 || i == steps as usize { 0.5 } else { 1.0 }
        };
        2.0 * ratio / f64::from(steps) * (0..=steps as usize).map(value).sum::<f64>()
    }

    //= test P3@030f5369
    //= power P3@030f5369
    /// The share of D̂ against every correlation of direction and boundary. Fault: nine tenths of it.
    #[test]
    fn no_correlation_takes_more_than_its_share_and_nine_tenths_of_it_are_exceeded() {
        for ratio in [0.01, 0.1, 0.5, 1.0, 2.0, 4.0] {
            let share = mean_normal() * crossing_share(ratio, 1.0, ReadoutLaw::Rademacher);
            let largest = (-99..100).map(|i| one_sided(ratio, 0.01 * f64::from(i)) / share).fold(0.0, f64::max);
            assert!(largest <= 1.0, "ξ = {ratio}: {largest}");
            assert!(largest > 0.9 || (0.2..1.5).contains(&ratio), "ξ = {ratio}: nine tenths pass, {largest}");
            // The mean over Gaussian readouts is no smaller, and erf(ξ/√2), which counts both sides, no smaller either.
            let gaussian = crossing_share(ratio, 1.0, ReadoutLaw::Gaussian);
            assert!(
                mean_normal() * gaussian >= share
                    && crossing_share(ratio, 1.0, ReadoutLaw::Rademacher)
                        <= erf(ratio * std::f64::consts::FRAC_1_SQRT_2)
            );
        }
        assert_eq!(
            [crossing_share(0.0, 0.0, ReadoutLaw::Gaussian), crossing_share(1.0, 0.0, ReadoutLaw::Rademacher)],
            [0.0, 1.0]
        );
        assert_eq!([crossing_constant(0.0), crossing_constant(0.1)], [1.0, 1.5]);
    }
}
