// Chapter 1: a text, its code points and bits, and a decoder to provoke.
import { bytesHead, classify, decodeParts, encodePoint, encodePoint16, encodePoint32, hex, parseHex, pointName, textHead, utf8, VERDICTS, visible } from "./utf.mjs";
import { amount, commas } from "./numbers.mjs";
import { body, button, choice, guarded, h, labeled, replace, soon, statusLine, textArea } from "./ui.mjs";

const PRESETS = {
  "aé你😀": "One of each length",
  "é e\u0301": "Accents: one code point, and two",
  "👨‍👩‍👧‍👦 🇯🇵": "A family and a flag",
  "नमस्ते": "Hindi",
  "a\u0000b\uFEFF": "Code points without ink",
};
const MOST_POINTS = 60;
const MOST_BYTES = 96; // that are drawn
const MOST = 100_000; // units of a text, and bytes, that are read

function bitsOf(bytes, frame) {
  return h(
    "span",
    { class: "ci-bits" },
    Array.from(bytes, (byte, i) => {
      const bits = byte.toString(2).padStart(8, "0");
      const head = frame(byte, i);
      return h("span", { class: "ci-byte" }, head ? h("span", { class: "ci-frame" }, bits.slice(0, head)) : null, bits.slice(head));
    }),
  );
}

// Bits of a UTF-8 byte that say only where a character begins and how long it is.
const frame8 = (byte) => (byte < 0x80 ? 1 : byte < 0xc0 ? 2 : byte < 0xe0 ? 3 : byte < 0xf0 ? 4 : 5);
const frame16 = (size) => (byte, i) => (size === 4 && i % 2 === 0 ? 6 : 0);

