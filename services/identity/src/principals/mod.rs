//! Who holds which credential, in memory. An entry is believed while the feed of changes is fresh and names nothing of
//! it; a warm look-up asks no database.

mod changes;
mod readings;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tenantry_core::{ApiKeyId, IdentityProviderId, ServiceAccountId, SessionId, TenantId, UserId};
use tenantry_rpc::Tasks;
use tenantry_store::Store;
use tenantry_store::feed::Tail;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::domain::api_key::Presented;
use crate::domain::principal::{Account, Key, SignedIn, Standing};
use crate::error::Error;
use crate::store;
use changes::Changes;
use readings::Readings;

/// Most holders remembered.
const ENTRIES: u64 = 200_000;
/// Longest life of an entry, whatever the feed says.
const LIFE: Duration = Duration::from_secs(60);
/// Most credentials remembered that nobody holds: anyone can make such up, so they never crowd out the holders.
const ABSENT_ENTRIES: u64 = 10_000;
/// Longest life of the memory that nobody holds a credential.
const ABSENT_LIFE: Duration = Duration::from_secs(5);
/// How old the feed may be before entries are read anew instead.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for one reading; the gateway itself waits two seconds.
const FILL_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Readings at once, each for all who ask for the same holder.
const READINGS: usize = 64;
/// Most who wait for the readings of one holder: an eighth of the questions that a replica takes.
const MOST_WAITING: usize = 512;

/// What a holder is asked for by. What a caller made up as the one is never the other. Who shows a key is known by its whole
/// secret: a wrong secret of a key that exists is as unknown, and costs as much, as one of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Session(SessionId),
    Secret(Presented),
    /// No credential: whoever asks names the key.
    Key(ApiKeyId),
    /// No credential: whoever asks names the user.
    User(UserId),
    /// No credential: whoever asks names the account.
    Account(ServiceAccountId),
}

impl By {
    fn uuid(self) -> Uuid {
        match self {
            Self::Session(id) => id.uuid(),
            Self::Secret(presented) => presented.id.uuid(),
            Self::Key(id) => id.uuid(),
            Self::User(id) => id.uuid(),
            Self::Account(id) => id.uuid(),
        }
    }
}

/// The holder; `None` where there is no such credential, user or account.
#[derive(Clone, Debug)]
enum Holder {
    SignedIn(Option<Arc<SignedIn>>),
    Key(Option<Arc<Key>>),
    User(Option<Arc<Standing>>),
    Account(Option<Account>),
}

impl Holder {
    fn is_absent(&self) -> bool {
        matches!(
            self,
            Self::SignedIn(None) | Self::Key(None) | Self::User(None) | Self::Account(None)
        )
    }
}

#[derive(Clone, Debug)]
struct Entry {
    holder: Holder,
    /// Place in the feed that was applied before the reading.
    filled_at: i64,
    /// Ids whose change makes the entry void: of the credential, of the provider that it came from, of whom it acts for, of
    /// the tenants with which it ends, and of each role that a tenant defined.
    subjects: Arc<[Uuid]>,
}

impl Entry {
    fn new(by: By, holder: Holder, filled_at: i64) -> Self {
        let (acting, standing, tenant) = match &holder {
            Holder::SignedIn(Some(user)) => (
                Some(user.user.uuid()),
                Some(&user.standing),
                user.tenant.map(TenantId::uuid),
            ),
            Holder::User(Some(standing)) => (None, Some(standing), None),
            Holder::Key(Some(key)) => (
                key.service_account.map(ServiceAccountId::uuid),
                None,
                Some(key.tenant.uuid()),
            ),
            Holder::Account(Some(account)) => (None, None, Some(account.tenant.uuid())),
            Holder::SignedIn(None)
            | Holder::User(None)
            | Holder::Key(None)
            | Holder::Account(None) => (None, None, None),
        };
        let provider = match &holder {
            Holder::SignedIn(Some(user)) => user.provider.map(IdentityProviderId::uuid),
            Holder::SignedIn(None) | Holder::Key(_) | Holder::User(_) | Holder::Account(_) => None,
        };
        let memberships = standing.map_or(&[][..], |standing| &standing.memberships);
        // A password that a tenant's people chose reaches that one alone.
        let only = match memberships {
            [only] => Some(only.tenant.uuid()),
            _ => None,
        };
        let roles = memberships
            .iter()
            .flat_map(|m| m.own_roles.iter().map(|role| role.uuid()));
        Self {
            subjects: [by.uuid()]
                .into_iter()
                .chain(provider)
                .chain(acting)
                .chain(tenant)
                .chain(only)
                .chain(roles)
                .collect(),
            holder,
            filled_at,
        }
    }
}

