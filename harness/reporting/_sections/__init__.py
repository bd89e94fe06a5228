"""The sections of a page: one builder a module, `build(material) -> Section | None`."""
