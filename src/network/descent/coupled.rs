//! Descent with any loss: two matrix products per step and block of neurons.
//!
//! Per step 4mN(d+1) floating-point operations. The forward product of all blocks comes first (its sum gives the
//! outputs, hence the forces of the loss), then the backward product of each block with its update.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::real::Real;
use super::{Descent, Trained, flow_time};
use crate::error::Result;
use crate::loss::Loss;
use crate::network::neurons::Weights;
use crate::network::plateau::Plateau;
use crate::problem::{Slope, TrainingSet};

/// A block of neurons with its momentum and its preactivations of the last forward product.
struct Block<R> {
    weights: Vec<R>,
    velocity: Vec<R>,
    readout: Vec<R>,
    preactivations: Vec<R>,
}

/// Neurons per block, a function of the width alone: enough blocks to share, enough neurons for efficient products.
fn block_size(width: usize) -> usize {
    width.div_ceil(8).clamp(16, 256)
}

pub(super) fn train<R: Real>(
    descent: &Descent,
    initial: &Weights,
    slope: Slope,
    train: &TrainingSet,
    loss: &dyn Loss,
) -> Result<Trained> {
    let (count, stride) = (train.count(), train.input_dim() + 1);
    let mut augmented = Vec::with_capacity(count * stride);
    for x in train.points().iter() {
        augmented.extend(x.iter().map(|v| R::of(*v)));
        augmented.push(R::of(1.0));
    }
    let inputs = MatRef::from_column_major_slice(&augmented, stride, count);
    let size = block_size(initial.width());
    let to_real = |values: &[f64]| values.iter().map(|v| R::of(*v)).collect::<Vec<R>>();
    let mut blocks: Vec<Block<R>> = initial
        .hidden()
        .chunks(size * stride)
        .zip(initial.readout().chunks(size))
        .map(|(hidden, readout)| Block {
            weights: to_real(hidden),
            velocity: vec![R::default(); hidden.len()],
            readout: to_real(readout),
            preactivations: vec![R::default(); count * readout.len()],
        })
        .collect();

    let gamma = R::of(slope.value());
    let momentum = R::of(descent.momentum);
    let (mut rule, mut rate) = (Plateau::default(), descent.learning_rate);
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..descent.steps {
        let sums: Vec<Vec<f64>> = blocks.par_iter_mut().map(|block| block.forward(inputs, gamma)).collect();
        let mut outputs = vec![0.0; count];
        for sum in sums {
            outputs.iter_mut().zip(&sum).for_each(|(f, s)| *f += s);
        }
        let margins: Vec<f64> = outputs.iter().zip(train.labels()).map(|(f, y)| y * f).collect();
        let mean_loss = margins.iter().map(|margin| loss.value(*margin)).sum::<f64>() / count as f64;
        losses.push(mean_loss);
        rates.push(rate);
        if !mean_loss.is_finite() {
            break;
        }
        let forces: Vec<R> = margins
            .iter()
            .zip(train.labels())
            .map(|(margin, y)| R::of(y * loss.force(*margin) / count as f64))
            .collect();
        blocks.par_iter_mut().for_each(|block| block.update(inputs, gamma, &forces, momentum, R::of(rate)));
        if descent.plateau {
            rate = rule.step(mean_loss, rate);
        }
    }
    let hidden: Vec<f64> = blocks.iter().flat_map(|block| block.weights.iter().map(|w| w.to_f64())).collect();
    // A loss that is not finite is reported by the caller, with its step; the weights are then the initial ones.
    let weights = if losses.last().is_none_or(|loss| loss.is_finite()) {
        Weights::from_augmented(stride - 1, hidden, initial.readout().to_vec())?
    } else {
        initial.clone()
    };
    let flow_time = flow_time(&rates, descent.momentum);
    Ok(Trained { weights, losses, learning_rates: rates, flow_time })
}

impl<R: Real> Block<R> {
    /// Preactivations, and this block's share of the outputs (summed in double precision).
    fn forward(&mut self, inputs: MatRef<'_, R>, slope: R) -> Vec<f64> {
        let (stride, count, size) = (inputs.nrows(), inputs.ncols(), self.readout.len());
        let weights = MatRef::from_column_major_slice(&self.weights, stride, size);
        let target = MatMut::from_column_major_slice_mut(&mut self.preactivations, count, size);
        R::multiply(target, false, inputs.transpose(), weights);
        let mut partial = vec![R::default(); count];
        for (column, a) in self.preactivations.chunks_exact(count).zip(&self.readout) {
            for (sum, u) in partial.iter_mut().zip(column) {
                *sum += *a * if *u >= R::default() { *u } else { slope * *u };
            }
        }
        partial.into_iter().map(Real::to_f64).collect()
    }

    /// Turns the preactivations into forces, and takes the step.
    fn update(&mut self, inputs: MatRef<'_, R>, slope: R, forces: &[R], momentum: R, rate: R) {
        let (stride, count, size) = (inputs.nrows(), inputs.ncols(), self.readout.len());
        for (column, a) in self.preactivations.chunks_exact_mut(count).zip(&self.readout) {
            let below = *a * slope;
            for (u, force) in column.iter_mut().zip(forces) {
                *u = *force * if *u >= R::default() { *a } else { below };
            }
        }
        self.velocity.iter_mut().for_each(|v| *v *= momentum);
        let forces = MatRef::from_column_major_slice(&self.preactivations, count, size);
        let target = MatMut::from_column_major_slice_mut(&mut self.velocity, stride, size);
        R::multiply(target, true, inputs, forces);
        for (w, v) in self.weights.iter_mut().zip(&self.velocity) {
            *w += rate * *v;
        }
    }
}
