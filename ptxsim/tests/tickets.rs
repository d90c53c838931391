//! Blocks that hand over through an atomic: what a block wrote before it released, a block that acquired afterwards may
//! read, and nothing else.

use ptxsim::ast::Module;
use ptxsim::{Checks, Fault, FaultKind, GlobalMemory, Launch, Options, Program};

/// Four blocks of one thread each store their number, draw a ticket by `atom`, and store again by `late`; the holder of the
/// last ticket adds up what all have stored.
fn run(atom: &str, late: &str, seed: Option<u64>) -> Result<u32, Fault> {
    let text = format!(
        ".version 8.7 .target sm_80 .address_size 64
        .visible .entry k(.param .u64 to, .param .u64 counter)
        {{
        .reg .b32 %me, %ticket, %x, %sum; .reg .b64 %to, %at, %counter; .reg .pred %p;
        ld.param.u64 %to, [to]; ld.param.u64 %counter, [counter];
        mov.u32 %me, %ctaid.x; mul.wide.u32 %at, %me, 4; add.s64 %at, %at, %to;
        st.global.u32 [%at], %me;
        {atom} %ticket, [%counter], 1;
        {late}
        setp.ne.u32 %p, %ticket, 3; @%p bra DONE;
        ld.global.u32 %sum, [%to];
        ld.global.u32 %x, [%to+4]; add.u32 %sum, %sum, %x;
        ld.global.u32 %x, [%to+8]; add.u32 %sum, %sum, %x;
        ld.global.u32 %x, [%to+12]; add.u32 %sum, %sum, %x;
        st.global.u32 [%to+16], %sum;
        DONE: ret;
        }}"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let program = Program::decode(&module).unwrap_or_else(|error| panic!("{error}"));
    let memory = GlobalMemory::new();
    let (to, counter) = (memory.allocate(20, "to").unwrap(), memory.allocate(4, "counter").unwrap());
    memory.fill(counter, 0, 4).unwrap();
    let parameters = [to.to_le_bytes(), counter.to_le_bytes()].concat();
    let launch = Launch { grid: [4, 1, 1], block: [1, 1, 1], parameters, ..Launch::default() };
    let options = Options { checks: Checks::all(), seed, budget: Some(1 << 20), ..Options::default() };
    program.kernel("k")?.launch(&memory, &launch, &options)?;
    let mut sum = [0; 4];
    memory.read(to + 16, &mut sum).unwrap();
    Ok(u32::from_le_bytes(sum))
}

#[test]
fn released_writes_are_read_after_an_acquire_in_any_order_of_blocks() {
    for seed in [None, Some(1), Some(2), Some(3)] {
        let sum = run("atom.acq_rel.gpu.global.add.u32", "", seed).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(sum, 6, "seed {seed:?}");
    }
}

#[test]
fn without_order_it_is_a_race() {
    for atom in ["relaxed.gpu", "acquire.gpu", "release.gpu", "acq_rel.cta"] {
        let fault = run(&format!("atom.{atom}.global.add.u32"), "", None).expect_err(atom);
        assert_eq!(fault.kind, FaultKind::GlobalRace, "{atom}: {fault}");
    }
}

#[test]
fn what_is_written_after_the_release_is_not_handed_over() {
    let fault = run("atom.acq_rel.gpu.global.add.u32", "st.global.u32 [%at], %me;", None).expect_err("a race");
    assert_eq!(fault.kind, FaultKind::GlobalRace, "{fault}");
}
