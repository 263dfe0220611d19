//! Sign-up: a person makes a tenant and becomes its owner.
//!
//! Two services write: registry the tenant, identity the membership. So the intent is written first, with the id that the
//! tenant will have; asking registry is harmless to repeat under that id; and the membership, its event and the end of the
//! sign-up are one transaction. Whatever breaks between these, the same request or a replica's own look goes on there.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tenantry_core::request_id::RequestKey;
use tenantry_core::role::Role;
use tenantry_core::{Kind, Reason, Refusal, RequestContext, TenantId, TenantRef, clock};
use tenantry_proto::internal::registry::v1::CreateSignedUpTenantRequest;
use tenantry_proto::internal::registry::v1::sign_up_service_client::SignUpServiceClient;
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::assertion::OnBehalfOf;
use tenantry_rpc::status::refusal;
use tenantry_rpc::{Tasks, contained};

use super::App;
use super::seats::Seat;
use super::sessions::Own;
use crate::domain::sign_up::{self, Asked, SignUp, State};
use crate::error::Error;
use crate::store;

/// Longest wait for registry.
const REGISTRY_WITHIN: Duration = Duration::from_secs(5);
/// When an open sign-up is looked at: longer than a request works at it.
const LOOK_AFTER_SECONDS: f64 = 10.0;
/// When a refused one is looked at once more: longer than any request to registry can be under way. One that was sent before
/// may still have made the tenant.
const CERTAIN_AFTER_SECONDS: f64 = 120.0;
/// How often replicas look, and most that one takes up at once.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const AT_ONCE: i64 = 20;

impl App {
    /// Makes a tenant for the caller.
    pub(crate) async fn sign_up(
        &self,
        ctx: &RequestContext,
        own: Own,
        key: Option<RequestKey>,
        asked: Asked,
    ) -> Result<Tenant, Error> {
        let sign_up = self.begin_sign_up(ctx, own, key, asked).await?;
        match &sign_up.state {
            State::Done(answer) => told(answer),
            State::Open | State::Refused => self.end_sign_up(&sign_up).await,
        }
    }

    /// Writes what is to be done, or finds what the same request began before. Those of one person come one after the
    /// other, so that they are counted.
    async fn begin_sign_up(
        &self,
        ctx: &RequestContext,
        own: Own,
        key: Option<RequestKey>,
        asked: Asked,
    ) -> Result<SignUp, Error> {
        let session = self.principals.signed_in(own.session).await?;
        let session = session.ok_or(Error::Revoked)?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let person = store::users::lock(tx.conn(), own.user).await?;
        let person = person.ok_or(Error::Revoked)?;
        sign_up::reaches(&session, person.password_of, &asked.project)?;
        let request = key.map(|key| {
            let digest = self.store.sealer().fingerprint(&key.digest);
            (key.request_id, digest)
        });
        if let Some((id, digest)) = &request
            && let Some((begun, first)) = store::sign_ups::find(tx.conn(), own.user, id).await?
        {
            return if first == digest {
                Ok(begun)
            } else {
                Err(tenantry_store::Error::RequestIdReused.into())
            };
        }
        let tally = store::sign_ups::tally(tx.conn(), own.user).await?;
        tally.admit(clock::now())?;
        let sign_up = SignUp {
            tenant: TenantId::new(),
            user: own.user,
            state: State::Open,
            asked: Asked {
                email: if asked.email.is_empty() {
                    person.user.email
                } else {
                    asked.email
                },
                ..asked
            },
            actor: ctx.principal.clone(),
            origin: ctx.origin.clone(),
        };
        let request = request
            .as_ref()
            .map(|(id, digest)| (id.as_str(), &digest[..]));
        store::sign_ups::insert(tx.conn(), &sign_up, request, LOOK_AFTER_SECONDS).await?;
        tx.commit().await?;
        Ok(sign_up)
    }

    /// Has registry make the tenant, and makes the person its owner. To do it again is harmless.
    async fn end_sign_up(&self, sign_up: &SignUp) -> Result<Tenant, Error> {
        let told = match self.create_signed_up_tenant(sign_up).await {
            Ok(tenant) => return self.own_signed_up_tenant(sign_up, tenant).await,
            Err(status) => status,
        };
        match refusal(&told).filter(is_final) {
            Some(refused) => {
                let mut tx = self.store.begin(TenantId::PLATFORM).await?;
                store::sign_ups::refused(tx.conn(), sign_up.tenant, CERTAIN_AFTER_SECONDS).await?;
                tx.commit().await?;
                Err(refused.into())
            }
            None => {
                tracing::warn!(tenant.id = %sign_up.tenant, error = %told, "registry makes no tenant for a sign-up");
                Err(Refusal::unavailable().into())
            }
        }
    }

