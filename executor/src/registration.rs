//! Registers what is open: all of it in one transaction, as far as it fits.
//!
//! Batches form by themselves. What is open when nothing is on its way is registered at once; what is captured while a transaction is on its way goes
//! into the next one, of all instances together. What fills transactions does not wait for those before.

use std::time::Instant;

use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    agreement::{Known, Next},
    batch::{Batch, Limits},
    chain::SignError,
    executor::Executor,
    open::Open,
    plan::Registration,
    transaction,
};

/// Transactions that may be on their way. More of one sender a node may drop (geth's `txpool.accountslots`).
const ON_THEIR_WAY: u64 = 16;

/// Instances of which the contract is asked at the same time. Of 10,000 that are open, a transaction has room for a hundred.
const ASKED_AT_ONCE: usize = 32;

/// Where the registration of something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is open.
    Complete,
    /// Something waits: for a transaction to be included, or for the next look.
    Waiting,
}

/// Why what is open is not in a transaction of its own yet: another one is on its way.
#[derive(Debug, Default)]
pub struct Held {
    since: Option<Instant>,
}

impl Executor {
    /// Registers what is open of these. `on_their_way` transactions wait to be included. All are tried; the first failure is returned.
    ///
    /// # Errors
    /// The contract refuses or holds other states, or node or database do not answer.
    pub(crate) async fn register(&self, open: &[Open], on_their_way: u64, held: &mut Held) -> eyre::Result<Progress> {
        match self.register_together(open, on_their_way, held).await {
            Ok(progress) => Ok(progress),
            Err(error) => match error.downcast_ref::<SignError>() {
                Some(SignError::TooDear { .. }) => {
                    tracing::warn!(reason = %error, "not registered yet");
                    Ok(Progress::Waiting)
                }
                // One that is refused must not keep the others from being registered.
                Some(SignError::Refused(_) | SignError::TooMuchGas { .. }) if open.len() > 1 => {
                    tracing::warn!(reason = %error, "refused together; registering each alone");
                    self.register_apart(open).await
                }
                _ => Err(error),
            },
        }
    }

    async fn register_apart(&self, open: &[Open]) -> eyre::Result<Progress> {
        let mut outcome = Ok(Progress::Complete);
        for one in open {
            match self.register_together(&[*one], 0, &mut Held::default()).await {
                Ok(Progress::Complete) => {}
                Ok(Progress::Waiting) => outcome = outcome.map(|_| Progress::Waiting),
                Err(error) => outcome = outcome.and(Err(failed(*one, error))),
            }
        }
        outcome
    }

    async fn register_together(&self, mut open: &[Open], on_their_way: u64, held: &mut Held) -> eyre::Result<Progress> {
        for on_their_way in on_their_way..ON_THEIR_WAY {
            match self.register_next(open, on_their_way, held).await? {
                (_, Some(rest)) => open = rest,
                (progress, None) => return Ok(progress),
            }
        }
        Ok(Progress::Waiting)
    }

