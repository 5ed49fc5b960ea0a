//! Whether the issuer can still pay.

use alloy::{
    primitives::{U256, utils::format_ether},
    providers::Provider,
};

use crate::{chain::Head, executor::Executor};

impl Executor {
    /// Tells the balance in metrics, and once in the log when it sinks below the setting. `low`: whether it was at the last look. What fails in it
    /// holds no registration up.
    pub(crate) async fn watch_funds(&self, head: Head, low: &mut bool) {
        match self.funds(head, *low).await {
            Ok(sinks) => *low = sinks,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the issuer's balance is not known"),
        }
    }

    /// Whether the balance is below the setting.
    async fn funds(&self, head: Head, told: bool) -> eyre::Result<bool> {
        let balance = self.chain.provider().get_balance(self.chain.issuer).await?;
        metrics::gauge!("runproof_executor_balance_wei").set(f64::from(balance));
        let low = balance < U256::from(self.settings.min_balance_wei);
        if low && !told {
            let lasts_h = self.lasts_h(balance, head).await?.map(|hours| format!("{hours:.1}"));
            tracing::warn!(
                issuer = %self.chain.issuer, balance_ether = format_ether(balance), lasts_h,
                "the issuer's balance is low: send it ether, or nothing more is registered soon"
            );
        }
        Ok(low)
    }

    /// Hours for which a balance lasts, if gas is used as on the last day and costs what it costs now; `None` if none was used.
    async fn lasts_h(&self, balance: U256, head: Head) -> eyre::Result<Option<f64>> {
        let gas_a_day: Option<f64> = sqlx::query_scalar(
            "select sum(gas_used)::double precision from executor.transaction where sender = $1 and created_at > now() - interval '1 day'",
        )
        .bind(self.chain.issuer.as_slice())
        .fetch_one(&self.pool)
        .await?;
        let wei_a_gas = head.base_fee_wei as f64 + self.settings.min_tip_wei as f64;
        Ok(gas_a_day.map(|gas| f64::from(balance) / (gas * wei_a_gas) * 24.0))
    }
}
