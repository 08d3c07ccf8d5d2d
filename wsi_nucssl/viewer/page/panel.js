// The panel: what is shown, in which colours, and of which range.

import { COMPARED, css, heat, HIDDEN, light } from "./colors.js";
import { gradient } from "./layers.js";

export const $ = (id) => document.getElementById(id);
export const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : (+value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 4 }));
const text = (column) => (column.unit ? `${column.label} (${column.unit})` : column.label);

export function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, label]) => new Option(label, value, false, value === chosen)));
}

export const choices = (nuclei) => nuclei.columns.filter((each) => !each.classes || each.classes.length > 1).map((each) => [each.name, text(each)]);

export function layerBoxes(root, layers, state, changed) {
  root.replaceChildren(...layers.map(([name, label, key]) => {
    const row = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: state.layers.has(name), id: `layer-${name}` });
    box.addEventListener("change", () => changed(name, box.checked));
    const hint = Object.assign(document.createElement("kbd"), { textContent: key });
    row.append(box, label, hint);
    return row;
  }));
}

function patch(color) {
  const canvas = Object.assign(document.createElement("canvas"), { className: "patch", width: 14, height: 14 });
  const context = canvas.getContext("2d");
  context.fillStyle = css(color);
  context.fillRect(0, 0, 14, 14);
  return canvas;
}

function bar(color, low, high, unit) {
  const canvas = document.createElement("canvas");
  gradient(canvas, color);
  const ends = Object.assign(document.createElement("div"), { className: "ends" });
  ends.append(...[low, unit, high].map((each) => Object.assign(document.createElement("span"), { textContent: each })));
  return [canvas, ends];
}

/** What the colours mean. */
export function legend(root, { nuclei, column, matches, names, density, classCounts, onClass }) {
  const parts = [];
  if (matches) {
    for (const [key, label] of [["both", "found by both"], ["first", `only ${names[0]}`], ["second", `only ${names[1]}`]]) {
      const row = Object.assign(document.createElement("label"), { className: "only-shown" });
      row.append(patch(COMPARED[key]), label, Object.assign(document.createElement("span"), { textContent: number(matches[key]) }));
      parts.push(row);
    }
  } else if (column?.classes) {
    column.classes.forEach((each, code) => {
      const row = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !nuclei.hiddenClasses.has(code) });
      box.addEventListener("change", () => onClass(code, box.checked));
      row.append(box, patch(each.color), each.name, Object.assign(document.createElement("span"), { textContent: number(classCounts?.[code] ?? 0) }));
      parts.push(row);
    });
  } else if (column) {
    const [low, high] = column.usual;
    parts.push(...bar(light, `≤ ${number(low)}`, `≥ ${number(high)}`, column.unit));
  }
  if (density) parts.push(...bar(heat, "0", `≥ ${number(Math.round(density.top))}`, density.unit));
  root.replaceChildren(...parts);
}

/** Bars of a measurement, those of the chosen range in colour. */
export function histogram(canvas, values, column, range) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth || 264, 56];
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [low, high] = span(column);
  const bins = new Uint32Array(Math.max(8, Math.floor(width / 4)));
  for (const value of values) {
    const bin = Math.floor(((value - low) / (high - low || 1)) * bins.length);
    if (bin >= 0 && bin <= bins.length) bins[Math.min(bin, bins.length - 1)]++;
  }
  const most = Math.max(...bins, 1);
  const style = getComputedStyle(document.body);
  bins.forEach((count, k) => {
    const middle = low + ((k + 0.5) / bins.length) * (high - low);
    const isIn = !range || (middle >= range[0] && middle <= range[1]);
    context.fillStyle = style.getPropertyValue(isIn ? "--accent" : "--line");
    const tall = count ? Math.max(1.5, (count / most) * (height - 4)) : 0;
    context.fillRect((k * width) / bins.length, height - tall, width / bins.length - 1, tall);
  });
}

/** What a histogram shows: all but the last hundredth at each end, and somewhat beyond. */
export function span(column) {
  if (column.classes) return [0, column.classes.length];
  const [low, high] = column.usual;
  const beyond = (high - low) * 0.15;
  return [Math.max(column.range[0], low - beyond), Math.min(column.range[1], high + beyond)];
}

/** Rows of a nucleus's values. */
export function valueRows(nuclei, about) {
  const rows = nuclei.columns.flatMap((column, k) => {
    const value = about.values[k];
    if (Number.isNaN(value) || (column.classes && column.classes.length < 2)) return [];
    return [[column.label, column.classes ? column.classes[value].name : `${number(value)}${column.unit ? ` ${column.unit}` : ""}`]];
  });
  return rows;
}

export function fillTable(table, rows, id = "") {
  const made = rows.map((cells) => row(cells));
  if (id) {
    const last = row(["Id", id]);
    last.className = "id";
    made.push(last);
  }
  table.replaceChildren(...made);
}

function row(cells) {
  const line = document.createElement("tr");
  line.append(...cells.map((each) => Object.assign(document.createElement("td"), { textContent: each })));
  return line;
}

export function counts(nuclei, values) {
  const found = {};
  for (let i = 0; i < nuclei.count; i++) if (nuclei.levels[i] !== HIDDEN) found[values[i]] = (found[values[i]] ?? 0) + 1;
  return found;
}
