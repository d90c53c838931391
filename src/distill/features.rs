//! Which of a net's features are its maps, its last map, its pooled vector, and its maps before their last ReLU.
//!
//! Nets number their features: `f0` behind the stem, `f1`, `f2`, ... behind the stages, and the pooled vector, which the
//! classifier reads, last. `f1pre` is `f1` before its last ReLU. A parity case has no nets: there the names and shapes of
//! the features that it holds say the same, and the pooled vector may be called `pooled`.

use super::adapters::map_of;
use super::{Classroom, Lesson, Pupil, Taps};
use crate::error::{Error, Result};
use crate::nn::{LayerKind, Map, Model, Network};
use crate::tape::{Tape, ValueId};

/// The names of a net's maps behind its stages, `f1` and so on: without the stem's and the pooled vector.
///
/// # Errors
/// If it has none.
pub fn maps(network: &Network) -> Result<Vec<String>> {
    Inventory::of(network).maps()
}

/// The name of the map behind a net's last stage.
///
/// # Errors
/// If it has none.
pub fn last_map(network: &Network) -> Result<String> {
    Inventory::of(network).last_map()
}

/// The name of the pooled vector, which the classifier reads, `[1, 1, D]`.
///
/// # Errors
/// If it has none.
pub fn pooled(network: &Network) -> Result<String> {
    Inventory::of(network).pooled()
}

/// The names of a net's maps behind its stages before their last ReLU, `f1pre` and so on.
///
/// # Errors
/// If one of them is missing, as in nets whose stages end without ReLU.
pub fn preact(network: &Network) -> Result<Vec<String>> {
    Inventory::of(network).preact()
}

/// A list of the one feature that `which` names: [`last_map`], [`pooled`].
pub fn only(which: fn(&Network) -> Result<String>) -> impl Fn(&Network) -> Result<Vec<String>> {
    move |network| Ok(vec![which(network)?])
}

/// The feature `name` alone.
///
/// # Errors
/// If the net has none of that name.
pub fn named(network: &Network, name: &str) -> Result<Vec<String>> {
    match network.tap(name) {
        Some(_) => Ok(vec![name.to_string()]),
        None => Err(Inventory::of(network).lacks(&format!("feature `{name}`"))),
    }
}

/// The map whose average over all positions is what the classifier reads, and whether it is rectified first: the last map,
/// or where the net normalises that before it pools, its normalised variant and `true`.
///
/// # Errors
/// If other layers lie between the last map and the classifier.
pub fn classified(network: &Network) -> Result<(String, bool)> {
    let last = last_map(network)?;
    if let Ok(map) = network.classified() {
        if network.tap(&last) == Some(map) {
            return Ok((last, false));
        }
        let (normalised, layer) = (format!("{last}pre"), &network.nodes[map]);
        if layer.kind == LayerKind::Relu && network.tap(&normalised) == Some(layer.inputs[0]) {
            return Ok((normalised, true));
        }
    }
    Err(Error::request(format!(
        "{}: between its last map `{last}` and its classifier lie other layers than global average pooling",
        network.name
    )))
}

/// What a method reads: `student` of the student's net, `teacher` of the first teacher's.
///
/// # Errors
/// As those.
pub fn of_teacher(
    classroom: &Classroom<'_>,
    student: impl Fn(&Network) -> Result<Vec<String>>,
    teacher: impl Fn(&Network) -> Result<Vec<String>>,
) -> Result<Taps> {
    of_first(classroom, 1, student, teacher)
}

/// What a method reads: `student` of the student's net, `teacher` of every teacher's.
///
/// # Errors
/// As those.
pub fn of_teachers(
    classroom: &Classroom<'_>,
    student: impl Fn(&Network) -> Result<Vec<String>>,
    teacher: impl Fn(&Network) -> Result<Vec<String>>,
) -> Result<Taps> {
    of_first(classroom, classroom.teachers, student, teacher)
}

fn of_first(
    classroom: &Classroom<'_>,
    count: usize,
    student: impl Fn(&Network) -> Result<Vec<String>>,
    teacher: impl Fn(&Network) -> Result<Vec<String>>,
) -> Result<Taps> {
    let read = |(role, network): &(&str, &Network)| teacher(network).map_err(|error| error.within(role));
    let mentors = classroom.mentors[..count.min(classroom.teachers)].iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Taps { student: student(classroom.student).map_err(|error| error.within("student"))?, mentors })
}

impl Pupil {
    /// The names of its [`maps`].
    ///
    /// # Errors
    /// As [`maps`].
    pub fn map_names(&self, tape: &Tape) -> Result<Vec<String>> {
        Inventory::in_lesson(self, tape).maps()
    }

