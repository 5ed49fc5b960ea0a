//! Few rows, by statements that carry them: a round trip each, as a block that has just come wants it.
//!
//! COPY takes two round trips, and the last of what it sends waits for an acknowledgement of the rest: 40 ms, since sqlx 0.9.0 leaves Nagle's algorithm on
//! (its issue 4335).

use alloy::primitives::B256;
use sqlx::{PgConnection, types::Json};

use crate::{block::Transaction, cursor::bigint, record::Record};

/// Transactions with their blocks.
pub(crate) async fn transactions(
    connection: &mut PgConnection,
    emitted: &[(B256, &Transaction)],
) -> Result<(), sqlx::Error> {
    if emitted.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into journal.transaction (hash, block_hash, sender, recipient, gas_used, effective_gas_price_wei)
         select hash, block_hash, sender, recipient, gas_used, price::numeric
         from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[], $6::text[])
              as t (hash, block_hash, sender, recipient, gas_used, price)",
    )
    .bind(column(emitted, |(_, one)| one.hash.as_slice()))
    .bind(column(emitted, |(block_hash, _)| block_hash.as_slice()))
    .bind(column(emitted, |(_, one)| one.sender.as_slice()))
    .bind(column(emitted, |(_, one)| one.recipient.as_ref().map(|recipient| recipient.as_slice())))
    .bind(column(emitted, |(_, one)| bigint(one.gas_used)))
    .bind(column(emitted, |(_, one)| one.effective_gas_price_wei.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries of a source.
pub(crate) async fn records(
    connection: &mut PgConnection,
    source_id: i16,
    records: &[Record<'_>],
) -> Result<(), sqlx::Error> {
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into journal.record (position, source_id, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch, event,
                                     block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
         select position, $1, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch, event,
                block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index
         from unnest($2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[],
                     $11::jsonb[], $12::bigint[], $13::bytea[], $14::bigint[], $15::bytea[], $16::integer[], $17::integer[])
              as r (position, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch, event,
                    block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)",
    )
    .bind(source_id)
    .bind(column(records, |one| one.position))
    .bind(column(records, |one| one.columns.kind))
    .bind(column(records, |one| one.columns.issuer.as_ref().map(|issuer| issuer.as_slice())))
    .bind(column(records, |one| one.columns.instance.as_ref().map(|instance| instance.as_slice())))
    .bind(column(records, |one| one.columns.model))
    .bind(column(records, |one| one.columns.content))
    .bind(column(records, |one| one.columns.sequence))
    .bind(column(records, |one| one.columns.predecessor))
    .bind(column(records, |one| one.columns.batch))
    .bind(column(records, |one| one.columns.event.map(Json)))
    .bind(column(records, |one| one.block_number))
    .bind(column(records, |one| one.block_hash()))
    .bind(column(records, |one| one.block_timestamp_s))
    .bind(column(records, |one| one.transaction_hash()))
    .bind(column(records, |one| one.log_index))
    .bind(column(records, |one| one.item_index))
    .execute(connection)
    .await?;
    Ok(())
}

/// A column of rows, as an array.
pub(crate) fn column<'a, R, C>(rows: &'a [R], of: impl Fn(&'a R) -> C) -> Vec<C> {
    rows.iter().map(of).collect()
}
