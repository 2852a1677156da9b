"""Times ONNX Runtime and OpenVINO (f32) against `offramp bench` on encoders of BERT's size, on CPU.

Makes a virtual environment with pinned packages, writes random-weight checkpoints, exports them to
ONNX, and times all engines in turn, round after round, so that a disturbance of the machine meets
all of them. Prints one line of JSON per (model, rows), and a table at the end.

    python3 benches/peers/cpu.py --venv DIR/venv --work DIR --ours target/release/offramp
"""
import json

import common

SIZES = {"minilm": dict(num_hidden_layers=6, hidden_size=384, num_attention_heads=12,
                        intermediate_size=1536),
         "bert-base": dict(num_hidden_layers=12, hidden_size=768, num_attention_heads=12,
                           intermediate_size=3072)}
ROWS, INPUTS = (1, 8, 32), ("input_ids", "attention_mask", "token_type_ids")


# ---------------------------------------------------------------- models

def checkpoint(folder, size):
    """A random BertForSequenceClassification in the usual layout, made once."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=30522, num_labels=6, attn_implementation="eager", **size)
        BertForSequenceClassification(config).save_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    return model.eval()


def sample(rows, tokens):
    """Full rows without padding, as int64 arrays."""
    import numpy as np
    ids = np.random.default_rng(rows).integers(1000, 30000, (rows, tokens))
    return dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids))))


def export(folder, size, tokens):
    """ONNX with free batch and length; checked against the model it came from."""
    import torch
    path, model = folder / "model.onnx", checkpoint(folder, size)
    feeds = sample(2, tokens)
    example = tuple(torch.tensor(feeds[name]) for name in INPUTS)
    if not path.exists():
        free = {name: {0: "rows", 1: "tokens"} for name in INPUTS}
        torch.onnx.export(model, example, str(path), input_names=list(INPUTS),
                          output_names=["logits"], dynamic_axes=free, opset_version=17,
                          dynamo=False)
    with torch.no_grad():
        expected = model(*example).logits.numpy()
    got = common.onnxruntime_runner(path, 2)(feeds)
    worst = abs(got - expected).max()
    print(f"{folder.name}: largest difference of ONNX from torch {worst:.2e}", flush=True)
    return path


def fuse(path, size):
    """ONNX Runtime's own transformer fusions (attention, gelu, layer norm) ahead of time."""
    from onnxruntime.transformers import optimizer
    out = path.with_name("fused.onnx")
    if not out.exists():
        made = optimizer.optimize_model(str(path), model_type="bert", opt_level=0,
                                        num_heads=size["num_attention_heads"],
                                        hidden_size=size["hidden_size"])
        print(path.parent.name, "fused:", made.get_fused_operator_statistics(), flush=True)
        made.save_model_to_file(str(out))
    return out


# ---------------------------------------------------------------- time

def timers(args, folder, plain, fused, rows):
    """Name and timing function of everything that takes part."""
    feeds, shapes = sample(rows, args.tokens), {name: [rows, args.tokens] for name in INPUTS}
    calls = {"onnxruntime": common.onnxruntime_runner(plain, args.threads),
             "onnxruntime-fused": common.onnxruntime_runner(fused, args.threads),
             "openvino": common.openvino_runner(plain, args.threads, shapes)}
    found = {name: lambda call=call: common.time_python(call, feeds, seconds=args.seconds)
             for name, call in calls.items()}
    if args.ours:
        found["offramp"] = lambda: common.time_ours(
            args.ours, folder, rows, args.threads,
            "--tokens", args.tokens, "--seconds", args.seconds)
    return found


def compare(args, name, folder, plain, fused, rows):
    """One cell: all engines at one batch size."""
    found = common.alternate(timers(args, folder, plain, fused, rows), args.rounds)
    return {"model": name, "rows": rows, "tokens": args.tokens, "threads": args.threads,
            "rounds": args.rounds, **found, "ratio": ratios(found["median_ms"])}


def ratios(medians):
    """How many times longer each engine takes than ours, or than the quickest if ours is absent."""
    base = medians.get("offramp", min(medians.values()))
    return {engine: round(value / base, 3) for engine, value in medians.items()}


def table(results):
    """All medians, for reading."""
    for r in results:
        cells = (f"{e} {v:9.2f} ms (n {r['n'][e]}, x{r['ratio'][e]:.2f})"
                 for e, v in r["median_ms"].items())
        print(f"{r['model']:10} rows {r['rows']:3}  {'  '.join(cells)}")


def arguments():
    """The command line."""
    parser = common.parser(__doc__)
    add = parser.add_argument
    add("--models", nargs="*", default=list(SIZES), choices=list(SIZES))
    add("--rows", nargs="*", type=int, default=list(ROWS))
    add("--tokens", type=int, default=128)
    add("--seconds", type=float, default=3.0, help="time per engine and round")
    return parser.parse_args()


def main():
    """Everything, in order."""
    args, results = arguments(), []
    common.enter(args)
    for name in args.models:
        folder = args.work / name
        plain = export(folder, SIZES[name], args.tokens)
        fused = fuse(plain, SIZES[name])
        for rows in args.rows:
            results.append(compare(args, name, folder, plain, fused, rows))
            print(json.dumps(results[-1]), flush=True)
    table(results)


if __name__ == "__main__":
    main()
