// Text to ids: the pure half of chapter 3's tokenizer playground, and the cutter of chapter 2's trainer.
// Twin of cs336_lib/bpe: GPT-2's pattern over bytes, then merges by rank. No regular expression is used: \p{L}, \p{N}
// and \s of a browser are of another age and another definition than those of the library (\s has U+FEFF and lacks
// U+0085), so the classes of all code points come from the library as a table.
import { classifyFirst, codePointAt } from "./utf.mjs";

const OTHER = 0;
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;

// The table from its runs: "length:class length:class ...", lengths in base 36.
export function expandClasses(runs) {
  const table = new Uint8Array(0x110000);
  let at = 0;
  for (const run of runs.split(" ")) {
    const length = parseInt(run, 36);
    const kind = run.charCodeAt(run.length - 1) - 48;
    if (kind) table.fill(kind, at, at + length);
    at += length;
  }
  return table;
}

// Class and size of the symbol at a place: an undecodable byte is a symbol of class OTHER.
function symbol(bytes, at, table) {
  const byte = bytes[at];
  if (byte < 0x80) return table[byte] | 4;
  const [verdict, length] = classifyFirst(bytes, at);
  return verdict === "TEXT" ? table[codePointAt(bytes, at, length)] | (length << 2) : OTHER | 4;
}

function runEnd(bytes, at, kind, table, stop) {
  while (at < stop) {
    const found = symbol(bytes, at, table);
    if ((found & 3) !== kind) break;
    at += found >> 2;
  }
  return at;
}

function contraction(bytes, at, stop) {
  if (bytes[at] !== 0x27 || at + 1 >= stop) return 0;
  const next = bytes[at + 1];
  if (next === 0x73 || next === 0x64 || next === 0x6d || next === 0x74) return 2; // s d m t
  if (at + 2 >= stop) return 0;
  const third = bytes[at + 2];
  const pair = (next === 0x6c && third === 0x6c) || ((next === 0x76 || next === 0x72) && third === 0x65); // ll ve re
  return pair ? 3 : 0;
}

// Ends of the pre-tokens of bytes[start...stop], by GPT-2's pattern.
export function cut(bytes, table, start = 0, stop = bytes.length) {
  const ends = [];
  let at = start;
  while (at < stop) {
    const short = contraction(bytes, at, stop);
    if (short) {
      ends.push((at += short));
      continue;
    }
    const found = symbol(bytes, at, table);
    if ((found & 3) !== SPACE) {
      ends.push((at = runEnd(bytes, at, found & 3, table, stop)));
      continue;
    }
    if (bytes[at] === 0x20 && at + 1 < stop) {
      const next = symbol(bytes, at + 1, table) & 3;
      if (next !== SPACE) {
        ends.push((at = runEnd(bytes, at + 1, next, table, stop)));
        continue;
      }
    }
    // White space: all of it at the end of the text, else all but its last symbol, else that one.
    let last = at;
    let end = at;
    while (end < stop) {
      const space = symbol(bytes, end, table);
      if ((space & 3) !== SPACE) break;
      last = end;
      end += space >> 2;
    }
    ends.push((at = end === stop || last === at ? end : last));
  }
  return ends;
}

// Base64 to 16-bit numbers, little-endian.
export function numbers16(base64) {
  const raw = atob(base64);
  const numbers = new Uint16Array(raw.length / 2);
  for (let i = 0; i < numbers.length; i++) numbers[i] = raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8);
  return numbers;
}

// A tokenizer from the library's compact form: {merges, bytes, specials, name}, see data.py.
export class Tokenizer {
  constructor(stored, table) {
    this.name = stored.name;
    this.table = table;
    this.pairs = numbers16(stored.merges); // left, right, left, right, ... as ids
    this.count = this.pairs.length / 2;
    this.firstMerge = stored.first_merge;
    this.byteIds = Uint16Array.from(stored.bytes);
    this.byteOf = new Map([...this.byteIds].map((id, byte) => [id, byte]));
    this.specials = Object.entries(stored.specials)
      .map(([text, id]) => ({ text, id, bytes: new TextEncoder().encode(text) }))
      .sort((a, b) => b.bytes.length - a.bytes.length);
    this.specialOf = new Map(this.specials.map((special) => [special.id, special]));
    this.size = 256 + this.count + this.specials.length;
    this.spelled = new Map();
    this.words = new Map();
    this.fillRanks();
  }

