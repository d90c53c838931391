//! Integer arithmetic, logic, shifts, bit fields and carries, against values worked out by hand.

mod common;
use common::table;

const M: u64 = u64::MAX;

#[test]
fn arithmetic() {
    table(&[
        ("add.s32 %r0, %ra, %rb;", &[7, M], 6),
        ("add.u16 %h0, %ha, %hb;", &[0xffff, 2], 1),
        ("add.s64 %d0, %da, %db;", &[M, 2], 1),
        ("add.sat.s32 %r0, %ra, %rb;", &[0x7fff_ffff, 1], 0x7fff_ffff),
        ("sub.s32 %r0, %ra, %rb;", &[3, 5], 0xffff_fffe),
        ("sub.sat.s32 %r0, %ra, %rb;", &[0x8000_0000, 1], 0x8000_0000),
        ("sub.u64 %d0, %da, %db;", &[0, 1], M),
        ("mul.lo.s32 %r0, %ra, %rb;", &[0x1_0001, 0x1_0001], 0x2_0001),
        ("mul.lo.u16 %h0, %ha, %hb;", &[0x101, 0x101], 0x201),
        ("mul.lo.s64 %d0, %da, %db;", &[M, 5], M - 4),
        ("mul.hi.u32 %r0, %ra, %rb;", &[0xffff_ffff, 0xffff_ffff], 0xffff_fffe),
        ("mul.hi.s32 %r0, %ra, %rb;", &[0xffff_ffff, 3], 0xffff_ffff),
        ("mul.hi.u64 %d0, %da, %db;", &[M, M], M - 1),
        ("mul.hi.s64 %d0, %da, %db;", &[M, 2], M),
        ("mul.wide.s32 %d0, %ra, %rb;", &[0xffff_ffff, 3], M - 2),
        ("mul.wide.u32 %d0, %ra, %rb;", &[0xffff_ffff, 3], 0x2_ffff_fffd),
        ("mul.wide.s16 %r0, %ha, %hb;", &[0xffff, 3], 0xffff_fffd),
        ("mul.wide.u16 %r0, %ha, %hb;", &[0xffff, 3], 0x2_fffd),
        ("mad.lo.s32 %r0, %ra, %rb, %rc;", &[3, 5, 7], 22),
        ("mad.hi.u32 %r0, %ra, %rb, %rc;", &[0x8000_0000, 4, 7], 9),
        ("mad.wide.u32 %d0, %ra, %rb, %dc;", &[0xffff_ffff, 2, 1], 0x1_ffff_ffff),
        ("mad.wide.s32 %d0, %ra, %rb, %dc;", &[0xffff_ffff, 2, 1], M),
        ("mul24.lo.s32 %r0, %ra, %rb;", &[0xff_ffff, 3], 0xffff_fffd),
        ("mad24.lo.u32 %r0, %ra, %rb, %rc;", &[0x1ff_ffff, 2, 1], 0x1ff_ffff),
        ("sad.u32 %r0, %ra, %rb, %rc;", &[3, 10, 100], 107),
        ("dp4a.s32.s32 %r0, %ra, %rb, %rc;", &[0xff02_0304, 0x0101_0101, 10], 18),
        ("dp4a.u32.u32 %r0, %ra, %rb, %rc;", &[0xff02_0304, 0x0101_0101, 10], 274),
        ("min.s32 %r0, %ra, %rb;", &[0xffff_ffff, 1], 0xffff_ffff),
        ("min.u32 %r0, %ra, %rb;", &[0xffff_ffff, 1], 1),
        ("max.s64 %d0, %da, %db;", &[M, 1], 1),
        ("max.s16 %h0, %ha, %hb;", &[0xffff, 1], 1),
        ("abs.s32 %r0, %ra;", &[0xffff_fff0], 16),
        ("neg.s16 %h0, %ha;", &[1], 0xffff),
        ("neg.s64 %d0, %da;", &[1], M),
    ]);
}

#[test]
fn division() {
    table(&[
        ("div.u32 %r0, %ra, %rb;", &[0xffff_ffff, 10], 429_496_729),
        ("div.u32 %r0, %ra, %rb;", &[0xffff_ffff, 1], 0xffff_ffff),
        ("div.u32 %r0, %ra, %rb;", &[0xffff_fffe, 0xffff_ffff], 0),
        ("div.s32 %r0, %ra, %rb;", &[0xffff_fff9, 2], 0xffff_fffd),
        ("div.s32 %r0, %ra, %rb;", &[0x8000_0000, 0xffff_ffff], 0x8000_0000),
        ("div.u32 %r0, %ra, %rb;", &[5, 0], 0xffff_ffff),
        ("div.s64 %d0, %da, %db;", &[M - 6, 2], M - 2),
        ("div.u64 %d0, %da, %db;", &[M, 3], M / 3),
        ("div.s16 %h0, %ha, %hb;", &[0xfff9, 2], 0xfffd),
        ("rem.u32 %r0, %ra, %rb;", &[0xffff_ffff, 10], 5),
        ("rem.s32 %r0, %ra, %rb;", &[0xffff_fff9, 2], 0xffff_ffff),
        ("rem.s32 %r0, %ra, %rb;", &[0x8000_0000, 0xffff_ffff], 0),
        ("rem.u64 %d0, %da, %db;", &[M, 10], 5),
        ("rem.u32 %r0, %ra, %rb;", &[5, 0], 5),
    ]);
}

