"""The instruments in Chromium and Firefox: a reader types, drags, presses keys, and reads the library's numbers."""

import math

import pytest
from instrument_vectors import TOKENIZERS, rebuilt

from cs336_lib import accounting as acc
from cs336_lib.figures.instruments import INSTRUMENTS
from cs336_lib.model import ModelConfig
from cs336_lib.optim import cosine_schedule
from cs336_lib.results import folder
from cs336_lib.training import RunRecord

in_chromium = pytest.mark.xdist_group("chromium")
every_instrument = pytest.mark.parametrize("name", INSTRUMENTS)
SEEN_IN_THE_DARK = {"bpe", "runs"}  # a table and a chart; the others' colors, which come from the same file, are slow


def violations(page, **options):
    """What axe finds in a page that keeps readers out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page, options={"preload": False, **options}).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(
    ("name", "theme"),
    [
        pytest.param(name, theme, marks=[] if theme == "light" or name in SEEN_IN_THE_DARK else [pytest.mark.slow])
        for name in INSTRUMENTS
        for theme in ("light", "dark")
    ],
)
def test_it_starts_with_something_to_see_and_fits_a_phone_and_axe_finds_no_serious_violation(open_page, name, theme):
    opened = open_page(name, theme, 1000)
    for width in (1000, 320, 390):
        opened.page.set_viewport_size({"width": width, "height": 900})
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert len(opened.text(".ci-body")) > 100
        assert not opened.page.locator(".ci-wrong").count()
    if opened.kind == "chromium":  # what axe looks at, both have
        if name == "bpe":
            opened.press("Step")
        # The two themes differ in nothing but colors.
        assert not violations(opened.page, **({} if theme == "light" else {"runOnly": ["color-contrast"]}))


@every_instrument
def test_without_javascript_the_place_says_what_it_is(browser, pages, name):
    if browser.kind == "firefox":
        pytest.skip("Playwright can't switch JavaScript off in an installed Firefox")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{pages}/{name}-light.html")
    text = page.locator(".cs336-instrument").inner_text()
    assert INSTRUMENTS[name].about in text and "figures of this page" in text
    context.close()


def test_unicode_bits_and_broken_bytes(open_page):
    opened = open_page("unicode")
    opened.fill("text", "你")
    opened.page.wait_for_function("document.querySelector('[name=bytes]').value === 'E4 BD A0'")
    assert "111001001011110110100000" in opened.text("tbody").replace(" ", "").replace("\n", "")
    opened.fill("bytes", "C0 80")
    opened.says("overlong: a shorter form exists", 1)
    opened.fill("bytes", "ED A0 80")
    opened.says("surrogate: reserved for UTF-16", 1)
    assert opened.text(".ci-read") == "\ufffd" * 3
    opened.fill("bytes", "61")
    opened.page.get_by_role("button", name="bit 1 of byte 1").click()
    opened.says("UTF-8 never uses" if 0xE1 >= 0xF5 else "more bytes can complete it", 1)


def test_bpe_steps_ties_and_the_trap(open_page):
    opened = open_page("bpe")
    opened.press("Step")
    opened.says("Merge 1: s + t, 9 times, tied with 1 other")
    for _ in range(5):
        opened.press("Step")
    merges = [line.split(" (")[0] for line in opened.text("ol.ci-steps").splitlines()]
    assert merges == [
        "1. s + t → st",
        "2. e + st → est",
        "3. o + w → ow",
        "4. l + ow → low",
        "5. w + est → west",
        "6. n + e → ne",
    ]
    opened.choose("preset", "trap")
    opened.press("Step")
    opened.press("Step")
    right, wrong = (opened.page.locator("ol.ci-steps").nth(i).inner_text() for i in (0, 1))
    assert "ab + ab → abab" in right and "no word holds" not in right
    assert "b + ab → bab" in wrong and "no word holds this pair" in wrong
    opened.press("Run 200 merges")
    opened.says("no pair is left")


@pytest.mark.both_browsers
def test_tokenizer_gives_the_librarys_ids(open_page):
    opened = open_page("tokenizer")
    for text in ("The little bear's naïve \u0085 hat,  123 \n\n 你好 😀<|endoftext|>!", "<|endoftext|><|endoftext|>"):
        opened.fill("text", text)
        for name in TOKENIZERS:
            opened.choose("first", name)
            wanted = " ".join(map(str, rebuilt(name).encode(text)))
            opened.page.wait_for_function(
                "(ids) => document.querySelector('[data-ids]').dataset.ids === ids", arg=wanted, timeout=15_000
            )
    opened.page.get_by_text("special tokens count").click()
    opened.page.wait_for_function("document.querySelector('[data-ids]').dataset.ids.split(' ').length > 6")


def test_tokenizer_by_keyboard_alone(open_page):
    opened = open_page("tokenizer")
    page = opened.page
    page.locator("[name=text]").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("the encyclopedia")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "listbox":
            break
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    tokenizer = rebuilt("tinystories-10k")
    second = tokenizer.encode("the encyclopedia")[1]
    page.wait_for_function("(id) => document.querySelector('.ci-detail').textContent.includes(`id ${id},`)", arg=second)
    assert (
        page.evaluate(
            "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).getAttribute('aria-selected')"
        )
        == "true"
    )
    assert "merge " in opened.text(".ci-detail")


@pytest.mark.both_browsers
def test_tokenizer_tells_of_the_browsers_own_pattern(open_page):
    opened = open_page("tokenizer")
    opened.page.get_by_role("button", name="own pattern").click()
    opened.page.get_by_text("U+FEFF", exact=False).first.wait_for(timeout=20_000)


def test_rope_depends_on_the_distance_alone(open_page):
    opened = open_page("rope")
    before = opened.status().split("inner product ")[1].rstrip(".")
    opened.press("Both 100 on")
    opened.says("the same distance as before, and the same product")
    assert opened.status().split("inner product ")[1].startswith(before)
    opened.slide("n", 109)
    opened.says("key at 109, distance 3")
    assert not opened.status().split("inner product ")[1].startswith(before)


@pytest.mark.parametrize("preset", [pytest.param("gpt2-xl", marks=pytest.mark.both_browsers), "tinystories-17m"])
def test_accounting_shows_the_librarys_figures(open_page, preset):
    opened = open_page("accounting")
    opened.choose("preset", preset)
    opened.fill("context_length", "16384")
    opened.fill("batch_size", "2")
    opened.fill("steps", "400000")
    opened.choose("device", "a100-80gb")
    opened.choose("dtype", "float32")
    cfg = ModelConfig.preset(preset).replace(context_length=16_384)
    seconds = acc.training_time(cfg, 400_000, 2, "a100-80gb", dtype="float32")
    opened.page.wait_for_function(
        "(seconds) => Number(document.querySelector('[data-seconds]')?.dataset.seconds) === seconds", arg=seconds
    )
    opened.unfold(0)
    opened.unfold(1)
    text = opened.text(".ci-body").replace("\t", " ")
    for counts in (acc.parameter_count(cfg), acc.forward_flops(cfg)):
        for name, count in counts.items():
            assert f"{name} {count:,}" in text.replace("\n", " ")
    assert f"Time: {acc.report.duration(seconds)}" in text
    for year, asked in (("2026", ""), ("2025", "2025"), ("2026", "2026")):  # without a year the gated model's own
        opened.choose("edition", asked)
        text = opened.text(".ci-body")
        memory = acc.training_memory(cfg, 2, edition=asked or None)
        assert acc.report.size(memory.total) in text
        assert f"activations, {year} handout's list: {acc.report.size(memory.activations.total)}" in text


def test_accounting_names_what_is_impossible_and_goes_on(open_page):
    opened = open_page("accounting")
    opened.fill("d_model", "1024")
    opened.says("num_heads is 25, which does not divide d_model = 1024")
    opened.fill("num_heads", "16")
    opened.says("heads of 64 channels")
    for bad in ("", "NaN", "-3", "1e400", "12.5", "x"):
        opened.fill("num_layers", bad)
        opened.says("num_layers is ")
    opened.fill("num_layers", "2")
    opened.says("parameters, heads of")
    for box, bad in (("batch_size", "0"), ("steps", "1.5")):
        opened.fill(box, bad)
        opened.says(f"{box} is ")
        opened.fill(box, "1")
        opened.says("parameters, heads of")


def test_schedule_and_toy(open_page):
    opened = open_page("schedule")
    for step in (0, 50, 100, 777, 1000):
        opened.slide("at", step)
        opened.says(f"Step {step:,}:")
        shown = float(opened.status().split(": ")[1].split(". The run")[0])
        rate = float(opened.page.locator("[data-rate]").get_attribute("data-rate"))
        wanted = cosine_schedule(step, 1e-3, 1e-4, 100, 1000)
        assert math.isclose(rate, wanted, rel_tol=3e-16) and math.isclose(shown, wanted, rel_tol=5e-7)
    opened.slide("at", 400)
    opened.says("Step 400: 0.000775. The run ends at")
    opened.slide("at", 1000)
    opened.fill("end", "2000")
    opened.says("the schedule ends after the run")
    for rate, verdict in (("10", "decays"), ("90", "oscillates"), ("100", "swings"), ("1000", "leaves")):
        opened.fill("lr", rate)
        opened.says(verdict, 1)
    opened.fill("lr", "nan")
    opened.says("must be a number", 1)
    opened.fill("warmup", "3000")
    opened.says("less than warmup_steps")
    opened.fill("warmup", "10")
    opened.says("Step 1,000")


def test_a_cluster_and_its_bill(open_page):
    opened = open_page("cluster")
    llama = ModelConfig(32_000, 2_048, 4_096, 32, 32, d_ff=11_008, backend="fast")
    rate = 0.4 * acc.DEVICES["h100-sxm"].peak("bfloat16") * 2_048 / acc.training_flops(llama).total
    point = acc.training_scaling(llama, 8_192, rate, 8_192, 50e9, strategy="fsdp")
    opened.says("1,024 GPUs with FSDP2")
    opened.slide("workers", 13)
    opened.says(f"8,192 GPUs with FSDP2: efficiency {100 * point.efficiency:.1f} %")
    opened.fill("batch", "100")
    opened.says("8192 workers do not divide batch_size 100")
    opened.fill("batch", "8192")
    opened.choose("strategy", "ddp")
    opened.says("8,192 GPUs with DDP")


def test_sampling_draws_by_hand_and_repeats_at_temperature_zero(open_page):
    opened = open_page("sampling")
    opened.says("tokens can be drawn")
    opened.slide("top-k", 5)
    opened.says("5 of 1,024 tokens")
    opened.page.locator(".ci-pick").first.click()
    opened.page.get_by_text("1 token drawn").wait_for()
    opened.slide("temperature", 0)
    stories = []
    for _ in range(2):
        opened.press("Begin again")
        opened.page.get_by_text("Nothing drawn yet").wait_for()
        for _ in range(6):
            opened.press("Draw a token")
        opened.page.get_by_text("6 tokens drawn").wait_for()
        stories.append(opened.text(".ci-story"))
    assert stories[0] == stories[1] and len(stories[0]) > len("Once upon a time, there was a") + 6


def test_runs_name_the_lowest_loss_and_are_singled_out_by_keys(open_page):
    opened = open_page("runs")
    home = folder() / "experiments/lr-sweep-cpu"
    best = min((r.best("valid_loss"), r.folder.name) for p in home.iterdir() if (r := RunRecord(p)).best() is not None)
    opened.says(f"{best[0]:.4f} nats per token")
    options = opened.page.locator("[role=option]")
    assert options.count() == len(list(home.iterdir()))
    opened.page.locator("[role=listbox]").focus()
    opened.page.keyboard.press("ArrowDown")
    opened.says(best[1].replace("-seed", ", seed ").replace("lr-", "lr "))
    opened.page.keyboard.press("ArrowDown")
    assert options.nth(1).get_attribute("aria-selected") == "true"
    opened.page.locator(".ci-chips button").first.click()
    assert options.count() == 1
    opened.choose("suite", "leaderboard-cpu")
    assert any(text.startswith("+ Muon, Muon lr 0.02, seed 0") for text in options.all_inner_texts())
    for x, unit in (("time", "seconds"), ("tokens", "tokens")):
        opened.choose("x", x)
        assert unit in opened.page.locator(".ci-chart").text_content()
    opened.choose("y", "train")
    opened.slide("smooth", 10)
    assert (
        opened.page.locator("[data-series]").count()
        == options.count()
        == len(list((home.parent / "leaderboard-cpu").iterdir()))
    )


@pytest.mark.parametrize(
    ("name", "box"), [("unicode", "text"), ("bpe", "text"), ("tokenizer", "text"), ("sampling", "text")]
)
def test_bad_texts_get_a_line_and_the_instrument_lives_on(open_page, name, box):
    opened = open_page(name)
    for script, says in (
        ("'a\\ud800b'", "lone surrogate"),
        ("''", {"unicode": "empty text", "bpe": "no text", "tokenizer": "0 bytes", "sampling": "no text"}[name]),
        (
            "'pasted words, and more of them. '.repeat(90000)",
            "are read" if name in ("unicode", "sampling") else "first 200,000",
        ),
        ("'x'.repeat(300000)", "are read" if name in ("unicode", "sampling") else "first 200,000"),
        ("'\\u0000\\u0007\\uffff'", ""),
    ):
        opened.set_text(box, script)
        opened.says(says)
    opened.set_text(box, "'the bear'")
    opened.says(
        {"unicode": "", "bpe": "8 bytes, 2 different", "tokenizer": "8 bytes", "sampling": "can be drawn"}[name]
    )


@pytest.mark.parametrize("name", ["accounting", "schedule", "cluster"])
def test_no_number_typed_in_draws_what_is_none_and_the_old_one_brings_the_figures_back(open_page, name):
    opened = open_page(name, "dark", 320)
    found = opened.page.evaluate(
        """() => {
          const host = document.querySelector(".cs336-instrument"), found = [];
          const say = () => [...host.querySelectorAll(".ci-status")].map((line) => line.textContent).join(" ");
          const fire = (box) => box.dispatchEvent(new Event("input", { bubbles: true }));
          for (const box of host.querySelectorAll("input[type=text]")) {
            const [value, said] = [box.value, say()];
            for (const bad of ["", "x", "-1", "0", "0.5", "1e-320", "1e21", "1e308", "1e400", "9007199254740993"]) {
              box.value = bad;
              fire(box);
              const drawn = [...host.querySelectorAll("svg *")].flatMap((part) => [...part.attributes]);
              if (drawn.some((part) => /NaN|Infinity|undefined/.test(part.value))) found.push([box.name, bad]);
              const calm = [...host.querySelectorAll(".ci-status:not(.ci-wrong)")].map((line) => line.textContent);
              if (/NaN|Infinity|undefined|null/.test(calm.join(" "))) found.push(`${box.name} ${bad}: ${calm}`);
              const raw = host.textContent.match(/NaN|undefined|\\d\\.\\d{12,}/);
              if (raw && raw[0] !== bad) found.push(`${box.name} ${bad}: ${raw}`);
              const wrong = host.querySelector(".ci-wrong");
              if (wrong && !/last possible/.test(wrong.textContent)) found.push(`${box.name} ${bad}: what is old?`);
              if (document.documentElement.scrollWidth > 320) found.push(`${box.name} ${bad}: too wide`);
            }
            box.value = value;
            fire(box);
            if (say() !== said) found.push(`${box.name}: ${said} became ${say()}`);
          }
          return found;
        }"""
    )
    assert not found


SIDES = {  # instrument -> (box, its slider, what the slider says of a number)
    "accounting": [
        ("context_length", "context", "{} tokens"),
        ("num_layers", "layers", "{}"),
        ("batch_size", "batch", "{} sequences"),
    ],
    "schedule": [("lr", "lr-slider", "{}")],
}


@pytest.mark.parametrize(
    ("name", "box", "slider", "says"), [(n, *side) for n, sides in SIDES.items() for side in sides]
)
def test_a_box_and_the_slider_beside_it_have_one_value(open_page, name, box, slider, says):
    opened = open_page(name)
    thumb = opened.page.locator(f"input[type=range][name='{slider}']")
    label = thumb.locator("xpath=../label/output")
    numbers = (
        "0.3333333333333333",
        "3",
        "7",
        "7.08",
        "120",
        "1000",
        "1,000",
        "1000000",
        "0",
        "-3",
        "0.5",
        "1e9",
        "1e308",
        "9007199254740991",
    )
    for typed in numbers:
        opened.fill(box, typed)
        value = float(typed.replace(",", ""))
        written = f"{int(value):,}" if value == int(value) and value < 1e21 else typed
        assert label.inner_text() == says.format(written) == thumb.get_attribute("aria-valuetext")
    for typed in ("", "x", "0,5"):
        opened.fill(box, typed)
        assert [label.inner_text(), thumb.get_attribute("aria-valuetext")] == ["\u2013"] * 2, typed
        assert "NaN" not in opened.text(".ci-body")
    # And back: what is dragged stands in the box.
    opened.slide(slider, 5)
    dragged = float(opened.page.locator(f"input[type=text][name='{box}']").input_value())
    assert label.inner_text() == says.format(f"{dragged:,g}")


def test_the_step_that_is_looked_at_is_one_of_the_run(open_page):
    opened = open_page("schedule")
    label = opened.page.locator("input[name=at]").locator("xpath=../label/output")
    for total, step in (("100", "100"), ("1", "1"), ("10000", "400"), ("1000", "400")):
        opened.fill("total", total)
        assert label.inner_text() == step and opened.status().startswith(f"Step {step}:")


def test_long_texts_are_not_shown_as_broken_and_what_is_left_out_is_said(open_page):
    opened = open_page("unicode")
    for text in ("'a' + '你'.repeat(40)", "'aé'.repeat(90)", "'😀'.repeat(33) + '\\uD83D\\uDE00'"):
        opened.set_text("text", text)
        total = opened.page.evaluate(f"new TextEncoder().encode({text}).length")
        opened.page.get_by_text(f"of {total} bytes are shown").wait_for()
        assert opened.status(1) == "All of it is text."
        assert not opened.page.locator(".ci-bad").count() and "\ufffd" not in opened.text(".ci-read")
        held = len(opened.page.locator("[name=bytes]").input_value().split())
        assert f"the first {held} of {total} bytes" in opened.text(".ci-body")
        assert opened.page.locator(".ci-hex[aria-label^=byte]").count() == held
        first = opened.page.locator("[name=bytes]").input_value()
        for _ in range(2):  # a flip and back, and nothing is lost behind what is shown
            opened.page.get_by_role("button", name="bit 1 of byte 1 is").click()
        assert opened.page.locator("[name=bytes]").input_value() == first
        assert f"of {total} bytes" in opened.text(".ci-body") and opened.status(1) == "All of it is text."
    opened.set_text("text", "'a' + '😀'.repeat(60000)")  # the limit lies between two halves
    opened.says("The text has 120,001 UTF-16 units; the first 99,999 are read.")
    opened.set_text("bytes", "'C0 80'")
    opened.says("At byte 1: overlong", 1)
    assert "bytes are shown" not in opened.text(".ci-body")


@pytest.mark.parametrize("name", ["bpe", "tokenizer"])
def test_a_limit_on_bytes_goes_through_no_character(open_page, name):
    opened = open_page(name)
    opened.set_text("text", "'a' + '你'.repeat(70000)")
    opened.says("The text has 210,001 bytes; the first 199,999 are")


def test_the_beginning_of_a_story_is_not_cut_inside_a_character(open_page):
    opened = open_page("sampling")
    for text in ("'你'.repeat(100)", "'😀'.repeat(1500)", "'é'.repeat(300)"):
        opened.set_text("text", text)
        opened.says("longer than the model can read")
        assert "\ufffd" not in opened.text(".ci-story"), text
    opened.set_text("text", "'\\udc00 the bear \\udc00'")
    opened.says("2 lone surrogates")


def test_the_toy_says_what_is_true_of_it(open_page):
    opened = open_page("schedule")
    for rate, says in (
        ("0", "stays where it is; the first step multiplies the weight by 1."),
        (
            "1e-9",
            "decays; the first step multiplies the weight by 1 - 2e-11. After 19 updates the loss is still about 25.",
        ),
        ("99.9999", "oscillates and decays; the first step multiplies the weight by -1 + 2e-6."),
        ("50", "is 0 after one step; the first step multiplies the weight by 0. After 19 updates the loss is 0"),
    ):
        opened.fill("lr", rate)
        opened.says(f"Rate {rate}: it {says}", 1)
    assert "never below 1e-12 here" in opened.page.locator(".ci-chart").nth(1).text_content()
    opened.fill("start", "0")
    opened.says("it stays at 0", 1)
    opened.fill("start", "5")
    assert "loss, all weights alike" in opened.page.locator(".ci-chart").nth(2).text_content()


def test_runs_are_told_apart_in_the_picture_and_in_the_list_and_times_are_not_compared(open_page):
    opened = open_page("runs")
    look = """(line) => [
      getComputedStyle(line).stroke, line.getAttribute("stroke-dasharray"), line.getAttribute("stroke-width")
    ].join()"""
    for suite in ("lr-sweep-cpu", "leaderboard-cpu", "batch-size-cpu"):
        opened.choose("suite", suite)
        drawn = [line.evaluate(look) for line in opened.page.locator("[data-series]").all()]
        keyed = [line.evaluate(look) for line in opened.page.locator(".ci-sample line").all()]
        assert len(set(drawn)) == len(drawn) == opened.page.locator("[role=option]").count() and drawn == keyed
    opened.page.locator("[role=option]").nth(1).hover()
    opened.page.mouse.move(0, 0)
    assert [line.evaluate(look) for line in opened.page.locator("[data-series]").all()] == drawn
    warns = "shared their machine with other work: compare their losses, not their times"
    for x, warned in (("tokens", False), ("time", True), ("steps", False)):
        opened.choose("x", x)
        assert (warns in opened.text(".ci-body")) is warned
    opened.choose("suite", "single runs")
    opened.choose("x", "time")
    assert "made on different devices" in opened.text(".ci-body")


@in_chromium
@pytest.mark.parametrize("name", ["bpe", "tokenizer", "runs", "unicode"])
def test_it_works_by_touch(chromium, pages, name):
    from instruments_pages import Opened

    opened = Opened(chromium, pages, name, "light", 390, has_touch=True, is_mobile=True)
    page = opened.page
    if name == "bpe":
        page.get_by_role("button", name="Step", exact=True).tap()
        opened.says("Merge 1: s + t")
    elif name == "tokenizer":
        page.locator(".ci-token").nth(1).tap()
        assert page.locator(".ci-token").nth(1).get_attribute("aria-selected") == "true"
    elif name == "runs":
        page.locator("[role=option]").nth(2).tap()
        assert page.locator("[role=option]").nth(2).get_attribute("aria-selected") == "true"
    else:
        page.get_by_role("button", name="bit 2 of byte 1").tap()
        page.wait_for_function("document.querySelector('[name=bytes]').value.startsWith('21')")
    opened.close()


@in_chromium
def test_axe_finds_what_is_wrong(chromium, pages):
    from instruments_pages import Opened

    opened = Opened(chromium, pages, "rope", "dark")
    opened.page.evaluate("document.querySelector('h1').style.color = '#222222'")
    assert [name for name, _ in violations(opened.page, runOnly=["color-contrast"])] == ["color-contrast"]
    opened.page.evaluate("document.querySelectorAll('label').forEach((label) => label.remove())")
    assert len(violations(opened.page)) > 1
    opened.close()


@every_instrument
def test_the_widgets_module_draws_the_same_and_asks_for_its_data(browser, pages, name, tmp_path):
    """The module that anywidget loads, with a model that answers as Python does."""
    from cs336_lib.figures.instruments.bundle import widget_module
    from cs336_lib.figures.instruments.data import PAYLOADS

    instrument = INSTRUMENTS[name]
    context = browser.new_context()
    page = context.new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto("about:blank")
    page.evaluate(
        """async ([source, place, payloads]) => {
          const handlers = new Set();
          const model = {
            get: (name) => (name === "place" ? place : undefined),
            on: (event, handler) => handlers.add(handler),
            off: (event, handler) => handlers.delete(handler),
            send: ({ load }) => {
              const answer = { loaded: load, payload: payloads[load] };
              setTimeout(() => [...handlers].forEach((handler) => handler(answer)));
            },
          };
          const widget = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
          widget.default.render({ model, el: document.body });
        }""",
        [widget_module(name), instrument.html(), {each: PAYLOADS[each]() for each in instrument.data}],
    )
    page.wait_for_function("!document.querySelector('.ci-status').textContent.startsWith('Loading')", timeout=30_000)
    assert len(page.locator(".ci-body").inner_text()) > 100 and not page.locator(".ci-wrong").count()
    assert not troubles
    context.close()
