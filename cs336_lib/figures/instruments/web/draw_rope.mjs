// Chapter 4: two positions, the turned pairs, and the inner product that depends on their distance alone.
import { frequencies, inner, rotate, score } from "./rope.mjs";
import { short } from "./numbers.mjs";
import { body, button, chart, chartWidth, choice, COLORS, guarded, h, labeled, onResize, replace, s, slider, statusLine } from "./ui.mjs";

// A query and a key of 16 channels, the same for every reader.
const QUERY = [0.9, 0.3, -0.5, 0.8, 1.0, -0.2, 0.4, 0.7, -0.6, 0.5, 0.8, 0.1, 0.3, -0.9, 0.7, 0.6];
const KEY = [0.7, -0.4, 0.6, 0.5, 0.8, 0.4, -0.3, 0.9, 0.5, 0.6, -0.7, 0.4, 0.9, 0.2, 0.6, -0.5];
const MOST = 1024;

export function mount(element) {
  const place = body(element);
  const status = statusLine();
  let [m, n, size, theta] = [12, 8, 8, 10000];
  const dials = h("div", { class: "ci-dials" });
  const picture = h("div");
  let last = null;

  function dial(k, query, key, turn) {
    const arrow = (vector, from, color, dashed) => {
      const length = Math.hypot(vector[2 * k], vector[2 * k + 1]) || 1;
      return s("line", { x1: 50, y1: 48, x2: 50 + (34 * vector[2 * k]) / length, y2: 48 - (34 * vector[2 * k + 1]) / length, style: `stroke:${color}`, "stroke-width": dashed ? 1.2 : 3, "stroke-dasharray": dashed ? "3 3" : null, "stroke-linecap": "round" });
    };
    return s(
      "svg",
      { viewBox: "0 0 100 116", role: "img", "aria-label": `Channels ${2 * k} and ${2 * k + 1}, ${short(turn)} radians per position` },
      s("circle", { cx: 50, cy: 48, r: 38, fill: "none", stroke: "currentColor", "stroke-width": 0.6 }),
      arrow(QUERY, 0, COLORS[0], true),
      arrow(KEY, 0, COLORS[1], true),
      arrow(query, 0, COLORS[0]),
      arrow(key, 0, COLORS[1]),
      s("text", { x: 50, y: 99, "text-anchor": "middle" }, `${2 * k}, ${2 * k + 1}`),
      s("text", { x: 50, y: 112, "text-anchor": "middle" }, `${short(+turn.toPrecision(3))} rad`),
    );
  }

  const update = guarded(status, () => {
    const [q, k] = [QUERY.slice(0, size), KEY.slice(0, size)];
    const [turnedQ, turnedK] = [rotate(q, m, theta), rotate(k, n, theta)];
    const value = inner(turnedQ, turnedK);
    replace(dials, frequencies(size, theta).map((turn, pair) => dial(pair, turnedQ, turnedK, turn)));
    const distances = Array.from({ length: 129 }, (_, i) => i - 64);
    const points = distances.map((distance) => [distance, score(q, k, Math.max(distance, 0), Math.max(-distance, 0), theta)]);
    const here = Math.abs(m - n) <= 64 ? [{ x: m - n, y: value, color: COLORS[1] }] : [];
    replace(picture, chart({ label: "Inner product against the distance", series: [{ name: "inner product", color: COLORS[0], points }], xLabel: "distance m - n", yLabel: "inner product", width: chartWidth(place), height: 230, marks: here }));
    const same = last !== null && last.distance === m - n && last.size === size && last.theta === theta && (last.m !== m || last.n !== n);
    status.say(`Query at ${m}, key at ${n}, distance ${m - n}${here.length ? "" : ", beyond the picture"}: inner product ${value.toFixed(6)}${same ? "; the same distance as before, and the same product" : ""}.`);
    last = { distance: m - n, size, theta, m, n };
  });

  const move = (by) => {
    const step = Math.max(-Math.min(m, n), Math.min(by, MOST - 1 - Math.max(m, n)));
    m += step;
    n += step;
    mSlider.set(m);
    nSlider.set(n);
    update();
  };
  const mSlider = slider("Position m of the query", { min: 0, max: MOST - 1, value: m, onInput: (value) => ((m = value), update()), name: "m" });
  const nSlider = slider("Position n of the key", { min: 0, max: MOST - 1, value: n, onInput: (value) => ((n = value), update()), name: "n" });
  const base = slider("Base Θ", { min: 10, max: 60, value: theta, place: (value) => 10 * Math.log10(value), from: (at) => Math.round(10 ** (at / 10)), onInput: (value) => ((theta = value), update()), name: "theta" });
  const width = choice([["4", "4"], ["8", "8"], ["16", "16"]], "8", (value) => ((size = Number(value)), update()), "width");
  place.append(
    h("div", { class: "ci-row" }, mSlider, nSlider),
    h("div", { class: "ci-row" }, base, labeled("Channels of the head", width), button("Both 1 back", () => move(-1)), button("Both 1 on", () => move(1)), button("Both 100 on", () => move(100))),
    h("p", { class: "ci-note" }, h("span", { class: "ci-key", style: `background:${COLORS[0]}` }), "query ", h("span", { class: "ci-key", style: `background:${COLORS[1]}` }), "key, each pair of channels as a direction; dashed: not turned."),
    dials,
    status.line,
    picture,
  );
  update();
  onResize(element, update);
}
