/** Draws the engine's state, fetched each second with the key from the address or the user. */

const EVERY_MS = 1000;
const PARTS = { weights: "weights", kv_cache: "KV cache", workspace: "workspace", draft: "draft model", free: "free" };
const MINUTE = 60;

const byId = (id) => document.getElementById(id);
let key = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("key");
history.replaceState(null, "", location.pathname); // the key stays in neither the address nor the history

byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  look();
});
setInterval(look, EVERY_MS);
look();

async function look() {
  if (document.hidden) return;
  if (!key) return show("Enter the key", "", true);
  try {
    const answer = await fetch("/engine/figures", { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" });
    if (answer.status === 401) {
      key = null;
      sessionStorage.removeItem("key");
      return show("Wrong key", "away", true);
    }
    sessionStorage.setItem("key", key);
    draw(await answer.json());
  } catch {
    show("The server does not answer", "away", false);
  }
}

function show(status, kind, asks) {
  byId("status").textContent = status;
  byId("status").className = kind;
  byId("entry").hidden = !asks;
}

function draw(state) {
  show(inWords(state), state.status === "ok" ? "ok" : "", false);
  byId("engine").hidden = false;
  byId("model").textContent = state.model;
  byId("running").textContent = state.running;
  byId("waiting").textContent = state.waiting;
  const past = state.history;
  const lastTokens = past.tokens.at(-2); // the last complete second
  const first = median(past.first_token_ms.slice(-MINUTE));
  const reused = median(past.reused.slice(-MINUTE));
  byId("speed").textContent = lastTokens;
  byId("first").textContent = first === null ? "–" : milliseconds(first);
  byId("reused").textContent = reused === null ? "–" : percent(reused);
  drawPlacement(state.placement);
  drawChart(byId("tokens"), past.tokens.slice(0, -1), (most) => `up to ${most}`);
  drawChart(byId("latency"), past.first_token_ms, (most) => `up to ${milliseconds(most)}`);
  drawChart(byId("reuse"), past.reused, (most) => `up to ${percent(most)}`, 1);
}

function inWords(state) {
  if (state.status === "ok") return "Ready";
  const { activity, done, total } = state.progress;
  return total ? `${activity} ${percent(done / total)}` : activity;
}

function drawPlacement(plan) {
  const shares = plan.devices ?? [];
  byId("placement").hidden = !shares.length;
  const scale = Math.max(...shares.map((share) => share.limit ?? used(share)));
  byId("devices").replaceChildren(...shares.map((share) => device(share, plan.device_map, scale)));
  const shown = Object.keys(PARTS).filter((part) => shares.some((share) => sizes(share)[part] > 0));
  byId("legend").replaceChildren(...shown.map((part) => element("li", "", element("i", part), PARTS[part])));
}

function device(share, map, scale) {
  const held = sizes(share);
  const pieces = Object.keys(PARTS).filter((part) => held[part] > 0).map((part) => {
    const piece = element("i", part);
    piece.style.width = `${(100 * held[part]) / scale}%`;
    piece.title = `${PARTS[part]}: ${bytes(held[part])}`;
    return piece;
  });
  const name = typeof share.device === "number" ? `GPU ${share.device}` : share.device;
  const room = share.limit === null ? bytes(used(share)) : `${bytes(used(share))} of ${bytes(share.limit)}`;
  return element(
    "div",
    "device",
    element("b", "", name),
    element("span", "", layers(share, map)),
    element("div", "bar", ...pieces),
    element("span", "", room),
  );
}

/** Return the layers of a device as text: `layers 0–10`. */
function layers(share, map) {
  const numbers = Object.entries(map)
    .filter(([name, place]) => place === share.device && /\.\d+$/.test(name))
    .map(([name]) => Number(name.match(/\d+$/)[0]))
    .sort((one, other) => one - other);
  const runs = [];
  for (const number of numbers) {
    if (runs.at(-1)?.[1] === number - 1) runs.at(-1)[1] = number;
    else runs.push([number, number]);
  }
  const spans = runs.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
  return spans ? `layer${numbers.length > 1 ? "s" : ""} ${spans}` : `${share.layers} layers`;
}

const used = (share) => share.weights + share.kv_cache + share.workspace + share.draft;
const sizes = (share) => ({ ...share, free: share.limit === null ? 0 : Math.max(0, share.limit - used(share)) });

/** Draw a line through the numbers, the newest at the right; nulls are left out, and a single number is a dot. */
function drawChart(svg, numbers, caption, highest) {
  const known = numbers.flatMap((value, index) => (value === null ? [] : [[index, value]]));
  const most = known.length ? Math.max(...known.map(([, value]) => value)) : null;
  const top = highest ?? (most || 1);
  const place = ([index, value]) => `${index} ${(100 * (1 - value / top)).toFixed(2)}`;
  const line = known.map(place).join(" L ");
  svg.setAttribute("viewBox", `0 0 ${numbers.length - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const words = most === null ? "nothing yet" : caption(Number.isInteger(most) ? most : Number(most.toPrecision(3)));
  svg.setAttribute("aria-label", words);
  svg.previousElementSibling.querySelector("b").textContent = words;
  const drawn = known.length ? [shape("path", { class: "area", d: area(known, line) }), shape("path", { d: `M ${place(known[0])} L ${line}` })] : [];
  svg.replaceChildren(shape("line", { x1: 0, x2: numbers.length - 1, y1: 50, y2: 50 }), ...drawn);
}

const area = (known, line) => `M ${known[0][0]} 100 L ${line} L ${known.at(-1)[0]} 100 Z`;

function shape(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  return node;
}

function element(name, kind, ...children) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  node.append(...children);
  return node;
}

function median(numbers) {
  const known = numbers.filter((value) => value !== null).sort((one, other) => one - other);
  return known.length ? known[known.length >> 1] : null;
}

function bytes(size) {
  for (const [unit, scale] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (size >= scale) return `${(size / scale).toFixed(1)} ${unit}`;
  }
  return `${size} bytes`;
}

const milliseconds = (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`);
const percent = (share) => `${Math.round(100 * share)}%`;
