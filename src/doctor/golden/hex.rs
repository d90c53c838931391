//! Bytes in JSON: an array of lines of hexadecimal digits, 32 bytes to a line.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const LINE: usize = 32;

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let line = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    bytes.chunks(LINE).map(line).collect::<Vec<_>>().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let lines = Vec::<String>::deserialize(deserializer)?;
    let mut bytes = Vec::new();
    for line in &lines {
        for pair in line.as_bytes().chunks(2) {
            let digits = std::str::from_utf8(pair).ok().filter(|digits| digits.len() == 2);
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or_else(|| D::Error::custom(format!("`{line}` is no line of hexadecimal digits")))?);
        }
    }
    Ok(bytes)
}
