//! What a method says about itself, and the values its hyperparameters were given.

use super::lesson::Lesson;
use super::taught::Taught;
use crate::error::{Error, Result, nearest};
use crate::nn::Network;
use crate::tape::Tape;

/// What a method says about itself.
#[derive(Debug)]
pub struct MethodDescription {
    /// Its name in a config.
    pub name: &'static str,
    /// One line: what it does.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it needs of a classroom.
    pub needs: Needs,
    /// What can be chosen.
    pub hyperparameters: &'static [Hyperparameter],
    /// Says which hyperparameter contradicts the others, and why, where each for itself is fine.
    pub contradiction: fn(&Hyperparameters) -> Option<(&'static str, String)>,
    /// The epochs, counted from 0 and ascending, from which on something else is recorded: the method's phases after the
    /// first. Of what is not reached nothing is recorded.
    pub phases: fn(&Hyperparameters) -> Vec<u32>,
    /// The features that the method reads, and whether the classroom can give them.
    pub taps: fn(&Classroom<'_>, &Hyperparameters) -> Result<Taps>,
    /// The net that learns in the student's place, where that is another than the config names.
    pub student: fn(&Classroom<'_>, &Hyperparameters) -> Result<Option<Network>>,
    /// Records the method's loss for a lesson on the tape.
    pub record: fn(&mut Tape, &mut Lesson<'_>, &Hyperparameters) -> Result<Taught>,
    /// Says in a few words what the method has learned of its own, given its parameters by name.
    pub learned: Learned,
}

/// What a method has learned, by name, from its hyperparameters and from its parameters by name.
pub type Learned = fn(&Hyperparameters, &dyn Fn(&str) -> Option<Vec<f32>>) -> Vec<(String, String)>;

impl MethodDescription {
    /// A method on logits with nothing special; its loss is the cross-entropy.
    pub const BASE: Self = Self {
        name: "",
        title: "",
        paper: "",
        needs: Needs { teachers: Use::Unused, assistants: Use::Unused, peers: Use::Unused, features: false },
        hyperparameters: &[],
        contradiction: |_| None,
        phases: |_| Vec::new(),
        taps: |_, _| Ok(Taps::default()),
        student: |_, _| Ok(None),
        record: |tape, lesson, _| super::cross_entropy::record(tape, lesson),
        learned: |_, _| Vec::new(),
    };
}

/// The networks of a classroom.
#[derive(Clone, Debug)]
pub struct Classroom<'a> {
    /// The student's.
    pub student: &'a Network,
    /// Those of the frozen mentors, with their roles: teachers, assistants, peers.
    pub mentors: Vec<(&'a str, &'a Network)>,
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
}

/// Names of features that a method reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// Of the student.
    pub student: Vec<String>,
    /// Of each mentor, in their order; empty at the end for those of which nothing is read.
    pub mentors: Vec<Vec<String>>,
}

/// What a method needs of a classroom. A method that makes use of mentors at all needs at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether teachers take part.
    pub teachers: Use,
    /// Whether assistants take part.
    pub assistants: Use,
    /// Whether peers take part.
    pub peers: Use,
    /// Whether it reads feature maps, not logits alone.
    pub features: bool,
}

impl Needs {
    /// Whether any mentor takes part.
    pub fn mentors(self) -> bool {
        [self.teachers, self.assistants, self.peers].iter().any(|part| *part != Use::Unused)
    }
}

/// Whether a part of the classroom takes part in a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is ignored.
    Unused,
    /// It takes part where there is one.
    Optional,
    /// There has to be one.
    Required,
    /// There have to be two or more.
    Several,
}

impl Use {
    /// How many there have to be.
    pub fn least(self) -> usize {
        match self {
            Self::Unused | Self::Optional => 0,
            Self::Required => 1,
            Self::Several => 2,
        }
    }
}

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
    /// Of a [`Kind::Number`].
    Number(f64),
    /// Of a [`Kind::Count`] or a [`Kind::CountOrNone`].
    Count(Option<u32>),
    /// Of a [`Kind::Epochs`].
    Epochs(f64),
    /// Of a [`Kind::Milestones`]; infinity where there are fewer.
    Milestones([f64; 4]),
    /// Of a [`Kind::Flag`].
    Flag(bool),
    /// Of a [`Kind::Choice`].
    Choice(&'static str),
}

