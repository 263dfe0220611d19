//! Reads what the log calls each change (`tenantry.options.v1.audit`). Contracts that don't say it aren't built.

use protox::prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MethodDescriptor};

/// The option that holds a rule.
const AUDIT: &str = "tenantry.options.v1.audit";

/// What the log calls a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) action: String,
    pub(crate) resource_type: String,
    /// Number of the request's field that holds the id.
    pub(crate) resource_id: Option<u32>,
    /// Whether one that happened is no event of its own.
    pub(crate) counted: bool,
}

/// The rule of an RPC; none for one that changes nothing.
pub(crate) fn rule(method: &MethodDescriptor, read_only: bool) -> Result<Option<Rule>, String> {
    let name = method.full_name();
    let option = method.parent_pool().get_extension_by_name(AUDIT);
    let option = option.ok_or_else(|| format!("{AUDIT} is not among the contracts"))?;
    let options = method.options();
    match (options.has_extension(&option), read_only) {
        (false, true) => return Ok(None),
        (true, true) => {
            return Err(format!(
                "{name} changes nothing (NO_SIDE_EFFECTS), so the log has no word for it: take `{AUDIT}` away"
            ));
        }
        (false, false) => {
            return Err(format!(
                "{name} may change something, and the log has no word for it: give it `option ({AUDIT})`, or NO_SIDE_EFFECTS"
            ));
        }
        (true, false) => {}
    }
    let value = options.get_extension(&option);
    let rule = value
        .as_message()
        .ok_or_else(|| format!("{AUDIT} is not a message"))?;
    Ok(Some(Rule {
        action: word(method, rule, "action")?,
        resource_type: word(method, rule, "resource_type")?,
        resource_id: resource_id(method, &text(rule, "resource_id"))?,
        counted: flag(rule, "counted"),
    }))
}

/// A word that every rule has.
fn word(method: &MethodDescriptor, rule: &DynamicMessage, field: &str) -> Result<String, String> {
    match text(rule, field) {
        word if word.is_empty() => Err(format!(
            "{}: `{AUDIT}` needs its `{field}`",
            method.full_name()
        )),
        word => Ok(word),
    }
}

/// The number of the field that the rule names: one string that is no secret.
fn resource_id(method: &MethodDescriptor, named: &str) -> Result<Option<u32>, String> {
    if named.is_empty() {
        return Ok(None);
    }
    let (name, input) = (method.full_name(), method.input());
    let field = input.get_field_by_name(named).ok_or_else(|| {
        format!(
            "{name}: `resource_id` names `{named}`, which {} doesn't have",
            input.full_name()
        )
    })?;
    if field.kind() != Kind::String || field.is_list() {
        return Err(format!(
            "{name}: `resource_id` names `{named}`, which isn't a string"
        ));
    }
    if is_redacted(&field) {
        return Err(format!(
            "{name}: `resource_id` names `{named}`, which is secret and must not get into the log"
        ));
    }
    Ok(Some(field.number()))
}

fn text(rule: &DynamicMessage, field: &str) -> String {
    rule.get_field_by_name(field)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn flag(rule: &DynamicMessage, field: &str) -> bool {
    let value = rule.get_field_by_name(field);
    value.and_then(|value| value.as_bool()).unwrap_or(false)
}

/// Whether the field carries `debug_redact = true`.
pub(crate) fn is_redacted(field: &FieldDescriptor) -> bool {
    field
        .options()
        .get_field_by_name("debug_redact")
        .and_then(|value| value.as_bool())
        .unwrap_or(false)
}
