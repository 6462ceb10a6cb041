"""The picture files of a dataset: which file a table means, where they lie, their formats, and which are copies.

copies.py         which picture files show the same picture
image_depth.py    samples of more than 8 bits become 8
image_files.py    the image file that an image id means
image_folders.py  where the pictures of a split usually lie, and what paths of other machines mean
image_formats.py  formats of pictures and their suffixes
inline.py         pictures inside a text, as base64
patience.py       reading again where a drive fails for a moment
links.py          links to files and folders, where symbolic links are refused too

May import: the ground, runs and vqa_core.data.
"""
