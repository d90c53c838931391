//! The convolution on the tape: `y = x * w + b`; the gradient of `x` is a convolution of `dy` with the turned weights, that of
//! `w` a correlation of `x` and `dy`, that of `b` the sum of `dy`. The gradient of `x` is linear in `dy` and `w`, too, and has
//! gradients of its own: recorded forward it is the transposed convolution (`transpose.rs`).

use std::sync::Arc;

use super::{Conv2dGeometry, DgradPlan, FpropPlan, WgradPlan, cuda};
use crate::error::{Error, Result};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId, Variants};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// How a [`Tape::conv2d`] moves over its input; the kernel's size is that of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Input rows and columns from one output to the next.
    pub stride: [usize; 2],
    /// Zero rows and columns on each side of the input.
    pub padding: [usize; 2],
    /// Input rows and columns from one kernel tap to the next.
    pub dilation: [usize; 2],
    /// Independent groups that channels are cut into.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }
}

#[derive(Debug)]
struct Conv2d {
    geometry: Conv2dGeometry,
    tf32: bool,
    plan: FpropPlan,
}

/// Inputs: `dy`, the weights, maybe an addend.
#[derive(Debug)]
pub(super) struct Conv2dDgrad {
    pub geometry: Conv2dGeometry,
    pub tf32: bool,
    pub plan: Arc<DgradPlan>,
    pub with_addend: bool,
}

#[derive(Debug)]
struct Conv2dWgrad {
    geometry: Conv2dGeometry,
    tf32: bool,
    plan: WgradPlan,
}

impl Tape {
    /// The convolution of `x` `[N, H, W, C]` with `weight` `[KH, KW, C / groups, K]` and `bias` `[K]`: `[N, H', W', K]`.
    ///
    /// # Errors
    /// If the shapes do not fit, or nothing would be left of the image.
    pub fn conv2d(
        &mut self,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        options: Conv2dOptions,
    ) -> Result<ValueId> {
        let (geometry, tf32) = (self.convolution(x, weight, bias, options)?, self.tf32());
        self.record_convolution(x, weight, bias, geometry, tf32, "conv2d")
    }

    /// The checked geometry of a convolution.
    pub(super) fn convolution(
        &self,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        options: Conv2dOptions,
    ) -> Result<Conv2dGeometry> {
        let (shape, kernel) = (self.shape(x), self.shape(weight));
        let fits = shape.rank() == 4
            && kernel.rank() == 4
            && options.groups > 0
            && kernel[2] * options.groups == shape[3]
            && bias.is_none_or(|bias| self.shape(bias) == Shape::from([kernel[3]]));
        if !fits {
            let groups = options.groups;
            return Err(Error::request(format!(
                "conv2d of {shape} does not take weights of {kernel} in {groups} groups"
            ))
            .help("expected images [N, H, W, C], weights [KH, KW, C / groups, K] and a bias [K]"));
        }
        let geometry = Conv2dGeometry {
            batch: shape[0],
            height: shape[1],
            width: shape[2],
            in_channels: shape[3],
            out_channels: kernel[3],
            kernel: [kernel[0], kernel[1]],
            stride: options.stride,
            padding: options.padding,
            dilation: options.dilation,
            groups: options.groups,
        };
        geometry.checked()
    }

    /// Records a convolution of checked geometry, which may use TF32 or not; a linear layer is one over a single pixel.
    pub(crate) fn record_convolution(
        &mut self,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        geometry: Conv2dGeometry,
        tf32: bool,
        name: &str,
    ) -> Result<ValueId> {
        let [rows, columns] = geometry.output();
        let shape = Shape::from([geometry.batch, rows, columns, geometry.out_channels]);
        let dtype = self.dtype(x);
        // The CPU's plan; bf16 never runs there.
        let plan = with_float!(dtype.accumulator(), T => FpropPlan::new::<T>(&geometry));
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        Ok(self.record_one(Conv2d { geometry, tf32, plan }, &inputs, name, dtype, shape))
    }
}

fn float(signature: &Signature) -> DType {
    signature.inputs[0].0
}

