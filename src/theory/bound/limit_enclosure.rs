//! The second network, bounded for every input set that the first one may produce: G9 and G10.
//!
//! Given f, the limit G_r̂ of g depends on f only through the scalars ⟨z, q̂_n⟩ and, in scenario b, ⟨x_n, q̂_n⟩ of the
//! perturbations' directions q̂_n. Intervals for these (P9) therefore enclose G_r̂, and g's own fluctuations are bounded at
//! the worst corner of the box at once.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::geometry::angles;
use super::gradient_enclosure::{GradientEnclosure, Interval};
use super::rounding::rounding_factor;
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::{Points, Scenario, Slope, TrainingSet, finite_nonnegative, finite_positive, plus_minus_one};
use crate::theory::{Kernel, Predictor, cross_gram, gram, perturbations, perturbed_points};

/// What is known of G_r̂ and of g before f is drawn.
#[derive(Debug, Clone)]
pub struct LimitEnclosure {
    /// G(z), the limit with inputs r_n^∞ (G1), per unit of time T'.
    pub limit: Vec<f64>,
    /// G_r̂(z) for every f within the enclosure of its gradients (G9).
    pub enclosure: Vec<Interval>,
    slope: Slope,
    targets: Vec<f64>,
    /// 1 + τ_nz and Φ(r̂_n, z), one column of N entries per test point.
    augmented: Vec<Vec<Interval>>,
    duals: Vec<Vec<Interval>>,
    /// p(r̂_n)·κ(r̂_n), upper bounds.
    rates: Vec<f64>,
    /// √(α_n/π): root of the probability that a neuron's sign at r̂_n differs from that at r_n^∞.
    sign_changes: Vec<f64>,
    /// Angles of the limit inputs among each other (N × N) and with the test points (N × M).
    angles: DMatrix<f64>,
    test_angles: DMatrix<f64>,
    /// p(z).
    test_densities: Vec<f64>,
}

/// The setting of g: what its inputs are made of.
#[derive(Debug, Clone, Copy)]
pub struct Perturbing<'a> {
    /// The training points of f.
    pub points: &'a Points,
    /// y'.
    pub targets: &'a [f64],
    /// ε.
    pub epsilon: f64,
    /// Whether g sees r_n = p_n or x_n + p_n.
    pub scenario: Scenario,
    /// γ.
    pub slope: Slope,
    /// d_n, the limits of the gradients (P1), d × N.
    pub limits: &'a DMatrix<f64>,
}

