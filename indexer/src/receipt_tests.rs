use alloy::{
    consensus::{Eip658Value, Receipt as Consensus, ReceiptEnvelope, ReceiptWithBloom, proofs::calculate_receipt_root},
    rpc::types::TransactionReceipt,
};
use proptest::prelude::*;

use super::*;

/// A receipt as a node would answer it, by the general library.
fn answered(kind: u8, status: Eip658Value, logs: Vec<Log>) -> TransactionReceipt {
    let receipt = Consensus { status, cumulative_gas_used: 21_000, logs };
    let logs_bloom = alloy::primitives::logs_bloom(receipt.logs.iter().map(|log| &log.inner));
    let receipt = ReceiptWithBloom { receipt, logs_bloom };
    TransactionReceipt {
        inner: match kind {
            0 => ReceiptEnvelope::Legacy(receipt),
            1 => ReceiptEnvelope::Eip2930(receipt),
            2 => ReceiptEnvelope::Eip1559(receipt),
            3 => ReceiptEnvelope::Eip4844(receipt),
            _ => ReceiptEnvelope::Eip7702(receipt),
        },
        transaction_hash: B256::repeat_byte(1),
        transaction_index: Some(0),
        block_hash: Some(B256::repeat_byte(2)),
        block_number: Some(3),
        gas_used: 21_000,
        effective_gas_price: u128::from(u64::MAX) + 1,
        blob_gas_used: None,
        blob_gas_price: None,
        from: Address::repeat_byte(4),
        to: None,
        contract_address: None,
    }
}

fn log(topics: Vec<[u8; 32]>, data: Vec<u8>) -> Log {
    let topics = topics.into_iter().map(B256::from).collect();
    ReceiptLog { address: Address::repeat_byte(5), topics, data: data.into() }.placed(
        B256::repeat_byte(1),
        B256::repeat_byte(2),
        3,
        0,
    )
}

fn status() -> impl Strategy<Value = Eip658Value> {
    prop_oneof![
        any::<bool>().prop_map(Eip658Value::Eip658),
        any::<[u8; 32]>().prop_map(|root| Eip658Value::PostState(root.into()))
    ]
}

proptest! {
    /// What is read here is what the general library reads, and gives the same root.
    #[test]
    fn receipts_of_all_kinds_have_the_root_that_the_general_library_computes(
        given in prop::collection::vec((0u8..5, status(), prop::collection::vec(
            (prop::collection::vec(any::<[u8; 32]>(), 0..5), prop::collection::vec(any::<u8>(), 0..80)), 0..4)), 0..40),
    ) {
        let receipts: Vec<TransactionReceipt> = given.into_iter()
            .map(|(kind, status, logs)| answered(kind, status, logs.into_iter().map(|(topics, data)| log(topics, data)).collect()))
            .collect();
        let general: Vec<_> = receipts.iter().map(|receipt| receipt.inner.clone().map_logs(|log| log.inner)).collect();
        let json = serde_json::to_string(&receipts).expect("JSON");
        let lean: Vec<Receipt> = serde_json::from_str(&json).expect("the same JSON");
        prop_assert_eq!(root(&lean), calculate_receipt_root(&general));
        for (lean, general) in lean.iter().zip(&receipts) {
            prop_assert_eq!(lean.effective_gas_price, general.effective_gas_price);
            prop_assert!(lean.logs.iter().zip(general.inner.logs()).all(|(lean, general)| lean.says(general)));
        }
    }

    #[test]
    fn logs_are_read_as_the_general_library_reads_them(topics in prop::collection::vec(any::<[u8; 32]>(), 0..5), data in prop::collection::vec(any::<u8>(), 0..80)) {
        let log = log(topics, data);
        let placed: PlacedLog = serde_json::from_str(&serde_json::to_string(&log).expect("JSON")).expect("the same JSON");
        prop_assert_eq!(Log::from(placed), log);
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    for text in ["\"12\"", "\"0x\"", "\"0x+1\"", "\"0x1g\"", "12", "\"0x100000000000000000000000000000000\""] {
        assert!(serde_json::from_str::<Digits>(text).is_err(), "{text}");
    }
}
