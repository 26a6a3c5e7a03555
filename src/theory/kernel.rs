//! Gram matrices of the closed-form kernels.
//!
//! Cost for N×M pairs in dimension d: 2NMd floating-point operations in a matrix product (half of that for a symmetric
//! matrix) and one arctangent, one square root and one division per pair. The products run tile by tile in the cache,
//! with the arctangents fused behind each tile.
//!
//! Accuracy: a pair whose D (see [`dual`](super::dual)) is small against its terms, because the points nearly coincide,
//! is evaluated again coordinate by coordinate. For the others the relative error of √D is at most
//! 32(2d + 8)ε (R3), and in practice below 10⁻¹⁴.

use std::f64::consts::PI;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::arctangent::first_quadrant;
use super::dual::{Pair, SERIES_LIMIT};
use crate::linalg::{Store, mirror_lower, multiply, norm_squared, view, view_mut};
use crate::problem::{Points, Slope};

/// Which closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Φ = E φ'(u)φ'(v).
    DerivativeDual,
    /// Σ = E φ(u)φ(v).
    ValueDual,
    /// Θ = Φ·(⟨x,z⟩ + 1): hidden layer trained.
    Ntk,
    /// Θ + Σ: both layers trained, readout in NTK parameterisation.
    NtkBothLayers,
}

impl Kernel {
    /// The kernel of one pair.
    #[must_use]
    pub fn of(self, slope: Slope, pair: &Pair) -> f64 {
        match self {
            Kernel::DerivativeDual => pair.derivative_dual(slope),
            Kernel::ValueDual => pair.value_dual(slope),
            Kernel::Ntk => pair.ntk(slope),
            Kernel::NtkBothLayers => pair.ntk_both_layers(slope),
        }
    }
}

/// Rows of a tile: a multiple of what the products' kernels take at a time, 12 and 24; fewer rows are left to slower ones.
const TILE: usize = 240;
/// Columns of one task: so few that the last task of a triangle does not leave other threads waiting for long, and that a tile of results
/// stays in the second-level cache. (With 192, which rearranges the rows less often, matrices take as long.)
const PANEL: usize = 128;
/// The same for three results at a time.
const NARROW_PANEL: usize = 32;

/// Pairs with D below this share of the terms it is formed from are evaluated coordinate by coordinate.
const NEARLY_PARALLEL: f64 = 1.0 / 64.0;

/// The symmetric N × N matrix of a kernel on N points.
#[must_use]
pub fn gram(kernel: Kernel, slope: Slope, x: &Points) -> DMatrix<f64> {
    let n = x.count();
    let mut matrix = DMatrix::zeros(n, n);
    let side = Side::new(x);
    fill(kernel, slope, &side, &side, matrix.as_mut_slice(), true);
    mirror_lower(matrix.as_mut_slice(), n, 0, n);
    matrix
}

/// The count(x) × count(z) matrix of a kernel between two sets of points.
///
/// # Panics
/// If the dimensions differ.
#[must_use]
pub fn cross_gram(kernel: Kernel, slope: Slope, x: &Points, z: &Points) -> DMatrix<f64> {
    assert_eq!(x.input_dim(), z.input_dim(), "points of one space");
    let mut matrix = DMatrix::zeros(x.count(), z.count());
    fill(kernel, slope, &Side::new(x), &Side::new(z), matrix.as_mut_slice(), false);
    matrix
}

/// What the gradient of a sum of kernels needs for each pair of a point of x with one of z, each count(x) × count(z).
pub(super) struct GradientFactors {
    /// Φ.
    pub derivative_dual: DMatrix<f64>,
    /// K/√D; 0 for pairs of equal points (the kernel has a symmetric kink there).
    pub boundary: DMatrix<f64>,
    /// `boundary`·(1 + c).
    pub along: DMatrix<f64>,
}

