"""`eval.benchmark gpu`: the shape of a 7B model with random weights on one CUDA device, in one run of limited time.

Steps run one after the other and each writes its result at once, so a run that is cut short has measured something.

arms.py   steps that measure the whole: the engines, and both ways to train
bed.py    GpuBed: model, questions and stopwatch, which all steps share
gpu.py    the benchmark: its steps, its time limit, its report
parts.py  steps that measure one part: matrices, tower, prefill, attention, decode

May import: what vqa_core.benchmarks may. A new step is a function in parts.py or arms.py and a name in STEPS of gpu.py.
"""
