//! What a row says: a call that succeeds and all the events that it leaves, and one that is denied and the event of that.

use serde_json::{Value, json};

/// The platform's own log.
pub(super) const PLATFORM: &str = "00000000-0000-0000-0000-000000000000";
/// Stands for a value that is there, and that nobody can foretell.
pub(super) const ANY: &str = "*";

/// Whoever calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The credential, as a header; nobody's call has none.
    pub header: Option<(&'static str, String)>,
    /// How events name it.
    pub(super) actor: Value,
    /// The log that what it is denied is told in.
    pub(super) home: String,
}

impl Caller {
    /// The same, who shows something else.
    pub fn with_header(&self, name: &'static str, value: String) -> Self {
        Self {
            header: Some((name, value)),
            ..self.clone()
        }
    }
}

/// An actor as events show it, all fields.
fn actor(fields: Value) -> Value {
    let mut actor =
        json!({"kind": "", "id": "", "user_id": "", "email": "", "key_id": "", "name": ""});
    for (name, value) in fields.as_object().into_iter().flatten() {
        actor[name] = value.clone();
    }
    actor
}

/// A person, as events show one.
pub(super) fn person(id: &str, email: &str) -> Value {
    actor(json!({"kind": "user", "id": id, "user_id": id, "email": email}))
}

/// A program, by the id of its key.
pub(super) fn key(id: &str) -> Value {
    actor(json!({"kind": "api_key", "id": id, "key_id": id}))
}

pub(super) fn nobody() -> Value {
    actor(json!({"kind": "anonymous"}))
}

/// A program with a name, and the id of the key that it showed.
pub(super) fn account(id: &str, key: &str) -> Value {
    actor(json!({"kind": "service_account", "id": id, "key_id": key}))
}

/// An event that a call is to leave.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// Id of the tenant whose log it is in.
    pub(super) log: String,
    pub(super) action: &'static str,
    /// Type and id of what it happened to.
    pub(super) resource: (&'static str, String),
    pub(super) changes: Changes,
    /// Who did it, where it isn't the caller as such.
    pub(super) actor: Option<Value>,
    /// Whether it tells where the request came from; the product's own events tell what the product says.
    pub(super) has_origin: bool,
}

/// What an event says of what changed.
#[derive(Clone, Debug)]
pub(super) enum Changes {
    /// This and nothing else.
    Exactly(Value),
    /// Of something that wasn't there before, these fields among others.
    Made(Value),
    /// Of something that is gone now, these fields among others.
    Gone(Value),
}

impl Left {
    pub(super) fn new(
        log: &str,
        action: &'static str,
        resource: (&'static str, &str),
        changes: Changes,
    ) -> Self {
        Self {
            log: log.to_owned(),
            action,
            resource: (resource.0, resource.1.to_owned()),
            changes,
            actor: None,
            has_origin: true,
        }
    }

    pub(super) fn by(self, actor: Value) -> Self {
        Self {
            actor: Some(actor),
            ..self
        }
    }
}

/// Fields that changed, each from one value to another.
pub(super) fn changed(fields: &[(&str, Value, Value)]) -> Changes {
    let fields = fields.iter().map(|(name, before, after)| {
        let change = json!({"before": before, "after": after});
        ((*name).to_owned(), change)
    });
    Changes::Exactly(Value::Object(fields.collect()))
}

pub(super) fn made(fields: Value) -> Changes {
    Changes::Made(fields)
}

pub(super) fn gone(fields: Value) -> Changes {
    Changes::Gone(fields)
}

/// What a call leaves, by what it is answered.
pub(super) type Leaves = Box<dyn Fn(&Value) -> Vec<Left> + Send>;

/// One call that succeeds, and one that is denied.
pub struct Case {
    pub by: Caller,
    /// The tenant that the call is in, where neither credential nor message says it.
    pub at: Option<String>,
    pub request: Value,
    /// What the call leaves, by what it is answered.
    pub(super) leaves: Leaves,
    pub(super) denied: Denied,
}

/// A call that is denied.
pub(super) enum Denied {
    /// This one.
    By(Box<Refused>),
    /// None: nobody who is known is denied here, for this reason.
    Nobody(&'static str),
    /// Another case of the same RPC says it.
    Elsewhere,
}

/// What is denied, and what is told of it.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) by: Caller,
    pub(super) at: Option<String>,
    pub(super) request: Value,
    /// Id of what was to be changed; empty where the request names none.
    pub(super) resource: String,
    pub(super) reason: &'static str,
}

impl Case {
    pub(super) fn new(
        by: &Caller,
        request: Value,
        leaves: impl Fn(&Value) -> Vec<Left> + Send + 'static,
    ) -> Self {
        Self {
            by: by.clone(),
            at: None,
            request,
            leaves: Box::new(leaves),
            denied: Denied::Elsewhere,
        }
    }

    /// The same call in this tenant.
    pub(super) fn at(self, tenant: &str) -> Self {
        Self {
            at: Some(tenant.to_owned()),
            ..self
        }
    }

    /// Denied to this caller for want of the permission, whatever else stands in the request.
    pub(super) fn denied_to(self, by: &Caller, request: Value, resource: &str) -> Self {
        self.refused(by, request, resource, "PERMISSION_DENIED")
    }

    /// The same for another reason.
    pub(super) fn refused(
        self,
        by: &Caller,
        request: Value,
        resource: &str,
        reason: &'static str,
    ) -> Self {
        let refused = Refused {
            by: by.clone(),
            at: None,
            request,
            resource: resource.to_owned(),
            reason,
        };
        Self {
            denied: Denied::By(Box::new(refused)),
            ..self
        }
    }

    pub(super) fn never_denied(self, why: &'static str) -> Self {
        Self {
            denied: Denied::Nobody(why),
            ..self
        }
    }
}
