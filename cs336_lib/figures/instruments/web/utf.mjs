// Text and bytes: the pure half of chapter 1's instrument, and what every other instrument reads text with.
// Twin of cs336_lib/bpe/utf8.py; tests/instruments holds the two to each other.

export const VERDICTS = {
  TEXT: "text",
  TRUNCATED: "truncated: more bytes can complete it",
  STRAY_CONTINUATION: "continuation byte without a lead byte",
  MISSING_CONTINUATION: "lead byte not followed by a continuation byte",
  OVERLONG: "overlong: a shorter form exists",
  SURROGATE: "surrogate: reserved for UTF-16",
  BEYOND_UNICODE: "beyond U+10FFFF",
  UNUSED_BYTE: "byte that UTF-8 never uses",
};

// Bytes of the character that `lead` begins, 0 for a byte that begins none.
export function sequenceLength(lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

export const continues = (byte) => byte >= 0x80 && byte < 0xc0;

// The first character of bytes[at...]: a verdict, and its length when it is text.
export function classifyFirst(bytes, at) {
  const lead = bytes[at];
  const length = sequenceLength(lead);
  if (length === 0) {
    if (continues(lead)) return ["STRAY_CONTINUATION", 0];
    const followed = at + 1 < bytes.length && continues(bytes[at + 1]);
    return [(lead === 0xc0 || lead === 0xc1) && followed ? "OVERLONG" : "UNUSED_BYTE", 0];
  }
  const end = Math.min(at + length, bytes.length);
  for (let i = at + 1; i < end; i++) {
    if (!continues(bytes[i])) return ["MISSING_CONTINUATION", 0];
    if (i > at + 1) continue;
    const second = bytes[i];
    if ((lead === 0xe0 && second < 0xa0) || (lead === 0xf0 && second < 0x90)) return ["OVERLONG", 0];
    if (lead === 0xed && second >= 0xa0) return ["SURROGATE", 0];
    if (lead === 0xf4 && second >= 0x90) return ["BEYOND_UNICODE", 0];
  }
  return at + length <= bytes.length ? ["TEXT", length] : ["TRUNCATED", 0];
}

// What a decoder makes of the bytes: a name of VERDICTS, and where the trouble begins (-1 for none).
export function classify(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const [verdict, length] = classifyFirst(bytes, at);
    if (verdict !== "TEXT") return [verdict, at];
    at += length;
  }
  return ["TEXT", -1];
}

export function codePointAt(bytes, at, length) {
  if (length === 1) return bytes[at];
  let value = bytes[at] & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) value = (value << 6) | (bytes[at + i] & 0x3f);
  return value;
}

// Cut bytes as a decoder with replacement does: [{at, bytes, point, verdict}], point 0xFFFD for each malformed part.
// One replacement for each longest start of a character that is cut off, as Python and all browsers do.
export function decodeParts(bytes) {
  const parts = [];
  let at = 0;
  while (at < bytes.length) {
    const [verdict, length] = classifyFirst(bytes, at);
    if (verdict === "TEXT") {
      parts.push({ at, size: length, point: codePointAt(bytes, at, length), verdict });
      at += length;
      continue;
    }
    let size = 1;
    const wanted = sequenceLength(bytes[at]);
    while (size < wanted && at + size < bytes.length) {
      const [then] = classifyFirst(bytes.subarray(at, at + size + 1), 0);
      if (then !== "TRUNCATED") break;
      size++;
    }
    parts.push({ at, size, point: 0xfffd, verdict });
    at += size;
  }
  return parts;
}

export function decodeReplace(bytes) {
  return decodeParts(bytes).map((part) => String.fromCodePoint(part.point)).join("");
}

// UTF-8 of one scalar value.
export function encodePoint(point) {
  if (point < 0x80) return [point];
  const length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  const bytes = [((0xf00 >> length) & 0xff) | (point >> (6 * (length - 1)))];
  for (let shift = 6 * (length - 2); shift >= 0; shift -= 6) bytes.push(0x80 | ((point >> shift) & 0x3f));
  return bytes;
}

// UTF-16 units and the big-endian bytes of one scalar value.
export function encodePoint16(point) {
  if (point < 0x10000) return [point >> 8, point & 0xff];
  const high = 0xd800 + ((point - 0x10000) >> 10);
  const low = 0xdc00 + ((point - 0x10000) & 0x3ff);
  return [high >> 8, high & 0xff, low >> 8, low & 0xff];
}

export function encodePoint32(point) {
  return [0, point >> 16, (point >> 8) & 0xff, point & 0xff];
}

// UTF-8 of a string. A lone surrogate, which no UTF-8 text can hold, becomes U+FFFD; `lone` counts them.
export function utf8(text) {
  const bytes = new Uint8Array(text.length * 3);
  let size = 0;
  let lone = 0;
  for (let i = 0; i < text.length; i++) {
    let point = text.charCodeAt(i);
    if (point < 0x80) {
      bytes[size++] = point;
      continue;
    }
    if (point >= 0xd800 && point < 0xe000) {
      const low = i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
      if (point < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        i++;
      } else {
        point = 0xfffd;
        lone++;
      }
    }
    for (const byte of encodePoint(point)) bytes[size++] = byte;
  }
  return { bytes: bytes.slice(0, size), lone };
}

const isHigh = (unit) => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit) => unit >= 0xdc00 && unit < 0xe000;
const insidePair = (text, at) => at > 0 && at < text.length && isHigh(text.charCodeAt(at - 1)) && isLow(text.charCodeAt(at));

// The first and the last `most` units of a text at most: no pair of UTF-16 is cut in two.
export const textHead = (text, most) => text.slice(0, insidePair(text, most) ? most - 1 : most);
export const textTail = (text, most) => {
  const at = Math.max(0, text.length - most);
  return text.slice(insidePair(text, at) ? at + 1 : at);
};

// The first `most` bytes at most: no character is cut in two, so that text stays text.
export function bytesHead(bytes, most) {
  for (let at = Math.max(0, most - 3); at < most && most < bytes.length; at++) {
    const [verdict, length] = classifyFirst(bytes, at);
    if (verdict === "TEXT" && at + length > most) return bytes.subarray(0, at);
  }
  return bytes.subarray(0, most);
}

export const hex = (byte) => byte.toString(16).toUpperCase().padStart(2, "0");
export const pointName = (point) => "U+" + point.toString(16).toUpperCase().padStart(4, "0");

// Read "e4 bd a0" or "E4BDA0" as bytes; null when it is something else.
export function parseHex(text) {
  const digits = text.replace(/0x/gi, "").replace(/[\s,]+/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

// A symbol that can be seen: blanks and controls by their pictures.
export function visible(point) {
  if (point === 0x20) return "␣";
  if (point < 0x20) return String.fromCodePoint(0x2400 + point);
  if (point === 0x7f) return "␡";
  if ((point >= 0x80 && point < 0xa1) || point === 0xad || point === 0xfeff) return pointName(point);
  if ((point >= 0x200b && point < 0x2010) || (point >= 0x2028 && point < 0x2030)) return pointName(point);
  if ((point >= 0x300 && point < 0x370) || (point >= 0xfe00 && point < 0xfe10)) return "◌" + String.fromCodePoint(point);
  return String.fromCodePoint(point);
}

// Bytes of a token as something to read: text where it is text, \xNN where not.
export function visibleBytes(bytes) {
  let shown = "";
  for (const part of decodeParts(bytes)) {
    if (part.verdict === "TEXT") shown += visible(part.point);
    else for (let i = 0; i < part.size; i++) shown += "\\x" + hex(bytes[part.at + i]).toLowerCase();
  }
  return shown;
}
