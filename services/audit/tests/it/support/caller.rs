//! Who asks: beside those that all services know, the services that call audit.

use tenantry_rpc::assertion::Claims;

/// A service of the fleet that calls audit.
pub(crate) fn service(name: &str) -> Claims {
    Claims::of_service(name, "audit")
}
