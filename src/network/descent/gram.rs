//! The Gram matrix of the augmented inputs, cut into tiles of rows that fit the second-level cache.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::real::Real;

/// Bytes of a tile: half of a second-level cache of 1 MiB.
const TILE_BYTES: usize = 1 << 19;
/// Rows per tile, at most: a tile's sides are one 64-bit mask.
const MOST_ROWS: usize = 64;
/// Columns that are mirrored one by one.
const BLOCK: usize = 256;

/// ⟨x̃_n, x̃_k⟩ for all pairs: tile after tile, in a tile column after column, so that the same rows of any selection of
/// columns can be summed in registers. Rows beyond the last sample are zero.
pub(super) struct Gram<R> {
    count: usize,
    rows: usize,
    values: Vec<R>,
}

impl<R: Real> Gram<R> {
    /// From the augmented inputs, `stride × count`. One triangle is computed and mirrored.
    pub fn new(augmented: &[R], stride: usize, count: usize) -> Self {
        let rows = tile_rows::<R>(count);
        let tiles = count.div_ceil(rows);
        let mut values = vec![R::default(); tiles * rows * count];
        let all = MatRef::from_column_major_slice(augmented, stride, count);
        // A panel of tiles against all samples up to its own last one.
        let panel_rows = BLOCK.max(rows);
        values.par_chunks_mut(panel_rows * count).enumerate().for_each(|(index, panel)| {
            let first = index * panel_rows;
            let height = panel_rows.min(count - first);
            let width = first + height;
            let mut product = vec![R::default(); height * BLOCK];
            for col in (0..width).step_by(BLOCK) {
                let cols = BLOCK.min(width - col);
                let target = MatMut::from_column_major_slice_mut(&mut product[..height * cols], height, cols);
                R::multiply(target, false, all.subcols(first, height).transpose(), all.subcols(col, cols));
                for (offset, column) in product[..height * cols].chunks_exact(height).enumerate() {
                    for (tile, part) in column.chunks(rows).enumerate() {
                        panel[(tile * count + col + offset) * rows..][..part.len()].copy_from_slice(part);
                    }
                }
            }
        });
        mirror(&mut values, count, rows, 0, tiles);
        Gram { count, rows, values }
    }

    /// Tiles `first ..`, each `rows × count`.
    pub fn tiles_from(&self, first: usize) -> &[R] {
        &self.values[first * self.rows * self.count..]
    }
}

/// Rows per tile: a power of two from 8 to 64, the largest with which a tile fits.
pub(super) fn tile_rows<R>(count: usize) -> usize {
    let fitting = TILE_BYTES / (count * size_of::<R>());
    (8..=MOST_ROWS).rev().find(|rows| rows.is_power_of_two() && *rows <= fitting).unwrap_or(8)
}

/// Copies the lower triangle of tiles `first .. end` to the upper one. `values` holds those tiles.
fn mirror<R: Real>(values: &mut [R], count: usize, rows: usize, first: usize, end: usize) {
    let tile = rows * count;
    if (end - first) * rows <= BLOCK.max(rows) {
        for row in first * rows..(end * rows).min(count) {
            for col in row + 1..(end * rows).min(count) {
                let source = values[(col / rows - first) * tile + row * rows + col % rows];
                values[(row / rows - first) * tile + col * rows + row % rows] = source;
            }
        }
        return;
    }
    let middle = first + (end - first) / 2;
    let (upper, lower) = values.split_at_mut((middle - first) * tile);
    let source = &*lower;
    upper.par_chunks_mut(tile).enumerate().for_each(|(index, target)| {
        let row = (first + index) * rows;
        for from in middle..end {
            let source = &source[(from - middle) * tile..][..tile];
            for col in 0..rows.min(count - from * rows) {
                for offset in 0..rows {
                    target[(from * rows + col) * rows + offset] = source[(row + offset) * rows + col];
                }
            }
        }
    });
    rayon::join(|| mirror(upper, count, rows, first, middle), || mirror(lower, count, rows, middle, end));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_all_inner_products() {
        // 600 samples: tiles of 64 rows, the last one not full, in three panels.
        let (stride, count) = (3, 600);
        let augmented: Vec<f64> = (0..stride * count).map(|i| ((i * i) as f64 * 0.37).sin()).collect();
        let gram = Gram::new(&augmented, stride, count);
        assert_eq!((gram.rows, gram.values.len() / (64 * count)), (64, 10));
        for n in 0..10 * 64 {
            for k in 0..count {
                let exact: f64 = match augmented.chunks(stride).nth(n) {
                    Some(x) => x.iter().zip(&augmented[k * stride..]).map(|(a, b)| a * b).sum(),
                    None => 0.0,
                };
                let found = gram.tiles_from(n / 64)[k * 64 + n % 64];
                // Inner products of three numbers below 1.
                assert!((found - exact).abs() <= 6.0 * f64::EPSILON, "{n}, {k}: {found} {exact}");
            }
        }
    }

    #[test]
    fn tiles_shrink_as_the_number_of_samples_grows() {
        let rows: Vec<usize> = [1, 1000, 1025, 5000, 100_000].iter().map(|n| tile_rows::<f64>(*n)).collect();
        assert_eq!(rows, [64, 64, 32, 8, 8]);
        assert_eq!(tile_rows::<f32>(2000), 64);
    }
}
