//! Steps of decoupled neurons, compiled for several instruction sets and chosen at run time.
//!
//! The state of `size` neurons stands tile after tile, in a tile neuron after neuron: [`ROWS`] values each of u, p and q.
//! No multiplication is fused with an addition, so every instruction set gives the same bits (tested).

use std::ops::Mul;

pub(super) use crate::network::vectors::ROWS;

/// Bytes of a tile's columns that all neurons add before the next ones: half of a second-level cache of 1 MiB.
const CACHED_BYTES: usize = 1 << 19;
/// Bytes of a tile's columns that are copied from memory at a time: copied in the order in which they lie, they are fetched ahead; used
/// where they are, each would be waited for. (In a model of this loop half or twice as many took as long, an eighth nearly twice.)
const COPIED_BYTES: usize = 1 << 16;

/// A sample that has changed side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flip {
    pub neuron: u32,
    pub sample: u32,
    /// Whether it is now at u ≥ 0.
    pub above: bool,
}

/// How a neuron's forces follow from the last ones, or from those with all samples above.
#[derive(Debug, Clone)]
pub(super) struct Change<R> {
    /// If given: q = scale·(forces with all samples above, readout 1) before the columns are added.
    pub restart: Option<R>,
    /// Columns of the Gram matrix to be added to q, with their factors: ascending, but after a block of steps with few samples in the
    /// order of these.
    pub columns: Vec<(u32, R)>,
}

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

/// Values of a column that stands for itself: whole tiles and one more, so that what lies side by side in two columns does not
/// fall on the same lines of a cache.
pub(super) fn column_len(count: usize) -> usize {
    (count.div_ceil(ROWS) + 1) * ROWS
}

/// One step of `size` neurons.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a, R> {
    /// Number of samples.
    pub count: usize,
    /// Sample of the first row of the first tile.
    pub first: usize,
    /// The Gram matrix (not read if no neuron has columns): as many tiles as the state has, or `by_neuron` its columns, one after
    /// another, of [`column_len`] values.
    pub gram: &'a [R],
    /// Neuron after neuron, each with all tiles; or tile after tile, each with all neurons.
    pub by_neuron: bool,
    /// Forces with all samples above, y_n/N per row.
    pub all_above: &'a [R],
    pub weights: &'a [R],
    pub changes: &'a [Change<R>],
    pub readout: &'a [R],
    pub slope: R,
    pub momentum: R,
    pub rate: R,
}

/// Appends the samples of a tile, of which `first` is the first, that are no longer on the side noted, and notes the new ones.
/// Inlined, so that it is compiled for the instruction set of whoever calls it.
#[inline(always)]
pub(super) fn note_flips<R: PartialOrd + Default>(
    u: &[R; ROWS],
    side: &mut u64,
    neuron: u32,
    (first, count): (u32, usize),
    flips: &mut Vec<Flip>,
) {
    let mut now = 0;
    for (row, u) in u.iter().enumerate() {
        now |= u64::from(*u >= R::default()) << row;
    }
    let mut differing = now ^ *side;
    // Rows that stand for no sample never move, unless a force overflows: zero times infinity is no number, and on neither side.
    let rows = count.saturating_sub(first as usize);
    if rows < ROWS {
        differing &= (1 << rows) - 1;
    }
    while differing != 0 {
        let row = differing.trailing_zeros();
        flips.push(Flip { neuron, sample: first + row, above: now >> row & 1 == 1 });
        differing &= differing - 1;
    }
    *side = now;
}

