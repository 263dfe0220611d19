//! CSV (RFC 4180): some columns are the log's, the others show the event.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use csv::{Reader, ReaderBuilder, StringRecord};
use tenantry_transparency::tree::proof_from_text;

use super::{Entry, MAX_ENTRY_BYTES, Numbered, Row, count, typed};
use crate::shown::{Shown, unguarded};
use crate::strict;

/// Columns that are the log's, in the order of [`Ours`].
const OURS: [&str; 4] = ["index", "leaf", "disclosed", "proof"];
/// What stands in the place of an index in the first record and in the last one.
const HEAD: &str = "export";
const END: &str = "end";

/// An export in records.
pub(crate) struct Table {
    from: Reader<Bounded>,
    read: Rc<Cell<u64>>,
    /// The names of the columns, once they were read.
    columns: Option<Vec<String>>,
}

/// The cells of the log's columns.
struct Ours<'a> {
    index: &'a str,
    leaf: &'a str,
    disclosed: &'a str,
    proof: &'a str,
}

impl Table {
    pub(crate) fn new(from: impl Read + 'static) -> Self {
        let read = Rc::new(Cell::new(0));
        let bounded = Bounded {
            from: Box::new(from),
            read: Rc::clone(&read),
        };
        Self {
            from: ReaderBuilder::new().has_headers(false).from_reader(bounded),
            read,
            columns: None,
        }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Numbered>> {
        loop {
            self.read.set(0);
            let mut record = StringRecord::new();
            let more = self.from.read_record(&mut record);
            let line = record
                .position()
                .map_or_else(|| self.from.position().line(), csv::Position::line);
            let entry = match more {
                Ok(false) => return Ok(None),
                Ok(true) => match self.entry(&record) {
                    // The names of the columns.
                    Ok(None) => continue,
                    Ok(Some(entry)) => Ok(entry),
                    Err(why) => Err(why),
                },
                Err(error) if error.is_io_error() => return Err(io::Error::from(error)),
                Err(error) => Err(error.to_string()),
            };
            return Ok(Some(Numbered { line, entry }));
        }
    }

    fn entry(&mut self, record: &StringRecord) -> Result<Option<Entry>, String> {
        let Some(columns) = &self.columns else {
            let names = columns(record);
            // Without names nothing that follows can be read, and each record says so.
            self.columns = Some(names.clone().unwrap_or_default());
            return names.map(|_| None);
        };
        let mut cells: BTreeMap<&str, &str> =
            columns.iter().map(String::as_str).zip(record).collect();
        let mut ours = OURS.map(|name| cells.remove(name));
        let mut take = |place: usize| ours[place].take().ok_or("the columns have no names");
        let ours = Ours {
            index: take(0)?,
            leaf: take(1)?,
            disclosed: take(2)?,
            proof: take(3)?,
        };
        let others: Vec<(String, String)> = cells
            .into_iter()
            .map(|(name, cell)| (name.to_owned(), cell.to_owned()))
            .collect();
        if [HEAD, END].contains(&ours.index) {
            let all = others.iter().map(|(_, cell)| cell.as_str());
            if let Some(cell) = all
                .chain([ours.disclosed, ours.proof])
                .find(|cell| !cell.is_empty())
            {
                return Err(format!("{}: it has {cell:?} besides", ours.index));
            }
            let said = strict::parse(ours.leaf)?;
            return Ok(Some(if ours.index == HEAD {
                Entry::Head(typed(HEAD, said)?)
            } else {
                Entry::End(typed(END, said)?)
            }));
        }
        row(&ours, others).map(|row| Some(Entry::Row(Box::new(row))))
    }
}

fn columns(record: &StringRecord) -> Result<Vec<String>, String> {
    let names: Vec<String> = record.iter().map(str::to_owned).collect();
    if let Some(missing) = OURS.iter().find(|name| !names.iter().any(|n| n == *name)) {
        return Err(format!(
            "this is no export: it isn't JSON, and its first line names no column {missing}"
        ));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two columns are called {:?}", pair[0])),
        None => Ok(names),
    }
}

fn row(ours: &Ours, others: Vec<(String, String)>) -> Result<Row, String> {
    let disclosed = if ours.disclosed.is_empty() {
        tenantry_transparency::Disclosures::new()
    } else {
        typed("disclosed", strict::parse(ours.disclosed)?)?
    };
    let proof: Vec<&str> = unguarded(ours.proof)
        .split(' ')
        .filter(|hash| !hash.is_empty())
        .collect();
    Ok(Row {
        index: count(ours.index).ok_or_else(|| format!("index: {:?} is no count", ours.index))?,
        leaf: ours.leaf.to_owned(),
        disclosed,
        proof: proof_from_text(&proof).map_err(|error| format!("proof: {error}"))?,
        shown: vec![Shown::Cells(others)],
        besides: Vec::new(),
    })
}

/// Ends reading within a record that is too long, as one whose quotation mark nobody closes.
struct Bounded {
    from: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.read.get() >= MAX_ENTRY_BYTES {
            let text = format!("a record is longer than {MAX_ENTRY_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let count = self.from.read(to)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}