    /// Its [`maps`] in the tape's float type, `[B, H, W, C]` each.
    ///
    /// # Errors
    /// As [`maps`], or if they were not asked for.
    pub fn maps(&self, tape: &mut Tape) -> Result<Vec<ValueId>> {
        self.map_names(tape)?.iter().map(|name| self.feature(tape, name)).collect()
    }

    /// The name of its [`last_map`].
    ///
    /// # Errors
    /// As [`last_map`].
    pub fn last_map_name(&self, tape: &Tape) -> Result<String> {
        Inventory::in_lesson(self, tape).last_map()
    }

    /// Its [`last_map`] in the tape's float type, `[B, H, W, C]`.
    ///
    /// # Errors
    /// As [`last_map`], or if it was not asked for.
    pub fn last_map(&self, tape: &mut Tape) -> Result<ValueId> {
        let name = self.last_map_name(tape)?;
        self.feature(tape, &name)
    }

    /// Its [`pooled`] vector in the tape's float type, `[B, D]`.
    ///
    /// # Errors
    /// As [`pooled`], or if it was not asked for.
    pub fn pooled(&self, tape: &mut Tape) -> Result<ValueId> {
        let name = Inventory::in_lesson(self, tape).pooled()?;
        let vector = self.feature(tape, &name)?;
        let shape = tape.shape(vector);
        tape.view(vector, [shape[0], shape.channels()])
    }

    /// The names of its maps before their last ReLU: [`preact`].
    ///
    /// # Errors
    /// As [`preact`].
    pub fn preact_names(&self, tape: &Tape) -> Result<Vec<String>> {
        Inventory::in_lesson(self, tape).preact()
    }

    /// Its maps before their last ReLU ([`preact`]) in the tape's float type, `[B, H, W, C]` each.
    ///
    /// # Errors
    /// As [`preact`], or if they were not asked for.
    pub fn preact(&self, tape: &mut Tape) -> Result<Vec<ValueId>> {
        self.preact_names(tape)?.iter().map(|name| self.feature(tape, name)).collect()
    }

    /// The map that its classifier averages, rectified where the net does so, in the tape's float type: [`classified`].
    ///
    /// # Errors
    /// As [`classified`], or if it was not asked for.
    pub fn classified(&self, tape: &mut Tape) -> Result<ValueId> {
        let (name, rectified) = match &self.model {
            Some(model) => classified(&model.network)?,
            None => (self.last_map_name(tape)?, false),
        };
        let map = self.feature(tape, &name)?;
        if rectified { tape.relu(map) } else { Ok(map) }
    }
}

impl Lesson<'_> {
    /// The classifier of mentor `index`, a linear layer: its weight `[D, C]` and its bias `[C]`. A parity case gives them as
    /// `given/head/<index>/weight` and `given/head/<index>/bias`.
    ///
    /// # Errors
    /// If the net does not end in a linear layer, or the case lacks its weight.
    pub fn head(&self, tape: &mut Tape, index: usize) -> Result<(ValueId, Option<ValueId>)> {
        let mentor = &self.mentors[index];
        if let Some(Model { network, parameters, .. }) = &mentor.model {
            let own = parameters.iter().filter(|one| one.spec.layer == network.logits).map(|one| one.value);
            let own: Vec<ValueId> = own.map(|id| tape.state(self.layout, id)).collect();
            return match (&network.nodes[network.logits].kind, &own[..]) {
                (LayerKind::Linear { .. }, [weight, bias @ ..]) => Ok((*weight, bias.first().copied())),
                _ => Err(Error::request(format!("{} does not end in a linear layer", network.name))),
            };
        }
        let given = |what: &str| self.given(&format!("head/{index}/{what}"));
        let weight = given("weight")
            .ok_or_else(|| Error::request(format!("the classifier `given/head/{index}/weight` is missing")))?;
        Ok((weight, given("bias")))
    }
}

/// The features that somebody has.
struct Inventory<'a> {
    /// Whose they are, for messages.
    owner: &'a str,
    /// By name, with their shapes without the batch.
    features: Vec<(&'a str, Map)>,
}

impl<'a> Inventory<'a> {
    fn of(network: &'a Network) -> Self {
        Self { owner: &network.name, features: network.tap_shapes().collect() }
    }

    fn in_lesson(pupil: &'a Pupil, tape: &Tape) -> Self {
        if let Some(model) = &pupil.model {
            return Self::of(&model.network);
        }
        let features = pupil.features.iter().map(|(name, value)| (name.as_str(), map_of(tape, *value)));
        Self { owner: &pupil.role, features: features.collect() }
    }

