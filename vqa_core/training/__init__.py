"""A TrainingTask becomes checkpoints/, metrics.jsonl and model/, in the four steps of finetune.py.

arguments.py      the settings as arguments of transformers' Trainer
control.py        TrainingControl: stops, the time limit, the last step
data.py           training rows and planned batches become token ids and pixels
divergence.py     steps without finite numbers: not applied, and an end to too many
feed/             batches on their way to a step: what can't be read is left out, workers may die
finetune.py       the four steps of a training
losses/           what is minimised
metric_log.py     metrics.jsonl and the lines of the log
pace.py           the steps that fit into a time limit
plan.py           every question measured, every batch planned
prepare.py        the model built, its stage made trainable, a checkpoint found
questions.py      TrainingQuestion: its choices shuffled, what is learnt from it
resume.py         the plan that a checkpoint keeps, compared with the one to go on with
saving.py         what is written: room for it, whole or absent; a validation that is due
task.py           TrainingTask: what a training is asked for
tracker_host.py   the process that keeps wandb or trackio away from a training
trackers.py       wandb or trackio as a mirror of metrics.jsonl
trainer.py        VqaTrainer: transformers.Trainer for packed rows
validation.py     accuracy of generated answers while training
workers.py        processes that load batches: deaf to stops, gone with the training

May import: the ground, runs, data, prompts, planning, model, inference; torch and transformers.
"""