/// The float64 quotients against the processor's own, where rounding is nearest to going wrong.
#[test]
fn division_is_exact() {
    let edges = [1u32, 2, 3, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 65537, 641];
    for b in edges {
        for a in edges {
            for a in [
                a.wrapping_sub(1),
                a,
                a.wrapping_add(1),
                (a / b).wrapping_mul(b),
                (a / b).wrapping_mul(b).wrapping_sub(1),
            ] {
                let (x, y) = (a as u64, b as u64);
                table(&[
                    ("div.u32 %r0, %ra, %rb;", &[x, y], (a / b) as u64),
                    ("rem.s32 %r0, %ra, %rb;", &[x, y], (a as i32).wrapping_rem(b as i32) as u32 as u64),
                ]);
            }
        }
    }
}

#[test]
fn logic_and_shifts() {
    table(&[
        ("and.b32 %r0, %ra, %rb;", &[0b1100, 0b1010], 0b1000),
        ("or.b16 %h0, %ha, %hb;", &[0b1100, 0b1010], 0b1110),
        ("xor.b64 %d0, %da, %db;", &[M, 1], M - 1),
        ("not.b16 %h0, %ha;", &[1], 0xfffe),
        ("not.b32 %r0, %ra;", &[0], 0xffff_ffff),
        ("cnot.b32 %r0, %ra;", &[0], 1),
        ("shl.b32 %r0, %ra, %rb;", &[1, 31], 0x8000_0000),
        ("shl.b32 %r0, %ra, %rb;", &[1, 32], 0),
        ("shl.b64 %d0, %da, %rb;", &[1, 40], 1 << 40),
        ("shl.b16 %h0, %ha, %rb;", &[0xff, 12], 0xf000),
        ("shr.u32 %r0, %ra, %rb;", &[0x8000_0000, 31], 1),
        ("shr.u32 %r0, %ra, %rb;", &[0x8000_0000, 40], 0),
        ("shr.s32 %r0, %ra, %rb;", &[0x8000_0000, 40], 0xffff_ffff),
        ("shr.s16 %h0, %ha, %rb;", &[0x8000, 3], 0xf000),
        ("shr.s64 %d0, %da, %rb;", &[M - 7, 1], M - 3),
        ("shf.l.wrap.b32 %r0, %ra, %rb, %rc;", &[0x8000_0000, 1, 33], 3),
        ("shf.r.clamp.b32 %r0, %ra, %rb, %rc;", &[0xff, 0xab, 40], 0xab),
        ("shf.r.wrap.b32 %r0, %ra, %rb, %rc;", &[0xf0, 0xa, 4], 0xa000_000f),
        ("lop3.b32 %r0, %ra, %rb, %rc, 0x96;", &[0b1100, 0b1010, 0b0110], 0b0000),
        ("lop3.b32 %r0, %ra, %rb, %rc, 0xe8;", &[0b1100, 0b1010, 0b0110], 0b1110),
        ("prmt.b32 %r0, %ra, %rb, %rc;", &[0x3322_1100, 0x7766_5544, 0x7250], 0x7722_5500),
        ("prmt.b32 %r0, %ra, %rb, %rc;", &[0x8000_0080, 0, 0x0008], 0x8080_80ff),
    ]);
}

#[test]
fn bit_fields() {
    table(&[
        ("bfe.u32 %r0, %ra, %rb, %rc;", &[0xabcd_1234, 8, 8], 0x12),
        ("bfe.s32 %r0, %ra, %rb, %rc;", &[0x0000_f000, 12, 4], 0xffff_ffff),
        ("bfe.s32 %r0, %ra, %rb, %rc;", &[0x8000_0000, 28, 16], 0xffff_fff8),
        ("bfe.u32 %r0, %ra, %rb, %rc;", &[0xffff_ffff, 0, 0], 0),
        ("bfe.u64 %d0, %da, %rb, %rc;", &[0xab << 40, 40, 8], 0xab),
        ("bfi.b32 %r0, %ra, %rb, %rc, 8;", &[0xee, 0x1111_1111, 8], 0x1111_ee11),
        ("bfi.b32 %r0, %ra, %rb, %rc, 8;", &[0xee, 0x1111_1111, 32], 0x1111_1111),
        ("bfi.b64 %d0, %da, %db, %rc, 32;", &[5, 7, 32], 5 << 32 | 7),
        ("popc.b64 %r0, %da;", &[M], 64),
        ("popc.b32 %r0, %ra;", &[0xf0f0], 8),
        ("clz.b32 %r0, %ra;", &[1], 31),
        ("clz.b64 %r0, %da;", &[0], 64),
        ("brev.b32 %r0, %ra;", &[1], 0x8000_0000),
        ("bfind.u32 %r0, %ra;", &[0x100], 8),
        ("bfind.shiftamt.u32 %r0, %ra;", &[0x100], 23),
        ("bfind.s32 %r0, %ra;", &[0xffff_ff00], 7),
        ("bfind.u32 %r0, %ra;", &[0], 0xffff_ffff),
    ]);
}

#[test]
fn carries() {
    table(&[
        ("{ .reg .b32 %t; add.cc.u32 %t, %ra, %rb; } addc.u32 %r0, %rc, 0;", &[0xffff_ffff, 1, 7], 8),
        ("{ .reg .b32 %t; add.cc.u32 %t, %ra, %rb; } addc.u32 %r0, %rc, 0;", &[0xffff_fffe, 1, 7], 7),
        ("{ .reg .b32 %t; sub.cc.u32 %t, %ra, %rb; } subc.u32 %r0, %rc, 0;", &[0, 1, 7], 6),
        ("{ .reg .b32 %t; mad.lo.cc.u32 %t, %ra, %rb, %ra; } madc.hi.u32 %r0, %ra, %rb, %rc;", &[0xffff_ffff, 2, 1], 3),
        ("{ .reg .b64 %t; add.cc.u64 %t, %da, %db; } addc.u64 %d0, %dc, 0;", &[M, 1, 1], 2),
    ]);
}
