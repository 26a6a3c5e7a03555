//! Outputs and input gradients of a network, block of neurons by block of neurons.
//!
//! Blocks have a fixed size and their sums are added in order, so that results do not depend on the number of threads.
//! Rounding: a preactivation errs by (d + 1)ε‖w̃‖‖x̃‖, a sum over m neurons by (BLOCK + m/BLOCK)ε Σ|a_i φ(u_i)|.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::lookup::{self, Lookup, Sums, WORD};
use super::neurons::{Neurons, Weights};
use crate::error::{Error, Result};
use crate::linalg::{Store, multiply, view, view_mut};
use crate::problem::{Points, Slope};

/// Neurons per block, and blocks at a time.
const BLOCK: usize = 256;
const AT_ONCE: usize = 16;
/// Points of one task.
const PANEL: usize = 128;

/// f at the given points.
///
/// # Errors
/// Points of another dimension.
pub fn outputs(weights: &Weights, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(weights.input_dim(), points)?;
    let mut totals = vec![0.0; points.count()];
    add(&mut totals, weights.hidden(), weights.readout(), points, |w, a, x| block_outputs(w, a, slope, x));
    Ok(totals)
}

/// f_0 at the given points for a network that is drawn block by block and never stored.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_streamed(neurons: &Neurons, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(neurons.input_dim(), points)?;
    let mut totals = vec![0.0; points.count()];
    streamed(neurons, |w, a| add(&mut totals, w, a, points, |w, a, x| block_outputs(w, a, slope, x)));
    Ok(totals)
}

