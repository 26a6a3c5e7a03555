//! Sample moments of what single pairs of neurons contribute to a trained network and its input gradients.
//!
//! An antisymmetric network of width m is a mean over n_c = m/2 independent pairs: f_T(z) = (1/n_c) Σ Y(z) and
//! ∇f_T(x_n)/T = (1/n_c) Σ χ_n. A sample of pairs of the same law therefore tells what a network of *any* number of pairs
//! does, at a cost that does not grow with m. With a = α/√m and B̄^± the time means of (1/N) Σ_k y_k φ'(u_k) x̃_k along the
//! flows of the two neurons,
//!
//! χ_n = (α²/2)(φ'₊ B̄⁺ + φ'₋ B̄⁻) + (√m α/2T)(φ'₊ − φ'₋) w_0,   φ'_± = φ'(u_±(x_n; T)).
//!
//! Cost per pair: the two flows, and about (12d + 9M)·N multiply-adds of matrix products for M test points.

mod sums;
mod work;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::block::Block;
use super::sites::{Sites, augment};
use crate::error::{Error, Result};
use crate::network::neurons::{Initialisation, Neurons, Readout};
use crate::problem::{Points, Slope, TrainingSet, finite_positive};
use crate::random::Streams;
use sums::Sums;
use work::Work;

/// Sums are formed in this many lanes; even, so that the first half of the lanes holds half of the pairs.
const LANES: usize = 8;

/// Pairs of neurons at a time.
const PAIRS: usize = 64;

/// Pairs outside of these limits count as zero in all sums over χ, so that what is summed is bounded. Drifts are bounded by
/// themselves, and no pair is left out of their sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    /// r: |⟨e, w_0⟩| ≤ r‖e‖/√d for every direction e that is looked at.
    pub projection: f64,
    /// ‖w_0‖² ≤ this.
    pub norm_squared: f64,
    /// |α| ≤ this.
    pub readout: f64,
}

impl Truncation {
    /// No limits.
    pub const NONE: Truncation =
        Truncation { projection: f64::INFINITY, norm_squared: f64::INFINITY, readout: f64::INFINITY };
}

/// Mean and mean square of a bounded function of a pair, for many functions at once.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Sample means.
    pub mean: DMatrix<f64>,
    /// Sample means of the squares.
    pub square: DMatrix<f64>,
}

/// What a sample of pairs says; D = mean of χ.
#[derive(Debug, Clone)]
pub struct PairMoments {
    /// The number of pairs drawn.
    pub count: usize,
    /// How many of them lay outside of the [`Truncation`]; their χ count as zero.
    pub outside: usize,
    /// The drift R(z) = Y(z) − T·X(z) of a pair, X = α² φ'(u_z) V(z) at time 0: 1 × M.
    pub drift: Moments,
    /// ⟨z, χ_n⟩ for every test point z and training point n: M × N.
    pub along_test: Moments,
    /// ⟨x_n, χ_n⟩: 1 × N.
    pub along_point: Moments,
    /// ⟨q_n, χ_n⟩ with the unit vectors q_n given: 1 × N.
    pub along_centre: Moments,
    /// ‖P_n χ_n‖² with P_n the projection across q_n: 1 × N.
    pub across_centre: Moments,
    /// Mean of ‖P_n χ_n‖² with the part of w_0 left out: 1 × N.
    pub across_centre_driven: Moments,
    /// ⟨P_n χ̄_n, P_n χ̄'_n⟩ with the means over the two halves of the sample, and ‖P_n χ̄_n‖ of the first half; N each.
    pub halves: (Vec<f64>, Vec<f64>),
}

/// A sample of antisymmetric pairs to train.
pub struct PairSampling<'a> {
    train: &'a TrainingSet,
    slope: Slope,
    time: f64,
    test: &'a Points,
    centres: DMatrix<f64>,
    sites: Sites,
    test_augmented: Vec<f64>,
}

impl<'a> PairSampling<'a> {
    /// Pairs trained on `train` for `time` > 0, looked at along `test` (M points), along the training points, and along
    /// and across `centres` (d × N, one direction per training point; normalised here).
    ///
    /// # Errors
    /// time ≤ 0, infinite or NaN; shapes that do not fit; a centre that is zero or not finite; labels that all cancel.
    pub fn new(
        train: &'a TrainingSet,
        slope: Slope,
        time: f64,
        test: &'a Points,
        centres: &DMatrix<f64>,
    ) -> Result<Self> {
        let time = finite_positive("time", time)?;
        train.points().same_dimension("test points", test)?;
        if centres.shape() != train.points().as_columns().shape() {
            return Err(Error::Shape {
                name: "centres".into(),
                found: format!("{} × {}", centres.ncols(), centres.nrows()),
                expected: format!("{} × {}, one per training point", train.count(), train.input_dim()),
            });
        }
        let mut centres = centres.clone();
        for (index, mut centre) in centres.column_iter_mut().enumerate() {
            let norm = centre.norm();
            if !(norm.is_finite() && norm > 0.0) {
                return Err(Error::ZeroGradient { network: "limit function", index, norm, count: 1 });
            }
            centre /= norm;
        }
        train.check_learnable()?;
        let sites = Sites::new(train, None);
        Ok(PairSampling { train, slope, time, test, centres, sites, test_augmented: augment(test) })
    }

    /// Draws and trains `count` pairs (rounded up to an even number) with the readouts of a network of `width` neurons.
    ///
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// count or width = 0; a flow that does not end; sums that are not finite.
    pub fn run(
        &self,
        width: usize,
        count: usize,
        readout: Readout,
        truncation: Truncation,
        streams: Streams,
    ) -> Result<PairMoments> {
        let count = count.next_multiple_of(2);
        let neurons =
            Neurons::draw(self.train.input_dim(), 2 * count, Initialisation::Antisymmetric, readout, streams)?;
        let neurons = neurons.sampled_from_width(width)?;
        let lane = |lane: usize| -> Result<Sums> {
            let mut block = Block::new(&self.sites, self.slope, self.time, 2 * PAIRS);
            let mut work = Work::new(self);
            let mut sums = Sums::new(self);
            // Each half of the pairs is divided among half of the lanes.
            let half = count / 2;
            let share = |lane: usize| lane / (LANES / 2) * half + half * (lane % (LANES / 2)) / (LANES / 2);
            let end =
                if lane % (LANES / 2) == LANES / 2 - 1 { (lane / (LANES / 2) + 1) * half } else { share(lane + 1) };
            let mut first = share(lane);
            while first < end {
                let pairs = PAIRS.min(end - first);
                block.run(&neurons, 2 * first, 2 * pairs)?;
                work.load(self, &block, width, &truncation);
                sums.add(self, &work);
                first += pairs;
            }
            Ok(sums)
        };
        let lanes: Vec<Result<Sums>> = (0..LANES).into_par_iter().map(lane).collect();
        let (mut first, mut second) = (Sums::new(self), Sums::new(self));
        for (lane, sums) in lanes.into_iter().enumerate() {
            if lane < LANES / 2 { &mut first } else { &mut second }.merge(&sums?);
        }
        first.finish(&second, count)
    }
}
