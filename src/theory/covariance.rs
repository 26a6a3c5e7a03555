//! The covariance of the finite-width kernel between two test points: W15.

use std::f64::consts::FRAC_2_PI;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::dual::Pair;
use super::fluctuation::check_fourth_moment;
use crate::error::Result;
use crate::problem::{Points, Slope, TrainingSet};

//= W15@b538894b
/// Cov(X(z), X(z')) for all pairs of test points, W15, with X as in [`kernel_variance`](super::kernel_variance): the
/// diagonal is that function's. The values √m (f_T − f_0 − T·F) at several points tend to a normal vector with T² times
/// this covariance (twice that for `Antisymmetric` pairs).
///
/// `fourth_moment` is E ω²: 3 for Gaussian readouts, 1 for ±1/√m. Where z = z' or a test point is a training point the
/// four-variate orthants reduce to closed forms; else each is a one-dimensional integral, evaluated with an absolute error
/// below 10⁻¹⁰, or 10⁻⁶ for points whose augmented inputs are nearly dependent (always so for d ≤ 2), so that the covariance
/// errs by at most that times ((1−γ)/2)⁴ κ(z) κ(z') E ω². Cost: 3 × 72 arcsines for each pair of test points and each pair of samples.
///
/// # Errors
/// Test points of another dimension; a fourth moment below 1 or not finite.
pub fn kernel_covariance(train: &TrainingSet, slope: Slope, test: &Points, fourth_moment: f64) -> Result<DMatrix<f64>> {
    train.points().same_dimension("test points", test)?;
    check_fourth_moment(fourth_moment)?;
    let angle = |x: &[f64], z: &[f64]| Pair::new(x, z).angle();
    let within: Vec<Vec<f64>> =
        train.points().iter().map(|x| train.points().iter().map(|y| angle(x, y)).collect()).collect();
    let nodes = nodes();
    let columns: Vec<Column> = test.iter().map(|z| Column::new(train, slope, z)).collect();
    let count = columns.len();
    let pairs: Vec<(usize, usize)> = (0..count).flat_map(|j| (0..=j).map(move |i| (i, j))).collect();
    let values: Vec<f64> = pairs
        .par_iter()
        .map(|&(i, j)| {
            let apart = angle(test.point(i), test.point(j));
            let second = second_moment(&columns[i], &columns[j], apart, &within, slope, &nodes);
            fourth_moment * second - columns[i].limit * columns[j].limit
        })
        .collect();
    let mut result = DMatrix::zeros(count, count);
    for (&(i, j), value) in pairs.iter().zip(values) {
        (result[(i, j)], result[(j, i)]) = (value, value);
    }
    Ok(result)
}

/// C_n(z) and θ_nz of one test point, and F(z).
struct Column {
    weights: Vec<f64>,
    angles: Vec<f64>,
    limit: f64,
}

impl Column {
    fn new(train: &TrainingSet, slope: Slope, z: &[f64]) -> Self {
        let pairs: Vec<Pair> = train.points().iter().map(|x| Pair::new(x, z)).collect();
        let scale = 1.0 / train.count() as f64;
        let weights: Vec<f64> =
            pairs.iter().zip(train.labels()).map(|(pair, y)| y * pair.augmented_product() * scale).collect();
        let limit = pairs.iter().zip(&weights).map(|(pair, c)| c * pair.derivative_dual(slope)).sum();
        Column { weights, angles: pairs.iter().map(Pair::angle).collect(), limit }
    }
}

/// E B(z)B(z') = Σ_nk C_n(z) C_k(z') E φ'(u_z)φ'(u_z')φ'(u_n)φ'(u_k), with φ' = ½(1+γ) + ½(1−γ) sgn: odd moments of signs are 0.
fn second_moment(a: &Column, b: &Column, apart: f64, within: &[Vec<f64>], slope: Slope, nodes: &[Node]) -> f64 {
    let (mean, half) = (0.5 * (1.0 + slope.value()), 0.5 * (1.0 - slope.value()));
    let (squares, quartic) = (mean * mean * half * half, half.powi(4));
    let mut sum = 0.0;
    for (n, c) in a.weights.iter().enumerate() {
        for (k, d) in b.weights.iter().enumerate() {
            // Points z, z', x_n, x_k.
            let angles = [apart, a.angles[n], a.angles[k], b.angles[n], b.angles[k], within[n][k]];
            let pairs: f64 = angles.iter().map(|angle| sign_product(*angle)).sum();
            sum += c * d * (mean.powi(4) + squares * pairs + quartic * four_signs(angles, nodes));
        }
    }
    sum
}

