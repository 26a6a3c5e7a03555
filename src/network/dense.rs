//! Outputs and input gradients of a network, block of neurons by block of neurons.
//!
//! Blocks have a fixed size and their sums are added in order, so that results do not depend on the number of threads.
//! Rounding: a preactivation errs by (d + 1)ε‖w̃‖‖x̃‖, a sum over m neurons by (BLOCK + m/BLOCK)ε Σ|a_i φ(u_i)|; in single precision
//! blocks are still added in double. Gradients are looked up (`lookup`) in panels of 64 points and more, so that their last bits depend on
//! how many points there are. Neurons whose preactivation rounds to the other side of 0 move a gradient by |a_i|‖w_i‖.

use faer::{MatMut, MatRef};
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::descent::Precision;
use super::lookup::{self, Sums};
use super::neurons::{Neurons, Weights};
use super::number::Number;
use crate::error::{Error, Result};
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
    outputs_in(Precision::F64, weights, slope, points)
}

/// f at the given points, by products in single or double precision: enough for a network whose training has left no more digits.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_in(precision: Precision, weights: &Weights, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(weights.input_dim(), points)?;
    let mut totals = vec![0.0; points.count()];
    let network = (weights.hidden(), weights.readout());
    match precision {
        Precision::F32 => add(&mut totals, network, points, |w, a, x| block_outputs::<f32>(w, a, slope, x)),
        Precision::F64 => add(&mut totals, network, points, |w, a, x| block_outputs::<f64>(w, a, slope, x)),
    }
    Ok(totals)
}

/// f_0 at the given points for a network that is drawn block by block and never stored.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_streamed(neurons: &Neurons, slope: Slope, points: &Points) -> Result<Vec<f64>> {
    same_dimension(neurons.input_dim(), points)?;
    let mut totals = vec![0.0; points.count()];
    streamed(neurons, |w, a| add(&mut totals, (w, a), points, |w, a, x| block_outputs::<f64>(w, a, slope, x)));
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
    add(totals.as_mut_slice(), (weights.hidden(), weights.readout()), points, block);
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
    outputs_and_input_gradients_in(Precision::F64, weights, slope, points)
}