/// ∇_x f at the given points, d × count, one column per point. At a point on a neuron's boundary φ'(0) = 1 (the
/// reference framework takes γ there; random weights never meet the case).
///
/// # Errors
/// Points of another dimension.
pub fn input_gradients(weights: &Weights, slope: Slope, points: &Points) -> Result<DMatrix<f64>> {
    same_dimension(weights.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    let mut totals = DMatrix::zeros(d, count);
    let block = |w: &[f64], a: &[f64], x: &[f64]| block_gradients(w, a, slope, x);
    add(totals.as_mut_slice(), weights.hidden(), weights.readout(), points, block);
    Ok(totals)
}

/// f (one value per point) and ∇_x f (d × count, one column per point) at the given points: the bits of [`outputs`] and
/// [`input_gradients`], with one product less.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_and_input_gradients(
    weights: &Weights,
    slope: Slope,
    points: &Points,
) -> Result<(Vec<f64>, DMatrix<f64>)> {
    same_dimension(weights.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    // f below the gradient of each point.
    let mut totals = DMatrix::zeros(d + 1, count);
    let block = |w: &[f64], a: &[f64], x: &[f64]| {
        let u = preactivations(w, d, x);
        let mut values = vec![0.0; x.len() / d];
        add_activations(&u, a, slope.value(), &mut values);
        let mut sums = Vec::with_capacity((d + 1) * values.len());
        for (gradient, value) in gradients_of(u, w, a, slope).chunks_exact(d).zip(values) {
            sums.extend_from_slice(gradient);
            sums.push(value);
        }
        sums
    };
    add(totals.as_mut_slice(), weights.hidden(), weights.readout(), points, block);
    Ok((totals.row(d).iter().copied().collect(), totals.remove_row(d)))
}

/// ∇f_0 at the given points for a network that is drawn block by block.
///
/// # Errors
/// Points of another dimension.
pub fn initial_gradients(neurons: &Neurons, slope: Slope, points: &Points) -> Result<DMatrix<f64>> {
    same_dimension(neurons.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    let mut totals = DMatrix::zeros(d, count);
    let block = |w: &[f64], a: &[f64], x: &[f64]| block_gradients(w, a, slope, x);
    streamed(neurons, |w, a| add(totals.as_mut_slice(), w, a, points, block));
    Ok(totals)
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

/// Hands out the weights of a drawn network, some blocks at a time.
fn streamed(neurons: &Neurons, mut take: impl FnMut(&[f64], &[f64])) {
    let stride = neurons.input_dim() + 1;
    for first in (0..neurons.width()).step_by(AT_ONCE * BLOCK) {
        let size = (AT_ONCE * BLOCK).min(neurons.width() - first);
        let (mut hidden, mut readout) = (vec![0.0; size * stride], vec![0.0; size]);
        let blocks = hidden.par_chunks_mut(BLOCK * stride).zip(readout.par_chunks_mut(BLOCK)).enumerate();
        blocks.for_each(|(block, (hidden, readout))| neurons.fill(first + block * BLOCK, hidden, readout));
        take(&hidden, &readout);
    }
}

/// Adds what blocks of neurons contribute at some points to the totals, point after point; `block` has a contribution from
/// the hidden weights, the readout, and points side by side. Threads share the points, and where these are few, the blocks.
fn add(
    totals: &mut [f64],
    hidden: &[f64],
    readout: &[f64],
    points: &Points,
    block: impl Fn(&[f64], &[f64], &[f64]) -> Vec<f64> + Sync,
) {
    let (d, count) = points.as_columns().shape();
    let panels = totals.par_chunks_mut(totals.len() / count * PANEL);
    panels.zip(points.as_columns().as_slice().par_chunks(d * PANEL)).for_each(|(totals, points)| {
        for (hidden, readout) in hidden.chunks(AT_ONCE * BLOCK * (d + 1)).zip(readout.chunks(AT_ONCE * BLOCK)) {
            let blocks = hidden.par_chunks(BLOCK * (d + 1)).zip(readout.par_chunks(BLOCK));
            let sums: Vec<Vec<f64>> = blocks.map(|(w, a)| block(w, a, points)).collect();
            for sum in sums {
                totals.iter_mut().zip(&sum).for_each(|(t, s)| *t += s);
            }
        }
    });
}

/// Preactivations of a block, count × neurons, column-major, for inputs of the weights' dimension side by side.
pub(crate) fn preactivations(hidden: &[f64], input_dim: usize, inputs: &[f64]) -> Vec<f64> {
    let (count, size) = (inputs.len() / input_dim, hidden.len() / (input_dim + 1));
    let mut u = Vec::with_capacity(count * size);
    for neuron in hidden.chunks_exact(input_dim + 1) {
        u.resize(u.len() + count, neuron[input_dim]);
    }
    let inputs = view(inputs, input_dim, count);
    let weights = view(hidden, input_dim + 1, size).subrows(0, input_dim);
    multiply(view_mut(&mut u, count, size), Store::Add, 1.0, inputs.transpose(), weights);
    u
}

fn block_outputs(hidden: &[f64], readout: &[f64], slope: Slope, inputs: &[f64]) -> Vec<f64> {
    let input_dim = hidden.len() / readout.len() - 1;
    let u = preactivations(hidden, input_dim, inputs);
    let mut sums = vec![0.0; inputs.len() / input_dim];
    add_activations(&u, readout, slope.value(), &mut sums);
    sums
}

fn block_gradients(hidden: &[f64], readout: &[f64], slope: Slope, inputs: &[f64]) -> Vec<f64> {
    let input_dim = hidden.len() / readout.len() - 1;
    gradients_of(preactivations(hidden, input_dim, inputs), hidden, readout, slope)
}

/// ∇_x Σ_i a_i φ(u_i) over a block, point after point: looked up, or where points are few by a dense product.
fn gradients_of(mut preactivations: Vec<f64>, hidden: &[f64], readout: &[f64], slope: Slope) -> Vec<f64> {
    let size = readout.len();
    let (d, count) = (hidden.len() / size - 1, preactivations.len() / size);
    if lookup::pays(count) {
        let sides = &sides_of_points(&preactivations, count);
        let mut sums = vec![0.0; (d + 1) * count];
        let (slope, scales) = (slope.value(), &vec![1.0; count]);
        f64::add_sums(&Sums { columns: hidden, stride: d + 1, factors: readout, slope, sides, scales }, &mut sums);
        // Without the derivative by the bias.
        return sums.chunks_exact(d + 1).flat_map(|sums| &sums[..d]).copied().collect();
    }
    to_derivatives(&mut preactivations, readout, slope.value(), count);
    let derivatives = preactivations;
    let mut sums = vec![0.0; d * count];
    let weights = view(hidden, d + 1, size).subrows(0, d);
    let derivatives = view(&derivatives, count, size).transpose();
    multiply(view_mut(&mut sums, d, count), Store::Replace, 1.0, weights, derivatives);
    sums
}

/// For each point the sides of all neurons, as [`Sums`] takes them; one column of preactivations per neuron.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn sides_of_points(preactivations: &[f64], count: usize) -> Vec<u32> {
    let words = (preactivations.len() / count).div_ceil(WORD);
    let mut sides = vec![0; count * words];
    let mut own = vec![0; count];
    for (word, neurons) in preactivations.chunks(WORD * count).enumerate() {
        own.fill(0);
        for (neuron, column) in neurons.chunks_exact(count).enumerate() {
            for (own, u) in own.iter_mut().zip(column) {
                *own |= u32::from(*u >= 0.0) << neuron;
            }
        }
        for (sides, own) in sides.chunks_exact_mut(words).zip(&own) {
            sides[word] = *own;
        }
    }
    sides
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
    use super::*;
    use crate::network::{Initialisation, Readout};
    use crate::random::Streams;

    #[test]
    fn panels_and_blocks_add_up_to_plain_sums() {
        // Three panels, and blocks that are taken in two turns.
        let (d, count, width) = (2, 2 * PANEL + 5, AT_ONCE * BLOCK + BLOCK + 3);
        let values = (0..d * count).map(|i| (1.3 * i as f64).sin()).collect();
        let points = Points::from_rows("x", count, d, values).unwrap();
        let streams = Streams::new(3, "dense");
        let neurons = Neurons::draw(d, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let (weights, slope) = (neurons.weights(), Slope::new(0.3).unwrap());
        let (values, gradients) =
            (outputs(&weights, slope, &points).unwrap(), input_gradients(&weights, slope, &points).unwrap());
        let both = outputs_and_input_gradients(&weights, slope, &points).unwrap();
        assert_eq!((&both.0, &both.1), (&values, &gradients));
        assert_eq!(values, outputs_streamed(&neurons, slope, &points).unwrap());
        assert_eq!(gradients, initial_gradients(&neurons, slope, &points).unwrap());
        for (n, x) in points.iter().enumerate() {
            let (mut value, mut gradient, mut size) = (0.0, [0.0; 2], 0.0);
            for (w, a) in weights.hidden().chunks_exact(d + 1).zip(weights.readout()) {
                let u = w[0] * x[0] + w[1] * x[1] + w[2];
                let derivative = if u >= 0.0 { 1.0 } else { 0.3 };
                value += a * derivative * u;
                (0..d).for_each(|i| gradient[i] += a * derivative * w[i]);
                size += a.abs() * (w[0].abs() + w[1].abs() + w[2].abs());
            }
            let bound = width as f64 * f64::EPSILON * size;
            assert!((value - values[n]).abs() <= bound, "{n}");
            (0..d).for_each(|i| assert!((gradient[i] - gradients[(i, n)]).abs() <= bound, "{n} {i}"));
        }
    }

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
