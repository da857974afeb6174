// Say again in JavaScript what the Python library said: node vectors.mjs FOLDER-OF-THE-MODULES VECTORS.json DATA.json
// Prints {name: {checked, wrong: [...]}} with the first few that differ.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [web, vectorsFile, dataFile] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(web, `${name}.mjs`)).href);
const vectors = JSON.parse(readFileSync(vectorsFile, "utf8"));
const data = JSON.parse(readFileSync(dataFile, "utf8"));
const numbers = await load("numbers");
const utf = await load("utf");
const tokens = await load("tokens");
const trainer = await load("trainer");
const account = await load("account");
const cluster = await load("cluster");
const schedule = await load("schedule");
const sampling = await load("sampling");
const rope = await load("rope");
const lm = await load("lm");
const runs = await load("runs");

const report = {};
function expect(name, given, wanted, about, close = 0) {
  const entry = (report[name] ??= { checked: 0, wrong: [] });
  entry.checked++;
  const same = close
    ? given.length === wanted.length && given.every((value, i) => Math.abs(value - wanted[i]) <= close * Math.max(1, Math.abs(wanted[i])))
    : JSON.stringify(given) === JSON.stringify(wanted);
  if (!same && entry.wrong.length < 5) entry.wrong.push({ about, given: JSON.stringify(given)?.slice(0, 300), wanted: JSON.stringify(wanted)?.slice(0, 300) });
  if (!same) entry.failures = (entry.failures ?? 0) + 1;
}
const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const texts = (counts) => Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, String(count)]));

if (vectors.text) {
  const table = tokens.expandClasses(data.classes.runs);
  const tokenizers = Object.fromEntries(Object.keys(vectors.text.strings[0].ids).map((name) => [name, new tokens.Tokenizer(data[name], table)]));
  for (const { text, utf8, utf16, utf32, ids } of vectors.text.strings) {
    const { bytes, lone } = utf.utf8(text);
    const points = Array.from(text, (symbol) => symbol.codePointAt(0));
    expect("UTF-8 of strings", [toHex(bytes), lone], [utf8, 0], text);
    expect("UTF-16 of strings", toHex(points.flatMap(utf.encodePoint16)), utf16, text);
    expect("UTF-32 of strings", toHex(points.flatMap(utf.encodePoint32)), utf32, text);
    for (const [name, wanted] of Object.entries(ids)) {
      const given = tokenizers[name].encode(bytes);
      expect(`ids of strings, ${name}`, given, wanted, text);
      expect(`decoding back, ${name}`, toHex(tokenizers[name].decode(given)), utf8, text);
    }
  }
  for (const { hex, verdict, replaced, pretokens, ids } of vectors.text.bytes) {
    const bytes = fromHex(hex);
    expect("verdict on bytes", utf.classify(bytes)[0], verdict, hex);
    expect("replacement", utf.decodeReplace(bytes), replaced, hex);
    expect("the browser's decoder", new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), replaced, hex);
    const ends = tokens.cut(bytes, table);
    expect("pre-tokens of bytes", ends.map((end, i) => end - (ends[i - 1] ?? 0)), pretokens, hex);
    for (const [name, wanted] of Object.entries(ids)) expect(`ids of bytes, ${name}`, tokenizers[name].encode(bytes), wanted, hex);
  }
  for (const { text, ids } of vectors.text.long) {
    for (const [name, wanted] of Object.entries(ids)) expect(`long words, ${name}`, tokenizers[name].encode(utf.utf8(text).bytes), wanted, text.slice(0, 9));
  }
  expect("browser's own pattern is told apart", tokens.browserDisagrees(table).some(({ point }) => point === 0xfeff), true, "U+FEFF");
}

for (const { value, short, exact } of vectors.numbers ?? []) {
  expect("numbers in short", numbers.short(value), short, value);
  expect("numbers to six digits", numbers.exact(value, 6), exact, value);
}
for (const [text, value] of vectors.typed ?? []) expect("numbers typed in", numbers.readNumber(text), value, text);
const kinds = (bytes) => utf.decodeParts(bytes).flatMap(({ size, verdict }) => Array(size).fill(verdict === "TEXT"));
for (const { hex, text, most } of vectors.cuts ?? []) {
  const bytes = fromHex(hex);
  const head = utf.bytesHead(bytes, most);
  expect("bytes keep their kind where they are cut", kinds(head), kinds(bytes).slice(0, head.length), { hex, most });
  expect("no more than a character is left out", head.length <= most && (head.length === bytes.length || head.length > most - 4), true, { hex, most });
  for (const [cut, end] of [[utf.textHead(text, most), "head"], [utf.textTail(text, most), "tail"]]) {
    const whole = end === "head" ? text.startsWith(cut) : text.endsWith(cut);
    expect("no pair is cut in two", [utf.utf8(cut).lone, whole, cut.length <= most && (cut.length === text.length || cut.length >= most - 1)], [0, true, true], { text, most, end });
  }
}
for (const { lr, verdict, factor } of vectors.verdicts ?? []) expect("verdicts on the toy", [schedule.toyVerdict(lr), schedule.toyFactor(lr)], [verdict, factor], lr);

