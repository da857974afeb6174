// What all drawing halves share: elements, labeled controls, a status line, a chart. No library: the nine instruments
// need little, and all of this is smaller than the loader of any.
import { exact, readNumber, short } from "./numbers.mjs";

// Colors by place, lighter on a dark page: see instruments.css.
export const COLORS = Array.from({ length: 10 }, (_, i) => `var(--ci-s${i})`);

let counter = 0;
export const unique = (name) => `ci-${name}-${++counter}`;

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A line that says what is wrong, and what a screen reader is told of changes.
export function statusLine() {
  const line = h("p", { class: "ci-status", role: "status", "aria-live": "polite" });
  return {
    line,
    say: (text) => {
      if (line.textContent !== text) line.textContent = text;
      line.classList.remove("ci-wrong");
    },
    complain: (reason) => {
      const text = reason.replace(/\bis NaN\b/g, "is no number").replace(/\bis (-?)Infinity\b/g, "is $1∞");
      if (line.textContent !== text) line.textContent = text;
      line.classList.add("ci-wrong");
    },
  };
}

// Run a handler; what it throws is a line in place, never a dead instrument. `after` says what then still stands below.
export const guarded = (status, work, after = "") => (...parameters) => {
  const failed = (error) => status.complain(after ? `${error.message.replace(/\.$/, "")}. ${after}` : error.message);
  try {
    const result = work(...parameters);
    if (result?.catch) return result.catch(failed);
    return result;
  } catch (error) {
    failed(error);
  }
};

export function labeled(text, control, { wide = false } = {}) {
  const id = control.id || unique("field");
  control.id = id;
  return h("div", { class: wide ? "ci-field ci-wide" : "ci-field" }, h("label", { for: id }, text), control);
}

export function textArea(value, onInput, { rows = 3, name = "text" } = {}) {
  const area = h("textarea", { rows, spellcheck: "false", autocapitalize: "off", autocomplete: "off", name, oninput: () => onInput(area.value) });
  area.value = value;
  return area;
}

export function choice(options, value, onChange, name) {
  const select = h(
    "select",
    { name, onchange: () => onChange(select.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
  );
  return select;
}

export function button(text, onClick, attributes = {}) {
  return h("button", { type: "button", onclick: onClick, ...attributes }, text);
}

export function check(text, checked, onChange, name) {
  const id = unique("check");
  const box = h("input", { type: "checkbox", id, checked, name, onchange: () => onChange(box.checked) });
  return h("div", { class: "ci-check" }, box, h("label", { for: id }, text));
}

// A slider with its value in writing. `place` says where the thumb stands for a value, `from` which value a thumb means.
// `set` takes any value: what is written is the value itself, and the thumb goes as near to it as it can.
export function slider(text, { min, max, step = 1, value, place = Number, from = Number, show = exact, onInput, name }) {
  const id = unique("slider");
  const output = h("output", { for: id });
  const range = h("input", { type: "range", id, min, max, step, name });
  const field = h("div", { class: "ci-field ci-slider" }, h("label", { for: id }, text, " ", output), range);
  const write = (now) => {
    output.textContent = Number.isNaN(now) ? exact(now) : show(now);
    range.setAttribute("aria-valuetext", output.textContent);
  };
  range.addEventListener("input", () => {
    const now = from(Number(range.value));
    write(now);
    onInput(now);
  });
  field.set = (next) => {
    const at = place(next);
    if (!Number.isNaN(at)) range.value = Math.max(range.min, Math.min(range.max, at));
    write(next);
  };
  field.reach = (last) => (range.max = last);
  field.set(value);
  return field;
}

// A number typed in; NaN when it is none.
export function numberBox(value, onInput, { step = "any", name }) {
  const box = h("input", { type: "text", inputmode: step === 1 ? "numeric" : "decimal", name, autocomplete: "off", oninput: () => onInput(readNumber(box.value)) });
  box.value = value;
  return box;
}

// Call `work` when input has paused; the first call of a burst runs at once.
export function soon(work, wait = 30) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}

export const replace = (element, ...children) => element.replaceChildren(...children.flat().filter(Boolean));

export function table(header, rows, { caption = null, numeric = [], wide = [] } = {}) {
  const cell = (tag, text, column) => h(tag, { class: numeric.includes(column) ? "ci-number" : wide.includes(column) ? "ci-text" : null, scope: tag === "th" ? "col" : null }, text);
  return h(
    "div",
    { class: "ci-scroll", tabindex: "0", role: "region", "aria-label": caption ?? "table" },
    h(
      "table",
      {},
      caption ? h("caption", {}, caption) : null,
      h("thead", {}, h("tr", {}, header.map((text, column) => cell("th", text, column)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text, column) => cell("td", text, column))))),
    ),
  );
}

