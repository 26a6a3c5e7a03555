//! Descent with the identity loss: neuron by neuron, in the preactivations.
//!
//! A neuron's force on its preactivations is q = (a/N) K (y∘φ'(u)), constant between sign changes. Its state is u, the
//! momentum p of u, and q; a step is p ← βp + q, u ← u + ηp ([`sweep`](super::sweep)), and for its sign changes the
//! cheapest of (`changes`):
//! - one Gram column per sign change;
//! - starting again from the forces with all samples above or below, one column per sample that is not;
//! - forming q anew by products with the inputs, without the Gram matrix: the force on the weights, X̃(a/N)(y∘φ'(u)), which
//!   is kept up to date sample by sample where it is known, and X̃ᵀ times it.
//!
//! Points that span a small space are replaced by their coordinates in it ([`subspace`](super::subspace)).
//!
//! Groups of neurons take all of their steps, one group after another on each thread, while a cache holds them. The first ones find out
//! whether the Gram matrix pays: it is made once half of its cost has been spent without it, and all others have it from the first step on.
//! Where a cache shared by the cores holds it, neurons are taken one after another, each with the columns as they lie there (a copy of the
//! matrix that stands column after column), or, where they change sides so often that a tile of the matrix serves many of them from the
//! second-level cache, tile after tile. They walk alone when sign changes are rare, so that their state stays in the first-level cache;
//! stretches without sign changes are then crossed in one step ([`Problem::stretch`]).
//! Where the Gram matrix comes from memory, neurons that walk together share its tiles; if it takes more than 64 MiB and a step adds N
//! columns or more, a step reads one triangle of it (`triangles`).
//! Neurons that slide, a few samples changing side every few steps and all others never, follow these samples only, through
//! blocks of steps (`confined`).
//! All choices follow from counts, never from clocks. q is formed again at the latest after 10N columns, so that
//! rounding does not pile up.
//!
//! The weights are not followed: w̃ = w̃_0 + a Σ_n (y_n/N) C_n x̃_n at the end, with C_n = Σ_j D_j φ'(u_n at step j) and D_j
//! the displacement that a unit force of step j has caused by the end. With R_k = Σ_{j ≥ k} D_j, C_n starts as φ'_n R_0 and
//! changes by Δφ'_n R_k when sample n changes sign before step k.

mod arrival;
mod block;
mod changes;
mod confined;
mod group;
mod near;
mod part;
mod schedule;
mod triangles;
mod walk;

use std::cell::OnceCell;

use rayon::prelude::*;

use super::gram::Gram;
use super::real::Real;
use super::subspace::Subspace;
use super::sweep::ROWS;
use crate::error::{Error, Result};
use crate::network::neurons::{Neurons, Weights};
use crate::problem::{Slope, TrainingSet};
use changes::{forces_of, in_tiles};
use group::{Group, SCOUTS, Slot};
use schedule::Schedule;

/// Neurons per product.
const BLOCK: usize = 32;
/// Bytes of a Gram matrix that a cache shared by the cores keeps.
const SHARED_CACHE: usize = 1 << 24;
/// Neurons per sample, as its inverse, that are worth a Gram matrix in columns besides the one in tiles.
const FEW_NEURONS: usize = 4;
/// What all neurons share.
pub(super) struct Problem<R> {
    count: usize,
    stride: usize,
    slope: R,
    momentum: R,
    momentum_f64: f64,
    /// (x_n, 1), stride × count, in coordinates of the space that the points span if that is small.
    augmented: Vec<R>,
    /// The same once more, tile after tile, in a tile coordinate after coordinate, [`ROWS`] samples each, zero beyond the last.
    tiles: Vec<R>,
    subspace: Option<Subspace<R>>,
    /// Weights of a neuron.
    weight_count: usize,
    /// y_n/N, zero beyond the last sample.
    weights: Vec<R>,
    /// Forces of a neuron with all samples above and readout 1.
    all_above: Vec<R>,
    /// ‖x̃_n‖.
    lengths: Vec<R>,
}

impl<R: Real> Problem<R> {
    pub fn new(train: &TrainingSet, slope: Slope, momentum: f64) -> Self {
        let (count, weight_count) = (train.count(), train.input_dim() + 1);
        let mut subspace = Subspace::find(train);
        let augmented = match &mut subspace {
            Some(subspace) => std::mem::take(&mut subspace.augmented),
            None => super::augmented(train),
        };
        let stride = augmented.len() / count;
        let padded = count.next_multiple_of(ROWS);
        let mut weights: Vec<R> = train.labels().iter().map(|y| R::of(y / count as f64)).collect();
        let mut all_above = forces_of(&augmented, stride, &weights);
        weights.resize(padded, R::default());
        all_above.resize(padded, R::default());
        let (slope, momentum_f64, momentum) = (R::of(slope.value()), momentum, R::of(momentum));
        let length = |x: &[R]| x.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>().sqrt();
        let mut lengths: Vec<R> = augmented.par_chunks_exact(stride).map(|x| R::of(length(x))).collect();
        lengths.resize(padded, R::default());
        Problem {
            count,
            stride,
            slope,
            momentum,
            momentum_f64,
            tiles: in_tiles(&augmented, stride),
            augmented,
            subspace,
            weight_count,
            weights,
            all_above,
            lengths,
        }
    }

