//! Integers, floats, comparisons and conversions.

use crate::lane::{INF, NAN, TINY, doubles, floats, ran, words};

#[test]
fn shifts_by_too_much() {
    let cases = |results: [u32; 6]| -> Vec<([u32; 3], u32)> {
        [0, 1, 31, 32, 33, 0x8000_0001].iter().zip(results).map(|(by, y)| ([0x8000_0001, *by, 0], y)).collect()
    };
    words("shl.b32 %y, %a, %b;", &cases([0x8000_0001, 2, 0x8000_0000, 0, 0, 0]));
    words("shr.u32 %y, %a, %b;", &cases([0x8000_0001, 0x4000_0000, 1, 0, 0, 0]));
    words("shr.b32 %y, %a, %b;", &cases([0x8000_0001, 0x4000_0000, 1, 0, 0, 0]));
    words("shr.s32 %y, %a, %b;", &cases([0x8000_0001, 0xc000_0000, !0, !0, !0, !0]));
    words("shl.b16 %h1, %ha, %b; cvt.u32.u16 %y, %h1;", &[([0x8001, 15, 0], 0x8000), ([0x8001, 16, 0], 0)]);
    words("shr.s16 %h1, %ha, %b; cvt.u32.u16 %y, %h1;", &[([0x8001, 1, 0], 0xc000), ([0x8001, 40, 0], 0xffff)]);
    doubles(
        "cvt.u32.u64 %r1, %lb; shl.b64 %ly, %la, %r1;",
        &[([1, 63, 0], 1 << 63), ([1, 64, 0], 0), ([1, 32, 0], 1 << 32)],
    );
    doubles(
        "cvt.u32.u64 %r1, %lb; shr.s64 %ly, %la, %r1;",
        &[([1 << 63, 63, 0], !0), ([1 << 63, 200, 0], !0), ([1 << 62, 200, 0], 0)],
    );
    // The funnel: the upper (l) or lower (r) half of b:a shifted; a is the lower half.
    words("shf.l.wrap.b32 %y, %a, %b, %c;", &[([0xffff_0000, 1, 16], 0x1ffff), ([7, 9, 32], 9)]);
    words("shf.l.clamp.b32 %y, %a, %b, %c;", &[([7, 9, 32], 7), ([7, 9, 99], 7)]);
    words("shf.r.wrap.b32 %y, %a, %b, %c;", &[([0xffff_0000, 1, 16], 0x1ffff), ([7, 9, 32], 7)]);
    words("shf.r.clamp.b32 %y, %a, %b, %c;", &[([7, 9, 32], 9), ([7, 9, 99], 9)]);
}

#[test]
fn bit_fields() {
    words(
        "bfe.u32 %y, %a, %b, %c;",
        &[
            ([0xabcd_1234, 8, 8], 0x12),
            ([0xabcd_1234, 24, 16], 0xab),
            ([0xabcd_1234, 32, 4], 0),
            ([0xabcd_1234, 0, 0], 0),
            ([0xabcd_1234, 0, 255], 0xabcd_1234),
            // Of start and length only eight bits count.
            ([0xabcd_1234, 256 + 8, 256 + 8], 0x12),
        ],
    );
    words(
        "bfe.s32 %y, %a, %b, %c;",
        &[
            ([0x0000_0f80, 4, 8], 0xffff_fff8),
            ([0x8000_0000, 40, 3], !0),
            ([0x8000_0000, 28, 16], 0xffff_fff8),
            ([0x8000_0000, 31, 0], 0),
            ([0x4000_0000, 40, 3], 0),
        ],
    );
    words(
        "mov.b32 %r1, 8; bfi.b32 %y, %a, %b, %c, %r1;",
        &[([0x1ff, 0, 4], 0xff0), ([0, !0, 28], 0x0fff_ffff), ([0, !0, 32], !0), ([0, !0, 256], 0xffff_ff00)],
    );
    words("bfi.b32 %y, %a, %b, 0, %c;", &[([5, 7, 0], 7), ([5, 7, 32], 5), ([5, 7, 255], 5)]);
    words("bfind.u32 %y, %a;", &[([0, 0, 0], !0), ([1, 0, 0], 0), ([0x8000_0000, 0, 0], 31)]);
    words("bfind.s32 %y, %a;", &[([!0, 0, 0], !0), ([0, 0, 0], !0), ([0x8000_0000, 0, 0], 30), ([4, 0, 0], 2)]);
    words("clz.b32 %y, %a;", &[([0, 0, 0], 32), ([1, 0, 0], 31)]);
    words("popc.b32 %y, %a;", &[([!0, 0, 0], 32)]);
    words("brev.b32 %y, %a;", &[([1, 0, 0], 0x8000_0000), ([0x0000_00f0, 0, 0], 0x0f00_0000)]);
    // Bytes 7 to 0 are those of b:a; the top bit of a selector copies the sign.
    words(
        "prmt.b32 %y, %a, %b, %c;",
        &[
            ([0x8122_3344, 0x5566_7788, 0x7531], 0x5577_8133),
            ([0x8122_3344, 0x5566_7788, 0x3210], 0x8122_3344),
            ([0x8122_3344, 0x5566_7788, 0xb8c9], 0xff00_ff00),
            ([0x8122_3344, 0x5566_7788, 0xffff_0000], 0x4444_4444),
        ],
    );
    // Bit 4a + 2b + c of the table.
    words("lop3.b32 %y, %a, %b, %c, 0xCA;", &[([0x0f, 0x33, 0x55], 0x53)]);
    words("lop3.b32 %y, %a, %b, %c, 0x10;", &[([0x0f, 0x33, 0x55], 0x08)]);
}

