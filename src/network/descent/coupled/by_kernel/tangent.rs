//! The tangent kernel on the training points, kept up to date under sign changes.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::super::{Step, gram};
use super::loops::TILE;
use crate::network::descent::real::Real;

/// Neurons of one product: their scaled derivatives come from caches.
const NEURONS: usize = 256;
/// Samples per word of sides.
const WORD: usize = 32;

/// Θ_nk = ⟨x̃_n, x̃_k⟩ Σ_i a_i² φ'(u_in) φ'(u_ik), with the sides that it was made for.
pub(super) struct Tangent<R> {
    pub count: usize,
    /// N and padding.
    pub len: usize,
    slope: f64,
    /// ⟨x̃_n, x̃_k⟩, len × count.
    pub gram: Vec<R>,
    /// The tiles at and below the diagonal, row after row; each row after row, padded with zeros.
    kernel: Vec<R>,
    /// One bit per sample, neuron after neuron.
    sides: Vec<u32>,
    /// Sign changes since it was formed.
    changed: usize,
}

/// N and padding.
pub(super) fn padded(count: usize) -> usize {
    count.next_multiple_of(TILE)
}

/// Where a row of tiles begins.
fn tiles_before(row: usize) -> usize {
    row * (row + 1) / 2 * TILE * TILE
}

impl<R: Real> Tangent<R> {
    /// The Gram matrix alone.
    pub fn new(step: &Step<'_, R>) -> Self {
        let count = step.count();
        let len = padded(count);
        let gram = gram(step.inputs(), len);
        let slope = step.slope.to_f64();
        Tangent { count, len, slope, gram, kernel: Vec::new(), sides: Vec::new(), changed: 0 }
    }

    /// Brings the kernel to preactivations u (len × neurons), by sign changes if there are at most so many.
    pub fn follow(&mut self, u: &[R], readout: &[R], most_changes: f64) {
        let words = self.len / WORD;
        let sides = R::sides(u, self.len, self.len);
        let differing = |(a, b): (&u32, &u32)| (a ^ b).count_ones() as usize;
        let changes: usize = self.sides.iter().zip(&sides).map(differing).sum();
        // Formed anew, too, before rounding in changes outweighs that in the sums over neurons.
        let outworn = self.changed > self.count * readout.len();
        if self.kernel.is_empty() || changes as f64 > most_changes || outworn {
            self.sides = sides;
            return self.form(u, readout);
        }
        for (neuron, a) in readout.iter().enumerate() {
            for word in 0..words {
                let mut differing = self.sides[neuron * words + word] ^ sides[neuron * words + word];
                while differing != 0 {
                    self.switch(neuron, word * WORD + differing.trailing_zeros() as usize, a.to_f64());
                    differing &= differing - 1;
                }
            }
        }
    }

    fn form(&mut self, u: &[R], readout: &[R]) {
        let (len, count) = (self.len, self.count);
        self.kernel.clear();
        self.kernel.resize(tiles_before(len / TILE), R::default());
        let mut rows: Vec<&mut [R]> = Vec::new();
        let mut rest = &mut self.kernel[..];
        for row in 0..len / TILE {
            let (own, others) = rest.split_at_mut((row + 1) * TILE * TILE);
            rows.push(own);
            rest = others;
        }
        let ones = vec![R::of(1.0); len];
        for (u, readout) in u.chunks(len * NEURONS).zip(readout.chunks(NEURONS)) {
            let mut derivatives = u.to_vec();
            derivatives.par_chunks_mut(len).zip(readout.par_chunks(1)).for_each(|(derivatives, a)| {
                R::to_forces(derivatives, a, R::of(self.slope), &ones);
            });
            let derivatives = MatRef::from_column_major_slice(&derivatives, len, readout.len());
            rows.par_iter_mut().enumerate().for_each(|(row, tiles)| {
                let own = derivatives.subrows(row * TILE, TILE).transpose();
                for (col, tile) in tiles.chunks_exact_mut(TILE * TILE).enumerate() {
                    let target = MatMut::from_column_major_slice_mut(tile, TILE, TILE);
                    R::multiply(target, true, derivatives.subrows(col * TILE, TILE), own);
                }
            });
        }
        let gram = &self.gram;
        rows.into_par_iter().enumerate().for_each(|(row, tiles)| {
            for (at, kernel) in tiles.chunks_exact_mut(TILE).enumerate() {
                let (n, k) = (row * TILE + at % TILE, at / TILE * TILE);
                let gram = if n < count { &gram[n * len + k..][..TILE] } else { &[] };
                kernel[gram.len()..].fill(R::default());
                kernel.iter_mut().zip(gram).for_each(|(kernel, gram)| *kernel *= *gram);
            }
        });
        self.changed = 0;
    }

