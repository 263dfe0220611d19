//! What quota is compared with, each behind the same server and as a process of its own: nothing at all, and limitador, with Redis
//! and with its cached Redis. The benchmark starts it.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use limitador::AsyncRateLimiter;
use limitador::limit::{Context, Expression, Limit};
use limitador::storage::redis::{AsyncRedisStorage, CachedRedisStorageBuilder};
use prost::Message as _;
use tenantry_bench::rate;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use tenantry_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The limits: of each domain, what each tenant may use in a month.
const LIMITS: [(&str, i64); 2] = [(rate::DOMAIN, rate::PLENTY), (rate::EXACT, rate::LIMIT)];
const MONTH_SECONDS: u64 = 30 * 86_400;
/// So many that no counter of the benchmark leaves the cache for another one.
const MOST_CACHED: usize = 20_000;

enum Peer {
    /// The answer to everything.
    Nothing(RateLimitResponse),
    Limitador(AsyncRateLimiter),
}

#[tonic::async_trait]
impl RateLimitService for Peer {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let limiter = match self {
            Self::Nothing(answer) => return Ok(Response::new(answer.clone())),
            Self::Limitador(limiter) => limiter,
        };
        let request = request.into_inner();
        let hits = u64::from(request.hits_addend.max(1));
        let entries = request.descriptors.into_iter().flat_map(|one| one.entries);
        let entries: HashMap<_, _> = entries.map(|entry| (entry.key, entry.value)).collect();
        let (domain, context) = (request.domain.into(), Context::from(entries));
        let checked = limiter.check_rate_limited_and_update(&domain, &context, hits);
        let checked = checked
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let code = if checked.limited {
            Code::OverLimit
        } else {
            Code::Ok
        };
        Ok(Response::new(RateLimitResponse {
            overall_code: code.into(),
            ..Default::default()
        }))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || {
        let usage = "quota-peer noop <address> <file of the answer>, or redis|cached <address> <file of Redis's URL>";
        arguments.next().context(usage)
    };
    let kind = argument()?;
    let address = argument()?.parse()?;
    let file = std::fs::read(argument()?)?;
    let peer = match kind.as_str() {
        "noop" => Peer::Nothing(RateLimitResponse::decode(file.as_slice())?),
        kind => Peer::Limitador(limitador(kind, std::str::from_utf8(&file)?).await?),
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    Server::builder()
        .tcp_nodelay(true)
        .add_service(health)
        .add_service(RateLimitServiceServer::new(peer))
        .serve(address)
        .await?;
    Ok(())
}

async fn limitador(kind: &str, url: &str) -> Result<AsyncRateLimiter> {
    let limiter = match kind {
        "redis" => AsyncRateLimiter::new_with_storage(Box::new(AsyncRedisStorage::new(url).await?)),
        "cached" => {
            let cached = CachedRedisStorageBuilder::new(url).max_cached_counters(MOST_CACHED);
            AsyncRateLimiter::new_with_storage(Box::new(cached.build().await?))
        }
        kind => bail!("there is no {kind}"),
    };
    for (domain, most) in LIMITS {
        let tenant = Expression::try_from("tenant").ok().context("a name")?;
        limiter.add_limit(Limit::new(
            domain,
            most.unsigned_abs(),
            MONTH_SECONDS,
            [],
            [tenant],
        ));
    }
    Ok(limiter)
}
