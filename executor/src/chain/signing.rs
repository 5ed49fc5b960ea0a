//! Transactions of the issuer: what they cost, and signed, not sent.

use std::fmt;

use alloy::{
    network::{NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256, utils::format_ether},
    providers::Provider,
    rpc::types::TransactionRequest,
};

use super::Chain;

/// Why a transaction is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The contract reverts.
    #[error("the contract would refuse: {0}")]
    Refused(String),
    /// The node refuses for another reason.
    #[error("the node cannot estimate the transaction (is the issuer funded?): {0}")]
    NotEstimated(String),
    /// More than one transaction may use.
    #[error("the transaction would use {needed} gas, and `max_gas` is {max}: register less at once, or raise it")]
    TooMuchGas {
        /// As estimated.
        needed: u64,
        /// As set.
        max: u64,
    },
    /// The chain is dearer than the issuer will pay.
    #[error("a block costs {base_fee_wei} wei a gas, and `max_fee_wei` is {max_fee_wei}: waiting until it is cheaper")]
    TooDear {
        /// The newest block's base fee.
        base_fee_wei: u128,
        /// As set.
        max_fee_wei: u128,
    },
    /// A replacement would have to offer more than the issuer will pay.
    #[error(
        "a replacement must offer {needed_wei} wei a gas, and `max_fee_wei` is {max_fee_wei}: waiting for the transaction as it is"
    )]
    ReplacementTooDear {
        /// Most in all, at least.
        needed_wei: u128,
        /// As set.
        max_fee_wei: u128,
    },
    /// The node did not answer, or the key cannot sign.
    #[error(transparent)]
    Other(#[from] eyre::Report),
}

/// What a transaction would cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quote {
    /// Gas, as the node estimates; 0 if all is registered already.
    pub gas: u64,
    /// Most that is offered for it, wei a gas.
    pub fee_wei: u128,
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wei = U256::from(self.gas) * U256::from(self.fee_wei);
        write!(f, "{} gas, at most {} ether", self.gas, format_ether(wei))
    }
}

/// A transaction, signed and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Hash.
    pub hash: B256,
    /// Bytes as sent (EIP-2718).
    pub raw: Bytes,
    /// Nonce.
    pub nonce: u64,
}

/// Gas above the estimate: what other transactions do to the issuer's chain in between may cost a slot of storage more. No more than that, since a
/// block has room for what transactions may use, not for what they do use.
const SPARE_GAS: u64 = 30_000;
const SPARE_SHARE: u64 = 32;

impl Chain {
    /// Signs a transaction that makes these calls of the contract at once, or all of none; with this limit of gas, or what the node estimates.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign(&self, calls: Vec<Bytes>, nonce: u64, gas: Option<u64>) -> Result<Signed, SignError> {
        let data = self.contract.multicall(calls).calldata().clone();
        match gas {
            Some(gas) => self.sign_with(self.registry.address, data, nonce, gas, (0, 0)).await,
            None => self.sign_call(self.registry.address, data, nonce).await,
        }
    }

    /// Signs a call of any contract, with a little more gas than the node estimates.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign_call(&self, to: Address, data: Bytes, nonce: u64) -> Result<Signed, SignError> {
        let needed = self.estimate(to, data.clone(), nonce).await?;
        let gas = (needed + needed / SPARE_SHARE + SPARE_GAS).min(self.max_gas);
        self.sign_with(to, data, nonce, gas, (0, 0)).await
    }

    async fn estimate(&self, to: Address, data: Bytes, nonce: u64) -> Result<u64, SignError> {
        let needed = self.provider.estimate_gas(self.request(to, data, nonce)).await.map_err(refusal)?;
        if needed > self.max_gas {
            return Err(SignError::TooMuchGas { needed, max: self.max_gas });
        }
        Ok(needed)
    }

    /// What it would cost to make these calls of the contract in one transaction; signs and sends nothing.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn quote(&self, calls: Vec<Bytes>) -> Result<Quote, SignError> {
        if calls.is_empty() {
            return Ok(Quote::default());
        }
        let data = self.contract.multicall(calls).calldata().clone();
        let gas = self.estimate(self.registry.address, data, self.next_nonce(true).await?).await?;
        let (fee_wei, _) = self.fees((0, 0)).await?;
        Ok(Quote { gas, fee_wei })
    }

    /// Signs a call with this limit of gas, at present fees, and at least at these: most in all, and tip, wei a gas.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign_with(
        &self,
        to: Address,
        data: Bytes,
        nonce: u64,
        gas: u64,
        least: (u128, u128),
    ) -> Result<Signed, SignError> {
        let (fee, tip) = self.fees(least).await?;
        let request = self
            .request(to, data, nonce)
            .with_gas_limit(gas)
            .with_max_priority_fee_per_gas(tip)
            .with_max_fee_per_gas(fee);
        let envelope = request.build(&self.wallet).await.map_err(eyre::Report::new)?;
        let raw = alloy::eips::eip2718::Encodable2718::encoded_2718(&envelope);
        Ok(Signed { hash: *envelope.tx_hash(), raw: raw.into(), nonce })
    }

    /// Most in all and tip, wei a gas: what the node advises, at least `least`, at most what the settings allow.
    async fn fees(&self, least: (u128, u128)) -> Result<(u128, u128), SignError> {
        let max_fee_wei = self.max_fee_wei;
        let base_fee_wei = u128::from(self.newest().await?.base_fee_wei);
        if base_fee_wei > max_fee_wei {
            return Err(SignError::TooDear { base_fee_wei, max_fee_wei });
        }
        if least.0 > max_fee_wei {
            return Err(SignError::ReplacementTooDear { needed_wei: least.0, max_fee_wei });
        }
        let advised = self.provider.estimate_eip1559_fees().await.map_err(eyre::Report::new)?;
        let base = advised.max_fee_per_gas.saturating_sub(advised.max_priority_fee_per_gas);
        let tip = advised.max_priority_fee_per_gas.max(self.min_tip_wei).max(least.1).min(max_fee_wei);
        Ok((base.saturating_add(tip).max(least.0).min(max_fee_wei), tip))
    }

    fn request(&self, to: Address, data: Bytes, nonce: u64) -> TransactionRequest {
        TransactionRequest::default()
            .with_from(self.issuer)
            .with_to(to)
            .with_input(data)
            .with_chain_id(self.registry.chain_id)
            .with_nonce(nonce)
    }
}

/// The contract's refusal in words, or the node's error as it is.
fn refusal(error: alloy::transports::TransportError) -> SignError {
    let Some(response) = error.as_error_resp() else { return SignError::Other(error.into()) };
    match response.as_revert_data().and_then(|data| runproof_contracts::revert_reason(&data)) {
        Some(reason) => SignError::Refused(reason),
        None => SignError::NotEstimated(response.to_string()),
    }
}
