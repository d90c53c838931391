//! Knowledge distillation as Hinton, Vinyals and Dean defined it: the student also matches the teacher's softened
//! probabilities.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight T^2 KL(softmax(z_T / T) || softmax(z_S / T))`, means over the batch.

use super::{Hyperparameter, Hyperparameters, Kind, MethodDescription, Needs, Use};

/// What this method says about itself. The defaults are RepDistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "kd",
    title: "the student matches the teacher's softened probabilities",
    paper: "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, arXiv 1503.02531",
    needs: Needs { teachers: Use::Required, peers: Use::Unused, features: false },
    hyperparameters: &[
        Hyperparameter {
            name: "temperature",
            kind: Kind::Number { default: 4.0, minimum: 0.0, inclusive: false },
            documentation: "divides the logits of student and teacher",
        },
        Hyperparameter {
            name: "ce_weight",
            kind: Kind::Number { default: 0.1, minimum: 0.0, inclusive: true },
            documentation: "weight of the cross-entropy with the labels",
        },
        Hyperparameter {
            name: "kd_weight",
            kind: Kind::Number { default: 0.9, minimum: 0.0, inclusive: true },
            documentation: "weight of the divergence from the teacher",
        },
    ],
    contradiction: |values| {
        let idle = values.number("ce_weight") == 0.0 && values.number("kd_weight") == 0.0;
        idle.then(|| ("kd_weight", "with ce_weight = 0 as well there is no loss to learn from".to_string()))
    },
};

/// The hyperparameters by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// T, above 0.
    pub temperature: f64,
    /// Weight of the cross-entropy.
    pub ce_weight: f64,
    /// Weight of the divergence from the teacher.
    pub kd_weight: f64,
}

impl From<&Hyperparameters> for Settings {
    fn from(values: &Hyperparameters) -> Self {
        Self {
            temperature: values.number("temperature"),
            ce_weight: values.number("ce_weight"),
            kd_weight: values.number("kd_weight"),
        }
    }
}
