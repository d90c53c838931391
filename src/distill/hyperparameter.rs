//! What can be chosen about a method: its hyperparameters, the values that each takes, and which of them are refused.

use crate::error::nearest;

/// One thing that can be chosen about a method.
#[derive(Debug)]
pub struct Hyperparameter {
    /// Its key in a config.
    pub name: &'static str,
    /// Which values it takes, and the default.
    pub kind: Kind,
    /// One line: what it does.
    pub documentation: &'static str,
}

impl Hyperparameter {
    /// A number of 0 or more: a weight of a loss, a learning rate.
    pub(super) const fn weight(name: &'static str, default: f64, documentation: &'static str) -> Self {
        Self { name, kind: Kind::Number { default, minimum: 0.0, inclusive: true }, documentation }
    }

    /// The weight of the cross-entropy with the labels.
    pub(super) const fn ce_weight(default: f64) -> Self {
        Self::weight("ce_weight", default, "weight of the cross-entropy with the labels")
    }

    /// A share: a number from 0 to 1.
    pub(super) const fn share(name: &'static str, default: f64, documentation: &'static str) -> Self {
        Self { name, kind: Kind::Share { default }, documentation }
    }

    /// A number above 0: a temperature.
    pub(super) const fn positive(name: &'static str, default: f64, documentation: &'static str) -> Self {
        Self { name, kind: Kind::Number { default, minimum: 0.0, inclusive: false }, documentation }
    }

    /// A whole number from `minimum` to `maximum`.
    pub(super) const fn count(
        name: &'static str,
        default: u32,
        [minimum, maximum]: [u32; 2],
        documentation: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Count { default, minimum, maximum }, documentation }
    }

    /// A time in epochs.
    pub(super) const fn epochs(name: &'static str, default: f64, documentation: &'static str) -> Self {
        Self { name, kind: Kind::Epochs { default }, documentation }
    }

    /// `true` or `false`.
    pub(super) const fn flag(name: &'static str, default: bool, documentation: &'static str) -> Self {
        Self { name, kind: Kind::Flag { default }, documentation }
    }

    /// One of several names; the first is the default.
    pub(super) const fn choice(
        name: &'static str,
        names: &'static [&'static str],
        documentation: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Choice { names }, documentation }
    }

    /// A method that this one builds on: `own`, which stands for what it does itself, or one of `others`.
    pub(super) const fn method(
        name: &'static str,
        own: &'static str,
        others: &'static [&'static str],
        documentation: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Method { own, others }, documentation }
    }
}

/// Which values a hyperparameter takes, and its default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A finite number of at least `minimum`, or above it.
    Number {
        /// What it is when nothing is written.
        default: f64,
        /// The lower end of the range.
        minimum: f64,
        /// Whether `minimum` itself is allowed.
        inclusive: bool,
    },
    /// A number from 0 to 1.
    Share {
        /// What it is when nothing is written.
        default: f64,
    },
    /// A whole number from `minimum` to `maximum`.
    Count {
        /// What it is when nothing is written.
        default: u32,
        /// The smallest value.
        minimum: u32,
        /// The largest value.
        maximum: u32,
    },
    /// A whole number of at most `maximum`, or `"none"`.
    CountOrNone {
        /// What it is when nothing is written.
        default: Option<u32>,
        /// The largest value.
        maximum: u32,
    },
    /// A time in epochs, whole or not; it scales with the training's (`--epochs`).
    Epochs {
        /// What it is when nothing is written.
        default: f64,
    },
    /// Up to four times in epochs, ascending; they scale with the training's.
    Milestones {
        /// What they are when nothing is written.
        default: &'static [f64],
    },
    /// `true` or `false`.
    Flag {
        /// What it is when nothing is written.
        default: bool,
    },
    /// One of several names; the first is the default.
    Choice {
        /// The names.
        names: &'static [&'static str],
    },
    /// A method that another one builds on: by its name, or in a config as a table of its name and hyperparameters.
    Method {
        /// What the other one does by itself, with hyperparameters of its own: the default.
        own: &'static str,
        /// The methods it may be instead.
        others: &'static [&'static str],
    },
}

