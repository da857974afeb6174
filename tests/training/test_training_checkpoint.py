"""Checkpoints: what is saved is what is loaded, and nothing that is damaged passes for good."""

import copy
import enum
import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import SGD, AdamW, Muon, cosine_schedule, wsd_schedule
from cs336_lib.training import load_checkpoint, save_checkpoint
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, Snapshot

TINY = ModelConfig(vocab_size=37, context_length=12, d_model=24, num_layers=2, num_heads=3, d_ff=40)


def make(kind="adamw"):
    model = TransformerLM(TINY)
    if kind == "muon":
        return model, Muon.for_model(model)
    return model, {"adamw": AdamW, "sgd": SGD}[kind](model.parameters(), lr=0.1)


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        x = torch.randint(TINY.vocab_size, (2, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("where", ["path", "string", "file"])
def test_training_goes_on_as_if_never_stopped(tmp_path, kind, where):
    model, optimizer = make(kind)
    train(model, optimizer, 2)
    out = {"path": tmp_path / "c.pt", "string": str(tmp_path / "c.pt"), "file": io.BytesIO()}[where]
    save_checkpoint(model, optimizer, 2, out)
    train(model, optimizer, 2, first=2)
    if where == "file":
        out.seek(0)
    again, its_optimizer = make(kind)
    assert load_checkpoint(out, again, its_optimizer) == 2
    train(again, its_optimizer, 2, first=2)
    assert_same(weights(again), weights(model))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch
def test_a_compiled_model_saves_plain_names(tmp_path):
    model, optimizer = make()
    compiled = torch.compile(model)
    save_checkpoint(compiled, optimizer, 1, tmp_path / "c.pt")
    again, its_optimizer = make()
    load_checkpoint(tmp_path / "c.pt", again, its_optimizer)
    assert_same(weights(again), weights(model))
    load_checkpoint(tmp_path / "c.pt", compiled, optimizer)


def test_loading_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit('code ran')",)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"model": Evil()}))
    with pytest.raises(ValueError, match=r"evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt", *make())
    torch.save({"model": Evil(), "optimizer": {}, "iteration": 1}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="safely"):
        load_checkpoint(tmp_path / "evil.pt", *make())


def test_damaged_and_foreign_files_are_named(tmp_path):
    model, optimizer = make()
    path = tmp_path / "c.pt"
    save_checkpoint(model, optimizer, 1, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"c\.pt is damaged"):
        load_checkpoint(path, model, optimizer)
    torch.save({"weights": 1}, path)
    with pytest.raises(ValueError, match="save_checkpoint did not write it"):
        load_checkpoint(path, model, optimizer)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.pt", model, optimizer)
    other = TransformerLM(TINY.replace(d_ff=48))
    save_checkpoint(other, SGD(other.parameters()), 1, path)
    with pytest.raises(ValueError, match="another model: size mismatch"):
        load_checkpoint(path, model, optimizer)


def altered(part, change):
    """A good checkpoint with one thing changed."""

    def content(good):
        changed = copy.deepcopy(good)
        change(changed[part])
        return changed

    return content


def put(name, value):
    return lambda part: part.__setitem__(name, value(part[name]) if callable(value) else value)


LAST = "lm_head.weight"  # what comes before it would have been loaded
WRONG = {
    "another width": altered("model", put(LAST, lambda w: w[:, :-1])),
    "another number of dimensions": altered("model", put(LAST, lambda w: w[None])),
    "no tensor": altered("model", put(LAST, [1.0])),
    "sparse": altered("model", put(LAST, lambda w: w.to_sparse())),
    "complex": altered("model", put(LAST, lambda w: w.to(torch.complex64))),
    "a weight is missing": altered("model", lambda part: part.pop(LAST)),
    "a weight too many": altered("model", put("more", torch.zeros(1))),
    "a key that is no name": altered("model", put(5, torch.zeros(1))),
    "weights are no mapping": lambda good: {**good, "model": [1]},
    "optimizer is empty": lambda good: {**good, "optimizer": {}},
    "optimizer is no mapping": lambda good: {**good, "optimizer": 5},
    "groups are no list": altered("optimizer", put("param_groups", 5)),
    "groups are no mappings": altered("optimizer", put("param_groups", [5])),
    "a group less": altered("optimizer", lambda part: part["param_groups"].clear()),
    "a parameter less": altered("optimizer", lambda part: part["param_groups"][0]["params"].pop()),
    "a moment of another shape": altered("optimizer", lambda part: part["state"][3].update(STATE_OF_ANOTHER)),
    "a step that is none": altered("optimizer", lambda part: part["state"][3].update(step="x", t="x")),
    "a rate that is text": altered("optimizer", lambda part: part["param_groups"][0].update(lr="x")),
    "a rate below zero": altered("optimizer", lambda part: part["param_groups"][0].update(lr=-1.0)),
    "a state that is none": altered("optimizer", put("state", [])),
    "iteration is text": lambda good: {**good, "iteration": "step7"},
    "iteration is none": lambda good: {**good, "iteration": None},
    "iteration is infinite": lambda good: {**good, "iteration": float("inf")},
    "iteration is several": lambda good: {**good, "iteration": torch.ones(2)},
}
STATE_OF_ANOTHER = {name: torch.zeros(2, 2) for name in ("exp_avg", "exp_avg_sq", "momentum_buffer")}
TAKEN = {"a moment of another shape", "a step that is none", "a rate that is text", "a rate below zero"}
"""By torch's optimizers, which do not look."""


def both_states(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict(), dict(optimizer.defaults)))


def assert_bits(before, after):
    flat = [torch.utils._pytree.tree_flatten(one) for one in (before, after)]
    assert flat[0][1] == flat[1][1]
    for one, other in zip(flat[0][0], flat[1][0], strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd", "torch"])
def test_a_refused_checkpoint_changes_nothing_of_model_and_optimizer(tmp_path, kind):
    def fresh(kind=kind):
        if kind != "torch":
            return make(kind)
        model = TransformerLM(TINY)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    model, optimizer = fresh()
    train(model, optimizer, 2)
    good_path, path = tmp_path / "good.pt", tmp_path / "wrong.pt"
    save_checkpoint(model, optimizer, 1, good_path)
    good = torch.load(good_path)
    wrong = {name: content(good) for name, content in WRONG.items() if kind != "torch" or name not in TAKEN}
    for other in {"adamw", "muon", "sgd"} - {kind} if kind != "torch" else ():
        foreign, its_optimizer = make(other)
        train(foreign, its_optimizer, 1)
        save_checkpoint(foreign, its_optimizer, 1, path)
        wrong[f"saved by {other}"] = torch.load(path)
    again, its_optimizer = fresh()
    train(again, its_optimizer, 1, first=5)
    before = both_states(again, its_optimizer)
    for name, content in wrong.items():
        torch.save(content, path)
        try:
            load_checkpoint(path, again, its_optimizer)
        except ValueError as error:
            assert "\n" not in str(error), name
        else:
            pytest.fail(f"{name}: was loaded")
        assert_bits(before, both_states(again, its_optimizer))
    assert load_checkpoint(good_path, again, its_optimizer) == 1
    assert_same(weights(again), weights(model))
    train(model, optimizer, 1, first=9)
    train(again, its_optimizer, 1, first=9)
    assert_same(weights(again), weights(model))


@pytest.mark.parametrize(
    "name", ["another width", "no tensor", "sparse", "a weight is missing", "weights are no mapping"]
)
def test_without_an_optimizer_too(tmp_path, name):
    model, optimizer = make()
    save_checkpoint(model, optimizer, 1, tmp_path / "c.pt")
    torch.save(WRONG[name](torch.load(tmp_path / "c.pt")), tmp_path / "c.pt")
    again, _ = make()
    before = weights(again)
    with pytest.raises(ValueError, match="checkpoint is of"):
        load_checkpoint(tmp_path / "c.pt", again)
    assert_same(weights(again), before)


def test_a_failed_save_keeps_the_file_before(tmp_path, monkeypatch):
    model, optimizer = make()
    path = tmp_path / "c.pt"
    save_checkpoint(model, optimizer, 1, path)

    def full(content, file):
        file.write(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(model, optimizer, 2, path)
    monkeypatch.undo()
    assert load_checkpoint(path, model, optimizer) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_a_snapshot_holds_everything_to_the_bit(tmp_path, kind):
    model, optimizer = make(kind)
    train(model, optimizer, 3)
    rng = {"cpu": torch.get_rng_state()}
    extra = {"seconds": 0.1 + 0.2, "data": {"epoch": 1, "position": 5}}
    RunCheckpoints(tmp_path).save(Snapshot(3, model.state_dict(), optimizer.state_dict(), rng, extra))
    loaded = RunCheckpoints(tmp_path).load()
    assert (loaded.step, loaded.extra) == (3, extra)
    assert_same(loaded.rng, rng)
    again, its_optimizer = make(kind)
    again.load_state_dict(loaded.weights)
    its_optimizer.load_state_dict(loaded.optimizer)
    assert its_optimizer.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    train(model, optimizer, 2)
    train(again, its_optimizer, 2)
    assert_same(weights(again), weights(model))


def snapshot(step):
    return Snapshot(step, {"w": torch.full((1000,), float(step))}, rng={"cpu": torch.zeros(5, dtype=torch.uint8)})


def test_the_last_k_and_the_best_stay(tmp_path):
    checkpoints = RunCheckpoints(tmp_path, keep=2)
    for step in (10, 20, 30, 40):
        checkpoints.save(snapshot(step))
        if step in (10, 20):
            checkpoints.save_best(snapshot(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-00000020", "step-00000030", "step-00000040"]
    assert checkpoints.load("best").weights["w"][0] == 20
    assert checkpoints.load(30).step == 30
    with pytest.raises(FileNotFoundError, match="no checkpoint '10'; it has: step-00000030, step-00000040"):
        checkpoints.load(10)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[-50] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path, name, damage):
    checkpoints = RunCheckpoints(tmp_path)
    checkpoints.save(snapshot(1))
    checkpoints.save(snapshot(2))
    path = checkpoints.path(2) / name
    before = path.read_bytes()
    damage(path)
    if name == "state.json" and damage is flip:
        path.write_bytes(before.replace(b'"step"', b'"stop"'))
    with pytest.warns(UserWarning, match="skipping a checkpoint: .*step-00000002"):
        assert checkpoints.load().step == 1
    with pytest.raises(BadCheckpointError, match="step-00000002"):
        checkpoints.load(2)


def test_no_good_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        RunCheckpoints(tmp_path / "none").load()


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    checkpoints = RunCheckpoints(tmp_path, keep=1)
    checkpoints.save(snapshot(1))

    def full(tensors, path):
        path.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cs336_lib.training.checkpoints.files.save_file", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(snapshot(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoints.load().step == 1


def test_writing_a_step_again_replaces_it_and_leftovers_go(tmp_path):
    checkpoints = RunCheckpoints(tmp_path)
    checkpoints.save(snapshot(1))
    shutil.copytree(checkpoints.path(1), tmp_path / ".step-00000002.abcd.part")
    checkpoints.save(Snapshot(1, {"w": torch.zeros(1)}))
    checkpoints.save(snapshot(2))
    assert checkpoints.load(1).weights["w"].tolist() == [0.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_no_altered_byte_of_one_file_is_loaded(tmp_path):
    """Bytes of tensors and of everything around them; torch itself loads most of the former without a word."""
    model, optimizer = make()
    train(model, optimizer, 1)
    good = tmp_path / "good.pt"
    save_checkpoint(model, optimizer, 1, good)
    raw, before = good.read_bytes(), weights(model)
    refused = {"a path": 0, "an open file": 0}
    for place in range(len(raw) // 16, len(raw), len(raw) // 16):
        altered = bytearray(raw)
        altered[place] ^= 0x10
        (tmp_path / "bad.pt").write_bytes(altered)
        for way, source in (("a path", tmp_path / "bad.pt"), ("an open file", io.BytesIO(altered))):
            try:
                load_checkpoint(source, model, optimizer)
            except ValueError as error:
                refused[way] += 1
                assert ("bad.pt" if way == "a path" else "the file is damaged") in str(error)
            assert_same(weights(model), before)  # bytes between the parts mean nothing, and may be anything
    assert refused["a path"] == refused["an open file"] > 10


def test_an_open_file_is_read_from_where_it_is():
    model, optimizer = make()
    file = io.BytesIO()
    file.write(b"what another program wrote")
    start = file.tell()
    save_checkpoint(model, optimizer, 3, file)
    file.seek(start)
    assert load_checkpoint(file, model, optimizer) == 3


class Kind(enum.IntEnum):
    one = 1


class WithMore(torch.nn.Module):
    def __init__(self, more):
        super().__init__()
        self.more = more

    def get_extra_state(self):
        return self.more


NUMPY = {
    "lr": lambda params: AdamW(params, lr=np.logspace(-4, -2, 3)[1]),
    "float32": lambda params: AdamW(params, lr=np.float32(0.5), eps=np.float16(0.5), weight_decay=np.array(0.5)),
    "a tensor": lambda params: AdamW(params, lr=torch.tensor(0.5), weight_decay=torch.tensor(0.25)),
    "betas": lambda params: AdamW(params, betas=tuple(np.array([0.5, 0.75]))),
    "an array of betas": lambda params: AdamW(params, betas=np.array([0.5, 0.75])),
    "a group": lambda params: AdamW([{"params": list(params), "lr": np.float64(0.5)}]),
    "SGD": lambda params: SGD(params, lr=np.float64(0.5)),
    "Muon": lambda params: Muon([p for p in params if p.ndim == 2], lr=np.float64(0.5), ns_steps=np.int64(2)),
    "torch": lambda params: torch.optim.AdamW(params, lr=np.float64(0.5), betas=tuple(np.array([0.5, 0.75]))),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numbers_of_numpy_are_saved_as_pythons(name, tmp_path):
    """And those that a user sets later, as a schedule of them does."""
    model = TransformerLM(TINY)
    optimizer = NUMPY[name](model.parameters())
    optimizer.param_groups[0]["note"] = {"deep": [np.int8(1), (np.bool_(True), np.str_("a"))], np.int64(2): None}
    train(model, optimizer, 1)
    save_checkpoint(model, optimizer, np.int64(7), tmp_path / "c.pt")
    again = NUMPY[name](TransformerLM(TINY).parameters())
    assert load_checkpoint(tmp_path / "c.pt", TransformerLM(TINY), again) == 7
    for saved, own in zip(again.param_groups, optimizer.param_groups, strict=True):
        assert {**saved, "params": 0} == {**own, "params": 0}
    if name != "torch":
        assert "np." not in repr([{**group, "params": 0, "note": 0} for group in optimizer.param_groups])


@pytest.mark.parametrize("schedule", [cosine_schedule, wsd_schedule], ids=lambda schedule: schedule.__name__)
def test_a_schedule_gives_numbers_of_python(schedule):
    rest = (2, 6) if schedule is cosine_schedule else (2, 3, 8)
    for step in range(10):
        found = schedule(np.int64(step), np.float32(0.5), np.float64(0.25), *map(np.uint8, rest))
        assert type(found) is float and found == schedule(step, 0.5, 0.25, *rest)


UNREADABLE = [object(), len, np.zeros(2), Path("a"), Kind.one, {Kind.one}, [(Kind.one,)], np.datetime64(1, "s")]


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: type(value).__name__)
def test_what_could_not_be_read_again_is_refused_before_the_good_one_goes(value, tmp_path):
    model, optimizer = make()
    save_checkpoint(model, optimizer, 1, tmp_path / "c.pt")
    before = (tmp_path / "c.pt").read_bytes()
    optimizer.param_groups[0]["lr"] = [{"deep": value}]
    with pytest.raises(TypeError, match=r"^optimizer\.param_groups\[0\]\.lr\[0\]\.deep.* is .*load_checkpoint reads"):
        save_checkpoint(model, optimizer, 2, tmp_path / "c.pt")
    with pytest.raises(TypeError, match=r"^model\._extra_state.* is "):
        save_checkpoint(WithMore(value), SGD(model.parameters()), 2, tmp_path / "c.pt")
    for wrong in (1.5, "2", None, True):
        with pytest.raises(TypeError, match="iteration must be a whole number"):
            save_checkpoint(*make(), wrong, tmp_path / "c.pt")
    assert (tmp_path / "c.pt").read_bytes() == before and load_checkpoint(tmp_path / "c.pt", make()[0]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
    st.integers(0, 255).map(np.uint8), st.integers(-9, 9).map(np.int64), st.booleans().map(np.bool_),
    st.floats(width=32, allow_nan=False).map(np.float32), st.floats(allow_nan=False).map(np.longdouble),
    st.integers(0, 9).map(np.array),
)  # fmt: skip
KEYS = st.text() | st.integers(0, 200) | st.integers(0, 200).map(np.uint8)
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=10
)


@settings(deadline=None, max_examples=40)
@given(value=NESTED)
def test_whatever_plain_values_are_saved_are_read_again(value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    model, optimizer = torch.nn.Linear(1, 1), SGD([torch.nn.Parameter(torch.ones(1))])
    optimizer.param_groups[0]["note"] = value
    save_checkpoint(model, optimizer, 1, folder / "c.pt")
    again = SGD([torch.nn.Parameter(torch.ones(1))])
    load_checkpoint(folder / "c.pt", model, again)
    assert again.param_groups[0]["note"] == value
    checkpoints = RunCheckpoints(folder / "run")
    checkpoints.save(Snapshot(1, {"w": torch.ones(1)}, extra={"note": value}))
    checkpoints.load()


def test_a_run_checkpoint_says_what_json_can_not_hold_and_keeps_the_last_one(tmp_path):
    checkpoints = RunCheckpoints(tmp_path)
    checkpoints.save(Snapshot(1, {"w": torch.ones(1)}, extra={"sums": {9: np.float32(0.5), 10: (np.int64(2),)}}))
    for wrong, where in (
        ({"extra": {"a": [np.zeros(2)]}}, r"extra\.a\[0\] is array"),
        ({"optimizer": {"state": {0: {"kind": object()}}, "param_groups": []}}, r"optimizer\.state\.0\.kind is "),
        ({"optimizer": {"state": {}, "param_groups": [{"lr": {1}}]}}, r"optimizer\.param_groups\[0\]\.lr is \{1\}"),
        ({"rng": {"numpy": np.zeros(2)}}, r"rng\.numpy is array"),
        ({"weights": {"w": [1.0]}}, r"w is \[1\.0\]"),
        ({"step": 2.0}, "step must be a whole number"),
    ):
        with pytest.raises(TypeError, match=where):
            checkpoints.save(Snapshot(**{"step": 2, "weights": {"w": torch.ones(1)}, **wrong}))
    assert checkpoints.load().extra == {"sums": {"9": 0.5, "10": [2]}}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_run_of_very_many_steps_finds_its_checkpoints(tmp_path):
    checkpoints = RunCheckpoints(tmp_path)
    for step in (99_999_999, 100_000_000):
        checkpoints.save(Snapshot(step, {"w": torch.ones(1)}))
    assert checkpoints.steps() == [99_999_999, 100_000_000] and checkpoints.load().step == 100_000_000


def test_checkpoints_are_found_when_the_process_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = RunCheckpoints("run/checkpoints")
    checkpoints.save(Snapshot(1, {"w": torch.ones(1)}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert checkpoints.load().step == 1
    with pytest.raises(FileNotFoundError, match=r"^run/checkpoints has no checkpoint '9'"):
        checkpoints.load(9)
