//! Each check catches a small kernel that commits just this fault, and lets its clean twin pass.

mod common;
use common::Bench;
use ptxsim::FaultKind::{self, *};
use ptxsim::{Checks, Options};

/// The faulty body has this kind of fault, at the instruction that begins so, in this thread; the clean one has none.
fn caught(bench: &Bench, kind: FaultKind, at: &str, thread: Option<[u32; 3]>, faulty: &str, clean: &str) {
    let fault = bench.fault(faulty);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.instruction.contains(at), "{fault}");
    assert!(fault.ptx_line > 0 && fault.block.is_some(), "{fault}");
    if thread.is_some() {
        assert_eq!(fault.thread, thread, "{fault}");
    }
    for seed in [None, Some(1), Some(2)] {
        let options = Options { seed, ..bench.options.clone() };
        let bench = Bench { options, ..*bench };
        if let Err(fault) = bench.run(clean) {
            panic!("the clean twin, seed {seed:?}: {fault}");
        }
    }
}

fn one() -> Bench {
    Bench::default()
}

fn two_warps() -> Bench {
    Bench { block: 64, ..Bench::default() }
}

fn two_blocks() -> Bench {
    Bench { grid: 2, ..Bench::default() }
}

#[test]
fn out_of_bounds() {
    let global = "ld.global.u32 %r2, [%d4+AT]; st.global.u32 [%d4], %r2;";
    caught(
        &one(),
        OutOfBounds,
        "ld.global",
        Some([31, 0, 0]),
        &global.replace("AT", "3972"),
        &global.replace("AT", "3968"),
    );
    let before = "ld.global.u32 %r2, [%d4+AT]; st.global.u32 [%d5], %r2;";
    caught(&one(), OutOfBounds, "ld.global", Some([0, 0, 0]), &before.replace("AT", "-4"), &before.replace("AT", "4"));
    let store = "st.global.v4.u32 [%d1+AT], {%r1, %r1, %r1, %r1};";
    let only = |text: &str| format!("setp.eq.u32 %p1, %r1, 3; @%p1 {text}");
    caught(
        &one(),
        OutOfBounds,
        "st.global",
        Some([3, 0, 0]),
        &only(&store.replace("AT", "4096")),
        &only(&store.replace("AT", "4080")),
    );
    let shared = "mov.u32 %r2, s; shl.b32 %r3, %r1, 2; add.u32 %r2, %r2, %r3; st.shared.u32 [%r2+AT], %r1;";
    caught(
        &one(),
        OutOfBounds,
        "st.shared",
        Some([31, 0, 0]),
        &shared.replace("AT", "1924"),
        &shared.replace("AT", "1920"),
    );
    let local = "mov.u64 %d6, l; st.local.u32 [%d6+AT], %r1;";
    caught(&one(), OutOfBounds, "st.local", Some([0, 0, 0]), &local.replace("AT", "64"), &local.replace("AT", "60"));
    let parameter = "mov.b64 %d6, a; ld.param.u32 %r2, [%d6+AT];";
    caught(
        &one(),
        OutOfBounds,
        "ld.param",
        Some([0, 0, 0]),
        &parameter.replace("AT", "24"),
        &parameter.replace("AT", "20"),
    );
    let generic = "mov.u64 %d6, s; cvta.shared.u64 %d6, %d6; setp.eq.u32 %p1, %r1, 9; @%p1 st.u32 [%d6+AT], %r1;";
    caught(
        &one(),
        OutOfBounds,
        "st.u32",
        Some([9, 0, 0]),
        &generic.replace("AT", "2048"),
        &generic.replace("AT", "2044"),
    );
    let fault = one().fault(&global.replace("AT", "3972"));
    assert_eq!(fault.buffer.as_deref(), Some("alpha"));
    assert!(fault.to_string().contains("at byte 4096 of alpha (4096 bytes)"), "{fault}");
}

#[test]
fn misaligned() {
    let global = "ld.global.u32 %r2, [%d2+AT];";
    caught(&one(), Misaligned, "ld.global", Some([0, 0, 0]), &global.replace("AT", "2"), &global.replace("AT", "4"));
    let vector = "mov.u32 %r2, s; setp.eq.u32 %p1, %r1, 2; @%p1 st.shared.v4.u32 [%r2+AT], {%r1, %r1, %r1, %r1};";
    caught(&one(), Misaligned, "st.shared", Some([2, 0, 0]), &vector.replace("AT", "8"), &vector.replace("AT", "16"));
    let copy =
        "mov.u32 %r2, s; shl.b32 %r3, %r1, 4; add.u32 %r2, %r2, %r3; mul.wide.u32 %d6, %r1, 16; add.s64 %d6, %d6, %d2;
        cp.async.cg.shared.global [%r2], [%d6+AT], 16; cp.async.wait_all;";
    caught(&one(), Misaligned, "cp.async", Some([0, 0, 0]), &copy.replace("AT", "8"), &copy.replace("AT", "32"));
}

