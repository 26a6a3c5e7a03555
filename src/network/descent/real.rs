//! The two floating-point types of the descent.

use faer::{Accum, MatMut, MatRef, Par};

/// f32 or f64.
pub(super) trait Real:
    Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
    + std::ops::MulAssign
    + 'static
{
    /// Rounds to the type.
    fn of(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// dst (rows × cols) = or += lhs · rhs, on one thread.
    fn multiply(dst: MatMut<'_, Self>, add: bool, lhs: MatRef<'_, Self>, rhs: MatRef<'_, Self>);
    /// One step of a neuron: p ← βp + q, u ← u + ηp; returns the number of sign changes.
    fn advance(u: &mut [Self], p: &mut [Self], q: &[Self], momentum: Self, rate: Self) -> u32;
    /// Σ_n weight_n φ(u_n).
    fn weighted_activation(u: &[Self], weights: &[Self], slope: Self) -> Self;
    /// v += factor·column.
    fn add_column(v: &mut [Self], column: &[Self], factor: Self);
}

macro_rules! real {
    ($type:ty, $lanes:literal, $advance:ident, $weighted:ident, $add:ident) => {
        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
        fn $advance(u: &mut [$type], p: &mut [$type], q: &[$type], momentum: $type, rate: $type) -> u32 {
            let mut changes = 0;
            for ((u, p), q) in u.iter_mut().zip(p).zip(q) {
                let velocity = momentum * *p + q;
                let moved = *u + rate * velocity;
                changes += u32::from((*u >= 0.0) != (moved >= 0.0));
                *p = velocity;
                *u = moved;
            }
            changes
        }

        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
        fn $weighted(u: &[$type], weights: &[$type], slope: $type) -> $type {
            let mut sums = [0.0; $lanes];
            let split = u.len() - u.len() % $lanes;
            for (u, w) in u[..split].chunks_exact($lanes).zip(weights[..split].chunks_exact($lanes)) {
                for ((sum, u), w) in sums.iter_mut().zip(u).zip(w) {
                    *sum += w * (if *u >= 0.0 { *u } else { slope * *u });
                }
            }
            let mut total = 0.0;
            for sum in sums {
                total += sum;
            }
            for (u, w) in u[split..].iter().zip(&weights[split..]) {
                total += w * (if *u >= 0.0 { *u } else { slope * *u });
            }
            total
        }

        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
        fn $add(v: &mut [$type], column: &[$type], factor: $type) {
            for (v, c) in v.iter_mut().zip(column) {
                *v += factor * c;
            }
        }

        impl Real for $type {
            fn of(value: f64) -> Self {
                value as $type
            }

            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn multiply(dst: MatMut<'_, Self>, add: bool, lhs: MatRef<'_, Self>, rhs: MatRef<'_, Self>) {
                let accum = if add { Accum::Add } else { Accum::Replace };
                faer::linalg::matmul::matmul(dst, accum, lhs, rhs, 1.0, Par::Seq);
            }

            fn advance(u: &mut [Self], p: &mut [Self], q: &[Self], momentum: Self, rate: Self) -> u32 {
                $advance(u, p, q, momentum, rate)
            }

            fn weighted_activation(u: &[Self], weights: &[Self], slope: Self) -> Self {
                $weighted(u, weights, slope)
            }

            fn add_column(v: &mut [Self], column: &[Self], factor: Self) {
                $add(v, column, factor);
            }
        }
    };
}

real!(f32, 32, advance_f32, weighted_f32, add_f32);
real!(f64, 16, advance_f64, weighted_f64, add_f64);
