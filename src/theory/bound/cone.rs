//! Where a trained gradient may point, and what that does to one term of g's limit: the per-point part of G8.

/// The set of D_n/‖d_n‖: components within a of q_n's, distance within y.
pub(super) struct Cone {
    /// Whether D_n is known to have a positive component along q_n: a < 1.
    pub trusted: bool,
    /// ϱ↓ and ϱ↑, the range of ‖d_n‖/‖D_n‖.
    pub low: f64,
    pub high: f64,
    /// The largest ‖q̂_n − q_n‖.
    pub chord: f64,
}

impl Cone {
    pub fn new(along: f64, norm: f64) -> Self {
        let along = along.min(norm);
        // Also if a bound is not finite.
        if !(along < 1.0 && norm.is_finite()) {
            return Cone { trusted: false, low: 0.0, high: 0.0, chord: 2.0 };
        }
        let across = (norm * norm - along * along).max(0.0).sqrt();
        let angle = if along < norm * norm { (across / (1.0 - along)).atan() } else { norm.min(1.0).asin() };
        Cone {
            trusted: true,
            low: 1.0 / (1.0 + 2.0 * along + norm * norm).sqrt(),
            high: 1.0 / (1.0 - along),
            chord: 2.0 * (0.5 * angle).sin(),
        }
    }
}

/// A training point as one test point sees it.
pub(super) struct Component<'a> {
    pub cone: &'a Cone,
    /// |⟨q_n,z⟩|.
    pub along: f64,
    /// S_n(z).
    pub spread: f64,
    /// ‖z‖.
    pub length: f64,
}

/// How one training point enters H and its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// w_n.
    pub weight: f64,
    /// ℓ_n.
    pub loss: f64,
    /// Whether n is in ℒ, so that its deviation is part of Λ.
    pub linear: bool,
}

impl Component<'_> {
    /// Δ_n(z) ≥ |⟨q̂_n − q_n, z⟩|.
    pub fn change(&self) -> f64 {
        let chord = (self.cone.chord * self.length).min(self.length + self.along);
        if !self.cone.trusted {
            return chord;
        }
        let rescaled = (self.cone.high - 1.0).max(1.0 - self.cone.low) * self.along;
        chord.min(rescaled + self.cone.high * self.spread)
    }

    /// The cheaper way with weight 1, for both signs.
    pub fn plain_term(&self) -> Term {
        let along = self.along;
        let linear = self.loss(1.0, along).max(self.loss(1.0, -along));
        let direct = self.change();
        if self.cone.trusted && linear <= direct {
            return Term { weight: 1.0, loss: linear, linear: true };
        }
        Term { weight: 1.0, loss: direct, linear: false }
    }

    /// What leaves most of the sign of c = σ⟨q_n,z⟩: w c − ℓ is largest.
    pub fn best_term(&self, c: f64) -> Term {
        let unlinear = [
            Term { weight: 1.0, loss: self.change(), linear: false },
            Term { weight: 0.0, loss: self.length, linear: false },
        ];
        let left = |term: &Term| term.weight * c - term.loss;
        let best = if left(&unlinear[0]) > left(&unlinear[1]) { unlinear[0] } else { unlinear[1] };
        if !self.cone.trusted {
            return best;
        }
        let weight = self.best_weight(c);
        let linear = Term { weight, loss: self.loss(weight, c), linear: true };
        if left(&linear) >= left(&best) { linear } else { best }
    }

    /// The weight that maximises w c − ℓ(w), c = σ⟨q_n,z⟩.
    fn best_weight(&self, c: f64) -> f64 {
        let share = if self.spread > 0.0 { ((self.spread - c) / (2.0 * self.spread)).clamp(0.0, 1.0) } else { 0.0 };
        self.cone.low + (self.cone.high - self.cone.low) * share
    }

    /// ℓ_n of G8 for n in ℒ.
    fn loss(&self, weight: f64, c: f64) -> f64 {
        let shrunk = (self.cone.high - weight).max(0.0) * (self.spread - c).max(0.0);
        shrunk.max((weight - self.cone.low).max(0.0) * (c + self.spread).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_weights_leave_more_of_the_signal_than_any_common_rescaling() {
        // What is left towards 0, before Λ: w c − ℓ(w), for cones and components of all kinds.
        for (along, norm) in [(0.1, 0.3), (0.3, 0.31), (0.05, 1.4), (0.9, 3.0)] {
            let cone = Cone::new(along, norm);
            for spread in [0.0, 0.2, 1.0] {
                for c in [-2.0, -0.5, -0.1, 0.0, 0.1, 0.5, 2.0_f64] {
                    let at = Component { cone: &cone, along: c.abs(), spread, length: 2.0 };
                    let left = |w: f64| w * c - at.loss(w, c);
                    let best = left(at.best_weight(c));
                    let others = (0..400).map(|k| left(0.05 * f64::from(k)));
                    assert!(others.fold(f64::MIN, f64::max) <= best + 1e-12, "{along} {norm} {spread} {c}");
                }
            }
        }
    }

    #[test]
    fn cones_contain_every_vector_within_the_two_distances_and_touch_some() {
        for (a, y) in [(0.1, 0.3), (0.3, 0.3), (0.05, 0.9), (0.5, 1.8), (0.9, 0.95)] {
            let cone = Cone::new(a, y);
            let (mut low, mut high, mut chord) = (f64::MAX, 0.0_f64, 0.0_f64);
            for step in 0..=20_000 {
                let beta = a * (f64::from(step) / 10_000.0 - 1.0);
                let across = (y * y - beta * beta).sqrt();
                for eta in [0.0, across] {
                    let length = (1.0 + beta).hypot(eta);
                    let unit = ((1.0 + beta) / length - 1.0).hypot(eta / length);
                    (low, high, chord) = (low.min(1.0 / length), high.max(1.0 / length), chord.max(unit));
                }
            }
            // A grid of 10⁻⁴ a: the extremes at its ends are attained, the inner one is flat.
            assert!((cone.low / low - 1.0).abs() < 1e-12 && (cone.high / high - 1.0).abs() < 1e-12, "{a} {y}");
            assert!(chord <= cone.chord + 1e-12 && chord > cone.chord - 1e-7, "{a} {y}: {chord} {}", cone.chord);
        }
        let unknown = Cone::new(1.2, 3.0);
        assert!(!unknown.trusted && unknown.chord == 2.0);
    }
}
