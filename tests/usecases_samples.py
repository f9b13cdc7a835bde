"""What the tests of the use cases share: one database, all tools over it with a yes to everything, and who may write."""

from fcutils import usecases
from fcutils.messages import Observation, ToolCall
from fcutils.usecases.database import Database

DB = Database()
BOX = usecases.all_tools(DB, on_approve=lambda call: True)
FUNCTIONS = {tool["function"]["name"]: tool["function"] for tool in BOX.tools}
WRITING = {name for name, entry in BOX._entries.items() if entry.approve is not False}  # a test compares it with who writes


def fresh() -> Database:
    """The shared database as it was seeded."""
    DB.reset()
    BOX.reset()
    return DB


def ask(tool: str, /, **arguments: object) -> Observation:
    return BOX.call(ToolCall(tool, arguments))


def refusal(observation: Observation, kind: str = "failed") -> str:
    """What a call that must not succeed was told."""
    assert observation.kind == kind
    return observation.content