    /// Whether the tiles of a step are shared between threads, not the neurons: the Gram matrix is then read from memory,
    /// and once for all neurons.
    fn shares_tiles(&self) -> bool {
        self.count * self.count * size_of::<R>() > SHARED_CACHE
    }

    /// Whether so many neurons add so many columns that a copy of the Gram matrix pays, in which each is read as it lies.
    fn wants_columns(&self, width: usize) -> bool {
        !self.shares_tiles() && width * FEW_NEURONS >= self.count
    }

    /// Trains all neurons under a schedule of learning rates: the weights, and the loss before each step. The Gram matrix is made
    /// when it is asked for, unless another run has `made` it: it comes into use when it would if this run were the first.
    pub fn run(&self, neurons: &Neurons, rates: &[f64], made: &OnceCell<Gram<R>>) -> Result<(Weights, Vec<f64>)> {
        // A rate that is infinite in the type of the steps would move even the rows that stand for no sample.
        if let Some(step) = rates.iter().position(|rate| !R::of(*rate).to_f64().is_finite()) {
            return Err(Error::Diverged { what: "gradient descent", step, value: f64::INFINITY });
        }
        let schedule = Schedule::new(rates, self.momentum_f64);
        let width = neurons.width();
        let (size, at_once) = self.groups(width, rates.len());
        let (mut hidden, mut readout) = (vec![0.0; width * self.weight_count], vec![0.0; width]);
        let ends = hidden.chunks_mut(size * self.weight_count).zip(readout.chunks_mut(size));
        let mut slots: Vec<Slot<'_, R>> =
            ends.map(|(hidden, readout)| Slot { hidden, readout, group: None, losses: Vec::new() }).collect();
        let (mut gram, mut losses, mut first) = (None, vec![0.0; rates.len()], 0);
        while first < slots.len() {
            // Some tell whether the Gram matrix pays; all others then have it from the first step on.
            let count = if first == 0 { at_once.min(SCOUTS) } else { at_once }.min(slots.len() - first);
            let wave = &mut slots[first..first + count];
            // A group takes all of its steps while a cache holds it. One that stops early asks for the Gram matrix.
            let advance = |slot: &mut Slot<'_, R>, mut group: Group<R>, gram: Option<&Gram<R>>| {
                self.advance(&mut group, gram, &schedule, width);
                if group.step < rates.len() {
                    slot.group = Some(group);
                } else {
                    slot.losses = self.finish(group, slot.hidden, slot.readout);
                }
            };
            wave.par_iter_mut().enumerate().for_each(|(index, slot)| {
                let group = self.group(neurons, (first + index) * size, slot.readout.len(), &schedule);
                advance(slot, group, gram);
            });
            if wave.iter().any(|slot| slot.group.is_some()) {
                gram = Some(made.get_or_init(|| {
                    let gram = Gram::new(&self.augmented, self.stride, self.count);
                    if self.wants_columns(width) { gram.with_columns() } else { gram }
                }));
                wave.par_iter_mut().for_each(|slot| {
                    if let Some(group) = slot.group.take() {
                        advance(slot, group, gram);
                    }
                });
            }
            for slot in wave {
                let terms = std::mem::take(&mut slot.losses);
                losses.iter_mut().zip(terms).for_each(|(sum, term)| *sum -= term);
            }
            first += count;
        }
        let weights = super::reached(self.weight_count - 1, hidden, readout, &losses)?;
        Ok((weights, losses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initialisation, Readout};
    use crate::problem::Points;
    use crate::random::Streams;

    /// A matrix that another run has made comes into use when it is asked for: so few neurons first pay for several steps without it.
    #[test]
    fn a_gram_matrix_that_is_there_already_changes_no_bit() {
        let (count, dim, width) = (150, 60, 24);
        let values = (0..count * dim).map(|i| ((i * i + i) as f64 * 0.61).sin()).collect();
        let labels = (0..count).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let train = TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap();
        let problem = Problem::<f64>::new(&train, Slope::RELU, 0.9);
        let streams = Streams::new(0, "decoupled");
        let neurons = Neurons::draw(dim, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let made = OnceCell::new();
        let (weights, losses) = problem.run(&neurons, &[1.0; 20], &made).unwrap();
        assert!(made.get().is_some());
        let (again, losses_again) = problem.run(&neurons, &[1.0; 20], &made).unwrap();
        assert_eq!(weights.hidden().len(), again.hidden().len());
        let same = weights.hidden().iter().zip(again.hidden()).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same && losses == losses_again);
    }
}
