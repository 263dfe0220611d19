//! A custom domain and what a look at the DNS makes of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::{DomainId, TenantId};

use super::hostname::CHALLENGE_LABEL;
use crate::error::Error;

/// Most custom domains of one tenant.
pub(crate) const MAX_DOMAINS: i64 = 100;
/// How long a pending domain is looked for by itself.
const LOOKED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Between two looks at a pending one: a quarter of its age, in these bounds.
const PENDING_AT_LEAST: SignedDuration = SignedDuration::from_mins(1);
const PENDING_AT_MOST: SignedDuration = SignedDuration::from_hours(6);
/// Between two looks at a verified one.
const VERIFIED_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// Between two looks at one whose record is gone, and after the first look at a verified one that nobody answered.
const FAILING_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Longest time between two looks where nobody answers: each time it is twice as long as it would be.
const SILENT_AT_MOST: SignedDuration = SignedDuration::from_hours(24);
/// Looks without an answer that still double it.
const MAX_DOUBLINGS: i32 = 11;
/// How long a domain whose record is gone still names its tenant.
const FAILING_FOR: SignedDuration = SignedDuration::from_hours(72);
/// Random bytes of a challenge.
const TOKEN_BYTES: usize = 20;
const VALUE_MARK: &str = "tenantry-domain-verification=";

/// Where a domain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DomainStatus {
    /// Its record was not found yet.
    Pending,
    /// It names its tenant.
    Verified,
    /// It names its tenant still, but its record is gone.
    Failing,
}

impl DomainStatus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failing => "failing",
        }
    }
}

/// A custom domain as it stands in its row, in its events and in recorded answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Domain {
    pub(crate) id: DomainId,
    pub(crate) tenant_id: TenantId,
    pub(crate) name: String,
    pub(crate) status: DomainStatus,
    /// What the TXT record has to hold: published in the DNS, so no secret.
    pub(crate) token: String,
    pub(crate) created_at: Timestamp,
    pub(crate) verified_at: Option<Timestamp>,
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) checked_at: Option<Timestamp>,
    pub(crate) next_check_at: Option<Timestamp>,
    pub(crate) problem: String,
    /// When a look last showed the record.
    #[serde(default)]
    pub(crate) shown_at: Option<Timestamp>,
    /// How many looks in a row nobody answered.
    #[serde(default)]
    pub(crate) unanswered: i32,
}

/// What a change of a domain's status is told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Which domains name the tenant has changed: an event of the tenant.
    OfTenant(&'static str),
    /// Nothing but the domain has: an event of its own.
    OfDomain(&'static str),
}

/// What a look at the DNS found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The domain's TXT records; none where there are none.
    Records(Vec<String>),
    /// The DNS didn't answer, which says nothing about the domain.
    Unanswered,
}

