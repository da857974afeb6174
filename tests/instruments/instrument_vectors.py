"""What the Python library says, for the modules of the instruments to say again in node."""

import json
import math
import random
from collections import Counter
from decimal import ROUND_HALF_UP, Context, Decimal

import regex
import torch
from bpe_old_split import old_split_merges
from mpmath import mp

from cs336_lib import accounting as acc
from cs336_lib.accounting import report
from cs336_lib.accounting.activations import own_list
from cs336_lib.bpe import PAT, Tokenizer, train_bpe
from cs336_lib.bpe.utf8 import classify
from cs336_lib.figures.instruments.data import PAYLOADS, STORED
from cs336_lib.figures.style import COLORS, DASHES, looks
from cs336_lib.generation import SamplingConfig, distribution
from cs336_lib.generation.sampling import draw
from cs336_lib.model import ModelConfig, RotaryEmbedding, TransformerLM
from cs336_lib.model.config import PRESETS
from cs336_lib.optim import SGD, cosine_schedule, schedules, wsd_schedule
from cs336_lib.results import folder
from cs336_lib.training import RunRecord

TOKENIZERS = ("tales", "tinystories-10k", "owt-32k", "gpt2")
ASCII = [chr(point) for point in range(0x80)]
ODD = [
    *"aaab '' sdmt ll ve re  \n\t\r0129!?-_",
    "\u0085",
    "\ufeff",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\u001c",
    "e\u0301",
    "\u0130",
]


def random_string(rng):
    """A string over all of Unicode, most of them with the runs and blanks that the pattern turns on."""
    kind = rng.randrange(4)
    length = rng.choice((0, 1, 2, 5, 12, 40))
    if kind == 0:
        points = (rng.randrange(0x110000) for _ in range(length))
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
    if kind == 1:
        return "".join(rng.choice(ODD) for _ in range(length))
    if kind == 2:
        pool = [
            "It's",
            "we'll",
            " don't",
            "the",
            " bear",
            "  ",
            "\n\n",
            "<|endoftext|>",
            "123",
            "4",
            "naïve",
            "你好",
            "😀",
            "---",
        ]
        return "".join(rng.choice(pool) for _ in range(length))
    return "".join(rng.choice(ASCII) if rng.random() < 0.7 else chr(rng.randrange(0xA0, 0x3000)) for _ in range(length))


def random_bytes(rng):
    """Bytes, most of them not UTF-8, many of them nearly."""
    kind = rng.randrange(3)
    length = rng.choice((0, 1, 2, 3, 4, 6, 20))
    if kind == 0:
        return rng.randbytes(length)
    if kind == 1:
        return bytes(
            rng.choice((0x20, 0x41, 0x27, 0x73, 0x80, 0xA0, 0xBF, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xFF, 0x90))
            for _ in range(length)
        )
    data = bytearray(random_string(rng).encode())
    for _ in range(rng.randrange(3)):
        if data:
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                del data[at]
            else:
                data[at] = rng.randrange(256)
    return bytes(data)


def rebuilt(name):
    """A tokenizer of the library from the compact form that pages load."""
    import base64

    import numpy as np

    stored = PAYLOADS[name]()
    tokens = {token_id: bytes([byte]) for byte, token_id in enumerate(stored["bytes"])}
    merges = []
    pairs = np.frombuffer(base64.b64decode(stored["merges"]), "<u2").reshape(-1, 2).tolist()
    for rank, (left, right) in enumerate(pairs):
        merges.append((tokens[left], tokens[right]))
        tokens[stored["first_merge"] + rank] = tokens[left] + tokens[right]
    for text, token_id in stored["specials"].items():
        tokens[token_id] = text.encode()
    return Tokenizer(tokens, merges, list(stored["specials"]))


