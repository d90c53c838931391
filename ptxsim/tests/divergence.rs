//! Random programs whose lanes go different ways, against a reference that runs one lane at a time and so knows neither
//! divergence nor registers that share a place.

use std::collections::HashMap;
use std::fmt::Write;

use ptxsim::ast::{Entry, Instruction, Module, Operand};
use ptxsim::{Checks, GlobalMemory, Launch, Options, Program};

/// Registers that live through the program, and those that live within a block of it.
const LONG: u64 = 10;
const SHORT: u64 = 6;
const LANES: u32 = 64;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// A program of blocks with branches forward anywhere and backward while there is fuel. Its lanes store one word each.
fn program(random: &mut Random) -> String {
    let mut text = format!(
        ".version 8.7 .target sm_80 .address_size 64\n.visible .entry k(.param .u64 to) {{
        .reg .b32 %r<{LONG}>, %t<400>, %fuel, %lane; .reg .b64 %to, %at; .reg .pred %p<4>, %q<99>;
        ld.param.u64 %to, [to]; mov.u32 %lane, %tid.x; mul.wide.u32 %at, %lane, 4; add.s64 %to, %to, %at;
        mov.u32 %fuel, 12;\n"
    );
    let line = |text: &mut String, line: String| writeln!(text, "{line}").expect("a string takes all");
    for index in 0..LONG {
        line(&mut text, format!("mad.lo.u32 %r{index}, %lane, {}, {index};", 2 * random.below(1 << 20) + 1));
    }
    for index in 0..4 {
        line(&mut text, format!("setp.lt.u32 %p{index}, %r{index}, {};", random.below(1 << 31)));
    }
    let blocks = 3 + random.below(8);
    for block in 0..blocks {
        line(&mut text, format!("block{block}:"));
        let short = |index: u64| format!("%t{}", block * SHORT + index);
        let mut known = 0;
        for _ in 0..2 + random.below(6) {
            let source = |random: &mut Random| match random.below(3) {
                0 if known > 0 => short(random.below(known)),
                1 => random.below(100).to_string(),
                _ => format!("%r{}", random.below(LONG)),
            };
            let (a, b) = (format!("%r{}", random.below(LONG)), source(random));
            let guard = match random.below(4) {
                0 => format!("@%p{} ", random.below(4)),
                1 => format!("@!%p{} ", random.below(4)),
                _ => String::new(),
            };
            // A short-lived register is written whole before it is read.
            let target = if known < SHORT && random.below(3) == 0 && guard.is_empty() {
                known += 1;
                short(known - 1)
            } else {
                format!("%r{}", random.below(LONG))
            };
            let p = random.below(4);
            let body = match random.below(6) {
                0 => format!("{guard}add.u32 {target}, {a}, {b};"),
                1 => format!("{guard}mul.lo.u32 {target}, {a}, {b};"),
                2 => format!("{guard}xor.b32 {target}, {a}, {b};"),
                3 => format!("{guard}shr.u32 {target}, {a}, 3;"),
                4 => format!("{guard}selp.b32 {target}, {a}, {b}, %p{p};"),
                _ => format!("{guard}mad.lo.u32 {target}, {a}, {b}, %r{};", random.below(LONG)),
            };
            line(&mut text, body);
            if random.below(3) == 0 {
                line(&mut text, format!("{guard}setp.lt.u32 %p{p}, {a}, %r{};", random.below(LONG)));
            }
        }
        match random.below(4) {
            // Forward over some blocks.
            0 | 1 => {
                let to = block + 1 + random.below(blocks - block);
                let name = if to == blocks { "end".to_string() } else { format!("block{to}") };
                let not = ["", "!"][random.below(2) as usize];
                line(&mut text, format!("@{not}%p{} bra {name};", random.below(4)));
            }
            // Backward.
            2 => {
                line(&mut text, "sub.u32 %fuel, %fuel, 1;".to_string());
                line(&mut text, format!("setp.gt.and.s32 %q{block}, %fuel, 0, %p{};", random.below(4)));
                line(&mut text, format!("@%q{block} bra block{};", random.below(block + 1)));
            }
            _ => {}
        }
    }
    line(&mut text, "end: mov.u32 %t399, %fuel;".to_string());
    for index in 0..LONG / 2 {
        line(&mut text, format!("mad.lo.u32 %t399, %t399, 31, %r{index};"));
    }
    text + "st.global.u32 [%to], %t399; ret; }"
}

