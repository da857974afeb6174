// Counts of a configuration in whole numbers: the pure half of chapter 5's calculator.
// Twin of cs336_lib/accounting; counts are BigInt, since FLOPs of a training exceed what a double holds exactly.

const CHOICES = { norm: ["pre", "post", "none"], position: ["rope", "none"], ffn: ["swiglu", "silu"], backend: ["reference", "fast"] };
const SIZES = ["vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"];
const FLOAT32 = 4n;

// What is wrong with a configuration, in one line; null when it is possible.
export function configError(config) {
  for (const [name, allowed] of Object.entries(CHOICES)) {
    if (!allowed.includes(config[name])) return `${name} is '${config[name]}'; allowed: ${allowed.join(", ")}`;
  }
  for (const name of SIZES) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 1) {
      return `${name} is ${config[name]}; it must be a positive whole number`;
    }
  }
  const { d_model: D, num_heads: H } = config;
  if (D % H) return `num_heads is ${H}, which does not divide d_model = ${D}`;
  if (config.position === "rope" && (D / H) % 2) {
    return `RoPE turns pairs of channels, so each head must be of even width; d_model / num_heads is ${D} / ${H} = ${D / H}`;
  }
  return null;
}

export function defaultDff(dModel, ffn = "swiglu") {
  const swiglu = 64 * Math.max(1, Math.floor((8 * dModel + 96) / 192));
  return ffn === "swiglu" ? swiglu : (swiglu * 3) / 2;
}

export const total = (parts) => Object.values(parts).reduce((sum, count) => sum + count, 0n);
const present = (parts) => Object.fromEntries(Object.entries(parts).filter(([, count]) => count));
const times = (parts, factor) => Object.fromEntries(Object.entries(parts).map(([name, count]) => [name, count * factor]));

