// Chapter 3: the tokenizer playground.
import { browserDisagrees, expandClasses, Tokenizer } from "./tokens.mjs";
import { amount, commas } from "./numbers.mjs";
import { bytesHead, hex, pointName, utf8, visibleBytes } from "./utf.mjs";
import { body, button, check, choice, guarded, h, labeled, replace, statusLine, textArea } from "./ui.mjs";

const NAMES = { tales: "Tales, 1,024", "tinystories-10k": "TinyStories sample, 10,000", "owt-32k": "OpenWebText sample, 32,000", gpt2: "GPT-2, 50,257" };
const PRESETS = {
  "Once upon a time, a naïve little dragon tokenized an encyclopedia.<|endoftext|>": "The sentence of section 3.2",
  "strawberry strawberry Strawberry": "strawberry, three ways",
  "Once there was a little girl named Lily. She hugged her teddy bear and giggled. \"Yummy!\" said the bunny.\n": "A story",
  "for i in range(10):\n    print(i ** 2)  # squares": "A line of code",
  "Die Katze schläft. 猫は眠っている。 🐈😴": "Other scripts",
  "1 12 123 1234 12345 3.14159": "Numbers",
};
const MOST = 200_000; // bytes that are encoded
const SHOWN = 1500; // tokens that are drawn

// A list of tokens on the page; only what changed since the last text is drawn anew.
function tokenList(onChoose, title) {
  const list = h("div", { class: "ci-tokens", role: "listbox", tabindex: "0", "aria-label": title });
  let tokens = [];
  let chosen = -1;

  const mark = (index) => {
    list.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = index;
    const node = list.children[index];
    if (!node) return list.removeAttribute("aria-activedescendant");
    node.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", node.id);
    const [top, bottom] = [node.offsetTop, node.offsetTop + node.offsetHeight];
    if (top < list.scrollTop) list.scrollTop = top - 8;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight + 8;
    onChoose(tokens[index], index);
  };
  list.addEventListener("click", (event) => {
    const node = event.target.closest(".ci-token");
    if (node) mark([...list.children].indexOf(node));
  });
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    let to = null;
    if (event.key in steps) to = Math.max(0, Math.min(tokens.length - 1, chosen + steps[event.key]));
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = tokens.length - 1;
    if (to === null || !tokens.length) return;
    event.preventDefault();
    mark(to);
  });
  let serial = 0;
  const prefix = `ci-token-${Math.random().toString(36).slice(2, 8)}`;

  return {
    list,
    show(tokenizer, ids) {
      const next = ids.slice(0, SHOWN).map((id) => ({ id, tokenizer }));
      const same = (a, b) => a.id === b.id && a.tokenizer === b.tokenizer;
      let head = 0;
      while (head < next.length && head < tokens.length && same(next[head], tokens[head])) head++;
      let tail = 0;
      while (tail < next.length - head && tail < tokens.length - head && same(next[next.length - 1 - tail], tokens[tokens.length - 1 - tail])) tail++;
      if (chosen >= 0) {
        list.children[chosen]?.setAttribute("aria-selected", "false");
        chosen = -1;
        list.removeAttribute("aria-activedescendant");
      }
      for (let i = tokens.length - 1 - tail; i >= head; i--) list.children[i].remove();
      const fresh = document.createDocumentFragment();
      for (let i = head; i < next.length - tail; i++) {
        const { id } = next[i];
        const special = tokenizer.specialOf.has(id);
        const node = document.createElement("span");
        node.className = special ? "ci-token ci-special" : `ci-token ci-c${(id * 7 + 3) % 6}`;
        node.id = `${prefix}-${serial++}`;
        node.setAttribute("role", "option");
        node.setAttribute("aria-selected", "false");
        node.textContent = special ? tokenizer.specialOf.get(id).text : readable(tokenizer.bytes(id));
        fresh.append(node);
      }
      list.insertBefore(fresh, list.children[head] ?? null);
      tokens = next;
    },
    chooseLongest() {
      const sizes = tokens.map(({ id, tokenizer }) => (tokenizer.specialOf.has(id) ? 0 : tokenizer.bytes(id).length));
      if (sizes.length) mark(sizes.indexOf(Math.max(...sizes)));
    },
    get length() {
      return tokens.length;
    },
  };
}

