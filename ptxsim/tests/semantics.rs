//! Instructions against what the PTX ISA manual says of them, above all where it says more than the obvious: shifts by
//! too much, fields that leave their value, comparisons with NaN, conversions out of range, lanes that read elsewhere.
//!
//! Each case is one lane of a warp that runs the instruction; the expected values are worked out by hand from the
//! manual's pseudo code, or by the functions here that follow it.

use ptxsim::ast::Module;
use ptxsim::{Checks, Fault, FaultKind, GlobalMemory, Launch, Options, Program};

/// Runs one warp. Lane `l` finds `inputs[l]` in `%a`, `%b`, `%c` (32 bits), `%ha`, `%hb` (16 bits) and `%la`, `%lb`,
/// `%lc` (64 bits), and leaves its result in `%y` and `%ly`; the other one stays zero.
fn run(body: &str, inputs: &[[u64; 3]]) -> Result<Vec<(u32, u64)>, Box<Fault>> {
    let text = format!(
        ".version 8.7 .target sm_80 .address_size 64
        .visible .entry k(.param .u64 from, .param .u64 to)
        {{
        .reg .b16 %h<5>, %ha, %hb; .reg .b32 %a, %b, %c, %y, %lane, %r<40>; .reg .pred %p<8>;
        .reg .b64 %la, %lb, %lc, %ly, %d<9>, %from, %to, %at;
        .shared .align 128 .b8 tile[4096];
        mov.u32 %lane, %laneid;
        ld.param.u64 %from, [from]; ld.param.u64 %to, [to];
        mul.wide.u32 %at, %lane, 24; add.s64 %from, %from, %at;
        mul.wide.u32 %at, %lane, 16; add.s64 %to, %to, %at;
        ld.global.b64 %la, [%from]; ld.global.b64 %lb, [%from+8]; ld.global.b64 %lc, [%from+16];
        cvt.u32.u64 %a, %la; cvt.u32.u64 %b, %lb; cvt.u32.u64 %c, %lc;
        cvt.u16.u64 %ha, %la; cvt.u16.u64 %hb, %lb;
        mov.b32 %y, 0; mov.b64 %ly, 0;
        {body}
        st.global.b64 [%to+8], %ly; st.global.b32 [%to], %y;
        ret;
        }}"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let program = Program::decode(&module).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let memory = GlobalMemory::new();
    let must = "32 lanes of memory are little";
    let (from, to) = (memory.allocate(768, "from").expect(must), memory.allocate(512, "to").expect(must));
    let bytes: Vec<u8> =
        (0..32).flat_map(|lane| inputs.get(lane).copied().unwrap_or_default()).flat_map(u64::to_le_bytes).collect();
    memory.write(from, &bytes).expect(must);
    let launch = Launch {
        grid: [1, 1, 1],
        block: [32, 1, 1],
        parameters: [from.to_le_bytes(), to.to_le_bytes()].concat(),
        ..Launch::default()
    };
    let options = Options { checks: Checks::all(), budget: Some(1 << 20), ..Options::default() };
    program.kernel("k")?.launch(&memory, &launch, &options)?;
    let mut out = [0; 512];
    memory.read(to, &mut out).expect(must);
    let word = |at: usize| out[at..at + 8].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    Ok((0..32).map(|lane| (word(16 * lane) as u32, word(16 * lane + 8))).collect())
}

#[track_caller]
fn ran(body: &str, inputs: &[[u64; 3]]) -> Vec<(u32, u64)> {
    run(body, inputs).unwrap_or_else(|fault| panic!("{fault}\n{body}"))
}

/// Checks `%y` for inputs of 32 bits.
#[track_caller]
fn words(body: &str, cases: &[([u32; 3], u32)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| inputs.map(u64::from)).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (found, _)) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{body} of {inputs:#x?}: found {found:#x}, expected {expected:#x}");
    }
}

/// Checks `%ly` for inputs of 64 bits.
#[track_caller]
fn doubles(body: &str, cases: &[([u64; 3], u64)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| *inputs).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (_, found)) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{body} of {inputs:#x?}: found {found:#x}, expected {expected:#x}");
    }
}

