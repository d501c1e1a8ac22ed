#!/usr/bin/env python3
"""What the reference libraries compute with small random models of every layout.

    python3 reference.py              # writes one folder per case beside this file
    python3 reference.py minilm DIR   # writes minilm.json from a folder with all-MiniLM-L6-v2

Each case is a folder as `save_pretrained` leaves it (float32, seeded) and `expected.json` with
inputs and outputs. Pictures are not stored: see `pixels`. The committed files come from
torch 2.15.0 (CPU), transformers 5.24.0, sentence-transformers 6.2.0, safetensors 0.8.0.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers as t
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

HERE = Path(__file__).parent


def seeded(model, seed):
    """Fills a model with numbers large enough that no part of it is hidden by another."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in sorted(model.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=draw)
            scale = 0.3 if tensor.dim() < 2 else 1.3 / tensor[0].numel() ** 0.5
            tensor.copy_(noise * scale)
            is_norm = "norm" in name.lower() and name.endswith("weight")
            if is_norm or name.endswith("running_var"):
                tensor.copy_(1 + 0.4 * noise.tanh())
            if "embeddings" in name and tensor.dim() == 2:
                tensor.copy_(noise * 0.5)
    return model.eval()


def pixels(batch, side):
    """The pictures of every case: whole numbers of a fixed sequence over 100, in float32."""
    count = batch * 3 * side * side
    numbers = [((i * 37 + i // 7) % 211) / 100 - 1 for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float32).reshape(batch, 3, side, side)


def written(name, expected):
    rounded = {k: torch.as_tensor(v).tolist() for k, v in expected.items()}
    (HERE / name / "expected.json").write_text(json.dumps(rounded) + "\n")
    return HERE / name


def saved(name, model, rename=lambda name: name, extra=()):
    """A clean folder with the model; `rename` and `extra` give it tensors as older releases have them."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    weights = {rename(n): v for n, v in load_file(folder / "model.safetensors").items()}
    weights.update(extra)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def modules(folder, pooling, normalized, flags):
    """The files of sentence-transformers, with pooling as flags (to release 5) or as a word."""
    kind = "sentence_transformers.models." if flags else "sentence_transformers.base.modules."
    names = [("", "Transformer"), ("1_Pooling", "Pooling")]
    names += [("2_Normalize", "Normalize")] if normalized else []
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": kind + name}
        for i, (path, name) in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(listed, indent=2) + "\n")
    (folder / "1_Pooling").mkdir()
    said = {"embedding_dimension": 16, "pooling_mode": pooling}
    if flags:
        said = {"word_embedding_dimension": 16} | {
            f"pooling_mode_{mode}": mode.startswith(pooling)
            for mode in ["cls_token", "mean_tokens", "max_tokens"]
        }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said, indent=2) + "\n")


def texts(pad, vocab, first=5):
    """Three texts of 9, 6 and 1 tokens, padded on the right."""
    draw = torch.Generator().manual_seed(11)
    ids = torch.randint(first, vocab, (3, 9), generator=draw)
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] + [0] * 8])
    return torch.where(mask == 1, ids, pad), mask


def encoder(name, model, base, pad, *, pooling="mean", normalized=True, sidecars=None, **how):
    """`base` is the encoder inside `model`; `sidecars` is None where there are none."""
    seeded(model, seed=len(name))
    folder = saved(name, model, **how)
    if sidecars is not None:
        modules(folder, pooling, normalized, flags=sidecars == "flags")
    ids, mask = texts(pad, 64)
    with torch.no_grad():
        hidden = base(input_ids=ids, attention_mask=mask).last_hidden_state
        features = {"token_embeddings": hidden, "attention_mask": mask}
        features = Pooling(16, pooling_mode=pooling)(features)
        if normalized:
            features = Normalize()(features)
    out = {"input_ids": ids, "attention_mask": mask, "embeddings": features["sentence_embedding"]}
    written(name, out)


def encoders():
    sizes = dict(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=24, max_position_embeddings=20,
    )
    position_ids = {"embeddings.position_ids": torch.arange(20).unsqueeze(0)}
    model = t.BertModel(t.BertConfig(**sizes, layer_norm_eps=1e-3))
    encoder("bert", model, model, 0, sidecars="flags", extra=position_ids)

    def older(name):
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )

    model = t.BertForMaskedLM(t.BertConfig(**sizes, type_vocab_size=3, hidden_act="relu"))
    encoder("bert-masked-lm", model, model.bert, 0, rename=older)
    model = t.RobertaModel(t.RobertaConfig(**sizes, type_vocab_size=1, pad_token_id=1))
    encoder("roberta", model, model, 1, pooling="cls", normalized=False, sidecars="words")
    model = t.XLMRobertaForSequenceClassification(
        t.XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=3, num_labels=2)
    )
    encoder("xlm-roberta", model, model.roberta, 3, sidecars="words")
    config = t.DistilBertConfig(
        vocab_size=64, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=20
    )
    model = t.DistilBertModel(config)
    encoder("distilbert", model, model, 0, normalized=False, sidecars="flags")


def clip(name, seed, eos, ends):
    """`ends` is the token that ends the texts; 14 pixels are 3 patches of 4 and a rest."""
    tower = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    config = t.CLIPConfig(
        text_config=tower | dict(vocab_size=64, max_position_embeddings=12, bos_token_id=4, eos_token_id=eos),
        vision_config=tower | dict(image_size=14, patch_size=4),
        projection_dim=10,
    )
    model = seeded(t.CLIPModel(config), seed)
    position_ids = {"text_model.embeddings.position_ids": torch.arange(12).unsqueeze(0)}
    saved(name, model, extra=position_ids)
    ids, mask = texts(ends, 63, first=6)
    last = mask.sum(1) - 1
    ids[torch.arange(3), last] = ends
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, pixel_values=pixels(2, 14))
    embeds = {"text_embeds": out.text_embeds, "image_embeds": out.image_embeds}
    written(name, {"input_ids": ids} | embeds)


def classifier(name, model, seed, side, prepared=None):
    """`prepared` is what a preprocessor says of the size of its pictures."""
    seeded(model, seed)
    folder = saved(name, model)
    if prepared is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(prepared) + "\n")
    with torch.no_grad():
        written(name, {"logits": model(pixel_values=pixels(2, side)).logits})


def classifiers():
    sizes = dict(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        image_size=14, patch_size=4, num_labels=3,
    )
    for name, bias in [("vit", True), ("vit-no-bias", False)]:
        model = t.ViTForImageClassification(t.ViTConfig(**sizes, qkv_bias=bias))
        classifier(name, model, 21, 14)
    sizes = dict(embedding_size=4, num_labels=3)
    kinds = {
        "resnet": dict(layer_type="bottleneck", hidden_sizes=[8, 12], depths=[1, 2]),
        "resnet-basic": dict(
            layer_type="basic", hidden_sizes=[4, 8], depths=[2, 1], downsample_in_first_stage=True
        ),
        "resnet-early": dict(
            layer_type="bottleneck", hidden_sizes=[8, 8], depths=[1, 1],
            downsample_in_bottleneck=True, hidden_act="gelu",
        ),
    }
    prepared = {
        "resnet": {"size": {"shortest_edge": 30}},
        "resnet-basic": {"size": 40, "crop_size": {"height": 30, "width": 30}},
        "resnet-early": {"size": 30, "crop_size": 20, "do_center_crop": False},
    }
    for name, how in kinds.items():
        model = t.ResNetForImageClassification(t.ResNetConfig(**sizes, **how))
        classifier(name, model, 31, 30, prepared[name])


SENTENCES = [
    "A quick test.",
    "The cat sits outside in the sun.",
    "A man is playing a guitar on the street while people walk by.",
    "",
    "Zürich, naïve café — “quoted” text; ½ kg of Ökoäpfel!",
    "  leading and trailing white space\t\n",
    "机器学习 は 面白い 🙂 and some English words",
    "E = mc^2 and f(x) = 3.14159 * x**2 - 42 / 7, see https://example.org/a?b=c#d",
    "word " * 100,
    " ".join(f"number {n} of a long list," for n in range(60)),
    "This sentence is repeated until it is far longer than the context of the model. " * 40,
    "antidisestablishmentarianism " * 45,
]


def minilm(folder):
    model = SentenceTransformer(folder, device="cpu")
    tokenizer = model.tokenizer
    most = model.max_seq_length
    items = []
    for text in SENTENCES:
        vector = model.encode(text, normalize_embeddings=False, convert_to_tensor=True)
        ids = tokenizer(text, truncation=True, max_length=most)["input_ids"]
        rounded = [float(f"{x:.7g}") for x in vector.tolist()]
        items.append({"text": text, "ids": ids, "embedding": rounded})
    said = {"max_seq_length": most, "pad": tokenizer.pad_token_id, "items": items}
    (HERE / "minilm.json").write_text(json.dumps(said, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["minilm"]:
        minilm(sys.argv[2])
    else:
        torch.manual_seed(0)
        encoders()
        clip("clip", 7, eos=5, ends=5)
        clip("clip-legacy", 8, eos=2, ends=63)
        classifiers()
