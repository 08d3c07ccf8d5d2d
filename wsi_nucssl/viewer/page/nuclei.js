// The nuclei of one result: all their places, measurements that are wanted, and outlines tile by tile.

import { HIDDEN, LEVELS, NO_VALUE } from "./colors.js";

const MOST_TILES = 120;

async function fetched(path, kind) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer[kind]();
}

export const json = (path) => fetched(path, "json");
export const bytes = (path) => fetched(path, "arrayBuffer");

export class Nuclei {
  static async open(folder) {
    const index = await json(`${folder}/index.json`);
    const nuclei = new Nuclei(folder, index);
    nuclei.places = new Float32Array(await bytes(`${folder}/places.bin`));
    return nuclei;
  }

  constructor(folder, index) {
    Object.assign(this, { folder, index, columns: index.columns, count: index.count });
    this.tileAt = new Map(index.tiles.map(([row, col, first, count, step]) => [`${row}_${col}`, { row, col, first, count, step }]));
    this.levels = new Uint8Array(this.count); // each nucleus's colour, or HIDDEN
    this.version = 0;
    this.filters = new Map(); // name → [from, to]
    this.hiddenClasses = new Set();
    this.values = new Map();
    this.tiles = new Map();
    this.worker = new Worker("tile_worker.js", { type: "module" });
    this.worker.onmessage = ({ data }) => this.take(data);
    this.onTile = () => {};
    this.onError = () => {};
  }

  column(name) { return this.columns.find((each) => each.name === name); }

  /** All values of a measurement, fetched once. */
  async valuesOf(name) {
    if (!this.values.has(name)) {
      const number = this.columns.findIndex((each) => each.name === name);
      this.values.set(name, bytes(`${this.folder}/column_${number}.bin`).then((data) => new Float32Array(data)));
    }
    return this.values.get(name);
  }

  /** Give each nucleus its colour: by a measurement, a class or none; hidden where a filter leaves it out. */
  async paint(name, flags = null, isSecond = false) {
    const ticket = (this.ticket = (this.ticket ?? 0) + 1);
    const column = name ? this.column(name) : null;
    const values = column ? await this.valuesOf(name) : null;
    const filters = await Promise.all([...this.filters].filter(([each]) => this.column(each)).map(async ([each, range]) => [await this.valuesOf(each), ...range]));
    const classes = this.hiddenClasses.size ? await this.valuesOf("Class") : null;
    if (ticket !== this.ticket) return false; // something newer is on its way
    const [low, high] = column && !column.classes ? column.usual : [0, 1];
    const scale = (LEVELS - 1) / (high - low || 1);
    let shown = 0;
    for (let i = 0; i < this.count; i++) {
      let level = flags ? (flags[i] ? (isSecond ? HIDDEN : 0) : 1) : 0; // what both have is drawn once
      if (values) {
        const value = values[i];
        level = column.classes ? value : value === value ? Math.min(Math.max(Math.round((value - low) * scale), 0), LEVELS - 1) : NO_VALUE;
      }
      for (const [kept, from, to] of filters) if (!(kept[i] >= from && kept[i] <= to)) level = HIDDEN;
      if (classes && this.hiddenClasses.has(classes[i])) level = HIDDEN;
      this.levels[i] = level;
      if (level !== HIDDEN) shown++;
    }
    this.shown = shown;
    this.version++;
    return true;
  }

  /** The outlines of a tile, or null while they are on their way. */
  tile(row, col) {
    const key = `${row}_${col}`;
    const known = this.tiles.get(key);
    if (known) {
      this.tiles.delete(key);
      this.tiles.set(key, known); // used last, dropped last
      return known.ready ? known : null;
    }
    if (!this.tileAt.has(key)) return null;
    this.tiles.set(key, { ready: false });
    this.worker.postMessage({ key, path: new URL(`${this.folder}/tiles/${key}.bin`, document.baseURI).href });
    return null;
  }

