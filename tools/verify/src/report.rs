//! What was found, in plain words.

use std::fmt;
use std::process::ExitCode;

/// Most faults that are shown one by one; all are counted.
const MAX_SHOWN: usize = 20;
const FAULTY: u8 = 1;

/// What is proved, what is wrong, and what should be known besides.
#[derive(Default)]
pub(crate) struct Report {
    proved: Vec<String>,
    wrong: Vec<String>,
    faults: u64,
    notes: Vec<String>,
}

impl Report {
    /// Something that is shown now.
    pub(crate) fn proved(&mut self, text: impl Into<String>) {
        self.proved.push(text.into());
    }

    /// Something that is wrong, or that can't be shown.
    pub(crate) fn wrong(&mut self, text: impl Into<String>) {
        self.faults += 1;
        if self.wrong.len() < MAX_SHOWN {
            self.wrong.push(text.into());
        }
    }

    /// Something that whoever relies on this should know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Whether nothing is wrong so far.
    pub(crate) const fn is_good(&self) -> bool {
        self.faults == 0
    }

    /// 0 where nothing is wrong.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAULTY)
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            writeln!(f, "PROVED")?;
        } else {
            writeln!(f, "NOT PROVED")?;
            list(f, "This is wrong:", &self.wrong)?;
            let unshown = self.faults - self.wrong.len() as u64;
            if unshown > 0 {
                writeln!(f, "  - and {unshown} more")?;
            }
        }
        let holds = if self.is_good() {
            "This holds:"
        } else {
            "This holds all the same:"
        };
        list(f, holds, &self.proved)?;
        list(f, "To know:", &self.notes)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, texts: &[String]) -> fmt::Result {
    if texts.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for text in texts {
        writeln!(f, "  - {}", plain(text))?;
    }
    Ok(())
}

/// A number of things, by the word for one of them.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// A text without what steers a terminal: much of it comes from the file that is being checked.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let steers =
                c.is_control() || matches!(c, '\u{200e}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let (kept, escaped) = if steers {
                (None, Some(c.escape_unicode()))
            } else {
                (Some(c), None)
            };
            kept.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}