#[test]
fn uninitialised() {
    let shared = "mov.u32 %r2, s; shl.b32 %r3, %r1, 2; add.u32 %r2, %r2, %r3; GUARD st.shared.u32 [%r2], %r1;
        bar.sync 0; ld.shared.u32 %r4, [%r2]; st.global.u32 [%d4], %r4;";
    let faulty = shared.replace("GUARD", "setp.ne.u32 %p1, %r1, 7; @%p1");
    caught(&one(), Uninitialised, "ld.shared", Some([7, 0, 0]), &faulty, &shared.replace("GUARD", ""));
    let half = "mov.u64 %d6, l; cvt.u16.u32 %h1, %r1; st.local.u16 [%d6], %h1; MORE ld.local.u32 %r2, [%d6];";
    caught(
        &one(),
        Uninitialised,
        "ld.local",
        Some([0, 0, 0]),
        &half.replace("MORE", ""),
        &half.replace("MORE", "st.local.u16 [%d6+2], %h1;"),
    );
    let register = "GUARD mov.u32 %r3, 5; add.u32 %r4, %r3, 1;";
    let faulty = register.replace("GUARD", "setp.lt.u32 %p1, %r1, 9; @%p1");
    caught(&one(), UninitialisedRegister, "add.u32", Some([9, 0, 0]), &faulty, &register.replace("GUARD", ""));
    // A copy of what was never written is allowed; its use is not.
    let copied = "mov.u32 %r5, %r3; USE";
    caught(
        &one(),
        UninitialisedRegister,
        "add.u32",
        Some([0, 0, 0]),
        &copied.replace("USE", "add.u32 %r6, %r5, 1;"),
        &copied.replace("USE", ""),
    );
    // Both ways write it: nothing is wrong, and nothing has to be looked at while it runs.
    let both = "setp.lt.u32 %p1, %r1, 9; @%p1 bra LOW; WRITE bra END; LOW: mov.u32 %r3, 2; END: add.u32 %r4, %r3, 1;";
    caught(
        &one(),
        UninitialisedRegister,
        "add.u32",
        Some([9, 0, 0]),
        &both.replace("WRITE", ""),
        &both.replace("WRITE", "mov.u32 %r3, 1;"),
    );
}

#[test]
fn shared_races() {
    // Each thread writes its word and reads another's: from the other warp a block barrier is needed, within a warp a
    // warp barrier.
    let exchange = "mov.u32 %r2, s; shl.b32 %r3, %r1, 2; add.u32 %r4, %r2, %r3; st.shared.u32 [%r4], %r1; WAIT
        xor.b32 %r5, %r3, OTHER; add.u32 %r5, %r5, %r2; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d4], %r6;";
    // Warp 0 reads what warp 1 has not yet written; the race shows when it does.
    let far = exchange.replace("OTHER", "128");
    let unsafe_far = Bench {
        options: Options { checks: Checks { initialisation: false, ..Checks::all() }, ..two_warps().options },
        ..two_warps()
    };
    caught(
        &unsafe_far,
        SharedRace,
        "st.shared",
        Some([32, 0, 0]),
        &far.replace("WAIT", ""),
        &far.replace("WAIT", "bar.sync 0;"),
    );
    caught(
        &unsafe_far,
        SharedRace,
        "st.shared",
        Some([32, 0, 0]),
        &far.replace("WAIT", "bar.warp.sync -1;"),
        &far.replace("WAIT", "barrier.sync 3, 64;"),
    );
    let near = exchange.replace("OTHER", "4");
    caught(
        &one(),
        SharedRace,
        "ld.shared",
        Some([0, 0, 0]),
        &near.replace("WAIT", ""),
        &near.replace("WAIT", "bar.warp.sync -1;"),
    );
    // Two threads write one word.
    let write = "mov.u32 %r2, s; shr.u32 %r3, %r1, SHIFT; shl.b32 %r3, %r3, 2; add.u32 %r2, %r2, %r3; st.shared.u32 [%r2], %r1;";
    caught(
        &two_warps(),
        SharedRace,
        "st.shared",
        Some([1, 0, 0]),
        &write.replace("SHIFT", "1"),
        &write.replace("SHIFT", "0"),
    );
    // Written again while others may still read: the loop's second barrier is missing.
    let again = "mov.u32 %r2, s; setp.ne.u32 %p1, %r1, 0; @!%p1 st.shared.u32 [%r2], 1; bar.sync 0; ld.shared.u32 %r3, [%r2]; WAIT
        @!%p1 st.shared.u32 [%r2], 2;";
    caught(
        &two_warps(),
        SharedRace,
        "st.shared.u32 [%r2], 2",
        None,
        &again.replace("WAIT", ""),
        &again.replace("WAIT", "bar.sync 0;"),
    );
    // Bytes of one word belong to different threads: no race.
    let bytes = "mov.u32 %r2, s; add.u32 %r2, %r2, %r1; st.shared.u8 [%r2], %r1; AND";
    caught(
        &two_warps(),
        SharedRace,
        "st.shared.u16",
        None,
        &bytes.replace("AND", "and.b32 %r2, %r2, 0xfffe; cvt.u16.u32 %h1, %r1; st.shared.u16 [%r2], %h1;"),
        &bytes.replace("AND", ""),
    );
    // Atomics do not race with one another, but with a plain write.
    let atomic = "mov.u32 %r2, s; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r2], 0; bar.sync 0; WHAT";
    caught(
        &two_warps(),
        SharedRace,
        "",
        None,
        &atomic.replace(
            "WHAT",
            "atom.shared.add.u32 %r3, [%r2], 1; setp.eq.u32 %p2, %r1, 40; @%p2 st.shared.u32 [%r2], 0;",
        ),
        &atomic.replace("WHAT", "atom.shared.add.u32 %r3, [%r2], 1;"),
    );
}

