//! Mails: written down in the transaction of the change that they tell of, and sent afterwards by whichever replica is
//! free. One that can't be sent is tried again, less and less often, while it is of use. That it is handed to a server is
//! noted before: where a replica, or the server, then goes without a word, it may be sent again, but only so often.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_core::{RequestContext, clock, random};
use tenantry_rpc::Tasks;
use tenantry_store::TenantTx;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::App;
use crate::domain::mail::{self, MOST_A_DAY, MOST_WAITING, Mail, MailState};
use crate::error::Error;
use crate::mail::{ANSWER_WITHIN, Mailer, OFFER_WITHIN, Offered, Unsent};
use crate::store;
use crate::store::mails::{New, PutOff, Shares, Waiting};

/// Most mails that one replica sends at once.
const AT_ONCE: usize = 20;
/// Most of them that are one tenant's, on all replicas together: recipients that say nothing hold up their own tenant only.
const OF_A_TENANT: i64 = 4;
/// The same of the platform, whose mails are those of people of all tenants.
const OF_THE_PLATFORM: i64 = 10;
/// How long a replica has a mail for itself: first, and from when on it hands it over.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
const HANDED_OVER_LEASE: SignedDuration = SignedDuration::from_mins(12);
/// Another replica may take the mail only once this one's try is over.
const _: () = assert!(
    OFFER_WITHIN.as_secs().cast_signed() < LEASE.as_secs()
        && ANSWER_WITHIN.as_secs().cast_signed() < HANDED_OVER_LEASE.as_secs()
);
/// Most tries to note what became of a mail while the database is away.
const MOST_NOTES: usize = 20;
/// How often it is looked for what is due again, or was left behind by a replica that went.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Most mails that one look removes because they are of no use any more.
const SWEEP_ROWS: i64 = 1_000;

impl App {
    /// Writes a mail down in the transaction of the change that it tells of, in the place of one about the same that still
    /// waits. Comes after the event: the counter that it took lets one change of the tenant pass at a time, so what is
    /// counted here is exact. [`Self::mails_wait`] comes after the commit.
    pub(super) async fn post(
        &self,
        ctx: &RequestContext,
        tx: &mut TenantTx,
        about: Uuid,
        mail: &Mail,
    ) -> Result<(), Error> {
        if self.mail.is_none() {
            return Ok(());
        }
        admit(ctx, tx).await?;
        if store::mails::waiting(tx, MOST_WAITING).await? >= MOST_WAITING {
            return Err(Error::LimitReached(format!(
                "{MOST_WAITING} mails wait to be sent already. Try again once some have gone."
            )));
        }
        let id = uuid::Builder::from_random_bytes(random::bytes()).into_uuid();
        let tenant = tx.scope();
        let plain = serde_json::to_vec(mail).map_err(tenantry_store::Error::Corrupt)?;
        let sealed = self
            .store
            .sealer()
            .seal(&mail::sealed_for(tenant, id), &plain);
        let new = New {
            id,
            about,
            kind: mail.letter.kind(),
            sealed: &sealed,
            ends_at: mail.letter.ends_at(clock::now()),
        };
        store::mails::put(tx, &new).await
    }

    /// Has the worker look: mails were written down, or there is room for one more.
    pub(super) fn mails_wait(&self) {
        self.mail_written.notify_one();
    }

