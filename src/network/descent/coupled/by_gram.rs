//! Few samples of high dimension: everything in terms of the samples.
//!
//! A step adds multiples of the samples to every neuron, so w̃_i = w̃_i(0) + Σ_n A_ni x̃_n, and the preactivations are
//! U = U(0) + K·A with the Gram matrix K of the augmented samples: one product of 2N²m operations a step instead of one of
//! 2N(d+1)m and the gradients. U is formed from A anew at each step, so rounding does not pile up beyond that of A itself.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::by_kernel::{self, Moves, Start};
use super::{State, Step, gradient_cost, gram, to_real};
use crate::network::descent::gram::LARGEST;
use crate::network::descent::real::Real;
use crate::network::neurons::Weights;

/// Chunks of samples, as tasks.
const CHUNKS: usize = 8;
/// Neurons whose outputs are added in the type of the steps; their sums are added in double precision.
const NEURONS_AT_ONCE: usize = 256;
/// Neurons of one task when the weights are formed at the end.
const NEURONS_PER_TASK: usize = 16;

/// Some samples.
struct Chunk<R> {
    first: usize,
    /// U(0), and all that follows: samples × neurons.
    initial: Vec<R>,
    preactivations: Vec<R>,
    /// The momentum of A, and A.
    velocity: Vec<R>,
    multiples: Vec<R>,
    forces: Vec<R>,
    loss: f64,
}

pub(super) struct Multiples<R> {
    /// Columns of the Gram matrix, count × count.
    gram: Vec<R>,
    /// A of all chunks, count × neurons.
    multiples: Vec<R>,
    initial: Vec<R>,
    readout: Vec<R>,
    chunks: Vec<Chunk<R>>,
}

/// Whether this route takes fewer operations, the making of the Gram matrix included.
pub(super) fn pays(count: usize, stride: usize, width: usize, steps: usize) -> bool {
    let gradients = gradient_cost(width);
    let [n, stride, width, steps] = [count, stride, width, steps].map(|v| v as f64);
    count * count <= LARGEST && steps * width * (2.0 * (1.0 + gradients) * stride - 2.0 * n) > 1.2 * n * stride
}

impl<R: Real> Multiples<R> {
    pub fn new(initial: &Weights, step: &Step<'_, R>) -> Self {
        let (count, width) = (step.count(), initial.width());
        let hidden: Vec<R> = to_real(initial.hidden());
        let stride = hidden.len() / width;
        let size = count.div_ceil(CHUNKS);
        let inputs = MatRef::from_column_major_slice(step.augmented, stride, count);
        let weights = MatRef::from_column_major_slice(&hidden, stride, width);
        let firsts: Vec<usize> = (0..count).step_by(size).collect();
        let chunks = firsts.into_par_iter().map(|first| {
            let size = size.min(count - first);
            let zeros = || vec![R::default(); size * width];
            let mut start = zeros();
            let target = MatMut::from_column_major_slice_mut(&mut start, size, width);
            R::multiply(target, false, inputs.subcols(first, size).transpose(), weights);
            let forces = vec![R::default(); size];
            let (preactivations, velocity, multiples) = (zeros(), zeros(), zeros());
            Chunk { first, initial: start, preactivations, velocity, multiples, forces, loss: 0.0 }
        });
        Multiples {
            chunks: chunks.collect(),
            gram: gram(inputs, count),
            multiples: vec![R::default(); count * width],
            initial: hidden,
            readout: to_real(initial.readout()),
        }
    }
}

impl<R: Real> Multiples<R> {
    /// A of all chunks.
    fn gather(&mut self, count: usize) {
        let chunks = &self.chunks;
        self.multiples.par_chunks_mut(count).enumerate().for_each(|(neuron, column)| {
            for chunk in chunks {
                let size = chunk.forces.len();
                column[chunk.first..][..size].copy_from_slice(&chunk.multiples[neuron * size..][..size]);
            }
        });
    }
}

impl<R: Real> State<R> for Multiples<R> {
    fn look(&mut self, step: &Step<'_, R>) -> f64 {
        let (gram, multiples, readout) = (&self.gram, &self.multiples, &self.readout);
        let count = step.count();
        self.chunks.par_iter_mut().for_each(|chunk| {
            let size = chunk.forces.len();
            chunk.preactivations.copy_from_slice(&chunk.initial);
            let columns = MatRef::from_column_major_slice(&gram[chunk.first * count..][..size * count], count, size);
            let multiples = MatRef::from_column_major_slice(multiples, count, readout.len());
            let target = MatMut::from_column_major_slice_mut(&mut chunk.preactivations, size, readout.len());
            R::multiply(target, true, columns.transpose(), multiples);
            chunk.look(step, readout);
        });
        self.chunks.iter().map(|chunk| chunk.loss).sum::<f64>() / count as f64
    }

