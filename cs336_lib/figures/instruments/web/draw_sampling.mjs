// Chapter 7: the book's model, its next token under temperature, top-k and top-p, drawn or chosen by hand.
import { distribution, draw, softmax } from "./sampling.mjs";
import { LanguageModel } from "./lm.mjs";
import { expandClasses, Tokenizer } from "./tokens.mjs";
import { amount, commas } from "./numbers.mjs";
import { continues, textTail, utf8, visibleBytes } from "./utf.mjs";
import { body, button, COLORS, guarded, h, labeled, replace, slider, soon, statusLine, textArea } from "./ui.mjs";

const PROMPT = "Once upon a time, there was a";
const ROWS = 12;
const READ = 2000; // UTF-16 units of the beginning: more than the model can read, whatever they are

export function mount(element, host) {
  const place = body(element);
  const status = statusLine();
  const set = { temperature: 1, topK: 0, topP: 1 };
  let model = null;
  let tokenizer = null;
  let prompt = [];
  let drawn = []; // {id, p: under the settings, model: under the model itself}
  let logits = null;
  let playing = null;
  const story = h("div", { class: "ci-story", tabindex: "0", role: "region", "aria-label": "The story so far" });
  const rows = h("div", { role: "group", "aria-label": "The likeliest next tokens: press one to choose it" });
  const sums = h("p", { class: "ci-note" });

  const text = (ids) => new TextDecoder().decode(tokenizer.decode(ids));

  function showStory() {
    const nats = drawn.reduce((sum, token) => sum - Math.log(token.model), 0);
    replace(story, h("span", {}, text(prompt)), h("span", { class: "ci-drawn" }, text(drawn.map((token) => token.id))));
    story.scrollTop = story.scrollHeight;
    sums.textContent = drawn.length ? `${amount(drawn.length, "token")} drawn; the last had probability ${drawn.at(-1).p.toPrecision(3)} here and ${drawn.at(-1).model.toPrecision(3)} under the model itself. Surprise so far: ${(nats / drawn.length).toFixed(3)} nats per token.` : "Nothing drawn yet.";
  }

  const show = guarded(status, () => {
    if (!logits) return;
    const plain = softmax(logits);
    const now = distribution(logits, set);
    const order = Array.from(plain.keys()).sort((a, b) => plain[b] - plain[a] || a - b);
    const kept = now.reduce((count, p) => count + (p > 0), 0);
    const most = Math.max(now[order[0]], plain[order[0]]);
    order.slice(0, ROWS).forEach((id, i) => {
      let row = rows.children[i];
      if (!row) {
        row = button("", () => take(Number(row.dataset.id)), { class: "ci-pick" });
        row.append(h("span", { class: "ci-mono" }), h("span", { class: "ci-track" }, h("span", { class: "ci-space" }, h("span", { class: "ci-fill" })), h("span")));
        rows.append(row);
      }
      const special = tokenizer.specialOf.get(id);
      row.dataset.id = id;
      row.children[0].textContent = special ? special.text : visibleBytes(tokenizer.bytes(id));
      const [space, value] = row.children[1].children;
      const bar = space.firstChild;
      bar.style.cssText = `width:${((100 * now[id]) / most).toFixed(2)}%;background:${COLORS[0]}`;
      value.textContent = `${(100 * now[id]).toFixed(2)} % (${(100 * plain[id]).toFixed(2)} %)`;
    });
    status.say(`${commas(kept)} of ${commas(now.length)} tokens can be drawn. In brackets: the model's own probability.`);
  });

  function advance(id) {
    if (model.length >= model.config.context_length) {
      stop();
      status.complain(`The context of ${model.config.context_length} tokens is full: begin again.`);
      return false;
    }
    logits = model.feed(id);
    return true;
  }

  const take = guarded(status, (id) => {
    if (!logits) return;
    const token = { id, p: distribution(logits, set)[id], model: softmax(logits)[id] };
    if (!advance(id)) return;
    drawn.push(token);
    showStory();
    show();
    if (tokenizer.specialOf.has(id)) {
      stop();
      status.say("The story has ended; drawing on begins another.");
    }
  });
  const drawOne = guarded(status, () => {
    if (!logits) return;
    const problem = distribution(logits, set);
    take(draw(problem, Math.random()));
  });

  function stop() {
    clearInterval(playing);
    playing = null;
    play.textContent = "Draw on";
  }
  const play = button("Draw on", () => {
    if (playing) return stop();
    play.textContent = "Stop";
    playing = setInterval(() => (document.contains(element) ? drawOne() : stop()), 120);
  });

  // Feed the prompt in slices, so that the page stays quick.
  let turn = 0;
  const restart = guarded(status, async () => {
    if (!model) return;
    stop();
    const mine = ++turn;
    // Of a pasted book only the end is looked at, which is quick to encode.
    const { bytes, lone } = utf8(textTail(area.value, READ));
    const ids = tokenizer.encode(bytes);
    const room = Math.floor(model.config.context_length / 2);
    prompt = ids.length > room ? ids.slice(-room) : ids;
    while (prompt.length && continues(tokenizer.bytes(prompt[0])[0])) prompt = prompt.slice(1); // the rest of a character
    if (!prompt.length) prompt = tokenizer.specials.map((special) => special.id).slice(0, 1);
    drawn = [];
    logits = null;
    model.reset();
    let started = performance.now();
    for (const id of prompt) {
      logits = model.feed(id);
      if (performance.now() - started < 12) continue;
      await new Promise((resolve) => setTimeout(resolve));
      if (mine !== turn) return;
      started = performance.now();
    }
    showStory();
    show();
    const remarks = [];
    if (ids.length > room) remarks.push(`The beginning is longer than the model can read; its last ${amount(prompt.length, "token")} are read.`);
    if (!ids.length) remarks.push("There is no text: the model begins after <|endoftext|>.");
    if (lone) remarks.push(`${amount(lone, "lone surrogate")} in the text; each is read as U+FFFD.`);
    if (remarks.length) status.complain(remarks.join(" "));
  });

  const area = textArea(PROMPT, soon(restart, 200), { rows: 2 });
  const sliders = [
    slider("Temperature", { min: 0, max: 200, value: set.temperature, place: (value) => 100 * value, from: (at) => at / 100, show: (value) => value.toFixed(2), name: "temperature", onInput: (value) => ((set.temperature = value), show()) }),
    slider("Top-k", { min: 0, max: 50, value: set.topK, show: (value) => (value ? commas(value) : "all"), name: "top-k", onInput: (value) => ((set.topK = value), show()) }),
    slider("Top-p", { min: 1, max: 100, value: set.topP, place: (value) => 100 * value, from: (at) => at / 100, show: (value) => (value === 1 ? "all" : value.toFixed(2)), name: "top-p", onInput: (value) => ((set.topP = value), show()) }),
  ];
  const about = h("p", { class: "ci-note" });
  place.append(
    h("div", { class: "ci-row" }, labeled("The beginning", area, { wide: true })),
    h("div", { class: "ci-row" }, sliders),
    h("div", { class: "ci-row" }, button("Draw a token", drawOne, { class: "ci-main" }), play, button("Begin again", () => restart())),
    status.line,
    story,
    sums,
    rows,
    about,
  );
  status.say("Loading the model, 1.4 MB …");
  host.load("model").then(
    guarded(status, (stored) => {
      tokenizer = new Tokenizer(stored.tokenizer, expandClasses(stored.classes));
      model = new LanguageModel(stored);
      about.textContent = `The model is the book's ${stored.about.run}, trained on the tales, its weights rounded to 8 bits: validation loss ${stored.about.valid_loss.toFixed(4)} nats per token (${stored.about.valid_loss_float32.toFixed(4)} before rounding).`;
      return restart();
    }),
    (error) => status.complain(error.message),
  );
}
