//! The contracts as Rust: messages, clients and servers of every package, the descriptor sets, a table of all RPCs,
//! and one of the fields that are about a person.
//!
//! All of it is generated from `proto/` at build time. A field that is marked `debug_redact` never shows in `Debug`.

pub mod methods;
pub mod personal;

/// What can be reached through the gateway, with comments and imports, as a serialized `google.protobuf.FileDescriptorSet`:
/// for Envoy's transcoder and for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/public.binpb"));

/// [`DESCRIPTOR_SET`] and the packages that only the fleet's own services may call, for tests.
pub const INTERNAL_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/internal.binpb"));

/// Includes the generated code of one of our packages.
macro_rules! ours {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
        include!(concat!(env!("OUT_DIR"), "/", $package, ".redact.rs"));
    };
}

/// Includes the generated code of a third party's package.
macro_rules! theirs {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// Package `tenantry.errors`: the stable causes of errors.
pub mod errors {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        ours!("tenantry.errors.v1");
    }
}

/// Package `tenantry.registry`: projects, tenants, plans.
pub mod registry {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        ours!("tenantry.registry.v1");
    }
}

/// Package `tenantry.identity`: people, programs and their credentials.
pub mod identity {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        ours!("tenantry.identity.v1");
    }
}

/// Package `tenantry.audit`: the log of what happened.
pub mod audit {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        ours!("tenantry.audit.v1");
    }
}

/// Package `tenantry.quota`: how much a tenant may use, and does.
pub mod quota {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        ours!("tenantry.quota.v1");
    }
}

/// Packages that no route of the gateway leads to.
pub mod internal {
    /// Package `tenantry.internal.audit`: taking events into the log.
    pub mod audit {
        /// Version 1.
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod v1 {
            ours!("tenantry.internal.audit.v1");
        }
    }

    /// Package `tenantry.internal.data`: what each service keeps of a tenant.
    pub mod data {
        /// Version 1.
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod v1 {
            ours!("tenantry.internal.data.v1");
        }
    }

    /// Package `tenantry.internal.identity`: questions about permissions, the feed of revocations.
    pub mod identity {
        /// Version 1.
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod v1 {
            ours!("tenantry.internal.identity.v1");
        }
    }

    /// Package `tenantry.internal.quota`: counting what other services keep.
    pub mod quota {
        /// Version 1.
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod v1 {
            ours!("tenantry.internal.quota.v1");
        }
    }

    /// Package `tenantry.internal.registry`: the feed of tenants.
    pub mod registry {
        /// Version 1.
        #[allow(missing_docs, unreachable_pub, clippy::all)]
        pub mod v1 {
            ours!("tenantry.internal.registry.v1");
        }
    }
}

/// Google's contracts that have Rust types.
pub mod google {
    /// Package `google.api`: bodies that are no messages.
    pub mod api {
        /// A part of a body that is no message (`google/api/httpbody.proto`): the gateway hands its data on as they are.
        #[derive(Clone, PartialEq, Eq, prost::Message)]
        pub struct HttpBody {
            /// Type of the whole body, as `application/x-ndjson`.
            #[prost(string, tag = "1")]
            pub content_type: String,
            /// The part.
            #[prost(bytes = "bytes", tag = "2")]
            pub data: prost::bytes::Bytes,
        }
    }
    /// Package `google.rpc`: status and error details.
    pub use tonic_types::pb as rpc;
}

/// What is needed of Envoy's contracts to answer its questions: who may pass, and how much.
#[allow(missing_docs)]
pub mod envoy {
    pub mod config {
        pub mod core {
            #[allow(unreachable_pub, clippy::all, rustdoc::all)]
            pub mod v3 {
                theirs!("envoy.config.core.v3");
            }
        }
    }
    pub mod extensions {
        pub mod common {
            pub mod ratelimit {
                #[allow(unreachable_pub, clippy::all, rustdoc::all)]
                pub mod v3 {
                    theirs!("envoy.extensions.common.ratelimit.v3");
                }
            }
        }
    }
    pub mod service {
        pub mod auth {
            #[allow(unreachable_pub, clippy::all, rustdoc::all)]
            pub mod v3 {
                theirs!("envoy.service.auth.v3");
            }
        }
        pub mod ratelimit {
            #[allow(unreachable_pub, clippy::all, rustdoc::all)]
            pub mod v3 {
                theirs!("envoy.service.ratelimit.v3");
            }
        }
    }
    pub mod r#type {
        #[allow(unreachable_pub, clippy::all, rustdoc::all)]
        pub mod v3 {
            theirs!("envoy.r#type.v3");
        }
    }
}

/// What Envoy's contracts import of xDS.
#[allow(missing_docs)]
pub mod xds {
    pub mod core {
        #[allow(unreachable_pub, clippy::all, rustdoc::all)]
        pub mod v3 {
            theirs!("xds.core.v3");
        }
    }
}
