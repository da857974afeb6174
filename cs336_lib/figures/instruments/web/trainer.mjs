// Byte-pair encoding, a merge at a time: the pure half of chapter 2's instrument.
// Twin of cs336_lib/bpe's definition. A token is its byte string, held as a string of code units 0 to 255, which
// JavaScript compares as Python compares bytes.
import { cut } from "./tokens.mjs";

const SEPARATOR = "\u0100"; // no byte: left + SEPARATOR + right names a pair

export const pairName = (left, right) => left + SEPARATOR + right;
export const pairParts = (name) => name.split(SEPARATOR);

export function latin1(bytes, start = 0, stop = bytes.length) {
  let text = "";
  for (let i = start; i < stop; i++) text += String.fromCharCode(bytes[i]);
  return text;
}

export const fromLatin1 = (text) => Uint8Array.from(text, (symbol) => symbol.charCodeAt(0));

// Pre-token -> how often it occurs, in the order of first occurrence.
export function countWords(bytes, table) {
  const counts = new Map();
  let start = 0;
  for (const end of cut(bytes, table)) {
    const word = latin1(bytes, start, end);
    counts.set(word, (counts.get(word) ?? 0) + 1);
    start = end;
  }
  return counts;
}

export function mergeWord(tokens, left, right) {
  const merged = [];
  for (let i = 0; i < tokens.length; i++) {
    if (i + 1 < tokens.length && tokens[i] === left && tokens[i + 1] === right) {
      merged.push(left + right);
      i++;
    } else merged.push(tokens[i]);
  }
  return merged;
}

// Whether pair a beats pair b: the greater one as a pair of byte strings.
function greater(a, b) {
  const [leftA, rightA] = pairParts(a);
  const [leftB, rightB] = pairParts(b);
  return leftA === leftB ? rightA > rightB : leftA > leftB;
}

function add(counts, pair, change) {
  const count = (counts.get(pair) ?? 0) + change;
  if (count > 0) counts.set(pair, count);
  else counts.delete(pair);
}

// A trainer that can be stepped. `oldSplit` keeps its counts by the neighbors in the split before the merge, the
// mistake that section 2.5 shows; without it counts follow the new split.
export class Trainer {
  constructor(wordCounts, { oldSplit = false } = {}) {
    this.oldSplit = oldSplit;
    this.words = [...wordCounts].map(([word, count]) => ({ tokens: [...word], count }));
    this.merges = [];
    this.counts = new Map();
    this.where = new Map(); // pair -> indexes of words that held it at some time
    this.words.forEach((word, index) => this.enter(word.tokens, word.count, index));
  }

  enter(tokens, count, index) {
    for (let i = 0; i + 1 < tokens.length; i++) {
      const pair = pairName(tokens[i], tokens[i + 1]);
      add(this.counts, pair, count);
      this.note(pair, index);
    }
  }

  note(pair, index) {
    if (!this.where.has(pair)) this.where.set(pair, new Set());
    this.where.get(pair).add(index);
  }

  // Pairs by count, ties by the greater pair; the first `limit` of them.
  ranking(limit = Infinity) {
    const all = [...this.counts];
    if (limit < 20) {
      // A few passes are quicker than sorting thousands of pairs.
      const taken = new Set();
      const first = [];
      while (first.length < Math.min(limit, all.length)) {
        let best = null;
        for (const entry of all) {
          if (taken.has(entry[0])) continue;
          if (!best || entry[1] > best[1] || (entry[1] === best[1] && greater(entry[0], best[0]))) best = entry;
        }
        taken.add(best[0]);
        first.push(best);
      }
      return first;
    }
    return all.sort((a, b) => b[1] - a[1] || (greater(a[0], b[0]) ? -1 : 1)).slice(0, limit);
  }

  ties() {
    let most = 0;
    let ties = 0;
    for (const count of this.counts.values()) {
      if (count > most) [most, ties] = [count, 1];
      else if (count === most) ties++;
    }
    return ties;
  }

  // Make the next merge; null when no pair is left.
  step() {
    const [best] = this.ranking(1);
    if (!best) return null;
    const [left, right] = pairParts(best[0]);
    const made = { left, right, count: best[1], ties: this.ties(), real: 0 };
    // The wrong counts don't say which words hold a pair, so all are looked at.
    for (const index of this.oldSplit ? this.words.keys() : this.where.get(best[0]) ?? []) {
      const word = this.words[index];
      const merged = mergeWord(word.tokens, left, right);
      if (merged.length === word.tokens.length) continue;
      made.real += word.count * (word.tokens.length - merged.length);
      if (this.oldSplit) this.enterOldSplit(word, left, right);
      else {
        for (let i = 0; i + 1 < word.tokens.length; i++) {
          add(this.counts, pairName(word.tokens[i], word.tokens[i + 1]), -word.count);
        }
        this.enter(merged, word.count, index);
      }
      word.tokens = merged;
    }
    this.counts.delete(best[0]);
    this.merges.push([left, right]);
    return made;
  }

  enterOldSplit({ tokens, count }, left, right) {
    for (let i = 0; i + 1 < tokens.length; i++) {
      if (tokens[i] !== left || tokens[i + 1] !== right) continue;
      if (i > 0) {
        add(this.counts, pairName(tokens[i - 1], left), -count);
        add(this.counts, pairName(tokens[i - 1], left + right), count);
      }
      if (i + 2 < tokens.length) {
        add(this.counts, pairName(right, tokens[i + 2]), -count);
        add(this.counts, pairName(left + right, tokens[i + 2]), count);
      }
    }
  }
}
