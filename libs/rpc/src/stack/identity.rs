//! Step 4: who is asking. What the gateway asserts is believed on gateway-facing methods only, and where the gateway itself
//! brings it; what a service asserts on internal ones only. No, two, expired or foreign-signed assertions are refused.

use tenantry_core::{
    Origin, Permissions, Principal, Reason, Refusal, RequestContext, TenantSelection,
};
use tenantry_proto::methods;
use tonic::body::Body;

use super::{Sender, Source};
use crate::assertion::{GATEWAY, HEADER, Verified, Verifier};

/// Packages that no route of the gateway leads to.
const INTERNAL: &str = "/tenantry.internal.";
/// Lists the services and their contracts; for operators.
const REFLECTION: &str = "/grpc.reflection.";
/// Asked by the gateway and by whoever supervises the process.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/";
/// How much may pass, which the gateway asks too; any other Envoy has to know the gateway's word.
const RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/";
/// What needs no identity because it is how identity and health come about; no route of the gateway leads here. The gateway's
/// question has its word among the headers that it asks about.
const EXEMPT: &[&str] = &[HEALTH, RATE_LIMIT, "/envoy.service.auth.v3.Authorization/"];

/// The caller's context; `None` for exempt methods.
pub(super) fn establish(
    verifier: &Verifier,
    request: &http::Request<Body>,
    source: Source,
) -> Result<Option<RequestContext>, Refusal> {
    let path = request.uri().path();
    if is_rate_limit(path) && source.sender != Sender::Gateway {
        return Err(unauthenticated());
    }
    if is_exempt(path) {
        return Ok(None);
    }
    if source.sender != Sender::Gateway && !is_internal(path) {
        return Err(unauthenticated());
    }
    let origin = source.origin;
    // An outsider's assertion was removed at the gateway: one that is here is identity's, for the credential that came.
    let knows_caller =
        methods::OPTIONAL_CREDENTIAL.contains(&path) && request.headers().contains_key(HEADER);
    if methods::PUBLIC_METHODS.contains(&path) && !knows_caller {
        return Ok(Some(RequestContext {
            principal: Principal::anonymous(),
            tenant: TenantSelection::None,
            permissions: Permissions::NONE,
            below: Permissions::NONE,
            expires_at: None,
            credential: String::new(),
            project: String::new(),
            home: None,
            origin,
            method: path.to_owned(),
            service: String::new(),
        }));
    }
    let verified = verify(verifier, request.headers())?;
    authorise(path, &verified)?;
    let claims = &verified.claims;
    // A service's word for whom it calls is what the log says; what is allowed stays the service's own.
    let (principal, origin) = match claims.on_behalf_of.clone() {
        Some(asked) if claims.iss != GATEWAY => {
            let trace_id = origin.trace_id;
            (
                asked.principal,
                Origin {
                    trace_id,
                    ..asked.origin
                },
            )
        }
        Some(_) | None => (claims.principal(), origin),
    };
    let ctx = RequestContext {
        principal,
        tenant: claims.selection(),
        permissions: claims.perms,
        below: claims.below,
        expires_at: claims.expires_at(),
        credential: claims.credential.clone(),
        project: claims.project.clone(),
        home: claims.home,
        origin,
        method: path.to_owned(),
        service: service_of(&claims.iss).to_owned(),
    };
    if path.starts_with(REFLECTION) && !ctx.is_operator() {
        return Err(Refusal::lacks(
            tenantry_core::Permission::PlatformTenantsManage,
        ));
    }
    let span = tracing::Span::current();
    span.record("principal.id", tracing::field::display(ctx.principal.id));
    if let Some(tenant) = ctx.tenant_id() {
        span.record("tenant.id", tracing::field::display(tenant));
    }
    Ok(Some(ctx))
}

/// Who hands over a request.
pub(super) fn sender(verifier: &Verifier, request: &http::Request<Body>) -> Sender {
    let headers = request.headers();
    if verifier.is_from_gateway(headers) {
        return Sender::Gateway;
    }
    let assertion = assertion(headers).filter(|_| is_internal(request.uri().path()));
    match assertion.map(|token| verifier.verify(token)) {
        Some(Ok(_)) => Sender::Service,
        Some(Err(_)) | None => Sender::Unknown,
    }
}

/// Whether a method needs no identity, public or not.
pub(super) fn is_exempt(path: &str) -> bool {
    EXEMPT.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether it is the gateway's question how much may pass, which comes with each request that it lets through.
pub(super) fn is_rate_limit(path: &str) -> bool {
    path.starts_with(RATE_LIMIT)
}

/// Whether a method is for the fleet's own services.
pub(super) fn is_internal(path: &str) -> bool {
    path.starts_with(INTERNAL)
}

/// The assertion of a request that brings one, and not more.
fn assertion(headers: &http::HeaderMap) -> Option<&str> {
    let mut assertions = headers.get_all(HEADER).iter();
    match (assertions.next(), assertions.next()) {
        (Some(assertion), None) => assertion.to_str().ok(),
        _ => None,
    }
}

fn verify(verifier: &Verifier, headers: &http::HeaderMap) -> Result<Verified, Refusal> {
    let token = assertion(headers).ok_or_else(unauthenticated)?;
    verifier.verify(token).map_err(|why| {
        tracing::warn!(why = %why, "assertion refused");
        unauthenticated()
    })
}

fn authorise(path: &str, verified: &Verified) -> Result<(), Refusal> {
    let from_gateway = verified.claims.iss == GATEWAY;
    let allowed = if is_internal(path) {
        !from_gateway
            && verified
                .methods
                .iter()
                .any(|prefix| path.starts_with(prefix.as_str()))
    } else {
        from_gateway
    };
    if allowed {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::InternalMethod,
        "This method isn't open to this caller: internal methods are for the fleet's own services, all others go through the gateway.",
    ))
}

/// The service whose key signed this; none for the gateway's.
fn service_of(issuer: &str) -> &str {
    issuer.strip_prefix("service:").unwrap_or_default()
}

fn unauthenticated() -> Refusal {
    Refusal::new(
        Reason::Unauthenticated,
        "This service takes requests through the gateway only. Send yours there, with a bearer token or an X-API-Key.",
    )
}
