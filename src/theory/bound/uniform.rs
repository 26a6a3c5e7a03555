//! One error bound for every training set near a given one: G11.

use super::angle::direction_angle_bound;
use super::error::log_share;
use super::geometry::{Geometry, Site, density_at_zero};
use super::tail::chernoff;
use super::{NetworkLaw, ReadoutLaw, Tail};
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::problem::finite_nonnegative;

//= G11@287b6297
/// Error of a network trained on inputs near given ones, G11: "Rademacher. For every training set r̂ with ‖r̂_n − r_n‖ ≤ η_n
/// for all n and Σ_n |C_n(r̂)(z) − C_n(r)(z)| ≤ τ(z): with probability at least 1−δ, for one z,
/// |g_T(z) − g_0(z) − T G_r̂(z)| ≤ β̂ + x", x of W2 with variance (T(√Var B + ν) + √v̂)² and "upper end − mean" replaced by
/// its largest value. G_r̂ is the limit for the *actual* inputs r̂.
///
/// Inputs: `geometry` of the given inputs r and the targets, by [`Geometry::without_merging`]; `distances` η_n, one per
/// training point and in its order; `changes` τ(z), one per test point, C_n(r)(z) = y_n(⟨r_n,z⟩ + 1)/N; the network's law,
/// flow time T, δ for each single test point, which deviations are excluded ([`Tail::TowardsZero`]: towards 0 from the
/// sign of G_r(z), whatever the sign of G_r̂(z)). For `Standard` initialisation add W11.
///
/// Tightness: with η = 0 it is W9 with W5 for W7, without W17, and with the first members of the minima. Of η, an angle α = η/√d enters as √(α/π).
///
/// # Errors
/// A geometry in which equal points were merged; another number of distances or changes; a negative or infinite one or
/// NaN; Gaussian readouts; time < 0, infinite or NaN; δ outside (0, 1).
pub fn uniform_network_error_bound(
    geometry: &Geometry,
    distances: &[f64],
    changes: &[f64],
    law: NetworkLaw,
    time: f64,
    failure_probability: f64,
    tail: Tail,
) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let per_copy = log_share(failure_probability, tail.events())? / law.copies() as f64;
    if law.readout() != ReadoutLaw::Rademacher {
        return Err(Error::NotCovered {
            what: "the uniform error bound",
            found: "Gaussian readouts",
            expected: "Rademacher readouts",
        });
    }
    check_all("distances", distances, geometry.train.len(), "training point (unmerged geometry)")?;
    check_all("changes", changes, geometry.test.len(), "test point")?;
    let near = Neighbourhood::new(geometry, distances);
    let (step, half) = (1.0 - geometry.slope.value(), 0.5 * (1.0 + geometry.slope.value()));
    let square = geometry.slope.value().powi(2);
    let (half_square, spread) = (0.5 * (1.0 + square), 0.5 * (1.0 - square));
    let window = time.powi(2) * step / (4.0 * (law.width() as f64).sqrt());
    let single = time.powi(3) * step * step / (3.0 * (law.width() as f64).sqrt());
    let bound = |(index, (z, sizes)): (usize, (&Site, &[f64]))| {
        let change = changes[index];
        let z = z.widened(change);
        let sum = |weights: &[f64]| dot(sizes, weights);
        let drift = window * (sum(&near.rates) + change * near.fastest + z.density * z.squares());
        let sweeping = half_square * single * (sum(&near.rate_roots) + change * near.fastest.sqrt()).powi(2);
        let kink = single * z.density * (z.up.powi(3) + z.down.powi(3));
        // ν: a standard deviation, of products between γ² and 1, and a norm.
        let moved = spread * change + half_square.sqrt() * step * sum(&near.flip_roots);
        let deviation = time * (geometry.variance()[index].sqrt() + moved) + sweeping.sqrt() + kink.sqrt();
        let (mean, mean_change) = (geometry.limit()[index], half * (change + step * sum(&near.flips)));
        let (low, high) = z.products(geometry.slope);
        let tail_of = |gap: f64| {
            let gap = time * (gap + mean_change).min(high - low) + drift;
            chernoff(0.0, deviation * deviation, gap, per_copy, ReadoutLaw::Rademacher)
        };
        drift + tail.select(mean, || tail_of(high - mean), || tail_of(mean - low))
    };
    let sizes = geometry.test_sizes.as_slice().chunks_exact(geometry.train.len());
    Ok(geometry.test.iter().zip(sizes).enumerate().map(bound).collect())
}

