// The page: reads the stream of events and shows the newest screen. No library, no build step.

const KEPT = 60; // values of a chart, one a second
const EVENTS = 20;
const CHARTS = new Set(["calls_per_s", "errors_per_s", "in_flight"]);
const LIVE = new Set(["alive", "suspect", "draining", "ejected", "unverified", "advertised"]);
const SVG = "http://www.w3.org/2000/svg";
const collator = new Intl.Collator(undefined, { numeric: true });

const byId = (id) => document.getElementById(id);
const histories = new Map(); // of each chart: its name, or the id of a server
const shown = new Map(); // id of a server: its row
let order = { key: "name", down: false };
let newest = null;
let offered = "";

// ---- numbers as people read them

const absent = "–";
const count = (value) => (value === null ? absent : value.toLocaleString("en"));
const rate = (value) => (value === null ? absent : value >= 100 ? count(Math.round(value)) : value.toFixed(1));
const duration = (seconds) => {
  if (seconds === null) return absent;
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${Math.round(seconds * 1e6)} µs`;
};

const COLUMNS = [
  { key: "name", text: (server) => server.name },
  { key: "state", text: (server) => server.state },
  { key: "services", text: (server) => server.services.join(", ") || absent },
  { key: "calls_per_s", text: (server) => rate(server.calls_per_s), number: true },
  { key: "errors_per_s", text: (server) => rate(server.errors_per_s), number: true },
  { key: "in_flight", text: (server) => count(server.in_flight), number: true },
  { key: "p50_s", text: (server) => duration(server.p50_s), number: true },
  { key: "p99_s", text: (server) => duration(server.p99_s), number: true },
  { key: "rtt_s", text: (server) => duration(server.rtt_s), number: true },
  { key: "chart" },
  { key: "cpu_percent", text: (server) => rate(server.cpu_percent), number: true },
  { key: "address", text: (server) => server.address.replace("tcp://", "") || absent },
];

// ---- charts

function remember(name, value, first = []) {
  const values = histories.get(name) ?? [...first];
  values.push(value);
  histories.set(name, values.slice(-KEPT));
}

function drawChart(place, name, label) {
  const values = histories.get(name) ?? [];
  if (!place.firstChild) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 20`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(document.createElementNS(SVG, "path"));
    place.append(svg);
  }
  const most = Math.max(...values.filter((value) => value !== null), 1e-9);
  let line = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    line += `${pen}${KEPT - values.length + index} ${(19 - (17 * value) / most).toFixed(1)}`;
    pen = "L";
  });
  place.firstChild.setAttribute("aria-label", label);
  place.firstChild.firstChild.setAttribute("d", line);
}

// ---- the screen

