"""Formats of other people: a reader turns each into examples, a writer turns examples into it.

In: `importing.import_data` picks the reader and writes a competition folder, so nothing else has to know the format.
Records that an example cannot hold are counted and kept. Out: `exporting.export_run` picks the writer by name.

conversations.py  LLaVA's conversation JSON, question and answer JSON lines, as we write them ourselves
exporting.py      a prepared run becomes parquet, LLaVA's JSON or VQAv2's JSON
hf_dataset.py     `datasets` from disk or the hub, and parquet
importing.py      any of these becomes a competition folder
linking.py        pictures that lie elsewhere, behind links
llava.py          LLaVA's files as other people write them
parquet.py        a split as parquet with the pictures inside
readers.py        which reader takes a JSON file
split_data.py     SplitData: what a reader found, and what it had to leave out
vqav2.py          VQAv2's questions, annotations and results

May import: the ground, runs and vqa_core.data. A new format to read is a file whose reader returns SplitData, called in
readers.py; a new one to write is a function in EXPORTS of exporting.py.
"""
