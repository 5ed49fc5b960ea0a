// What is shown. All text from outside is set as text, never as markup.

const GRADES = {
  PASSED: ["passed", "verified"],
  FAILED: ["failed", "failed"],
  UNAVAILABLE: ["unavailable", "unavailable"],
  NOT_CHECKED: ["not_checked", "not checked"],
};
const WORST = ["FAILED", "UNAVAILABLE", "NOT_CHECKED", "PASSED"];
const ENDS = { SUCCEEDED: "run succeeded", FAILED: "run failed", TIMED_OUT: "run timed out", ABORTED: "run stopped" };
const CONNECTIONS = { connecting: "connecting…", live: "live", lost: "connection lost, trying again…" };
const FINALITIES = { included: "included; not final yet", safe: "safe", finalized: "final" };
const NAMES = {
  STATE_EXISTS: "State registered",
  MODEL_AND_INSTANCE_EXIST: "Model and run registered",
  ISSUER_KNOWN: "Issuer known",
  CERTIFICATE_KNOWN: "Certificate known",
  PROTOCOL_LINKED: "Signed by the issuer",
  CONTENT: "Documents unaltered",
  COMPLETENESS: "Nothing left out",
};
const MOST_SHOWN = 60;

const byId = (id) => document.getElementById(id);
const cards = new Map();

