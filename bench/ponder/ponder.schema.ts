import { index, onchainTable, primaryKey } from "ponder";

// One row an event, as in journal.entry, with its primary key and one of its indexes.
export const entry = onchainTable(
  "entry",
  (t) => ({
    block_number: t.bigint().notNull(),
    log_index: t.integer().notNull(),
    item_index: t.integer().notNull(),
    kind: t.text().notNull(),
    issuer: t.hex().notNull(),
    instance: t.hex().notNull(),
    model: t.hex(),
    state: t.hex(),
    sequence: t.bigint(),
    block_hash: t.hex().notNull(),
    block_timestamp_s: t.bigint().notNull(),
    transaction_hash: t.hex().notNull(),
  }),
  (table) => ({
    pk: primaryKey({ columns: [table.block_number, table.log_index, table.item_index] }),
    of_instance: index().on(table.instance, table.sequence),
  }),
);
