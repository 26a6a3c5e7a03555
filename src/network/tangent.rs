//! The empirical tangent kernel of a network of finite width.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::dense::preactivations;
use super::neurons::Weights;
use crate::error::Result;
use crate::linalg::{Store, multiply, view, view_mut};
use crate::problem::{Points, Slope};

/// Neurons whose derivatives are held at a time, and of them those of one task.
const NEURONS_AT_ONCE: usize = 2048;
const BLOCK: usize = 256;
/// Columns of one task.
const PANEL: usize = 64;

/// The tangent kernel of the hidden layer at the given weights, count × count:
/// Θ(x, z) = ⟨∂f(x)/∂w̃, ∂f(z)/∂w̃⟩ = (⟨x, z⟩ + 1) Σ_i a_i² φ'(u_i(x)) φ'(u_i(z)).
///
/// At random initial weights its expectation is the closed form [`Kernel::Ntk`](crate::theory::Kernel::Ntk), from which
/// it deviates by O(m^−½). Cost: 2mNd floating-point operations for the preactivations and mN² for the sums; memory: N²
/// numbers and 2048·N for the neurons at work. Results do not depend on the number of threads. Rounding: relative to
/// (|⟨x, z⟩| + 1) Σ a_i² at most (m + d + 4)ε, if no preactivation is so near zero that rounding changes its sign.
///
/// ```
/// use perturbation_learning::network::{Initialisation, Neurons, Readout, empirical_ntk};
/// use perturbation_learning::problem::{Points, Slope};
/// use perturbation_learning::random::Streams;
///
/// let points = Points::from_rows("x", 2, 2, vec![1.0, 0.5, -0.5, 1.0])?;
/// let neurons = Neurons::draw(2, 1000, Initialisation::Standard, Readout::Rademacher, Streams::new(0, "neurons"))?;
/// let kernel = empirical_ntk(&neurons.weights(), Slope::RELU, &points)?;
/// // About half of the neurons are active, each with a² = 1/m: close to (‖x‖² + 1)/2.
/// assert!((kernel[(0, 0)] - 1.125).abs() < 0.1);
/// # Ok::<(), perturbation_learning::Error>(())
/// ```
///
/// # Errors
/// Points of another dimension.
pub fn empirical_ntk(weights: &Weights, slope: Slope, points: &Points) -> Result<DMatrix<f64>> {
    super::dense::same_dimension(weights.input_dim(), points)?;
    let (d, count) = points.as_columns().shape();
    let mut kernel = DMatrix::zeros(count, count);
    let mut derivatives = vec![0.0; count * NEURONS_AT_ONCE.min(weights.width())];
    let neurons = weights.hidden().chunks(NEURONS_AT_ONCE * (d + 1)).zip(weights.readout().chunks(NEURONS_AT_ONCE));
    for (hidden, readout) in neurons {
        // a φ'(u), one column per neuron: their products carry a².
        let blocks = derivatives.par_chunks_mut(count * BLOCK).zip(hidden.par_chunks(BLOCK * (d + 1)));
        blocks.zip(readout.par_chunks(BLOCK)).for_each(|((derivatives, hidden), readout)| {
            let u = preactivations(hidden, d, points.as_columns().as_slice());
            let columns = derivatives.chunks_exact_mut(count).zip(u.chunks_exact(count));
            for ((column, u), a) in columns.zip(readout) {
                column.iter_mut().zip(u).for_each(|(out, u)| *out = a * slope.derivative(*u));
            }
        });
        let rows = view(&derivatives[..count * readout.len()], count, readout.len());
        lower_panels(kernel.as_mut_slice(), count, |first, cols, target| {
            let (lhs, rhs) = (rows.subrows(first, count - first), rows.subrows(first, cols).transpose());
            multiply(target, Store::Add, 1.0, lhs, rhs);
        });
    }
    scale_by_inner_products(kernel.as_mut_slice(), points);
    kernel.fill_upper_triangle_with_lower_triangle();
    Ok(kernel)
}

/// Runs a task for every panel of columns on the part of it that begins at the diagonal.
fn lower_panels(matrix: &mut [f64], count: usize, task: impl Fn(usize, usize, faer::MatMut<'_, f64>) + Sync) {
    matrix.par_chunks_mut(count * PANEL).enumerate().for_each(|(panel, columns)| {
        let (first, cols) = (panel * PANEL, columns.len() / count);
        task(first, cols, view_mut(columns, count, cols).subrows_mut(first, count - first));
    });
}

/// Multiplies the entries of the lower triangle by ⟨x, z⟩ + 1.
fn scale_by_inner_products(kernel: &mut [f64], points: &Points) {
    let (d, count) = points.as_columns().shape();
    let all = view(points.as_columns().as_slice(), d, count);
    lower_panels(kernel, count, |first, cols, mut target| {
        let mut inner = vec![0.0; (count - first) * cols];
        let lhs = all.subcols(first, count - first).transpose();
        multiply(view_mut(&mut inner, count - first, cols), Store::Replace, 1.0, lhs, all.subcols(first, cols));
        for (col, inner) in inner.chunks_exact(count - first).enumerate() {
            for (row, inner) in inner.iter().enumerate() {
                target[(row, col)] *= inner + 1.0;
            }
        }
    });
}
