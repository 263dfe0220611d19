//! NDJSON and OCSF: an object to a line.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::{Map, Value};
use tenantry_transparency::tree::proof_from_text;

use super::{Entry, MAX_ENTRY_BYTES, Numbered, Row, count, typed};
use crate::shown::Shown;
use crate::strict;

/// An export in lines.
pub(crate) struct Lines {
    from: BufReader<Box<dyn Read>>,
    line: u64,
    is_ocsf: bool,
}

impl Lines {
    pub(crate) const fn new(from: BufReader<Box<dyn Read>>) -> Self {
        Self {
            from,
            line: 0,
            is_ocsf: false,
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        if self.is_ocsf { "ocsf" } else { "ndjson" }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Numbered>> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.from).take(MAX_ENTRY_BYTES);
        if bounded.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.len() as u64 == MAX_ENTRY_BYTES {
            let text = format!("a line is longer than {MAX_ENTRY_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.line += 1;
        let text = String::from_utf8(bytes).map_err(|_| "no UTF-8".to_owned());
        let entry = text
            .and_then(|text| strict::parse(&text))
            .and_then(|value| self.entry(value));
        Ok(Some(Numbered {
            line: self.line,
            entry,
        }))
    }

    fn entry(&mut self, mut line: Value) -> Result<Entry, String> {
        if self.line == 1 {
            self.is_ocsf = line.pointer("/unmapped/tenantry").is_some();
        }
        let ocsf = if self.is_ocsf {
            let inner = line.pointer_mut("/unmapped/tenantry").map(Value::take);
            let inner = inner.ok_or("it has no unmapped.tenantry")?;
            Some(std::mem::replace(&mut line, inner))
        } else {
            None
        };
        let Value::Object(mut members) = line else {
            return Err("no object".to_owned());
        };
        if let Some(head) = alone("export", &mut members)? {
            return Ok(Entry::Head(typed("export", head)?));
        }
        if let Some(end) = alone("end", &mut members)? {
            return Ok(Entry::End(typed("end", end)?));
        }
        row(members, ocsf).map(|row| Entry::Row(Box::new(row)))
    }
}

/// A member that stands alone in its object.
fn alone(name: &str, members: &mut Map<String, Value>) -> Result<Option<Value>, String> {
    let Some(value) = members.remove(name) else {
        return Ok(None);
    };
    match members.keys().next() {
        Some(other) => Err(format!("it has both {name} and {other}")),
        None => Ok(Some(value)),
    }
}

fn row(mut members: Map<String, Value>, ocsf: Option<Value>) -> Result<Row, String> {
    let mut take = |name: &str| members.remove(name);
    let index: String = typed("index", take("index").unwrap_or_default())?;
    let leaf = typed("leaf", take("leaf").unwrap_or_default())?;
    let disclosed = take("disclosed").map_or_else(
        || Ok(tenantry_transparency::Disclosures::new()),
        |disclosed| typed("disclosed", disclosed),
    )?;
    let proof: Vec<String> = typed("proof", take("proof").unwrap_or_default())?;
    let event = take("event").map(Shown::Event);
    if event.is_none() && ocsf.is_none() {
        return Err("event: missing".to_owned());
    }
    Ok(Row {
        index: count(&index).ok_or_else(|| format!("index: {index:?} is no count"))?,
        leaf,
        disclosed,
        proof: proof_from_text(&proof).map_err(|error| format!("proof: {error}"))?,
        shown: event.into_iter().chain(ocsf.map(Shown::Ocsf)).collect(),
        besides: members.into_iter().map(|(name, _)| name).collect(),
    })
}
