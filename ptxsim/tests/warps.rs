//! Shuffles, votes, matches, reductions, matrices and asynchronous copies.

mod common;
use common::Bench;

fn words(body: &str) -> Vec<u32> {
    Bench::default().run(body).unwrap_or_else(|fault| panic!("{fault}\n{body}")).0[..32].to_vec()
}

fn lanes(f: impl Fn(u32) -> u32) -> Vec<u32> {
    (0..32).map(f).collect()
}

#[test]
fn shuffles() {
    let shuffle = |mode: &str, by: &str, clamp: &str| {
        words(&format!(
            "add.u32 %r2, %r1, 100; shfl.sync.{mode}.b32 %r3|%p1, %r2, {by}, {clamp}, -1;
             selp.u32 %r4, 1000, 0, %p1; add.u32 %r3, %r3, %r4; st.global.u32 [%d4], %r3;"
        ))
    };
    assert_eq!(shuffle("bfly", "16", "31"), lanes(|lane| 1100 + (lane ^ 16)));
    assert_eq!(shuffle("down", "3", "31"), lanes(|lane| if lane < 29 { 1103 + lane } else { 100 + lane }));
    assert_eq!(shuffle("up", "3", "0"), lanes(|lane| if lane >= 3 { 1097 + lane } else { 100 + lane }));
    assert_eq!(shuffle("idx", "5", "31"), lanes(|_| 1105));
    // Segments of 8 lanes: the clamp's upper byte holds 24, `idx` counts within the segment.
    assert_eq!(shuffle("idx", "2", "0x181f"), lanes(|lane| 1102 + lane / 8 * 8));
    assert_eq!(shuffle("down", "2", "0x1807"), lanes(|lane| if lane % 8 < 6 { 1102 + lane } else { 100 + lane }));
}

#[test]
fn votes_and_reductions() {
    let body = "setp.lt.u32 %p1, %r1, 5; vote.sync.ballot.b32 %r2, %p1, -1; vote.sync.any.pred %p2, %p1, -1;
        vote.sync.all.pred %p3, !%p1, -1; vote.sync.uni.pred %p4, %p1, -1; activemask.b32 %r3; redux.sync.add.s32 %r4, %r1, -1;
        redux.sync.max.u32 %r5, %r1, -1; and.b32 %r6, %r1, 3; match.any.sync.b32 %r7, %r6, -1; popc.b32 %r8, %r7;
        match.all.sync.b32 %r9|%p5, %r6, -1; selp.u32 %r10, 1, 0, %p2; selp.u32 %r11, 2, 0, %p3; add.u32 %r10, %r10, %r11;
        selp.u32 %r11, 4, 0, %p4; add.u32 %r10, %r10, %r11; selp.u32 %r11, 8, 0, %p5; add.u32 %r10, %r10, %r11;
        popc.b32 %r3, %r3; add.u32 %r10, %r10, %r3; add.u32 %r10, %r10, %r4; add.u32 %r10, %r10, %r5; add.u32 %r10, %r10, %r8;
        add.u32 %r10, %r10, %r2; add.u32 %r10, %r10, %r9; st.global.u32 [%d4], %r10;";
    // any + 32 active + sum 496 + most 31 + 8 alike + ballot 31
    assert_eq!(words(body), [1 + 32 + 496 + 31 + 8 + 31; 32]);
}

#[test]
fn masks_of_lanes() {
    let body = "mov.u32 %r2, %lanemask_lt; mov.u32 %r3, %lanemask_ge; xor.b32 %r2, %r2, %r3; mov.u32 %r4, %laneid;
        not.b32 %r2, %r2; add.u32 %r2, %r2, %r4; mov.u32 %r5, %warpid; add.u32 %r2, %r2, %r5; st.global.u32 [%d4], %r2;";
    assert_eq!(words(body), lanes(|lane| lane));
}

