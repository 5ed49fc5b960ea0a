//! One executor: its engine, its chain, its database.

use std::sync::Arc;

use eyre::Context;
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    chain::Chain, publication::Publication, settings::Settings, site::Documents, step_functions::StepFunctions,
};

/// Connections to Postgres at most.
const CONNECTIONS: u32 = 8;

/// An executor, connected. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: PgPool,
    pub(crate) chain: Chain,
    pub(crate) engine: StepFunctions,
    pub(crate) publication: Option<Arc<Publication>>,
    /// Of the leader that this is; commands have none.
    pub(crate) epoch: Option<i64>,
}

impl Executor {
    /// Connects to Postgres, which must be migrated, and to the chain, which must have the contract. Step Functions is called when needed.
    ///
    /// # Errors
    /// What does not answer, and what to do about it.
    pub async fn connect(settings: Settings) -> eyre::Result<Self> {
        let executor = Self::reach(settings).await?;
        executor.chain.require_contract().await?;
        Ok(executor)
    }

    /// Connects, whether the contract is there or not.
    pub(crate) async fn reach(settings: Settings) -> eyre::Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(&settings.postgres_url)
            .await
            .context("Postgres does not answer: check its URL")?;
        let chain = Chain::reach(&settings).await?;
        let engine = StepFunctions::connect(&settings.aws).await?;
        let documents = Documents {
            database: pool.clone(),
            issuer: chain.issuer,
            registry: chain.registry,
            public_url: settings.public_url.clone(),
            stored: settings.publication.is_some(),
        };
        let publication = Publication::open(&settings, documents).await?.map(Arc::new);
        Ok(Self { settings: Arc::new(settings), pool, chain, engine, publication, epoch: None })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its database.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Its chain, contract and key.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Its engine.
    pub fn step_functions(&self) -> &StepFunctions {
        &self.engine
    }
}