  take(data) {
    if (data.error) {
      this.tiles.delete(data.key);
      this.onError(data.error);
      return;
    }
    this.tiles.set(data.key, { ...data, ...this.tileAt.get(data.key), ready: true });
    for (const [key, old] of this.tiles) {
      if (this.tiles.size <= MOST_TILES) break;
      old.drop?.();
      this.tiles.delete(key);
    }
    this.onTile(data.key);
  }

  /** Tiles that a box of level-0 px touches, and some px around for nuclei that reach out of theirs. */
  tilesIn(x0, y0, x1, y1, margin = 0) {
    const { tile_px: side, rows, cols } = this.index;
    const found = [];
    const clip = (value, last) => Math.min(Math.max(Math.floor(value / side), 0), last - 1);
    for (let row = clip(y0 - margin, rows); row <= clip(y1 + margin, rows); row++)
      for (let col = clip(x0 - margin, cols); col <= clip(x1 + margin, cols); col++)
        if (this.tileAt.has(`${row}_${col}`)) found.push([row, col]);
    return found;
  }

  /** Runs of nuclei whose tiles a box touches: the tiles of a row that lie side by side hold one run. */
  runsIn(x0, y0, x1, y1) {
    const runs = [];
    for (const [row, col] of this.tilesIn(x0, y0, x1, y1)) {
      const { first, count } = this.tileAt.get(`${row}_${col}`);
      const last = runs.at(-1);
      if (last && last.first + last.count === first) last.count += count;
      else runs.push({ first, count });
    }
    return runs;
  }

  /** The number of the shown nucleus at a level-0 place: the one around it, else the nearest within `reach` px; −1 for none. */
  at(x, y, reach) {
    let best = -1;
    let nearest = reach * reach;
    for (const [row, col] of this.tilesIn(x, y, x, y, Math.max(reach, 300))) {
      const { first, count } = this.tileAt.get(`${row}_${col}`);
      const tile = this.tile(row, col);
      for (let i = first; i < first + count; i++) {
        if (this.levels[i] === HIDDEN) continue;
        const dx = this.places[2 * i] - x;
        const dy = this.places[2 * i + 1] - y;
        const distance = dx * dx + dy * dy;
        if (tile && distance < 300 * 300 && inside(tile, i - first, x, y, this.index.tile_px)) return i;
        if (distance < nearest) [best, nearest] = [i, distance];
      }
    }
    return best;
  }

  /** What is known of a nucleus: id and values by column; null while its tile is on its way. */
  about(number) {
    for (const [key, { row, col, first, count }] of this.tileAt) {
      if (number < first || number >= first + count) continue;
      const tile = this.tile(row, col);
      if (!tile) return null;
      const local = number - first;
      const width = tile.columns;
      return { id: spelled(tile.ids.subarray(16 * local, 16 * local + 16)), values: tile.values.subarray(local * width, (local + 1) * width), key };
    }
    return null;
  }
}

/** Whether a place lies in a nucleus: in an odd number of its rings. */
function inside(tile, local, x, y, side) {
  const px = (x - tile.col * side) / tile.step;
  const py = (y - tile.row * side) / tile.step;
  let odd = false;
  for (let ring = tile.ringStart[local]; ring < tile.ringStart[local + 1]; ring++) {
    const begin = tile.vertexStart[ring];
    const end = tile.vertexStart[ring + 1];
    for (let i = begin, j = end - 1; i < end; j = i++) {
      const [xi, yi, xj, yj] = [tile.xy[2 * i], tile.xy[2 * i + 1], tile.xy[2 * j], tile.xy[2 * j + 1]];
      if (yi > py !== yj > py && px < ((xj - xi) * (py - yi)) / (yj - yi) + xi) odd = !odd;
    }
  }
  return odd;
}

function spelled(id) {
  if (id.every((each) => each === 0)) return "";
  const digits = [...id].map((each) => each.toString(16).padStart(2, "0")).join("");
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([a, b]) => digits.slice(a, b)).join("-");
}
