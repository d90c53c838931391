//! What the kernels are checked on.

use super::{ByClass, Positive};
use crate::ops::case::{Case, Probe, Storage, Tolerance};

/// Images of uneven classes, listed by class: one of them alone, one empty, numbers out of order.
fn by_class(probe: &mut Probe<'_>, images: usize, classes: usize) -> (ByClass, Vec<u32>, Vec<u32>) {
    let label = |image: usize| if image % 11 == 3 { 0 } else { (image * image + image / 3) % classes };
    let mut order: Vec<u32> = (0..images as u32).collect();
    order.sort_by_key(|image| (label(*image as usize), (u64::from(*image) * 7919) % 1009));
    let starts = (0..=classes).map(|class| order.iter().filter(|one| label(**one as usize) < class).count() as u32);
    let starts: Vec<u32> = starts.collect();
    let labels = (0..images).map(|image| label(image) as u32).collect();
    let (all, begin) = (order.clone(), starts.clone());
    let order = probe.integers("order", [images], all);
    let starts = probe.integers("starts", [classes + 1], begin.clone());
    (ByClass { order, starts }, labels, begin)
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Fewer negatives than there are, more than that (a second and a third order), as many; numbers of others that are
    // powers of two and not; both kinds of positives.
    for (images, classes, batch, negatives) in [(300, 5, 7, 40), (64, 3, 5, 150), (37, 2, 9, 22), (1030, 4, 3, 90)] {
        for positive in [Positive::Exact, Positive::Relaxed] {
            let name = format!("contrast_indices {images} of {classes}, {batch} with {negatives}, {positive:?}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let number = probe.integers("number", [1], vec![5]);
                probe.tape.set_randomness(3 << 33 | 9, number);
                let (all, labels, _) = by_class(probe, images, classes);
                let own: Vec<u32> = (0..batch as u32).map(|row| (row * 31 + 2) % images as u32).collect();
                let known = own.iter().map(|image| labels[*image as usize]).collect();
                let own = probe.integers("own", [batch], own);
                let known = probe.integers("labels", [batch], known);
                // The second draw of the tape.
                probe.tape.contrast_indices(own, known, all, 1, Positive::Exact)?;
                let made = probe.tape.contrast_indices(own, known, all, negatives, positive)?;
                probe.check("indices", made, Tolerance::EXACT);
                Ok(())
            }));
        }
    }
    // Whole packs and rests, less and more than a warp takes at once; one chunk of the gradient and several, of which the
    // last is not full; more components than a block has.
    for (rows, depth, batch, width) in
        [(50, 128, 3, 37), (20, 7, 5, 9), (9, 132, 2, 1030), (11, 45, 2, 513), (4, 260, 1, 5)]
    {
        let name = format!("bank_products {rows}x{depth}, {batch}x{width}");
        cases.push(Case::new(name, Storage::F32, move |probe| {
            let (x, bank) = (probe.float("x", [batch, depth]), probe.float("bank", [rows, depth]));
            let picks = (0..batch * width).map(|pick| ((pick * pick * 3 + pick / 2) % rows) as u32).collect();
            let indices = probe.integers("indices", [batch, width], picks);
            let products = probe.tape.bank_products(x, bank, indices)?;
            probe.check("products", products, Tolerance::sum(depth));
            probe.check_gradients(products, &[(x, Tolerance::sum(width))])
        }));
    }
    cases
}