/// Of any of the three passes: every pixel of the output (`y` or `dy`) meets every weight once.
pub(super) fn flops((_, output): (DType, Shape), (_, weights): (DType, Shape)) -> u64 {
    2 * output.rows() as u64 * weights.count() as u64
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn flops(&self, signature: &Signature) -> u64 {
        flops(signature.outputs[0], signature.inputs[1])
    }

    fn workspace(&self, signature: &Signature) -> usize {
        self.plan.workspace_len() * float(signature).size()
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let mut gradients = vec![None; node.inputs.len()];
        let Some(upstream) = upstream[0] else { return Ok(gradients) };
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let dtype = tape.dtype(x);
        let bias = wanted.get(2).copied().unwrap_or(false);
        if wanted[1] || bias {
            let plan = with_float!(dtype.accumulator(), T => WgradPlan::new::<T>(&self.geometry));
            let mut outputs = vec![("d_weight", dtype.accumulator(), tape.shape(weight))];
            if bias {
                outputs.push(("d_bias", dtype.accumulator(), tape.shape(node.inputs[2])));
            }
            let made =
                tape.record(Conv2dWgrad { geometry: self.geometry, tf32: self.tf32, plan }, &[x, upstream], &outputs);
            gradients[1] = Some(made[0]);
            if bias {
                gradients[2] = Some(made[1]);
            }
        }
        // Last, so that a gradient of `x` that is there already can be added in the same pass.
        if wanted[0] {
            let plan = Arc::new(with_float!(dtype.accumulator(), T => DgradPlan::new::<T>(&self.geometry)));
            let op = Conv2dDgrad { geometry: self.geometry, tf32: self.tf32, plan, with_addend: false };
            gradients[0] = Some(tape.record_one(op, &[upstream, weight], "d_x", dtype, tape.shape(x)));
        }
        Ok(gradients)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let bias = (frame.input_count() > 2).then(|| frame.input::<T>(2));
            let (x, weight, y) = (frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
            self.plan.run(x, weight, bias, y, &mut frame.workspace::<T>()[..self.plan.workspace_len()]);
        });
    }

    fn statistics(&self, dtype: DType) -> Option<Shape> {
        cuda::statistics(&self.geometry, dtype)
    }

    fn variants(&self, signature: &Signature) -> Option<Variants> {
        Some(cuda::variants(cuda::Pass::Fprop, self.name(), &self.geometry, self.tf32, signature))
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::fprop(launcher, &self.geometry, self.tf32, cuda::Besides::of_convolution(launcher))
    }
}

impl Operation for Conv2dDgrad {
    fn name(&self) -> &'static str {
        "conv2d_dgrad"
    }

    fn flops(&self, signature: &Signature) -> u64 {
        flops(signature.inputs[0], signature.inputs[1])
    }

    fn workspace(&self, signature: &Signature) -> usize {
        self.plan.workspace_len() * float(signature).size()
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        let op = Self { geometry: self.geometry, tf32: self.tf32, plan: self.plan.clone(), with_addend: true };
        (!self.with_addend).then(|| Arc::new(op) as Arc<dyn Operation>)
    }

    /// With `u` the gradient of `dx`: that of `dy` is the convolution of `u`, that of the weights the correlation of `u` and `dy`.
    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let mut gradients = vec![None; node.inputs.len()];
        let Some(upstream) = upstream[0] else { return Ok(gradients) };
        let (dy, weight) = (node.inputs[0], node.inputs[1]);
        let (geometry, tf32, float) = (self.geometry, self.tf32, tape.dtype(dy).accumulator());
        if self.with_addend {
            gradients[2] = Some(upstream);
        }
        if wanted[1] {
            let plan = with_float!(float, T => WgradPlan::new::<T>(&geometry));
            let (op, shape) = (Conv2dWgrad { geometry, tf32, plan }, tape.shape(weight));
            gradients[1] = Some(tape.record_one(op, &[upstream, dy], "d_weight", float, shape));
        }
        if wanted[0] {
            let back = tape.record_convolution(upstream, weight, None, geometry, tf32, "d_x")?;
            gradients[0] = Some(tape.view(back, tape.shape(dy))?);
        }
        Ok(gradients)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let addend = self.with_addend.then(|| frame.input::<T>(2));
            let (dy, weight, dx) = (frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
            self.plan.run(dy, weight, addend, dx, &mut frame.workspace::<T>()[..self.plan.workspace_len()]);
        });
    }

    fn variants(&self, signature: &Signature) -> Option<Variants> {
        Some(cuda::variants(cuda::Pass::Dgrad, self.name(), &self.geometry, self.tf32, signature))
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::dgrad(launcher, &self.geometry, self.tf32)
    }
}

