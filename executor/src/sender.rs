//! What a person asked for at the command line: one transaction, waited for, with the contract's reason if it is refused.
//!
//! With a database it is stored before it is sent, and takes its nonce beside those who register with the same key: whoever of them looks next sends it again
//! where it was lost, and offers more where it is stuck. Without one, only the node knows which nonce is free.

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
};
use eyre::{Report, WrapErr, bail, ensure, eyre};
use sqlx::PgPool;

use crate::{
    chain::{Chain, SignError, Signed},
    executor::Executor,
    key::Key,
    reconcile::Looks,
    replacement,
    settings::Settings,
    transaction,
};

/// How long an included transaction is waited for: some minutes of blocks on a public network.
const INCLUSION: Duration = Duration::from_secs(300);

/// Sends single transactions of one key.
#[derive(Clone)]
pub struct Sender {
    chain: Chain,
    key: Key,
    /// Where they are stored before; `None`: nowhere.
    store: Option<Executor>,
}

impl Sender {
    /// Stores what it sends in Postgres, which must be migrated. The contract need not be there yet.
    ///
    /// # Errors
    /// Postgres or the node does not answer.
    pub async fn storing(settings: Settings) -> eyre::Result<Self> {
        let key = settings.signer.clone();
        let store = Executor::reach(settings).await?;
        Ok(Self { chain: store.chain.clone(), key, store: Some(store) })
    }

    /// Stores nothing: for a key with which nobody registers. The settings' `postgres_url` is not used.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn plain(settings: &Settings) -> eyre::Result<Self> {
        Ok(Self { chain: Chain::reach(settings).await?, key: settings.signer.clone(), store: None })
    }

    /// What asks the chain's nodes.
    pub fn provider(&self) -> &DynProvider {
        self.chain.provider()
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where what it sends is stored before.
    pub(crate) fn database(&self) -> Option<&PgPool> {
        self.store.as_ref().map(|store| &store.pool)
    }

    /// Who sends, and pays.
    pub fn address(&self) -> Address {
        self.chain.issuer
    }

    /// Sends a call and waits until it is included; returns the transaction's hash.
    ///
    /// # Errors
    /// With the contract's own reason if it refuses, and what to do if the account cannot pay or the chain is dearer than `max_fee_wei`.
    pub async fn send(&self, to: Address, input: Bytes) -> eyre::Result<B256> {
        match &self.store {
            Some(store) => self.send_stored(store, to, input).await,
            None => self.send_plain(to, input).await,
        }
    }

    async fn send_stored(&self, store: &Executor, to: Address, input: Bytes) -> eyre::Result<B256> {
        let mut sql = store.pool.begin().await?;
        store.lock_sender(&mut sql).await?;
        let nonce = transaction::next_nonce(&mut sql, &self.chain).await?;
        let signed = self.sign(to, input, nonce).await?;
        let id = transaction::store(&mut sql, self.chain.issuer, &signed, &[]).await?;
        sql.commit().await?;
        store.broadcast(id, signed.hash, &signed.raw).await?;
        self.await_stored(store, &signed).await
    }

    /// Looks, as the leader does, until the transaction or one that replaced it is included.
    async fn await_stored(&self, store: &Executor, signed: &Signed) -> eyre::Result<B256> {
        let (hash, until) = (signed.hash, Instant::now() + INCLUSION);
        let mut looks = Looks::default();
        while Instant::now() < until {
            if let Err(error) = store.reconcile(&mut looks).await {
                tracing::warn!(error = format!("{error:#}"), "looking again");
            }
            match self.standing(store, signed.nonce).await?.as_ref().map(|(hash, status)| (hash, status.as_str())) {
                Some((hash, "included")) => return Ok(B256::try_from(&hash[..])?),
                Some((_, "signed")) => {}
                Some((_, "reverted")) => bail!(reverted(hash)),
                _ => bail!("transaction {hash} was overtaken by another one with its nonce: run the command again"),
            }
            // The chain tells nobody: it is looked at in intervals.
            tokio::time::sleep(store.settings.poll_interval).await;
        }
        bail!("transaction {hash} is stored and was sent, but is not included yet: `runproof follow` sees to it")
    }

    /// The newest transaction with this nonce, and what is known of it.
    async fn standing(&self, store: &Executor, nonce: u64) -> eyre::Result<Option<(Vec<u8>, String)>> {
        let newest = "select hash, status from executor.transaction where sender = $1 and nonce = $2
                      order by transaction_id desc limit 1";
        let newest = sqlx::query_as(newest).bind(self.chain.issuer.as_slice()).bind(nonce as i64);
        Ok(newest.fetch_optional(&store.pool).await?)
    }

    async fn send_plain(&self, to: Address, input: Bytes) -> eyre::Result<B256> {
        let Signed { hash, raw, .. } = self.sign(to, input, self.chain.next_nonce(true).await?).await?;
        let sent = self.provider().send_raw_transaction(&raw).await;
        let pending = sent.wrap_err("the node did not take the transaction")?;
        let receipt = pending.with_timeout(Some(INCLUSION)).get_receipt().await.wrap_err_with(|| {
            format!(
                "transaction {hash} was sent, but is not included yet: run the command again, it sends nothing twice"
            )
        })?;
        ensure!(receipt.status(), reverted(hash));
        Ok(hash)
    }

    async fn sign(&self, to: Address, input: Bytes, nonce: u64) -> eyre::Result<Signed> {
        let signed = self.chain.sign_call(to, input, nonce).await.map_err(|error| self.not_sent(error))?;
        // A node estimates what nobody can pay for, and what is stored is sent until it is included.
        let balance = self.provider().get_balance(self.address()).await?;
        ensure!(balance >= replacement::most_wei(&signed.raw)?, self.cannot_pay());
        Ok(signed)
    }

    fn not_sent(&self, error: SignError) -> Report {
        match error {
            SignError::Refused(reason) => eyre!("the contract refuses: {reason}"),
            SignError::NotEstimated(reason) if reason.to_lowercase().contains("insufficient funds") => {
                self.cannot_pay()
            }
            SignError::TooDear { base_fee_wei, max_fee_wei } => eyre!(
                "nothing was sent: a block costs {base_fee_wei} wei a gas, and `max_fee_wei` of [executor] is {max_fee_wei}: wait until it is cheaper, or raise it"
            ),
            other => other.into(),
        }
    }

    fn cannot_pay(&self) -> Report {
        eyre!("account {} cannot pay for the transaction: send it some ether on this chain", self.address())
    }
}

fn reverted(hash: B256) -> Report {
    eyre!("transaction {hash} was included, but reverted: run the command again to see why")
}
