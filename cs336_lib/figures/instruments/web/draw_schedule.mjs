// Chapter 6: learning rates of a schedule, and the toy of learning_rate_tuning.
import { exact, short } from "./numbers.mjs";
import { cosineSchedule, toyFactor, toyVerdict, toyWeight, wsdSchedule } from "./schedule.mjs";
import { body, chart, chartWidth, choice, COLORS, guarded, h, labeled, numberBox, onResize, replace, slider, statusLine } from "./ui.mjs";

const TOY_STEPS = 20;
const STALE = "Below stands what was last possible.";
const MOST = 1e6; // of the toy's rate and weight: its loss of 20 steps is still a number then

// 0.8, and 1 - 2e-5 for what would be rounded to 1: a weight that such a factor shrinks does not stay.
function factorText(factor) {
  const near = Math.round(factor);
  if (factor === near || short(factor) !== short(near)) return short(factor);
  return `${near} ${factor < near ? "-" : "+"} ${short(Math.abs(factor - near))}`;
}

export function mount(element) {
  const place = body(element);
  const status = statusLine();
  const toyStatus = statusLine();
  const set = { shape: "cosine", max: 1e-3, min: 1e-4, warmup: 100, end: 1000, decay: 200, total: 1000, at: 400 };
  let lr = 10;
  let start = 5;
  const picture = h("div");
  const toyPicture = h("div");

  const rate = (step) =>
    set.shape === "cosine"
      ? cosineSchedule(step, set.max, set.min, set.warmup, set.end)
      : wsdSchedule(step, set.max, set.min, set.warmup, set.decay, set.total, set.shape === "wsd-sqrt" ? "sqrt" : "linear");

  const update = guarded(status, () => {
    for (const [name, text] of [["max", "highest rate"], ["min", "lowest rate"]]) {
      if (!(set[name] >= 0 && set[name] < Infinity)) throw new RangeError(`The ${text} is ${set[name]}; it must be a number, 0 or more`);
    }
    if (!Number.isSafeInteger(set.total) || set.total < 1 || set.total > 1e7) throw new RangeError(`The length of the run is ${set.total}; it must be a whole number of steps from 1 to 10,000,000`);
    const every = Math.max(1, Math.floor(set.total / 500));
    const steps = new Set([set.warmup, set.end, set.total - set.decay, set.total].filter((step) => step >= 0 && step <= set.total));
    for (let step = 0; step <= set.total; step += every) steps.add(step);
    const points = [...steps].sort((a, b) => a - b).map((step) => [step, rate(step)]);
    const at = Math.min(set.at, set.total);
    const here = rate(at);
    decayField.hidden = set.shape === "cosine";
    endField.hidden = set.shape !== "cosine";
    atSlider.reach(set.total);
    atSlider.set(at);
    replace(picture, chart({ label: `Learning rate against the step: ${set.shape}`, series: [{ name: "rate", color: COLORS[0], points }], xLabel: "step", yLabel: "learning rate", width: chartWidth(place), yRange: [0, Math.max(set.max, set.min, 1e-300) * 1.05], marks: [{ x: at, y: here, color: COLORS[1] }] }));
    const last = rate(set.total);
    status.line.dataset.rate = String(here);
    status.say(`Step ${exact(at)}: ${exact(here, 7)}. The run ends at ${exact(last, 7)}${last > set.min ? ", above the lowest rate: the schedule ends after the run" : ""}.`);
  }, STALE);

  const updateToy = guarded(toyStatus, () => {
    if (!(lr >= 0 && lr <= MOST)) throw new RangeError(`The learning rate is ${lr}; it must be a number from 0 to ${exact(MOST)}`);
    if (!(Math.abs(start) <= MOST)) throw new RangeError(`The weight is ${start}; it must be a number of at most ${exact(MOST)}`);
    const weights = toyWeight(lr, TOY_STEPS, start);
    const losses = weights.map((w) => w * w);
    const floor = 1e-12;
    const width = chartWidth(place);
    const most = Math.max(...losses.filter(Number.isFinite), floor * 10);
    const swing = Math.min(Math.max(...weights.map(Math.abs)), 20 * Math.abs(start) || 1);
    const parabola = Array.from({ length: 61 }, (_, i) => [-swing + (i * swing) / 30, (-swing + (i * swing) / 30) ** 2]);
    const path = weights.slice(0, 8).map((w) => [w, w * w]);
    const half = width > 560 ? width / 2 - 6 : width;
    replace(
      toyPicture,
      h(
        "div",
        { class: "ci-two" },
        chart({ label: `The loss at each step for a learning rate of ${short(lr)}`, series: [{ name: "loss", color: COLORS[0], points: losses.map((loss, t) => [t, Math.max(loss, floor)]) }], xLabel: "step", yLabel: Math.min(...losses) < floor ? `loss, never below ${short(floor)} here` : "loss", width: half, height: 250, logY: true, yRange: [Math.min(...losses.map((loss) => Math.max(loss, floor))) / 2, most * 2], marks: losses.map((loss, t) => ({ x: t, y: Math.max(loss, floor), color: COLORS[0] })) }),
        chart({ label: "The weight's first eight places on the parabola", series: [{ name: "parabola", color: COLORS[6], points: parabola }, { name: "path", color: COLORS[1], points: path }], xLabel: "weight", yLabel: "loss, all weights alike", width: half, height: 250, xRange: [-swing, swing], yRange: [0, swing * swing || 1], marks: path.map(([x, y]) => ({ x, y, color: COLORS[1] })) }),
      ),
    );
    const [first, last] = [losses[0], losses[TOY_STEPS - 1]].map(short);
    const ended = first === last && losses[0] !== losses[TOY_STEPS - 1] ? `still about ${last}` : `${last} (it began at ${first})`;
    const what = start === 0 ? "it stays at 0, where the gradient is 0 as well" : `it ${toyVerdict(lr)}; the first step multiplies the weight by ${factorText(toyFactor(lr))}`;
    toyStatus.say(`Rate ${exact(lr)}: ${what}. After ${TOY_STEPS - 1} updates the loss is ${ended}.`);
  }, STALE);

  const box = (key, name) => numberBox(set[key], (value) => ((set[key] = value), update()), { name });
  const shape = choice([["cosine", "warm-up and cosine"], ["wsd", "warm-up, stable, linear decay"], ["wsd-sqrt", "warm-up, stable, 1 - sqrt decay"]], "cosine", (value) => ((set.shape = value), update()), "shape");
  const endField = labeled("Cosine ends at step", box("end", "end"));
  const decayField = labeled("Decay, steps", box("decay", "decay"));
  const atSlider = slider("Look at step", { min: 0, max: set.total, value: set.at, name: "at", onInput: (value) => ((set.at = value), update()) });
  const lrBox = numberBox(lr, (value) => { lr = value; lrSlider.set(value); updateToy(); }, { name: "lr" });
  const lrSlider = slider("Rate, on a logarithmic scale", { min: -100, max: 350, value: lr, place: (value) => 100 * Math.log10(value), from: (at) => +(10 ** (at / 100)).toPrecision(3), name: "lr-slider", onInput: (value) => { lrBox.value = lr = value; updateToy(); } });
  place.append(
    h("p", { class: "ci-heading" }, "A schedule"),
    h("div", { class: "ci-row" }, labeled("Shape", shape), labeled("Highest rate", box("max", "max")), labeled("Lowest rate", box("min", "min")), labeled("Warm-up, steps", box("warmup", "warmup")), endField, decayField, labeled("The run, steps", box("total", "total"))),
    atSlider,
    status.line,
    picture,
    h("p", { class: "ci-heading" }, "The toy of learning_rate_tuning: the mean of 100 squared weights, SGD with lr / √(t + 1)"),
    h("div", { class: "ci-row" }, labeled("Learning rate", lrBox), lrSlider, labeled("The weight begins at", numberBox(start, (value) => ((start = value), updateToy()), { name: "start" }))),
    toyStatus.line,
    toyPicture,
  );
  update();
  updateToy();
  onResize(element, () => (update(), updateToy()));
}