/// f and ∇_x f as [`outputs_and_input_gradients`], by products in single or double precision.
///
/// # Errors
/// Points of another dimension.
pub fn outputs_and_input_gradients_in(
    precision: Precision,
    weights: &Weights,
    slope: Slope,
    points: &Points,
) -> Result<(Vec<f64>, DMatrix<f64>)> {
    same_dimension(weights.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    // f below the gradient of each point.
    let mut totals = DMatrix::zeros(d + 1, count);
    let (sums, network) = (totals.as_mut_slice(), (weights.hidden(), weights.readout()));
    match precision {
        Precision::F32 => add(sums, network, points, |w, a, x| block_values_and_gradients::<f32>(w, a, slope, x)),
        Precision::F64 => add(sums, network, points, |w, a, x| block_values_and_gradients::<f64>(w, a, slope, x)),
    }
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
    streamed(neurons, |w, a| add(totals.as_mut_slice(), (w, a), points, block));
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
fn add<R: Number>(
    totals: &mut [f64],
    (hidden, readout): (&[f64], &[f64]),
    points: &Points,
    block: impl Fn(&[R], &[R], &[R]) -> Vec<R> + Sync,
) {
    let (d, count) = points.as_columns().shape();
    let points = R::all_of(points.as_columns().as_slice());
    for (hidden, readout) in hidden.chunks(AT_ONCE * BLOCK * (d + 1)).zip(readout.chunks(AT_ONCE * BLOCK)) {
        let [hidden, readout] = [hidden, readout].map(R::all_of);
        let panels = totals.par_chunks_mut(totals.len() / count * PANEL);
        panels.zip(points.par_chunks(d * PANEL)).for_each(|(totals, points)| {
            let blocks = hidden.par_chunks(BLOCK * (d + 1)).zip(readout.par_chunks(BLOCK));
            let sums: Vec<Vec<R>> = blocks.map(|(w, a)| block(w, a, points)).collect();
            for sum in sums {
                totals.iter_mut().zip(&sum).for_each(|(t, s)| *t += s.to_f64());
            }
        });
    }
}

/// Preactivations of a block, count × neurons, column-major, for inputs of the weights' dimension side by side.
pub(crate) fn preactivations(hidden: &[f64], input_dim: usize, inputs: &[f64]) -> Vec<f64> {
    block_preactivations(hidden, input_dim, inputs)
}

fn block_preactivations<R: Number>(hidden: &[R], input_dim: usize, inputs: &[R]) -> Vec<R> {
    let (count, size) = (inputs.len() / input_dim, hidden.len() / (input_dim + 1));
    let mut u = Vec::with_capacity(count * size);
    for neuron in hidden.chunks_exact(input_dim + 1) {
        u.resize(u.len() + count, neuron[input_dim]);
    }
    let inputs = MatRef::from_column_major_slice(inputs, input_dim, count);
    let weights = MatRef::from_column_major_slice(hidden, input_dim + 1, size).subrows(0, input_dim);
    R::multiply(MatMut::from_column_major_slice_mut(&mut u, count, size), true, inputs.transpose(), weights);
    u
}

fn block_outputs<R: Number>(hidden: &[R], readout: &[R], slope: Slope, inputs: &[R]) -> Vec<R> {
    let input_dim = hidden.len() / readout.len() - 1;
    let u = block_preactivations(hidden, input_dim, inputs);
    let mut sums = vec![R::default(); inputs.len() / input_dim];
    R::add_outputs(&u, readout, R::of(slope.value()), &mut sums);
    sums
}

fn block_gradients(hidden: &[f64], readout: &[f64], slope: Slope, inputs: &[f64]) -> Vec<f64> {
    let d = hidden.len() / readout.len() - 1;
    let mut gradients = gradients_of(preactivations(hidden, d, inputs), hidden, readout, slope);
    for point in 0..inputs.len() / d {
        gradients.copy_within((d + 1) * point..(d + 1) * point + d, d * point);
    }
    gradients.truncate(inputs.len());
    gradients
}

/// The gradient at each point, and below it the output.
fn block_values_and_gradients<R: Number>(hidden: &[R], readout: &[R], slope: Slope, inputs: &[R]) -> Vec<R> {
    let d = hidden.len() / readout.len() - 1;
    let u = block_preactivations(hidden, d, inputs);
    let mut values = vec![R::default(); inputs.len() / d];
    R::add_outputs(&u, readout, R::of(slope.value()), &mut values);
    let mut sums = gradients_of(u, hidden, readout, slope);
    sums.chunks_exact_mut(d + 1).zip(values).for_each(|(sums, value)| sums[d] = value);
    sums
}

/// Σ_i a_i φ'(u_i) w̃_i over a block, point after point: ∇_x Σ_i a_i φ(u_i), and the derivative by the biases. Looked up, or where points are
/// few by a dense product.
fn gradients_of<R: Number>(mut preactivations: Vec<R>, hidden: &[R], readout: &[R], slope: Slope) -> Vec<R> {
    let (size, slope) = (readout.len(), R::of(slope.value()));
    let (stride, count) = (hidden.len() / size, preactivations.len() / size);
    let (mut sums, ones) = (vec![R::default(); stride * count], vec![R::of(1.0); count]);
    if lookup::pays(count) {
        let sides = &R::sides_across(&preactivations, count);
        R::add_sums(&Sums { columns: hidden, stride, factors: readout, slope, sides, scales: &ones }, &mut sums);
        return sums;
    }
    R::to_forces(&mut preactivations, readout, slope, &ones);
    let derivatives = MatRef::from_column_major_slice(&preactivations, count, size).transpose();
    let weights = MatRef::from_column_major_slice(hidden, stride, size);
    R::multiply(MatMut::from_column_major_slice_mut(&mut sums, stride, count), false, weights, derivatives);
    sums
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
        let single = outputs_and_input_gradients_in(Precision::F32, &weights, slope, &points).unwrap();
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
            // Here no preactivation is so small that it changes sides.
            let bound = 2.0 * (BLOCK + d + 1) as f64 * f64::from(f32::EPSILON) * size;
            assert!((value - single.0[n]).abs() <= bound && single.0[n] != values[n], "{n}");
            (0..d).for_each(|i| assert!((gradient[i] - single.1[(i, n)]).abs() <= bound, "{n} {i}"));
        }
        assert_eq!(single.0, outputs_in(Precision::F32, &weights, slope, &points).unwrap());
    }
}
