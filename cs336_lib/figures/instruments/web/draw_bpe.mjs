// Chapter 2: byte-pair encoding, a merge at a time.
import { expandClasses } from "./tokens.mjs";
import { amount, commas } from "./numbers.mjs";
import { bytesHead, utf8, visibleBytes } from "./utf.mjs";
import { countWords, fromLatin1, pairParts, Trainer } from "./trainer.mjs";
import { body, button, check, choice, guarded, h, labeled, replace, soon, statusLine, table, textArea } from "./ui.mjs";

const HANDOUT = ["low", 5, "lower", 2, "widest", 3, "newest", 6];
const PRESETS = {
  handout: { name: "The handout's example", text: "low low low low low\nlower lower widest widest widest\nnewest newest newest newest newest newest" },
  trap: { name: "The trap: overlapping repeats", text: "abababab abababab xyz ab" },
  dashes: { name: "Rows of dashes", text: `${"-".repeat(64)}\n${"-".repeat(64)}\n${"-".repeat(80)}` },
  story: {
    name: "A short story",
    text: "The little bear was not afraid of the dark. The little bear had a lamp, and the lamp had a light.\nOne day the light was gone. \"Where is the light?\" said the little bear. The other bear said: \"The light is asleep.\"",
  },
};
const MOST = 200_000; // bytes that are trained on
const WORDS = 60;
const PAIRS = 8;

