"""The commands that make a model: `python -m train.prepare`, `train.finetune`, `train.convert`.

Each has a `main(argv)` that parses arguments, calls one function of vqa_core and prints or logs the result. An
InputError becomes one sentence and exit code 2; torch is imported only once the arguments are known to be good.

prepare.py   data becomes a prepared run, or a run's data are exported
finetune.py  a prepared run becomes a trained one
convert.py   weights become a model folder, a Hugging Face folder or a folder of LLaVA

May import: vqa_core except its benchmarks. Nothing imports a command. A new command is a file here with a `main`, and a
place in README. Whatever it decides belongs into vqa_core, where the page can use it too.
"""