if (vectors.training) {
  const table = tokens.expandClasses(data.classes.runs);
  const hexed = (merges) => merges.map((pair) => pair.map((token) => toHex(trainer.fromLatin1(token))));
  for (const { hex, merges, old_split: oldSplit } of vectors.training) {
    const counts = trainer.countWords(fromHex(hex), table);
    const right = new trainer.Trainer(counts);
    while (right.merges.length < 20 && right.step());
    expect("merges", hexed(right.merges), merges, hex);
    const wrong = new trainer.Trainer(counts, { oldSplit: true });
    while (wrong.merges.length < 6 && wrong.step());
    expect("merges of the old split", hexed(wrong.merges), oldSplit, hex);
    const recounted = new Map();
    for (const { tokens: word, count } of right.words) for (let i = 0; i + 1 < word.length; i++) recounted.set(trainer.pairName(word[i], word[i + 1]), (recounted.get(trainer.pairName(word[i], word[i + 1])) ?? 0) + count);
    expect("pair counts kept right", [...right.counts].sort(), [...recounted].sort(), hex);
  }
}

for (const each of vectors.accounting?.counts ?? []) {
  const { config, batch } = each;
  const about = { config, batch };
  const memory = account.trainingMemory(config, batch);
  expect("possible configurations", account.configError(config), null, about);
  expect("parameters", texts(account.parameterCount(config)), each.parameters, about);
  expect("forward FLOPs", texts(account.forwardFlops(config, null, batch)), each.flops, about);
  expect("causal FLOPs", texts(account.forwardFlops(config, null, batch, "causal")), each.causal, about);
  expect("training FLOPs", String(account.total(account.trainingFlops(config))), each.training, about);
  expect("AdamW's FLOPs", String(account.adamwFlops(config)), each.adamw, about);
  expect("crossing context", String(account.crossingContext(config)), each.crossing, about);
  expect("handout's activations", texts(account.handoutActivations(config, null, batch)), each.handout, about);
  expect("handout's activations of 2025", texts(account.handoutActivations(config, null, batch, false)), each.ungated, about);
  expect("edition whose list is the model's", account.ownList(config, data.accounting.editions), each.own_list, about);
  expect("autograd's activations", texts(account.autogradActivations(config, null, batch)), each.autograd, about);
  expect("memory", [memory.parameters, memory.gradients, memory.optimizer, memory.total].map(String), each.memory, about);
  for (const [list, wanted] of Object.entries(each.largest)) {
    const given = [16, 80].flatMap((gb) => [10 ** 9, 2 ** 30].map((unit) => String(account.maxBatchSize(config, gb * unit, null, list))));
    expect("largest batch", given, wanted, { list, ...about });
  }
  expect("default steps", account.defaultSteps(config, null, batch), each.default_steps, about);
  const seconds = account.trainingTime(config, each.steps, batch, each.peak, each.mfu);
  expect("seconds", seconds, each.seconds, about);
  expect("durations in words", account.duration(seconds), each.duration, about);
  expect("sizes in words", account.size(memory.total), each.size, about);
  const lines = [numbers.commas(account.total(account.parameterCount(config))), numbers.commas(account.total(account.forwardFlops(config))), numbers.commas(account.adamwFlops(config)), account.size(memory.parameters), account.duration(seconds)];
  expect("figures of cs336 account", lines.filter((line) => !each.text.includes(line)), [], about);
}
for (const { config, says } of vectors.accounting?.impossible ?? []) {
  const error = account.configError(config);
  expect("impossible configurations", typeof error === "string" && says.startsWith(error), true, { error, says });
}
for (const [bytes, text] of vectors.accounting?.sizes ?? []) expect("sizes in words", account.size(BigInt(bytes)), text, bytes);
for (const [seconds, text] of vectors.accounting?.durations ?? []) expect("durations in words", account.duration(seconds), text, seconds);
if (vectors.widths) for (const [dModel, swiglu, silu] of vectors.widths) expect("default d_ff", [account.defaultDff(dModel), account.defaultDff(dModel, "silu")], [swiglu, silu], dModel);
for (const [value, digits, text] of vectors.decimals ?? []) expect("decimals", account.fixed(value, digits), text, value);

