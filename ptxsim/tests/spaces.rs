//! State spaces and what threads of a block share: parameters, constants, local arrays, generic addresses, atomic
//! operations, barriers with a result, and races that only some orders of warps show.

use ptxsim::ast::Module;
use ptxsim::{Checks, Fault, FaultKind, GlobalMemory, Launch, Options, Program};

/// Runs a block of a kernel `k` with `parameters` behind the address of its output, a word for each thread.
fn run(variables: &str, declared: &str, body: &str, threads: u32, parameters: &[u8]) -> Result<Vec<u32>, Box<Fault>> {
    let text = format!(
        ".version 8.7 .target sm_80 .address_size 64
        {variables}
        .visible .entry k(.param .u64 to {declared})
        {{
        .local .align 16 .b8 depot[64]; .shared .align 16 .b8 tile[1024];
        .reg .b32 %y, %me, %warp, %r<20>; .reg .b64 %to, %at, %d<20>; .reg .pred %p<8>; .reg .b16 %h<4>;
        ld.param.u64 %to, [to]; mov.u32 %me, %tid.x; shr.u32 %warp, %me, 5; mul.wide.u32 %at, %me, 4; add.s64 %to, %to, %at;
        mov.u32 %y, 0;
        {body}
        st.global.b32 [%to], %y; ret;
        }}"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let program = Program::decode(&module).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let memory = GlobalMemory::new();
    let bytes = u64::from(4 * threads);
    let to = memory.allocate(bytes, "to").expect("little memory");
    let mut block = to.to_le_bytes().to_vec();
    block.extend_from_slice(parameters);
    let launch = Launch { grid: [1, 1, 1], block: [threads, 1, 1], parameters: block, ..Launch::default() };
    let options = Options { checks: Checks::all(), budget: Some(1 << 20), ..Options::default() };
    program.kernel("k")?.launch(&memory, &launch, &options)?;
    let mut out = vec![0; bytes as usize];
    memory.read(to, &mut out).expect("the output");
    Ok(out.chunks(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}

#[track_caller]
fn check(variables: &str, declared: &str, body: &str, parameters: &[u8], expected: impl Fn(u32) -> u32) {
    let found = run(variables, declared, body, 96, parameters).unwrap_or_else(|fault| panic!("{fault}\n{body}"));
    for (thread, found) in found.into_iter().enumerate() {
        assert_eq!(found, expected(thread as u32), "thread {thread}: {body}");
    }
}

/// The fault of a block of 96 threads, if any.
fn fault(body: &str) -> Option<FaultKind> {
    run("", "", body, 96, &[]).err().map(|fault| fault.kind)
}

#[test]
fn parameters_by_value_and_by_address() {
    // A structure of 20 bytes at offset 8, a byte, a half word: padding in between.
    let declared = ", .param .align 8 .b8 s[20], .param .u8 c, .param .u16 h";
    let mut block: Vec<u8> = (1..=5_u32).flat_map(|x| (x * 1000).to_le_bytes()).collect();
    block.extend([200, 0, 0xfe, 0xff]);
    check("", declared, "ld.param.u32 %y, [s+8];", &block, |_| 3000);
    check("", declared, "ld.param.u8 %y, [c];", &block, |_| 200);
    check("", declared, "ld.param.s8 %y, [c];", &block, |_| -56_i32 as u32);
    check("", declared, "ld.param.u16 %h1, [h]; cvt.s32.s16 %y, %h1;", &block, |_| -2_i32 as u32);
    check("", declared, "ld.param.v2.u32 {%r1, %r2}, [s]; add.u32 %y, %r1, %r2;", &block, |_| 3000);
    // By an address in a register, as for an index into an array of the structure.
    let indexed =
        "mov.b64 %d1, s; rem.u32 %r1, %me, 5; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2; ld.param.u32 %y, [%d1];";
    check("", declared, indexed, &block, |thread| (thread % 5 + 1) * 1000);
    let behind = run("", declared, "mov.b64 %d1, s; ld.param.u32 %y, [%d1+24];", 96, &block);
    assert_eq!(behind.err().map(|fault| fault.kind), Some(FaultKind::OutOfBounds));
}

#[test]
fn tables_local_arrays_and_generic_addresses() {
    let table = ".const .align 4 .b8 table[16] = {1, 0, 0, 0, 2, 1, 0, 0, 255, 255, 255, 255};
        .global .align 4 .u32 words[3] = {7, 8, 9};";
    let at = |name: &str| {
        format!("mov.u64 %d1, {name}; and.b32 %r1, %me, 3; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2;")
    };
    let values = [1, 258, u32::MAX, 0];
    check(table, "", &format!("{} ld.const.u32 %y, [%d1];", at("table")), &[], |thread| values[thread as usize % 4]);
    check(table, "", "ld.const.u8 %y, [table+5];", &[], |_| 1);
    check(table, "", "ld.global.u32 %y, [words+8];", &[], |_| 9);
    check(table, "", "mov.u64 %d1, words; cvta.global.u64 %d2, %d1; ld.u32 %y, [%d2+4];", &[], |_| 8);
    // Each thread has its own local array; lanes take different places of it.
    let local = "mov.u64 %d1, depot; cvta.local.u64 %d2, %d1; and.b32 %r1, %me, 15; mul.wide.u32 %d3, %r1, 4;
        add.s64 %d4, %d1, %d3; add.s64 %d5, %d2, %d3; mul.lo.u32 %r2, %me, 7;";
    check("", "", &format!("{local} st.local.u32 [%d4], %r2; ld.u32 %y, [%d5];"), &[], |thread| thread * 7);
    check("", "", &format!("{local} st.u32 [%d5], %r2; bar.sync 0; ld.local.u32 %y, [%d4];"), &[], |thread| thread * 7);
    // Generic addresses of two spaces within one warp.
    let both = "mov.u64 %d1, depot; cvta.local.u64 %d2, %d1; mov.u64 %d3, tile; cvta.shared.u64 %d4, %d3;
        mul.wide.u32 %d5, %me, 4; add.s64 %d4, %d4, %d5; and.b32 %r1, %me, 1; setp.eq.u32 %p1, %r1, 0;
        selp.b64 %d6, %d2, %d4, %p1; st.u32 [%d6], %me; ld.u32 %y, [%d6]; cvta.to.shared.u64 %d7, %d4;
        @!%p1 ld.shared.u32 %r3, [%d7]; @!%p1 add.u32 %y, %y, %r3;";
    check("", "", both, &[], |thread| if thread % 2 == 0 { thread } else { 2 * thread });
    assert_eq!(fault("mov.u64 %d1, depot; ld.local.u32 %y, [%d1+4];"), Some(FaultKind::Uninitialised));
    assert_eq!(fault("mov.u64 %d1, depot; st.local.u32 [%d1+64], %me;"), Some(FaultKind::OutOfBounds));
    assert_eq!(fault("mov.u64 %d1, depot; st.local.u32 [%d1+2], %me;"), Some(FaultKind::Misaligned));
}

#[test]
fn atomic_operations_and_barriers_with_a_result() {
    let start = "setp.eq.u32 %p1, %me, 0; @%p1 st.shared.u32 [tile], %r0; bar.sync 0;";
    let body = |first: u32, operation: &str| {
        format!("mov.u32 %r0, {first}; {start} {operation} bar.sync 0; ld.shared.u32 %y, [tile];")
    };
    let sum = 95 * 96 / 2;
    check("", "", &body(5, "red.shared.add.u32 [tile], %me;"), &[], |_| 5 + sum);
    check("", "", &body(5, "atom.shared.add.u32 %r1, [tile], %me;"), &[], |_| 5 + sum);
    check("", "", &body(5, "atom.shared.max.s32 %r1, [tile], %me;"), &[], |_| 95);
    check("", "", &body(5, "sub.s32 %r2, 3, %me; atom.shared.min.s32 %r1, [tile], %r2;"), &[], |_| -92_i32 as u32);
    check("", "", &body(5, "sub.s32 %r2, 3, %me; atom.shared.min.u32 %r1, [tile], %r2;"), &[], |_| 0);
    check("", "", &body(0, "atom.shared.or.b32 %r1, [tile], %me;"), &[], |_| 127);
    check("", "", &body(0, "atom.shared.inc.u32 %r1, [tile], 9;"), &[], |_| 96 % 10);
    check("", "", &body(7, "atom.shared.cas.b32 %r1, [tile], 7, 11;"), &[], |_| 11);
    // Every thread gets the value before its own turn: together they are all numbers below 96.
    let turns = format!("mov.u32 %r0, 0; {start} atom.shared.add.u32 %y, [tile], 1;");
    let mut found = run("", "", &turns, 96, &[]).unwrap_or_else(|fault| panic!("{fault}"));
    found.sort_unstable();
    assert_eq!(found, (0..96).collect::<Vec<u32>>());
    check("", "", "setp.lt.u32 %p1, %me, 40; bar.red.popc.u32 %y, 0, %p1;", &[], |_| 40);
    check("", "", "setp.lt.u32 %p1, %me, 40; bar.red.popc.u32 %y, 0, !%p1;", &[], |_| 56);
    check("", "", "setp.lt.u32 %p1, %me, 40; bar.red.or.pred %p2, 0, %p1; selp.b32 %y, 1, 0, %p2;", &[], |_| 1);
    check("", "", "setp.lt.u32 %p1, %me, 40; bar.red.and.pred %p2, 0, %p1; selp.b32 %y, 1, 0, %p2;", &[], |_| 0);
    check("", "", "setp.lt.u32 %p1, %me, 96; bar.red.and.pred %p2, 0, %p1; selp.b32 %y, 1, 0, %p2;", &[], |_| 1);
}

#[test]
fn races_and_barriers() {
    // Each thread writes its word and reads that of a thread `away`.
    let exchange = |barrier: &str, away: u32| {
        format!(
            "mov.u32 %r1, tile; mad.lo.u32 %r2, %me, 4, %r1; st.shared.u32 [%r2], %y; bar.sync 0;
            st.shared.u32 [%r2], %me; {barrier}
            add.u32 %r3, %me, {away}; rem.u32 %r3, %r3, 96; mad.lo.u32 %r4, %r3, 4, %r1; ld.shared.u32 %y, [%r4];"
        )
    };
    assert_eq!(fault(&exchange("bar.sync 0;", 33)), None);
    assert_eq!(fault(&exchange("", 0)), None);
    assert_eq!(fault(&exchange("", 1)), Some(FaultKind::SharedRace));
    assert_eq!(fault(&exchange("bar.warp.sync -1;", 32)), Some(FaultKind::SharedRace));
    // Read by all, then written by one, with no barrier in between.
    let overwritten = exchange("bar.sync 0;", 33) + "mov.u32 %r9, 0; st.shared.u32 [%r2], %r9;";
    assert_eq!(fault(&overwritten), Some(FaultKind::SharedRace));
    let ordered = exchange("bar.sync 0;", 33) + "bar.sync 0; mov.u32 %r9, 0; st.shared.u32 [%r2], %r9;";
    assert_eq!(fault(&ordered), None);
    // Barriers that some lanes or warps do not reach.
    assert_eq!(
        fault("and.b32 %r1, %me, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bar.sync 0;"),
        Some(FaultKind::DivergentBarrier)
    );
    assert_eq!(fault("setp.lt.u32 %p1, %me, 32; @%p1 bar.sync 0;"), Some(FaultKind::DivergentBarrier));
    assert_eq!(fault("setp.lt.u32 %p1, %me, 16; @%p1 bra skip; bar.sync 0; skip:"), Some(FaultKind::DivergentBarrier));
    assert_eq!(
        fault("and.b32 %r1, %me, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bar.warp.sync -1;"),
        Some(FaultKind::DivergentCollective)
    );
}

/// Warps 1 and 2 meet at a barrier of their own; warp 0 does not come. It has read what warp 2 writes in the end.
#[test]
fn a_read_is_not_forgotten_because_others_have_met() {
    let body = "mov.u32 %r1, tile; setp.eq.u32 %p1, %me, 0; @%p1 st.shared.u32 [%r1], %me; bar.sync 0;
        setp.eq.u32 %p2, %warp, 0; @%p2 bra first;
        bar.sync 1, 64; setp.eq.u32 %p3, %me, 32; @%p3 ld.shared.u32 %y, [%r1]; bar.sync 1, 64;
        setp.eq.u32 %p4, %me, 64; @%p4 st.shared.u32 [%r1], %me; bra.uni done;
        first: @%p1 ld.shared.u32 %y, [%r1]; done:";
    assert_eq!(fault(body), Some(FaultKind::SharedRace));
    let ordered = body.replace("done:", "done: bar.sync 0;").replace("@%p4 st.shared", "bar.sync 0; @%p4 st.shared");
    let ordered =
        ordered.replace("first: @%p1 ld.shared.u32 %y, [%r1];", "first: @%p1 ld.shared.u32 %y, [%r1]; bar.sync 0;");
    assert_eq!(fault(&ordered), None);
}