/// The holders of credentials.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    store: Store,
    entries: Cache<By, Entry>,
    absent: Cache<By, Entry>,
    changes: Arc<Changes>,
    readings: Arc<Readings<By, Holder>>,
    readings_at_once: Arc<Semaphore>,
    grace: Duration,
}

impl Principals {
    /// The holders, and the task that follows the changes of them, spawned.
    pub(crate) fn start(store: Store, tail: Tail, grace: Duration, tasks: &Tasks) -> Self {
        let changes = Arc::new(Changes::default());
        tasks.keep(
            "changes of principals",
            Arc::clone(&changes).follow(tail, tasks.token()),
        );
        Self {
            store,
            entries: Cache::builder()
                .max_capacity(ENTRIES)
                .time_to_live(LIFE)
                .build(),
            absent: Cache::builder()
                .max_capacity(ABSENT_ENTRIES)
                .time_to_live(ABSENT_LIFE)
                .build(),
            changes,
            readings: Arc::new(Readings::new(MOST_WAITING)),
            readings_at_once: Arc::new(Semaphore::new(READINGS)),
            grace,
        }
    }

    /// The user of a session.
    pub(crate) async fn signed_in(
        &self,
        session: SessionId,
    ) -> Result<Option<Arc<SignedIn>>, Error> {
        let read = self.read_session(session);
        match self.holder(By::Session(session), read).await? {
            Holder::SignedIn(user) => Ok(user),
            Holder::Key(_) | Holder::User(_) | Holder::Account(_) => Ok(None),
        }
    }

    /// The same, read now: what is remembered may be behind what the user has just become by another replica.
    pub(crate) async fn signed_in_now(
        &self,
        session: SessionId,
    ) -> Result<Option<Arc<SignedIn>>, Error> {
        let id = By::Session(session);
        let read = self.read_and_remember(id, self.read_session(session));
        match tokio::time::timeout(FILL_TIMEOUT, read).await {
            Ok(Ok(Holder::SignedIn(user))) => Ok(user),
            Ok(Ok(Holder::Account(_) | Holder::Key(_) | Holder::User(_))) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(tenantry_core::Refusal::unavailable().into()),
        }
    }

    async fn read_session(&self, session: SessionId) -> Result<Holder, Error> {
        let mut tx = self.store.platform().await?;
        let user = store::principals::signed_in(&mut tx, session).await?;
        Ok(Holder::SignedIn(user.map(Arc::new)))
    }

    /// The key of a secret.
    pub(crate) async fn shown(&self, presented: Presented) -> Result<Option<Arc<Key>>, Error> {
        let read = async {
            let mut tx = self.store.platform().await?;
            let stored = store::principals::key(&mut tx, presented.id).await?;
            let key = stored.and_then(|stored| stored.shown(&presented));
            Ok(Holder::Key(key.map(Arc::new)))
        };
        match self.holder(By::Secret(presented), read).await? {
            Holder::Key(key) => Ok(key),
            Holder::SignedIn(_) | Holder::User(_) | Holder::Account(_) => Ok(None),
        }
    }

