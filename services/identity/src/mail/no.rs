//! What a mail server's no says of a mail: seldom that it will never go, for most are about us, or about the server.

use std::error::Error as _;
use std::fmt;

use lettre::transport::smtp::Error;

use super::transport::Unsent;

/// What was said no to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A connection, who sends, or that anything comes.
    Setup,
    /// The recipient.
    Recipient,
    /// The mail itself.
    Text,
}

/// A server's no without its words, which mostly repeat the recipient's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct No {
    code: u16,
    /// The enhanced status code (RFC 3463), where it gave one.
    status: Option<[u16; 3]>,
}

impl No {
    /// The no in an error, if it is one.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let code = error.status()?.into();
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        Some(Self::said(code, &said))
    }

    fn said(code: u16, words: &str) -> Self {
        let status = words.split_whitespace().next().and_then(|word| {
            let parts: Option<Vec<u16>> = word.split('.').map(|part| part.parse().ok()).collect();
            parts?.try_into().ok()
        });
        Self { code, status }
    }

    /// What it says of the mail.
    pub(super) fn to(self, at: At) -> Unsent {
        let said = self.to_string();
        if at == At::Setup || !(500..600).contains(&self.code) {
            return Unsent::Later(said);
        }
        match self.status {
            // Of the recipient's address (but not any "other" of it, and not the sender's, .7 and .8), or of the mailbox.
            Some([5, 1, 1..=4 | 6 | 10] | [5, 2, _]) => Unsent::Never(said),
            None if at == At::Recipient && matches!(self.code, 550 | 551 | 553) => {
                Unsent::Doubtful(said)
            }
            _ => Unsent::Later(said),
        }
    }
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server said {}", self.code)?;
        match self.status {
            Some([class, subject, detail]) => write!(f, " {class}.{subject}.{detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_given_up_only_where_the_server_speaks_of_its_recipient() {
        type Of = fn(String) -> Unsent;
        let (later, never, doubtful): (Of, Of, Of) =
            (Unsent::Later, Unsent::Never, Unsent::Doubtful);
        for (at, code, words, what) in [
            (At::Setup, 554, "No SMTP service here", later),
            (At::Setup, 502, "5.5.1 Command not implemented", later),
            (At::Setup, 535, "5.7.8 Authentication failed", later),
            (At::Setup, 550, "5.1.1 User unknown", later),
            (
                At::Recipient,
                550,
                "5.1.1 <a@b.example>: no such user",
                never,
            ),
            (At::Recipient, 556, "5.1.10 Domain takes no mail", never),
            (At::Recipient, 552, "5.2.2 Mailbox full", never),
            (At::Text, 550, "5.2.1 Mailbox disabled", never),
            (At::Recipient, 550, "5.1.0 Address rejected", later),
            (At::Recipient, 550, "5.1.8 Sender address rejected", later),
            (At::Recipient, 554, "5.7.1 Relay access denied", later),
            (At::Text, 554, "5.7.1 Spam", later),
            (At::Recipient, 550, "relay not permitted", doubtful),
            (At::Recipient, 550, "127.0.0.1 is not a relay", doubtful),
            (At::Recipient, 554, "no", later),
            (At::Text, 550, "no", later),
            (At::Recipient, 450, "4.2.1 Greylisted", later),
            (At::Recipient, 450, "5.1.1 Greylisted", later),
        ] {
            let no = No::said(code, words);
            assert_eq!(no.to(at), what(no.to_string()), "{at:?} {code} {words}");
        }
    }

    #[test]
    fn what_a_server_says_besides_its_codes_is_told_nobody() {
        let no = No::said(550, "5.1.1 <ann@example.com> is unknown here");
        assert_eq!(no.to_string(), "the server said 550 5.1.1");
        let no = No::said(550, "ann@example.com 5.1.1");
        assert_eq!(no.to_string(), "the server said 550");
    }
}
