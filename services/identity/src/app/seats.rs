//! Places of members and keys: each is held at quota, within the tenant's limits, before anything is written, and what becomes of it is told
//! until quota has acknowledged it. The schema writes that down with the member or the key (`migrations/0019_seats.sql`), so it is told
//! whoever dies. A place that was held and isn't taken is void: nobody takes it later, and quota is told so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tenantry_core::{ApiKeyId, Reason, Refusal, SeatId, TenantId};
use tenantry_proto::internal::quota::v1::hold_service_client::HoldServiceClient;
use tenantry_proto::internal::quota::v1::{ConfirmRequest, HoldRequest, ReleaseRequest};
use tenantry_rpc::status::refusal;
use tenantry_rpc::{Tasks, contained};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tonic::Status;

use super::App;
use crate::domain::seat::{Change, SeatKind, Told};
use crate::error::Error;
use crate::store;

/// How long a place is held before quota asks what became of it: longer than the transaction takes that writes down what takes it.
const HELD_FOR: Duration = Duration::from_secs(15);
/// Longest wait for quota to hold places: it waits itself for those that others are about to give back.
const HOLD_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for quota to hear of a change, after how long it is told again, and how many calls are under way at once.
const TELL_WITHIN: Duration = Duration::from_secs(2);
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(3);
const CALLS: usize = 16;
/// How often it is looked for what a replica that went left behind, and most changes of one look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 1_000;
/// Most places that wait to become void; quota asks about the others once their time has passed.
const MOST_UNUSED: usize = 1_000;

/// Places that aren't used, and whether there is anything to be told.
#[derive(Debug)]
pub(crate) struct Seats {
    changed: Notify,
    unused: mpsc::Sender<Unused>,
}

/// A place that was held and isn't taken.
type Unused = (TenantId, SeatKind, SeatId);

impl Seats {
    /// With the places that are to become void, for [`App::void_seats`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<Unused>) {
        let (unused, receiver) = mpsc::channel(MOST_UNUSED);
        let changed = Notify::new();
        (Self { changed, unused }, receiver)
    }

    /// Has quota told at once: places were taken or left.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Has this place taken, for good.
    pub(super) fn taken(&self, mut seat: Seat) {
        seat.hold = None;
        self.changed();
    }
}

/// A place for one member or key. Dropped before it is taken, it becomes void.
#[derive(Debug)]
pub(super) struct Seat {
    id: SeatId,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    tenant: TenantId,
    kind: SeatKind,
    until: Instant,
    unused: mpsc::Sender<Unused>,
}

impl Seat {
    /// One that counts whatever the limits are: for the first owner of a tenant, without whom nobody could have them raised.
    pub(super) fn beyond_limits() -> Self {
        Self {
            id: SeatId::new(),
            hold: None,
        }
    }

    /// The id to write down with whoever takes it; refused once quota may have asked about it.
    pub(super) fn id(&self) -> Result<SeatId, Error> {
        match &self.hold {
            Some(hold) if hold.until <= Instant::now() => Err(Refusal::unavailable().into()),
            Some(_) | None => Ok(self.id),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            // Where too many wait already, quota asks.
            let _ = hold.unused.try_send((hold.tenant, hold.kind, self.id));
        }
    }
}

impl App {
    /// Holds a place for one more member of the tenant.
    pub(super) async fn hold_seat(&self, tenant: TenantId) -> Result<Seat, Error> {
        let held = self.hold(tenant, SeatKind::Member, vec![SeatId::new()]);
        held.await?.pop().ok_or(Refusal::internal().into())
    }

    /// Holds a place for a new key; one of the platform needs none.
    pub(super) async fn hold_key_seat(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
    ) -> Result<Option<Seat>, Error> {
        if tenant.is_platform() {
            return Ok(None);
        }
        let held = self.hold(tenant, SeatKind::Key, vec![key.uuid().into()]);
        Ok(held.await?.pop())
    }

