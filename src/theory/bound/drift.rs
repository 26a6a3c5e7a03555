//! The drift R of a block of neurons (K2): f_T − f_0 is the mean over independent blocks of T·X + R. W5, W6, W7, W17.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::NetworkLaw;
use super::geometry::{Geometry, Site};
use crate::error::Result;
use crate::linalg::{Store, dot, multiply_parallel, view};
use crate::problem::{finite_nonnegative, finite_positive};

//= W5@0326e76b
/// First bound W5 on the mean drift: "for every m, T, z: |E R(z)| ≤ β₁(z)", of order m^{−1/2}.
///
/// Inputs: prepared data, the network's law (only width and readout enter), flow time T. Returns β₁ per test point, in
/// units of the function. Tightness: observed/bound .02–.72 on small data, smallest for large N, where the mean cancels.
///
/// # Errors
/// time < 0, infinite or NaN.
pub fn mean_drift_bound(geometry: &Geometry, law: NetworkLaw, time: f64) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let (outer, inner) = mean_scales(law);
    let never: Vec<f64> = vec![f64::INFINITY; geometry.train.len()];
    Ok(mean_drift(geometry, time, outer, inner, &never, |_, _| f64::INFINITY))
}

//= W7@6699cfd1
/// The mean drift by comparing the two signs of the readout, W7: what a neuron gains where it crosses a boundary upwards its
/// opposite loses where it crosses downwards, up to what other samples do meanwhile and up to the sample's own force. Of
/// order m^{−1/2}/N + m^{−1}, and never above W5.
///
/// Inputs and units: as [`mean_drift_bound`]. Tightness: observed/bound up to .94 (N = 1, m = 25600); on images at T = 0.3 a
/// half to a quarter of W5 for m = 2·10³ to 10⁴.
///
/// # Errors
/// time < 0, infinite or NaN.
pub fn mean_drift_comparison_bound(geometry: &Geometry, law: NetworkLaw, time: f64) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let (outer, inner) = mean_scales(law);
    Ok(compared_mean_drift(geometry, time, outer, inner))
}

/// μ₃/√m, and μ₄/(μ₃√m): the mean of |a| under the density of |α| weighted with |α|³, in which concave terms are taken.
fn mean_scales(law: NetworkLaw) -> (f64, f64) {
    let ([mu3, mu4, ..], root) = (law.readout().moments(), (law.width() as f64).sqrt());
    (mu3 / root, mu4 / (mu3 * root))
}

/// W7; the mean drift *given* |α|, divided by ω, for `outer` = `inner` = |α|/√m.
pub(super) fn compared_mean_drift(geometry: &Geometry, time: f64, outer: f64, inner: f64) -> Vec<f64> {
    let (reach, n) = (geometry.reach(), geometry.train.len());
    let y = inner * time;
    let columns = geometry.sizes.as_slice().par_chunks_exact(n).zip(reach.train.as_slice().par_chunks_exact(n));
    let effects: Vec<f64> = columns
        .zip(&geometry.own)
        // 4/3: the mean over the training time, with its weight t.
        .map(|((sizes, rates), own)| {
            changes(geometry, sizes, rates, 4.0 / 3.0 * y) + (1.0 - geometry.slope.value()) * own
        })
        .collect();
    mean_drift(geometry, time, outer, inner, &effects, |z, sizes| kink_bound(geometry, z, sizes, y))
}

/// (1−γ) Σ_l |C_l| min(1, reach·rate_l): D* of W7.
pub(super) fn changes(geometry: &Geometry, sizes: &[f64], rates: &[f64], reach: f64) -> f64 {
    let near = |(c, rate): (&f64, &f64)| if *c > 0.0 { c * (reach * rate).min(1.0) } else { 0.0 };
    (1.0 - geometry.slope.value()) * sizes.iter().zip(rates).map(near).sum::<f64>()
}

/// 2v̄D'_z of W7; infinite at a training point, whose own force is not in D'.
pub(super) fn kink_bound(geometry: &Geometry, z: usize, sizes: &[f64], y: f64) -> f64 {
    if geometry.twin[z].is_some() {
        return f64::INFINITY;
    }
    let rates = &geometry.reach().throughout.as_slice()[z * sizes.len()..][..sizes.len()];
    2.0 * geometry.test[z].fastest() * changes(geometry, sizes, rates, 2.0 * y)
}

