//! float32, float64, f16 and bf16 arithmetic, comparisons and conversions, against values worked out by hand.

mod common;
use common::{d, eval, f, table};

const NAN: u64 = 0x7fc0_0000;
const INF: u64 = 0x7f80_0000;
/// The smallest subnormal float32.
const TINY: u64 = 1;

#[test]
fn float32() {
    let third = f(1.0 / 3.0);
    table(&[
        ("add.f32 %r0, %ra, %rb;", &[f(1.5), f(2.25)], f(3.75)),
        ("add.rn.f32 %r0, %ra, %rb;", &[f(1.0), f(6e-8)], f(1.0000001)),
        ("add.rz.f32 %r0, %ra, %rb;", &[f(1.0), f(6e-8)], f(1.0)),
        ("add.rm.f32 %r0, %ra, %rb;", &[f(-1.0), f(-1e-20)], f(-1.0000001)),
        ("add.rp.f32 %r0, %ra, %rb;", &[f(1.0), f(1e-20)], f(1.0000001)),
        ("add.rz.f32 %r0, %ra, %rb;", &[f(-1.0), f(-1e-20)], f(-1.0)),
        ("add.sat.f32 %r0, %ra, %rb;", &[f(1.0), f(2.0)], f(1.0)),
        ("add.sat.f32 %r0, %ra, %rb;", &[NAN, f(2.0)], f(0.0)),
        ("add.ftz.f32 %r0, %ra, %rb;", &[TINY, TINY], 0),
        ("add.f32 %r0, %ra, %rb;", &[TINY, TINY], 2),
        ("sub.f32 %r0, %ra, %rb;", &[f(1.5), f(2.25)], f(-0.75)),
        ("mul.f32 %r0, %ra, %rb;", &[f(3.0), f(-0.5)], f(-1.5)),
        ("mul.rz.f32 %r0, %ra, %rb;", &[third, third], f(0.111_111_11)),
        ("mul.rm.f32 %r0, %ra, %rb;", &[third, third], f(0.111_111_11)),
        ("mul.rp.f32 %r0, %ra, %rb;", &[third, third], f(0.111_111_12)),
        // The product is 1 + 2^-11 + 2^-24, which float32 does not hold; the fused sum is exact.
        (
            "fma.rn.f32 %r0, %ra, %rb, %rc;",
            &[f(1.0 + 2f32.powi(-12)), f(1.0 + 2f32.powi(-12)), f(-1.0)],
            f(2f32.powi(-11) + 2f32.powi(-24)),
        ),
        ("fma.rm.f32 %r0, %ra, %rb, %rc;", &[f(1.0), f(-1e-20), f(1.0)], f(0.999_999_94)),
        ("fma.rp.f32 %r0, %ra, %rb, %rc;", &[f(1.0), f(1e-20), f(1.0)], f(1.0000001)),
        ("fma.rz.f32 %r0, %ra, %rb, %rc;", &[f(1.0), f(-1e-20), f(-1.0)], f(-1.0)),
        ("div.rn.f32 %r0, %ra, %rb;", &[f(1.0), f(3.0)], third),
        ("div.full.f32 %r0, %ra, %rb;", &[f(6.0), f(3.0)], f(2.0)),
        ("div.approx.ftz.f32 %r0, %ra, %rb;", &[f(6.0), f(3.0)], f(2.0)),
        ("abs.f32 %r0, %ra;", &[f(-2.0)], f(2.0)),
        ("neg.ftz.f32 %r0, %ra;", &[TINY], 0x8000_0000),
        ("copysign.f32 %r0, %ra, %rb;", &[f(-1.0), f(5.0)], f(-5.0)),
        ("rcp.rn.f32 %r0, %ra;", &[f(4.0)], f(0.25)),
        ("sqrt.rn.f32 %r0, %ra;", &[f(2.0)], f(2f32.sqrt())),
        ("rsqrt.approx.f32 %r0, %ra;", &[f(16.0)], f(0.25)),
        ("ex2.approx.f32 %r0, %ra;", &[f(10.0)], f(1024.0)),
        ("ex2.approx.ftz.f32 %r0, %ra;", &[f(-140.0)], 0),
        ("lg2.approx.f32 %r0, %ra;", &[f(0.125)], f(-3.0)),
        ("sin.approx.f32 %r0, %ra;", &[0], 0),
        ("cos.approx.f32 %r0, %ra;", &[0], f(1.0)),
        ("tanh.approx.f32 %r0, %ra;", &[f(100.0)], f(1.0)),
    ]);
}

