//! What an operation's kernels are checked on: small recordings with made-up inputs, run on the CPU in f64 and on a GPU (or
//! the simulator), and compared.
//!
//! Every operation lists its cases beside its kernels, in `cases.rs`; `kd-engine doctor` and the mutation tests run them.

use std::fmt;

use crate::error::Result;
use crate::random::{Philox, Stream};
use crate::tape::{StateId, StateLayout, Tape, ValueId};
use crate::tensor::{DType, Shape};

/// How a case's kernels store activations; everything else is float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// float32.
    F32,
    /// bf16.
    Bf16,
}

impl Storage {
    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

type Record = dyn Fn(&mut Probe<'_>) -> Result<()> + Send + Sync;

/// One recording to be checked.
pub struct Case {
    /// What it is about: operation, shapes, options. Unique.
    pub name: String,
    /// How activations are stored.
    pub storage: Storage,
    record: Box<Record>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl Case {
    /// A case of that name, whose recording is made by `record`.
    pub fn new(
        name: impl Into<String>,
        storage: Storage,
        record: impl Fn(&mut Probe<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let name = format!("{} {}", name.into(), storage.dtype());
        Self { name, storage, record: Box::new(record) }
    }

    /// Records the case on `probe`.
    ///
    /// # Errors
    /// As its operations.
    pub fn record(&self, probe: &mut Probe<'_>) -> Result<()> {
        (self.record)(probe)
    }
}

/// How far a result may be from the reference, relative to the largest element of the tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// With float32 activations.
    pub f32: f64,
    /// With bf16 activations.
    pub bf16: f64,
}

impl Tolerance {
    /// Equal to the last bit: for what only moves or counts.
    pub const EXACT: Self = Self { f32: 0.0, bf16: 0.0 };

    /// What rounding to bf16 costs at most: with 8 bits of significand half a unit in the last place is 2^-8 of a number
    /// just above a power of two. Where a value is stored in bf16 and this is part of its tolerance, each element is granted
    /// half a unit of its own last place in its stead, so that a rounding to the wrong side shows.
    pub const BF16_ROUNDING: f64 = 1.0 / 256.0;

    /// For results that add up `terms` products in float32: half a unit in the last place (2^-24) for each addition and
    /// product on the way, of which random signs let about the square root remain; four times that is granted, and
    /// at least 8 units. bf16 rounds once more on storing, see [`Tolerance::BF16_ROUNDING`].
    pub fn sum(terms: usize) -> Self {
        let unit = f64::from(f32::EPSILON) / 2.0;
        let f32 = unit * (4.0 * (terms as f64).sqrt()).max(16.0);
        Self { f32, bf16: f32 + Self::BF16_ROUNDING }
    }

    /// The tolerance for that storage.
    pub fn of(self, storage: Storage) -> f64 {
        match storage {
            Storage::F32 => self.f32,
            Storage::Bf16 => self.bf16,
        }
    }
}

/// A value that is compared after the run.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// The value, kept on the tape.
    pub value: ValueId,
    /// Its type on this tape.
    pub dtype: DType,
    /// How far it may be off.
    pub tolerance: Tolerance,
}

/// What belongs to a recorded case beside its tape.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The state that inputs are, with its content.
    pub inputs: Vec<(StateId, Vec<f64>)>,
    /// The values to compare.
    pub checks: Vec<Check>,
    /// How far updated state may be off.
    pub updates: Tolerance,
}

/// A case while it is recorded: a tape, the state that its inputs are, and what is to be compared.
#[derive(Debug)]
pub struct Probe<'a> {
    /// The tape: f64 for the reference, float32 with the case's storage for the device.
    pub tape: &'a mut Tape,
    /// The state that inputs are declared in.
    pub layout: &'a mut StateLayout,
    storage: Storage,
    generator: Philox,
    inputs: Vec<(StateId, Vec<f64>)>,
    checks: Vec<Check>,
    updates: Tolerance,
}

impl<'a> Probe<'a> {
    /// An empty probe. Inputs are made from `seed`.
    pub fn new(tape: &'a mut Tape, layout: &'a mut StateLayout, storage: Storage, seed: u64) -> Self {
        let generator = Philox::new(seed, Stream::Weights);
        Self { tape, layout, storage, generator, inputs: Vec::new(), checks: Vec::new(), updates: Tolerance::sum(1) }
    }

    /// How activations are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// A standard normal activation, exact in the case's storage.
    pub fn activation(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        let shape = shape.into();
        let values = self.normal(shape.count());
        self.activation_of(name, shape, values)
    }

