//! Dense products on column-major slices, with results that do not depend on the number of threads.
//!
//! nalgebra types stand at the surface of the crate; the heavy products run in faer, which picks the instruction set at
//! run time. Parallel products are split into column panels of fixed width, each computed by one thread: the sums are
//! formed in the same order for any number of threads.

use faer::{Accum, MatMut, MatRef, Par};
use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Columns per panel of a parallel product: wide enough for the product's own blocking, narrow enough to share.
const PANEL: usize = 128;

/// A column-major `rows × cols` view.
pub(crate) fn view(data: &[f64], rows: usize, cols: usize) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(data, rows, cols)
}

/// A mutable column-major `rows × cols` view.
pub(crate) fn view_mut(data: &mut [f64], rows: usize, cols: usize) -> MatMut<'_, f64> {
    MatMut::from_column_major_slice_mut(data, rows, cols)
}

/// The larger of two numbers; NaN if either is, where `f64::max` would take the other.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Whether a product replaces its destination or is added to it.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    /// dst = α·lhs·rhs.
    Replace,
    /// dst += α·lhs·rhs.
    Add,
}

/// dst (+)= α·lhs·rhs on one thread.
pub(crate) fn multiply(dst: MatMut<'_, f64>, store: Store, alpha: f64, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    let accum = match store {
        Store::Replace => Accum::Replace,
        Store::Add => Accum::Add,
    };
    faer::linalg::matmul::matmul(dst, accum, lhs, rhs, alpha, Par::Seq);
}

/// dst (+)= α·lhs·rhs on all threads; `dst` is column-major with `lhs.nrows()` rows.
pub(crate) fn multiply_parallel(dst: &mut [f64], store: Store, alpha: f64, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    let rows = lhs.nrows();
    assert_eq!(dst.len(), rows * rhs.ncols(), "destination of a product");
    if dst.is_empty() {
        return;
    }
    dst.par_chunks_mut(rows * PANEL).enumerate().for_each(|(panel, part)| {
        let cols = part.len() / rows;
        let rhs = rhs.subcols(panel * PANEL, cols);
        multiply(view_mut(part, rows, cols), store, alpha, lhs, rhs);
    });
}

/// Values of one task of [`map_columns`].
const MAPPED: usize = 1 << 14;

/// A matrix of the same shape on all threads: `map` fills each column, given its index and that of `matrix`.
pub(crate) fn map_columns(matrix: &DMatrix<f64>, map: impl Fn(usize, &[f64], &mut [f64]) + Sync) -> DMatrix<f64> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![0.0; matrix.len()];
    let columns = values.par_chunks_mut(rows.max(1)).zip(matrix.as_slice().par_chunks(rows.max(1)));
    let columns = columns.enumerate().with_min_len(MAPPED / rows.max(1) + 1);
    columns.for_each(|(index, (to, from))| map(index, from, to));
    DMatrix::from_vec(rows, cols, values)
}

/// The first `cols` columns of XᵀX, count × cols, for X = `columns` (stride × count): on and below the diagonal by products
/// on all threads, above it mirrored.
pub(crate) fn gram_columns(columns: &[f64], stride: usize, cols: usize) -> Vec<f64> {
    let count = columns.len() / stride;
    let all = view(columns, stride, count);
    let mut gram = vec![0.0; count * cols];
    if gram.is_empty() {
        return gram;
    }
    gram.par_chunks_mut(count * PANEL).enumerate().for_each(|(panel, part)| {
        let (first, cols) = (panel * PANEL, part.len() / count);
        let (lhs, rhs) = (all.subcols(first, count - first).transpose(), all.subcols(first, cols));
        multiply(view_mut(part, count, cols).subrows_mut(first, count - first), Store::Replace, 1.0, lhs, rhs);
    });
    mirror_lower(&mut gram, count, 0, cols);
    gram
}

/// Copies the part below the diagonal of columns `first .. end` of a matrix with `count` rows to the part above it.
/// `matrix` holds those columns.
pub(crate) fn mirror_lower<T: Copy + Send + Sync>(matrix: &mut [T], count: usize, first: usize, end: usize) {
    if end - first <= PANEL {
        for col in first..end {
            for row in first..col {
                matrix[(col - first) * count + row] = matrix[(row - first) * count + col];
            }
        }
        return;
    }
    let middle = first + (end - first) / 2;
    let (left, right) = matrix.split_at_mut((middle - first) * count);
    let source = &*left;
    right.par_chunks_mut(count * 16).enumerate().for_each(|(chunk, columns)| {
        let first_col = middle + chunk * 16;
        for row in first..middle {
            let from = &source[(row - first) * count + first_col..][..columns.len() / count];
            for (offset, value) in from.iter().enumerate() {
                columns[offset * count + row] = *value;
            }
        }
    });
    rayon::join(|| mirror_lower(left, count, first, middle), || mirror_lower(right, count, middle, end));
}

/// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix, of which the lower triangle is read.
///
/// The work is split for a fixed number of threads, so that the last bits do not depend on how many there are.
pub(crate) fn symmetric_eigen(matrix: &DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>)> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::evd;

    const FIXED: Par = Par::Rayon(std::num::NonZeroUsize::new(2).expect("two is not zero"));
    let n = matrix.nrows();
    let mut values = vec![0.0; n];
    let mut vectors = DMatrix::zeros(n, n);
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::Yes,
        FIXED,
        Default::default(),
    ));
    evd::self_adjoint_evd(
        view(matrix.as_slice(), n, n),
        faer::diag::DiagMut::from_slice_mut(&mut values),
        Some(view_mut(vectors.as_mut_slice(), n, n)),
        FIXED,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|e| Error::Numerical { routine: "symmetric eigendecomposition", reason: format!("{e:?}") })?;
    Ok((values, vectors))
}

/// A·x for a symmetric n × n matrix, of which the lower triangle (diagonal included) is read, once: half the memory
/// traffic of a general product, which is what it costs. Split into panels of columns for all threads; the panels' sums
/// are added in order.
pub(crate) fn symmetric_times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    let n = x.len();
    assert_eq!(matrix.len(), n * n, "a square matrix");
    // Panels of about equal area, at most sixteen: column j has n − j entries.
    let panels = n.div_ceil(64).min(16);
    let end = |panel: usize| n - (n as f64 * ((panels - panel) as f64 / panels as f64).sqrt()) as usize;
    let partial: Vec<Vec<f64>> = (0..panels)
        .into_par_iter()
        .map(|panel| {
            let (first, end) = (end(panel), end(panel + 1));
            let mut sums = vec![0.0; n - first];
            for col in first..end {
                let below = &matrix[col * n + col + 1..(col + 1) * n];
                let (own, rest) = sums[col - first..].split_first_mut().expect("a row for each column");
                *own += matrix[col * n + col] * x[col] + add_and_dot(below, x[col], &x[col + 1..], rest);
            }
            sums
        })
        .collect();
    let mut product = vec![0.0; n];
    for sums in partial {
        let first = n - sums.len();
        product[first..].iter_mut().zip(&sums).for_each(|(y, s)| *y += s);
    }
    product
}

/// y += factor·column; returns ⟨column, x⟩.
#[multiversion::multiversion(targets("x86_64+avx512f+fma", "x86_64+avx2+fma"))]
fn add_and_dot(column: &[f64], factor: f64, x: &[f64], y: &mut [f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let split = column.len() - column.len() % LANES;
    let ((head, tail), (x_head, x_tail), (y_head, y_tail)) =
        (column.split_at(split), x.split_at(split), y.split_at_mut(split));
    for ((k, x), y) in head.chunks_exact(LANES).zip(x_head.chunks_exact(LANES)).zip(y_head.chunks_exact_mut(LANES)) {
        for lane in 0..LANES {
            sums[lane] += k[lane] * x[lane];
            y[lane] += factor * k[lane];
        }
    }
    let mut last = 0.0;
    for ((k, x), y) in tail.iter().zip(x_tail).zip(y_tail) {
        last += k * x;
        *y += factor * k;
    }
    sums.iter().sum::<f64>() + last
}

/// ⟨a, b⟩ with sixteen running sums, in a fixed order.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    dot_lanes(a, b)
}

