//! The flow of one neuron, integrated exactly from event to event.
//!
//! Between events every preactivation u_j(t) is a straight line: u̇_j = a Σ_n β_n φ'(u_n) ⟨x̃_n, x̃_j⟩ changes only when a
//! sample changes side. The loop finds the earliest change, moves all lines there, changes one column of the velocity,
//! and repeats. A sample whose kink attracts from both sides is handed to [`SlidingSet`].

use super::sites::Sites;
use super::sliding::{Member, SlidingSet};
use crate::error::{Error, Result};

/// Rounding allowance of a preactivation or velocity, in units of ε times the sum of the magnitudes that formed it.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// From `time` on, φ'(u) at the training points of `site` is `derivative`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerivativeChange {
    /// Flow time.
    pub time: f64,
    /// The distinct training point, as [`Block::site_train`](super::Block::site_train) numbers them.
    pub site: usize,
    /// Its derivative from then on: 1, γ, or a value between them while the neuron slides.
    pub derivative: f64,
}

/// Per-thread storage, reused from neuron to neuron.
#[derive(Default)]
pub(super) struct Workspace {
    /// The derivative changes of the block's neurons, one neuron after the other.
    pub changes: Vec<DerivativeChange>,
    /// +1 above, −1 below, 0 while sliding; one per active site.
    side: Vec<f64>,
    /// Velocities up to this size are rounding; one per active site.
    tolerance: Vec<f64>,
    sliding: SlidingSet,
}

/// What happened to one neuron.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Events {
    /// Sign changes of active sites, and arrivals on a sliding set.
    pub count: u64,
    /// Active sites at which the neuron was sliding when time ran out.
    pub sliding: u64,
    /// The neuron came to rest on a repelling kink, where the flow can be continued in more than one way.
    pub undecided: bool,
}

/// One neuron's columns of a block: in and out parameters of [`integrate`].
pub(super) struct Neuron<'a> {
    /// a.
    pub readout: f64,
    /// ‖w̃(0)‖.
    pub norm: f64,
    /// u_j at time 0 on entry, at time T on return; all sites.
    pub preactivation: &'a mut [f64],
    /// u̇_j/a at time 0 on entry; all sites. Overwritten.
    pub velocity: &'a mut [f64],
    /// φ'(u_n) at time 0 on entry, at time T on return (an inner value while sliding); active sites.
    pub derivative: &'a mut [f64],
    /// Receives ∫₀ᵀ φ'(u_n(t)) dt; active sites.
    pub integral: &'a mut [f64],
    /// Receives the time of the first sign change (or arrival on a sliding set), ∞ if there is none; all sites.
    pub first_flip: &'a mut [f64],
}

//= N2@064d315e
//= M1@25975a58
/// Integrates one neuron to `time`.
///
/// # Errors
/// The event loop did not come to an end (a safeguard: every change lowers the neuron's energy).
pub(super) fn integrate(
    sites: &Sites,
    slope: f64,
    time: f64,
    neuron: &mut Neuron<'_>,
    work: &mut Workspace,
) -> Result<Events> {
    let a = neuron.readout;
    for v in neuron.velocity.iter_mut() {
        *v *= a;
    }
    for (integral, derivative) in neuron.integral.iter_mut().zip(neuron.derivative.iter()) {
        *integral = derivative * time;
    }
    neuron.first_flip.fill(f64::INFINITY);
    work.prepare(sites, neuron);

    let mut flow = Flow { sites, slope, time, now: 0.0, neuron, work };
    let mut events = Events::default();
    let limit = 1_000_000 + 1_000 * sites.active as u64;
    loop {
        let wait = flow.next_event();
        if wait >= time - flow.now {
            break;
        }
        let site = flow.site_of(wait);
        flow.advance(wait);
        flow.cross(site)?;
        events.count += 1;
        events.undecided |= flow.rests_on_repelling_kink();
        if events.count > limit {
            let reason = format!("no end after {limit} events at time {} of {time}", flow.now);
            return Err(Error::Numerical { routine: "exact gradient flow", reason });
        }
    }
    flow.advance(time - flow.now);
    events.sliding = flow.work.sliding.members.len() as u64;
    Ok(events)
}

impl Workspace {
    fn prepare(&mut self, sites: &Sites, neuron: &Neuron<'_>) {
        let u = &neuron.preactivation[..sites.active];
        self.side.clear();
        self.side.extend(u.iter().map(|&u| if u >= 0.0 { 1.0 } else { -1.0 }));
        let unit = ROUNDING * neuron.readout.abs();
        self.tolerance.clear();
        self.tolerance.extend(sites.speed_limit[..sites.active].iter().map(|limit| unit * limit));
        self.sliding.clear();
    }
}

