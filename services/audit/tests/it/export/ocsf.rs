//! Exports in OCSF keep the schema, as `ocsf.json` describes it.

use std::net::IpAddr;

use serde_json::Value;
use tenantry_core::event::{Event, Outcome};
use tenantry_core::{PrincipalKind, TenantId};

use crate::support::{World, all, event, stream};

/// The number of an activity, a status or a type that has none of the schema's.
const OTHER: i64 = 99;

/// What is required of events.
struct Schema(Value);

impl Schema {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("ocsf.json")).unwrap())
    }

    /// Everything about an event that isn't as the schema has it.
    fn faults(&self, event: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let class = &self.0["classes"][event["class_uid"].to_string()];
        for one in [&self.0["base"], class] {
            self.required(one, event, "", &mut faults);
        }
        let known = [&self.0["base"]["attributes"], &class["attributes"]];
        self.members(&known, event, "", &mut faults);
        let number = |name: &str| event[name].as_i64().unwrap_or(-1);
        let activity = &class["activities"][event["activity_id"].to_string()];
        let type_uid = number("class_uid") * 100 + number("activity_id");
        let name = format!(
            "{}: {}",
            text(&event["class_name"]),
            text(&event["activity_name"])
        );
        for (what, holds) in [
            ("class_name", event["class_name"] == class["name"]),
            (
                "category_uid",
                event["category_uid"] == class["category_uid"],
            ),
            (
                "category_name",
                event["category_name"] == class["category_name"],
            ),
            (
                "activity_name",
                number("activity_id") == OTHER || event["activity_name"] == *activity,
            ),
            ("type_uid", number("type_uid") == type_uid),
            ("type_name", event["type_name"] == name),
            ("version", event["metadata"]["version"] == self.0["version"]),
        ] {
            if !holds {
                faults.push(what.to_owned());
            }
        }
        for name in ["severity", "status"] {
            let id = &event[format!("{name}_id")];
            if !id.is_null() && event[name] != self.0["captions"][name][id.to_string()] {
                faults.push(name.to_owned());
            }
        }
        faults
    }

    fn required(&self, described: &Value, object: &Value, at: &str, faults: &mut Vec<String>) {
        let names = |list: &str| described[list].as_array().cloned().unwrap_or_default();
        let has = |name: &Value| !object[text(name)].is_null();
        for name in names("required").iter().filter(|name| !has(name)) {
            faults.push(format!("{at}/{} is required", text(name)));
        }
        let one_of = names("at_least_one");
        if !one_of.is_empty() && !one_of.iter().any(has) {
            faults.push(format!("{at} has none of {one_of:?}"));
        }
    }

    fn members(&self, known: &[&Value], object: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(members) = object.as_object() else {
            return faults.push(format!("{at} is no object"));
        };
        for (name, value) in members {
            let at = format!("{at}/{name}");
            match known.iter().find_map(|attributes| attributes.get(name)) {
                None => faults.push(format!("{at} isn't in the schema")),
                Some(Value::Array(of)) => match value.as_array() {
                    None => faults.push(format!("{at} is no list")),
                    Some(values) => values
                        .iter()
                        .for_each(|value| self.value(text(&of[0]), value, &at, faults)),
                },
                Some(kind) => self.value(text(kind), value, &at, faults),
            }
        }
    }

    fn value(&self, kind: &str, value: &Value, at: &str, faults: &mut Vec<String>) {
        let holds = match kind {
            "any" => true,
            "integer" => value.is_i64(),
            // Milliseconds: of our time, they have thirteen digits.
            "timestamp" => value.as_i64().is_some_and(|ms| ms.to_string().len() == 13),
            "string" => value.as_str().is_some_and(|text| !text.is_empty()),
            "email" => text(value)
                .split_once('@')
                .is_some_and(|(_, at)| at.contains('.')),
            "ip" => text(value).parse::<IpAddr>().is_ok(),
            object => {
                let described = &self.0["objects"][object];
                assert!(described.is_object(), "{object} isn't described");
                self.required(described, value, at, faults);
                return self.members(&[&described["attributes"]], value, at, faults);
            }
        };
        if !holds {
            faults.push(format!("{at} is no {kind}: {value}"));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Events of every kind of actor, outcome and activity, with much and with little in them.
fn events() -> Vec<Event> {
    let kinds = [
        PrincipalKind::User,
        PrincipalKind::ApiKey,
        PrincipalKind::ServiceAccount,
        PrincipalKind::Service,
        PrincipalKind::Anonymous,
    ];
    let actions = [
        "tenant.created",
        "tenant.updated",
        "tenant.suspended",
        "tenant.moved",
        "member.removed",
        "session.started",
        "audit_log.read",
    ];
    let mut events = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        for action in actions {
            for outcome in Outcome::ALL {
                let mut event = event(action);
                event.actor.kind = kind;
                event.outcome = *outcome;
                event.credential = "key-1".to_owned();
                if *outcome != Outcome::Success {
                    event.reason = "PERMISSION_DENIED".to_owned();
                }
                if kind == PrincipalKind::Service {
                    event.actor.name = "registry".to_owned();
                    event.origin = tenantry_core::Origin::default();
                }
                if kind == PrincipalKind::Anonymous {
                    event.actor.id = uuid::Uuid::nil();
                    event.actor.name = String::new();
                    event.resource.id = uuid::Uuid::nil();
                }
                if number % 2 == 1 {
                    event.after = Value::Null;
                    event.before = Value::Null;
                }
                events.push(event);
            }
        }
    }
    events
}

async fn exported(world: &World, tenant: TenantId) -> Vec<Value> {
    let export = world.exported(tenant, all("ocsf")).await.unwrap();
    export
        .verdict(&world.vkeys(), &[])
        .proves(&["105 of 105 events are in this log"]);
    let lines = export.text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_line_keeps_the_schema_whatever_happened_and_whoever_did_it() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world
        .appended("registry", stream(tenant, 1, &events()))
        .await;
    world.all_signed(tenant).await;
    let schema = Schema::read();
    let check = |lines: &[Value]| {
        assert_eq!(lines.len(), 107);
        let mut classes: Vec<_> = lines.iter().map(|line| &line["class_uid"]).collect();
        for line in lines {
            assert_eq!(schema.faults(line), Vec::<String>::new(), "{line}");
        }
        classes.sort_by_key(|uid| uid.as_i64());
        classes.dedup();
        assert_eq!(classes, [0, 3004, 6003]);
    };
    check(&exported(&world, tenant).await);
    // Events keep it also without what was erased.
    let erase = "UPDATE events SET disclosed = NULL";
    let mut owner = world.owner().await;
    sqlx::raw_sql(erase).execute(&mut owner).await.unwrap();
    check(&exported(&world, tenant).await);
}

#[test]
fn the_description_notices_what_breaks_the_schema() {
    let schema = Schema::read();
    let good = serde_json::json!({
        "activity_id": 3, "activity_name": "Update", "category_uid": 6, "category_name": "Application Activity",
        "class_uid": 6003, "class_name": "API Activity", "type_uid": 600303, "type_name": "API Activity: Update",
        "time": 1_700_000_000_000_i64, "severity_id": 1, "severity": "Informational",
        "metadata": {"version": "1.6.0", "product": {"name": "x"}},
        "actor": {"user": {"uid": "1"}}, "api": {"operation": "x"}, "src_endpoint": {"ip": "192.0.2.1"},
    });
    assert_eq!(schema.faults(&good), Vec::<String>::new());
    let breaks: [fn(&mut Value); 9] = [
        |event| drop(event.as_object_mut().unwrap().remove("api")),
        |event| event["actor"] = serde_json::json!({}),
        |event| event["actor"]["user"] = serde_json::json!({"type_id": 1}),
        |event| event["src_endpoint"]["ip"] = "nowhere".into(),
        |event| event["time"] = "2026-01-01".into(),
        |event| event["type_uid"] = 300_403.into(),
        |event| event["activity_name"] = "Delete".into(),
        |event| event["severity"] = "Low".into(),
        |event| event["leaf"] = "x".into(),
    ];
    for (number, break_it) in breaks.into_iter().enumerate() {
        let mut event = good.clone();
        break_it(&mut event);
        assert!(!schema.faults(&event).is_empty(), "{number}");
    }
}
