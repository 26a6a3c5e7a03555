//! How sign changes enter the forces, and which way is cheapest.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::part::{MOST_OWED, OnWeights, Part};
use super::{BLOCK, Problem};
use crate::network::descent::gram::{Gram, LARGEST};
use crate::network::descent::real::Real;
use crate::network::descent::sweep::{Change, ROWS};

/// Columns per sample added to q, or samples to the force on the weights, after which it is formed again.
pub(super) const REFRESH: usize = 10;
/// Samples of one task of a product: whole tiles, and a multiple of what the products' kernels take at a time, 24 or 48.
pub(super) const SAMPLES_PER_TASK: usize = 384;
/// What neurons are taken to spend without the Gram matrix in the end, per what they have spent by now: what changes sides goes on
/// changing sides.
const FORESIGHT: f64 = 2.0;
/// Bytes that a core's own cache keeps.
const SECOND_LEVEL_CACHE: usize = 1 << 20;

impl<R: Real> Problem<R> {
    /// Decides how the sign changes enter the forces, and prepares it; false if the Gram matrix is wanted and not there. Forces that would
    /// have to be formed anew within `steps` steps like this one are formed now.
    pub(super) fn settle(&self, part: &mut Part<R>, gram: Option<&Gram<R>>, share: f64, steps: usize) -> bool {
        let mut columns = 0;
        let mut changed = Vec::new();
        for neuron in 0..part.size() {
            let added = part.changes[neuron].columns.len();
            if added > 0 && part.changes[neuron].restart.is_none() {
                let fewest = part.neurons[neuron].above.min(self.count - part.neurons[neuron].above);
                part.neurons[neuron].age += added;
                if fewest < added || part.neurons[neuron].age + added * (steps - 1) > REFRESH * self.count {
                    self.start_again(part, neuron);
                }
            }
            if !part.changes[neuron].columns.is_empty() {
                columns += part.changes[neuron].columns.len();
                changed.push(neuron);
            }
        }
        if columns == 0 {
            return true;
        }
        let unknown = changed.iter().filter(|neuron| part.neurons[**neuron].on_weights.is_none()).count();
        let owed = changed
            .iter()
            .filter_map(|neuron| part.neurons[*neuron].on_weights.as_ref())
            .map(|force| force.owed.len())
            .sum();
        let by_columns = self.columns_cost(columns);
        let by_products = self.products_cost(changed.len(), unknown, owed);
        if gram.is_some() && by_columns <= by_products {
            // Columns lose what products would save if the forces on the weights were known; when the sum of that would
            // have paid for forming them, they are formed.
            let at_best = self.products_cost(changed.len(), 0, columns);
            part.regret = (part.regret + by_columns - at_best).max(0.0);
            if part.regret <= by_products {
                return true;
            }
        }
        part.regret = 0.0;
        if gram.is_none() && by_columns < by_products && self.count * self.count <= LARGEST {
            part.rent += by_products - by_columns;
            if FORESIGHT * part.rent * share > self.gram_cost() {
                return false;
            }
        }
        self.form_anew(part, &changed);
        true
    }

    /// Describes a neuron's forces by columns against all samples above, or none.
    fn start_again(&self, part: &mut Part<R>, neuron: usize) {
        let mostly_above = 2 * part.neurons[neuron].above > self.count;
        let (a, slope) = (part.neurons[neuron].readout, self.slope.to_f64());
        let factor = if mostly_above { slope - 1.0 } else { 1.0 - slope };
        let columns = (0..self.count).filter(|n| part.is_above(neuron, *n) != mostly_above);
        let columns = columns.map(|n| (n as u32, R::of(a * factor) * self.weights[n])).collect();
        part.changes[neuron] = Change { restart: Some(R::of(if mostly_above { a } else { a * slope })), columns };
        part.neurons[neuron].age = 0;
    }

