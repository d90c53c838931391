//! Loads and stores in every state space, atomics, variables of the module.

mod common;
use common::{Bench, kernel};

fn words(body: &str) -> Vec<u32> {
    Bench::default().run(body).unwrap_or_else(|fault| panic!("{fault}\n{body}")).0
}

#[test]
fn vectors_go_out_as_they_came_in() {
    // Threads in reverse, so that no address follows the one before: 8 words each, by 16, 8 and 4 bytes.
    let body = "sub.u32 %r2, 31, %r1; mul.wide.u32 %d6, %r2, 32; add.s64 %d7, %d2, %d6; add.s64 %d8, %d1, %d6;
        ld.global.nc.v4.u32 {%r4, %r5, %r6, %r7}, [%d7]; ld.global.v2.u64 {%d9, %d10}, [%d7+16];
        st.global.v2.f32 [%d8], {%r4, %r5}; st.global.v2.f32 [%d8+8], {%r6, %r7}; st.global.v2.b64 [%d8+16], {%d9, %d10};";
    assert_eq!(words(body)[..256], (0..256).collect::<Vec<u32>>());
    let forward = body.replace("sub.u32 %r2, 31, %r1", "mov.u32 %r2, %r1");
    assert_eq!(words(&forward)[..256], (0..256).collect::<Vec<u32>>());
}

#[test]
fn narrow_values_are_extended_by_their_type() {
    // Byte 0 of word 255 is 0xff, half 0 of word 0x8001 is beyond the buffer, so it is written first.
    let body = "setp.ne.u32 %p1, %r1, 0; @%p1 bra END;
        mov.u32 %r2, 0x8001ff80; st.global.u32 [%d3], %r2;
        ld.global.s8 %r3, [%d3]; st.global.u32 [%d1], %r3; ld.global.u8 %r3, [%d3]; st.global.u32 [%d1+4], %r3;
        ld.global.s16 %r3, [%d3+2]; st.global.u32 [%d1+8], %r3; ld.global.u16 %h1, [%d3+2]; st.global.u16 [%d1+12], %h1;
        ld.global.s32 %d6, [%d3]; st.global.u64 [%d1+16], %d6; st.global.u8 [%d1+24], %r2;
        ld.global.v4.u8 {%h2, %h3, %h4, %h5}, [%d3]; mov.b64 %d7, {%h2, %h3, %h4, %h5}; st.global.u64 [%d1+32], %d7;
        ld.global.v4.u16 {%h2, _, %h4, %h5}, [%d2]; st.global.v2.u16 [%d1+40], {%h2, %h4};
    END:";
    let found = words(body);
    assert_eq!(found[..4], [0xffff_ff80, 0x80, 0xffff_8001, 0x8001]);
    assert_eq!(found[4..7], [0x8001_ff80, 0xffff_ffff, 0x80]);
    assert_eq!(found[8..10], [0x00ff_0080, 0x0080_0001]);
    assert_eq!(found[10], 0x0001_0000);
}

#[test]
fn every_state_space() {
    // Shared, local, parameters by register, generic addresses of all of them, and the number of the window.
    let body = "shl.b32 %r2, %r1, 2; mov.u32 %r3, s; add.u32 %r3, %r3, %r2; st.shared.u32 [%r3], %r1; bar.sync 0;
        xor.b32 %r4, %r2, 4; mov.u32 %r5, s; add.u32 %r5, %r5, %r4; ld.shared.u32 %r6, [%r5];
        mov.u64 %d6, l; cvt.u64.u32 %d7, %r1; and.b64 %d7, %d7, 3; shl.b64 %d7, %d7, 2; add.s64 %d6, %d6, %d7;
        st.local.u32 [%d6], %r6; cvta.local.u64 %d8, %d6; ld.u32 %r7, [%d8];
        cvt.u64.u32 %d9, %r3; cvta.shared.u64 %d9, %d9; ld.u32 %r8, [%d9]; cvta.to.shared.u64 %d10, %d9; ld.shared.u32 %r9, [%d10];
        mov.b64 %d11, b; ld.param.u64 %d12, [%d11]; sub.s64 %d12, %d12, %d2; cvt.u32.u64 %r10, %d12;
        isspacep.shared %p1, %d9; isspacep.global %p2, %d1; and.pred %p1, %p1, %p2; selp.u32 %r11, 1, 0, %p1;
        shl.b32 %r7, %r7, 8; add.u32 %r7, %r7, %r8; shl.b32 %r7, %r7, 8; add.u32 %r7, %r7, %r9; add.u32 %r7, %r7, %r10;
        shl.b32 %r7, %r7, 1; or.b32 %r7, %r7, %r11; st.u32 [%d4], %r7;";
    for (thread, word) in words(body)[..32].iter().enumerate() {
        let (thread, other) = (thread as u32, thread as u32 ^ 1);
        assert_eq!(*word, (other << 16 | thread << 8 | thread) << 1 | 1, "thread {thread}");
    }
}

