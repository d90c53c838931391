//! What a launch is given and gives back: parameters, views, order by seed, threads, counters, refusals.

mod common;
use common::{Bench, kernel};
use ptxsim::{Checks, DecodeError, FaultKind, GlobalMemory, Launch, Module, Options, Program, Traffic, View, Work};

fn refused(body: &str) -> DecodeError {
    let module = Module::parse(&kernel(body)).unwrap_or_else(|error| panic!("{error}"));
    match Program::decode(&module) {
        Ok(_) => panic!("accepted: {body}"),
        Err(error) => error,
    }
}

#[test]
fn what_is_not_known_is_refused() {
    for (body, expected) in [
        ("frobnicate.u32 %r2, %r1;", "opcode frobnicate"),
        ("add.wrong.s32 %r2, %r1, 1;", ".wrong"),
        ("add.s32.ftz %r2, %r1, 1;", ".ftz"),
        ("add.rn.s32 %r2, %r1, 1;", ".rn"),
        ("add.s32 %r2, %r1;", "2 operands, expected 3"),
        ("add.s32 %r2, %d1, 1;", "has 64 bits, the instruction 32"),
        ("add.s32 %r2, %r1, 4294967296;", "does not fit 32 bits"),
        ("add.s32 %r2, %p1, 1;", "is a predicate"),
        ("add.s32 %r2, %r1, %r999;", "%r999"),
        ("mul.s32 %r2, %r1, 3;", "lo"),
        ("fma.f32 %r2, %r1, %r1, %r1;", "rn"),
        ("setp.lt.b32 %p1, %r1, 3;", "comparison .lt"),
        ("cvt.f32.s32 %r2, %r1;", ".rn"),
        ("cvt.rn.satfinite.bf16.f32 %h1, %r1;", "satfinite"),
        ("ld.global.b128 %r2, [%d1];", "b128"),
        ("ld.global.v8.u32 %r2, [%d1];", "v8"),
        ("ld.global.v2.u32 {%r2, %r3, %r4}, [%d1];", "3 values"),
        ("ld.shared.nc.u32 %r2, [%r1];", ".nc"),
        ("ld.global.u32 %r2, [%r1];", "32 bits"),
        ("ld.shared.u32 %r2, [a];", "not in this state space"),
        ("cp.async.cg.shared.global [%r1], [%d1], 8;", "8 bytes"),
        ("atom.global.add.noftz.f16 %h1, [%d1], %h1;", "noftz"),
        ("shfl.bfly.b32 %r2, %r1, 1, 31;", "sync"),
        (
            "mma.sync.aligned.m16n8k16.row.row.f32.bf16.bf16.f32 {%r2,%r3,%r4,%r5}, {%r2,%r3,%r4,%r5}, {%r2,%r3}, {%r2,%r3,%r4,%r5};",
            ".row",
        ),
        ("bra NOWHERE;", "NOWHERE"),
        ("membar.proxy.alias;", "proxy"),
    ] {
        // Labels and registers that are not there may be refused by the parser already.
        if Module::parse(&kernel(body)).is_err() {
            continue;
        }
        let error = refused(body);
        assert!(error.message.contains(expected), "{body}: {error}");
        assert_eq!((error.kernel.as_str(), error.ptx_line), ("k", 12), "{error}");
    }
}

#[test]
fn wrong_launches_are_refused() {
    let module = Module::parse(&kernel("").replace(")\n{", ")\n.maxntid 64, 1, 1\n{")).unwrap();
    let program = Program::decode(&module).unwrap();
    assert_eq!(program.kernel("other").unwrap_err().kind, FaultKind::Launch);
    let kernel = program.kernel("k").unwrap();
    assert_eq!(kernel.parameter_bytes(), 24);
    assert_eq!(kernel.parameters()[1].offset, 8);
    assert_eq!(kernel.max_threads(), Some([64, 1, 1]));
    assert_eq!((kernel.shared_bytes(), kernel.local_bytes()), (2048, 64));
    let memory = GlobalMemory::new();
    let good = Launch { grid: [1; 3], block: [64, 1, 1], parameters: vec![0; 24], ..Launch::default() };
    kernel.launch(&memory, &good, &Options::default()).unwrap();
    for (launch, expected) in [
        (Launch { grid: [1, 0, 1], ..good.clone() }, "at least 1"),
        (Launch { grid: [1, 70000, 1], ..good.clone() }, "65535"),
        (Launch { block: [65, 1, 1], ..good.clone() }, "at most 64"),
        (Launch { block: [2048, 1, 1], ..good.clone() }, "1024"),
        (Launch { parameters: vec![0; 20], ..good.clone() }, "expected 24"),
        (Launch { dynamic_shared: 300_000, ..good.clone() }, "shared memory"),
    ] {
        let fault = kernel.launch(&memory, &launch, &Options::default()).unwrap_err();
        assert!(fault.kind == FaultKind::Launch && fault.message.contains(expected), "{fault}");
    }
}

