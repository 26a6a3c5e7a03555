//! The drift R of a block of neurons (K2): f_T − f_0 is the mean over independent blocks of T·X + R. W5, W6, W7.

use rayon::prelude::*;

use super::NetworkLaw;
use super::geometry::{Geometry, Site};
use crate::error::Result;
use crate::linalg::{Store, dot, multiply_parallel, view};
use crate::problem::finite_nonnegative;

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
    let ([mu3, mu4, ..], g, m) = (law.readout().moments(), geometry.slope.value(), law.width() as f64);
    let step = 1.0 - g;
    let scale = mu3 * time * time / (4.0 * m.sqrt());
    let cubic = mu4 * time.powi(3) / (6.0 * m);
    Ok(per_test_point(geometry, |z, sizes, angles| {
        let (mut frozen, mut correlated) = (0.0, 0.0);
        for ((x, c), angle) in geometry.train.iter().zip(sizes).zip(angles) {
            frozen += c * x.density * x.window();
            // cot 0 = ∞ at a training point; `min` passes over the NaN of 0·∞, where the first member is 0.
            let second = cubic * x.density * x.squares() * cotangent(*angle);
            correlated += c * x.density * (scale * x.window()).min(second);
        }
        scale * step * (0.5 * (1.0 + g) * frozen + z.density * z.squares()) + 0.5 * step * step * correlated
    }))
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
    let ([_, _, mu5, mu6], g, m) = (law.readout().moments(), geometry.slope.value(), law.width() as f64);
    let (step, n) = (1.0 - g, geometry.train.len());
    let single = mu5 * time.powi(3) / (3.0 * m.sqrt());
    let double = mu6 * time.powi(4) / (4.0 * m);
    let rates: Vec<f64> = geometry.train.iter().map(|x| x.density * x.window()).collect();
    let mut pairs = geometry.angles.clone();
    pairs.as_mut_slice().par_chunks_exact_mut(n).zip(&rates).for_each(|(column, rate)| {
        for (entry, other) in column.iter_mut().zip(&rates) {
            let product = rate * other;
            // Division by sin 0 leaves the first member, as in W5.
            *entry = (single * product.sqrt()).min(double * product / entry.sin());
        }
    });
    let sizes = geometry.test_sizes.as_slice();
    let mut products = vec![0.0; sizes.len()];
    let (left, right) = (view(pairs.as_slice(), n, n), view(sizes, n, geometry.test.len()));
    multiply_parallel(&mut products, Store::Replace, 1.0, left, right);
    let columns = sizes.chunks_exact(n).zip(products.chunks_exact(n)).zip(&geometry.test);
    Ok(columns
        .map(|((sizes, products), z)| {
            let sweeping = step * step * 0.5 * (1.0 + g * g) * dot(sizes, products);
            let kink = single * step * step * z.density * (z.up.powi(3) + z.down.powi(3));
            (sweeping.sqrt() + kink.sqrt()).powi(2)
        })
        .collect())
}

