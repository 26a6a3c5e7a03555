//! The inner loop of a block of steps in which a neuron follows few samples only ([`confined`](super::decoupled)),
//! compiled for several instruction sets and chosen at run time.

use super::sweep::{Flip, ROWS, activation, note_flips};

/// The samples that a neuron follows during a block, padded to whole tiles with samples that never move.
#[derive(Debug, Clone)]
pub(super) struct Followed<R> {
    /// Samples that are none of the padding.
    pub count: usize,
    /// y_n/N.
    pub weights: Vec<R>,
    /// u, p, q at the start of the block.
    pub start: [Vec<R>; 3],
    /// u now.
    pub u: Vec<R>,
    /// What the sign changes of the block have added to u, p, q.
    pub added: [Vec<R>; 3],
    /// The same in the weights, as coefficients of the samples: added = G·coefficients.
    pub coefficients: [Vec<R>; 3],
    /// One bit per sample: u ≥ 0.
    pub sides: Vec<u64>,
}

/// One step of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<R> {
    /// How far p and q of the start have carried u after this step.
    pub s: R,
    pub c: R,
    pub momentum: R,
    pub rate: R,
    pub slope: R,
}

/// Where u of some samples has got to at a step: u + s p + c q + what was added.
#[derive(Debug, Clone)]
pub(super) struct Knot<R> {
    pub s: R,
    pub c: R,
    pub added: [R; ROWS],
}

/// What a sample must keep away from its boundary at every knot to be certain of its side: near·‖x̃‖ + bend·|p| + rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margin<R> {
    pub near: R,
    pub bend: R,
    /// Rounding, relative to |u| + |s p| + |c q| + largest·‖x̃‖.
    pub epsilon: R,
    pub largest: R,
}

macro_rules! kernel {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{Flip, Followed, Knot, Margin, Pace, ROWS, activation, note_flips};

            type R = $type;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn follow_tiles(samples: &mut Followed<R>, pace: Pace<R>, flips: &mut Vec<Flip>) -> R {
                follow(samples, pace, flips)
            }

            #[inline(always)]
            pub fn follow(samples: &mut Followed<R>, pace: Pace<R>, flips: &mut Vec<Flip>) -> R {
                let Followed { count, weights, start, u, added, coefficients, sides } = samples;
                let mut output = [0.0; ROWS];
                let [u0, p0, q0] = start.each_ref().map(|values| values.as_chunks::<ROWS>().0);
                let [mu, mp, mq] = added.each_mut().map(|values| values.as_chunks_mut::<ROWS>().0);
                let [eu, ep, eq] = coefficients.each_mut().map(|values| values.as_chunks_mut::<ROWS>().0);
                let (weights, u) = (weights.as_chunks::<ROWS>().0, u.as_chunks_mut::<ROWS>().0);
                for (tile, side) in sides.iter_mut().enumerate() {
                    let (u0, p0, q0, mq, eq) = (&u0[tile], &p0[tile], &q0[tile], &mq[tile], &eq[tile]);
                    let (mu, mp, eu, ep) = (&mut mu[tile], &mut mp[tile], &mut eu[tile], &mut ep[tile]);
                    let (weights, u) = (&weights[tile], &mut u[tile]);
                    let mut changed = 0;
                    for r in 0..ROWS {
                        output[r] += weights[r] * activation(pace.slope, u[r]);
                        mp[r] = pace.momentum * mp[r] + mq[r];
                        mu[r] += pace.rate * mp[r];
                        ep[r] = pace.momentum * ep[r] + eq[r];
                        eu[r] += pace.rate * ep[r];
                        // u is never −0: the sums start at u of the start, which is none.
                        let moved = (u0[r] + (pace.s * p0[r] + pace.c * q0[r])) + mu[r];
                        changed |= u[r].to_bits() ^ moved.to_bits();
                        u[r] = moved;
                    }
                    if changed.leading_zeros() == 0 {
                        note_flips(u, side, 0, ((tile * ROWS) as u32, *count), flips);
                    }
                }
                output.iter().sum()
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn uncertain_tile(
                state: &[[R; ROWS]; 3],
                lengths: &[R; ROWS],
                knots: &[Knot<R>],
                margin: Margin<R>,
            ) -> u64 {
                uncertain(state, lengths, knots, margin)
            }

            #[inline(always)]
            pub fn uncertain(state: &[[R; ROWS]; 3], lengths: &[R; ROWS], knots: &[Knot<R>], margin: Margin<R>) -> u64 {
                let [u, p, q] = state;
                let (mut closest, mut largest) = (u.map(R::abs), [0.0; ROWS]);
                for Knot { s, c, added } in knots {
                    for r in 0..ROWS {
                        let (by_p, by_q) = (s * p[r], c * q[r]);
                        let at = (u[r] + (by_p + by_q)) + added[r];
                        let at = if u[r] >= 0.0 { at } else { -at };
                        // A knot that is not a number makes the sample uncertain.
                        closest[r] = if at > closest[r] { closest[r] } else { at };
                        let size = by_p.abs() + by_q.abs();
                        largest[r] = if size > largest[r] { size } else { largest[r] };
                    }
                }
                let mut certain = 0;
                for r in 0..ROWS {
                    let size = u[r].abs() + largest[r] + margin.largest * lengths[r];
                    let least = margin.near * lengths[r] + (margin.bend * p[r].abs() + margin.epsilon * size);
                    certain |= u64::from(closest[r] > least) << r;
                }
                !certain
            }
        }
    };
}

