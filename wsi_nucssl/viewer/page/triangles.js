// A polygon as triangles by ear clipping (Meisters 1975); a hole is first joined to its outer ring by the shortest bridge.

/** Numbers of vertices, three a triangle. `rings` are [begin, end) in `xy`: the outer ring, then its holes. */
export function triangulated(xy, rings) {
  const area = (a, b, c) => (xy[2 * b] - xy[2 * a]) * (xy[2 * c + 1] - xy[2 * a + 1]) - (xy[2 * c] - xy[2 * a]) * (xy[2 * b + 1] - xy[2 * a + 1]);
  let left = simplified(oriented(rings[0], 1), area);
  for (const hole of rings.slice(1)) left = bridged(left, simplified(oriented(hole, -1), area));
  const found = [];
  let waiting = 0;
  for (let i = 0; left.length > 3 && waiting <= left.length; ) {
    const n = left.length;
    const [a, b, c] = [left[(i + n - 1) % n], left[i % n], left[(i + 1) % n]];
    const turn = area(a, b, c);
    if (turn === 0 || (turn > 0 && isEar(a, b, c))) {
      if (turn > 0) found.push(a, b, c);
      left.splice(i % n, 1);
      waiting = 0;
      i = i % n;
    } else {
      i = (i + 1) % n;
      waiting++;
    }
  }
  if (left.length === 3) found.push(...left);
  return found;

  function oriented([begin, end], sign) {
    let twice = 0;
    for (let i = begin, j = end - 1; i < end; j = i++) twice += xy[2 * j] * xy[2 * i + 1] - xy[2 * i] * xy[2 * j + 1];
    const ring = Array.from({ length: end - begin }, (_, k) => begin + k);
    return Math.sign(twice) === sign ? ring : ring.reverse();
  }

  function isEar(a, b, c) {
    for (const v of left) {
      if (same(v, a) || same(v, b) || same(v, c)) continue;
      if (area(a, b, v) >= 0 && area(b, c, v) >= 0 && area(c, a, v) >= 0) return false;
    }
    return true;
  }

  function same(v, w) { return xy[2 * v] === xy[2 * w] && xy[2 * v + 1] === xy[2 * w + 1]; }

  function bridged(outer, hole) {
    let [best, at, from] = [Infinity, 0, 0];
    outer.forEach((v, i) => hole.forEach((w, j) => {
      const distance = (xy[2 * v] - xy[2 * w]) ** 2 + (xy[2 * v + 1] - xy[2 * w + 1]) ** 2;
      if (distance < best) [best, at, from] = [distance, i, j];
    }));
    const turned = [...hole.slice(from), ...hole.slice(0, from), hole[from]];
    return [...outer.slice(0, at + 1), ...turned, ...outer.slice(at)];
  }
}

/** A ring without vertices on straight lines. */
function simplified(ring, area) {
  const kept = ring.filter((v, i) => area(ring[(i + ring.length - 1) % ring.length], v, ring[(i + 1) % ring.length]) !== 0);
  return kept.length >= 3 ? kept : ring;
}