/// φ(u): the larger of u and γu, as γ is below 1; one instruction, and inlined like [`note_flips`].
#[inline(always)]
pub(super) fn activation<R: Copy + PartialOrd + Mul<Output = R>>(slope: R, u: R) -> R {
    let below = slope * u;
    if u > below { u } else { below }
}

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{CACHED_BYTES, Flip, Forces, InBlocks, ROWS, STRIP, Sweep, activation, column_len, note_flips};

            type R = $type;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn sweep_tiles(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                sweep(task, state, sides, flips)
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_strips(forces: &Forces<'_, R>, state: &mut [R], ahead: &mut [R]) {
                add_from_memory(forces, state, ahead);
            }

            #[inline(always)]
            pub fn sweep(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                match task.readout.len() {
                    1 => alone(task, state, sides, flips),
                    _ if task.by_neuron => by_neuron(task, state, sides, flips),
                    _ => by_tile(task, state, sides, flips),
                }
            }

            /// One neuron, of which the first-level cache keeps the state: nothing else is written, not even outputs.
            #[inline(always)]
            fn alone(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                let (change, a) = (&task.changes[0], task.readout[0]);
                let gram = task.gram.as_chunks::<ROWS>().0;
                let (column_step, tile_step) =
                    if task.by_neuron { (column_len(task.count) / ROWS, 1) } else { (1, task.count) };
                let mut total = [0.0; ROWS];
                let tiles = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0.iter_mut().zip(sides);
                for (tile, ((state, side), weights)) in tiles.zip(task.weights.as_chunks::<ROWS>().0).enumerate() {
                    start_again(task, change.restart, tile, state);
                    add(&change.columns, gram, |column| column * column_step + tile * tile_step, &mut state[2]);
                    let [u, p, q] = &mut *state;
                    let mut changed = 0;
                    for r in 0..ROWS {
                        let velocity = task.momentum * p[r] + q[r];
                        let moved = u[r] + task.rate * velocity;
                        total[r] += weights[r] * activation(task.slope, u[r]);
                        changed |= u[r].to_bits() ^ moved.to_bits();
                        p[r] = velocity;
                        u[r] = moved;
                    }
                    if changed.leading_zeros() == 0 {
                        note_flips(&state[0], side, 0, ((task.first + tile * ROWS) as u32, task.count), flips);
                    }
                }
                a * total.iter().sum::<R>()
            }

            /// The Gram matrix is read column after column as each lies in memory, and the sign changes of a neuron are found together.
            #[inline(always)]
            fn by_neuron(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                let size = task.readout.len();
                let gram = task.gram.as_chunks::<ROWS>().0;
                let column_tiles = column_len(task.count) / ROWS;
                let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
                let mut outputs = vec![[0.0; ROWS]; sides.len() / size];
                for (neuron, change) in task.changes.iter().enumerate() {
                    for (tile, outputs) in outputs.iter_mut().enumerate() {
                        let state = &mut neurons[tile * size + neuron];
                        start_again(task, change.restart, tile, state);
                        add(&change.columns, gram, |column| column * column_tiles + tile, &mut state[2]);
                        if advance(task, task.readout[neuron], state, outputs) {
                            let side = &mut sides[tile * size + neuron];
                            let tile = ((task.first + tile * ROWS) as u32, task.count);
                            note_flips(&state[0], side, neuron as u32, tile, flips);
                        }
                    }
                }
                let tiles = outputs.iter().enumerate();
                let total = tiles.fold([0.0; ROWS], |total, (tile, outputs)| weighted(task, tile, outputs, total));
                total.iter().sum()
            }

            /// A tile of the Gram matrix serves all neurons.
            #[inline(always)]
            fn by_tile(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                let size = task.readout.len();
                let mut total = [0.0; ROWS];
                let gram = task.gram.as_chunks::<ROWS>().0;
                let mut added = vec![0; size];
                for (tile, (state, sides)) in
                    state.chunks_exact_mut(3 * ROWS * size).zip(sides.chunks_exact_mut(size)).enumerate()
                {
                    let mut outputs = [0.0; ROWS];
                    let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
                    let gram = if gram.is_empty() { gram } else { &gram[tile * task.count..][..task.count] };
                    for (change, state) in task.changes.iter().zip(&mut *neurons) {
                        start_again(task, change.restart, tile, state);
                    }
                    add_from_cache(task, gram, neurons, &mut added);
                    for (neuron, (state, side)) in neurons.iter_mut().zip(&mut *sides).enumerate() {
                        if advance(task, task.readout[neuron], state, &mut outputs) {
                            let tile = ((task.first + tile * ROWS) as u32, task.count);
                            note_flips(&state[0], side, neuron as u32, tile, flips);
                        }
                    }
                    total = weighted(task, tile, &outputs, total);
                }
                total.iter().sum()
            }

            /// Adds the columns of all neurons, so many at a time as the second-level cache holds.
            #[inline(always)]
            fn add_from_cache(
                task: &Sweep<'_, R>,
                gram: &[[R; ROWS]],
                neurons: &mut [[[R; ROWS]; 3]],
                added: &mut [usize],
            ) {
                const BLOCK: usize = CACHED_BYTES / size_of::<[R; ROWS]>();
                added.fill(0);
                for end in (BLOCK..task.count + BLOCK).step_by(BLOCK) {
                    for ((change, state), added) in task.changes.iter().zip(&mut *neurons).zip(&mut *added) {
                        let rest = &change.columns[*added..];
                        let within = |rest: &[(u32, R)]| rest.partition_point(|(column, _)| (*column as usize) < end);
                        let columns = if end < task.count { &rest[..within(rest)] } else { rest };
                        *added += columns.len();
                        add(columns, gram, |column| column, &mut state[2]);
                    }
                }
            }

            /// Adds columns of all neurons, block after block. A block is copied first if its columns are used once each or more, on average.
            #[inline(always)]
            pub fn add_from_memory(forces: &Forces<'_, R>, state: &mut [R], ahead: &mut [R]) {
                const BLOCK: usize = InBlocks::<R>::COLUMNS;
                let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
                let ahead = ahead.as_chunks_mut::<ROWS>().0;
                for (neuron, [_, _, q]) in neurons.iter_mut().enumerate() {
                    if let Some(Some(scale)) = forces.restarts.get(neuron) {
                        for r in 0..ROWS {
                            q[r] = *scale * forces.all_above[r];
                        }
                    }
                    if forces.resumes {
                        for r in 0..ROWS {
                            q[r] += ahead[neuron][r];
                        }
                    }
                }
                ahead.fill([0.0; ROWS]);
                let mut copied = Vec::new();
                let strips = forces.gram.as_chunks::<ROWS>().0.chunks(STRIP).zip(forces.strips);
                for (gram, strip) in strips {
                    for (block, columns) in gram.chunks(BLOCK).enumerate() {
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
                            add(own, columns, |column| column % BLOCK, q);
                        }
                        for (sum, bounds) in ahead.iter_mut().zip(next.1.windows(2)) {
                            let own = &next.0[bounds[0] as usize..bounds[1] as usize];
                            add(own, columns, |column| column % BLOCK, sum);
                        }
                    }
                }
            }

            /// q from the forces with all samples above, if it is to start from them.
            #[inline(always)]
            fn start_again(task: &Sweep<'_, R>, restart: Option<R>, tile: usize, [_, _, q]: &mut [[R; ROWS]; 3]) {
                if let Some(scale) = restart {
                    let all_above = &task.all_above.as_chunks::<ROWS>().0[tile];
                    for r in 0..ROWS {
                        q[r] = scale * all_above[r];
                    }
                }
            }

            /// Adds columns to q, which stays in registers meanwhile; `place`: where a column's rows stand. The matrix is a slice of its own, as the
            /// compiler must see that it does not overlap the sums: given a closure that returns a column, it kept them in memory.
            #[inline(always)]
            fn add(columns: &[(u32, R)], gram: &[[R; ROWS]], place: impl Fn(usize) -> usize, q: &mut [R; ROWS]) {
                if columns.is_empty() {
                    return;
                }
                let mut sum = *q;
                for &(column, factor) in columns {
                    let column = &gram[place(column as usize)];
                    for r in 0..ROWS {
                        sum[r] += factor * column[r];
                    }
                }
                *q = sum;
            }

            /// Moves u and p of a neuron with readout a, and adds its outputs from before; whether anything has changed side.
            #[inline(always)]
            fn advance(task: &Sweep<'_, R>, a: R, [u, p, q]: &mut [[R; ROWS]; 3], outputs: &mut [R; ROWS]) -> bool {
                let mut changed = 0;
                for r in 0..ROWS {
                    let velocity = task.momentum * p[r] + q[r];
                    let moved = u[r] + task.rate * velocity;
                    outputs[r] += a * activation(task.slope, u[r]);
                    // u is never −0: it starts as a sum with +0, and sums of it with anything round to +0.
                    changed |= u[r].to_bits() ^ moved.to_bits();
                    p[r] = velocity;
                    u[r] = moved;
                }
                changed.leading_zeros() == 0
            }

            /// The total, and a tile's outputs times y_n/N.
            #[inline(always)]
            fn weighted(task: &Sweep<'_, R>, tile: usize, outputs: &[R; ROWS], mut total: [R; ROWS]) -> [R; ROWS] {
                let weights = &task.weights.as_chunks::<ROWS>().0[tile];
                for r in 0..ROWS {
                    total[r] += weights[r] * outputs[r];
                }
                total
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

/// The kernels of a floating-point type.
pub(super) trait Kernels: Sized {
    /// One step: applies the changes to the forces, moves u and p, notes who changed side; returns
    /// Σ_n weight_n Σ_i a_i φ(u_in) from before the step.
    fn sweep(task: &Sweep<'_, Self>, state: &mut [Self], sides: &mut [u64], flips: &mut Vec<Flip>) -> Self;
    /// Applies the changes to the forces q of a tile, of which the Gram matrix comes from memory; `ahead` holds for each neuron what is
    /// known already of the changes of this step, and then of the next.
    fn add_strips(forces: &Forces<'_, Self>, state: &mut [Self], ahead: &mut [Self]);
}

macro_rules! dispatch {
    ($type:ident, $module:ident) => {
        impl Kernels for $type {
            fn sweep(task: &Sweep<'_, Self>, state: &mut [Self], sides: &mut [u64], flips: &mut Vec<Flip>) -> Self {
                $module::sweep_tiles(task, state, sides, flips)
            }

            fn add_strips(forces: &Forces<'_, Self>, state: &mut [Self], ahead: &mut [Self]) {
                $module::add_strips(forces, state, ahead);
            }
        }
    };
}

dispatch!(f32, single);
dispatch!(f64, double);

#[cfg(test)]
mod tests {
    use super::{CACHED_BYTES, Change, Flip, Forces, InBlocks, ROWS, STRIP, Strip, Sweep, column_len};

    /// Kernels compiled for what this processor offers against plain loops compiled for what all of its family have.
    macro_rules! same_bits {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |len: usize, pace: f64| (0..len).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let bits = |values: &[R]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                // So many samples that columns are added in two blocks at least.
                let (count, size, first, slope, momentum, rate) = (33 * ROWS, 3, 0, 0.3, 0.9, 0.7);
                assert!(count > CACHED_BYTES / size_of::<[R; ROWS]>());
                let (gram, readout) = (&wave(count * count, 0.9), &wave(size, 2.0));
                let (all_above, weights) = (&wave(count, 1.3), &wave(count, 0.7));
                let changes = &[
                    Change {
                        restart: None,
                        columns: vec![(2, 0.3), (5, -0.7), (1100, 0.2), (2050, -0.4), (2111, 0.9)],
                    },
                    Change { restart: Some(0.6), columns: vec![(2100, 0.1)] },
                    // So many that their blocks are copied, of which the last is not full.
                    Change { restart: None, columns: (0..400).chain(1900..2112).map(|n| (n, n as R * 1e-3)).collect() },
                ];
                let each = Sweep {
                    count,
                    first,
                    gram,
                    by_neuron: false,
                    all_above,
                    weights,
                    changes,
                    readout,
                    slope,
                    momentum,
                    rate,
                };
                let mut columns = vec![0.0; count * column_len(count)];
                for (column, values) in columns.chunks_exact_mut(column_len(count)).enumerate() {
                    for (row, value) in values[..count].iter_mut().enumerate() {
                        *value = gram[row / ROWS * ROWS * count + column * ROWS + row % ROWS];
                    }
                }
                let neurons = Sweep { gram: &columns, by_neuron: true, ..each };
                let initial = wave(3 * count * size, 1.1);
                let sides: Vec<u64> = initial
                    .chunks_exact(3 * ROWS)
                    .map(|neuron| (0..ROWS).map(|r| u64::from(neuron[r] >= 0.0) << r).sum())
                    .collect();
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                let output = super::$module::sweep_tiles(&each, &mut state, &mut now, &mut flips);
                let (mut plain, mut plain_now, mut plain_flips) = (initial.clone(), sides.clone(), Vec::new());
                let expected = super::$module::sweep(&each, &mut plain, &mut plain_now, &mut plain_flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips && !flips.is_empty());
                // The columns first, from memory, strip after strip, and what other columns there are kept for the next step.
                let restarts: Vec<Option<R>> = changes.iter().map(|change| change.restart).collect();
                let still = &vec![Change { restart: None, columns: Vec::new() }; size];
                let sorted = |strip: usize, scale: R| {
                    let own = changes.iter().enumerate().flat_map(|(neuron, change)| {
                        change.columns.iter().map(move |(n, factor)| (neuron as u32, *n, scale * factor))
                    });
                    InBlocks::sort(&own.filter(|(_, n, _)| *n as usize / STRIP == strip).collect::<Vec<_>>(), size)
                };
                let strips = 0..count.div_ceil(STRIP);
                let columns_now: Vec<_> = strips.clone().map(|strip| sorted(strip, 1.0)).collect();
                let columns_next: Vec<_> = strips.map(|strip| sorted(strip, 0.5)).collect();
                let added: Vec<Strip<'_, R>> = columns_now
                    .iter()
                    .zip(&columns_next)
                    .enumerate()
                    .map(|(strip, (now, next))| Strip { now: Some(now), ahead: (strip % 2 == 0).then_some(next) })
                    .collect();
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                for tile in 0..count / ROWS {
                    let (gram, all_above) = (&gram[tile * ROWS * count..][..ROWS * count], &all_above[tile * ROWS..]);
                    let forces = Forces { gram, strips: &added, all_above, restarts: &restarts, resumes: false };
                    let own = &mut state[tile * ROWS * 3 * size..][..ROWS * 3 * size];
                    let mut again = own.to_vec();
                    let [mut ahead, mut plain_ahead] = [(); 2].map(|()| wave(ROWS * size, 0.3));
                    super::$module::add_strips(&forces, own, &mut ahead);
                    super::$module::add_from_memory(&forces, &mut again, &mut plain_ahead);
                    assert_eq!((bits(own), bits(&ahead)), (bits(&again), bits(&plain_ahead)));
                    // What was added ahead is added to the forces of the next step, and forgotten.
                    let next = Forces { gram, strips: &[], all_above, restarts: &[], resumes: true };
                    super::$module::add_strips(&next, &mut again, &mut plain_ahead);
                    assert!(plain_ahead.iter().all(|sum| *sum == 0.0));
                    for neuron in 0..size {
                        let mut sums = [0.0; ROWS];
                        for (n, factor) in changes[neuron].columns.iter().filter(|(n, _)| *n as usize / STRIP % 2 == 0)
                        {
                            (0..ROWS).for_each(|r| sums[r] += 0.5 * factor * gram[*n as usize * ROWS + r]);
                        }
                        assert_eq!(bits(&sums), bits(&ahead[neuron * ROWS..][..ROWS]));
                        let q = (neuron * 3 + 2) * ROWS;
                        (0..ROWS).for_each(|r| assert_eq!(again[q + r].to_bits(), (own[q + r] + sums[r]).to_bits()));
                    }
                }
                let still = Sweep { changes: still, gram: &[], ..each };
                let output = super::$module::sweep_tiles(&still, &mut state, &mut now, &mut flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips);
                // The same sign changes, those of a neuron together.
                plain_flips.sort_by_key(|flip| (flip.neuron, flip.sample));
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                let output = super::$module::sweep_tiles(&neurons, &mut state, &mut now, &mut flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips);
                // Each for itself, with the matrix in tiles or in columns.
                for neuron in 0..size {
                    let own = |values: &[R]| -> Vec<R> {
                        values.chunks_exact(3 * ROWS).skip(neuron).step_by(size).flatten().copied().collect()
                    };
                    let sides_of =
                        |sides: &[u64]| sides.iter().skip(neuron).step_by(size).copied().collect::<Vec<u64>>();
                    let plain_own: Vec<_> = plain_flips.iter().filter(|flip| flip.neuron == neuron as u32).collect();
                    let mut sums = [0.0; ROWS];
                    for (tile, rows) in own(&initial).chunks_exact(3 * ROWS).enumerate() {
                        for (r, u) in rows[..ROWS].iter().enumerate() {
                            sums[r] += weights[tile * ROWS + r] * (if *u >= 0.0 { *u } else { slope * u });
                        }
                    }
                    let expected = readout[neuron] * sums.iter().sum::<R>();
                    for whole in [&each, &neurons] {
                        let task =
                            Sweep { changes: &changes[neuron..=neuron], readout: &readout[neuron..=neuron], ..*whole };
                        let (mut state, mut now, mut flips) = (own(&initial), sides_of(&sides), Vec::new());
                        let output = super::$module::sweep_tiles(&task, &mut state, &mut now, &mut flips);
                        assert_eq!(bits(&state), bits(&own(&plain)));
                        assert_eq!(now, sides_of(&plain_now));
                        let same = |(a, b): (&Flip, &&Flip)| (a.sample, a.above) == (b.sample, b.above);
                        assert!(flips.len() == plain_own.len() && flips.iter().zip(&plain_own).all(same));
                        assert_eq!(output.to_bits(), expected.to_bits());
                    }
                }
            }
        };
    }

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

    same_bits!(in_single_precision_kernels_have_the_bits_of_plain_loops, f32, single);
    same_bits!(in_double_precision_kernels_have_the_bits_of_plain_loops, f64, double);
}
