# ruff: noqa: B905, NPY002, PTH123, RUF007
"""A right solution in the plainest way: torch.nn, numpy, dictionaries. No check may blame it.

It is the stem of the mutants: each of them is this file with a line or two changed the way people get it wrong.
"""

import math
import pickle
import re
from collections import Counter, defaultdict

import numpy as np
import regex
import torch
import torch.nn as nn

PAT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


# ---------------------------------------------------------------- tokenizer training


def read_text(path):
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace")


def chunks_of(text, special_tokens):
    return [text]


def pieces_of(text, special_tokens):
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.split("|".join(re.escape(token) for token in longest_first), text)


def count_words(text, special_tokens):
    words = Counter()
    for chunk in chunks_of(text, special_tokens):
        for piece in pieces_of(chunk, special_tokens):
            for match in regex.finditer(PAT, piece):
                words[tuple(bytes([b]) for b in match.group().encode("utf-8"))] += 1
    return words


def merge(word, pair):
    out = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def rank_of(pair, count, ids):
    return (count, pair)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    text = read_text(input_path)
    counted = count_words(text, special_tokens)
    words = [list(word) for word in counted]
    times = list(counted.values())
    counts = Counter()
    where = defaultdict(set)
    for i, word in enumerate(words):
        for pair in zip(word, word[1:]):
            counts[pair] += times[i]
            where[pair].add(i)
    vocab = {i: bytes([i]) for i in range(256)}
    ids = {token: i for i, token in vocab.items()}
    merges = []
    while len(merges) < vocab_size - 256 - len(special_tokens):
        if not counts:
            break
        best = max(counts, key=lambda pair: rank_of(pair, counts[pair], ids))
        merges.append(best)
        ids[best[0] + best[1]] = len(vocab)
        vocab[len(vocab)] = best[0] + best[1]
        for i in sorted(where[best]):
            old = words[i]
            new = merge(old, best)
            for pair in zip(old, old[1:]):
                counts[pair] -= times[i]
                where[pair].discard(i)
            for pair in zip(new, new[1:]):
                counts[pair] += times[i]
                where[pair].add(i)
            words[i] = new
        counts = Counter({pair: count for pair, count in counts.items() if count > 0})
    for token in special_tokens:
        vocab[len(vocab)] = token.encode("utf-8")
    return vocab, merges


# ---------------------------------------------------------------- tokenizer


class Tokenizer:
    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab = dict(vocab)
        self.special_tokens = list(special_tokens or [])
        known = set(self.vocab.values())
        for token in self.special_tokens:
            if token.encode("utf-8") not in known:
                self.vocab[max(self.vocab) + 1] = token.encode("utf-8")
        self.ids = {token: i for i, token in self.vocab.items()}
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.cache = {}
        self.splitter = None
        if self.special_tokens:
            longest_first = sorted(self.special_tokens, key=len, reverse=True)
            self.splitter = re.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")

    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        with open(vocab_filepath, "rb") as vocab, open(merges_filepath, "rb") as merges:
            return cls(pickle.load(vocab), pickle.load(merges), special_tokens)

    def encode_word(self, word):
        if word in self.cache:
            return self.cache[word]
        parts = [bytes([b]) for b in word.encode("utf-8")]
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, math.inf))
            if best not in self.ranks:
                break
            parts = merge(parts, best)
        out = [self.ids[part] for part in parts]
        self.cache[word] = out
        return out

    def encode(self, text):
        out = []
        for piece in self.splitter.split(text) if self.splitter else [text]:
            if piece in self.special_tokens:
                out.append(self.ids[piece.encode("utf-8")])
            else:
                for match in regex.finditer(PAT, piece):
                    out.extend(self.encode_word(match.group()))
        return out

    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            cut = self.safe_cut(held)
            yield from self.encode(held[:cut])
            held = held[cut:]
        yield from self.encode(held)

    def safe_cut(self, text):
        """Where a text can be cut whatever follows: after a letter, before a space that a letter follows."""
        limit = len(text)
        for token in self.special_tokens:
            for length in range(1, len(token)):
                if text.endswith(token[:length]):
                    limit = min(limit, len(text) - length)
            if text.endswith(token):
                limit = min(limit, len(text) - len(token))
        cut = 0
        for match in regex.finditer(r"(?<=[a-z]) (?=[a-z])|(?<=[a-z])(?=\n[a-z])", text[:limit]):
            cut = match.start()
        for token in self.special_tokens:
            for match in re.finditer(re.escape(token), text):
                if match.start() < cut < match.end():
                    cut = match.start()
        return cut

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")


