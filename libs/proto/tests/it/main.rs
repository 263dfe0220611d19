//! What every contract must keep, asserted over the descriptor set, and the documents that are derived from it.
//!
//! After a wanted change of the contracts, `TENANTRY_GOLDEN=write cargo test -p tenantry-proto` writes the golden files
//! and the OpenAPI document anew; look at the difference before committing it.

mod audit;
mod bindings;
mod buf_config;
mod comments;
mod descriptors;
mod golden;
mod openapi;
mod paths;
mod personal;
mod redaction;
mod rules;

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

/// All contracts, the internal ones included.
fn pool() -> DescriptorPool {
    DescriptorPool::decode(tenantry_proto::INTERNAL_DESCRIPTOR_SET)
        .expect("the descriptor set decodes")
}

/// Every RPC that the gateway routes.
fn gateway_methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services()
        .filter(|service| {
            tenantry_proto::methods::gateway().any(|method| method.service == service.full_name())
        })
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// The full gRPC path, as `tenantry_proto::methods` has it.
fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The messages of ours that `roots` contain at any depth, themselves included.
fn reachable(roots: impl IntoIterator<Item = MessageDescriptor>) -> Vec<MessageDescriptor> {
    let mut found: Vec<MessageDescriptor> = Vec::new();
    let mut open: Vec<_> = roots.into_iter().collect();
    while let Some(message) = open.pop() {
        if message.full_name().starts_with("google.protobuf.") || found.contains(&message) {
            continue;
        }
        open.extend(
            message
                .fields()
                .filter_map(|field| field.kind().as_message().cloned()),
        );
        found.push(message);
    }
    found
}