//= G9@9e17ce5d
/// Enclosure of the limit of g, G9: "if ‖D_n‖ ∈ [N⁻, N⁺], ⟨z, D_n⟩ and ⟨x_n, D_n⟩ lie in given intervals, then
/// τ_n = ⟨r̂_n, z⟩ and ‖r̂_n‖² lie in the quotients' intervals, and G_r̂(z) = (1/N) Σ y'_n Φ(θ_n)(1 + τ_n),
/// cos θ_n = (1 + τ_n/d)/(s(r̂_n)s(z)), lies in the sum of the intervals of its summands". Where N⁻ = 0, D_n = 0 and r̂_n = 0 or
/// x_n are possible and lie in the intervals too. D_n with the derivative at sliding neurons that `gradients` is for.
///
/// Inputs: the data, targets, ε, scenario and limit directions; `gradients` from P9; the test points. Tightness: each
/// summand's interval is attained; the sum takes all of them at their worst at once.
///
/// # Errors
/// Shapes that do not fit; ε ≤ 0 or not finite; a limit d_n = 0; targets other than ±1; an interval whose ends are not
/// numbers in order.
pub fn limit_enclosure(
    perturbing: Perturbing<'_>,
    gradients: &GradientEnclosure,
    test: &Points,
) -> Result<LimitEnclosure> {
    let Perturbing { points, targets, epsilon, scenario, slope, limits } = perturbing;
    points.same_dimension("test points", test)?;
    let moves = perturbations(limits, targets, epsilon)?;
    let inputs = perturbed_points(points, &moves, scenario)?;
    let set = TrainingSet::new(inputs.clone(), targets.to_vec())?;
    let limit = Predictor::identity(&set, slope, 1.0)?.values(test)?;
    gradients.check(points.count(), test.count())?;
    let (d, n, m) = (points.input_dim(), points.count(), test.count());
    let root_dim = (d as f64).sqrt();

    let directions: Vec<Direction> =
        (0..n).map(|k| Direction::new(&perturbing, gradients, k, norm_squared(inputs.point(k)).sqrt())).collect();
    let mut with_test = vec![0.0; n * m];
    if scenario == Scenario::OnImage {
        let left = view(points.as_columns().as_slice(), d, n).transpose();
        multiply_parallel(&mut with_test, Store::Replace, 1.0, left, view(test.as_columns().as_slice(), d, m));
    }
    let boxes: Vec<(Vec<Interval>, Vec<Interval>)> = test
        .iter()
        .enumerate()
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|(z, point)| {
            let length = norm_squared(point).sqrt();
            let s = (1.0 + length * length / d as f64).sqrt();
            let entry = |k: usize| {
                let direction = &directions[k];
                let along = direction.unit(gradients.along_test[k][z], length);
                let product = along.affine(with_test[n * z + k], epsilon * targets[k]);
                (product.affine(1.0, 1.0), direction.dual(product, s, d as f64, slope))
            };
            (0..n).map(entry).unzip()
        })
        .collect();
    let (augmented, duals): (Vec<_>, Vec<_>) = boxes.into_iter().unzip();
    let summed = |z: usize| {
        let terms = (0..n).map(|k| duals[z][k].times(augmented[z][k]).affine(0.0, targets[k] / n as f64));
        terms.fold(Interval { low: 0.0, high: 0.0 }, |sum, term| Interval {
            low: sum.low + term.low,
            high: sum.high + term.high,
        })
    };
    let enclosure = (0..m).map(summed).collect();
    Ok(LimitEnclosure {
        limit,
        enclosure,
        slope,
        targets: targets.to_vec(),
        rates: crossing_rates(&inputs, &directions, epsilon),
        sign_changes: directions.iter().map(|x| (epsilon * x.turn / root_dim / std::f64::consts::PI).sqrt()).collect(),
        angles: angles(gram(Kernel::DerivativeDual, Slope::RELU, &inputs)),
        test_angles: angles(cross_gram(Kernel::DerivativeDual, Slope::RELU, &inputs, test)),
        test_densities: test.iter().map(|z| density(norm_squared(z) / d as f64)).collect(),
        augmented,
        duals,
    })
}

/// 1/(√(2π)·s), s² = 1 + `square`.
fn density(square: f64) -> f64 {
    1.0 / (2.0 * std::f64::consts::PI * (1.0 + square)).sqrt()
}

/// What is known of one perturbation's direction q̂ and of the input r̂ that it makes.
struct Direction {
    /// ‖D‖.
    norm: Interval,
    /// Upper bound on ‖q̂ − q‖.
    turn: f64,
    /// ‖r̂‖².
    square: Interval,
    /// ‖r^∞‖.
    limit_length: f64,
}

impl Direction {
    fn new(perturbing: &Perturbing<'_>, gradients: &GradientEnclosure, k: usize, limit_length: f64) -> Self {
        let norm = gradients.norm[k];
        let epsilon = perturbing.epsilon;
        // ‖q̂ − q‖² = 2 − 2⟨q, D⟩/‖D‖. Near 1 the root would magnify the cosine's rounding, of ε/2, to 10⁻⁸.
        let cosine =
            gradients.along_limit[k].low / if gradients.along_limit[k].low > 0.0 { norm.high } else { norm.low };
        let turn =
            if cosine.is_nan() { 2.0 } else { (2.0 - 2.0 * cosine.clamp(-1.0, 1.0) + 4.0 * f64::EPSILON).sqrt() };
        let mut direction = Direction { norm, turn, square: Interval::around(epsilon * epsilon, 0.0), limit_length };
        if perturbing.scenario == Scenario::OnImage {
            let square = norm_squared(perturbing.points.point(k));
            let along = direction.unit(gradients.along_point[k], square.sqrt());
            let moved = along.affine(square + epsilon * epsilon, 2.0 * epsilon * perturbing.targets[k]);
            direction.square = Interval { low: moved.low.max(0.0), high: moved.high.max(0.0) };
        }
        if norm.low <= 0.0 {
            // D = 0 leaves the input where it was, which no unit vector need do.
            let unmoved = match perturbing.scenario {
                Scenario::PerturbationOnly => 0.0,
                Scenario::OnImage => norm_squared(perturbing.points.point(k)),
            };
            let Interval { low, high } = direction.square;
            direction.square = Interval { low: low.min(unmoved), high: high.max(unmoved) };
        }
        direction
    }

