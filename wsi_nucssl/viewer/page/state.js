// What is looked at, and the address that leads back to it.

const LAYERS = ["nuclei", "outline", "tissue", "seams", "density"];

export class State {
  constructor() {
    Object.assign(this, { mode: "first", color: null, fill: 0.3, layers: new Set(["nuclei", "outline"]), filters: new Map(), place: null, panel: true, filterBy: null });
  }

  /** What the address says; nonsense in it is left out. */
  read(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const numbers = (value) => (value ?? "").split(",").map((each) => (each === "" ? NaN : Number(each)));
    const at = numbers(given.get("at"));
    if (at.length === 3 && at.every(Number.isFinite) && at[2] > 0) this.place = { x: at[0], y: at[1], zoom: at[2] };
    if (["first", "second", "side", "difference"].includes(given.get("mode"))) this.mode = given.get("mode");
    if (given.has("color")) this.color = given.get("color");
    const fill = Number(given.get("fill") ?? NaN);
    if (fill >= 0 && fill <= 1) this.fill = fill;
    if (given.has("layers")) this.layers = new Set(given.get("layers").split(",").filter((each) => LAYERS.includes(each)));
    for (const each of given.getAll("filter")) {
      const cut = each.lastIndexOf("=");
      const range = numbers(each.slice(cut + 1));
      if (cut > 0 && range.length === 2 && range.every(Number.isFinite)) this.filters.set(each.slice(0, cut), range);
    }
    return this;
  }

  get hash() {
    const said = new URLSearchParams();
    if (this.place) said.set("at", [this.place.x.toFixed(1), this.place.y.toFixed(1), this.place.zoom.toPrecision(4)].join(","));
    if (this.mode !== "first") said.set("mode", this.mode);
    said.set("color", this.color ?? "");
    said.set("fill", this.fill);
    said.set("layers", [...this.layers].join(","));
    for (const [name, range] of this.filters) said.append("filter", `${name}=${range.join(",")}`);
    return `#${said}`;
  }
}
