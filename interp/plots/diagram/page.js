"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const nodes = [...document.querySelectorAll("[data-node]")];
const nameOf = (node) => `${node.dataset.node}@${node.dataset.at}`;
let pinned = null;
let shown = null;

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/* The color of a weight, from the page's own three, so that it follows light and dark. */
function colors() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((x) => parseInt(x, 16));
  const [low, mid, high] = ["--low", "--mid", "--high"].map(rgb);
  return (weight) => {
    const [from, to, at] = weight < 0.5 ? [low, mid, 2 * weight] : [mid, high, 2 * weight - 1];
    return `rgb(${from.map((x, i) => Math.round(x + (to[i] - x) * at)).join(",")})`;
  };
}

function draw(pattern, label) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  const n = data.tokens.length, cell = Math.max(9, Math.min(22, Math.floor(290 / n)));
  const canvas = byId("sheet"), pen = canvas.getContext("2d");
  const font = `${Math.min(12, cell)}px system-ui, sans-serif`;
  pen.font = font;
  const margin = 8 + Math.ceil(Math.max(...data.tokens.map((token) => pen.measureText(token).width)));
  const size = margin + n * cell + 2, scale = window.devicePixelRatio || 1;
  canvas.width = canvas.height = size * scale;
  canvas.style.width = canvas.style.height = `${size}px`;
  canvas.setAttribute("aria-label", `Attention of head ${label} between the tokens of a prompt`);
  pen.scale(scale, scale);
  pen.font = font;
  pen.textBaseline = "middle";
  const color = colors();
  let at = 0;
  for (let query = 0; query < n; query++) {
    for (let key = 0; key <= query; key++) {
      pen.fillStyle = color(pattern[at++] / 255);
      pen.fillRect(margin + key * cell, margin + query * cell, cell - 1, cell - 1);
    }
    pen.fillStyle = ink;
    pen.textAlign = "right";
    pen.fillText(data.tokens[query], margin - 5, margin + (query + 0.5) * cell);
    pen.save();
    pen.translate(margin + (query + 0.5) * cell, margin - 5);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "left";
    pen.fillText(data.tokens[query], 0, 0);
    pen.restore();
  }
  pen.strokeStyle = line;
  pen.strokeRect(margin - 0.5, margin - 0.5, n * cell, n * cell);
}

function show(name) {
  const node = data.nodes[name];
  shown = name;
  byId("name").textContent = node.label;
  byId("about").textContent = node.about;
  byId("numbers").replaceChildren(...node.rows.map(([what, number]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th"), value = document.createElement("td");
    head.scope = "row";
    head.textContent = what;
    value.textContent = number;
    row.append(head, value);
    return row;
  }));
  byId("attention").hidden = node.pattern === null;
  if (node.pattern !== null) draw(bytes(node.pattern), node.label);
}

function pin(node) {
  pinned = pinned === node ? null : node;
  for (const one of nodes) one.setAttribute("aria-pressed", String(one === pinned));
  show(nameOf(node));
}

for (const node of nodes) {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "button");
  node.setAttribute("aria-label", nameOf(node));
  node.setAttribute("aria-pressed", "false");
  node.addEventListener("mouseenter", () => { if (!pinned) show(nameOf(node)); });
  node.addEventListener("focus", () => { if (!pinned) show(nameOf(node)); });
  node.addEventListener("click", () => pin(node));
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(node); }
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (shown) show(shown); });
const first = new URLSearchParams(location.hash.slice(1)).get("head");
const start = first && nodes.find((node) => nameOf(node) === first);
if (start) pin(start);
