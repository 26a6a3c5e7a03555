//! How far the input gradients of a trained network are from their limits in fixed directions: P7.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::error::log_share;
use super::geometry::velocity_range;
use super::gradient::GradientGeometry;
use super::gradient_moments::{crossing_constant, crossing_share};
use super::tail::bernstein;
use super::{NetworkLaw, ReadoutLaw};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::finite_positive;

/// E|g|^k ≤ (k!/2)·0.54^{k−2} for a standard normal g and k ≥ 2.
pub(super) const NORMAL_SCALE: f64 = 0.54;

/// Which derivative φ'(0) a gradient takes for a neuron that slides along the boundary of a training point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlidingDerivative {
    /// The value between γ and 1 with which the flow keeps it there, as this crate's exact flow does.
    OfFlow,
    /// 1: costs a deviation that does not vanish with width, O(1/N) for distinct points (P3).
    One,
}

/// A network's law and flow time T, prepared for the bounds on D_n = (∇f_T(x_n) − ∇f_0(x_n))/T at the training points.
#[derive(Debug)]
pub struct TrainedGradient<'a> {
    pub(super) geometry: &'a GradientGeometry,
    pub(super) law: NetworkLaw,
    pub(super) time: f64,
    /// h = T/√m: how far a pre-activation moves at unit velocity.
    pub(super) reach: f64,
    /// p λ and p v̄ of the points.
    pub(super) rates: Vec<f64>,
    pub(super) swept: Vec<f64>,
    /// The two parts of μ_n(e) that are multiples of ‖e‖ and of |⟨x_n,e⟩|.
    pub(super) across: Vec<f64>,
    pub(super) along: Vec<f64>,
    /// P_jk of P7.
    pub(super) pairs: DMatrix<f64>,
}

impl<'a> TrainedGradient<'a> {
    /// Prepares the bounds: one pass over the pairs of training points.
    ///
    /// # Errors
    /// A law other than antisymmetric with Rademacher readouts; time ≤ 0, infinite or NaN.
    pub fn new(geometry: &'a GradientGeometry, law: NetworkLaw, time: f64, sliding: SlidingDerivative) -> Result<Self> {
        let time = finite_positive("time", time)?;
        if law.readout() != ReadoutLaw::Rademacher || !law.starts_at_zero() {
            let found = if law.starts_at_zero() { "Gaussian readouts" } else { "unpaired readouts" };
            let (what, expected) = ("the bound on gradients", "antisymmetric pairs of Rademacher readouts");
            return Err(Error::NotCovered { what, found, expected });
        }
        let reach = time / (law.width() as f64).sqrt();
        let sites = &geometry.sites;
        let rates: Vec<f64> = sites.iter().map(|x| x.density * x.window()).collect();
        let pairs = geometry.pairwise(&rates, reach / 3.0, 0.25 * reach * reach);
        let mut trained = TrainedGradient {
            geometry,
            law,
            time,
            reach,
            swept: sites.iter().map(|x| x.density * x.fastest()).collect(),
            rates,
            across: Vec::new(),
            along: Vec::new(),
            pairs,
        };
        let columns = 0..sites.len();
        trained.across = columns.clone().into_par_iter().map(|n| trained.across(n, sliding)).collect();
        trained.along = columns.map(|n| trained.along(n)).collect();
        Ok(trained)
    }

    /// 1 − γ.
    pub(super) fn step(&self) -> f64 {
        1.0 - self.geometry.slope.value()
    }

    fn root_dim(&self) -> f64 {
        (self.geometry.input_dim as f64).sqrt()
    }

    /// √(2/π)(1−γ) p_n [3/2 D̂_n + h² v̄³/(6s²) + ½(1−γ) |S_n|]/√d, S_n of all copies of x_n together; D̂_n alone where it is 0.
    fn across(&self, n: usize, sliding: SlidingDerivative) -> f64 {
        let (sites, step) = (&self.geometry.sites, self.step());
        let x = &sites[n];
        let m = sites.len();
        let (sizes, angles) =
            (&self.geometry.sizes.as_slice()[n * m..][..m], &self.geometry.angles.as_slice()[n * m..][..m]);
        let others = sites.iter().zip(sizes).zip(angles).enumerate().filter(|(l, _)| *l != n);
        let crossed: f64 = others
            .map(|(_, ((other, size), angle))| {
                let slab = self.reach * (other.fastest() + other.std * angle.cos().abs() / x.std * x.fastest());
                size * crossing_share(slab, other.std * angle.sin(), ReadoutLaw::Rademacher)
            })
            .sum();
        let own = match sliding {
            SlidingDerivative::OfFlow => 0.0,
            SlidingDerivative::One => 0.5 * step * self.geometry.own[n],
        };
        let curved = self.reach.powi(2) * x.fastest().powi(3) / (6.0 * x.std * x.std);
        mean_normal() * step * x.density * (crossing_constant(self.geometry.own[n]) * step * crossed + curved + own)
            / self.root_dim()
    }

