//! What tenants use, for other services of the fleet to show.

use std::sync::Arc;

use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;
use tenantry_proto::internal::quota::v1 as wire;
use tenantry_proto::internal::quota::v1::figure_service_server::FigureService;
use tenantry_rpc::convert::tenant_id;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::domain::limit;

/// Most resource types of a call.
const MOST: usize = 16;

#[derive(Debug)]
pub(crate) struct Figures(pub(crate) Arc<App>);

#[tonic::async_trait]
impl FigureService for Figures {
    async fn get_figures(
        &self,
        request: Request<wire::GetFiguresRequest>,
    ) -> Result<Response<wire::GetFiguresResponse>, Status> {
        answer(async {
            let message = open(request)?.message;
            let tenant = tenant_id(&message.tenant_id)?;
            let names = message.resource_types;
            check(&names)?;
            let figures = self.0.figures(tenant, &names).await?;
            let figures = names.into_iter().zip(figures);
            let figures = figures.map(|(resource_type, standing)| wire::Figure {
                resource_type,
                usage: standing.usage,
                limit: standing.limit,
            });
            Ok(wire::GetFiguresResponse {
                figures: figures.collect(),
            })
        })
        .await
    }
}

fn check(names: &[String]) -> Result<(), Refusal> {
    let mut wrong = Violations::new();
    if !(1..=MOST).contains(&names.len()) {
        wrong.add("resource_types", format!("must be 1 to {MOST}"));
    }
    for name in names {
        wrong.take("resource_types", limit::resource_type(name));
    }
    wrong.check()
}
