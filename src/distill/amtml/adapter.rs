//! The teachers' weights for every image: a latent representation per teacher and one
//! vector that all share, compared with the student's feature of the image.

use crate::distill::{Hyperparameters, Learning, Lesson, Pupil, Ramp, Rule, Update, Write};
use crate::error::Result;
use crate::nn::Distribution;
use crate::ops::matmul::Transposed;
use crate::ops::sgd::SgdOptions;
use crate::tape::{StateId, Tape, ValueId};

/// Names of the parameters.
const WEIGHT: &str = "adapter/weight";
const LATENT: &str = "adapter/latent";

/// What was recorded.
pub(super) struct Adapter {
    /// `[B, K]`, each row sums to 1.
    pub weights: ValueId,
    /// `W` `[d]`
    weight: StateId,
    /// `theta` `[K, d]`
    latent: StateId,
    values: [ValueId; 2],
}

/// Records `mu_i = softmax_k(W^T (theta_k o beta_i))` of K teachers.
pub(super) fn record(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    values: &Hyperparameters,
    teachers: usize,
) -> Result<Adapter> {
    let beta = feature(tape, &lesson.student, values.choice("beta"))?;
    let width = tape.shape(beta).channels();
    let normal = Distribution::Normal { std: 1.0 };
    let weight = lesson.parameter_state(WEIGHT, [width], normal, Learning::Apart);
    let latent = lesson.parameter_state(LATENT, [teachers, width], normal, Learning::Apart);
    let own = [weight, latent].map(|id| tape.state(lesson.layout, id));
    let keys = tape.multiply(own[1], own[0])?; // [K, d]
    let scores = tape.matmul(beta, keys, Transposed { a: false, b: true })?; // [B, K]
    Ok(Adapter { weights: tape.softmax(scores, 1.0)?, weight, latent, values: own })
}

/// The student's feature `[B, d]`: its last map, max-pooled over all positions, or its pooled vector. A parity case may give
/// the former under the name `pooled`.
fn feature(tape: &mut Tape, student: &Pupil, beta: &str) -> Result<ValueId> {
    let given = student.model.is_none() && student.features.iter().any(|(name, _)| name == "pooled");
    if beta == "gap" || given {
        return student.pooled(tape);
    }
    let map = student.last_map(tape)?;
    let [batch, height, width, channels] = [0, 1, 2, 3].map(|axis| tape.shape(map)[axis]);
    let positions = tape.view(map, [batch, height * width, channels])?;
    let largest = tape.max(positions, 1)?;
    tape.view(largest, [batch, channels])
}

impl Adapter {
    /// `|W|^2 + sum_k |theta_k|^2`
    pub fn squares(&self, tape: &mut Tape) -> Result<ValueId> {
        let mut sums = Vec::new();
        for value in self.values {
            let squares = tape.square(value)?;
            sums.push(tape.total(squares)?);
        }
        tape.add(sums[0], sums[1])
    }

    /// How the adapter learns in the first stage.
    pub fn update(self, tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters, loss: ValueId) -> Update {
        let ramp = Ramp::MultiStep {
            base: values.number("adapter_lr"),
            factor: 0.1,
            milestones: values.milestones("adapter_milestones"),
        };
        Update {
            loss,
            gradients: None,
            parameters: vec![self.weight, self.latent],
            rate: lesson.scheduled(tape, "adapter_rate", ramp),
            optimizer: Rule::Sgd(SgdOptions { momentum: 0.9, weight_decay: 0.0, nesterov: false }),
        }
    }
}

/// The mean weights `[1, K]` of the first stage's latest batch.
fn outcome(tape: &mut Tape, lesson: &mut Lesson<'_>, teachers: usize) -> ValueId {
    let even = Distribution::Constant { value: 1.0 / teachers as f64 };
    let float = tape.float();
    lesson.buffer(tape, "adapter/outcome", float, [1, teachers], even)
}

/// Keeps `mean` `[1, K]` for the second stage.
pub(super) fn keep(tape: &mut Tape, lesson: &mut Lesson<'_>, mean: ValueId) -> Write {
    let teachers = tape.shape(mean).channels();
    let table = outcome(tape, lesson, teachers);
    Write { indices: lesson.table(tape, "adapter/row", vec![0]), rows: tape.detach(mean), table }
}

/// What was kept, for every image: `[B, K]`.
pub(super) fn kept(tape: &mut Tape, lesson: &mut Lesson<'_>, shape: [usize; 2]) -> Result<ValueId> {
    let mean = outcome(tape, lesson, shape[1]);
    let mean = tape.detach(mean);
    tape.broadcast(mean, shape)
}

/// How far each teacher's score moves with the student's feature.
pub(super) fn learned(
    _: &Hyperparameters,
    teachers: &[&str],
    parameter: &dyn Fn(&str) -> Option<Vec<f32>>,
) -> Vec<(String, String)> {
    let (Some(weight), Some(latent)) = (parameter(WEIGHT), parameter(LATENT)) else { return Vec::new() };
    let norm = |latent: &[f32]| {
        let squares = latent.iter().zip(&weight).map(|(theta, w)| f64::from(theta * w).powi(2));
        format!("{:.3}", squares.sum::<f64>().sqrt())
    };
    let latents = latent.chunks_exact(weight.len().max(1));
    let reaches: Vec<String> =
        teachers.iter().zip(latents).map(|(role, one)| format!("{role} {}", norm(one))).collect();
    vec![("reach of the teachers' scores, |W o theta|".into(), reaches.join(", "))]
}
