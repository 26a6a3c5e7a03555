//! Stretches of steps without sign changes, crossed at once; compiled for several instruction sets and chosen at run time.
//!
//! The state of one neuron as in [`sweep`](super::sweep). No multiplication is fused with an addition, so every instruction set gives the
//! same bits (tested).

use super::sweep::ROWS;

/// A stretch of steps without sign changes: u ← u + s·p + c·q, p ← d·p + b·q.
#[derive(Clone, Copy)]
pub(super) struct Stretch<R> {
    pub s: R,
    pub c: R,
    pub d: R,
    pub b: R,
}

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{ROWS, Stretch};

            type R = $type;

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

        impl Leaps for $type {
            fn stays(state: &[Self], s: Self, c: Self) -> bool {
                $module::stays_tiles(state, s, c)
            }

            fn leap(state: &mut [Self], weights: &[Self], slope: Self, stretch: Stretch<Self>) -> [Self; 3] {
                $module::leap(state, weights, slope, stretch)
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

/// The kernels of a floating-point type.
pub(super) trait Leaps: Sized {
    /// Whether one neuron's signs are certain to stay while u moves by between 0 and s times p, and 0 and c times q.
    fn stays(state: &[Self], s: Self, c: Self) -> bool;
    /// Moves one neuron by a stretch; returns Σ_n weight_n φ'(u_n)·(u_n, p_n, q_n) from before it.
    fn leap(state: &mut [Self], weights: &[Self], slope: Self, stretch: Stretch<Self>) -> [Self; 3];
}

#[cfg(test)]
mod tests {
    use super::{ROWS, Stretch};

    /// A stretch compiled for what this processor offers against plain loops compiled for what all of its family have.
    macro_rules! same_bits {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |len: usize, pace: f64| (0..len).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let bits = |values: &[R]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                let (count, slope) = (3 * ROWS, 0.3);
                let (weights, initial) = (&wave(count, 0.7), wave(3 * count, 1.1));
                let stretch = Stretch { s: 0.31, c: 0.17, d: 0.83, b: 0.59 };
                let (mut state, mut plain) = (initial.clone(), initial);
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

    same_bits!(in_single_precision_a_stretch_has_the_bits_of_plain_loops, f32, single);
    same_bits!(in_double_precision_a_stretch_has_the_bits_of_plain_loops, f64, double);

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
