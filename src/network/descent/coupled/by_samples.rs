//! Narrow networks: chunks of samples.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::by_kernel::{Moves, Start};
use super::{State, Step, to_real};
use crate::network::descent::real::Real;
use crate::network::lookup::{self, Sums};
use crate::network::neurons::Weights;

/// Chunks of samples: enough to share, few enough for efficient products and few gradients to add.
const CHUNKS: usize = 8;
/// Neurons of one task at the end of a block of steps.
const NEURONS_PER_TASK: usize = 16;
/// Weights that are updated at a time.
const WEIGHTS_AT_ONCE: usize = 1 << 15;

/// Some samples: what the network does to them, and what they want it to do.
struct Chunk<R> {
    first: usize,
    preactivations: Vec<R>,
    outputs: Vec<R>,
    forces: Vec<R>,
    gradient: Vec<R>,
    loss: f64,
}

pub(super) struct Samples<R> {
    weights: Vec<R>,
    velocity: Vec<R>,
    readout: Vec<R>,
    chunks: Vec<Chunk<R>>,
}

impl<R: Real> Samples<R> {
    pub fn new(initial: &Weights, count: usize) -> Self {
        let size = count.div_ceil(CHUNKS);
        let zeros = |len: usize| vec![R::default(); len];
        let chunks = (0..count).step_by(size).map(|first| {
            let size = size.min(count - first);
            let (preactivations, gradient) = (zeros(size * initial.width()), zeros(initial.hidden().len()));
            Chunk { first, preactivations, outputs: zeros(size), forces: zeros(size), gradient, loss: 0.0 }
        });
        Samples {
            weights: to_real(initial.hidden()),
            velocity: zeros(initial.hidden().len()),
            readout: to_real(initial.readout()),
            chunks: chunks.collect(),
        }
    }
}

impl<R: Real> State<R> for Samples<R> {
    fn look(&mut self, step: &Step<'_, R>) -> f64 {
        let (weights, readout) = (&self.weights, &self.readout);
        self.chunks.par_iter_mut().for_each(|chunk| chunk.pass(step, weights, readout));
        self.chunks.iter().map(|chunk| chunk.loss).sum::<f64>() / step.count() as f64
    }

    fn take(&mut self, step: &Step<'_, R>, rate: R) {
        let chunks = &self.chunks;
        let parts = self.weights.par_chunks_mut(WEIGHTS_AT_ONCE).zip(self.velocity.par_chunks_mut(WEIGHTS_AT_ONCE));
        parts.enumerate().for_each(|(part, (weights, velocity))| {
            let range = part * WEIGHTS_AT_ONCE..part * WEIGHTS_AT_ONCE + weights.len();
            let gradients: Vec<&[R]> = chunks.iter().map(|chunk| &chunk.gradient[range.clone()]).collect();
            R::move_weights(weights, velocity, &gradients, step.momentum, rate);
        });
    }

    fn start(&self, step: &Step<'_, R>) -> Start<R> {
        Start::from_weights(step, &self.weights, &self.velocity)
    }

    fn advance(&mut self, step: &Step<'_, R>, moves: &Moves<R>) {
        let size = NEURONS_PER_TASK * self.weights.len() / self.readout.len();
        let parts = self.weights.par_chunks_mut(size).zip(self.velocity.par_chunks_mut(size));
        parts.enumerate().for_each(|(part, (weights, velocity))| {
            moves.apply(step, part * NEURONS_PER_TASK, weights, velocity);
        });
    }

    fn hidden(&self, _: &Step<'_, R>) -> Vec<f64> {
        self.weights.iter().map(|w| w.to_f64()).collect()
    }
}

impl<R: Real> Chunk<R> {
    /// Forward product, forces, backward product.
    fn pass(&mut self, step: &Step<'_, R>, weights: &[R], readout: &[R]) {
        let (size, width) = (self.outputs.len(), readout.len());
        let stride = weights.len() / width;
        let columns = &step.augmented[self.first * stride..][..size * stride];
        let inputs = MatRef::from_column_major_slice(columns, stride, size);
        let weights = MatRef::from_column_major_slice(weights, stride, width);
        let target = MatMut::from_column_major_slice_mut(&mut self.preactivations, size, width);
        R::multiply(target, false, inputs.transpose(), weights);
        self.outputs.fill(R::default());
        R::add_outputs(&self.preactivations, readout, step.slope, &mut self.outputs);
        let outputs: Vec<f64> = self.outputs.iter().map(|f| f.to_f64()).collect();
        self.loss = step.forces(self.first, &outputs, &mut self.forces);
        if lookup::pays(width) {
            let sides = R::sides(&self.preactivations, size, size);
            let task =
                Sums { columns, stride, factors: &self.forces, slope: step.slope, sides: &sides, scales: readout };
            self.gradient.fill(R::default());
            return R::add_sums(&task, &mut self.gradient);
        }
        R::to_forces(&mut self.preactivations, readout, step.slope, &self.forces);
        let forces = MatRef::from_column_major_slice(&self.preactivations, size, width);
        let target = MatMut::from_column_major_slice_mut(&mut self.gradient, stride, width);
        R::multiply(target, false, inputs, forces);
    }
}