#[test]
fn races_between_blocks() {
    let own = "mov.u32 %r2, %ctaid.x; mul.wide.u32 %d6, %r2, STEP; add.s64 %d6, %d6, %d4; st.global.u32 [%d6], %r1;";
    caught(
        &two_blocks(),
        GlobalRace,
        "st.global",
        Some([0, 0, 0]),
        &own.replace("STEP", "0"),
        &own.replace("STEP", "128"),
    );
    let read = "mov.u32 %r2, %ctaid.x; setp.eq.u32 %p1, %r2, 0; @%p1 ld.global.u32 %r3, [%d4]; @!%p1 st.global.u32 [FROM], %r1;";
    caught(
        &two_blocks(),
        GlobalRace,
        "st.global",
        Some([0, 0, 0]),
        &read.replace("FROM", "%d4"),
        &read.replace("FROM", "%d5"),
    );
    let atomic = "WHAT.global.add.u32 %r3, [%d1], 1; AND";
    let atomic = atomic.replace("WHAT", "atom");
    caught(
        &two_blocks(),
        GlobalRace,
        "atom",
        Some([0, 0, 0]),
        &atomic.replace("AND", "ld.global.u32 %r4, [%d1];"),
        &atomic.replace("AND", ""),
    );
    // Another block's write is named.
    let fault = two_blocks().fault(&own.replace("STEP", "0"));
    assert!(fault.to_string().contains("written by block (0, 0, 0)") && fault.block == Some([1, 0, 0]), "{fault}");
}

#[test]
fn divergent_collectives() {
    let shuffle = "setp.lt.u32 %p1, %r1, LANES; @!%p1 bra END; shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1; END:";
    caught(
        &one(),
        DivergentCollective,
        "shfl",
        Some([16, 0, 0]),
        &shuffle.replace("LANES", "16"),
        &shuffle.replace("LANES", "32"),
    );
    // With the mask of those that take part, it is right.
    let part = "setp.lt.u32 %p1, %r1, 16; @!%p1 bra END; shfl.sync.bfly.b32 %r2, %r1, MASK; END:";
    caught(
        &one(),
        Undefined,
        "shfl",
        None,
        &part.replace("MASK", "16, 31, 0xffff"),
        &part.replace("MASK", "1, 31, 0xffff"),
    );
    let matrix = "mov.u32 %r2, s; shl.b32 %r3, %r1, 4; add.u32 %r2, %r2, %r3; st.shared.v4.u32 [%r2], {%r1, %r1, %r1, %r1}; bar.sync 0;
        setp.ne.u32 %p1, %r1, LANE; @!%p1 bra END; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [%r2]; END:";
    caught(
        &one(),
        DivergentCollective,
        "ldmatrix",
        Some([9, 0, 0]),
        &matrix.replace("LANE", "9"),
        &matrix.replace("LANE", "99"),
    );
    let uniform = "setp.lt.u32 %p1, %r1, LANES; @%p1 bra.uni END; add.u32 %r2, %r1, 1; END:";
    caught(
        &one(),
        DivergentCollective,
        "bra.uni",
        None,
        &uniform.replace("LANES", "16"),
        &uniform.replace("LANES", "32"),
    );
}

