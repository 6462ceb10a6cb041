"""Reading other people's models: whatever is in the way of loading one, or of its answers, is said in a sentence.

Files are looked at first (vqa_core/runs/hub_folder.py, without torch), then loaded, then what was loaded is looked at.

guard.py         from_pretrained, each of its failures a sentence; weights that are missing or no numbers
hub_access.py    whether the hub has a model and gives it to us
fit.py           whether tokeniser, tower, projector and settings fit each other
tensor_files.py  tensors in safetensors and pickles

May import what vqa_core.model may, and of that loading.py. A new kind of failure goes where it is seen first.
"""
