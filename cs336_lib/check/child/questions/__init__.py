"""The checks, one file a topic; importing this package registers them all."""

from . import (
    attention,
    bpe_training,
    bpe_training_edges,
    chapters,
    checkpointing,
    data_loading,
    functions,
    layers,
    loss,
    model,
    multihead,
    optimizer,
    optimizer_rules,
    schedule_and_clipping,
    streams,
    tokenizer,
    tokenizer_edges,
)

GROUPS: dict[str, tuple[str, ...]] = {
    "tokenizer training": ("train_bpe",),
    "tokenizer": ("tokenizer",),
    "layers": ("linear", "embedding", "rmsnorm", "positionwise_feedforward", "softmax"),
    "model": (
        "rope",
        "scaled_dot_product_attention",
        "multihead_self_attention",
        "transformer_block",
        "transformer_lm",
    ),
    "training": ("cross_entropy", "adamw", "learning_rate_schedule", "gradient_clipping"),
    "data": ("data_loading", "checkpointing"),
}

__all__ = [
    "GROUPS",
    "attention",
    "bpe_training",
    "bpe_training_edges",
    "chapters",
    "checkpointing",
    "data_loading",
    "functions",
    "layers",
    "loss",
    "model",
    "multihead",
    "optimizer",
    "optimizer_rules",
    "schedule_and_clipping",
    "streams",
    "tokenizer",
    "tokenizer_edges",
]