/// E sgn u sgn v at an angle: 1 − 2θ/π.
fn sign_product(angle: f64) -> f64 {
    1.0 - FRAC_2_PI * angle
}

/// A node of a quadrature on [0, 1]: t, 1 − t with its own digits, and the weight.
struct Node {
    t: f64,
    rest: f64,
    weight: f64,
}

/// Double-exponential quadrature (Takahasi and Mori 1974): t = 1/(1 + e^{−π sinh x}); it resolves what happens near the
/// ends on any scale down to 10⁻¹⁵.
fn nodes() -> Vec<Node> {
    const STEP: f64 = 0.09;
    const HALF: i32 = 36;
    (-HALF..=HALF)
        .map(|i| {
            let x = f64::from(i) * STEP;
            let exponent = std::f64::consts::PI * x.sinh();
            let (t, rest) = (1.0 / (1.0 + (-exponent).exp()), 1.0 / (1.0 + exponent.exp()));
            Node { t, rest, weight: STEP * std::f64::consts::PI * x.cosh() * t * rest }
        })
        .collect()
}

/// E sgn u₁ sgn u₂ sgn u₃ sgn u₄ for jointly normal variables at the angles (12, 13, 14, 23, 24, 34).
///
/// By Plackett's identity (1954) the derivative by ρ₁ⱼ is (2/π)²(1−ρ₁ⱼ²)^{−1/2} arcsin ρ_kl·1j. Along the path tρ₁₂, tρ₁₃, tρ₁₄
/// the first variable comes from independence, where the mean is 0.
fn four_signs(angles: [f64; 6], nodes: &[Node]) -> f64 {
    // Two equal variables cancel, and leave the product of the other two.
    for (pair, opposite) in [(0, 5), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)] {
        if angles[pair] == 0.0 {
            return sign_product(angles[opposite]);
        }
    }
    let [a, b, c, d, e, f] = angles;
    let theta = [[0.0, a, b, c], [a, 0.0, d, e], [b, d, 0.0, f], [c, e, f, 0.0]];
    // The path is smoothest for the variable that is farthest from being one of the others.
    let isolation = |i: usize| (0..4).filter(|j| *j != i).map(|j| theta[i][j].sin()).fold(1.0, f64::min);
    let first = (1..4).fold(0, |best, i| if isolation(i) > isolation(best) { i } else { best });
    let others = [(first + 1) % 4, (first + 2) % 4, (first + 3) % 4];
    let sum: f64 = (0..3)
        .map(|turn| {
            let [j, k, l] = [others[turn], others[(turn + 1) % 3], others[(turn + 2) % 3]];
            Conditional::new(&theta, [first, j, k, l]).integral(nodes)
        })
        .sum();
    FRAC_2_PI * FRAC_2_PI * sum
}

/// Two variables k, l given that the variable 1, with all its correlations times t, and the variable j are 0.
struct Conditional {
    rho: f64,
    sine_squared: f64,
    /// Per conditioned variable: sin²θ_jk, ρ_1k − ρ_1jρ_jk and the determinant of the three correlations of 1, j, k.
    parts: [[f64; 3]; 2],
    /// ρ_kl − ρ_jkρ_jl.
    covariance: f64,
}

