//! The trained network's input gradients, enclosed from a sample of its pairs: P9.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::geometry::velocity_range;
use super::sampled::{Sampling, sampled_deviation};
use super::tail::bernstein;
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::{Points, Slope, TrainingSet, all_finite, finite_nonnegative, finite_positive};

/// An interval [low, high].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    pub(super) fn around(centre: f64, radius: f64) -> Self {
        Interval { low: centre - radius, high: centre + radius }
    }

    /// x/y for x in the interval and y in `divisor`, whose ends are positive.
    pub(super) fn divided_by(self, divisor: Interval) -> Self {
        let low = if self.low >= 0.0 { divisor.high } else { divisor.low };
        let high = if self.high >= 0.0 { divisor.low } else { divisor.high };
        Interval { low: self.low / low, high: self.high / high }
    }

    /// a + b·x.
    pub(super) fn affine(self, a: f64, b: f64) -> Self {
        let (x, y) = (a + b * self.low, a + b * self.high);
        Interval { low: x.min(y), high: x.max(y) }
    }

    pub(super) fn clamp(self, low: f64, high: f64) -> Self {
        Interval { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }

    /// x·y for x and y in the two intervals.
    pub(super) fn times(self, other: Interval) -> Self {
        let ends = [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        Interval {
            low: ends.into_iter().fold(f64::INFINITY, f64::min),
            high: ends.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Sample moments of χ_n, what a pair of neurons contributes to D_n = ∇f_T(x_n)/T (P9); N training points, M test points.
/// Pairs outside of the [`Truncation`](PairTruncation) count as zero.
#[derive(Debug, Clone)]
pub struct GradientSample {
    /// Mean and mean square of ⟨z, χ_n⟩, M × N each.
    pub along_test: [DMatrix<f64>; 2],
    /// Mean and mean square of ⟨x_n, χ_n⟩.
    pub along_point: [Vec<f64>; 2],
    /// Mean and mean square of ⟨q_n, χ_n⟩.
    pub along_limit: [Vec<f64>; 2],
    /// Mean and mean square of ‖P_n χ_n‖².
    pub across_limit: [Vec<f64>; 2],
    /// Mean of ‖P_n χ_n‖² without the part of χ_n along w_0.
    pub across_limit_driven: Vec<f64>,
    /// ⟨P_n χ̄_n, P_n χ̄'_n⟩ of the two halves' means, and ‖P_n χ̄_n‖ of the first.
    pub halves: [Vec<f64>; 2],
}

/// The event 𝓔 of P9: |⟨e, w_0⟩| ≤ r‖e‖/√d for every direction that is looked at, and ‖w_0‖² ≤ R_w².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairTruncation {
    /// r.
    pub projection: f64,
    /// R_w².
    pub norm_squared: f64,
}

impl PairTruncation {
    /// Limits that all `copies` pairs of a network keep, for `directions` directions, with probability ≥ 1 − δ: "P(𝓔ᶜ) ≤
    /// n_e e^{−r²/2} + e^{−t_w}, R_w² = 1 + 2√(t_w/d) + 2t_w/d", half of δ each.
    ///
    /// # Errors
    /// δ outside (0, 1); no inputs, directions or pairs.
    pub fn new(input_dim: usize, directions: usize, copies: usize, failure_probability: f64) -> Result<Self> {
        for (name, value) in [("input dimension", input_dim), ("directions", directions), ("copies", copies)] {
            if value == 0 {
                return Err(Error::Scalar { name, value: 0.0, expected: "at least 1" });
            }
        }
        let t = super::error::log_share(failure_probability, 2.0 * copies as f64)?;
        let share = t / input_dim as f64;
        Ok(PairTruncation {
            projection: (2.0 * (t + (directions as f64).ln())).sqrt(),
            norm_squared: 1.0 + 2.0 * share.sqrt() + 2.0 * share,
        })
    }
}

/// Intervals that hold for the gradients D_n = ∇f_T(x_n)/T of one network.
#[derive(Debug, Clone)]
pub struct GradientEnclosure {
    /// ⟨z, D_n⟩: one column per training point, M entries each.
    pub along_test: Vec<Vec<Interval>>,
    /// ⟨x_n, D_n⟩.
    pub along_point: Vec<Interval>,
    /// ⟨q_n, D_n⟩.
    pub along_limit: Vec<Interval>,
    /// ‖D_n‖; the lower end is 0 where nothing better is known.
    pub norm: Vec<Interval>,
}

impl GradientEnclosure {
    /// An error unless there are all intervals, with ends in order.
    pub(super) fn check(&self, train_count: usize, test_count: usize) -> Result<()> {
        let lists = [&self.along_point, &self.along_limit, &self.norm];
        let fits = lists.iter().all(|list| list.len() == train_count)
            && self.along_test.len() == train_count
            && self.along_test.iter().all(|row| row.len() == test_count);
        if !fits {
            let found = format!("{} training points", self.norm.len());
            let expected = format!("{train_count} training and {test_count} test points in every list");
            return Err(Error::Shape { name: "enclosure of gradients".into(), found, expected });
        }
        for interval in lists.into_iter().chain(&self.along_test).flatten() {
            let ordered = interval.low <= interval.high;
            if !ordered {
                let (name, expected) = ("lower end of an interval", "a number up to the upper end");
                return Err(Error::Scalar { name, value: interval.low, expected });
            }
        }
        Ok(())
    }
}

/// The data and the law that P9 speaks of: `Antisymmetric`, readouts ±1/√m.
#[derive(Debug, Clone, Copy)]
pub struct GradientLaw<'a> {
    /// The training set of f.
    pub train: &'a TrainingSet,
    /// γ.
    pub slope: Slope,
    /// m.
    pub width: usize,
    /// T.
    pub time: f64,
    /// d_n = v(x_n) + b(x_n), the limits of D_n (P1), d × N; q_n are their directions.
    pub limits: &'a DMatrix<f64>,
    /// 𝓔.
    pub truncation: PairTruncation,
}

/// How many events P9 takes from a sample and from a network, per training point and for M test points: t' and t must cover
/// them.
#[must_use]
pub fn gradient_events(test_count: usize, train_count: usize) -> (usize, usize) {
    // Three numbers per scalar from the sample (second moment, both sides of the mean), two from the network (both sides);
    // five and three for the norm.
    (train_count * (3 * (test_count + 2) + 5), train_count * (2 * (test_count + 2) + 3))
}

//= P9@326baaf8
/// Gradients from sampled pairs, P9: with probability at least 1 − (events of the sample)·e^{−t'} − (events of the
/// network)·e^{−t} − n_c P(𝓔ᶜ), for all n and z at once, "⟨e, D_n⟩ lies within W16's bound of its sample mean for e = z,
/// x_n, q_n, with c = ⟨e, d_n⟩ and R = β̂_e + (1−γ)√m r‖e‖/(2T√d) + |c|; and ⟨q_n, D_n⟩ ≤ ‖D_n‖ ≤ √(⟨q_n, D_n⟩² + L_n²),
/// L_n = B + √(B² + A)".
///
/// Inputs: the data and the law, the sample's moments, sizes and confidences, the test points. Tightness: the
/// largest norm of 400 networks is .42 of its upper bound (tests/certify.rs).
///
/// # Errors
/// Shapes that do not fit; time ≤ 0 or not finite; a limit d_n = 0; a mean of the sample that is not finite, or negative
/// though it is one of squares; a truncation that is negative or not finite.
pub fn gradient_enclosure(
    law: GradientLaw<'_>,
    sample: &GradientSample,
    sampling: Sampling,
    test: &Points,
) -> Result<GradientEnclosure> {
    finite_positive("time", law.time)?;
    let points = law.train.points();
    points.same_dimension("test points", test)?;
    let (d, n) = points.as_columns().shape();
    check(law, sample, test.count())?;
    let directions = law.limits.column_iter().map(|c| c / c.norm()).collect::<Vec<_>>();
    let directions = DMatrix::from_columns(&directions);
    let kicks = Kicks::new(law);

    // β̂_e of M3 for e = z, x_n, q_n.
    let (at_test, at_limits) = (products(points, test.as_columns()), products(points, &directions));
    let at_points = products(points, points.as_columns());
    let scale = 1.0 / n as f64;
    let largest = |column: &[f64]| -> f64 {
        let signed: Vec<f64> = column.iter().zip(law.train.labels()).map(|(k, y)| k * y * scale).collect();
        let (low, high) = velocity_range(&signed, law.slope);
        low.abs().max(high.abs())
    };
    let ranges = |products: &[f64]| -> Vec<f64> { products.par_chunks_exact(n).map(largest).collect() };
    let (test_ranges, limit_ranges, point_ranges) = (ranges(&at_test), ranges(&at_limits), ranges(&at_points));
    // ‖b‖² = (1/N) Σ y φ ⟨b, x⟩ ≤ β_V² (P3).
    let driven = (point_ranges.iter().sum::<f64>() * scale).sqrt();

    let interval = |moments: [f64; 2], centre: f64, range: f64, length: f64| -> Interval {
        let radius = range + kicks.projected * length + centre.abs();
        let [mean, square] = moments;
        let about = (square - 2.0 * centre * mean + centre * centre).max(0.0);
        Interval::around(mean, sampled_deviation(sampling, about, radius))
    };
    let lengths: Vec<f64> = test.iter().map(|z| norm_squared(z).sqrt()).collect();
    let limit_at = |n: usize| &law.limits.as_slice()[d * n..][..d];
    let along_test = (0..n)
        .into_par_iter()
        .map(|k| {
            let entry = |(z, point): (usize, &[f64])| {
                let moments = [sample.along_test[0][(z, k)], sample.along_test[1][(z, k)]];
                interval(moments, dot(point, limit_at(k)), test_ranges[z], lengths[z])
            };
            test.iter().enumerate().map(entry).collect()
        })
        .collect();
    let both = |moments: &[Vec<f64>; 2], k: usize| [moments[0][k], moments[1][k]];
    let along_point = (0..n).map(|k| {
        let point = points.point(k);
        let length = norm_squared(point).sqrt();
        interval(both(&sample.along_point, k), dot(point, limit_at(k)), point_ranges[k], length)
    });
    let along_limit: Vec<Interval> = (0..n)
        .map(|k| interval(both(&sample.along_limit, k), norm_squared(limit_at(k)).sqrt(), limit_ranges[k], 1.0))
        .collect();
    let norm = (0..n).map(|k| {
        let along = along_limit[k];
        let across = kicks.across(sample, sampling, driven, k, velocities_at(law, &at_points, k));
        Interval { low: along.low.max(0.0), high: along.low.abs().max(along.high.abs()).hypot(across) }
    });
    Ok(GradientEnclosure { along_test, along_point: along_point.collect(), norm: norm.collect(), along_limit })
}

/// p_n v̄_n: density at zero times the fastest velocity at x_n.
fn velocities_at(law: GradientLaw<'_>, at_points: &[f64], k: usize) -> f64 {
    let n = law.train.count();
    let column = &at_points[n * k..][..n];
    let signed: Vec<f64> =
        column.iter().zip(law.train.labels()).map(|(product, y)| y * (product + 1.0) / n as f64).collect();
    let (low, high) = velocity_range(&signed, law.slope);
    let s = (1.0 + norm_squared(law.train.points().point(k)) / law.train.input_dim() as f64).sqrt();
    (-low).max(high).max(0.0) / ((2.0 * std::f64::consts::PI).sqrt() * s)
}

/// Sizes of the part of χ along w_0, (√m/2T)(φ'₊ − φ'₋) w_0.
struct Kicks {
    /// (1−γ)√m/(2T).
    unit: f64,
    /// Times r/√d: the largest projection per unit of length of the direction.
    projected: f64,
    /// Times R_w: the largest norm.
    whole: f64,
    /// (1−γ)²√m/(2Td): times p_n v̄_n the second moment along one direction.
    variance: f64,
    root_dim: f64,
}

impl Kicks {
    fn new(law: GradientLaw<'_>) -> Self {
        let (d, step) = (law.train.input_dim() as f64, 1.0 - law.slope.value());
        let unit = step * (law.width as f64).sqrt() / (2.0 * law.time);
        Kicks {
            unit,
            projected: unit * law.truncation.projection / d.sqrt(),
            whole: unit * law.truncation.norm_squared.sqrt(),
            variance: step * unit / d,
            root_dim: d.sqrt(),
        }
    }

    /// L_n: a bound on ‖P_n D_n‖.
    fn across(&self, sample: &GradientSample, sampling: Sampling, driven: f64, k: usize, speed: f64) -> f64 {
        let largest = driven + self.whole;
        let (copies, t) = (sampling.copies(), sampling.network_t());
        let squares =
            sample.across_limit[0][k] + sampled_deviation(sampling, sample.across_limit[1][k], largest * largest);
        let driven_moment = sampling.second_moment(sample.across_limit_driven[k], driven * driven);
        let kick_moment = self.variance * speed;
        let weak = (driven_moment.sqrt() + kick_moment.sqrt()).powi(2);
        // ‖P_n Eχ_n‖ from two independent halves.
        let wander = sampling.half().sample_error(weak, largest);
        let square = (sample.halves[0][k] + sample.halves[1][k] * wander).max(0.0);
        let mean = 0.5 * wander + (0.25 * wander * wander + square).sqrt();
        let linear = mean
            + sampling.network_error(driven_moment, driven)
            + bernstein(kick_moment, 0.54 * self.unit / self.root_dim, t / copies);
        linear + (linear * linear + squares / copies).sqrt()
    }
}

/// ⟨x_k, e⟩ for all training points k, one column per direction e.
fn products(points: &Points, directions: &DMatrix<f64>) -> Vec<f64> {
    let (d, n) = points.as_columns().shape();
    let columns = directions.ncols();
    let mut products = vec![0.0; n * columns];
    let left = view(points.as_columns().as_slice(), d, n).transpose();
    multiply_parallel(&mut products, Store::Replace, 1.0, left, view(directions.as_slice(), d, columns));
    products
}

fn check(law: GradientLaw<'_>, sample: &GradientSample, test_count: usize) -> Result<()> {
    let (d, n) = law.train.points().as_columns().shape();
    if law.limits.shape() != (d, n) {
        let found = format!("{} × {}", law.limits.ncols(), law.limits.nrows());
        return Err(Error::Shape { name: "limit gradients".into(), found, expected: format!("{n} × {d}") });
    }
    if let Some(index) = law.limits.column_iter().position(|c| !(c.norm() > 0.0 && c.norm().is_finite())) {
        let norm = law.limits.column(index).norm();
        return Err(Error::ZeroGradient { network: "limit function", index, norm, count: 1 });
    }
    let lists = [&sample.along_point, &sample.along_limit, &sample.across_limit, &sample.halves];
    let fits = sample.along_test.iter().all(|m| m.shape() == (test_count, n))
        && lists.iter().all(|pair| pair.iter().all(|list| list.len() == n))
        && sample.across_limit_driven.len() == n;
    if !fits {
        let expected = format!("{test_count} test points and {n} training points");
        return Err(Error::Shape { name: "sample of pairs".into(), found: "other numbers of them".into(), expected });
    }
    finite_nonnegative("truncation", law.truncation.projection)?;
    finite_nonnegative("truncation", law.truncation.norm_squared)?;
    let means = [sample.along_test[0].as_slice(), &sample.along_point[0], &sample.along_limit[0], &sample.halves[0]];
    means.into_iter().try_for_each(|means| all_finite("mean of a sample of pairs", means))?;
    let [across, across_squares] = &sample.across_limit;
    let squares: [&[f64]; 7] = [
        sample.along_test[1].as_slice(),
        &sample.along_point[1],
        &sample.along_limit[1],
        across,
        across_squares,
        &sample.across_limit_driven,
        &sample.halves[1],
    ];
    for square in squares.into_iter().flatten() {
        finite_nonnegative("mean square of a sample of pairs", *square)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_are_not_numbers_are_refused() {
        let points = |values: &[f64]| Points::from_rows("x", values.len(), 1, values.to_vec()).unwrap();
        let (train, test) = (TrainingSet::new(points(&[0.5, -1.0]), vec![1.0, -1.0]).unwrap(), points(&[0.3]));
        let (two, limits) = (|| [vec![0.1; 2], vec![0.2; 2]], DMatrix::from_element(1, 2, 1.0));
        let good = GradientSample {
            along_test: [DMatrix::from_element(1, 2, 0.1), DMatrix::from_element(1, 2, 0.2)],
            along_point: two(),
            along_limit: two(),
            across_limit: two(),
            across_limit_driven: vec![0.1; 2],
            halves: two(),
        };
        let truncation = PairTruncation::new(1, 5, 8, 0.1).unwrap();
        let law = GradientLaw { train: &train, slope: Slope::RELU, width: 16, time: 1.0, limits: &limits, truncation };
        let sampling = Sampling::new(100, 8, 3.0, 3.0).unwrap();
        let refused = |sample: &GradientSample| gradient_enclosure(law, sample, sampling, &test).is_err();
        assert!(!refused(&good));
        let spoil: [fn(&mut GradientSample) -> &mut f64; 11] = [
            |s| &mut s.along_test[0][(0, 1)],
            |s| &mut s.along_test[1][(0, 1)],
            |s| &mut s.along_point[0][1],
            |s| &mut s.along_point[1][1],
            |s| &mut s.along_limit[0][1],
            |s| &mut s.along_limit[1][1],
            |s| &mut s.across_limit[0][1],
            |s| &mut s.across_limit[1][1],
            |s| &mut s.across_limit_driven[1],
            |s| &mut s.halves[0][1],
            |s| &mut s.halves[1][1],
        ];
        for (index, place) in spoil.into_iter().enumerate() {
            for bad in [f64::NAN, f64::INFINITY] {
                let mut sample = good.clone();
                *place(&mut sample) = bad;
                assert!(refused(&sample), "{index}: {bad}");
            }
        }
        let truncation = PairTruncation { projection: f64::NAN, ..truncation };
        assert!(gradient_enclosure(GradientLaw { truncation, ..law }, &good, sampling, &test).is_err());
    }

    #[test]
    fn a_truncation_of_nothing_is_refused() {
        for (input_dim, directions, copies) in [(0, 3, 5), (10, 0, 5), (10, 3, 0)] {
            assert!(PairTruncation::new(input_dim, directions, copies, 0.1).is_err());
        }
    }
}