    /// Forms the forces of some neurons by products with the inputs: those on the weights, X̃ c, by a dense product or, where
    /// they are known, from the samples that have changed side since; and from them X̃ᵀ(X̃ c).
    pub(super) fn form_anew(&self, part: &mut Part<R>, neurons: &[usize]) {
        self.form_on_weights(part, neurons);
        let forces: Vec<&[R]> = neurons
            .iter()
            .filter_map(|neuron| part.neurons[*neuron].on_weights.as_ref())
            .map(|f| &f.force[..])
            .collect();
        let known = forces.len();
        let forces = forces.concat();
        let forces = MatRef::from_column_major_slice(&forces, self.stride, known);
        let size = part.size();
        // Each task takes some samples of all neurons, so that the inputs are read once.
        let tasks = part.state.par_chunks_mut(SAMPLES_PER_TASK * 3 * size);
        tasks.zip(self.tiles.par_chunks(SAMPLES_PER_TASK * self.stride)).for_each(|(state, inputs)| {
            let mut formed = vec![R::default(); ROWS * known];
            let tiles = state.chunks_exact_mut(3 * ROWS * size).zip(inputs.chunks_exact(ROWS * self.stride));
            for (state, inputs) in tiles {
                let inputs = MatRef::from_column_major_slice(inputs, ROWS, self.stride);
                R::multiply(MatMut::from_column_major_slice_mut(&mut formed, ROWS, known), false, inputs, forces);
                for (neuron, formed) in neurons.iter().zip(formed.chunks_exact(ROWS)) {
                    state[(neuron * 3 + 2) * ROWS..][..ROWS].copy_from_slice(formed);
                }
            }
        });
        for &neuron in neurons {
            // What was added to the force on the weights is in q as well.
            part.neurons[neuron].age = part.neurons[neuron].on_weights.as_ref().map_or(0, |force| force.paid);
            part.changes[neuron].columns.clear();
            part.changes[neuron].restart = None;
        }
    }

    /// Makes known the forces of some neurons on their weights, with nothing owed.
    fn form_on_weights(&self, part: &mut Part<R>, neurons: &[usize]) {
        let unknown: Vec<usize> =
            neurons.iter().copied().filter(|neuron| part.neurons[*neuron].on_weights.is_none()).collect();
        let formed: Vec<Vec<R>> = unknown
            .par_chunks(BLOCK)
            .map(|neurons| {
                let mut coefficients = vec![R::default(); self.count * neurons.len()];
                for (coefficients, &neuron) in coefficients.chunks_exact_mut(self.count).zip(neurons) {
                    let a = part.neurons[neuron].readout;
                    let values = [R::of(a * self.slope.to_f64()), R::of(a)];
                    let sides = part.sides[neuron..].iter().step_by(part.size());
                    for (tile, side) in coefficients.chunks_mut(ROWS).zip(sides) {
                        R::pick(*side, values, tile);
                    }
                    coefficients.iter_mut().zip(&self.weights).for_each(|(c, weight)| *c *= *weight);
                }
                on_weights(&self.augmented, self.stride, &coefficients)
            })
            .collect();
        for (force, neuron) in formed.iter().flat_map(|block| block.chunks_exact(self.stride)).zip(unknown) {
            part.neurons[neuron].on_weights = Some(OnWeights {
                force: force.to_vec(),
                owed: Vec::with_capacity(self.count / MOST_OWED + 1),
                paid: 0,
            });
        }
        part.neurons.par_iter_mut().filter_map(|neuron| neuron.on_weights.as_mut()).for_each(
            |OnWeights { force, owed, paid }| {
                *paid += owed.len();
                R::add_samples(force, &self.augmented, owed);
                owed.clear();
            },
        );
    }

    /// Nanoseconds on one core, roughly: what choices between routes are made by. The first N columns come from a cache that the cores share
    /// or from memory; of more, each comes once and serves several neurons.
    pub(super) fn columns_cost(&self, columns: usize) -> f64 {
        let bytes = (columns.min(self.count) * self.count * size_of::<R>()) as f64;
        let per_byte = if self.shares_tiles() { 0.05 } else { 0.0035 };
        (columns * self.count * size_of::<R>()) as f64 * 0.0075 + bytes * per_byte
    }

    /// Of some neurons, of which the forces on the weights are unknown for some, and not up to date by `owed` samples for
    /// the others.
    pub(super) fn products_cost(&self, neurons: usize, unknown: usize, owed: usize) -> f64 {
        let per_value = size_of::<R>() as f64 / 8.0;
        let passes = 1.0 + f64::from(u8::from(unknown > 0));
        let dense = (self.count * self.stride) as f64 * (0.15 * passes + 0.0225 * (neurons + unknown) as f64);
        // Inputs are read from the second-level cache, or from memory.
        let per_sample = if self.augmented.len() * size_of::<R>() > SECOND_LEVEL_CACHE { 0.4 } else { 0.1 };
        (dense + (owed * self.stride) as f64 * per_sample) * per_value
    }

    /// Of an entry of the Gram matrix that is made for one neuron: gathering inputs takes as long as the product.
    pub(super) fn entry_cost(&self) -> f64 {
        self.stride as f64 * 0.045 * size_of::<R>() as f64 / 8.0
    }

