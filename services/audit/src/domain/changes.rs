//! What a change changed: the fields that differ between the states before and after.

use serde_json::{Map, Value, json};

/// Fields that change with every change and say nothing.
const BOOKKEEPING: &[&str] = &["version", "updated_at", "etag"];

/// A field that belongs to a creation: where both states have one, they are two versions of the same thing.
const CREATED_AT: &str = "created_at";

/// The fields that differ, each with `before` and `after`. A state that is no object is one field, called `value`.
pub(crate) fn changes(before: &Value, after: &Value) -> Map<String, Value> {
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Map::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        let (old, new) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
        let nothing = is_empty(old) && is_empty(new);
        let next_version = name == CREATED_AT && !is_empty(old) && !is_empty(new);
        if next_version {
            continue;
        }
        if old != new && !nothing && !BOOKKEEPING.contains(&name.as_str()) {
            changes.insert(name.clone(), json!({ "before": old, "after": new }));
        }
    }
    changes
}

/// Whether there is nothing: whoever makes something leaves most fields like that.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn fields(state: &Value) -> Map<String, Value> {
    match state {
        Value::Null => Map::new(),
        Value::Object(fields) => fields.clone(),
        other => Map::from_iter([("value".to_owned(), other.clone())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let before = json!({"name": "Old", "slug": "a", "version": 1, "email": "", "gone": 1});
        let after = json!({"name": "New", "slug": "a", "version": 2, "email": "", "added": [1]});
        let expected = json!({
            "added": {"before": null, "after": [1]},
            "gone": {"before": 1, "after": null},
            "name": {"before": "Old", "after": "New"},
        });
        assert_eq!(Value::Object(changes(&before, &after)), expected);
        assert!(changes(&Value::Null, &Value::Null).is_empty());
        assert_eq!(changes(&Value::Null, &json!("x")).len(), 1);
        let made = changes(
            &Value::Null,
            &json!({"name": "New", "email": "", "labels": {}}),
        );
        assert_eq!(made.len(), 1);
        let first = json!({"created_at": 1, "name": "Old"});
        let next = json!({"created_at": 2, "name": "New"});
        assert_eq!(changes(&first, &next).len(), 1);
        assert_eq!(changes(&Value::Null, &first).len(), 2);
    }
}
