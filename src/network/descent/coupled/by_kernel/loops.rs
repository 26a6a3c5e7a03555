//! The loops of steps by the tangent kernel, compiled for several instruction sets and chosen at run time.
//!
//! No multiplication is fused with an addition, so every instruction set gives the same bits (tested).

/// Rows and columns of a tile; samples are padded to whole ones.
pub(in crate::network::descent) const TILE: usize = 64;

/// Where the samples of a neuron are at present, to within a margin, and how far they may move until the next look:
/// u + drift·p + push·q + trend·r, with |p|, |q| and |r| weighed by the reaches.
#[derive(Debug, Clone, Copy)]
pub(in crate::network::descent) struct Position<R> {
    pub drift: R,
    pub push: R,
    pub trend: R,
    pub reach_drift: R,
    pub reach_push: R,
    pub reach_trend: R,
    /// What the true position may differ by, over the length of the input.
    pub margin: R,
    /// Share of the terms that rounding may amount to.
    pub rounding: R,
}

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::{Position, TILE};

            type R = $type;

            /// Accumulators of a sum, and of one of many.
            const LANES: usize = 32;
            const CHAINS: usize = 16;

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_symmetric(tiles: &[R], factors: &[R], product: &mut [R]) {
                let tiles = tiles.as_chunks::<TILE>().0.as_chunks::<TILE>().0;
                let (last, row) = (tiles.len() - 1, &factors[(tiles.len() - 1) * TILE..][..TILE]);
                let mut sums = [[0.0; CHAINS]; TILE];
                for (tile, values) in tiles.iter().enumerate() {
                    // Half a tile's columns at a time, so that the sums down them stay in registers.
                    for first in (0..TILE).step_by(LANES) {
                        let columns = tile * TILE + first;
                        let across: &[R; LANES] = factors[columns..].first_chunk().unwrap_or(&[0.0; LANES]);
                        let mut down = [0.0; LANES];
                        for ((values, own), sums) in values.iter().zip(row).zip(&mut sums) {
                            let values = values[first..].first_chunk::<LANES>().unwrap_or(&[0.0; LANES]);
                            for r in 0..CHAINS {
                                sums[r] += values[r] * across[r];
                            }
                            for r in 0..CHAINS {
                                sums[r] += values[CHAINS + r] * across[CHAINS + r];
                            }
                            for r in 0..LANES {
                                down[r] += values[r] * own;
                            }
                        }
                        if tile < last {
                            product[columns..].iter_mut().zip(&down).for_each(|(product, down)| *product += down);
                        }
                    }
                }
                for (product, sums) in product[last * TILE..].iter_mut().zip(&sums) {
                    *product += sums.iter().sum::<R>();
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn picked_product(u: &[R], slope: R, row: &[R], factors: &[R]) -> R {
                let mut sums = [0.0; LANES];
                let rows = u.as_chunks::<LANES>().0.iter().zip(row.as_chunks::<LANES>().0);
                for ((u, row), factors) in rows.zip(factors.as_chunks::<LANES>().0) {
                    for r in 0..LANES {
                        sums[r] += row[r] * factors[r] * (if u[r] >= 0.0 { 1.0 } else { slope });
                    }
                }
                sums.iter().sum()
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn near(upqr: [&[R]; 4], lengths: &[R], at: &Position<R>, found: &mut Vec<u32>) {
                let [u, p, q, s] = upqr.map(|values| values.as_chunks::<TILE>().0);
                let rows = u.iter().zip(p).zip(q).zip(s).zip(lengths.as_chunks::<TILE>().0);
                for (chunk, ((((u, p), q), s), lengths)) in rows.enumerate() {
                    let mut far = [0.0; TILE];
                    for r in 0..TILE {
                        let (drift, push, trend) = (at.drift * p[r], at.push * q[r], at.trend * s[r]);
                        let terms = u[r].abs() + drift.abs() + push.abs() + trend.abs();
                        let reach = at.reach_drift * p[r].abs() + at.reach_push * q[r].abs();
                        let reach = reach + at.reach_trend * s[r].abs();
                        let margin = at.margin * lengths[r] + at.rounding * terms;
                        far[r] = (u[r] + drift + push + trend).abs() - (reach + margin);
                    }
                    let mut bits = 0_u64;
                    for (row, far) in far.iter().enumerate() {
                        bits |= u64::from(*far <= 0.0) << row;
                    }
                    while bits != 0 {
                        found.push((chunk * TILE) as u32 + bits.trailing_zeros());
                        bits &= bits - 1;
                    }
                }
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2+fma"))]
            pub fn add_picked(row: &mut [R], gram: &[R], sides: &[u32], [below, above]: [R; 2]) {
                let chunks = row.as_chunks_mut::<32>().0.iter_mut().zip(gram.as_chunks::<32>().0);
                for ((row, gram), sides) in chunks.zip(sides) {
                    for r in 0..32 {
                        row[r] += gram[r] * (if *sides & (1 << r) == 0 { below } else { above });
                    }
                }
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

/// The loops for a floating-point type. Rows are padded with zeros to a multiple of [`TILE`].
pub(in crate::network::descent) trait Loops: Sized {
    /// Adds a symmetric matrix times a vector, as far as it stands in one row of tiles, up to the one on the diagonal.
    fn add_symmetric(tiles: &[Self], factors: &[Self], product: &mut [Self]);
    /// Σ_k φ'(u_k) row_k factor_k.
    fn picked_product(u: &[Self], slope: Self, row: &[Self], factors: &[Self]) -> Self;
    /// Appends the samples of a neuron that may reach zero.
    fn near(upqr: [&[Self]; 4], lengths: &[Self], at: &Position<Self>, found: &mut Vec<u32>);
    /// Adds gram_k times the second factor to a row where the side is above, and times the first elsewhere.
    fn add_picked(row: &mut [Self], gram: &[Self], sides: &[u32], factors: [Self; 2]);
}

macro_rules! dispatch {
    ($type:ident, $module:ident) => {
        impl Loops for $type {
            fn add_symmetric(tiles: &[Self], factors: &[Self], product: &mut [Self]) {
                $module::add_symmetric(tiles, factors, product);
            }

            fn picked_product(u: &[Self], slope: Self, row: &[Self], factors: &[Self]) -> Self {
                $module::picked_product(u, slope, row, factors)
            }

            fn near(upqr: [&[Self]; 4], lengths: &[Self], at: &Position<Self>, found: &mut Vec<u32>) {
                $module::near(upqr, lengths, at, found);
            }

            fn add_picked(row: &mut [Self], gram: &[Self], sides: &[u32], factors: [Self; 2]) {
                $module::add_picked(row, gram, sides, factors);
            }
        }
    };
}

dispatch!(f32, single);
dispatch!(f64, double);

#[cfg(test)]
mod tests {
    use super::{Position, TILE};

    /// Loops compiled for what this processor offers against plain ones compiled for what all of its family have.
    macro_rules! same_bits {
        ($test:ident, $type:ident, $module:ident) => {
            #[test]
            fn $test() {
                type R = $type;
                let wave = |len: usize, pace: f64| (0..len).map(|i| (pace * i as f64).sin() as R).collect::<Vec<R>>();
                let len = 3 * TILE;
                let (u, p, q, row) = (wave(len, 1.9), wave(len, 0.8), wave(len, 2.3), wave(len, 0.7));
                let (one, two, lengths) = (wave(len, 1.1), wave(len, 0.3), wave(len, 0.01));
                let tiles = wave(3 * TILE * TILE, 0.37);
                let mut found = two.clone();
                super::$module::add_symmetric(&tiles, &one, &mut found);
                let value = |n: usize, k: usize| tiles[(k / TILE * TILE + n) * TILE + k % TILE];
                let mut plain: Vec<R> = two.clone();
                for k in 0..2 * TILE {
                    plain[k] += (0..TILE).fold(0.0, |sum, n| sum + value(n, k) * one[2 * TILE + n]);
                }
                for n in 0..TILE {
                    let lane = |lane| (lane..len).step_by(16).fold(0.0, |sum, k| sum + value(n, k) * one[k]);
                    plain[2 * TILE + n] += (0..16).map(lane).sum::<R>();
                }
                assert!(found.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits()));
                let pick = |k: usize| row[k] * one[k] * (if u[k] >= 0.0 { 1.0 } else { 0.3 });
                let lane = |lane| (lane..len).step_by(32).fold(0.0, |sum, k| sum + pick(k));
                let plain: R = (0..32).map(lane).sum();
                assert_eq!(super::$module::picked_product(&u, 0.3, &row, &one).to_bits(), plain.to_bits());
                let at = Position {
                    drift: 0.4,
                    push: -0.2,
                    trend: 0.3,
                    reach_drift: 0.1,
                    reach_push: 0.05,
                    reach_trend: 0.03,
                    margin: 0.02,
                    rounding: 0.001,
                };
                let mut found = Vec::new();
                super::$module::near([&u, &p, &q, &row], &lengths, &at, &mut found);
                let is_near = |k: &usize| {
                    let (drift, push, trend) = (at.drift * p[*k], at.push * q[*k], at.trend * row[*k]);
                    let terms = u[*k].abs() + drift.abs() + push.abs() + trend.abs();
                    let reach = at.reach_drift * p[*k].abs() + at.reach_push * q[*k].abs();
                    let reach = reach + at.reach_trend * row[*k].abs();
                    (u[*k] + drift + push + trend).abs() <= reach + (at.margin * lengths[*k] + at.rounding * terms)
                };
                assert_eq!(found, (0..len).filter(is_near).map(|k| k as u32).collect::<Vec<_>>());
                assert!((5..len / 2).contains(&found.len()));
                let sides = [0x0f0f_3355, 0, u32::MAX, 0x1234_5678, 1, 1 << 31];
                let (mut sums, side) = (wave(len, 0.6), |k: usize| sides[k / 32] >> (k % 32) & 1 == 1);
                let plain: Vec<R> = (0..len).map(|k| sums[k] + row[k] * (if side(k) { 0.7 } else { -0.4 })).collect();
                super::$module::add_picked(&mut sums, &row, &sides, [-0.4, 0.7]);
                assert!(sums.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        };
    }

    same_bits!(in_single_precision_loops_have_the_bits_of_plain_ones, f32, single);
    same_bits!(in_double_precision_loops_have_the_bits_of_plain_ones, f64, double);
}
