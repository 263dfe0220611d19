//! The proof of one event.

use serde_json::{Value, json};

use crate::log::{Log, NAME, key, vkey};
use crate::run::{Said, file, path, run};

fn check(log: &Log, answer: &Value) -> Said {
    run(&["proof", "-", "--key", &log.vkey()], answer.to_string())
}

#[test]
fn an_event_is_proved_by_its_answer() {
    let mut log = Log::new(300);
    for index in [0, 7, 255, 256, 299] {
        check(&log, &log.answer(index, 0)).proves(&[
            "checkpoint of 300 events",
            &format!("The event at index {index} is in this log"),
            "What is shown of 2 personal values is what was logged.",
        ]);
    }
    log.erase(7, "/actor/email");
    check(&log, &log.answer(7, 0)).proves(&["left out here: 1 personal value."]);
    let mut bare = log.answer(7, 0);
    bare.as_object_mut().unwrap().remove("disclosed");
    check(&log, &bare).proves(&["left out here: 2 personal values."]);
}

#[test]
fn an_older_checkpoint_is_given_apart_from_the_answer() {
    let log = Log::new(300);
    let mut answer = log.answer(7, 0);
    let kept = file(log.checkpoint(300));
    answer["checkpoint"] = json!("");
    check(&log, &answer).refuses(&["give the one of 300 events with --checkpoint"]);
    let args = [
        "proof",
        "-",
        "--key",
        &log.vkey(),
        "--checkpoint",
        path(&kept),
    ];
    run(&args, answer.to_string()).proves(&["The event at index 7"]);
    let other = file(log.checkpoint(299));
    let args = [
        "proof",
        "-",
        "--key",
        &log.vkey(),
        "--checkpoint",
        path(&other),
    ];
    run(&args, answer.to_string()).refuses(&["its checkpoint of one of 299"]);
}

#[test]
fn a_changed_answer_is_refused() {
    let log = Log::new(300);
    let other = Log::new(300);
    let changes: [(&str, Value, &str); 9] = [
        ("index", json!("8"), "isn't in the log at index 8"),
        (
            "tree_size",
            json!("299"),
            "and its checkpoint of one of 300",
        ),
        ("tenant_id", json!(other.tenant), "it is of the log"),
        ("leaf", log.row(8)["leaf"].clone(), "isn't in the log"),
        ("leaf", json!("{}"), "doesn't list its personal values"),
        (
            "disclosed",
            log.row(8)["disclosed"].clone(),
            "isn't the one that the leaf commits to",
        ),
        ("inclusion", json!([]), "isn't in the log"),
        ("inclusion", json!(["x"]), "is no hash"),
        (
            "checkpoint",
            json!(other.checkpoint(300)),
            "none of the given keys",
        ),
    ];
    for (member, value, why) in changes {
        let mut answer = log.answer(7, 0);
        answer[member] = value;
        check(&log, &answer).refuses(&[why]);
    }
    let foreign = vkey(&key(NAME));
    let said = run(
        &["proof", "-", "--key", &foreign],
        log.answer(7, 0).to_string(),
    );
    said.refuses(&["none of the given keys"]);
    check(&log, &json!([])).refuses(&["no answer of the proof call"]);
    run(&["proof", "/none", "--key", &foreign], "").cannot(&["/none"]);
    // The event of another tenant, in this tenant's log.
    let mut mixed = Log::new(3);
    mixed.append(other.event(4));
    check(&mixed, &mixed.answer(3, 0)).refuses(&["the event is of another tenant"]);
}