impl Conditional {
    fn new(theta: &[[f64; 4]; 4], [first, j, k, l]: [usize; 4]) -> Self {
        let rho = |x: usize, y: usize| theta[x][y].cos();
        let part = |k: usize| {
            let (a, b, c) = (theta[first][j], theta[first][k], theta[j][k]);
            let half = 0.5 * (a + b + c);
            let determinant = 4.0 * half.sin() * (half - a).sin() * (half - b).sin() * (half - c).sin();
            [c.sin().powi(2), rho(first, k) - rho(first, j) * rho(j, k), determinant.max(0.0)]
        };
        Conditional {
            rho: rho(first, j),
            sine_squared: theta[first][j].sin().powi(2),
            parts: [part(k), part(l)],
            covariance: rho(k, l) - rho(j, k) * rho(j, l),
        }
    }

    /// ∫₀¹ ρ₁ⱼ (1−t²ρ₁ⱼ²)^{−1/2} arcsin ρ_kl·1j(t) dt.
    fn integral(&self, nodes: &[Node]) -> f64 {
        let square = self.rho * self.rho;
        let value = |node: &Node| {
            // 1 − t², and with it everything as its value at t = 1 and a sum of terms of one sign.
            let left = node.rest * (1.0 + node.t);
            let of_first = self.sine_squared + square * left;
            let [vk, vl] = self.parts.map(|[sine, r, determinant]| determinant + left * (square * sine + r * r));
            let joint = of_first * self.covariance - node.t * node.t * self.parts[0][1] * self.parts[1][1];
            let product = vk * vl;
            let correlation = if product > 0.0 { (joint / product.sqrt()).clamp(-1.0, 1.0) } else { 0.0 };
            node.weight * self.rho / of_first.sqrt() * correlation.asin()
        };
        nodes.iter().map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    use crate::random::Streams;
    use crate::theory::kernel_variance;
    use rand_distr::{Distribution, StandardNormal};

    fn vectors(dim: usize, purpose: &str, index: u64) -> [Vec<f64>; 4] {
        let mut rng = Streams::new(1, purpose).stream(index);
        std::array::from_fn(|_| (0..dim).map(|_| StandardNormal.sample(&mut rng)).collect())
    }

    fn angles_of(points: &[Vec<f64>; 4]) -> [f64; 6] {
        [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].map(|(i, j)| Pair::new(&points[i], &points[j]).angle())
    }

    /// Four half-planes: the direction of a plane vector is uniform, and the product of signs changes at eight angles.
    fn in_the_plane(x: [f64; 4]) -> f64 {
        let mut turns: Vec<f64> = x.iter().flat_map(|x| [x.atan() + FRAC_PI_2, x.atan() - FRAC_PI_2]).collect();
        turns.sort_by(f64::total_cmp);
        turns.push(turns[0] + 4.0 * FRAC_PI_2);
        let sign = |phi: f64| -> f64 { x.iter().map(|x| (x * phi.sin() + phi.cos()).signum()).product() };
        turns.windows(2).map(|w| (w[1] - w[0]) * sign(0.5 * (w[0] + w[1]))).sum::<f64>() / (4.0 * FRAC_PI_2)
    }

    #[test]
    fn known_answers_of_the_reference() {
        // checks/orthants.py: adaptive quadrature, the same for each of the four variables as the one that is scaled.
        let nodes = nodes();
        for (angles, known) in KNOWN {
            let found = four_signs(angles, &nodes);
            assert!((found - known).abs() < 1e-10, "{angles:?}: {found} {known}");
        }
    }

    #[test]
    fn coplanar_points_agree_with_the_exact_half_planes() {
        let nodes = nodes();
        let mut worst = 0.0_f64;
        for index in 0..300 {
            let points = vectors(1, "covariance/plane", index);
            let exact = in_the_plane(std::array::from_fn(|i| points[i][0]));
            worst = worst.max((four_signs(angles_of(&points), &nodes) - exact).abs());
        }
        assert!(worst < 1e-6, "{worst:e}");
    }

    #[test]
    fn the_order_of_the_variables_does_not_matter_and_close_points_are_continuous() {
        let nodes = nodes();
        for index in 0..100 {
            for dim in [2, 3, 10] {
                let [a, b, c, d] = vectors(dim, "covariance/order", index);
                let base = four_signs(angles_of(&[a.clone(), b.clone(), c.clone(), d.clone()]), &nodes);
                let turned = four_signs(angles_of(&[c.clone(), a.clone(), d.clone(), b.clone()]), &nodes);
                assert!((base - turned).abs() < 1e-6, "{dim} {index}: {base} {turned}");
                for step in [1e-2, 1e-5, 1e-9] {
                    let near: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + step * b).collect();
                    let limit = sign_product(Pair::new(&c, &d).angle());
                    let found = four_signs(angles_of(&[a.clone(), near, c.clone(), d.clone()]), &nodes);
                    // u_a and u_near differ in sign with probability θ/π, and then the product changes by 2.
                    let angle = Pair::new(&a, &a.iter().zip(&b).map(|(a, b)| a + step * b).collect::<Vec<_>>()).angle();
                    assert!((found - limit).abs() <= FRAC_2_PI * angle + 1e-6, "{dim} {index} {step}: {found} {limit}");
                }
            }
        }
    }