/// Two values share an allocation; the kernel may read one and write the other, and no byte between or beyond.
#[test]
fn views_are_stricter_than_allocations() {
    let text = kernel("ld.global.u32 %r2, [%d4]; st.global.u32 [%d5], %r2;");
    let program = Program::decode(&Module::parse(&text).unwrap()).unwrap();
    let memory = GlobalMemory::new();
    let address = memory.allocate(1024, "arena").unwrap();
    memory.fill(address, 7, 1024).unwrap();
    let view = |from: u64, bytes: u64, writable: bool, label: &str| View {
        address: address + from,
        bytes,
        writable,
        label: label.into(),
    };
    let run = |views: Vec<View>| {
        let parameters = [address, address + 512, 0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let launch = Launch { grid: [1; 3], block: [32, 1, 1], parameters, views, ..Launch::default() };
        program.kernel("k").unwrap().launch(&memory, &launch, &Options::default())
    };
    run(vec![view(0, 128, false, "x"), view(512, 128, true, "y")]).unwrap();
    let fault = run(vec![view(0, 124, false, "x"), view(512, 128, true, "y")]).unwrap_err();
    assert_eq!(
        (fault.kind, fault.thread, fault.buffer.as_deref()),
        (FaultKind::OutOfBounds, Some([31, 0, 0]), Some("x"))
    );
    let fault = run(vec![view(0, 128, true, "x"), view(512, 128, false, "y")]).unwrap_err();
    assert_eq!((fault.kind, fault.buffer.as_deref()), (FaultKind::ReadOnly, Some("y")));
    // One range given twice, once writable, may be written.
    run(vec![view(0, 1024, false, "all"), view(512, 128, true, "y")]).unwrap();
    memory.free(address).unwrap();
    assert_eq!(run(vec![view(0, 128, false, "x")]).unwrap_err().kind, FaultKind::Launch);
}

/// Memory of the host: labels, freeing, forgetting, reading what was never written.
#[test]
fn global_memory() {
    let memory = GlobalMemory::new();
    let first = memory.allocate(10, "first").unwrap();
    let second = memory.allocate(10, "second").unwrap();
    assert!(first.is_multiple_of(256) && second - first >= 10 + 246);
    memory.write(first + 1, &[1, 2, 3]).unwrap();
    let mut bytes = [0; 3];
    memory.read_checked(first + 1, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3]);
    assert!(memory.read_checked(first, &mut bytes).unwrap_err().message.contains("byte 0 of first"));
    memory.forget(first + 3, 1).unwrap();
    assert!(memory.read_checked(first + 1, &mut bytes).unwrap_err().message.contains("byte 3 of first"));
    assert!(memory.write(first + 8, &[0; 3]).is_err());
    assert_eq!(memory.allocated(), 20);
    memory.free(first).unwrap();
    assert!(memory.free(first).is_err() && memory.read(first, &mut bytes).is_err());
    assert_ne!(memory.allocate(10, "third").unwrap(), first);
}

