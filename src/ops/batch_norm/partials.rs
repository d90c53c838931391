//! Partial statistics, as `kernels/statistics.cuh` lays them out.

use crate::tensor::Shape;

/// Words of 4 bytes in a sector of a GPU's memory, in which everything is counted.
const SECTOR: usize = 8;

/// The shape of a buffer for at most `count` partial statistics of `channels` channels: how many there are, then of each
/// how many rows it stands for and three numbers per channel, all of 4 bytes. How many rows there are to a partial is for
/// the kernel to choose that leaves them; `count` is for the smallest tiles that it may take.
pub(in crate::ops) fn partials(count: usize, channels: usize) -> Shape {
    Shape::from([SECTOR + count * (SECTOR + 3 * channels.next_multiple_of(SECTOR))])
}