#[test]
fn integers_at_their_limits() {
    const MIN: u32 = 0x8000_0000;
    words(
        "div.s32 %y, %a, %b;",
        &[([MIN, !0, 0], MIN), ([-7_i32 as u32, 2, 0], -3_i32 as u32), ([7, -2_i32 as u32, 0], -3_i32 as u32)],
    );
    words("rem.s32 %y, %a, %b;", &[([MIN, !0, 0], 0), ([-7_i32 as u32, 2, 0], !0), ([7, -2_i32 as u32, 0], 1)]);
    words(
        "div.u32 %y, %a, %b;",
        &[([!0, 1, 0], !0), ([!0, 3, 0], 0x5555_5555), ([!0 - 1, !0, 0], 0), ([!0, 2, 0], 0x7fff_ffff)],
    );
    words("abs.s32 %y, %a;", &[([MIN, 0, 0], MIN), ([!0, 0, 0], 1)]);
    words("neg.s32 %y, %a;", &[([MIN, 0, 0], MIN), ([1, 0, 0], !0)]);
    words("min.s32 %y, %a, %b;", &[([!0, 1, 0], !0)]);
    words("min.u32 %y, %a, %b;", &[([!0, 1, 0], 1)]);
    words("max.s16 %h1, %ha, %hb; cvt.u32.u16 %y, %h1;", &[([0xffff, 1, 0], 1), ([0x8000, 0xffff, 0], 0xffff)]);
    words("mul.hi.s32 %y, %a, %b;", &[([!0, !0, 0], 0), ([MIN, MIN, 0], 0x4000_0000), ([!0, 1, 0], !0)]);
    words("mul.hi.u32 %y, %a, %b;", &[([!0, !0, 0], 0xffff_fffe)]);
    words("mad.hi.u32 %y, %a, %b, %c;", &[([!0, !0, 5], 3)]);
    words("mad.lo.s32 %y, %a, %b, %c;", &[([!0, 3, 5], 2)]);
    words("mul.wide.s16 %y, %ha, %hb;", &[([0xffff, 2, 0], 0xffff_fffe)]);
    words("mul.wide.u16 %y, %ha, %hb;", &[([0xffff, 0xffff, 0], 0xfffe_0001)]);
    doubles(
        "cvt.u32.u64 %r1, %la; cvt.u32.u64 %r2, %lb; mul.wide.s32 %ly, %r1, %r2;",
        &[([0xffff_ffff, 2, 0], -2_i64 as u64)],
    );
    doubles(
        "cvt.u32.u64 %r1, %la; cvt.u32.u64 %r2, %lb; mul.wide.u32 %ly, %r1, %r2;",
        &[([0xffff_ffff, 2, 0], 0x1_ffff_fffe)],
    );
    doubles("mul.hi.u64 %ly, %la, %lb;", &[([!0, !0, 0], !0 - 1)]);
    doubles("mul.hi.s64 %ly, %la, %lb;", &[([!0, !0, 0], 0), ([1 << 63, 2, 0], !0)]);
    doubles("div.s64 %ly, %la, %lb;", &[([-9_i64 as u64, 2, 0], -4_i64 as u64)]);
    doubles("rem.u64 %ly, %la, %lb;", &[([!0, 10, 0], 5)]);
    // Carries: a 64-bit sum and difference in halves.
    words("add.cc.u32 %r1, %a, %b; addc.u32 %y, %c, 0;", &[([!0, 1, 7], 8), ([1, 1, 7], 7)]);
    words("sub.cc.u32 %r1, %a, %b; subc.u32 %y, %c, 0;", &[([0, 1, 7], 6), ([1, 1, 7], 7)]);
    words("mad.lo.cc.u32 %r1, %a, %b, %c; madc.hi.u32 %y, %a, %b, 0;", &[([!0, !0, !0], 0xffff_ffff), ([2, 3, 4], 0)]);
}

