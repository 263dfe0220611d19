//! JSON in the one form that hashes are taken of (JCS, RFC 8785).

use serde_json::{Number, Value};

use crate::leaf::LeafError;

/// How deep an event may be nested: less than what readers of JSON commonly take.
pub const MAX_DEPTH: usize = 100;
/// The largest whole number up to which JCS, whose numbers are doubles, has each one (RFC 7493, section 2.2).
const MAX_EXACT: u64 = (1 << 53) - 1;

/// The canonical text of a value.
///
/// # Errors
/// None for values that were read from JSON.
pub fn text(value: &Value) -> Result<String, LeafError> {
    let mut text = Vec::with_capacity(1024);
    write(value, &mut text).map_err(|_| LeafError::NotCanonical)?;
    String::from_utf8(text).map_err(|_| LeafError::NotCanonical)
}

/// As `serde_json_canonicalizer` writes it, which has every key read again to sort it, and is asked for doubles only.
fn write(value: &Value, to: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Number(number) if number.is_f64() || is_large(number) => {
            serde_json_canonicalizer::to_writer(number, to)
        }
        Value::Array(elements) => {
            to.push(b'[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    to.push(b',');
                }
                write(element, to)?;
            }
            to.push(b']');
            Ok(())
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            if !members.is_sorted_by(|(one, _), (next, _)| one < next)
                || members.iter().any(|(name, _)| has_surrogates(name))
            {
                members.sort_by(|(one, _), (next, _)| one.encode_utf16().cmp(next.encode_utf16()));
            }
            to.push(b'{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                if place > 0 {
                    to.push(b',');
                }
                serde_json::to_writer(&mut *to, name)?;
                to.push(b':');
                write(member, to)?;
            }
            to.push(b'}');
            Ok(())
        }
        other => serde_json::to_writer(to, other),
    }
}

/// Whether a name has a character of two code units. Only then is the order by code units, which RFC 8785 asks for, another
/// than the order by bytes.
fn has_surrogates(name: &str) -> bool {
    name.bytes().any(|byte| byte >= 0xf0)
}

/// Makes a value one that its canonical text says wholly: a whole number that JCS would round becomes a text of its digits,
/// as 64-bit numbers are in proto3's JSON.
///
/// # Errors
/// TooDeep where it is nested deeper than [`MAX_DEPTH`].
pub(crate) fn settle(value: &mut Value) -> Result<(), LeafError> {
    settle_at(value, 0)
}

fn settle_at(value: &mut Value, depth: usize) -> Result<(), LeafError> {
    if depth > MAX_DEPTH {
        return Err(LeafError::TooDeep);
    }
    match value {
        Value::Number(number) if is_large(number) => *value = Value::String(number.to_string()),
        Value::Array(elements) => {
            for element in elements {
                settle_at(element, depth + 1)?;
            }
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                settle_at(member, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether no whole number in a value says more than its canonical text does. Only then does a hash of the text speak for
/// every digit that is shown.
#[must_use]
pub fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            !is_large(number)
                || serde_json_canonicalizer::to_string(number)
                    .is_ok_and(|text| text == number.to_string())
        }
        Value::Array(elements) => elements.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn is_large(number: &Number) -> bool {
    let size = number
        .as_u64()
        .or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size > MAX_EXACT)
}
