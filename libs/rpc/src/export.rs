//! Exports: a body that comes in parts, and whose last record says how it ended.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use tenantry_core::Refusal;
use tenantry_proto::google::api::HttpBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::status::status;
use crate::tenant_stream::{END_WITHIN, Stop};

/// A part is handed on once it has grown this large, and at the end of what was read.
pub const PART_BYTES: usize = 256 * 1024;
/// Most parts that wait for a slow client.
const WAITING: usize = 2;

/// Some whole records of an export.
#[derive(Debug)]
pub struct Part {
    bytes: Vec<u8>,
    /// Why the export breaks off behind them, where it does.
    broken_off: Option<Refusal>,
}

/// Where an export's parts are handed on.
#[derive(Debug)]
pub struct Client(mpsc::Sender<Part>);

/// An export on the wire.
pub type Parts = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

/// The two ends of an export.
#[must_use]
pub fn parts() -> (Client, mpsc::Receiver<Part>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Client(sender), receiver)
}

impl Client {
    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Hands on what was written, which is taken once there is a place for it: where this is cancelled as it waits, the last part has
    /// it.
    ///
    /// # Errors
    /// [`Stop::ClientGone`].
    pub async fn hand_on(&self, take: impl FnOnce() -> Vec<u8>) -> Result<(), Stop> {
        let place = self.0.reserve().await.map_err(|_| Stop::ClientGone)?;
        place.send(Part {
            bytes: take(),
            broken_off: None,
        });
        Ok(())
    }

    /// Hands on the last records. A client that doesn't read isn't waited for.
    pub async fn end(&self, bytes: Vec<u8>, broken_off: Option<Refusal>) {
        let last = Part { bytes, broken_off };
        let _ = tokio::time::timeout(END_WITHIN, self.0.send(last)).await;
    }
}

/// An export on the wire. One that broke off says so in its last record, for REST, and then by a status, for gRPC.
#[must_use]
pub fn on_the_wire(parts: mpsc::Receiver<Part>, content_type: &'static str) -> Parts {
    Box::pin(ReceiverStream::new(parts).flat_map(move |part| {
        let body = HttpBody {
            content_type: content_type.to_owned(),
            data: part.bytes.into(),
        };
        let broken_off = part.broken_off.map(|refusal| Err(status(refusal)));
        stream::iter([Some(Ok(body)), broken_off].into_iter().flatten())
    }))
}
