//! Matrices across the lanes of a warp (PTX ISA 9.7.14.5: `ldmatrix` and `mma`, with the layouts given there).
//!
//! Sums are float32, in the order of k; the order and the rounding within a matrix product are not documented for the
//! hardware, so the last bits may differ from it.

use super::float::f;
use crate::checks::races::Touch;
use crate::checks::watch::watch;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::decode::registers::Space;
use crate::exec::lanes::{FULL, WARP, versions};
use crate::exec::{Code, Context, Handler};
use crate::memory::access;
use crate::ops::address::{addresses, bind_address, space_of};
use crate::ops::memory::written;

/// Decodes `ldmatrix` and `mma`.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    let operands = &draft.instruction.operands;
    draft.need(&["sync"])?;
    draft.need(&["aligned"])?;
    if draft.instruction.opcode == "ldmatrix" {
        draft.work = Work::LoadMatrix;
        draft.need(&["m8n8"])?;
        let count = match draft.need(&["x1", "x2", "x4"])? {
            "x1" => 1,
            "x2" => 2,
            _ => 4,
        };
        let transposed = draft.flag("trans");
        draft.need(&["shared", "shared::cta"])?;
        draft.need(&["b16"])?;
        draft.end(2)?;
        bind_address(draft, &operands[1], Space::Shared)?;
        let targets = Draft::elements(&operands[0]);
        if targets.len() != count {
            return Refusal::new(format!("{} registers for {count} matrices", targets.len()));
        }
        for (at, target) in targets.iter().enumerate() {
            draft.target(at, target, 32)?;
        }
        return Ok(match (count, transposed) {
            (1, false) => make_load::<1, false>(),
            (1, true) => make_load::<1, true>(),
            (2, false) => make_load::<2, false>(),
            (2, true) => make_load::<2, true>(),
            (_, false) => make_load::<4, false>(),
            _ => make_load::<4, true>(),
        });
    }
    draft.work = Work::Matrix;
    let shape = draft.need(&["m16n8k16", "m16n8k8", "m16n8k4"])?;
    draft.multiply_adds = 16
        * 8
        * match shape {
            "m16n8k16" => 16,
            "m16n8k8" => 8,
            _ => 4,
        };
    draft.need(&["row"])?;
    draft.need(&["col"])?;
    draft.need(&["f32"])?;
    let kind = draft.need(&["bf16", "f16", "tf32"])?;
    draft.need(&[kind])?;
    draft.need(&["f32"])?;
    draft.end(4)?;
    // Registers of a and of b.
    let (a, b) = match (shape, kind) {
        ("m16n8k16", "bf16" | "f16") => (4, 2),
        ("m16n8k8", "bf16" | "f16") => (2, 1),
        ("m16n8k8", _) => (4, 2),
        ("m16n8k4", "tf32") => (2, 1),
        _ => return Refusal::new(format!("{shape} is not known for {kind}")),
    };
    let counts = [4, a, b, 4];
    let mut at = 0;
    for (index, (operand, count)) in operands.iter().zip(counts).enumerate() {
        let elements = Draft::elements(operand);
        if elements.len() != count {
            return Refusal::new(format!("operand {index} has {} registers, {shape} needs {count}", elements.len()));
        }
        for element in elements {
            if index == 0 {
                draft.target(at, element, 32)?;
            } else {
                draft.source(at, element, 32)?;
            }
            at += 1;
        }
    }
    Ok(match (shape, kind) {
        ("m16n8k16", "bf16") => make_multiply_half::<16, true>(),
        ("m16n8k16", _) => make_multiply_half::<16, false>(),
        ("m16n8k8", "bf16") => make_multiply_half::<8, true>(),
        ("m16n8k8", "f16") => make_multiply_half::<8, false>(),
        ("m16n8k8", _) => make_multiply_tf32::<8>(),
        _ => make_multiply_tf32::<4>(),
    })
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `N` rows and the address.
unsafe fn load<const N: usize, const TRANSPOSED: bool>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above; `group` checks every access.
    unsafe {
        if !context.aligned(code, mask) {
            return false;
        }
        // Lanes 8 m to 8 m + 7 give the rows of matrix m; the others' addresses are not looked at.
        let givers = if N == 4 { FULL } else { (1 << (8 * N)) - 1 };
        let mut all = addresses(context, code);
        let Some(group) = access::group(context, code, space_of(code), &mut all, givers, 16, Touch::Read) else {
            return false;
        };
        if context.checks.initialisation
            && !written::<16>(&group, false)
            && !access::unwritten(context, code, &group, 16)
        {
            return false;
        }
        if (context.counting || context.races.is_some()) && !watch(context, code, &group, &all, 16, Touch::Read) {
            return false;
        }
        for matrix in 0..N {
            // [8 rows, 8 columns]
            let mut rows = [[0u16; 8]; 8];
            for (row, values) in rows.iter_mut().enumerate() {
                let place = group.data.add(group.offsets[matrix * 8 + row] as usize);
                *values = (place as *const [u16; 8]).read_unaligned();
            }
            let mut out = [0u32; WARP];
            for (lane, out) in out.iter_mut().enumerate() {
                let (row, column) = (lane / 4, lane % 4 * 2);
                let (low, high) = match TRANSPOSED {
                    false => (rows[row][column], rows[row][column + 1]),
                    true => (rows[column][row], rows[column + 1][row]),
                };
                *out = low as u32 | (high as u32) << 16;
            }
            *(context.row::<u32>(code.r[matrix]) as *mut [u32; WARP]) = out;
        }
    }
    true
}
versions!(make_load, load, fast_load, [const N: usize, const TRANSPOSED: bool], [N, TRANSPOSED]);

