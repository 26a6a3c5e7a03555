//! Outputs and input gradients of a network, block of neurons by block of neurons.
//!
//! Blocks have a fixed size and their sums are added in order, so that results do not depend on the number of threads.
//! Rounding: a preactivation errs by (d + 1)ε‖w̃‖‖x̃‖, a sum over m neurons by (BLOCK + m/BLOCK)ε Σ|a_i φ(u_i)|.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::neurons::{Neurons, Weights};
use crate::error::{Error, Result};
use crate::linalg::{Store, multiply, view, view_mut};
use crate::problem::{Points, Slope};

/// Neurons per block.
const BLOCK: usize = 256;

/// f at the given points.
///
/// # Errors
/// Points of another dimension.
pub fn outputs(weights: &Weights, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(weights.input_dim(), points)?;
    let blocks = weights.hidden().par_chunks(BLOCK * (points.input_dim() + 1));
    let sums: Vec<Vec<f64>> =
        blocks.zip(weights.readout().par_chunks(BLOCK)).map(|(w, a)| block_outputs(w, a, slope, points)).collect();
    Ok(in_order(sums, points.count()))
}

/// f_0 at the given points for a network that is drawn block by block and never stored.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_streamed(neurons: &Neurons, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(neurons.input_dim(), points)?;
    let sums = streamed(neurons, points.count(), |w, a| block_outputs(w, a, slope, points));
    Ok(sums)
}

/// ∇_x f at the given points, d × count, one column per point. At a point on a neuron's boundary φ'(0) = 1 (the
/// reference framework takes γ there; random weights never meet the case).
///
/// # Errors
/// Points of another dimension.
pub fn input_gradients(weights: &Weights, slope: Slope, points: &Points) -> Result<DMatrix<f64>> {
    same_dimension(weights.input_dim(), points)?;
    let blocks = weights.hidden().par_chunks(BLOCK * (points.input_dim() + 1));
    let sums: Vec<Vec<f64>> =
        blocks.zip(weights.readout().par_chunks(BLOCK)).map(|(w, a)| block_gradients(w, a, slope, points)).collect();
    let (d, count) = points.as_columns().shape();
    Ok(DMatrix::from_vec(d, count, in_order(sums, d * count)))
}

