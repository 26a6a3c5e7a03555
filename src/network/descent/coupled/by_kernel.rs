//! Between sign changes: outputs that move by the tangent kernel.
//!
//! While no sample changes its side of a neuron, the network is linear in its weights: outputs move by v ← βv + Θc, f ← f + ηv, where
//! c_n = y_n g(y_n f_n)/N are the forces and Θ_nk = ⟨x̃_n, x̃_k⟩ Σ_i a_i² φ'(u_in) φ'(u_ik). That is N² operations a step, whatever the
//! width and the dimension. A sign change adds two rows to Θ, u to f and a velocity to v.
//!
//! That none is missed: with p_in, q_in the velocity and the force on u_in at the beginning of a block of steps, r_in what the force was
//! seen to change by in a step, and b, B, R what a start velocity, a constant force and one that grows as the steps move,
//! u_in + b p_in + B q_in + R r_in is off by what the forces on the samples have moved beyond that, D_k, hence by at most
//! |a_i| ‖x̃_n‖ Σ_k ‖x̃_k‖ |D_k| and the sign changes of the neuron since. A pair that this cannot decide is computed from all samples.
//! At the end of a block one product gives the weights what their samples have pushed in sum.

mod block;
mod loops;
mod neuron;
mod tangent;

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use block::{Block, Shared};
pub(in crate::network::descent) use loops::Loops;
use tangent::{Tangent, padded};

use super::{Step, gradient_cost, to_real};
use crate::network::descent::gram::LARGEST;
use crate::network::descent::real::Real;

/// Pairs of neuron and sample that a block keeps at most.
const MOST_PAIRS: usize = 1 << 25;
/// Steps before the first block, as most sides change in the first ones; and between blocks that have not paid.
const FIRST: usize = 16;
const LONGEST_PATIENCE: usize = 256;
/// Steps of a block at most: f is the sum of so many movements.
const LONGEST_BLOCK: usize = 1024;
/// Neurons of a task.
const NEURONS_PER_TASK: usize = 32;

/// Where all neurons stand at the beginning of a block: u, the velocities p of u, the forces q on it and their trend, each [`padded`] ×
/// neurons, padded with u = 1 and else 0.
pub(super) struct Start<R> {
    pub u: Vec<R>,
    pub p: Vec<R>,
    pub q: Vec<R>,
    pub r: Vec<R>,
}

impl<R: Real> Start<R> {
    /// Preactivations and their velocities, padded; forces are still missing.
    pub fn new(count: usize, width: usize) -> Self {
        let zeros = || vec![R::default(); padded(count) * width];
        let mut u = zeros();
        u.par_chunks_exact_mut(padded(count)).for_each(|u| u[count..].fill(R::of(1.0)));
        Start { u, p: zeros(), q: zeros(), r: Vec::new() }
    }

    /// From the weights of all neurons and their velocities, each stride × neurons.
    pub fn from_weights(step: &Step<'_, R>, weights: &[R], velocities: &[R]) -> Self {
        let count = step.count();
        let (len, stride) = (padded(count), step.stride());
        let mut start = Start::new(count, weights.len() / stride);
        multiply(&mut start.u, len, step.inputs().transpose(), weights);
        multiply(&mut start.p, len, step.inputs().transpose(), velocities);
        start
    }

    /// The multiples of the samples that factors of these move the weights by: a_i φ'(u_in) factor_n, count × neurons.
    fn multiples(&self, factors: &[R], readout: &[R], slope: R) -> Vec<R> {
        let count = factors.len();
        let mut multiples = vec![R::default(); count * readout.len()];
        let neurons = self.u.par_chunks_exact(padded(count)).zip(readout.par_chunks(1));
        multiples.par_chunks_exact_mut(count).zip(neurons).for_each(|(multiples, (u, a))| {
            multiples.copy_from_slice(&u[..count]);
            R::to_forces(multiples, a, slope, factors);
        });
        multiples
    }
}

