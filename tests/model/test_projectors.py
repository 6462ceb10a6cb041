import pytest
import torch

from vqa_core.files import InputError
from vqa_core.model.projectors import PROJECTORS, build_projector, shuffle_pixels


@pytest.mark.parametrize("boundaries", [False, True])
@pytest.mark.parametrize("kind", [*sorted(PROJECTORS), "mlp1x_gelu", "mlp3x_gelu", "mlp12x_gelu"])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_projector_gives_as_many_tokens_as_it_says(kind: str, factor: int, boundaries: bool) -> None:
    projector = build_projector(kind, 6, 10, factor, boundaries=boundaries)
    tokens = projector(torch.randn(3, 16, 6))
    assert tokens.shape == (3, projector.num_tokens(4), 10)


def test_pixel_shuffle_puts_neighbours_of_a_square_together() -> None:
    grid = torch.arange(16.0).view(1, 16, 1)
    assert shuffle_pixels(grid, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_factor_that_does_not_divide_the_grid_is_answered_with_those_that_do() -> None:
    with pytest.raises(InputError, match="1 or 2 or 4"):
        build_projector("pixel_shuffle_mlp", 6, 10, 3).num_tokens(4)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    for unknown in ("mlp2x_gelo", "mlp0x_gelu", "mlpx_gelu"):
        with pytest.raises(InputError, match=f"{unknown}.*mlp2x_gelu"):
            build_projector(unknown, 6, 10, 2)


def test_names_of_weights_are_those_of_llava_checkpoints() -> None:
    assert set(build_projector("linear", 6, 10, 2).state_dict()) == {"weight", "bias"}
    names = {f"linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")}
    assert set(build_projector("mlp2x_gelu", 6, 10, 2).state_dict()) == names
    names |= {"linear_3.weight", "linear_3.bias"}
    assert set(build_projector("mlp3x_gelu", 6, 10, 2).state_dict()) == names
    bounded = {"start", "end", "patches.weight", "patches.bias"}
    assert set(build_projector("linear", 6, 10, 2, boundaries=True).state_dict()) == bounded


def test_a_deeper_projector_is_llava_s_sequence_of_linear_layers_and_gelus() -> None:
    projector = build_projector("mlp3x_gelu", 6, 10, 2)
    linear = [getattr(projector, f"linear_{number}") for number in (1, 2, 3)]
    sequence = torch.nn.Sequential(linear[0], torch.nn.GELU(), linear[1], torch.nn.GELU(), linear[2])
    features = torch.randn(2, 16, 6)
    assert torch.equal(projector(features), sequence(features))


def test_boundary_vectors_stand_round_the_tokens_of_every_picture() -> None:
    projector = build_projector("linear", 6, 10, 2, boundaries=True)
    torch.nn.init.normal_(projector.start)
    torch.nn.init.normal_(projector.end)
    features = torch.randn(3, 16, 6)
    tokens = projector(features)
    assert torch.equal(tokens[:, 1:-1], projector.patches(features))
    assert torch.equal(tokens[:, 0], projector.start.expand(3, 10))
    assert torch.equal(tokens[:, -1], projector.end.expand(3, 10))
