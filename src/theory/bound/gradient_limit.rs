//! The limit of the trained gradient's fluctuation with its constant, P10, and what it does to the second network, G12.

use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::geometry::{density_at_zero, groups, merge};
use super::{PerturbationRule, ReadoutLaw};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply, multiply_parallel, norm_squared, view, view_mut};
use crate::problem::{Points, Slope, TrainingSet};
use crate::random::Streams;
use crate::theory::{Predictor, perturbations, perturbed_points};

/// Weights of a neuron that are drawn and used together.
const BLOCK: usize = 128;

/// How the trained gradient of a wide network scatters about its limit at one point, Σ of P10, in units of squared gradients
/// per unit of flow time: D_T = (∇f_T − ∇f_0)/T has covariance (Σ + O(m^{−1/2}))/(T√m).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientFluctuation {
    /// tr Σ: the limit of T√m E‖D_T − (v + b)‖².
    pub total: f64,
    /// tr Σ − ⟨ê, Σê⟩ for ê along v + b: 2‖v + b‖² times the limit of T√m E`[1 − cos(D_T, v + b)]`. Equal to `total` where
    /// v + b = 0.
    pub across: f64,
    /// Standard error of `total`, from the sample.
    pub total_error: f64,
    /// Standard error of `across`.
    pub across_error: f64,
}

/// The fluctuation at some points.
#[derive(Debug, Clone, PartialEq)]
pub struct FluctuationLimit {
    /// At each point.
    pub points: Vec<GradientFluctuation>,
    /// The means over the points; the errors are those of the means, as every draw serves all points.
    pub mean: GradientFluctuation,
}

//= P10@d6bbf9f9
/// Limit of the fluctuation of the trained gradient, P10: "T√m Cov D_T(x) = Σ(x) + O(m^{−1/2})" with Σ(x) = ½ μ₃ p(x) E[Q w_⊥ w_⊥ᵀ], Q the
/// squared change of φ'(u(x)) during training, summed over the starts near the boundary and both signs of the readout. For gradients
/// with the flow's own derivative at sliding neurons, which the exact flow gives.
///
/// Inputs: training set, slope, points (one that equals a training point is treated as one), the law of the readouts; nothing is
/// fitted. The expectation is over one Gaussian vector w̃_⊥ and has no closed form; it is the mean of `draws` samples from
/// `streams`, with its standard error. Cost: 2N operations per draw and point, and products of (d+1)(N + M) per draw.
///
/// Accuracy: `tests/gradients.rs` compares it with pairs of neurons that start at the boundary, and with whole networks, within
/// their sampling errors.
///
/// # Errors
/// Points of another dimension; fewer than two draws.
pub fn gradient_fluctuation_limit(
    train: &TrainingSet,
    slope: Slope,
    points: &Points,
    readout: ReadoutLaw,
    draws: usize,
    streams: &Streams,
) -> Result<FluctuationLimit> {
    train.points().same_dimension("points", points)?;
    at_least_two(draws)?;
    let [third_moment, ..] = readout.moments();
    let scene = Scene::new(train, slope, points, 0.5 * third_moment)?;
    let blocks: Vec<usize> = (0..draws.div_ceil(BLOCK)).collect();
    let sums = blocks.par_iter().map(|&block| scene.sums(block, BLOCK.min(draws - block * BLOCK), streams));
    // Added in the order of the blocks: the same for any number of threads.
    let sums = sums.collect::<Vec<_>>().into_iter().reduce(|mut all, block| {
        all.iter_mut().zip(block).for_each(|(all, sums)| all.iter_mut().zip(sums).for_each(|(a, b)| *a += b));
        all
    });
    let count = draws as f64;
    let moments = |sums: [f64; 4]| GradientFluctuation {
        total: sums[0] / count,
        across: sums[2] / count,
        total_error: standard_error(sums[0], sums[1], count),
        across_error: standard_error(sums[2], sums[3], count),
    };
    let mut found: Vec<GradientFluctuation> = sums.unwrap_or_default().into_iter().map(moments).collect();
    let none = GradientFluctuation { total: 0.0, across: 0.0, total_error: 0.0, across_error: 0.0 };
    let mean = found.pop().unwrap_or(none);
    Ok(FluctuationLimit { points: found, mean })
}