struct Flow<'a, 'b> {
    sites: &'a Sites,
    slope: f64,
    time: f64,
    now: f64,
    neuron: &'a mut Neuron<'b>,
    work: &'a mut Workspace,
}

impl Flow<'_, '_> {
    /// The time until the next active site reaches 0; ∞ if none ever does.
    fn next_event(&self) -> f64 {
        let active = self.sites.active;
        let (u, v) = (&self.neuron.preactivation[..active], &self.neuron.velocity[..active]);
        earliest(u, v, &self.work.side, &self.work.tolerance)
    }

    /// The first site that reaches 0 after `wait`.
    fn site_of(&self, wait: f64) -> usize {
        let (u, v) = (&self.neuron.preactivation, &self.neuron.velocity);
        (0..self.sites.active)
            .find(|&n| waiting_time(u[n], v[n], self.work.side[n], self.work.tolerance[n]) == wait)
            .expect("the minimum is attained")
    }

    /// Moves all preactivations by `step`, and notes first sign changes of the sites that are only watched.
    fn advance(&mut self, step: f64) {
        let active = self.sites.active;
        let (u, v) = (&self.neuron.preactivation[active..], &self.neuron.velocity[active..]);
        for ((u, v), first) in u.iter().zip(v).zip(&mut self.neuron.first_flip[active..]) {
            if first.is_infinite() && (*u >= 0.0) != (*u + *v * step >= 0.0) {
                *first = self.now + (-u / v).clamp(0.0, step);
            }
        }
        move_lines(self.neuron.preactivation, self.neuron.velocity, step);
        self.now += step;
    }

    //= M2@1a1e7858
    /// Active site `n` has reached 0: it crosses, or joins the sliding set.
    fn cross(&mut self, n: usize) -> Result<()> {
        let first = &mut self.neuron.first_flip[n];
        *first = first.min(self.now);
        self.neuron.preactivation[n] = 0.0;
        let push = self.neuron.readout * self.sites.weights[n];
        let other = if self.work.side[n] > 0.0 { self.slope } else { 1.0 };
        let kink = push * (other - self.neuron.derivative[n]) * self.sites.column(n)[n];
        // A repelling kink (push > 0) only speeds the crossing up; an attracting one may turn the velocity round.
        let turns = push < 0.0 && (self.neuron.velocity[n] + kink) * self.work.side[n] > 0.0;
        if !turns && self.work.sliding.is_empty() {
            self.set_derivative(n, other);
            self.work.side[n] = -self.work.side[n];
            return Ok(());
        }
        if push > 0.0 {
            self.set_derivative(n, other);
            self.work.side[n] = -self.work.side[n];
        } else {
            self.join(n);
        }
        self.join_simultaneous();
        self.slide()
    }

    /// φ'(u_n) becomes `derivative` from now on.
    fn set_derivative(&mut self, n: usize, derivative: f64) {
        let change = derivative - self.neuron.derivative[n];
        self.work.changes.push(DerivativeChange { time: self.now, site: n, derivative });
        self.neuron.derivative[n] = derivative;
        self.neuron.integral[n] += change * (self.time - self.now);
        let factor = self.neuron.readout * self.sites.weights[n] * change;
        add_column(self.neuron.velocity, self.sites.column(n), factor);
    }

    fn join(&mut self, n: usize) {
        self.neuron.preactivation[n] = 0.0;
        self.work.side[n] = 0.0;
        let pull = (self.neuron.readout * self.sites.weights[n]).abs();
        let (derivative, tolerance) = (self.neuron.derivative[n], self.work.tolerance[n]);
        self.work.sliding.members.push(Member::arriving(n, derivative, pull, 0.0, tolerance));
    }

    /// Other attracting samples that are at 0 up to rounding join too: duplicates of a linear combination arrive
    /// together, and rounding must not decide their order.
    fn join_simultaneous(&mut self) {
        let a = self.neuron.readout;
        for n in 0..self.sites.active {
            if self.work.side[n] != 0.0 && a * self.sites.weights[n] < 0.0 && self.is_at_zero(n) {
                let first = &mut self.neuron.first_flip[n];
                *first = first.min(self.now);
                self.join(n);
            }
        }
    }

    /// u_n is zero up to the rounding of the path so far.
    fn is_at_zero(&self, n: usize) -> bool {
        let path = self.neuron.readout.abs() * self.sites.speed_limit[n] * self.now;
        self.neuron.preactivation[n].abs() <= ROUNDING * (self.neuron.norm * self.sites.norms[n] + path)
    }