def text_vectors(count):
    rng = random.Random(22)
    tokenizers = {name: rebuilt(name) for name in TOKENIZERS}
    strings = [random_string(rng) for _ in range(count)]
    byte_strings = [random_bytes(rng) for _ in range(count)]

    def pretokens(data):
        symbols = data.decode("utf-8", "surrogateescape")
        return [len(m.encode("utf-8", "surrogateescape")) for m in regex.findall(PAT, symbols)]

    return {
        "strings": [
            {
                "text": text,
                "utf8": text.encode().hex(),
                "utf16": text.encode("utf-16-be").hex(),
                "utf32": text.encode("utf-32-be").hex(),
                "ids": {name: tokenizer.encode(text) for name, tokenizer in tokenizers.items()},
            }
            for text in strings
        ],
        "bytes": [
            {
                "hex": data.hex(),
                "verdict": classify(data).name,
                "replaced": data.decode("utf-8", "replace"),
                "pretokens": pretokens(data),
                "ids": {name: t.encode_to_array(data).tolist() for name, t in tokenizers.items()},
            }
            for data in byte_strings
        ],
        "long": [
            {"text": text, "ids": {name: tokenizer.encode(text) for name, tokenizer in tokenizers.items()}}
            for text in ("a" * 3000, "-" * 2000, "ab" * 1500, "hahaha" * 400, "=-" * 900, "\u00c3\u00c2" * 800)
        ],
    }


def number_vectors(count=3_000):
    """Doubles of every size, and how a reader sees them: rounded by decimal arithmetic, a half away from zero."""
    rng = random.Random(17)
    values = [2.258e12, 1.999e-4, 999_999, 999_950, 9_999.6, 9_996, 0.0009996, 0.00099951, 999_999_999, 0.1 + 0.2]
    values += [
        1.7976931348623157e308,
        5e-324,
        0,
        1,
        7,
        1000,
        12_345,
        0.1,
        1e-3,
        1e4,
        1e6,
        1e9,
        1e21,
        9_007_199_254_740_991,
    ]
    values += [10 ** rng.uniform(-12, 15) for _ in range(count)] + [
        rng.randrange(10 ** rng.randrange(1, 12)) for _ in range(count)
    ]
    values += [rng.choice((1.5, 9.995, 2.5, 99_950, 9.9995)) * 10.0 ** rng.randrange(-9, 12) for _ in range(200)]
    values += [-value for value in values[:200]]
    return [{"value": value, "short": in_short(value), "exact": to_six_digits(value)} for value in values]


def rounded(value, digits):
    return Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(Decimal(value))


