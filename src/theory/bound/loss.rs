//! Losses that couple the neurons: how far a trained network strays from its kernel flow, L1–L4 of `proofs/losses.md`.
//!
//! All hold for gradient flow against the kernel flow, and for plain descent against the kernel recursion with the
//! same steps.

use nalgebra::DMatrix;

use super::NetworkLaw;
use super::geometry::signed_gram_matrix;
use crate::error::{Error, Result};
use crate::linalg::norm_squared;
use crate::problem::{Points, Slope, TrainingSet, finite_nonnegative};
use crate::theory::{Kernel, cross_gram};

/// The constants of a loss whose force g = −ℓ' satisfies 0 ≤ g ≤ `force_max`, |g(u) − g(v)| ≤ `lipschitz`·|u − v|.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LipschitzLoss {
    /// g_max.
    pub force_max: f64,
    /// L.
    pub lipschitz: f64,
}

impl LipschitzLoss {
    /// ℓ(u) = −u.
    pub const IDENTITY: Self = LipschitzLoss { force_max: 1.0, lipschitz: 0.0 };
    /// ℓ(u) = log(1 + e^{−u}).
    pub const LOGISTIC: Self = LipschitzLoss { force_max: 1.0, lipschitz: 0.25 };
}

/// Bounds on |f − k|, the network's distance from the kernel flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossBound {
    /// At the training points: the largest (L2) or the root mean square (L3) of them.
    pub on_train: f64,
    /// At the test point.
    pub at_test: f64,
}

/// What the bounds need to know of a network's frozen readouts: the means of |α|^q, α = √m a.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadoutMoments {
    width: usize,
    copies: usize,
    /// q = 2, 3, 4, 5.
    means: [f64; 4],
}

impl ReadoutMoments {
    /// Of given readouts a_i. `paired`: neurons 2j and 2j+1 share their hidden weights at initialisation and |a|.
    ///
    /// # Errors
    /// No readout; one that is not finite; pairs of an odd number of neurons, or of different |a|.
    pub fn new(readouts: &[f64], paired: bool) -> Result<Self> {
        if readouts.is_empty() {
            return Err(Error::Empty { name: "readouts".into(), expected: "one neuron" });
        }
        if let Some(row) = readouts.iter().position(|a| !a.is_finite()) {
            return Err(Error::NotFinite { name: "readouts".into(), row, column: 0, value: readouts[row] });
        }
        let width = readouts.len();
        if paired && readouts.chunks(2).any(|pair| pair.len() != 2 || pair[0].abs() != pair[1].abs()) {
            let expected = "pairs of equal absolute value".into();
            return Err(Error::Shape { name: "readouts".into(), found: format!("{width} values"), expected });
        }
        let m = width as f64;
        let mean = |q: i32| readouts.iter().map(|a| (a.abs() * m.sqrt()).powi(q)).sum::<f64>() / m;
        let copies = if paired { width / 2 } else { width };
        Ok(ReadoutMoments { width, copies, means: [2, 3, 4, 5].map(mean) })
    }

    /// Of readouts ±1/√m: all means are 1.
    #[must_use]
    pub fn rademacher(law: NetworkLaw) -> Self {
        ReadoutMoments { width: law.width(), copies: law.copies(), means: [1.0; 4] }
    }
}

