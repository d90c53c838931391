//! AVX2 with FMA, and AVX-512 (Intel Intrinsics Guide).

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Element, Kernel, Simd};

/// 256-bit vectors.
#[derive(Clone, Copy)]
pub struct Avx2<T>(PhantomData<T>);

/// 512-bit vectors.
#[derive(Clone, Copy)]
pub struct Avx512<T>(PhantomData<T>);

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<T: Element, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Avx2>()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) fn run_avx512<T: Element, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Avx512>()
}

/// The arithmetic that is the same for every width, by intrinsic name.
macro_rules! arithmetic {
    ($add:ident $sub:ident $mul:ident $fma:ident $max:ident $splat:ident $load:ident $store:ident) => {
        #[inline(always)]
        unsafe fn splat(x: Self::Element) -> Self::Vector {
            // SAFETY: the caller vouches for the instruction set.
            unsafe { $splat(x) }
        }
        #[inline(always)]
        unsafe fn load(from: *const Self::Element) -> Self::Vector {
            // SAFETY: the caller vouches for the instruction set and `LANES` elements.
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Self::Element, x: Self::Vector) {
            // SAFETY: as for `load`.
            unsafe { $store(to, x) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: the caller vouches for the instruction set.
            unsafe { $add(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `add`.
            unsafe { $sub(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `add`.
            unsafe { $mul(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            // SAFETY: as for `add`.
            unsafe { $fma(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: as for `add`.
            unsafe { $max(a, b) }
        }
    };
}

/// A mask for the first `count` lanes of AVX2's masked loads: the sign bit of each lane counts.
#[inline(always)]
unsafe fn mask32(count: usize) -> __m256i {
    static BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `count` is at most 8, so eight words from 8 - count lie inside.
    unsafe { _mm256_loadu_si256(BITS.as_ptr().add(8 - count).cast()) }
}

#[inline(always)]
unsafe fn mask64(count: usize) -> __m256i {
    static BITS: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];
    // SAFETY: `count` is at most 4, so four words from 4 - count lie inside.
    unsafe { _mm256_loadu_si256(BITS.as_ptr().add(4 - count).cast()) }
}

impl Simd for Avx2<f32> {
    type Element = f32;
    type Vector = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    arithmetic!(_mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_fmadd_ps _mm256_max_ps _mm256_set1_ps
                _mm256_loadu_ps _mm256_storeu_ps);

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> __m256 {
        // SAFETY: masked lanes are not read.
        unsafe { _mm256_maskload_ps(from, mask32(count)) }
    }
    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, x: __m256, count: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm256_maskstore_ps(to, mask32(count), x) }
    }
    #[inline(always)]
    unsafe fn where_positive(condition: __m256, x: __m256) -> __m256 {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps()), x) }
    }
}

impl Simd for Avx2<f64> {
    type Element = f64;
    type Vector = __m256d;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    arithmetic!(_mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_fmadd_pd _mm256_max_pd _mm256_set1_pd
                _mm256_loadu_pd _mm256_storeu_pd);

    #[inline(always)]
    unsafe fn load_partial(from: *const f64, count: usize) -> __m256d {
        // SAFETY: masked lanes are not read.
        unsafe { _mm256_maskload_pd(from, mask64(count)) }
    }
    #[inline(always)]
    unsafe fn store_partial(to: *mut f64, x: __m256d, count: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm256_maskstore_pd(to, mask64(count), x) }
    }
    #[inline(always)]
    unsafe fn where_positive(condition: __m256d, x: __m256d) -> __m256d {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { _mm256_and_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(condition, _mm256_setzero_pd()), x) }
    }
}

impl Simd for Avx512<f32> {
    type Element = f32;
    type Vector = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    arithmetic!(_mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_fmadd_ps _mm512_max_ps _mm512_set1_ps
                _mm512_loadu_ps _mm512_storeu_ps);

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> __m512 {
        // SAFETY: masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as __mmask16, from) }
    }
    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, x: __m512, count: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(to, ((1u32 << count) - 1) as __mmask16, x) }
    }
    #[inline(always)]
    unsafe fn where_positive(condition: __m512, x: __m512) -> __m512 {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps()), x) }
    }
}

impl Simd for Avx512<f64> {
    type Element = f64;
    type Vector = __m512d;
    const LANES: usize = 8;
    const REGISTERS: usize = 32;

    arithmetic!(_mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_fmadd_pd _mm512_max_pd _mm512_set1_pd
                _mm512_loadu_pd _mm512_storeu_pd);

    #[inline(always)]
    unsafe fn load_partial(from: *const f64, count: usize) -> __m512d {
        // SAFETY: masked lanes are not read.
        unsafe { _mm512_maskz_loadu_pd(((1u32 << count) - 1) as __mmask8, from) }
    }
    #[inline(always)]
    unsafe fn store_partial(to: *mut f64, x: __m512d, count: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm512_mask_storeu_pd(to, ((1u32 << count) - 1) as __mmask8, x) }
    }
    #[inline(always)]
    unsafe fn where_positive(condition: __m512d, x: __m512d) -> __m512d {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_pd()), x) }
    }
}