#[test]
fn least_and_greatest() {
    table(&[
        ("min.f32 %r0, %ra, %rb;", &[f(1.0), f(2.0)], f(1.0)),
        ("max.f32 %r0, %ra, %rb;", &[NAN, f(2.0)], f(2.0)),
        ("max.f32 %r0, %ra, %rb;", &[f(2.0), NAN], f(2.0)),
        ("max.f32 %r0, %ra, %rb;", &[NAN, NAN], 0x7fff_ffff),
        ("min.NaN.f32 %r0, %ra, %rb;", &[NAN, f(2.0)], 0x7fff_ffff),
        ("max.NaN.f32 %r0, %ra, %rb;", &[f(1.0), f(2.0)], f(2.0)),
        ("max.f32 %r0, %ra, %rb;", &[f(-0.0), f(0.0)], f(0.0)),
        ("min.f32 %r0, %ra, %rb;", &[f(0.0), f(-0.0)], f(-0.0)),
        ("max.f64 %d0, %da, %db;", &[d(f64::NAN), d(2.0)], d(2.0)),
        ("min.f64 %d0, %da, %db;", &[d(-3.0), d(2.0)], d(-3.0)),
    ]);
}

#[test]
fn float64() {
    table(&[
        ("add.f64 %d0, %da, %db;", &[d(0.1), d(0.2)], d(0.1 + 0.2)),
        ("sub.rn.f64 %d0, %da, %db;", &[d(1.0), d(0.75)], d(0.25)),
        ("mul.f64 %d0, %da, %db;", &[d(3.0), d(0.5)], d(1.5)),
        (
            "fma.rn.f64 %d0, %da, %db, %dc;",
            &[d(1.0 + f64::EPSILON), d(1.0 - f64::EPSILON), d(-1.0)],
            d(-f64::EPSILON * f64::EPSILON),
        ),
        ("div.rn.f64 %d0, %da, %db;", &[d(1.0), d(3.0)], d(1.0 / 3.0)),
        ("sqrt.rn.f64 %d0, %da;", &[d(2.0)], d(2f64.sqrt())),
        ("rcp.rn.f64 %d0, %da;", &[d(8.0)], d(0.125)),
        ("rcp.approx.ftz.f64 %d0, %da;", &[d(8.0)], d(0.125)),
        ("abs.f64 %d0, %da;", &[d(-8.0)], d(8.0)),
        ("neg.f64 %d0, %da;", &[d(-8.0)], d(8.0)),
    ]);
    // The approximate reciprocal has zeros in its lower half, and is good to 2^-20.
    let third = eval("rcp.approx.ftz.f64 %d0, %da;", &[d(3.0)]);
    assert_eq!(third & 0xffff_ffff, 0);
    assert!((f64::from_bits(third) * 3.0 - 1.0).abs() < 2f64.powi(-20));
}

#[test]
fn halves() {
    // f16: 1.0 is 0x3c00, 1.5 0x3e00, 2.0 0x4000, 2.5 0x4100; bf16: 1.0 is 0x3f80, 1.5 0x3fc0, 3.0 0x4040, 3.5 0x4060.
    table(&[
        ("add.f16 %h0, %ha, %hb;", &[0x3c00, 0x3e00], 0x4100),
        ("mul.f16x2 %r0, %ra, %rb;", &[0x3c00_3e00, 0x4000_3c00], 0x4000_3e00),
        ("fma.rn.f16 %h0, %ha, %hb, %hc;", &[0x3e00, 0x3c00, 0x3c00], 0x4100),
        ("fma.rn.bf16 %h0, %ha, %hb, %hc;", &[0x3fc0, 0x3f80, 0x4000], 0x4060),
        ("fma.rn.bf16x2 %r0, %ra, %rb, %rc;", &[0x3fc0_3f80, 0x3f80_3f80, 0x4000_0000], 0x4060_3f80),
        ("neg.bf16x2 %r0, %ra;", &[0x3f80_bf80], 0xbf80_3f80),
        ("abs.bf16 %h0, %ha;", &[0xbf80], 0x3f80),
        ("max.bf16x2 %r0, %ra, %rb;", &[0x3f80_bf80, 0x3fc0_3f80], 0x3fc0_3f80),
        ("min.NaN.bf16 %h0, %ha, %hb;", &[0x7fc0, 0x3f80], 0x7fff),
    ]);
}