impl Operation for Conv2dWgrad {
    fn name(&self) -> &'static str {
        "conv2d_wgrad"
    }

    fn flops(&self, signature: &Signature) -> u64 {
        flops(signature.inputs[1], signature.outputs[0])
    }

    fn workspace(&self, signature: &Signature) -> usize {
        self.plan.workspace_len() * float(signature).size()
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let bias = (frame.output_count() > 1).then(|| frame.output::<T>(1));
            let (x, dy, dw) = (frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
            self.plan.run(x, dy, dw, bias, &mut frame.workspace::<T>()[..self.plan.workspace_len()]);
        });
    }

    fn variants(&self, signature: &Signature) -> Option<Variants> {
        Some(cuda::variants(cuda::Pass::Wgrad, self.name(), &self.geometry, self.tf32, signature))
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        cuda::wgrad_workspace(&self.geometry, self.tf32, signature)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::wgrad(launcher, &self.geometry, self.tf32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::check::check_gradients;

    #[test]
    fn gradients_match_differences() {
        let plain = Conv2dOptions::default();
        // (images, weights, options, bias)
        let cases = [
            ([2, 5, 4, 3], [3, 3, 3, 5], Conv2dOptions { padding: [1, 1], ..plain }, true),
            ([3, 7, 5, 2], [3, 2, 2, 3], Conv2dOptions { stride: [2, 3], padding: [1, 0], ..plain }, false),
            ([1, 7, 6, 2], [3, 3, 2, 2], Conv2dOptions { dilation: [2, 2], padding: [2, 1], ..plain }, true),
            ([2, 4, 4, 6], [1, 1, 2, 9], Conv2dOptions { groups: 3, ..plain }, false),
            ([2, 5, 5, 5], [3, 3, 1, 5], Conv2dOptions { groups: 5, padding: [1, 1], stride: [2, 2], ..plain }, false),
            ([2, 3, 3, 3], [1, 1, 3, 4], plain, true),
            ([1, 6, 6, 16], [3, 3, 16, 16], Conv2dOptions { padding: [1, 1], ..plain }, true),
        ];
        for (images, weights, options, bias) in cases {
            let mut inputs = vec![Shape::from(images), Shape::from(weights)];
            if bias {
                inputs.push(Shape::from([weights[3]]));
            }
            check_gradients(31, &inputs, |tape, _, x| tape.conv2d(x[0], x[1], x.get(2).copied(), options));
        }
    }

    #[test]
    fn a_value_with_two_users_gets_its_gradient_in_one_pass() {
        let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
        check_gradients(32, &[Shape::from([2, 4, 3, 2]), Shape::from([3, 3, 2, 2])], |tape, _, x| {
            let first = tape.conv2d(x[0], x[1], None, options)?;
            let second = tape.conv2d(first, x[1], None, options)?;
            tape.add(second, first)
        });
    }

    #[test]
    fn weights_of_another_shape_are_refused() {
        let mut layout = crate::tape::StateLayout::new();
        let (x, w) = (layout.declare("x", DType::F32, [1, 4, 4, 3]), layout.declare("w", DType::F32, [3, 3, 4, 8]));
        let mut tape = Tape::new(DType::F32);
        let (x, w) = (tape.state(&layout, x), tape.state(&layout, w));
        let message = tape.conv2d(x, w, None, Conv2dOptions::default()).unwrap_err().to_string();
        assert!(message.contains("[1, 4, 4, 3]") && message.contains("[3, 3, 4, 8]"), "{message}");
    }
}
