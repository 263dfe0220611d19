//! What the gateway's question refuses leaves the same traces as what services refuse.

use std::sync::Arc;

use tenantry_core::{Refusal, RequestContext, TenantSelection};
use tenantry_proto::methods;
use tenantry_rpc::attempts;

use super::choose::Chosen;
use super::decide::Decided;
use super::request::Asked;
use crate::app::App;

/// Has an attempt of someone who is known told in their log, before it is refused.
pub(super) async fn tell(
    app: &App,
    asked: &Asked<'_>,
    decided: &Decided,
    refusal: &Refusal,
) -> Result<(), Refusal> {
    let method = methods::find(asked.method).filter(|method| method.audit.is_some());
    let (Some(method), Chosen::Tenant(tenant)) = (method, &decided.tenant) else {
        return Ok(());
    };
    let place = app.refusals.take(tenant.id).map_err(|full| {
        let full = full.refusal("refused changes", "of this tenant");
        count(app, asked, &full);
        full
    });
    let _place = place?;
    let ctx = RequestContext {
        principal: decided.principal.clone(),
        tenant: TenantSelection::Chosen {
            id: tenant.id,
            slug: tenant.slug.to_string(),
        },
        credential: decided.credential.to_string(),
        home: decided.home,
        origin: asked.origin(),
        method: asked.method.to_owned(),
        ..RequestContext::of_service("", decided.rights.here)
    };
    attempts::note(&app.attempts, method, &Arc::new(ctx), None, refusal.reason).await
}

/// Counts what is refused before anyone knows whose it is.
pub(super) fn count(app: &App, asked: &Asked<'_>, refusal: &Refusal) {
    if let Some(method) = methods::find(asked.method) {
        attempts::count(&app.attempts, method, &asked.origin().ip, refusal.reason);
    }
}