    /// (1−γ) h p (v↑² + v↓²)/(2 d s²).
    fn along(&self, n: usize) -> f64 {
        let x = &self.geometry.sites[n];
        self.step() * self.reach * x.density * x.squares() / (2.0 * self.geometry.input_dim as f64 * x.std * x.std)
    }

    /// What each column of a d × k matrix of directions contributes.
    fn functionals(&self, directions: &DMatrix<f64>) -> Vec<Functional> {
        let m = self.geometry.sites.len();
        let inner = self.geometry.inner_products(directions);
        let mut velocities = inner.clone();
        for column in velocities.as_mut_slice().chunks_exact_mut(m) {
            column.iter_mut().zip(&self.geometry.shares).for_each(|(c, share)| *c *= share);
        }
        let sizes = velocities.abs();
        let squares = product(&self.geometry.duals, &velocities);
        let drifts = product(&self.pairs, &sizes);
        (0..directions.ncols())
            .into_par_iter()
            .map(|j| {
                let column = |matrix: &'_ DMatrix<f64>| matrix.as_slice()[j * m..][..m].to_vec();
                let (velocities, sizes) = (column(&velocities), column(&sizes));
                let (low, high) = velocity_range(&velocities, self.geometry.slope);
                let largest = low.abs().max(high.abs());
                let initial = dot(&velocities, &column(&squares)).max(0.0).sqrt();
                let drift = dot(&sizes, &column(&drifts)).sqrt();
                Functional {
                    norm: norm_squared(&directions.as_slice()[j * directions.nrows()..][..directions.nrows()]).sqrt(),
                    inner: column(&inner),
                    span: high.max(0.0) + (-low).max(0.0),
                    largest,
                    second_moment: (initial + self.step() * drift).powi(2).min(largest * largest),
                    sweep: dot(&sizes, &self.rates),
                }
            })
            .collect()
    }

    /// μ_n(e) of P7.
    fn mean(&self, n: usize, e: &Functional) -> f64 {
        let moving = self.step() * self.reach * (0.5 * self.rates[n] * e.span + 0.25 * e.sweep);
        moving + self.across[n] * e.norm + self.along[n] * e.inner[n].abs()
    }

    /// (1−γ)√m ‖e‖/(2T√d): the scale of a flipped neuron's contribution.
    fn flip_scale(&self, norm: f64) -> f64 {
        self.step() * norm / (2.0 * self.reach * self.root_dim())
    }

    /// The tail of P7 for c̄ = `weight` and (1/N²) Σ c_n c_k Π_nk = `flips`.
    fn tail(&self, e: &Functional, weight: f64, flips: f64, t: f64) -> f64 {
        let (per_copy, scale) = (t / self.law.copies() as f64, self.flip_scale(e.norm));
        bernstein(weight * weight * e.second_moment, weight * e.largest / 3.0, per_copy)
            + bernstein(scale * scale * flips, NORMAL_SCALE * weight * scale, per_copy)
    }

    /// P7 for a single point, t given.
    fn at_point(&self, n: usize, e: &Functional, t: f64) -> f64 {
        self.mean(n, e) + self.tail(e, 1.0, 2.0 * self.reach * self.swept[n], t)
    }

    /// P7 for each point (row) and each direction (column), t given.
    pub(super) fn at_points(&self, directions: &DMatrix<f64>, t: f64) -> DMatrix<f64> {
        let functionals = self.functionals(directions);
        self.geometry.spread_rows(functionals.len(), |n, j| self.at_point(n, &functionals[j], t))
    }

    /// P7 for the point's own limit direction q_n: a bound on |⟨q_n, D_n − d_n⟩|, t given.
    pub(super) fn along_limit(&self, t: f64) -> Vec<f64> {
        let functionals = self.functionals(&self.geometry.unit_gradients());
        let bounds: Vec<f64> = functionals.iter().enumerate().map(|(n, e)| self.at_point(n, e, t)).collect();
        self.geometry.spread(&bounds)
    }

    /// P7, t given.
    pub(super) fn averaged(&self, directions: &DMatrix<f64>, weights: &DMatrix<f64>, t: f64) -> Vec<f64> {
        let (sites, count) = (self.geometry.sites.len(), self.geometry.count() as f64);
        let functionals = self.functionals(directions);
        let weights = self.geometry.merge_rows(weights);
        let both = self.geometry.pairwise(&self.swept, 2.0 * self.reach, 4.0 * self.reach * self.reach);
        let products = product(&both, &weights);
        let columns = weights.as_slice().chunks_exact(sites).zip(products.as_slice().chunks_exact(sites));
        let bound = |(e, (weights, products)): (&Functional, (&[f64], &[f64]))| {
            let weight = weights.iter().sum::<f64>() / count;
            let mean = weights.iter().enumerate().map(|(n, c)| c * self.mean(n, e)).sum::<f64>() / count;
            mean + self.tail(e, weight, dot(weights, products) / (count * count), t)
        };
        functionals.iter().zip(columns).map(bound).collect()
    }
}

