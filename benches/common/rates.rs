//! What the machine can do: the rates that turn counts of operations into a floor for the time.
//!
//! Measured on all threads, each with data of its own, with nothing but the operation in the loop; the best of several
//! rounds, since a floor is what would be possible. A machine that is shared gives other rates by the minute, so they are
//! measured in the same process as what they are compared with.

use std::hint::black_box;
use std::time::Instant;

use faer::traits::ComplexField;
use faer::{Accum, Mat, Par};
use perturbation_learning::network::Precision;

use super::sized;

/// Operations a second of all threads together, in one precision.
pub struct Rates {
    /// Floating-point operations of dense products.
    pub products: f64,
    /// Values from the first-level cache, each added to a sum.
    pub loads: f64,
    /// Steps of momentum of one number: p = βp + f, u = u + p, all three in the first-level cache.
    pub updates: f64,
    /// Values that are read again and again from [`KEPT`] of them.
    pub kept: f64,
    /// Values that are read from memory.
    pub memory: f64,
}

/// Half of the kernel of a thousand points.
const KEPT: usize = 500_000;

/// How often something is done in the table's rows; each takes place at one of [`Rates`].
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub products: f64,
    pub loads: f64,
    pub updates: f64,
    pub kept: f64,
    pub memory: f64,
}

impl Counts {
    /// Seconds; reading from memory goes on beside the loads from the cache, everything else takes its time.
    pub fn floor(&self, rates: &Rates) -> f64 {
        let beside = f64::max(self.loads / rates.loads, self.memory / rates.memory);
        self.products / rates.products + self.updates / rates.updates + self.kept / rates.kept + beside
    }
}

impl Rates {
    pub fn measure(precision: Precision) -> Rates {
        match precision {
            Precision::F64 => of_type::<f64>(),
            Precision::F32 => of_type::<f32>(),
        }
    }
}

fn of_type<R: Real>() -> Rates {
    let side = sized(512, 32);
    let flops = 2.0 * (side as f64).powi(3);
    let products = rate(flops, 1, || {
        let entry = |row: usize, col: usize| R::of(((3 * row + 5 * col) % 7) as f32);
        let (left, right) = (Mat::<R>::from_fn(side, side, entry), Mat::<R>::from_fn(side, side, entry));
        let mut product = Mat::<R>::zeros(side, side);
        move || {
            faer::linalg::matmul::matmul(product.as_mut(), Accum::Replace, &left, &right, R::of(1.0), Par::Seq);
            black_box(product[(0, 0)]);
        }
    });
    // Half of a first-level cache, in three parts for the three arrays of a step.
    let (small, third) = (16 * 1024 / size_of::<R>(), 5 * 1024 / size_of::<R>());
    let read = |count: usize, repeats: usize| {
        rate(count as f64, repeats, move || {
            let values = vec![R::of(1.0); count];
            move || {
                R::read(black_box(&values));
            }
        })
    };
    let updates = rate(third as f64, sized(50_000, 10), || {
        let (mut u, mut p, f) = (vec![R::of(0.0); third], vec![R::of(0.0); third], vec![R::of(1.0); third]);
        move || {
            R::step(black_box(&mut u), black_box(&mut p), black_box(&f));
        }
    });
    let threads = rayon::current_num_threads();
    Rates {
        products,
        loads: read(small, sized(50_000, 10)),
        updates,
        kept: read(KEPT / threads, sized(200, 1)),
        memory: read(sized(100_000_000, 100_000) / threads, 1),
    }
}

/// `operations` of each call on each thread, times calls, a second; the best of five rounds of `repeats` calls.
fn rate<W: FnMut()>(operations: f64, repeats: usize, work: impl Fn() -> W + Sync) -> f64 {
    let seconds = rayon::broadcast(|_| {
        let mut work = work();
        let round = |work: &mut W| {
            let start = Instant::now();
            (0..repeats).for_each(|_| work());
            start.elapsed().as_secs_f64()
        };
        // The first one touches memory and wakes the processor's units.
        round(&mut work);
        (0..5).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
    });
    seconds.iter().map(|seconds| operations * repeats as f64 / seconds).sum()
}

trait Real: ComplexField + Copy + Send + Sync {
    fn of(value: f32) -> Self;
    fn read(values: &[Self]);
    fn step(u: &mut [Self], p: &mut [Self], f: &[Self]);
}

macro_rules! real {
    ($type:ident, $module:ident) => {
        mod $module {
            // Four registers of 64 bytes: enough that no addition waits for the one before. What is left of them is not added
            // up, which would take as long as all that went before.
            pub const LANES: usize = 256 / size_of::<$type>();

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
            pub fn sums(values: &[$type]) -> [$type; LANES] {
                let mut sums = [0.0; LANES];
                for values in values.as_chunks::<LANES>().0 {
                    for r in 0..LANES {
                        sums[r] += values[r];
                    }
                }
                sums
            }

            #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma"))]
            pub fn step(u: &mut [$type], p: &mut [$type], f: &[$type]) {
                for ((u, p), f) in u.iter_mut().zip(p).zip(f) {
                    *p = 0.9 * *p + f;
                    *u += *p;
                }
            }
        }

        impl Real for $type {
            fn of(value: f32) -> Self {
                value.into()
            }

            fn read(values: &[Self]) {
                black_box($module::sums(values));
            }

            fn step(u: &mut [Self], p: &mut [Self], f: &[Self]) {
                $module::step(u, p, f);
            }
        }
    };
}

real!(f32, single);
real!(f64, double);
