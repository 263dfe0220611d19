//! Mails in waiting: what each says, how long it is of use, and when it is tried again.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::TenantId;
use tenantry_core::role::Role;
use uuid::Uuid;

use super::field;

/// Most mails of one tenant, or of the platform, that wait.
pub(crate) const MOST_WAITING: i64 = 10_000;
/// Most mails that a tenant's people and programs have sent in a day.
pub(crate) const MOST_A_DAY: i64 = 500;
/// Longest time that a mail waits.
const LONGEST: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How long after a try that failed the next one comes: first, and at most; in between it doubles.
const FIRST_BACK_OFF: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_mins(15);
/// Most times that a mail is handed to servers of which none says whether it keeps it. Each may have sent it.
pub(crate) const MOST_UNANSWERED: i32 = 3;
/// How long after a server was handed a mail, and didn't say whether it keeps it, it is handed it again: it may be looking
/// through it still, or start again.
const UNANSWERED_WAITS: [SignedDuration; 2] =
    [SignedDuration::from_mins(15), SignedDuration::from_hours(4)];
/// How long a server has to take the recipient not, and say not why, at each try, until it is believed: whoever runs it would
/// notice meanwhile that it takes nobody.
pub(crate) const DOUBT: SignedDuration = SignedDuration::from_mins(15);
/// Most characters of a tenant's name in a mail.
const MOST_NAME_CHARS: usize = 60;
/// Doublings beyond which the longest is passed.
const MOST_DOUBLINGS: u32 = 10;

/// A mail, as it is sealed. It holds the secret of a link: never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// E-mail address that it goes to.
    pub(crate) to: String,
    pub(crate) letter: Letter,
}

/// What a mail says. Of what whoever has others added or asks for links chose, it holds the name of a tenant that invites,
/// the address of who invites and the roles, which go into words as [`quoted`], [`shown`] and [`as_roles`] only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// Tells a person that they were added to a tenant.
    Welcome { slug: String },
    /// Asks a person to join a tenant.
    Invitation {
        tenant_name: String,
        /// Who invites, by the name that the API shows; empty for a program. It goes into words as [`shown`] only.
        by: String,
        /// Their keys.
        roles: Vec<String>,
        until: Timestamp,
        token: String,
    },
    /// Lets a person replace a forgotten password.
    PasswordReset { until: Timestamp, token: String },
}

impl Letter {
    /// What logs and rows call it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Invitation { .. } => "invitation",
            Self::PasswordReset { .. } => "password_reset",
        }
    }

    /// From when on it is of no use.
    pub(crate) fn ends_at(&self, now: Timestamp) -> Timestamp {
        let longest = now + LONGEST;
        match self {
            Self::Welcome { .. } => longest,
            Self::Invitation { until, .. } | Self::PasswordReset { until, .. } => {
                longest.min(*until)
            }
        }
    }
}

/// Where a mail stands, as it is told of an invitation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailState {
    /// It wasn't tried yet.
    #[default]
    Queued,
    /// It was tried in vain, and is tried again.
    Delayed,
    /// The mail server took it.
    Sent,
    /// It was given up.
    Failed,
}

impl MailState {
    const ALL: [Self; 4] = [Self::Queued, Self::Delayed, Self::Sent, Self::Failed];

    /// The word that rows have and the API shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delayed => "delayed",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    /// The state of a row's word; a word that this version doesn't know says nothing of a mail that went.
    pub(crate) fn stored(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|state| state.name() == word);
        known.unwrap_or_default()
    }
}

