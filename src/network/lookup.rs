//! Products with φ'(U), whose entries take two values, by looking up sums.
//!
//! Σ_n z_n φ'(u_n) for many neurons at once: of each four columns z_n the sixteen sums that sides can pick are formed, each from
//! another by one addition, and every neuron adds one of them. Once the tables are formed that is a quarter of an addition per column,
//! row and neuron where a dense product takes a multiplication and an addition. The tables, 16 KiB, stay in the first-level cache, and
//! with them the sums of a hundred neurons; those of more come from the second-level cache. No multiplication is fused with an addition,
//! so every instruction set gives the same bits (tested); each summand is rounded at most three times more than in a dense product
//! (its share of γ, 1 − γ and their sum).

/// Samples per word of sides, and per table.
const WORD: usize = 32;
const BITS: usize = 4;
/// Tables of a word, and their entries.
const TABLES: usize = WORD / BITS;
const ENTRIES: usize = 1 << BITS;
/// Sums from which on tables pay.
const FEWEST: usize = 64;

/// Whether so many sums are to be looked up.
pub(super) fn pays(sums: usize) -> bool {
    sums >= FEWEST
}

/// Words of the sides of so many samples.
fn words(count: usize) -> usize {
    count.div_ceil(WORD)
}

/// Sums s_i += scale_i Σ_n factor_n φ'(u_in) z_n: for neurons i over samples n (forces on weights), or the other way round (gradients at
/// samples), and then read one for the other below.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a, R> {
    /// z_n, stride × count.
    pub columns: &'a [R],
    pub stride: usize,
    /// One per column.
    pub factors: &'a [R],
    /// γ: φ' is 1 where u ≥ 0 and γ elsewhere.
    pub slope: R,
    /// Of [`Lookup::sides`] or [`Lookup::sides_across`], neuron after neuron.
    pub sides: &'a [u32],
    /// One per neuron.
    pub scales: &'a [R],
}