const nice = (span, count) => {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= raw);
};

export function ticks(low, high, count, log) {
  if (log) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / count));
    return Array.from({ length: Math.max(0, Math.floor((last - first) / every) + 1) }, (_, i) => 10 ** (first + i * every));
  }
  const step = nice(high - low || 1, count);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

// Lines in axes. series: [{name, color, points: [[x, y]], dash, thick, faint, strong}]; values are clipped to the axes.
export function chart({ label, series, xLabel, yLabel, width = 640, height = 280, logX = false, logY = false, xRange, yRange, marks = [], onPoint = null, ends = [] }) {
  const [left, right, top, bottom] = [56, 14, 12, 42];
  const all = series.flatMap((line) => line.points).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && (!logX || x > 0) && (!logY || y > 0));
  const bounds = (range, axis) => {
    if (range) return range;
    let [low, high] = [Infinity, -Infinity];
    for (const point of all) [low, high] = [Math.min(low, point[axis]), Math.max(high, point[axis])];
    return low < high ? [low, high] : [low === Infinity ? 0 : low - 0.5, high === -Infinity ? 1 : high + 0.5];
  };
  const [xLow, xHigh] = bounds(xRange, 0);
  const [yLow, yHigh] = bounds(yRange, 1);
  const scale = (low, high, from, to, log) => (value) => {
    const part = log ? Math.log(Math.max(value, low) / low) / Math.log(high / low || 1) : (value - low) / (high - low || 1);
    return from + Math.min(1.02, Math.max(-0.02, part)) * (to - from);
  };
  const x = scale(xLow, xHigh, left, width - right, logX);
  const y = scale(yLow, yHigh, height - bottom, top, logY);
  const axis = s("g", { class: "ci-axis" });
  for (const value of ticks(xLow, xHigh, width < 450 ? 4 : 7, logX)) {
    axis.append(s("line", { x1: x(value), x2: x(value), y1: top, y2: height - bottom }), s("text", { x: x(value), y: height - bottom + 15, "text-anchor": "middle" }, short(value)));
  }
  for (const value of ticks(yLow, yHigh, 5, logY)) {
    axis.append(s("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }), s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  axis.append(
    s("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
    s("text", { x: 12, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, yLabel),
  );
  const lines = series.map((line) => {
    const path = line.points
      .filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b))
      .map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`)
      .join("");
    return s("path", { d: path, fill: "none", style: `stroke:${line.color}`, "stroke-width": line.strong ? 3 : (line.thick ?? 1.8), "stroke-dasharray": line.dash, opacity: line.faint ? 0.22 : 1, "data-series": line.name });
  });
  const dots = marks.map((mark) => s("circle", { cx: x(mark.x), cy: y(mark.y), r: 4.5, style: `fill:${mark.color}`, stroke: "currentColor", "stroke-width": 1 }));
  const crosses = ends.map((end) => s("path", { d: `M${x(end.x) - 4} ${y(end.y) - 4}l8 8m0 -8l-8 8`, style: `stroke:${end.color}`, "stroke-width": 2.5 }));
  const picture = s("svg", { class: "ci-chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, axis, lines, dots, crosses);
  if (onPoint) {
    const nearest = (event) => {
      const box = picture.getBoundingClientRect();
      const at = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
      let best = [Infinity, null, null];
      for (const line of series) {
        for (const point of line.points) {
          if (!Number.isFinite(point[1])) continue;
          const distance = Math.hypot((x(point[0]) - at[0]) / 1.5, y(point[1]) - at[1]);
          if (distance < best[0]) best = [distance, line.name, point];
        }
      }
      onPoint(best[0] < 30 ? best[1] : null, best[0] < 30 ? best[2] : null);
    };
    picture.addEventListener("pointermove", nearest);
    picture.addEventListener("pointerdown", nearest);
    picture.addEventListener("pointerleave", () => onPoint(null, null));
  }
  return picture;
}

// Width to draw a chart at: that of its place, so that letters keep their size on a phone.
export const chartWidth = (element) => Math.max(280, Math.min(720, element.clientWidth || 640));

// The body of an instrument, emptied, with its text alternative kept in front of it.
export function body(element) {
  const place = element.querySelector(".ci-body");
  place.replaceChildren();
  return place;
}

// Draw again when the width of the place changes.
export function onResize(element, draw) {
  let width = element.clientWidth;
  if (!("ResizeObserver" in globalThis)) return;
  new ResizeObserver(() => {
    if (Math.abs(element.clientWidth - width) < 8) return;
    width = element.clientWidth;
    draw();
  }).observe(element);
}
