//! Slices of channels. The gradient puts the slices' gradients side by side again, zeros where nothing flows.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::ops::columns::{Columns, copy_columns};
use crate::ops::concat::with_channels;
use crate::simd::{Element, Level};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

/// One output per first channel.
#[derive(Debug)]
struct Split {
    starts: Box<[usize]>,
}

impl Tape {
    /// The channels (last dimension) of `x` in parts of `widths`, which together are all of them.
    ///
    /// # Errors
    /// If the widths do not add up to the channels, or one is zero.
    pub fn split(&mut self, x: ValueId, widths: &[usize]) -> Result<Vec<ValueId>> {
        let shape = self.shape(x);
        if widths.iter().sum::<usize>() != shape.channels() || widths.contains(&0) {
            return Err(Error::request(format!(
                "cannot split the {} channels of {shape} as {widths:?}",
                shape.channels()
            )));
        }
        let mut start = 0;
        let parts: Vec<(usize, usize)> = widths
            .iter()
            .map(|width| {
                start += width;
                (start - width, *width)
            })
            .collect();
        Ok(self.take_channels(x, &parts))
    }

    /// Channels `start..start + width` of `x`.
    ///
    /// # Errors
    /// If the width is zero or the slice reaches past the channels.
    pub fn slice(&mut self, x: ValueId, start: usize, width: usize) -> Result<ValueId> {
        let shape = self.shape(x);
        if width == 0 || start > shape.channels() || width > shape.channels() - start {
            return Err(Error::request(format!("cannot take {width} channels of {shape} from channel {start} on")));
        }
        if width == shape.channels() {
            return Ok(x);
        }
        Ok(self.take_channels(x, &[(start, width)])[0])
    }

    /// One value per (first channel, width).
    fn take_channels(&mut self, x: ValueId, parts: &[(usize, usize)]) -> Vec<ValueId> {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        let outputs: Vec<_> = parts.iter().map(|(_, width)| ("slice", dtype, with_channels(shape, *width))).collect();
        self.record(Split { starts: parts.iter().map(|(start, _)| *start).collect() }, &[x], &outputs)
    }
}

impl Split {
    fn run_on<T: Element>(&self, frame: &Frame<'_>) {
        let shape = frame.input_shape(0);
        let (rows, stride) = (shape.rows(), shape.channels());
        let x = frame.input::<T>(0).as_ptr();
        for (index, start) in self.starts.iter().enumerate() {
            let width = frame.output_shape(index).channels();
            let to = Columns { start: frame.output::<T>(index).as_mut_ptr(), stride: width };
            // SAFETY: the ranges were checked to lie inside of the channels.
            unsafe { copy_columns(Level::current(), rows, width, Columns { start: x.add(*start), stride }, None, to) };
        }
    }
}

impl Operation for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let placed: Vec<(usize, ValueId)> =
            self.starts.iter().zip(upstream).filter_map(|(start, id)| id.map(|id| (*start, id))).collect();
        let channels = tape.shape(node.inputs[0]).channels();
        Ok(vec![Some(tape.place_channels(&placed, channels))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.run_on::<T>(frame));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, &self.starts);
        Ok(())
    }
}