const readable = (bytes) => visibleBytes(bytes).replace(/␊/g, "␊\n");

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  const loaded = new Map();
  let table = null;
  let names = ["tinystories-10k", "gpt2"];
  const specials = check("special tokens count", true, () => update(), "specials");
  const second = choice([["none", "none"], ...Object.entries(NAMES)], names[1], (value) => ((names[1] = value), update()), "second");
  const first = choice(Object.entries(NAMES), names[0], (value) => ((names[0] = value), update()), "first");
  const detail = h("div", { class: "ci-detail", "aria-live": "polite" });
  const sides = [0, 1].map((side) => {
    const figures = h("p", { class: "ci-figures" });
    const tokens = tokenList(({ id, tokenizer }) => describe(tokenizer, id), side ? "Tokens of the second tokenizer: arrow keys choose one" : "Tokens of the first tokenizer: arrow keys choose one");
    return { figures, tokens, box: h("div", {}, h("p", { class: "ci-heading" }), figures, tokens.list) };
  });

  async function get(name) {
    if (!loaded.has(name)) {
      status.say(`Loading ${NAMES[name]} …`);
      if (!table) table = expandClasses((await host.load("classes")).runs);
      const stored = await host.load(name);
      if (!loaded.has(name)) loaded.set(name, new Tokenizer(stored, table));
    }
    return loaded.get(name);
  }

  function describe(tokenizer, id) {
    const bytes = tokenizer.bytes(id);
    const rank = tokenizer.rankOf(id);
    const special = tokenizer.specialOf.has(id);
    const steps = tokenizer.history(id).map((step) => h("li", {}, h("span", { class: "ci-times" }, `merge ${(step.rank + 1).toLocaleString("en-US")}: `), h("code", {}, `${visibleBytes(tokenizer.bytes(step.left))} + ${visibleBytes(tokenizer.bytes(step.right))} → ${visibleBytes(tokenizer.bytes(step.id))}`)));
    replace(
      detail,
      h("p", {}, h("strong", {}, "Token "), h("code", {}, special ? tokenizer.specialOf.get(id).text : visibleBytes(bytes)), `: id ${id}, rank ${rank < 0 ? "none" : `${rank} (merge ${(rank + 1).toLocaleString("en-US")})`}, ${bytes.length} byte${bytes.length > 1 ? "s" : ""} `, h("code", {}, Array.from(bytes.subarray(0, 40), hex).join(" ") + (bytes.length > 40 ? " …" : ""))),
      special ? h("p", { class: "ci-note" }, "A special token: no merge made it, and none contains a part of it.") : steps.length ? h("ol", { class: "ci-steps", "aria-label": "The merges that built it" }, steps) : h("p", { class: "ci-note" }, "A single byte: one of the 256 tokens that every tokenizer begins with."),
    );
  }

  let turn = 0;
  const update = guarded(status, async () => {
    const mine = ++turn;
    const used = names.filter((name, i) => i === 0 || name !== "none");
    const ready = used.every((name) => loaded.has(name));
    const tokenizers = ready ? used.map((name) => loaded.get(name)) : [];
    if (!ready) for (const name of used) tokenizers.push(await get(name));
    if (mine !== turn) return;
    const { bytes, lone } = utf8(area.value);
    const text = bytesHead(bytes, MOST);
    sides.forEach((side, i) => {
      side.box.hidden = !tokenizers[i];
      if (!tokenizers[i]) return;
      const ids = tokenizers[i].encode(text, { specials: specials.querySelector("input").checked });
      side.box.firstChild.textContent = NAMES[used[i]];
      side.figures.textContent = `${amount(ids.length, "token")}, ${ids.length ? (text.length / ids.length).toFixed(2) : "no"} bytes per token${ids.length > SHOWN ? `; the first ${SHOWN.toLocaleString("en-US")} are drawn` : ""}`;
      side.box.dataset.ids = ids.slice(0, 400).join(" ");
      side.tokens.show(tokenizers[i], ids);
    });
    replace(detail, h("p", { class: "ci-note" }, text.length ? "Choose a token, by a click or with the arrow keys, to see its id, its bytes and the merges that built it." : "No text, no tokens."));
    const remarks = [];
    if (lone) remarks.push(`${amount(lone, "lone surrogate")} in the text, which no UTF-8 can hold; each is read as U+FFFD.`);
    if (text.length < bytes.length) remarks.push(`The text has ${commas(bytes.length)} bytes; the first ${commas(text.length)} are encoded.`);
    if (remarks.length) status.complain(remarks.join(" "));
    else status.say(`${amount(bytes.length, "byte")}.`);
  });

  const area = textArea(Object.keys(PRESETS)[0], () => update(), { rows: 3 });
  const preset = choice(Object.entries(PRESETS), area.value, (value) => ((area.value = value), update()), "preset");
  const dialect = h("div");
  const ask = button("What would this browser's own pattern do?", guarded(status, () => {
    if (!table) return;
    const found = browserDisagrees(table);
    const some = found.slice(0, 8).map(({ point }) => pointName(point)).join(", ");
    replace(dialect, h("p", { class: "ci-note" }, found.length ? `\\p{L}, \\p{N} and \\s of this browser put ${found.length.toLocaleString("en-US")} code points into another class than the library's (${some}${found.length > 8 ? ", …" : ""}): its Unicode is of another age, and its \\s has U+FEFF and lacks U+0085. So the tokenizers here use the library's own table.` : "This browser's \\p{L}, \\p{N} and \\s agree with the library's on every code point. The tokenizers here use the library's own table all the same, since other browsers don't."));
  }));
  place.append(
    h("div", { class: "ci-row" }, labeled("Text", area, { wide: true }), labeled("Examples", preset), labeled("Tokenizer", first), labeled("Beside it", second), specials),
    status.line,
    h("div", { class: "ci-two" }, sides.map((side) => side.box)),
    detail,
    h("div", { class: "ci-row" }, ask),
    dialect,
  );
  // Begin with the longest token: it has the most to tell.
  Promise.resolve(update()).then(() => sides[0].tokens.chooseLongest());
}