    #[test]
    fn the_diagonal_is_the_closed_form_of_the_variance() {
        let points = |purpose, count: usize| {
            let mut rng = Streams::new(1, purpose).stream(0);
            Points::from_rows("x", count, 3, (0..3 * count).map(|_| StandardNormal.sample(&mut rng)).collect()).unwrap()
        };
        let labels = (0..9).map(|n| if n % 3 == 0 { -1.0 } else { 1.0 }).collect();
        let train = TrainingSet::new(points("covariance/train", 9), labels).unwrap();
        let test = points("covariance/test", 4);
        for slope in [Slope::RELU, Slope::new(0.4).unwrap()] {
            for moment in [1.0, 3.0] {
                let covariance = kernel_covariance(&train, slope, &test, moment).unwrap();
                let variance = kernel_variance(&train, slope, &test, moment).unwrap();
                for (z, variance) in variance.iter().enumerate() {
                    // Eighty-one terms of size below 1 in another order.
                    assert!((covariance[(z, z)] - variance).abs() < 1e-13, "{z}");
                }
                for (i, j) in [(0, 1), (1, 3), (2, 3)] {
                    let bound = (variance[i] * variance[j]).sqrt();
                    assert!(covariance[(i, j)].abs() < bound, "Cauchy–Schwarz");
                    assert_eq!(covariance[(i, j)], covariance[(j, i)]);
                }
            }
        }
    }

    const KNOWN: [([f64; 6], f64); 6] = [
        (
            [
                8.009516249014001e-01,
                8.603138665362308e-01,
                6.170918134960546e-01,
                1.1483133428975503e+00,
                8.983028784985153e-01,
                1.3699129082454655e+00,
            ],
            2.08668299488371e-01,
        ),
        (
            [
                5.395359026031464e-01,
                4.927305060133223e-01,
                6.180837844494538e-01,
                7.972201391917171e-01,
                6.677956671493657e-01,
                4.2599469117567107e-01,
            ],
            5.71479111026434e-01,
        ),
        (
            [
                2.2076447967716686e-01,
                2.606662334284386e-01,
                2.4073765694836285e-01,
                2.3609918841305372e-01,
                2.065350198187222e-01,
                2.337362349142268e-01,
            ],
            8.06981016851303e-01,
        ),
        (
            [
                1.4153369537599534e+00,
                8.875074053720251e-01,
                1.2503832946265332e+00,
                1.3524848449735205e+00,
                7.646928243099158e-01,
                1.4365771867073598e+00,
            ],
            2.45290814135257e-01,
        ),
        (
            [
                1.297852415110431e-01,
                1.3858383511738737e-01,
                1.7113986336728695e-01,
                1.338282591746537e-01,
                1.1884343988921821e-01,
                1.1962322621062238e-01,
            ],
            8.91752991766271e-01,
        ),
        (
            [
                7.033801937098478e-01,
                8.636921096108143e-01,
                9.067576529554465e-01,
                8.256421535758532e-01,
                8.467298773592188e-01,
                9.131165273633522e-01,
            ],
            3.30545857710484e-01,
        ),
    ];
}