/// `d = a b + c`, `a` of [16, K], `b` of [K, 8].
///
/// # Safety
/// The decoder made `r[0..4]` and the four registers from `r[from]` rows.
#[inline(always)]
unsafe fn multiply<const K: usize>(
    context: &mut Context,
    code: &Code,
    a: &[[f32; K]; 16],
    b: &[[f32; 8]; K],
    from: usize,
) {
    // Accumulators: register e of lane l is row l / 4 + 8 (e / 2), column 2 (l % 4) + e % 2.
    let mut sums = [[0f32; 8]; 16];
    for e in 0..4 {
        // SAFETY: as said.
        let c = unsafe { context.values::<u32>(code.r[from + e]) };
        for lane in 0..WARP {
            sums[lane / 4 + 8 * (e / 2)][2 * (lane % 4) + e % 2] = f(c[lane]);
        }
    }
    for row in 0..16 {
        let mut sum = sums[row];
        for k in 0..K {
            for column in 0..8 {
                sum[column] = a[row][k].mul_add(b[k][column], sum[column]);
            }
        }
        sums[row] = sum;
    }
    for e in 0..4 {
        let mut out = [0u32; WARP];
        for lane in 0..WARP {
            out[lane] = sums[lane / 4 + 8 * (e / 2)][2 * (lane % 4) + e % 2].to_bits();
        }
        // SAFETY: as said.
        unsafe { *(context.row::<u32>(code.r[e]) as *mut [u32; WARP]) = out };
    }
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made the rows.
unsafe fn multiply_half<const K: usize, const BF16: bool>(context: &mut Context, code: &Code, mask: u32) -> bool {
    if !context.aligned(code, mask) {
        return false;
    }
    let value = |bits: u32| if BF16 { super::half::from_bf16(bits) } else { super::half::from_f16(bits) };
    let (mut a, mut b) = ([[0f32; K]; 16], [[0f32; 8]; K]);
    // Register e of a: row l / 4 + 8 (e % 2), columns 2 (l % 4) + 8 (e / 2) and the next.
    for e in 0..K / 4 {
        // SAFETY: as above.
        let row = unsafe { context.values::<u32>(code.r[4 + e]) };
        for lane in 0..WARP {
            let (m, k) = (lane / 4 + 8 * (e % 2), 2 * (lane % 4) + 8 * (e / 2));
            a[m][k] = value(row[lane] & 0xffff);
            a[m][k + 1] = value(row[lane] >> 16);
        }
    }
    // Register e of b: rows 2 (l % 4) + 8 e and the next, column l / 4.
    for e in 0..K / 8 {
        // SAFETY: as above.
        let row = unsafe { context.values::<u32>(code.r[4 + K / 4 + e]) };
        for lane in 0..WARP {
            let (k, n) = (2 * (lane % 4) + 8 * e, lane / 4);
            b[k][n] = value(row[lane] & 0xffff);
            b[k + 1][n] = value(row[lane] >> 16);
        }
    }
    // SAFETY: as above.
    unsafe { multiply::<K>(context, code, &a, &b, 4 + K / 4 + K / 8) };
    true
}
versions!(make_multiply_half, multiply_half, fast_multiply_half, [const K: usize, const BF16: bool], [K, BF16]);

#[inline(always)]
// SAFETY: see `Handler`; the decoder made the rows.
unsafe fn multiply_tf32<const K: usize>(context: &mut Context, code: &Code, mask: u32) -> bool {
    if !context.aligned(code, mask) {
        return false;
    }
    // The hardware looks at the upper 19 bits only.
    let value = |bits: u32| f(bits & !0x1fff);
    let (mut a, mut b) = ([[0f32; K]; 16], [[0f32; 8]; K]);
    // Register e of a: row l / 4 + 8 (e % 2), column l % 4 + 4 (e / 2).
    for e in 0..K / 2 {
        // SAFETY: as above.
        let row = unsafe { context.values::<u32>(code.r[4 + e]) };
        for lane in 0..WARP {
            a[lane / 4 + 8 * (e % 2)][lane % 4 + 4 * (e / 2)] = value(row[lane]);
        }
    }
    // Register e of b: row l % 4 + 4 e, column l / 4.
    for e in 0..K / 4 {
        // SAFETY: as above.
        let row = unsafe { context.values::<u32>(code.r[4 + K / 2 + e]) };
        for lane in 0..WARP {
            b[lane % 4 + 4 * e][lane / 4] = value(row[lane]);
        }
    }
    // SAFETY: as above.
    unsafe { multiply::<K>(context, code, &a, &b, 4 + K / 2 + K / 4) };
    true
}
versions!(make_multiply_tf32, multiply_tf32, fast_multiply_tf32, [const K: usize], [K]);
