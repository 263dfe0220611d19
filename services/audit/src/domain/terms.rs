//! What an event is found by: each fact and each word of it as a term of 64 bits. An event is found by a filter when it has
//! all of the filter's terms; of a million events one in 10^13 has one by chance.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Most words that one event is found by.
const MOST_WORDS: usize = 96;
/// Longest word, in characters; what is longer is found by its beginning.
const MAX_WORD: usize = 64;

/// What kind of fact a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Id of the event itself.
    Event,
    /// Id or e-mail address of who did it, or id of the key.
    Actor,
    /// What happened, or what that begins with.
    EventType,
    ResourceType,
    ResourceId,
    Outcome,
    IpAddress,
    RequestId,
    /// A word of any text.
    Word,
}

impl Fact {
    const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Actor => "actor",
            Self::EventType => "event_type",
            Self::ResourceType => "resource_type",
            Self::ResourceId => "resource_id",
            Self::Outcome => "outcome",
            Self::IpAddress => "ip_address",
            Self::RequestId => "request_id",
            Self::Word => "word",
        }
    }

    /// The term of this fact, whatever its case.
    pub(crate) fn term(self, value: &str) -> i64 {
        let digest = Sha256::new()
            .chain_update(self.name())
            .chain_update([0])
            .chain_update(value.to_lowercase())
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        i64::from_be_bytes(first)
    }
}

/// The words of a text, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(MAX_WORD).collect::<String>())
        .map(|word| word.to_lowercase())
}

/// The terms of an event in its canonical form with its personal values put back, or without them where they were erased.
pub(crate) fn of_event(event: &Value) -> Vec<i64> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let mut terms = BTreeSet::new();
    let facts = [
        (Fact::Event, "/id"),
        (Fact::Actor, "/actor/id"),
        (Fact::Actor, "/actor/email"),
        (Fact::Actor, "/actor/name"),
        (Fact::Actor, "/actor/key_id"),
        (Fact::ResourceType, "/resource/type"),
        (Fact::ResourceId, "/resource/id"),
        (Fact::Outcome, "/outcome"),
        (Fact::IpAddress, "/ip_address"),
        (Fact::RequestId, "/request_id"),
    ];
    for (fact, pointer) in facts {
        if let Some(value) = text(pointer) {
            terms.insert(fact.term(value));
        }
    }
    for beginning in beginnings(text("/event_type").unwrap_or_default()) {
        terms.insert(Fact::EventType.term(beginning));
    }
    let mut found = BTreeSet::new();
    for pointer in [
        "/event_type",
        "/actor/email",
        "/actor/name",
        "/reason",
        "/resource/id",
    ] {
        found.extend(text(pointer).into_iter().flat_map(words));
    }
    for member in ["changes", "user_agent", "ip_address"] {
        collect(event.get(member).unwrap_or(&Value::Null), &mut found);
    }
    terms.extend(found.iter().map(|word| Fact::Word.term(word)));
    terms.into_iter().collect()
}

/// What an event type begins with, up to each dot, and itself.
fn beginnings(event_type: &str) -> impl Iterator<Item = &str> {
    let dots = event_type.match_indices('.').map(|(at, _)| at);
    dots.chain([event_type.len()]).map(|end| &event_type[..end])
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for word in words(text) {
                if found.len() >= MOST_WORDS {
                    return;
                }
                found.insert(word);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if found.len() < MOST_WORDS && !matches!(key.as_str(), "before" | "after") {
                found.extend(words(key));
            }
            collect(value, found);
        }),
        Value::Number(number) => {
            if found.len() < MOST_WORDS {
                found.insert(number.to_string());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_found_by_each_of_its_facts_and_words_in_any_case() {
        let event = json!({
            "event_type": "tenant.domain.verified", "outcome": "success",
            "actor": {"id": "0193", "email": "Ada.Lovelace@Example.com"},
            "changes": {"name": {"before": null, "after": "Zürich & Söhne 42"}, "labels": {"after": {"tier": "gold"}}},
        });
        let terms = of_event(&event);
        let has = |fact: Fact, value: &str| terms.contains(&fact.term(value));
        assert!(has(Fact::Actor, "ada.lovelace@example.com") && has(Fact::Actor, "0193"));
        for beginning in ["tenant", "tenant.domain", "tenant.domain.verified"] {
            assert!(has(Fact::EventType, beginning), "{beginning}");
        }
        assert!(!has(Fact::EventType, "tenant.dom") && !has(Fact::EventType, "domain"));
        for word in ["ZÜRICH", "söhne", "42", "gold", "tier", "lovelace", "name"] {
            assert!(has(Fact::Word, word), "{word}");
        }
        assert!(!has(Fact::Word, "before") && !has(Fact::Actor, "zürich"));
    }

    #[test]
    fn a_huge_event_has_a_bounded_number_of_terms() {
        let many: Vec<String> = (0..10_000).map(|n| format!("word{n}")).collect();
        let event = json!({"event_type": "a", "changes": {"list": {"after": many}}});
        assert!(of_event(&event).len() < MOST_WORDS + 20);
    }
}
