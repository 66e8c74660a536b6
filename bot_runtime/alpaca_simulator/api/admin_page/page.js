"use strict";
// Whatever comes from a client is only ever set as text, never as markup.
const COMMON = [
  ["Lose the answer to the next order", {kind: "reset_after", match: {route: "POST /v2/orders"}, count: 1}],
  ["503 for the next 3 requests", {kind: "status", status: 503, message: "service unavailable", count: 3}],
  ["429 for the next 5", {kind: "rate_limit", retry_after_seconds: 3, count: 5}],
  ["Answers 3 s late", {kind: "latency", seconds: 3}],
  ["Hang the next request", {kind: "hang", count: 1}],
  ["Drop a stream at its next message", {kind: "drop_socket", when: "message", count: 1}],
  ["Mute the streams", {kind: "mute_socket", when: "now"}],
  ["Duplicate fills", {kind: "duplicate_update", match: {events: ["fill"]}}],
  ["Lose every 3rd update", {kind: "lose_update", every: 3}],
  ["Freeze quotes now", {kind: "stale_quotes"}],
  ["A quarter of bars missing", {kind: "missing_bars", fraction: 0.25}],
  ["Stall the next fill at half", {kind: "partial_fill_stall", fraction: 0.5, seconds: 600, count: 1}],
];
const at = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en-US", {minimumFractionDigits: 2, maximumFractionDigits: 2});
const dollars = (text) => (text === null || text === undefined ? "–" : money.format(Number(text)));
const time = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?Z$/, "") : "–");
const signed = (value) => (value > 0 ? "+" : "") + money.format(value);

function cell(content, ...classes) {
  const made = document.createElement("td");
  if (content instanceof Node) made.append(content);
  else made.textContent = content === null || content === undefined || content === "" ? "–" : String(content);
  made.classList.add(...classes.filter(Boolean));
  return made;
}

function button(label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", action);
  return made;
}

