//! The numbers `0..count` in a random order: sorted by keys, the first word of Philox at (step and draw, number) and behind it
//! the number itself, so that no two are equal. A GPU counts for each number how many stand before it.

use super::{Source, cuda};
use crate::error::{Error, Result};
use crate::tape::{Frame, Launcher, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};

#[derive(Debug)]
pub(super) struct RandomPermutation {
    pub(super) source: Source,
}

impl Tape {
    /// The numbers `0..count` in a random order, u32 `[count]`: another with each replay. For channels and images, not for
    /// data sets: a GPU compares each with each.
    ///
    /// # Errors
    /// If the tape has no source of random numbers ([`Tape::set_randomness`]), or there is nothing to order.
    pub fn random_permutation(&mut self, count: usize) -> Result<ValueId> {
        if count == 0 || u32::try_from(count).is_err() {
            return Err(Error::request(format!("cannot bring {count} numbers into a random order")));
        }
        let (source, number) = self.source()?;
        Ok(self.record_one(RandomPermutation { source }, &[number], "permutation", DType::U32, Shape::from([count])))
    }
}

impl Operation for RandomPermutation {
    fn name(&self) -> &'static str {
        "random_permutation"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        8 * signature.outputs[0].1.count()
    }

    fn run(&self, frame: &Frame<'_>) {
        let number = frame.input::<u32>(0)[0];
        let out = frame.output::<u32>(0);
        // A workspace may be longer than it was asked for.
        let keys: &mut [u64] = &mut bytemuck::cast_slice_mut(frame.workspace::<f64>())[..out.len()];
        for (index, key) in (0u64..).zip(keys.iter_mut()) {
            *key = u64::from(self.source.words(number, index)[0]) << 32 | index;
        }
        keys.sort_unstable();
        out.iter_mut().zip(keys).for_each(|(out, key)| *out = *key as u32);
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::permutation(launcher, self);
        Ok(())
    }
}
