"""Multiple-choice questions about the pictures of tests/support/tiny.py, of two to ten options and every form."""

import random

from tests.support.tiny import ANSWERS, QUESTIONS
from vqa_core.runs.choices import FORMS, write_choice
from vqa_core.runs.examples import Example

WORDS = (*ANSWERS, "a big dog", "green", "not a shape at all", "42")


def tiny_choices(images: int, *, prefix: str = "train", form: str = "", seed: int = 0) -> list[Example]:
    """One to four questions an image, with their answers; without a `form` each has another."""
    rng = random.Random(seed)
    examples = []
    for image in range(images):
        for number in range(1 + image % 4):
            count = len(examples)
            choices = tuple(rng.sample(WORDS, k=2 + count % 9))
            named = form or FORMS[count % len(FORMS)]
            examples.append(
                Example(
                    question_id=f"{prefix.upper()}_{count:05}",
                    image_id=f"{prefix}_{image:04}",
                    image=f"image/{prefix}/{prefix}_{image:04}.png",
                    question=QUESTIONS[(image + number) % len(QUESTIONS)],
                    answer=write_choice(rng.randrange(len(choices)), choices, named),
                    choices=choices,
                    answer_form=named,
                )
            )
    return examples