/// Checks `%y` as a float; any NaN is as good as any other.
#[track_caller]
fn floats(body: &str, cases: &[([f32; 3], f32)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| inputs.map(|x| u64::from(x.to_bits()))).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (found, _)) in cases.iter().zip(found) {
        let found = f32::from_bits(found);
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{body} of {inputs:?}: found {found:?}, expected {expected:?}");
    }
}

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
/// A subnormal float.
const TINY: f32 = 1e-40;

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

/// Manual, `shfl.sync`: the lane that is read, and whether it lies in the segment.
fn source_lane(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (value, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let (most, least) = (lane & segment | clamp & !segment, lane & segment);
    let (from, inside) = match mode {
        "up" => (lane as i32 - value as i32, lane as i32 - value as i32 >= most as i32),
        "down" => ((lane + value) as i32, lane + value <= most),
        "bfly" => ((lane ^ value) as i32, lane ^ value <= most),
        _ => ((least | value & !segment) as i32, (least | value & !segment) <= most),
    };
    (if inside { from as u32 } else { lane }, inside)
}

#[test]
fn shuffles() {
    let mut state = 1_u64;
    for mode in ["up", "down", "bfly", "idx"] {
        // The clamp that the compiler emits for a whole warp, for segments of 8 and 16, and others.
        let usual = if mode == "up" { 0 } else { 31 };
        for c in [usual, 0x1800 | usual, 0x1000 | usual, 0x1f00 | usual, 7, 0x0b15] {
            let inputs: Vec<[u64; 3]> = (0..32)
                .map(|lane| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    [100 + lane, state >> 58, c]
                })
                .collect();
            let body = format!(
                "shfl.sync.{mode}.b32 %r1|%p1, %a, %b, %c, -1; selp.b32 %r2, 1000, 0, %p1; add.u32 %y, %r1, %r2;"
            );
            for (lane, (found, _)) in ran(&body, &inputs).into_iter().enumerate() {
                let b = inputs[lane][1] as u32;
                let (from, inside) = source_lane(mode, lane as u32, b, c as u32);
                let expected = 100 + from + if inside { 1000 } else { 0 };
                assert_eq!(found, expected, "shfl {mode}, lane {lane}, b {b}, c {c:#x}");
            }
        }
    }
    // In place.
    let found = ran("mov.b32 %y, %lane; shfl.sync.bfly.b32 %y, %y, 1, 31, -1;", &[]);
    assert!(found.iter().enumerate().all(|(lane, (y, _))| *y == lane as u32 ^ 1), "{found:?}");
}

#[test]
fn votes_and_matches() {
    let odd = "and.b32 %r1, %lane, 1; setp.ne.b32 %p1, %r1, 0;";
    let same = |body: &str, expected: u32| {
        let found = ran(body, &[]);
        assert!(found.iter().all(|(y, _)| *y == expected), "{body}: {found:x?}");
    };
    same(&format!("{odd} vote.sync.ballot.b32 %y, %p1, -1;"), 0xaaaa_aaaa);
    same(&format!("{odd} vote.sync.ballot.b32 %y, !%p1, -1;"), 0x5555_5555);
    same(&format!("{odd} vote.sync.any.pred %p2, %p1, -1; selp.b32 %y, 1, 0, %p2;"), 1);
    same(&format!("{odd} vote.sync.all.pred %p2, %p1, -1; selp.b32 %y, 1, 0, %p2;"), 0);
    same(&format!("{odd} vote.sync.uni.pred %p2, %p1, -1; selp.b32 %y, 1, 0, %p2;"), 0);
    same("redux.sync.add.s32 %y, %lane, -1;", 496);
    same("sub.s32 %r1, 3, %lane; redux.sync.min.s32 %y, %r1, -1;", -28_i32 as u32);
    same("sub.s32 %r1, 3, %lane; redux.sync.min.u32 %y, %r1, -1;", 0);
    same("activemask.b32 %y;", !0);
    let found = ran("and.b32 %r1, %lane, 3; match.any.sync.b32 %y, %r1, -1;", &[]);
    assert!(found.iter().enumerate().all(|(lane, (y, _))| *y == 0x1111_1111 << (lane % 4)), "{found:x?}");
    // Lanes that took another way do not take part.
    let found = ran(
        "setp.lt.u32 %p1, %lane, 8; @!%p1 bra other; vote.sync.ballot.b32 %y, %p1, 0xff; activemask.b32 %r1;
        add.u32 %y, %y, %r1; bra.uni both; other: activemask.b32 %y; both:",
        &[],
    );
    assert!(
        found.iter().enumerate().all(|(lane, (y, _))| *y == if lane < 8 { 0x1fe } else { 0xffff_ff00 }),
        "{found:x?}"
    );
}

