//! One source for every instruction set: kernels are written over [`Simd`] and run by [`dispatch`] on the widest set
//! this processor has (AVX-512, AVX2 with FMA, or portable code), for f32 and f64 alike.
//!
//! A [`Kernel`]'s `run` and everything it calls must be `#[inline(always)]`: it is inlined into a function that has
//! the instruction set enabled. Threads are started outside of `dispatch`, never inside.

mod element;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

pub use element::Element;
pub use portable::Portable;

use crate::error::{Error, Result};

/// Vectors of one instruction set over one element type.
///
/// # Safety
/// Every function needs the instruction set it stands for; pointers must be valid for the lanes touched. No alignment
/// is asked for.
#[allow(clippy::missing_safety_doc)] // The contract above is that of every function.
pub trait Simd: Copy + Send + Sync + 'static {
    /// What a lane holds.
    type Element: Element;
    /// A vector register.
    type Vector: Copy;
    /// Lanes of a vector.
    const LANES: usize;
    /// Vector registers that exist: how many accumulators a micro-kernel may hold.
    const REGISTERS: usize;

    /// All lanes `x`.
    unsafe fn splat(x: Self::Element) -> Self::Vector;
    /// `LANES` elements from `from`.
    unsafe fn load(from: *const Self::Element) -> Self::Vector;
    /// The first `count` (< `LANES`) elements, the other lanes zero; memory behind them is not touched.
    unsafe fn load_partial(from: *const Self::Element, count: usize) -> Self::Vector;
    /// Writes all lanes.
    unsafe fn store(to: *mut Self::Element, x: Self::Vector);
    /// Writes the first `count` (< `LANES`) lanes; memory behind them is not touched.
    unsafe fn store_partial(to: *mut Self::Element, x: Self::Vector, count: usize);
    /// `a + b`
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, fused where the instruction set has it.
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger of `a` and `b`; `b` where `a` is not a number.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `x` where `condition > 0`, else zero: the gradient of ReLU.
    unsafe fn where_positive(condition: Self::Vector, x: Self::Vector) -> Self::Vector;

    /// All lanes zero.
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        // SAFETY: as this function's own contract.
        unsafe { Self::splat(Self::Element::ZERO) }
    }

    /// `count` (at most `LANES`) elements, the other lanes zero.
    #[inline(always)]
    unsafe fn load_up_to(from: *const Self::Element, count: usize) -> Self::Vector {
        // SAFETY: as this function's own contract.
        unsafe { if count >= Self::LANES { Self::load(from) } else { Self::load_partial(from, count) } }
    }

    /// Writes the first `count` (at most `LANES`) lanes.
    #[inline(always)]
    unsafe fn store_up_to(to: *mut Self::Element, x: Self::Vector, count: usize) {
        // SAFETY: as this function's own contract.
        unsafe { if count >= Self::LANES { Self::store(to, x) } else { Self::store_partial(to, x, count) } }
    }
}

/// Work that is written once over any instruction set.
pub trait Kernel<T: Element> {
    /// What the work gives back.
    type Output;
    /// Does the work with the vectors of `S`. Mark it and all it calls `#[inline(always)]`.
    fn run<S: Simd<Element = T>>(self) -> Self::Output;
}

/// The instruction sets there is code for, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Any processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    Avx512,
}

impl Level {
    /// All levels, narrowest first.
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The widest level this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx2 && avx512 {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    /// The level in use: [`Level::detect`], or a narrower one that the environment variable `KD_SIMD` names.
    pub fn current() -> Self {
        static CURRENT: OnceLock<Level> = OnceLock::new();
        *CURRENT.get_or_init(|| match std::env::var("KD_SIMD") {
            Ok(name) => name.parse::<Level>().map_or(Level::detect(), |wanted| wanted.min(Level::detect())),
            Err(_) => Level::detect(),
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        })
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = Level::ALL.map(|level| level.to_string());
        Level::ALL.into_iter().find(|level| level.to_string() == name).ok_or_else(|| {
            Error::request(format!("unknown instruction set `{name}`")).suggest(name, names.iter().map(String::as_str))
        })
    }
}

/// Runs `kernel` on the level in use.
#[inline]
pub fn dispatch<T: Element, K: Kernel<T>>(kernel: K) -> K::Output {
    dispatch_on(Level::current(), kernel)
}

/// Runs `kernel` on `level`, or on the widest level this processor has if that is narrower.
#[inline]
pub fn dispatch_on<T: Element, K: Kernel<T>>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        static WIDEST: OnceLock<Level> = OnceLock::new();
        match level.min(*WIDEST.get_or_init(Level::detect)) {
            // SAFETY: the processor has the features of the level, as `Level::detect` has seen.
            Level::Avx512 => return unsafe { x86::run_avx512(kernel) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { x86::run_avx2(kernel) },
            Level::Portable => {}
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = level;
    kernel.run::<Portable<T>>()
}

#[cfg(test)]
mod tests;
