//! Columns of a Gram matrix that comes from memory, for all neurons of a group: compiled for several instruction sets and chosen at run
//! time, with the bits of plain loops (tested). State as in [`sweep`](super::sweep).

use std::ops::{Add, Mul};

use super::sweep::{ROWS, add, start_again};
use crate::memory::{LINE, fetch_ahead};

/// Bytes of a tile's columns that are worked off together, from the second-level cache, while the next ones come into it. (Half or a
/// quarter, which a first-level cache holds, takes as long: each neuron's forces are then read and written more often.)
const BLOCK_BYTES: usize = 1 << 16;

/// Samples of a strip: whole blocks in both types, and tiles for sixteen threads (more wait). Measured with two: half as many wait more
/// often for each other, of twice as many more is read from memory.
pub(super) const STRIP: usize = 1024;

/// Columns of a strip of samples, for all neurons, in the order in which a tile that comes from memory is worked off: block after block of
/// neighbouring columns, in a block neuron after neuron. A column then comes from memory once and serves all neurons from a cache, and
/// each neuron's forces stay in registers while its columns of a block are added.
#[derive(Debug)]
pub(super) struct InBlocks<R> {
    columns: Vec<(u32, R)>,
    /// Where the columns of a neuron in a block begin, at block·neurons + neuron; then where the last ones end.
    starts: Vec<u32>,
}

impl<R: Copy + Default> InBlocks<R> {
    /// Columns of a block.
    const COLUMNS: usize = BLOCK_BYTES / size_of::<[R; ROWS]>();

    /// Sorts columns of one strip, given as (neuron, column, factor), for `size` neurons; a neuron's in a block stay in their order.
    pub fn sort(entries: &[(u32, u32, R)], size: usize) -> Self {
        const { assert!(STRIP.is_multiple_of(Self::COLUMNS) && STRIP.is_multiple_of(ROWS)) };
        let cell = |neuron: u32, column: u32| column as usize % STRIP / Self::COLUMNS * size + neuron as usize;
        let mut starts = vec![0_u32; STRIP / Self::COLUMNS * size + 1];
        entries.iter().for_each(|(neuron, column, _)| starts[cell(*neuron, *column) + 1] += 1);
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        let (mut places, mut columns) = (starts.clone(), vec![(0, R::default()); entries.len()]);
        for &(neuron, column, factor) in entries {
            let place = &mut places[cell(neuron, column)];
            columns[*place as usize] = (column, factor);
            *place += 1;
        }
        InBlocks { columns, starts }
    }

    /// Where the columns of all neurons in a block begin, and where the last ones end.
    fn bounds(&self, block: usize) -> &[u32] {
        let size = (self.starts.len() - 1) / (STRIP / Self::COLUMNS);
        &self.starts[block * size..][..=size]
    }
}

/// What is added to a strip's columns of one tile of the Gram matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip<'a, R> {
    /// Columns for the forces of this step, and those that are known already for the next.
    pub now: Option<&'a InBlocks<R>>,
    pub ahead: Option<&'a InBlocks<R>>,
}

/// The forces of a step, of all neurons in one tile that comes from memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forces<'a, R> {
    /// The tile, column after column, strip after strip.
    pub gram: &'a [R],
    pub strips: &'a [Strip<'a, R>],
    /// Forces with all samples above, and by how much of them each neuron starts again; none if no neuron does.
    pub all_above: &'a [R],
    pub restarts: &'a [Option<R>],
    /// Whether the step before has added columns ahead.
    pub resumes: bool,
}

/// What the loops need of a floating-point type.
trait Value: Copy + Default + Mul<Output = Self> + Add<Output = Self> {}
impl Value for f32 {}
impl Value for f64 {}

/// Columns of one step in a block: those of all neurons in the strip, and where each neuron's begin and end.
type Own<'a, R> = (&'a [(u32, R)], &'a [u32]);

fn own<R: Copy + Default>(strip: Option<&InBlocks<R>>, block: usize) -> Own<'_, R> {
    strip.map_or((&[], &[]), |sorted| (&sorted.columns, sorted.bounds(block)))
}

fn count<R>((_, bounds): Own<'_, R>) -> usize {
    match bounds {
        [first, .., last] => (last - first) as usize,
        _ => 0,
    }
}