    /// Sliding samples hold a repelling sample at 0. Staying is what the velocity of smallest norm does, but the
    /// slightest push would carry the neuron away: the flow is not unique from here on. It happens when sliding leads
    /// a neuron's weights into the origin.
    fn rests_on_repelling_kink(&self) -> bool {
        !self.work.sliding.is_empty()
            && (0..self.sites.active).any(|n| {
                self.neuron.readout * self.sites.weights[n] > 0.0
                    && self.neuron.velocity[n].abs() <= self.work.tolerance[n]
                    && self.is_at_zero(n)
            })
    }

    /// Finds the velocity of smallest norm on the sliding set; samples that it drives away leave.
    fn slide(&mut self) -> Result<()> {
        let sites = self.sites;
        for member in &mut self.work.sliding.members {
            member.velocity = self.neuron.velocity[member.site];
        }
        let gram = |j: usize, k: usize| sites.column(k)[j];
        if !self.work.sliding.resolve(self.slope, &gram) {
            let reason = format!("the sliding set of {} samples did not settle", self.work.sliding.members.len());
            return Err(Error::Numerical { routine: "exact gradient flow", reason });
        }
        let resolved = std::mem::take(&mut self.work.sliding.members);
        for member in &resolved {
            if member.derivative != self.neuron.derivative[member.site] {
                self.set_derivative(member.site, member.derivative);
            }
        }
        self.work.sliding.members = resolved;
        for member in self.work.sliding.drain_leaving() {
            self.work.side[member.site] = member.leaves();
        }
        for member in &self.work.sliding.members {
            self.neuron.velocity[member.site] = 0.0;
        }
        Ok(())
    }
}

/// Time until a sample at u with velocity v on the given side reaches 0; ∞ if it does not approach.
#[inline(always)]
fn waiting_time(u: f64, v: f64, side: f64, tolerance: f64) -> f64 {
    let approach = -side * v;
    let wait = (side * u).max(0.0) / approach;
    if approach > tolerance { wait } else { f64::INFINITY }
}

/// The smallest waiting time.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn earliest(u: &[f64], v: &[f64], side: &[f64], tolerance: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut least = [f64::INFINITY; LANES];
    let split = u.len() - u.len() % LANES;
    let chunks = u[..split]
        .chunks_exact(LANES)
        .zip(v[..split].chunks_exact(LANES))
        .zip(side[..split].chunks_exact(LANES))
        .zip(tolerance[..split].chunks_exact(LANES));
    for (((u, v), side), tolerance) in chunks {
        for lane in 0..LANES {
            let wait = waiting_time(u[lane], v[lane], side[lane], tolerance[lane]);
            least[lane] = if wait < least[lane] { wait } else { least[lane] };
        }
    }
    let mut result = f64::INFINITY;
    for wait in least {
        result = result.min(wait);
    }
    for n in split..u.len() {
        result = result.min(waiting_time(u[n], v[n], side[n], tolerance[n]));
    }
    result
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn move_lines(u: &mut [f64], v: &[f64], step: f64) {
    for (u, v) in u.iter_mut().zip(v) {
        *u += v * step;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn add_column(v: &mut [f64], column: &[f64], factor: f64) {
    for (v, k) in v.iter_mut().zip(column) {
        *v += factor * k;
    }
}

#[cfg(test)]
mod tests {
    use super::{add_column, earliest, move_lines, waiting_time};

    /// Compiled here for what every processor of the family has, compiled there for what this one offers.
    #[test]
    fn lines_have_the_bits_of_plain_loops() {
        for n in [0, 1, 7, 8, 100] {
            let wave = |pace: f64| (0..n).map(|i| (pace * i as f64).sin()).collect::<Vec<f64>>();
            let (u, v, column, tolerance) = (wave(0.7), wave(1.1), wave(1.9), vec![1e-12; n]);
            let side: Vec<f64> = u.iter().map(|u| if *u >= 0.0 { 1.0 } else { -1.0 }).collect();
            let plain = (0..n).map(|i| waiting_time(u[i], v[i], side[i], tolerance[i])).fold(f64::INFINITY, f64::min);
            assert_eq!(earliest(&u, &v, &side, &tolerance).to_bits(), plain.to_bits(), "{n}");
            let (mut moved, mut turned) = (u.clone(), v.clone());
            move_lines(&mut moved, &v, 0.3);
            add_column(&mut turned, &column, 0.7);
            assert!((0..n).all(|i| moved[i].to_bits() == (u[i] + v[i] * 0.3).to_bits()), "{n}");
            assert!((0..n).all(|i| turned[i].to_bits() == (v[i] + 0.7 * column[i]).to_bits()), "{n}");
        }
    }
}
