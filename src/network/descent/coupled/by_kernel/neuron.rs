//! Which samples of a neuron change side in a block.

use super::block::{Motion, Moved};
use super::loops::Position;
use crate::network::descent::real::Real;

/// Roundings that a position is taken to be off by.
const ROUNDING: f64 = 64.0;

/// A sample that has changed side by a step, with u and its velocity after it.
pub(super) struct Crossing {
    pub sample: usize,
    pub u: f64,
    pub p: f64,
}

/// A sample that has changed side, and what this has moved since.
struct Crossed {
    sample: usize,
    /// By how much a φ' has changed; 0 once it is back.
    change: f64,
    moved: Moved,
}

/// What a block notes of a neuron.
#[derive(Default)]
pub(super) struct Neuron {
    /// Samples that may change side until the next look.
    candidates: Vec<u32>,
    crossed: Vec<Crossed>,
    /// What the samples that have changed side are taken to move at most until the next look, by their lengths.
    most_moved: f64,
}

/// All neurons at a step.
pub(super) struct Look<'a, R> {
    pub gram: &'a [R],
    pub lengths: &'a [R],
    pub slope: R,
    /// c of this step.
    pub forces: &'a [f64],
    /// What the forces have moved after it.
    pub sums: &'a [R],
    pub velocities: &'a [R],
    pub unforeseen: f64,
    pub most_unforeseen: f64,
    /// Whether all pairs are looked at.
    pub is_new: bool,
    /// Before the step, after it, at the next look, and of so many steps from rest.
    pub before: Motion,
    pub motion: Motion,
    pub next: Motion,
    pub fresh: Motion,
    pub momentum: f64,
    pub rate: f64,
}

impl Neuron {
    /// Follows a step; returns how many samples it computed from all others, and which changed side.
    pub fn step<R: Real>(&mut self, upqr: [&[R]; 4], a: R, look: &Look<'_, R>) -> (usize, Vec<Crossing>) {
        for crossed in &mut self.crossed {
            crossed.moved.step(crossed.change * look.forces[crossed.sample], look.momentum, look.rate);
        }
        let own = self.weigh(look, |moved, _| moved.sum.abs());
        if look.is_new || own > self.most_moved {
            self.look(upqr, a, look);
        }
        let margin = a.to_f64().abs() * look.unforeseen + own;
        let Motion { drift, push, trend, .. } = look.motion;
        let (mut computed, mut found) = (0, Vec::new());
        for &sample in &self.candidates {
            let n = sample as usize;
            let [u, p, q, r] = upqr.map(|values| values[n].to_f64());
            let now = u + drift * p + push * q + trend * r;
            let terms = u.abs() + (drift * p).abs() + (push * q).abs() + (trend * r).abs();
            let margin = margin * look.lengths[n].to_f64() + ROUNDING * R::EPSILON * terms;
            let is_above = (u >= 0.0) != self.has_crossed(n);
            if (now >= 0.0) == is_above && now.abs() > margin {
                continue;
            }
            computed += 1;
            let start = u + drift * p;
            let u = self.exactly(n, start, (upqr[0], a, look.sums), look, |moved| moved.sum);
            if (u >= 0.0) != is_above {
                let start = look.motion.drifting * p;
                let p = self.exactly(n, start, (upqr[0], a, look.velocities), look, |moved| moved.velocity);
                found.push(Crossing { sample: n, u, p });
            }
        }
        (computed, found)
    }

    /// Finds the samples that may change side until the next look at all pairs.
    fn look<R: Real>(&mut self, upqr: [&[R]; 4], a: R, look: &Look<'_, R>) {
        // The forces are taken for at most doubled until then; if they are more, this is called again.
        let [before, next, fresh] = [look.before, look.next, look.fresh];
        self.most_moved = self.weigh(look, |moved, force| {
            moved.sum.abs() + fresh.drift * moved.velocity.abs() + fresh.push * 2.0 * force.abs()
        });
        let margin = (a.to_f64().abs() * look.most_unforeseen + self.most_moved) * (1.0 + ROUNDING * R::EPSILON);
        let at = Position {
            drift: R::of(before.drift),
            push: R::of(before.push),
            trend: R::of(before.trend),
            reach_drift: R::of(next.drift - before.drift),
            reach_push: R::of(next.push - before.push),
            reach_trend: R::of(next.trend - before.trend),
            margin: R::of(margin),
            rounding: R::of(ROUNDING * R::EPSILON),
        };
        self.candidates.clear();
        R::near(upqr, look.lengths, &at, &mut self.candidates);
    }

    /// Σ ‖x̃_k‖ of what the samples that have changed side have moved, or may.
    fn weigh<R: Real>(&self, look: &Look<'_, R>, moved: impl Fn(&Moved, f64) -> f64) -> f64 {
        let term = |crossed: &Crossed| {
            let force = crossed.change * look.forces[crossed.sample];
            look.lengths[crossed.sample].to_f64() * moved(&crossed.moved, force)
        };
        self.crossed.iter().map(term).sum()
    }

    fn has_crossed(&self, sample: usize) -> bool {
        self.crossed.iter().any(|crossed| crossed.sample == sample && crossed.change != 0.0)
    }

    /// u of a sample or its velocity: what the start alone gives, and what all samples have moved.
    fn exactly<R: Real>(
        &self,
        n: usize,
        start: f64,
        (u, a, moved): (&[R], R, &[R]),
        look: &Look<'_, R>,
        since: impl Fn(&Moved) -> f64,
    ) -> f64 {
        let row = &look.gram[n * u.len()..][..u.len()];
        let pushed = start + a.to_f64() * R::picked_product(u, look.slope, row, moved).to_f64();
        let changes = self.crossed.iter();
        changes.fold(pushed, |u, crossed| u + row[crossed.sample].to_f64() * since(&crossed.moved))
    }

    /// Notes a change of side, and of a φ'.
    pub fn crossed(&mut self, sample: usize, change: f64) {
        match self.crossed.iter_mut().find(|crossed| crossed.sample == sample) {
            // Back on its side, or over once more; differences of slopes need not cancel.
            Some(crossed) => crossed.change = if crossed.change == 0.0 { change } else { 0.0 },
            None => self.crossed.push(Crossed { sample, change, moved: Moved::default() }),
        }
    }

    /// Adds to what all samples have moved, by their sides at the beginning, what the changes of side add to it.
    pub fn add_crossings<R: Real>(&self, moved: &mut [R], which: &dyn Fn(&Moved) -> f64) {
        for crossed in &self.crossed {
            moved[crossed.sample] += R::of(which(&crossed.moved));
        }
    }
}
