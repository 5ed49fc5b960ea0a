use alloy::{
    consensus::{
        Eip658Value, Header as Fields, Receipt as Consensus, ReceiptEnvelope, ReceiptWithBloom,
        proofs::calculate_receipt_root,
    },
    primitives::{Bloom, Bytes, LogData},
    rpc::types::TransactionReceipt,
};
use proptest::prelude::*;

use super::*;

const CONTRACT: Address = Address::repeat_byte(0xc0);

/// A block with so many logs of the contract, each in a transaction of its own, and the answers of an honest node about it.
fn honest(number: u64, parent_hash: B256, logs: u64) -> (Header, Vec<Log>, Vec<Receipt>) {
    let data = |index: u64| LogData::new_unchecked(vec![B256::with_last_byte(index as u8)], Bytes::new());
    let primitive = |index| alloy::primitives::Log { address: CONTRACT, data: data(index) };
    let envelope = |index| {
        let receipt = Consensus {
            status: Eip658Value::success(),
            cumulative_gas_used: 21_000 * (index + 1),
            logs: vec![primitive(index)],
        };
        ReceiptEnvelope::Eip1559(ReceiptWithBloom::from(receipt))
    };
    let consensus: Vec<ReceiptEnvelope> = (0..logs).map(envelope).collect();
    let logs_bloom = consensus.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
    let fields = Fields {
        number,
        parent_hash,
        logs_bloom,
        receipts_root: calculate_receipt_root(&consensus),
        ..Fields::default()
    };
    let header = Header::new(fields);
    let log = |index: u64| Log {
        inner: primitive(index),
        block_hash: Some(header.hash),
        block_number: Some(number),
        transaction_hash: Some(B256::with_last_byte(index as u8)),
        log_index: Some(index),
        ..Log::default()
    };
    let receipt = |index: u64| TransactionReceipt {
        inner: consensus[index as usize].clone().map_logs(|_| log(index)),
        transaction_hash: B256::with_last_byte(index as u8),
        transaction_index: Some(index),
        block_hash: Some(header.hash),
        block_number: Some(number),
        gas_used: 21_000,
        effective_gas_price: 7,
        blob_gas_used: None,
        blob_gas_price: None,
        from: Address::ZERO,
        to: Some(CONTRACT),
        contract_address: None,
    };
    let receipts: Vec<TransactionReceipt> = (0..logs).map(receipt).collect();
    let answer = serde_json::to_string(&receipts).expect("JSON");
    let receipts = serde_json::from_str(&answer).expect("the same JSON");
    (header.clone(), (0..logs).map(log).collect(), receipts)
}

fn one(header: &Header, answer: Vec<Log>) -> [Block; 1] {
    logs(std::slice::from_ref(header), answer, CONTRACT)
        .expect("each log fits by itself")
        .try_into()
        .expect("one block")
}

fn two_blocks() -> (Vec<Header>, Vec<Log>) {
    let (first, mut logs, _) = honest(5, B256::ZERO, 2);
    let (second, more, _) = honest(6, first.hash, 3);
    logs.extend(more);
    (vec![first, second], logs)
}

#[test]
fn honest_answers_are_taken() {
    let (headers, logs) = two_blocks();
    assert_eq!(header(Some(5), &headers[0]), Ok(()));
    assert_eq!(links(&headers), Ok(()));
    let blocks = super::logs(&headers, logs, CONTRACT).expect("they fit");
    assert_eq!(blocks.iter().map(|block| block.logs.len()).collect::<Vec<_>>(), [2, 3]);
    let (head, logs, receipts) = honest(5, B256::ZERO, 2);
    let [mut believed] = one(&head, logs);
    assert_eq!(agreeing(&receipts, CONTRACT, &mut believed), Ok(()));
    assert_eq!(believed.transactions.len(), 2);
    let [mut block] = one(&head, vec![]);
    assert_eq!(proven(&head, receipts, CONTRACT, &mut block), Ok(()));
    assert_eq!(block, believed, "what is proven is what an honest node says");
}

#[test]
fn a_header_that_is_not_its_hash_or_not_the_one_asked_for_is_refused() {
    let (mut forged, ..) = honest(5, B256::ZERO, 1);
    assert!(matches!(header(Some(6), &forged), Err(Mismatch::OtherBlock { asked: 6, found: 5 })));
    forged.inner.logs_bloom = Bloom::ZERO;
    assert!(matches!(header(Some(5), &forged), Err(Mismatch::HeaderHash { number: 5, .. })));
}

#[test]
fn headers_that_do_not_follow_each_other_are_refused() {
    let (first, ..) = honest(5, B256::ZERO, 0);
    let (second, ..) = honest(6, B256::ZERO, 0);
    assert_eq!(links(&[first, second]), Err(Mismatch::Unlinked(6)));
}

proptest! {
    /// Whatever is done to one log, it is refused here or its receipts refuse it.
    #[test]
    fn one_corrupt_log_is_refused(which in 0usize..5, how in 0u8..8) {
        let (headers, mut answer) = two_blocks();
        let log = &mut answer[which];
        match how {
            0 => log.inner.address = Address::ZERO,
            1 => log.block_hash = Some(B256::ZERO),
            2 => log.block_number = log.block_number.map(|number| number + 7),
            3 => log.removed = true,
            4 => log.log_index = None,
            5 => log.inner.data = LogData::new_unchecked(vec![B256::repeat_byte(0xee)], Bytes::new()),
            6 => { let twice = log.clone(); answer.insert(which, twice); }
            _ => { let taken = answer.remove(which); answer.insert(if which == 0 { 1 } else { 0 }, taken); }
        }
        prop_assert!(logs(&headers, answer, CONTRACT).is_err());
    }

    /// A node that leaves out or changes a receipt is found out by the receipts root.
    #[test]
    fn receipts_that_are_not_the_headers_are_refused(count in 1u64..6, which in 0usize..6, how in 0u8..6) {
        let (head, _, mut found) = honest(5, B256::ZERO, count);
        let which = which % found.len();
        match how {
            0 => drop(found.remove(which)),
            1 => found[which].block_hash = B256::ZERO,
            2 => drop(found[which].logs.pop()),
            3 => found[which].logs[0].address = Address::ZERO,
            4 => found[which].status = Some(0),
            _ => found[which].cumulative_gas_used += 1,
        }
        let [mut block] = one(&head, vec![]);
        prop_assert!(proven(&head, found, CONTRACT, &mut block).is_err());
    }

    /// Without the root, logs and receipts must at least say the same.
    #[test]
    fn receipts_that_differ_from_the_logs_are_refused(count in 1u64..6, which in 0usize..6, how in 0u8..4) {
        let (head, mut answer, mut found) = honest(5, B256::ZERO, count);
        let which = which % answer.len();
        match how {
            0 => drop(answer.remove(which)),
            1 => drop(found.remove(which)),
            2 => found[which].block_hash = B256::ZERO,
            _ => answer[which].transaction_hash = Some(B256::repeat_byte(0xee)),
        }
        let [mut block] = one(&head, answer);
        prop_assert!(agreeing(&found, CONTRACT, &mut block).is_err());
    }
}
