//! A client of the public stream, as the contract asks it to be.

use std::collections::BTreeMap;

use tenantry_proto::registry::v1::watch_tenants_response::Item;
use tenantry_proto::registry::v1::{
    StreamEnd, TenantChange, WatchTenantsRequest, WatchTenantsResponse,
};
use tenantry_rpc::assertion::Claims;
use tonic::{Status, Streaming};

use crate::support::{Replica, soon};

/// Where a client is: the token to go on with, and the versions that it had in the first, complete state.
#[derive(Clone, Default)]
pub(super) struct Position {
    pub(super) token: String,
    pub(super) state: BTreeMap<String, i64>,
}

/// A stream as its client keeps it.
pub(super) struct Watch {
    pub(super) stream: Streaming<WatchTenantsResponse>,
    pub(super) position: Position,
}

impl Watch {
    pub(super) async fn open(replica: &Replica, claims: &Claims) -> Self {
        Self::resume(replica, claims, Position::default()).await
    }

    pub(super) async fn resume(replica: &Replica, claims: &Claims, position: Position) -> Self {
        let request = WatchTenantsRequest {
            resume_token: position.token.clone(),
        };
        let opened = replica.tenants(claims).watch_tenants(request).await;
        Self {
            stream: opened.unwrap().into_inner(),
            position,
        }
    }

    /// Opens a stream and reads the first state to its end.
    pub(super) async fn open_whole(replica: &Replica, claims: &Claims) -> Self {
        let mut watch = Self::open(replica, claims).await;
        soon(async {
            while watch.position.token.is_empty() {
                watch.item().await.unwrap();
            }
        })
        .await;
        watch
    }

    /// The next item that is news: a change that the first state held already is not.
    pub(super) async fn item(&mut self) -> Result<Option<Item>, Status> {
        loop {
            let Some(response) = self.stream.message().await? else {
                return Ok(None);
            };
            if !response.resume_token.is_empty() {
                self.position.token = response.resume_token;
            }
            if let Some(Item::Change(change)) = &response.item {
                let id = change.tenant.as_ref().unwrap().id.clone();
                if change.action.is_empty() {
                    self.position.state.insert(id, change.version);
                } else if self.position.state.get(&id) >= Some(&change.version) {
                    continue;
                }
            }
            return Ok(response.item);
        }
    }

    /// The next change, past bookmarks.
    pub(super) async fn change(&mut self) -> TenantChange {
        soon(async {
            loop {
                match self.item().await.unwrap().unwrap() {
                    Item::Change(change) => return change,
                    Item::Bookmark(_) | Item::Plan(_) => {}
                    Item::End(end) => panic!("ended: {end:?}"),
                }
            }
        })
        .await
    }

    /// The in-band end and the status behind it, and the changes before them.
    pub(super) async fn until_end(mut self) -> (Vec<TenantChange>, StreamEnd, Status) {
        soon(async {
            let mut changes = Vec::new();
            loop {
                match self.item().await.unwrap().unwrap() {
                    Item::Change(change) => changes.push(change),
                    Item::Bookmark(_) | Item::Plan(_) => {}
                    Item::End(end) => return (changes, end, self.item().await.unwrap_err()),
                }
            }
        })
        .await
    }
}
