//! CSV (RFC 4180) whose first line names the columns.

use std::collections::BTreeSet;

use ::csv::{Position, ReaderBuilder, StringRecord};
use tenantry_core::Refusal;

use super::{MAX_ROWS, OTHERS, Said, TEXTS, shown, too_many_rows, wrong};
use crate::domain::import::NewRow;

/// What a column of a label begins with.
const LABELS: &str = "labels.";

pub(super) fn rows(project: &str, text: &str) -> Result<Vec<NewRow>, Refusal> {
    let records = records(text)?;
    // A value with quotation marks is quoted, and has each of its own twice: so there is an even number of them.
    if text.matches('"').count() % 2 == 1 {
        let line = records.last().map_or(1, |(line, _)| *line);
        return Err(wrong(format!(
            "line {line}: a quotation mark opens a value that none closes; quote values that have one, and write theirs twice"
        )));
    }
    let Some(((line, header), rows)) = records.split_first() else {
        return Err(wrong(
            "has no rows; the first line names the columns".to_owned(),
        ));
    };
    let columns = columns(*line, header)?;
    Ok(rows
        .iter()
        // Spreadsheets leave such rows behind.
        .filter(|(_, record)| record.iter().any(|cell| !cell.trim().is_empty()))
        .map(|(line, record)| row(project, &columns, *line, record))
        .collect())
}

/// Every record, with the line that it begins in.
fn records(text: &str) -> Result<Vec<(usize, StringRecord)>, Refusal> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| Refusal::internal())?;
        // The header is one.
        if records.len() > MAX_ROWS {
            return Err(too_many_rows());
        }
        let line = record.position().map_or(1, |from| begins_in(text, from));
        records.push((line, record));
    }
    Ok(records)
}

/// The line of a record that was looked for from here on: empty lines may come first.
fn begins_in(text: &str, from: &Position) -> usize {
    let from_byte = usize::try_from(from.byte()).unwrap_or(usize::MAX);
    let ahead = text.as_bytes().get(from_byte..).unwrap_or_default();
    let empty = ahead
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let skipped = empty.filter(|byte| **byte == b'\n').count();
    usize::try_from(from.line()).unwrap_or(usize::MAX) + skipped
}

fn columns(line: usize, header: &StringRecord) -> Result<Vec<String>, Refusal> {
    let known = || format!("{}, {}, {LABELS}<key>", TEXTS.join(", "), OTHERS.join(", "));
    let mut seen = BTreeSet::new();
    for (place, name) in header.iter().enumerate() {
        let name = name.trim();
        let label = name.strip_prefix(LABELS).is_some_and(|key| !key.is_empty());
        let fault = if header.len() == 1 && name.contains([';', '\t']) {
            "the columns aren't separated by commas; save the file as CSV with commas".to_owned()
        } else if !label && !TEXTS.contains(&name) && !OTHERS.contains(&name) {
            format!(
                "there is no column {:?}; there are {}",
                shown(name),
                known()
            )
        } else if !seen.insert(name.to_owned()) {
            format!("the column {:?} is there twice; take one away", shown(name))
        } else {
            continue;
        };
        return Err(wrong(format!("line {line}, column {}: {fault}", place + 1)));
    }
    if !seen.contains("name") {
        return Err(wrong(format!(
            "line {line}: the column `name` is missing; the first line names the columns: {}",
            known()
        )));
    }
    Ok(header.iter().map(|name| name.trim().to_owned()).collect())
}

fn row(project: &str, columns: &[String], line: usize, record: &StringRecord) -> NewRow {
    let mut said = Said::of(project);
    for (column, cell) in columns.iter().zip(record) {
        if !cell.is_empty() {
            set(&mut said, column, cell);
        }
    }
    if record.len() != columns.len() {
        let what = format!(
            "has {} values where the first line names {} columns; quote values that have commas",
            record.len(),
            columns.len()
        );
        said.wrong.add("row", what);
    }
    said.row(line)
}

fn set(said: &mut Said, column: &str, cell: &str) {
    if let Some(text) = said.text(column) {
        cell.clone_into(text);
    } else if let Some(key) = column.strip_prefix(LABELS) {
        said.label(key, cell);
    } else if column == "trial_days" {
        match cell.trim().parse() {
            Ok(days) => said.message.trial_days = days,
            Err(_) => said
                .wrong
                .add("trial_days", "must be a whole number of days"),
        }
    } else {
        match serde_json::from_str(cell) {
            Ok(value) => said.metadata(&value),
            Err(_) => said.wrong.add("metadata", "must be a JSON object"),
        }
    }
}
