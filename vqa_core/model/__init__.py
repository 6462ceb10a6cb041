"""Models that can be asked and trained: from parts, or whole; packed rows and their mask; the model folder.

Settings -> `build_any` or `load_model_folder` -> AnyVlm, whose packed rows vqa_core.inference and training compute.

protocol.py        AnyVlm: what inference and training need of a model
build.py           build_any: a model from its settings
vlm.py             Vlm: a LLaVA of parts, devices and number formats
parts.py           the parts by name, loaded
projectors.py      PROJECTORS: patch features to image tokens
embedded.py        the embedded default parts, from two wheels
loading.py         LoadOptions: revision, bits, whose code may run
capabilities.py    what the questions about a picture share, by architecture
positions.py       for how many tokens a model has positions
packing.py         packed rows and their attention mask
collator.py        packed rows to a padded batch
feature_cache.py   FeatureCache: what a frozen tower made of pictures, on disk
unpadded.py        packed rows read in one line, without padding
attention.py       which attention backend computes
stages.py          what a stage trains; LoRA put in and merged
sharding.py        FSDP2: weights spread over processes
folder.py          the weights of a model folder
reading/           what is in the way of loading a model, as sentences
hub/               whole image-text models by folder or hub id

May import what stands before it in docs/design.md, and torch. New: a class in PROJECTORS, a row in CAPABILITIES.
"""
