//! What the log calls each change.

use std::fs;
use std::path::Path;

use protox::Compiler;
use protox::prost_reflect::DescriptorPool;
use tenantry_proto::methods;

use crate::{golden, pool};

#[path = "../../build/audit.rs"]
mod build;

/// Every change with its action, the type of what it happens to, and the request's field that says which one.
#[test]
fn what_the_log_calls_each_change_is_as_reviewed() {
    let pool = pool();
    let mut text = String::new();
    for method in methods::all() {
        let Some(audit) = method.audit else { continue };
        let input = pool.get_message_by_name(method.input);
        let input = input.expect("the request is in the descriptor set");
        let field = audit.resource_id.map_or("-".to_owned(), |number| {
            let field = input.get_field(number).expect("the field is there");
            field.name().to_owned()
        });
        text += &format!(
            "{} {} {} {field}{}\n",
            method.path,
            audit.action,
            audit.resource_type,
            if audit.counted { " counted" } else { "" }
        );
    }
    golden::assert_text("tests/golden/audit.txt", &text);
}

#[test]
fn the_log_has_a_word_for_every_change_and_for_nothing_else() {
    for method in methods::all() {
        assert_eq!(method.audit.is_some(), !method.read_only, "{}", method.path);
    }
}

/// An action is of its resource: whoever filters the log by `tenant.` finds what happened to tenants.
#[test]
fn every_action_begins_with_the_type_of_its_resource() {
    for audit in methods::all().iter().filter_map(|method| method.audit) {
        let (about, what) = audit.action.split_once('.').unwrap_or_default();
        assert_eq!(about, audit.resource_type, "{}", audit.action);
        assert!(!what.is_empty(), "{}", audit.action);
    }
}

#[test]
fn contracts_whose_log_would_have_no_word_are_not_built() {
    let rule =
        "option (tenantry.options.v1.audit) = {action: \"thing.made\" resource_type: \"thing\"";
    let cases = [
        (String::new(), false, "the log has no word for it"),
        (
            format!("{rule}}};"),
            true,
            "take `tenantry.options.v1.audit` away",
        ),
        (
            format!("{rule} resource_id: \"absent\"}};"),
            false,
            "names `absent`, which test.Request doesn't have",
        ),
        (
            format!("{rule} resource_id: \"size\"}};"),
            false,
            "names `size`, which isn't a string",
        ),
        (
            format!("{rule} resource_id: \"ids\"}};"),
            false,
            "names `ids`, which isn't a string",
        ),
        (
            format!("{rule} resource_id: \"token\"}};"),
            false,
            "names `token`, which is secret",
        ),
        (
            "option (tenantry.options.v1.audit) = {action: \"thing.made\"};".to_owned(),
            false,
            "needs its `resource_type`",
        ),
    ];
    for (option, read_only, expected) in cases {
        let refused = rule_of(&option, read_only).unwrap_err();
        assert!(
            refused.starts_with("test.Things.Make") && refused.contains(expected),
            "{option}: {refused}"
        );
    }
    let named = rule_of(&format!("{rule} resource_id: \"id\"}};"), false).unwrap();
    let expected = build::Rule {
        action: "thing.made".to_owned(),
        resource_type: "thing".to_owned(),
        resource_id: Some(1),
        counted: false,
    };
    assert_eq!(named, Some(expected));
    assert_eq!(rule_of("", true), Ok(None));
}

/// The rule of an RPC with this option, as the build reads it.
fn rule_of(option: &str, read_only: bool) -> Result<Option<build::Rule>, String> {
    let pool = compiled(&format!(
        "syntax = \"proto3\";
         package test;
         import \"tenantry/options/v1/options.proto\";
         service Things {{ rpc Make(Request) returns (Request) {{ {option} }} }}
         message Request {{
           string id = 1;
           int32 size = 2;
           repeated string ids = 3;
           string token = 4 [debug_redact = true];
         }}"
    ));
    let service = pool.get_service_by_name("test.Things");
    let service = service.expect("the service is compiled");
    let method = service.methods().next().expect("it has an RPC");
    build::rule(&method, read_only)
}

fn compiled(source: &str) -> DescriptorPool {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit");
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("things.proto"), source).expect("the file can be written");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = Compiler::new([folder, ours]).expect("both folders are there");
    compiler
        .include_imports(true)
        .open_file("things.proto")
        .expect("the file compiles");
    compiler.descriptor_pool()
}
