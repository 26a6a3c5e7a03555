//! The two floating-point types that networks are trained and evaluated in.

use std::borrow::Cow;

use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// f32 or f64.
pub(super) trait Number:
    super::vectors::Vectors
    + super::lookup::Lookup
    + Copy
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
    /// Distance from 1 to the next larger number.
    const EPSILON: f64;

    /// Rounds to the type.
    fn of(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Rounds all to the type, on all threads; copies nothing if they are of it.
    fn all_of(values: &[f64]) -> Cow<'_, [Self]>;
    /// dst (rows × cols) = or += lhs · rhs, on one thread.
    fn multiply(dst: MatMut<'_, Self>, add: bool, lhs: MatRef<'_, Self>, rhs: MatRef<'_, Self>);
}

macro_rules! number {
    ($type:ty, $all_of:expr) => {
        impl Number for $type {
            const EPSILON: f64 = <$type>::EPSILON as f64;

            fn of(value: f64) -> Self {
                value as $type
            }

            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn all_of(values: &[f64]) -> Cow<'_, [Self]> {
                $all_of(values)
            }

            fn multiply(dst: MatMut<'_, Self>, add: bool, lhs: MatRef<'_, Self>, rhs: MatRef<'_, Self>) {
                let accum = if add { Accum::Add } else { Accum::Replace };
                faer::linalg::matmul::matmul(dst, accum, lhs, rhs, 1.0, Par::Seq);
            }
        }
    };
}

number!(f32, |values: &[f64]| Cow::Owned(values.par_iter().with_min_len(1 << 14).map(|value| *value as f32).collect()));
number!(f64, Cow::Borrowed);
