//! Checks an export from its first entry to its last, keeping of it no more than the edge of the tree.

mod earlier;
mod ending;
mod order;
mod row;

use std::fmt::Display;

use tenantry_core::TenantId;
use tenantry_transparency::{Frontier, TreeHead};

use crate::cli::ExportArgs;
use crate::files;
use crate::format::{Consistency, End, Entry, Export, Head};
use crate::keys::Keys;
use crate::report::Report;
use crate::shown::Uncovered;
use earlier::Earlier;
use order::{Indexes, Sources};

/// The version of the form that is known here.
const VERSION: u32 = 1;

/// Checks the export and tells what was found.
///
/// # Errors
/// For a file that can't be read.
pub(crate) fn check(args: &ExportArgs, keys: &Keys) -> anyhow::Result<Report> {
    let mut audit = Audit {
        keys,
        report: Report::default(),
        begun: false,
        unbroken: true,
        opened: None,
        end: None,
        indexes: Indexes::default(),
        sources: Sources::default(),
        earlier: Earlier::read(&args.checkpoint, keys)?,
        edge: Frontier::new(),
        included: 0,
        disclosed: 0,
        erased: 0,
        uncovered: Uncovered::default(),
    };
    let mut export = Export::begin(files::open(&args.file)?)?;
    while let Some(numbered) = export.next()? {
        match numbered.entry {
            Ok(entry) => audit.entry(numbered.line, entry, export.name()),
            Err(why) => {
                audit.begun = true;
                audit.unbroken = false;
                audit.wrong(numbered.line, why);
            }
        }
    }
    Ok(audit.finish(export.name()))
}

/// What is known so far.
struct Audit<'a> {
    keys: &'a Keys,
    report: Report,
    /// Whether there was an entry.
    begun: bool,
    /// Whether each event so far came behind the one before it, and could be read.
    unbroken: bool,
    opened: Option<Opened>,
    end: Option<End>,
    indexes: Indexes,
    sources: Sources,
    earlier: Earlier,
    /// The tree anew, as long as the events come without a gap from the log's first one on.
    edge: Frontier,
    /// Events that are in the log as they are shown.
    included: u64,
    /// Personal values that were shown, and that are gone.
    disclosed: u64,
    erased: u64,
    uncovered: Uncovered,
}

/// What the first entry says, once it is believed.
struct Opened {
    tenant: TenantId,
    origin: String,
    vkey: String,
    tree: TreeHead,
    /// Where the export begins.
    from: u64,
    complete: bool,
    consistency: Option<Consistency>,
}

impl Audit<'_> {
    fn wrong(&mut self, line: u64, what: impl Display) {
        self.report.wrong(format!("line {line}: {what}"));
    }

    fn entry(&mut self, line: u64, entry: Entry, format: &str) {
        let begun = std::mem::replace(&mut self.begun, true);
        if self.end.is_some() {
            return self.wrong(line, "it goes on behind its end");
        }
        match entry {
            Entry::Head(_) if begun => self.wrong(line, "it begins a second time"),
            Entry::Head(head) => self.head(line, *head, format),
            Entry::Row(row) => self.row(line, *row),
            Entry::End(end) => self.end = Some(end),
        }
    }

    fn head(&mut self, line: u64, head: Head, format: &str) {
        if head.version != VERSION {
            let version = head.version;
            return self.wrong(
                line,
                format!(
                    "it is of version {version}, and this command knows {VERSION}; get a newer one"
                ),
            );
        }
        if head.format != format {
            let said = head.format;
            return self.wrong(line, format!("it says that it is {said}, and is {format}"));
        }
        let signed = match self.keys.open_of(&head.checkpoint, head.tenant_id) {
            Ok(signed) => signed,
            Err(why) => return self.wrong(line, format!("its checkpoint: {why}")),
        };
        if signed.checkpoint.size != head.tree_size {
            return self.wrong(
                line,
                format!(
                    "it is of a log of {} events, and its checkpoint of one of {}",
                    head.tree_size, signed.checkpoint.size
                ),
            );
        }
        self.indexes.from = head.from_index;
        self.opened = Some(Opened {
            tenant: head.tenant_id,
            tree: signed.checkpoint.head(),
            origin: signed.checkpoint.origin,
            vkey: signed.vkey,
            from: head.from_index,
            complete: head.complete,
            consistency: head.consistency,
        });
    }

    fn is_complete(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.complete)
    }
}
