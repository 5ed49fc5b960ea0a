import { ponder } from "ponder:registry";
import { entry } from "ponder:schema";

const origin = (event) => ({
  issuer: event.args.issuer,
  instance: event.args.instance,
  block_number: event.block.number,
  block_hash: event.block.hash,
  block_timestamp_s: event.block.timestamp,
  transaction_hash: event.transaction.hash,
  log_index: event.log.logIndex,
});

ponder.on("Registry:InstanceRegistered", async ({ event, context }) => {
  await context.db
    .insert(entry)
    .values({ ...origin(event), item_index: 0, kind: "instance_registered", model: event.args.model });
});

ponder.on("Registry:StatesRegistered", async ({ event, context }) => {
  const { states, first } = event.args;
  const row = (state, item_index) => ({
    ...origin(event),
    item_index,
    kind: "state_registered",
    state,
    sequence: first + BigInt(item_index),
  });
  await context.db.insert(entry).values(states.map(row));
});