/// Warps take numbers from a counter: who gets which depends on the order, and the order on the seed alone.
#[test]
fn a_seed_gives_one_order() {
    let body = "setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, s; @%p1 st.shared.u32 [%r2], 0; bar.sync 0;
        and.b32 %r3, %r1, 31; setp.eq.u32 %p2, %r3, 0; @!%p2 bra END; atom.shared.add.u32 %r4, [%r2], 1;
        mov.u32 %r5, %ctaid.x; mul.wide.u32 %d6, %r5, 1024; add.s64 %d6, %d6, %d4; st.global.u32 [%d6], %r4; END:";
    let run = |seed: Option<u64>| {
        let options = Options { seed, ..Bench::default().options };
        Bench { grid: 2, block: 256, options, ..Bench::default() }.run(body).unwrap().0
    };
    let orders: Vec<Vec<u32>> = (0..8).map(|seed| run(Some(seed))).collect();
    for (seed, order) in orders.iter().enumerate() {
        assert_eq!(*order, run(Some(seed as u64)), "seed {seed}");
    }
    assert!(orders.iter().any(|order| *order != orders[0]), "eight seeds, one order");
    let plain: Vec<u32> = run(None).chunks(32).map(|warp| warp[0]).take(8).collect();
    assert_eq!(plain, (0..8).collect::<Vec<u32>>());
}

/// Several threads: the same memory, the same counters, and the fault of the first block in order.
#[test]
fn threads_change_nothing() {
    let body = "mov.u32 %r2, %ctaid.x; mul.wide.u32 %d6, %r2, 128; add.s64 %d6, %d6, %d4; ld.global.u32 %r3, [%d5];
        mad.lo.u32 %r3, %r2, 1000, %r3; st.global.u32 [%d6], %r3; AND";
    let run = |threads: usize, grid: u32, and: &str| {
        let options =
            Options { threads: Some(threads), checks: Checks::default(), counters: true, ..Options::default() };
        Bench { grid, options, ..Bench::default() }.run(&body.replace("AND", and))
    };
    let (alone, several) = (run(1, 32, "").unwrap(), run(4, 32, "").unwrap());
    assert_eq!(alone, several);
    assert_eq!(alone.0[33 * 5], 5001 + 4);
    // Blocks from 32 on leave the buffer: the first of them is told, whoever was faster.
    for _ in 0..20 {
        let fault = run(4, 64, "").unwrap_err();
        assert_eq!((fault.kind, fault.block), (FaultKind::OutOfBounds, Some([32, 0, 0])), "{fault}");
    }
}

#[test]
fn counters() {
    let body = "mul.wide.u32 %d6, %r1, STRIDE; add.s64 %d6, %d6, %d2; ld.global.u32 %r2, [%d6];
        mov.u32 %r3, s; mul.lo.u32 %r4, %r1, STRIDE; add.u32 %r3, %r3, %r4; st.shared.u32 [%r3], %r2; bar.sync 0;
        ld.shared.u32 %r5, [%r3]; fma.rn.f32 %r6, %r5, %r5, %r5; setp.lt.u32 %p1, %r1, 8; @%p1 fma.rn.f32 %r6, %r5, %r5, %r5;
        st.global.u32 [%d4], %r5;";
    let run = |stride: &str| Bench { block: 32, ..Bench::default() }.run(&body.replace("STRIDE", stride)).unwrap().1;
    let close = run("4");
    assert_eq!((close.global_loads.requests, close.global_loads.sectors, close.global_loads.bytes), (1, 4, 128));
    assert_eq!((close.shared_loads.requests, close.shared_loads.wavefronts, close.shared_loads.conflicts), (1, 1, 0));
    assert_eq!((close.fma, close.barriers, close.count(Work::Fma32), close.mma), (40, 1, 2, 0));
    let Traffic { full_sectors, block_sectors, launch_sectors, launch_bytes, .. } = close.global_loads;
    assert_eq!((full_sectors, block_sectors, launch_sectors, launch_bytes), (4, 4, 4, 128));
    assert_eq!((close.global_stores.block_sectors, close.global_stores.launch_bytes), (4, 128));
    // 7 in the frame of the kernel, 13 in the body, and `ret`.
    assert_eq!(close.warp_instructions, 21);
    assert_eq!(close.thread_instructions, 20 * 32 + 8);
    let far = run("64");
    // Each request of 128 bytes could be four sectors.
    assert_eq!((far.global_loads.sectors, far.global_loads.full_sectors, far.global_loads.bytes), (32, 4, 128));
    // A stride of 16 words meets two banks only: 16 words in each.
    assert_eq!((far.shared_stores.wavefronts, far.shared_stores.conflicts), (16, 15));
    let pair = run("8");
    assert_eq!((pair.global_loads.sectors, pair.shared_loads.conflicts), (8, 1));
}