/// What a draw meets at each point.
struct Scene<'a> {
    slope: Slope,
    points: &'a Points,
    /// (x, 1) of the merged training points and of the points, d + 1 rows.
    train: Vec<f64>,
    at: Vec<f64>,
    /// Unit vectors along v + b, d × points, 0 where v + b = 0.
    directions: Vec<f64>,
    /// C_k(x), and E[u_k|u(x)]/u(x); merged training points × points. The force of a training point on itself stands apart.
    forces: Vec<f64>,
    regressions: Vec<f64>,
    own: Vec<f64>,
    /// 1/(d s(x)²): w less this times u(x) x is w_⊥; and ½ μ₃ p(x).
    shifts: Vec<f64>,
    scales: Vec<f64>,
}

impl<'a> Scene<'a> {
    fn new(set: &TrainingSet, slope: Slope, points: &'a Points, scale: f64) -> Result<Self> {
        let (train, labels) = merge(set);
        let weights: Vec<f64> = labels.iter().map(|y| y / set.count() as f64).collect();
        let d = points.input_dim() as f64;
        let mut directions = Predictor::new(train.clone(), weights.clone(), slope)?.gradient(points)?;
        for mut direction in directions.column_iter_mut() {
            let norm = direction.norm();
            if norm > 0.0 {
                direction /= norm;
            }
        }
        let augmented =
            |points: &Points| points.iter().flat_map(|x| x.iter().copied().chain([1.0])).collect::<Vec<f64>>();
        let variances: Vec<f64> = points.iter().map(|x| norm_squared(x) / d + 1.0).collect();
        let mut products = vec![0.0; train.count() * points.count()];
        let (inner, outer) = (train.as_columns().as_slice(), points.as_columns().as_slice());
        let [inner, outer] =
            [(inner, train.count()), (outer, points.count())].map(|(x, count)| view(x, points.input_dim(), count));
        multiply_parallel(&mut products, Store::Replace, 1.0, inner.transpose(), outer);
        let mut forces: Vec<f64> =
            products.iter().enumerate().map(|(at, product)| weights[at % train.count()] * (product + 1.0)).collect();
        let own = points.iter().zip(forces.chunks_exact_mut(train.count())).map(|(x, forces)| {
            let twin = train.iter().position(|z| z == x);
            twin.map_or(0.0, |n| std::mem::take(&mut forces[n]))
        });
        let own = own.collect();
        let columns = products.chunks_exact(train.count()).zip(&variances);
        let regressions = columns.flat_map(|(column, variance)| column.iter().map(move |p| (p / d + 1.0) / variance));
        Ok(Scene {
            slope,
            points,
            train: augmented(&train),
            at: augmented(points),
            directions: directions.as_slice().to_vec(),
            regressions: regressions.collect(),
            forces,
            own,
            scales: variances.iter().map(|variance| scale * density_at_zero(variance.sqrt())).collect(),
            shifts: variances.iter().map(|variance| 1.0 / (d * variance)).collect(),
        })
    }

    /// Draws of one block.
    fn draw(&self, block: usize, draws: usize, streams: &Streams) -> Drawn {
        let (dim, points) = (self.points.input_dim(), self.points.count());
        let (root, count) = ((dim as f64).sqrt(), self.train.len() / (dim + 1));
        let mut rng = streams.stream(block as u64);
        // w ~ N(0, I/d), b ~ N(0, 1); one column per draw.
        let mut weights: Vec<f64> = (0..(dim + 1) * draws).map(|_| StandardNormal.sample(&mut rng)).collect();
        weights.chunks_exact_mut(dim + 1).for_each(|w| w[..dim].iter_mut().for_each(|w| *w /= root));
        let mut drawn = Drawn { dim, draws, weights, changes: Vec::with_capacity(draws * points) };
        let at_train = drawn.products(&self.train, dim + 1);
        let at_points = drawn.products(&self.at, dim + 1);
        for (at_train, at_points) in at_train.chunks_exact(count).zip(at_points.chunks_exact(points)) {
            for (z, u) in at_points.iter().enumerate() {
                let forces = self.forces[z * count..][..count].iter().zip(&self.regressions[z * count..][..count]);
                let others = forces.zip(at_train).map(|((c, r), at)| c * self.slope.derivative(at - r * u)).sum();
                let change = self.scales[z] * squared_change(self.slope, others, self.own[z]);
                drawn.changes.push([change, *u]);
            }
        }
        drawn
    }

