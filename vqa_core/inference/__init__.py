"""Questions to predictions: a model, pictures and questions go in; answers with their probabilities come out.

Examples are grouped by picture into batches. Pictures are loaded ahead, a way of answering generates token ids within
the limits of an answer, and these become predictions, which are appended to the run's file one by one.

engine.py         Engine: plans batches, loads pictures, answers; chooses the way
fitting.py        questions cut to the positions of the model
generation.py     what every way shares: batch, limits, what was generated, counted work
decoding.py       the shared way: packed rows, decoded together; streams
choosing.py       multiple choice: the probability of each option, in one order or several
separate.py       the other ways: each question in a row of its own
retrying.py       Retries: what fails is answered in halves, and gets a status of its own
answer_trie.py    AnswerTrie: the only answers allowed
beam_search.py    the likeliest whole answers to a question
answer_limit.py   how long an answer may be
build.py          the engine of a run: its model, its prompt, its answers
adopt.py          a run gets a model: a copy, or a note of one of Hugging Face
predict.py        a split of a run is answered
ray_engine.py     several engines through Ray

It imports runs, data, prompts, model and the ground; torch when it is imported.

A new way of answering is a function `(vlm, batch, pictures, limits, work) -> list[list[Generated]]`, typed by the model
it needs, and a line in `choose_way` of engine.py; tests/inference/test_engine.py compares it with the shared way.
"""
