//! How limits are kept, on the wire and from it.

use tenantry_core::refusal::Violations;
use tenantry_core::{LimitPolicy, Rate, RatePeriod};
use tenantry_proto::quota::v1 as wire;

/// A policy on the wire; none where it says nothing.
#[must_use]
pub fn to_wire(policy: &LimitPolicy) -> Option<wire::LimitPolicy> {
    (*policy != LimitPolicy::default()).then(|| wire::LimitPolicy {
        enforcement: policy.enforcement.word().to_owned(),
        overage: policy.overage,
        on_failure: policy.on_failure.word().to_owned(),
        rate: policy.rate.map(|rate| wire::UseRate {
            amount: rate.amount,
            per: rate.per.word().to_owned(),
            burst: Some(rate.burst),
        }),
    })
}

/// A policy from the wire, which stands in the field `at` of a limit that resets or doesn't. Notes everything that is wrong with it.
pub fn from_wire(
    message: &wire::LimitPolicy,
    (at, never_resets): (&str, bool),
    wrong: &mut Violations,
) -> LimitPolicy {
    let rate = message.rate.as_ref().map(|rate| Rate {
        amount: rate.amount,
        per: word(&rate.per, &format!("{at}.rate.per"), wrong).unwrap_or(RatePeriod::Second),
        burst: rate.burst.unwrap_or(rate.amount),
    });
    let policy = LimitPolicy {
        enforcement: word_or_default(&message.enforcement, &format!("{at}.enforcement"), wrong),
        overage: message.overage,
        on_failure: word_or_default(&message.on_failure, &format!("{at}.on_failure"), wrong),
        rate,
    };
    policy.check(at, never_resets, wrong);
    policy
}

fn word<T: std::str::FromStr<Err = String>>(
    word: &str,
    at: &str,
    wrong: &mut Violations,
) -> Option<T> {
    wrong.take(at, word.parse())
}

fn word_or_default<T>(text: &str, at: &str, wrong: &mut Violations) -> T
where
    T: std::str::FromStr<Err = String> + Default,
{
    if text.is_empty() {
        return T::default();
    }
    word(text, at, wrong).unwrap_or_default()
}
