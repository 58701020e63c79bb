"""One file per figure of the report, named as its SVG: what it shows, computed and drawn, and how to read it."""
