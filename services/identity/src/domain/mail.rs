//! Mails in waiting: what each says, how long it is of use, and when it is tried again.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::TenantId;
use uuid::Uuid;

/// Most mails of one tenant, or of the platform, that wait.
pub(crate) const MOST_WAITING: i64 = 10_000;
/// Most mails that a tenant's people and programs have sent in a day.
pub(crate) const MOST_A_DAY: i64 = 500;
/// Longest time that a mail waits.
const LONGEST: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How long after a try that failed the next one comes: first, and at most; in between it doubles.
const FIRST_BACK_OFF: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_mins(15);
/// Doublings beyond which the longest is passed.
const MOST_DOUBLINGS: u32 = 10;

/// A mail, as it is sealed. It holds the secret of a link: never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// E-mail address that it goes to.
    pub(crate) to: String,
    pub(crate) letter: Letter,
}

/// What a mail says. Whoever has others added or asks for links writes none of it but the name of a tenant that invites.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// Tells a person that they were added to a tenant.
    Welcome { slug: String },
    /// Asks a person to join a tenant.
    Invitation {
        tenant_name: String,
        /// E-mail address of who invites; empty for a program.
        by: String,
        roles: Vec<String>,
        until: Timestamp,
        token: String,
    },
    /// Lets a person replace a forgotten password.
    PasswordReset { until: Timestamp, token: String },
}

impl Letter {
    /// What logs and rows call it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Invitation { .. } => "invitation",
            Self::PasswordReset { .. } => "password_reset",
        }
    }

    /// From when on it is of no use.
    pub(crate) fn ends_at(&self, now: Timestamp) -> Timestamp {
        let longest = now + LONGEST;
        match self {
            Self::Welcome { .. } => longest,
            Self::Invitation { until, .. } | Self::PasswordReset { until, .. } => {
                longest.min(*until)
            }
        }
    }
}

/// What a mail is sealed for: its own row.
pub(crate) fn sealed_for(tenant: TenantId, id: Uuid) -> Vec<u8> {
    [
        b"mail\n".as_slice(),
        tenant.uuid().as_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

/// How long after so many tries the next one comes.
pub(crate) fn back_off(tries: i32) -> SignedDuration {
    let before = u32::try_from(tries).unwrap_or(0).saturating_sub(1);
    (FIRST_BACK_OFF * (1 << before.min(MOST_DOUBLINGS))).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let waits: Vec<_> = (1..=11).map(|tries| back_off(tries).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(back_off(i32::MAX), LONGEST_BACK_OFF);
    }

    #[test]
    fn a_link_that_ended_is_sent_no_more_and_nothing_waits_for_ever() {
        let now = Timestamp::UNIX_EPOCH;
        let reset = |hours| Letter::PasswordReset {
            until: now + SignedDuration::from_hours(hours),
            token: String::new(),
        };
        assert_eq!(reset(1).ends_at(now), now + SignedDuration::from_hours(1));
        assert_eq!(reset(1_000).ends_at(now), now + LONGEST);
    }
}
