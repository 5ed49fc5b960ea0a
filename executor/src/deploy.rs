//! Deploys a model: identified, created on Step Functions, stored for publication, registered.

use std::borrow::Cow;

use alloy::primitives::Address;
use eyre::Context;
use runproof_protocol::{ModelId, model::ModelSettings};
use serde::de::IgnoredAny;

use crate::{
    arn::ExecutionArn, chain::Quote, executor::Executor, hint, model_settings, open::Open, plan::Registration,
};

/// A model that is deployed and registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// SHA-256 of the file's bytes.
    pub model_id: ModelId,
    /// The state machine.
    pub state_machine_arn: String,
}

/// Why a model is not deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Not text, or not a JSON object.
    #[error("the model is not a JSON object in UTF-8: give a state machine in the Amazon States Language")]
    NotJson,
    /// With the account masked, it would be no JSON.
    #[error("the model has a masked account number as a number of JSON: write it as text, in quotation marks")]
    AccountAsNumber,
    /// The selection decides over state ids, so it cannot change.
    #[error(
        "model {model} was deployed with the selection `{stored}`, which decides over the ids of its states: keep it, or deploy a changed file"
    )]
    SelectionDiffers {
        /// The model.
        model: ModelId,
        /// Its selection.
        stored: String,
    },
    /// The privacy decides over state ids too, and what was published cannot be taken back.
    #[error(
        "model {model} was deployed with inputs `{stored}`, which decides over the ids of its states: keep it, or deploy a changed file"
    )]
    PrivacyDiffers {
        /// The model.
        model: ModelId,
        /// Its privacy.
        stored: String,
    },
    /// A model is one state machine.
    #[error("model {model} is deployed as `{stored}`: use that name, or deploy a changed file")]
    NameDiffers {
        /// The model.
        model: ModelId,
        /// Its name.
        stored: String,
    },
    /// No such model was deployed.
    #[error("model {0} is not deployed: deploy it first")]
    NotDeployed(ModelId),
}

impl Executor {
    /// Deploys the model in these bytes, which are published with account numbers masked, as state machine `name`; `participants` may request transitions of the issuer's runs. Returns when the
    /// registration is included. Harmless to repeat.
    ///
    /// # Errors
    /// [`DeployError`], [`crate::step_functions::StepFunctionsError`], or what did not answer.
    pub async fn deploy(
        &self,
        name: &str,
        bytes: &[u8],
        settings: ModelSettings,
        participants: &[Address],
    ) -> eyre::Result<Deployed> {
        let (definition, document) = self.read_model(bytes)?;
        let model_id = ModelId::of(document.as_bytes());
        self.require_deployable(model_id, name, settings).await?;
        // Stored, and so published, only when the engine has taken it.
        let state_machine_arn = self.engine.create_state_machine(name, definition).await?;
        self.store_model(model_id, name, document.as_bytes(), settings).await?;
        self.store_deployment(model_id, name, &state_machine_arn, participants).await?;
        self.register_until_done(Open::Model(model_id)).await.context("registering the model")?;
        tracing::info!(%model_id, state_machine_arn, "model deployed");
        Ok(Deployed { model_id, state_machine_arn })
    }

    /// The id that [`Executor::deploy`] would give the model, and what it would take of the chain; stores and sends nothing.
    ///
    /// # Errors
    /// Those of [`Executor::deploy`] that are known beforehand.
    pub async fn quote_deployment(
        &self,
        name: &str,
        bytes: &[u8],
        settings: ModelSettings,
        participants: &[Address],
    ) -> eyre::Result<(ModelId, Quote)> {
        let model = self.model_id(bytes)?;
        self.require_deployable(model, name, settings).await?;
        let mut plan = Vec::new();
        if self.chain.model_block(model).await?.is_none() {
            plan.push(Registration::Model(model));
        }
        for account in participants {
            if !self.chain.is_participant(*account).await? {
                plan.push(Registration::Participant(*account));
            }
        }
        let calls = plan.iter().map(|registration| registration.call(self.chain.issuer)).collect();
        Ok((model, self.chain.quote(calls).await?))
    }