    /// Whether the Gram matrix should be made, by what all neurons have spent without it.
    pub(super) fn wants_gram(&self, parts: &[Part<R>], width: usize) -> bool {
        let rent: f64 = parts.iter().map(|part| part.rent).sum();
        let size: usize = parts.iter().map(Part::size).sum();
        FORESIGHT * rent * width as f64 > self.gram_cost() * size as f64
    }

    pub(super) fn gram_cost(&self) -> f64 {
        let per_value = size_of::<R>() as f64 / 8.0;
        (self.count * self.count) as f64 * per_value * (2.0 + 0.0125 * self.stride as f64)
    }
}

/// X̃ᵀ(X̃ c) for each column c of coefficients, count × columns.
pub(super) fn forces_of<R: Real>(augmented: &[R], stride: usize, coefficients: &[R]) -> Vec<R> {
    preactivations(augmented, stride, &on_weights(augmented, stride, coefficients))
}

/// X̃ c for each column c of coefficients, stride × columns.
fn on_weights<R: Real>(augmented: &[R], stride: usize, coefficients: &[R]) -> Vec<R> {
    let count = augmented.len() / stride;
    let columns = coefficients.len() / count;
    let all = MatRef::from_column_major_slice(augmented, stride, count);
    let mut forces = vec![R::default(); stride * columns];
    let coefficients = MatRef::from_column_major_slice(coefficients, count, columns);
    R::multiply(MatMut::from_column_major_slice_mut(&mut forces, stride, columns), false, all, coefficients);
    forces
}

/// X̃ᵀ w for each column w of weights, count × columns.
pub(super) fn preactivations<R: Real>(augmented: &[R], stride: usize, weights: &[R]) -> Vec<R> {
    let (count, columns) = (augmented.len() / stride, weights.len() / stride);
    let all = MatRef::from_column_major_slice(augmented, stride, count);
    let mut u = vec![R::default(); count * columns];
    let weights = MatRef::from_column_major_slice(weights, stride, columns);
    R::multiply(MatMut::from_column_major_slice_mut(&mut u, count, columns), false, all.transpose(), weights);
    u
}

/// Augmented inputs tile after tile, in a tile coordinate after coordinate, [`ROWS`] samples each, zero beyond the last.
pub(super) fn in_tiles<R: Real>(augmented: &[R], stride: usize) -> Vec<R> {
    let count = augmented.len() / stride;
    let mut tiles = vec![R::default(); count.next_multiple_of(ROWS) * stride];
    let inputs = augmented.par_chunks(ROWS * stride);
    tiles.par_chunks_exact_mut(ROWS * stride).zip(inputs).for_each(|(tile, inputs)| {
        let rows = inputs.len() / stride;
        let turned = transposed(inputs.chunks_exact(stride), rows, stride);
        tile.chunks_exact_mut(ROWS)
            .zip(turned.chunks_exact(rows))
            .for_each(|(tile, row)| tile[..rows].copy_from_slice(row));
    });
    tiles
}

