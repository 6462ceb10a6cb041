"""Engine: questions in, predictions out. An image is encoded once, its prefix computed once, questions branch off."""

import logging
import math
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.config import PredictSettings
from vqa_core.data.images import image_hash, open_image
from vqa_core.files import InputError
from vqa_core.inference.answer_trie import AnswerTrie
from vqa_core.inference.decoding import Generated, Work, generate_packed, stream_packed
from vqa_core.model.capabilities import Sharing
from vqa_core.model.packing import Branch, PackedRow, pack_onto
from vqa_core.model.protocol import AnyVlm
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Coming, Prediction

logger = logging.getLogger("vqa")

Picture = Any
"""What `AnyVlm.preprocess` gives; for a Vlm a (3, side, side) tensor."""
Answering = Callable[["Engine", "Batch", list[Picture]], list[list[Generated]]]
LOADERS = 4  # threads; reading and resizing a photograph takes 8 ms, asking a 7B model about it 12 ms on a fast GPU


@dataclass(frozen=True, slots=True)
class Batch:
    """Some images, each with some of its questions; one packed row an image."""

    groups: list[list[Example]]

    @property
    def examples(self) -> list[Example]:
        return [example for group in self.groups for example in group]

    def halves(self) -> list["Batch"]:
        """Two smaller batches of the same questions; none when there is a single question left."""
        groups = self.groups
        if len(groups) == 1:
            (group,) = groups
            if len(group) == 1:
                return []
            return [Batch([group[: len(group) // 2]]), Batch([group[len(group) // 2 :]])]
        return [Batch(groups[: len(groups) // 2]), Batch(groups[len(groups) // 2 :])]


class Engine:
    """Answers questions with one model.

    Args:
        vlm: the model; `settings`: batch size, answer length, engine.
        data_root: folder that the examples' image paths are relative to.
        allowed_answers: the only answers that may be given (constrained decoding), or None.
        fallback: the answer to a question whose picture can't be read or that doesn't fit into memory.

    In fp32 the answers don't depend on batch size, order, or which questions share an image.
    """

    def __init__(
        self,
        vlm: AnyVlm,
        settings: PredictSettings,
        data_root: Path,
        *,
        allowed_answers: Iterable[str] | None = None,
        fallback: Callable[[str], str] = lambda question: "",
    ) -> None:
        self.vlm, self.settings, self.data_root, self.fallback = vlm, settings, data_root, fallback
        self.work = Work()
        self.trie = None
        self._spelled: dict[tuple[int, ...], str] = {}  # decoding ids loses blanks round an answer
        if allowed_answers is not None:
            self._spelled = {tuple(vlm.prompt.answer_ids(answer)): answer for answer in allowed_answers}
            self.trie = AnswerTrie(map(list, self._spelled), vlm.prompt.end_id, vlm.device)
        self._hashes: dict[str, str] = {}

    def generate(self, examples: Sequence[Example], done: Collection[str] = ()) -> Iterator[Prediction]:
        """Yield a prediction for every example whose id is not in `done`.

        The batches are planned over all examples, whether done or not: a run that was stopped and goes on computes the
        very same batches, so its numbers are the same to the last digit.
        """
        todo = [batch for batch in self.plan(examples) if any(e.question_id not in done for e in batch.examples)]
        with ThreadPoolExecutor(max_workers=LOADERS) as loader:
            for batch, pixels in _ahead(loader, self._load, todo):
                for prediction in self._answer_all(batch, pixels):
                    if prediction.question_id not in done:
                        yield prediction

    def ask(self, image: Image.Image, questions: Sequence[str]) -> list[Prediction]:
        """Answer questions about one picture that is already decoded (RGB), in their order."""
        group = [Example(str(index), "", "", question) for index, question in enumerate(questions)]
        generated = self._generate(Batch([group]), [self.vlm.preprocess(image)])[0]
        return [self._prediction(example, answer) for example, answer in zip(group, generated, strict=True)]

    def stream(self, image: Image.Image, questions: Sequence[str]) -> Generator[list[Coming], None, list[Prediction]]:
        """What `ask` returns with the shared engine; before, the answers so far are yielded after each token.

        The last ones yielded are the answers returned, with their probabilities. The steps may be taken in different
        threads.
        """
        group = [Example(str(index), "", "", question) for index, question in enumerate(questions)]
        picture = self.vlm.preprocess(image)
        generated: list[Generated] = []
        for (generated,) in self._steps(group, picture):
            # the first bytes of a character that takes several are no text yet
            yield [(self.vlm.prompt.decode(answer.ids).rstrip("\ufffd"), None) for answer in generated]
        predictions = [self._prediction(example, answer) for example, answer in zip(group, generated, strict=True)]
        yield [(prediction.answer, prediction.probability) for prediction in predictions]
        return predictions

    def _steps(self, group: list[Example], picture: Picture) -> Iterator[list[list[Generated]]]:
        """The generations after each token; all at once from a model whose questions share no prefix."""
        if self.vlm.sharing is not Sharing.PREFIX:
            yield self._generate_shared(Batch([group]), [picture])
            return
        rows, image_tokens = [self.row_of(group, picture)], self.encode([picture])
        yield from stream_packed(self.vlm, rows, image_tokens, self.longest, self.trie, self.work)

    # -- planning ------------------------------------------------------------------------------------------------

    def plan(self, examples: Sequence[Example]) -> list[Batch]:
        """Group by picture, whatever its name, put rows of like length together, cut into batches of questions."""
        groups: dict[str, list[Example]] = {}
        for example in examples:
            groups.setdefault(self._identity(example), []).append(example)
        limit = self.settings.batch_questions
        rows = [group[start : start + limit] for group in groups.values() for start in range(0, len(group), limit)]
        rows.sort(key=lambda group: sum(len(example.question) for example in group))
        batches: list[list[list[Example]]] = []
        room = 0
        for row in rows:
            if not batches or len(row) > room:
                batches.append([])
                room = limit
            batches[-1].append(row)
            room -= len(row)
        return [Batch(groups) for groups in batches]

    def _identity(self, example: Example) -> str:
        """Hash of the picture's bytes; examples without a readable picture share one group a name."""
        if example.image not in self._hashes:
            try:
                self._hashes[example.image] = image_hash(self.data_root / example.image) if example.image else ""
            except (OSError, InputError):
                self._hashes[example.image] = ""
        return self._hashes[example.image] or f"unreadable {example.image or example.image_id}"

    # -- answering -----------------------------------------------------------------------------------------------

    def _load(self, group: Sequence[Example]) -> Picture | InputError:
        """The picture of some questions as the model takes it; or why there is none."""
        try:
            if not group[0].image:
                raise InputError(f"no file was found for image {group[0].image_id!r}")
            return self.vlm.preprocess(open_image(self.data_root / group[0].image))
        except (InputError, OSError) as error:
            return error if isinstance(error, InputError) else InputError(str(error))

    def _answer_all(self, batch: Batch, pixels: list[Picture | InputError]) -> Iterator[Prediction]:
        readable = []
        for group, picture in zip(batch.groups, pixels, strict=True):
            if isinstance(picture, InputError):
                yield from (self._failed(example, "bad_image", str(picture)) for example in group)
            else:
                readable.append((group, picture))
        if readable:
            yield from self._answer(Batch([group for group, _ in readable]), [picture for _, picture in readable])

    def _answer(self, batch: Batch, pixels: list[Picture]) -> Iterator[Prediction]:
        """Predictions of a batch; when memory runs out, of its halves."""
        try:
            generated = self._generate(batch, pixels)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            # the text only: the error itself would keep the batch's tensors alive
            failure = (str(error) or "out of memory").splitlines()[0]
        else:
            for group, answers in zip(batch.groups, generated, strict=True):
                yield from (self._prediction(example, answer) for example, answer in zip(group, answers, strict=True))
            return
        halves = batch.halves()
        if not halves:
            yield self._failed(batch.examples[0], "oom", failure)
            return
        logger.warning("Out of memory with %d questions at once; going on with half as many.", len(batch.examples))
        if self.vlm.device.type == "cuda":
            torch.cuda.empty_cache()
        by_group = {id(group[0]): picture for group, picture in zip(batch.groups, pixels, strict=True)}
        last = pixels[0]
        for half in halves:
            yield from self._answer(half, [by_group.get(id(group[0]), last) for group in half.groups])

    def _generate(self, batch: Batch, pixels: list[Picture]) -> list[list[Generated]]:
        if self.settings.engine != "shared":
            if self.vlm.settings.base_model:
                return self._generate_separately(batch, pixels, share_vision=False)
            from vqa_core.inference.baselines import ENGINES

            return ENGINES[self.settings.engine](self, batch, pixels)
        return self._generate_shared(batch, pixels)

    @torch.inference_mode()
    def _generate_shared(self, batch: Batch, pixels: list[Picture]) -> list[list[Generated]]:
        if self.vlm.sharing is not Sharing.PREFIX:
            return self._generate_separately(batch, pixels, share_vision=self.vlm.sharing is Sharing.VISION)
        with self.vlm.autocast():
            image_tokens = self.encode(pixels)
            rows = [self.row_of(group, picture) for group, picture in zip(batch.groups, pixels, strict=True)]
            return generate_packed(self.vlm, rows, image_tokens, self.longest, self.trie, self.work)

    def _generate_separately(self, batch: Batch, pixels: list[Picture], *, share_vision: bool) -> list[list[Generated]]:
        if not self.vlm.settings.base_model:
            from vqa_core.inference.baselines import answer_each

            return answer_each(self, batch, pixels)
        from vqa_core.inference.separate import answer_separately

        return answer_separately(self, batch, pixels, share_vision=share_vision)

    @torch.inference_mode()
    def encode(self, pixels: Sequence[Picture]) -> Tensor:
        """Pictures that were seen -> their image tokens, (B, N, D) or (sum of N, D)."""
        self.work.encodes += len(pixels)
        with self.vlm.autocast():
            return self.vlm.encode_images(self.vlm.stacked(pixels))

    @property
    def longest(self) -> int:
        """Tokens of the longest answer that may be given, its end included."""
        return self.trie.depth if self.trie else self.settings.max_new_tokens

    def row_of(self, group: Sequence[Example], picture: Picture) -> PackedRow:
        """The packed row of one picture's questions."""
        branches = [Branch(self.vlm.prompt.branch_ids(example.question)[0], []) for example in group]
        return pack_onto(self.vlm.prefix_of(picture), branches)

    def text_of(self, ids: Sequence[int]) -> str:
        """The answer that generated token ids spell."""
        return self._spelled.get(tuple(ids)) or self.vlm.prompt.decode(list(ids))

    def _prediction(self, example: Example, generated: Generated) -> Prediction:
        if not math.isfinite(generated.logprob):
            return self._failed(example, "error", "the model computed no probability (NaN)")
        text = self.text_of(generated.ids)
        probability = round(math.exp(min(generated.logprob, 0.0)), 6)
        if not text:
            answer = self.fallback(example.question)
            return Prediction(example.question_id, answer, text, probability, "empty", "the model gave an empty answer")
        detail = "" if generated.ended else "cut off by --max-new-tokens"
        return Prediction(example.question_id, text, text, probability, "ok", detail)

    def _failed(self, example: Example, status: str, detail: str) -> Prediction:
        return Prediction(example.question_id, self.fallback(example.question), "", None, status, detail)


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _ahead(
    loader: ThreadPoolExecutor, load: Callable[[list[Example]], Picture | InputError], batches: list[Batch]
) -> Iterator[tuple[Batch, list[Picture | InputError]]]:
    """Yield each batch with its pictures, those of the next two being loaded meanwhile."""

    def start(batch: Batch) -> list[Future[Picture | InputError]]:
        return [loader.submit(load, group) for group in batch.groups]

    loading = [start(batch) for batch in batches[:2]]
    for index, batch in enumerate(batches):
        pixels = [future.result() for future in loading.pop(0)]
        loading += [start(following) for following in batches[index + 2 : index + 3]]
        yield batch, pixels
