//! Wide networks: blocks of neurons.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::by_kernel::{Moves, Start};
use super::{State, Step, to_real};
use crate::network::descent::real::Real;
use crate::network::lookup::Sums;
use crate::network::neurons::Weights;

/// A block of neurons with its momentum and its preactivations of the last forward product.
struct Block<R> {
    weights: Vec<R>,
    velocity: Vec<R>,
    readout: Vec<R>,
    preactivations: Vec<R>,
}

pub(super) struct Neurons<R> {
    blocks: Vec<Block<R>>,
    forces: Vec<R>,
}

/// Neurons per block, a function of the width alone: enough blocks to share, enough neurons for efficient products.
fn block_size(width: usize) -> usize {
    width.div_ceil(8).clamp(16, 256)
}

impl<R: Real> Neurons<R> {
    pub fn new(initial: &Weights, count: usize) -> Self {
        let size = block_size(initial.width());
        let blocks = initial
            .hidden()
            .chunks(size * (initial.input_dim() + 1))
            .zip(initial.readout().chunks(size))
            .map(|(hidden, readout)| Block {
                weights: to_real(hidden),
                velocity: vec![R::default(); hidden.len()],
                readout: to_real(readout),
                preactivations: vec![R::default(); count * readout.len()],
            })
            .collect();
        Neurons { blocks, forces: vec![R::default(); count] }
    }
}

impl<R: Real> State<R> for Neurons<R> {
    fn look(&mut self, step: &Step<'_, R>) -> f64 {
        let sums: Vec<Vec<f64>> = self.blocks.par_iter_mut().map(|block| block.forward(step)).collect();
        let mut outputs = vec![0.0; step.count()];
        for sum in sums {
            outputs.iter_mut().zip(&sum).for_each(|(f, s)| *f += s);
        }
        step.forces(0, &outputs, &mut self.forces) / step.count() as f64
    }

    fn take(&mut self, step: &Step<'_, R>, rate: R) {
        let forces = &self.forces;
        self.blocks.par_iter_mut().for_each(|block| block.update(step, forces, rate));
    }

    fn start(&self, step: &Step<'_, R>) -> Start<R> {
        let all = |part: fn(&Block<R>) -> &[R]| self.blocks.iter().map(part).collect::<Vec<_>>().concat();
        Start::from_weights(step, &all(|block| &block.weights), &all(|block| &block.velocity))
    }

    fn advance(&mut self, step: &Step<'_, R>, moves: &Moves<R>) {
        let size = self.blocks[0].readout.len();
        self.blocks.par_iter_mut().enumerate().for_each(|(index, block)| {
            moves.apply(step, index * size, &mut block.weights, &mut block.velocity);
        });
    }

    fn hidden(&self, _: &Step<'_, R>) -> Vec<f64> {
        self.blocks.iter().flat_map(|block| block.weights.iter().map(|w| w.to_f64())).collect()
    }
}

impl<R: Real> Block<R> {
    /// Preactivations, and this block's share of the outputs (blocks are added in double precision).
    fn forward(&mut self, step: &Step<'_, R>) -> Vec<f64> {
        let (count, size) = (step.count(), self.readout.len());
        let stride = self.weights.len() / size;
        let inputs = MatRef::from_column_major_slice(step.augmented, stride, count);
        let weights = MatRef::from_column_major_slice(&self.weights, stride, size);
        let target = MatMut::from_column_major_slice_mut(&mut self.preactivations, count, size);
        R::multiply(target, false, inputs.transpose(), weights);
        let mut partial = vec![R::default(); count];
        R::add_outputs(&self.preactivations, &self.readout, step.slope, &mut partial);
        partial.into_iter().map(R::to_f64).collect()
    }

    /// Takes the step that the forces on the samples ask for.
    fn update(&mut self, step: &Step<'_, R>, forces: &[R], rate: R) {
        let (count, size) = (step.count(), self.readout.len());
        let stride = self.weights.len() / size;
        self.velocity.iter_mut().for_each(|v| *v *= step.momentum);
        // All blocks of a wide network but the last are large enough to pay for tables.
        let (columns, slope, scales) = (step.augmented, step.slope, &self.readout);
        let sides = &R::sides(&self.preactivations, count, count);
        R::add_sums(&Sums { columns, stride, factors: forces, slope, sides, scales }, &mut self.velocity);
        for (w, v) in self.weights.iter_mut().zip(&self.velocity) {
            *w += rate * *v;
        }
    }
}