    /// Sends what was written down, until cancelled. What fails is tried again at its next time.
    pub(crate) async fn send_mails(self: Arc<Self>, tasks: Tasks) {
        let Some(mailer) = self.mail.clone() else {
            return tasks.cancelled().await;
        };
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            if let Err(error) = self.fill(&slots, &mailer, &tasks).await {
                tracing::warn!(error = %error, "mails were not taken up");
            }
            tokio::select! {
                () = tasks.cancelled() => return,
                () = self.mail_written.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Begins to send what is due, each mail in a task of its own, while there are slots.
    async fn fill(
        self: &Arc<Self>,
        slots: &Arc<Semaphore>,
        mailer: &Mailer,
        tasks: &Tasks,
    ) -> Result<(), Error> {
        self.give_up_mails().await?;
        while !tasks.token().is_cancelled() && slots.available_permits() > 0 {
            let taken = self.take_mails(slots.available_permits()).await?;
            if taken.is_empty() {
                break;
            }
            for waiting in taken {
                let slot = Arc::clone(slots).acquire_owned().await;
                let (app, mailer, its_tasks) = (Arc::clone(self), mailer.clone(), tasks.clone());
                // One that panics is let go, and is taken up again once its lease is over.
                tasks.spawn("mail", async move {
                    app.try_to_send(&mailer, &waiting, &its_tasks).await;
                    drop(slot);
                    app.mails_wait();
                });
            }
        }
        Ok(())
    }

    async fn take_mails(&self, most: usize) -> Result<Vec<Waiting>, Error> {
        let shares = Shares {
            most: i64::try_from(most).unwrap_or(i64::MAX),
            of_a_tenant: OF_A_TENANT,
            of_the_platform: OF_THE_PLATFORM,
        };
        let mut tx = self.store.platform().await?;
        let taken = store::mails::take(&mut tx, shares, LEASE).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Gives up some that are of no use any more.
    async fn give_up_mails(&self) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let ended = store::mails::ended(&mut tx, SWEEP_ROWS).await?;
        if ended.is_empty() {
            return Ok(());
        }
        store::mails::hold_invitations(&mut tx, &ended).await?;
        store::mails::remove(&mut tx, &ended, MailState::Failed).await?;
        tx.commit().await?;
        let mails = ended.len();
        tracing::error!(mails, "mails couldn't be sent while they were of use");
        Ok(())
    }

    /// Tries to send a mail, and notes what became of it.
    async fn try_to_send(&self, mailer: &Mailer, waiting: &Waiting, tasks: &Tasks) {
        let offered = tokio::select! {
            offered = self.offer(mailer, waiting) => offered,
            () = tasks.cancelled() => Err(Unsent::Later("this replica ends".to_owned())),
        };
        let sent = match offered {
            Ok(offered) => match self.hand_over(waiting).await {
                Ok(true) => offered.hand_over().await,
                Ok(false) => return,
                Err(error) => Err(Unsent::Later(error.to_string())),
            },
            Err(unsent) => Err(unsent),
        };
        if let Err(unsent) = &sent {
            let (tries, kind) = (waiting.tries, &waiting.kind);
            tracing::warn!(mail.kind = kind, mail.tries = tries, error = %unsent, "a mail was not sent");
        }
        self.note(waiting, &sent, tasks).await;
    }

    async fn offer(&self, mailer: &Mailer, waiting: &Waiting) -> Result<Offered, Unsent> {
        if waiting.unanswered >= mail::MOST_UNANSWERED {
            return Err(Unsent::Never("no answer to it came so far".to_owned()));
        }
        let Some(mail) = self.unsealed(waiting) else {
            // Another replica may have the key, or the version, for it.
            tracing::error!(mail.kind = waiting.kind, "a mail can't be read here");
            return Err(Unsent::Later("it can't be read".to_owned()));
        };
        mailer.offer(&mail).await
    }

    /// Notes that a mail is being handed over; `false` where it isn't to go any more.
    async fn hand_over(&self, waiting: &Waiting) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        let noted = store::mails::hand_over(&mut tx, waiting, HANDED_OVER_LEASE).await?;
        tx.commit().await?;
        Ok(noted)
    }

    fn unsealed(&self, waiting: &Waiting) -> Option<Mail> {
        let sealed_for = mail::sealed_for(waiting.ids.tenant, waiting.ids.id);
        let plain = self
            .store
            .sealer()
            .open(&sealed_for, &waiting.sealed)
            .ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Notes what became of a try, also when the database is away for a while: a mail that went unnoted goes again.
    async fn note(&self, waiting: &Waiting, sent: &Result<(), Unsent>, tasks: &Tasks) {
        for _ in 0..MOST_NOTES {
            let Err(error) = self.settle_mail(waiting, sent).await else {
                return;
            };
            tracing::warn!(error = %error, "what became of a mail was not noted");
            tokio::select! {
                () = tasks.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn settle_mail(&self, waiting: &Waiting, sent: &Result<(), Unsent>) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let one = [waiting.ids];
        store::mails::hold_invitations(&mut tx, &one).await?;
        let over = match sent {
            Ok(()) => Some(MailState::Sent),
            Err(unsent) if is_final(unsent, waiting) => Some(MailState::Failed),
            Err(_) => None,
        };
        if let Some(state) = over {
            store::mails::remove(&mut tx, &one, state).await?;
        } else {
            let (wait, how) = match sent {
                Err(Unsent::Unanswered(_)) => (
                    mail::unanswered_wait(waiting.unanswered + 1),
                    PutOff::Unanswered,
                ),
                Err(Unsent::Doubtful(_)) => (mail::back_off(waiting.tries), PutOff::Doubted),
                Ok(()) | Err(_) => (mail::back_off(waiting.tries), PutOff::Answered),
            };
            store::mails::put_off(&mut tx, waiting, wait, how).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Whether a mail is given up after this try.
const fn is_final(unsent: &Unsent, waiting: &Waiting) -> bool {
    match unsent {
        Unsent::Later(_) => false,
        Unsent::Doubtful(_) => waiting.doubted,
        Unsent::Unanswered(_) => waiting.unanswered + 1 >= mail::MOST_UNANSWERED,
        Unsent::Never(_) => true,
    }
}

/// Counts one more mail of the tenant, and refuses one too many: whoever may have a tenant of their own must not have mail
/// for all the world with it. Those to people who forgot their password are the platform's, and are bounded by address and
/// network; operators aren't bounded.
async fn admit(ctx: &RequestContext, tx: &mut TenantTx) -> Result<(), Error> {
    if tx.scope().is_platform() {
        return Ok(());
    }
    if store::mails::count_today(tx).await? <= MOST_A_DAY || ctx.is_operator() {
        return Ok(());
    }
    Err(Error::LimitReached(format!(
        "The tenant had {MOST_A_DAY} mails sent today, invitations and welcomes together, which is the most. Go on after midnight UTC, or ask the people who run the platform."
    )))
}
