// The page: opens what view.json names, and keeps slide, nuclei, panel, keys and address together.

import { COMPARED, palette } from "./colors.js";
import { Density } from "./layers.js";
import { bytes, json, Nuclei } from "./nuclei.js";
import { Pane } from "./pane.js";
import { $, choices, counts, fillTable, histogram, layerBoxes, legend, number, options, span, valueRows } from "./panel.js";
import { State } from "./state.js";

const REACH_PX = 8; // screen px that the pointer may be off a point
const state = new State().read(location.hash);
const shown = { sets: [], panes: [], files: {}, picked: null, hovered: null, palette: new Map() };

function say(message) {
  Object.assign($("message"), { textContent: message, hidden: false });
  clearTimeout(say.timer);
  say.timer = setTimeout(() => ($("message").hidden = true), 6000);
}

const guarded = (work) => (...given) => Promise.resolve(work(...given)).catch((error) => { console.error(error); say(error.message); });

async function begin() {
  const about = (shown.about = await json("view.json"));
  document.title = `${about.title} – wsi-nucssl`;
  $("title").textContent = about.title;
  const { width, height, mpp } = about.slide;
  $("subtitle").textContent = `${number(width)} × ${number(height)} px, ${mpp ? `${number(mpp[0])}\u00a0µm\u00a0per\u00a0px` : "µm unknown"}`;
  $("doubts").hidden = !about.doubts.length;
  $("doubts").replaceChildren(...about.doubts.map((each) => Object.assign(document.createElement("li"), { textContent: each })));
  addPane();
  [shown.sets, shown.flags] = await Promise.all([
    Promise.all(about.sets.map((_, k) => Nuclei.open(`nuclei/${k}`))),
    about.matches ? Promise.all(["first", "second"].map(async (side) => new Uint8Array(await bytes(`nuclei/matches/${side}.bin`)))) : null,
  ]);
  for (const nuclei of shown.sets) Object.assign(nuclei, { onTile: () => { draw(); follow(); }, onError: say });
  setUpPanel();
  await repaint();
  shown.readyAt = performance.now();
  document.documentElement.dataset.ready = "yes";
}

function addPane() {
  const pane = new Pane($("panes"), shown.about.slide, !shown.panes.length);
  const number = shown.panes.push(pane) - 1;
  pane.content = () => contentOf(number);
  pane.onMove = moved;
  pane.viewer.addOnceHandler("open", () => {
    if (state.place) pane.show(state.place.x, state.place.y, state.place.zoom);
  });
  pane.element.addEventListener("pointermove", (event) => hover(pane, number, event));
  pane.element.addEventListener("pointerleave", () => ($("tip").hidden = true));
  pane.viewer.addHandler("canvas-click", (event) => event.quick && pick(pane, number, event.originalEvent));
  return pane;
}

/** The results that a pane shows. */
function setsOf(pane) {
  const [first, second] = shown.sets;
  if (!first || !state.layers.has("nuclei")) return [];
  return { first: [first], second: [second], side: [pane ? second : first], difference: [second, first] }[second ? state.mode : "first"];
}

function contentOf(pane) {
  const isDifference = state.mode === "difference" && shown.flags;
  const sets = setsOf(pane).map((nuclei) => {
    const picked = shown.picked?.nuclei === nuclei ? shown.picked.number : shown.hovered?.nuclei === nuclei ? shown.hovered.number : -1;
    return [nuclei, { palette: colors(nuclei, isDifference), fill: state.fill, outline: state.layers.has("outline"), picked }];
  });
  const { tissue, seams } = shown.files;
  const base = setsOf(pane).at(-1) ?? shown.sets[0];
  return { sets, tissue: state.layers.has("tissue") && tissue, seams: state.layers.has("seams") && seams, density: state.layers.has("density") && base && densityOf(base) };
}

function colors(nuclei, isDifference) {
  const key = isDifference ? `difference ${shown.sets.indexOf(nuclei)}` : `${shown.sets.indexOf(nuclei)} ${state.color}`;
  if (!shown.palette.has(key)) {
    const made = palette(isDifference ? null : nuclei.column(state.color));
    if (isDifference) [COMPARED.both, shown.sets.indexOf(nuclei) ? COMPARED.second : COMPARED.first].forEach((each, k) => made.set(each, 4 * k));
    shown.palette.set(key, made);
  }
  return shown.palette.get(key);
}

