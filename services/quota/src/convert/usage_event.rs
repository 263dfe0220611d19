//! Between events of usage, ours and CloudEvents, and the use cases.

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader as _, Data, Event as CloudEvent};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tenantry_core::refusal::Violations;
use tenantry_core::request_id::MAX_LENGTH;
use tenantry_core::{Refusal, RequestContext, UsageId};
use tenantry_proto::google::api::HttpBody;
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::instant;
use tonic::metadata::{KeyAndValueRef, MetadataMap};

use super::{amount, text};
use crate::app::{Correction, Recorded};
use crate::domain::limit;
use crate::domain::usage_event::Told;
use crate::error::Error;

/// Most events of a request.
const MAX_EVENTS: usize = 10_000;
/// The content type of a batch of CloudEvents, and what that of one begins with.
const BATCH: &str = "application/cloudevents-batch+json";
const STRUCTURED: &str = "application/cloudevents";

/// Events as they were told, and those that can't be taken down.
pub(crate) struct Events {
    pub(crate) told: Vec<Told>,
    pub(crate) refused: Vec<(usize, String, Refusal)>,
}

/// What a CloudEvent carries.
#[derive(Deserialize)]
struct Payload {
    resource_type: String,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    description: String,
}

pub(crate) fn events(
    ctx: &RequestContext,
    events: Vec<wire::UsageEvent>,
) -> Result<Events, Refusal> {
    counted(events.len())?;
    let parsed = events
        .into_iter()
        .map(|event| (event.id.clone(), told(ctx, event)));
    Ok(parsed_of(parsed))
}

/// The events of a request of the CloudEvents HTTP binding (HTTP Protocol Binding for CloudEvents 1.0.2, section 3).
pub(crate) fn cloud_events(
    ctx: &RequestContext,
    metadata: &MetadataMap,
    body: Option<HttpBody>,
) -> Result<Events, Refusal> {
    let body = body.unwrap_or_default();
    let kind = body.content_type.trim().to_ascii_lowercase();
    if kind.starts_with(BATCH) {
        let events: Vec<serde_json::Value> = serde_json::from_slice(&body.data)
            .map_err(|error| unreadable(format!("is no JSON array of events: {error}")))?;
        counted(events.len())?;
        let parsed = events.into_iter().map(|event| {
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            let event: Result<CloudEvent, _> = serde_json::from_value(event);
            let event = event.map_err(|error| unreadable(format!("is no CloudEvent: {error}")));
            (id, event.and_then(|event| told(ctx, of_cloud(&event)?)))
        });
        return Ok(parsed_of(parsed));
    }
    let event = to_event(&headers(metadata, &body.content_type), body.data.to_vec());
    let event = event.map_err(|error| {
        unreadable(format!(
            "is no CloudEvent ({error}): send {STRUCTURED}+json, {BATCH}, or the event's attributes as ce- headers"
        ))
    })?;
    let parsed = of_cloud(&event).and_then(|event| told(ctx, event));
    Ok(parsed_of([(event.id().to_owned(), parsed)]))
}

