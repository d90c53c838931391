//! The values that a method's hyperparameters were given: from a config one by one, or from JSON.

use super::description::MethodDescription;
use super::find;
use super::hyperparameter::{Kind, Raw, Setting};
use crate::error::{Error, Result};

impl MethodDescription {
    /// Every hyperparameter at its default.
    pub fn defaults(&self) -> Hyperparameters {
        let values = self.hyperparameters.iter().map(|one| (one.name, one.kind.default())).collect();
        Hyperparameters { values, of_methods: Vec::new() }
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
            let kind = self.hyperparameters[index].kind;
            if let (Kind::Method { others, .. }, Some(table)) = (kind, value.as_object()) {
                let mut table = table.clone();
                let name = table.remove("name");
                let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
                let other = others.iter().find(|other| **other == name).and_then(|other| find(other));
                let other = other.ok_or_else(|| {
                    let error = Error::request(format!("{}.{key}: `{name}` is no method to build on", self.name));
                    error.suggest(name, others.iter().copied())
                })?;
                hyperparameters.set_method(self.hyperparameters[index].name, other.name, other.from_json(&table)?);
                continue;
            }
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
            let setting = kind.accept(raw).ok_or_else(|| {
                Error::request(format!("{}.{key}: expected {}, found {value}", self.name, kind.expected()))
            })?;
            hyperparameters.set(self.hyperparameters[index].name, setting);
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
    /// Those of the methods that it builds on, by the hyperparameter that names the method.
    of_methods: Vec<(&'static str, Hyperparameters)>,
}

impl Hyperparameters {
    /// Name and value of each, in the order of the description.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Setting)> + '_ {
        self.values.iter().copied()
    }

    /// Replaces the value of `name`, which [`Kind::accept`] has accepted. A method that is named here has its defaults.
    ///
    /// # Panics
    /// Where the method has no such hyperparameter: a fault of the caller.
    pub fn set(&mut self, name: &str, setting: Setting) {
        let value = self.values.iter_mut().find(|(known, _)| *known == name);
        let value = value.unwrap_or_else(|| panic!("no hyperparameter is called {name}"));
        value.1 = setting;
        self.of_methods.retain(|(of, _)| *of != value.0);
        if let Setting::Method(method) = setting {
            let method = find(method).unwrap_or_else(|| panic!("no method is called {method}"));
            self.of_methods.push((value.0, method.defaults()));
        }
    }

    /// Sets the [`Kind::Method`] `name` to `method` with values of its own.
    ///
    /// # Panics
    /// Where the method has no such hyperparameter, or there is no such method: a fault of the caller.
    pub fn set_method(&mut self, name: &str, method: &'static str, values: Self) {
        self.set(name, Setting::Method(method));
        if let Some(last) = self.of_methods.last_mut() {
            last.1 = values;
        }
    }

    /// The values of the method that the [`Kind::Method`] `name` names; none where that is the own one.
    pub fn of_method(&self, name: &str) -> Option<&Self> {
        self.of_methods.iter().find(|(of, _)| *of == name).map(|(_, values)| values)
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

    /// Refuses `weights` of a loss that are all 0: the last of them, for [`MethodDescription::contradiction`].
    pub(super) fn idle(&self, weights: &[&'static str]) -> Option<(&'static str, String)> {
        let (last, others) = weights.split_last()?;
        let idle = weights.iter().all(|name| self.number(name) == 0.0);
        let others = others.iter().map(|name| format!("{name} = 0")).collect::<Vec<_>>().join(" and ");
        idle.then(|| (*last, format!("with {others} as well there is no loss to learn from")))
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
        self.of_methods.iter_mut().for_each(|(_, values)| values.scale(from, to));
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

    /// The value of the [`Kind::Choice`] or [`Kind::Method`] `name`.
    ///
    /// # Panics
    /// Where the method has no such choice: a fault of the caller.
    pub fn choice(&self, name: &str) -> &'static str {
        match self.get(name) {
            Setting::Choice(choice) | Setting::Method(choice) => choice,
            other => panic!("{name} is no choice but {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::distill::{METHODS, find};

    #[test]
    fn no_method_contradicts_itself_by_default() {
        for method in METHODS {
            assert_eq!((method.contradiction)(&method.defaults()), None, "{}", method.name);
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

    #[test]
    fn a_method_to_build_on_has_values_of_its_own() {
        let sokd = find("sokd").unwrap();
        let read = |text: &str| sokd.from_json(&serde_json::from_str(text).unwrap());
        assert_eq!(sokd.defaults().of_method("base"), None);
        let review = find("review_kd").unwrap();
        let named = read(r#"{"base": "review_kd"}"#).unwrap();
        assert_eq!(named.of_method("base"), Some(&review.defaults()));
        let mut given = read(r#"{"base": {"name": "review_kd", "weight": 0.6}}"#).unwrap();
        assert_eq!(given.choice("base"), "review_kd");
        assert_eq!(given.of_method("base").unwrap().number("weight"), 0.6);
        // A training that is made shorter shortens the base's times too.
        given.scale(240, 60);
        assert_eq!(given.of_method("base").unwrap().epochs("warmup_epochs"), 5.0);
        given.set("base", crate::distill::Setting::Choice("fitnet"));
        assert_eq!(given.of_method("base"), None);
        for (text, part) in [
            (r#"{"base": {"name": "review_kd", "wieght": 1}}"#, "review_kd has no hyperparameter `wieght`"),
            (r#"{"base": {"name": "reviewkd"}}"#, "`reviewkd` is no method to build on"),
            (r#"{"base": {"name": "kd", "ce_weight": 0, "kd_weight": 0}}"#, "no loss to learn from"),
            (r#"{"overlap": {"name": "union"}}"#, "expected \"count\" or"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn weights_that_are_all_zero_are_refused_by_name() {
        let read = |method: &str, text: &str| find(method).unwrap().from_json(&serde_json::from_str(text).unwrap());
        let message = read("kd", r#"{"ce_weight": 0, "kd_weight": 0}"#).unwrap_err().to_string();
        assert!(message.contains("kd.kd_weight: with ce_weight = 0 as well"), "{message}");
        let message = read("dkd", r#"{"ce_weight": 0, "alpha": 0, "beta": 0}"#).unwrap_err().to_string();
        assert!(message.contains("dkd.beta: with ce_weight = 0 and alpha = 0 as well"), "{message}");
        read("dkd", r#"{"ce_weight": 0, "alpha": 0}"#).unwrap();
    }
}