function sizes(config, context, batch) {
  const problem = configError(config);
  if (problem) throw new RangeError(problem);
  const S = context ?? config.context_length;
  for (const [name, value] of [["context_length", S], ["batch_size", batch]]) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is ${value}; it must be a whole number, 1 or more`);
  }
  const big = (name) => BigInt(config[name]);
  return {
    L: big("num_layers"),
    D: big("d_model"),
    H: big("num_heads"),
    F: big("d_ff"),
    V: big("vocab_size"),
    K: big("d_model") / big("num_heads"),
    S: BigInt(S),
    B: BigInt(batch),
    matrices: config.ffn === "swiglu" ? 3n : 2n,
  };
}

const normCount = (config, L) => ({ pre: 2n * L + 1n, post: 2n * L, none: 0n })[config.norm];

export function parameterCount(config) {
  const { L, D, F, V, K, matrices } = sizes(config, null, 1);
  return present({
    embedding: V * D,
    attention_projections: 4n * L * D * D,
    ffn: matrices * L * D * F,
    norms: normCount(config, L) * D + (config.qk_norm ? 2n * L * K : 0n),
    lm_head: config.tie_embeddings ? 0n : V * D,
  });
}

export function forwardFlops(config, context = null, batch = 1, attention = "full") {
  const { L, D, F, V, S, B, matrices } = sizes(config, context, batch);
  return {
    attention_projections: 8n * B * S * D * D * L,
    attention_scores: attention === "full" ? 4n * B * S * S * D * L : 2n * B * S * (S + 1n) * D * L,
    ffn: 2n * matrices * B * S * D * F * L,
    lm_head: 2n * B * S * D * V,
  };
}

export const trainingFlops = (config, context = null, batch = 1, attention = "full") =>
  times(forwardFlops(config, context, batch, attention), 3n);

export const adamwFlops = (config) => 14n * total(parameterCount(config));

export function crossingContext(config) {
  const width = (config.ffn === "swiglu" ? 3n : 2n) * BigInt(config.d_ff);
  return (width + 1n) / 2n;
}

// The edition whose list of activations belongs to a model; `editions` says which lists have a gate.
export const ownList = (config, editions) => Object.keys(editions).find((each) => editions[each] === (config.ffn === "swiglu"));

// The handout's component list, in numbers: the one that belongs to the model. `gated`: false asks for that of 2025,
// which has no gate, whatever the model.
export function handoutActivations(config, context = null, batch = 1, gated = true) {
  const { L, D, H, F, V, S, B } = sizes(config, context, batch);
  return times(
    present({
      rms_norms: config.norm === "none" ? 0n : 2n * L * S * D,
      qkv_projections: 3n * L * S * D,
      qk_scores: L * H * S * S,
      softmax: L * H * S * S,
      weighted_values: L * S * D,
      output_projection: L * S * D,
      w1: L * S * F,
      w3: gated && config.ffn === "swiglu" ? L * S * F : 0n,
      silu: L * S * F,
      gate_product: gated && config.ffn === "swiglu" ? L * S * F : 0n,
      w2: L * S * D,
      final_norm: config.norm === "pre" ? S * D : 0n,
      logits: S * V,
      cross_entropy: S * V,
    }),
    B,
  );
}

// Bytes that autograd keeps for the library's model in float32.
export function autogradActivations(config, context = null, batch = 1) {
  const { L, D, H, F, V, S, B } = sizes(config, context, batch);
  const row = B * S * D;
  const fast = config.backend === "fast";
  const gated = config.ffn === "swiglu";
  const onHeads = config.qk_norm ? (fast ? 2n : 4n) * row + 2n * B * H * S : 0n;
  const turned = config.position === "rope" || config.qk_norm;
  const scores = fast
    ? 4n * row + (turned ? 2n * row : 0n) + B * H * S
    : 3n * row + 2n * B * H * S * S + 2n * B * H * S;
  const floats = {
    embedding: 0n,
    norms: normCount(config, L) * (2n * row + B * S) + L * onHeads,
    attention_projections: L * (fast ? 3n * D * D + row : 2n * row),
    attention_scores: L * scores,
    ffn: L * (row + (gated ? 5n : 3n) * B * S * F - (fast ? B * S * F : 0n)),
    lm_head: row,
    loss: B * S * V + 1n,
  };
  const bytes = times(floats, FLOAT32);
  bytes.embedding += 8n * B * S;
  bytes.attention_scores += fast ? 0n : L * S * S;
  bytes.loss += 8n * B * S;
  return present(bytes);
}

// Bytes of a training step in float32 with AdamW; `list` is "handout" (the one that belongs to the model), "ungated" (that
// of 2025) or "autograd".
export function trainingMemory(config, batch = 1, context = null, list = "handout") {
  const P = total(parameterCount(config));
  const activations =
    list === "autograd"
      ? autogradActivations(config, context, batch)
      : times(handoutActivations(config, context, batch, list !== "ungated"), FLOAT32);
  const fixed = 16n * P;
  return {
    parameters: FLOAT32 * P,
    gradients: FLOAT32 * P,
    optimizer: 2n * FLOAT32 * P,
    activations,
    fixed,
    total: fixed + total(activations),
  };
}

const floorDiv = (a, b) => (a < 0n ? -((-a + b - 1n) / b) : a / b);

export function maxBatchSize(config, memoryBytes, context = null, list = "handout") {
  const [one, two] = [1, 2].map((batch) => trainingMemory(config, batch, context, list).total);
  const each = two - one;
  const batch = floorDiv(BigInt(memoryBytes) - (one - each), each);
  return batch > 0n ? batch : 0n;
}

// Python's round() of a quotient: to the nearest whole number, a half to the even one.
export function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest < 0.5 ? low : rest > 0.5 ? low + 1 : low % 2 ? low + 1 : low;
}

// Steps that make 20 tokens per parameter, as `cs336 account` takes when none are given.
export const defaultSteps = (config, context = null, batch = 1) =>
  Math.max(1, roundHalfEven(Number(20n * total(parameterCount(config))) / ((context ?? config.context_length) * batch)));

// Seconds of a training; `peak` in FLOP/s.
export function trainingTime(config, steps, batch, peak, mfu, context = null, attention = "full") {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`steps is ${steps}; it must be a whole number, 1 or more`);
  if (!(mfu > 0 && mfu <= 1)) throw new RangeError(`mfu is ${mfu}; it must be above 0 and at most 1 (0.5 is 50 %)`);
  const flops = total(trainingFlops(config, context, batch, attention));
  return Number(BigInt(steps) * flops) / (peak * mfu);
}

// Python's f"{value:.{digits}f}": exact decimals of the double, a tie to the even digit (toFixed takes it up).
export function fixed(value, digits) {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1e21) return digits ? `${BigInt(value)}.${"0".repeat(digits)}` : String(BigInt(value));
  const exact = value.toFixed(Math.min(100, digits + 60));
  const tail = exact.slice(exact.length - 60);
  if (/^50*$/.test(tail)) {
    const cut = exact.slice(0, exact.length - 60).replace(/\.$/, "");
    if (Number(cut[cut.length - 1]) % 2 === 0) return cut;
  }
  return value.toFixed(digits);
}

const UNITS = [[86400 * 365.25, "years"], [86400, "days"], [3600, "hours"], [60, "minutes"], [1, "s"], [1e-3, "ms"], [1e-6, "us"]];

export function duration(seconds) {
  for (const [at, [size, unit]] of UNITS.slice(0, -1).entries()) {
    const smaller = UNITS[at + 1][0];
    if (Number(fixed(seconds / smaller, 2)) >= Number(fixed(size / smaller, 2))) return `${fixed(seconds / size, 2)} ${unit}`;
  }
  return `${fixed(seconds / 1e-6, 2)} us`;
}

// A quotient of whole numbers, rounded once as in Python: the last bit of the longer one stands for all that is cut off.
function quotient(count, by) {
  const long = count << 70n;
  const cut = long % by ? 1n : 0n;
  return Number((long / by) | cut) / 2 ** 70;
}

export const size = (count) => {
  const number = BigInt(count);
  const [unit, decimal, binary] = number >= 10n ** 7n ? ["G", 10n ** 9n, 2n ** 30n] : number >= 10n ** 4n ? ["M", 10n ** 6n, 2n ** 20n] : ["k", 10n ** 3n, 2n ** 10n];
  return `${fixed(quotient(number, decimal), 3)} ${unit}B (${fixed(quotient(number, binary), 3)} ${unit.toUpperCase()}iB)`;
};