//= W7@956c9d66
/// True order of the mean drift, W7: "let z differ from all training points; then
/// |E R(z)| ≤ m^{−1/2} β_self(z) + m^{−1} β_pair(z)", β_self = O(1/N).
///
/// Inputs as [`mean_drift_bound`]. Infinite at training points, where the statement does not hold. Tightness:
/// observed/bound up to .94 (N = 1, m = 25600), .08–.7 else.
///
/// # Errors
/// time < 0, infinite or NaN.
pub fn mean_drift_asymptotic_bound(geometry: &Geometry, law: NetworkLaw, time: f64) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let ([mu3, mu4, ..], g, m) = (law.readout().moments(), geometry.slope.value(), law.width() as f64);
    let step = 1.0 - g;
    let train = &geometry.train;
    let n = train.len();
    let columns = geometry.sizes.as_slice().par_chunks_exact(n).zip(geometry.angles.as_slice().par_chunks_exact(n));
    let spreads: Vec<f64> = columns
        .enumerate()
        .map(|(j, (sizes, angles))| spread(train, sizes, angles, &train[j], Some(j), step))
        .collect();
    let self_scale = mu3 * time * time * step * step * (1.0 + g) / (8.0 * m.sqrt());
    let pair_scale = mu4 * step * time.powi(3) / m;
    let bounds = per_test_point(geometry, |z, sizes, angles| {
        let (mut own, mut others, mut correlated) = (0.0, 0.0, 0.0);
        for (j, ((x, c), angle)) in train.iter().zip(sizes).zip(angles).enumerate() {
            if *c > 0.0 {
                own += c * x.density * geometry.own[j];
                others += c * x.density * spreads[j];
                correlated += c * x.density * x.density * cotangent(*angle) * x.squares();
            }
        }
        let at_test = 1.5 * z.density * z.fastest() * spread(train, sizes, angles, z, None, step);
        self_scale * own + pair_scale * (2.0 * others + step / 3.0 * correlated + at_test)
    });
    // ∞·0 at (nearly) equal points is NaN: no bound.
    let valid = |(bound, on_site): (f64, &bool)| if *on_site || bound.is_nan() { f64::INFINITY } else { bound };
    Ok(bounds.into_iter().zip(&geometry.is_training_point).map(valid).collect())
}

/// D̄ of W7 at a point: 2(1−γ) Σ_l |C_l| p_l (v̄_l + s_l|ρ_l| v̄/s)/sin θ_l, over the training points other than it.
fn spread(train: &[Site], sizes: &[f64], angles: &[f64], at: &Site, skip: Option<usize>, step: f64) -> f64 {
    let terms =
        train.iter().zip(sizes).zip(angles).enumerate().filter(|(l, ((_, c), _))| Some(*l) != skip && **c > 0.0);
    let sum: f64 = terms
        .map(|(_, ((x, c), angle))| {
            c * x.density * (x.fastest() + x.std * angle.cos().abs() / at.std * at.fastest()) / angle.sin()
        })
        .sum();
    2.0 * step * sum
}

/// |cot θ|, ∞ for θ = 0.
fn cotangent(angle: f64) -> f64 {
    angle.tan().abs().recip()
}