    /// `f0`, `f1`, ... in their order.
    fn numbered(&self) -> Vec<(usize, &'a str, Map)> {
        let number = |(name, map): &(&'a str, Map)| Some((name.strip_prefix('f')?.parse().ok()?, *name, *map));
        let mut numbered: Vec<(usize, &str, Map)> = self.features.iter().filter_map(number).collect();
        numbered.sort_unstable_by_key(|(number, ..)| *number);
        numbered
    }

    fn pooled(&self) -> Result<String> {
        let named = self.features.iter().map(|(name, _)| *name).find(|name| *name == "pooled");
        let last = || self.numbered().last().filter(|(_, _, map)| map[..2] == [1, 1]).map(|(_, name, _)| *name);
        named.or_else(last).map(str::to_string).ok_or_else(|| self.lacks("pooled vector as its last feature"))
    }

    fn maps(&self) -> Result<Vec<String>> {
        let pooled = self.pooled().ok();
        let behind_stages = |(number, name, _): &(usize, &str, Map)| *number > 0 && Some(*name) != pooled.as_deref();
        let maps: Vec<String> =
            self.numbered().iter().filter(|one| behind_stages(one)).map(|(_, name, _)| name.to_string()).collect();
        if maps.is_empty() { Err(self.lacks("feature `f1` that is a map")) } else { Ok(maps) }
    }

    fn last_map(&self) -> Result<String> {
        Ok(self.maps()?.pop().expect("there is one"))
    }

    fn preact(&self) -> Result<Vec<String>> {
        let given: Vec<String> = match self.maps() {
            Ok(maps) => maps.iter().map(|map| format!("{map}pre")).collect(),
            // A parity case holds what the method reads.
            Err(error) => {
                let mut given: Vec<(usize, &str)> = self
                    .features
                    .iter()
                    .filter_map(|(name, _)| Some((name.strip_prefix('f')?.strip_suffix("pre")?.parse().ok()?, *name)))
                    .collect();
                given.sort_unstable();
                if given.is_empty() {
                    return Err(error);
                }
                given.into_iter().map(|(_, name)| name.to_string()).collect()
            }
        };
        match given.iter().find(|name| self.features.iter().all(|(known, _)| known != name)) {
            Some(missing) => {
                Err(self.lacks(&format!("feature `{missing}`: no ReLU ends that stage, or none is named")))
            }
            None => Ok(given),
        }
    }

    fn lacks(&self, what: &str) -> Error {
        let known: Vec<&str> = self.features.iter().map(|(name, _)| *name).collect();
        let known = if known.is_empty() { "none at all".into() } else { known.join(", ") };
        Error::request(format!("{} has no {what}", self.owner)).help(format!("its features: {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> Network {
        crate::nn::build(name, 10, 3, 32, 32).unwrap()
    }

    #[test]
    fn every_net_of_the_zoo_has_maps_and_a_pooled_vector() {
        for name in crate::nn::zoo::names() {
            let network = network(&name);
            let maps = maps(&network).unwrap();
            assert_eq!(maps.last(), Some(&last_map(&network).unwrap()), "{name}");
            assert_eq!(maps[0], "f1", "{name}");
            let shapes: Vec<Map> = maps.iter().map(|map| network.nodes[network.tap(map).unwrap()].shape).collect();
            assert!(shapes.iter().all(|[height, width, _]| height * width > 1), "{name}: {shapes:?}");
            let pooled = network.tap(&pooled(&network).unwrap()).unwrap();
            let reads = |layer: &&crate::nn::Layer| layer.inputs == [pooled];
            let readers: Vec<_> = network.nodes.iter().filter(reads).map(|layer| &layer.kind).collect();
            assert!(matches!(readers[..], [LayerKind::Linear { .. }]), "{name}: {readers:?}");
        }
        assert_eq!(maps(&network("vgg8")).unwrap(), ["f1", "f2", "f3", "f4"]);
        assert_eq!(maps(&network("resnet8")).unwrap(), ["f1", "f2", "f3"]);
    }

    #[test]
    fn what_comes_before_the_last_relu_is_known_or_refused_by_name() {
        assert_eq!(preact(&network("wrn_16_1")).unwrap(), ["f1pre", "f2pre", "f3pre"]);
        let error = preact(&network("MobileNetV2")).unwrap_err().to_string();
        assert!(error.contains("MobileNetV2 has no feature `f1pre`"), "{error}");
    }

    #[test]
    fn the_map_that_is_classified_is_the_one_that_is_pooled() {
        assert_eq!(classified(&network("resnet8")).unwrap(), ("f3".into(), false));
        assert_eq!(classified(&network("wrn_16_1")).unwrap(), ("f3pre".into(), true));
        let error = classified(&network("MobileNetV2")).unwrap_err().to_string();
        assert!(error.contains("MobileNetV2: between its last map `f4` and its classifier"), "{error}");
    }
}
