//! Events made up at random, and what a question about them is to find: the rules told once more, over a list in memory.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tenantry_core::TenantId;
use tenantry_core::event::Outcome;
use tenantry_proto::audit::v1::{ListEventsRequest, SearchEventsRequest};
use tenantry_proto::internal::audit::v1::{SourceEvent, SourceStream};
use tenantry_rpc::convert::timestamp;
use uuid::Uuid;

use crate::support::event;

const ACTIONS: [&str; 6] = [
    "tenant.updated",
    "tenant.domain.added",
    "tenant.domain.removed",
    "member.added",
    "member.removed",
    "key.rotated",
];
const WORDS: [&str; 8] = [
    "Alpine", "Birch", "Cedar", "Dahlia", "Elm", "Fern", "Ginkgo", "Hazel",
];

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Small numbers more often than large ones.
    fn skewed(&mut self, bound: u64) -> u64 {
        let bound = 1 + self.below(bound);
        self.below(bound)
    }

    pub(super) fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// What was told of an event, as far as questions are about it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) tenant: TenantId,
    pub(super) index: i64,
    actor: Uuid,
    action: &'static str,
    outcome: Outcome,
    ip: String,
    request: String,
    words: Vec<String>,
    at: Timestamp,
}

/// All that was told, in order.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) all: Vec<Told>,
    sizes: HashMap<TenantId, i64>,
    dice: Dice,
    began: Timestamp,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            all: Vec::new(),
            sizes: HashMap::new(),
            dice: Dice(seed),
            began: "2026-03-01T00:00:00Z".parse().unwrap(),
        }
    }

    /// So many more events of a tenant.
    pub(super) fn more(&mut self, tenant: TenantId, count: usize) -> SourceStream {
        let first = *self.sizes.entry(tenant).or_default();
        let mut events = Vec::with_capacity(count);
        for index in first..first + count as i64 {
            let told = self.told(tenant, index);
            let mut event = event(told.action);
            event.actor.id = told.actor;
            event.resource.kind = kind(told.action).to_owned();
            event.outcome = told.outcome;
            event.origin.ip.clone_from(&told.ip);
            event.origin.request_id.clone_from(&told.request);
            event.after = serde_json::json!({ "name": told.words.join(" ") });
            events.push(SourceEvent {
                at: Some(timestamp(told.at)),
                event: serde_json::to_vec(&event).unwrap(),
            });
            self.all.push(told);
        }
        self.sizes.insert(tenant, first + count as i64);
        SourceStream {
            tenant_id: tenant.to_string(),
            first_n: first + 1,
            events,
        }
    }

    fn told(&mut self, tenant: TenantId, index: i64) -> Told {
        let dice = &mut self.dice;
        let late = if dice.below(50) == 0 {
            dice.below(20_000)
        } else {
            dice.below(3)
        };
        let second = self.all.len() as i64 * 2 - late.cast_signed();
        let mut words = vec![(*dice.of(&WORDS)).to_owned(), (*dice.of(&WORDS)).to_owned()];
        if dice.below(500) == 0 {
            words.push(format!("Rare{}", dice.below(5)));
        }
        Told {
            tenant,
            index,
            actor: Uuid::from_u128(1 + u128::from(dice.skewed(300))),
            action: ACTIONS[dice.skewed(6) as usize],
            outcome: match dice.below(200) {
                0 => Outcome::Denied,
                1 => Outcome::Failed,
                _ => Outcome::Success,
            },
            ip: format!("192.0.2.{}", dice.skewed(250)),
            request: format!("request-{}", self.all.len()),
            words,
            at: self.began
                + SignedDuration::from_millis(second * 1_000 + dice.below(1_000).cast_signed()),
        }
    }

    /// A question that some event may answer: each part taken from one of two, so that some find nothing.
    pub(super) fn question(&mut self) -> Question {
        let mut dice = self.dice.clone();
        let [one, other] = [(); 2].map(|()| dice.of(&self.all).clone());
        let mut question = Question::default();
        let mut ask = |part: &mut String, value: String| {
            if dice.below(3) == 0 {
                *part = value;
            }
        };
        let ask_of = &one;
        ask(&mut question.actor, ask_of.actor.to_string());
        ask(&mut question.event_type, ask_of.action.to_owned());
        ask(&mut question.resource_type, kind(ask_of.action).to_owned());
        ask(&mut question.outcome, ask_of.outcome.name().to_owned());
        ask(&mut question.ip_address, other.ip.clone());
        ask(&mut question.q, ask_of.words.join(" ").to_lowercase());
        if dice.below(6) == 0 {
            question.request_id.clone_from(&one.request);
        }
        if dice.below(3) == 0 {
            let dot = question.event_type.find('.').unwrap_or_default();
            question.event_type.truncate(dot);
        }
        let (early, late) = (one.at.min(other.at), one.at.max(other.at));
        question.start = (dice.below(3) == 0).then_some(early);
        question.end = (dice.below(3) == 0 && early < late).then_some(late);
        self.dice = dice;
        question
    }
}

fn kind(action: &str) -> &str {
    action.split('.').next().unwrap_or_default()
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    actor: String,
    event_type: String,
    resource_type: String,
    outcome: String,
    ip_address: String,
    request_id: String,
    q: String,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Question {
    /// By what only this event has.
    pub(super) fn of_request(told: &Told) -> Self {
        Self {
            request_id: told.request.clone(),
            ..Self::default()
        }
    }

    pub(super) fn is_answered_by(&self, told: &Told) -> bool {
        let is = |asked: &str, value: &str| asked.is_empty() || asked == value;
        let begins = told.action.strip_prefix(&self.event_type);
        let begins = begins.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let words: Vec<_> = told.words.iter().map(|word| word.to_lowercase()).collect();
        is(&self.actor, &told.actor.to_string())
            && (begins || self.event_type.is_empty())
            && is(&self.resource_type, kind(told.action))
            && is(&self.outcome, told.outcome.name())
            && is(&self.ip_address, &told.ip)
            && is(&self.request_id, &told.request)
            && self
                .q
                .split_whitespace()
                .all(|word| words.iter().any(|has| has == word))
            && self.start.is_none_or(|start| told.at >= start)
            && self.end.is_none_or(|end| told.at < end)
    }

    pub(super) fn of_log(&self) -> ListEventsRequest {
        ListEventsRequest {
            actor: self.actor.clone(),
            event_type: self.event_type.clone(),
            resource_type: self.resource_type.clone(),
            outcome: self.outcome.clone(),
            ip_address: self.ip_address.clone(),
            request_id: self.request_id.clone(),
            q: self.q.clone(),
            start_time: self.start.map(timestamp),
            end_time: self.end.map(timestamp),
            ..Default::default()
        }
    }

    pub(super) fn of_all(&self) -> SearchEventsRequest {
        SearchEventsRequest {
            actor: self.actor.clone(),
            event_type: self.event_type.clone(),
            resource_type: self.resource_type.clone(),
            outcome: self.outcome.clone(),
            ip_address: self.ip_address.clone(),
            request_id: self.request_id.clone(),
            q: self.q.clone(),
            start_time: self.start.map(timestamp),
            end_time: self.end.map(timestamp),
            ..Default::default()
        }
    }
}