const spell = (token) => visibleBytes(fromLatin1(token));

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  let classes = null;
  let preset = "handout";
  let sides = [];
  let timer = null;

  const area = textArea(PRESETS.handout.text, soon(() => ((preset = "own"), (picker.value = "own"), restart())), { rows: 3 });
  const picker = choice([...Object.entries(PRESETS).map(([key, { name }]) => [key, name]), ["own", "A text of your own"]], preset, choose, "preset");
  const compare = check("beside it the old-split bookkeeping", false, () => restart(), "compare");
  const stepButton = button("Step", () => run(1), { class: "ci-main" });
  const runButton = button("Run 200 merges", () => (timer ? stop() : run(200)));
  const panels = h("div", { class: "ci-two" });

  function choose(key) {
    preset = key;
    if (PRESETS[key]) area.value = PRESETS[key].text;
    compare.querySelector("input").checked = key === "trap";
    restart();
  }

  // The handout splits at white space, and its words have no space in front.
  function words(bytes) {
    if (preset === "handout" && area.value === PRESETS.handout.text) {
      return new Map(Array.from({ length: HANDOUT.length / 2 }, (_, i) => [HANDOUT[2 * i], HANDOUT[2 * i + 1]]));
    }
    return countWords(bytes, classes);
  }

  const restart = guarded(status, () => {
    stop();
    if (!classes) return;
    const { bytes: all, lone } = utf8(area.value);
    const bytes = bytesHead(all, MOST);
    const counts = words(bytes);
    const both = compare.querySelector("input").checked;
    sides = [{ title: both ? "Right: counts follow the new split" : "", trainer: new Trainer(counts) }];
    if (both) sides.push({ title: "Wrong: counts follow the old split", trainer: new Trainer(counts, { oldSplit: true }) });
    sides.forEach((side) => Object.assign(side, { last: null, shown: h("div"), log: [] }));
    replace(panels, sides.map((side) => side.shown));
    draw();
    const remarks = [];
    if (lone) remarks.push(`${amount(lone, "lone surrogate")} in the text; each is read as U+FFFD.`);
    if (bytes.length < all.length) remarks.push(`The text has ${commas(all.length)} bytes; the first ${commas(bytes.length)} are trained on.`);
    if (!counts.size) remarks.push("There is no text to train on: type some, or choose an example.");
    if (remarks.length) status.complain(remarks.join(" "));
    else status.say(`${amount(bytes.length, "byte")}, ${commas(counts.size)} different ${counts.size === 1 ? "pre-token" : "pre-tokens"}.`);
  });

  function stop() {
    clearTimeout(timer);
    timer = null;
    runButton.textContent = "Run 200 merges";
  }

  // Make merges in slices of a few milliseconds, so that the page stays quick.
  const run = guarded(status, (left) => {
    if (!sides.length) return;
    const until = performance.now() + 12;
    let made = true;
    do {
      made = false;
      for (const side of sides) {
        const step = side.trainer.step();
        if (!step) continue;
        made = true;
        side.last = step;
        side.log.push(step);
      }
      left--;
    } while (made && left > 0 && performance.now() < until);
    draw();
    if (!made) {
      stop();
      return status.say(`After ${amount(sides[0].trainer.merges.length, "merge")} no pair is left: every word is one token.`);
    }
    const { last, trainer } = sides[0];
    status.say(`Merge ${trainer.merges.length}: ${spell(last.left)} + ${spell(last.right)}, ${amount(last.count, "time")}${last.ties > 1 ? `, tied with ${last.ties - 1} other${last.ties > 2 ? "s" : ""}; the greater pair of byte strings wins` : ""}.`);
    if (left > 0) {
      runButton.textContent = "Stop";
      timer = setTimeout(() => run(left), 16);
    } else stop();
  });

  function word({ tokens, count }, last) {
    const shown = tokens.slice(0, 60).map((token, i) => h("span", { class: `ci-piece ci-c${i % 6}${last && token === last.left + last.right ? " ci-new" : ""}` }, spell(token)));
    return h("span", { class: "ci-word ci-mono" }, shown, tokens.length > 60 ? `… ${tokens.length - 60} more ` : null, h("span", { class: "ci-times" }, ` ×${count}`));
  }

  function draw() {
    for (const side of sides) {
      const { trainer, last } = side;
      const ranking = trainer.ranking(PAIRS);
      const most = ranking[0]?.[1];
      const ties = ranking.length ? trainer.ties() : 0;
      const rows = ranking.map(([pair, count], i) => {
        const [left, right] = pairParts(pair);
        return [`${spell(left)} + ${spell(right)}`, count.toLocaleString("en-US"), i === 0 ? "next" : count === most ? "tied" : ""];
      });
      const phantom = side.log.filter((step) => step.real === 0).length;
      const log = side.log.slice(-6).map((step, i, all) => {
        const number = side.log.length - all.length + i + 1;
        return h("li", { class: "ci-mono" }, `${number}. ${spell(step.left)} + ${spell(step.right)} → ${spell(step.left + step.right)} (${step.count.toLocaleString("en-US")}${step.ties > 1 ? `, ${step.ties} tied` : ""})${step.real === 0 ? " no word holds this pair!" : ""}`);
      });
      const sorted = [...trainer.words].sort((a, b) => b.count - a.count).slice(0, WORDS);
      replace(
        side.shown,
        side.title ? h("p", { class: "ci-heading" }, side.title) : null,
        h(
          "div",
          { class: "ci-two" },
          table(["pair", "count", ""], rows, { caption: ties > 1 ? `Most frequent pairs; ${ties} are tied at the top` : `Most frequent of ${trainer.counts.size.toLocaleString("en-US")} pairs`, numeric: [1] }),
          h(
            "div",
            {},
            h("p", { class: "ci-heading" }, `Last merges${phantom ? `; ${phantom} of pairs that do not exist` : ""}`),
            log.length ? h("ol", { class: "ci-steps" }, log) : h("p", { class: "ci-note" }, "None yet: press Step."),
          ),
        ),
        h("p", { class: "ci-heading" }, "Words, as they stand"),
        h("div", { class: "ci-scroll", tabindex: "0", role: "region", "aria-label": "Words as they stand" }, sorted.map((each) => word(each, last))),
        trainer.words.length > WORDS ? h("p", { class: "ci-note" }, `The ${WORDS} most frequent of ${trainer.words.length.toLocaleString("en-US")}.`) : null,
      );
    }
  }

  place.append(
    h("div", { class: "ci-row" }, labeled("Text", area, { wide: true }), labeled("Examples", picker), compare),
    h("div", { class: "ci-row" }, stepButton, runButton, button("Begin again", () => restart())),
    status.line,
    panels,
  );
  status.say("Loading the classes of code points …");
  host.load("classes").then(
    guarded(status, (payload) => {
      classes = expandClasses(payload.runs);
      restart();
    }),
    (error) => status.complain(error.message),
  );
}
