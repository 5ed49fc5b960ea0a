//! What the replaying node can give at most: a reader that asks as the indexer does, and throws the answers away.

use alloy::primitives::U64;
use eyre::Result;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use url::Url;

/// Blocks whose headers, and blocks whose receipts one request asks for, and requests at a time, as in the indexer.
const HEADERS: usize = 100;
const RECEIPTS: usize = 8;
const AT_ONCE: usize = 2;

/// Reads all headers and receipts.
pub async fn read(rpc_url: Url, last_block: u64) -> Result<()> {
    let http = reqwest::Client::new();
    let numbers: Vec<u64> = (0..=last_block).collect();
    let headers = numbers.chunks(HEADERS).map(|numbers| batch(numbers, "eth_getBlockByNumber", &[json!(false)]));
    let receipts = numbers.chunks(RECEIPTS).map(|numbers| batch(numbers, "eth_getBlockReceipts", &[]));
    let asked = headers.chain(receipts).map(|body| {
        let request = http.post(rpc_url.clone()).json(&body);
        async move { request.send().await?.error_for_status()?.bytes().await }
    });
    stream::iter(asked).buffered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

fn batch(numbers: &[u64], method: &str, further: &[Value]) -> Value {
    let call = |(id, number): (usize, &u64)| {
        let params = [&[json!(U64::from(*number))], further].concat();
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    };
    numbers.iter().enumerate().map(call).collect()
}