    fn take(&mut self, step: &Step<'_, R>, rate: R) {
        let readout = &self.readout;
        self.chunks.par_iter_mut().for_each(|chunk| {
            let Chunk { preactivations, velocity, multiples, forces, .. } = chunk;
            R::to_forces(preactivations, readout, step.slope, forces);
            R::move_weights(multiples, velocity, &[preactivations], step.momentum, rate);
        });
        self.gather(step.count());
    }

    fn start(&self, step: &Step<'_, R>) -> Start<R> {
        let (count, width) = (step.count(), self.readout.len());
        let mut start = Start::new(count, width);
        let len = start.u.len() / width;
        let mut velocities = vec![R::default(); count * width];
        for chunk in &self.chunks {
            let size = chunk.forces.len();
            for neuron in 0..width {
                let own = neuron * size..(neuron + 1) * size;
                start.u[neuron * len + chunk.first..][..size].copy_from_slice(&chunk.preactivations[own.clone()]);
                velocities[neuron * count + chunk.first..][..size].copy_from_slice(&chunk.velocity[own]);
            }
        }
        by_kernel::multiply(&mut start.p, len, MatRef::from_column_major_slice(&self.gram, count, count), &velocities);
        start
    }

    fn advance(&mut self, step: &Step<'_, R>, moves: &Moves<R>) {
        let count = step.count();
        self.chunks.par_iter_mut().for_each(|chunk| {
            let size = chunk.forces.len();
            let own = chunk.multiples.chunks_exact_mut(size).zip(chunk.velocity.chunks_exact_mut(size));
            for (neuron, (multiples, velocity)) in own.enumerate() {
                let at = neuron * count + chunk.first..neuron * count + chunk.first + size;
                let moved = moves.sums[at.clone()].iter().zip(&moves.velocities[at]);
                for ((multiple, velocity), (sum, speed)) in multiples.iter_mut().zip(velocity).zip(moved) {
                    *multiple += moves.drift * *velocity + *sum;
                    *velocity = moves.drifting * *velocity + *speed;
                }
            }
        });
        self.gather(count);
    }

    fn hidden(&self, step: &Step<'_, R>) -> Vec<f64> {
        let (count, mut hidden) = (step.count(), self.initial.clone());
        let stride = hidden.len() / self.readout.len();
        let inputs = MatRef::from_column_major_slice(step.augmented, stride, count);
        let blocks =
            hidden.par_chunks_mut(stride * NEURONS_PER_TASK).zip(self.multiples.par_chunks(count * NEURONS_PER_TASK));
        blocks.for_each(|(hidden, multiples)| {
            let neurons = hidden.len() / stride;
            let multiples = MatRef::from_column_major_slice(multiples, count, neurons);
            R::multiply(MatMut::from_column_major_slice_mut(hidden, stride, neurons), true, inputs, multiples);
        });
        hidden.into_iter().map(R::to_f64).collect()
    }
}

impl<R: Real> Chunk<R> {
    /// Outputs, forces and losses of the preactivations.
    fn look(&mut self, step: &Step<'_, R>, readout: &[R]) {
        let size = self.forces.len();
        let mut outputs = vec![0.0; size];
        let blocks = self.preactivations.chunks(size * NEURONS_AT_ONCE).zip(readout.chunks(NEURONS_AT_ONCE));
        for (preactivations, readout) in blocks {
            let mut partial = vec![R::default(); size];
            R::add_outputs(preactivations, readout, step.slope, &mut partial);
            outputs.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part.to_f64());
        }
        self.loss = step.forces(self.first, &outputs, &mut self.forces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_is_chosen_by_the_count_of_operations() {
        // 2N² against 2N(d+1) and the gradients: the break-even is near N = 1.6(d+1), for few neurons 2(d+1).
        assert!(pays(10_000, 10_001, 100, 1000) && pays(1000, 785, 100, 100));
        assert!(!pays(1000, 101, 100, 1000) && !pays(10_000, 1001, 100, 1000));
        assert!(pays(1400, 785, 60, 1000) && !pays(1400, 785, 100, 1000));
        // The matrix has to pay for itself: N²(d+1) operations for one step of a single neuron are too many.
        assert!(!pays(1000, 785, 1, 1) && !pays(40_000, 40_000, 100, 1000));
    }
}