/// The largest values over all admitted inputs, per training point.
struct Neighbourhood {
    /// p λ and its root.
    rates: Vec<f64>,
    rate_roots: Vec<f64>,
    /// α/π, the probability that the pre-activations of r_n and r̂_n differ in sign, and its root.
    flips: Vec<f64>,
    flip_roots: Vec<f64>,
    /// The largest of the rates.
    fastest: f64,
}

impl Neighbourhood {
    fn new(geometry: &Geometry, distances: &[f64]) -> Self {
        let n = distances.len() as f64;
        let mean_distance = distances.iter().sum::<f64>() / n;
        let mean_norm = geometry.train.iter().map(|r| r.norm).sum::<f64>() / n;
        let rate = |(r, distance): (&Site, &f64)| {
            // ι: Σ_j |C_j(r̂_k) − C_j(r_k)|.
            let change = mean_distance * r.norm + distance * (mean_norm + mean_distance);
            let smallest_std = (r.std - distance / (geometry.input_dim as f64).sqrt()).max(1.0);
            density_at_zero(smallest_std) * r.widened(change).window()
        };
        let flip = |(r, distance): (&Site, &f64)| {
            largest_angle(distance / (geometry.input_dim as f64).sqrt(), r.std) / std::f64::consts::PI
        };
        let rates: Vec<f64> = geometry.train.iter().zip(distances).map(rate).collect();
        let flips: Vec<f64> = geometry.train.iter().zip(distances).map(flip).collect();
        let roots = |values: &[f64]| values.iter().map(|v| v.sqrt()).collect();
        let fastest = rates.iter().fold(0.0, |largest: f64, rate| largest.max(*rate));
        Neighbourhood { rate_roots: roots(&rates), flip_roots: roots(&flips), rates, flips, fastest }
    }
}

/// α of G11, the largest angle between A(r) and an A(r̂) at a distance of at most e (D5, D6).
fn largest_angle(distance: f64, std: f64) -> f64 {
    let segment = 2.0 * (0.5 * distance).atan();
    direction_angle_bound(distance, std).map_or(segment, |angle| angle.min(segment))
}