/// The kernels of a floating-point type.
pub(super) trait Lookup: Sized {
    /// The sides of `count` samples for every neuron, one bit each (u ≥ 0); preactivations are `stride` numbers per neuron.
    fn sides(preactivations: &[Self], stride: usize, count: usize) -> Vec<u32>;
    /// The same with the roles exchanged: the sides of all neurons for every sample; `count` preactivations per neuron.
    fn sides_across(preactivations: &[Self], count: usize) -> Vec<u32>;
    /// Adds the sums, stride × neurons.
    fn add_sums(task: &Sums<'_, Self>, sums: &mut [Self]);
}

macro_rules! kernels {
    ($type:ident, $module:ident, $lanes:expr) => {
        mod $module {
            use std::ops::Range;

            use super::{BITS, ENTRIES, Sums, TABLES, WORD, words};

            type R = $type;

            /// Rows that are summed at a time: two cache lines, and for the last ones a half or a quarter of it if that is enough.
            const LANES: usize = $lanes;

            #[derive(Clone, Copy)]
            #[repr(align(64))]
            struct Lanes<const L: usize>([R; L]);

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn sides(preactivations: &[R], stride: usize, count: usize) -> Vec<u32> {
                let mut sides = Vec::with_capacity(preactivations.len() / stride * words(count));
                for column in preactivations.chunks_exact(stride) {
                    let (full, rest) = column[..count].as_chunks::<WORD>();
                    sides.extend(full.iter().map(|values| bits(values)));
                    if !rest.is_empty() {
                        sides.push(bits(rest));
                    }
                }
                sides
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn sides_across(preactivations: &[R], count: usize) -> Vec<u32> {
                let words = words(preactivations.len() / count);
                let mut sides = vec![0; count * words];
                let mut own = vec![0; count];
                for (word, neurons) in preactivations.chunks(WORD * count).enumerate() {
                    own.fill(0);
                    for (neuron, column) in neurons.chunks_exact(count).enumerate() {
                        for (own, u) in own.iter_mut().zip(column) {
                            *own |= u32::from(*u >= 0.0) << neuron;
                        }
                    }
                    for (sides, own) in sides.chunks_exact_mut(words).zip(&own) {
                        sides[word] = *own;
                    }
                }
                sides
            }

            #[inline(always)]
            fn bits(values: &[R]) -> u32 {
                values.iter().enumerate().fold(0, |bits, (n, u)| bits | u32::from(*u >= 0.0) << n)
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_sums(task: &Sums<'_, R>, sums: &mut [R]) {
                add(task, sums);
            }

            #[inline(always)]
            pub fn add(task: &Sums<'_, R>, sums: &mut [R]) {
                let full = task.stride / LANES * LANES;
                let rest = task.stride - full;
                strips::<LANES>(task, 0..full, sums);
                // Of 101 rows in single precision the last five take a quarter of a strip, not a whole one.
                if rest > LANES / 2 {
                    strips::<LANES>(task, full..task.stride, sums);
                } else if rest > LANES / 4 {
                    strips::<{ LANES / 2 }>(task, full..task.stride, sums);
                } else {
                    strips::<{ LANES / 4 }>(task, full..task.stride, sums);
                }
            }

            /// The sums in some rows, L at a time.
            #[inline(always)]
            fn strips<const L: usize>(task: &Sums<'_, R>, rows: Range<usize>, sums: &mut [R]) {
                if rows.is_empty() {
                    return;
                }
                let words = words(task.factors.len());
                let mut tables = vec![[Lanes([0.0; L]); ENTRIES]; TABLES];
                let mut found = vec![Lanes([0.0; L]); task.scales.len()];
                for first in rows.clone().step_by(L) {
                    found.fill(Lanes([0.0; L]));
                    for word in 0..words {
                        let needed = (task.factors.len() - word * WORD).div_ceil(BITS).min(TABLES);
                        let tables = &mut tables[..needed];
                        for (group, table) in tables.iter_mut().enumerate() {
                            tabulate(task, first, word * WORD + group * BITS, table);
                        }
                        for (found, sides) in found.iter_mut().zip(task.sides[word..].iter().step_by(words)) {
                            let (mut sum, mut sides) = (found.0, *sides);
                            for table in &*tables {
                                let picked = &table[sides as usize % ENTRIES].0;
                                for r in 0..L {
                                    sum[r] += picked[r];
                                }
                                sides >>= BITS;
                            }
                            found.0 = sum;
                        }
                    }
                    let rows = L.min(rows.end - first);
                    for ((sums, found), scale) in sums.chunks_exact_mut(task.stride).zip(&found).zip(task.scales) {
                        sums[first..][..rows].iter_mut().zip(&found.0).for_each(|(sum, value)| *sum += scale * value);
                    }
                }
            }

            /// The sums of the columns from `sample` on that sides can pick, in the rows from `first` on.
            #[inline(always)]
            fn tabulate<const L: usize>(
                task: &Sums<'_, R>,
                first: usize,
                sample: usize,
                table: &mut [Lanes<L>; ENTRIES],
            ) {
                let mut below = [0.0; L];
                let mut more = [[0.0; L]; BITS];
                for ((more, factor), n) in more.iter_mut().zip(task.factors.iter().skip(sample)).zip(sample..) {
                    let from = &task.columns[n * task.stride + first..];
                    // Lanes beyond the column's end hold the next column's rows; nobody reads them.
                    let column = from.first_chunk().copied().unwrap_or_else(|| {
                        let mut rest = [0.0; L];
                        rest[..from.len()].copy_from_slice(from);
                        rest
                    });
                    for r in 0..L {
                        let value = factor * column[r];
                        below[r] += task.slope * value;
                        more[r] = (1.0 - task.slope) * value;
                    }
                }
                table[0].0 = below;
                for (bit, more) in more.iter().enumerate() {
                    let (without, with) = table.split_at_mut(1 << bit);
                    for (without, with) in without.iter().zip(with) {
                        for r in 0..L {
                            with.0[r] = without.0[r] + more[r];
                        }
                    }
                }
            }
        }

        impl Lookup for $type {
            fn sides(preactivations: &[Self], stride: usize, count: usize) -> Vec<u32> {
                $module::sides(preactivations, stride, count)
            }

            fn sides_across(preactivations: &[Self], count: usize) -> Vec<u32> {
                $module::sides_across(preactivations, count)
            }

            fn add_sums(task: &Sums<'_, Self>, sums: &mut [Self]) {
                $module::add_sums(task, sums);
            }
        }
    };
}

kernels!(f32, single, 32);
kernels!(f64, double, 16);

#[cfg(test)]
mod tests {
    use super::{Lookup, Sums};

    macro_rules! sums {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave =
                    |len: usize, pace: f64| (0..len).map(|i| (pace * (i * i) as f64).sin() as R).collect::<Vec<R>>();
                // Whole and broken words, tables and strips, one column, one row, and columns of which only the first count.
                for (stride, count, neurons, slope) in [
                    (64, 64, 3, 0.0),
                    (37, 70, 5, 0.3),
                    (1, 33, 2, 0.1),
                    (101, 1, 4, 0.3),
                    (5, 125, 70, 0.0),
                    (45, 40, 2, 0.2),
                    (57, 34, 3, 0.0),
                ] {
                    let (columns, factors, scales) =
                        (&wave(stride * count, 0.7), &wave(count, 1.1), &wave(neurons, 0.4));
                    let mut u = wave((count + 3) * neurons, 0.9);
                    (u[0], u[count + 3]) = (0.0, -0.0);
                    let sides = &R::sides(&u, count + 3, count);
                    let turned: Vec<R> =
                        (0..count * neurons).map(|at| u[at % neurons * (count + 3) + at / neurons]).collect();
                    assert_eq!(&R::sides_across(&turned, neurons), sides);
                    let task = Sums { columns, stride, factors, slope, sides, scales };
                    let start = wave(stride * neurons, 0.2);
                    let mut sums = start.clone();
                    R::add_sums(&task, &mut sums);
                    // Compiled for what every processor of the family has.
                    let mut portable = start.clone();
                    super::$module::add(&task, &mut portable);
                    assert!(sums.iter().zip(&portable).all(|(a, b)| a.to_bits() == b.to_bits()));
                    for (i, scale) in scales.iter().enumerate() {
                        for row in 0..stride {
                            let (mut exact, mut size) = (0.0, 0.0);
                            for n in 0..count {
                                let derivative = if u[(count + 3) * i + n] >= 0.0 { 1.0 } else { slope };
                                let term = f64::from(columns[stride * n + row]) * f64::from(factors[n]);
                                exact += f64::from(derivative) * term;
                                size += term.abs();
                            }
                            let start = f64::from(start[stride * i + row]);
                            let (exact, size) = (start + f64::from(*scale) * exact, start.abs() + size);
                            // Here at most six roundings of a term and min(2N − 1, 6 + ⌈N/4⌉) additions, in `exact` one and
                            // N; a rounding is half of ε.
                            let bound = (count + 9) as f64 * f64::from(R::EPSILON) * size;
                            let found = f64::from(sums[stride * i + row]);
                            assert!((found - exact).abs() <= bound, "{stride} × {count}: {found} {exact}");
                        }
                    }
                }
            }
        };
    }

    sums!(in_single_precision_looked_up_sums_are_the_plain_ones, f32, single);
    sums!(in_double_precision_looked_up_sums_are_the_plain_ones, f64, double);

    #[test]
    fn sides_are_one_bit_per_sample() {
        let u: Vec<f64> = (0..80).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let sides = f64::sides(&u, 40, 33);
        assert_eq!(sides.len(), 4);
        for (neuron, words) in sides.chunks(2).enumerate() {
            for n in 0..64 {
                let above = n < 33 && u[40 * neuron + n] >= 0.0;
                assert_eq!(words[n / 32] >> (n % 32) & 1 == 1, above, "{neuron} {n}");
            }
        }
    }
}