#[test]
fn comparisons_with_nan() {
    // Ordered comparisons with NaN do not hold, `ne` among them; unordered ones do.
    let cases = |nan: u32, less: u32, equal: u32| {
        let of = |a: f32, b: f32, y: u32| ([a.to_bits(), b.to_bits(), 0], y);
        [of(NAN, 1.0, nan), of(1.0, NAN, nan), of(NAN, NAN, nan), of(1.0, 2.0, less), of(0.0, -0.0, equal)]
    };
    for (comparison, nan, less, equal) in [
        ("eq", 0, 0, 1),
        ("ne", 0, 1, 0),
        ("lt", 0, 1, 0),
        ("le", 0, 1, 1),
        ("gt", 0, 0, 0),
        ("ge", 0, 0, 1),
        ("equ", 1, 0, 1),
        ("neu", 1, 1, 0),
        ("ltu", 1, 1, 0),
        ("leu", 1, 1, 1),
        ("gtu", 1, 0, 0),
        ("geu", 1, 0, 1),
        ("num", 0, 1, 1),
        ("nan", 1, 0, 0),
    ] {
        words(&format!("setp.{comparison}.f32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;"), &cases(nan, less, equal));
    }
    // The second destination is the complement joined with the same predicate.
    let joined = |join: &str| {
        format!(
            "setp.ne.b32 %p3, %c, 0; setp.lt.{join}.s32 %p1|%p2, %a, %b, %p3;
            selp.b32 %r1, 1, 0, %p1; selp.b32 %r2, 2, 0, %p2; or.b32 %y, %r1, %r2;"
        )
    };
    let table = |results: [u32; 4]| -> Vec<([u32; 3], u32)> {
        [[1, 2, 1], [1, 2, 0], [2, 1, 1], [2, 1, 0]].into_iter().zip(results).collect()
    };
    words(&joined("and"), &table([1, 0, 2, 0]));
    words(&joined("or"), &table([3, 1, 3, 2]));
    words(&joined("xor"), &table([2, 1, 1, 2]));
    words("setp.ne.b32 %p3, %c, 0; setp.lt.and.s32 %p1, %a, %b, !%p3; selp.b32 %y, 1, 0, %p1;", &table([0, 1, 0, 0]));
    words("setp.lt.s32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;", &[([!0, 1, 0], 1)]);
    words("setp.lt.u32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;", &[([!0, 1, 0], 0)]);
    words("setp.lo.u32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;", &[([1, !0, 0], 1)]);
    words("setp.lt.s16 %p1, %ha, %hb; selp.b32 %y, 1, 0, %p1;", &[([0xffff, 1, 0], 1)]);
    // Flushed to zero, a subnormal number equals zero.
    words("setp.eq.ftz.f32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;", &[([TINY.to_bits(), 0, 0], 1)]);
    words("setp.eq.f32 %p1, %a, %b; selp.b32 %y, 1, 0, %p1;", &[([TINY.to_bits(), 0, 0], 0)]);
}

