//! Every level does the same arithmetic, lane by lane, and partial access touches nothing else.

use super::*;

/// Runs every function of [`Simd`] once and returns what it gave, lanes cut to `count`.
struct Everything<'a, T> {
    a: &'a [T],
    b: &'a [T],
    count: usize,
}

impl<T: Element> Kernel<T> for Everything<'_, T> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) -> Vec<Vec<f64>> {
        let count = self.count.min(S::LANES);
        // SAFETY: the slices hold 32 elements, more than any vector.
        unsafe {
            let (a, b) = (S::load(self.a.as_ptr()), S::load(self.b.as_ptr()));
            let c = S::splat(T::from_f64(0.5));
            let results = [
                S::add(a, b),
                S::sub(a, b),
                S::mul(a, b),
                S::fma(a, b, c),
                S::max(a, b),
                S::where_positive(a, b),
                S::load_up_to(self.a.as_ptr(), count),
                S::zero(),
            ];
            results
                .into_iter()
                .map(|vector| {
                    let mut out = vec![T::from_f64(-7.0); 32];
                    S::store_up_to(out.as_mut_ptr(), vector, count);
                    out.into_iter().map(T::to_f64).collect()
                })
                .collect()
        }
    }
}

fn levels_agree<T: Element>() {
    let a: Vec<T> = (0..32).map(|i| T::from_f64(f64::from(i % 5) - 2.0)).collect();
    let b: Vec<T> = (0..32).map(|i| T::from_f64(f64::from(i % 3) * 1.5 - 1.0)).collect();
    for level in Level::ALL {
        for count in 0..=4 {
            let expected = dispatch_on(Level::Portable, Everything { a: &a, b: &b, count });
            // Small integers and halves: fused and unfused products are equal.
            assert_eq!(dispatch_on(level, Everything { a: &a, b: &b, count }), expected, "{level}, {count} lanes");
        }
    }
}

#[test]
fn levels_agree_in_f32() {
    levels_agree::<f32>();
}

#[test]
fn levels_agree_in_f64() {
    levels_agree::<f64>();
}

#[test]
fn a_mistyped_level_is_refused() {
    assert!("avx51".parse::<Level>().is_err());
    assert_eq!("avx2".parse::<Level>().unwrap(), Level::Avx2);
}