/// A value for each test point from its site, its |C_j(z)| and its angles θ_jz.
pub(super) fn per_test_point(geometry: &Geometry, f: impl Fn(&Site, &[f64], &[f64]) -> f64 + Sync) -> Vec<f64> {
    let n = geometry.train.len();
    let sizes = geometry.test_sizes.as_slice().par_chunks_exact(n);
    let angles = geometry.test_angles.as_slice().par_chunks_exact(n);
    geometry.test.par_iter().zip(sizes).zip(angles).map(|((z, sizes), angles)| f(z, sizes, angles)).collect()
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

    /// checks/known_answers.py: slope, readout, b1, self·m^{−1/2} + pair/m, vR at m = 1000, T = 0.2.
    #[test]
    fn known_answers_of_the_reference() {
        for (slope, readout, b1, own, pair, second) in KNOWN {
            let (data, law) = (geometry(slope), NetworkLaw::standard(1000, readout).unwrap());
            // Sums of at most 12 × 12 positive terms with 13 digits printed; angles above 0.1 are accurate to 10⁻¹⁴.
            assert_close(&mean_drift_bound(&data, law, 0.2).unwrap(), &b1, 1e-12);
            assert_close(&drift_second_moment_bound(&data, law, 0.2).unwrap(), &second, 1e-12);
            let asymptotic: Vec<f64> = own.iter().zip(pair).map(|(s, p)| s / 1000_f64.sqrt() + p / 1000.0).collect();
            assert_close(&mean_drift_asymptotic_bound(&data, law, 0.2).unwrap(), &asymptotic, 1e-12);
        }
    }

    #[test]
    fn bounds_on_the_drift_shrink_with_width_and_grow_with_time() {
        let data = geometry(0.1);
        let law = |width| NetworkLaw::standard(width, ReadoutLaw::Gaussian).unwrap();
        for bound in [mean_drift_bound, drift_second_moment_bound, mean_drift_asymptotic_bound] {
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
        for bound in [mean_drift_bound, drift_second_moment_bound, mean_drift_asymptotic_bound] {
            assert_eq!(bound(&doubled, law, 0.3).unwrap(), bound(&geometry(0.0), law, 0.3).unwrap());
        }
    }

    #[test]
    fn at_a_training_point_only_the_first_bound_holds() {
        let (train, _) = reference();
        let data = Geometry::new(&train, Slope::RELU, &train.points().select(&[4])).unwrap();
        let law = NetworkLaw::standard(100, ReadoutLaw::Rademacher).unwrap();
        assert_eq!(mean_drift_asymptotic_bound(&data, law, 0.3).unwrap(), vec![f64::INFINITY]);
        assert!(mean_drift_bound(&data, law, 0.3).unwrap()[0].is_finite());
    }

    type Known = (f64, ReadoutLaw, [f64; 5], [f64; 5], [f64; 5], [f64; 5]);
    const KNOWN: [Known; 4] = [
        (
            0.0,
            ReadoutLaw::Rademacher,
            [3.4686417173122e-04, 3.1947175324515e-04, 3.3900400785421e-04, 3.3029810694135e-04, 3.9945599649807e-04],
            [9.2293103146296e-04, 7.8521863937155e-04, 9.1557686523375e-04, 8.8208035984379e-04, 1.0192857020079e-03],
            [6.7010871711397e-02, 5.9712226862848e-02, 6.0810771114547e-02, 5.8231695569467e-02, 7.6262529762891e-02],
            [9.4187258286451e-05, 1.0702341071013e-04, 8.9464732487303e-05, 9.6297315457139e-05, 1.1765606589675e-04],
        ),
        (
            0.0,
            ReadoutLaw::Gaussian,
            [5.5412212556749e-04, 5.1031723445960e-04, 5.4157624258950e-04, 5.2748295727562e-04, 6.3827796482844e-04],
            [1.4727848413803e-03, 1.2530276584184e-03, 1.4610492899966e-03, 1.4075966010136e-03, 1.6265446493584e-03],
            [2.0103261513419e-01, 1.7913668058854e-01, 1.8243231334364e-01, 1.7469508670840e-01, 2.2878758928867e-01],
            [6.1244400565441e-04, 6.9170648877382e-04, 5.8067206475633e-04, 6.2396285499318e-04, 7.6420860921243e-04],
        ),
        (
            0.3,
            ReadoutLaw::Rademacher,
            [1.7733639669525e-04, 1.9554102850227e-04, 1.7194281669760e-04, 1.8168149690052e-04, 2.0058121268482e-04],
            [5.8790706704190e-04, 5.0018427327968e-04, 5.8322246315390e-04, 5.6188518922049e-04, 6.4928499217901e-04],
            [2.4631879202032e-02, 2.4818364338389e-02, 2.2033666229422e-02, 2.2644864718040e-02, 2.7539911492478e-02],
            [2.4050823865348e-05, 4.1809814868701e-05, 2.1674880242979e-05, 3.0828780473050e-05, 2.8547109928053e-05],
        ),
        (
            0.3,
            ReadoutLaw::Gaussian,
            [2.8314706709206e-04, 3.1222326712992e-04, 2.7453826809316e-04, 2.9004940891413e-04, 3.2030386685601e-04],
            [9.3816394395926e-04, 7.9817861841251e-04, 9.3068839772783e-04, 8.9663903484566e-04, 1.0361089416413e-03],
            [7.3895637606097e-02, 7.4455093015168e-02, 6.6100998688265e-02, 6.7934594154119e-02, 8.2619734477433e-02],
            [1.5597933223044e-04, 2.6921164092083e-04, 1.4039819289214e-04, 1.9906265281562e-04, 1.8503539838671e-04],
        ),
    ];
}
