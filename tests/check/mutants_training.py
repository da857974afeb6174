"""Wrong losses, optimizers, batches and checkpoints: what each changes, and the checks that must catch it."""

LOSS = """    shifted = inputs - inputs.amax(-1, keepdim=True)
    log_sum = shifted.exp().sum(-1).log()
    return (log_sum - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean()
"""
LOG_SOFTMAX = "    logp = inputs - inputs.logsumexp(-1, keepdim=True)\n"
GROUP = (
    '            lr, (beta1, beta2), eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]\n'
)
UPDATE = "                p.sub_(rate * m / (v.sqrt() + eps))\n"
DECAY = "                p.mul_(1 - lr * decay)\n"
RATE = "                rate = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
STATE = '                state = self.state[p]\n                t = state.get("t", 0) + 1\n'
INIT = '        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})\n'
CLOSURE = "            with torch.enable_grad():\n                loss = closure()\n"
WARMUP = "        return max_learning_rate * it / warmup_iters\n"
PROGRESS = "    progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)\n"
END = "    if it >= cosine_cycle_iters:\n        return float(min_learning_rate)\n"
GRADS = "    grads = [p.grad for p in parameters if p.grad is not None]\n"
GRADED = "    params = list(parameters)\n" + GRADS.replace("parameters if", "params if")
CLIP = "    if norm > max_l2_norm:\n        for grad in grads:\n            grad.mul_(max_l2_norm / (norm + 1e-6))\n"
NORM = "    norm = math.sqrt(sum(grad.pow(2).sum().item() for grad in grads))\n"
STARTS = "    starts = np.random.randint(0, len(dataset) - context_length, batch_size)\n"
SAVE = (
    '    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}, out)\n'
)
LOAD_OPTIMIZER = '    optimizer.load_state_dict(content["optimizer"])\n'

