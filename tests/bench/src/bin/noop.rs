//! A server that does nothing but answer, with the same messages and the same transport as the services: what an RPC costs
//! where no work is done. The other benchmarks start it.

use anyhow::{Context as _, Result};
use prost::Message as _;
use tenantry_proto::envoy::service::auth::v3::authorization_server::{
    Authorization, AuthorizationServer,
};
use tenantry_proto::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tenantry_proto::registry::v1::project_service_server::{ProjectService, ProjectServiceServer};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ListProjectsResponse, Project,
    UpdateProjectRequest,
};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[derive(Clone)]
struct Noop {
    /// What the gateway is answered.
    answer: CheckResponse,
}

#[tonic::async_trait]
impl Authorization for Noop {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }
}

#[tonic::async_trait]
impl ProjectService for Noop {
    async fn create_project(
        &self,
        _: Request<CreateProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_project(
        &self,
        _: Request<GetProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list_projects(
        &self,
        _: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn update_project(
        &self,
        _: Request<UpdateProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || {
        arguments
            .next()
            .context("noop <address> <file of the answer>")
    };
    let address = argument()?.parse()?;
    let answer = CheckResponse::decode(std::fs::read(argument()?)?.as_slice())?;
    let noop = Noop { answer };
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    Server::builder()
        .tcp_nodelay(true)
        .add_service(health)
        .add_service(AuthorizationServer::new(noop.clone()))
        .add_service(ProjectServiceServer::new(noop))
        .serve(address)
        .await?;
    Ok(())
}