function densityOf(nuclei) {
  if (nuclei.density?.version !== nuclei.version) nuclei.density = new Density(nuclei, shown.about.slide);
  return nuclei.density;
}

const draw = () => shown.panes.forEach((pane) => pane.draw());

/** Colours and filters of all nuclei anew, then the panel and the picture. */
const repaint = guarded(async () => {
  const isDifference = state.mode === "difference";
  for (const [k, nuclei] of shown.sets.entries()) {
    nuclei.filters = state.filters;
    if (!(await nuclei.paint(isDifference ? null : state.color, isDifference ? shown.flags?.[k] : null, k === 1))) return;
  }
  await showFiles();
  await refreshPanel();
  draw();
  remember();
});

async function showFiles() {
  for (const name of ["tissue", "seams"])
    if (state.layers.has(name) && !shown.files[name]) {
      if (name === "tissue") say("Finding the tissue …");
      shown.files[name] = await json(`${name}.json`);
      $("message").hidden = true;
      if (name === "seams" && !shown.files.seams.x.length && !shown.files.seams.y.length) say("There are no seams: the result was one window, or does not say where they are.");
    }
}

const base = () => shown.sets[state.mode === "second" ? 1 : 0];

function setUpPanel() {
  const nuclei = base();
  const [first, second] = shown.about.sets;
  $("nuclei-section").hidden = !nuclei;
  $("fill-row").hidden = !nuclei;
  const layers = [["nuclei", "Nuclei", "N"], ["outline", "Outlines", "O"], ["density", "Density", "D"], ["tissue", "Tissue", "T"], ["seams", "Seams", "S"]];
  shown.layerRows = nuclei ? layers : layers.slice(3, 4);
  $("fill").value = state.fill;
  $("fill").addEventListener("input", () => { state.fill = Number($("fill").value); draw(); remember(); });
  if (!nuclei) return;
  $("mode-row").hidden = !second;
  options($("mode"), [["first", first], ["second", second], ["side", "Side by side"], ["difference", "Difference"]], state.mode);
  if (!second) state.mode = "first";
  $("mode").addEventListener("change", () => setMode($("mode").value));
  const names = choices(nuclei);
  if (state.color === null) state.color = (names.find(([name]) => nuclei.column(name).classes) ?? names.find(([name]) => /area/i.test(name)) ?? names[0])?.[0] ?? "";
  options($("color"), [["", "one colour"], ...names], state.color);
  $("color").addEventListener("change", () => { state.color = $("color").value; repaint(); });
  const numbers = names.filter(([name]) => !nuclei.column(name).classes);
  state.filterBy = [...state.filters.keys()].find((name) => nuclei.column(name)) ?? numbers[0]?.[0];
  $("filter").hidden = !numbers.length;
  options($("filter-by"), numbers, state.filterBy);
  $("filter-by").addEventListener("change", () => { state.filterBy = $("filter-by").value; refreshPanel(); });
  for (const id of ["from", "to"]) $(id).addEventListener("change", readRange);
  $("unfilter").addEventListener("click", () => { state.filters.delete(state.filterBy); repaint(); });
  dragHistogram();
  if (state.mode === "side") setMode("side");
}

function setMode(mode) {
  state.mode = mode;
  $("mode").value = mode;
  if (mode === "side" && shown.panes.length < 2) {
    const { x, y, zoom, width, height } = shown.panes[0].view;
    state.place = { x: x + width / 2 / zoom, y: y + height / 2 / zoom, zoom };
    addPane();
  }
  shown.panes.forEach((pane, k) => {
    pane.element.hidden = k === 1 && mode !== "side";
    Object.assign(pane.name, { textContent: shown.about.sets[k], hidden: mode !== "side" });
  });
  repaint();
}

function readRange() {
  const column = base().column(state.filterBy);
  const [low, high] = column.range;
  const value = (id, otherwise) => ($(id).value === "" ? otherwise : Number($(id).value));
  setRange([value("from", low), value("to", high)]);
}

