//! Many rows, by COPY.

use alloy::primitives::B256;
use sqlx::PgConnection;

use crate::{
    block::Transaction,
    copy::{Copy, CopyRows},
    cursor::bigint,
    record::Record,
};

/// Transactions with their blocks.
pub(crate) async fn transactions(
    connection: &mut PgConnection,
    emitted: &[(B256, &Transaction)],
) -> Result<(), sqlx::Error> {
    let mut copy = Copy::begin(
        connection,
        "copy journal.transaction (hash, block_hash, sender, recipient, gas_used, effective_gas_price_wei)
         from stdin with (format binary)",
    )
    .await?;
    for (block_hash, one) in emitted {
        copy.rows()
            .await?
            .row(6)
            .bytes(Some(one.hash.as_slice()))
            .bytes(Some(block_hash.as_slice()))
            .bytes(Some(one.sender.as_slice()))
            .bytes(one.recipient.as_ref().map(|recipient| recipient.as_slice()))
            .bigint(Some(bigint(one.gas_used)))
            .numeric(one.effective_gas_price_wei);
    }
    copy.finish().await
}

/// Entries of a source.
pub(crate) async fn records(
    connection: &mut PgConnection,
    source_id: i16,
    records: &[Record<'_>],
) -> Result<(), sqlx::Error> {
    let mut copy = Copy::begin(
        connection,
        "copy journal.record (position, source_id, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch, event,
                              block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
         from stdin with (format binary)",
    )
    .await?;
    for record in records {
        write(copy.rows().await?, source_id, record)?;
    }
    copy.finish().await
}

fn write(rows: &mut CopyRows, source_id: i16, record: &Record<'_>) -> Result<(), sqlx::Error> {
    let columns = &record.columns;
    rows.row(17)
        .bigint(Some(record.position))
        .smallint(source_id)
        .bytes(Some(columns.kind.as_bytes()))
        .bytes(columns.issuer.as_ref().map(|issuer| issuer.as_slice()))
        .bytes(columns.instance.as_ref().map(|instance| instance.as_slice()))
        .bytes(columns.model)
        .bytes(columns.content)
        .bigint(columns.sequence)
        .bigint(columns.predecessor)
        .bigint(columns.batch)
        .jsonb(columns.event)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .bigint(Some(record.block_number))
        .bytes(Some(record.block_hash()))
        .bigint(Some(record.block_timestamp_s))
        .bytes(record.transaction_hash())
        .integer(record.log_index)
        .integer(record.item_index);
    Ok(())
}