/// What a mail is sealed for: its own row.
pub(crate) fn sealed_for(tenant: TenantId, id: Uuid) -> Vec<u8> {
    [
        b"mail\n".as_slice(),
        tenant.uuid().as_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

/// A name that someone chose for a tenant, as it stands in a mail to a stranger: in quotation marks that it can't end, in one
/// line of bounded length, and nothing that a mail client would make a link of.
pub(crate) fn quoted(name: &str) -> String {
    let mut words = String::new();
    let mut chars = name.chars().map(plain).filter(|c| *c != HIDDEN).peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let begins = words.is_empty() || words.ends_with(' ');
        // Dots and at signs make links within a word, a colon before slashes.
        let links = match c {
            '.' => !begins && !ends_word(next),
            '@' => !begins && next != ' ',
            ':' => matches!(next, '/' | '\\'),
            _ => false,
        };
        if links || c == ' ' {
            if !begins {
                words.push(' ');
            }
        } else {
            words.push(c);
        }
    }
    let words = words.trim_end();
    let mut cut: String = words.chars().take(MOST_NAME_CHARS).collect();
    if cut.len() < words.len() {
        cut.push('…');
    }
    format!("“{cut}”")
}

/// Who invites, as it stands in a mail to a stranger: a plain address, else nobody. Other parts of an address before its @
/// can hold any words or signs, and so can the name of someone for whom a tenant's own identity provider speaks.
pub(crate) fn shown(name: &str) -> &str {
    let plain = |c: char| c.is_alphanumeric() || ".-_+".contains(c);
    let local = name.rsplit_once('@').map(|(local, _)| local);
    let is_plain =
        local.is_some_and(|local| local.chars().all(plain)) && field::email(name).is_ok();
    if is_plain { name } else { "" }
}

/// Roles as they stand in a mail to a stranger: the built-in ones by name. The keys of a tenant's own are words that its people
/// chose.
pub(crate) fn as_roles(keys: &[String]) -> String {
    let (built_in, own): (Vec<&str>, Vec<&str>) = keys
        .iter()
        .map(String::as_str)
        .partition(|key| key.parse::<Role>().is_ok());
    let own = (!own.is_empty()).then_some("a role of the organization");
    built_in
        .into_iter()
        .chain(own)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What stands for a character that isn't seen: those of another width, direction or place than what is read.
const HIDDEN: char = '\0';

/// A character as it may stand within the quotation marks: one blank for all, one dot, one at sign, one apostrophe.
fn plain(c: char) -> char {
    match c {
        '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{2024}' | '\u{fe52}' => '.',
        '@' | '\u{ff20}' | '\u{fe6b}' => '@',
        ':' | '\u{ff1a}' | '\u{fe55}' | '\u{2236}' | '\u{a789}' => ':',
        '"' | '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '＂' | '〝' | '〞' | '〟' => {
            '\''
        }
        // Interlinear notes, and what Unicode has shown as nothing.
        '\u{fff9}'..='\u{fffb}' => HIDDEN,
        c if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) => HIDDEN,
        c if c.is_control() || c.is_whitespace() => ' ',
        c => c,
    }
}

/// Whether a dot before this ends a sentence or an abbreviation, and is no part of a name of a host.
const fn ends_word(next: char) -> bool {
    matches!(
        next,
        ' ' | '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '\'' | '/' | '…'
    )
}

/// How long after so many tries the next one comes.
pub(crate) fn back_off(tries: i32) -> SignedDuration {
    let before = u32::try_from(tries).unwrap_or(0).saturating_sub(1);
    (FIRST_BACK_OFF * (1 << before.min(MOST_DOUBLINGS))).min(LONGEST_BACK_OFF)
}

