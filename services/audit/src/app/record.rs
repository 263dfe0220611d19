//! Recording events of the product's own services: all of a request in the log, or none.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use tenantry_core::event::Outcome;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{EventId, PrincipalKind, RequestContext, TenantId};

use tenantry_rpc::places::Places;
use tokio::sync::Semaphore;

use super::{App, away};
use crate::domain::entry::{self, Entry, Origin, insert};
use crate::domain::stream::Source;
use crate::error::Error;
use crate::store::append::{self, Placed};
use crate::store::sources;

/// An event of the product's own, as its service told it.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) event_type: String,
    pub(crate) at: Timestamp,
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    /// Id and e-mail address of who did it in the product; both empty where it was the caller.
    pub(crate) actor: (String, String),
    pub(crate) changes: Map<String, Value>,
    pub(crate) outcome: Outcome,
    pub(crate) ip_address: String,
    pub(crate) user_agent: String,
    /// Fields of the changes that are about a person.
    pub(crate) personal_fields: Vec<String>,
}

/// A request to record events.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) ctx: Arc<RequestContext>,
    pub(crate) tenant: TenantId,
    /// The name under which the log has their source.
    pub(crate) source: String,
    pub(crate) events: Vec<NewEvent>,
}

/// Most requests of the product's own services that wait for the log at once, and of one tenant. One of them is at it at a time: the
/// services of the fleet have a way of their own.
const WAITING: usize = 64;
const WAITING_OF_ONE: usize = 8;

/// Whose turn it is to record.
#[derive(Clone, Debug)]
pub(super) struct Recordings {
    places: Places<TenantId>,
    turn: Arc<Semaphore>,
}

impl Recordings {
    pub(super) fn new() -> Self {
        Self {
            places: Places::new(WAITING, WAITING_OF_ONE),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Id and index of each event that was recorded, as answered.
pub(crate) type Recorded = Vec<(EventId, i64)>;

impl App {
    /// Records events at the end of a tenant's log. They are in it for good once this returns.
    pub(crate) async fn record(
        &self,
        key: Option<&RequestKey>,
        recording: Recording,
    ) -> Result<Recorded, Error> {
        let tenant = recording.tenant;
        let _place = self
            .recordings
            .places
            .take(tenant)
            .map_err(|full| full.refusal("requests that record events", "of this tenant"))?;
        let _turn = self.recordings.turn.acquire().await;
        let mut tx = self.store.across(tenant).await?;
        if let Some(replay) = tx.claim::<Recorded>(key).await? {
            return Ok(replay.answer);
        }
        let recording = Arc::new(recording);
        // Leaves are made before anyone waits for the head; and anew where others of this source came in between.
        let before = recording.stream(tx.conn()).await?;
        let mut entries = recording.entries(before).await?;
        let head = append::lock_head(tx.conn()).await?;
        let state = recording.stream(tx.conn()).await?;
        if state != before {
            entries = recording.entries(state).await?;
        }
        let sizes = append::sizes(tx.conn(), &[tenant]).await?;
        let size = sizes.get(&tenant).copied().unwrap_or_default();
        let keeping = self.keeping(tx.conn(), &[tenant]).await?;
        if keeping.purged(tenant) {
            return Err(Error::TenantNotFound);
        }
        let mut recorded = Recorded::new();
        let mut placed = Vec::new();
        for ((id, entry), index) in entries.into_iter().zip(size..) {
            recorded.push((id, index));
            placed.push(Placed {
                tenant,
                index,
                class: keeping.class(tenant),
                source: &recording.source,
                epoch: state.epoch,
                entry,
            });
        }
        let size = size + i64::try_from(placed.len()).unwrap_or(i64::MAX);
        let state = state.after(placed.len(), size);
        append::insert(tx.conn(), head, placed).await?;
        append::grow(tx.conn(), head.now, &HashMap::from([(tenant, size)])).await?;
        keeping.note(tx.conn()).await?;
        sources::save(tx.conn(), &recording.source, &[(tenant, state)]).await?;
        tx.finish(key, &recorded).await?;
        self.grown.look();
        Ok(recorded)
    }
}

impl Recording {
    /// How far the log has this source's events of the tenant.
    async fn stream(&self, conn: &mut PgConnection) -> Result<Source, Error> {
        let known = sources::of(conn, &self.source, &[self.tenant]).await?;
        Ok(known.get(&self.tenant).copied().unwrap_or_default())
    }

    /// The entries that come behind this state of the stream, with the ids of their events.
    async fn entries(self: &Arc<Self>, state: Source) -> Result<Vec<(EventId, Entry)>, Error> {
        let recording = Arc::clone(self);
        away(move || {
            let numbered = recording.events.iter().zip(state.expected()..);
            let entries = numbered.map(|(new, n)| {
                let origin = Origin {
                    tenant: recording.tenant,
                    source: &recording.source,
                    epoch: state.epoch,
                    n,
                    at: new.at,
                };
                let id = EventId::new();
                Ok((id, entry_of(&recording.ctx, &origin, id, new)?))
            });
            entries.collect()
        })
        .await?
    }
}

fn entry_of(
    ctx: &RequestContext,
    origin: &Origin<'_>,
    id: EventId,
    new: &NewEvent,
) -> Result<Entry, Error> {
    let mut personal: Vec<String> = ["/actor/email", "/ip_address", "/user_agent"]
        .map(str::to_owned)
        .into();
    for field in &new.personal_fields {
        personal.push(entry::of_field(field));
    }
    let mut shown = Map::new();
    insert(&mut shown, "actor", Value::Object(actor(ctx, new)));
    insert(&mut shown, "changes", Value::Object(new.changes.clone()));
    insert(&mut shown, "event_type", json!(new.event_type));
    insert(&mut shown, "outcome", json!(new.outcome.name()));
    let mut resource = Map::new();
    insert(&mut resource, "type", json!(new.resource_type));
    insert(&mut resource, "id", json!(new.resource_id));
    insert(&mut shown, "resource", Value::Object(resource));
    insert(&mut shown, "ip_address", json!(new.ip_address));
    insert(&mut shown, "user_agent", json!(new.user_agent));
    insert(&mut shown, "request_id", json!(ctx.origin.request_id));
    insert(&mut shown, "trace_id", json!(ctx.origin.trace_id));
    Ok(entry::seal(origin, id.uuid(), shown, &personal, &[])?)
}

/// Who did it: someone of the product, told by the caller, or the caller.
fn actor(ctx: &RequestContext, new: &NewEvent) -> Map<String, Value> {
    let mut actor = Map::new();
    let (id, email) = &new.actor;
    let told = !(id.is_empty() && email.is_empty());
    let who = &ctx.principal;
    if told {
        insert(&mut actor, "kind", json!("user"));
        insert(&mut actor, "id", json!(id));
        insert(&mut actor, "user_id", json!(id));
        insert(&mut actor, "email", json!(email));
        insert(&mut actor, "told_by", json!(who.id));
    } else {
        insert(&mut actor, "kind", json!(who.kind.name()));
        insert(&mut actor, "id", json!(who.id));
        if who.kind == PrincipalKind::User {
            insert(&mut actor, "user_id", json!(who.id));
            insert(&mut actor, "email", json!(who.name));
        } else {
            insert(&mut actor, "key_id", json!(ctx.credential));
        }
    }
    actor
}