#[test]
fn float_minimum_and_maximum() {
    floats(
        "min.f32 %y, %a, %b;",
        &[
            ([NAN, 1.0, 0.0], 1.0),
            ([1.0, NAN, 0.0], 1.0),
            ([NAN, NAN, 0.0], NAN),
            // -0 counts as less than +0.
            ([0.0, -0.0, 0.0], -0.0),
            ([-0.0, 0.0, 0.0], -0.0),
            ([-INF, 3.0, 0.0], -INF),
        ],
    );
    floats(
        "max.f32 %y, %a, %b;",
        &[
            ([NAN, -1.0, 0.0], -1.0),
            ([-1.0, NAN, 0.0], -1.0),
            ([NAN, NAN, 0.0], NAN),
            ([0.0, -0.0, 0.0], 0.0),
            ([-0.0, 0.0, 0.0], 0.0),
        ],
    );
    floats("max.NaN.f32 %y, %a, %b;", &[([NAN, 1.0, 0.0], NAN), ([1.0, NAN, 0.0], NAN), ([1.0, 2.0, 0.0], 2.0)]);
    floats("max.ftz.f32 %y, %a, %b;", &[([TINY, -1.0, 0.0], 0.0), ([-TINY, -1.0, 0.0], -0.0)]);
    floats("min.f32 %y, %a, %b;", &[([TINY, 1.0, 0.0], TINY)]);
    // What both being NaN gives is the one canonical NaN.
    words("min.f32 %y, %a, %b;", &[([0x7fc1_2345, 0xffc0_0001, 0], 0x7fff_ffff)]);
    words("max.NaN.f32 %y, %a, %b;", &[([0x7fc1_2345, 0, 0], 0x7fff_ffff)]);
}

#[test]
fn float_arithmetic() {
    floats(
        "add.f32 %y, %a, %b;",
        &[([TINY, TINY, 0.0], TINY + TINY), ([INF, -INF, 0.0], NAN), ([1.0, 5.960_464_5e-8, 0.0], 1.0)],
    );
    floats(
        "add.ftz.f32 %y, %a, %b;",
        &[([TINY, 0.0, 0.0], 0.0), ([-TINY, -0.0, 0.0], -0.0), ([1.5e-38, -1.4e-38, 0.0], 0.0)],
    );
    floats("mul.ftz.f32 %y, %a, %b;", &[([TINY, 1e30, 0.0], 0.0), ([-1e-20, 1e-20, 0.0], -0.0)]);
    floats(
        "add.sat.f32 %y, %a, %b;",
        &[([0.5, 1.0, 0.0], 1.0), ([-2.0, 1.0, 0.0], 0.0), ([NAN, 1.0, 0.0], 0.0), ([0.25, 0.5, 0.0], 0.75)],
    );
    floats("sub.f32 %y, %a, %b;", &[([1.0, 3.0, 0.0], -2.0)]);
    // One rounding: (1 + 2^-23)^2 - (1 + 2^-22) = 2^-46.
    let e = f32::EPSILON;
    floats("fma.rn.f32 %y, %a, %b, %c;", &[([1.0 + e, 1.0 + e, -(1.0 + 2.0 * e)], e * e), ([INF, 0.0, 1.0], NAN)]);
    floats(
        "div.rn.f32 %y, %a, %b;",
        &[
            ([1.0, 3.0, 0.0], 1.0 / 3.0),
            ([1.0, -0.0, 0.0], -INF),
            ([0.0, 0.0, 0.0], NAN),
            ([1e-38, 10.0, 0.0], 1e-38 / 10.0),
        ],
    );
    floats("sqrt.rn.f32 %y, %a;", &[([2.0, 0.0, 0.0], 2f32.sqrt()), ([-1.0, 0.0, 0.0], NAN), ([-0.0, 0.0, 0.0], -0.0)]);
    floats("rcp.rn.f32 %y, %a;", &[([3.0, 0.0, 0.0], 1.0 / 3.0), ([-0.0, 0.0, 0.0], -INF), ([INF, 0.0, 0.0], 0.0)]);
    floats("neg.f32 %y, %a;", &[([0.0, 0.0, 0.0], -0.0), ([-INF, 0.0, 0.0], INF)]);
    floats("abs.f32 %y, %a;", &[([-0.0, 0.0, 0.0], 0.0), ([-3.0, 0.0, 0.0], 3.0)]);
    floats("abs.ftz.f32 %y, %a;", &[([-TINY, 0.0, 0.0], 0.0)]);
    // The approximate functions are exact at their special values.
    floats(
        "ex2.approx.f32 %y, %a;",
        &[
            ([0.0; 3], 1.0),
            ([-INF, 0.0, 0.0], 0.0),
            ([INF, 0.0, 0.0], INF),
            ([NAN, 0.0, 0.0], NAN),
            ([-200.0, 0.0, 0.0], 0.0),
        ],
    );
    floats(
        "lg2.approx.f32 %y, %a;",
        &[
            ([0.0; 3], -INF),
            ([-0.0, 0.0, 0.0], -INF),
            ([-1.0, 0.0, 0.0], NAN),
            ([INF, 0.0, 0.0], INF),
            ([1.0, 0.0, 0.0], 0.0),
        ],
    );
    floats(
        "rcp.approx.ftz.f32 %y, %a;",
        &[([0.0; 3], INF), ([-0.0, 0.0, 0.0], -INF), ([TINY, 0.0, 0.0], INF), ([-INF, 0.0, 0.0], -0.0)],
    );
    floats(
        "rsqrt.approx.f32 %y, %a;",
        &[([0.0; 3], INF), ([-0.0, 0.0, 0.0], -INF), ([-1.0, 0.0, 0.0], NAN), ([INF, 0.0, 0.0], 0.0)],
    );
    floats("div.approx.f32 %y, %a, %b;", &[([1.0, 0.0, 0.0], INF), ([6.0, 2.0, 0.0], 3.0)]);
}

