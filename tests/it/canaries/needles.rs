//! Canaries, and finding them again however they are written: as they are, in base64, in base64url or in hex.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// How much of a needle is looked for. Of anything shorter nothing could be told from chance.
const WINDOW: usize = 12;
/// Most finds of one kind that are told.
const FEW: usize = 20;
/// What surrounds a find when it is told, in bytes.
const AROUND: usize = 160;

/// The canaries of one run: secrets and others begin with a mark of their own.
#[derive(Debug)]
pub(super) struct Marks {
    run: String,
    planted: AtomicUsize,
}

impl Marks {
    pub(super) fn new() -> Self {
        let random: [u8; 6] = tenantry_core::random::bytes();
        Self {
            run: hex(&random),
            planted: AtomicUsize::new(0),
        }
    }

    /// A new canary for what nobody may ever see again.
    pub(super) fn secret(&self) -> String {
        self.next(&self.of_secrets())
    }

    /// A new canary for anything else.
    pub(super) fn plain(&self) -> String {
        self.next(&self.of_others())
    }

    pub(super) fn of_secrets(&self) -> String {
        format!("cs{}", self.run)
    }

    pub(super) fn of_others(&self) -> String {
        format!("co{}", self.run)
    }

    fn next(&self, mark: &str) -> String {
        let n = self.planted.fetch_add(1, Ordering::Relaxed);
        format!("{mark}x{n}x")
    }
}

/// What is looked for, by the window that each begins with.
#[derive(Debug, Default)]
pub(super) struct Needles(HashMap<[u8; WINDOW], String>);

impl Needles {
    /// Looks for a text, in every way of writing it.
    pub(super) fn add(&mut self, what: &str, text: &str) {
        let bytes = text.as_bytes();
        assert!(
            bytes.len() >= WINDOW,
            "{what} is too short to be looked for"
        );
        let mut written = vec![text.to_owned(), hex(bytes), hex(bytes).to_uppercase()];
        // Within something longer it stands at one of three places of base64's groups; what its neighbours share is left out.
        for skipped in 0..3 {
            if let Some(rest) = bytes.get(skipped..) {
                let whole = &rest[..rest.len() / 3 * 3];
                written.push(BASE64_STANDARD_NO_PAD.encode(whole));
                written.push(BASE64_URL_SAFE_NO_PAD.encode(whole));
            }
        }
        for written in written {
            let window = written.as_bytes().first_chunk::<WINDOW>();
            if let Some(window) = window {
                self.0.insert(*window, what.to_owned());
            }
        }
    }

    /// What is in the text of each kind of needle, a few of each, with what is around it.
    pub(super) fn find(&self, text: &[u8]) -> Vec<String> {
        let mut begins = vec![false; 1 << 16];
        for window in self.0.keys() {
            begins[pair(window)] = true;
        }
        let mut found: HashMap<&str, Vec<String>> = HashMap::new();
        for (at, window) in text.windows(WINDOW).enumerate() {
            if !begins[pair(window)] {
                continue;
            }
            let known = window
                .try_into()
                .ok()
                .and_then(|w: [u8; WINDOW]| self.0.get(&w));
            let Some(what) = known else { continue };
            let finds = found.entry(what).or_default();
            if finds.len() < FEW {
                let (from, to) = (at.saturating_sub(AROUND), text.len().min(at + AROUND));
                let around = String::from_utf8_lossy(&text[from..to]);
                finds.push(format!("{what}: ...{around}..."));
            }
        }
        found.into_values().flatten().collect()
    }
}

fn pair(window: &[u8]) -> usize {
    usize::from(window[0]) << 8 | usize::from(window[1])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_needle_is_found_however_it_is_written_and_wherever_it_stands() {
    let marks = Marks::new();
    let mut needles = Needles::default();
    needles.add("secret", &marks.of_secrets());
    let canary = marks.secret();
    for before in ["", "a", "ab", "abc"] {
        let inside = format!("{before}{canary} and more");
        let written = [
            inside.clone(),
            hex(inside.as_bytes()),
            hex(inside.as_bytes()).to_uppercase(),
            BASE64_STANDARD_NO_PAD.encode(&inside),
            BASE64_URL_SAFE_NO_PAD.encode(&inside),
        ];
        for written in written {
            assert_eq!(needles.find(written.as_bytes()).len(), 1, "{written}");
        }
    }
    let other = marks.plain();
    assert!(needles.find(other.as_bytes()).is_empty(), "{other}");
}
