"""Features kept on disk: the same answers and weights without the tower, bounded in size, never a damaged one."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.tiny import tiny_picture, tiny_vlm
from vqa_core.benchmarks.work_counter import count_work
from vqa_core.files import InputError
from vqa_core.model.feature_cache import FeatureCache, key_of_tower
from vqa_core.model.vlm import Vlm

PIXELS = torch.arange(5 * 3 * 2 * 2, dtype=torch.float32).view(5, 3, 2, 2)


class Tower:
    """Counts the pictures that it computes features (2, 4) of."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        return pixels.flatten(1)[:, :8].view(-1, 2, 4).to(torch.bfloat16)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/??/*.safetensors"))


def test_a_picture_goes_through_the_tower_once_in_whatever_company(tmp_path: Path) -> None:
    tower = Tower()
    cache = FeatureCache(tmp_path, 1, "key")
    first = cache.features(PIXELS[:2], tower)
    again = FeatureCache(tmp_path, 1, "key")
    found = again.features(PIXELS[[3, 1, 0]], tower)
    assert tower.seen == 3
    assert (cache.hits, again.hits) == (0, 2)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, Tower()(PIXELS[[3, 1, 0]]))
    assert torch.equal(first, found[[2, 1]])
    assert len(files_of(tmp_path)) == 3


def test_another_key_shares_nothing(tmp_path: Path) -> None:
    tower = Tower()
    FeatureCache(tmp_path, 1, "one").features(PIXELS, tower)
    FeatureCache(tmp_path, 1, "two").features(PIXELS, tower)
    assert tower.seen == 10


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "garbage"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path) -> None:
    tower = Tower()
    expected = FeatureCache(tmp_path, 1, "key").features(PIXELS[:1], tower)
    (path,) = files_of(tmp_path)
    data = path.read_bytes()
    broken = {"cut": data[:-3], "empty": b"", "changed": data[:-1] + bytes([data[-1] ^ 1]), "garbage": b"\xff" * 99}
    path.write_bytes(broken[damage])
    assert torch.equal(FeatureCache(tmp_path, 1, "key").features(PIXELS[:1], tower), expected)
    assert tower.seen == 2
    assert path.read_bytes() == data


def test_the_files_unused_for_longest_are_removed_first_and_the_size_stays_within_the_limit(tmp_path: Path) -> None:
    tower = Tower()
    FeatureCache(tmp_path, 1, "key").features(PIXELS, tower)
    size = files_of(tmp_path)[0].stat().st_size
    for age, path in enumerate(files_of(tmp_path)):
        os.utime(path, (1000 - age, 1000 - age))
    FeatureCache(tmp_path, 1, "key").features(PIXELS[:1], tower)  # used now
    cache = FeatureCache(tmp_path, 5 * size / 1e9, "key")
    cache.features(PIXELS[:1] + 100, tower)
    assert sum(path.stat().st_size for path in files_of(tmp_path)) <= 5 * size
    assert len(files_of(tmp_path)) >= 4
    tower.seen = 0
    cache.features(PIXELS[:1], tower)
    assert tower.seen == 0


def test_a_folder_deleted_meanwhile_costs_only_time(tmp_path: Path) -> None:
    tower = Tower()
    cache = FeatureCache(tmp_path / "kept", 1, "key")
    cache.features(PIXELS[:2], tower)
    for path in sorted((tmp_path / "kept").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "kept").rmdir()
    assert torch.equal(cache.features(PIXELS, tower), Tower()(PIXELS))
    assert cache.features(PIXELS, tower).shape == (5, 2, 4)


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"--feature-cache .*taken can't be used as a folder: .*Name another folder"):
        FeatureCache(tmp_path / "taken", 1, "key")


def test_the_key_names_the_weights_the_layer_the_side_and_the_number_format() -> None:
    vlm = tiny_vlm()
    keys = {key_of_tower(vlm.vision_tower, layer, side) for layer in (-1, -2) for side in (32, 48)}
    weight = next(vlm.vision_tower.parameters())
    with torch.no_grad():
        weight.view(-1)[0] += 1
    keys.add(key_of_tower(vlm.vision_tower, -1, 32))
    keys.add(key_of_tower(vlm.vision_tower.to(torch.bfloat16), -1, 32))
    assert len(keys) == 6


def images_of(vlm: Vlm) -> Tensor:
    with torch.no_grad():
        return vlm.encode_images(vlm.pixels([tiny_picture(number) for number in range(3)]))


def test_a_model_with_a_cache_gives_the_same_image_tokens_and_skips_its_tower(tmp_path: Path) -> None:
    vlm = tiny_vlm()
    expected = images_of(vlm)
    for encodes in (3, 0):
        kept = vlm.with_features(str(tmp_path), 1)
        with count_work(kept) as counted:
            assert torch.equal(images_of(kept), expected)
        assert counted.encodes == encodes


def test_a_tower_that_is_trained_is_never_skipped(tmp_path: Path) -> None:
    vlm = tiny_vlm().with_features(str(tmp_path), 1)
    vlm.vision_tower.requires_grad_(True)
    vlm.encode_images(vlm.pixels([tiny_picture(0)])).sum().backward()
    assert not files_of(tmp_path)
