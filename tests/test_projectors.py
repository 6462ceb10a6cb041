import pytest
import torch

from vqa_core.files import InputError
from vqa_core.projectors import PROJECTORS, build_projector, shuffle_pixels


@pytest.mark.parametrize("kind", sorted(PROJECTORS))
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_projector_gives_as_many_tokens_as_it_says(kind: str, factor: int) -> None:
    projector = build_projector(kind, 6, 10, factor)
    tokens = projector(torch.randn(3, 16, 6))
    assert tokens.shape == (3, projector.num_tokens(4), 10)


def test_pixel_shuffle_puts_neighbours_of_a_square_together() -> None:
    grid = torch.arange(16.0).view(1, 16, 1)
    assert shuffle_pixels(grid, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_factor_that_does_not_divide_the_grid_is_answered_with_those_that_do() -> None:
    with pytest.raises(InputError, match="1 or 2 or 4"):
        build_projector("pixel_shuffle_mlp", 6, 10, 3).num_tokens(4)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"mlp2x_gelo.*mlp2x_gelu"):
        build_projector("mlp2x_gelo", 6, 10, 2)


def test_names_of_weights_are_those_of_llava_checkpoints() -> None:
    assert set(build_projector("linear", 6, 10, 2).state_dict()) == {"weight", "bias"}
    names = {f"linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")}
    assert set(build_projector("mlp2x_gelu", 6, 10, 2).state_dict()) == names