for (const { config, asked, sent, step, bought, paid, token_flops } of vectors.cluster ?? []) {
  const [workers, rate, batch, bandwidth, strategy] = asked;
  expect("bytes sent in a step", cluster.sentBytes(config, strategy, workers), sent, asked);
  const found = cluster.scaling(config, workers, rate, batch, bandwidth, strategy);
  expect("a step on a cluster", [found.compute, found.communication, found.seconds, found.efficiency], step, asked, 1e-12);
  const costs = cluster.bill(bought[0], rate, workers, found.efficiency, bought[1]);
  expect("the bill of a cluster", [costs.seconds, costs.hours, costs.cost], paid, asked, 1e-12);
  expect("FLOPs of a token", [cluster.tokenFlops(config)], [token_flops], asked, 1e-12);
}

for (const [x, wanted] of vectors.schedule?.cosines ?? []) expect("cosine, to the last bit", schedule.cosine(x), wanted, x);
for (const [step, max, min, warmup, end, wanted, ofLibrary] of vectors.schedule?.cosine ?? []) {
  const given = schedule.cosineSchedule(step, max, min, warmup, end);
  expect("cosine schedule, to the last bit", given, wanted, [step, max, min, warmup, end]);
  expect("cosine schedule, beside this platform's own cosine", [given], [ofLibrary], [step, max, min, warmup, end], 4e-16);
  report["cosine schedule, equal to this platform's"] ??= { checked: 0, wrong: [], equal: 0 };
  report["cosine schedule, equal to this platform's"].checked++;
  report["cosine schedule, equal to this platform's"].equal += given === ofLibrary;
}
for (const [step, max, min, warmup, decay, total, shape, wanted] of vectors.schedule?.wsd ?? []) {
  expect("WSD schedule, to the last bit", schedule.wsdSchedule(step, max, min, warmup, decay, total, shape), wanted, [step, max, min, warmup, decay, total, shape]);
}
for (const { lr, weights } of vectors.schedule?.toy ?? []) expect("the toy", schedule.toyWeight(lr, weights.length, weights[0]), weights, lr, 1e-12);

for (const { logits, probabilities, uniform, drawn, ...setting } of vectors.sampling ?? []) {
  const given = sampling.distribution(Float64Array.from(logits), setting);
  expect("sampling distributions, to 1e-12", [...given], probabilities, setting, 1e-12);
  expect("draws", sampling.draw(given, uniform), drawn, { setting, uniform });
}
for (const { x, position, theta, turned } of vectors.rope ?? []) {
  expect("RoPE", rope.rotate(x, position, theta), turned, { position, theta }, 1e-12);
  const shifted = rope.score(x, turned, position + 7, 7, theta);
  expect("only the distance counts", [shifted], [rope.score(x, turned, position, 0, theta)], position, 1e-9);
}
if (vectors.model) {
  const model = new lm.LanguageModel(data.model);
  vectors.model.ids.forEach((id, place) => expect("logits of the model", [...model.feed(id)], vectors.model.logits[place], place, 1e-9));
  model.reset();
  expect("logits after a reset", [...model.feed(vectors.model.ids[0])], vectors.model.logits[0], 0, 1e-9);
}
for (const { names, colors, looks, dashes } of vectors.looks ?? []) {
  const given = runs.looks(names.map((name) => ({ name, seed: 0 })), colors);
  expect("looks of runs", given.map(({ color, dash }) => [color, runs.DASHES.indexOf(dash)]), looks, names.length);
  expect("kinds of dashes", [runs.DASHES.length, runs.DASHES[0]], [dashes, null], "");
}
for (const suite of vectors.suites ?? []) {
  const mine = runs.select(data.runs.runs, { suite });
  const given = runs.looks(mine, 10);
  const same = (a, b) => JSON.stringify(given[a]) === JSON.stringify(given[b]);
  const twins = mine.flatMap((run, a) => mine.slice(a + 1).flatMap((other, i) => (same(a, a + 1 + i) ? [[run.name, other.name]] : [])));
  expect("no two runs of a suite look the same", twins, [], suite);
}
(vectors.runs ?? []).forEach((wanted, i) => {
  const run = data.runs.runs[i];
  expect("lowest losses", [run.lr, runs.lowest(run)], [wanted.lr, wanted.lowest], run.name);
  expect("points of curves", [run.valid.steps.length, run.train.steps.length], wanted.points, run.name);
  const curve = runs.curve(run, "steps", "train", 5);
  expect("smoothing keeps places", curve.every(([, loss]) => Number.isFinite(loss)), true, run.name);
});
process.stdout.write(JSON.stringify(report));
