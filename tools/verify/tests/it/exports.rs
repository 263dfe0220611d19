//! Exports as the service writes them are proved, and what they don't show is said.

use serde_json::{Value, json};

use crate::log::{Entry, Log, NAME, key, vkey};
use crate::render::{FORMS, Form};
use crate::run::{check, file, path, run, run_program};

#[test]
fn a_whole_log_is_proved_in_each_form() {
    let log = Log::new(300);
    for form in FORMS {
        let said = check(form.write(&log.whole()), &log.vkey());
        said.proves(&[
            "PROVED\n",
            "300 of 300 events are in this log",
            "What is shown of 600 personal values is what was logged.",
            "From index 0 to 299 none is missing",
            "has the signed root",
            &log.vkey(),
        ]);
        assert!(!said.text.contains("before these"), "{}", said.text);
    }
}

#[test]
fn a_part_of_a_log_is_proved_and_its_bounds_are_told() {
    let log = Log::new(300);
    for form in FORMS {
        let said = check(form.write(&log.export(true, 10..300)), &log.vkey());
        said.proves(&[
            "From index 10 to 299 none is missing",
            "The log has 10 events before these.",
        ]);
        assert!(!said.text.contains("signed root"), "{}", said.text);
        let said = check(form.write(&log.export(false, [3, 5, 299])), &log.vkey());
        said.proves(&[
            "3 of 3 events are in this log",
            "a selection from index 3 to 299",
        ]);
        assert!(!said.text.contains("none is missing"), "{}", said.text);
        let said = check(form.write(&log.export(true, [])), &log.vkey());
        said.proves(&["has no events, and doesn't show that there are none"]);
    }
}

#[test]
fn an_empty_log_is_proved() {
    let log = Log::new(0);
    for form in FORMS {
        check(form.write(&log.whole()), &log.vkey()).proves(&["checkpoint of 0 events"]);
    }
}

#[test]
fn erased_values_are_counted_and_the_rest_is_proved() {
    let mut log = Log::new(20);
    log.erase(3, "/actor/email");
    log.erase(3, "/ip_address");
    log.erase(9, "/actor/email");
    for form in FORMS {
        let said = check(form.write(&log.whole()), &log.vkey());
        said.proves(&[
            "What is shown of 37 personal values is what was logged.",
            "Not shown, because erased or left out here: 3 personal values.",
            "signed root",
        ]);
    }
}

#[test]
fn what_is_shown_besides_is_named() {
    let log = Log::new(2);
    let mut entries = log.whole();
    let row = entries[1].said();
    row["event"]["received_time"] = json!("2026-11-22T00:00:00Z");
    row["read_by"] = json!("eve");
    let said = check(Form::Ndjson.write(&entries), &log.vkey());
    said.proves(&["nothing is proved of it: read_by, received_time."]);
    let said = check(Form::Csv.write(&log.whole()), &log.vkey());
    said.proves(&["nothing is proved of it: summary."]);
    let said = check(Form::Ocsf.write(&log.whole()), &log.vkey());
    said.proves(&["these were compared", "/actor/user/email_addr"]);
}

#[test]
fn empty_members_and_digits_say_what_absent_ones_and_numbers_say() {
    let log = Log::new(2);
    let mut entries = log.whole();
    let event = &mut entries[1].said()["event"];
    event["actor"]["name"] = Value::Null;
    event["changes"]["labels"] = json!([]);
    event["changes"]["seats"]["after"] = json!("2");
    event["request_id"] = Value::Null;
    event["n"] = json!("1");
    event["v"] = json!(1.0);
    event["resource"] = json!({"type": "tenant", "id": log.tenant});
    event["anything"] = json!({"else": ""});
    check(Form::Ndjson.write(&entries), &log.vkey()).proves(&["2 of 2 events are in this log"]);
}