function setRange([from, to]) {
  const [low, high] = base().column(state.filterBy).range;
  if (from <= low && to >= high) state.filters.delete(state.filterBy);
  else state.filters.set(state.filterBy, [Math.min(from, to), Math.max(from, to)]);
  repaint();
}

/** Drag over the bars to choose a range; a click on them takes it away. */
function dragHistogram() {
  const canvas = $("histogram");
  let begun = null;
  const value = (event) => {
    const { left, width } = canvas.getBoundingClientRect();
    const [low, high] = span(base().column(state.filterBy));
    return +(low + Math.min(Math.max((event.clientX - left) / width, 0), 1) * (high - low)).toPrecision(4);
  };
  canvas.addEventListener("pointerdown", (event) => { begun = event; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => begun && Math.abs(event.clientX - begun.clientX) > 3 && setRange([value(begun), value(event)]));
  canvas.addEventListener("pointerup", (event) => {
    if (begun && Math.abs(event.clientX - begun.clientX) <= 3) { state.filters.delete(state.filterBy); repaint(); }
    begun = null;
  });
}

async function refreshPanel() {
  layerBoxes($("layers"), shown.layerRows, state, setLayer);
  const nuclei = base();
  if (!nuclei) return;
  const column = nuclei.column(state.color);
  const isDifference = state.mode === "difference";
  legend($("legend"), {
    nuclei, column, names: shown.about.sets, matches: isDifference && shown.about.matches,
    density: state.layers.has("density") && densityOf(nuclei),
    classCounts: column?.classes && counts(nuclei, await nuclei.valuesOf(column.name)),
    onClass: (code, isShown) => { for (const each of shown.sets) each.hiddenClasses[isShown ? "delete" : "add"](code); repaint(); },
  });
  $("color").disabled = isDifference;
  const sets = state.mode === "side" ? shown.sets : isDifference ? [] : [nuclei];
  $("shown").textContent = sets.map((each) => (each.shown === each.count ? `${number(each.count)} nuclei` : `${number(each.shown)} of ${number(each.count)} nuclei`)).join(" · ");
  await refreshFilter(nuclei);
}

async function refreshFilter(nuclei) {
  const filtered = nuclei.column(state.filterBy);
  if (!filtered) return;
  const range = state.filters.get(state.filterBy);
  histogram($("histogram"), await nuclei.valuesOf(state.filterBy), filtered, range);
  const [from, to] = range ?? filtered.range;
  Object.assign($("from"), { value: +from.toPrecision(4) });
  Object.assign($("to"), { value: +to.toPrecision(4) });
  $("unfilter").disabled = !range;
  $("filters").replaceChildren(...[...state.filters].filter(([name]) => name !== state.filterBy && nuclei.column(name)).map(([name, [a, b]]) => {
    const chip = Object.assign(document.createElement("button"), { type: "button", textContent: `${nuclei.column(name).label} ${number(a)}–${number(b)} ✕`, title: "Take this filter away" });
    chip.addEventListener("click", () => { state.filters.delete(name); repaint(); });
    return chip;
  }));
}

function setLayer(name, isShown) {
  state.layers[isShown ? "add" : "delete"](name);
  repaint();
}

function moved(pane) {
  if (!pane.viewer.isOpen()) return;
  const { x, y, zoom, width, height } = pane.view;
  state.place = { x: x + width / 2 / zoom, y: y + height / 2 / zoom, zoom };
  $("tip").hidden = true;
  for (const other of shown.panes)
    if (other !== pane && state.mode === "side" && !moved.busy && other.viewer.isOpen()) {
      moved.busy = true;
      other.show(state.place.x, state.place.y, zoom);
      moved.busy = false;
    }
  remember();
}

function remember() {
  clearTimeout(remember.timer);
  remember.timer = setTimeout(() => history.replaceState(null, "", state.hash), 200);
}

function nucleusAt(pane, index, event) {
  const { x, y, zoom } = pane.placeAt(event);
  for (const nuclei of setsOf(index).reverse()) {
    const found = nuclei.at(x, y, REACH_PX / zoom);
    if (found >= 0) return { nuclei, number: found };
  }
  return null;
}

function hover(pane, index, event) {
  if (event.buttons || !shown.sets.length) return;
  shown.hovered = nucleusAt(pane, index, event);
  shown.pointer = event;
  follow();
  draw();
}

/** The values beside the pointer, as soon as their tile is there. */
function follow() {
  const found = shown.hovered;
  const about = found && found.nuclei.about(found.number);
  $("tip").hidden = !about;
  if (!about) return;
  const table = document.createElement("table");
  fillTable(table, valueRows(found.nuclei, about));
  $("tip").replaceChildren(table);
  const { clientX, clientY } = shown.pointer;
  const { offsetWidth, offsetHeight } = $("tip");
  $("tip").style.left = `${clientX + 16 + offsetWidth > innerWidth ? clientX - 16 - offsetWidth : clientX + 16}px`;
  $("tip").style.top = `${Math.min(clientY + 16, innerHeight - offsetHeight - 8)}px`;
}

function pick(pane, index, event) {
  shown.picked = nucleusAt(pane, index, event);
  const about = shown.picked?.nuclei.about(shown.picked.number);
  $("selected").hidden = !about;
  if (about) fillTable($("values"), valueRows(shown.picked.nuclei, about), about.id);
  draw();
}

function pan(dx, dy) {
  const { viewport } = shown.panes[0].viewer;
  viewport.panBy(viewport.deltaPointsFromPixels(new OpenSeadragon.Point(dx, dy)));
}

const zoom = (factor) => shown.panes[0].viewer.viewport.zoomBy(factor);

function nextColor() {
  const select = $("color");
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  state.color = select.value;
  repaint();
}

function setFill(step) {
  state.fill = Math.min(Math.max(+(state.fill + step).toFixed(2), 0), 1);
  $("fill").value = state.fill;
  draw();
  remember();
}

const togglePanel = () => document.body.classList.toggle("without-panel");
const toggled = (name) => () => setLayer(name, !state.layers.has(name));
const KEYS = [
  ["arrows", "pan", { ArrowLeft: () => pan(-120, 0), ArrowRight: () => pan(120, 0), ArrowUp: () => pan(0, -120), ArrowDown: () => pan(0, 120) }],
  ["+  −", "zoom", { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5) }],
  ["0", "the whole slide", { 0: () => shown.panes[0].viewer.viewport.goHome() }],
  ["1", "one screen px a slide px", { 1: () => { const { x, y } = state.place ?? { x: shown.about.slide.width / 2, y: shown.about.slide.height / 2 }; shown.panes[0].show(x, y, 1, false); } }],
  ["N O D T S", "nuclei, outlines, density, tissue, seams", { n: toggled("nuclei"), o: toggled("outline"), d: toggled("density"), t: toggled("tissue"), s: toggled("seams") }],
  ["C", "next colouring", { c: nextColor }],
  ["[  ]", "less, more fill", { "[": () => setFill(-0.1), "]": () => setFill(0.1) }],
  ["M", "next way to compare", { m: () => { const modes = ["first", "second", "side", "difference"]; if (shown.sets[1]) setMode(modes[(modes.indexOf(state.mode) + 1) % 4]); } }],
  ["P", "panel", { p: togglePanel }],
  ["L", "copy the link to this place", { l: () => copyLink() }],
  ["?", "these keys", { "?": () => $("help").showModal() }],
];
const ACTIONS = Object.assign({}, ...KEYS.map(([, , actions]) => actions));

const copyLink = guarded(async () => {
  history.replaceState(null, "", state.hash);
  await navigator.clipboard.writeText(location.href);
  say("The link is copied.");
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea") || $("help").open;
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || typing || event.ctrlKey || event.metaKey || event.altKey || !shown.about) return;
  event.preventDefault();
  action();
});
fillTable($("keys"), KEYS.map(([keys, what]) => [keys, what]));
$("help-button").addEventListener("click", () => $("help").showModal());
$("copy-link").addEventListener("click", copyLink);
$("toggle-panel").addEventListener("click", togglePanel);
window.addEventListener("hashchange", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => refreshPanel());
if (innerWidth < 620) togglePanel();

window.wsiNucssl = shown; // for who looks closer, in the browser's console and in tests
guarded(begin)();