/// Lane `l` writes row `l` of 16 bytes of shared memory: 16-bit elements `8 l` to `8 l + 7`.
const FILL: &str = "mov.u32 %r30, tile; mad.lo.u32 %r31, %lane, 16, %r30; mul.lo.u32 %r32, %lane, 8;
    mad.lo.u32 %r33, %r32, 65537, 65536; add.u32 %r34, %r33, 131074; add.u32 %r35, %r34, 131074;
    add.u32 %r36, %r35, 131074; st.shared.v4.b32 [%r31], {%r33, %r34, %r35, %r36}; bar.sync 0;";

#[test]
fn matrices_are_loaded_row_by_row() {
    // Matrix m has rows 8 m to 8 m + 7; element (row, column) is 8 row + column.
    let element = |matrix: u32, row: u32, column: u32| 8 * (8 * matrix + row) + column;
    let expected = |matrix: u32, lane: u32, transposed: bool| {
        let (row, column) = (lane / 4, 2 * (lane % 4));
        if transposed {
            element(matrix, column, row) | element(matrix, column + 1, row) << 16
        } else {
            element(matrix, row, column) | element(matrix, row, column + 1) << 16
        }
    };
    for (count, registers) in [(1, "{%r1}"), (2, "{%r1, %r2}"), (4, "{%r1, %r2, %r3, %r4}")] {
        for transposed in [false, true] {
            let trans = if transposed { ".trans" } else { "" };
            for matrix in 0..count {
                let body = format!(
                    "{FILL} ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {registers}, [%r31];
                    mov.b32 %y, %r{};",
                    matrix + 1
                );
                for (lane, (found, _)) in ran(&body, &[]).into_iter().enumerate() {
                    let expected = expected(matrix, lane as u32, transposed);
                    assert_eq!(found, expected, "x{count}{trans}, matrix {matrix}, lane {lane}: {found:#x}");
                }
            }
        }
    }
    // Lane l gives row l % 8 of matrix l / 8: addresses in reverse order give the matrices and their rows in reverse.
    let body = format!(
        "{FILL} sub.u32 %r5, 31, %lane; mad.lo.u32 %r5, %r5, 16, %r30;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r5, %r6, %r7, %r8}}, [%r5]; mov.b32 %y, %r6;"
    );
    for (lane, (found, _)) in ran(&body, &[]).into_iter().enumerate() {
        let (row, column) = (7 - lane as u32 / 4, 2 * (lane as u32 % 4));
        assert_eq!(found, element(2, row, column) | element(2, row, column + 1) << 16, "lane {lane}");
    }
}

/// bf16 of a small integer.
fn bf16(value: i32) -> u32 {
    (value as f32).to_bits() >> 16
}

