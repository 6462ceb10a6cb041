"""What a training minimises: the sum of the cross entropies of all targets of a batch.

packed.py    PackedLoss: rows of a picture with all its questions
separate.py  one question per row, for models whose questions can't share a prefix; `loss_of` chooses

May import: what vqa_core.training may. A new loss is a class here and a line in `loss_of`.
"""
