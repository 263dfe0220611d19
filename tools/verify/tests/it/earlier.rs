//! Checkpoints that were kept: the log of then is the beginning of the log of now, or the command says so.

use serde_json::json;

use crate::log::{Entry, Log};
use crate::render::{FORMS, Form};
use crate::run::{Said, file, path, run};

fn check(export: &[Entry], form: Form, log: &Log, kept: &str) -> Said {
    let kept = file(kept);
    let vkey = log.vkey();
    let args = ["export", "-", "--key", &vkey, "--checkpoint", path(&kept)];
    run(&args, form.write(export))
}

#[test]
fn an_earlier_log_is_shown_by_the_events_themselves() {
    let log = Log::new(300);
    for form in FORMS {
        for size in [0, 1, 255, 256, 257, 299, 300] {
            let said = check(&log.whole(), form, &log, &log.checkpoint(size));
            said.proves(&[&format!("the log of then, {size} events, is the beginning")]);
        }
        let said = check(&log.export(false, 0..200), form, &log, &log.checkpoint(150));
        said.proves(&["the log of then, 150 events"]);
    }
}

#[test]
fn an_earlier_log_is_shown_by_a_proof() {
    let log = Log::new(300);
    for form in FORMS {
        let mut export = log.export(true, 200..300);
        let proof = json!({"from": "150", "proof": log.consistency(150)});
        export[0].said()["consistency"] = proof;
        let said = check(&export, form, &log, &log.checkpoint(150));
        said.proves(&["the log of then, 150 events, is the beginning"]);
        let said = check(&export, form, &log, &log.checkpoint(151));
        said.refuses(&["this export can't show", "151 events"]);
        export[0].said()["consistency"]["proof"] = json!(log.consistency(151));
        let said = check(&export, form, &log, &log.checkpoint(150));
        said.refuses(&["the proof in the first entry doesn't show"]);
    }
}

#[test]
fn what_an_export_cannot_show_is_not_proved() {
    let log = Log::new(300);
    let export = log.export(true, 1..300);
    let said = check(&export, Form::Ndjson, &log, &log.checkpoint(150));
    said.refuses(&[
        "this export can't show",
        "299 of 299 events are in this log",
    ]);
    let export = log.export(false, 0..300);
    check(&export, Form::Ndjson, &log, &log.checkpoint(150)).proves(&["150 events"]);
    let export = log.export(false, (0..100).chain(101..300));
    let said = check(&export, Form::Ndjson, &log, &log.checkpoint(150));
    said.refuses(&["this export can't show"]);
    let mut young = Log::new(5);
    let export = young.whole();
    young.append(young.event(6));
    let said = check(&export, Form::Ndjson, &young, &young.checkpoint(6));
    said.refuses(&["only a later export can show"]);
}

#[test]
fn a_log_that_was_changed_is_told() {
    let log = Log::new(300);
    let fork = log.fork(100, 300);
    let kept = log.checkpoint(200);
    for form in FORMS {
        let said = check(&fork.whole(), form, &fork, &kept);
        said.refuses(&["the log was changed: its first 200 events"]);
        let said = check(&fork.whole(), form, &fork, &log.checkpoint(100));
        said.proves(&["100 events, is the beginning"]);
        let said = check(&fork.whole(), form, &fork, &log.checkpoint(300));
        said.refuses(&["SPLIT VIEW"]);
        let mut part = fork.export(true, 250..300);
        part[0].said()["consistency"] = json!({"from": "200", "proof": fork.consistency(200)});
        check(&part, form, &fork, &kept).refuses(&["doesn't show"]);
    }
}

#[test]
fn a_kept_checkpoint_of_another_log_or_key_says_nothing() {
    let log = Log::new(10);
    let other = Log::new(10);
    let said = check(&log.whole(), Form::Ndjson, &log, &other.checkpoint(5));
    said.refuses(&["none of the given keys signed this note"]);
    let mut cousin = Log::new(10);
    cousin.key.clone_from(&log.key);
    let said = check(&log.whole(), Form::Ndjson, &log, &cousin.checkpoint(5));
    said.refuses(&["it is of the log"]);
    check(&log.whole(), Form::Ndjson, &log, "no note").refuses(&["this is no signed note"]);
}
