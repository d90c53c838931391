//! The transposed convolution, as PyTorch's `ConvTranspose2d`: the input gradient of a convolution, recorded as a forward
//! pass. Its own gradients are that convolution's forward pass and weight gradient (`operation.rs`).

use std::sync::Arc;

use super::operation::Conv2dDgrad;
use super::{Conv2dGeometry, DgradPlan};
use crate::error::{Error, Result};
use crate::ops::matmul::Transposed;
use crate::tape::{Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

impl Tape {
    /// The transposed convolution of `x` `[N, H, W, C]` with `weight` `[KH, KW, K, C]` (files hold PyTorch's `[C, K, KH, KW]`) and
    /// `bias` `[K]`: `[N, H', W', K]` with `H' = (H - 1) stride - 2 padding + KH`. The bias is rounded to the type of `x`.
    ///
    /// # Errors
    /// If the shapes do not fit, or nothing would be left of the image.
    pub fn conv_transpose2d(
        &mut self,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        stride: usize,
        padding: usize,
    ) -> Result<ValueId> {
        let (shape, kernel, dtype) = (self.shape(x), self.shape(weight), self.dtype(x));
        let fits = shape.rank() == 4
            && kernel.rank() == 4
            && kernel[3] == shape[3]
            && shape.count() > 0
            && self.dtype(weight) == dtype
            && bias.is_none_or(|bias| self.shape(bias) == Shape::from([kernel[2]]));
        if !fits {
            return Err(Error::request(format!("conv_transpose2d of {shape} does not take weights of {kernel}"))
                .help("expected images [N, H, W, C], weights [KH, KW, K, C] of their type and a bias [K]"));
        }
        let extent = |axis: usize| {
            let reach = (shape[axis + 1] - 1).checked_mul(stride)?.checked_add(kernel[axis])?;
            reach.checked_sub(padding.checked_mul(2)?).filter(|extent| *extent > 0)
        };
        let (Some(height), Some(width)) = (extent(0), extent(1)) else {
            return Err(Error::request(format!(
                "conv_transpose2d: of {shape} with weights of {kernel}, stride {stride} and padding {padding} nothing is left"
            )));
        };
        // The convolution that leads from the result back to `x`.
        let geometry = Conv2dGeometry {
            batch: shape[0],
            height,
            width,
            in_channels: kernel[2],
            out_channels: kernel[3],
            kernel: [kernel[0], kernel[1]],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
        }
        .checked()?;
        let result = Shape::from([shape[0], height, width, kernel[2]]);
        let mut inputs = vec![x, weight];
        if let Some(bias) = bias {
            // The input gradient adds a whole map: the bias at every pixel, a product with a column of ones.
            let ones = self.fill([result.rows(), 1], 1.0);
            let row = self.view(bias, [1, kernel[2]])?;
            let everywhere = self.matmul(ones, row, Transposed::default())?;
            let everywhere = self.view(everywhere, result)?;
            inputs.push(self.cast(everywhere, dtype)?);
        }
        let plan = Arc::new(with_float!(dtype.accumulator(), T => DgradPlan::new::<T>(&geometry)));
        let op = Conv2dDgrad { geometry, tf32: self.tf32(), plan, with_addend: bias.is_some() };
        Ok(self.record_one(op, &inputs, "conv_transpose2d", dtype, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{normal, run_tape};
    use crate::tape::check::check_gradients;

    /// Every input pixel adds its channels times the weights to the pixels that it reaches.
    #[test]
    fn a_transposed_convolution_is_the_sum_of_what_pixels_spread() {
        // (images [N, H, W, C], weights [KH, KW, K, C], stride, padding)
        let cases = [
            ([2, 3, 4, 5], [4, 4, 3, 5], 2, 1),
            ([1, 5, 3, 2], [3, 3, 4, 2], 1, 1),
            ([2, 2, 2, 3], [2, 2, 2, 3], 3, 0),
            ([1, 4, 4, 1], [1, 1, 2, 1], 1, 0),
        ];
        for (images, weights, stride, padding) in cases {
            let [n, h, w, c] = images;
            let [kh, kw, k, _] = weights;
            let extent = |size: usize, kernel: usize| (size - 1) * stride + kernel - 2 * padding;
            let (oh, ow) = (extent(h, kh), extent(w, kw));
            let of = |tensor: u64, extents: [usize; 4]| {
                let shape = Shape::from(extents);
                (shape, normal::<f64>(7, tensor, shape.count(), 0.0))
            };
            let bias = (Shape::from([k]), normal::<f64>(7, 3, k, 1.0));
            let inputs = [of(1, images), of(2, weights), bias];
            let y = run_tape(&inputs, |tape, x| {
                Ok(vec![tape.conv_transpose2d(x[0], x[1], Some(x[2]), stride, padding)?])
            });
            let [(_, x), (_, weight), (_, bias)] = &inputs;
            let mut expected: Vec<f64> = (0..n * oh * ow).flat_map(|_| bias.iter().copied()).collect();
            for (image, row, column) in (0..n * h * w).map(|pixel| (pixel / (h * w), pixel / w % h, pixel % w)) {
                for (dr, dc) in (0..kh * kw).map(|tap| (tap / kw, tap % kw)) {
                    let (Some(to_row), Some(to_column)) =
                        ((row * stride + dr).checked_sub(padding), (column * stride + dc).checked_sub(padding))
                    else {
                        continue;
                    };
                    if to_row >= oh || to_column >= ow {
                        continue;
                    }
                    for (out, input) in (0..k * c).map(|pair| (pair / c, pair % c)) {
                        expected[((image * oh + to_row) * ow + to_column) * k + out] += x
                            [((image * h + row) * w + column) * c + input]
                            * weight[((dr * kw + dc) * k + out) * c + input];
                    }
                }
            }
            crate::ops::testing::assert_close("y", &y[0], &expected, 1e-13);
        }
    }

    #[test]
    fn gradients_match_differences() {
        let images = Shape::from([2, 3, 2, 3]);
        let inputs = [images, Shape::from([4, 4, 2, 3]), Shape::from([2])];
        check_gradients(1, &inputs, |tape, _, x| tape.conv_transpose2d(x[0], x[1], Some(x[2]), 2, 1));
        check_gradients(2, &inputs[..2], |tape, _, x| tape.conv_transpose2d(x[0], x[1], None, 3, 0));
        check_gradients(3, &[images, Shape::from([3, 3, 3, 3])], |tape, _, x| {
            // Two uses of one value and one weight: gradients meet.
            let y = tape.conv_transpose2d(x[0], x[1], None, 1, 1)?;
            let z = tape.conv_transpose2d(y, x[1], None, 1, 1)?;
            tape.add(z, y)
        });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut layout = crate::tape::StateLayout::new();
        let dtype = crate::tensor::DType::F32;
        let ids = [layout.declare("x", dtype, [1, 4, 4, 3]), layout.declare("w", dtype, [3, 3, 3, 8])];
        let thin = layout.declare("thin", dtype, [1, 1, 8, 3]);
        let mut tape = Tape::new(dtype);
        let [x, w] = ids.map(|id| tape.state(&layout, id));
        let thin = tape.state(&layout, thin);
        let message = tape.conv_transpose2d(x, w, None, 1, 0).unwrap_err().to_string();
        assert!(message.contains("[1, 4, 4, 3]") && message.contains("[3, 3, 3, 8]"), "{message}");
        assert!(tape.conv_transpose2d(x, thin, None, 1, 2).unwrap_err().to_string().contains("nothing is left"));
        assert!(tape.conv_transpose2d(x, thin, None, 0, 0).is_err());
    }
}
