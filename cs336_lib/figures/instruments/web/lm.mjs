// The book's model, a token at a time with a cache of keys and values: what chapter 7's instrument draws its logits
// from. Twin of cs336_lib/model with pre-norm, RoPE and SwiGLU. Weights are whole numbers of 8 bits times a scale for
// each row; the library loads the same numbers for the comparison (tests/instruments).

function bytesOf(base64) {
  const raw = atob(base64);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

export class LanguageModel {
  constructor(stored) {
    this.config = stored.config;
    const bytes = bytesOf(stored.weights);
    const scales = new Float32Array(bytesOf(stored.scales).buffer);
    let at = 0;
    let scale = 0;
    this.weights = {};
    for (const [name, rows, columns] of stored.shapes) {
      this.weights[name] = {
        rows,
        columns,
        values: new Int8Array(bytes.buffer, at, rows * columns),
        scales: scales.subarray(scale, scale + rows),
      };
      at += rows * columns;
      scale += rows;
    }
    const { d_model: D, num_heads: H, rope_theta: theta } = this.config;
    this.width = D / H;
    this.frequencies = Array.from({ length: this.width / 2 }, (_, k) => theta ** ((-2 * k) / this.width));
    this.reset();
  }

  reset() {
    this.length = 0;
    this.cache = Array.from({ length: this.config.num_layers }, () => ({ keys: [], values: [] }));
  }

  multiply(name, x) {
    const { rows, columns, values, scales } = this.weights[name];
    const y = new Float64Array(rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let total = 0;
      for (let column = 0; column < columns; column++) total += values[at++] * x[column];
      y[row] = total * scales[row];
    }
    return y;
  }

  vector(name, row = 0) {
    const { columns, values, scales } = this.weights[name];
    return Float64Array.from({ length: columns }, (_, i) => values[row * columns + i] * scales[row]);
  }

  norm(name, x) {
    const gain = this.vector(name);
    let squares = 0;
    for (const value of x) squares += value * value;
    const factor = 1 / Math.sqrt(squares / x.length + this.config.norm_eps);
    return x.map((value, i) => value * factor * gain[i]);
  }

  turn(x, position) {
    const half = this.width / 2;
    for (let i = 0; i < x.length; i += 2) {
      const angle = position * this.frequencies[(i / 2) % half];
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [even, odd] = [x[i], x[i + 1]];
      x[i] = even * cos - odd * sin;
      x[i + 1] = even * sin + odd * cos;
    }
    return x;
  }

  attend(layer, x) {
    const name = `layers.${layer}.attn.`;
    const query = this.turn(this.multiply(name + "q_proj.weight", x), this.length);
    const { keys, values } = this.cache[layer];
    keys.push(this.turn(this.multiply(name + "k_proj.weight", x), this.length));
    values.push(this.multiply(name + "v_proj.weight", x));
    const read = new Float64Array(x.length);
    for (let from = 0; from < x.length; from += this.width) {
      const to = from + this.width;
      let most = -Infinity;
      const scores = keys.map((key) => {
        let product = 0;
        for (let i = from; i < to; i++) product += query[i] * key[i];
        most = Math.max(most, (product /= Math.sqrt(this.width)));
        return product;
      });
      let total = 0;
      scores.forEach((score, place) => (total += scores[place] = Math.exp(score - most)));
      values.forEach((value, place) => {
        const share = scores[place] / total;
        for (let i = from; i < to; i++) read[i] += share * value[i];
      });
    }
    return this.multiply(name + "output_proj.weight", read);
  }

  // Logits of the token after `id`, which comes after all that was fed since the last reset.
  feed(id) {
    if (!Number.isSafeInteger(id) || id < 0 || id >= this.config.vocab_size) {
      throw new RangeError(`id ${id} is not in the vocabulary of ${this.config.vocab_size} tokens`);
    }
    if (this.length >= this.config.context_length) throw new RangeError(`the context of ${this.config.context_length} tokens is full`);
    let x = this.vector("token_embeddings.weight", id);
    for (let layer = 0; layer < this.config.num_layers; layer++) {
      const name = `layers.${layer}.`;
      const read = this.attend(layer, this.norm(name + "ln1.weight", x));
      x = x.map((value, i) => value + read[i]);
      const normed = this.norm(name + "ln2.weight", x);
      const gate = this.multiply(name + "ffn.w1.weight", normed);
      const up = this.multiply(name + "ffn.w3.weight", normed);
      const down = this.multiply(name + "ffn.w2.weight", gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]));
      x = x.map((value, i) => value + down[i]);
    }
    this.length++;
    return this.multiply("lm_head.weight", this.norm("ln_final.weight", x));
  }
}
