"""Named, independent work items: run them, skip what is done."""