/// A value before it is known whether it fits: from a config or from the metadata of a parity case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    /// A number with a fraction or exponent.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// A text.
    Text(&'a str),
    /// JSON's null.
    Nothing,
    /// A list of numbers.
    Numbers(&'a [f64]),
    /// Another list or a table, which no hyperparameter takes.
    Compound,
}

/// The value of one hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Of a [`Kind::Number`] or a [`Kind::Share`].
    Number(f64),
    /// Of a [`Kind::Count`] or a [`Kind::CountOrNone`].
    Count(Option<u32>),
    /// Of a [`Kind::Epochs`].
    Epochs(f64),
    /// Of a [`Kind::Milestones`]; infinity where there are fewer.
    Milestones([f64; 4]),
    /// Of a [`Kind::Flag`].
    Flag(bool),
    /// Of a [`Kind::Choice`], or the own one of a [`Kind::Method`].
    Choice(&'static str),
    /// Another one of a [`Kind::Method`]; its values are [`super::Hyperparameters::of_method`].
    Method(&'static str),
}

impl Raw<'_> {
    /// A finite number, whole or not.
    fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number).filter(|number| number.is_finite()),
            Self::Integer(number) => Some(number as f64),
            _ => None,
        }
    }

    /// A whole number from `minimum` to `maximum`.
    fn count(self, minimum: u32, maximum: u32) -> Option<u32> {
        match self {
            Self::Integer(number) => u32::try_from(number).ok().filter(|count| (minimum..=maximum).contains(count)),
            _ => None,
        }
    }
}

impl Kind {
    /// The value when nothing is written.
    pub fn default(&self) -> Setting {
        match *self {
            Kind::Number { default, .. } | Kind::Share { default } => Setting::Number(default),
            Kind::Count { default, .. } => Setting::Count(Some(default)),
            Kind::CountOrNone { default, .. } => Setting::Count(default),
            Kind::Epochs { default } => Setting::Epochs(default),
            Kind::Milestones { default } => Setting::Milestones(milestones(default)),
            Kind::Flag { default } => Setting::Flag(default),
            Kind::Choice { names } => Setting::Choice(names[0]),
            Kind::Method { own, .. } => Setting::Choice(own),
        }
    }

    /// Which values are allowed, in words.
    pub fn expected(&self) -> String {
        match *self {
            Kind::Number { minimum, inclusive: true, .. } => format!("a number of {minimum} or more"),
            Kind::Number { minimum, inclusive: false, .. } => format!("a number above {minimum}"),
            Kind::Share { .. } => "a number from 0 to 1".into(),
            Kind::Count { minimum, maximum, .. } => format!("a whole number from {minimum} to {maximum}"),
            Kind::CountOrNone { maximum, .. } => format!("a whole number from 0 to {maximum}, or \"none\""),
            Kind::Epochs { .. } => "a number of epochs of 0 or more".into(),
            Kind::Milestones { .. } => "up to 4 numbers of epochs, ascending".into(),
            Kind::Flag { .. } => "true or false".into(),
            Kind::Choice { names } => quoted(names.iter().copied()),
            Kind::Method { own, others } => {
                let names = quoted([own].into_iter().chain(others.iter().copied()));
                format!("{names}, or {{ name = \"{}\", ... }} with its hyperparameters", others[0])
            }
        }
    }

    /// `raw` as a value of this kind, if it is one.
    pub fn accept(&self, raw: Raw<'_>) -> Option<Setting> {
        match *self {
            Kind::Number { minimum, inclusive, .. } => {
                let is_enough = |number: &f64| *number > minimum || inclusive && *number == minimum;
                raw.number().filter(is_enough).map(Setting::Number)
            }
            Kind::Share { .. } => raw.number().filter(|share| (0.0..=1.0).contains(share)).map(Setting::Number),
            Kind::Count { minimum, maximum, .. } => {
                raw.count(minimum, maximum).map(|count| Setting::Count(Some(count)))
            }
            Kind::CountOrNone { maximum, .. } => match raw {
                Raw::Nothing | Raw::Text("none") => Some(Setting::Count(None)),
                _ => raw.count(0, maximum).map(|count| Setting::Count(Some(count))),
            },
            Kind::Epochs { .. } => raw.number().filter(|time| *time >= 0.0).map(Setting::Epochs),
            Kind::Milestones { .. } => {
                let Raw::Numbers(numbers) = raw else { return None };
                let fit = numbers.len() <= 4 && numbers.iter().all(|number| number.is_finite() && *number >= 0.0);
                (fit && numbers.is_sorted()).then(|| Setting::Milestones(milestones(numbers)))
            }
            Kind::Flag { .. } => match raw {
                Raw::Flag(flag) => Some(Setting::Flag(flag)),
                _ => None,
            },
            Kind::Choice { names } => match raw {
                Raw::Text(text) => names.iter().copied().find(|name| *name == text).map(Setting::Choice),
                _ => None,
            },
            Kind::Method { own, others } => match raw {
                Raw::Text(text) if text == own => Some(Setting::Choice(own)),
                Raw::Text(text) => others.iter().copied().find(|name| *name == text).map(Setting::Method),
                _ => None,
            },
        }
    }