    /// A key, whichever of its secrets is shown.
    pub(crate) async fn key(&self, id: ApiKeyId) -> Result<Option<Arc<Key>>, Error> {
        let read = async {
            let mut tx = self.store.platform().await?;
            let stored = store::principals::key(&mut tx, id).await?;
            Ok(Holder::Key(stored.map(|stored| Arc::new(stored.key))))
        };
        match self.holder(By::Key(id), read).await? {
            Holder::Key(key) => Ok(key),
            Holder::SignedIn(_) | Holder::User(_) | Holder::Account(_) => Ok(None),
        }
    }

    /// What a user is, whichever session acts.
    pub(crate) async fn user(&self, id: UserId) -> Result<Option<Arc<Standing>>, Error> {
        let read = async {
            let mut tx = self.store.platform().await?;
            let standing = store::principals::standing(&mut tx, id).await?;
            Ok(Holder::User(standing.map(Arc::new)))
        };
        match self.holder(By::User(id), read).await? {
            Holder::User(standing) => Ok(standing),
            Holder::SignedIn(_) | Holder::Key(_) | Holder::Account(_) => Ok(None),
        }
    }

    /// What a service account may do, whichever of its keys acts.
    pub(crate) async fn account(&self, id: ServiceAccountId) -> Result<Option<Account>, Error> {
        let read = async {
            let mut tx = self.store.platform().await?;
            let account = store::principals::account(&mut tx, id).await?;
            Ok(Holder::Account(account))
        };
        match self.holder(By::Account(id), read).await? {
            Holder::Account(account) => Ok(account),
            Holder::SignedIn(_) | Holder::Key(_) | Holder::User(_) => Ok(None),
        }
    }

    async fn holder(
        &self,
        id: By,
        read: impl Future<Output = Result<Holder, Error>> + Send,
    ) -> Result<Holder, Error> {
        if let Some(holder) = self.known(id, FRESH) {
            return Ok(holder);
        }
        let filled = tokio::time::timeout(FILL_TIMEOUT, self.read_and_remember(id, read));
        let refused = match filled.await {
            Ok(Ok(holder)) => return Ok(holder),
            Ok(Err(error)) => error,
            Err(_elapsed) => tenantry_core::Refusal::unavailable().into(),
        };
        // The database doesn't answer: what was known is believed for the grace.
        self.known(id, self.grace).ok_or(refused)
    }

    /// What is known, if nothing of it changed as far as the feed says, which is at most so old.
    fn known(&self, id: By, feed_age: Duration) -> Option<Holder> {
        let entry = self.entries.get(&id).or_else(|| self.absent.get(&id))?;
        let holds =
            self.changes.age() <= feed_age && self.changes.hold(entry.filled_at, &entry.subjects);
        holds.then_some(entry.holder)
    }

    /// The holder as a reading finds it that begins from now on, with whoever else asks for the same.
    async fn read_and_remember(
        &self,
        id: By,
        read: impl Future<Output = Result<Holder, Error>> + Send,
    ) -> Result<Holder, Error> {
        let reading = self.readings.share(id, self.read_alone(id, read));
        match reading.await {
            Ok(told) => told,
            Err(full) => Err(full.refusal("checks", "of this credential").into()),
        }
    }

    async fn read_alone(
        &self,
        id: By,
        read: impl Future<Output = Result<Holder, Error>> + Send,
    ) -> Result<Holder, Error> {
        let turn = self.readings_at_once.acquire().await;
        let _turn = turn.map_err(|_closed| tenantry_core::Refusal::unavailable())?;
        // Before the reading: what is committed later than the reading has a later place in the feed.
        let position = self.changes.position();
        let holder = read.await?;
        if let Some(filled_at) = position {
            let entry = Entry::new(id, holder.clone(), filled_at);
            if holder.is_absent() {
                self.entries.invalidate(&id);
                self.absent.insert(id, entry);
            } else {
                self.entries.insert(id, entry);
            }
        }
        Ok(holder)
    }
}