impl Kind {
    /// The value when nothing is written.
    pub fn default(&self) -> Setting {
        match *self {
            Kind::Number { default, .. } => Setting::Number(default),
            Kind::Count { default, .. } => Setting::Count(Some(default)),
            Kind::CountOrNone { default, .. } => Setting::Count(default),
            Kind::Epochs { default } => Setting::Epochs(default),
            Kind::Milestones { default } => Setting::Milestones(milestones(default)),
            Kind::Flag { default } => Setting::Flag(default),
            Kind::Choice { names } => Setting::Choice(names[0]),
        }
    }

    /// Which values are allowed, in words.
    pub fn expected(&self) -> String {
        match *self {
            Kind::Number { minimum, inclusive: true, .. } => format!("a number of {minimum} or more"),
            Kind::Number { minimum, inclusive: false, .. } => format!("a number above {minimum}"),
            Kind::Count { minimum, maximum, .. } => format!("a whole number from {minimum} to {maximum}"),
            Kind::CountOrNone { maximum, .. } => format!("a whole number from 0 to {maximum}, or \"none\""),
            Kind::Epochs { .. } => "a number of epochs of 0 or more".into(),
            Kind::Milestones { .. } => "up to 4 numbers of epochs, ascending".into(),
            Kind::Flag { .. } => "true or false".into(),
            Kind::Choice { names } => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or "),
        }
    }

    /// `raw` as a value of this kind, if it is one.
    pub fn accept(&self, raw: Raw<'_>) -> Option<Setting> {
        match (*self, raw) {
            (Kind::Number { minimum, inclusive, .. }, Raw::Number(_) | Raw::Integer(_)) => {
                let number = match raw {
                    Raw::Integer(number) => number as f64,
                    Raw::Number(number) => number,
                    _ => return None,
                };
                let enough = if inclusive { number >= minimum } else { number > minimum };
                (number.is_finite() && enough).then_some(Setting::Number(number))
            }
            (Kind::CountOrNone { .. }, Raw::Nothing | Raw::Text("none")) => Some(Setting::Count(None)),
            (Kind::Count { minimum, maximum, .. }, Raw::Integer(number)) => {
                let count = u32::try_from(number).ok().filter(|count| (minimum..=maximum).contains(count))?;
                Some(Setting::Count(Some(count)))
            }
            (Kind::CountOrNone { maximum, .. }, Raw::Integer(number)) => {
                let count = u32::try_from(number).ok().filter(|count| *count <= maximum)?;
                Some(Setting::Count(Some(count)))
            }
            (Kind::Epochs { .. }, Raw::Integer(number)) if number >= 0 => Some(Setting::Epochs(number as f64)),
            (Kind::Epochs { .. }, Raw::Number(number)) if number.is_finite() && number >= 0.0 => {
                Some(Setting::Epochs(number))
            }
            (Kind::Milestones { .. }, Raw::Numbers(numbers)) => {
                let fit = numbers.len() <= 4 && numbers.iter().all(|number| number.is_finite() && *number >= 0.0);
                (fit && numbers.is_sorted()).then(|| Setting::Milestones(milestones(numbers)))
            }
            (Kind::Flag { .. }, Raw::Flag(flag)) => Some(Setting::Flag(flag)),
            (Kind::Choice { names }, Raw::Text(text)) => {
                names.iter().copied().find(|name| *name == text).map(Setting::Choice)
            }
            _ => None,
        }
    }

    /// The name of a choice that is nearest to `raw`, if one is near.
    pub fn nearest(&self, raw: Raw<'_>) -> Option<&'static str> {
        match (*self, raw) {
            (Kind::Choice { names }, Raw::Text(text)) => nearest(text, names.iter().copied()),
            _ => None,
        }
    }
}

/// A list of up to four, filled up with infinity.
fn milestones(numbers: &[f64]) -> [f64; 4] {
    let mut all = [f64::INFINITY; 4];
    all.iter_mut().zip(numbers).for_each(|(to, number)| *to = *number);
    all
}

impl MethodDescription {
    /// Every hyperparameter at its default.
    pub fn defaults(&self) -> Hyperparameters {
        let values = self.hyperparameters.iter().map(|one| (one.name, one.kind.default())).collect();
        Hyperparameters { values }
    }

