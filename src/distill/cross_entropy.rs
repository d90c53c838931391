//! The student alone: mean cross-entropy with the labels. What every table compares against.

use super::{MethodDescription, Needs, Use};

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "cross_entropy",
    title: "the student alone, trained on the labels",
    paper: "none: the baseline of every table",
    needs: Needs { teachers: Use::Unused, peers: Use::Unused, features: false },
    hyperparameters: &[],
    contradiction: |_| None,
};
