//! The functions and their derivatives.

use crate::simd::Element;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `e^x`
    Exp,
    /// `ln x`
    Log,
    /// `sqrt x`
    Sqrt,
    /// `x^2`
    Square,
    /// `|x|`; its derivative at zero is zero.
    Abs,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `ln (1 + e^x)`
    Softplus,
    /// `x^2 / 2` where `|x| < 1`, else `|x| - 1/2` (Girshick, "Fast R-CNN", 2015, equation 3).
    SmoothL1,
    /// `1 / x`
    Reciprocal,
    /// `scale x + shift`
    Affine {
        /// What `x` is multiplied by.
        scale: f64,
        /// What is added then.
        shift: f64,
    },
    /// The larger of `x` and a constant; the derivative is 1 where `x` is larger and 0 elsewhere.
    AtLeast(f64),
    /// 1 where `x` is larger than a constant, else 0. It has no gradient.
    Above(f64),
}

/// What a derivative is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What went in.
    X,
    /// What came out.
    Y,
    /// Neither: it is a constant.
    Constant,
    /// There is no derivative.
    Nothing,
}

impl Function {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Square => "square",
            Self::Abs => "abs",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::SmoothL1 => "smooth_l1",
            Self::Reciprocal => "reciprocal",
            Self::Affine { .. } => "affine",
            Self::AtLeast(_) => "at_least",
            Self::Above(_) => "above",
        }
    }

    /// Its numbers: scale and shift, or the constant that is compared with.
    pub(super) fn parameters(self) -> [f64; 2] {
        match self {
            Self::Affine { scale, shift } => [scale, shift],
            Self::AtLeast(bound) | Self::Above(bound) => [bound, 0.0],
            _ => [0.0; 2],
        }
    }

    /// What [`Function::slopes`] wants.
    pub(super) fn source(self) -> Source {
        match self {
            Self::Exp | Self::Sqrt | Self::Sigmoid | Self::Tanh | Self::Reciprocal => Source::Y,
            Self::Log | Self::Square | Self::Abs | Self::Softplus | Self::SmoothL1 | Self::AtLeast(_) => Source::X,
            Self::Affine { .. } => Source::Constant,
            Self::Above(_) => Source::Nothing,
        }
    }

    /// Calls `visit` with the function over `T`: one loop for each, so that the choice is outside of it.
    #[inline(always)]
    pub(super) fn values<T: Element>(self, visit: impl Visit<T>) {
        let half = T::from_f64(0.5);
        let [first, second] = self.parameters().map(T::from_f64);
        match self {
            Self::Exp => visit.visit(|x: T| x.exp()),
            Self::Log => visit.visit(|x: T| x.ln()),
            Self::Sqrt => visit.visit(|x: T| x.sqrt()),
            Self::Square => visit.visit(|x: T| x * x),
            Self::Abs => visit.visit(|x: T| x.abs()),
            Self::Sigmoid => visit.visit(sigmoid),
            Self::Tanh => visit.visit(|x: T| x.tanh()),
            // Nothing overflows: the exponential is of what is not positive.
            Self::Softplus => visit.visit(|x: T| T::ZERO.maximum(x) + (-x.abs()).exp().ln_1p()),
            Self::SmoothL1 => visit.visit(move |x: T| if x.abs() < T::ONE { half * x * x } else { x.abs() - half }),
            Self::Reciprocal => visit.visit(|x: T| T::ONE / x),
            Self::Affine { .. } => visit.visit(move |x: T| first * x + second),
            // What is not a number stays so.
            Self::AtLeast(_) => visit.visit(move |x: T| if x < first { first } else { x }),
            Self::Above(_) => visit.visit(move |x: T| if x > first { T::ONE } else { T::ZERO }),
        }
    }

    /// Calls `visit` with the derivative over `T`, as a function of what [`Function::source`] says.
    #[inline(always)]
    pub(super) fn slopes<T: Element>(self, visit: impl Visit<T>) {
        let half = T::from_f64(0.5);
        let [first, _] = self.parameters().map(T::from_f64);
        match self {
            Self::Exp => visit.visit(|y: T| y),
            Self::Log => visit.visit(|x: T| T::ONE / x),
            Self::Sqrt => visit.visit(move |y: T| half / y),
            Self::Square => visit.visit(|x: T| x + x),
            Self::Abs => visit.visit(|x: T| clamp(x, T::ZERO)),
            Self::Sigmoid => visit.visit(|y: T| y * (T::ONE - y)),
            Self::Tanh => visit.visit(|y: T| T::ONE - y * y),
            Self::Softplus => visit.visit(sigmoid),
            Self::SmoothL1 => visit.visit(|x: T| clamp(x, T::ONE)),
            Self::Reciprocal => visit.visit(|y: T| -y * y),
            Self::AtLeast(_) => visit.visit(move |x: T| if x > first { T::ONE } else { T::ZERO }),
            Self::Affine { .. } | Self::Above(_) => unreachable!("no derivative is recorded for these"),
        }
    }
}

/// A loop over elements, given the function.
pub(super) trait Visit<T> {
    /// Runs the loop.
    fn visit(self, function: impl Fn(T) -> T + Copy + Send + Sync);
}

#[inline(always)]
fn sigmoid<T: Element>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// `x` where it is within the bound, else its sign; with a bound of zero the sign alone.
#[inline(always)]
fn clamp<T: Element>(x: T, bound: T) -> T {
    if x > bound {
        T::ONE
    } else if x < -bound {
        -T::ONE
    } else {
        x
    }
}
