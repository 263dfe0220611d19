//! Rules that each contract keeps.

use std::collections::BTreeSet;

use prost_reflect::Kind;
use tenantry_proto::methods;

use crate::comments::Comments;
use crate::{gateway_methods, golden, pool, reachable};

/// An entry of a map whose key or value is empty makes Envoy crash while it transcodes, so that one tenant's label
/// could stop the gateway for all.
#[test]
fn nothing_that_rest_returns_holds_a_map() {
    let pool = pool();
    let details = pool
        .all_messages()
        .filter(|message| message.package_name() == "tenantry.errors.v1");
    let outputs = gateway_methods(&pool)
        .into_iter()
        .map(|method| method.output());
    let maps: Vec<_> = reachable(outputs.chain(details))
        .iter()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| field.is_map())
        .map(|field| field.full_name().to_owned())
        .collect();
    assert!(
        maps.is_empty(),
        "use `repeated` messages with key and value instead: {maps:?}"
    );
}

#[test]
fn read_only_rpcs_are_the_reviewed_ones() {
    let list: Vec<_> = methods::all()
        .iter()
        .filter(|method| method.read_only)
        .map(|method| method.path)
        .collect();
    golden::assert_text("tests/golden/read_only.txt", &lines(&list));
}

#[test]
fn mutations_are_the_reviewed_ones() {
    let list: Vec<_> = methods::all()
        .iter()
        .filter(|method| !method.read_only)
        .map(|method| method.path)
        .collect();
    golden::assert_text("tests/golden/mutations.txt", &lines(&list));
}

#[test]
fn every_mutation_but_the_listed_has_a_request_id() {
    // What comes in a stream has an id of its own.
    let mutations = methods::all()
        .iter()
        .filter(|method| !method.read_only && !method.client_streaming);
    for method in mutations {
        assert_eq!(
            method.has_request_id,
            !methods::WITHOUT_REQUEST_ID.contains(&method.path),
            "{}: give {} a `request_id`, or NO_SIDE_EFFECTS to the RPC if it changes nothing",
            method.path,
            method.input
        );
    }
}

#[test]
fn listed_methods_exist() {
    for path in methods::PUBLIC_METHODS
        .iter()
        .chain(methods::WITHOUT_REQUEST_ID)
        .chain(methods::WITHOUT_TENANT)
    {
        let method = methods::find(path)
            .unwrap_or_else(|| panic!("{path} is listed and not in the contracts"));
        assert!(!method.internal, "{path} is internal: no route leads to it");
    }
}

#[test]
fn every_rpc_is_found_by_its_path() {
    for method in methods::all() {
        assert_eq!(methods::find(method.path), Some(method));
    }
    assert_eq!(
        methods::find("/tenantry.registry.v1.TenantService/Nothing"),
        None
    );
}

#[test]
fn every_reason_is_documented() {
    let pool = pool();
    let comments = Comments::of(&pool);
    let reason = pool
        .get_enum_by_name("tenantry.errors.v1.Reason")
        .expect("the enum exists");
    for value in reason.values() {
        assert!(
            !comments.get(&reason.parent_file(), value.path()).is_empty(),
            "{} says nothing",
            value.name()
        );
    }
}

#[test]
fn reserved_slugs_are_the_reviewed_ones() {
    golden::assert_text(
        "tests/golden/reserved_slugs.txt",
        &lines(methods::RESERVED_SLUGS),
    );
}

/// A 64-bit number is a string in JSON, which surprises: so it stands where it must, and its comment says so.
#[test]
fn every_64_bit_field_of_rest_says_that_it_is_a_string() {
    let pool = pool();
    let comments = Comments::of(&pool);
    let messages = gateway_methods(&pool)
        .into_iter()
        .flat_map(|method| [method.input(), method.output()]);
    for field in reachable(messages)
        .iter()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
    {
        let wide = matches!(
            field.kind(),
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64
        );
        let comment = comments.get(&field.parent_message().parent_file(), field.path());
        assert!(
            !wide || comment.contains("A 64-bit number is a string in JSON."),
            "{}: use int32 where it fits, else end the comment with `A 64-bit number is a string in JSON.`",
            field.full_name()
        );
    }
}

/// Short names are the names of the OpenAPI document's schemas and of generated types.
#[test]
fn messages_of_rest_have_one_name_each() {
    let pool = pool();
    let messages = reachable(
        gateway_methods(&pool)
            .into_iter()
            .flat_map(|method| [method.input(), method.output()]),
    );
    let names: BTreeSet<_> = messages
        .iter()
        .map(|message| message.name().to_owned())
        .collect();
    assert_eq!(
        names.len(),
        messages.len(),
        "two messages of different packages share a name"
    );
}

fn lines(list: &[&str]) -> String {
    list.iter().map(|line| format!("{line}\n")).collect()
}