    /// Σ X, Σ X², Σ Y, Σ Y² over the draws of a block, X = ½ μ₃ p Q‖w_⊥‖² and Y = ½ μ₃ p Q(‖w_⊥‖² − ⟨w_⊥,ê⟩²); per point, and then
    /// of their means over the points.
    fn sums(&self, block: usize, draws: usize, streams: &Streams) -> Vec<[f64; 4]> {
        let (dim, points) = (self.points.input_dim(), self.points.count());
        let drawn = self.draw(block, draws, streams);
        let along = drawn.products(&self.directions, dim);
        let squares: Vec<f64> = self.points.iter().map(norm_squared).collect();
        let offsets = self.points.iter().zip(self.directions.chunks_exact(dim)).map(|(x, e)| dot(x, e));
        let offsets: Vec<f64> = offsets.collect();
        let mut sums = vec![[0.0; 4]; points + 1];
        for (draw, weight) in drawn.weights.chunks_exact(dim + 1).enumerate() {
            let (norm, bias) = (norm_squared(&weight[..dim]), weight[dim]);
            let mut means = [0.0; 2];
            for z in 0..points {
                let [change, u] = drawn.changes[draw * points + z];
                let shift = u * self.shifts[z];
                let left = norm - shift * (2.0 * (u - bias) - shift * squares[z]);
                let aligned = along[draw * points + z] - shift * offsets[z];
                let terms = [change * left.max(0.0), change * (left - aligned * aligned).max(0.0)];
                add(&mut sums[z], terms);
                means.iter_mut().zip(terms).for_each(|(mean, term)| *mean += term / points as f64);
            }
            add(&mut sums[points], means);
        }
        sums
    }
}

/// Neurons of a block.
struct Drawn {
    dim: usize,
    draws: usize,
    /// w̃, d + 1 × draws.
    weights: Vec<f64>,
    /// ½ μ₃ p Q and u(x); points × draws.
    changes: Vec<[f64; 2]>,
}

impl Drawn {
    /// columnsᵀ w̃, or columnsᵀ w if they have d rows; columns × draws.
    fn products(&self, columns: &[f64], rows: usize) -> Vec<f64> {
        let count = columns.len() / rows;
        let mut products = vec![0.0; count * self.draws];
        let weights = view(&self.weights, self.dim + 1, self.draws).subrows(0, rows);
        let target = view_mut(&mut products, count, self.draws);
        multiply(target, Store::Replace, 1.0, view(columns, rows, count).transpose(), weights);
        products
    }
}

/// A variance in the limit, with the standard error of the sample it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitVariance {
    /// The variance.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

