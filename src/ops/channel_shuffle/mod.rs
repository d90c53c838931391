//! Channel shuffle: with `g` groups, output channel `(c % (C/g)) * g + c / (C/g)` is input channel `c`. In PyTorch
//! `view(N, g, C/g, H, W).transpose(1, 2)` (Zhang et al.: "ShuffleNet", 2017). The gradient shuffles with `C/g` groups.

pub(super) mod cases;
mod cpu;
mod cuda;

use crate::error::{Error, Result};
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

#[derive(Clone, Copy, Debug)]
struct ChannelShuffle {
    groups: usize,
}

impl Tape {
    /// Shuffles the channels (last dimension) of `x` between `groups` groups.
    ///
    /// # Errors
    /// If the groups do not divide the channels.
    pub fn channel_shuffle(&mut self, x: ValueId, groups: usize) -> Result<ValueId> {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        let channels = shape.channels();
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::request(format!(
                "cannot shuffle the {channels} channels of {shape} in {groups} groups"
            )));
        }
        if groups == 1 || groups == channels {
            return Ok(x);
        }
        Ok(self.record_one(ChannelShuffle { groups }, &[x], "channel_shuffle", dtype, shape))
    }
}

impl Operation for ChannelShuffle {
    fn name(&self) -> &'static str {
        "channel_shuffle"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let groups = tape.shape(node.inputs[0]).channels() / self.groups;
        Ok(vec![upstream[0].map(|upstream| tape.channel_shuffle(upstream, groups)).transpose()?])
    }

    fn run(&self, frame: &Frame<'_>) {
        let channels = frame.output_shape(0).channels();
        with_float!(frame.output_dtype(0), T => {
            cpu::shuffle(Level::current(), self.groups, channels, frame.input::<T>(0), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch_shuffle(launcher, self.groups);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