#[test]
fn divergent_barriers() {
    let lanes = "setp.lt.u32 %p1, %r1, LANES; @!%p1 bra END; bar.sync 0; END:";
    caught(
        &one(),
        DivergentBarrier,
        "bar.sync",
        Some([16, 0, 0]),
        &lanes.replace("LANES", "16"),
        &lanes.replace("LANES", "32"),
    );
    // A whole warp leaves while the other waits.
    let warps = "setp.lt.u32 %p1, %r1, LANES; @!%p1 bra END; bar.sync 0; END:";
    caught(
        &two_warps(),
        DivergentBarrier,
        "bar.sync",
        None,
        &warps.replace("LANES", "32"),
        &warps.replace("LANES", "64"),
    );
    // Lanes leave before the barrier.
    let left = "setp.ge.u32 %p1, %r1, LANES; @%p1 exit; bar.sync 0;";
    caught(
        &two_warps(),
        DivergentBarrier,
        "bar.sync",
        Some([40, 0, 0]),
        &left.replace("LANES", "40"),
        &left.replace("LANES", "64"),
    );
    // Two warps at different barriers.
    let numbers = "shr.u32 %r2, %r1, 5; mul.lo.u32 %r2, %r2, STEP; bar.sync %r2;";
    caught(
        &two_warps(),
        DivergentBarrier,
        "bar.sync",
        None,
        &numbers.replace("STEP", "1"),
        &numbers.replace("STEP", "0"),
    );
}

#[test]
fn asynchronous_copies() {
    let copy = "shl.b32 %r2, %r1, 4; mov.u32 %r3, s; add.u32 %r3, %r3, %r2; cvt.u64.u32 %d6, %r2; add.s64 %d6, %d6, %d2;
        cp.async.cg.shared.global [%r3], [%d6], 16; cp.async.commit_group; WAIT MEET xor.b32 %r4, %r2, OTHER; mov.u32 %r5, s; add.u32 %r5, %r5, %r4; ld.shared.u32 %r6, [%r5];";
    let own = copy.replace("MEET", "").replace("OTHER", "0");
    caught(
        &one(),
        AsyncCopy,
        "ld.shared",
        Some([0, 0, 0]),
        &own.replace("WAIT", ""),
        &own.replace("WAIT", "cp.async.wait_group 0;"),
    );
    caught(
        &one(),
        AsyncCopy,
        "ld.shared",
        Some([0, 0, 0]),
        &own.replace("WAIT", "cp.async.wait_group 1;"),
        &own.replace("WAIT", "cp.async.wait_all;"),
    );
    // Waited for by the thread that copied, but not met by the one that reads.
    let other = copy.replace("WAIT", "cp.async.wait_group 0;").replace("OTHER", "512");
    let bench = Bench {
        options: Options { checks: Checks { initialisation: false, ..Checks::all() }, ..two_warps().options },
        ..two_warps()
    };
    caught(
        &bench,
        SharedRace,
        "cp.async",
        Some([32, 0, 0]),
        &other.replace("MEET", ""),
        &other.replace("MEET", "bar.sync 0;"),
    );
    // The barrier comes before the wait.
    let early = copy.replace("WAIT", "bar.sync 0; cp.async.wait_group 0;").replace("OTHER", "512");
    caught(&bench, SharedRace, "", None, &early.replace("MEET", ""), &early.replace("MEET", "bar.sync 0;"));
    let beyond = copy.replace("WAIT", "cp.async.wait_all;").replace("MEET", "").replace("OTHER", "0");
    caught(
        &one(),
        OutOfBounds,
        "cp.async",
        Some([31, 0, 0]),
        &beyond.replace("[%d6], 16", "[%d6+3600], 16"),
        &beyond.replace("[%d6], 16", "[%d6+3584], 16"),
    );
}

#[test]
fn endless_loops_and_traps() {
    let again = "mov.u32 %r2, 0; LOOP: add.u32 %r2, %r2, 1; setp.ne.u32 %p1, %r2, MOST; @%p1 bra LOOP;";
    caught(&one(), Budget, "", None, &again.replace("MOST", "0"), &again.replace("MOST", "100"));
    let trap = "setp.eq.u32 %p1, %r1, LANE; @%p1 trap;";
    caught(&one(), Trap, "trap", Some([5, 0, 0]), &trap.replace("LANE", "5"), &trap.replace("LANE", "77"));
}

/// Checks that are off do not speak.
#[test]
fn checks_can_be_left_out() {
    let bench = Bench { options: Options { checks: Checks::none(), ..Options::default() }, ..two_warps() };
    for body in [
        "mov.u32 %r2, s; ld.shared.u32 %r3, [%r2];",
        "add.u32 %r4, %r3, 1;",
        "mov.u32 %r2, s; st.shared.u32 [%r2], %r1;",
        "setp.lt.u32 %p1, %r1, 16; @!%p1 bra END; shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1; END:",
    ] {
        bench.run(body).unwrap_or_else(|fault| panic!("{fault}\n{body}"));
    }
}
