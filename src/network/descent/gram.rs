//! The Gram matrix of the augmented inputs, cut into tiles of rows.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::real::Real;
use super::sweep::{ROWS, column_len};

/// Entries of the largest Gram matrix that descent makes.
pub(super) const LARGEST: usize = 1 << 29;
/// Rows of one task, and columns that are mirrored one by one: whole tiles, and a multiple of what the products' kernels take at a time, 24
/// or 48.
const PANEL: usize = 192;
/// Columns of one product: so many that packing the rows does not count.
const COLUMNS: usize = 1024;

/// ⟨x̃_n, x̃_k⟩ for all pairs: tile after tile, in a tile column after column, so that the same rows of any selection of
/// columns can be summed in registers. Rows beyond the last sample are zero.
pub(super) struct Gram<R> {
    count: usize,
    values: Vec<R>,
    /// Column after column, if wanted.
    columns: Vec<R>,
}

impl<R: Real> Gram<R> {
    /// From the augmented inputs, `stride × count`. One triangle is computed and mirrored.
    pub fn new(augmented: &[R], stride: usize, count: usize) -> Self {
        let tiles = count.div_ceil(ROWS);
        let mut values = vec![R::default(); tiles * ROWS * count];
        let all = MatRef::from_column_major_slice(augmented, stride, count);
        // A panel of tiles against all samples up to its own last one.
        values.par_chunks_mut(PANEL * count).enumerate().for_each(|(index, panel)| {
            let first = index * PANEL;
            let height = PANEL.min(count - first);
            let width = first + height;
            let mut product = vec![R::default(); height * COLUMNS];
            for col in (0..width).step_by(COLUMNS) {
                let cols = COLUMNS.min(width - col);
                let target = MatMut::from_column_major_slice_mut(&mut product[..height * cols], height, cols);
                R::multiply(target, false, all.subcols(first, height).transpose(), all.subcols(col, cols));
                for (offset, column) in product[..height * cols].chunks_exact(height).enumerate() {
                    for (tile, part) in column.chunks(ROWS).enumerate() {
                        panel[(tile * count + col + offset) * ROWS..][..part.len()].copy_from_slice(part);
                    }
                }
            }
        });
        mirror(&mut values, count, 0, tiles);
        Gram { count, values, columns: Vec::new() }
    }

    /// The same with a copy of all columns.
    pub fn with_columns(mut self) -> Self {
        let len = column_len(self.count);
        self.columns = vec![R::default(); len * self.count];
        self.columns.par_chunks_exact_mut(len).enumerate().for_each(|(index, column)| {
            let tiles = self.values.chunks_exact(ROWS * self.count);
            for (part, tile) in column.chunks_exact_mut(ROWS).zip(tiles) {
                part.copy_from_slice(&tile[index * ROWS..][..ROWS]);
            }
        });
        self
    }

    /// Entries at some rows and columns, rows × columns.
    pub fn entries(&self, rows: &[u32], columns: &[u32]) -> Vec<R> {
        let starts: Vec<usize> =
            rows.iter().map(|row| *row as usize).map(|n| n / ROWS * self.count * ROWS + n % ROWS).collect();
        let mut entries = Vec::with_capacity(rows.len() * columns.len());
        for column in columns {
            let values = &self.values[*column as usize * ROWS..];
            entries.extend(starts.iter().map(|start| values[*start]));
        }
        entries
    }

    /// Column after column, each of [`column_len`] values, zero beyond the last sample; or nothing.
    pub fn columns(&self) -> &[R] {
        &self.columns
    }

    /// Tiles `first ..`, each `ROWS × count`.
    pub fn tiles_from(&self, first: usize) -> &[R] {
        &self.values[first * ROWS * self.count..]
    }
}

/// Copies the lower triangle of tiles `first .. end` to the upper one. `values` holds those tiles.
fn mirror<R: Real>(values: &mut [R], count: usize, first: usize, end: usize) {
    let tile = ROWS * count;
    if (end - first) * ROWS <= PANEL {
        for row in first * ROWS..(end * ROWS).min(count) {
            for col in row + 1..(end * ROWS).min(count) {
                let source = values[(col / ROWS - first) * tile + row * ROWS + col % ROWS];
                values[(row / ROWS - first) * tile + col * ROWS + row % ROWS] = source;
            }
        }
        return;
    }
    let middle = first + (end - first) / 2;
    let (upper, lower) = values.split_at_mut((middle - first) * tile);
    let source = &*lower;
    upper.par_chunks_mut(tile).enumerate().for_each(|(index, target)| {
        let row = (first + index) * ROWS;
        for from in middle..end {
            let source = &source[(from - middle) * tile..][..tile];
            for col in 0..ROWS.min(count - from * ROWS) {
                for offset in 0..ROWS {
                    target[(from * ROWS + col) * ROWS + offset] = source[(row + offset) * ROWS + col];
                }
            }
        }
    });
    rayon::join(|| mirror(upper, count, first, middle), || mirror(lower, count, middle, end));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_all_inner_products() {
        // 1100 samples: tiles of 64 rows, the last one not full, in six panels, the last of two products.
        let (stride, count) = (3, 1100);
        let augmented: Vec<f64> = (0..stride * count).map(|i| ((i * i) as f64 * 0.37).sin()).collect();
        let gram = Gram::new(&augmented, stride, count).with_columns();
        assert_eq!((gram.values.len() / (64 * count), gram.columns.len() / count), (18, 19 * 64));
        for n in 0..18 * 64 {
            for k in 0..count {
                let exact: f64 = match augmented.chunks(stride).nth(n) {
                    Some(x) => x.iter().zip(&augmented[k * stride..]).map(|(a, b)| a * b).sum(),
                    None => 0.0,
                };
                let found = gram.tiles_from(n / 64)[k * 64 + n % 64];
                // Inner products of three numbers below 1.
                assert!((found - exact).abs() <= 6.0 * f64::EPSILON, "{n}, {k}: {found} {exact}");
                assert_eq!(gram.columns()[k * 19 * 64 + n], found);
            }
        }
        let (rows, columns) = ([1099, 0, 700], [3, 64, 1099, 500]);
        for (i, entry) in gram.entries(&rows, &columns).into_iter().enumerate() {
            let (n, k) = (rows[i % 3] as usize, columns[i / 3] as usize);
            assert_eq!(entry, gram.tiles_from(n / 64)[k * 64 + n % 64]);
        }
    }
}
