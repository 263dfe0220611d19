//! What a list of events can be asked for.

use jiff::Timestamp;
use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, TenantId};

use super::entry::outcome;
use super::terms::{Fact, words};

/// Longest value of a filter, in bytes.
const MAX_VALUE: usize = 512;
/// Most words that are looked for at once.
const MAX_WORDS: usize = 16;

/// Whose events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One log's.
    Log(TenantId),
    /// Those of all logs.
    All,
}

/// What a filter is made from, as the request spells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) actor: String,
    pub(crate) event_type: String,
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    pub(crate) outcome: String,
    pub(crate) ip_address: String,
    pub(crate) request_id: String,
    pub(crate) q: String,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

/// Which events: those with all of these terms, within this time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) terms: Vec<i64>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

impl Asked {
    /// The filter, all of whose parts hold together.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with every part that can't be used.
    pub(crate) fn filter(&self) -> Result<Filter, Refusal> {
        let mut wrong = Violations::new();
        let event_type = self.event_type.trim_end_matches(['*', '.']);
        let facts = [
            ("actor", Fact::Actor, self.actor.as_str()),
            ("event_type", Fact::EventType, event_type),
            ("resource_type", Fact::ResourceType, &self.resource_type),
            ("resource_id", Fact::ResourceId, &self.resource_id),
            ("outcome", Fact::Outcome, &self.outcome),
            ("ip_address", Fact::IpAddress, &self.ip_address),
            ("request_id", Fact::RequestId, &self.request_id),
        ];
        let mut terms = Vec::new();
        for (field, fact, value) in facts {
            if value.len() > MAX_VALUE {
                wrong.add(field, format!("must be at most {MAX_VALUE} bytes long"));
            } else if !value.is_empty() {
                terms.push(fact.term(value));
            }
        }
        if outcome(&self.outcome).is_none() {
            wrong.add("outcome", "must be success, denied or failed");
        }
        let sought: Vec<_> = words(&self.q).collect();
        if self.q.len() > MAX_VALUE || sought.len() > MAX_WORDS {
            wrong.add(
                "q",
                format!("must be at most {MAX_WORDS} words in {MAX_VALUE} bytes"),
            );
        } else if sought.is_empty() && !self.q.is_empty() {
            wrong.add("q", "must hold a word: letters or digits");
        }
        terms.extend(sought.iter().map(|word| Fact::Word.term(word)));
        if let (Some(start), Some(end)) = (self.start, self.end)
            && start >= end
        {
            wrong.add("end_time", "must be after start_time");
        }
        wrong.check()?;
        terms.sort_unstable();
        terms.dedup();
        Ok(Filter {
            terms,
            start: self.start,
            end: self.end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_part_is_told_at_once() {
        let asked = Asked {
            outcome: "perhaps".to_owned(),
            q: "!?".to_owned(),
            actor: "a".repeat(600),
            start: Some(Timestamp::UNIX_EPOCH),
            end: Some(Timestamp::UNIX_EPOCH),
            ..Asked::default()
        };
        let refused = asked.filter().unwrap_err();
        let fields: Vec<_> = refused
            .violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, ["actor", "outcome", "q", "end_time"]);
    }

    #[test]
    fn an_event_type_is_found_by_what_it_begins_with_however_that_is_spelt() {
        let terms = |event_type: &str| {
            let event_type = event_type.to_owned();
            let asked = Asked {
                event_type,
                ..Asked::default()
            };
            asked.filter().unwrap().terms
        };
        assert_eq!(terms("tenant"), terms("TENANT.*"));
        assert_eq!(terms("tenant"), terms("tenant."));
        assert_ne!(terms("tenant"), terms("tenant.updated"));
    }
}
