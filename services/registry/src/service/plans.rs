//! The plan catalogue.

use tenantry_proto::registry::v1::plan_service_server::PlanService;
use tenantry_proto::registry::v1::{GetPlanRequest, ListPlansRequest, ListPlansResponse, Plan};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Plans {
    app: App,
}

impl Plans {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl PlanService for Plans {
    async fn get_plan(&self, request: Request<GetPlanRequest>) -> Result<Response<Plan>, Status> {
        answer(async {
            let name = open(request)?.message.plan;
            if name.is_empty() {
                return Err(Error::PlanNotFound.into());
            }
            Ok(convert::plan(self.app.plan(&name)?))
        })
        .await
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        answer(async {
            open(request)?;
            Ok(ListPlansResponse {
                plans: self.app.plans().iter().map(convert::plan).collect(),
            })
        })
        .await
    }
}