/// One finite number ≥ 0 for each of `count` things.
fn check_all(name: &'static str, values: &[f64], count: usize, thing: &str) -> Result<()> {
    if values.len() != count {
        let expected = format!("{count}, one per {thing}");
        return Err(Error::Shape { name: name.into(), found: values.len().to_string(), expected });
    }
    values.iter().try_for_each(|value| finite_nonnegative(name, *value).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Points, Slope, TrainingSet};
    use crate::theory::bound::{network_error_bound, tests::reference};

    fn geometry(slope: f64) -> Geometry {
        let (train, test) = reference();
        Geometry::without_merging(&train, Slope::new(slope).unwrap(), &test).unwrap()
    }

    fn law(width: usize) -> NetworkLaw {
        NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher).unwrap()
    }

    fn steps(count: usize, step: f64) -> Vec<f64> {
        (1..=count).map(|n| step * n as f64).collect()
    }

    //= test G11@287b6297
    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "G11": m = 1000, T' = 0.2, δ = 10⁻³, η_n = 0.01 n, τ = 0.02 k, n, k = 1, 2, …
        for (slope, both, one) in KNOWN {
            for (tail, known) in [(Tail::Both, both), (Tail::TowardsZero, one)] {
                let data = geometry(slope);
                let found =
                    uniform_network_error_bound(&data, &steps(12, 0.01), &steps(5, 0.02), law(1000), 0.2, 1e-3, tail);
                for (found, known) in found.unwrap().iter().zip(known) {
                    // The reference's grid of λ costs up to 10⁻⁶ (see `error`).
                    assert!(*found <= known * (1.0 + 1e-12) && *found >= known * (1.0 - 1e-6), "{found:e} {known:e}");
                }
            }
        }
    }

    #[test]
    fn without_distance_it_is_the_error_bound_but_for_the_comparisons_of_w7_and_w17() {
        // Width 2 and time 10⁶: windows are so long that the first members of the minima are the smaller ones, and W7 is W5.
        for slope in [0.0, 0.3] {
            let (data, zeros) = (geometry(slope), |count| vec![0.0; count]);
            for tail in [Tail::Both, Tail::TowardsZero] {
                let uniform =
                    uniform_network_error_bound(&data, &zeros(12), &zeros(5), law(2), 1e6, 0.1, tail).unwrap();
                let plain = network_error_bound(&data, law(2), 1e6, 0.1, tail).unwrap();
                // W17 is smaller than W6 there, if not by much; else sums of 12 positive terms in another order.
                uniform
                    .iter()
                    .zip(plain)
                    .for_each(|(u, p)| assert!((-1e-13..0.1).contains(&(u / p - 1.0)), "{u:e} {p:e}"));
                // Elsewhere it is larger.
                let uniform =
                    uniform_network_error_bound(&data, &zeros(12), &zeros(5), law(1000), 0.2, 0.1, tail).unwrap();
                let plain = network_error_bound(&data, law(1000), 0.2, 0.1, tail).unwrap();
                uniform.iter().zip(plain).for_each(|(u, p)| assert!(*u > p, "{u:e} {p:e}"));
            }
        }
    }

    #[test]
    fn it_grows_with_every_distance_and_every_change() {
        let data = geometry(0.2);
        let bound = |distances: &[f64], changes: &[f64]| {
            uniform_network_error_bound(&data, distances, changes, law(400), 0.3, 0.01, Tail::Both).unwrap()
        };
        let base = bound(&steps(12, 0.01), &steps(5, 0.01));
        for n in 0..12 {
            let mut distances = steps(12, 0.01);
            distances[n] += 0.01;
            let moved = bound(&distances, &steps(5, 0.01));
            base.iter().zip(moved).for_each(|(b, m)| assert!(*b < m, "{n}"));
        }
        base.iter().zip(bound(&steps(12, 0.01), &steps(5, 0.011))).for_each(|(b, m)| assert!(*b < m));
    }

    #[test]
    fn opposite_labels_at_one_point_do_not_cancel() {
        let rows = |values: &[f64]| Points::from_rows("x", values.len(), 1, values.to_vec()).unwrap();
        let set = TrainingSet::new(rows(&[1.0, 1.0]), vec![1.0, -1.0]).unwrap();
        let apart = Geometry::without_merging(&set, Slope::RELU, &rows(&[0.5])).unwrap();
        let error = |data: &Geometry, distances: &[f64]| {
            uniform_network_error_bound(data, distances, &[0.0], law(100), 1.0, 0.1, Tail::Both)
        };
        assert!(error(&apart, &[0.0, 0.0]).unwrap()[0] > 0.0);
        let merged = Geometry::new(&set, Slope::RELU, &rows(&[0.5])).unwrap();
        let message = error(&merged, &[0.0, 0.0]).unwrap_err().to_string();
        assert_eq!(message, "distances has shape 2; expected 1, one per training point (unmerged geometry)");
    }

    #[test]
    fn bad_input_is_named() {
        let data = geometry(0.0);
        let bound = |distances: &[f64], changes: &[f64], law, delta| {
            uniform_network_error_bound(&data, distances, changes, law, 0.1, delta, Tail::Both)
        };
        assert!(bound(&steps(12, -1.0), &steps(5, 0.1), law(10), 0.1).is_err());
        assert!(bound(&steps(12, f64::NAN), &steps(5, 0.1), law(10), 0.1).is_err());
        assert!(bound(&steps(12, 0.1), &steps(4, 0.1), law(10), 0.1).is_err());
        assert!(bound(&steps(12, 0.1), &steps(5, f64::INFINITY), law(10), 0.1).is_err());
        assert!(bound(&steps(12, 0.1), &steps(5, 0.1), law(10), 1.0).is_err());
        let gaussian = NetworkLaw::standard(10, ReadoutLaw::Gaussian).unwrap();
        let message = bound(&steps(12, 0.1), &steps(5, 0.1), gaussian, 0.1).unwrap_err().to_string();
        assert_eq!(message, "the uniform error bound does not cover Gaussian readouts; expected Rademacher readouts");
    }

    /// Slope, two tails, one tail.
    const KNOWN: [(f64, [f64; 5], [f64; 5]); 2] = [
        (
            0.0,
            [1.4056822676171e-02, 2.4113475999417e-02, 1.4379953964737e-02, 2.1258829340175e-02, 1.7698128886690e-02],
            [1.3278786436188e-02, 2.2786524005332e-02, 1.3557972611878e-02, 2.0194284810594e-02, 1.6868112572841e-02],
        ),
        (
            0.3,
            [1.0172240923504e-02, 1.9962055316686e-02, 1.0132694796703e-02, 1.7060113171890e-02, 1.3164892379940e-02],
            [9.5575405807288e-03, 1.8654716525918e-02, 9.5277995273039e-03, 1.6038658572532e-02, 1.2478024551419e-02],
        ),
    ];
}