#[test]
fn conversions() {
    table(&[
        ("cvt.rn.bf16.f32 %h0, %ra;", &[f(1.0)], 0x3f80),
        // Ties go to even: 1 + 2^-8 lies between 0x3f80 and 0x3f81, 1 + 3 * 2^-8 between 0x3f81 and 0x3f82.
        ("cvt.rn.bf16.f32 %h0, %ra;", &[0x3f80_8000], 0x3f80),
        ("cvt.rn.bf16.f32 %h0, %ra;", &[0x3f81_8000], 0x3f82),
        ("cvt.rn.bf16.f32 %h0, %ra;", &[0x3f80_8001], 0x3f81),
        ("cvt.rn.bf16.f32 %h0, %ra;", &[NAN], 0x7fff),
        ("cvt.rn.relu.bf16.f32 %h0, %ra;", &[f(-1.0)], 0),
        ("cvt.rn.bf16x2.f32 %r0, %ra, %rb;", &[f(1.0), f(2.0)], 0x3f80_4000),
        ("cvt.rn.f16x2.f32 %r0, %ra, %rb;", &[f(1.0), f(2.0)], 0x3c00_4000),
        ("cvt.f32.bf16 %r0, %ha;", &[0x4040], f(3.0)),
        ("cvt.rn.f16.f32 %h0, %ra;", &[f(65504.0)], 0x7bff),
        ("cvt.rn.f16.f32 %h0, %ra;", &[f(65520.0)], 0x7c00),
        ("cvt.rn.f16.f32 %h0, %ra;", &[f(2f32.powi(-24))], 1),
        ("cvt.rn.f16.f32 %h0, %ra;", &[f(-2f32.powi(-25))], 0x8000),
        ("cvt.rn.f16.f32 %h0, %ra;", &[f(2f32.powi(-14))], 0x0400),
        ("cvt.f32.f16 %r0, %ha;", &[0x0001], f(2f32.powi(-24))),
        ("cvt.f32.f16 %r0, %ha;", &[0xfc00], f(f32::NEG_INFINITY)),
        ("cvt.rna.tf32.f32 %r0, %ra;", &[0x3f80_1000], 0x3f80_2000),
        ("cvt.rna.tf32.f32 %r0, %ra;", &[0x3f80_0fff], 0x3f80_0000),
        ("cvt.rn.f32.s32 %r0, %ra;", &[0xffff_ffff], f(-1.0)),
        ("cvt.rn.f32.u32 %r0, %ra;", &[0xffff_ffff], f(4294967296.0)),
        ("cvt.rn.f32.u16 %r0, %ha;", &[0xffff], f(65535.0)),
        ("cvt.rn.f32.s64 %r0, %da;", &[u64::MAX], f(-1.0)),
        ("cvt.rn.f64.u64 %d0, %da;", &[1 << 63], d(9223372036854775808.0)),
        ("cvt.f64.f32 %d0, %ra;", &[f(0.1)], d(0.1f32 as f64)),
        ("cvt.rn.f32.f64 %r0, %da;", &[d(0.1)], f(0.1)),
        ("cvt.rzi.s32.f32 %r0, %ra;", &[f(-2.7)], 0xffff_fffe),
        ("cvt.rzi.s32.f32 %r0, %ra;", &[f(3e9)], 0x7fff_ffff),
        ("cvt.rzi.u32.f32 %r0, %ra;", &[f(-3.0)], 0),
        ("cvt.rzi.s32.f32 %r0, %ra;", &[NAN], 0),
        ("cvt.rzi.s64.f32 %d0, %ra;", &[NAN], 1 << 63),
        ("cvt.rni.s32.f32 %r0, %ra;", &[f(2.5)], 2),
        ("cvt.rni.s32.f64 %r0, %da;", &[d(3.5)], 4),
        ("cvt.rmi.s32.f32 %r0, %ra;", &[f(-2.1)], 0xffff_fffd),
        ("cvt.rpi.s32.f32 %r0, %ra;", &[f(2.1)], 3),
        ("cvt.rzi.u8.f32 %r0, %ra;", &[f(300.0)], 255),
        ("cvt.rmi.f32.f32 %r0, %ra;", &[f(-1.5)], f(-2.0)),
        ("cvt.rzi.f64.f64 %d0, %da;", &[d(-1.5)], d(-1.0)),
        ("cvt.sat.f32.f32 %r0, %ra;", &[f(7.0)], f(1.0)),
        ("cvt.ftz.f32.f32 %r0, %ra;", &[TINY], 0),
        ("cvt.s64.s32 %d0, %ra;", &[0xffff_ffff], u64::MAX),
        ("cvt.u64.u32 %d0, %ra;", &[0xffff_ffff], 0xffff_ffff),
        ("cvt.u32.u64 %r0, %da;", &[0x1_2345_6789], 0x2345_6789),
        ("cvt.s32.s8 %r0, %ra;", &[0x180], 0xffff_ff80),
        ("cvt.u32.u16 %r0, %ha;", &[0xffff], 0xffff),
        ("cvt.s32.s16 %r0, %ha;", &[0xffff], 0xffff_ffff),
        ("cvt.s16.s8 %h0, %ha;", &[0x80], 0xff80),
        ("cvt.sat.u8.s32 %r0, %ra;", &[0xffff_ffff], 0),
        ("cvt.sat.s8.s32 %r0, %ra;", &[1000], 127),
    ]);
}