#[multiversion::multiversion(targets("x86_64+avx512f+fma", "x86_64+avx2+fma"))]
fn dot_lanes(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

/// Squared Euclidean norm.
pub(crate) fn norm_squared(a: &[f64]) -> f64 {
    dot(a, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_two_numbers_is_unknown_if_one_is() {
        assert_eq!((larger(1.0, 2.0), larger(2.0, 1.0), larger(-1.0, 0.0)), (2.0, 2.0, 0.0));
        for other in [-1.0, f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
            assert!(larger(f64::NAN, other).is_nan() && larger(other, f64::NAN).is_nan(), "{other}");
        }
    }

    #[test]
    fn parallel_products_agree_with_the_definition() {
        let (rows, inner, cols) = (7, 5, 300);
        let lhs: Vec<f64> = (0..rows * inner).map(|i| (i as f64 * 0.7).sin()).collect();
        let rhs: Vec<f64> = (0..inner * cols).map(|i| (i as f64 * 0.3).cos()).collect();
        let mut dst = vec![1.0; rows * cols];
        multiply_parallel(&mut dst, Store::Add, 2.0, view(&lhs, rows, inner), view(&rhs, inner, cols));
        for c in 0..cols {
            for r in 0..rows {
                let exact: f64 = (0..inner).map(|k| lhs[k * rows + r] * rhs[c * inner + k]).sum();
                // A product of inner dimension 5 errs by at most (5+2)ε Σ|·| ≤ 7ε·5·2, plus one rounding of the result.
                assert!((dst[c * rows + r] - (1.0 + 2.0 * exact)).abs() <= 100.0 * f64::EPSILON);
            }
        }
    }

    #[test]
    fn every_column_is_mapped_to_its_own() {
        // Many tasks, one, and none.
        for (rows, cols) in [(3, 20_000), (3, 2), (0, 2), (3, 0)] {
            let matrix = DMatrix::from_fn(rows, cols, |i, n| (i + 10 * n) as f64);
            let mapped = map_columns(&matrix, |index, from, to| {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = index as f64 - 2.0 * from);
            });
            assert_eq!(mapped, DMatrix::from_fn(rows, cols, |i, n| n as f64 - 2.0 * (i + 10 * n) as f64));
        }
    }

    #[test]
    fn gram_columns_hold_all_inner_products() {
        let (stride, count) = (3, 300);
        let columns: Vec<f64> = (0..stride * count).map(|i| (i as f64 * 0.7).sin()).collect();
        for cols in [0, 1, 128, 290, 300] {
            let gram = gram_columns(&columns, stride, cols);
            assert_eq!(gram.len(), count * cols);
            for (col, values) in gram.chunks_exact(count).enumerate() {
                for (row, value) in values.iter().enumerate() {
                    let exact: f64 = (0..stride).map(|k| columns[row * stride + k] * columns[col * stride + k]).sum();
                    assert!((value - exact).abs() <= 6.0 * f64::EPSILON);
                }
            }
        }
    }

    #[test]
    fn symmetric_times_agrees_with_the_plain_sum_and_reads_one_triangle() {
        for n in [1, 2, 63, 64, 65, 300] {
            let entry = |row: usize, col: usize| ((row * col) as f64 * 0.3 + (row + col) as f64).sin();
            let lower: Vec<f64> =
                (0..n * n).map(|i| if i % n >= i / n { entry(i % n, i / n) } else { f64::NAN }).collect();
            let x: Vec<f64> = (0..n).map(|i| (i as f64 * 0.9).cos()).collect();
            let product = symmetric_times(&lower, &x);
            for (row, found) in product.iter().enumerate() {
                let exact: f64 = (0..n).map(|col| entry(row, col) * x[col]).sum();
                assert!((found - exact).abs() <= 2.0 * (n * n) as f64 * f64::EPSILON, "{n}: {found} {exact}");
            }
        }
    }

    #[test]
    fn dot_agrees_with_the_plain_sum() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
            let b: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let plain: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            assert!((dot(&a, &b) - plain).abs() <= 2.0 * n as f64 * n as f64 * f64::EPSILON);
        }
    }

    /// Compiled here for what every processor of the family has, compiled there for what this one offers.
    #[test]
    fn sums_have_the_bits_of_sixteen_plain_ones() {
        for n in [0, 1, 15, 16, 17, 100, 1000] {
            let [a, b, y]: [Vec<f64>; 3] =
                [0.7, 1.1, 1.9].map(|pace| (0..n).map(|i| (pace * i as f64).sin()).collect());
            let (mut sums, mut tail, split) = ([0.0; 16], [0.0; 2], n - n % 16);
            for i in 0..split {
                sums[i % 16] += a[i] * b[i];
            }
            tail[0] = (split..n).map(|i| a[i] * b[i]).sum::<f64>();
            (split..n).for_each(|i| tail[1] += a[i] * b[i]);
            let mut halved = sums;
            for width in [8, 4, 2, 1] {
                (0..width).for_each(|lane| halved[lane] += halved[lane + width]);
            }
            assert_eq!(dot(&a, &b).to_bits(), (halved[0] + tail[0]).to_bits(), "{n}");
            let mut added = y.clone();
            let product = add_and_dot(&a, 0.3, &b, &mut added);
            assert_eq!(product.to_bits(), (sums.iter().sum::<f64>() + tail[1]).to_bits(), "{n}");
            assert!((0..n).all(|i| added[i].to_bits() == (y[i] + 0.3 * a[i]).to_bits()), "{n}");
        }
    }
}