    /// The name of a choice that is nearest to `raw`, if one is near.
    pub fn nearest(&self, raw: Raw<'_>) -> Option<&'static str> {
        match (*self, raw) {
            (Kind::Choice { names }, Raw::Text(text)) => nearest(text, names.iter().copied()),
            (Kind::Method { own, others }, Raw::Text(text)) => {
                nearest(text, [own].into_iter().chain(others.iter().copied()))
            }
            _ => None,
        }
    }
}

/// The names in quotes.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}

/// A list of up to four, filled up with infinity.
fn milestones(numbers: &[f64]) -> [f64; 4] {
    let mut all = [f64::INFINITY; 4];
    all.iter_mut().zip(numbers).for_each(|(to, number)| *to = *number);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::METHODS;

    #[test]
    fn every_default_is_a_value_its_kind_accepts() {
        for method in METHODS {
            for one in method.hyperparameters {
                let raw = match one.kind.default() {
                    Setting::Number(number) | Setting::Epochs(number) => Raw::Number(number),
                    Setting::Count(Some(count)) => Raw::Integer(count.into()),
                    Setting::Count(None) => Raw::Nothing,
                    Setting::Milestones(_) => match one.kind {
                        Kind::Milestones { default } => Raw::Numbers(default),
                        _ => unreachable!("of its own kind"),
                    },
                    Setting::Flag(flag) => Raw::Flag(flag),
                    Setting::Choice(choice) | Setting::Method(choice) => Raw::Text(choice),
                };
                assert_eq!(one.kind.accept(raw), Some(one.kind.default()), "{}.{}", method.name, one.name);
            }
        }
    }

    #[test]
    fn values_out_of_range_or_of_another_type_are_refused() {
        let weight = Hyperparameter::weight("weight", 1.0, "").kind;
        let temperature = Hyperparameter::positive("temperature", 1.0, "").kind;
        let share = Hyperparameter::share("share", 0.5, "").kind;
        let count = Hyperparameter::count("count", 2, [1, 4], "").kind;
        let digits = Kind::CountOrNone { default: None, maximum: 9 };
        let epochs = Hyperparameter::epochs("epochs", 1.0, "").kind;
        let milestones = Kind::Milestones { default: &[] };
        for (kind, raw) in [
            (weight, Raw::Integer(0)),
            (temperature, Raw::Number(1e-9)),
            (share, Raw::Integer(1)),
            (share, Raw::Number(0.0)),
            (count, Raw::Integer(4)),
            (digits, Raw::Text("none")),
            (digits, Raw::Integer(0)),
            (epochs, Raw::Number(0.5)),
            (milestones, Raw::Numbers(&[1.0, 1.0, 2.5])),
        ] {
            assert!(kind.accept(raw).is_some(), "{kind:?} {raw:?}");
        }
        for (kind, raw) in [
            (weight, Raw::Number(-1e-9)),
            (weight, Raw::Number(f64::INFINITY)),
            (weight, Raw::Text("1")),
            (temperature, Raw::Integer(0)),
            (temperature, Raw::Number(f64::NAN)),
            (share, Raw::Number(1.0 + 1e-9)),
            (share, Raw::Number(-1e-9)),
            (count, Raw::Integer(0)),
            (count, Raw::Integer(5)),
            (count, Raw::Number(2.0)),
            (count, Raw::Text("none")),
            (digits, Raw::Integer(10)),
            (epochs, Raw::Integer(-1)),
            (epochs, Raw::Numbers(&[1.0])),
            (milestones, Raw::Numbers(&[2.0, 1.0])),
            (milestones, Raw::Numbers(&[1.0, 2.0, 3.0, 4.0, 5.0])),
            (milestones, Raw::Number(1.0)),
        ] {
            assert_eq!(kind.accept(raw), None, "{kind:?} {raw:?}");
        }
    }
}
