// What is drawn over the slide besides nuclei: where tissue is, seams between windows, and how dense nuclei lie.

import { css, heat, HIDDEN } from "./colors.js";

const DENSITY_UM = 50; // side of a cell of the density map
const DENSITY_PX = 200; // the same where nobody knows µm

export function drawTissue(context, view, polygons) {
  context.beginPath();
  for (const rings of polygons)
    for (const ring of rings) {
      for (let i = 0; i < ring.length; i += 2) {
        const [x, y] = [(ring[i] - view.x) * view.zoom, (ring[i + 1] - view.y) * view.zoom];
        if (i) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
      context.closePath();
    }
  context.fillStyle = "rgb(0 140 60 / 8%)";
  context.fill("evenodd");
  context.strokeStyle = "rgb(0 140 60)";
  context.lineWidth = 1.5;
  context.stroke();
}

export function drawSeams(context, view, { x, y }, size) {
  context.beginPath();
  for (const at of x) {
    const px = Math.round((at - view.x) * view.zoom) + 0.5;
    context.moveTo(px, -view.y * view.zoom);
    context.lineTo(px, (size.height - view.y) * view.zoom);
  }
  for (const at of y) {
    const py = Math.round((at - view.y) * view.zoom) + 0.5;
    context.moveTo(-view.x * view.zoom, py);
    context.lineTo((size.width - view.x) * view.zoom, py);
  }
  context.strokeStyle = "rgb(40 60 200 / 75%)";
  context.lineWidth = 1;
  context.setLineDash([6, 4]);
  context.stroke();
  context.setLineDash([]);
}

export class Density {
  /** Nuclei that are shown, per mm², as a picture; cells of 50 µm, each mixed with its neighbours. */
  constructor(nuclei, slide) {
    this.um = slide.mpp ? DENSITY_UM : null;
    this.cell = slide.mpp ? DENSITY_UM / ((slide.mpp[0] + slide.mpp[1]) / 2) : DENSITY_PX;
    const longest = Math.max(slide.width, slide.height);
    this.cell *= Math.max(1, Math.ceil(longest / this.cell / 4096)); // no picture of more than 4096 px
    [this.wide, this.high] = [Math.ceil(slide.width / this.cell), Math.ceil(slide.height / this.cell)];
    this.version = nuclei.version;
    const counts = smoothed(counted(nuclei, this), this.wide, this.high);
    const area = slide.mpp ? (this.cell * this.cell * slide.mpp[0] * slide.mpp[1]) / 1e6 : (this.cell * this.cell) / 1e6;
    const known = counts.filter((value) => value > 0).sort();
    this.most = known.length ? known[Math.floor(0.99 * (known.length - 1))] : 1;
    this.top = this.most / area;
    this.unit = slide.mpp ? "nuclei/mm²" : "nuclei/Mpx";
    this.picture = painted(counts, this);
  }

  draw(context, view) {
    context.imageSmoothingEnabled = true;
    context.globalAlpha = 0.65;
    const side = this.cell * view.zoom;
    context.drawImage(this.picture, -view.x * view.zoom, -view.y * view.zoom, this.wide * side, this.high * side);
    context.globalAlpha = 1;
  }
}

function counted(nuclei, { cell, wide, high }) {
  const counts = new Float32Array(wide * high);
  for (let i = 0; i < nuclei.count; i++) {
    if (nuclei.levels[i] === HIDDEN) continue;
    const col = Math.min(Math.max(Math.floor(nuclei.places[2 * i] / cell), 0), wide - 1);
    const row = Math.min(Math.max(Math.floor(nuclei.places[2 * i + 1] / cell), 0), high - 1);
    counts[row * wide + col]++;
  }
  return counts;
}

/** Each cell mixed with its neighbours along x, then along y, by ¼ ½ ¼. */
function smoothed(counts, wide, high) {
  for (const [step, length, others, stride] of [[1, wide, high, wide], [wide, high, wide, 1]]) {
    const out = new Float32Array(counts.length);
    for (let other = 0; other < others; other++)
      for (let k = 0; k < length; k++) {
        const at = other * stride + k * step;
        out[at] = (counts[k ? at - step : at] + 2 * counts[at] + counts[k < length - 1 ? at + step : at]) / 4;
      }
    counts = out;
  }
  return counts;
}

function painted(counts, { wide, high, most }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: wide, height: high });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(wide, high);
  for (let i = 0; i < counts.length; i++) {
    const part = Math.min(counts[i] / most, 1);
    pixels.data.set([...heat(part), 255 * Math.min(1, 4 * part)], 4 * i); // what is nearly empty shows the slide
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

export const gradient = (canvas, color) => {
  canvas.width = 128;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  for (let k = 0; k < 128; k++) {
    context.fillStyle = css(color(k / 127));
    context.fillRect(k, 0, 1, 1);
  }
};
