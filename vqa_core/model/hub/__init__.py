"""Whole image-text models by folder or hub id, with their own processors.

A name -> a loaded model and its processor -> its architecture -> its prompt -> a HubModel of the class for its way to
ask. Then a picture and a question -> what the model's `generate` or `forward` takes.

assembly.py         a HubModel from its settings
loading.py          models and processors from their files
architecture.py     Architecture: a model's kind and special tokens
prompt_search.py    find_prompt: by the chat template, or by trying
inputs.py           HubPicture: what a processor makes of a picture and a text
hub_model.py        HubModel: the model, its vision side, its prompt
branching.py        BranchingModel: questions branch off from a picture's prefix or encoding
whole_prompts.py    WholePromptModel and EncoderDecoder: a processor gets each question with the picture

May import vqa_core.model but build.py and folder.py, and all packages before it; only loading.py uses the Auto classes
of transformers. A new architecture is a row in vqa_core/model/capabilities.py; a new way to ask is a subclass of
HubModel, chosen in assembly.py.
"""