impl Domain {
    /// A new one, whose challenge is this text.
    pub(crate) fn new(tenant_id: TenantId, name: String, now: Timestamp) -> Self {
        let token = tenantry_core::random::bytes::<TOKEN_BYTES>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            id: DomainId::new(),
            tenant_id,
            name,
            status: DomainStatus::Pending,
            token,
            created_at: now,
            verified_at: None,
            failing_since: None,
            checked_at: None,
            next_check_at: Some(after(now, PENDING_AT_LEAST)),
            problem: String::new(),
            shown_at: None,
            unanswered: 0,
        }
    }

    /// Where the challenge's record has to stand.
    pub(crate) fn record_name(&self) -> String {
        record_name(&self.name)
    }

    /// What it has to be.
    pub(crate) fn record_value(&self) -> String {
        format!("{VALUE_MARK}{}", self.token)
    }

    /// Whether it names its tenant now.
    pub(crate) fn in_use(&self) -> bool {
        self.status != DomainStatus::Pending
    }

    /// Whether a look showed the domain to be this tenant's since it stood so, or it was taken away or added anew. What another
    /// look, under way since then, didn't show says nothing against it.
    pub(crate) fn shown_since(&self, then: &Self) -> bool {
        (self.id, self.shown_at) != (then.id, then.shown_at)
    }

    /// Whether nobody answered when it was last looked for.
    pub(crate) const fn is_silent(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether the look shows the domain to be this tenant's.
    pub(crate) fn is_shown(&self, look: &Look) -> bool {
        let value = self.record_value();
        match look {
            Look::Records(records) => records.iter().any(|record| record.trim() == value),
            Look::Unanswered => false,
        }
    }

    /// The state after a look at the DNS.
    pub(crate) fn looked(&self, look: &Look, now: Timestamp) -> Self {
        let mut next = Self {
            checked_at: Some(now),
            unanswered: 0,
            ..self.clone()
        };
        match look {
            Look::Records(_) if self.is_shown(look) => {
                next.status = DomainStatus::Verified;
                next.verified_at = self.verified_at.or(Some(now));
                next.shown_at = Some(now);
                next.failing_since = None;
                next.problem.clear();
                next.next_check_at = Some(after(now, VERIFIED_EVERY));
            }
            Look::Records(records) => {
                next.problem = missing(&self.record_name(), records.len());
                next.miss(now);
            }
            Look::Unanswered => {
                next.problem = "The DNS servers of this domain didn't answer.".to_owned();
                next.unanswered = self.unanswered.saturating_add(1);
                let wait = match self.status {
                    DomainStatus::Pending => self.pending_wait(now),
                    DomainStatus::Verified | DomainStatus::Failing => Some(FAILING_EVERY),
                };
                let times = 1 << self.unanswered.clamp(0, MAX_DOUBLINGS);
                next.next_check_at =
                    wait.map(|wait| after(now, (wait * times).min(SILENT_AT_MOST)));
            }
        }
        next
    }

    /// Takes the domain from a tenant whose record is gone while another's stands there.
    pub(crate) fn lost(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.checked_at = Some(now);
        next.problem =
            "Another tenant's record stands in the DNS now, and this one's is gone.".to_owned();
        next.lapse(now);
        next
    }

    /// The state after a look that was asked for and showed nothing: what was wrong is kept, and nothing else. Whom the
    /// domain names, and when it is looked for next, is the regular look's.
    pub(crate) fn refused(&self, look: &Look, now: Timestamp) -> Self {
        Self {
            checked_at: Some(now),
            problem: self.looked(look, now).problem,
            ..self.clone()
        }
    }

    /// The same after one that was asked for and showed the domain to be this tenant's while another's record stands too.
    pub(crate) fn contested(&self, now: Timestamp) -> Self {
        if self.in_use() {
            return self.clone(); // The other one gave way meanwhile.
        }
        Self {
            checked_at: Some(now),
            problem:
                "The domain names another tenant, whose TXT record stood when it was last looked for."
                    .to_owned(),
            ..self.clone()
        }
    }

    /// The same after a regular look, which comes again as after one that found nothing.
    pub(crate) fn contested_again(&self, now: Timestamp) -> Self {
        let mut next = self.contested(now);
        if !self.in_use() {
            next.next_check_at = self.next_pending(now);
        }
        next
    }

    /// What is told of a change to this other status, if it is another.
    pub(crate) fn news(&self, after: &Self) -> Option<News> {
        if self.status == after.status {
            return None;
        }
        Some(match after.status {
            DomainStatus::Pending => News::OfTenant("tenant.domain_removed"),
            DomainStatus::Failing => News::OfDomain("domain.failing"),
            DomainStatus::Verified if self.in_use() => News::OfDomain("domain.recovered"),
            DomainStatus::Verified => News::OfTenant("tenant.domain_added"),
        })
    }

    fn miss(&mut self, now: Timestamp) {
        let since = match self.status {
            DomainStatus::Pending => {
                self.next_check_at = self.next_pending(now);
                return;
            }
            DomainStatus::Verified => now,
            DomainStatus::Failing => self.failing_since.unwrap_or(now),
        };
        if now.duration_since(since) >= FAILING_FOR {
            self.lapse(now);
        } else {
            self.status = DomainStatus::Failing;
            self.failing_since = Some(since);
            self.next_check_at = Some(after(now, FAILING_EVERY));
        }
    }

    fn lapse(&mut self, now: Timestamp) {
        self.status = DomainStatus::Pending;
        self.verified_at = None;
        self.failing_since = None;
        self.next_check_at = Some(after(now, PENDING_AT_MOST));
    }

    fn next_pending(&self, now: Timestamp) -> Option<Timestamp> {
        self.pending_wait(now).map(|wait| after(now, wait))
    }

    /// How long a pending one rests between two looks; none where it isn't looked for any more.
    fn pending_wait(&self, now: Timestamp) -> Option<SignedDuration> {
        let age = now.duration_since(self.created_at);
        (age < LOOKED_FOR).then(|| (age / 4).clamp(PENDING_AT_LEAST, PENDING_AT_MOST))
    }

    /// Refuses what a look that was asked for didn't show.
    pub(crate) fn require_shown(&self, look: &Look) -> Result<(), Error> {
        match look {
            Look::Records(_) if self.is_shown(look) => Ok(()),
            Look::Records(records) => Err(Error::DomainNotVerified(format!(
                "{} Publish one with the value {}. A new record may take the time of the old one's TTL to be seen; it is looked for again by itself.",
                missing(&self.record_name(), records.len()),
                self.record_value()
            ))),
            Look::Unanswered => Err(Error::DomainNotVerified(
                "The DNS servers of this domain didn't answer. Check that the name resolves, then try again.".to_owned(),
            )),
        }
    }
}

