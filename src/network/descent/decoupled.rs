//! Descent with the identity loss: neuron by neuron, in the preactivations.
//!
//! A neuron's force on its preactivations is q = (a/N) K (y∘φ'(u)), constant between sign changes. Its state is u, the
//! momentum p of u, and q: one fused pass p ← βp + q, u ← u + ηp per step (5N numbers moved, all in the first-level
//! cache for N up to about 1000), and one Gram column per sign change. If more than N/[`DENSE_SHARE`] samples change at
//! once, q is formed anew; and it is formed anew every [`REFRESH`] changes, so that rounding does not pile up.
//!
//! The weights are not followed: w̃ = w̃_0 + a Σ_n (y_n/N) C_n x̃_n at the end, with C_n = Σ_j D_j φ'(u_n at step j) and D_j
//! the displacement that a unit force of step j has caused by the end. With R_k = Σ_{j ≥ k} D_j, C_n starts as φ'_n R_0 and
//! changes by Δφ'_n R_k when sample n changes sign before step k.

use faer::{MatMut, MatRef};

use super::real::Real;
use super::{blocks, impulse_responses};
use crate::error::{Error, Result};
use crate::network::neurons::{Neurons, Weights};
use crate::problem::{Slope, TrainingSet};

/// Neurons per block: their initial preactivations and forces are matrix products.
const BLOCK: usize = 32;
const DENSE_SHARE: u32 = 4;
const REFRESH: u32 = 512;

/// What all neurons share.
pub(super) struct Problem<R> {
    count: usize,
    stride: usize,
    slope: R,
    momentum: R,
    momentum_f64: f64,
    /// (x_n, 1), stride × count.
    augmented: Vec<R>,
    /// y_n/N.
    weights: Vec<R>,
    /// ⟨x̃_n, x̃_k⟩ y_k/N, count × count: column k is what sample k does to all others.
    pushes: Vec<R>,
}

/// One neuron's arrays, reused.
struct State<R> {
    velocity: Vec<R>,
    side: Vec<bool>,
    reach: Vec<f64>,
}

impl<R: Real> Problem<R> {
    pub fn new(train: &TrainingSet, slope: Slope, momentum: f64) -> Self {
        let (count, stride) = (train.count(), train.input_dim() + 1);
        let mut augmented = Vec::with_capacity(count * stride);
        for x in train.points().iter() {
            augmented.extend(x.iter().map(|v| R::of(*v)));
            augmented.push(R::of(1.0));
        }
        let weights: Vec<R> = train.labels().iter().map(|y| R::of(y / count as f64)).collect();
        let all = MatRef::from_column_major_slice(&augmented, stride, count);
        let mut pushes = vec![R::default(); count * count];
        let panel = 64;
        use rayon::prelude::*;
        pushes.par_chunks_mut(panel * count).enumerate().for_each(|(index, out)| {
            let cols = out.len() / count;
            let right = all.subcols(index * panel, cols);
            R::multiply(MatMut::from_column_major_slice_mut(out, count, cols), false, all.transpose(), right);
            for (column, weight) in out.chunks_exact_mut(count).zip(&weights[index * panel..]) {
                column.iter_mut().for_each(|k| *k *= *weight);
            }
        });
        let (slope, momentum_f64, momentum) = (R::of(slope.value()), momentum, R::of(momentum));
        Problem { count, stride, slope, momentum, momentum_f64, augmented, weights, pushes }
    }

    /// Trains all neurons under a schedule of learning rates: the weights, and the loss before each step.
    pub fn run(&self, neurons: &Neurons, rates: &[f64]) -> Result<(Weights, Vec<f64>)> {
        // R_k for k = 0 … steps (the last is 0: a change after the final step moves nothing).
        let mut reach = impulse_responses(rates, self.momentum_f64);
        reach.push(0.0);
        for k in (0..rates.len()).rev() {
            reach[k] += reach[k + 1];
        }
        let parts = blocks(neurons.width(), BLOCK, |first, size| self.run_block(neurons, first, size, rates, &reach));
        let mut hidden = Vec::with_capacity(neurons.width() * self.stride);
        let mut readout = Vec::with_capacity(neurons.width());
        let mut losses = vec![0.0; rates.len()];
        for (block_hidden, block_readout, block_losses) in parts {
            hidden.extend(block_hidden);
            readout.extend(block_readout);
            losses.iter_mut().zip(&block_losses).for_each(|(sum, term)| *sum -= term);
        }
        let weights = Weights::from_augmented(self.stride - 1, hidden, readout).map_err(|_| Error::Diverged {
            what: "gradient descent",
            step: losses.iter().position(|l| !l.is_finite()).unwrap_or(rates.len()),
            value: f64::NAN,
        })?;
        Ok((weights, losses))
    }