    /// ⟨e, q̂⟩ from ⟨e, D⟩ and ‖e‖.
    fn unit(&self, along: Interval, length: f64) -> Interval {
        if self.norm.low > 0.0 {
            return along.divided_by(self.norm).clamp(-length, length);
        }
        Interval::around(0.0, length)
    }

    /// Φ(r̂, z) for ⟨r̂, z⟩ in `product`.
    fn dual(&self, product: Interval, s: f64, d: f64, slope: Slope) -> Interval {
        let lengths = Interval { low: (1.0 + self.square.low / d).sqrt(), high: (1.0 + self.square.high / d).sqrt() };
        let Interval { low, high } = product.affine(1.0, 1.0 / d).divided_by(lengths).affine(0.0, 1.0 / s);
        // d + 8 roundings of each length and as many of their quotient (R1): near ±1 the arccosine would magnify them to
        // 10⁻⁸ and more.
        let rounding = rounding_factor(2.0 * d + 24.0);
        let cosine = Interval { low: low - rounding, high: high + rounding }.clamp(-1.0, 1.0);
        let step = 1.0 - slope.value();
        let dual = |cosine: f64| {
            slope.value() + step * step * (std::f64::consts::PI - cosine.acos()) / (2.0 * std::f64::consts::PI)
        };
        Interval { low: dual(cosine.low), high: dual(cosine.high) }
    }
}

/// p(r̂_n)·κ(r̂_n), upper bounds: κ(r̂_n) ≤ κ(r_n^∞) + (ε/N) Σ_k (η_n‖r_k‖ + η_k‖r_n‖ + ε η_n η_k).
fn crossing_rates(inputs: &Points, directions: &[Direction], epsilon: f64) -> Vec<f64> {
    let (d, n) = inputs.as_columns().shape();
    let mut products = vec![0.0; n * n];
    let columns = view(inputs.as_columns().as_slice(), d, n);
    multiply_parallel(&mut products, Store::Replace, 1.0, columns.transpose(), columns);
    let mean = |f: &dyn Fn(&Direction) -> f64| directions.iter().map(f).sum::<f64>() / n as f64;
    let (mean_length, mean_turn) = (mean(&|x| x.limit_length), mean(&|x| x.turn));
    let rate = |(k, direction): (usize, &Direction)| {
        let limit = products[n * k..][..n].iter().map(|p| (1.0 + p).abs()).sum::<f64>() / n as f64;
        let slack =
            direction.turn * mean_length + mean_turn * direction.limit_length + epsilon * direction.turn * mean_turn;
        (limit + epsilon * slack) * density(direction.square.low / d as f64)
    };
    directions.iter().enumerate().map(rate).collect()
}

/// The law of g: `Antisymmetric`, readouts ±1/√m.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignMargin {
    /// m, even.
    pub width: usize,
    /// T'.
    pub time: f64,
    /// t: the margin of each single test point fails with probability e^{−t}.
    pub network_t: f64,
}

