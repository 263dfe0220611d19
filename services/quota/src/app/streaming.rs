//! Calls that stay open both ways: what comes of one tenant is decided as it comes, so much of it at once, and each is answered by itself.
//!
//! What comes is always read: what lay unread would count against the connection, which others share (h2 ends one that holds too many
//! small frames). So a caller that is too far ahead of its answers isn't held up, but refused.

use std::collections::VecDeque;
use std::pin::pin;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt as _};
use tenantry_core::{Refusal, RequestContext};
use tenantry_rpc::tenant_stream::{END_WITHIN, Stop};
use tenantry_rpc::tenants::TenantEntry;
use tokio::sync::mpsc;

use super::App;
use crate::error::Error;

/// How much a stream has under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most messages that are decided at once.
    pub(crate) at_once: usize,
    /// Most that aren't answered.
    pub(crate) ahead: usize,
}

impl App {
    /// Decides what comes. What is under way when the stream must end may count, and isn't answered.
    pub(crate) async fn converse<Q, A, F>(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        (messages, bounds): (
            impl Stream<Item = Result<Q, Refusal>> + Send + 'static,
            Bounds,
        ),
        decide: impl Fn(Q) -> F + Send + Sync + 'static,
    ) -> Result<mpsc::Receiver<Result<A, Refusal>>, Error>
    where
        Q: Send + 'static,
        A: Send + 'static,
        F: Future<Output = A> + Send,
    {
        let open = self.streams.open(ctx, tenant, &self.stream_slots).await?;
        let (sender, receiver) = mpsc::channel(1);
        self.tasks.spawn("stream of uses", async move {
            let telling = tell(messages, bounds, decide, &sender);
            if let Err(Stop::Ended(refusal)) = open.run(telling).await {
                // A client that doesn't read isn't waited for.
                let _ = tokio::time::timeout(END_WITHIN, sender.send(Err(refusal))).await;
            }
        });
        Ok(receiver)
    }
}

/// Answers all that comes.
async fn tell<Q, A, F: Future<Output = A>>(
    messages: impl Stream<Item = Result<Q, Refusal>>,
    Bounds { at_once, ahead }: Bounds,
    decide: impl Fn(Q) -> F,
    sender: &mpsc::Sender<Result<A, Refusal>>,
) -> Result<(), Stop> {
    let mut messages = pin!(messages);
    let mut waiting = VecDeque::new();
    let mut deciding = FuturesUnordered::new();
    let mut answers = VecDeque::new();
    let mut all_came = false;
    while !(all_came && deciding.is_empty() && answers.is_empty()) {
        tokio::select! {
            message = messages.next(), if !all_came => match message {
                None => all_came = true,
                Some(message) => {
                    let message = message.map_err(Stop::Ended)?;
                    if waiting.len() + deciding.len() + answers.len() >= ahead {
                        return Err(Stop::Ended(too_far_ahead(ahead)));
                    }
                    waiting.push_back(message);
                }
            },
            Some(answer) = deciding.next() => answers.push_back(answer),
            place = sender.reserve(), if !answers.is_empty() => {
                let place = place.map_err(|_gone| Stop::ClientGone)?;
                if let Some(answer) = answers.pop_front() {
                    place.send(Ok(answer));
                }
            }
        }
        while deciding.len() < at_once
            && let Some(message) = waiting.pop_front()
        {
            deciding.push(decide(message));
        }
    }
    Ok(())
}

fn too_far_ahead(ahead: usize) -> Refusal {
    Refusal::overloaded(format!(
        "More than {ahead} messages of this stream aren't answered. Read the answers while you send, wait for some of them before you go on, and send again what wasn't answered."
    ))
}