/// A direction e, and what P7 needs of it.
struct Functional {
    /// ‖e‖.
    norm: f64,
    /// ⟨x_n,e⟩ of the merged points.
    inner: Vec<f64>,
    /// λ̂(e), β̂_e and v_e.
    span: f64,
    largest: f64,
    second_moment: f64,
    /// Σ_k |Ĉ_k(e)| p_k λ_k.
    sweep: f64,
}

/// E|g| = √(2/π) of a standard normal g.
pub(super) fn mean_normal() -> f64 {
    (2.0 / std::f64::consts::PI).sqrt()
}

pub(super) fn product(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let mut result = DMatrix::zeros(left.nrows(), right.ncols());
    let (lhs, rhs) =
        (view(left.as_slice(), left.nrows(), left.ncols()), view(right.as_slice(), right.nrows(), right.ncols()));
    multiply_parallel(result.as_mut_slice(), Store::Replace, 1.0, lhs, rhs);
    result
}

//= P7@d02f7073
/// Deviation of averaged gradients in fixed directions, P7: "Rademacher, `Antisymmetric`; for weights c_n ≥ 0, with
/// probability ≥ 1−4e^{−t}, |(1/N) Σ_n c_n ⟨e, D_n − d_n⟩| ≤ (1/N) Σ c_n μ_n(e) + tail", t = ln(4/δ), d_n = v + b (P1).
///
/// Inputs: the prepared law; `directions` e, one per column (d × k); `weights` c, one column for each of them (N × k);
/// δ for each single direction. For one point n alone use [`gradient_component_bound`]. Tightness: the 95% quantile of
/// trained networks is .14–.43 of the bound for single points, .09–.24 for averages (tests/pair.rs).
///
/// # Errors
/// Shapes that do not fit; a negative weight; values that are not finite; δ outside (0, 1).
pub fn gradient_functional_bound(
    trained: &TrainedGradient<'_>,
    directions: &DMatrix<f64>,
    weights: &DMatrix<f64>,
    failure_probability: f64,
) -> Result<Vec<f64>> {
    let t = log_share(failure_probability, 4.0)?;
    trained.geometry.check_directions(directions)?;
    trained.geometry.check_weights(weights, directions.ncols())?;
    Ok(trained.averaged(directions, weights, t))
}

