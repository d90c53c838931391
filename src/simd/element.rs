//! The element types that kernels compute in.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::Simd;
use crate::tensor::Plain;

/// A floating-point type that kernels are generic over: f32 (training) or f64 (the numeric reference).
pub trait Element:
    Plain
    + Default
    + PartialOrd
    + Display
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// Vectors of this type with AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Simd<Element = Self>;
    /// Vectors of this type with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Simd<Element = Self>;

    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;

    /// Rounded to this type.
    fn from_f64(x: f64) -> Self;
    /// Widened, exactly.
    fn to_f64(self) -> f64;
    /// e to the power of `self`.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// `ln (1 + self)`, precise near zero.
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;
    /// Neither infinite nor not-a-number.
    fn is_finite(self) -> bool;

    /// The larger of the two; `other` where `self` is not a number.
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

macro_rules! element {
    ($type:ident) => {
        impl Element for $type {
            #[cfg(target_arch = "x86_64")]
            type Avx512 = super::x86::Avx512<$type>;
            #[cfg(target_arch = "x86_64")]
            type Avx2 = super::x86::Avx2<$type>;

            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = $type::NEG_INFINITY;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $type::exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $type::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $type::ln_1p(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $type::tanh(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $type::abs(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $type::is_finite(self)
            }
        }
    };
}

element!(f32);
element!(f64);
