//! What a method gains over the student alone, and whether the spread of the seeds supports saying so.

use crate::train::records::{Spread, Summary, SummaryModel};

/// Top-1 of the student by a method minus top-1 of the student alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Gain {
    /// Difference of the means, as a fraction of the test split.
    pub mean: f64,
    /// How many seeds both have.
    pub seeds: usize,
    /// What can be said of it.
    pub verdict: Verdict,
}

/// Whether a difference can be told from the spread over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Larger than the standard deviation of a difference of two single runs, `sqrt(std_a^2 + std_b^2)`, and every
    /// seed of the one lies beyond every seed of the other (by chance 1 in 10 for three seeds each, whatever the
    /// distribution).
    Beyond,
    /// Not larger.
    Within,
    /// A single seed: the spread is not known.
    Unknown,
}

/// What is said of a gain of a single seed.
pub(super) const UNKNOWN: &str = "1 seed: the spread is not known";

/// Whether all values of one lie above all values of the other.
fn apart(left: &Spread, right: &Spread) -> bool {
    let lowest = |spread: &Spread| spread.values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = |spread: &Spread| spread.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lowest(left) > highest(right) || lowest(right) > highest(left)
}

impl Gain {
    /// The gain of `method` over `alone`.
    pub fn of(method: &Spread, alone: &Spread) -> Self {
        let mean = method.mean - alone.mean;
        let verdict = match (method.known_std(), alone.known_std()) {
            (Some(left), Some(right)) if mean.abs() > left.hypot(right) && apart(method, alone) => Verdict::Beyond,
            (Some(_), Some(_)) => Verdict::Within,
            _ => Verdict::Unknown,
        };
        Self { mean, seeds: method.values.len().min(alone.values.len()), verdict }
    }

    /// The gain of `model`, if it is the student by another method than alone and the summary has the student alone.
    pub fn in_summary(model: &SummaryModel, summary: &Summary) -> Option<Self> {
        let alone = summary.alone()?;
        let wanted = model.is_student() && !model.is_alone();
        wanted.then(|| Self::of(&model.top1.last, &alone.top1.last))
    }

    /// The gain in points: `+2.3`.
    pub fn points(&self) -> String {
        format!("{:+.1}", 100.0 * self.mean)
    }

    /// What can be said of it, to stand after the points.
    pub fn note(&self) -> String {
        match self.verdict {
            Verdict::Beyond => format!("beyond the spread of {} seeds", self.seeds),
            Verdict::Within => format!("not beyond the spread of {} seeds", self.seeds),
            Verdict::Unknown => UNKNOWN.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gain_beyond_the_spread_is_called_one() {
        let alone = Spread::of(vec![0.841, 0.852, 0.857]);
        let gain = Gain::of(&Spread::of(vec![0.872, 0.873, 0.874]), &alone);
        assert_eq!((gain.verdict, gain.points().as_str()), (Verdict::Beyond, "+2.3"));
        let gain = Gain::of(&Spread::of(vec![0.850, 0.856, 0.860]), &alone);
        assert_eq!(gain.note(), "not beyond the spread of 3 seeds");
        let loss = Gain::of(&Spread::of(vec![0.80, 0.81, 0.80]), &alone);
        assert_eq!((loss.verdict, loss.points().as_str()), (Verdict::Beyond, "-4.7"));
        let single = Gain::of(&Spread::of(vec![0.9]), &Spread::of(vec![0.8]));
        assert_eq!(single.note(), "1 seed: the spread is not known");
        // Larger than the standard deviations, but the worst seed by the method is no better than the best one alone.
        let overlapping = Gain::of(
            &Spread::of(vec![0.729, 0.732, 0.735, 0.738, 0.741]),
            &Spread::of(vec![0.724, 0.727, 0.73, 0.73, 0.73]),
        );
        assert_eq!(overlapping.verdict, Verdict::Within);
        // Seeds that agree by chance are no licence to call nothing a gain.
        assert_eq!(Gain::of(&Spread::of(vec![0.5, 0.5]), &Spread::of(vec![0.5, 0.5])).verdict, Verdict::Within);
    }
}
