//! The multi-group hints: what each group of the student's layers makes of one teacher's features (Romero et al., FitNets,
//! 2015, for several teachers). Which teacher teaches which group is where the release's notebooks differ:
//! - `teacher_level`: teacher k's pooled feature, spread over all positions, teaches the k-th of the student's features from
//!   its second map to its pooled vector; further teachers begin again with the first of these;
//! - `group`: the same without the last teacher;
//! - `second_map`: every teacher's second map teaches the student's second map, in the first stage only;
//! - `same_depth`: as `teacher_level`, with the teacher's feature of the same name, or its last where it has none such;
//! - `attention`: every map of the student is taught by one teacher's map of the same name, or its last where it has none
//!   such, by attention (Zagoruyko, Komodakis, 2017); the i-th map by teacher i, and the teachers begin again behind the last.
//!   So there are as many hints as the student has maps. (The release counts its pooled vector as a map; that term is 0.)
//!
//! A hint from a feature t to a feature s is `mean((R s/|s| - t/|t|)^2)`, norms over channels, R a matrix of the pair's own
//! (a 1x1 convolution without bias, U(-0.005, 0.005)); by attention it is `mean((a(s) - a(t))^2)`, `a` the mean of the
//! squared channels divided by its norm over all positions. Of maps of different sizes the larger is average-pooled.

use crate::distill::adapters::map_of;
use crate::distill::at::attention;
use crate::distill::hint::{matched, mean_square, normalised};
use crate::distill::{Classroom, Hyperparameters, Learning, Lesson, Pupil, features};
use crate::error::{Error, Result};
use crate::nn::{Distribution, Network};
use crate::tape::{Tape, ValueId};

/// A hint: to the student's feature `to` from teacher `teacher`'s feature `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub to: String,
    pub teacher: usize,
    pub from: String,
}

/// The features of a net that hints are about: its maps, then its pooled vector where there is one.
pub(super) struct Features {
    pub maps: Vec<String>,
    pub pooled: Option<String>,
}

impl Features {
    fn of(network: &Network) -> Result<Self> {
        Ok(Self { maps: features::maps(network)?, pooled: Some(features::pooled(network)?) })
    }

    fn in_lesson(tape: &Tape, pupil: &Pupil) -> Result<Self> {
        match &pupil.model {
            Some(model) => Self::of(&model.network),
            None => {
                let names = || pupil.features.iter().map(|(name, value)| (name.clone(), *value));
                let is_vector = |value: ValueId| map_of(tape, value)[..2] == [1, 1];
                let maps = names().filter(|(_, value)| !is_vector(*value)).map(|(name, _)| name).collect();
                Ok(Self { maps, pooled: names().rfind(|(_, value)| is_vector(*value)).map(|(name, _)| name) })
            }
        }
    }

    /// The last of all.
    fn last(&self) -> Option<&String> {
        self.pooled.as_ref().or(self.maps.last())
    }

    /// The feature called `name`, or the last.
    fn at(&self, name: &str) -> Option<&String> {
        self.maps.iter().chain(&self.pooled).find(|own| *own == name).or(self.last())
    }
}

/// The hints by attention: to each map of the student.
fn by_attention(student: &Features, teachers: &[Features]) -> Result<Vec<Hint>> {
    let hint = |(place, to): (usize, &String)| {
        let teacher = place.checked_rem(teachers.len()).ok_or_else(lacks)?;
        let own = &teachers[teacher].maps;
        let from = own.iter().find(|name| *name == to).or(own.last()).ok_or_else(lacks)?;
        Ok(Hint { to: to.clone(), teacher, from: from.clone() })
    };
    let hints = student.maps.iter().enumerate().map(hint).collect::<Result<Vec<_>>>()?;
    if hints.is_empty() { Err(lacks()) } else { Ok(hints) }
}

fn lacks() -> Error {
    Error::request("amtml.hints: there are no features to take hints from")
}

