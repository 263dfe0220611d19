//! Who may see every tenant: each place that takes the platform's connection was reviewed into a list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tenantry_testkit::paths;

use crate::support::assert_golden;

/// How a place takes the platform's connection, to look or to change several tenants.
const CALLS: [&str; 2] = [".platform()", ".across("];

#[test]
fn every_place_that_sees_all_tenants_is_in_the_reviewed_list() {
    let root = paths::repository();
    let mut sites = BTreeSet::new();
    for top in ["libs", "services"] {
        for package in fs::read_dir(root.join(top)).unwrap() {
            search(&root, &package.unwrap().path().join("src"), &mut sites);
        }
    }
    let list: String = sites.iter().map(|site| format!("{site}\n")).collect();
    assert_golden(
        "platform_call_sites.txt",
        &list,
        "Each line is a function that reads and writes past row-level security: it must bound by itself what its caller sees.",
    );
}

fn search(root: &Path, dir: &Path, sites: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(root, &path, sites);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap().display().to_string();
            for function in callers(&fs::read_to_string(&path).unwrap()) {
                sites.insert(format!("{file}:{function}"));
            }
        }
    }
}

/// The functions of a source text that make the call: each line belongs to the last `fn` above it.
fn callers(source: &str) -> Vec<&str> {
    let mut function = "";
    let mut callers = Vec::new();
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("//") {
            continue;
        }
        if let Some((_, rest)) = line.split_once("fn ") {
            function = rest.split(['(', '<']).next().unwrap_or(rest);
        }
        if CALLS.iter().any(|call| line.contains(call)) {
            callers.push(function);
        }
    }
    callers
}

#[test]
fn a_call_is_found_in_the_function_it_stands_in() {
    let source = "fn one() {}\nasync fn two<T>(t: T) {\n    let tx = store\n        .platform()\n}\n// x.platform()\n";
    assert_eq!(callers(source), ["two"]);
}
