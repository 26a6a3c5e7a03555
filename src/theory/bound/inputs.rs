//! What the deviation of the perturbations from their limit does to the second network's limit: G3, G4, G5.

use nalgebra::DMatrix;

use super::geometry::{signed_gram, velocity_range};
use super::gradient_moments::{Overlaps, gradient_deviations, gradient_range, limit_gradient, mean_sweep, mean_terms};
use super::{Geometry, NetworkLaw, SlidingDerivative, angle_change_bound};
use crate::error::{Error, Result};
use crate::linalg::{dot, norm_squared};
use crate::problem::{Points, Scenario, Slope, TrainingSet, finite_nonnegative, finite_positive};
use crate::theory::{Kernel, Pair, cross_gram, perturbations, perturbed_points};

//= G3@b2fcbd5b
/// Lipschitz constant of the kernel, G3: "|Θ(r,z) − Θ(r',z)| ≤ Φ(r,z) |⟨r − r',z⟩| + ((1−γ)²/2π) α |K(r',z)|", α of D5.
///
/// Inputs: r, r' (`moved`), z and the slope. Tightness: attained to first order by r' → r from above along z's plane (the
/// worst of 10⁵ random pairs reaches .99, `tests/gradients.rs`).
///
/// # Errors
/// Points of different lengths; what [`Points::from_rows`] refuses.
pub fn kernel_change_bound(r: &[f64], moved: &[f64], z: &[f64], slope: Slope) -> Result<f64> {
    for (name, x) in [("r", r), ("r'", moved), ("z", z)] {
        if x.len() != r.len() {
            let expected = format!("{} coordinates, as r", r.len());
            return Err(Error::Shape { name: name.into(), found: x.len().to_string(), expected });
        }
        Points::from_rows(name, 1, x.len(), x.to_vec())?;
    }
    let difference: Vec<f64> = r.iter().zip(moved).map(|(r, moved)| r - moved).collect();
    let d = r.len();
    let std = |x: &[f64]| (1.0 + norm_squared(x) / d as f64).sqrt();
    let angle = angle_change_bound(norm_squared(&difference).sqrt(), d, std(r), std(moved))?;
    let step = 1.0 - slope.value();
    let kernel = Pair::new(moved, z).augmented_product().abs();
    let turned = step * step / (2.0 * std::f64::consts::PI) * angle * kernel;
    Ok(Pair::new(r, z).derivative_dual(slope) * dot(&difference, z).abs() + turned)
}

//= G4@9c188ee0
/// First order of the normalisation, G4: "let D = d + δ, q = d/‖d‖, P = I − qq^⊤, q̂ = D/‖D‖; then
/// ‖q̂ − q − Pδ/‖d‖‖ ≤ 2‖δ‖²/‖d‖²".
///
/// Inputs: `distance` ‖δ‖, `norm` ‖d‖. Tightness: attained for δ just beyond −d; .25–.5 for small δ.
///
/// # Errors
/// A distance that is negative or not finite; a norm that is not positive and finite.
pub fn normalisation_remainder_bound(distance: f64, norm: f64) -> Result<f64> {
    let ratio = finite_nonnegative("distance", distance)? / finite_positive("norm", norm)?;
    Ok(2.0 * ratio * ratio)
}

/// The first network and its perturbations, as [`expected_limit_deviation_bound`] needs them.
#[derive(Debug, Clone, Copy)]
pub struct FirstNetwork<'a> {
    /// The training set of f.
    pub train: &'a TrainingSet,
    /// The slope of both networks.
    pub slope: Slope,
    /// The law of f: antisymmetric.
    pub law: NetworkLaw,
    /// The flow time T of f.
    pub time: f64,
    /// The targets y'_n, ±1.
    pub targets: &'a [f64],
    /// ε, the length of a perturbation.
    pub epsilon: f64,
    /// Which inputs g is trained on.
    pub scenario: Scenario,
    /// The derivative that ∇f_T takes for sliding neurons.
    pub sliding: SlidingDerivative,
}