#[test]
fn directed_rounding() {
    // 1 + 2^-24 lies between 1 and 1 + 2^-23; a third between two floats of which the lower one ends in 0xaaaaaa.
    let half = f32::EPSILON / 2.0;
    let up = 1.0 + f32::EPSILON;
    floats("add.rz.f32 %y, %a, %b;", &[([1.0, 1.5 * half, 0.0], 1.0), ([-1.0, -1.5 * half, 0.0], -1.0)]);
    floats("add.rn.f32 %y, %a, %b;", &[([1.0, 1.5 * half, 0.0], up)]);
    floats("add.rp.f32 %y, %a, %b;", &[([1.0, 1e-30, 0.0], up), ([-1.0, -1e-30, 0.0], -1.0)]);
    floats("add.rm.f32 %y, %a, %b;", &[([1.0, 1e-30, 0.0], 1.0), ([-1.0, -1e-30, 0.0], -up), ([1.0, -1.0, 0.0], -0.0)]);
    floats("mul.rz.f32 %y, %a, %b;", &[([up, up, 0.0], 1.0 + 2.0 * f32::EPSILON), ([f32::MAX, 2.0, 0.0], f32::MAX)]);
    floats(
        "fma.rz.f32 %y, %a, %b, %c;",
        &[([up, up, 1e-30], 1.0 + 2.0 * f32::EPSILON), ([1.0, 1.0, -1e-30], 1.0 - half)],
    );
    words("cvt.rn.f32.s32 %y, %a;", &[([16_777_217, 0, 0], 0x4b80_0000), ([16_777_219, 0, 0], 0x4b80_0002)]);
    words("cvt.rn.f32.u32 %y, %a;", &[([!0, 0, 0], 0x4f80_0000)]);
    // Rounded once: through float64 this would be a tie.
    let found = ran("cvt.rn.f32.u64 %y, %la;", &[[0x8000_0080_0000_0001, 0, 0], [0x8000_0080_0000_0000, 0, 0]]);
    assert_eq!([found[0].0, found[1].0], [0x5f00_0001, 0x5f00_0000]);
    let of = |x: f64| [x.to_bits(), 0, 0];
    let found = ran("cvt.rn.f32.f64 %y, %la;", &[of(1e300), of(-0.1), of(1e-300)]);
    assert_eq!([found[0].0, found[1].0, found[2].0], [0x7f80_0000, 0xbdcc_cccd, 0]);
}

