"""A panel for a notebook: talk to a loop on the left, and see what it does on the right.

Knows widgets. The model writes in a thread and the tools' approvals are asked on the notebook's event loop, so that its buttons
work meanwhile. ipywidgets is loaded when a panel is made.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from fcutils.loop.events import Event
from fcutils.loop.run import ToolLoop
from fcutils.messages import ToolCall
from fcutils.show.traces import Card, Trace, trace, written

_SAID = ("user", "text", "answer")  # what stands on the left
_WELL = ("answered", "asked")  # reasons to stop that need no words


def panel(loop: ToolLoop) -> Panel:
    """A panel to talk to this loop in: the value of a cell."""
    return Panel(loop)


class Panel:
    """Widgets around a loop. `task` is the run that goes on.

    Tools that want approval are asked about with two buttons, unless the toolbox has an `on_approve` of its own.
    """

    def __init__(self, loop: ToolLoop) -> None:
        import ipywidgets as widgets

        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[bool] | None = None
        self._before: list[Card] = []  # of the runs that ended
        self._request, self._events = "", list[Event]()
        self.talk, self.trace, self.question = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.request = widgets.Text(placeholder="Say something", layout={"width": "auto", "flex": "1"})
        buttons = [widgets.Button(description=words, layout={"width": "80px"}) for words in ("Send", "Stop", "Yes", "No")]
        self.send_button, self.stop_button, self.yes, self.no = buttons
        self.approval = widgets.VBox([self.question, widgets.HBox([self.yes, self.no])], layout={"display": "none"})
        below = widgets.HBox([self.request, self.send_button, self.stop_button])
        left = widgets.VBox([self.talk, self.approval, below], layout={"width": "50%"})
        self.widget = widgets.HBox([left, widgets.VBox([self.trace], layout={"width": "50%"})])
        self.request.on_msg(lambda _, message, __: self.send() if message.get("event") == "submit" else None)
        self.send_button.on_click(lambda _: self.send())
        self.stop_button.on_click(lambda _: self.stop())
        self.yes.on_click(lambda _: self.answer(True))
        self.no.on_click(lambda _: self.answer(False))
        self.stop_button.disabled = True
        if loop.toolbox.on_approve is None:
            loop.toolbox.on_approve = self.ask

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()

    def send(self) -> None:
        """Say what stands in the field."""
        request = self.request.value.strip()
        if request and not self.busy:
            self.request.value = ""
            self.task = asyncio.ensure_future(self._run(request))

    def stop(self) -> None:
        """End the run; the conversation stays as far as it got."""
        if self.task is not None:
            self.task.cancel()

    def answer(self, yes: bool) -> None:
        """A person's word on the call that waits for it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(yes)

    async def ask(self, call: ToolCall) -> bool | str:
        """Whether a call may run: waits for a button."""
        if not self.busy:
            return "the panel that would ask is not what runs this call"
        self._answer = asyncio.get_running_loop().create_future()
        self.question.value = Trace((Card("call", written(call), "may this run?"),))._repr_html_()
        self.approval.layout.display = ""
        try:
            return await self._answer
        finally:
            self.approval.layout.display = "none"

    async def _run(self, request: str) -> None:
        self._request, self._events = request, []
        self.send_button.disabled, self.stop_button.disabled = True, False
        trouble: list[Card] = []
        try:
            async with aclosing(self.loop.arun(request)) as events:
                async for event in events:
                    self._events.append(event)
                    self._show()
        except asyncio.CancelledError:
            trouble = [Card("stop", "Stopped here; the conversation goes on with what you say next.")]
        except Exception as error:  # nobody awaits this task: what goes wrong is shown here or nowhere
            trouble = [Card("stop", str(error), type(error).__name__)]
        finally:
            self._before = [*self._cards(), *trouble]
            self._events, self._request = [], ""
            self._show()
            self.send_button.disabled, self.stop_button.disabled = False, True

    def _cards(self) -> list[Card]:
        now = [card for card in trace(self._events).cards if card.kind != "user"]
        asked = [Card("user", self._request)] if self._request else []
        return [*self._before, *asked, *now]

    def _show(self) -> None:
        cards = self._cards()
        said = [card for card in cards if card.kind in _SAID or (card.kind == "stop" and not card.note.startswith(_WELL))]
        self.talk.value = Trace(tuple(said))._repr_html_()
        self.trace.value = Trace(tuple(cards))._repr_html_()
