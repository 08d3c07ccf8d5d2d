// Nuclei over the slide by WebGL 2: points from afar, outlines and fills near by.

const POINTS = `#version 300 es
precision highp float; precision highp usampler2D;
in vec2 place; uniform vec2 corner, size; uniform float zoom, dot; uniform usampler2D levels; uniform int wide, first, every; flat out uint level;
void main() {
  int number = first + gl_VertexID * every;
  level = texelFetch(levels, ivec2(number % wide, number / wide), 0).r;
  vec2 at = (place - corner) * zoom / size * 2.0 - 1.0;
  gl_Position = level == 255u ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(at.x, -at.y, 0.0, 1.0);
  gl_PointSize = dot;
}`;
const DOTS = `#version 300 es
precision highp float; precision highp usampler2D;
flat in uint level; uniform sampler2D palette; uniform float opacity, dot; out vec4 color;
void main() {
  float edge = dot < 3.0 ? 1.0 : clamp((0.5 - length(gl_PointCoord - 0.5)) * dot, 0.0, 1.0);
  color = vec4(texelFetch(palette, ivec2(level, 0), 0).rgb, 1.0) * opacity * edge;
}`;
const OUTLINES = `#version 300 es
precision highp float; precision highp usampler2D;
in vec3 vertex; uniform vec2 corner, size, shift; uniform float zoom, step; uniform usampler2D levels; uniform int wide, first, picked; flat out uint level; flat out float isPicked;
void main() {
  int number = first + int(vertex.z < 0.0 ? vertex.z + 65536.0 : vertex.z); // it came as int16
  level = texelFetch(levels, ivec2(number % wide, number / wide), 0).r;
  isPicked = number == picked ? 1.0 : 0.0;
  vec2 at = ((vertex.xy * step - corner) * zoom + shift) / size * 2.0 - 1.0;
  gl_Position = level == 255u ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(at.x, -at.y, 0.0, 1.0);
}`;
const PLAIN = `#version 300 es
precision highp float;
flat in uint level; flat in float isPicked; uniform sampler2D palette; uniform float opacity; out vec4 color;
void main() { color = vec4(mix(texelFetch(palette, ivec2(level, 0), 0).rgb, vec3(1.0), isPicked), 1.0) * max(opacity, isPicked * opacity); }`;
const WIDE = 2048;
const PLACE_BYTES = 8;
const PX_A_POINT = 4; // screen px for each point at least: more of them would hide each other
const MOST_MOVING = 60_000; // points while the picture moves, so that it moves smoothly without a graphics card too
export const NEAR = 0.22; // screen px per level-0 px from which on outlines are drawn, for slides of 0.25 µm per px

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = (this.gl = canvas.getContext("webgl2", { alpha: true, premultipliedAlpha: true, antialias: true, preserveDrawingBuffer: true }));
    if (!gl) throw new Error("This browser has no WebGL 2, which the nuclei are drawn with.");
    this.points = program(gl, POINTS, DOTS);
    this.outlines = program(gl, OUTLINES, PLAIN);
    this.ready = new WeakMap();
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  clear(width, height, ratio) {
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    this.gl.viewport(0, 0, w, h);
    this.gl.clearColor(0, 0, 0, 0);
    this.gl.clear(this.gl.COLOR_BUFFER_BIT);
  }

  /** Draw one result. `view` is {x, y, zoom, width, height, ratio, near}: level-0 corner, screen px per level-0 px, size. */
  draw(nuclei, view, { palette, fill, outline, picked }) {
    const { gl } = this;
    const set = this.prepared(nuclei, palette);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, set.levels);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, set.palette);
    const box = [view.x, view.y, view.x + view.width / view.zoom, view.y + view.height / view.zoom];
    const tiles = view.near ? nuclei.tilesIn(...box, 100) : [];
    const missing = [];
    for (const [row, col] of tiles) {
      const tile = nuclei.tile(row, col);
      if (tile) this.drawTile(nuclei, tile, view, { fill, outline, picked });
      else missing.push([row, col]);
    }
    const runs = view.near ? missing.map(([row, col]) => nuclei.tileAt.get(`${row}_${col}`)) : nuclei.runsIn(...box);
    const every = view.near ? 1 : thinned(runs, nuclei, view);
    for (const { first, count } of runs) this.drawPoints(set, view, first, count, every);
    return { missing: missing.length, every };
  }

  prepared(nuclei, palette) {
    const { gl } = this;
    let set = this.ready.get(nuclei);
    if (!set) {
      set = { places: gl.createBuffer(), array: gl.createVertexArray(), levels: gl.createTexture(), palette: gl.createTexture(), version: -1 };
      gl.bindVertexArray(set.array);
      gl.bindBuffer(gl.ARRAY_BUFFER, set.places);
      gl.bufferData(gl.ARRAY_BUFFER, nuclei.places, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(0);
      this.ready.set(nuclei, set);
    }
    if (set.version !== nuclei.version) {
      const rows = Math.max(1, Math.ceil(nuclei.count / WIDE));
      const levels = new Uint8Array(rows * WIDE).fill(255);
      levels.set(nuclei.levels);
      texture(gl, set.levels, gl.R8UI, WIDE, rows, gl.RED_INTEGER, levels);
      set.version = nuclei.version;
    }
    if (set.colors !== palette) {
      texture(gl, set.palette, gl.RGBA8, 256, 1, gl.RGBA, palette);
      set.colors = palette;
    }
    return set;
  }

  /** Every so many nuclei of a run: they are read from the buffer with that stride. */
  drawPoints(set, view, first, count, every) {
    const { gl } = this;
    const dot = Math.min(Math.max(view.zoom * view.nucleusPx, 1.6), 10) * view.ratio;
    this.use(this.points, view, { dot, opacity: view.zoom * view.nucleusPx < 1 ? 0.55 : 0.85, wide: WIDE, first, every });
    gl.bindVertexArray(set.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, set.places);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, PLACE_BYTES * every, PLACE_BYTES * first);
    gl.drawArrays(gl.POINTS, 0, Math.ceil(count / every));
  }

  drawTile(nuclei, tile, view, { fill, outline, picked }) {
    const { gl } = this;
    const side = nuclei.index.tile_px;
    const parts = (tile.buffers ??= new Map());
    if (!parts.has(this)) {
      parts.set(this, { lines: buffer(gl, tile.lines), fills: buffer(gl, tile.fills) });
      tile.drop = () => parts.forEach((each, drawing) => Object.values(each).forEach((part) => drawing.free(part)));
    }
    const { lines, fills } = parts.get(this);
    const corner = [view.x - tile.col * side, view.y - tile.row * side];
    const set = (opacity, shift) => this.use(this.outlines, { ...view, corner }, { step: tile.step, first: tile.first, picked, wide: WIDE, opacity, shift });
    if (fill > 0 && !view.moving) {
      set(fill, [0, 0]);
      gl.bindVertexArray(fills.array);
      gl.drawArrays(gl.TRIANGLES, 0, fills.count);
    }
    if (outline) {
      gl.bindVertexArray(lines.array);
      for (const shift of view.moving ? [[0, 0]] : [[0, 0], [0.5, 0.5]]) { // lines of WebGL are 1 px wide: twice, half a px apart, they show
        set(1, shift);
        gl.drawArrays(gl.LINES, 0, lines.count);
      }
    }
  }

  free({ data, array }) {
    this.gl.deleteBuffer(data);
    this.gl.deleteVertexArray(array);
  }

  use({ handle, at }, view, values) {
    const { gl } = this;
    gl.useProgram(handle);
    gl.uniform1i(at.levels, 0);
    gl.uniform1i(at.palette, 1);
    gl.uniform2f(at.corner, ...(view.corner ?? [view.x, view.y]));
    gl.uniform2f(at.size, view.width, view.height);
    gl.uniform1f(at.zoom, view.zoom);
    for (const name of ["dot", "opacity", "step"]) if (name in values) gl.uniform1f(at[name], values[name]);
    for (const name of ["wide", "first", "picked", "every"]) if (name in values) gl.uniform1i(at[name], values[name]);
    if (values.shift) gl.uniform2f(at.shift, ...values.shift);
  }
}

