//! Steps of decoupled neurons, compiled for several instruction sets and chosen at run time.
//!
//! The state of `size` neurons stands tile after tile, in a tile neuron after neuron: [`ROWS`] values each of u, p and q.
//! No multiplication is fused with an addition, so every instruction set gives the same bits (tested).

/// Rows per tile: a tile's sides are one 64-bit mask.
pub(super) const ROWS: usize = 64;

/// Bytes of a tile's columns that all neurons add before the next ones: half of a second-level cache of 1 MiB.
const CACHED_BYTES: usize = 1 << 19;
/// Bytes of the forces of all neurons in a tile that the first-level cache keeps, or nearly.
const FORCES_BYTES: usize = 1 << 16;

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

/// A column of the Gram matrix that is to be added to the forces of a neuron.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addition<R> {
    pub column: u32,
    pub neuron: u32,
    pub factor: R,
}

/// Whether the forces of so many neurons in a tile stay in the first-level cache.
pub(super) fn forces_are_cached<R>(neurons: usize) -> bool {
    neurons * size_of::<[R; ROWS]>() <= FORCES_BYTES
}

/// The columns of all neurons, ascending. In this order a tile that comes from memory is read as it lies there, each column
/// once, while the forces of all neurons stay in the first-level cache; each neuron still adds its columns in their order.
pub(super) fn by_column<R: Copy + Default>(changes: &[Change<R>], count: usize) -> Vec<Addition<R>> {
    let mut places = vec![0_u32; count + 1];
    for (column, _) in changes.iter().flat_map(|change| &change.columns) {
        places[*column as usize + 1] += 1;
    }
    for column in 0..count {
        places[column + 1] += places[column];
    }
    let mut additions = vec![Addition::default(); places[count] as usize];
    for (neuron, change) in changes.iter().enumerate() {
        for &(column, factor) in &change.columns {
            let place = &mut places[column as usize];
            additions[*place as usize] = Addition { column, neuron: neuron as u32, factor };
            *place += 1;
        }
    }
    additions
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
    /// The columns of all changes ([`by_column`]); or none, and each neuron adds its own, with its forces in registers.
    pub additions: &'a [Addition<R>],
    pub readout: &'a [R],
    pub slope: R,
    pub momentum: R,
    pub rate: R,
}

/// A stretch of steps without sign changes: u ← u + s·p + c·q, p ← d·p + b·q.
#[derive(Clone, Copy)]
pub(super) struct Stretch<R> {
    pub s: R,
    pub c: R,
    pub d: R,
    pub b: R,
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

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{CACHED_BYTES, Flip, ROWS, Stretch, Sweep, column_len, note_flips};

            type R = $type;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn sweep_tiles(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                sweep(task, state, sides, flips)
            }