impl LimitEnclosure {
    //= G10@908d218d
    /// Sign margin of g, G10: with probability ≥ 1 − e^{−t} over g for each z, `signs[z]`·g_{T'}(z) is at least the value
    /// returned, whatever inputs within the box g was trained on: the value at the box's corner where G10's condition holds,
    /// else the smallest signal less the largest errors.
    ///
    /// `signs` are ±1. In units of the function. Tightness: Bernstein's inequality with the variance at the worst corner of
    /// the box; the same margin for networks 60 times as wide is refuted by 400 networks (tests/certify.rs).
    ///
    /// # Errors
    /// An odd width or 0; T' ≤ 0 or t < 0, infinite or NaN; another number of signs, or one other than ±1.
    pub fn margins(&self, law: SignMargin, signs: &[f64]) -> Result<Vec<f64>> {
        if law.width == 0 || !law.width.is_multiple_of(2) {
            let expected = "an even number, at least 2, for antisymmetric pairs";
            return Err(Error::Scalar { name: "width", value: law.width as f64, expected });
        }
        finite_positive("time", law.time)?;
        finite_nonnegative("log inverse probability", law.network_t)?;
        if signs.len() != self.limit.len() {
            let expected = format!("{}, one per test point", self.limit.len());
            return Err(Error::Shape { name: "signs".into(), found: signs.len().to_string(), expected });
        }
        plus_minus_one("signs", signs)?;
        let n = self.targets.len();
        // c_n = σ y'_n (1 + τ_n)/N at the corner where σG is smallest.
        let scale = |z: usize, k: usize| signs[z] * self.targets[k] / n as f64;
        let corner = DMatrix::from_fn(n, signs.len(), |k, z| self.augmented[z][k].affine(0.0, scale(z, k)).low);
        let mut products = vec![0.0; n * signs.len()];
        let (left, right) = (view(self.angles.as_slice(), n, n), view(corner.as_slice(), n, signs.len()));
        multiply_parallel(&mut products, Store::Replace, 1.0, left, right);
        let margin = |z: usize| {
            let corner = &corner.as_slice()[n * z..][..n];
            let largest: f64 = (0..n)
                .map(|k| {
                    let c = self.augmented[z][k].affine(0.0, scale(z, k));
                    c.low.abs().max(c.high.abs())
                })
                .sum();
            let pairs = dot(corner, &products[n * z..][..n]);
            let errors = Errors::new(self, law, z);
            let monotone = (0..n).all(|k| errors.slope(self, law, z, k, largest) <= law.time * self.duals[z][k].low);
            if monotone {
                self.at_corner(law, z, corner, pairs, &errors)
            } else {
                self.anywhere(law, z, signs[z], largest, &errors)
            }
        };
        Ok((0..signs.len()).into_par_iter().map(margin).collect())
    }

    /// Smallest signal and largest errors of the box, each for itself.
    fn anywhere(&self, law: SignMargin, z: usize, sign: f64, largest: f64, errors: &Errors) -> f64 {
        let signal = self.enclosure[z].affine(0.0, sign).low;
        let rate = self.rates.iter().copied().fold(0.0, f64::max);
        let g = self.slope.value();
        let drift = errors.drift * largest * (rate + self.test_densities[z] * largest);
        let deviation = 0.5 * (1.0 - g * g) * largest;
        let spread = law.time * deviation + errors.sweep * largest * rate.sqrt() + errors.kink * largest.powf(1.5);
        law.time * signal - drift - errors.root * spread - law.time * largest * errors.linear
    }

    fn at_corner(&self, law: SignMargin, z: usize, corner: &[f64], pairs: f64, errors: &Errors) -> f64 {
        let n = corner.len();
        let test_angles = &self.test_angles.as_slice()[n * z..][..n];
        let second_moment = second_moment(corner, test_angles, pairs, self.slope);
        let step = 1.0 - self.slope.value();
        let dual = |angle: f64| {
            self.slope.value() + step * step * (std::f64::consts::PI - angle) / (2.0 * std::f64::consts::PI)
        };
        let mean: f64 = corner.iter().zip(test_angles).map(|(c, angle)| c * dual(*angle)).sum();
        let moved: f64 = corner.iter().zip(&self.sign_changes).map(|(c, p)| step * c.abs() * p).sum();
        let deviation = (second_moment - mean * mean).max(0.0).sqrt() + moved;
        let size: f64 = corner.iter().map(|c| c.abs()).sum();
        let rates: f64 = corner.iter().zip(&self.rates).map(|(c, rate)| c.abs() * rate).sum();
        let roots: f64 = corner.iter().zip(&self.rates).map(|(c, rate)| c.abs() * rate.sqrt()).sum();
        let lowest: f64 =
            corner.iter().zip(&self.duals[z]).map(|(c, dual)| c * if *c >= 0.0 { dual.low } else { dual.high }).sum();
        let drift = errors.drift * (rates + self.test_densities[z] * size * size);
        let spread = law.time * deviation + errors.sweep * roots + errors.kink * size.powf(1.5);
        law.time * lowest - drift - errors.root * spread - law.time * size * errors.linear
    }
}

