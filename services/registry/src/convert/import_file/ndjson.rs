//! A JSON object on each line, with the fields of a create.

use serde_json::{Map, Value};
use tenantry_core::Refusal;

use super::{MAX_ROWS, Said, shown, too_many_rows};
use crate::domain::import::NewRow;

pub(super) fn rows(project: &str, text: &str) -> Result<Vec<NewRow>, Refusal> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let mut rows = Vec::new();
    for (index, line) in lines {
        if rows.len() == MAX_ROWS {
            return Err(too_many_rows());
        }
        rows.push(row(project, index + 1, line));
    }
    Ok(rows)
}

fn row(project: &str, line: usize, text: &str) -> NewRow {
    let mut said = Said::of(project);
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => {
            for (field, value) in &object {
                set(&mut said, field, value);
            }
        }
        Ok(_) => said.wrong.add("row", "must be a JSON object"),
        Err(error) => {
            let what = format!("isn't JSON from column {} on", error.column());
            said.wrong.add("row", what);
        }
    }
    said.row(line)
}

fn set(said: &mut Said, field: &str, value: &Value) {
    if let Some(place) = said.text(field) {
        match value {
            Value::String(text) => place.clone_from(text),
            Value::Null => {}
            _ => said.wrong.add(field, "must be a text"),
        }
        return;
    }
    match (field, value) {
        ("trial_days" | "labels" | "metadata", Value::Null) => {}
        ("trial_days", _) => match value.as_i64().and_then(|days| i32::try_from(days).ok()) {
            Some(days) => said.message.trial_days = days,
            None => said
                .wrong
                .add("trial_days", "must be a whole number of days"),
        },
        ("metadata", _) => said.metadata(value),
        ("labels", Value::Array(labels)) => {
            for label in labels {
                match label.as_object().and_then(key_and_value) {
                    Some((key, value)) => said.label(key, value),
                    None => said.wrong.add("labels", LABELS),
                }
            }
        }
        ("labels", _) => said.wrong.add("labels", LABELS),
        _ => said
            .wrong
            .add(shown(field), "isn't a field that a row has; take it away"),
    }
}

const LABELS: &str = "must be a list of objects with `key` and `value`";

fn key_and_value(label: &Map<String, Value>) -> Option<(&str, &str)> {
    match (label.len(), label.get("key")?, label.get("value")?) {
        (2, Value::String(key), Value::String(value)) => Some((key, value)),
        _ => None,
    }
}
