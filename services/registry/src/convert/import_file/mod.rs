//! Reads files of tenants. What keeps the whole from being one is told by line and column; what keeps a row from being a
//! tenant is that row's, in the words of a create.

mod csv;
mod ndjson;

use serde_json::Value;
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;
use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::convert::proto_struct;

use super::new_tenant;
use crate::domain::import::{Draft, Format, NewRow, Parent};

/// Most rows of a file.
pub(crate) const MAX_ROWS: usize = 10_000;
/// Largest file. Escaped as JSON it still fits the gateway's 4 MiB, unless it is quotes and line ends for the most part.
pub(crate) const MAX_BYTES: usize = 3_000_000;
/// Most characters that are shown of what a file says.
const SHOWN_CHARS: usize = 200;
/// Longest name of a parent.
const MAX_PARENT_CHARS: usize = 128;

/// Columns, and fields of objects, that hold a text.
const TEXTS: &[&str] = &[
    "name",
    "slug",
    "external_id",
    "email",
    "billing_email",
    "contact_phone",
    "timezone",
    "locale",
    "region",
    "subscription_tier",
    "parent_id",
    "parent_external_id",
];
/// Further ones, which hold something else.
const OTHERS: &[&str] = &["trial_days", "metadata"];

/// The rows of a file.
pub(crate) fn read(project: &str, format: Format, content: &str) -> Result<Vec<NewRow>, Refusal> {
    if content.len() > MAX_BYTES {
        return Err(wrong(format!(
            "is larger than {MAX_BYTES} bytes; split the file, and import its parts one after the other"
        )));
    }
    if let Some(place) = content.find('\0') {
        return Err(at(
            content,
            place,
            "a NUL character, which is no text; save the file as plain UTF-8",
        ));
    }
    if let Some(place) = content.find(char::REPLACEMENT_CHARACTER) {
        return Err(at(
            content,
            place,
            "a character that was lost, for the file wasn't UTF-8 where it was read; save it as UTF-8",
        ));
    }
    // Spreadsheets put a mark of their encoding first.
    let text = content.strip_prefix('\u{feff}').unwrap_or(content);
    let rows = match format {
        Format::Csv => csv::rows(project, text)?,
        Format::Ndjson => ndjson::rows(project, text)?,
    };
    if rows.is_empty() {
        return Err(wrong("has no rows".to_owned()));
    }
    Ok(rows)
}

fn wrong(what: String) -> Refusal {
    Refusal::field("content", what)
}

fn too_many_rows() -> Refusal {
    wrong(format!(
        "has more than {MAX_ROWS} rows; split the file, and import its parts one after the other"
    ))
}

/// A refusal of what stands at this byte.
fn at(content: &str, byte: usize, what: &str) -> Refusal {
    let before = &content[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    wrong(format!("line {line}, column {column}: {what}"))
}

/// What can be shown of a file's text, to people and to the database.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SHOWN_CHARS).collect()
}

/// One row as it is read: what a create would be sent.
#[derive(Debug, Default)]
struct Said {
    message: wire::CreateTenantRequest,
    parent_external_id: String,
    wrong: Violations,
}

impl Said {
    fn of(project: &str) -> Self {
        let message = wire::CreateTenantRequest {
            project: project.to_owned(),
            ..Default::default()
        };
        Self {
            message,
            ..Self::default()
        }
    }

    /// The place of one of [`TEXTS`].
    fn text(&mut self, field: &str) -> Option<&mut String> {
        let message = &mut self.message;
        Some(match field {
            "name" => &mut message.name,
            "slug" => &mut message.slug,
            "external_id" => &mut message.external_id,
            "email" => &mut message.email,
            "billing_email" => &mut message.billing_email,
            "contact_phone" => &mut message.contact_phone,
            "timezone" => &mut message.timezone,
            "locale" => &mut message.locale,
            "region" => &mut message.region,
            "subscription_tier" => &mut message.subscription_tier,
            "parent_id" => &mut message.parent_id,
            "parent_external_id" => &mut self.parent_external_id,
            _ => return None,
        })
    }

    fn label(&mut self, key: &str, value: &str) {
        self.message.labels.push(wire::Label {
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }

    fn metadata(&mut self, value: &Value) {
        if !value.is_object() {
            self.wrong.add("metadata", "must be a JSON object");
        } else if has_empty_key(value) {
            // As the sanitiser of free JSON says it, which can't see them any more.
            self.wrong.add(
                "metadata",
                "has an empty key; every key needs at least one character",
            );
        } else {
            self.message.metadata = Some(proto_struct(value));
        }
    }

    fn row(mut self, line: usize) -> NewRow {
        let message = &self.message;
        let [name, slug, external_id] =
            [&message.name, &message.slug, &message.external_id].map(|text| shown(text));
        let parent = self.parent();
        NewRow {
            line,
            name,
            slug,
            external_id,
            draft: self.draft(parent),
        }
    }

    fn parent(&mut self) -> Parent {
        let named = std::mem::take(&mut self.message.parent_id);
        let external = std::mem::take(&mut self.parent_external_id);
        for (field, text) in [("parent_id", &named), ("parent_external_id", &external)] {
            if text.chars().count() > MAX_PARENT_CHARS || text.contains(char::is_control) {
                let what = format!("must be at most {MAX_PARENT_CHARS} printable characters");
                self.wrong.add(field, what);
            }
        }
        match (named.as_str(), external.as_str()) {
            ("", "") => Parent::None,
            (_, "") => Parent::Named(named),
            ("", _) => Parent::ExternalId(external),
            _ => {
                let what = "names the parent that parent_id names too; give one of them";
                self.wrong.add("parent_external_id", what);
                Parent::None
            }
        }
    }

    fn draft(self, parent: Parent) -> Result<Draft, Refusal> {
        self.wrong.check()?;
        let new = new_tenant(self.message)?;
        new.check()?;
        Ok(Draft { new, parent })
    }
}

fn has_empty_key(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.is_empty() || has_empty_key(value)),
        Value::Array(list) => list.iter().any(has_empty_key),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
