//! The mutants of small texts: which there are, that they are PTX, and that none is left that cannot show.

use std::collections::HashMap;

use super::{Class, Mutant, mutants, sample};
use crate::ast::Module;

/// An entry with registers of all types, whose results are all read by stores at its end.
fn module(body: &str) -> Module {
    let text = format!(
        ".version 8.7 .target sm_80 .address_size 64
        .entry k(.param .u64 y) {{
        .reg .b16 %rs<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>; .reg .f64 %fd<9>; .reg .pred %p<9>;
        .shared .align 16 .b8 tile[512];
        {body}
        keep: @%p1 ret; @%p2 ret;
        st.global.v4.b32 [%rd1], {{%r1, %r2, %r3, %r4}}; st.global.v4.f32 [%rd2], {{%f1, %f2, %f3, %f4}};
        st.global.b16 [%rd3], %rs1; st.global.f64 [%rd4], %fd1; }}"
    );
    Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The mutants of the first instructions, those of `body`: class and what became of the instruction.
fn of(body: &str) -> Vec<(Class, String)> {
    let module = module(body);
    let own = module.entries[0].labels.iter().find(|(name, _)| name == "keep").map_or(0, |(_, at)| *at);
    let mutants: Vec<Mutant> = mutants(&module, "k").into_iter().filter(|mutant| mutant.index < own).collect();
    for mutant in &mutants {
        let changed = mutant.apply(&module);
        assert_ne!(changed, module, "{mutant}");
        // What is written of it can be read, and is what it says.
        let read = Module::parse(&changed.to_string()).unwrap_or_else(|error| panic!("{error}\n{mutant}"));
        let shown: Vec<String> = read.entries[0].instructions.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = changed.entries[0].instructions.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{mutant}");
        match &mutant.after {
            Some(after) => assert_eq!(&shown[mutant.index], after),
            None => assert_eq!(shown.len() + 1, module.entries[0].instructions.len()),
        }
    }
    mutants.into_iter().map(|mutant| (mutant.class, mutant.after.unwrap_or_default())).collect()
}

/// Checks the mutants of one instruction, in any order.
#[track_caller]
fn check(instruction: &str, expected: &[(Class, &str)]) {
    let mut found = of(instruction);
    let mut expected: Vec<(Class, String)> = expected.iter().map(|(class, text)| (*class, text.to_string())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{instruction}");
}

#[test]
fn arithmetic() {
    use Class::{Addend, Dropped, Immediate, Opcode, Operands, Rounding, Subnormals};
    check(
        "sub.s32 %r1, %r2, 4;",
        &[
            (Operands, "sub.s32 %r1, 4, %r2"),
            (Immediate, "sub.s32 %r1, %r2, 5"),
            (Immediate, "sub.s32 %r1, %r2, 3"),
            (Opcode, "add.s32 %r1, %r2, 4"),
        ],
    );
    check(
        "fma.rn.f32 %f1, %f2, %f3, %f4;",
        &[
            (Operands, "fma.rn.f32 %f1, %f4, %f3, %f2"),
            (Operands, "fma.rn.f32 %f1, %f2, %f4, %f3"),
            (Addend, "mul.rn.f32 %f1, %f2, %f3"),
            (Rounding, "fma.rz.f32 %f1, %f2, %f3, %f4"),
            (Subnormals, "fma.rn.ftz.f32 %f1, %f2, %f3, %f4"),
            (Dropped, "mov.f32 %f1, %f4"),
        ],
    );
    check(
        "mul.f32 %f1, %f2, 0f40000000;",
        &[
            (Immediate, "mul.f32 %f1, %f2, 0f40400000"),
            (Opcode, "add.f32 %f1, %f2, 0f40000000"),
            (Rounding, "mul.rz.f32 %f1, %f2, 0f40000000"),
            (Subnormals, "mul.ftz.f32 %f1, %f2, 0f40000000"),
        ],
    );
    check("mad.wide.u32 %rd1, %r1, %r2, %rd2;", &[(Addend, "mul.wide.u32 %rd1, %r1, %r2")]);
    check(
        "max.NaN.f32 %f1, %f2, %f3;",
        &[(Opcode, "min.NaN.f32 %f1, %f2, %f3"), (Subnormals, "max.ftz.NaN.f32 %f1, %f2, %f3")],
    );
    check("shl.b32 %r1, %r2, %r3;", &[(Operands, "shl.b32 %r1, %r3, %r2"), (Opcode, "shr.u32 %r1, %r2, %r3")]);
    check("shl.b64 %rd1, %rd2, %r3;", &[(Opcode, "shr.u64 %rd1, %rd2, %r3")]);
    check(
        "div.full.f32 %f1, %f2, %f3;",
        &[
            (Operands, "div.full.f32 %f1, %f3, %f2"),
            (Opcode, "mul.rn.f32 %f1, %f2, %f3"),
            (Subnormals, "div.full.ftz.f32 %f1, %f2, %f3"),
        ],
    );
    check(
        "or.b32 %r1, %r2, -2147483648;",
        &[
            (Immediate, "or.b32 %r1, %r2, -2147483647"),
            (Immediate, "or.b32 %r1, %r2, 2147483647"),
            (Opcode, "and.b32 %r1, %r2, -2147483648"),
        ],
    );
    check("mov.f32 %f1, 0fFF800000;", &[(Immediate, "mov.f32 %f1, 0f7F800000")]);
    check(
        "lop3.b32 %r1, %r2, %r3, %r4, 202;",
        &[
            (Operands, "lop3.b32 %r1, %r3, %r2, %r4, 202"),
            (Immediate, "lop3.b32 %r1, %r2, %r3, %r4, 203"),
            (Immediate, "lop3.b32 %r1, %r2, %r3, %r4, 201"),
        ],
    );
    check("lop3.b32 %r1, %r2, %r3, %r4, 255;", &[(Immediate, "lop3.b32 %r1, %r2, %r3, %r4, 254")]);
}

#[test]
fn comparisons_and_conversions() {
    use Class::{Comparison, Immediate, Operands, Rounding, Signedness, Subnormals};
    check(
        "setp.lt.u32 %p1, %r1, %r2;",
        &[
            (Operands, "setp.lt.u32 %p1, %r2, %r1"),
            (Comparison, "setp.le.u32 %p1, %r1, %r2"),
            (Comparison, "setp.gt.u32 %p1, %r1, %r2"),
            (Signedness, "setp.lt.s32 %p1, %r1, %r2"),
        ],
    );
    check("setp.eq.s32 %p1, %r1, %r2;", &[(Comparison, "setp.ne.s32 %p1, %r1, %r2")]);
    check(
        "setp.geu.f32 %p1|%p2, %f1, %f2;",
        &[
            (Operands, "setp.geu.f32 %p1|%p2, %f2, %f1"),
            (Comparison, "setp.gtu.f32 %p1|%p2, %f1, %f2"),
            (Comparison, "setp.leu.f32 %p1|%p2, %f1, %f2"),
            (Subnormals, "setp.geu.ftz.f32 %p1|%p2, %f1, %f2"),
        ],
    );
    check(
        "setp.ne.and.b32 %p1, %r1, 7, %p2;",
        &[
            (Immediate, "setp.ne.and.b32 %p1, %r1, 8, %p2"),
            (Immediate, "setp.ne.and.b32 %p1, %r1, 6, %p2"),
            (Comparison, "setp.eq.and.b32 %p1, %r1, 7, %p2"),
            (Comparison, "setp.ne.or.b32 %p1, %r1, 7, %p2"),
        ],
    );
    check("cvt.s64.s32 %rd1, %r1;", &[(Signedness, "cvt.s64.u32 %rd1, %r1")]);
    check("cvt.u16.u32 %rs1, %r1;", &[]);
    check(
        "cvt.rzi.s32.f32 %r1, %f1;",
        &[(Rounding, "cvt.rni.s32.f32 %r1, %f1"), (Signedness, "cvt.rzi.u32.f32 %r1, %f1")],
    );
    check("cvt.rn.f32.u16 %f1, %rs1;", &[(Signedness, "cvt.rn.f32.s16 %f1, %rs1")]);
    check("cvt.rn.bf16.f32 %rs1, %f1;", &[(Rounding, "cvt.rz.bf16.f32 %rs1, %f1")]);
    check(
        "shr.s32 %r1, %r2, %r3;",
        &[
            (Operands, "shr.s32 %r1, %r3, %r2"),
            (Class::Opcode, "shl.b32 %r1, %r2, %r3"),
            (Signedness, "shr.u32 %r1, %r2, %r3"),
        ],
    );
}

#[test]
fn memory() {
    use Class::{Dropped, Fill, Layout, Offset, Operands, Signedness};
    check(
        "ld.global.nc.v2.f32 {%f1, %f2}, [%rd1+8];",
        &[
            (Operands, "ld.global.nc.v2.f32 {%f2, %f1}, [%rd1+8]"),
            (Offset, "ld.global.nc.v2.f32 {%f1, %f2}, [%rd1+16]"),
            (Offset, "ld.global.nc.v2.f32 {%f1, %f2}, [%rd1]"),
        ],
    );
    check(
        "ld.global.u16 %r1, [%rd1];",
        &[
            (Offset, "ld.global.u16 %r1, [%rd1+2]"),
            (Offset, "ld.global.u16 %r1, [%rd1+-2]"),
            (Signedness, "ld.global.s16 %r1, [%rd1]"),
        ],
    );
    check(
        "st.shared.f32 [tile+4], %f1;",
        &[(Offset, "st.shared.f32 [tile+8], %f1"), (Offset, "st.shared.f32 [tile], %f1"), (Dropped, "")],
    );
    check(
        "cp.async.cg.shared.global [%r1], [%rd1], 16, %r2;",
        &[
            (Offset, "cp.async.cg.shared.global [%r1+16], [%rd1], 16, %r2"),
            (Offset, "cp.async.cg.shared.global [%r1+-16], [%rd1], 16, %r2"),
            (Offset, "cp.async.cg.shared.global [%r1], [%rd1+16], 16, %r2"),
            (Offset, "cp.async.cg.shared.global [%r1], [%rd1+-16], 16, %r2"),
            (Fill, "cp.async.cg.shared.global [%r1], [%rd1], 16"),
            (Fill, "cp.async.cg.shared.global [%r1], [%rd1], 16, 0"),
            (Dropped, ""),
        ],
    );
    check(
        "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1, %r2}, [%r3];",
        &[
            (Operands, "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r2, %r1}, [%r3]"),
            (Offset, "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1, %r2}, [%r3+16]"),
            (Offset, "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1, %r2}, [%r3+-16]"),
            (Layout, "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r1, %r2}, [%r3]"),
        ],
    );
    let mma = |a: &str, b: &str| {
        format!(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {{%f1, %f2, %f3, %f4}}, {a}, {b}, {{%f1, %f2, %f3, %f4}}"
        )
    };
    check(
        &format!("{};", mma("{%r1, %r2, %r3, %r4}", "{%r5, %r6}")),
        &[
            (Operands, &mma("{%r2, %r1, %r3, %r4}", "{%r5, %r6}")),
            (Operands, &mma("{%r1, %r3, %r2, %r4}", "{%r5, %r6}")),
            (Operands, &mma("{%r1, %r2, %r3, %r4}", "{%r6, %r5}")),
            (Dropped, ""),
        ],
    );
}

#[test]
fn control() {
    use Class::{Barrier, Branch, Guard, Immediate, Shuffle, SpecialRegister, Wait};
    check("bar.sync 0;", &[(Barrier, "")]);
    check("bar.warp.sync -1;", &[(Barrier, "")]);
    check("membar.gl;", &[(Barrier, "")]);
    check("cp.async.commit_group;", &[(Wait, "")]);
    check("cp.async.wait_group 1;", &[(Wait, ""), (Wait, "cp.async.wait_group 2")]);
    check("@%p1 bra keep; mov.u32 %r1, %r2;", &[(Branch, "@!%p1 bra keep"), (Branch, "bra keep")]);
    check("@!%p1 mov.u32 %r1, %r2;", &[(Guard, "@%p1 mov.u32 %r1, %r2"), (Guard, "mov.u32 %r1, %r2")]);
    check(
        "mov.u32 %r1, %ctaid.x;",
        &[(SpecialRegister, "mov.u32 %r1, %tid.x"), (SpecialRegister, "mov.u32 %r1, %ctaid.y")],
    );
    check(
        "shfl.sync.bfly.b32 %r1|%p1, %r2, 16, 31, -1;",
        &[
            (Immediate, "shfl.sync.bfly.b32 %r1|%p1, %r2, 17, 31, -1"),
            (Immediate, "shfl.sync.bfly.b32 %r1|%p1, %r2, 15, 31, -1"),
            (Immediate, "shfl.sync.bfly.b32 %r1|%p1, %r2, 16, 31, 0"),
            (Immediate, "shfl.sync.bfly.b32 %r1|%p1, %r2, 16, 31, -2"),
            (Shuffle, "shfl.sync.down.b32 %r1|%p1, %r2, 16, 31, -1"),
        ],
    );
    check("mov.pred %p1, -1;", &[(Immediate, "mov.pred %p1, 0")]);
}

#[test]
fn what_cannot_show_is_left_out() {
    // Nobody reads %r5; the branch leads to what follows anyway; equal operands; nothing added.
    check("sub.s32 %r5, %r2, 4;", &[]);
    check("@%p1 bra keep;", &[]);
    check("selp.b32 %r1, %r2, %r2, %p1;", &[]);
    check("and.b32 %r1, %r2, %r2;", &[]);
    check(
        "lop3.b32 %r1, %r2, %r3, %r4, 150;",
        &[
            (Class::Immediate, "lop3.b32 %r1, %r2, %r3, %r4, 151"),
            (Class::Immediate, "lop3.b32 %r1, %r2, %r3, %r4, 149"),
        ],
    );
    check(
        "shr.s32 %r1, %r2, 31;",
        &[
            (Class::Operands, "shr.s32 %r1, 31, %r2"),
            (Class::Immediate, "shr.s32 %r1, %r2, 30"),
            (Class::Opcode, "shl.b32 %r1, %r2, 31"),
            (Class::Signedness, "shr.u32 %r1, %r2, 31"),
        ],
    );
    let classes = |body: &str, class: Class| of(body).iter().filter(|(found, _)| *found == class).count();
    assert_eq!(classes("fma.rn.f32 %f1, %f2, %f3, 0f80000000;", Class::Addend), 0);
    assert_eq!(classes("add.s32 %r1, %r2, 0;", Class::Opcode), 0);
    // A place in the block, a part of it and a zero-extended value are never negative; a sum may be.
    let start = "mov.u32 %r6, %tid.x; and.b32 %r7, %r6, 31; mov.u32 %r8, %r7;";
    assert_eq!(classes(&format!("{start} setp.lt.u32 %p1, %r8, 5;"), Class::Signedness), 0);
    assert_eq!(classes(&format!("{start} add.s32 %r8, %r8, 1; setp.lt.u32 %p1, %r8, 5;"), Class::Signedness), 1);
    assert_eq!(classes(&format!("{start} mov.b32 {{%rs2, %rs3}}, %r8; cvt.u32.u16 %r1, %rs2;"), Class::Signedness), 1);
    assert_eq!(classes("ld.global.u16 %r6, [%rd1]; shr.u32 %r1, %r6, 3;", Class::Signedness), 1);
}

/// A text with all it takes for many classes.
const MIXED: &str =
    "mov.u32 %r1, %tid.x; add.s32 %r2, %r1, 4; sub.s32 %r3, %r2, %r1; bar.sync 0; mul.lo.s32 %r4, %r3, 5;
    @%p1 bra skip; add.f32 %f1, %f2, %f3; fma.rn.f32 %f2, %f1, %f2, %f3; st.global.f32 [%rd1], %f2;
    skip: setp.lt.s32 %p1, %r1, %r2; min.s32 %r1, %r2, %r3;";

#[test]
fn a_sample_is_even_over_the_classes_and_repeatable() {
    let module = module(MIXED);
    let all = mutants(&module, "k");
    assert_eq!(all, mutants(&module, "k"));
    let mut sizes: HashMap<Class, usize> = HashMap::new();
    all.iter().for_each(|mutant| *sizes.entry(mutant.class).or_default() += 1);
    for count in [1, 7, 20, 40] {
        let drawn = sample(all.clone(), count, 3);
        assert_eq!(drawn, sample(all.clone(), count, 3));
        assert_eq!(drawn.len(), count);
        assert!(drawn.is_sorted_by_key(|mutant| mutant.index));
        let mut counts: HashMap<Class, usize> = HashMap::new();
        drawn.iter().for_each(|mutant| *counts.entry(mutant.class).or_default() += 1);
        let most = counts.values().copied().max().unwrap_or(0);
        for (class, size) in &sizes {
            let got = counts.get(class).copied().unwrap_or(0);
            assert!(got + 1 >= most.min(*size + 1), "{class:?}: {got} of {size}, another class has {most}");
        }
    }
    assert_ne!(sample(all.clone(), 20, 3), sample(all.clone(), 20, 4));
    assert_eq!(sample(all.clone(), all.len() + 1, 3), all);
}

#[test]
fn a_mutant_says_what_and_where() {
    let text =
        ".version 8.7\n.target sm_80\n.address_size 64\n.entry a() { ret; }\n.entry k() {\n.reg .b32 %r<3>;\n.loc 2 7 1
        before: bar.sync 0;\nbehind: sub.s32 %r1, %r1, %r2;\nend: ret;\n}\n.file 2 \"k.cu\"";
    let module = Module::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let all = mutants(&module, "k");
    assert_eq!(all[0].to_string(), "k, PTX line 8 (k.cu:7), Barrier: `bar.sync 0` is gone");
    assert_eq!(
        all[1].to_string(),
        "k, PTX line 9 (k.cu:7), Operands: `sub.s32 %r1, %r1, %r2` became `sub.s32 %r1, %r2, %r1`"
    );
    // The labels move with what they stand before, and other entries are gone.
    let changed = all[0].apply(&module);
    assert_eq!(changed.entries.len(), 1);
    let labels: Vec<(&str, usize)> = changed.entries[0].labels.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    assert_eq!(labels, [("before", 0), ("behind", 0), ("end", 1)]);
    assert_eq!(mutants(&module, "none"), []);
}

/// A kernel that stores nowhere where a change would show.
#[test]
fn a_change_is_revealed_where_it_makes_a_difference() {
    use crate::{Checks, FaultKind, GlobalMemory, Launch, Options, Program};
    let text = ".version 8.7 .target sm_80 .address_size 64
        .entry k(.param .u64 y, .param .u32 a) { .reg .b64 %rd<2>; .reg .b32 %r<4>; .reg .pred %p<2>;
        ld.param.u64 %rd1, [y]; ld.param.u32 %r1, [a]; mov.u32 %r2, 0;
        again: setp.lt.u32 %p1, %r1, 7; @%p1 bra on; mov.u32 %r2, 1;
        on: shr.u32 %r3, %r1, 1; add.s32 %r2, %r2, %r3; st.global.u32 [%rd1], %r2; ret; }";
    let module = Module::parse(text).unwrap();
    let all = mutants(&module, "k");
    let of = |before: &str| {
        let found = all.iter().find(|mutant| mutant.class == Class::Signedness && mutant.before.contains(before));
        found.unwrap_or_else(|| panic!("no mutant of {before}: {all:?}")).reveal(&module).unwrap()
    };
    let ends = |module: &Module, a: i32| {
        let program = Program::decode(module).unwrap();
        let memory = GlobalMemory::new();
        let y = memory.allocate(4, "y").unwrap();
        let parameters = [y.to_le_bytes().as_slice(), &a.to_le_bytes()].concat();
        let launch = Launch { grid: [1, 1, 1], block: [1, 1, 1], parameters, ..Launch::default() };
        let options = Options { checks: Checks::all(), ..Options::default() };
        program.kernel("k").unwrap().launch(&memory, &launch, &options).map(|_| ())
    };
    for changed in [of("setp.lt"), of("shr")] {
        assert!(ends(&changed, 12).is_ok());
        let fault = ends(&changed, -12).unwrap_err();
        assert_eq!(fault.kind, FaultKind::OutOfBounds, "{fault}");
    }
    // A store has no result to compare.
    let store = all.iter().find(|mutant| mutant.class == Class::Dropped).unwrap();
    assert!(store.reveal(&module).is_none());
}

/// What is widened and then shifted out needs no sign.
#[test]
fn signs_that_are_shifted_out_are_none() {
    let signs = |by: u32| {
        let changes = of(&format!("cvt.u32.u16 %r5, %rs2; shl.b32 %r1, %r5, {by};"));
        changes.into_iter().filter(|(class, _)| *class == Class::Signedness).map(|(_, after)| after).collect::<Vec<_>>()
    };
    assert_eq!(signs(15), ["cvt.u32.s16 %r5, %rs2"]);
    assert!(signs(16).is_empty());
}
