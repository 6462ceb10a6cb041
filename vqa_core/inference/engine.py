"""Engine: questions in, predictions out. It plans batches, loads their pictures and has them answered in one way."""

import logging
import math
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from vqa_core.config import PredictSettings
from vqa_core.data.images import PIXEL_LIMIT, image_hash, open_image
from vqa_core.files import InputError
from vqa_core.inference.answer_trie import AnswerTrie
from vqa_core.inference.decoding import answer_packed, stream_answers
from vqa_core.inference.fitting import fit_batch, fitting_limit, within_positions
from vqa_core.inference.generation import Batch, Generated, Limits, Picture, Way, Work
from vqa_core.inference.retrying import Failure, Retries, may_pass
from vqa_core.inference.separate import answer_hf_batch, answer_hub_rows, answer_naive, answer_singly
from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.unpadded import Lead, reads_lines
from vqa_core.model.vlm import Vlm
from vqa_core.prompts.answer_lengths import LEAST
from vqa_core.prompts.choice_style import places_of
from vqa_core.runs.choices import find_choice, letter, write_choice
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import PartialAnswer, Prediction

logger = logging.getLogger("vqa")

CUT = "cut off by --max-new-tokens"
LOADERS = 4  # threads; reading and resizing a photograph takes 8 ms, asking a 7B model about it 12 ms on a fast GPU


def choose_way(vlm: AnyVlm, engine: str, lead: Lead) -> Way:
    """The way of answering that PredictSettings.engine names: `shared` shares what the model can, others nothing.

    `lead` keeps what the text before all pictures has given.
    """
    if engine == "shared" and vlm.sharing is Sharing.PREFIX:
        reads_lines(vlm)  # tried now, not while the work is counted
        return lambda batch, pictures, limits, work: answer_packed(vlm, batch, pictures, limits, work, lead)
    if isinstance(vlm, HubModel):
        return partial(answer_hub_rows, vlm, share_vision=engine == "shared" and vlm.sharing is Sharing.VISION)
    if isinstance(vlm, Vlm):
        ways = {"shared": answer_singly, "naive": answer_naive, "hf_batch": answer_hf_batch}
        return partial(ways[engine], vlm)
    raise TypeError(f"no way of answering is known for a {type(vlm).__name__}")


