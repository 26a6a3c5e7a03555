//! Neurons that slide: samples held at u = 0 by a kink that attracts from both sides.
//!
//! On such a set S the derivative φ' may take any value λ ∈ [γ, 1] per sample, and the flow follows the element of
//! smallest norm of the Clarke subdifferential: minimise ‖w' − Σ_S y_k x̃_k‖² with y_k = h_k λ_k, h_k = |a β_k|. That
//! is least squares with bounds; it is solved in Gram form by an active-set method (after Stark and Parker, 1995) whose
//! Cholesky factor is updated, not recomputed, from event to event.

/// The lower Cholesky factor L of a Gram matrix that grows and shrinks by one index at a time.
#[derive(Default)]
pub(super) struct Cholesky {
    /// Rows of L: row i has i + 1 entries.
    rows: Vec<Vec<f64>>,
}

/// Schur complements below this share of the diagonal mean "linearly dependent": about fifty times the rounding error
/// of forming one from a few dozen products.
const DEPENDENT: f64 = 1e-14;

impl Cholesky {
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Appends an index with Gram entries `cross` against the present ones and `diagonal` with itself. False, and no
    /// change, if it is linearly dependent on them to rounding.
    pub fn push(&mut self, cross: &[f64], diagonal: f64) -> bool {
        let mut row = cross.to_vec();
        self.forward(&mut row);
        let schur = diagonal - row.iter().map(|v| v * v).sum::<f64>();
        if schur <= DEPENDENT * (row.len() + 1) as f64 * diagonal {
            return false;
        }
        row.push(schur.sqrt());
        self.rows.push(row);
        true
    }

    /// Removes the index at `position`; the rows below are brought back to triangular form by Givens rotations.
    pub fn remove(&mut self, position: usize) {
        self.rows.remove(position);
        for i in position..self.rows.len() {
            // Row i has one entry too many: rotate columns (i, i + 1) of all rows from i on.
            let (x, y) = (self.rows[i][i], self.rows[i][i + 1]);
            let r = x.hypot(y);
            let (c, s) = (x / r, y / r);
            for row in &mut self.rows[i..] {
                let (p, q) = (row[i], row[i + 1]);
                row[i] = c * p + s * q;
                row[i + 1] = c * q - s * p;
            }
            self.rows[i].truncate(i + 1);
        }
    }

    /// Solves L Lᵀ x = b in place.
    pub fn solve(&self, b: &mut [f64]) {
        self.forward(b);
        for i in (0..b.len()).rev() {
            b[i] /= self.rows[i][i];
            let value = b[i];
            for (target, l) in b[..i].iter_mut().zip(&self.rows[i]) {
                *target -= l * value;
            }
        }
    }

    fn forward(&self, b: &mut [f64]) {
        for i in 0..b.len() {
            let (done, rest) = b.split_at_mut(i);
            let known: f64 = self.rows[i].iter().zip(done.iter()).map(|(l, v)| l * v).sum();
            rest[0] = (rest[0] - known) / self.rows[i][i];
        }
    }
}

/// One sample at u = 0 whose kink attracts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Its site.
    pub site: usize,
    /// The derivative λ ∈ [γ, 1].
    pub derivative: f64,
    /// |a β|.
    pub pull: f64,
    /// Its velocity; zero once resolved, unless the sample leaves.
    pub velocity: f64,
    /// Velocities up to this size are rounding.
    pub tolerance: f64,
    /// Its place in the factor's order, if its derivative lies strictly inside (γ, 1).
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// λ = γ.
    Lower,
    /// λ = 1.
    Upper,
    /// γ < λ < 1.
    Free,
}

impl Member {
    /// A sample that arrives with derivative 1 (from above) or γ (from below).
    pub fn arriving(site: usize, derivative: f64, pull: f64, velocity: f64, tolerance: f64) -> Self {
        let state = if derivative == 1.0 { State::Upper } else { State::Lower };
        Member { site, derivative, pull, velocity, tolerance, state }
    }