/// Of some neurons at a time: the product of a matrix with their columns, in the first rows of columns of `len` numbers.
pub(super) fn multiply<R: Real>(target: &mut [R], len: usize, matrix: MatRef<'_, R>, columns: &[R]) {
    let (rows, height) = (matrix.nrows(), matrix.ncols());
    let blocks = target.par_chunks_mut(len * NEURONS_PER_TASK).zip(columns.par_chunks(height * NEURONS_PER_TASK));
    blocks.for_each(|(target, columns)| {
        let neurons = columns.len() / height;
        let target = MatMut::from_column_major_slice_mut(target, len, neurons).subrows_mut(0, rows);
        R::multiply(target, false, matrix, MatRef::from_column_major_slice(columns, height, neurons));
    });
}

/// What a block has moved: the weights of neuron i by b times their velocity and Σ_n sums_in x̃_n, their velocity to β^k times itself and
/// Σ_n velocities_in x̃_n.
pub(super) struct Moves<R> {
    pub drift: R,
    pub drifting: R,
    /// count × neurons.
    pub sums: Vec<R>,
    pub velocities: Vec<R>,
}

impl<R: Real> Moves<R> {
    /// Moves some neurons, from the one with this number on, by their samples.
    pub fn apply(&self, step: &Step<'_, R>, first: usize, weights: &mut [R], velocity: &mut [R]) {
        let count = step.count();
        let (stride, inputs) = (step.stride(), step.inputs());
        let neurons = weights.len() / stride;
        weights.iter_mut().zip(&*velocity).for_each(|(w, v)| *w += self.drift * *v);
        velocity.iter_mut().for_each(|v| *v *= self.drifting);
        for (values, multiples) in [(weights, &self.sums), (velocity, &self.velocities)] {
            let multiples = &multiples[first * count..][..neurons * count];
            let multiples = MatRef::from_column_major_slice(multiples, count, neurons);
            R::multiply(MatMut::from_column_major_slice_mut(values, stride, neurons), true, inputs, multiples);
        }
    }
}

/// Estimated nanoseconds on one core, of a step on the other route, of one by the kernel, and of a block's beginning and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    pub other: f64,
    pub step: f64,
    pub block: f64,
    /// Of forming the kernel, of a pair that is computed from all samples, and of a sign change.
    pub form: f64,
    pub pair: f64,
    pub change: f64,
}

/// Decides when steps go by the kernel, and takes them.
pub(super) struct Route<R> {
    pub costs: Costs,
    by_gram: bool,
    tangent: Option<Tangent<R>>,
    lengths: Vec<R>,
    readout: Vec<R>,
    block: Option<Block<R>>,
    /// What c changed by in a step of the last block, and the step that follows this.
    trend: (usize, Vec<f64>),
    /// The step before which no block begins.
    pub next: usize,
    patience: usize,
    /// Steps taken by the kernel so far, sign changes in them, and blocks that have ended.
    pub taken: (usize, usize, usize),
}

impl<R: Real> Route<R> {
    /// `by_gram`: whether other steps go by the Gram matrix, which is then used in place of the inputs.
    pub fn new(readout: &[f64], step: &Step<'_, R>, by_gram: bool) -> Self {
        let count = step.count();
        let stride = step.stride();
        let squared = |x: &[R]| x.iter().map(|v| v.to_f64().powi(2)).sum::<f64>();
        let mut lengths: Vec<R> = step.augmented.chunks_exact(stride).map(|x| R::of(squared(x).sqrt())).collect();
        lengths.resize(padded(count), R::default());
        let readout: Vec<R> = to_real(readout);
        let costs = Costs::new(count, stride, readout.len(), size_of::<R>(), by_gram);
        let (next, patience, trend) = (FIRST, FIRST, (0, Vec::new()));
        Route { costs, by_gram, tangent: None, lengths, readout, block: None, trend, next, patience, taken: (0, 0, 0) }
    }

    /// The mean loss, if a block is under way.
    pub fn look(&mut self, step: &Step<'_, R>) -> Option<f64> {
        self.block.as_mut().map(|block| block.look(step))
    }

    /// Whether a block is to begin at a step; `remaining`: steps from this one on.
    pub fn begins(&self, step: &Step<'_, R>, at: usize, remaining: usize) -> bool {
        let (count, width) = (step.count(), self.readout.len());
        let Costs { other, step, block, .. } = self.costs;
        self.block.is_none()
            && at >= self.next
            && count * count <= LARGEST
            && padded(count) * width <= MOST_PAIRS
            && 2.0 * step < other
            && remaining as f64 * (other - step) > 4.0 * block
    }

