//! The requests that move a tenant along in its life: all name it, and say on which state of it they were decided.

use prost::Message;
use tenantry_core::Refusal;
use tenantry_proto::registry::v1 as wire;

use crate::domain::field;
use crate::domain::tenant::Step;

/// A request for a step.
pub(crate) trait StepRequest: Message {
    /// Id or slug of the tenant.
    fn tenant(&self) -> &str;
    /// The state that it was decided on.
    fn etag(&self) -> &str;
    /// What makes its repetition safe.
    fn request_id(&mut self) -> &mut String;
    /// Whether all tenants below go along.
    fn cascades(&self) -> bool {
        false
    }
    /// The step.
    fn step(&self) -> Result<Step, Refusal>;
}

macro_rules! steps {
    ($($request:ident $(($cascade:ident))? => |$message:ident| $step:expr;)*) => {
        $(impl StepRequest for wire::$request {
            fn tenant(&self) -> &str {
                &self.tenant
            }

            fn etag(&self) -> &str {
                &self.etag
            }

            fn request_id(&mut self) -> &mut String {
                &mut self.request_id
            }

            $(fn cascades(&self) -> bool {
                self.$cascade
            })?

            fn step(&self) -> Result<Step, Refusal> {
                let $message = self;
                $step
            }
        })*
    };
}

steps! {
    SuspendTenantRequest (cascade) => |message| suspend(&message.reason);
    ResumeTenantRequest (cascade) => |_message| Ok(Step::Resume);
    ArchiveTenantRequest => |_message| Ok(Step::Archive);
    DeleteTenantRequest => |_message| Ok(Step::Delete);
    UndeleteTenantRequest => |_message| Ok(Step::Undelete);
}

fn suspend(reason: &str) -> Result<Step, Refusal> {
    field::reason(reason).map_err(|why| Refusal::field("reason", why))?;
    Ok(Step::Suspend {
        reason: reason.to_owned(),
    })
}
