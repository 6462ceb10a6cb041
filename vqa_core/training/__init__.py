"""Rows become checkpoints and a model folder: the package behind `train.finetune`.

In: a TrainingTask: a run, its training rows, its validation examples, the settings. finetune.py prepares the model, plans
its batches, runs the Trainer and keeps the best weights. Out: checkpoints/, metrics.jsonl and model/ in the run.

arguments.py      the settings as arguments of transformers' Trainer
control.py        TrainingControl: stops, the time limit, the last step
data.py           training rows and planned batches become token ids and pixels
divergence.py     steps without finite numbers: not applied, and an end to too many
finetune.py       the four steps of a training
metric_log.py     metrics.jsonl and the lines of the log
plan.py           every question measured, every batch planned
prepare.py        the model built, its stage made trainable, a checkpoint found
questions.py      TrainingQuestion: its choices shuffled, what is learnt from it
resume.py         the plan that a checkpoint keeps, compared with the one to go on with
saving.py         what is written: room for it, whole or absent; a validation that is due
separate_loss.py  the losses of models that take one question per row
task.py           TrainingTask: what a training is asked for
trackers.py       wandb or trackio as a mirror of metrics.jsonl
trainer.py        the loss of packed rows, and VqaTrainer
validation.py     accuracy of generated answers while training
workers.py        processes that load batches: deaf to stops, gone with the training

May import: the ground, runs, data, prompts, planning, model, inference; torch and transformers. A new loss is a class
beside those in separate_loss.py and a line in `loss_of`; a new tracker is a name in TrainSettings.report_to.
"""