/// Adds columns of all neurons, block after block. While one is added the next one is asked for, if its columns are used once each or
/// more, on average: each would be waited for.
#[inline(always)]
fn add_from_memory<R: Value>(forces: &Forces<'_, R>, state: &mut [R], ahead: &mut [R]) {
    let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
    let ahead = ahead.as_chunks_mut::<ROWS>().0;
    for ([_, _, q], restart) in neurons.iter_mut().zip(forces.restarts) {
        start_again(*restart, &forces.all_above.as_chunks::<ROWS>().0[0], q);
    }
    if forces.resumes {
        for ([_, _, q], ahead) in neurons.iter_mut().zip(&*ahead) {
            for r in 0..ROWS {
                q[r] = q[r] + ahead[r];
            }
        }
    }
    ahead.fill([R::default(); ROWS]);
    let strips = forces.gram.as_chunks::<ROWS>().0.chunks(STRIP).zip(forces.strips);
    let all = strips.flat_map(|(gram, strip)| {
        gram.chunks(InBlocks::<R>::COLUMNS)
            .enumerate()
            .map(|(block, columns)| (columns, own(strip.now, block), own(strip.ahead, block)))
    });
    let mut blocks = all.filter(|(_, now, next)| count(*now) + count(*next) > 0).peekable();
    while let Some((columns, now, next)) = blocks.next() {
        let wanted = match blocks.peek() {
            Some((columns, now, next)) if count(*now) + count(*next) >= columns.len() => columns.as_flattened(),
            _ => &[],
        };
        // A share of it before each sum.
        let line = LINE / size_of::<R>();
        let sums = now.1.len().saturating_sub(1) + next.1.len().saturating_sub(1);
        let share = wanted.len().div_ceil(sums).next_multiple_of(line).max(line);
        let mut shares = wanted.chunks(share);
        let mut ask = || {
            for values in shares.next().unwrap_or_default().chunks(line) {
                fetch_ahead(values);
            }
        };
        for ([_, _, q], bounds) in neurons.iter_mut().zip(now.1.windows(2)) {
            ask();
            let own = &now.0[bounds[0] as usize..bounds[1] as usize];
            add(own, columns, |column| column % InBlocks::<R>::COLUMNS, q);
        }
        for (sum, bounds) in ahead.iter_mut().zip(next.1.windows(2)) {
            ask();
            let own = &next.0[bounds[0] as usize..bounds[1] as usize];
            add(own, columns, |column| column % InBlocks::<R>::COLUMNS, sum);
        }
    }
}

