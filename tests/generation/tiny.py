"""A tiny Llama with a LoRA adapter and a word-level tokenizer, saved as real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PROMPT = "### Instruction: Generate a crystal.\n### Response:"
ELEMENTS = ["Ca", "Ti", "O", "Na", "Cl", "Mg"]
GROUPS = ["Pm-3m", "Fm-3m", "P1", "P4/mmm"]


END_FEATURE = 6.0
END_SCORE = 3.3


def word_level_tokenizer() -> Any:
    """Return a word-level tokenizer whose tokens keep their blanks and line ends."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", "\n### ", "### ", "Instruction:", "Response:"]
    words += [" Generate", " a", " crystal.", " ", "\n"]
    words += [*ELEMENTS, *GROUPS, "90", " 90", "120", " 120"]
    words += [f"{i / 10:.1f}" for i in range(20, 80)] + [f" {i / 10:.1f}" for i in range(20, 80)]
    words += [f"{i / 100:.2f}" for i in range(100)] + [f" {i / 100:.2f}" for i in range(100)]
    words = list(dict.fromkeys(words))
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"\n### |### | ?[^\s]+|\s"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def save_tiny_model(folder: Path, *, layers: int = 2, width: int = 32, seed: int = 0) -> None:
    """Save a random Llama and a random LoRA adapter on it as ``base`` and ``adapter``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_level_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # a constant feature by which the end token has some 4 % everywhere: texts of
        # many lengths, as crystals have
        model.model.embed_tokens.weight[:, 0] = END_FEATURE
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight *= 0.5
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[tokenizer.eos_token_id] = 0.0
        model.lm_head.weight[tokenizer.eos_token_id, 0] = END_SCORE
    tokenizer.save_pretrained(folder / "base")
    model.save_pretrained(folder / "base")
    lora = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"])
    )
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    lora.save_pretrained(folder / "adapter")
