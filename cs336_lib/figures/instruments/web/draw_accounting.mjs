// Chapter 5: what a model costs.
import * as account from "./account.mjs";
import { amount, commas, exact, short } from "./numbers.mjs";
import { body, chart, chartWidth, check, choice, COLORS, guarded, h, labeled, numberBox, replace, slider, statusLine, table } from "./ui.mjs";

const NAMES = { embedding: "embedding", attention_projections: "attention projections", attention_scores: "attention scores", ffn: "feed-forward network", norms: "norms", lm_head: "output head" };
const COLOR = { embedding: 5, attention_projections: 0, attention_scores: 1, ffn: 2, norms: 6, lm_head: 3 };
const FIELDS = [
  ["vocab_size", "Vocabulary"],
  ["context_length", "Context, tokens"],
  ["d_model", "d_model"],
  ["num_layers", "Layers"],
  ["num_heads", "Heads"],
  ["d_ff", "d_ff"],
];

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  let data = null;
  let config = null;
  let batch = 1;
  let steps = null; // null: 20 tokens per parameter
  let mfu = 0.5;
  let edition = ""; // whose list of activations; empty: the one that belongs to the model
  let device = "h100-sxm";
  let dtype = "bfloat16";
  const boxes = {};
  const results = h("div");

  function bars(parts, color = (name) => COLORS[COLOR[name] ?? 6]) {
    const most = Math.max(...Object.values(parts).map(Number));
    const all = Number(account.total(parts));
    return Object.entries(parts).map(([name, count]) =>
      h(
        "div",
        { class: "ci-bar" },
        h("span", {}, NAMES[name] ?? name.replaceAll("_", " ")),
        h("div", { class: "ci-track" }, h("span", { class: "ci-space" }, h("span", { class: "ci-fill", style: `width:${((100 * Number(count)) / most).toFixed(2)}%;background:${color(name)}` })), h("span", {}, `${account.fixed((100 * Number(count)) / all, 2)} %`)),
      ),
    );
  }

  // Exact figures are laid out only while somebody looks at them; what was open stays open.
  const looked = new Set();
  function counted(title, parts, unit) {
    const exact = () => {
      const rows = Object.entries(parts).map(([name, count]) => [name, commas(count)]);
      rows.push(["total", commas(account.total(parts))]);
      return table(["", unit], rows, { caption: title, numeric: [1] });
    };
    const details = h("details", { open: looked.has(unit) }, h("summary", {}, `Exact, in ${unit}`), looked.has(unit) ? exact() : null);
    details.addEventListener("toggle", () => {
      if (details.open === looked.has(unit)) return;
      if (details.open) {
        looked.add(unit);
        details.append(exact());
      } else {
        looked.delete(unit);
        details.lastChild.remove();
      }
    });
    return h("div", {}, h("p", { class: "ci-heading" }, title), bars(parts), details);
  }

  function memory() {
    const year = edition || account.ownList(config, data.editions);
    const list = data.editions[year] ? "handout" : "ungated";
    const plain = account.trainingMemory(config, batch, null, list);
    const kept = account.autogradActivations(config, null, batch);
    const kinds = [
      ["parameters", plain.parameters, COLORS[0]],
      ["gradients", plain.gradients, COLORS[1]],
      ["AdamW's moments", plain.optimizer, COLORS[2]],
      [`activations, ${year} handout's list`, account.total(plain.activations), COLORS[3]],
    ];
    const devices = Object.values(data.devices);
    const largest = Math.max(Number(plain.total), ...devices.map((each) => each.memory));
    const bar = (parts) => h("div", { class: "ci-stack", "aria-hidden": "true" }, parts.map(([, bytes, color]) => h("span", { style: `width:${((100 * Number(bytes)) / largest).toFixed(2)}%;background:${color}` })));
    const sizes = [...new Set(devices.map((each) => each.memory))].sort((a, b) => a - b);
    return h(
      "div",
      {},
      h("p", { class: "ci-heading" }, `Memory of a training step in float32: ${account.size(plain.total)}`),
      bar(kinds),
      h("div", { class: "ci-rule", "aria-hidden": "true" }, sizes.map((bytes) => h("span", { style: `left:${((100 * bytes) / largest).toFixed(2)}%` }, `${exact(bytes / 1e9, 6)} GB`))),
      kinds.map(([name, bytes, color]) => h("div", {}, h("span", { class: "ci-key", style: `background:${color}` }), `${name}: ${account.size(bytes)}`)),
      h("p", { class: "ci-note" }, `What autograd really keeps for the ${config.backend} model: ${account.size(account.total(kept))}.`),
      table(
        ["memory", "devices", `${year} handout's list`, `${config.backend} model`],
        sizes.map((bytes) => [
          `${exact(bytes / 1e9, 6)} GB`,
          devices.filter((each) => each.memory === bytes).map((each) => each.name.replace("NVIDIA ", "")).join(", "),
          ...[list, "autograd"].map((each) => account.maxBatchSize(config, bytes, null, each).toLocaleString("en-US")),
        ]),
        { caption: "Largest batch that fits, by the handout's list of activations and by what autograd keeps", numeric: [2, 3], wide: [1] },
      ),
    );
  }

  function time() {
    const where = data.devices[device];
    const count = steps ?? account.defaultSteps(config, null, batch);
    const seconds = account.trainingTime(config, count, batch, where.peaks[dtype], mfu);
    const days = (part) => account.trainingTime(config, count, batch, where.peaks[dtype], part) / 86400;
    const points = Array.from({ length: 50 }, (_, i) => [2 * (i + 1), days((i + 1) / 50)]);
    const tokens = BigInt(count) * BigInt(batch) * BigInt(config.context_length);
    const rate = Number(tokens) / seconds;
    return h(
      "div",
      {},
      h("p", { class: "ci-heading" }, `Time: ${account.duration(seconds)}`),
      h("p", { class: "ci-note", "data-seconds": String(seconds) }, `${commas(count)} ${count === 1 ? "step" : "steps"} of ${commas(batch)} × ${commas(config.context_length)} = ${commas(tokens)} tokens on one ${where.name} at ${exact(100 * mfu, 6)} % of ${exact(where.peaks[dtype] / 1e12, 6)} TFLOP/s (${dtype}); ${rate < 10 ? short(rate) : commas(account.roundHalfEven(rate))} tokens per second.`),
      chart({ label: `Days of training against MFU, from ${short(days(0.02))} at 2 % to ${short(days(1))} at 100 %`, series: [{ name: "days", color: COLORS[0], points }], xLabel: "MFU, percent", yLabel: "days", width: chartWidth(place), height: 190, logY: true, marks: [{ x: 100 * mfu, y: seconds / 86400, color: COLORS[1] }], yRange: [days(1) / 1.3, days(0.02) * 1.3] }),
    );
  }

  const stale = "The figures below are those of the last possible model.";
  const update = guarded(status, () => {
    if (!config) return;
    const problem = account.configError(config);
    if (problem) throw new RangeError(problem);
    if (!Number.isSafeInteger(batch) || batch < 1) throw new RangeError(`batch_size is ${batch}; it must be a whole number, 1 or more`);
    if (steps !== null && (!Number.isSafeInteger(steps) || steps < 1)) throw new RangeError(`steps is ${steps}; it must be a whole number, 1 or more, or empty for 20 tokens per parameter`);
    const parameters = account.parameterCount(config);
    const flops = account.forwardFlops(config);
    const training = account.total(account.trainingFlops(config));
    replace(
      results,
      h("div", { class: "ci-two" }, counted(`Parameters: ${commas(account.total(parameters))}`, parameters, "parameters"), counted(`Forward FLOPs of a sequence: ${short(Number(account.total(flops)))}`, flops, "FLOPs")),
      h("p", { class: "ci-note" }, `Training, forward and backward: ${commas(training)} FLOPs per sequence. AdamW: ${commas(account.adamwFlops(config))} per step. Attention scores overtake the feed-forward network at ${commas(account.crossingContext(config))} tokens.`),
      memory(),
      time(),
    );
    status.say(`${commas(account.total(parameters))} parameters, heads of ${amount(config.d_model / config.num_heads, "channel")}.`);
  }, stale);

  function take(preset) {
    config = { ...data.presets[preset] };
    for (const [name] of FIELDS) boxes[name].value = config[name];
    for (const [name, select] of Object.entries(selects)) select.value = config[name];
    for (const [name, box] of Object.entries(switches)) box.querySelector("input").checked = config[name];
    contextSlider.set(config.context_length);
    layerSlider.set(config.num_layers);
    update();
  }

  const set = (name) => (value) => {
    config[name] = value;
    if (name === "context_length") contextSlider.set(value);
    if (name === "num_layers") layerSlider.set(value);
    update();
  };
  for (const [name] of FIELDS) boxes[name] = numberBox("", (value) => set(name)(value), { step: 1, name });
  const pick = (name, options) => choice(options.map((value) => [value, value]), options[0], (value) => set(name)(value), name);
  const selects = { ffn: pick("ffn", ["swiglu", "silu"]), norm: pick("norm", ["pre", "post", "none"]), position: pick("position", ["rope", "none"]), backend: pick("backend", ["reference", "fast"]) };
  const switches = { tie_embeddings: check("tied embeddings", false, (on) => set("tie_embeddings")(on), "tie_embeddings"), qk_norm: check("QK-norm", false, (on) => set("qk_norm")(on), "qk_norm") };
  const contextSlider = slider("Context", { min: 4, max: 17, value: 1024, place: Math.log2, from: (at) => 2 ** at, show: (value) => amount(value, "token"), name: "context", onInput: (value) => { boxes.context_length.value = value; config.context_length = value; update(); } });
  const layerSlider = slider("Layers", { min: 1, max: 96, value: 12, name: "layers", onInput: (value) => { boxes.num_layers.value = value; config.num_layers = value; update(); } });
  const batchSlider = slider("Batch", { min: 0, max: 10, value: batch, place: Math.log2, from: (at) => 2 ** at, show: (value) => amount(value, "sequence"), name: "batch", onInput: (value) => { batchBox.value = batch = value; update(); } });
  const batchBox = numberBox(batch, (value) => ((batch = value), batchSlider.set(value), update()), { step: 1, name: "batch_size" });
  const mfuSlider = slider("MFU", { min: 1, max: 100, value: mfu, place: (value) => 100 * value, from: (at) => at / 100, show: (value) => `${exact(100 * value, 6)} %`, name: "mfu", onInput: (value) => ((mfu = value), update()) });
  const stepBox = numberBox("", (value) => ((steps = stepBox.value.trim() === "" ? null : value), update()), { step: 1, name: "steps" });
  stepBox.placeholder = "20 tokens per parameter";

  const editions = choice([["", "the model's own"]], edition, (value) => ((edition = value), update()), "edition");
  status.say("Loading the presets …");
  host.load("accounting").then(
    guarded(status, (payload) => {
      data = payload;
      const start = "gpt2-xl" in data.presets ? "gpt2-xl" : Object.keys(data.presets)[0];
      editions.append(...Object.keys(data.editions).map((each) => h("option", { value: each }, each)));
      const presets = choice(Object.keys(data.presets).map((name) => [name, name]), start, take, "preset");
      const dtypes = choice([], dtype, (value) => ((dtype = value), update()), "dtype");
      const chooseDevice = (name) => {
        device = name;
        const known = Object.keys(data.devices[name].peaks);
        if (!known.includes(dtype)) dtype = known.includes("bfloat16") ? "bfloat16" : "float16";
        dtypes.replaceChildren(...known.map((each) => h("option", { value: each, selected: each === dtype }, each)));
        update();
      };
      const devices = choice(Object.entries(data.devices).map(([key, { name }]) => [key, name]), device, chooseDevice, "device");
      place.prepend(
        h("div", { class: "ci-row" }, labeled("Model", presets), contextSlider, layerSlider),
        h("div", { class: "ci-row ci-narrow" }, FIELDS.map(([name, text]) => labeled(text, boxes[name]))),
        h("div", { class: "ci-row" }, labeled("Feed-forward", selects.ffn), labeled("Norm", selects.norm), labeled("Positions", selects.position), labeled("Backend", selects.backend), switches.tie_embeddings, switches.qk_norm),
        h("div", { class: "ci-row" }, labeled("Batch size", batchBox), batchSlider, labeled("Steps", stepBox), labeled("Handout's list", editions)),
        h("div", { class: "ci-row" }, labeled("Device", devices), labeled("Type of the products", dtypes), mfuSlider),
      );
      take(start);
      chooseDevice(device);
    }),
    (error) => status.complain(error.message),
  );
  place.append(status.line, results);
}
