//! What comes around the gateway: its word is what a service knows it by.

use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::attempts::{UPDATE, watched};
use super::*;
use crate::stack::origin;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const LOOKUP: &str = "/tenantry.internal.registry.v1.TenantFeedService/LookupTenant";
const ADDRESS: &str = "x-envoy-external-address";

/// The request as it comes around the gateway, with this said instead of the word.
fn around(mut request: http::Request<Body>, said: Option<&str>) -> http::Request<Body> {
    let headers = request.headers_mut();
    headers.remove(WORD);
    headers.insert(ADDRESS, "192.0.2.66".parse().unwrap());
    if let Some(said) = said {
        headers.insert(WORD, said.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_captured_assertion_opens_nothing_without_the_gateway_s_word() {
    let fleet = Fleet::new();
    let captured = fleet.acts_in(TenantId::new());
    for path in [GET, UPDATE, LOGIN] {
        assert!(fleet.is_answered(path, &captured).await, "{path}");
        for said in [None, Some(""), Some("open"), Some("open sesame!")] {
            let refused = fleet.ask(around(request(path, &captured), said)).await;
            let code = refused.map(|status| status.code());
            assert_eq!(code, Some(Code::Unauthenticated), "{path} with {said:?}");
        }
    }
}

#[tokio::test]
async fn services_and_whoever_asks_for_health_need_no_word() {
    let fleet = Fleet::new();
    for (path, assertion) in [(LOOKUP, fleet.service()), (HEALTH, String::new())] {
        let answer = fleet.ask(around(request(path, &assertion), None)).await;
        assert!(answer.is_none(), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_refused_around_the_gateway_is_counted_without_the_address_that_it_claims() {
    let (fleet, log) = watched();
    let captured = fleet.acts_in(TenantId::new());
    let request = around(request(UPDATE, &captured), None);
    fleet.ask(request).await.unwrap();
    let counted = log.counted();
    let [counted] = &counted[..] else {
        panic!("{counted:?}")
    };
    assert_eq!((counted.ip.as_str(), counted.method), ("", UPDATE));
}

#[test]
fn only_the_gateway_says_where_a_request_came_from() {
    for (sender, ip, agent) in [
        (Sender::Gateway, "192.0.2.66", "curl"),
        // Services say it in what they sign.
        (Sender::Service, "", ""),
        (Sender::Unknown, "", ""),
    ] {
        let mut request = around(request(GET, ""), None);
        for (name, value) in [("user-agent", "curl"), ("x-request-id", "curl")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (_, origin) = origin::open("registry", &request, sender);
        assert_eq!(origin.ip, ip, "{sender:?}");
        assert_eq!((&*origin.user_agent, &*origin.request_id), (agent, agent));
    }
}

#[test]
fn the_gateway_s_question_has_a_span_where_its_trace_is_kept_and_all_else_always() {
    const QUESTION: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let lines = tracing_subscriber::registry().with(LevelFilter::INFO);
    let has_span = |path, flags: Option<&str>| {
        let mut request = request(path, "");
        if let Some(flags) = flags {
            let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let headers = request.headers_mut();
            headers.insert("traceparent", parent.parse().unwrap());
        }
        let (span, _) = origin::open("quota", &request, Sender::Gateway);
        !span.is_disabled()
    };
    tracing::subscriber::with_default(lines, || {
        for (path, flags, has) in [
            (QUESTION, None, false),
            (QUESTION, Some("00"), false),
            (QUESTION, Some("01"), true),
            (GET, None, true),
            (GET, Some("00"), true),
        ] {
            assert_eq!(has_span(path, flags), has, "{path} {flags:?}");
        }
    });
}

#[test]
fn a_sender_is_known_by_the_word_or_by_a_service_s_assertion() {
    let fleet = Fleet::new();
    let person = fleet.acts_in(TenantId::new());
    let verifier = &fleet.stack.shared.verifier;
    for (request, sender) in [
        (request(GET, &person), Sender::Gateway),
        (around(request(GET, &person), None), Sender::Unknown),
        (around(request(LOOKUP, "forged"), None), Sender::Unknown),
        (
            around(request(GET, &fleet.service()), None),
            Sender::Unknown,
        ),
        (
            around(request(LOOKUP, &fleet.service()), None),
            Sender::Service,
        ),
    ] {
        assert_eq!(identity::sender(verifier, &request), sender, "{request:?}");
    }
}

#[test]
fn words_are_known_while_they_are_valid_and_only_their_hashes_are_kept() {
    let hash = |word: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(word));
    let trust = json!({"keys": [], "gateway_words": [
        {"sha256": hash("old"), "not_after": "2001-01-01T00:00:00Z"},
        {"sha256": hash("present")},
        {"sha256": hash("next"), "not_before": "2001-01-01T00:00:00Z"},
        {"sha256": hash("later"), "not_before": "9001-01-01T00:00:00Z"},
    ]});
    let trust = Trust::parse(&trust.to_string()).unwrap();
    let known =
        ["old", "present", "next", "later", ""].map(|word| trust.knows_word(word.as_bytes()));
    assert_eq!(known, [false, true, true, false, false]);
    assert!(!format!("{trust:?}").contains("present"));
    let why = Trust::parse(r#"{"keys": []}"#).unwrap_err();
    assert!(why.contains("gateway_words"), "{why}");
}
