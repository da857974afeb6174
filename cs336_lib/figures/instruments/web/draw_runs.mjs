// Chapters 8 to 10: the explorer of the runs on record.
import { amount, exact, short } from "./numbers.mjs";
import { curve, looks, lowest, ratesOf, seedsOf, select, suites } from "./runs.mjs";
import { body, chart, chartWidth, choice, COLORS, guarded, h, labeled, onResize, replace, s, slider, statusLine, unique } from "./ui.mjs";

const FAILED = { diverged: "; it diverged", "thrown out": "; its limit threw it out" };

const UNITS = { steps: "step", tokens: "tokens", time: "seconds of training" };

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  let runs = [];
  const set = { suite: null, rates: [], seeds: [], x: "steps", y: "valid", width: 1 };
  let single = null; // index into the shown runs
  let shown = [];
  let styles = []; // how each of them is drawn
  const picture = h("div");
  const warning = h("p", { class: "ci-note" });
  const filters = h("div");
  const list = h("div", { class: "ci-list", role: "listbox", tabindex: "0", "aria-label": "Runs: arrow keys single one out" });
  const prefix = unique("run");

  const nameOf = (run) => `${run.name}, seed ${run.seed}`;
  const sample = ({ color, dash, thick }) => s("svg", { class: "ci-sample", viewBox: "0 0 30 8", "aria-hidden": "true" }, s("line", { x1: 0, x2: 30, y1: 4, y2: 4, style: `stroke:${color}`, "stroke-width": thick, "stroke-dasharray": dash }));

  function chips(title, values, chosen, show) {
    if (values.length < 2) return null;
    const keys = values.map((value) =>
      h("button", { type: "button", "aria-pressed": String(chosen.includes(value)), onclick: () => { chosen.includes(value) ? chosen.splice(chosen.indexOf(value), 1) : chosen.push(value); keys[values.indexOf(value)].setAttribute("aria-pressed", String(chosen.includes(value))); single = null; update(); } }, show(value)),
    );
    return h("fieldset", {}, h("legend", {}, `${title}: none pressed shows all`), h("div", { class: "ci-chips" }, keys));
  }

  function drawPicture() {
    const series = shown.map((run, i) => ({ name: String(i), ...styles[i], points: curve(run, set.x, set.y, set.width), faint: single !== null && single !== i, strong: single === i }));
    const values = series.flatMap((line) => line.points.map((point) => point[1])).sort((a, b) => a - b);
    const top = values.length ? Math.max(values[Math.floor(values.length * 0.97)], values[0] + 0.1) : 1;
    const ends = shown.flatMap((run, i) => {
      const last = series[i].points.at(-1);
      return FAILED[run.status] && last ? [{ x: last[0], y: last[1], color: series[i].color }] : [];
    });
    replace(picture, chart({ label: `Loss curves of ${shown.length} runs of ${set.suite}`, series, xLabel: UNITS[set.x], yLabel: set.y === "valid" ? "validation loss, nats per token" : "training loss, nats per token", width: chartWidth(place), height: 330, yRange: values.length ? [values[0] - 0.05 * (top - values[0]), top] : undefined, ends, onPoint }));
    const places = new Set(shown.map((run) => run.device));
    const beside = shown.some((run) => run.shared) ? "These runs shared their machine with other work" : places.size > 1 ? "These runs were made on different devices" : null;
    warning.textContent = set.x === "time" && beside ? `${beside}: compare their losses, not their times.` : "";
  }

  function singleOut(index, point = null) {
    if (index === single && !point) return;
    const changed = index !== single;
    single = index;
    if (changed) {
      [...picture.querySelectorAll("[data-series]")].forEach((path) => {
        const mine = Number(path.dataset.series) === index;
        path.setAttribute("opacity", index === null || mine ? 1 : 0.22);
        path.setAttribute("stroke-width", mine ? 3 : styles[path.dataset.series].thick);
      });
      [...list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === index)));
      if (index === null) list.removeAttribute("aria-activedescendant");
      else list.setAttribute("aria-activedescendant", `${prefix}-${index}`);
    }
    if (index === null) return summary();
    const run = shown[index];
    const least = lowest(run);
    status.say(`${nameOf(run)}: lowest validation loss ${least === null ? "none" : least.toFixed(4)}${FAILED[run.status] ?? ""}; learning rate ${exact(run.lr, 6)}; ${run.device}${point ? `. Here: ${set.x === "steps" ? `step ${exact(point[0])}` : `${short(point[0])} ${UNITS[set.x]}`}, loss ${point[1].toFixed(3)}` : ""}.`);
  }
  const onPoint = (name, point) => singleOut(name === null ? null : Number(name), point);

  function summary() {
    const finished = shown.filter((run) => lowest(run) !== null && !FAILED[run.status]);
    if (!finished.length) return status.say(shown.length ? "None of these runs has a validation loss." : "No run matches: press fewer of the choices.");
    const best = finished.reduce((a, b) => (lowest(b) < lowest(a) ? b : a));
    status.say(`${amount(shown.length, "run")}. The lowest: ${nameOf(best)}, ${lowest(best).toFixed(4)} nats per token.`);
  }

  const update = guarded(status, () => {
    shown = select(runs, set).sort((a, b) => (lowest(a) ?? Infinity) - (lowest(b) ?? Infinity));
    styles = looks(shown, COLORS.length).map((look) => ({ ...look, color: COLORS[look.color] }));
    if (single !== null && single >= shown.length) single = null;
    drawPicture();
    replace(
      list,
      shown.map((run, i) => {
        const least = lowest(run);
        return h("div", { class: "ci-option", role: "option", id: `${prefix}-${i}`, "aria-selected": String(i === single), onclick: () => singleOut(i), onpointerenter: () => singleOut(i) }, h("span", {}, sample(styles[i]), nameOf(run)), h("span", { class: "ci-number" }, least === null ? "no evaluation" : least.toFixed(4), run.status === "finished" ? "" : ` (${run.status})`));
      }),
    );
    summary();
  });

  list.addEventListener("keydown", (event) => {
    const to = { ArrowDown: (single ?? -1) + 1, ArrowUp: (single ?? 1) - 1, Home: 0, End: shown.length - 1, Escape: null }[event.key];
    if (to === undefined || !shown.length) return;
    event.preventDefault();
    singleOut(to === null ? null : Math.max(0, Math.min(shown.length - 1, to)));
    list.children[single]?.scrollIntoView({ block: "nearest" });
  });
  list.addEventListener("pointerleave", () => singleOut(null));

  function takeSuite(suite) {
    Object.assign(set, { suite, rates: [], seeds: [] });
    single = null;
    const all = runs.filter((run) => run.suite === suite);
    replace(filters, chips("Learning rate", ratesOf(all), set.rates, (rate) => exact(rate, 6)), chips("Seed", seedsOf(all), set.seeds, String));
    update();
  }

  status.say("Loading the records …");
  place.append(status.line);
  host.load("runs").then(
    guarded(status, (payload) => {
      runs = payload.runs;
      const names = suites(runs);
      const start = names.find((name) => name.startsWith(element.dataset.suite ?? "lr-sweep")) ?? names[0];
      const width = slider("Smoothing of training losses", { min: 1, max: 30, value: 1, show: (value) => (value === 1 ? "none" : amount(value, "point")), name: "smooth", onInput: (value) => ((set.width = value), drawPicture()) });
      place.prepend(
        h("div", { class: "ci-row" }, labeled("Suite", choice(names.map((name) => [name, name]), start, takeSuite, "suite")), labeled("Against", choice([["steps", "steps"], ["tokens", "tokens"], ["time", "time"]], set.x, (value) => ((set.x = value), drawPicture()), "x")), labeled("Loss", choice([["valid", "validation"], ["train", "training"]], set.y, (value) => ((set.y = value), drawPicture()), "y")), width),
        filters,
      );
      place.append(picture, warning, h("p", { class: "ci-note" }, "Lowest validation loss first. A name has a color, and dashes where the colors are all taken; its second seed is a thinner line. A cross: diverged, or thrown out by its limit."), list);
      takeSuite(start);
      onResize(element, drawPicture);
    }),
    (error) => status.complain(error.message),
  );
}