#[test]
fn dynamic_shared_memory_follows_the_static() {
    let body = "mov.u32 %r2, dyn; add.u32 %r2, %r2, %r1; st.shared.u8 [%r2], %r1; bar.sync 0; ld.shared.u8 %r3, [%r2];
        mov.u32 %r4, %dynamic_smem_size; shl.b32 %r4, %r4, 8; or.b32 %r3, %r3, %r4; st.global.u32 [%d4], %r3; mov.u32 %r5, s;";
    let bench = Bench { dynamic_shared: 32, ..Bench::default() };
    let found = bench.run(body).unwrap().0;
    assert_eq!(found[..32], (0..32).map(|thread| 32 << 8 | thread).collect::<Vec<u32>>());
    let short = Bench { dynamic_shared: 31, ..Bench::default() }.fault(body);
    assert_eq!(short.kind, ptxsim::FaultKind::OutOfBounds);
    assert_eq!(short.thread, Some([31, 0, 0]));
}

#[test]
fn variables_of_the_module() {
    let body = "mov.u64 %d6, table; add.s64 %d7, %d6, 4; ld.global.u32 %r2, [%d7]; ld.const.u32 %r3, [fixed+8];
        add.u32 %r2, %r2, %r3; ld.global.u32 %r4, [table]; add.u32 %r2, %r2, %r4; st.global.u32 [%d4], %r2;";
    let text = kernel(body).replace(
        ".extern",
        ".global .align 4 .u32 table[2] = {7, 100};\n.const .align 4 .u32 fixed[3] = {1, 2, 3000};\n.extern",
    );
    assert_eq!(Bench::default().run_text(&text).unwrap().0[..32], [3107; 32]);
    let wrong = Bench::default().run_text(&text.replace("st.global.u32 [%d4]", "st.global.u32 [%d7]")).unwrap_err();
    assert_eq!((wrong.kind, wrong.buffer.as_deref()), (ptxsim::FaultKind::ReadOnly, Some("table")));
}

#[test]
fn atomics() {
    let body = "atom.global.add.u32 %r2, [%d1], 2; add.u32 %r3, %r2, 4; cvt.u64.u32 %d6, %r3; shl.b64 %d6, %d6, 1;
        red.global.max.s32 [%d1+4], %r1; red.global.or.b32 [%d1+8], %r1; atom.global.cas.b32 %r4, [%d1+12], %r1, 5;
        mov.f32 %r5, 0f3F000000; red.global.add.f32 [%d1+16], %r5; red.global.add.u64 [%d1+24], 1;
        atom.global.inc.u32 %r6, [%d1+32], 4; atom.global.exch.b32 %r7, [%d1+36], %r1; red.global.min.u32 [%d1+40], %r1;
        add.s64 %d7, %d1, %d6; st.global.u32 [%d7+56], %r1;";
    let found = words(body);
    assert_eq!(found[..4], [64, 31, 31, 5]);
    assert_eq!(f32::from_bits(found[4]), 16.0);
    assert_eq!(found[6..11], [32, 0, 2, 31, 0]);
    // Each thread got an old value of its own.
    assert_eq!(found[16..48], (0..32).collect::<Vec<u32>>());
    let counted = words(
        "mov.u32 %r2, s; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r2], 0; bar.sync 0;
        atom.shared.add.u32 %r3, [%r2], 3; bar.sync 0; ld.shared.u32 %r4, [%r2]; st.global.u32 [%d4], %r4;",
    );
    assert_eq!(counted[..32], [96; 32]);
}

#[test]
fn packing() {
    let body = "mov.b32 {%h1, %h2}, %r1; mov.b32 %r2, {%h2, %h1}; mov.b64 %d6, {%r2, %r1}; mov.b64 {_, %r4}, %d6;
        mov.b64 {%h3, %h4, %h5, %h6}, %d6; cvt.u32.u16 %r5, %h4; add.u32 %r5, %r5, %r4; st.global.u32 [%d4], %r5;";
    assert_eq!(words(body)[..32], (0..32).map(|thread| 2 * thread).collect::<Vec<u32>>());
}
