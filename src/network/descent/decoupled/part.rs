//! The state of some neurons that walk together.

use std::ops::Range;

use super::changes::REFRESH;
use super::near::Near;
use crate::network::descent::real::Real;
use crate::network::descent::sweep::{Change, Flip, ROWS};

/// Share of the samples, as its inverse, from which a dense product is cheaper than paying for them one by one.
const MOST_OWED: usize = 16;

/// The force on a neuron's weights, X̃ c.
pub(super) struct OnWeights<R> {
    pub force: Vec<R>,
    /// Samples that have changed side and are not in it yet, with their factors.
    pub owed: Vec<(u32, R)>,
    /// Samples that were added to it since it was formed.
    pub paid: usize,
}

/// u, p, q of some neurons (laid out for the [sweep](crate::network::descent::sweep)) and what is booked about them.
pub(super) struct Part<R> {
    count: usize,
    pub readout: Vec<R>,
    /// a_i in double precision.
    pub readout_f64: Vec<f64>,
    pub state: Vec<R>,
    /// For each tile and neuron, one bit per row: u ≥ 0.
    pub sides: Vec<u64>,
    /// Samples with u ≥ 0, per neuron.
    pub above: Vec<usize>,
    /// What the next step does to q, per neuron.
    pub changes: Vec<Change<R>>,
    /// Columns added to q since it was formed, per neuron.
    pub age: Vec<usize>,
    /// C_n, count values per neuron.
    pub reach: Vec<f64>,
    /// The next step.
    pub step: usize,
    /// The neurons' terms of the losses since they were last collected.
    pub losses: Vec<f64>,
    /// The forces on the weights, per neuron, where they are known.
    pub on_weights: Vec<Option<OnWeights<R>>>,
    /// What a Gram matrix would have saved so far, and what products would have saved against it if the forces on the
    /// weights were known.
    pub rent: f64,
    pub regret: f64,
    /// When to look next for a stretch without sign changes, and how long to wait if there is none.
    pub next_look: usize,
    pub patience: usize,
    /// Where the neurons stand in their group.
    pub places: Vec<usize>,
    /// Sign changes of each neuron since they were last collected.
    pub recent: Vec<usize>,
    /// What a single neuron keeps from its last block with few samples.
    pub near: Option<Near<R>>,
}

impl<R: Real> Part<R> {
    /// Neurons with these readouts, all preactivations zero.
    pub fn new(count: usize, readout: &[f64]) -> Self {
        let (tiles, size) = (count.div_ceil(ROWS), readout.len());
        Part {
            count,
            readout: readout.iter().map(|a| R::of(*a)).collect(),
            readout_f64: readout.to_vec(),
            state: vec![R::default(); tiles * ROWS * 3 * size],
            sides: vec![u64::MAX; tiles * size],
            above: vec![count; size],
            changes: vec![Change { restart: None, columns: Vec::new() }; size],
            age: vec![0; size],
            reach: vec![0.0; count * size],
            step: 0,
            losses: Vec::new(),
            on_weights: std::iter::repeat_with(|| None).take(size).collect(),
            rent: 0.0,
            regret: 0.0,
            next_look: 0,
            patience: 1,
            places: (0..size).collect(),
            recent: vec![0; size],
            near: None,
        }
    }

    pub fn size(&self) -> usize {
        self.readout.len()
    }

    /// Sets a neuron's preactivations, and C_n = φ'(u_n)·reach.
    pub fn start(&mut self, neuron: usize, u: &[R], slope: f64, reach: f64) {
        let zero = R::default();
        let mut above = 0;
        for (n, u) in u.iter().enumerate() {
            // The sum turns −0 into +0.
            let u = *u + zero;
            self.state[position(self.readout.len(), neuron, n)] = u;
            let (side, bit) = (&mut self.sides[n / ROWS * self.readout.len() + neuron], 1 << (n % ROWS));
            if u >= zero {
                above += 1;
            } else {
                *side &= !bit;
            }
            self.reach[neuron * self.count + n] = if u >= zero { reach } else { slope * reach };
        }
        self.above[neuron] = above;
    }