#[test]
fn matrices_are_multiplied() {
    // a [16 x 16], b [16 x 8], c [16 x 8]: small integers, so that every sum is exact.
    let a = |row: u32, k: u32| (row * 7 + k * 5) as i32 % 11 - 4;
    let b = |k: u32, column: u32| (k * 3 + column * 13) as i32 % 9 - 5;
    let c = |row: u32, column: u32| (row * 8 + column) as i32 - 40;
    let pair = |low: i32, high: i32| u64::from(bf16(low) | bf16(high) << 16);
    // The fragments of m16n8k16 (manual, figures of the section): group l / 4, place l % 4.
    let parts = |lane: u32| {
        let (group, place) = (lane / 4, 2 * (lane % 4));
        let of = |row: u32, k: u32| pair(a(row, k), a(row, k + 1));
        let left = [of(group, place), of(group + 8, place), of(group, place + 8), of(group + 8, place + 8)];
        let right = [0, 8].map(|k| pair(b(place + k, group), b(place + k + 1, group)));
        (left, right)
    };
    let inputs: Vec<[u64; 3]> = (0..32)
        .map(|lane| {
            let (left, right) = parts(lane);
            [left[0] | left[1] << 32, left[2] | left[3] << 32, right[0] | right[1] << 32]
        })
        .collect();
    let out = |lane: u32, index: u32| (lane / 4 + 8 * (index / 2), 2 * (lane % 4) + index % 2);
    for index in 0..4 {
        // c(row, column) = 8 row + column - 40 as floats, made in the kernel.
        let mut body = String::from("mov.b64 {%r1, %r2}, %la; mov.b64 {%r3, %r4}, %lb; mov.b64 {%r5, %r6}, %lc; ");
        body += "shr.u32 %r7, %lane, 2; and.b32 %r8, %lane, 3; shl.b32 %r8, %r8, 1; mad.lo.u32 %r9, %r7, 8, %r8; ";
        for (register, add) in [(10, 0), (11, 1), (12, 64), (13, 65)] {
            body += &format!("add.s32 %r{register}, %r9, {}; cvt.rn.f32.s32 %r{register}, %r{register}; ", add - 40);
        }
        body += "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r1, %r14, %r15, %r16}, {%r1, %r2, %r3, %r4}, ";
        body += "{%r5, %r6}, {%r10, %r11, %r12, %r13}; ";
        body += ["mov.b32 %y, %r1;", "mov.b32 %y, %r14;", "mov.b32 %y, %r15;", "mov.b32 %y, %r16;"][index as usize];
        for (lane, (found, _)) in ran(&body, &inputs).into_iter().enumerate() {
            let (row, column) = out(lane as u32, index);
            let expected = c(row, column) + (0..16).map(|k| a(row, k) * b(k, column)).sum::<i32>();
            assert_eq!(
                f32::from_bits(found),
                expected as f32,
                "lane {lane}, element {index}: row {row}, column {column}"
            );
        }
    }
}

#[test]
fn asynchronous_copies() {
    // Lane l copies 16 bytes (its %la and %lb) into its row, all of them or the first 4; the rest is zeros.
    let start = "mov.u32 %r30, tile; mad.lo.u32 %r31, %lane, 16, %r30;";
    let inputs: Vec<[u64; 3]> =
        (0..32).map(|lane| [lane << 40 | lane, !lane, if lane % 2 == 0 { 16 } else { 4 }]).collect();
    let copy = format!("{start} cp.async.cg.shared.global [%r31], [%from], 16, %c; cp.async.commit_group;");
    // Addresses of 24 bytes apart are not multiples of 16 in odd lanes: those copy nothing from there.
    let aligned = format!(
        "{start} and.b32 %r1, %lane, 1; sub.u32 %r2, %lane, %r1; mul.wide.u32 %d1, %r1, 24; sub.s64 %d2, %from, %d1;
        cp.async.cg.shared.global [%r31], [%d2], 16, %c; cp.async.commit_group; cp.async.wait_group 0;
        ld.shared.v2.b64 {{%d3, %d4}}, [%r31]; mov.b64 %ly, %d3; setp.eq.b64 %p1, %d4, 0; selp.b32 %y, 1, 0, %p1;"
    );
    for (lane, (high_is_zero, low)) in ran(&aligned, &inputs).into_iter().enumerate() {
        let even = inputs[lane - lane % 2];
        let expected = if lane % 2 == 0 { (0, even[0]) } else { (1, even[0] & 0xffff_ffff) };
        assert_eq!((high_is_zero, low), expected, "lane {lane}");
    }
    // A misaligned source is a fault, and so is what is read before it was waited for.
    let kind = |body: &str| run(body, &inputs).map_err(|fault| fault.kind);
    assert_eq!(kind(&copy).err(), Some(FaultKind::Misaligned));
    let early = aligned.replace("cp.async.wait_group 0;", "");
    assert_eq!(kind(&early).err(), Some(FaultKind::AsyncCopy));
    let one_left = aligned.replace("cp.async.wait_group 0;", "cp.async.wait_group 1;");
    assert_eq!(kind(&one_left).err(), Some(FaultKind::AsyncCopy));
    // A group that is not committed is not waited for; `wait_all` waits for it all the same.
    let open = aligned.replace("cp.async.commit_group;", "");
    assert_eq!(kind(&open).err(), Some(FaultKind::AsyncCopy));
    assert!(kind(&open.replace("wait_group 0", "wait_all")).is_ok());
    // Empty groups count: with one behind it, the first is done when at most one may be left.
    let two = aligned.replace("cp.async.wait_group 0;", "cp.async.commit_group; cp.async.wait_group 1;");
    assert!(kind(&two).is_ok());
}

