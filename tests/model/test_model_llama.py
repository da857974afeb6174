import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from cs336_lib import bpe
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.model.llama import from_hf_llama, to_hf_llama

CONFIG = ModelConfig(300, context_length=40, d_model=48, num_layers=3, num_heads=4, d_ff=72, rope_theta=5_000.0)


def model_of(dtype=torch.float32, **changes):
    model = TransformerLM(CONFIG.replace(**changes), dtype=dtype)
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1.0, std=0.3)
    return model


@pytest.fixture
def ids():
    return torch.randint(300, (2, 40))


TIED = {
    "untied": {},
    "scaled": {"tie_embeddings": True},
    "plain": {"tie_embeddings": True, "tied_lookup": "plain"},
}


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-6), (torch.bfloat16, 0.03)])
def test_transformers_opens_an_export_and_computes_the_same_logits(tmp_path, ids, tied, backend, dtype, tolerance):
    model = model_of(dtype, backend=backend, **TIED[tied])
    to_hf_llama(model, tmp_path / "new" / "folder")
    llama = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "new" / "folder")
    assert type(llama) is transformers.LlamaForCausalLM
    assert llama.dtype == dtype
    assert (llama.lm_head.weight is llama.model.embed_tokens.weight) == (tied == "plain")
    with torch.no_grad():
        ours, theirs = model(ids).double(), llama(ids).logits.double()
    assert (ours - theirs).abs().max() <= tolerance * ours.abs().max()


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_round_trip_gives_every_bit_back(tmp_path, ids, tied, dtype):
    model = model_of(dtype, **TIED[tied])
    copy = from_hf_llama(to_hf_llama(model, tmp_path))
    assert copy.config == model.config
    assert {k: v.dtype for k, v in copy.state_dict().items()} == {k: v.dtype for k, v in model.state_dict().items()}
    assert torch.equal(copy(ids), model(ids))


def test_a_scaled_tied_table_that_others_trained_on_comes_back_as_two_matrices(tmp_path, ids):
    llama = transformers.AutoModelForCausalLM.from_pretrained(to_hf_llama(model_of(tie_embeddings=True), tmp_path))
    with torch.no_grad():
        llama.model.embed_tokens.weight[3] += 1.0  # as a step of training would, which knows nothing of one table
    llama.save_pretrained(tmp_path)
    model = from_hf_llama(tmp_path)
    assert not model.config.tie_embeddings
    with torch.no_grad():
        torch.testing.assert_close(model(ids), llama(ids).logits, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", [False, True])
def test_a_checkpoint_written_by_transformers_is_read(tmp_path, ids, tied, shards):
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=48,
        intermediate_size=72,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=40,
        rms_norm_eps=1e-6,
        tie_word_embeddings=tied,
    )
    llama = transformers.LlamaForCausalLM(config)
    llama.save_pretrained(tmp_path, max_shard_size="40KB" if shards else "1GB")
    assert (tmp_path / "model.safetensors").exists() != shards
    model = from_hf_llama(tmp_path, backend="fast")
    assert (model.config.norm_eps, model.config.backend, model.config.d_ff) == (1e-6, "fast", 72)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), llama(ids).logits, rtol=1e-4, atol=2e-6)


def test_generation_by_transformers_continues_as_ours_does(tmp_path):
    model, prompt = model_of(), torch.randint(300, (1, 5))
    llama = transformers.AutoModelForCausalLM.from_pretrained(to_hf_llama(model, tmp_path))
    theirs = llama.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=30, pad_token_id=0
    )
    ours = prompt
    for _ in range(30):
        ours = torch.cat((ours, model(ours)[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(ours, theirs)  # 35 tokens: ids 1 and 2 are ordinary and end nothing


class ByteTokenizer:
    """A tokenizer of bytes and one special token, with the method that the library's has."""

    def __init__(self, special="<|endoftext|>"):
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        self.hf = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(alphabet))}, []))
        self.hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.hf.decoder = decoders.ByteLevel()
        self.hf.add_special_tokens([AddedToken(special, special=True)])

    def to_hf_json(self, path):
        self.hf.save(str(path))


