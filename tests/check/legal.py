"""Other right ways: what each changes in the plain solution. No check may blame any of them."""

from mutants_model import MASK, SCORES, SOFTMAX, joined
from mutants_training import CLIP, DECAY, GRADS, LOSS, NORM, RATE, SAVE, STARTS, UPDATE

ADAMW = "def get_adamw_cls():\n    return AdamW\n"

# name -> (replacements in the plain solution, problems that it touches)
LEGAL = {
    "adamw: decay last, as in the handout of 2025": ([(DECAY, ""), (UPDATE, UPDATE + DECAY)], ["adamw"]),
    "adamw: eps as in torch": (
        [
            (RATE, "                rate = lr / (1 - beta1**t)\n"),
            (UPDATE, UPDATE.replace("v.sqrt()", "(v / (1 - beta2**t)).sqrt()")),
        ],
        ["adamw"],
    ),
    "adamw: torch's own": ([(ADAMW, "def get_adamw_cls():\n    return torch.optim.AdamW\n")], ["adamw"]),
    "softmax: torch's own": (
        [(SOFTMAX, "    return torch.softmax(in_features, dim)\n")],
        ["softmax", "scaled_dot_product_attention", "transformer_lm"],
    ),
    "attention: torch's own": (
        [(SCORES, "    return nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=mask)\n" + SCORES)],
        ["scaled_dot_product_attention", "multihead_self_attention", "transformer_lm"],
    ),
    "attention: the lowest number of the type for -inf": (
        [(MASK, MASK.replace('float("-inf")', "torch.finfo(scores.dtype).min"))],
        ["scaled_dot_product_attention", "multihead_self_attention"],
    ),
    "linear: torch's own in its functional form": (
        [("        return x @ self.weight.T\n", "        return nn.functional.linear(x, self.weight)\n")],
        ["linear", "positionwise_feedforward", "transformer_block"],
    ),
    "linear: no module at all": (
        [
            (
                '    return filled(Linear(d_in, d_out), {"weight": weights})(in_features)\n',
                "    return in_features @ weights.T\n",
            )
        ],
        ["linear"],
    ),
    **{
        f"multi-head: Q, K and V in one matrix, initialized {how}": (
            [
                (
                    "        self.q_proj = Linear(d_model, d_model)\n"
                    "        self.k_proj = Linear(d_model, d_model)\n"
                    "        self.v_proj = Linear(d_model, d_model)\n",
                    f"        self.qkv = Linear(d_model, 3 * d_model)\n{more}",
                ),
                (
                    "self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))",
                    "map(self.split, self.qkv(x).chunk(3, -1))",
                ),
                (
                    "    def split(self, x):\n",
                    "    def _load_from_state_dict(self, state, prefix, *rest):\n"
                    "        parts = [state.pop(f'{prefix}{name}_proj.weight') for name in 'qkv']\n"
                    "        state[prefix + 'qkv.weight'] = torch.cat(parts)\n"
                    "        super()._load_from_state_dict(state, prefix, *rest)\n\n"
                    "    def split(self, x):\n",
                ),
            ],
            ["multihead_self_attention", "transformer_block", "transformer_lm"],
        )
        for how, more in {
            "as one": "",
            "as three": "        std = d_model**-0.5\n"
            "        nn.init.trunc_normal_(self.qkv.weight, std=std, a=-3 * std, b=3 * std)\n",
        }.items()
    },
    "multi-head: Q, K and V in one parameter of three dimensions": (
        joined("std"),
        ["multihead_self_attention", "transformer_block", "transformer_lm"],
    ),
    "linear: the normal drawn and cut by hand": (
        [
            (
                "nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)",
                "self.weight.data = torch.randn(d_out, d_in).mul(std).clamp(-3 * std, 3 * std)",
            )
        ],
        ["linear"],
    ),
    "rmsnorm: torch's own": (
        [
            (
                "        dtype = x.dtype\n",
                "        if x.dtype == torch.float32:\n"
                "            return nn.functional.rms_norm(x, (len(self.weight),), self.weight, self.eps)\n"
                "        dtype = x.dtype\n",
            )
        ],
        ["rmsnorm", "transformer_block"],
    ),
    "loss: torch's own": (
        [
            (
                LOSS,
                "    return nn.functional.cross_entropy(inputs.reshape(-1, inputs.shape[-1]), targets.reshape(-1))\n",
            )
        ],
        ["cross_entropy"],
    ),
    "schedule: the maximum where warm-up and cosine end together": (
        [
            (
                "    if it >= cosine_cycle_iters:",
                "    if it > cosine_cycle_iters or (it == cosine_cycle_iters > warmup_iters):",
            ),
            (
                "    progress = (it - warmup_iters) /",
                "    progress = 0 if it == warmup_iters else (it - warmup_iters) /",
            ),
        ],
        ["learning_rate_schedule"],
    ),
    "clipping: torch's own": (
        [(GRADS, "    torch.nn.utils.clip_grad_norm_(parameters, max_l2_norm)\n    return\n" + GRADS)],
        ["gradient_clipping"],
    ),
    "clipping: a scale of at most one, never a branch": (
        [(CLIP, "    for grad in grads:\n        grad.mul_(min(1.0, max_l2_norm / (norm + 1e-6)))\n")],
        ["gradient_clipping"],
    ),
    "clipping: a norm of norms": (
        [(NORM, "    norm = torch.stack([grad.norm() for grad in grads]).norm().item()\n")],
        ["gradient_clipping"],
    ),
    "batch: drawn by torch": (
        [(STARTS, "    starts = torch.randint(len(dataset) - context_length, (batch_size,)).tolist()\n")],
        ["data_loading"],
    ),
    "batch: windows of a tensor that shares the file's memory": (
        [
            (STARTS, "    ids = torch.from_numpy(dataset)\n" + STARTS),
            (
                "    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)",
                "    x = torch.stack([ids[s : s + context_length].long() for s in starts])\n"
                "    y = torch.stack([ids[s + 1 : s + context_length + 1].long() for s in starts])\n"
                "    return x.to(device), y.to(device)",
            ),
        ],
        ["data_loading"],
    ),
    "batch: rows sorted by their starts": (
        [(STARTS, STARTS + "    starts.sort()\n")],
        ["data_loading"],
    ),
    "batch: without replacement where there are enough windows": (
        [
            (
                STARTS,
                "    many = len(dataset) - context_length\n"
                "    starts = np.random.permutation(many)[:batch_size] if many == 8 else np.random.randint(0, many, batch_size)\n",
            )
        ],
        ["data_loading"],
    ),
    "batch: drawn by random": (
        [
            (
                STARTS,
                "    import random\n\n"
                "    starts = [random.randrange(len(dataset) - context_length) for _ in range(batch_size)]\n",
            )
        ],
        ["data_loading"],
    ),
    "checkpoint: other names in the file": (
        [(SAVE, SAVE.replace('"iteration"', '"step"')), ('return content["iteration"]', 'return content["step"]')],
        ["checkpointing"],
    ),
    "trainer: special tokens first in the vocabulary": (
        [
            (
                '    for token in special_tokens:\n        vocab[len(vocab)] = token.encode("utf-8")\n    return vocab, merges',
                "    first = {i: token.encode('utf-8') for i, token in enumerate(special_tokens)}\n"
                "    return first | {i + len(first): token for i, token in vocab.items()}, merges",
            ),
        ],
        ["train_bpe"],
    ),
    "trainer: an empty file refused": (
        [
            (
                "    counted = count_words(text, special_tokens)",
                "    if not text:\n        raise ValueError('nothing to train on')\n"
                "    counted = count_words(text, special_tokens)",
            )
        ],
        ["train_bpe"],
    ),
    "tokenizer: a vocabulary with a gap refused": (
        [
            (
                "        self.vocab = dict(vocab)\n",
                "        self.vocab = dict(vocab)\n"
                "        if sorted(vocab) != list(range(len(vocab))):\n"
                "            raise ValueError('the ids have a gap')\n",
            )
        ],
        ["tokenizer"],
    ),
    "stream: eight MiB collected before each cut": (
        [
            ('        held = ""\n        for chunk', '        held, kept, size = "", [], 0\n        for chunk'),
            (
                "            held += chunk\n            cut",
                "            kept.append(chunk)\n            size += len(chunk)\n            if size < 8 << 20:\n"
                '                continue\n            held = "".join(kept)\n            cut',
            ),
            (
                "            held = held[cut:]\n",
                "            held = held[cut:]\n            kept, size = [held], len(held)\n",
            ),
            ("        yield from self.encode(held)\n", '        yield from self.encode("".join(kept))\n'),
        ],
        ["tokenizer"],
    ),
}