def get_tokenizer(vocab, merges, special_tokens=None):
    return Tokenizer(vocab, merges, special_tokens)


# ---------------------------------------------------------------- model


class Linear(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        std = math.sqrt(2 / (d_in + d_out))
        nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x):
        return x @ self.weight.T


class Embedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))
        nn.init.trunc_normal_(self.weight, std=1, a=-3, b=3)

    def forward(self, ids):
        return self.weight[ids]


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x):
        dtype = x.dtype
        x = x.to(torch.float32)
        rms = torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x / rms * self.weight).to(dtype)


def run_silu(in_features):
    return in_features * torch.sigmoid(in_features)


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)
        self.w3 = Linear(d_model, d_ff)

    def forward(self, x):
        return self.w2(run_silu(self.w1(x)) * self.w3(x))


class RoPE(nn.Module):
    def __init__(self, theta, d_k, max_seq_len):
        super().__init__()
        speeds = theta ** (-torch.arange(0, d_k, 2) / d_k)
        angles = torch.arange(max_seq_len)[:, None] * speeds
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x, positions):
        cos, sin = self.cos[positions], self.sin[positions]
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        return turned.flatten(-2).to(x.dtype)


def run_softmax(in_features, dim):
    e = torch.exp(in_features - in_features.amax(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return run_softmax(scores, -1) @ V


class Attention(nn.Module):
    def __init__(self, d_model, num_heads, rope=None):
        super().__init__()
        self.num_heads = num_heads
        self.rope = rope
        self.q_proj = Linear(d_model, d_model)
        self.k_proj = Linear(d_model, d_model)
        self.v_proj = Linear(d_model, d_model)
        self.output_proj = Linear(d_model, d_model)

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

    def forward(self, x, positions=None):
        length = x.shape[-2]
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))
        if self.rope is not None:
            if positions is None:
                positions = torch.arange(length, device=x.device)
            positions = positions.unsqueeze(-2)
            q, k = self.rope(q, positions), self.rope(k, positions)
        mask = torch.tril(torch.ones(length, length, dtype=torch.bool, device=x.device))
        mixed = run_scaled_dot_product_attention(q, k, v, mask)
        return self.output_proj(mixed.transpose(-3, -2).flatten(-2))


class Block(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, max_seq_len, theta):
        super().__init__()
        self.ln1 = RMSNorm(d_model)
        self.attn = Attention(d_model, num_heads, RoPE(theta, d_model // num_heads, max_seq_len))
        self.ln2 = RMSNorm(d_model)
        self.ffn = SwiGLU(d_model, d_ff)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class LM(nn.Module):
    def __init__(self, vocab_size, context_length, d_model, num_layers, num_heads, d_ff, theta):
        super().__init__()
        self.token_embeddings = Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList([Block(d_model, num_heads, d_ff, context_length, theta) for _ in range(num_layers)])
        self.ln_final = RMSNorm(d_model)
        self.lm_head = Linear(d_model, vocab_size)

    def forward(self, ids):
        x = self.token_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))


def filled(module, weights):
    module.load_state_dict(weights)
    return module


def run_linear(d_in, d_out, weights, in_features):
    return filled(Linear(d_in, d_out), {"weight": weights})(in_features)


