//! What an export as a whole shows.

use super::order::all;
use super::{Audit, Opened};
use crate::report::{Report, counted};

/// How an export ends that has all it was asked for.
const COMPLETE: &str = "COMPLETE";

impl Audit<'_> {
    pub(super) fn finish(mut self, format: &str) -> Report {
        self.end();
        let Some(opened) = self.opened.take() else {
            self.report.wrong(
                "there is no checkpoint that counts at the beginning, so nothing is shown about any event",
            );
            return self.report;
        };
        self.report.proved(format!(
            "The checkpoint of {} of the log {} is signed by {}.",
            counted(opened.tree.size, "event"),
            opened.origin,
            opened.vkey
        ));
        self.events(&opened);
        self.range(&opened);
        self.earlier.tell(&opened, &mut self.report);
        self.caveats(&opened, format);
        self.report
    }

    /// Whether the export has its end.
    fn end(&mut self) {
        let Some(end) = &self.end else {
            self.report
                .wrong("the export is cut off: its last entry, which tells its end, is missing");
            return;
        };
        if end.reason != COMPLETE {
            self.report.wrong(format!(
                "the export broke off ({}), so it doesn't have all that was asked for; ask again",
                end.reason
            ));
        }
        if end.events != self.indexes.count {
            self.report.wrong(format!(
                "its end tells of {}, and it has {}",
                counted(end.events, "event"),
                self.indexes.count
            ));
        }
    }

    fn events(&mut self, opened: &Opened) {
        let all = self.report.is_good();
        let count = self.included;
        if count == 0 {
            return;
        }
        self.report.proved(if all {
            format!(
                "{count} of {count} events are in this log, each at its index and as it was written, and what is shown beside the leaves agrees with them."
            )
        } else {
            format!("{count} of {} events are in this log, each at its index, as their leaves say.", self.indexes.count)
        });
        if all && self.disclosed > 0 {
            self.report.proved(format!(
                "What is shown of {} is what was logged.",
                counted(self.disclosed, "personal value")
            ));
        }
        if self.edge.size() == opened.tree.size {
            if self.edge.root() == opened.tree.root {
                self.report
                    .proved("The tree was built anew from the events, and has the signed root.");
            } else {
                self.report
                    .wrong("the tree that was built anew from the events has another root than the signed one");
            }
        }
    }

    fn range(&mut self, opened: &Opened) {
        let last = self.indexes.range.map(|(_, last)| last.saturating_add(1));
        let (next, size) = (last.unwrap_or(opened.from), opened.tree.size);
        let is_whole = self.end.as_ref().is_some_and(|end| end.reason == COMPLETE);
        if opened.complete && is_whole && next < size {
            let missing = all(next, size - 1);
            self.report
                .wrong(format!("index {missing} missing at its end"));
        }
        let Some((first, last)) = self.indexes.range else {
            self.report
                .note("The export has no events, and doesn't show that there are none.");
            return;
        };
        if !opened.complete {
            self.report.note(format!(
                "The export is a selection from index {first} to {last}. It doesn't show that it has every event that was asked for."
            ));
            return;
        }
        if self.report.is_good() {
            self.report.proved(format!(
                "From index {first} to {last} none is missing, by their indexes and by the numbers that their sources gave them."
            ));
        }
        if first > 0 {
            let before = counted(first, "event");
            self.report
                .note(format!("The log has {before} before these."));
        }
    }

    fn caveats(&mut self, opened: &Opened, format: &str) {
        if self.erased > 0 {
            self.report.note(format!(
                "Not shown, because erased or left out here: {}. The log holds the commitments.",
                counted(self.erased, "personal value")
            ));
        }
        if opened.complete && self.sources.unnumbered > 0 {
            self.report.note(format!(
                "Without a number of their source, or of too many sources: {}. Of these only the indexes speak.",
                counted(self.sources.unnumbered, "event")
            ));
        }
        let names = self.uncovered.names();
        if !names.is_empty() {
            self.report.note(format!(
                "Not in the leaves, so nothing is proved of it: {}.",
                names.join(", ")
            ));
        }
        if format == "ocsf" {
            self.report.note(format!(
                "Of the members of OCSF these were compared with the leaves: {}.",
                crate::shown::ocsf_members().join(", ")
            ));
        }
    }
}
