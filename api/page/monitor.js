// The monitor: asks once for the runs, then follows journal and verdicts, and asks anew for each run that something happened to.

import { Live } from "./socket.js";
import { showConnection, showInstance, showWatermark, sortInstances } from "./view.js";

const WATERMARK = "position blockNumber safe finalized chainId contract";
const VERDICT = "status checkedAt asOfBlock { number } findings { check meaning status expected found source detail }";
const INSTANCE = `
  instanceId issuer modelId stateCount block { number timestampS } transactionHash finality
  termination { outcome count }
  verdict { ${VERDICT} site revision }
  states(last: 100) { nodes {
    stateId sequence stateName enteredAtMs finality transactionHash block { number timestampS } verdict { ${VERDICT} }
  } }`;
const ALL = `{
  watermark { ${WATERMARK} }
  running: instances(last: 20, filter: { running: true }) { nodes { ${INSTANCE} } }
  ended: instances(last: 20, filter: { running: false }) { nodes { ${INSTANCE} } }
}`;
const ONE = `query ($issuer: Address!, $id: ContentId!) { instance(issuer: $issuer, id: $id) { ${INSTANCE} } }`;
const EVENTS = `subscription ($after: Position) { events(after: $after) { position kind issuer instanceId } }`;
const VERDICTS = `subscription ($after: Long) { verdicts(after: $after) { issuer instanceId revision } }`;
const FOLLOWED = `subscription { watermark { ${WATERMARK} } }`;

/** The last position and the last revision that are shown: a new connection goes on from there. */
const seen = { position: 0, revision: 0 };

/** An answer that takes longer is asked for again. */
const PATIENCE_MS = 15_000;

async function ask(query, variables) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(errors[0].message);
  return data;
}

function take(instance) {
  seen.revision = Math.max(seen.revision, instance.verdict?.revision ?? 0);
  showInstance(instance);
}

/** Runs that something happened to, each asked for once however much happened. */
const stale = new Map();
let refreshing = false;

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  while (stale.size > 0) {
    const [key, variables] = stale.entries().next().value;
    stale.delete(key);
    try {
      const { instance } = await ask(ONE, variables);
      showInstance(instance ?? { ...variables, instanceId: variables.id, retracted: true });
      sortInstances();
    } catch {
      stale.set(key, variables);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  refreshing = false;
}

function touched({ issuer, instanceId }) {
  if (!instanceId) return;
  stale.set(issuer + instanceId, { issuer, id: instanceId });
  refresh();
}

const live = new Live(
  `wss://${location.host}/graphql/ws`,
  () => [
    {
      query: EVENTS,
      variables: { after: seen.position },
      next: ({ events }) => {
        seen.position = events.position;
        touched(events);
      },
    },
    {
      query: VERDICTS,
      variables: { after: seen.revision },
      next: ({ verdicts }) => {
        seen.revision = verdicts.revision;
        touched(verdicts);
      },
    },
    { query: FOLLOWED, next: ({ watermark }) => showWatermark(watermark) },
  ],
  showConnection,
);

async function start() {
  try {
    const { watermark, running, ended } = await ask(ALL);
    seen.position = watermark?.position ?? 0;
    showWatermark(watermark);
    [...ended.nodes, ...running.nodes].forEach(take);
    sortInstances();
    live.open();
  } catch {
    showConnection("lost");
    setTimeout(start, 2000);
  }
}

start();