    /// The hyperparameters from a JSON object, as parity cases and saved models carry them; what is absent is at its
    /// default.
    ///
    /// # Errors
    /// For a key this method does not have, or a value it does not take.
    pub fn from_json(&self, object: &serde_json::Map<String, serde_json::Value>) -> Result<Hyperparameters> {
        let mut hyperparameters = self.defaults();
        for (key, value) in object {
            let Some(index) = self.hyperparameters.iter().position(|one| one.name == key) else {
                let error = Error::request(format!("method {} has no hyperparameter `{key}`", self.name));
                return Err(error.suggest(key, self.hyperparameters.iter().map(|one| one.name)));
            };
            let numbers;
            let raw = match value {
                serde_json::Value::Null => Raw::Nothing,
                serde_json::Value::Bool(flag) => Raw::Flag(*flag),
                serde_json::Value::Number(number) => match number.as_i64() {
                    Some(integer) => Raw::Integer(integer),
                    None => Raw::Number(number.as_f64().unwrap_or(f64::NAN)),
                },
                serde_json::Value::String(text) => Raw::Text(text),
                serde_json::Value::Array(list) => {
                    numbers = list.iter().filter_map(serde_json::Value::as_f64).collect::<Vec<_>>();
                    if numbers.len() == list.len() { Raw::Numbers(&numbers) } else { Raw::Compound }
                }
                serde_json::Value::Object(_) => Raw::Compound,
            };
            let kind = self.hyperparameters[index].kind;
            hyperparameters.values[index].1 = kind.accept(raw).ok_or_else(|| {
                Error::request(format!("{}.{key}: expected {}, found {value}", self.name, kind.expected()))
            })?;
        }
        match (self.contradiction)(&hyperparameters) {
            Some((key, why)) => Err(Error::request(format!("{}.{key}: {why}", self.name))),
            None => Ok(hyperparameters),
        }
    }
}

/// The values of all hyperparameters of one method, in the order of its description.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    values: Vec<(&'static str, Setting)>,
}