/// The hints of a classroom.
fn hints(variant: &str, student: &Features, teachers: &[Features]) -> Result<Vec<Hint>> {
    if variant == "attention" {
        return by_attention(student, teachers);
    }
    let groups: Vec<&String> = student.maps.iter().filter(|name| *name != "f1").chain(&student.pooled).collect();
    let count = if variant == "group" { teachers.len().saturating_sub(1) } else { teachers.len() };
    if count == 0 {
        return Err(Error::request("amtml.hints: \"group\" leaves out the last teacher, and there is no other")
            .help("use hints = \"teacher_level\", or add a teacher"));
    }
    let hint = |teacher: usize| {
        let own = &teachers[teacher];
        let group = || groups.get(teacher % groups.len().max(1)).map(|name| name.to_string());
        let (to, from) = match variant {
            "second_map" => (student.at("f2").cloned(), own.at("f2")),
            "same_depth" => {
                let to = group();
                let same = to.as_deref().filter(|to| student.pooled.as_deref() != Some(to));
                (to.clone(), same.map_or(own.last(), |to| own.at(to)))
            }
            _ => (group(), own.last()),
        };
        let (to, from) = (to.ok_or_else(lacks)?, from.cloned().ok_or_else(lacks)?);
        Ok(Hint { to, teacher, from })
    };
    (0..count).map(hint).collect()
}

/// The hints of a classroom, its teachers counted as [`Classroom::classmates`] lists them; none with a weight of 0.
pub(super) fn of_classroom(classroom: &Classroom<'_>, values: &Hyperparameters) -> Result<Vec<Hint>> {
    if values.number("hint_weight") == 0.0 {
        return Ok(Vec::new());
    }
    let student = Features::of(classroom.student).map_err(|error| error.within("student"))?;
    let of = |mentor: usize| {
        let (role, network) = classroom.mentors[mentor];
        Features::of(network).map_err(|error| error.within(role))
    };
    let teachers = classroom.classmates().into_iter().map(of).collect::<Result<Vec<_>>>()?;
    hints(values.choice("hints"), &student, &teachers)
}

/// The sum of the hints from `teachers`; none where they are left out, in the second stage of `second_map`, or in a parity
/// case whose mentors have logits only.
pub(super) fn record(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    teachers: &[Pupil],
    values: &Hyperparameters,
) -> Result<Option<ValueId>> {
    let variant = values.choice("hints");
    let bare = teachers.iter().all(|teacher| teacher.model.is_none() && teacher.features.is_empty());
    let over = variant == "second_map" && lesson.phase > 0;
    if values.number("hint_weight") == 0.0 || bare || over {
        return Ok(None);
    }
    let student = Features::in_lesson(tape, &lesson.student)?;
    let known = teachers.iter().map(|teacher| Features::in_lesson(tape, teacher)).collect::<Result<Vec<_>>>()?;
    let learning = if values.flag("frozen_regressors") { Learning::Frozen } else { Learning::WithStudent };
    let mut losses = Vec::new();
    for hint in hints(variant, &student, &known)? {
        let teacher = &teachers[hint.teacher];
        let from = feature(tape, teacher, &hint.from)?;
        let to = feature(tape, &lesson.student, &hint.to)?;
        // A vector stays as it is: it teaches every position of a map.
        let is_vector = variant != "attention" && map_of(tape, from)[..2] == [1, 1];
        let (to, from) = if is_vector { (to, from) } else { matched(tape, to, from)? };
        let mean = match variant {
            "attention" => {
                let [to, from] = [attention(tape, to)?, attention(tape, from)?];
                mean_square(tape, to, from)?
            }
            _ => {
                let [to, from] = [normalised(tape, to, 3)?, normalised(tape, from, 3)?];
                let [width, wanted] = [to, from].map(|value| tape.shape(value).channels());
                let name = format!("regressor/{}/{}", hint.to, teacher.role);
                let regressor =
                    lesson.parameter(tape, &name, [width, wanted], Distribution::Uniform { bound: 0.005 }, learning);
                let [batch, height, across] = [0, 1, 2].map(|axis| tape.shape(to)[axis]);
                let pixels = tape.view(to, [batch * height * across, width])?;
                let made = tape.linear(pixels, regressor, None)?;
                let made = tape.view(made, [batch, height, across, wanted])?;
                mean_square(tape, made, from)?
            }
        };
        losses.push((1.0, mean));
    }
    tape.weighted_sum(&losses).map(Some)
}

/// A feature `[B, H, W, C]`, also where it is a vector.
fn feature(tape: &mut Tape, pupil: &Pupil, name: &str) -> Result<ValueId> {
    let value = pupil.feature(tape, name)?;
    match *tape.shape(value).extents() {
        [batch, width] => tape.view(value, [batch, 1, 1, width]),
        _ => Ok(value),
    }
}
