//! The descriptor sets hold what their readers need.

use prost_reflect::DescriptorPool;
use tenantry_proto::{DESCRIPTOR_SET, methods};

use crate::pool;

fn public() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set decodes")
}

#[test]
fn the_public_set_names_nothing_internal() {
    let internal: Vec<_> = public()
        .files()
        .filter(|file| file.package_name().starts_with("tenantry.internal"))
        .map(|file| file.name().to_owned())
        .collect();
    assert!(internal.is_empty(), "{internal:?}");
}

/// Encoding the set by way of prost's types would drop the option, and the gateway would answer 404 to each path.
#[test]
fn the_public_set_keeps_the_http_bindings() {
    let pool = public();
    let http = pool
        .get_extension_by_name("google.api.http")
        .expect("google.api.http is imported");
    for method in methods::gateway().filter(|method| !method.bindings.is_empty()) {
        let service = pool
            .get_service_by_name(method.service)
            .expect("the service is public");
        let descriptor = service
            .methods()
            .find(|candidate| candidate.name() == method.name)
            .expect("the RPC is public");
        assert!(descriptor.options().has_extension(&http), "{}", method.path);
    }
}

/// Without these Envoy renders errors with empty details.
#[test]
fn the_public_set_holds_the_error_details() {
    for name in [
        "Status",
        "ErrorInfo",
        "BadRequest",
        "RetryInfo",
        "RequestInfo",
    ] {
        assert!(
            public()
                .get_message_by_name(&format!("google.rpc.{name}"))
                .is_some(),
            "google.rpc.{name}"
        );
    }
}

#[test]
fn the_internal_set_holds_every_service() {
    let pool = pool();
    for method in methods::all() {
        assert!(
            pool.get_service_by_name(method.service).is_some(),
            "{}",
            method.service
        );
    }
}