/// Coefficients of the error terms of G10.
struct Errors {
    /// T'²(1−γ)/(4√m).
    drift: f64,
    /// (1−γ)√((1+γ²)/2)·√(T'³/(3√m)).
    sweep: f64,
    /// (1−γ)√(T'³ p(z)/(3√m)).
    kink: f64,
    /// √(2t/n_c).
    root: f64,
    /// t/(3n_c).
    linear: f64,
}

impl Errors {
    fn new(limit: &LimitEnclosure, law: SignMargin, z: usize) -> Self {
        let (g, m, per_copy) = (limit.slope.value(), law.width as f64, law.network_t / (law.width / 2) as f64);
        let cubic = law.time.powi(3) / (3.0 * m.sqrt());
        Errors {
            drift: law.time * law.time * (1.0 - g) / (4.0 * m.sqrt()),
            sweep: (1.0 - g) * (0.5 * (1.0 + g * g) * cubic).sqrt(),
            kink: (1.0 - g) * (cubic * limit.test_densities[z]).sqrt(),
            root: (2.0 * per_copy).sqrt(),
            linear: per_copy / 3.0,
        }
    }

    /// Upper bound on the derivative of all errors by |c_k|, for Σ|c| ≤ `largest`.
    fn slope(&self, limit: &LimitEnclosure, law: SignMargin, z: usize, k: usize, largest: f64) -> f64 {
        let (g, dual, rate) = (limit.slope.value(), limit.duals[z][k], limit.rates[k]);
        // A variable in [γ², 1] with mean Φ has variance at most (1 − Φ)(Φ − γ²), largest in the middle.
        let spread = |dual: f64| ((1.0 - dual) * (dual - g * g)).max(0.0);
        let middle = (0.5 * (1.0 + g * g)).clamp(dual.low, dual.high);
        let deviation = spread(middle).sqrt() * law.time + self.sweep * rate.sqrt() + 1.5 * self.kink * largest.sqrt();
        self.drift * (rate + 2.0 * limit.test_densities[z] * largest) + self.root * deviation + law.time * self.linear
    }
}