TRAINING_MUTANTS = {
    "loss: a sum": (
        [(".squeeze(-1)).mean()", ".squeeze(-1)).sum()")],
        ["cross_entropy.value", "cross_entropy.gradient"],
    ),
    "loss: base two": ([(".exp().sum(-1).log()", ".exp().sum(-1).log2()")], ["cross_entropy.value"]),
    "loss: nothing subtracted": (
        [("    shifted = inputs - inputs.amax(-1, keepdim=True)\n", "    shifted = inputs\n")],
        ["cross_entropy.large"],
    ),
    "loss: log of softmax": (
        [(LOSS, "    p = run_softmax(inputs, -1)\n    return -p.gather(-1, targets.unsqueeze(-1)).log().mean()\n")],
        ["cross_entropy.large"],
    ),
    "loss: the largest of all": (
        [("    shifted = inputs - inputs.amax(-1, keepdim=True)\n", "    shifted = inputs - inputs.max()\n")],
        ["cross_entropy.rows"],
    ),
    "loss: divided by the first dimension": (
        [(".squeeze(-1)).mean()", ".squeeze(-1)).sum() / (len(targets) if targets.ndim else 1)")],
        ["cross_entropy.batch", "cross_entropy.more_dims"],
    ),
    "loss: divided by the second dimension": (
        [(".squeeze(-1)).mean()", ".squeeze(-1)).sum() / (targets.shape[1] if targets.ndim > 1 else targets.numel())")],
        ["cross_entropy.batch", "cross_entropy.more_dims"],
    ),
    "loss: two dimensions only": (
        [(LOSS, LOG_SOFTMAX + "    return -logp[torch.arange(inputs.shape[0]), targets].mean()\n")],
        ["cross_entropy.batch", "cross_entropy.more_dims"],
    ),
    "loss: at least one batch dimension": (
        [
            (
                LOSS,
                LOG_SOFTMAX
                + "    rows = logp.reshape(-1, logp.shape[-1])\n    return -rows[torch.arange(len(rows)), targets.reshape(-1)].mean() + 0 * targets.shape[0]\n",
            )
        ],
        ["cross_entropy.more_dims"],
    ),
    "loss: one-hot times log-probabilities": (
        [
            (
                LOSS,
                LOG_SOFTMAX
                + "    hot = torch.nn.functional.one_hot(targets, inputs.shape[-1])\n    return -(hot * logp).sum(-1).mean()\n",
            )
        ],
        ["cross_entropy.impossible"],
    ),
    "loss: a small number inside of the logarithm": (
        [
            (
                LOSS,
                "    p = run_softmax(inputs, -1)\n    return -(p.gather(-1, targets.unsqueeze(-1)) + 1e-9).log().mean()\n",
            )
        ],
        ["cross_entropy.gradient", "cross_entropy.large"],
    ),
    "loss: in place": (
        [
            (
                "    shifted = inputs - inputs.amax(-1, keepdim=True)\n",
                "    inputs -= inputs.amax(-1, keepdim=True).detach()\n    shifted = inputs\n",
            )
        ],
        ["cross_entropy.input"],
    ),
    "adamw: L2 instead of decay": (
        [(DECAY, ""), (STATE, STATE + "                p.grad = p.grad + decay * p\n")],
        ["adamw.value", "adamw.decay", "adamw.gradients"],
    ),
    "adamw: no bias correction": ([(RATE, "                rate = lr\n")], ["adamw.value", "adamw.first_step"]),
    "adamw: t from 0": ([('t = state.get("t", 0) + 1', 't = state.get("t", 1) + 1')], ["adamw.first_step"]),
    "adamw: eps under the root": (
        [(UPDATE, "                p.sub_(rate * m / (v + eps).sqrt())\n")],
        ["adamw.eps", "adamw.eps_given"],
    ),
    "adamw: a fixed eps": ([(UPDATE, UPDATE.replace("eps", "1e-8"))], ["adamw.eps_given", "adamw.group_decay"]),
    "adamw: betas exchanged": ([("(beta1, beta2), eps", "(beta2, beta1), eps")], ["adamw.betas", "adamw.value"]),
    "adamw: decay with the corrected rate": (
        [(DECAY, ""), (RATE, RATE + "                p.mul_(1 - rate * decay)\n")],
        ["adamw.decay"],
    ),
    "adamw: decay without lr": ([(DECAY, "                p.mul_(1 - decay)\n")], ["adamw.decay"]),
    "adamw: the rate under another name": (
        [
            (
                INIT,
                '        super().__init__(params, {"alpha": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})\n',
            ),
            (GROUP, GROUP.replace('group["lr"]', 'group["alpha"]')),
        ],
        ["adamw.schedule", "adamw.group_lr"],
    ),
    "adamw: the rate kept on the optimizer": (
        [(INIT, INIT + "        self.lr = lr\n"), (GROUP, GROUP.replace('group["lr"]', "self.lr"))],
        ["adamw.schedule", "adamw.group_lr"],
    ),
    "adamw: options kept on the optimizer": (
        [
            (INIT, INIT + "        self.options = betas, eps, weight_decay\n"),
            (GROUP, '            lr, ((beta1, beta2), eps, decay) = group["lr"], self.options\n'),
        ],
        ["adamw.group_decay"],
    ),
    **{
        f"adamw: decay by {what}": ([(DECAY, f"                p.mul_(1 - {rate} * decay)\n")], catches)
        for what, rate, catches in (
            ("the default rate", 'self.defaults["lr"]', ["adamw.schedule", "adamw.group_lr"]),
            ("the first group's rate", 'self.param_groups[0]["lr"]', ["adamw.group_lr"]),
            ("the rate it began with", 'group.setdefault("first_lr", lr)', ["adamw.schedule"]),
        )
    },
    "adamw: the update alone by the rate kept on the optimizer": (
        [
            (INIT, INIT + "        self.lr = lr\n"),
            (RATE, RATE.replace("rate = lr", "rate = self.lr")),
        ],
        ["adamw.schedule", "adamw.group_lr"],
    ),
    "adamw: only the last group learns": (
        [
            (
                '            for p in group["params"]:\n',
                '            pass\n        for p in group["params"]:\n            for _ in range(1):\n',
            )
        ],
        ["adamw.groups"],
    ),
    "adamw: every parameter has a gradient": (
        [("                if p.grad is None:\n                    continue\n", "")],
        ["adamw.no_gradient"],
    ),
    "adamw: decay without a gradient": (
        [
            (
                "                if p.grad is None:\n                    continue\n",
                "                p.mul_(1 - lr * decay)\n                if p.grad is None:\n                    continue\n",
            ),
            (DECAY + RATE, RATE),
        ],
        ["adamw.no_gradient"],
    ),
    "adamw: the closure not called": ([(CLOSURE, "            pass\n")], ["adamw.closure"]),
    "adamw: the closure without gradients": ([(CLOSURE, "            loss = closure()\n")], ["adamw.closure"]),
    "adamw: the loss not returned": (
        [("        return loss\n\n\ndef get_adamw_cls", "\n\ndef get_adamw_cls")],
        ["adamw.closure"],
    ),
    "adamw: moments in attributes": (
        [
            (INIT, INIT + "        self.moments = {}\n"),
            ("state = self.state[p]", "state = self.moments.setdefault(p, {})"),
        ],
        ["adamw.state"],
    ),
    "adamw: decay added to the gradient in place": (
        [(STATE, STATE + "                p.grad.add_(0 * p + 1e-3)\n")],
        ["adamw.gradients"],
    ),
    "adamw: a class of its own": (
        [
            (
                "def get_adamw_cls():\n    return AdamW",
                "class Own:\n    def __init__(self, *args, **kwargs):\n        self.inner = AdamW(*args, **kwargs)\n        self.step = self.inner.step\n        self.param_groups = self.inner.param_groups\n\n\ndef get_adamw_cls():\n    return Own",
            )
        ],
        ["adamw.parent"],
    ),
    "schedule: it + 1": (
        [(WARMUP, "        return max_learning_rate * (it + 1) / warmup_iters\n")],
        ["learning_rate_schedule.warmup"],
    ),
    "schedule: progress from step 0": (
        [(PROGRESS, "    progress = it / cosine_cycle_iters\n")],
        ["learning_rate_schedule.cosine", "learning_rate_schedule.joints"],
    ),
    "schedule: cosine_cycle_iters as a length": (
        [
            (PROGRESS, "    progress = (it - warmup_iters) / cosine_cycle_iters\n"),
            ("    if it >= cosine_cycle_iters:", "    if it >= warmup_iters + cosine_cycle_iters:"),
        ],
        ["learning_rate_schedule.cosine", "learning_rate_schedule.joints"],
    ),
    "schedule: swings up again": ([(END, "")], ["learning_rate_schedule.joints"]),
    "schedule: divides by the warm-up": (
        [("    if it < warmup_iters:\n", "    if it / warmup_iters < 1:\n")],
        ["learning_rate_schedule.no_warmup"],
    ),
    "schedule: divides by the cosine's length": (
        [("    if it >= cosine_cycle_iters:", "    if it > cosine_cycle_iters:")],
        ["learning_rate_schedule.no_cosine"],
    ),
    "schedule: a tensor": (
        [(WARMUP, "        return torch.tensor(max_learning_rate * it / warmup_iters)\n")],
        ["learning_rate_schedule.number"],
    ),
    "clipping: each by its own norm": (
        [
            (
                CLIP,
                "    for grad in grads:\n        if grad.norm() > max_l2_norm:\n            grad.mul_(max_l2_norm / (grad.norm() + 1e-6))\n",
            )
        ],
        ["gradient_clipping.value"],
    ),
    "clipping: small gradients grow": (
        [(CLIP, "    for grad in grads:\n        grad.mul_(max_l2_norm / (norm + 1e-6))\n")],
        ["gradient_clipping.small"],
    ),
    "clipping: a generator walked twice": (
        [
            (GRADS, "    grads = (p.grad for p in parameters if p.grad is not None)\n"),
            ("    if not grads:\n        return\n", ""),
        ],
        ["gradient_clipping.generator"],
    ),
    "clipping: all have gradients": (
        [(GRADS, "    grads = [p.grad for p in parameters]\n")],
        ["gradient_clipping.some", "gradient_clipping.none"],
    ),
    "clipping: no gradient at all": (
        [
            (
                "    if not grads:\n        return\n" + NORM,
                "    norm = torch.stack([grad.norm() for grad in grads]).norm().item()\n",
            )
        ],
        ["gradient_clipping.none"],
    ),
    "clipping: 0 / 0": (
        [
            (
                CLIP,
                "    scale = min(1.0, max_l2_norm / norm) if norm else float('nan')\n    for grad in grads:\n        grad.mul_(scale)\n",
            )
        ],
        ["gradient_clipping.zero"],
    ),
    "clipping: new tensors": (
        [
            (GRADS, GRADED),
            (
                CLIP,
                "    if norm > max_l2_norm:\n        for p in params:\n            if p.grad is not None:\n                p.grad = p.grad * (max_l2_norm / (norm + 1e-6))\n",
            ),
        ],
        ["gradient_clipping.in_place"],
    ),
    "clipping: the gradients set to None": (
        [(GRADS, GRADED + "    for p in params:\n        p.grad = None\n")],
        [f"gradient_clipping.{name}" for name in ("value", "small", "generator", "some", "zero", "in_place", "eps")],
    ),
    "clipping: zero_grad for gradients of zero": (
        [(CLIP, CLIP + "    if norm == 0:\n        for p in params:\n            p.grad = None\n"), (GRADS, GRADED)],
        ["gradient_clipping.zero"],
    ),
    "clipping: the last gradient deleted": (
        [(CLIP, CLIP + "        del [p for p in params if p.grad is not None][-1].grad\n"), (GRADS, GRADED)],
        [f"gradient_clipping.{name}" for name in ("value", "generator", "some", "in_place", "eps")],
    ),
    "clipping: a large eps": ([(CLIP, CLIP.replace("1e-6", "1e-3"))], ["gradient_clipping.eps"]),
    "batch: targets are the inputs": (
        [("dataset[s + 1 : s + context_length + 1]", "dataset[s : s + context_length]")],
        ["data_loading.shift", "data_loading.one_window"],
    ),
    "batch: a window too short": (
        [("dataset[s : s + context_length] for", "dataset[s : s + context_length - 1] for")],
        ["data_loading.shift"],
    ),
    "batch: the type of the file": (
        [
            (".astype(np.int64)\n    return", ".astype(dataset.dtype)\n    return"),
            ("for s in starts]).astype(np.int64)\n    y", "for s in starts]).astype(dataset.dtype)\n    y"),
        ],
        ["data_loading.int64"],
    ),
    "batch: float32": (
        [
            (
                "    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)",
                "    return torch.Tensor(x).to(device), torch.Tensor(y).to(device)",
            )
        ],
        ["data_loading.int64"],
    ),
    "batch: uint16 as int16": (
        [(STARTS, "    dataset = dataset.view(np.int16) if dataset.dtype == np.uint16 else dataset\n" + STARTS)],
        ["data_loading.large_ids"],
    ),
    "batch: the last start left out": (
        [(STARTS, STARTS.replace("len(dataset) - context_length", "max(1, len(dataset) - context_length - 1)"))],
        ["data_loading.both_ends"],
    ),
    "batch: an empty range": (
        [(STARTS, STARTS.replace("len(dataset) - context_length", "len(dataset) - context_length - 1"))],
        ["data_loading.one_window", "data_loading.both_ends"],
    ),
    "batch: the first start left out": (
        [(STARTS, STARTS.replace("randint(0,", "randint(1,"))],
        ["data_loading.both_ends", "data_loading.one_window", "data_loading.uniform"],
    ),
    "batch: one start for all rows": (
        [(STARTS, STARTS.replace("batch_size", "1").replace(")\n", ").repeat(batch_size)\n"))],
        ["data_loading.both_ends", "data_loading.uniform", "data_loading.independent"],
    ),
    "batch: windows side by side": (
        [
            (
                STARTS,
                "    starts = context_length * np.random.randint(\n"
                "        0, (len(dataset) - 1) // context_length, batch_size\n    )\n",
            )
        ],
        ["data_loading.both_ends", "data_loading.uniform"],
    ),
    "batch: one start, then the next": (
        [
            (
                STARTS,
                "    many = len(dataset) - context_length\n"
                "    starts = (np.random.randint(0, many) + np.arange(batch_size)) % many\n",
            )
        ],
        ["data_loading.independent"],
    ),
    "batch: rows in pairs of far starts": (
        [
            (
                STARTS,
                STARTS + "    many = len(dataset) - context_length\n"
                "    starts[1::2] = (starts[: len(starts) // 2 * 2 : 2] + many // 2) % many\n",
            )
        ],
        ["data_loading.independent"],
    ),
    "batch: the device ignored": (
        [(".to(device), torch.from_numpy(y).to(device)", ", torch.from_numpy(y)")],
        ["data_loading.device"],
    ),
    "batch: targets on another device": (
        [(".to(device), torch.from_numpy(y).to(device)", ".to(device), torch.from_numpy(y)")],
        ["data_loading.device"],
    ),
    "batch: low starts preferred": (
        [
            (
                STARTS,
                STARTS
                + "    starts = np.minimum(starts, np.random.randint(0, len(dataset) - context_length, batch_size))\n",
            )
        ],
        ["data_loading.uniform"],
    ),
    "batch: the ends twice as often": (
        [
            (
                STARTS,
                "    many = len(dataset) - context_length\n"
                "    starts = np.random.randint(-1, many + 1, batch_size).clip(0, many - 1)\n",
            )
        ],
        ["data_loading.uniform"],
    ),
    "batch: without replacement": (
        [(STARTS, "    starts = np.random.permutation(len(dataset) - context_length)[:batch_size]\n")],
        ["data_loading.replacement"],
    ),
    "batch: a seed inside": ([(STARTS, "    np.random.seed(0)\n" + STARTS)], ["data_loading.draws"]),
    "batch: the system's entropy": (
        [(STARTS, "    starts = np.random.default_rng().integers(0, len(dataset) - context_length, batch_size)\n")],
        ["data_loading.seed"],
    ),
    "batch: all data converted": (
        [(STARTS, "    dataset = torch.tensor(np.asarray(dataset).astype(np.int64)).numpy()\n" + STARTS)],
        ["data_loading.memmap"],
    ),
    "batch: all data looked through": ([(STARTS, "    assert dataset.max() >= 0\n" + STARTS)], ["data_loading.memmap"]),
    "batch: views of the data": (
        [
            (
                "    x = np.stack([dataset[s : s + context_length] for s in starts]).astype(np.int64)\n",
                "    x = np.lib.stride_tricks.sliding_window_view(dataset, context_length, writeable=True)[starts[0] : starts[0] + batch_size]\n",
            ),
            (
                "    y = np.stack([dataset[s + 1 : s + context_length + 1] for s in starts]).astype(np.int64)\n",
                "    y = x\n",
            ),
        ],
        ["data_loading.whole"],
    ),
    "checkpoint: without the optimizer": ([(LOAD_OPTIMIZER, "")], ["checkpointing.path"]),
    "checkpoint: the iteration not returned": (
        [('    return content["iteration"]\n', "")],
        ["checkpointing.path", "checkpointing.again"],
    ),
    "checkpoint: the next iteration": (
        [('    return content["iteration"]\n', '    return content["iteration"] + 1\n')],
        ["checkpointing.path", "checkpointing.again"],
    ),
    "checkpoint: without the buffers": (
        [
            (SAVE, SAVE.replace("model.state_dict()", "dict(model.named_parameters())")),
            ('model.load_state_dict(content["model"])', 'model.load_state_dict(content["model"], strict=False)'),
        ],
        ["checkpointing.path"],
    ),
    "checkpoint: string operations on the path": (
        [(SAVE, "    out = out + '' if not hasattr(out, 'write') else out\n" + SAVE)],
        ["checkpointing.path_object"],
    ),
    "checkpoint: open(out)": (
        [(SAVE, "    out = open(out, 'wb')\n" + SAVE + "    out.close()\n")],
        ["checkpointing.file"],
    ),
    "checkpoint: refuses to replace": (
        [(SAVE, "    import os\n\n    assert hasattr(out, 'write') or not os.path.exists(out)\n" + SAVE)],
        ["checkpointing.again"],
    ),
    "checkpoint: leaves the model in eval mode": ([(SAVE, "    model.eval()\n" + SAVE)], ["checkpointing.untouched"]),
    "utf-8: byte by byte": (
        [
            (
                '    return data.decode("utf-8", errors="replace")\n',
                '    return "".join(bytes([b]).decode("utf-8") for b in data)\n',
            )
        ],
        ["decode_utf8.several_bytes"],
    ),
    "utf-8: malformed bytes raise": (
        [('    return data.decode("utf-8", errors="replace")\n', '    return data.decode("utf-8")\n')],
        ["decode_utf8.malformed"],
    ),
    "utf-8: the text of the bytes": (
        [('    return data.decode("utf-8", errors="replace")\n', "    return str(data)\n")],
        ["decode_utf8.ascii"],
    ),
    "parameters: two matrices in the feed-forward network": (
        [("3 * d_model * d_ff", "2 * d_model * d_ff")],
        ["parameter_count.small", "parameter_count.xl"],
    ),
    "flops: scores counted once": ([("4 * s * s * d", "2 * s * s * d")], ["forward_flops.small", "forward_flops.xl"]),
    "top-p: the token that crosses p dropped": (
        [("    before = ordered.cumsum(-1) - ordered\n", "    before = ordered.cumsum(-1)\n")],
        ["top_p.crossing", "top_p.first"],
    ),
    "top-p: a token kept behind a set that holds exactly p": (
        [("before >= p, 0.0", "before > p, 0.0")],
        ["top_p.crossing"],
    ),
    "top-p: a token too many": (
        [
            (
                "    before = ordered.cumsum(-1) - ordered\n",
                "    before = (ordered.cumsum(-1) - ordered).roll(1)\n    before[0] = 0\n",
            )
        ],
        ["top_p.crossing", "top_p.first"],
    ),
    "top-p: the sorted order kept": (
        [("torch.zeros_like(probabilities).scatter(-1, ids, ordered)", "ordered")],
        ["top_p.order"],
    ),
    "top-p: not divided": ([("    return out / out.sum(-1, keepdim=True)\n", "    return out\n")], ["top_p.sum"]),
    "top-p: the last token dropped at p = 1": ([("before >= p, 0.0", "before + ordered >= p, 0.0")], ["top_p.all"]),
    "clipping: the largest norm": (
        [(NORM, "    norm = max(grad.norm().item() for grad in grads)\n")],
        ["gradient_clipping.value"],
    ),
    "clipping: absolute values": (
        [(NORM, "    norm = sum(grad.abs().sum().item() for grad in grads)\n")],
        ["gradient_clipping.value"],
    ),
    "clipping: the parameters": (
        [(GRADS, "    grads = [p.data for p in parameters if p.grad is not None]\n")],
        ["gradient_clipping.value", "gradient_clipping.in_place"],
    ),
    "checkpoint: eval behind the loading": (
        [('    return content["iteration"]', '    model.eval()\n    return content["iteration"]')],
        ["checkpointing.path"],
    ),
    "checkpoint: the file closed": (
        [(SAVE, SAVE + "    getattr(out, 'close', int)()\n")],
        ["checkpointing.file"],
    ),
    "checkpoint: a file opened as a path": (
        [(SAVE, "    with open(out, 'wb') as out:\n    " + SAVE)],
        ["checkpointing.file"],
    ),
    "adamw: break at a parameter without a gradient": (
        [
            (
                "                if p.grad is None:\n                    continue\n",
                "                if p.grad is None:\n                    break\n",
            )
        ],
        ["adamw.no_gradient"],
    ),
    "adamw: one step count for all parameters": (
        [
            (INIT, INIT + "        self.n = 0\n"),
            (STATE, "                state = self.state[p]\n                self.n += 1\n                t = self.n\n"),
        ],
        ["adamw.step_count", "adamw.state", "adamw.groups"],
    ),
    "batch: inputs and targets exchanged": (
        [
            (
                "    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)",
                "    return torch.from_numpy(y).to(device), torch.from_numpy(x).to(device)",
            )
        ],
        ["data_loading.shift"],
    ),
}
