//! Steps of decoupled neurons, compiled for several instruction sets and chosen at run time.
//!
//! The state of `size` neurons stands tile after tile, in a tile neuron after neuron: [`ROWS`] values each of u, p and q.
//! No multiplication is fused with an addition, so every instruction set gives the same bits (tested).

use std::ops::{Add, Mul};

pub(super) use crate::network::vectors::ROWS;

/// Bytes of a tile's columns that all neurons add before the next ones: half of a second-level cache of 1 MiB.
const CACHED_BYTES: usize = 1 << 19;
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

/// q from the forces with all samples above, if it is to start from them.
#[inline(always)]
pub(super) fn start_again<R: Copy + Mul<Output = R>>(restart: Option<R>, all_above: &[R; ROWS], q: &mut [R; ROWS]) {
    if let Some(scale) = restart {
        for r in 0..ROWS {
            q[r] = scale * all_above[r];
        }
    }
}

/// Adds columns to q, which stays in registers meanwhile; `place`: where a column's rows stand. The matrix is a slice of its own, as the
/// compiler must see that it does not overlap the sums: given a closure that returns a column, it kept them in memory. So it did with `+=`,
/// which for a type parameter takes their address: a third more time.
#[inline(always)]
pub(super) fn add<R: Copy + Mul<Output = R> + Add<Output = R>>(
    columns: &[(u32, R)],
    gram: &[[R; ROWS]],
    place: impl Fn(usize) -> usize,
    q: &mut [R; ROWS],
) {
    if columns.is_empty() {
        return;
    }
    let mut sum = *q;
    for &(column, factor) in columns {
        let column = &gram[place(column as usize)];
        for r in 0..ROWS {
            sum[r] = sum[r] + factor * column[r];
        }
    }
    *q = sum;
}

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{CACHED_BYTES, Flip, ROWS, Sweep, activation, add, column_len, note_flips, start_again};

            type R = $type;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn sweep_tiles(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                sweep(task, state, sides, flips)
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
                let (gram, all_above) = (task.gram.as_chunks::<ROWS>().0, task.all_above.as_chunks::<ROWS>().0);
                let (column_step, tile_step) =
                    if task.by_neuron { (column_len(task.count) / ROWS, 1) } else { (1, task.count) };
                let mut total = [0.0; ROWS];
                let tiles = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0.iter_mut().zip(sides);
                for (tile, ((state, side), weights)) in tiles.zip(task.weights.as_chunks::<ROWS>().0).enumerate() {
                    start_again(change.restart, &all_above[tile], &mut state[2]);
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
                let (gram, all_above) = (task.gram.as_chunks::<ROWS>().0, task.all_above.as_chunks::<ROWS>().0);
                let column_tiles = column_len(task.count) / ROWS;
                let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
                let mut outputs = vec![[0.0; ROWS]; sides.len() / size];
                for (neuron, change) in task.changes.iter().enumerate() {
                    for (tile, outputs) in outputs.iter_mut().enumerate() {
                        let state = &mut neurons[tile * size + neuron];
                        start_again(change.restart, &all_above[tile], &mut state[2]);
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
                let (gram, all_above) = (task.gram.as_chunks::<ROWS>().0, task.all_above.as_chunks::<ROWS>().0);
                let mut added = vec![0; size];
                for (tile, (state, sides)) in
                    state.chunks_exact_mut(3 * ROWS * size).zip(sides.chunks_exact_mut(size)).enumerate()
                {
                    let mut outputs = [0.0; ROWS];
                    let neurons = state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0;
                    let gram = if gram.is_empty() { gram } else { &gram[tile * task.count..][..task.count] };
                    for (change, state) in task.changes.iter().zip(&mut *neurons) {
                        start_again(change.restart, &all_above[tile], &mut state[2]);
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
}

macro_rules! dispatch {
    ($type:ident, $module:ident) => {
        impl Kernels for $type {
            fn sweep(task: &Sweep<'_, Self>, state: &mut [Self], sides: &mut [u64], flips: &mut Vec<Flip>) -> Self {
                $module::sweep_tiles(task, state, sides, flips)
            }
        }
    };
}

dispatch!(f32, single);
dispatch!(f64, double);

#[cfg(test)]
mod tests {
    use super::{CACHED_BYTES, Change, Flip, ROWS, Sweep, column_len};

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

    same_bits!(in_single_precision_kernels_have_the_bits_of_plain_loops, f32, single);
    same_bits!(in_double_precision_kernels_have_the_bits_of_plain_loops, f64, double);
}
