"""How planned batches reach a step: what could not be read, what workers pass on, what happens when one dies.

data.py, beside this package, makes a batch; workers.py starts the processes that do so ahead.

deaths.py        a worker that dies is noticed between two steps and ends the training with a sentence
left_out.py      LeftOut: pictures that could not be read, counted through every stop
step_batches.py  the batches of one step, on which all processes agree
transport.py     batches past a /dev/shm that is too small

May import: what vqa_core.training may; only step_batches.py imports files of it.
"""
