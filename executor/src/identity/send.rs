//! Sending what a person asked for at the command line: one transaction, waited for, with the contract's reason if it reverts.

use std::time::Duration;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionRequest,
    transports::TransportError,
};
use eyre::{WrapErr, ensure, eyre};
use runproof_contracts::revert_reason;
use runproof_nodes::Nodes;

use crate::key::Key;

/// How long an included transaction is waited for: some minutes of blocks on a public network.
const INCLUSION: Duration = Duration::from_secs(300);

/// The nodes through which `signer` sends.
pub fn connect(nodes: &Nodes, signer: &Key) -> DynProvider {
    ProviderBuilder::new().wallet(signer.wallet()).connect_client(nodes.client()).erased()
}

/// Sends and waits until it is included; returns the transaction's hash.
///
/// # Errors
/// With the contract's own reason if it refuses, and what to do if the account cannot pay.
pub async fn send(provider: &DynProvider, sender: Address, call: TransactionRequest) -> eyre::Result<B256> {
    let pending = match provider.send_transaction(call.with_from(sender)).await {
        Ok(pending) => pending.with_timeout(Some(INCLUSION)),
        Err(error) => return Err(refusal(error, sender)),
    };
    let hash = *pending.tx_hash();
    let receipt = pending.get_receipt().await.wrap_err_with(|| {
        format!("transaction {hash} was sent, but is not included yet: run the command again, it sends nothing twice")
    })?;
    ensure!(receipt.status(), "transaction {hash} was included, but reverted: run the command again to see why");
    Ok(hash)
}

/// What a node's refusal means to the sender.
pub fn refusal(error: TransportError, sender: Address) -> eyre::Report {
    let reason = error.as_error_resp().and_then(|answer| answer.as_revert_data()).and_then(|data| revert_reason(&data));
    match reason {
        Some(reason) => eyre!("the contract refuses: {reason}"),
        None if error.to_string().to_lowercase().contains("insufficient funds") => {
            eyre!("account {sender} cannot pay for the transaction: send it some ether on this chain")
        }
        None => eyre::Report::new(error).wrap_err("the node did not take the transaction"),
    }
}
