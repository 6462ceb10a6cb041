"""What `python -m eval.benchmark` measures. A leaf: nothing else in vqa_core imports it."""
