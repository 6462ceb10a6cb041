"""How a question becomes token ids.

A prompt style is a text with places for the picture, the question and the answer; a model's own chat template is
rendered into one. A style and a tokeniser make a Prompt, which gives the ids of a question's chunk, of an answer and of
its end, and turns generated ids into text. vqa_core.model puts the picture's tokens between them.

styles.py           the named prompt styles, and a style that is spelled out
chat_template.py    a model's own chat template as a prompt style
choice_style.py     ChoiceStyle: the options of a multiple-choice question, and what an answer says to choose one
prompt.py           Prompt: what all kinds of prompts share
plain_text.py       text that is no token, whatever it looks like
characters.py       generated ids to whole characters
answer_lengths.py   AnswerLengths: how many tokens the training answers take
encoder.py          PromptEncoder: the prompt of a LLaVA of parts
chat_prompt.py      ChatPrompt: the prompt of a whole model's chat template
text_prompt.py      TextPrompt: the prompt of a whole model without a chat template

May import the ground, vqa_core.runs and vqa_core.data; no torch. A tokeniser or a processor is handed in, never loaded.
A new prompt style is an entry in `_TEXTS` of styles.py; a template that is written in another way is a case for
chat_template.py.
"""
