"""What `python -m eval.benchmark NAME` measures. It may import all of vqa_core; nothing there imports it.

asking.py         one workload put to every engine: work counted, answers compared
devices.py        the device: its memory, its speed in matrix products
floors.py         the least work a workload takes, by arithmetic
infer.py          NAME infer: the shared engine against two that read the image for each question
machine.py        the machine a measurement was made on
peer.py           NAME peer: the shared engine against LLaVA itself
prepare.py        NAME prepare: time and memory for a folder of Dacon's size
random_models.py  models with random weights
recipe.py         NAME recipe: the team's recipe and changes to it
report.py         Report: a result as JSON, text and a section of docs/benchmarks.md
settings.py       the settings of each benchmark
synthetic.py      a made-up competition of Dacon's size
teaching.py       one workload learnt packed and separately: losses and gradients compared
timing.py         several ways timed in turns on a busy machine
train.py          NAME train: packed rows against separate ones
work_counter.py   counts what a model really computes
workloads.py      images and questions for a model, and their work
gpu/              NAME gpu: the 7B shape on one device
page/             NAME page: the page in a browser

A new benchmark is a file here, its settings class, and a name in BENCHMARKS of eval/benchmark.py.
"""
