// One picture of the slide with what is drawn over it, and its scale bar.

import { Drawing, NEAR } from "./drawing.js";
import { drawSeams, drawTissue } from "./layers.js";

const NUCLEUS_UM = 7;
const NUCLEUS_PX = 28; // where nobody knows µm
const BAR_PX = 160; // the longest scale bar
const SMOOTH_MS = 40; // a frame that takes no longer is drawn anew each time
const SHARE = 4; // while the picture moves, drawing nuclei anew leaves this many times as long to moving what is drawn

export class Pane {
  constructor(root, slide, hasNavigator) {
    this.slide = slide;
    this.element = document.createElement("div");
    this.element.className = "pane";
    this.element.innerHTML =
      '<div class="picture"></div><div class="name" hidden></div><div class="scale"><span></span><i></i></div>';
    root.append(this.element);
    const [picture, name, scale] = this.element.children;
    Object.assign(this, { name, scale });
    const mpp = slide.mpp ? (slide.mpp[0] + slide.mpp[1]) / 2 : null;
    this.mpp = mpp;
    this.nucleusPx = mpp ? NUCLEUS_UM / mpp : NUCLEUS_PX;
    this.near = NEAR * (28 / this.nucleusPx);
    this.viewer = opened(picture, slide, hasNavigator);
    const [lines, nuclei] = ["lines", "nuclei"].map((className) => Object.assign(document.createElement("canvas"), { className }));
    this.viewer.canvas.append(lines, nuclei); // below the navigator
    this.overlays = [lines, nuclei];
    this.cost = 0; // ms of a frame in which nuclei were drawn
    this.drawnAt = -Infinity;
    this.lines = lines.getContext("2d");
    this.drawing = new Drawing(nuclei);
    this.content = () => null; // what to draw: set by who owns the pane
    this.onMove = () => {};
    this.waiting = 0;
    this.viewer.addHandler("viewport-change", () => { this.draw(); this.onMove(this); });
    this.viewer.addHandler("animation", () => { this.moving = true; this.draw(); });
    this.viewer.addHandler("animation-finish", () => { this.moving = false; this.draw(); });
    this.viewer.addHandler("open", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** The level-0 place of the top left corner, screen px per level-0 px, and sizes. */
  get view() {
    const bounds = this.viewer.viewport.getBounds(true);
    const { clientWidth: width, clientHeight: height } = this.element;
    const zoom = width / (bounds.width * this.slide.width);
    return {
      x: bounds.x * this.slide.width, y: bounds.y * this.slide.width, zoom, width, height,
      ratio: window.devicePixelRatio || 1, near: zoom >= this.near, nucleusPx: this.nucleusPx, moving: this.moving,
    };
  }

  /** Have a level-0 place in the middle. */
  show(x, y, zoom, immediately = true) {
    const { viewport } = this.viewer;
    viewport.panTo(new OpenSeadragon.Point(x / this.slide.width, y / this.slide.width), immediately);
    viewport.zoomTo((zoom * this.slide.width) / this.element.clientWidth, undefined, immediately);
    this.draw();
  }

  draw() {
    if (!this.frame && this.viewer.isOpen()) this.frame = requestAnimationFrame((now) => { this.frame = 0; this.drawAt(now); });
  }

  /** Draw what is over the slide anew, or, on a machine that is slow at it and while the picture moves, move what is drawn. */
  drawAt(now) {
    if (this.isFresh) this.cost = now - this.drawnAt;
    const isHeld = this.moving && this.cost > SMOOTH_MS && now - this.drawnAt < (1 + SHARE) * this.cost;
    this.isFresh = !isHeld && this.moving;
    if (isHeld) return this.carry();
    this.drawnAt = now;
    this.drawNow();
  }

  /** Move and scale what was drawn last as the slide moves. */
  carry() {
    const [view, { x, y, zoom }] = [this.view, this.drawn];
    const transform = `translate(${(x - view.x) * view.zoom}px, ${(y - view.y) * view.zoom}px) scale(${view.zoom / zoom})`;
    for (const canvas of this.overlays) canvas.style.transform = transform;
    this.drawScale(view, 1);
  }

  drawNow() {
    const view = (this.drawn = this.view);
    for (const canvas of this.overlays) canvas.style.transform = "";
    const content = this.content();
    if (!content || !view.width) return;
    this.drawLines(view, content);
    this.drawing.clear(view.width, view.height, view.ratio);
    const drawn = content.sets.map(([nuclei, look]) => this.drawing.draw(nuclei, view, look));
    this.waiting = drawn.reduce((sum, { missing }) => sum + missing, 0);
    this.drawScale(view, Math.max(1, ...drawn.map(({ every }) => every)));
  }

  drawLines(view, { tissue, seams, density }) {
    const { canvas } = this.lines;
    Object.assign(canvas, { width: view.width * view.ratio, height: view.height * view.ratio });
    this.lines.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    if (density) density.draw(this.lines, view);
    if (tissue) drawTissue(this.lines, view, tissue);
    if (seams) drawSeams(this.lines, view, seams, this.slide);
  }

  drawScale({ zoom, moving }, every) {
    const umPerPx = (this.mpp ?? 1) / zoom;
    const longest = BAR_PX * umPerPx;
    const power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].map((each) => each * power).find((each) => each <= longest);
    const unit = this.mpp ? (length >= 1000 ? `${length / 1000} mm` : `${+length.toPrecision(2)} µm`) : `${+length.toPrecision(2)} px`;
    this.scale.firstChild.textContent = every > 1 && !moving ? `${unit} · 1 of ${every} nuclei drawn` : unit;
    this.scale.lastElementChild.style.width = `${length / umPerPx}px`;
  }

  /** The level-0 place under a point of the window. */
  placeAt({ clientX, clientY }) {
    const { left, top } = this.element.getBoundingClientRect();
    const view = this.view;
    return { x: view.x + (clientX - left) / view.zoom, y: view.y + (clientY - top) / view.zoom, zoom: view.zoom };
  }
}

function opened(element, slide, showNavigator) {
  const viewer = OpenSeadragon({
    element,
    drawer: "canvas", // a second WebGL beside ours would cost memory
    tileSources: {
      width: slide.width, height: slide.height, tileSize: slide.tile_px, tileOverlap: 0, minLevel: slide.coarsest, maxLevel: slide.top,
      getTileUrl: (level, x, y) => `slide/${level}/${x}_${y}.jpg`,
    },
    showNavigationControl: false,
    showNavigator,
    navigatorOpacity: 1,
    navigatorAutoFade: false,
    navigatorBackground: "var(--panel)",
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.14,
    animationTime: 0.35,
    maxZoomPixelRatio: 16,
    minZoomImageRatio: 0.6,
    visibilityRatio: 0.3,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    preserveImageSizeOnResize: true,
    imageSmoothingEnabled: true,
  });
  viewer.innerTracker.keyDownHandler = viewer.innerTracker.keyHandler = null; // keys are ours, see main.js
  return viewer;
}
