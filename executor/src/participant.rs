//! Naming participants by hand, beside those that are named with a model's deployment.

use alloy::{
    primitives::{Address, B256},
    sol_types::SolCall,
};
use eyre::OptionExt;
use runproof_contracts::InstanceRegistry::setParticipantCall;
use runproof_protocol::InstanceId;

use crate::sender::Sender;

impl Sender {
    /// Lets `account` request transitions of an instance, or of all runs of all models; or no longer. Returns the transaction. What was withdrawn for all runs
    /// has to be granted anew by each model's deployment.
    ///
    /// # Errors
    /// Those of [`Sender::send`]; a grant for all runs is kept in Postgres too, and there is none.
    pub async fn set_participant(
        &self,
        registry: Address,
        account: Address,
        instance: Option<InstanceId>,
        allowed: bool,
    ) -> eyre::Result<B256> {
        let scope = instance.map_or(B256::ZERO, |one| one.0);
        let call = setParticipantCall { instance: scope, participant: account, allowed }.abi_encode().into();
        if instance.is_some() {
            return self.send(registry, call).await;
        }
        // What is only half withdrawn is withdrawn; what is only half granted is not granted.
        if !allowed {
            self.forget_participant(account).await?;
            return self.send(registry, call).await;
        }
        let database = self.database().ok_or_eyre(
            "an executor finds in its database for which models' runs an account was named: set [postgres], or name one run by `--instance`",
        )?;
        let sent = self.send(registry, call).await?;
        sqlx::query("insert into executor.participant (model_id, account) values (null, $1) on conflict do nothing")
            .bind(account.as_slice())
            .execute(database)
            .await?;
        Ok(sent)
    }

    async fn forget_participant(&self, account: Address) -> eyre::Result<()> {
        let Some(database) = self.database() else { return Ok(()) };
        let mut sql = database.begin().await?;
        for forget in [
            "delete from executor.participant where account = $1",
            "delete from executor.registration where kind = 'participant' and account = $1",
        ] {
            sqlx::query(forget).bind(account.as_slice()).execute(&mut *sql).await?;
        }
        Ok(sql.commit().await?)
    }
}