    /// Whether sample n is at u ≥ 0.
    pub fn is_above(&self, neuron: usize, n: usize) -> bool {
        self.sides[n / ROWS * self.size() + neuron] >> (n % ROWS) & 1 == 1
    }

    /// Books sign changes found by the step before `self.step`; `reach` is what a unit force moves from here on.
    pub fn book(&mut self, flips: &[Flip], weights: &[R], slope: f64, reach: f64) {
        for flip in flips {
            let (neuron, n) = (flip.neuron as usize, flip.sample as usize);
            let change = if flip.above { 1.0 - slope } else { slope - 1.0 };
            self.reach[neuron * self.count + n] += change * reach;
            self.above[neuron] = if flip.above { self.above[neuron] + 1 } else { self.above[neuron] - 1 };
            let factor = R::of(self.readout_f64[neuron] * change) * weights[n];
            self.recent[neuron] += 1;
            self.changes[neuron].columns.push((flip.sample, factor));
            if let Some(known) = &mut self.on_weights[neuron] {
                known.owed.push((flip.sample, factor));
                if known.owed.len() > self.count / MOST_OWED || known.paid + known.owed.len() > REFRESH * self.count {
                    self.on_weights[neuron] = None;
                }
            }
        }
    }

    /// Each neuron for itself.
    pub fn split(&self) -> Vec<Part<R>> {
        let size = self.size();
        let one = |neuron: usize| {
            let mut part = Part::new(self.count, &self.readout_f64[neuron..=neuron]);
            copy(&self.state, size, neuron, &mut part.state, 1, 0, 3 * ROWS);
            copy(&self.sides, size, neuron, &mut part.sides, 1, 0, 1);
            part.above[0] = self.above[neuron];
            part.changes[0] = self.changes[neuron].clone();
            part.age[0] = self.age[neuron];
            part.reach.copy_from_slice(&self.reach[self.columns(neuron)]);
            part.step = self.step;
            part.rent = self.rent / size as f64;
            part.places[0] = self.places[neuron];
            part.recent[0] = self.recent[neuron];
            part
        };
        (0..size).map(one).collect()
    }

    /// Each neuron of some parts for itself, in the order of their places.
    pub fn singles(parts: Vec<Part<R>>) -> Vec<Part<R>> {
        let alone = |part: Part<R>| if part.size() == 1 { vec![part] } else { part.split() };
        let mut singles: Vec<Part<R>> = parts.into_iter().flat_map(alone).collect();
        singles.sort_by_key(|part| part.places[0]);
        singles
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

    /// The reverse of `split`.
    pub fn join(parts: &[Part<R>]) -> Part<R> {
        let readout: Vec<f64> = parts.iter().flat_map(|part| &part.readout_f64).copied().collect();
        let mut joint = Part::new(parts[0].count, &readout);
        for (neuron, part) in parts.iter().enumerate() {
            copy(&part.state, 1, 0, &mut joint.state, parts.len(), neuron, 3 * ROWS);
            copy(&part.sides, 1, 0, &mut joint.sides, parts.len(), neuron, 1);
            joint.above[neuron] = part.above[0];
            joint.changes[neuron] = part.changes[0].clone();
            joint.age[neuron] = part.age[0];
            let columns = joint.columns(neuron);
            joint.reach[columns].copy_from_slice(&part.reach);
            joint.rent += part.rent;
            joint.places[neuron] = part.places[0];
            joint.recent[neuron] = part.recent[0];
        }
        joint.step = parts[0].step;
        joint
    }

    /// Where a neuron's C_n stand.
    pub fn columns(&self, neuron: usize) -> Range<usize> {
        neuron * self.count..(neuron + 1) * self.count
    }
}

/// Where u of a sample stands.
fn position(size: usize, neuron: usize, n: usize) -> usize {
    (n / ROWS * size + neuron) * 3 * ROWS + n % ROWS
}

/// Copies one neuron's values, `len` in each tile, between arrays of different numbers of neurons.
fn copy<T: Copy>(from: &[T], from_size: usize, source: usize, to: &mut [T], to_size: usize, target: usize, len: usize) {
    for (from, to) in from.chunks_exact(from_size * len).zip(to.chunks_exact_mut(to_size * len)) {
        to[target * len..][..len].copy_from_slice(&from[source * len..][..len]);
    }
}