//= P7@d02f7073
/// Deviation of single gradients in fixed directions, P7 with one point in its sums over n: |⟨e, D_n − d_n⟩| for each
/// training point n (row) and direction e (column), N × k.
///
/// Inputs as [`gradient_functional_bound`]; δ for each single point and direction.
///
/// # Errors
/// As [`gradient_functional_bound`].
pub fn gradient_component_bound(
    trained: &TrainedGradient<'_>,
    directions: &DMatrix<f64>,
    failure_probability: f64,
) -> Result<DMatrix<f64>> {
    let t = log_share(failure_probability, 4.0)?;
    trained.geometry.check_directions(directions)?;
    Ok(trained.at_points(directions, t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Points, Slope, TrainingSet};
    use crate::theory::bound::tests::{assert_close, reference};

    fn geometry(slope: f64) -> GradientGeometry {
        GradientGeometry::new(&reference().0, Slope::new(slope).unwrap()).unwrap()
    }

    fn law(width: usize) -> NetworkLaw {
        NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher).unwrap()
    }

    fn weights() -> DMatrix<f64> {
        DMatrix::from_fn(12, 5, |n, k| 0.5 + 0.1 * n as f64 + 0.05 * k as f64)
    }

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "P7, P8". Sums of 12 positive terms; the two error functions agree to a few ε.
        let test = reference().1;
        for (slope, sliding, averaged, first) in KNOWN {
            let data = geometry(slope);
            let trained = TrainedGradient::new(&data, law(1000), 0.2, sliding).unwrap();
            let found = gradient_functional_bound(&trained, test.as_columns(), &weights(), 1e-3).unwrap();
            assert_close(&found, &averaged, 1e-12);
            let found = gradient_component_bound(&trained, test.as_columns(), 1e-3).unwrap();
            assert_close(&found.column(0).as_slice()[..5], &first, 1e-12);
        }
    }

    #[test]
    fn one_weight_gives_the_bound_of_one_point() {
        // N times the weight of a single point: the sums over n have one term.
        let (data, test) = (geometry(0.2), reference().1);
        let trained = TrainedGradient::new(&data, law(500), 0.3, SlidingDerivative::OfFlow).unwrap();
        let single = gradient_component_bound(&trained, test.as_columns(), 0.01).unwrap();
        for n in 0..12 {
            let weights = DMatrix::from_fn(12, 5, |k, _| if k == n { 12.0 } else { 0.0 });
            let averaged = gradient_functional_bound(&trained, test.as_columns(), &weights, 0.01).unwrap();
            let row: Vec<f64> = single.row(n).iter().copied().collect();
            assert_close(&averaged, &row, 1e-13);
        }
    }

    #[test]
    fn repeated_points_count_as_one_stronger_point() {
        let (train, test) = reference();
        let twice: Vec<usize> = (0..12).chain(0..12).collect();
        let labels = twice.iter().map(|n| train.labels()[*n]).collect();
        let doubled = TrainingSet::new(train.points().select(&twice), labels).unwrap();
        let (doubled, plain) = (GradientGeometry::new(&doubled, Slope::RELU).unwrap(), geometry(0.0));
        let trained = |data| TrainedGradient::new(data, law(500), 0.3, SlidingDerivative::One).unwrap();
        let (doubled, plain) = (trained(&doubled), trained(&plain));
        let both = DMatrix::from_fn(24, 5, |n, k| weights()[(n % 12, k)]);
        let averaged = gradient_functional_bound(&doubled, test.as_columns(), &both, 0.01).unwrap();
        let once = gradient_functional_bound(&plain, test.as_columns(), &weights(), 0.01).unwrap();
        assert_close(&averaged, &once, 1e-14);
    }

    #[test]
    fn bounds_shrink_with_width_and_failure_probability() {
        let (data, test) = (geometry(0.1), reference().1);
        let bounds = |width, delta: f64| {
            let trained = TrainedGradient::new(&data, law(width), 0.3, SlidingDerivative::OfFlow).unwrap();
            gradient_functional_bound(&trained, test.as_columns(), &weights(), delta).unwrap()
        };
        let (base, wide, sure) = (bounds(100, 0.01), bounds(102, 0.01), bounds(100, 0.009));
        assert!(base.iter().zip(wide).zip(sure).all(|((base, wide), sure)| wide < *base && *base < sure));
    }

    #[test]
    fn bad_input_is_named() {
        let (data, test) = (geometry(0.0), reference().1);
        let sliding = SlidingDerivative::OfFlow;
        let standard = NetworkLaw::standard(10, ReadoutLaw::Rademacher).unwrap();
        let message = TrainedGradient::new(&data, standard, 1.0, sliding).unwrap_err().to_string();
        let expected = "the bound on gradients does not cover unpaired readouts; expected antisymmetric pairs of Rademacher readouts";
        assert_eq!(message, expected);
        assert!(TrainedGradient::new(&data, law(10), 0.0, sliding).is_err());
        let trained = TrainedGradient::new(&data, law(10), 1.0, sliding).unwrap();
        let bound = |weights: &DMatrix<f64>| gradient_functional_bound(&trained, test.as_columns(), weights, 0.1);
        assert!(bound(&DMatrix::zeros(12, 5)).is_ok() && bound(&DMatrix::zeros(11, 5)).is_err());
        assert!(bound(&DMatrix::from_element(12, 5, -1.0)).is_err());
        assert!(bound(&DMatrix::from_element(12, 5, f64::NAN)).is_err());
        assert!(gradient_component_bound(&trained, &DMatrix::zeros(4, 1), 0.1).is_err());
        assert!(gradient_component_bound(&trained, test.as_columns(), 1.0).is_err());
        let one = TrainingSet::new(Points::from_rows("x", 1, 2, vec![0.0, 0.0]).unwrap(), vec![1.0]).unwrap();
        assert!(GradientGeometry::new(&one, Slope::RELU).is_err(), "the limit gradient at the origin is zero");
    }

    /// Slope, kind of derivative; averaged over all points, for five directions; at five points, for the first one.
    type Known = (f64, SlidingDerivative, [f64; 5], [f64; 5]);
    const KNOWN: [Known; 2] = [
        (
            0.0,
            SlidingDerivative::OfFlow,
            [9.9076251748047e-01, 1.1145544889089e+00, 1.1984065230673e+00, 1.2115535612875e+00, 1.1654565775539e+00],
            [1.4656232302476e+00, 1.6037899544988e+00, 1.4989402751025e+00, 1.4957983189118e+00, 1.5107729732629e+00],
        ),
        (
            0.3,
            SlidingDerivative::One,
            [7.2077900035231e-01, 8.0927679245460e-01, 8.6187041719503e-01, 8.5727200940236e-01, 8.0906843439198e-01],
            [1.0129910362042e+00, 1.1385115795182e+00, 1.0197124506710e+00, 1.0181271933913e+00, 1.0748883387224e+00],
        ),
    ];
}