/// The loops of a floating-point type.
pub(super) trait AddStrips: Sized {
    /// Applies the changes to the forces q of a tile; `ahead` holds for each neuron what is known already of the changes of this step, and
    /// then of the next. Empty if the step neither resumes nor adds ahead.
    fn add_strips(forces: &Forces<'_, Self>, state: &mut [Self], ahead: &mut [Self]);
}

macro_rules! add_strips {
    ($type:ident) => {
        impl AddStrips for $type {
            fn add_strips(forces: &Forces<'_, $type>, state: &mut [$type], ahead: &mut [$type]) {
                #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
                fn chosen(forces: &Forces<'_, $type>, state: &mut [$type], ahead: &mut [$type]) {
                    add_from_memory(forces, state, ahead);
                }
                chosen(forces, state, ahead);
            }
        }
    };
}

add_strips!(f32);
add_strips!(f64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the order in which a neuron's columns come: after a block of steps with few samples it is not that of the matrix.
    #[test]
    fn columns_are_sorted_by_block_and_neuron_and_none_is_lost() {
        let entries = [(0, 812), (0, 517), (0, 641), (2, 640), (0, 639), (2, 512), (0, 1023), (0, 516)];
        let factor = |n: u32| f64::from(n);
        assert_eq!(InBlocks::<f64>::COLUMNS, 128);
        let sorted = InBlocks::sort(&entries.map(|(neuron, n)| (neuron, n, factor(n))), 3);
        // No columns in the first half of the strip.
        assert_eq!(sorted.starts[..12], [0; 12]);
        assert_eq!(sorted.starts[12..], [0, 3, 3, 4, 5, 5, 6, 7, 7, 7, 8, 8, 8]);
        assert_eq!(sorted.columns, [517, 639, 516, 512, 641, 640, 812, 1023].map(|n| (n, factor(n))));
        assert_eq!(sorted.bounds(5), [4, 5, 5, 6]);
    }

    /// Loops compiled for what this processor offers against plain ones compiled for what all of its family have, and against sums
    /// column by column in their order.
    macro_rules! same_bits {
        ($test:ident, $type:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |len: usize, pace: f64| (0..len).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let bits = |values: &[R]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                // Strips of which the last is not full.
                let (count, size) = (33 * ROWS, 3);
                let (gram, all_above) = (&wave(count * ROWS, 0.9), &wave(ROWS, 1.3));
                let column = |neuron: u32| move |n: u32| (neuron, n, (n + 7 * neuron) as R * 1e-3);
                let few = [2, 5, 1100, 2050, 2111].map(column(0));
                // So many that their blocks are copied.
                let many = (0..400).chain(1900..2112).map(column(2));
                let entries: Vec<_> = few.into_iter().chain([(1, 2100, 0.1)]).chain(many).collect();
                let restarts = &[None, Some(0.6), None];
                let sorted: Vec<_> = (0..count.div_ceil(STRIP))
                    .map(|strip| {
                        let own = entries.iter().filter(|(_, n, _)| *n as usize / STRIP == strip);
                        InBlocks::sort(&own.copied().collect::<Vec<_>>(), size)
                    })
                    .collect();
                // Of every other strip for the next step as well.
                let strips: Vec<Strip<'_, R>> = sorted
                    .iter()
                    .enumerate()
                    .map(|(strip, own)| Strip { now: Some(own), ahead: (strip % 2 == 0).then_some(own) })
                    .collect();
                let forces = Forces { gram, strips: &strips, all_above, restarts, resumes: true };
                let (initial, before) = (wave(3 * ROWS * size, 1.1), wave(ROWS * size, 0.3));
                let [(mut state, mut ahead), (mut plain, mut plain_ahead)] =
                    [(); 2].map(|()| (initial.clone(), before.clone()));
                R::add_strips(&forces, &mut state, &mut ahead);
                add_from_memory(&forces, &mut plain, &mut plain_ahead);
                assert_eq!((bits(&state), bits(&ahead)), (bits(&plain), bits(&plain_ahead)));
                for neuron in 0..size {
                    let q = (neuron * 3 + 2) * ROWS;
                    for r in 0..ROWS {
                        let start = restarts[neuron].map_or(initial[q + r], |scale| scale * all_above[r]);
                        let (mut sum, mut next) = (start + before[neuron * ROWS + r], 0.0);
                        for (_, n, factor) in entries.iter().filter(|(own, ..)| *own as usize == neuron) {
                            let term = factor * gram[*n as usize * ROWS + r];
                            sum += term;
                            next += if *n as usize / STRIP % 2 == 0 { term } else { 0.0 };
                        }
                        assert_eq!(
                            (state[q + r].to_bits(), ahead[neuron * ROWS + r].to_bits()),
                            (sum.to_bits(), next.to_bits())
                        );
                    }
                    assert_eq!(bits(&state[neuron * 3 * ROWS..q]), bits(&initial[neuron * 3 * ROWS..q]), "u and p");
                }
                // Nothing kept for the next step where there is none.
                let strips: Vec<Strip<'_, R>> = strips.iter().map(|strip| Strip { ahead: None, ..*strip }).collect();
                let alone = Forces { strips: &strips, resumes: false, ..forces };
                let [mut state, mut with_sums] = [(); 2].map(|()| initial.clone());
                R::add_strips(&alone, &mut state, &mut []);
                R::add_strips(&alone, &mut with_sums, &mut ahead);
                assert_eq!(bits(&state), bits(&with_sums));
                assert!(ahead.iter().all(|sum| *sum == 0.0), "forgotten");
            }
        };
    }

    same_bits!(in_single_precision_loops_have_the_bits_of_plain_ones, f32);
    same_bits!(in_double_precision_loops_have_the_bits_of_plain_ones, f64);
}