def plain(number):
    """Digits without zeros behind the point."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_short(value):
    three, four = rounded(value, 3), rounded(value, 4)
    if not value:
        return "0"
    if abs(three) >= 10**9 or abs(three) < Decimal("0.001"):
        power = three.adjusted()
        return f"{plain(three.scaleb(-power))}e{power}"
    if abs(three) >= 10**6:
        return f"{plain(three / 10**6)}M"
    return f"{plain(three / 1000)}k" if abs(four) >= 10**4 else plain(four)


def to_six_digits(value):
    if value == int(value) and abs(value) < 1e21:
        return f"{int(value):,}"
    six = rounded(value, 6)
    if abs(six) < Decimal("1e-6") or abs(value) >= 1e21:
        power = six.adjusted()
        return f"{plain(six.scaleb(-power))}e{power}" if abs(value) > 1e-300 else "5e-324" if value > 0 else "-5e-324"
    return plain(Decimal(f"{six:f}")) if abs(six) < 1000 else grouped(plain(six))


def grouped(text):
    whole, _, part = text.partition(".")
    return f"{int(whole):,}" + (f".{part}" if part else "")


def cut_vectors(count=2_000):
    rng = random.Random(19)
    vectors = [
        {"hex": ("a" + "你" * 40).encode().hex(), "text": "a" + "😀" * 50, "most": most} for most in range(90, 99)
    ]
    for _ in range(count):
        text = random_string(rng)
        data = rng.choice((random_bytes(rng), text.encode()))
        vectors.append({"hex": data.hex(), "text": text, "most": rng.randrange(1, 1 + max(2, len(data), len(text)))})
    return vectors


def look_vectors():
    """What the figures of the library do with many runs, as places in their lists."""
    places = list(COLORS.values())
    names = [f"run {i}" for i in range(60)]
    given = [[places.index(color), DASHES.index(dashes)] for dashes, color in looks(names).values()]
    return [{"names": names, "colors": len(places), "looks": given, "dashes": len(DASHES)}]


def training_vectors(tmp_path, count=200):
    rng = random.Random(3)
    vectors = []
    for number in range(count):
        alphabet = rng.choice(("ab", "abc ", "the cat ", "aé你 ", "-="))
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(4, 120)))
        data = text.encode() if number % 3 else random_bytes(rng) * 3 + text.encode()
        path = tmp_path / "corpus.txt"
        path.write_bytes(data)
        merges = train_bpe(path, 256 + 20).merges if data else []
        words = Counter(
            m.encode("utf-8", "surrogateescape") for m in regex.findall(PAT, data.decode("utf-8", "surrogateescape"))
        )
        vectors.append(
            {
                "hex": data.hex(),
                "merges": [[left.hex(), right.hex()] for left, right in merges],
                "old_split": [[left.hex(), right.hex()] for left, right in old_split_merges(words, 6)],
            }
        )
    return vectors


def random_config(rng):
    heads, head_dim = rng.choice((1, 2, 3, 8, 25)), 2 * rng.randrange(1, 65)
    return ModelConfig(
        vocab_size=rng.randrange(1, 200_000),
        context_length=rng.randrange(1, 9_000),
        d_model=heads * head_dim,
        num_layers=rng.randrange(1, 100),
        num_heads=heads,
        d_ff=rng.choice((0, rng.randrange(1, 20_000))),
        norm=rng.choice(("pre", "post", "none")),
        position=rng.choice(("rope", "none")),
        ffn=rng.choice(("swiglu", "silu")),
        tie_embeddings=rng.random() < 0.5,
        qk_norm=rng.random() < 0.5,
        backend=rng.choice(("reference", "fast")),
    )


LISTS = {"handout": {}, "ungated": {"edition": "2025"}, "autograd": {"activations": "autograd"}}


def accounting_vectors(count=400):
    rng = random.Random(5)
    configs = [*PRESETS.values(), *(c.replace(ffn="silu", d_ff=4 * c.d_model) for c in PRESETS.values())]
    configs += [PRESETS["gpt2-xl"].replace(context_length=16_384), *(random_config(rng) for _ in range(count))]
    configs += [ModelConfig(1, 1, 2, 1, 1, d_ff=1), ModelConfig(1, 1, 1, 1, 1, d_ff=1, position="none", norm="none")]
    configs += [ModelConfig(10**9, 10**9, 10**6, 10**4, 10**3), ModelConfig(10**15, 1, 10**9, 10**9, 1, d_ff=10**12)]
    vectors = []
    for cfg in configs:
        batch = rng.choice((1, 2, 3, 32, 1024))
        device = rng.choice(list(acc.DEVICES))
        dtype = rng.choice(list(acc.DEVICES[device].peaks))
        mfu = rng.choice((0.5, 0.37, 1.0, 0.01))
        memory = acc.training_memory(cfg, batch)
        default = max(1, round(20 * acc.parameter_count(cfg).total / (batch * cfg.context_length)))
        steps = rng.choice((default, 400_000, 1))
        seconds = acc.training_time(cfg, steps, batch, device, mfu=mfu, dtype=dtype)
        autograd = acc.autograd_activations(cfg, batch_size=batch)
        vectors.append(
            {
                "config": cfg.to_dict(),
                "batch": batch,
                "parameters": strings(acc.parameter_count(cfg)),
                "flops": strings(acc.forward_flops(cfg, batch_size=batch)),
                "causal": strings(acc.forward_flops(cfg, batch_size=batch, attention="causal")),
                "training": str(acc.training_flops(cfg).total),
                "adamw": str(acc.adamw_flops(cfg)),
                "crossing": str(acc.crossing_context(cfg)),
                "handout": strings(acc.handout_activations(cfg, batch_size=batch)),
                "ungated": strings(acc.handout_activations(cfg, batch_size=batch, edition="2025")),
                "own_list": own_list(cfg).name,
                "autograd": strings(autograd),
                "memory": [str(x) for x in (memory.parameters, memory.gradients, memory.optimizer, memory.total)],
                "largest": {
                    how: [
                        str(acc.max_batch_size(cfg, gb * unit, **asked))
                        for gb in (16, 80)
                        for unit in (acc.GB, acc.GIB)
                    ]
                    for how, asked in LISTS.items()
                },
                "default_steps": default,
                "steps": steps,
                "device": device,
                "peak": acc.DEVICES[device].peak(dtype),
                "mfu": mfu,
                "seconds": seconds,
                "duration": report.duration(seconds),
                "size": report.size(memory.total),
                "text": report.text(cfg, batch_size=batch, device=device, dtype=dtype, mfu=mfu, steps=steps),
            }
        )
    bad = [
        {"num_heads": 7, "d_model": 512},
        {"num_heads": 3, "d_model": 9},
        {"d_model": 0},
        {"num_layers": -1},
        {"vocab_size": 1.5},
    ]
    impossible = []
    for change in bad:
        values = {**PRESETS["gpt2-small"].to_dict(), **change}
        try:
            ModelConfig.from_dict(values)
            raise AssertionError(change)
        except ValueError as error:
            impossible.append({"config": values, "says": str(error)})
    units = 1e-6, 1e-3, 1, 60, 3600, 86_400, 86_400 * 365.25
    counts = [rng.randrange(2 ** rng.randrange(1, 100)) for _ in range(1_000)]
    times = [
        0.0,
        *(unit * f for unit in units for f in (1, 1 - 1e-9, 0.99999, 0.99995, 0.9999, 0.994, 1.005, 2.675, 999)),
    ]
    durations = [[seconds, report.duration(seconds)] for seconds in times]
    sizes = [[str(count), report.size(count)] for count in counts]
    return {"counts": vectors, "impossible": impossible, "durations": durations, "sizes": sizes}


def cluster_vectors(count=300):
    rng = random.Random(11)
    vectors = []
    for number in range(count):
        cfg, workers, strategy = random_config(rng), 2 ** rng.randrange(14), rng.choice(("ddp", "fsdp"))
        batch, rate, bandwidth = workers * rng.randrange(1, 40), 10 ** rng.uniform(1, 6), 10 ** rng.uniform(7, 12)
        if number % 10 == 0:  # the ends of the sliders and beyond
            workers = batch = rng.choice((1, 2**13))
            rate, bandwidth = rng.choice((1e-6, 1.0, 1e12)), rng.choice((1.25e8, 1.25e8 * 4000, 1e-3))
        point = acc.training_scaling(cfg, workers, rate, batch, bandwidth, strategy=strategy)
        tokens, price = 10 ** rng.randrange(6, 14), rng.choice((0.0, 2.0, 4.99))
        paid = acc.training_bill(tokens, rate, acc.Cluster("some", workers, price=price, source="-"), point.efficiency)
        vectors.append(
            {
                "config": cfg.to_dict(),
                "asked": [workers, rate, batch, bandwidth, strategy],
                "sent": acc.step_traffic(cfg, strategy, workers).sent,
                "step": [point.compute_seconds, point.communication_seconds, point.seconds, point.efficiency],
                "bought": [tokens, price],
                "paid": [paid.seconds, paid.worker_hours, paid.cost],
                "token_flops": acc.training_flops(cfg).total / cfg.context_length,
            }
        )
    return vectors


def strings(counts):
    return {name: str(count) for name, count in counts.items()}


def rounded_cosine(x):
    """The cosine of a double, correctly rounded."""
    with mp.workprec(200):
        return float(mp.cos(mp.mpf(x)))


def schedule_vectors(monkeypatch, count=4_000):
    rng = random.Random(7)
    cosines = [math.pi * rng.random() for _ in range(count)] + [0.0, math.pi, math.pi / 2, math.pi / 4]
    settings = []
    for _ in range(count):
        warmup = rng.choice((0, 1, rng.randrange(2_000)))
        end = warmup + rng.choice((0, 1, rng.randrange(20_000)))
        settings.append((rng.randrange(end + 50), 10 ** rng.uniform(-5, 0), 10 ** rng.uniform(-7, -1), warmup, end))
    settings += [(t, 1e-3, 1e-4, 100, 1000) for t in range(1_001)]
    settings += [
        (t, a, b, w, w + e)
        for t in (0, 1, 10**7)
        for a, b in ((0, 0), (1e308, 0), (1e-5, 1))
        for w in (0, 1)
        for e in (0, 1)
    ]
    library = [cosine_schedule(*each) for each in settings]
    with monkeypatch.context() as patch:
        patch.setattr(schedules.math, "cos", rounded_cosine)
        exact = [cosine_schedule(*each) for each in settings]
    stable = []
    for _ in range(count):
        warmup, decay = rng.randrange(500), rng.randrange(500)
        total = warmup + decay + rng.randrange(1_000)
        each = (rng.randrange(total + 20), 10 ** rng.uniform(-5, 0), 10 ** rng.uniform(-7, -1), warmup, decay, total)
        shape = rng.choice(("linear", "sqrt"))
        stable.append([*each, shape, wsd_schedule(*each, shape=shape)])
    return {
        "cosines": [[x, rounded_cosine(x)] for x in cosines],
        "cosine": [
            [*each, value, of_library] for each, value, of_library in zip(settings, exact, library, strict=True)
        ],
        "wsd": stable,
        "toy": [{"lr": lr, "weights": toy(lr)} for lr in (0, 1e-9, 0.1, 1, 10, 50, 100, 150, 1000, 1e6)],
    }


def toy(lr, steps=20, start=5.0):
    """The handout's toy with the library's own SGD; all 100 weights are equal, in float64."""
    weights = torch.nn.Parameter(torch.full((10, 10), start, dtype=torch.float64))
    optimizer = SGD([weights], lr=lr)
    values = []
    for _ in range(steps):
        values.append(weights[0, 0].item())
        optimizer.zero_grad()
        weights.square().mean().backward()
        optimizer.step()
    return values


def sampling_vectors(count=300):
    generator = torch.Generator().manual_seed(11)
    rng = random.Random(11)
    vectors = []
    for _ in range(count):
        size = rng.choice((1, 2, 10, 1024))
        logits = torch.randn(1, size, generator=generator, dtype=torch.float64) * rng.choice((0.1, 3, 30))
        if rng.random() < 0.2:
            logits = logits.round()  # ties
        if rng.random() < 0.1:
            logits = logits * 0 if rng.random() < 0.5 else logits * 1e6  # all alike, or one alone
        setting = {
            "temperature": rng.choice((0.0, 0.3, 1.0, 1.7, 1e-3)),
            "topK": rng.choice((0, 1, 5, 40, 2000)),
            "topP": rng.choice((1.0, 0.9, 0.5, 0.01)),
        }
        config = SamplingConfig(temperature=setting["temperature"], top_k=setting["topK"], top_p=setting["topP"])
        probabilities = distribution(logits, config)
        assert probabilities.dtype == torch.float64
        uniform = rng.random()
        drawn = draw(probabilities, torch.tensor([uniform], dtype=torch.float64)).item()
        vectors.append(
            {
                "logits": logits[0].tolist(),
                **setting,
                "probabilities": probabilities[0].tolist(),
                "uniform": uniform,
                "drawn": drawn,
            }
        )
    return vectors


def rope_vectors(count=200):
    rng = random.Random(13)
    vectors = []
    for _ in range(count):
        size, theta = 2 * rng.randrange(1, 33), rng.choice((10.0, 10_000.0, 1e6))
        rope = RotaryEmbedding(theta, size, 2_048, dtype=torch.float64)
        x = [rng.gauss(0, 1) for _ in range(size)]
        position = rng.randrange(2_048)
        turned = rope(torch.tensor([x], dtype=torch.float64), torch.tensor([position]))[0].tolist()
        vectors.append({"x": x, "position": position, "theta": theta, "turned": turned})
    return vectors


def model_vectors():
    """Logits of the stored model, by the library in float64."""
    stored = json.loads((STORED / "model.json").read_text())
    raw = (STORED / "model.bin").read_bytes()
    total = sum(rows * columns for _, rows, columns in stored["shapes"])
    import numpy as np

    numbers, scales = np.frombuffer(raw[:total], np.int8), np.frombuffer(raw[total:], "<f4")
    lm = TransformerLM(ModelConfig.from_dict(stored["config"])).double()
    shapes = {name: value.shape for name, value in lm.state_dict().items()}
    state, at, row = {}, 0, 0
    for name, rows, columns in stored["shapes"]:
        values = numbers[at : at + rows * columns].reshape(rows, columns).astype(np.float64)
        state[name] = torch.from_numpy(values * scales[row : row + rows, None].astype(np.float64)).reshape(shapes[name])
        at, row = at + rows * columns, row + rows
    lm.load_state_dict(state)
    ids = rebuilt("tales").encode("Once upon a time, there was a little bear who lived in a house by the river.")
    with torch.no_grad():
        logits = lm(torch.tensor([ids]))[0]
    return {"ids": ids, "logits": logits.tolist()}


def run_vectors():
    home = folder()
    places = [path.parent for path in sorted(home.glob("**/config.json"))]
    records = [RunRecord(place) for place in places if not place.parent.name.endswith("-quick")]
    return [
        {
            "lr": record.config.lr,
            "lowest": record.best("valid_loss")
            if record.best("valid_loss") is not None and math.isfinite(record.best("valid_loss"))
            else None,
            "points": [len(record.series("valid_loss")[0]), len(record.series("train_loss")[0])],
            "steps": record.series("train_loss")[0][-1:],
        }
        for record in records
    ]
