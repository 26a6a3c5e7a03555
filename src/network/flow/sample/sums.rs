//! Sums over pairs, and the moments that they amount to.

use nalgebra::DMatrix;

use super::work::Work;
use super::{Moments, PairMoments, PairSampling};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply, norm_squared, view, view_mut};

/// Running sums of one lane.
pub(super) struct Sums {
    outside: usize,
    drift: [Vec<f64>; 2],
    along_test: [Vec<f64>; 2],
    along_point: [Vec<f64>; 2],
    along_centre: [Vec<f64>; 2],
    across: [Vec<f64>; 2],
    across_driven: [Vec<f64>; 2],
    /// Σ χ_n, d × N.
    vectors: Vec<f64>,
    centres: DMatrix<f64>,
}

impl Sums {
    pub(super) fn new(sampling: &PairSampling<'_>) -> Self {
        let (n, m, d) = (sampling.train.count(), sampling.test.count(), sampling.train.input_dim());
        let two = |len: usize| [vec![0.0; len], vec![0.0; len]];
        Sums {
            outside: 0,
            drift: two(m),
            along_test: two(m * n),
            along_point: two(n),
            along_centre: two(n),
            across: two(n),
            across_driven: two(n),
            vectors: vec![0.0; d * n],
            centres: sampling.centres.clone(),
        }
    }

    pub(super) fn add(&mut self, sampling: &PairSampling<'_>, work: &Work) {
        let stride = sampling.sites.stride;
        let (n, m, d, pairs) = (sampling.train.count(), sampling.test.count(), stride - 1, work.pairs);
        self.outside += work.outside;
        for drifts in work.drifts[..m * pairs].chunks_exact(m) {
            add_moments(&mut self.drift, drifts.iter().copied());
        }
        let coefficients = view(&work.coefficients[..n * 3 * pairs], n, 3 * pairs).transpose();
        let at_test = view(&work.at_test[..m * 3 * pairs], m, 3 * pairs);
        multiply(view_mut(&mut self.along_test[0], m, n), Store::Add, 1.0, at_test, coefficients);
        let products = view(&work.products[..n * 6 * pairs], n, 6 * pairs).transpose();
        let squares = view(&work.squares[..m * 6 * pairs], m, 6 * pairs);
        multiply(view_mut(&mut self.along_test[1], m, n), Store::Add, 1.0, squares, products);
        let vectors = view(&work.vectors[..stride * 3 * pairs], stride, 3 * pairs).subrows(0, d);
        multiply(view_mut(&mut self.vectors, d, n), Store::Add, 1.0, vectors, coefficients);
        for j in 0..pairs {
            let part = |values: &'_ [f64], part: usize| -> std::ops::Range<usize> {
                debug_assert!(values.len() >= n * 3 * pairs);
                n * (part * pairs + j)..n * (part * pairs + j) + n
            };
            let [p, q, w] = [0, 1, 2].map(|k| &work.coefficients[part(&work.coefficients, k)]);
            let combine = |values: &[f64]| -> Vec<f64> {
                let [vp, vq, vw] = [0, 1, 2].map(|k| &values[part(values, k)]);
                (0..n).map(|k| p[k] * vp[k] + q[k] * vq[k] + w[k] * vw[k]).collect()
            };
            add_moments(&mut self.along_point, combine(&work.at_points).into_iter());
            let along = combine(&work.at_centres);
            let [pp, qq, ww, pq, pw, qw] = work.inner[j];
            let across = (0..n).map(|k| {
                let [a, b, c] = [p[k], q[k], w[k]];
                let whole = a * a * pp + b * b * qq + c * c * ww + 2.0 * (a * b * pq + a * c * pw + b * c * qw);
                (whole - along[k] * along[k]).max(0.0)
            });
            add_moments(&mut self.across, across);
            let [cp, cq] = [0, 1].map(|k| &work.at_centres[part(&work.at_centres, k)]);
            let driven = (0..n).map(|k| {
                let (a, b) = (p[k], q[k]);
                let own = a * cp[k] + b * cq[k];
                (a * a * pp + b * b * qq + 2.0 * a * b * pq - own * own).max(0.0)
            });
            add_moments(&mut self.across_driven, driven);
            add_moments(&mut self.along_centre, along.iter().copied());
        }
    }

    pub(super) fn merge(&mut self, later: &Sums) {
        self.outside += later.outside;
        let add = |mine: &mut Vec<f64>, theirs: &[f64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        let pairs = [
            (&mut self.drift, &later.drift),
            (&mut self.along_test, &later.along_test),
            (&mut self.along_point, &later.along_point),
            (&mut self.along_centre, &later.along_centre),
            (&mut self.across, &later.across),
            (&mut self.across_driven, &later.across_driven),
        ];
        for (mine, theirs) in pairs {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| add(mine, theirs));
        }
        add(&mut self.vectors, &later.vectors);
    }

    /// Means over both halves of the sample; self is the first.
    pub(super) fn finish(mut self, second: &Sums, count: usize) -> Result<PairMoments> {
        let (d, n) = self.centres.shape();
        let across = |vectors: &[f64]| -> Vec<f64> {
            let mut vectors: Vec<f64> = vectors.iter().map(|v| v / (count / 2) as f64).collect();
            for (vector, centre) in vectors.chunks_exact_mut(d).zip(self.centres.as_slice().chunks_exact(d)) {
                let along = dot(vector, centre);
                vector.iter_mut().zip(centre).for_each(|(v, c)| *v -= along * c);
            }
            vectors
        };
        let (mine, theirs) = (across(&self.vectors), across(&second.vectors));
        let columns = mine.chunks_exact(d).zip(theirs.chunks_exact(d));
        let halves = (
            columns.map(|(a, b)| dot(a, b)).collect(),
            mine.chunks_exact(d).map(|a| norm_squared(a).sqrt()).collect::<Vec<f64>>(),
        );
        self.merge(second);
        let moments = |sums: [Vec<f64>; 2], rows: usize| {
            let [mean, square] = sums.map(|sums| {
                let columns = sums.len() / rows;
                DMatrix::from_vec(rows, columns, sums) / count as f64
            });
            Moments { mean, square }
        };
        let m = self.along_test[0].len() / n;
        let result = PairMoments {
            count,
            outside: self.outside,
            drift: moments(self.drift, 1),
            along_test: moments(self.along_test, m),
            along_point: moments(self.along_point, 1),
            along_centre: moments(self.along_centre, 1),
            across_centre: moments(self.across, 1),
            across_centre_driven: moments(self.across_driven, 1),
            halves,
        };
        let finite = |moments: &Moments| moments.square.iter().all(|v| v.is_finite());
        if [&result.drift, &result.along_test, &result.across_centre].into_iter().all(finite) {
            return Ok(result);
        }
        let reason = "a moment is not finite: the data or the time are too large for double precision".into();
        Err(Error::Numerical { routine: "sampling of neurons", reason })
    }
}

/// Adds values and their squares.
fn add_moments(sums: &mut [Vec<f64>; 2], values: impl Iterator<Item = f64>) {
    let [mean, square] = sums;
    for ((mean, square), value) in mean.iter_mut().zip(square).zip(values) {
        *mean += value;
        *square += value * value;
    }
}
