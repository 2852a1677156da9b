"""Writes tiny random checkpoints and their expected outputs, for the engine's tests.

Every checkpoint gets a folder <out>/<name> with config.json, model.safetensors (or shards with an index)
and cases.json: {"cases": [{"tokens", "types" if used, "logits" or "mean"/"first"/"pooled"}]}. Each case is
one unpadded f32 forward pass with plain ("eager") attention. Needs torch and transformers only.
"""
import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

VOCAB, POSITIONS = 100, 40
LENGTHS = (1, 2, 3, 7, 16, 31)
SMALL = dict(vocab_size=VOCAB, max_position_embeddings=POSITIONS, hidden_size=32, intermediate_size=64,
             num_hidden_layers=2, num_attention_heads=4)


def bert(head=True, labels=6, pooler=True, **changes):
    """A BERT with a classifier, or the bare encoder."""
    config = hf.BertConfig(**{**SMALL, "num_labels": labels, **changes})
    if head:
        return hf.BertForSequenceClassification(config)
    return hf.BertModel(config, add_pooling_layer=pooler)


def roberta(labels=6):
    """A RoBERTa with a classifier: positions start after the pad id, 1."""
    sizes = {**SMALL, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "num_labels": labels}
    return hf.RobertaForSequenceClassification(hf.RobertaConfig(pad_token_id=1, bos_token_id=0, eos_token_id=2, **sizes))


def distilbert(head=True, labels=6):
    """A DistilBERT with a classifier, or the bare encoder."""
    config = hf.DistilBertConfig(vocab_size=VOCAB, max_position_embeddings=POSITIONS, dim=32, hidden_dim=64,
                                 n_layers=3, n_heads=2, num_labels=labels)
    return hf.DistilBertForSequenceClassification(config) if head else hf.DistilBertModel(config)


RECIPES = {
    "bert-cls": lambda: bert(),
    "bert-cls-gelu-new": lambda: bert(labels=1, hidden_act="gelu_new"),
    "bert-relu-many": lambda: bert(labels=40, hidden_act="relu", num_hidden_layers=3),
    "bert-tanh-approx": lambda: bert(hidden_act="gelu_pytorch_tanh", num_attention_heads=2),
    "bert-base-nohead": lambda: bert(head=False),
    "bert-nohead-nopooler": lambda: bert(head=False, pooler=False),
    "roberta-cls": roberta,
    "distilbert-cls": distilbert,
    "distilbert-base": lambda: distilbert(head=False),
    "bert-bf16": bert,
    "bert-f16": bert,
    "bert-sharded": bert,
    "bert-with-position-ids": bert,
}
DTYPES = {"bert-bf16": torch.bfloat16, "bert-f16": torch.float16}


@torch.no_grad()
def shake(model, generator):
    """Random weights wide enough that outputs differ; no bias or layer norm left at its default."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 2:
            scale = 0.7 if "embeddings" in name else 1.5 / weight.shape[1] ** 0.5
            weight.copy_(noise * scale)
        else:
            weight.copy_(noise * 0.25 + (1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0))


def save(model, folder, name):
    """Write the checkpoint in the way the name asks for."""
    model.to(DTYPES.get(name, torch.float32))
    model.save_pretrained(folder, max_shard_size="24KB" if name == "bert-sharded" else "50MB")
    model.to(torch.float32)
    if name == "bert-with-position-ids":
        path = folder / "model.safetensors"
        ids = {"bert.embeddings.position_ids": torch.arange(POSITIONS)[None]}
        save_file({**load_file(path), **ids}, path, metadata={"format": "pt"})


def tokens_for(length, config, rng):
    """Random token ids; the pad id is left out here, so that it occurs only where it is meant to."""
    ids = rng.integers(0, VOCAB, length)
    return [int(i) if i != config.pad_token_id else 5 for i in ids]


def inputs(config, rng):
    """Two cases of every length up to the largest; BERT's second ones carry token types."""
    for length in (*LENGTHS, POSITIONS):
        yield {"tokens": tokens_for(length, config, rng)}
        case = {"tokens": tokens_for(length, config, rng)}
        if config.model_type == "bert":
            cut = int(rng.integers(0, length))
            case["types"] = [0] * cut + [1] * (length - cut)
        yield case
    inner = tokens_for(9, config, rng)
    inner[3] = inner[6] = config.pad_token_id
    yield {"tokens": inner}


def plain(values):
    """A JSON list of the shortest decimals that round back to the same f32."""
    return [float(str(np.float32(x))) for x in values.flatten().tolist()]


@torch.no_grad()
def run(model, case):
    """The outputs of one unpadded case."""
    ids = torch.tensor([case["tokens"]])
    extra = {"token_type_ids": torch.tensor([case["types"]])} if "types" in case else {}
    out = model(input_ids=ids, attention_mask=torch.ones_like(ids), **extra)
    if hasattr(out, "logits"):
        return {"logits": plain(out.logits)}
    hidden = out.last_hidden_state[0]
    found = {"mean": plain(hidden.mean(0)), "first": plain(hidden[0])}
    pooled = getattr(out, "pooler_output", None)
    return found if pooled is None else {**found, "pooled": plain(pooled)}


def make(out, name, number):
    """Write one checkpoint and the outputs of the checkpoint as read back from disk."""
    torch.manual_seed(number)
    model, folder = RECIPES[name](), out / name
    shake(model, torch.Generator().manual_seed(1000 + number))
    save(model, folder, name)
    extra = {"add_pooling_layer": False} if name == "bert-nohead-nopooler" else {}
    model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **extra).eval()
    cases = [{**case, **run(model, case)} for case in inputs(model.config, np.random.default_rng(number))]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "cases.json").write_text('{"cases":[\n' + lines + "\n]}\n")


def main():
    """Make all checkpoints, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder per checkpoint")
    parser.add_argument("names", nargs="*", help="only these checkpoints")
    args = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    for number, name in enumerate(RECIPES):
        if not args.names or name in args.names:
            make(args.out, name, number)
            print(name, sum(p.stat().st_size for p in (args.out / name).iterdir()), "bytes")


if __name__ == "__main__":
    main()
