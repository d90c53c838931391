//! Channels picked by index: `y[.., c] = x[.., indices[c]]`, `x.index_select(-1, indices)` in PyTorch. A channel may be
//! picked several times or never; its gradient is the sum, in order, of those that picked it. For that the picks are first
//! sorted by channel: of channel `c` they are `order[starts[c]..starts[c + 1]]`.

pub(super) mod cases;
mod cuda;
pub(super) mod workloads;

use rayon::prelude::*;

use super::operands;
use super::parallel::Chunks;
use crate::error::Result;
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

#[derive(Debug)]
struct GatherChannels;

#[derive(Debug)]
struct GatherChannelsBackward;

impl Tape {
    /// The channels `indices` (u32 `[K]`, each below the channels of `x`) of `x` `[.., C]`: `[.., K]`.
    ///
    /// # Errors
    /// If `x` is not of the tape's float type or has no channels, or `indices` are not u32 `[K]`.
    pub fn gather_channels(&mut self, x: ValueId, indices: ValueId) -> Result<ValueId> {
        let what = "gather_channels";
        operands::floats(self, what, &[x])?;
        operands::of_type(self, what, indices, DType::U32)?;
        operands::shaped(self, what, indices, "indices [K]", &[None])?;
        let (from, count) = (self.shape(x), self.shape(indices).count());
        operands::shaped(self, what, x, "x [.., C]", &vec![None; from.rank().max(1)])?;
        let mut extents = from.extents().to_vec();
        extents[from.rank() - 1] = count;
        let dtype = self.float();
        Ok(self.record_one(GatherChannels, &[x, indices], "gathered", dtype, Shape::new(&extents)))
    }
}

impl Operation for GatherChannels {
    fn name(&self) -> &'static str {
        "gather_channels"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let (dtype, shape) = (tape.dtype(node.inputs[0]), tape.shape(node.inputs[0]));
        let back = |upstream| tape.record_one(GatherChannelsBackward, &[upstream, node.inputs[1]], "d_x", dtype, shape);
        Ok(vec![upstream[0].map(back), None])
    }

    fn run(&self, frame: &Frame<'_>) {
        let indices = frame.input::<u32>(1);
        let channels = frame.input_shape(0).channels();
        with_float!(frame.output_dtype(0), T => {
            each_row(frame.input::<T>(0), channels, frame.output::<T>(0), indices.len(), |x, y| {
                y.iter_mut().zip(indices).for_each(|(y, index)| *y = x[*index as usize]);
            });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::forward(launcher);
        Ok(())
    }
}

impl GatherChannelsBackward {
    /// Elements of `starts` and `order` for that signature.
    fn sizes(signature: &Signature) -> [usize; 2] {
        [signature.outputs[0].1.channels() + 1, signature.inputs[1].1.count()]
    }
}

impl Operation for GatherChannelsBackward {
    fn name(&self) -> &'static str {
        "gather_channels_backward"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        4 * Self::sizes(signature).iter().sum::<usize>()
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        self.workspace(signature)
    }

    fn run(&self, frame: &Frame<'_>) {
        let indices = frame.input::<u32>(1);
        let channels = frame.output_shape(0).channels();
        let (starts, order) = frame.workspace::<u32>().split_at_mut(channels + 1);
        sort(indices, starts, order);
        with_float!(frame.output_dtype(0), T => {
            each_row(frame.input::<T>(0), indices.len(), frame.output::<T>(0), channels, |dy, dx| {
                for (dx, range) in dx.iter_mut().zip(starts.windows(2)) {
                    *dx = T::ZERO;
                    order[range[0] as usize..range[1] as usize].iter().for_each(|pick| *dx += dy[*pick as usize]);
                }
            });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::backward(launcher);
        Ok(())
    }
}

/// Picks sorted by channel, those of one channel in their order.
fn sort(indices: &[u32], starts: &mut [u32], order: &mut [u32]) {
    starts.fill(0);
    indices.iter().for_each(|index| starts[*index as usize + 1] += 1);
    (1..starts.len()).for_each(|channel| starts[channel] += starts[channel - 1]);
    // While picks are laid down `starts` says where the channel's next goes; afterwards it has moved on by one channel.
    for (pick, index) in (0..).zip(indices) {
        let next = &mut starts[*index as usize];
        order[*next as usize] = pick;
        *next += 1;
    }
    starts.rotate_right(1);
    starts[0] = 0;
}

/// Calls `work` with each row of `from` and of `to`, on all threads.
fn each_row<T: Element>(
    from: &[T],
    from_channels: usize,
    to: &mut [T],
    to_channels: usize,
    work: impl Fn(&[T], &mut [T]) + Sync,
) {
    let rows = Chunks::of(to.len() / to_channels, to_channels).chunk_rows;
    to.par_chunks_mut(rows * to_channels).zip(from.par_chunks(rows * from_channels)).for_each(|(to, from)| {
        to.chunks_exact_mut(to_channels).zip(from.chunks_exact(from_channels)).for_each(|(to, from)| work(from, to));
    });
}

#[cfg(test)]
mod tests;