#[test]
fn division_and_conversion_toward_zero() {
    words(
        "div.rz.f32 %y, %a, %b;",
        &[([1f32.to_bits(), 3f32.to_bits(), 0], 0x3eaa_aaaa), ([2f32.to_bits(), 3f32.to_bits(), 0], 0x3f2a_aaaa)],
    );
    words("rcp.rz.f32 %y, %a;", &[([3f32.to_bits(), 0, 0], 0x3eaa_aaaa)]);
    words("sqrt.rz.f32 %y, %a;", &[([2f32.to_bits(), 0, 0], 0x3fb5_04f3), ([3f32.to_bits(), 0, 0], 0x3fdd_b3d7)]);
    words("cvt.rz.f32.s32 %y, %a;", &[([16_777_217, 0, 0], 0x4b80_0000), ([16_777_219, 0, 0], 0x4b80_0001)]);
    words("cvt.rz.f32.u32 %y, %a;", &[([!0, 0, 0], 0x4f7f_ffff)]);
    let of = |x: f64| [x.to_bits(), 0, 0];
    let found = ran("cvt.rz.f32.f64 %y, %la;", &[of(1e300), of(-0.1), of(1.0)]);
    assert_eq!([found[0].0, found[1].0, found[2].0], [0x7f7f_ffff, 0xbdcc_cccc, 0x3f80_0000]);
    let zero: Vec<([u32; 3], u32)> = BF16.iter().map(|(x, _, y)| ([*x, 0, 0], *y)).collect();
    words("cvt.rz.bf16.f32 %h1, %a; cvt.u32.u16 %y, %h1;", &zero);
}

#[test]
fn conversions_between_floats_and_integers() {
    let of = |values: &[(f32, u32)]| -> Vec<([u32; 3], u32)> {
        values.iter().map(|(value, y)| ([value.to_bits(), 0, 0], *y)).collect()
    };
    // Out of range: the nearest integer there is.
    let most = [(3e9, 0x7fff_ffff), (-3e9, 0x8000_0000), (INF, 0x7fff_ffff), (-INF, 0x8000_0000), (NAN, 0)];
    words("cvt.rzi.s32.f32 %y, %a;", &of(&most));
    words("cvt.rzi.s32.f32 %y, %a;", &of(&[(2.9, 2), (-2.9, -2_i32 as u32)]));
    words("cvt.rni.s32.f32 %y, %a;", &of(&[(0.5, 0), (1.5, 2), (2.5, 2), (-2.5, -2_i32 as u32), (-0.6, !0)]));
    words("cvt.rmi.s32.f32 %y, %a;", &of(&[(-0.1, !0), (1.9, 1)]));
    words("cvt.rpi.s32.f32 %y, %a;", &of(&[(-0.9, 0), (1.1, 2)]));
    words("cvt.rzi.u32.f32 %y, %a;", &of(&[(-1.0, 0), (5e9, !0), (4e9, 4_000_000_000), (NAN, 0), (-0.5, 0)]));
    words("cvt.rzi.s16.f32 %h1, %a; cvt.u32.u16 %y, %h1;", &of(&[(40000.0, 0x7fff), (-40000.0, 0x8000), (NAN, 0)]));
    floats("cvt.rni.f32.f32 %y, %a;", &[([2.5, 0.0, 0.0], 2.0), ([-0.3, 0.0, 0.0], -0.0), ([1e30, 0.0, 0.0], 1e30)]);
    floats("cvt.rmi.f32.f32 %y, %a;", &[([-0.5, 0.0, 0.0], -1.0)]);
    floats("cvt.rpi.f32.f32 %y, %a;", &[([-0.5, 0.0, 0.0], -0.0)]);
    floats("cvt.rzi.f32.f32 %y, %a;", &[([-1.5, 0.0, 0.0], -1.0)]);
    floats("cvt.sat.f32.f32 %y, %a;", &[([-1.5, 0.0, 0.0], 0.0), ([7.0, 0.0, 0.0], 1.0), ([NAN, 0.0, 0.0], 0.0)]);
    // NaN: zero, unless the source is float64 or the result has 64 bits; then the top bit alone.
    let nan = [f64::NAN.to_bits(), 0, 0];
    assert_eq!(ran("cvt.rzi.s32.f64 %y, %la;", &[nan])[0].0, 0x8000_0000);
    assert_eq!(ran("cvt.rzi.u32.f64 %y, %la;", &[nan])[0].0, 0x8000_0000);
    doubles(
        "cvt.u32.u64 %r1, %la; cvt.rzi.s64.f32 %ly, %r1;",
        &[([u64::from(NAN.to_bits()), 0, 0], 1 << 63), ([u64::from(1e20_f32.to_bits()), 0, 0], i64::MAX as u64)],
    );
    doubles(
        "cvt.rzi.s64.f64 %ly, %la;",
        &[(nan, 1 << 63), ([(-1e30_f64).to_bits(), 0, 0], 1 << 63), ([1e30_f64.to_bits(), 0, 0], i64::MAX as u64)],
    );
    doubles("cvt.rzi.u64.f64 %ly, %la;", &[([(-1.0_f64).to_bits(), 0, 0], 0), ([1e30_f64.to_bits(), 0, 0], !0)]);
    doubles("cvt.u32.u64 %r1, %la; cvt.rn.f64.s32 %ly, %r1;", &[([0xffff_ffff, 0, 0], (-1.0_f64).to_bits())]);
    doubles(
        "cvt.u32.u64 %r1, %la; cvt.f64.f32 %ly, %r1;",
        &[([u64::from(0.1_f32.to_bits()), 0, 0], f64::from(0.1_f32).to_bits())],
    );
}