            #[inline(always)]
            pub fn sweep(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                if task.by_neuron { by_neuron(task, state, sides, flips) } else { by_tile(task, state, sides, flips) }
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
                        add(&change.columns, |column| &gram[column * column_tiles + tile], state);
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

            /// A tile of the Gram matrix serves all neurons from the second-level cache.
            #[inline(always)]
            fn by_tile(task: &Sweep<'_, R>, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>) -> R {
                let size = task.readout.len();
                let mut total = [0.0; ROWS];
                let gram = task.gram.as_chunks::<ROWS>().0;
                let block = CACHED_BYTES / size_of::<[R; ROWS]>();
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
                    let alone = if task.additions.is_empty() { task.changes } else { &[] };
                    added.fill(0);
                    for end in (block..task.count + block).step_by(block) {
                        for ((change, state), added) in alone.iter().zip(&mut *neurons).zip(&mut added) {
                            let rest = &change.columns[*added..];
                            let within =
                                |rest: &[(u32, R)]| rest.partition_point(|(column, _)| (*column as usize) < end);
                            let columns = if end < task.count { &rest[..within(rest)] } else { rest };
                            *added += columns.len();
                            add(columns, |column| &gram[column], state);
                        }
                    }
                    for addition in task.additions {
                        let column = &gram[addition.column as usize];
                        let [_, _, q] = &mut neurons[addition.neuron as usize];
                        for r in 0..ROWS {
                            q[r] += addition.factor * column[r];
                        }
                    }
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

            /// Adds columns to q, which stays in registers meanwhile.
            #[inline(always)]
            fn add<'a>(columns: &[(u32, R)], gram: impl Fn(usize) -> &'a [R; ROWS], [_, _, q]: &mut [[R; ROWS]; 3]) {
                if columns.is_empty() {
                    return;
                }
                let mut sum = *q;
                for &(column, factor) in columns {
                    let column = gram(column as usize);
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
                    outputs[r] += a * (if u[r] >= 0.0 { u[r] } else { task.slope * u[r] });
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

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn stays_tiles(state: &[R], s: R, c: R) -> bool {
                stays(state, s, c)
            }

            /// Whether u keeps its sign throughout a stretch, by monotone bounds: true is certain, false is not.
            #[inline(always)]
            pub fn stays(state: &[R], s: R, c: R) -> bool {
                // What rounding can do to the test and to the stretch, many times over.
                const SLACK: R = 64.0 * R::EPSILON;
                // Infinity times zero is no number: a stretch that overflows is taken step by step.
                if !(s.is_finite() && c.is_finite()) {
                    return false;
                }
                for state in state.chunks_exact(3 * ROWS) {
                    let (u, rest) = state.split_at(ROWS);
                    let (p, q) = rest.split_at(ROWS);
                    let mut certain = 0;
                    for ((u, p), q) in u.iter().zip(p).zip(q) {
                        let sign = if *u >= 0.0 { 1.0 } else { -1.0 };
                        let (by_p, by_q) = (sign * (s * p), sign * (c * q));
                        let worst =
                            sign * u + (if by_p < 0.0 { by_p } else { 0.0 }) + (if by_q < 0.0 { by_q } else { 0.0 });
                        let slack = SLACK * (sign * u + by_p.abs() + by_q.abs());
                        // Rows without movement (those beyond the last sample) stay; what is no number is not certain to.
                        certain += u64::from(worst > slack || (by_p == 0.0 && by_q == 0.0));
                    }
                    if certain < ROWS as u64 {
                        return false;
                    }
                }
                true
            }

            /// Takes a stretch; returns Σ weight φ'(u)·(u, p, q) from before it.
            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn leap(state: &mut [R], weights: &[R], slope: R, stretch: Stretch<R>) -> [R; 3] {
                const LANES: usize = 8;
                let mut sums = [[0.0; LANES]; 3];
                for (state, weights) in state.chunks_exact_mut(3 * ROWS).zip(weights.chunks_exact(ROWS)) {
                    let (u, rest) = state.split_at_mut(ROWS);
                    let (p, q) = rest.split_at_mut(ROWS);
                    let lanes = u.chunks_exact_mut(LANES).zip(p.chunks_exact_mut(LANES)).zip(q.chunks_exact(LANES));
                    for (((u, p), q), weights) in lanes.zip(weights.chunks_exact(LANES)) {
                        for r in 0..LANES {
                            let weight = weights[r] * (if u[r] >= 0.0 { 1.0 } else { slope });
                            sums[0][r] += weight * u[r];
                            sums[1][r] += weight * p[r];
                            sums[2][r] += weight * q[r];
                            u[r] += stretch.s * p[r] + stretch.c * q[r];
                            p[r] = stretch.d * p[r] + stretch.b * q[r];
                        }
                    }
                }
                sums.map(|lanes| lanes.iter().sum())
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
    /// Whether one neuron's signs are certain to stay while u moves by between 0 and s times p, and 0 and c times q.
    fn stays(state: &[Self], s: Self, c: Self) -> bool;
    /// Moves one neuron by a stretch; returns Σ_n weight_n φ'(u_n)·(u_n, p_n, q_n) from before it.
    fn leap(state: &mut [Self], weights: &[Self], slope: Self, stretch: Stretch<Self>) -> [Self; 3];
}

macro_rules! dispatch {
    ($type:ident, $module:ident) => {
        impl Kernels for $type {
            fn sweep(task: &Sweep<'_, Self>, state: &mut [Self], sides: &mut [u64], flips: &mut Vec<Flip>) -> Self {
                $module::sweep_tiles(task, state, sides, flips)
            }

            fn stays(state: &[Self], s: Self, c: Self) -> bool {
                $module::stays_tiles(state, s, c)
            }

            fn leap(state: &mut [Self], weights: &[Self], slope: Self, stretch: Stretch<Self>) -> [Self; 3] {
                $module::leap(state, weights, slope, stretch)
            }
        }
    };
}

dispatch!(f32, single);
dispatch!(f64, double);

#[cfg(test)]
mod tests {
    use super::{CACHED_BYTES, Change, ROWS, Stretch, Sweep, by_column, column_len};

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
                    Change { restart: None, columns: vec![] },
                ];
                let additions = &by_column(changes, count);
                let task = Sweep {
                    count,
                    first,
                    gram,
                    by_neuron: false,
                    all_above,
                    weights,
                    changes,
                    additions,
                    readout,
                    slope,
                    momentum,
                    rate,
                };
                let each = Sweep { additions: &[], ..task };
                let mut columns = vec![0.0; count * column_len(count)];
                for (column, values) in columns.chunks_exact_mut(column_len(count)).enumerate() {
                    for (row, value) in values[..count].iter_mut().enumerate() {
                        *value = gram[row / ROWS * ROWS * count + column * ROWS + row % ROWS];
                    }
                }
                let neurons = Sweep { gram: &columns, by_neuron: true, additions: &[], ..task };
                let initial = wave(3 * count * size, 1.1);
                let sides: Vec<u64> = initial
                    .chunks_exact(3 * ROWS)
                    .map(|neuron| (0..ROWS).map(|r| u64::from(neuron[r] >= 0.0) << r).sum())
                    .collect();
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                let output = super::$module::sweep_tiles(&task, &mut state, &mut now, &mut flips);
                let (mut plain, mut plain_now, mut plain_flips) = (initial.clone(), sides.clone(), Vec::new());
                let expected = super::$module::sweep(&task, &mut plain, &mut plain_now, &mut plain_flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips && !flips.is_empty());
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                let output = super::$module::sweep_tiles(&each, &mut state, &mut now, &mut flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips);
                // The same sign changes, those of a neuron together.
                plain_flips.sort_by_key(|flip| (flip.neuron, flip.sample));
                let (mut state, mut now, mut flips) = (initial.clone(), sides.clone(), Vec::new());
                let output = super::$module::sweep_tiles(&neurons, &mut state, &mut now, &mut flips);
                assert_eq!((output.to_bits(), bits(&state)), (expected.to_bits(), bits(&plain)));
                assert!(now == plain_now && flips == plain_flips);
                let stretch = Stretch { s: 0.31, c: 0.17, d: 0.83, b: 0.59 };
                let (mut state, mut plain) = (initial[..3 * count].to_vec(), initial[..3 * count].to_vec());
                let found = super::$module::leap(&mut state, weights, slope, stretch);
                let mut sums = [[0.0 as R; 8]; 3];
                for (tile, neuron) in plain.chunks_exact_mut(3 * ROWS).enumerate() {
                    for r in 0..ROWS {
                        let [u, p, q] = [0, 1, 2].map(|part| neuron[part * ROWS + r]);
                        let weight = weights[tile * ROWS + r] * (if u >= 0.0 { 1.0 } else { slope });
                        sums.iter_mut().zip([u, p, q]).for_each(|(sums, value)| sums[r % 8] += weight * value);
                        neuron[r] = u + (stretch.s * p + stretch.c * q);
                        neuron[ROWS + r] = stretch.d * p + stretch.b * q;
                    }
                }
                assert_eq!(bits(&state), bits(&plain));
                assert_eq!(bits(&found), bits(&sums.map(|lanes| lanes.iter().sum())));
            }
        };
    }