    async fn create_signed_up_tenant(&self, sign_up: &SignUp) -> Result<Tenant, tonic::Status> {
        let asked = sign_up.asked.clone();
        let request = CreateSignedUpTenantRequest {
            tenant_id: sign_up.tenant.to_string(),
            name: asked.name,
            slug: asked.slug,
            project: asked.project,
            email: asked.email,
            billing_email: asked.billing_email,
            contact_phone: asked.contact_phone,
            timezone: asked.timezone,
            locale: asked.locale,
            region: asked.region,
            request_id: String::new(),
        };
        let registry = self.registry.on_behalf_of(OnBehalfOf {
            principal: sign_up.actor.clone(),
            origin: sign_up.origin.clone(),
        });
        let made = registry.call(REGISTRY_WITHIN, |channel| {
            let request = request.clone();
            async move {
                let mut registry = SignUpServiceClient::new(channel);
                Ok(registry
                    .create_signed_up_tenant(request)
                    .await?
                    .into_inner())
            }
        });
        made.await
    }

    /// Makes the person the owner, once; the first answer stays the answer.
    async fn own_signed_up_tenant(
        &self,
        sign_up: &SignUp,
        tenant: Tenant,
    ) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(sign_up.tenant).await?;
        let locked = store::sign_ups::lock(tx.conn(), sign_up.tenant).await?;
        if let State::Done(answer) = locked.ok_or(Error::TenantNotFound)?.state {
            return told(&answer);
        }
        store::sign_ups::done(tx.conn(), sign_up.tenant, &tenant.encode_to_vec()).await?;
        let user = store::users::by_id(tx.conn(), sign_up.user).await?;
        let user = user.ok_or(Error::UserNotFound)?;
        // Operators see the tenant from the start: where one of them was first, their word stands.
        let member = store::members::lock(&mut tx, user.id).await?;
        if member.is_none() {
            let new = (user.name.clone(), vec![Role::Owner.into()]);
            // Whatever the plan allows: without its first owner nobody could change that.
            let seat = Seat::beyond_limits();
            super::members::add(&sign_up.context(), &mut tx, &user, new, &seat).await?;
        }
        tx.commit().await?;
        self.seats.changed();
        Ok(tenant)
    }

    /// Brings to an end what a request left behind, until cancelled. What fails is tried again at a later look.
    pub(crate) async fn end_sign_ups(self: Arc<Self>, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.end_some_sign_ups().await {
                tracing::warn!(error = %error, "sign-ups can't be looked at");
            }
        }
    }

    async fn end_some_sign_ups(&self) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let due = store::sign_ups::take(tx.conn(), AT_ONCE, LOOK_AFTER_SECONDS).await?;
        tx.commit().await?;
        for sign_up in due {
            let looked = contained("ends of sign-ups", self.look_at_sign_up(&sign_up));
            if let Some(Err(error)) = looked.await {
                tracing::info!(tenant.id = %sign_up.tenant, error = %error, "a sign-up was not ended");
            }
        }
        Ok(())
    }

    async fn look_at_sign_up(&self, sign_up: &SignUp) -> Result<(), Error> {
        match sign_up.state {
            State::Open => {}
            State::Done(_) => return Ok(()),
            State::Refused => {
                let name = TenantRef::Id(sign_up.tenant);
                if self.tenants.ask("", &name).await?.is_none() {
                    let mut tx = self.store.begin(TenantId::PLATFORM).await?;
                    store::sign_ups::over(tx.conn(), sign_up.tenant).await?;
                    return Ok(tx.commit().await?);
                }
            }
        }
        self.end_sign_up(sign_up).await.map(drop)
    }
}

/// Whether registry will never say otherwise of the same sign-up, as far as it can tell.
fn is_final(refusal: &Refusal) -> bool {
    match refusal.kind() {
        Kind::InvalidArgument | Kind::NotFound | Kind::AlreadyExists | Kind::FailedPrecondition => {
            true
        }
        _ => refusal.reason == Reason::SignUpClosed,
    }
}

/// The answer as it was given.
fn told(answer: &[u8]) -> Result<Tenant, Error> {
    Tenant::decode(answer).map_err(|why| {
        tracing::error!(error = %why, "the answer of a sign-up can't be read");
        Refusal::internal().into()
    })
}
