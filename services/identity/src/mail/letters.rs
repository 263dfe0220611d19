//! What mails say. Each letter has a template in plain text and one in HTML, in `templates/`; in HTML whatever is put in is
//! escaped.

use askama::Template;

/// One kind of mail.
pub(super) trait Letter {
    /// The subject.
    fn subject(&self) -> String;

    /// The letter in plain text.
    fn text(&self) -> askama::Result<String>;

    /// The letter in HTML.
    fn html(&self) -> askama::Result<String>;
}

/// Ties a letter to its two templates, which see it as `it`, and to its subject.
macro_rules! letter {
    ($letter:ident, $text:literal, $html:literal, $subject:expr) => {
        const _: () = {
            #[derive(Template)]
            #[template(path = $text)]
            struct Text<'a> {
                it: &'a $letter<'a>,
            }

            #[derive(Template)]
            #[template(path = $html)]
            struct Html<'a> {
                it: &'a $letter<'a>,
            }

            impl Letter for $letter<'_> {
                fn subject(&self) -> String {
                    let subject: fn(&Self) -> String = $subject;
                    subject(self)
                }

                fn text(&self) -> askama::Result<String> {
                    Text { it: self }.render()
                }

                fn html(&self) -> askama::Result<String> {
                    Html { it: self }.render()
                }
            }
        };
    };
}

/// Tells a person that they were added to a tenant.
pub(super) struct Welcome<'a> {
    /// Its slug: nobody writes a text into a mail to an address that may be anyone's.
    pub(super) tenant: &'a str,
}

letter!(Welcome, "welcome.txt", "welcome.html", |it| {
    format!("You were added to {}", it.tenant)
});

/// Asks a person to join a tenant.
pub(super) struct Invitation<'a> {
    /// Its name in quotation marks.
    pub(super) tenant: String,
    /// The address of who invites; empty for a program, and where it isn't a plain one.
    pub(super) by: &'a str,
    /// Those of the platform by name, a tenant's own as such.
    pub(super) roles: String,
    pub(super) until: String,
    pub(super) link: String,
}

letter!(
    Invitation,
    "invitation.txt",
    "invitation.html",
    |it| format!("You are invited to join {}", it.tenant)
);

/// Lets a person replace a forgotten password.
pub(super) struct PasswordReset<'a> {
    pub(super) until: &'a str,
    pub(super) link: String,
}

letter!(
    PasswordReset,
    "password_reset.txt",
    "password_reset.html",
    |_| "Replace your password".to_owned()
);
