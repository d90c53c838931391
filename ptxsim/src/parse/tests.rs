//! What NVRTC writes is understood, and anything else is an error that names its line.

use crate::ast::{Instruction, Module, Operand};

const HEAD: &str = ".version 8.7\n.target sm_80\n.address_size 64\n";

fn parsed(body: &str) -> Module {
    Module::parse(&format!("{HEAD}{body}")).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// The instructions of an entry with a body and nothing else.
fn instructions(body: &str) -> Vec<Instruction> {
    parsed(&format!(".visible .entry k()\n{{\n{body}\n}}\n")).entries.remove(0).instructions
}

fn register(name: &str) -> Operand {
    Operand::Register(name.to_string())
}

#[test]
fn an_entry_as_nvrtc_writes_it() {
    let module = parsed(
        "
	// .globl	scale
.global .align 4 .u32 WARP = 32;
.visible .entry scale(
	.param .align 8 .b8 scale_param_0[12],
	.param .u8 scale_param_1,
	.param .u64 .ptr .global .align 16 scale_param_2,
	.param .u16 scale_param_3
)
.maxntid 256, 2, 1
.minnctapersm 4
{
	.local .align 8 .b8 	__local_depot0[40];
	.reg .b64 	%SP;
	.reg .pred 	%p<2>;
	.reg .f32 	%f<3>;
	.reg .b64 	%rd<2>;
	.loc	1 24 0
	ld.param.u64 	%rd1, [scale_param_2];
	.loc	2 53 5, function_name $L__info_string0, inlined_at 1 11 9
	ld.global.v2.f32 	{%f1, %f2}, [%rd1+-8];
	.loc	1 0 9
	@!%p1 bra 	$L__BB0_1;
	.pragma \"nounroll\";
	shfl.sync.bfly.b32 	%f1|%p1, %f2, 16, 31, -1;
$L__BB0_1:
	st.global.f32 	[%rd1], 0f3F800000; /* a comment
	over two lines */ ret;
}
	.file	1 \"/a/b.cu\"
	.file	2 \"/a/c.cuh\", 12, 34
	.section	.debug_str
	{
$L__info_string0:
.b8 95,90,0
.b32 .debug_info+4
	}
",
    );
    assert_eq!((module.version.as_str(), module.target.as_str()), ("8.7", "sm_80"));
    assert_eq!(module.files, [(1, "/a/b.cu".to_string()), (2, "/a/c.cuh".to_string())]);
    assert_eq!(module.variables[0].initial, [32, 0, 0, 0]);
    let entry = &module.entries[0];
    assert_eq!((entry.name.as_str(), entry.max_threads), ("scale", Some([256, 2, 1])));
    let block: Vec<_> = entry.parameters.iter().map(|p| (p.offset, p.bytes, p.alignment)).collect();
    assert_eq!(block, [(0, 12, 8), (12, 1, 1), (16, 8, 8), (24, 2, 2)]);
    assert_eq!((entry.variables[0].space.as_str(), entry.variables[0].bytes), ("local", 40));
    assert_eq!(entry.registers[0], ("b64".to_string(), "%SP".to_string(), 0));
    assert_eq!(entry.registers[1], ("pred".to_string(), "%p".to_string(), 2));
    assert_eq!(entry.labels, [("$L__BB0_1".to_string(), 4)]);

    let code = &entry.instructions;
    assert_eq!(code.len(), 6);
    assert_eq!((code[0].line, code[0].source), (22, Some((1, 24))));
    assert_eq!(code[1].source, Some((2, 53)));
    assert_eq!(code[1].modifiers, ["global", "v2", "f32"]);
    assert_eq!(
        code[1].operands,
        [Operand::Vector(vec![register("%f1"), register("%f2")]), Operand::Address(Box::new(register("%rd1")), -8)]
    );
    assert_eq!((code[2].source, code[2].guard.clone()), (None, Some(("%p1".to_string(), true))));
    assert_eq!(code[2].operands, [Operand::Name("$L__BB0_1".to_string())]);
    assert_eq!(
        code[3].operands,
        [
            Operand::Pair(Box::new(register("%f1")), Box::new(register("%p1"))),
            register("%f2"),
            Operand::Integer(16),
            Operand::Integer(31),
            Operand::Integer(-1)
        ]
    );
    assert_eq!(code[4].operands[1], Operand::Float32(0x3f80_0000));
    assert_eq!((code[5].opcode.as_str(), code[5].line), ("ret", 31));
}

#[test]
fn constants() {
    let code = instructions(
        ".reg .b64 %rd<2>;
        mov.u64 %rd1, 0xFFFFFFFFFFFFFFFF;
        mov.u64 %rd1, 0x1fU;
        mov.u64 %rd1, 0b101;
        mov.u64 %rd1, 017;
        mov.u64 %rd1, -0x8000000000000000;
        mov.f64 %rd1, 0d3FF0000000000000;
        mov.u64 %rd1, 0;",
    );
    let values: Vec<_> = code.iter().map(|instruction| instruction.operands[1].clone()).collect();
    assert_eq!(
        values,
        [
            Operand::Integer(-1),
            Operand::Integer(31),
            Operand::Integer(5),
            Operand::Integer(15),
            Operand::Integer(i64::MIN),
            Operand::Float64(0x3ff0_0000_0000_0000),
            Operand::Integer(0)
        ]
    );
}

#[test]
fn special_registers_and_sinks() {
    let code =
        instructions(".reg .b32 %r<2>; .reg .pred %p<2>; mov.u32 %r1, %ctaid.z; setp.ne.b32 _|%p1, %r1, %laneid;");
    assert_eq!(code[0].operands[1], register("%ctaid.z"));
    assert_eq!(code[1].operands[0], Operand::Pair(Box::new(Operand::Sink), Box::new(register("%p1"))));
    assert_eq!(code[1].operands[2], register("%laneid"));
}

#[test]
fn inner_scopes_have_names_of_their_own() {
    let module = parsed(
        ".entry k() {
        .reg .b32 %r<3>;
        .reg .pred %p;
        { .reg .pred %p; .reg .b32 tmp<2>; L1: setp.ne.u32 %p, %r1, 0; @!%p bra L1; mov.b32 tmp1, %r2; bra done; }
        { .reg .pred %p; .reg .b32 tmp; L1: setp.eq.u32 %p, %r1, tmp; { .reg .b32 %r1; @%p bra L1; mov.b32 %r1, 0; } }
        @%p bra L1;
        L1: done: ret; }",
    );
    let entry = &module.entries[0];
    let names: Vec<_> = entry.registers.iter().map(|(_, name, count)| (name.as_str(), *count)).collect();
    assert_eq!(names, [("%r", 3), ("%p", 0), ("%p$1", 0), ("tmp$1_", 2), ("%p$2", 0), ("tmp$2", 0), ("%r1$3", 0),]);
    let code = &entry.instructions;
    assert_eq!(code[1].guard, Some(("%p$1".to_string(), true)));
    assert_eq!(code[2].operands, [register("tmp$1_1"), register("%r2")]);
    assert_eq!(code[4].operands, [register("%p$2"), register("%r1"), register("tmp$2")]);
    assert_eq!(code[6].operands[0], register("%r1$3"));
    assert_eq!(code[7].guard, Some(("%p".to_string(), false)));
    // Each branch goes to the label of its own scope, forward and backward.
    let target = |index: usize| match &code[index].operands[0] {
        Operand::Name(name) => entry.labels.iter().find(|(label, _)| label == name).map(|(_, at)| *at),
        _ => None,
    };
    assert_eq!([target(1), target(3), target(5), target(7)], [Some(0), Some(8), Some(4), Some(8)]);
}

