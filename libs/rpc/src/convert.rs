//! Well-known types on the wire, and the one sanitiser of free JSON.

use jiff::Timestamp;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;
use tenantry_core::{Refusal, TenantId};

/// 0001-01-01T00:00:00Z, the first instant that `google.protobuf.Timestamp` has, and that its JSON can be written for.
const FIRST_SECOND: i64 = -62_135_596_800;
/// Deepest nesting of free JSON.
const MAX_DEPTH: usize = 16;

/// The id of the tenant that another service names in `tenant_id`; never the platform's, which is no tenant.
///
/// # Errors
/// INVALID_ARGUMENT for anything else.
pub fn tenant_id(text: &str) -> Result<TenantId, Refusal> {
    text.parse()
        .ok()
        .filter(|id: &TenantId| !id.is_platform())
        .ok_or_else(|| Refusal::field("tenant_id", "must be the id of a tenant"))
}

/// An instant on the wire.
#[must_use]
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// An instant from the wire.
///
/// # Errors
/// INVALID_ARGUMENT for one that no calendar has, or that the wire has no text for: years 1 to 9999 have.
pub fn instant(field: &str, at: &prost_types::Timestamp) -> Result<Timestamp, Refusal> {
    let instant = Timestamp::new(at.seconds, at.nanos).ok();
    instant
        .filter(|_| at.seconds >= FIRST_SECOND)
        .ok_or_else(|| Refusal::field(field, "is no instant; write it as 2026-01-31T12:00:00Z"))
}

/// Free JSON from the wire. Refuses what the gateway or the database couldn't carry back: an empty key (Envoy crashes
/// while it transcodes a map entry with a default key, protobuf issue 26885), a NUL, a number that JSON lacks.
///
/// # Errors
/// INVALID_ARGUMENT, naming the field and the key.
pub fn json(field: &str, object: Struct) -> Result<Json, Refusal> {
    json_object(field, object, 0)
}

fn json_object(field: &str, object: Struct, depth: usize) -> Result<Json, Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::field(
            field,
            format!("nests deeper than {MAX_DEPTH}"),
        ));
    }
    object
        .fields
        .into_iter()
        .map(|(key, value)| {
            if key.is_empty() {
                return Err(Refusal::field(
                    field,
                    "has an empty key; every key needs at least one character",
                ));
            }
            text(field, &key)?;
            Ok((key, json_value(field, value, depth)?))
        })
        .collect::<Result<serde_json::Map<_, _>, _>>()
        .map(Json::Object)
}

fn json_value(field: &str, value: Value, depth: usize) -> Result<Json, Refusal> {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Ok(Json::Null),
        Some(Kind::BoolValue(b)) => Ok(Json::Bool(b)),
        Some(Kind::NumberValue(n)) => serde_json::Number::from_f64(n)
            .map(Json::Number)
            .ok_or_else(|| Refusal::field(field, "has a number that JSON lacks (NaN or infinite)")),
        Some(Kind::StringValue(s)) => text(field, &s).map(|()| Json::String(s)),
        Some(Kind::StructValue(object)) => json_object(field, object, depth + 1),
        Some(Kind::ListValue(list)) => {
            if depth >= MAX_DEPTH {
                return Err(Refusal::field(
                    field,
                    format!("nests deeper than {MAX_DEPTH}"),
                ));
            }
            list.values
                .into_iter()
                .map(|value| json_value(field, value, depth + 1))
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
    }
}

fn text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(Refusal::field(
            field,
            "has a NUL character, which can't be stored",
        ));
    }
    Ok(())
}

/// Free JSON on the wire; empty keys, which can't have come in, are left out.
#[must_use]
pub fn proto_struct(json: &Json) -> Struct {
    let Json::Object(map) = json else {
        return Struct::default();
    };
    Struct {
        fields: map
            .iter()
            .filter(|(key, _)| !key.is_empty())
            .map(|(key, value)| (key.clone(), proto_value(value)))
            .collect(),
    }
}

fn proto_value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(b) => Kind::BoolValue(*b),
        Json::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Json::String(s) => Kind::StringValue(s.clone()),
        Json::Array(list) => Kind::ListValue(ListValue {
            values: list.iter().map(proto_value).collect(),
        }),
        Json::Object(_) => Kind::StructValue(proto_struct(json)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_of_the_years_that_the_wire_can_show() {
        let at = |seconds| instant("at", &prost_types::Timestamp { seconds, nanos: 0 });
        let shown = |seconds| at(seconds).unwrap().to_string();
        assert_eq!(shown(FIRST_SECOND), "0001-01-01T00:00:00Z");
        assert_eq!(shown(253_402_207_200), "9999-12-30T22:00:00Z");
        for none in [i64::MIN, FIRST_SECOND - 1, 253_402_300_800, i64::MAX] {
            at(none).unwrap_err();
        }
    }

    #[test]
    fn free_json_comes_back_as_it_went() {
        let json_in = serde_json::json!({"a": [1.0, null, {"b": "c"}], "d": true});
        assert_eq!(json("metadata", proto_struct(&json_in)), Ok(json_in));
    }

    #[test]
    fn an_empty_key_at_any_depth_and_a_nul_are_refused() {
        let empty = Struct {
            fields: [(String::new(), Value { kind: None })].into(),
        };
        let nested = Struct {
            fields: [(
                "a".to_owned(),
                Value {
                    kind: Some(Kind::StructValue(empty.clone())),
                },
            )]
            .into(),
        };
        let nul = Struct {
            fields: [(
                "a".to_owned(),
                Value {
                    kind: Some(Kind::StringValue("\0".to_owned())),
                },
            )]
            .into(),
        };
        for bad in [empty, nested, nul] {
            assert!(json("metadata", bad).is_err());
        }
    }
}
