//! The fields of a provider as callers give them, and the rule for each.

use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;
use url::Url;

use super::Scope;
use crate::domain::role::{self, RoleKey};
use crate::domain::{field, outside};

/// Most scopes, redirect URIs and domains of one.
const MAX_ITEMS: usize = 20;
const MAX_URL_BYTES: usize = 1_000;
const MAX_TEXT_BYTES: usize = 500;

/// Fields to set. A list that is empty is cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) redirect_uris: Option<Vec<String>>,
    pub(crate) email_domains: Option<Vec<String>>,
    pub(crate) just_in_time_roles: Option<Vec<String>>,
    pub(crate) enabled: Option<bool>,
}

/// The fields that a patch sets, each in its allowed form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    pub(super) name: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) redirect_uris: Option<Vec<String>>,
    pub(super) email_domains: Option<Vec<String>>,
    pub(super) just_in_time_roles: Option<Vec<RoleKey>>,
    pub(super) enabled: Option<bool>,
}

impl Patch {
    /// Whether it sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every field that it sets, and tells all that is wrong at once. `insecure` lets pages and issuers be of plain
    /// HTTP and of private networks.
    pub(crate) fn check(self, scope: &Scope, insecure: bool) -> Result<Checked, Refusal> {
        let mut wrong = Violations::new();
        let mut text =
            |name, value: Option<String>, rule: &dyn Fn(&str) -> Result<String, String>| {
                value.and_then(|value| wrong.take(name, rule(&value)))
            };
        let name = text("name", self.name, &field::name);
        let issuer = text("issuer", self.issuer, &|issuer| {
            self::issuer(issuer, insecure)
        });
        let client_id = text("client_id", self.client_id, &client_id);
        let mut list =
            |name, values: Option<Vec<String>>, rule: &dyn Fn(&str) -> Result<String, String>| {
                values.and_then(|values| wrong.take(name, all(&values, rule)))
            };
        let scopes = list("scopes", self.scopes, &self::scope);
        let redirect_uris = list("redirect_uris", self.redirect_uris, &|uri| {
            redirect_uri(uri, insecure)
        });
        let email_domains = list("email_domains", self.email_domains, &email_domain);
        if redirect_uris.as_ref().is_some_and(Vec::is_empty) {
            wrong.add(
                "redirect_uris",
                "must be at least one, as https://app.example.com/signed-in",
            );
        }
        let just_in_time_roles =
            self.just_in_time_roles
                .and_then(|names| match (names.as_slice(), scope) {
                    ([], _) => Some(Vec::new()),
                    (_, Scope::Tenant(_)) => wrong.take("just_in_time_roles", role::keys(&names)),
                    (_, Scope::Project(_)) => {
                        wrong.add(
                            "just_in_time_roles",
                            "must be empty: a project's provider makes members of no tenant",
                        );
                        None
                    }
                });
        wrong.check()?;
        Ok(Checked {
            name,
            issuer,
            client_id,
            scopes,
            redirect_uris,
            email_domains,
            just_in_time_roles,
            enabled: self.enabled,
        })
    }
}

/// A client secret, as the provider gave it.
pub(crate) fn client_secret(text: &str) -> Result<(), String> {
    if text.len() <= MAX_TEXT_BYTES && text.chars().all(|c| !c.is_control()) {
        Ok(())
    } else {
        Err(format!(
            "must be at most {MAX_TEXT_BYTES} bytes without control characters"
        ))
    }
}

/// Key of a project, in the form that registry gives them.
pub(crate) fn project(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    fits.then(|| text.to_owned())
        .ok_or_else(|| "must be the key of a project, as default".to_owned())
}

fn all(
    values: &[String],
    rule: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, String> {
    if values.len() > MAX_ITEMS {
        return Err(format!("must be at most {MAX_ITEMS}"));
    }
    let mut whole = values
        .iter()
        .map(|value| rule(value).map_err(|why| format!("{value:?} {why}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut seen = std::collections::HashSet::new();
    whole.retain(|value| seen.insert(value.clone()));
    Ok(whole)
}

/// An issuer (OpenID Connect Discovery 1.0, section 3): kept as it is spelt, because tokens name it so.
fn issuer(text: &str, insecure: bool) -> Result<String, String> {
    let url = outside::may_ask(text, insecure)?;
    if text.len() > MAX_URL_BYTES || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "must be at most {MAX_URL_BYTES} bytes, without query and fragment"
        ));
    }
    Ok(text.to_owned())
}

fn client_id(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= MAX_TEXT_BYTES && text.chars().all(|c| !c.is_control()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be 1 to {MAX_TEXT_BYTES} bytes without control characters"
        ))
    }
}

/// A scope (RFC 6749, section 3.3), besides `openid`, which is always asked for.
fn scope(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= MAX_TEXT_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    if fits && text != "openid" {
        Ok(text.to_owned())
    } else {
        Err("must be a scope besides openid: printable ASCII without spaces".to_owned())
    }
}

/// A page of the user interface, compared as a whole text with what a sign-in asks for. On this very machine, as for
/// development, it may be of plain HTTP.
fn redirect_uri(text: &str, insecure: bool) -> Result<String, String> {
    let wrong = || {
        "must be a page of yours, as https://app.example.com/signed-in, without fragment".to_owned()
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let fits = text.len() <= MAX_URL_BYTES
        && (url.scheme() == "https" || (url.scheme() == "http" && (here || insecure)))
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}

fn email_domain(text: &str) -> Result<String, String> {
    field::email(&format!("someone@{text}"))
        .ok()
        .and_then(|email| email.strip_prefix("someone@").map(str::to_owned))
        .ok_or_else(|| "must be a domain, as example.com".to_owned())
}