export function mount(element) {
  const place = body(element);
  const status = statusLine();
  const heard = statusLine();
  let bytes = new Uint8Array();
  let chosen = 0;
  let boxed = 0; // bytes that the box holds

  const points = h("div");
  const row = h("div", { role: "group", "aria-label": "The bytes of the UTF-8: choose one to change" });
  const change = h("div", { class: "ci-row" });
  const decoded = h("div");

  function showPoints(text) {
    const all = Array.from(text);
    const sizes = { "UTF-8": utf8(text).bytes.length, "UTF-16": 0, "UTF-32": 4 * all.length };
    sizes["UTF-16"] = 2 * text.length;
    const rows = all.slice(0, MOST_POINTS).map((character) => {
      let point = character.codePointAt(0);
      const lone = point >= 0xd800 && point < 0xe000;
      const sixteen = lone ? [point >> 8, point & 0xff] : encodePoint16(point);
      return h(
        "tr",
        {},
        h("td", { class: "ci-mono" }, lone ? "lone" : visible(point)),
        h("td", { class: "ci-mono" }, pointName(point)),
        h("td", {}, lone ? "none: a surrogate" : bitsOf(encodePoint(point), frame8)),
        h("td", {}, bitsOf(sixteen, lone ? () => 0 : frame16(sixteen.length))),
        h("td", {}, lone ? "none" : bitsOf(encodePoint32(point), () => 0)),
      );
    });
    const head = ["", "code point", "UTF-8", "UTF-16", "UTF-32"].map((name) => h("th", { scope: "col" }, name));
    replace(
      points,
      h(
        "div",
        { class: "ci-scroll", tabindex: "0", role: "region", "aria-label": "Code points and their bits" },
        h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)),
      ),
      h("p", { class: "ci-note" }, `${amount(all.length, "code point")}; bytes: ` + Object.entries(sizes).map(([name, size]) => `${name} ${commas(size)}`).join(", ") + (all.length > MOST_POINTS ? `. The first ${MOST_POINTS} are shown.` : ". On yellow: bits that frame, not bits of the number.")),
    );
  }

  function showBytes() {
    const shown = bytesHead(bytes, MOST_BYTES);
    const parts = decodeParts(shown);
    const kinds = [];
    for (const part of parts) for (let i = 0; i < part.size; i++) kinds[part.at + i] = part.verdict !== "TEXT" ? "ci-bad" : i === 0 && part.size > 1 ? "ci-lead" : "";
    chosen = Math.min(chosen, Math.max(0, shown.length - 1));
    // Buttons stay where they are while a byte changes: the keyboard must not lose its place.
    while (row.children.length > shown.length) row.lastChild.remove();
    while (row.children.length < shown.length) {
      const at = row.children.length;
      row.append(button("", () => ((chosen = at), showBytes())));
    }
    shown.forEach((byte, i) => {
      const key = row.children[i];
      key.textContent = hex(byte);
      key.className = `ci-hex ${kinds[i]}`;
      key.setAttribute("aria-pressed", String(i === chosen));
      key.setAttribute("aria-label", `byte ${i + 1}: ${hex(byte)}${kinds[i] === "ci-bad" ? ", malformed" : ""}`);
    });
    showChange();
    const [verdict, at] = classify(bytes);
    const text = parts.map((part) => (part.verdict === "TEXT" ? visible(part.point) : "\uFFFD")).join("");
    const cut = shown.length < bytes.length ? `the first ${shown.length} of ${commas(bytes.length)} bytes` : "";
    replace(
      decoded,
      cut ? h("p", { class: "ci-note" }, `Only ${cut} are shown${boxed < bytes.length ? "; after an edit of the box they are all there is" : ""}.`) : null,
      h("p", {}, `A decoder that replaces reads${cut && ` of ${cut}`}: `, h("code", { class: "ci-read", dir: "auto" }, text || "nothing")),
    );
    const line = verdict === "TEXT" ? (bytes.length ? "All of it is text." : "No byte, and that is text too.") : `At byte ${commas(at + 1)}: ${VERDICTS[verdict]}.`;
    if (verdict === "TEXT") heard.say(line);
    else heard.complain(line);
  }

  const bitButtons = Array.from({ length: 8 }, (_, i) => {
    const key = button("0", () => {
      bytes[chosen] ^= 0x80 >> i;
      fillBox(boxed < bytes.length ? bytesHead(bytes, MOST_BYTES) : bytes);
      showBytes();
    }, { class: "ci-hex" });
    return key;
  });
  const bitsLabel = h("span", { class: "ci-note" });
  change.append(h("div", { role: "group", "aria-label": "Bits of the chosen byte: press one to flip it" }, bitButtons), bitsLabel);

  function showChange() {
    const byte = bytes[chosen] ?? 0;
    bitButtons.forEach((key, i) => {
      const bit = (byte >> (7 - i)) & 1;
      key.textContent = String(bit);
      key.disabled = bytes.length === 0;
      key.setAttribute("aria-label", `bit ${i + 1} of byte ${chosen + 1} is ${bit}: flip it`);
    });
    bitsLabel.textContent = bytes.length ? `bits of byte ${chosen + 1}: press one to flip it` : "there is no byte";
  }

  function fillBox(held) {
    boxed = held.length;
    hexBox.value = Array.from(held, hex).join(" ");
  }

  const update = guarded(status, () => {
    const text = textHead(area.value, MOST);
    const found = utf8(text);
    bytes = found.bytes;
    chosen = 0;
    fillBox(bytesHead(bytes, MOST_BYTES));
    showPoints(text);
    showBytes();
    const remarks = [];
    if (found.lone) remarks.push(`${amount(found.lone, "lone surrogate")}: half of a UTF-16 pair, which no UTF-8 can hold; each becomes EF BF BD (U+FFFD).`);
    if (text.length < area.value.length) remarks.push(`The text has ${commas(area.value.length)} UTF-16 units; the first ${commas(text.length)} are read.`);
    if (remarks.length) status.complain(remarks.join(" "));
    else status.say(text ? "" : "The empty text: no code point and no byte, and that is text too.");
  });

  const area = textArea("aé你😀", soon(update), { rows: 2 });
  const hexBox = h("input", {
    type: "text",
    name: "bytes",
    autocomplete: "off",
    spellcheck: "false",
    class: "ci-mono",
    oninput: guarded(status, () => {
      const read = parseHex(hexBox.value);
      if (!read) return status.complain("Bytes are pairs of hexadecimal digits, such as E4 BD A0. Below stands what was last possible.");
      bytes = read.slice(0, MOST);
      boxed = bytes.length;
      chosen = 0;
      if (read.length > MOST) status.complain(`The box has ${commas(read.length)} bytes; the first ${commas(MOST)} are read.`);
      else status.say("");
      showBytes();
    }),
  });
  const preset = choice(Object.entries(PRESETS), "aé你😀", (value) => ((area.value = value), update()), "preset");

  place.append(
    h("div", { class: "ci-row" }, labeled("Text", area, { wide: true }), labeled("Examples", preset)),
    status.line,
    points,
    h("p", { class: "ci-heading" }, "Break a byte"),
    h("div", { class: "ci-row" }, labeled("The bytes of its UTF-8, to edit as you like", hexBox, { wide: true })),
    row,
    change,
    decoded,
    heard.line,
  );
  update();
}
