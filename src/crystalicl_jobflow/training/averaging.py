"""The mean of models that were trained one from another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crystalicl_jobflow.training.base_model import save_base


def average_models(shares: Mapping[str | Path, float], out: str | Path) -> None:
    """Write the weighted mean of models' weights as a model.

    The mean of two ends of one training often does better than either, in what each of them is
    good at (model soups, Wortsman et al., ICML 2022).

    Parameters
    ----------
    shares
        Folder of each model → its share. Shares add up to 1.
    out
        Folder of the mean, with the tokenizer and configuration of the first.

    Raises
    ------
    ValueError
        If shares do not add up to 1, there are fewer than two models, or they are of different
        shapes; one line.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if len(shares) < 2:
        raise ValueError("a mean needs at least two models")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not 1")
    folders = list(shares)
    for folder in folders:
        if not Path(folder, "config.json").is_file():
            raise ValueError(f"{folder} has no config.json")
    models = [
        AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).float()
        for folder in folders
    ]
    states = [model.state_dict() for model in models]
    shapes = [{name: tuple(weight.shape) for name, weight in state.items()} for state in states]
    for folder, shape in zip(folders[1:], shapes[1:], strict=True):
        if shape != shapes[0]:
            raise ValueError(f"{folder} has other weights than {folders[0]}")
    mean = {
        name: sum(share * state[name] for share, state in zip(shares.values(), states, strict=True))
        for name in states[0]
    }
    models[0].load_state_dict(mean)
    tokenizer = AutoTokenizer.from_pretrained(folders[0], trust_remote_code=False)
    save_base(models[0], tokenizer, Path(out))
