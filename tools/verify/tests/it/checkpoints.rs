//! Checkpoints against each other: who keeps them sees whether everybody is shown the same log.

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tenantry_transparency::{Signers, origin_of_fleet};

use crate::log::{Log, NAME};
use crate::run::{Said, file, path, run};

fn check(log: &Log, notes: &[&str], answers: &[&Value]) -> Said {
    let notes: Vec<NamedTempFile> = notes.iter().map(file).collect();
    let answers: Vec<NamedTempFile> = answers.iter().map(|a| file(a.to_string())).collect();
    let vkey = log.vkey();
    let mut args = vec!["checkpoints", "--key", &vkey];
    args.extend(notes.iter().map(path));
    for answer in &answers {
        args.extend(["--proof", path(answer)]);
    }
    run(&args, "")
}

#[test]
fn signed_checkpoints_are_told_one_by_one() {
    let log = Log::new(50);
    let said = check(
        &log,
        &[
            &log.checkpoint(20),
            &log.checkpoint(50),
            &log.checkpoint(20),
        ],
        &[],
    );
    said.proves(&[
        "20 events of the log",
        "50 events of the log",
        "says the same as",
        "of 20 events is the beginning of the one with 50 isn't shown",
    ]);
    let signers = Signers::parse(&log.key).unwrap();
    let fleet = signers
        .sign(&origin_of_fleet(NAME), &log.head_at(20))
        .unwrap();
    let said = check(&log, &[&log.checkpoint(20), &fleet], &[]);
    said.proves(&["log.acme.example/fleet"]);
    assert!(!said.text.contains("isn't shown"));
}

#[test]
fn two_logs_of_one_name_and_size_are_a_split_view() {
    let log = Log::new(50);
    let fork = log.fork(30, 50);
    let said = check(&log, &[&log.checkpoint(50), &fork.checkpoint(50)], &[]);
    said.refuses(&["SPLIT VIEW", "keep both"]);
    check(&log, &[&log.checkpoint(30), &fork.checkpoint(30)], &[]).proves(&["says the same"]);
}

#[test]
fn a_proof_ties_two_sizes_together() {
    let log = Log::new(50);
    let (small, large) = (log.checkpoint(20), log.checkpoint(50));
    let said = check(&log, &[&small, &large], &[&log.answer(3, 20)]);
    said.proves(&["20 events, is the beginning of the one with 50"]);
    assert!(!said.text.contains("isn't shown"), "{}", said.text);
    // The larger one comes along with the proof.
    check(&log, &[&small], &[&log.answer(3, 20)]).proves(&["is the beginning"]);
    let middle = log.checkpoint(30);
    let three = [&small, &middle, &large].map(String::as_str);
    let said = check(&log, &three, &[&log.answer(3, 20)]);
    said.proves(&["30 events is the beginning of the one with 50 isn't shown"]);
    let said = check(&log, &three, &[&log.answer(3, 20), &log.answer(3, 30)]);
    assert!(!said.text.contains("isn't shown"), "{}", said.text);
}

#[test]
fn the_larger_checkpoint_may_be_given_apart_from_its_proof() {
    let log = Log::new(50);
    let (small, large) = (log.checkpoint(20), log.checkpoint(50));
    let mut answer = log.answer(3, 20);
    answer["checkpoint"] = json!("");
    check(&log, &[&small, &large], &[&answer]).proves(&["is the beginning of the one with 50"]);
    let said = check(&log, &[&small], &[&answer]);
    said.refuses(&["it has no checkpoint, and none that was given"]);
    let other = Log::new(50);
    answer["tenant_id"] = json!(other.tenant);
    check(&log, &[&small, &large], &[&answer]).refuses(&["it has no checkpoint"]);
}

#[test]
fn the_log_of_the_fleet_is_tied_together_too() {
    let log = Log::new(50);
    let signers = Signers::parse(&log.key).unwrap();
    let origin = origin_of_fleet(NAME);
    let notes = [10, 20, 50].map(|size| signers.sign(&origin, &log.head_at(size)).unwrap());
    let answer = |from| {
        json!({
            "tree_size": "50",
            "root_hash": "",
            "checkpoint": notes[2],
            "consistency": log.consistency(from),
        })
    };
    let said = check(&log, &[&notes[0], &notes[1]], &[&answer(20)]);
    said.proves(&[
        "20 events, is the beginning",
        "of 10 events is the beginning of the one with 50 isn't",
    ]);
    let said = check(&log, &[&notes[0], &notes[1]], &[&answer(11)]);
    said.refuses(&["it doesn't show"]);
}

#[test]
fn a_proof_that_shows_nothing_is_refused() {
    let log = Log::new(50);
    let small = log.checkpoint(20);
    let said = check(&log, &[&small], &[&log.answer(3, 21)]);
    said.refuses(&[
        "it proves something of 21 events",
        "no checkpoint that was given",
    ]);
    let mut answer = log.answer(3, 20);
    answer["consistency"] = json!(log.consistency(21));
    check(&log, &[&small], &[&answer]).refuses(&["it doesn't show"]);
    let fork = log.fork(10, 50);
    check(&log, &[&small], &[&fork.answer(3, 20)]).refuses(&["it doesn't show"]);
    let mut answer = log.answer(3, 20);
    answer["checkpoint"] = json!(log.checkpoint(49));
    check(&log, &[&small], &[&answer]).refuses(&["and its checkpoint of one of 49"]);
    check(&log, &[&small], &[&json!({"consistency_from": 20})]).refuses(&["no answer"]);
}

#[test]
fn a_checkpoint_that_is_none_of_the_keys_is_refused() {
    let log = Log::new(5);
    let other = Log::new(5);
    check(&log, &[&other.checkpoint(5)], &[]).refuses(&["none of the given keys"]);
    check(&log, &[&log.checkpoint(5).replace("\n5\n", "\n6\n")], &[]).refuses(&["none of the"]);
    let signers = Signers::parse(&log.key).unwrap();
    let stray = signers
        .sign("other.example/fleet", &log.head_at(5))
        .unwrap();
    check(&log, &[&stray], &[]).refuses(&["which isn't of that name"]);
    check(&log, &[], &[]).cannot(&["FILE"]);
}