/// outer·(1−γ)T²/4·(Σ_j |C_j| min(A_j, B_j) + p·min(v↑² + v↓², at_test)) with A_j of W5 and B_j of W7 for the given effects of
/// other samples and of the sample itself.
fn mean_drift(
    geometry: &Geometry,
    time: f64,
    outer: f64,
    inner: f64,
    effects: &[f64],
    at_test: impl Fn(usize, &[f64]) -> f64 + Sync,
) -> Vec<f64> {
    let g = geometry.slope.value();
    let (step, half) = (1.0 - g, 0.5 * (1.0 + g));
    let scale = outer * step * time * time / 4.0;
    per_test_point(geometry, |index, z, sizes, angles| {
        let mut sum = 0.0;
        for (j, ((x, c), angle)) in geometry.train.iter().zip(sizes).zip(angles).enumerate() {
            // cot 0 = ∞ at a training point; `min` passes over the NaN of 0·∞, where the first member is 0.
            let tilt = x.window().min(2.0 / 3.0 * inner * time * x.density * x.squares() * cotangent(*angle));
            let first = half * x.window() + 0.5 * step * tilt;
            // At a copy of z itself (angle 0) the comparison does not hold.
            let second = if *angle == 0.0 { f64::INFINITY } else { half * effects[j] + step * tilt };
            sum += c * x.density * first.min(second);
        }
        scale * (sum + z.density * z.squares().min(at_test(index, sizes)))
    })
}

//= W6@4922f30b
/// Bound W6 on the drift's second moment: "E R(z)² ≤ v_R(z) = (√v_P + √v_Q)²", of order m^{−1/2}.
///
/// Inputs and tightness: as [`mean_drift_bound`]; observed/bound .03–.31 on small data. Cost: one N × N by N × M product.
///
/// # Errors
/// time < 0, infinite or NaN.
pub fn drift_second_moment_bound(geometry: &Geometry, law: NetworkLaw, time: f64) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let [_, _, mu5, mu6] = law.readout().moments();
    let sweeping = swept(geometry, law.width(), time, |single, double| (mu5 * single).min(mu6 * double));
    let kinks = kink_second_moments(geometry, law.width(), time);
    Ok(sweeping.iter().zip(kinks).map(|(p, q)| (p.sqrt() + (mu5 * q).sqrt()).powi(2)).collect())
}

/// The parts of v_R given |α|, per test point: v_P = p₁|α| + p₂α² and v_Q = q₁|α| with [p₁, p₂, q₁]; the minima of W6 go
/// to the members that are smaller for |α| = 1.
pub(super) fn second_moment_parts(geometry: &Geometry, width: usize, time: f64) -> Vec<[f64; 3]> {
    let singles = swept(geometry, width, time, |single, double| if double < single { 0.0 } else { single });
    let doubles = swept(geometry, width, time, |single, double| if double < single { double } else { 0.0 });
    let kinks = kink_second_moments(geometry, width, time);
    singles.into_iter().zip(doubles).zip(kinks).map(|((p1, p2), q1)| [p1, p2, q1]).collect()
}

/// (1−γ)²(1+γ²)/2 Σ_{jl} |C_jC_l| choose(T³√(p_jλ_jp_lλ_l)/3√m, T⁴p_jλ_jp_lλ_l/(4m sin θ_jl)) per test point.
fn swept(geometry: &Geometry, width: usize, time: f64, choose: impl Fn(f64, f64) -> f64 + Sync) -> Vec<f64> {
    let (g, m, n) = (geometry.slope.value(), width as f64, geometry.train.len());
    let single = time.powi(3) / (3.0 * m.sqrt());
    let double = time.powi(4) / (4.0 * m);
    let rates: Vec<f64> = geometry.train.iter().map(|x| x.density * x.window()).collect();
    let mut pairs = geometry.angles.clone();
    pairs.as_mut_slice().par_chunks_exact_mut(n).zip(&rates).for_each(|(column, rate)| {
        for (entry, other) in column.iter_mut().zip(&rates) {
            let product = rate * other;
            // Division by sin 0 is ∞, or the NaN of 0/0: neither is chosen.
            *entry = choose(single * product.sqrt(), double * product / entry.sin());
        }
    });
    let scale = (1.0 - g).powi(2) * 0.5 * (1.0 + g * g);
    quadratic_forms(&pairs, &geometry.test_sizes).into_iter().map(|form| scale * form).collect()
}

/// c^⊤ M c for each column c.
pub(super) fn quadratic_forms(matrix: &DMatrix<f64>, columns: &DMatrix<f64>) -> Vec<f64> {
    let (n, count) = columns.shape();
    let mut products = vec![0.0; n * count];
    let (left, right) = (view(matrix.as_slice(), n, n), view(columns.as_slice(), n, count));
    multiply_parallel(&mut products, Store::Replace, 1.0, left, right);
    columns.as_slice().chunks_exact(n).zip(products.chunks_exact(n)).map(|(c, p)| dot(c, p)).collect()
}