/// How long after so many times without an answer it is handed over again.
pub(crate) fn unanswered_wait(unanswered: i32) -> SignedDuration {
    let before = usize::try_from(unanswered).unwrap_or(0).saturating_sub(1);
    UNANSWERED_WAITS[before.min(UNANSWERED_WAITS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::display_name;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let waits: Vec<_> = (1..=11).map(|tries| back_off(tries).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(back_off(i32::MAX), LONGEST_BACK_OFF);
    }

    #[test]
    fn a_tenants_name_makes_no_link_no_line_and_no_end_of_its_quotation() {
        for (name, words) in [
            ("Acme", "“Acme”"),
            ("Acme, Inc.", "“Acme, Inc.”"),
            ("A/S Møller & Søn (1899)", "“A/S Møller & Søn (1899)”"),
            ("St. Mary's: the school", "“St. Mary's: the school”"),
            (".NET users", "“.NET users”"),
            ("Booking.com", "“Booking com”"),
            (
                "Your account is locked, go to http://evil.example/x",
                "“Your account is locked, go to http //evil example/x”",
            ),
            ("HTTPS://2130706433/x", "“HTTPS //2130706433/x”"),
            ("https:\\\\evil", "“https \\\\evil”"),
            ("https：//evil。example", "“https //evil example”"),
            ("www.evil．example", "“www evil example”"),
            ("evil.\u{200b}example", "“evil example”"),
            ("e\u{301}vil.e\u{301}xample", "“e\u{301}vil e\u{301}xample”"),
            ("eve@evil.example", "“eve evil example”"),
            ("eve@[127.1]", "“eve [127 1]”"),
            ("evil.\u{fe0f}example", "“evil example”"),
            ("evil\u{fe00}.\u{e0100}example", "“evil example”"),
            ("evil.\u{34f}example", "“evil example”"),
            ("evil.\u{3164}example", "“evil example”"),
            ("evil.\u{17b4}\u{e01ef}\u{1d173}example", "“evil example”"),
            ("evil.\u{301}example", "“evil \u{301}example”"),
            ("evil.💩.example", "“evil 💩 example”"),
            ("evil.-x.example", "“evil -x example”"),
            ("(Acme Inc.), e.g. 'St.'", "“(Acme Inc.), e g. 'St.'”"),
            ("a\r\nb\u{2028}c\u{a0}\u{3000} d\t\u{0}e", "“a b c d e”"),
            ("\u{202e}elpmaxe.live", "“elpmaxe live”"),
            ("x” as admin. Pay “now\"", "“x' as admin. Pay 'now'”"),
            ("", "“”"),
        ] {
            assert_eq!(quoted(name), words, "{name:?}");
        }
        let long = quoted(&"ab ".repeat(100));
        assert_eq!(long.chars().count(), MOST_NAME_CHARS + 3);
        assert!(long.ends_with("…”"), "{long}");
    }

    #[test]
    fn who_invites_is_shown_as_a_plain_address_or_not_at_all() {
        for plain in [
            "ann@example.com",
            "ann.o-neil_2+work@example.com",
            "jörg@example.com",
        ] {
            assert_eq!(shown(plain), plain);
        }
        for any_words in [
            "you/won!{call=0800}@example.com",
            "pay#now@example.com",
            "o'neil@example.com",
            "ann",
            "\"pay at http://evil.example\"@example.com",
            &display_name("ann@example.com", "", "https://evil.example"),
            &display_name("", "pay at http://evil.example", "https://evil.example"),
        ] {
            assert_eq!(shown(any_words), "", "{any_words}");
        }
    }

    #[test]
    fn the_keys_of_a_tenants_own_roles_stand_in_no_mail() {
        let roles =
            |keys: &[&str]| as_roles(&keys.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(roles(&["member"]), "member");
        assert_eq!(roles(&["admin", "viewer"]), "admin, viewer");
        assert_eq!(roles(&["call-0800-555-0100"]), "a role of the organization");
        assert_eq!(
            roles(&["call", "member", "0800-555-0100"]),
            "member, a role of the organization"
        );
    }

    #[test]
    fn a_mail_stands_where_its_row_says() {
        for state in MailState::ALL {
            assert_eq!(MailState::stored(state.name()), state);
        }
    }

    #[test]
    fn a_link_that_ended_is_sent_no_more_and_nothing_waits_for_ever() {
        let now = Timestamp::UNIX_EPOCH;
        let reset = |hours| Letter::PasswordReset {
            until: now + SignedDuration::from_hours(hours),
            token: String::new(),
        };
        assert_eq!(reset(1).ends_at(now), now + SignedDuration::from_hours(1));
        assert_eq!(reset(1_000).ends_at(now), now + LONGEST);
    }
}
