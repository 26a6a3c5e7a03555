//! Loops over vectors and columns, compiled for several instruction sets and chosen at run time.
//!
//! No multiplication is fused with an addition, so every instruction set gives the same bits (tested).

/// Rows of a tile: its sides are one 64-bit mask.
pub(super) const ROWS: usize = 64;

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::ROWS;

            type R = $type;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_samples(force: &mut [R], augmented: &[R], owed: &[(u32, R)]) {
                let len = force.len();
                let sample = |n: u32| &augmented[n as usize * len..][..len];
                let (fours, rest) = owed.as_chunks::<4>();
                for four in fours {
                    let [x, y, z, t] = four.map(|(n, _)| sample(n));
                    let [a, b, c, d] = four.map(|(_, factor)| factor);
                    for ((((f, x), y), z), t) in force.iter_mut().zip(x).zip(y).zip(z).zip(t) {
                        *f = (*f + a * x) + (b * y + (c * z + d * t));
                    }
                }
                for (n, factor) in rest {
                    force.iter_mut().zip(sample(*n)).for_each(|(f, x)| *f += factor * x);
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_outputs(preactivations: &[R], readout: &[R], slope: R, outputs: &mut [R]) {
                for (column, a) in preactivations.chunks_exact(outputs.len()).zip(readout) {
                    for (output, u) in outputs.iter_mut().zip(column) {
                        *output += a * (if *u >= 0.0 { *u } else { slope * *u });
                    }
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn to_forces(preactivations: &mut [R], readout: &[R], slope: R, forces: &[R]) {
                for (column, a) in preactivations.chunks_exact_mut(forces.len()).zip(readout) {
                    let below = a * slope;
                    for (u, force) in column.iter_mut().zip(forces) {
                        *u = force * (if *u >= 0.0 { *a } else { below });
                    }
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn move_weights(weights: &mut [R], velocity: &mut [R], gradients: &[&[R]], momentum: R, rate: R) {
                velocity.iter_mut().for_each(|v| *v *= momentum);
                for gradient in gradients {
                    velocity.iter_mut().zip(*gradient).for_each(|(v, g)| *v += g);
                }
                weights.iter_mut().zip(velocity).for_each(|(w, v)| *w += rate * *v);
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn tile_sides(u: &[R], sides: &mut [u64]) {
                for (u, side) in u.chunks(ROWS).zip(sides) {
                    let mut above = 0;
                    for (row, u) in u.iter().enumerate() {
                        above |= u64::from(*u >= 0.0) << row;
                    }
                    *side = above;
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn pick(side: u64, [below, above]: [R; 2], picked: &mut [R]) {
                for (row, picked) in picked.iter_mut().enumerate() {
                    *picked = if side >> row & 1 == 1 { above } else { below };
                }
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

/// The loops for a floating-point type.
pub(super) trait Vectors: Sized {
    /// force += Σ factor x̃_n over the samples owed.
    fn add_samples(force: &mut [Self], augmented: &[Self], owed: &[(u32, Self)]);
    /// f_n += Σ_i a_i φ(u_in); preactivations are one column per neuron.
    fn add_outputs(preactivations: &[Self], readout: &[Self], slope: Self, outputs: &mut [Self]);
    /// u_in ← force_n a_i φ'(u_in).
    fn to_forces(preactivations: &mut [Self], readout: &[Self], slope: Self, forces: &[Self]);
    /// v ← βv + Σ gradients, w ← w + ηv.
    fn move_weights(weights: &mut [Self], velocity: &mut [Self], gradients: &[&[Self]], momentum: Self, rate: Self);
    /// The sides of a neuron's samples, one bit per row of a tile of [`ROWS`]: u ≥ 0. Rows beyond the last are 0.
    fn tile_sides(u: &[Self], sides: &mut [u64]);
    /// One value for each row of a tile below 0, another for each above.
    fn pick(side: u64, values: [Self; 2], picked: &mut [Self]);
}

macro_rules! dispatch {
    ($type:ident, $module:ident) => {
        impl Vectors for $type {
            fn add_samples(force: &mut [Self], augmented: &[Self], owed: &[(u32, Self)]) {
                $module::add_samples(force, augmented, owed);
            }

            fn add_outputs(preactivations: &[Self], readout: &[Self], slope: Self, outputs: &mut [Self]) {
                $module::add_outputs(preactivations, readout, slope, outputs);
            }

            fn to_forces(preactivations: &mut [Self], readout: &[Self], slope: Self, forces: &[Self]) {
                $module::to_forces(preactivations, readout, slope, forces);
            }

            fn move_weights(
                weights: &mut [Self],
                velocity: &mut [Self],
                gradients: &[&[Self]],
                momentum: Self,
                rate: Self,
            ) {
                $module::move_weights(weights, velocity, gradients, momentum, rate);
            }

            fn tile_sides(u: &[Self], sides: &mut [u64]) {
                $module::tile_sides(u, sides);
            }

            fn pick(side: u64, values: [Self; 2], picked: &mut [Self]) {
                $module::pick(side, values, picked);
            }
        }
    };
}

dispatch!(f32, single);
dispatch!(f64, double);

#[cfg(test)]
mod tests {
    /// Loops compiled for what this processor offers against plain ones compiled for what all of its family have.
    macro_rules! same_bits {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |len: usize, pace: f64| (0..len).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let bits = |values: &[R]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                let (count, size, slope, momentum, rate) = (192, 3, 0.3, 0.9, 0.7);
                let (readout, weights) = (&wave(size, 2.0), &wave(count, 0.7));
                let owed: Vec<(u32, R)> = wave(7, 1.7).into_iter().enumerate().map(|(n, f)| (n as u32, f)).collect();
                let (dim, augmented) = (11, wave(7 * 11, 0.8));
                let mut force = wave(dim, 0.4);
                let plain: Vec<R> = (0..dim)
                    .map(|j| {
                        let term = |n: usize| owed[n].1 * augmented[n * dim + j];
                        let four = (force[j] + term(0)) + (term(1) + (term(2) + term(3)));
                        four + term(4) + term(5) + term(6)
                    })
                    .collect();
                super::$module::add_samples(&mut force, &augmented, &owed);
                assert_eq!(bits(&force), bits(&plain));
                let (mut u, mut outputs) = (wave(size * count, 1.9), wave(count, 0.2));
                let active = |u: R| if u >= 0.0 { u } else { slope * u };
                let plain: Vec<R> = (0..count)
                    .map(|n| (0..size).fold(outputs[n], |sum, i| sum + readout[i] * active(u[i * count + n])))
                    .collect();
                super::$module::add_outputs(&u, readout, slope, &mut outputs);
                assert_eq!(bits(&outputs), bits(&plain));
                let factor = |i: usize, u: R| if u >= 0.0 { readout[i] } else { readout[i] * slope };
                let plain: Vec<R> =
                    (0..size * count).map(|at| weights[at % count] * factor(at / count, u[at])).collect();
                super::$module::to_forces(&mut u, readout, slope, weights);
                assert_eq!(bits(&u), bits(&plain));
                let (mut w, mut velocity, one, two) = (wave(19, 0.6), wave(19, 1.2), wave(19, 2.3), wave(19, 0.1));
                let moved: Vec<R> = (0..19).map(|j| velocity[j] * momentum + one[j] + two[j]).collect();
                let plain: Vec<R> = (0..19).map(|j| w[j] + rate * moved[j]).collect();
                super::$module::move_weights(&mut w, &mut velocity, &[&one, &two], momentum, rate);
                assert_eq!((bits(&velocity), bits(&w)), (bits(&moved), bits(&plain)));
                // Two tiles and a part of one, with zeros of both signs, which are above.
                let mut u = wave(150, 1.3);
                (u[3], u[140]) = (0.0, -0.0);
                let mut sides = [u64::MAX; 3];
                super::$module::tile_sides(&u, &mut sides);
                let mut picked = vec![0.5; 150];
                sides.iter().zip(picked.chunks_mut(64)).for_each(|(side, picked)| {
                    super::$module::pick(*side, [-2.0, 3.0], picked);
                });
                assert_eq!(picked, u.iter().map(|u| if *u >= 0.0 { 3.0 } else { -2.0 }).collect::<Vec<R>>());
                let above = u.iter().filter(|u| **u >= 0.0).count() as u32;
                assert_eq!(sides.iter().map(|side| side.count_ones()).sum::<u32>(), above, "none beyond the last");
            }
        };
    }

    same_bits!(in_single_precision_vectors_have_the_bits_of_plain_loops, f32, single);
    same_bits!(in_double_precision_vectors_have_the_bits_of_plain_loops, f64, double);
}
