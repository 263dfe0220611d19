//! The way to Redis, alone or a cluster.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, RedisError, ToRedisArgs, Value};
use sha2::{Digest as _, Sha256};

use crate::{CounterKey, Error};

/// The functions, before their version is known.
const FUNCTIONS: &str = include_str!("counter.lua");
/// Of a call of a cluster: to connect, to learn who has the counter, to call, to go where that is.
const ROUND_TRIPS: u32 = 4;
/// Stands there for the version.
const VERSION_HERE: &str = "@version@";

/// The functions, by whose text their names are told from those of another release: both may serve at once.
static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let digest = Sha256::digest(FUNCTIONS);
    let version: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Library {
        text: FUNCTIONS.replace(VERSION_HERE, &version),
        names: Function::ALL.map(|function| format!("tenantry_{version}_{}", function.word())),
        version,
    }
});

struct Library {
    version: String,
    text: String,
    /// The functions' names, in the order of [`Function`].
    names: [String; Function::ALL.len()],
}

/// One of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Spend,
    GiveBack,
    Lease,
    EndLease,
    Open,
    Grant,
    Close,
    Look,
}

impl Function {
    const ALL: [Self; 8] = [
        Self::Spend,
        Self::GiveBack,
        Self::Lease,
        Self::EndLease,
        Self::Open,
        Self::Grant,
        Self::Close,
        Self::Look,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Spend => "spend",
            Self::GiveBack => "give_back",
            Self::Lease => "lease",
            Self::EndLease => "end_lease",
            Self::Open => "open",
            Self::Grant => "grant",
            Self::Close => "close",
            Self::Look => "look",
        }
    }
}

/// A call of one of the functions.
pub(crate) struct Call(Cmd);

impl Call {
    pub(crate) fn new<'a>(
        function: Function,
        keys: impl ExactSizeIterator<Item = &'a CounterKey>,
    ) -> Self {
        let mut call = redis::cmd("FCALL");
        call.arg(LIBRARY.names[function as usize].as_str());
        call.arg(keys.len());
        for key in keys {
            call.arg(key.as_str());
        }
        Self(call)
    }

    pub(crate) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.0.arg(argument);
        self
    }
}

/// The counters. Clones share the connection.
#[derive(Clone)]
pub struct Counters {
    connection: Connection,
    within: Duration,
}

#[derive(Clone)]
enum Connection {
    Alone(Arc<Alone>),
    Cluster(ClusterConnection),
}

/// A single Redis, which may have moved: a name leads to another one after a failover, while the one of before still answers, or
/// doesn't.
struct Alone {
    client: Client,
    within: Duration,
    manager: ArcSwap<ConnectionManager>,
}

impl Alone {
    fn new(client: Client, within: Duration) -> Result<Self, RedisError> {
        let manager = ArcSwap::from_pointee(Self::connect(&client, within)?);
        Ok(Self {
            client,
            within,
            manager,
        })
    }

    /// Connects when it is first used, and again when the connection is lost.
    fn connect(client: &Client, within: Duration) -> Result<ConnectionManager, RedisError> {
        let config = ConnectionManagerConfig::new()
            // Each answer is waited for in one place, below.
            .set_response_timeout(None)
            .set_connection_timeout(Some(within))
            .set_number_of_retries(0);
        ConnectionManager::new_lazy_with_config(client.clone(), config)
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Error> {
        let used = self.manager.load_full();
        let mut connection = used.as_ref().clone();
        let answer = in_time(self.within, command.query_async(&mut connection)).await;
        let lost = match &answer {
            Err(Error::Redis(error)) => error.is_timeout() || error.code() == Some("READONLY"),
            Err(Error::Late(_)) => true,
            Err(Error::Amount(_)) | Ok(_) => false,
        };
        if lost {
            // Whoever is first connects anew.
            let next = Arc::new(Self::connect(&self.client, self.within)?);
            self.manager.compare_and_swap(&used, next);
        }
        answer
    }
}

impl Counters {
    /// The counters of a single Redis, connected to when first needed, and again when the connection is lost, or leads to one that
    /// doesn't answer or has become a replica. Each answer is waited for this long.
    ///
    /// # Errors
    /// The URL is none of Redis's.
    pub fn alone(url: &str, within: Duration) -> Result<Self, Error> {
        let alone = Alone::new(Client::open(url)?, within)?;
        let connection = Connection::Alone(Arc::new(alone));
        Ok(Self { connection, within })
    }

    /// The counters of a Redis Cluster, some of whose nodes are at these URLs. Each answer is waited for this long.
    ///
    /// # Errors
    /// A URL is none of Redis's, or no node answers.
    pub async fn cluster(urls: &[String], within: Duration) -> Result<Self, Error> {
        let urls = urls.iter().map(String::as_str);
        // A call whose answer is lost may have been done: to send it again would spend twice.
        let client = ClusterClient::builder(urls)
            .retries(0)
            .response_timeout(within)
            .connection_timeout(within)
            .build()?;
        let connection = Connection::Cluster(client.get_async_connection().await?);
        Ok(Self { connection, within })
    }

    /// Calls a function; a Redis that doesn't have it yet gets the library first.
    pub(crate) async fn ask(&self, Call(call): &Call) -> Result<Value, Error> {
        match self.send(call).await {
            Err(error) if says(&error, "Function not found") => {
                Box::pin(self.load()).await?;
                self.send(call).await
            }
            answer => answer,
        }
    }

    async fn load(&self) -> Result<(), Error> {
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg(&LIBRARY.text);
        match self.send(&load).await {
            // Loaded anew it would forget which counters are open.
            Err(error) if says(&error, "already exists") => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                tracing::info!(
                    version = LIBRARY.version,
                    "the counters' functions are loaded"
                );
                Ok(())
            }
        }
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Error> {
        match &self.connection {
            Connection::Alone(alone) => alone.send(command).await,
            Connection::Cluster(cluster) => {
                let mut cluster = cluster.clone();
                let answer = command.query_async(&mut cluster);
                in_time(self.within * ROUND_TRIPS, answer).await
            }
        }
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// The answer, or that it didn't come in its time.
async fn in_time(
    within: Duration,
    answer: impl Future<Output = Result<Value, RedisError>>,
) -> Result<Value, Error> {
    let answer = tokio::time::timeout(within, answer).await;
    Ok(answer.map_err(|_elapsed| Error::Late(within))??)
}

fn says(error: &Error, what: &str) -> bool {
    match error {
        Error::Redis(error) => error.detail().is_some_and(|detail| detail.contains(what)),
        Error::Late(_) | Error::Amount(_) => false,
    }
}