//= G5@72082d2e
/// Deviation of the inputs' limit, G5: a bound on E|G_r̂(z) − G(z)| over f, for fixed targets, per test point. By Markov's
/// inequality the deviation is below 1/δ times it with probability ≥ 1 − δ.
///
/// Sum of four terms: the fluctuation of the averaged gradients (P6), their mean (P3), the remainder of the normalisation
/// (G4) and the turning of the inputs (G3). Cost: one N × d by d × N product per test point. Tightness: observed/bound .01
/// (`tests/gradients.rs`): the turning term adds up absolute values.
///
/// # Errors
/// As [`perturbations`] and [`gradient_deviations`](super::cosine_deficit_bound): shapes that do not fit, ε ≤ 0, time ≤ 0,
/// `Standard` initialisation, a limit gradient of 0.
pub fn expected_limit_deviation_bound(f: &FirstNetwork<'_>, test: &Points) -> Result<Vec<f64>> {
    let points = f.train.points();
    points.same_dimension("test points", test)?;
    let geometry = Geometry::new(f.train, f.slope, points)?;
    let limit = limit_gradient(&geometry)?;
    let inputs = perturbed_points(points, &perturbations(&limit, f.targets, f.epsilon)?, f.scenario)?;
    let deviations = gradient_deviations(&geometry, f.law, f.time, f.sliding)?;
    let duals = cross_gram(Kernel::DerivativeDual, f.slope, &inputs, test);
    let parts = Parts {
        overlaps: Overlaps::new(&geometry, f.law, f.time),
        means: mean_terms(&geometry, f.law, f.time, f.sliding),
        range: gradient_range(&geometry),
        norms: limit.column_iter().map(|d| d.norm()).collect(),
        deviations: deviations.into_iter().map(f64::sqrt).collect(),
        geometry,
        limit,
        inputs,
        epsilon: f.epsilon,
    };
    Ok(test.iter().zip(duals.column_iter()).map(|(z, duals)| parts.bound(z, duals.as_slice())).collect())
}

/// What G5 needs besides the test point.
struct Parts {
    geometry: Geometry,
    overlaps: Overlaps,
    means: Vec<super::gradient_moments::MeanTerms>,
    range: f64,
    limit: DMatrix<f64>,
    norms: Vec<f64>,
    deviations: Vec<f64>,
    inputs: Points,
    epsilon: f64,
}

impl Parts {
    fn bound(&self, z: &[f64], duals: &[f64]) -> f64 {
        let (n, d) = (self.norms.len() as f64, z.len() as f64);
        let length = norm_squared(z).sqrt();
        // e_n = εΦ_n P_n z/‖d_n‖.
        let mut directions = DMatrix::zeros(z.len(), self.norms.len());
        for (index, mut e) in directions.column_iter_mut().enumerate() {
            let gradient = self.limit.column(index);
            let (norm, scale) = (self.norms[index], self.epsilon * duals[index] / self.norms[index]);
            let along = dot(gradient.as_slice(), z) / (norm * norm);
            e.iter_mut().zip(z).zip(gradient.iter()).for_each(|((e, z), g)| *e = scale * (z - along * g));
        }
        let linear = self.fluctuation_and_mean(&directions);
        let step = 1.0 - self.geometry.slope.value();
        let turning = step * step * self.epsilon / (std::f64::consts::PI * d.sqrt());
        let rest: f64 = self
            .inputs
            .iter()
            .enumerate()
            .map(|(index, input)| {
                let ratio = self.deviations[index] / self.norms[index];
                let kernel = (dot(input, z) + 1.0).abs() + 2.0 * self.epsilon * length;
                2.0 * self.epsilon * length * duals[index] * ratio * ratio + turning * ratio * kernel
            })
            .sum();
        linear + rest / n
    }

    /// √(E Λ²) of P6 and the mean of P3's bounds, for one direction per training point.
    fn fluctuation_and_mean(&self, directions: &DMatrix<f64>) -> f64 {
        let geometry = &self.geometry;
        let products = signed_gram(&geometry.points, &geometry.weights, 0.0, directions);
        let (mut ranges, mut norms, mut mean) = (0.0, Vec::new(), 0.0);
        for (index, (e, product)) in directions.column_iter().zip(products.column_iter()).enumerate() {
            let (low, high) = velocity_range(product.as_slice(), geometry.slope);
            ranges += low.abs().max(high.abs());
            let (norm, terms, site) = (e.norm(), &self.means[index], &geometry.test[index]);
            norms.push(norm);
            // |w_k⟨x_k,e⟩| carry their weights already.
            let sweep = mean_sweep(geometry, product.iter().map(|p| p.abs()));
            let along = dot(geometry.test_points.point(index), e.as_slice()).abs();
            mean += terms.scale * (site.density * site.window() * self.range * norm + sweep)
                + terms.along_point * along
                + terms.anywhere * norm;
        }
        self.overlaps.second_moment(ranges, &norms).sqrt() + mean / directions.ncols() as f64
    }
}