/// What lane `lane` stores, run by itself.
fn reference(entry: &Entry, lane: u32) -> u32 {
    let mut words: HashMap<&str, u32> = HashMap::new();
    let mut predicates: HashMap<&str, bool> = HashMap::new();
    let labels: HashMap<&str, usize> = entry.labels.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    let name = |operand: &'_ Operand| match operand {
        Operand::Register(name) | Operand::Name(name) => name.clone(),
        other => panic!("{other}"),
    };
    let mut at = 0;
    loop {
        let instruction: &Instruction = &entry.instructions[at];
        at += 1;
        if let Some((guard, negated)) = &instruction.guard
            && predicates[guard.as_str()] == *negated
        {
            continue;
        }
        let operands = &instruction.operands;
        let word = |index: usize| match &operands[index] {
            Operand::Register(name) if name == "%tid.x" => lane,
            Operand::Register(name) => words[name.as_str()],
            Operand::Integer(value) => *value as u32,
            other => panic!("{other}"),
        };
        let result = match instruction.opcode.as_str() {
            "ld" => continue,
            "mul" if instruction.modifiers[0] == "wide" => continue,
            "add" if instruction.modifiers[0] == "s64" => continue,
            "st" => return word(1),
            "bra" => {
                at = labels[name(&operands[0]).as_str()];
                continue;
            }
            "setp" => {
                let value = match instruction.modifiers[0].as_str() {
                    "lt" => word(1) < word(2),
                    _ => word(1) as i32 > word(2) as i32 && predicates[name(&operands[3]).as_str()],
                };
                let Operand::Register(target) = &operands[0] else { panic!("{instruction}") };
                predicates.insert(target, value);
                continue;
            }
            "mov" => word(1),
            "add" => word(1).wrapping_add(word(2)),
            "sub" => word(1).wrapping_sub(word(2)),
            "mul" => word(1).wrapping_mul(word(2)),
            "xor" => word(1) ^ word(2),
            "shr" => word(1) >> word(2),
            "mad" => word(1).wrapping_mul(word(2)).wrapping_add(word(3)),
            "selp" => {
                if predicates[name(&operands[3]).as_str()] {
                    word(1)
                } else {
                    word(2)
                }
            }
            other => panic!("{other}"),
        };
        let Operand::Register(target) = &operands[0] else { panic!("{instruction}") };
        words.insert(target, result);
    }
}

#[test]
fn random_programs_agree_with_a_lane_by_lane_reference() {
    for seed in 0..300 {
        let text = program(&mut Random(seed));
        let module = Module::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        let expected: Vec<u32> = (0..LANES).map(|lane| reference(&module.entries[0], lane)).collect();
        let program = Program::decode(&module).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        let memory = GlobalMemory::new();
        let bytes = u64::from(4 * LANES);
        let to = memory.allocate(bytes, "to").expect("little");
        let launch = Launch {
            grid: [1, 1, 1],
            block: [LANES, 1, 1],
            parameters: to.to_le_bytes().to_vec(),
            ..Launch::default()
        };
        for order in [None, Some(seed)] {
            let options = Options { checks: Checks::all(), seed: order, budget: Some(1 << 22), ..Options::default() };
            let kernel = program.kernel("k").unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
            kernel.launch(&memory, &launch, &options).unwrap_or_else(|fault| panic!("seed {seed}: {fault}\n{text}"));
            let mut out = vec![0; bytes as usize];
            memory.read_checked(to, &mut out).expect("all lanes store");
            let found: Vec<u32> =
                out.chunks(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
            assert_eq!(found, expected, "seed {seed}\n{text}");
        }
    }
}
