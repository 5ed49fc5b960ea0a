//! Captured states as the contract takes them: ids and predecessors, in order.

use alloy::primitives::{Keccak256, keccak256};
use futures::{Stream, StreamExt, TryStreamExt};
use runproof_protocol::{
    InstanceId, StateId,
    head::{default_predecessor, encode_predecessors},
    merkle::MerkleTree,
};
use sqlx::PgConnection;

use crate::plan::Digest;

/// At most `most` states of an instance from a sequence number on.
pub(crate) fn read(
    sql: &mut PgConnection,
    instance: InstanceId,
    first: u64,
    most: u64,
) -> impl Stream<Item = eyre::Result<(StateId, Option<u32>)>> {
    let rows = sqlx::query_as::<_, (Vec<u8>, Option<i64>)>(
        "select state_id, predecessor from executor.state where instance_id = $1 and sequence >= $2 order by sequence limit $3",
    );
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    rows.bind(instance.0.to_vec()).bind(first as i64).bind(limit).fetch(sql).map(|row| {
        let (id, predecessor) = row?;
        Ok((StateId::try_from(&id[..])?, predecessor.map(u32::try_from).transpose()?))
    })
}

/// What stands for them if they are registered by their root: it takes memory for O(log n) hashes, however many they are.
pub(crate) async fn digest(
    sql: &mut PgConnection,
    instance: InstanceId,
    first: u64,
    most: u64,
) -> eyre::Result<Digest> {
    let (mut tree, mut links, mut linear) = (MerkleTree::default(), Keccak256::new(), true);
    let mut states = std::pin::pin!(read(sql, instance, first, most));
    while let Some((state, predecessor)) = states.try_next().await? {
        linear &= predecessor == default_predecessor(first + tree.len());
        links.update(encode_predecessors(&[predecessor]));
        tree.push(state);
    }
    let count = tree.len();
    let predecessors_hash = if linear { keccak256([]) } else { links.finalize() };
    Ok(Digest { count, root: tree.close().0, predecessors_hash })
}
