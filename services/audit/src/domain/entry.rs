//! What stands in the log: an event in its canonical form, what opens its personal values, and what it is found by.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tenantry_core::event::{Event, Outcome};
use tenantry_core::{PrincipalKind, TenantId, random};
use tenantry_proto::personal;
use tenantry_transparency::leaf::{Disclosures, Leaf, LeafError};
use uuid::Uuid;

use super::changes::changes;
use super::terms;

/// Where an event comes from, and its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) source: &'a str,
    pub(crate) epoch: i32,
    pub(crate) n: i64,
    pub(crate) at: Timestamp,
}

/// An event that is ready to be appended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) n: i64,
    /// SHA-256 of what the source told, to know a repetition by; empty once it is erased.
    pub(crate) digest: Vec<u8>,
    pub(crate) leaf: Leaf,
    /// Salts and values of what is personal, as JSON; none where nothing is.
    pub(crate) disclosed: Option<String>,
    pub(crate) terms: Vec<i64>,
}

/// The event as a service of the fleet wrote it, as an entry; `told` are its bytes.
///
/// # Errors
/// For what can't stand in a leaf, as one that nests too deep.
pub(crate) fn of_event(
    origin: &Origin<'_>,
    event: &Event,
    told: &[u8],
) -> Result<Entry, LeafError> {
    let mut shown = Map::new();
    let mut personal = vec!["/actor/email", "/ip_address", "/user_agent"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let changed = changes(&event.before, &event.after);
    for field in changed.keys() {
        if personal::is_personal(&event.resource.kind, field) {
            let field = of_field(field);
            personal.extend([format!("{field}/before"), format!("{field}/after")]);
        }
    }
    insert(&mut shown, "actor", Value::Object(actor(event)));
    insert(&mut shown, "changes", Value::Object(changed));
    insert(&mut shown, "event_type", json!(event.action));
    insert(&mut shown, "outcome", json!(event.outcome.name()));
    insert(&mut shown, "reason", json!(event.reason));
    let mut resource = Map::new();
    insert(&mut resource, "type", json!(event.resource.kind));
    if !event.resource.id.is_nil() {
        insert(&mut resource, "id", json!(event.resource.id));
    }
    shown.insert("resource".to_owned(), Value::Object(resource));
    insert(&mut shown, "ip_address", json!(event.origin.ip));
    insert(&mut shown, "user_agent", json!(event.origin.user_agent));
    insert(&mut shown, "request_id", json!(event.origin.request_id));
    insert(&mut shown, "trace_id", json!(event.origin.trace_id));
    seal(origin, event.id.uuid(), shown, &personal, told)
}

/// The pointer (RFC 6901) of a field of the changes.
pub(crate) fn of_field(field: &str) -> String {
    let field = field.replace('~', "~0").replace('/', "~1");
    format!("/changes/{field}")
}

/// Puts the members that every leaf has to the event's own, and seals it.
pub(crate) fn seal(
    origin: &Origin<'_>,
    id: Uuid,
    mut shown: Map<String, Value>,
    personal: &[String],
    told: &[u8],
) -> Result<Entry, LeafError> {
    insert(&mut shown, "v", json!(VERSION));
    insert(&mut shown, "id", json!(id));
    insert(&mut shown, "tenant_id", json!(origin.tenant));
    insert(&mut shown, "source", json!(origin.source));
    insert(&mut shown, "epoch", json!(origin.epoch));
    insert(&mut shown, "n", json!(origin.n));
    insert(&mut shown, "timestamp", json!(origin.at));
    let event = Value::Object(shown);
    let terms = terms::of_event(&event);
    let (leaf, disclosed) = Leaf::seal(event, personal, random::bytes::<16>)?;
    Ok(Entry {
        id,
        at: origin.at,
        n: origin.n,
        digest: Sha256::digest(told).to_vec(),
        leaf,
        disclosed: written(&disclosed),
        terms,
    })
}

impl Entry {
    /// Takes out what tells of a person: the leaf stays as it is, and so does every proof. The digest goes too, for it is made
    /// of the values, and whoever tries values would see which were there.
    ///
    /// # Errors
    /// None for leaves that were sealed here.
    pub(crate) fn erase(&mut self) -> Result<(), LeafError> {
        self.terms = terms_of_leaf(&self.leaf)?;
        self.digest = Vec::new();
        self.disclosed = None;
        Ok(())
    }
}

/// What a leaf by itself is found by.
///
/// # Errors
/// None for leaves that were sealed here.
pub(crate) fn terms_of_leaf(leaf: &Leaf) -> Result<Vec<i64>, LeafError> {
    Ok(terms::of_event(&leaf.open(&Disclosures::new())?))
}

/// Version of the form of leaves.
const VERSION: u32 = 1;

fn written(disclosed: &Disclosures) -> Option<String> {
    if disclosed.is_empty() {
        return None;
    }
    serde_json::to_string(disclosed).ok()
}

/// Whoever did it, with what there is of them.
fn actor(event: &Event) -> Map<String, Value> {
    let mut actor = Map::new();
    let who = &event.actor;
    insert(&mut actor, "kind", json!(who.kind.name()));
    if !who.id.is_nil() {
        insert(&mut actor, "id", json!(who.id));
    }
    match who.kind {
        PrincipalKind::User => {
            insert(&mut actor, "user_id", json!(who.id));
            insert(&mut actor, "email", json!(who.name));
        }
        PrincipalKind::ApiKey | PrincipalKind::ServiceAccount => {
            insert(&mut actor, "key_id", json!(event.credential));
        }
        PrincipalKind::Service | PrincipalKind::Anonymous => {
            insert(&mut actor, "name", json!(who.name));
        }
    }
    actor
}

/// Inserts what says something: no empty text or object, no null.
pub(crate) fn insert(into: &mut Map<String, Value>, name: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    };
    if !empty {
        into.insert(name.to_owned(), value);
    }
}