#[test]
fn conversions_between_integers() {
    doubles("cvt.u32.u64 %r1, %la; cvt.s64.s32 %ly, %r1;", &[([0x8000_0000, 0, 0], 0xffff_ffff_8000_0000)]);
    doubles("cvt.u32.u64 %r1, %la; cvt.u64.u32 %ly, %r1;", &[([0x8000_0000, 0, 0], 0x8000_0000)]);
    doubles("cvt.u32.u64 %r1, %la; cvt.u64.s32 %ly, %r1;", &[([0x8000_0000, 0, 0], 0xffff_ffff_8000_0000)]);
    words("cvt.s32.s16 %y, %ha;", &[([0x1_8000, 0, 0], 0xffff_8000)]);
    words("cvt.u32.u16 %y, %ha;", &[([0x1_8000, 0, 0], 0x8000)]);
    // A narrow result in a wide register is extended by its own sign.
    words("cvt.s8.s32 %y, %a;", &[([0x1f0, 0, 0], 0xffff_fff0), ([0x170, 0, 0], 0x70)]);
    words("cvt.u8.u32 %y, %a;", &[([0x1f0, 0, 0], 0xf0)]);
    words("cvt.s32.s8 %y, %a;", &[([0x1f0, 0, 0], 0xffff_fff0)]);
    words("cvt.sat.s8.s32 %y, %a;", &[([300, 0, 0], 127), ([-300_i32 as u32, 0, 0], -128_i32 as u32)]);
    words("cvt.sat.u8.s32 %y, %a;", &[([300, 0, 0], 255), ([-300_i32 as u32, 0, 0], 0)]);
    words("cvt.sat.u32.s32 %y, %a;", &[([!0, 0, 0], 0)]);
    words("cvt.sat.s32.u32 %y, %a;", &[([!0, 0, 0], 0x7fff_ffff)]);
}

/// float32, and as bf16 to nearest (ties to even) and toward zero.
const BF16: [(u32, u32, u32); 12] = [
    (0x3f80_7fff, 0x3f80, 0x3f80),
    (0x3f80_8000, 0x3f80, 0x3f80),
    (0x3f81_8000, 0x3f82, 0x3f81),
    (0x3f80_8001, 0x3f81, 0x3f80),
    (0xbf80_8001, 0xbf81, 0xbf80),
    (0x7f7f_ffff, 0x7f80, 0x7f7f),
    (0x7f80_0000, 0x7f80, 0x7f80),
    (0x8000_0000, 0x8000, 0x8000),
    // Subnormal numbers stay.
    (0x0000_8001, 0x0001, 0x0000),
    (0x0001_8000, 0x0002, 0x0001),
    // Any NaN becomes the canonical one.
    (0x7f80_0001, 0x7fff, 0x7fff),
    (0xffc0_0000, 0x7fff, 0x7fff),
];

#[test]
fn conversions_to_bf16() {
    let nearest: Vec<([u32; 3], u32)> = BF16.iter().map(|(x, y, _)| ([*x, 0, 0], *y)).collect();
    words("cvt.rn.bf16.f32 %h1, %a; cvt.u32.u16 %y, %h1;", &nearest);
    // The first source becomes the upper half.
    words("cvt.rn.bf16x2.f32 %y, %a, %b;", &[([0x3f80_0000, 0x4000_0000, 0], 0x3f80_4000)]);
}