/// Lanes that part in loops of different lengths meet again behind them.
#[test]
fn lanes_meet_behind_loops_and_branches() {
    let body = "mov.u32 %r2, 0; mov.u32 %r3, 0;
        LOOP: setp.ge.u32 %p1, %r3, %r1; @%p1 bra DONE; add.u32 %r2, %r2, %r3; add.u32 %r3, %r3, 1;
        and.b32 %r4, %r3, 1; setp.eq.u32 %p2, %r4, 0; @%p2 bra LOOP; add.u32 %r2, %r2, 100; bra LOOP;
        DONE: redux.sync.add.u32 %r5, %r2, -1; st.global.u32 [%d4], %r5;";
    let each = |lane: u32| lane * lane.saturating_sub(1) / 2 + lane.div_ceil(2) * 100;
    assert_eq!(words(body), [(0..32).map(each).sum::<u32>(); 32]);
}

#[test]
fn matrices_of_eight_by_eight() {
    // The eight halves of row r of matrix m are 64 m + 8 r + column; lane l gives row l % 8 of matrix l / 8.
    let fill = "mul.lo.u32 %r2, %r1, 8; mov.u32 %r3, s; shl.b32 %r4, %r1, 4; add.u32 %r3, %r3, %r4; mov.u32 %r5, 0;
        FILL: add.u32 %r6, %r2, %r5; cvt.u16.u32 %h1, %r6; shl.b32 %r7, %r5, 1; add.u32 %r7, %r7, %r3; st.shared.u16 [%r7], %h1;
        add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 8; @%p1 bra FILL; bar.sync 0;";
    let plain = words(&format!(
        "{fill} ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r8, %r9, %r10, %r11}}, [%r3]; st.global.u32 [%d4], %r11;"
    ));
    assert_eq!(plain, lanes(|lane| (192 + 2 * lane) | (193 + 2 * lane) << 16));
    let turned = words(&format!(
        "{fill} ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{%r8, %r9}}, [%r3]; st.global.u32 [%d4], %r9;"
    ));
    assert_eq!(turned, lanes(|lane| (64 + lane % 4 * 16 + lane / 4) | (72 + lane % 4 * 16 + lane / 4) << 16));
}

/// A product in which every element of `a` and `b` counts differently, computed here from the layouts of the manual.
#[test]
fn matrix_product_of_bf16() {
    // a[m][k] = m + 1 at k = m only, and 2 at k = (m + 1) % 16; b[k][n] = k + 16 n: all exact in bf16 and float32.
    let bits = |x: u32| (x as f32).to_bits() >> 16;
    let a = |m: u32, k: u32| {
        if k == m {
            m + 1
        } else if k == (m + 1) % 16 {
            2
        } else {
            0
        }
    };
    let b = |k: u32, n: u32| k + 16 * n;
    let c = |m: u32, n: u32| 1000 * m + n;
    let mut body =
        String::from("and.b32 %r2, %r1, 3; shr.u32 %r3, %r1, 2; mul.wide.u32 %d6, %r1, 40; add.s64 %d6, %d6, %d3;");
    body += "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d6]; ld.global.v2.u32 {%r14, %r15}, [%d6+16]; ld.global.v4.u32 {%r16, %r17, %r18, %r19}, [%d6+24];";
    // Alignment: 40 bytes a lane are multiples of 8 only.
    let body = body
        .replace(
            "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d6];",
            "ld.global.v2.u32 {%r10, %r11}, [%d6]; ld.global.v2.u32 {%r12, %r13}, [%d6+8];",
        )
        .replace(
            "ld.global.v4.u32 {%r16, %r17, %r18, %r19}, [%d6+24];",
            "ld.global.v2.u32 {%r16, %r17}, [%d6+24]; ld.global.v2.u32 {%r18, %r19}, [%d6+32];",
        );
    // Each lane writes its own operands first: a table over lanes, chosen by `selp`.
    let mut write = String::from("mul.wide.u32 %d6, %r1, 40; add.s64 %d6, %d6, %d3;");
    for lane in 0..32u32 {
        let (g, t) = (lane / 4, lane % 4);
        let pair = |low: u32, high: u32| bits(low) | bits(high) << 16;
        let words = [
            pair(a(g, 2 * t), a(g, 2 * t + 1)),
            pair(a(g + 8, 2 * t), a(g + 8, 2 * t + 1)),
            pair(a(g, 2 * t + 8), a(g, 2 * t + 9)),
            pair(a(g + 8, 2 * t + 8), a(g + 8, 2 * t + 9)),
            pair(b(2 * t, g), b(2 * t + 1, g)),
            pair(b(2 * t + 8, g), b(2 * t + 9, g)),
            (c(g, 2 * t) as f32).to_bits(),
            (c(g, 2 * t + 1) as f32).to_bits(),
            (c(g + 8, 2 * t) as f32).to_bits(),
            (c(g + 8, 2 * t + 1) as f32).to_bits(),
        ];
        write += &format!("setp.eq.u32 %p1, %r1, {lane};\n");
        for (at, word) in words.iter().enumerate() {
            write += &format!("@%p1 st.global.u32 [%d6+{}], {word};\n", 4 * at);
        }
    }
    let multiply = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r20, %r21, %r22, %r23}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%r16, %r17, %r18, %r19};
        mul.wide.u32 %d7, %r1, 16; add.s64 %d7, %d7, %d1; st.global.v4.f32 [%d7], {%r20, %r21, %r22, %r23};";
    let found = Bench::default().run(&format!("{write}{body}{multiply}")).unwrap().0;
    for lane in 0..32u32 {
        for e in 0..4 {
            let (m, n) = (lane / 4 + 8 * (e / 2), 2 * (lane % 4) + e % 2);
            let expected = c(m, n) + (0..16).map(|k| a(m, k) * b(k, n)).sum::<u32>();
            assert_eq!(f32::from_bits(found[(4 * lane + e) as usize]), expected as f32, "row {m}, column {n}");
        }
    }
}

