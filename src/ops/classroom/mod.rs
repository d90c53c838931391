//! The fused ClassroomKD loss (Sarode et al., arXiv 2409.20237): ranks of all networks, filter, temperatures, all losses
//! and the student's logit gradient in one operation.
//!
//! With `r_n = exp(-CE(z_n, y))` for the student S and M mentors, `w_n = round(r_n / sum r, digits) * M`, a mentor is
//! active if `w_m >= w_S`; its temperature is `T_m = 1 + tau (1 - w_S / w_m)`; and
//!
//! ```text
//! L = r_S CE(z_S, y) + sum over active m of w_m T_m^2 (1/B) sum_i KL(softmax(z_m,i / T_m) || softmax(z_S,i / T_m))
//! dL/dz_S,i = (1/B) [r_S (softmax(z_S,i) - onehot(y_i))
//!                    + sum over active m of w_m T_m (softmax(z_S,i / T_m) - softmax(z_m,i / T_m))]
//! ```
//!
//! Nothing flows through ranks, weights, temperatures or mentors.

pub(super) mod cases;
mod cpu;
mod cuda;
mod standing;
#[cfg(test)]
mod tests;

pub use standing::{ClassroomOptions, Mentoring, Ranking, Scope};

use crate::error::{Error, Result};
use crate::ops::cross_entropy::{check_labels, saved_gradient};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// What the classroom loss leaves on the tape; networks are the student first, then the mentors.
#[derive(Clone, Copy, Debug)]
pub struct ClassroomLoss {
    /// The total, a scalar.
    pub loss: ValueId,
    /// `[1 + M]`: what the student's own cross-entropy and each mentor add to the total.
    pub terms: ValueId,
    /// `[1 + M]`: the ranks `r_n`.
    pub ranks: ValueId,
    /// `[1 + M]`: the weights `w_n`.
    pub weights: ValueId,
    /// `[M]`: the mentors' temperatures, 1 where not active.
    pub temperatures: ValueId,
    /// `[M]`: 1 where the mentor is asked, 0 where not; per sample, the share of the batch.
    pub active: ValueId,
}

#[derive(Debug)]
struct Classroom {
    options: ClassroomOptions,
}

impl Tape {
    /// The classroom's loss of `student` logits `[B, C]` among `mentors` (each `[B, C]`), for `labels` `[B]` (u32).
    ///
    /// # Errors
    /// If there is no mentor, a shape does not fit, or an option is out of range.
    pub fn classroom_loss(
        &mut self,
        student: ValueId,
        mentors: &[ValueId],
        labels: ValueId,
        options: &ClassroomOptions,
    ) -> Result<ClassroomLoss> {
        check_labels(self, student, labels)?;
        options.check(mentors.len())?;
        let (dtype, shape) = (self.dtype(student), self.shape(student));
        if let Some(other) = mentors.iter().find(|mentor| self.shape(**mentor) != shape) {
            return Err(Error::request(format!(
                "a mentor's logits of shape {} do not match the student's of shape {shape}",
                self.shape(*other)
            )));
        }
        let mut inputs = vec![student, labels];
        inputs.extend_from_slice(mentors);
        let (all, others) = (Shape::from([1 + mentors.len()]), Shape::from([mentors.len()]));
        let outputs = [
            ("classroom_loss", dtype, Shape::from([])),
            ("d_logits", dtype, shape),
            ("terms", dtype, all),
            ("ranks", dtype, all),
            ("weights", dtype, all),
            ("temperatures", dtype, others),
            ("active", dtype, others),
        ];
        let made = self.record(Classroom { options: options.clone() }, &inputs, &outputs);
        let [loss, _, terms, ranks, weights, temperatures, active] = made[..] else { unreachable!("seven outputs") };
        Ok(ClassroomLoss { loss, terms, ranks, weights, temperatures, active })
    }
}

impl Operation for Classroom {
    fn name(&self) -> &'static str {
        "classroom_loss"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let (dtype, shape) = signature.inputs[0];
        let networks = signature.inputs.len() - 1;
        cpu::workspace(shape.rows(), shape.channels(), networks, dtype)
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        if wanted[1..].contains(&true) {
            return Err(Error::failed("the mentors of classroom_loss are constants: they have no gradient"));
        }
        saved_gradient(tape, node, upstream, 0)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::run::<T>(&self.options, frame));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        cuda::Layout::new(signature.inputs[0].1.rows(), signature.inputs.len() - 1).bytes()
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, &self.options);
        Ok(())
    }
}