/// ∇f_0 at the given points for a network that is drawn block by block.
///
/// # Errors
/// Points of another dimension.
pub fn initial_gradients(neurons: &Neurons, slope: Slope, points: &Points) -> Result<DMatrix<f64>> {
    same_dimension(neurons.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    Ok(DMatrix::from_vec(d, count, streamed(neurons, d * count, |w, a| block_gradients(w, a, slope, points))))
}

/// An error unless the points have the network's input dimension.
pub(super) fn same_dimension(input_dim: usize, points: &Points) -> Result<()> {
    if points.input_dim() == input_dim {
        return Ok(());
    }
    let found = format!("{} × {}", points.count(), points.input_dim());
    let expected = format!("points with {input_dim} coordinates, as the network's inputs");
    Err(Error::Shape { name: "points".into(), found, expected })
}

/// Sums a block function over all blocks of a drawn network, a fixed number of blocks at a time.
fn streamed(neurons: &Neurons, len: usize, block: impl Fn(&[f64], &[f64]) -> Vec<f64> + Sync) -> Vec<f64> {
    const AT_ONCE: usize = 16;
    let stride = neurons.input_dim() + 1;
    let firsts: Vec<usize> = (0..neurons.width()).step_by(BLOCK).collect();
    let mut total = vec![0.0; len];
    for group in firsts.chunks(AT_ONCE) {
        let sums: Vec<Vec<f64>> = group
            .par_iter()
            .map(|&first| {
                let size = BLOCK.min(neurons.width() - first);
                let (mut hidden, mut readout) = (vec![0.0; size * stride], vec![0.0; size]);
                neurons.fill(first, &mut hidden, &mut readout);
                block(&hidden, &readout)
            })
            .collect();
        for sum in sums {
            total.iter_mut().zip(&sum).for_each(|(t, s)| *t += s);
        }
    }
    total
}

fn in_order(sums: Vec<Vec<f64>>, len: usize) -> Vec<f64> {
    let mut total = vec![0.0; len];
    for sum in sums {
        total.iter_mut().zip(&sum).for_each(|(t, s)| *t += s);
    }
    total
}

/// Preactivations of a block, count × neurons, column-major.
pub(crate) fn preactivations(hidden: &[f64], points: &Points) -> Vec<f64> {
    let (d, count) = points.as_columns().shape();
    let size = hidden.len() / (d + 1);
    let mut u = vec![0.0; count * size];
    for (column, neuron) in u.chunks_exact_mut(count).zip(hidden.chunks_exact(d + 1)) {
        column.fill(neuron[d]);
    }
    let inputs = view(points.as_columns().as_slice(), d, count);
    let weights = view(hidden, d + 1, size).subrows(0, d);
    multiply(view_mut(&mut u, count, size), Store::Add, 1.0, inputs.transpose(), weights);
    u
}

fn block_outputs(hidden: &[f64], readout: &[f64], slope: Slope, points: &Points) -> Vec<f64> {
    let u = preactivations(hidden, points);
    let mut sums = vec![0.0; points.count()];
    add_activations(&u, readout, slope.value(), &mut sums);
    sums
}

fn block_gradients(hidden: &[f64], readout: &[f64], slope: Slope, points: &Points) -> Vec<f64> {
    let (d, count) = points.as_columns().shape();
    let size = readout.len();
    let mut derivatives = preactivations(hidden, points);
    to_derivatives(&mut derivatives, readout, slope.value(), count);
    let mut sums = vec![0.0; d * count];
    let weights = view(hidden, d + 1, size).subrows(0, d);
    let derivatives = view(&derivatives, count, size).transpose();
    multiply(view_mut(&mut sums, d, count), Store::Replace, 1.0, weights, derivatives);
    sums
}

/// sums_n += Σ_i a_i φ(u_in); one column of preactivations per neuron.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
pub(super) fn add_activations(preactivations: &[f64], readout: &[f64], slope: f64, sums: &mut [f64]) {
    for (column, a) in preactivations.chunks_exact(sums.len()).zip(readout) {
        for (sum, u) in sums.iter_mut().zip(column) {
            *sum += a * (if *u >= 0.0 { *u } else { slope * u });
        }
    }
}

/// u_in ← a_i φ'(u_in).
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
fn to_derivatives(preactivations: &mut [f64], readout: &[f64], slope: f64, count: usize) {
    for (column, a) in preactivations.chunks_exact_mut(count).zip(readout) {
        for u in column {
            *u = a * (if *u >= 0.0 { 1.0 } else { slope });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{add_activations, to_derivatives};

    /// Compiled here for what every processor of the family has, compiled there for what this one offers.
    #[test]
    fn activations_have_the_bits_of_plain_loops() {
        let (count, readout, slope) = (21, [0.3, -0.7, 0.9], 0.2);
        let u: Vec<f64> = (0..3 * count).map(|i| (1.1 * i as f64).sin()).collect();
        let (mut sums, mut derivatives) = (vec![0.1; count], u.clone());
        add_activations(&u, &readout, slope, &mut sums);
        to_derivatives(&mut derivatives, &readout, slope, count);
        for n in 0..count {
            let mut plain = 0.1;
            for (i, a) in readout.iter().enumerate() {
                let u = u[i * count + n];
                let (value, derivative) = if u >= 0.0 { (u, 1.0) } else { (slope * u, slope) };
                plain += a * value;
                assert_eq!(derivatives[i * count + n].to_bits(), (a * derivative).to_bits(), "{i} {n}");
            }
            assert_eq!(sums[n].to_bits(), plain.to_bits(), "{n}");
        }
    }
}
