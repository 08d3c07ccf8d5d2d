// Fetches a tile's outlines and makes lines and triangles of them, beside the page, so that panning never waits.

import { triangulated } from "./triangles.js";

self.onmessage = async ({ data: { key, path } }) => {
  try {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(await answer.text());
    const tile = decoded(await answer.arrayBuffer());
    self.postMessage({ key, ...tile }, [tile.lines.buffer, tile.fills.buffer]);
  } catch (error) {
    self.postMessage({ key, error: `Outlines could not be read: ${error.message}` });
  }
};

function decoded(buffer) {
  const [n, rings, vertices, columns] = new Uint32Array(buffer, 0, 4);
  let at = 20;
  const take = (Kind, length) => {
    const part = new Kind(buffer, at, length);
    at += part.byteLength;
    return part;
  };
  const values = take(Float32Array, n * columns);
  const ringCounts = take(Uint32Array, n);
  const lengths = take(Int32Array, rings);
  const xy = take(Int16Array, 2 * vertices);
  const ids = take(Uint8Array, 16 * n);
  const ringStart = running(ringCounts);
  const vertexStart = running(lengths);
  return { values, ids, xy, columns, ringStart, vertexStart, ...drawn(n, xy, ringStart, vertexStart, lengths) };
}

function running(lengths) {
  const starts = new Uint32Array(lengths.length + 1);
  for (let k = 0; k < lengths.length; k++) starts[k + 1] = starts[k] + Math.abs(lengths[k]);
  return starts;
}

/** Vertices (x, y, number of the nucleus) of line segments and of triangles. */
function drawn(n, xy, ringStart, vertexStart, lengths) {
  const lines = new Int16Array(xy.length * 3);
  const fills = [];
  let out = 0;
  for (let nucleus = 0; nucleus < n; nucleus++) {
    let polygon = [];
    const fill = () => { if (polygon.length) for (const v of triangulated(xy, polygon)) fills.push(xy[2 * v], xy[2 * v + 1], nucleus); };
    for (let ring = ringStart[nucleus]; ring < ringStart[nucleus + 1]; ring++) {
      const [begin, end] = [vertexStart[ring], vertexStart[ring + 1]];
      for (let i = begin, j = end - 1; i < end; j = i++) {
        lines.set([xy[2 * j], xy[2 * j + 1], nucleus, xy[2 * i], xy[2 * i + 1], nucleus], out);
        out += 6;
      }
      if (lengths[ring] > 0) {
        fill();
        polygon = [];
      }
      polygon.push([begin, end]);
    }
    fill();
  }
  return { lines, fills: Int16Array.from(fills) };
}
