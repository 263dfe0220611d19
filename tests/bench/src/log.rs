//! Events as services hand them to the log, and callers who read it.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use tenantry_proto::internal::audit::v1::append_service_client::AppendServiceClient;
use tenantry_proto::internal::audit::v1::{AppendRequest, SourceEvent, SourceStream};
use tenantry_rpc::assertion::{Claims, HEADER, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::fleet::Fleet;
use tonic::Request;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// A client that appends in the name of a service.
pub type Append = AppendServiceClient<InterceptedService<Channel, As>>;

/// Puts a fresh assertion of a service on each call.
#[derive(Clone)]
pub struct As {
    service: String,
    ring: Arc<KeyRing>,
}

impl Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let claims = Claims::of_service(&self.service, "audit");
        let assertion = sign(&self.ring, &claims)
            .ok()
            .and_then(|signed| signed.parse().ok())
            .ok_or_else(|| tonic::Status::internal("no assertion"))?;
        request.metadata_mut().insert(HEADER, assertion);
        Ok(request)
    }
}

/// Appends to the fleet's first replica of audit as this service.
///
/// # Errors
/// When it can't be reached.
pub async fn append_as(fleet: &Fleet, service: &str) -> Result<Append> {
    let text = std::fs::read_to_string(fleet.keys().service_ring(service))?;
    let ring = Arc::new(KeyRing::parse(&text).map_err(anyhow::Error::msg)?);
    let address = fleet.service("audit", 0).address();
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let service = service.to_owned();
    let client = AppendServiceClient::with_interceptor(channel, As { service, ring });
    Ok(client.max_encoding_message_size(16 << 20))
}

/// The nth event of a tenant's: an update of its description, about a kilobyte, as registry writes them.
#[must_use]
pub fn event(tenant: Uuid, n: i64) -> Vec<u8> {
    let state = |name: &str, version: i64| {
        json!({
            "id": tenant, "project": "default", "name": name, "slug": "tenant", "status": "active", "plan": "business",
            "email": "ops@example.com", "billing_email": "billing@example.com", "timezone": "UTC", "locale": "en-US",
            "labels": {"segment": "smb"}, "metadata": {}, "version": version, "updated_at": "2026-01-01T00:00:00Z",
        })
    };
    let event = json!({
        "id": Uuid::from_u128(tenant.as_u128() ^ (n.cast_unsigned() as u128) << 16), "action": "tenant.updated",
        "resource": {"kind": "tenant", "id": tenant},
        "actor": {"kind": "user", "id": Uuid::from_u128(n.cast_unsigned() as u128 % 97), "name": format!("user{}@example.com", n % 97)},
        "before": state(&format!("Name {}", n - 1), n - 1), "after": state(&format!("Name {n}"), n),
        "origin": {"ip": format!("192.0.2.{}", n % 200), "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
            "request_id": Uuid::from_u128(n.cast_unsigned() as u128 * 7_919), "trace_id": "0af7651916cd43dd8448eb211c80319c"},
    });
    serde_json::to_vec(&event).unwrap_or_default()
}

/// A batch: of each of these tenants so many events, the first of this number.
#[must_use]
pub fn batch(tenants: &[Uuid], first_n: i64, of_each: i64) -> AppendRequest {
    let at = Some(prost_types::Timestamp {
        seconds: 1_780_000_000,
        nanos: 0,
    });
    let streams = tenants.iter().map(|tenant| SourceStream {
        tenant_id: tenant.to_string(),
        first_n,
        events: (first_n..first_n + of_each)
            .map(|n| SourceEvent {
                at,
                event: event(*tenant, n),
            })
            .collect(),
    });
    AppendRequest {
        streams: streams.collect(),
        request_id: String::new(),
    }
}

/// Sends a batch, all of which must be taken.
///
/// # Errors
/// When it isn't.
pub async fn send(append: &mut Append, batch: AppendRequest) -> Result<()> {
    let answer = append.append(batch).await?.into_inner();
    let refused = answer.outcomes.iter().find(|one| one.outcome != "taken");
    refused.map_or(Ok(()), |one| Err(anyhow::anyhow!("{one:?}")))
}