class Engine:
    """Answers questions with one model.

    Args:
        vlm: the model; `settings`: batch size, answer length, engine.
        data_root: folder that the examples' image paths are relative to.
        allowed_answers: the only answers that may be given (constrained decoding), or None.
        fallback: the answer to a question whose picture can't be read or that doesn't fit into memory.
        pixel_limit: the most pixels of a picture, as in `open_image`.

    In fp32 the answers don't depend on batch size, order, or which questions share a picture.
    """

    def __init__(
        self,
        vlm: AnyVlm,
        settings: PredictSettings,
        data_root: Path,
        *,
        allowed_answers: Iterable[str] | None = None,
        fallback: Callable[[str], str] = lambda _: "",
        pixel_limit: int = PIXEL_LIMIT,
    ) -> None:
        self.vlm, self.settings, self.data_root, self.fallback = vlm, settings, data_root, fallback
        self.pixel_limit = pixel_limit
        self.work = Work()
        self._spelled: dict[tuple[int, ...], str] = {}  # decoding ids loses blanks round an answer
        trie = None
        if allowed_answers is not None:
            self._spelled = {tuple(vlm.prompt.answer_ids(answer)): answer for answer in allowed_answers}
            trie = AnswerTrie(map(list, self._spelled), vlm.prompt.end_id, vlm.device)
        longest = trie.depth if trie else fitting_limit(vlm, settings.max_new_tokens or LEAST)
        self.limits = Limits(trie, longest, settings.option_orders, vlm.positions)
        self._lead = Lead()
        self._answer = within_positions(vlm, choose_way(vlm, settings.engine, self._lead))
        self._streams = settings.engine == "shared" and vlm.sharing is Sharing.PREFIX
        self._retries = Retries(self._answer_batch, self._failed, self._harmless)
        self._hashes: dict[str, str] = {}

    def generate(
        self, examples: Sequence[Example], done: Collection[str] = (), *, answered: bool = False
    ) -> Iterator[Prediction]:
        """Yield a prediction for every example whose id is not in `done`; `answered` says that some of these have one
        of the model's own.

        A question that stands again about the same picture, under whatever name, is answered once.
        The batches are planned over all examples, whether done or not: a run that was stopped and goes on computes the
        very same batches, so its numbers are the same to the last digit. What goes wrong with a question becomes its
        status; what concerns all of them is raised, see `Retries`.
        """
        self._lead.forget()  # a training asks between its steps
        equal = self._equal(examples)
        left = {first.question_id: [id for id in ids if id not in done] for first, ids in equal}
        batches = self.plan([first for first, _ in equal])
        todo = [batch for batch in batches if any(left[example.question_id] for example in batch.examples)]
        with ThreadPoolExecutor(max_workers=LOADERS) as loader:
            predictions = (
                replace(prediction, question_id=question_id)
                for batch, loaded in _load_ahead(loader, self._load, todo)
                for prediction in self._predict(batch, loaded)
                for question_id in left[prediction.question_id]
            )
            yield from self._retries.hold_back(predictions, answered=answered)

    def ask(
        self, image: Image.Image, questions: Sequence[str], choices: Sequence[Sequence[str]] = ()
    ) -> list[Prediction]:
        """Answer questions about one picture that is already decoded (RGB), in their order.

        `choices` are the options of each, none for an open question; an answer is then the letter of one.
        """
        return list(self._retries.predict(*self._asked(image, questions, choices)))

    def stream(
        self, image: Image.Image, questions: Sequence[str], choices: Sequence[Sequence[str]] = ()
    ) -> Generator[list[PartialAnswer], None, list[Prediction]]:
        """What `ask` returns; before that, the answers so far are yielded after each token.

        The last ones yielded are the answers returned, with their probabilities. The steps may be taken in different
        threads. Questions that share no prefix are answered in a single step, as all are where one has choices.
        """
        batch, pictures = self._asked(image, questions, choices)
        generated: list[Generated] = []
        try:
            for (generated,) in self._steps(batch, pictures):
                yield [(self.vlm.prompt.decode_whole(answer.ids), None) for answer in generated]
            predictions = self._predictions(batch.examples, generated)
        except BaseException as error:
            Failure.of(error)
            predictions = []
            if isinstance(error, InputError):
                raise
        predictions = predictions or list(self._retries.predict(batch, pictures))
        yield [(prediction.answer, prediction.probability) for prediction in predictions]
        return predictions

    def _batch_of(
        self, image: Image.Image, questions: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> tuple[Batch, list[Picture]]:
        group = [
            Example(str(index), "", "", question, choices=tuple(options), answer_form=letter(0))
            for index, (question, options) in enumerate(zip(questions, choices or [()] * len(questions), strict=True))
        ]
        return Batch([group]), [self.vlm.preprocess(image)]

    def _asked(
        self, image: Image.Image, questions: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> tuple[Batch, list[Picture]]:
        """`_batch_of`; an InputError for a picture that the model does not take, whatever the reason."""
        try:
            return self._batch_of(image, questions, choices)
        except BaseException as error:
            failure = Failure.of(error)
            if isinstance(error, InputError):
                raise
            logger.warning("A picture can't be preprocessed.", exc_info=error)
        raise InputError(f"The model can't take this picture ({failure.detail}). Try another one.")

    def _steps(self, batch: Batch, pictures: list[Picture]) -> Iterator[list[list[Generated]]]:
        plain = not any(example.choices for example in batch.examples)
        if self._streams and plain and fit_batch(self.vlm, batch, pictures, self.limits) is None:
            yield from stream_answers(self.vlm, batch, pictures, self.limits, self.work, self._lead)
        else:
            yield self._answer(batch, pictures, self.limits, self.work)

    # -- planning ------------------------------------------------------------------------------------------------

    def _equal(self, examples: Sequence[Example]) -> list[tuple[Example, list[str]]]:
        """Of questions that stand again about the same picture, the first, and the ids of all of them."""
        found: dict[tuple[object, ...], tuple[Example, list[str]]] = {}
        for example in examples:
            key = self._identify(example), example.question, example.choices, example.answer_form
            found.setdefault(key, (example, []))[1].append(example.question_id)
        return list(found.values())

    def plan(self, examples: Sequence[Example]) -> list[Batch]:
        """Group by picture, whatever its name, put rows of like length together, cut into batches of questions."""
        groups: dict[str, list[Example]] = {}
        for example in examples:
            groups.setdefault(self._identify(example), []).append(example)
        limit = self.settings.batch_questions
        rows = [group[start : start + limit] for group in groups.values() for start in range(0, len(group), limit)]
        rows.sort(key=lambda group: sum(len(example.question) + sum(map(len, example.choices)) for example in group))
        batches: list[list[list[Example]]] = []
        room = 0
        for row in rows:
            if not batches or len(row) > room:
                batches.append([])
                room = limit
            batches[-1].append(row)
            room -= len(row)
        return [Batch(groups) for groups in batches]

    def _identify(self, example: Example) -> str:
        """Hash of the picture's bytes; examples without a readable picture share one group per name."""
        if example.image not in self._hashes:
            try:
                self._hashes[example.image] = image_hash(self.data_root / example.image) if example.image else ""
            except Exception:  # a name that no file can have raises several kinds; loading says what is wrong
                self._hashes[example.image] = ""
        return self._hashes[example.image] or f"unreadable {example.image or example.image_id}"

    # -- loading -------------------------------------------------------------------------------------------------

    def _load(self, group: Sequence[Example]) -> Picture | BaseException:
        """The picture of some questions as the model takes it; or why there is none."""
        try:
            if not group[0].image:
                raise InputError(f"no file was found for image {group[0].image_id!r}")
            return self.vlm.preprocess(open_image(self.data_root / group[0].image, pixel_limit=self.pixel_limit))
        except BaseException as error:
            return Failure.of(error).error

    # -- answering -----------------------------------------------------------------------------------------------

    def _predict(self, batch: Batch, loaded: list[Picture | BaseException]) -> Iterator[Prediction]:
        """Predictions of a batch; where its picture could not be loaded, a question gets the fallback."""
        readable = []
        for group, picture in zip(batch.groups, loaded, strict=True):
            if isinstance(picture, BaseException) and may_pass(picture):
                picture = self._load(group)
            if isinstance(picture, InputError | OSError):
                yield from (self._failed(example, "bad_image", str(picture)) for example in group)
            elif isinstance(picture, BaseException):
                yield from self._retries.fail(group, picture)
            else:
                readable.append((group, picture))
        if readable:
            groups, pictures = map(list, zip(*readable, strict=True))
            yield from self._retries.predict(Batch(groups), pictures)

    def _answer_batch(self, batch: Batch, pictures: list[Picture]) -> list[Prediction]:
        """Predictions of a batch, in order; raises whatever goes wrong."""
        generated = self._answer(batch, pictures, self.limits, self.work)
        return [
            prediction
            for group, answers in zip(batch.groups, generated, strict=True)
            for prediction in self._predictions(group, answers)
        ]

    def _harmless(self, with_choices: bool) -> tuple[Batch, list[Picture]]:
        """A question that any model can answer, with its picture."""
        return self._batch_of(
            Image.new("RGB", (64, 64), "grey"), ["is it red?"], [("yes", "no")] if with_choices else ()
        )

    def _predictions(self, group: Sequence[Example], generated: Sequence[Generated]) -> list[Prediction]:
        return [self._prediction(example, answer) for example, answer in zip(group, generated, strict=True)]

    def _prediction(self, example: Example, generated: Generated) -> Prediction:
        if generated.refusal:
            return self._failed(example, "error", generated.refusal)
        if not math.isfinite(generated.logprob):
            return self._failed(example, "error", "the model computed no probability (NaN)")
        if example.choices:
            return self._chosen(example, generated)
        text = self.text_of(generated.ids)
        probability = round(math.exp(min(generated.logprob, 0.0)), 6)
        if not text:
            answer = self.fallback(example.question)
            why = "the model gave an empty answer" if generated.ended else f"{CUT} before its first whole character"
            detail = "; ".join(filter(None, [why, generated.question_cut]))
            return Prediction(example.question_id, answer, text, probability, "empty", detail)
        status = "cut" if not generated.ended else "question_cut" if generated.question_cut else "ok"
        detail = "; ".join(filter(None, ["" if generated.ended else CUT, generated.question_cut]))
        return Prediction(example.question_id, text, text, probability, status, detail)

    def _chosen(self, example: Example, generated: Generated) -> Prediction:
        """The likeliest option, named as the example's source names options; of equal ones, the first.

        A blank one, which only keeps the letters of those behind it, is not chosen if another is there.
        """
        options = generated.options
        best = max(range(len(options)), key=lambda at: (bool(example.choices[at]), options[at]))
        return Prediction(
            example.question_id,
            write_choice(best, example.choices, example.answer_form),
            self.vlm.prompt.choice_style.names(example.choices)[best],
            round(options[best], 6),
            "question_cut" if generated.question_cut else "ok",
            generated.question_cut,
            options=tuple(round(probability, 6) for probability in options),
        )

    def _failed(self, example: Example, status: str, detail: str) -> Prediction:
        answer = self.fallback(example.question)
        if example.choices:  # an answer that is no option of this question would be refused
            found = find_choice(answer, example.choices, example.answer_form)
            places = places_of(example.choices)
            answer = write_choice(found if found in places else places[0], example.choices, example.answer_form)
        return Prediction(example.question_id, answer, "", None, status, detail)

    def text_of(self, ids: Sequence[int]) -> str:
        """The answer that generated token ids spell, in whole characters."""
        return self._spelled.get(tuple(ids)) or self.vlm.prompt.decode_whole(list(ids))


def _load_ahead(
    loader: ThreadPoolExecutor, load: Callable[[list[Example]], Picture | BaseException], batches: list[Batch]
) -> Iterator[tuple[Batch, list[Picture | BaseException]]]:
    """Yield each batch with its pictures, while those of the next two are loaded."""

    def start(batch: Batch) -> list[Future[Picture | BaseException]]:
        return [loader.submit(load, group) for group in batch.groups]

    loading = [start(batch) for batch in batches[:2]]
    for index, batch in enumerate(batches):
        loaded = [future.result() for future in loading.pop(0)]
        loading += [start(following) for following in batches[index + 2 : index + 3]]
        yield batch, loaded