#[test]
fn matrix_product_of_tf32() {
    // a[m][k] = m + k, given by lane and register as the manual has it; b is 1 where k == n, so d[m][n] = m + n.
    let body = "and.b32 %r2, %r1, 3; shr.u32 %r3, %r1, 2; add.u32 %r4, %r3, %r2; cvt.rn.f32.u32 %r10, %r4; add.u32 %r5, %r4, 8;
        cvt.rn.f32.u32 %r11, %r5; add.u32 %r5, %r4, 4; cvt.rn.f32.u32 %r12, %r5; add.u32 %r5, %r4, 12; cvt.rn.f32.u32 %r13, %r5;
        set.eq.f32.u32 %r14, %r2, %r3; add.u32 %r6, %r2, 4; set.eq.f32.u32 %r15, %r6, %r3; mov.f32 %r16, 0f00000000;
        mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r20, %r21, %r22, %r23}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%r16, %r16, %r16, %r16};
        mul.wide.u32 %d7, %r1, 16; add.s64 %d7, %d7, %d1; st.global.v4.f32 [%d7], {%r20, %r21, %r22, %r23};";
    let found = Bench::default().run(body).unwrap().0;
    for lane in 0..32u32 {
        for e in 0..4 {
            let (m, n) = (lane / 4 + 8 * (e / 2), 2 * (lane % 4) + e % 2);
            assert_eq!(f32::from_bits(found[(4 * lane + e) as usize]), (m + n) as f32, "row {m}, column {n}");
        }
    }
}

#[test]
fn asynchronous_copies() {
    // 16 bytes a lane in two groups; of every second lane only 8 bytes, the rest zeros.
    let body = "shl.b32 %r2, %r1, 4; mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cvt.u64.u32 %d6, %r2; add.s64 %d6, %d6, %d2;
        and.b32 %r4, %r1, 1; shl.b32 %r4, %r4, 3; add.u32 %r4, %r4, 8;
        cp.async.cg.shared.global [%r3], [%d6], 16, %r4; cp.async.commit_group;
        cp.async.ca.shared.global [%r3+1024], [%d6+8], 8; cp.async.commit_group;
        cp.async.wait_group 1; bar.sync 0; sub.u32 %r5, 496, %r2; mov.u32 %r6, s; add.u32 %r6, %r6, %r5; ld.shared.u32 %r7, [%r6+8];
        cp.async.wait_group 0; bar.sync 0; ld.shared.u32 %r8, [%r6+1024]; add.u32 %r7, %r7, %r8; st.global.u32 [%d4], %r7;";
    // Lane l reads what lane 31 - l copied: its third word, if whole, and the same word of the second copy.
    let expected = lanes(|lane| {
        let from = 31 - lane;
        4 * from + 2 + if from % 2 == 1 { 4 * from + 2 } else { 0 }
    });
    assert_eq!(words(body), expected);
}