    fn run_block(
        &self,
        neurons: &Neurons,
        first: usize,
        size: usize,
        rates: &[f64],
        reach: &[f64],
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (n, stride) = (self.count, self.stride);
        let (mut hidden, mut readout) = (vec![0.0; stride * size], vec![0.0; size]);
        neurons.fill(first, &mut hidden, &mut readout);
        let mut weights: Vec<R> = hidden.iter().map(|w| R::of(*w)).collect();
        let all = MatRef::from_column_major_slice(&self.augmented, stride, n);
        let mut u = vec![R::default(); n * size];
        let start = MatRef::from_column_major_slice(&weights, stride, size);
        R::multiply(MatMut::from_column_major_slice_mut(&mut u, n, size), false, all.transpose(), start);
        let mut q = self.forces(&u, &readout);
        let mut state = State { velocity: vec![R::default(); n], side: vec![false; n], reach: vec![0.0; n] };
        let mut losses = vec![0.0; rates.len()];
        let mut impulses = vec![R::default(); n * size];
        for (k, &a) in readout.iter().enumerate() {
            let columns = k * n..(k + 1) * n;
            self.run_neuron(a, &mut u[columns.clone()], &mut q[columns.clone()], &mut state, rates, reach, &mut losses);
            for ((impulse, weight), reach) in impulses[columns].iter_mut().zip(&self.weights).zip(&state.reach) {
                *impulse = R::of(a * weight.to_f64() * reach);
            }
        }
        let impulses = MatRef::from_column_major_slice(&impulses, n, size);
        R::multiply(MatMut::from_column_major_slice_mut(&mut weights, stride, size), true, all, impulses);
        (weights.iter().map(|w| w.to_f64()).collect(), readout, losses)
    }

    /// q = a·pushes·φ'(u) for each neuron (column).
    fn forces(&self, u: &[R], readout: &[f64]) -> Vec<R> {
        let (n, size) = (self.count, readout.len());
        let mut derivatives = vec![R::default(); u.len()];
        for ((out, u), a) in derivatives.chunks_exact_mut(n).zip(u.chunks_exact(n)).zip(readout) {
            let a = R::of(*a);
            out.iter_mut().zip(u).for_each(|(d, u)| *d = a * self.derivative(*u));
        }
        let mut q = vec![R::default(); u.len()];
        let pushes = MatRef::from_column_major_slice(&self.pushes, n, n);
        let derivatives = MatRef::from_column_major_slice(&derivatives, n, size);
        R::multiply(MatMut::from_column_major_slice_mut(&mut q, n, size), false, pushes, derivatives);
        q
    }

    fn derivative(&self, u: R) -> R {
        if u >= R::default() { R::of(1.0) } else { self.slope }
    }

    #[allow(clippy::too_many_arguments)] // one neuron's columns and what all share; a struct would only rename them
    fn run_neuron(
        &self,
        a: f64,
        u: &mut [R],
        q: &mut [R],
        state: &mut State<R>,
        rates: &[f64],
        reach: &[f64],
        losses: &mut [f64],
    ) {
        let zero = R::default();
        state.velocity.fill(zero);
        for (n, u) in u.iter().enumerate() {
            state.side[n] = *u >= zero;
            state.reach[n] = self.derivative(*u).to_f64() * reach[0];
        }
        let mut since_refresh = 0;
        for (step, rate) in rates.iter().enumerate() {
            losses[step] += a * R::weighted_activation(u, &self.weights, self.slope).to_f64();
            let changes = R::advance(u, &mut state.velocity, q, self.momentum, R::of(*rate));
            if changes == 0 {
                continue;
            }
            since_refresh += changes;
            let dense = changes > self.count as u32 / DENSE_SHARE || since_refresh > REFRESH;
            self.change_sides(a, u, q, state, reach[step + 1], dense);
            if dense {
                q.copy_from_slice(&self.forces(u, &[a]));
                since_refresh = 0;
            }
        }
    }

    /// Books the samples that have changed side: their reach, and (unless q is formed anew) their column in q.
    fn change_sides(&self, a: f64, u: &[R], q: &mut [R], state: &mut State<R>, reach: f64, dense: bool) {
        let step = 1.0 - self.slope.to_f64();
        for (n, u) in u.iter().enumerate() {
            let side = *u >= R::default();
            if side != state.side[n] {
                state.side[n] = side;
                let change = if side { step } else { -step };
                state.reach[n] += change * reach;
                if !dense {
                    R::add_column(q, &self.pushes[n * self.count..][..self.count], R::of(a * change));
                }
            }
        }
    }
}
