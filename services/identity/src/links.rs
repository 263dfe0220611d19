//! Links for new passwords that people asked for and that wait to be made, in this replica's memory. One network can't fill
//! the queue, so that nobody keeps others from theirs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tenantry_core::RequestContext;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::per_network::PerNetwork;

/// Links that wait; beyond it whoever asks is told to wait, whatever the address.
const MOST_WAITING: usize = 256;
/// Links asked for from one network in a minute: far fewer than may wait.
const MOST_OF_NETWORK: u32 = 60;

/// A link that someone asked for.
#[derive(Debug)]
pub(crate) struct LinkAsked {
    pub(crate) ctx: Arc<RequestContext>,
    pub(crate) email: String,
}

/// Addresses that have a link waiting.
type Waiting = Arc<Mutex<HashSet<String>>>;

/// Where links are asked for.
#[derive(Debug)]
pub(crate) struct Links {
    queue: mpsc::Sender<LinkAsked>,
    waiting: Waiting,
    asked: PerNetwork,
}

/// Where they are taken to be made.
#[derive(Debug)]
pub(crate) struct LinksAsked {
    queue: mpsc::Receiver<LinkAsked>,
    waiting: Waiting,
}

/// An empty queue.
pub(crate) fn queue() -> (Links, LinksAsked) {
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    let waiting = Waiting::default();
    let links = Links {
        queue: sender,
        waiting: Arc::clone(&waiting),
        asked: PerNetwork::new(MOST_OF_NETWORK),
    };
    let asked = LinksAsked {
        queue: receiver,
        waiting,
    };
    (links, asked)
}

impl Links {
    /// Takes note of a link; one more for an address that has one waiting is that one. Nothing of the answer depends on
    /// whether the address signs in.
    pub(crate) fn ask(&self, asked: LinkAsked) -> Result<(), Error> {
        if !self.asked.take(&asked.ctx.origin.ip) {
            return Err(Error::TooManyLinks);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.contains(&asked.email) {
            return Ok(());
        }
        let email = asked.email.clone();
        self.queue.try_send(asked).map_err(|_| Error::LinksFull)?;
        waiting.insert(email);
        Ok(())
    }
}

impl LinksAsked {
    /// The next one, once there is one; the address may ask anew from now on.
    pub(crate) async fn next(&mut self) -> Option<LinkAsked> {
        let next = self.queue.recv().await?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&next.email);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::{Origin, Permissions};

    use super::*;

    fn asked(ip: &str, email: &str) -> LinkAsked {
        let ctx = RequestContext {
            origin: Origin {
                ip: ip.to_owned(),
                ..Origin::default()
            },
            ..RequestContext::of_service("test", Permissions::NONE)
        };
        LinkAsked {
            ctx: Arc::new(ctx),
            email: email.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_network_takes_nobody_elses_place() {
        let (links, mut queue) = queue();
        let mut refused = 0;
        for n in 0..5_000 {
            let flood = asked(&format!("2001:db8:1:2::{n:x}"), &format!("{n}@example.com"));
            match links.ask(flood) {
                Ok(()) => {}
                Err(Error::TooManyLinks) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(refused, 5_000 - MOST_OF_NETWORK);
        links.ask(asked("192.0.2.1", "ann@example.com")).unwrap();
        let mut last = String::new();
        for _ in 0..=MOST_OF_NETWORK {
            last = queue.next().await.unwrap().email;
        }
        assert_eq!(last, "ann@example.com");
    }

    #[tokio::test]
    async fn many_askings_for_one_address_take_one_place() {
        let (links, mut queue) = queue();
        for n in 0..MOST_WAITING + 1 {
            let from = format!("192.0.{}.{}", n / 256, n % 256);
            links.ask(asked(&from, "ann@example.com")).unwrap();
        }
        links.ask(asked("198.51.100.1", "ben@example.com")).unwrap();
        for expected in ["ann@example.com", "ben@example.com"] {
            assert_eq!(queue.next().await.unwrap().email, expected);
        }
        // What is being made waits no more: who asks again gets another.
        links.ask(asked("192.0.2.1", "ann@example.com")).unwrap();
        assert_eq!(queue.next().await.unwrap().email, "ann@example.com");
    }
}