/// v_Q/μ₅ of W6.
fn kink_second_moments(geometry: &Geometry, width: usize, time: f64) -> Vec<f64> {
    let scale = (1.0 - geometry.slope.value()).powi(2) * time.powi(3) / (3.0 * (width as f64).sqrt());
    geometry.test.iter().map(|z| scale * z.density * (z.up.powi(3) + z.down.powi(3))).collect()
}

//= W17@94cceb56
/// Second moment of a trained block, W17: "given q = |a|, averaged over the sign of a: E Y² ≤ T² E B² + Δ" for
/// Y = ∫₀ᵀ φ'(u_z)V(z) dt, the block without its ω. Per test point.
///
/// Inputs: prepared data, |a|, flow time T. Tightness: observed/bound .9 and more on small data (`tests/width.rs`), where T²E B²
/// is most of it; on images at T = 0.3, m = 2000, Δ is half of it.
///
/// # Errors
/// |a| ≤ 0 or time < 0, infinite or NaN.
pub fn block_second_moment_bound(geometry: &Geometry, readout_abs: f64, time: f64) -> Result<Vec<f64>> {
    let growth =
        block_growth(geometry, finite_positive("absolute readout", readout_abs)?, finite_nonnegative("time", time)?);
    let initial = geometry.variance().iter().zip(geometry.limit()).map(|(variance, mean)| variance + mean * mean);
    Ok(growth.into_iter().zip(initial).map(|(growth, square)| time * time * square + growth).collect())
}

/// Δ of W17 given |a| = `readout_abs` per test point.
pub(super) fn block_growth(geometry: &Geometry, readout_abs: f64, time: f64) -> Vec<f64> {
    let g = geometry.slope.value();
    let (scale, mean_square) = (readout_abs * time.powi(3), 0.5 * (1.0 + g * g));
    per_test_point(geometry, |_, z, sizes, _| {
        let flips: f64 = geometry.train.iter().zip(sizes).map(|(x, c)| c * x.density * x.window()).sum();
        let (fast, at_test) = (z.fastest(), 0.25 * (1.0 - g * g) * z.density * z.window());
        scale * (fast * mean_square * (1.0 - g) * flips + at_test * fast * fast)
    })
}

/// |cot θ|, ∞ for θ = 0.
fn cotangent(angle: f64) -> f64 {
    angle.tan().abs().recip()
}

