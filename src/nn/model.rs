//! A network's parameters as state: declared, drawn, loaded and read back.
//!
//! Files hold PyTorch's order (`[out, in / groups, kh, kw]`, `[out, in]`); memory holds `[kh, kw, in / groups, out]` and
//! `[in, out]`, so that the kernels' innermost loop runs over output channels. Transposed convolutions are `[in, out, kh, kw]`
//! in files and, by the same turn, `[kh, kw, out, in]` in memory. It happens here and nowhere else.

use std::collections::BTreeMap;

use super::{Network, Parameter};
use crate::error::{Error, Result};
use crate::random::{Philox, Stream};
use crate::tape::{State, StateId, StateLayout};
use crate::tensor::{DType, Shape};

/// A network with its parameters in state.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is in the classroom: `teacher`, `peer-1`, `student`, ...
    pub role: String,
    /// Its layers.
    pub network: Network,
    /// Its parameters and running statistics, in the order of the state dict.
    pub parameters: Vec<ModelParameter>,
}

/// A parameter or buffer and where it lives.
#[derive(Clone, Debug)]
pub struct ModelParameter {
    /// Name, shape in PyTorch's order, how it starts.
    pub spec: Parameter,
    /// Its value, in the engine's order.
    pub value: StateId,
}

impl Model {
    /// Declares the state of `network` under `prefix`, in `float`.
    pub fn declare(layout: &mut StateLayout, prefix: &str, role: &str, network: Network, float: DType) -> Self {
        let parameters = network
            .parameters()
            .into_iter()
            .map(|spec| {
                let shape = Shape::new(&engine_shape(&spec.shape));
                let value = layout.declare(format!("{prefix}/{}", spec.name), float, shape);
                ModelParameter { spec, value }
            })
            .collect();
        Self { role: role.to_string(), network, parameters }
    }

    /// Draws all parameters as the model's text says; `place` tells equal models of one classroom apart.
    pub fn initialise(&self, state: &mut State, seed: u64, place: u32) {
        let generator = Philox::new(seed, Stream::Weights);
        for (index, parameter) in self.parameters.iter().enumerate() {
            let number = (place as usize) << 32 | index;
            let drawn = parameter.spec.init.sample(number, parameter.spec.elements(), &generator);
            parameter.place(state, &drawn);
        }
    }

    /// Names and shapes in PyTorch's order: what a file of weights must hold.
    pub fn expected(&self) -> Vec<(&str, &[usize])> {
        self.parameters.iter().map(|p| (p.spec.name.as_str(), p.spec.shape.as_slice())).collect()
    }

    /// Sets every parameter from tensors in PyTorch's order.
    ///
    /// # Errors
    /// If one is missing or of another count.
    pub fn set(&self, state: &mut State, tensors: &BTreeMap<String, Vec<f32>>) -> Result<()> {
        for parameter in &self.parameters {
            let name = &parameter.spec.name;
            let tensor = tensors
                .get(name)
                .filter(|tensor| tensor.len() == parameter.spec.elements())
                .ok_or_else(|| Error::request(format!("weights of {}: {name} does not fit", self.network.name)))?;
            parameter.place(state, tensor);
        }
        Ok(())
    }

    /// A parameter's elements in PyTorch's order, widened.
    pub fn read(&self, state: &State, parameter: &ModelParameter) -> Vec<f64> {
        to_pytorch(&parameter.spec.shape, &state.to_f64(parameter.value))
    }

    /// All parameters in PyTorch's order.
    pub fn tensors(&self, state: &State) -> BTreeMap<String, Vec<f32>> {
        let narrow = |parameter: &ModelParameter| match state.layout().entry(parameter.value).dtype {
            // Without a detour: weights are large, and memory is planned.
            DType::F32 => to_pytorch(&parameter.spec.shape, state.get::<f32>(parameter.value)),
            _ => self.read(state, parameter).into_iter().map(|x| x as f32).collect(),
        };
        self.parameters.iter().map(|p| (p.spec.name.clone(), narrow(p))).collect()
    }
}

impl ModelParameter {
    /// Writes elements in PyTorch's order to where they stand in the state.
    fn place(&self, state: &mut State, values: &[f32]) {
        let shape = &self.spec.shape;
        match state.layout().entry(self.value).dtype {
            DType::F32 => turn(shape, values, state.get_mut::<f32>(self.value), |x| x),
            _ => turn(shape, values, state.get_mut::<f64>(self.value), f64::from),
        }
    }
}

/// The engine's shape of a tensor of PyTorch's shape.
pub fn engine_shape(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [out, inputs, height, width] => vec![height, width, inputs, out],
        [out, inputs] => vec![inputs, out],
        _ => shape.to_vec(),
    }
}

/// From PyTorch's order (its `shape`) to the engine's.
pub fn to_engine<T: Copy + Default>(shape: &[usize], values: &[T]) -> Vec<T> {
    let mut turned = vec![T::default(); values.len()];
    turn(shape, values, &mut turned, |value| value);
    turned
}

fn turn<T: Copy, U>(shape: &[usize], values: &[T], turned: &mut [U], convert: impl Fn(T) -> U) {
    for (index, value) in values.iter().enumerate() {
        let place = if shape.len() < 2 { index } else { engine_index(shape, index) };
        turned[place] = convert(*value);
    }
}

/// From the engine's order to PyTorch's (its `shape`).
pub fn to_pytorch<T: Copy + Default>(shape: &[usize], values: &[T]) -> Vec<T> {
    if shape.len() < 2 {
        return values.to_vec();
    }
    (0..values.len()).map(|index| values[engine_index(shape, index)]).collect()
}

/// Where element `index` of PyTorch's order, (o, i, tap), is in the engine's, (tap, i, o).
fn engine_index(shape: &[usize], index: usize) -> usize {
    let taps = shape[2..].iter().product::<usize>();
    let (o, i, tap) = (index / (shape[1] * taps), index / taps % shape[1], index % taps);
    (tap * shape[1] + i) * shape[0] + o
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_turned_and_turned_back() {
        let shape = [2, 3, 1, 2];
        let values: Vec<u32> = (0..12).collect();
        let turned = to_engine(&shape, &values);
        // Output channel 1, input channel 2, column 1 is the last element in both orders; the second one in the engine's
        // order is output channel 1 of input channel 0, column 0: element 6.
        assert_eq!(engine_shape(&shape), [1, 2, 3, 2]);
        assert_eq!((turned[0], turned[1], turned[2], turned[11]), (0, 6, 2, 11));
        assert_eq!(to_pytorch(&shape, &turned), values);
        assert_eq!(to_engine(&[2, 2], &[1, 2, 3, 4]), [1, 3, 2, 4]);
        assert_eq!(to_engine(&[3], &[1, 2, 3]), [1, 2, 3]);
    }
}
