//! What of a request decides about it. Envoy joins headers that come twice with a comma.

use std::collections::HashMap;

use tenantry_core::Origin;
use tenantry_proto::envoy::service::auth::v3::attribute_context::HttpRequest;
use tenantry_proto::methods::{OPTIONAL_CREDENTIAL, PUBLIC_METHODS, WITHOUT_TENANT};

use tenantry_rpc::assertion::WORD;
use tenantry_rpc::stack::origin_of;

use crate::domain::api_key::{self, Presented};
use crate::domain::host::Host;
use crate::domain::selection;
use crate::error::Error;

const BEARER: &str = "bearer ";

/// A request that Envoy asks about.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    headers: &'a HashMap<String, String>,
    /// Full gRPC method.
    pub(super) method: &'a str,
    /// Whether the caller itself speaks gRPC, and was not transcoded.
    pub(super) is_grpc: bool,
}

/// What a caller shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Credential<'a> {
    AccessToken(&'a str),
    ApiKey(Presented),
}

impl<'a> Asked<'a> {
    pub(super) fn read(http: &'a HttpRequest) -> Self {
        let path = http.headers.get(":path").unwrap_or(&http.path);
        let mut asked = Self {
            headers: &http.headers,
            method: path.split('?').next().unwrap_or_default(),
            is_grpc: false,
        };
        asked.is_grpc = asked.header("content-type").starts_with("application/grpc")
            && asked.original_path().is_empty();
        asked
    }

    /// Whether the method is public and no credential is to be looked at.
    pub(super) fn needs_nobody(&self) -> bool {
        let ignores = !OPTIONAL_CREDENTIAL.contains(&self.method);
        self.is_public() && (ignores || matches!(self.credential(), Err(Error::NoCredential)))
    }

    /// Whether the method is public.
    pub(super) fn is_public(&self) -> bool {
        PUBLIC_METHODS.contains(&self.method)
    }

    /// The credential, whichever header it stands in.
    pub(super) fn credential(&self) -> Result<Credential<'a>, Error> {
        let bearer = match self.header("authorization") {
            "" => None,
            value => Some(bearer(value).ok_or(Error::BadCredential)?),
        };
        let key = Some(self.header("x-api-key")).filter(|value| !value.is_empty());
        let text = match (bearer, key) {
            (None, None) => return Err(Error::NoCredential),
            (Some(one), Some(other)) if one != other => return Err(Error::CredentialConflict),
            (Some(text), _) | (None, Some(text)) => text,
        };
        // Two of one header, joined; neither form of credential holds a comma.
        if text.contains(',') {
            return Err(Error::CredentialConflict);
        }
        if key.is_some() || text.starts_with(api_key::MARK) {
            let presented = api_key::parse(text).ok_or(Error::BadCredential)?;
            return Ok(Credential::ApiKey(presented));
        }
        Ok(Credential::AccessToken(text))
    }

    /// Whether the method acts in no tenant that there is.
    pub(super) fn is_without_tenant(&self) -> bool {
        WITHOUT_TENANT.contains(&self.method)
    }

    /// Where the request may name its tenant.
    pub(super) fn hints<'h>(&self, host: &'h Host) -> selection::Hints<'h>
    where
        'a: 'h,
    {
        selection::Hints {
            path: self.original_path(),
            id: self.header("x-tenant-id"),
            slug: self.header("x-tenant-slug"),
            host: host.tenant.as_ref().filter(|_| !self.is_without_tenant()),
        }
    }

    /// `:authority`.
    pub(super) fn authority(&self) -> &'a str {
        self.header(":authority")
    }

    /// Where it came from, as the gateway says.
    pub(super) fn origin(&self) -> Origin {
        // W3C Trace Context: version, trace, span and flags.
        let trace_id = self.header("traceparent").split('-').nth(1);
        origin_of(
            |name| self.header(name),
            trace_id.unwrap_or_default().to_owned(),
        )
    }

    /// What the gateway is known by: without it nothing else here is believed.
    pub(super) fn word(&self) -> &'a str {
        self.header(WORD)
    }

    /// `X-Project`.
    pub(super) fn project(&self) -> &'a str {
        self.header("x-project")
    }

    /// Path of the REST request; empty for native gRPC. The transcoder sets it, and what a caller sends of it is removed
    /// before.
    fn original_path(&self) -> &'a str {
        self.header("x-envoy-original-path")
    }

    fn header(&self, name: &str) -> &'a str {
        self.headers.get(name).map_or("", |value| value.trim())
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use tenantry_core::ApiKeyId;

    use super::*;

    fn credential(headers: &[(&str, &str)]) -> Result<(), Error> {
        let http = HttpRequest {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..HttpRequest::default()
        };
        Asked::read(&http).credential().map(drop)
    }

    #[test]
    fn one_credential_in_either_header_and_never_two() {
        let (key, _) = api_key::new_secret(ApiKeyId::new());
        let (other, _) = api_key::new_secret(ApiKeyId::new());
        let bearer = format!("Bearer {key}");
        assert!(credential(&[("x-api-key", &key)]).is_ok());
        assert!(credential(&[("authorization", &bearer)]).is_ok());
        assert!(credential(&[("authorization", &bearer), ("x-api-key", &key)]).is_ok());
        assert!(matches!(credential(&[]), Err(Error::NoCredential)));
        let conflicts: [&[(&str, &str)]; 3] = [
            &[("authorization", &bearer), ("x-api-key", &other)],
            &[("x-api-key", &format!("{key},{other}"))],
            &[("authorization", &format!("{bearer},{bearer}"))],
        ];
        for headers in conflicts {
            assert!(
                matches!(credential(headers), Err(Error::CredentialConflict)),
                "{headers:?}"
            );
        }
        let bad: [&[(&str, &str)]; 3] = [
            &[("authorization", "Basic YTpi")],
            &[("authorization", "Bearer")],
            &[("x-api-key", "eyJ.a.b")],
        ];
        for headers in bad {
            assert!(
                matches!(credential(headers), Err(Error::BadCredential)),
                "{headers:?}"
            );
        }
    }
}