    /// Θ c, padded as c.
    pub fn times(&self, factors: &[R]) -> Vec<R> {
        // Two rows of tiles a task, one from each end, so that all have as much to do.
        let rows = self.len / TILE;
        let parts = (0..rows.div_ceil(2)).into_par_iter().map(|first| {
            let mut product = vec![R::default(); self.len];
            let last = rows - 1 - first;
            for row in if first == last { vec![first] } else { vec![first, last] } {
                R::add_symmetric(&self.kernel[tiles_before(row)..tiles_before(row + 1)], factors, &mut product);
            }
            product
        });
        let parts: Vec<Vec<R>> = parts.collect();
        let mut product = vec![R::default(); self.len];
        parts.iter().for_each(|part| product.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part));
        product
    }

    fn derivative(&self, neuron: usize, n: usize) -> f64 {
        let is_above = self.sides[neuron * (self.len / WORD) + n / WORD] >> (n % WORD) & 1 == 1;
        if is_above { 1.0 } else { self.slope }
    }

    /// A sample of a neuron with readout a goes to its other side; returns by how much φ' changes.
    pub fn switch(&mut self, neuron: usize, n: usize, a: f64) -> f64 {
        let before = self.derivative(neuron, n);
        let change = 1.0 + self.slope - 2.0 * before;
        let (len, words) = (self.len, self.len / WORD);
        let gram = &self.gram[n * len..][..len];
        let sides = &self.sides[neuron * words..][..words];
        let factors = [self.slope, 1.0].map(|derivative| R::of(a * a * change * derivative));
        let (row, at) = (n / TILE, n % TILE);
        let tiles = &mut self.kernel[tiles_before(row)..];
        let own = tiles[row * TILE * TILE + at * (TILE + 1)].to_f64();
        let own = own + a * a * change * (2.0 * before + change) * gram[n].to_f64();
        for (col, tile) in tiles.chunks_exact_mut(TILE * TILE).take(row + 1).enumerate() {
            let gram = &gram[col * TILE..][..TILE];
            R::add_picked(&mut tile[at * TILE..][..TILE], gram, &sides[col * TILE / WORD..], factors);
        }
        let diagonal = &mut tiles[row * TILE * TILE..][..TILE * TILE];
        diagonal[at * (TILE + 1)] = R::of(own);
        for k in 0..TILE {
            diagonal[k * TILE + at] = diagonal[at * TILE + k];
        }
        for below in row + 1..len / TILE {
            let tile = &mut self.kernel[tiles_before(below) + row * TILE * TILE..][..TILE * TILE];
            let (mut column, gram) = ([R::default(); TILE], &gram[below * TILE..][..TILE]);
            R::add_picked(&mut column, gram, &sides[below * TILE / WORD..], factors);
            tile[at..].iter_mut().step_by(TILE).zip(column).for_each(|(value, change)| *value += change);
        }
        self.sides[neuron * words + n / WORD] ^= 1 << (n % WORD);
        self.changed += 1;
        change
    }
}
