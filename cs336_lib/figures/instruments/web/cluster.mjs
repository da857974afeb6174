// A training on several workers, on paper: the pure half of chapter 11's instrument.
// Twin of cs336_lib/accounting/distributed.py and scaling.py: bytes of a step in float32, its time, and the bill.
import { configError, parameterCount, total, trainingFlops } from "./account.mjs";

const FLOAT32 = 4;

// Shapes of parameters as [rows, numbers in a row].
function layerShapes(config) {
  const { d_model: D, d_ff: F, num_heads: H } = config;
  const up = config.ffn === "swiglu" ? 2 : 1;
  const norms = config.norm === "none" ? [] : [[D, 1], [D, 1]];
  const onHeads = config.qk_norm ? [[D / H, 1], [D / H, 1]] : [];
  return [...Array(4).fill([D, D]), ...Array(up).fill([F, D]), [D, F], ...norms, ...onHeads];
}

function rootShapes(config) {
  const table = [config.vocab_size, config.d_model];
  return [table, ...(config.norm === "pre" ? [[config.d_model, 1]] : []), ...(config.tie_embeddings ? [] : [table])];
}

// Numbers that the fullest rank holds: of each parameter 1 / N of the rows, rounded up.
const shardSize = (shapes, ranks) => shapes.reduce((sum, [rows, width]) => sum + Math.ceil(rows / ranks) * width, 0);

// Bytes that each of N ranks sends in a step, on a ring.
export function sentBytes(config, strategy, ranks) {
  const problem = configError(config);
  if (problem) throw new RangeError(problem);
  if (!Number.isSafeInteger(ranks) || ranks < 1) throw new RangeError(`ranks is ${ranks}; it must be a whole number, 1 or more`);
  let trips;
  if (strategy === "ddp") trips = 2 * FLOAT32 * Number(total(parameterCount(config)));
  else if (strategy === "fsdp") {
    const layers = FLOAT32 * ranks * config.num_layers * shardSize(layerShapes(config), ranks);
    trips = 3 * layers + 2 * FLOAT32 * ranks * shardSize(rootShapes(config), ranks); // gathered, gathered again, scattered
  } else throw new RangeError(`strategy is '${strategy}'; allowed: ddp, fsdp`);
  const [count, n] = [BigInt(trips) * BigInt(ranks - 1), BigInt(ranks)];
  return Number((count + n - 1n) / n);
}

function checkRate(name, value) {
  if (!(value > 0 && value < Infinity)) throw new RangeError(`${name} is ${value}; it must be above 0 and finite`);
}

// A step of `batch` sequences shared out among the workers. Two thirds of the computing, the backward pass, hide
// communication.
export function scaling(config, workers, tokensPerSecond, batch, bandwidth, strategy, overlap = 2 / 3) {
  checkRate("tokens_per_second", tokensPerSecond);
  checkRate("bandwidth", bandwidth);
  if (!Number.isSafeInteger(batch) || batch < 1) throw new RangeError(`batch_size is ${batch}; it must be a whole number, 1 or more`);
  const sent = workers === 1 ? 0 : sentBytes(config, strategy, workers);
  if (batch % workers) throw new RangeError(`${workers} workers do not divide batch_size ${batch}; choose a divisor of it`);
  const compute = ((batch / workers) * config.context_length) / tokensPerSecond;
  const communication = sent / bandwidth;
  const seconds = compute + Math.max(0, communication - overlap * compute);
  return { compute, communication, seconds, efficiency: compute / seconds };
}

export const tokenFlops = (config) => Number(total(trainingFlops(config))) / config.context_length;

// Seconds and price of a training on `tokens` tokens.
export function bill(tokens, tokensPerSecond, workers, efficiency, price) {
  for (const [name, value] of [["tokens", tokens], ["efficiency", efficiency]]) checkRate(name, value);
  if (!(price >= 0 && price < Infinity)) throw new RangeError(`price is ${price}; it must be 0 or more`);
  const seconds = tokens / (tokensPerSecond * workers * efficiency);
  return { seconds, hours: (seconds * workers) / 3600, cost: ((seconds * workers) / 3600) * price };
}
