"""The picture files of a dataset: which file a table means, where such files lie, and which of them are copies.

copies.py         which picture files show the same picture
image_files.py    the image file that an image id means
image_folders.py  where the pictures of a split usually lie, and what paths of other machines mean

May import: the ground, runs and vqa_core.data.
"""