/// Where the challenge's record of a name has to stand.
pub(crate) fn record_name(name: &str) -> String {
    format!("{CHALLENGE_LABEL}.{name}")
}

fn missing(record_name: &str, others: usize) -> String {
    match others {
        0 => format!("There is no TXT record at {record_name}."),
        n => format!("None of the {n} TXT records at {record_name} has the value."),
    }
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(now: Timestamp, hours: i64) -> Timestamp {
        after(now, SignedDuration::from_hours(hours))
    }

    #[test]
    fn a_record_verifies_and_its_absence_takes_three_days() {
        let start = Timestamp::UNIX_EPOCH;
        let domain = Domain::new(TenantId::new(), "acme.com".to_owned(), start);
        let shown = Look::Records(vec!["v=spf1 -all".to_owned(), domain.record_value()]);
        let gone = Look::Records(vec!["v=spf1 -all".to_owned()]);
        assert!(!domain.looked(&gone, start).in_use());
        let verified = domain.looked(&shown, start);
        assert_eq!(verified.status, DomainStatus::Verified);
        let failing = verified.looked(&gone, start);
        assert_eq!(failing.status, DomainStatus::Failing);
        assert!(failing.in_use());
        let later = failing.looked(&gone, hours(start, 71));
        assert!(later.in_use() && later.failing_since == Some(start));
        assert!(!later.looked(&gone, hours(start, 72)).in_use());
        assert_eq!(later.looked(&shown, hours(start, 72)).failing_since, None);
    }

    #[test]
    fn a_silent_dns_takes_nothing_away() {
        let start = Timestamp::UNIX_EPOCH;
        let domain = Domain::new(TenantId::new(), "acme.com".to_owned(), start);
        let verified = domain.looked(&Look::Records(vec![domain.record_value()]), start);
        let silent = verified.looked(&Look::Unanswered, hours(start, 500));
        assert_eq!(silent.status, DomainStatus::Verified);
    }

    #[test]
    fn a_silent_dns_is_asked_ever_less_until_it_answers() {
        let start = Timestamp::UNIX_EPOCH;
        let pending = Domain::new(TenantId::new(), "acme.com".to_owned(), start);
        let verified = pending.looked(&Look::Records(vec![pending.record_value()]), start);
        for mut domain in [pending, verified] {
            let (mut looks, mut now, mut last) = (0, start, SignedDuration::ZERO);
            while now < hours(start, 48) {
                domain = domain.looked(&Look::Unanswered, now);
                assert!(domain.is_silent());
                let next = domain.next_check_at.unwrap();
                let wait = next.duration_since(now);
                assert!(
                    wait >= (last * 2).min(SILENT_AT_MOST),
                    "{wait} after {last}"
                );
                (looks, now, last) = (looks + 1, next, wait);
            }
            assert!(looks < 12, "{looks}");
            assert!(!domain.looked(&Look::Records(Vec::new()), now).is_silent());
        }
    }

    #[test]
    fn a_domain_is_looked_for_no_more_after_its_month_where_nobody_answers_either() {
        let start = Timestamp::UNIX_EPOCH;
        let mut domain = Domain::new(TenantId::new(), "acme.com".to_owned(), start);
        let mut looks = 0;
        while let Some(at) = domain.next_check_at {
            domain = domain.looked(&Look::Unanswered, at);
            looks += 1;
        }
        assert!((30..50).contains(&looks), "{looks}");
    }

    #[test]
    fn a_pending_one_is_looked_for_less_and_less_and_then_no_more() {
        let start = Timestamp::UNIX_EPOCH;
        let mut domain = Domain::new(TenantId::new(), "acme.com".to_owned(), start);
        let (mut looks, mut last) = (0, start);
        while let Some(at) = domain.next_check_at {
            assert!(at.duration_since(last) >= PENDING_AT_LEAST);
            last = at;
            domain = domain.looked(&Look::Records(Vec::new()), at);
            looks += 1;
        }
        assert!((50..300).contains(&looks), "{looks}");
        assert!(last.duration_since(start) >= LOOKED_FOR);
        assert!(
            domain
                .looked(&Look::Records(vec![domain.record_value()]), last)
                .in_use()
        );
    }
}
