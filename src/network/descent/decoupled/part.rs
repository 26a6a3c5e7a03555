//! The state of some neurons that walk together.

use rayon::prelude::*;

use super::changes::REFRESH;
use super::near::Near;
use crate::network::descent::real::Real;
use crate::network::descent::sweep::{Change, Flip, ROWS};
use crate::network::vectors::Vectors;

/// Share of the samples, as its inverse, from which a dense product is cheaper than paying for them one by one.
pub(super) const MOST_OWED: usize = 16;
/// Sign changes that are worth another thread.
const SHARED: usize = 1 << 13;
/// Bytes of what is booked of all neurons that caches keep.
const CACHED: usize = 1 << 21;

/// The force on a neuron's weights, X̃ c.
#[derive(Clone)]
pub(super) struct OnWeights<R> {
    pub force: Vec<R>,
    /// Samples that have changed side and are not in it yet, with their factors.
    pub owed: Vec<(u32, R)>,
    /// Samples that were added to it since it was formed.
    pub paid: usize,
}

/// What is booked about a neuron.
#[derive(Clone)]
pub(super) struct Neuron<R> {
    /// a_i in double precision.
    pub readout: f64,
    /// Samples with u ≥ 0.
    pub above: usize,
    /// Columns added to q since it was formed.
    pub age: usize,
    /// C_n.
    pub reach: Vec<f64>,
    /// The force on the weights where it is known.
    pub on_weights: Option<OnWeights<R>>,
    /// Where the neuron stands in its group.
    pub place: usize,
    /// Sign changes since they were last collected.
    pub recent: usize,
}

/// By how much φ' changes with a side. Without a branch: which way a sample goes is nothing that a processor could foresee.
fn change(above: bool, slope: f64) -> f64 {
    f64::from(2 * i32::from(above) - 1) * (1.0 - slope)
}

/// The factor of a sample's column in the forces of a neuron with this readout when it changes side; `weight`: y_n/N.
pub(super) fn factor<R: Real>(readout: f64, above: bool, slope: f64, weight: R) -> R {
    R::of(readout * change(above, slope)) * weight
}

impl<R: Real> Neuron<R> {
    /// Books a sign change of this neuron ([`Part::book`]); `changes`: its own.
    fn book(&mut self, changes: &mut Change<R>, flip: &Flip, weights: &[R], slope: f64, reach: f64) {
        let n = flip.sample as usize;
        let change = change(flip.above, slope);
        self.reach[n] += change * reach;
        self.above = self.above + usize::from(flip.above) - usize::from(!flip.above);
        let factor = factor(self.readout, flip.above, slope, weights[n]);
        self.recent += 1;
        changes.columns.push((flip.sample, factor));
        if let Some(known) = &mut self.on_weights {
            known.owed.push((flip.sample, factor));
            let count = self.reach.len();
            if known.owed.len() > count / MOST_OWED || known.paid + known.owed.len() > REFRESH * count {
                self.on_weights = None;
            }
        }
    }
}

/// u, p, q of some neurons (laid out for the [sweep](crate::network::descent::sweep)) and what is booked about them.
#[derive(Clone)]
pub(super) struct Part<R> {
    pub neurons: Vec<Neuron<R>>,
    pub readout: Vec<R>,
    pub state: Vec<R>,
    /// For each tile and neuron, one bit per row: u ≥ 0.
    pub sides: Vec<u64>,
    /// What the next step does to q, per neuron.
    pub changes: Vec<Change<R>>,
    /// The next step.
    pub step: usize,
    /// The neurons' terms of the losses since they were last collected.
    pub losses: Vec<f64>,
    /// What a Gram matrix would have saved so far, and what products would have saved against it if the forces on the
    /// weights were known.
    pub rent: f64,
    pub regret: f64,
    /// When to look next for a stretch without sign changes, and how long to wait if there is none.
    pub next_look: usize,
    pub patience: usize,
    /// What a single neuron keeps from its last block with few samples.
    pub near: Option<Near<R>>,
}