def run_embedding(vocab_size, d_model, weights, token_ids):
    return filled(Embedding(vocab_size, d_model), {"weight": weights})(token_ids)


def run_rmsnorm(d_model, eps, weights, in_features):
    return filled(RMSNorm(d_model, eps), {"weight": weights})(in_features)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    weights = {"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight}
    return filled(SwiGLU(d_model, d_ff), weights)(in_features)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return RoPE(theta, d_k, max_seq_len)(in_query_or_key, token_positions)


def projections(q, k, v, o):
    return {"q_proj.weight": q, "k_proj.weight": k, "v_proj.weight": v, "output_proj.weight": o}


def run_multihead_self_attention(d_model, num_heads, q, k, v, o, in_features):
    return filled(Attention(d_model, num_heads), projections(q, k, v, o))(in_features)


def run_multihead_self_attention_with_rope(
    d_model, num_heads, max_seq_len, theta, q, k, v, o, in_features, token_positions=None
):
    rope = RoPE(theta, d_model // num_heads, max_seq_len)
    attention = filled(Attention(d_model, num_heads, rope), projections(q, k, v, o))
    return attention(in_features, token_positions)


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    return filled(Block(d_model, num_heads, d_ff, max_seq_len, theta), weights)(in_features)


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    model = LM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta)
    return filled(model, weights)(in_indices)


# ---------------------------------------------------------------- training


def run_cross_entropy(inputs, targets):
    shifted = inputs - inputs.amax(-1, keepdim=True)
    log_sum = shifted.exp().sum(-1).log()
    return (log_sum - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean()


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, (beta1, beta2), eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                t = state.get("t", 0) + 1
                m = beta1 * state.get("m", 0) + (1 - beta1) * p.grad
                v = beta2 * state.get("v", 0) + (1 - beta2) * p.grad**2
                state["t"], state["m"], state["v"] = t, m, v
                p.mul_(1 - lr * decay)
                rate = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
                p.sub_(rate * m / (v.sqrt() + eps))
        return loss


def get_adamw_cls():
    return AdamW


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    if it < warmup_iters:
        return max_learning_rate * it / warmup_iters
    if it >= cosine_cycle_iters:
        return float(min_learning_rate)
    progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * progress)) * (max_learning_rate - min_learning_rate)


def run_gradient_clipping(parameters, max_l2_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    norm = math.sqrt(sum(grad.pow(2).sum().item() for grad in grads))
    if norm > max_l2_norm:
        for grad in grads:
            grad.mul_(max_l2_norm / (norm + 1e-6))


def run_get_batch(dataset, batch_size, context_length, device):
    starts = np.random.randint(0, len(dataset) - context_length, batch_size)
    x = np.stack([dataset[s : s + context_length] for s in starts]).astype(np.int64)
    y = np.stack([dataset[s + 1 : s + context_length + 1] for s in starts]).astype(np.int64)
    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)


def run_save_checkpoint(model, optimizer, iteration, out):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]


# ---------------------------------------------------------------- asked in the chapters only


def decode_utf8(data):
    return data.decode("utf-8", errors="replace")


def parameter_count(vocab_size, context_length, d_model, num_layers, num_heads, d_ff):
    block = 4 * d_model**2 + 3 * d_model * d_ff + 2 * d_model
    return 2 * vocab_size * d_model + num_layers * block + d_model


def forward_flops(vocab_size, context_length, d_model, num_layers, num_heads, d_ff):
    s, d = context_length, d_model
    return num_layers * (8 * s * d * d + 4 * s * s * d + 6 * s * d * d_ff) + 2 * s * d * vocab_size


def top_p(probabilities, p):
    ordered, ids = probabilities.sort(descending=True)
    before = ordered.cumsum(-1) - ordered
    ordered = ordered.masked_fill(before >= p, 0.0)
    out = torch.zeros_like(probabilities).scatter(-1, ids, ordered)
    return out / out.sum(-1, keepdim=True)
