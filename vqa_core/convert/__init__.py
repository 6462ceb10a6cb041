"""Weights in other layouts, in and out: original LLaVA, and Hugging Face. The package behind `train.convert`.

In: a folder of LLaVA (a projector, LoRA, or a whole model), or a model folder of ours. Out: the same weights as a model
folder, a Hugging Face folder or a folder of LLaVA; what could not be kept exactly is refused or said.

convert.py           which importer and exporter a conversion takes
hf_export.py         a model folder becomes a Hugging Face folder, LoRA merged
llava_checkpoint.py  what a folder of LLaVA holds, read from its files
llava_export.py      a model folder becomes a folder that llava-torch loads
llava_import.py      a folder of LLaVA becomes a model folder
llava_parts.py       parts that LLaVA trained, as Hugging Face folders beside the model folder

May import: the ground, runs, data, prompts, planning and model; torch, safetensors and transformers. A new layout is a
file that reads or writes it, and a branch in convert.py. `make parity` compares conversions with LLaVA itself.
"""
