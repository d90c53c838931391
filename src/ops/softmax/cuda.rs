//! The GPU's code: `kernels/softmax.cu`.

use super::{Form, Softmax, SoftmaxBackward};
use crate::ops::row_kernels::launch_rows;
use crate::tape::{Argument, Launcher};

pub(super) fn forward(launcher: &mut Launcher<'_>, op: &Softmax) {
    let arguments = vec![launcher.input(0), launcher.output(0)];
    launch(launcher, op.form, "", op.temperature, arguments);
}

pub(super) fn backward(launcher: &mut Launcher<'_>, op: &SoftmaxBackward) {
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0)];
    launch(launcher, op.form, "_backward", op.temperature, arguments);
}

fn launch(launcher: &mut Launcher<'_>, form: Form, pass: &str, temperature: f64, mut arguments: Vec<Argument>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let name = match form {
        Form::Probability => "softmax",
        Form::Logarithm => "log_softmax",
    };
    arguments.extend([shape.rows().into(), shape.channels().into(), ((1.0 / temperature) as f32).into()]);
    launch_rows(launcher, format!("{name}{pass}_{dtype}"), shape.rows(), arguments);
}
