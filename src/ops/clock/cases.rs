//! What the kernel is checked on.

use super::Tables;
use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // The first batch, one between, the last; whole ones and those that are filled up; less and more than a block's threads.
    for (images, batch, step) in [
        (1u32, 1u32, 0u32),
        (12, 4, 1),
        (12, 4, 2),
        (11, 4, 2),
        (9, 4, 2),
        (3, 5, 0),
        (700, 300, 1),
        (700, 300, 2),
        (640, 257, 2),
    ] {
        for has_rates in [true, false] {
            let rates = if has_rates { " with rates" } else { "" };
            cases.push(Case::new(
                format!("clock {images} by {batch} step {step}{rates}"),
                Storage::F32,
                move |probe| {
                    // No two places hold the same image.
                    let order = (0..images).map(|place| (7 * place + 3) % 1021).collect();
                    let steps = images.div_ceil(batch);
                    let tables = Tables {
                        order: probe.integers("order", [images as usize], order),
                        rates: has_rates.then(|| probe.float("rates", [steps as usize])),
                        cursor: probe.integers("cursor", [2], vec![step, 1_000_003 + step]),
                    };
                    let tick = probe.tape.tick(&tables, batch as usize)?;
                    let values = [("indices", tick.indices), ("valid", tick.valid), ("number", tick.number)];
                    values.into_iter().for_each(|(name, value)| probe.check(name, value, Tolerance::EXACT));
                    tick.rate.into_iter().for_each(|rate| probe.check("rate", rate, Tolerance::EXACT));
                    probe.updates_within(Tolerance::EXACT);
                    Ok(())
                },
            ));
        }
    }
    cases
}
