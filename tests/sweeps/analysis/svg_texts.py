"""The texts of a drawn figure."""

import xml.etree.ElementTree as ET


def texts(svg: str) -> str:
    """A line per text element."""
    return "\n".join("".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
