//! Round numbers along an axis.

/// An axis: where it starts and ends, and the round numbers between.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    decimals: usize,
}

impl Axis {
    /// An axis over `low..=high` whose ends are round numbers too, with about `count` ticks.
    pub(super) fn round(low: f64, high: f64, count: usize) -> Self {
        let (low, high) = widen(low, high);
        let step = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> = (0..=(last - first) as usize).map(|index| (first + index as f64) * step).collect();
        Self { low: first * step, high: last * step, ticks, decimals: decimals(step) }
    }

    /// The same axis without what lies outside `low..=high`, where no value can be.
    pub(super) fn within(mut self, low: f64, high: f64) -> Self {
        self.ticks.retain(|tick| (low - 1e-9..=high + 1e-9).contains(tick));
        self.low = self.low.max(low);
        self.high = self.high.min(high);
        self
    }

    /// An axis of whole numbers that starts and ends where the data does.
    pub(super) fn whole(low: f64, high: f64, count: usize) -> Self {
        let step = round_step((high - low) / count.max(1) as f64).max(1.0).ceil();
        let first = (low / step).ceil();
        let ticks = (0..).map(|index| (first + f64::from(index)) * step).take_while(|tick| *tick <= high).collect();
        let (low, high) = if low < high { (low, high) } else { (low - 0.5, high + 0.5) };
        Self { low, high, ticks, decimals: 0 }
    }

    /// Where `value` lies: 0 at the start, 1 at the end.
    pub(super) fn at(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The text of a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        let text = format!("{tick:.*}", self.decimals);
        if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { "0".into() } else { text }
    }
}

/// Room around values that are all the same.
fn widen(low: f64, high: f64) -> (f64, f64) {
    let room = high.abs().max(low.abs()).max(1.0) * 0.05;
    if high - low > room * 1e-6 { (low, high) } else { (low - room, high + room) }
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let times = [1.0, 2.0, 2.5, 5.0].into_iter().find(|times| times * power >= step * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

fn decimals(step: f64) -> usize {
    (0..12).find(|decimals| ((step * 10f64.powi(*decimals)).fract()).abs() < 1e-6).unwrap_or(12) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        let labels = |axis: &Axis| axis.ticks.iter().map(|tick| axis.label(*tick)).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(&Axis::round(71.2, 90.4, 5)), "70 75 80 85 90 95");
        assert_eq!(labels(&Axis::round(0.0, 1.0, 5)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Axis::round(-0.1, 0.1, 4)), "-0.10 -0.05 0 0.05 0.10");
        assert_eq!(labels(&Axis::whole(1.0, 8.0, 8)), "1 2 3 4 5 6 7 8");
        assert_eq!(labels(&Axis::whole(1.0, 240.0, 6)), "50 100 150 200");
        assert_eq!(labels(&Axis::whole(1.0, 1.0, 6)), "1");
        let percent = Axis::round(93.0, 100.0, 4);
        assert_eq!(labels(&percent), "92 94 96 98 100");
        let all = Axis::round(100.0, 100.0, 4);
        assert_eq!(labels(&all), "95.0 97.5 100.0 102.5 105.0");
        assert_eq!(labels(&all.within(0.0, 100.0)), "95.0 97.5 100.0");
    }

    proptest! {
        #[test]
        fn every_value_lies_on_its_axis(low in -1e6f64..1e6, span in 0f64..1e6, count in 1usize..10) {
            let axis = Axis::round(low, low + span, count);
            prop_assert!((-1e-6..=1.000_001).contains(&axis.at(low)) && (-1e-6..=1.000_001).contains(&axis.at(low + span)));
            prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= count + 3, "{:?}", axis);
        }
    }
}
