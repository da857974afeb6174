"""Mistakes, one each, and what the cause of their only fault says."""

from mutants_training import CLIP, GRADS, LOAD_OPTIMIZER, NORM, SAVE, STARTS

SCALE = "grad.mul_(max_l2_norm / (norm + 1e-6))"
Y = "    y = np.stack([dataset[s + 1 : s + context_length + 1] for s in starts]).astype(np.int64)\n"
LOAD_MODEL = '    model.load_state_dict(content["model"])\n'
# name -> (problem, replacements in the plain solution, what the cause of its only fault says)
CAUSES = {
    "a start too many": (
        "data_loading",
        [(STARTS, STARTS.replace("len(dataset) - context_length", "len(dataset) - context_length + 1"))],
        "starts beyond the last",
    ),
    "starts up to the end of the data": (
        "data_loading",
        [(STARTS, STARTS.replace("len(dataset) - context_length", "len(dataset)"))],
        "starts beyond the last",
    ),
    "starts beyond the last, by torch": (
        "data_loading",
        [
            (
                STARTS,
                "    at = torch.randint(len(dataset) - context_length + 1, (batch_size, 1)) + torch.arange(context_length)\n"
                "    ids = torch.from_numpy(np.asarray(dataset).astype(np.int64))\n    return ids[at].to(device), ids[at + 1].to(device)\n"
                + STARTS,
            ),
        ],
        "starts beyond the last",
    ),
    "the first start left out": (
        "data_loading",
        [(STARTS, STARTS.replace("randint(0,", "randint(min(1, len(dataset) - context_length - 1),"))],
        "the first start is left out",
    ),
    "the last start left out": (
        "data_loading",
        [(STARTS, STARTS.replace("len(dataset) - context_length", "len(dataset) - context_length - 1"))],
        "the last window is never seen",
    ),
    "targets are the inputs": ("data_loading", [(Y, "    y = x.copy()\n")], "targets that are the inputs"),
    "arrays": (
        "data_loading",
        [("    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)", "    return x, y")],
        "arrays",
    ),
    "entry by entry": (
        "gradient_clipping",
        [(CLIP, "    for g in grads:\n        g.clamp_(-max_l2_norm, max_l2_norm)\n")],
        "one by one",
    ),
    "the norms added up": (
        "gradient_clipping",
        [(NORM, "    norm = sum(grad.norm().item() for grad in grads)\n")],
        "are added up",
    ),
    "the largest entry": (
        "gradient_clipping",
        [(NORM, "    norm = max(grad.abs().max().item() for grad in grads)\n")],
        "largest entry",
    ),
    "no root": ("gradient_clipping", [("    norm = math.sqrt(sum(", "    norm = (sum(")], "its root is missing"),
    "copies that are dropped": ("gradient_clipping", [(SCALE, SCALE.replace("mul_", "mul"))], "copies are scaled"),
    **{
        f"eps {eps}": ("gradient_clipping", [("1e-6", eps)], "than the handout's 1e-6")
        for eps in ("1e-4", "1e-3", "1e-2", "0.1")
    },
    "gradients asked of all": (
        "gradient_clipping",
        [(GRADS, "    grads = [p.grad for p in parameters]\n")],
        "whether it is there",
    ),
    "half in the file": (
        "checkpointing",
        [(SAVE, SAVE.replace("model.state_dict()", "{k: v.half() for k, v in model.state_dict().items()}"))],
        "in another type",
    ),
    "half in the model": ("checkpointing", [(SAVE, "    model.half()\n" + SAVE)], "for saving"),
    "the optimizer left out": ("checkpointing", [(LOAD_OPTIMIZER, "")], "the optimizer's state"),
    "the weights left out": ("checkpointing", [(LOAD_MODEL, "")], "weights are not loaded"),
    "the iteration left out": ("checkpointing", [('    return content["iteration"]\n', "")], "the iteration is not"),
    "the iteration as a text": (
        "checkpointing",
        [('content["iteration"]', 'str(content["iteration"])')],
        "another type than int",
    ),
}