/** Draw every so many nuclei only, where there are more of them than can be told apart; few that a filter leaves are all drawn. */
function thinned(runs, nuclei, view) {
  const inView = runs.reduce((sum, { count }) => sum + count, 0);
  const most = view.moving ? MOST_MOVING : Math.max(MOST_MOVING, (view.width * view.height) / PX_A_POINT);
  return Math.max(1, Math.ceil((inView * (nuclei.shown / Math.max(nuclei.count, 1))) / most));
}

function program(gl, vertex, fragment) {
  const handle = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
  }
  for (const name of ["place", "vertex"]) gl.bindAttribLocation(handle, 0, name);
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(handle) || "A shader does not link.");
  const names = ["levels", "palette", "corner", "size", "shift", "zoom", "step", "dot", "opacity", "wide", "first", "picked", "every"];
  return { handle, at: Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(handle, name)])) };
}

function texture(gl, handle, inside, width, height, format, data) {
  gl.activeTexture(gl.TEXTURE2);
  gl.bindTexture(gl.TEXTURE_2D, handle);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, format, gl.UNSIGNED_BYTE, data);
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
}

function buffer(gl, data) {
  const made = { data: gl.createBuffer(), array: gl.createVertexArray(), count: data.length / 3 };
  gl.bindVertexArray(made.array);
  gl.bindBuffer(gl.ARRAY_BUFFER, made.data);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(0, 3, gl.SHORT, false, 0, 0);
  return made;
}
