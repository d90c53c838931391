//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Rows, channels and picks: few and many of either, channels that nobody picks and some that several do; more than a
    // block of channels, of picks; one of each.
    for (rows, channels, picks) in
        [(35, 9, 9), (450, 7, 5), (430, 5, 11), (3, 300, 20), (2, 13, 530), (300, 1, 1), (1, 255, 256)]
    {
        let name = format!("gather_channels {rows}x{channels} at {picks}");
        cases.push(Case::new(name, Storage::F32, move |probe| {
            let x = probe.float("x", [rows, channels]);
            // Neither rising nor falling, with repetitions; the first and the last channel are among them.
            let index = |pick: usize| if pick == 1 { channels - 1 } else { pick * pick * 5 % channels };
            let indices = probe.integers("indices", [picks], (0..picks).map(|pick| index(pick) as u32).collect());
            let y = probe.tape.gather_channels(x, indices)?;
            probe.check("y", y, Tolerance::EXACT);
            // At most as many terms as picks; far fewer where there are several channels.
            probe.check_gradients(y, &[(x, Tolerance::sum(picks.div_ceil(channels)))])
        }));
    }
    cases
}
