//! The steps of a block, taken with the near samples ([`confined`](super::confined)).

use faer::{MatMut, MatRef};

use super::Problem;
use super::arrival::SLACK;
use super::near::Near;
use super::part::Part;
use super::schedule::Schedule;
use crate::network::descent::follow::{Followed, Pace};
use crate::network::descent::gram::Gram;
use crate::network::descent::real::Real;
use crate::network::descent::stretch::Stretch;
use crate::network::descent::sweep::{Flip, ROWS};

/// Steps between knots.
const KNOT: usize = 16;
/// Columns that are made at least when one is wanted, and as a share of those there, as its inverse.
const FEWEST_COLUMNS: usize = 32;
const GROWTH: usize = 8;
/// Samples whose inputs are gathered at a time.
const GATHERED: usize = 64;

/// A block that is to be taken.
#[derive(Clone, Copy)]
pub(super) struct Block<'a, R> {
    pub schedule: &'a Schedule<'a>,
    pub first: usize,
    pub steps: usize,
    /// The Gram matrix of all samples, if there is one.
    pub gram: Option<&'a Gram<R>>,
}

impl<R: Real> Block<'_, R> {
    pub fn rate(&self) -> f64 {
        self.schedule.rates[self.first]
    }

    /// The steps after which u of all samples is formed.
    pub fn knots(&self) -> impl Iterator<Item = usize> {
        let steps = self.steps;
        (1..=steps.div_ceil(KNOT)).map(move |knot| steps.min(knot * KNOT))
    }

    /// The knots before and after a step, and where between them it lies by the coefficient of the forces.
    fn between(&self, step: usize) -> (usize, usize, f64) {
        let before = (step - 1) / KNOT * KNOT;
        let after = self.steps.min(before + KNOT);
        let [at, first, last] = [step, before, after].map(|step| self.schedule.stretches[step].c);
        (before, after, (at - first) / (last - first))
    }

    /// κ, the largest over the block.
    pub fn bend(&self) -> f64 {
        (1..=self.steps).fold(0.0, |worst, step| {
            let (before, after, share) = self.between(step);
            let [at, first, last] = [step, before, after].map(|step| self.schedule.stretches[step].s);
            f64::max(worst, (at - (1.0 - share) * first - share * last).abs())
        })
    }

    /// What constant forces do until the end.
    pub fn stretch(&self) -> Stretch<f64> {
        self.schedule.stretches[self.steps]
    }
}

/// A neuron's way through a block, before it is known to be right.
pub(super) struct Way<R> {
    pub followed: Followed<R>,
    /// The sign changes that each step has found, by place.
    pub flips: Vec<Vec<Flip>>,
    /// Terms of the loss before each step (readout 1): Σ weight φ(u) over the followed, and, with the readout, what sign changes have
    /// added to those of the others.
    pub outputs: Vec<f64>,
    pub added_outputs: Vec<f64>,
    /// E at the knots, and what sign changes have added to p and q at the end, in the weights.
    pub on_weights: Vec<R>,
    /// max ‖δ_j‖, and max ‖E‖ over the knots.
    pub deviation: f64,
    pub length: f64,
}

