//! Envoy's question how much may pass (`envoy.service.ratelimit.v3`): for the gateway, and for any other Envoy that knows its word.
//!
//! A descriptor names a `tenant` by its id and, where that isn't `api_calls`, a `resource_type`; what else it has is passed over. One
//! that names no tenant is bounded by nothing. Of a request over REST the gateway says so in a `rest` entry, so that a refusal has
//! a body for it.

use std::sync::Arc;

use tenantry_core::{Refusal, TenantId};
use tenantry_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus};
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use tenantry_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tenantry_rpc::answer;
use tonic::{Request, Response, Status};

use crate::app::{App, Rated};
use crate::convert::rate_limit as convert;
use crate::domain::limit::MAX_AMOUNT;

/// The domain of our descriptors.
const DOMAIN: &str = "tenantry";
/// What is counted where a descriptor doesn't say.
const API_CALLS: &str = "api_calls";
/// Most descriptors of a request.
const MOST: usize = 16;

#[derive(Debug)]
pub(crate) struct RateLimits(pub(crate) Arc<App>);

#[tonic::async_trait]
impl RateLimitService for RateLimits {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        answer(async {
            let request = request.into_inner();
            if request.domain != DOMAIN {
                return Err(Refusal::field("domain", format!("must be {DOMAIN}")));
            }
            if request.descriptors.len() > MOST {
                return Err(Refusal::field(
                    "descriptors",
                    format!("must be at most {MOST}"),
                ));
            }
            let mut response = RateLimitResponse {
                overall_code: Code::Ok.into(),
                ..RateLimitResponse::default()
            };
            let descriptors = request.descriptors.iter();
            let asked = descriptors.map(|descriptor| asked(descriptor, request.hits_addend));
            for asked in asked.collect::<Result<Vec<_>, _>>()? {
                let rated = self.rate(asked).await?;
                let status = match &rated {
                    Some(rated) => convert::status(rated),
                    None => DescriptorStatus {
                        code: Code::Ok.into(),
                        ..DescriptorStatus::default()
                    },
                };
                response.statuses.push(status);
                if let (Some(rated), Some(asked)) = (rated, asked) {
                    convert::add(&mut response, asked, &rated);
                }
            }
            Ok(response)
        })
        .await
    }
}

/// What a descriptor asks about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    tenant: TenantId,
    pub(crate) resource_type: &'a str,
    pub(crate) hits: i64,
    /// Whether the request came over REST.
    pub(crate) rest: bool,
}

fn asked(descriptor: &RateLimitDescriptor, addend: u32) -> Result<Option<Asked<'_>>, Refusal> {
    let entry = |key: &str| {
        let mut entries = descriptor.entries.iter();
        let found = entries.find(|entry| entry.key == key);
        found.map(|entry| entry.value.as_str())
    };
    let hits = match descriptor.hits_addend {
        Some(hits) => hits,
        None => u64::from(addend.max(1)),
    };
    let hits = i64::try_from(hits).ok().filter(|hits| *hits <= MAX_AMOUNT);
    let hits =
        hits.ok_or_else(|| Refusal::field("hits_addend", format!("must be at most {MAX_AMOUNT}")))?;
    let Some(tenant) = entry("tenant") else {
        return Ok(None);
    };
    let tenant = tenant
        .parse()
        .map_err(|_| Refusal::field("descriptors", "has a tenant that is no id of one"))?;
    Ok(Some(Asked {
        tenant,
        resource_type: entry("resource_type").unwrap_or(API_CALLS),
        hits,
        rest: entry("rest").is_some(),
    }))
}

impl RateLimits {
    async fn rate(&self, asked: Option<Asked<'_>>) -> Result<Option<Rated>, Refusal> {
        let Some(asked) = asked else { return Ok(None) };
        let rated = self.0.rate(asked.tenant, asked.resource_type, asked.hits);
        Ok(rated.await?)
    }
}