//= G12@e77acec1
/// Limit of the fluctuation that perturbations of a finite network f bring into the second network, G12:
/// "m^{1/4}(G_{r̂}(z) − G(z)) → N(0, κ(z)/T)", κ(z) = Σ_n ⟨H_n, Σ(x_n) H_n⟩, H_n = ε P_n ∇_rΘ(r_n^∞, z)/(N‖d_n‖). Per test point.
/// The error of g itself is only of order m^(−1/2), so m^{1/4}(g_{T'} − g_0 − T'·G)(z) has T'² times that variance. For an antisymmetric f
/// (g has no fixed limit otherwise), with gradients as in [`gradient_fluctuation_limit`]; only the leading term, m^(−1/2).
///
/// Inputs: the training set of f, the slope of both networks, how g's inputs are made, test points, the law of f's readouts, and
/// `draws` samples from `streams` for Σ ([`gradient_fluctuation_limit`]). Cost: 2Nd operations per draw and test point.
///
/// Accuracy: `tests/gradients.rs` compares it with pairs of neurons that start at the boundary, and with networks of width 2¹⁶.
///
/// # Errors
/// Equal training points; a test point that is one of g's limit inputs, where the kernel has a kink; a limit gradient of 0; another
/// number of targets; what [`gradient_fluctuation_limit`] refuses.
pub fn second_network_fluctuation_limit(
    train: &TrainingSet,
    slope: Slope,
    rule: PerturbationRule<'_>,
    test: &Points,
    readout: ReadoutLaw,
    draws: usize,
    streams: &Streams,
) -> Result<Vec<LimitVariance>> {
    train.points().same_dimension("test points", test)?;
    at_least_two(draws)?;
    let (points, dim, count) = (train.points(), train.input_dim(), train.count());
    let distinct = groups(train).1.len();
    if distinct < count {
        let expected = "that of all training points: none may equal another";
        return Err(Error::Scalar { name: "number of distinct training points", value: distinct as f64, expected });
    }
    let [third_moment, ..] = readout.moments();
    let scene = Scene::new(train, slope, points, 0.5 * third_moment)?;
    let limit = Predictor::identity(train, slope, 1.0)?.gradient(points)?;
    let moves = perturbations(&limit, rule.targets, rule.epsilon)?;
    let inputs = perturbed_points(points, &moves, rule.scenario)?;
    if let Some(met) = test.iter().position(|z| inputs.iter().any(|input| input == z)) {
        let expected = "none, as the kernel has a kink there";
        return Err(Error::Scalar { name: "index of a test point that is an input of g", value: met as f64, expected });
    }
    let scales: Vec<f64> = limit.column_iter().map(|d| rule.epsilon / (count as f64 * d.norm())).collect();
    // H_n for one test point, d × N.
    let pulls = |z: &[f64]| -> Result<Vec<f64>> {
        let kernel = Predictor::new(Points::from_rows("test point", 1, dim, z.to_vec())?, vec![1.0], slope)?;
        let mut pulls = kernel.gradient(&inputs)?.as_slice().to_vec();
        for ((pull, e), scale) in pulls.chunks_exact_mut(dim).zip(scene.directions.chunks_exact(dim)).zip(&scales) {
            let along = dot(pull, e);
            pull.iter_mut().zip(e).for_each(|(h, e)| *h = scale * (*h - along * e));
        }
        Ok(pulls)
    };
    let pulls: Vec<Vec<f64>> = test.iter().map(pulls).collect::<Result<_>>()?;
    let offset = |pull: &Vec<f64>| -> Vec<f64> {
        let terms = pull.chunks_exact(dim).zip(points.iter()).zip(&scene.shifts);
        terms.map(|((pull, x), shift)| dot(pull, x) * shift).collect()
    };
    let offsets: Vec<Vec<f64>> = pulls.iter().map(offset).collect();
    let blocks: Vec<usize> = (0..draws.div_ceil(BLOCK)).collect();
    let sums = blocks.par_iter().map(|&block| {
        let drawn = scene.draw(block, BLOCK.min(draws - block * BLOCK), streams);
        let sums = pulls.iter().zip(&offsets).map(|(pulls, offsets)| {
            let products = drawn.products(pulls, dim);
            let per_draw = products.chunks_exact(count).zip(drawn.changes.chunks_exact(count));
            per_draw.fold([0.0; 2], |[sum, squares], (products, changes)| {
                let terms = products.iter().zip(offsets).zip(changes);
                let value: f64 = terms.map(|((p, o), [change, u])| change * (p - u * o).powi(2)).sum();
                [sum + value, squares + value * value]
            })
        });
        sums.collect::<Vec<[f64; 2]>>()
    });
    let mut all = vec![[0.0; 2]; test.count()];
    for block in sums.collect::<Vec<_>>() {
        all.iter_mut().zip(block).for_each(|(all, block)| all.iter_mut().zip(block).for_each(|(a, b)| *a += b));
    }
    let of = |[sum, squares]: [f64; 2]| LimitVariance {
        value: sum / draws as f64,
        error: standard_error(sum, squares, draws as f64),
    };
    Ok(all.into_iter().map(of).collect())
}

fn at_least_two(draws: usize) -> Result<()> {
    if draws < 2 {
        let expected = "at least 2, to know the error";
        return Err(Error::Scalar { name: "number of draws", value: draws as f64, expected });
    }
    Ok(())
}

/// Of the mean of `count` terms with that sum and that sum of squares.
fn standard_error(sum: f64, squares: f64, count: f64) -> f64 {
    ((squares / count - (sum / count).powi(2)).max(0.0) / (count - 1.0)).sqrt()
}

/// Two terms and their squares.
fn add(sums: &mut [f64; 4], terms: [f64; 2]) {
    let [x, y] = terms;
    sums.iter_mut().zip([x, x * x, y, y * y]).for_each(|(sum, term)| *sum += term);
}