#[test]
fn an_export_that_broke_off_is_not_believed_to_be_all() {
    let log = Log::new(20);
    for form in FORMS {
        let mut entries = log.whole();
        entries.last_mut().unwrap().said()["reason"] = json!("INTERRUPTED");
        let said = check(form.write(&entries), &log.vkey());
        said.refuses(&[
            "the export broke off (INTERRUPTED)",
            "20 of 20 events are in this log",
        ]);
    }
}

#[test]
fn a_gap_that_the_log_itself_has_is_told() {
    let mut log = Log::new(5);
    let event = log.event(7);
    log.append(event);
    let said = check(Form::Ndjson.write(&log.whole()), &log.vkey());
    said.refuses(&["registry's number 6 is missing before it"]);
    // A selection may leave events out.
    let some = log.export(false, [0, 5]);
    check(Form::Ndjson.write(&some), &log.vkey()).proves(&[]);
    let event = log.event(7);
    log.append(event);
    let said = check(Form::Ndjson.write(&log.whole()), &log.vkey());
    said.refuses(&["registry numbered it 7, and an earlier event 7"]);
    // Another epoch, or another source, counts for itself.
    let mut log = Log::new(5);
    let mut event = log.event(9);
    event["epoch"] = json!(2);
    log.append(event);
    let mut event = log.event(2);
    event["source"] = json!("identity");
    log.append(event);
    check(Form::Ndjson.write(&log.whole()), &log.vkey()).proves(&["none is missing"]);
}

#[test]
fn files_keys_in_files_and_a_mark_before_the_text_are_read() {
    let log = Log::new(3);
    for form in FORMS {
        let export = file(format!("\u{feff}{}", form.write(&log.whole())));
        let other = vkey(&key("other.example"));
        let keys = file(format!("# ours\n{other}\n\n{}\n", log.vkey()));
        let said = run(&["export", path(&export), "--key", path(&keys)], "");
        said.proves(&["3 of 3 events are in this log"]);
        let said = run(
            &[
                "export",
                path(&export),
                "--key",
                &other,
                "--key",
                &log.vkey(),
            ],
            "",
        );
        said.proves(&["3 of 3 events are in this log"]);
    }
}

#[test]
fn wrong_use_is_no_verdict() {
    let log = Log::new(1);
    let export = Form::Ndjson.write(&log.whole());
    run(&["export", "-"], &export).cannot(&["--key"]);
    run(&["export", "/no/such/file", "--key", &log.vkey()], "").cannot(&["/no/such/file"]);
    check(&export, "/no/such/key").cannot(&["neither a public key"]);
    let empty = file("# none\n");
    check(&export, path(&empty)).cannot(&["has no key"]);
    let secret = tenantry_transparency::Signers::generate(NAME, [7; 32]).unwrap();
    let said = check(&export, &secret);
    said.cannot(&["private key"]);
    assert!(!said.text.contains(&secret[40..]));
    let said = run(
        &["export", "-", "--key", &log.vkey(), "--checkpoint", "/none"],
        &export,
    );
    said.cannot(&["/none"]);
}

#[test]
fn help_tells_what_each_part_does() {
    for part in [
        &["--help"][..],
        &["export", "--help"],
        &["checkpoints", "--help"],
        &["proof", "--help"],
    ] {
        let said = run(part, "");
        said.proves(&["Exit codes:", "Keys:"]);
        assert!(
            said.text.lines().all(|line| line.len() < 130),
            "{}",
            said.text
        );
    }
}

#[test]
fn an_export_larger_than_the_memory_is_checked() {
    let log = Log::new(3000);
    let mut entries = log.whole();
    for entry in &mut entries {
        if let Entry::Row(row) = entry {
            row["besides"] = json!("x".repeat(20_000));
        }
    }
    let export = Form::Ndjson.write(&entries);
    assert!(export.len() > 60 << 20);
    let command = format!(
        "ulimit -v 40000; exec {} export - --key {}",
        env!("CARGO_BIN_EXE_tenantry-verify"),
        log.vkey()
    );
    let shell = run_program("sh", &["-c", &command], &export);
    shell.proves(&["3000 of 3000 events are in this log"]);
}