    /// Holds places for so many members, or for as many as the limits have; then with why it isn't more.
    pub(super) async fn hold_seats(
        &self,
        tenant: TenantId,
        members: usize,
    ) -> Result<(Vec<Seat>, Option<Refusal>), Error> {
        let mut seats = Vec::with_capacity(members);
        while seats.len() < members {
            let ids = (seats.len()..members).map(|_| SeatId::new()).collect();
            match self.hold(tenant, SeatKind::Member, ids).await {
                Ok(held) => seats.extend(held),
                Err(Error::Refused(refused)) if refused.reason == Reason::QuotaExceeded => {
                    return Ok((seats, Some(refused)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((seats, None))
    }

    /// Holds as many of these places as the limits have, or is refused where they have none.
    async fn hold(
        &self,
        tenant: TenantId,
        kind: SeatKind,
        ids: Vec<SeatId>,
    ) -> Result<Vec<Seat>, Error> {
        let until = Instant::now() + HELD_FOR;
        let request = HoldRequest {
            tenant_id: tenant.to_string(),
            resource_type: kind.word().to_owned(),
            items: ids.iter().map(ToString::to_string).collect(),
            ttl_ms: u32::try_from(HELD_FOR.as_millis()).unwrap_or(u32::MAX),
            request_id: String::new(),
        };
        let seat = |id| Seat {
            id,
            hold: Some(Hold {
                tenant,
                kind,
                until,
                unused: self.seats.unused.clone(),
            }),
        };
        // Before the answer: whoever asked may go away, and a hold whose answer is lost may be one.
        let mut seats: Vec<_> = ids.into_iter().map(seat).collect();
        let held = self.quota.call(HOLD_WITHIN, |channel| {
            let request = request.clone();
            async move {
                let mut quota = HoldServiceClient::new(channel);
                Ok(quota.hold(request).await?.into_inner())
            }
        });
        match held.await {
            Ok(answer) => {
                let held: Vec<SeatId> = answer
                    .held
                    .iter()
                    .filter_map(|id| id.parse().ok())
                    .collect();
                seats.retain_mut(|seat| {
                    let is_held = held.contains(&seat.id);
                    if !is_held {
                        seat.hold = None;
                    }
                    is_held
                });
                Ok(seats)
            }
            Err(status) => {
                let refused = not_held(&status);
                if refused.reason == Reason::QuotaExceeded {
                    seats.iter_mut().for_each(|seat| seat.hold = None);
                }
                Err(refused.into())
            }
        }
    }

    /// Makes void what was held and isn't used, until cancelled. What is still under way is waited for; what fails is asked about by
    /// quota later.
    pub(crate) async fn void_seats(
        self: Arc<Self>,
        mut unused: mpsc::Receiver<Unused>,
        tasks: Tasks,
    ) {
        let mut some = Vec::with_capacity(MOST_UNUSED);
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                received = unused.recv_many(&mut some, MOST_UNUSED) => if received == 0 { return },
            }
            let mut grouped: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for (tenant, kind, seat) in some.drain(..) {
                grouped.entry((tenant, kind)).or_default().push(seat);
            }
            for ((tenant, kind), seats) in grouped {
                let settled = contained("unused places", self.settle_seats(tenant, kind, &seats));
                if let Some(Err(error)) = settled.await {
                    tracing::info!(tenant.id = %tenant, error = %error, "places that aren't used stay held for a while");
                }
            }
            self.seats.changed();
        }
    }

    /// Those of these places that are taken. Nobody takes one of the others from now on.
    pub(crate) async fn settle_seats(
        &self,
        tenant: TenantId,
        kind: SeatKind,
        seats: &[SeatId],
    ) -> Result<Vec<SeatId>, Error> {
        let mut tx = self.store.begin(tenant).await?;
        let taken = store::seats::settle(&mut tx, kind, seats).await?;
        match tx.still_open().await {
            Ok(()) => {}
            // All of it is gone, and nothing comes any more.
            Err(tenantry_store::Error::TenantClosed) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Tells quota which places were taken and left, until cancelled. What fails is told again.
    pub(crate) async fn tell_seats(self: Arc<Self>, tasks: Tasks) {
        loop {
            match self.tell_some_seats().await {
                Ok(true) if !tasks.token().is_cancelled() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "changes of places can't be read"),
            }
            tokio::select! {
                () = tasks.cancelled() => return,
                () = self.seats.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tells some; whether there may be more.
    async fn tell_some_seats(&self) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        store::seats::leave_expired(&mut tx, AT_ONCE).await?;
        store::seats::sweep(&mut tx, AT_ONCE).await?;
        let due = store::seats::take(&mut tx, TELL_AGAIN_AFTER, AT_ONCE).await?;
        tx.commit().await?;
        let more = i64::try_from(due.len()).is_ok_and(|taken| taken == AT_ONCE);
        let mut grouped: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Told {
            tenant,
            kind,
            change,
            seat,
        } in due
        {
            grouped
                .entry((tenant, kind, change))
                .or_default()
                .push(seat);
        }
        let told = stream::iter(grouped).map(|((tenant, kind, change), seats)| async move {
            let told = contained("changes of places", self.tell(tenant, kind, change, &seats));
            told.await.unwrap_or(Ok(()))
        });
        let untold: Vec<_> = told
            .buffer_unordered(CALLS)
            .filter_map(|told| std::future::ready(told.err()))
            .collect()
            .await;
        if let Some(error) = untold.first() {
            tracing::warn!(error = %error, tenants = untold.len(), "quota doesn't hear of places; telling it again");
        }
        Ok(more)
    }

    async fn tell(
        &self,
        tenant: TenantId,
        kind: SeatKind,
        change: Change,
        seats: &[SeatId],
    ) -> Result<(), Error> {
        let (tenant_id, resource_type) = (tenant.to_string(), kind.word().to_owned());
        let items: Vec<_> = seats.iter().map(ToString::to_string).collect();
        let told = self.quota.call(TELL_WITHIN, |channel| {
            let (tenant_id, resource_type, items) =
                (tenant_id.clone(), resource_type.clone(), items.clone());
            async move {
                let mut quota = HoldServiceClient::new(channel);
                match change {
                    Change::Taken => {
                        let request = ConfirmRequest {
                            tenant_id,
                            resource_type,
                            items,
                            request_id: String::new(),
                        };
                        quota.confirm(request).await.map(drop)
                    }
                    Change::Left | Change::Void => {
                        let request = ReleaseRequest {
                            tenant_id,
                            resource_type,
                            items,
                            request_id: String::new(),
                        };
                        quota.release(request).await.map(drop)
                    }
                }
            }
        });
        told.await
            .map_err(|status| refusal(&status).unwrap_or_else(Refusal::unavailable))?;
        let mut tx = self.store.begin(tenant).await?;
        store::seats::told(tx.conn(), tenant, change, seats).await?;
        Ok(tx.commit().await?)
    }
}

/// Why quota holds nothing, as its caller's caller is told: in quota's own words where they are of use.
fn not_held(status: &Status) -> Refusal {
    let told = refusal(status).filter(|told| {
        matches!(
            told.reason,
            Reason::QuotaExceeded | Reason::Overloaded | Reason::TenantNotFound
        )
    });
    told.unwrap_or_else(|| {
        tracing::warn!(error = %status, "quota holds no place");
        Refusal::unavailable()
    })
}
