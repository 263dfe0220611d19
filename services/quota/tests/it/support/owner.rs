//! A stand-in for identity, which is asked what became of holds.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tenantry_proto::internal::identity::v1::seat_service_server::{SeatService, SeatServiceServer};
use tenantry_proto::internal::identity::v1::{SettleSeatsRequest, SettleSeatsResponse};
use tenantry_rpc::Tasks;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What it keeps, or nothing while it has no answer.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    there: Arc<Mutex<Option<HashSet<String>>>>,
    asked: Arc<AtomicUsize>,
    address: String,
}

impl Owner {
    /// One that keeps nothing.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let owner = Self {
            there: Arc::new(Mutex::new(Some(HashSet::new()))),
            asked: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(SeatServiceServer::new(owner.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Tasks::new().spawn("owner", async move { serving.await.unwrap() });
        owner
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Keeps these, and answers.
    pub(crate) fn keep(&self, items: &[String]) {
        *self.there.lock().unwrap() = Some(items.iter().cloned().collect());
    }

    /// Has no answer from now on.
    pub(crate) fn be_silent(&self) {
        *self.there.lock().unwrap() = None;
    }

    /// How often it was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl SeatService for Owner {
    async fn settle_seats(
        &self,
        request: Request<SettleSeatsRequest>,
    ) -> Result<Response<SettleSeatsResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let there = self.there.lock().unwrap().clone();
        let there = there.ok_or_else(|| Status::unavailable("no answer"))?;
        let seats = request.into_inner().seats.into_iter();
        let taken = seats.filter(|seat| there.contains(seat)).collect();
        Ok(Response::new(SettleSeatsResponse { taken }))
    }
}