    /// An activation of given content, rounded to the case's storage.
    pub fn activation_of(&mut self, name: &str, shape: impl Into<Shape>, values: Vec<f64>) -> ValueId {
        let dtype = self.tape.storage();
        let round = |x: f64| match self.storage {
            Storage::F32 => f64::from(x as f32),
            Storage::Bf16 => half::bf16::from_f64(x).to_f64(),
        };
        let values = values.into_iter().map(round).collect();
        self.input(name, dtype, shape.into(), values)
    }

    /// A standard normal parameter, statistic or logit: float32 on a device.
    pub fn float(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        let shape = shape.into();
        let values = self.normal(shape.count());
        self.float_of(name, shape, values)
    }

    /// A parameter, statistic or logit of given content, rounded to float32.
    pub fn float_of(&mut self, name: &str, shape: impl Into<Shape>, values: Vec<f64>) -> ValueId {
        let dtype = self.tape.float();
        self.input(name, dtype, shape.into(), values.into_iter().map(|x| f64::from(x as f32)).collect())
    }

    /// Unsigned integers: labels, indices, steps.
    pub fn integers(&mut self, name: &str, shape: impl Into<Shape>, values: Vec<u32>) -> ValueId {
        self.input(name, DType::U32, shape.into(), values.into_iter().map(f64::from).collect())
    }

    /// Bytes: images.
    pub fn bytes(&mut self, name: &str, shape: impl Into<Shape>, values: Vec<u8>) -> ValueId {
        self.input(name, DType::U8, shape.into(), values.into_iter().map(f64::from).collect())
    }

    /// State in f64: counters and totals.
    pub fn totals(&mut self, name: &str, shape: impl Into<Shape>, values: Vec<f64>) -> ValueId {
        self.input(name, DType::F64, shape.into(), values)
    }

    /// `count` standard normal numbers; another draw with every input.
    pub fn normal(&mut self, count: usize) -> Vec<f64> {
        let tensor = self.inputs.len() as u64;
        (0..count as u64).map(|index| self.generator.normal(tensor, index)).collect()
    }

    /// Compares `value` after the run.
    pub fn check(&mut self, name: &str, value: ValueId, tolerance: Tolerance) {
        self.tape.keep(value);
        let dtype = self.tape.dtype(value);
        self.checks.push(Check { name: name.to_string(), value, dtype, tolerance });
    }

    /// Compares the gradients of `inputs` given a random upstream gradient of `output`, which has its type.
    ///
    /// # Errors
    /// If there is no gradient.
    pub fn check_gradients(&mut self, output: ValueId, inputs: &[(ValueId, Tolerance)]) -> Result<()> {
        let (dtype, shape) = (self.tape.dtype(output), self.tape.shape(output));
        let upstream = match dtype == self.tape.storage() {
            true => self.activation("upstream", shape),
            false => self.float("upstream", shape),
        };
        let ids: Vec<ValueId> = inputs.iter().map(|(id, _)| *id).collect();
        let gradients = self.tape.backward(&[(output, upstream)], &ids)?;
        for (index, (gradient, (_, tolerance))) in gradients.into_iter().zip(inputs).enumerate() {
            if let Some(gradient) = gradient {
                self.check(&format!("gradient {index}"), gradient, *tolerance);
            }
        }
        Ok(())
    }

    /// Compares the gradient of `input` given a random upstream gradient of `output` and another one that has reached
    /// `input` before: operations that can do so add it themselves ([`crate::tape::Operation::with_addend`]).
    ///
    /// # Errors
    /// If there is no gradient.
    pub fn check_gradient_with_addend(&mut self, output: ValueId, input: ValueId, tolerance: Tolerance) -> Result<()> {
        let (upstream, before) = (self.tape.shape(output), self.tape.shape(input));
        let upstream = self.activation("upstream", upstream);
        let before = self.activation("addend", before);
        let gradients = self.tape.backward(&[(output, upstream), (input, before)], &[input])?;
        let sum = gradients[0].expect("the input was among the seeds");
        self.check("gradient with addend", sum, tolerance);
        Ok(())
    }

    /// How far state may be off that the case updates; without a word `Tolerance::sum(1)`. All state is compared.
    pub fn updates_within(&mut self, tolerance: Tolerance) {
        self.updates = tolerance;
    }

    /// What was recorded.
    pub fn finish(self) -> Contents {
        Contents { inputs: self.inputs, checks: self.checks, updates: self.updates }
    }

    fn input(&mut self, name: &str, dtype: DType, shape: Shape, values: Vec<f64>) -> ValueId {
        assert_eq!(values.len(), shape.count(), "the content of {name}");
        let id = self.layout.declare(format!("{name} {}", self.inputs.len()), dtype, shape);
        self.inputs.push((id, values));
        self.tape.state(self.layout, id)
    }
}
