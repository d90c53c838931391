//! Where the time of a step goes: by operation and shape.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::machine::Machine;
use crate::config::Precision;
use crate::tape::{OpTime, Signature};

/// All operations of one kind and shape in a step.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileLine {
    /// The operation's name.
    pub operation: String,
    /// Shapes of what it reads and makes.
    pub shape: String,
    /// How many there are in a step.
    pub count: usize,
    /// Their time in milliseconds, all together: the median over the profiled steps.
    pub milliseconds: f64,
    /// Their share of the step.
    pub share: f64,
    /// Billions of floating-point operations per second; 0 for operations that move memory.
    pub gflops: f64,
    /// Billions of bytes per second, every tensor read or written counted once.
    pub gigabytes_per_second: f64,
    /// The least time that this machine's arithmetic and memory allow, over the time.
    pub share_of_roofline: f64,
}

/// Sums several replays of one step by operation and shape, slowest first.
pub fn aggregate(replays: &[Vec<OpTime>], machine: &Machine, precision: Precision) -> Vec<ProfileLine> {
    let mut groups: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (index, op) in replays[0].iter().enumerate() {
        groups.entry((op.name, shape(&op.signature))).or_default().push(index);
    }
    let total: f64 = replays.iter().flatten().map(|op| op.time.as_secs_f64()).sum::<f64>() / replays.len() as f64;
    let mut lines: Vec<ProfileLine> = groups
        .into_iter()
        .map(|((name, shape), members)| {
            let mut times: Vec<Duration> =
                replays.iter().map(|ops| members.iter().map(|index| ops[*index].time).sum()).collect();
            times.sort_unstable();
            let seconds = times[times.len() / 2].as_secs_f64().max(1e-9);
            let ops = || members.iter().map(|index| &replays[0][*index]);
            let flops: u64 = ops().map(|op| op.flops).sum();
            let bytes: u64 = ops().map(|op| bytes(op.name, &op.signature)).sum();
            ProfileLine {
                operation: name.to_string(),
                shape,
                count: members.len(),
                milliseconds: seconds * 1e3,
                share: seconds / total,
                gflops: flops as f64 / seconds / 1e9,
                gigabytes_per_second: bytes as f64 / seconds / 1e9,
                share_of_roofline: machine.least_seconds(precision, flops, bytes) / seconds,
            }
        })
        .collect();
    lines.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    lines
}

/// Bytes of all tensors that an operation reads and writes; of the data set and the clock's tables, only what it takes.
pub fn bytes(operation: &str, signature: &Signature) -> u64 {
    let Signature { inputs, outputs } = signature;
    let count = |tensors: &[(crate::tensor::DType, crate::tensor::Shape)]| -> u64 {
        tensors.iter().map(|(dtype, shape)| (dtype.size() * shape.count()) as u64).sum()
    };
    match operation {
        "batch" => count(outputs) * 5 / 4,
        "clock" => 2 * count(outputs),
        _ => count(inputs) + count(outputs),
    }
}

/// `[64, 32, 32, 16] [3, 3, 16, 16] -> [64, 32, 32, 16]`: the first two inputs that are no vectors, the first output.
fn shape(signature: &Signature) -> String {
    let inputs: Vec<String> = signature
        .inputs
        .iter()
        .filter(|(_, shape)| shape.rank() >= 2)
        .take(2)
        .map(|(_, shape)| shape.to_string())
        .collect();
    let output = signature.outputs.first().map(|(_, shape)| shape.to_string()).unwrap_or_default();
    if inputs.iter().all(|input| *input == output) { output } else { format!("{} -> {output}", inputs.join(" ")) }
}