    pub fn begin(&mut self, start: Start<R>, step: &Step<'_, R>, at: usize) {
        let tangent = self.tangent.get_or_insert_with(|| Tangent::new(step));
        // Changes are made one after another, and the forming is shared.
        tangent.follow(&start.u, &self.readout, 0.5 * self.costs.form / self.costs.change);
        let trend = if self.trend.0 == at { std::mem::take(&mut self.trend.1) } else { Vec::new() };
        let mut block = Block::new(start, trend, step, &self.readout);
        // The forces on u, by way of those on the weights or of the Gram matrix.
        let (count, len) = (step.count(), padded(step.count()));
        let forces_on_u = |forces: &[f64]| {
            let multiples = block.start.multiples(&to_real(forces), &self.readout, step.slope);
            let mut forces = vec![R::default(); len * self.readout.len()];
            if self.by_gram {
                let gram = MatRef::from_column_major_slice(&tangent.gram, len, count).subrows(0, count);
                multiply(&mut forces, len, gram, &multiples);
            } else {
                let mut on_weights = vec![R::default(); step.stride() * self.readout.len()];
                multiply(&mut on_weights, step.stride(), step.inputs(), &multiples);
                multiply(&mut forces, len, step.inputs().transpose(), &on_weights);
            }
            forces
        };
        let q = forces_on_u(&block.first_forces);
        let r = if block.trend.is_empty() { vec![R::default(); q.len()] } else { forces_on_u(&block.trend) };
        (block.start.q, block.start.r) = (q, r);
        block.trend.resize(count, 0.0);
        self.block = Some(block);
    }

    pub fn is_under_way(&self) -> bool {
        self.block.is_some()
    }

    /// Takes a step of the block that is under way; what the block has moved if it ends by that.
    pub fn take(&mut self, step: &Step<'_, R>, rate: f64, at: usize, remaining: usize) -> Option<Moves<R>> {
        let (block, tangent) = (self.block.as_mut()?, self.tangent.as_mut()?);
        let (momentum, slope, rate) = (step.momentum.to_f64(), step.slope, R::of(rate).to_f64());
        let shared = Shared { tangent, lengths: &self.lengths, readout: &self.readout, slope, momentum, rate };
        let (exact, crossings) = block.take(shared);
        block.spent += self.costs.pair * exact as f64 + self.costs.change * crossings as f64;
        self.taken = (self.taken.0 + 1, self.taken.1 + crossings, self.taken.2);
        if block.spent <= self.costs.block && block.motion.age < LONGEST_BLOCK && remaining > 1 {
            return None;
        }
        self.taken.2 += 1;
        let moves = block.moves(slope, &self.readout);
        let saved = block.motion.age as f64 * (self.costs.other - self.costs.step) - block.spent - self.costs.block;
        self.patience = if saved > 0.0 { 1 } else { (2 * self.patience).clamp(FIRST, LONGEST_PATIENCE) };
        self.next = at + self.patience;
        self.trend = (at + 1, block.seen_trend());
        self.block = None;
        Some(moves)
    }
}

impl Costs {
    fn new(count: usize, stride: usize, width: usize, bytes: usize, by_gram: bool) -> Self {
        let gradients = if by_gram { 0.0 } else { gradient_cost(width) };
        let [count, stride, width, bytes] = [count, stride, width, bytes].map(|v| v as f64);
        // Of a product, per multiplication and addition.
        let operation = 0.045 * bytes / 8.0;
        let product = count * (if by_gram { count } else { stride }) * width * operation;
        let kernel = count * count * bytes;
        // From the cache that the cores share, or from memory.
        let per_byte = if kernel <= 16e6 { 0.03 } else { 0.12 };
        let (few, form) = (10_000.0 + 20.0 * count, count * count * width * operation);
        Costs {
            other: (1.0 + gradients) * product,
            step: few + 30.0 * width + 0.5 * kernel * per_byte,
            block: few + 8.0 * product + form,
            form,
            // A column of the Gram matrix; half a row of tiles and a cache line of each below, read and written.
            pair: count * (operation + bytes * per_byte) + 100.0,
            change: 0.5 * count * (bytes + 64.0) * 2.0 * per_byte + 100.0,
        }
    }
}