/// E (Σ c_n φ'_z φ'_n)² by W1, with Σ c_n c_k θ_nk given.
fn second_moment(weights: &[f64], test_angles: &[f64], pairs: f64, slope: Slope) -> f64 {
    use std::f64::consts::PI;
    let (g, step) = (slope.value(), 1.0 - slope.value());
    let total: f64 = weights.iter().sum();
    let single = total * dot(weights, test_angles);
    let square = total * total;
    g * g * (g * square + step * step * (0.5 * square - pairs / (2.0 * PI)))
        + (1.0 - g * g)
            * (0.5 * g * g * square
                + g * step * (square - single / PI)
                + step * step * (0.5 * square - (2.0 * single + pairs) / (4.0 * PI)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::bound::Geometry;
    use crate::theory::bound::tests::reference;

    #[test]
    fn the_second_moment_is_that_of_the_variance_formula() {
        let (train, test) = reference();
        for gamma in [0.0, 0.3] {
            let slope = Slope::new(gamma).unwrap();
            let data = Geometry::new(&train, slope, &test).unwrap();
            for z in 0..test.count() {
                let weights: Vec<f64> = train
                    .points()
                    .iter()
                    .zip(train.labels())
                    .map(|(x, y)| y * (1.0 + dot(x, test.point(z))) / train.count() as f64)
                    .collect();
                let among = angles(gram(Kernel::DerivativeDual, Slope::RELU, train.points()));
                let towards = angles(cross_gram(Kernel::DerivativeDual, Slope::RELU, train.points(), &test));
                let n = train.count();
                let pairs: f64 = (0..n).map(|k| weights[k] * dot(&weights, &among.as_slice()[n * k..][..n])).sum();
                let found = second_moment(&weights, &towards.as_slice()[n * z..][..n], pairs, slope);
                let known = data.variance()[z] + data.limit()[z] * data.limit()[z];
                assert!((found / known - 1.0).abs() < 1e-11, "{found} {known}");
            }
        }
    }

    //= test G9@9e17ce5d
    //= power G9@9e17ce5d
    #[test]
    fn a_gradient_that_may_vanish_leaves_its_input_unmoved() {
        // One training point, ε > 2‖x‖: a unit vector moves r̂ away from 0 (scenario a) and from x (b), D = 0 does not.
        let points = Points::from_rows("x", 1, 1, vec![0.5]).unwrap();
        let (slope, epsilon, limits) = (Slope::RELU, 3.0, DMatrix::from_element(1, 1, 1.0));
        // z = 0 is at the smallest angle to r̂ = 0; z = 1 to x itself.
        let test = Points::from_rows("z", 2, 1, vec![0.0, 1.0]).unwrap();
        let unknown = Interval { low: -1.0, high: 1.0 };
        let gradients = |norm| GradientEnclosure {
            along_test: vec![vec![unknown; 2]],
            along_point: vec![unknown],
            along_limit: vec![unknown],
            norm: vec![norm],
        };
        for (scenario, unmoved) in [(Scenario::PerturbationOnly, 0.0), (Scenario::OnImage, 0.5)] {
            let perturbing = Perturbing { points: &points, targets: &[1.0], epsilon, scenario, slope, limits: &limits };
            let enclosed = |low| limit_enclosure(perturbing, &gradients(Interval { low, high: 1.0 }), &test).unwrap();
            let (vanishing, unit) = (enclosed(0.0), enclosed(1e-300));
            let input = Points::from_rows("r", 1, 1, vec![unmoved]).unwrap();
            let set = TrainingSet::new(input.clone(), vec![1.0]).unwrap();
            let limit = Predictor::identity(&set, slope, 1.0).unwrap().values(&test).unwrap();
            let dual = cross_gram(Kernel::DerivativeDual, slope, &input, &test);
            let inside = |value: f64, Interval { low, high }: Interval| low <= value && value <= high;
            let holds = |found: &LimitEnclosure, z: usize| inside(dual[(0, z)], found.duals[z][0]);
            for (z, limit) in limit.into_iter().enumerate() {
                assert!(holds(&vanishing, z) && inside(limit, vanishing.enclosure[z]), "{scenario:?} {z}");
            }
            let rate = (1.0 + unmoved * unmoved) * density(unmoved * unmoved);
            assert!(vanishing.rates[0] >= rate, "{scenario:?}");
            // Fault: a unit vector even there.
            assert!(!holds(&unit, 0), "{scenario:?}: what only a unit vector keeps to passes");
            assert!(unit.rates[0] < vanishing.rates[0], "{scenario:?}: the density of the least length");
        }
    }

    /// Boxes of one point, where the cosine is 1 or next to it: its rounding must not make the intervals too small.
    #[test]
    fn angles_near_zero_are_enclosed_in_spite_of_rounding() {
        let limits = DMatrix::from_element(1, 1, 1.0);
        for step in 0..100 {
            let size = 0.5 + 0.01 * f64::from(step);
            let point = Points::from_rows("x", 1, 1, vec![size]).unwrap();
            let (scenario, slope) = (Scenario::PerturbationOnly, Slope::RELU);
            let perturbing =
                Perturbing { points: &point, targets: &[1.0], epsilon: size, scenario, slope, limits: &limits };
            let exactly = |value: f64| Interval::around(value, 0.0);
            // r̂ = ε q̂ = z.
            let (along_test, norm) = (vec![vec![exactly(size)]], exactly(1.0));
            let rounded = Interval { low: 3.0, high: 3.0_f64.next_up() };
            let gradients = GradientEnclosure {
                along_test,
                along_point: vec![exactly(size)],
                along_limit: vec![exactly(1.0)],
                norm: vec![norm],
            };
            let found = limit_enclosure(perturbing, &gradients, &point).unwrap();
            let Interval { low, high } = found.duals[0][0];
            // Φ = ½ at θ = 0.
            assert!(low <= 0.5 && 0.5 <= high, "{size}: {low} … {high}");
            let turned = GradientEnclosure { along_limit: vec![rounded], norm: vec![rounded], ..gradients };
            let turn = Direction::new(&perturbing, &turned, 0, size).turn;
            assert!(turn * turn >= 2.0 * (rounded.high - rounded.low) / rounded.high, "{turn:e}");
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let rows = |values: &[f64]| Points::from_rows("x", values.len(), 1, values.to_vec()).unwrap();
        let (points, test, limits) = (rows(&[0.5, -1.0]), rows(&[0.3, 0.4]), DMatrix::from_element(1, 2, 1.0));
        let (targets, scenario) = ([1.0, -1.0], Scenario::OnImage);
        let perturbing = Perturbing {
            points: &points,
            targets: &targets,
            epsilon: 0.5,
            scenario,
            slope: Slope::RELU,
            limits: &limits,
        };
        let about = |low| Interval { low, high: 1.0 };
        let good = GradientEnclosure {
            along_test: vec![vec![about(0.5); 2]; 2],
            along_point: vec![about(0.5); 2],
            along_limit: vec![about(0.9); 2],
            norm: vec![about(0.9); 2],
        };
        let enclosed = |gradients: &GradientEnclosure| limit_enclosure(perturbing, gradients, &test);
        let spoil: [fn(&mut GradientEnclosure) -> &mut Vec<Interval>; 4] =
            [|e| &mut e.along_test[1], |e| &mut e.along_point, |e| &mut e.along_limit, |e| &mut e.norm];
        for (index, list) in spoil.into_iter().enumerate() {
            let mut short = good.clone();
            list(&mut short).pop();
            assert!(matches!(enclosed(&short), Err(Error::Shape { .. })), "{index}");
            for low in [f64::NAN, 2.0] {
                let mut unknown = good.clone();
                list(&mut unknown)[1].low = low;
                assert!(matches!(enclosed(&unknown), Err(Error::Scalar { .. })), "{index}: {low}");
            }
        }
        let mut short = good.clone();
        short.along_test.pop();
        assert!(enclosed(&short).is_err());
        let enclosure = enclosed(&good).unwrap();
        let law = SignMargin { width: 8, time: 1.0, network_t: 1.0 };
        assert!(enclosure.margins(law, &[1.0, -1.0]).is_ok());
        assert!(enclosure.margins(SignMargin { network_t: -1.0, ..law }, &[1.0, -1.0]).is_err());
        for bad in [0.0, 0.5, f64::NAN] {
            assert!(matches!(enclosure.margins(law, &[1.0, bad]), Err(Error::Label { row: 1, .. })), "{bad}");
        }
    }

    #[test]
    fn intervals_divide_and_multiply_by_their_worst_ends() {
        let divisor = Interval { low: 2.0, high: 4.0 };
        let quotient = |low, high| Interval { low, high }.divided_by(divisor);
        assert_eq!(quotient(4.0, 8.0), Interval { low: 1.0, high: 4.0 });
        assert_eq!(quotient(-4.0, 8.0), Interval { low: -2.0, high: 4.0 });
        assert_eq!(quotient(-8.0, -4.0), Interval { low: -4.0, high: -1.0 });
        let product = Interval { low: -1.0, high: 2.0 }.times(Interval { low: -3.0, high: 0.5 });
        assert_eq!(product, Interval { low: -6.0, high: 3.0 });
    }
}