impl<R: Real> Part<R> {
    /// Neurons at step 0, given by their readouts and preactivations, with C_n = φ'(u_n)·reach.
    pub fn start(neurons: &[(f64, &[R])], slope: f64, reach: f64) -> Self {
        let tiles = neurons.first().map_or(0, |(_, u)| u.len().div_ceil(ROWS));
        let zero = R::default();
        // Neuron after neuron; no tiles where there are no neurons.
        let mut own = vec![0; tiles * neurons.len()];
        let mut booked = Vec::with_capacity(neurons.len());
        for ((place, (readout, u)), own) in neurons.iter().enumerate().zip(own.chunks_exact_mut(tiles.max(1))) {
            R::tile_sides(u, own);
            let mut reaches = vec![0.0; u.len()];
            for (reaches, side) in reaches.chunks_mut(ROWS).zip(&*own) {
                f64::pick(*side, [slope * reach, reach], reaches);
            }
            booked.push(Neuron {
                readout: *readout,
                above: own.iter().map(|side| side.count_ones() as usize).sum(),
                age: 0,
                reach: reaches,
                on_weights: None,
                place,
                recent: 0,
            });
        }
        let mut state = Vec::with_capacity(tiles * ROWS * 3 * neurons.len());
        let mut sides = Vec::with_capacity(own.len());
        for tile in 0..tiles {
            for ((_, u), own) in neurons.iter().zip(own.chunks_exact(tiles)) {
                let rows = &u[tile * ROWS..];
                let rows = &rows[..rows.len().min(ROWS)];
                let values = state.len();
                // The sum turns −0 into +0.
                state.extend(rows.iter().map(|u| *u + zero));
                state.resize(values + 3 * ROWS, zero);
                // Rows that stand for no sample are at zero.
                let beyond = u64::MAX.checked_shl(rows.len() as u32).unwrap_or(0);
                sides.push(own[tile] | beyond);
            }
        }
        Part::new(booked, state, sides, vec![Change { restart: None, columns: Vec::new() }; neurons.len()], 0)
    }

    fn new(neurons: Vec<Neuron<R>>, state: Vec<R>, sides: Vec<u64>, changes: Vec<Change<R>>, step: usize) -> Self {
        Part {
            readout: neurons.iter().map(|neuron| R::of(neuron.readout)).collect(),
            neurons,
            state,
            sides,
            changes,
            step,
            losses: Vec::new(),
            rent: 0.0,
            regret: 0.0,
            next_look: 0,
            patience: 1,
            near: None,
        }
    }

    pub fn size(&self) -> usize {
        self.readout.len()
    }

    /// Whether sample n is at u ≥ 0.
    pub fn is_above(&self, neuron: usize, n: usize) -> bool {
        self.sides[n / ROWS * self.size() + neuron] >> (n % ROWS) & 1 == 1
    }

    /// Books sign changes found by the step before `self.step`; `reach` is what a unit force moves from here on.
    pub fn book(&mut self, flips: &[Flip], weights: &[R], slope: f64, reach: f64) {
        let each = |neuron: &mut Neuron<R>, change: &mut Change<R>, flips: &[Flip]| {
            flips.iter().for_each(|flip| neuron.book(change, flip, weights, slope, reach));
        };
        let size = self.size();
        if size * weights.len() * size_of::<f64>() <= CACHED {
            let Part { neurons, changes, .. } = self;
            return flips.chunk_by(|a, b| a.neuron == b.neuron).for_each(|flips| {
                let neuron = flips[0].neuron as usize;
                each(&mut neurons[neuron], &mut changes[neuron], flips);
            });
        }
        // Neuron after neuron, so that what is booked of one comes to the cache once.
        let sorted = by_neuron(flips, size);
        let mut own: Vec<&[Flip]> = vec![&[]; size];
        sorted.chunk_by(|a, b| a.neuron == b.neuron).for_each(|flips| own[flips[0].neuron as usize] = flips);
        let booked = self.neurons.par_iter_mut().zip(&mut self.changes).zip(own);
        booked.with_min_len(size.div_ceil(1 + flips.len() / SHARED)).for_each(|((neuron, change), flips)| {
            each(neuron, change, flips);
        });
    }

    /// Each neuron for itself.
    pub fn split(self) -> Vec<Part<R>> {
        let size = self.size();
        let alone = self.neurons.into_iter().zip(self.changes).enumerate().map(|(index, (neuron, change))| {
            let state = column(&self.state, size, index, 3 * ROWS);
            let sides = column(&self.sides, size, index, 1);
            let rent = self.rent / size as f64;
            Part { rent, ..Part::new(vec![neuron], state, sides, vec![change], self.step) }
        });
        alone.collect()
    }

    /// Each neuron of some parts for itself, in the order of their places.
    pub fn singles(parts: Vec<Part<R>>) -> Vec<Part<R>> {
        let alone = |part: Part<R>| if part.size() == 1 { vec![part] } else { part.split() };
        let mut singles: Vec<Part<R>> = parts.into_iter().flat_map(alone).collect();
        singles.sort_by_key(|part| part.neurons[0].place);
        singles
    }

    /// The reverse of `split`.
    pub fn join(parts: Vec<Part<R>>) -> Part<R> {
        let state = side_by_side(parts.iter().map(|part| &part.state[..]), 3 * ROWS);
        let sides = side_by_side(parts.iter().map(|part| &part.sides[..]), 1);
        let (step, rent) = (parts[0].step, parts.iter().map(|part| part.rent).sum());
        let own = parts.into_iter().flat_map(|part| part.neurons.into_iter().zip(part.changes));
        let (neurons, changes) = own.unzip();
        Part { rent, ..Part::new(neurons, state, sides, changes, step) }
    }

    /// u, p, q of a sample of a single neuron.
    pub fn values(&self, n: usize) -> [R; 3] {
        [0, 1, 2].map(|value| self.state[position(1, 0, n) + value * ROWS])
    }

