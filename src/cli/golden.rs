//! The part of `kd-engine doctor` about golden values: one line for each wrapper of `kernels/prims.cuh`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::output::plain_table;
use crate::doctor::golden::{Book, Finding};
use crate::error::{Error, Result};

/// How all golden values went, by wrapper.
#[derive(Debug)]
pub(super) struct ByWrapper<'a>(BTreeMap<&'a str, Vec<&'a Finding>>);

impl<'a> ByWrapper<'a> {
    pub(super) fn new(findings: &'a [Finding]) -> Self {
        let mut by_wrapper: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            by_wrapper.entry(&finding.golden.wrapper).or_default().push(finding);
        }
        Self(by_wrapper)
    }

    /// How many wrappers there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// How many of them gave something else than they have to.
    pub(super) fn wrong(&self) -> usize {
        self.0.values().filter(|findings| !passed(findings)).count()
    }

    /// One line for each wrapper; nothing if there is none.
    pub(super) fn text(&self) -> Result<String> {
        if self.0.is_empty() {
            return Ok(String::new());
        }
        let row = |(wrapper, findings): (&&str, &Vec<&Finding>)| {
            let word = if passed(findings) { "pass" } else { "FAIL" };
            let reason = findings.iter().find_map(|finding| finding.fault.clone()).unwrap_or_default();
            vec![word.into(), wrapper.to_string(), format!("{} golden", findings.len()), reason]
        };
        let (table, from) = (plain_table(self.0.iter().map(row)), &Book::committed()?.device);
        Ok(format!("{table}\n{} wrappers; golden values from {from}\n", self.count()))
    }

    /// The same in JSON.
    pub(super) fn document(&self) -> Result<Value> {
        let from = &Book::committed()?.device;
        let value = |finding: &&Finding| {
            let golden = &finding.golden;
            let reason = &finding.fault;
            json!({ "kernel": golden.kernel, "about": golden.about, "passed": finding.passed(), "reason": reason })
        };
        let wrapper = |(wrapper, findings): (&&str, &Vec<&Finding>)| {
            let values: Vec<Value> = findings.iter().map(value).collect();
            json!({ "name": wrapper, "passed": passed(findings), "from": from, "values": values })
        };
        Ok(self.0.iter().map(wrapper).collect())
    }
}

fn passed(findings: &[&Finding]) -> bool {
    findings.iter().all(|finding| finding.passed())
}

/// Writes what `device` gave as a file of golden values.
///
/// # Errors
/// If it did not give all of them, or the file cannot be written.
pub(super) fn write(file: &Path, device: &str, findings: &[Finding]) -> Result<()> {
    let text = Book::committed()?.with_outputs(device, findings)?.to_json()?;
    fs::write(file, text).map_err(|error| Error::failed(format!("cannot write {}: {error}", file.display())))
}
