//! The two floating-point types of the descent.

use faer::{Accum, MatMut, MatRef, Par};

/// f32 or f64.
pub(super) trait Real:
    super::stretch::Leaps
    + super::sweep::Kernels
    + super::vectors::Vectors
    + super::follow::Follow
    + super::coupled::Loops
    + crate::network::lookup::Lookup
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
    /// dst (rows × cols) = or += lhs · rhs, on one thread.
    fn multiply(dst: MatMut<'_, Self>, add: bool, lhs: MatRef<'_, Self>, rhs: MatRef<'_, Self>);
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            const EPSILON: f64 = <$type>::EPSILON as f64;

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
        }
    };
}

real!(f32);
real!(f64);
