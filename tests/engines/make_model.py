"""Writes a tiny Llama for engines that read Hugging Face folders: make_model.py FOLDER.

Run by the engine's own interpreter, which has what this imports. The weights are random but for
one thing: dimension 0 of the hidden state is the same for every token, so that the column 0 of the
last matrix is a bias. With it the model says numbers and never ends by itself, while a grammar can
still have it say anything, byte by byte.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = "the quick brown fox jumps over the lazy dog hello world user assistant system"
NUMBERS = [f" {number}" for number in range(200)]
VOCABULARY = 800
HIDDEN = 64
CTX = 16_384
CONSTANT = 8.0
SEED = 7
"""Chosen: with it the most likely text does not fall into one number for ever."""
RELUCTANCE = {"number": 0.0, "printable": 4.0, "anything": 8.0, "special": 20.0}
"""How much less likely a token is than its random weights say."""
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if not loop.last or add_generation_prompt %}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    byte_pairs.train_from_iterator([TEXT, *NUMBERS] * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.chat_template = TEMPLATE
    return fast


def kind_of(token: int, words: PreTrainedTokenizerFast) -> str:
    if token in words.all_special_ids:
        return "special"
    text = words.decode([token])
    if text in NUMBERS:
        return "number"
    return "printable" if text.isascii() and text.isprintable() else "anything"


def model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CTX,
        initializer_range=0.3,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=False,
    )
    llama = LlamaForCausalLM(config).float()
    with torch.no_grad():
        llama.model.embed_tokens.weight[:, 0] = CONSTANT
        for layer in llama.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        for token in range(len(words)):
            llama.lm_head.weight[token, 0] = -RELUCTANCE[kind_of(token, words)]
    return llama


def main() -> None:
    folder = sys.argv[1]
    words = tokenizer()
    words.save_pretrained(folder)
    model(words).save_pretrained(folder)


main()
