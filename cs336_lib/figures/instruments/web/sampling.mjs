// From logits to a token: the pure half of chapter 7's instrument. Twin of cs336_lib/generation/sampling.py.

export function samplingError({ temperature, topK, topP }) {
  if (!(temperature >= 0 && temperature < Infinity)) return `temperature is ${temperature}; it must be 0 (always the likeliest token) or more`;
  if (!Number.isSafeInteger(topK) || topK < 0) return `top_k is ${topK}; it must be 1 or more, or 0 to draw from all tokens`;
  if (!(topP > 0 && topP <= 1)) return `top_p is ${topP}; it must be above 0 and at most 1 (1 draws from all tokens)`;
  return null;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

export function softmax(logits, temperature = 1) {
  let most = -Infinity;
  for (const logit of logits) most = Math.max(most, logit);
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

// Probabilities that tokens are drawn with: temperature, then top-k, then top-p on what is left.
export function distribution(logits, { temperature = 1, topK = 0, topP = 1 } = {}) {
  const problem = samplingError({ temperature, topK, topP });
  if (problem) throw new RangeError(problem);
  if (temperature === 0) {
    const all = new Float64Array(logits.length);
    let best = 0;
    logits.forEach((logit, id) => (best = logit > logits[best] ? id : best));
    all[best] = 1;
    return all;
  }
  const probabilities = softmax(logits, temperature);
  const cutsTail = topK > 0 && topK < probabilities.length;
  if (!cutsTail && topP === 1) return probabilities;
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  let kept = order.map((id) => probabilities[id]);
  if (cutsTail) {
    kept.fill(0, topK);
    const left = sum(kept);
    kept = kept.map((value) => value / left);
  }
  if (topP < 1) {
    let before = 0;
    kept = kept.map((value) => {
      const stays = before < topP;
      before += value;
      return stays ? value : 0;
    });
    const left = sum(kept);
    kept = kept.map((value) => value / left);
  }
  const all = new Float64Array(probabilities.length);
  order.forEach((id, place) => (all[id] = kept[place]));
  return all;
}

// The first token whose cumulative probability exceeds a uniform number; never one of probability 0.
export function draw(probabilities, uniform) {
  let total = 0;
  for (const p of probabilities) total += p;
  let cumulative = 0;
  let last = 0;
  for (let id = 0; id < probabilities.length; id++) {
    if (!(probabilities[id] > 0)) continue;
    cumulative += probabilities[id];
    last = id;
    if (cumulative > uniform * total) return id;
  }
  return last;
}
