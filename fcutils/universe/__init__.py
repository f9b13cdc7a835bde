"""The universe: an authored corpus of tools and requests (data/universe/), and the conversations made from it."""

from fcutils.universe.files import Domain, Tool, UniverseError, read_domain
from fcutils.universe.splits import Corner, Universe, corner, load
from fcutils.universe.writer import Recipe, conversations

__all__ = ["Corner", "Domain", "Recipe", "Tool", "Universe", "UniverseError", "conversations", "corner", "load", "read_domain"]
