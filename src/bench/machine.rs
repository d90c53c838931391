//! What this machine can do at best, measured: multiply-adds in registers, and copying memory, on all threads at once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use crate::config::Precision;
use crate::gpu::Limits;
use crate::simd::{Element, Kernel, Level, Simd, dispatch};

/// Independent chains of multiply-adds: enough to fill two units of latency four, few enough for sixteen registers.
const CHAINS: usize = 12;

/// Bytes that are copied: well beyond any cache.
const COPIED: usize = 256 << 20;

/// The measured limits.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// What computes.
    pub device: String,
    /// The processor's name, as far as the system tells.
    pub processor: String,
    /// The instruction set in use.
    pub simd: String,
    /// Threads that compute.
    pub threads: usize,
    /// Billions of single-precision operations per second of multiply-adds in registers.
    pub peak_gflops: f64,
    /// The same on tensor cores, of a GPU, from bf16 factors; half of it from TF32 ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor_gflops: Option<f64>,
    /// Billions of bytes read and written per second when copying large blocks.
    pub copy_gigabytes_per_second: f64,
}

/// Multiply-adds of a multiprocessor in one cycle: float32 (CUDA C++ Programming Guide, "Throughput of Native Arithmetic
/// Instructions"), and dense bf16 with float32 sums on tensor cores, as the data sheets of the fastest products come to
/// (A100, RTX A6000, L40, H100, B200). Cheaper products of one compute capability may have half of that.
fn multiply_adds((major, minor): (u32, u32)) -> (f64, f64) {
    match (major, minor) {
        (8, 0) => (64.0, 1024.0),
        (9, _) => (128.0, 2048.0),
        (10, _) => (128.0, 4096.0),
        _ => (128.0, 512.0),
    }
}

impl Machine {
    /// Measures the threads of the pool this is called in.
    pub fn measure() -> Self {
        Self {
            device: "cpu".to_string(),
            processor: processor(),
            simd: Level::current().to_string(),
            threads: rayon::current_num_threads(),
            peak_gflops: peak_gflops(Duration::from_millis(60)),
            tensor_gflops: None,
            copy_gigabytes_per_second: copy_gigabytes_per_second(4),
        }
    }

    /// A GPU, by its clocks: what it could do at best.
    pub fn of_gpu(name: &str, limits: Limits) -> Self {
        let (float32, tensor) = multiply_adds(limits.capability);
        let gflops = |each: f64| 2e-9 * each * f64::from(limits.multiprocessors) * limits.clock;
        let (major, minor) = limits.capability;
        Self {
            device: "cuda".to_string(),
            processor: name.to_string(),
            simd: format!("compute capability {major}.{minor}"),
            threads: limits.multiprocessors as usize,
            peak_gflops: gflops(float32),
            tensor_gflops: Some(gflops(tensor)),
            copy_gigabytes_per_second: limits.bandwidth / 1e9,
        }
    }

    /// The least time in seconds that so much work takes here (the roofline), in that precision.
    pub fn least_seconds(&self, precision: Precision, flops: u64, bytes: u64) -> f64 {
        let gflops = match (precision, self.tensor_gflops) {
            (Precision::Bf16, Some(tensor)) => tensor,
            (Precision::Tf32, Some(tensor)) => tensor / 2.0,
            _ => self.peak_gflops,
        };
        let arithmetic = flops as f64 / (gflops * 1e9);
        arithmetic.max(bytes as f64 / (self.copy_gigabytes_per_second * 1e9))
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_string());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

struct MultiplyAdds<T> {
    rounds: usize,
    factor: T,
}

impl<T: Element> Kernel<T> for MultiplyAdds<T> {
    /// Floating-point operations done, and a result that keeps them from being left out.
    type Output = (u64, T);

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) -> (u64, T) {
        let mut lanes = [T::ZERO; 64];
        // SAFETY: dispatched with the instruction set of `S`; `lanes` is longer than any vector.
        unsafe {
            let (factor, shift) = (S::splat(self.factor), S::splat(T::from_f64(1e-3)));
            let mut chains = [shift; CHAINS];
            for _ in 0..self.rounds {
                for chain in &mut chains {
                    *chain = S::fma(*chain, factor, shift);
                }
            }
            let mut sum = chains[0];
            for chain in &chains[1..] {
                sum = S::add(sum, *chain);
            }
            S::store(lanes.as_mut_ptr(), sum);
        }
        (2 * (self.rounds * CHAINS * S::LANES) as u64, lanes[0])
    }
}

/// The best of several rounds of about `time` on every thread at once.
fn peak_gflops(time: Duration) -> f64 {
    let round = || {
        let start = Instant::now();
        let mut flops = 0;
        while start.elapsed() < time {
            let (done, result) = dispatch(MultiplyAdds { rounds: 20_000, factor: black_box(0.5f32) });
            black_box(result);
            flops += done;
        }
        flops as f64 / start.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| rayon::broadcast(|_| round()).into_iter().sum::<f64>()).fold(0.0, f64::max);
    best / 1e9
}

fn copy_gigabytes_per_second(rounds: usize) -> f64 {
    let from = vec![1u8; COPIED];
    let mut to = vec![0u8; COPIED];
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        let chunk = COPIED / (4 * rayon::current_num_threads());
        to.par_chunks_mut(chunk).zip(from.par_chunks(chunk)).for_each(|(to, from)| to.copy_from_slice(from));
        best = best.min(start.elapsed().as_secs_f64());
        black_box(&to);
    }
    2.0 * COPIED as f64 / best / 1e9
}
