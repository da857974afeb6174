// Chapter 11: a training on many GPUs, on paper: network, utilization and price against time and cost.
import { bill, scaling, tokenFlops } from "./cluster.mjs";
import { amount, commas, exact, short } from "./numbers.mjs";
import { body, chart, chartWidth, choice, COLORS, guarded, h, labeled, numberBox, onResize, replace, slider, statusLine } from "./ui.mjs";

const LLAMA = { vocab_size: 32000, context_length: 2048, d_model: 4096, num_layers: 32, num_heads: 32, d_ff: 11008, norm: "pre", position: "rope", ffn: "swiglu", tie_embeddings: false, qk_norm: false, backend: "fast" };
const MOST = 13; // the slider ends at 2^13 workers
const NAMES = { ddp: "DDP", fsdp: "FSDP2" };

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  const picture = h("div");
  const note = h("p", { class: "ci-note" });
  const set = { model: "LLaMA 7B", device: "h100-sxm", strategy: "fsdp", workers: 1024, batch: 8192, gigabits: 400, mfu: 0.4, tokens: 15e12, price: 2 };
  let data = null;

  const at = (strategy, workers) => {
    const config = set.model === "LLaMA 7B" ? LLAMA : data.presets[set.model];
    const rate = (set.mfu * data.devices[set.device].peaks.bfloat16) / tokenFlops(config);
    return { rate, ...scaling(config, workers, rate, set.batch, set.gigabits * 1.25e8, strategy) };
  };

  const update = guarded(status, () => {
    if (!data) return;
    const now = at(set.strategy, set.workers);
    const costs = bill(set.tokens, now.rate, set.workers, now.efficiency, set.price);
    const counts = Array.from({ length: MOST + 1 }, (_, k) => 2 ** k).filter((count) => set.batch % count === 0);
    const series = Object.keys(NAMES).map((strategy, i) => ({ name: NAMES[strategy], color: COLORS[i], strong: strategy === set.strategy, points: counts.map((count) => [count, at(strategy, count).efficiency]) }));
    replace(picture, chart({ label: `Efficiency against the number of GPUs, ${set.model}`, series, xLabel: "GPUs", yLabel: "efficiency", width: chartWidth(place), logX: true, yRange: [0, 1.05], marks: [{ x: set.workers, y: now.efficiency, color: COLORS[set.strategy === "ddp" ? 0 : 1] }] }));
    note.textContent = `A GPU alone: ${now.rate < 10 ? short(now.rate) : commas(Math.round(now.rate))} tokens per second. A step of ${amount(set.batch, "sequence")}: ${short(now.compute)} s of computing on each GPU, ${short(now.communication)} s on the wire, ${short(now.seconds)} s in all.`;
    status.say(`${amount(set.workers, "GPU")} with ${NAMES[set.strategy]}: efficiency ${now.efficiency < 0.01 ? short(100 * now.efficiency) : (100 * now.efficiency).toFixed(1)} %. A training on ${short(set.tokens)} ${set.tokens === 1 ? "token" : "tokens"} takes ${short(costs.seconds / 86400)} days, ${short(costs.hours)} GPU hours and ${short(costs.cost)} USD.`);
  }, "Below stands what was last possible.");

  const box = (key, options = {}) => numberBox(set[key], (value) => ((set[key] = value), update()), { name: key, ...options });
  const tokens = box("tokens");
  tokens.value = short(set.tokens);
  const workers = slider("GPUs", { min: 0, max: MOST, value: set.workers, place: Math.log2, from: (at) => 2 ** at, name: "workers", onInput: (value) => ((set.workers = value), update()) });
  const network = slider("Network of each GPU", { min: 0, max: 36, value: set.gigabits, place: (value) => 10 * Math.log10(value), from: (at) => +(10 ** (at / 10)).toPrecision(2), show: (value) => `${exact(value)} Gbit/s`, name: "network", onInput: (value) => ((set.gigabits = value), update()) });
  const mfu = slider("MFU of a GPU alone", { min: 1, max: 100, value: set.mfu, place: (value) => 100 * value, from: (at) => at / 100, show: (value) => `${exact(100 * value, 6)} %`, name: "mfu", onInput: (value) => ((set.mfu = value), update()) });
  const strategy = choice(Object.entries(NAMES), set.strategy, (value) => ((set.strategy = value), update()), "strategy");
  status.say("Loading the devices …");
  host.load("accounting").then(
    guarded(status, (payload) => {
      data = payload;
      const models = ["LLaMA 7B", ...Object.keys(data.presets).filter((name) => name.startsWith("gpt2-"))];
      const devices = Object.entries(data.devices).filter(([, { peaks }]) => peaks.bfloat16);
      place.prepend(
        h("div", { class: "ci-row" }, labeled("Model", choice(models.map((name) => [name, name]), set.model, (value) => ((set.model = value), update()), "model")), labeled("GPU, bfloat16 peak", choice(devices.map(([key, { name }]) => [key, name]), set.device, (value) => ((set.device = value), update()), "device")), labeled("Strategy", strategy), workers),
        h("div", { class: "ci-row" }, network, mfu, labeled("Batch, sequences", box("batch", { step: 1 }))),
        h("div", { class: "ci-row" }, labeled("Tokens to train on", tokens), labeled("USD per GPU hour", box("price"))),
      );
      update();
    }),
    (error) => status.complain(error.message),
  );
  const keys = Object.values(NAMES).flatMap((name, i) => [h("span", { class: "ci-key", style: `background:${COLORS[i]}` }), `${name} `]);
  place.append(status.line, note, picture, h("p", { class: "ci-note" }, keys, "Whether the model fits into the memory of a GPU is not asked here."));
  onResize(element, () => update());
}
