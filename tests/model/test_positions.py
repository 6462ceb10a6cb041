"""For how many tokens a model has positions, by the configs of models as they are published."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoConfig, Blip2Config, OPTConfig, T5Config

from vqa_core.model.positions import Positions, positions_of

CASES: list[tuple[str, dict[str, Any], int | None]] = [
    ("llama", {"max_position_embeddings": 512}, 512),
    ("llama", {"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "linear", "factor": 4.0}}, 16384),
    ("qwen2", {
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    }, 131072),
    ("llama", {
        "max_position_embeddings": 131072,
        "rope_parameters": {
            "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
        },
    }, 131072),
    ("mistral", {"max_position_embeddings": 32768, "sliding_window": 4096}, 32768),
    ("gpt2", {"n_positions": 64}, 64),
    ("opt", {"max_position_embeddings": 64}, 64),
    ("bert", {"max_position_embeddings": 128}, 128),
    ("roberta", {"max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ("t5", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "row"), CASES)
def test_the_positions_of_a_row(kind: str, values: dict[str, Any], row: int | None) -> None:
    rope = values.get("rope_parameters")
    values = values | ({"rope_parameters": rope | {"rope_theta": 10000.0}} if rope else {})
    found = positions_of(AutoConfig.for_model(kind, **values))
    assert found.row == row
    assert found.is_endless == (row is None)


def test_a_reader_and_a_decoder_have_their_own() -> None:
    reads = Blip2Config(
        text_config=OPTConfig(max_position_embeddings=64), qformer_config={"max_position_embeddings": 32}
    )
    assert positions_of(reads) == Positions(64, None, 32)
    assert positions_of(Blip2Config(text_config=T5Config())).row is None
    assert positions_of(AutoConfig.for_model("bart", max_position_embeddings=96)) == Positions(96, 96)


def test_what_only_the_tokeniser_knows_counts_where_the_config_says_nothing() -> None:
    def config(**values: Any) -> Any:
        text = SimpleNamespace(model_type="foreign", **values)
        return SimpleNamespace(get_text_config=lambda: text)

    assert positions_of(config(), SimpleNamespace(model_max_length=2048)).row == 2048
    assert positions_of(config(), SimpleNamespace(model_max_length=int(1e30))).row is None
    assert positions_of(config(alibi=True), SimpleNamespace(model_max_length=2048)).row is None
    assert positions_of(config(max_position_embeddings=-1), None).row is None
    assert positions_of(config(max_seq_len=99), SimpleNamespace(model_max_length=10)).row == 99
