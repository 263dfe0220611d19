//! Bulk transfer of members: one transaction over both tenants, so that a crash leaves everybody where they were, and a
//! repeated request gets the first answer.
//!
//! Rows are locked in the order of tenants, in each the owners first and then the users, and the streams of events last in
//! the same order: of two transfers, also in opposite directions, neither waits for the other while that one waits for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId, TenantRef, UserId, clock};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_store::TenantTx;

use super::App;
use super::roles::kept;
use super::seats::Seat;
use crate::authz::Caller;
use crate::domain::member::Member;
use crate::domain::rights::{self, Reach, Rights};
use crate::domain::role::{Role, RoleKey};
use crate::domain::transfer::{Outcome, Plan, Side, Standing, Verdict, refused};
use crate::error::Error;
use crate::store;

/// The tenant that members move to, and what the caller may do there.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tenant: TenantEntry,
    pub(crate) own: Rights,
}

/// Both tenants' rows, locked.
struct Locked {
    in_source: BTreeMap<UserId, Member>,
    in_target: BTreeSet<UserId>,
    owners: Vec<UserId>,
    /// Roles that the tenants defined.
    roles: BTreeMap<TenantId, Vec<Role>>,
}

impl App {
    /// The tenant that members move to, decided by the very rules by which the gateway decides: one that is out of reach is
    /// answered like one that doesn't exist.
    pub(crate) async fn transfer_target(
        &self,
        ctx: &RequestContext,
        source: &TenantEntry,
        named: &str,
    ) -> Result<Target, Error> {
        if named.is_empty() {
            return Err(
                Refusal::field("target_tenant", "must be the id or slug of a tenant").into(),
            );
        }
        let name = TenantRef::parse(named).ok_or(Error::TenantNotFound)?;
        let caller = Caller::of(self, ctx).await?;
        let found = caller.find(&source.project, &name).await?;
        let (tenant, own) = match found {
            Some((tenant, Reach::Admitted(rights))) => (tenant, rights),
            Some((_, Reach::Stopped(stop))) => return Err(Error::Stopped(stop)),
            Some((_, Reach::Absent)) | None => return Err(Error::TenantNotFound),
        };
        let there = RequestContext {
            permissions: own.here,
            below: own.below,
            ..ctx.clone()
        };
        rights::admit(&there, tenant.status)?;
        if !own.here.contains(Permission::MembersManage) {
            return Err(Refusal::lacks(Permission::MembersManage).into());
        }
        if tenant.id == source.id {
            let why = "must be another tenant than the one that they leave";
            return Err(Refusal::field("target_tenant", why).into());
        }
        Ok(Target { tenant, own })
    }

    /// Moves members, as many as the target's limits have places for. Of a dry run the results are the same, but for those limits, and
    /// nothing is changed.
    pub(crate) async fn transfer_members(
        &self,
        ctx: &RequestContext,
        key: Option<RequestKey>,
        source: &TenantEntry,
        target: &Target,
        plan: &Plan,
        dry_run: bool,
    ) -> Result<Vec<Outcome>, Error> {
        let (from, to) = (source.id, target.tenant.id);
        let key = key.filter(|_| !dry_run);
        let outcomes = {
            let mut tx = self.store.begin_between(from, to).await?;
            if let Some(replay) = tx.claim(key.as_ref()).await? {
                return Ok(replay.answer);
            }
            let mut locked = lock(&mut tx, from, to, plan).await?;
            locked.decide(ctx, &mut tx, target, from, plan).await?
        };
        if dry_run {
            return Ok(outcomes);
        }
        // Behind the locks that said for how many: quota may have to wait.
        let moving = outcomes.iter().filter(|outcome| outcome.moves()).count();
        let (seats, full) = self.hold_seats(to, moving).await?;
        let mut tx = self.store.begin_between(from, to).await?;
        if let Some(replay) = tx.claim(key.as_ref()).await? {
            return Ok(replay.answer);
        }
        let mut locked = lock(&mut tx, from, to, plan).await?;
        let mut outcomes = locked.decide(ctx, &mut tx, target, from, plan).await?;
        // Where more of them move than a moment ago, the others may be sent again.
        let full = full.unwrap_or_else(Refusal::unavailable);
        let beyond = outcomes.iter_mut().filter(|outcome| outcome.moves());
        for outcome in beyond.skip(seats.len()) {
            outcome.verdict = refused(full.clone());
        }
        let (added, taken) = add(&mut tx, to, &locked.in_source, &mut outcomes, seats).await?;
        let mut events = added_events(ctx, to, &added);
        if !plan.keep_in_source {
            let users: Vec<UserId> = added.iter().map(|member| member.user_id).collect();
            tx.turn_to(from).await?;
            store::transfer::delete(&mut tx, &users).await?;
            events.extend(removed_events(ctx, from, &locked.in_source, &users));
        }
        tx.record_each(events).await?;
        tx.finish(key.as_ref(), &outcomes).await?;
        for seat in taken {
            self.seats.taken(seat);
        }
        self.seats.changed();
        Ok(outcomes)
    }
}

