//! Every change of an export is noticed, in each form.

use serde_json::{Value, json};

use crate::log::{Entry, Log, NAME, key, vkey};
use crate::render::{FORMS, Form};
use crate::run::check;

pub(crate) const EVENTS: u64 = 40;

/// Checks the export after a change of its entries, in each form.
#[track_caller]
fn noticed(log: &Log, change: impl Fn(&mut Vec<Entry>), because: &str) {
    for complete in [true, false] {
        let mut entries = log.export(complete, 0..log.size());
        change(&mut entries);
        for form in FORMS {
            check(form.write(&entries), &log.vkey()).refuses(&[because]);
        }
    }
}

/// Changes something of the row of index 7.
#[track_caller]
pub(crate) fn row_noticed(log: &Log, change: impl Fn(&mut Value), because: &str) {
    noticed(log, |entries| change(entries[8].said()), because);
}

#[test]
fn no_byte_of_a_leaf_can_change() {
    let log = Log::new(EVENTS);
    let entries = log.export(false, [7]);
    for form in FORMS {
        let export = form.write(&entries).into_bytes();
        // From the leaf's beginning to its last value, as it is quoted in its form.
        let text = String::from_utf8(export.clone()).unwrap();
        let row = text.lines().find(|line| line.contains("personal")).unwrap();
        let leaf = row.find("{\\\"actor").or(row.find("{\"\"actor"));
        let begin = text.find(row).unwrap() + leaf.unwrap();
        let end = begin + text[begin..].find(".1254Z").unwrap() + 6;
        check(&export, &log.vkey()).proves(&[]);
        for place in (begin..end).step_by(3) {
            let mut changed = export.clone();
            changed[place] ^= 1;
            let said = check(&changed, &log.vkey());
            assert_eq!(
                said.code,
                Some(1),
                "{form:?}, {}: {}",
                place - begin,
                said.text
            );
        }
    }
}

#[test]
fn changes_of_an_event_are_noticed() {
    let log = Log::new(EVENTS);
    row_noticed(
        &log,
        |row| row["disclosed"]["/actor/email"]["value"] = json!("eve@acme.example"),
        "line ",
    );
    row_noticed(
        &log,
        |row| row["disclosed"]["/ip_address"]["value"] = json!("192.0.2.8"),
        "the value shown for /ip_address isn't the one that the leaf commits to",
    );
    row_noticed(
        &log,
        |row| row["disclosed"]["/ip_address"]["salt"] = json!("AAAAAAAAAAAAAAAAAAAAAA"),
        "/ip_address",
    );
    row_noticed(
        &log,
        |row| row["disclosed"]["/event_type"] = row["disclosed"]["/ip_address"].clone(),
        "the leaf lists no personal value at /event_type",
    );
    row_noticed(
        &log,
        |row| row["proof"][2] = row["proof"][1].clone(),
        "index 7: the event isn't in the log at this place",
    );
    row_noticed(&log, |row| row["proof"] = json!([]), "isn't in the log");
    row_noticed(&log, |row| row["proof"][0] = json!("!"), "is no hash");
    row_noticed(&log, |row| row["index"] = json!("07"), "is no count");
    // A personal value that is shown, but not disclosed.
    row_noticed(
        &log,
        |row| {
            drop(
                row["disclosed"]
                    .as_object_mut()
                    .unwrap()
                    .remove("/actor/email"),
            )
        },
        "isn't shown as it was logged",
    );
}

#[test]
fn lines_that_are_missing_moved_or_added_are_noticed() {
    let log = Log::new(EVENTS);
    noticed(
        &log,
        |entries| drop(entries.remove(8)),
        "its end tells of 40 events, and it has 39",
    );
    noticed(
        &log,
        |entries| entries.swap(8, 9),
        "index 7: it stands behind index 8",
    );
    noticed(
        &log,
        |entries| entries.insert(8, entries[8].clone()),
        "index 7: it stands twice",
    );
    noticed(
        &log,
        |entries| entries.insert(30, entries[8].clone()),
        "it stands behind",
    );
    noticed(
        &log,
        |entries| drop(entries.remove(0)),
        "no checkpoint that counts",
    );
    noticed(
        &log,
        |entries| entries.insert(1, entries[0].clone()),
        "it begins a second time",
    );
    noticed(&log, |entries| drop(entries.pop()), "the export is cut off");
    noticed(
        &log,
        |entries| entries.push(entries[8].clone()),
        "it goes on behind its end",
    );
    let other = Log::new(EVENTS);
    noticed(
        &log,
        |entries| entries[8] = Entry::Row(other.row(7)),
        "isn't in the log",
    );
    // A line less where the end was changed with it: a gap, which isn't laid to the log.
    for (line, because) in [
        (1, "index 1: index 0 is missing before it"),
        (8, "index 8: index 7 is missing before it"),
        (40, "index 39 is missing at its end"),
    ] {
        let mut entries = log.whole();
        entries.remove(line);
        entries.last_mut().unwrap().said()["events"] = json!("39");
        for form in FORMS {
            let said = check(form.write(&entries), &log.vkey());
            said.refuses(&[because]);
            assert!(!said.text.contains("the log itself"), "{}", said.text);
        }
    }
    let mut entries = log.export(false, [7, 9]);
    entries[0].said()["from_index"] = json!("8");
    let said = check(Form::Ndjson.write(&entries), &log.vkey());
    said.refuses(&["index 7: the export begins at index 8"]);
    let mut entries = log.export(true, []);
    entries[0].said()["from_index"] = json!("38");
    let said = check(Form::Ndjson.write(&entries), &log.vkey());
    said.refuses(&["index 38 to 39 are missing at its end"]);
}