// A table is only touched where it has changed, so that focus and selection stay.
const shown = new Map();
function fill(id, rows, empty, render) {
  const known = JSON.stringify(rows);
  if (shown.get(id) === known) return;
  shown.set(id, known);
  const body = at(id);
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const names = [...body.parentElement.tHead.rows[0].cells].map((one) => one.textContent);
  body.replaceChildren(...(rows.length ? rows.map((row) => {
    const made = document.createElement("tr");
    made.append(...render(row));
    [...made.cells].forEach((one, column) => { one.dataset.label = names[column]; });
    return made;
  }) : [emptyRow(empty, names.length)]));
  if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function emptyRow(text, columns) {
  const row = document.createElement("tr");
  const only = cell(text, "quiet");
  only.colSpan = columns;
  row.append(only);
  return row;
}

function count(id, there, all, noun = "") {
  at(id).textContent = there < all ? `${there} of ${all}${noun}` : all ? `${all}${noun}` : "";
}

function say(text, bad = false) {
  at("notice").textContent = text;
  at("notice").classList.toggle("bad", bad);
}

async function ask(method, path, body) {
  const answer = await fetch(path, {method, body, headers: body ? {"Content-Type": "application/json"} : {}});
  const text = await answer.text();
  const parsed = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(parsed?.message ?? `answered with ${answer.status}`);
  return parsed;
}

async function act(method, path, body, done) {
  try {
    await ask(method, path, body);
    say(done);
  } catch (error) {
    say(error.message, true);
  }
  await refresh();
}

function requestsUsed(limit) {
  if (!limit.per_minute) return "no limit";
  const made = document.createElement("span");
  const meter = document.createElement("meter");
  const most = Math.max(limit.trading, limit.data);
  Object.assign(meter, {min: 0, max: limit.per_minute, high: limit.per_minute * 0.8, value: most});
  meter.setAttribute("aria-label", "requests used");
  made.append(meter, `${limit.trading} trading, ${limit.data} data of ${limit.per_minute}`);
  return made;
}

function show(view) {
  const clock = view.clock;
  const open = clock.is_open ? "open" : "closed";
  at("clock").textContent = `${time(clock.now)} UTC · ${open} · ${clock.mode} clock · seed ${view.seed}`
    + (view.halts.length ? ` · halted: ${view.halts.map((halt) => halt.symbol).join(", ")}` : "");
  at("steps").hidden = clock.mode !== "stepped";
  count("n-accounts", view.accounts.length, view.account_count);
  fill("accounts", view.accounts, "none", (one) => {
    const today = Number(one.equity) - Number(one.last_equity);
    return [
      cell(one.name), cell(one.kind), cell(dollars(one.equity), "n"),
      cell(signed(today), "n", today > 0 && "up", today < 0 && "down"), cell(dollars(one.cash), "n"),
      cell(dollars(one.buying_power), "n"), cell(one.orders, "n"), cell(requestsUsed(one.rate_limit)),
    ];
  });
  const of = (name) => view.accounts.flatMap((one) => one[name].map((row) => ({account: one.name, ...row})));
  const sum = (name) => view.accounts.reduce((total, one) => total + one[name], 0);
  const orders = of("open_orders");
  count("n-orders", orders.length, sum("open_order_count"));
  fill("orders", orders, "no open orders", (one) => [
    cell(one.account), cell(one.symbol), cell(one.side), cell(`${one.type} ${one.time_in_force}`),
    cell(one.qty ?? (one.notional && `$${one.notional}`), "n"), cell(one.filled_qty, "n"),
    cell(one.limit_price, "n"), cell(one.stop_price, "n"), cell(one.status),
    cell(one.client_order_id, "wide", "code"), cell(time(one.submitted_at)),
  ]);
  const positions = of("positions");
  count("n-positions", positions.length, sum("position_count"));
  fill("positions", positions, "no positions", (one) => {
    const gain = Number(one.unrealized_pl);
    return [
      cell(one.account), cell(one.symbol), cell(one.qty, "n"), cell(dollars(one.avg_entry_price), "n"),
      cell(dollars(one.current_price), "n"), cell(dollars(one.market_value), "n"),
      cell(signed(gain), "n", gain > 0 && "up", gain < 0 && "down"),
    ];
  });
  fill("fills", view.fills, "no fills yet", (one) => [
    cell(time(one.time)), cell(one.account), cell(one.symbol), cell(one.side), cell(one.qty, "n"),
    cell(dollars(one.price), "n"),
  ]);
  count("n-faults", view.faults.length, view.faults.length);
  fill("faults", view.faults, "none: everything works", (one) => {
    const {kind, ...rest} = one.rule;
    const name = document.createElement("span");
    name.append(kind);
    if (one.spent) {
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = "spent";
      name.append(" ", mark);
    }
    const remove = button("Remove", () => act("DELETE", `/admin/faults/${encodeURIComponent(one.id)}`, undefined, `${one.id} removed`));
    remove.setAttribute("aria-label", `Remove ${one.id}`);
    remove.dataset.key = one.id;
    return [cell(name), cell(Object.keys(rest).length ? JSON.stringify(rest) : "everything, always", "wide", "code"),
      cell(one.seen, "n"), cell(one.injected, "n"), cell(remove)];
  });
  count("n-log", view.injected_log.length, view.injected);
  fill("log", [...view.injected_log].reverse(), "nothing injected yet", (one) => [
    cell(one.number, "n"), cell(time(one.time)), cell(one.kind), cell(one.account), cell(one.what, "wide", "code"),
  ]);
  count("n-streams", view.streams.length, view.stream_count);
  fill("streams", view.streams, "no open connections", (one) => [
    cell(one.number, "n"), cell(one.feed ? `${one.stream} ${one.feed}` : one.stream), cell(one.account),
    cell(one.mute ? "mute" : one.listening ? "listening" : "silent"), cell(one.frames_sent, "n"),
    cell(one.frames_waiting, "n"),
  ]);
  at("updates").textContent = [
    view.updates_held_back && `${view.updates_held_back} trade updates held back`,
    view.trade_updates_dropped && `${view.trade_updates_dropped} trade updates nobody took in time`,
  ].filter(Boolean).join(" · ");
  const steps = view.scenario.steps;
  at("scenario-section").hidden = !steps.length;
  at("n-scenario").textContent = steps.length ? `${view.scenario.name} · ${view.scenario.played} of ${steps.length}` : "";
  fill("scenario", steps, "", ({number, at: when, outcome, ...deed}) => [
    cell(number, "n"), cell(time(when)), cell(JSON.stringify(deed), "wide", "code"), cell(outcome ?? "to come"),
  ]);
}

let busy = false;
async function refresh() {
  if (busy) return;
  busy = true;
  try {
    show(await ask("GET", "/admin/view"));
    if (at("notice").dataset.lost) {
      delete at("notice").dataset.lost;
      say("");
    }
  } catch (error) {
    at("notice").dataset.lost = "yes";
    say(`the simulator does not answer: ${error.message}`, true);
  }
  busy = false;
}

async function offerKinds() {
  const kinds = await ask("GET", "/admin/faults/kinds");
  const byName = new Map();
  for (const [label, group, path] of [
    ["Faults", kinds.faults, "/admin/faults"], ["Interventions", kinds.interventions, "/admin/interventions"],
  ]) {
    const options = document.createElement("optgroup");
    options.label = label;
    for (const one of group) {
      byName.set(one.kind, {...one, path});
      options.append(new Option(one.kind, one.kind));
    }
    at("kind").append(options);
  }
  const choose = () => {
    const one = byName.get(at("kind").value);
    at("explained").textContent = one.description;
    at("rule").value = JSON.stringify(one.example, null, 2);
  };
  at("kind").addEventListener("change", choose);
  choose();
  at("writer").addEventListener("submit", (event) => {
    event.preventDefault();
    let kind;
    try {
      kind = JSON.parse(at("rule").value).kind;
    } catch (error) {
      say(`not JSON: ${error.message}`, true);
      return;
    }
    act("POST", byName.get(kind)?.path ?? "/admin/faults", at("rule").value, `${kind} done`);
  });
}

for (const one of document.querySelectorAll("[data-step]")) {
  one.addEventListener("click", () => act("POST", "/admin/clock/step", one.dataset.step, `moved: ${one.textContent}`));
}
at("common").append(...COMMON.map(([label, rule]) => button(label, () => act("POST", "/admin/faults", JSON.stringify(rule), `in force: ${label}`))));
at("clear").addEventListener("click", () => act("DELETE", "/admin/faults", undefined, "every fault removed"));
offerKinds().catch((error) => say(error.message, true));
refresh();
setInterval(refresh, 1000);
