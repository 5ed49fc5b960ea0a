//! A refused call reaches its sender as a sentence.

use alloy::{
    primitives::{B256, Bytes},
    signers::local::PrivateKeySigner,
};
use eyre::{ContextCompat, Result};
use runproof_contracts::{InstanceRegistry as abi, revert_reason};

use crate::anvil::Chain;

const MODEL: B256 = B256::repeat_byte(0x11);
const INSTANCE: B256 = B256::repeat_byte(0x22);

#[tokio::test]
async fn refused_calls_say_why() -> Result<()> {
    let chain = Chain::start().await?;
    chain.send(abi::registerModelCall { model: MODEL }).await?;
    chain.send(abi::registerInstanceCall { model: MODEL, instance: INSTANCE }).await?;
    let issuer = chain.issuer.address();
    let stranger = PrivateKeySigner::random();
    let states = vec![B256::repeat_byte(0x33)];

    let skipping = chain.registry.registerStates(issuer, INSTANCE, 3, states.clone(), Bytes::new()).call().await;
    let theirs = chain.registry_as(stranger.clone())?;
    let intruding =
        theirs.registerStates(issuer, INSTANCE, 0, states, Bytes::new()).from(stranger.address()).call().await;

    let reason = |outcome: alloy::contract::Result<_>| -> Result<String> {
        let refused = outcome.err().wrap_err("the call was not refused")?;
        refused.as_revert_data().and_then(|data| revert_reason(&data)).wrap_err("no reason")
    };
    assert_eq!(reason(skipping)?, "SequenceMismatch: expected 0, given 3");
    assert_eq!(
        reason(intruding)?,
        format!(
            "NotAuthorised: {} is neither the issuer nor its delegate, nor a certificate's subject or guardian",
            stranger.address()
        )
    );
    Ok(())
}