//= L1@77eb02f0
/// Kernel drift L1: "given the readouts, P(Δ_T(z) > B(z)) ≤ δ over the hidden weights,
/// B = E₀ + E₁ + κ(z)[(1−γ²) + 2(1−γ)]√(M₄ ln(1/δ)/(2n_c))", Δ_T(z) = sup_t (1/N) Σ_n |K_n(z)||Φ̂_t − Φ|(x_n, z),
/// E₀ = (1/N) Σ |K_n| √(M₄(Φ_{γ²} − Φ²)/n_c + (M₂−1)²Φ²),
/// E₁ = (1−γ) M₃ T g_max m^{−1/2} (1/N) Σ |K_n| (p_n κ(x_n) + p(z) κ(z)).
///
/// Inputs: data, slope, the network's readouts, flow time T (Σ learning rates), g_max, δ for each test point by
/// itself. Any loss with 0 ≤ g ≤ g_max. Tightness: 95% quantile/bound .15–.20 Rademacher, .25–.28 Gaussian
/// (`tests/dynamics.rs`).
///
/// # Errors
/// Test points of another dimension; a time or g_max that is negative or not finite; δ outside (0, 1).
pub fn kernel_drift_bound(
    train: &TrainingSet,
    slope: Slope,
    test: &Points,
    readouts: ReadoutMoments,
    time: f64,
    force_max: f64,
    failure_probability: f64,
) -> Result<Vec<f64>> {
    let reach = finite_nonnegative("time", time)? * finite_nonnegative("largest force", force_max)?;
    let moments = Moments::new(train, slope, test, readouts)?;
    let [_, third, ..] = readouts.means;
    let kappa = |columns: &DMatrix<f64>| -> Vec<f64> { columns.column_iter().map(|c| c.abs().sum()).collect() };
    let on_train = kappa(&signed_gram_matrix(train, train.points())?);
    let rates: Vec<f64> = on_train.iter().zip(train.points().iter()).map(|(k, x)| k * density(x)).collect();
    let step = 1.0 - slope.value();
    let spread = spread(slope, readouts, failure_probability)?;
    let bound = |(z, kappa): (usize, f64)| {
        let (sizes, squares) = (moments.sizes.column(z), moments.squares.column(z));
        let still: f64 = sizes.iter().zip(&squares).map(|(c, v)| c.abs() * v.sqrt()).sum();
        let own = kappa * density(test.point(z));
        let flips: f64 = sizes.iter().zip(&rates).map(|(c, rate)| c.abs() * (rate + own)).sum();
        still + step * third * reach / (readouts.width as f64).sqrt() * flips + kappa * spread
    };
    Ok(kappa(&moments.sizes).into_iter().enumerate().map(bound).collect())
}

//= L4@60fab482
/// Kernel drift in mean square L4: "as long as the root mean square of g_n(t) is at most G: given the readouts,
/// P(Δ₂(z) > B₂(z)) ≤ δ, B₂ as B of L1 with κ₂ for κ, E₀ = ((1/N) Σ K_n² [M₄(Φ_{γ²} − Φ²)/n_c + (M₂−1)²Φ²])^{1/2} and
/// E₁ = (1−γ)((1/N) Σ K_n² [M₃²(r_n + r_z)² + 2M₅(r_n + r_z)/n_c])^{1/2}, r = 2pTGκ₂/√m".
///
/// Inputs: as [`kernel_drift_bound`], with `residual` G. Tightness: 95% quantile/bound .17–.19
/// Rademacher, .24–.27 Gaussian (`tests/dynamics.rs`).
///
/// # Errors
/// As [`kernel_drift_bound`].
pub fn mean_square_drift_bound(
    train: &TrainingSet,
    slope: Slope,
    test: &Points,
    readouts: ReadoutMoments,
    time: f64,
    residual: f64,
    failure_probability: f64,
) -> Result<Vec<f64>> {
    let reach = finite_nonnegative("time", time)? * finite_nonnegative("residual", residual)?;
    let moments = Moments::new(train, slope, test, readouts)?;
    let [_, third, _, fifth] = readouts.means;
    let n = train.count() as f64;
    // (1/N) Σ K_n² = N Σ C_n².
    let kappa = |columns: &DMatrix<f64>| -> Vec<f64> { columns.column_iter().map(|c| n.sqrt() * c.norm()).collect() };
    let on_train = kappa(&signed_gram_matrix(train, train.points())?);
    let scale = 2.0 * reach / (readouts.width as f64).sqrt();
    let rates: Vec<f64> = on_train.iter().zip(train.points().iter()).map(|(k, x)| scale * k * density(x)).collect();
    let copies = readouts.copies as f64;
    let spread = spread(slope, readouts, failure_probability)?;
    let bound = |(z, kappa): (usize, f64)| {
        let (sizes, squares) = (moments.sizes.column(z), moments.squares.column(z));
        let still: f64 = sizes.iter().zip(&squares).map(|(c, v)| n * c * c * v).sum();
        let own = scale * kappa * density(test.point(z));
        let flips = sizes.iter().zip(&rates).map(|(c, rate)| {
            let r = rate + own;
            n * c * c * ((third * r).powi(2) + 2.0 * fifth * r / copies)
        });
        still.sqrt() + (1.0 - slope.value()) * flips.sum::<f64>().sqrt() + kappa * spread
    };
    Ok(kappa(&moments.sizes).into_iter().enumerate().map(bound).collect())
}

