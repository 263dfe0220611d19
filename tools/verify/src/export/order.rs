//! The order of events, and that none is missing: by their places in the log, and by the numbers that their sources gave.

use std::collections::BTreeMap;

use serde_json::Value;

/// Most sources and epochs of theirs that are followed.
const MAX_SOURCES: usize = 10_000;

/// The places of the events in the log.
#[derive(Default)]
pub(super) struct Indexes {
    /// Where the export begins, by what it says.
    pub(super) from: u64,
    /// The first one and the last one.
    pub(super) range: Option<(u64, u64)>,
    pub(super) count: u64,
}

impl Indexes {
    /// Takes the next one.
    pub(super) fn step(&mut self, index: u64, is_complete: bool) -> Result<(), String> {
        self.count += 1;
        let Some((first, last)) = self.range else {
            self.range = Some((index, index));
            return match index.checked_sub(self.from) {
                None => Err(format!("the export begins at index {}", self.from)),
                Some(1..) if is_complete => Err(missing(self.from, index - 1, "index")),
                Some(_) => Ok(()),
            };
        };
        if index == last {
            return Err("it stands twice".to_owned());
        }
        if index < last {
            return Err(format!("it stands behind index {last}"));
        }
        self.range = Some((first, index));
        if is_complete && index - last > 1 {
            return Err(missing(last + 1, index - 1, "index"));
        }
        Ok(())
    }
}

/// The numbers that each source gave its events.
#[derive(Default)]
pub(super) struct Sources {
    last: BTreeMap<(String, u64), u64>,
    /// Events without such a number, or of sources beyond [`MAX_SOURCES`].
    pub(super) unnumbered: u64,
}

impl Sources {
    /// Takes the next event.
    pub(super) fn step(&mut self, event: &Value, is_complete: bool) -> Result<(), String> {
        let source = event.get("source").and_then(Value::as_str);
        let (Some(source), Some(epoch), Some(n)) =
            (source, whole(event.get("epoch")), whole(event.get("n")))
        else {
            self.unnumbered += 1;
            return Ok(());
        };
        let key = (source.to_owned(), epoch);
        if self.last.len() >= MAX_SOURCES && !self.last.contains_key(&key) {
            self.unnumbered += 1;
            return Ok(());
        }
        let Some(last) = self.last.insert(key, n) else {
            return Ok(());
        };
        if n <= last {
            return Err(format!(
                "{source} numbered it {n}, and an earlier event {last}"
            ));
        }
        if is_complete && n - last > 1 {
            let what = format!("the log itself has a gap: {source}'s number");
            return Err(missing(last + 1, n - 1, &what));
        }
        Ok(())
    }
}

/// A whole number, or its digits.
fn whole(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(digits) => digits.parse().ok(),
        number => number.as_u64(),
    }
}

fn missing(first: u64, last: u64, what: &str) -> String {
    format!("{what} {} missing before it", all(first, last))
}

/// The numbers from one to another, in words.
pub(super) fn all(first: u64, last: u64) -> String {
    if first == last {
        format!("{first} is")
    } else {
        format!("{first} to {last} are")
    }
}
