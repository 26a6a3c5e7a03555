//! Blocks of steps in which a neuron's sign changes are confined to few samples.
//!
//! A neuron soon slides: some samples, whose kink attracts it, stay at its boundary and change sides every few steps; from
//! all others it moves away. A block of J steps is then taken with the near samples alone, which need the entries of the Gram
//! matrix among themselves and nothing else. At its end one product with the inputs tells where all others have got to. With
//! q kept as it was at the start, and E_j = Σ e_{j,i} x̃_i what the sign changes since then have moved the weights by,
//!
//! u_n(j) = u_n + η(s_j p_n + c_j q_n) + ⟨x̃_n, E_j⟩, and likewise p_n and q_n,
//!
//! and whether another sample can have changed sides *during* the block is decided by a bound. At some steps, the knots, u_n is
//! formed for all samples. Between two knots i and k let λ = (c_j − c_i)/(c_k − c_i), E_j = (1−λ)E_i + λE_k + δ_j, and
//! κ = max_j |s_j − (1−λ)s_i − λs_k|. Then u_n keeps its sign if at all knots
//!
//! |u_n| > ηκ|p_n| + ‖x̃_n‖ max_j ‖δ_j‖,
//!
//! as what is left of u_n(j), the value between those at the knots, is at least as far from zero as the nearer of them. The near
//! samples give ‖δ_j‖² = ⟨e, Ge⟩ for its coefficients e, since G e_j is how far sign changes have moved them. If the test fails
//! for some samples, the block is taken again with these among the near. It allows for rounding by 64ε of the sizes of its terms, which is
//! not proved to suffice: a sample that it lets pass wrongly comes within rounding of its boundary. (R5 does not rest on it.)
//!
//! The entries come from products, neuron by neuron, or from the Gram matrix of all samples, which is made when half of its cost
//! has been spent without it. Where it is there and stays in a cache its columns are as cheap as blocks, and none is taken.

use rayon::prelude::*;

use super::Problem;
use super::block::{Block, Way};
use super::changes::REFRESH;
use super::near::Near;
use super::part::Part;
use crate::network::descent::follow::{Knot, Margin};
use crate::network::descent::gram::LARGEST;
use crate::network::descent::real::Real;
use crate::network::descent::stretch::Stretch;
use crate::network::descent::sweep::ROWS;

/// The step of the first block, and fewest and most steps of one.
pub(super) const FIRST_BLOCK: usize = 64;
pub(super) const SHORTEST_BLOCK: usize = 16;
pub(super) const LONGEST_BLOCK: usize = 64;
/// How often a block is taken with more and more samples before it is given up.
const TRIES: usize = 4;
/// Largest share of the samples to be followed, as its inverse.
const MOST_NEAR: usize = 3;
/// So many of the last block's deviations from its boundary a sample becomes near, and ceases to be.
const ENTER: f64 = 2.0;
const LEAVE: f64 = 4.0;
/// Samples that change side at all during a block, per sign change and step.
const SLIDING: f64 = 4.0;
/// Bytes of columns that all neurons of a network may keep for their next blocks.
const KEPT_BYTES: usize = 1 << 30;
/// Nanoseconds to fetch an entry of a Gram matrix from memory.
const GATHERING: f64 = 8.0;
/// How many times cheaper than Gram columns a block must seem. At d = 1000, N = 2000, where by this count blocks are cheaper, they took
/// a third longer.
const OVER_COLUMNS: f64 = 2.0;

/// A neuron that tries to take a block.
struct Attempt<'a, R> {
    /// Its place among the parts.
    index: usize,
    part: &'a mut Part<R>,
    near: Near<R>,
}

/// What has become of an attempt.
enum Verdict<'a, R> {
    Taken(usize),
    /// With more samples.
    Again(Attempt<'a, R>),
    GivenUp,
}

