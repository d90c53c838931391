//! Golden values: what every wrapper of `kernels/prims.cuh` has to give, bit for bit.
//!
//! The cases of the operations compare kernels with the CPU; on the simulator, an instruction that kernel and simulator
//! misread alike would pass them. Here each wrapper runs by itself (`kernels/golden.cu`) on inputs that show every lane and
//! element, and its outputs are compared with `golden.json`. The file says which device they come from; as long as none
//! has given them they are those that `tests/fixtures/make_golden.py` derives from the PTX ISA manual.

mod compare;
mod hex;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Device, Launch, View};

const FORMAT: &str = "kd-golden/1";

/// How outputs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Equal to the last bit.
    Bits,
    /// float32, where any NaN equals any other: which one an instruction gives is not specified (PTX ISA 9.7.3).
    F32,
    /// bf16, likewise.
    Bf16,
}

/// One launch of a wrapper's kernel, and what it has to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The wrapper, as `prims.cuh` calls it.
    pub wrapper: String,
    /// What the input shows; with the kernel's name, unique.
    pub about: String,
    /// The kernel; its parameters are a pointer to the input and one to the output.
    pub kernel: String,
    /// Blocks.
    pub grid: u32,
    /// Threads of a block.
    pub block: u32,
    /// Every byte of the output before.
    pub fill: u8,
    /// How outputs are compared.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The input's bytes.
    #[serde(with = "hex")]
    pub input: Vec<u8>,
    /// The output's bytes.
    #[serde(with = "hex")]
    pub output: Vec<u8>,
    /// float32 numbers: how far each float32 of the output may be off. None where outputs are equal.
    #[serde(with = "hex", default, skip_serializing_if = "Vec::is_empty")]
    pub bound: Vec<u8>,
}

/// All golden values, and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    format: String,
    /// The device that gave the outputs, or where else they come from.
    pub device: String,
    /// The launches.
    pub cases: Vec<Golden>,
}

/// How a launch went.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was launched, and what it has to give.
    pub golden: Golden,
    /// What it gave, unless it failed.
    pub output: Option<Vec<u8>>,
    /// What is wrong.
    pub fault: Option<String>,
}

impl Finding {
    /// Whether the device gave what it has to, twice.
    pub fn passed(&self) -> bool {
        self.fault.is_none()
    }
}

impl Book {
    /// The values in this binary.
    ///
    /// # Errors
    /// If the file that was built in is damaged.
    pub fn committed() -> Result<&'static Self> {
        static BOOK: LazyLock<Result<Book, String>> = LazyLock::new(|| Book::parse(include_str!("golden.json")));
        BOOK.as_ref().map_err(|what| Error::failed(format!("the golden values in this binary: {what}")))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let book: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if book.format != FORMAT {
            return Err(format!("format `{}` instead of {FORMAT}", book.format));
        }
        Ok(book)
    }

    /// The same launches with the outputs that `device` gave. Where outputs have a bound they stay as they are: what one
    /// device gave is within the bound of the exact value, and nothing that others have to give.
    ///
    /// # Errors
    /// If a launch failed, or was left out.
    pub fn with_outputs(&self, device: &str, findings: &[Finding]) -> Result<Self> {
        let mut book = Self { format: FORMAT.into(), device: device.into(), cases: self.cases.clone() };
        for case in book.cases.iter_mut().filter(|case| case.bound.is_empty()) {
            let same =
                |finding: &&Finding| (&finding.golden.kernel, &finding.golden.about) == (&case.kernel, &case.about);
            let output = findings.iter().find(same).and_then(|finding| finding.output.clone());
            case.output = output.ok_or_else(|| {
                Error::failed(format!("{device} gave no output of {} ({}) to write", case.kernel, case.about))
            })?;
        }
        Ok(book)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that is expected.
    pub fn to_json(&self) -> Result<String> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        self.serialize(&mut serializer).map_err(|error| Error::failed(error.to_string()))?;
        text.push(b'\n');
        String::from_utf8(text).map_err(|error| Error::failed(error.to_string()))
    }
}

/// The kernels that golden values cover.
///
/// # Errors
/// As [`Book::committed`].
pub fn kernels() -> Result<BTreeSet<&'static str>> {
    Ok(Book::committed()?.cases.iter().map(|case| case.kernel.as_str()).collect())
}

/// The golden values whose wrapper or kernel contains `filter`, perhaps none.
///
/// # Errors
/// As [`Book::committed`].
pub fn select(filter: Option<&str>) -> Result<Vec<&'static Golden>> {
    let fits =
        |case: &&Golden| filter.is_none_or(|filter| case.kernel.contains(filter) || case.wrapper.contains(filter));
    Ok(Book::committed()?.cases.iter().filter(fits).collect())
}

/// Examines one after the other, as [`examine`].
///
/// # Errors
/// As [`examine`].
pub fn examine_all(values: &[&Golden], device: impl Fn(bool) -> Result<Arc<dyn Device>>) -> Result<Vec<Finding>> {
    values.iter().map(|golden| examine(golden, &device)).collect()
}

/// Launches twice and compares. `device` makes a fresh device for each run, the second one (`true`) with everything that
/// may be in another order in another order.
///
/// # Errors
/// If the device cannot be had. A launch that fails is a finding.
pub fn examine(golden: &Golden, device: impl Fn(bool) -> Result<Arc<dyn Device>>) -> Result<Finding> {
    let finding = |output, fault| Finding { golden: golden.clone(), output, fault };
    let output = match golden.run(&device(false)?) {
        Ok(output) => output,
        Err(fault) => return Ok(finding(None, Some(fault.to_string()))),
    };
    let fault = match (compare::difference(golden, &output), golden.run(&device(true)?)) {
        (Some(difference), _) => Some(format!("{}: {difference}", golden.about)),
        (None, Err(fault)) => Some(format!("in another order: {fault}")),
        (None, Ok(again)) if again != output => Some(format!("{}: other bits in a second run", golden.about)),
        (None, Ok(_)) => None,
    };
    Ok(finding(Some(output), fault))
}

impl Golden {
    /// What `device` gives.
    fn run(&self, device: &Arc<dyn Device>) -> Result<Vec<u8>> {
        let input = Buffer::new(device, self.input.len(), "input")?;
        let output = Buffer::new(device, self.output.len(), "output")?;
        device.upload(input.address(), &self.input)?;
        device.fill(output.address(), output.bytes(), self.fill)?;
        let view = |buffer: &Buffer, writable, label: &str| View {
            address: buffer.address(),
            bytes: buffer.bytes(),
            writable,
            label: label.into(),
        };
        let launch = Launch {
            kernel: self.kernel.clone(),
            grid: [self.grid, 1, 1],
            block: [self.block, 1, 1],
            shared: 0,
            parameters: [input.address(), output.address()].into_iter().flat_map(u64::to_le_bytes).collect(),
            views: vec![view(&input, false, "input"), view(&output, true, "output")],
            undefined: Vec::new(),
        };
        device.launch(device.main_stream(), &launch)?;
        device.synchronize()?;
        let mut found = vec![0; self.output.len()];
        device.download(output.address(), &mut found)?;
        Ok(found)
    }
}
