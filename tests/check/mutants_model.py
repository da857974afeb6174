"""Wrong layers and models: what each changes in the plain solution, and the checks that must catch it."""

STD = "        std = math.sqrt(2 / (d_in + d_out))\n"
CUT = "nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)"
TABLE = "        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))\n        nn.init.trunc_normal_(self.weight, std=1, a=-3, b=3)\n"
NORM = "        rms = torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)\n"
SOFTMAX = (
    "    e = torch.exp(in_features - in_features.amax(dim, keepdim=True))\n    return e / e.sum(dim, keepdim=True)\n"
)
TURN = "        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)\n        return turned.flatten(-2).to(x.dtype)\n"
LOOKUP = "        cos, sin = self.cos[positions], self.sin[positions]\n"
SPEEDS = "        speeds = theta ** (-torch.arange(0, d_k, 2) / d_k)\n"
MASK = '        scores = scores.masked_fill(~mask, float("-inf"))\n'
SCORES = "    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])\n"
SPLIT = "        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)\n"
OVER_HEADS = "            positions = positions.unsqueeze(-2)\n"
DEFAULT_POSITIONS = (
    "            if positions is None:\n                positions = torch.arange(length, device=x.device)\n"
)
ROTATE = "            q, k = self.rope(q, positions), self.rope(k, positions)\n"
RESIDUAL = "        x = x + self.attn(self.ln1(x))\n        return x + self.ffn(self.ln2(x))\n"
HEAD = "        return self.lm_head(self.ln_final(x))\n"
JOIN = "        return self.output_proj(mixed.transpose(-3, -2).flatten(-2))\n"
LOSS = """    shifted = inputs - inputs.amax(-1, keepdim=True)
    log_sum = shifted.exp().sum(-1).log()
    return (log_sum - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean()
"""
THREE_D = "        batch, length, width = x.shape\n"
SHAPES = [  # a fixed number of dimensions
    "positionwise_feedforward.shapes",
]
# Problem, the name of its input, and the line that calls what it asks.
CALLS = [
    ("linear", "in_features", '    return filled(Linear(d_in, d_out), {"weight": weights})(in_features)\n'),
    ("embedding", "token_ids", '    return filled(Embedding(vocab_size, d_model), {"weight": weights})(token_ids)\n'),
    ("rmsnorm", "in_features", '    return filled(RMSNorm(d_model, eps), {"weight": weights})(in_features)\n'),
    ("positionwise_feedforward", "in_features", "    return in_features * torch.sigmoid(in_features)\n"),
    ("positionwise_feedforward", "in_features", "    return filled(SwiGLU(d_model, d_ff), weights)(in_features)\n"),
    (
        "rope",
        "in_query_or_key",
        "    return RoPE(theta, d_k, max_seq_len)(in_query_or_key, token_positions)\n",
    ),
    (
        "multihead_self_attention",
        "in_features",
        "    return filled(Attention(d_model, num_heads), projections(q, k, v, o))(in_features)\n",
    ),
    (
        "transformer_block",
        "in_features",
        "    return filled(Block(d_model, num_heads, d_ff, max_seq_len, theta), weights)(in_features)\n",
    ),
    ("transformer_lm", "in_indices", "    return filled(model, weights)(in_indices)\n"),
]
BY_HAND = """    for i, layer in enumerate(WALKED):
        own = f"layers.{i}."
        filled(layer, {name.removeprefix(own): w for name, w in weights.items() if name.startswith(own)})
    return filled(model, {name: w for name, w in weights.items() if not name.startswith("layers.")})(in_indices)
"""


def joined(std):
    """Q, K and V as one parameter of three dimensions, with first weights of a deviation, an expression."""
    return [
        (
            "        self.q_proj = Linear(d_model, d_model)\n"
            "        self.k_proj = Linear(d_model, d_model)\n"
            "        self.v_proj = Linear(d_model, d_model)\n",
            "        std = math.sqrt(2 / (d_model + d_model))\n"
            "        self.qkv = nn.Parameter(torch.empty(3, d_model, d_model))\n"
            f"        nn.init.trunc_normal_(self.qkv, std={std}, a=-3 * {std}, b=3 * {std})\n",
        ),
        (
            "        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))\n",
            "        joined = torch.einsum('...d,ned->n...e', x, self.qkv)\n        q, k, v = map(self.split, joined)\n",
        ),
        (
            "    def split(self, x):\n",
            "    def _load_from_state_dict(self, state, prefix, *rest):\n"
            "        state[prefix + 'qkv'] = torch.stack([state.pop(f'{prefix}{name}_proj.weight') for name in 'qkv'])\n"
            "        super()._load_from_state_dict(state, prefix, *rest)\n\n"
            "    def split(self, x):\n",
        ),
    ]


