//! Imports a run recorded elsewhere, of any engine: documents in, the same ids, registrations and publications out.

mod documents;

use alloy::{
    primitives::{Address, Bytes},
    sol_types::SolCall,
};
use runproof_contracts::InstanceRegistry::multicallCall;
use runproof_protocol::{InstanceId, ModelId, StateId, head::Outcome, model::StateSelection};

pub use documents::{Documents, ImportError};
use documents::{Recorded, check};

use crate::{
    captured::store_states,
    chain::{OnChain, Quote},
    executor::Executor,
    open::Open,
    plan::{Captured, OpenStates, open_registrations},
};

/// An imported run, registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// SHA-256 of the model's bytes.
    pub model_id: ModelId,
    /// SHA-256 of the instance document's bytes.
    pub instance_id: InstanceId,
    /// Ids of the states, in order.
    pub states: Vec<StateId>,
    /// How the run ended, if its document says that it has.
    pub outcome: Option<Outcome>,
}

/// The contract's call that registers all of a run at once as `issuer`, for whoever is to send it. `model_registered`: the issuer's model is there.
/// A node relays transactions of 128 KB at most, which are some 3,900 states.
///
/// # Errors
/// If the documents do not fit each other.
pub fn registration(
    documents: &Documents,
    selection: StateSelection,
    issuer: Address,
    model_registered: bool,
) -> Result<Bytes, ImportError> {
    let calls = calls(documents, selection, issuer, None, model_registered)?;
    Ok(multicallCall { calls }.abi_encode().into())
}

/// What is open of these documents, given what the contract holds of them.
fn calls(
    documents: &Documents,
    selection: StateSelection,
    issuer: Address,
    on_chain: Option<OnChain>,
    model_registered: bool,
) -> Result<Vec<Bytes>, ImportError> {
    let recorded = check(documents, selection)?;
    let registered = on_chain.map_or(0, |known| known.count) as usize;
    let open = recorded.states.iter().skip(registered).map(|state| (state.id, state.predecessor)).collect();
    let captured = Captured {
        model: documents.model_id(),
        instance: documents.instance_id(),
        count: recorded.states.len() as u64,
        open: OpenStates::Listed(open),
        ended: recorded.outcome,
    };
    let plan = open_registrations(captured, on_chain, model_registered);
    Ok(plan.iter().map(|registration| registration.call(issuer)).collect())
}

impl Executor {
    /// Imports a run: the documents are kept, hashed and published byte for byte as given. Returns when all of it is registered and included.
    /// Harmless to repeat.
    ///
    /// # Errors
    /// [`ImportError`] before anything is stored, or what did not answer.
    pub async fn import(&self, documents: &Documents, selection: StateSelection) -> eyre::Result<Imported> {
        let recorded = check(documents, selection)?;
        let (model_id, instance_id) = (documents.model_id(), documents.instance_id());
        self.require_model(instance_id, model_id).await?;
        self.require_public(model_id).await?;
        self.store_model(model_id, &recorded.model_name, &documents.model, selection.into()).await?;
        self.store_recorded(model_id, instance_id, &documents.instance, &recorded).await?;
        self.register_until_done(Open::Instance(instance_id)).await?;
        let states = recorded.states.iter().map(|state| state.id).collect();
        Ok(Imported { model_id, instance_id, states, outcome: recorded.outcome })
    }

    /// What [`Executor::import`] would take of the chain, in one transaction; stores and sends nothing.
    ///
    /// # Errors
    /// [`ImportError`], or [`crate::chain::SignError`]: it takes more gas than one transaction may have.
    pub async fn quote_import(&self, documents: &Documents, selection: StateSelection) -> eyre::Result<Quote> {
        self.require_model(documents.instance_id(), documents.model_id()).await?;
        let model_known = self.chain.model_block(documents.model_id()).await?.is_some();
        let on_chain = self.chain.instance(documents.instance_id()).await?;
        let calls = calls(documents, selection, self.chain.issuer, on_chain, model_known)?;
        Ok(self.chain.quote(calls).await?)
    }

    /// An instance that is known stays with its model.
    async fn require_model(&self, instance: InstanceId, model: ModelId) -> eyre::Result<()> {
        let stored: Option<Vec<u8>> =
            sqlx::query_scalar("select model_id from executor.instance where instance_id = $1")
                .bind(instance.as_slice())
                .fetch_optional(&self.pool)
                .await?;
        match stored.map(|stored| ModelId::try_from(&stored[..])).transpose()? {
            Some(stored) if stored != model => Err(ImportError::OtherModel { instance, model: stored }.into()),
            _ => Ok(()),
        }
    }

    /// What is imported is published as it is.
    async fn require_public(&self, model: ModelId) -> eyre::Result<()> {
        let private = "select exists (select from executor.model where model_id = $1 and privacy = 'committed')";
        let private: bool = sqlx::query_scalar(private).bind(model.as_slice()).fetch_one(&self.pool).await?;
        if private { Err(ImportError::Private(model).into()) } else { Ok(()) }
    }

    async fn store_recorded(
        &self,
        model: ModelId,
        instance: InstanceId,
        document: &[u8],
        recorded: &Recorded,
    ) -> eyre::Result<()> {
        let mut sql = self.pool.begin().await?;
        let inserted = sqlx::query(
            "insert into executor.instance (instance_id, model_id, document, ended_as, started_at, privacy) values ($1, $2, $3, $4, $5, 'published')
             on conflict (instance_id) do nothing",
        )
        .bind(instance.as_slice())
        .bind(model.as_slice())
        .bind(document)
        .bind(recorded.outcome.map(|outcome| outcome.to_string()))
        .bind(recorded.started_at)
        .execute(&mut *sql)
        .await?;
        if inserted.rows_affected() == 1 {
            store_states(&mut sql, instance, &recorded.states).await?;
            return Ok(sql.commit().await?);
        }
        let stored: Vec<Vec<u8>> =
            sqlx::query_scalar("select state_id from executor.state where instance_id = $1 order by sequence")
                .bind(instance.as_slice())
                .fetch_all(&mut *sql)
                .await?;
        if !stored.iter().map(Vec::as_slice).eq(recorded.states.iter().map(|state| state.id.as_slice())) {
            return Err(ImportError::OtherStates(instance).into());
        }
        Ok(())
    }
}