/// The factors of all pairs, from one product.
///
/// # Panics
/// If the dimensions differ.
pub(super) fn gradient_factors(slope: Slope, x: &Points, z: &Points) -> GradientFactors {
    assert_eq!(x.input_dim(), z.input_dim(), "points of one space");
    let (n, d) = (x.count(), x.input_dim());
    let (rows, cols) = (Side::new(x), Side::new(z));
    let mut derivative_dual = DMatrix::zeros(n, z.count());
    let mut boundary = DMatrix::zeros(n, z.count());
    let mut along = DMatrix::zeros(n, z.count());
    let width = NARROW_PANEL;
    let panels = derivative_dual.as_mut_slice().par_chunks_mut(n * width);
    let panels = panels.zip(boundary.as_mut_slice().par_chunks_mut(n * width));
    panels.zip(along.as_mut_slice().par_chunks_mut(n * width)).enumerate().for_each(
        |(panel, ((duals, boundary), along))| {
            let (first, count) = (panel * width, duals.len() / n);
            let left = view(x.as_columns().as_slice(), d, n);
            let right = view(&z.as_columns().as_slice()[first * d..][..count * d], d, count);
            let mut inner = vec![0.0; n * count];
            multiply(view_mut(&mut inner, n, count), Store::Replace, 1.0, left.transpose(), right);
            for (offset, inner) in inner.chunks_exact(n).enumerate() {
                let (column, norm) = (offset * n..(offset + 1) * n, cols.scaled_norms[first + offset]);
                let (duals, boundary, along) =
                    (&mut duals[column.clone()], &mut boundary[column.clone()], &mut along[column]);
                if gradient_column(slope.value(), d as f64, inner, &rows.scaled_norms, norm, duals, boundary, along) {
                    for row in (0..n).filter(|row| duals[*row].is_nan()).collect::<Vec<_>>() {
                        let pair = Pair::new(x.point(row), z.point(first + offset));
                        let sine = pair.sine_part;
                        duals[row] = pair.derivative_dual(slope);
                        boundary[row] = if sine > 0.0 { (inner[row] + 1.0) / sine } else { 0.0 };
                        along[row] = boundary[row] * pair.cosine_part;
                    }
                }
            }
        },
    );
    GradientFactors { derivative_dual, boundary, along }
}

/// One column of the factors; Φ is NaN, and the result true, where a pair must be evaluated coordinate by coordinate.
#[allow(clippy::too_many_arguments)] // the columns of three results
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn gradient_column(
    slope: f64,
    d: f64,
    inner: &[f64],
    norms: &[f64],
    norm: f64,
    duals: &mut [f64],
    boundary: &mut [f64],
    along: &mut [f64],
) -> bool {
    let inverse = 1.0 / d;
    let on_supplement = (1.0 + slope * slope) / (2.0 * PI);
    let on_angle = 2.0 * slope / (2.0 * PI);
    let mut marks = 0_u64;
    for ((((inner, p), dual), boundary), along) in inner.iter().zip(norms).zip(duals).zip(boundary).zip(along) {
        let (acute, sine, cosine, nearly_parallel) = angle_parts(*p, norm, inner * inverse);
        let obtuse = PI - acute;
        let angle = if cosine >= 0.0 { acute } else { obtuse };
        let supplement = if cosine >= 0.0 { obtuse } else { acute };
        let value = on_supplement * supplement + on_angle * angle;
        *dual = if nearly_parallel { f64::NAN } else { value };
        *boundary = (inner + 1.0) / sine;
        *along = *boundary * cosine;
        marks += u64::from(nearly_parallel);
    }
    marks > 0
}

/// Points with their squared norms over d.
struct Side<'a> {
    points: &'a Points,
    scaled_norms: Vec<f64>,
}

impl<'a> Side<'a> {
    fn new(points: &'a Points) -> Self {
        let d = points.input_dim() as f64;
        Side { points, scaled_norms: points.iter().map(|x| norm_squared(x) / d).collect() }
    }
}