/// p(x) = 1/(√(2π) s(x)).
fn density(x: &[f64]) -> f64 {
    1.0 / (2.0 * std::f64::consts::PI * (1.0 + norm_squared(x) / x.len() as f64)).sqrt()
}

/// C_n(z) and E(Φ̂_0 − Φ)²(x_n, z) given the readouts, for all pairs.
struct Moments {
    sizes: DMatrix<f64>,
    squares: DMatrix<f64>,
}

impl Moments {
    fn new(train: &TrainingSet, slope: Slope, test: &Points, readouts: ReadoutMoments) -> Result<Self> {
        let sizes = signed_gram_matrix(train, test)?;
        let [second, _, fourth, _] = readouts.means;
        // φ'² is the derivative of the activation with slope γ².
        let squared_slope = Slope::new(slope.value() * slope.value())?;
        let mut squares = cross_gram(Kernel::DerivativeDual, squared_slope, train.points(), test);
        let duals = cross_gram(Kernel::DerivativeDual, slope, train.points(), test);
        let copies = readouts.copies as f64;
        squares.zip_apply(&duals, |square, dual| {
            *square = fourth * (*square - dual * dual).max(0.0) / copies + ((second - 1.0) * dual).powi(2);
        });
        Ok(Moments { sizes, squares })
    }
}

/// McDiarmid's inequality per unit of κ: [(1−γ²) + 2(1−γ)]√(M₄ ln(1/δ)/(2n_c)).
fn spread(slope: Slope, readouts: ReadoutMoments, failure_probability: f64) -> Result<f64> {
    let delta = failure_probability;
    if !(delta > 0.0 && delta < 1.0) {
        return Err(Error::Scalar { name: "failure probability", value: delta, expected: "a number in (0, 1)" });
    }
    let (g, [_, _, fourth, _]) = (slope.value(), readouts.means);
    Ok(((1.0 - g * g) + 2.0 * (1.0 - g)) * (-fourth * delta.ln() / (2.0 * readouts.copies as f64)).sqrt())
}

//= L2@7e48bf7b
/// Lipschitz losses L2: "max_n |f_T − k_T|(x_n) ≤ g_max Δ_X (e^{cT} − 1)/c and
/// |f_T − k_T|(z) ≤ g_max T Δ_T(z) + g_max Δ_X L (1/N) Σ|Θ(x_n,z)| (e^{cT} − 1 − cT)/c², c = LΘ_*".
///
/// Inputs: `drift_train` Δ_X = max_k Δ_T(x_k), `drift_test` Δ_T(z) (L1), `kernel_train` Θ_* = max_k (1/N) Σ_n
/// |Θ(x_n,x_k)|, `kernel_test` (1/N) Σ_n |Θ(x_n,z)|, flow time T. Tightness: given the drift of the run, observed/bound
/// median .15, largest .51 for logistic loss; with L1 in place of it .01–.05 (`tests/dynamics.rs`). The growth itself is
/// attained.
///
/// # Errors
/// A negative, infinite or NaN argument.
pub fn lipschitz_loss_bound(
    loss: LipschitzLoss,
    drift_train: f64,
    drift_test: f64,
    kernel_train: f64,
    kernel_test: f64,
    time: f64,
) -> Result<LossBound> {
    let force = finite_nonnegative("largest force", loss.force_max)?;
    let lipschitz = finite_nonnegative("Lipschitz constant", loss.lipschitz)?;
    let drift = finite_nonnegative("kernel drift on the training points", drift_train)?;
    let own = finite_nonnegative("kernel drift at the test point", drift_test)?;
    let rate = lipschitz * finite_nonnegative("kernel on the training points", kernel_train)?;
    let row = lipschitz * finite_nonnegative("kernel at the test point", kernel_test)?;
    let time = finite_nonnegative("time", time)?;
    let x = rate * time;
    let first = if x > 0.0 { x.exp_m1() / x } else { 1.0 };
    Ok(LossBound {
        on_train: force * drift * time * first,
        at_test: force * (time * own + drift * row * time * time * second_growth(x)),
    })
}

