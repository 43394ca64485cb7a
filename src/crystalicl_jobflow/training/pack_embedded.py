"""Package the embedded model: files of small size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from crystalicl_jobflow.generation.model_places import ADAPTER_CONFIG, MODEL_CONFIG

if TYPE_CHECKING:
    import torch

LARGEST = 40_000_000
"""Maximum total size of base model and adapter in bytes."""


def pack(
    base: str | Path,
    adapter: str | Path,
    out: str | Path,
    *,
    dtype: str = "float16",
    base_name: str = "embedded",
    copy_bias: float = 0.0,
) -> int:
    """Write a base model and its adapter as they are distributed.

    Parameters
    ----------
    base, adapter
        Folders of a trained base model and of its adapter.
    out
        Folder for ``base`` and ``adapter``; existing ones are replaced.
    dtype
        Precision of the base model's weights; the adapter keeps its own.
    base_name
        Name of the base model in the adapter's configuration.
    copy_bias
        Copy bias (nats) with which the model is meant to be used.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        If a folder holds no model or adapter, the precision is unknown, or the total size exceeds
        `LARGEST`.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from crystalicl_jobflow.generation.adapter_base import record_base
    from crystalicl_jobflow.training.base_model import save_base

    base, adapter, out = Path(base), Path(adapter), Path(out)
    precision = _precision(dtype)
    _require(base, MODEL_CONFIG)
    _require(adapter, ADAPTER_CONFIG)
    for name in ("base", "adapter"):
        shutil.rmtree(out / name, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    save_base(model, tokenizer, out / "base", dtype=precision, copy_bias=copy_bias)
    (out / "adapter").mkdir(parents=True)
    shutil.copyfile(
        adapter / "adapter_model.safetensors", out / "adapter" / "adapter_model.safetensors"
    )
    _write_config(adapter, out / "adapter", base_name)
    record_base(out / "adapter", out / "base", name=base_name)
    files = [path for path in out.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)  # safetensors writes for the owner alone
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST:
        raise ValueError(f"{out} has {size} bytes, more than {LARGEST}")
    return size


def pack_adapter(
    adapter: str | Path, out: str | Path, *, base_name: str, dtype: str = "float16"
) -> int:
    """Write an adapter as it is distributed, for a base model that is not.

    Parameters
    ----------
    adapter
        Folder of a trained adapter; its card and the hash of the base weights that it was trained
        on go with it.
    out
        Its folder; replaced.
    base_name
        Name of the base model on the hub, for the adapter's configuration.
    dtype
        Precision of the weights; peft computes in float32 with them.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        If the folder holds no adapter, or the precision is unknown.
    """
    from safetensors.torch import load_file, save_file

    adapter, out = Path(adapter), Path(out)
    precision = _precision(dtype)
    _require(adapter, ADAPTER_CONFIG)
    weights = load_file(adapter / "adapter_model.safetensors")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    file = out / "adapter_model.safetensors"
    save_file({k: v.to(precision) for k, v in weights.items()}, file, {"format": "pt"})
    _write_config(adapter, out, base_name)
    for name in ("base_model.json", "README.md"):
        if (adapter / name).is_file():
            shutil.copyfile(adapter / name, out / name)
    for path in out.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone
    return sum(path.stat().st_size for path in out.iterdir())


def _precision(dtype: str) -> torch.dtype:
    import torch

    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"dtype {dtype!r} is not known")
    return found


def _require(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise ValueError(f"{folder} has no {name}")


def _write_config(adapter: Path, out: Path, base_name: str) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (out / "adapter_config.json").write_text(text, encoding="utf-8")