/// Q of P10 for the velocity V_o of the other samples and the sample's own force S.
fn squared_change(slope: Slope, others: f64, own: f64) -> f64 {
    let (below, above) = (others + slope.value() * own, others + own);
    if below * above >= 0.0 {
        (1.0 - slope.value()).powi(2) * (below.abs() + above.abs())
    } else {
        (below.abs().powi(3) + above.abs().powi(3)) / (own * own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One training point: V_o is 0 at it, and C φ' with φ' = 1 or γ, half the draws each, elsewhere, independent of ‖w_⊥‖²,
    /// whose mean is 1 − ‖z‖²/(ds)².
    #[test]
    fn one_training_point_has_a_closed_form() {
        let gamma = 0.3;
        let slope = Slope::new(gamma).unwrap();
        let x = Points::from_rows("x", 1, 2, vec![1.5, -0.5]).unwrap();
        let both = Points::from_rows("x and z", 2, 2, vec![1.5, -0.5, 0.4, 2.0]).unwrap();
        let train = TrainingSet::new(x.clone(), vec![-1.0]).unwrap();
        let streams = Streams::new(1, "one training point");
        for (readout, third_moment) in
            [(ReadoutLaw::Rademacher, 1.0), (ReadoutLaw::Gaussian, (8.0 / std::f64::consts::PI).sqrt())]
        {
            let limit = gradient_fluctuation_limit(&train, slope, &both, readout, 20_000, &streams).unwrap();
            let mean = 0.5 * (limit.points[0].total + limit.points[1].total);
            assert!((limit.mean.total - mean).abs() < 1e-12);
            for (z, found) in both.iter().zip(limit.points) {
                let norm = norm_squared(z);
                let variance = 1.0 + norm / 2.0;
                // Q is the same at x and elsewhere: (1−γ)²(1+γ)|C|.
                let change = (1.0 - gamma).powi(2) * (1.0 + gamma) * (dot(x.point(0), z) + 1.0).abs();
                let density = 1.0 / (2.0 * std::f64::consts::PI * variance).sqrt();
                let total = 0.5 * third_moment * density * change * (1.0 - norm / (4.0 * variance));
                assert!((found.total - total).abs() < 5.0 * found.total_error, "{found:?} {total}");
                assert!(found.total_error < 0.02 * total && found.across < found.total);
            }
        }
        assert!(gradient_fluctuation_limit(&train, slope, &both, ReadoutLaw::Gaussian, 1, &streams).is_err());
    }

    #[test]
    fn where_the_second_limit_has_a_kink_or_does_not_apply_is_refused() {
        let x = Points::from_rows("x", 2, 2, vec![1.5, -0.5, 0.4, 2.0]).unwrap();
        let limit_of = |points: &Points, test: &Points, targets: &[f64]| {
            let train = TrainingSet::new(points.clone(), vec![-1.0, 1.0]).unwrap();
            let rule = PerturbationRule { targets, epsilon: 0.5, scenario: crate::problem::Scenario::OnImage };
            let streams = Streams::new(1, "refused");
            second_network_fluctuation_limit(&train, Slope::RELU, rule, test, ReadoutLaw::Rademacher, 64, &streams)
        };
        assert!(limit_of(&x, &x, &[1.0, 1.0]).is_ok());
        let train = TrainingSet::new(x.clone(), vec![-1.0, 1.0]).unwrap();
        let gradients = Predictor::identity(&train, Slope::RELU, 1.0).unwrap().gradient(&x).unwrap();
        let inputs = perturbations(&gradients, &[1.0, 1.0], 0.5).unwrap();
        let inputs = perturbed_points(&x, &inputs, crate::problem::Scenario::OnImage).unwrap();
        let error = limit_of(&x, &inputs, &[1.0, 1.0]).unwrap_err().to_string();
        assert!(error.contains("kink"), "{error}");
        let equal = x.select(&[0, 0]);
        assert!(limit_of(&equal, &x, &[1.0, 1.0]).is_err() && limit_of(&x, &x, &[1.0]).is_err());
    }

    /// Sliding takes over from crossing without a jump, and a sample alone has the two speeds |S| and γ|S|.
    #[test]
    fn the_squared_change_is_continuous_in_the_velocity() {
        let slope = Slope::new(0.25).unwrap();
        for own in [2.0_f64, -2.0] {
            for edge in [-own, -0.25 * own] {
                let [below, above] = [-1e-9, 1e-9].map(|step| squared_change(slope, edge + step, own));
                assert!((below - above).abs() < 1e-8 && above > 0.4, "{below} {above}");
            }
        }
        assert_eq!(squared_change(slope, 0.0, 2.0), 0.75 * 0.75 * 2.5);
    }
}
