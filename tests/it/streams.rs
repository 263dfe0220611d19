//! Streams of uses through the gateway: each side hears the other while both go on, and a stream ends with the right to it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tenantry_proto::quota::v1::quota_service_client::QuotaServiceClient;
use tenantry_proto::quota::v1::{ConsumeQuotaRequest, StreamConsumeQuotaRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use crate::support::dynamic::gateway_channel;
use crate::support::fleet;
use crate::support::world::{Party, set_status};

/// Within what a stream ends with the right to it.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

fn one(tenant: &str, sequence: i64) -> StreamConsumeQuotaRequest {
    StreamConsumeQuotaRequest {
        tenant: tenant.to_owned(),
        sequence,
        r#use: Some(ConsumeQuotaRequest {
            resource_type: "alerts".to_owned(),
            ..Default::default()
        }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_use_is_answered_before_the_next_is_sent_until_the_tenant_goes_out_of_use()
-> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let mut quotas = QuotaServiceClient::new(gateway_channel(fleet).await?);
    let (sender, receiver) = mpsc::channel(1);
    sender.send(one(&party.id, 0)).await?;
    let mut request = Request::new(ReceiverStream::new(receiver));
    let bearer = format!("Bearer {}", party.key);
    request
        .metadata_mut()
        .insert("authorization", bearer.parse()?);
    let mut answers = quotas.stream_consume_quota(request).await?.into_inner();
    for n in 0..10 {
        let answer = answers.message().await?.context("an answer")?;
        assert_eq!(answer.sequence, n);
        let decision = answer.result.and_then(|result| result.decision);
        assert_eq!(decision.context("a decision")?.usage, n + 1);
        sender.send(one(&party.id, n + 1)).await?;
    }
    answers.message().await?.context("the last answer")?;
    set_status(fleet, &party.id, "suspended").await?;
    let ended = tokio::time::timeout(ENDS_WITHIN, answers.message()).await;
    let ended = ended.context("an end in time")?.unwrap_err();
    let told = tenantry_rpc::status::refusal(&ended).context("a reason")?;
    assert!(
        ["STREAM_TENANT_STATUS", "STREAM_CREDENTIAL_ENDED"].contains(&told.reason.word()),
        "{}",
        told.reason.word()
    );
    Ok(())
}
