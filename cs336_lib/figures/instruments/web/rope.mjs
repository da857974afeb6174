// Rotary position embedding: the pure half of chapter 4's instrument. Twin of cs336_lib/model/rope.py.

export function frequencies(size, theta = 10000) {
  if (!Number.isSafeInteger(size) || size < 2 || size % 2) throw new RangeError(`the width is ${size}; RoPE turns pairs of channels, so it must be even`);
  return Array.from({ length: size / 2 }, (_, k) => theta ** ((-2 * k) / size));
}

// Turn channels (2k, 2k + 1) by position times the k-th frequency.
export function rotate(vector, position, theta = 10000) {
  const turned = new Array(vector.length);
  frequencies(vector.length, theta).forEach((frequency, k) => {
    const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
    const [even, odd] = [vector[2 * k], vector[2 * k + 1]];
    turned[2 * k] = even * cos - odd * sin;
    turned[2 * k + 1] = even * sin + odd * cos;
  });
  return turned;
}

export const inner = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

export const score = (query, key, m, n, theta = 10000) => inner(rotate(query, m, theta), rotate(key, n, theta));
