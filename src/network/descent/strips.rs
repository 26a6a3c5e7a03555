//! Columns of a Gram matrix that comes from memory, for all neurons of a group: compiled for several instruction sets and chosen at run
//! time, with the bits of plain loops (tested). State as in [`sweep`](super::sweep).

use std::ops::{Add, Mul};

use super::sweep::{ROWS, add, start_again};

/// Bytes of a tile's columns that are copied from memory at a time: copied in the order in which they lie, they are fetched ahead; used
/// where they are, each would be waited for. (In a model of this loop half or twice as many took as long, an eighth nearly twice.)
const COPIED_BYTES: usize = 1 << 16;

/// Samples of a strip: whole blocks in both types, and tiles for eight threads (more wait; measured with two).
pub(super) const STRIP: usize = 512;

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
    const COLUMNS: usize = COPIED_BYTES / size_of::<[R; ROWS]>();

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

/// Adds columns of all neurons, block after block. A block is copied first if its columns are used once each or more, on average.
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
    let mut copied = Vec::new();
    let strips = forces.gram.as_chunks::<ROWS>().0.chunks(STRIP).zip(forces.strips);
    for (gram, strip) in strips {
        for (block, columns) in gram.chunks(InBlocks::<R>::COLUMNS).enumerate() {
            let [now, next] = [strip.now, strip.ahead].map(|sorted| match sorted {
                Some(sorted) => (&sorted.columns[..], sorted.bounds(block)),
                None => (&[][..], &[][..]),
            });
            let count = |bounds: &[u32]| match bounds {
                [first, .., last] => (last - first) as usize,
                _ => 0,
            };
            let columns = if count(now.1) + count(next.1) < columns.len() {
                columns
            } else {
                copied.clear();
                copied.extend_from_slice(columns);
                &copied[..]
            };
            for ([_, _, q], bounds) in neurons.iter_mut().zip(now.1.windows(2)) {
                let own = &now.0[bounds[0] as usize..bounds[1] as usize];
                add(own, columns, |column| column % InBlocks::<R>::COLUMNS, q);
            }
            for (sum, bounds) in ahead.iter_mut().zip(next.1.windows(2)) {
                let own = &next.0[bounds[0] as usize..bounds[1] as usize];
                add(own, columns, |column| column % InBlocks::<R>::COLUMNS, sum);
            }
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
        assert_eq!(sorted.starts, [0, 3, 3, 4, 5, 5, 6, 7, 7, 7, 8, 8, 8]);
        assert_eq!(sorted.columns, [517, 639, 516, 512, 641, 640, 812, 1023].map(|n| (n, factor(n))));
        assert_eq!(sorted.bounds(1), [4, 5, 5, 6]);
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