    /// Sets u, p, q of a sample of a single neuron.
    pub fn set(&mut self, n: usize, values: [R; 3]) {
        values.into_iter().enumerate().for_each(|(part, value)| self.state[position(1, 0, n) + part * ROWS] = value);
    }

    /// Notes that samples of a single neuron have changed side.
    pub fn switch(&mut self, flips: &[Flip]) {
        flips.iter().for_each(|flip| self.sides[flip.sample as usize / ROWS] ^= 1 << (flip.sample as usize % ROWS));
    }
}

/// The sign changes of each neuron together, in their order.
fn by_neuron(flips: &[Flip], size: usize) -> Vec<Flip> {
    let mut places = vec![0_u32; size + 1];
    flips.iter().for_each(|flip| places[flip.neuron as usize + 1] += 1);
    for neuron in 0..size {
        places[neuron + 1] += places[neuron];
    }
    let mut sorted = vec![Flip { neuron: 0, sample: 0, above: false }; flips.len()];
    for flip in flips {
        let place = &mut places[flip.neuron as usize];
        sorted[*place as usize] = *flip;
        *place += 1;
    }
    sorted
}

/// Where u of a sample stands.
fn position(size: usize, neuron: usize, n: usize) -> usize {
    (n / ROWS * size + neuron) * 3 * ROWS + n % ROWS
}

/// One neuron's values, `len` in each tile, out of those of `size` neurons.
fn column<T: Copy>(values: &[T], size: usize, neuron: usize, len: usize) -> Vec<T> {
    let mut own = Vec::with_capacity(values.len() / size);
    values.chunks_exact(size * len).for_each(|tile| own.extend_from_slice(&tile[neuron * len..][..len]));
    own
}

/// The reverse: tile after tile, in a tile neuron after neuron.
fn side_by_side<'a, T: Copy + 'a>(neurons: impl Iterator<Item = &'a [T]>, len: usize) -> Vec<T> {
    let neurons: Vec<&[T]> = neurons.collect();
    let all = neurons.iter().map(|own| own.len()).sum();
    let mut values = Vec::with_capacity(all);
    for first in (0..all / neurons.len().max(1)).step_by(len) {
        neurons.iter().for_each(|own| values.extend_from_slice(&own[first..first + len]));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is booked about many samples goes neuron after neuron, on several threads; the order of a neuron's sign changes stays.
    #[test]
    fn sign_changes_are_booked_in_their_order_whether_or_not_the_cache_holds_what_is_booked() {
        for count in [100, 100_000] {
            let u: Vec<Vec<f64>> =
                [1.0, 2.0, 3.0].map(|pace| (0..count).map(|n| (pace * n as f64).sin()).collect()).into();
            let neurons: Vec<(f64, &[f64])> = [0.5, -2.0, 1.5].into_iter().zip(u.iter().map(|u| &u[..])).collect();
            let part = Part::start(&neurons, 0.25, 1.0);
            let weights: Vec<f64> = (0..part.sides.len() / 3 * ROWS).map(|n| 1.0 + n as f64).collect();
            assert_eq!(3 * weights.len() * size_of::<f64>() > CACHED, count > 100);
            // As a sweep finds them: tile after tile, in a tile neuron after neuron. So many that several threads book them.
            let mut flips = Vec::new();
            for tile in 0..count / ROWS {
                for neuron in 0..3 {
                    let first = tile * ROWS;
                    let samples = (first..first + ROWS).filter(|n| n % (neuron + 3) == 0);
                    flips.extend(samples.map(|n| Flip {
                        neuron: neuron as u32,
                        sample: n as u32,
                        above: !part.is_above(neuron, n),
                    }));
                }
            }
            assert!(flips.len() > 3 * SHARED || count == 100);
            let mut booked = part.clone();
            booked.book(&flips, &weights, 0.25, 0.5);
            for (neuron, (readout, _)) in neurons.iter().enumerate() {
                let own: Vec<&Flip> = flips.iter().filter(|flip| flip.neuron as usize == neuron).collect();
                let change = |flip: &Flip| if flip.above { 0.75 } else { -0.75 };
                let columns: Vec<(u32, f64)> = own
                    .iter()
                    .map(|flip| (flip.sample, readout * change(flip) * weights[flip.sample as usize]))
                    .collect();
                assert_eq!(booked.changes[neuron].columns, columns);
                let mut reach = part.neurons[neuron].reach.clone();
                own.iter().for_each(|flip| reach[flip.sample as usize] += change(flip) * 0.5);
                assert_eq!(booked.neurons[neuron].reach, reach);
                let above = own.iter().map(|flip| if flip.above { 1 } else { -1 }).sum::<isize>();
                assert_eq!(booked.neurons[neuron].above as isize - part.neurons[neuron].above as isize, above);
                assert_eq!(booked.neurons[neuron].recent, own.len());
            }
        }
    }
}