function element(tag, { text, className, data = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
}

const short = (hex) => {
  const digits = hex.replace(/^0x/, "");
  return `${hex.startsWith("0x") ? "0x" : ""}${digits.slice(0, 6)}…${digits.slice(-4)}`;
};
const hash = (hex) => element("code", { text: short(hex), title: hex });
const number = (value) => Number(value).toLocaleString("en");

function time(ms) {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const text = today ? date.toLocaleTimeString("en", clock) : date.toLocaleString("en", { day: "numeric", month: "short", year: "numeric", ...clock });
  return element("time", { text, datetime: date.toISOString(), title: date.toISOString() });
}

function badge(status) {
  const [name, text] = GRADES[status] ?? GRADES.NOT_CHECKED;
  return element("span", { text, className: "badge", data: { status: name } });
}

function facts(entries) {
  const list = element("dl", { className: "facts" });
  for (const [term, value] of entries) {
    if (value === null || value === undefined) continue;
    list.append(element("div", {}, element("dt", { text: term }), element("dd", {}, value)));
  }
  return list;
}

function evidence(verdict) {
  if (!verdict) return element("p", { className: "note", text: "No check has been made yet. They run shortly after each registration." });
  const worstFirst = verdict.findings.toSorted((a, b) => WORST.indexOf(a.status) - WORST.indexOf(b.status));
  const checks = worstFirst.map((finding) =>
    element("li", { className: "check", data: { check: finding.check.toLowerCase(), status: GRADES[finding.status][0] } },
      element("p", { className: "check-title" }, element("strong", { text: NAMES[finding.check] ?? finding.check }), badge(finding.status)),
      element("p", { text: `Checks that ${finding.meaning}.` }),
      finding.detail && element("p", { className: "detail", text: finding.detail }),
      facts([["Expected", finding.expected], ["Found", finding.found], ["Read from", finding.source]])));
  return element("div", {},
    element("ul", { className: "checks" }, ...checks),
    element("p", { className: "note" }, "Checked ", time(verdict.checkedAt), ` against block ${number(verdict.asOfBlock.number)}.`));
}

/** Replaces what a folded part holds and leaves it open or closed as the reader had it. */
function fold(details, summary, body) {
  details.querySelector(":scope > summary").replaceChildren(...summary);
  details.querySelector(":scope > .fold").replaceChildren(...body);
}

const folded = (className) => element("details", { className }, element("summary"), element("div", { className: "fold" }));
const cell = (label, className, ...content) => element("span", { className: `cell ${className}`, data: { label } }, ...content);

function showState(item, state) {
  const status = state.verdict?.status ?? "NOT_CHECKED";
  const name = state.stateName ?? `State ${state.sequence}`;
  Object.assign(item.dataset, { state: state.stateId, sequence: state.sequence, status: GRADES[status][0], block: state.block.number });
  fold(item.firstElementChild, [
    cell("", "sequence", String(state.sequence)),
    cell("State", "name", element("strong", { text: name })),
    cell("Entered", "entered", time(state.enteredAtMs ?? state.block.timestampS * 1000)),
    cell("Block", "block", number(state.block.number)),
    cell("Transaction", "transaction", hash(state.transactionHash)),
    cell("", "verdict", badge(status)),
  ], [
    facts([
      ["State id", element("code", { text: state.stateId })],
      ["Transaction", element("code", { text: state.transactionHash })],
      ["Registered", time(state.block.timestampS * 1000)],
      ["On the chain", element("span", { className: "finality" })],
    ]),
    evidence(state.verdict),
  ]);
  showFinality(item, state.finality.toLowerCase());
}

function showFinality(item, finality) {
  item.dataset.finality = finality;
  item.querySelector(".finality").textContent = FINALITIES[finality];
}

/** An issuer may register the same content twice in a run. */
const keyOf = (sequence, stateId) => `${sequence} ${stateId}`;

function showStates(list, states) {
  const items = new Map([...list.children].map((item) => [keyOf(item.dataset.sequence, item.dataset.state), item]));
  const fresh = states.filter(({ sequence, stateId }) => !items.has(keyOf(sequence, stateId)));
  const wanted = states.map((state) => {
    const item = items.get(keyOf(state.sequence, state.stateId)) ?? element("li", {}, folded("state"));
    showState(item, state);
    return item;
  });
  const same = wanted.length === list.children.length && wanted.every((item, index) => list.children[index] === item);
  if (!same) list.replaceChildren(...wanted);
  return fresh;
}

function makeCard(key) {
  const card = element("article", {},
    element("header", { className: "run" }),
    element("p", { className: "note earlier", hidden: "" }),
    element("div", { className: "columns", "aria-hidden": "true" },
      ...["#", "State", "Entered", "Block", "Transaction", "Verdict"].map((text) => element("span", { text }))),
    element("ol", { className: "states" }),
    folded("run-evidence"));
  cards.set(key, card);
  return card;
}

/** Shows a run as it is now; one that was taken back disappears. */
export function showInstance(instance) {
  const key = instance.issuer + instance.instanceId;
  const known = cards.get(key);
  if (instance.retracted) {
    known?.remove();
    cards.delete(key);
    return;
  }
  const card = known ?? makeCard(key);
  const status = instance.verdict?.status ?? "NOT_CHECKED";
  const running = !instance.termination;
  const how = running ? "running" : ENDS[instance.termination.outcome] ?? "run ended";
  Object.assign(card.dataset, {
    instance: instance.instanceId, issuer: instance.issuer, status: GRADES[status][0], run: (running ? "running" : instance.termination.outcome ?? "ended").toLowerCase(), started: instance.block.timestampS,
    block: instance.block.number,
  });
  const [header, earlier, , list, about] = card.children;
  header.replaceChildren(
    element("h2", {}, "Run ", hash(instance.instanceId)),
    element("span", { className: "how", text: how, data: { run: card.dataset.run } }),
    badge(status),
    facts([
      ["Model", hash(instance.modelId)],
      ["Issuer", hash(instance.issuer)],
      ["Started", time(instance.block.timestampS * 1000)],
      ["States", number(instance.stateCount)],
    ]));
  const states = instance.states.nodes;
  const hidden = instance.stateCount - states.length;
  earlier.hidden = hidden <= 0;
  earlier.textContent = `${number(hidden)} earlier states are not shown here.`;
  const fresh = showStates(list, states);
  card.classList.toggle("without-states", states.length === 0);
  fold(about, ["Evidence for the whole run"], [
    facts([
      ["Run id", element("code", { text: instance.instanceId })],
      ["Model id", element("code", { text: instance.modelId })],
      ["Issuer", element("code", { text: instance.issuer })],
      ["Published at", instance.verdict?.site],
    ]),
    evidence(instance.verdict),
  ]);
  if (known) announce(fresh, instance, list);
}

function announce(fresh, instance, list) {
  for (const { stateName, sequence } of fresh) {
    [...list.children].find((item) => item.dataset.sequence === String(sequence))?.classList.add("fresh");
    byId("news").textContent = `Run ${short(instance.instanceId)} entered ${stateName ?? `state ${sequence}`}`;
  }
}

/** Running first, then the newest. */
export function sortInstances() {
  const rank = (card) => [card.dataset.run === "running" ? 0 : 1, -card.dataset.block];
  const sorted = [...cards.entries()].sort(([, a], [, b]) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
  for (const [key, card] of sorted.splice(MOST_SHOWN)) {
    card.remove();
    cards.delete(key);
  }
  const list = byId("instances");
  if (!sorted.every(([, card], index) => list.children[index] === card)) list.replaceChildren(...sorted.map(([, card]) => card));
  byId("empty").hidden = sorted.length > 0;
  byId("empty").textContent = "No run has been registered yet. The first one appears here by itself.";
}

export function showWatermark(watermark) {
  if (!watermark) return;
  const { position, blockNumber, safe, finalized, chainId, contract } = watermark;
  byId("position").textContent = number(position);
  byId("block").textContent = blockNumber === null ? "–" : number(blockNumber);
  byId("finalized").textContent = number(finalized);
  byId("chain").textContent = chainId;
  byId("contract").replaceChildren(hash(contract));
  for (const item of document.querySelectorAll("li[data-finality]")) {
    const { block } = item.dataset;
    showFinality(item, block <= finalized ? "finalized" : block <= safe ? "safe" : "included");
  }
}

export function showConnection(status) {
  byId("connection").textContent = CONNECTIONS[status];
  byId("connection").dataset.connection = status;
}
