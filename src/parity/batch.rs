//! Images, labels and networks of a case, as state that a tape reads.

use super::{Case, CaseTensor};
use crate::error::{Error, Result};
use crate::nn::{self, Model, Network, to_engine};
use crate::tape::{State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// A batch of images with their labels.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    images: StateId,
    labels: StateId,
    extents: [usize; 4],
}

impl Batch {
    /// Declares the state for images of `extents` `[N, C, H, W]`.
    pub fn declare(layout: &mut StateLayout, extents: [usize; 4], float: DType) -> Self {
        let [count, channels, height, width] = extents;
        Self {
            images: layout.declare("images", float, [count, height, width, channels]),
            labels: layout.declare("labels", DType::U32, [count]),
            extents,
        }
    }

    /// Images `[N, H, W, C]` and labels `[N]` on a tape.
    pub fn values(&self, tape: &mut Tape, layout: &StateLayout) -> (ValueId, ValueId) {
        (tape.state(layout, self.images), tape.state(layout, self.labels))
    }

    /// Sets them from images `[N, C, H, W]`.
    pub fn set(&self, state: &mut State, images: &[f64], labels: &[u32]) {
        state.set_f64(self.images, &to_nhwc(images, self.extents));
        state.get_mut::<u32>(self.labels).copy_from_slice(labels);
    }
}

/// From `[N, C, H, W]` to `[N, H, W, C]`.
pub fn to_nhwc(images: &[f64], [count, channels, height, width]: [usize; 4]) -> Vec<f64> {
    let pixels = height * width;
    let mut turned = Vec::with_capacity(count * channels * pixels);
    for image in images.chunks_exact(channels * pixels) {
        for pixel in 0..pixels {
            turned.extend((0..channels).map(|channel| image[channel * pixels + pixel]));
        }
    }
    turned
}

/// From `[N, H, W, C]` to `[N, C, H, W]`, whose extents are given.
pub fn to_nchw(values: &[f64], [count, channels, height, width]: [usize; 4]) -> Vec<f64> {
    let pixels = height * width;
    let mut turned = Vec::with_capacity(count * channels * pixels);
    for image in values.chunks_exact(channels * pixels) {
        for channel in 0..channels {
            turned.extend((0..pixels).map(|pixel| image[pixel * channels + channel]));
        }
    }
    turned
}

/// The extents of an input of images, none of them zero; `leading` counts the extents before them.
pub fn image_extents<const N: usize>(tensor: &CaseTensor, what: &str) -> Result<[usize; N]> {
    let extents = <[usize; N]>::try_from(tensor.shape.as_slice()).ok().filter(|extents| !extents.contains(&0));
    extents.ok_or_else(|| {
        Error::request(format!("the input `input` has the shape {:?}, expected {what}, none of them 0", tensor.shape))
    })
}

/// The network called `name`, for images of `extents` `[N, C, H, W]`; a user's own file is relative to the case.
pub fn network(case: &Case, name: &str, [_, channels, height, width]: [usize; 4]) -> Result<Network> {
    nn::build_from(case.folder(), name, [case.classes()?, channels, height, width])
}

/// The names of the inputs that hold a network's parameters, which have to have its shapes.
pub fn parameter_inputs(case: &Case, network: &Network, prefix: &str) -> Result<Vec<String>> {
    let check = |parameter: crate::nn::Parameter| {
        let name = format!("{prefix}/{}", parameter.name);
        case.input_of_shape(&name, &parameter.shape).map(|_| name)
    };
    network.parameters().into_iter().map(check).collect()
}

/// Sets all parameters of `model` from the inputs under `prefix`, checked by [`parameter_inputs`].
pub fn set_parameters(case: &Case, model: &Model, prefix: &str, state: &mut State) -> Result<()> {
    for parameter in &model.parameters {
        let tensor = case.input(&format!("{prefix}/{}", parameter.spec.name))?;
        state.set_f64(parameter.value, &to_engine(&parameter.spec.shape, &tensor.values));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_innermost() {
        // Two images of two channels and 1x3 pixels.
        let images: Vec<f64> = (0..12).map(f64::from).collect();
        let turned = to_nhwc(&images, [2, 2, 1, 3]);
        assert_eq!(turned, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
        assert_eq!(to_nchw(&turned, [2, 2, 1, 3]), images);
    }
}