/// The headers that the binding reads: of an event in structured mode only the content type says anything.
fn headers(metadata: &MetadataMap, content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in metadata.iter() {
        let KeyAndValueRef::Ascii(key, value) = entry else {
            continue;
        };
        if key.as_str().starts_with("ce-")
            && let Ok(name) = HeaderName::from_bytes(key.as_str().as_bytes())
            && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
        {
            headers.insert(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
    headers
}

fn unreadable(why: String) -> Refusal {
    Refusal::field("body", why)
}

/// A CloudEvent as one of ours.
fn of_cloud(event: &CloudEvent) -> Result<wire::UsageEvent, Refusal> {
    let payload = match event.data() {
        Some(Data::Json(json)) => Payload::deserialize(json),
        Some(Data::Binary(bytes)) => serde_json::from_slice(bytes),
        Some(Data::String(text)) => serde_json::from_str(text),
        None => {
            return Err(Refusal::field("data", "must be there, with resource_type"));
        }
    };
    let payload: Payload = payload.map_err(|error| {
        let why = format!("must be JSON with resource_type, and amount if need be: {error}");
        Refusal::field("data", why)
    })?;
    let occurred_at = event.time().map(|time| prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: time.timestamp_subsec_nanos().cast_signed(),
    });
    Ok(wire::UsageEvent {
        id: event.id().to_owned(),
        source: event.source().to_string(),
        resource_type: payload.resource_type,
        amount: payload.amount,
        occurred_at,
        description: payload.description,
    })
}

fn counted(events: usize) -> Result<(), Refusal> {
    if (1..=MAX_EVENTS).contains(&events) {
        return Ok(());
    }
    Err(Refusal::field(
        "events",
        format!("must be 1 to {MAX_EVENTS}"),
    ))
}

fn parsed_of(parsed: impl IntoIterator<Item = (String, Result<Told, Refusal>)>) -> Events {
    let mut events = Events {
        told: Vec::new(),
        refused: Vec::new(),
    };
    for (place, (id, told)) in parsed.into_iter().enumerate() {
        match told {
            Ok(told) => events.told.push(Told { place, ..told }),
            Err(refusal) => events.refused.push((place, id, refusal)),
        }
    }
    events
}

fn told(ctx: &RequestContext, event: wire::UsageEvent) -> Result<Told, Refusal> {
    let digest = Sha256::digest(event.encode_to_vec()).to_vec();
    let mut wrong = Violations::new();
    wrong.take("resource_type", limit::resource_type(&event.resource_type));
    let amount = wrong.take("amount", amount(event.amount.unwrap_or(1)));
    if let Some(why) = text(&event.description) {
        wrong.add("description", why);
    }
    if !is_name(&event.id) || event.id.is_empty() {
        wrong.add(
            "id",
            format!(
                "must be 1 to {MAX_LENGTH} printable ASCII characters without spaces, best a UUID"
            ),
        );
    }
    if !is_name(&event.source) {
        wrong.add(
            "source",
            format!("must be at most {MAX_LENGTH} printable ASCII characters without spaces"),
        );
    }
    let occurred_at = event.occurred_at.as_ref();
    let occurred_at = occurred_at.map(|at| instant("occurred_at", at)).transpose();
    wrong.check_with(occurred_at.as_ref().map(|_| ()).map_err(Clone::clone))?;
    Ok(Told {
        place: 0,
        // Not to be taken for the id of a request that a principal sent.
        source: match event.source.as_str() {
            "" => format!("event:{}", ctx.principal.key()),
            source => format!("event:{source}"),
        },
        id: event.id,
        digest,
        resource_type: event.resource_type,
        amount: amount.unwrap_or_default(),
        occurred_at: occurred_at?,
        description: event.description,
    })
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn recorded(
    refused: Vec<(usize, String, Refusal)>,
    recorded: Recorded,
) -> wire::RecordUsageEventsResponse {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut refused: Vec<_> = refused.into_iter().chain(recorded.refused).collect();
    refused.sort_by_key(|(place, ..)| *place);
    let refused = refused
        .into_iter()
        .map(|(place, id, why)| wire::RefusedUsageEvent {
            index: number(place),
            id,
            reason: why.reason.word().to_owned(),
            message: why.message,
        });
    wire::RecordUsageEventsResponse {
        recorded: number(recorded.recorded),
        repeated: number(recorded.repeated),
        refused: refused.collect(),
    }
}

pub(crate) fn correction(message: wire::CorrectUsageRequest) -> Result<Correction, Refusal> {
    let usage: Result<UsageId, Refusal> = message
        .usage
        .parse()
        .map_err(|_| Error::UsageNotFound.into());
    let usage = usage?;
    let mut wrong = Violations::new();
    wrong.take(
        "resource_type",
        limit::resource_type(&message.resource_type),
    );
    let amount = match message.amount {
        Some(number) => wrong.take("amount", amount(number)),
        None => {
            wrong.add(
                "amount",
                "must be given: how much was used, 0 where nothing was",
            );
            None
        }
    };
    let reason = message.reason.trim();
    if reason.is_empty() {
        wrong.add("reason", "must say why, in 1 to 500 characters");
    } else if let Some(why) = text(reason) {
        wrong.add("reason", why);
    }
    wrong.check()?;
    Ok(Correction {
        usage,
        reason: reason.to_owned(),
        resource_type: message.resource_type,
        amount: amount.unwrap_or_default(),
    })
}
