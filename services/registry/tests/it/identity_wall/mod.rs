//! Who is believed, and what strangers learn: no method of registry runs for a caller that nobody vouches for, and none
//! tells a foreign tenant from one that isn't there.

mod assertions;
mod foreign;

use tenantry_proto::methods::{self, Method};

/// Every RPC that registry serves.
fn methods() -> Vec<&'static Method> {
    let methods: Vec<_> = methods::all()
        .iter()
        .filter(|method| {
            method.service.starts_with("tenantry.registry.")
                || method.service.starts_with("tenantry.internal.registry.")
        })
        .collect();
    assert!(methods.len() >= 15, "{methods:?}");
    methods
}
