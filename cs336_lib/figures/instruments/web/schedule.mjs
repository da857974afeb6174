// Learning rates and the toy of learning_rate_tuning: the pure half of chapter 6's instrument.
// Twin of cs336_lib/optim. Math.cos is another function in each browser: in one case of thirty its last bit differs from
// the C library's. So the cosine is computed here, in pairs of doubles whose sum carries some 100 bits, and rounded once.

// Error-free sum and product of two doubles: [rounded, what rounding lost].
function twoSum(a, b) {
  const sum = a + b;
  const part = sum - a;
  return [sum, a - (sum - part) + (b - part)];
}

function split(a) {
  const c = 134217729 * a;
  const high = c - (c - a);
  return [high, a - high];
}

function twoProduct(a, b) {
  const product = a * b;
  const [aHigh, aLow] = split(a);
  const [bHigh, bLow] = split(b);
  return [product, aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow)];
}

const quickSum = (a, b) => {
  const sum = a + b;
  return [sum, b - (sum - a)];
};

function addPairs([a, aLow], [b, bLow]) {
  const [sum, lost] = twoSum(a, b);
  const [low, lowLost] = twoSum(aLow, bLow);
  const [high, rest] = quickSum(sum, lost + low);
  return quickSum(high, rest + lowLost);
}

function multiplyPairs([a, aLow], [b, bLow]) {
  const [product, lost] = twoProduct(a, b);
  return quickSum(product, lost + a * bLow + aLow * b);
}

function dividePair([a, aLow], divisor) {
  const quotient = a / divisor;
  const [product, lost] = twoProduct(quotient, divisor);
  return quickSum(quotient, (a - product - lost + aLow) / divisor);
}

// pi / 2 to three doubles.
const HALF_PI = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33];

// Sum of (-1)^n r^(2n + odd) / (2n + odd)! for |r| <= pi / 4, as a pair.
function series(r, odd) {
  const square = multiplyPairs(r, r);
  let term = odd ? r : [1, 0];
  let sum = term;
  for (let n = 1; n < 15; n++) {
    term = dividePair(multiplyPairs(term, square), -(2 * n - 1 + odd) * (2 * n + odd));
    sum = addPairs(sum, term);
  }
  return sum;
}

// Cosine of 0 <= x <= 4, correctly rounded.
export function cosine(x) {
  const quadrant = Math.round(x / HALF_PI[0]);
  let r = addPairs([x, 0], twoProduct(-quadrant, HALF_PI[0]));
  r = addPairs(r, twoProduct(-quadrant, HALF_PI[1]));
  r = addPairs(r, [-quadrant * HALF_PI[2], 0]);
  const [high, low] = series(r, quadrant % 2 ? 1 : 0);
  const value = high + low;
  return quadrant === 1 || quadrant === 2 ? -value : value;
}

function checkCounts(counts) {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is ${value}; it must be a whole number, 0 or more`);
  }
}

export function cosineSchedule(step, maxLr, minLr, warmup, end) {
  checkCounts({ step, warmup_steps: warmup, cosine_steps: end });
  if (end < warmup) throw new RangeError(`cosine_steps is ${end}, less than warmup_steps = ${warmup}; it counts from step 0`);
  if (step < warmup) return (step / warmup) * maxLr;
  if (step > end) return minLr;
  if (step === warmup) return maxLr;
  const progress = (step - warmup) / (end - warmup);
  return minLr + 0.5 * (1 + cosine(Math.PI * progress)) * (maxLr - minLr);
}

export function wsdSchedule(step, maxLr, minLr, warmup, decay, total, shape = "linear") {
  checkCounts({ step, warmup_steps: warmup, decay_steps: decay, total_steps: total });
  if (warmup + decay > total) {
    throw new RangeError(`warmup_steps + decay_steps = ${warmup + decay} do not fit in total_steps = ${total}`);
  }
  if (step < warmup) return (step / warmup) * maxLr;
  if (step >= total) return minLr;
  if (step <= total - decay) return maxLr;
  const progress = 1 - (total - step) / decay;
  const fallen = shape === "sqrt" ? Math.sqrt(progress) : progress;
  return maxLr + fallen * (minLr - maxLr);
}

// One weight of the handout's toy: its value before each step. The loss is the mean of the squares of n weights, so
// each gradient is 2 w / n and each step lr / sqrt(t + 1) long.
export function toyWeight(lr, steps, start = 1, n = 100) {
  const values = [start];
  for (let t = 0; t < steps - 1; t++) {
    const w = values[t];
    values.push(w - (lr / Math.sqrt(t + 1)) * ((2 * w) / n));
  }
  return values;
}

// What the first step multiplies each weight by.
export const toyFactor = (lr, n = 100) => 1 - (2 * lr) / n;

// What becomes of a weight other than 0: the factor of the first step says it, since later steps are shorter.
export function toyVerdict(lr, n = 100) {
  const factor = toyFactor(lr, n);
  if (factor === 1) return "stays where it is";
  if (factor === 0) return "is 0 after one step";
  if (factor > 0) return "decays";
  return factor > -1 ? "oscillates and decays" : factor === -1 ? "swings without loss at first" : "leaves at first";
}