impl<R: Real> Problem<R> {
    /// Takes the steps of a block with the near samples.
    pub(super) fn follow(&self, part: &Part<R>, near: &mut Near<R>, block: Block<'_, R>) -> Way<R> {
        let (a, slope, rate) = (part.neurons[0].readout, self.slope.to_f64(), block.rate());
        let padded = near.stride;
        let mut followed = self.start(part, near);
        // What is still to be added: the sign changes of the last step before the block.
        let place = |sample: u32| near.place(sample).expect("samples that have just changed side are near");
        let mut owed: Vec<(u32, R)> =
            part.changes[0].columns.iter().map(|(sample, factor)| (place(*sample), *factor)).collect();
        // Forces of all samples as they are in q: without what is owed.
        let mut coefficients: Vec<R> = (0..padded)
            .map(|n| {
                let above = followed.sides[n / ROWS] >> (n % ROWS) & 1 == 1;
                R::of(a * if above { 1.0 } else { slope }) * followed.weights[n]
            })
            .collect();
        owed.iter().for_each(|(place, factor)| coefficients[*place as usize] = coefficients[*place as usize] - *factor);
        let (mut flips, mut outputs) = (Vec::with_capacity(block.steps), Vec::with_capacity(block.steps));
        // Coefficients of E_j, and G times them: so the near samples have been moved by sign changes.
        let mut moved = [0, 1].map(|_| Vec::with_capacity(block.steps * padded));
        for step in 0..block.steps {
            self.make_columns(near, &followed, &owed, block.gram);
            for (place, factor) in &owed {
                followed.coefficients[2][*place as usize] += *factor;
            }
            let columns: Vec<(u32, R)> =
                owed.iter().map(|(place, factor)| (near.column(*place).expect("it was made"), *factor)).collect();
            R::add_samples(&mut followed.added[2], &near.columns, &columns);
            let Stretch { s, c, .. } = block.schedule.stretches[step + 1];
            let pace = Pace {
                s: R::of(rate * s),
                c: R::of(rate * c),
                momentum: self.momentum,
                rate: R::of(rate),
                slope: self.slope,
            };
            let mut found = Vec::new();
            outputs.push(R::follow(&mut followed, pace, &mut found).to_f64());
            moved[0].extend_from_slice(&followed.coefficients[0]);
            moved[1].extend_from_slice(&followed.added[0]);
            owed.clear();
            owed.extend(found.iter().map(|flip| {
                let change = if flip.above { 1.0 - slope } else { slope - 1.0 };
                (flip.sample, R::of(a * change) * followed.weights[flip.sample as usize])
            }));
            flips.push(found);
        }
        let (deviation, length) = deviation::<R>(&moved, padded, block);
        let knots = block.knots().map(|knot| &moved[0][(knot - 1) * padded..][..padded]);
        let vectors: Vec<&[R]> = knots.chain(followed.coefficients[1..].iter().map(|values| &values[..])).collect();
        let on_weights = self.sums_of_near(near, &vectors);
        let others = self.forces_of_others(near, &followed, &coefficients);
        let mut with_others = vec![R::default(); block.steps];
        R::multiply(
            MatMut::from_column_major_slice_mut(&mut with_others, block.steps, 1),
            false,
            MatRef::from_column_major_slice(&moved[0], padded, block.steps).transpose(),
            MatRef::from_column_major_slice(&others, padded, 1),
        );
        let mut added_outputs = vec![0.0];
        added_outputs.extend(with_others[..block.steps - 1].iter().map(|value| value.to_f64()));
        Way { followed, flips, outputs, added_outputs, on_weights, deviation, length }
    }

    /// The near samples at the start of a block.
    fn start(&self, part: &Part<R>, near: &Near<R>) -> Followed<R> {
        let padded = near.stride;
        let zeros = || vec![R::default(); padded];
        let mut followed = Followed {
            count: near.samples.len(),
            weights: zeros(),
            start: [zeros(), zeros(), zeros()],
            u: zeros(),
            added: [zeros(), zeros(), zeros()],
            coefficients: [zeros(), zeros(), zeros()],
            sides: vec![u64::MAX; padded / ROWS],
        };
        for (place, &sample) in near.samples.iter().enumerate() {
            let n = sample as usize;
            followed.weights[place] = self.weights[n];
            followed.start.iter_mut().zip(part.values(n)).for_each(|(start, value)| start[place] = value);
            followed.u[place] = followed.start[0][place];
            if !part.is_above(0, n) {
                followed.sides[place / ROWS] &= !(1 << (place % ROWS));
            }
        }
        followed
    }