#[test]
fn initial_values_fill_their_variable() {
    let module = parsed(
        ".const .align 4 .b8 table[6] = {1, 255, 128};
        .global .s16 small[2] = {-1, 2};
        .global .f64 pi = 0d400921FB54442D18;
        .global .u64 all = 0xFFFFFFFFFFFFFFFF;
        .const .b8 plain[64];
        .extern .shared .align 16 .b8 dynamic[];",
    );
    let initial: Vec<&[u8]> = module.variables.iter().map(|variable| variable.initial.as_slice()).collect();
    assert_eq!(
        initial,
        [&[1, 255, 128, 0, 0, 0][..], &[255, 255, 2, 0], &std::f64::consts::PI.to_le_bytes(), &[255; 8], &[], &[]]
    );
    assert_eq!((module.variables[5].bytes, module.variables[5].alignment), (0, 16));
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    // A body behind the three lines of the head, the line that is to blame and a part of the message.
    let cases = [
        (".extern .func (.param .b64 r) pow(\n.param .b64 x\n);", 4, "functions are not supported: `pow`"),
        (".entry k() {\nret;\n}\n.entry k() {\nret;\n}", 7, "`k` is declared twice"),
        (".entry k() {\n.reg .b32 %r<2>;\nmov.u32 %r1, %r2;\n}", 6, "`%r2` is not declared"),
        (".entry k() {\n.reg .b32 %r<2>, %r1;\n}", 5, "`%r1` is declared twice"),
        (".entry k() {\n.reg .b32 %tid;\n}", 5, "`%tid` is a special register"),
        (".entry k() {\nbra nowhere;\n}", 5, "`nowhere` is not declared"),
        (".entry k() {\na:\na: ret;\n}", 6, "`a` is declared twice"),
        (".entry k() {\n{ inner: ret; }\nbra inner;\n}", 6, "`inner` is not declared"),
        (".entry k() {\n.loc 3 1 0\nret;\n}", 5, "file 3"),
        (".entry k() {\n.branchtargets a, b;\n}", 5, "unknown directive `.branchtargets`"),
        (".entry k()\n.explicitcluster\n{ ret; }", 5, "unknown directive `.explicitcluster`"),
        (".entry k() {\n.reg .b32 %r<2>;\nmov.u32 %r1, 1.5;\n}", 6, "expected a constant"),
        (".entry k() {\n.reg .b32 %r<2>;\nmov.u32 %r1, %r0\nret;\n}", 7, "expected `;`"),
        (".entry k() {\n.reg .b32 %r<2>;\nmov.u32 %r1, %tid;\n}", 6, "component"),
        (".entry k() {\n.reg .b32 %r<2>;\nmov.u32 %r1, %tid.w;\n}", 6, "no component `.w`"),
        (".entry k() {\n.reg .v4 .f32 %v;\n}", 5, "unknown register type `.v4`"),
        (".entry k() {\ncall f;\n}", 5, "calls of functions"),
        (".entry k() {\nret;\n", 6, "the end of the text"),
        (".global .align 8 .u64 p[1] = {generic(table)};", 4, "is an address"),
        (".global .u8 b[2] = {1, 2, 3};", 4, "more initial values"),
        (".global .u8 b = 256;", 4, "does not fit"),
        (".global .u32 b[2][3];", 4, "several dimensions"),
        (".global .align 3 .u32 b;", 4, "power of two"),
        (".extern .global .u32 b;", 4, "another module"),
        (".shared .b8 b[];", 4, "no size"),
        (".shared .b8 b = 1;", 4, "no initial value"),
        (".local .b8 b[4];", 4, "expected a directive of a module"),
        (".global .u32 a;\n.global .u32 a;", 5, "`a` is declared twice"),
        (".entry k(.param .u32 a, .param .u32 a) { ret; }", 4, "`a` is declared twice"),
        (".entry k() {\n/* no end\nret;\n}", 5, "a comment"),
        (".entry k() {\nret; #\n}", 5, "`#`"),
        (".section .text { }", 4, "unknown section `.text`"),
        (".file 1 \"a\"\n.file 1 \"b\"", 5, "file 1 is declared twice"),
    ];
    for (body, line, message) in cases {
        let error = Module::parse(&format!("{HEAD}{body}")).expect_err(body);
        assert_eq!(error.line, line, "{error}\n{body}");
        assert!(error.message.contains(message), "{error}, expected: {message}\n{body}");
    }
    for (text, message) in [
        ("", "`.version`"),
        (".version 8.7\n.address_size 64", "`.target`"),
        (".version 8.7\n.target sm_80\n.address_size 32", "64 bits"),
        (".version 8.7\n.target sm_80, debug\n.address_size 64", "`.address_size`"),
    ] {
        let error = Module::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{error}, expected: {message}\n{text}");
    }
}
