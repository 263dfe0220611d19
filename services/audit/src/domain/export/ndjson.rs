//! NDJSON: an object to a line.

use serde::Serialize;
use serde_json::json;

use super::Line;

/// Writes what is no event, under its name.
pub(super) fn said(to: &mut Vec<u8>, name: &str, said: &impl Serialize) {
    write(to, &json!({ name: said }));
}

pub(super) fn line(to: &mut Vec<u8>, line: &Line) {
    write(to, line);
}

/// Writes a line.
pub(super) fn write(to: &mut Vec<u8>, object: &impl Serialize) {
    // Writing to memory can't fail.
    let _ = serde_json::to_writer(&mut *to, object);
    to.push(b'\n');
}
