//! The words that every part of Tenantry shares: ids, who is asking, what they may do, why they are refused. Pure: no
//! I/O, no transport, no store.

pub mod clock;
pub mod contact;
pub mod context;
pub mod event;
pub mod filter;
pub mod ids;
pub mod limit_policy;
pub mod network;
pub mod page;
pub mod permission;
pub mod random;
pub mod refusal;
pub mod request_id;
pub mod role;
pub mod seal;
pub mod spreadsheet;
pub mod tenant;
pub mod window;

pub use context::{Origin, Principal, PrincipalKind, RequestContext, TenantSelection};
pub use ids::{
    ApiKeyId, DomainId, EventId, IdentityProviderId, InvitationId, LegalHoldId, LimitOverrideId,
    PlanId, ProjectId, ReservationId, RoleId, SeatId, ServiceAccountId, SessionId, TenantId,
    TenantImportId, UsageAlertId, UsageId, UserId,
};
pub use limit_policy::{Enforcement, LimitPolicy, OnFailure, Rate, RatePeriod};
pub use network::{network, site};
pub use permission::{Permission, Permissions};
pub use refusal::{Kind, Reason, Refusal};
pub use tenant::{TenantRef, TenantStatus};
pub use window::Window;
