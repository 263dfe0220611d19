//! The log of what was used as CSV (RFC 4180). The first record names the columns; the last one has a word in the place of the id, and
//! JSON in that of the description.
//!
//! Spreadsheets take some cells for formulas: each text is guarded from that, numbers and times are as they are.

use csv::{Terminator, WriterBuilder};
use serde_json::json;
use tenantry_core::spreadsheet::guarded;

use super::usage_log::LogLine;

/// How an export ends that has all it was asked for.
pub(crate) const COMPLETE: &str = "COMPLETE";
/// The content type (RFC 9110).
pub(crate) const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

const COLUMNS: [&str; 12] = [
    "id",
    "line",
    "resource_type",
    "amount",
    "kind",
    "principal_kind",
    "principal_id",
    "description",
    "occurred_at",
    "recorded_at",
    "request_id",
    "refers_to",
];
/// Where the last record has a word, and where it says how the export ended.
const ID: usize = 0;
const DESCRIPTION: usize = 7;

/// Writes an export, which is taken from it in parts.
#[derive(Debug)]
pub(crate) struct Writer {
    part: Vec<u8>,
    lines: u64,
}

impl Writer {
    /// Begins an export.
    pub(crate) fn begin() -> Self {
        let mut part = Vec::new();
        record(&mut part, COLUMNS);
        Self { part, lines: 0 }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: LogLine) {
        self.lines += 1;
        let (kind, id) = line.principal();
        let cells: [String; COLUMNS.len()] = [
            line.usage_id.to_string(),
            line.line.to_string(),
            line.resource_type.clone(),
            line.amount.to_string(),
            line.kind.clone(),
            kind.to_owned(),
            guarded(id.to_owned()),
            guarded(line.description.clone()),
            line.occurred_at.to_string(),
            line.recorded_at.to_string(),
            guarded(line.request_id.clone()),
            line.refers_to.map(|id| id.to_string()).unwrap_or_default(),
        ];
        record(&mut self.part, cells);
    }

    /// Writes how the export ended: [`COMPLETE`], or why it broke off.
    pub(crate) fn end(&mut self, reason: &str) {
        let mut cells = [const { String::new() }; COLUMNS.len()];
        "end".clone_into(&mut cells[ID]);
        // A 64-bit number, as proto3's JSON has it.
        cells[DESCRIPTION] = json!({"reason": reason, "lines": self.lines.to_string()}).to_string();
        record(&mut self.part, cells);
    }

    /// Bytes that were written and not taken.
    pub(crate) const fn size(&self) -> usize {
        self.part.len()
    }

    /// Takes what was written: whole records.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.part)
    }
}

fn record(to: &mut Vec<u8>, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(to);
    // Writing to memory can't fail; it is flushed when it is dropped.
    let _ = writer.write_record(cells);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_the_last_record_says_how_it_ended() {
        let line = LogLine {
            usage_id: Uuid::from_u128(7),
            line: 1,
            resource_type: "users".to_owned(),
            amount: -2,
            kind: "released".to_owned(),
            principal: "service:=cmd".to_owned(),
            description: "=HYPERLINK(\"http://evil.example\"), and\r\nmore".to_owned(),
            occurred_at: Timestamp::UNIX_EPOCH,
            recorded_at: Timestamp::UNIX_EPOCH,
            request_id: "@SUM(1)".to_owned(),
            refers_to: None,
        };
        let mut writer = Writer::begin();
        writer.line(line);
        writer.end(COMPLETE);
        let written = writer.take();
        assert_eq!(writer.size(), 0);
        let mut reader = csv::Reader::from_reader(&written[..]);
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        let id = Uuid::from_u128(7).to_string();
        let epoch = "1970-01-01T00:00:00Z";
        let description = "'=HYPERLINK(\"http://evil.example\"), and\r\nmore";
        let expected = [
            [
                &id,
                "1",
                "users",
                "-2",
                "released",
                "service",
                "'=cmd",
                description,
                epoch,
                epoch,
                "'@SUM(1)",
                "",
            ],
            [
                "end",
                "",
                "",
                "",
                "",
                "",
                "",
                "{\"lines\":\"1\",\"reason\":\"COMPLETE\"}",
                "",
                "",
                "",
                "",
            ],
        ];
        assert_eq!(records, expected.map(|record| record.to_vec()));
    }
}
