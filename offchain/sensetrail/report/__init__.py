"""Reports: sections of text, tables and figures, the same for a terminal and for a page."""
