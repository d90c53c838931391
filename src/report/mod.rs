//! What a run shows: the table in the terminal and the HTML page.
//!
//! The page is one file that needs nothing else: its style and figures are inside, it opens with no network, and it
//! follows the reader's choice of light or dark.

mod chart;
mod classroom;
mod curves;
mod dots;
mod gain;
mod heat;
mod html;
mod lead;
mod page;
mod palette;
mod phases;
mod run;
mod sections;
mod table;
mod ticks;

use std::path::Path;

use crate::train::durable::replace_file;
use crate::{Error, Result};

pub use gain::{Gain, Verdict};
pub use table::table;

/// Writes the page of one run's folder, or of several runs in the same figures, to `out`. A run that is not finished
/// shows what there is. Equal runs give equal pages but for the footer, one line with the time.
///
/// # Errors
/// A folder that is not a run's, a file in it that cannot be read, or a page that cannot be written.
pub fn write(folders: &[&Path], out: &Path) -> Result<()> {
    let runs = run::read_all(folders)?;
    replace_file(out, page::page(&runs).as_bytes()).map_err(|error| Error::writing(out, error))
}

#[cfg(test)]
mod tests;