    /// Sends one transaction, if there is something for it. If it was full, tells also of which there may be something for another.
    async fn register_next<'a>(
        &self,
        open: &'a [Open],
        on_their_way: u64,
        held: &mut Held,
    ) -> eyre::Result<(Progress, Option<&'a [Open]>)> {
        if open.is_empty() {
            return Ok((Progress::Complete, None));
        }
        let mut sql = self.pool.begin().await?;
        self.lock_sender(&mut sql).await?;
        let mut batch = Batch::new(Limits::of(&self.settings));
        let (outcome, rest) = self.fill(&mut sql, open, &mut batch).await?;
        if batch.is_empty() {
            sql.commit().await?;
            return Ok((outcome?, None));
        }
        if held.holds(&batch, on_their_way, &self.settings) {
            sql.commit().await?;
            return outcome.map(|_| (Progress::Waiting, None));
        }
        let rest = batch.is_full().then_some(rest);
        self.send(sql, batch).await?;
        outcome.map(|_| (Progress::Waiting, rest))
    }

    /// Fills a transaction. Returns what became of those that it looked at, and `open` from the first on that is in it.
    async fn fill<'a>(
        &self,
        sql: &mut Transaction<'_, Postgres>,
        open: &'a [Open],
        batch: &mut Batch,
    ) -> eyre::Result<(eyre::Result<Progress>, &'a [Open])> {
        let on_their_way = self.on_their_way(sql).await?;
        let (mut outcome, mut passed) = (Ok(Progress::Complete), 0);
        for some in open.chunks(ASKED_AT_ONCE) {
            let known = self.known(some, &on_their_way).await?;
            for one in some {
                let added = match self.next_alone(sql, *one, &known).await {
                    Ok(Next::Nothing) => true,
                    Ok(Next::Wait) => {
                        outcome = outcome.map(|_| Progress::Waiting);
                        true
                    }
                    Ok(Next::Register(plan)) => batch.add(plan),
                    Ok(Next::Continue(plan)) => batch.add_after(plan),
                    Err(error) => {
                        outcome = outcome.and(Err(failed(*one, error)));
                        true
                    }
                };
                if !added {
                    return Ok((outcome, &open[passed..]));
                }
                passed += usize::from(batch.is_empty());
            }
        }
        Ok((outcome, &open[passed..]))
    }

    /// What is next of one; what fails leaves nothing behind in the transaction that the others share.
    async fn next_alone(&self, sql: &mut Transaction<'_, Postgres>, open: Open, known: &Known) -> eyre::Result<Next> {
        let mut part = sqlx::Acquire::begin(&mut **sql).await?;
        let next = self.next(&mut part, open, known).await?;
        part.commit().await?;
        Ok(next)
    }

    /// Signs, stores, publishes, and only then sends.
    async fn send(&self, mut sql: Transaction<'_, Postgres>, batch: Batch) -> eyre::Result<()> {
        let nonce = transaction::next_nonce(&mut sql, &self.chain).await?;
        let gas = batch.gas_after_others();
        let plan = batch.into_registrations();
        let calls = plan.iter().map(|registration| registration.call(self.chain.issuer)).collect();
        let signed = self.chain.sign(calls, nonce, gas).await?;
        self.expect_ordinals(&mut sql, &plan).await?;
        let id = transaction::store(&mut sql, self.chain.issuer, &signed, &plan).await?;
        sql.commit().await?;
        tracing::info!(transaction = %signed.hash, nonce, registrations = plan.len(), "registering");
        metrics::histogram!("runproof_executor_registrations_per_transaction").record(plan.len() as f64);
        self.broadcast(id, signed.hash, &signed.raw).await
    }

    /// The protocol names an instance's ordinal before the contract has given it; the receipt corrects it if another came first.
    async fn expect_ordinals(&self, sql: &mut PgConnection, plan: &[Registration]) -> eyre::Result<()> {
        let begun: Vec<_> = plan
            .iter()
            .filter_map(|registration| match registration {
                Registration::Instance(_, instance) => Some(*instance),
                _ => None,
            })
            .collect();
        if begun.is_empty() {
            return Ok(());
        }
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from executor.registration r join executor.transaction t using (transaction_id)
             where r.kind = 'instance' and t.status = 'signed' and t.sender = $1",
        )
        .bind(self.chain.issuer.as_slice())
        .fetch_one(&mut *sql)
        .await?;
        let first = self.chain.instance_count().await? + waiting.unsigned_abs();
        transaction::set_ordinals(sql, begun.into_iter().zip(first..)).await?;
        Ok(())
    }
}

impl Held {
    /// Whether the batch waits for the transaction before it: unless it is full, or has waited long enough.
    fn holds(&mut self, batch: &Batch, on_their_way: u64, settings: &crate::Settings) -> bool {
        if on_their_way == 0 || batch.is_full() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < settings.max_wait {
            return true;
        }
        self.since = None;
        false
    }
}

fn failed(open: Open, error: eyre::Report) -> eyre::Report {
    tracing::error!(%open, error = format!("{error:#}"), "not registered");
    error.wrap_err(format!("registering {open}"))
}