    /// +1 if it leaves upwards, −1 if downwards, 0 if it stays at u = 0.
    pub fn leaves(&self) -> f64 {
        match self.state {
            State::Upper if self.velocity > self.tolerance => 1.0,
            State::Lower if self.velocity < -self.tolerance => -1.0,
            _ => 0.0,
        }
    }

    /// How far its velocity contradicts its bound, in units of the tolerance; positive means a violation.
    fn violation(&self) -> f64 {
        let outward = match self.state {
            State::Upper => -self.velocity,
            State::Lower => self.velocity,
            State::Free => return 0.0,
        };
        outward - self.tolerance
    }
}

/// The set of samples at which a neuron slides.
#[derive(Default)]
pub(super) struct SlidingSet {
    pub members: Vec<Member>,
    /// Indices into `members` in the factor's order.
    free: Vec<usize>,
    factor: Cholesky,
}

impl SlidingSet {
    pub fn clear(&mut self) {
        self.members.clear();
        self.free.clear();
        self.factor.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    //= M2@1a1e7858
    /// Finds the derivatives of smallest velocity norm. `gram(j, k)` is ⟨x̃_j, x̃_k⟩ between sites. On entry the
    /// members' velocities belong to their present derivatives; on return to the new ones. False if the iteration did
    /// not settle (it must: every pass lowers the norm).
    pub fn resolve(&mut self, slope: f64, gram: &impl Fn(usize, usize) -> f64) -> bool {
        for _ in 0..50 + 20 * self.members.len() {
            while self.step_free(slope, gram) {}
            let worst = (0..self.members.len())
                .filter(|&i| self.members[i].violation() > 0.0)
                .max_by(|&i, &j| self.members[i].violation().total_cmp(&self.members[j].violation()));
            let Some(index) = worst else { return true };
            self.release(index, slope, gram);
        }
        false
    }

    /// Moves a member from its bound into the free set.
    ///
    /// If it is linearly dependent on that set (collinear inputs, or inputs closer than rounding resolves), the energy
    /// is flat across the combination of derivatives that leaves the others' velocities alone: the member then moves
    /// along it until it reaches its other bound, or takes the place of a free member that reaches one.
    fn release(&mut self, index: usize, slope: f64, gram: &impl Fn(usize, usize) -> f64) {
        let sign = if self.members[index].state == State::Lower { 1.0 } else { -1.0 };
        loop {
            let site = self.members[index].site;
            let cross: Vec<f64> = self.free.iter().map(|&f| gram(self.members[f].site, site)).collect();
            if self.factor.push(&cross, gram(site, site)) {
                self.free.push(index);
                self.members[index].state = State::Free;
                return;
            }
            // One unit of y_index, compensated by the free members.
            let mut delta = cross;
            self.factor.solve(&mut delta);
            delta.iter_mut().for_each(|d| *d *= -sign);
            let member = &self.members[index];
            let own_room = member.pull * if sign > 0.0 { 1.0 - member.derivative } else { member.derivative - slope };
            let (length, blocking) = self.longest_step(&delta, slope, own_room);
            self.shift(&delta, length, slope, gram);
            for other in 0..self.members.len() {
                self.members[other].velocity -= sign * length * gram(site, self.members[other].site);
            }
            let member = &mut self.members[index];
            member.derivative = (member.derivative + sign * length / member.pull).clamp(slope, 1.0);
            let Some((position, upper)) = blocking else {
                (member.derivative, member.state) =
                    if sign > 0.0 { (1.0, State::Upper) } else { (slope, State::Lower) };
                return;
            };
            self.bind(position, upper, slope);
        }
    }

    /// The largest multiple (at most `limit`) of a change of the free members' y that respects their bounds, and the
    /// member that stops it: its position in the free set, and whether at the upper bound.
    fn longest_step(&self, delta: &[f64], slope: f64, limit: f64) -> (f64, Option<(usize, bool)>) {
        let (mut length, mut blocking) = (limit, None);
        for (position, (&f, step)) in self.free.iter().zip(delta).enumerate() {
            let member = &self.members[f];
            let change = step / member.pull;
            let room = if change > 0.0 { 1.0 - member.derivative } else { slope - member.derivative };
            if change != 0.0 && room / change < length {
                length = (room / change).max(0.0);
                blocking = Some((position, change > 0.0));
            }
        }
        (length, blocking)
    }

    /// Changes the free members' y by `length`·`delta`, with all velocities.
    fn shift(&mut self, delta: &[f64], length: f64, slope: f64, gram: &impl Fn(usize, usize) -> f64) {
        for index in 0..self.members.len() {
            let site = self.members[index].site;
            let response: f64 = self.free.iter().zip(delta).map(|(&f, d)| gram(self.members[f].site, site) * d).sum();
            self.members[index].velocity -= length * response;
        }
        for (&f, step) in self.free.iter().zip(delta) {
            let member = &mut self.members[f];
            member.derivative = (member.derivative + length * step / member.pull).clamp(slope, 1.0);
        }
    }

    /// Puts a free member at a bound.
    fn bind(&mut self, position: usize, upper: bool, slope: f64) {
        let member = &mut self.members[self.free[position]];
        (member.derivative, member.state) = if upper { (1.0, State::Upper) } else { (slope, State::Lower) };
        self.free.remove(position);
        self.factor.remove(position);
    }

    /// One step of the free members towards zero velocity; true if a bound stopped it, so that another is needed.
    fn step_free(&mut self, slope: f64, gram: &impl Fn(usize, usize) -> f64) -> bool {
        if self.free.is_empty() {
            return false;
        }
        // Velocities respond to y = pull·λ by −K: solving K_FF δ = velocity_F brings them to zero.
        let mut delta: Vec<f64> = self.free.iter().map(|&f| self.members[f].velocity).collect();
        self.factor.solve(&mut delta);
        let (share, blocking) = self.longest_step(&delta, slope, 1.0);
        self.shift(&delta, share, slope, gram);
        match blocking {
            None => {
                for &f in &self.free {
                    self.members[f].velocity = 0.0;
                }
                false
            }
            Some((position, upper)) => {
                self.bind(position, upper, slope);
                true
            }
        }
    }

    /// Takes out the members that leave and returns them.
    pub fn drain_leaving(&mut self) -> Vec<Member> {
        let mut leaving = Vec::new();
        let mut kept = Vec::with_capacity(self.members.len());
        let mut new_index = vec![usize::MAX; self.members.len()];
        for (index, member) in self.members.iter().enumerate() {
            if member.leaves() == 0.0 {
                new_index[index] = kept.len();
                kept.push(Member { velocity: 0.0, ..*member });
            } else {
                leaving.push(*member);
            }
        }
        self.members = kept;
        for f in &mut self.free {
            *f = new_index[*f];
        }
        leaving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_survives_pushes_and_removals() {
        let points: Vec<[f64; 4]> = (0..4)
            .map(|i| std::array::from_fn(|j| ((3 * i + j * j) as f64 * 1.3).sin() + if i == j { 2.0 } else { 0.0 }))
            .collect();
        let gram = |i: usize, j: usize| -> f64 { points[i].iter().zip(&points[j]).map(|(a, b)| a * b).sum() };
        let mut factor = Cholesky::default();
        for i in 0..4 {
            let cross: Vec<f64> = (0..i).map(|j| gram(i, j)).collect();
            assert!(factor.push(&cross, gram(i, i)));
        }
        let sum: Vec<f64> = (0..4).map(|i| gram(i, 0) + gram(i, 2)).collect();
        assert!(!factor.push(&sum, gram(0, 0) + 2.0 * gram(0, 2) + gram(2, 2)), "a dependent vector must be refused");
        factor.remove(1);
        let left = [0, 2, 3];
        let expected = [1.0, -2.0, 0.5];
        let mut b: Vec<f64> =
            left.iter().map(|&i| left.iter().zip(&expected).map(|(&j, e)| gram(i, j) * e).sum()).collect();
        factor.solve(&mut b);
        for (x, e) in b.iter().zip(&expected) {
            // The matrix is well conditioned (diagonal 2 added): 1e3 ε is far above its condition number times ε.
            assert!((x - e).abs() < 1e3 * f64::EPSILON, "{b:?}");
        }
    }

    /// All 3^n assignments of bounds, each solved by elimination; the feasible one with the smallest norm wins.
    fn by_enumeration(points: &[[f64; 3]], w: [f64; 3], pulls: &[f64], slope: f64) -> [f64; 3] {
        let n = points.len();
        let mut best = (f64::INFINITY, w);
        // Projected coordinate descent to convergence from each corner: slow, and obviously right for a convex problem.
        for corner in 0..1_usize << n {
            let mut y: Vec<f64> = (0..n).map(|k| pulls[k] * if corner >> k & 1 == 1 { 1.0 } else { slope }).collect();
            for _ in 0..20_000 {
                for k in 0..n {
                    let residual: [f64; 3] =
                        std::array::from_fn(|c| w[c] - (0..n).map(|j| y[j] * points[j][c]).sum::<f64>());
                    let norm: f64 = points[k].iter().map(|v| v * v).sum();
                    let gain: f64 = points[k].iter().zip(&residual).map(|(a, b)| a * b).sum::<f64>() / norm;
                    y[k] = (y[k] + gain).clamp(slope * pulls[k], pulls[k]);
                }
            }
            let residual: [f64; 3] = std::array::from_fn(|c| w[c] - (0..n).map(|j| y[j] * points[j][c]).sum::<f64>());
            let norm: f64 = residual.iter().map(|v| v * v).sum();
            if norm < best.0 {
                best = (norm, residual);
            }
        }
        best.1
    }

    //= test M2@1a1e7858
    #[test]
    fn resolved_velocity_has_the_smallest_norm() {
        for case in 0..40 {
            let value = |i: usize| ((case * 31 + i * 7) as f64 * 12.9898).sin();
            let n = 1 + case % 4;
            let mut points: Vec<[f64; 3]> = (0..n).map(|k| std::array::from_fn(|c| value(3 * k + c))).collect();
            if case % 5 == 4 && n > 2 {
                // A dependent point: the midpoint of two others.
                points[n - 1] = std::array::from_fn(|c| 0.5 * (points[0][c] + points[1][c]));
            }
            let w: [f64; 3] = std::array::from_fn(|c| 2.0 * value(100 + c));
            let pulls: Vec<f64> = (0..n).map(|k| 0.2 + value(50 + k).abs()).collect();
            let slope = [0.0, 0.3][case % 2];
            let gram = |i: usize, j: usize| -> f64 { points[i].iter().zip(&points[j]).map(|(a, b)| a * b).sum() };
            let mut set = SlidingSet::default();
            for k in 0..n {
                let start = [slope, 1.0][(case + k) % 2];
                set.members.push(Member::arriving(k, start, pulls[k], 0.0, 1e-14));
            }
            let derivatives: Vec<f64> = set.members.iter().map(|m| m.derivative).collect();
            for (k, point) in points.iter().enumerate() {
                let along: f64 = point.iter().zip(&w).map(|(a, b)| a * b).sum();
                let pull: f64 = (0..n).map(|j| pulls[j] * derivatives[j] * gram(k, j)).sum();
                set.members[k].velocity = along - pull;
            }
            assert!(set.resolve(slope, &gram));
            let found: [f64; 3] = std::array::from_fn(|c| {
                w[c] - set.members.iter().map(|m| m.pull * m.derivative * points[m.site][c]).sum::<f64>()
            });
            let expected = by_enumeration(&points, w, &pulls, slope);
            for c in 0..3 {
                // Coordinate descent after 20,000 sweeps is converged to rounding times the condition of the set.
                assert!((found[c] - expected[c]).abs() < 1e-9, "case {case}: {found:?} against {expected:?}");
            }
        }
    }
}