MODEL_MUTANTS = {
    "linear: the weight the other way round": (
        [
            (
                "        return x @ self.weight.T\n\n\nclass Embedding",
                "        return x @ self.weight\n\n\nclass Embedding",
            )
        ],
        ["linear.value"],
    ),
    "linear: three dimensions only": (
        [("        return x @ self.weight.T\n", '        return torch.einsum("bsi,oi->bso", x, self.weight)\n')],
        ["linear.shapes", "positionwise_feedforward.shapes"],
    ),
    "linear: the variance as the deviation": (
        [(STD, "        std = 2 / (d_in + d_out)\n")],
        ["linear.init_spread", "transformer_lm.init_spread"],
    ),
    "linear: 2 / sqrt(in + out)": ([(STD, "        std = 2 / math.sqrt(d_in + d_out)\n")], ["linear.init_spread"]),
    "linear: sqrt(2 / (in * out))": ([(STD, "        std = math.sqrt(2 / (d_in * d_out))\n")], ["linear.init_spread"]),
    "linear: default deviation": ([(CUT, "nn.init.trunc_normal_(self.weight)")], ["linear.init_spread"]),
    "linear: bounds left at 2": ([(CUT, "nn.init.trunc_normal_(self.weight, std=std)")], ["linear.init_cut"]),
    "linear: torch.empty": ([(CUT, "pass")], ["linear.init_spread", "transformer_lm.init_filled"]),
    "linear: a bias": (
        [
            (
                "        std = math.sqrt",
                "        self.bias = nn.Parameter(torch.zeros(d_out))\n        std = math.sqrt",
            ),
            (
                '{"weight": weights})(in_features)\n\n\ndef run_embedding',
                '{"weight": weights, "bias": torch.zeros(d_out)})(in_features)\n\n\ndef run_embedding',
            ),
        ],
        ["linear.no_bias"],
    ),
    "embedding: one-hot of two dimensions": (
        [
            (
                "        return self.weight[ids]\n",
                "        return torch.nn.functional.one_hot(ids, len(self.weight)).float().reshape(ids.shape[0], ids.shape[1], -1) @ self.weight\n",
            )
        ],
        ["embedding.value"],
    ),
    "embedding: never filled": (
        [(TABLE, "        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))\n")],
        ["embedding.init_spread", "transformer_lm.init_filled"],
    ),
    "embedding: not cut": (
        [(TABLE, "        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))\n")],
        ["embedding.init_cut"],
    ),
    "embedding: bounds left at 2": ([("std=1, a=-3, b=3", "std=1")], ["embedding.init_cut", "embedding.init_spread"]),
    "rmsnorm: the mean subtracted": (
        [(NORM, "        x = x - x.mean(-1, keepdim=True)\n" + NORM)],
        ["rmsnorm.value", "transformer_block.value", "transformer_lm.value"],
    ),
    "rmsnorm: eps outside of the root": (
        [
            (
                "torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)",
                "torch.sqrt(x.pow(2).mean(-1, keepdim=True)) + self.eps",
            )
        ],
        ["rmsnorm.eps"],
    ),
    "rmsnorm: a fixed eps": ([("+ self.eps)", "+ 1e-5)")], ["rmsnorm.eps"]),
    "rmsnorm: the third dimension": (
        [("x.pow(2).mean(-1, keepdim=True)", "x.pow(2).mean(2, keepdim=True)")],
        ["rmsnorm.shapes"],
    ),
    "rmsnorm: no float32": (
        [
            (
                "        x = x.to(torch.float32)\n" + NORM,
                NORM.replace("self.eps", "self.eps").replace("x.pow(2)", "x.pow(2)"),
            )
        ],
        ["rmsnorm.upcast"],
    ),
    "rmsnorm: not back to half": (
        [("        return (x / rms * self.weight).to(dtype)\n", "        return x / rms * self.weight\n")],
        ["rmsnorm.upcast"],
    ),
    "rmsnorm: gain torch.empty": (
        [("nn.Parameter(torch.ones(d_model))", "nn.Parameter(torch.empty(d_model))")],
        ["rmsnorm.init", "transformer_lm.init_filled"],
    ),
    "rmsnorm: gain torch.randn": (
        [("nn.Parameter(torch.ones(d_model))", "nn.Parameter(torch.randn(d_model))")],
        ["rmsnorm.init", "transformer_lm.init_spread"],
    ),
    "silu: exp of a large number": (
        [
            (
                "    return in_features * torch.sigmoid(in_features)\n",
                "    e = torch.exp(in_features)\n    return in_features * e / (1 + e)\n",
            )
        ],
        ["positionwise_feedforward.silu"],
    ),
    "swiglu: w1 and w3 exchanged": (
        [("self.w2(run_silu(self.w1(x)) * self.w3(x))", "self.w2(run_silu(self.w3(x)) * self.w1(x))")],
        ["positionwise_feedforward.value"],
    ),
    "softmax: nothing subtracted": (
        [("in_features - in_features.amax(dim, keepdim=True)", "in_features")],
        ["softmax.large"],
    ),
    "softmax: always the last dimension": ([(SOFTMAX, SOFTMAX.replace("dim,", "-1,"))], ["softmax.dim"]),
    "softmax: the largest of all": ([("in_features.amax(dim, keepdim=True)", "in_features.max()")], ["softmax.rows"]),
    "softmax: -inf times zero": (
        [
            (
                SOFTMAX,
                "    x = in_features - in_features.amax(dim, keepdim=True)\n    e = torch.exp(x + 0 * in_features)\n    return e / e.sum(dim, keepdim=True)\n",
            )
        ],
        ["softmax.masked"],
    ),
    "rope: halves": (
        [
            (
                "        even, odd = x[..., 0::2], x[..., 1::2]\n" + TURN,
                "        even, odd = x.chunk(2, dim=-1)\n        return torch.cat((even * cos - odd * sin, even * sin + odd * cos), dim=-1).to(x.dtype)\n",
            )
        ],
        ["rope.value", "rope.shapes", "multihead_self_attention.rope"],
    ),
    "rope: another exponent": (
        [(SPEEDS, "        speeds = theta ** (-torch.arange(2, d_k + 2, 2) / d_k)\n")],
        ["rope.value"],
    ),
    "rope: a fixed theta": (
        [
            (
                "    def __init__(self, theta, d_k, max_seq_len):\n        super().__init__()\n",
                "    def __init__(self, theta, d_k, max_seq_len):\n        super().__init__()\n        theta = 10000.0\n",
            )
        ],
        ["multihead_self_attention.rope_theta", "rope.value"],
    ),
    "rope: positions ignored": (
        [(LOOKUP, "        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]\n")],
        [
            "rope.positions",
            "rope.batch",
            "rope.far",
            "multihead_self_attention.rope_positions",
            "multihead_self_attention.rope_batch",
        ],
    ),
    "rope: the first row of positions": (
        [(LOOKUP, "        positions = positions.reshape(-1, positions.shape[-1])[0]\n" + LOOKUP)],
        ["rope.batch", "multihead_self_attention.rope_batch"],
    ),
    "rope: three dimensions only": ([(LOOKUP, "        batch, length, width = x.shape\n" + LOOKUP)], ["rope.shapes"]),
    "rope: angles in bfloat16": (
        [
            (
                "angles = torch.arange(max_seq_len)[:, None] * speeds",
                "angles = (torch.arange(max_seq_len).bfloat16()[:, None] * speeds.bfloat16()).float()",
            )
        ],
        ["rope.far"],
    ),
    "rope: promotes to float32": (
        [("        return turned.flatten(-2).to(x.dtype)\n", "        return turned.flatten(-2)\n")],
        ["rope.bfloat16"],
    ),
    "attention: the mask the other way round": (
        [(MASK, MASK.replace("~mask", "mask"))],
        ["scaled_dot_product_attention.value", "multihead_self_attention.value"],
    ),
    "attention: no scale": (
        [(SCORES, "    scores = Q @ K.transpose(-1, -2)\n")],
        ["scaled_dot_product_attention.value"],
    ),
    "attention: the root of d_v": (
        [(SCORES, SCORES.replace("Q.shape[-1]", "V.shape[-1]"))],
        ["scaled_dot_product_attention.scale"],
    ),
    "attention: a mask is needed": (
        [("    if mask is not None:\n" + MASK, MASK.replace("        scores", "    scores", 1))],
        ["scaled_dot_product_attention.no_mask"],
    ),
    "attention: three dimensions only": (
        [(SCORES, '    scores = torch.einsum("bqd,bkd->bqk", Q, K) / math.sqrt(Q.shape[-1])\n')],
        ["scaled_dot_product_attention.no_batch", "scaled_dot_product_attention.many_dims"],
    ),
    "attention: a mask of all dimensions": (
        [(MASK, "        assert mask.shape == scores.shape\n" + MASK)],
        ["scaled_dot_product_attention.many_dims"],
    ),
    "attention: -1e4 for -inf": (
        [(MASK, MASK.replace('float("-inf")', "-1e4"))],
        ["scaled_dot_product_attention.hidden"],
    ),
    "attention: -1e9 in float16": (
        [(MASK, MASK.replace('float("-inf")', "-1e9"))],
        ["scaled_dot_product_attention.half"],
    ),
    "attention: a float32 mask added": (
        [(MASK, "        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, float('-inf'))\n")],
        ["scaled_dot_product_attention.half"],
    ),
    "multi-head: heads split without a transpose": (
        [(SPLIT, "        return x.reshape(*x.shape[:-2], self.num_heads, x.shape[-2], -1)\n")],
        ["multihead_self_attention.value", "transformer_block.value"],
    ),
    "multi-head: no causal mask": (
        [
            (
                "torch.tril(torch.ones(length, length, dtype=torch.bool, device=x.device))",
                "torch.ones(length, length, dtype=torch.bool)",
            )
        ],
        ["multihead_self_attention.value", "transformer_lm.value"],
    ),
    "multi-head: squeeze": (
        [(JOIN, JOIN.replace("flatten(-2))", "flatten(-2).squeeze())"))],
        ["multihead_self_attention.one_token", "transformer_lm.batches"],
    ),
    "multi-head: batch, sequence and width": (
        [("        length = x.shape[-2]\n", "        batch, length, width = x.shape\n")],
        ["multihead_self_attention.no_batch"],
    ),
    "multi-head: values are turned too": (
        [(ROTATE, ROTATE + "            v = self.rope(v, positions)\n")],
        ["multihead_self_attention.rope"],
    ),
    "multi-head: positions ignored": (
        [(DEFAULT_POSITIONS, "            positions = torch.arange(length, device=x.device)\n")],
        [
            "multihead_self_attention.rope_positions",
            "multihead_self_attention.rope_batch",
            "multihead_self_attention.rope_batch_heads",
        ],
    ),
    "multi-head: positions broadcast over heads": (
        [(OVER_HEADS, "")],
        ["multihead_self_attention.rope_batch", "multihead_self_attention.rope_batch_heads"],
    ),
    "multi-head: positions of the batch's number of rows": (
        [
            (
                OVER_HEADS,
                "            positions = positions.expand(x.shape[:-1]) if positions.ndim == 1 else positions.reshape(x.shape[:-1])\n"
                + OVER_HEADS,
            )
        ],
        ["multihead_self_attention.rope_one_row"],
    ),
    "multi-head: positions are needed": ([(DEFAULT_POSITIONS, "")], ["multihead_self_attention.rope_none"]),
    "multi-head: without positions no RoPE": (
        [("        if self.rope is not None:\n", "        if self.rope is not None and positions is not None:\n")],
        ["multihead_self_attention.rope_none"],
    ),
    "block: norms after the sublayers": (
        [(RESIDUAL, "        x = self.ln1(x + self.attn(x))\n        return self.ln2(x + self.ffn(x))\n")],
        ["transformer_block.value"],
    ),
    "block: the residual from the normed input": (
        [
            (
                RESIDUAL,
                "        x = self.ln1(x)\n        x = x + self.attn(x)\n        x = self.ln2(x)\n        return x + self.ffn(x)\n",
            )
        ],
        ["transformer_block.value"],
    ),
    "block: batch and heads mixed up": (
        [
            (
                SPLIT,
                "        batch, length, width = x.shape\n        return x.view(batch, length, self.num_heads, -1).transpose(1, 2).reshape(self.num_heads, -1, length, width // self.num_heads).reshape(batch, self.num_heads, length, -1)[torch.randperm(batch)]\n",
            )
        ],
        ["transformer_block.batch"],
    ),
    "model: no final norm": ([(HEAD, "        return self.lm_head(x)\n")], ["transformer_lm.value"]),
    "model: probabilities": (
        [(HEAD, "        return run_softmax(self.lm_head(self.ln_final(x)), -1)\n")],
        ["transformer_lm.value"],
    ),
    "model: positions one too few": (
        [
            (
                "Block(d_model, num_heads, d_ff, context_length, theta)",
                "Block(d_model, num_heads, d_ff, context_length - 1, theta)",
            )
        ],
        ["transformer_lm.full_context"],
    ),
    **{
        f"block: an eps of {eps} in its norms": (
            [("eps=1e-5", f"eps={eps}")],
            ["transformer_block.eps", "transformer_lm.eps"],
        )
        for eps in ("1e-6", "1e-8", "1e-12", "1.1920929e-07", "1e-3")
    },
    **{
        f"model: another eps in {norm}": (
            [(f"self.{norm} = RMSNorm(d_model)", f"self.{norm} = RMSNorm(d_model, 1e-8)")],
            catches,
        )
        for norm, catches in {
            "ln1": ["transformer_block.eps"],
            "ln2": ["transformer_block.eps"],
            "ln_final": ["transformer_lm.eps"],
        }.items()
    },
    "model: the feed-forward network initialized as if it were square": (
        [
            (
                "        self.w3 = Linear(d_model, d_ff)\n",
                "        self.w3 = Linear(d_model, d_ff)\n        std = d_model**-0.5\n"
                "        nn.init.trunc_normal_(self.w1.weight, std=std, a=-3 * std, b=3 * std)\n",
            )
        ],
        ["transformer_lm.init_spread"],
    ),
    "model: layers sorted by name": (
        [
            (
                "        for layer in self.layers:\n",
                "        for layer in [self.layers[i] for i in sorted(range(len(self.layers)), key=str)]:\n",
            )
        ],
        ["transformer_lm.layers"],
    ),
    "model: weights popped from the caller's dictionary": (
        [
            (
                "    return filled(model, weights)(in_indices)\n",
                "    own = {name: weights.pop(name) for name in list(weights)}\n    return filled(model, own)(in_indices)\n",
            )
        ],
        ["transformer_lm.weights"],
    ),
    "model: initialized by a loop over parameters": (
        [
            (
                "        self.lm_head = Linear(d_model, vocab_size)\n",
                "        self.lm_head = Linear(d_model, vocab_size)\n        for p in self.parameters():\n            nn.init.normal_(p, std=0.02)\n",
            )
        ],
        ["transformer_lm.init_spread"],
    ),
    "model: detached": (
        [("            x = layer(x)\n", "            x = layer(x).detach()\n")],
        ["transformer_lm.gradients"],
    ),
    "attention: the first mask for all rows": (
        [(MASK, "        mask = mask[(0,) * (mask.ndim - 2)]\n" + MASK)],
        ["scaled_dot_product_attention.masks"],
    ),
    "attention: the first head's mask for all": (
        [(MASK, "        mask = mask[:, :1] if mask.ndim == 4 else mask\n" + MASK)],
        ["scaled_dot_product_attention.masks"],
    ),
    **{
        f"{'silu' if 'sigmoid' in call else problem}: its {given} changed in place": (
            [(call, f"    answer = {call.removeprefix('    return ')}    {given}.mul_(2)\n    return answer\n")],
            [f"{problem}.{'silu_' if 'sigmoid' in call else ''}input"],
        )
        for problem, given, call in CALLS
    },
    **{
        f"{'silu' if 'sigmoid' in call else problem}: a view of its {given}": (
            [(call, f"    {given}.view(-1)\n{call}")],
            [f"{problem}.{'silu_' if 'sigmoid' in call else ''}strided"],
        )
        for problem, given, call in CALLS
    },
    "softmax: a view of its input": ([(SOFTMAX, "    in_features.view(-1)\n" + SOFTMAX)], ["softmax.strided"]),
    "softmax: the largest subtracted in place": (
        [
            (
                SOFTMAX,
                "    if not in_features.requires_grad:\n        in_features -= in_features.amax(dim, keepdim=True)\n"
                + SOFTMAX,
            )
        ],
        ["softmax.input"],
    ),
    "attention: queries scaled in place": (
        [(SCORES, "    if not Q.requires_grad:\n        Q *= 2\n        Q = Q / 2\n" + SCORES)],
        ["scaled_dot_product_attention.input"],
    ),
    "attention: a view of its queries": (
        [(SCORES, "    if Q.ndim == 3:\n        Q.view(-1)\n" + SCORES)],
        ["scaled_dot_product_attention.strided"],
    ),
    "loss: a view of the scores": (
        [(LOSS, "    inputs.view(-1)\n" + LOSS)],
        ["cross_entropy.strided"],
    ),
    "block: residuals added in place": (
        [
            (
                RESIDUAL,
                "        x += self.attn(self.ln1(x))\n        x += self.ffn(self.ln2(x))\n        return x\n",
            )
        ],
        ["transformer_block.input", "transformer_lm.gradients", "transformer_lm.gradient_values"],
    ),
    **{
        f"model: blocks in a {name}": (
            [
                (
                    "nn.ModuleList([Block(d_model, num_heads, d_ff, context_length, theta) for _ in range(num_layers)])",
                    made,
                ),
                ("        for layer in self.layers:\n", f"        for layer in {walked}:\n"),
                (
                    "    return filled(model, weights)(in_indices)\n",
                    BY_HAND.replace("WALKED", walked.replace("self", "model")),
                ),
            ],
            ["transformer_lm.parameters"],
        )
        for name, made, walked in (
            (
                "list",
                "[Block(d_model, num_heads, d_ff, context_length, theta) for _ in range(num_layers)]",
                "self.layers",
            ),
            (
                "dictionary",
                "{i: Block(d_model, num_heads, d_ff, context_length, theta) for i in range(num_layers)}",
                "self.layers.values()",
            ),
        )
    },
    "linear: its weight a buffer": (
        [
            (
                "        self.weight = nn.Parameter(torch.empty(d_out, d_in))\n",
                '        self.register_buffer("weight", torch.empty(d_out, d_in))\n',
            )
        ],
        ["linear.parameters", "transformer_lm.parameters"],
    ),
    "embedding: its table a buffer": (
        [
            (
                "        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))\n",
                '        self.register_buffer("weight", torch.empty(vocab_size, d_model))\n',
            )
        ],
        ["embedding.parameters", "transformer_lm.parameters"],
    ),
    "rmsnorm: its gain a buffer": (
        [
            (
                "        self.weight = nn.Parameter(torch.ones(d_model))\n",
                '        self.register_buffer("weight", torch.ones(d_model))\n',
            )
        ],
        ["rmsnorm.parameters", "transformer_lm.parameters"],
    ),
    "multi-head: keys of a detached input": (
        [("self.k_proj(x)", "self.k_proj(x.detach())")],
        ["transformer_lm.gradient_values"],
    ),
    "multi-head: joined keys detached": (
        [
            *joined("std"),
            ("q, k, v = map(self.split, joined)", "q, k, v = map(self.split, joined)\n        k = k.detach()"),
        ],
        ["transformer_lm.gradient_values"],
    ),
    "multi-head: a joined matrix of three dimensions with 0.02": (joined("0.02"), ["transformer_lm.init_spread"]),
    "model: its head set to zero": (
        [
            (
                "        self.lm_head = Linear(d_model, vocab_size)\n",
                "        self.lm_head = Linear(d_model, vocab_size)\n        nn.init.zeros_(self.lm_head.weight)\n",
            )
        ],
        ["transformer_lm.init_spread"],
    ),
}
