//! The two floating-point types of the descent.

use crate::network::number::Number;

/// f32 or f64, with the loops that a descent needs.
pub(super) trait Real:
    Number
    + super::stretch::Leaps
    + super::sweep::Kernels
    + super::strips::AddStrips
    + super::follow::Follow
    + super::coupled::Loops
{
}

impl Real for f32 {}
impl Real for f64 {}