impl Hyperparameters {
    /// Name and value of each, in the order of the description.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Setting)> + '_ {
        self.values.iter().copied()
    }

    /// Replaces the value of `name`, which [`Kind::accept`] has accepted.
    ///
    /// # Panics
    /// Where the method has no such hyperparameter: a fault of the caller.
    pub fn set(&mut self, name: &str, setting: Setting) {
        let value = self.values.iter_mut().find(|(known, _)| *known == name);
        value.unwrap_or_else(|| panic!("no hyperparameter is called {name}")).1 = setting;
    }

    /// The value of `name`.
    ///
    /// # Panics
    /// Where the method has no such hyperparameter: a fault of the caller.
    pub fn get(&self, name: &str) -> Setting {
        let value = self.values.iter().find(|(known, _)| *known == name);
        value.unwrap_or_else(|| panic!("no hyperparameter is called {name}")).1
    }

    /// The value of the [`Kind::Number`] `name`.
    ///
    /// # Panics
    /// Where the method has no such number: a fault of the caller.
    pub fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Setting::Number(number) => number,
            other => panic!("{name} is no number but {other:?}"),
        }
    }

    /// The value of the [`Kind::Count`] `name`.
    ///
    /// # Panics
    /// Where the method has no such number: a fault of the caller.
    pub fn whole(&self, name: &str) -> usize {
        self.count(name).unwrap_or_else(|| panic!("{name} may be none")) as usize
    }

    /// The value of the [`Kind::CountOrNone`] `name`.
    ///
    /// # Panics
    /// Where the method has no such count: a fault of the caller.
    pub fn count(&self, name: &str) -> Option<u32> {
        match self.get(name) {
            Setting::Count(count) => count,
            other => panic!("{name} is no count but {other:?}"),
        }
    }

    /// The value of the [`Kind::Epochs`] `name`.
    ///
    /// # Panics
    /// Where the method has no such time: a fault of the caller.
    pub fn epochs(&self, name: &str) -> f64 {
        match self.get(name) {
            Setting::Epochs(epochs) => epochs,
            other => panic!("{name} is no number of epochs but {other:?}"),
        }
    }

    /// The value of the [`Kind::Milestones`] `name`; infinity where there are fewer than four.
    ///
    /// # Panics
    /// Where the method has no such list: a fault of the caller.
    pub fn milestones(&self, name: &str) -> [f64; 4] {
        match self.get(name) {
            Setting::Milestones(milestones) => milestones,
            other => panic!("{name} is no list of epochs but {other:?}"),
        }
    }

    /// Scales all times from a training of `from` epochs to one of `to`.
    pub fn scale(&mut self, from: u32, to: u32) {
        let scaled = |time: f64| time * f64::from(to) / f64::from(from);
        for (_, setting) in &mut self.values {
            match setting {
                Setting::Epochs(time) => *time = scaled(*time),
                Setting::Milestones(times) => *times = times.map(scaled),
                _ => {}
            }
        }
    }

    /// The value of the [`Kind::Flag`] `name`.
    ///
    /// # Panics
    /// Where the method has no such flag: a fault of the caller.
    pub fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Setting::Flag(flag) => flag,
            other => panic!("{name} is no flag but {other:?}"),
        }
    }

    /// The value of the [`Kind::Choice`] `name`.
    ///
    /// # Panics
    /// Where the method has no such choice: a fault of the caller.
    pub fn choice(&self, name: &str) -> &'static str {
        match self.get(name) {
            Setting::Choice(choice) => choice,
            other => panic!("{name} is no choice but {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::{METHODS, find};

    #[test]
    fn every_default_is_a_value_its_kind_accepts() {
        for method in METHODS {
            for one in method.hyperparameters {
                let raw = match one.kind.default() {
                    Setting::Number(number) => Raw::Number(number),
                    Setting::Count(Some(count)) => Raw::Integer(count.into()),
                    Setting::Count(None) => Raw::Nothing,
                    Setting::Epochs(number) => Raw::Number(number),
                    Setting::Milestones(_) => match one.kind {
                        Kind::Milestones { default } => Raw::Numbers(default),
                        _ => unreachable!("of its own kind"),
                    },
                    Setting::Flag(flag) => Raw::Flag(flag),
                    Setting::Choice(choice) => Raw::Text(choice),
                };
                assert_eq!(one.kind.accept(raw), Some(one.kind.default()), "{}.{}", method.name, one.name);
            }
            assert_eq!((method.contradiction)(&method.defaults()), None, "{}", method.name);
        }
    }

    #[test]
    fn names_are_unique_and_none_is_a_key_of_every_method() {
        for (index, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..index].iter().all(|earlier| earlier.name != method.name), "{} twice", method.name);
            for (index, one) in method.hyperparameters.iter().enumerate() {
                let earlier = &method.hyperparameters[..index];
                assert!(earlier.iter().all(|other| other.name != one.name), "{}.{} twice", method.name, one.name);
                assert!(!["name", "label", "weights"].contains(&one.name), "{}.{}", method.name, one.name);
            }
        }
    }

    #[test]
    fn json_of_a_parity_case_is_read() {
        let method = find("classroomkd").unwrap();
        let read = |text: &str| method.from_json(&serde_json::from_str(text).unwrap());
        let values = read(r#"{"tau": 4, "rank_digits": null, "mentoring": false}"#).unwrap();
        assert_eq!(values.number("tau"), 4.0);
        assert_eq!(values.count("rank_digits"), None);
        assert!(!values.flag("mentoring"));
        assert!(values.flag("asking"));
        let message = read(r#"{"tua": 4}"#).unwrap_err();
        assert!(message.to_string().contains("no hyperparameter `tua`"), "{message}");
        let message = read(r#"{"tau": -1}"#).unwrap_err().to_string();
        assert!(message.contains("expected a number of 0 or more, found -1"), "{message}");
        let message = read(r#"{"rank_digits": [2]}"#).unwrap_err().to_string();
        assert!(message.contains("expected a whole number"), "{message}");
        let message = read(r#"{"mentoring": false, "temperatures": "dtkd"}"#).unwrap_err().to_string();
        assert!(message.contains("mentoring = false"), "{message}");
    }
}