impl<R: Real> Problem<R> {
    /// Takes a block with every neuron for which that seems to pay, and tells which parts (one neuron each) have come to its
    /// end. `period`: the steps during which the parts' recent sign changes were counted; `width`: that of the network.
    pub(super) fn confine(&self, parts: &mut [Part<R>], block: Block<'_, R>, period: usize, width: usize) -> Vec<bool> {
        let kept = KEPT_BYTES / width;
        let (together, mut taken) = (parts.len(), vec![false; parts.len()]);
        let mut attempts: Vec<Attempt<'_, R>> = parts
            .par_iter_mut()
            .enumerate()
            .filter_map(|(index, part)| {
                let near = self.choose(part, block, period, kept, together)?;
                Some(Attempt { index, part, near })
            })
            .collect();
        for _ in 0..TRIES {
            if attempts.is_empty() {
                break;
            }
            let ways = attempts.par_iter_mut();
            let ways: Vec<Way<R>> = ways.map(|attempt| self.follow(attempt.part, &mut attempt.near, block)).collect();
            let ends = self.ends(&ways);
            let tried = attempts.into_par_iter().zip(ways).enumerate();
            let judged: Vec<Verdict<'_, R>> = tried
                .map(|(neuron, (attempt, way))| self.judge(attempt, way, |tile| ends.tile(neuron, tile), block, kept))
                .collect();
            attempts = Vec::new();
            for outcome in judged {
                match outcome {
                    Verdict::Taken(index) => taken[index] = true,
                    Verdict::Again(attempt) => attempts.push(attempt),
                    Verdict::GivenUp => {}
                }
            }
        }
        taken
    }