kernel!(f32, single);
kernel!(f64, double);

/// The kernel of a floating-point type.
pub(super) trait Follow: Sized {
    /// One step: moves the followed samples and notes which have changed side (as samples: their places among them); returns
    /// Σ weight φ(u) from before it.
    fn follow(samples: &mut Followed<Self>, pace: Pace<Self>, flips: &mut Vec<Flip>) -> Self;
    /// Which samples of a tile (u, p, q) are not certain to stay on their side, one bit each. `lengths`: ‖x̃‖.
    fn uncertain(state: &[[Self; ROWS]; 3], lengths: &[Self; ROWS], knots: &[Knot<Self>], margin: Margin<Self>) -> u64;
}

impl Follow for f32 {
    fn follow(samples: &mut Followed<f32>, pace: Pace<f32>, flips: &mut Vec<Flip>) -> f32 {
        single::follow_tiles(samples, pace, flips)
    }

    fn uncertain(state: &[[f32; ROWS]; 3], lengths: &[f32; ROWS], knots: &[Knot<f32>], margin: Margin<f32>) -> u64 {
        single::uncertain_tile(state, lengths, knots, margin)
    }
}

impl Follow for f64 {
    fn follow(samples: &mut Followed<f64>, pace: Pace<f64>, flips: &mut Vec<Flip>) -> f64 {
        double::follow_tiles(samples, pace, flips)
    }

    fn uncertain(state: &[[f64; ROWS]; 3], lengths: &[f64; ROWS], knots: &[Knot<f64>], margin: Margin<f64>) -> u64 {
        double::uncertain_tile(state, lengths, knots, margin)
    }
}

#[cfg(test)]
mod tests {
    use super::{Followed, Knot, Margin, Pace, ROWS};

    /// Compiled for what this processor offers against a plain loop compiled for what all of its family have.
    macro_rules! same_bits {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |pace: f64| (0..2 * ROWS).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let u = wave(1.1);
                let side = |u: &[R]| u.iter().enumerate().map(|(r, u)| u64::from(*u >= 0.0) << r).sum::<u64>();
                let followed = Followed {
                    count: 2 * ROWS,
                    weights: wave(0.7),
                    start: [wave(1.1), wave(0.4), wave(0.9)],
                    sides: u.chunks(ROWS).map(side).collect(),
                    u,
                    added: [wave(0.3), wave(0.6), wave(1.2)],
                    coefficients: [wave(1.9), wave(1.5), wave(0.1)],
                };
                let pace = Pace { s: 0.31, c: 0.17, momentum: 0.9, rate: 0.7, slope: 0.3 };
                let (mut found, mut flips) = (followed.clone(), Vec::new());
                let output = super::$module::follow_tiles(&mut found, pace, &mut flips);
                let (mut plain, mut plain_flips) = (followed, Vec::new());
                let expected = super::$module::follow(&mut plain, pace, &mut plain_flips);
                let bits = |values: &[R]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(output.to_bits(), expected.to_bits());
                assert_eq!(bits(&found.u), bits(&plain.u));
                for part in 0..3 {
                    assert_eq!(bits(&found.added[part]), bits(&plain.added[part]));
                    assert_eq!(bits(&found.coefficients[part]), bits(&plain.coefficients[part]));
                }
                assert!(found.sides == plain.sides && flips == plain_flips && !flips.is_empty());
                let tile = |pace: f64| -> [R; ROWS] { wave(pace)[..ROWS].try_into().unwrap() };
                let state = [tile(1.1), tile(0.4), tile(0.9)];
                let knots = [0.3, 0.8].map(|pace| Knot { s: 0.2, c: 0.1, added: tile(pace) });
                let margin = Margin { near: 0.2, bend: 0.1, epsilon: 0.01, largest: 0.3 };
                let lengths = tile(0.6).map(R::abs);
                let found = super::$module::uncertain_tile(&state, &lengths, &knots, margin);
                assert_eq!(found, super::$module::uncertain(&state, &lengths, &knots, margin));
                assert!(found != 0 && found != u64::MAX);
            }
        };
    }

    same_bits!(in_single_precision_a_step_has_the_bits_of_a_plain_loop, f32, single);
    same_bits!(in_double_precision_a_step_has_the_bits_of_a_plain_loop, f64, double);
}
