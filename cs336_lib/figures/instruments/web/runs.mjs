// Run records as curves: the pure half of the explorer of chapters 8 to 10.
// Twin of cs336_lib/training/records: lowest losses are those of RunRecord.best.

// Runs of a selection: {suite, rates, seeds}; an empty list takes all.
export function select(runs, { suite, rates = [], seeds = [] }) {
  return runs.filter(
    (run) =>
      run.suite === suite &&
      (rates.length === 0 || rates.includes(run.lr)) &&
      (seeds.length === 0 || seeds.includes(run.seed)),
  );
}

export const suites = (runs) => [...new Set(runs.map((run) => run.suite))];
const sorted = (values) => [...new Set(values)].sort((a, b) => a - b);
export const ratesOf = (runs) => sorted(runs.map((run) => run.lr));
export const seedsOf = (runs) => sorted(runs.map((run) => run.seed));

// How runs are told apart, as in the figures of cs336_lib/figures: a name has a color, and dashes once all colors are
// taken. Seeds of one name share both; those behind the first are drawn thinner.
export const DASHES = [null, "6 3", "1.5 2.5", "7 3 1.5 3"];
const THICK = [2.2, 1.3, 0.8];
export function looks(runs, colors) {
  const names = [...new Set(runs.map((run) => run.name))];
  const seeds = seedsOf(runs);
  return runs.map((run) => {
    const place = names.indexOf(run.name);
    return { color: place % colors, dash: DASHES[Math.floor(place / colors) % DASHES.length], thick: THICK[Math.min(seeds.indexOf(run.seed), THICK.length - 1)] };
  });
}

// Exponential mean over about `width` points, started without bias; gaps (null) stay gaps.
export function smooth(values, width) {
  if (!(width > 1)) return values.slice();
  const keep = 1 - 1 / width;
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    mean = keep * mean + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return mean / weight;
  });
}

// Points of a run: x is "steps", "tokens" or "time"; y is "train" or "valid".
export function curve(run, x, y, width = 1) {
  const { steps, tokens, seconds, loss } = run[y];
  const xs = x === "steps" ? steps : x === "tokens" ? tokens : seconds;
  const smoothed = y === "train" ? smooth(loss, width) : loss;
  return xs.map((value, i) => [value, smoothed[i]]).filter((point) => Number.isFinite(point[1]) && point[1] !== null);
}

// Lowest validation loss of a run, null when it has none; diverged runs keep what they reached.
export function lowest(run) {
  const values = run.valid.loss.filter((loss) => loss !== null && Number.isFinite(loss));
  return values.length ? values.reduce((least, loss) => Math.min(least, loss)) : null;
}
