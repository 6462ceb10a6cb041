"""The page: one file a tab. `build` draws and wires, handlers are plain functions; all knowledge is vqa_core's."""
