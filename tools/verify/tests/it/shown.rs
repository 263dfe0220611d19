//! What an export shows beside the leaves says the same as they do.

use serde_json::{Value, json};

use crate::changes::{EVENTS, row_noticed};
use crate::log::Log;
use crate::render::Form;
use crate::run::check;

#[test]
fn what_is_shown_beside_the_leaf_cannot_differ() {
    let log = Log::new(EVENTS);
    row_noticed(
        &log,
        |row| row["event"]["id"] = json!("0199-9"),
        "isn't shown as it was logged",
    );
    row_noticed(
        &log,
        |row| row["event"]["event_type"] = json!("tenant.read"),
        "isn't shown as",
    );
    row_noticed(
        &log,
        |row| row["event"]["actor"]["email"] = json!("eve@acme.example"),
        "isn't shown",
    );
    row_noticed(
        &log,
        |row| row["event"]["timestamp"] = json!("2020-01-01T00:00:00Z"),
        "isn't shown as",
    );
    row_noticed(
        &log,
        |row| row["event"]["resource_id"] = json!("8"),
        "isn't shown as",
    );
    let only_json: [fn(&mut Value); 11] = [
        |event| event["changes"]["seats"]["after"] = json!(1000),
        |event| drop(event["changes"].as_object_mut().unwrap().remove("seats")),
        |event| event["changes"]["admin"] = json!({"after": true}),
        |event| event["erased"] = json!(["/actor/email"]),
        |event| event["outcome"] = json!(["success"]),
        |event| event["changes"] = json!("none"),
        |event| event["reason"] = json!("PERMISSION_DENIED"),
        |event| event["actor"]["key_id"] = json!("9"),
        |event| event["user_agent"] = json!("curl/8"),
        |event| event["index"] = json!("8"),
        |event| event["source"] = json!("app:registry"),
    ];
    for change in only_json {
        let mut entries = log.whole();
        change(&mut entries[8].said()["event"]);
        let said = check(Form::Ndjson.write(&entries), &log.vkey());
        said.refuses(&["line 9: index 7: ", "isn't shown as it was logged"]);
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let log = Log::new(3);
    let export = Form::Ndjson.write(&log.whole());
    let twice = export.replacen("\"changes\":", "\"changes\":0,\"changes\":", 1);
    assert_ne!(export, twice);
    check(twice, &log.vkey()).refuses(&["two members are called \"changes\""]);
}

#[test]
fn no_cell_can_differ() {
    let log = Log::new(EVENTS);
    let export = Form::Csv.write(&log.whole());
    let cells = [
        ("2026-11-22T04:00:08.125400Z", "2026-11-22T04:00:09.125400Z"),
        ("tenant.updated,", "tenant.deleted,"),
        ("\"\"after\"\":9", "\"\"after\"\":8"),
        (",ada@acme.example,", ",eve@acme.example,"),
        (",192.0.2.7,", ",192.0.2.8,"),
        (",success,", ",denied,"),
        (",[],", ",\"[\"\"/id\"\"]\","),
    ];
    for (before, after) in cells {
        // The row of index 7; the quoted leaf comes later in it than the cells.
        let at = export.find("\n7,").unwrap();
        let changed = export[..at].to_owned() + &export[at..].replacen(before, after, 1);
        assert_ne!(changed, export);
        let said = check(&changed, &log.vkey());
        said.refuses(&["index 7: ", "isn't shown as it was logged"]);
    }
}
