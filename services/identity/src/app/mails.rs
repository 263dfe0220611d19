//! Mails: written down in the transaction of the change that they tell of, and sent afterwards by whichever replica is
//! free. One that can't be sent is tried again, less and less often, while it is of use. A replica that ends between sending
//! and noting it has it sent twice: at least once, seldom more.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_core::{RequestContext, clock, random};
use tenantry_rpc::Tasks;
use tenantry_store::TenantTx;
use uuid::Uuid;

use super::App;
use crate::domain::mail::{self, MOST_A_DAY, MOST_WAITING, Mail, MailState};
use crate::error::Error;
use crate::mail::{Mailer, Unsent};
use crate::store;
use crate::store::mails::{New, Waiting};

/// Most mails that one replica sends at once.
const BATCH: i64 = 20;
/// How long a replica has them for itself: longer than sending takes.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
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

    /// Tells that mails were written down.
    pub(super) fn mails_wait(&self) {
        self.mail_written.notify_one();
    }

    /// Sends what was written down, until cancelled. What fails is tried again at its next time.
    pub(crate) async fn send_mails(self: Arc<Self>, tasks: Tasks) {
        let Some(mailer) = &self.mail else {
            return tasks.cancelled().await;
        };
        loop {
            while !tasks.token().is_cancelled() {
                match self.send_some(mailer).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(error = %error, "mails were not taken up, or not noted as sent");
                        break;
                    }
                }
            }
            tokio::select! {
                () = tasks.cancelled() => return,
                () = self.mail_written.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends some; `false` where no more were due.
    async fn send_some(&self, mailer: &Mailer) -> Result<bool, Error> {
        let taken = self.take_mails().await?;
        if taken.is_empty() {
            return Ok(false);
        }
        let sent = taken.iter().map(|waiting| self.send(mailer, waiting));
        let sent = futures::future::join_all(sent).await;
        self.settle_mails(&taken, &sent).await?;
        Ok(i64::try_from(taken.len()).unwrap_or(BATCH) == BATCH)
    }

    async fn take_mails(&self) -> Result<Vec<Waiting>, Error> {
        self.give_up_mails().await?;
        let mut tx = self.store.platform().await?;
        let taken = store::mails::take(&mut tx, BATCH, LEASE).await?;
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

    async fn send(&self, mailer: &Mailer, waiting: &Waiting) -> Result<(), Unsent> {
        let sent = match self.unsealed(waiting) {
            Some(mail) => mailer.send(&mail).await,
            None => Err(Unsent::Never("it was sealed with another key".to_owned())),
        };
        if let Err(unsent) = &sent {
            let (tries, kind) = (waiting.tries, &waiting.kind);
            tracing::warn!(mail.kind = kind, mail.tries = tries, error = %unsent, "a mail was not sent");
        }
        sent
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

    /// Notes what went and what didn't.
    async fn settle_mails(
        &self,
        taken: &[Waiting],
        sent: &[Result<(), Unsent>],
    ) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let all: Vec<_> = taken.iter().map(|waiting| waiting.ids).collect();
        store::mails::hold_invitations(&mut tx, &all).await?;
        let (mut gone, mut given_up) = (Vec::new(), Vec::new());
        for (waiting, sent) in taken.iter().zip(sent) {
            match sent {
                Ok(()) => gone.push(waiting.ids),
                Err(Unsent::Never(_)) => given_up.push(waiting.ids),
                Err(Unsent::Later(_)) => {
                    let wait = mail::back_off(waiting.tries);
                    store::mails::put_off(&mut tx, waiting.ids, wait).await?;
                }
            }
        }
        store::mails::remove(&mut tx, &gone, MailState::Sent).await?;
        store::mails::remove(&mut tx, &given_up, MailState::Failed).await?;
        Ok(tx.commit().await?)
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
