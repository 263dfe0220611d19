//! Writes the tables of `tenantry_proto::methods` from the descriptors: every RPC, its HTTP bindings, reserved slugs.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;

use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value,
};

use crate::audit::{self, Rule};

/// Number of `NO_SIDE_EFFECTS` in google.protobuf.MethodOptions.IdempotencyLevel.
const NO_SIDE_EFFECTS: i32 = 1;
/// HTTP methods as google.api.HttpRule names its fields.
const HTTP_METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// What stands before a tenant's slug in a path.
const SLUG_PARENTS: [&str; 2] = ["tenants", "organizations"];

/// One HTTP binding of an RPC.
struct Binding {
    method: String,
    template: String,
    body: String,
}

/// Rust source of `ALL` and `RESERVED_SLUGS`.
pub(crate) fn table(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut methods: Vec<_> = pool
        .services()
        .filter(|service| service.package_name().starts_with("tenantry."))
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect();
    // By path: `methods::find` searches by halves.
    methods.sort_by_key(path);

    let mut reserved = BTreeSet::new();
    let mut source = String::from("static ALL: &[Method] = &[\n");
    for method in &methods {
        let bindings = bindings(method)?;
        for binding in &bindings {
            reserved.extend(slug_literals(&binding.template));
        }
        write_method(&mut source, method, &bindings)?;
    }
    writeln!(source, "];")?;
    writeln!(
        source,
        "const RESERVED: &[&str] = &{:?};",
        reserved.iter().collect::<Vec<_>>()
    )?;
    Ok(source)
}

/// The full gRPC path.
fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn write_method(
    source: &mut String,
    method: &MethodDescriptor,
    bindings: &[Binding],
) -> Result<(), Box<dyn Error>> {
    let service = method.parent_service();
    let level = method
        .options()
        .get_field_by_name("idempotency_level")
        .and_then(|value| value.as_enum_number());
    let read_only = level == Some(NO_SIDE_EFFECTS);
    writeln!(source, "    Method {{")?;
    writeln!(source, "        path: {:?},", path(method))?;
    writeln!(source, "        service: {:?},", service.full_name())?;
    writeln!(source, "        name: {:?},", method.name())?;
    writeln!(source, "        input: {:?},", method.input().full_name())?;
    writeln!(source, "        output: {:?},", method.output().full_name())?;
    writeln!(
        source,
        "        internal: {},",
        service.package_name().starts_with("tenantry.internal.")
    )?;
    writeln!(source, "        read_only: {read_only},")?;
    match audit::rule(method, read_only)? {
        None => writeln!(source, "        audit: None,")?,
        Some(Rule {
            action,
            resource_type,
            resource_id,
            counted,
        }) => writeln!(
            source,
            "        audit: Some(Audit {{ action: {action:?}, resource_type: {resource_type:?}, resource_id: {resource_id:?}, counted: {counted} }}),"
        )?,
    }
    writeln!(
        source,
        "        has_request_id: {},",
        !read_only && method.input().get_field_by_name("request_id").is_some()
    )?;
    writeln!(
        source,
        "        server_streaming: {},",
        method.is_server_streaming()
    )?;
    writeln!(
        source,
        "        client_streaming: {},",
        method.is_client_streaming()
    )?;
    writeln!(source, "        bindings: &[")?;
    for Binding {
        method,
        template,
        body,
    } in bindings
    {
        writeln!(
            source,
            "            Binding {{ method: {method:?}, template: {template:?}, body: {body:?} }},"
        )?;
    }
    writeln!(source, "        ],")?;
    writeln!(source, "    }},")?;
    Ok(())
}

/// The google.api.http bindings of an RPC, the additional ones included, in the order of the proto.
fn bindings(method: &MethodDescriptor) -> Result<Vec<Binding>, Box<dyn Error>> {
    let http = method
        .parent_pool()
        .get_extension_by_name("google.api.http")
        .ok_or("google.api.http is not imported")?;
    let options = method.options();
    if !options.has_extension(&http) {
        return Ok(Vec::new());
    }
    let value = options.get_extension(&http);
    let rule = value
        .as_message()
        .ok_or("google.api.http is not a message")?;
    let mut bindings = vec![binding(method, rule)?];
    if let Some(more) = rule
        .get_field_by_name("additional_bindings")
        .as_deref()
        .and_then(Value::as_list)
    {
        for rule in more.iter().filter_map(Value::as_message) {
            bindings.push(binding(method, rule)?);
        }
    }
    Ok(bindings)
}

fn binding(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Binding, Box<dyn Error>> {
    let text = |field: &str| {
        rule.get_field_by_name(field)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let verb = HTTP_METHODS
        .iter()
        .find(|verb| !text(verb).is_empty())
        .ok_or_else(|| {
            format!(
                "{}: its google.api.http needs one of {HTTP_METHODS:?}",
                method.full_name()
            )
        })?;
    debug_assert_eq!(rule.descriptor().full_name(), "google.api.HttpRule");
    Ok(Binding {
        method: verb.to_uppercase(),
        template: text(verb),
        body: text("body"),
    })
}

/// Literal segments that stand where a tenant's slug could: a tenant of that name couldn't be reached.
fn slug_literals(template: &str) -> Vec<String> {
    let segments: Vec<_> = template.split('/').collect();
    segments
        .windows(2)
        .filter(|pair| SLUG_PARENTS.contains(&pair[0]) && !pair[1].starts_with('{'))
        // What follows a colon is a verb, not a part of the segment.
        .filter_map(|pair| pair[1].split(':').next().map(str::to_owned))
        .collect()
}
