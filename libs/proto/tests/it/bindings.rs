//! Rules for the REST bindings.

use std::collections::BTreeSet;

use prost_reflect::Kind;
use tenantry_proto::methods;

use crate::pool;

/// What travels in a query though it is a message: proto3's JSON has it as a text.
const TIMESTAMP: &str = "google.protobuf.Timestamp";

#[test]
fn every_gateway_rpc_has_a_binding_and_no_internal_one_has() {
    for method in methods::all() {
        assert_eq!(
            method.bindings.is_empty(),
            method.internal || method.client_streaming,
            "{}: google.api.http",
            method.path
        );
    }
}

#[test]
fn no_two_bindings_share_method_and_path() {
    let mut seen = BTreeSet::new();
    for (path, binding) in all() {
        // Two templates that differ in a field's name only are one path.
        let shape: Vec<_> = binding
            .template
            .split('/')
            .map(|segment| match segment.split_once('}') {
                Some((_, verb)) => format!("{{}}{verb}"),
                None => segment.to_owned(),
            })
            .collect();
        assert!(
            seen.insert((binding.method, shape)),
            "{path}: {} {} is taken",
            binding.method,
            binding.template
        );
    }
}

/// RPCs that take a body as it comes, in a field of that name: what others standardised isn't a message of ours.
const RAW_BODIES: [&str; 1] = ["/tenantry.quota.v1.UsageEventService/RecordCloudEvents"];

#[test]
fn bodies_follow_the_http_method() {
    for (path, binding) in all() {
        let wanted = if RAW_BODIES.contains(&path) {
            "body"
        } else if matches!(binding.method, "POST" | "PUT" | "PATCH") {
            "*"
        } else {
            ""
        };
        assert_eq!(
            binding.body, wanted,
            "{path}: {} {}",
            binding.method, binding.template
        );
    }
}

/// A question too long for a query string is asked by POST with one of these at the end.
const ASKS: [&str; 2] = [":check", "/quotas/check"];

#[test]
fn read_only_rpcs_are_get_or_ask_with_a_body() {
    for (path, binding) in all() {
        let read_only = methods::is_read_only(path);
        let asks =
            binding.method == "POST" && ASKS.iter().any(|asks| binding.template.ends_with(asks));
        assert_eq!(
            binding.method == "GET" || asks,
            read_only,
            "{path}: {} {}",
            binding.method,
            binding.template
        );
    }
}

/// Fields in a path are strings or whole numbers of the request, and stand alone in their segment but for a verb.
#[test]
fn path_fields_are_words_of_the_request() {
    let pool = pool();
    for method in methods::gateway() {
        let input = pool
            .get_message_by_name(method.input)
            .expect("the request exists");
        for binding in method.bindings {
            for name in fields(binding.template) {
                let field = input
                    .get_field_by_name(name)
                    .unwrap_or_else(|| panic!("{}: {{{name}}}", method.path));
                assert!(
                    matches!(field.kind(), Kind::String | Kind::Int32 | Kind::Int64),
                    "{}: {{{name}}}",
                    method.path
                );
            }
        }
    }
}

/// Fields without a body travel as query parameters, so they must be words: scalars, and times as RFC 3339 writes them.
#[test]
fn query_fields_are_words() {
    let pool = pool();
    for method in methods::gateway() {
        let input = pool
            .get_message_by_name(method.input)
            .expect("the request exists");
        for binding in method
            .bindings
            .iter()
            .filter(|binding| binding.body.is_empty())
        {
            let in_path = fields(binding.template);
            for field in input
                .fields()
                .filter(|field| !in_path.contains(&field.name()))
            {
                let kind = field.kind();
                let message = kind.as_message();
                assert!(
                    message.is_none_or(|message| message.full_name() == TIMESTAMP),
                    "{}: {} is no word",
                    method.path,
                    field.name()
                );
            }
        }
    }
}

/// The fields that a template names.
pub(crate) fn fields(template: &str) -> Vec<&str> {
    template
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.split('}').next())
        .collect()
}

fn all() -> impl Iterator<Item = (&'static str, &'static methods::Binding)> {
    methods::all()
        .iter()
        .flat_map(|method| method.bindings.iter().map(|binding| (method.path, binding)))
}