#[test]
fn comparisons() {
    table(&[
        ("setp.lt.s32 %p0, %ra, %rb;", &[0xffff_ffff, 1], 1),
        ("setp.lt.u32 %p0, %ra, %rb;", &[0xffff_ffff, 1], 0),
        ("setp.lo.u32 %p0, %ra, %rb;", &[0, 1], 1),
        ("setp.hs.u32 %p0, %ra, %rb;", &[1, 1], 1),
        ("setp.eq.s16 %p0, %ha, %hb;", &[0xffff, 0x1_ffff], 1),
        ("setp.ge.s64 %p0, %da, %db;", &[u64::MAX, 0], 0),
        ("setp.ne.b64 %p0, %da, %db;", &[1 << 40, 0], 1),
        ("setp.eq.f32 %p0, %ra, %rb;", &[f(0.0), f(-0.0)], 1),
        ("setp.eq.f32 %p0, %ra, %rb;", &[NAN, NAN], 0),
        ("setp.ne.f32 %p0, %ra, %rb;", &[NAN, NAN], 0),
        ("setp.neu.f32 %p0, %ra, %rb;", &[NAN, NAN], 1),
        ("setp.equ.f32 %p0, %ra, %rb;", &[NAN, f(1.0)], 1),
        ("setp.ltu.f32 %p0, %ra, %rb;", &[f(2.0), f(1.0)], 0),
        ("setp.gtu.f32 %p0, %ra, %rb;", &[NAN, f(1.0)], 1),
        ("setp.num.f32 %p0, %ra, %rb;", &[INF, f(1.0)], 1),
        ("setp.nan.f64 %p0, %da, %db;", &[d(f64::NAN), d(1.0)], 1),
        ("setp.gt.ftz.f32 %p0, %ra, %rb;", &[TINY, 0], 0),
        ("setp.lt.bf16 %p0, %ha, %hb;", &[0xbf80, 0x3f80], 1),
        ("setp.lt.and.s32 %p0, %ra, %rb, 0;", &[0, 1], 0),
        ("setp.lt.or.s32 %p0|%p1, %ra, %rb, 1;", &[5, 1], 1),
        ("setp.lt.xor.s32 %p0, %ra, %rb, 1;", &[0, 1], 0),
        ("testp.finite.f32 %p0, %ra;", &[INF], 0),
        ("testp.notanumber.f32 %p0, %ra;", &[NAN], 1),
        ("testp.subnormal.f32 %p0, %ra;", &[TINY], 1),
        ("testp.infinite.f64 %p0, %da;", &[d(f64::INFINITY)], 1),
        ("set.lt.u32.s32 %r0, %ra, %rb;", &[0, 1], 0xffff_ffff),
        ("set.gt.f32.f32 %r0, %ra, %rb;", &[f(3.0), f(1.0)], f(1.0)),
        ("{ setp.eq.s32 %p1, %ra, 3; } selp.b64 %d0, %da, %db, %p1;", &[3, 9], 3),
        ("{ setp.eq.s32 %p1, %ra, 3; } selp.f32 %r0, %ra, %rb, %p1;", &[4, 9], 9),
        ("slct.u32.s32 %r0, %ra, %rb, %rc;", &[1, 2, 0xffff_ffff], 2),
        ("slct.f32.f32 %r0, %ra, %rb, %rc;", &[1, 2, f(-0.0)], 1),
    ]);
}