/// Fills a column-major rows × cols matrix tile by tile; of a `triangle` what lies above the first column of each panel is left alone.
fn fill(kernel: Kernel, slope: Slope, rows: &Side<'_>, cols: &Side<'_>, out: &mut [f64], triangle: bool) {
    let (count, d) = (rows.points.count(), rows.points.input_dim());
    out.par_chunks_mut(count * PANEL).enumerate().for_each(|(panel, out)| {
        let (first_col, panel_cols) = (panel * PANEL, out.len() / count);
        let right = view(&cols.points.as_columns().as_slice()[first_col * d..][..panel_cols * d], d, panel_cols);
        let mut inner = vec![0.0; TILE * panel_cols];
        for first_row in (if triangle { first_col } else { 0 }..count).step_by(TILE) {
            let tile_rows = TILE.min(count - first_row);
            let left = view(&rows.points.as_columns().as_slice()[first_row * d..][..tile_rows * d], d, tile_rows);
            let inner = &mut inner[..tile_rows * panel_cols];
            multiply(view_mut(inner, tile_rows, panel_cols), Store::Replace, 1.0, left.transpose(), right);
            for (offset, inner) in inner.chunks_exact(tile_rows).enumerate() {
                let col = first_col + offset;
                let target = &mut out[offset * count + first_row..][..tile_rows];
                let norms = &rows.scaled_norms[first_row..][..tile_rows];
                if evaluate_column(kernel, slope.value(), d as f64, inner, norms, cols.scaled_norms[col], target) {
                    let z = cols.points.point(col);
                    for (row, value) in target.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
                        *value = kernel.of(slope, &Pair::new(rows.points.point(first_row + row), z));
                    }
                }
            }
        }
    });
}

/// Kernel values of one column of a tile from inner products; NaN, and true at the end, where a pair must be evaluated
/// coordinate by coordinate.
fn evaluate_column(
    kernel: Kernel,
    slope: f64,
    d: f64,
    inner: &[f64],
    norms: &[f64],
    norm: f64,
    out: &mut [f64],
) -> bool {
    match kernel {
        Kernel::DerivativeDual => derivative_duals(slope, d, inner, norms, norm, out),
        Kernel::ValueDual => value_duals(slope, d, inner, norms, norm, out),
        Kernel::Ntk => {
            let marked = derivative_duals(slope, d, inner, norms, norm, out);
            add_products(inner, out);
            marked
        }
        Kernel::NtkBothLayers => {
            let mut values = vec![0.0; out.len()];
            let marked_values = value_duals(slope, d, inner, norms, norm, &mut values);
            let marked = derivative_duals(slope, d, inner, norms, norm, out);
            add_products(inner, out);
            out.iter_mut().zip(&values).for_each(|(theta, sigma)| *theta += sigma);
            marked | marked_values
        }
    }
}

