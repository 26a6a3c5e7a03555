//! The state of some neurons that walk together.

use super::changes::REFRESH;
use super::near::Near;
use crate::network::descent::real::Real;
use crate::network::descent::sweep::{Change, Flip, ROWS};

/// Share of the samples, as its inverse, from which a dense product is cheaper than paying for them one by one.
const MOST_OWED: usize = 16;

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
        let mut state = Vec::with_capacity(tiles * ROWS * 3 * neurons.len());
        let mut sides = Vec::with_capacity(tiles * neurons.len());
        let reaches = [slope * reach, reach];
        let booked: Vec<Neuron<R>> = neurons
            .iter()
            .enumerate()
            .map(|(place, (readout, u))| Neuron {
                readout: *readout,
                above: u.iter().filter(|u| **u >= zero).count(),
                age: 0,
                reach: u.iter().map(|u| reaches[usize::from(*u >= zero)]).collect(),
                on_weights: None,
                place,
                recent: 0,
            })
            .collect();
        for tile in 0..tiles {
            for (_, u) in neurons {
                let rows = &u[tile * ROWS..];
                let rows = &rows[..rows.len().min(ROWS)];
                let values = state.len();
                // The sum turns −0 into +0.
                state.extend(rows.iter().map(|u| *u + zero));
                state.resize(values + 3 * ROWS, zero);
                let above = rows.iter().enumerate().map(|(row, u)| u64::from(*u >= zero) << row);
                // Rows that stand for no sample are at zero.
                let beyond = u64::MAX.checked_shl(rows.len() as u32).unwrap_or(0);
                sides.push(above.fold(beyond, |sides, side| sides | side));
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
        for flip in flips {
            let n = flip.sample as usize;
            let neuron = &mut self.neurons[flip.neuron as usize];
            let change = if flip.above { 1.0 - slope } else { slope - 1.0 };
            neuron.reach[n] += change * reach;
            neuron.above = if flip.above { neuron.above + 1 } else { neuron.above - 1 };
            let factor = R::of(neuron.readout * change) * weights[n];
            neuron.recent += 1;
            self.changes[flip.neuron as usize].columns.push((flip.sample, factor));
            if let Some(known) = &mut neuron.on_weights {
                known.owed.push((flip.sample, factor));
                let count = neuron.reach.len();
                if known.owed.len() > count / MOST_OWED || known.paid + known.owed.len() > REFRESH * count {
                    neuron.on_weights = None;
                }
            }
        }
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
