//! Who stands where in the classroom: from ranks to weights, filter and temperatures. A few numbers per batch (or per
//! sample), in f64.

use crate::error::{Error, Result};

/// How mentors' temperatures are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mentoring {
    /// `T_m = 1 + tau (1 - w_S / w_m)`: the wider the gap, the softer the targets.
    Adaptive,
    /// `T_m = 1`: the ablation without mentoring.
    Off,
    /// As the release's DTKD ablation: per sample `T_mentor = 2 tau max z_S / (max z_S + max z_m)`, `T_student` with the
    /// maxima exchanged, both constants; the loss is the mean divergence times the mean of `T_mentor T_student`.
    Dtkd,
}

/// How ranks become weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// Shares of the sum of ranks; the released version.
    Ratio,
    /// The earlier version: networks are sorted by their mean true-class probability; the k-th from below weighs k/10, a
    /// mentor is active if its rank is strictly above the student's, `T = 1 + tau |w_m - w_S|`, and the loss is
    /// multiplied by `(tau |w_m - w_S|)^2` instead of `T^2`.
    Ordinal,
}

/// Over what a rank is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole batch (the released code).
    Batch,
    /// Each sample by itself (the paper's prose).
    Sample,
}

/// The options of the classroom's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassroomOptions {
    /// How far temperatures rise with the gap; 12 on CIFAR-100.
    pub tau: f64,
    /// Decimal digits that shares are rounded to; `None` does not round.
    pub rank_digits: Option<u32>,
    /// How temperatures are chosen.
    pub mentoring: Mentoring,
    /// `false`: the ablation without asking, `L = CE + sum_m KL_m` with every weight and temperature 1.
    pub asking: bool,
    /// How ranks become weights.
    pub ranking: Ranking,
    /// Over what a rank is taken.
    pub scope: Scope,
    /// The variant for equal architectures: `(1 + r_S) CE`, and every teacher's divergence at T = 1 on top.
    pub homogeneous: bool,
    /// How many of the mentors, from the first, are teachers.
    pub teachers: usize,
}

impl Default for ClassroomOptions {
    fn default() -> Self {
        Self {
            tau: 12.0,
            rank_digits: Some(2),
            mentoring: Mentoring::Adaptive,
            asking: true,
            ranking: Ranking::Ratio,
            scope: Scope::Batch,
            homogeneous: false,
            teachers: 1,
        }
    }
}

impl ClassroomOptions {
    /// Refuses what cannot be computed.
    pub(super) fn check(&self, mentors: usize) -> Result<()> {
        if mentors == 0 {
            return Err(Error::request("a classroom needs at least one mentor"));
        }
        if !(self.tau >= 0.0 && self.tau.is_finite()) {
            return Err(Error::request(format!("tau is zero or positive, not {}", self.tau)));
        }
        if self.rank_digits.is_some_and(|digits| digits > 12) {
            return Err(Error::request("rank_digits is at most 12"));
        }
        if self.teachers > mentors {
            return Err(Error::request(format!("{} teachers among {mentors} mentors", self.teachers)));
        }
        Ok(())
    }
}

/// What ranks lead to. The student is network 0 in `weights`; the others have one entry per mentor.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    /// `w_n` of all networks.
    pub weights: &'a mut [f64],
    /// `T_m`, 1 where not active.
    pub temperatures: &'a mut [f64],
    /// What the divergence at `T_m` is multiplied by, zero where not active.
    pub factors: &'a mut [f64],
    /// 1 where the mentor is asked.
    pub active: &'a mut [f64],
}

impl Standing<'_> {
    /// Fills in everything from the ranks `r_n` of all networks; returns the weight of the student's cross-entropy.
    pub fn settle(&mut self, options: &ClassroomOptions, ranks: &[f64]) -> f64 {
        if !options.asking {
            self.weights.fill(1.0);
            self.temperatures.fill(1.0);
            self.factors.fill(1.0);
            self.active.fill(1.0);
            return 1.0;
        }
        match options.ranking {
            Ranking::Ratio => self.by_ratio(options, ranks),
            Ranking::Ordinal => self.by_order(options, ranks),
        }
        if options.homogeneous { 1.0 + ranks[0] } else { ranks[0] }
    }

    fn by_ratio(&mut self, options: &ClassroomOptions, ranks: &[f64]) {
        let mentors = ranks.len() - 1;
        let sum: f64 = ranks.iter().sum();
        for (weight, rank) in self.weights.iter_mut().zip(ranks) {
            // All ranks zero: nobody knows anything, every share is zero.
            let share = if sum > 0.0 { rank / sum } else { 0.0 };
            *weight = round(share, options.rank_digits) * mentors as f64;
        }
        let own = self.weights[0];
        for mentor in 0..mentors {
            let weight = self.weights[1 + mentor];
            let active = weight >= own;
            let gap = if active && weight > 0.0 { 1.0 - own / weight } else { 0.0 };
            let temperature = if options.mentoring == Mentoring::Adaptive { 1.0 + options.tau * gap } else { 1.0 };
            self.active[mentor] = f64::from(u8::from(active));
            self.temperatures[mentor] = temperature;
            self.factors[mentor] = if active { weight * temperature * temperature } else { 0.0 };
        }
    }

    fn by_order(&mut self, options: &ClassroomOptions, ranks: &[f64]) {
        for (network, rank) in ranks.iter().enumerate() {
            // Equal ranks stand in the order of the classroom: the student first.
            let below = ranks.iter().enumerate().filter(|(other, r)| (**r, *other) < (*rank, network)).count();
            self.weights[network] = (1 + below) as f64 / 10.0;
        }
        let own = self.weights[0];
        for mentor in 0..ranks.len() - 1 {
            let weight = self.weights[1 + mentor];
            let active = ranks[1 + mentor] > ranks[0];
            let gap = if options.mentoring == Mentoring::Adaptive { (weight - own).abs() } else { 0.1 };
            let rise = options.tau * gap;
            self.active[mentor] = f64::from(u8::from(active));
            self.temperatures[mentor] = if active { 1.0 + rise } else { 1.0 };
            self.factors[mentor] = if active { weight * rise * rise } else { 0.0 };
        }
    }
}

/// Rounds to decimal digits, halves to even, as Python's `round` does.
fn round(share: f64, digits: Option<u32>) -> f64 {
    match digits {
        None => share,
        Some(digits) => {
            let scale = 10f64.powi(digits as i32);
            (share * scale).round_ties_even() / scale
        }
    }
}

/// The DTKD temperatures of one sample, from the largest logits of both: (mentor's, student's).
pub(super) fn dtkd_temperatures(tau: f64, student_max: f64, mentor_max: f64) -> (f64, f64) {
    // Early in training a largest logit may be negative; a temperature must stay positive.
    let (student, mentor) = (student_max.max(1e-3), mentor_max.max(1e-3));
    let scale = 2.0 * tau / (student + mentor);
    (scale * student, scale * mentor)
}
