//! What the log says of one request, held against what is expected.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;

use super::case::{ANY, Caller, Changes, Left, Refused};
use super::scene::USER_AGENT;
use crate::support::world::text;

/// Longest time until what happened is found. The promise is two seconds; a machine that runs all tests at once has more.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

/// All events of a request, in whichever logs.
async fn of_request(rest: &Rest, request_id: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/tenants/audit-log/search?request_id={request_id}&page_size=1000");
    let found = rest.get(&path).await?.ok()?;
    let events = found["events"].as_array().cloned();
    Ok(events.unwrap_or_default())
}

/// The events of a request, once there are so many.
pub(super) async fn found(rest: &Rest, what: &str, id: &str, count: usize) -> Result<Vec<Value>> {
    ensure!(!id.is_empty(), "{what}: the answer names no request");
    let what = format!("{count} events of {what}");
    until(&what, FOUND_WITHIN, async || {
        let events = of_request(rest, id).await?;
        Ok((events.len() >= count).then_some(events))
    })
    .await
}

/// Holds the events of a call against what it is to leave, in any order.
pub(super) fn check(what: &str, events: Vec<Value>, left: &[Left], by: &Caller) {
    let mut events = events;
    for expected in left {
        let meant = |event: &Value| fits(event, expected);
        let place = events
            .iter()
            .position(|event| meant(event) && other_changes(event, &expected.changes).is_none())
            .or_else(|| events.iter().position(meant));
        let event = place.map(|place| events.remove(place));
        let event = event.unwrap_or_else(|| panic!("{what}: no {expected:?} in {events:#?}"));
        assert_eq!(event["outcome"], "success", "{what}: {event:#}");
        let actor = expected.actor.as_ref().unwrap_or(&by.actor);
        assert!(
            matches(&event["actor"], actor),
            "{what}: by {actor}: {event:#}"
        );
        if let Some(why) = other_changes(&event, &expected.changes) {
            panic!("{what}: {why}: {event:#}");
        }
        if expected.has_origin {
            check_origin(what, &event);
        }
    }
    assert!(events.is_empty(), "{what} left more: {events:#?}");
}

/// Whether this is the event that is meant.
fn fits(event: &Value, expected: &Left) -> bool {
    let (kind, id) = &expected.resource;
    event["event_type"] == expected.action
        && event["resource_type"] == *kind
        && matches(&event["resource_id"], &Value::from(id.as_str()))
        && matches(&event["tenant_id"], &Value::from(expected.log.as_str()))
}

/// Whether it is this value; [`ANY`] stands for any that is there.
fn matches(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (value, Value::String(text)) if text == ANY => {
            !value.is_null() && value.as_str() != Some("")
        }
        (Value::Object(fields), Value::Object(expected)) => {
            fields.len() == expected.len()
                && fields
                    .iter()
                    .all(|(name, value)| expected.get(name).is_some_and(|e| matches(value, e)))
        }
        // Numbers of a Struct are floating.
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(values), Value::Array(expected)) => {
            values.len() == expected.len()
                && values
                    .iter()
                    .zip(expected)
                    .all(|(value, e)| matches(value, e))
        }
        _ => value == expected,
    }
}

/// Why the changes aren't what is expected; none where they are.
fn other_changes(event: &Value, expected: &Changes) -> Option<String> {
    let changes = event["changes"].as_object().cloned().unwrap_or_default();
    let (fields, there, not_there) = match expected {
        Changes::Exactly(expected) => {
            let same = matches(&event["changes"], expected);
            return (!same).then(|| format!("the changes aren't {expected}"));
        }
        Changes::Made(fields) => (fields, "after", "before"),
        Changes::Gone(fields) => (fields, "before", "after"),
    };
    let stays = changes
        .iter()
        .find(|(_, change)| !change[not_there].is_null());
    if let Some((name, _)) = stays {
        return Some(format!("{name} has something {not_there}"));
    }
    let fields = fields.as_object()?;
    fields.iter().find_map(|(name, value)| {
        let change = changes
            .get(name)
            .map_or(&Value::Null, |change| &change[there]);
        (!matches(change, value)).then(|| format!("{name} isn't {value}"))
    })
}

/// Where it came from: this machine, by the gateway.
fn check_origin(what: &str, event: &Value) {
    assert_eq!(event["ip_address"], "127.0.0.1", "{what}: {event:#}");
    let agent = text(event, "user_agent");
    assert!(agent.starts_with(USER_AGENT), "{what}: {event:#}");
    let trace = text(event, "trace_id");
    assert!(
        trace.len() == 32 && trace.chars().any(|c| c != '0'),
        "{what}: {event:#}"
    );
}

/// Holds the only event of a denied call against it.
pub(super) fn check_denied(
    what: &str,
    events: &[Value],
    (action, kind): (&str, &str),
    refused: &Refused,
) {
    let [event] = events else {
        panic!("{what}, denied, left {events:#?}");
    };
    let expected = serde_json::json!({
        "outcome": "denied", "reason": refused.reason, "event_type": action, "resource_type": kind,
        "resource_id": refused.resource, "tenant_id": refused.by.home, "actor": refused.by.actor, "changes": {},
    });
    for (name, value) in expected.as_object().into_iter().flatten() {
        assert!(
            matches(&event[name], value),
            "{what}, denied: {name} isn't {value}: {event:#}"
        );
    }
    check_origin(what, event);
}

/// Waits until the log has all that the services have written about these tenants by now: what isn't in it then never comes. A
/// stream that an operator has resumed goes on with its next event.
pub(super) async fn drained(fleet: &Fleet, tenants: &[String]) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    // At one instant: others go on writing, in the platform's log above all.
    let written = "
        CREATE TEMPORARY TABLE written AS
            SELECT 'registry' AS source, tenant_id, n FROM registry.outbox_counter
            UNION ALL SELECT 'identity', tenant_id, n FROM identity.outbox_counter
            UNION ALL SELECT 'audit', tenant_id, n FROM audit.outbox_counter
            UNION ALL SELECT 'quota', tenant_id, n FROM quota.outbox_counter";
    sqlx::query(written).execute(&mut connection).await?;
    let behind = "
        SELECT string_agg(format('%s of %s: %s of %s', source, tenant_id, coalesce(taken.last_n, 0), written.n), ', ')
        FROM written LEFT JOIN audit.sources AS taken USING (source, tenant_id)
        WHERE written.tenant_id = ANY($1::uuid[]) AND coalesce(taken.last_n, 0) < written.n
          AND coalesce(taken.epoch, 1) = 1";
    let mut missing = None;
    let all = until("drained outbox", FOUND_WITHIN, async || {
        missing = sqlx::query_scalar::<_, Option<String>>(behind)
            .bind(tenants)
            .fetch_one(&mut connection)
            .await?;
        Ok(missing.is_none().then_some(()))
    })
    .await;
    all.with_context(|| format!("the log has {missing:?}"))
}
