# SPDX-License-Identifier: MIT
"""The steps of the demo. Each of them ends when all that it has caused has happened, and fails when
anything is lost that the tools promise to keep."""

import asyncio
import contextlib
import json
import os
import pathlib
import shlex
import signal
import sys
import time

import handoff
from clients import Load
from handover import CALLS, FIRST, GIVE, SECOND, hand_over
from picture import Progress, picture
from processes import PATIENCE, Failure, Processes, until
from screen import Screen
from server import Pings, Server

CLIENTS, WORKERS = 64, 4
CLIENTS_OF_QUEUE, WORKERS_OF_QUEUE = 16, 2

# The servers whose reloads are compared, by their names in tests/bench/measure_reload.py.
COMPARED = ("handoff", "nginx", "node cluster")

# Seconds between an answer and the next call of a client.
INTERVAL = 0.1


class Step:
    def __init__(self, name: str, about: str, perform):
        self.name, self.perform = name, perform
        self.text = about
        self.progress = Progress.to_come


class Story:
    def __init__(self, screen: Screen, quick: bool):
        self.begun = time.monotonic()
        self.processes = Processes()
        self.server = Server(self.processes, "server", WORKERS)
        self.shown_server = self.server  # the one that the step is about
        self.load = Load(self.server.address, CLIENTS, INTERVAL)
        self.pings = Pings(self.processes, self.server.address)
        self.old_master = 0
        self.steps = [
            Step("start", "a master and four workers", self.start),
            Step("connect", f"{CLIENTS} clients connect, and stay", self.connect),
            Step("kill", "a worker gets SIGKILL", self.kill),
            Step("queue", "a worker gets SIGKILL, with --pass queue", self.kill_with_queue),
            Step("reload", "new workers", self.reload),
            Step("upgrade", "new workers and a new master", self.upgrade),
            Step("hand over", "a connection changes its program in mid-conversation",
                 self.hand_over),
            Step("compare", "a reload of nginx and of Node's cluster", self.compare)]
        self.beside: list[dict] = []
        self._screen, self._quick = screen, quick
        self._drawing: asyncio.Task | None = None
        self._closed_by: dict[str, int] = {}
        self._conversation = None

    @property
    def step(self) -> Step | None:
        """The step that is under way, or that has failed."""
        return next((step for step in self.steps
                     if step.progress in (Progress.under_way, Progress.failed)), None)

    async def run(self):
        """Performs all steps, and says what was measured. A step that fails raises."""
        await self._perform()
        for line in await self.stop():
            self._screen.say(line)

    async def _perform(self):
        self._drawing = asyncio.create_task(self._draw_again_and_again())
        try:
            for number, step in enumerate(self.steps, 1):
                step.progress = Progress.under_way
                self._draw()
                self._say(f"[{number}/{len(self.steps)}] {step.name}: {step.text}")
                try:
                    step.text = await step.perform()
                    self._check()
                except BaseException:
                    step.progress = Progress.failed
                    raise
                step.progress = Progress.done
                self._say(f"      {step.text}")
        finally:
            self._drawing.cancel()
            self._draw()
            self._screen.end_picture()

    # The steps. Each returns its result as a line.

    async def start(self) -> str:
        self._show(*self.server.words)
        await self.server.start()
        await self._pause(1)
        self._show(*self.pings.words)
        await self.pings.start()
        await self._pause(1)
        answer = await self._run("rpc-call", self.server.address, "words",
                                 '"wc -w counts five words"')
        if answer != "5":
            raise Failure(f"the method that runs `wc -w` answered {answer}, and not 5")
        await self._pause(3)
        return f"master {self.server.pid}, workers {self._names()}"

    async def connect(self) -> str:
        self.load.connect()
        await self._wait(lambda: all(self.load.answers()), "each client's first answer")
        await self._pause(4)
        held = self.load.held()
        shares = ", ".join(f"{self.server.letters[pid]} {held[pid]}"
                           for pid in self.server.ready_pids().values())
        return f"{sum(held.values())} connections were passed to the workers: {shares}"

    async def kill(self) -> str:
        # The worker that has the connection of rpc-ping is spared, so that no ping is lost.
        number, victim = await self._wait(self._worker_without_ping, "the state before the kill")
        held, before = self.load.held()[victim], self.load.answers()
        self._show("kill", "-KILL", str(victim))
        self.load.doomed = victim
        os.kill(victim, signal.SIGKILL)
        await self._wait(lambda: self.server.is_complete()
                         and self.server.ready_pids()[number] != victim, "another worker")
        await self._wait(lambda: self.load.all_answered_since(before), "each client to go on")
        self.load.doomed = 0
        await self._pause(6)
        new = self.server.ready_pids()[number]
        return (f"{self._name(victim)} killed: {self.load.closed_by_kill} of its {held} "
                f"connections ended, others serve the rest; {self._name(new)} replaces it")

    async def kill_with_queue(self) -> str:
        server = Server(self.processes, "queue", WORKERS_OF_QUEUE, "--pass", "queue")
        self.shown_server = server
        self._show(*server.words)
        await server.start()
        load = Load(server.address, CLIENTS_OF_QUEUE, INTERVAL)
        load.connect()
        await self._wait(lambda: all(load.answers()), "each client's first answer", load.check)
        await self._pause(1)
        victim, before = server.ready_pids()[1], load.answers()
        load.doomed = victim
        self._show("kill", "-KILL", str(victim))
        os.kill(victim, signal.SIGKILL)
        await self._wait(lambda: server.is_complete() and server.ready_pids()[1] != victim,
                         "another worker", server.check)
        await self._wait(lambda: load.all_answered_since(before), "each client to go on",
                         load.check)
        await self._pause(3)
        if load.closed_by_kill:
            raise Failure(f"{load.closed_by_kill} connections ended with a worker of a queue")
        await self._end(load)
        await server.stop()
        self.shown_server = self.server
        return (f"{victim} killed: {load.closed_by_kill} of {CLIENTS_OF_QUEUE} connections ended, "
                f"calls with an error: {load.died_of}")

    async def reload(self) -> str:
        await self._pause(1)
        moved = await self._replace("reload")
        await self._pause(8)
        return f"workers {self._letters()}: {moved}"

    async def upgrade(self) -> str:
        await self._pause(1)
        self.old_master = self.server.pid
        moved = await self._replace("upgrade")
        await self._pause(8)
        return f"master {self.server.pid}, workers {self._letters()}: {moved}"

    async def _replace(self, method: str) -> str:
        """Calls a method of the control socket that replaces all workers, and waits until each
        connection is served by a new one."""
        master, old = self.server.pid, set(self.server.ready_pids().values())
        served, closed = [client.pid for client in self.load.clients], self.load.closed
        await self._while_checked(self._run("rpc-call", self.server.control, method))

        def is_replaced():
            pids = set(self.server.ready_pids().values())
            return (self.server.is_complete() and not pids & old
                    and (method != "upgrade" or self.server.pid != master)
                    and self.load.all_served_by(pids))

        await self._wait(is_replaced, "each client to be served by a new worker")
        await self._wait(lambda: not any(map(handoff.alive, old)), "the old workers to end")
        moved = sum(client.pid != pid for client, pid in zip(self.load.clients, served))
        self._closed_by[method] = self.load.closed - closed
        return f"{moved} connections moved, {self._closed_by[method]} closed"

    async def hand_over(self) -> str:
        for words in (FIRST, SECOND, GIVE):
            self._show(*words)
            await self._pause(1)
        self._conversation = await self._while_checked(
            hand_over(self.processes, 0 if self._quick else 0.02, self._tell))
        await self._pause(2)
        first, second, _, _ = self._conversation
        return (f"sh {first} answered {CALLS // 2} calls, rpc-worker {second} the next "
                f"{CALLS - CALLS // 2}")

    async def compare(self) -> str:
        """Shows the others beside this server where they are installed. When one of them cannot be
        measured, the demo says why, and goes on."""
        program = pathlib.Path(__file__).with_name("beside.py")
        with open("beside.log", "wb") as log:
            process = await self.processes.start(sys.executable, str(program), *COMPARED,
                                                 stdout=asyncio.subprocess.PIPE, stderr=log)
        problem = "not measured"
        try:
            while line := await asyncio.wait_for(process.stdout.readline(), PATIENCE):
                self.beside.append(json.loads(line))
                self._check()
        except asyncio.TimeoutError:
            problem = f"no answer in {PATIENCE:.0f} s"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        why = pathlib.Path("beside.log").read_text(errors="replace").splitlines()[-1:]
        for name in COMPARED[len(self.beside):]:
            self.beside.append({"name": name, "problem": ": ".join([problem, *why])})
        ours = self.beside[0]
        if "problem" in ours:
            raise Failure(f"a reload under other load: {ours['problem']}")
        if ours["lost"] or ours["failed"]:
            raise Failure(f"a reload under other load: {ours['lost']} connections were closed, and "
                          f"{ours['failed']} calls failed")
        await self._pause(2)
        return f"a reload closed, of {ours['clients']}: " + ", ".join(
            f"{each['name']} {each.get('problem', each.get('lost'))}" for each in self.beside)

    async def stop(self) -> list[str]:
        """Ends the clients and the server in good order. Returns lines with all figures."""
        await self._end(self.load)
        await self.pings.stop()
        await self.server.stop()
        load, pings = self.load, self.pings
        missing = load.calls - load.answered - load.unanswered_by_kill
        if missing or load.lost or load.closed:
            raise Failure(f"{load.calls} calls, {missing} without an answer")
        _, _, asked, answered = self._conversation
        killed = load.unanswered_by_kill
        lines = ["",
                 f"{load.calls:,} calls on {CLIENTS} connections and {pings.received:,} pings: "
                 f"{load.lost} lost" + (f", and {killed} with the killed worker" if killed else ""),
                 f"connections closed: {self._closed_by['reload']} by the reload, "
                 f"{self._closed_by['upgrade']} by the upgrade, {load.closed_by_kill} by the kill",
                 f"slowest answer: {load.slowest * 1000:.1f} ms to a call, "
                 f"{pings.slowest:.1f} ms to a ping",
                 f"the conversation: SHA-256 {asked[:16]} asked, {answered[:16]} answered",
                 "one reload under the same load:"]
        for each in self.beside:
            told = each.get("problem") or (
                f"{each['lost']} of {each['clients']} connections closed; failed calls of others: "
                f"{each['failed']}")
            lines.append(f"  {each['name']:14}{told}")
        return lines

    async def _end(self, load: Load):
        """Closes the connections once each client has its last answer."""
        load.over = True
        await self._wait(load.are_quiet, "the last answers", load.check)
        load.close()

    def _worker_without_ping(self):
        """The number and the process id of a worker that has no connection but those of clients.
        None while that is not known."""
        held = self.load.held()
        known = {worker["pid"]: worker["connections"] for worker in self.server.workers}
        if sum(known.values()) != CLIENTS + 1 or not self.server.is_complete():
            return None
        return next(((number, pid) for number, pid in sorted(self.server.ready_pids().items())
                     if number > 1 and known[pid] == held[pid]), None)

    def _name(self, pid: int) -> str:
        return f"{self.server.letters[pid]} {pid}"

    def _names(self) -> str:
        return ", ".join(map(self._name, self.server.ready_pids().values()))

    def _letters(self) -> str:
        return " ".join(self.server.letters[pid] for pid in self.server.ready_pids().values())

    # Waiting and showing.

    def _check(self):
        if self._screen.is_live and self._drawing.done():
            self._drawing.result()  # raises why it has ended
        self.load.check()
        if self.pings.received:
            self.pings.check()
            self.server.check()

    async def _wait(self, condition, what: str, check=lambda: None):
        def check_all():
            check()
            self._check()
        return await until(condition, what, check_all)

    async def _while_checked(self, coroutine):
        """Awaits it, and fails as soon as anything is lost meanwhile."""
        task = asyncio.create_task(coroutine)
        try:
            while not task.done():
                self._check()
                await asyncio.wait([task], timeout=0.1)
            return await task
        finally:
            task.cancel()

    async def _pause(self, seconds: float):
        """Gives people time to look. Nothing else depends on it."""
        if not self._quick:
            await asyncio.sleep(seconds)

    def _show(self, *words: str):
        self._tell(f"$ {shlex.join(words)}")
        self._say(f"      {self.step.text}")

    def _tell(self, text: str):
        self.step.text = text

    async def _run(self, *words: str) -> str:
        """Shows a command and what it prints."""
        self._show(*words)
        output = await self.processes.run(*words)
        self._tell(f"{self.step.text} -> {output}")
        self._say(f"      {output}")
        return output

    def _say(self, text: str):
        if not self._screen.is_live:
            self._screen.say(text)

    def _draw(self):
        if self._screen.is_live:
            width, height = self._screen.size()
            self._screen.draw(picture(self, width, height, self._screen.utf8), width)

    async def _draw_again_and_again(self):
        while self._screen.is_live:
            self._draw()
            await asyncio.sleep(0.1)
