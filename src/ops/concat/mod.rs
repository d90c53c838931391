//! Concatenation along the channels. The gradient of an input is its slice of the upstream one.

pub(super) mod cases;
mod cuda;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::columns::{Columns, clear_columns, copy_columns};
use crate::simd::{Element, Level};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// The inputs' blocks of channels in the output; what no input covers is zero. The last input may be an addend.
#[derive(Clone, Debug)]
struct Concat {
    /// First channel of every input.
    starts: Box<[usize]>,
    /// First channel and width of every block of zeros.
    gaps: Box<[(usize, usize)]>,
    addend: bool,
}

impl Tape {
    /// The channels (last dimension) of all `parts`, one after the other.
    ///
    /// # Errors
    /// If there are none, or their other dimensions differ.
    pub fn concat(&mut self, parts: &[ValueId]) -> Result<ValueId> {
        let Some(first) = parts.first() else {
            return Err(Error::request("concat needs at least one input"));
        };
        let leading = leading(self.shape(*first));
        if let Some(other) = parts.iter().map(|id| self.shape(*id)).find(|shape| self::leading(*shape) != leading) {
            let first = self.shape(*first);
            return Err(Error::request(format!("cannot concatenate the channels of {first} and {other}")));
        }
        let mut placed = Vec::new();
        let mut channels = 0;
        for part in parts {
            placed.push((channels, *part));
            channels += self.shape(*part).channels();
        }
        Ok(self.place_channels(&placed, channels))
    }

    /// `channels` channels, zero but for the given values from the given channels on (ascending, disjoint).
    pub(in crate::ops) fn place_channels(&mut self, placed: &[(usize, ValueId)], channels: usize) -> ValueId {
        let ids: Vec<ValueId> = placed.iter().map(|(_, id)| *id).collect();
        let mut gaps = Vec::new();
        let mut covered = 0;
        for (start, id) in placed {
            if *start > covered {
                gaps.push((covered, start - covered));
            }
            covered = start + self.shape(*id).channels();
        }
        if channels > covered {
            gaps.push((covered, channels - covered));
        }
        let dtype = self.dtype(ids[0]);
        let shape = with_channels(self.shape(ids[0]), channels);
        let op = Concat { starts: placed.iter().map(|(start, _)| *start).collect(), gaps: gaps.into(), addend: false };
        self.record_one(op, &ids, "concat", dtype, shape)
    }
}

fn leading(shape: Shape) -> Vec<usize> {
    shape.extents()[..shape.rank().saturating_sub(1)].to_vec()
}

/// `shape` with another number of channels.
pub(in crate::ops) fn with_channels(shape: Shape, channels: usize) -> Shape {
    let mut extents = shape.extents().to_vec();
    if let Some(last) = extents.last_mut() {
        *last = channels;
    }
    Shape::new(&extents)
}

impl Concat {
    fn run_on<T: Element>(&self, frame: &Frame<'_>) {
        let shape = frame.output_shape(0);
        let (rows, stride) = (shape.rows(), shape.channels());
        let y = frame.output::<T>(0).as_mut_ptr();
        let addend = match (self.addend, frame.is_in_place()) {
            (false, _) => None,
            (true, true) => Some(y.cast_const()),
            (true, false) => Some(frame.input_ptr::<T>(self.starts.len())),
        };
        let level = Level::current();
        // SAFETY: `place_channels` laid the inputs and the gaps side by side inside of the output's channels.
        unsafe {
            let block = |start: usize| Columns { start: y.add(start), stride };
            let addend = |start: usize| addend.map(|addend| Columns { start: addend.add(start), stride });
            for (index, start) in self.starts.iter().enumerate() {
                let width = frame.input_shape(index).channels();
                let from = Columns { start: frame.input::<T>(index).as_ptr(), stride: width };
                copy_columns(level, rows, width, from, addend(*start), block(*start));
            }
            for (start, width) in &self.gaps {
                match addend(*start) {
                    // In place the sum is there already.
                    Some(_) if frame.is_in_place() => {}
                    Some(addend) => copy_columns(level, rows, *width, addend, None, block(*start)),
                    None => clear_columns(level, rows, *width, block(*start)),
                }
            }
        }
    }
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        self.addend.then_some((0, self.starts.len()))
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        (!self.addend).then(|| Arc::new(Self { addend: true, ..self.clone() }) as Arc<dyn Operation>)
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let mut gradients = vec![None; node.inputs.len()];
        if let Some(upstream) = upstream[0] {
            let wanted = (0..node.inputs.len()).filter(|index| wanted[*index]);
            for index in wanted {
                let Some(&start) = self.starts.get(index) else {
                    gradients[index] = Some(upstream); // The addend.
                    continue;
                };
                let width = tape.shape(node.inputs[index]).channels();
                gradients[index] = Some(tape.slice(upstream, start, width)?);
            }
        }
        Ok(gradients)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.run_on::<T>(frame));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
