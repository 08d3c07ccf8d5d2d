// Colours: of numbers from cyan to yellow, ever lighter, since nothing darker shows on stained nuclei; of classes their own.

const NUMBERS = [[0, 150, 255], [0, 190, 225], [20, 215, 160], [110, 232, 80], [200, 242, 40], [255, 246, 90]];
const HEAT = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
export const COMPARED = { both: [0, 114, 178], first: [230, 120, 0], second: [204, 60, 160] };
export const HIDDEN = 255;
export const LEVELS = 250; // of a map of numbers; what has no number is the next one
export const NO_VALUE = 250;

function mixed(stops, part) {
  const at = Math.min(Math.max(part, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(at), stops.length - 2);
  return stops[below].map((value, k) => Math.round(value + (stops[below + 1][k] - value) * (at - below)));
}

export const light = (part) => mixed(NUMBERS, part);
export const heat = (part) => mixed(HEAT, part);

/** 256 RGBA colours, of which each nucleus has the number of one. */
export function palette(column) {
  const colors = new Uint8Array(256 * 4).fill(255);
  for (let k = 0; k < LEVELS; k++) colors.set(column ? light(k / (LEVELS - 1)) : [20, 215, 120], 4 * k);
  (column?.classes ?? []).forEach((each, k) => colors.set(each.color, 4 * k));
  colors.set([128, 128, 128], 4 * NO_VALUE);
  return colors;
}

export const css = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;