    same_bits!(in_single_precision_kernels_have_the_bits_of_plain_loops, f32, single);
    same_bits!(in_double_precision_kernels_have_the_bits_of_plain_loops, f64, double);

    /// Whether signs stay, compiled for what this processor offers, for what all of its family have, and told by taking every step.
    macro_rules! signs_stay {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let (momentum, rate): (R, R) = (0.9, 0.01);
                let stays = |state: &[R], s: R, c: R| {
                    let found = super::$module::stays_tiles(state, s, c);
                    assert_eq!(found, super::$module::stays(state, s, c));
                    found
                };
                let wave = |pace: f64, i: usize| (pace * (i * i + 1) as f64).sin() as R;
                // Seventy samples: the second tile is mostly padding.
                let state = |case: usize, scale: R| {
                    let mut state = vec![0.0 as R; 6 * ROWS];
                    for n in 0..70 {
                        let at = n / ROWS * 3 * ROWS + n % ROWS;
                        // Away from zero by 1 at least.
                        let (u, i) = (wave(0.37, 70 * case + n), 70 * case + n);
                        state[at] = u + u.signum();
                        (state[at + ROWS], state[at + 2 * ROWS]) = (scale * wave(0.73, i), 0.1 * scale * wave(1.9, i));
                    }
                    state
                };
                let (mut seen, mut missed) = ([0, 0], 0);
                for case in 0..400 {
                    let state = state(case, 3.0 + (case % 40) as R);
                    let mut stretch = Stretch { s: 0.0 as R, c: 0.0, d: 1.0, b: 0.0 };
                    let mut kept = true;
                    let mut now = state.clone();
                    for _ in 0..20 {
                        for values in now.chunks_exact_mut(3 * ROWS) {
                            for r in 0..ROWS {
                                values[ROWS + r] = momentum * values[ROWS + r] + values[2 * ROWS + r];
                                values[r] += rate * values[ROWS + r];
                            }
                        }
                        let differs =
                            |(at, u): (usize, &R)| at % (3 * ROWS) < ROWS && (*u >= 0.0) != (state[at] >= 0.0);
                        kept &= !now.iter().enumerate().any(differs);
                        let (d, b) = (momentum * stretch.d, momentum * stretch.b + 1.0);
                        stretch = Stretch { s: stretch.s + d, c: stretch.c + b, d, b };
                        let certain = stays(&state, rate * stretch.s, rate * stretch.c);
                        assert!(kept || !certain, "case {case}: a sign that changes is certain to stay");
                        seen[usize::from(certain)] += 1;
                        missed += usize::from(kept && !certain);
                    }
                }
                // It decides; and where p and q pull against each other it need not be certain of what stays.
                assert!(seen[0] > 1000 && seen[1] > 1000 && missed > 0 && missed < 4000, "{seen:?} {missed}");
                // There and back: at the end u is where it was.
                let mut back = vec![0.0 as R; 3 * ROWS];
                (back[5], back[ROWS + 5], back[2 * ROWS + 5]) = (1.0, -4.0, 4.0);
                assert!(!stays(&back, 0.5, 0.5) && stays(&back, 0.2, 0.2));
                // What is no number, or moves by no number, is not certain to stay.
                let still = vec![0.0 as R; 3 * ROWS];
                assert!(stays(&still, 1.0, 1.0));
                for bad in [R::INFINITY, R::NAN] {
                    assert!(!stays(&still, bad, 1.0) && !stays(&still, 1.0, bad));
                    for at in [5, ROWS + 5, 2 * ROWS + 5] {
                        let mut state = back.clone();
                        state[at] = bad;
                        assert!(!stays(&state, 0.2, 0.2), "{at} {bad}");
                    }
                }
            }
        };
    }

    signs_stay!(in_single_precision_signs_that_change_are_never_certain_to_stay, f32, single);
    signs_stay!(in_double_precision_signs_that_change_are_never_certain_to_stay, f64, double);
}
