"""Where the instruments stand, what they bring, and what they say where no script runs."""

import base64
import hashlib
import json
import re
import sys

import jupytext
import numpy as np
import pytest
from instrument_vectors import rebuilt

from cs336_lib.figures import instruments
from cs336_lib.figures.instruments import INSTRUMENTS, bundle
from cs336_lib.figures.instruments.data import PAYLOADS, STORED, compact, gpt2_byte_ids
from cs336_lib.figures.instruments.widget import Place
from cs336_lib.model.config import PRESETS

ROOT = bundle.WEB.parents[3]
GPT2_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
every_instrument = pytest.mark.parametrize("name", INSTRUMENTS)


def test_the_stored_merges_are_gpt2s_to_the_byte():
    """The published file is made again from the stored pairs; tiktoken checks its download by the same sum."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spelled = [chr(byte) for byte in printable] + [chr(0x100 + n) for n in range(256 - len(printable))]
    lines = ["#version: 0.2"]
    for left, right in np.frombuffer((STORED / "gpt2-merges.bin").read_bytes(), "<u2").reshape(-1, 2).tolist():
        lines.append(f"{spelled[left]} {spelled[right]}")
        spelled.append(spelled[left] + spelled[right])
    assert hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest() == GPT2_SHA256
    assert len(spelled) == 50_256


def test_gpt2_encodes_as_everybody_knows_it():
    tokenizer = rebuilt("gpt2")
    assert tokenizer.encode("Hello world<|endoftext|>") == [15496, 995, 50256]
    assert gpt2_byte_ids()[ord(" ")] == 220 and tokenizer.vocab[220] == b" "


def test_a_tokenizer_with_ids_in_another_order_is_not_taken():
    vocab = {i: bytes([i]) for i in range(256)} | {300: b"ab", 256: b"abc"}
    with pytest.raises(ValueError, match="must follow the merges"):
        compact("odd", vocab, [(b"a", b"b"), (b"ab", b"c")], [])


def test_the_calculator_has_every_preset_and_device():
    from cs336_lib.accounting import DEVICES
    from cs336_lib.editions import EDITIONS

    payload = PAYLOADS["accounting"]()
    assert set(payload["presets"]) == set(PRESETS) and set(payload["devices"]) == set(DEVICES)
    assert list(payload["editions"]) == list(EDITIONS) and "gpt2-xl-2026" in payload["presets"]


@every_instrument
def test_it_has_a_title_a_text_alternative_and_two_or_three_experiments(name):
    instrument = INSTRUMENTS[name]
    assert instrument.title and instrument.about.endswith(".") and 2 <= len(instrument.tries) <= 3
    html = instrument.html()
    assert f'data-instrument="{name}"' in html and 'role="group"' in html and "<script" not in html
    assert set(instrument.data) <= set(PAYLOADS)


def test_the_explorer_asks_for_no_comparison_that_the_records_do_not_carry():
    """Times of runs that shared their machine compare nothing; steps and tokens of the batch sizes do."""
    explorer = INSTRUMENTS["runs"]
    asked = " ".join(explorer.tries)
    assert "time" not in asked and "Choose batch-size-cpu and switch from steps to tokens" in asked
    runs = [run for run in PAYLOADS["runs"]()["runs"] if run["suite"] == "batch-size-cpu"]
    ends = [(run["train"]["steps"][-1], run["train"]["tokens"][-1]) for run in runs if run["status"] == "finished"]
    assert len({steps for steps, _ in ends}) > 2 and len({tokens for _, tokens in ends}) == 1
    assert all(run["shared"] for run in runs)
    assert not any(run["shared"] for run in PAYLOADS["runs"]()["runs"] if run["suite"] == "single runs")


@every_instrument
def test_it_stands_in_its_chapter_behind_a_figure_and_in_the_list(name):
    notebook = jupytext.read(ROOT / f"notebooks/{INSTRUMENTS[name].notebook}.md")
    sources = [cell.source for cell in notebook.cells]
    (place,) = [i for i, source in enumerate(sources) if f'instruments.display("{name}"' in source]
    assert any("plt.show()" in source or "print(" in source for source in sources[max(0, place - 4) : place + 3])
    page = (ROOT / "book/instruments.md").read_text(encoding="utf-8")
    assert f"| {INSTRUMENTS[name].title} |" in page and f"`{name}`" in page


@every_instrument
def test_it_is_drawn_by_modules_of_which_the_first_touch_no_page(name):
    drawing = {"ui", f"draw_{name}"}
    assert drawing < set(bundle.modules(f"draw_{name}")) or name == "rope"
    for module in bundle.modules(f"draw_{name}"):
        source = (bundle.WEB / f"{module}.mjs").read_text(encoding="utf-8")
        touches = re.search(r"\b(document|window|navigator|localStorage|fetch)\b[.(]", source)
        assert module in drawing or not touches, f"{module}.mjs: {touches}"
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)


@every_instrument
def test_a_bundle_has_no_import_and_no_export_left_but_the_widgets_own(name):
    script = bundle.page_script(name)
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    assert re.findall(r"^export\b.*", bundle.widget_module(name), re.MULTILINE) == ["export default { render };"]


def test_a_form_that_the_bundle_does_not_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "WEB", tmp_path)
    (tmp_path / "draw_odd.mjs").write_text('import odd from "./other.mjs";\nexport function mount() {}\n')
    with pytest.raises(ValueError, match=r"draw_odd\.mjs: the bundle does not read 'import odd"):
        bundle.page_script.__wrapped__("odd")


def test_writing_twice_leaves_the_files_alone_and_their_version_follows_the_content(tmp_path, monkeypatch):
    bundle.write(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    bundle.write(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    version = re.search(r"\?v=(\w{8})", (tmp_path / "boot.js").read_text())[1]
    monkeypatch.setattr(bundle, "styles", lambda: "/* another */")
    bundle.write(tmp_path)
    assert version not in (tmp_path / "boot.js").read_text()


def test_an_instrument_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no instrument 'unicorn'; there are: unicode, bpe"):
        instruments.display("unicorn")
    with pytest.raises(ValueError, match="has no option 'size'; it has: suite"):
        instruments.display("runs", size="large")
    with pytest.raises(ValueError, match="has no option 'suite'; it has: none"):
        instruments.display("rope", suite="nope")
    assert 'data-suite="&quot;&gt;&lt;script&gt;"' in INSTRUMENTS["runs"].html(suite='"><script>')


def test_outside_of_a_notebook_and_in_stored_outputs_it_is_its_place_in_the_page(monkeypatch):
    shown = instruments.display("rope")
    assert isinstance(shown, Place) and shown._repr_html_() == INSTRUMENTS["rope"].html()
    monkeypatch.setattr("cs336_lib.figures.instruments.widget._in_notebook", lambda: True)
    monkeypatch.setenv("CS336_INSTRUMENTS", "static")
    assert isinstance(instruments.display("rope"), Place)


def test_without_anywidget_the_place_says_what_to_install(monkeypatch):
    monkeypatch.setattr("cs336_lib.figures.instruments.widget._in_notebook", lambda: True)
    monkeypatch.delenv("CS336_INSTRUMENTS", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert "pip install anywidget" in instruments.display("rope")._repr_html_()


def test_in_a_live_notebook_it_is_a_widget_that_sends_the_data_it_is_asked_for(monkeypatch):
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    monkeypatch.setattr("cs336_lib.figures.instruments.widget._in_notebook", lambda: True)
    monkeypatch.delenv("CS336_INSTRUMENTS", raising=False)
    widget = instruments.display("accounting")
    assert widget.place == INSTRUMENTS["accounting"].html() and "export default" in str(widget._esm)
    sent = []
    monkeypatch.setattr(type(widget), "send", lambda self, content, buffers=None: sent.append(content))
    for asked in ({"load": "accounting"}, {"load": "runs"}, {"load": None}, "load", {}):
        widget._handle_custom_msg(asked, [])
    assert sent == [{"loaded": "accounting", "payload": PAYLOADS["accounting"]()}], "and nothing that is not its own"


def test_what_the_instruments_suggest_is_true():
    gpt2, small, web = rebuilt("gpt2"), rebuilt("tinystories-10k"), rebuilt("owt-32k")
    assert len(gpt2.encode(" strawberry")) == 1 and len(gpt2.encode("strawberry")) == 3
    source = (bundle.WEB / "draw_tokenizer.mjs").read_text(encoding="utf-8")
    story, code = (
        json.loads(re.search(rf'^  (".*"): "{name}",$', source, re.MULTILINE)[1])
        for name in ("A story", "A line of code")
    )
    assert len(small.encode(story)) < len(web.encode(story)) and len(small.encode(code)) > len(web.encode(code))
    assert len(small.encode("<|endoftext|>")) == 1


def test_the_models_weights_are_as_many_as_its_shapes_say():
    stored = PAYLOADS["model"]()
    weights = sum(rows * columns for _, rows, columns in stored["shapes"])
    assert len(base64.b64decode(stored["weights"])) == weights
    assert len(base64.b64decode(stored["scales"])) == 4 * sum(rows for _, rows, _ in stored["shapes"])
    assert abs(stored["about"]["valid_loss"] - stored["about"]["valid_loss_float32"]) < 0.01