/// `count` columns of `len` values, written row by row.
pub(super) fn transposed<'a, R: Real>(columns: impl Iterator<Item = &'a [R]>, count: usize, len: usize) -> Vec<R> {
    // A few columns at a time, as many as the first-level cache can read and write side by side.
    const AT_ONCE: usize = 16;
    let columns: Vec<&[R]> = columns.collect();
    let mut values = vec![R::default(); count * len];
    for (block, columns) in columns.chunks(AT_ONCE).enumerate() {
        for (row, values) in values.chunks_exact_mut(count).enumerate() {
            values[block * AT_ONCE..].iter_mut().zip(columns).for_each(|(value, column)| *value = column[row]);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::descent::sweep::Flip;
    use crate::problem::{Points, Slope, TrainingSet};

    /// A problem of 100 samples in 5 dimensions (two tiles), and two neurons that feel it.
    fn problem() -> (Problem<f64>, Part<f64>) {
        let (count, dim) = (100, 5);
        let values = (0..count * dim).map(|i| ((i * i) as f64 * 0.61).sin()).collect();
        let labels = (0..count).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let train = TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap();
        let problem = Problem::new(&train, Slope::new(0.25).unwrap(), 0.0);
        let u = [3, 4].map(|factor| (0..count).map(|n| ((n * factor) as f64).cos()).collect::<Vec<f64>>());
        let mut part = Part::start(&[(0.5, &u[0]), (-2.0, &u[1])], 0.25, 1.0);
        problem.form_anew(&mut part, &[0, 1]);
        (problem, part)
    }

    /// Lets samples change side.
    fn flip_sides(problem: &Problem<f64>, part: &mut Part<f64>, flips: &[Flip]) {
        for flip in flips {
            let n = flip.sample as usize;
            part.sides[n / ROWS * 2 + flip.neuron as usize] ^= 1 << (n % ROWS);
            part.state[(n / ROWS * 2 + flip.neuron as usize) * 3 * ROWS + n % ROWS] *= -1.0;
        }
        part.book(flips, &problem.weights, 0.25, 0.0);
    }

    /// q of both neurons after a step without movement has applied the changes.
    fn forces(problem: &Problem<f64>, part: &mut Part<f64>, gram: &Gram<f64>) -> Vec<f64> {
        problem.sweep(part, Some(gram), 0.0, &mut Vec::new());
        part.state.chunks_exact(3 * ROWS).flat_map(|state| state[2 * ROWS..].to_vec()).collect()
    }

    #[test]
    fn columns_restarts_and_products_give_the_same_forces() {
        let (problem, part) = problem();
        let gram = Gram::new(&problem.augmented, problem.stride, problem.count);
        // Samples 2, 70 and 99 of the second neuron and 5 of the first change side.
        let flips: Vec<Flip> = [(0, 5), (1, 2), (1, 70), (1, 99)]
            .map(|(neuron, sample)| {
                let above = !part.is_above(neuron as usize, sample as usize);
                Flip { neuron, sample, above }
            })
            .to_vec();
        let changed = || {
            let mut part = Part::join(part.clone().split());
            part.neurons.iter_mut().for_each(|neuron| neuron.on_weights = None);
            flip_sides(&problem, &mut part, &flips);
            part
        };
        // Here the forces on the weights stay known.
        let mut by_owed = Part::join(part.clone().split());
        flip_sides(&problem, &mut by_owed, &flips);
        let mut by_columns = changed();
        let mut by_restart = changed();
        let mut by_products = changed();
        (0..2).for_each(|neuron| problem.start_again(&mut by_restart, neuron));
        problem.form_anew(&mut by_products, &[0, 1]);
        assert_eq!(by_owed.neurons[1].on_weights.as_ref().unwrap().owed.len(), 3);
        problem.form_anew(&mut by_owed, &[0, 1]);
        let before = forces(&problem, &mut changed(), &gram);
        let expected = forces(&problem, &mut by_products, &gram);
        for part in [&mut by_columns, &mut by_restart, &mut by_owed] {
            let found = forces(&problem, part, &gram);
            // Sums of 100 terms of at most 2·6/100 each.
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() <= 100.0 * f64::EPSILON * 12.0, "{a} {b}");
            }
        }
        let mut unchanged = changed();
        unchanged.changes.iter_mut().for_each(|change| change.columns.clear());
        let unchanged = forces(&problem, &mut unchanged, &gram);
        assert!(before != unchanged, "the sign changes must matter");
    }

    #[test]
    fn forces_that_are_due_soon_are_formed_at_once_where_that_is_asked_for() {
        let (problem, part) = problem();
        let gram = Gram::new(&problem.augmented, problem.stride, problem.count);
        // Three sign changes a step, and ten columns to go.
        let old = REFRESH * problem.count - 10;
        let age_after = |steps: usize| {
            let mut part = part.clone();
            let flips = [2, 70, 99].map(|sample| Flip { neuron: 1, sample, above: !part.is_above(1, sample as usize) });
            part.neurons[1].on_weights = None;
            part.neurons[1].age = old;
            flip_sides(&problem, &mut part, &flips);
            assert!(problem.settle(&mut part, Some(&gram), 1.0, steps));
            part.neurons[1].age
        };
        assert_eq!([1, 3].map(age_after), [old + 3; 2]);
        assert_eq!([4, 32].map(age_after), [0; 2]);
    }

    #[test]
    fn the_gram_matrix_is_asked_for_once_products_have_cost_enough() {
        let (problem, mut part) = problem();
        let flip = |part: &Part<f64>| Flip { neuron: 0, sample: 1, above: !part.is_above(0, 1) };
        let mut steps = 0;
        loop {
            let flips = [flip(&part)];
            part.sides[0] ^= 2;
            part.book(&flips, &problem.weights, 0.25, 0.0);
            if !problem.settle(&mut part, None, 1.0, 1) {
                break;
            }
            steps += 1;
            assert!(part.changes.iter().all(|change| change.columns.is_empty()), "products have settled it");
            assert!(steps < 10_000, "never asked");
        }
        assert!(steps > 0, "not before anything was paid");
        let gram = Gram::new(&problem.augmented, problem.stride, problem.count);
        assert!(problem.settle(&mut part, Some(&gram), 1.0, 1));
        assert_eq!(part.changes[0].columns.len(), 1);
    }
}