  // Pair -> rank in an open hash table: 50,000 entries in a few milliseconds.
  fillRanks() {
    let bits = 10;
    while (1 << bits < 2 * this.count + 2) bits++;
    this.mask = (1 << bits) - 1;
    this.slots = new Int32Array(1 << bits).fill(-1);
    for (let rank = 0; rank < this.count; rank++) {
      let slot = this.slot(this.pairs[2 * rank], this.pairs[2 * rank + 1]);
      while (this.slots[slot] >= 0) slot = (slot + 1) & this.mask;
      this.slots[slot] = rank;
    }
  }

  slot(left, right) {
    return (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b) ^ (left >>> 3)) & this.mask;
  }

  rank(left, right) {
    let slot = this.slot(left, right);
    for (;;) {
      const rank = this.slots[slot];
      if (rank < 0) return -1;
      if (this.pairs[2 * rank] === left && this.pairs[2 * rank + 1] === right) return rank;
      slot = (slot + 1) & this.mask;
    }
  }

  // Rank of the merge that makes a token; -1 for single bytes and special tokens.
  rankOf(id) {
    const rank = id - this.firstMerge;
    return rank >= 0 && rank < this.count ? rank : -1;
  }

  parts(id) {
    const rank = this.rankOf(id);
    return rank < 0 ? null : [this.pairs[2 * rank], this.pairs[2 * rank + 1]];
  }

  bytes(id) {
    const known = this.spelled.get(id);
    if (known) return known;
    const special = this.specialOf.get(id);
    if (special) return special.bytes;
    const parts = this.parts(id);
    if (!parts && !this.byteOf.has(id)) throw new RangeError(`id ${id} is not in the vocabulary of ${this.size} tokens`);
    const made = parts
      ? Uint8Array.of(...this.bytes(parts[0]), ...this.bytes(parts[1]))
      : Uint8Array.of(this.byteOf.get(id));
    this.spelled.set(id, made);
    return made;
  }

  // The merges that build a token, in the order they were learned: [{rank, left, right, id}].
  history(id) {
    const steps = new Map();
    const visit = (token) => {
      const parts = this.parts(token);
      if (!parts || steps.has(token)) return;
      parts.forEach(visit);
      steps.set(token, { rank: this.rankOf(token), left: parts[0], right: parts[1], id: token });
    };
    visit(id);
    return [...steps.values()].sort((a, b) => a.rank - b.rank);
  }

  // Ids of one pre-token: the earliest learned merge that fits, again and again.
  encodeWord(bytes, start, stop) {
    const size = stop - start;
    let key = "";
    if (size <= 32) {
      for (let i = start; i < stop; i++) key += String.fromCharCode(bytes[i]);
      const known = this.words.get(key);
      if (known) return known;
    }
    const ids = size <= 32 ? this.mergeShort(bytes, start, stop) : this.mergeLong(bytes, start, stop);
    if (size <= 32) {
      if (this.words.size > 50000) this.words.clear();
      this.words.set(key, ids);
    }
    return ids;
  }

  mergeShort(bytes, start, stop) {
    const ids = [];
    for (let i = start; i < stop; i++) ids.push(this.byteIds[bytes[i]]);
    for (;;) {
      let best = -1;
      for (let i = 0; i + 1 < ids.length; i++) {
        const rank = this.rank(ids[i], ids[i + 1]);
        if (rank >= 0 && (best < 0 || rank < best)) best = rank;
      }
      if (best < 0) return ids;
      const [left, right] = [this.pairs[2 * best], this.pairs[2 * best + 1]];
      let to = 0;
      for (let i = 0; i < ids.length; i++) {
        if (i + 1 < ids.length && ids[i] === left && ids[i + 1] === right) {
          ids[to++] = this.firstMerge + best;
          i++;
        } else ids[to++] = ids[i];
      }
      ids.length = to;
    }
  }

  // The same with a heap of (rank, place) over a linked list: n log n, for words without an end.
  mergeLong(bytes, start, stop) {
    const size = stop - start;
    const ids = new Int32Array(size);
    const next = new Int32Array(size);
    const before = new Int32Array(size);
    const PLACES = 2 ** 24;
    const heap = [];
    const push = (key) => {
      let i = heap.push(key) - 1;
      while (i > 0 && heap[(i - 1) >> 1] > key) {
        heap[i] = heap[(i - 1) >> 1];
        i = (i - 1) >> 1;
      }
      heap[i] = key;
    };
    const pop = () => {
      const top = heap[0];
      const key = heap.pop();
      if (heap.length) {
        let i = 0;
        for (let child = 1; child < heap.length; child = 2 * i + 1) {
          if (child + 1 < heap.length && heap[child + 1] < heap[child]) child++;
          if (heap[child] >= key) break;
          heap[i] = heap[child];
          i = child;
        }
        heap[i] = key;
      }
      return top;
    };
    const offer = (place) => {
      if (place < 0 || next[place] >= size) return;
      const rank = this.rank(ids[place], ids[next[place]]);
      if (rank >= 0) push(rank * PLACES + place);
    };
    for (let i = 0; i < size; i++) {
      ids[i] = this.byteIds[bytes[start + i]];
      next[i] = i + 1;
      before[i] = i - 1;
    }
    for (let i = 0; i + 1 < size; i++) offer(i);
    while (heap.length) {
      const key = pop();
      const rank = Math.floor(key / PLACES);
      const place = key - rank * PLACES;
      const right = next[place];
      if (ids[place] !== this.pairs[2 * rank] || right >= size || ids[right] !== this.pairs[2 * rank + 1]) continue;
      ids[place] = this.firstMerge + rank;
      ids[right] = -1;
      next[place] = next[right];
      if (next[right] < size) before[next[right]] = place;
      offer(before[place]);
      offer(place);
    }
    return Array.from(ids.filter((id) => id >= 0));
  }

  // Where special tokens stand: [{at, special}], the longest at each place, left to right.
  findSpecials(bytes) {
    const found = [];
    if (!this.specials.length) return found;
    const first = new Set(this.specials.map((special) => special.bytes[0]));
    for (let at = 0; at < bytes.length; at++) {
      if (!first.has(bytes[at])) continue;
      const special = this.specials.find(
        ({ bytes: wanted }) => at + wanted.length <= bytes.length && wanted.every((byte, i) => bytes[at + i] === byte),
      );
      if (special) {
        found.push({ at, special });
        at += special.bytes.length - 1;
      }
    }
    return found;
  }

  // Ids of a text given as bytes (they need not be UTF-8).
  encode(bytes, { specials = true } = {}) {
    const ids = [];
    let start = 0;
    const stretch = (stop) => {
      for (const end of cut(bytes, this.table, start, stop)) {
        for (const id of this.encodeWord(bytes, start, end)) ids.push(id);
        start = end;
      }
    };
    for (const { at, special } of specials ? this.findSpecials(bytes) : []) {
      stretch(at);
      ids.push(special.id);
      start = at + special.bytes.length;
    }
    stretch(bytes.length);
    return ids;
  }

  decode(ids) {
    const parts = ids.map((id) => this.bytes(id));
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

// Code points that this browser's own regular expressions put into another class than the library does.
export function browserDisagrees(table) {
  const kinds = [[LETTER, /\p{L}/u], [NUMBER, /\p{N}/u], [SPACE, /\s/u]];
  const found = [];
  for (let point = 0; point < 0x110000; point++) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const text = String.fromCodePoint(point);
    const kind = (kinds.find(([, pattern]) => pattern.test(text)) ?? [OTHER])[0];
    if (kind !== table[point]) found.push({ point, browser: kind, library: table[point] });
  }
  return found;
}
