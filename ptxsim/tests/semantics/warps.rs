//! What lanes do together: shuffles, votes, matrices, asynchronous copies, parting and meeting again.

use ptxsim::FaultKind;

use crate::lane::{ran, run, words};

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
