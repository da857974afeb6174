"""The instruments are light and quick: bytes on the wire, and what a key stroke takes on a slow processor."""

import gzip

import pytest
from instruments_pages import Opened

from cs336_lib.data import tales
from cs336_lib.figures.instruments import INSTRUMENTS
from cs336_lib.figures.instruments.bundle import data_script, page_script, styles
from cs336_lib.figures.instruments.data import PAYLOADS

TRIES = 5
MEASURE = """async ([name, texts]) => {
  const box = document.querySelector(`[name='${name}']`);
  const took = [];
  for (const text of texts) {
    const started = performance.now();
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    await Promise.resolve();
    document.body.offsetHeight;
    took.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
  return took;
}"""
PRESS = """async ([label, tries]) => {
  const key = [...document.querySelectorAll("button")].find((each) => each.textContent === label);
  const took = [];
  for (let i = 0; i < tries; i++) {
    const started = performance.now();
    key.click();
    document.body.offsetHeight;
    took.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
  return took;
}"""


def wire(text):
    return len(gzip.compress(text.encode(), 6))


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_page_loads_at_most_60_kb_of_script(name, pages):
    boot = (pages / "_static/instruments/boot.js").read_text()
    assert wire(page_script(name)) + wire(boot) + wire(styles()) < 60_000


def test_gpt2_is_under_700_kb_on_the_wire_and_every_data_file_is_loaded_on_its_own():
    sizes = {name: wire(data_script(name, make())) for name, make in PAYLOADS.items()}
    assert sizes.pop("gpt2") < 700_000
    assert sizes.pop("model") < 1_200_000
    assert max(sizes.values()) < 200_000


@pytest.mark.xdist_group("chromium")
@pytest.mark.parametrize(
    ("name", "box", "label"),
    [
        ("unicode", "text", None),
        ("bpe", None, "Step"),
        ("tokenizer", "text", None),
        ("rope", None, "Both 1 on"),
        ("accounting", "num_layers", None),
        ("schedule", "lr", None),
        ("sampling", None, "Draw a token"),
        ("runs", None, "0.01"),
        ("cluster", "price", None),
    ],
)
def test_an_interaction_takes_less_than_100_ms_on_a_processor_six_times_slower(chromium, pages, name, box, label):
    opened = Opened(chromium, pages, name)
    if box:
        texts = [f"the bear number {i}" if name == "tokenizer" else str(10 + i) for i in range(TRIES)]
        took = [work(opened, MEASURE, [box, [text]]) for text in texts]
    else:
        took = [work(opened, PRESS, [label, 1]) for _ in range(TRIES)]
    assert 6 * min(took) < 100, took
    opened.close()


@pytest.mark.xdist_group("chromium")
@pytest.mark.parametrize("tokenizer", ["tales", "gpt2"])
def test_ten_kilobytes_are_tokenized_again_within_50_ms_of_a_key_stroke(chromium, pages, tokenizer):
    opened = Opened(chromium, pages, "tokenizer")
    opened.choose("first", tokenizer)
    opened.page.wait_for_function("document.querySelector('.ci-heading').textContent.length > 0")
    text = "".join(tales.story(seed=1, index=i).text for i in range(20))[:10_000]
    work(opened, MEASURE, ["text", [text]])
    middle = len(text) // 2
    typed = [text[:middle] + "x" * i + text[middle:] for i in range(1, TRIES + 1)]
    took = [work(opened, MEASURE, ["text", [each]]) for each in typed]
    assert min(took) < 50, took
    opened.close()


def work(opened, script, arguments):
    """Milliseconds of processor time that the page's thread spends in script, style and layout.

    Processor time, because a clock on the wall also measures what else the machine does; and of some tries the least,
    because a processor whose caches others use as well is slower.
    """
    session = opened.context.new_cdp_session(opened.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return sum(metrics[name] for name in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration"))

    before = spent()
    opened.page.evaluate(script, arguments)
    return 1000 * (spent() - before)