/// Reads an outcome; `success` where it is empty.
pub(crate) fn outcome(text: &str) -> Option<Outcome> {
    if text.is_empty() {
        return Some(Outcome::Success);
    }
    Outcome::ALL
        .iter()
        .copied()
        .find(|outcome| outcome.name() == text)
}

#[cfg(test)]
mod tests {
    use tenantry_core::event::Resource;
    use tenantry_core::{EventId, Origin as Where, Principal};

    use super::*;
    use crate::domain::terms::Fact;

    fn event() -> Event {
        Event {
            id: EventId::new(),
            action: "tenant.updated".to_owned(),
            resource: Resource {
                kind: "tenant".to_owned(),
                id: Uuid::from_u128(7),
            },
            actor: Principal {
                kind: PrincipalKind::User,
                id: Uuid::from_u128(8),
                name: "ada@example.com".to_owned(),
            },
            before: json!({"billing_email": "old@example.com", "name": "Old", "metadata": {"a/b": 1}}),
            after: json!({"billing_email": "new@example.com", "name": "New", "metadata": {"a/b": 2}}),
            origin: Where {
                ip: "192.0.2.7".to_owned(),
                user_agent: "curl/8".to_owned(),
                request_id: "r".to_owned(),
                trace_id: String::new(),
            },
            credential: "session".to_owned(),
            outcome: Outcome::Success,
            reason: String::new(),
        }
    }

    #[test]
    fn a_leaf_has_what_happened_and_of_personal_values_only_hashes() {
        let event = event();
        let origin = Origin {
            tenant: TenantId::new(),
            source: "registry",
            epoch: 1,
            n: 3,
            at: Timestamp::UNIX_EPOCH,
        };
        let entry = of_event(&origin, &event, b"told").unwrap();
        let text = entry.leaf.as_str();
        for value in [
            "ada@example.com",
            "old@",
            "new@",
            "192.0.2.7",
            "curl/8",
            "session",
        ] {
            assert!(!text.contains(value), "{value} in {text}");
        }
        let disclosed = serde_json::from_str(&entry.disclosed.unwrap()).unwrap();
        let opened = entry.leaf.open(&disclosed).unwrap();
        assert_eq!(opened["actor"]["email"], "ada@example.com");
        assert_eq!(
            opened["changes"]["billing_email"]["after"],
            "new@example.com"
        );
        assert_eq!(opened["changes"]["name"]["before"], "Old");
        assert_eq!(opened["ip_address"], "192.0.2.7");
        assert_eq!(opened["n"], 3);
        assert!(opened.get("trace_id").is_none() && opened.get("reason").is_none());
    }

    #[test]
    fn an_erased_entry_has_the_same_leaf_and_is_found_by_nothing_of_the_person() {
        let origin = Origin {
            tenant: TenantId::new(),
            source: "registry",
            epoch: 1,
            n: 3,
            at: Timestamp::UNIX_EPOCH,
        };
        let mut erased = of_event(&origin, &event(), b"told").unwrap();
        let (leaf, before) = (erased.leaf.clone(), erased.terms.clone());
        erased.erase().unwrap();
        assert_eq!((&erased.leaf, erased.leaf.hash()), (&leaf, leaf.hash()));
        assert!(erased.disclosed.is_none() && erased.digest.is_empty());
        let has = |terms: &[i64], fact: Fact, value: &str| terms.contains(&fact.term(value));
        for (fact, value) in [
            (Fact::Actor, "ada@example.com"),
            (Fact::IpAddress, "192.0.2.7"),
            (Fact::Word, "ada"),
            (Fact::Word, "curl"),
        ] {
            assert!(
                has(&before, fact, value) && !has(&erased.terms, fact, value),
                "{value}"
            );
        }
        let who = Uuid::from_u128(8).to_string();
        for (fact, value) in [
            (Fact::Actor, who.as_str()),
            (Fact::EventType, "tenant"),
            (Fact::Word, "New"),
            (Fact::Word, "billing"),
        ] {
            assert!(has(&erased.terms, fact, value), "{value}");
        }
        assert!(erased.terms.iter().all(|term| before.contains(term)));
    }

    #[test]
    fn two_events_with_the_same_person_have_other_hashes() {
        let origin = Origin {
            tenant: TenantId::new(),
            source: "registry",
            epoch: 1,
            n: 3,
            at: Timestamp::UNIX_EPOCH,
        };
        let [one, other] = [(); 2].map(|()| of_event(&origin, &event(), b"told").unwrap());
        assert_ne!(one.leaf.as_str(), other.leaf.as_str());
        assert_eq!(one.digest, other.digest);
    }
}