    /// Makes the columns that are owed and not there, and if these are few, with them those of the samples nearest to the boundary,
    /// which will be wanted soon: one by one they would cost more.
    fn make_columns(&self, near: &mut Near<R>, followed: &Followed<R>, owed: &[(u32, R)], gram: Option<&Gram<R>>) {
        let mut missing: Vec<u32> = owed.iter().map(|(place, _)| *place).collect();
        missing.retain(|place| near.column(*place).is_none());
        missing.sort_unstable();
        if missing.is_empty() {
            return;
        }
        let distance = |place: &u32| followed.u[*place as usize].to_f64().abs();
        let mut others: Vec<u32> = (0..near.samples.len() as u32)
            .filter(|place| near.column(*place).is_none() && missing.binary_search(place).is_err())
            .collect();
        let more = FEWEST_COLUMNS.max(near.owners.len() / GROWTH).saturating_sub(missing.len()).min(others.len());
        if more > 0 {
            others.select_nth_unstable_by(more - 1, |a, b| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        }
        let mut places = missing;
        places.extend(&others[..more]);
        places.sort_unstable();
        near.add_columns(&places, self, gram);
    }

    /// The force of the samples that are not followed on those that have columns, at the start of a block; zero elsewhere.
    fn forces_of_others(&self, near: &Near<R>, followed: &Followed<R>, coefficients: &[R]) -> Vec<R> {
        let (padded, owners) = (near.stride, near.owners.len());
        let mut own = vec![R::default(); owners];
        R::multiply(
            MatMut::from_column_major_slice_mut(&mut own, owners, 1),
            false,
            MatRef::from_column_major_slice(&near.columns, padded, owners).transpose(),
            MatRef::from_column_major_slice(coefficients, padded, 1),
        );
        let mut others = vec![R::default(); padded];
        for (place, own) in near.owners.iter().zip(own) {
            others[*place as usize] = followed.start[2][*place as usize] - own;
        }
        others
    }

    /// Σ coefficient x̃ for each of some vectors of coefficients of the near samples.
    fn sums_of_near(&self, near: &Near<R>, vectors: &[&[R]]) -> Vec<R> {
        // Samples that have changed side; some columns were made for others.
        let owners = near.owners.iter().copied().map(|place| place as usize);
        let moved: Vec<usize> = owners.filter(|place| vectors.iter().any(|v| v[*place] != R::default())).collect();
        let mut sums = vec![R::default(); self.stride * vectors.len()];
        let mut inputs = Vec::with_capacity(GATHERED.min(moved.len()) * self.stride);
        for places in moved.chunks(GATHERED) {
            self.gather(places.iter().map(|place| near.samples[*place]), &mut inputs);
            let coefficients: Vec<R> =
                places.iter().flat_map(|place| vectors.iter().map(|vector| vector[*place])).collect();
            R::multiply(
                MatMut::from_column_major_slice_mut(&mut sums, self.stride, vectors.len()),
                true,
                MatRef::from_column_major_slice(&inputs, self.stride, places.len()),
                MatRef::from_row_major_slice(&coefficients, places.len(), vectors.len()),
            );
        }
        sums
    }
}

/// max ‖δ_j‖ and max ‖E‖ over the knots, from the coefficients of E_j and G times them. With what rounding can do.
fn deviation<R: Real>(moved: &[Vec<R>; 2], padded: usize, block: Block<'_, R>) -> (f64, f64) {
    let zeros = vec![R::default(); padded];
    let at = |part: usize, step: usize| if step == 0 { &zeros } else { &moved[part][(step - 1) * padded..][..padded] };
    let (mut squared, mut length) = (0.0_f64, 0.0_f64);
    for step in 1..=block.steps {
        let (before, after, share) = block.between(step);
        let [lower, upper] = [1.0 - share, share].map(R::of);
        let mut sums = [0.0; 2];
        let [e, m] = [0, 1].map(|part| (at(part, step), at(part, before), at(part, after)));
        for n in 0..padded {
            let e = e.0[n] - (lower * e.1[n] + upper * e.2[n]);
            let between = lower * m.1[n] + upper * m.2[n];
            sums[0] += (e * (m.0[n] - between)).to_f64();
            sums[1] += e.to_f64().abs() * (m.0[n].to_f64().abs() + between.to_f64().abs());
        }
        let found = sums[0] + SLACK * R::EPSILON * sums[1];
        squared = if found > squared || found.is_nan() { found } else { squared };
        if step == after {
            let found = at(0, step).iter().zip(at(1, step)).map(|(e, m)| (*e * *m).to_f64()).sum::<f64>();
            length = length.max(found.max(0.0).sqrt());
        }
    }
    (squared.sqrt(), length)
}