/// A value for each test point from its site, its |C_j(z)| and its angles θ_jz.
pub(super) fn per_test_point<V: Send>(
    geometry: &Geometry,
    f: impl Fn(usize, &Site, &[f64], &[f64]) -> V + Sync,
) -> Vec<V> {
    let n = geometry.train.len();
    let sizes = geometry.test_sizes.as_slice().par_chunks_exact(n);
    let angles = geometry.test_angles.as_slice().par_chunks_exact(n);
    let sites = geometry.test.par_iter().enumerate().zip(sizes).zip(angles);
    sites.map(|(((index, z), sizes), angles)| f(index, z, sizes, angles)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Slope;
    use crate::theory::bound::ReadoutLaw;
    use crate::theory::bound::tests::{assert_close, reference};

    fn geometry(slope: f64) -> Geometry {
        let (train, test) = reference();
        Geometry::new(&train, Slope::new(slope).unwrap(), &test).unwrap()
    }

    /// checks/known_answers.py: slope, readout, b1, bias, vR at m = 1000, T = 0.2.
    #[test]
    fn known_answers_of_the_reference() {
        for (slope, readout, first, compared, second) in KNOWN {
            let (data, law) = (geometry(slope), NetworkLaw::standard(1000, readout).unwrap());
            // Sums of at most 12 × 12 positive terms with 13 digits printed; angles above 0.1 are accurate to 10⁻¹⁴.
            assert_close(&mean_drift_bound(&data, law, 0.2).unwrap(), &first, 1e-12);
            assert_close(&drift_second_moment_bound(&data, law, 0.2).unwrap(), &second, 1e-12);
            // The relative velocity W is the length of a difference that cancels a digit or two.
            assert_close(&mean_drift_comparison_bound(&data, law, 0.2).unwrap(), &compared, 1e-10);
        }
    }

    #[test]
    fn bounds_on_the_drift_shrink_with_width_and_grow_with_time() {
        let data = geometry(0.1);
        let law = |width| NetworkLaw::standard(width, ReadoutLaw::Gaussian).unwrap();
        for bound in [mean_drift_bound, drift_second_moment_bound, mean_drift_comparison_bound] {
            let (base, wide) = (bound(&data, law(100), 0.3).unwrap(), bound(&data, law(101), 0.3).unwrap());
            let late = bound(&data, law(100), 0.31).unwrap();
            for z in 0..base.len() {
                assert!(wide[z] < base[z] && base[z] < late[z], "{z}: {base:?} {wide:?} {late:?}");
            }
            assert!(bound(&data, law(100), 0.0).unwrap().iter().all(|b| *b == 0.0));
            assert!(bound(&data, law(100), -1.0).is_err());
        }
    }

    #[test]
    fn repeated_points_count_as_one_stronger_point() {
        // The same data twice: C, N and the ranges are the same, and so are all the bounds.
        let (train, test) = reference();
        let twice: Vec<usize> = (0..12).chain(0..12).collect();
        let labels = twice.iter().map(|n| train.labels()[*n]).collect();
        let doubled = crate::problem::TrainingSet::new(train.points().select(&twice), labels).unwrap();
        let doubled = Geometry::new(&doubled, Slope::RELU, &test).unwrap();
        let law = NetworkLaw::standard(100, ReadoutLaw::Rademacher).unwrap();
        for bound in [mean_drift_bound, drift_second_moment_bound, mean_drift_comparison_bound] {
            assert_eq!(bound(&doubled, law, 0.3).unwrap(), bound(&geometry(0.0), law, 0.3).unwrap());
        }
    }

    #[test]
    fn at_a_training_point_its_own_crossings_are_not_compared() {
        let (train, _) = reference();
        let data = Geometry::new(&train, Slope::RELU, &train.points().select(&[4])).unwrap();
        let law = NetworkLaw::standard(1 << 30, ReadoutLaw::Rademacher).unwrap();
        let first = mean_drift_bound(&data, law, 0.3).unwrap()[0];
        let compared = mean_drift_comparison_bound(&data, law, 0.3).unwrap()[0];
        // Of the first bound there remain the kink and the point's own share.
        let (z, x) = (&data.test[0], &data.train[4]);
        let kept = 0.25 * 0.09 / 32768.0 * (data.own[4] * x.density * x.window() + z.density * z.squares());
        assert!(compared < 0.7 * first && compared > kept, "{compared:e} of {first:e}, kept {kept:e}");
    }

    type Known = (f64, ReadoutLaw, [f64; 5], [f64; 5], [f64; 5]);
    const KNOWN: [Known; 4] = [
        (
            0.0,
            ReadoutLaw::Rademacher,
            [3.4686417173122e-04, 3.1947175324515e-04, 3.3900400785421e-04, 3.3029810694135e-04, 3.9945599649807e-04],
            [3.5053333601637e-05, 3.0697093688987e-05, 3.4478066599089e-05, 3.2870583176593e-05, 3.9597135645550e-05],
            [9.4187258286451e-05, 1.0702341071013e-04, 8.9464732487303e-05, 9.6297315457139e-05, 1.1765606589675e-04],
        ),
        (
            0.0,
            ReadoutLaw::Gaussian,
            [5.5412212556749e-04, 5.1031723445960e-04, 5.4157624258950e-04, 5.2748295727562e-04, 6.3827796482844e-04],
            [6.4176621346083e-05, 5.7223113935882e-05, 6.2777387086007e-05, 5.9442371896702e-05, 7.3529332872317e-05],
            [6.1244400565441e-04, 6.9170648877382e-04, 5.8067206475633e-04, 6.2396285499318e-04, 7.6420860921243e-04],
        ),
        (
            0.3,
            ReadoutLaw::Rademacher,
            [1.7733639669525e-04, 1.9554102850227e-04, 1.7194281669760e-04, 1.8168149690052e-04, 2.0058121268482e-04],
            [2.0602228908729e-05, 1.8281825880483e-05, 2.0281220117212e-05, 1.9705948250741e-05, 2.2964328623325e-05],
            [2.4050823865348e-05, 4.1809814868701e-05, 2.1674880242979e-05, 3.0828780473050e-05, 2.8547109928053e-05],
        ),
        (
            0.3,
            ReadoutLaw::Gaussian,
            [2.8314706709206e-04, 3.1222326712992e-04, 2.7453826809316e-04, 2.9004940891413e-04, 3.2030386685601e-04],
            [3.5700274010915e-05, 3.2634455178951e-05, 3.4945270654562e-05, 3.4166951199954e-05, 4.0061044690996e-05],
            [1.5597933223044e-04, 2.6921164092083e-04, 1.4039819289214e-04, 1.9906265281562e-04, 1.8503539838671e-04],
        ),
    ];
}
