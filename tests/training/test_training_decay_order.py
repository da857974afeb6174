"""A run says in which order it decays weights; one from before there was a choice goes on as it was; none are mixed."""

import json

import pytest
import torch
from training_setup import CONFIG, corpus, write_sample

from cs336_lib.optim import AdamW
from cs336_lib.training import RunRecord, TrainConfig, Trainer, load_checkpoint, save_checkpoint
from cs336_lib.training.checkpoints.files import STATE
from cs336_lib.training.checkpoints.run import RunCheckpoints

LAST = CONFIG.replace(decay_order="last", weight_decay=0.5)


def trainer(folder, config=LAST):
    return Trainer(config, folder, corpus(), write_sample=write_sample, progress=False)


def resume(folder):
    return Trainer.resume(folder, corpus(), write_sample=write_sample, progress=False)


def stop_at(one, step):
    """Train up to a step, whose checkpoint is the last thing that the run writes."""
    inner = one._train_step

    def step_or_stop():
        if one.step == step:
            raise ZeroDivisionError
        return inner()

    one._train_step = step_or_stop
    with pytest.raises(ZeroDivisionError):
        one.fit()


def weights(folder):
    return RunCheckpoints(folder / "checkpoints").load("last").weights


def make_old(folder):
    """Take the key out of everything that a run has written."""
    removed = 0
    for path in (folder / "config.json", *folder.glob(f"checkpoints/*/{STATE}")):
        content = json.loads(path.read_text())
        of_optimizer = content["optimizer"] if path.name == STATE else None
        for holder in of_optimizer["param_groups"] if of_optimizer else [content]:
            removed += holder.pop("decay_order", None) is not None
        content.pop("state_sha256", None)  # version 0.1 had none either
        path.write_text(json.dumps(content))
    assert removed >= 2


def test_records_and_checkpoints_say_which(tmp_path):
    stop_at(trainer(tmp_path / "run"), 14)
    assert json.loads((tmp_path / "run/config.json").read_text())["decay_order"] == "last"
    state = RunCheckpoints(tmp_path / "run/checkpoints").load("last").optimizer
    assert {group["decay_order"] for group in state["param_groups"]} == {"last"}


def test_an_old_run_goes_on_as_it_was_to_the_bit(tmp_path):
    trainer(tmp_path / "whole").fit()
    stop_at(trainer(tmp_path / "old"), 14)
    make_old(tmp_path / "old")
    again = resume(tmp_path / "old")
    assert again.step == 14 and again.config.decay_order == "last"
    again.fit()
    old, whole = weights(tmp_path / "old"), weights(tmp_path / "whole")
    assert all(torch.equal(old[name], whole[name]) for name in whole)


def test_the_orders_differ_by_about_the_decays_part_of_the_progress(tmp_path):
    """Decaying last also shortens the update by 1 - lr weight_decay, here by half a percent."""
    trainer(tmp_path / "last").fit()
    trainer(tmp_path / "first", LAST.replace(decay_order="first")).fit()
    first, last = (RunRecord(tmp_path / name).last("valid_loss") for name in ("first", "last"))
    assert 0 < last - first < 0.02


def test_resuming_in_the_other_order_is_refused_in_one_line(tmp_path):
    stop_at(trainer(tmp_path / "run"), 14)
    config = tmp_path / "run/config.json"
    config.write_text(config.read_text().replace('"decay_order": "last"', '"decay_order": "first"'))
    with pytest.raises(ValueError, match=r"config.json says decay_order = .*saved with 'last'") as told:
        resume(tmp_path / "run")
    assert "\n" not in str(told.value)


def test_an_old_config_is_read_as_last_and_a_new_one_says_it():
    old = json.loads(CONFIG.to_json())
    del old["decay_order"]
    assert TrainConfig.from_json(json.dumps(old)) == CONFIG.replace(decay_order="last")
    assert TrainConfig.from_json(CONFIG.to_json()).decay_order == "first" == TrainConfig(CONFIG.model).decay_order


def test_the_assignments_checkpoint_too(tmp_path):
    def made(order):
        model = torch.nn.Linear(2, 2)
        return model, AdamW(model.parameters(), decay_order=order)

    save_checkpoint(*made("last"), 7, tmp_path / "file.pt")
    assert load_checkpoint(tmp_path / "file.pt", *made("last")) == 7
    with pytest.raises(ValueError, match="saved with decay_order='last'"):
        load_checkpoint(tmp_path / "file.pt", *made("first"))