#[test]
fn registers_that_share_their_place() {
    // Sources that die where destinations are born.
    words("ld.global.v2.b32 {%a, %b}, [%from]; mov.b64 %d1, {%b, %a}; mov.b64 {%a, %y}, %d1;", &[([5, 6, 7], 5)]);
    words("mov.b32 {%ha, %hb}, %a; mov.b32 %a, {%hb, %ha}; mov.b32 %y, %a;", &[([0x1234_5678, 0, 0], 0x5678_1234)]);
    words(
        "mov.u32 %r1, tile; mad.lo.u32 %r1, %lane, 16, %r1; st.shared.v4.b32 [%r1], {%a, %b, %c, %a};
        ld.shared.v4.b32 {%r1, %r2, %r3, %r4}, [%r1]; add.u32 %y, %r1, %r2; add.u32 %y, %y, %r3; add.u32 %y, %y, %r4;",
        &[([1, 10, 100], 112), ([2, 20, 200], 224)],
    );
    words(
        "setp.lt.u32 %p1, %a, %b; setp.ne.and.u32 %p1|%p2, %a, %c, %p1; selp.b32 %r1, 1, 0, %p1; selp.b32 %r2, 2, 0, %p2; add.u32 %y, %r1, %r2;",
        &[([1, 2, 3], 1), ([1, 2, 1], 2), ([3, 2, 1], 0)],
    );
}

#[test]
fn lanes_that_part_meet_again() {
    // Collatz steps: every lane runs its own number of turns; branches within; values live across both sides.
    let steps = |mut n: u64| {
        let mut count = 0;
        while n != 1 {
            n = if n % 2 == 1 { 3 * n + 1 } else { n / 2 };
            count += 1;
        }
        count
    };
    let body = "mov.b32 %y, 0; add.u32 %r9, %a, 1000;
        next: setp.eq.u32 %p1, %a, 1; @%p1 bra done;
        and.b32 %r1, %a, 1; setp.ne.u32 %p2, %r1, 0; @%p2 bra odd;
        shr.u32 %r2, %a, 1; mov.b32 %a, %r2; bra.uni more;
        odd: mul.lo.u32 %r3, %a, 3; add.u32 %r4, %r3, 1; mov.b32 %a, %r4;
        more: add.u32 %y, %y, 1; bra.uni next;
        done: mov.b32 %r5, 16; shfl.sync.bfly.b32 %r6, %y, %r5, 31, -1; mad.lo.u32 %y, %r6, 1000, %y; add.u32 %y, %y, %r9;";
    let inputs: Vec<[u64; 3]> = (0..32).map(|lane| [lane + 1, 0, 0]).collect();
    for (lane, (found, _)) in ran(body, &inputs).into_iter().enumerate() {
        let of = |lane: usize| steps(lane as u64 + 1);
        assert_eq!(u64::from(found), of(lane ^ 16) * 1000 + of(lane) + 1000 + lane as u64 + 1, "lane {lane}");
    }
    // Guards: lanes that they stop keep what they have.
    words(
        "setp.lt.u32 %p1, %a, %b; mov.b32 %y, 7; @%p1 mov.b32 %y, 8; @!%p1 add.u32 %y, %y, %c;",
        &[([1, 2, 5], 8), ([2, 1, 5], 12)],
    );
}