def test_the_tokenizer_comes_along_and_names_the_end_of_text(tmp_path):
    tokenizer = ByteTokenizer()
    to_hf_llama(model_of(), tmp_path, tokenizer)
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = " Once  upon\r\na time\u00e9\U0001f600<|endoftext|>The"
    assert opened(text)["input_ids"] == tokenizer.hf.encode(text).ids
    assert opened.decode(tokenizer.hf.encode(text).ids) == text
    assert opened.eos_token_id == 256
    assert transformers.AutoConfig.from_pretrained(tmp_path).eos_token_id == 256


def test_a_tokenizer_without_end_of_text_sets_none(tmp_path):
    to_hf_llama(model_of(), tmp_path, ByteTokenizer(special="<|pad|>"))
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] is None


def test_a_tokenizer_too_large_is_refused_and_the_earlier_export_stays(tmp_path):
    to_hf_llama(model_of(vocab_size=257), tmp_path, ByteTokenizer())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="the tokenizer has ids up to 256, the model's vocab_size is 200"):
        to_hf_llama(model_of(vocab_size=200), tmp_path, ByteTokenizer())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_earlier_export_and_no_rubbish(tmp_path, monkeypatch):
    to_hf_llama(model_of(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(weights, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cs336_lib.model.llama.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        to_hf_llama(model_of(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("again", ["with a tokenizer", "without"])
@pytest.mark.parametrize("before", ["nothing", "a model", "a model and a tokenizer"])
def test_what_a_killed_export_leaves_can_be_exported_over(tmp_path, disk, before, again):
    """Before each of its changes of the folder; the second time leaves what an undisturbed export does."""
    letters = {i: bytes([i]) for i in range(256)}
    old, new = bpe.Tokenizer(letters, [], ["<a>"]), bpe.Tokenizer(letters, [], ["<|endoftext|>", "<b>"])
    model = model_of()

    def begun(name):
        if before != "nothing":
            to_hf_llama(model_of(), tmp_path / name, old if before == "a model and a tokenizer" else None)
        return lambda: to_hf_llama(model, tmp_path / name, new if again == "with a tokenizer" else None)

    changes = disk.changes(begun("whole"))
    assert changes >= 2
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for number in range(changes):
        export = begun(str(number))
        disk.killed_at(number, export)
        export()
        found = {path.name: path.read_bytes() for path in (tmp_path / str(number)).iterdir()}
        assert {name: content for name, content in found.items() if not name.startswith(".")} == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "post"}, "Llama has norm='pre', this model has norm='post'"),
        ({"position": "none"}, "Llama has position='rope', this model has position='none'"),
        ({"ffn": "silu"}, "Llama has ffn='swiglu'"),
        ({"qk_norm": True}, "Llama has qk_norm=False"),
    ],
)
def test_what_llama_cannot_express_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        to_hf_llama(model_of(**changes), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "gpt2", "model_type='gpt2'; only 'llama'"),
        ("num_key_value_heads", 2, "num_key_value_heads=2; this model has 4 and nothing else"),
        ("head_dim", 64, "head_dim=64; this model has 12"),
        ("attention_bias", True, "attention_bias=True"),
        ("hidden_act", "gelu", "hidden_act='gelu'"),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": 5e5}, "rope_type='llama3'"),
        ("num_hidden_layers", 4, r"missing \['model.layers.3.*unknown \[\]"),
        ("num_hidden_layers", 2, r"missing \[\], unknown \['model.layers.2"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, key, value, message):
    to_hf_llama(model_of(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=message):
        from_hf_llama(tmp_path)


def test_missing_files_are_named_and_pickles_are_not_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        from_hf_llama(tmp_path)
    to_hf_llama(model_of(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        from_hf_llama(tmp_path)


def test_config_of_transformers_4_is_read(tmp_path, ids):
    model = model_of()
    to_hf_llama(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rope_parameters"], config["head_dim"], config["num_key_value_heads"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {**weights, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6)}, tmp_path / "model.safetensors"
    )
    assert torch.equal(from_hf_llama(tmp_path)(ids), model(ids))


def altered(folder, **changes):
    """An export whose config differs; None takes a key away."""
    to_hf_llama(model_of(), folder)
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "has no hidden_size"),
        ({"vocab_size": "257"}, "vocab_size='257'; it must be a whole number"),
        ({"num_attention_heads": 0}, "num_attention_heads=0; it must be a whole number, 1 or more"),
        ({"hidden_size": 49}, "does not divide hidden_size=49"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps='small'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type='linear' in rope_scaling"),
        ({"rope_scaling": {"rope_type": "default", "rope_theta": 7.0}}, "two values of rope_theta"),
        ({"rope_parameters": [1]}, r"rope_parameters=\[1\]; it must be an object"),
        ({"rope_parameters": {"rope_theta": "big"}}, "rope_theta='big'"),
        ({"intermediate_size": 7}, r"has the shape .* and its config.json makes that"),
        ({"vocab_size": 301}, r"model.embed_tokens.weight has the shape"),
    ],
)
def test_a_config_that_can_not_be_is_named_with_its_key(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as told:
        from_hf_llama(altered(tmp_path, **changes))
    assert str(tmp_path) in str(told.value)


def test_a_config_with_a_mark_or_without_an_epsilon_is_read(tmp_path, ids):
    altered(tmp_path, rms_norm_eps=None)
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "config.json").read_bytes())
    assert from_hf_llama(tmp_path).config.norm_eps == 1e-6
    theirs = transformers.LlamaForCausalLM.from_pretrained(altered(tmp_path / "theirs", rms_norm_eps=None))
    torch.testing.assert_close(from_hf_llama(tmp_path / "theirs")(ids), theirs(ids).logits)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "holds no tensors that can be read"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\xff" * 100, "cut off or altered"),
    ],
)
def test_weights_that_are_none_are_told_in_words(tmp_path, raw, message):
    to_hf_llama(model_of(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"model.safetensors .*{message}"):
        from_hf_llama(tmp_path)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ({}, ValueError, "no weight_map"),
        ({"weight_map": {"a": 1}}, ValueError, "no weight_map"),
        ({"weight_map": {"a": "../x"}}, ValueError, "no file of its folder"),
        ({"weight_map": {"a": "part.safetensors"}}, FileNotFoundError, "lacks part.safetensors"),
    ],
)
def test_an_index_of_shards_is_checked(tmp_path, index, error, message):
    to_hf_llama(model_of(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(error, match=message):
        from_hf_llama(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "download it, or save the model there"),
        (("pytorch_model.bin",), "pytorch_model.bin is a pickle, which is not read"),
        (("model.fp16.safetensors", "x.bin"), "model.fp16.safetensors lies there: .* name a copy of it model.safet"),
        (
            ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
            "lie there, without the model.safetensors.index.json",
        ),
        (("model.safetensors/",), "no model.safetensors that is a file"),
    ],
)
def test_what_lies_in_place_of_the_weights_is_named(tmp_path, names, message):
    to_hf_llama(model_of(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for name in names:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=message):
        from_hf_llama(tmp_path)


def test_mixed_types_are_read_in_the_widest(tmp_path):
    to_hf_llama(model_of(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    half = {**weights, "model.embed_tokens.weight": weights["model.embed_tokens.weight"].bfloat16()}
    save_file(half, tmp_path / "model.safetensors")
    read = from_hf_llama(tmp_path)
    assert torch.equal(read.lm_head.weight, weights["lm_head.weight"])
    assert read.token_embeddings.weight.dtype == torch.float32
    save_file({**weights, "lm_head.weight": weights["lm_head.weight"].to(torch.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lm_head.weight is of type int8; quantized weights can't be read"):
        from_hf_llama(tmp_path)


def test_a_tied_head_that_differs_is_kept_as_transformers_keeps_it(tmp_path, ids):
    altered(tmp_path, tie_word_embeddings=True)
    with pytest.warns(UserWarning, match="ties the head to the embeddings, but lm_head.weight differs"):
        read = from_hf_llama(tmp_path)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(read(ids), theirs(ids).logits)


def test_layers_that_share_weights_are_exported(tmp_path, ids):
    model = model_of()
    model.layers[1].ffn.w1.weight = model.layers[0].ffn.w1.weight
    assert torch.equal(from_hf_llama(to_hf_llama(model, tmp_path))(ids), model(ids))


def test_an_export_onto_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; name a folder"):
        to_hf_llama(model_of(), tmp_path / "out")


LLAMA = {
    **{"vocab_size": 300, "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 1},
    **{"num_attention_heads": 4, "max_position_embeddings": 40},
}


def of_transformers(folder):
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).save_pretrained(folder)


def export_trained_on(folder):
    to_hf_llama(model_of(), folder)
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)


def of_another_kind(folder):
    (folder / "config.json").write_text('{"model_type": "qwen2", "vocab_size": 300}')
    save_file({"model.embed_tokens.weight": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})


def weights_replaced(folder):
    to_hf_llama(model_of(), folder)
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer_replaced(folder):
    to_hf_llama(model_of(), folder, ByteTokenizer())
    ByteTokenizer(special="<|mine|>").to_hf_json(folder / "tokenizer.json")


def tokenizer_config_changed(folder):
    to_hf_llama(model_of(), folder, ByteTokenizer())
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": "{{ messages }}"}))


def beside_an_export(name):
    def made(folder):
        to_hf_llama(model_of(), folder)
        (folder / name).write_text('{"eos_token_id": 2}')

    made.__name__ = name
    return made


FOREIGN = [
    *(of_transformers, export_trained_on, of_another_kind, weights_replaced, tokenizer_replaced),
    tokenizer_config_changed,
    *map(beside_an_export, ("generation_config.json", "tokenizer.json", "tokenizer_config.json")),
    *map(beside_an_export, ("adapter_config.json", "vocab.json", "model.safetensors.index.json")),
]


@pytest.mark.parametrize("with_tokenizer", [False, True])
@pytest.mark.parametrize("made", FOREIGN, ids=lambda made: made.__name__)
def test_what_no_export_wrote_is_not_replaced(tmp_path, made, with_tokenizer):
    made(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=r"is of no exported model, and .* another folder") as told:
        to_hf_llama(model_of(), tmp_path, ByteTokenizer() if with_tokenizer else None)
    assert str(tmp_path) in str(told.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def as_an_earlier_version(folder):
    """Take away what exports of before 0.2.0 did not have."""
    config = json.loads((folder / "config.json").read_text())
    del config["cs336_export"]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("tied", TIED)
@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_an_export_takes_the_place_of_an_earlier_one_whole(tmp_path, ids, tied, earlier, before, after):
    to_hf_llama(model_of(**TIED[tied]), tmp_path, ByteTokenizer() if before else None)
    (tmp_path / "README.md").write_text("mine")
    if earlier:
        as_an_earlier_version(tmp_path)
    model = model_of(vocab_size=290)
    to_hf_llama(model, tmp_path, ByteTokenizer() if after else None)
    tokenizer = ["tokenizer.json", "tokenizer_config.json"] if after else []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("README.md", "config.json", "model.safetensors", *tokenizer)
    ]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ends = 256 if after else None
    assert theirs.config.eos_token_id == theirs.generation_config.eos_token_id == ends
    assert theirs.config.bos_token_id == theirs.generation_config.bos_token_id == ends
    torch.testing.assert_close(theirs(ids % 290).logits, model(ids % 290), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("content", ['{"model": {}, "name": "run"}', "[]", "{", ""])
def test_a_config_of_something_else_is_not_overwritten(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(FileExistsError, match=r"config\.json is of no exported model, and would be overwritten"):
        to_hf_llama(model_of(), tmp_path)
    assert (tmp_path / "config.json").read_text() == content and len(list(tmp_path.iterdir())) == 1


def test_a_tokenizers_folder_is_not_overwritten_and_an_export_is(tmp_path):
    tokenizer = bpe.Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
    tokenizer.save(tmp_path / "tokenizer")
    with pytest.raises(FileExistsError, match=r"tokenizer_config\.json is of no exported model"):
        to_hf_llama(model_of(), tmp_path / "tokenizer")
    assert bpe.Tokenizer.from_folder(tmp_path / "tokenizer").fingerprint == tokenizer.fingerprint
    model = model_of(vocab_size=300)
    to_hf_llama(model, tmp_path / "out", tokenizer)
    (tmp_path / "out/config.json").unlink()  # as a kill between two names may leave it
    for _ in range(2):
        to_hf_llama(model, tmp_path / "out", tokenizer)