#[test]
fn a_file_that_is_cut_anywhere_is_noticed() {
    let log = Log::new(5);
    for form in FORMS {
        let export = form.write(&log.whole());
        for end in (0..export.len() - 1).step_by(97) {
            let said = check(&export.as_bytes()[..end], &log.vkey());
            assert_eq!(said.code, Some(1), "{form:?} {end}: {}", said.text);
        }
        for more in ["\n", "{}\n", "x\n"] {
            let said = check(export.clone() + more, &log.vkey());
            let expected = i32::from(form != Form::Csv || more != "\n");
            assert_eq!(
                said.code,
                Some(expected),
                "{form:?} {more:?}: {}",
                said.text
            );
        }
    }
}

#[test]
fn a_foreign_key_or_tenant_is_noticed() {
    let log = Log::new(EVENTS);
    for form in FORMS {
        let export = form.write(&log.whole());
        let foreign = vkey(&key(NAME));
        check(&export, &foreign).refuses(&["none of the given keys signed this note"]);
        let named = vkey(&key("other.example"));
        check(&export, &named).refuses(&["none of the given keys signed this note"]);
    }
    let other = Log::new(EVENTS);
    noticed(
        &log,
        |entries| entries[0].said()["tenant_id"] = json!(other.tenant),
        "it is of the log log.acme.example/tenants/",
    );
    // The events of one tenant in the log of another.
    let mut mixed = Log::new(3);
    let event = other.event(4);
    mixed.append(event);
    noticed(&mixed, |_| {}, "the event is of another tenant");
}

#[test]
fn a_forged_checkpoint_is_noticed() {
    let log = Log::new(EVENTS);
    let mut forger = log.fork(20, EVENTS);
    forger.key = key(NAME);
    noticed(
        &log,
        |entries| entries[0].said()["checkpoint"] = json!(forger.checkpoint(EVENTS)),
        "its checkpoint: none of the given keys signed this note",
    );
    noticed(
        &log,
        |entries| {
            let note = log.checkpoint(EVENTS).replace("\n40\n", "\n41\n");
            entries[0].said()["checkpoint"] = json!(note);
        },
        "none of the given keys",
    );
    noticed(
        &log,
        |entries| entries[0].said()["checkpoint"] = json!(log.checkpoint(EVENTS - 1)),
        "it is of a log of 40 events, and its checkpoint of one of 39",
    );
    noticed(
        &log,
        |entries| {
            entries[0].said()["checkpoint"] = json!(log.checkpoint(EVENTS - 1));
            entries[0].said()["tree_size"] = json!("39");
        },
        "isn't in the log",
    );
    noticed(
        &log,
        |entries| entries[0].said()["version"] = json!(2),
        "get a newer one",
    );
    noticed(
        &log,
        |entries| entries[0].said()["format"] = json!("xml"),
        "it says that it is xml",
    );
}

#[test]
fn what_is_no_export_is_told() {
    let log = Log::new(1);
    for text in [
        "",
        "\n",
        "hello\n",
        "{\n",
        "[]\n",
        "null\n",
        "a,b\n1,2\n",
        "\u{0}\n",
        "index,index,leaf,disclosed,proof\n",
    ] {
        let said = check(text, &log.vkey());
        said.refuses(&[]);
    }
    check([0xff, 0xfe, b'{', b'\n'], &log.vkey()).refuses(&[]);
    check(b"{\xff}\n", &log.vkey()).refuses(&["no UTF-8"]);
    // What a file says doesn't steer the terminal.
    let said = check("{\"export\":\"\u{1b}[2J\"}\n", &log.vkey());
    said.refuses(&[]);
    assert!(!said.text.contains('\u{1b}'));
}