    /// The id of the model in these bytes, deployed or not: that of what is published of it.
    ///
    /// # Errors
    /// What is no model, or is none with account numbers masked.
    pub fn model_id(&self, bytes: &[u8]) -> Result<ModelId, DeployError> {
        let (_, document) = self.read_model(bytes)?;
        Ok(ModelId::of(document.as_bytes()))
    }

    /// The definition in these bytes, and the document that is published of it.
    fn read_model<'a>(&self, bytes: &'a [u8]) -> Result<(&'a str, Cow<'a, str>), DeployError> {
        let definition = definition(bytes)?;
        let document = self.settings.aws.mask.apply(definition);
        match serde_json::from_str::<IgnoredAny>(&document) {
            Ok(_) => Ok((definition, document)),
            Err(_) => Err(DeployError::AccountAsNumber),
        }
    }

    async fn require_deployable(&self, model: ModelId, name: &str, settings: ModelSettings) -> eyre::Result<()> {
        let stored: Option<(String, String, String, bool)> = sqlx::query_as(
            "select name, selection, privacy, state_machine_arn is not null from executor.model where model_id = $1",
        )
        .bind(model.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        let Some((stored_name, selection, privacy, deployed)) = stored else { return Ok(()) };
        let stored = model_settings::parse(&selection, &privacy)?;
        if stored.selection != settings.selection {
            return Err(DeployError::SelectionDiffers { model, stored: selection }.into());
        }
        if stored.privacy != settings.privacy {
            return Err(DeployError::PrivacyDiffers { model, stored: privacy }.into());
        }
        if deployed && stored_name != name {
            return Err(DeployError::NameDiffers { model, stored: stored_name }.into());
        }
        Ok(())
    }

    async fn store_deployment(
        &self,
        model: ModelId,
        name: &str,
        arn: &str,
        participants: &[Address],
    ) -> eyre::Result<()> {
        let mut sql = self.pool.begin().await?;
        // An engine that was set up anew may give a former model's ARN to this one.
        sqlx::query(
            "update executor.model set state_machine_arn = null where state_machine_arn = $2 and model_id <> $1",
        )
        .bind(model.as_slice())
        .bind(arn)
        .execute(&mut *sql)
        .await?;
        sqlx::query("update executor.model set state_machine_arn = $2, name = $3 where model_id = $1")
            .bind(model.as_slice())
            .bind(arn)
            .bind(name)
            .execute(&mut *sql)
            .await?;
        for account in participants {
            sqlx::query("insert into executor.participant (model_id, account) values ($1, $2) on conflict do nothing")
                .bind(model.as_slice())
                .bind(account.as_slice())
                .execute(&mut *sql)
                .await?;
        }
        Ok(sql.commit().await?)
    }

    /// The model that was deployed last under this name.
    ///
    /// # Errors
    /// If Postgres does not answer.
    pub async fn model_named(&self, name: &str) -> eyre::Result<Option<ModelId>> {
        let sql = "select model_id from executor.model where name = $1 and state_machine_arn is not null order by created_at desc limit 1";
        let id: Option<Vec<u8>> = sqlx::query_scalar(sql).bind(name).fetch_optional(&self.pool).await?;
        Ok(id.map(|id| ModelId::try_from(&id[..])).transpose()?)
    }

    /// Starts an execution of a deployed model, under this name or a fresh random one.
    ///
    /// # Errors
    /// [`DeployError::NotDeployed`], [`crate::step_functions::StepFunctionsError`].
    pub async fn start(&self, model: ModelId, input: &str, name: Option<&str>) -> eyre::Result<ExecutionArn> {
        let arn: Option<Option<String>> =
            sqlx::query_scalar("select state_machine_arn from executor.model where model_id = $1")
                .bind(model.as_slice())
                .fetch_optional(&self.pool)
                .await?;
        let arn = arn.flatten().ok_or(DeployError::NotDeployed(model))?;
        let execution = self.engine.start_execution(&arn, name, input).await?;
        tracing::info!(%execution, "execution started");
        hint::tell(&self.pool, execution.as_str()).await;
        Ok(execution)
    }
}

fn definition(bytes: &[u8]) -> Result<&str, DeployError> {
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).is_ok();
    std::str::from_utf8(bytes).ok().filter(|_| object).ok_or(DeployError::NotJson)
}
