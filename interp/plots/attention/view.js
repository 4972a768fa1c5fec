// The script of the attention page. It is one file, because the page holds it as one script.
"use strict";
(() => {
  performance.mark("attention-start");
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { tokens, positions, layers, heads } = data;
  const n = tokens.length, nHeads = heads.length, all = layers.length * nHeads;
  const triangle = n * (n + 1) / 2;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const pattern = bytes(data.pattern), share = data.share && bytes(data.share);

  // What the reader chose; `over` is the token, `cell` the pair of tokens under the pointer.
  const state = { head: data.first, token: n - 1, over: null, cell: null };
  const token = () => state.over ?? state.token;
  const weighted = () => share !== null && $("measure").value === "weighted";
  const name = (head) => `${layers[Math.floor(head / nHeads)]}.${heads[head % nHeads]}`;
  const place = (i) => `${tokens[i]} (${positions[i]})`;
  const short = (i) => tokens[i].length > 14 ? `${tokens[i].slice(0, 13)}…` : tokens[i];

  function weight(head, query, key) {
    if (key > query) return 0;
    const value = pattern[head * triangle + query * (query + 1) / 2 + key] / 255;
    return weighted() ? value * share[head * n + key] / 255 : value;
  }

  // ---- colors -----------------------------------------------------------------------------

  let theme, colors, inks, packed;
  const css = (key) => theme[key];
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  function luminance(rgb) {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast(one, two) {
    const [dark, light] = [luminance(one), luminance(two)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }
  function readColors() {
    const style = getComputedStyle(document.documentElement);
    const keys = ["--ink", "--line", "--accent", "--low", "--mid", "--high", "--on-high"];
    theme = Object.fromEntries(keys.map((key) => [key, style.getPropertyValue(key).trim()]));
    const stops = ["--low", "--mid", "--high"].map((key) => channels(css(key)));
    const rgb = Array.from({ length: 256 }, (_, i) => {
      const at = i / 127.5, low = Math.min(Math.floor(at), 1);
      return stops[low].map((from, c) => Math.round(from + (stops[low + 1][c] - from) * (at - low)));
    });
    colors = rgb.map((one) => `rgb(${one})`);
    inks = rgb.map((one) => {  // whichever of the two contrasts more (WCAG 2)
      const [dark, light] = [css("--ink"), css("--on-high")].map((hex) => contrast(channels(hex), one));
      return css(dark >= light ? "--ink" : "--on-high");
    });
    packed = Uint32Array.from(rgb, ([r, g, b]) => (255 << 24 | b << 16 | g << 8 | r) >>> 0);
  }
  const shade = (value) => Math.round(255 * ($("lift").checked ? Math.sqrt(value) : value));

  // ---- all heads --------------------------------------------------------------------------

  const tiles = [];
  function buildGrid() {
    const grid = $("grid");
    const label = (text) => grid.appendChild(Object.assign(document.createElement("span"), { textContent: text }));
    grid.style.gridTemplateColumns = `max-content repeat(${nHeads}, minmax(0, 1fr))`;
    label("");
    heads.forEach(label);
    for (let head = 0; head < all; head++) {
      if (head % nHeads === 0) label(layers[head / nHeads]);
      const button = grid.appendChild(document.createElement("button"));
      button.type = "button";
      button.title = name(head);
      button.setAttribute("aria-label", `Head ${name(head)}`);
      button.onclick = () => choose(head);
      const canvas = button.appendChild(document.createElement("canvas"));
      canvas.width = canvas.height = n;
      canvas.style.imageRendering = n < 40 ? "pixelated" : "auto";
      tiles.push({ button, context: canvas.getContext("2d") });
    }
    grid.onkeydown = (event) => {
      const column = state.head % nHeads;
      const step = {
        ArrowLeft: column > 0 ? -1 : 0, ArrowRight: column < nHeads - 1 ? 1 : 0,
        ArrowUp: -nHeads, ArrowDown: nHeads, Home: -column, End: nHeads - 1 - column,
      }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = state.head + step;
      if (next >= 0 && next < all) choose(next);
      tiles[state.head].button.focus();
    };
  }

  function drawGrid() {
    const image = new ImageData(n, n), pixels = new Uint32Array(image.data.buffer);
    tiles.forEach(({ context }, head) => {
      pixels.fill(packed[0]);
      for (let query = 0; query < n; query++)
        for (let key = 0; key <= query; key++)
          pixels[query * n + key] = packed[shade(weight(head, query, key))];
      context.putImageData(image, 0, 0);
    });
  }

  function choose(head) {
    state.head = head;
    draw();
  }

  // ---- the text ---------------------------------------------------------------------------

  const words = [];
  function buildText() {
    const text = $("text");
    tokens.forEach((label, i) => {
      const button = text.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = label;
      button.title = `position ${positions[i]}`;
      button.onclick = () => { state.token = i; draw(); };
      button.onpointerenter = () => point(i);
      button.onpointerleave = () => point(null);
      words.push(button);
    });
    text.onkeydown = (event) => {
      const last = n - 1;
      const next = { ArrowLeft: state.token - 1, ArrowRight: state.token + 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      state.token = Math.max(0, Math.min(last, next));
      state.over = state.cell = null;
      draw();
      words[state.token].focus();
    };
  }

  function point(over, cell = null) {
    if (over === state.over && String(cell) === String(state.cell)) return;
    Object.assign(state, { over, cell });
    draw();
  }

  function drawText() {
    const one = token(), to = $("direction").value === "to";
    const values = tokens.map((_, i) => to ? weight(state.head, one, i) : weight(state.head, i, one));
    words.forEach((button, i) => {
      const level = shade(values[i]);
      button.style.background = colors[level];
      button.style.color = inks[level];
      button.setAttribute("aria-pressed", i === one);
      button.tabIndex = i === state.token ? 0 : -1;
    });
    if (state.cell) {
      const [query, key] = state.cell;
      $("readout").textContent = `${place(query)} → ${place(key)}: ${weight(state.head, query, key).toFixed(3)}`;
      return;
    }
    const top = values.map((value, i) => [value, i]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const listed = top.filter(([value]) => value >= 0.005).map(([value, i]) => `${place(i)} ${value.toFixed(2)}`);
    $("readout").textContent = `${place(one)} ${to ? "attends to" : "is attended by"}: ${listed.join(", ") || "nothing"}`;
  }

  // ---- one head ---------------------------------------------------------------------------

  const sheet = $("sheet"), pen = sheet.getContext("2d");
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif";

  function size(width, height) {
    const ratio = window.devicePixelRatio || 1;
    sheet.width = Math.round(width * ratio);
    sheet.height = Math.round(height * ratio);
    sheet.style.width = `${width}px`;
    sheet.style.height = `${height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
  }

  function write(text, x, y, { color = "--ink", bold = false, align = "left", turn = 0, px = 12 } = {}) {
    pen.save();
    pen.translate(x, y);
    pen.rotate(turn);
    pen.font = `${bold ? 700 : 400} ${px}px ${FONT}`;
    pen.fillStyle = css(color);
    pen.textAlign = align;
    pen.textBaseline = "middle";
    pen.fillText(text, 0, 0);
    pen.restore();
  }

  function widest() {
    pen.font = `700 12px ${FONT}`;
    return Math.ceil(Math.max(...tokens.map((_, i) => pen.measureText(short(i)).width)));
  }

  let geometry = {};
  function measure() {
    const room = Math.max(300, sheet.parentElement.clientWidth), wide = widest();
    const fit = (px, slant) => {  // the margin of labels, and the side of a cell beside it
      const side = Math.ceil(wide * px / 12) + 10;
      return { room, px, slant, side, cell: Math.min(30, Math.floor((room - (slant ? 1.6 : 1) * side - 4) / n)) };
    };
    geometry = fit(12, true);
    if (geometry.cell < 14) geometry = fit(10, false);  // upright labels stand closer
    if (geometry.cell < 11) geometry = { ...fit(9, false), cell: Math.max(9, fit(9, false).cell) };
  }

  function drawMatrix() {
    const { side, cell, px, slant } = geometry, one = token();
    size(side * (slant ? 1.6 : 1) + n * cell + 4, side + n * cell + 4);
    for (let query = 0; query < n; query++)
      for (let key = 0; key <= query; key++) {
        pen.fillStyle = colors[shade(weight(state.head, query, key))];
        pen.fillRect(side + key * cell, side + query * cell, cell - 0.5, cell - 0.5);
      }
    pen.strokeStyle = css("--line");
    pen.strokeRect(side - 0.5, side - 0.5, n * cell + 1, n * cell + 1);
    const [rowOn, columnOn] = state.cell ?? ($("direction").value === "to" ? [one, null] : [null, one]);
    tokens.forEach((_, i) => {
      const middle = side + (i + 0.5) * cell, mark = (on) => ({ color: on ? "--accent" : "--ink", bold: on, px });
      write(short(i), side - 6, middle, { align: "right", ...mark(i === rowOn) });
      write(short(i), middle, side - 6, { turn: slant ? -Math.PI / 3 : -Math.PI / 2, ...mark(i === columnOn) });
    });
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.5;
    if (rowOn !== null) pen.strokeRect(side, side + rowOn * cell, (rowOn + 1) * cell, cell);
    if (columnOn !== null) pen.strokeRect(side + columnOn * cell, side + columnOn * cell, cell, (n - columnOn) * cell);
    pen.lineWidth = 1;
  }

  const ROW = 21;
  function drawArcs() {
    const room = Math.min(geometry.room, 620) - widest() - 30, one = token();
    const reach = Math.min(room, (n - 1) * ROW), right = reach + 10;
    const least = Number($("threshold").value), to = $("direction").value === "to";
    size(right + 12 + widest() + 8, n * ROW + 16);
    const y = (i) => 8 + (i + 0.5) * ROW, arcs = [];
    for (let query = 0; query < n; query++)
      for (let key = 0; key <= query; key++) {
        const value = weight(state.head, query, key);
        if (value >= least) arcs.push({ value, query, key, on: (to ? query : key) === one });
      }
    arcs.sort((a, b) => a.on - b.on || a.value - b.value);
    const longest = Math.max(1, ...arcs.map(({ query, key }) => query - key));
    const out = Math.min(reach, longest * ROW);
    for (const { value, query, key, on } of arcs) {
      pen.strokeStyle = pen.fillStyle = css(on ? "--accent" : "--mid");
      pen.globalAlpha = on ? 0.35 + 0.65 * value : 0.2 + 0.6 * value;
      pen.lineWidth = 0.8 + 5 * value;
      pen.beginPath();
      if (query === key) pen.arc(right, y(key), 1.5 + 4.5 * value, 0, 2 * Math.PI), pen.fill();
      else pen.ellipse(right, (y(query) + y(key)) / 2, out * (query - key) / longest, (y(query) - y(key)) / 2, 0, Math.PI / 2, 3 * Math.PI / 2), pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
    tokens.forEach((_, i) => write(short(i), right + 12, y(i), { color: i === one ? "--accent" : "--ink", bold: i === one }));
  }

  sheet.onpointermove = (event) => {
    if ($("picture").value === "arcs") {
      const row = Math.floor((event.offsetY - 8) / ROW);
      return point(row >= 0 && row < n ? row : null);
    }
    const { side, cell } = geometry;
    const [key, query] = [event.offsetX, event.offsetY].map((at) => Math.floor((at - side) / cell));
    const inside = query >= 0 && query < n && key >= 0 && key <= query;
    const cellAt = inside ? [query, key] : null;
    point(inside ? ($("direction").value === "to" ? query : key) : null, cellAt);
  };
  sheet.onpointerleave = () => point(null);
  sheet.onclick = () => { state.token = token(); draw(); };

  // ---- everything -------------------------------------------------------------------------

  function draw() {
    $("head-name").textContent = `Head ${name(state.head)}`;
    $("layer").value = Math.floor(state.head / nHeads);
    $("head").value = state.head % nHeads;
    $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
    $("threshold-label").hidden = $("picture").value !== "arcs";
    tiles.forEach(({ button }, head) => {
      button.setAttribute("aria-pressed", head === state.head);
      button.tabIndex = head === state.head ? 0 : -1;
    });
    drawText();
    if ($("picture").value === "arcs") drawArcs(); else drawMatrix();
    sheet.setAttribute("aria-label", `${$("picture").selectedOptions[0].text} of head ${name(state.head)}. ${$("readout").textContent}`);
  }

  function drawAll() {
    readColors();
    measure();
    drawGrid();
    draw();
    performance.mark("attention-drawn");
  }

  for (const [id, labels] of [["layer", layers], ["head", heads]]) {
    labels.forEach((label, i) => $(id).add(new Option(label, i)));
    $(id).onchange = () => choose(Number($("layer").value) * nHeads + Number($("head").value));
  }
  if (share === null) $("measure").parentElement.hidden = true;
  for (const id of ["measure", "lift"]) $(id).onchange = drawAll;
  for (const id of ["picture", "direction", "threshold"]) $(id).oninput = draw;
  document.querySelector("form").onsubmit = (event) => event.preventDefault();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new ResizeObserver(() => { measure(); draw(); }).observe(sheet.parentElement);
  document.body.classList.toggle("long", n > 40);
  buildGrid();
  buildText();
  drawAll();
})();