impl Locked {
    /// What becomes of each user.
    async fn decide(
        &mut self,
        ctx: &RequestContext,
        tx: &mut TenantTx,
        target: &Target,
        from: TenantId,
        plan: &Plan,
    ) -> Result<Vec<Outcome>, Error> {
        let to = target.tenant.id;
        let mut side = |tenant, own| Side {
            own,
            roles: self.roles.remove(&tenant).unwrap_or_default(),
        };
        let (in_from, in_to) = (side(from, Rights::of(ctx)), side(to, target.own));
        let bound_elsewhere = store::transfer::bound_elsewhere(tx, &plan.users, to).await?;
        Ok(plan.decide(&Standing {
            in_source: &self.in_source,
            in_target: &self.in_target,
            bound_elsewhere: &bound_elsewhere,
            owners: &self.owners,
            source: &in_from,
            target: &in_to,
        }))
    }
}

/// Locks what the transfer is about, in the order of tenants.
async fn lock(
    tx: &mut TenantTx,
    from: TenantId,
    to: TenantId,
    plan: &Plan,
) -> Result<Locked, Error> {
    let mut locked = Locked {
        in_source: BTreeMap::new(),
        in_target: BTreeSet::new(),
        owners: Vec::new(),
        roles: BTreeMap::new(),
    };
    let both = BTreeSet::from([from, to]);
    for tenant in &both {
        tx.turn_to(*tenant).await?;
        let owners = store::members::lock_owners(tx).await?;
        let members = store::transfer::lock(tx, &plan.users).await?;
        let by_user = members.into_iter().map(|member| (member.user_id, member));
        if *tenant == from {
            locked.owners = owners;
            locked.in_source = by_user.collect();
        } else {
            locked.in_target = by_user.map(|(user, _)| user).collect();
        }
    }
    let held = locked.in_source.values().flat_map(|member| &member.roles);
    let held: BTreeSet<RoleKey> = held.cloned().collect();
    let held: Vec<RoleKey> = held.into_iter().collect();
    for tenant in both {
        tx.turn_to(tenant).await?;
        let roles = if tenant == from {
            kept(tx, &held).await?
        } else {
            kept(tx, &plan.mapped(&held)).await?
        };
        locked.roles.insert(tenant, roles);
    }
    Ok(locked)
}

/// Adds those who move to the other tenant, each to one of these places, of which those are returned that were taken; who was added by
/// someone else meanwhile stays as they are in both.
async fn add(
    tx: &mut TenantTx,
    to: TenantId,
    in_source: &BTreeMap<UserId, Member>,
    outcomes: &mut [Outcome],
    seats: Vec<Seat>,
) -> Result<(Vec<Member>, Vec<Seat>), Error> {
    let now = clock::now();
    let moving: Vec<Member> = outcomes
        .iter()
        .filter_map(|outcome| match &outcome.verdict {
            Verdict::Moved { roles, .. } => Some((in_source.get(&outcome.user)?, roles)),
            Verdict::AlreadyMember | Verdict::Refused { .. } => None,
        })
        .map(|(member, roles)| Member {
            tenant_id: to,
            roles: roles.clone(),
            created_at: now,
            // A username is one tenant's.
            username: None,
            ..member.clone()
        })
        .collect();
    tx.turn_to(to).await?;
    let moving = moving.into_iter().zip(seats);
    let moving: Vec<_> = moving
        .map(|(member, seat)| Ok((seat.id()?, member, seat)))
        .collect::<Result<_, Error>>()?;
    let rows = moving.iter().map(|(id, member, _)| (member.clone(), *id));
    let rows: Vec<_> = rows.collect();
    let written = store::transfer::insert(tx, &rows).await?;
    let moved = moving
        .into_iter()
        .filter(|(_, member, _)| written.contains(&member.user_id));
    for outcome in outcomes {
        if outcome.moves() && !written.contains(&outcome.user) {
            outcome.verdict = Verdict::AlreadyMember;
        }
    }
    Ok(moved.map(|(_, member, seat)| (member, seat)).unzip())
}

fn added_events(ctx: &RequestContext, to: TenantId, added: &[Member]) -> Vec<(TenantId, Event)> {
    let event = |member: &Member| {
        let (id, facts) = (member.user_id.uuid(), member.facts());
        Event::of(ctx, "member.added", "member", id, Value::Null, facts)
    };
    added.iter().map(|member| (to, event(member))).collect()
}

fn removed_events(
    ctx: &RequestContext,
    from: TenantId,
    in_source: &BTreeMap<UserId, Member>,
    users: &[UserId],
) -> Vec<(TenantId, Event)> {
    let event = |member: &Member| {
        let (id, facts) = (member.user_id.uuid(), member.facts());
        Event::of(ctx, "member.removed", "member", id, facts, Value::Null)
    };
    users
        .iter()
        .filter_map(|user| in_source.get(user))
        .map(|member| (from, event(member)))
        .collect()
}
