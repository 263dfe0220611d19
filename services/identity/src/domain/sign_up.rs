//! Sign-up: who may make a tenant of their own, and how often.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::refusal::Violations;
use tenantry_core::{Origin, Permissions, Principal, Refusal, RequestContext, TenantId, UserId};

use super::principal::SignedIn;
use crate::error::Error;

/// Most tenants that a person signs up for in a day.
const MOST: i64 = 5;
/// Most tries in a day, refused ones included: each tells whether a slug is taken.
const MOST_TRIES: i64 = 50;
/// The day that they are counted in.
pub(crate) const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// Longest text of a field.
const MOST_CHARS: usize = 500;

/// What a sign-up asks for; registry judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) project: String,
    pub(crate) email: String,
    pub(crate) billing_email: String,
    pub(crate) contact_phone: String,
    pub(crate) timezone: String,
    pub(crate) locale: String,
    pub(crate) region: String,
}

impl Asked {
    /// Refuses what can't be kept until registry has judged it: no field of a tenant is that long, or has such characters.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let mut wrong = Violations::new();
        for (field, text) in [
            ("name", &self.name),
            ("slug", &self.slug),
            ("project", &self.project),
            ("email", &self.email),
            ("billing_email", &self.billing_email),
            ("contact_phone", &self.contact_phone),
            ("timezone", &self.timezone),
            ("locale", &self.locale),
            ("region", &self.region),
        ] {
            if text.chars().count() > MOST_CHARS {
                wrong.add(field, format!("must be at most {MOST_CHARS} characters"));
            } else if text.chars().any(char::is_control) {
                wrong.add(field, "must not contain control characters");
            }
        }
        wrong.check()
    }
}

/// How far a sign-up is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Registry may have made the tenant; nobody is its owner.
    Open,
    /// The person is the owner. Holds the answer, encoded.
    Done(Vec<u8>),
    /// Registry refused it.
    Refused,
}

/// One sign-up.
#[derive(Clone, Debug)]
pub(crate) struct SignUp {
    /// Id of the tenant that it makes.
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) state: State,
    pub(crate) asked: Asked,
    pub(crate) actor: Principal,
    pub(crate) origin: Origin,
}

impl SignUp {
    /// Whose doing it is, for events; whichever replica ends it, and however much later.
    pub(crate) fn context(&self) -> RequestContext {
        RequestContext {
            principal: self.actor.clone(),
            origin: self.origin.clone(),
            ..RequestContext::of_service("identity", Permissions::NONE)
        }
    }
}

/// Refuses a session that wouldn't reach the new tenant: one whose password the people of a tenant chose, or for which a
/// tenant's provider speaks, or a project's where the tenant is to be in another project.
pub(crate) fn reaches(
    session: &SignedIn,
    password_of: Option<TenantId>,
    project: &str,
) -> Result<(), Error> {
    let bound = match (session.provider, &session.standing.only_project) {
        (None, _) => password_of.is_some(),
        (Some(_), Some(only)) => only != project,
        (Some(_), None) => true,
    };
    if bound {
        Err(Error::SignInBound)
    } else {
        Ok(())
    }
}

/// How many there were in the last [`WINDOW`], and when the first of them was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) many: i64,
    pub(crate) first: Option<Timestamp>,
}

impl Count {
    /// How long one waits for a place among so many, in milliseconds; zero where there is one.
    fn wait_ms(self, most: i64, now: Timestamp) -> i64 {
        if self.many < most {
            return 0;
        }
        let free = self.first.and_then(|at| at.checked_add(WINDOW).ok());
        let wait = free.map_or(WINDOW, |free| free.duration_since(now));
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1)
    }
}

/// What a person did in the last [`WINDOW`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Sign-ups that made a tenant, or may still.
    pub(crate) made: Count,
    /// These and those that were refused.
    pub(crate) tries: Count,
}

impl Tally {
    /// Refuses one more beyond the bounds.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), Refusal> {
        let wait = self.made.wait_ms(MOST, now);
        match wait.max(self.tries.wait_ms(MOST_TRIES, now)) {
            0 => Ok(()),
            wait => Err(Error::SignUpLimit(wait).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn count(many: i64, hours_ago: i64) -> Count {
        Count {
            many,
            first: Some(NOW - SignedDuration::from_hours(hours_ago)),
        }
    }

    #[test]
    fn the_wait_is_until_the_first_of_too_many_is_a_day_old() {
        assert_eq!(count(MOST - 1, 1).wait_ms(MOST, NOW), 0);
        assert_eq!(count(MOST, 23).wait_ms(MOST, NOW), 3_600_000);
        assert_eq!(
            count(MOST, 24).wait_ms(MOST, NOW),
            1,
            "a place is free next"
        );
    }

    #[test]
    fn refused_tries_count_by_themselves() {
        let tally = |made, tries| Tally {
            made: count(made, 1),
            tries: count(tries, 1),
        };
        assert!(tally(0, MOST_TRIES - 1).admit(NOW).is_ok());
        assert!(tally(0, MOST_TRIES).admit(NOW).is_err());
        assert!(tally(MOST, MOST).admit(NOW).is_err());
    }
}