FIRST_EQUAL = "        cos, sin = self.cos[positions], self.sin[positions]\n"
# name -> (problem, replacements in the plain solution, what the cause of its only fault says)
CAUSES |= {
    "softmax of a logarithm": (
        "softmax",
        [
            (
                "    return e / e.sum(dim, keepdim=True)\n\n\ndef run_scaled",
                "    return (e / e.sum(dim, keepdim=True)).log()\n\n\ndef run_scaled",
            )
        ],
        "the logarithm of the shares",
    ),
    "softmax over everything": (
        "softmax",
        [("    return e / e.sum(dim, keepdim=True)\n\n\ndef run_scaled", "    return e / e.sum()\n\n\ndef run_scaled")],
        "divided by the sum of all",
    ),
    "the sign of the loss": (
        "cross_entropy",
        [("(log_sum - shifted.gather", "-(log_sum - shifted.gather")],
        "the sign",
    ),
    "no sigmoid's x": (
        "positionwise_feedforward",
        [("return in_features * torch.sigmoid(in_features)", "return torch.sigmoid(in_features)")],
        "not multiplied by x",
    ),
    "no gate": (
        "positionwise_feedforward",
        [("self.w2(run_silu(self.w1(x)) * self.w3(x))", "self.w2(run_silu(self.w1(x)))")],
        "no gate",
    ),
    "the row of id 0 zeros": (
        "embedding",
        [("        return self.weight[ids]\n", "        return self.weight[ids] * (ids != 0)[..., None]\n")],
        "id 0 is a token as any other",
    ),
    "no gain": ("rmsnorm", [("(x / rms * self.weight)", "(x / rms)")], "the gain is forgotten"),
    "a sum for the mean": (
        "rmsnorm",
        [("x.pow(2).mean(-1, keepdim=True)", "x.pow(2).sum(-1, keepdim=True)")],
        "a sum for the mean",
    ),
    "turned the other way": (
        "rope",
        [("even * cos - odd * sin, even * sin + odd * cos", "even * cos + odd * sin, odd * cos - even * sin")],
        "the other sense",
    ),
    "positions from 1": (
        "rope",
        [(FIRST_EQUAL, FIRST_EQUAL.replace("[positions]", "[(positions + 1).clamp(max=len(self.cos) - 1)]"))],
        "count from 1",
    ),
    "scores divided by d_k": (
        "scaled_dot_product_attention",
        [("/ math.sqrt(Q.shape[-1])", "/ Q.shape[-1]")],
        "not by its root",
    ),
    "the mask forgotten": (
        "scaled_dot_product_attention",
        [("    if mask is not None:\n", "    if False:\n")],
        "the mask is not used",
    ),
    "no output projection": (
        "multihead_self_attention",
        [("self.output_proj(mixed.transpose(-3, -2).flatten(-2))", "mixed.transpose(-3, -2).flatten(-2)")],
        "the output projection is left out",
    ),
    "RoPE on the whole width": (
        "multihead_self_attention",
        [
            (
                "self.split(self.q_proj(x)), self.split(self.k_proj(x))",
                "self.turned(self.q_proj(x), positions), self.turned(self.k_proj(x), positions)",
            ),
            (
                "        if self.rope is not None:\n            if positions",
                "        if False:\n            if positions",
            ),
            (
                "    def split(self, x):\n",
                "    def turned(self, x, positions):\n        if self.rope is None:\n            return self.split(x)\n"
                "        if positions is None:\n            positions = torch.arange(x.shape[-2])\n"
                "        return self.split(RoPE(self.theta, x.shape[-1], 16)(x, positions))\n\n    def split(self, x):\n",
            ),
            ("        speeds = theta **", "        self.theta = theta\n        speeds = theta **"),
            (
                "        self.rope = rope\n",
                "        self.rope = rope\n        self.theta = rope.theta if rope is not None else 0.0\n",
            ),
        ],
        "before the heads are split",
    ),
    "ln1 and ln2 exchanged": (
        "transformer_block",
        [
            (
                "x = x + self.attn(self.ln1(x))\n        return x + self.ffn(self.ln2(x))",
                "x = x + self.attn(self.ln2(x))\n        return x + self.ffn(self.ln1(x))",
            )
        ],
        "ln1 and ln2 exchanged",
    ),
    "no residuals": (
        "transformer_block",
        [
            (
                "x = x + self.attn(self.ln1(x))\n        return x + self.ffn(self.ln2(x))",
                "x = self.attn(self.ln1(x))\n        return self.ffn(self.ln2(x))",
            )
        ],
        "residual connections",
    ),
    "a layer left out": (
        "transformer_lm",
        [("for layer in self.layers:", "for layer in self.layers[:-1]:")],
        "a layer is left out",
    ),
    "one block for all layers": (
        "transformer_lm",
        [("            x = layer(x)\n", "            x = self.layers[0](x)\n")],
        "one block",
    ),
    "no decay": ("adamw", [("                p.mul_(1 - lr * decay)\n", "")], "not decayed"),
    "fixed betas": (
        "adamw",
        [("                m = beta1", "                beta1, beta2 = 0.9, 0.999\n                m = beta1")],
        "fixed at their defaults",
    ),
    "a warm-up from the minimum": (
        "learning_rate_schedule",
        [
            (
                "return max_learning_rate * it / warmup_iters",
                "return min_learning_rate + (max_learning_rate - min_learning_rate) * it / warmup_iters",
            )
        ],
        "starts at the minimum",
    ),
    "a rising cosine": ("learning_rate_schedule", [("(1 + math.cos(", "(1 - math.cos(")], "the wrong sign"),
}
# Mistakes of the other tables -> (the problem that is asked, what the cause of its only fault says)
SAYS = {
    "linear: the weight the other way round": ("linear", "the other way round"),
    "linear: three dimensions only": ("linear", "a fixed number of dimensions"),
    "linear: the variance as the deviation": ("linear", "the variance passed as the deviation"),
    "linear: 2 / sqrt(in + out)": ("linear", "another deviation"),
    "linear: torch.empty": ("linear", "memory that nothing fills"),
    "embedding: bounds left at 2": ("embedding", "bounds left at -2 and 2"),
    "embedding: never filled": ("embedding", "memory that nothing fills"),
    "embedding: not cut": ("embedding", "torch.randn"),
    "rmsnorm: the mean subtracted": ("rmsnorm", "LayerNorm"),
    "rmsnorm: eps outside of the root": ("rmsnorm", "not under it"),
    "swiglu: w1 and w3 exchanged": ("positionwise_feedforward", "W1 and W3 exchanged"),
    "softmax: nothing subtracted": ("softmax", "the largest was not subtracted"),
    "softmax: always the last dimension": ("softmax", "the dimension is ignored"),
    "softmax: the largest of all": ("softmax", "the largest of the whole tensor"),
    "rope: halves": ("rope", "the first half"),
    "rope: another exponent": ("rope", "the exponent of the next pair"),
    "rope: positions ignored": ("rope", "token_positions ignored"),
    "rope: a fixed theta": ("multihead_self_attention", "a fixed theta"),
    "attention: the mask the other way round": ("scaled_dot_product_attention", "the other way round"),
    "attention: no scale": ("scaled_dot_product_attention", "not divided by the root"),
    "attention: the root of d_v": ("scaled_dot_product_attention", "the root of d_v"),
    "multi-head: heads split without a transpose": ("multihead_self_attention", "a reshape alone"),
    "multi-head: no causal mask": ("multihead_self_attention", "the causal mask is missing"),
    "multi-head: values are turned too": ("multihead_self_attention", "values are turned"),
    "multi-head: positions ignored": ("multihead_self_attention", "token_positions ignored"),
    "block: norms after the sublayers": ("transformer_block", "norms after"),
    "block: the residual from the normed input": ("transformer_block", "from the normed input"),
    "model: no final norm": ("transformer_lm", "the final norm"),
    "model: probabilities": ("transformer_lm", "probabilities"),
    "loss: a sum": ("cross_entropy", "a sum for the mean"),
    "loss: base two": ("cross_entropy", "base 2"),
    "loss: a small number inside of the logarithm": ("cross_entropy", "a small number"),
    "loss: in place": ("cross_entropy", "in place"),
    "loss: the largest of all": ("cross_entropy", "largest of the whole tensor"),
    "loss: two dimensions only": ("cross_entropy", "two dimensions only"),
    "loss: divided by the first dimension": ("cross_entropy", "by the first dimension only"),
    "loss: divided by the second dimension": ("cross_entropy", "by the second dimension only"),
    "batch: the first start left out": ("data_loading", "the first start is left out"),
    "batch: an empty range": ("data_loading", "the last window is never seen"),
    "batch: one start for all rows": ("data_loading", "the same start"),
    "batch: windows side by side": ("data_loading", "multiples of context_length"),
    "batch: one start, then the next": ("data_loading", "the other rows follow from it"),
    "batch: the device ignored": ("data_loading", "device is not used"),
    "checkpoint: the next iteration": ("checkpointing", "off by one"),
    "checkpoint: without the buffers": ("checkpointing", "buffers are left out"),
    "block: an eps of 1e-6 in its norms": ("transformer_block", "an eps of 1e-06"),
    "adamw: L2 instead of decay": ("adamw", "added to the gradient"),
    "adamw: no bias correction": ("adamw", "the bias correction is missing"),
    "adamw: t from 0": ("adamw", "off by one"),
    "adamw: betas exchanged": ("adamw", "betas exchanged"),
    "adamw: decay without lr": ("adamw", "decay without lr"),
    "adamw: the rate kept on the optimizer": ("adamw", "self.lr"),
    "clipping: the largest norm": ("gradient_clipping", "the largest of the gradients' norms"),
    "clipping: absolute values": ("gradient_clipping", "L1"),
    "clipping: each by its own norm": ("gradient_clipping", "by its own norm"),
    "clipping: the parameters": ("gradient_clipping", "the parameters themselves"),
    "checkpoint: eval behind the loading": ("checkpointing", "model.eval()"),
    "checkpoint: the file closed": ("checkpointing", "is closed"),
    "checkpoint: a file opened as a path": ("checkpointing", "open(out)"),
    "stream: white space at its end dropped": ("tokenizer", "white space at the end"),
    "stream: read as a file": ("tokenizer", "as an open file"),
    "stream: lists of ids": ("tokenizer", "yielded as a list"),
    "specials: whatever looks like one": ("tokenizer", "looks like a special token"),
    "specials: <|endoftext|> always": ("tokenizer", "looks like a special token"),
    "specials: in any case": ("tokenizer", "in any case"),
    "decoder: special tokens left out": ("tokenizer", "leaves special tokens out"),
    "encoder: a table of all 256 bytes": ("tokenizer", "all 256 single bytes"),
    "trainer: special tokens in any case": ("train_bpe", "in any case"),
    "trainer: special tokens not escaped": ("train_bpe", "re.escape"),
    "trainer: special tokens of another name not cut out": ("train_bpe", "by a fixed name"),
    "trainer: each line by itself, as of an open file": ("train_bpe", "each line"),
    "trainer: each line by itself, by splitlines": ("train_bpe", "each line"),
    "trainer: each line by itself, without its end": ("train_bpe", "each line"),
    "trainer: ties on decoded tokens, replace": ("train_bpe", "the decoded tokens"),
    "trainer: ties on decoded tokens, ignore": ("train_bpe", "the decoded tokens"),
    "trainer: ties among a few": ("train_bpe", "decided in another way"),
    "trainer: the last document left out": ("train_bpe", "the last document"),
    "trainer: utf-8-sig": ("train_bpe", "utf-8-sig"),
    "adamw: decay by the default rate": ("adamw", "the group's own lr"),
    "adamw: decay by the first group's rate": ("adamw", "the group's own lr"),
    "adamw: decay by the rate it began with": ("adamw", "the group's own lr"),
    "adamw: the update alone by the rate kept on the optimizer": ("adamw", "the rate is kept"),
    "top-p: the token that crosses p dropped": ("top_p", "is dropped"),
    "top-p: a token kept behind a set that holds exactly p": ("top_p", "already holds p"),
    "top-p: a token too many": ("top_p", "already holds p"),
    "top-p: the sorted order kept": ("top_p", "the sorted order"),
    "top-p: not divided": ("top_p", "nothing is divided"),
    "top-p: the last token dropped at p = 1": ("top_p", "is dropped"),
    "adamw: only the last group learns": ("adamw", "outside of the loop over groups"),
    "schedule: it + 1": ("learning_rate_schedule", "(it + 1)"),
    "schedule: progress from step 0": ("learning_rate_schedule", "from step 0"),
    "schedule: cosine_cycle_iters as a length": ("learning_rate_schedule", "as the length"),
    "schedule: swings up again": ("learning_rate_schedule", "swings up"),
    "trainer: words counted once however often they occur": ("train_bpe", "counted once"),
    "trainer: ties go to the pair counted first": ("train_bpe", "counted first"),
    "trainer: ties go to the pair counted last": ("train_bpe", "counted last"),
    "trainer: ties go to the smaller pair": ("train_bpe", "the smaller pair is taken"),
    "trainer: chunks of 262,144 characters": ("train_bpe", "within a run of white space"),
    "trainer: latin-1": ("train_bpe", "as latin-1"),
    "trainer: ASCII only": ("train_bpe", "not ASCII is dropped"),
    "trainer: only the first special token cut out": ("train_bpe", "only the first special token"),
    "trainer: the last special token not cut out": ("train_bpe", "the last special token is not cut out"),
    "trainer: ties by ids": ("train_bpe", "decided by ids"),
    "trainer: stale counts": ("train_bpe", "drift from the words"),
    "trainer: overlapping repeats": ("train_bpe", "share letters"),
    "trainer: words by str.split": ("train_bpe", "lose their leading space"),
    "trainer: lower case": ("train_bpe", "lowercased"),
    "trainer: counts kept in a default argument": ("train_bpe", "an earlier text"),
    "trainer: special tokens removed, and their neighbors joined": ("train_bpe", "become one word"),
    "encoder: the first pair that fits": ("tokenizer", "from the left"),
    "encoder: merges across pre-tokens": ("tokenizer", "across pre-tokens"),
    "encoder: spaces dropped": ("tokenizer", "dropped"),
    "encoder: ids from the order of merges": ("tokenizer", "256 plus the number"),
    "encoder: a cache shared by all": ("tokenizer", "kept in the class"),
    "specials: not escaped": ("tokenizer", "re.escape"),
    "specials: newlines after them eaten": ("tokenizer", "a newline that is taken"),
    "specials: lstrip() of what is between them": ("tokenizer", "strip() of what is between"),
    "specials: in one pattern with the words": ("tokenizer", "over the whole text"),
    "specials: only the first": ("tokenizer", "only the first special token"),
    "specials: the last left out": ("tokenizer", "the last special token is not looked for"),
    "decoder: malformed bytes raise": ("tokenizer", "raises on ids"),
    "decoder: malformed bytes dropped": ("tokenizer", 'errors="ignore"'),
    "stream: each string by itself": ("tokenizer", "by itself"),
    "stream: cut at the last newline": ("tokenizer", "cut at its last newline"),
    "stream: only the last pre-token held back": ("tokenizer", "only the last pre-token"),
    "specials: split without keeping them": ("tokenizer", "drops the separators"),
    **{
        f"trainer: {name}": ("train_bpe", says)
        for name, says in {
            "merges as lists": "another type than tuple",
            "merges of bytearrays": "another type than bytes",
            "merges as a tuple": "the merges are no list",
            "merges as a set": "the merges are no list",
            "ids of numpy": "another type than int",
            "a vocabulary as a list": "no dictionary",
            "special tokens as strings": "another type than bytes",
            "stops at pairs that occur once": "that occur once",
            "special tokens not counted": "special tokens are not counted",
            "one merge more": "one merge off",
            "counts of parts replace each other": "Counter.update() adds",
            "the last document of a large file left out": "that is lost",
            "a pair whose count fell is not queued again": "passed over",
        }.items()
    },
    "encoder: repeats replaced from the right": ("tokenizer", "from the right"),
    "encoder: a pair replaced while the list is walked": ("tokenizer", "lost or doubled"),
    "stream: what is held back kept in the tokenizer": ("tokenizer", "kept in the tokenizer"),
    "stream: at most 4,096 characters held back": ("tokenizer", "has grown to some size"),
    "stream: read to its end first": ("tokenizer", "read to its end"),
    "attention: the first mask for all rows": ("scaled_dot_product_attention", "only the first mask"),
    "attention: the first head's mask for all": ("scaled_dot_product_attention", "only the first head's"),
    "linear: a view of its in_features": ("linear", "reshape()"),
    "rope: its in_query_or_key changed in place": ("rope", "in place"),
    "block: residuals added in place": ("transformer_lm", "in place"),
    "model: blocks in a list": ("transformer_lm", "nn.ModuleList"),
    "linear: its weight a buffer": ("linear", "nn.Parameter is meant"),
    "model: detached": ("transformer_lm", "detach()"),
    "multi-head: joined keys detached": ("transformer_lm", "as that of the keys"),
    "model: its head set to zero": ("transformer_lm", "set to zero"),
    "adamw: break at a parameter without a gradient": ("adamw", "continue is meant"),
    "adamw: every parameter has a gradient": ("adamw", "whether it is there"),
    "adamw: decay without a gradient": ("adamw", "all the same"),
    "adamw: one step count for all parameters": ("adamw", "one step count"),
    "batch: inputs and targets exchanged": ("data_loading", "exchanged"),
    "batch: without replacement": ("data_loading", "without replacement"),
}