    /// Brings a neuron to the end of a block, or finds the samples for another try.
    fn judge<'a>(
        &self,
        attempt: Attempt<'a, R>,
        way: Way<R>,
        ends: impl Fn(usize) -> Vec<[R; ROWS]>,
        block: Block<'_, R>,
        kept: usize,
    ) -> Verdict<'a, R> {
        let Attempt { index, part, mut near } = attempt;
        if self.count * self.count <= LARGEST {
            part.rent += std::mem::take(&mut near.made) as f64 * self.entry_cost();
        }
        let columns = part.changes[0].columns.len() + way.flips.iter().map(Vec::len).sum::<usize>();
        if part.neurons[0].age + columns > REFRESH * self.count {
            return Verdict::GivenUp;
        }
        let crossing = self.crossing(part, &near, &way, &ends, block);
        near.deviation = way.deviation;
        near.slid = near.owners.len();
        if crossing.is_empty() {
            self.accept(part, &near, way, ends, block);
            if near.columns.len() * size_of::<R>() > kept {
                near.forget();
            }
            part.near = Some(near);
            return Verdict::Taken(index);
        }
        if (near.samples.len() + crossing.len()) * MOST_NEAR > self.count {
            return Verdict::GivenUp;
        }
        near.extend(&crossing, self, block.gram);
        Verdict::Again(Attempt { index, part, near })
    }

    /// The samples that a neuron should follow, if a block seems to pay.
    fn choose(
        &self,
        part: &mut Part<R>,
        block: Block<'_, R>,
        period: usize,
        kept: usize,
        together: usize,
    ) -> Option<Near<R>> {
        let last = part.near.take();
        let flips = part.neurons[0].recent as f64 / period as f64;
        if part.neurons[0].recent == 0 {
            return None;
        }
        let deviation = last.as_ref().map_or(0.0, |near| near.deviation);
        let Stretch { s, c, .. } = block.stretch();
        // p is a mean of past forces, 1/(1 − β) times.
        let ahead = block.rate() * (s + (1.0 - self.momentum_f64) * c);
        let knot = Knot { s: R::of(ahead), c: R::default(), added: [R::default(); ROWS] };
        let zero = R::default();
        let within = |factor: f64| {
            let margin = Margin { near: R::of(factor * deviation), bend: zero, epsilon: zero, largest: zero };
            let mut within = vec![false; self.count];
            self.uncertain(part, |_| vec![knot.clone()], margin).for_each(|n| within[n] = true);
            part.changes[0].columns.iter().for_each(|(n, _)| within[*n as usize] = true);
            within
        };
        let mut near = last.unwrap_or_else(|| Near::none(self.count, deviation));
        let leave = within(LEAVE);
        let stay = near.samples.iter().filter(|n| leave[**n as usize]).count();
        if near.samples.len() > stay + stay / 4 {
            near.retain(&leave);
        }
        let missing = within(ENTER);
        let missing: Vec<u32> =
            (0..self.count as u32).filter(|n| missing[*n as usize] && near.place(*n).is_none()).collect();
        let count = near.samples.len() + missing.len();
        let wanting = match (near.owners.len(), near.slid) {
            (0, 0) => (SLIDING * flips) as usize,
            (0, slid) => slid,
            _ => 0,
        };
        let columns = count.min(wanting);
        let few = count * MOST_NEAR <= self.count && count * (near.owners.len() + columns) * size_of::<R>() <= kept;
        if !few || !self.pays(count, columns, flips, block, together) {
            part.near = Some(near);
            return None;
        }
        near.extend(&missing, self, block.gram);
        // Twice as many sign changes as lately will do, or the block is given up.
        if part.neurons[0].age + 2 * (flips * block.steps as f64) as usize > REFRESH * self.count {
            self.form_anew(part, &[0]);
        }
        Some(near)
    }

    /// Whether a block costs less than its steps, by count; `columns`: those to be made; `together`: neurons that would walk
    /// together.
    fn pays(&self, near: usize, columns: usize, flips: f64, block: Block<'_, R>, together: usize) -> bool {
        let [near, columns, steps] = [near, columns, block.steps].map(|count| count as f64);
        let (count, stride, bytes) = (self.count as f64, self.stride as f64, size_of::<R>() as f64);
        // Nanoseconds, roughly, as for the routes of single steps.
        let product = 0.0225 * bytes / 8.0;
        // Neurons that change sides at most steps share their products.
        let by_products =
            if flips < 1.0 { flips * self.products_cost(1, 0, 1) } else { 1.5 * count * stride * product };
        let (entry, way, margin) = match block.gram {
            None => (self.entry_cost(), by_products, 1.0),
            Some(_) => {
                let by_columns = self.columns_cost((flips * together as f64) as usize) / together as f64;
                (GATHERING, by_products.min(by_columns), OVER_COLUMNS)
            }
        };
        let step = way + count * bytes * 0.2;
        let vectors = block.knots().count() as f64 + 2.0;
        let ends = vectors * (count + near) * stride * product + near * stride * bytes * 0.02;
        margin * (ends + near * columns * entry + steps * near * bytes * (flips * 0.02 + 0.6)) < steps * step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::descent::decoupled::schedule::Schedule;
    use crate::network::descent::gram::Gram;
    use crate::network::{Initialisation, Neurons, Readout};
    use crate::problem::{Points, Slope, TrainingSet};
    use crate::random::{Streams, random_signs};

    const COUNT: usize = 700;
    const STEPS: usize = 120;
    const FIRST: usize = 40;

    /// Noise with random labels: neurons slide.
    fn problem(seed: u64, count: usize, dim: usize) -> Problem<f64> {
        let values = (0..count * dim).map(|i| ((i * i + i) as f64 * (0.61 + seed as f64)).sin()).collect();
        let labels = random_signs(&Streams::new(seed, "labels of a test"), count);
        let train = TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap();
        Problem::new(&train, Slope::new(0.2).unwrap(), 0.9)
    }

    /// Some neurons at step FIRST, each for itself, and the Gram matrix.
    fn neurons(problem: &Problem<f64>, schedule: &Schedule<'_>, seed: u64) -> (Vec<Part<f64>>, Gram<f64>) {
        let streams = Streams::new(seed, "neurons of a test");
        let neurons =
            Neurons::draw(problem.stride - 1, 6, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let gram = Gram::new(&problem.augmented, problem.stride, problem.count);
        let group = problem.group(&neurons, 0, 6, schedule);
        let mut parts = Part::singles(group.parts);
        parts.iter_mut().for_each(|part| problem.walk(part, Some(&gram), schedule, FIRST, 1.0));
        (parts, gram)
    }

    /// The samples that are on another side than before at the end of any step of a block.
    fn changing(problem: &Problem<f64>, part: &Part<f64>, gram: &Gram<f64>, block: Block<'_, f64>) -> Vec<u32> {
        let mut part = part.clone();
        let before: Vec<bool> = (0..COUNT).map(|n| part.is_above(0, n)).collect();
        let mut changing = vec![false; COUNT];
        for step in block.first..block.first + block.steps {
            problem.walk(&mut part, Some(gram), block.schedule, step + 1, 1.0);
            (0..COUNT).for_each(|n| changing[n] |= part.is_above(0, n) != before[n]);
        }
        (0..COUNT as u32).filter(|n| changing[*n as usize]).collect()
    }

    fn pending(part: &Part<f64>) -> Vec<u32> {
        part.changes[0].columns.iter().map(|(sample, _)| *sample).collect()
    }

    #[test]
    fn a_block_ends_where_single_steps_end() {
        let rates = [0.7; STEPS];
        let schedule = Schedule::new(&rates, 0.9);
        let (mut taken, mut flips) = (0, 0);
        for seed in 0..3 {
            let problem = problem(seed, COUNT, 30);
            let (parts, gram) = neurons(&problem, &schedule, seed);
            for part in &parts {
                let mut expected = part.clone();
                problem.walk(&mut expected, Some(&gram), &schedule, FIRST + 37, 1.0);
                // Entries by products, and from the Gram matrix.
                for gram in [None, Some(&gram)] {
                    let block = Block { schedule: &schedule, first: FIRST, steps: 37, gram };
                    let mut near = Near::none(COUNT, 0.0);
                    near.extend(&pending(part), &problem, gram);
                    let mut found = part.clone();
                    for _ in 0..COUNT {
                        let ways = [problem.follow(&found, &mut near, block)];
                        let ends = problem.ends(&ways);
                        let [way] = ways;
                        let crossing = problem.crossing(&found, &near, &way, |tile| ends.tile(0, tile), block);
                        if crossing.is_empty() {
                            flips += way.flips.iter().map(Vec::len).sum::<usize>();
                            problem.accept(&mut found, &near, way, |tile| ends.tile(0, tile), block);
                            break;
                        }
                        near.extend(&crossing, &problem, gram);
                    }
                    assert_eq!(found.step, FIRST + 37, "in the end all samples are near");
                    assert_eq!(near.made > 0, gram.is_none(), "products are not made in vain");
                    assert!(found.sides == expected.sides && found.neurons[0].above == expected.neurons[0].above);
                    let reach = &found.neurons[0].reach;
                    assert_eq!(reach, &expected.neurons[0].reach, "the same sign changes at the same steps");
                    let largest = expected.state.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
                    let bound = (37 * COUNT) as f64 * f64::EPSILON * largest;
                    assert_eq!(found.state.len(), expected.state.len());
                    let mut errors = found.state.iter().zip(&expected.state).map(|(a, b)| (a - b).abs());
                    assert!(errors.all(|error| error <= bound), "more than {bound:e}, of {largest:e}");
                    // Means of φ(u) times the readout.
                    let bound = part.neurons[0].readout.abs() * bound;
                    assert!(found.losses.len() >= 37 && expected.losses.len() >= 37);
                    let losses = found.losses.iter().rev().zip(expected.losses.iter().rev()).take(37);
                    losses.for_each(|(a, b)| assert!((a - b).abs() <= bound, "{a} {b}"));
                    taken += usize::from(near.samples.len() < COUNT / 2);
                }
            }
        }
        assert!(taken >= 12 && flips > 200, "{taken} of 36 with few samples, {flips} sign changes");
    }

    /// Near samples that are too few: whoever changes side unseen must be found. Without the deviation the test would miss some.
    #[test]
    fn samples_that_cross_unseen_are_found() {
        let rates = [0.7; STEPS];
        let schedule = Schedule::new(&rates, 0.9);
        let (mut unseen, mut missed) = (0, 0);
        for seed in 0..6 {
            let problem = problem(seed, COUNT, 30);
            let (parts, gram) = neurons(&problem, &schedule, seed);
            for part in &parts {
                for steps in [16, 29, 48] {
                    let block = Block { schedule: &schedule, first: FIRST, steps, gram: None };
                    let changing = changing(&problem, part, &gram, block);
                    // All but one of those that change side are near: it is on its true way until it does.
                    for hidden in changing.iter().filter(|n| !pending(part).contains(n)).take(40) {
                        let mut near = Near::none(COUNT, 0.0);
                        let seen: Vec<u32> = changing.iter().copied().filter(|n| n != hidden).collect();
                        near.extend(&[&seen[..], &pending(part)].concat(), &problem, None);
                        let mut ways = [problem.follow(part, &mut near, block)];
                        let ends = problem.ends(&ways);
                        let crossing = |way: &Way<f64>| {
                            problem.crossing(part, &near, way, |tile| ends.tile(0, tile), block).contains(hidden)
                        };
                        assert!(crossing(&ways[0]), "seed {seed}, {steps} steps, sample {hidden}");
                        unseen += 1;
                        ways[0].deviation = 0.0;
                        missed += usize::from(!crossing(&ways[0]));
                    }
                }
            }
        }
        assert!(unseen > 100 && missed > 0, "{unseen} unseen, {missed} missed without the deviation");
    }

    #[test]
    fn blocks_are_taken_where_neurons_slide() {
        let rates = [0.7; STEPS];
        let schedule = Schedule::new(&rates, 0.9);
        let problem = problem(0, 1500, 400);
        for slides in [true, false] {
            let (mut parts, _) = neurons(&problem, &schedule, 0);
            if !slides {
                parts.iter_mut().for_each(|part| part.neurons[0].recent = 0);
            }
            let block = Block { schedule: &schedule, first: FIRST, steps: 32, gram: None };
            parts.iter_mut().for_each(|part| part.rent = 0.0);
            let taken = problem.confine(&mut parts, block, FIRST, 6);
            assert_eq!(taken.contains(&true), slides);
            assert_eq!(parts.iter().any(|part| part.rent > 0.0), slides, "entries pay for the Gram matrix");
            for (part, taken) in parts.iter().zip(&taken) {
                assert_eq!(part.step, if *taken { FIRST + 32 } else { FIRST });
            }
        }
    }

    /// So many samples that their Gram matrix is never made: entries come from products to the end.
    #[test]
    fn where_the_gram_matrix_would_be_too_large_blocks_do_without() {
        let rates = [0.7; STEPS];
        let schedule = Schedule::new(&rates, 0.9);
        let count = 24_000;
        assert!(count * count > LARGEST);
        let problem = problem(0, count, 20);
        let neurons = Streams::new(0, "neurons of a test");
        let neurons = Neurons::draw(20, 3, Initialisation::Standard, Readout::Gaussian, neurons).unwrap();
        let mut parts = Part::singles(problem.group(&neurons, 0, 3, &schedule).parts);
        parts.iter_mut().for_each(|part| problem.walk(part, None, &schedule, FIRST, 1.0));
        let mut expected = parts.clone();
        let block = Block { schedule: &schedule, first: FIRST, steps: 32, gram: None };
        let taken = problem.confine(&mut parts, block, FIRST, 3);
        assert!(taken.contains(&true));
        for ((found, expected), taken) in parts.iter().zip(&mut expected).zip(taken) {
            assert_eq!(found.rent, 0.0, "nothing is saved up for a matrix that will not be made");
            if taken {
                problem.walk(expected, None, &schedule, FIRST + 32, 1.0);
                assert_eq!((found.step, expected.step), (FIRST + 32, FIRST + 32), "no step waits for it either");
                assert!(found.sides == expected.sides);
                assert_eq!(found.neurons[0].reach, expected.neurons[0].reach);
            }
        }
    }
}