/// (eˣ − 1 − x)/x², ½ at x = 0.
fn second_growth(x: f64) -> f64 {
    if x > 0.5 {
        return (x.exp_m1() - x) / (x * x);
    }
    // Σ x^k/(k+2)!: the rest after fourteen terms is below 10⁻¹⁷.
    (3..16).rev().fold(1.0, |sum, k| 1.0 + x / f64::from(k) * sum) / 2.0
}

//= L3@64fc0fd9
/// Squared loss L3: "((1/N) Σ (f_T − k_T)(x_n)²)^{1/2} ≤ G T Δ̄₂ and
/// |f_T − k_T|(z) ≤ G T Δ₂(z) + ((1/N) Σ Θ(x_n,z)²)^{1/2} G (T²/2) Δ̄₂".
///
/// Inputs: `residual` G, a bound on the root mean square of 1 − y_n f_t(x_n) up to T (its start for flow; for descent
/// the largest of the run, or G_0 e^{Δ̄₂T}), `drift_train` Δ̄₂ = ((1/N) Σ_k Δ₂(x_k)²)^{1/2}, `drift_test` Δ₂(z) (L4),
/// `kernel_test` ((1/N) Σ Θ(x_n,z)²)^{1/2}, flow time T. Descent needs steps η Θ_* ≤ 2. Tightness: given the drift of
/// the run, observed/bound median .18, largest .39; with L4 in place of it .01–.04 (`tests/dynamics.rs`).
///
/// # Errors
/// A negative, infinite or NaN argument.
pub fn squared_loss_bound(
    residual: f64,
    drift_train: f64,
    drift_test: f64,
    kernel_test: f64,
    time: f64,
) -> Result<LossBound> {
    let reach = finite_nonnegative("residual", residual)? * finite_nonnegative("time", time)?;
    let drift = finite_nonnegative("kernel drift on the training points", drift_train)?;
    let own = finite_nonnegative("kernel drift at the test point", drift_test)?;
    let row = finite_nonnegative("kernel at the test point", kernel_test)?;
    Ok(LossBound { on_train: reach * drift, at_test: reach * (own + 0.5 * time * row * drift) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::bound::ReadoutLaw;
    use crate::theory::bound::tests::reference;

    /// E' = g_max Δ + cE and the integral of L·row·E, in a hundred thousand steps: descent stays below the bound and
    /// comes close to it.
    #[test]
    fn the_growth_is_that_of_the_recursion() {
        for (lipschitz, kernel, time) in [(0.25, 3.0, 2.0), (0.25, 0.1, 0.3), (1.0, 2.0, 4.0)] {
            let loss = LipschitzLoss { force_max: 0.8, lipschitz };
            let bound = lipschitz_loss_bound(loss, 0.5, 0.2, kernel, 1.5, time).unwrap();
            let (mut on_train, mut at_test) = (0.0, 0.0);
            let steps = 100_000;
            let step = time / f64::from(steps);
            for _ in 0..steps {
                at_test += step * (0.8 * 0.2 + lipschitz * 1.5 * on_train);
                on_train += step * (0.8 * 0.5 + lipschitz * kernel * on_train);
            }
            // Explicit steps stay below; they miss a share of about cη/2·cT < 10⁻³ here. Their sum's rounding is 10⁵ ε.
            for (sum, bound) in [(on_train, bound.on_train), (at_test, bound.at_test)] {
                assert!(sum <= bound * (1.0 + 1e-10) && sum >= bound * (1.0 - 1e-3), "{sum} {bound}");
            }
        }
    }

    #[test]
    fn growth_factors_join_and_have_their_limits() {
        assert_eq!(second_growth(0.0), 0.5);
        let direct = (0.5_f64.exp_m1() - 0.5) / 0.25;
        assert!((second_growth(0.5) - direct).abs() < 1e-15);
        let bound = lipschitz_loss_bound(LipschitzLoss::IDENTITY, 0.5, 0.2, 9.0, 9.0, 3.0).unwrap();
        assert!((bound.on_train - 1.5).abs() < 1e-15 && (bound.at_test - 0.6).abs() < 1e-15, "{bound:?}");
    }

    #[test]
    fn squared_loss_by_hand_and_bad_input() {
        let bound = squared_loss_bound(2.0, 0.5, 0.25, 3.0, 4.0).unwrap();
        // 2·4·½ = 4; 8·(¼ + ½·4·3·½).
        assert_eq!(bound, LossBound { on_train: 4.0, at_test: 26.0 });
        assert!(squared_loss_bound(-2.0, 0.5, 0.25, 3.0, 4.0).is_err());
        assert!(lipschitz_loss_bound(LipschitzLoss::LOGISTIC, f64::NAN, 0.0, 0.0, 0.0, 1.0).is_err());
    }

    /// One training point x = 0, one test point z = 0, d = 1: K = 1, Φ = ½, Φ_{γ²} = ½ for γ = 0, κ = 1, p = 1/√(2π).
    #[test]
    fn drifts_of_one_point_by_hand() {
        let origin = Points::from_rows("x", 1, 1, vec![0.0]).unwrap();
        let train = TrainingSet::new(origin.clone(), vec![1.0]).unwrap();
        let law = NetworkLaw::standard(100, ReadoutLaw::Rademacher).unwrap();
        let readouts = ReadoutMoments::rademacher(law);
        let p = 1.0 / (2.0 * std::f64::consts::PI).sqrt();
        let spread = 3.0 * ((20.0_f64).ln() / 200.0).sqrt();
        let drift = kernel_drift_bound(&train, Slope::RELU, &origin, readouts, 0.5, 1.0, 0.05).unwrap()[0];
        assert!((drift - (0.05 + 0.05 * 2.0 * p + spread)).abs() < 1e-14, "{drift}");
        let square = mean_square_drift_bound(&train, Slope::RELU, &origin, readouts, 0.5, 1.0, 0.05).unwrap()[0];
        // r = 2·½·p/10 at x and z alike: their sum.
        let r = 0.2 * p;
        assert!((square - (0.05 + (r * r + 2.0 * r / 100.0).sqrt() + spread)).abs() < 1e-14, "{square}");
        // Two pairs with α² = 1 and 3: M₂ = 2, M₄ = 5, two copies: E₀ = √(5/4/2 + ¼), spread 3√(5 ln 2/4).
        let a = [0.5, -0.5, 0.75_f64.sqrt(), -0.75_f64.sqrt()];
        let pairs = ReadoutMoments::new(&a, true).unwrap();
        let drift = kernel_drift_bound(&train, Slope::RELU, &origin, pairs, 0.0, 1.0, 0.5).unwrap()[0];
        let expected = 0.875_f64.sqrt() + 3.0 * (1.25 * 2.0_f64.ln()).sqrt();
        assert!((drift - expected).abs() < 1e-14, "{drift} {expected}");
    }

    #[test]
    fn drifts_shrink_with_width_and_bad_input_is_named() {
        let (train, test) = reference();
        let law = |width| NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher).unwrap();
        let readouts = |width| ReadoutMoments::rademacher(law(width));
        for bound in [kernel_drift_bound, mean_square_drift_bound] {
            let at = |width| bound(&train, Slope::RELU, &test, readouts(width), 1.0, 1.0, 0.01).unwrap();
            assert!(at(400).iter().zip(at(100)).all(|(wide, narrow)| *wide < narrow));
            assert!(bound(&train, Slope::RELU, &test, readouts(2), -1.0, 1.0, 0.01).is_err());
            assert!(bound(&train, Slope::RELU, &test, readouts(2), 1.0, 1.0, 1.0).is_err());
        }
        assert!(ReadoutMoments::new(&[], false).is_err() && ReadoutMoments::new(&[f64::NAN], false).is_err());
        assert!(ReadoutMoments::new(&[1.0, 0.5], true).is_err() && ReadoutMoments::new(&[1.0], true).is_err());
    }
}