function put(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function makeRow() {
  const row = document.createElement("tr");
  for (const column of COLUMNS) {
    const cell = document.createElement(column.key === "name" ? "th" : "td");
    if (column.key === "name") cell.scope = "row";
    if (column.number) cell.className = "number";
    row.append(cell);
  }
  return row;
}

function fillRow(row, server) {
  COLUMNS.forEach((column, index) => {
    const cell = row.children[index];
    if (column.key === "chart") {
      drawChart(cell, server.peer_id, `round trips of the last minute, now ${duration(server.rtt_s)}`);
      return;
    }
    put(cell, column.text(server));
    if (column.key === "state") {
      cell.dataset.state = server.state;
      cell.title = server.note;
    }
  });
  row.dataset.server = server.name;
}

function compare(one, other) {
  const [a, b] = [one[order.key], other[order.key]];
  if (a === null || b === null) return (a === null) - (b === null);
  const sign = typeof a === "number" ? a - b : collator.compare(String(a), String(b));
  return (order.down ? -sign : sign) || collator.compare(one.name, other.name);
}

function matches(server) {
  const text = [server.name, server.state, server.address, ...server.services].join("\n").toLowerCase();
  return byId("filter").value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function showServers() {
  const there = newest.servers.filter((server) => LIVE.has(server.state));
  const wanted = there.filter(matches).sort(compare);
  const ids = new Set(wanted.map((server) => server.peer_id));
  for (const [id, row] of shown) {
    if (!ids.has(id)) {
      row.remove();
      shown.delete(id);
    }
  }
  const body = byId("rows");
  wanted.forEach((server, index) => {
    const row = shown.get(server.peer_id) ?? makeRow();
    shown.set(server.peer_id, row);
    fillRow(row, server);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  byId("nobody").hidden = there.length > 0;
}

function showTotals() {
  const totals = { ...newest.totals, alive: newest.totals.states.alive ?? 0 };
  for (const place of document.querySelectorAll("[data-total]")) {
    const value = totals[place.dataset.total];
    put(place, place.dataset.total.endsWith("_per_s") ? rate(value) : count(value));
  }
  for (const place of document.querySelectorAll("[data-chart]")) {
    remember(place.dataset.chart, totals[place.dataset.chart]);
    drawChart(place, place.dataset.chart, "the last minute");
  }
}

function showEvents() {
  const list = byId("events");
  const before = list.firstChild?.textContent;
  const items = newest.events.toReversed().map((event) => {
    const item = document.createElement("li");
    const [time, text] = [document.createElement("time"), document.createElement("span")];
    time.textContent = event.clock;
    text.textContent = `${event.name} ${event.kind}${event.detail ? `: ${event.detail}` : ""}`;
    item.append(time, text);
    return item;
  });
  // Only what is new is added: who has it read out hears nothing twice.
  const known = items.findIndex((item) => item.textContent === before);
  list.prepend(...(known < 0 ? items : items.slice(0, known)));
  while (list.children.length > EVENTS) list.lastChild.remove();
}

function showScreen(screen) {
  newest = screen;
  const ids = new Set(screen.servers.map((server) => server.peer_id));
  for (const server of screen.servers) remember(server.peer_id, server.rtt_s, server.rtt_history_s.slice(0, -1));
  for (const name of histories.keys()) {
    if (!ids.has(name) && !CHARTS.has(name)) histories.delete(name);
  }
  showTotals();
  showServers();
  showEvents();
  const there = screen.servers.filter((server) => LIVE.has(server.state));
  const services = JSON.stringify(there.map((server) => [server.peer_id, server.services]));
  if (services !== offered) {
    offered = services;
    showMethods();
  }
}

async function showMethods() {
  const response = await fetch("/v1/services", { headers: credentials() });
  if (!response.ok) return;
  const { services } = await response.json();
  const open = new Set([...byId("methods").querySelectorAll("details[open]")].map((one) => one.dataset.service));
  byId("methods").replaceChildren(
    ...services.map((service) => {
      const part = document.createElement("details");
      part.dataset.service = service.name;
      part.open = open.has(service.name);
      const [title, about, list] = ["summary", "span", "ul"].map((name) => document.createElement(name));
      about.textContent = ` ${service.versions.join(", ")} ${service.description}`;
      title.append(service.name, about);
      list.append(...service.methods.map(showMethod));
      part.append(title, list);
      return part;
    }),
  );
}

function showMethod(method) {
  const [item, signature, about] = ["li", "code", "p"].map((name) => document.createElement(name));
  signature.textContent = method.signature;
  const notes = [method.read_only ? "Changes nothing: GET does." : "", method.idempotent ? "" : "Must not run twice."];
  about.textContent = [method.description, ...notes].filter(Boolean).join("\n");
  item.append(signature, about);
  return item;
}

// ---- the stream

const credentials = () => {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
};

function say(state, text) {
  byId("link").dataset.state = state;
  put(byId("link"), text);
}

async function follow() {
  const response = await fetch("/v1/events?screens=1", { headers: credentials(), cache: "no-store" });
  if (response.status === 401) {
    const { detail } = await response.json();
    byId("denied").textContent = sessionStorage.getItem("token") ? detail : "";
    byId("login").hidden = false;
    say("lost", "waiting for a token");
    await new Promise((resolve) => byId("login").addEventListener("submit", resolve, { once: true }));
    return;
  }
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  byId("login").hidden = true;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let read = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the gateway has ended");
    const messages = (read + value).split("\n\n");
    read = messages.pop();
    for (const message of messages) {
      const found = /^event: screen\ndata: (.*)$/.exec(message);
      if (found) {
        say("live", "live");
        showScreen(JSON.parse(found[1]));
      }
    }
  }
}

async function run() {
  for (;;) {
    try {
      await follow();
    } catch (error) {
      say("lost", `${error.message}; trying again …`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
});
byId("filter").addEventListener("input", () => newest && showServers());
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const key = button.dataset.sort;
    const number = button.closest("th").classList.contains("number");
    order = { key, down: order.key === key ? !order.down : number };
    for (const head of document.querySelectorAll("thead th")) head.removeAttribute("aria-sort");
    button.closest("th").setAttribute("aria-sort", order.down ? "descending" : "ascending");
    if (newest) showServers();
  });
}
run();