/// The angle pair from p, q, c: (acute angle, √D, 1 + c, nearly parallel).
#[inline(always)]
fn angle_parts(p: f64, q: f64, c: f64) -> (f64, f64, f64, bool) {
    let determinant = p * q - c * c;
    let sine_squared = (p + q - 2.0 * c) + determinant;
    let magnitude = (p + q + 2.0 * c.abs()) + (p * q + c * c);
    let nearly_parallel = sine_squared <= NEARLY_PARALLEL * magnitude;
    let sine = sine_squared.max(0.0).sqrt();
    let cosine = 1.0 + c;
    (first_quadrant(sine, cosine.abs()), sine, cosine, nearly_parallel)
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn derivative_duals(slope: f64, d: f64, inner: &[f64], norms: &[f64], norm: f64, out: &mut [f64]) -> bool {
    let inverse = 1.0 / d;
    let on_supplement = (1.0 + slope * slope) / (2.0 * PI);
    let on_angle = 2.0 * slope / (2.0 * PI);
    let mut marks = 0_u64;
    for ((inner, p), out) in inner.iter().zip(norms).zip(out) {
        let (acute, _, cosine, nearly_parallel) = angle_parts(*p, norm, inner * inverse);
        let obtuse = PI - acute;
        let angle = if cosine >= 0.0 { acute } else { obtuse };
        let supplement = if cosine >= 0.0 { obtuse } else { acute };
        let dual = on_supplement * supplement + on_angle * angle;
        *out = if nearly_parallel { f64::NAN } else { dual };
        marks += u64::from(nearly_parallel);
    }
    marks > 0
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn value_duals(slope: f64, d: f64, inner: &[f64], norms: &[f64], norm: f64, out: &mut [f64]) -> bool {
    let inverse = 1.0 / d;
    let on_arc = (1.0 - slope) * (1.0 - slope) / (2.0 * PI);
    let mut marks = 0_u64;
    for ((inner, p), out) in inner.iter().zip(norms).zip(out) {
        let (acute, sine, cosine, nearly_parallel) = angle_parts(*p, norm, inner * inverse);
        let supplement = if cosine >= 0.0 { PI - acute } else { acute };
        let value = slope * cosine + on_arc * (sine + supplement * cosine);
        // Small supplements need the series of the scalar route.
        let marked = nearly_parallel | (supplement < SERIES_LIMIT);
        *out = if marked { f64::NAN } else { value };
        marks += u64::from(marked);
    }
    marks > 0
}

/// out *= ⟨x,z⟩ + 1 (NaN marks stay NaN).
fn add_products(inner: &[f64], out: &mut [f64]) {
    for (out, inner) in out.iter_mut().zip(inner) {
        *out *= inner + 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiled here for what every processor of the family has, compiled there for what this one offers.
    #[test]
    fn columns_have_the_bits_of_single_pairs() {
        let (n, slope, d, norm) = (101, 0.3, 7.0, 1.2);
        let inner: Vec<f64> = (0..n).map(|i| 8.0 * (0.7 * i as f64).sin()).collect();
        // The last pair is nearly parallel and marked.
        let norms: Vec<f64> =
            (0..n).map(|i| if i < n - 1 { 1.3 + (1.1 * i as f64).cos().abs() } else { norm }).collect();
        let inner: Vec<f64> = inner.into_iter().take(n - 1).chain([norm * d]).collect();
        let [mut duals, mut values, mut again, mut boundary, mut along]: [Vec<f64>; 5] =
            std::array::from_fn(|_| vec![0.0; n]);
        assert!(derivative_duals(slope, d, &inner, &norms, norm, &mut duals));
        assert!(value_duals(slope, d, &inner, &norms, norm, &mut values));
        assert!(gradient_column(slope, d, &inner, &norms, norm, &mut again, &mut boundary, &mut along));
        for i in 0..n {
            let (acute, sine, cosine, near) = angle_parts(norms[i], norm, inner[i] * (1.0 / d));
            let (angle, supplement) = if cosine >= 0.0 { (acute, PI - acute) } else { (PI - acute, acute) };
            let dual = (1.0 + slope * slope) / (2.0 * PI) * supplement + 2.0 * slope / (2.0 * PI) * angle;
            let arc = (1.0 - slope) * (1.0 - slope) / (2.0 * PI);
            let value = slope * cosine + arc * (sine + supplement * cosine);
            let marked = |mark: bool, value: f64| if mark { f64::NAN } else { value }.to_bits();
            assert_eq!(duals[i].to_bits(), marked(near, dual), "{i}");
            assert_eq!(again[i].to_bits(), marked(near, dual), "{i}");
            assert_eq!(values[i].to_bits(), marked(near || supplement < SERIES_LIMIT, value), "{i}");
            assert_eq!(boundary[i].to_bits(), ((inner[i] + 1.0) / sine).to_bits(), "{i}");
            assert_eq!(along[i].to_bits(), ((inner[i] + 1.0) / sine * cosine).to_bits(), "{i}");
        }
    }
}
