//! The linear layer `y = x W + b`: a convolution over a single pixel, always in the full precision of its type.

use crate::error::{Error, Result};
use crate::ops::conv2d::Conv2dGeometry;
use crate::tape::{Tape, ValueId};
use crate::tensor::Shape;

impl Tape {
    /// `x` `[N, ...]` with C elements per image times `weight` `[C, K]`, plus `bias` `[K]`: `[N, K]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn linear(&mut self, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> Result<ValueId> {
        let (shape, matrix) = (self.shape(x), self.shape(weight));
        let images = shape.extents().first().copied().unwrap_or(0);
        let fits = matrix.rank() == 2
            && images > 0
            && shape.count() / images == matrix[0]
            && bias.is_none_or(|bias| self.shape(bias) == Shape::from([matrix[1]]));
        if !fits {
            return Err(Error::request(format!("linear of {shape} does not take weights of {matrix}"))
                .help("expected x [N, C], weights [C, K] and a bias [K]"));
        }
        let geometry = Conv2dGeometry::linear(images, matrix[0], matrix[1]).checked()?;
        let y = self.record_convolution(x, weight, bias, geometry, false, "linear")?;
        self.view(y, [images, matrix[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::check::check_gradients;

    #[test]
    fn gradients_match_differences() {
        let shapes = [Shape::from([5, 1, 1, 7]), Shape::from([7, 3]), Shape::from([3])];
        check_gradients(41, &shapes, |tape, _, x| tape.linear(x[0], x[1], Some(x[2])));
        check_gradients(42, &shapes[..2], |tape, _, x| tape.linear(x[0], x[1], None));
    }
}
