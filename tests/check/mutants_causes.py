"""Wrong batches, clipping and checkpoints of one mistake each, and what the cause of their only fault says."""

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
                "    ids = torch.from_numpy(np.asarray(dataset).astype(np.int64))\n    return ids[at], ids[at + 1]\n"
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
        "the iteration is not",
    ),
}
